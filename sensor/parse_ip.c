/* IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200). */
#include <netinet/in.h>

#include "sensor/parse_layers.h"

enum {
	IPV4_HEADER_MIN = 20,
	IPV6_HEADER = 40,
	IPV4_RF_DF_MF_SHIFT = 13,
	IPV4_MF = 0x2000,
	IPV4_OFFSET = 0x1fff,
	IPV4_OPTION_END = 0,
	IPV4_OPTION_NOP = 1,
	IPV4_OPTION_LSRR = 131,
	IPV4_OPTION_SSRR = 137,
	IPV6_OPTION_PAD1 = 0,
	IPV6_OPTION_JUMBO = 0xc2, /* RFC 2675 */
};

uint32_t parse_sum(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (; n >= 4; p += 4, n -= 4)
		sum += load_be32(p);
	if (n >= 2) {
		sum += load_be16(p);
		p += 2;
		n -= 2;
	}
	if (n)
		sum += (uint32_t)p[0] << 8;
	return parse_fold(sum);
}

static enum parse_res too_short(const struct slice *s)
{
	return slice_cut(s) ? PARSE_IP_TRUNCATED : PARSE_IP_MALFORMED;
}

/* Is there a source route that has not been used up? (RFC 791, 3.1: the pointer is behind the end
 * when it has.) Its last address, not the header's destination, is in the transport's checksum. */
static bool source_routed(struct bytes options)
{
	uint8_t kind, length, pointer;
	struct bytes o;

	while (bytes_u8(&options, &kind) && kind != IPV4_OPTION_END) {
		if (kind == IPV4_OPTION_NOP)
			continue;
		if (!bytes_u8(&options, &length) || length < 2)
			return false;
		o = options;
		if (!bytes_skip(&options, length - 2u))
			return false;
		if (kind == IPV4_OPTION_LSRR || kind == IPV4_OPTION_SSRR)
			return length >= 3 && bytes_u8(&o, &pointer) && pointer <= length;
	}
	return false;
}

static enum parse_res parse_ipv4(struct slice s, struct packet *ret)
{
	struct observation_key *key = &ret->key;
	struct network_facts facts = {0};
	const uint8_t *h;
	size_t header_length;
	uint32_t length;
	uint16_t fragment;

	if (s.got.n < IPV4_HEADER_MIN)
		return too_short(&s);
	h = s.got.p;
	header_length = (h[0] & 0x0fu) * 4u;
	length = load_be16(h + 2);
	if (header_length < IPV4_HEADER_MIN)
		return PARSE_IP_MALFORMED;
	if (length == 0) /* segmentation offload: the card would have filled it in, per frame */
		length = (uint32_t)s.wire;
	if (length < header_length)
		return PARSE_IP_MALFORMED;
	slice_limit(&s, length);
	ret->ip = h;
	ret->ip_captured = s.got.n;
	if (!slice_skip(&s, header_length))
		return too_short(&s);

	key->family = 4;
	memcpy(key->src, h + 12, 4);
	memcpy(ret->dst, h + 16, 4);
	fragment = load_be16(h + 6);
	ret->ip_id = load_be16(h + 4);
	key->ip_length = length;
	key->ip_flags = (uint8_t)(fragment >> IPV4_RF_DF_MF_SHIFT);
	key->ttl = h[8];
	key->protocol = h[9];
	key->present |= HAS_SRC | HAS_IP_LENGTH | HAS_TTL | HAS_PROTOCOL | HAS_IP_ID | HAS_IP_FLAGS;
	if (key->ip_flags & 4)
		key->traits |= TRAIT_RESERVED_FLAG;
	if (parse_fold(parse_sum(h, header_length)) != 0xffff)
		key->traits |= TRAIT_BAD_CHECKSUM;
	if (header_length > IPV4_HEADER_MIN) {
		key->traits |= TRAIT_IP_OPTIONS;
		facts.rerouted = source_routed(
			bytes_of(h + IPV4_HEADER_MIN, header_length - IPV4_HEADER_MIN));
	}
	if (fragment & (IPV4_MF | IPV4_OFFSET)) {
		key->traits |= TRAIT_FRAGMENT;
		facts.fragment = true;
		if (fragment & IPV4_OFFSET) /* no transport header here */
			return PARSE_OK;
	}
	facts.protocol = h[9];
	facts.pseudo = parse_sum(h + 12, 8);
	parse_transport(s, &facts, ret);
	return PARSE_OK;
}

