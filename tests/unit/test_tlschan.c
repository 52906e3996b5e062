/* Real TLS over loopback sockets, both ends in one loop. */
#include "common/tlschan.h"

#include <errno.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/tlsctx.h"
#include "tests/unit/tls_fixture.h"

#define MIB (1024u * 1024u)
#define HANDSHAKE_MS 3000u

static struct tls_fixture f;

/* Test data: byte i of a stream. A prime period shifts against every buffer size. */
static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i % 251 ^ i >> 13);
}

struct side {
	struct tlschan *c;
	bool ready, closed, corrupt;
	char reason[128];
	size_t to_send, sent, received;
	size_t chunk; /* of one tlschan_write */
	size_t take; /* bytes that on_data takes at most in one call */
	unsigned refused, writable, reads;
	bool close_when_sent, close_on_ready;
	void (*on_ready)(struct side *s);
	enum tls_peer_res peer_res;
	char peer_name[TLS_NAME_MAX + 1];
};

struct world {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_timer_t deadline;
	SSL_CTX *server_ctx, *client_ctx;
	struct side server, client;
	unsigned short port;
	bool late;
};

static struct world *w; /* one at a time */

static void send_more(struct side *s)
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
static void world_init(struct world *world, SSL_CTX *server_ctx, SSL_CTX *client_ctx)
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
static void world_done(void)
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

static void connect_to(const char *host, unsigned short port)
{
	uv_connect_t *req = malloc(sizeof(*req));
	struct sockaddr_in sa;

	assert_non_null(req);
	client_host = host;
	assert_int_equal(uv_ip4_addr("127.0.0.1", port, &sa), 0);
	assert_int_equal(uv_tcp_connect(req, new_tcp(), (struct sockaddr *)&sa, on_connect), 0);
}

/* Until nothing is left to happen. */
static void run(void)
{
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_false(w->late);
}

static void run_until(bool (*done)(void))
{
	uv_ref((uv_handle_t *)&w->listener);
	while (!done() && !w->late)
		(void)uv_run(&w->loop, UV_RUN_ONCE);
	uv_unref((uv_handle_t *)&w->listener);
	assert_false(w->late);
}

static void run_for(int64_t ms)
{
	int64_t end = clock_mono_us() + ms * US_PER_MS;

	uv_ref((uv_handle_t *)&w->listener);
	while (clock_mono_us() < end) {
		(void)uv_run(&w->loop, UV_RUN_NOWAIT);
		(void)usleep(1000);
	}
	uv_unref((uv_handle_t *)&w->listener);
}

static bool both_ready(void)
{
	return w->server.ready && w->client.ready;
}

static bool all_received(void)
{
	return w->server.received == w->client.to_send && w->client.received == w->server.to_send;
}

static void expect_reasons(const char *server, const char *client)
{
	assert_true(w->server.closed && w->client.closed);
	assert_string_equal(w->server.reason, server);
	assert_string_equal(w->client.reason, client);
}

static void test_both_ways(void **state)
{
	struct world world;
	char peer[64];

	(void)state;
	world_init(&world, NULL, NULL);
	w->server.to_send = w->client.to_send = 10 * MIB;
	w->server.chunk = 70000;
	connect_to("collector.test", w->port);
	run_until(all_received);
	assert_int_equal(w->server.peer_res, TLS_PEER_OK);
	assert_string_equal(w->server.peer_name, "alpha-1");
	assert_int_equal(tlschan_peer(w->server.c, peer, sizeof(peer)), 0);
	assert_string_equal(peer, "127.0.0.1");
	assert_true(w->server.refused > 0 && w->client.refused > 0); /* the queue is bounded */
	assert_int_equal(tlschan_bytes_sent(w->client.c), tlschan_bytes_received(w->server.c));
	assert_true(tlschan_bytes_sent(w->client.c) > 10 * MIB);
	assert_int_equal(tlschan_queued(w->client.c), 0);
	tlschan_close(w->client.c, "done");
	run();
	expect_reasons("closed by peer", "done");
	assert_false(w->server.corrupt || w->client.corrupt);
	world_done();
}

static void test_by_address(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.to_send = 1;
	connect_to("127.0.0.1", w->port);
	run_until(all_received);
	tlschan_close(w->server.c, "done");
	run();
	expect_reasons("done", "closed by peer");
	world_done();
}

