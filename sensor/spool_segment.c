#include "sensor/spool_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "hirundo.pb-c.h"

int spool_segments_reserve(struct segments *l)
{
	size_t cap = l->cap ? l->cap * 2 : 16;
	struct segment *at;

	if (l->n < l->cap)
		return 0;
	at = reallocarray(l->at, cap, sizeof(*at));
	if (!at)
		return -ENOMEM;
	l->at = at;
	l->cap = cap;
	return 0;
}

void spool_segments_insert(struct segments *l, size_t i, const struct segment *seg)
{
	assert(l->n < l->cap && i <= l->n);
	memmove(l->at + i + 1, l->at + i, (l->n - i) * sizeof(*l->at));
	l->at[i] = *seg;
	l->n++;
}

void spool_segments_remove(struct segments *l, size_t i, size_t n)
{
	assert(i <= l->n && n <= l->n - i);
	memmove(l->at + i, l->at + i + n, (l->n - i - n) * sizeof(*l->at));
	l->n -= n;
}

static bool same_name(const struct point *a, const struct point *b)
{
	return a->seq == b->seq && a->checksum == b->checksum && a->total == b->total;
}

static void forget_seek(struct spool *s)
{
	s->seek.epoch = 0;
}

static void close_if_active(
	struct spool *s, const struct stream *st, const struct segments *l, size_t i)
{
	if (st == newest_stream(s) && l == &st->held && i + 1 == l->n)
		spool_active_close(s);
}

void spool_segment_drop(struct spool *s, struct stream *st, struct segments *l, size_t i)
{
	struct path path;

	close_if_active(s, st, l, i);
	forget_seek(s);
	spool_path_segment(s, st, &l->at[i].before, "", &path);
	(void)spool_file_unlink(
		s, path.s); /* what stays is acknowledged, or superseded at the next start */
	s->counters.bytes -= l->at[i].alloc;
	spool_segments_remove(l, i, 1);
}

static int write_loss(struct spool *s, const struct stream *st, struct loss *l, uint64_t *ret_n)
{
	uint8_t frame[LOSS_FRAME_MAX];
	size_t n = spool_loss_frame(st->epoch, l, frame);
	struct newfile f;
	int r = spool_newfile_open(s, st, &l->from, &f);

	if (r < 0)
		return r;
	r = spool_newfile_write(&f, frame, n);
	if (r < 0) {
		spool_newfile_abort(&f);
		return r;
	}
	*ret_n = n;
	return spool_newfile_commit(&f);
}

static uint64_t moved(uint64_t counter, uint64_t was, uint64_t is)
{
	/* Less than was: trimmed. What an earlier run had lost is not in the counter. */
	return is >= was ? counter + (is - was)
			 : counter - (was - is < counter ? was - is : counter);
}

void spool_count_lost(struct spool *s, struct lost was, struct lost is)
{
	s->counters.records_lost = moved(s->counters.records_lost, was.records, is.records);
	s->counters.packets_lost = moved(s->counters.packets_lost, was.packets, is.packets);
}

int spool_segment_replace(struct spool *s, struct stream *st, struct segments *l, size_t i,
	size_t n, const struct point *from, const struct point *to, int reason)
{
	struct loss loss = {.from = *from, .to = *to, .reason = reason, .chained = true};
	struct segment seg = {
		.before = *from, .last = *to, .only_loss = true, .lost = lost_between(from, to)};
	struct lost was = {0};
	struct path path;
	int r = spool_segments_reserve(l);

	if (r < 0)
		return r;
	for (size_t j = i; j < i + n; j++)
		close_if_active(s, st, l, j);
	r = write_loss(s, st, &loss, &seg.end);
	if (is_full(r) && spool_reserve_release(s))
		r = write_loss(s, st, &loss, &seg.end);
	if (r < 0)
		return r;
	forget_seek(s);
	seg.alloc = seg.end;
	for (size_t j = i; j < i + n; j++) {
		s->counters.bytes -= l->at[j].alloc;
		lost_add(&was, l->at[j].lost);
		if (same_name(&l->at[j].before, from))
			continue; /* the LOSS was renamed over it */
		spool_path_segment(s, st, &l->at[j].before, "", &path);
		(void)spool_file_unlink(s, path.s); /* superseded at the next start if it stays */
	}
	spool_segments_remove(l, i, n);
	spool_segments_insert(l, i, &seg);
	s->counters.bytes += seg.alloc;
	spool_count_lost(s, was, seg.lost);
	return 0;
}

/* Writes the clean copy of a segment. */
struct cleaner {
	struct spool *s;
	struct stream *st;
	struct point from;
	struct point name; /* of the damaged file */
	struct newfile out;
	int bad_fd;
	uint64_t bad_n;
	size_t records_n;
	bool only_loss;
	bool unreadable;
	struct lost lost;
};

static int clean_loss(
	struct cleaner *c, const struct point *from, const struct point *to, int reason)
{
	struct loss l = {.from = *from, .to = *to, .reason = reason, .chained = true};
	uint8_t frame[LOSS_FRAME_MAX];

