/* export capture: samples of payloads as packets of a pcap file. */
#include <arpa/inet.h>
#include <string.h>
#include <sysexits.h>

#include "collector/admin/export_job.h"
#include "collector/admin/export_pcap.h"

/* As hirundo.export_packets() has them. */
enum column {
	TIME_US,
	SENSOR,
	SRC,
	SRC_PORT,
	DST_PORT,
	PROTOCOL,
	ICMP_TYPE,
	ICMP_CODE,
	TTL,
	IP_FLAGS,
	TCP_FLAGS,
	TCP_WINDOW,
	TCP_HEADER_LENGTH,
	TCP_MSS,
	PAYLOAD_LENGTH,
	PAYLOAD,
	LEFT_OUT,
};

/* 0 where the field does not exist. */
static long number(const PGresult *row, enum column c)
{
	return strtol(PQgetvalue(row, 0, (int)c), NULL, 10);
}

static bool read_address(const PGresult *row, struct export_packet *p)
{
	const char *text = PQgetvalue(row, 0, SRC);

	p->family = strchr(text, ':') ? 6 : 4;
	return inet_pton(p->family == 6 ? AF_INET6 : AF_INET, text, p->src) == 1;
}

static uint8_t digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static bool read_payload(const PGresult *row, struct export_packet *p)
{
	const char *hex = PQgetvalue(row, 0, PAYLOAD);
	size_t n = strlen(hex) / 2;

	if (n > sizeof(p->payload))
		return false;
	for (size_t i = 0; i < n; i++)
		p->payload[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
	p->payload_n = (uint8_t)n;
	return true;
}

static bool read_packet(const PGresult *row, struct export_packet *p)
{
	*p = (struct export_packet){
		.time_us = strtoll(PQgetvalue(row, 0, TIME_US), NULL, 10),
		.sensor = (uint32_t)number(row, SENSOR),
		.protocol = (uint8_t)number(row, PROTOCOL),
		.ttl = (uint8_t)number(row, TTL),
		.ip_flags = (uint8_t)number(row, IP_FLAGS),
		.tcp_flags = (uint8_t)number(row, TCP_FLAGS),
		.icmp_type = (uint8_t)number(row, ICMP_TYPE),
		.icmp_code = (uint8_t)number(row, ICMP_CODE),
		.tcp_header_length = (uint8_t)number(row, TCP_HEADER_LENGTH),
		.src_port = (uint16_t)number(row, SRC_PORT),
		.dst_port = (uint16_t)number(row, DST_PORT),
		.tcp_window = (uint16_t)number(row, TCP_WINDOW),
		.tcp_mss = (uint16_t)number(row, TCP_MSS),
		.payload_length = (uint32_t)number(row, PAYLOAD_LENGTH),
	};
	return read_address(row, p) && read_payload(row, p);
}

static int write_packet(void *arg, const PGresult *row)
{
	struct export *x = arg;
	struct export_packet p;

	if (!PQgetisnull(row, 0, LEFT_OUT)) {
		(void)export_count(x, PQgetvalue(row, 0, LEFT_OUT), 0, 1);
		return EX_OK;
	}
	if (number(row, SENSOR) > (long)EXPORT_PCAP_SENSORS_MAX)
		return fail(EX_DATAERR, "samples of more than %u sensors: ask for fewer at once",
			EXPORT_PCAP_SENSORS_MAX);
	if (!read_packet(row, &p))
		return fail(EX_SOFTWARE, "a sample is not as this program knows them");
	(void)export_count(x, export_pcap_add(&x->file, &p) ? "" : "too_long", 0, 1);
	return x->file.error == 0 ? EX_OK
				  : fail(EX_IOERR, "%s: %s", x->output, strerror(-x->file.error));
}

int export_write_pcap(struct admin *a, struct export *x)
{
	const char *values[] = {x->period, x->filter, x->recipient};

	export_pcap_begin(&x->file);
	return sql_stream(a,
		"SELECT time_us, sensor, host(src) AS src, src_port, dst_port, protocol, icmp_type,"
		" icmp_code, ttl, ip_flags, tcp_flags, tcp_window, tcp_header_length, tcp_mss,"
		" payload_length, payload, left_out"
		" FROM hirundo.export_packets($1::daterange, $2::jsonb, $3)",
		ARRAY_SIZE(values), values, write_packet, x);
}
