/* A grid as a chart, and templates filled in. */
#include <math.h>
#include <string.h>

#include "collector/admin/report.h"
#include "collector/admin/report_chart.h"

static const char *value_of(const struct report_publication *p, const char *name, size_t n)
{
	const struct {
		const char *name, *value;
	} values[] = {
		{"home", p->home_name},
		{"code", p->home},
		{"zone", p->zone},
		{"first_day", p->first_day},
		{"last_day", p->last_day},
		{"final", p->final},
		{"judged", p->judged},
		{"days", p->days},
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (strlen(values[i].name) == n && memcmp(values[i].name, name, n) == 0)
			return values[i].value;
	return NULL;
}

/* A column's value in the first row, as shown. @return heap text; NULL where it is not told, or
 * there is none */
static char *first_value(
	const struct report_section *s, const PGresult *rows, const char *name, size_t n)
{
	struct report_cell cell = {0};

	for (int c = 0; s->columns[c].name; c++)
		if (strlen(s->columns[c].name) == n && memcmp(s->columns[c].name, name, n) == 0 &&
			PQntuples(rows) > 0 && report_cell_make(s, rows, 0, c, &cell) == 0) {
			if (cell.kind == CELL_TEXT || cell.kind == CELL_NUMBER)
				return cell.text;
			free(cell.text);
		}
	return NULL;
}

/* Writes text with what is in braces replaced. @return whether all of it could be */
static bool fill(FILE *f, const struct report_publication *p, const struct report_section *s,
	const PGresult *rows, const char *text)
{
	bool all = true;

	while (*text) {
		const char *brace = strchrnul(text, '{');
		size_t n = *brace ? strcspn(brace, "}") : 0;

		(void)fwrite(text, 1, (size_t)(brace - text), f);
		if (n > 0) {
			const char *value = value_of(p, brace + 1, n - 1);
			AUTO_FREE char *first =
				!value && s ? first_value(s, rows, brace + 1, n - 1) : NULL;

			all = all && (value || first);
			(void)fputs(value ? value : first ? first : "", f);
		}
		text = brace + n + (*brace != '\0' && brace[n] == '}');
	}
	return all;
}

static char *fill_text(const struct report_publication *p, const struct report_section *s,
	const PGresult *rows, const char *text)
{
	char *result = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&result, &size);
	bool all;

	if (!f)
		return NULL;
	all = fill(f, p, s, rows, text);
	if (fclose(f) != 0 || (s && !all)) {
		free(result);
		return NULL;
	}
	return result;
}

char *report_fill(const struct report_publication *p, const char *text)
{
	return fill_text(p, NULL, NULL, text);
}

char *report_fill_lead(
	const struct report_publication *p, const struct report_section *s, const PGresult *rows)
{
	return s->lead ? fill_text(p, s, rows, s->lead) : NULL;
}

/* Which series was highest when, for who does not see the chart. Heap text. */
static char *describe(const struct report_part *p)
{
	const struct report_grid *g = &p->grid;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	(void)fprintf(f, "%s of %zu series, from %s to %s. Unit: %s.",
		p->section->kind == REPORT_BARS ? "Bar chart" : "Line chart", g->columns - 1,
		report_cell(g, 1, 0)->text, report_cell(g, g->rows - 1, 0)->text, p->section->unit);
	for (size_t c = 1; c < g->columns; c++) {
		size_t best = 0;

		for (size_t row = 1; row < g->rows; row++)
			if (!isnan(report_cell(g, row, c)->value) &&
				(best == 0 || report_cell(g, row, c)->value >
						      report_cell(g, best, c)->value))
				best = row;
		if (best > 0)
			(void)fprintf(f, " %s: highest %s, on %s.", report_cell(g, 0, c)->text,
				report_cell(g, best, c)->text, report_cell(g, best, 0)->text);
		else
			(void)fprintf(f, " %s: no value.", report_cell(g, 0, c)->text);
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

void report_figure_write(FILE *f, const struct report_part *p, bool standalone)
{
	const struct report_grid *g = &p->grid;
	size_t n = g->rows - 1, series_n = g->columns - 1;
	AUTO_FREE char *description = describe(p);
	AUTO_FREE const char **labels = calloc(n, sizeof(*labels));
	AUTO_FREE double *values = calloc(n * series_n, sizeof(*values));
	AUTO_FREE bool *few = calloc(n * series_n, sizeof(*few));
	double unit = p->section->columns[2].format == FORMAT_SHARE ? 100 : 1;
	struct chart_series series[CHART_SERIES_MAX];
	const struct chart chart = {
		.id = p->section->name,
		.title = p->label,
		.description = description ? description : "",
		.unit = p->section->unit,
		.labels = labels,
		.labels_n = n,
		.series = series,
		.series_n = series_n < CHART_SERIES_MAX ? series_n : CHART_SERIES_MAX,
		.bars = p->section->kind == REPORT_BARS,
		.standalone = standalone,
	};

	if (!labels || !values || !few)
		return; /* the caller sees a figure without chart; its table is there */
	for (size_t i = 0; i < n; i++)
		labels[i] = report_cell(g, i + 1, 0)->text;
	for (size_t s = 0; s < chart.series_n; s++) {
		series[s] = (struct chart_series){.name = report_cell(g, 0, s + 1)->text,
			.values = values + s * n,
			.few = few + s * n};
		for (size_t i = 0; i < n; i++) {
			const struct report_cell *cell = report_cell(g, i + 1, s + 1);

			values[s * n + i] = cell->value * unit;
			few[s * n + i] = cell->kind == CELL_FEW;
		}
	}
	chart_write(f, &chart);
}
