#include "collector/dashboard/pool.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"

/** Connect and set-up together. */
#define CONNECT_US (INT64_C(10) * US_PER_S)
/** Deadlines are looked at this often, while there are any. */
#define TICK_MS 200u
/** More than these in line are refused at once. */
#define WAITING_MAX 256u
#define BACKOFF_BASE_MS 100u
#define BACKOFF_CAP_MS 5000u

enum slot_state {
	SLOT_FREE,
	SLOT_CONNECTING,
	SLOT_SETUP,
	SLOT_ROLLBACK, /* a statement failed; it is open all the same */
	SLOT_IDLE,
	SLOT_LEASED,
	SLOT_CANCELLING, /* in a thread of the loop's pool: PQcancel blocks */
};

struct pool_slot {
	struct pool *pool;
	enum slot_state state;
	PGconn *conn;
	uv_poll_t *poll; /* of the socket; NULL where there is none */
	struct lease *lease;
	int64_t deadline_us; /* of connecting and set-up */
	uv_work_t work;
	PGcancel *cancel;
};

struct pool {
	uv_loop_t *loop;
	char *dsn;
	char setup[320];
	int64_t wait_us;
	struct pool_slot slots[POOL_CONNECTIONS_MAX];
	unsigned slots_n;
	struct lease *first, *last; /* who waits */
	uv_timer_t serve_timer, tick_timer, retry_timer;
	struct backoff backoff;
	bool away; /* the last attempt failed, and nothing is open */
	bool closing;
	unsigned handles;
	char reason[256];
	struct pool_counters counters;
	void (*closed)(void *arg);
	void *closed_arg;
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_serve(uv_timer_t *t);
static void on_tick(uv_timer_t *t);
static void on_retry(uv_timer_t *t);

/* --- sockets ------------------------------------------------------------------------------------
 */

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

/* Closing a uv_poll_t takes the socket out of epoll at once, so libpq may close it afterwards. */
static void unwatch(struct pool_slot *s)
{
	if (s->poll) {
		s->poll->data = NULL;
		uv_close((uv_handle_t *)s->poll, on_poll_closed);
		s->poll = NULL;
	}
}

static int watch(struct pool_slot *s, int events)
{
	int r;

	if (!s->poll) {
		s->poll = calloc(1, sizeof(*s->poll));
		if (!s->poll)
			return UV_ENOMEM;
		r = uv_poll_init(s->pool->loop, s->poll, PQsocket(s->conn));
		if (r < 0) {
			free(s->poll);
			s->poll = NULL;
			return r;
		}
		s->poll->data = s;
	}
	return events ? uv_poll_start(s->poll, events, on_poll) : uv_poll_stop(s->poll);
}

/* --- slots --------------------------------------------------------------------------------------
 */

static void serve_soon(struct pool *p)
{
	if (!p->closing)
		(void)uv_timer_start(&p->serve_timer, on_serve, 0, 0);
}

static void tick_soon(struct pool *p)
{
	if (!p->closing && !uv_is_active((uv_handle_t *)&p->tick_timer))
		(void)uv_timer_start(&p->tick_timer, on_tick, TICK_MS, TICK_MS);
}

static bool is_open(enum slot_state state)
{
	return state == SLOT_ROLLBACK || state == SLOT_IDLE || state == SLOT_LEASED;
}

static void set_state(struct pool_slot *s, enum slot_state state)
{
	struct pool_counters *c = &s->pool->counters;

	c->open -= is_open(s->state);
	c->leased -= s->state == SLOT_LEASED;
	s->state = state;
	c->open += is_open(s->state);
	c->leased += s->state == SLOT_LEASED;
}

static void drop(struct pool_slot *s)
{
	unwatch(s);
	PQfinish(s->conn);
	s->conn = NULL;
	set_state(s, SLOT_FREE);
}

static bool any_in(const struct pool *p, enum slot_state state)
{
	for (unsigned i = 0; i < p->slots_n; i++)
		if (p->slots[i].state == state)
			return true;
	return false;
}

static void set_reason(struct pool *p, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < sizeof(p->reason); text++)
		p->reason[n++] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
	while (n > 0 && p->reason[n - 1] == ' ')
		n--;
	p->reason[n] = '\0';
}

/* An attempt to connect failed. The next one waits; who waits for a connection does not, unless
 * others are open. */
