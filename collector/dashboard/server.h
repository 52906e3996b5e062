/*
 * HTTP, by libmicrohttpd on the loop: one thread. Who asks is known before anything is answered,
 * GET and HEAD only, names that the configuration allows, bounded headers, bounded times. Pages and
 * files are answered here, /api by answer.h.
 */
#ifndef HIRUNDO_DASHBOARD_SERVER_H
#define HIRUNDO_DASHBOARD_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "collector/dashboard/dashboard_conf.h"
#include "collector/dashboard/pool.h"
#include "common/mem.h"

struct server;
struct tls;

struct server_options {
	int fd; /* listening; the server's from here on, also on error */
	enum dashboard_way way;
	unsigned max_connections;
	struct pool *pool; /* borrowed */
	int64_t statement_us; /* the pool's */
};

struct server_counters {
	unsigned connections; /* now */
	unsigned answers; /* of /api, under way */
	uint64_t accepted, timed_out; /* connections; those ended because they took too long */
	uint64_t status[6]; /* responses by the first digit of their status; 0: without one */
	uint64_t api; /* of them, those of /api */
	uint64_t gone; /* clients that did not wait for an answer of /api */
	uint64_t bytes; /* of bodies */
};

/** @return 0, -errno */
int server_new(uv_loop_t *loop, const struct server_options *o, struct server **ret) MUST_CHECK;

/** Who may ask, by what name; at the start and again after a reload. conf is borrowed until the
 * next call. @param tls  of DASHBOARD_TLS: taken over, for handshakes from now on; else NULL */
void server_configure(struct server *s, const struct dashboard_conf *conf, struct tls *tls);

struct server_counters server_counters(const struct server *s);

/** Takes no more connections, lets requests end, within ms; then closes and calls closed(arg), when
 *  no handle is left and the memory is gone. The pool's leases are over by then. */
void server_drain(struct server *s, unsigned ms, void (*closed)(void *arg), void *arg);

#endif
