/* An owned, growable byte buffer with a hard maximum: start..end is content, end..cap is room. */
#ifndef HIRUNDO_COMMON_BUF_H
#define HIRUNDO_COMMON_BUF_H

#include <stdint.h>

#include "common/mem.h"

struct buf {
	uint8_t *data;
	size_t start, end, cap;
	size_t max; /* capacity never exceeds this */
};

static inline void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

/** Frees the memory; the buffer is empty and usable again. */
void buf_done(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline uint8_t *buf_head(const struct buf *b)
{
	return b->data ? b->data + b->start : NULL; /* NULL + 0 is undefined in C */
}

static inline uint8_t *buf_tail(const struct buf *b)
{
	return b->data ? b->data + b->end : NULL;
}

static inline size_t buf_room(const struct buf *b)
{
	return b->cap - b->end;
}

/** Makes room for n more bytes, moving or growing. @return 0, -ENOBUFS over the maximum, -ENOMEM */
int buf_reserve(struct buf *b, size_t n) MUST_CHECK;

/** Appends a copy. @return as buf_reserve */
int buf_add(struct buf *b, const void *p, size_t n) MUST_CHECK;

/** n bytes were written at buf_tail(); n <= buf_room(). */
void buf_added(struct buf *b, size_t n);

/** Drops n bytes at the front; n <= buf_len(). */
void buf_consume(struct buf *b, size_t n);

/** Empties the buffer and keeps its memory. */
static inline void buf_clear(struct buf *b)
{
	b->start = b->end = 0;
}

#endif
