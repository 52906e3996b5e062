/* The publication as one HTML file: nothing is fetched from anywhere. */
#include <string.h>

#include "collector/admin/report.h"
#include "collector/admin/report_chart.h"

static void element(FILE *f, const char *name, const char *text)
{
	(void)fprintf(f, "<%s>", name);
	report_escape(f, text);
	(void)fprintf(f, "</%s>\n", name);
}

static void paragraph(FILE *f, const struct report_publication *p, const char *text)
{
	AUTO_FREE char *filled = report_fill(p, text);

	element(f, "p", filled ? filled : text);
}

/* Numbers stand on the right, and so does what stands for one. */
static const char *cell_class(const struct report_cell *c, bool number)
{
	switch (c->kind) {
	case CELL_FEW: return number ? " class=\"n few\"" : " class=\"few\"";
	case CELL_NONE: return number ? " class=\"n none\"" : " class=\"none\"";
	case CELL_NUMBER:
	case CELL_TEXT: break;
	}
	return number ? " class=\"n\"" : "";
}

static void write_cell(FILE *f, const struct report_cell *c, bool header, bool number)
{
	(void)fprintf(f, "<%s%s>", header ? "th scope=\"row\"" : "td", cell_class(c, number));
	report_escape(f, c->text);
	if (c->below) {
		(void)fputs("<br><small>", f);
		report_escape(f, c->below);
		(void)fputs("</small>", f);
	}
	(void)fprintf(f, "</%s>", header ? "th" : "td");
}

static void write_rows(FILE *f, const struct report_grid *g)
{
	(void)fputs("<thead><tr>", f);
	for (size_t c = 0; c < g->columns; c++) {
		(void)fprintf(f, "<th scope=\"col\"%s>",
			cell_class(
				report_cell(g, 0, c), report_cell(g, 0, c)->kind == CELL_NUMBER));
		report_escape(f, report_cell(g, 0, c)->text);
		(void)fputs("</th>", f);
	}
	(void)fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t row = 1; row < g->rows; row++) {
		(void)fputs("<tr>", f);
		for (size_t c = 0; c < g->columns; c++)
			write_cell(f, report_cell(g, row, c), c == g->header,
				report_cell(g, 0, c)->kind == CELL_NUMBER);
		(void)fputs("</tr>\n", f);
	}
	(void)fputs("</tbody></table>", f);
}

static void write_caption(FILE *f, const char *name, const char *label, const char *title)
{
	(void)fprintf(f, "<%s><b>%s.</b> ", name, label);
	report_escape(f, title);
	(void)fprintf(f, "</%s>\n", name);
}

static void write_table(FILE *f, const struct report_part *p, const char *title)
{
	(void)fprintf(f,
		"<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"%s-t\">"
		"<table%s><caption id=\"%s-t\">",
		p->section->name, p->section->kind == REPORT_MATRIX ? " class=\"matrix\"" : "",
		p->section->name);
	if (report_is_figure(p->section))
		(void)fprintf(f, "Values of %s: ", p->label);
	else
		(void)fprintf(f, "<b>%s.</b> ", p->label);
	report_escape(f, title);
	(void)fputs("</caption>\n", f);
	write_rows(f, &p->grid);
	(void)fputs("</div>\n", f);
}

static void write_part(FILE *f, const struct report_document *d, const struct report_part *p)
{
	AUTO_FREE char *title = report_fill(&d->publication, p->section->title);
	const char *shown = title ? title : p->section->title;

	(void)fprintf(f, "<section id=\"%s\">\n", p->section->name);
	paragraph(f, &d->publication, p->section->text);
	if (p->grid.rows < 2) {
		write_caption(f, "p", p->label, shown);
		element(f, "p", "No data.");
	} else if (report_is_figure(p->section)) {
		(void)fputs("<figure>", f);
		write_caption(f, "figcaption", p->label, shown);
		report_figure_write(f, p, false);
		(void)fputs("</figure>\n<details><summary>Values of this figure</summary>\n", f);
		write_table(f, p, shown);
		(void)fputs("</details>\n", f);
	} else {
		write_table(f, p, shown);
	}
	if (p->dataset) {
		(void)fputs("<p class=\"source\">Address data ", f);
		report_escape(f, p->dataset);
		(void)fputs(".</p>\n", f);
	}
	(void)fputs("</section>\n", f);
}

static size_t changes_count(const struct report_document *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->parts_n; i++)
		n += d->parts[i].changes.n;
	return n;
}

static void write_change(FILE *f, const char *label, const struct report_change *c)
{
	const char *const cells[] = {c->item, c->column, c->before, c->now};

	(void)fprintf(f, "<tr><th scope=\"row\">%s</th>", label);
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
		(void)fputs(i < 2 ? "<td>" : "<td class=\"n\">", f);
		report_escape(f, cells[i]);
		(void)fputs("</td>", f);
	}
	(void)fputs("</tr>\n", f);
}

