/*
 * A transaction of ingest in the making: records of one stream become COPY data, counts and the
 * text of the books. Knows the tables, not the connection.
 *
 * Rules for a row's time: live rows more than 10 minutes ahead of their arrival or older than raw
 * retention go to quarantine; rows of a capture carry their own times and get their days on demand,
 * within the bound that the database keeps.
 */
#ifndef HIRUNDO_COLLECTOR_TXN_H
#define HIRUNDO_COLLECTOR_TXN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/days.h"
#include "common/buf.h"
#include "common/mem.h"
#include "proto/codec.h"
#include "proto/frame.h"

struct enrich;

/** Live rows may be this far ahead of their arrival. */
#define TXN_FUTURE_US (600 * US_PER_S)
/** Rows kept in quarantine for each sensor; beyond: counted only. About 150 bytes each. */
#define TXN_QUARANTINE_ROWS 200000u
/** A point in a stream. */
struct position {
	uint64_t seq, checksum, packets_total;
};

/** A record that waits. */
struct record {
	struct record *prev, *next;
	struct frame_header header;
	struct position before; /* of the record in front of it */
	uint64_t chain; /* its chain checksum: what the next record's prev_checksum is */
	uint64_t packets; /* by which packets_total grows */
	int64_t received_us;
	bool has_clock_offset;
	int64_t clock_offset_us; /* STATUS: the sensor's clock less ours */
	char *refused; /* why the database did not take it; heap, NULL = not tried or fine */
	uint8_t *frame;
	size_t n;
};

/** Rows and packets of a record in a UTC day. */
struct day_sum {
	int32_t day;
	uint32_t rows;
	uint64_t packets;
};

/** How far a capture file is committed, and by which stream. */
struct capture_at {
	bool exists;
	uint64_t ordinal, epoch;
	bool complete;
};

/** A capture file that records of a transaction belong to. */
struct capture_file {
	uint64_t xxh3;
	uint32_t generation;
	bool known; /* `committed` was read */
	struct capture_at committed, now; /* in the database, and with the records so far */
	int64_t received_us; /* of the last one that moved it; 0 = none */
};

struct capture_files {
	struct capture_file *at;
	size_t n, cap;
};

/** Rows of a record in a bucket of 15 minutes. */
struct bucket_sum {
	int64_t bucket; /* since 1970 */
	int64_t first_us, last_us; /* observed_at */
	uint32_t rows;
};

/** What all transactions share. */
struct txn_shared {
	struct codec *codec;
	const struct enrich *enrich;
	struct days known; /* days that have partitions, as far as is known */
	int64_t retention_us; /* of raw rows */
	uint64_t reject_bytes; /* kept in ingest_reject for each sensor */
	/* Scratch for the record under way. */
	struct bucket_sum *buckets; /* BATCH_MAX_ROWS; one bucket may come several times */
	size_t buckets_n;
	struct day_sum *day_sums;
	size_t day_sums_n, day_sums_cap;
};

struct txn_sums {
	uint64_t records, rows, packets, bytes;
	uint64_t stored, quarantined, rejected, lost; /* packets */
	uint64_t rejected_records, samples_dropped, rows_not_kept;
	uint64_t taken_records; /* of rejected_records: of a capture that another stream delivers
				 */
};

struct txn {
	int32_t sensor_id;
	bool allow_capture;

	struct record *records; /* utlist */
	size_t records_n;

	/* Filled by txn_add(). */
	struct buf rows, quarantine, samples; /* COPY data */
	uint32_t rows_n, quarantine_n, samples_n;
	uint32_t weight; /* rows and samples read so far */
	struct buf batches, days, marks, others; /* text: VALUES of the tables, other statements */
	struct txn_sums sums;
	/* Days to be asked for, of captures and of live rows. Where there are any, the transaction
	 * has to be built again. */
	struct days missing, missing_live;
	struct days refused; /* days that the sensor may not have */
	uint32_t quarantine_room; /* rows that may still be kept */
	bool quarantine_known; /* quarantine_room was read; else wants_quarantine is set where
				  needed */
	bool wants_quarantine;
	struct capture_files captures;
	bool wants_captures; /* some of them are not known yet */
};

/** s is zeroed. @return 0, -ENOMEM */
int txn_shared_init(struct txn_shared *s) MUST_CHECK;
void txn_shared_done(struct txn_shared *s);

/** @param weight  the transaction takes no further record once t->weight has reached this */
void txn_init(struct txn *t, uint32_t weight);
void txn_done(struct txn *t); /* the records too */

/** Empties what txn_add() filled. */
void txn_restart(struct txn *t);

/** Puts a record of t->records into the transaction. @return 0, -ENOMEM, -ENOBUFS (over its bound)
 */
int txn_add(struct txn *t, struct txn_shared *s, const struct record *r) MUST_CHECK;

/** COPY data ends here. @return 0, -ENOMEM, -ENOBUFS */
int txn_seal(struct txn *t) MUST_CHECK;

/** "BEGIN; UPDATE ...; " that advances the state from the first record's predecessor to the last.
 */
int txn_begin_sql(const struct txn *t, struct buf *out) MUST_CHECK;
/** The books, ending with COMMIT. */
int txn_books_sql(const struct txn *t, struct buf *out) MUST_CHECK;
/** What is committed of this stream: the state, then those of our records that are there. */
int txn_state_sql(const struct txn *t, struct buf *out) MUST_CHECK;

/** How far are the captures committed? (txn_captures_answer() takes the rows.) */
int txn_captures_sql(const struct txn *t, struct buf *out) MUST_CHECK;
void txn_captures_answer(struct txn *t, const PGresult *rows);
/** They were committed as they are now. */
void txn_captures_committed(struct txn *t);

struct record *record_free(struct record *r);

#endif
