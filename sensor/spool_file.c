#include "sensor/spool_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Damaged bytes that are kept for the owner: so many files, and this part of max_bytes. */
#define BAD_FILES_MAX 8u
#define BAD_BYTES_PART 8u

/* A LOSS frame is below 128 bytes; the rest is for the directory and the file system's own blocks.
 */
#define RESERVE_BYTES (64 * 1024)

static void path_join(struct path *ret, const char *a, const char *b, const char *c, const char *d)
{
	int n = snprintf(
		ret->s, sizeof(ret->s), "%s%s%s%s%s", a, b[0] ? "/" : "", b, c[0] ? "/" : "", c);

	/* spool_open refuses folders whose names leave no room for these. */
	if (n >= 0 && (size_t)n < sizeof(ret->s))
		(void)snprintf(ret->s + n, sizeof(ret->s) - (size_t)n, "%s", d);
}

void spool_path_stream(const struct spool *s, const struct stream *st, struct path *ret)
{
	path_join(ret, s->dir, st->name, "", "");
}

void spool_path_in_stream(
	const struct spool *s, const struct stream *st, const char *name, struct path *ret)
{
	path_join(ret, s->dir, st->name, name, "");
}

void spool_path_segment(const struct spool *s, const struct stream *st, const struct point *before,
	const char *suffix, struct path *ret)
{
	char name[SEGMENT_NAME_SIZE];

	(void)snprintf(name, sizeof(name), "%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 ".seg",
		before->seq + 1, before->total, before->checksum);
	path_join(ret, s->dir, st->name, name, suffix);
}

