#include "powercut.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL /* the state on the stack */
#include <xxhash.h>

#include "spool_model.h"

#define OPS_MAX 20000u
#define FILES_MAX 4000u
#define FDS_MAX 1024
#define NAMES_MAX 4000u
#define PENDING_MAX 4u /* unsynced calls of one file that are varied one by one */

enum kind {
	CREATE,
	MKDIR,
	RENAME,
	UNLINK,
	SYNC_DIR,
	WRITE,
	RESIZE,
	GROW,
	SYNC
};

struct op {
	enum kind kind;
	char *path, *to; /* below the folder; "" = itself */
	size_t file;
	uint8_t *data;
	size_t n;
	uint64_t at;
	size_t mark; /* marks before it */
	size_t durable; /* names: when their folder was synced next */
};

struct content {
	uint8_t *p;
	size_t n;
};

struct name {
	char *path;
	size_t file; /* FILES_MAX = a folder */
};

struct names {
	struct name at[NAMES_MAX];
	size_t n;
};

struct powercut {
	char *dir;
	struct spool_io io;
	struct op ops[OPS_MAX];
	size_t n;
	size_t marks;
	struct content base[FILES_MAX];
	size_t files_n;
	struct names start, now;
	size_t fds[FDS_MAX]; /* file of each descriptor */
	size_t fail_first, fail_last, fail_calls;
	int fail_error;
	bool failed;
	uint64_t *seen; /* hashes of states */
	size_t seen_n, seen_cap;
};

static void *checked(void *p)
{
	if (!p)
		abort();
	return p;
}

static void must(bool ok)
{
	if (!ok)
		abort();
}

PRINTF_LIKE(3, 4) static void put_text(char *to, size_t n, const char *fmt, ...)
{
	va_list args;
	int r;

	va_start(args, fmt);
	r = vsnprintf(to, n, fmt, args);
	va_end(args);
	must(r >= 0 && (size_t)r < n);
}

/* ---- Names ---- */

static size_t names_find(const struct names *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->at[i].path, path) == 0)
			return i;
	}
	return SIZE_MAX;
}

static void names_remove(struct names *l, const char *path)
{
	size_t i = names_find(l, path);

	if (i == SIZE_MAX)
		return;
	free(l->at[i].path);
	l->at[i] = l->at[--l->n];
}

static void names_set(struct names *l, const char *path, size_t file)
{
	names_remove(l, path);
	must(l->n < NAMES_MAX);
	l->at[l->n++] = (struct name){checked(strdup(path)), file};
}

static void names_done(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i].path);
	l->n = 0;
}

static void parent_name(const char *path, char *ret, size_t n)
{
	const char *slash = strrchr(path, '/');

	put_text(ret, n, "%.*s", slash ? (int)(slash - path) : 0, path);
}

static void apply_name(struct names *l, const struct op *op)
{
	size_t i;
	char parent[4096];

	parent_name(op->kind == RENAME ? op->to : op->path, parent, sizeof(parent));
	if (parent[0] && names_find(l, parent) == SIZE_MAX)
		return; /* its folder is gone */
	switch (op->kind) {
	case CREATE: names_set(l, op->path, op->file); break;
	case MKDIR: names_set(l, op->path, FILES_MAX); break;
	case UNLINK: names_remove(l, op->path); break;
	case RENAME:
		i = names_find(l, op->path);
		if (i != SIZE_MAX) {
			size_t file = l->at[i].file;

			names_remove(l, op->path);
			names_set(l, op->to, file);
		}
		break;
	case SYNC_DIR:
	case WRITE:
	case RESIZE:
	case GROW:
	case SYNC: break;
	}
}

static bool is_name_op(enum kind k)
{
	return k == CREATE || k == MKDIR || k == RENAME || k == UNLINK;
}

/* ---- The log ---- */

static char *below(const struct powercut *p, const char *path)
{
	size_t n = strlen(p->dir);

	must(strncmp(path, p->dir, n) == 0);
	return checked(strdup(path[n] == '/' ? path + n + 1 : path + n));
}

static struct op *log_op(struct powercut *p, enum kind kind, const char *path)
{
	struct op *op = &p->ops[p->n++];

	must(p->n < OPS_MAX);
	*op = (struct op){.kind = kind, .path = path ? below(p, path) : NULL, .mark = p->marks};
	return op;
}

static bool fails(struct powercut *p)
{
	if (p->fail_first == 0 || ++p->fail_calls < p->fail_first || p->fail_calls > p->fail_last)
		return false;
	errno = p->fail_error;
	p->failed = true;
	return true;
}

