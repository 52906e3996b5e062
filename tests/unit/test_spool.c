#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/clock.h"
#include "hirundo.pb-c.h"
#include "spool_model.h"

static struct model model;

struct fixture {
	char *dir;
	struct spool *s;
	struct spool_options o;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->dir = make_dir();
	f->o = (struct spool_options){.dir = f->dir,
		.max_bytes = 1 << 20,
		.segment_bytes = 8192,
		.retain_us = 3600 * US_PER_S};
	memset(&model, 0, sizeof(model));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	spool_close(f->s);
	remove_tree(f->dir);
	free(f->dir);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	char *reason = NULL;

	f->s = spool_close(f->s);
	if (spool_open(&f->o, &f->s, &reason) != 0)
		fail_msg("%s", reason);
}

static void append(struct fixture *f, uint64_t from, uint64_t n)
{
	for (uint64_t id = from; id < from + n; id++)
		assert_int_equal(model_append(f->s, id, 200 + id % 700), 0);
}

static void deliver(struct fixture *f, size_t max, bool ack)
{
	const char *error = model_deliver(&model, f->s, max, ack);

	if (error)
		fail_msg("%s", error);
}

static uint64_t packets_of(uint64_t from, uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t id = from; id < from + n; id++)
		sum += model_packets(id);
	return sum;
}

static void assert_stored(uint64_t from, uint64_t n, int times)
{
	for (uint64_t id = from; id < from + n; id++)
		assert_int_equal(model.stored[id], times);
}

static size_t segments(struct fixture *f)
{
	return tree_files(f->dir, ".seg", NULL, 0);
}

/* The i-th segment, oldest first. */
static struct tree_file segment(struct fixture *f, size_t i)
{
	static struct tree_file files[512];

	assert_true(tree_files(f->dir, ".seg", files, 512) > i);
	return files[i];
}

static void damage(const struct tree_file *file, uint64_t at, size_t n)
{
	int fd = open(file->path, O_RDWR);

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		uint8_t b;

		assert_int_equal(pread(fd, &b, 1, (off_t)(at + i)), 1);
		b ^= 0x5a;
		assert_int_equal(pwrite(fd, &b, 1, (off_t)(at + i)), 1);
	}
	close(fd);
}

static void test_append_deliver(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	assert_true(spool_all_acked(f->s));
	assert_int_equal(spool_stream(f->s, 0).newest_seq, 0);
	append(f, 0, 100);
	assert_true(segments(f) > 3);
	assert_false(spool_all_acked(f->s));
	assert_true(spool_unacked_bytes(f->s) > 100 * 200);
	deliver(f, 1000, true);
	assert_stored(0, 100, 1);
	assert_true(spool_all_acked(f->s));
	assert_int_equal(spool_unacked_bytes(f->s), 0);
	assert_int_equal(spool_stream(f->s, 0).acked_seq, 100);
	assert_int_equal(spool_stream(f->s, 0).packets_total, packets_of(0, 100));
	assert_int_equal(model.lost_packets, 0);
}

static void test_restart_continues(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 30; i++) {
		reopen(f);
		append(f, i * 3, 3);
		if (i % 7 == 6)
			deliver(f, 4, true);
	}
	reopen(f);
	deliver(f, 1000, true);
	assert_stored(0, 90, 1);
	/* Restarts go on in the last segment. */
	assert_true(segments(f) < 12);
}

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct spool *other;
	char *reason = NULL;

	reopen(f);
	assert_int_equal(spool_open(&f->o, &other, &reason), SPOOL_LOCKED);
	assert_non_null(strstr(reason, "another process"));
	free(reason);
}

