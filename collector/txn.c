#include "collector/txn.h"

#include <assert.h>
#include <errno.h>
#include <utlist.h>

#include "collector/copyrow.h"
#include "collector/enrich/enrich.h"
#include "collector/txn_books.h"

/** Text of one transaction at most, bytes: frames of rejects as hexadecimal are the most of it. */
#define TEXT_MAX (32u * 1024u * 1024u)

/* What becomes of rows whose time is in [from, from + length). */
struct verdict {
	int64_t from;
	uint64_t length;
	const char *quarantine; /* reason; NULL = stored, or the day is missing */
	bool missing;
	int32_t day;
};

/* Life. */

struct record *record_free(struct record *r)
{
	if (r) {
		free(r->frame);
		free(r->refused);
		free(r);
	}
	return NULL;
}

int txn_shared_init(struct txn_shared *s)
{
	s->buckets = malloc(BATCH_MAX_ROWS * sizeof(*s->buckets));
	if (!s->buckets)
		return -ENOMEM;
	return codec_new(&s->codec);
}

void txn_shared_done(struct txn_shared *s)
{
	s->codec = codec_free(s->codec);
	days_done(&s->known);
	free(s->buckets);
	free(s->day_sums);
}

void txn_init(struct txn *t, uint32_t weight)
{
	size_t ends = COPYROW_BEGIN_SIZE + COPYROW_END_SIZE;
	size_t rows_max = (size_t)weight + BATCH_MAX_ROWS + BATCH_MAX_SAMPLES;

	*t = (struct txn){0};
	buf_init(&t->rows, rows_max * COPYROW_OBSERVATION_MAX + ends);
	buf_init(&t->quarantine, rows_max * COPYROW_QUARANTINE_MAX + ends);
	buf_init(&t->samples, rows_max * COPYROW_SAMPLE_MAX + ends);
	buf_init(&t->batches, TEXT_MAX);
	buf_init(&t->days, TEXT_MAX);
	buf_init(&t->marks, TEXT_MAX);
	buf_init(&t->others, TEXT_MAX);
}

void txn_done(struct txn *t)
{
	struct record *r, *next;

	DL_FOREACH_SAFE (t->records, r, next)
		record_free(r);
	buf_done(&t->rows);
	buf_done(&t->quarantine);
	buf_done(&t->samples);
	buf_done(&t->batches);
	buf_done(&t->days);
	buf_done(&t->marks);
	buf_done(&t->others);
	days_done(&t->missing);
	days_done(&t->missing_live);
	days_done(&t->refused);
	free(t->captures.at);
}

void txn_restart(struct txn *t)
{
	buf_clear(&t->rows);
	buf_clear(&t->quarantine);
	buf_clear(&t->samples);
	buf_clear(&t->batches);
	buf_clear(&t->days);
	buf_clear(&t->marks);
	buf_clear(&t->others);
	days_clear(&t->missing);
	days_clear(&t->missing_live);
	t->rows_n = t->quarantine_n = t->samples_n = t->weight = 0;
	t->sums = (struct txn_sums){0};
	t->wants_quarantine = t->wants_captures = false;
	for (size_t i = 0; i < t->captures.n; i++) {
		t->captures.at[i].now = t->captures.at[i].committed;
		t->captures.at[i].received_us = 0;
	}
}

/* COPY data: room for n more rows, behind the header. */
static int copy_room(struct buf *b, size_t n)
{
	int r = buf_reserve(b, n + COPYROW_BEGIN_SIZE + COPYROW_END_SIZE);

	if (r == 0 && buf_len(b) == 0)
		buf_added(b, (size_t)(copyrow_begin(buf_tail(b)) - buf_tail(b)));
	return r;
}

/* Times and days. */

static struct days *missing_of(struct txn *t, const struct batch *b)
{
	return b->has_capture ? &t->missing : &t->missing_live;
}

static struct verdict judge(
	struct txn *t, const struct txn_shared *s, bool live, int64_t received_us, int64_t us)
{
	struct verdict v = {.day = day_of(us), .length = (uint64_t)US_PER_DAY};
	int64_t oldest = received_us - s->retention_us, newest = received_us + TXN_FUTURE_US;
	int64_t end;

	v.from = (int64_t)v.day * US_PER_DAY;
	if (live && us > newest) {
		v.quarantine = "future";
		v.from = newest + 1;
		v.length = (uint64_t)(INT64_MAX - v.from);
		return v;
	}
	if (live && us < oldest) {
		v.quarantine = "too_old";
		v.from = 0; /* the codec lets no earlier time pass */
		v.length = (uint64_t)oldest;
		return v;
	}
	if (days_has(&t->refused, v.day))
		v.quarantine = "too_many_days";
	else
		v.missing = !days_has(&s->known, v.day);
	if (!live)
		return v;
	/* The part of the day that is within the limits. */
	end = v.from + US_PER_DAY;
	if (v.from < oldest)
		v.from = oldest;
	if (end > newest + 1)
		end = newest + 1;
	v.length = (uint64_t)(end - v.from);
	return v;
}

