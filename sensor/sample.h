/*
 * Payload samples: the first SAMPLE_MAX bytes of what carries payload, masked, once for each
 * distinct content an hour (packet time, aligned), with a count of the packets that had it.
 * The table of contents is bounded: when full, the content seen longest ago goes, its count sent.
 */
#ifndef HIRUNDO_SENSOR_SAMPLE_H
#define HIRUNDO_SENSOR_SAMPLE_H

#include "common/mem.h"
#include "proto/observation.h"
#include "sensor/packet.h"

struct mask;
struct sampler;

/** @param contents  size of the table, 16 to 65536 */
int sampler_new(uint32_t contents, struct sampler **ret) MUST_CHECK;
struct sampler *sampler_free(struct sampler *s);

/** Looks at one packet (after mask_fields); queues a sample when its content is new this hour. */
void sampler_add(struct sampler *s, const struct mask *m, const struct packet *p);

/** Takes up to max queued samples; those of closed hours with counts above what was sent come as
 *  rows of length 0. @return how many were written to ret */
uint32_t sampler_take(struct sampler *s, struct sample *ret, uint32_t max);

/** Queues the outstanding counts of every content (clean stop, end of a capture). */
void sampler_flush(struct sampler *s);

/** Samples queued now, and dropped because the queue was full (their packets stay counted). */
uint32_t sampler_queued(const struct sampler *s);
uint64_t sampler_dropped(const struct sampler *s);

#endif
