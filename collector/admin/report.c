/*
 * report quarter: publishes a quarter, once. The first run computes every table and figure in one
 * snapshot, keeps the rows, and writes the files; later runs write the files from the kept rows,
 * and beside them what differs from what the same calls give now.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "collector/admin/path.h"
#include "collector/admin/report.h"
#include "collector/admin/sql.h"

struct request {
	const char *name; /* 2023Q1 */
	char period[32]; /* as a daterange */
	const char *dir;
	bool new_edition, single_regions;
};

/* Rows of one edition, one for each section. */
struct edition {
	char number[REPORT_EDITION_SIZE];
	struct report_result *results;
};

static int parse_quarter(const char *text, struct request *r)
{
	int year, quarter, end = 0;

	if (strlen(text) != 6 || sscanf(text, "%4d%*[Q]%1d%n", &year, &quarter, &end) != 2 ||
		end != 6 || year < 1970 || year > 9998 || quarter < 1 || quarter > 4)
		return fail(EX_USAGE, "\"%s\" is no quarter: 2023Q1, for example", text);
	r->name = text;
	(void)snprintf(r->period, sizeof(r->period), "[%d-%02d-01,%d-%02d-01)", year,
		3 * quarter - 2, quarter < 4 ? year : year + 1, quarter < 4 ? 3 * quarter + 1 : 1);
	return EX_OK;
}

static int parse(int argc, char **argv, struct request *r)
{
	enum {
		OUTPUT = 256,
		NEW_EDITION,
		SINGLE_REGIONS
	};
	static const struct option options[] = {
		{"output", required_argument, NULL, OUTPUT},
		{"new-edition", no_argument, NULL, NEW_EDITION},
		{"single-sensor-regions", no_argument, NULL, SINGLE_REGIONS},
		{0},
	};
	int c;

	*r = (struct request){.dir = "."};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case OUTPUT: r->dir = optarg; break;
		case NEW_EDITION: r->new_edition = true; break;
		case SINGLE_REGIONS: r->single_regions = true; break;
		default: return EX_USAGE;
		}
	}
	if (optind + 1 != argc)
		return fail(EX_USAGE, "report quarter: takes one quarter, such as 2023Q1");
	return parse_quarter(argv[optind], r);
}

/* Editions. */

static void edition_done(struct edition *e)
{
	if (!e->results)
		return;
	for (size_t i = 0; i < report_sections_n; i++)
		report_result_done(&e->results[i]);
	free(e->results);
}

static int edition_allocate(struct edition *e)
{
	e->results = calloc(report_sections_n, sizeof(*e->results));
	return e->results ? EX_OK : no_memory();
}

/* Computes all sections with the arguments of an edition; keep: as its results. */
static int compute(struct admin *a, const char *name, struct edition *e, bool keep)
{
	int code = edition_allocate(e);

	for (size_t i = 0; code == EX_OK && i < report_sections_n; i++) {
		const struct report_section *s = &report_sections[i];

		code = report_store_compute(a, name, e->number, s, &e->results[i]);
		if (code == EX_OK && keep)
			code = report_store_freeze(a, name, e->number, s, &e->results[i]);
	}
	return code;
}

static int load(struct admin *a, const char *name, struct edition *e)
{
	int code = edition_allocate(e);

	for (size_t i = 0; code == EX_OK && i < report_sections_n; i++)
		code = report_store_load(a, name, e->number, &report_sections[i], &e->results[i]);
	return code;
}

/* Documents. */

/* The address data that the rows name, or NULL. */
static char *find_dataset(const PGresult *rows)
{
	int c = PQfnumber(rows, "dataset");

	for (int row = 0; row < PQntuples(rows); row++)
		if (!PQgetisnull(rows, row, c))
			return strdup(PQgetvalue(rows, row, c));
	return NULL;
}

static int make_part(const struct report_publication *publication, const struct report_section *s,
	const PGresult *rows, struct report_part *p)
{
	p->section = s;
	p->lead = report_fill_lead(publication, s, rows);
	p->dataset = find_dataset(rows);
	return report_grid_make(s, rows, &p->grid) == 0 ? EX_OK : no_memory();
}

