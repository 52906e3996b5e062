#include "collector/partitions.h"

#include <errno.h>
#include <string.h>

#include "collector/days.h"
#include "collector/pg.h"
#include "collector/text.h"
#include "common/clock.h"
#include "common/log.h"

#define RUN_MS 600000u
/** After a run with failures. */
#define RETRY_MS 30000u

/* No statement timeout: indexes of a large day take minutes. Locks are not waited for long, because
 * ingest would wait behind us. */
static const char setup[] =
	"SET timezone = 'UTC'; SET standard_conforming_strings = on; SET client_encoding = 'UTF8';"
	"SET search_path = pg_catalog; SET statement_timeout = 0; SET lock_timeout = '2s'";

/* A run goes through these; each lists days and then calls a function for one after the other. */
enum stage {
	STAGE_AHEAD,
	STAGE_LOOK,
	STAGE_CLOSE,
	STAGE_DROP,
	STAGE_PURGE,
	STAGES_N
};

struct partitions {
	struct pg *pg;
	uv_timer_t timer;
	unsigned ahead;
	bool looked;
	enum stage stage;
	struct days days; /* of this stage */
	size_t next;
	bool failed;
	struct log_limit log_down;
	unsigned handles;
	void (*done)(void *arg);
	void *done_arg;
};

static void on_list(void *arg, const struct pg_outcome *o);
static void on_call(void *arg, const struct pg_outcome *o);
static void on_timer(uv_timer_t *timer);

/* Yesterday too: records that were under way at midnight. Days count from 1970-01-01. */
static const char ahead_sql[] =
	"SELECT d FROM (SELECT (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' AS today) AS t,"
	" generate_series(today - 1, today + 10) AS d WHERE NOT EXISTS"
	" (SELECT FROM hirundo.partition_day WHERE day = DATE '1970-01-01' + d)";
_Static_assert(PARTITIONS_AHEAD == 10, "the text above says so too");
static const char look_sql[] =
	"SELECT day - (now() AT TIME ZONE 'UTC')::date FROM hirundo.partition_day"
	" WHERE day >= (now() AT TIME ZONE 'UTC')::date";
static const char close_sql[] = "SELECT d - DATE '1970-01-01' FROM hirundo.closable_days() AS d";
static const char drop_sql[] = "SELECT d - DATE '1970-01-01' FROM hirundo.droppable_days() AS d";

/* Not of days: the list does it, and is empty. */
static const char purge_sql[] = "SELECT n FROM hirundo.purge_books() AS n WHERE n < 0";

static void list(struct partitions *p)
{
	static const char *const sql[STAGES_N] = {
		[STAGE_AHEAD] = ahead_sql,
		[STAGE_LOOK] = look_sql,
		[STAGE_CLOSE] = close_sql,
		[STAGE_DROP] = drop_sql,
		[STAGE_PURGE] = purge_sql,
	};

	if (p->stage == STAGES_N) {
		(void)uv_timer_start(&p->timer, on_timer, p->failed ? RETRY_MS : RUN_MS, 0);
	} else {
		pg_query(p->pg, sql[p->stage], on_list, p);
	}
}

static void run(struct partitions *p)
{
	if (!pg_idle(p->pg))
		return; /* away, or at work; on_up comes */
	p->failed = false;
	p->stage = STAGE_AHEAD;
	list(p);
}

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void next_stage(struct partitions *p)
{
	p->stage++;
	list(p);
}

static int call_sql(const struct partitions *p, struct buf *b)
{
	static const char *const call[STAGES_N] = {
		[STAGE_AHEAD] = "SELECT hirundo.ensure_day(",
		[STAGE_CLOSE] = "SELECT hirundo.close_day(",
		[STAGE_DROP] = "SELECT hirundo.drop_day(",
	};
	int e = text_add(b, "%s", call[p->stage]);

	if (e == 0)
		e = text_add_day(b, p->days.day[p->next]);
	return e == 0 ? text_add(b, "%s", p->stage == STAGE_AHEAD ? ", NULL)" : ")") : e;
}

