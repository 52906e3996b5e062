/*
 * TCP (RFC 9293), UDP (RFC 768), UDP-Lite (RFC 3828), ICMP (RFC 792), ICMPv6 (RFC 4443), SCTP
 * (RFC 9260), DCCP (RFC 4340). Of every other protocol all behind the IP header is payload.
 *
 * Which fields of a short header exist follows the oracle (PROTOCOL.md, appendix A): tshark shows
 * both ports or none, all of TCP's fixed fields from 16 bytes on, ICMP's type and code from 6.
 */
#include <netinet/in.h>

#include "sensor/parse_layers.h"

enum {
	TCP_FIXED = 16, /* up to the window */
	TCP_HEADER_MIN = 20,
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_SACK = 5,
	TCP_ACK = 0x10,
	UDP_HEADER = 8,
	SCTP_HEADER = 12,
	ICMP_HEADER = 8, /* of every message: type, code, checksum, and 4 bytes more */
};

/* The header goes on behind what there is. */
static void mark_short(const struct slice *s, const struct network_facts *f, struct packet *ret)
{
	if (slice_cut(s))
		ret->key.traits |= TRAIT_TRUNCATED;
	else if (!f->fragment) /* RFC 1858's tiny fragment is no contradiction */
		ret->key.traits |= TRAIT_MALFORMED;
}

/* The payload begins header bytes behind s and is length bytes long. */
static void set_payload(struct slice s, size_t header, size_t length, struct packet *ret)
{
	const uint8_t *ip_end = ret->ip + ret->ip_captured;

	ret->key.payload_length = (uint32_t)length;
	ret->key.present |= HAS_PAYLOAD_LENGTH;
	ret->payload_offset = (size_t)(ip_end - ret->ip) - s.got.n;
	if (!slice_skip(&s, header)) {
		ret->payload_offset = ret->ip_captured;
		return;
	}
	ret->payload_offset += header;
	slice_limit(&s, length);
	ret->payload_captured = s.got.n;
}

/* For protocols without a length of their own. */
static void set_rest(
	struct slice s, const struct network_facts *f, size_t header, struct packet *ret)
{
	if (!f->fragment && s.wire >= header)
		set_payload(s, header, s.wire - header, ret);
}

static bool set_ports(struct slice s, struct packet *ret)
{
	const uint8_t *h;

	if (!slice_take(&s, 4, &h))
		return false;
	ret->key.src_port = load_be16(h);
	ret->key.dst_port = load_be16(h + 2);
	ret->key.present |= HAS_SRC_PORT | HAS_DST_PORT;
	return true;
}

/* Checks the sum over n bytes at s with a pseudo-header (f->pseudo holds its addresses). */
static void check_sum(
	struct slice s, const struct network_facts *f, bool pseudo, size_t n, struct packet *ret)
{
	uint64_t sum;

	if (f->fragment || n > s.got.n || slice_cut(&s))
		return;
	sum = parse_sum(s.got.p, n);
	if (pseudo) {
		if (f->rerouted)
			return;
		sum += (uint64_t)f->pseudo + f->protocol + (n >> 16) + (n & 0xffff);
	}
	if (parse_fold(sum) != 0xffff)
		ret->key.traits |= TRAIT_BAD_CHECKSUM;
}

static void parse_tcp_options(struct bytes options, struct packet *ret)
{
	const uint8_t *p;
	uint8_t kind, length;

	while (bytes_u8(&options, &kind) && kind != TCP_OPTION_END) {
		if (kind == TCP_OPTION_NOP)
			continue;
		if (!bytes_u8(&options, &length) || length < 2 ||
			!bytes_take(&options, length - 2u, &p))
			return;
		if (kind == TCP_OPTION_SACK && length < 10) /* RFC 2018 3: not even one block */
			return;
		if (kind == TCP_OPTION_MSS &&
			length == 4) { /* RFC 9293 3.2; the first one counts */
			ret->key.tcp_mss = load_be16(p);
			ret->key.present |= HAS_TCP_MSS;
			return;
		}
	}
}

