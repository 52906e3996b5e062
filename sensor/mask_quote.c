/*
 * IP headers within a payload: what ICMP errors quote, what tunnels carry, at any depth. Their
 * checksums cover the addresses, so with everything else known a checksum is an equation for 16
 * bits of the address. Every checksum over replaced bytes is therefore made that of the replaced
 * bytes.
 */
#include <netinet/in.h>
#include <string.h>

#include "common/bytes.h"
#include "sensor/classify.h"
#include "sensor/mask_view.h"
#include "sensor/own.h"

enum {
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	NONE = SIZE_MAX >> 1
};

struct quote {
	const struct own *o;
	const uint8_t *before;
	uint8_t *after;
	size_t n;
};

/* RFC 1071, not yet folded. */
static uint64_t sum_of(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (; n >= 2; p += 2, n -= 2)
		sum += load_be16(p);
	return n > 0 ? sum + ((uint64_t)*p << 8) : sum;
}

static uint16_t folded(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static bool changed(const struct quote *q, size_t from, size_t to)
{
	to = to < q->n ? to : q->n;
	return from < to && memcmp(q->before + from, q->after + from, to - from) != 0;
}

/* Zeroes what is there of after[from..to). */
static void zero(const struct quote *q, size_t from, size_t to)
{
	to = to < q->n ? to : q->n;
	if (from < to)
		memset(q->after + from, 0, to - from);
}

/* Where a protocol's header has its checksum, and whether that covers the addresses too. */
static size_t checksum_at(uint8_t protocol, const uint8_t *header, bool *ret_pseudo)
{
	*ret_pseudo = true;
	switch (protocol) {
	case IPPROTO_TCP: return 16; /* RFC 9293 */
	case IPPROTO_UDP: /* RFC 768 */
	case IPPROTO_UDPLITE: /* RFC 3828 */
	case IPPROTO_DCCP: return 6; /* RFC 4340 */
	case IPPROTO_ICMPV6: return 2; /* RFC 4443 */
	case IPPROTO_PIM: return 2; /* RFC 7761 4.9, in IPv6 */
	case 112: return 6; /* VRRP, RFC 9568 */
	case 89: return 12; /* OSPF, RFC 5340 A.3.1, in IPv6 */
	case 135: return 4; /* Mobility header, RFC 6275 6.1.1 */
	case 139: return 4; /* HIP, RFC 7401 5.1.1 */
	case IPPROTO_ICMP: *ret_pseudo = false; return 2;
	case IPPROTO_GRE: /* RFC 2784: only with the C bit */
		*ret_pseudo = false;
		return header[0] & 0x80 ? 4 : NONE;
	default: return NONE;
	}
}

struct segment {
	uint8_t protocol;
	size_t at, length; /* by its IP header */
	bool whole; /* all of it is here */
	bool readdressed; /* an address of its IP header was replaced */
	uint64_t pseudo; /* sum over the replaced addresses */
};

static void fix_transport(const struct quote *q, const struct segment *s)
{
	bool pseudo, known;
	size_t at;
	uint64_t sum;

	if (s->at >= q->n)
		return;
	at = checksum_at(s->protocol, q->before + s->at, &pseudo);
	if (at == NONE)
		return;
	at += s->at;
	if (!(pseudo && s->readdressed) && !changed(q, s->at, s->at + s->length))
		return;
	if (at + 2 <= q->n && load_be16(q->before + at) == 0 && s->protocol == IPPROTO_UDP)
		return; /* none was computed */
	zero(q, at, at + 2);
	known = s->protocol == IPPROTO_TCP || s->protocol == IPPROTO_UDP ||
		s->protocol == IPPROTO_ICMP || s->protocol == IPPROTO_ICMPV6;
	if (!known || !s->whole || at + 2 > s->at + s->length)
		return;
	sum = sum_of(q->after + s->at, s->length);
	if (pseudo)
		sum += s->pseudo + s->protocol + (s->length >> 16) + (s->length & 0xffff);
	store_be16(q->after + at, (uint16_t)~folded(sum));
}

static bool own_at4(const struct quote *q, size_t at)
{
	return at + 4 <= q->n && own_text4(q->o, load_be32(q->before + at));
}

/* masscan's IP ID gives the low half of the destination away. */
static void hide_ip_id(const struct quote *q, size_t i, size_t transport)
{
	uint16_t id = load_be16(q->before + i + 4);
	const uint8_t *t = q->before + transport;
	bool hit;

	if (q->before[i + 9] != IPPROTO_TCP || transport + 8 > q->n || !own_at4(q, i + 16))
		return;
	hit = masscan_ip_id(load_be32(q->before + i + 16), load_be16(t + 2), load_be32(t + 4), id);
	for (size_t k = 0; k < 2 && q->o->family == 4; k++)
		hit = hit || masscan_ip_id(q->o->here4[k], load_be16(t + 2), load_be32(t + 4), id);
	if (hit)
		zero(q, i + 4, i + 6);
}

/* Cut inside the header: the sum cannot be computed, and an address that is cut may be any. */
static void fix_cut4(const struct quote *q, size_t i)
{
	zero(q, i + 10, i + 12);
	for (size_t at = i + 12; at < i + IP4_HEADER; at += 4)
		if (at + 4 > q->n || own_at4(q, at))
			zero(q, at, at + 4);
}

/** @param known  there is a header here; else it must look like one */
static void fix4(const struct quote *q, size_t i, bool known)
{
	size_t header = (q->before[i] & 15) * 4u, total;
	bool own = own_at4(q, i + 12) || own_at4(q, i + 16);
	struct segment s = {.at = i + header};

	if (header < IP4_HEADER || i + 11 > q->n)
		return;
	if (i + header > q->n) {
		if (known || own)
			fix_cut4(q, i);
		return;
	}
	if (!known && !own && folded(sum_of(q->before + i, header)) != 0xffff)
		return;
	for (size_t at = i + 12; at < i + IP4_HEADER; at += 4)
		if (own_at4(q, at))
			zero(q, at, at + 4);
	if (!(load_be16(q->before + i + 6) & 0x1fff)) { /* the first fragment or the only one */
		hide_ip_id(q, i, s.at);
		total = load_be16(q->before + i + 2);
		s.length = total > header ? total - header : q->n - s.at;
		s.whole = total > header && i + total <= q->n && !(q->before[i + 6] & 0x20);
		s.protocol = q->before[i + 9];
		s.readdressed = changed(q, i + 12, i + IP4_HEADER);
		s.pseudo = sum_of(q->after + i + 12, 8);
		fix_transport(q, &s);
	}
	if (changed(q, i, i + header)) {
		zero(q, i + 10, i + 12);
		store_be16(q->after + i + 10, (uint16_t)~folded(sum_of(q->after + i, header)));
	}
}

/* Skips extension headers (RFC 8200 4). */
static void find_segment6(const struct quote *q, size_t i, struct segment *s)
{
	size_t end = i + IP6_HEADER + load_be16(q->before + i + 4), length;

	s->protocol = q->before[i + 6];
	s->at = i + IP6_HEADER;
	s->whole = end <= q->n;
	while (s->protocol == IPPROTO_HOPOPTS || s->protocol == IPPROTO_ROUTING ||
		s->protocol == IPPROTO_DSTOPTS || s->protocol == IPPROTO_FRAGMENT) {
		if (s->at + 8 > q->n)
			break;
		length = 8;
		if (s->protocol == IPPROTO_FRAGMENT)
			s->whole = false;
		else
			length += q->before[s->at + 1] * 8u;
		s->protocol = q->before[s->at];
		s->at += length;
	}
	s->length = s->at < end ? end - s->at : 0;
}

static void fix6(const struct quote *q, size_t i, bool known)
{
	struct segment s = {0};
	bool own;

	if (i + IP6_HEADER > q->n)
		return; /* no sum over the header; addresses are found without it */
	find_segment6(q, i, &s);
	own = mask_tells6(q->o, q->before + i + 8) || mask_tells6(q->o, q->before + i + 24);
	if (!known && !own && (!s.whole || s.length < 8))
		return;
	for (size_t at = i + 8; at < i + IP6_HEADER; at += 16)
		if (mask_tells6(q->o, q->before + at))
			zero(q, at, at + 16);
	s.readdressed = changed(q, i + 8, i + IP6_HEADER);
	s.pseudo = sum_of(q->after + i + 8, 32);
	fix_transport(q, &s);
}

/* Where the outer packet says that an IP header stands. */
static size_t known_at(const struct packet *p, const uint8_t *payload, size_t n)
{
	size_t at;

	switch (p->key.protocol) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6: return 0;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: return p->key.traits & TRAIT_BACKSCATTER_ICMP_ERROR ? 0 : NONE;
	case IPPROTO_GRE: /* RFC 2784, 2890: each flag adds 4 bytes */
		if (n < 4 || (load_be16(payload + 2) != 0x0800 && load_be16(payload + 2) != 0x86dd))
			return NONE;
		at = 4;
		for (unsigned flag = 0x80; flag >= 0x10; flag >>= 1)
			at += payload[0] & flag ? 4 : 0;
		return at;
	default: return NONE;
	}
}

