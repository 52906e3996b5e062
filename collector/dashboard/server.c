#include "collector/dashboard/server.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "collector/dashboard/answer.h"
#include "collector/dashboard/assets.h"
#include "collector/dashboard/response.h"
#include "collector/dashboard/tls.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/tlsctx.h"

/** Memory of one connection, bytes: the bound of a request's line and headers together. */
#define CONNECTION_MEMORY ((size_t)32 << 10)
/** A connection without any traffic. */
#define IDLE_S 60u
/** From accepting, or from the last response, to the end of the next request's headers. Also where
 *  they trickle in. */
#define HEADERS_US (INT64_C(75) * US_PER_S)
/** One response, to a client that takes it in little bites. */
#define RESPONSE_US (INT64_C(300) * US_PER_S)
#define SWEEP_MS 5000u
/** Of one address, where others than this machine can connect. */
#define PER_ADDRESS_PART 4u

/* A connection. */
struct client {
	struct client *next, **at;
	int fd;
	int64_t since_us; /* of what it is at */
	bool responding;
	struct tls *tls; /* the one it was accepted with, or NULL */
};

/* A request. */
struct exchange {
	struct request request;
	int parsed; /* of request_parse */
	int64_t began_us;
	const char *method; /* static */
	char viewer[TLS_NAME_MAX + 1];
	struct answer *answer;
	unsigned status;
	uint64_t bytes;
};

struct server {
	uv_loop_t *loop;
	enum dashboard_way way;
	const struct dashboard_conf *conf;
	struct tls *tls;
	struct pool *pool;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer, sweep_timer, drain_timer;
	struct answer_host answers;
	struct client *clients;
	unsigned requests; /* under way */
	struct server_counters counters;
	bool draining, closing;
	unsigned handles;
	void (*closed)(void *arg);
	void *closed_arg;
};

static void run(struct server *s);

/* --- who asks -----------------------------------------------------------------------------------
 */

struct found {
	const char *name, *value;
	unsigned n;
};

static enum MHD_Result find_header(
	void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct found *f = arg;

	(void)kind;
	if (strcasecmp(name, f->name) == 0) {
		f->value = value;
		f->n++;
	}
	return MHD_YES;
}

/* The value of a header that must be there once. NULL: it is not, or more often. */
static const char *the_header(struct MHD_Connection *c, const char *name)
{
	struct found f = {.name = name};

	(void)MHD_get_connection_values(c, MHD_HEADER_KIND, find_header, &f);
	return f.n == 1 ? f.value : NULL;
}

/* RFC 9110, 7.2. Only the name counts: another page that made a browser believe that its own name
 * leads here (DNS rebinding) cannot choose it. */
static bool host_allowed(const struct conf_list *hosts, const char *header)
{
	const char *begin = header, *end;

	if (!header)
		return false;
	if (*begin == '[') {
		end = strchr(++begin, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return false;
	} else {
		end = begin + strcspn(begin, ":");
	}
	for (size_t i = 0; i < hosts->n; i++)
		if (strlen(hosts->items[i]) == (size_t)(end - begin) &&
			strncasecmp(hosts->items[i], begin, (size_t)(end - begin)) == 0)
			return true;
	return false;
}

static struct client *client_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* @return NULL, or text why nobody is known */
static const char *find_viewer(const struct server *s, struct MHD_Connection *c, struct exchange *x)
{
	const union MHD_ConnectionInfo *info;
	const char *name = s->conf->viewer;

	switch (s->way) {
	case DASHBOARD_LOOPBACK: break;
	case DASHBOARD_PROXY:
		name = the_header(c, s->conf->viewer_header);
		if (!name)
			return "the proxy does not say who asks\n";
		break;
	case DASHBOARD_TLS:
		info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
		return info && tls_viewer(info->tls_session, x->viewer)
			       ? NULL
			       : "a viewer's certificate is needed\n";
	}
	if (!name || !tls_sensor_name_valid(name, strlen(name)))
		return "that is no viewer's name\n";
	memcpy(x->viewer, name, strlen(name) + 1);
	return NULL;
}

/* --- requests -----------------------------------------------------------------------------------
 */

static void *on_target(void *arg, const char *target, struct MHD_Connection *c)
{
	struct server *s = arg;
	struct exchange *x = calloc(1, sizeof(*x));

	(void)c;
	if (!x)
		return NULL;
	x->began_us = clock_mono_us();
	x->method = "-";
	x->parsed = request_parse(target, &x->request);
	s->requests++;
	return x;
}

static enum MHD_Result say(
	struct MHD_Connection *c, struct exchange *x, unsigned status, const char *text)
{
	x->status = status;
	x->bytes = strlen(text);
	return response_text(c, status, text);
}

static bool has_body(struct MHD_Connection *c)
{
	const char *length =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return (length && strcmp(length, "0") != 0) ||
	       MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING) !=
		       NULL;
}

