/* Batches: what goes in comes out, and what must not come in does not. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>
#include <zstd.h>

#include "../bench/captures.h"
#include "common/bytes.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"
#include "proto/traits.h"

#define NOW_US INT64_C(1767225600000000)

struct fixture {
	struct codec *codec;
	struct buf out;
	struct batch back;
	const char *reason;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(codec_new(&f->codec), 0);
	buf_init(&f->out, 4u * FRAME_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	codec_free(f->codec);
	buf_done(&f->out);
	free(f);
	return 0;
}

static int decode(struct fixture *f)
{
	f->reason = "";
	return codec_decode_batch(
		f->codec, buf_head(&f->out), buf_len(&f->out), &f->back, &f->reason);
}

static void encode(struct fixture *f, const struct batch *b)
{
	buf_clear(&f->out);
	assert_int_equal(codec_encode_batch(f->codec, b, &f->out), 0);
}

static void check_same(struct fixture *f, const struct batch *b)
{
	uint64_t packets = 0;

	encode(f, b);
	if (decode(f) != 0)
		fail_msg("%s", f->reason);
	assert_int_equal(f->back.rows_n, b->rows_n);
	assert_int_equal(f->back.samples_n, b->samples_n);
	assert_int_equal(f->back.fold_early, b->fold_early);
	for (uint32_t i = 0; i < b->rows_n; i++) {
		if (memcmp(&f->back.rows[i], &b->rows[i], sizeof(b->rows[i])) != 0)
			fail_msg("row %u of %u differs", i, b->rows_n);
		packets += b->rows[i].packets;
	}
	assert_int_equal(f->back.packets, packets);
	for (uint32_t i = 0; i < b->samples_n; i++)
		assert_memory_equal(&f->back.samples[i], &b->samples[i], sizeof(b->samples[i]));
}

static struct observation syn(void)
{
	return (struct observation){
		.key = {.src = {192, 0, 2, 1},
			.present = HAS_SRC | HAS_SRC_PORT | HAS_DST_PORT | HAS_IP_ID |
				   HAS_IP_FLAGS | HAS_TCP_FLAGS | HAS_TCP_SEQ | HAS_TCP_WINDOW |
				   HAS_TCP_HEADER_LENGTH | HAS_TCP_MSS | HAS_PAYLOAD_LENGTH |
				   HAS_IP_LENGTH | HAS_TTL | HAS_PROTOCOL,
			.target = 3,
			.tcp_seq = 12345,
			.ip_length = 44,
			.src_port = 40000,
			.dst_port = 23,
			.tcp_window = 1024,
			.tcp_mss = 1460,
			.family = 4,
			.protocol = 6,
			.ttl = 50,
			.tcp_flags = 2,
			.tcp_header_length = 24},
		.observed_us = NOW_US,
		.last_us = NOW_US,
		.packets = 1,
		.ip_id = 54321,
	};
}

static void test_captures(void **state)
{
	static const size_t sizes[] = {1, 2, 10, 31, 32, 255, 256, 257, 5000, BATCH_MAX_ROWS};
	struct observation *rows = calloc(BATCH_MAX_ROWS, sizeof(*rows));

	assert_non_null(rows);
	for (const struct capture_kind *k = captures; k->name; k++)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct batch b = {.rows = rows, .rows_n = (uint32_t)sizes[i]};

			k->make(rows, sizes[i]);
			check_same(*state, &b);
		}
	free(rows);
}

/* The largest values that each column may have, next to the smallest. */
static void test_extremes(void **state)
{
	struct observation rows[40];
	struct batch b = {.rows = rows};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct observation *r = &rows[i];
		struct observation_key *k = &r->key;

		*r = syn();
		if (i % 2)
			continue;
		k->present |= HAS_TCP_ACK;
		memset(k->src, 0xff, i % 4 ? 16 : 4);
		k->family = i % 4 ? 6 : 4;
		if (k->family == 6) {
			k->present &= ~(uint32_t)(HAS_IP_ID | HAS_IP_FLAGS);
			k->ip_flags = 0;
			r->ip_id = 0;
		} else {
			k->ip_flags = 7;
			r->ip_id = UINT16_MAX;
		}
		k->traits = TRAITS_ALL;
		k->target = INT32_MAX;
		k->tcp_seq = k->tcp_ack = UINT32_MAX;
		k->ip_length = INT32_MAX;
		k->payload_length = INT32_MAX;
		k->src_port = k->dst_port = k->tcp_window = k->tcp_mss = UINT16_MAX;
		k->ttl = k->tcp_flags = UINT8_MAX;
		k->tcp_header_length = 60;
		r->packets = INT32_MAX;
		r->observed_us = i % 8 ? INT64_C(7258118400000000) - 60000000 : 0;
		r->last_us = r->observed_us + 59999999;
	}
	for (b.rows_n = 1; b.rows_n <= ARRAY_SIZE(rows); b.rows_n++)
		check_same(*state, &b);
}

