#include "sensor/print.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>

#include "sensor/capture.h"
#include "sensor/classify.h"
#include "sensor/parse.h"
#include "sensor/pipeline.h"

/* The longest line: 2 addresses of 45, 16 numbers of up to 20, 20 traits of up to 23 characters,
 * and their separators. */
#define LINE_MAX_BYTES 1024u

static const char HEADER[] =
	"time_us,src,dst,protocol,src_port,dst_port,icmp_type,icmp_code,ttl,ip_length,ip_id,ip_"
	"flags,"
	"tcp_flags,tcp_seq,tcp_ack,tcp_window,tcp_header_length,tcp_mss,payload_length,traits\n";

static char *put_number(char *to, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	memcpy(to, digits + i, sizeof(digits) - i);
	return to + (sizeof(digits) - i);
}

/* One column and its comma; empty where the field does not exist. */
static char *put_field(char *to, bool exists, uint64_t v)
{
	if (exists)
		to = put_number(to, v);
	*to++ = ',';
	return to;
}

static char *put_address(char *to, uint8_t family, const uint8_t *addr)
{
	if (family == 4) {
		for (int i = 0; i < 4; i++) {
			to = put_number(to, addr[i]);
			*to++ = '.';
		}
		to[-1] = ',';
		return to;
	}
	(void)inet_ntop(AF_INET6, addr, to, INET6_ADDRSTRLEN);
	to += strlen(to);
	*to++ = ',';
	return to;
}

static char *put_traits(char *to, uint32_t traits)
{
	static const struct {
		uint32_t bit;
		size_t length;
		const char *name;
	} names[] = {
#define X(bit, NAME, name, description) {TRAIT_##NAME, sizeof(name) - 1, name},
		TRAITS(X)
#undef X
	};
	const char *from = to;

	for (size_t i = 0; traits && i < ARRAY_SIZE(names); i++) {
		if (!(traits & names[i].bit))
			continue;
		if (to != from)
			*to++ = '|';
		memcpy(to, names[i].name, names[i].length);
		to += names[i].length;
	}
	return to;
}

int print_csv_header(FILE *f)
{
	return fputs(HEADER, f) < 0 ? -EIO : 0;
}

int print_csv_packet(FILE *f, const struct packet *p)
{
	const struct observation_key *k = &p->key;
	bool timed = p->time_us != CAPTURE_NO_TIME;
	uint32_t has = k->present;
	char line[LINE_MAX_BYTES];
	char *to = line;
	size_t n;

	if (timed && p->time_us < 0)
		*to++ = '-';
	to = put_field(to, timed, p->time_us < 0 ? -(uint64_t)p->time_us : (uint64_t)p->time_us);
	if (has & HAS_SRC)
		to = put_address(to, k->family, k->src);
	else
		*to++ = ',';
	to = put_address(to, k->family, p->dst);
	to = put_field(to, has & HAS_PROTOCOL, k->protocol);
	to = put_field(to, has & HAS_SRC_PORT, k->src_port);
	to = put_field(to, has & HAS_DST_PORT, k->dst_port);
	to = put_field(to, has & HAS_ICMP_TYPE, k->icmp_type);
	to = put_field(to, has & HAS_ICMP_CODE, k->icmp_code);
	to = put_field(to, has & HAS_TTL, k->ttl);
	to = put_field(to, has & HAS_IP_LENGTH, k->ip_length);
	to = put_field(to, has & HAS_IP_ID, p->ip_id);
	to = put_field(to, has & HAS_IP_FLAGS, k->ip_flags);
	to = put_field(to, has & HAS_TCP_FLAGS, k->tcp_flags);
	to = put_field(to, has & HAS_TCP_SEQ, k->tcp_seq);
	/* An observation leaves out an acknowledgement of 0 without ACK; the packet has the field.
	 */
	to = put_field(to, has & (HAS_TCP_ACK | HAS_TCP_FLAGS), k->tcp_ack);
	to = put_field(to, has & HAS_TCP_WINDOW, k->tcp_window);
	to = put_field(to, has & HAS_TCP_HEADER_LENGTH, k->tcp_header_length);
	to = put_field(to, has & HAS_TCP_MSS, k->tcp_mss);
	to = put_field(to, has & HAS_PAYLOAD_LENGTH, k->payload_length);
	to = put_traits(to, k->traits);
	*to++ = '\n';
	n = (size_t)(to - line);
	return fwrite_unlocked(line, 1, n, f) == n ? 0 : -EIO;
}

static void print_reasons(FILE *err, const uint64_t *counts)
{
	bool any = false;

	for (int i = PARSE_OK + 1; i < PARSE_RES_N; i++) {
		if (counts[i] == 0)
			continue;
		(void)fprintf(
			err, "%s%s=%" PRIu64, any ? " " : "no row: ", parse_res_str(i), counts[i]);
		any = true;
	}
	if (any)
		(void)fputc('\n', err);
}

int print_capture(const char *path, FILE *out, FILE *err)
{
	uint64_t counts[PARSE_RES_N] = {0}, packets = 0;
	AUTO_FREE char *reason = NULL;
	struct capture *c = NULL;
	struct capture_packet frame;
	struct packet p = {0};
	enum parse_res parsed;
	int r = capture_open_file(path, &c, &reason);
	int code = EX_OK;

	if (r < 0) {
		(void)fprintf(err, "cannot read capture: %s\n", reason ? reason : strerror(-r));
		return r == -ENOENT || r == -EACCES ? EX_NOINPUT : EX_DATAERR;
	}
	if (print_csv_header(out) < 0)
		goto broken;
	while ((r = capture_read(c, &frame)) == CAPTURE_PACKET) {
		parsed = parse_packet(frame.dlt, frame.data, frame.captured, frame.wire, &p);
		counts[parsed]++;
		packets++;
		if (parsed != PARSE_OK)
			continue;
		p.time_us = frame.time_us;
		classify_packet(&p, NULL);
		if (print_csv_packet(out, &p) < 0)
			goto broken;
	}
	if (r != CAPTURE_END) {
		(void)fprintf(err, "capture is damaged behind packet %" PRIu64 ": %s: %s\n",
			packets, path, r < 0 ? strerror(-r) : capture_error(c));
		code = EX_DATAERR;
	}
	print_reasons(err, counts);
	if (fflush(out) != 0)
		goto broken;
	(void)capture_close(c);
	return code;
broken:
	(void)fprintf(err, "cannot write: %s\n", strerror(errno));
	(void)capture_close(c);
	return EX_IOERR;
}

void print_summary(FILE *out, const struct pipeline_books *b, uint64_t bytes, double seconds)
{
	(void)fprintf(out,
		"packets=%" PRIu64 " stored=%" PRIu64 " ignored=%" PRIu64 " observations=%" PRIu64
		" batches=%" PRIu64 " bytes=%" PRIu64 " seconds=%.3f\n",
		b->captured, b->sealed, b->ignored, b->observations, b->batches, bytes, seconds);
	(void)fflush(out);
}
