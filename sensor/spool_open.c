#include "sensor/spool_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "hirundo.pb-c.h"

#define SEGMENT_BYTES_DEFAULT (UINT64_C(8) << 20)
/* Segments that the spool is cut into at least: what is dropped at once is a small part of it. */
#define SEGMENTS_MIN 8u
#define SEGMENT_BYTES_MIN 4096u
#define MAX_BYTES_MIN (UINT64_C(64) << 10)

/* ---- The real system ---- */

static int sys_open(void *arg, const char *path, int flags, mode_t mode)
{
	(void)arg;
	return open(path, flags, mode);
}

static ssize_t sys_pwrite(void *arg, int fd, const void *p, size_t n, off_t at)
{
	(void)arg;
	return pwrite(fd, p, n, at);
}

static int sys_fdatasync(void *arg, int fd)
{
	(void)arg;
	return fdatasync(fd);
}

static int sys_fsync_dir(void *arg, const char *path)
{
	int fd, r, err;

	(void)arg;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	r = fsync(fd);
	err = errno;
	(void)close(fd);
	errno = err;
	return r;
}

static int sys_rename(void *arg, const char *from, const char *to)
{
	(void)arg;
	return rename(from, to);
}

static int sys_unlink(void *arg, const char *path)
{
	(void)arg;
	return remove(path);
}

static int sys_mkdir(void *arg, const char *path)
{
	(void)arg;
	return mkdir(path, 0700);
}

static int sys_fallocate(void *arg, int fd, off_t n)
{
	(void)arg;
	return fallocate(fd, 0, 0, n);
}

static int sys_ftruncate(void *arg, int fd, off_t n)
{
	(void)arg;
	return ftruncate(fd, n);
}

static int sys_close(void *arg, int fd)
{
	(void)arg;
	return close(fd);
}

static int64_t sys_free_bytes(void *arg, const char *path)
{
	struct statvfs v;

	(void)arg;
	if (statvfs(path, &v) < 0)
		return -1;
	return (int64_t)(v.f_bavail * v.f_frsize);
}

const struct spool_io spool_io_system = {
	.open = sys_open,
	.pwrite = sys_pwrite,
	.fdatasync = sys_fdatasync,
	.fsync_dir = sys_fsync_dir,
	.rename = sys_rename,
	.unlink = sys_unlink,
	.mkdir = sys_mkdir,
	.fallocate = sys_fallocate,
	.ftruncate = sys_ftruncate,
	.close = sys_close,
	.free_bytes = sys_free_bytes,
};

/* ---- One stream ---- */

struct names {
	struct point *at;
	size_t n, cap;
};

static int names_add(struct names *l, const struct point *name)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct point *at = reallocarray(l->at, cap, sizeof(*at));

		if (!at)
			return -ENOMEM;
		l->at = at;
		l->cap = cap;
	}
	l->at[l->n++] = *name;
	return 0;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_names(const void *a, const void *b)
{
	const struct point *x = a, *y = b;
	int r = compare_u64(x->seq, y->seq);

	if (r == 0)
		r = compare_u64(x->total, y->total);
	return r != 0 ? r : compare_u64(x->checksum, y->checksum);
}

/* Files that are not ours by name stay as they are and are never read; unfinished ones go. */
static int list_segments(struct spool *s, const struct stream *st, struct names *ret)
{
	struct path path, tmp;
	struct dirent *e;
	DIR *d;
	int r = 0;

	spool_path_stream(s, st, &path);
	d = opendir(path.s);
	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d))) {
		size_t n = strlen(e->d_name);
		struct point name;

		if (n > 4 && n < SEGMENT_NAME_SIZE && strcmp(e->d_name + n - 4, ".tmp") == 0) {
			spool_path_in_stream(s, st, e->d_name, &tmp);
			(void)spool_file_unlink(s, tmp.s);
		} else if (spool_segment_name_parse(e->d_name, &name)) {
			r = names_add(ret, &name);
		}
	}
	(void)closedir(d);
	if (ret->n > 0)
		qsort(ret->at, ret->n, sizeof(*ret->at), compare_names);
	return r;
}

