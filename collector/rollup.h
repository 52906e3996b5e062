/*
 * Keeps the rollups up to date: every few seconds it asks which sensors have marks and takes a step
 * for all of them together (hirundo.rollup(): about 250,000 rows), on its own connection, apart
 * from ingest. A step needs less for a row the more rows it has: between steps it rests, three
 * times as long as the step took, but they begin at most 12 s apart, and where marks older than
 * 15 s are left over there is no rest, because rollups are to be fresh. Where a step fails, each
 * sensor has its own for 10 minutes, so that one does not stop the others. Several collectors may
 * do so at once: the database keeps them apart.
 */
#ifndef HIRUNDO_COLLECTOR_ROLLUP_H
#define HIRUNDO_COLLECTOR_ROLLUP_H

#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

/** Rollups further behind are an alarm, seconds: an hour's work that waits is not. */
#define ROLLUP_ALARM_S 21600

struct rollup;

struct rollup_counters {
	uint64_t steps, rows; /* done */
	uint64_t recounted; /* days of a sensor counted anew */
	uint64_t unresolved; /* rows in rollup_gap */
	uint64_t failed; /* steps that another one or the database stopped; tried again */
	uint64_t waiting; /* marks, when it was looked last, less those done since */
	double lag_s; /* age of the oldest of them at that time; 0 = none */
};

/** @return 0, -ENOMEM, UV_E* */
int rollup_new(uv_loop_t *loop, const char *dsn, struct rollup **ret) MUST_CHECK;
/** Closes at once; what the server does at the moment is rolled back. */
void rollup_close(struct rollup *r, void (*done)(void *arg), void *arg);
struct rollup *rollup_free(struct rollup *r); /* after done */

const struct rollup_counters *rollup_counters(const struct rollup *r);

/** NULL, or a line that says what is wrong: rollups are over ROLLUP_ALARM_S behind. */
const char *rollup_unhealthy(const struct rollup *r);

#endif
