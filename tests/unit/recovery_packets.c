#include "recovery_packets.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include "common/bytes.h"
#include "common/mem.h"

const struct site recovery_sites[2] = {
	{"172.20.30.41 = 185.66.201.137", "2a02:6b8:12c:77::4f1d", 0xac141e29, 0xb942c989,
		{0x2a, 0x02, 0x06, 0xb8, 0x01, 0x2c, 0, 0x77, 0, 0, 0, 0, 0, 0, 0x4f, 0x1d}},
	{"94.142.37.219", "2a01:4f8:c2c:9a11::b3", 0x5e8e25db, 0x5e8e25db,
		{0x2a, 0x01, 0x04, 0xf8, 0x0c, 0x2c, 0x9a, 0x11, 0, 0, 0, 0, 0, 0, 0, 0xb3}},
};

#define SOURCE UINT32_C(0x2d21e0ca) /* 45.33.224.202 */
static const uint8_t source6[16] = {0x26, 0x00, 0x3c, 0x01, [15] = 0x99};

uint16_t recovery_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Ends an IPv4 header at b, with n bytes behind it. @return length of all */
static size_t ip4(uint8_t *b, uint32_t src, uint32_t dst, uint8_t protocol, uint16_t id, size_t n)
{
	memset(b, 0, 20);
	b[0] = 0x45;
	store_be16(b + 2, (uint16_t)(20 + n));
	store_be16(b + 4, id);
	b[8] = 57;
	b[9] = protocol;
	store_be32(b + 12, src);
	store_be32(b + 16, dst);
	store_be16(b + 10, recovery_sum(b, 20, 0));
	return 20 + n;
}

static size_t ip6(uint8_t *b, const uint8_t *src, const uint8_t *dst, uint8_t protocol, size_t n)
{
	memset(b, 0, 40);
	b[0] = 0x60;
	store_be16(b + 4, (uint16_t)n);
	b[6] = protocol;
	b[7] = 255;
	memcpy(b + 8, src, 16);
	memcpy(b + 24, dst, 16);
	return 40 + n;
}

/* Sets a transport checksum over the IP packet at b. */
void recovery_seal(uint8_t *b, size_t offset)
{
	bool v6 = b[0] >> 4 == 6;
	size_t at = v6 ? 40 : 20, n = v6 ? load_be16(b + 4) : load_be16(b + 2) - 20u;
	uint8_t protocol = v6 ? b[6] : b[9];
	uint32_t sum = protocol + (uint32_t)n;

	for (size_t i = v6 ? 8 : 12; i < at; i += 2)
		sum += load_be16(b + i);
	store_be16(b + at + offset, 0);
	store_be16(b + at + offset, recovery_sum(b + at, n, sum));
}

static size_t udp4(uint8_t *b, uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport,
	const void *payload, size_t n)
{
	store_be16(b + 20, sport);
	store_be16(b + 22, dport);
	store_be16(b + 24, (uint16_t)(8 + n));
	memcpy(b + 28, payload, n);
	n = ip4(b, src, dst, 17, 7, 8 + n);
	recovery_seal(b, 6);
	return n;
}

static size_t udp6(uint8_t *b, const uint8_t *src, const uint8_t *dst, uint16_t dport,
	const void *payload, size_t n)
{
	store_be16(b + 40, 5353);
	store_be16(b + 42, dport);
	store_be16(b + 44, (uint16_t)(8 + n));
	memcpy(b + 48, payload, n);
	n = ip6(b, src, dst, 17, 8 + n);
	recovery_seal(b, 6);
	return n;
}

static size_t tcp4(uint8_t *b, uint32_t src, uint32_t dst, uint16_t id, uint32_t seq, uint32_t ack,
	uint8_t flags, uint16_t window, const void *payload, size_t n)
{
	memset(b + 20, 0, 20);
	store_be16(b + 20, 40000);
	store_be16(b + 22, 80);
	store_be32(b + 24, seq);
	store_be32(b + 28, ack);
	b[32] = 0x50;
	b[33] = flags;
	store_be16(b + 34, window);
	memcpy(b + 40, payload, n);
	n = ip4(b, src, dst, 6, id, 20 + n);
	recovery_seal(b, 16);
	return n;
}

#define SYN 0x02
#define SYNACK 0x12

