/*
 * Ingest against COPY BINARY alone, in one run: the same rows, the same tables and books, the same
 * server. Ingest decodes records of 5,000 rows, writes the rows and commits them with their books;
 * the rival sends ready-made COPY bytes by plain blocking libpq, in transactions of 5,000 rows.
 *
 *     bench_ingest OWNER_DSN RECORDS PAIRS LIMIT    exits 1 where the median ratio is below the
 * limit
 */
#include <assert.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "collector/copyrow.h"
#include "collector/ingest.h"
#include "common/clock.h"
#include "proto/codec.h"

#define ROWS 5000u
#define PAIRS_MAX 32u
#define SENSOR 1

static struct {
	const char *dsn;
	size_t records;
	struct observation rows[ROWS];
	uint8_t **frames;
	struct frame_header *headers;
	uint8_t *copy;
	size_t copy_n;
	int32_t day;

	uv_loop_t loop;
	struct ingest *ingest;
	struct lane *lane;
	size_t next, acked;
	int64_t begin_us, end_us;
} b;

static PGconn *connect_db(void)
{
	PGconn *c = PQconnectdb(b.dsn);

	if (PQstatus(c) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(c));
		exit(1);
	}
	return c;
}

static void run(PGconn *c, const char *sql)
{
	PGresult *res = PQexec(c, sql);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK &&
		PQresultStatus(res) != PGRES_COPY_IN) {
		fprintf(stderr, "%s: %s", sql, PQerrorMessage(c));
		exit(1);
	}
	PQclear(res);
}

/* A SYN scan in which nothing folds, as at the end-to-end benchmark. */
static void make(void)
{
	int64_t now = clock_wall_us() - 60 * US_PER_S;
	struct batch batch = {.rows = b.rows, .rows_n = ROWS, .packets = ROWS};
	uint64_t checksum = 0;
	struct enrich_answer nothing = {.has_region = false};
	struct codec *codec;
	uint8_t *p;
	int r = codec_new(&codec);

	assert(r == 0);
	b.day = (int32_t)(now / US_PER_DAY);
	for (uint32_t i = 0; i < ROWS; i++) {
		struct observation *o = &b.rows[i];
		uint32_t noise = i * 2654435761u;

		o->key.family = 4;
		o->key.present = HAS_SRC | HAS_PROTOCOL | HAS_TTL | HAS_SRC_PORT | HAS_DST_PORT |
				 HAS_TCP_SEQ | HAS_TCP_FLAGS | HAS_TCP_WINDOW |
				 HAS_TCP_HEADER_LENGTH | HAS_TCP_MSS | HAS_PAYLOAD_LENGTH |
				 HAS_IP_LENGTH | HAS_IP_FLAGS | HAS_IP_ID;
		memcpy(o->key.src, &noise, 4);
		o->key.target = 1;
		o->key.protocol = 6;
		o->key.ttl = (uint8_t)(40 + i % 20);
		o->key.src_port = (uint16_t)noise;
		o->key.dst_port = (uint16_t)(noise >> 9);
		o->key.tcp_seq = noise * 7;
		o->key.tcp_flags = 2;
		o->key.tcp_window = 1024;
		o->key.tcp_header_length = 24;
		o->key.tcp_mss = 1460;
		o->key.ip_length = 44;
		o->ip_id = (uint16_t)(noise >> 16);
		o->packets = 1;
		o->observed_us = o->last_us = now + (int64_t)i * 50;
	}
	b.frames = calloc(b.records, sizeof(*b.frames));
	b.headers = calloc(b.records, sizeof(*b.headers));
	b.copy = malloc((size_t)ROWS * COPYROW_OBSERVATION_MAX + 64);
	assert(b.frames && b.headers && b.copy);
	for (size_t i = 0; i < b.records; i++) {
		uint8_t head[FRAME_HEADER_SIZE] = {0};
		struct frame_header *h = &b.headers[i];
		struct buf out;

		buf_init(&out, FRAME_MAX);
		r = buf_add(&out, head, sizeof(head));
		assert(r == 0);
		r = codec_encode_batch(codec, &batch, &out);
		assert(r == 0);
		*h = (struct frame_header){.version = FRAME_VERSION,
			.type = FRAME_BATCH,
			.payload_length = (uint32_t)(buf_len(&out) - FRAME_HEADER_SIZE),
			.packets = ROWS,
			.epoch = 1,
			.first_seq = i + 1,
			.seq = i + 1,
			.packets_total = (i + 1) * ROWS,
			.prev_checksum = checksum};
		frame_seal(h, buf_head(&out));
		checksum = h->checksum;
		b.frames[i] = buf_head(&out); /* kept */
	}
	codec_free(codec);
	p = copyrow_begin(b.copy);
	for (uint32_t i = 0; i < ROWS; i++)
		p = copyrow_observation(p, &b.rows[i], SENSOR, &nothing);
	b.copy_n = (size_t)(copyrow_end(p) - b.copy);
}

