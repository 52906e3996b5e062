/* Ordering by integer keys: stable, linear. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_ORDER_H
#define HIRUNDO_COLLECTOR_VERDICT_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

struct keyed {
	uint64_t key;
	uint32_t value;
};

/** Ascending by key; equal keys keep their order. @return 0, -ENOMEM */
int order_keyed(struct keyed *v, size_t n) MUST_CHECK;

/** Bits that numbers below n need. */
unsigned order_bits(uint64_t n);

#endif
