#include "collector/dashboard/answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/dashboard/format.h"
#include "collector/dashboard/functions.h"
#include "collector/dashboard/query.h"
#include "collector/dashboard/response.h"
#include "collector/text.h"
#include "common/clock.h"
#include "common/log.h"

/** Answers under way, waiting ones included. */
#define ANSWERS_MAX 512u
/** What an answer may hold that its client has not taken: enough to give back the connection of
 *  most answers at once, while all together hold less than BUFFERED_MAX; else little. */
#define BUFFER_LARGE (1u << 20)
#define BUFFER_SMALL (64u << 10)
#define BUFFERED_MAX (16u << 20)
/** No row is longer. */
#define BUFFER_MAX (16u << 20)
/** Handed to libmicrohttpd at a time. */
#define CHUNK 16384u
/** The database's own timeout comes first; this is for one that does not answer at all. */
#define GRACE_MS 5000u
/** From the first row on, a client that reads slowly may hold a connection of the pool so long. */
#define HOLD_MS 30000u
#define RETRY_AFTER_S "2"

enum phase {
	PHASE_ASKING, /* the database has not said anything yet */
	PHASE_SAYING, /* there is a response; rows may follow */
	PHASE_CUT, /* the response cannot be ended well */
};

struct answer {
	struct answer_host *host;
	struct answer *next, **at; /* of the host's list */
	struct MHD_Connection *connection;
	bool suspended;
	bool over; /* libmicrohttpd has forgotten the request */
	unsigned handles;

	struct request request;
	char *viewer;
	const struct function *function;
	bool csv;
	struct buf sql, columns_sql; /* zero-terminated */
	struct query_statement statement;
	struct query query;

	enum phase phase;
	unsigned status;
	bool error; /* the whole answer is an error */
	bool head_said; /* rows have begun */
	bool rows_said; /* one at least */
	bool all; /* nothing follows what is in out */
	struct buf out;
	uint64_t bytes;

	uv_timer_t timer;
	uv_poll_t client;
};

/* --- memory -------------------------------------------------------------------------------------
 */

static void free_one(struct answer *a)
{
	request_done(&a->request);
	free(a->viewer);
	buf_done(&a->sql);
	buf_done(&a->columns_sql);
	buf_done(&a->out);
	free(a);
}

/* The host may be gone by now. */
static void on_closed(uv_handle_t *h)
{
	struct answer *a = h->data;

	if (--a->handles == 0)
		free_one(a);
}

/* What all answers hold; called around each change of out. */
static void count_out(struct answer *a, size_t before)
{
	a->host->buffered += buf_len(&a->out) - before;
}

/* --- the connection -----------------------------------------------------------------------------
 */

static void client_gone(struct answer *a);

static void on_client(uv_poll_t *p, int status, int events)
{
	struct answer *a = p->data;

	/* A client that closes its half is taken for gone, too: nothing that speaks HTTP to people
	 * does so and waits. */
	if (status < 0 || (events & UV_DISCONNECT))
		client_gone(a);
}

static void suspend(struct answer *a)
{
	if (a->suspended)
		return;
	a->suspended = true;
	MHD_suspend_connection(a->connection);
	(void)uv_poll_start(&a->client, UV_DISCONNECT, on_client);
}

static void resume(struct answer *a)
{
	if (!a->suspended)
		return;
	a->suspended = false;
	(void)uv_poll_stop(&a->client);
	MHD_resume_connection(a->connection);
	a->host->kick(a->host->arg);
}

static void cut(struct answer *a)
{
	query_abort(&a->query);
	(void)uv_timer_stop(&a->timer);
	a->phase = PHASE_CUT;
	resume(a);
}

static void client_gone(struct answer *a)
{
	a->host->gone++;
	cut(a);
}

/* --- errors -------------------------------------------------------------------------------------
 */

static int add_error(struct buf *out, const char *code, const char *message, const char *hint)
{
	int r = text_add(out, "{\"error\": {\"code\": ");

	if (r == 0)
		r = format_json_text(out, code);
	if (r == 0)
		r = text_add(out, ", \"message\": ");
	if (r == 0)
		r = format_json_text(out, message);
	if (r == 0)
		r = text_add(out, ", \"hint\": ");
	if (r == 0)
		r = hint && *hint ? format_json_text(out, hint) : text_add(out, "null");
	return r < 0 ? r : text_add(out, "}}\n");
}

/* The whole answer becomes an error; where rows were sent already it is cut instead. */
static void fail(
	struct answer *a, unsigned status, const char *code, const char *message, const char *hint)
{
	size_t before = buf_len(&a->out);
	int r;

