#include "collector/pg.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/backoff.h"

/** Handed to libpq at a time, bytes; then flushed, so that its buffer stays small. */
#define COPY_CHUNK (64u * 1024u)
/** Connect and set-up together, ms. A server in recovery answers at once that it is. */
#define CONNECT_MS 15000u
#define BACKOFF_BASE_MS 50u
#define BACKOFF_CAP_MS 5000u
/** Results kept of one command. The longest is HELLO's: one for each of 64 streams, and 4. The last
 * one is always kept. */
#define RESULTS_MAX 80u

enum phase {
	PHASE_WAITING, /* for the next attempt to connect */
	PHASE_CONNECTING,
	PHASE_SETUP,
	PHASE_IDLE,
	PHASE_RUNNING, /* a command; results are awaited */
	PHASE_FEEDING, /* COPY takes our data */
	PHASE_ROLLBACK, /* the command failed inside a transaction */
	PHASE_CLOSED,
};

struct pg {
	uv_loop_t *loop;
	char *dsn, *setup;
	struct pg_callbacks cb;
	void *arg;

	PGconn *conn;
	enum phase phase;
	uv_poll_t *poll; /* of the socket; NULL where there is none */
	uv_timer_t timer;
	struct backoff backoff;

	/* The command under way. */
	pg_cb done;
	void *done_arg;
	bool (*before)(void *arg, PGresult *const *results, size_t results_n);
	const uint8_t *data;
	size_t data_n, sent;
	bool fed; /* the COPY has had its data */
	bool refused; /* before() said no: the error that ends the COPY is ours */
	bool unsent; /* libpq did not take the command: told from the loop */
	struct pg_outcome outcome;
	PGresult *results[RESULTS_MAX];
	size_t results_n;

	void (*closed)(void *arg);
	void *closed_arg;
};

static void on_timer(uv_timer_t *timer);
static void on_poll(uv_poll_t *poll, int status, int events);
static void sent(struct pg *p, bool ok);

/* The socket's watcher. Closing a uv_poll_t takes the socket out of epoll at once, so libpq may
 * close it right afterwards. */

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

static void unwatch(struct pg *p)
{
	if (p->poll) {
		p->poll->data = NULL;
		uv_close((uv_handle_t *)p->poll, on_poll_closed);
		p->poll = NULL;
	}
}

static int watch(struct pg *p, int events)
{
	int r;

	if (!p->poll) {
		p->poll = calloc(1, sizeof(*p->poll));
		if (!p->poll)
			return -ENOMEM;
		r = uv_poll_init(p->loop, p->poll, PQsocket(p->conn));
		if (r < 0) {
			free(p->poll);
			p->poll = NULL;
			return r;
		}
		p->poll->data = p;
	}
	return uv_poll_start(p->poll, events, on_poll);
}

/* Outcomes. */

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static enum pg_failure classify(const char *sqlstate)
{
	static const char *const retry[] = {"40", "53", "55", "57", "58"};
	static const char *const data[] = {"22", "23", "54"};

	if (begins(sqlstate, "08"))
		return PG_FAILURE_CONNECTION;
	for (size_t i = 0; i < ARRAY_SIZE(retry); i++)
		if (begins(sqlstate, retry[i]))
			return PG_FAILURE_RETRY;
	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		if (begins(sqlstate, data[i]))
			return PG_FAILURE_DATA;
	return PG_FAILURE_BUG;
}

static void set_message(struct pg_outcome *o, const char *text)
{
	size_t n = 0;

	for (; text && *text && n + 1 < sizeof(o->message); text++)
		o->message[n++] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
	while (n > 0 && o->message[n - 1] == ' ')
		n--;
	o->message[n] = '\0';
}

/* The first error of a command tells its outcome. */
static void note_error(struct pg *p, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	bool fatal = severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);

	if (p->outcome.failure != PG_FAILURE_NONE || p->refused)
		return;
	/* Errors without a state are libpq's own: the connection broke. */
	p->outcome.failure = !state || fatal ? PG_FAILURE_CONNECTION : classify(state);
	snprintf(p->outcome.sqlstate, sizeof(p->outcome.sqlstate), "%s", state ? state : "08006");
	set_message(&p->outcome, text ? text : PQresultErrorMessage(res));
}