/* The length of a jumbogram (RFC 2675), from the hop-by-hop header at b; 0 = none stated. */
static uint32_t jumbo_length(struct bytes b)
{
	const uint8_t *h, *p;
	uint32_t length;

	if (!bytes_take(&b, 2, &h))
		return 0;
	if (b.n > h[1] * 8u + 6u)
		b.n = h[1] * 8u + 6u;
	while (b.n >= 6) {
		if (b.p[0] == IPV6_OPTION_PAD1) {
			(void)!bytes_skip(&b, 1);
		} else if (b.p[0] == IPV6_OPTION_JUMBO && b.p[1] == 4) {
			length = load_be32(b.p + 2);
			return length > UINT16_MAX ? length : 0;
		} else if (!bytes_take(&b, b.p[1] + 2u, &p)) {
			break;
		}
	}
	return 0;
}

/* Length of the extension header `next` at s, bytes; 0 = that is none. ESP hides what follows it,
 * and mobility, HIP and shim6 headers are the last ones: upper layers here, with their own numbers.
 *  @param ret_need  bytes from which on tshark shows the number of what follows */
static size_t extension_length(uint8_t next, const struct slice *s, size_t *ret_need)
{
	size_t unit = s->got.n >= 2 ? s->got.p[1] : 0;

	switch (next) {
	case IPPROTO_ROUTING: *ret_need = 1; return (unit + 1) * 8;
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS: *ret_need = 2; return (unit + 1) * 8;
	case IPPROTO_AH: *ret_need = 2; return (unit + 2) * 4; /* RFC 4302 2.2: words, minus 2 */
	case IPPROTO_FRAGMENT: *ret_need = 8; return 8;
	default: *ret_need = 0; return 0;
	}
}

static void set_protocol(uint8_t protocol, struct packet *ret)
{
	ret->key.protocol = protocol;
	ret->key.present |= HAS_PROTOCOL;
}

/* Walks the extension headers.
 * @return true where the upper layer begins at s */
static bool parse_extensions(
	struct slice *s, uint8_t next, struct network_facts *f, struct packet *ret)
{
	struct observation_key *key = &ret->key;
	const uint8_t *h;
	size_t length, need;
	uint16_t fragment;

	while ((length = extension_length(next, s, &need)) > 0) {
		if (next != IPPROTO_FRAGMENT)
			key->traits |= TRAIT_EXTENSION_HEADERS;
		h = s->got.p;
		if (!slice_skip(s, length)) {
			key->traits |= slice_cut(s) ? TRAIT_TRUNCATED : TRAIT_MALFORMED;
			if (s->got.n >= need && extension_length(h[0], s, &length) == 0)
				set_protocol(h[0], ret);
			return false;
		}
		if (next == IPPROTO_ROUTING && h[3] > 0) /* segments left */
			f->rerouted = true;
		if (next == IPPROTO_FRAGMENT) {
			fragment = load_be16(h + 2);
			if (fragment & 0xfff9) {
				key->traits |= TRAIT_FRAGMENT;
				f->fragment = true;
			}
			if (fragment & 0xfff8) { /* not the first: nothing more to read */
				set_protocol(h[0], ret);
				return false;
			}
		}
		next = h[0];
	}
	set_protocol(next, ret);
	f->protocol = next;
	return true;
}

static enum parse_res parse_ipv6(struct slice s, struct packet *ret)
{
	struct observation_key *key = &ret->key;
	struct network_facts facts = {0};
	const uint8_t *h;
	size_t length;

	ret->ip = s.got.p;
	if (!slice_take(&s, IPV6_HEADER, &h))
		return too_short(&s);
	length = load_be16(h + 4);
	slice_limit(&s, length == 0 && h[6] == IPPROTO_HOPOPTS ? jumbo_length(s.got) : length);
	ret->ip_captured = IPV6_HEADER + s.got.n;

	key->family = 6;
	memcpy(key->src, h + 8, 16);
	memcpy(ret->dst, h + 24, 16);
	key->ip_length = (uint32_t)length + IPV6_HEADER;
	key->ttl = h[7];
	key->present |= HAS_SRC | HAS_IP_LENGTH | HAS_TTL;
	if (parse_extensions(&s, h[6], &facts, ret)) {
		facts.pseudo = parse_sum(h + 8, 32);
		parse_transport(s, &facts, ret);
	}
	return PARSE_OK;
}

enum parse_res parse_network(struct slice s, enum network network, struct packet *ret)
{
	unsigned version;

	if (s.got.n == 0)
		return slice_cut(&s) ? PARSE_IP_TRUNCATED : PARSE_IP_MALFORMED;
	version = s.got.p[0] >> 4;
	if (version != 6 && (version != 4 || network == NETWORK_IPV6))
		return network == NETWORK_ANY ? PARSE_NOT_IP : PARSE_IP_MALFORMED;

	memset(&ret->key, 0, sizeof(ret->key));
	memset(ret->dst, 0, sizeof(ret->dst));
	ret->ip_id = 0;
	ret->payload_offset = ret->payload_captured = 0;
	return version == 4 ? parse_ipv4(s, ret) : parse_ipv6(s, ret);
}
