#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "sensor/fold.h"

#define T0 (INT64_C(1700000000) * US_PER_S) /* a full minute and a third: 22:13:20 */

static struct packet syn(uint32_t src, int64_t time_us, uint16_t ip_id)
{
	struct packet p = {.time_us = time_us, .ip_id = ip_id};

	p.key.family = 4;
	p.key.protocol = 6;
	p.key.present = HAS_SRC | HAS_PROTOCOL | HAS_TTL | HAS_IP_ID | HAS_IP_FLAGS |
			HAS_IP_LENGTH | HAS_SRC_PORT | HAS_DST_PORT | HAS_TCP_FLAGS | HAS_TCP_SEQ |
			HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH | HAS_PAYLOAD_LENGTH;
	store_be32(p.key.src, src);
	p.key.src_port = 1000;
	p.key.dst_port = 23;
	p.key.tcp_flags = 2;
	p.key.tcp_seq = 77;
	p.key.ip_length = 40;
	p.key.ttl = 64;
	return p;
}

static struct batch batch_of(const struct fold *f)
{
	struct batch b = {0};
	uint64_t packets = 0;

	fold_batch(f, &b);
	for (uint32_t i = 0; i < b.rows_n; i++) {
		assert_true(b.rows[i].packets > 0);
		assert_true(b.rows[i].last_us >= b.rows[i].observed_us);
		assert_int_equal(b.rows[i].zero[0], 0);
		packets += b.rows[i].packets;
	}
	assert_int_equal(packets, b.packets);
	assert_int_equal(b.rows_n, fold_rows(f));
	return b;
}

static void add(struct fold *f, uint32_t src, int64_t time_us, uint16_t ip_id)
{
	struct packet p = syn(src, time_us, ip_id);

	assert_false(fold_add(f, &p));
}

static void test_windows_that_divide_a_minute(void **state)
{
	static const int64_t good[] = {0, 1, 1000, US_PER_S, 1500000, 60 * US_PER_S};
	static const int64_t bad[] = {-1, 7, 7 * US_PER_S, 61 * US_PER_S, 120 * US_PER_S};
	struct fold *f;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(fold_new(good[i], 10, &f), 0);
		fold_free(f);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fold_new(bad[i], 10, &f), -EINVAL);
	assert_int_equal(fold_new(0, 0, &f), -EINVAL);
}

static void test_folds_within_a_window(void **state)
{
	struct fold *f;
	struct batch b;

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 1000, &f), 0);
	add(f, 1, T0 + 100, 7);
	add(f, 2, T0 + 200, 8);
	add(f, 1, T0 + 300, 9);
	add(f, 1, T0 + 50, 10); /* earlier: the first packet by time */
	add(f, 1, T0 + US_PER_S - 1, 11);
	b = batch_of(f);
	assert_int_equal(b.rows_n, 2);
	assert_int_equal(b.packets, 5);
	assert_int_equal(b.fold_early, 2);
	assert_int_equal(b.rows[0].packets, 4);
	assert_int_equal(b.rows[0].observed_us, T0 + 50);
	assert_int_equal(b.rows[0].ip_id, 10);
	assert_int_equal(b.rows[0].last_us, T0 + US_PER_S - 1);
	assert_int_equal(b.rows[1].packets, 1);
	assert_int_equal(b.rows[1].ip_id, 8);
	fold_free(f);
}

static void test_never_across_windows(void **state)
{
	struct fold *f;
	struct batch b;

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 1000, &f), 0);
	add(f, 1, T0 + US_PER_S - 1, 1);
	add(f, 1, T0 + US_PER_S, 2);
	add(f, 1, T0 + US_PER_S - 1, 3); /* the clock goes back: a window of its own */
	add(f, 1, T0 + US_PER_S - 2, 4);
	add(f, 1, -1, 5);
	add(f, 1, 0, 6);
	b = batch_of(f);
	assert_int_equal(b.rows_n, 5);
	assert_int_equal(b.rows[2].packets, 2);
	assert_int_equal(b.rows[2].observed_us, T0 + US_PER_S - 2);
	assert_int_equal(b.fold_early, 1);
	fold_free(f);

	/* 60 s windows are minutes of UTC, so no row crosses a quarter of an hour. */
	assert_int_equal(fold_new(60 * US_PER_S, 1000, &f), 0);
	for (int64_t s = 0; s < 3600; s += 7)
		add(f, 1, T0 + s * US_PER_S, 0);
	b = batch_of(f);
	for (uint32_t i = 0; i < b.rows_n; i++)
		assert_int_equal(b.rows[i].observed_us / (60 * US_PER_S),
			b.rows[i].last_us / (60 * US_PER_S));
	assert_int_equal(b.rows_n, 61);
	fold_free(f);
}

