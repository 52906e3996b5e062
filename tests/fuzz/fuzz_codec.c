/* Any bytes as a payload; the first one says of what. Batches that are accepted encode and decode
 * to the same rows; rows made from the bytes do too; messages that are accepted pack and unpack
 * again. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"
#include "proto/columns.h"
#include "proto/traits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MADE_MAX 600u

static struct codec *codec, *second;

static void check_again(const struct batch *b)
{
	struct batch back;
	struct buf out;
	const char *reason = NULL;
	int r;

	buf_init(&out, 4u * FRAME_MAX);
	r = codec_encode_batch(second, b, &out);
	assert(r == 0);
	r = codec_decode_batch(second, buf_head(&out), buf_len(&out), &back, &reason);
	if (r != 0)
		(void)fprintf(stderr, "%s\n", reason);
	assert(r == 0);
	assert(back.rows_n == b->rows_n && back.samples_n == b->samples_n &&
		back.fold_early == b->fold_early && back.packets == b->packets &&
		back.has_capture == b->has_capture);
	assert(b->rows_n == 0 || memcmp(back.rows, b->rows, b->rows_n * sizeof(*b->rows)) == 0);
	for (uint32_t i = 0; i < b->samples_n; i++)
		assert(memcmp(&back.samples[i], &b->samples[i], sizeof(*b->samples)) == 0);
	assert(!b->has_capture || (back.capture.xxh3 == b->capture.xxh3 &&
					  back.capture.ordinal == b->capture.ordinal &&
					  back.capture.complete == b->capture.complete &&
					  back.capture.generation == b->capture.generation));
	buf_done(&out);
}

static void fuzz_batch(const uint8_t *p, size_t n)
{
	struct batch b;
	const char *reason = NULL;
	int r = codec_decode_batch(codec, p, n, &b, &reason);

	if (r == 0)
		check_again(&b);
	else
		assert(r == CODEC_MALFORMED && reason && reason[0]);
}

/* A row from 20 bytes; what a shape lacks stays zero. @return false where no such row exists */
static bool make_row(struct bytes *in, int64_t *now, struct observation *ret)
{
	struct observation row = {.packets = 1};
	struct observation_key *k = &row.key;
	uint32_t shape, a, b, c, d;

	if (!bytes_u32(in, &shape) || !bytes_u32(in, &a) || !bytes_u32(in, &b) ||
		!bytes_u32(in, &c) || !bytes_u32(in, &d))
		return false;
	shape &= HAS_ALL | SHAPE_V6;
	*now += (int16_t)d;
	row.observed_us = row.last_us = *now;
	k->present = shape & HAS_ALL;
	k->family = shape & SHAPE_V6 ? 6 : 4;
#define SET(NAME, member, value) \
	if (shape & HAS_##NAME)  \
	member = value
	SET(PROTOCOL, k->protocol, (uint8_t)a);
	SET(TTL, k->ttl, (uint8_t)(a >> 8));
	SET(ICMP_TYPE, k->icmp_type, (uint8_t)(a >> 16));
	SET(ICMP_CODE, k->icmp_code, (uint8_t)(a >> 24));
	SET(TCP_FLAGS, k->tcp_flags, (uint8_t)(a >> 16));
	SET(SRC_PORT, k->src_port, (uint16_t)b);
	SET(DST_PORT, k->dst_port, (uint16_t)(b >> 16));
	SET(IP_LENGTH, k->ip_length, (uint16_t)b);
	SET(PAYLOAD_LENGTH, k->payload_length, (uint16_t)(b >> 16));
	SET(IP_ID, row.ip_id, (uint16_t)c);
	SET(IP_FLAGS, k->ip_flags, (uint8_t)(c >> 29));
	SET(TCP_SEQ, k->tcp_seq, c);
	SET(TCP_ACK, k->tcp_ack, d);
	SET(TCP_WINDOW, k->tcp_window, (uint16_t)d);
	SET(TCP_MSS, k->tcp_mss, (uint16_t)c);
	SET(TCP_HEADER_LENGTH, k->tcp_header_length, (uint8_t)(20 + 4 * (d % 11)));
	if (shape & HAS_SRC)
		store_be32(k->src, a ^ b);
	if (shape & HAS_SRC && k->family == 6)
		store_be64(k->src + 8, (uint64_t)c << 20);
	k->traits = d >> 12 & TRAITS_ALL;
	k->target = c & 0xff;
	if (d & 0x800) {
		row.packets = 2 + (c & 7);
		row.last_us += d & 0xffff;
	}
	*ret = row;
	return true;
}

static void fuzz_rows(const uint8_t *p, size_t n)
{
	static struct observation rows[MADE_MAX];
	struct batch b = {.rows = rows};
	struct bytes in = bytes_of(p, n);
	int64_t now = INT64_C(1767225600000000);
	struct observation row;

	while (b.rows_n < MADE_MAX && make_row(&in, &now, &row)) {
		if (shape_check(row.key.present | (row.key.family == 6 ? SHAPE_V6 : 0)) ||
			row_check(&row))
			continue;
		rows[b.rows_n++] = row;
		b.packets += row.packets;
	}
	check_again(&b);
}

static void fuzz_message(unsigned which, const uint8_t *p, size_t n)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&hirundo__v1__status__descriptor,
		&hirundo__v1__loss__descriptor,
		&hirundo__v1__hello__descriptor,
		&hirundo__v1__welcome__descriptor,
		&hirundo__v1__confirm__descriptor,
		&hirundo__v1__confirmed__descriptor,
		&hirundo__v1__refused__descriptor,
		&hirundo__v1__ping__descriptor,
	};
	const ProtobufCMessageDescriptor *type = types[which % ARRAY_SIZE(types)];
	const char *reason = NULL;
	ProtobufCMessage *m = codec_unpack(type, p, n, &reason), *again;
	struct frame_header h = {.version = FRAME_VERSION, .type = FRAME_PING};
	struct buf out;

	if (!m) {
		assert(reason && reason[0]);
		return;
	}
	buf_init(&out, 2u * FRAME_MAX);
	if (codec_pack_frame(&h, m, &out) == 0) {
		again = codec_unpack(
			type, buf_head(&out) + FRAME_HEADER_SIZE, h.payload_length, &reason);
		assert(again);
		codec_message_free(again);
	}
	buf_done(&out);
	codec_message_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if ((!codec && codec_new(&codec) < 0) || (!second && codec_new(&second) < 0))
		return 0;
	if (n == 0)
		return 0;
	if (data[0] == 0)
		fuzz_batch(data + 1, n - 1);
	else if (data[0] == 1)
		fuzz_rows(data + 1, n - 1);
	else
		fuzz_message(data[0], data + 1, n - 1);
	return 0;
}
