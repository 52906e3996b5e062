/* What encode.c and decode.c share. Internal to the codec. */
#ifndef HIRUNDO_PROTO_CODEC_IMPL_H
#define HIRUNDO_PROTO_CODEC_IMPL_H

#include "hirundo.pb-c.h"
#include "proto/codec.h"
#include "proto/column.h"
#include "proto/columns.h"

/** Largest SampleList before compression, bytes: 1,024 samples of at most 220 bytes. */
#define SAMPLES_MAX_BYTES (256u * 1024u)
/** Profiles of one batch at most. */
#define PROFILES_MAX 8u

/** Columns that go together: one index for each row names a tuple of their values. */
struct group {
	uint32_t mask; /* 1 << enum column */
	unsigned d; /* tuples */
	uint64_t cost; /* bytes, estimated */
	uint8_t *index; /* of each row */
	uint32_t first[DICT_MAX]; /* row in which each tuple came first */
};

struct codec_encoder {
	size_t cap;
	uint64_t *values;
	uint32_t *has; /* columns of each row, 1 << enum column */
	uint8_t *pool; /* (COLUMNS_N + 2) * cap: indices of the groups */
	uint16_t *pairs; /* DICT_MAX * DICT_MAX: tuple of two indices */
	struct group groups[COLUMNS_N];
	struct buf work; /* encoded columns, before protobuf */
};

struct codec_decoder {
	size_t cap;
	uint64_t *values;
	uint32_t *has;
	uint8_t *index;
	struct observation *rows;
	struct sample *samples; /* BATCH_MAX_SAMPLES */
	uint8_t *list; /* SAMPLES_MAX_BYTES: SampleList as packed */
	uint8_t *arena; /* what protobuf-c allocates from */
	size_t arena_used;
	char reason[128];
};

struct codec {
	struct column_scratch column;
	struct codec_encoder e;
	struct codec_decoder d;
};

void encoder_done(struct codec_encoder *e);
void decoder_done(struct codec_decoder *d);

/** Walks protobuf bytes without allocating: unknown or repeated-where-single fields, wrong wire
 *  types, numbers too wide, text that is not printable ASCII and counts above what the field may
 *  have are refused, at every depth.
 *  @return NULL, or static text what is wrong */
const char *message_walk(const ProtobufCMessageDescriptor *type, struct bytes in) MUST_CHECK;

/** Ranges of a capture position; NULL has none. @return NULL, or static text what is wrong */
const char *capture_check(const Hirundo__V1__CapturePosition *m);

#endif
