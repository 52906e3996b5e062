/*
 * What counts as an own address when bytes are searched: the targets, captured and public, and what
 * the packet at hand was sent to (for sensors that take everything it is all there is).
 *
 * The shorter a prefix, the more bytes match it by chance. So a number (binary, hexadecimal,
 * decimal) counts for prefixes of /16 and longer; of shorter ones only the /24 around this packet's
 * destination does. Text that is an address to the eye counts for all. Of IPv6 the whole /64 around
 * an own address counts, because it names the network.
 */
#ifndef HIRUNDO_SENSOR_OWN_H
#define HIRUNDO_SENSOR_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"
#include "sensor/packet.h"

struct targets;
struct own_set;

/** What is the same for all packets. Borrows t. */
int own_set_new(const struct targets *t, struct own_set **ret) MUST_CHECK;
struct own_set *own_set_free(struct own_set *s);

/** For one packet. */
struct own {
	const struct own_set *set;
	bool any4, any6; /* whether there is anything to search for */
	uint8_t family; /* of this packet */
	uint8_t here[2][16]; /* its destination, captured and public */
	uint32_t here4[2]; /* the same as numbers; family 4 only */
};

void own_init(struct own *o, const struct own_set *s, const struct packet *p);

/** An address in text. Host order. */
bool own_text4(const struct own *o, uint32_t addr);
/** A number that may be an address. */
bool own_number4(const struct own *o, uint32_t addr);
/** A number in a header's field: stricter, for prefixes of /24 and longer. Random sequence numbers
 *  that are left out leave a hole in what is stored; a hole of a /16 shows after a million packets,
 *  that of a /24 after 300 million, so short prefixes must not leave one. Of them, only the /24
 * around this packet's destination counts. */
bool own_field4(const struct own *o, uint32_t addr);
/** Is any own address in [from, to]? */
bool own_range4(const struct own *o, uint32_t from, uint32_t to);
/** Has an own address (of prefixes of /24 and longer) these low 16 bits? */
bool own_low16(const struct own *o, uint16_t low);
/** Is this in the /64 of an own address? */
bool own_net6(const struct own *o, const uint8_t *addr);
/** May an own address begin with these bits (8 to 64)? */
bool own_begins6(const struct own *o, const uint8_t *addr, unsigned bits);

#endif
