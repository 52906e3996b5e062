/*
 * Lists of address ranges and what is known of them: how they are checked, nested and put together.
 * Pure: no files, no database.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_RANGES_H
#define HIRUNDO_COLLECTOR_ENRICH_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

/** An address as a number of 128 bits; IPv4 in the lower 32 of lo. The family is kept beside it. */
struct address128 {
	uint64_t hi, lo;
};

struct range {
	struct address128 lo, hi; /* lo <= hi, both included */
	uint32_t asn;
	uint32_t holder; /* number in struct names, 0 = not known */
	uint32_t line; /* where it was read: line or record, from 1 */
	uint16_t file; /* and which of the files, from 0 */
	uint8_t family; /* 4, 6 */
	bool has_asn;
	char region[2]; /* {0} = not known */
};

/** Ranges that a list may have: twice what the Internet's routing tables and registries have. */
#define RANGES_MAX 8000000u

struct ranges {
	struct range *at;
	size_t n, cap;
};

/** Legal on zeroed memory. */
void ranges_done(struct ranges *l);

/** @return 0, -ENOMEM, -E2BIG (RANGES_MAX) */
int ranges_add(struct ranges *l, const struct range *r) MUST_CHECK;

/** By family, first address, and the larger one first. Quick where sorted already. */
void ranges_sort(struct ranges *l);

/** Sorts. @return the number of the first range that overlaps the one before it, 0 = none does */
size_t ranges_overlap(struct ranges *l) MUST_CHECK;

/** How deep ranges may lie in each other: prefixes have lengths from 0 to 128. */
#define RANGES_DEPTH_MAX 129u

/** Whether ranges only lie in each other, apart, or are the same, as prefixes always do. Sorts.
 *  @return the number of the first range that does not, and *ret_other the one that it crosses, or
 *  under which it is too deep (*ret_deep); 0 = all do */
size_t ranges_cross(struct ranges *l, size_t *ret_other, bool *ret_deep) MUST_CHECK;

/** Nested ranges become disjoint ones: where several cover an address, the innermost (longest
 * prefix) holds. They must not cross. Sorts; l is replaced.
 *  @param ret_same  the number of a range that covers the same as the one before it; l is then only
 *  sorted. 0 = there is none
 *  @return 0, -ENOMEM, -E2BIG */
int ranges_nest(struct ranges *l, size_t *ret_same) MUST_CHECK;

/** What covers a stretch of addresses in each list, NULL where nothing does, made into one.
 *  @param ret  lo, hi and family are set, the rest is zero
 *  @return 0, or a negative errno that ends it all */
typedef int (*ranges_merge)(void *arg, const struct range *const *cover, struct range *ret);

/** Lists that ranges_combine() takes at most. */
#define RANGES_LISTS_MAX 8u

/** Puts disjoint, sorted lists on top of each other; neighbours that say the same become one.
 *  @param ret  appended to; sorted and disjoint
 *  @return 0, -ENOMEM, -E2BIG, what merge returned */
int ranges_combine(const struct ranges *const *lists, size_t n, ranges_merge merge, void *arg,
	struct ranges *ret) MUST_CHECK;

static inline int address128_compare(struct address128 a, struct address128 b)
{
	if (a.hi != b.hi)
		return a.hi < b.hi ? -1 : 1;
	return a.lo == b.lo ? 0 : a.lo < b.lo ? -1 : 1;
}

/** Wraps around behind the last one. */
static inline struct address128 address128_next(struct address128 a)
{
	a.lo++;
	a.hi += a.lo == 0;
	return a;
}

static inline struct address128 address128_before(struct address128 a)
{
	a.hi -= a.lo == 0;
	a.lo--;
	return a;
}

/** The last address of a prefix; what the prefix leaves open must be 0 in its address.
 *  @param length  0 to 32 or 128
 *  @return false: bits are set behind the prefix */
bool address128_prefix_end(
	struct address128 a, uint8_t family, unsigned length, struct address128 *ret) MUST_CHECK;

/** Network order. */
struct address128 address128_load(uint8_t family, const uint8_t *bytes);

#endif
