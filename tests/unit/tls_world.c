#include "tests/unit/tls_world.h"

#include <errno.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"

struct tls_fixture f;
/* Test data: byte i of a stream. A prime period shifts against every buffer size. */
static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i % 251 ^ i >> 13);
}

struct world *w;

void send_more(struct side *s)
{
	static uint8_t block[MIB];

	while (s->c && !s->closed && s->sent < s->to_send) {
		size_t n = s->to_send - s->sent < s->chunk ? s->to_send - s->sent : s->chunk;

		for (size_t i = 0; i < n; i++)
			block[i] = pattern(s->sent + i);
		if (!tlschan_write(s->c, block, n)) {
			s->refused++;
			return;
		}
		s->sent += n;
	}
	if (s->c && s->close_when_sent)
		tlschan_close(s->c, "sent all");
}

static void on_ready(struct tlschan *c, void *arg)
{
	struct side *s = arg;

	assert_false(s->ready || s->closed);
	s->c = c;
	s->ready = true;
	if (s == &w->server)
		s->peer_res = tls_peer_sensor(tlschan_ssl(c), s->peer_name);
	if (s->on_ready)
		s->on_ready(s);
	if (s->close_on_ready)
		tlschan_close(c, "closed at once");
	else
		send_more(s);
}

static size_t on_data(struct tlschan *c, void *arg, const uint8_t *p, size_t n)
{
	struct side *s = arg;
	size_t used = n < s->take ? n : s->take;

	assert_true(s->ready && !s->closed && n > 0);
	(void)c;
	s->reads++;
	for (size_t i = 0; i < used; i++)
		s->corrupt |= p[i] != pattern(s->received + i);
	s->received += used;
	return used;
}

static void on_writable(struct tlschan *c, void *arg)
{
	struct side *s = arg;

	(void)c;
	assert_false(s->closed);
	s->writable++;
	send_more(s);
}

static void on_closed(struct tlschan *c, void *arg, const char *reason)
{
	struct side *s = arg;

	(void)c;
	assert_false(s->closed);
	s->closed = true;
	s->c = NULL;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
	assert_null(strstr(reason, "127.0.0.1")); /* never an address */
}

static const struct tlschan_callbacks callbacks = {on_ready, on_data, on_writable, on_closed};

static uv_tcp_t *new_tcp(void)
{
	uv_tcp_t *tcp = malloc(sizeof(*tcp));

	assert_non_null(tcp);
	assert_int_equal(uv_tcp_init(&w->loop, tcp), 0);
	return tcp;
}

static void on_connection(uv_stream_t *listener, int status)
{
	uv_tcp_t *tcp = new_tcp();

	assert_int_equal(status, 0);
	assert_int_equal(uv_accept(listener, (uv_stream_t *)tcp), 0);
	assert_int_equal(tlschan_new(tcp, w->server_ctx, NULL, HANDSHAKE_MS, &callbacks, &w->server,
				 &w->server.c),
		0);
}

static void on_late(uv_timer_t *timer)
{
	(void)timer;
	w->late = true;
	uv_stop(&w->loop);
}

/* Takes the contexts; NULL: the good ones. */
void world_init(struct world *world, SSL_CTX *server_ctx, SSL_CTX *client_ctx)
{
	struct sockaddr_in sa;
	int n = sizeof(sa);

	w = world;
	*w = (struct world){0};
	w->server_ctx = server_ctx ? server_ctx : tls_fixture_ctx(&f, true, NULL);
	w->client_ctx = client_ctx ? client_ctx : tls_fixture_ctx(&f, false, NULL);
	w->server.chunk = w->client.chunk = 5000;
	w->server.take = w->client.take = SIZE_MAX;
	assert_int_equal(uv_loop_init(&w->loop), 0);
	assert_int_equal(uv_tcp_init(&w->loop, &w->listener), 0);
	assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &sa), 0);
	assert_int_equal(uv_tcp_bind(&w->listener, (struct sockaddr *)&sa, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&w->listener, 16, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&w->listener, (struct sockaddr *)&sa, &n), 0);
	w->port = ntohs(sa.sin_port);
	uv_unref((uv_handle_t *)&w->listener);
	assert_int_equal(uv_timer_init(&w->loop, &w->deadline), 0);
	assert_int_equal(uv_timer_start(&w->deadline, on_late, 40000, 0), 0);
	uv_unref((uv_handle_t *)&w->deadline);
}

/* Everything is closed and freed; uv_loop_close fails where a handle was forgotten. */
void world_done(void)
{
	uv_close((uv_handle_t *)&w->listener, NULL);
	uv_close((uv_handle_t *)&w->deadline, NULL);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_false(w->late);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	SSL_CTX_free(w->server_ctx);
	SSL_CTX_free(w->client_ctx);
	assert_int_equal(ERR_peek_error(), 0); /* nothing left for the next user of the queue */
	w = NULL;
}

static const char *client_host;

static void on_connect(uv_connect_t *req, int status)
{
	assert_int_equal(status, 0);
	assert_int_equal(tlschan_new((uv_tcp_t *)req->handle, w->client_ctx, client_host,
				 HANDSHAKE_MS, &callbacks, &w->client, &w->client.c),
		0);
	free(req);
}

void connect_to(const char *host, unsigned short port)
{
	uv_connect_t *req = malloc(sizeof(*req));
	struct sockaddr_in sa;

	assert_non_null(req);
	client_host = host;
	assert_int_equal(uv_ip4_addr("127.0.0.1", port, &sa), 0);
	assert_int_equal(uv_tcp_connect(req, new_tcp(), (struct sockaddr *)&sa, on_connect), 0);
}

/* Until nothing is left to happen. */
void run(void)
{
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_false(w->late);
}

void run_until(bool (*done)(void))
{
	uv_ref((uv_handle_t *)&w->listener);
	while (!done() && !w->late)
		(void)uv_run(&w->loop, UV_RUN_ONCE);
	uv_unref((uv_handle_t *)&w->listener);
	assert_false(w->late);
}

void run_for(int64_t ms)
{
	int64_t end = clock_mono_us() + ms * US_PER_MS;

	uv_ref((uv_handle_t *)&w->listener);
	while (clock_mono_us() < end) {
		(void)uv_run(&w->loop, UV_RUN_NOWAIT);
		(void)usleep(1000);
	}
	uv_unref((uv_handle_t *)&w->listener);
}

bool both_ready(void)
{
	return w->server.ready && w->client.ready;
}

bool all_received(void)
{
	return w->server.received == w->client.to_send && w->client.received == w->server.to_send;
}

void expect_reasons(const char *server, const char *client)
{
	assert_true(w->server.closed && w->client.closed);
	assert_string_equal(w->server.reason, server);
	assert_string_equal(w->client.reason, client);
}

int world_setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	tls_fixture_init(&f);
	return 0;
}

int world_teardown(void **state)
{
	(void)state;
	tls_fixture_done(&f);
	return 0;
}