static void note_lost(struct pg *p, const char *text)
{
	if (p->outcome.failure == PG_FAILURE_NONE)
		set_message(&p->outcome, text);
	/* Whatever the server had said before: what it did is not known. */
	p->outcome.failure = PG_FAILURE_CONNECTION;
	if (p->outcome.sqlstate[0] == '\0')
		memcpy(p->outcome.sqlstate, "08006", 6);
}

static void keep(struct pg *p, PGresult *res)
{
	if (p->results_n == RESULTS_MAX)
		PQclear(p->results[--p->results_n]);
	p->results[p->results_n++] = res;
}

static void forget_results(struct pg *p)
{
	for (size_t i = 0; i < p->results_n; i++)
		PQclear(p->results[i]);
	p->results_n = 0;
}

/* Answers the command. The callback may start the next one or close us. */
static void answer(struct pg *p)
{
	PGresult *results[RESULTS_MAX];
	size_t n = p->results_n;
	struct pg_outcome o = p->outcome;
	pg_cb done = p->done;

	memcpy(results, p->results, n * sizeof(*results));
	p->results_n = 0;
	o.results = results;
	o.results_n = n;
	p->outcome = (struct pg_outcome){.failure = PG_FAILURE_NONE};
	p->done = NULL;
	p->before = NULL;
	p->data = NULL;
	p->refused = p->unsent = false;
	if (done)
		done(p->done_arg, &o);
	for (size_t i = 0; i < n; i++)
		PQclear(results[i]);
}

/* Connecting and losing. */

static void wait_to_connect(struct pg *p)
{
	p->phase = PHASE_WAITING;
	(void)uv_timer_start(&p->timer, on_timer, backoff_next(&p->backoff), 0);
}

static void lost(struct pg *p, const char *text)
{
	char reason[256];
	bool was_up = p->phase >= PHASE_IDLE;
	bool under_way = was_up && p->phase != PHASE_IDLE;

	note_lost(p, text);
	memcpy(reason, p->outcome.message, sizeof(reason));
	unwatch(p);
	p->phase = PHASE_WAITING;
	if (under_way) {
		answer(p);
	} else {
		forget_results(p);
		p->outcome = (struct pg_outcome){.failure = PG_FAILURE_NONE};
		p->unsent = false;
	}
	PQfinish(p->conn);
	p->conn = NULL;
	if (p->phase == PHASE_CLOSED)
		return;
	wait_to_connect(p);
	if (p->cb.on_down)
		p->cb.on_down(p, p->arg, reason);
}

static void up(struct pg *p)
{
	(void)uv_timer_stop(&p->timer);
	backoff_reset(&p->backoff);
	p->phase = PHASE_IDLE;
	if (watch(p, UV_READABLE) < 0)
		lost(p, "no memory to watch the socket");
	else if (p->cb.on_up)
		p->cb.on_up(p, p->arg);
}

static void drop_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

static void connected(struct pg *p)
{
	unwatch(p);
	(void)PQsetNoticeReceiver(p->conn, drop_notice, NULL);
	if (PQsetnonblocking(p->conn, 1) != 0) {
		lost(p, PQerrorMessage(p->conn));
	} else if (!p->setup) {
		up(p);
	} else {
		p->phase = PHASE_SETUP;
		sent(p, PQsendQuery(p->conn, p->setup) == 1);
	}
}

/* PQconnectPoll may close the socket and open another one, even with the same number. */
static void connect_step(struct pg *p)
{
	PostgresPollingStatusType want;

	unwatch(p);
	want = PQconnectPoll(p->conn);
	if (want == PGRES_POLLING_OK)
		connected(p);
	else if (want == PGRES_POLLING_FAILED)
		lost(p, PQerrorMessage(p->conn));
	else if (watch(p, want == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE) < 0)
		lost(p, "cannot watch the socket");
}

/* What stands in the dsn goes before what is named in front of it. A peer that is gone without a
 * word is found in 30 s. */
#define SOCKET_NAMES \
	"tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count"
#define SOCKET_VALUES "30000", "10", "5", "4"

PGconn *pg_connect_blocking(const char *dsn, const char *name)
{
	static const char *const names[] = {
		"application_name", "connect_timeout", SOCKET_NAMES, "dbname", NULL};
	const char *const values[] = {name, "5", SOCKET_VALUES, dsn, NULL};

	return PQconnectdbParams(names, values, 1);
}