static void failed(struct pool_slot *s, const char *text)
{
	struct pool *p = s->pool;
	uint32_t ms = backoff_next(&p->backoff);

	set_reason(p, text);
	p->counters.failed++;
	drop(s);
	if (p->closing)
		return;
	if (p->counters.open == 0) {
		if (!p->away)
			log_warn("database", "state=away reason=%s", log_quote(p->reason));
		p->away = true;
	}
	(void)uv_timer_start(&p->retry_timer, on_retry, ms, 0);
	serve_soon(p);
}

static void up(struct pool_slot *s)
{
	struct pool *p = s->pool;

	backoff_reset(&p->backoff);
	if (p->away)
		log_notice("database", "state=back");
	p->away = false;
	set_state(s, SLOT_IDLE);
	if (watch(s, UV_READABLE) < 0)
		drop(s);
	serve_soon(p);
}

static void drop_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

/* Sends a statement of our own; its end is idleness. */
static void run_own(struct pool_slot *s, enum slot_state state, const char *sql)
{
	set_state(s, state);
	s->deadline_us = clock_mono_us() + CONNECT_US;
	tick_soon(s->pool);
	if (PQsendQuery(s->conn, sql) != 1 || watch(s, UV_READABLE | UV_WRITABLE) < 0)
		failed(s, PQerrorMessage(s->conn));
}

static void setup_step(struct pool_slot *s)
{
	PGresult *res;
	int flushed = PQflush(s->conn);

	if (flushed < 0 || PQconsumeInput(s->conn) != 1) {
		failed(s, PQerrorMessage(s->conn));
		return;
	}
	while (!PQisBusy(s->conn)) {
		bool ok;

		res = PQgetResult(s->conn);
		if (!res) {
			up(s);
			return;
		}
		ok = PQresultStatus(res) == PGRES_COMMAND_OK ||
		     PQresultStatus(res) == PGRES_TUPLES_OK;
		PQclear(res);
		if (!ok) {
			failed(s, PQerrorMessage(s->conn));
			return;
		}
	}
	if (watch(s, flushed > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE) < 0)
		failed(s, "cannot watch the socket");
}

/* PQconnectPoll may close the socket and open another one, even with the same number. */
static void connect_step(struct pool_slot *s)
{
	PostgresPollingStatusType want;

	unwatch(s);
	want = PQconnectPoll(s->conn);
	if (want == PGRES_POLLING_OK) {
		(void)PQsetNoticeReceiver(s->conn, drop_notice, NULL);
		s->pool->counters.connected++;
		if (PQsetnonblocking(s->conn, 1) != 0)
			failed(s, PQerrorMessage(s->conn));
		else
			run_own(s, SLOT_SETUP, s->pool->setup);
	} else if (want == PGRES_POLLING_FAILED) {
		failed(s, PQerrorMessage(s->conn));
	} else if (watch(s, want == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE) < 0) {
		failed(s, "cannot watch the socket");
	}
}

/* What stands in the dsn goes before what is named in front of it. A peer that is gone without a
 * word is found in 30 s. */
static void connect_start(struct pool_slot *s)
{
	static const char *const names[] = {"application_name", "client_encoding",
		"tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
		"dbname", NULL};
	const char *const values[] = {
		"hirundo-dashboard", "UTF8", "30000", "10", "5", "4", s->pool->dsn, NULL};

	set_state(s, SLOT_CONNECTING);
	s->deadline_us = clock_mono_us() + CONNECT_US;
	tick_soon(s->pool);
	s->conn = PQconnectStartParams(names, values, 1);
	if (!s->conn)
		failed(s, "out of memory");
	else if (PQstatus(s->conn) == CONNECTION_BAD)
		failed(s, PQerrorMessage(s->conn));
	else if (watch(s, UV_WRITABLE) < 0)
		failed(s, "cannot watch the socket");
}

