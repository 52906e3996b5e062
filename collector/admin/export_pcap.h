/*
 * Packets built again from what is kept of them, as a pcap file (draft-ietf-opsawg-pcap) of link
 * type RAW: IPv4 and IPv6 without a layer below. Destinations are documentation addresses (RFC
 * 5737, RFC 3849); sequence numbers and IP identification, which nobody outside is shown, are 0.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_EXPORT_PCAP_H
#define HIRUNDO_COLLECTOR_ADMIN_EXPORT_PCAP_H

#include <stdbool.h>

#include "collector/admin/export_file.h"
#include "proto/observation.h"

/** Destinations that there are: the hosts of the three networks of RFC 5737. */
#define EXPORT_PCAP_SENSORS_MAX (3u * 254u)

struct export_packet {
	int64_t time_us; /* since 1970 */
	uint32_t sensor; /* 1 to EXPORT_PCAP_SENSORS_MAX: names the destination */
	uint8_t family; /* 4 or 6 */
	uint8_t src[16]; /* first 4 bytes used with IPv4 */
	uint8_t protocol, ttl, ip_flags, tcp_flags, icmp_type, icmp_code;
	uint8_t tcp_header_length; /* 20 to 60 */
	uint16_t src_port, dst_port, tcp_window;
	uint16_t tcp_mss; /* 0: without the option */
	uint32_t payload_length; /* of the packet; payload has the first payload_n of it */
	uint8_t payload_n;
	uint8_t payload[SAMPLE_MAX];
};

void export_pcap_begin(struct export_file *e);

/** Whether a packet of such a length can be; else nothing is written. Checksums are right for what
 *  is written. */
bool export_pcap_add(struct export_file *e, const struct export_packet *p) MUST_CHECK;

#endif