/* No tickets: nothing that a client could resume with, now or later. */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	(void)session;
	fail_msg("%s", "a session ticket");
	return 0;
}

static void test_no_tickets(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	(void)SSL_CTX_set_session_cache_mode(w->client_ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(w->client_ctx, on_ticket);
	w->server.to_send = w->client.to_send = 100;
	connect_to("127.0.0.1", w->port);
	run_until(all_received);
	tlschan_close(w->server.c, "done");
	run();
	world_done();
}

/* A consumer that takes nothing stops the sender: first its own queue fills, then on_writable. */
static void test_back_pressure(void **state)
{
	struct world world;
	uint64_t received;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.to_send = 32 * MIB;
	w->server.take = 0;
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	run_for(200);
	received = tlschan_bytes_received(w->server.c);
	assert_int_equal(w->server.received, 0);
	assert_int_equal(w->server.reads, 1);
	assert_true(received < 64 * 1024);
	assert_int_equal(w->client.refused, 1);
	assert_true(w->client.sent < 31 * MIB); /* the rest of it is in the kernel */
	assert_true(tlschan_queued(w->client.c) <= 300 * 1024);
	run_for(50);
	assert_int_equal(tlschan_bytes_received(w->server.c), received);

	/* A part of a call at a time, then everything. */
	w->server.take = 1000;
	for (unsigned i = 0; i < 50; i++) {
		size_t before = w->server.received;

		tlschan_read_more(w->server.c);
		assert_int_equal(w->server.received, before); /* not from inside the call */
		run_for(2);
		/* The end of a record is taken whole, and so is read on into the next. */
		assert_in_range(w->server.received, before + 1000, before + 2000);
	}
	w->server.take = SIZE_MAX;
	tlschan_read_more(w->server.c);
	run_until(all_received);
	assert_false(w->server.corrupt);
	assert_true(w->client.writable > 0);
	tlschan_close(w->client.c, "done");
	run();
	expect_reasons("closed by peer", "done");
	world_done();
}

static void test_pause(void **state)
{
	struct world world;
	size_t before;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.to_send = 4 * MIB;
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	tlschan_pause(w->server.c);
	before = w->server.received;
	run_for(100);
	assert_int_equal(w->server.received, before);
	tlschan_read_more(w->server.c);
	run_until(all_received);
	assert_false(w->server.corrupt);
	tlschan_close(w->client.c, "done");
	run();
	world_done();
}

/* Closing loses nothing that was queued, also when the reader is slow to begin. */
static void test_close_flushes(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.to_send = 3 * MIB;
	w->client.chunk = MIB; /* the largest write, by an empty queue */
	w->client.close_when_sent = true;
	w->server.take = 0;
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	run_for(100);
	w->server.take = SIZE_MAX;
	tlschan_read_more(w->server.c);
	run();
	assert_int_equal(w->server.received, 3 * MIB);
	assert_false(w->server.corrupt);
	expect_reasons("closed by peer", "sent all");
	world_done();
}

/* A peer that closes first does not fail what we still have queued. */
static void test_close_by_peer_flushes(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.to_send = 100000;
	w->server.close_on_ready = true;
	connect_to("127.0.0.1", w->port);
	run();
	assert_int_equal(w->client.sent, 100000);
	expect_reasons("closed at once", "closed by peer");
	world_done();
}

static void test_close_twice(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	tlschan_close(w->client.c, "first");
	tlschan_close(w->client.c, "second");
	tlschan_close(w->server.c, "other end");
	run();
	expect_reasons("other end", "first");
	world_done();
}

static void test_abort(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	tlschan_abort(w->client.c, "enough");
	tlschan_abort(w->client.c, "again");
	run();
	expect_reasons("end of stream without close_notify", "enough");
	world_done();
}

static void test_abort_with_queue(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.to_send = 8 * MIB;
	w->server.take = 0;
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	run_for(50);
	assert_true(tlschan_queued(w->client.c) > 0);
	tlschan_abort(w->client.c, "enough");
	tlschan_abort(w->server.c, "too");
	run();
	expect_reasons("too", "enough");
	world_done();
}

static int fd_of(struct tlschan *c)
{
	int fd = -1;

	/* The channel owns the handle; the socket is found by what SSL does not know. */
	(void)c;
	for (int i = 3; i < 64; i++) {
		struct sockaddr_in sa;
		socklen_t n = sizeof(sa);

		if (getpeername(i, (struct sockaddr *)&sa, &n) == 0 && sa.sin_family == AF_INET &&
			ntohs(sa.sin_port) == w->port)
			fd = i;
	}
	assert_true(fd >= 0);
	return fd;
}

static void test_reset(void **state)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	assert_int_equal(
		setsockopt(fd_of(w->client.c), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	tlschan_abort(w->client.c, "reset");
	run();
	expect_reasons("connection reset by peer", "reset");
	world_done();
}

static void test_eof_without_close_notify(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	assert_int_equal(shutdown(fd_of(w->client.c), SHUT_WR), 0);
	run();
	assert_string_equal(w->server.reason, "end of stream without close_notify");
	assert_string_equal(w->client.reason, "end of stream without close_notify");
	world_done();
}

static void update_keys(struct side *s)
{
	for (unsigned i = 0; i < 200 && s->c; i++) {
		assert_int_equal(SSL_key_update(tlschan_ssl(s->c), SSL_KEY_UPDATE_REQUESTED), 1);
		s->to_send++;
		send_more(s);
	}
}

static void test_key_update_flood(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.on_ready = update_keys;
	connect_to("127.0.0.1", w->port);
	run();
	assert_string_equal(w->server.reason, "too many KeyUpdates");
	world_done();
}

static void update_keys_a_little(struct side *s)
{
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(SSL_key_update(tlschan_ssl(s->c), SSL_KEY_UPDATE_REQUESTED), 1);
		s->to_send += 10000;
		send_more(s);
	}
}

static void test_key_update_is_fine(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, NULL, NULL);
	w->server.to_send = MIB;
	w->client.on_ready = update_keys_a_little;
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	run_until(all_received);
	assert_false(w->server.corrupt || w->client.corrupt);
	tlschan_close(w->server.c, "done");
	run();
	expect_reasons("done", "closed by peer");
	world_done();
}

