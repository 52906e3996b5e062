/*
 * libpq without blocking, on the loop: connect with back-off, multi-statement queries, COPY IN from
 * a buffer with back-pressure. One command at a time. Knows no schema.
 *
 * Traps it deals with (delivery rules): the socket may change while connecting; PQputCopyData grows
 * without bound unless flushed; the server may fail in the middle of a COPY and stop reading; a
 * connection lost at COMMIT leaves the outcome unknown, which is told apart.
 */
#ifndef HIRUNDO_COLLECTOR_PG_H
#define HIRUNDO_COLLECTOR_PG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

struct pg;

/** How an error is to be met, from its SQLSTATE class. */
enum pg_failure {
	PG_FAILURE_NONE = 0,
	PG_FAILURE_CONNECTION =
		1, /* lost; what was under way has an unknown outcome if it held a COMMIT */
	PG_FAILURE_RETRY = 2, /* 40 (serialization, deadlock), 53, 55, 57, 58: try again later */
	PG_FAILURE_DATA = 3, /* 22, 23, 54 (limits): this data will never be taken */
	PG_FAILURE_BUG =
		4, /* 42 and others: schema or program is wrong; log it loudly, retry later */
};

struct pg_outcome {
	enum pg_failure failure;
	char sqlstate[6];
	char message[256]; /* one line, printable */
	/** Results in order, one a statement, valid during the callback. For COPY the result after
	 * its end. */
	PGresult **results;
	size_t results_n;
};

typedef void (*pg_cb)(void *arg, const struct pg_outcome *outcome);

struct pg_callbacks {
	void (*on_up)(struct pg *p, void *arg); /* connected and idle; after each reconnect again */
	/** Lost, or an attempt failed; the next one follows. A command under way was answered
	 * before. */
	void (*on_down)(struct pg *p, void *arg, const char *reason);
};

/** @param setup  statements run after each connect, before on_up (SET ...); may be NULL */
int pg_new(uv_loop_t *loop, const char *dsn, const char *setup, const struct pg_callbacks *cb,
	void *arg, struct pg **ret) MUST_CHECK;
bool pg_up(const struct pg *p);
bool pg_idle(const struct pg *p);

/** Sends a query of one or more statements; only while pg_idle(). cb comes from the loop, never
 * from within this call, and may start the next command. sql is copied. The transaction is the
 * caller's business; after a failure inside one, pg rolls back by itself before it calls cb. */
void pg_query(struct pg *p, const char *sql, pg_cb cb, void *arg);

/** As pg_query, where the last statement is COPY ... FROM STDIN: data is sent (borrowed until cb).
 *  before() is asked when the results in front of the COPY are there; false ends the COPY with an
 * error and rolls back (outcome: PG_FAILURE_NONE with the results so far). */
void pg_copy(struct pg *p, const char *sql, const uint8_t *data, size_t n,
	bool (*before)(void *arg, PGresult *const *results, size_t results_n), pg_cb cb, void *arg);

/** For a thread of its own: connects, waiting at most 5 s for each address of a server that is
 *  silent (a stop of the daemon waits as long), and a peer that goes away without a word is found
 *  in 30 s, unless the dsn says otherwise. Ask PQstatus(); PQfinish() is the caller's.
 *  @param name  what pg_stat_activity shows
 *  @return NULL: no memory (PQ functions take it) */
PGconn *pg_connect_blocking(const char *dsn, const char *name) MUST_CHECK;

/** Closes at once (a command under way gets PG_FAILURE_CONNECTION), then closed(arg), then memory
 * goes. */
void pg_close(struct pg *p, void (*closed)(void *arg), void *arg);

#endif
