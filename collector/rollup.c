#include "collector/rollup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/pg.h"
#include "collector/text.h"
#include "common/clock.h"
#include "common/log.h"

/** From a step to the next, begin to begin: so many times what the step took, for the more rows
 * meet in a step, the more of them become one, ... */
#define ROUND_TIMES 4u
/** ... at least this, ... */
#define ROUND_MS 3000u
/** ... and at most this: rollups are to be as fresh as 60 s, and the step takes its time, too. */
#define ROUND_MAX_MS 12000u
/** After a round in which a step failed. */
#define RETRY_MS 10000u
/** The pause behind a step that left marks is at most this. */
#define REST_MAX_MS 30000u
/** Further behind, there is no such pause. */
#define BEHIND_S 15.0
/** So long each sensor has steps of its own after a step of all failed: only its own fails then. */
#define APART_US (600 * US_PER_S)
/** How often old months are looked for. */
#define RETENTION_US (3600 * US_PER_S)

/* A commit that a crash takes back takes back the deletion of the marks, too: no need to wait for
 * the disk. A step holds no lock that ingest waits for, but retention and ingest behind it would:
 * none may take for ever. */
static const char setup[] =
	"SET timezone = 'UTC'; SET standard_conforming_strings = on; SET client_encoding = 'UTF8';"
	"SET search_path = pg_catalog; SET statement_timeout = '10min'; SET lock_timeout = '10s';"
	"SET synchronous_commit = off";

struct rollup {
	struct pg *pg;
	uv_timer_t timer;
	void (*next)(struct rollup *r); /* what the timer starts */
	int32_t *sensors; /* of this round */
	size_t sensors_n, at; /* at: only where each has steps of its own */
	int64_t apart_us; /* until when, monotonic */
	int64_t begun_us; /* of the step, monotonic */
	int64_t retention_us; /* when old months were dropped last, monotonic; 0 = never */
	bool failed;
	struct rollup_counters counters;
	struct log_limit log_down, log_failed;
	unsigned handles;
	void (*done)(void *arg);
	void *done_arg;
};

/* Longest waiting first. A mark's record is in ingest_batch: same transaction. */
static const char list_sql[] =
	"SELECT m.sensor_id, count(*), extract(epoch FROM now() - min(b.received_at))"
	" FROM hirundo.dirty_mark m LEFT JOIN hirundo.ingest_batch b USING (sensor_id, epoch, seq)"
	" GROUP BY m.sensor_id ORDER BY min(b.received_at)";

static void list(struct rollup *r);
static void on_list(void *arg, const struct pg_outcome *o);
static void on_step(void *arg, const struct pg_outcome *o);

static void on_timer(uv_timer_t *timer)
{
	struct rollup *r = timer->data;

	if (pg_idle(r->pg))
		r->next(r);
}

static void later(struct rollup *r, void (*next)(struct rollup *r), uint64_t ms)
{
	r->next = next;
	(void)uv_timer_start(&r->timer, on_timer, ms, 0);
}

static void note_failure(struct rollup *r, const char *what, const struct pg_outcome *o)
{
	unsigned suppressed;

	r->failed = true;
	r->counters.failed++;
	/* Another collector was faster. */
	if (strncmp(o->sqlstate, "40", 2) == 0)
		return;
	if (log_limit_pass(&r->log_failed, 60 * US_PER_S, &suppressed))
		log_warn("rollup", "at=%s sqlstate=%s reason=%s suppressed=%u", what, o->sqlstate,
			log_quote(o->message), suppressed);
}

/* Rounds. */

static void on_retention(void *arg, const struct pg_outcome *o)
{
	struct rollup *r = arg;

	if (o->failure == PG_FAILURE_CONNECTION)
		return; /* on_up starts anew */
	if (o->failure != PG_FAILURE_NONE)
		note_failure(r, "retention", o);
	later(r, list, 0);
}

static void list(struct rollup *r)
{
	int64_t now = clock_mono_us();

	r->failed = false;
	if (r->retention_us == 0 || now - r->retention_us > RETENTION_US) {
		r->retention_us = now;
		pg_query(r->pg, "SELECT hirundo.drop_rollup_months()", on_retention, r);
	} else {
		pg_query(r->pg, list_sql, on_list, r);
	}
}

static bool apart(const struct rollup *r)
{
	return clock_mono_us() < r->apart_us;
}

static void step(struct rollup *r)
{
	char sql[256], sensors[24] = "NULL";

	if (apart(r))
		(void)snprintf(sensors, sizeof(sensors), "ARRAY[%d]", r->sensors[r->at]);
	else
		r->at = r->sensors_n - 1;
	/* The lock goes before the snapshot: a day that is dropped is dropped before both. */
	(void)snprintf(sql, sizeof(sql),
		"BEGIN ISOLATION LEVEL REPEATABLE READ;"
		" LOCK TABLE ONLY hirundo.observation IN ROW EXCLUSIVE MODE;"
		" SELECT sensor_id, marks, rows, recounted, unresolved FROM hirundo.rollup(%s); "
		"COMMIT",
		sensors);
	r->begun_us = clock_mono_us();
	pg_query(r->pg, sql, on_step, r);
}

static uint64_t number(const PGresult *res, int row, int column)
{
	return strtoull(PQgetvalue(res, row, column), NULL, 10);
}