	(void)uv_timer_stop(&a->timer);
	if (a->phase != PHASE_ASKING) {
		cut(a);
		return;
	}
	buf_clear(&a->out);
	r = add_error(&a->out, code, message, hint);
	count_out(a, before);
	a->status = status;
	a->error = a->all = true;
	a->phase = r < 0 ? PHASE_CUT : PHASE_SAYING;
	resume(a);
}

/* Which status says whose business it is to do something about it. Classes: PostgreSQL,
 * "PostgreSQL Error Codes". */
static unsigned status_of(const char *sqlstate)
{
	static const struct {
		const char *begin;
		unsigned status;
	} states[] = {
		{"42501", MHD_HTTP_FORBIDDEN},
		{"42883",
			MHD_HTTP_INTERNAL_SERVER_ERROR}, /* no such function: the schema is older */
		{"42P01", MHD_HTTP_INTERNAL_SERVER_ERROR},
		{"42704", MHD_HTTP_INTERNAL_SERVER_ERROR},
		{"57014", MHD_HTTP_GATEWAY_TIMEOUT},
		{"55000", MHD_HTTP_BAD_REQUEST}, /* as: that period's rollups were dropped */
		{"22", MHD_HTTP_BAD_REQUEST},
		{"42", MHD_HTTP_BAD_REQUEST},
		{"0A", MHD_HTTP_BAD_REQUEST},
		{"P0", MHD_HTTP_BAD_REQUEST},
		{"08", MHD_HTTP_SERVICE_UNAVAILABLE},
		{"40", MHD_HTTP_SERVICE_UNAVAILABLE},
		{"53", MHD_HTTP_SERVICE_UNAVAILABLE},
		{"55", MHD_HTTP_SERVICE_UNAVAILABLE},
		{"57", MHD_HTTP_SERVICE_UNAVAILABLE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strncmp(states[i].begin, sqlstate, strlen(states[i].begin)) == 0)
			return states[i].status;
	return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

static void fail_timeout(struct answer *a)
{
	fail(a, MHD_HTTP_GATEWAY_TIMEOUT, "57014", "this takes longer than is allowed here",
		"Ask for a shorter period or fewer hosts, or ask in SQL.");
}

/* Of errors that are the asker's business the text is shown; others go to the log alone. */
static void fail_refused(struct answer *a, const struct query_error *e)
{
	unsigned status = status_of(e->sqlstate);

	if (status == MHD_HTTP_BAD_REQUEST || status == MHD_HTTP_FORBIDDEN) {
		fail(a, status, e->sqlstate, e->message, e->hint);
		return;
	}
	if (status == MHD_HTTP_GATEWAY_TIMEOUT) {
		fail_timeout(a);
		return;
	}
	log_warn("database", "function=%s sqlstate=%s reason=%s", a->function->name, e->sqlstate,
		log_quote(e->message));
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		fail(a, status, e->sqlstate, "the database cannot answer now", "Try again soon.");
	else
		fail(a, status, e->sqlstate, "the database could not answer",
			"The dashboard's log says why.");
}

static void on_timer(uv_timer_t *t)
{
	struct answer *a = t->data;

	if (a->phase == PHASE_ASKING) {
		query_abort(&a->query);
		fail_timeout(a);
	} else if (query_running(&a->query)) {
		log_info("http", "function=%s note=\"a client that reads too slowly was cut off\"",
			a->function->name);
		cut(a);
	}
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static void check_flow(struct answer *a)
{
	size_t limit = a->host->buffered < BUFFERED_MAX ? BUFFER_LARGE : BUFFER_SMALL;

	if (query_running(&a->query) && buf_len(&a->out) >= limit)
		query_pause(&a->query);
}

/* There is something to say: rows, or their end. */
static void say(struct answer *a)
{
	if (a->phase == PHASE_ASKING) {
		a->phase = PHASE_SAYING;
		a->status = MHD_HTTP_OK;
		(void)uv_timer_start(&a->timer, on_timer, HOLD_MS, 0);
	}
	resume(a);
}

static void fail_memory(struct answer *a)
{
	query_abort(&a->query);
	fail(a, MHD_HTTP_INTERNAL_SERVER_ERROR, "53200", "out of memory", NULL);
}

static int on_begins(void *arg, PGconn *conn)
{
	struct answer *a = arg;
	struct buf shown;
	int r;

	(void)uv_timer_start(
		&a->timer, on_timer, (uint64_t)(a->host->statement_us / US_PER_MS) + GRACE_MS, 0);
	if (a->csv)
		return 0;
	buf_init(&shown, BUFFER_MAX);
	r = function_shown(a->function, &a->request, conn, &shown);
	if (r == 0)
		r = text_add(&a->out, "{\"function\": \"%s\", \"sql\": ", a->function->name);
	if (r == 0)
		r = format_json_text(&a->out, text_str(&shown));
	buf_done(&shown);
	count_out(a, 0);
	return r;
}

static void on_columns(void *arg, const PGresult *res)
{
	struct answer *a = arg;
	size_t before = buf_len(&a->out);
	int r;

	if (a->csv)
		return;
	r = text_add(&a->out, ",\n\"columns\": %s,\n\"rows\": [",
		res && PQntuples(res) == 1 && !PQgetisnull(res, 0, 0) ? PQgetvalue(res, 0, 0)
								      : "[]");
	count_out(a, before);
	if (r < 0)
		fail_memory(a);
}

static int add_rows(struct answer *a, const PGresult *res)
{
	int r = 0;

	if (a->csv) {
		if (!a->head_said)
			r = format_csv_header(&a->out, res);
		return r < 0 ? r : format_csv_rows(&a->out, res);
	}
	for (int i = 0; r == 0 && i < PQntuples(res); i++) {
		r = text_add(&a->out, a->rows_said ? ",\n" : "\n");
		if (r == 0)
			r = buf_add(&a->out, PQgetvalue(res, i, 0), (size_t)PQgetlength(res, i, 0));
		a->rows_said = true;
	}
	return r;
}

static void on_row(void *arg, const PGresult *res)
{
	struct answer *a = arg;
	size_t before = buf_len(&a->out);
	int r = add_rows(a, res);

	a->head_said = true;
	count_out(a, before);
	if (r < 0) {
		fail_memory(a);
		return;
	}
	/* An empty result is said at its end, which may still be an error. */
	if (PQntuples(res) > 0 && buf_len(&a->out) >= CHUNK)
		say(a);
	check_flow(a);
}

static void on_ended(void *arg, const struct query_error *error)
{
	struct answer *a = arg;
	size_t before = buf_len(&a->out);
	int r = 0;

	if (error) {
		switch (error->failure) {
		case QUERY_BUSY:
			fail(a, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", "too many questions at once",
				"Try again soon.");
			return;
		case QUERY_AWAY:
			log_warn("database", "function=%s reason=%s", a->function->name,
				log_quote(*error->message ? error->message
							  : pool_reason(a->host->pool)));
			fail(a, MHD_HTTP_SERVICE_UNAVAILABLE, "away", "the database is away",
				"Try again soon.");
			return;
		case QUERY_REFUSED: fail_refused(a, error); return;
		case QUERY_FAILED: fail_memory(a); return;
		}
	}
	if (!a->csv)
		r = text_add(&a->out, "]}\n");
	count_out(a, before);
	a->all = true;
	if (r < 0)
		fail_memory(a);
	else
		say(a);
}

static const struct query_calls query_calls = {
	.begins = on_begins, .columns = on_columns, .row = on_row, .ended = on_ended};

/* --- the response -------------------------------------------------------------------------------
 */

static ssize_t on_read(void *arg, uint64_t position, char *to, size_t size)
{
	struct answer *a = arg;
	size_t n = buf_len(&a->out);

	(void)position;
	if (a->phase == PHASE_CUT)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == 0 && a->all)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == 0) {
		suspend(a);
		return 0;
	}
	if (n > size)
		n = size;
	memcpy(to, buf_head(&a->out), n);
	buf_consume(&a->out, n);
	count_out(a, buf_len(&a->out) + n);
	a->bytes += n;
	if (query_running(&a->query) && a->query.paused && buf_len(&a->out) < BUFFER_SMALL / 2)
		query_resume(&a->query);
	return (ssize_t)n;
}

/* hirundo-top_services-2026-01-01-2026-03-31.csv: letters, digits and dashes, all of them checked.
 */
static bool add_disposition(struct answer *a, struct MHD_Response *r)
{
	const char *from = a->request.value[PARAMETER_FROM], *to = a->request.value[PARAMETER_TO];
	char text[160];

	if (from && to)
		(void)snprintf(text, sizeof(text), "attachment; filename=\"hirundo-%s-%s-%s.csv\"",
			a->function->name, from, to);
	else
		(void)snprintf(text, sizeof(text), "attachment; filename=\"hirundo-%s.csv\"",
			a->function->name);
	return MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_DISPOSITION, text) == MHD_YES;
}

