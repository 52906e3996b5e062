#include "collector/txn_books.h"

#include <inttypes.h>
#include <string.h>
#include <utlist.h>

#include "collector/enrich/enrich.h"
#include "collector/text.h"
#include "hirundo.pb-c.h"

static int compare_buckets(const void *a, const void *b)
{
	int64_t x = ((const struct bucket_sum *)a)->bucket;
	int64_t y = ((const struct bucket_sum *)b)->bucket;

	return x < y ? -1 : x > y;
}

static int add_mark(struct txn *t, const struct record *r, const struct bucket_sum *b)
{
	const struct frame_header *h = &r->header;
	int e = 0;

	TRY(e, text_add(&t->marks, "%s(%d,", buf_len(&t->marks) ? "," : "", t->sensor_id));
	TRY(e, text_add_time(&t->marks, b->bucket * BUCKET_US));
	TRY(e, text_add(&t->marks, ",%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",", h->epoch, h->seq,
		       b->rows));
	TRY(e, text_add_time(&t->marks, b->first_us));
	TRY(e, text_add(&t->marks, ","));
	TRY(e, text_add_time(&t->marks, b->last_us));
	return e == 0 ? text_add(&t->marks, ")") : e;
}

/* A STATUS or LOSS: coverage of this time is to be told anew. */
static int add_coverage_mark(struct txn *t, const struct record *r, int64_t from_us, int64_t to_us)
{
	const struct bucket_sum b = {
		.bucket = from_us / BUCKET_US,
		.first_us = from_us,
		.last_us = to_us,
	};

	return add_mark(t, r, &b);
}

/* The days and dirty marks of a record. */
int books_add_marks(struct txn *t, struct txn_shared *s, const struct record *r)
{
	const struct frame_header *h = &r->header;
	int e = 0;

	for (size_t i = 0; i < s->day_sums_n; i++) {
		const struct day_sum *d = &s->day_sums[i];

		TRY(e, text_add(&t->days, "%s(%d,%" PRIu64 ",%" PRIu64 ",",
			       buf_len(&t->days) ? "," : "", t->sensor_id, h->epoch, h->seq));
		TRY(e, text_add_day(&t->days, d->day));
		TRY(e, text_add(&t->days, ",%" PRIu32 ",%" PRIu64 ")", d->rows, d->packets));
	}
	qsort(s->buckets, s->buckets_n, sizeof(*s->buckets), compare_buckets);
	for (size_t i = 0; i < s->buckets_n; i++) {
		const struct bucket_sum *b = &s->buckets[i];

		if (i + 1 < s->buckets_n && b[1].bucket == b->bucket)
			bucket_add(&s->buckets[i + 1], b->first_us, b->last_us, b->rows);
		else
			TRY(e, add_mark(t, r, b));
	}
	return e;
}

int books_reject(struct txn *t, const struct txn_shared *s, const struct record *r,
	const char *reason, struct books *books)
{
	const struct frame_header *h = &r->header;
	struct buf *out = &t->others;
	int e = 0;

	*books = (struct books){.rejected = r->packets, .first_us = 1};
	t->sums.rejected_records++;
	TRY(e, text_add(out,
		       "INSERT INTO hirundo.ingest_reject (sensor_id, epoch, seq, packets, reason, "
		       "bytes,"
		       " received_at, frame) SELECT %d, %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", ",
		       t->sensor_id, h->epoch, h->seq, r->packets));
	TRY(e, text_add_quoted(out, reason));
	TRY(e, text_add(out, ", %zu, ", r->n));
	TRY(e, text_add_time(out, r->received_us));
	if (!s) {
		TRY(e, text_add(out, ", NULL;\n"));
		return e;
	}
	TRY(e, text_add(out,
		       ", CASE WHEN %zu + (SELECT coalesce(sum(bytes), 0) FROM "
		       "hirundo.ingest_reject"
		       " WHERE sensor_id = %d AND kept) <= %" PRIu64 " THEN decode(",
		       r->n, t->sensor_id, s->reject_bytes));
	TRY(e, text_add_hex(out, r->frame, r->n));
	TRY(e, text_add(out, ", 'hex') END;\n"));
	return e;
}

static const char *loss_reason(int reason)
{
	switch (reason) {
	case HIRUNDO__V1__LOSS__REASON__SPOOL_FULL: return "spool_full";
	case HIRUNDO__V1__LOSS__REASON__CORRUPT: return "corrupt";
	case HIRUNDO__V1__LOSS__REASON__WRITE_FAILED: return "write_failed";
	case HIRUNDO__V1__LOSS__REASON__RETENTION: return "retention";
	default: return "unknown"; /* none that codec_unpack() lets pass */
	}
}

/* A time that may be absent. */
static int add_optional_time(struct buf *out, bool has, int64_t us)
{
	return has ? text_add_time(out, us) : text_add(out, "NULL");
}

