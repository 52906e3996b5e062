#include "sensor/spool_alert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "common/clock.h"

static void test_at_once_then_once_a_minute(void **state)
{
	struct spool_alert a = {0};
	struct spool_counters now = {.bytes = 7}, c;

	(void)state;
	assert_false(spool_alert_due(&a, &now, 1, &c));
	now.write_errors = 2;
	now.last_error = EIO;
	assert_true(spool_alert_due(&a, &now, 2, &c));
	assert_int_equal(c.write_errors, 2);
	assert_int_equal(c.last_error, EIO);
	assert_int_equal(c.bytes, 7);
	assert_false(spool_alert_due(&a, &now, 100 * US_PER_S, &c)); /* told */
	now.segments_bad = 1;
	assert_true(spool_alert_due(&a, &now, 100 * US_PER_S, &c));
	assert_int_equal(c.write_errors, 0);
	now.torn_bytes = 5;
	assert_false(spool_alert_due(&a, &now, 159 * US_PER_S, &c));
	now.write_errors = 5;
	assert_true(spool_alert_due(&a, &now, 160 * US_PER_S, &c));
	assert_int_equal(c.torn_bytes, 5);
	assert_int_equal(c.write_errors, 3);
	assert_int_equal(c.segments_bad, 0);
}

static void test_losses_become_fewer(void **state)
{
	struct spool_alert a = {0};
	struct spool_counters now = {.records_lost = 5, .packets_lost = 50}, c;

	(void)state;
	assert_true(spool_alert_due(&a, &now, 1, &c));
	assert_int_equal(c.packets_lost, 50);
	now.records_lost = 2;
	now.packets_lost = 20;
	assert_false(spool_alert_due(&a, &now, 100 * US_PER_S, &c));
	now.records_lost = 4;
	now.packets_lost = 45;
	assert_true(spool_alert_due(&a, &now, 200 * US_PER_S, &c));
	assert_int_equal(c.records_lost, 2);
	assert_int_equal(c.packets_lost, 25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once_then_once_a_minute),
		cmocka_unit_test(test_losses_become_fewer),
	};

	return cmocka_run_group_tests_name("spool_alert", tests, NULL, NULL);
}
