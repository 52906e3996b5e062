/*
 * One column of numbers <-> bytes: constant, byte planes, dictionary or repeats, whichever is
 * smallest. PROTOCOL.md, "Columns", is the specification. Internal to the codec.
 */
#ifndef HIRUNDO_PROTO_COLUMN_H
#define HIRUNDO_PROTO_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/mem.h"

/* First byte of a column: mode in the high half, number of value bytes in the low one. */
enum column_mode {
	COLUMN_PLANES = 0, /* a plane for each value byte, least significant first */
	COLUMN_CONST = 1, /* the value bytes, once */
	COLUMN_DICT = 2, /* u8 entries - 1; entries; plane of indices */
	COLUMN_REPEAT = 3, /* plane of 0 repeated, 1 new; column of new; column of which old */
};

/* First byte of a plane: mode in the low half, log2 of bits a symbol in the high one. */
enum plane_mode {
	PLANE_CONST = 0, /* the symbol, once */
	PLANE_RAW = 1, /* symbols packed, first one in the low bits */
	PLANE_ZSTD = 2, /* varint length, zstd frame of the packed symbols */
};

#define DICT_MAX 256u

/** Working memory for columns of up to cap values. */
struct column_scratch {
	size_t cap;
	uint8_t *plane; /* cap symbols */
	uint8_t *packed; /* cap bytes */
	uint8_t *squeezed; /* ZSTD_compressBound(cap) bytes, encoder only */
	uint64_t *first; /* cap values: new ones of REPEAT */
	uint64_t *second; /* cap values: indices of REPEAT */
	uint16_t *slots; /* hash table of REPEAT, encoder only */
	size_t slots_n;
	uint32_t log2_q16[256]; /* log2(1 + i / 256) in 1 / 65536 bits, encoder only */
	ZSTD_CCtx *zc;
	ZSTD_DCtx *zd;
};

/** Makes room for columns of n values. @return 0, -ENOMEM (scratch stays usable as it was) */
int column_scratch_reserve(struct column_scratch *s, size_t n, bool encoder) MUST_CHECK;
void column_scratch_done(struct column_scratch *s);

/** Numbers equal values in order of their first row.
 *  @param ret_index  n bytes, index of each value
 *  @param ret_first  DICT_MAX entries: the first row of each index
 *  @return number of distinct values, 0 where there are more than DICT_MAX (or they collide) */
unsigned column_distinct(const uint64_t *values, size_t n, uint8_t *ret_index, uint32_t *ret_first);

/** Order-0 entropy of a histogram with the given sum, bits. */
uint64_t column_entropy_bits(
	const struct column_scratch *s, const uint32_t *counts, size_t counts_n, uint64_t sum);

/** Bytes that a plane of n symbols below d takes, about. */
uint64_t column_index_cost(
	const struct column_scratch *s, const uint32_t *counts, unsigned d, uint64_t n);

/** Value bytes needed for v, 0 to 8. */
unsigned column_value_bytes(uint64_t v);

/** LEB128, shortest form. @return as buf_reserve */
int varint_encode(uint64_t v, struct buf *out) MUST_CHECK;
/** @return false where it is cut, longer than needed or above 32 bits */
bool varint_decode(struct bytes *in, uint32_t *ret) MUST_CHECK;

/** Appends a plane of n >= 1 symbols. @return as buf_reserve */
int plane_encode(
	struct column_scratch *s, const uint8_t *symbols, size_t n, struct buf *out) MUST_CHECK;

/** Appends a column of n >= 1 values. @return as buf_reserve */
int column_encode(
	struct column_scratch *s, const uint64_t *values, size_t n, struct buf *out) MUST_CHECK;

/** Reads a plane of n >= 1 symbols, each below limit (1 to 256).
 *  @return NULL, or static text what is wrong */
const char *plane_decode(struct column_scratch *s, struct bytes *in, size_t n, unsigned limit,
	uint8_t *ret) MUST_CHECK;

/** Reads a column of n >= 1 values of at most `width` bytes each.
 *  @return NULL, or static text what is wrong */
const char *column_decode(struct column_scratch *s, struct bytes *in, size_t n, unsigned width,
	uint64_t *ret) MUST_CHECK;

#endif
