/*
 * One connection of a sensor: TLS -> HELLO -> STREAM -> DRAIN. Frames in, ACKs out. Checks who it
 * is, that each record follows the one before, and nothing of what records say: that is ingest's.
 *
 * The newest connection of a sensor wins; the older one is refused as superseded. Correctness does
 * not depend on it: ingest advances only from the expected predecessor.
 */
#ifndef HIRUNDO_COLLECTOR_SESSION_H
#define HIRUNDO_COLLECTOR_SESSION_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

struct addresses;
struct ingest;
struct registry;
struct session;

struct session_counters {
	uint64_t accepted;
	uint64_t over_limit; /* not taken, or ended for a newer one */
	uint64_t handshake_failed; /* before TLS was up */
	uint64_t refused; /* after it: unknown, disabled, protocol broken */
	uint64_t superseded;
	uint64_t frames, bytes_received, bytes_sent; /* of connections that ended */
};

/** What all sessions share. */
struct session_host {
	uv_loop_t *loop;
	SSL_CTX *tls; /* for new sessions; replaced on reload */
	struct registry *registry;
	struct ingest *ingest;
	struct addresses *addresses;
	uint64_t credit;
	struct session *sessions; /* utlist, all of them */
	unsigned sessions_n;
	struct session_counters counters;
	int64_t strangers_us; /* monotonic: the second whose lines about strangers are counted */
	unsigned strangers_n;
	void (*on_empty)(void *arg); /* the last session is gone; may be NULL */
	void *arg;
};

/** Takes over an accepted connection (heap handle, freed by the session also on error). */
int session_new(struct session_host *host, uv_tcp_t *tcp) MUST_CHECK;

/** Ends the oldest connection that has shown no certificate yet, in favour of a newer one.
 *  @return false: there is none */
bool session_make_room(struct session_host *host);

/** Once a second: deadlines (handshake, HELLO, a frame under way, silence). */
void session_sweep(struct session_host *host);

/** Cuts the sensor's connection, with the reason DISABLED. */
void session_disable(struct session_host *host, int32_t sensor_id);

/** SHUTDOWN to everybody: no further record is taken, ACKs of what is under way still go out until
 *  session_close_all(). */
void session_drain_all(struct session_host *host);
void session_close_all(struct session_host *host);

/** For /metrics, in the order of the list. */
struct session_info {
	const char *name; /* of the sensor; "" before HELLO */
	bool streaming;
	int64_t clock_offset_us;
	int64_t last_record_us; /* wall clock, 0 = none yet */
};
struct session_info session_info(const struct session *s);
struct session *session_next(const struct session *s);

#endif