static void connect_start(struct pg *p)
{
	static const char *const names[] = {"application_name", SOCKET_NAMES, "dbname", NULL};
	const char *const values[] = {"hirundo-collector", SOCKET_VALUES, p->dsn, NULL};

	p->phase = PHASE_CONNECTING;
	(void)uv_timer_start(&p->timer, on_timer, CONNECT_MS, 0);
	p->conn = PQconnectStartParams(names, values, 1);
	if (!p->conn)
		lost(p, "out of memory");
	else if (PQstatus(p->conn) == CONNECTION_BAD)
		lost(p, PQerrorMessage(p->conn));
	else if (watch(p, UV_WRITABLE) < 0)
		lost(p, "cannot watch the socket");
}

static void on_timer(uv_timer_t *timer)
{
	struct pg *p = timer->data;

	if (p->phase == PHASE_WAITING)
		connect_start(p);
	else if (p->unsent)
		lost(p, PQerrorMessage(p->conn));
	else if (p->phase == PHASE_CONNECTING || p->phase == PHASE_SETUP)
		lost(p, "timeout while connecting");
}

/* A command's way. */

/* After something was handed to libpq: the rest follows from the loop, so that no callback is
 * called from inside the call that started a command. */
static void sent(struct pg *p, bool ok)
{
	if (!ok || watch(p, UV_READABLE | UV_WRITABLE) < 0) {
		unwatch(p);
		p->unsent = true;
		(void)uv_timer_start(&p->timer, on_timer, 0, 0);
	}
}

/* All results are there. */
static void ended(struct pg *p)
{
	PGTransactionStatusType t = PQtransactionStatus(p->conn);
	bool failed = p->outcome.failure != PG_FAILURE_NONE || p->refused;

	if (p->outcome.failure == PG_FAILURE_CONNECTION) {
		lost(p, "connection lost");
	} else if (p->phase == PHASE_SETUP && failed) {
		lost(p, p->outcome.message);
	} else if (p->phase == PHASE_SETUP) {
		forget_results(p);
		up(p);
	} else if (p->phase == PHASE_RUNNING && failed &&
		   (t == PQTRANS_INTRANS || t == PQTRANS_INERROR)) {
		p->phase = PHASE_ROLLBACK;
		sent(p, PQsendQuery(p->conn, "ROLLBACK") == 1);
	} else if (watch(p, UV_READABLE) < 0) { /* a socket is always ready to be written to */
		lost(p, "cannot watch the socket");
	} else {
		p->phase = PHASE_IDLE;
		answer(p);
	}
}

/* The server waits for COPY data. */
static int copy_begins(struct pg *p)
{
	/* Only pg_copy() may meet this, and once; another COPY in its text has no data. */
	bool ours = p->data && p->phase == PHASE_RUNNING && !p->refused && !p->fed;

	if (ours && p->before && !p->before(p->done_arg, p->results, p->results_n)) {
		p->refused = true;
		ours = false;
	}
	if (!ours)
		return PQputCopyEnd(p->conn, "not wanted");
	p->fed = true;
	p->phase = PHASE_FEEDING;
	return 1;
}

enum took {
	TOOK_ALL,
	TOOK_SOME,
	TOOK_COPY
};

static enum took take_results(struct pg *p)
{
	while (!PQisBusy(p->conn)) {
		PGresult *res = PQgetResult(p->conn);
		ExecStatusType status = PQresultStatus(res);

		if (!res)
			return TOOK_ALL;
		if (status == PGRES_COPY_IN) {
			PQclear(res);
			return TOOK_COPY;
		}
		if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)
			note_error(p, res);
		if (p->phase == PHASE_ROLLBACK || (p->refused && status == PGRES_FATAL_ERROR))
			PQclear(res); /* not the caller's */
		else
			keep(p, res);
	}
	return TOOK_SOME;
}

/* @return 1 all is fed, 0 the socket is full, -1 lost */
static int feed(struct pg *p)
{
	while (p->sent < p->data_n) {
		size_t n = p->data_n - p->sent < COPY_CHUNK ? p->data_n - p->sent : COPY_CHUNK;
		int r = PQputCopyData(p->conn, (const char *)p->data + p->sent, (int)n);

		if (r != 1)
			return r; /* 0: libpq has no room, so the socket is full */
		p->sent += n;
		r = PQflush(p->conn);
		if (r != 0)
			return r < 0 ? -1 : 0;
	}
	return PQputCopyEnd(p->conn, NULL);
}

/* What the server said before the connection broke names the reason better than the system does. */
static void last_words(struct pg *p)
{
	PGresult *res;

	while (p->phase != PHASE_FEEDING && !PQisBusy(p->conn) && (res = PQgetResult(p->conn))) {
		ExecStatusType status = PQresultStatus(res);

		if (status == PGRES_FATAL_ERROR)
			note_error(p, res);
		PQclear(res);
		if (status == PGRES_COPY_IN)
			break;
	}
}

