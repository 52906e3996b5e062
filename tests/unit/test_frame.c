/* The frame, and the examples of PROTOCOL.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"
#include "proto/traits.h"

#define PAYLOAD 20u

static struct frame_header batch_header(void)
{
	return (struct frame_header){
		.version = FRAME_VERSION,
		.type = FRAME_BATCH,
		.payload_length = PAYLOAD,
		.packets = 5,
		.epoch = 7,
		.first_seq = 3,
		.seq = 3,
		.packets_total = 50,
		.prev_checksum = 99,
	};
}

static enum frame_res parse(const struct frame_header *h, struct frame_header *ret)
{
	uint8_t frame[FRAME_HEADER_SIZE + PAYLOAD];
	struct frame_header copy = *h;

	memset(frame, 0x5a, sizeof(frame));
	frame_seal(&copy, frame);
	return frame_parse(frame, sizeof(frame), FRAME_MAX, ret);
}

static void test_round_trip(void **state)
{
	struct frame_header h = batch_header(), back;

	(void)state;
	assert_int_equal(parse(&h, &back), FRAME_OK);
	assert_int_equal(back.version, h.version);
	assert_int_equal(back.type, h.type);
	assert_int_equal(back.payload_length, h.payload_length);
	assert_int_equal(back.packets, h.packets);
	assert_int_equal(back.epoch, h.epoch);
	assert_int_equal(back.first_seq, h.first_seq);
	assert_int_equal(back.seq, h.seq);
	assert_int_equal(back.packets_total, h.packets_total);
	assert_int_equal(back.prev_checksum, h.prev_checksum);
}

static void test_every_bit_counts(void **state)
{
	uint8_t frame[FRAME_HEADER_SIZE + PAYLOAD];
	struct frame_header h = batch_header(), back;

	(void)state;
	memset(frame, 0x5a, sizeof(frame));
	frame_seal(&h, frame);
	for (size_t i = 0; i < 8 * sizeof(frame); i++) {
		frame[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_not_equal(frame_parse(frame, sizeof(frame), FRAME_MAX, &back), FRAME_OK);
		frame[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t n = 0; n < sizeof(frame); n++)
		assert_int_equal(frame_parse(frame, n, FRAME_MAX, &back), FRAME_SHORT);
	assert_int_equal(
		frame_parse(frame, sizeof(frame), sizeof(frame) - 1, &back), FRAME_BAD_LENGTH);
}

static void test_garbage_is_told_early(void **state)
{
	struct frame_header h;

	(void)state;
	assert_int_equal(
		frame_parse_header((const uint8_t *)"G", 1, FRAME_MAX, &h), FRAME_BAD_MAGIC);
	assert_int_equal(
		frame_parse_header((const uint8_t *)"HRx", 3, FRAME_MAX, &h), FRAME_BAD_MAGIC);
	assert_int_equal(
		frame_parse_header((const uint8_t *)"HRDF", 4, FRAME_MAX, &h), FRAME_SHORT);
}

#define REFUSED(expected, ...)                                \
	do {                                                  \
		struct frame_header h = batch_header(), back; \
		__VA_ARGS__;                                  \
		assert_int_equal(parse(&h, &back), expected); \
	} while (0)

static void test_fields(void **state)
{
	(void)state;
	REFUSED(FRAME_BAD_VERSION, h.version = 2);
	REFUSED(FRAME_BAD_VERSION, h.version = 0);
	REFUSED(FRAME_BAD_TYPE, h.type = 0);
	REFUSED(FRAME_BAD_TYPE, h.type = 4);
	REFUSED(FRAME_BAD_TYPE, h.type = 24);
	REFUSED(FRAME_BAD_FIELD, h.flags = 1);
	REFUSED(FRAME_BAD_FIELD, h.epoch = 0);
	REFUSED(FRAME_BAD_FIELD, h.epoch = SEQ_MAX + 1);
	REFUSED(FRAME_BAD_FIELD, h.seq = h.first_seq = 0);
	REFUSED(FRAME_BAD_FIELD, h.seq = h.first_seq = SEQ_MAX + 1);
	REFUSED(FRAME_OK, h.seq = h.first_seq = SEQ_MAX);
	REFUSED(FRAME_BAD_FIELD, h.first_seq = 2);
	REFUSED(FRAME_BAD_FIELD, h.first_seq = 4);
	REFUSED(FRAME_BAD_FIELD, h.seq = h.first_seq = 1);
	REFUSED(FRAME_OK, h.seq = h.first_seq = 1; h.prev_checksum = 0);
	REFUSED(FRAME_BAD_FIELD, h.packets_total = SEQ_MAX + 1);
	REFUSED(FRAME_BAD_FIELD, h.packets_total = h.packets - 1);
	REFUSED(FRAME_BAD_FIELD, h.type = FRAME_LOSS);
	REFUSED(FRAME_OK, h.type = FRAME_LOSS; h.packets = 0; h.first_seq = 2);
	REFUSED(FRAME_BAD_FIELD, h.type = FRAME_ACK);
	REFUSED(FRAME_BAD_FIELD, h.type = FRAME_PING);
	REFUSED(FRAME_BAD_FIELD, h = (struct frame_header){.version = 1,
					 .type = FRAME_ACK,
					 .epoch = 1,
					 .seq = 1,
					 .payload_length = PAYLOAD});
	REFUSED(FRAME_OK,
		h = (struct frame_header){.version = 1, .type = FRAME_ACK, .epoch = 1, .seq = 1});
	REFUSED(FRAME_BAD_FIELD, h = (struct frame_header){.version = 1, .type = FRAME_ACK});
	REFUSED(FRAME_OK, h = (struct frame_header){
				  .version = 1, .type = FRAME_HELLO, .payload_length = PAYLOAD});
}

static void test_lengths(void **state)
{
	struct frame_header h = batch_header(), back;
	uint8_t *frame = calloc(1, FRAME_MAX);

	(void)state;
	assert_non_null(frame);
	h.payload_length = FRAME_MAX - FRAME_HEADER_SIZE;
	frame_seal(&h, frame);
	assert_int_equal(frame_parse(frame, FRAME_MAX, FRAME_MAX, &back), FRAME_OK);
	store_be32(frame + 8, h.payload_length + 1);
	assert_int_equal(
		frame_parse_header(frame, FRAME_MAX, 2u * FRAME_MAX, &back), FRAME_BAD_LENGTH);
	h = (struct frame_header){.version = 1,
		.type = FRAME_HELLO,
		.payload_length = FRAME_MAX_EARLY - FRAME_HEADER_SIZE};
	frame_seal(&h, frame);
	assert_int_equal(frame_parse(frame, FRAME_MAX, FRAME_MAX, &back), FRAME_OK);
	store_be32(frame + 8, h.payload_length + 1);
	assert_int_equal(frame_parse_header(frame, FRAME_MAX, FRAME_MAX, &back), FRAME_BAD_LENGTH);
	free(frame);
}

/* The bytes of the block "```hex NAME" in PROTOCOL.md. */
static size_t example(const char *name, uint8_t *ret, size_t max)
{
	char path[512], line[256], open[32];
	bool in = false;
	size_t n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/../proto/PROTOCOL.md", getenv("TEST_SOURCE_DIR"));
	(void)snprintf(open, sizeof(open), "```hex %s\n", name);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *p = line, *end;

		if (strcmp(line, open) == 0) {
			in = true;
		} else if (line[0] == '`') {
			in = false;
		} else if (in) {
			for (unsigned long v = strtoul(p, &end, 16); end != p && n < max;
				v = strtoul(p, &end, 16)) {
				ret[n++] = (uint8_t)v;
				p = end;
			}
		}
	}
	(void)fclose(f);
	return n;
}