static void test_options(void **state)
{
	struct fixture *f = *state;
	struct spool *s;
	char *reason = NULL;

	f->o.max_bytes = 65535;
	assert_int_equal(spool_open(&f->o, &s, &reason), -EINVAL);
	assert_non_null(strstr(reason, "64 KiB"));
	free(reason);
	f->o.max_bytes = 65536;
	f->o.dir = "/proc/nowhere/spool";
	assert_true(spool_open(&f->o, &s, &reason) < 0);
	assert_non_null(strstr(reason, "/proc/nowhere/spool"));
	free(reason);
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;
	uint8_t *record = malloc(FRAME_MAX + 1);

	assert_non_null(record);
	f->o.max_bytes = 8 << 20;
	reopen(f);
	model_record(record, FRAME_MAX, 1);
	assert_int_equal(spool_append(f->s, FRAME_BATCH, 1, record, FRAME_MAX + 1), -EINVAL);
	assert_int_equal(
		spool_append(f->s, FRAME_BATCH, 1, record, FRAME_HEADER_SIZE - 1), -EINVAL);
	assert_int_equal(spool_append(f->s, FRAME_LOSS, 1, record, 100), -EINVAL);
	assert_int_equal(spool_append(f->s, FRAME_BATCH, UINT64_C(1) << 32, record, 100), -EINVAL);
	for (uint64_t id = 0; id < 6; id++)
		assert_int_equal(model_append(f->s, id, id % 2 ? FRAME_MAX : 80), 0);
	reopen(f);
	deliver(f, 100, true);
	assert_stored(0, 6, 1);
	/* Larger than all of the spool: refused, and counted in a LOSS. */
	f->o.max_bytes = 65536;
	reopen(f);
	deliver(f, 0, true);
	assert_int_equal(model_append(f->s, 6, FRAME_MAX), SPOOL_REFUSED);
	append(f, 7, 1);
	assert_int_equal(spool_counters(f->s)->packets_lost, model_packets(6));
	deliver(f, 100, true);
	assert_stored(6, 1, 0);
	assert_stored(7, 1, 1);
	assert_int_equal(model.lost_packets, model_packets(6));
	free(record);
}

/* Numbers near 2^32 and at the end of all numbers. */
static void test_large_numbers(void **state)
{
	static const uint64_t first[] = {UINT64_C(0xfffffff0), SEQ_MAX - 40};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		uint64_t epoch;

		f->o.first_seq = first[i];
		memset(&model, 0, sizeof(model));
		reopen(f);
		epoch = spool_stream(f->s, 0).epoch;
		model_stream(&model, epoch)->seq = first[i] - 1;
		append(f, 0, 35);
		reopen(f);
		assert_int_equal(spool_stream(f->s, 0).epoch, epoch);
		deliver(f, 20, true);
		append(f, 35, 65);
		deliver(f, 1000, true);
		assert_stored(0, 100, 1);
		if (i == 0) {
			assert_int_equal(spool_stream(f->s, 0).newest_seq, first[0] + 99);
		} else {
			assert_int_equal(spool_streams_n(f->s), 2);
			assert_int_equal(spool_stream(f->s, 0).newest_seq, SEQ_MAX - 1);
		}
		f->s = spool_close(f->s);
		remove_tree(f->dir);
	}
}

static void test_expire(void **state)
{
	struct fixture *f = *state;
	size_t n;

	reopen(f);
	append(f, 0, 100);
	n = segments(f);
	deliver(f, 60, true);
	spool_expire(f->s, clock_mono_us() + f->o.retain_us - US_PER_S * 60);
	assert_int_equal(segments(f), n);
	spool_expire(f->s, clock_mono_us() + f->o.retain_us + US_PER_S * 60);
	assert_true(segments(f) < n);
	deliver(f, 1000, true);
	spool_expire(f->s, clock_mono_us() + f->o.retain_us + US_PER_S * 60);
	assert_int_equal(segments(f), 1);
	/* The position survives a restart. */
	reopen(f);
	append(f, 100, 10);
	deliver(f, 1000, true);
	assert_stored(0, 110, 1);
	assert_int_equal(spool_streams_n(f->s), 1);
}

static void test_database_restored(void **state)
{
	struct fixture *f = *state;
	static struct model dump;

	reopen(f);
	append(f, 0, 50);
	deliver(f, 20, true);
	dump = model;
	deliver(f, 1000, true);
	assert_true(spool_all_acked(f->s));
	model = dump;
	deliver(f, 5, true);
	assert_int_equal(spool_stream(f->s, 0).acked_seq, 25);
	assert_false(spool_all_acked(f->s));
	deliver(f, 1000, true);
	assert_stored(0, 50, 1);
	assert_int_equal(model.lost_packets, 0);
}

