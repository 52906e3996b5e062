/*
 * A sensor's own address is a secret, and it hides in packets. mask removes it from the fields of
 * an observation and from payload bytes. Runs after classify, before fold and sample.
 */
#ifndef HIRUNDO_SENSOR_MASK_H
#define HIRUNDO_SENSOR_MASK_H

#include <stdbool.h>

#include "common/mem.h"
#include "sensor/packet.h"

struct targets;
struct mask;

/** Prepares the search for every text and binary form of the targets. Borrows t, which must not
 *  change while the mask lives. */
int mask_new(const struct targets *t, struct mask **ret) MUST_CHECK;
struct mask *mask_free(struct mask *m);

/** Fields: target is set from the destination, and made absent are
 *  - tcp_seq and tcp_ack equal to an own address, or that plus or minus 1, in either byte order (or
 * to a 32-bit word of an IPv6 destination);
 *  - ip_id with trait masscan, and wherever masscan's formula gives it, whatever the window;
 *  - src where it is an own address or this packet's destination.
 *  Own are captured and public addresses; of prefixes shorter than /24 only those in the /24 of
 * this packet's destination (own.h says why); and always this packet's destination.
 *  @return false where the destination is nobody's here: the packet must be counted, not stored */
bool mask_fields(const struct mask *m, struct packet *p) MUST_CHECK;

/** Longest payload that mask_payload() searches; what is behind is zeroed. */
#define MASK_PAYLOAD_MAX 512u

/** Bytes: replaces every form of an own address in payload[0..n), equal length, in place. The
 *  destination of this packet is searched too (sensors that take everything). payload is the
 *  beginning of the packet's payload; the more of it, the better: what is cut at its end is
 *  recognised by what is left of it.
 *
 *  Forms, in the bytes as they are, with %HH and \xHH resolved, and as UTF-16:
 *  - IPv4 binary in both orders, also as STUN and Teredo disguise it;
 *  - IPv4 in four parts, decimal, hexadecimal or octal, in either order, with . - _ , : / | blank
 * or DNS label lengths between them; zones of in-addr.arpa;
 *  - IPv4 as one hexadecimal or decimal number, signed too, both orders, or as twelve digits;
 *  - IPv6: the /64 of an own address, binary in both orders, text of every spelling, ip6.arpa;
 *    solicited-node groups; IPv4 inside of IPv6;
 *  - cut at the end: from two bytes, two parts, four digits or characters on.
 *  Not: encrypted, compressed or base64 content, and host names that do not spell the address.
 *
 *  IPv4 and IPv6 headers within the payload (ICMP errors, GRE, IP in IP, at any depth) lose own
 *  addresses; their checksums, the transport's and GRE's, are recomputed where they cover something
 *  that was replaced, and zero where part of what they cover is not there. */
void mask_payload(const struct mask *m, const struct packet *p, uint8_t *payload, size_t n);

#endif
