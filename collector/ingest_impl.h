/* What ingest.c (queues, lanes, dispatch) and ingest_conn.c (transactions) share. */
#ifndef HIRUNDO_COLLECTOR_INGEST_IMPL_H
#define HIRUNDO_COLLECTOR_INGEST_IMPL_H

#include "collector/ingest.h"
#include "collector/pg.h"
#include "collector/txn.h"
#include "common/backoff.h"
#include "common/log.h"

struct conn;
struct slot;

/* Where the next record of a stream has to attach. */
struct tail {
	uint64_t epoch;
	struct position at;
};

struct lane {
	struct ingest *g;
	struct slot *slot; /* NULL: superseded or in conflict; takes nothing more */
	struct ingest_lane_info info;
	struct ingest_callbacks cb;
	void *arg;
	struct tail *tails;
	size_t tails_n;
	struct capture_files captures; /* as the last transaction left them */
	struct record *queue; /* utlist */
	unsigned room_round; /* told of the room in this round */
};

/* A sensor: at most one lane and one transaction. */
struct slot {
	struct slot *prev, *next;
	struct slot *ready_prev, *ready_next;
	int32_t sensor_id;
	struct lane *lane;
	struct conn *conn; /* with its transaction */
	bool ready; /* in the list */
	int64_t retry_us; /* monotonic; 0 = at once */
	struct backoff backoff;
	size_t solo; /* records to be tried alone: one of them spoils the transaction */
};

enum step {
	STEP_IDLE,
	STEP_LOAD, /* settings and days */
	STEP_DAYS, /* partitions are made */
	STEP_QUARANTINE, /* how much room is there? */
	STEP_CAPTURES, /* how far are the captures committed? */
	STEP_BEGIN, /* no rows: BEGIN and UPDATE alone */
	STEP_COPY, /* BEGIN and UPDATE go before the first one */
	STEP_BOOKS, /* and COMMIT */
	STEP_STATE, /* the state was not as expected */
	STEP_ROLLBACK,
};

struct conn {
	struct ingest *g;
	struct pg *pg;
	enum step step;
	struct slot *slot;
	struct lane *lane; /* NULL: it was closed; the transaction ends in silence */
	struct txn txn;
	struct buf sql;
	unsigned copied; /* COPYs done: rows, quarantine, samples */
	bool advanced; /* the UPDATE found its row */
	size_t days_asked;
	bool days_live;
};

struct ingest {
	uv_loop_t *loop;
	struct ingest_options o;
	struct ingest_counters counters;
	struct txn_shared shared;
	struct conn conns[16];
	struct slot *slots, *ready; /* utlist */
	bool slots_changed;
	bool loaded; /* settings and days were read */
	bool loading;
	int64_t load_us; /* monotonic: when to read them (again) */
	bool full;
	bool held; /* until the table for address data is known */
	unsigned room_round;
	int64_t lag_us[2], lag_turn_us; /* highest of this minute and of the one before */

	uv_timer_t tick, retry, drain;
	bool closing;
	unsigned handles; /* to be closed */
	void (*done)(void *arg);
	void *done_arg;
	struct log_limit log_down, log_retry, log_reject;
};

/* ingest_conn.c */

/** Takes records of the slot's lane into a transaction and starts it. */
void conn_start(struct conn *c, struct slot *slot);
void conn_load(struct conn *c);

/* ingest.c */

void ingest_forget(struct ingest *g, struct record *r); /* frees it; it no longer counts */
/** The transaction is over; its records are gone or back in the lane.
 *  @param wait  after a failure: not at once */
void ingest_release(struct conn *c, bool wait);
/** The lane takes nothing more. */
void ingest_lane_detach(struct lane *lane);
/** Starts what can be started, tells of room, ends the drain. */
void ingest_go_on(struct ingest *g);

#endif
