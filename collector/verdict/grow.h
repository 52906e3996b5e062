/* Arrays that grow. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_GROW_H
#define HIRUNDO_COLLECTOR_VERDICT_GROW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/mem.h"

/** Room for one more element.
 *  @param v     the array's pointer; moved where it has to
 *  @param room  elements that it holds
 *  @return false: no memory, all as before */
static inline MUST_CHECK bool grow(void *v, size_t n, size_t *room, size_t size)
{
	size_t want = *room ? *room * 2 : 64;
	void **array = v;
	void *moved;

	if (n < *room)
		return true;
	if (want > SIZE_MAX / 2 / size)
		return false;
	moved = realloc(*array, want * size);
	if (!moved)
		return false;
	*array = moved;
	*room = want;
	return true;
}

/** calloc that gives memory for n = 0, too. */
static inline void *zeroed(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

#endif
