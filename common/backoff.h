/*
 * Decorrelated jitter: next = random(base, previous * 3), capped (M. Brooker, "Exponential Backoff
 * And Jitter", AWS Architecture Blog, 2015). Spreads a reconnect storm and still grows.
 */
#ifndef HIRUNDO_COMMON_BACKOFF_H
#define HIRUNDO_COMMON_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint32_t base_ms, cap_ms, last_ms;
	uint64_t state; /* of the generator */
};

/** @param seed  0 = from the system; else deterministic */
void backoff_init(struct backoff *b, uint32_t base_ms, uint32_t cap_ms, uint64_t seed);

/** @return milliseconds to wait now, base_ms to cap_ms */
uint32_t backoff_next(struct backoff *b);

/** After a success: the next wait starts at the base again. */
void backoff_reset(struct backoff *b);

#endif