/* Walks a file without changing anything. @return as spool_walk(), or what open said */
static int look(struct spool *s, const struct stream *st, const struct point *name,
	const struct point *end, struct walk *ret)
{
	struct path path;
	int fd, r;

	*ret = (struct walk){.epoch = st->epoch, .at = *name};
	if (end) {
		ret->bounded = true;
		ret->end = *end;
	}
	spool_path_segment(s, st, name, "", &path);
	fd = spool_file_open(s, path.s, O_RDONLY);
	if (fd < 0)
		return fd;
	r = spool_walk(ret, fd);
	spool_file_close(s, fd);
	return r;
}

/* Whether the file begins with a LOSS: then how far it reaches. */
static bool begins_with_loss(
	struct spool *s, const struct stream *st, const struct point *name, uint64_t *ret_seq)
{
	uint8_t frame[LOSS_FRAME_MAX];
	struct frame_header h;
	struct path path;
	ssize_t n;
	int fd;

	spool_path_segment(s, st, name, "", &path);
	fd = spool_file_open(s, path.s, O_RDONLY);
	if (fd < 0)
		return false;
	n = pread(fd, frame, sizeof(frame), 0);
	spool_file_close(s, fd);
	if (n <= 0 || frame_parse(frame, (size_t)n, FRAME_MAX, &h) != FRAME_OK ||
		h.type != FRAME_LOSS || h.epoch != st->epoch || h.first_seq != name->seq + 1 ||
		h.prev_checksum != name->checksum)
		return false;
	*ret_seq = h.seq;
	return true;
}

/* Segments that a LOSS had replaced, and that a crash kept from being unlinked. */
static void drop_replaced(struct spool *s, const struct stream *st, struct names *l)
{
	for (size_t i = 0; i + 1 < l->n; i++) {
		uint64_t seq;

		if (l->at[i + 1].seq == l->at[i].seq || !begins_with_loss(s, st, &l->at[i], &seq))
			continue;
		while (i + 1 < l->n && l->at[i + 1].seq < seq) {
			struct path path;
			struct walk w;

			if (look(s, st, &l->at[i + 1], NULL, &w) < 0 || w.at.seq > seq)
				break;
			spool_path_segment(s, st, &l->at[i + 1], "", &path);
			(void)spool_file_unlink(s, path.s);
			memmove(l->at + i + 1, l->at + i + 2, (l->n - i - 2) * sizeof(*l->at));
			l->n--;
		}
	}
}

/* Cuts off what is behind the records: preallocated zeros, a torn record, records that stand in the
 * next file again. */
static int cut_tail(struct spool *s, const struct stream *st, const struct walk *w,
	const struct point *name, bool last)
{
	struct path path;
	int fd, r = 0;

	if (w->torn_bytes > 0 && !w->superseded)
		s->counters.torn_bytes += w->torn_bytes;
	if (!last && w->size == w->good_end)
		return 0;
	spool_path_segment(s, st, name, "", &path);
	fd = spool_file_open(s, path.s, O_RDWR);
	if (fd < 0)
		return fd;
	if (w->size > w->good_end)
		r = spool_file_truncate(s, fd, w->good_end);
	/* A record that a killed process had written may not have reached the disk. It must, before
	 * anybody sends it. */
	if (r == 0 && last)
		r = spool_file_sync(s, fd);
	spool_file_close(s, fd);
	return last ? r : 0;
}

/* Loads one file, from the last to the first: where each ends is known from the next one's name.
 * Front-inserts into held. */
static int load_segment(struct spool *s, struct stream *st, const struct point *name, bool first)
{
	struct segments *l = &st->held;
	const bool bounded = l->n > 0;
	const struct point end = bounded ? l->at[0].before : (struct point){0};
	struct segment seg = {.before = *name};
	struct path path;
	struct walk w;
	bool readable;
	int r;

	if (bounded && (name->seq >= end.seq || name->total > end.total)) {
		spool_set_aside(s, st, name);
		return 0;
	}
	r = look(s, st, name, bounded ? &end : NULL, &w);
	if (r < 0 && !spool_file_is_unreadable(r))
		return r;
	readable = r == 0;
	if (!readable || w.records_n == 0) {
		/* Nothing in it. The hole is seen from the segment before; the first one has
		 * nobody. */
		if (!bounded || !first) {
			if (readable && (w.torn_bytes == 0 || w.superseded)) {
				spool_path_segment(s, st, name, "", &path);
				return spool_file_unlink(s, path.s);
			}
			spool_set_aside(s, st, name);
			return 0;
		}
		w.damaged_n = 1;
	}
	r = spool_segments_reserve(l);
	if (r < 0)
		return r;
	seg.last = bounded ? end : w.at;
	seg.end = w.good_end;
	seg.alloc = readable ? w.size : 0;
	seg.lost = w.lost;
	seg.only_loss = w.records_n == 1 && w.first_is_loss;
	if (w.damaged_n > 0) {
		spool_segments_insert(l, 0, &seg);
		s->counters.bytes += seg.alloc;
		return spool_segment_rewrite(s, st, l, 0, name, REWRITE_UNLINK);
	}
	r = cut_tail(s, st, &w, name, !bounded);
	seg.alloc = seg.end;
	spool_segments_insert(l, 0, &seg);
	s->counters.bytes += seg.alloc;
	/* What cannot be made durable there is, in a file of its own. */
	return r < 0 ? spool_segment_rewrite(s, st, l, 0, name, REWRITE_UNLINK) : 0;
}

