/*
 * Payloads <-> structs. Encoding is columnar with zstd (PROTOCOL.md, section Columns); decoding
 * trusts nothing: memory is budgeted before it is used, every count, range and bit is checked.
 *
 * A codec owns the scratch memory and the zstd contexts, so that a batch costs no allocation once
 * warm. One codec a thread.
 */
#ifndef HIRUNDO_PROTO_CODEC_H
#define HIRUNDO_PROTO_CODEC_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/mem.h"
#include "proto/frame.h"
#include "proto/observation.h"

/** Rows and samples of one batch at most. Protocol constants. */
#define BATCH_MAX_ROWS 32768u
#define BATCH_MAX_SAMPLES 1024u

struct capture_position {
	uint64_t xxh3; /* of the whole file */
	uint64_t ordinal; /* packets read up to and including this batch */
	bool complete; /* the file ends here */
	uint32_t generation;
	uint64_t before; /* packets read in front of this batch */
	uint64_t epoch; /* WELCOME: the stream that delivered the last of them */
};

struct batch {
	struct observation *rows;
	uint32_t rows_n;
	struct sample *samples;
	uint32_t samples_n;
	uint32_t fold_early;
	uint64_t packets; /* sum over rows */
	bool has_capture;
	struct capture_position capture;
};

struct codec;

int codec_new(struct codec **ret) MUST_CHECK;
struct codec *codec_free(struct codec *c);

/** Appends the payload of a batch to out (nothing before or after it).
 *  @param b  borrowed; rows within the ranges of observation.h (a programmer error otherwise)
 *  @return 0, or what buf_reserve returns; out is then unchanged */
int codec_encode_batch(struct codec *c, const struct batch *b, struct buf *out) MUST_CHECK;

enum codec_res {
	CODEC_OK = 0,
	CODEC_MALFORMED = 1, /* the bytes are no valid payload: ret_reason says why */
};

/** Decodes and checks the payload of a batch.
 *  @param ret  points into memory of the codec, valid until its next decode
 *  @param ret_reason  static or codec-owned text naming the field, set unless 0 is returned
 *  @return 0, CODEC_MALFORMED, -ENOMEM */
int codec_decode_batch(struct codec *c, const uint8_t *payload, size_t n, struct batch *ret,
	const char **ret_reason) MUST_CHECK;

/** Largest memory that one decode may take, bytes: budget of the bounded allocator, of zstd output
 *  and of the rows together. */
#define CODEC_DECODE_BUDGET (12u * 1024u * 1024u)

/*
 * Control and STATUS, LOSS payloads are the generated protobuf-c structs. These wrap unpack with
 * the bounded allocator, refuse unknown fields and check ranges as PROTOCOL.md says.
 */

/** @param descriptor  a ProtobufCMessageDescriptor of hirundo.pb-c.h that is a payload of its own.
 * Of a Batch the columns stay as they are: codec_decode_batch reads those
 *  @return the message (free with codec_message_free), or NULL with *ret_reason set (static text)
 */
void *codec_unpack(const void *descriptor, const uint8_t *payload, size_t n,
	const char **ret_reason) MUST_CHECK;
void codec_message_free(void *message);

/** Appends a whole frame with header and checksum: packs message (NULL: empty payload) behind h.
 *  Sets h->payload_length and h->checksum. @return 0; -ENOBUFS also above the largest frame of
 *  its type; else what buf_reserve returns */
int codec_pack_frame(struct frame_header *h, const void *message, struct buf *out) MUST_CHECK;

#endif
