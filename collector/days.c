#include "collector/days.h"

#include <errno.h>
#include <string.h>

/* Position of the first member that is not below day. */
static size_t position(const struct days *s, int32_t day)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->day[middle] < day)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool days_has(const struct days *s, int32_t day)
{
	size_t at = position(s, day);

	return at < s->n && s->day[at] == day;
}

int days_add(struct days *s, int32_t day)
{
	size_t at = position(s, day);

	if (at < s->n && s->day[at] == day)
		return 0;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		int32_t *grown = realloc(s->day, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->day = grown;
		s->cap = cap;
	}
	memmove(s->day + at + 1, s->day + at, (s->n - at) * sizeof(*s->day));
	s->day[at] = day;
	s->n++;
	return 0;
}

void days_clear(struct days *s)
{
	s->n = 0;
}

void days_done(struct days *s)
{
	free(s->day);
	*s = (struct days){0};
}
