/* Real TLS over loopback sockets, both ends in one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/unit/tls_world.h"

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
	tlschan_abort(w->client.c, "enough");
	tlschan_abort(w->server.c, "too");
	run();
	expect_reasons("too", "enough");
	world_done();
}

/* The channel owns the handle; the client's socket is the one whose peer is the listener. */
static int client_fd(void)
{
	int fd = -1;

	for (int i = 3; i < 64; i++) {
		struct sockaddr_in sa = {0};
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
	assert_int_equal(setsockopt(client_fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
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
	assert_int_equal(shutdown(client_fd(), SHUT_WR), 0);
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
		"unable to get local issuer certificate (of alpha-1)",
		"refused by peer: unknown ca");
	check_pair(NULL, sensor_ctx(&f.ca, false, -7200, -60), "127.0.0.1",
		"certificate has expired (of alpha-1)", "refused by peer: certificate expired");
	check_pair(NULL, sensor_ctx(&f.ca, false, 3600, 7200), "127.0.0.1",
		"certificate is not yet valid (of alpha-1)", "refused by peer: bad certificate");
	check_pair(NULL, sensor_ctx(&f.ca, true, -60, 3600), "127.0.0.1",
		"unsuitable certificate purpose (of alpha-1)",
		"refused by peer: unsupported certificate");
	SSL_CTX_free(none);
	none = SSL_CTX_new(TLS_client_method());
	assert_int_equal(SSL_CTX_load_verify_file(none, tls_fixture_path(&f, "ca.crt")), 1);
	SSL_CTX_set_verify(none, SSL_VERIFY_PEER, NULL);
	check_pair(
		NULL, none, "127.0.0.1", "no certificate", "refused by peer: certificate required");
}

/* The client is in the middle of sending when the refusal comes: it still learns why. */
static void test_refused_while_sending(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct world world;

		world_init(&world, NULL, sensor_ctx(&f.ca, false, -7200, -60));
		w->client.to_send = 32 * MIB;
		connect_to("127.0.0.1", w->port);
		run();
		expect_reasons("certificate has expired (of alpha-1)",
			"refused by peer: certificate expired");
		assert_true(w->client.ready && w->client.sent > 0);
		world_done();
	}
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
		"certificate revoked (of alpha-1)", "refused by peer: certificate revoked");
	tls_fixture_crl(&f, "expired.crl", NULL, -60);
	check_pair(tls_fixture_ctx(&f, true, "expired.crl"), NULL, "127.0.0.1",
		"CRL has expired (of alpha-1)", "refused by peer: certificate expired");
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
	check_identity((const char *[]){"urn:hirundo:viewer:a", NULL}, TLS_PEER_FOREIGN);
	check_identity((const char *[]){"urn:hirundo:sensor:a", "urn:hirundo:viewer:a", NULL},
		TLS_PEER_MANY_URI);
	check_identity((const char *[]){"urn:hirundo:sensor:a", NULL}, TLS_PEER_OK);
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
		cmocka_unit_test(test_refused_while_sending),
		cmocka_unit_test(test_server_certificates),
		cmocka_unit_test(test_revocation),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_old_version),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
