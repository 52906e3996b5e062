#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/copyrow.h"
#include "collector/ingest_impl.h"
#include "collector/text.h"
#include "common/clock.h"

/** Frames in one transaction: no further one is taken above this, bytes. Rows are the usual bound;
 * this one holds for records that decode to nothing. */
#define TAKE_BYTES (1024u * 1024u)
/** Captures that a lane remembers; where there are more, they are asked for. */
#define CAPTURES_MAX 64u
/** Days made in one call: each locks the parent table for some milliseconds. */
#define DAYS_AT_ONCE 32u
#define LOAD_EVERY_US (60 * US_PER_S)
#define LOAD_RETRY_US US_PER_S

static void build(struct conn *c, bool take);
static void on_answer(void *arg, const struct pg_outcome *o);

static int64_t number(const PGresult *res, int row, int column)
{
	return strtoll(PQgetvalue(res, row, column), NULL, 10);
}

static void ask(struct conn *c, enum step step)
{
	c->step = step;
	pg_query(c->pg, text_str(&c->sql), on_answer, c);
}

/* Ways out. */

static void drop_records(struct conn *c)
{
	struct record *r, *next;

	DL_FOREACH_SAFE (c->txn.records, r, next)
		ingest_forget(c->g, r);
	c->txn.records = NULL;
	c->txn.records_n = 0;
}

/* The records wait in their lane again, in front. */
static void put_back(struct conn *c)
{
	if (!c->lane) {
		drop_records(c);
		return;
	}
	DL_CONCAT(c->txn.records, c->lane->queue);
	c->lane->queue = c->txn.records;
	c->txn.records = NULL;
	c->txn.records_n = 0;
}

static void try_again(struct conn *c, bool wait)
{
	c->g->counters.retries++;
	put_back(c);
	ingest_release(c, wait);
	ingest_go_on(c->g);
}

static void conflict(struct conn *c, bool forked, const char *reason)
{
	struct ingest *g = c->g;
	struct lane *lane = c->lane;

	log_warn("ingest", "sensor_id=%d conflict=%s reason=%s", c->slot->sensor_id,
		forked ? "forked" : "position", log_quote(reason));
	drop_records(c);
	if (lane)
		ingest_lane_detach(lane);
	ingest_release(c, false);
	if (lane)
		lane->cb.on_conflict(lane->arg, forked, reason);
	ingest_go_on(g);
}

/* Tells the lane, with everything of ours settled before: it may close itself or put more. */
static void settle(struct conn *c, uint64_t epoch, const struct position *to, bool all)
{
	struct ingest *g = c->g;
	struct lane *lane = c->lane;
	bool taken = c->txn.sums.taken_records > 0;

	if (!all)
		put_back(c);
	ingest_release(c, false);
	g->counters.last_commit_us = clock_wall_us();
	if (lane)
		lane->cb.on_committed(lane->arg, epoch, to->seq, to->checksum, taken);
	ingest_go_on(g);
}

static void committed(struct conn *c)
{
	struct ingest_counters *n = &c->g->counters;
	const struct txn_sums *s = &c->txn.sums;
	const struct record *last = c->txn.records->prev;
	struct position to = {last->header.seq, last->chain, last->header.packets_total};
	uint64_t epoch = last->header.epoch;
	int64_t lag = clock_wall_us() - c->txn.records->received_us;
	struct log_limit *limit = &c->g->log_reject;
	unsigned suppressed;

	n->transactions++;
	n->records += s->records;
	n->rows += s->rows;
	n->packets += s->packets;
	n->bytes += s->bytes;
	n->quarantined_packets += s->quarantined;
	n->rejected_records += s->rejected_records;
	n->rejected_packets += s->rejected;
	n->lost_packets += s->lost;
	n->rows_not_kept += s->rows_not_kept;
	n->samples_dropped += s->samples_dropped;
	if (lag > c->g->lag_us[0])
		c->g->lag_us[0] = lag;
	if (lag > n->max_lag_us)
		n->max_lag_us = lag;
	if (s->rejected_records > 0 && log_limit_pass(limit, US_PER_S, &suppressed))
		log_warn("ingest",
			"alert=reject sensor_id=%d records=%" PRIu64 " packets=%" PRIu64
			" suppressed=%u",
			c->txn.sensor_id, s->rejected_records, s->rejected, suppressed);
	if (c->slot->solo > 0)
		c->slot->solo--;
	if (c->lane && c->txn.captures.n <= CAPTURES_MAX) {
		txn_captures_committed(&c->txn);
		c->lane->captures = c->txn.captures;
		c->txn.captures = (struct capture_files){0};
	}
	drop_records(c);
	settle(c, epoch, &to, true);
}

