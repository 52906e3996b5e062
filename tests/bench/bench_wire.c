/*
 * Bytes on the wire against the byte-wise entropy of the columns, and the cost of encode and
 * decode.
 *
 * Entropy: each column in its fixed width (absent: zero), time as difference to the row before; the
 * order-0 entropy of every byte position over the whole capture, summed. Wire: frames of `rows`
 * rows, header, TLS records included. Exit 1 where full batches take more than 1.10 * entropy + 0.5
 * bytes a row, or a batch does not come back as it went.
 *
 * With --dump DIR, NAME.rows gets the rows as the entropy counts them and NAME.frames the frames of
 * some batches, so that something else can count and decode again (test_wire.py).
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "captures.h"
#include "common/bytes.h"
#include "proto/codec.h"

#define ROWS 200000u
#define FULL 5000u
#define SMALL 10u
#define RATIO_MAX 1.10
#define EXTRA_MAX 0.5 /* bytes a row */
/* RFC 8446, 5.2: header 5, content type 1, tag 16 bytes a record of at most 2^14 bytes. */
#define TLS_RECORD 16384u
#define TLS_OVERHEAD 22u

/* A row as the entropy sees it: fixed widths, big-endian. */
#define IMAGE_SIZE 80u

static size_t put(uint8_t *to, size_t at, uint64_t v, size_t width)
{
	for (size_t k = 0; k < width; k++)
		to[at + k] = (uint8_t)(v >> (8 * (width - 1 - k)));
	return at + width;
}

/* Widths of the table's columns in hirundo.observation: time 8, IPv4 source 4 (16 in a capture that
 * has IPv6), ports 2, ... test_wire.py has the same list. */
static size_t row_image(
	const struct observation *row, const struct observation *before, bool v6, uint8_t *to)
{
	const struct observation_key *k = &row->key;
	size_t at = put(to, 0, before ? (uint64_t)(row->observed_us - before->observed_us) : 0, 8);

	memcpy(to + at, k->src, v6 ? 16 : 4);
	at += v6 ? 16 : 4;
	at = put(to, at, k->target, 4);
	at = put(to, at, k->src_port, 2);
	at = put(to, at, k->dst_port, 2);
	at = put(to, at, k->protocol, 1);
	at = put(to, at, k->icmp_type, 1);
	at = put(to, at, k->icmp_code, 1);
	at = put(to, at, k->ttl, 1);
	at = put(to, at, k->ip_length, 2);
	at = put(to, at, row->ip_id, 2);
	at = put(to, at, k->ip_flags, 1);
	at = put(to, at, k->tcp_flags, 1);
	at = put(to, at, k->tcp_seq, 4);
	at = put(to, at, k->tcp_ack, 4);
	at = put(to, at, k->tcp_window, 2);
	at = put(to, at, k->tcp_header_length, 1);
	at = put(to, at, k->tcp_mss, 2);
	at = put(to, at, k->payload_length, 2);
	at = put(to, at, row->packets, 4);
	at = put(to, at, (uint64_t)(row->last_us - row->observed_us), 4);
	at = put(to, at, k->traits, 4);
	return at;
}

static bool has_v6(const struct observation *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].key.family == 6)
			return true;
	return false;
}

static double entropy(const struct observation *rows, size_t n)
{
	static uint32_t counts[IMAGE_SIZE][256];
	uint8_t image[IMAGE_SIZE];
	bool v6 = has_v6(rows, n);
	double bits = 0;
	size_t width = 0;

	memset(counts, 0, sizeof(counts));
	for (size_t i = 0; i < n; i++) {
		width = row_image(&rows[i], i > 0 ? &rows[i - 1] : NULL, v6, image);
		for (size_t k = 0; k < width; k++)
			counts[k][image[k]]++;
	}
	for (size_t k = 0; k < width; k++)
		for (size_t v = 0; v < 256; v++)
			if (counts[k][v] > 0)
				bits -= counts[k][v] * log2((double)counts[k][v] / (double)n);
	return bits / 8 / (double)n;
}

static FILE *dump_open(const char *dir, const char *name, const char *what)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s.%s", dir, name, what);
	return fopen(path, "wb");
}

static int dump_rows(const char *dir, const char *name, const struct observation *rows, size_t n)
{
	FILE *f = dump_open(dir, name, "rows");
	uint8_t image[IMAGE_SIZE];
	bool v6 = has_v6(rows, n);

	if (!f)
		return -1;
	for (size_t i = 0; i < n; i++) {
		size_t width = row_image(&rows[i], i > 0 ? &rows[i - 1] : NULL, v6, image);

		(void)fwrite(image, 1, width, f);
	}
	return fclose(f);
}

