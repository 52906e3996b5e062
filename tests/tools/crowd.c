/*
 * Many sensors in one process, each with its own certificate, spool and uplink: what a collector
 * sees when a thousand hosts connect at once. Real TLS, real spools.
 *
 *   crowd HOST:PORT BUNDLES SPOOLS FIRST COUNT RECORDS ROWS
 *
 * BUNDLES/cNNNN holds the bundle of sensor NNNN. Appends RECORDS batches of ROWS rows to each spool
 * at the start and at each SIGUSR1. Prints "welcomed=N" and "acked=N" when all sensors are that
 * far.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/tlsctx.h"
#include "proto/codec.h"
#include "sensor/spool.h"
#include "sensor/targets.h"
#include "sensor/uplink.h"

struct member {
	struct crowd *crowd;
	struct spool *spool;
	struct targets *targets;
	struct uplink *uplink;
	uint64_t random;
	bool welcomed, acked;
};

struct crowd {
	uv_loop_t loop;
	struct daemon daemon;
	uv_signal_t more;
	struct codec *codec;
	struct member *members;
	unsigned n, records, rows, welcomed, acked, closed;
};

static void say(const char *what, unsigned n)
{
	printf("%s=%u\n", what, n);
	(void)fflush(stdout);
}

static uint64_t next_random(struct member *m)
{
	m->random ^= m->random << 13; /* xorshift64, Marsaglia 2003 */
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static void fill(struct member *m, struct observation *o, int64_t now)
{
	uint32_t src = (uint32_t)next_random(m) | 1;

	*o = (struct observation){.observed_us = now, .last_us = now, .packets = 1};
	memcpy(o->key.src, &src, sizeof(src));
	o->key.family = 4;
	o->key.present = HAS_SRC | HAS_SRC_PORT | HAS_DST_PORT | HAS_PROTOCOL | HAS_TTL |
			 HAS_IP_LENGTH | HAS_IP_FLAGS | HAS_IP_ID | HAS_TCP_FLAGS | HAS_TCP_SEQ |
			 HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH | HAS_PAYLOAD_LENGTH;
	o->key.target = 1;
	o->key.protocol = 6;
	o->key.src_port = (uint16_t)next_random(m);
	o->key.dst_port = 23;
	o->key.ttl = 50;
	o->key.ip_length = 40;
	o->ip_id = (uint16_t)next_random(m);
	o->key.tcp_flags = 2;
	o->key.tcp_seq = (uint32_t)next_random(m);
	o->key.tcp_window = 1024;
	o->key.tcp_header_length = 20;
}

static void append(struct member *m)
{
	struct crowd *c = m->crowd;
	struct observation *rows = calloc(c->rows, sizeof(*rows));
	struct batch b = {.rows = rows, .rows_n = c->rows, .packets = c->rows};
	static const uint8_t zero[FRAME_HEADER_SIZE];
	struct buf record;
	int64_t now = clock_wall_us();

	buf_init(&record, FRAME_MAX);
	for (unsigned i = 0; rows && i < c->rows; i++)
		fill(m, &rows[i], now + i);
	if (!rows || buf_add(&record, zero, sizeof(zero)) < 0 ||
		codec_encode_batch(c->codec, &b, &record) < 0 ||
		spool_append(m->spool, FRAME_BATCH, b.packets, buf_head(&record),
			buf_len(&record)) != 0) {
		fputs("crowd: a record was not taken\n", stderr);
		exit(1);
	}
	buf_done(&record);
	free(rows);
	if (m->acked)
		c->acked--;
	m->acked = false;
}

static void on_welcome(void *arg, const struct capture_position *capture)
{
	struct member *m = arg;

	(void)capture;
	if (!m->welcomed && ++m->crowd->welcomed == m->crowd->n)
		say("welcomed", m->crowd->n);
	m->welcomed = true;
}

static void on_acked(void *arg)
{
	struct member *m = arg;

	if (m->acked || !spool_all_acked(m->spool))
		return;
	m->acked = true;
	if (++m->crowd->acked == m->crowd->n)
		say("acked", m->crowd->n);
}

static void on_peer(void *arg, uint8_t family, const uint8_t *addr, uint16_t port)
{
	(void)arg;
	(void)family;
	(void)addr;
	(void)port;
}

static void on_refused(void *arg, const char *reason)
{
	(void)arg;
	(void)fprintf(stderr, "crowd: %s\n", reason);
}

