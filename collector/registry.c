#include "collector/registry.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "collector/pg.h"
#include "collector/text.h"
#include "common/clock.h"
#include "common/log.h"

/** So a disabled sensor is cut within a minute also when one refresh fails. */
#define REFRESH_US (20 * US_PER_S)
#define REFRESH_RETRY_US (2 * US_PER_S)
#define ANSWER_US (4 * US_PER_S)
#define TICK_MS 100u
/** Ends of connections that wait to be noted; more are forgotten (and closed by the next HELLO). */
#define NOTES_MAX 4096u
#define URN "urn:hirundo:sensor:"

/* Short: everyone waits behind a HELLO that hangs. */
static const char setup[] =
	"SET timezone = 'UTC'; SET standard_conforming_strings = on; SET client_encoding = 'UTF8';"
	"SET search_path = pg_catalog; SET statement_timeout = '4s'; SET lock_timeout = '2s';"
	"SET idle_in_transaction_session_timeout = '10s'";

enum kind {
	KIND_HELLO,
	KIND_CONFIRM,
	KIND_NOTE
};

struct registry_request {
	struct registry_request *prev, *next;
	struct registry *g;
	enum kind kind;
	bool cancelled;
	bool refreshed; /* the copy was read anew for it */
	int64_t deadline_us;
	struct registry_hello *hello;
	registry_hello_cb hello_cb;
	struct registry_confirm *confirm;
	registry_confirm_cb confirm_cb;
	void *arg;
	/* A note. */
	int32_t sensor_id;
	uint64_t connection;
	char reason[81];
};

struct registry {
	struct registry_callbacks cb;
	void *arg;
	struct pg *pg;
	uv_timer_t tick;
	struct registry_sensor *sensors; /* by name */
	size_t sensors_n;
	unsigned enabled_n;
	int64_t refresh_us; /* monotonic: when the copy is read again */
	struct registry_request *queue; /* utlist; the first one may be under way */
	struct registry_request *running;
	size_t notes_n;
	bool refreshing;
	struct buf sql;
	struct log_limit log_down, log_failed;
	unsigned handles;
	bool closing;
	void (*done)(void *arg);
	void *done_arg;
};

static void next_request(struct registry *r);

/* Requests. */

/* Once, unless cancelled; hello and confirm are the caller's again. */
static void tell(struct registry_request *q, enum registry_res res)
{
	bool wanted = !q->cancelled;

	q->cancelled = true;
	if (wanted && q->kind == KIND_HELLO)
		q->hello_cb(q->arg, q->hello, res);
	else if (wanted && q->kind == KIND_CONFIRM)
		q->confirm_cb(q->arg, q->confirm, res);
}

static void answer(struct registry_request *q, enum registry_res res)
{
	struct registry *r = q->g;

	DL_DELETE(r->queue, q);
	if (r->running == q)
		r->running = NULL;
	if (q->kind == KIND_NOTE)
		r->notes_n--;
	tell(q, res);
	free(q);
}

static void failed(struct registry_request *q, const struct pg_outcome *o)
{
	unsigned suppressed;

	if (o->failure != PG_FAILURE_CONNECTION &&
		log_limit_pass(&q->g->log_failed, US_PER_S, &suppressed))
		log_error("registry", "request=%d sqlstate=%s reason=%s suppressed=%u",
			(int)q->kind, o->sqlstate, log_quote(o->message), suppressed);
	/* Our own words have no address in them; the server's might. */
	if (q->kind == KIND_HELLO && !q->cancelled)
		(void)snprintf(q->hello->reason, sizeof(q->hello->reason), "%.127s",
			strncmp(o->message, "address ", 8) == 0 ? o->message : "");
	answer(q, o->failure == PG_FAILURE_DATA && q->kind == KIND_HELLO ? REGISTRY_INVALID
									 : REGISTRY_UNAVAILABLE);
}

static int64_t number(const PGresult *res, int row, int column)
{
	return strtoll(PQgetvalue(res, row, column), NULL, 10);
}

/* The copy of hirundo.sensor. */

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct registry_sensor *)a)->name,
		((const struct registry_sensor *)b)->name);
}

static const struct registry_sensor *find(const struct registry *r, const char *name)
{
	struct registry_sensor key = {0};

	(void)snprintf(key.name, sizeof(key.name), "%s", name);
	return r->sensors_n == 0
		       ? NULL
		       : bsearch(&key, r->sensors, r->sensors_n, sizeof(key), compare_names);
}