/* Nothing is expected from an idle connection but its end. */
static void idle_step(struct pool_slot *s)
{
	if (PQconsumeInput(s->conn) == 1 && PQstatus(s->conn) == CONNECTION_OK) {
		(void)PQisBusy(s->conn); /* takes notices and parameter changes */
		return;
	}
	set_reason(s->pool, PQerrorMessage(s->conn));
	s->pool->counters.lost++;
	drop(s);
	/* So that pool_up() tells the truth, though nobody asks. */
	if (s->pool->counters.open == 0 && !s->pool->closing)
		(void)uv_timer_start(&s->pool->retry_timer, on_retry, 0, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct pool_slot *s = poll->data;

	(void)status;
	(void)events;
	if (!s)
		return;
	switch (s->state) {
	case SLOT_CONNECTING: connect_step(s); break;
	case SLOT_SETUP:
	case SLOT_ROLLBACK: setup_step(s); break;
	case SLOT_IDLE: idle_step(s); break;
	case SLOT_LEASED: s->lease->calls->ready(s->lease); break;
	case SLOT_FREE:
	case SLOT_CANCELLING: break;
	}
}

/* --- who waits ----------------------------------------------------------------------------------
 */

static struct lease *take_first(struct pool *p)
{
	struct lease *l = p->first;

	p->first = l->next;
	if (!p->first)
		p->last = NULL;
	l->next = NULL;
	p->counters.waiting--;
	return l;
}

static void refuse(struct pool *p, enum pool_refusal why)
{
	struct lease *l = take_first(p);

	if (why == POOL_BUSY)
		p->counters.busy++;
	else
		p->counters.away++;
	l->pool = NULL;
	l->calls->refused(l, why);
}

static void grant(struct pool_slot *s)
{
	struct lease *l = take_first(s->pool);

	s->lease = l;
	l->slot = s;
	l->conn = s->conn;
	set_state(s, SLOT_LEASED);
	l->calls->granted(l);
}

/* Will be idle soon, or has failed. */
static bool is_coming(enum slot_state state)
{
	return state == SLOT_CONNECTING || state == SLOT_SETUP || state == SLOT_ROLLBACK;
}

static struct pool_slot *find(struct pool *p, enum slot_state state)
{
	for (unsigned i = 0; i < p->slots_n; i++)
		if (p->slots[i].state == state)
			return &p->slots[i];
	return NULL;
}

static void on_serve(uv_timer_t *t)
{
	struct pool *p = t->data;
	struct pool_slot *s;
	unsigned coming = 0;

	while (p->first && (s = find(p, SLOT_IDLE)))
		grant(s);
	while (p->first && p->away)
		refuse(p, POOL_AWAY);
	while (p->first && p->counters.waiting > WAITING_MAX)
		refuse(p, POOL_BUSY);
	if (!p->first || uv_is_active((uv_handle_t *)&p->retry_timer))
		return;
	for (unsigned i = 0; i < p->slots_n; i++)
		coming += is_coming(p->slots[i].state);
	while (coming < p->counters.waiting && (s = find(p, SLOT_FREE))) {
		coming++;
		connect_start(s);
		if (s->state == SLOT_FREE)
			break;
	}
}

static void on_retry(uv_timer_t *t)
{
	struct pool *p = t->data;
	struct pool_slot *s = find(p, SLOT_FREE);

	if (p->counters.open == 0 && s && !any_in(p, SLOT_CONNECTING) && !any_in(p, SLOT_SETUP))
		connect_start(s);
	serve_soon(p);
}

static void on_tick(uv_timer_t *t)
{
	struct pool *p = t->data;
	int64_t now = clock_mono_us();
	bool more = false;

	for (unsigned i = 0; i < p->slots_n; i++) {
		struct pool_slot *s = &p->slots[i];

		if (!is_coming(s->state))
			continue;
		if (now >= s->deadline_us)
			failed(s, "no answer while connecting");
		more = true;
	}
	while (p->first && now - p->first->since_us >= p->wait_us)
		refuse(p, POOL_BUSY);
	if (!more && !p->first)
		(void)uv_timer_stop(t);
}

/* --- the interface ------------------------------------------------------------------------------
 */

int pool_new(uv_loop_t *loop, const struct pool_options *o, struct pool **ret)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->dsn = strdup(o->dsn);
	if (!p->dsn) {
		free(p);
		return -ENOMEM;
	}
	assert(o->connections >= 1 && o->connections <= POOL_CONNECTIONS_MAX);
	p->loop = loop;
	p->slots_n = o->connections;
	p->wait_us = o->wait_us;
	/* A statement ends by itself, too, where this process died and could not cancel it. */
	(void)snprintf(p->setup, sizeof(p->setup),
		"SET statement_timeout = %" PRId64 "; SET client_connection_check_interval = 2000;"
		" SET default_transaction_read_only = on; SET timezone = 'UTC'; SET datestyle = "
		"ISO;"
		" SET intervalstyle = iso_8601; SET bytea_output = hex; SET extra_float_digits = 1",
		o->statement_us / US_PER_MS);
	for (unsigned i = 0; i < p->slots_n; i++)
		p->slots[i].pool = p;
	backoff_init(&p->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, 0);
	(void)uv_timer_init(loop, &p->serve_timer);
	(void)uv_timer_init(loop, &p->tick_timer);
	(void)uv_timer_init(loop, &p->retry_timer);
	p->serve_timer.data = p->tick_timer.data = p->retry_timer.data = p;
	p->handles = 3;
	(void)uv_timer_start(&p->retry_timer, on_retry, 0, 0);
	*ret = p;
	return 0;
}

