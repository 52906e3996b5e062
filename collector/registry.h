/*
 * What the database knows of sensors, for sessions: identity, state of the streams, target
 * ordinals. Its own connection, apart from ingest. A copy of hirundo.sensor is refreshed every 20
 * s: who is disabled is disconnected within a minute.
 */
#ifndef HIRUNDO_COLLECTOR_REGISTRY_H
#define HIRUNDO_COLLECTOR_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

struct registry;

struct registry_sensor {
	int32_t sensor_id;
	char name[64]; /* of the certificate's URN; the label may have been changed */
	bool allow_capture;
	bool disabled;
};

struct registry_callbacks {
	/** After a refresh found the sensor disabled or gone; again after each refresh while
	 * disabled. */
	void (*on_disabled)(void *arg, int32_t sensor_id);
};

int registry_new(uv_loop_t *loop, const char *dsn, const struct registry_callbacks *cb, void *arg,
	struct registry **ret) MUST_CHECK;
void registry_close(struct registry *r, void (*done)(void *arg), void *arg);
struct registry *registry_free(struct registry *r);

/** True while the database answers. */
bool registry_up(const struct registry *r);
/** Sensors enrolled and not disabled, as of the last refresh. */
unsigned registry_sensors(const struct registry *r);

/* One HELLO, answered from the database. */

struct registry_stream {
	uint64_t epoch;
	uint64_t offered_seq, offered_packets; /* in: the sensor's newest */
	uint64_t last_seq, last_checksum, packets_total; /* out: committed */
};

struct registry_address {
	uint8_t family, prefix_length;
	uint8_t address[16];
	bool has_captured;
	uint8_t captured[16];
	uint32_t first_target; /* in: as the sensor has it, 0 = not yet; out */
};

struct registry_hello {
	char name[64]; /* in: from the certificate */
	char peer[64]; /* in: numeric address, owner-only table */
	char software[65]; /* in */
	struct registry_stream *streams;
	size_t streams_n;
	struct registry_address *addresses;
	size_t addresses_n;
	uint32_t next_target; /* in: new ordinals are not below */
	char reason[128]; /* out with REGISTRY_INVALID: what the database says of it */
	bool has_capture;
	uint64_t capture_xxh3; /* in */
	uint32_t capture_generation; /* out: the latest one of this file, 0 where it is not known */
	uint64_t capture_ordinal; /* out: of that generation */
	bool capture_complete; /* out */
	uint64_t capture_epoch; /* out: stream that delivered the last of it; 0 = none */

	struct registry_sensor sensor; /* out */
	uint64_t connection; /* out: for registry_disconnected() */
};

enum registry_res {
	REGISTRY_OK = 0,
	REGISTRY_UNKNOWN = 1, /* no such sensor */
	REGISTRY_DISABLED = 2,
	REGISTRY_UNAVAILABLE = 3, /* database away, or it took over 4 s */
	REGISTRY_INVALID = 4, /* the database refuses the addresses or streams that HELLO names */
};

/** Answers from the loop, exactly once, unless cancelled. hello stays the caller's and must live
 * until then. @return 0, -ENOMEM */
typedef void (*registry_hello_cb)(void *arg, struct registry_hello *hello, enum registry_res res);
struct registry_request;
int registry_hello(struct registry *r, struct registry_hello *hello, registry_hello_cb cb,
	void *arg, struct registry_request **ret) MUST_CHECK;

/** Which of these records is committed with this checksum, highest sequence first (CONFIRM). */
struct registry_confirm {
	int32_t sensor_id;
	uint64_t epoch;
	const uint64_t *seq, *checksum; /* borrowed until the answer */
	size_t n;
	uint64_t found_seq, found_checksum, found_packets_total; /* out, zero = none */
};
typedef void (*registry_confirm_cb)(void *arg, struct registry_confirm *c, enum registry_res res);
int registry_confirm(struct registry *r, struct registry_confirm *c, registry_confirm_cb cb,
	void *arg, struct registry_request **ret) MUST_CHECK;

/** The answer is no longer wanted; cb will not be called. */
void registry_cancel(struct registry_request *q);

/** Notes the end of a connection (owner-only table); fire and forget. */
void registry_disconnected(
	struct registry *r, int32_t sensor_id, uint64_t connection, const char *reason);

#endif
