/* From result rows to what is shown. The one place that decides what the outside is not told. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "collector/admin/report.h"

int report_column_find(const struct report_section *s, const char *name)
{
	for (int c = 0; s->columns[c].name; c++)
		if (strcmp(s->columns[c].name, name) == 0)
			return c;
	return -1;
}

/* Too few hosts are behind the value, or nobody knows how many. */
static bool is_guarded(const struct report_section *s, const PGresult *rows, int row, int column)
{
	const char *guard = s->columns[column].guard;
	int hosts;

	if (!guard)
		return false;
	hosts = report_column_find(s, guard);
	return hosts < 0 || PQgetisnull(rows, row, hosts) ||
	       strtod(PQgetvalue(rows, row, hosts), NULL) < REPORT_HOSTS_MIN;
}

/* NULL of a previous rank: not seen, where anybody listened then. */
static const char *null_text(
	const struct report_section *s, const PGresult *rows, int row, int column)
{
	int covered = report_column_find(s, "previous_covered");

	if (s->columns[column].format == FORMAT_PREVIOUS && covered >= 0 &&
		strcmp(PQgetvalue(rows, row, covered), "true") == 0)
		return "not seen";
	return "no data";
}

int report_cell_make(const struct report_section *s, const PGresult *rows, int row, int column,
	struct report_cell *ret)
{
	const struct report_column *c = &s->columns[column];
	const char *value = PQgetvalue(rows, row, column);
	bool number = report_format_is_number(c->format);

	*ret = (struct report_cell){.value = NAN};
	if (PQgetisnull(rows, row, column)) {
		ret->kind = CELL_NONE;
		ret->text = strdup(null_text(s, rows, row, column));
	} else if (is_guarded(s, rows, row, column) ||
		   (c->format == FORMAT_HOSTS && strtod(value, NULL) < REPORT_HOSTS_MIN)) {
		ret->kind = CELL_FEW;
		ret->text = strdup(c->format == FORMAT_HOSTS ? "< 5"
				   : number                  ? "< 5 hosts"
							     : "not shown");
	} else {
		ret->kind = number ? CELL_NUMBER : CELL_TEXT;
		ret->text = report_format_value(c->format, value);
		if (number)
			ret->value = strtod(value, NULL);
	}
	return ret->text ? 0 : -ENOMEM;
}

static int make_heading(const char *text, bool number, struct report_cell *ret)
{
	*ret = (struct report_cell){
		.text = strdup(text), .kind = number ? CELL_NUMBER : CELL_TEXT, .value = NAN};
	return ret->text ? 0 : -ENOMEM;
}

static int allocate(struct report_grid *g, size_t rows, size_t columns)
{
	*g = (struct report_grid){.rows = rows, .columns = columns};
	g->cells = calloc(rows * columns, sizeof(*g->cells));
	return g->cells ? 0 : -ENOMEM;
}

static int make_table(const struct report_section *s, const PGresult *rows, struct report_grid *g)
{
	size_t columns = 0, at;
	int r;

	for (const struct report_column *c = s->columns; c->name; c++)
		columns += c->heading != NULL;
	r = allocate(g, (size_t)PQntuples(rows) + 1, columns);
	at = 0;
	g->header = columns;
	for (int c = 0; r == 0 && s->columns[c].name; c++) {
		if (!s->columns[c].heading)
			continue;
		r = make_heading(s->columns[c].heading,
			report_format_is_number(s->columns[c].format), report_cell(g, 0, at));
		for (int row = 0; r == 0 && row < PQntuples(rows); row++)
			r = report_cell_make(s, rows, row, c, report_cell(g, (size_t)row + 1, at));
		if (s->columns[c].key && g->header == columns)
			g->header = at;
		at++;
	}
	return r;
}

/* Number of a row with the same value in a column: the first such; so values are numbered in the
 * order of their appearance. */
static int first_with(const PGresult *rows, int column, int row)
{
	for (int i = 0; i < row; i++)
		if (strcmp(PQgetvalue(rows, i, column), PQgetvalue(rows, row, column)) == 0)
			return i;
	return row;
}

/* Fills ret (one for each row) with the number, from 0, of its value in the column. @return values
 */
static size_t number_values(const PGresult *rows, int column, size_t *ret)
{
	size_t n = 0;

	for (int row = 0; row < PQntuples(rows); row++) {
		int first = first_with(rows, column, row);

		ret[row] = first < row ? ret[first] : n++;
	}
	return n;
}

static int fill_pivot(const struct report_section *s, const PGresult *rows, const size_t *across,
	const size_t *down, struct report_grid *g)
{
	bool number = report_format_is_number(s->columns[2].format);
	int r = 0;

	for (int row = 0; r == 0 && row < PQntuples(rows); row++) {
		struct report_cell *head = report_cell(g, 0, across[row] + 1);
		struct report_cell *side = report_cell(g, down[row] + 1, 0);
		struct report_cell *cell = report_cell(g, down[row] + 1, across[row] + 1);
		struct report_cell below = {0};

		if (!head->text) {
			r = report_cell_make(s, rows, row, 1, head);
			head->kind = number ? CELL_NUMBER : CELL_TEXT;
		}
		if (r == 0 && !side->text)
			r = report_cell_make(s, rows, row, 0, side);
		if (r < 0 || cell->text)
			continue;
		r = report_cell_make(s, rows, row, 2, cell);
		if (r == 0 && s->kind == REPORT_MATRIX && cell->kind == CELL_TEXT) {
			r = report_cell_make(s, rows, row, 3, &below);
			cell->below = below.text;
		}
	}
	return r;
}

static int make_pivot(const struct report_section *s, const PGresult *rows, struct report_grid *g)
{
	size_t n = (size_t)PQntuples(rows);
	AUTO_FREE size_t *across = calloc(n + 1, sizeof(*across));
	AUTO_FREE size_t *down = calloc(n + 1, sizeof(*down));
	size_t columns, lines;
	int r;

	if (!across || !down)
		return -ENOMEM;
	columns = number_values(rows, 1, across);
	lines = number_values(rows, 0, down);
	r = allocate(g, lines + 1, columns + 1);
	if (r == 0)
		r = make_heading(s->columns[0].heading, false, report_cell(g, 0, 0));
	if (r == 0)
		r = fill_pivot(s, rows, across, down, g);
	/* Where a row has no such column. */
	for (size_t i = 0; r == 0 && i < g->rows * g->columns; i++)
		if (!g->cells[i].text) {
			/* A matrix's rows need not have all columns. */
			bool matrix = s->kind == REPORT_MATRIX;

			g->cells[i] = (struct report_cell){
				.text = strdup(matrix ? "\u2013" : "no data"),
				.kind = matrix ? CELL_TEXT : CELL_NONE,
				.value = NAN,
			};
			r = g->cells[i].text ? 0 : -ENOMEM;
		}
	return r;
}

int report_grid_make(const struct report_section *s, const PGresult *rows, struct report_grid *ret)
{
	int r = s->kind == REPORT_TABLE ? make_table(s, rows, ret) : make_pivot(s, rows, ret);

	if (r < 0)
		report_grid_done(ret);
	return r;
}

void report_grid_done(struct report_grid *g)
{
	for (size_t i = 0; i < g->rows * g->columns && g->cells; i++) {
		free(g->cells[i].text);
		free(g->cells[i].below);
	}
	free(g->cells);
	*g = (struct report_grid){0};
}
