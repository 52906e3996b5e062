/*
 * Whatever instant the power goes at: the spool opens; each record whose append had returned
 * arrives exactly once, or is in exactly one LOSS with its packets; nothing arrives twice; the
 * chain holds.
 */
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

#define SNAPSHOTS_MAX 32u

struct cut {
	char *dir, *scratch;
	struct powercut *p;
	struct spool_options o;
	struct spool *s;
	struct {
		size_t begun, done; /* times of its append */
	} ids[MODEL_IDS];
	uint64_t ids_n;
	struct { /* what the collector had, from which time on */
		size_t at;
		struct model *m;
	} snapshots[SNAPSHOTS_MAX];
	size_t snapshots_n;
	struct model m;
	bool nested; /* crash again while recovering */
	size_t states;
};

static void cut_open(struct cut *c)
{
	char *reason = NULL;

	c->s = spool_close(c->s);
	if (spool_open(&c->o, &c->s, &reason) != 0)
		fail_msg("%s", reason);
}

static void snapshot(struct cut *c)
{
	struct model *m = malloc(sizeof(*m));

	assert_non_null(m);
	assert_true(c->snapshots_n < SNAPSHOTS_MAX);
	*m = c->m;
	powercut_mark(c->p);
	c->snapshots[c->snapshots_n].at = powercut_now(c->p);
	c->snapshots[c->snapshots_n++].m = m;
}

static void append(struct cut *c, uint64_t n, size_t size)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t id = c->ids_n++;

		c->ids[id].begun = powercut_now(c->p);
		powercut_mark(c->p);
		assert_int_equal(model_append(c->s, id, size + id % 50), 0);
		c->ids[id].done = powercut_now(c->p);
		powercut_mark(c->p);
	}
}

static void deliver(struct cut *c, size_t max)
{
	const char *error = model_deliver(&c->m, c->s, max, true);

	if (error)
		fail_msg("%s", error);
	snapshot(c);
}

static void cut_begin(struct cut *c)
{
	c->p = powercut_new(c->dir);
	c->o.io = powercut_io(c->p);
	snapshot(c);
	cut_open(c);
}

/* What has to be there of records 0 to ids_n - 1 at that time. */
static const char *balance(const struct cut *c, const struct model *m, size_t at)
{
	uint64_t missing = 0, maybe = 0;

	for (uint64_t id = 0; id < c->ids_n; id++) {
		if (m->stored[id] > 0 && c->ids[id].done > at && c->ids[id].begun >= at)
			return "a record from the future";
		if (m->stored[id] == 0 && c->ids[id].done <= at)
			missing += model_packets(id);
		else if (m->stored[id] == 0 && c->ids[id].begun < at)
			maybe += model_packets(id);
	}
	if (m->lost_packets != missing && m->lost_packets != missing + maybe)
		return m->lost_packets < missing ? "records are missing"
						 : "too much counted as lost";
	return NULL;
}

static const struct model *model_at(const struct cut *c, size_t at)
{
	size_t i = c->snapshots_n;

	while (i > 1 && c->snapshots[i - 1].at > at)
		i--;
	return c->snapshots[i - 1].m;
}

static void check_dir(const struct cut *c, const char *dir, size_t at, const char *variant)
{
	static struct model m;
	struct spool_options o = c->o;
	struct spool *s;
	const char *error;
	char *reason = NULL;

	o.io = NULL;
	o.dir = dir;
	m = *model_at(c, at);
	if (spool_open(&o, &s, &reason) != 0)
		fail_msg("%s: %s", variant, reason);
	error = model_deliver(&m, s, 3, true);
	if (!error)
		error = model_deliver(&m, s, SIZE_MAX, true);
	if (!error)
		error = balance(c, &m, at);
	/* And it goes on. */
	if (!error && model_append(s, MODEL_IDS - 1, 300) != 0)
		error = "append fails";
	if (!error)
		error = model_deliver(&m, s, SIZE_MAX, true);
	if (!error && (m.stored[MODEL_IDS - 1] != 1 || !spool_all_acked(s)))
		error = "what is appended now does not arrive";
	spool_close(s);
	if (error)
		fail_msg("%s: %s", variant, error);
}

struct second {
	const struct cut *c;
	const char *dir;
	size_t at;
	const char *variant;
	size_t states;
};

static void check_second(void *arg, size_t at, const char *variant)
{
	struct second *t = arg;
	char text[300];

	(void)at;
	(void)snprintf(text, sizeof(text), "%s; then %s", t->variant, variant);
	t->states++;
	check_dir(t->c, t->dir, t->at, text);
}

/* The power goes again while the spool recovers. */
static void check_nested(struct cut *c, size_t at, const char *variant)
{
	char again[4096];
	struct second t = {.c = c, .dir = again, .at = at, .variant = variant};
	struct powercut *p = powercut_new(c->scratch);
	struct spool_options o = c->o;
	struct spool *s;
	char *reason = NULL;

	(void)snprintf(again, sizeof(again), "%s.again", c->scratch);
	o.dir = c->scratch;
	o.io = powercut_io(p);
	if (spool_open(&o, &s, &reason) != 0)
		fail_msg("%s: %s", variant, reason);
	spool_close(s);
	(void)powercut_each(p, again, check_second, &t);
	c->states += t.states;
	powercut_free(p);
	remove_tree(again);
}

