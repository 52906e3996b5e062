/*
 * Feeds records into ingest as a session does, without network: for tests of what ingest commits.
 *
 *     ingest_driver DSN NAME EPOCH TIME_US PLAN [CONNECTIONS [ROWS]]
 *
 * PLAN says which records the stream consists of, by commas, each with *K to repeat it:
 *     B<n>      batch of n live rows from TIME_US on, 1 ms apart; row i has tcp_seq = seq * 32768 +
 * i R<n>      the same; the last row has ttl 13, for a CHECK that a test adds F<n>      rows an
 * hour ahead          O<n>  rows of 1,000 days ago C<n>@<d>  of a capture, rows on day d since
 * 1970; complete when it ends the plan G<n>      a payload of noise that claims n packets M<n> n
 * rows, whose header claims one packet more X<n>      n payload samples and no rows S STATUS L<n>
 * LOSS of n records with 10 packets each The same arguments make the same stream, so a driver that
 * was killed is started again and goes on as a spool would. Ends when everything is acknowledged;
 * prints what ingest counted.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "collector/ingest.h"
#include "collector/registry.h"
#include "common/clock.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"

#define EXIT_CONFLICTS 3
#define CONFLICTS_MAX 5
#define WINDOW_BYTES (8u << 20)
#define CAPTURE_XXH3 UINT64_C(0xfedcba9876543210)

struct item {
	struct frame_header header;
	uint64_t chain;
	uint8_t *frame;
	size_t n;
};

static struct {
	uv_loop_t loop;
	uv_timer_t again;
	const char *name;
	uint64_t epoch, acked;
	int64_t time_us;
	struct item *items;
	size_t items_n, next;
	size_t flight;
	unsigned conflicts;
	struct registry *registry;
	struct ingest *ingest;
	struct registry_hello hello;
	struct registry_stream stream;
	struct registry_address address;
	struct registry_request *request;
	struct lane *lane;
	int code;
} d;

static void hello(void);

/* The stream. */

static void make_rows(struct batch *b, char kind, uint64_t seq, unsigned n, int32_t day)
{
	int64_t start = d.time_us + (int64_t)(seq % 1000) * 10 * US_PER_MS;

	if (kind == 'F')
		start += 3600 * US_PER_S;
	else if (kind == 'O')
		start -= 1000 * US_PER_DAY;
	else if (kind == 'C')
		start = day * US_PER_DAY + (int64_t)seq * US_PER_S;
	b->rows = calloc(n + 1, sizeof(*b->rows));
	assert(b->rows);
	b->rows_n = n;
	for (unsigned i = 0; i < n; i++) {
		struct observation *o = &b->rows[i];
		uint32_t noise = (uint32_t)seq * 2654435761u + i * 40503u;

		o->key.family = 4;
		o->key.present = HAS_SRC | HAS_PROTOCOL | HAS_TTL | HAS_SRC_PORT | HAS_DST_PORT |
				 HAS_TCP_SEQ | HAS_TCP_FLAGS | HAS_TCP_WINDOW |
				 HAS_TCP_HEADER_LENGTH | HAS_TCP_MSS | HAS_PAYLOAD_LENGTH |
				 HAS_IP_LENGTH | HAS_IP_FLAGS | HAS_IP_ID;
		memcpy(o->key.src, &noise, 4);
		o->key.protocol = 6;
		o->key.ttl = kind == 'R' && i + 1 == n ? 13 : 50;
		o->key.src_port = (uint16_t)noise;
		o->key.dst_port = (uint16_t)(noise >> 7 & 1 ? 23 : 80);
		o->key.tcp_seq = (uint32_t)(seq * 32768 + i);
		o->key.tcp_flags = 2;
		o->key.tcp_window = 1024;
		o->key.tcp_header_length = 24;
		o->key.tcp_mss = 1460;
		o->key.ip_length = 44;
		o->ip_id = (uint16_t)(noise >> 16);
		o->packets = 1 + noise % 3;
		o->observed_us = start + (int64_t)i * US_PER_MS;
		o->last_us = o->observed_us + (o->packets > 1 ? 500 : 0);
		b->packets += o->packets;
	}
}

static void make_samples(struct batch *b, uint64_t seq, unsigned n)
{
	b->samples = calloc(n, sizeof(*b->samples));
	assert(b->samples);
	b->samples_n = n;
	for (unsigned i = 0; i < n; i++)
		b->samples[i] = (struct sample){.observed_us = d.time_us,
			.last_us = d.time_us,
			.content = seq * 1000 + i,
			.packets = 1,
			.payload_length = 4,
			.src = {192, 0, 2, 1},
			.family = 4,
			.has_src = 1,
			.protocol = 17,
			.has_ports = 1,
			.src_port = 1,
			.dst_port = 53,
			.length = 4,
			.payload = {1, 2, 3, 4}};
}

static void seal(struct item *it, struct buf *out)
{
	it->header.version = FRAME_VERSION;
	it->header.payload_length = (uint32_t)(buf_len(out) - FRAME_HEADER_SIZE);
	frame_seal(&it->header, buf_head(out));
	it->chain = it->header.checksum;
	it->n = buf_len(out);
	it->frame = malloc(it->n);
	assert(it->frame);
	memcpy(it->frame, buf_head(out), it->n);
}

