#include "collector/admin/report_chart.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "collector/admin/report_format.h"

/* All in pixels of the view box. */
#define WIDTH 760
#define HEIGHT 300
#define TOP 34
#define BOTTOM 30
#define FONT 12
#define CHARACTER 6.6 /* mean width of a character, rounded up */
#define SWATCH 22 /* piece of line or bar before a name */
#define NAME_HEIGHT 16 /* between names */
#define LEAD 40 /* longest connection of a line's end with its name */

/* Light paper: 3:1 or better against white; dark: against #16181c. */
const char chart_style[] =
	".chart{font:12px system-ui,'DejaVu "
	"Sans',sans-serif;--ink:#222;--faint:#d5d8dc;--paper:#fff;"
	"--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#222;--c4:#b8568c;--c5:#8a6d00}\n"
	"@media screen and "
	"(prefers-color-scheme:dark){.chart{--ink:#e8e8e8;--faint:#3b4048;--paper:#16181c;"
	"--c0:#56b4e9;--c1:#e69f00;--c2:#2fc79b;--c3:#e8e8e8;--c4:#cc79a7;--c5:#f0e442}}\n"
	".chart "
	"text{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px}.chart "
	".grid{stroke:var(--faint)}.chart "
	".axis{stroke:var(--ink)}\n"
	".chart .lead{stroke:var(--ink);stroke-width:.6;opacity:.5}\n"
	".chart .line{fill:none;stroke-width:1.8;stroke-linejoin:round}\n"
	".chart .few{fill:var(--paper);stroke-width:1}\n"
	".chart .s0{stroke:var(--c0)}.chart .s1{stroke:var(--c1);stroke-dasharray:7 3}"
	".chart .s2{stroke:var(--c2);stroke-dasharray:2 2.5}"
	".chart .s3{stroke:var(--c3);stroke-dasharray:9 3 2 3}"
	".chart .s4{stroke:var(--c4);stroke-dasharray:14 4}"
	".chart .s5{stroke:var(--c5);stroke-dasharray:4 2}\n"
	".chart .solid{stroke-dasharray:none}\n"
	".chart .b0{fill:var(--c0)}.chart .b1{fill:var(--c1)}.chart .b2{fill:var(--c2)}"
	".chart .b3{fill:var(--c3)}.chart .b4{fill:var(--c4)}.chart .b5{fill:var(--c5)}\n"
	".chart .odd{fill-opacity:.25}\n";

struct chart_ticks chart_ticks(double greatest)
{
	struct chart_ticks t = {.step = 1, .n = 1};
	double raw, power, first;

	if (!(greatest > 0) || !isfinite(greatest))
		return t;
	raw = greatest / 5;
	power = pow(10, floor(log10(raw)));
	first = raw / power;
	/* What binary fractions add or take must not make a step of its own. */
	t.step = power * (first <= 1 + 1e-9          ? 1
				 : first <= 2 + 1e-9 ? 2
				 : first <= 5 + 1e-9 ? 5
						     : 10);
	t.n = (int)ceil(greatest / t.step - 1e-9);
	if (t.n < 1)
		t.n = 1;
	t.decimals = (int)-floor(log10(t.step) + 1e-9);
	if (t.decimals < 0)
		t.decimals = 0;
	return t;
}

/* Where things are. */
struct frame {
	const struct chart *c;
	struct chart_ticks ticks;
	double left, right, bottom; /* edges of the plot; its top is TOP */
	double greatest; /* of the axis */
};

static double text_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80; /* UTF-8: bytes that begin a character */
	return (double)n * CHARACTER;
}

static double x_at(const struct frame *p, size_t i)
{
	double width = p->right - p->left, n = (double)p->c->labels_n;

	if (p->c->bars || p->c->labels_n == 1)
		return p->left + width * ((double)i + 0.5) / n;
	return p->left + width * (double)i / (n - 1);
}

static double y_at(const struct frame *p, double value)
{
	return p->bottom - (p->bottom - TOP) * value / p->greatest;
}

static char *tick_label(const struct chart_ticks *t, int i)
{
	char plain[64];

	(void)snprintf(plain, sizeof(plain), "%.*f", t->decimals, t->step * i);
	return report_group_digits(plain);
}

static bool is_few(const struct chart_series *s, size_t i)
{
	return s->few && s->few[i];
}

static bool has_value(const struct chart_series *s, size_t i)
{
	return !is_few(s, i) && !isnan(s->values[i]);
}

static struct frame layout(const struct chart *c)
{
	struct frame p = {.c = c, .bottom = HEIGHT - BOTTOM};
	double greatest = 0, names = 0;
	AUTO_FREE char *widest = NULL;

