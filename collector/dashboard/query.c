#include "collector/dashboard/query.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* What is sent, in this order, in one pipeline; its results come in the same order. */
enum stage {
	STAGE_BEGIN,
	STAGE_VIEWER,
	STAGE_ZONE, /* left out where times are of UTC */
	STAGE_COLUMNS, /* left out where nobody asks */
	STAGE_ROWS,
	STAGE_COMMIT,
	STAGE_SYNC,
	STAGE_DONE,
};

static void take(struct query *q);

/* Copies text, cut where a character of UTF-8 ends. */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t n = from ? strlen(from) : 0;

	if (n >= size) {
		n = size - 1;
		while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	if (n > 0)
		memcpy(to, from, n);
	to[n] = '\0';
}

static void note_away(struct query *q, const char *text)
{
	q->failed = true;
	q->error = (struct query_error){.failure = QUERY_AWAY};
	copy_text(q->error.message, sizeof(q->error.message), text);
}

/* The first error tells. */
static void note_error(struct query *q, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (q->failed)
		return;
	if (!state) { /* libpq's own: the connection broke */
		note_away(q, PQresultErrorMessage(res));
		return;
	}
	q->failed = true;
	q->error.failure = QUERY_REFUSED;
	copy_text(q->error.sqlstate, sizeof(q->error.sqlstate), state);
	copy_text(q->error.message, sizeof(q->error.message), text);
	copy_text(q->error.hint, sizeof(q->error.hint),
		PQresultErrorField(res, PG_DIAG_MESSAGE_HINT));
}

static void ended(struct query *q)
{
	pool_return(&q->lease);
	q->calls->ended(q->arg, q->failed ? &q->error : NULL);
}

/* The connection broke, or libpq is out of step. */
static void broken(struct query *q)
{
	if (!q->failed)
		note_away(q, PQerrorMessage(q->lease.conn));
	pool_abort(&q->lease);
	q->calls->ended(q->arg, &q->error);
}

static bool send_all(struct query *q)
{
	const struct query_statement *s = q->statement;
	PGconn *c = q->lease.conn;
	static const char set_viewer[] = "SELECT set_config('hirundo.viewer', $1, true)";
	static const char set_zone[] =
		"SELECT set_config('TimeZone', zone, true) FROM report.viewer()";

	if (PQenterPipelineMode(c) != 1)
		return false;
	if (PQsendQueryParams(c, "BEGIN READ ONLY", 0, NULL, NULL, NULL, NULL, 0) != 1 ||
		PQsendQueryParams(c, set_viewer, 1, NULL, &s->viewer, NULL, NULL, 0) != 1)
		return false;
	if (s->local_times && PQsendQueryParams(c, set_zone, 0, NULL, NULL, NULL, NULL, 0) != 1)
		return false;
	if (s->columns && PQsendQueryParams(c, s->columns, 0, NULL, NULL, NULL, NULL, 0) != 1)
		return false;
	return PQsendQueryParams(c, s->sql, (int)s->n, NULL, s->parameters, NULL, NULL, 0) == 1 &&
	       PQsendQueryParams(c, "COMMIT", 0, NULL, NULL, NULL, NULL, 0) == 1 &&
	       PQpipelineSync(c) == 1;
}

static void on_granted(struct lease *l)
{
	struct query *q = container_of(l, struct query, lease);
	int r = q->calls->begins(q->arg, l->conn);

	if (r < 0) {
		q->failed = true;
		q->error = (struct query_error){.failure = QUERY_FAILED};
		ended(q);
	} else if (!send_all(q) || pool_watch(l, UV_READABLE | UV_WRITABLE) < 0) {
		broken(q);
	}
}

static void on_refused(struct lease *l, enum pool_refusal why)
{
	struct query *q = container_of(l, struct query, lease);

	q->error.failure = why == POOL_BUSY ? QUERY_BUSY : QUERY_AWAY;
	q->calls->ended(q->arg, &q->error);
}