static int io_open(void *arg, const char *path, int flags, mode_t mode)
{
	struct powercut *p = arg;
	int fd;
	char *name;
	size_t i;

	if (fails(p))
		return -1;
	fd = open(path, flags, mode);
	if (fd < 0)
		return -1;
	must(fd < FDS_MAX);
	name = below(p, path);
	i = names_find(&p->now, name);
	if (i == SIZE_MAX) {
		struct op *op = log_op(p, CREATE, path);

		must(p->files_n < FILES_MAX);
		op->file = p->files_n++;
		apply_name(&p->now, op);
		p->fds[fd] = op->file;
	} else {
		p->fds[fd] = p->now.at[i].file;
		if (flags & O_TRUNC)
			log_op(p, RESIZE, NULL)->file = p->fds[fd];
	}
	free(name);
	return fd;
}

static ssize_t io_pwrite(void *arg, int fd, const void *from, size_t n, off_t at)
{
	struct powercut *p = arg;
	struct op *op;
	bool fail = fails(p);
	int error = errno;

	if (fail)
		n /= 2; /* a full disk takes what fits */
	if (n > 0 && pwrite(fd, from, n, at) != (ssize_t)n)
		return -1;
	if (n > 0) {
		op = log_op(p, WRITE, NULL);
		op->file = p->fds[fd];
		op->at = (uint64_t)at;
		op->n = n;
		op->data = checked(malloc(n));
		memcpy(op->data, from, n);
	}
	errno = error;
	return fail ? -1 : (ssize_t)n;
}

static int io_fdatasync(void *arg, int fd)
{
	struct powercut *p = arg;

	if (fails(p))
		return -1;
	log_op(p, SYNC, NULL)->file = p->fds[fd];
	return 0;
}

static int io_fsync_dir(void *arg, const char *path)
{
	struct powercut *p = arg;

	if (fails(p))
		return -1;
	(void)log_op(p, SYNC_DIR, path);
	return 0;
}

static int io_rename(void *arg, const char *from, const char *to)
{
	struct powercut *p = arg;
	struct op *op;

	if (fails(p) || rename(from, to) < 0)
		return -1;
	op = log_op(p, RENAME, from);
	op->to = below(p, to);
	apply_name(&p->now, op);
	return 0;
}

static int io_unlink(void *arg, const char *path)
{
	struct powercut *p = arg;

	if (remove(path) < 0)
		return -1;
	apply_name(&p->now, log_op(p, UNLINK, path));
	return 0;
}

static int io_mkdir(void *arg, const char *path)
{
	struct powercut *p = arg;

	if (strcmp(path, p->dir) == 0) {
		errno = EEXIST;
		return -1;
	}
	if (fails(p) || mkdir(path, 0700) < 0)
		return -1;
	apply_name(&p->now, log_op(p, MKDIR, path));
	return 0;
}

static int resize(struct powercut *p, enum kind kind, int fd, off_t n)
{
	struct op *op;

	if (fails(p) || (kind == GROW ? fallocate(fd, 0, 0, n) : ftruncate(fd, n)) < 0)
		return -1;
	op = log_op(p, kind, NULL);
	op->file = p->fds[fd];
	op->n = (size_t)n;
	return 0;
}

static int io_fallocate(void *arg, int fd, off_t n)
{
	return resize(arg, GROW, fd, n);
}

static int io_ftruncate(void *arg, int fd, off_t n)
{
	return resize(arg, RESIZE, fd, n);
}

static int io_close(void *arg, int fd)
{
	(void)arg;
	return close(fd);
}

static int64_t io_free_bytes(void *arg, const char *path)
{
	(void)arg;
	(void)path;
	return INT64_C(1) << 40;
}

/* ---- Life ---- */

static void load(struct powercut *p, const char *rel)
{
	char path[8192];
	struct dirent *e;
	DIR *d;

	put_text(path, sizeof(path), "%s%s%s", p->dir, rel[0] ? "/" : "", rel);
	d = checked(opendir(path));
	while ((e = readdir(d))) {
		char name[8192];
		struct stat sb;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			strcmp(e->d_name, "lock") == 0)
			continue;
		put_text(name, sizeof(name), "%s%s%s", rel, rel[0] ? "/" : "", e->d_name);
		put_text(path, sizeof(path), "%s/%s", p->dir, name);
		must(stat(path, &sb) == 0);
		if (S_ISDIR(sb.st_mode)) {
			names_set(&p->start, name, FILES_MAX);
			load(p, name);
		} else {
			struct content *c = &p->base[p->files_n];
			int fd = open(path, O_RDONLY);

			c->n = (size_t)sb.st_size;
			c->p = checked(malloc(c->n + 1));
			must(fd >= 0 && read(fd, c->p, c->n) == (ssize_t)c->n);
			close(fd);
			names_set(&p->start, name, p->files_n++);
		}
	}
	closedir(d);
}

struct powercut *powercut_new(const char *dir)
{
	struct powercut *p = checked(calloc(1, sizeof(*p)));

