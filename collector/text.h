/* SQL text into a bounded buffer. Numbers and times are formatted here; text is quoted. */
#ifndef HIRUNDO_COLLECTOR_TEXT_H
#define HIRUNDO_COLLECTOR_TEXT_H

#include <stdint.h>

#include "common/buf.h"
#include "common/mem.h"

/* All return 0, -ENOMEM, or -ENOBUFS over the buffer's maximum. The buffer ends in a zero byte that
 * is not counted. */

int text_add(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

/** 'text', quoted; what is not printable ASCII becomes '?'. The session must have
 *  standard_conforming_strings on. */
int text_add_quoted(struct buf *b, const char *s) MUST_CHECK;

/** A timestamptz literal, to the microsecond; years 1970 to 9999. */
int text_add_time(struct buf *b, int64_t us) MUST_CHECK;

/** A date literal of a day since 1970. */
int text_add_day(struct buf *b, int32_t day) MUST_CHECK;

/** Bytes as the argument of decode(..., 'hex'), quoted. */
int text_add_hex(struct buf *b, const uint8_t *p, size_t n) MUST_CHECK;

/** As a C string. "" where nothing was added. */
const char *text_str(const struct buf *b);

#endif