/* @return false: the struct may be gone */
static bool take_row(struct query *q, const PGresult *res)
{
	if (PQntuples(res) == 0 && q->rows_seen)
		return true; /* the end of rows */
	q->rows_seen = true;
	q->calls->row(q->arg, res);
	return q->lease.conn != NULL;
}

/* @return false: the struct may be gone */
static bool take_result(struct query *q, const PGresult *res)
{
	switch (PQresultStatus(res)) {
	case PGRES_SINGLE_TUPLE:
	case PGRES_TUPLES_OK:
		if (q->stage == STAGE_COLUMNS)
			q->calls->columns(q->arg, res);
		else if (q->stage == STAGE_ROWS)
			return take_row(q, res);
		return q->lease.conn != NULL;
	case PGRES_PIPELINE_SYNC: q->stage = STAGE_DONE; return true;
	case PGRES_FATAL_ERROR:
	case PGRES_BAD_RESPONSE: note_error(q, res); return true;
	case PGRES_COMMAND_OK:
	case PGRES_PIPELINE_ABORTED: return true;
	case PGRES_EMPTY_QUERY:
	case PGRES_COPY_OUT:
	case PGRES_COPY_IN:
	case PGRES_COPY_BOTH:
	case PGRES_NONFATAL_ERROR: break;
	}
	note_error(q, res);
	return true;
}

/* A statement's results are all there: on to the next one. */
static bool next_stage(struct query *q)
{
	q->stage++;
	if (q->stage == STAGE_ZONE && !q->statement->local_times)
		q->stage++;
	if (q->stage == STAGE_COLUMNS && !q->statement->columns) {
		q->calls->columns(q->arg, NULL);
		if (!q->lease.conn)
			return false;
		q->stage++;
	}
	if (q->stage == STAGE_ROWS && !q->failed && PQsetSingleRowMode(q->lease.conn) != 1)
		log_warn("database", "note=\"no single-row mode\"");
	return true;
}

/* Takes what is there, without waiting. */
static void take(struct query *q)
{
	while (!q->paused && !PQisBusy(q->lease.conn)) {
		PGresult *res = PQgetResult(q->lease.conn);
		bool more = res ? take_result(q, res) : next_stage(q);

		PQclear(res);
		if (!more)
			return;
		if (PQstatus(q->lease.conn) != CONNECTION_OK) {
			broken(q);
			return;
		}
		if (q->stage == STAGE_DONE) {
			if (PQexitPipelineMode(q->lease.conn) != 1)
				broken(q);
			else
				ended(q);
			return;
		}
	}
}

static void on_ready(struct lease *l)
{
	struct query *q = container_of(l, struct query, lease);
	int flushed = PQflush(l->conn);

	/* Not where it is paused: libpq would read on into memory. */
	if (flushed < 0 || (!q->paused && PQconsumeInput(l->conn) != 1)) {
		take(q); /* what the server said before it went */
		if (l->conn)
			broken(q);
		return;
	}
	take(q);
	if (!l->conn || q->paused)
		return;
	if (pool_watch(l, flushed > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE) < 0)
		broken(q);
}

static const struct lease_calls lease_calls = {
	.granted = on_granted, .refused = on_refused, .ready = on_ready};

void query_start(struct query *q, struct pool *pool, const struct query_statement *s,
	const struct query_calls *calls, void *arg)
{
	*q = (struct query){
		.lease.calls = &lease_calls, .calls = calls, .arg = arg, .statement = s};
	pool_ask(pool, &q->lease);
}

bool query_running(const struct query *q)
{
	return q->lease.pool != NULL;
}

void query_pause(struct query *q)
{
	q->paused = true;
	(void)!pool_watch(&q->lease, 0); /* stopping cannot fail */
}

void query_resume(struct query *q)
{
	q->paused = false;
	/* Writable at once, so rows that libpq holds already come, too. */
	if (pool_watch(&q->lease, UV_READABLE | UV_WRITABLE) < 0)
		broken(q);
}

void query_abort(struct query *q)
{
	pool_abort(&q->lease);
}