/* What each end says about certificates, good and bad. */
static void check_pair(SSL_CTX *server_ctx, SSL_CTX *client_ctx, const char *host,
	const char *server, const char *client)
{
	struct world world;

	world_init(&world, server_ctx, client_ctx);
	connect_to(host, w->port);
	run();
	assert_false(w->server.ready);
	expect_reasons(server, client);
	world_done();
}

static SSL_CTX *sensor_ctx(const struct pki_ca *ca, bool server_auth, int64_t from_s, int64_t to_s)
{
	const char *uris[] = {"urn:hirundo:sensor:alpha-1", NULL};
	const struct pki_request q = {
		.common_name = "alpha-1",
		.server_auth = server_auth,
		.client_auth = !server_auth,
		.uris = uris,
		.from_s = from_s,
		.to_s = to_s,
	};

	return tls_fixture_ctx_with(&f, false, ca, &q);
}

static SSL_CTX *server_ctx(const struct pki_ca *ca, bool client_auth, int64_t from_s, int64_t to_s)
{
	const char *hosts[] = {"127.0.0.1", NULL};
	const struct pki_request q = {
		.common_name = "collector",
		.server_auth = !client_auth,
		.client_auth = client_auth,
		.hosts = hosts,
		.from_s = from_s,
		.to_s = to_s,
	};

	return tls_fixture_ctx_with(&f, true, ca, &q);
}

static void test_client_certificates(void **state)
{
	SSL_CTX *none = tls_fixture_ctx(&f, false, NULL);

	(void)state;
	check_pair(NULL, sensor_ctx(&f.other, false, -60, 3600), "127.0.0.1",
		"unable to get local issuer certificate", "refused by peer: unknown ca");
	check_pair(NULL, sensor_ctx(&f.ca, false, -7200, -60), "127.0.0.1",
		"certificate has expired", "refused by peer: certificate expired");
	check_pair(NULL, sensor_ctx(&f.ca, false, 3600, 7200), "127.0.0.1",
		"certificate is not yet valid", "refused by peer: bad certificate");
	check_pair(NULL, sensor_ctx(&f.ca, true, -60, 3600), "127.0.0.1",
		"unsuitable certificate purpose", "refused by peer: unsupported certificate");
	SSL_CTX_free(none);
	none = SSL_CTX_new(TLS_client_method());
	assert_int_equal(SSL_CTX_load_verify_file(none, tls_fixture_path(&f, "ca.crt")), 1);
	SSL_CTX_set_verify(none, SSL_VERIFY_PEER, NULL);
	check_pair(
		NULL, none, "127.0.0.1", "no certificate", "refused by peer: certificate required");
}