/* What was acknowledged and dropped long ago is a LOSS when it is asked for again. */
static void test_retention_loss(void **state)
{
	struct fixture *f = *state;
	static struct model dump;

	reopen(f);
	append(f, 0, 100);
	deliver(f, 10, true);
	dump = model;
	deliver(f, 1000, true);
	f->o.retain_us = 0;
	reopen(f);
	append(f, 100, 10);
	deliver(f, 1000, true);
	spool_expire(f->s, clock_mono_us() + 1);
	model = dump;
	assert_true(spool_stream(f->s, 0).oldest_seq > 11);
	deliver(f, 1000, true);
	assert_true(model.lost_packets > 0);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 110));
	/* Again from further back: the LOSS grows instead of a second one in front. */
	memset(&model, 0, sizeof(model));
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 110));
	reopen(f);
	memset(&model, 0, sizeof(model));
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 110));
}

static void test_overflow(void **state)
{
	struct fixture *f = *state;
	struct spool_stream st;

	f->o.max_bytes = 65536;
	reopen(f);
	append(f, 0, 400);
	assert_true(spool_counters(f->s)->bytes <= f->o.max_bytes);
	assert_true(spool_counters(f->s)->packets_lost > 0);
	/* Adjacent LOSSes are one file. */
	assert_true(segment(f, 0).bytes < 200);
	assert_true(segment(f, 1).bytes > 200);
	st = spool_stream(f->s, 0);
	assert_int_equal(st.oldest_seq, 1);
	assert_int_equal(st.packets_total, packets_of(0, 400));
	reopen(f);
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 400));
	assert_stored(390, 10, 1);
}

/* The position lies inside the LOSS: part of what was dropped had been committed. */
static void test_overflow_trim(void **state)
{
	struct fixture *f = *state;
	uint64_t lost;

	f->o.max_bytes = 65536;
	reopen(f);
	append(f, 0, 50);
	deliver(f, 13, false); /* committed; the acknowledgements were lost */
	append(f, 50, 350);
	lost = spool_counters(f->s)->packets_lost;
	assert_true(lost > packets_of(0, 13));
	reopen(f);
	deliver(f, 0, true);
	append(f, 400, 1);
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 401));
	assert_int_equal(model.lost_packets, lost - packets_of(0, 13));
	assert_stored(0, 13, 1);
}

static void test_acked_dropped_first(void **state)
{
	struct fixture *f = *state;

	f->o.max_bytes = 65536;
	reopen(f);
	for (uint64_t i = 0; i < 20; i++) {
		append(f, i * 30, 30);
		deliver(f, 1000, true);
	}
	assert_int_equal(spool_counters(f->s)->packets_lost, 0);
	assert_int_equal(model.lost_packets, 0);
	assert_true(spool_counters(f->s)->bytes <= f->o.max_bytes);
	assert_stored(0, 600, 1);
}

static void test_in_flight_dropped_last(void **state)
{
	struct fixture *f = *state;
	struct buf out;
	struct frame_header h;
	uint64_t id = 40;

	f->o.max_bytes = 65536;
	buf_init(&out, FRAME_MAX);
	reopen(f);
	append(f, 0, 40);
	assert_int_equal(spool_resume(f->s, 0, 0, 0, 0), SPOOL_POSITION_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(spool_next(f->s, &out, &h), 0);
		assert_null(model_commit(&model, buf_head(&out), buf_len(&out)));
	}
	/* Others go first ... */
	while (spool_counters(f->s)->packets_lost == 0)
		append(f, id++, 1);
	append(f, id, 20);
	id += 20;
	assert_false(spool_must_reconnect(f->s));
	/* ... and the connection can go on: it comes to the LOSS in its time. */
	while (spool_next(f->s, &out, &h) == 0)
		assert_null(model_commit(&model, buf_head(&out), buf_len(&out)));
	assert_false(spool_must_reconnect(f->s));
	assert_true(model.lost_packets > 0);
	/* Now all of it is in flight. */
	append(f, id, 200);
	id += 200;
	assert_true(spool_must_reconnect(f->s));
	assert_int_equal(spool_next(f->s, &out, &h), SPOOL_END);
	buf_done(&out);
	deliver(f, 1000, true);
	assert_false(spool_must_reconnect(f->s));
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, id));
}