static enum MHD_Result route(struct server *s, struct MHD_Connection *c, struct exchange *x)
{
	const struct asset *asset;
	const char *path, *why;

	if (!host_allowed(&s->conf->hosts, the_header(c, MHD_HTTP_HEADER_HOST)))
		return say(c, x, MHD_HTTP_MISDIRECTED_REQUEST,
			"this name is not in the setting \"hosts\"\n");
	if (strcmp(x->method, "-") == 0)
		return say(c, x, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
	if (has_body(c))
		return say(c, x, MHD_HTTP_CONTENT_TOO_LARGE, "requests have no body here\n");
	if (x->parsed == -E2BIG)
		return say(c, x, MHD_HTTP_URI_TOO_LONG, "the address is too long\n");
	if (x->parsed == -ENOMEM)
		return MHD_NO;
	if (x->parsed < 0)
		return say(c, x, MHD_HTTP_BAD_REQUEST, "the address is badly written\n");
	path = x->request.path;
	if (strcmp(path, "/healthz") == 0)
		return s->draining ? say(c, x, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping\n")
		       : pool_up(s->pool)
			       ? say(c, x, MHD_HTTP_OK, "ok\n")
			       : say(c, x, MHD_HTTP_SERVICE_UNAVAILABLE, "the database is away\n");
	why = find_viewer(s, c, x);
	if (why)
		return say(c, x, MHD_HTTP_FORBIDDEN, why);
	if (strncmp(path, ANSWER_PREFIX, strlen(ANSWER_PREFIX)) == 0) {
		x->answer = answer_new(&s->answers, c, &x->request, x->viewer);
		s->counters.api++;
		return x->answer ? answer_queue(x->answer) : MHD_NO;
	}
	asset = asset_find(path);
	if (asset)
		return asset_queue(c, asset, &x->status, &x->bytes);
	return say(c, x, MHD_HTTP_NOT_FOUND, "there is no such page\n");
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_n, void **state)
{
	struct server *s = arg;
	struct exchange *x = *state;
	struct client *client = client_of(c);

	(void)url;
	(void)version;
	(void)upload;
	if (!x)
		return MHD_NO;
	if (x->answer)
		return answer_queue(x->answer);
	if (*upload_n != 0) { /* the response is queued already */
		*upload_n = 0;
		return MHD_YES;
	}
	if (client) {
		client->responding = true;
		client->since_us = clock_mono_us();
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) == 0)
		x->method = "GET";
	else if (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
		x->method = "HEAD";
	return route(s, c, x);
}

/* Sources that somebody asks for may stand in a path; the query stays out. */
static void log_access(const struct exchange *x, const char *path)
{
	log_info("http", "method=%s path=%s status=%u bytes=%llu ms=%lld viewer=%s", x->method,
		log_quote(path), x->status, (unsigned long long)x->bytes,
		(long long)((clock_mono_us() - x->began_us) / US_PER_MS),
		*x->viewer ? x->viewer : "-");
}

static void on_completed(
	void *arg, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
	struct server *s = arg;
	struct exchange *x = *state;
	struct client *client = client_of(c);

	(void)why;
	*state = NULL;
	if (client) {
		client->responding = false;
		client->since_us = clock_mono_us();
	}
	if (!x)
		return;
	if (x->answer) {
		x->status = answer_status(x->answer);
		x->bytes = answer_bytes(x->answer);
		log_access(x, answer_path(x->answer));
		answer_done(x->answer);
	} else {
		log_access(x, x->request.path);
	}
	s->counters.status[x->status / 100 % 6]++;
	s->counters.bytes += x->bytes;
	request_done(&x->request);
	free(x);
	s->requests--;
}

/* --- connections --------------------------------------------------------------------------------
 */

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	struct server *s = arg;
	struct client *client = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (!client)
			return;
		*client->at = client->next;
		if (client->next)
			client->next->at = client->at;
		tls_unref(client->tls);
		free(client);
		s->counters.connections--;
		return;
	}
	client = calloc(1, sizeof(*client));
	if (!client)
		return; /* it is served all the same, as plainly; with TLS not at all */
	client->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	client->since_us = clock_mono_us();
	if (s->tls)
		client->tls = tls_accept(
			s->tls, MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION)
					->tls_session);
	client->at = &s->clients;
	client->next = s->clients;
	if (client->next)
		client->next->at = &client->next;
	s->clients = client;
	*context = client;
	s->counters.connections++;
	s->counters.accepted++;
}

/* libmicrohttpd ends what is silent; who trickles is ended here. */
static void on_sweep(uv_timer_t *t)
{
	struct server *s = t->data;
	int64_t now = clock_mono_us();

	for (struct client *c = s->clients; c; c = c->next)
		if (now - c->since_us > (c->responding ? RESPONSE_US : HEADERS_US)) {
			s->counters.timed_out++;
			c->since_us = now;
			(void)shutdown(c->fd, SHUT_RDWR);
		}
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
	struct server *s = handle->data;

	if (--s->handles > 0)
		return;
	s->closed(s->closed_arg);
	free(s);
}