static int stream_load(struct spool *s, struct stream *st)
{
	struct names names = {0};
	struct path path;
	int r = list_segments(s, st, &names);

	if (r == 0)
		drop_replaced(s, st, &names);
	for (size_t i = names.n; r == 0 && i > 0; i--)
		r = load_segment(s, st, &names.at[i - 1], i == 1);
	free(names.at);
	if (r < 0)
		return r;
	if (st->held.n > 0) {
		st->newest = st->held.at[st->held.n - 1].last;
		st->sent = st->acked = st->held.at[0].before.seq;
		/* The same for the names: a record is not sent before its file would survive. */
		spool_path_stream(s, st, &path);
		return spool_file_sync_dir(s, path.s);
	}
	return 0;
}

/* ---- All of it ---- */

static int compare_streams(const void *a, const void *b)
{
	const struct stream *x = a, *y = b;
	int r = compare_u64(x->generation, y->generation);

	return r != 0 ? r : compare_u64(x->epoch, y->epoch);
}

static int list_streams(struct spool *s)
{
	struct dirent *e;
	DIR *d = opendir(s->dir);
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d))) {
		struct stream st, *streams;
		struct stat sb;

		if (!spool_stream_name_parse(e->d_name, &st) ||
			fstatat(dirfd(d), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISDIR(sb.st_mode))
			continue;
		streams = reallocarray(s->streams, s->streams_n + 1, sizeof(*streams));
		if (!streams) {
			r = -ENOMEM;
			break;
		}
		s->streams = streams;
		s->streams[s->streams_n++] = st;
	}
	(void)closedir(d);
	if (s->streams_n > 0)
		qsort(s->streams, s->streams_n, sizeof(*s->streams), compare_streams);
	return r;
}

/* Copies of a folder: one epoch twice, or one generation twice, would be delivered twice. */
static void streams_unique(struct spool *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->streams_n; i++) {
		struct path from, to;
		bool copy = false;

		for (size_t j = 0; j < n; j++)
			copy |= s->streams[j].epoch == s->streams[i].epoch ||
				s->streams[j].generation == s->streams[i].generation;
		if (!copy) {
			s->streams[n++] = s->streams[i];
			continue;
		}
		s->counters.segments_bad++;
		spool_path_stream(s, &s->streams[i], &from);
		(void)snprintf(to.s, sizeof(to.s), "%.*s.bad", (int)(sizeof(to.s) - 5), from.s);
		(void)spool_file_rename(s, from.s, to.s);
	}
	s->streams_n = n;
}

static void choose_segment_bytes(struct spool *s, uint64_t wanted)
{
	int64_t free_bytes = s->io->free_bytes(s->io->arg, s->dir);
	uint64_t room = s->max_bytes;

	if (free_bytes >= 0) {
		uint64_t disk = (uint64_t)free_bytes + s->counters.bytes;

		disk = disk > s->min_free_bytes ? disk - s->min_free_bytes : 0;
		if (disk < room)
			room = disk;
	}
	s->segment_bytes = wanted > 0 ? wanted : SEGMENT_BYTES_DEFAULT;
	if (s->segment_bytes > room / SEGMENTS_MIN)
		s->segment_bytes = room / SEGMENTS_MIN;
	if (s->segment_bytes < SEGMENT_BYTES_MIN)
		s->segment_bytes = SEGMENT_BYTES_MIN;
}