static bool no_partition(const struct pg_outcome *o)
{
	const PGresult *last = o->results_n > 0 ? o->results[o->results_n - 1] : NULL;

	/* A CHECK that is violated has a name; a row without a partition violates none. */
	return strcmp(o->sqlstate, "23514") == 0 && last &&
	       !PQresultErrorField(last, PG_DIAG_CONSTRAINT_NAME);
}

static void log_failure(struct conn *c, const struct pg_outcome *o)
{
	unsigned suppressed;

	if (o->failure == PG_FAILURE_CONNECTION) /* on_down tells */
		return;
	if (log_limit_pass(&c->g->log_retry, US_PER_S, &suppressed))
		log_write(o->failure == PG_FAILURE_BUG ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "ingest",
			"sensor_id=%d step=%d sqlstate=%s reason=%s suppressed=%u",
			c->slot ? c->slot->sensor_id : 0, (int)c->step, o->sqlstate,
			log_quote(o->message), suppressed);
}

/* @return false without memory: the record is tried once more as it is */
static bool refuse(struct record *r, const struct pg_outcome *o)
{
	char text[sizeof(o->sqlstate) + sizeof(o->message) + 1];

	(void)snprintf(text, sizeof(text), "%s %s", o->sqlstate, o->message);
	r->refused = strdup(text);
	return r->refused != NULL;
}

static void failed(struct conn *c, const struct pg_outcome *o)
{
	bool data = o->failure == PG_FAILURE_DATA &&
		    (c->step == STEP_COPY || c->step == STEP_BOOKS || c->step == STEP_BEGIN);

	log_failure(c, o);
	if (data && no_partition(o)) {
		/* Dropped by retention or a restore: the days are asked for again. */
		days_clear(&c->g->shared.known);
		c->g->load_us = 0;
		try_again(c, true);
	} else if (data && c->txn.records_n > 1) {
		c->slot->solo = c->txn.records_n;
		try_again(c, false);
	} else if (data && !c->txn.records->refused) {
		try_again(c, !refuse(c->txn.records, o));
	} else {
		try_again(c, true);
	}
}

/* What is known of the database's days and settings. */

void conn_load(struct conn *c)
{
	c->g->loading = true;
	c->step = STEP_LOAD;
	pg_query(c->pg,
		"SELECT value::int FROM hirundo.setting WHERE name = 'raw_retention_days';"
		"SELECT day - DATE '1970-01-01' FROM hirundo.partition_day ORDER BY day",
		on_answer, c);
}

static bool take_load(struct ingest *g, const struct pg_outcome *o)
{
	int r = 0;

	if (o->failure != PG_FAILURE_NONE || o->results_n != 2 || PQntuples(o->results[0]) != 1)
		return false;
	g->shared.retention_us = number(o->results[0], 0, 0) * US_PER_DAY;
	days_clear(&g->shared.known);
	for (int i = 0; r == 0 && i < PQntuples(o->results[1]); i++)
		r = days_add(&g->shared.known, (int32_t)number(o->results[1], i, 0));
	return r == 0;
}

static void on_load(struct conn *c, const struct pg_outcome *o)
{
	struct ingest *g = c->g;

	g->loading = false;
	if (take_load(g, o)) {
		g->loaded = true;
		g->load_us = clock_mono_us() + LOAD_EVERY_US;
	} else {
		log_failure(c, o);
		g->load_us = clock_mono_us() + LOAD_RETRY_US;
	}
	c->step = STEP_IDLE;
	ingest_go_on(g);
}

