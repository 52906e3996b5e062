#include "sensor/spool_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "hirundo.pb-c.h"

/* ---- Room ---- */

void spool_active_close(struct spool *s)
{
	struct stream *st = newest_stream(s);
	struct segment *seg;

	if (s->active_fd < 0)
		return;
	seg = &st->held.at[st->held.n - 1];
	/* The zeros behind the content are no content: it does not matter whether a crash undoes
	 * this. */
	if (seg->alloc > seg->end && spool_file_truncate(s, s->active_fd, seg->end) == 0) {
		s->counters.bytes -= seg->alloc - seg->end;
		seg->alloc = seg->end;
	}
	spool_file_close(s, s->active_fd);
	s->active_fd = -1;
}

/* The last segment of the newest stream stays: it is what a restart knows the position from. */
static size_t droppable_n(struct spool *s, const struct stream *st)
{
	bool keep = st == newest_stream(s) && st->held.n > 0;

	return st->held.n - (keep ? 1 : 0);
}

bool spool_room_drop_acked(struct spool *s)
{
	for (size_t i = 0; i < s->streams_n; i++) {
		struct stream *st = &s->streams[i];

		if (droppable_n(s, st) > 0 && st->held.at[0].last.seq <= st->acked) {
			spool_segment_drop(s, st, &st->held, 0);
			return true;
		}
	}
	return false;
}

static bool in_flight(const struct spool *s, const struct stream *st, const struct segment *seg)
{
	return s->connected && seg->before.seq < st->sent && seg->last.seq > st->acked;
}

/* Segments i to i + n - 1 become one LOSS, together with LOSSes that touch them. */
static int drop_unsent(struct spool *s, struct stream *st, size_t i)
{
	struct segments *l = &st->held;
	struct point from = l->at[i].before, to;
	size_t n = 1, found;
	uint64_t off;
	int r;

	if (st->acked > from.seq) { /* what is acknowledged is not lost */
		r = spool_seek_to(s, st, st->acked, &found, &off, &from);
		if (r < 0)
			return r;
	}
	if (i > 0 && l->at[i - 1].only_loss && l->at[i - 1].last.seq == from.seq &&
		l->at[i - 1].before.seq >= st->acked && !in_flight(s, st, &l->at[i - 1])) {
		from = l->at[--i].before;
		n++;
	}
	if (i + n < l->n && l->at[i + n].only_loss)
		n++;
	to = l->at[i + n - 1].last;
	if (!s->connected && st->sent > from.seq && st->sent < to.seq)
		st->sent = from.seq;
	return spool_segment_replace(
		s, st, l, i, n, &from, &to, HIRUNDO__V1__LOSS__REASON__SPOOL_FULL);
}

/* The very last segment goes only when it alone keeps the next one from having room (the maximum
 * was made smaller). A crash before the next record then loses the position, and a fork finds it
 * again. */
static int drop_last(struct spool *s)
{
	struct stream *st = newest_stream(s);
	const struct segment *last = st->held.n > 0 ? &st->held.at[st->held.n - 1] : NULL;

	if (s->active_fd >= 0 || !last || last->only_loss)
		return -ENOSPC;
	if (last->last.seq > st->acked) {
		s->must_reconnect |= in_flight(s, st, last);
		return drop_unsent(s, st, st->held.n - 1);
	}
	spool_segment_drop(s, st, &st->held, st->held.n - 1);
	return 0;
}

/* Frees at least one segment: acknowledged ones first, then the oldest, in flight last.
 * @return 0, -ENOSPC where nothing may go, -errno */
static int drop_one(struct spool *s)
{
	if (spool_room_drop_acked(s))
		return 0;
	for (int flying = 0; flying <= 1; flying++) {
		for (size_t i = 0; i < s->streams_n; i++) {
			struct stream *st = &s->streams[i];

			for (size_t j = 0; j < droppable_n(s, st); j++) {
				const struct segment *seg = &st->held.at[j];

				if (seg->only_loss || in_flight(s, st, seg) != flying)
					continue;
				s->must_reconnect |= flying;
				return drop_unsent(s, st, j);
			}
		}
	}
	return drop_last(s);
}