/* Rows differ when any column but time and IP ID does. */
static void test_every_column_counts(void **state)
{
	struct packet p = syn(1, T0, 0);
	struct fold *f;

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 1000, &f), 0);
	assert_false(fold_add(f, &p));
	for (size_t i = 0; i < sizeof(p.key); i++) {
		p = syn(1, T0, 0);
		((uint8_t *)&p.key)[i] ^= 0x80;
		assert_false(fold_add(f, &p));
	}
	assert_int_equal(batch_of(f).rows_n, 1 + sizeof(p.key));
	fold_free(f);
}

static void test_fold_0_keeps_all(void **state)
{
	struct fold *f;
	struct batch b;

	(void)state;
	assert_int_equal(fold_new(0, 1000, &f), 0);
	for (int i = 0; i < 10; i++)
		add(f, 1, T0, (uint16_t)i);
	b = batch_of(f);
	assert_int_equal(b.rows_n, 10);
	assert_int_equal(b.fold_early, 0);
	for (uint16_t i = 0; i < 10; i++)
		assert_int_equal(b.rows[i].ip_id, i);
	fold_free(f);
}

static void test_clear(void **state)
{
	struct fold *f;

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 1000, &f), 0);
	add(f, 1, T0, 1);
	add(f, 1, T0, 1);
	fold_clear(f);
	assert_int_equal(batch_of(f).rows_n, 0);
	add(f, 1, T0, 2); /* same window: a new row, nothing of the sealed one */
	assert_int_equal(batch_of(f).rows[0].packets, 1);
	assert_int_equal(batch_of(f).rows[0].ip_id, 2);
	fold_free(f);
}

/* Distinct rows of these columns until the batch is full, the second time as the first. */
static uint32_t rows_of(uint32_t max_rows, uint8_t family, uint32_t present)
{
	struct fold *f;
	uint32_t rows[2];

	assert_int_equal(fold_new(US_PER_S, max_rows, &f), 0);
	for (int turn = 0; turn < 2; turn++) {
		uint32_t n = 0;
		struct packet p;

		do {
			p = syn(n++, T0, 0);
			p.key.family = family;
			p.key.present = present;
		} while (!fold_add(f, &p));
		rows[turn] = fold_rows(f);
		fold_clear(f);
	}
	assert_int_equal(rows[0], rows[1]);
	fold_free(f);
	return rows[0];
}

static uint32_t full(uint32_t limit, uint32_t bytes)
{
	return (limit + bytes - 1) / bytes;
}

/* What a row counts shows in how many there is room for; in a flood narrow ones too. */
static void test_bytes(void **state)
{
	static const struct {
		uint32_t present, bytes;
	} columns[] = {{0, 0}, {HAS_IP_LENGTH, 3}, {HAS_DST_PORT, 2}, {HAS_TCP_WINDOW, 2},
		{HAS_TCP_MSS, 2}, {HAS_PAYLOAD_LENGTH, 2}, {HAS_ICMP_TYPE, 1}, {HAS_ICMP_CODE, 1},
		{HAS_IP_FLAGS, 1}, {HAS_TCP_FLAGS, 1}, {HAS_TCP_HEADER_LENGTH, 1}, {HAS_TTL, 1},
		{HAS_PROTOCOL, 1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		assert_int_equal(rows_of(1, 4, columns[i].present),
			full(FOLD_MAX_BYTES, 25 + columns[i].bytes));
	assert_int_equal(rows_of(1, 4, HAS_SRC), full(FOLD_MAX_BYTES, 25 + 4));
	assert_int_equal(rows_of(1, 6, HAS_SRC), full(FOLD_MAX_BYTES, 25 + 16));
	assert_int_equal(rows_of(1000000, 4, HAS_ALL),
		full(FOLD_SEAL_BYTES, 25 + 4 + 2 * 4 + 3 + 6 * 2 + 7));
	assert_int_equal(rows_of(1000000, 6, HAS_ALL),
		full(FOLD_SEAL_BYTES, 25 + 16 + 2 * 4 + 3 + 6 * 2 + 7));
}

static void test_seal(void **state)
{
	struct fold *f;
	uint32_t n = 0;
	struct packet p;

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 1000000, &f), 0);
	for (;;) {
		p = syn(n++, T0, 0);
		p.key.present = HAS_SRC;
		if (fold_add(f, &p))
			break;
	}
	assert_int_equal(n, FOLD_SEAL_ROWS);
	fold_free(f);
}

