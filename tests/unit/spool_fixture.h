/* What the spool's module tests share: a spool in a folder of its own, and the model collector that
 * takes its records. */
#ifndef HIRUNDO_TESTS_SPOOL_FIXTURE_H
#define HIRUNDO_TESTS_SPOOL_FIXTURE_H

#include "common/clock.h"
#include "hirundo.pb-c.h"
#include "spool_model.h"

extern struct model model;

struct fixture {
	char *dir;
	struct spool *s;
	struct spool_options o;
};

int setup(void **state);
int teardown(void **state);

/** Closes the spool where it is open, and opens it. */
void reopen(struct fixture *f);

/** Records with these ids. */
void append(struct fixture *f, uint64_t from, uint64_t n);
void deliver(struct fixture *f, size_t max, bool ack);
uint64_t packets_of(uint64_t from, uint64_t n);
void assert_stored(uint64_t from, uint64_t n, int times);

size_t segments(struct fixture *f);

/** The i-th segment, oldest first. */
struct tree_file segment(struct fixture *f, size_t i);
void damage(const struct tree_file *file, uint64_t at, size_t n);

#endif
