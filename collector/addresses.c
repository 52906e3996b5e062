#include "collector/addresses.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "collector/enrich/enrich.h"
#include "collector/enrich/load.h"
#include "collector/ingest.h"
#include "collector/pg.h"
#include "common/clock.h"
#include "common/log.h"

#define ASK_MS 10000u

static const char setup[] = "SET search_path = pg_catalog; SET statement_timeout = '60s'";
static const char newest_sql[] =
	"SELECT dataset_id, (extract(epoch FROM imported_at) * 1000000)::bigint"
	" FROM hirundo.enrichment_dataset ORDER BY dataset_id DESC LIMIT 1";

/* A data set: a database that was restored may have given its number to another one. */
struct dataset {
	int32_t id;
	int64_t imported_us;
};

struct addresses {
	uv_loop_t *loop;
	struct ingest *ingest;
	struct pg *pg;
	uv_timer_t timer;
	uv_work_t work;
	char *dsn;
	struct enrich *table;
	struct dataset used, newest;
	bool asking, loading;
	bool late; /* a HELLO came while asking or loading: ask once more */
	uint64_t loads, failures;
	struct log_limit log_down, log_failure;
	/* Of the worker, while loading. */
	atomic_bool stop;
	struct enrich *fresh;
	int outcome;
	int64_t took_us;
	char reason[LOAD_REASON_MAX];

	unsigned handles;
	void (*done)(void *arg);
	void *done_arg;
};

/* The end. */

static void on_closed(struct addresses *a)
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

/* Loading. */

static void load(uv_work_t *work)
{
	struct addresses *a = work->data;
	int64_t from = clock_mono_us();
	PGconn *conn = pg_connect_blocking(a->dsn, "hirundo-collector addresses");
	const char *text = PQerrorMessage(conn);

	if (PQstatus(conn) == CONNECTION_OK) {
		a->outcome = load_table(conn, &a->stop, &a->fresh, a->reason);
	} else {
		(void)snprintf(
			a->reason, sizeof(a->reason), "%.*s", (int)strcspn(text, "\n"), text);
		a->outcome = LOAD_FAILED;
	}
	PQfinish(conn);
	a->took_us = clock_mono_us() - from;
}

/* Ingest goes on with the table in use. */
static void release(struct addresses *a)
{
	bool again = a->late;

	a->late = false;
	ingest_set_enrich(a->ingest, a->table);
	if (again)
		addresses_refresh(a);
}

static void note_failure(struct addresses *a, const char *reason)
{
	unsigned suppressed;

	a->failures++;
	if (log_limit_pass(&a->log_failure, 60 * US_PER_S, &suppressed))
		log_error("addresses",
			"reason=%s note=\"data set %" PRId32 " stays\" suppressed=%u",
			log_quote(reason), a->used.id, suppressed);
}

static void on_loaded(uv_work_t *work, int status)
{
	struct addresses *a = work->data;
	struct enrich *old = a->table;

	(void)status;
	a->loading = false;
	if (a->done) {
		a->fresh = enrich_free(a->fresh);
		on_closed(a);
		return;
	}
	if (a->outcome != 0) {
		note_failure(a, a->outcome < 0 ? strerror(-a->outcome) : a->reason);
		release(a);
		return;
	}
	/* An import may have come in between: then the next question finds another one. */
	a->used = (struct dataset){enrich_dataset(a->fresh), a->newest.imported_us};
	a->table = a->fresh;
	a->fresh = NULL;
	a->loads++;
	release(a);
	enrich_free(old);
	log_info("addresses", "state=loaded dataset=%" PRId32 " ranges=%zu ms=%" PRId64, a->used.id,
		enrich_ranges(a->table), a->took_us / US_PER_MS);
}

static void start_load(struct addresses *a)
{
	a->loading = true;
	a->work.data = a;
	(void)uv_queue_work(a->loop, &a->work, load, on_loaded); /* fails without a function only */
}

/* Asking. */

static void on_newest(void *arg, const struct pg_outcome *o)
{
	struct addresses *a = arg;
	const PGresult *res = o->results_n == 1 ? o->results[0] : NULL;

	a->asking = false;
	if (o->failure == PG_FAILURE_CONNECTION || a->done)
		return; /* on_up asks again */
	if (o->failure != PG_FAILURE_NONE || !res) {
		note_failure(a, o->message);
		release(a);
		return;
	}
	a->newest = (struct dataset){0};
	if (PQntuples(res) > 0)
		a->newest = (struct dataset){
			(int32_t)strtol(PQgetvalue(res, 0, 0), NULL, 10),
			strtoll(PQgetvalue(res, 0, 1), NULL, 10),
		};
	if (a->newest.id != a->used.id || a->newest.imported_us != a->used.imported_us)
		start_load(a);
	else
		release(a);
}

void addresses_check(struct addresses *a)
{
	if (a->asking || a->loading || a->done || !pg_idle(a->pg))
		return;
	a->asking = true;
	pg_query(a->pg, newest_sql, on_newest, a);
}

void addresses_refresh(struct addresses *a)
{
	if (a->done)
		return;
	ingest_hold(a->ingest);
	if (a->asking || a->loading)
		a->late = true;
	else
		addresses_check(a);
}

static void on_timer(uv_timer_t *timer)
{
	addresses_check(timer->data);
}

static void on_up(struct pg *pg, void *arg)
{
	(void)pg;
	addresses_check(arg);
}

static void on_down(struct pg *pg, void *arg, const char *reason)
{
	struct addresses *a = arg;
	unsigned suppressed;

	(void)pg;
	if (log_limit_pass(&a->log_down, 5 * US_PER_S, &suppressed))
		log_warn("addresses", "state=down reason=%s suppressed=%u", log_quote(reason),
			suppressed);
}

/* Life. */

int addresses_new(uv_loop_t *loop, const char *dsn, struct ingest *ingest, struct addresses **ret)
{
	static const struct pg_callbacks calls = {.on_up = on_up, .on_down = on_down};
	struct addresses *a = calloc(1, sizeof(*a));
	int e;

	if (!a)
		return -ENOMEM;
	a->loop = loop;
	a->ingest = ingest;
	a->dsn = strdup(dsn);
	e = a->dsn ? pg_new(loop, dsn, setup, &calls, a, &a->pg) : -ENOMEM;
	if (e < 0) {
		free(a->dsn);
		free(a);
		return e;
	}
	(void)uv_timer_init(loop, &a->timer); /* can not fail */
	a->timer.data = a;
	(void)uv_timer_start(&a->timer, on_timer, ASK_MS, ASK_MS);
	*ret = a;
	return 0;
}

void addresses_close(struct addresses *a, void (*done)(void *arg), void *arg)
{
	a->done = done;
	a->done_arg = arg;
	a->handles = a->loading ? 3 : 2;
	atomic_store(&a->stop, true);
	pg_close(a->pg, on_pg_closed, a);
	uv_close((uv_handle_t *)&a->timer, on_timer_closed);
}

struct addresses *addresses_free(struct addresses *a)
{
	if (a) {
		enrich_free(a->table);
		free(a->dsn);
		free(a);
	}
	return NULL;
}

struct addresses_status addresses_status(const struct addresses *a)
{
	return (struct addresses_status){
		.dataset = a->used.id,
		.ranges = enrich_ranges(a->table),
		.imported_us = a->used.imported_us,
		.loads = a->loads,
		.failures = a->failures,
	};
}
