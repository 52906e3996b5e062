/*
 * The disk fails: each call in turn, with each error, once and from then on. And a long random life
 * with crashes, damage, full disks, restored databases, clones. The books have to balance always.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "powercut.h"
#include "spool_model.h"

static struct model m;

struct life {
	char *dir;
	struct spool_options o;
	struct spool *s;
	uint64_t next_id, packets;
};

static void life_begin(struct life *l)
{
	memset(&m, 0, sizeof(m));
	*l = (struct life){.dir = make_dir()};
	l->o = (struct spool_options){.dir = l->dir,
		.max_bytes = 65536,
		.segment_bytes = 4096,
		.retain_us = 3600 * US_PER_S};
}

static void life_end(struct life *l)
{
	l->s = spool_close(l->s);
	remove_tree(l->dir);
	free(l->dir);
}

static int life_open(struct life *l)
{
	char *reason = NULL;
	int r;

	l->s = spool_close(l->s);
	r = spool_open(&l->o, &l->s, &reason);
	if (r < 0)
		assert_non_null(reason);
	free(reason);
	return r;
}

static int life_append(struct life *l, size_t n)
{
	int r = model_append(l->s, l->next_id, n);

	assert_true(r == 0 || r == SPOOL_REFUSED);
	l->packets += model_packets(l->next_id++);
	return r;
}

static void life_deliver(struct life *l, size_t max, const char *when)
{
	const char *error = model_deliver(&m, l->s, max, true);

	if (error)
		fail_msg("%s: %s", when, error);
}

static void life_balance(struct life *l, const char *when)
{
	life_deliver(l, SIZE_MAX, when);
	if (m.stored_packets + m.lost_packets != l->packets)
		fail_msg("%s: stored %lu + lost %lu is not %lu", when,
			(unsigned long)m.stored_packets, (unsigned long)m.lost_packets,
			(unsigned long)l->packets);
}

/* A process that ends with refused records in its memory cannot tell about them any more. */
static void life_settle(struct life *l)
{
	for (int i = 0; life_append(l, 300) != 0; i++)
		assert_true(i < 20);
}

/* A clone of this spool was faster: the collector has another record behind ours. Fork. */
static void clone_sends(struct spool *s)
{
	struct model_stream *st = model_stream(&m, spool_stream(s, 0).epoch);

	st->seq++;
	st->checksum = 77;
}

/* A run in which every kind of call happens. What reports a failure is tried again. */
static void run_of_all_calls(struct life *l)
{
	while (life_open(l) < 0)
		;
	for (int i = 0; i < 6; i++)
		life_append(l, 1500);
	(void)model_deliver(&m, l->s, 2, true);
	for (int i = 0; i < 24; i++)
		life_append(l, 3900);
	(void)model_deliver(&m, l->s, 2, true);
	life_settle(l);
	while (life_open(l) < 0)
		;
	clone_sends(l->s);
	(void)model_deliver(&m, l->s, 3, true);
	life_append(l, 900);
}

/* From every call on, so many calls fail. */
static void each_call(size_t failures, int error)
{
	for (size_t n = 1;; n++) {
		struct life l;
		struct powercut *p;
		char when[64];
		bool came;

		life_begin(&l);
		p = powercut_new(l.dir);
		l.o.io = powercut_io(p);
		powercut_fail(p, n, n + failures - 1, error);
		run_of_all_calls(&l);
		came = powercut_failed(p);
		powercut_fail(p, 0, 0, 0);
		(void)snprintf(when, sizeof(when), "call %zu, error %d", n, error);
		life_settle(&l);
		life_balance(&l, when);
		assert_true(spool_all_acked(l.s));
		assert_int_equal(life_open(&l), 0);
		life_append(&l, 400);
		life_balance(&l, when);
		life_end(&l);
		powercut_free(p);
		if (!came) {
			print_message("# %zu calls\n", n - 1);
			assert_true(n > 100);
			return;
		}
	}
}

static void test_each_call_enospc(void **state)
{
	(void)state;
	each_call(1, ENOSPC);
}

static void test_each_call_eio(void **state)
{
	(void)state;
	each_call(2, EIO);
}

static void test_each_call_full_for_a_while(void **state)
{
	(void)state;
	each_call(12, ENOSPC);
}

/* ---- A random life ---- */

/* Damages one byte that has a record behind it: what nothing follows is a torn record, which nobody
 * had been promised. */
static void damage_one(struct life *l, uint64_t *random)
{
	struct tree_file files[64];
	size_t n = tree_files(l->dir, ".seg", files, 64);
	const struct tree_file *f;
	uint64_t at;
	uint8_t b;
	int fd;

	if (n < 2)
		return;
	f = &files[model_random(random) % (n - 1)];
	if (f->bytes == 0)
		return;
	at = model_random(random) % f->bytes;
	fd = open(f->path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
	b ^= (uint8_t)(1 + model_random(random) % 255);
	assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
	close(fd);
}

static void random_life(uint64_t seed, bool damaging)
{
	static struct model dump;
	uint64_t random = seed;
	struct powercut *p;
	struct life l;
	char when[64];
	bool dumped = false;

	life_begin(&l);
	p = powercut_new(l.dir);
	l.o.io = powercut_io(p);
	l.o.segment_bytes = 1000 + model_random(&random) % 9000;
	l.o.max_bytes = 65536 + model_random(&random) % 100000;
	assert_int_equal(life_open(&l), 0);
	for (int step = 0; step < 120; step++) {
		(void)snprintf(when, sizeof(when), "seed %lu step %d", (unsigned long)seed, step);
		switch (model_random(&random) % 16) {
		case 0: /* killed: what was refused is forgotten with the process */
			if (spool_all_acked(l.s) || model_random(&random) % 2) {
				powercut_fail(p, 0, 0, 0);
				life_settle(&l);
				while (life_open(&l) < 0)
					;
			}
			break;
		case 1: powercut_fail(p, 1 + model_random(&random) % 30, 40, ENOSPC); break;
		case 2: powercut_fail(p, 1 + model_random(&random) % 30, 30, EIO); break;
		case 3:
			spool_expire(l.s, clock_mono_us() + (int64_t)(model_random(&random) % 2) *
								    2 * l.o.retain_us);
			break;
		case 4:
			if (damaging) {
				powercut_fail(p, 0, 0, 0);
				damage_one(&l, &random);
			}
			break;
		case 5: /* the database is dumped, or restored */
			if (!dumped || model_random(&random) % 2)
				dump = m;
			else
				m = dump;
			dumped = true;
			break;
		case 6: /* the acknowledgements are lost */
			powercut_fail(p, 0, 0, 0);
			if (model_deliver(&m, l.s, model_random(&random) % 20, false))
				fail_msg("%s: deliver", when);
			break;
		case 7:
		case 8:
		case 9:
			powercut_fail(p, 0, 0, 0);
			life_deliver(&l, model_random(&random) % 40, when);
			break;
		default:
			for (uint64_t n = model_random(&random) % 12; n > 0; n--)
				life_append(&l, 200 + model_random(&random) % 3000);
			break;
		}
	}
	powercut_fail(p, 0, 0, 0);
	life_settle(&l);
	life_balance(&l, when);
	assert_int_equal(life_open(&l), 0);
	life_settle(&l);
	life_balance(&l, when);
	life_end(&l);
	powercut_free(p);
}

static void test_random_lives(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++)
		random_life(seed, seed % 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call_enospc),
		cmocka_unit_test(test_each_call_eio),
		cmocka_unit_test(test_each_call_full_for_a_while),
		cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests_name("spool_faults", tests, NULL, NULL);
}
