#include "collector/answers.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/pg.h"
#include "collector/text.h"
#include "common/clock.h"
#include "common/log.h"

#define IDLE_MS 60000u
/** After a failure, and the longest rest. */
#define RETRY_MS 60000u

/* Marks and answers are deleted and made in one transaction, by statements that each see what is
 * committed: never another isolation. A commit that a crash takes back takes all of them back. */
static const char setup[] =
	"SET timezone = 'UTC'; SET standard_conforming_strings = on; SET client_encoding = 'UTF8';"
	"SET search_path = pg_catalog; SET statement_timeout = '10min'; SET lock_timeout = '10s';"
	"SET default_transaction_isolation = 'read committed'; SET synchronous_commit = off";

struct answers {
	struct pg *pg;
	uv_timer_t timer;
	int64_t begun_us; /* of the step, monotonic */
	struct answers_counters counters;
	struct log_limit log_failed;
	unsigned handles;
	void (*done)(void *arg);
	void *done_arg;
};

static void on_step(void *arg, const struct pg_outcome *o);

static void on_timer(uv_timer_t *timer)
{
	struct answers *a = timer->data;

	if (!pg_idle(a->pg))
		return;
	a->begun_us = clock_mono_us();
	pg_query(a->pg, "SELECT hirundo.store_answer()", on_step, a);
}

static void later(struct answers *a, uint64_t ms)
{
	(void)uv_timer_start(&a->timer, on_timer, ms, 0);
}

static void on_step(void *arg, const struct pg_outcome *o)
{
	struct answers *a = arg;
	uint64_t took_ms = (uint64_t)(clock_mono_us() - a->begun_us) / 1000;
	unsigned suppressed;

	if (o->failure == PG_FAILURE_CONNECTION)
		return; /* on_up starts anew */
	if (o->failure != PG_FAILURE_NONE || o->results_n != 1 || PQntuples(o->results[0]) != 1) {
		a->counters.failed++;
		if (log_limit_pass(&a->log_failed, 60 * US_PER_S, &suppressed))
			log_warn("answers", "sqlstate=%s reason=%s suppressed=%u", o->sqlstate,
				log_quote(o->message), suppressed);
		later(a, RETRY_MS);
	} else if (PQgetisnull(o->results[0], 0, 0)) {
		later(a, IDLE_MS);
	} else {
		a->counters.made++;
		later(a, took_ms < RETRY_MS ? took_ms : RETRY_MS);
	}
}

static void on_up(struct pg *pg, void *arg)
{
	(void)pg;
	later(arg, 0);
}

static void on_down(struct pg *pg, void *arg, const char *reason)
{
	struct answers *a = arg;

	(void)pg;
	(void)reason; /* the rollup's connection tells it */
	(void)uv_timer_stop(&a->timer);
}

int answers_new(uv_loop_t *loop, const char *dsn, struct answers **ret)
{
	static const struct pg_callbacks calls = {.on_up = on_up, .on_down = on_down};
	struct answers *a = calloc(1, sizeof(*a));
	int e;

	if (!a)
		return -ENOMEM;
	e = pg_new(loop, dsn, setup, &calls, a, &a->pg);
	if (e < 0) {
		free(a);
		return e;
	}
	(void)uv_timer_init(loop, &a->timer); /* can not fail */
	a->timer.data = a;
	*ret = a;
	return 0;
}

const struct answers_counters *answers_counters(const struct answers *a)
{
	return &a->counters;
}

static void on_closed(struct answers *a)
{
	if (--a->handles == 0 && a->done)
		a->done(a->done_arg);
}

static void on_pg_closed(void *arg)
{
	on_closed(arg);
}

static void on_timer_closed(uv_handle_t *h)
{
	on_closed(h->data);
}

void answers_close(struct answers *a, void (*done)(void *arg), void *arg)
{
	a->done = done;
	a->done_arg = arg;
	a->handles = 2;
	pg_close(a->pg, on_pg_closed, a);
	uv_close((uv_handle_t *)&a->timer, on_timer_closed);
}

struct answers *answers_free(struct answers *a)
{
	free(a);
	return NULL;
}
