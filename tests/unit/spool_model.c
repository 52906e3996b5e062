#include "spool_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "hirundo.pb-c.h"

uint64_t model_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t model_packets(uint64_t id)
{
	return model_random(&id) % 1000;
}

void model_record(uint8_t *record, size_t n, uint64_t id)
{
	uint64_t state = id;

	for (size_t i = FRAME_HEADER_SIZE; i < n; i++)
		record[i] = (uint8_t)model_random(&state);
	store_be64(record + FRAME_HEADER_SIZE, id);
	store_be64(record + FRAME_HEADER_SIZE + 8, ~id);
}

int model_append(struct spool *s, uint64_t id, size_t n)
{
	uint8_t *record = malloc(n);
	int r;

	if (!record)
		return -ENOMEM;
	model_record(record, n, id);
	r = spool_append(s, FRAME_BATCH, model_packets(id), record, n);
	free(record);
	return r;
}

struct model_stream *model_stream(struct model *m, uint64_t epoch)
{
	for (size_t i = 0; i < m->streams_n; i++) {
		if (m->streams[i].epoch == epoch)
			return &m->streams[i];
	}
	if (m->streams_n == MODEL_STREAMS)
		abort();
	m->streams[m->streams_n] = (struct model_stream){.epoch = epoch};
	return &m->streams[m->streams_n++];
}

const char *model_commit(struct model *m, const uint8_t *frame, size_t n)
{
	const uint8_t *payload = frame + FRAME_HEADER_SIZE;
	struct frame_header h;
	struct model_stream *st;
	uint64_t chain;

	if (frame_parse(frame, n, FRAME_MAX, &h) != FRAME_OK ||
		n != FRAME_HEADER_SIZE + h.payload_length)
		return "no valid frame";
	st = model_stream(m, h.epoch);
	chain = h.checksum;
	if (h.first_seq != st->seq + 1)
		return "does not follow what is committed";
	if (h.prev_checksum != st->checksum)
		return "is not chained to what is committed";
	if (h.packets_total < st->total)
		return "the total falls";
	if (h.type == FRAME_LOSS) {
		Hirundo__V1__Loss *l = hirundo__v1__loss__unpack(NULL, h.payload_length, payload);

		if (!l)
			return "a LOSS that does not unpack";
		if (l->reason == HIRUNDO__V1__LOSS__REASON__UNSPECIFIED) {
			hirundo__v1__loss__free_unpacked(l, NULL);
			return "a LOSS without a reason";
		}
		if (l->last_checksum_known)
			chain = l->last_checksum;
		hirundo__v1__loss__free_unpacked(l, NULL);
		m->lost_packets += h.packets_total - st->total;
	} else {
		uint64_t id = load_be64(payload);

		if (h.payload_length < 16 || id >= MODEL_IDS || load_be64(payload + 8) != ~id)
			return "a record that was never appended";
		if (h.packets != model_packets(id) || h.packets_total - st->total != h.packets)
			return "the packets are not the record's";
		if (m->stored[id]++ > 0)
			return "a record twice";
		m->stored_packets += h.packets;
	}
	st->seq = h.seq;
	st->checksum = chain;
	st->total = h.packets_total;
	if (m->history_n == MODEL_HISTORY)
		abort();
	m->history[m->history_n].epoch = h.epoch;
	m->history[m->history_n].seq = h.seq;
	m->history[m->history_n++].checksum = chain;
	return NULL;
}

static bool confirms(const struct model *m, uint64_t epoch, uint64_t seq, uint64_t checksum)
{
	for (size_t i = 0; i < m->history_n; i++) {
		if (m->history[i].epoch == epoch && m->history[i].seq == seq &&
			m->history[i].checksum == checksum)
			return true;
	}
	return false;
}

static const char *fork_at_shared(struct model *m, struct spool *s, size_t stream)
{
	struct spool_stream st = spool_stream(s, stream);
	uint64_t shared = 0, checksum;

	for (uint64_t seq = st.newest_seq; shared == 0 && seq >= st.oldest_seq && seq > 0; seq--) {
		if (spool_checksum_at(s, stream, seq, &checksum) &&
			confirms(m, st.epoch, seq, checksum))
			shared = seq;
	}
	return spool_fork(s, stream, shared) == 0 ? NULL : "spool_fork fails";
}

