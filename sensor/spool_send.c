#include "sensor/spool_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/clock.h"
#include "hirundo.pb-c.h"

/* ---- The position at the collector ---- */

bool spool_checksum_at(struct spool *s, size_t stream, uint64_t seq, uint64_t *ret)
{
	struct point at;
	uint64_t off;
	size_t i;

	if (stream >= s->streams_n ||
		spool_seek_to(s, &s->streams[stream], seq, &i, &off, &at) != SEEK_OK)
		return false;
	*ret = at.checksum;
	return true;
}

static void mark_acked(struct stream *st)
{
	int64_t now = clock_mono_us();

	for (size_t i = 0; i < st->held.n; i++) {
		struct segment *seg = &st->held.at[i];

		if (seg->last.seq > st->acked)
			seg->acked_us = 0;
		else if (seg->acked_us == 0)
			seg->acked_us = now > 0 ? now : 1;
	}
}

/* Numbers behind the position that are no longer held: one LOSS in front, joined with one that is
 * already there. */
static int resume_retention(struct spool *s, struct stream *st, const struct point *at)
{
	struct segments *l = &st->held;
	size_t n = l->n > 0 && l->at[0].only_loss ? 1 : 0;
	struct point gone = l->n > 0 ? l->at[0].before : st->newest;
	struct point to = n > 0 ? l->at[0].last : gone;

	if (at->total > gone.total)
		return SPOOL_POSITION_FOREIGN;
	return spool_segment_replace(s, st, l, 0, n, at, &to, HIRUNDO__V1__LOSS__REASON__RETENTION);
}

/* The position lies inside a LOSS: what is in front of it is committed after all. */
static int resume_trim(struct spool *s, struct stream *st, size_t i, const struct point *at,
	const struct point *loss_before)
{
	if (at->total < loss_before->total || at->total > st->held.at[i].last.total)
		return SPOOL_POSITION_FOREIGN;
	return spool_segment_rewrite(s, st, &st->held, i, at, REWRITE_UNLINK);
}

int spool_resume(
	struct spool *s, size_t stream, uint64_t seq, uint64_t checksum, uint64_t packets_total)
{
	const struct point at = {seq, checksum, packets_total};
	struct stream *st;
	struct point ours;
	uint64_t off;
	size_t i;
	int r;

	if (stream >= s->streams_n)
		return -EINVAL;
	st = &s->streams[stream];
	r = spool_seek_to(s, st, seq, &i, &off, &ours);
	if (r < 0)
		return r;
	switch ((enum seek_res)r) {
	case SEEK_BEHIND:
		/* Behind the shared record of a stream that forked stands what others wrote. */
		if (!st->ended)
			return SPOOL_POSITION_FOREIGN;
		seq = st->newest.seq;
		r = 0;
		break;
	case SEEK_OK:
		/* Of a stream that only waits to be told, the checksum is not held any more. */
		if (ours.checksum != checksum && !(st->ended && st->held.n == 0))
			r = SPOOL_POSITION_FOREIGN;
		break;
	case SEEK_BEFORE: r = resume_retention(s, st, &at); break;
	case SEEK_IN_LOSS: r = resume_trim(s, st, i, &at, &ours); break;
	}
	if (r != 0)
		return r;
	st->acked = st->sent = seq;
	st->told = st->ended;
	mark_acked(st);
	s->connected = true;
	s->must_reconnect = false;
	return SPOOL_POSITION_OK;
}

/* ---- The cursor ---- */

static int read_record(struct spool *s, struct stream *st, size_t i, uint64_t off, uint64_t seq,
	struct buf *out, struct frame_header *ret, struct point *ret_behind)
{
	const struct segment *seg = &st->held.at[i];
	struct frame_header h;
	uint8_t head[FRAME_HEADER_SIZE];
	int r, reason;

	if (seg->end < off + FRAME_HEADER_SIZE ||
		spool_read_at(s, st, &seg->before, head, sizeof(head), off) < 0 ||
		frame_parse_header(head, sizeof(head), FRAME_MAX, &h) != FRAME_OK ||
		seg->end - off < FRAME_HEADER_SIZE + h.payload_length)
		return -EBADMSG;
	r = buf_reserve(out, FRAME_HEADER_SIZE + h.payload_length);
	if (r < 0)
		return r;
	if (spool_read_at(s, st, &seg->before, buf_tail(out), FRAME_HEADER_SIZE + h.payload_length,
		    off) < 0 ||
		frame_parse(buf_tail(out), FRAME_HEADER_SIZE + h.payload_length, FRAME_MAX, &h) !=
			FRAME_OK ||
		h.epoch != st->epoch || h.first_seq != seq)
		return -EBADMSG;
	*ret_behind = (struct point){h.seq, h.checksum, h.packets_total};
	if (h.type == FRAME_LOSS &&
		!spool_loss_parse(&h, buf_tail(out) + FRAME_HEADER_SIZE, ret_behind, &reason))
		return -EBADMSG;
	buf_added(out, FRAME_HEADER_SIZE + h.payload_length);
	*ret = h;
	return 0;
}

