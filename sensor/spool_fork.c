#include "sensor/spool_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "hirundo.pb-c.h"

void spool_stream_done(struct stream *st)
{
	free(st->held.at);
	free(st->moving.at);
	*st = (struct stream){0};
}

static int random_epoch(const struct spool *s, uint64_t *ret)
{
	for (;;) {
		uint64_t v;
		bool taken = false;

		if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
			return errno == EINTR ? -EAGAIN : -errno;
		v &= SEQ_MAX;
		for (size_t i = 0; i < s->streams_n; i++)
			taken |= s->streams[i].epoch == v;
		if (v > 0 && !taken) {
			*ret = v;
			return 0;
		}
	}
}

void spool_stream_begin_at(struct stream *st, uint64_t first_seq)
{
	st->newest.seq = first_seq > 0 ? first_seq - 1 : 0;
	st->sent = st->acked = st->newest.seq;
}

int spool_stream_create(struct spool *s, uint32_t parent, const struct point *shared)
{
	struct stream st = {.generation = 1, .parent = parent};
	struct stream *streams;
	struct path path;
	int r = random_epoch(s, &st.epoch);

	if (r < 0)
		return r;
	if (s->streams_n > 0) {
		if (newest_stream(s)->generation == UINT32_MAX)
			return -EOVERFLOW;
		st.generation = newest_stream(s)->generation + 1;
		spool_active_close(s);
	} else {
		spool_stream_begin_at(&st, s->first_seq);
	}
	if (shared) {
		st.shared_seq = shared->seq;
		st.shared_total = shared->total;
	}
	spool_stream_name_make(&st);
	streams = reallocarray(s->streams, s->streams_n + 1, sizeof(*streams));
	if (!streams)
		return -ENOMEM;
	s->streams = streams;
	spool_path_stream(s, &st, &path);
	r = spool_file_mkdir(s, path.s);
	if (r == 0)
		r = spool_file_sync_dir(s, s->dir);
	if (r < 0)
		return r;
	s->streams[s->streams_n++] = st;
	return 0;
}

void spool_streams_prune(struct spool *s)
{
	size_t n = 0;

	/* HELLO names all of them: of more, the oldest keep nothing that is acknowledged. */
	for (size_t i = 0; i + SPOOL_STREAMS_KEPT < s->streams_n; i++) {
		struct stream *st = &s->streams[i];

		while (st->held.n > 0 && st->held.at[0].acked_us > 0)
			spool_segment_drop(s, st, &st->held, 0);
	}
	for (size_t i = 0; i < s->streams_n; i++) {
		struct stream *st = &s->streams[i];
		struct path path;

		if (i + 1 == s->streams_n || st->held.n > 0 || st->moving.n > 0 ||
			(st->ended && !st->told)) {
			s->streams[n++] = *st;
			continue;
		}
		spool_path_stream(s, st, &path);
		(void)spool_file_unlink(
			s, path.s); /* stays while the owner's .bad files are in it */
		spool_stream_done(st);
	}
	s->streams_n = n;
}

static struct stream *parent_of(struct spool *s, const struct stream *st)
{
	for (size_t i = 0; i < s->streams_n; i++) {
		if (s->streams[i].generation == st->parent)
			return &s->streams[i];
	}
	return NULL;
}

/* Cuts the segment that goes on behind the shared record in two.
 * @return 0; 1 where the parent's totals say that it is no parent; -errno */
static int split(struct spool *s, struct stream *from, const struct stream *st)
{
	struct segment *seg;
	struct point cut, behind;
	struct path path;
	uint64_t off;
	size_t i;
	int fd, r = spool_seek_to(s, from, st->shared_seq, &i, &off, &cut);

	if (r < 0 || r == SEEK_BEFORE || r == SEEK_BEHIND)
		return r < 0 ? r : 0;
	seg = &from->held.at[i];
	behind = cut;
	if (r == SEEK_IN_LOSS) { /* damage, since the fork began */
		if (st->shared_total < cut.total || st->shared_total > seg->last.total)
			return 1;
		behind = (struct point){.seq = st->shared_seq, .total = st->shared_total};
	} else if (cut.seq <= seg->before.seq || cut.seq >= seg->last.seq) {
		return 0;
	}
	r = spool_segment_rewrite(
		s, from, &from->held, i, &behind, off > 0 ? REWRITE_KEEP : REWRITE_UNLINK);
	if (r < 0 || off == 0)
		return r;
	seg = &from->held.at[i];
	seg->last = cut;
	seg->end = off;
	/* For the room alone: the next file's name says where this one ends. */
	spool_path_segment(s, from, &seg->before, "", &path);
	fd = spool_file_open(s, path.s, O_RDWR);
	if (fd >= 0) {
		if (spool_file_truncate(s, fd, off) == 0) {
			s->counters.bytes -= seg->alloc - off;
			seg->alloc = off;
		}
		spool_file_close(s, fd);
	}
	return 0;
}

