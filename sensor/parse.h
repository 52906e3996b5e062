/*
 * Packet bytes -> struct packet. Pure: no state, no I/O. All link types of architecture section 5
 * (Ethernet with stacked VLAN tags, Linux cooked v1 and v2, raw IP, loopback) and some cheap
 * further ones, IPv4 and IPv6 with extension headers, every protocol number. tshark is the oracle:
 * PROTOCOL.md tabulates the column
 * -> tshark field; outermost occurrence, no reassembly.
 */
#ifndef HIRUNDO_SENSOR_PARSE_H
#define HIRUNDO_SENSOR_PARSE_H

#include <stdbool.h>

#include "common/mem.h"
#include "sensor/packet.h"

/* Why a frame gives no row. X(NAME, name): names are those of STATUS's ignored counts. */
#define PARSE_REASONS(X)                                                                 \
	X(NOT_IP, "not_ip") /* ARP, LLDP, ... */                                         \
	X(LINK_UNSUPPORTED, "link_unsupported") /* parse_linktype_supported() says no */ \
	X(LINK_TRUNCATED, "link_truncated") /* the frame ends inside the link layer */   \
	X(IP_TRUNCATED, "ip_truncated") /* cut inside the IP header */                   \
	X(IP_MALFORMED, "ip_malformed") /* version, header length or total length contradict */

enum parse_res {
	PARSE_OK = 0,
#define X(NAME, name) PARSE_##NAME,
	PARSE_REASONS(X)
#undef X
	PARSE_RES_N,
};

/** Name of a reason ("ok" for PARSE_OK). */
const char *parse_res_str(enum parse_res r);

/** Whether frames of this DLT can be parsed. */
bool parse_linktype_supported(int dlt);

/** Parses one frame.
 *  @param dlt       pcap's DLT_ value of the interface that saw it
 *  @param data      captured bytes, borrowed: *ret points into them
 *  @param captured  bytes at data
 *  @param wire      bytes on the wire (>= captured)
 *  @param ret       filled when PARSE_OK; traits TRUNCATED, MALFORMED, FRAGMENT, BAD_CHECKSUM, ...
 * from parsing alone are set, those of classify are not Time is left to the caller. */
enum parse_res parse_packet(
	int dlt, const uint8_t *data, size_t captured, size_t wire, struct packet *ret);

#endif
