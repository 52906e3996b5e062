#include "collector/verdict_job.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "collector/pg.h"
#include "collector/text.h"
#include "collector/verdict_copy_out.h"
#include "collector/verdict_day.h"
#include "collector/verdict_store.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/log.h"

/** How often it is asked what is due. */
#define LOOK_MS 2000u
/** Least pause after a run. */
#define PAUSE_MS 5000u
/** While a stop waits for the thread. */
#define CANCEL_MS 200u
/** After a failure. */
#define RETRY_MS 30000u
#define DAY_TEXT 16
/** Data sets of a day as text, bytes. */
#define DATASETS_MAX 65536u

/* The server waits for us while we compute, and a day of a large installation takes minutes. */
static const char setup[] =
	"SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET client_encoding = 'UTF8';"
	"SET search_path = pg_catalog; SET statement_timeout = 0; SET lock_timeout = '10s';"
	"SET idle_in_transaction_session_timeout = 0; SET jit = off; SET extra_float_digits = 1";

enum outcome {
	OUTCOME_NOTHING,
	OUTCOME_JUDGED,
	OUTCOME_LATE, /* marks of a final day became a note */
	OUTCOME_FAILED,
};

struct verdict_job {
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_work_t work;
	const char *dsn;
	PGconn *conn; /* the thread's, while it works */
	uv_mutex_t lock; /* of cancel */
	PGcancel *cancel; /* for conn */
	atomic_bool stopping;
	bool working;
	/* What the thread found. */
	enum outcome outcome;
	char day[DAY_TEXT], reason[256];
	uint64_t rows, late;
	int64_t begun_us; /* monotonic */
	double seconds, rest_times;
	bool part;
	struct verdict_counts counts;
	/* The thread's: of the day whose last pass took long enough that parts follow, what else to
	 * read takes them longest. */
	struct {
		char day[DAY_TEXT];
		int64_t learned_at; /* hop_model, microseconds since 2000; 0 = nothing is kept */
		struct verdict_learned_day learned;
		struct verdict_earlier earlier;
	} kept;
	struct verdict_job_counters counters;
	struct log_limit log_failed;
	void (*done)(void *arg);
	void *done_arg;
};

/* Settings, how long the day may still change, and whether a part of it may be judged by what its
 * last whole pass learned: that took long, and thresholds are the same. */
struct day_state {
	struct verdict_params params;
	double prevalence, full_seconds;
	bool final_already, final_now, part;
	/* Of the snapshot, and of the last whole pass (0 = none); microseconds since 2000. */
	int64_t at, learned_at;
};

static void on_timer(uv_timer_t *t);

/* --- in the thread
 * ------------------------------------------------------------------------------------------ */

static void set_cancel(struct verdict_job *j, PGcancel *cancel)
{
	uv_mutex_lock(&j->lock);
	PQfreeCancel(j->cancel);
	j->cancel = cancel;
	uv_mutex_unlock(&j->lock);
}

static void disconnect(struct verdict_job *j)
{
	set_cancel(j, NULL);
	PQfinish(j->conn);
	j->conn = NULL;
}

static bool connected(struct verdict_job *j)
{
	PGresult *res;
	bool up;

	if (j->conn && PQstatus(j->conn) == CONNECTION_OK)
		return true;
	disconnect(j);
	j->conn = pg_connect_blocking(j->dsn, "hirundo-collector verdicts");
	if (PQstatus(j->conn) != CONNECTION_OK)
		return false;
	set_cancel(j, PQgetCancel(j->conn));
	res = PQexec(j->conn, setup);
	up = PQresultStatus(res) == PGRES_COMMAND_OK;
	PQclear(res);
	return up;
}

/* Of the days that are due, or to become final, the one that waited longest; in their order, so
 * that each finds the days before it judged.
 * @return 0, 1 (none), -EIO */