/* Parts of the sections that the shown edition has; changes against another, where there is one. */
static int make_parts(const struct edition *shown, const struct edition *other, bool other_is_later,
	struct report_document *d)
{
	const struct report_result *all_others = other ? other->results : NULL;
	const char *dataset = NULL; /* the one told last: once is enough */
	int code = EX_OK;
	unsigned tables = 0, figures = 0;

	d->parts = calloc(report_sections_n, sizeof(*d->parts));
	if (!d->parts)
		return no_memory();
	for (size_t i = 0; code == EX_OK && i < report_sections_n; i++) {
		const PGresult *rows = shown->results[i].rows;
		const PGresult *others = all_others ? all_others[i].rows : NULL;
		struct report_part *p = &d->parts[d->parts_n];

		if (!rows)
			continue;
		d->parts_n++;
		code = make_part(&d->publication, &report_sections[i], rows, p);
		if (p->dataset && dataset && strcmp(p->dataset, dataset) == 0) {
			free(p->dataset);
			p->dataset = NULL;
		} else if (p->dataset) {
			dataset = p->dataset;
		}
		(void)snprintf(p->label, sizeof(p->label), "%s %u",
			report_is_figure(p->section) ? "Figure" : "Table",
			report_is_figure(p->section) ? ++figures : ++tables);
		if (code == EX_OK && others &&
			report_changes_find(p->section, other_is_later ? rows : others,
				other_is_later ? others : rows, &p->changes) < 0)
			code = no_memory();
	}
	return code;
}

static void document_done(struct report_document *d)
{
	for (size_t i = 0; i < d->parts_n; i++) {
		report_grid_done(&d->parts[i].grid);
		report_changes_done(&d->parts[i].changes);
		free(d->parts[i].dataset);
		free(d->parts[i].lead);
	}
	free(d->parts);
	PQclear(d->publication.result);
	*d = (struct report_document){0};
}

static size_t changes_count(const struct report_document *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->parts_n; i++)
		n += d->parts[i].changes.n;
	return n;
}

/* Files. */

/* Opens DIR/NAME.tmp; close_file() gives it its name. */
static FILE *open_file(const char *dir, const char *name, char **ret_path)
{
	FILE *f = NULL;

	if (asprintf(ret_path, "%s/%s.tmp", dir, name) < 0)
		*ret_path = NULL;
	else
		f = fopen(*ret_path, "we");
	return f;
}

static int close_file(FILE *f, const char *path)
{
	AUTO_FREE char *final = strndup(path, strlen(path) - strlen(".tmp"));
	bool failed = ferror(f) != 0;

	if (fclose(f) != 0 || failed || !final || rename(path, final) < 0) {
		int code = fail(EX_IOERR, "%s: %s", path, strerror(errno));

		(void)unlink(path);
		return code;
	}
	(void)printf("%s\n", final);
	return EX_OK;
}

static int write_document(const char *dir, const char *suffix, const struct report_document *d,
	void (*write)(FILE *f, const struct report_document *d))
{
	AUTO_FREE char *path = NULL, *name = NULL;
	FILE *f;

	if (asprintf(&name, "%s%s", d->publication.name, suffix) < 0) {
		name = NULL;
		return no_memory();
	}
	f = open_file(dir, name, &path);
	if (!f)
		return fail(EX_CANTCREAT, "%s/%s: %s", dir, name, strerror(errno));
	write(f, d);
	return close_file(f, path);
}

static int write_figure(
	const char *dir, const struct report_document *d, const struct report_part *p)
{
	AUTO_FREE char *path = NULL, *name = NULL;
	FILE *f;

	if (asprintf(&name, "%s-%s.svg", d->publication.name, p->section->name) < 0) {
		name = NULL;
		return no_memory();
	}
	f = open_file(dir, name, &path);
	if (!f)
		return fail(EX_CANTCREAT, "%s/%s: %s", dir, name, strerror(errno));
	report_figure_write(f, p, true);
	return close_file(f, path);
}

static int write_files(const char *dir, const struct report_document *d)
{
	int code = write_document(dir, ".html", d, report_html_write);

	if (code == EX_OK)
		code = write_document(dir, ".md", d, report_markdown_write);
	for (size_t i = 0; code == EX_OK && i < d->parts_n; i++)
		if (report_is_figure(d->parts[i].section) && d->parts[i].grid.rows > 1)
			code = write_figure(dir, d, &d->parts[i]);
	return code;
}

