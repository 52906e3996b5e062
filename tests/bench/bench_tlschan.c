/*
 * What a TLS connection costs the collector's side: resident bytes of an idle one (1,000 of them,
 * after handshake and a few bytes each way), and the rate of a bulk transfer on one core each side.
 * Exits 1 where an idle connection is above IDLE_MAX.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "collector/pki.h"
#include "common/clock.h"
#include "common/tlschan.h"
#include "common/tlsctx.h"

#define CONNECTIONS 1000u
#define BULK_BYTES (UINT64_C(256) << 20)
/** Of the 128 KiB that a connected sensor may cost in all, bytes. */
#define IDLE_MAX (64u * 1024u)

static char dir[] = "/tmp/bench_tlschan.XXXXXX";
static uint8_t block[256 * 1024];

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "bench_tlschan: %s failed\n", what);
	exit(2);
}

static const char *path(const char *name)
{
	static char paths[8][64];
	static unsigned at;
	char *p = paths[at++ % ARRAY_SIZE(paths)];

	(void)snprintf(p, sizeof(paths[0]), "%.40s/%.20s", dir, name);
	return p;
}

static SSL_CTX *context(const struct pki_ca *ca, bool server)
{
	const char *hosts[] = {"127.0.0.1", NULL};
	const struct tlsctx_options o = {.server = server,
		.ca_file = path("ca"),
		.cert_file = path("cert"),
		.key_file = path("key")};
	EVP_PKEY *key;
	X509 *cert;
	SSL_CTX *ctx;
	char *reason;

	check((server ? pki_issue_server(ca, hosts, 1, &key, &cert)
		      : pki_issue_sensor(ca, "bench", 1, &key, &cert)) == 0,
		"certificate");
	check(pki_write_cert(path("cert"), cert, true) == 0 &&
			pki_write_key(path("key"), key, true) == 0,
		"writing");
	check(tlsctx_new(&o, &ctx, &reason) == 0, "context");
	EVP_PKEY_free(key);
	X509_free(cert);
	return ctx;
}

/* Resident bytes that are not shared with files. */
static uint64_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	uint64_t size = 0, rss = 0, shared = 0;

	check(f && fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64, &size, &rss, &shared) == 3,
		"statm");
	(void)fclose(f);
	return (rss - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct {
	uv_loop_t loop;
	SSL_CTX *ctx;
	unsigned wanted, open, answered, closed;
	uint64_t received, bulk_sent;
	bool client, bulk;
} w;

static void fill(struct tlschan *c)
{
	while (w.bulk_sent < BULK_BYTES && tlschan_write(c, block, sizeof(block)))
		w.bulk_sent += sizeof(block);
	if (w.bulk_sent >= BULK_BYTES)
		tlschan_close(c, "done");
}

static void on_ready(struct tlschan *c, void *arg)
{
	(void)arg;
	w.open++;
	if (w.client && w.bulk)
		fill(c);
	else if (w.client)
		check(tlschan_write(c, block, 200), "write");
}

static size_t on_data(struct tlschan *c, void *arg, const uint8_t *p, size_t n)
{
	(void)arg;
	(void)p;
	w.received += n;
	if (!w.client && !w.bulk) {
		w.answered++;
		check(tlschan_write(c, block, 100), "write");
	}
	return n;
}

static void on_writable(struct tlschan *c, void *arg)
{
	(void)arg;
	fill(c);
}

static void on_closed(struct tlschan *c, void *arg, const char *reason)
{
	(void)c;
	(void)arg;
	(void)reason;
	w.closed++;
}

static const struct tlschan_callbacks callbacks = {on_ready, on_data, on_writable, on_closed};

static void start(uv_tcp_t *tcp)
{
	struct tlschan *c;

	check(tlschan_new(tcp, w.ctx, w.client ? "127.0.0.1" : NULL, 60000, &callbacks, NULL, &c) ==
			0,
		"channel");
}

static uv_tcp_t *new_tcp(void)
{
	uv_tcp_t *tcp = malloc(sizeof(*tcp));

	check(tcp && uv_tcp_init(&w.loop, tcp) == 0, "tcp");
	return tcp;
}

static void on_connection(uv_stream_t *listener, int status)
{
	uv_tcp_t *tcp = new_tcp();

	check(status == 0 && uv_accept(listener, (uv_stream_t *)tcp) == 0, "accept");
	start(tcp);
}

static void on_connect(uv_connect_t *req, int status)
{
	check(status == 0, "connect");
	start((uv_tcp_t *)req->handle);
	free(req);
}

static void clients(const struct sockaddr_in *sa)
{
	for (unsigned i = 0; i < w.wanted; i++) {
		uv_connect_t *req = malloc(sizeof(*req));

		check(req && uv_tcp_connect(
				     req, new_tcp(), (const struct sockaddr *)sa, on_connect) == 0,
			"connect");
		while (w.open < i / 64 * 64) /* no storm: that is another test */
			(void)uv_run(&w.loop, UV_RUN_ONCE);
	}
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	_exit(0);
}

/* Listens, starts the clients in a process of their own. */
static pid_t begin(SSL_CTX *server, SSL_CTX *client, unsigned n, bool bulk, uv_tcp_t *listener)
{
	struct sockaddr_in sa;
	int len = sizeof(sa);
	pid_t pid;

	memset(&w, 0, sizeof(w));
	w.wanted = n;
	w.bulk = bulk;
	w.ctx = server;
	check(uv_loop_init(&w.loop) == 0 && uv_tcp_init(&w.loop, listener) == 0, "loop");
	check(uv_ip4_addr("127.0.0.1", 0, &sa) == 0 &&
			uv_tcp_bind(listener, (struct sockaddr *)&sa, 0) == 0 &&
			uv_listen((uv_stream_t *)listener, 128, on_connection) == 0 &&
			uv_tcp_getsockname(listener, (struct sockaddr *)&sa, &len) == 0,
		"listen");
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		check(uv_loop_init(&w.loop) == 0, "loop");
		w.client = true;
		w.ctx = client;
		clients(&sa);
	}
	return pid;
}