static void test_torn_tail(void **state)
{
	struct fixture *f = *state;
	struct tree_file last;
	int fd;

	reopen(f);
	append(f, 0, 5);
	f->s = spool_close(f->s);
	last = segment(f, 0);
	fd = open(last.path, O_RDWR);
	assert_true(fd >= 0);
	/* A record begun behind the last one, in the zeros of the preallocated file. */
	assert_int_equal(pwrite(fd, "HRDF\1\1\0\0\0\0", 10, 200 * 5 + 0 + 1 + 2 + 3 + 4), 10);
	close(fd);
	reopen(f);
	assert_int_equal(
		spool_counters(f->s)->torn_bytes, 6); /* up to the last byte that is not 0 */
	assert_int_equal(spool_counters(f->s)->packets_lost, 0);
	append(f, 5, 5);
	deliver(f, 1000, true);
	assert_stored(0, 10, 1);
	assert_int_equal(model.lost_packets, 0);
}

/* Every byte of a small spool, one at a time, before opening and under an open spool. */
static void test_every_byte(void **state)
{
	struct fixture *f = *state;
	char copy[4096];
	struct tree_file file;
	uint64_t last_start = 200 * 7 + 21; /* of the record nothing comes after */

	reopen(f);
	append(f, 0, 8);
	f->s = spool_close(f->s);
	(void)snprintf(copy, sizeof(copy), "%s.copy", f->dir);
	copy_tree(f->dir, copy);
	for (uint64_t at = 0; at < last_start + 207; at++) {
		for (int live = 0; live <= 1; live++) {
			memset(&model, 0, sizeof(model));
			if (live)
				reopen(f);
			file = segment(f, 0);
			damage(&file, at, 1);
			if (!live)
				reopen(f);
			deliver(f, 1000, true);
			append(f, 8, 1);
			deliver(f, 1000, true);
			if (at >= last_start && !live)
				/* Without a record behind it, it is a torn one. */
				assert_int_equal(
					model.stored_packets, packets_of(0, 9) - model_packets(7));
			else
				assert_int_equal(model.stored_packets + model.lost_packets,
					packets_of(0, 9));
			assert_int_equal(model.stored[8], 1);
			if (at < last_start || live) {
				assert_int_equal(model.stored_packets,
					packets_of(0, 9) - model.lost_packets);
				assert_int_equal(spool_counters(f->s)->segments_bad, 1);
				assert_int_equal(tree_files(f->dir, ".bad", NULL, 0), 1);
				assert_int_equal(
					spool_counters(f->s)->packets_lost, model.lost_packets);
				assert_int_equal(spool_counters(f->s)->records_lost, 1);
			}
			f->s = spool_close(f->s);
			remove_tree(f->dir);
			copy_tree(copy, f->dir);
		}
	}
	remove_tree(copy);
}

static void test_whole_segments_damaged(void **state)
{
	struct fixture *f = *state;
	char copy[4096];

	reopen(f);
	append(f, 0, 150);
	f->s = spool_close(f->s);
	(void)snprintf(copy, sizeof(copy), "%s.copy", f->dir);
	copy_tree(f->dir, copy);
	/* Each kind of damage, to each subset of the first four files. */
	for (int kind = 0; kind < 5; kind++) {
		for (unsigned which = 1; which < 16; which++) {
			struct tree_file files[4];

			for (size_t i = 0; i < 4; i++)
				files[i] = segment(f, i);
			for (size_t i = 0; i < 4; i++) {
				if (!(which & 1u << i))
					continue;
				if (kind == 0)
					damage(&files[i], 0, files[i].bytes);
				else if (kind == 1)
					assert_int_equal(truncate(files[i].path, 0), 0);
				else if (kind == 2)
					assert_int_equal(truncate(files[i].path, 1000), 0);
				else if (kind == 3)
					damage(&files[i], files[i].bytes / 2, 1500);
				else if (i >
					 0) /* the first one's numbers may have been acknowledged */
					assert_int_equal(unlink(files[i].path), 0);
			}
			memset(&model, 0, sizeof(model));
			reopen(f);
			deliver(f, 1000, true);
			append(f, 150, 1);
			deliver(f, 1000, true);
			assert_int_equal(
				model.stored_packets + model.lost_packets, packets_of(0, 151));
			if (kind < 4 || which > 1)
				assert_true(model.lost_packets > 0);
			f->s = spool_close(f->s);
			remove_tree(f->dir);
			copy_tree(copy, f->dir);
		}
	}
	remove_tree(copy);
}

