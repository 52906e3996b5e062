/* The HELLO frame: what the spool holds, where the sensor listens, which capture it is about to
 * read. */
#ifndef HIRUNDO_SENSOR_HELLO_H
#define HIRUNDO_SENSOR_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/mem.h"

struct spool;
struct targets;

/** Addresses that a HELLO has room for, in bytes of protobuf, with all else at its largest: 3,750
 *  IPv4 addresses, 1,276 IPv6 addresses behind NAT. */
#define HELLO_ADDRESSES_BYTES 60000u
#define HELLO_ADDRESSES_MAX 4096u

/** @return whether HELLO has room for all of t */
bool hello_fits(const struct targets *t);

/** Appends the whole frame to out.
 *  @param capture_xxh3  hash of the file about to be read; NULL for live capture
 *  @return 0, -ENOMEM, or what buf_reserve returns */
int hello_pack(const struct spool *s, const struct targets *t, const uint64_t *capture_xxh3,
	struct buf *out) MUST_CHECK;

#endif
