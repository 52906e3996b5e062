/*
 * Charts as SVG: lines with gaps, or groups of bars. Colours are those of Okabe and Ito (told apart
 * by people who see few colours), with a dash pattern each for print; names stand at the lines.
 * Title and description are there for who does not see it. Knows neither database nor report.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_REPORT_CHART_H
#define HIRUNDO_COLLECTOR_ADMIN_REPORT_CHART_H

#include <stdbool.h>
#include <stdio.h>

#include "common/mem.h"

/** Colours and dash patterns that there are. */
#define CHART_SERIES_MAX 6

struct chart_series {
	const char *name;
	/** One for each label; NAN: nothing is known, the line has a gap. */
	const double *values;
	/** One for each label: too few hosts to tell, shown as an open circle on the axis; its
	 *  value is not looked at. */
	const bool *few;
};

struct chart {
	const char *id; /* unique in a page: letters, digits, '-' */
	const char *title, *description;
	const char *unit; /* of the vertical axis */
	/** Of the horizontal axis: days as YYYY-MM-DD, months as YYYY-MM, else as shown. */
	const char *const *labels;
	size_t labels_n; /* 1 or more */
	const struct chart_series *series;
	size_t series_n; /* 1 to CHART_SERIES_MAX */
	bool bars;
	bool standalone; /* a file of its own: with style sheet and namespace */
};

/** Ticks of an axis from 0: 0, step ... n * step, the last at or above the greatest value. */
struct chart_ticks {
	double step; /* 1, 2 or 5 times a power of ten */
	int n; /* 1 to 6 */
	int decimals; /* that a tick's label needs */
};

struct chart_ticks chart_ticks(double greatest);

void chart_write(FILE *f, const struct chart *c);

/** The style sheet of charts, for a page that holds some. */
extern const char chart_style[];

#endif