static void broken(struct pg *p)
{
	last_words(p);
	lost(p, PQerrorMessage(p->conn));
}

/* Does what can be done without waiting; then watches for what it waits for. */
static void pump(struct pg *p)
{
	for (;;) {
		int r = PQflush(p->conn);
		enum took took;

		if (r == 0 && p->phase == PHASE_FEEDING) {
			r = feed(p);
			if (r == 1) {
				p->phase = PHASE_RUNNING;
				continue;
			}
			r = r == 0 ? 1 : -1;
		}
		if (r < 0) {
			(void)PQconsumeInput(p->conn);
			broken(p);
			return;
		}
		took = p->phase == PHASE_FEEDING ? TOOK_SOME : take_results(p);
		if (took == TOOK_ALL) {
			ended(p);
			return;
		}
		if (took == TOOK_COPY) {
			if (copy_begins(p) >= 0)
				continue;
			broken(p);
			return;
		}
		if (watch(p, r > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE) < 0)
			lost(p, "cannot watch the socket");
		return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct pg *p = poll->data;

	(void)events; /* reading from a socket without data does no harm */
	if (!p)
		return;
	if (p->phase == PHASE_CONNECTING)
		connect_step(p);
	else if (status < 0)
		lost(p, uv_strerror(status));
	else if (PQconsumeInput(p->conn) != 1)
		broken(p);
	else if (p->phase == PHASE_IDLE)
		(void)PQisBusy(p->conn); /* takes notices and parameter changes */
	else
		pump(p);
}

/* The interface. */

int pg_new(uv_loop_t *loop, const char *dsn, const char *setup, const struct pg_callbacks *cb,
	void *arg, struct pg **ret)
{
	struct pg *p = calloc(1, sizeof(*p));
	int r = -ENOMEM;

	if (!p)
		return r;
	p->loop = loop;
	p->cb = *cb;
	p->arg = arg;
	p->dsn = strdup(dsn);
	p->setup = setup ? strdup(setup) : NULL;
	if (!p->dsn || (setup && !p->setup))
		goto fail;
	r = uv_timer_init(loop, &p->timer);
	if (r < 0)
		goto fail;
	p->timer.data = p;
	backoff_init(&p->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, 0);
	p->phase = PHASE_WAITING;
	(void)uv_timer_start(&p->timer, on_timer, 0, 0);
	*ret = p;
	return 0;
fail:
	free(p->dsn);
	free(p->setup);
	free(p);
	return r;
}

bool pg_up(const struct pg *p)
{
	return p->phase >= PHASE_IDLE && p->phase != PHASE_CLOSED;
}

bool pg_idle(const struct pg *p)
{
	return p->phase == PHASE_IDLE;
}

static void command(struct pg *p, pg_cb cb, void *arg)
{
	assert(p->phase == PHASE_IDLE);
	p->phase = PHASE_RUNNING;
	p->done = cb;
	p->done_arg = arg;
}

void pg_query(struct pg *p, const char *sql, pg_cb cb, void *arg)
{
	command(p, cb, arg);
	sent(p, PQsendQuery(p->conn, sql) == 1);
}

void pg_copy(struct pg *p, const char *sql, const uint8_t *data, size_t n,
	bool (*before)(void *arg, PGresult *const *results, size_t results_n), pg_cb cb, void *arg)
{
	command(p, cb, arg);
	p->before = before;
	p->data = data;
	p->data_n = n;
	p->sent = 0;
	p->fed = false;
	sent(p, PQsendQuery(p->conn, sql) == 1);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct pg *p = h->data;
	void (*closed)(void *) = p->closed;
	void *arg = p->closed_arg;

	free(p->dsn);
	free(p->setup);
	free(p);
	if (closed)
		closed(arg);
}

void pg_close(struct pg *p, void (*closed)(void *arg), void *arg)
{
	bool under_way = p->done != NULL;

	assert(p->phase != PHASE_CLOSED);
	p->phase = PHASE_CLOSED;
	p->closed = closed;
	p->closed_arg = arg;
	unwatch(p);
	if (under_way) {
		note_lost(p, "closed");
		answer(p);
	}
	forget_results(p);
	PQfinish(p->conn);
	p->conn = NULL;
	uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}