	if (from->seq < c->from.seq)
		l.from = c->from;
	c->only_loss = c->records_n++ == 0;
	lost_add(&c->lost, lost_between(&l.from, &l.to));
	return spool_newfile_write(&c->out, frame, spool_loss_frame(c->st->epoch, &l, frame));
}

static int clean_record(void *arg, struct frame_header *h, uint8_t *rec, const struct point *before,
	const struct point *behind)
{
	struct cleaner *c = arg;
	struct point at;
	int reason;

	if (behind->seq <= c->from.seq)
		return 0;
	if (h->type == FRAME_LOSS) {
		if (before->seq < c->from.seq &&
			spool_loss_parse(h, rec + FRAME_HEADER_SIZE, &at, &reason))
			return clean_loss(c, before, behind, reason);
		lost_add(&c->lost, lost_between(before, behind));
	}
	c->only_loss = c->records_n++ == 0 && h->type == FRAME_LOSS;
	return spool_newfile_write(&c->out, rec, FRAME_HEADER_SIZE + h->payload_length);
}

static int clean_hole(void *arg, const struct point *from, const struct point *to)
{
	struct cleaner *c = arg;

	if (to->seq <= c->from.seq)
		return 0;
	return clean_loss(c, from, to, HIRUNDO__V1__LOSS__REASON__CORRUPT);
}

/* Best effort: what the owner may want to look at must not keep the spool from starting. */
static int clean_junk(void *arg, int fd, uint64_t from, uint64_t to)
{
	struct cleaner *c = arg;
	uint8_t buf[4096];
	struct path path;

	if (c->bad_fd == -1) {
		spool_path_segment(c->s, c->st, &c->name, ".bad", &path);
		c->bad_fd = spool_file_open(c->s, path.s, O_RDWR | O_CREAT | O_TRUNC);
	}
	while (c->bad_fd >= 0 && from < to) {
		size_t n = to - from < sizeof(buf) ? (size_t)(to - from) : sizeof(buf);
		ssize_t r = pread(fd, buf, n, (off_t)from);

		if (r <= 0 || spool_file_write(c->s, c->bad_fd, buf, (size_t)r, c->bad_n) < 0)
			return 0;
		c->bad_n += (uint64_t)r;
		from += (uint64_t)r;
	}
	return 0;
}

static int clean_copy(struct cleaner *c, const struct segment *old)
{
	struct walk w = {
		.epoch = c->st->epoch,
		.at = old->before,
		.bounded = true,
		.end = old->last,
		.record = clean_record,
		.hole = clean_hole,
		.junk = clean_junk,
		.arg = c,
	};
	struct path path;
	int fd, r;

	spool_path_segment(c->s, c->st, &old->before, "", &path);
	fd = spool_file_open(c->s, path.s, O_RDONLY);
	if (fd < 0) {
		c->unreadable = spool_file_is_unreadable(fd);
		return fd;
	}
	r = spool_newfile_open(c->s, c->st, &c->from, &c->out);
	if (r == 0) {
		r = spool_walk(&w, fd);
		c->unreadable = r == -EINVAL;
		if (r < 0)
			spool_newfile_abort(&c->out);
		else
			r = spool_newfile_commit(&c->out);
	}
	spool_file_close(c->s, fd);
	if (c->bad_fd >= 0)
		spool_file_close(c->s, c->bad_fd);
	return r;
}

int spool_segment_rewrite(struct spool *s, struct stream *st, struct segments *l, size_t i,
	const struct point *from, enum rewrite_keep keep)
{
	struct segment old = l->at[i], clean = {.before = *from, .last = old.last};
	struct cleaner c = {.s = s, .st = st, .from = *from, .name = old.before, .bad_fd = -1};
	struct path path;
	int r = spool_segments_reserve(l);

	if (r < 0)
		return r;
	close_if_active(s, st, l, i);
	r = clean_copy(&c, &old);
	if (r < 0) {
		size_t n = keep == REWRITE_KEEP ? 0 : 1;
		int reason = is_full(r) ? HIRUNDO__V1__LOSS__REASON__SPOOL_FULL
					: HIRUNDO__V1__LOSS__REASON__CORRUPT;

		/* No room for the copy, or the file cannot be read: its place is taken by a LOSS.
		 * Where not even that can be written, nothing has changed. */
		if (!is_full(r) && !c.unreadable)
			return r;
		return spool_segment_replace(s, st, l, i + 1 - n, n, from, &old.last, reason);
	}
	forget_seek(s);
	spool_count_lost(s, keep == REWRITE_KEEP ? (struct lost){0} : old.lost, c.lost);
	if (c.bad_fd >= 0) {
		s->counters.segments_bad++;
		spool_bad_trim(s);
	}
	clean.end = clean.alloc = c.out.n;
	clean.only_loss = c.only_loss;
	clean.lost = c.lost;
	s->counters.bytes += clean.alloc;
	if (keep == REWRITE_KEEP) {
		spool_segments_insert(l, i + 1, &clean);
		return 0;
	}
	if (!same_name(from, &old.before)) {
		spool_path_segment(s, st, &old.before, "", &path);
		(void)spool_file_unlink(s, path.s);
	}
	s->counters.bytes -= old.alloc;
	l->at[i] = clean;
	return 0;
}

