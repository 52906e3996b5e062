/* The books of a transaction as SQL text: what each record adds to them. Internal to txn. */
#ifndef HIRUNDO_COLLECTOR_TXN_BOOKS_H
#define HIRUNDO_COLLECTOR_TXN_BOOKS_H

#include "collector/txn.h"

#define BUCKET_US (900 * US_PER_S)

/** What a record adds. */
struct books {
	uint64_t stored, quarantined, rejected, lost; /* packets */
	uint64_t not_kept; /* of quarantined: its rows had no room there */
	uint32_t rows, stored_rows, samples, fold_early;
	int64_t first_us, last_us; /* first > last: none */
};

/* The first error of a series sticks. */
#define TRY(r, call)                  \
	do {                          \
		if ((r) == 0)         \
			(r) = (call); \
	} while (0)

/** Widens a bucket by rows of these times. */
static inline void bucket_add(
	struct bucket_sum *b, int64_t first_us, int64_t last_us, uint32_t rows)
{
	if (first_us < b->first_us)
		b->first_us = first_us;
	if (last_us > b->last_us)
		b->last_us = last_us;
	b->rows += rows;
}

/* All return 0, -ENOMEM, -ENOBUFS. */

/** Days and dirty marks, from the scratch. */
int books_add_marks(struct txn *t, struct txn_shared *s, const struct record *r) MUST_CHECK;
/** The record's packets are counted as rejected, and nothing else of it.
 *  @param s  NULL: the frame is not kept either */
int books_reject(struct txn *t, const struct txn_shared *s, const struct record *r,
	const char *reason, struct books *books) MUST_CHECK;
/** The capture goes on with this record, or (ret_taken) another stream delivers it and the record
 * must not be stored: unless it begins where the capture ends, or behind it in the stream that
 * delivered its end, what it holds may be there already. Where that is not known, t->wants_captures
 * is set. */
int books_take_capture(struct txn *t, const struct record *r, const struct capture_position *c,
	bool *ret_taken) MUST_CHECK;
/** How far the captures have come. */
int books_add_captures(const struct txn *t, struct buf *out) MUST_CHECK;
int books_add_loss(struct txn *t, const struct txn_shared *s, const struct record *r,
	struct books *books) MUST_CHECK;
int books_add_status(struct txn *t, const struct txn_shared *s, const struct record *r,
	struct books *books) MUST_CHECK;
/** The record's own line. */
int books_add_record(struct txn *t, const struct txn_shared *s, const struct record *r,
	const struct books *b) MUST_CHECK;

#endif
