/* What differs between a result that was published and what the same call gives now. */
#include <errno.h>
#include <string.h>

#include "collector/admin/report.h"

static bool same_key(
	const struct report_section *s, const PGresult *a, int i, const PGresult *b, int j)
{
	for (int c = 0; s->columns[c].name; c++)
		if (s->columns[c].key && strcmp(PQgetvalue(a, i, c), PQgetvalue(b, j, c)) != 0)
			return false;
	return true;
}

/* -1: no such row */
static int find_row(const struct report_section *s, const PGresult *a, int i, const PGresult *b)
{
	for (int j = 0; j < PQntuples(b); j++)
		if (same_key(s, a, i, b, j))
			return j;
	return -1;
}

/* "23/TCP, JP": what names a row, as shown. Heap text. */
static char *item_text(const struct report_section *s, const PGresult *rows, int row)
{
	AUTO_FREE char *text = NULL;
	char *result = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	const char *comma = "";

	if (!f)
		return NULL;
	for (int c = 0; s->columns[c].name; c++) {
		struct report_cell cell = {0};

		if (!s->columns[c].key || !s->columns[c].heading)
			continue;
		if (report_cell_make(s, rows, row, c, &cell) == 0)
			(void)fprintf(f, "%s%s", comma, cell.text);
		comma = ", ";
		free(cell.text);
	}
	if (fclose(f) == 0) {
		result = text;
		text = NULL;
	}
	return result;
}

static int add(struct report_changes *to, const struct report_change *c)
{
	struct report_change *list = realloc(to->list, (to->n + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	to->list = list;
	list[to->n++] = *c;
	return c->item && c->column && c->before && c->now ? 0 : -ENOMEM;
}

/* The value as shown; "no row" where there is none. */
static char *shown(const struct report_section *s, const PGresult *rows, int row, int column)
{
	struct report_cell cell = {0};

	if (row < 0)
		return strdup("no row");
	return report_cell_make(s, rows, row, column, &cell) == 0 ? cell.text : NULL;
}

/* Rows i of before and j of now; -1: there is none. */
static int compare_rows(const struct report_section *s, const PGresult *before, int i,
	const PGresult *now, int j, struct report_changes *ret)
{
	int r = 0;

	for (int c = 0; r == 0 && s->columns[c].name; c++) {
		struct report_change change = {0};

		if (s->columns[c].key || !s->columns[c].heading)
			continue;
		change.before = shown(s, before, i, c);
		change.now = shown(s, now, j, c);
		if (change.before && change.now && strcmp(change.before, change.now) == 0) {
			free(change.before);
			free(change.now);
			continue;
		}
		change.item = i >= 0 ? item_text(s, before, i) : item_text(s, now, j);
		change.column = strdup(s->columns[c].heading);
		r = add(ret, &change);
	}
	return r;
}

int report_changes_find(const struct report_section *s, const PGresult *before, const PGresult *now,
	struct report_changes *ret)
{
	int r = 0;

	for (int i = 0; r == 0 && i < PQntuples(before); i++)
		r = compare_rows(s, before, i, now, find_row(s, before, i, now), ret);
	for (int j = 0; r == 0 && j < PQntuples(now); j++)
		if (find_row(s, now, j, before) < 0)
			r = compare_rows(s, before, -1, now, j, ret);
	return r;
}

void report_changes_done(struct report_changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->list[i].item);
		free(c->list[i].column);
		free(c->list[i].before);
		free(c->list[i].now);
	}
	free(c->list);
	*c = (struct report_changes){0};
}