/* Whether the totals of an old segment can go on where the new stream is. */
static bool follows(const struct stream *st, const struct segment *seg)
{
	uint64_t seq = seg->before.seq - st->shared_seq;
	uint64_t total = st->shared_total + st->newest.total;

	if (seq == st->newest.seq)
		return seg->before.total == total;
	return (seq > st->newest.seq ? seg->before.total : seg->last.total) >= total;
}

int spool_fork_collect(struct spool *s, struct stream *st)
{
	struct stream *from = st->parent > 0 ? parent_of(s, st) : NULL;
	struct segments *l;
	int r;

	if (!from)
		return 0;
	from->ended = true;
	if (from->newest.seq <= st->shared_seq)
		return 0;
	r = split(s, from, st);
	if (r < 0)
		return r;
	if (r > 0) {
		from->ended = false;
		st->parent = 0;
		return 0;
	}
	l = &from->held;
	while (l->n > 0 && l->at[l->n - 1].before.seq >= st->shared_seq) {
		struct segment seg = l->at[l->n - 1];

		/* Moved before a crash. All of it was, before the next generation could be made. */
		if (seg.last.seq - st->shared_seq <= st->newest.seq || st != newest_stream(s)) {
			spool_segment_drop(s, from, l, l->n - 1);
			continue;
		}
		r = spool_segments_reserve(&from->moving);
		if (r < 0)
			return r;
		spool_segments_remove(l, l->n - 1, 1);
		if (!follows(st, &seg)) { /* none that we wrote */
			s->counters.bytes -= seg.alloc;
			spool_set_aside(s, from, &seg.before);
			continue;
		}
		spool_segments_insert(&from->moving, 0, &seg);
	}
	from->newest = l->n > 0 ? l->at[l->n - 1].last
				: (struct point){.seq = st->shared_seq, .total = st->shared_total};
	if (from->sent > from->newest.seq)
		from->sent = from->newest.seq;
	if (from->acked > from->newest.seq)
		from->acked = from->newest.seq;
	return 0;
}

/* Seals the records of one old segment again, into one new segment. */
struct mover {
	const struct stream *to;
	struct point at; /* newest of the new stream so far */
	struct newfile out;
	bool only_loss;
	bool unreadable;
	struct lost lost;
	size_t records_n;
};

static int move_loss(struct mover *m, uint64_t old_seq, uint64_t old_total, int reason)
{
	struct loss l = {
		.from = m->at,
		.to = {.seq = old_seq - m->to->shared_seq,
			.total = old_total - m->to->shared_total},
		.reason = reason,
	};
	uint8_t frame[LOSS_FRAME_MAX];
	size_t n = spool_loss_frame(m->to->epoch, &l, frame);
	int r = spool_newfile_write(&m->out, frame, n);

	m->only_loss = m->records_n++ == 0;
	lost_add(&m->lost, lost_between(&l.from, &l.to));
	m->at = l.to;
	return r;
}

static int move_record(void *arg, struct frame_header *h, uint8_t *rec, const struct point *before,
	const struct point *behind)
{
	struct mover *m = arg;
	uint64_t total = m->to->shared_total + m->at.total;
	struct point at;
	int r, reason;

	(void)before;
	if (behind->seq - m->to->shared_seq <= m->at.seq)
		return 0;
	if (h->type == FRAME_LOSS ? h->packets_total < total
				  : h->packets_total - h->packets != total)
		return -EBADMSG;
	if (h->type == FRAME_LOSS) {
		if (!spool_loss_parse(h, rec + FRAME_HEADER_SIZE, &at, &reason))
			return -EIO;
		return move_loss(m, h->seq, h->packets_total, reason);
	}
	h->epoch = m->to->epoch;
	h->seq -= m->to->shared_seq;
	h->first_seq = h->seq;
	h->packets_total -= m->to->shared_total;
	h->prev_checksum = m->at.checksum;
	frame_seal(h, rec);
	m->only_loss = false;
	m->records_n++;
	r = spool_newfile_write(&m->out, rec, FRAME_HEADER_SIZE + h->payload_length);
	m->at = (struct point){h->seq, h->checksum, h->packets_total};
	return r;
}

