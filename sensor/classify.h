/*
 * Traits of a packet from its headers, with the destination where a rule needs it. Runs before
 * mask. Every rule cites its source in classify.c (peers' code, RFC).
 */
#ifndef HIRUNDO_SENSOR_CLASSIFY_H
#define HIRUNDO_SENSOR_CLASSIFY_H

#include <stdbool.h>

#include "sensor/packet.h"

struct targets;

/** Adds classify's traits to p->key.traits. t may be NULL (`--print csv`): then LAND means source =
 *  destination. Where NAT makes captured and public address differ, scanners computed with the
 * public one: both count. */
void classify_packet(struct packet *p, const struct targets *t);

/** masscan's IP ID (src/templ-pkt.c): the low 16 bits of destination ^ port ^ sequence. */
static inline bool masscan_ip_id(uint32_t dst, uint16_t dst_port, uint32_t seq, uint16_t ip_id)
{
	return ip_id == ((dst ^ dst_port ^ seq) & 0xffff);
}

#endif