static void test_example_of_a_loss(void **state)
{
	struct frame_header loss, batch;
	uint8_t a[512], b[512];
	const char *reason = NULL;
	size_t a_n = example("LOSS", a, sizeof(a)), b_n = example("BATCH", b, sizeof(b));
	Hirundo__V1__Loss *m;

	(void)state;
	assert_int_equal(frame_parse(a, a_n, FRAME_MAX, &loss), FRAME_OK);
	assert_int_equal(FRAME_HEADER_SIZE + loss.payload_length, a_n);
	assert_int_equal(loss.type, FRAME_LOSS);
	assert_int_equal(loss.first_seq, 3);
	assert_int_equal(loss.seq, 7);
	assert_int_equal(frame_parse(b, b_n, FRAME_MAX, &batch), FRAME_OK);
	m = codec_unpack(&hirundo__v1__loss__descriptor, a + FRAME_HEADER_SIZE, loss.payload_length,
		&reason);
	assert_non_null(m);
	assert_true(m->last_checksum_known && m->last_checksum == batch.prev_checksum);
	assert_int_equal(m->reason, HIRUNDO__V1__LOSS__REASON__SPOOL_FULL);
	assert_int_equal(batch.packets_total - batch.packets, loss.packets_total);
	codec_message_free(m);
}

static void check_syn(const struct observation *row, uint32_t i)
{
	const struct observation_key *k = &row->key;

	assert_int_equal(load_be32(k->src), 0xc6336409);
	assert_int_equal(k->target, 7 + i);
	assert_int_equal(k->src_port, 40000 + i);
	assert_int_equal(k->dst_port, 23);
	assert_int_equal(k->tcp_seq, 0xdeadbeef + i);
	assert_int_equal(k->tcp_mss, 1460);
	assert_int_equal(k->tcp_window, 64240);
	assert_int_equal(k->ttl, 52);
	assert_false(k->present & HAS_TCP_ACK);
}

static void test_example_of_a_batch(void **state)
{
	struct frame_header h;
	struct codec *codec;
	struct batch b;
	struct buf again;
	uint8_t frame[512];
	size_t n = example("BATCH", frame, sizeof(frame));
	const char *reason = NULL;

	(void)state;
	assert_int_equal(frame_parse(frame, n, FRAME_MAX, &h), FRAME_OK);
	assert_int_equal(FRAME_HEADER_SIZE + h.payload_length, n);
	assert_int_equal(codec_new(&codec), 0);
	assert_int_equal(
		codec_decode_batch(codec, frame + FRAME_HEADER_SIZE, h.payload_length, &b, &reason),
		0);
	assert_int_equal(b.rows_n, 3);
	assert_int_equal(b.packets, h.packets);
	check_syn(&b.rows[0], 0);
	check_syn(&b.rows[1], 1);
	assert_int_equal(b.rows[2].observed_us - b.rows[0].observed_us, 2500);
	assert_int_equal(b.rows[2].last_us - b.rows[2].observed_us, 700);
	assert_int_equal(b.rows[2].packets, 4);
	assert_int_equal(b.rows[2].key.icmp_type, 8);
	assert_int_equal(b.rows[2].key.payload_length, 56);
	assert_int_equal(b.rows[2].ip_id, 0x3456);
	buf_init(&again, FRAME_MAX);
	assert_int_equal(codec_encode_batch(codec, &b, &again), 0);
	assert_int_equal(buf_len(&again), h.payload_length);
	assert_memory_equal(buf_head(&again), frame + FRAME_HEADER_SIZE, h.payload_length);
	buf_done(&again);
	codec_free(codec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_garbage_is_told_early),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_example_of_a_loss),
		cmocka_unit_test(test_example_of_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