static struct MHD_Response *make_response(struct answer *a)
{
	struct MHD_Response *r;
	bool ok;

	if (a->all && !query_running(&a->query)) {
		r = MHD_create_response_from_callback(buf_len(&a->out), CHUNK, on_read, a, NULL);
	} else {
		r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK, on_read, a, NULL);
	}
	if (!r)
		return NULL;
	ok = response_add_headers(r,
		a->csv && !a->error ? "text/csv; charset=utf-8; header=present"
				    : "application/json; charset=utf-8",
		"private, no-cache");
	if (ok && a->csv && !a->error)
		ok = add_disposition(a, r);
	if (ok && a->status == MHD_HTTP_SERVICE_UNAVAILABLE)
		ok = MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S) ==
		     MHD_YES;
	if (!ok) {
		MHD_destroy_response(r);
		return NULL;
	}
	return r;
}

enum MHD_Result answer_queue(struct answer *a)
{
	struct MHD_Response *r;
	enum MHD_Result result;

	if (a->phase == PHASE_ASKING) {
		suspend(a);
		return MHD_YES;
	}
	if (a->phase == PHASE_CUT)
		return MHD_NO;
	r = make_response(a);
	if (!r)
		return MHD_NO;
	result = MHD_queue_response(a->connection, a->status, r);
	MHD_destroy_response(r);
	return result;
}

