/*
 * Short texts, each kept once, numbered: holders of addresses, and what lists say of networks. A
 * number is good for as long as the table.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_NAMES_H
#define HIRUNDO_COLLECTOR_ENRICH_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

/** Longest text, bytes: what a line of a list has beside its network (lists.h). */
#define NAMES_TEXT_MAX 640u
/** Longest holder: an opaque-id is a UUID or a hash in hexadecimal; the rest is room. */
#define NAMES_HOLDER_MAX 64u

struct names {
	char *text; /* texts one behind the other, each with its NUL; number = offset */
	uint32_t n, cap;
	uint32_t *slots; /* open addressing; 0 = free */
	uint32_t slots_n, used;
	uint64_t seed; /* texts come from outside */
};

/** Legal on zeroed memory. */
void names_done(struct names *t);

/** @param n  1 to NAMES_TEXT_MAX bytes without NUL
 *  @param ret  its number, never 0
 *  @return 0, -ENOMEM (also at 4 GiB of texts) */
int names_add(struct names *t, const char *text, size_t n, uint32_t *ret) MUST_CHECK;

/** @return the text, valid until the next names_add(); NULL for number 0 */
const char *names_text(const struct names *t, uint32_t number);

#endif