static void parse_tcp(struct slice s, const struct network_facts *f, struct packet *ret)
{
	struct observation_key *key = &ret->key;
	const uint8_t *h = s.got.p;
	struct bytes options;
	size_t header;

	if (!set_ports(s, ret) || s.got.n < TCP_FIXED) {
		mark_short(&s, f, ret);
		return;
	}
	header = (h[12] >> 4) * 4u;
	key->tcp_seq = load_be32(h + 4);
	key->tcp_header_length = (uint8_t)header;
	key->present |= HAS_TCP_SEQ | HAS_TCP_HEADER_LENGTH;
	set_rest(s, f, header, ret);
	if (header <
		TCP_HEADER_MIN) { /* RFC 9293 3.1: at least 5 words. Nothing behind it is sure */
		key->traits |= TRAIT_MALFORMED;
		return;
	}
	key->tcp_flags = h[13];
	key->tcp_window = load_be16(h + 14);
	key->present |= HAS_TCP_FLAGS | HAS_TCP_WINDOW;
	key->tcp_ack = load_be32(h + 8);
	if (key->tcp_ack != 0 || (key->tcp_flags & TCP_ACK))
		key->present |= HAS_TCP_ACK;
	if (s.got.n < header)
		mark_short(&s, f, ret);
	options = s.got;
	if (options.n > header)
		options.n = header;
	if (bytes_skip(&options, TCP_HEADER_MIN))
		parse_tcp_options(options, ret);
	if (s.got.n >= TCP_HEADER_MIN - 2) /* the checksum itself is there */
		check_sum(s, f, true, s.wire, ret);
}

static void parse_udp(struct slice s, const struct network_facts *f, struct packet *ret)
{
	const uint8_t *h = s.got.p;
	size_t length;

	if (!set_ports(s, ret) || s.got.n < 6) {
		mark_short(&s, f, ret);
		return;
	}
	length = load_be16(h + 4);
	if (length == 0 && ret->key.family == 6) /* RFC 2675 4: jumbogram */
		length = s.wire;
	if (length < UDP_HEADER) {
		ret->key.traits |= TRAIT_MALFORMED;
		return;
	}
	set_payload(s, UDP_HEADER, length - UDP_HEADER, ret);
	if (s.got.n < UDP_HEADER) {
		mark_short(&s, f, ret);
		return;
	}
	if (length > s.wire && !f->fragment)
		ret->key.traits |= TRAIT_MALFORMED;
	if (load_be16(h + 6) != 0)
		check_sum(s, f, true, length, ret);
	else if (ret->key.family == 6 && !f->fragment) /* RFC 8200 8.1; IPv4: none was computed */
		ret->key.traits |= TRAIT_BAD_CHECKSUM;
}

static void parse_udplite(struct slice s, const struct network_facts *f, struct packet *ret)
{
	if (!set_ports(s, ret) || s.got.n < UDP_HEADER)
		mark_short(&s, f, ret);
	if (s.got.n >= 6)
		set_rest(s, f, UDP_HEADER, ret);
}

static void parse_sctp(struct slice s, const struct network_facts *f, struct packet *ret)
{
	if (s.got.n < SCTP_HEADER) {
		mark_short(&s, f, ret);
		return;
	}
	(void)set_ports(s, ret);
	set_rest(s, f, SCTP_HEADER, ret);
}

static void parse_dccp(struct slice s, const struct network_facts *f, struct packet *ret)
{
	size_t header;

	if (!set_ports(s, ret) || s.got.n < 5) {
		mark_short(&s, f, ret);
		return;
	}
	header = s.got.p[4] * 4u; /* RFC 4340 5.1: data offset, in words */
	if (s.got.n < header)
		mark_short(&s, f, ret);
	set_rest(s, f, header, ret);
}

static void parse_icmp(struct slice s, const struct network_facts *f, struct packet *ret)
{
	struct observation_key *key = &ret->key;
	bool v6 = f->protocol == IPPROTO_ICMPV6;
	const uint8_t *h = s.got.p;

	if (s.got.n < ICMP_HEADER)
		mark_short(&s, f, ret);
	if (s.got.n >= (v6 ? 1 : 6)) {
		key->icmp_type = h[0];
		key->present |= HAS_ICMP_TYPE;
	}
	if (s.got.n >= (v6 ? 2 : 6)) {
		key->icmp_code = h[1];
		key->present |= HAS_ICMP_CODE;
		set_rest(s, f, ICMP_HEADER, ret);
	}
	if (s.got.n >= (v6 ? 4 : 6))
		check_sum(s, f, v6, s.wire, ret);
}

void parse_transport(struct slice s, const struct network_facts *f, struct packet *ret)
{
	switch (f->protocol) {
	case IPPROTO_TCP: parse_tcp(s, f, ret); break;
	case IPPROTO_UDP: parse_udp(s, f, ret); break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: parse_icmp(s, f, ret); break;
	case IPPROTO_SCTP: parse_sctp(s, f, ret); break;
	case IPPROTO_DCCP: parse_dccp(s, f, ret); break;
	case IPPROTO_UDPLITE: parse_udplite(s, f, ret); break;
	default: set_rest(s, f, 0, ret); break;
	}
}