/* More shapes than a dictionary has room for. */
static void test_many_shapes(void **state)
{
	static struct observation rows[2000];
	struct batch b = {.rows = rows, .rows_n = ARRAY_SIZE(rows)};
	uint64_t bits = 88172645463325252u;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct observation full = syn(), *r = &rows[i];

		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		*r = (struct observation){
			.observed_us = NOW_US - i, .last_us = NOW_US - i, .packets = 1};
		r->key.family = 4;
		r->key.present = (full.key.present & (uint32_t)bits) | HAS_PROTOCOL;
		r->key.protocol = 6;
#define KEEP(NAME, member)               \
	if (r->key.present & HAS_##NAME) \
	r->member = full.member
		KEEP(SRC_PORT, key.src_port);
		KEEP(DST_PORT, key.dst_port);
		KEEP(IP_ID, ip_id);
		KEEP(TCP_FLAGS, key.tcp_flags);
		KEEP(TCP_SEQ, key.tcp_seq);
		KEEP(TCP_WINDOW, key.tcp_window);
		KEEP(TCP_HEADER_LENGTH, key.tcp_header_length);
		KEEP(TCP_MSS, key.tcp_mss);
		KEEP(IP_LENGTH, key.ip_length);
		KEEP(TTL, key.ttl);
		if (r->key.present & HAS_SRC)
			store_be32(r->key.src, (uint32_t)bits);
	}
	check_same(*state, &b);
}

static clock_t encode_ticks(struct fixture *f, const struct batch *b)
{
	clock_t from = clock();

	encode(f, b);
	return clock() - from;
}

/* Sequence numbers that somebody chose so that they fall into few slots of the encoder's hash
 * table: without a bound on its search they cost 58 times as much as others. */