static const char *resume_all(struct model *m, struct spool *s)
{
	for (size_t i = 0; i < spool_streams_n(s);) {
		const struct model_stream *st = model_stream(m, spool_stream(s, i).epoch);
		const char *error;
		int r = spool_resume(s, i, st->seq, st->checksum, st->total);

		if (r < 0)
			return "spool_resume fails";
		if (r == SPOOL_POSITION_OK) {
			i++;
			continue;
		}
		error = fork_at_shared(m, s, i);
		if (error)
			return error;
		i = 0;
	}
	return NULL;
}

const char *model_deliver(struct model *m, struct spool *s, size_t max, bool ack)
{
	const char *error = resume_all(m, s);
	struct buf out;

	buf_init(&out, FRAME_MAX);
	for (size_t i = 0; !error && i < max; i++) {
		struct frame_header h;
		int r = spool_next(s, &out, &h);

		if (r == SPOOL_END && spool_must_reconnect(s)) {
			spool_disconnected(s);
			error = resume_all(m, s);
			continue;
		}
		if (r == SPOOL_END)
			break;
		if (r < 0) {
			error = "spool_next fails";
			break;
		}
		error = model_commit(m, buf_head(&out), buf_len(&out));
		if (ack && !error)
			spool_ack(s, h.epoch, h.seq);
	}
	buf_done(&out);
	spool_disconnected(s);
	return error;
}

char *make_dir(void)
{
	const char *base = getenv("TMPDIR");
	char *dir;

	if (asprintf(&dir, "%s/spool-test-XXXXXX", base && base[0] ? base : "/tmp") < 0 ||
		!mkdtemp(dir))
		abort();
	return dir;
}

static void each(const char *dir, void (*file)(void *arg, const char *path, bool is_dir), void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		struct stat sb;
		char *path;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (asprintf(&path, "%s/%s", dir, e->d_name) < 0 || lstat(path, &sb) < 0)
			abort();
		if (S_ISDIR(sb.st_mode))
			each(path, file, arg);
		file(arg, path, S_ISDIR(sb.st_mode));
		free(path);
	}
	(void)closedir(d);
}

static void remove_one(void *arg, const char *path, bool is_dir)
{
	(void)arg;
	(void)is_dir;
	(void)remove(path);
}

void remove_tree(const char *dir)
{
	each(dir, remove_one, NULL);
	(void)remove(dir);
}

struct copying {
	const char *from, *to;
};

static void copy_one(void *arg, const char *path, bool is_dir)
{
	const struct copying *c = arg;
	char *to, *slash;
	uint8_t buf[65536];
	ssize_t n;
	int in, out;

	if (is_dir)
		return;
	if (asprintf(&to, "%s%s", c->to, path + strlen(c->from)) < 0)
		abort();
	slash = strrchr(to, '/');
	*slash = '\0';
	(void)mkdir(to, 0700);
	*slash = '/';
	in = open(path, O_RDONLY);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (in < 0 || out < 0)
		abort();
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		if (write(out, buf, (size_t)n) != n)
			abort();
	}
	(void)close(in);
	(void)close(out);
	free(to);
}

void copy_tree(const char *from, const char *to)
{
	struct copying c = {from, to};

	(void)mkdir(to, 0700);
	each(from, copy_one, &c);
}

struct listing {
	const char *suffix;
	struct tree_file *ret;
	size_t n, max;
};

static void list_one(void *arg, const char *path, bool is_dir)
{
	struct listing *l = arg;
	size_t n = strlen(path), m = strlen(l->suffix);
	struct stat sb;

	if (is_dir || n < m || strcmp(path + n - m, l->suffix) != 0 || stat(path, &sb) < 0)
		return;
	if (l->n < l->max) {
		(void)snprintf(l->ret[l->n].path, sizeof(l->ret[l->n].path), "%s", path);
		l->ret[l->n].bytes = (uint64_t)sb.st_size;
	}
	l->n++;
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct tree_file *)a)->path, ((const struct tree_file *)b)->path);
}

size_t tree_files(const char *dir, const char *suffix, struct tree_file *ret, size_t max)
{
	struct listing l = {.suffix = suffix, .ret = ret, .max = max};

	each(dir, list_one, &l);
	if (ret && l.n > 0)
		qsort(ret, l.n < max ? l.n : max, sizeof(*ret), compare_files);
	return l.n;
}
