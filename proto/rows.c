#include "proto/columns.h"

#include <stddef.h>

#include "proto/traits.h"

/* Upper-layer protocols (IANA protocol numbers) that columns depend on. */
enum {
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_DCCP = 33,
	PROTOCOL_ICMPV6 = 58,
	PROTOCOL_SCTP = 132,
	PROTOCOL_UDPLITE = 136,
};

#define TCP_ACK_FLAG 0x10u
#define HAS_PORTS (HAS_SRC_PORT | HAS_DST_PORT)
#define HAS_ICMP (HAS_ICMP_TYPE | HAS_ICMP_CODE)
#define HAS_TCP                                                                               \
	(HAS_TCP_FLAGS | HAS_TCP_SEQ | HAS_TCP_ACK | HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH | \
		HAS_TCP_MSS)

uint32_t shape_columns(uint32_t shape)
{
	uint32_t columns = 1u << COLUMN_SHAPE | 1u << COLUMN_TARGET | 1u << COLUMN_PACKETS |
			   1u << COLUMN_TRAITS;

#define X(NAME, field, width, kind, member, bit) \
	if (shape & (bit))                       \
		columns |= 1u << COLUMN_##NAME;
	COLUMNS(X)
#undef X
	if (!(shape & HAS_SRC))
		return columns;
	if (shape & SHAPE_V6)
		return columns | 1u << COLUMN_SRC6_NET | 1u << COLUMN_SRC6_HOST;
	return columns | 1u << COLUMN_SRC4;
}

const char *shape_check(uint32_t shape)
{
	if (shape & ~(HAS_ALL | SHAPE_V6))
		return "shape: unknown bit";
	if ((shape & SHAPE_V6) && (shape & (HAS_IP_ID | HAS_IP_FLAGS)))
		return "shape: IPv6 with fields of IPv4";
	if ((shape & (HAS_PORTS | HAS_ICMP | HAS_TCP)) && !(shape & HAS_PROTOCOL))
		return "shape: transport fields without a protocol";
	if ((shape & HAS_ICMP) && (shape & (HAS_PORTS | HAS_TCP)))
		return "shape: ICMP with fields of TCP or UDP";
	if ((shape & HAS_ICMP_CODE) && !(shape & HAS_ICMP_TYPE))
		return "shape: ICMP code without type";
	return NULL;
}

static const char *check_tcp(const struct observation_key *k)
{
	if (!(k->present & HAS_TCP))
		return NULL;
	if (k->protocol != PROTOCOL_TCP)
		return "protocol: has TCP fields and is not TCP";
	if ((k->present & HAS_TCP_ACK) && (k->present & HAS_TCP_FLAGS) && k->tcp_ack == 0 &&
		!(k->tcp_flags & TCP_ACK_FLAG))
		return "tcp_ack: 0 without the flag is absent";
	/* RFC 9293 3.1: data offset counts 32-bit words, at most 15; below 5 in malformed headers.
	 */
	if (k->tcp_header_length > 60 || k->tcp_header_length % 4 != 0)
		return "tcp_header_length: out of range";
	return NULL;
}

static bool protocol_has_ports(uint8_t protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_DCCP ||
	       protocol == PROTOCOL_SCTP || protocol == PROTOCOL_UDPLITE;
}

const char *row_check(const struct observation *row)
{
	const struct observation_key *k = &row->key;

	if (row->observed_us < 0 || row->observed_us >= TIME_END_US)
		return "time: out of range";
	if (row->packets < 1 || row->packets > INT32_MAX)
		return "packets: out of range";
	if (row->last_us < row->observed_us || row->last_us - row->observed_us >= ROW_SPAN_US)
		return "last: out of range";
	if (row->packets == 1 && row->last_us != row->observed_us)
		return "last: differs for a single packet";
	if (k->target > INT32_MAX)
		return "target: out of range";
	if (k->traits & ~TRAITS_ALL)
		return "traits: unknown bit";
	/* Above 16 bits: jumbograms (RFC 2675), and what Linux hands over as "BIG TCP". */
	if (k->ip_length > INT32_MAX)
		return "ip_length: out of range";
	if (k->payload_length > INT32_MAX)
		return "payload_length: out of range";
	if (k->ip_flags > 7)
		return "ip_flags: out of range";
	if ((k->present & HAS_PORTS) && !protocol_has_ports(k->protocol))
		return "protocol: has ports and is none that has";
	if ((k->present & HAS_ICMP) && k->protocol != PROTOCOL_ICMP &&
		k->protocol != PROTOCOL_ICMPV6)
		return "protocol: has ICMP fields and is not ICMP";
	return check_tcp(k);
}

const char *sample_check(const struct sample *s)
{
	bool icmp = s->protocol == PROTOCOL_ICMP || s->protocol == PROTOCOL_ICMPV6;

	if (s->observed_us < 0 || s->observed_us >= TIME_END_US || s->last_us < s->observed_us ||
		s->last_us >= TIME_END_US)
		return "time: out of range";
	if (s->packets < 1 || s->packets > INT32_MAX)
		return "packets: out of range";
	if (s->payload_length > INT32_MAX)
		return "payload_length: out of range";
	if (s->has_ports ? !protocol_has_ports(s->protocol) : s->src_port || s->dst_port)
		return "protocol: has ports and is none that has";
	if (!icmp && (s->icmp_type || s->icmp_code))
		return "protocol: has ICMP fields and is not ICMP";
	return NULL;
}
