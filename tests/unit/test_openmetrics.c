#include "common/openmetrics.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect(struct buf *b, const char *want)
{
	assert_int_equal(buf_add(b, "", 1), 0);
	assert_string_equal((const char *)buf_head(b), want);
	buf_done(b);
}

static void test_page(void **state)
{
	struct openmetrics m;
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	openmetrics_init(&m, &b);
	openmetrics_family(&m, OPENMETRICS_COUNTER, "rows", "Rows committed.");
	openmetrics_value(&m, 12345678901234.0);
	openmetrics_family(&m, OPENMETRICS_GAUGE, "lag_seconds", "Lag.");
	openmetrics_labelled(&m, "sensor", "jp-1", 0.25);
	openmetrics_labelled(&m, "sensor", "us-1", -3);
	assert_int_equal(openmetrics_end(&m), 0);
	expect(&b, "# TYPE rows counter\n# HELP rows Rows committed.\nrows_total 12345678901234\n"
		   "# TYPE lag_seconds gauge\n# HELP lag_seconds Lag.\n"
		   "lag_seconds{sensor=\"jp-1\"} 0.25\nlag_seconds{sensor=\"us-1\"} -3\n# EOF\n");
}

static void test_escaping(void **state)
{
	struct openmetrics m;
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	openmetrics_init(&m, &b);
	openmetrics_family(&m, OPENMETRICS_GAUGE, "a", "line\nback\\slash");
	openmetrics_labelled(&m, "l", "q\"b\\n\nx", 1);
	assert_int_equal(openmetrics_end(&m), 0);
	expect(&b, "# TYPE a gauge\n# HELP a line\\nback\\\\slash\na{l=\"q\\\"b\\\\n\\nx\"} 1\n# "
		   "EOF\n");
}

static void test_numbers(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {{0, "0"}, {1e14, "100000000000000"}, {9007199254740992.0, "9007199254740992"},
		{1e300, "1.0000000000000001e+300"}, {0.1, "0.10000000000000001"}, {NAN, "NaN"},
		{INFINITY, "+Inf"}, {-INFINITY, "-Inf"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct openmetrics m;
		struct buf b;
		char *line;

		buf_init(&b, 65536);
		openmetrics_init(&m, &b);
		openmetrics_family(&m, OPENMETRICS_GAUGE, "a", "A.");
		openmetrics_value(&m, cases[i].value);
		assert_int_equal(buf_add(&b, "", 1), 0);
		line = strstr((char *)buf_head(&b), "\na ");
		assert_non_null(line);
		line[strlen(line) - 1] = '\0';
		assert_string_equal(line + 3, cases[i].text);
		buf_done(&b);
	}
}

/* A page that does not fit is an error, not a shorter page. */
static void test_full(void **state)
{
	struct openmetrics m;
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	openmetrics_init(&m, &b);
	openmetrics_family(
		&m, OPENMETRICS_GAUGE, "a", "Much too long a text for such a small page.");
	openmetrics_value(&m, 1);
	assert_int_equal(openmetrics_end(&m), -ENOBUFS);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
