#include "common/buf.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void buf_done(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

int buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);
	size_t cap;
	uint8_t *data;

	if (n <= buf_room(b))
		return 0;
	if (n > b->max || len > b->max - n)
		return -ENOBUFS;
	if (b->start > 0) {
		memmove(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		if (n <= buf_room(b))
			return 0;
	}
	cap = b->cap ? b->cap : 4096;
	while (cap < len + n)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
	int r = buf_reserve(b, n);

	if (r < 0)
		return r;
	if (n > 0)
		memcpy(b->data + b->end, p, n);
	b->end += n;
	return 0;
}

void buf_added(struct buf *b, size_t n)
{
	assert(n <= buf_room(b));
	b->end += n;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->start += n;
	if (b->start == b->end)
		buf_clear(b);
}
