/* Two TLS channels over loopback sockets in one loop, and what each end has seen. For cmocka tests.
 */
#ifndef HIRUNDO_TESTS_TLS_WORLD_H
#define HIRUNDO_TESTS_TLS_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/tlschan.h"
#include "common/tlsctx.h"
#include "tests/unit/tls_fixture.h"

#define MIB (1024u * 1024u)
#define HANDSHAKE_MS 3000u

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

extern struct tls_fixture f; /* made by world_setup */
extern struct world *w; /* one at a time, made by world_init */

/* Group set-up and tear-down. */
int world_setup(void **state);
int world_teardown(void **state);

/** Listens; accepted connections become w->server. Takes the contexts; NULL: the good ones. */
void world_init(struct world *world, SSL_CTX *server_ctx, SSL_CTX *client_ctx);
/** Fails where something was not closed or freed. */
void world_done(void);

/** w->client connects to a port of this machine. @param host  what the certificate must carry */
void connect_to(const char *host, unsigned short port);

/** Writes what is left of to_send, as far as the channel takes it. */
void send_more(struct side *s);

/** Run the loop: until nothing is left to happen; until done(); for a while. */
void run(void);
void run_until(bool (*done)(void));
void run_for(int64_t ms);

bool both_ready(void);
bool all_received(void);

/** Both ends are closed, for these reasons. */
void expect_reasons(const char *server, const char *client);

#endif