/* --- the interface ------------------------------------------------------------------------------
 */

/* What can be said without the database. @return false: it was said */
static bool check(struct answer *a)
{
	const char *name = a->request.path + strlen(ANSWER_PREFIX);
	const char *format;
	char why[256];

	a->function = function_find(name);
	if (!a->function) {
		fail(a, MHD_HTTP_NOT_FOUND, "42883", "there is no such function",
			"See /api/catalog.");
		return false;
	}
	if (request_parameters(&a->request, why, sizeof(why)) < 0 ||
		!function_check(a->function, &a->request, why, sizeof(why))) {
		fail(a, MHD_HTTP_BAD_REQUEST, "22023", why, NULL);
		return false;
	}
	format = a->request.value[PARAMETER_FORMAT];
	a->csv = format && strcmp(format, "csv") == 0;
	if (format && !a->csv && strcmp(format, "json") != 0) {
		fail(a, MHD_HTTP_BAD_REQUEST, "22023", "format must be json or csv", NULL);
		return false;
	}
	return true;
}

static int make_statement(struct answer *a)
{
	struct query_statement *s = &a->statement;
	int r = function_statement(a->function, &a->request, a->csv ? FUNCTION_ROWS : FUNCTION_JSON,
		&a->sql, s->parameters);

	if (r < 0)
		return r;
	s->n = (unsigned)r;
	s->sql = text_str(&a->sql);
	s->viewer = a->viewer;
	/* In a spreadsheet a day shall begin with its own date. */
	s->local_times = a->csv;
	if (a->csv)
		return 0;
	r = function_columns(a->function, &a->columns_sql);
	s->columns = text_str(&a->columns_sql);
	return r;
}

static void begin(struct answer *a)
{
	if (!check(a))
		return;
	if (a->host->n > ANSWERS_MAX) {
		fail(a, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", "too many questions at once",
			"Try again soon.");
		return;
	}
	if (make_statement(a) < 0) {
		fail_memory(a);
		return;
	}
	query_start(&a->query, a->host->pool, &a->statement, &query_calls, a);
}

struct answer *answer_new(
	struct answer_host *host, struct MHD_Connection *c, struct request *q, const char *viewer)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct answer *a = info ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return NULL;
	a->host = host;
	a->connection = c;
	a->viewer = strdup(viewer);
	if (!a->viewer || uv_poll_init(host->loop, &a->client, info->connect_fd) < 0) {
		free(a->viewer);
		free(a);
		return NULL;
	}
	(void)uv_timer_init(host->loop, &a->timer);
	a->client.data = a->timer.data = a;
	a->handles = 2;
	a->request = *q;
	*q = (struct request){0};
	buf_init(&a->sql, BUFFER_MAX);
	buf_init(&a->columns_sql, BUFFER_MAX);
	buf_init(&a->out, BUFFER_MAX);
	a->at = &host->first;
	a->next = host->first;
	if (a->next)
		a->next->at = &a->next;
	host->first = a;
	host->n++;
	begin(a);
	return a;
}

const char *answer_path(const struct answer *a)
{
	return a->request.path;
}

unsigned answer_status(const struct answer *a)
{
	return a->status;
}

uint64_t answer_bytes(const struct answer *a)
{
	return a->bytes;
}

void answer_done(struct answer *a)
{
	query_abort(&a->query);
	a->host->buffered -= buf_len(&a->out);
	buf_done(&a->out);
	*a->at = a->next;
	if (a->next)
		a->next->at = a->at;
	a->host->n--;
	uv_close((uv_handle_t *)&a->client, on_closed);
	uv_close((uv_handle_t *)&a->timer, on_closed);
}

void answer_abort_all(struct answer_host *host)
{
	for (struct answer *a = host->first; a; a = a->next)
		cut(a);
}
