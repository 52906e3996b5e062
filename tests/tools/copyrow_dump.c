/*
 * Rows as COPY BINARY to stdout, for a test that loads them and reads them back.
 *
 *     copyrow_dump observation|quarantine|sample     the rows below, statement to stderr
 *     copyrow_dump syn|udp N                         N enriched rows of one kind
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/copyrow.h"
#include "common/clock.h"
#include "common/mem.h"
#include "proto/traits.h"

#define AT_US INT64_C(1700000000123456)

static const struct observation rows[] = {
	/* A SYN with everything that it can have, folded. */
	{.key = {.src = {198, 51, 100, 255},
		 .present = HAS_SRC | HAS_SRC_PORT | HAS_DST_PORT | HAS_IP_ID | HAS_IP_FLAGS |
			    HAS_TCP_FLAGS | HAS_TCP_SEQ | HAS_TCP_ACK | HAS_TCP_WINDOW |
			    HAS_TCP_HEADER_LENGTH | HAS_TCP_MSS | HAS_PAYLOAD_LENGTH |
			    HAS_IP_LENGTH | HAS_TTL | HAS_PROTOCOL,
		 .traits = TRAITS_ALL,
		 .target = INT32_MAX,
		 .tcp_seq = UINT32_MAX,
		 .tcp_ack = 0x80000000u,
		 .ip_length = 65535,
		 .payload_length = 65495,
		 .src_port = 65535,
		 .dst_port = 23,
		 .tcp_window = 65535,
		 .tcp_mss = 1460,
		 .family = 4,
		 .protocol = 6,
		 .ttl = 255,
		 .ip_flags = 7,
		 .tcp_flags = 255,
		 .tcp_header_length = 60},
		.observed_us = AT_US,
		.last_us = AT_US + 59999999,
		.packets = INT32_MAX,
		.ip_id = 65535},
	/* UDP. */
	{.key = {.src = {192, 0, 2, 1},
		 .present = HAS_SRC | HAS_SRC_PORT | HAS_DST_PORT | HAS_IP_ID | HAS_IP_FLAGS |
			    HAS_PAYLOAD_LENGTH | HAS_IP_LENGTH | HAS_TTL | HAS_PROTOCOL,
		 .target = 1,
		 .ip_length = 28,
		 .dst_port = 53,
		 .family = 4,
		 .protocol = 17,
		 .ttl = 1,
		 .ip_flags = 2},
		.observed_us = 0,
		.last_us = 0,
		.packets = 1},
	/* ICMP. */
	{.key = {.src = {192, 0, 2, 2},
		 .present = HAS_SRC | HAS_ICMP_TYPE | HAS_ICMP_CODE | HAS_TTL | HAS_PROTOCOL,
		 .family = 4,
		 .protocol = 1,
		 .icmp_type = 8,
		 .ttl = 64},
		.observed_us = AT_US,
		.last_us = AT_US,
		.packets = 1},
	/* ICMPv6. */
	{.key = {.src = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
		 .present = HAS_SRC | HAS_ICMP_TYPE | HAS_ICMP_CODE | HAS_IP_LENGTH | HAS_TTL |
			    HAS_PROTOCOL,
		 .ip_length = 65575,
		 .family = 6,
		 .protocol = 58,
		 .icmp_type = 135,
		 .icmp_code = 255,
		 .ttl = 255},
		.observed_us = AT_US,
		.last_us = AT_US + 1,
		.packets = 2},
	/* Nothing that may be absent is there. */
	{.key = {.family = 4}, .observed_us = AT_US, .last_us = AT_US, .packets = 1},
};

static const struct enrich_answer known = {true, true, {'J', 'P'}, UINT32_MAX, NULL};
static const struct enrich_answer unknown;

static void put(const uint8_t *from, const uint8_t *to)
{
	size_t n = (size_t)(to - from);

	if (fwrite(from, 1, n, stdout) != n)
		abort();
}

static void dump_samples(void)
{
	const struct sample samples[] = {
		{.observed_us = AT_US,
			.last_us = AT_US + 5,
			.content = UINT64_MAX,
			.packets = 3,
			.payload_length = 65535,
			.src = {192, 0, 2, 3},
			.family = 4,
			.has_src = 1,
			.protocol = 17,
			.has_ports = 1,
			.src_port = 5060,
			.dst_port = 65535,
			.length = SAMPLE_MAX,
			.payload = {0, 255, 1}},
		{.observed_us = AT_US,
			.last_us = AT_US,
			.content = 1,
			.packets = 1,
			.family = 6,
			.protocol = 58,
			.icmp_type = 128,
			.icmp_code = 1},
	};
	uint8_t row[COPYROW_SAMPLE_MAX];

	fputs(copyrow_sample_sql, stderr);
	for (size_t i = 0; i < 2; i++)
		put(row, copyrow_sample(row, &samples[i], 7));
}

static void dump_rows(bool quarantine)
{
	const struct copyrow_quarantine q = {.sensor_id = 7,
		.epoch = INT64_MAX,
		.seq = 9,
		.row_number = 0,
		.received_us = AT_US + 1,
		.reason = "too_many_days"};
	uint8_t row[COPYROW_QUARANTINE_MAX];

	fputs(quarantine ? copyrow_quarantine_sql : copyrow_observation_sql, stderr);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct enrich_answer *e = i == 0 ? &known : &unknown;
		struct copyrow_quarantine numbered = q;

		numbered.row_number = (uint32_t)i;
		put(row, quarantine ? copyrow_quarantine(row, &numbered, &rows[i], e)
				    : copyrow_observation(row, &rows[i], 7, e));
	}
}

/* A plain SYN or UDP packet: not folded, with what such packets have. */
static void dump_many(bool udp, unsigned long n)
{
	struct observation o = rows[udp ? 1 : 0];
	uint8_t row[COPYROW_OBSERVATION_MAX];

	o.key.present &= ~(uint32_t)HAS_TCP_ACK;
	o.packets = 1;
	fputs(copyrow_observation_sql, stderr);
	for (unsigned long i = 0; i < n; i++) {
		o.observed_us = AT_US + (int64_t)i;
		put(row, copyrow_observation(row, &o, 7, &known));
	}
}

int main(int argc, char **argv)
{
	uint8_t ends[COPYROW_BEGIN_SIZE];
	const char *kind = argc > 1 ? argv[1] : "";

	put(ends, copyrow_begin(ends));
	if (strcmp(kind, "sample") == 0)
		dump_samples();
	else if (strcmp(kind, "observation") == 0 || strcmp(kind, "quarantine") == 0)
		dump_rows(*kind == 'q');
	else if (argc > 2)
		dump_many(strcmp(kind, "udp") == 0, strtoul(argv[2], NULL, 10));
	else
		return 64;
	put(ends, copyrow_end(ends));
	return fflush(stdout) == 0 ? 0 : 1;
}
