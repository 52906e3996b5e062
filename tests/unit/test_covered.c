#include "sensor/covered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/clock.h"

#define NOW (INT64_C(1700000000) * US_PER_S)

static void expect(struct covered c, int64_t from_us, int64_t to_us)
{
	assert_int_equal(c.from_us, from_us);
	assert_int_equal(c.to_us, to_us);
}

static void test_intervals_touch(void **state)
{
	struct listening l = {0};

	(void)state;
	expect(listening_take(&l, NOW, 5), 0, 0);
	listening_begin(&l, NOW, 1000);
	expect(listening_take(&l, NOW + 60 * US_PER_S, 1000 + 60 * US_PER_S), NOW,
		NOW + 60 * US_PER_S);
	expect(listening_take(&l, NOW + 90 * US_PER_S, 1003 + 90 * US_PER_S), NOW + 60 * US_PER_S,
		NOW + 90 * US_PER_S);
	listening_end(&l);
	expect(listening_take(&l, NOW + 99 * US_PER_S, 1000 + 99 * US_PER_S), 0, 0);
}

/* A machine without a battery starts in 1970 and is told the time after a minute. */
static void test_clock_set_forward(void **state)
{
	struct listening l = {0};

	(void)state;
	listening_begin(&l, 100, 1000);
	expect(listening_take(&l, NOW, 1000 + 60 * US_PER_S), NOW - 60 * US_PER_S, NOW);
	expect(listening_take(&l, NOW + US_PER_S, 1000 + 61 * US_PER_S), NOW, NOW + US_PER_S);
}

static void test_clock_set_back(void **state)
{
	struct listening l = {0};

	(void)state;
	listening_begin(&l, NOW, 1000);
	expect(listening_take(&l, NOW - 3600 * US_PER_S, 1000 + 60 * US_PER_S), 0, 0);
	expect(listening_take(&l, NOW - 3540 * US_PER_S, 1000 + 120 * US_PER_S),
		NOW - 3600 * US_PER_S, NOW - 3540 * US_PER_S);
}

static void test_capture(void **state)
{
	struct covered c = {0};

	(void)state;
	covered_packet(&c, 0);
	expect(c, 0, 1);
	c = (struct covered){0};
	covered_packet(&c, NOW);
	covered_packet(&c, NOW - 7);
	covered_packet(&c, NOW + 9);
	covered_packet(&c, NOW + 8);
	expect(c, NOW - 7, NOW + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intervals_touch),
		cmocka_unit_test(test_clock_set_forward),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_capture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