static void empty(void)
{
	PGconn *c = connect_db();

	run(c, "TRUNCATE hirundo.observation, hirundo.ingest_batch, hirundo.ingest_batch_day,"
	       " hirundo.dirty_mark, hirundo.ingest_state");
	run(c, "INSERT INTO hirundo.ingest_state (sensor_id, epoch) VALUES (1, 1)");
	run(c, "CHECKPOINT");
	PQfinish(c);
}

/* The rival. */

static double copy_alone(void)
{
	PGconn *c = connect_db();
	int64_t begin = clock_mono_us();
	char sql[2048];

	for (size_t seq = 1; seq <= b.records; seq++) {
		const size_t chunk = 64u * 1024u;

		snprintf(sql, sizeof(sql),
			"BEGIN; UPDATE hirundo.ingest_state SET last_seq = %zu, last_checksum = "
			"%zu,"
			" packets_total = packets_total + %u, stored = stored + %u, updated_at = "
			"now()"
			" WHERE sensor_id = 1 AND epoch = 1 AND last_seq = %zu; %s",
			seq, seq, ROWS, ROWS, seq - 1, copyrow_observation_sql);
		run(c, sql);
		for (size_t at = 0; at < b.copy_n; at += chunk)
			if (PQputCopyData(c, (const char *)b.copy + at,
				    (int)(b.copy_n - at < chunk ? b.copy_n - at : chunk)) != 1)
				exit(1);
		if (PQputCopyEnd(c, NULL) != 1)
			exit(1);
		for (PGresult *res; (res = PQgetResult(c)); PQclear(res))
			if (PQresultStatus(res) != PGRES_COMMAND_OK)
				exit(1);
		snprintf(sql, sizeof(sql),
			"INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, "
			"checksum,"
			" packets_total, packets, stored, quarantined, rejected, lost, rows, "
			"stored_rows,"
			" samples, fold_early, bytes, kind, received_at, first_at, last_at) VALUES "
			"(1, 1, %zu,"
			" %zu, %zu, %zu, %u, %u, 0, 0, 0, %u, %u, 0, 0, 100000, 1, now(), now(), "
			"now());"
			"INSERT INTO hirundo.ingest_batch_day (sensor_id, epoch, seq, day, rows, "
			"packets)"
			" VALUES (1, 1, %zu, current_date, %u, %u);"
			"INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows,"
			" first_at, last_at) VALUES (1, date_bin('15min', now(), '2000-01-01Z'),"
			" 1, %zu, %u, now(), now()); COMMIT",
			seq, seq, seq, seq * ROWS, ROWS, ROWS, ROWS, ROWS, seq, ROWS, ROWS, seq,
			ROWS);
		run(c, sql);
	}
	PQfinish(c);
	return (double)(clock_mono_us() - begin) / 1e6;
}

/* Ingest. */

static void feed(void)
{
	/* As credit has it: some megabytes are in flight. */
	while (b.next < b.records && b.next - b.acked < 64 && ingest_can_take(b.ingest)) {
		size_t i = b.next++, n = FRAME_HEADER_SIZE + b.headers[i].payload_length;
		uint8_t *copy = malloc(n);
		int r;

		assert(copy);
		memcpy(copy, b.frames[i], n);
		r = ingest_put(b.lane, &b.headers[i], copy, n, clock_wall_us(), NULL);
		assert(r == 0);
	}
}

static void on_drained(void *arg)
{
	(void)arg;
	ingest_lane_close(b.lane);
}

static void on_committed(void *arg, uint64_t epoch, uint64_t seq, uint64_t checksum, bool taken)
{
	(void)arg;
	(void)taken;
	(void)epoch;
	(void)checksum;
	b.acked = seq;
	feed();
	if (seq == b.records) {
		b.end_us = clock_mono_us();
		ingest_drain(b.ingest, 1000, on_drained, NULL);
	}
}

static void on_conflict(void *arg, bool forked, const char *reason)
{
	(void)arg;
	(void)forked;
	fprintf(stderr, "%s\n", reason);
	exit(1);
}

static void on_room(void *arg)
{
	(void)arg;
	feed();
}