static int next_day(struct verdict_job *j)
{
	static const char sql[] =
		"SELECT day::text FROM (SELECT day FROM hirundo.verdict_due UNION SELECT day FROM"
		" hirundo.hop_model WHERE NOT final AND hirundo.verdict_final_at(day, opened_at)"
		" <= now()) d (day) LEFT JOIN hirundo.hop_model m USING (day) ORDER BY "
		"m.computed_at NULLS FIRST, day LIMIT 1";
	PGresult *res = PQexec(j->conn, sql);
	int e = PQresultStatus(res) == PGRES_TUPLES_OK ? 1 : -EIO;

	if (e == 1 && PQntuples(res) == 1) {
		(void)snprintf(j->day, sizeof(j->day), "%s", PQgetvalue(res, 0, 0));
		e = 0;
	}
	PQclear(res);
	return e;
}

static int read_state(struct verdict_job *j, struct day_state *ret)
{
	static const char sql[] =
		"SELECT (extract(epoch FROM now() - timestamptz '2000-01-01 00:00:00+00')"
		" * 1000000)::bigint, coalesce(m.final, false),"
		" hirundo.verdict_final_at($1::date, coalesce(m.opened_at, now())) <= now(),"
		" s.spoofed_prevalence, s.spoofed_score, s.genuine_score,"
		" s.spoofed_score_one_region, s.genuine_score_one_region, s.spoofed_score_alone,"
		" coalesce(m.learn_seconds > s.verdict_full_seconds"
		" AND m.part_rows < m.histogram_rows / 2, false), m.spoofed_score,"
		" m.genuine_score, m.spoofed_score_one_region, m.genuine_score_one_region,"
		" m.spoofed_score_alone, s.verdict_full_seconds, s.verdict_rest_times,"
		" (extract(epoch FROM m.learned_at - timestamptz '2000-01-01 00:00:00+00')"
		" * 1000000)::bigint FROM hirundo.verdict_settings() s"
		" LEFT JOIN hirundo.hop_model m ON m.day = $1::date";
	const char *day = j->day;
	PGresult *res = PQexecParams(j->conn, sql, 1, NULL, &day, NULL, NULL, 0);
	struct day_state s = {.params = verdict_params};
	int e = PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 ? 0 : -EIO;

	if (e == 0) {
		s.at = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
		s.final_already = PQgetvalue(res, 0, 1)[0] == 't';
		s.final_now = PQgetvalue(res, 0, 2)[0] == 't';
		s.prevalence = strtod(PQgetvalue(res, 0, 3), NULL);
		s.params.spoofed = strtod(PQgetvalue(res, 0, 4), NULL);
		s.params.genuine = strtod(PQgetvalue(res, 0, 5), NULL);
		s.params.spoofed_one_region = strtod(PQgetvalue(res, 0, 6), NULL);
		s.params.genuine_one_region = strtod(PQgetvalue(res, 0, 7), NULL);
		s.params.spoofed_alone = strtod(PQgetvalue(res, 0, 8), NULL);
		verdict_set_prevalence(&s.params, s.prevalence);
		s.part = PQgetvalue(res, 0, 9)[0] == 't' && !s.final_now &&
			 strtod(PQgetvalue(res, 0, 10), NULL) == s.params.spoofed &&
			 strtod(PQgetvalue(res, 0, 11), NULL) == s.params.genuine &&
			 strtod(PQgetvalue(res, 0, 12), NULL) == s.params.spoofed_one_region &&
			 strtod(PQgetvalue(res, 0, 13), NULL) == s.params.genuine_one_region &&
			 strtod(PQgetvalue(res, 0, 14), NULL) == s.params.spoofed_alone;
		s.full_seconds = strtod(PQgetvalue(res, 0, 15), NULL);
		j->rest_times = strtod(PQgetvalue(res, 0, 16), NULL);
		s.learned_at = strtoll(PQgetvalue(res, 0, 17), NULL, 10);
		*ret = s;
	}
	PQclear(res);
	return e;
}

/* Marks of the day go. Where a part of it may be judged, and they all say which sources changed,
 * these are listed: j->part. */