static struct registry_sensor *read_sensors(const PGresult *res, size_t *ret_n)
{
	size_t n = (size_t)PQntuples(res), used = 0;
	struct registry_sensor *list = calloc(n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++) {
		const char *urn = PQgetvalue(res, (int)i, 1);
		struct registry_sensor *s = &list[used];

		if (strncmp(urn, URN, strlen(URN)) != 0 ||
			strlen(urn + strlen(URN)) >= sizeof(s->name))
			continue; /* no certificate can carry it */
		s->sensor_id = (int32_t)number(res, (int)i, 0);
		memcpy(s->name, urn + strlen(URN), strlen(urn + strlen(URN)) + 1);
		s->allow_capture = *PQgetvalue(res, (int)i, 2) == 't';
		s->disabled = *PQgetvalue(res, (int)i, 3) == 't';
		used++;
	}
	*ret_n = used;
	return list;
}

static void take_sensors(struct registry *r, const PGresult *res)
{
	struct registry_sensor *old = r->sensors, *fresh;
	size_t old_n = r->sensors_n, n;

	fresh = read_sensors(res, &n);
	if (!fresh)
		return;
	qsort(fresh, n, sizeof(*fresh), compare_names);
	r->sensors = fresh;
	r->sensors_n = n;
	r->enabled_n = 0;
	for (size_t i = 0; i < n; i++)
		r->enabled_n += !fresh[i].disabled;
	/* Callbacks may ask us, but the lists stay: only the next refresh replaces them. */
	for (size_t i = 0; i < n; i++)
		if (fresh[i].disabled && r->cb.on_disabled)
			r->cb.on_disabled(r->arg, fresh[i].sensor_id);
	for (size_t i = 0; i < old_n; i++)
		if (!find(r, old[i].name) && r->cb.on_disabled)
			r->cb.on_disabled(r->arg, old[i].sensor_id);
	free(old);
}

static void on_refresh(void *arg, const struct pg_outcome *o)
{
	struct registry *r = arg;

	r->refreshing = false;
	if (o->failure == PG_FAILURE_NONE && o->results_n == 1) {
		r->refresh_us = clock_mono_us() + REFRESH_US;
		take_sensors(r, o->results[0]);
	} else {
		log_error("registry", "request=refresh sqlstate=%s reason=%s", o->sqlstate,
			log_quote(o->message));
		r->refresh_us = clock_mono_us() + REFRESH_RETRY_US;
	}
	next_request(r);
}

static void refresh(struct registry *r)
{
	r->refreshing = true;
	pg_query(r->pg,
		"SELECT sensor_id, urn, allow_capture, disabled_at IS NOT NULL FROM hirundo.sensor",
		on_refresh, r);
}

/* HELLO. */

/* 'a.b.c.d/n' with the bits behind n zero, as cidr wants it. */
static int add_cidr(struct buf *b, const struct registry_address *a, const uint8_t *bytes)
{
	uint8_t net[16] = {0};
	char text[INET6_ADDRSTRLEN];
	unsigned size = a->family == 4 ? 32 : 128;
	unsigned length = a->prefix_length < size ? a->prefix_length : size;

	memcpy(net, bytes, (length + 7) / 8);
	if (length % 8)
		net[length / 8] &= (uint8_t)(0xff00 >> length % 8);
	if (!inet_ntop(a->family == 4 ? AF_INET : AF_INET6, net, text, sizeof(text)))
		return -EINVAL;
	return text_add(b, "%s/%u", text, length);
}

#define TRY(e, call)                  \
	do {                          \
		if ((e) == 0)         \
			(e) = (call); \
	} while (0)

