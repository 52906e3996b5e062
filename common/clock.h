/* The two clocks. The only place that asks the system for the time. */
#ifndef HIRUNDO_COMMON_CLOCK_H
#define HIRUNDO_COMMON_CLOCK_H

#include <stdint.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_S)

/** Microseconds since 1970-01-01 UTC (CLOCK_REALTIME); jumps when the clock is set. Stamps only. */
int64_t clock_wall_us(void);

/** Microseconds of CLOCK_MONOTONIC. Intervals and deadlines only. */
int64_t clock_mono_us(void);

#endif