static int room_for(struct spool *s, uint64_t n)
{
	for (;;) {
		int64_t free_bytes = s->io->free_bytes(s->io->arg, s->dir);
		int r;

		/* A file system that does not say what is free is asked by writing. */
		if (s->counters.bytes + n <= s->max_bytes &&
			(free_bytes < 0 || s->min_free_bytes == 0 ||
				(uint64_t)free_bytes >= s->min_free_bytes + n))
			return 0;
		r = drop_one(s);
		if (r < 0)
			return r;
	}
}

/* ---- Append ---- */

/* A new last segment with nothing in it. */
static int active_open(struct spool *s, size_t n)
{
	struct stream *st = newest_stream(s);
	struct segment seg = {.before = st->newest, .last = st->newest};
	uint64_t want = n > s->segment_bytes ? n : s->segment_bytes;
	struct path path;
	int fd, r = room_for(s, want);

	if (is_full(r)) {
		want = n;
		r = room_for(s, want);
	}
	if (r < 0)
		return r;
	r = spool_segments_reserve(&st->held);
	if (r < 0)
		return r;
	spool_reserve_make(s);
	spool_path_segment(s, st, &seg.before, "", &path);
	fd = spool_file_open(s, path.s, O_RDWR | O_CREAT | O_EXCL);
	if (fd == -EEXIST) { /* a file that an fdatasync failed on: never written to again */
		r = spool_file_unlink(s, path.s);
		fd = r < 0 ? r : spool_file_open(s, path.s, O_RDWR | O_CREAT | O_EXCL);
	}
	if (fd < 0)
		return fd;
	/* Preallocated, an fdatasync has no metadata to write. Where the file system cannot, or has
	 * no room for all of it, the file grows with its records. */
	if (s->io->fallocate(s->io->arg, fd, (off_t)want) == 0)
		seg.alloc = want;
	spool_segments_insert(&st->held, st->held.n, &seg);
	s->counters.bytes += seg.alloc;
	s->active_fd = fd;
	s->active_new = true;
	return 0;
}

/* After a failure nothing is written behind the last good record of this file any more; a file
 * without any goes. */
static void active_abandon(struct spool *s)
{
	struct stream *st = newest_stream(s);
	size_t last = st->held.n - 1;

	if (st->held.at[last].end == 0) {
		spool_segment_drop(s, st, &st->held, last);
		return;
	}
	(void)spool_file_truncate(s, s->active_fd, st->held.at[last].end);
	spool_active_close(s);
}

static int write_active(
	struct spool *s, const uint8_t *record, size_t n, const struct point *behind)
{
	struct stream *st = newest_stream(s);
	struct segment *seg = &st->held.at[st->held.n - 1];
	struct path dir;
	int r = spool_file_write(s, s->active_fd, record, n, seg->end);

	if (r == 0)
		r = spool_file_sync(s, s->active_fd);
	if (r == 0 && s->active_new) {
		spool_path_stream(s, st, &dir);
		r = spool_file_sync_dir(s, dir.s);
	}
	if (r < 0)
		return r;
	s->active_new = false;
	seg->only_loss = false; /* while it grows; recovery sees better */
	seg->end += n;
	if (seg->alloc < seg->end) {
		s->counters.bytes += seg->end - seg->alloc;
		seg->alloc = seg->end;
	}
	seg->last = st->newest = *behind;
	return 0;
}

static int write_once(struct spool *s, const uint8_t *record, size_t n, const struct point *behind)
{
	struct stream *st = newest_stream(s);
	int r;

	if (s->active_fd >= 0) {
		const struct segment *seg = &st->held.at[st->held.n - 1];

		if (seg->end + n > s->segment_bytes && seg->end > 0)
			spool_active_close(s);
		else if (seg->end + n > seg->alloc) {
			r = room_for(s, seg->end + n - seg->alloc);
			if (r < 0)
				return r;
		}
	}
	if (s->active_fd < 0) {
		r = active_open(s, n);
		if (r < 0)
			return r;
	}
	r = write_active(s, record, n, behind);
	if (r < 0)
		active_abandon(s);
	return r;
}

/* Writes a sealed record behind the newest one. On a full disk the oldest segments go, as long as
 * there are any. On any other failure it is tried once more in a new file and once with more room
 * (thin volumes report a full pool as an I/O error); dropping all of the backlog would not help. */