int spool_read_at(struct spool *s, const struct stream *st, const struct point *before, void *to,
	size_t n, uint64_t off)
{
	struct path path;
	uint8_t *p = to;
	int fd, r = 0;

	spool_path_segment(s, st, before, "", &path);
	fd = spool_file_open(s, path.s, O_RDONLY);
	if (fd < 0)
		return fd;
	while (n > 0) {
		ssize_t got = pread(fd, p, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			r = -EIO;
			break;
		}
		p += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	spool_file_close(s, fd);
	return r;
}

static bool record_intact(struct spool *s, const struct stream *st, const struct point *before,
	uint64_t off, size_t n)
{
	struct frame_header h;
	uint8_t *p = malloc(n);
	bool ok = p && spool_read_at(s, st, before, p, n, off) == 0 &&
		  frame_parse(p, n, FRAME_MAX, &h) == FRAME_OK;

	free(p);
	return ok;
}

/* @return 0, SEEK_IN_LOSS, -EBADMSG where the bytes are not what they were */
static int seek_in(struct spool *s, struct stream *st, const struct segment *seg, uint64_t seq,
	uint64_t *ret_off, struct point *ret_at)
{
	struct point at = seg->before;
	uint64_t off = 0;

	if (s->seek.epoch == st->epoch && s->seek.segment == seg->before.seq &&
		s->seek.at.seq <= seq) {
		at = s->seek.at;
		off = s->seek.off;
	}
	*ret_at = at;
	*ret_off = off;
	while (at.seq < seq) {
		uint8_t head[LOSS_FRAME_MAX];
		struct frame_header h;
		uint64_t left = seg->end > off ? seg->end - off : 0;
		size_t n = left < sizeof(head) ? (size_t)left : sizeof(head);
		struct point behind;
		int reason;

		if (spool_read_at(s, st, &seg->before, head, n, off) < 0 ||
			frame_parse_header(head, n, FRAME_MAX, &h) != FRAME_OK ||
			h.epoch != st->epoch || h.first_seq != at.seq + 1 ||
			left < FRAME_HEADER_SIZE + h.payload_length)
			return -EBADMSG;
		behind = (struct point){h.seq, h.checksum, h.packets_total};
		if (h.type == FRAME_LOSS &&
			(frame_parse(head, n, FRAME_MAX, &h) != FRAME_OK ||
				!spool_loss_parse(&h, head + FRAME_HEADER_SIZE, &behind, &reason)))
			return -EBADMSG;
		*ret_at = at;
		*ret_off = off;
		if (h.seq > seq)
			return SEEK_IN_LOSS;
		/* Only the last step's numbers are handed on: they have to be what was written. */
		if (h.seq == seq && !record_intact(s, st, &seg->before, off,
					    FRAME_HEADER_SIZE + h.payload_length))
			return -EBADMSG;
		at = behind;
		off += FRAME_HEADER_SIZE + h.payload_length;
	}
	s->seek.epoch = st->epoch;
	s->seek.segment = seg->before.seq;
	s->seek.off = *ret_off = off;
	s->seek.at = *ret_at = at;
	return SEEK_OK;
}

/* The segment that holds seq + 1, else the last one. */
static size_t segment_of(const struct segments *l, uint64_t seq)
{
	size_t low = 0, high = l->n - 1;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->at[mid].last.seq > seq)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

int spool_seek_to(struct spool *s, struct stream *st, uint64_t seq, size_t *ret_i,
	uint64_t *ret_off, struct point *ret_at)
{
	struct segments *l = &st->held;
	size_t i;

	if (seq > st->newest.seq)
		return SEEK_BEHIND;
	if (l->n == 0 || seq < l->at[0].before.seq) {
		if (seq < st->newest.seq)
			return SEEK_BEFORE;
		*ret_i = 0;
		*ret_off = 0;
		*ret_at = st->newest;
		return SEEK_OK;
	}
	i = segment_of(l, seq);
	*ret_i = i;
	if (seq == l->at[i].last.seq) {
		*ret_off = l->at[i].end;
		*ret_at = l->at[i].last;
		return SEEK_OK;
	}
	for (int tries = 0;; tries++) {
		struct point before = l->at[i].before;
		int r = seek_in(s, st, &l->at[i], seq, ret_off, ret_at);

		if (r != -EBADMSG || tries > 0)
			return r == -EBADMSG ? -EIO : r;
		r = spool_segment_rewrite(s, st, l, i, &before, REWRITE_UNLINK);
		if (r < 0)
			return r;
	}
}
