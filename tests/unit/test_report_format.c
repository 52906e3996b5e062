/* Numbers and text of publications: ticks, thousands, escaping, and charts that are well-formed. */
#include "collector/admin/report_chart.h"
#include "collector/admin/report_format.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

static void check_ticks(double greatest, double step, int n, int decimals)
{
	struct chart_ticks t = chart_ticks(greatest);

	assert_true(fabs(t.step - step) <= step * 1e-12);
	assert_int_equal(t.n, n);
	assert_int_equal(t.decimals, decimals);
}

static void test_ticks(void **state)
{
	(void)state;
	check_ticks(0, 1, 1, 0);
	check_ticks(NAN, 1, 1, 0);
	check_ticks(INFINITY, 1, 1, 0);
	check_ticks(-3, 1, 1, 0);
	check_ticks(1, 0.2, 5, 1);
	check_ticks(5, 1, 5, 0);
	check_ticks(5.01, 2, 3, 0);
	check_ticks(10, 2, 5, 0);
	check_ticks(99, 20, 5, 0);
	check_ticks(100, 20, 5, 0);
	check_ticks(101, 50, 3, 0);
	check_ticks(250, 50, 5, 0);
	check_ticks(251, 100, 3, 0);
	check_ticks(0.3, 0.1, 3, 1); /* 0.3 / 0.1 is 2.9999999999999996 */
	check_ticks(0.07, 0.02, 4, 2);
	check_ticks(1234567, 500000, 3, 0);
	check_ticks(9.9e15, 2e15, 5, 0);
}

/* Whatever comes: few ticks, all of it below the last, which is not far above. */
static void test_ticks_hold(void **state)
{
	(void)state;
	for (double v = 1e-9; v < 1e18; v *= 1.0371) {
		struct chart_ticks t = chart_ticks(v);

		assert_in_range(t.n, 1, 6);
		assert_true(t.step * t.n >= v * (1 - 1e-8));
		assert_true(t.step * (t.n - 1) < v);
	}
}

static void check_digits(const char *number, const char *want)
{
	AUTO_FREE char *got = report_group_digits(number);

	assert_string_equal(got, want);
}

static void test_digits(void **state)
{
	(void)state;
	check_digits("0", "0");
	check_digits("999", "999");
	check_digits("1000", "1,000");
	check_digits("-1000", "-1,000");
	check_digits("123456", "123,456");
	check_digits("9223372036854775807", "9,223,372,036,854,775,807");
	check_digits("1234.5678", "1,234.5678");
	check_digits("", "");
	check_digits("-", "-");
	check_digits("any", "any");
	check_digits("1e9", "1e9");
	check_digits("12345/TCP", "12345/TCP");
}

static void check_value(enum report_format format, const char *value, const char *want)
{
	AUTO_FREE char *got = report_format_value(format, value);

	assert_string_equal(got, want);
}

static void test_values(void **state)
{
	(void)state;
	check_value(FORMAT_COUNT, "1234567", "1,234,567");
	check_value(FORMAT_COUNT, "4", "4");
	check_value(FORMAT_HOSTS, "0", "< 5");
	check_value(FORMAT_HOSTS, "4", "< 5");
	check_value(FORMAT_HOSTS, "5", "5");
	check_value(FORMAT_MEAN, "1234.6", "1,235");
	check_value(FORMAT_MEAN, "99.96", "100.0");
	check_value(FORMAT_MEAN, "12.34", "12.3");
	check_value(FORMAT_MEAN, "1.2345", "1.23");
	check_value(FORMAT_MEAN, "0", "0.00");
	check_value(FORMAT_SHARE, "0.12345", "12.3 %");
	check_value(FORMAT_SHARE, "1", "100.0 %");
	check_value(FORMAT_MONTH, "2023-01", "Jan 2023");
	check_value(FORMAT_DAY, "2023-01-31", "2023-01-31");
	check_value(FORMAT_TEXT, "<b>", "<b>");
}

