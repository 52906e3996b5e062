#include "common/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_bounds(void **state)
{
	struct backoff b;
	uint32_t last = 250;

	(void)state;
	backoff_init(&b, 250, 30000, 7);
	for (int i = 0; i < 10000; i++) {
		uint32_t wait = backoff_next(&b);

		assert_in_range(wait, 250, 30000);
		assert_true(wait <= (uint64_t)last * 3);
		last = wait;
	}
}

static void test_reset(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 100, 60000, 1);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 20; i++)
			(void)backoff_next(&b);
		backoff_reset(&b);
		assert_in_range(backoff_next(&b), 100, 300);
	}
}

/* It grows to the cap, and a storm of 1,000 spreads: no tenth of the range holds half of them. */
static void test_spreads(void **state)
{
	unsigned at_cap = 0, tenth[10] = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		struct backoff b;
		uint32_t wait = 0;

		backoff_init(&b, 1000, 60000, seed);
		for (int i = 0; i < 3; i++)
			wait = backoff_next(&b);
		tenth[wait < 27000 ? wait / 2700 : 9]++;
		for (int i = 0; i < 30 && wait < 60000; i++)
			wait = backoff_next(&b);
		at_cap += wait == 60000;
	}
	assert_true(at_cap > 900);
	for (int i = 0; i < 10; i++)
		assert_true(tenth[i] < 500);
}

static void test_seeds(void **state)
{
	struct backoff a, b, c;
	unsigned same = 0;

	(void)state;
	backoff_init(&a, 1, 1000000, 5);
	backoff_init(&b, 1, 1000000, 5);
	for (int i = 0; i < 20; i++)
		assert_int_equal(backoff_next(&a), backoff_next(&b));
	backoff_init(&b, 1000, UINT32_MAX, 0);
	backoff_init(&c, 1000, UINT32_MAX, 0);
	for (int i = 0; i < 20; i++)
		same += backoff_next(&b) == backoff_next(&c);
	assert_true(same < 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_spreads),
		cmocka_unit_test(test_seeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