static void make(struct codec *codec, const char *word, bool last)
{
	struct item *it = &d.items[d.items_n];
	const struct item *before = d.items_n > 0 ? it - 1 : NULL;
	uint64_t total = before ? before->header.packets_total : 0;
	struct frame_header *h = &it->header;
	const char *at = strchr(word, '@');
	unsigned n = (unsigned)strtoul(word + 1, NULL, 10);
	struct batch b = {0};
	uint8_t head[FRAME_HEADER_SIZE] = {0};
	struct buf out;
	int r;

	buf_init(&out, 2 * FRAME_MAX);
	r = buf_add(&out, head, sizeof(head));
	assert(r == 0);
	h->type = *word == 'S' ? FRAME_STATUS : *word == 'L' ? FRAME_LOSS : FRAME_BATCH;
	h->epoch = d.epoch;
	h->first_seq = before ? before->header.seq + 1 : 1;
	h->seq = h->first_seq + (*word == 'L' ? n - 1 : 0);
	h->prev_checksum = before ? before->chain : 0;
	if (*word == 'S') {
		Hirundo__V1__Status m = HIRUNDO__V1__STATUS__INIT;

		m.run = d.epoch;
		m.started_us = m.at_us = m.covered_from_us = d.time_us;
		m.covered_to_us = d.time_us + US_PER_S;
		m.captured = m.sealed = total;
		m.software = (char *)"driver";
		r = buf_reserve(&out, hirundo__v1__status__get_packed_size(&m));
		assert(r == 0);
		buf_added(&out, hirundo__v1__status__pack(&m, buf_tail(&out)));
	} else if (*word == 'L') {
		Hirundo__V1__Loss m = HIRUNDO__V1__LOSS__INIT;

		m.reason = HIRUNDO__V1__LOSS__REASON__SPOOL_FULL;
		m.last_checksum_known = true;
		m.last_checksum = h->seq * 7919;
		r = buf_reserve(&out, hirundo__v1__loss__get_packed_size(&m));
		assert(r == 0);
		buf_added(&out, hirundo__v1__loss__pack(&m, buf_tail(&out)));
		total += 10 * (uint64_t)n;
	} else if (*word == 'G') {
		uint8_t noise[64];

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)(h->seq * 31 + i * 17) | 0x80;
		r = buf_add(&out, noise, sizeof(noise));
		assert(r == 0);
		h->packets = n;
	} else {
		if (*word == 'X')
			make_samples(&b, h->seq, n);
		else
			make_rows(&b, *word, h->seq, n, at ? (int32_t)strtol(at + 1, NULL, 10) : 0);
		b.has_capture = *word == 'C';
		b.capture = (struct capture_position){
			CAPTURE_XXH3, total + b.packets, last, 0, .before = total};
		r = codec_encode_batch(codec, &b, &out);
		assert(r == 0);
		h->packets = (uint32_t)b.packets + (*word == 'M');
		free(b.rows);
		free(b.samples);
	}
	h->packets_total = total + h->packets;
	seal(it, &out);
	if (*word == 'L')
		it->chain = h->seq * 7919;
	buf_done(&out);
	d.items_n++;
}

static void make_stream(char *plan)
{
	struct codec *codec;
	int r = codec_new(&codec);

	assert(r == 0);
	for (char *word; (word = strsep(&plan, ","));) {
		char *times = strchr(word, '*');
		unsigned n = times ? (unsigned)strtoul(times + 1, NULL, 10) : 1;

		d.items = realloc(d.items, (d.items_n + n) * sizeof(*d.items));
		assert(d.items);
		memset(d.items + d.items_n, 0, n * sizeof(*d.items));
		while (n-- > 0)
			make(codec, word, !plan && n == 0);
	}
	codec_free(codec);
}

/* The session's part. */

