/* A sorted set of days (numbers since 1970-01-01 UTC). Small: hundreds of members. */
#ifndef HIRUNDO_COLLECTOR_DAYS_H
#define HIRUNDO_COLLECTOR_DAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/mem.h"

struct days {
	int32_t *day;
	size_t n, cap;
};

/** The day of a time in microseconds, also before 1970. */
static inline int32_t day_of(int64_t us)
{
	int64_t day = us / US_PER_DAY;

	return (int32_t)(us % US_PER_DAY < 0 ? day - 1 : day);
}

bool days_has(const struct days *s, int32_t day);

/** @return 0 (also where it is there already), -ENOMEM */
int days_add(struct days *s, int32_t day) MUST_CHECK;

/** Empties the set and keeps its memory. */
void days_clear(struct days *s);

void days_done(struct days *s);

#endif