static int take_marks(struct verdict_job *j, bool part_allowed)
{
	static const char sql[] =
		"WITH gone AS (DELETE FROM hirundo.verdict_due WHERE day = $1 RETURNING sources),"
		" told AS (SELECT count(*) AS n, $2 AND count(*) > 0 AND count(*) = count(sources)"
		" AS part FROM gone), listed AS (INSERT INTO hirundo.verdict_touched (day,"
		" portion, sources) SELECT $1::date, portion, array_agg(src) FROM"
		" (SELECT src, (row_number() OVER (ORDER BY src) - 1) / verdict_portion_sources"
		" FROM hirundo.verdict_settings(), (SELECT DISTINCT src"
		" FROM told, gone, unnest(gone.sources) AS u (src) WHERE told.part) d) n"
		" (src, portion) GROUP BY portion) SELECT n, part FROM told";
	const char *values[] = {j->day, part_allowed ? "true" : "false"};
	PGresult *res = PQexecParams(j->conn, sql, ARRAY_SIZE(values), NULL, values, NULL, NULL, 0);
	int e = PQresultStatus(res) == PGRES_TUPLES_OK ? 0 : -EIO;

	if (e == 0) {
		j->late = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
		j->part = PQgetvalue(res, 0, 1)[0] == 't';
	}
	PQclear(res);
	return e;
}

/* Rows of the sources that changed are found by bitmaps of pages, so that each page is read once,
 * however many of them it has, in the pages' order. Where memory does not take a bitmap row by row,
 * all rows of a page are compared with all sources: there is enough for the rows of a portion.
 * Two processes read; the planner knows nothing of how many sources there are, so pages and rows
 * cost it nothing here. */
static int prepare_lookups(struct verdict_job *j)
{
	return copy_run(j->conn,
		"SELECT set_config('enable_indexscan', 'off', true),"
		" set_config('enable_seqscan', 'off', true), set_config('work_mem', '512MB', true),"
		" set_config('max_parallel_workers_per_gather', '1', true),"
		" set_config('min_parallel_table_scan_size', '0', true),"
		" set_config('parallel_setup_cost', '0', true),"
		" set_config('parallel_tuple_cost', '0', true),"
		" set_config('seq_page_cost', '0', true), set_config('random_page_cost', '0', "
		"true)",
		0, NULL);
}

static int forget_touched(struct verdict_job *j)
{
	const char *day = j->day;

	return copy_run(j->conn, "DELETE FROM hirundo.verdict_touched WHERE day = $1", 1, &day);
}

static int add_datasets(const struct verdict_day *d, struct buf *b)
{
	int e = text_add(b, "{");

	for (uint32_t i = 0; e == 0 && i < d->datasets.n; i++)
		e = text_add(
			b, "%s%" PRIu32, i > 0 ? "," : "", load_be32(intern_key(&d->datasets, i)));
	return e == 0 ? text_add(b, "}") : e;
}

