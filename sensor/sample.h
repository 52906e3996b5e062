/*
 * Payload samples: the first SAMPLE_MAX bytes of what carries payload, masked, once for each
 * distinct content an hour (packet time, aligned), with a count of the packets that had it. Times,
 * lengths, source and service of a row are those of its first packet.
 *
 * The table of contents is bounded: when full, the content seen longest ago goes, its count sent.
 * Masking costs microseconds, so it is done once for each distinct raw content and destination as
 * long as that is remembered, and new contents are limited: a burst of the table's size, then
 * SAMPLER_NEW_PER_S. What comes above, or finds the queue full, is in the observations but not in
 * the samples, and is counted as dropped.
 */
#ifndef HIRUNDO_SENSOR_SAMPLE_H
#define HIRUNDO_SENSOR_SAMPLE_H

#include "common/mem.h"
#include "proto/observation.h"
#include "sensor/packet.h"

struct mask;
struct sampler;

/** Contents masked in a second of packet time, and at once: up to 20 microseconds each. */
#define SAMPLER_MASK_PER_S 4096u
/** New contents in a second of packet time, once the burst is used up. A flood of random payload
 *  costs no more than this: some 10 kB/s on the wire. */
#define SAMPLER_NEW_PER_S 64u
/** Samples that wait for sampler_take(). */
#define SAMPLER_QUEUE 1024u

/** @param contents  size of the table, 16 to 65536
 *  @return 0; -EINVAL; -ENOMEM, or what getrandom(2) says */
int sampler_new(uint32_t contents, struct sampler **ret) MUST_CHECK;
struct sampler *sampler_free(struct sampler *s);

/** Looks at one packet (after mask_fields); queues a sample when its content is new this hour. */
void sampler_add(struct sampler *s, const struct mask *m, const struct packet *p);

/** Takes up to max queued samples; those of closed hours with counts above what was sent come as
 *  rows of length 0. (An hour is closed when the last packet looked at was of another.)
 *  @return how many were written to ret */
uint32_t sampler_take(struct sampler *s, struct sample *ret, uint32_t max);

/** Queues the outstanding counts of every content (clean stop, end of a capture): sampler_take()
 * hands them out until sampler_queued() is 0. */
void sampler_flush(struct sampler *s);

/** Samples queued now; packets whose new content was dropped (too many, or the queue was full). */
uint32_t sampler_queued(const struct sampler *s);
uint64_t sampler_dropped(const struct sampler *s);

#endif
