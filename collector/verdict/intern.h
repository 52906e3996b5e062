/* Keys of one size, each kept once, numbered 0, 1, 2, ... in the order they came. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_INTERN_H
#define HIRUNDO_COLLECTOR_VERDICT_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

struct intern {
	uint8_t *keys;
	uint32_t *slots; /* open addressing: number + 1, 0 = free */
	size_t size; /* bytes of a key */
	size_t room, slots_n;
	uint64_t seed; /* keys come from outside */
	uint32_t n;
};

/** @param seed  random: who knows it can make keys collide */
void intern_init(struct intern *t, size_t size, uint64_t seed);
void intern_done(struct intern *t);

/** @return 0, -ENOMEM */
int intern_add(struct intern *t, const void *key, uint32_t *ret) MUST_CHECK;
bool intern_find(const struct intern *t, const void *key, uint32_t *ret);
const void *intern_key(const struct intern *t, uint32_t number);

/** Numbers the keys anew, ascending by their bytes.
 *  @param ret_moved  [old number] new number; the caller's to free
 *  @return 0, -ENOMEM (nothing changed) */
int intern_sort(struct intern *t, uint32_t **ret_moved) MUST_CHECK;

#endif