	p->dir = checked(strdup(dir));
	(void)mkdir(dir, 0700);
	load(p, "");
	for (size_t i = 0; i < p->start.n; i++)
		names_set(&p->now, p->start.at[i].path, p->start.at[i].file);
	p->io = (struct spool_io){
		.arg = p,
		.open = io_open,
		.pwrite = io_pwrite,
		.fdatasync = io_fdatasync,
		.fsync_dir = io_fsync_dir,
		.rename = io_rename,
		.unlink = io_unlink,
		.mkdir = io_mkdir,
		.fallocate = io_fallocate,
		.ftruncate = io_ftruncate,
		.close = io_close,
		.free_bytes = io_free_bytes,
	};
	return p;
}

struct powercut *powercut_free(struct powercut *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->ops[i].path);
		free(p->ops[i].to);
		free(p->ops[i].data);
	}
	for (size_t i = 0; i < p->files_n; i++)
		free(p->base[i].p);
	names_done(&p->start);
	names_done(&p->now);
	free(p->seen);
	free(p->dir);
	free(p);
	return NULL;
}

const struct spool_io *powercut_io(const struct powercut *p)
{
	return &p->io;
}

void powercut_mark(struct powercut *p)
{
	p->marks++;
}

size_t powercut_now(const struct powercut *p)
{
	return p->n;
}

void powercut_fail(struct powercut *p, size_t first, size_t last, int error)
{
	p->fail_first = first;
	p->fail_last = last;
	p->fail_calls = 0;
	p->fail_error = error;
	p->failed = false;
}

bool powercut_failed(const struct powercut *p)
{
	return p->failed;
}

/* ---- Crash states ---- */

/* One way in which what was not synced came out. */
struct outcome {
	unsigned kept; /* bit i: the i-th of the last PENDING_MAX unsynced calls of a file is there
			*/
	size_t cut; /* of the very last write only so many bytes ... */
	bool headless; /* ... or all but its first block */
	size_t names_n; /* unsynced name operations that are there */
};

static void content_resize(struct content *c, size_t n)
{
	if (n > c->n) {
		c->p = checked(realloc(c->p, n + 1));
		memset(c->p + c->n, 0, n - c->n);
	}
	c->n = n;
}

static void apply_data(struct content *c, const struct op *op, const struct outcome *o, bool torn)
{
	size_t from = 0, to = op->n;

	if (op->kind == RESIZE || (op->kind == GROW && op->n > c->n))
		content_resize(c, op->n);
	if (op->kind != WRITE)
		return;
	if (torn && o->cut < to)
		to = o->cut;
	if (torn && o->headless)
		from = to < 512 ? to : 512;
	if (to > from) {
		if (op->at + to > c->n)
			content_resize(c, op->at + to);
		memcpy(c->p + op->at + from, op->data + from, to - from);
	}
}

static struct content content_at(
	const struct powercut *p, size_t file, size_t at, const struct outcome *o)
{
	struct content c = {0};
	size_t synced = 0, pending = 0, i = 0, last_write = SIZE_MAX;

	content_resize(&c, p->base[file].n);
	if (c.n > 0)
		memcpy(c.p, p->base[file].p, c.n);
	for (size_t k = 0; k < at; k++) {
		const struct op *op = &p->ops[k];

		if (op->kind == WRITE)
			last_write = k;
		if (is_name_op(op->kind) || op->kind == SYNC_DIR || op->file != file)
			continue;
		if (op->kind == SYNC) {
			synced = k + 1;
			pending = 0;
		} else {
			pending++;
		}
	}
	for (size_t k = 0; k < at; k++) {
		const struct op *op = &p->ops[k];

		if (is_name_op(op->kind) || op->kind == SYNC_DIR || op->kind == SYNC ||
			op->file != file)
			continue;
		if (k < synced) {
			apply_data(&c, op, o, false);
			continue;
		}
		/* Those before the last few go with the first of them. */
		unsigned bit =
			pending - i > PENDING_MAX ? PENDING_MAX - 1 : (unsigned)(pending - i - 1);

		if (o->kept & 1u << bit)
			apply_data(&c, op, o, k == last_write);
		i++;
	}
	return c;
}

static void find_durable(struct powercut *p)
{
	for (size_t i = 0; i < p->n; i++) {
		char parent[4096];
		size_t k = i + 1;

		if (!is_name_op(p->ops[i].kind))
			continue;
		parent_name(p->ops[i].path, parent, sizeof(parent));
		while (k < p->n &&
			!(p->ops[k].kind == SYNC_DIR && strcmp(p->ops[k].path, parent) == 0))
			k++;
		p->ops[i].durable = k;
	}
}

