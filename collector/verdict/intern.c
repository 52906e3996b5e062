#include "collector/verdict/intern.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS_FIRST 1024

void intern_init(struct intern *t, size_t size, uint64_t seed)
{
	*t = (struct intern){.size = size, .seed = seed};
}

void intern_done(struct intern *t)
{
	free(t->keys);
	free(t->slots);
	*t = (struct intern){0};
}

const void *intern_key(const struct intern *t, uint32_t number)
{
	return t->keys + number * t->size;
}

/* The slot of a key, or the free one where it would be. */
static size_t find_slot(const struct intern *t, const void *key)
{
	size_t at = XXH3_64bits_withSeed(key, t->size, t->seed) & (t->slots_n - 1);

	while (t->slots[at] != 0 && memcmp(intern_key(t, t->slots[at] - 1), key, t->size) != 0)
		at = (at + 1) & (t->slots_n - 1);
	return at;
}

static int rehash(struct intern *t, size_t slots_n)
{
	uint32_t *slots = calloc(slots_n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->slots_n = slots_n;
	for (uint32_t i = 0; i < t->n; i++)
		t->slots[find_slot(t, intern_key(t, i))] = i + 1;
	return 0;
}

int intern_add(struct intern *t, const void *key, uint32_t *ret)
{
	size_t at;

	if ((size_t)t->n * 2 >= t->slots_n &&
		rehash(t, t->slots_n ? t->slots_n * 2 : SLOTS_FIRST) < 0)
		return -ENOMEM;
	at = find_slot(t, key);
	if (t->slots[at] == 0) {
		if (t->n == t->room) {
			size_t room = t->room ? t->room * 2 : SLOTS_FIRST;
			uint8_t *keys = realloc(t->keys, room * t->size);

			if (!keys || t->n == UINT32_MAX - 1) {
				t->keys = keys ? keys : t->keys;
				return -ENOMEM;
			}
			t->keys = keys;
			t->room = room;
		}
		memcpy(t->keys + t->n * t->size, key, t->size);
		t->slots[at] = ++t->n;
	}
	*ret = t->slots[at] - 1;
	return 0;
}

bool intern_find(const struct intern *t, const void *key, uint32_t *ret)
{
	size_t at;

	if (t->slots_n == 0)
		return false;
	at = find_slot(t, key);
	if (t->slots[at] == 0)
		return false;
	*ret = t->slots[at] - 1;
	return true;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct intern *t = arg;

	return memcmp(
		intern_key(t, *(const uint32_t *)a), intern_key(t, *(const uint32_t *)b), t->size);
}

int intern_sort(struct intern *t, uint32_t **ret_moved)
{
	size_t n = t->n ? t->n : 1;
	AUTO_FREE uint32_t *order = calloc(n, sizeof(*order));
	uint32_t *moved = calloc(n, sizeof(*moved));
	uint8_t *keys = malloc(n * t->size);

	if (!order || !moved || !keys) {
		free(moved);
		free(keys);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < t->n; i++)
		order[i] = i;
	qsort_r(order, t->n, sizeof(*order), compare, t);
	for (uint32_t i = 0; i < t->n; i++) {
		memcpy(keys + i * t->size, intern_key(t, order[i]), t->size);
		moved[order[i]] = i;
	}
	for (size_t i = 0; i < t->slots_n; i++)
		if (t->slots[i] != 0)
			t->slots[i] = moved[t->slots[i] - 1] + 1;
	free(t->keys);
	t->keys = keys;
	t->room = n;
	*ret_moved = moved;
	return 0;
}
