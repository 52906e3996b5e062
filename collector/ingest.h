/*
 * Records into PostgreSQL, exactly once.
 *
 * A transaction holds consecutive records of one sensor: it advances hirundo.ingest_state from the
 * expected predecessor (sequence *and* checksum), copies the rows, writes the books and marks, and
 * commits. Acknowledged means committed. Several connections work in parallel; a sensor never has
 * two transactions open.
 *
 * Queue: records wait here in order, by sensor (lane). Memory is bounded by the budget: above it,
 * ingest_can_take() is false and sessions stop reading.
 *
 * Unknown outcome (connection lost at COMMIT): read the state again, decide. What the database
 * refuses as data (SQLSTATE class 22, 23, 54) is tried alone and then goes to ingest_reject in the
 * transaction that advances the sequence; so does what does not decode. Everything else is tried
 * again, for ever, with back-off: the database is away.
 */
#ifndef HIRUNDO_COLLECTOR_INGEST_H
#define HIRUNDO_COLLECTOR_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/mem.h"
#include "proto/frame.h"

struct enrich;
struct ingest;

struct ingest_options {
	const char *dsn; /* libpq connection string */
	unsigned connections; /* 1 to 16 */
	size_t budget_bytes; /* frames waiting, of all sensors */
	uint32_t transaction_rows; /* aim: rows in one transaction */
	uint64_t reject_bytes; /* frames kept in ingest_reject for each sensor; beyond: counted only
				*/
	bool hold; /* no record starts before ingest_set_enrich() was called */
};

struct ingest_counters {
	uint64_t records, rows, packets, bytes; /* committed */
	uint64_t transactions, retries, reconnects;
	uint64_t quarantined_packets, rejected_records, rejected_packets, lost_packets;
	uint64_t rows_not_kept; /* over the bound of a sensor's quarantine: counted only */
	uint64_t samples_dropped; /* payload samples out of time */
	uint64_t queued_bytes, queued_records; /* now */
	unsigned connected; /* connections up now */
	int64_t last_commit_us; /* CLOCK_REALTIME, 0 = never */
	int64_t max_lag_us; /* received -> committed, of the last minute */
};

/** What became of records, told in order, from the loop. */
struct ingest_callbacks {
	/** Everything of the stream up to seq is committed.
	 *  taken: of a capture something was not stored, because another stream delivers it; the
	 *  sensor has to ask how far it has come */
	void (*on_committed)(
		void *arg, uint64_t epoch, uint64_t seq, uint64_t checksum, bool taken);
	/** The state in the database is not what the lane expects (restored, forked, another
	 * session was faster): the lane takes nothing more and is only good for
	 * ingest_lane_close(); the sensor has to say HELLO again. reason: static text */
	void (*on_conflict)(void *arg, bool forked, const char *reason);
	/** The queue fell below its mark: reading may go on. */
	void (*on_room)(void *arg);
};

int ingest_new(uv_loop_t *loop, const struct ingest_options *o, struct ingest **ret) MUST_CHECK;

/** Finishes what is queued (or gives up after timeout_ms), closes connections, then calls done. */
void ingest_drain(struct ingest *g, unsigned timeout_ms, void (*done)(void *arg), void *arg);
struct ingest *ingest_free(struct ingest *g); /* after done */

/** A sensor's queue. One at a time for each sensor: opening closes the lane before, whose open
 *  transaction is finished first (on_* of the old lane come no more). */
struct lane;
struct ingest_lane_info {
	int32_t sensor_id;
	bool allow_capture;
};
int ingest_lane_open(struct ingest *g, const struct ingest_lane_info *info,
	const struct ingest_callbacks *cb, void *arg, struct lane **ret) MUST_CHECK;
/** Not yet started records are forgotten: the sensor still has them. Every lane is closed by who
 *  opened it, once, before ingest_free(). */
void ingest_lane_close(struct lane *lane);

/** Records of an epoch follow (seq, checksum), as WELCOME said. Once for each stream. */
void ingest_lane_position(
	struct lane *lane, uint64_t epoch, uint64_t seq, uint64_t checksum, uint64_t packets_total);

bool ingest_can_take(const struct ingest *g);

/** Takes one checked frame (header parsed, checksum right, chain right: the session saw to it).
 *  @param frame  malloc'd, taken over
 *  @param received_us  CLOCK_REALTIME
 *  @param clock_offset_us  STATUS: the sensor's wall clock less ours, for sensor_status; NULL = not
 *  known, or another record
 *  @return 0, -ENOMEM, -EPROTO (it does not follow the record before it; nothing was taken but the
 *  frame's memory) */
int ingest_put(struct lane *lane, const struct frame_header *h, uint8_t *frame, size_t n,
	int64_t received_us, const int64_t *clock_offset_us) MUST_CHECK;

/** No further record starts before ingest_set_enrich() is called. */
void ingest_hold(struct ingest *g);

/** Rows are enriched by this table from the next record on (NULL: by none); the one before is not
 * used any more when this returns. Borrowed. */
void ingest_set_enrich(struct ingest *g, const struct enrich *e);

const struct ingest_counters *ingest_counters(const struct ingest *g);

#endif