static int hello_sql(struct registry *r, const struct registry_hello *h, int32_t id)
{
	struct buf *b = &r->sql;
	int e = 0;

	buf_clear(b);
	TRY(e, text_add(b,
		       "SELECT allow_capture, disabled_at IS NOT NULL FROM hirundo.sensor"
		       " WHERE sensor_id = %d;\n",
		       id));
	/* One statement a stream: a record that is being committed is waited for. */
	for (size_t i = 0; i < h->streams_n; i++) {
		const struct registry_stream *s = &h->streams[i];

		TRY(e, text_add(b,
			       "INSERT INTO hirundo.ingest_state (sensor_id, epoch, offered_seq,"
			       " offered_packets, offered_at) VALUES (%d, %" PRIu64 ", %" PRIu64
			       ", %" PRIu64 ", now()) ON CONFLICT (sensor_id, epoch) DO UPDATE SET"
			       " offered_seq = excluded.offered_seq,"
			       " offered_packets = excluded.offered_packets, offered_at = "
			       "excluded.offered_at"
			       " RETURNING last_seq, last_checksum, packets_total;\n",
			       id, s->epoch, s->offered_seq, s->offered_packets));
	}
	TRY(e, text_add(b, "SELECT unnest(hirundo.issue_targets(%d, '{", id));
	for (size_t i = 0; i < h->addresses_n; i++) {
		TRY(e, text_add(b, "%s", i > 0 ? "," : ""));
		TRY(e, add_cidr(b, &h->addresses[i], h->addresses[i].address));
	}
	TRY(e, text_add(b, "}'::cidr[], '{"));
	for (size_t i = 0; i < h->addresses_n; i++) {
		TRY(e, text_add(b, "%s", i > 0 ? "," : ""));
		TRY(e, h->addresses[i].has_captured
				? add_cidr(b, &h->addresses[i], h->addresses[i].captured)
				: text_add(b, "NULL"));
	}
	TRY(e, text_add(b, "}'::cidr[], '{"));
	for (size_t i = 0; i < h->addresses_n; i++)
		TRY(e, text_add(b, "%s%" PRIu32, i > 0 ? "," : "", h->addresses[i].first_target));
	TRY(e, text_add(b,
		       "}'::int[], %" PRIu32
		       "));\nSELECT generation, ordinal, complete, epoch FROM "
		       "hirundo.ingest_capture"
		       " WHERE sensor_id = %d AND xxh3 = %" PRId64
		       " ORDER BY generation DESC LIMIT 1;\n",
		       h->next_target, id, (int64_t)h->capture_xxh3));
	TRY(e, text_add(
		       b, "SELECT hirundo.connection_opened(%d, %" PRIu64 ", ", id, h->connection));
	TRY(e, text_add_quoted(b, h->peer));
	TRY(e, text_add(b, ", "));
	TRY(e, text_add_quoted(b, h->software));
	TRY(e, text_add(b, ")"));
	return e;
}

static enum registry_res take_hello(struct registry_hello *h, const struct pg_outcome *o)
{
	const PGresult *sensor, *targets, *capture;
	size_t n = h->streams_n;

	if (o->results_n != n + 4)
		return REGISTRY_UNAVAILABLE;
	sensor = o->results[0];
	targets = o->results[n + 1];
	capture = o->results[n + 2];
	if (PQntuples(sensor) != 1)
		return REGISTRY_UNKNOWN;
	h->sensor.allow_capture = *PQgetvalue(sensor, 0, 0) == 't';
	h->sensor.disabled = *PQgetvalue(sensor, 0, 1) == 't';
	if (h->sensor.disabled)
		return REGISTRY_DISABLED;
	for (size_t i = 0; i < n; i++) {
		const PGresult *state = o->results[1 + i];

		if (PQntuples(state) != 1)
			return REGISTRY_UNAVAILABLE;
		h->streams[i].last_seq = (uint64_t)number(state, 0, 0);
		h->streams[i].last_checksum = (uint64_t)number(state, 0, 1);
		h->streams[i].packets_total = (uint64_t)number(state, 0, 2);
	}
	if ((size_t)PQntuples(targets) != h->addresses_n)
		return REGISTRY_UNAVAILABLE;
	for (size_t i = 0; i < h->addresses_n; i++)
		h->addresses[i].first_target = (uint32_t)number(targets, (int)i, 0);
	h->capture_generation = 0;
	h->capture_ordinal = 0;
	h->capture_complete = false;
	h->capture_epoch = 0;
	if (h->has_capture && PQntuples(capture) == 1) {
		h->capture_generation = (uint32_t)number(capture, 0, 0);
		h->capture_ordinal = (uint64_t)number(capture, 0, 1);
		h->capture_complete = *PQgetvalue(capture, 0, 2) == 't';
		h->capture_epoch = (uint64_t)number(capture, 0, 3);
	}
	return REGISTRY_OK;
}

static void on_hello(void *arg, const struct pg_outcome *o)
{
	struct registry *r = arg;
	struct registry_request *q = r->running;

	if (o->failure != PG_FAILURE_NONE)
		failed(q, o);
	else
		answer(q, q->cancelled ? REGISTRY_UNAVAILABLE : take_hello(q->hello, o));
	next_request(r);
}

