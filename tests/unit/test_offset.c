/* The clock offset of a STATUS: of one that is fresh only, also after days of one connection. */
#include "collector/offset.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/clock.h"

#define WALL INT64_C(1767225600000000)

static void test_offset(void **state)
{
	struct offset o = {500 * US_PER_S, 70 * US_PER_S};
	int64_t got = 0, ours = 70 * US_PER_S, sensor = 500 * US_PER_S;

	(void)state;
	/* Waited in the spool, or is of another boot of that machine. */
	assert_false(offset_status(&o, 490 * US_PER_S, WALL, ours + 1, WALL, &got));
	assert_false(offset_status(&o, 5000 * US_PER_S, WALL, ours + 1, WALL, &got));
	assert_false(offset_status(&o, 0, WALL, ours + 1, WALL, &got));
	assert_false(offset_status(&o, INT64_MAX, WALL, ours, WALL, &got));
	assert_true(offset_status(&o, (uint64_t)sensor + 1, WALL - 9, ours + 50000, WALL, &got));
	assert_int_equal(got, -9);
	/* Ten days, the sensor's oscillator 200 ppm too fast. */
	for (int64_t minute = 1; minute <= INT64_C(14400); minute++) {
		int64_t later = minute * 60 * US_PER_S;

		assert_true(offset_status(&o, (uint64_t)(sensor + later + later / 5000),
			WALL + later / 5000, ours + later, WALL, &got));
		assert_int_equal(got, later / 5000);
	}
	assert_false(
		offset_status(&o, (uint64_t)sensor, WALL, ours + 864000 * US_PER_S, WALL, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_offset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