static void mirai(const struct site *s, struct frame *f)
{
	f->n = tcp4(f->b, SOURCE, s->captured, 99, s->public, 0, SYN, 5840, "", 0);
}
static void mirai_captured_swapped(const struct site *s, struct frame *f)
{
	f->n = tcp4(
		f->b, SOURCE, s->captured, 99, __builtin_bswap32(s->captured), 0, SYN, 5840, "", 0);
}
static void synack_of_forged(const struct site *s, struct frame *f)
{
	f->n = tcp4(f->b, SOURCE, s->captured, 99, 0x11223344, s->public + 1, SYNACK, 5840, "", 0);
}
static void masscan(const struct site *s, struct frame *f)
{
	uint32_t seq = 0xc0ffee11;

	f->n = tcp4(f->b, SOURCE, s->captured, (uint16_t)(s->public ^ 80 ^ seq), seq, 0, SYN, 1024,
		"", 0);
}
static void masscan_other_window(const struct site *s, struct frame *f)
{
	uint32_t seq = 0xc0ffee22;

	f->n = tcp4(f->b, SOURCE, s->captured, (uint16_t)(s->captured ^ 80 ^ seq), seq, 0, SYN,
		1200, "", 0);
}
static void land(const struct site *s, struct frame *f)
{
	f->n = tcp4(f->b, s->captured, s->captured, 99, 5, 0, SYN, 512, "", 0);
}
static void land_public(const struct site *s, struct frame *f)
{
	f->n = udp4(f->b, s->public, s->captured, 7, 7, "", 0);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
/* A UDP packet with a text of one address in a format of four numbers. */
static void text(const struct site *s, struct frame *f, bool reverse, const char *format)
{
	char t[600];
	uint32_t a = reverse ? __builtin_bswap32(s->public) : s->public;
	int n = snprintf(t, sizeof(t), format, a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);

	f->n = udp4(f->b, SOURCE, s->captured, 40000, 5060, t, (size_t)n);
}

#define TEXT(name, reverse, format)                             \
	static void name(const struct site *s, struct frame *f) \
	{                                                       \
		text(s, f, reverse, format);                    \
	}
TEXT(sip, false,
	"OPTIONS sip:100@%u.%u.%u.%u SIP/2.0\r\nVia: SIP/2.0/UDP 45.33.224.202:5060;branch=z9\r\n")
TEXT(ssdp, false, "HTTP/1.1 200 OK\r\nLOCATION: http://%u.%u.%u.%u:1900/d.xml\r\n")
TEXT(host_name, false, "ec2-%u-%u-%u-%u.compute.example")
TEXT(host_name_reverse, true, "dsl-%u-%u-%u-%u.example")
TEXT(reverse_zone, true, "PTR %u.%u.%u.%u.in-addr.arpa")
TEXT(hexadecimal, false, "token=%02x%02x%02x%02x;")
TEXT(hexadecimal_swapped, true, "token=%02X%02X%02X%02X;")
TEXT(escaped_bytes, false, "info_hash=%%%02x%%%02x%%%02x%%%02x")
TEXT(escaped_dots, false, "GET /?u=http%%3A%%2F%%2F%u%%2E%u%%2E%u%%2E%u%%2F")
TEXT(octal, false, "http://0%o.0%o.0%o.0%o/")
TEXT(padded, false, "sn=%03u%03u%03u%03u")
TEXT(mapped, false, "x ::ffff:%02x%02x:%02x%02x y")
TEXT(late, false,
	"0123456789012345678901234567890123456789012345678901234567890123456789"
	"012345678901234567890123456789012345678901234567890%u.%u.%u.%u and more behind the sample")
TEXT(dns_labels_text, true, "%u_%u_%u_%u.rbl.example")
#pragma GCC diagnostic pop

static void decimal(const struct site *s, struct frame *f)
{
	char t[64];
	int n = snprintf(t, sizeof(t), "GET http://%u/ %d", s->public, (int32_t)s->public);

	f->n = udp4(f->b, SOURCE, s->captured, 1, 80, t, (size_t)n);
}
static void utf16(const struct site *s, struct frame *f)
{
	char t[64], w[128] = {0};
	int n = snprintf(t, sizeof(t), "\\\\%u.%u.%u.%u\\IPC$", s->public >> 24,
		s->public >> 16 & 255, s->public >> 8 & 255, s->public & 255);

	for (int i = 0; i < n; i++)
		w[2 * i] = t[i];
	f->n = udp4(f->b, SOURCE, s->captured, 1, 445, w, (size_t)(2 * n));
}
static void http(const struct site *s, struct frame *f)
{
	char t[128];
	int n = snprintf(t, sizeof(t), "GET / HTTP/1.1\r\nHost: %u.%u.%u.%u\r\n\r\n",
		s->public >> 24, s->public >> 16 & 255, s->public >> 8 & 255, s->public & 255);

	f->n = tcp4(f->b, SOURCE, s->captured, 9, 1, 1, 0x18, 500, t, (size_t)n);
}
/* Cut by the snap length within the address: two parts are left. */
static void http_cut(const struct site *s, struct frame *f)
{
	http(s, f);
	f->captured = 40 + 22 + 8;
}
static void dns_query(const struct site *s, struct frame *f)
{
	uint8_t q[128] = {0x12, 0x34, 1, 0, 0, 1};
	size_t n = 12;
	char part[4];

	for (unsigned shift = 0; shift < 32; shift += 8) {
		int w = snprintf(part, sizeof(part), "%u", (s->public >> shift & 255) % 1000);

		q[n++] = (uint8_t)w;
		memcpy(q + n, part, (size_t)w);
		n += (size_t)w;
	}
	memcpy(q + n,
		"\x07in-addr\x04"
		"arpa\0\0\x0c\0\x01",
		19);
	f->n = udp4(f->b, SOURCE, s->captured, 40000, 53, q, n + 19);
}
/* Answers of NTP and memcached carry the address as bytes. */
static void ntp_monlist(const struct site *s, struct frame *f)
{
	uint8_t p[80] = {0xd7, 0, 3, 0x2a};

	store_be32(p + 24, 0x08080404);
	store_be32(p + 28, s->public);
	f->n = udp4(f->b, SOURCE, s->captured, 123, 50000, p, sizeof(p));
}
static void little_endian(const struct site *s, struct frame *f)
{
	uint8_t p[40] = "VALUE x 0 4\r\n";

	store_be32(p + 13, __builtin_bswap32(s->captured));
	f->n = udp4(f->b, SOURCE, s->captured, 11211, 50000, p, sizeof(p));
}
static void bytes_cut(const struct site *s, struct frame *f)
{
	little_endian(s, f);
	store_be32(f->b + 28 + 13, s->public);
	f->captured = 28 + 13 + 3;
}
static void stun(const struct site *s, struct frame *f)
{
	uint8_t p[32] = {1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
		0, 0x20, 0, 8, 0, 1, 0x33, 0x44};

	store_be32(p + 28, s->public ^ 0x2112a442);
	f->n = udp4(f->b, SOURCE, s->captured, 3478, 50000, p, sizeof(p));
}

static void gre_of(const struct site *s, struct frame *f, bool sum, const uint8_t *inner, size_t n)
{
	uint8_t *g = f->b + 20;
	size_t header = sum ? 8 : 4;

	memset(g, 0, header);
	g[0] = sum ? 0x80 : 0;
	store_be16(g + 2, 0x0800);
	memcpy(g + header, inner, n);
	if (sum)
		store_be16(g + 4, recovery_sum(g, header + n, 0));
	f->n = ip4(f->b, SOURCE, s->captured, 47, 3, header + n);
}
static void gre(const struct site *s, struct frame *f)
{
	uint8_t in[200];

	gre_of(s, f, false, in, udp4(in, 0x08080808, s->public, 9, 9, "abcd", 4));
}
static void gre_sum(const struct site *s, struct frame *f)
{
	uint8_t in[200];

	gre_of(s, f, true, in, udp4(in, 0x08080808, s->captured, 9, 9, "efgh", 4));
}
/* The inner packet is for someone else; its payload has the address, and its checksums cover it. */
static void gre_payload(const struct site *s, struct frame *f)
{
	uint8_t in[200], p[4];

	store_be32(p, s->public);
	gre_of(s, f, false, in, udp4(in, 0x08080808, 0x01010101, 9, 9, p, 4));
}
static void gre_masscan(const struct site *s, struct frame *f)
{
	uint8_t in[200];
	uint32_t seq = 0xc0ffee33;

	gre_of(s, f, false, in,
		tcp4(in, 0x08080808, s->public, (uint16_t)(s->public ^ 80 ^ seq), seq, 0, SYN, 1024,
			"", 0));
}
static void ip_in_ip(const struct site *s, struct frame *f)
{
	size_t n = tcp4(f->b + 20, 0x08080808, s->public, 5, 6, 0, SYN, 1, "", 0);

	f->n = ip4(f->b, SOURCE, s->captured, 4, 3, n);
}

static void icmp_of(const struct site *s, struct frame *f, uint8_t type, size_t n)
{
	memset(f->b + 20, 0, 8);
	f->b[20] = type;
	f->n = ip4(f->b, SOURCE, s->captured, 1, 3, 8 + n);
	store_be16(f->b + 22, recovery_sum(f->b + 20, 8 + n, 0));
}
static void icmp_unreachable(const struct site *s, struct frame *f)
{
	icmp_of(s, f, 3, udp4(f->b + 28, s->public, 0x08080808, 5, 6, "hello", 5));
}
/* A router that quotes 8 bytes behind the header, of an empty datagram. */
static void icmp_short_quote(const struct site *s, struct frame *f)
{
	(void)udp4(f->b + 28, s->captured, 0x08080808, 5, 6, "", 0);
	icmp_of(s, f, 3, 28);
}
static void icmp_exceeded_tcp(const struct site *s, struct frame *f)
{
	icmp_of(s, f, 11, tcp4(f->b + 28, s->public, 0x08080808, 5, 6, 0, SYN, 77, "", 0));
}
static void icmp_cut(const struct site *s, struct frame *f)
{
	icmp_unreachable(s, f);
	f->captured = 28 + 15;
}

static void icmp6(uint8_t *b, const uint8_t *src, const uint8_t *dst, uint8_t type, size_t n)
{
	memset(b + 40, 0, 8);
	b[40] = type;
	(void)ip6(b, src, dst, 58, 8 + n);
	recovery_seal(b, 2);
}
static void neighbour_solicitation(const struct site *s, struct frame *f)
{
	memcpy(f->b + 48, s->v6, 16);
	memcpy(f->b + 64, (uint8_t[8]){1, 1, 2, 3, 4, 5, 6, 7}, 8);
	icmp6(f->b, source6, s->v6, 135, 24);
	f->n = 40 + 8 + 24;
}
static void icmp6_unreachable(const struct site *s, struct frame *f)
{
	size_t n = udp6(f->b + 48, s->v6, source6, 53, "query", 5);

	icmp6(f->b, source6, s->v6, 1, n);
	f->n = 48 + n;
}
static void text6(const struct site *s, struct frame *f)
{
	char t[128], a[INET6_ADDRSTRLEN];
	int n;

	inet_ntop(AF_INET6, s->v6, a, sizeof(a));
	n = snprintf(t, sizeof(t), "OPTIONS sip:100@[%s] SIP/2.0\r\n", a);
	f->n = udp6(f->b, source6, s->v6, 5060, t, (size_t)n);
}
static void nibbles(const struct site *s, struct frame *f)
{
	uint8_t q[128] = {0x12, 0x34, 1, 0, 0, 1};
	size_t n = 12;

	for (size_t i = 16; i-- > 0;)
		for (unsigned shift = 0; shift <= 4; shift += 4) {
			q[n++] = 1;
			q[n++] = (uint8_t) "0123456789abcdef"[s->v6[i] >> shift & 15];
		}
	memcpy(q + n,
		"\x03ip6\x04"
		"arpa",
		10);
	f->n = udp6(f->b, source6, s->v6, 53, q, n + 10);
}

const struct kind recovery_kinds[] = {
#define K(name)                    \
	{                          \
#name, name, false \
	}
#define X(name)                   \
	{                         \
#name, name, true \
	}
	X(mirai),
	X(mirai_captured_swapped),
	K(synack_of_forged),
	X(masscan),
	X(masscan_other_window),
	K(land),
	K(land_public),
	K(sip),
	K(ssdp),
	K(host_name),
	K(host_name_reverse),
	K(reverse_zone),
	K(hexadecimal),
	K(hexadecimal_swapped),
	K(escaped_bytes),
	K(escaped_dots),
	K(octal),
	K(padded),
	K(mapped),
	K(late),
	K(dns_labels_text),
	K(decimal),
	K(utf16),
	K(http),
	K(http_cut),
	K(dns_query),
	X(ntp_monlist),
	X(little_endian),
	K(bytes_cut),
	X(stun),
	X(gre),
	X(gre_sum),
	X(gre_payload),
	X(gre_masscan),
	X(ip_in_ip),
	X(icmp_unreachable),
	X(icmp_short_quote),
	X(icmp_exceeded_tcp),
	K(icmp_cut),
	K(neighbour_solicitation),
	K(icmp6_unreachable),
	K(text6),
	K(nibbles),
};

const size_t recovery_kinds_n = ARRAY_SIZE(recovery_kinds);
