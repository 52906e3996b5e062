/* What /metrics says: the collector's counters as OpenMetrics text. Names are listed in the manual
 * page. */
#ifndef HIRUNDO_COLLECTOR_METRICS_H
#define HIRUNDO_COLLECTOR_METRICS_H

#include "common/buf.h"
#include "common/mem.h"

struct ingest;
struct addresses;
struct partitions;
struct registry;
struct rollup;
struct answers;
struct verdict_job;
struct session_host;

struct metrics_sources {
	const struct session_host *host;
	const struct ingest *ingest;
	const struct registry *registry;
	const struct partitions *partitions;
	const struct addresses *addresses;
	const struct rollup *rollup;
	const struct answers *answers;
	const struct verdict_job *verdicts;
};

/** @return 0, -errno of the buffer */
int metrics_write(const struct metrics_sources *s, struct buf *out) MUST_CHECK;

#endif