static int put(struct spool *s, const uint8_t *record, size_t n, const struct point *behind)
{
	int failures = 0;

	for (;;) {
		int r = write_once(s, record, n, behind);

		if (r == 0)
			return 0;
		s->counters.write_errors++;
		s->counters.last_error = -r;
		if (!is_full(r) && ++failures > 2)
			return r;
		if (is_full(r) || failures == 2) {
			int dropped = drop_one(s);

			if (dropped < 0)
				return r;
		}
	}
}

static int put_refused_loss(struct spool *s)
{
	struct stream *st = newest_stream(s);
	struct loss l = {
		.from = st->newest,
		.to = {.seq = st->newest.seq + 1, .total = st->newest.total + s->refused_packets},
		.reason = HIRUNDO__V1__LOSS__REASON__WRITE_FAILED,
	};
	uint8_t frame[LOSS_FRAME_MAX];
	size_t n;
	int r;

	if (s->refused_packets == 0)
		return 0;
	n = spool_loss_frame(st->epoch, &l, frame);
	r = put(s, frame, n, &l.to);
	if (is_full(r) && spool_reserve_release(s))
		r = put(s, frame, n, &l.to);
	if (r < 0)
		return r;
	/* Counted when they were refused; dropping this segment must not count them again. */
	lost_add(&st->held.at[st->held.n - 1].lost, (struct lost){1, s->refused_packets});
	s->refused_packets = 0;
	return 0;
}

static bool stream_full(const struct stream *st, uint64_t packets)
{
	/* The record and the LOSS of refused ones before it. */
	return st->newest.seq >= SEQ_MAX - 1 || packets > SEQ_MAX - st->newest.total;
}

int spool_append(struct spool *s, enum frame_type type, uint64_t packets, uint8_t *record, size_t n)
{
	struct frame_header h = {.version = FRAME_VERSION, .type = (uint8_t)type};
	struct stream *st;
	struct point behind;
	int r;

	if ((type != FRAME_BATCH && type != FRAME_STATUS) || n < FRAME_HEADER_SIZE ||
		n > FRAME_MAX || packets > UINT32_MAX)
		return -EINVAL;
	r = spool_fork_finish(s);
	if (r == 0 && stream_full(newest_stream(s), packets + s->refused_packets))
		r = spool_stream_create(s, 0, NULL);
	if (r == 0)
		r = put_refused_loss(s);
	if (r == 0) {
		st = newest_stream(s);
		h.payload_length = (uint32_t)(n - FRAME_HEADER_SIZE);
		h.packets = (uint32_t)packets;
		h.epoch = st->epoch;
		h.first_seq = h.seq = st->newest.seq + 1;
		h.packets_total = st->newest.total + packets;
		h.prev_checksum = st->newest.checksum;
		frame_seal(&h, record);
		behind = (struct point){h.seq, h.checksum, h.packets_total};
		r = put(s, record, n, &behind);
	}
	if (r == 0)
		return 0;
	s->refused_packets += packets;
	s->counters.records_lost++;
	s->counters.packets_lost += packets;
	return SPOOL_REFUSED;
}

/* ---- What others see ---- */

size_t spool_streams_n(const struct spool *s)
{
	return s->streams_n;
}

struct spool_stream spool_stream(const struct spool *s, size_t i)
{
	const struct stream *st = &s->streams[i];

	assert(i < s->streams_n);
	return (struct spool_stream){
		.epoch = st->epoch,
		.oldest_seq = (st->held.n > 0 ? st->held.at[0].before.seq : st->newest.seq) + 1,
		.newest_seq = st->newest.seq,
		.newest_checksum = st->newest.checksum,
		.packets_total = st->newest.total,
		.acked_seq = st->acked,
	};
}

uint64_t spool_unacked_bytes(const struct spool *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->streams_n; i++) {
		const struct segments *l = &s->streams[i].held;

		for (size_t j = l->n; j > 0 && l->at[j - 1].last.seq > s->streams[i].acked; j--)
			n += l->at[j - 1].end;
	}
	return n;
}

uint64_t spool_segment_bytes(const struct spool *s)
{
	return s->segment_bytes;
}

bool spool_all_acked(const struct spool *s)
{
	for (size_t i = 0; i < s->streams_n; i++) {
		const struct stream *st = &s->streams[i];

		if (st->moving.n > 0 || (st->held.n > 0 && st->acked < st->newest.seq))
			return false;
	}
	return s->refused_packets == 0;
}

const struct spool_counters *spool_counters(const struct spool *s)
{
	return &s->counters;
}
