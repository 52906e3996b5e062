#include "collector/enrich/names.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define SLOTS_FIRST 1024u

void names_done(struct names *t)
{
	free(t->text);
	free(t->slots);
	*t = (struct names){0};
}

/* The slot that holds the text, or the free one where it belongs. */
static uint32_t *slot_of(const struct names *t, const char *text, size_t n)
{
	uint32_t mask = t->slots_n - 1, i = (uint32_t)XXH3_64bits_withSeed(text, n, t->seed) & mask;

	while (t->slots[i] != 0) {
		const char *there = t->text + t->slots[i];

		if (memcmp(there, text, n) == 0 && there[n] == '\0')
			break;
		i = (i + 1) & mask;
	}
	return &t->slots[i];
}

static int grow_slots(struct names *t)
{
	struct names grown = *t;

	grown.slots_n = t->slots_n ? t->slots_n * 2 : SLOTS_FIRST;
	grown.slots = calloc(grown.slots_n, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;
	if (t->slots_n == 0 && getrandom(&grown.seed, sizeof(grown.seed), 0) < 0)
		grown.seed = (uint64_t)(uintptr_t)grown.slots;
	for (uint32_t i = 0; i < t->slots_n; i++)
		if (t->slots[i] != 0) {
			const char *text = t->text + t->slots[i];

			*slot_of(&grown, text, strlen(text)) = t->slots[i];
		}
	free(t->slots);
	*t = grown;
	return 0;
}

/* Room for the longest text behind the others: slot_of() may then compare without looking for the
 * end first. */
static int grow_text(struct names *t)
{
	size_t cap = t->cap ? (size_t)t->cap * 2 : 65536;
	char *text;

	if (cap > UINT32_MAX)
		return -ENOMEM;
	text = realloc(t->text, cap);
	if (!text)
		return -ENOMEM;
	memset(text + t->cap, 0, cap - t->cap);
	t->text = text;
	t->cap = (uint32_t)cap;
	if (t->n == 0)
		t->n = 1; /* number 0 is none */
	return 0;
}

int names_add(struct names *t, const char *text, size_t n, uint32_t *ret)
{
	uint32_t *slot;
	int r = 0;

	if (t->used >= t->slots_n / 2)
		r = grow_slots(t);
	if (r == 0 && t->cap - t->n < 2 * (NAMES_TEXT_MAX + 1))
		r = grow_text(t);
	if (r < 0)
		return r;
	slot = slot_of(t, text, n);
	if (*slot == 0) {
		memcpy(t->text + t->n, text, n);
		t->text[t->n + n] = '\0';
		*slot = t->n;
		t->n += (uint32_t)n + 1;
		t->used++;
	}
	*ret = *slot;
	return 0;
}

const char *names_text(const struct names *t, uint32_t number)
{
	return number ? t->text + number : NULL;
}
