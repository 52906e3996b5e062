/*
 * The columns of a batch, in wire order: number in a profile's mask, width in bytes, where the
 * value lives in a row. PROTOCOL.md, "Columns", is the specification.
 */
#ifndef HIRUNDO_PROTO_COLUMNS_H
#define HIRUNDO_PROTO_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/observation.h"

/* X(NAME, field, width, kind, member, presence bit of the shape; 0 = not by the shape alone) */
#define COLUMNS(X)                                                                        \
	X(SHAPE, shape, 3, SHAPE, key.present, 0)                                         \
	X(SRC4, src4, 4, BE32, key.src[0], 0)                                             \
	X(SRC6_NET, src6_net, 8, BE64, key.src[0], 0)                                     \
	X(SRC6_HOST, src6_host, 8, BE64, key.src[8], 0)                                   \
	X(TARGET, target, 4, U32, key.target, 0)                                          \
	X(SRC_PORT, src_port, 2, U16, key.src_port, HAS_SRC_PORT)                         \
	X(DST_PORT, dst_port, 2, U16, key.dst_port, HAS_DST_PORT)                         \
	X(PROTOCOL, protocol, 1, U8, key.protocol, HAS_PROTOCOL)                          \
	X(ICMP_TYPE, icmp_type, 1, U8, key.icmp_type, HAS_ICMP_TYPE)                      \
	X(ICMP_CODE, icmp_code, 1, U8, key.icmp_code, HAS_ICMP_CODE)                      \
	X(TTL, ttl, 1, U8, key.ttl, HAS_TTL)                                              \
	X(IP_LENGTH, ip_length, 4, U32, key.ip_length, HAS_IP_LENGTH)                     \
	X(IP_ID, ip_id, 2, U16, ip_id, HAS_IP_ID)                                         \
	X(IP_FLAGS, ip_flags, 1, U8, key.ip_flags, HAS_IP_FLAGS)                          \
	X(TCP_FLAGS, tcp_flags, 1, U8, key.tcp_flags, HAS_TCP_FLAGS)                      \
	X(TCP_SEQ, tcp_seq, 4, U32, key.tcp_seq, HAS_TCP_SEQ)                             \
	X(TCP_ACK, tcp_ack, 4, U32, key.tcp_ack, HAS_TCP_ACK)                             \
	X(TCP_WINDOW, tcp_window, 2, U16, key.tcp_window, HAS_TCP_WINDOW)                 \
	X(TCP_HEADER_LENGTH, tcp_header_length, 1, U8, key.tcp_header_length,             \
		HAS_TCP_HEADER_LENGTH)                                                    \
	X(TCP_MSS, tcp_mss, 2, U16, key.tcp_mss, HAS_TCP_MSS)                             \
	X(PAYLOAD_LENGTH, payload_length, 4, U32, key.payload_length, HAS_PAYLOAD_LENGTH) \
	X(PACKETS, packets, 4, U32, packets, 0)                                           \
	X(LAST, last, 4, LAST, last_us, 0)                                                \
	X(TRAITS, traits, 3, U32, key.traits, 0)

enum column {
#define X(NAME, field, width, kind, member, bit) COLUMN_##NAME,
	COLUMNS(X)
#undef X
	COLUMNS_N,
};

/** Time is a column too, but never part of a profile. Bytes of a difference between two rows. */
#define COLUMN_TIME_WIDTH 7u

/* A shape: presence bits, and one for IPv6. */
#define SHAPE_V6 (UINT32_C(1) << 23)
_Static_assert(HAS_ALL < SHAPE_V6, "presence bits and family fit three bytes");

/** Bit set (1 << enum column) of the columns that a row of this shape has; LAST apart, which rows
 *  with packets > 1 have. */
uint32_t shape_columns(uint32_t shape);

/** Is this combination of presence bits and family one that exists? @return NULL or what is wrong
 */
const char *shape_check(uint32_t shape);

/** Checks the ranges of one row whose shape passed shape_check.
 *  @return NULL or static text naming the column */
const char *row_check(const struct observation *row);

/** The same for a sample. */
const char *sample_check(const struct sample *sample);

/** The first microsecond of the year 2200: later times are refused. */
#define TIME_END_US INT64_C(7258118400000000)
/** Fold windows divide 60 s, so a row's last packet is less than this behind its first. */
#define ROW_SPAN_US INT64_C(60000000)

#endif
