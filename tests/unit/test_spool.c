#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "spool_fixture.h"

static void test_append_deliver(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	assert_true(spool_all_acked(f->s));
	assert_int_equal(spool_stream(f->s, 0).newest_seq, 0);
	append(f, 0, 100);
	assert_true(segments(f) > 3);
	assert_false(spool_all_acked(f->s));
	assert_true(spool_unacked_bytes(f->s) > 100 * 200);
	deliver(f, 1000, true);
	assert_stored(0, 100, 1);
	assert_true(spool_all_acked(f->s));
	assert_int_equal(spool_unacked_bytes(f->s), 0);
	assert_int_equal(spool_stream(f->s, 0).acked_seq, 100);
	assert_int_equal(spool_stream(f->s, 0).packets_total, packets_of(0, 100));
	assert_int_equal(model.lost_packets, 0);
}

static void test_restart_continues(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 30; i++) {
		reopen(f);
		append(f, i * 3, 3);
		if (i % 7 == 6)
			deliver(f, 4, true);
	}
	reopen(f);
	deliver(f, 1000, true);
	assert_stored(0, 90, 1);
	/* Restarts go on in the last segment. */
	assert_true(segments(f) < 12);
}

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct spool *other;
	char *reason = NULL;

	reopen(f);
	assert_int_equal(spool_open(&f->o, &other, &reason), SPOOL_LOCKED);
	assert_non_null(strstr(reason, "another process"));
	free(reason);
}

static void test_options(void **state)
{
	struct fixture *f = *state;
	struct spool *s;
	char *reason = NULL;

	f->o.max_bytes = 65535;
	assert_int_equal(spool_open(&f->o, &s, &reason), -EINVAL);
	assert_non_null(strstr(reason, "64 KiB"));
	free(reason);
	f->o.max_bytes = 65536;
	f->o.dir = "/proc/nowhere/spool";
	assert_true(spool_open(&f->o, &s, &reason) < 0);
	assert_non_null(strstr(reason, "/proc/nowhere/spool"));
	free(reason);
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;
	uint8_t *record = malloc(FRAME_MAX + 1);

	assert_non_null(record);
	f->o.max_bytes = 8 << 20;
	reopen(f);
	model_record(record, FRAME_MAX, 1);
	assert_int_equal(spool_append(f->s, FRAME_BATCH, 1, record, FRAME_MAX + 1), -EINVAL);
	assert_int_equal(
		spool_append(f->s, FRAME_BATCH, 1, record, FRAME_HEADER_SIZE - 1), -EINVAL);
	assert_int_equal(spool_append(f->s, FRAME_LOSS, 1, record, 100), -EINVAL);
	assert_int_equal(spool_append(f->s, FRAME_BATCH, UINT64_C(1) << 32, record, 100), -EINVAL);
	for (uint64_t id = 0; id < 6; id++)
		assert_int_equal(model_append(f->s, id, id % 2 ? FRAME_MAX : 80), 0);
	reopen(f);
	deliver(f, 100, true);
	assert_stored(0, 6, 1);
	/* Larger than all of the spool: refused, and counted in a LOSS. */
	f->o.max_bytes = 65536;
	reopen(f);
	deliver(f, 0, true);
	assert_int_equal(model_append(f->s, 6, FRAME_MAX), SPOOL_REFUSED);
	append(f, 7, 1);
	assert_int_equal(spool_counters(f->s)->packets_lost, model_packets(6));
	deliver(f, 100, true);
	assert_stored(6, 1, 0);
	assert_stored(7, 1, 1);
	assert_int_equal(model.lost_packets, model_packets(6));
	free(record);
}