/* The record behind number seq. @return 0, SPOOL_END where it lies inside a LOSS, -errno */
static int read_behind(
	struct spool *s, struct stream *st, uint64_t seq, struct buf *out, struct frame_header *ret)
{
	for (int tries = 0;; tries++) {
		struct point at, behind, before;
		uint64_t off;
		size_t i;
		int r = spool_seek_to(s, st, seq, &i, &off, &at);

		if (r < 0)
			return r;
		if (r != SEEK_OK)
			return SPOOL_END;
		if (at.seq ==
			st->held.at[i].last.seq) { /* the segment ends here: on with the next */
			i++;
			off = 0;
		}
		r = read_record(s, st, i, off, seq + 1, out, ret, &behind);
		if (r == 0) {
			s->seek.epoch = st->epoch;
			s->seek.segment = st->held.at[i].before.seq;
			s->seek.off = off + FRAME_HEADER_SIZE + ret->payload_length;
			s->seek.at = behind;
			return 0;
		}
		if (r != -EBADMSG || tries > 0)
			return r == -EBADMSG ? -EIO : r;
		buf_clear(out);
		before = st->held.at[i].before;
		r = spool_segment_rewrite(s, st, &st->held, i, &before, REWRITE_UNLINK);
		if (r < 0)
			return r;
	}
}

int spool_next(struct spool *s, struct buf *out, struct frame_header *ret)
{
	buf_clear(out);
	if (s->must_reconnect)
		return SPOOL_END;
	for (size_t i = 0; i < s->streams_n; i++) {
		struct stream *st = &s->streams[i];
		int r;

		if (st->sent >= st->newest.seq || st->held.n == 0)
			continue;
		r = read_behind(s, st, st->sent, out, ret);
		if (r == 0)
			st->sent = ret->seq;
		else if (r == SPOOL_END) /* damage reaches back into what was sent: only the
					    collector knows */
			s->must_reconnect = true;
		return r;
	}
	return SPOOL_END;
}

bool spool_must_reconnect(const struct spool *s)
{
	return s->must_reconnect;
}

/* ---- Acknowledgements ---- */

void spool_ack(struct spool *s, uint64_t epoch, uint64_t seq)
{
	for (size_t i = 0; i < s->streams_n; i++) {
		struct stream *st = &s->streams[i];

		/* Nobody can have committed what was not sent. */
		if (st->epoch == epoch && seq > st->acked && seq <= st->sent) {
			st->acked = seq;
			mark_acked(st);
		}
	}
}

void spool_expire(struct spool *s, int64_t now_us)
{
	for (size_t i = 0; i < s->streams_n; i++) {
		struct stream *st = &s->streams[i];
		size_t keep = i + 1 == s->streams_n ? 1 : 0;

		while (st->held.n > keep && st->held.at[0].acked_us > 0 &&
			now_us - st->held.at[0].acked_us >= s->retain_us)
			spool_segment_drop(s, st, &st->held, 0);
	}
	spool_reserve_make(s);
}

void spool_disconnected(struct spool *s)
{
	s->connected = false;
	s->must_reconnect = false;
	spool_streams_prune(s);
}

/* ---- Backwards ---- */

struct place {
	uint64_t off, seq;
};

/* Where the records of a segment are. */
struct places {
	struct place *at;
	size_t n, cap;
	uint64_t off;
};

static int places_add(void *arg, struct frame_header *h, uint8_t *rec, const struct point *before,
	const struct point *behind)
{
	struct places *l = arg;

	(void)rec;
	(void)before;
	(void)behind;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct place *at = reallocarray(l->at, cap, sizeof(*at));

		if (!at)
			return -ENOMEM;
		l->at = at;
		l->cap = cap;
	}
	l->at[l->n++] = (struct place){l->off, h->first_seq};
	l->off += FRAME_HEADER_SIZE + h->payload_length;
	return 0;
}

/* @return 0; 1 where the segment has damage, and places are not to be relied on; -errno */
static int places_of(
	struct spool *s, const struct stream *st, const struct segment *seg, struct places *ret)
{
	struct walk w = {
		.epoch = st->epoch,
		.at = seg->before,
		.bounded = true,
		.end = seg->last,
		.record = places_add,
		.arg = ret,
	};
	struct path path;
	int fd, r;

	spool_path_segment(s, st, &seg->before, "", &path);
	fd = spool_file_open(s, path.s, O_RDONLY);
	if (fd < 0)
		return spool_file_is_unreadable(fd) ? 1 : fd;
	r = spool_walk(&w, fd);
	spool_file_close(s, fd);
	return r == 0 && w.damaged_n > 0 ? 1 : r;
}

typedef bool (*match_cb)(void *arg, const struct frame_header *h, const uint8_t *payload);

static int find_in_segment(
	struct spool *s, struct stream *st, size_t i, struct buf *out, match_cb match, void *arg)
{
	struct places l = {0};
	int r = places_of(s, st, &st->held.at[i], &l);

	if (r == 1) {
		struct point before = st->held.at[i].before;

		l.n = l.off = 0;
		r = spool_segment_rewrite(s, st, &st->held, i, &before, REWRITE_UNLINK);
		if (r == 0)
			r = places_of(s, st, &st->held.at[i], &l);
	}
	for (size_t j = l.n; r == 0 && j > 0; j--) {
		struct frame_header h;
		struct point behind;

		buf_clear(out);
		r = read_record(s, st, i, l.at[j - 1].off, l.at[j - 1].seq, out, &h, &behind);
		if (r == 0 && h.type != FRAME_LOSS &&
			match(arg, &h, buf_head(out) + FRAME_HEADER_SIZE)) {
			free(l.at);
			return 0;
		}
	}
	free(l.at);
	return r == 0 ? SPOOL_END : r > 0 || r == -EBADMSG ? -EIO : r;
}

int spool_find_last(struct spool *s, match_cb match, void *arg)
{
	struct buf out;
	int r = SPOOL_END;

	buf_init(&out, FRAME_MAX);
	for (size_t i = s->streams_n; r == SPOOL_END && i > 0; i--) {
		struct stream *st = &s->streams[i - 1];

		for (size_t j = st->held.n; r == SPOOL_END && j > 0; j--)
			r = find_in_segment(s, st, j - 1, &out, match, arg);
	}
	buf_done(&out);
	return r;
}