static void test_chosen_collisions(void **state)
{
	struct observation *rows = calloc(BATCH_MAX_ROWS, sizeof(*rows));
	struct batch b = {.rows = rows, .rows_n = BATCH_MAX_ROWS};
	clock_t others, chosen;
	uint32_t n = 0;

	assert_non_null(rows);
	captures[0].make(rows, BATCH_MAX_ROWS);
	check_same(*state, &b);
	others = encode_ticks(*state, &b);
	for (uint64_t v = 1; n < BATCH_MAX_ROWS && v <= UINT32_MAX; v++)
		if (((v * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & 0xffff) < 4)
			rows[n++].key.tcp_seq = (uint32_t)v;
	assert_int_equal(n, BATCH_MAX_ROWS);
	for (uint32_t i = 0; i < n / 8; i++) /* some repeats, or none are looked for */
		rows[8 * i].key.tcp_seq = rows[0].key.tcp_seq;
	check_same(*state, &b);
	chosen = encode_ticks(*state, &b);
	assert_in_range(chosen, 0, 15 * others);
	free(rows);
}

static void test_nothing(void **state)
{
	struct fixture *f = *state;
	struct batch b = {.has_capture = true,
		.capture = {.xxh3 = 9, .ordinal = 77, .complete = true, .generation = 2}};

	check_same(f, &b);
	assert_true(f->back.has_capture && f->back.capture.complete);
	assert_int_equal(f->back.capture.xxh3, 9);
	assert_int_equal(f->back.capture.ordinal, 77);
	assert_int_equal(f->back.capture.generation, 2);
}

static struct sample sip(void)
{
	return (struct sample){.observed_us = NOW_US,
		.last_us = NOW_US + 5,
		.content = UINT64_MAX,
		.packets = 2,
		.payload_length = 400,
		.src = {192, 0, 2, 9},
		.family = 4,
		.has_src = 1,
		.protocol = 17,
		.has_ports = 1,
		.src_port = 5070,
		.dst_port = 5060,
		.length = SAMPLE_MAX,
		.payload = "OPTIONS sip:x"};
}

static void test_samples(void **state)
{
	struct observation row = syn();
	struct sample *samples = calloc(BATCH_MAX_SAMPLES, sizeof(*samples));
	struct batch b = {.rows = &row, .rows_n = 1, .samples = samples};

	assert_non_null(samples);
	for (unsigned i = 0; i < BATCH_MAX_SAMPLES; i++) {
		samples[i] = sip();
		samples[i].content = i * UINT64_C(0x9e3779b97f4a7c15);
		for (unsigned k = 0; k < SAMPLE_MAX; k++)
			samples[i].payload[k] = (uint8_t)(i * k >> 3);
		if (i % 3 == 0) { /* a count for a content that was sent before, IPv6, no source */
			samples[i] = (struct sample){.observed_us = NOW_US,
				.last_us = NOW_US,
				.packets = INT32_MAX,
				.family = 6,
				.protocol = 58,
				.icmp_type = 255};
		}
	}
	b.samples_n = BATCH_MAX_SAMPLES;
	check_same(*state, &b);
	free(samples);
}

/* The same rows give the same bytes, whatever the codec did before. */
static void test_deterministic(void **state)
{
	static struct observation rows[3000];
	struct batch b = {.rows = rows, .rows_n = ARRAY_SIZE(rows)};
	struct fixture *f = *state;
	struct codec *fresh;
	struct buf again;

	captures[1].make(rows, ARRAY_SIZE(rows));
	encode(f, &b);
	buf_init(&again, FRAME_MAX);
	assert_int_equal(codec_new(&fresh), 0);
	assert_int_equal(codec_encode_batch(fresh, &b, &again), 0);
	assert_int_equal(buf_len(&again), buf_len(&f->out));
	assert_memory_equal(buf_head(&again), buf_head(&f->out), buf_len(&again));
	codec_free(fresh);
	buf_done(&again);
}

static void test_no_room(void **state)
{
	static struct observation rows[3000];
	struct batch b = {.rows = rows, .rows_n = ARRAY_SIZE(rows)};
	struct fixture *f = *state;
	struct buf small;

	captures[0].make(rows, ARRAY_SIZE(rows));
	buf_init(&small, 1000);
	assert_int_equal(codec_encode_batch(f->codec, &b, &small), -ENOBUFS);
	assert_int_equal(buf_len(&small), 0);
	buf_done(&small);
	check_same(f, &b);
}

/* Rows that the encoder takes and the decoder must not. */
#define REFUSED(expected, ...)                                              \
	do {                                                                \
		struct observation rows[2] = {syn(), syn()}, *r = &rows[1]; \
		struct batch b = {.rows = rows, .rows_n = 2};               \
		__VA_ARGS__;                                                \
		encode(f, &b);                                              \
		assert_int_equal(decode(f), CODEC_MALFORMED);               \
		assert_string_equal(f->reason, expected);                   \
	} while (0)

static void test_ranges(void **state)
{
	struct fixture *f = *state;

	REFUSED("row 1: packets: out of range", r->packets = 0);
	REFUSED("row 1: packets: out of range", r->packets = UINT32_C(1) << 31);
	REFUSED("row 1: last: out of range", r->packets = 2; r->last_us += 60000000);
	REFUSED("row 1: last: differs for a single packet", r->packets = 1; rows[0].packets = 2;
		rows[0].last_us += 7; r->last_us += 7);
	REFUSED("row 1: traits: unknown bit", r->key.traits = TRAITS_ALL + 1);
	REFUSED("row 1: target: out of range", r->key.target = UINT32_MAX);
	REFUSED("row 1: ip_length: out of range", r->key.ip_length = UINT32_MAX);
	REFUSED("row 1: payload_length: out of range", r->key.payload_length = UINT32_MAX);
	REFUSED("row 1: ip_flags: out of range", r->key.ip_flags = 8);
	REFUSED("row 1: tcp_header_length: out of range", r->key.tcp_header_length = 21);
	REFUSED("row 1: tcp_header_length: out of range", r->key.tcp_header_length = 64);
	REFUSED("row 1: tcp_ack: 0 without the flag is absent", r->key.present |= HAS_TCP_ACK);
	REFUSED("row 1: protocol: has ports and is none that has", r->key.protocol = 47);
	REFUSED("row 1: protocol: has TCP fields and is not TCP", r->key.protocol = 17);
	REFUSED("row 1: shape: IPv6 with fields of IPv4", r->key.family = 6);
	REFUSED("row 1: shape: transport fields without a protocol",
		r->key.present &= ~(uint32_t)HAS_PROTOCOL;
		r->key.protocol = 0);
	REFUSED("row 1: shape: ICMP with fields of TCP or UDP", r->key.present |= HAS_ICMP_TYPE);
	REFUSED("row 1: shape: unknown bit", r->key.present |= HAS_ALL + 1);
	REFUSED("row 1: time: out of range", r->observed_us = r->last_us = -1);
	REFUSED("row 1: time: out of range",
		r->observed_us = r->last_us = INT64_C(7258118400000000));
	REFUSED("base_us: out of range", (r - 1)->observed_us = (r - 1)->last_us = -1);
}

static void test_icmp_shapes(void **state)
{
	struct fixture *f = *state;
	const uint32_t network = HAS_SRC | HAS_TTL | HAS_PROTOCOL;

	REFUSED("row 1: protocol: has ICMP fields and is not ICMP",
		*r = (struct observation){.key = {.present = network | HAS_ICMP_TYPE,
						  .family = 4,
						  .protocol = 17,
						  .ttl = 1},
			.packets = 1,
			.observed_us = NOW_US,
			.last_us = NOW_US});
	REFUSED("row 1: shape: ICMP code without type",
		*r = (struct observation){.key = {.present = network | HAS_ICMP_CODE,
						  .family = 4,
						  .protocol = 1,
						  .ttl = 1},
			.packets = 1,
			.observed_us = NOW_US,
			.last_us = NOW_US});
}

/* Payloads changed behind the encoder's back. */
static Hirundo__V1__Batch *open_batch(struct fixture *f, const struct batch *b)
{
	Hirundo__V1__Batch *m;

	encode(f, b);
	m = hirundo__v1__batch__unpack(NULL, buf_len(&f->out), buf_head(&f->out));
	assert_non_null(m);
	return m;
}

static void refused_as(struct fixture *f, const Hirundo__V1__Batch *m, const char *reason)
{
	buf_clear(&f->out);
	assert_int_equal(buf_reserve(&f->out, hirundo__v1__batch__get_packed_size(m)), 0);
	buf_added(&f->out, hirundo__v1__batch__pack(m, buf_tail(&f->out)));
	assert_int_equal(decode(f), CODEC_MALFORMED);
	assert_string_equal(f->reason, reason);
}

#define CHANGED(expected, ...)                                         \
	do {                                                           \
		Hirundo__V1__Batch *m = open_batch(f, &b), saved = *m; \
		__VA_ARGS__;                                           \
		refused_as(f, m, expected);                            \
		*m = saved;                                            \
		hirundo__v1__batch__free_unpacked(m, NULL);            \
	} while (0)

static void test_changed_fields(void **state)
{
	static uint8_t extra[] = {0x10, 0x00};
	static uint8_t wide[] = {0x12, 0xff, 0xff};
	struct observation rows[3] = {syn(), syn(), syn()};
	struct batch b = {.rows = rows, .rows_n = 3};
	struct fixture *f = *state;

	rows[1].key.ttl = 60;
	rows[2].observed_us = rows[2].last_us = NOW_US + 9;
	CHANGED("rows: too many", m->rows = BATCH_MAX_ROWS + 1);
	CHANGED("rows: none, but columns", m->rows = 0);
	CHANGED("fold_early: more than rows", m->fold_early = 4);
	CHANGED("step_us: out of range", m->step_us = INT64_MIN);
	CHANGED("shape: missing", m->n_profiles = 0);
	CHANGED("target: came already", m->target.data = extra; m->target.len = 1);
	CHANGED("tcp_ack: no row has it", m->tcp_ack.data = extra; m->tcp_ack.len = 1);
	CHANGED("icmp_code: no row has it", m->icmp_code.data = extra; m->icmp_code.len = 1);
	CHANGED("traits: bytes behind its end", m->traits.data = extra; m->traits.len = 2);
	CHANGED("traits: value is too wide", m->traits.data = (uint8_t *)"\x14"; m->traits.len = 1);
	CHANGED("traits: column is cut", m->traits.data = wide; m->traits.len = 2);
	CHANGED("traits: unknown column", m->traits.data = (uint8_t *)"\x40"; m->traits.len = 1);
	CHANGED("profile: is cut", m->profiles[0].len = 2);
	CHANGED("batch: capture: out of range",
		Hirundo__V1__CapturePosition p = HIRUNDO__V1__CAPTURE_POSITION__INIT;
		p.ordinal = UINT64_MAX; m->capture = &p);
}

static void test_hostile_planes(void **state)
{
	struct observation rows[3] = {syn(), syn(), syn()};
	struct batch b = {.rows = rows, .rows_n = 3};
	struct fixture *f = *state;
	static const struct {
		const char *reason, *column;
		size_t n;
	} planes[] = {
		{"traits: plane is cut", "\x01\x31\x00\x00", 4},
		{"traits: unknown plane", "\x01\x33\x00\x00\x00", 5},
		{"traits: unknown plane", "\x01\x41\x00\x00\x00", 5},
		{"traits: bits behind the last symbol are set", "\x01\x01\x08", 3},
		{"traits: zstd frame has another size", "\x01\x32\x03zzz", 6},
		{"traits: plane is cut", "\x01\x32\xff\xff\xff\xff\x0f", 7},
		{"traits: plane is cut", "\x01\x32\x83\x00", 4},
		{"traits: more entries than values", "\x21\x03\x00\x00\x00\x00", 6},
		{"traits: symbol out of range", "\x21\x01\x00\x01\x11\x24", 6},
		{"traits: symbol out of range", "\x31\x00\x02", 3},
		{"traits: reference to a value that did not come yet",
			"\x31\x01\x02\x00\x00\x07\x01\x00\x01", 9},
		{"traits: unknown column", "\x31\x01\x02\x10", 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(planes); i++)
		CHANGED(planes[i].reason, m->traits.data = (uint8_t *)planes[i].column;
			m->traits.len = planes[i].n);
}

/* Small frames that would unpack to a lot. */
static void test_bombs(void **state)
{
	enum {
		HUGE = 100 * 1024 * 1024
	};
	struct observation rows[3] = {syn(), syn(), syn()};
	struct batch b = {.rows = rows, .rows_n = 3};
	struct fixture *f = *state;
	size_t room = ZSTD_compressBound(HUGE);
	uint8_t *zero = calloc(1, HUGE), *bomb = malloc(room);
	size_t n;

	assert_true(zero && bomb);
	n = ZSTD_compress(bomb, room, zero, HUGE, 1);
	assert_in_range(n, 1, FRAME_MAX / 2);
	CHANGED("samples: zstd frame has another size", m->samples.data = bomb; m->samples.len = n);
	/* 500,000 empty profiles; half a million empty samples in a frame that says so. */
	for (size_t i = 0; i < FRAME_MAX - 2 * FRAME_HEADER_SIZE; i++)
		zero[i] = i % 2 ? 0 : 0x22;
	assert_int_equal(codec_decode_batch(f->codec, zero, FRAME_MAX - 2 * FRAME_HEADER_SIZE,
				 &f->back, &f->reason),
		CODEC_MALFORMED);
	assert_string_equal(f->reason, "batch: too many entries");
	for (size_t i = 0; i < 256 * 1024; i++)
		zero[i] = i % 2 ? 0 : 0x0a;
	n = ZSTD_compress(bomb, room, zero, 256 * 1024, 1);
	CHANGED("samples: too many entries", m->samples.data = bomb; m->samples.len = n);
	assert_int_equal(codec_decode_batch(f->codec, zero, FRAME_MAX, &f->back, &f->reason),
		CODEC_MALFORMED);
	assert_string_equal(f->reason, "batch: too long");
	free(zero);
	free(bomb);
}

/* The largest batch there can be stays within the budget that codec.h states. */
static void test_memory(void **state)
{
	struct observation *rows = calloc(BATCH_MAX_ROWS, sizeof(*rows));
	struct sample *samples = calloc(BATCH_MAX_SAMPLES, sizeof(*samples));
	struct batch b = {.rows = rows,
		.rows_n = BATCH_MAX_ROWS,
		.samples = samples,
		.samples_n = BATCH_MAX_SAMPLES};
	struct fixture *f = *state;
	struct mallinfo2 before, after;
	struct codec *fresh;

	assert_true(rows && samples);
	captures[0].make(rows, BATCH_MAX_ROWS);
	for (unsigned i = 0; i < BATCH_MAX_SAMPLES; i++)
		samples[i] = sip();
	encode(f, &b);
	assert_int_equal(codec_new(&fresh), 0);
	before = mallinfo2();
	assert_int_equal(codec_decode_batch(
				 fresh, buf_head(&f->out), buf_len(&f->out), &f->back, &f->reason),
		0);
	after = mallinfo2();
	assert_in_range(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd, 0,
		CODEC_DECODE_BUDGET);
	codec_free(fresh);
	free(rows);
	free(samples);
}

/* Each byte of a payload changed: refused, or other rows, but always an answer. */
static void test_damage(void **state)
{
	static struct observation rows[60];
	struct sample sample = sip();
	struct batch b = {
		.rows = rows, .rows_n = ARRAY_SIZE(rows), .samples = &sample, .samples_n = 1};
	struct fixture *f = *state;
	unsigned refused = 0;

	captures[1].make(rows, ARRAY_SIZE(rows));
	encode(f, &b);
	for (size_t i = 0; i < buf_len(&f->out); i++) {
		uint8_t before = buf_head(&f->out)[i];

		for (unsigned bit = 0; bit < 8; bit++) {
			buf_head(&f->out)[i] = (uint8_t)(before ^ 1u << bit);
			refused += decode(f) != 0;
		}
		buf_head(&f->out)[i] = before;
	}
	assert_in_range(refused, 100, 8 * buf_len(&f->out));
	assert_int_equal(decode(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_captures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extremes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_shapes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chosen_collisions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_samples, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deterministic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_icmp_shapes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_planes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
