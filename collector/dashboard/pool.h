/*
 * A few connections to the database, shared by requests: on the loop, without blocking. Who asks
 * waits in line, and not for ever. A statement that nobody wants any more is cancelled and its
 * connection closed: a cancel request that arrives late can then hit nobody else's statement.
 */
#ifndef HIRUNDO_DASHBOARD_POOL_H
#define HIRUNDO_DASHBOARD_POOL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

struct pool;
struct pool_slot;
struct lease;

enum pool_refusal {
	POOL_BUSY, /* all connections were in use for too long, or too many wait */
	POOL_AWAY, /* the database does not take connections */
};

/* None is called from within a call to the pool. */
struct lease_calls {
	/** A connection is the lease's, idle and non-blocking. Call pool_watch(). */
	void (*granted)(struct lease *l);
	/** None was to be had; the lease is over. */
	void (*refused)(struct lease *l, enum pool_refusal why);
	/** The socket is ready for what pool_watch() asked for; input was not yet consumed. */
	void (*ready)(struct lease *l);
};

/** Part of its user, zeroed but for calls. */
struct lease {
	const struct lease_calls *calls;
	PGconn *conn; /* from granted() to the end of the lease, else NULL */
	/* The pool's own. */
	struct pool *pool; /* NULL: there is no lease */
	struct pool_slot *slot;
	struct lease *next;
	int64_t since_us;
};

struct pool_options {
	const char *dsn; /* copied */
	unsigned connections; /* 1 to POOL_CONNECTIONS_MAX */
	int64_t statement_us; /* statement_timeout of the sessions */
	int64_t wait_us; /* longest wait in line */
};

#define POOL_CONNECTIONS_MAX 64u

struct pool_counters {
	unsigned open, leased, waiting; /* now */
	uint64_t connected, failed, lost; /* connections made, attempts failed, broken in use */
	uint64_t cancelled, busy, away; /* statements cancelled; leases refused, by reason */
};

/** Connects once at the start, so that pool_up() soon tells. @return 0, -ENOMEM */
int pool_new(uv_loop_t *loop, const struct pool_options *o, struct pool **ret) MUST_CHECK;

/** Leases must be over. Calls closed(arg) when no handle is left; then the memory is gone. */
void pool_close(struct pool *p, void (*closed)(void *arg), void *arg);

/** At least one connection is open. */
bool pool_up(const struct pool *p);
/** Why not: one line of the last attempt that failed, for the log; "" where there was none. */
const char *pool_reason(const struct pool *p);
const struct pool_counters *pool_counters(const struct pool *p);

/** Asks for a connection: granted() or refused() follows from the loop. */
void pool_ask(struct pool *p, struct lease *l);

/** Which events (UV_READABLE, UV_WRITABLE) call ready(); 0: none for now.
 *  @return 0, UV_E* (end the lease by pool_abort) */
int pool_watch(struct lease *l, int events) MUST_CHECK;

/** Ends a lease whose statements are all answered; an open transaction is rolled back. */
void pool_return(struct lease *l);

/** Ends a lease in any state, also while it waits: what runs is cancelled. */
void pool_abort(struct lease *l);

#endif
