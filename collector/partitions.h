/*
 * The janitor of days: partitions made ahead, indexes of closed days, retention. On its own
 * connection, apart from ingest; works off what is due every ten minutes and after each connect.
 * A day that can not be dealt with now is tried again next time and holds up no other.
 */
#ifndef HIRUNDO_COLLECTOR_PARTITIONS_H
#define HIRUNDO_COLLECTOR_PARTITIONS_H

#include <uv.h>

#include "common/mem.h"

/** Days that are made ahead, today not counted. */
#define PARTITIONS_AHEAD 10
/** Fewer are an alarm: whatever is wrong has been so for a week. */
#define PARTITIONS_ALARM 3

struct partitions;

int partitions_new(uv_loop_t *loop, const char *dsn, struct partitions **ret) MUST_CHECK;
/** Closes at once; what the server does at the moment is rolled back. */
void partitions_close(struct partitions *p, void (*done)(void *arg), void *arg);
struct partitions *partitions_free(struct partitions *p); /* after done */

/** Days behind today (UTC) that are ready, without a gap; 0 also while today's are missing or
 * nothing is known yet. */
unsigned partitions_days_ahead(const struct partitions *p);

/** NULL, or a line that says what is wrong: fewer than PARTITIONS_ALARM days are ready. */
const char *partitions_unhealthy(const struct partitions *p);

#endif