static int write_model(struct verdict_job *j, const struct day_state *s,
	const struct verdict_day *d, const struct verdict_result r[2])
{
	/* opened_at stays. */
	static const char sql[] =
		"INSERT INTO hirundo.hop_model (day, computed_at, learned_at, final, opened_at,"
		" dataset_ids, spoofed_prevalence, spoofed_score, genuine_score,"
		" spoofed_score_alone, spoofed_score_one_region, genuine_score_one_region,"
		" in_region, in_region_6, histogram_rows, packets, sources, tracks, teachers,"
		" genuine, spoofed, undetermined, held, campaigns, seconds, learn_seconds)"
		" SELECT $1, now(), now(), $2, now(), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
		" $13, $14, $15, $16, $17, $18, $19, $20, $21, s, s"
		" FROM (SELECT extract(epoch FROM clock_timestamp() - now())) t (s)"
		" ON CONFLICT (day) DO UPDATE SET computed_at = excluded.computed_at,"
		" learned_at = excluded.learned_at, final = excluded.final,"
		" dataset_ids = excluded.dataset_ids,"
		" spoofed_prevalence = excluded.spoofed_prevalence,"
		" spoofed_score = excluded.spoofed_score, genuine_score = excluded.genuine_score,"
		" spoofed_score_alone = excluded.spoofed_score_alone,"
		" spoofed_score_one_region = excluded.spoofed_score_one_region,"
		" genuine_score_one_region = excluded.genuine_score_one_region,"
		" in_region = excluded.in_region, in_region_6 = excluded.in_region_6,"
		" histogram_rows = excluded.histogram_rows, part_rows = 0,"
		" packets = excluded.packets, sources = excluded.sources, tracks = excluded.tracks,"
		" teachers = excluded.teachers, genuine = excluded.genuine,"
		" spoofed = excluded.spoofed, undetermined = excluded.undetermined,"
		" held = excluded.held, campaigns = excluded.campaigns, seconds = excluded.seconds,"
		" learn_seconds = excluded.learn_seconds";
	const struct verdict_counts *n = &j->counts;
	const double settings[] = {s->prevalence, s->params.spoofed, s->params.genuine,
		s->params.spoofed_alone, s->params.spoofed_one_region, s->params.genuine_one_region,
		r[0].profile.in_region, r[1].profile.in_region};
	const uint64_t numbers[] = {j->rows, n->packets, n->sources, n->tracks, n->teachers,
		n->genuine, n->spoofed, n->undetermined, n->held, n->campaigns};
	char text[ARRAY_SIZE(settings) + ARRAY_SIZE(numbers)][32];
	const char *values[3 + ARRAY_SIZE(text)] = {j->day, s->final_now ? "true" : "false"};
	struct buf datasets;
	size_t at = 0;
	int e;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		(void)snprintf(text[at++], sizeof(text[0]), "%.17g", settings[i]);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		(void)snprintf(text[at++], sizeof(text[0]), "%" PRIu64, numbers[i]);
	for (size_t i = 0; i < at; i++)
		values[3 + i] = text[i];
	buf_init(&datasets, DATASETS_MAX);
	e = add_datasets(d, &datasets);
	values[2] = text_str(&datasets);
	if (e == 0)
		e = copy_run(j->conn, sql, ARRAY_SIZE(values), values);
	buf_done(&datasets);
	return e;
}

/* The day's counts: less what the tracks of the part were counted as, and as they are now. */
static int write_part(struct verdict_job *j, const struct verdict_counts *was)
{
	const struct verdict_counts *n = &j->counts;
	const int64_t change[] = {
		(int64_t)j->rows,
		(int64_t)(n->packets - was->packets),
		(int64_t)(n->sources - was->sources),
		(int64_t)(n->tracks - was->tracks),
		(int64_t)(n->genuine - was->genuine),
		(int64_t)(n->spoofed - was->spoofed),
		(int64_t)(n->undetermined - was->undetermined),
		(int64_t)(n->held - was->held),
	};
	static const char sql[] =
		"UPDATE hirundo.hop_model SET computed_at = now(), part_rows = part_rows + $2,"
		" packets = packets + $3, sources = sources + $4, tracks = tracks + $5,"
		" genuine = genuine + $6, spoofed = spoofed + $7,"
		" undetermined = undetermined + $8, held = held + $9,"
		" campaigns = (SELECT count(*) FROM hirundo.campaign WHERE day = $1),"
		" seconds = extract(epoch FROM clock_timestamp() - now()) WHERE day = $1";
	char text[ARRAY_SIZE(change)][24];
	const char *values[1 + ARRAY_SIZE(change)] = {j->day};

	for (size_t i = 0; i < ARRAY_SIZE(change); i++) {
		(void)snprintf(text[i], sizeof(text[i]), "%" PRId64, change[i]);
		values[1 + i] = text[i];
	}
	return copy_run(j->conn, sql, ARRAY_SIZE(values), values);
}

static void forget_kept(struct verdict_job *j)
{
	verdict_learned_done(&j->kept.learned);
	verdict_earlier_done(&j->kept.earlier);
	j->kept.learned_at = 0;
}

static void note_kept(struct verdict_job *j, int64_t learned_at)
{
	(void)snprintf(j->kept.day, sizeof(j->kept.day), "%s", j->day);
	j->kept.learned_at = learned_at;
}