static void start(uv_timer_t *timer)
{
	static const struct ingest_callbacks calls = {on_committed, on_conflict, on_room};
	struct ingest_lane_info info = {.sensor_id = SENSOR};
	int r;

	if (ingest_counters(b.ingest)->connected < 2)
		return;
	uv_close((uv_handle_t *)timer, NULL);
	r = ingest_lane_open(b.ingest, &info, &calls, NULL, &b.lane);
	assert(r == 0);
	ingest_lane_position(b.lane, 1, 0, 0, 0);
	b.begin_us = clock_mono_us();
	feed();
}

static double through_ingest(void)
{
	struct ingest_options o = {.dsn = b.dsn,
		.connections = 2,
		.budget_bytes = 64u << 20,
		.transaction_rows = 20000,
		.reject_bytes = 0};
	uv_timer_t timer;
	int r = uv_loop_init(&b.loop);

	assert(r == 0);
	b.next = b.acked = 0;
	r = ingest_new(&b.loop, &o, &b.ingest);
	assert(r == 0);
	(void)uv_timer_init(&b.loop, &timer);
	(void)uv_timer_start(&timer, start, 10, 10);
	(void)uv_run(&b.loop, UV_RUN_DEFAULT);
	ingest_free(b.ingest);
	(void)uv_loop_close(&b.loop);
	return (double)(b.end_us - b.begin_us) / 1e6;
}

/* What a row costs before libpq has it. */
static void measure_parts(void)
{
	const unsigned times = 200;
	struct enrich_answer nothing = {.has_region = false};
	struct codec *codec;
	int64_t begin, decoded, written;
	uint64_t sum = 0;
	int r = codec_new(&codec);

	assert(r == 0);
	begin = clock_mono_us();
	for (unsigned i = 0; i < times; i++) {
		const char *reason;
		struct batch batch;

		r = codec_decode_batch(codec, b.frames[0] + FRAME_HEADER_SIZE,
			b.headers[0].payload_length, &batch, &reason);
		assert(r == 0);
		sum += batch.packets;
	}
	decoded = clock_mono_us();
	for (unsigned i = 0; i < times; i++) {
		uint8_t *p = copyrow_begin(b.copy);

		for (uint32_t k = 0; k < ROWS; k++)
			p = copyrow_observation(p, &b.rows[k], SENSOR, &nothing);
		sum += (uint64_t)(copyrow_end(p) - b.copy);
	}
	written = clock_mono_us();
	printf("decode: %.0f ns a row; COPY row: %.0f ns a row (%" PRIu64 ")\n",
		(double)(decoded - begin) * 1e3 / (times * ROWS),
		(double)(written - decoded) * 1e3 / (times * ROWS), sum % 10);
	codec_free(codec);
}

static int compare(const void *x, const void *y)
{
	double a = *(const double *)x, c = *(const double *)y;

	return a < c ? -1 : a > c;
}

int main(int argc, char **argv)
{
	double ratios[PAIRS_MAX], limit, median;
	size_t pairs, rows;
	PGconn *c;
	char sql[256];

	if (argc != 5) {
		fputs("usage: bench_ingest OWNER_DSN RECORDS PAIRS LIMIT\n", stderr);
		return 64;
	}
	b.dsn = argv[1];
	b.records = strtoul(argv[2], NULL, 10);
	pairs = strtoul(argv[3], NULL, 10);
	limit = strtod(argv[4], NULL);
	assert(pairs >= 1 && pairs <= PAIRS_MAX);
	make();
	measure_parts();
	c = connect_db();
	snprintf(
		sql, sizeof(sql), "SELECT hirundo.ensure_day(DATE '1970-01-01' + %d, NULL)", b.day);
	run(c, sql);
	PQfinish(c);
	rows = b.records * ROWS;
	empty();
	(void)copy_alone(); /* warm */
	for (size_t i = 0; i < pairs; i++) {
		double seconds[2];

		for (int turn = 0; turn < 2; turn++) {
			int which = (turn + (int)i) % 2;

			empty();
			seconds[which] = which ? through_ingest() : copy_alone();
		}
		ratios[i] = seconds[0] / seconds[1];
		printf("pair %zu: ingest %.0f rows/s, COPY alone %.0f rows/s, ratio %.2f\n", i + 1,
			(double)rows / seconds[1], (double)rows / seconds[0], ratios[i]);
	}
	qsort(ratios, pairs, sizeof(*ratios), compare);
	median = ratios[pairs / 2];
	printf("ingest against COPY alone: median %.2f of %zu pairs (limit %.2f)\n", median, pairs,
		limit);
	for (size_t i = 0; i < b.records; i++)
		free(b.frames[i]);
	free(b.frames);
	free(b.headers);
	free(b.copy);
	return median < limit;
}