/* The first rows as full batches, the next ones as small ones. */
static int dump_frames(struct codec *c, const char *dir, const char *name, struct observation *rows)
{
	static const uint32_t sizes[] = {FULL, FULL, SMALL, SMALL, 1};
	FILE *f = dump_open(dir, name, "frames");
	struct buf out;
	uint32_t at = 0;
	int r = f ? 0 : -1;

	buf_init(&out, FRAME_MAX);
	for (size_t k = 0; r == 0 && k < ARRAY_SIZE(sizes); k++) {
		struct batch b = {.rows = rows + at, .rows_n = sizes[k]};
		struct frame_header h = {.version = FRAME_VERSION,
			.type = FRAME_BATCH,
			.epoch = 1,
			.first_seq = k + 1,
			.seq = k + 1};

		buf_clear(&out);
		r = buf_reserve(&out, FRAME_HEADER_SIZE);
		if (r < 0)
			break;
		buf_added(&out, FRAME_HEADER_SIZE);
		r = codec_encode_batch(c, &b, &out);
		if (r < 0)
			break;
		h.payload_length = (uint32_t)(buf_len(&out) - FRAME_HEADER_SIZE);
		frame_seal(&h, buf_head(&out));
		(void)fwrite(buf_head(&out), 1, buf_len(&out), f);
		at += sizes[k];
	}
	buf_done(&out);
	return f && fclose(f) == 0 ? r : -1;
}

struct cost {
	double bytes, encode_ns, decode_ns; /* a row */
	bool equal;
};

static bool same(const struct batch *a, const struct batch *b)
{
	return a->rows_n == b->rows_n &&
	       memcmp(a->rows, b->rows, a->rows_n * sizeof(*a->rows)) == 0;
}

/* Of this process: other load on the machine does not count. */
static int64_t cpu_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static int measure(
	struct codec *c, struct observation *rows, size_t n, size_t per, struct cost *ret)
{
	struct buf out;
	const char *reason;
	uint64_t bytes = 0;
	int64_t encode_us = 0, decode_us = 0;
	int r = 0;

	buf_init(&out, FRAME_MAX);
	ret->equal = true;
	for (size_t at = 0; r == 0 && at < n; at += per) {
		struct batch in = {
			.rows = rows + at, .rows_n = (uint32_t)(n - at < per ? n - at : per)};
		struct batch back;
		int64_t t = cpu_us();
		size_t frame;

		buf_clear(&out);
		r = codec_encode_batch(c, &in, &out);
		encode_us += cpu_us() - t;
		if (r < 0)
			break;
		frame = FRAME_HEADER_SIZE + buf_len(&out);
		bytes += frame + (frame / TLS_RECORD + 1) * TLS_OVERHEAD;
		t = cpu_us();
		r = codec_decode_batch(c, buf_head(&out), buf_len(&out), &back, &reason);
		decode_us += cpu_us() - t;
		if (r != 0)
			(void)fprintf(stderr, "decode: %s\n", reason);
		else
			ret->equal = ret->equal && same(&in, &back);
	}
	buf_done(&out);
	ret->bytes = (double)bytes / (double)n;
	ret->encode_ns = 1000.0 * (double)encode_us / (double)n;
	ret->decode_ns = 1000.0 * (double)decode_us / (double)n;
	return r;
}

int main(int argc, char **argv)
{
	AUTO_FREE struct observation *rows = malloc(ROWS * sizeof(*rows));
	const char *dump = argc == 3 && strcmp(argv[1], "--dump") == 0 ? argv[2] : NULL;
	struct codec *codec = NULL;
	bool good = true;

	if (!rows || codec_new(&codec) < 0 || (argc > 1 && !dump))
		return 1;
	(void)printf("%-9s %8s %9s %6s %7s %9s %9s %9s %6s\n", "capture", "entropy", "full",
		"ratio", "limit", "encode", "decode", "small", "ratio");
	for (const struct capture_kind *k = captures; k->name; k++) {
		struct cost full, small;
		double h;

		k->make(rows, ROWS);
		h = entropy(rows, ROWS);
		if (measure(codec, rows, ROWS, FULL, &full) != 0 ||
			measure(codec, rows, ROWS / 10, SMALL, &small) != 0)
			return 1;
		(void)printf("%-9s %6.2f B %7.2f B %6.3f %5.2f B %6.0f ns %6.0f ns %7.2f B %6.2f\n",
			k->name, h, full.bytes, full.bytes / h, RATIO_MAX * h + EXTRA_MAX,
			full.encode_ns, full.decode_ns, small.bytes, small.bytes / h);
		good = good && full.equal && small.equal && full.bytes <= RATIO_MAX * h + EXTRA_MAX;
		if (dump && (dump_rows(dump, k->name, rows, ROWS) != 0 ||
				    dump_frames(codec, dump, k->name, rows) != 0))
			good = false;
	}
	codec_free(codec);
	return good ? 0 : 1;
}