static bool judged(const struct verdict *v, int64_t us)
{
	return us >= v->from && (uint64_t)(us - v->from) < v->length;
}

/* @return the day's sum, or NULL without memory; valid until the next call */
static struct day_sum *sum_of(struct txn_shared *s, int32_t day)
{
	for (size_t i = s->day_sums_n; i > 0; i--)
		if (s->day_sums[i - 1].day == day)
			return &s->day_sums[i - 1];
	if (s->day_sums_n == s->day_sums_cap) {
		size_t cap = s->day_sums_cap ? s->day_sums_cap * 2 : 16;
		struct day_sum *grown = realloc(s->day_sums, cap * sizeof(*grown));

		if (!grown)
			return NULL;
		s->day_sums = grown;
		s->day_sums_cap = cap;
	}
	s->day_sums[s->day_sums_n] = (struct day_sum){.day = day};
	return &s->day_sums[s->day_sums_n++];
}

/* Rows. */

static struct enrich_answer look_up(const struct txn_shared *s, const struct observation *o)
{
	return o->key.present & HAS_SRC ? enrich_lookup(s->enrich, o->key.family, o->key.src)
					: (struct enrich_answer){.has_region = false};
}

static int quarantine_row(struct txn *t, const struct txn_shared *s, const struct record *r,
	const struct observation *o, uint32_t row_number, const char *reason, struct books *books)
{
	struct copyrow_quarantine q = {
		.sensor_id = t->sensor_id,
		.epoch = r->header.epoch,
		.seq = r->header.seq,
		.row_number = row_number,
		.received_us = r->received_us,
		.reason = reason,
	};
	struct enrich_answer a;
	uint8_t *p;
	int e;

	if (!t->quarantine_known) {
		t->wants_quarantine = true;
		return 0;
	}
	if (t->quarantine_n >= t->quarantine_room) {
		t->sums.rows_not_kept++;
		books->not_kept += o->packets;
		return 0;
	}
	e = copy_room(&t->quarantine, COPYROW_QUARANTINE_MAX);
	if (e < 0)
		return e;
	a = look_up(s, o);
	p = copyrow_quarantine(buf_tail(&t->quarantine), &q, o, &a);
	buf_added(&t->quarantine, (size_t)(p - buf_tail(&t->quarantine)));
	t->quarantine_n++;
	return 0;
}

static int add_rows(struct txn *t, struct txn_shared *s, const struct record *r,
	const struct batch *b, struct books *books)
{
	struct verdict v = {.length = 0};
	struct day_sum *sum = NULL;
	uint8_t *p;
	int e = copy_room(&t->rows, (size_t)b->rows_n * COPYROW_OBSERVATION_MAX);

	if (e < 0)
		return e;
	p = buf_tail(&t->rows);
	for (uint32_t i = 0; i < b->rows_n && e == 0; i++) {
		const struct observation *o = &b->rows[i];
		struct enrich_answer a;

		if (!judged(&v, o->observed_us)) {
			v = judge(t, s, !b->has_capture, r->received_us, o->observed_us);
			sum = v.quarantine || v.missing ? NULL : sum_of(s, v.day);
			if (v.missing)
				e = days_add(missing_of(t, b), v.day);
			else if (!v.quarantine && !sum)
				e = -ENOMEM;
		}
		if (v.quarantine) {
			books->quarantined += o->packets;
			e = quarantine_row(t, s, r, o, i, v.quarantine, books);
		} else if (sum) {
			int64_t now = o->observed_us / BUCKET_US;

			a = look_up(s, o);
			p = copyrow_observation(p, o, t->sensor_id, &a);
			sum->rows++;
			sum->packets += o->packets;
			books->stored += o->packets;
			books->stored_rows++;
			if (s->buckets_n == 0 || s->buckets[s->buckets_n - 1].bucket != now)
				s->buckets[s->buckets_n++] = (struct bucket_sum){
					.bucket = now,
					.first_us = o->observed_us,
					.last_us = o->observed_us,
				};
			bucket_add(
				&s->buckets[s->buckets_n - 1], o->observed_us, o->observed_us, 1);
		}
	}
	buf_added(&t->rows, (size_t)(p - buf_tail(&t->rows)));
	t->rows_n += books->stored_rows;
	return e;
}