/* The time of a loss, as far as it is known; else when we heard of it. */
static int64_t loss_from(const Hirundo__V1__Loss *m, const struct record *r)
{
	return m->from_us ? m->from_us : m->to_us ? m->to_us : r->received_us;
}

static int64_t loss_to(const Hirundo__V1__Loss *m, const struct record *r)
{
	return m->to_us ? m->to_us : loss_from(m, r);
}

int books_add_loss(
	struct txn *t, const struct txn_shared *s, const struct record *r, struct books *books)
{
	const struct frame_header *h = &r->header;
	struct buf *out = &t->others;
	const char *wrong = NULL;
	Hirundo__V1__Loss *m = codec_unpack(&hirundo__v1__loss__descriptor,
		r->frame + FRAME_HEADER_SIZE, r->n - FRAME_HEADER_SIZE, &wrong);
	int e = 0;

	if (!m)
		return books_reject(t, s, r, wrong, books);
	books->lost = r->packets;
	TRY(e, text_add(out,
		       "INSERT INTO hirundo.ingest_loss (sensor_id, epoch, first_seq, seq, "
		       "packets, reason,"
		       " recorded_at, from_at, to_at) VALUES (%d, %" PRIu64 ", %" PRIu64
		       ", %" PRIu64 ", %" PRIu64 ", '%s', ",
		       t->sensor_id, h->epoch, h->first_seq, h->seq, r->packets,
		       loss_reason((int)m->reason)));
	TRY(e, text_add_time(out, r->received_us));
	TRY(e, text_add(out, ","));
	TRY(e, add_optional_time(out, m->from_us != 0, m->from_us));
	TRY(e, text_add(out, ","));
	TRY(e, add_optional_time(out, m->to_us != 0, m->to_us));
	TRY(e, text_add(out, ");\n"));
	TRY(e, add_coverage_mark(t, r, loss_from(m, r), loss_to(m, r)));
	codec_message_free(m);
	return e;
}

/* codec_unpack() has checked every value. */
static int put_status(struct txn *t, const struct record *r, const Hirundo__V1__Status *m)
{
	uint64_t ignored = m->captured - m->sealed;
	bool covers = m->covered_to_us != 0;
	struct buf *out = &t->others;
	int e = 0;

	TRY(e, text_add(out,
		       "INSERT INTO hirundo.sensor_status (sensor_id, epoch, seq, run, captured, "
		       "ignored,"
		       " sealed, kernel_drops, interface_drops, truncated, fold_early, coarse, "
		       "spool_bytes,"
		       " spool_lost, unclean_start, final, from_capture, clock_offset_us, "
		       "samples_dropped, ignored_by, software,"
		       " started_at, at, received_at, covered_from, covered_to) VALUES (%d, "
		       "%" PRIu64 ", %" PRIu64 ", %" PRId64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
		       ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
		       ", %" PRIu64 ", %s, %s, %s, ",
		       t->sensor_id, r->header.epoch, r->header.seq, (int64_t)m->run, m->captured,
		       ignored, m->sealed, m->kernel_drops, m->interface_drops, m->truncated,
		       m->fold_early, m->coarse_packets, m->spool_bytes, m->spool_lost_packets,
		       m->unclean_start ? "true" : "false", m->final ? "true" : "false",
		       m->from_capture ? "true" : "false"));
	if (r->has_clock_offset)
		TRY(e, text_add(out, "%" PRId64, r->clock_offset_us));
	else
		TRY(e, text_add(out, "NULL"));
	TRY(e, text_add(out, ", %" PRIu64 ", '{", m->samples_dropped));
	for (size_t i = 0; i < m->n_ignored; i++)
		TRY(e, text_add(out, "%s\"%s\":%" PRIu64, i ? "," : "", m->ignored[i]->reason,
			       m->ignored[i]->packets));
	TRY(e, text_add(out, "}', "));
	TRY(e, text_add_quoted(out, m->software));
	TRY(e, text_add(out, ","));
	TRY(e, text_add_time(out, m->started_us));
	TRY(e, text_add(out, ","));
	TRY(e, text_add_time(out, m->at_us));
	TRY(e, text_add(out, ","));
	TRY(e, text_add_time(out, r->received_us));
	TRY(e, text_add(out, ","));
	TRY(e, add_optional_time(out, covers, m->covered_from_us));
	TRY(e, text_add(out, ","));
	TRY(e, add_optional_time(out, covers, m->covered_to_us));
	TRY(e, text_add(out, ");\n"));
	TRY(e, add_coverage_mark(t, r, covers ? m->covered_from_us : m->at_us,
		       covers ? m->covered_to_us : m->at_us));
	return e;
}

int books_add_status(
	struct txn *t, const struct txn_shared *s, const struct record *r, struct books *books)
{
	const char *wrong = NULL;
	Hirundo__V1__Status *m = codec_unpack(&hirundo__v1__status__descriptor,
		r->frame + FRAME_HEADER_SIZE, r->n - FRAME_HEADER_SIZE, &wrong);
	int e;