static int make_folder(const char *dir)
{
	int made = mkdir(dir, 0777), error = errno;

	/* "/.": a file of that name is no folder. */
	if (made < 0 && error == EEXIST) {
		AUTO_FREE char *inside = path_join(dir, ".");

		if (!inside)
			return no_memory();
		made = access(inside, W_OK | X_OK);
		error = errno;
	}
	return made < 0 ? fail(EX_CANTCREAT, "%s: %s", dir, strerror(error)) : EX_OK;
}

/* Freezes the next edition: all of it or nothing. */
static int publish(struct admin *a, const struct request *r, struct edition *e)
{
	int code = report_store_open(a, r->name, r->period, r->single_regions, e->number);

	if (code == EX_OK)
		code = compute(a, r->name, e, true);
	if (code == EX_OK)
		code = sql_run(a, "COMMIT", 0, NULL);
	return code;
}

/* The files of an edition, with what changed since the one before it. */
static int show(struct admin *a, const struct request *r, const struct edition *e)
{
	struct report_document d = {0};
	struct edition previous = {0};
	char before[32], now[32];
	long number = strtol(e->number, NULL, 10);
	int code = report_store_publication(a, r->name, e->number, &d.publication);

	if (code == EX_OK && number > 1) {
		(void)snprintf(previous.number, sizeof(previous.number), "%ld", number - 1);
		(void)snprintf(before, sizeof(before), "edition %ld", number - 1);
		(void)snprintf(now, sizeof(now), "edition %ld", number);
		d.before = before;
		d.now = now;
		code = load(a, r->name, &previous);
	}
	if (code == EX_OK)
		code = make_parts(e, d.before ? &previous : NULL, false, &d);
	if (code == EX_OK)
		code = write_files(r->dir, &d);
	edition_done(&previous);
	document_done(&d);
	return code;
}

/* What the same calls give now, beside what was published. */
static int compare(struct admin *a, const struct request *r, const struct edition *e)
{
	struct report_document d = {.only_changes = true, .now = "now"};
	struct edition now = {0};
	char before[32];
	int code;

	(void)snprintf(before, sizeof(before), "edition %s", e->number);
	(void)memcpy(now.number, e->number, sizeof(now.number));
	d.before = before;
	code = compute(a, r->name, &now, false);
	if (code != EX_OK) {
		edition_done(&now);
		return fail(code,
			"what was published is in the files; it can not be compared with what "
			"is there now");
	}
	code = report_store_publication(a, r->name, e->number, &d.publication);
	if (code == EX_OK)
		code = make_parts(e, &now, true, &d);
	if (code == EX_OK)
		code = write_document(r->dir, "-changes.html", &d, report_html_write);
	if (code == EX_OK)
		code = write_document(r->dir, "-changes.md", &d, report_markdown_write);
	if (code == EX_OK)
		(void)printf("%s, edition %s, is as published on %s; now %zu value%s differ%s\n",
			r->name, e->number, d.publication.published_at, changes_count(&d),
			changes_count(&d) == 1 ? "" : "s", changes_count(&d) == 1 ? "s" : "");
	edition_done(&now);
	document_done(&d);
	return code;
}

int command_report_quarter(struct admin *a, int argc, char **argv)
{
	struct edition e = {0};
	struct request r;
	bool known;
	int code = parse(argc, argv, &r);

	/* Before anything is published: where would it go? */
	if (code == EX_OK)
		code = make_folder(r.dir);
	if (code == EX_OK)
		code = sql_connect(a, SQL_OWNER);
	if (code == EX_OK)
		code = sql_run(a, "SET client_encoding = 'UTF8'", 0, NULL);
	/* One snapshot for all of it. */
	if (code == EX_OK)
		code = sql_run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ", 0, NULL);
	if (code == EX_OK)
		code = report_store_newest(a, r.name, e.number);
	if (code != EX_OK)
		return code;
	known = *e.number != '\0' && !r.new_edition;
	code = known ? load(a, r.name, &e) : publish(a, &r, &e);
	if (code == EX_OK)
		code = show(a, &r, &e);
	if (code == EX_OK && !known)
		(void)printf("%s, edition %s, is published\n", r.name, e.number);
	if (code == EX_OK && known)
		code = compare(a, &r, &e);
	edition_done(&e);
	return code;
}