/* Goes on in the last segment where it has room, so that restarts don't leave a trail of small
 * files. */
static int active_reopen(struct spool *s)
{
	struct stream *st = newest_stream(s);
	const struct segment *seg = st->held.n > 0 ? &st->held.at[st->held.n - 1] : NULL;
	struct path path;
	int fd;

	if (!seg || seg->only_loss || seg->end >= s->segment_bytes)
		return 0;
	spool_path_segment(s, st, &seg->before, "", &path);
	fd = spool_file_open(s, path.s, O_RDWR);
	if (fd < 0)
		return fd;
	s->active_fd = fd;
	s->active_new = false;
	return 0;
}

static int recover(struct spool *s, uint64_t segment_bytes)
{
	int r = list_streams(s);

	if (r < 0)
		return r;
	spool_reserve_make(s);
	streams_unique(s);
	for (size_t i = 0; i < s->streams_n; i++) {
		r = stream_load(s, &s->streams[i]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < s->streams_n; i++) {
		r = spool_fork_collect(s, &s->streams[i]);
		if (r < 0)
			return r;
	}
	if (s->streams_n == 0)
		r = spool_stream_create(s, 0, NULL);
	else if (newest_stream(s)->held.n == 0 && newest_stream(s)->parent == 0 &&
		 s->streams_n == 1)
		spool_stream_begin_at(newest_stream(s), s->first_seq);
	if (r < 0)
		return r;
	choose_segment_bytes(s, segment_bytes);
	/* What cannot be finished now (no room) is tried again with every append. */
	r = spool_fork_finish(s);
	if (r == -ENOMEM)
		return r;
	spool_streams_prune(s);
	return active_reopen(s);
}

static int lock(const char *dir, int *ret)
{
	char path[PATH_MAX];
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? SPOOL_LOCKED : -errno;
		(void)close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

static int fail(int r, const struct spool_options *o, const char *what, char **ret_reason)
{
	char *text;

	if (asprintf(&text, "spool %s: %s%s%s", o->dir ? o->dir : "-", what, r < 0 ? ": " : "",
		    r < 0 ? strerror(-r) : "") < 0)
		text = NULL;
	*ret_reason = text;
	return r;
}

int spool_open(const struct spool_options *o, struct spool **ret, char **ret_reason)
{
	struct spool *s;
	size_t n = o->dir ? strlen(o->dir) : 0;
	int r;

	if (n == 0 || n > PATH_MAX - STREAM_NAME_SIZE - SEGMENT_NAME_SIZE - 8)
		return fail(-ENAMETOOLONG, o, "the folder's name does not fit", ret_reason);
	if (o->max_bytes < MAX_BYTES_MIN)
		return fail(-EINVAL, o, "the maximum size is below 64 KiB", ret_reason);
	if (o->first_seq >= SEQ_MAX)
		return fail(-EINVAL, o, "the first number is out of range", ret_reason);
	s = calloc(1, sizeof(*s) + n + 1);
	if (!s)
		return fail(-ENOMEM, o, "no memory", ret_reason);
	memcpy(s->dir_copy, o->dir, n + 1);
	s->dir = s->dir_copy;
	s->max_bytes = o->max_bytes;
	s->min_free_bytes = o->min_free_bytes;
	s->retain_us = o->retain_us;
	s->first_seq = o->first_seq;
	s->io = o->io ? o->io : &spool_io_system;
	s->active_fd = s->lock_fd = -1;
	r = spool_file_mkdir(s, s->dir);
	if (r < 0 && r != -EEXIST) {
		(void)spool_close(s);
		return fail(r, o, "cannot be made", ret_reason);
	}
	r = lock(s->dir, &s->lock_fd);
	if (r != 0) {
		(void)spool_close(s);
		return fail(
			r, o, r > 0 ? "another process has it" : "cannot be locked", ret_reason);
	}
	r = recover(s, o->segment_bytes);
	if (r < 0) {
		(void)spool_close(s);
		return fail(r, o, "cannot be recovered", ret_reason);
	}
	*ret = s;
	return 0;
}

struct spool *spool_close(struct spool *s)
{
	if (!s)
		return NULL;
	if (s->active_fd >= 0)
		spool_file_close(s, s->active_fd);
	for (size_t i = 0; i < s->streams_n; i++)
		spool_stream_done(&s->streams[i]);
	free(s->streams);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	free(s);
	return NULL;
}