	for (size_t s = 0; s < c->series_n; s++) {
		if (text_width(c->series[s].name) > names)
			names = text_width(c->series[s].name);
		for (size_t i = 0; i < c->labels_n; i++)
			if (has_value(&c->series[s], i) && c->series[s].values[i] > greatest)
				greatest = c->series[s].values[i];
	}
	p.ticks = chart_ticks(greatest);
	p.greatest = p.ticks.step * p.ticks.n;
	widest = tick_label(&p.ticks, p.ticks.n);
	p.left = 12 + (widest ? text_width(widest) : 0);
	p.right = WIDTH - 18 - SWATCH - names;
	if (p.right < WIDTH / 2.0)
		p.right = WIDTH / 2.0;
	return p;
}

static void text(FILE *f, double x, double y, const char *anchor, const char *s)
{
	(void)fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
	report_escape(f, s);
	(void)fputs("</text>\n", f);
}

static void line(FILE *f, const char *class, double x1, double y1, double x2, double y2)
{
	(void)fprintf(f, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
		class, x1, y1, x2, y2);
}

static void write_vertical_axis(FILE *f, const struct frame *p)
{
	for (int i = 0; i <= p->ticks.n; i++) {
		double y = y_at(p, p->ticks.step * i);
		AUTO_FREE char *label = tick_label(&p->ticks, i);

		line(f, i == 0 ? "axis" : "grid", p->left, y, p->right, y);
		text(f, p->left - 6, y + 4, "end", label ? label : "");
	}
	text(f, 2, FONT + 2, "start", p->c->unit);
}

static bool is_day(const char *label)
{
	return strlen(label) == 10 && label[4] == '-' && label[7] == '-';
}

/* Months have a first and a fifteenth; shorter periods a label wherever there is room. */
static void write_horizontal_axis(FILE *f, const struct frame *p)
{
	const struct chart *c = p->c;
	bool months = c->labels_n > 45 && is_day(c->labels[0]);
	double room = (p->right - p->left) / (double)c->labels_n;
	size_t every = (size_t)ceil(8 * CHARACTER / room);

	for (size_t i = 0; i < c->labels_n; i++) {
		const char *day = months ? c->labels[i] + 8 : "";
		char label[64];

		if (months ? strcmp(day, "01") != 0 && strcmp(day, "15") != 0 : i % every != 0)
			continue;
		report_format_tick(label, sizeof(label), c->labels[i]);
		line(f, "axis", x_at(p, i), p->bottom, x_at(p, i), p->bottom + 5);
		text(f, x_at(p, i), p->bottom + 19, "middle", label);
	}
}

static void write_line(FILE *f, const struct frame *p, size_t s)
{
	const struct chart_series *series = &p->c->series[s];
	size_t n = p->c->labels_n;
	bool open = false;

	(void)fprintf(f, "<path class=\"line s%zu\" d=\"", s);
	for (size_t i = 0; i < n; i++) {
		if (has_value(series, i))
			(void)fprintf(f, "%s%.1f %.1f", open ? "L" : "M", x_at(p, i),
				y_at(p, series->values[i]));
		open = has_value(series, i);
	}
	(void)fputs("\"/>\n", f);
	for (size_t i = 0; i < n; i++) {
		bool alone = has_value(series, i) && (i == 0 || !has_value(series, i - 1)) &&
			     (i + 1 == n || !has_value(series, i + 1));

		if (alone)
			(void)fprintf(f,
				"<circle class=\"s%zu b%zu solid\" cx=\"%.1f\" cy=\"%.1f\" "
				"r=\"2\"/>\n",
				s, s, x_at(p, i), y_at(p, series->values[i]));
		else if (is_few(series, i))
			(void)fprintf(f,
				"<circle class=\"few s%zu solid\" cx=\"%.1f\" cy=\"%.1f\" "
				"r=\"1.6\"/>\n",
				s, x_at(p, i), p->bottom);
	}
}