static void on_more(uv_signal_t *s, int number)
{
	struct crowd *c = s->data;

	(void)number;
	for (unsigned i = 0; i < c->n; i++) {
		for (unsigned k = 0; k < c->records; k++)
			append(&c->members[i]);
		uplink_kick(c->members[i].uplink);
	}
}

static void on_uplink_closed(void *arg)
{
	struct member *m = arg;

	if (++m->crowd->closed == m->crowd->n) {
		daemon_close(&m->crowd->daemon);
		uv_close((uv_handle_t *)&m->crowd->more, NULL);
	}
}

static void on_stop(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < c->n; i++)
		uplink_close(c->members[i].uplink, on_uplink_closed, &c->members[i]);
}

static void on_reload(void *arg)
{
	(void)arg;
}

static bool start(struct member *m, const char *collector, const char *bundles, const char *spools,
	unsigned number)
{
	static const struct uplink_callbacks calls = {.on_welcome = on_welcome,
		.on_acked = on_acked,
		.on_peer = on_peer,
		.on_refused = on_refused};
	char ca[256], cert[256], key[256], dir[256];
	const char *reason;
	char *why = NULL;
	struct spool_options so = {.dir = dir, .max_bytes = 64u << 20, .segment_bytes = 1u << 20};
	struct tlsctx_options to = {.ca_file = ca, .cert_file = cert, .key_file = key};
	struct uplink_options uo = {.retry_min_ms = 100, .retry_max_ms = 5000};
	SSL_CTX *ctx = NULL;

	(void)snprintf(ca, sizeof(ca), "%s/c%04u/ca.crt", bundles, number);
	(void)snprintf(cert, sizeof(cert), "%s/c%04u/sensor.crt", bundles, number);
	(void)snprintf(key, sizeof(key), "%s/c%04u/sensor.key", bundles, number);
	(void)snprintf(dir, sizeof(dir), "%s/c%04u", spools, number);
	m->random = number + 1;
	if (hostport_parse(collector, &uo.collector) < 0 || targets_new(&m->targets) < 0 ||
		targets_add(m->targets, "203.0.113.7", &reason) < 0 ||
		spool_open(&so, &m->spool, &why) != 0 || tlsctx_new(&to, &ctx, &why) < 0) {
		(void)fprintf(
			stderr, "crowd: sensor %u: %s\n", number, why ? why : "out of memory");
		return false;
	}
	for (unsigned k = 0; k < m->crowd->records; k++)
		append(m);
	uo.spool = m->spool;
	uo.targets = m->targets;
	return uplink_new(&m->crowd->loop, &uo, ctx, &calls, m, &m->uplink) == 0;
}

int main(int argc, char **argv)
{
	static struct crowd c;
	unsigned first;

	if (argc != 8) {
		fputs("usage: crowd HOST:PORT BUNDLES SPOOLS FIRST COUNT RECORDS ROWS\n", stderr);
		return 64;
	}
	first = (unsigned)strtoul(argv[4], NULL, 10);
	c.n = (unsigned)strtoul(argv[5], NULL, 10);
	c.records = (unsigned)strtoul(argv[6], NULL, 10);
	c.rows = (unsigned)strtoul(argv[7], NULL, 10);
	c.members = calloc(c.n, sizeof(*c.members));
	if (!c.members || codec_new(&c.codec) < 0 || uv_loop_init(&c.loop) < 0 ||
		daemon_init(&c.daemon, &c.loop, on_reload, on_stop, &c) < 0 ||
		uv_signal_init(&c.loop, &c.more) < 0 ||
		uv_signal_start(&c.more, on_more, SIGUSR1) < 0)
		return 1;
	c.more.data = &c;
	for (unsigned i = 0; i < c.n; i++) {
		c.members[i].crowd = &c;
		if (!start(&c.members[i], argv[1], argv[2], argv[3], first + i))
			return 1;
	}
	for (unsigned i = 0; i < c.n; i++)
		uplink_start(c.members[i].uplink);
	(void)uv_run(&c.loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < c.n; i++) {
		uplink_free(c.members[i].uplink);
		spool_close(c.members[i].spool);
		targets_free(c.members[i].targets);
	}
	codec_free(c.codec);
	free(c.members);
	(void)uv_loop_close(&c.loop);
	return 0;
}