static void check_tick(const char *label, const char *want)
{
	char got[32];

	report_format_tick(got, sizeof(got), label);
	assert_string_equal(got, want);
}

static void test_tick_labels(void **state)
{
	(void)state;
	check_tick("2023-12-01", "1 Dec");
	check_tick("2023-12", "Dec 2023");
	check_tick("2023-13", "2023-13");
	check_tick("2023-13-01", "2023-13-01");
	check_tick("2023-12-01x", "2023-12-01x");
	check_tick("JP", "JP");
	check_tick("", "");
}

static void check_escape(
	void (*escape)(FILE *f, const char *text), const char *text, const char *want)
{
	AUTO_FREE char *got = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&got, &n);

	escape(f, text);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(got, want);
}

static void test_escape(void **state)
{
	(void)state;
	check_escape(report_escape, "a < b & \"c\" > 'd'",
		"a &lt; b &amp; &quot;c&quot; &gt; &#39;d&#39;");
	check_escape(report_escape, "</title><script>", "&lt;/title&gt;&lt;script&gt;");
	check_escape(report_escape, "\x01\x1b[31m\n\t\xc3\xa9",
		"\xef\xbf\xbd\xef\xbf\xbd[31m\n\t\xc3\xa9");
	check_escape(report_escape_markdown, "a|b*c_d`e", "a\\|b\\*c\\_d\\`e");
	check_escape(report_escape_markdown, "[x](y) <b> \\ a\nb", "\\[x\\](y) \\<b\\> \\\\ a b");
}

static char *draw(const struct chart *c)
{
	char *svg = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&svg, &n);

	chart_write(f, c);
	assert_int_equal(fclose(f), 0);
	return svg;
}

static size_t occurrences(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

/* A gap interrupts the line, a lone point is a dot, too few hosts an open circle; names are text.
 */
static void test_gaps(void **state)
{
	const char *const labels[] = {
		"2023-01-01", "2023-01-02", "2023-01-03", "2023-01-04", "2023-01-05", "2023-01-06"};
	const double values[] = {1, 2, NAN, 4, NAN, 3};
	const bool few[] = {false, false, false, false, true, false};
	const struct chart_series series[] = {{"a<b", values, few}};
	const struct chart c = {.id = "x",
		.title = "T & t",
		.description = "d",
		.unit = "u",
		.labels = labels,
		.labels_n = 6,
		.series = series,
		.series_n = 1};
	AUTO_FREE char *svg = draw(&c);
	const char *path = strstr(svg, "<path class=\"line s0\" d=\"");

	(void)state;
	assert_non_null(path);
	path += strlen("<path class=\"line s0\" d=\"");
	*strchr(path, '"') = '\0';
	assert_int_equal(occurrences(path, "M"), 3);
	assert_int_equal(occurrences(path, "L"), 1);
	path += strlen(path) + 1;
	assert_int_equal(occurrences(path, "<circle class=\"s0"), 2);
	assert_int_equal(occurrences(path, "<circle class=\"few"), 1);
	assert_non_null(strstr(path, "a&lt;b"));
	assert_non_null(strstr(svg, "T &amp; t"));
}

/* The axis is that of what is shown: a value of too few hosts can not be read off it. */
static void test_few_do_not_scale(void **state)
{
	const char *const labels[] = {"2023-01", "2023-02"};
	const double values[] = {10, 90000};
	const bool few[] = {false, true};
	const struct chart_series series[] = {{"a", values, few}};
	struct chart c = {.id = "x",
		.title = "t",
		.description = "d",
		.unit = "u",
		.labels = labels,
		.labels_n = 2,
		.series = series,
		.series_n = 1};

	(void)state;
	for (int bars = 0; bars < 2; bars++) {
		AUTO_FREE char *svg = NULL;

		c.bars = bars;
		svg = draw(&c);
		assert_null(strstr(svg, ",000"));
		assert_non_null(strstr(svg, ">10<"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_ticks_hold),
		cmocka_unit_test(test_digits),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_tick_labels),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_few_do_not_scale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