static int idle(SSL_CTX *server, SSL_CTX *client)
{
	uint64_t before, each;
	uv_tcp_t listener;
	int status;
	pid_t pid = begin(server, client, CONNECTIONS, false, &listener);

	while (w.answered <
		1) /* what the first handshake makes OpenSSL allocate is no connection's */
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	before = resident();
	while (w.answered < CONNECTIONS)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	for (int i = 0; i < 50; i++) {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		(void)usleep(1000);
	}
	each = (resident() - before) / (CONNECTIONS - 1);
	(void)printf("idle_connections=%u resident_bytes_each=%" PRIu64 " limit=%u\n", CONNECTIONS,
		each, IDLE_MAX);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	uv_close((uv_handle_t *)&listener, NULL);
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	check(w.closed == CONNECTIONS && uv_loop_close(&w.loop) == 0, "close");
	return each <= IDLE_MAX ? 0 : 1;
}

static void bulk(SSL_CTX *server, SSL_CTX *client)
{
	uv_tcp_t listener;
	int64_t from, took;
	int status;
	pid_t pid = begin(server, client, 1, true, &listener);

	while (w.received == 0)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	from = clock_mono_us();
	while (w.closed == 0)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	took = clock_mono_us() - from;
	check(w.received == BULK_BYTES, "transfer");
	(void)printf("bulk_mib_per_s=%" PRIu64 "\n", (BULK_BYTES >> 20) * 1000000 / (uint64_t)took);
	(void)waitpid(pid, &status, 0);
	uv_close((uv_handle_t *)&listener, NULL);
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	check(uv_loop_close(&w.loop) == 0, "close");
}

int main(void)
{
	const struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
	SSL_CTX *server, *client;
	struct pki_ca ca;
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	check(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
	check(mkdtemp(dir) && pki_ca_create("bench", &ca) == 0 &&
			pki_write_cert(path("ca"), ca.cert, true) == 0,
		"CA");
	server = context(&ca, true);
	client = context(&ca, false);
	pki_ca_done(&ca);
	r = idle(server, client);
	bulk(server, client);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	(void)unlink(path("ca"));
	(void)unlink(path("cert"));
	(void)unlink(path("key"));
	(void)rmdir(dir);
	return r;
}
