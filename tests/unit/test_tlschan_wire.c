/* TLS channels and what the network does to them: other protocols, delays, bytes one by one, cuts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/tls_world.h"

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

		if (p->sent < p->n) {
			uv_buf_t b = uv_buf_init((char *)p->bytes + p->sent, 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_handshake_deadline),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