bool pool_up(const struct pool *p)
{
	return p->counters.open > 0;
}

const char *pool_reason(const struct pool *p)
{
	return p->reason;
}

const struct pool_counters *pool_counters(const struct pool *p)
{
	return &p->counters;
}

void pool_ask(struct pool *p, struct lease *l)
{
	assert(!l->pool && !p->closing);
	l->pool = p;
	l->next = NULL;
	l->since_us = clock_mono_us();
	if (p->last)
		p->last->next = l;
	else
		p->first = l;
	p->last = l;
	p->counters.waiting++;
	serve_soon(p);
	tick_soon(p);
}

int pool_watch(struct lease *l, int events)
{
	return watch(l->slot, events);
}

static struct pool_slot *end(struct lease *l)
{
	struct pool_slot *s = l->slot;

	l->pool = NULL;
	l->slot = NULL;
	l->conn = NULL;
	s->lease = NULL;
	return s;
}

void pool_return(struct lease *l)
{
	struct pool_slot *s = end(l);

	if (PQstatus(s->conn) != CONNECTION_OK) {
		set_reason(s->pool, PQerrorMessage(s->conn));
		s->pool->counters.lost++;
		drop(s);
		(void)uv_timer_start(&s->pool->retry_timer, on_retry, 0, 0);
	} else if (PQtransactionStatus(s->conn) != PQTRANS_IDLE) {
		run_own(s, SLOT_ROLLBACK, "ROLLBACK");
	} else {
		set_state(s, SLOT_IDLE);
		if (watch(s, UV_READABLE) < 0)
			drop(s);
	}
	serve_soon(s->pool);
}

static void do_cancel(uv_work_t *work)
{
	struct pool_slot *s = work->data;
	char error[256];

	(void)PQcancel(s->cancel, error, sizeof(error)); /* closing is next, whatever it says */
}

static void closed_one(struct pool *p)
{
	void (*closed)(void *) = p->closed;
	void *arg = p->closed_arg;

	if (--p->handles > 0)
		return;
	free(p->dsn);
	free(p);
	closed(arg);
}

static void on_cancelled(uv_work_t *work, int status)
{
	struct pool_slot *s = work->data;

	(void)status;
	PQfreeCancel(s->cancel);
	s->cancel = NULL;
	drop(s);
	if (s->pool->closing)
		closed_one(s->pool);
	else
		serve_soon(s->pool);
}

static void withdraw(struct pool *p, struct lease *l)
{
	struct lease **at = &p->first, *before = NULL;

	while (*at != l) {
		before = *at;
		at = &before->next;
	}
	*at = l->next;
	if (p->last == l)
		p->last = before;
	p->counters.waiting--;
	l->pool = NULL;
	l->next = NULL;
}

void pool_abort(struct lease *l)
{
	struct pool *p = l->pool;
	struct pool_slot *s;

	if (!p)
		return;
	if (!l->slot) {
		withdraw(p, l);
		return;
	}
	s = end(l);
	unwatch(s);
	p->counters.cancelled++;
	s->cancel = PQgetCancel(s->conn);
	s->work.data = s;
	set_state(s, SLOT_CANCELLING);
	if (s->cancel && uv_queue_work(p->loop, &s->work, do_cancel, on_cancelled) == 0)
		return;
	PQfreeCancel(s->cancel);
	s->cancel = NULL;
	drop(s);
	serve_soon(p);
}

static void on_closed(uv_handle_t *h)
{
	closed_one(h->data);
}

void pool_close(struct pool *p, void (*closed)(void *arg), void *arg)
{
	assert(!p->first && !any_in(p, SLOT_LEASED));
	p->closing = true;
	p->closed = closed;
	p->closed_arg = arg;
	for (unsigned i = 0; i < p->slots_n; i++) {
		if (p->slots[i].state == SLOT_CANCELLING)
			p->handles++;
		else
			drop(&p->slots[i]);
	}
	uv_close((uv_handle_t *)&p->serve_timer, on_closed);
	uv_close((uv_handle_t *)&p->tick_timer, on_closed);
	uv_close((uv_handle_t *)&p->retry_timer, on_closed);
}
