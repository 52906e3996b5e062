/*
 * Makes the stored answers: what standard calls of reports on closed months and quarters return
 * (hirundo.store_answer()). One at a time, on its own connection, apart from rollups, because one
 * may take seconds; rests as long as it took. When none is missing it looks again every minute.
 */
#ifndef HIRUNDO_COLLECTOR_ANSWERS_H
#define HIRUNDO_COLLECTOR_ANSWERS_H

#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

struct answers;

struct answers_counters {
	uint64_t made;
	uint64_t failed; /* tried again */
};

/** @param dsn  borrowed for the object's life
 *  @return 0, -ENOMEM, UV_E* */
int answers_new(uv_loop_t *loop, const char *dsn, struct answers **ret) MUST_CHECK;
/** Closes at once; what the server does at the moment is rolled back. */
void answers_close(struct answers *a, void (*done)(void *arg), void *arg);
struct answers *answers_free(struct answers *a); /* after done */

const struct answers_counters *answers_counters(const struct answers *a);

#endif
