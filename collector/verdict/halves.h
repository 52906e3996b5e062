/* A loop whose rounds do not depend on each other, on two cores. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_HALVES_H
#define HIRUNDO_COLLECTOR_VERDICT_HALVES_H

#include <stddef.h>

/** Runs the first and the second half of 0 .. n - 1 at the same time, in two threads; one after the
 *  other where they are few or there is no thread to be had. Returns when both are done.
 *  @param run  writes nothing that its other call reads or writes; half: 0, 1 */
void in_halves(size_t n, void (*run)(void *arg, unsigned half, size_t from, size_t end), void *arg);

#endif
