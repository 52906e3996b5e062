/*
 * Fills a spool, as a sensor does whose collector is away for long.
 *
 *   backlog DIR BYTES
 *
 * Appends batches until the spool holds BYTES. A few distinct batches of random rows are encoded
 * once, as a sensor seals them: 5,000 rows, and of floods what FOLD_MAX_BYTES hold. Nothing is
 * synced: that would take most of the time, and no power is cut here. Prints records=, packets=
 * and bytes=.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "proto/codec.h"
#include "sensor/fold.h"
#include "sensor/spool.h"

#define BATCHES 24u
#define FLOOD_ROWS (FOLD_MAX_BYTES / 50u) /* a SYN's row has 50 bytes and more (fold.h) */

struct record {
	struct buf frame;
	uint32_t rows;
};

static int no_sync(void *arg, int fd)
{
	(void)arg;
	(void)fd;
	return 0;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13; /* xorshift64, Marsaglia 2003 */
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill(struct observation *o, uint64_t *random, int64_t time_us)
{
	struct observation_key *k = &o->key;

	*o = (struct observation){.observed_us = time_us, .last_us = time_us, .packets = 1};
	k->present = HAS_SRC | HAS_SRC_PORT | HAS_DST_PORT | HAS_PROTOCOL | HAS_TTL |
		     HAS_IP_LENGTH | HAS_IP_FLAGS | HAS_IP_ID | HAS_TCP_FLAGS | HAS_TCP_SEQ |
		     HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH | HAS_PAYLOAD_LENGTH;
	k->family = 4;
	store_be32(k->src, (uint32_t)next_random(random));
	k->target = 1;
	k->protocol = 6;
	k->src_port = (uint16_t)next_random(random);
	k->dst_port = 23;
	k->ttl = (uint8_t)next_random(random);
	k->ip_length = k->tcp_header_length = 20;
	k->ip_length += 20;
	k->tcp_flags = 2;
	k->tcp_seq = (uint32_t)next_random(random);
	k->tcp_window = (uint16_t)next_random(random);
	o->ip_id = (uint16_t)next_random(random);
}

static int encode(struct codec *c, unsigned number, struct record *ret)
{
	static struct observation rows[FLOOD_ROWS];
	static const uint8_t header[FRAME_HEADER_SIZE];
	struct batch b = {.rows = rows, .rows_n = number % 2 ? FLOOD_ROWS : FOLD_SEAL_ROWS};
	uint64_t random = number + 1;
	int64_t now = clock_wall_us() - 60 * US_PER_S;
	int r;

	for (uint32_t i = 0; i < b.rows_n; i++)
		fill(&rows[i], &random, now + i);
	b.packets = ret->rows = b.rows_n;
	buf_init(&ret->frame, FRAME_MAX);
	r = buf_add(&ret->frame, header, sizeof(header));
	return r < 0 ? r : codec_encode_batch(c, &b, &ret->frame);
}

static int fill_spool(struct spool *s, struct record *records, uint64_t bytes)
{
	uint64_t n, packets = 0;

	for (n = 0; spool_counters(s)->bytes < bytes; n++) {
		struct record *r = &records[n % BATCHES];

		if (spool_append(s, FRAME_BATCH, r->rows, buf_head(&r->frame),
			    buf_len(&r->frame)) != SPOOL_OK)
			return -ENOSPC;
		packets += r->rows;
	}
	printf("records=%" PRIu64 " packets=%" PRIu64 " bytes=%" PRIu64 "\n", n, packets,
		spool_counters(s)->bytes);
	return 0;
}

int main(int argc, char **argv)
{
	static struct record records[BATCHES];
	struct spool_io io = spool_io_system;
	struct spool_options o = {.io = &io, .max_bytes = UINT64_MAX};
	AUTO_FREE char *reason = NULL;
	struct codec *codec = NULL;
	struct spool *spool = NULL;
	int r;

	if (argc != 3) {
		fputs("usage: backlog DIR BYTES\n", stderr);
		return 64;
	}
	io.fdatasync = no_sync;
	o.dir = argv[1];
	r = codec_new(&codec);
	for (unsigned i = 0; r == 0 && i < BATCHES; i++)
		r = encode(codec, i, &records[i]);
	if (r == 0)
		r = spool_open(&o, &spool, &reason);
	if (r == 0)
		r = fill_spool(spool, records, strtoull(argv[2], NULL, 10));
	if (r != 0)
		(void)fprintf(stderr, "backlog: %s\n", reason ? reason : strerror(-r));
	spool_close(spool);
	codec_free(codec);
	for (unsigned i = 0; i < BATCHES; i++)
		buf_done(&records[i].frame);
	return r == 0 ? 0 : 1;
}
