#include "collector/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* A scraper or two, and a load balancer. */
#define CONNECTIONS_MAX 32
#define TIMEOUT_S 10
#define PAGE_MAX (8u << 20)

struct http {
	struct MHD_Daemon *daemon;
	struct http_pages pages;
	void *arg;
	uv_poll_t poll;
	uv_timer_t timer; /* libmicrohttpd's time-outs */
	unsigned handles;
};

static enum MHD_Result answer(
	struct MHD_Connection *c, unsigned status, const char *type, const void *body, size_t n)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(n, (void *)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (r && MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES)
		result = MHD_queue_response(c, status, r);
	if (r)
		MHD_destroy_response(r);
	return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *text)
{
	return answer(c, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result answer_metrics(struct http *h, struct MHD_Connection *c)
{
	struct buf out;
	enum MHD_Result result;

	buf_init(&out, PAGE_MAX);
	if (h->pages.metrics(h->arg, &out) < 0)
		result = answer_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	else
		result = answer(c, MHD_HTTP_OK,
			"application/openmetrics-text; version=1.0.0; charset=utf-8",
			buf_head(&out), buf_len(&out));
	buf_done(&out);
	return result;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_n, void **state)
{
	struct http *h = arg;
	const char *trouble;

	(void)version;
	(void)upload;
	(void)state;
	if (*upload_n != 0 || (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
				      strcmp(method, MHD_HTTP_METHOD_HEAD) != 0))
		return answer_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
	if (strcmp(url, "/metrics") == 0)
		return answer_metrics(h, c);
	if (strcmp(url, "/healthz") != 0)
		return answer_text(c, MHD_HTTP_NOT_FOUND, "there are /metrics and /healthz\n");
	trouble = h->pages.unhealthy(h->arg);
	return trouble ? answer_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, trouble)
		       : answer_text(c, MHD_HTTP_OK, "ok\n");
}

static void on_timer(uv_timer_t *t);

static void run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(h->daemon);
	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
		(void)uv_timer_start(&h->timer, on_timer, ms, 0);
	else
		(void)uv_timer_stop(&h->timer);
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

static void on_closed(uv_handle_t *handle)
{
	struct http *h = handle->data;

	if (--h->handles > 0)
		return;
	MHD_stop_daemon(h->daemon);
	free(h);
}

int http_new(uv_loop_t *loop, const struct hostport *at, const struct http_pages *pages, void *arg,
	struct http **ret)
{
	struct sockaddr_storage sa = {0};
	unsigned flags = MHD_USE_EPOLL;
	const union MHD_DaemonInfo *info;
	struct http *h;
	int r;

	r = uv_ip4_addr(at->host, at->port, (struct sockaddr_in *)&sa);
	if (r < 0) {
		r = uv_ip6_addr(at->host, at->port, (struct sockaddr_in6 *)&sa);
		flags |= MHD_USE_IPv6;
	}
	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->pages = *pages;
	h->arg = arg;
	errno = 0;
	h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR,
		(struct sockaddr *)&sa, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
	info = h->daemon ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	r = info ? uv_poll_init(loop, &h->poll, info->epoll_fd) : (errno ? -errno : -EINVAL);
	if (r < 0) {
		if (h->daemon)
			MHD_stop_daemon(h->daemon);
		free(h);
		return r;
	}
	(void)uv_timer_init(loop, &h->timer);
	h->poll.data = h->timer.data = h;
	h->handles = 2;
	r = uv_poll_start(&h->poll, UV_READABLE, on_poll);
	if (r < 0) {
		http_close(h);
		return r;
	}
	*ret = h;
	return 0;
}

void http_close(struct http *h)
{
	MHD_socket listening;

	if (!h)
		return;
	listening = MHD_quiesce_daemon(h->daemon); /* ours from now on */
	if (listening >= 0)
		(void)close(listening);
	uv_close((uv_handle_t *)&h->poll, on_closed);
	uv_close((uv_handle_t *)&h->timer, on_closed);
}