/* @return false where it was answered at once, or waits for a refresh */
static bool start_hello(struct registry *r, struct registry_request *q)
{
	struct registry_hello *h = q->hello;
	const struct registry_sensor *s = find(r, h->name);

	if (!s || s->disabled) {
		if (q->refreshed) {
			answer(q, s ? REGISTRY_DISABLED : REGISTRY_UNKNOWN);
		} else {
			q->refreshed = true; /* perhaps enrolled or enabled a moment ago */
			refresh(r);
		}
		return false;
	}
	h->sensor = *s;
	/* A name for the connection's row, no secret. */
	if (getrandom(&h->connection, sizeof(h->connection), 0) != sizeof(h->connection))
		h->connection = (uint64_t)clock_wall_us();
	h->connection &= INT64_MAX;
	if (hello_sql(r, h, s->sensor_id) < 0) {
		answer(q, REGISTRY_UNAVAILABLE);
		return false;
	}
	r->running = q;
	pg_query(r->pg, text_str(&r->sql), on_hello, r);
	return true;
}

/* CONFIRM. */

static void on_confirm(void *arg, const struct pg_outcome *o)
{
	struct registry *r = arg;
	struct registry_request *q = r->running;
	struct registry_confirm *c = q->confirm;

	if (o->failure != PG_FAILURE_NONE || o->results_n != 1) {
		failed(q, o);
	} else {
		if (!q->cancelled) {
			bool found = PQntuples(o->results[0]) == 1;

			c->found_seq = found ? (uint64_t)number(o->results[0], 0, 0) : 0;
			c->found_checksum = found ? (uint64_t)number(o->results[0], 0, 1) : 0;
			c->found_packets_total = found ? (uint64_t)number(o->results[0], 0, 2) : 0;
		}
		answer(q, REGISTRY_OK);
	}
	next_request(r);
}

static bool start_confirm(struct registry *r, struct registry_request *q)
{
	const struct registry_confirm *c = q->confirm;
	struct buf *b = &r->sql;
	int e = 0;

	buf_clear(b);
	TRY(e, text_add(b,
		       "SELECT seq, checksum, packets_total FROM hirundo.ingest_batch WHERE "
		       "sensor_id = %d"
		       " AND epoch = %" PRIu64
		       " AND (seq, checksum) IN (VALUES (0::bigint, 0::bigint)",
		       c->sensor_id, c->epoch));
	for (size_t i = 0; i < c->n; i++)
		TRY(e, text_add(b, ",(%" PRIu64 ",%" PRId64 ")", c->seq[i],
			       (int64_t)c->checksum[i]));
	TRY(e, text_add(b, ") ORDER BY seq DESC LIMIT 1"));
	if (e < 0) {
		answer(q, REGISTRY_UNAVAILABLE);
		return false;
	}
	r->running = q;
	pg_query(r->pg, text_str(b), on_confirm, r);
	return true;
}

/* Notes. */

static void on_note(void *arg, const struct pg_outcome *o)
{
	struct registry *r = arg;

	if (o->failure != PG_FAILURE_NONE)
		failed(r->running, o);
	else
		answer(r->running, REGISTRY_OK);
	next_request(r);
}

static bool start_note(struct registry *r, struct registry_request *q)
{
	struct buf *b = &r->sql;
	int e = 0;

	buf_clear(b);
	TRY(e, text_add(b, "SELECT hirundo.connection_closed(%d, %" PRIu64 ", ", q->sensor_id,
		       q->connection));
	TRY(e, text_add_quoted(b, q->reason));
	TRY(e, text_add(b, ")"));
	if (e < 0) {
		answer(q, REGISTRY_UNAVAILABLE);
		return false;
	}
	r->running = q;
	pg_query(r->pg, text_str(b), on_note, r);
	return true;
}

/* One after the other. */

static bool start(struct registry *r, struct registry_request *q)
{
	switch (q->kind) {
	case KIND_HELLO: return start_hello(r, q);
	case KIND_CONFIRM: return start_confirm(r, q);
	case KIND_NOTE: return start_note(r, q);
	}
	return false;
}

