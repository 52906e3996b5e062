/*
 * A TLS connection over a uv_tcp_t by a bounded BIO pair: bytes in, bytes out, back-pressure both
 * ways, absolute deadlines, and always a reason when it closes. Used by both ends; knows no frames.
 *
 * Life: tlschan_new -> (on_ready) -> on_data / on_writable ... -> on_closed once, exactly. After
 * tlschan_close() no callback but on_closed comes; the channel frees itself after on_closed
 * returned.
 */
#ifndef HIRUNDO_COMMON_TLSCHAN_H
#define HIRUNDO_COMMON_TLSCHAN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <uv.h>

#include "common/mem.h"

struct tlschan;

struct tlschan_callbacks {
	/** The handshake is done and the peer's certificate was verified *by us*. A TLS 1.3 client
	 * may be refused after this: only an application answer proves acceptance. */
	void (*on_ready)(struct tlschan *c, void *arg);
	/** Plaintext. @return bytes used; fewer than n pauses reading until tlschan_read_more() */
	size_t (*on_data)(struct tlschan *c, void *arg, const uint8_t *p, size_t n);
	/** The output queue fell below its low mark after tlschan_write() was refused. */
	void (*on_writable)(struct tlschan *c, void *arg);
	/** reason: static or channel-owned text, printable, without addresses: "closed by peer",
	 *  "certificate has expired", "handshake timeout", "connection reset" ... */
	void (*on_closed)(struct tlschan *c, void *arg, const char *reason);
};

/** Takes over a connected (or accepted) tcp handle, heap allocated by the caller with malloc: the
 *  channel closes and frees it, also on error.
 *  @param host  client: name or address that the server's certificate must carry; server: NULL
 *  @param handshake_ms  absolute deadline */
int tlschan_new(uv_tcp_t *tcp, SSL_CTX *ctx, const char *host, unsigned handshake_ms,
	const struct tlschan_callbacks *cb, void *arg, struct tlschan **ret) MUST_CHECK;

/** Queues plaintext, copied. @return true when taken; false when the queue is full (all or
 * nothing): wait for on_writable. The queue takes any single write of up to 1 MiB when it is empty.
 */
bool tlschan_write(struct tlschan *c, const void *p, size_t n) MUST_CHECK;

/** Stops / goes on delivering plaintext; while stopped the socket is not read either. */
void tlschan_pause(struct tlschan *c);
void tlschan_read_more(struct tlschan *c);

/** Flushes, sends close_notify, waits for the peer's up to 5 s, closes. Idempotent. reason goes to
 *  on_closed; borrowed for the call. */
void tlschan_close(struct tlschan *c, const char *reason);

/** Closes at once, without flushing (deadlines, hostile peers). */
void tlschan_abort(struct tlschan *c, const char *reason);

SSL *tlschan_ssl(struct tlschan *c);

/** Whether one side did not accept the other's certificate: trying again does not help. */
bool tlschan_distrusted(const struct tlschan *c);

/** Peer address for owner-only tables, never for logs. @return 0, UV_E* */
int tlschan_peer(const struct tlschan *c, char *buf, size_t n) MUST_CHECK;

/** TCP payload bytes so far, TLS included. */
uint64_t tlschan_bytes_sent(const struct tlschan *c);
uint64_t tlschan_bytes_received(const struct tlschan *c);

#endif
