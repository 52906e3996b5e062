/*
 * Power cuts without a power switch: the system calls of a spool pass through to real files and are
 * logged; then every state that a crash may legally leave on the disk is laid out in a folder, one
 * after the other.
 *
 * What a crash may do. Data: what was written to a file after its last fdatasync is there or not,
 * call by call, in any order; the last write may be torn at any byte or lack its first block.
 * Names: what happened in a folder after its last fsync is there up to some point, and not behind
 * it. A file that was synced while its name was not may be gone.
 */
#ifndef HIRUNDO_TESTS_POWERCUT_H
#define HIRUNDO_TESTS_POWERCUT_H

#include "sensor/spool.h"

struct powercut;

/** @param dir  the spool's folder; what is in it counts as durable. Borrowed */
struct powercut *powercut_new(const char *dir);
struct powercut *powercut_free(struct powercut *p);

const struct spool_io *powercut_io(const struct powercut *p);

/** Calls logged so far: a point in time. */
size_t powercut_now(const struct powercut *p);

/** What the test expects changes now: states that are equal but lie on both sides of this count as
 *  different. */
void powercut_mark(struct powercut *p);

/** Lays out every different crash state from the start up to now below `to` (emptied before each)
 * and calls back.
 *  @param at  calls that had happened when the power went
 *  @return number of states */
size_t powercut_each(struct powercut *p, const char *to,
	void (*check)(void *arg, size_t at, const char *variant), void *arg);

/** Calls number first to last from now on (1 = the next) fail with this error; first = 0: none.
 * Counted are those that can: all but close and unlink. */
void powercut_fail(struct powercut *p, size_t first, size_t last, int error);

/** Whether one of them came. */
bool powercut_failed(const struct powercut *p);

#endif