static int add_samples(struct txn *t, struct txn_shared *s, const struct record *r,
	const struct batch *b, struct books *books)
{
	uint8_t *p;
	int e = 0;

	if (b->samples_n == 0)
		return 0;
	e = copy_room(&t->samples, (size_t)b->samples_n * COPYROW_SAMPLE_MAX);
	if (e < 0)
		return e;
	p = buf_tail(&t->samples);
	for (uint32_t i = 0; i < b->samples_n && e == 0; i++) {
		const struct sample *sample = &b->samples[i];
		struct verdict v =
			judge(t, s, !b->has_capture, r->received_us, sample->observed_us);

		if (v.quarantine) {
			t->sums.samples_dropped++;
		} else if (v.missing) {
			e = days_add(missing_of(t, b), v.day);
		} else {
			p = copyrow_sample(p, sample, t->sensor_id);
			books->samples++;
		}
	}
	buf_added(&t->samples, (size_t)(p - buf_tail(&t->samples)));
	t->samples_n += books->samples;
	return e;
}

/* Records. */

/* First and last time of the rows, and what the codec leaves to the tables.
 * @return NULL or what is wrong */
static const char *survey(const struct batch *b, struct books *books)
{
	books->first_us = INT64_MAX;
	books->last_us = INT64_MIN;
	for (uint32_t i = 0; i < b->rows_n; i++) {
		const struct observation *o = &b->rows[i];

		if (o->key.target > INT32_MAX)
			return "target: out of range";
		if (o->observed_us < books->first_us)
			books->first_us = o->observed_us;
		if (o->last_us > books->last_us)
			books->last_us = o->last_us;
	}
	return NULL;
}

static int add_batch(
	struct txn *t, struct txn_shared *s, const struct record *r, struct books *books)
{
	const char *wrong = NULL;
	bool taken = false;
	struct batch b;
	int e = codec_decode_batch(
		s->codec, r->frame + FRAME_HEADER_SIZE, r->n - FRAME_HEADER_SIZE, &b, &wrong);

	if (e < 0)
		return e;
	if (e == 0)
		wrong = survey(&b, books);
	if (!wrong && b.packets != r->packets)
		wrong = "packets_total does not grow by the packets of the rows";
	if (!wrong && b.has_capture && !t->allow_capture)
		wrong = "capture not allowed";
	if (wrong)
		return books_reject(t, s, r, wrong, books);
	if (b.has_capture)
		TRY(e, books_take_capture(t, r, &b.capture, &taken));
	if (e < 0)
		return e;
	if (taken) {
		t->sums.taken_records++;
		return books_reject(t, NULL, r, "another stream delivers this capture", books);
	}
	if (r->refused) {
		e = books_reject(t, s, r, r->refused, books);
	} else {
		books->rows = b.rows_n;
		books->fold_early = b.fold_early;
		t->weight += b.rows_n + b.samples_n;
		s->buckets_n = s->day_sums_n = 0;
		TRY(e, add_rows(t, s, r, &b, books));
		TRY(e, add_samples(t, s, r, &b, books));
		TRY(e, books_add_marks(t, s, r));
	}
	return e;
}

int txn_add(struct txn *t, struct txn_shared *s, const struct record *r)
{
	struct books books = {.first_us = 1};
	int e;

	if (r->header.type == FRAME_BATCH)
		e = add_batch(t, s, r, &books);
	else if (r->refused)
		e = books_reject(t, s, r, r->refused, &books);
	else if (r->header.type == FRAME_STATUS)
		e = books_add_status(t, s, r, &books);
	else
		e = books_add_loss(t, s, r, &books);
	TRY(e, books_add_record(t, s, r, &books));
	t->sums.records++;
	t->sums.bytes += r->n;
	t->sums.rows += books.stored_rows;
	t->sums.packets += r->packets;
	t->sums.stored += books.stored;
	t->sums.quarantined += books.quarantined;
	t->sums.rejected += books.rejected;
	t->sums.lost += books.lost;
	return e;
}

/* The statements. */

static int seal(struct buf *b)
{
	int e = 0;

	if (buf_len(b) > 0) {
		e = buf_reserve(b, COPYROW_END_SIZE);
		if (e == 0)
			buf_added(b, (size_t)(copyrow_end(buf_tail(b)) - buf_tail(b)));
	}
	return e;
}

int txn_seal(struct txn *t)
{
	int e = 0;

	assert(t->sums.stored + t->sums.quarantined + t->sums.rejected + t->sums.lost ==
		t->sums.packets);
	TRY(e, seal(&t->rows));
	TRY(e, seal(&t->quarantine));
	TRY(e, seal(&t->samples));
	return e;
}