/* Fixed-width lower-case hexadecimal, the only form that the names are written in. */
static bool hex_take(const char **p, size_t digits, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < digits; i++) {
		char c = (*p)[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*p += digits;
	*ret = v;
	return true;
}

static bool dash_take(const char **p)
{
	return *(*p)++ == '-';
}

bool spool_segment_name_parse(const char *name, struct point *ret)
{
	struct point at;
	uint64_t first;

	if (!hex_take(&name, 16, &first) || !dash_take(&name) || !hex_take(&name, 16, &at.total) ||
		!dash_take(&name) || !hex_take(&name, 16, &at.checksum) ||
		strcmp(name, ".seg") != 0)
		return false;
	if (first < 1 || first > SEQ_MAX || at.total > SEQ_MAX)
		return false;
	if (first == 1 && (at.total > 0 || at.checksum > 0)) /* nothing stands before the first */
		return false;
	at.seq = first - 1;
	*ret = at;
	return true;
}

void spool_stream_name_make(struct stream *st)
{
	(void)snprintf(st->name, sizeof(st->name),
		"%08" PRIx32 "-%016" PRIx64 "-%08" PRIx32 "-%016" PRIx64 "-%016" PRIx64,
		st->generation, st->epoch, st->parent, st->shared_seq, st->shared_total);
}

bool spool_stream_name_parse(const char *name, struct stream *ret)
{
	struct stream st = {0};
	uint64_t generation, parent;

	if (strlen(name) != STREAM_NAME_SIZE - 1)
		return false;
	memcpy(st.name, name, STREAM_NAME_SIZE);
	if (!hex_take(&name, 8, &generation) || !dash_take(&name) ||
		!hex_take(&name, 16, &st.epoch) || !dash_take(&name) ||
		!hex_take(&name, 8, &parent) || !dash_take(&name) ||
		!hex_take(&name, 16, &st.shared_seq) || !dash_take(&name) ||
		!hex_take(&name, 16, &st.shared_total))
		return false;
	if (generation < 1 || parent >= generation || st.epoch < 1 || st.epoch > SEQ_MAX ||
		st.shared_seq > SEQ_MAX || st.shared_total > SEQ_MAX)
		return false;
	st.generation = (uint32_t)generation;
	st.parent = (uint32_t)parent;
	*ret = st;
	return true;
}

static int result(long r)
{
	return r < 0 ? (errno > 0 ? -errno : -EIO) : (int)r;
}

int spool_file_open(struct spool *s, const char *path, int flags)
{
	int r = -EIO;

	/* A segment that cannot be opened is given up: not for one failure of the disk. */
	for (int tries = 0; r == -EIO && tries < 3; tries++)
		r = result(s->io->open(s->io->arg, path, flags | O_CLOEXEC | O_NOFOLLOW, 0600));
	return r;
}

bool spool_file_is_unreadable(int r)
{
	return r < 0 && r != -ENOMEM && r != -EMFILE && r != -ENFILE && r != -EINTR && !is_full(r);
}

int spool_file_write(struct spool *s, int fd, const void *p, size_t n, uint64_t at)
{
	const uint8_t *from = p;

	while (n > 0) {
		ssize_t r = s->io->pwrite(s->io->arg, fd, from, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r == 0 ? -EIO : result(r);
		from += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

int spool_file_sync(struct spool *s, int fd)
{
	return result(s->io->fdatasync(s->io->arg, fd));
}

int spool_file_truncate(struct spool *s, int fd, uint64_t n)
{
	return result(s->io->ftruncate(s->io->arg, fd, (off_t)n));
}

int spool_file_unlink(struct spool *s, const char *path)
{
	return result(s->io->unlink(s->io->arg, path));
}

int spool_file_rename(struct spool *s, const char *from, const char *to)
{
	return result(s->io->rename(s->io->arg, from, to));
}

int spool_file_mkdir(struct spool *s, const char *path)
{
	return result(s->io->mkdir(s->io->arg, path));
}

int spool_file_sync_dir(struct spool *s, const char *path)
{
	return result(s->io->fsync_dir(s->io->arg, path));
}

void spool_file_close(struct spool *s, int fd)
{
	(void)s->io->close(s->io->arg, fd);
}

int spool_newfile_open(
	struct spool *s, const struct stream *st, const struct point *before, struct newfile *ret)
{
	struct path tmp;
	int fd;

	spool_path_segment(s, st, before, ".tmp", &tmp);
	fd = spool_file_open(s, tmp.s, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	*ret = (struct newfile){.s = s, .st = st, .before = *before, .fd = fd};
	return 0;
}

int spool_newfile_write(struct newfile *f, const void *p, size_t n)
{
	int r = spool_file_write(f->s, f->fd, p, n, f->n);

	if (r == 0)
		f->n += n;
	return r;
}

int spool_newfile_commit(struct newfile *f)
{
	struct path tmp, name, dir;
	int r = spool_file_sync(f->s, f->fd);

	if (r < 0) {
		spool_newfile_abort(f);
		return r;
	}
	spool_file_close(f->s, f->fd);
	spool_path_segment(f->s, f->st, &f->before, ".tmp", &tmp);
	spool_path_segment(f->s, f->st, &f->before, "", &name);
	r = spool_file_rename(f->s, tmp.s, name.s);
	if (r < 0) {
		(void)spool_file_unlink(f->s, tmp.s);
		return r;
	}
	spool_path_stream(f->s, f->st, &dir);
	return spool_file_sync_dir(f->s, dir.s);
}

void spool_newfile_abort(struct newfile *f)
{
	struct path tmp;

	spool_file_close(f->s, f->fd);
	spool_path_segment(f->s, f->st, &f->before, ".tmp", &tmp);
	(void)spool_file_unlink(f->s, tmp.s);
}

void spool_reserve_make(struct spool *s)
{
	static const uint8_t zeros[4096];
	struct path path;
	int fd, r;

	if (s->reserve)
		return;
	path_join(&path, s->dir, "reserve", "", "");
	fd = spool_file_open(s, path.s, O_RDWR | O_CREAT);
	if (fd < 0)
		return;
	r = result(s->io->fallocate(s->io->arg, fd, RESERVE_BYTES));
	if (r == -EOPNOTSUPP) {
		r = 0;
		for (uint64_t at = 0; r == 0 && at < RESERVE_BYTES; at += sizeof(zeros))
			r = spool_file_write(s, fd, zeros, sizeof(zeros), at);
	}
	spool_file_close(s, fd);
	if (r < 0)
		(void)spool_file_unlink(s, path.s);
	s->reserve = r == 0;
}

bool spool_reserve_release(struct spool *s)
{
	struct path path;

	if (!s->reserve)
		return false;
	path_join(&path, s->dir, "reserve", "", "");
	s->reserve = false;
	return spool_file_unlink(s, path.s) == 0;
}

void spool_set_aside(struct spool *s, const struct stream *st, const struct point *before)
{
	struct path from, to;

	spool_path_segment(s, st, before, "", &from);
	spool_path_segment(s, st, before, ".bad", &to);
	s->counters.segments_bad++;
	if (spool_file_rename(s, from.s, to.s) == 0)
		spool_bad_trim(s);
}

struct bad_file {
	const struct stream *st;
	char name[SEGMENT_NAME_SIZE];
	int64_t mtime;
	uint64_t bytes;
};

static bool bad_name(const char *name)
{
	size_t n = strlen(name);

	return n < SEGMENT_NAME_SIZE && n > 4 && strcmp(name + n - 4, ".bad") == 0;
}

static bool bad_older(const struct bad_file *a, const struct bad_file *b)
{
	return a->mtime != b->mtime ? a->mtime < b->mtime : strcmp(a->name, b->name) < 0;
}

/* One sweep: counts, and finds the oldest. */
static bool bad_oldest(struct spool *s, struct bad_file *ret, size_t *ret_n, uint64_t *ret_bytes)
{
	bool found = false;

	*ret_n = 0;
	*ret_bytes = 0;
	for (size_t i = 0; i < s->streams_n; i++) {
		struct bad_file f = {.st = &s->streams[i]};
		struct path path;
		struct dirent *e;
		struct stat sb;
		DIR *d;

		spool_path_stream(s, f.st, &path);
		d = opendir(path.s);
		if (!d)
			continue;
		while ((e = readdir(d))) {
			if (!bad_name(e->d_name) ||
				fstatat(dirfd(d), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			(void)snprintf(f.name, sizeof(f.name), "%s", e->d_name);
			f.mtime = sb.st_mtim.tv_sec;
			f.bytes = (uint64_t)sb.st_size;
			++*ret_n;
			*ret_bytes += f.bytes;
			if (!found || bad_older(&f, ret))
				*ret = f;
			found = true;
		}
		(void)closedir(d);
	}
	return found;
}

void spool_bad_trim(struct spool *s)
{
	struct bad_file f;
	struct path path;
	size_t n;
	uint64_t bytes;

	while (bad_oldest(s, &f, &n, &bytes) &&
		(n > BAD_FILES_MAX || bytes > s->max_bytes / BAD_BYTES_PART)) {
		spool_path_in_stream(s, f.st, f.name, &path);
		if (spool_file_unlink(s, path.s) < 0)
			return;
	}
}
