/*
 * Checked cursors over bytes: the only way outside bytes are read, and the way frames are written.
 *
 * A reader borrows its bytes; every read checks first and moves the cursor only on success. All
 * integers are big-endian unless the name says le. Nothing here allocates.
 */
#ifndef HIRUNDO_COMMON_BYTES_H
#define HIRUNDO_COMMON_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/mem.h"

struct bytes {
	const uint8_t *p; /* next byte */
	size_t n; /* bytes left */
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
	return (struct bytes){.p = p, .n = n};
}

static inline MUST_CHECK bool bytes_skip(struct bytes *b, size_t n)
{
	if (n > b->n)
		return false;
	b->p += n;
	b->n -= n;
	return true;
}

/** Hands out n borrowed bytes. */
static inline MUST_CHECK bool bytes_take(struct bytes *b, size_t n, const uint8_t **ret)
{
	const uint8_t *p = b->p;

	if (!bytes_skip(b, n))
		return false;
	*ret = p;
	return true;
}

static inline MUST_CHECK bool bytes_copy(struct bytes *b, void *to, size_t n)
{
	const uint8_t *p;

	if (!bytes_take(b, n, &p))
		return false;
	if (n > 0)
		memcpy(to, p, n);
	return true;
}

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t load_be64(const uint8_t *p)
{
	return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	store_be16(p, (uint16_t)(v >> 16));
	store_be16(p + 2, (uint16_t)v);
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
	store_be32(p, (uint32_t)(v >> 32));
	store_be32(p + 4, (uint32_t)v);
}

static inline MUST_CHECK bool bytes_u8(struct bytes *b, uint8_t *ret)
{
	return bytes_copy(b, ret, 1);
}

static inline MUST_CHECK bool bytes_u16(struct bytes *b, uint16_t *ret)
{
	const uint8_t *p;

	if (!bytes_take(b, 2, &p))
		return false;
	*ret = load_be16(p);
	return true;
}

static inline MUST_CHECK bool bytes_u32(struct bytes *b, uint32_t *ret)
{
	const uint8_t *p;

	if (!bytes_take(b, 4, &p))
		return false;
	*ret = load_be32(p);
	return true;
}

static inline MUST_CHECK bool bytes_u64(struct bytes *b, uint64_t *ret)
{
	const uint8_t *p;

	if (!bytes_take(b, 8, &p))
		return false;
	*ret = load_be64(p);
	return true;
}

#endif
