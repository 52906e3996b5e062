#include "common/backoff.h"

#include <sys/random.h>

#include "common/clock.h"

/* splitmix64 (S. Vigna, https://prng.di.unimi.it/splitmix64.c): enough to spread waits. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void backoff_init(struct backoff *b, uint32_t base_ms, uint32_t cap_ms, uint64_t seed)
{
	*b = (struct backoff){
		.base_ms = base_ms, .cap_ms = cap_ms, .last_ms = base_ms, .state = seed};
	if (seed == 0 && getrandom(&b->state, sizeof(b->state), 0) != sizeof(b->state))
		b->state = (uint64_t)clock_mono_us(); /* no secret: only hosts should differ */
}

uint32_t backoff_next(struct backoff *b)
{
	uint64_t span = (uint64_t)b->last_ms * 3 - b->base_ms + 1;
	uint64_t wait = b->base_ms + next_random(&b->state) % span;

	b->last_ms = wait < b->cap_ms ? (uint32_t)wait : b->cap_ms;
	return b->last_ms;
}

void backoff_reset(struct backoff *b)
{
	b->last_ms = b->base_ms;
}