static void on_list(void *arg, const struct pg_outcome *o)
{
	struct rollup *r = arg;
	const PGresult *res = o->results_n == 1 ? o->results[0] : NULL;
	size_t n = res ? (size_t)PQntuples(res) : 0;
	int32_t *sensors;

	if (o->failure == PG_FAILURE_CONNECTION)
		return; /* on_up starts anew */
	r->sensors_n = r->at = 0;
	sensors = realloc(r->sensors, (n + 1) * sizeof(*sensors));
	if (sensors)
		r->sensors = sensors;
	if (o->failure != PG_FAILURE_NONE || !res || !sensors) {
		note_failure(r, "list", o);
		later(r, list, RETRY_MS);
		return;
	}
	r->counters.waiting = 0;
	r->counters.lag_s = 0;
	for (size_t i = 0; i < n; i++) {
		double lag = strtod(PQgetvalue(res, (int)i, 2), NULL);

		r->sensors[i] = (int32_t)strtol(PQgetvalue(res, (int)i, 0), NULL, 10);
		r->counters.waiting += number(res, (int)i, 1);
		if (lag > r->counters.lag_s)
			r->counters.lag_s = lag;
	}
	r->sensors_n = n;
	if (n > 0)
		step(r);
	else
		later(r, list, ROUND_MS);
}

static void note_sensor(struct rollup *r, const PGresult *res, int row)
{
	uint64_t marks = number(res, row, 1), recounted = number(res, row, 3);
	uint64_t unresolved = number(res, row, 4);

	r->counters.waiting -= marks < r->counters.waiting ? marks : r->counters.waiting;
	r->counters.rows += number(res, row, 2);
	r->counters.recounted += recounted;
	r->counters.unresolved += unresolved;
	if (recounted > 0)
		log_info("rollup", "sensor_id=%s recounted_days=%llu", PQgetvalue(res, row, 0),
			(unsigned long long)recounted);
	if (unresolved > 0)
		log_error("rollup", "sensor_id=%s alert=rollup_gap rows=%llu",
			PQgetvalue(res, row, 0), (unsigned long long)unresolved);
}

static void note_step(struct rollup *r, const PGresult *res)
{
	r->counters.steps++;
	for (int i = 0; i < PQntuples(res); i++)
		note_sensor(r, res, i);
	if (r->counters.waiting == 0)
		r->counters.lag_s = 0;
}

/* How long to wait behind a step that took so long. */
static uint64_t rest_ms(const struct rollup *r, uint64_t took_ms)
{
	uint64_t round_ms = took_ms * ROUND_TIMES;

	if (r->counters.waiting > 0 && r->counters.lag_s > BEHIND_S)
		return 0;
	if (r->counters.waiting > 0)
		return took_ms < REST_MAX_MS ? took_ms : REST_MAX_MS;
	round_ms = round_ms < ROUND_MS ? ROUND_MS : round_ms;
	round_ms = round_ms > ROUND_MAX_MS ? ROUND_MAX_MS : round_ms;
	return round_ms > took_ms ? round_ms - took_ms : 0;
}

static void note_step_failure(struct rollup *r, const struct pg_outcome *o)
{
	note_failure(r, "step", o);
	/* Neither another step nor a day that is being dropped is a sensor's own fault. */
	if (strncmp(o->sqlstate, "40", 2) != 0 && strncmp(o->sqlstate, "55", 2) != 0)
		r->apart_us = clock_mono_us() + APART_US;
}

static void on_step(void *arg, const struct pg_outcome *o)
{
	struct rollup *r = arg;
	uint64_t took_ms = (uint64_t)(clock_mono_us() - r->begun_us) / 1000;

	if (o->failure == PG_FAILURE_CONNECTION)
		return;
	if (o->failure != PG_FAILURE_NONE)
		note_step_failure(r, o);
	else if (o->results_n == 4 && PQntuples(o->results[2]) > 0)
		note_step(r, o->results[2]);
	r->at++;
	later(r, r->at < r->sensors_n ? step : list, r->failed ? RETRY_MS : rest_ms(r, took_ms));
}

/* Life. */

static void on_up(struct pg *pg, void *arg)
{
	(void)pg;
	list(arg);
}

static void on_down(struct pg *pg, void *arg, const char *reason)
{
	struct rollup *r = arg;
	unsigned suppressed;

	(void)pg;
	(void)uv_timer_stop(&r->timer);
	if (log_limit_pass(&r->log_down, 5 * US_PER_S, &suppressed))
		log_warn("rollup", "state=down reason=%s suppressed=%u", log_quote(reason),
			suppressed);
}

int rollup_new(uv_loop_t *loop, const char *dsn, struct rollup **ret)
{
	static const struct pg_callbacks calls = {.on_up = on_up, .on_down = on_down};
	struct rollup *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = pg_new(loop, dsn, setup, &calls, r, &r->pg);
	if (e < 0) {
		free(r);
		return e;
	}
	(void)uv_timer_init(loop, &r->timer); /* can not fail */
	r->timer.data = r;
	*ret = r;
	return 0;
}

const struct rollup_counters *rollup_counters(const struct rollup *r)
{
	return &r->counters;
}

const char *rollup_unhealthy(const struct rollup *r)
{
	return r->counters.lag_s > ROLLUP_ALARM_S ? "rollups are hours behind\n" : NULL;
}

static void on_closed(struct rollup *r)
{
	if (--r->handles == 0 && r->done)
		r->done(r->done_arg);
}

static void on_pg_closed(void *arg)
{
	on_closed(arg);
}

static void on_timer_closed(uv_handle_t *h)
{
	on_closed(h->data);
}

void rollup_close(struct rollup *r, void (*done)(void *arg), void *arg)
{
	r->done = done;
	r->done_arg = arg;
	r->handles = 2;
	pg_close(r->pg, on_pg_closed, r);
	uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

struct rollup *rollup_free(struct rollup *r)
{
	if (r) {
		free(r->sensors);
		free(r);
	}
	return NULL;
}