/* The outer transport header, where it or its end is part of the payload: protocols that are not
 * parsed, and TCP and DCCP whose header length is below the minimum. Its sum covers our address. */
static void fix_outer(const struct quote *q, const struct packet *p)
{
	struct segment s = {.protocol = p->key.protocol, .length = q->n};
	size_t start = p->key.family == 6 ? IP6_HEADER : (p->ip[0] & 15) * 4u;
	bool pseudo;
	size_t at = checksum_at(s.protocol, q->before, &pseudo);

	switch (s.protocol) {
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: return;
	case IPPROTO_TCP: start = p->payload_offset - p->key.tcp_header_length; break;
	case IPPROTO_DCCP: break;
	default:
		s.readdressed = true;
		fix_transport(q, &s);
		return;
	}
	for (size_t k = at; k < at + 2; k++)
		if (start + k >= p->payload_offset)
			zero(q, start + k - p->payload_offset, start + k + 1 - p->payload_offset);
}

void mask_quotes(const struct own *o, const struct packet *p, const uint8_t *before, uint8_t *after,
	size_t n)
{
	struct quote q = {.o = o, .before = before, .after = after, .n = n};
	size_t known = known_at(p, before, n);

	/* From the inside out: an outer sum covers the inner ones. */
	for (size_t i = n; i-- > 0;) {
		if (before[i] >> 4 == 4 && o->any4)
			fix4(&q, i, i == known);
		else if (before[i] >> 4 == 6)
			fix6(&q, i, i == known);
	}
	if (n > 0)
		fix_outer(&q, p);
}