static void print_end(void)
{
	const struct ingest_counters *c = ingest_counters(d.ingest);

	printf("records=%" PRIu64 " rows=%" PRIu64 " packets=%" PRIu64 " transactions=%" PRIu64
	       " retries=%" PRIu64 " reconnects=%" PRIu64 " conflicts=%u queued=%" PRIu64 "\n",
		c->records, c->rows, c->packets, c->transactions, c->retries, c->reconnects,
		d.conflicts, c->queued_bytes);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void on_drained(void *arg)
{
	(void)arg;
	if (d.lane)
		ingest_lane_close(d.lane);
	uv_close((uv_handle_t *)&d.again, NULL);
	registry_close(d.registry, nothing, NULL);
}

static void end(int code)
{
	d.code = code;
	print_end();
	ingest_drain(d.ingest, 5000, on_drained, NULL);
}

static void feed(void)
{
	while (d.lane && d.next < d.items_n && d.flight < WINDOW_BYTES &&
		ingest_can_take(d.ingest)) {
		const struct item *it = &d.items[d.next++];
		uint8_t *copy = malloc(it->n);
		int r;

		assert(copy);
		memcpy(copy, it->frame, it->n);
		d.flight += it->n;
		r = ingest_put(d.lane, &it->header, copy, it->n, clock_wall_us(),
			it->header.type == FRAME_STATUS ? &(int64_t){1234} : NULL);
		assert(r == 0);
	}
}

static void on_committed(void *arg, uint64_t epoch, uint64_t seq, uint64_t checksum, bool taken)
{
	(void)arg;
	(void)taken;
	(void)epoch;
	(void)checksum;
	for (size_t i = 0; i < d.next; i++)
		if (d.items[i].header.seq > d.acked && d.items[i].header.seq <= seq)
			d.flight -= d.items[i].n;
	assert(seq > d.acked);
	d.acked = seq;
	printf("acked=%" PRIu64 "\n", seq);
	fflush(stdout);
	if (seq == d.items[d.items_n - 1].header.seq)
		end(0);
	else
		feed();
}

static void on_again(uv_timer_t *timer)
{
	(void)timer;
	hello();
}

static void on_conflict(void *arg, bool forked, const char *reason)
{
	(void)arg;
	printf("conflict=%s reason=\"%s\"\n", forked ? "forked" : "position", reason);
	fflush(stdout);
	ingest_lane_close(d.lane);
	d.lane = NULL;
	if (++d.conflicts >= CONFLICTS_MAX)
		end(EXIT_CONFLICTS);
	else
		(void)uv_timer_start(&d.again, on_again, 50, 0);
}

static void on_room(void *arg)
{
	(void)arg;
	feed();
}

static void on_hello(void *arg, struct registry_hello *h, enum registry_res res)
{
	static const struct ingest_callbacks calls = {on_committed, on_conflict, on_room};
	struct ingest_lane_info info = {
		.sensor_id = h->sensor.sensor_id, .allow_capture = h->sensor.allow_capture};
	int r;

	(void)arg;
	if (res != REGISTRY_OK) {
		printf("hello=%d\n", (int)res);
		fflush(stdout);
		(void)uv_timer_start(&d.again, on_again, 200, 0);
		return;
	}
	d.flight = 0;
	d.next = 0;
	d.acked = d.stream.last_seq;
	while (d.next < d.items_n && d.items[d.next].header.seq <= d.stream.last_seq)
		d.next++;
	printf("welcome=%" PRIu64 " of=%zu\n", d.stream.last_seq, d.items_n);
	fflush(stdout);
	r = ingest_lane_open(d.ingest, &info, &calls, NULL, &d.lane);
	assert(r == 0);
	/* As the spool has it: a fork shows as a conflict, not here. */
	ingest_lane_position(d.lane, d.epoch, d.stream.last_seq,
		d.next > 0 ? d.items[d.next - 1].chain : 0, d.stream.packets_total);
	if (d.next == d.items_n)
		end(0);
	else
		feed();
}

static void hello(void)
{
	const struct item *last = &d.items[d.items_n - 1];
	int r;

	d.stream = (struct registry_stream){.epoch = d.epoch,
		.offered_seq = last->header.seq,
		.offered_packets = last->header.packets_total};
	d.address = (struct registry_address){
		.family = 4, .prefix_length = 32, .address = {203, 0, 113, 7}};
	d.hello = (struct registry_hello){.peer = "192.0.2.200",
		.software = "driver 0",
		.streams = &d.stream,
		.streams_n = 1,
		.addresses = &d.address,
		.addresses_n = 1};
	snprintf(d.hello.name, sizeof(d.hello.name), "%s", d.name);
	r = registry_hello(d.registry, &d.hello, on_hello, NULL, &d.request);
	assert(r == 0);
}

int main(int argc, char **argv)
{
	static const struct registry_callbacks registry_calls = {.on_disabled = NULL};
	struct ingest_options o = {.connections = 2,
		.budget_bytes = 16u << 20,
		.transaction_rows = 20000,
		.reject_bytes = 1000};
	int r;

	if (argc < 6) {
		fprintf(stderr,
			"usage: ingest_driver DSN NAME EPOCH TIME_US PLAN [CONNECTIONS [ROWS]]\n");
		return 64;
	}
	o.dsn = argv[1];
	d.name = argv[2];
	d.epoch = strtoull(argv[3], NULL, 10);
	d.time_us = strtoll(argv[4], NULL, 10);
	make_stream(argv[5]);
	if (argc > 6)
		o.connections = (unsigned)strtoul(argv[6], NULL, 10);
	if (argc > 7)
		o.transaction_rows = (uint32_t)strtoul(argv[7], NULL, 10);
	r = uv_loop_init(&d.loop);
	assert(r == 0);
	(void)uv_timer_init(&d.loop, &d.again);
	r = registry_new(&d.loop, o.dsn, &registry_calls, NULL, &d.registry);
	assert(r == 0);
	r = ingest_new(&d.loop, &o, &d.ingest);
	assert(r == 0);
	hello();
	(void)uv_run(&d.loop, UV_RUN_DEFAULT);
	ingest_free(d.ingest);
	registry_free(d.registry);
	for (size_t i = 0; i < d.items_n; i++)
		free(d.items[i].frame);
	free(d.items);
	return d.code;
}
