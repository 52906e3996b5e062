/*
 * report: tables and figures of a publication. Their definitions are data (report_sections.c): a
 * query, its columns, and words. Result rows become grids of texts (report_grid.c), by which
 * everything that the outside must not be told is left out; HTML, Markdown and the list of changes
 * are made from grids alone. Errors are told where they occur.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_REPORT_H
#define HIRUNDO_COLLECTOR_ADMIN_REPORT_H

#include "collector/admin/admin.h"
#include "collector/admin/report_format.h"

#define REPORT_COLUMNS_MAX 16
/** A number of an edition as text. */
#define REPORT_EDITION_SIZE 24

enum report_kind {
	REPORT_TABLE, /* a row each */
	/* Of these, columns 0, 1 and 2 are the row, the column and the value of a cell; a matrix's
	 * column 3 stands below the value. */
	REPORT_LINES,
	REPORT_BARS,
	REPORT_MATRIX,
};

struct report_column {
	const char *name; /* in the result rows */
	const char *heading; /* NULL: not shown */
	enum report_format format;
	/** Column with the hosts behind this value: shown only where they are REPORT_HOSTS_MIN or
	 *  more. NULL: may be shown. */
	const char *guard;
	bool key; /* tells which row it is when two results are compared */
};

struct report_section {
	const char *name; /* of the result; anchor in the page */
	const char *chapter; /* heading before it, or NULL */
	const char *title; /* caption */
	const char *text; /* what is counted */
	/** A sentence of facts, or NULL: {column} is that of the first row as shown. */
	const char *lead;
	/** Reads "argument": one row with period, home, zone, labels, single_regions. */
	const char *sql;
	enum report_kind kind;
	const char *unit; /* of a figure's values */
	struct report_column columns[REPORT_COLUMNS_MAX]; /* the last has no name */
};

extern const struct report_section report_sections[];
extern const size_t report_sections_n;

/** -1: no such column. */
int report_column_find(const struct report_section *s, const char *name) MUST_CHECK;

/** The publication, as its table has it. Texts are the result's. */
struct report_publication {
	PGresult *result;
	const char *name, *edition, *home, *home_name, *zone, *first_day, *last_day, *as_of,
		*published_at;
	const char *judged, *final, *days;
	char title[32]; /* "January to March 2023" */
};

struct report_result {
	PGresult *rows; /* columns of the section, in order; NULL: this section has no result */
	char *json; /* the same */
};

/* The store: report_store.c. All return an exit code. */

/** Opens the next edition of a quarter. @param ret_edition  its number, for others */
int report_store_open(struct admin *a, const char *name, const char *period, bool single_regions,
	char ret_edition[REPORT_EDITION_SIZE]) MUST_CHECK;
/** Runs a section's query as of now, with the arguments of a publication. */
int report_store_compute(struct admin *a, const char *name, const char *edition,
	const struct report_section *s, struct report_result *ret) MUST_CHECK;
/** Keeps what was computed. */
int report_store_freeze(struct admin *a, const char *name, const char *edition,
	const struct report_section *s, const struct report_result *r) MUST_CHECK;
/** What was kept; ret->rows is NULL where a section was not there then. */
int report_store_load(struct admin *a, const char *name, const char *edition,
	const struct report_section *s, struct report_result *ret) MUST_CHECK;
int report_store_publication(struct admin *a, const char *name, const char *edition,
	struct report_publication *ret) MUST_CHECK;
/** Newest edition, "" where there is none. */
int report_store_newest(
	struct admin *a, const char *name, char ret_edition[REPORT_EDITION_SIZE]) MUST_CHECK;
void report_result_done(struct report_result *r);

/* Grids: report_grid.c. */

enum report_cell_kind {
	CELL_TEXT,
	CELL_NUMBER,
	CELL_FEW, /* from too few hosts */
	CELL_NONE, /* nothing is known */
};

struct report_cell {
	char *text; /* as shown; NULL only in memory of a grid that was not made */
	char *below; /* second line, or NULL */
	enum report_cell_kind kind;
	double value; /* of a number, as the database has it; else NAN */
};

/** Row 0 has the headings. */
struct report_grid {
	size_t rows, columns;
	size_t header; /* column that says what its row is */
	struct report_cell *cells; /* row by row */
};

static inline struct report_cell *report_cell(
	const struct report_grid *g, size_t row, size_t column)
{
	return g->cells + row * g->columns + column;
}

/** A value as it is shown. @return 0, -ENOMEM */
int report_cell_make(const struct report_section *s, const PGresult *rows, int row, int column,
	struct report_cell *ret) MUST_CHECK;

/** @return 0, -ENOMEM */
int report_grid_make(
	const struct report_section *s, const PGresult *rows, struct report_grid *ret) MUST_CHECK;
void report_grid_done(struct report_grid *g);

/** One value that differs: in which row, which column, what was published, what it is now. */
struct report_change {
	char *item, *column, *before, *now;
};

struct report_changes {
	struct report_change *list;
	size_t n;
};

/** Values of a section that differ between two results, as shown: what is not told is not told here
 *  either. Adds to ret. @return 0, -ENOMEM */
int report_changes_find(const struct report_section *s, const PGresult *before, const PGresult *now,
	struct report_changes *ret) MUST_CHECK;
void report_changes_done(struct report_changes *c);

/* Documents: report_html.c, report_markdown.c. */

struct report_part {
	const struct report_section *section;
	struct report_grid grid;
	char *dataset; /* address data behind it; NULL: none, or told above already */
	char *lead; /* filled in, or NULL */
	struct report_changes changes;
	char label[24]; /* "Table 3" */
};

struct report_document {
	struct report_publication publication;
	struct report_part *parts;
	size_t parts_n;
	bool only_changes;
	const char *before, *now; /* headings of changes; NULL: they are not told */
};

extern const char report_style[]; /* style sheet of the page */

void report_html_write(FILE *f, const struct report_document *d);
void report_markdown_write(FILE *f, const struct report_document *d);

/** A figure of its own. */
void report_figure_write(FILE *f, const struct report_part *p, bool standalone);

/** A definition's text with {home}, {zone} and the like filled in. @return heap text, NULL out of
 *  memory */
char *report_fill(const struct report_publication *p, const char *text) MUST_CHECK;

/** The sentence of a section. @return heap text; NULL: it has none, or not all of it may be told */
char *report_fill_lead(const struct report_publication *p, const struct report_section *s,
	const PGresult *rows) MUST_CHECK;

/** Words that both documents have. */
struct report_words {
	const char *heading, *text;
};
extern const struct report_words report_definitions[];
extern const size_t report_definitions_n;
extern const char report_introduction[];

static inline bool report_is_figure(const struct report_section *s)
{
	return s->kind == REPORT_LINES || s->kind == REPORT_BARS;
}

#endif