/* Numbers near 2^32 and at the end of all numbers. */
static void test_large_numbers(void **state)
{
	static const uint64_t first[] = {UINT64_C(0xfffffff0), SEQ_MAX - 40};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		uint64_t epoch;

		f->o.first_seq = first[i];
		memset(&model, 0, sizeof(model));
		reopen(f);
		epoch = spool_stream(f->s, 0).epoch;
		model_stream(&model, epoch)->seq = first[i] - 1;
		append(f, 0, 35);
		reopen(f);
		assert_int_equal(spool_stream(f->s, 0).epoch, epoch);
		deliver(f, 20, true);
		append(f, 35, 65);
		deliver(f, 1000, true);
		assert_stored(0, 100, 1);
		if (i == 0) {
			assert_int_equal(spool_stream(f->s, 0).newest_seq, first[0] + 99);
		} else {
			assert_int_equal(spool_streams_n(f->s), 2);
			assert_int_equal(spool_stream(f->s, 0).newest_seq, SEQ_MAX - 1);
		}
		f->s = spool_close(f->s);
		remove_tree(f->dir);
	}
}

static void test_expire(void **state)
{
	struct fixture *f = *state;
	size_t n;

	reopen(f);
	append(f, 0, 100);
	n = segments(f);
	deliver(f, 60, true);
	spool_expire(f->s, clock_mono_us() + f->o.retain_us - US_PER_S * 60);
	assert_int_equal(segments(f), n);
	spool_expire(f->s, clock_mono_us() + f->o.retain_us + US_PER_S * 60);
	assert_true(segments(f) < n);
	deliver(f, 1000, true);
	spool_expire(f->s, clock_mono_us() + f->o.retain_us + US_PER_S * 60);
	assert_int_equal(segments(f), 1);
	/* The position survives a restart. */
	reopen(f);
	append(f, 100, 10);
	deliver(f, 1000, true);
	assert_stored(0, 110, 1);
	assert_int_equal(spool_streams_n(f->s), 1);
}

static void test_database_restored(void **state)
{
	struct fixture *f = *state;
	static struct model dump;

	reopen(f);
	append(f, 0, 50);
	deliver(f, 20, true);
	dump = model;
	deliver(f, 1000, true);
	assert_true(spool_all_acked(f->s));
	model = dump;
	deliver(f, 5, true);
	assert_int_equal(spool_stream(f->s, 0).acked_seq, 25);
	assert_false(spool_all_acked(f->s));
	deliver(f, 1000, true);
	assert_stored(0, 50, 1);
	assert_int_equal(model.lost_packets, 0);
}

/* What was acknowledged and dropped long ago is a LOSS when it is asked for again. */
static void test_retention_loss(void **state)
{
	struct fixture *f = *state;
	static struct model dump;

	reopen(f);
	append(f, 0, 100);
	deliver(f, 10, true);
	dump = model;
	deliver(f, 1000, true);
	f->o.retain_us = 0;
	reopen(f);
	append(f, 100, 10);
	deliver(f, 1000, true);
	spool_expire(f->s, clock_mono_us() + 1);
	model = dump;
	assert_true(spool_stream(f->s, 0).oldest_seq > 11);
	deliver(f, 1000, true);
	assert_true(model.lost_packets > 0);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 110));
	/* Again from further back: the LOSS grows instead of a second one in front. */
	memset(&model, 0, sizeof(model));
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 110));
	reopen(f);
	memset(&model, 0, sizeof(model));
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 110));
}

static void test_overflow(void **state)
{
	struct fixture *f = *state;
	struct spool_stream st;

	f->o.max_bytes = 65536;
	reopen(f);
	append(f, 0, 400);
	assert_true(spool_counters(f->s)->bytes <= f->o.max_bytes);
	assert_true(spool_counters(f->s)->packets_lost > 0);
	/* Adjacent LOSSes are one file. */
	assert_true(segment(f, 0).bytes < 200);
	assert_true(segment(f, 1).bytes > 200);
	st = spool_stream(f->s, 0);
	assert_int_equal(st.oldest_seq, 1);
	assert_int_equal(st.packets_total, packets_of(0, 400));
	reopen(f);
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 400));
	assert_stored(390, 10, 1);
}