/* What the day's rows are judged by, where it is not what is kept. */
static int recall(struct verdict_job *j, const struct day_state *s)
{
	int e;

	if (j->part && j->kept.learned_at == s->learned_at && strcmp(j->kept.day, j->day) == 0)
		return 0;
	forget_kept(j);
	e = verdict_earlier_read(&j->kept.earlier, j->conn, j->day);
	if (e == 0 && j->part)
		e = verdict_learned_read(&j->kept.learned, j->conn, j->day);
	if (e == 0 && j->part)
		note_kept(j, s->learned_at);
	return e;
}

static bool parts_follow(const struct verdict_job *j, const struct day_state *s)
{
	return !s->final_now && (double)(clock_mono_us() - j->begun_us) / 1e6 > s->full_seconds;
}

static int judge(struct verdict_job *j, const struct day_state *s)
{
	struct verdict_day d = {.stop = &j->stopping};
	struct verdict_result r[2] = {{0}, {0}};
	struct verdict_counts was = {0};
	int e = recall(j, s);

	if (e == 0 && j->part)
		e = prepare_lookups(j);
	if (e == 0)
		e = verdict_day_load(
			&d, j->conn, j->day, &j->kept.earlier, j->part ? &j->kept.learned : NULL);
	for (unsigned family = 0; e == 0 && family < 2; family++)
		e = verdict_run(&d.family[family].in, &s->params, &r[family]);
	j->rows = d.family[0].rows_n + d.family[1].rows_n;
	if (e == 0)
		e = verdict_store(j->conn, &d, &s->params, r, j->day, s->at, &j->counts, &was);
	if (e == 0)
		e = j->part ? write_part(j, &was) : write_model(j, s, &d, r);
	if (e == 0)
		e = copy_run(j->conn, "SELECT hirundo.hop_model_retire()", 0, NULL);
	if (e == 0 && !j->part && parts_follow(j, s)) {
		verdict_learned_keep(&j->kept.learned, &d, r);
		note_kept(j, s->at);
	} else if (e < 0 || !j->part) {
		forget_kept(j);
	}
	verdict_done(&r[0]);
	verdict_done(&r[1]);
	verdict_day_done(&d);
	return e;
}

/* The verdicts stay; packets are counted from ttl_day from now on. */
static int note_late(struct verdict_job *j)
{
	const char *day = j->day;

	return copy_run(
		j->conn, "UPDATE hirundo.hop_model SET late_at = now() WHERE day = $1", 1, &day);
}

static enum outcome one_day(struct verdict_job *j, int *ret_error)
{
	struct day_state s = {0};
	enum outcome outcome = OUTCOME_JUDGED;
	int e = next_day(j);

	if (e == 1)
		return OUTCOME_NOTHING;
	if (e == 0)
		e = copy_run(j->conn, "BEGIN ISOLATION LEVEL REPEATABLE READ", 0, NULL);
	if (e == 0)
		e = read_state(j, &s);
	if (e == 0)
		e = take_marks(j, s.part && !s.final_already);
	if (e == 0 && s.final_already) {
		outcome = OUTCOME_LATE;
		e = note_late(j);
	}
	if (e == 0 && !s.final_already)
		e = judge(j, &s);
	if (e == 0 && j->part)
		e = forget_touched(j);
	if (e == 0)
		e = copy_run(j->conn, "COMMIT", 0, NULL);
	*ret_error = e;
	return e == 0 ? outcome : OUTCOME_FAILED;
}

static void work(uv_work_t *w)
{
	struct verdict_job *j = w->data;
	int e = -EIO;

	j->begun_us = clock_mono_us();
	j->outcome = OUTCOME_FAILED;
	j->day[0] = '\0';
	if (connected(j) && !j->stopping)
		j->outcome = one_day(j, &e);
	j->seconds = (double)(clock_mono_us() - j->begun_us) / 1e6;
	if (j->outcome != OUTCOME_FAILED)
		return;
	(void)snprintf(j->reason, sizeof(j->reason), "%s",
		e == -EIO ? PQerrorMessage(j->conn) : uv_strerror(e));
	disconnect(j); /* and whatever is half done */
}

