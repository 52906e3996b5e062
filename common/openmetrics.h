/*
 * OpenMetrics 1.0 text into a buffer. No registry: the caller walks its own counters, a family at a
 * time, then ends the page. Errors are kept and told by openmetrics_end().
 */
#ifndef HIRUNDO_COMMON_OPENMETRICS_H
#define HIRUNDO_COMMON_OPENMETRICS_H

#include "common/buf.h"
#include "common/mem.h"

enum openmetrics_type {
	OPENMETRICS_COUNTER,
	OPENMETRICS_GAUGE
};

struct openmetrics {
	struct buf *out;
	const char *name; /* of the family under way */
	enum openmetrics_type type;
	int error;
};

/** Starts a page in out. */
void openmetrics_init(struct openmetrics *m, struct buf *out);

/** Starts a family. @param name  [a-z_]+, with unit, without "_total"; static text, as help */
void openmetrics_family(
	struct openmetrics *m, enum openmetrics_type type, const char *name, const char *help);

/** A sample of the family, without labels, or with one (its value is escaped). */
void openmetrics_value(struct openmetrics *m, double value);
void openmetrics_labelled(
	struct openmetrics *m, const char *label, const char *label_value, double value);

/** Ends the page. @return 0, -errno of the buffer */
int openmetrics_end(struct openmetrics *m) MUST_CHECK;

#endif