static void test_foreign_files(void **state)
{
	struct fixture *f = *state;
	struct tree_file file;
	char path[8192];
	char *slash;

	reopen(f);
	append(f, 0, 60);
	f->s = spool_close(f->s);
	file = segment(f, 0);
	slash = strrchr(file.path, '/');
	*slash = '\0';
	(void)snprintf(path, sizeof(path), "%s/notes.txt", file.path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	(void)snprintf(path, sizeof(path),
		"%s/00000000000003e8-0000000000000000-0000000000000000.seg", file.path);
	close(open(path, O_CREAT | O_WRONLY, 0600)); /* behind everything, empty */
	(void)snprintf(path, sizeof(path),
		"%s/0000000000000003-0000000000000000-0000000000000000.seg", file.path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	(void)snprintf(path, sizeof(path),
		"%s/0000000000000004-0000000000000000-0000000000000000.seg", file.path);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path),
		"%s/0000000000000005-7fffffffffffffff-0000000000000000.seg", file.path);
	close(open(path, O_CREAT | O_WRONLY, 0600)); /* its total contradicts the rest */
	(void)snprintf(path, sizeof(path), "%s/lost+found", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", f->dir,
		"00000009-zzzzzzzzzzzzzzzz-00000000-0000000000000000-0000000000000000");
	assert_int_equal(mkdir(path, 0700), 0);
	/* The folder of a stream, copied. */
	(void)snprintf(path, sizeof(path), "%s/00000002%s", f->dir, strrchr(file.path, '/') + 9);
	copy_tree(file.path, path);
	reopen(f);
	deliver(f, 1000, true);
	assert_stored(0, 60, 1);
	assert_int_equal(model.lost_packets, 0);
	append(f, 60, 1);
	reopen(f);
	deliver(f, 1000, true);
	assert_stored(0, 61, 1);
}

static void test_bad_files_bounded(void **state)
{
	struct fixture *f = *state;
	struct tree_file files[16];
	uint64_t bytes = 0;
	size_t n;

	reopen(f);
	append(f, 0, 300);
	f->s = spool_close(f->s);
	for (size_t i = 0; i < 12; i++) {
		struct tree_file file = segment(f, i);

		damage(&file, 300, 10);
	}
	reopen(f);
	n = tree_files(f->dir, ".bad", files, 16);
	for (size_t i = 0; i < n; i++)
		bytes += files[i].bytes;
	assert_int_equal(n, 8);
	assert_true(bytes > 0 && bytes <= f->o.max_bytes / 8);
	deliver(f, 1000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 300));
}

static void test_rolled_back(void **state)
{
	struct fixture *f = *state;
	char copy[4096];

	(void)snprintf(copy, sizeof(copy), "%s.copy", f->dir);
	reopen(f);
	append(f, 0, 50);
	deliver(f, 30, true);
	f->s = spool_close(f->s);
	copy_tree(f->dir, copy);
	reopen(f);
	append(f, 50, 20);
	deliver(f, 1000, true);
	/* The copy comes back and goes on capturing. */
	f->s = spool_close(f->s);
	remove_tree(f->dir);
	copy_tree(copy, f->dir);
	remove_tree(copy);
	reopen(f);
	append(f, 100, 40);
	deliver(f, 1000, true);
	assert_stored(0, 70, 1);
	assert_stored(100, 40, 1);
	assert_int_equal(model.lost_packets, 0);
	assert_int_equal(spool_streams_n(f->s), 2);
	assert_true(spool_all_acked(f->s));
	/* It stays at one fork. */
	reopen(f);
	append(f, 140, 10);
	deliver(f, 1000, true);
	assert_int_equal(spool_streams_n(f->s), 2);
	assert_stored(100, 50, 1);
	/* When all is old the former stream goes. */
	spool_expire(f->s, clock_mono_us() + 2 * f->o.retain_us);
	spool_disconnected(f->s);
	assert_int_equal(spool_streams_n(f->s), 1);
	reopen(f);
	assert_int_equal(spool_streams_n(f->s), 1);
	append(f, 150, 1);
	deliver(f, 1000, true);
	assert_stored(150, 1, 1);
}

