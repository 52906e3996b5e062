#include "captures.h"

#include <stdbool.h>
#include <string.h>

#include "common/bytes.h"
#include "proto/traits.h"

#define START_US INT64_C(1767225600000000) /* 2026-01-01 */
#define TARGETS 256u

/* xorshift64* (Vigna, 2014): the same rows on every machine. */
static uint64_t state;

static uint64_t random_u64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(random_u64() >> 32) % n;
}

/* Roughly exponential with this mean: the sum of geometric steps, no libm. */
static int64_t gap_us(uint32_t mean)
{
	uint32_t steps = 0;

	while (steps < 64 && below(8) != 0)
		steps++;
	return (int64_t)(steps * mean / 7 + below(mean / 7 + 1));
}

/* Zipf-like: half of all draws are in the first n / 16. */
static uint32_t skewed(uint32_t n)
{
	while (n > 4 && below(2))
		n = n / 16 + 1;
	return below(n);
}

/* What one sender looks like. Window, MSS and header length: Linux, Windows, ZMap, masscan, Nmap,
 * embedded Linux 2.6 as in Mirai's hosts. */
static const struct stack {
	uint16_t window, mss;
	uint8_t ttl, header, flags; /* ttl: initial; flags: IP */
} stacks[] = {
	{64240, 1460, 64, 40, 2},
	{29200, 1460, 64, 40, 2},
	{65535, 1460, 64, 44, 2},
	{8192, 1460, 128, 32, 2},
	{64240, 1400, 128, 32, 2},
	{65535, 1460, 255, 24, 0},
	{1024, 1460, 255, 24, 0},
	{1024, 0, 255, 20, 0},
	{5840, 1412, 64, 40, 2},
	{14600, 1440, 64, 20, 0},
};

static const uint16_t ports[] = {23, 22, 445, 80, 8080, 2323, 3389, 443, 5555, 6379, 8443, 5900,
	1433, 3306, 81, 7547, 37215, 52869, 2375, 5060, 123, 1900, 53, 161, 11211, 389, 5353, 27017,
	9200, 10000, 60023, 49152};

static struct observation row_at(int64_t *now, uint32_t mean_gap)
{
	struct observation row = {.packets = 1};

	*now += gap_us(mean_gap);
	row.observed_us = row.last_us = *now;
	row.key.target = 1 + below(TARGETS);
	row.key.present = HAS_SRC | HAS_TTL | HAS_IP_LENGTH | HAS_PROTOCOL;
	return row;
}

/* The n-th sender of a capture: address, distance and stack are always the same. */
static void set_sender(struct observation *row, uint32_t sender, const struct stack **ret)
{
	uint64_t h = (sender + 1) * UINT64_C(0x9e3779b97f4a7c15);
	const struct stack *s = &stacks[(h >> 40) % ARRAY_SIZE(stacks)];

	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	store_be32(row->key.src, (uint32_t)(h >> 32));
	row->key.family = 4;
	row->key.ttl = (uint8_t)(s->ttl - 5 - (h >> 8) % 11 - (h >> 16) % 11);
	row->key.present |= HAS_IP_ID | HAS_IP_FLAGS;
	row->key.ip_flags = s->flags;
	row->ip_id = s->flags && below(4) == 0 ? 0 : (uint16_t)below(65536);
	*ret = s;
}

static void set_syn(struct observation *row, const struct stack *s)
{
	struct observation_key *k = &row->key;

	k->protocol = 6;
	k->src_port = (uint16_t)(1024 + below(64512));
	k->dst_port = below(4) ? ports[skewed(ARRAY_SIZE(ports))] : (uint16_t)below(65536);
	k->tcp_flags = 0x02;
	k->tcp_seq = (uint32_t)random_u64();
	k->tcp_window = s->window;
	k->tcp_header_length = s->header;
	k->tcp_mss = s->mss;
	k->ip_length = (k->family == 4 ? 20u : 40u) + s->header;
	k->traits = s->mss ? 0 : TRAIT_NO_TCP_OPTIONS;
	k->present |= HAS_SRC_PORT | HAS_DST_PORT | HAS_TCP_FLAGS | HAS_TCP_SEQ | HAS_TCP_WINDOW |
		      HAS_TCP_HEADER_LENGTH | HAS_PAYLOAD_LENGTH | (s->mss ? HAS_TCP_MSS : 0);
}

static void make_syn_scan(struct observation *rows, size_t n)
{
	const struct stack *s;
	int64_t now = START_US;

	state = 1;
	for (size_t i = 0; i < n; i++) {
		rows[i] = row_at(&now, 40);
		set_sender(&rows[i], skewed(20000), &s);
		set_syn(&rows[i], s);
	}
}

