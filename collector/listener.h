/* Accepts connections of sensors, within the limit, and hands them to sessions. */
#ifndef HIRUNDO_COLLECTOR_LISTENER_H
#define HIRUNDO_COLLECTOR_LISTENER_H

#include <uv.h>

#include "common/hostport.h"
#include "common/mem.h"

struct session_host;
struct listener;

/** Binds and listens. host's sessions are swept once a second from here.
 *  @param at   numeric address; port 0 = any free one
 *  @return 0, UV_E* (-EADDRINUSE ...) */
int listener_new(uv_loop_t *loop, const struct hostport *at, unsigned max_connections,
	struct session_host *host, struct listener **ret) MUST_CHECK;

/** The port that it really has. */
uint16_t listener_port(const struct listener *l);

/** Stops accepting and frees itself when its handles are closed. */
void listener_close(struct listener *l);

#endif
