/* Any bytes as a frame: whole or in pieces, the answer is the same; what is accepted seals to the
 * same bytes; what fails by its checksum alone is accepted once that is right. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_pieces(const uint8_t *data, size_t n, enum frame_res whole)
{
	struct frame_reader reader = {0};
	struct frame_header h;
	uint8_t *frame = NULL;
	size_t at = 0, used, step = n > 0 ? data[n - 1] % 97u + 1 : 1;
	int r = FRAME_SHORT;

	while (r == FRAME_SHORT && at < n) {
		r = frame_reader_feed(&reader, data + at, n - at < step ? n - at : step, FRAME_MAX,
			&used, &h, &frame);
		at += used;
	}
	assert(r == (int)whole || whole == FRAME_BAD_MAGIC);
	if (r == FRAME_OK) {
		assert(at == FRAME_HEADER_SIZE + h.payload_length && memcmp(frame, data, at) == 0);
		free(frame);
	}
	frame_reader_done(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct frame_header h, again;
	enum frame_res r = frame_parse(data, n, FRAME_MAX, &h);
	uint8_t *copy;

	check_pieces(data, n, r);
	if (r != FRAME_OK && r != FRAME_BAD_CHECKSUM)
		return 0;
	if (r == FRAME_BAD_CHECKSUM && frame_parse_header(data, n, FRAME_MAX, &h) != FRAME_OK)
		abort();
	copy = malloc(n);
	if (!copy)
		return 0;
	memcpy(copy, data, n);
	frame_seal(&h, copy);
	assert(r == FRAME_BAD_CHECKSUM || memcmp(copy, data, n) == 0);
	assert(memcmp(copy, data, FRAME_HEADER_SIZE - 8) == 0);
	assert(frame_parse(copy, n, FRAME_MAX, &again) == FRAME_OK && again.checksum == h.checksum);
	assert(frame_parse(copy, n, FRAME_HEADER_SIZE + h.payload_length, &again) == FRAME_OK);
	assert(frame_parse(copy, n, FRAME_HEADER_SIZE + h.payload_length - 1, &again) ==
		FRAME_BAD_LENGTH);
	free(copy);
	return 0;
}
