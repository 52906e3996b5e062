/*
 * The connection to the collector: connect, HELLO, WELCOME, records in flight within the credit,
 * ACK, connect again with decorrelated jitter. Sends what the spool has; knows nothing of packets.
 */
#ifndef HIRUNDO_SENSOR_UPLINK_H
#define HIRUNDO_SENSOR_UPLINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <uv.h>

#include "common/hostport.h"
#include "common/mem.h"
#include "proto/codec.h"

struct spool;
struct targets;
struct uplink;

struct uplink_callbacks {
	/** WELCOME came, targets are issued. capture: how far the collector has the file of HELLO.
	 */
	void (*on_welcome)(void *arg, const struct capture_position *capture);
	/** Records were acknowledged; spool_all_acked() may be true now. */
	void (*on_acked)(void *arg);
	/** Where the connection goes, before packets of it can be seen. */
	void (*on_peer)(void *arg, uint8_t family, const uint8_t *addr, uint16_t port);
	/** Another stream of this sensor delivers the capture: what ours sealed of it was not
	 * stored. WELCOME of the next connection, at once, tells how far the collector has it. */
	void (*on_taken)(void *arg);
	/** The collector refuses this sensor, or is not ours: trying again will not help soon. It
	 * is tried all the same, seldom; a program that waits may give up. reason: for the log */
	void (*on_refused)(void *arg, const char *reason);
};

struct uplink_options {
	struct hostport collector;
	struct spool *spool;
	struct targets *targets;
	bool has_capture;
	uint64_t capture_xxh3; /* has_capture: of the file to ask for */
	uint32_t retry_min_ms,
		retry_max_ms; /* between two tries; a refused sensor waits the longest */
};

/** @param ctx  taken over (a reference) */
int uplink_new(uv_loop_t *loop, const struct uplink_options *o, SSL_CTX *ctx,
	const struct uplink_callbacks *cb, void *arg, struct uplink **ret) MUST_CHECK;

/** Starts connecting. */
void uplink_start(struct uplink *u);

/** New records are in the spool. */
void uplink_kick(struct uplink *u);

/** Connections from now on use ctx (taken over). */
void uplink_set_tls(struct uplink *u, SSL_CTX *ctx);

uint64_t uplink_bytes_sent(const struct uplink *u);

/** Closes; done is called once nothing of it is left on the loop, then uplink_free. */
void uplink_close(struct uplink *u, void (*done)(void *arg), void *arg);
struct uplink *uplink_free(struct uplink *u);

#endif