/* @return unsynced name operations */
static size_t names_at(const struct powercut *p, size_t at, size_t keep, struct names *ret)
{
	size_t unsynced = 0;

	names_done(ret);
	for (size_t i = 0; i < p->start.n; i++)
		names_set(ret, p->start.at[i].path, p->start.at[i].file);
	for (size_t k = 0; k < at; k++) {
		if (!is_name_op(p->ops[k].kind))
			continue;
		if (p->ops[k].durable < at || unsynced++ < keep)
			apply_name(ret, &p->ops[k]);
	}
	return unsynced;
}

static bool state_new(struct powercut *p, uint64_t hash)
{
	for (size_t i = p->seen_n; i > 0; i--) {
		if (p->seen[i - 1] == hash)
			return false;
	}
	if (p->seen_n == p->seen_cap) {
		p->seen_cap = p->seen_cap ? p->seen_cap * 2 : 1024;
		p->seen = checked(realloc(p->seen, p->seen_cap * sizeof(*p->seen)));
	}
	p->seen[p->seen_n++] = hash;
	return true;
}

static int compare_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

/* @return false where this state was there already since the last mark */
static bool lay_out(struct powercut *p, const char *to, size_t at, const struct outcome *o)
{
	static struct names names;
	struct content c[NAMES_MAX];
	size_t mark = at < p->n ? p->ops[at].mark : p->marks;
	XXH3_state_t hash;
	bool fresh;

	(void)names_at(p, at, o->names_n, &names);
	qsort(names.at, names.n, sizeof(names.at[0]), compare_name);
	XXH3_INITSTATE(&hash);
	(void)XXH3_64bits_reset(&hash);
	(void)XXH3_64bits_update(&hash, &mark, sizeof(mark));
	for (size_t i = 0; i < names.n; i++) {
		c[i] = (struct content){0};
		if (names.at[i].file < FILES_MAX)
			c[i] = content_at(p, names.at[i].file, at, o);
		(void)XXH3_64bits_update(&hash, names.at[i].path, strlen(names.at[i].path) + 1);
		(void)XXH3_64bits_update(&hash, &c[i].n, sizeof(c[i].n));
		(void)XXH3_64bits_update(&hash, c[i].n ? c[i].p : (const uint8_t *)"", c[i].n);
	}
	fresh = state_new(p, XXH3_64bits_digest(&hash));
	if (fresh) {
		remove_tree(to);
		must(mkdir(to, 0700) == 0);
	}
	for (size_t i = 0; i < names.n; i++) {
		char path[8192];

		put_text(path, sizeof(path), "%s/%s", to, names.at[i].path);
		if (fresh && names.at[i].file == FILES_MAX) {
			must(mkdir(path, 0700) ==
				0); /* sorted: a folder comes before what is in it */
		} else if (fresh) {
			int fd = open(path, O_WRONLY | O_CREAT, 0600);

			must(fd >= 0);
			must(c[i].n == 0 || write(fd, c[i].p, c[i].n) == (ssize_t)c[i].n);
			close(fd);
		}
		free(c[i].p);
	}
	return fresh;
}

size_t powercut_each(struct powercut *p, const char *to,
	void (*check)(void *arg, size_t at, const char *variant), void *arg)
{
	static struct names scratch;
	size_t states = 0;

	find_durable(p);
	for (size_t at = 0; at <= p->n; at++) {
		size_t names_n = names_at(p, at, 0, &scratch);
		const struct op *last = at > 0 ? &p->ops[at - 1] : NULL;
		size_t length = last && last->kind == WRITE ? last->n : 0;
		struct outcome o[64];
		size_t n = 0;

		for (unsigned kept = 0; kept < 1u << PENDING_MAX; kept++)
			o[n++] = (struct outcome){.kept = kept, .cut = SIZE_MAX};
		for (size_t cut = 1; length > 0 && cut < length; cut += length / 24 + 1)
			o[n++] = (struct outcome){.kept = UINT32_MAX, .cut = cut};
		if (length > 0) {
			o[n++] = (struct outcome){.kept = UINT32_MAX, .cut = length - 1};
			o[n++] = (struct outcome){.kept = UINT32_MAX, .cut = FRAME_HEADER_SIZE};
			o[n++] = (struct outcome){
				.kept = UINT32_MAX, .cut = SIZE_MAX, .headless = true};
		}
		for (size_t i = 0; i < n; i++) {
			for (o[i].names_n = 0; o[i].names_n <= names_n; o[i].names_n++) {
				char variant[128];

				if (!lay_out(p, to, at, &o[i]))
					continue;
				put_text(variant, sizeof(variant),
					"call %zu, kept %x, cut %zd, headless %d, names %zu of %zu",
					at, o[i].kept, (ssize_t)o[i].cut, o[i].headless,
					o[i].names_n, names_n);
				check(arg, at, variant);
				states++;
			}
		}
	}
	return states;
}
