/*
 * Values as a publication shows them, and text made safe for HTML, SVG and Markdown. Knows neither
 * the database nor the report.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_REPORT_FORMAT_H
#define HIRUNDO_COLLECTOR_ADMIN_REPORT_FORMAT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/mem.h"

/** Fewer hosts than these are told to nobody outside: a cell could be one scanner's mark. */
#define REPORT_HOSTS_MIN 5

enum report_format {
	FORMAT_TEXT,
	FORMAT_COUNT, /* whole number, any length */
	FORMAT_HOSTS, /* the same; below REPORT_HOSTS_MIN "< 5" */
	FORMAT_MEAN, /* three digits or more, at most two decimals */
	FORMAT_SHARE, /* 0 to 1, as percent */
	FORMAT_DAY, /* YYYY-MM-DD, shown so: it sorts, and nobody takes it for another day */
	FORMAT_MONTH, /* YYYY-MM, shown as "Jan 2023" */
	FORMAT_PREVIOUS, /* a rank; NULL: not seen then */
};

/** Text of an element or of an attribute in double quotes, for HTML and XML alike. What XML can not
 *  hold (control characters) becomes U+FFFD. */
void report_escape(FILE *f, const char *text);

/** Text of a Markdown paragraph or table cell: nothing of it is markup, and it is one line. */
void report_escape_markdown(FILE *f, const char *text);

/** A decimal number with commas between thousands: "-1234567.5" becomes "-1,234,567.5". What is no
 *  number is copied. @return heap text, NULL out of memory */
char *report_group_digits(const char *number) MUST_CHECK;

/** A value as it is shown. @return heap text, NULL out of memory */
char *report_format_value(enum report_format format, const char *value) MUST_CHECK;

/** Whether numbers of this kind stand on the right. */
bool report_format_is_number(enum report_format format);

/** "1 Jan" of "2023-01-01", "Jan 2023" of "2023-01", else the text, cut to n bytes. */
void report_format_tick(char *ret, size_t n, const char *label);

#endif
