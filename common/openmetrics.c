#include "common/openmetrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void put(struct openmetrics *m, const char *s, size_t n)
{
	if (m->error == 0)
		m->error = buf_add(m->out, s, n);
}

static void put_text(struct openmetrics *m, const char *s)
{
	put(m, s, strlen(s));
}

/* OpenMetrics 1.0, escaping: backslash and line feed, in label values also the quote. */
static void put_escaped(struct openmetrics *m, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\n')
			put_text(m, "\\n");
		else if (*s == '\\' || (quotes && *s == '"'))
			put(m, (const char[]){'\\', *s}, 2);
		else
			put(m, s, 1);
	}
}

void openmetrics_init(struct openmetrics *m, struct buf *out)
{
	*m = (struct openmetrics){.out = out};
}

void openmetrics_family(
	struct openmetrics *m, enum openmetrics_type type, const char *name, const char *help)
{
	m->name = name;
	m->type = type;
	put_text(m, "# TYPE ");
	put_text(m, name);
	put_text(m, type == OPENMETRICS_COUNTER ? " counter\n# HELP " : " gauge\n# HELP ");
	put_text(m, name);
	put_text(m, " ");
	put_escaped(m, help, false);
	put_text(m, "\n");
}

static void put_name(struct openmetrics *m)
{
	put_text(m, m->name);
	if (m->type == OPENMETRICS_COUNTER)
		put_text(m, "_total");
}

static void put_value(struct openmetrics *m, double value)
{
	char text[40];

	/* Whole numbers as such, as far as a double holds them exactly (2^53): counters of packets
	 * must not be rounded for the reader. */
	if (isnan(value))
		(void)snprintf(text, sizeof(text), " NaN\n");
	else if (isinf(value))
		(void)snprintf(text, sizeof(text), " %sInf\n", value > 0 ? "+" : "-");
	else if (value == floor(value) && fabs(value) <= 9007199254740992.0)
		(void)snprintf(text, sizeof(text), " %.0f\n", value);
	else
		(void)snprintf(text, sizeof(text), " %.17g\n", value);
	put_text(m, text);
}

void openmetrics_value(struct openmetrics *m, double value)
{
	put_name(m);
	put_value(m, value);
}

void openmetrics_labelled(
	struct openmetrics *m, const char *label, const char *label_value, double value)
{
	put_name(m);
	put_text(m, "{");
	put_text(m, label);
	put_text(m, "=\"");
	put_escaped(m, label_value, true);
	put_text(m, "\"}");
	put_value(m, value);
}

int openmetrics_end(struct openmetrics *m)
{
	put_text(m, "# EOF\n");
	return m->error;
}