static void next_request(struct registry *r)
{
	while (!r->closing && pg_idle(r->pg) && !r->running && !r->refreshing) {
		if (clock_mono_us() >= r->refresh_us) {
			refresh(r);
		} else if (!r->queue) {
			break;
		} else if (r->queue->cancelled) {
			answer(r->queue, REGISTRY_UNAVAILABLE);
		} else {
			(void)start(r, r->queue);
		}
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct registry *r = timer->data;
	int64_t now = clock_mono_us();
	struct registry_request *q, *next;

	/* Callbacks may cancel or add others, so from the front each time. */
	do {
		DL_FOREACH_SAFE (r->queue, q, next)
			if (!q->cancelled && q->kind != KIND_NOTE && now >= q->deadline_us)
				break;
		if (q)
			tell(q, REGISTRY_UNAVAILABLE);
	} while (q);
	next_request(r);
}

static void on_up(struct pg *p, void *arg)
{
	struct registry *r = arg;

	(void)p;
	log_info("registry", "state=up");
	r->refresh_us = 0;
	next_request(r);
}

static void on_down(struct pg *p, void *arg, const char *reason)
{
	struct registry *r = arg;
	unsigned suppressed;

	(void)p;
	if (log_limit_pass(&r->log_down, 5 * US_PER_S, &suppressed))
		log_warn("registry", "state=down reason=%s suppressed=%u", log_quote(reason),
			suppressed);
}

static int add_request(struct registry *r, enum kind kind, struct registry_request **ret)
{
	struct registry_request *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->g = r;
	q->kind = kind;
	q->deadline_us = clock_mono_us() + ANSWER_US;
	DL_APPEND(r->queue, q);
	*ret = q;
	return 0;
}

/* The interface. Answers come from the loop: a request starts at once only where pg takes it, which
 * calls nothing back; what needs no query is answered by the tick. */

int registry_hello(struct registry *r, struct registry_hello *hello, registry_hello_cb cb,
	void *arg, struct registry_request **ret)
{
	struct registry_request *q;
	int e = add_request(r, KIND_HELLO, &q);

	if (e < 0)
		return e;
	q->hello = hello;
	q->hello_cb = cb;
	q->arg = arg;
	*ret = q;
	(void)uv_timer_start(&r->tick, on_tick, 0, TICK_MS);
	return 0;
}

int registry_confirm(struct registry *r, struct registry_confirm *c, registry_confirm_cb cb,
	void *arg, struct registry_request **ret)
{
	struct registry_request *q;
	int e = add_request(r, KIND_CONFIRM, &q);

	if (e < 0)
		return e;
	q->confirm = c;
	q->confirm_cb = cb;
	q->arg = arg;
	*ret = q;
	(void)uv_timer_start(&r->tick, on_tick, 0, TICK_MS);
	return 0;
}

void registry_cancel(struct registry_request *q)
{
	q->cancelled = true;
}

void registry_disconnected(
	struct registry *r, int32_t sensor_id, uint64_t connection, const char *reason)
{
	struct registry_request *q;

	if (r->closing || r->notes_n >= NOTES_MAX || add_request(r, KIND_NOTE, &q) < 0)
		return;
	r->notes_n++;
	q->sensor_id = sensor_id;
	q->connection = connection;
	(void)snprintf(q->reason, sizeof(q->reason), "%s", reason);
	next_request(r);
}

bool registry_up(const struct registry *r)
{
	return pg_up(r->pg);
}

unsigned registry_sensors(const struct registry *r)
{
	return r->enabled_n;
}

int registry_new(uv_loop_t *loop, const char *dsn, const struct registry_callbacks *cb, void *arg,
	struct registry **ret)
{
	static const struct pg_callbacks calls = {.on_up = on_up, .on_down = on_down};
	struct registry *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->cb = *cb;
	r->arg = arg;
	buf_init(&r->sql, 4u * 1024u * 1024u);
	e = pg_new(loop, dsn, setup, &calls, r, &r->pg);
	if (e < 0) {
		free(r);
		return e;
	}
	(void)uv_timer_init(loop, &r->tick); /* can not fail */
	r->tick.data = r;
	(void)uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
	*ret = r;
	return 0;
}

static void on_closed(struct registry *r)
{
	if (--r->handles == 0 && r->done)
		r->done(r->done_arg);
}

static void on_pg_closed(void *arg)
{
	on_closed(arg);
}

static void on_tick_closed(uv_handle_t *h)
{
	on_closed(h->data);
}

void registry_close(struct registry *r, void (*done)(void *arg), void *arg)
{
	r->closing = true;
	r->done = done;
	r->done_arg = arg;
	r->handles = 2;
	pg_close(r->pg, on_pg_closed, r);
	while (r->queue)
		answer(r->queue, REGISTRY_UNAVAILABLE);
	uv_close((uv_handle_t *)&r->tick, on_tick_closed);
}

struct registry *registry_free(struct registry *r)
{
	if (r) {
		buf_done(&r->sql);
		free(r->sensors);
		free(r);
	}
	return NULL;
}
