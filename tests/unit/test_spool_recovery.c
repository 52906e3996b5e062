#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "spool_fixture.h"

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

/* A stream that holds nothing more behind the fork is offered once more: the collector must hear
 * that its last records did not stay open, but moved. */
static void test_end_of_fork_is_told(void **state)
{
	struct fixture *f = *state;
	struct model_stream *st;
	uint64_t epoch, shared = 0;

	reopen(f);
	append(f, 0, 40);
	deliver(f, 1000, true);
	epoch = spool_stream(f->s, 0).epoch;
	spool_expire(f->s, clock_mono_us() + 2 * f->o.retain_us);
	/* Until a record that was not delivered opens a segment of its own. */
	for (uint64_t id = 40; segments(f) < 2; id++) {
		append(f, id, 1);
		shared = spool_stream(f->s, 0).newest_seq - 1;
		if (segments(f) < 2)
			deliver(f, 1000, true);
	}
	spool_expire(f->s, clock_mono_us() + 2 * f->o.retain_us);
	assert_int_equal(segments(f), 1);
	assert_int_equal(spool_stream(f->s, 0).oldest_seq, shared + 1);
	/* The collector has another record there. */
	st = model_stream(&model, epoch);
	st->seq = shared + 1;
	st->checksum = 12345;
	assert_int_equal(spool_fork(f->s, 0, shared), 0);
	spool_disconnected(f->s);
	assert_int_equal(spool_streams_n(f->s), 2);
	assert_int_equal(spool_stream(f->s, 0).epoch, epoch);
	assert_int_equal(spool_stream(f->s, 0).newest_seq, shared);
	deliver(f, 1000, true);
	assert_int_equal(spool_streams_n(f->s), 1);
	assert_true(spool_all_acked(f->s));
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

/* HELLO names every stream, so there are never more than it has room for. */
static void test_many_forks(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	for (uint64_t i = 0; i < 2 * SPOOL_STREAMS_MAX; i++) {
		size_t newest = spool_streams_n(f->s) - 1;

		append(f, 5 * i, 5);
		deliver(f, 1000, true);
		assert_int_equal(
			spool_fork(f->s, newest, spool_stream(f->s, newest).newest_seq), 0);
		spool_disconnected(f->s);
		assert_true(spool_streams_n(f->s) <= SPOOL_STREAMS_KEPT + 2);
		if (i % 16 == 0)
			reopen(f);
	}
	assert_true(spool_streams_n(f->s) >= SPOOL_STREAMS_KEPT); /* those are kept for a while */
	assert_stored(0, 10 * SPOOL_STREAMS_MAX, 1);
	assert_int_equal(model.lost_packets, 0);
}

/* Where nothing can be forgotten, the bound holds all the same. */
static void test_forks_end(void **state)
{
	struct fixture *f = *state;
	int r = 0;

	reopen(f);
	for (uint64_t i = 0; r == 0 && i < 2 * SPOOL_STREAMS_MAX; i++) {
		append(f, 5 * i, 5);
		r = spool_fork(f->s, spool_streams_n(f->s) - 1,
			spool_stream(f->s, spool_streams_n(f->s) - 1).newest_seq);
	}
	assert_int_equal(r, -EBUSY);
	assert_int_equal(spool_streams_n(f->s), SPOOL_STREAMS_MAX);
	deliver(f, 10000, true);
	assert_stored(0, 5 * SPOOL_STREAMS_MAX, 1);
	spool_disconnected(f->s);
	assert_true(spool_streams_n(f->s) <= SPOOL_STREAMS_KEPT + 1);
	assert_int_equal(spool_fork(f->s, spool_streams_n(f->s) - 1,
				 spool_stream(f->s, spool_streams_n(f->s) - 1).newest_seq),
		0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_segments_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rolled_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_fork_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cloned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork_of_older_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_forks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forks_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork_with_loss, setup, teardown),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
