#include "proto/reader.h"

#include <errno.h>
#include <string.h>

void frame_reader_done(struct frame_reader *r)
{
	free(r->frame);
	*r = (struct frame_reader){0};
}

/* Copies what is still missing of `want` bytes, as far as the input goes; returns how much. */
static size_t fill(uint8_t *to, size_t have, size_t want, const uint8_t *p, size_t n)
{
	size_t k = want - have < n ? want - have : n;

	memcpy(to + have, p, k);
	return k;
}

int frame_reader_feed(struct frame_reader *r, const uint8_t *p, size_t n, size_t max,
	size_t *ret_used, struct frame_header *ret_header, uint8_t **ret_frame)
{
	struct frame_header h;
	enum frame_res res;
	size_t used = 0;

	if (r->size == 0) {
		used = fill(r->head, r->have, FRAME_HEADER_SIZE, p, n);
		r->have += used;
		*ret_used = used;
		if (r->have < FRAME_HEADER_SIZE)
			return FRAME_SHORT;
		res = frame_parse_header(r->head, FRAME_HEADER_SIZE, max, &h);
		if (res != FRAME_OK)
			return res;
		r->frame = malloc(FRAME_HEADER_SIZE + h.payload_length);
		if (!r->frame)
			return -ENOMEM;
		memcpy(r->frame, r->head, FRAME_HEADER_SIZE);
		r->size = FRAME_HEADER_SIZE + h.payload_length;
	}
	if (used < n) {
		size_t k = fill(r->frame, r->have, r->size, p + used, n - used);

		r->have += k;
		used += k;
	}
	*ret_used = used;
	if (r->have < r->size)
		return FRAME_SHORT;
	res = frame_parse(r->frame, r->size, max, ret_header);
	if (res != FRAME_OK)
		return res;
	*ret_frame = r->frame;
	*r = (struct frame_reader){0};
	return FRAME_OK;
}