static void test_server_certificates(void **state)
{
	(void)state;
	check_pair(server_ctx(&f.other, false, -60, 3600), NULL, "127.0.0.1",
		"refused by peer: unknown ca", "unable to get local issuer certificate");
	check_pair(server_ctx(&f.ca, false, -7200, -60), NULL, "127.0.0.1",
		"refused by peer: certificate expired", "certificate has expired");
	check_pair(server_ctx(&f.ca, false, 3600, 7200), NULL, "127.0.0.1",
		"refused by peer: bad certificate", "certificate is not yet valid");
	check_pair(server_ctx(&f.ca, true, -60, 3600), NULL, "127.0.0.1",
		"refused by peer: unsupported certificate", "unsuitable certificate purpose");
	check_pair(
		NULL, NULL, "other.test", "refused by peer: bad certificate", "hostname mismatch");
	check_pair(
		NULL, NULL, "127.0.0.2", "refused by peer: bad certificate", "IP address mismatch");
	/* An address is no name, a common name is no host. */
	check_pair(server_ctx(&f.ca, false, -60, 3600), NULL, "collector",
		"refused by peer: bad certificate", "hostname mismatch");
}

static void test_revocation(void **state)
{
	char cert[128];

	(void)state;
	(void)snprintf(cert, sizeof(cert), "%s/sensor.crt", f.dir);
	tls_fixture_crl(&f, "revoked.crl", cert, 3600);
	check_pair(tls_fixture_ctx(&f, true, "revoked.crl"), NULL, "127.0.0.1",
		"certificate revoked", "refused by peer: certificate revoked");
	tls_fixture_crl(&f, "expired.crl", NULL, -60);
	check_pair(tls_fixture_ctx(&f, true, "expired.crl"), NULL, "127.0.0.1", "CRL has expired",
		"refused by peer: certificate expired");
}

static void check_identity(const char *const *uris, enum tls_peer_res want)
{
	const struct pki_request q = {
		.common_name = "x", .client_auth = true, .uris = uris, .from_s = -60, .to_s = 3600};
	struct world world;

	world_init(&world, NULL, tls_fixture_ctx_with(&f, false, &f.ca, &q));
	connect_to("127.0.0.1", w->port);
	run_until(both_ready);
	assert_int_equal(w->server.peer_res, want);
	tlschan_close(w->server.c, tls_peer_res_str(want));
	run();
	assert_string_equal(w->server.reason, tls_peer_res_str(want));
	world_done();
}

static void test_identity(void **state)
{
	(void)state;
	check_identity((const char *[]){NULL}, TLS_PEER_NO_URI);
	check_identity((const char *[]){"urn:hirundo:sensor:a", "urn:hirundo:sensor:b", NULL},
		TLS_PEER_MANY_URI);
	check_identity((const char *[]){"spiffe://x/sensor/a", NULL}, TLS_PEER_FOREIGN);
	check_identity((const char *[]){"urn:hirundo:sensor:", NULL}, TLS_PEER_FOREIGN);
	check_identity((const char *[]){"urn:hirundo:sensor:A", NULL}, TLS_PEER_FOREIGN);
	check_identity((const char *[]){"urn:hirundo:sensor:a/b", NULL}, TLS_PEER_FOREIGN);
	check_identity((const char *[]){"urn:hirundo:sensor:a", NULL}, TLS_PEER_OK);
}