/* Before BEGIN. */

static int ask_days(struct conn *c)
{
	struct days *missing = c->txn.missing_live.n > 0 ? &c->txn.missing_live : &c->txn.missing;
	int e = 0;

	c->days_live = missing == &c->txn.missing_live;
	c->days_asked = missing->n < DAYS_AT_ONCE ? missing->n : DAYS_AT_ONCE;
	buf_clear(&c->sql);
	e = text_add(&c->sql, "SELECT d - DATE '1970-01-01', hirundo.ensure_day(d, ");
	if (e == 0)
		e = c->days_live ? text_add(&c->sql, "NULL")
				 : text_add(&c->sql, "%d", c->txn.sensor_id);
	if (e == 0)
		e = text_add(&c->sql, ") FROM unnest(ARRAY[");
	for (size_t i = 0; e == 0 && i < c->days_asked; i++) {
		e = text_add(&c->sql, "%s", i > 0 ? "," : "");
		if (e == 0)
			e = text_add_day(&c->sql, missing->day[i]);
	}
	if (e == 0)
		e = text_add(&c->sql, "]::date[]) AS d");
	if (e == 0)
		ask(c, STEP_DAYS);
	return e;
}

static void on_days(struct conn *c, const PGresult *res)
{
	struct days *missing = c->days_live ? &c->txn.missing_live : &c->txn.missing;
	int e = 0;

	for (int i = 0; e == 0 && i < PQntuples(res); i++) {
		int32_t day = (int32_t)number(res, i, 0);

		e = days_add(
			*PQgetvalue(res, i, 1) == 't' ? &c->g->shared.known : &c->txn.refused, day);
	}
	memmove(missing->day, missing->day + c->days_asked,
		(missing->n - c->days_asked) * sizeof(*missing->day));
	missing->n -= c->days_asked;
	if (e == 0 && c->txn.missing.n + c->txn.missing_live.n > 0)
		e = ask_days(c);
	else if (e == 0)
		build(c, false);
	if (e < 0)
		try_again(c, true);
}

static int ask_quarantine(struct conn *c)
{
	int e;

	buf_clear(&c->sql);
	e = text_add(&c->sql,
		"SELECT count(*) FROM (SELECT FROM hirundo.observation_quarantine WHERE sensor_id "
		"= %d"
		" LIMIT %u) AS q",
		c->txn.sensor_id, TXN_QUARANTINE_ROWS);
	if (e == 0)
		ask(c, STEP_QUARANTINE);
	return e;
}

static int ask_captures(struct conn *c)
{
	int e;

	buf_clear(&c->sql);
	e = txn_captures_sql(&c->txn, &c->sql);
	if (e == 0)
		ask(c, STEP_CAPTURES);
	return e;
}

/* The transaction. */

static int add_copy(struct conn *c, const char *sql)
{
	return text_add(&c->sql, "%s", sql);
}

static bool before_copy(void *arg, PGresult *const *results, size_t n)
{
	struct conn *c = arg;

	if (!c->advanced) /* BEGIN, UPDATE */
		c->advanced = n == 2 && strcmp(PQcmdTuples(results[1]), "1") == 0;
	return c->advanced;
}

