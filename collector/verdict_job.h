/*
 * Judges the days that are due (hirundo.verdict_due): reads a day's ttl_day and the votes of
 * earlier days, lets the detector (verdict/) compute, writes profiles, campaigns, verdicts and
 * their history, all in one REPEATABLE READ transaction. In a thread of libuv's pool with a
 * connection of its own, so that nothing waits for it; rests nine times as long as it worked
 * (setting verdict_rest_times).
 *
 * A day whose last whole pass took longer than setting verdict_full_seconds is judged in parts: the
 * sources that have new packets (verdict_due.sources), all rows of each, by what that pass learned
 * and the votes of earlier days that it took; both stay in memory for the last such day, for others
 * and after a restart they are read back. When the parts have
 * read half as many rows as it did, when thresholds change, when any row may have changed and when
 * the day becomes final, the whole day is judged anew: all passes together cost a few times the
 * last.
 *
 * A day is final 48 h after its end, or after it was first judged where that is later (a capture of
 * old traffic): what comes later changes no verdict.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_JOB_H
#define HIRUNDO_COLLECTOR_VERDICT_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

struct verdict_job;

struct verdict_job_counters {
	uint64_t runs, failures;
	uint64_t late; /* marks of final days */
	uint64_t histogram_rows, tracks, spoofed, campaigns; /* of the newest run */
	double seconds; /* it took */
	int64_t last_us; /* when it ended, since 1970; 0 = never */
};

/** @param dsn  borrowed for the object's life
 *  @return 0, -ENOMEM */
int verdict_job_new(uv_loop_t *loop, const char *dsn, struct verdict_job **ret) MUST_CHECK;
/** Cancels what the server does at the moment; done comes when the thread has ended. */
void verdict_job_close(struct verdict_job *j, void (*done)(void *arg), void *arg);
struct verdict_job *verdict_job_free(struct verdict_job *j); /* after done */

const struct verdict_job_counters *verdict_job_counters(const struct verdict_job *j);

#endif