static void test_cloned(void **state)
{
	struct fixture *f = *state, other = *f;
	char copy[4096];

	(void)snprintf(copy, sizeof(copy), "%s.copy", f->dir);
	reopen(f);
	append(f, 0, 55);
	deliver(f, 20, true);
	f->s = spool_close(f->s);
	copy_tree(f->dir, copy);
	other.dir = copy;
	other.o.dir = copy;
	other.s = NULL;
	reopen(f);
	reopen(&other);
	for (uint64_t i = 0; i < 6; i++) {
		append(f, 100 + i * 20, 20);
		append(&other, 300 + i * 20, 20);
		if (i % 2 == 0) {
			deliver(f, 17, true);
			deliver(&other, 1000, true);
		} else {
			deliver(&other, 9, true);
			deliver(f, 1000, true);
		}
	}
	deliver(f, 1000, true);
	deliver(&other, 1000, true);
	assert_stored(100, 120, 1);
	assert_stored(300, 120, 1);
	/* Both had 20..54 unsent: whoever comes second finds them confirmed. */
	assert_stored(0, 55, 1);
	assert_int_equal(model.lost_packets, 0);
	spool_close(other.s);
	remove_tree(copy);
}

/* An older stream that has to be sent again (database restored) and turns out foreign as well. */
static void test_fork_of_older_stream(void **state)
{
	struct fixture *f = *state;
	struct model_stream *st;
	uint64_t first_epoch;

	reopen(f);
	append(f, 0, 40);
	first_epoch = spool_stream(f->s, 0).epoch;
	deliver(f, 10, true);
	assert_int_equal(spool_fork(f->s, 0, 30), 0);
	append(f, 40, 20);
	assert_int_equal(spool_streams_n(f->s), 2);
	/* The collector has something else under number 11 of the first epoch. */
	st = model_stream(&model, first_epoch);
	st->seq = 11;
	st->checksum = 12345;
	deliver(f, 1000, true);
	assert_stored(0, 60, 1);
	assert_int_equal(spool_streams_n(f->s), 3);
	assert_int_equal(model.lost_packets, 0);
	reopen(f);
	append(f, 60, 5);
	deliver(f, 1000, true);
	assert_stored(0, 65, 1);
}

static void test_fork_with_loss(void **state)
{
	struct fixture *f = *state;

	f->o.max_bytes = 65536;
	reopen(f);
	append(f, 0, 20);
	deliver(f, 5, true);
	append(f, 20, 380);
	/* Numbers 6.. are a LOSS; the collector has something else there. */
	model_stream(&model, spool_stream(f->s, 0).epoch)->checksum ^= 1;
	deliver(f, 2000, true);
	assert_int_equal(model.stored_packets + model.lost_packets, packets_of(0, 400));
	assert_true(model.lost_packets > 0);
	assert_true(spool_counters(f->s)->bytes <= f->o.max_bytes + 8192);
}

struct wanted {
	uint64_t id, calls;
};

static bool match_id(void *arg, const struct frame_header *h, const uint8_t *payload)
{
	struct wanted *w = arg;
	uint64_t id;

	assert_int_equal(h->type, FRAME_BATCH);
	memcpy(&id, payload, sizeof(id));
	w->calls++;
	return be64toh(id) == w->id;
}

static void test_find_last(void **state)
{
	struct fixture *f = *state;
	struct wanted w = {.id = 0};
	struct tree_file file;

	reopen(f);
	assert_int_equal(spool_find_last(f->s, match_id, &w), SPOOL_END);
	append(f, 0, 100);
	assert_int_equal(spool_find_last(f->s, match_id, &w), 0);
	assert_int_equal(w.calls, 100);
	w = (struct wanted){.id = 97};
	reopen(f);
	assert_int_equal(spool_find_last(f->s, match_id, &w), 0);
	assert_int_equal(w.calls, 3);
	w = (struct wanted){.id = 12345};
	file = segment(f, 2);
	damage(&file, 10, 1);
	assert_int_equal(spool_find_last(f->s, match_id, &w), SPOOL_END);
	assert_int_equal(w.calls, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_append_deliver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_continues, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_database_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow_trim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_acked_dropped_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_flight_dropped_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_segments_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rolled_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cloned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork_of_older_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork_with_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find_last, setup, teardown),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
