/*
 * Traits of a packet from its headers, with the destination where a rule needs it. Runs before mask.
 * Every rule cites its source in classify.c (peers' code, RFC).
 */
#ifndef HIRUNDO_SENSOR_CLASSIFY_H
#define HIRUNDO_SENSOR_CLASSIFY_H

#include "sensor/packet.h"

struct targets;

/** Adds classify's traits to p->key.traits. t may be NULL (`--print csv`): then LAND means source =
 *  destination. */
void classify_packet(struct packet *p, const struct targets *t);

#endif