static void write_changes(FILE *f, const struct report_document *d)
{
	size_t n = changes_count(d);

	(void)fputs("<h2 id=\"changes\">What changed</h2>\n", f);
	(void)fprintf(f, "<p>%zu value%s differ%s: %s beside %s.</p>\n", n, n == 1 ? "" : "s",
		n == 1 ? "s" : "", d->before, d->now);
	if (n == 0)
		return;
	(void)fputs(
		"<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"changes\">"
		"<table><caption>Values that differ.</caption>\n<thead><tr>",
		f);
	for (size_t i = 0; i < 5; i++)
		(void)fprintf(f, "<th scope=\"col\"%s>%s</th>", i >= 3 ? " class=\"n\"" : "",
			i == 0   ? "Where"
			: i == 1 ? "What"
			: i == 2 ? "Value"
			: i == 3 ? d->before
				 : d->now);
	(void)fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t i = 0; i < d->parts_n; i++)
		for (size_t c = 0; c < d->parts[i].changes.n; c++)
			write_change(f, d->parts[i].label, &d->parts[i].changes.list[c]);
	(void)fputs("</tbody></table></div>\n", f);
}

static void write_head(FILE *f, const struct report_document *d)
{
	const struct report_publication *p = &d->publication;

	(void)fprintf(f,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n"
		"<title>Internet threat monitoring, %s</title>\n<style>\n%s%s</style>\n</head>\n"
		"<body>\n<header>\n<h1>Internet threat monitoring, %s%s</h1>\n<p>",
		p->title, chart_style, report_style, p->title,
		d->only_changes ? ": what changed" : "");
	(void)fprintf(f, "%s: ", p->name);
	report_escape(f, p->first_day);
	(void)fputs(" to ", f);
	report_escape(f, p->last_day);
	(void)fputs(", days of ", f);
	report_escape(f, p->zone);
	(void)fprintf(f,
		". Edition %s, published %s. Packets received by %s are counted.</p>\n"
		"</header>\n",
		p->edition, p->published_at, p->as_of);
}

static void write_contents(FILE *f, const struct report_document *d)
{
	(void)fputs("<nav aria-label=\"Contents\"><h2>Contents</h2>\n<ol>\n", f);
	for (size_t i = 0; i < d->parts_n; i++)
		if (d->parts[i].section->chapter) {
			AUTO_FREE char *chapter =
				report_fill(&d->publication, d->parts[i].section->chapter);

			(void)fprintf(f, "<li><a href=\"#chapter-%zu\">", i);
			report_escape(f, chapter ? chapter : "");
			(void)fputs("</a></li>\n", f);
		}
	if (d->before)
		(void)fputs("<li><a href=\"#changes\">What changed</a></li>\n", f);
	(void)fputs("<li><a href=\"#definitions\">What the words mean</a></li>\n</ol></nav>\n", f);
}

static void write_leads(FILE *f, const struct report_document *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->parts_n; i++)
		n += d->parts[i].lead != NULL;
	if (n == 0)
		return;
	(void)fputs("<h2>At a glance</h2>\n<ul>\n", f);
	for (size_t i = 0; i < d->parts_n; i++)
		if (d->parts[i].lead) {
			(void)fputs("<li>", f);
			report_escape(f, d->parts[i].lead);
			(void)fprintf(f, " <a href=\"#%s\">%s</a></li>\n",
				d->parts[i].section->name, d->parts[i].label);
		}
	(void)fputs("</ul>\n", f);
}

static void write_definitions(FILE *f, const struct report_document *d)
{
	(void)fputs("<h2 id=\"definitions\">What the words mean</h2>\n<dl>\n", f);
	for (size_t i = 0; i < report_definitions_n; i++) {
		AUTO_FREE char *text = report_fill(&d->publication, report_definitions[i].text);

		element(f, "dt", report_definitions[i].heading);
		element(f, "dd", text ? text : "");
	}
	(void)fputs("</dl>\n", f);
}

void report_html_write(FILE *f, const struct report_document *d)
{
	write_head(f, d);
	(void)fputs("<main>\n", f);
	if (!d->only_changes) {
		paragraph(f, &d->publication, report_introduction);
		write_leads(f, d);
		write_contents(f, d);
		for (size_t i = 0; i < d->parts_n; i++) {
			const char *chapter = d->parts[i].section->chapter;
			AUTO_FREE char *filled =
				chapter ? report_fill(&d->publication, chapter) : NULL;

			if (chapter) {
				(void)fprintf(f, "<h2 id=\"chapter-%zu\">", i);
				report_escape(f, filled ? filled : chapter);
				(void)fputs("</h2>\n", f);
			}
			write_part(f, d, &d->parts[i]);
		}
	}
	if (d->before)
		write_changes(f, d);
	if (!d->only_changes)
		write_definitions(f, d);
	(void)fputs("</main>\n<footer><p>Made by Hirundo " HIRUNDO_VERSION
		    ".</p></footer>\n</body>\n</html>\n",
		f);
}
