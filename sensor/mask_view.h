/*
 * The bytes of a payload as one reading of them: as they are, with %HH and \xHH escapes resolved,
 * or every other byte (UTF-16 text). A search works on the characters of a view; what it replaces
 * is written to the payload at the place where the character came from.
 */
#ifndef HIRUNDO_SENSOR_MASK_VIEW_H
#define HIRUNDO_SENSOR_MASK_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/mask.h"

struct own;

#define VIEW_NO_DIGIT 0xff

struct view {
	size_t n;
	bool escaped;
	uint8_t *out;
	uint8_t c[MASK_PAYLOAD_MAX];
	uint8_t digit[MASK_PAYLOAD_MAX]; /* value of a hexadecimal digit, VIEW_NO_DIGIT else */
	uint16_t at[MASK_PAYLOAD_MAX + 1]; /* offset of the character, and behind the last one */
};

/** @param n  at most MASK_PAYLOAD_MAX */
void view_plain(struct view *v, uint8_t *out, const uint8_t *from, size_t n);
/** @return false where nothing is escaped */
bool view_escaped(struct view *v, uint8_t *out, const uint8_t *from, size_t n);
/** @param first  0 or 1. @return false where there is no such text */
bool view_wide(struct view *v, uint8_t *out, const uint8_t *from, size_t n, size_t first);

/** Replaces character i. */
void view_put(struct view *v, size_t i, uint8_t c);
/** Replaces characters from..to-1 by c; with '0', escapes go too. */
void view_fill(struct view *v, size_t from, size_t to, uint8_t c);

/** Digits of the base (8, 10, 16) at i, at most max. @return how many; *ret_value is their value */
size_t view_digits(const struct view *v, size_t i, unsigned base, size_t max, uint64_t *ret_value);
static inline bool view_is_hex(const struct view *v, size_t i)
{
	return i < v->n && v->digit[i] != VIEW_NO_DIGIT;
}
static inline bool view_is_decimal(const struct view *v, size_t i)
{
	return i < v->n && v->digit[i] < 10;
}
/** Is this lower-case text there? */
bool view_text_at(const struct view *v, size_t i, const char *text);

/** Replaces what is an own address: mask_binary.c, mask_text4.c, mask_text6.c. */
void mask_binary(const struct own *o, struct view *v);
void mask_text4(const struct own *o, struct view *v);
void mask_text6(const struct own *o, struct view *v);
/** What the end of the view cuts: any form of this packet's own destination. mask_tail.c. */
void mask_tail(const struct own *o, struct view *v);

/** An IPv6 address that names an own one: its network, a solicited-node group, or IPv4 in IPv6. */
bool mask_tells6(const struct own *o, const uint8_t *addr);

/** IP headers within the payload: own addresses in them, and every checksum that covers something
 *  that was replaced. mask_quote.c.
 *  @param before  the payload as it came; after: with the rest masked */
void mask_quotes(const struct own *o, const struct packet *p, const uint8_t *before, uint8_t *after,
	size_t n);

#endif
