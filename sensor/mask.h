/*
 * A sensor's own address is a secret, and it hides in packets. mask removes it from the fields of an
 * observation and from payload bytes. Runs after classify, before fold and sample.
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

/** Fields: target set from the destination; sequence, acknowledgement, IP ID and source made absent
 *  where they would tell an own address (architecture, section 5).
 *  @return false where the destination is nobody's here: the packet must be counted, not stored */
bool mask_fields(const struct mask *m, struct packet *p) MUST_CHECK;

/** Bytes: replaces every occurrence in payload[0..n), equal length, in place, also where the form is
 *  cut at the end. The destination of this packet is searched too (sensors that take everything).
 *  Checksums in quoted headers that would give it away are recomputed. */
void mask_payload(const struct mask *m, const struct packet *p, uint8_t *payload, size_t n);

#endif
