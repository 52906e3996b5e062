/*
 * /metrics and /healthz, by libmicrohttpd on the loop: no thread, GET and HEAD only, a handful of
 * connections. What the pages say comes from the caller.
 */
#ifndef HIRUNDO_COLLECTOR_HTTP_H
#define HIRUNDO_COLLECTOR_HTTP_H

#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/hostport.h"
#include "common/mem.h"

struct http;

struct http_pages {
	/** Writes OpenMetrics text. @return 0, -errno (answered with 500) */
	int (*metrics)(void *arg, struct buf *out);
	/** NULL when all is well, else static text what is not (answered with 503). */
	const char *(*unhealthy)(void *arg);
};

/** @param at  numeric address; port 0 = any free one. @return 0, UV_E* */
int http_new(uv_loop_t *loop, const struct hostport *at, const struct http_pages *pages, void *arg,
	struct http **ret) MUST_CHECK;

/** Closes connections and frees itself when its handles are closed. h may be NULL. */
void http_close(struct http *h);

#endif