/* Two and two bars belong together: the second of them is a paler first. */
static void write_bars(FILE *f, const struct frame *p, size_t s)
{
	const struct chart_series *series = &p->c->series[s];
	double group = 0.84 * (p->right - p->left) / (double)p->c->labels_n;
	double width = group / (double)p->c->series_n;

	for (size_t i = 0; i < p->c->labels_n; i++) {
		double x = x_at(p, i) - group / 2 + width * (double)s;
		AUTO_FREE char *shown = NULL;
		char label[32];

		if (is_few(series, i)) {
			text(f, x + width / 2, p->bottom - 5, "middle", "< 5");
			continue;
		}
		if (isnan(series->values[i])) {
			text(f, x + width / 2, p->bottom - 5, "middle", "no data");
			continue;
		}
		(void)fprintf(f,
			"<rect class=\"s%zu b%zu solid%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			"height=\"%.1f\"/>\n",
			s & ~(size_t)1, s & ~(size_t)1, s % 2 == 1 ? " odd" : "", x + 1,
			y_at(p, series->values[i]), width - 2,
			p->bottom - y_at(p, series->values[i]));
		(void)snprintf(label, sizeof(label), "%.17g", series->values[i]);
		shown = report_format_value(FORMAT_MEAN, label);
		text(f, x + width / 2, y_at(p, series->values[i]) - 4, "middle",
			shown ? shown : "");
	}
}

/* A name at the end of its line, moved where another stands. */
struct name {
	size_t s;
	double x, y; /* of the last point; y NAN: there is none */
	double at;
};

static int compare_names(const void *a, const void *b)
{
	const struct name *p = a, *q = b;

	return p->y < q->y ? -1 : p->y > q->y ? 1 : (p->s > q->s) - (p->s < q->s);
}

static void place_names(const struct frame *p, struct name *names)
{
	size_t n = p->c->series_n;
	double lowest = p->bottom;

	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++) {
		names[i].at = names[i].y;
		if (i > 0 && names[i].at < names[i - 1].at + NAME_HEIGHT)
			names[i].at = names[i - 1].at + NAME_HEIGHT;
	}
	for (size_t i = n; i-- > 0;) {
		if (names[i].at > lowest)
			names[i].at = lowest;
		lowest = names[i].at - NAME_HEIGHT;
	}
}

static void write_names(FILE *f, const struct frame *p)
{
	const struct chart *c = p->c;
	struct name names[CHART_SERIES_MAX];

	for (size_t s = 0; s < c->series_n; s++) {
		names[s] = (struct name){.s = s, .x = p->right, .y = p->bottom};
		if (c->bars) {
			names[s].y = TOP + NAME_HEIGHT * (double)s;
			continue;
		}
		for (size_t i = 0; i < c->labels_n; i++)
			if (has_value(&c->series[s], i)) {
				names[s].x = x_at(p, i);
				names[s].y = y_at(p, c->series[s].values[i]);
			}
	}
	place_names(p, names);
	for (size_t i = 0; i < c->series_n; i++) {
		const struct name *n = &names[i];
		double x = p->right + 12;

		if (c->bars) {
			(void)fprintf(f,
				"<rect class=\"s%zu b%zu solid%s\" x=\"%.1f\" y=\"%.1f\" "
				"width=\"%d\" "
				"height=\"10\"/>\n",
				n->s & ~(size_t)1, n->s & ~(size_t)1, n->s % 2 == 1 ? " odd" : "",
				x, n->at - 5, SWATCH - 6);
		} else {
			/* A line that ends early is told by its dashes alone. */
			if (n->x > p->right - LEAD)
				line(f, "lead", n->x, n->y, x, n->at);
			(void)fprintf(f, "<path class=\"line s%zu\" d=\"M%.1f %.1fh%d\"/>\n", n->s,
				x, n->at, SWATCH - 4);
		}
		text(f, x + SWATCH, n->at + 4, "start", c->series[n->s].name);
	}
}

void chart_write(FILE *f, const struct chart *c)
{
	struct frame p = layout(c);

	assert(c->labels_n > 0 && c->series_n > 0 && c->series_n <= CHART_SERIES_MAX);
	(void)fprintf(f,
		"<svg%s class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" "
		"aria-labelledby=\"%s-title %s-desc\">\n<title id=\"%s-title\">",
		c->standalone ? " xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"300\""
			      : "",
		WIDTH, HEIGHT, c->id, c->id, c->id);
	report_escape(f, c->title);
	(void)fprintf(f, "</title>\n<desc id=\"%s-desc\">", c->id);
	report_escape(f, c->description);
	(void)fputs("</desc>\n", f);
	if (c->standalone) {
		(void)fprintf(f, "<style>\n%s</style>\n", chart_style);
		(void)fputs(
			"<rect width=\"100%\" height=\"100%\" style=\"fill:var(--paper)\"/>\n", f);
	}
	write_vertical_axis(f, &p);
	write_horizontal_axis(f, &p);
	for (size_t s = 0; s < c->series_n; s++) {
		if (c->bars)
			write_bars(f, &p, s);
		else
			write_line(f, &p, s);
	}
	write_names(f, &p);
	(void)fputs("</svg>\n", f);
}
