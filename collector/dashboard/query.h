/*
 * One statement for one viewer: in a read-only transaction, on a connection of the pool, its rows
 * handed out one by one as they come. Who takes them too slowly pauses it, and the database waits.
 */
#ifndef HIRUNDO_DASHBOARD_QUERY_H
#define HIRUNDO_DASHBOARD_QUERY_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "collector/dashboard/pool.h"
#include "common/mem.h"

#define QUERY_PARAMETERS_MAX 12u

enum query_failure {
	QUERY_BUSY, /* no connection was free in time */
	QUERY_AWAY, /* the database is away, or went away */
	QUERY_REFUSED, /* the database said no: sqlstate, message, hint */
	QUERY_FAILED, /* here: out of memory */
};

struct query_error {
	enum query_failure failure;
	char sqlstate[6];
	char message[1024]; /* as the server wrote it, cut at a character's end */
	char hint[512]; /* "": none */
};

struct query_calls {
	/** A connection is there, nothing was sent yet: for what needs one to be made, as
	 * PQescapeLiteral. @return 0, -errno: nothing is sent, QUERY_FAILED */
	int (*begins)(void *arg, PGconn *conn);
	/** Once, before the rows: the one result of query_statement.columns, or NULL. */
	void (*columns)(void *arg, const PGresult *res);
	/** One row; also once without a row, where there is none, so that its fields are known. */
	void (*row)(void *arg, const PGresult *res);
	/** The end, once, unless query_abort() came before. error: NULL where all went well. */
	void (*ended)(void *arg, const struct query_error *error);
};

/** Borrowed until the end. */
struct query_statement {
	const char *viewer;
	bool local_times; /* with the offset of the reporting zone, else of UTC */
	const char *columns; /* a statement without parameters, or NULL */
	const char *sql;
	unsigned n;
	const char *parameters[QUERY_PARAMETERS_MAX];
};

struct query {
	/* The module's own. */
	struct lease lease;
	const struct query_calls *calls;
	void *arg;
	const struct query_statement *statement;
	unsigned stage;
	bool paused, rows_seen, failed;
	struct query_error error;
};

/** Nothing is called back from within. The struct must not move. */
void query_start(struct query *q, struct pool *pool, const struct query_statement *s,
	const struct query_calls *calls, void *arg);

bool query_running(const struct query *q);

/** Only while it runs. After query_resume() rows come from the loop. May be called from row(). */
void query_pause(struct query *q);
void query_resume(struct query *q);

/** Ends it without a call back: what runs in the database is cancelled. Also where nothing runs. */
void query_abort(struct query *q);

#endif