/* Nothing is under way: the end. */
static void finish(struct server *s)
{
	s->closing = true;
	answer_abort_all(&s->answers);
	(void)MHD_run(s->daemon); /* what was suspended must not be any more */
	MHD_stop_daemon(s->daemon);
	s->daemon = NULL;
	tls_unref(s->tls);
	s->tls = NULL;
	uv_close((uv_handle_t *)&s->poll, on_closed);
	uv_close((uv_handle_t *)&s->timer, on_closed);
	uv_close((uv_handle_t *)&s->sweep_timer, on_closed);
	uv_close((uv_handle_t *)&s->drain_timer, on_closed);
}

static void on_timer(uv_timer_t *t)
{
	run(t->data);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	(void)status;
	(void)events;
	run(p->data);
}

static void run(struct server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(s->daemon);
	if (s->draining && s->requests == 0) {
		finish(s);
		return;
	}
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
		(void)uv_timer_start(&s->timer, on_timer, ms, 0);
	else
		(void)uv_timer_stop(&s->timer);
}

static void kick(void *arg)
{
	struct server *s = arg;

	if (!s->closing)
		(void)uv_timer_start(&s->timer, on_timer, 0, 0);
}

/* --- the interface ------------------------------------------------------------------------------
 */

static PRINTF_LIKE(2, 0) void on_library_log(void *arg, const char *fmt, va_list ap)
{
	char text[256];

	(void)arg;
	if (vsnprintf(text, sizeof(text), fmt, ap) > 0) {
		text[strcspn(text, "\n")] = '\0';
		log_write(LOG_LEVEL_DEBUG, "http", "note=%s", log_quote(text));
	}
}

static struct MHD_Daemon *start_daemon(struct server *s, const struct server_options *o)
{
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls_options[] = {
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
		{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)tls_no_certificate},
		{MHD_OPTION_PER_IP_CONNECTION_LIMIT,
			(intptr_t)(o->max_connections / PER_ADDRESS_PART), NULL},
		{MHD_OPTION_END, 0, NULL},
	};

	if (o->way == DASHBOARD_TLS)
		flags |= MHD_USE_TLS;
	else
		tls_options[0].option = MHD_OPTION_END;
	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER,
		on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)o->fd,
		MHD_OPTION_CONNECTION_LIMIT, o->max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, s, MHD_OPTION_ARRAY, tls_options, MHD_OPTION_END);
}

int server_new(uv_loop_t *loop, const struct server_options *o, struct server **ret)
{
	const union MHD_DaemonInfo *info;
	struct server *s = calloc(1, sizeof(*s));
	int r = -ENOMEM;

	if (!s) {
		(void)close(o->fd);
		return r;
	}
	s->loop = loop;
	s->way = o->way;
	s->pool = o->pool;
	s->answers = (struct answer_host){.loop = loop,
		.pool = o->pool,
		.kick = kick,
		.arg = s,
		.statement_us = o->statement_us};
	errno = 0;
	s->daemon = start_daemon(s, o);
	if (!s->daemon) {
		r = errno ? -errno : -EINVAL;
		(void)close(o->fd);
		free(s);
		return r;
	}
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	r = info ? uv_poll_init(loop, &s->poll, info->epoll_fd) : -EINVAL;
	if (r < 0) {
		MHD_stop_daemon(s->daemon);
		free(s);
		return r;
	}
	(void)uv_timer_init(loop, &s->timer);
	(void)uv_timer_init(loop, &s->sweep_timer);
	(void)uv_timer_init(loop, &s->drain_timer);
	s->poll.data = s->timer.data = s->sweep_timer.data = s->drain_timer.data = s;
	s->handles = 4;
	(void)uv_timer_start(&s->sweep_timer, on_sweep, SWEEP_MS, SWEEP_MS);
	(void)uv_poll_start(&s->poll, UV_READABLE, on_poll);
	*ret = s;
	return 0;
}

void server_configure(struct server *s, const struct dashboard_conf *conf, struct tls *tls)
{
	s->conf = conf;
	tls_unref(s->tls);
	s->tls = tls;
}

struct server_counters server_counters(const struct server *s)
{
	struct server_counters c = s->counters;

	c.answers = s->answers.n;
	c.gone = s->answers.gone;
	return c;
}

static void on_drain_timer(uv_timer_t *t)
{
	struct server *s = t->data;

	finish(s);
}

void server_drain(struct server *s, unsigned ms, void (*closed)(void *arg), void *arg)
{
	MHD_socket listening;

	if (s->draining)
		return;
	s->draining = true;
	s->closed = closed;
	s->closed_arg = arg;
	listening = MHD_quiesce_daemon(s->daemon); /* ours from now on */
	if (listening >= 0)
		(void)close(listening);
	(void)uv_timer_start(&s->drain_timer, on_drain_timer, ms, 0);
	kick(s);
}