/* --- in the loop
 * -------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
	struct verdict_job *j = h->data;

	disconnect(j);
	forget_kept(j);
	uv_mutex_destroy(&j->lock);
	j->done(j->done_arg);
}

static void note(struct verdict_job *j)
{
	struct verdict_job_counters *c = &j->counters;
	unsigned suppressed;

	switch (j->outcome) {
	case OUTCOME_NOTHING: return;
	case OUTCOME_LATE:
		c->late += j->late;
		log_notice("verdict", "day=%s note=\"came after the day was final\"", j->day);
		return;
	case OUTCOME_FAILED:
		c->failures++;
		if (log_limit_pass(&j->log_failed, 60 * US_PER_S, &suppressed))
			log_warn("verdict", "day=%s reason=%s suppressed=%u", j->day,
				log_quote(j->reason), suppressed);
		return;
	case OUTCOME_JUDGED:
		c->runs++;
		c->histogram_rows = j->rows;
		c->tracks = j->counts.tracks;
		c->spoofed = j->counts.spoofed;
		c->campaigns = j->counts.campaigns;
		c->seconds = j->seconds;
		c->last_us = clock_wall_us();
		log_info("verdict",
			"day=%s pass=%s rows=%" PRIu64 " tracks=%" PRIu64 " genuine=%" PRIu64
			" spoofed=%" PRIu64 " campaigns=%" PRIu32 " written=%" PRIu64
			" seconds=%.1f",
			j->day, j->part ? "part" : "whole", j->rows, j->counts.tracks,
			j->counts.genuine, j->counts.spoofed, j->counts.campaigns,
			j->counts.written, j->seconds);
		return;
	}
}

static uint64_t pause_ms(const struct verdict_job *j)
{
	switch (j->outcome) {
	case OUTCOME_NOTHING:
	case OUTCOME_LATE: return LOOK_MS;
	case OUTCOME_JUDGED:
		/* 0: who set it wants the days done, as after a restore. */
		return j->rest_times > 0
			       ? (uint64_t)fmax(PAUSE_MS, j->seconds * 1000 * j->rest_times)
			       : 0;
	case OUTCOME_FAILED: break;
	}
	return RETRY_MS;
}

static void after_work(uv_work_t *w, int status)
{
	struct verdict_job *j = w->data;

	(void)status;
	j->working = false;
	if (j->stopping) {
		uv_close((uv_handle_t *)&j->timer, on_closed);
		return;
	}
	note(j);
	(void)uv_timer_start(&j->timer, on_timer, pause_ms(j), 0);
}

static void on_timer(uv_timer_t *t)
{
	struct verdict_job *j = t->data;

	j->working = uv_queue_work(j->loop, &j->work, work, after_work) == 0;
}

int verdict_job_new(uv_loop_t *loop, const char *dsn, struct verdict_job **ret)
{
	struct verdict_job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	if (uv_mutex_init(&j->lock) < 0) {
		free(j);
		return -ENOMEM;
	}
	j->loop = loop;
	j->dsn = dsn;
	j->timer.data = j->work.data = j;
	(void)uv_timer_init(loop, &j->timer); /* can not fail */
	(void)uv_timer_start(&j->timer, on_timer, LOOK_MS, 0);
	*ret = j;
	return 0;
}

static void cancel(uv_timer_t *t)
{
	struct verdict_job *j = t->data;
	char reason[256];

	uv_mutex_lock(&j->lock);
	if (j->cancel)
		(void)PQcancel(j->cancel, reason, sizeof(reason));
	uv_mutex_unlock(&j->lock);
}

void verdict_job_close(struct verdict_job *j, void (*done)(void *arg), void *arg)
{
	j->stopping = true;
	j->done = done;
	j->done_arg = arg;
	(void)uv_timer_stop(&j->timer);
	/* Again and again: between two statements nothing is there to be cancelled. */
	if (j->working)
		(void)uv_timer_start(&j->timer, cancel, 0, CANCEL_MS);
	else
		uv_close((uv_handle_t *)&j->timer, on_closed);
}

struct verdict_job *verdict_job_free(struct verdict_job *j)
{
	free(j);
	return NULL;
}

const struct verdict_job_counters *verdict_job_counters(const struct verdict_job *j)
{
	return &j->counters;
}