/* A client that is no TLS client of ours: raw bytes over a plain socket. */
static int raw_connect(void)
{
	struct sockaddr_in sa;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(uv_ip4_addr("127.0.0.1", w->port, &sa), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static bool server_closed(void)
{
	return w->server.closed;
}

static void check_raw(const void *p, size_t n, bool end, const char *reason)
{
	struct world world;
	int fd;

	world_init(&world, NULL, NULL);
	fd = raw_connect();
	assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
	if (end)
		(void)shutdown(fd, SHUT_WR);
	run_until(server_closed);
	assert_false(w->server.ready);
	assert_string_equal(w->server.reason, reason);
	(void)close(fd);
	world_done();
}

static void test_garbage(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\n\r\n", ssh[] = "SSH-2.0-OpenSSH_9.2\r\n";
	static const uint8_t zeros[50000], half[] = {0x16, 0x42};
	static const uint8_t not_hello[] = {0x16, 3, 1, 0, 5, 2, 0, 0, 1, 0},
			     begun[] = {0x16, 3, 1, 1, 0, 1};

	(void)state;
	check_raw(http, sizeof(http), false, "not TLS");
	check_raw(ssh, sizeof(ssh), false, "not TLS");
	check_raw(zeros, sizeof(zeros), false, "not TLS");
	check_raw(half, sizeof(half), false, "not TLS");
	check_raw(not_hello, sizeof(not_hello), true, "unexpected message");
	check_raw(begun, sizeof(begun), true, "end of stream in the handshake");
	check_raw("", 0, true, "end of stream in the handshake");
}

static void test_old_version(void **state)
{
	SSL_CTX *old = tls_fixture_ctx(&f, false, NULL);

	(void)state;
	assert_int_equal(SSL_CTX_set_min_proto_version(old, TLS1_2_VERSION), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION), 1);
	check_pair(NULL, old, "127.0.0.1", "unsupported protocol",
		"refused by peer: protocol version");
}

/* The deadline is absolute: a peer that sends a byte now and then does not move it. */
static void test_handshake_deadline(void **state)
{
	static const uint8_t begin[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc};
	struct world world;
	int64_t from = clock_mono_us(), took;
	size_t sent = 0;
	int fd;

	(void)state;
	world_init(&world, NULL, NULL);
	fd = raw_connect();
	while (!w->server.closed && !w->late) {
		if (sent < sizeof(begin))
			assert_int_equal(send(fd, begin + sent++, 1, MSG_NOSIGNAL), 1);
		run_for(100);
	}
	took = clock_mono_us() - from;
	assert_string_equal(w->server.reason, "handshake timeout");
	assert_in_range(took, HANDSHAKE_MS * US_PER_MS, (HANDSHAKE_MS + 1500) * US_PER_MS);
	(void)close(fd);
	world_done();
}

/* A relay between the two ends that passes one byte a turn each way, and may stop after a while. */
struct relay {
	uv_tcp_t listener;
	uv_tcp_t ends[2];
	uv_idle_t turn;
	struct pipe {
		uint8_t *bytes;
		size_t n, sent;
		bool eof, done;
	} pipes[2]; /* [i]: from ends[i] to the other */
	uv_shutdown_t shutdowns[2];
	size_t cut_after; /* client's bytes, 0 = never */
	bool closed;
};

static void relay_close(struct relay *r)
{
	if (r->closed)
		return;
	r->closed = true;
	uv_close((uv_handle_t *)&r->ends[0], NULL);
	uv_close((uv_handle_t *)&r->ends[1], NULL);
	uv_close((uv_handle_t *)&r->turn, NULL);
	uv_close((uv_handle_t *)&r->listener, NULL);
}

static void relay_turn(uv_idle_t *turn)
{
	struct relay *r = turn->data;

	for (int i = 0; i < 2; i++) {
		struct pipe *p = &r->pipes[i];
		uv_buf_t b = uv_buf_init((char *)p->bytes + p->sent, 1);

		if (p->sent < p->n) {
			int n = uv_try_write((uv_stream_t *)&r->ends[1 - i], &b, 1);

			if (n > 0)
				p->sent += (size_t)n;
			else if (n != UV_EAGAIN)
				p->sent = p->n; /* that end is gone */
		} else if (p->eof && !p->done) {
			p->done = true;
			(void)uv_shutdown(&r->shutdowns[i], (uv_stream_t *)&r->ends[1 - i], NULL);
		}
	}
	if ((r->pipes[0].done && r->pipes[1].done) ||
		(r->cut_after && r->pipes[0].sent >= r->cut_after))
		relay_close(r);
}

static void relay_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *b)
{
	(void)handle;
	*b = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void relay_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct relay *r = stream->data;
	struct pipe *p = &r->pipes[stream == (uv_stream_t *)&r->ends[1]];

	if (n > 0) {
		p->bytes = realloc(p->bytes, p->n + (size_t)n);
		assert_non_null(p->bytes);
		memcpy(p->bytes + p->n, b->base, (size_t)n);
		p->n += (size_t)n;
	} else if (n < 0) {
		p->eof = true;
	}
	free(b->base);
}