static void call(struct partitions *p)
{
	struct buf b;

	if (p->next == p->days.n) {
		next_stage(p);
		return;
	}
	buf_init(&b, 4096);
	if (call_sql(p, &b) == 0) {
		pg_query(p->pg, text_str(&b), on_call, p);
	} else {
		p->failed = true;
		p->stage = STAGES_N;
		list(p);
	}
	buf_done(&b);
}

static void note_failure(struct partitions *p, const struct pg_outcome *o)
{
	p->failed = true;
	log_warn("partitions", "stage=%d sqlstate=%s reason=%s", (int)p->stage, o->sqlstate,
		log_quote(o->message));
}

/* How many days in a row are ready behind today (0)? */
static void look(struct partitions *p)
{
	unsigned ahead = 0;
	bool today = days_has(&p->days, 0);

	while (days_has(&p->days, (int32_t)ahead + 1))
		ahead++;
	p->ahead = today ? ahead : 0;
	p->looked = true;
	if (partitions_unhealthy(p))
		log_error("partitions", "alert=partitions today=%d ahead=%u", (int)today, ahead);
	next_stage(p);
}

static void on_list(void *arg, const struct pg_outcome *o)
{
	struct partitions *p = arg;
	const PGresult *res = o->results_n == 1 ? o->results[0] : NULL;
	int e = 0;

	if (o->failure == PG_FAILURE_CONNECTION)
		return; /* on_up starts anew */
	days_clear(&p->days);
	p->next = 0;
	if (o->failure != PG_FAILURE_NONE || !res) {
		note_failure(p, o);
		next_stage(p);
		return;
	}
	for (int i = 0; e == 0 && i < PQntuples(res); i++)
		e = days_add(&p->days, (int32_t)strtol(PQgetvalue(res, i, 0), NULL, 10));
	if (e < 0)
		p->failed = true; /* the rest next time */
	if (p->stage == STAGE_LOOK)
		look(p);
	else
		call(p);
}

static void on_call(void *arg, const struct pg_outcome *o)
{
	struct partitions *p = arg;
	if (o->failure == PG_FAILURE_CONNECTION)
		return;
	if (o->failure != PG_FAILURE_NONE)
		note_failure(p, o);
	p->next++;
	call(p);
}

static void on_up(struct pg *pg, void *arg)
{
	struct partitions *p = arg;

	(void)pg;
	run(p);
}

static void on_down(struct pg *pg, void *arg, const char *reason)
{
	struct partitions *p = arg;
	unsigned suppressed;

	(void)pg;
	(void)uv_timer_stop(&p->timer);
	if (log_limit_pass(&p->log_down, 5 * US_PER_S, &suppressed))
		log_warn("partitions", "state=down reason=%s suppressed=%u", log_quote(reason),
			suppressed);
}

int partitions_new(uv_loop_t *loop, const char *dsn, struct partitions **ret)
{
	static const struct pg_callbacks calls = {.on_up = on_up, .on_down = on_down};
	struct partitions *p = calloc(1, sizeof(*p));
	int e;

	if (!p)
		return -ENOMEM;
	e = pg_new(loop, dsn, setup, &calls, p, &p->pg);
	if (e < 0) {
		free(p);
		return e;
	}
	(void)uv_timer_init(loop, &p->timer); /* can not fail */
	p->timer.data = p;
	*ret = p;
	return 0;
}

unsigned partitions_days_ahead(const struct partitions *p)
{
	return p->ahead;
}

const char *partitions_unhealthy(const struct partitions *p)
{
	return p->looked && p->ahead < PARTITIONS_ALARM ? "too few days have partitions\n" : NULL;
}

static void on_closed(struct partitions *p)
{
	if (--p->handles == 0 && p->done)
		p->done(p->done_arg);
}

static void on_pg_closed(void *arg)
{
	on_closed(arg);
}

static void on_timer_closed(uv_handle_t *h)
{
	on_closed(h->data);
}

void partitions_close(struct partitions *p, void (*done)(void *arg), void *arg)
{
	p->done = done;
	p->done_arg = arg;
	p->handles = 2;
	pg_close(p->pg, on_pg_closed, p);
	uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

struct partitions *partitions_free(struct partitions *p)
{
	if (p) {
		days_done(&p->days);
		free(p);
	}
	return NULL;
}
