/* Capture files in a transaction: what is stored of them already, and by whom. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "collector/text.h"
#include "collector/txn_books.h"

static struct capture_file *file_of(struct txn *t, uint64_t xxh3, uint32_t generation)
{
	struct capture_files *l = &t->captures;

	for (size_t i = l->n; i > 0; i--)
		if (l->at[i - 1].xxh3 == xxh3 && l->at[i - 1].generation == generation)
			return &l->at[i - 1];
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 4;
		struct capture_file *grown = reallocarray(l->at, cap, sizeof(*grown));

		if (!grown)
			return NULL;
		l->at = grown;
		l->cap = cap;
	}
	l->at[l->n] = (struct capture_file){.xxh3 = xxh3, .generation = generation};
	return &l->at[l->n++];
}

int books_take_capture(
	struct txn *t, const struct record *r, const struct capture_position *c, bool *ret_taken)
{
	struct capture_file *f = file_of(t, c->xxh3, c->generation);
	struct capture_at *at;

	if (!f)
		return -ENOMEM;
	at = &f->now;
	*ret_taken = false;
	if (!f->known) {
		t->wants_captures = true;
		return 0;
	}
	if (at->exists && c->before != at->ordinal &&
		(r->header.epoch != at->epoch || c->before < at->ordinal)) {
		*ret_taken = true;
		return 0;
	}
	*at = (struct capture_at){true, c->ordinal, r->header.epoch, at->complete || c->complete};
	f->received_us = r->received_us;
	return 0;
}

int books_add_captures(const struct txn *t, struct buf *out)
{
	int e = 0;

	for (size_t i = 0; i < t->captures.n; i++) {
		const struct capture_file *f = &t->captures.at[i];
		const struct capture_at *at = &f->committed;

		if (f->received_us == 0)
			continue;
		TRY(e, text_add(out,
			       "SELECT hirundo.advance_capture(%d, %" PRId64 ", %" PRIu32 ", ",
			       t->sensor_id, (int64_t)f->xxh3, f->generation));
		TRY(e, at->exists ? text_add(out, "%" PRIu64 ", %" PRIu64, at->epoch, at->ordinal)
				  : text_add(out, "NULL, NULL"));
		TRY(e, text_add(out, ", %" PRIu64 ", %" PRIu64 ", %s, ", f->now.epoch,
			       f->now.ordinal, f->now.complete ? "true" : "false"));
		TRY(e, text_add_time(out, f->received_us));
		TRY(e, text_add(out, ");\n"));
	}
	return e;
}

int txn_captures_sql(const struct txn *t, struct buf *out)
{
	int e = text_add(out,
		"SELECT xxh3, generation, ordinal, epoch, complete FROM hirundo.ingest_capture"
		" WHERE sensor_id = %d AND (xxh3, generation) IN (",
		t->sensor_id);

	for (size_t i = 0; i < t->captures.n; i++)
		TRY(e, text_add(out, "%s(%" PRId64 ", %" PRIu32 ")", i > 0 ? "," : "",
			       (int64_t)t->captures.at[i].xxh3, t->captures.at[i].generation));
	TRY(e, text_add(out, ")"));
	return e;
}

void txn_captures_answer(struct txn *t, const PGresult *rows)
{
	for (size_t i = 0; i < t->captures.n; i++) {
		t->captures.at[i].known = true;
		t->captures.at[i].committed = (struct capture_at){.exists = false};
	}
	for (int i = 0; i < PQntuples(rows); i++) {
		struct capture_file *f =
			file_of(t, (uint64_t)strtoll(PQgetvalue(rows, i, 0), NULL, 10),
				(uint32_t)strtoul(PQgetvalue(rows, i, 1), NULL, 10));

		if (f) /* it was asked for, so it is there */
			f->committed = (struct capture_at){
				.exists = true,
				.ordinal = strtoull(PQgetvalue(rows, i, 2), NULL, 10),
				.epoch = strtoull(PQgetvalue(rows, i, 3), NULL, 10),
				.complete = *PQgetvalue(rows, i, 4) == 't',
			};
	}
}

void txn_captures_committed(struct txn *t)
{
	for (size_t i = 0; i < t->captures.n; i++)
		t->captures.at[i].committed = t->captures.at[i].now;
}