static void check(void *arg, size_t at, const char *variant)
{
	struct cut *c = arg;

	/* Nothing and everything that was not synced: the rest would take too long here. */
	if (c->nested && (strstr(variant, "kept 0, cut -1") || strstr(variant, "kept f, cut -1")))
		check_nested(c, at, variant);
	else
		check_dir(c, c->scratch, at, variant);
}

static void cut_end(struct cut *c)
{
	deliver(c, SIZE_MAX);
	c->s = spool_close(c->s);
	c->states += powercut_each(c->p, c->scratch, check, c);
	print_message("# %zu calls, %zu crash states\n", powercut_now(c->p), c->states);
	c->p = powercut_free(c->p);
}

static int setup(void **state)
{
	struct cut *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->dir = make_dir();
	c->scratch = make_dir();
	c->o = (struct spool_options){.dir = c->dir,
		.max_bytes = 65536,
		.segment_bytes = 4096,
		.retain_us = 3600 * US_PER_S};
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct cut *c = *state;

	spool_close(c->s);
	if (c->p)
		powercut_free(c->p);
	remove_tree(c->dir);
	remove_tree(c->scratch);
	for (size_t i = 0; i < c->snapshots_n; i++)
		free(c->snapshots[i].m);
	free(c->dir);
	free(c->scratch);
	free(c);
	return 0;
}

static void test_append(void **state)
{
	struct cut *c = *state;

	c->nested = true;
	cut_begin(c);
	append(c, 6, 1300);
	deliver(c, 2);
	append(c, 4, 900);
	cut_open(c);
	append(c, 3, 700);
	cut_end(c);
}

static void test_overflow(void **state)
{
	struct cut *c = *state;

	cut_begin(c);
	append(c, 12, 2000);
	deliver(c, 3);
	append(c, 40, 3800);
	deliver(c, 4);
	append(c, 12, 3800);
	cut_end(c);
}

static void test_expire(void **state)
{
	struct cut *c = *state;

	cut_begin(c);
	append(c, 12, 1200);
	deliver(c, 9);
	spool_expire(c->s, clock_mono_us() + 2 * c->o.retain_us);
	append(c, 5, 1200);
	deliver(c, SIZE_MAX);
	spool_expire(c->s, clock_mono_us() + 2 * c->o.retain_us);
	append(c, 2, 1200);
	cut_end(c);
}

/* Positions inside a LOSS, in front of what is held, and back again. */
static void test_trim_and_retention(void **state)
{
	static struct model dump;
	struct cut *c = *state;

	cut_begin(c);
	append(c, 20, 3000);
	deliver(c, 2);
	dump = c->m;
	deliver(c, 5);
	append(c, 12, 3800);
	deliver(c, SIZE_MAX);
	c->o.retain_us = 0;
	cut_open(c);
	append(c, 3, 1000);
	deliver(c, SIZE_MAX);
	spool_expire(c->s, clock_mono_us() + 1);
	c->m = dump; /* the database was restored */
	snapshot(c);
	deliver(c, 1);
	cut_end(c);
}

static void test_fork(void **state)
{
	struct cut *c = *state;
	struct model_stream *st;

	c->nested = true;
	cut_begin(c);
	append(c, 8, 1100);
	deliver(c, 4);
	append(c, 2, 1100);
	st = model_stream(&c->m, spool_stream(c->s, 0).epoch);
	/* A clone of this spool has sent another record 5. */
	st->seq++;
	st->checksum = 77;
	st->total += 5;
	snapshot(c);
	deliver(c, 3);
	append(c, 2, 1100);
	cut_end(c);
}

static void test_fork_of_full_spool(void **state)
{
	struct cut *c = *state;
	struct model_stream *st;

	cut_begin(c);
	append(c, 5, 1000);
	deliver(c, 2);
	append(c, 22, 3800);
	st = model_stream(&c->m, spool_stream(c->s, 0).epoch);
	st->checksum = 77;
	snapshot(c);
	deliver(c, 3);
	append(c, 4, 3800);
	cut_end(c);
}

/* Recovery of damaged segments is cut, too. */
static void test_damaged(void **state)
{
	struct cut *c = *state;
	struct tree_file files[16];
	size_t n;

	cut_begin(c);
	append(c, 14, 1000);
	c->s = spool_close(c->s);
	c->p = powercut_free(c->p);
	for (uint64_t id = 0; id < c->ids_n; id++)
		c->ids[id].begun = c->ids[id].done = 0;
	n = tree_files(c->dir, ".seg", files, 16);
	assert_true(n >= 4);
	for (size_t i = 0; i < 3; i++) {
		int fd = open(files[i].path, O_RDWR);

		assert_true(fd >= 0);
		if (i == 1)
			assert_int_equal(ftruncate(fd, 0), 0);
		else
			assert_int_equal(pwrite(fd, "damage", 6, i == 0 ? 1200 : 30), 6);
		close(fd);
	}
	free(c->snapshots[--c->snapshots_n].m);
	assert_int_equal(c->snapshots_n, 0);
	cut_begin(c);
	deliver(c, 2);
	append(c, 2, 500);
	cut_end(c);
}

/* argv: a test that runs by itself, or behind a minus one that does not run here: one has half of
 * the states, and processors come in twos. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_append, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim_and_retention, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork_of_full_spool, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
	};

	if (argc == 2 && argv[1][0] == '-')
		cmocka_set_skip_filter(argv[1] + 1);
	else if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("spool_powercut", tests, NULL, NULL);
}