static int move_hole(void *arg, const struct point *from, const struct point *to)
{
	struct mover *m = arg;

	(void)from;
	if (to->seq - m->to->shared_seq <= m->at.seq)
		return 0;
	if (to->total < m->to->shared_total + m->at.total)
		return -EBADMSG;
	return move_loss(m, to->seq, to->total, HIRUNDO__V1__LOSS__REASON__CORRUPT);
}

/* One old segment into a new one; `whole` false: only a LOSS for what it holds. */
static int move_copy(struct spool *s, const struct stream *from, const struct segment *seg,
	bool whole, struct mover *m)
{
	struct walk w = {
		.epoch = from->epoch,
		.at = seg->before,
		.bounded = true,
		.end = seg->last,
		.record = move_record,
		.hole = move_hole,
		.arg = m,
	};
	struct path path;
	int fd = -1, r;

	if (whole) {
		spool_path_segment(s, from, &seg->before, "", &path);
		fd = spool_file_open(s, path.s, O_RDONLY);
		if (fd < 0) {
			m->unreadable = spool_file_is_unreadable(fd);
			return fd;
		}
	}
	m->at = m->to->newest;
	m->records_n = 0;
	m->lost = (struct lost){0};
	r = spool_newfile_open(s, m->to, &m->to->newest, &m->out);
	if (r == 0) {
		/* Between what was moved and this segment something is missing. */
		if (seg->before.seq - m->to->shared_seq > m->at.seq)
			r = move_hole(m, &seg->before, &seg->before);
		if (r == 0)
			r = whole ? spool_walk(&w, fd)
				  : move_loss(m, seg->last.seq, seg->last.total,
					    HIRUNDO__V1__LOSS__REASON__SPOOL_FULL);
		if (r < 0)
			spool_newfile_abort(&m->out);
		else
			r = spool_newfile_commit(&m->out);
	}
	if (fd >= 0)
		spool_file_close(s, fd);
	return r;
}

static int move_segment(struct spool *s, struct stream *from, struct stream *st)
{
	struct segment old = from->moving.at[0], seg;
	struct mover m = {.to = st};
	int r = spool_segments_reserve(&st->held);

	if (r < 0)
		return r;
	do
		r = move_copy(s, from, &old, true, &m);
	while (is_full(r) && spool_room_drop_acked(s));
	if (is_full(r) || r == -EBADMSG || (r < 0 && m.unreadable)) {
		r = move_copy(s, from, &old, false, &m);
		if (is_full(r) && spool_reserve_release(s))
			r = move_copy(s, from, &old, false, &m);
	}
	if (r < 0)
		return r;
	seg = (struct segment){
		.before = st->newest,
		.last = m.at,
		.end = m.out.n,
		.alloc = m.out.n,
		.only_loss = m.only_loss,
		.lost = m.lost,
	};
	spool_count_lost(s, old.lost, m.lost);
	spool_segments_insert(&st->held, st->held.n, &seg);
	st->newest = m.at;
	s->counters.bytes += seg.alloc;
	spool_segment_drop(s, from, &from->moving, 0);
	return 0;
}

int spool_fork_finish(struct spool *s)
{
	struct stream *st = newest_stream(s);
	struct stream *from = st->parent > 0 ? parent_of(s, st) : NULL;

	if (!from || from->moving.n == 0)
		return 0;
	spool_active_close(s);
	while (from->moving.n > 0) {
		int r = move_segment(s, from, st);

		if (r < 0)
			return r;
	}
	return 0;
}

int spool_fork(struct spool *s, size_t stream, uint64_t shared_seq)
{
	struct stream *from;
	struct point at;
	uint64_t off, oldest;
	size_t i;
	int r;

	if (stream >= s->streams_n)
		return -EINVAL;
	r = spool_fork_finish(s);
	if (r < 0)
		return r;
	if (s->streams_n >= SPOOL_STREAMS_MAX)
		return -EBUSY;
	from = &s->streams[stream];
	oldest = spool_stream(s, stream).oldest_seq;
	if (shared_seq + 1 < oldest) /* what is gone was acknowledged: it is not told again */
		shared_seq = oldest - 1;
	r = spool_seek_to(s, from, shared_seq, &i, &off, &at);
	if (r != SEEK_OK)
		return r < 0 ? r : -EINVAL;
	r = spool_stream_create(s, from->generation, &at);
	if (r < 0)
		return r;
	s->connected = s->must_reconnect = false;
	r = spool_fork_collect(s, newest_stream(s));
	if (r == 0)
		r = spool_fork_finish(s);
	spool_streams_prune(s);
	return r;
}
