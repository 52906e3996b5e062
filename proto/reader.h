/*
 * Frames out of a byte stream, however it is cut: the header first, then exactly the memory that
 * the header asks for, within the limit of the moment.
 */
#ifndef HIRUNDO_PROTO_READER_H
#define HIRUNDO_PROTO_READER_H

#include "proto/frame.h"

struct frame_reader {
	uint8_t head[FRAME_HEADER_SIZE];
	size_t have; /* bytes of the frame under way, header included */
	size_t size; /* of that frame; 0 while its header is not complete */
	uint8_t *frame;
};

/** Legal on zeroed memory. */
void frame_reader_done(struct frame_reader *r);

/** True between two frames: nothing is under way. */
static inline bool frame_reader_idle(const struct frame_reader *r)
{
	return r->have == 0;
}

/** Feeds up to n bytes.
 *  @param max         largest frame accepted now, bytes
 *  @param ret_used    bytes taken, also on errors
 *  @param ret_header  set on FRAME_OK
 *  @param ret_frame   set on FRAME_OK: the whole frame, malloc'd, the caller's
 *  @return FRAME_OK: a frame is complete and its checksum right (feed again with the rest);
 * FRAME_SHORT: all bytes were taken, more are needed; else what is wrong: the stream can not be
 * read on
 *  @return -ENOMEM */
int frame_reader_feed(struct frame_reader *r, const uint8_t *p, size_t n, size_t max,
	size_t *ret_used, struct frame_header *ret_header, uint8_t **ret_frame) MUST_CHECK;

#endif