/* The next COPY, or the books. c->sql holds what goes in front. */
static int next_copy(struct conn *c)
{
	const struct {
		const struct buf *data;
		uint32_t n;
		const char *sql;
	} copies[] = {
		{&c->txn.rows, c->txn.rows_n, copyrow_observation_sql},
		{&c->txn.quarantine, c->txn.quarantine_n, copyrow_quarantine_sql},
		{&c->txn.samples, c->txn.samples_n, copyrow_sample_sql},
	};
	int e;

	while (c->copied < ARRAY_SIZE(copies) && copies[c->copied].n == 0)
		c->copied++;
	if (c->copied < ARRAY_SIZE(copies)) {
		const struct buf *data = copies[c->copied].data;

		e = add_copy(c, copies[c->copied].sql);
		if (e == 0) {
			c->step = STEP_COPY;
			pg_copy(c->pg, text_str(&c->sql), buf_head(data), buf_len(data),
				before_copy, on_answer, c);
		}
		return e;
	}
	if (!c->advanced) {
		ask(c, STEP_BEGIN);
		return 0;
	}
	e = txn_books_sql(&c->txn, &c->sql);
	if (e == 0)
		ask(c, STEP_BOOKS);
	return e;
}

static int begin(struct conn *c)
{
	int e = txn_seal(&c->txn);

	c->copied = 0;
	c->advanced = false;
	buf_clear(&c->sql);
	if (e == 0)
		e = txn_begin_sql(&c->txn, &c->sql);
	return e == 0 ? next_copy(c) : e;
}

/* May this record go into the transaction? */
static bool fits(const struct conn *c, size_t bytes, const struct record *r)
{
	const struct txn *t = &c->txn;

	if (!r || t->records_n == 0)
		return r != NULL;
	return c->slot->solo == 0 && !r->refused && !t->records->refused &&
	       r->header.epoch == t->records->header.epoch &&
	       t->weight < c->g->o.transaction_rows && bytes < TAKE_BYTES;
}

/* Makes the transaction from its records; take: and from more of the lane. */
static void build(struct conn *c, bool take)
{
	struct txn *t = &c->txn;
	struct record *r;
	size_t bytes = 0;
	int e = 0;

	txn_restart(t);
	DL_FOREACH (t->records, r)
		if (e == 0)
			e = txn_add(t, &c->g->shared, r);
	while (take && e == 0 && fits(c, bytes, c->lane->queue)) {
		r = c->lane->queue;
		DL_DELETE(c->lane->queue, r);
		DL_APPEND(t->records, r);
		t->records_n++;
		bytes += r->n;
		e = txn_add(t, &c->g->shared, r);
	}
	if (e == 0 && t->missing.n + t->missing_live.n > 0)
		e = ask_days(c);
	else if (e == 0 && t->wants_captures)
		e = ask_captures(c);
	else if (e == 0 && t->wants_quarantine)
		e = ask_quarantine(c);
	else if (e == 0)
		e = begin(c);
	if (e < 0) {
		log_error(
			"ingest", "sensor_id=%d reason=%s", t->sensor_id, log_quote(strerror(-e)));
		try_again(c, true);
	}
}

void conn_start(struct conn *c, struct slot *slot)
{
	const struct ingest_lane_info *info = &slot->lane->info;

	c->slot = slot;
	c->lane = slot->lane;
	slot->conn = c;
	c->txn.sensor_id = slot->sensor_id;
	c->txn.allow_capture = info->allow_capture;
	c->txn.quarantine_known = false;
	days_clear(&c->txn.refused);
	free(c->txn.captures.at);
	c->txn.captures = slot->lane->captures;
	slot->lane->captures = (struct capture_files){0};
	build(c, true);
}

static void on_copied(struct conn *c, const struct pg_outcome *o)
{
	const uint32_t n[] = {c->txn.rows_n, c->txn.quarantine_n, c->txn.samples_n};
	const PGresult *last = o->results_n > 0 ? o->results[o->results_n - 1] : NULL;
	int e;

	buf_clear(&c->sql);
	if (!c->advanced) { /* pg has rolled back */
		e = txn_state_sql(&c->txn, &c->sql);
		if (e == 0)
			ask(c, STEP_STATE);
	} else if (!last || strtoul(PQcmdTuples((PGresult *)last), NULL, 10) != n[c->copied]) {
		log_error("ingest", "sensor_id=%d reason=\"COPY took another number of rows\"",
			c->txn.sensor_id);
		e = text_add(&c->sql, "ROLLBACK");
		if (e == 0)
			ask(c, STEP_ROLLBACK);
	} else {
		c->copied++;
		e = next_copy(c);
	}
	if (e < 0) {
		/* The transaction is open: the server ends it, or the next BEGIN is refused. */
		pg_query(c->pg, "ROLLBACK", on_answer, c);
		c->step = STEP_ROLLBACK;
	}
}

