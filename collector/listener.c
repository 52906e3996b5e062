#include "collector/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "collector/session.h"
#include "common/log.h"

#define BACKLOG 1024
#define SWEEP_MS 1000

struct listener {
	uv_tcp_t tcp;
	uv_timer_t sweep;
	unsigned handles;
	unsigned max_connections;
	struct session_host *host;
	struct log_limit limit;
};

static void on_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	if (--l->handles == 0)
		free(l);
}

static void on_rejected(uv_handle_t *h)
{
	free(h);
}

/* Whoever has not shown a certificate gives way: strangers that hold connections open keep no
 * sensor out. */
static bool has_room(struct listener *l)
{
	if (l->host->sessions_n < l->max_connections)
		return true;
	l->host->counters.over_limit++;
	return session_make_room(l->host);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct listener *l = server->data;
	const char *error = NULL;
	uv_tcp_t *tcp;
	unsigned suppressed;
	int r = status;

	if (r == 0) {
		tcp = malloc(sizeof(*tcp));
		if (!tcp)
			return; /* the connection stays in the backlog */
		(void)uv_tcp_init(server->loop, tcp); /* opens no socket, so cannot fail */
		r = uv_accept(server, (uv_stream_t *)tcp);
		if (r == 0 && !has_room(l))
			error = "max_connections is reached";
		if (r == 0 && !error) {
			(void)uv_tcp_nodelay(tcp, 1);
			r = session_new(l->host, tcp); /* takes tcp over, also on error */
		} else {
			uv_close((uv_handle_t *)tcp, on_rejected);
		}
	}
	if (r < 0)
		error = uv_strerror(r);
	if (error && log_limit_pass(&l->limit, 10000000, &suppressed))
		log_warn("listener", "reason=\"a connection was not taken\" error=%s suppressed=%u",
			log_quote(error), suppressed);
}

static void on_sweep(uv_timer_t *t)
{
	struct listener *l = t->data;

	session_sweep(l->host);
}

int listener_new(uv_loop_t *loop, const struct hostport *at, unsigned max_connections,
	struct session_host *host, struct listener **ret)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct sockaddr_storage sa = {0};
	int r;

	if (!l)
		return -ENOMEM;
	l->host = host;
	l->max_connections = max_connections;
	(void)uv_timer_init(loop, &l->sweep);
	(void)uv_tcp_init(loop, &l->tcp);
	l->sweep.data = l->tcp.data = l;
	l->handles = 2;
	r = uv_ip4_addr(at->host, at->port, (struct sockaddr_in *)&sa);
	if (r < 0)
		r = uv_ip6_addr(at->host, at->port, (struct sockaddr_in6 *)&sa);
	if (r == 0)
		r = uv_tcp_bind(&l->tcp, (struct sockaddr *)&sa, 0);
	if (r == 0)
		r = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
	if (r == 0)
		r = uv_timer_start(&l->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	if (r < 0) {
		listener_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

uint16_t listener_port(const struct listener *l)
{
	struct sockaddr_storage sa;
	int n = sizeof(sa);

	if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&sa, &n) < 0)
		return 0;
	return ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)&sa)->sin_port
					     : ((struct sockaddr_in6 *)&sa)->sin6_port);
}

void listener_close(struct listener *l)
{
	uv_close((uv_handle_t *)&l->tcp, on_closed);
	uv_close((uv_handle_t *)&l->sweep, on_closed);
}
