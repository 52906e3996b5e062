/*
 * Synthetic captures, as rows: what parse, classify, mask and fold would give. Deterministic.
 * Mixes of TTL, window and MSS follow what scanners' code sends (reference in captures.c).
 */
#ifndef HIRUNDO_TESTS_BENCH_CAPTURES_H
#define HIRUNDO_TESTS_BENCH_CAPTURES_H

#include <stddef.h>

#include "proto/observation.h"

struct capture_kind {
	const char *name;
	void (*make)(struct observation *rows, size_t n);
};

/** Ends with name NULL. */
extern const struct capture_kind captures[];

#endif