static void on_begun(struct conn *c, const struct pg_outcome *o)
{
	int e;

	c->advanced = o->results_n == 2 && strcmp(PQcmdTuples(o->results[1]), "1") == 0;
	buf_clear(&c->sql);
	if (c->advanced) {
		e = next_copy(c);
	} else {
		e = text_add(&c->sql, "ROLLBACK;\n");
		if (e == 0)
			e = txn_state_sql(&c->txn, &c->sql);
		if (e == 0)
			ask(c, STEP_STATE);
	}
	if (e < 0) {
		pg_query(c->pg, "ROLLBACK", on_answer, c);
		c->step = STEP_ROLLBACK;
	}
}

/* The state is not where our first record attaches. Which of ours are committed? */
static void on_state(struct conn *c, const PGresult *state, const PGresult *ours)
{
	struct record *first = c->txn.records, *r, *next;
	struct position to = {0};
	uint64_t epoch = first->header.epoch, seq, checksum;
	int row = 0;

	if (PQntuples(state) == 0) {
		conflict(c, false, "the database does not know this stream");
		return;
	}
	seq = (uint64_t)number(state, 0, 0);
	checksum = (uint64_t)number(state, 0, 1);
	if (seq == first->before.seq && checksum == first->before.checksum) {
		try_again(c, true); /* someone stepped back in between */
		return;
	}
	if (seq <= first->before.seq) {
		conflict(c, seq == first->before.seq,
			seq == first->before.seq ? "committed with another checksum"
						 : "the database is at an earlier record");
		return;
	}
	DL_FOREACH_SAFE (c->txn.records, r, next) {
		if (r->header.seq > seq)
			break;
		if (row >= PQntuples(ours) || (uint64_t)number(ours, row, 0) != r->header.seq ||
			(uint64_t)number(ours, row, 1) != r->chain) {
			conflict(c, true, "committed with another checksum");
			return;
		}
		row++;
		to = (struct position){r->header.seq, r->chain, r->header.packets_total};
		DL_DELETE(c->txn.records, r);
		c->txn.records_n--;
		ingest_forget(c->g, r);
	}
	/* What is left must follow what is committed. */
	if (c->txn.records && c->txn.records->before.seq != seq) {
		conflict(c, true, "committed in records of another size");
		return;
	}
	settle(c, epoch, &to, false);
}

static void on_answer(void *arg, const struct pg_outcome *o)
{
	struct conn *c = arg;
	enum step step = c->step;
	const PGresult *last = o->results_n > 0 ? o->results[o->results_n - 1] : NULL;

	if (step == STEP_LOAD) {
		on_load(c, o);
		return;
	}
	if (o->failure != PG_FAILURE_NONE) {
		failed(c, o);
		return;
	}
	switch (step) {
	case STEP_DAYS: on_days(c, last); break;
	case STEP_QUARANTINE:
		c->txn.quarantine_known = true;
		c->txn.quarantine_room = TXN_QUARANTINE_ROWS - (uint32_t)number(last, 0, 0);
		build(c, false);
		break;
	case STEP_CAPTURES:
		txn_captures_answer(&c->txn, last);
		build(c, false);
		break;
	case STEP_BEGIN: on_begun(c, o); break;
	case STEP_COPY: on_copied(c, o); break;
	case STEP_BOOKS:
		if (last && strcmp(PQcmdStatus((PGresult *)last), "COMMIT") == 0)
			committed(c);
		else
			try_again(c, true);
		break;
	case STEP_STATE: on_state(c, o->results[o->results_n - 2], last); break;
	case STEP_ROLLBACK: try_again(c, true); break;
	case STEP_LOAD:
	case STEP_IDLE: break;
	}
}
