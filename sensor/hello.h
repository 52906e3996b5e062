/* The HELLO frame: what the spool holds, where the sensor listens, which capture it is about to
 * read. */
#ifndef HIRUNDO_SENSOR_HELLO_H
#define HIRUNDO_SENSOR_HELLO_H

#include "common/buf.h"
#include "common/mem.h"

struct spool;
struct targets;

/** Appends the whole frame to out.
 *  @param capture_xxh3  hash of the file about to be read; NULL for live capture
 *  @return 0, -ENOMEM, or what buf_reserve returns */
int hello_pack(const struct spool *s, const struct targets *t, const uint64_t *capture_xxh3,
	struct buf *out) MUST_CHECK;

#endif
