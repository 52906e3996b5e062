/* Where a stream stands, and whether a record may follow (PROTOCOL.md, section 5). */
#ifndef HIRUNDO_COLLECTOR_POSITION_H
#define HIRUNDO_COLLECTOR_POSITION_H

#include <stdint.h>

#include "common/mem.h"
#include "proto/frame.h"

struct position {
	uint64_t epoch, seq, checksum, packets_total;
};

enum position_res {
	POSITION_OK = 0,
	POSITION_OUT_OF_ORDER = 1, /* another record has to come first */
	POSITION_BROKEN = 2, /* the record contradicts the one before, or itself */
};

/** Moves *p on to the record h, whose frame is right; untouched where the record may not follow.
 *  @param p           NULL: no stream of this epoch
 *  @param ret_reason  static text, which field; not for POSITION_OK */
enum position_res position_follow(struct position *p, const struct frame_header *h,
	const uint8_t *payload, const char **ret_reason) MUST_CHECK;

#endif