static void relay_connected(uv_connect_t *req, int status)
{
	struct relay *r = req->data;

	assert_int_equal(status, 0);
	free(req);
	for (int i = 0; i < 2; i++) {
		r->ends[i].data = r;
		(void)uv_tcp_nodelay(&r->ends[i], 1);
		assert_int_equal(
			uv_read_start((uv_stream_t *)&r->ends[i], relay_alloc, relay_read), 0);
	}
	r->turn.data = r;
	assert_int_equal(uv_idle_start(&r->turn, relay_turn), 0);
}

static void relay_accept(uv_stream_t *listener, int status)
{
	struct relay *r = listener->data;
	uv_connect_t *req = malloc(sizeof(*req));
	struct sockaddr_in sa;

	assert_int_equal(status, 0);
	assert_non_null(req);
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&r->ends[0]), 0);
	req->data = r;
	assert_int_equal(uv_ip4_addr("127.0.0.1", w->port, &sa), 0);
	assert_int_equal(
		uv_tcp_connect(req, &r->ends[1], (struct sockaddr *)&sa, relay_connected), 0);
}

static unsigned short relay_init(struct relay *r, size_t cut_after)
{
	struct sockaddr_in sa;
	int n = sizeof(sa);

	*r = (struct relay){.cut_after = cut_after};
	assert_int_equal(uv_tcp_init(&w->loop, &r->listener), 0);
	assert_int_equal(uv_tcp_init(&w->loop, &r->ends[0]), 0);
	assert_int_equal(uv_tcp_init(&w->loop, &r->ends[1]), 0);
	assert_int_equal(uv_idle_init(&w->loop, &r->turn), 0);
	r->listener.data = r;
	assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &sa), 0);
	assert_int_equal(uv_tcp_bind(&r->listener, (struct sockaddr *)&sa, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&r->listener, 1, relay_accept), 0);
	assert_int_equal(uv_tcp_getsockname(&r->listener, (struct sockaddr *)&sa, &n), 0);
	uv_unref((uv_handle_t *)&r->listener);
	return ntohs(sa.sin_port);
}

static void relay_done(struct relay *r)
{
	relay_close(r);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	free(r->pipes[0].bytes);
	free(r->pipes[1].bytes);
}

static void test_byte_by_byte(void **state)
{
	struct world world;
	struct relay relay;

	(void)state;
	world_init(&world, NULL, NULL);
	w->client.to_send = w->server.to_send = 40000;
	connect_to("127.0.0.1", relay_init(&relay, 0));
	run_until(all_received);
	assert_false(w->server.corrupt || w->client.corrupt);
	tlschan_close(w->client.c, "done");
	run();
	expect_reasons("closed by peer", "done");
	relay_done(&relay);
	world_done();
}

static void test_cut_anywhere(void **state)
{
	struct world world;
	struct relay relay;
	unsigned cuts = 0, ready = 0;
	bool whole = false;

	(void)state;
	for (size_t at = 1; !whole; at += at < 20 ? 1 : 37) {
		world_init(&world, NULL, NULL);
		w->client.to_send = 500;
		w->client.close_when_sent = true;
		connect_to("127.0.0.1", relay_init(&relay, at));
		run();
		relay_done(&relay);
		assert_true(w->client.closed && w->server.closed && !w->server.corrupt);
		if (!w->server.ready)
			assert_true(
				strcmp(w->server.reason, "end of stream in the handshake") == 0 ||
				strcmp(w->server.reason, "connection reset by peer") == 0);
		whole = strcmp(w->server.reason, "closed by peer") == 0;
		assert_true(!whole || w->server.received == 500);
		cuts++;
		ready += w->server.ready;
		world_done();
		assert_true(cuts < 1000);
	}
	assert_true(cuts > 30 && ready > 0 && ready < cuts);
}

static int setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	tls_fixture_init(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_fixture_done(&f);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_by_address),
		cmocka_unit_test(test_no_tickets),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_close_flushes),
		cmocka_unit_test(test_close_by_peer_flushes),
		cmocka_unit_test(test_close_twice),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_abort_with_queue),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_eof_without_close_notify),
		cmocka_unit_test(test_key_update_flood),
		cmocka_unit_test(test_key_update_is_fine),
		cmocka_unit_test(test_client_certificates),
		cmocka_unit_test(test_server_certificates),
		cmocka_unit_test(test_revocation),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_old_version),
		cmocka_unit_test(test_handshake_deadline),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
