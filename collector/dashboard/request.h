/*
 * A request's target (RFC 9112, 3.2.1: origin-form) taken apart: path and query, percent-decoded,
 * each known parameter at most once, valid UTF-8 without control characters that nobody needs.
 * These are the outside bytes of the dashboard; nothing here looks at what values mean.
 */
#ifndef HIRUNDO_DASHBOARD_REQUEST_H
#define HIRUNDO_DASHBOARD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/mem.h"

/** Longest target, bytes: a filter with some hundred sources. */
#define REQUEST_TARGET_MAX 8192u

enum parameter {
	PARAMETER_FROM,
	PARAMETER_TO,
	PARAMETER_FILTER,
	PARAMETER_N,
	PARAMETER_RANK_BY,
	PARAMETER_STEP,
	PARAMETER_BY,
	PARAMETER_MIN_HOSTS,
	PARAMETER_SRC,
	PARAMETER_FORMAT,
	PARAMETERS_N,
};

extern const char *const parameter_names[PARAMETERS_N];

struct request {
	char *memory; /* all text below lies in it */
	char *path; /* decoded, begins with '/' */
	char *query; /* as it came, without '?'; NULL: none */
	const char *value[PARAMETERS_N]; /* NULL: not given */
};

/** Takes path and query apart.
 *  @return 0; -ENOMEM; -E2BIG longer than REQUEST_TARGET_MAX; -EINVAL no origin-form, bad escapes,
 *  bytes that a path cannot hold. The request is zeroed on error. */
int request_parse(const char *target, struct request *ret) MUST_CHECK;

/** Takes the parameters out of the query, which is consumed: once, for a path that has some.
 *  @param ret_why  text for the asker, on error
 *  @return 0, -EINVAL: unknown or twice, bad escapes, not UTF-8, no day where one belongs */
int request_parameters(struct request *q, char *ret_why, size_t n) MUST_CHECK;

void request_done(struct request *q);

#endif