	if (!m)
		return books_reject(t, s, r, wrong, books);
	e = r->packets == 0 ? put_status(t, r, m)
			    : books_reject(t, s, r, "status: packets_total grows", books);
	codec_message_free(m);
	return e;
}

int books_add_record(
	struct txn *t, const struct txn_shared *s, const struct record *r, const struct books *b)
{
	const struct frame_header *h = &r->header;
	struct buf *out = &t->batches;
	bool timed = b->first_us <= b->last_us;
	int32_t dataset = enrich_dataset(s->enrich);
	int e = 0;

	TRY(e, text_add(out,
		       "%s(%d,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRId64 ",%" PRIu64 ",%" PRIu64
		       ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",%" PRIu32
		       ",%" PRIu32 ",%" PRIu32 ",%" PRIu64 ",%zu,%u,",
		       buf_len(out) ? "," : "", t->sensor_id, h->epoch, h->seq, h->first_seq,
		       (int64_t)r->chain, h->packets_total, r->packets, b->stored, b->quarantined,
		       b->rejected, b->lost, b->rows, b->stored_rows, b->samples, b->fold_early,
		       b->not_kept, r->n, (unsigned)h->type));
	TRY(e, dataset ? text_add(out, "%d,", dataset) : text_add(out, "NULL,"));
	TRY(e, text_add_time(out, r->received_us));
	TRY(e, text_add(out, ","));
	TRY(e, add_optional_time(out, timed, b->first_us));
	TRY(e, text_add(out, ","));
	TRY(e, add_optional_time(out, timed, b->last_us));
	TRY(e, text_add(out, ")"));
	return e;
}

/* The statements. */

int txn_begin_sql(const struct txn *t, struct buf *out)
{
	const struct record *first = t->records, *last = t->records->prev;

	return text_add(out,
		"BEGIN; UPDATE hirundo.ingest_state SET last_seq = %" PRIu64
		", last_checksum = %" PRId64 ", packets_total = %" PRIu64
		", stored = stored + %" PRIu64 ", quarantined = quarantined + %" PRIu64
		", rejected = rejected + %" PRIu64 ", lost = lost + %" PRIu64
		", updated_at = now() WHERE sensor_id = %d AND epoch = %" PRIu64
		" AND last_seq = %" PRIu64 " AND last_checksum = %" PRId64 ";\n",
		last->header.seq, (int64_t)last->chain, last->header.packets_total, t->sums.stored,
		t->sums.quarantined, t->sums.rejected, t->sums.lost, t->sensor_id,
		first->header.epoch, first->before.seq, (int64_t)first->before.checksum);
}

int txn_books_sql(const struct txn *t, struct buf *out)
{
	int e = 0;

	TRY(e, text_add(out, "INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq,"
			     " checksum, packets_total, packets, stored, quarantined, rejected,"
			     " lost, rows, stored_rows, samples, fold_early, not_kept, bytes, kind,"
			     " dataset_id, received_at, first_at, last_at) VALUES "));
	TRY(e, text_add(out, "%s", text_str(&t->batches)));
	TRY(e, text_add(out, ";\n"));
	if (buf_len(&t->days) > 0) {
		TRY(e, text_add(out, "INSERT INTO hirundo.ingest_batch_day (sensor_id, epoch, seq, "
				     "day, rows,"
				     " packets) VALUES "));
		TRY(e, text_add(out, "%s", text_str(&t->days)));
		TRY(e, text_add(out, ";\n"));
	}
	if (buf_len(&t->marks) > 0) {
		TRY(e, text_add(out, "INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, "
				     "seq, rows, first_at, last_at) VALUES "));
		TRY(e, text_add(out, "%s", text_str(&t->marks)));
		TRY(e, text_add(out, ";\n"));
	}
	TRY(e, text_add(out, "%s", text_str(&t->others)));
	TRY(e, books_add_captures(t, out));
	TRY(e, text_add(out, "COMMIT"));
	return e;
}

int txn_state_sql(const struct txn *t, struct buf *out)
{
	const struct record *r;
	int e = 0;

	TRY(e, text_add(out,
		       "SELECT last_seq, last_checksum FROM hirundo.ingest_state WHERE sensor_id = "
		       "%d AND"
		       " epoch = %" PRIu64 ";\nSELECT seq, checksum FROM hirundo.ingest_batch WHERE"
		       " sensor_id = %d AND epoch = %" PRIu64 " AND seq IN (",
		       t->sensor_id, t->records->header.epoch, t->sensor_id,
		       t->records->header.epoch));
	DL_FOREACH (t->records, r)
		TRY(e, text_add(out, "%s%" PRIu64, r == t->records ? "" : ",", r->header.seq));
	TRY(e, text_add(out, ") ORDER BY seq"));
	return e;
}
