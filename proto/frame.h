/*
 * The frame: 64 bytes of header and a protobuf payload. A record of the spool is a frame, byte for
 * byte; control frames use the same header. PROTOCOL.md is the specification.
 */
#ifndef HIRUNDO_PROTO_FRAME_H
#define HIRUNDO_PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

#define FRAME_MAGIC 0x48524446u /* "HRDF" */
#define FRAME_VERSION 1u /* of header and payload; in every record, which may wait for days */
#define FRAME_HEADER_SIZE 64u
/** Header and payload together, bytes. A protocol constant: bounds memory on both ends. */
#define FRAME_MAX (1024u * 1024u)
/** Largest control frame, so also of HELLO, bytes. */
#define FRAME_MAX_EARLY (64u * 1024u)
/** The slowest line that is served, bytes/s: what a frame takes on it comes on top of deadlines. */
#define FRAME_LINE_BYTES_PER_S 4096u
#define SEQ_MAX UINT64_C(0x7fffffffffffffff)

enum frame_type {
	/* Records: have an epoch and a sequence, live in the spool, are stored exactly once. */
	FRAME_BATCH = 1,
	FRAME_STATUS = 2,
	FRAME_LOSS = 3,
	/* Control: never in the spool. */
	FRAME_HELLO = 16, /* sensor -> collector */
	FRAME_WELCOME = 17, /* collector -> sensor */
	FRAME_ACK = 18, /* collector -> sensor: epoch and seq in the header are committed */
	FRAME_CONFIRM = 19, /* sensor -> collector: which of these records are yours? */
	FRAME_CONFIRMED = 20, /* collector -> sensor */
	FRAME_REFUSED = 21, /* either way: reason; the connection closes after it */
	FRAME_PING = 22, /* either way, answered by PONG with the same payload */
	FRAME_PONG = 23,
};

/** A header in host order. Control frames have zero in epoch, first_seq, seq, packets_total and
 *  prev_checksum; ACK alone has epoch and seq, and no payload. */
struct frame_header {
	uint8_t version;
	uint8_t type;
	uint16_t flags; /* zero; others are refused */
	uint32_t payload_length;
	uint32_t packets; /* BATCH, STATUS: in this record, so packets_total grows by it; others: 0.
			   * Without it a hole in front of this record could not be counted */
	uint64_t epoch; /* 1 to 2^63-1 */
	uint64_t first_seq; /* = seq, but for LOSS: the first number that it replaces */
	uint64_t seq; /* 1 to 2^63-1 */
	uint64_t packets_total; /* packets in records 1..seq of the epoch, lost ones included; <
				   2^63 */
	uint64_t prev_checksum; /* chain checksum of record first_seq - 1; 0 for the first */
	uint64_t checksum; /* XXH3-64 of the frame with these 8 bytes left out */
};

/** @return microseconds that this many bytes take on the slowest line */
static inline int64_t frame_line_us(uint64_t bytes)
{
	return (int64_t)(bytes * 1000000 / FRAME_LINE_BYTES_PER_S);
}

enum frame_res {
	FRAME_OK = 0,
	FRAME_SHORT = 1, /* more bytes needed */
	FRAME_BAD_MAGIC = 2, /* not a frame: resynchronise or close */
	FRAME_BAD_VERSION = 3,
	FRAME_BAD_TYPE = 4,
	FRAME_BAD_LENGTH = 5, /* payload_length over the limit */
	FRAME_BAD_FIELD = 6, /* flags, epoch, seq or first_seq out of range for the type */
	FRAME_BAD_CHECKSUM = 7,
};

const char *frame_res_str(enum frame_res r);
const char *frame_type_str(uint8_t type);
bool frame_type_is_record(uint8_t type);

/** Writes header and checksum in front of a payload: buf holds FRAME_HEADER_SIZE bytes of room and
 *  then h->payload_length bytes of payload. Sets h->checksum. The caller answers for the fields. */
void frame_seal(struct frame_header *h, uint8_t *buf);

/** Reads and checks the header alone (not the checksum).
 *  @param max  largest frame accepted, bytes, at most FRAME_MAX
 *  @return FRAME_OK, FRAME_SHORT, or what is wrong; a wrong magic is told from its first byte on */
enum frame_res frame_parse_header(
	const uint8_t *buf, size_t n, size_t max, struct frame_header *ret) MUST_CHECK;

/** Reads a whole frame and checks everything, the checksum too. The payload is at
 *  buf + FRAME_HEADER_SIZE. */
enum frame_res frame_parse(
	const uint8_t *buf, size_t n, size_t max, struct frame_header *ret) MUST_CHECK;

#endif
