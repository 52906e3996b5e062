/*
 * The observation: one packet, or several folded ones that are equal in every column but time and
 * IP ID. The unit of everything that a sensor sends and the collector stores.
 *
 * A column that does not exist in a packet (no ports in ICMP, ...) has its `present` bit clear and
 * its member zero. So two keys are equal exactly when their bytes are: fold and tests use memcmp.
 */
#ifndef HIRUNDO_PROTO_OBSERVATION_H
#define HIRUNDO_PROTO_OBSERVATION_H

#include <stdint.h>

/* Columns that may be absent. X(bit, NAME, member) */
#define OBSERVATION_NULLABLE(X)                     \
	X(0, SRC, src)                              \
	X(1, SRC_PORT, src_port)                    \
	X(2, DST_PORT, dst_port)                    \
	X(3, ICMP_TYPE, icmp_type)                  \
	X(4, ICMP_CODE, icmp_code)                  \
	X(5, IP_ID, ip_id)                          \
	X(6, IP_FLAGS, ip_flags)                    \
	X(7, TCP_FLAGS, tcp_flags)                  \
	X(8, TCP_SEQ, tcp_seq)                      \
	X(9, TCP_ACK, tcp_ack)                      \
	X(10, TCP_WINDOW, tcp_window)               \
	X(11, TCP_HEADER_LENGTH, tcp_header_length) \
	X(12, TCP_MSS, tcp_mss)                     \
	X(13, PAYLOAD_LENGTH, payload_length)       \
	X(14, IP_LENGTH, ip_length)                 \
	X(15, TTL, ttl)                             \
	X(16, PROTOCOL, protocol)

enum observation_present {
#define X(bit, NAME, member) HAS_##NAME = 1 << (bit),
	OBSERVATION_NULLABLE(X)
#undef X
};

#define HAS_ALL ((UINT32_C(1) << 17) - 1)

/** Everything that folded packets share. No padding: compared and hashed as bytes. */
struct observation_key {
	uint8_t src[16]; /* IPv4: first 4 bytes, the rest zero; network order */
	uint32_t present; /* HAS_* */
	uint32_t traits; /* TRAIT_* (proto/traits.h) */
	uint32_t target; /* ordinal of the own address, 0 = sensor that takes everything */
	uint32_t tcp_seq; /* host order */
	uint32_t tcp_ack; /* absent when 0 and ACK is clear */
	uint32_t ip_length; /* bytes: IPv4 total length, IPv6 payload length + 40 */
	uint32_t payload_length; /* bytes behind the transport header, by the IP header */
	uint16_t src_port;
	uint16_t dst_port;
	uint16_t tcp_window; /* raw, unscaled */
	uint16_t tcp_mss; /* bytes; absent without the option */
	uint8_t family; /* 4 or 6 */
	uint8_t protocol; /* upper layer, behind IPv6 extension headers */
	uint8_t icmp_type; /* ICMP and ICMPv6 */
	uint8_t icmp_code;
	uint8_t ttl; /* IPv6: hop limit */
	uint8_t ip_flags; /* IPv4: 4 reserved, 2 DF, 1 MF */
	uint8_t tcp_flags; /* FIN 0x01 ... CWR 0x80 */
	uint8_t tcp_header_length; /* bytes, 20 to 60; below 20 in a malformed header */
};

/** No padding either: tests compare rows as bytes. */
struct observation {
	struct observation_key key;
	uint32_t packets; /* 1 to 2^31-1 */
	int64_t observed_us; /* first packet, microseconds since 1970 UTC */
	int64_t last_us; /* last packet, less than 60 s behind; as observed_us when packets = 1 */
	uint16_t ip_id; /* of the first packet; absent for IPv6 and where masked */
	uint16_t zero[3];
};

_Static_assert(sizeof(struct observation_key) == 60, "the key has no padding");
_Static_assert(sizeof(struct observation) == 60 + 4 + 8 + 8 + 2 + 6, "a row has no padding");

/** A payload seen: its first bytes, masked, once for each distinct content an hour. */
#define SAMPLE_MAX 128u

struct sample {
	int64_t observed_us; /* first packet with this content */
	int64_t last_us; /* last packet counted here */
	uint64_t content; /* keyed hash of the masked bytes: names the content within one sensor */
	uint32_t packets; /* packets counted here; a content's counts over its rows add up */
	uint32_t payload_length; /* bytes, of the first packet */
	uint8_t src[16]; /* of the first packet; zero and has_src 0 where it is an own address */
	uint8_t family; /* 4 or 6 */
	uint8_t has_src;
	uint8_t protocol;
	uint8_t has_ports;
	uint16_t src_port;
	uint16_t dst_port;
	uint8_t icmp_type; /* ICMP, ICMPv6 only */
	uint8_t icmp_code;
	uint8_t length; /* bytes used of payload, 0 (a count for content already sent) to SAMPLE_MAX
			 */
	uint8_t payload[SAMPLE_MAX];
	uint8_t zero[5];
};

_Static_assert(sizeof(struct sample) == 59 + SAMPLE_MAX + 5, "a sample has no padding");

#endif