/* The position lies inside the LOSS: part of what was dropped had been committed. */
static void test_overflow_trim(void **state)
{
	struct fixture *f = *state;
	uint64_t lost;

	f->o.max_bytes = 65536;
	reopen(f);
	append(f, 0, 50);
	deliver(f, 13, false); /* committed; the acknowledgements were lost */
	append(f, 50, 350);
	lost = spool_counters(f->s)->packets_lost;
	assert_true(lost > packets_of(0, 13));
	reopen(f);
	deliver(f, 0, true);
	append(f, 400, 1);
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 401));
	assert_int_equal(model.lost_packets, lost - packets_of(0, 13));
	assert_stored(0, 13, 1);
}

static void test_acked_dropped_first(void **state)
{
	struct fixture *f = *state;

	f->o.max_bytes = 65536;
	reopen(f);
	for (uint64_t i = 0; i < 20; i++) {
		append(f, i * 30, 30);
		deliver(f, 1000, true);
	}
	assert_int_equal(spool_counters(f->s)->packets_lost, 0);
	assert_int_equal(model.lost_packets, 0);
	assert_true(spool_counters(f->s)->bytes <= f->o.max_bytes);
	assert_stored(0, 600, 1);
}

static void test_in_flight_dropped_last(void **state)
{
	struct fixture *f = *state;
	struct buf out;
	struct frame_header h;
	uint64_t id = 40;

	f->o.max_bytes = 65536;
	buf_init(&out, FRAME_MAX);
	reopen(f);
	append(f, 0, 40);
	assert_int_equal(spool_resume(f->s, 0, 0, 0, 0), SPOOL_POSITION_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(spool_next(f->s, &out, &h), 0);
		assert_null(model_commit(&model, buf_head(&out), buf_len(&out)));
	}
	/* Others go first ... */
	while (spool_counters(f->s)->packets_lost == 0)
		append(f, id++, 1);
	append(f, id, 20);
	id += 20;
	assert_false(spool_must_reconnect(f->s));
	/* ... and the connection can go on: it comes to the LOSS in its time. */
	while (spool_next(f->s, &out, &h) == 0)
		assert_null(model_commit(&model, buf_head(&out), buf_len(&out)));
	assert_false(spool_must_reconnect(f->s));
	assert_true(model.lost_packets > 0);
	/* Now all of it is in flight. */
	append(f, id, 200);
	id += 200;
	assert_true(spool_must_reconnect(f->s));
	assert_int_equal(spool_next(f->s, &out, &h), SPOOL_END);
	buf_done(&out);
	deliver(f, 1000, true);
	assert_false(spool_must_reconnect(f->s));
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, id));
}

struct wanted {
	uint64_t id, calls;
};

static bool match_id(void *arg, const struct frame_header *h, const uint8_t *payload)
{
	struct wanted *w = arg;
	uint64_t id;

	assert_int_equal(h->type, FRAME_BATCH);
	memcpy(&id, payload, sizeof(id));
	w->calls++;
	return be64toh(id) == w->id;
}

static void test_find_last(void **state)
{
	struct fixture *f = *state;
	struct wanted w = {.id = 0};
	struct tree_file file;

	reopen(f);
	assert_int_equal(spool_find_last(f->s, match_id, &w), SPOOL_END);
	append(f, 0, 100);
	assert_int_equal(spool_find_last(f->s, match_id, &w), 0);
	assert_int_equal(w.calls, 100);
	w = (struct wanted){.id = 97};
	reopen(f);
	assert_int_equal(spool_find_last(f->s, match_id, &w), 0);
	assert_int_equal(w.calls, 3);
	w = (struct wanted){.id = 12345};
	file = segment(f, 2);
	damage(&file, 10, 1);
	assert_int_equal(spool_find_last(f->s, match_id, &w), SPOOL_END);
	assert_int_equal(w.calls, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_append_deliver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_continues, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_database_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow_trim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_acked_dropped_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_flight_dropped_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find_last, setup, teardown),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
