#include "collector/admin/report_format.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const char *const months[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void report_escape(FILE *f, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&': (void)fputs("&amp;", f); break;
		case '<': (void)fputs("&lt;", f); break;
		case '>': (void)fputs("&gt;", f); break;
		case '"': (void)fputs("&quot;", f); break;
		case '\'': (void)fputs("&#39;", f); break;
		default:
			if ((unsigned char)*text < ' ' && *text != '\n' && *text != '\t')
				(void)fputs(REPLACEMENT, f);
			else
				(void)fputc(*text, f);
		}
}

void report_escape_markdown(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (strchr("\\`*_{}[]<>#|&~!$", *text))
			(void)fputc('\\', f);
		if ((unsigned char)*text < ' ')
			(void)fputc(' ', f);
		else
			(void)fputc(*text, f);
	}
}

char *report_group_digits(const char *number)
{
	size_t sign = *number == '-', whole = strspn(number + sign, "0123456789"), n = 0;
	const char *rest = number + sign + whole;
	char *text;

	if (whole == 0 || rest[*rest == '.' ? 1 + strspn(rest + 1, "0123456789") : 0] != '\0')
		return strdup(number);
	text = malloc(strlen(number) + whole / 3 + 1);
	if (!text)
		return NULL;
	if (sign)
		text[n++] = '-';
	for (size_t i = 0; i < whole; i++) {
		if (i > 0 && (whole - i) % 3 == 0)
			text[n++] = ',';
		text[n++] = number[sign + i];
	}
	memcpy(text + n, rest, strlen(rest) + 1);
	return text;
}

static char *format_number(double value, int decimals, const char *unit)
{
	char plain[400]; /* the longest double has 309 digits before its point */
	AUTO_FREE char *grouped = NULL;
	char *text;

	(void)snprintf(plain, sizeof(plain), "%.*f", decimals, value);
	grouped = report_group_digits(plain);
	if (!grouped || asprintf(&text, "%s%s", grouped, unit) < 0)
		return NULL;
	return text;
}

static char *format_mean(double value)
{
	double size = value < 0 ? -value : value;

	return format_number(value, size >= 100 ? 0 : size >= 10 ? 1 : 2, "");
}

void report_format_tick(char *ret, size_t n, const char *label)
{
	int year, month, day, end = 0;

	if (sscanf(label, "%4d-%2d-%2d%n", &year, &month, &day, &end) == 3 && label[end] == '\0' &&
		month >= 1 && month <= 12)
		(void)snprintf(ret, n, "%d %s", day, months[month - 1]);
	else if (sscanf(label, "%4d-%2d%n", &year, &month, &end) == 2 && label[end] == '\0' &&
		 month >= 1 && month <= 12)
		(void)snprintf(ret, n, "%s %d", months[month - 1], year);
	else
		(void)snprintf(ret, n, "%s", label);
}

static char *format_month(const char *value)
{
	char text[16];

	report_format_tick(text, sizeof(text), value);
	return strdup(text);
}

char *report_format_value(enum report_format format, const char *value)
{
	switch (format) {
	case FORMAT_HOSTS:
		if (strtod(value, NULL) < REPORT_HOSTS_MIN)
			return strdup("< 5");
		return report_group_digits(value);
	case FORMAT_COUNT:
	case FORMAT_PREVIOUS: return report_group_digits(value);
	case FORMAT_MEAN: return format_mean(strtod(value, NULL));
	case FORMAT_SHARE: return format_number(100 * strtod(value, NULL), 1, " %");
	case FORMAT_MONTH: return format_month(value);
	case FORMAT_TEXT:
	case FORMAT_DAY: break;
	}
	return strdup(value);
}

bool report_format_is_number(enum report_format format)
{
	return format != FORMAT_TEXT && format != FORMAT_DAY && format != FORMAT_MONTH;
}
