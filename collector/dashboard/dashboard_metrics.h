/* What /metrics says: the dashboard's counters as OpenMetrics text. Names are listed in the manual
 * page. No addresses, no viewers. */
#ifndef HIRUNDO_DASHBOARD_METRICS_H
#define HIRUNDO_DASHBOARD_METRICS_H

#include "common/buf.h"
#include "common/mem.h"

struct pool_counters;
struct server_counters;

/** @return 0, -errno of the buffer */
int dashboard_metrics_write(
	const struct server_counters *s, const struct pool_counters *p, struct buf *out) MUST_CHECK;

#endif