/* A flood of random sources, ports and numbers: counts stay exact, detail goes, and what is coarse
 * folds. */
static void test_coarse(void **state)
{
	struct fold *f;
	uint64_t packets = 0, coarse = 0, early = 0;
	uint32_t x = 1;

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 100, &f), 0);
	for (uint32_t i = 0; i < 300000; i++) {
		struct packet p;
		bool full;

		x = x * 1664525 + 1013904223;
		p = syn(x >> 16 & 1023, T0 + i * 10, (uint16_t)x);
		p.key.tcp_seq = x;
		p.key.src_port = (uint16_t)(x >> 8);
		p.key.present |= HAS_TCP_ACK;
		p.key.tcp_ack = ~x;
		full = fold_add(f, &p);
		if (full || i == 299999) {
			struct batch b = batch_of(f);

			assert_true(b.rows_n <= FOLD_MAX_ROWS);
			for (uint32_t k = 0; k < b.rows_n; k++) {
				const struct observation *row = &b.rows[k];

				packets += row->packets;
				if (!(row->key.traits & TRAIT_COARSE))
					continue;
				coarse += row->packets;
				assert_int_equal(
					row->key.present & (HAS_SRC_PORT | HAS_TCP_SEQ |
								   HAS_TCP_ACK | HAS_IP_ID),
					0);
				assert_int_equal(row->key.src_port | row->key.tcp_seq |
							 row->key.tcp_ack | row->ip_id,
					0);
			}
			early += b.fold_early;
			fold_clear(f);
		}
	}
	assert_int_equal(packets, 300000);
	assert_int_equal(
		coarse, 300000 - 3 * 100); /* 100 rows in each of three seconds keep theirs */
	assert_int_equal(fold_coarse_packets(f), coarse);
	assert_true(early < 2000); /* 1024 sources: it folded */
	fold_free(f);

	/* fold = 0: every packet a row, coarse all the same. */
	assert_int_equal(fold_new(0, 100, &f), 0);
	for (uint32_t i = 0; i < 200; i++)
		add(f, i, T0, 1);
	assert_int_equal(batch_of(f).rows_n, 200);
	assert_int_equal(fold_coarse_packets(f), 100);
	assert_int_equal(batch_of(f).rows[99].key.traits, 0);
	assert_int_equal(batch_of(f).rows[100].key.traits, TRAIT_COARSE);
	add(f, 1, T0 + US_PER_S, 1); /* the next second has its own count */
	assert_int_equal(batch_of(f).rows[200].key.traits, 0);
	fold_free(f);
}

/* In a flood the batch grows up to its hard bounds and no further. */
static void test_flood_bounds(void **state)
{
	struct fold *f;
	struct packet p;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 1, &f), 0);
	do {
		p = syn(n++, T0, 0);
		p.key.present = 0;
	} while (!fold_add(f, &p));
	assert_int_equal(fold_rows(f), full(FOLD_MAX_BYTES, 25));
	assert_true(fold_rows(f) > FOLD_SEAL_ROWS);
	fold_free(f);
}

/* A row's count fits PostgreSQL's int: the packet after that starts a new row. */
static void test_count_fits(void **state)
{
	struct fold *f;
	struct batch b = {0};

	(void)state;
	assert_int_equal(fold_new(US_PER_S, 1000, &f), 0);
	add(f, 1, T0, 1);
	fold_batch(f, &b);
	b.rows[0].packets = INT32_MAX - 1;
	add(f, 1, T0, 2);
	add(f, 1, T0, 3);
	add(f, 1, T0, 4);
	fold_batch(f, &b);
	assert_int_equal(b.rows_n, 2);
	assert_int_equal(b.rows[0].packets, INT32_MAX);
	assert_int_equal(b.rows[1].packets, 2);
	fold_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows_that_divide_a_minute),
		cmocka_unit_test(test_folds_within_a_window),
		cmocka_unit_test(test_never_across_windows),
		cmocka_unit_test(test_every_column_counts),
		cmocka_unit_test(test_fold_0_keeps_all),
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_coarse),
		cmocka_unit_test(test_flood_bounds),
		cmocka_unit_test(test_count_fits),
	};

	return cmocka_run_group_tests_name("fold", tests, NULL, NULL);
}