static void set_udp(struct observation *row)
{
	struct observation_key *k = &row->key;

	k->protocol = 17;
	k->src_port = (uint16_t)(1024 + below(64512));
	k->dst_port = ports[20 + skewed(8)];
	k->payload_length = k->dst_port == 123    ? 8
			    : k->dst_port == 5060 ? 380 + below(40)
						  : 20 + below(9);
	k->ip_length = 28 + k->payload_length;
	k->present |= HAS_SRC_PORT | HAS_DST_PORT | HAS_PAYLOAD_LENGTH;
}

static void set_icmp(struct observation *row)
{
	struct observation_key *k = &row->key;

	k->protocol = 1;
	k->icmp_type = below(8) ? 8 : 3;
	k->icmp_code = k->icmp_type == 3 ? (uint8_t)below(14) : 0;
	k->payload_length = k->icmp_type == 3 ? 28 : below(2) ? 56 : 32;
	k->ip_length = 28 + k->payload_length;
	k->traits = k->icmp_type == 3 ? TRAIT_BACKSCATTER_ICMP_ERROR : 0;
	k->present |= HAS_ICMP_TYPE | HAS_ICMP_CODE | HAS_PAYLOAD_LENGTH;
}

static void set_backscatter(struct observation *row)
{
	struct observation_key *k = &row->key;
	bool rst = below(3) == 0;

	k->src_port = ports[skewed(8)];
	k->dst_port = (uint16_t)(1024 + below(64512));
	k->tcp_flags = rst ? 0x14 : 0x12;
	k->tcp_ack = (uint32_t)random_u64();
	k->traits = rst ? TRAIT_BACKSCATTER_RST : TRAIT_BACKSCATTER_SYNACK;
	k->present |= HAS_TCP_ACK;
}

static void make_mixed(struct observation *rows, size_t n)
{
	const struct stack *s;
	int64_t now = START_US;

	state = 2;
	for (size_t i = 0; i < n; i++) {
		uint32_t kind = below(10);

		rows[i] = row_at(&now, 900);
		set_sender(&rows[i], skewed(5000), &s);
		if (kind < 2) {
			set_udp(&rows[i]);
		} else if (kind == 2) {
			set_icmp(&rows[i]);
		} else {
			set_syn(&rows[i], s);
			if (kind == 3)
				set_backscatter(&rows[i]);
		}
		if (below(8) == 0) { /* folded */
			rows[i].packets = 2 + skewed(30);
			rows[i].last_us = rows[i].observed_us + below(900000);
		}
	}
}

static void make_mirai(struct observation *rows, size_t n)
{
	const struct stack *s;
	int64_t now = START_US;

	state = 3;
	for (size_t i = 0; i < n; i++) {
		rows[i] = row_at(&now, 300);
		set_sender(&rows[i], below(30000), &s);
		set_syn(&rows[i], &stacks[9]);
		rows[i].ip_id = (uint16_t)below(65536);
		rows[i].key.dst_port = below(10) ? 23 : 2323;
		rows[i].key.tcp_window = (uint16_t)below(65536);
		rows[i].key.tcp_mss = 0;
		rows[i].key.tcp_seq = 0; /* masked: it is the destination */
		rows[i].key.present &= ~(uint32_t)(HAS_TCP_SEQ | HAS_TCP_MSS);
		rows[i].key.traits = TRAIT_MIRAI | TRAIT_NO_TCP_OPTIONS;
	}
}

static void make_flood(struct observation *rows, size_t n)
{
	const struct stack *s;
	int64_t now = START_US;

	state = 4;
	for (size_t i = 0; i < n; i++) {
		rows[i] = row_at(&now, 14);
		set_sender(&rows[i], below(UINT32_MAX), &s);
		set_syn(&rows[i], &stacks[7]);
		rows[i].key.target = 7;
		rows[i].key.dst_port = 80;
		rows[i].key.ttl = (uint8_t)(225 + below(31));
	}
}

static void make_ipv6(struct observation *rows, size_t n)
{
	const struct stack *s;
	int64_t now = START_US;

	state = 5;
	for (size_t i = 0; i < n; i++) {
		uint32_t sender = skewed(400);
		uint64_t host;

		rows[i] = row_at(&now, 5000);
		set_sender(&rows[i], sender, &s);
		memset(rows[i].key.src, 0, sizeof(rows[i].key.src));
		rows[i].key.family = 6;
		rows[i].key.ip_flags = 0;
		rows[i].ip_id = 0;
		rows[i].key.present &= ~(uint32_t)(HAS_IP_ID | HAS_IP_FLAGS);
		store_be64(rows[i].key.src,
			UINT64_C(0x2001000000000000) | (sender % 40) * UINT64_C(0x1357924680));
		host = below(2) ? random_u64() : sender;
		store_be64(rows[i].key.src + 8, host);
		set_syn(&rows[i], s);
	}
}

const struct capture_kind captures[] = {
	{"syn-scan", make_syn_scan},
	{"mixed", make_mixed},
	{"mirai", make_mirai},
	{"flood", make_flood},
	{"ipv6", make_ipv6},
	{NULL, NULL},
};
