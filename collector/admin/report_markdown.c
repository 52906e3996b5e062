/* The publication as Markdown: tables of all numbers; figures are files beside it. */
#include <string.h>

#include "collector/admin/report.h"

static void paragraph(FILE *f, const struct report_publication *p, const char *before,
	const char *text, const char *after)
{
	AUTO_FREE char *filled = report_fill(p, text);

	(void)fputs(before, f);
	report_escape_markdown(f, filled ? filled : text);
	(void)fputs(after, f);
}

static void write_row(FILE *f, const struct report_grid *g, size_t row)
{
	(void)fputc('|', f);
	for (size_t c = 0; c < g->columns; c++) {
		const struct report_cell *cell = report_cell(g, row, c);

		(void)fputc(' ', f);
		report_escape_markdown(f, cell->text);
		if (cell->below) {
			(void)fputs(" (", f);
			report_escape_markdown(f, cell->below);
			(void)fputc(')', f);
		}
		(void)fputs(" |", f);
	}
	(void)fputc('\n', f);
}

static void write_table(FILE *f, const struct report_grid *g)
{
	write_row(f, g, 0);
	(void)fputc('|', f);
	for (size_t c = 0; c < g->columns; c++)
		(void)fputs(report_cell(g, 0, c)->kind == CELL_NUMBER ? " ---: |" : " --- |", f);
	(void)fputc('\n', f);
	for (size_t row = 1; row < g->rows; row++)
		write_row(f, g, row);
	(void)fputc('\n', f);
}

static void write_part(FILE *f, const struct report_document *d, const struct report_part *p)
{
	AUTO_FREE char *title = report_fill(&d->publication, p->section->title);

	if (p->section->chapter)
		paragraph(f, &d->publication, "## ", p->section->chapter, "\n\n");
	paragraph(f, &d->publication, "", p->section->text, "\n\n");
	(void)fprintf(f, "**%s.** ", p->label);
	report_escape_markdown(f, title ? title : p->section->title);
	(void)fputs("\n\n", f);
	if (p->grid.rows < 2) {
		(void)fputs("No data.\n\n", f);
	} else {
		if (report_is_figure(p->section)) {
			(void)fputs("![", f);
			report_escape_markdown(f, title ? title : p->section->title);
			(void)fprintf(f, "](%s-%s.svg)\n\n", d->publication.name, p->section->name);
		}
		write_table(f, &p->grid);
	}
	if (p->dataset)
		paragraph(f, &d->publication, "Address data ", p->dataset, ".\n\n");
}

static void write_changes(FILE *f, const struct report_document *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->parts_n; i++)
		n += d->parts[i].changes.n;
	(void)fprintf(f, "## What changed\n\n%zu value%s differ%s: %s beside %s.\n\n", n,
		n == 1 ? "" : "s", n == 1 ? "s" : "", d->before, d->now);
	if (n > 0)
		(void)fprintf(f,
			"| Where | What | Value | %s | %s |\n| --- | --- | --- | ---: | ---: |\n",
			d->before, d->now);
	for (size_t i = 0; i < d->parts_n; i++)
		for (size_t c = 0; c < d->parts[i].changes.n; c++) {
			const struct report_change *change = &d->parts[i].changes.list[c];
			const char *const cells[] = {d->parts[i].label, change->item,
				change->column, change->before, change->now};

			for (size_t k = 0; k < ARRAY_SIZE(cells); k++) {
				(void)fputs("| ", f);
				report_escape_markdown(f, cells[k]);
				(void)fputc(' ', f);
			}
			(void)fputs("|\n", f);
		}
	if (n > 0)
		(void)fputc('\n', f);
}

void report_markdown_write(FILE *f, const struct report_document *d)
{
	const struct report_publication *p = &d->publication;

	(void)fprintf(f, "# Internet threat monitoring, %s%s\n\n", p->title,
		d->only_changes ? ": what changed" : "");
	(void)fprintf(f, "%s: %s to %s, days of ", p->name, p->first_day, p->last_day);
	report_escape_markdown(f, p->zone);
	(void)fprintf(f, ". Edition %s, published %s. Packets received by %s are counted.\n\n",
		p->edition, p->published_at, p->as_of);
	if (!d->only_changes) {
		paragraph(f, p, "", report_introduction, "\n\n");
		(void)fputs("## At a glance\n\n", f);
		for (size_t i = 0; i < d->parts_n; i++)
			if (d->parts[i].lead) {
				(void)fputs("- ", f);
				report_escape_markdown(f, d->parts[i].lead);
				(void)fprintf(f, " (%s)\n", d->parts[i].label);
			}
		(void)fputc('\n', f);
		for (size_t i = 0; i < d->parts_n; i++)
			write_part(f, d, &d->parts[i]);
	}
	if (d->before)
		write_changes(f, d);
	if (d->only_changes)
		return;
	(void)fputs("## What the words mean\n\n", f);
	for (size_t i = 0; i < report_definitions_n; i++) {
		(void)fprintf(f, "- **%s**: ", report_definitions[i].heading);
		paragraph(f, p, "", report_definitions[i].text, "\n");
	}
}
