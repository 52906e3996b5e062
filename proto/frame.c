#include "proto/frame.h"

/* Inlined, because the state on the stack has no stable size across shared libraries. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/bytes.h"

/* Offsets in the header; PROTOCOL.md, "The frame". */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_TYPE = 5,
	AT_FLAGS = 6,
	AT_LENGTH = 8,
	AT_PACKETS = 12,
	AT_EPOCH = 16,
	AT_FIRST_SEQ = 24,
	AT_SEQ = 32,
	AT_PACKETS_TOTAL = 40,
	AT_PREV_CHECKSUM = 48,
	AT_CHECKSUM = 56,
};

_Static_assert(AT_CHECKSUM + 8 == FRAME_HEADER_SIZE, "the checksum ends the header");

const char *frame_res_str(enum frame_res r)
{
	switch (r) {
	case FRAME_OK: return "ok";
	case FRAME_SHORT: return "short";
	case FRAME_BAD_MAGIC: return "bad magic";
	case FRAME_BAD_VERSION: return "unknown version";
	case FRAME_BAD_TYPE: return "unknown type";
	case FRAME_BAD_LENGTH: return "too long";
	case FRAME_BAD_FIELD: return "header field out of range";
	case FRAME_BAD_CHECKSUM: return "checksum mismatch";
	}
	return "unknown";
}

const char *frame_type_str(uint8_t type)
{
	switch (type) {
	case FRAME_BATCH: return "BATCH";
	case FRAME_STATUS: return "STATUS";
	case FRAME_LOSS: return "LOSS";
	case FRAME_HELLO: return "HELLO";
	case FRAME_WELCOME: return "WELCOME";
	case FRAME_ACK: return "ACK";
	case FRAME_CONFIRM: return "CONFIRM";
	case FRAME_CONFIRMED: return "CONFIRMED";
	case FRAME_REFUSED: return "REFUSED";
	case FRAME_PING: return "PING";
	case FRAME_PONG: return "PONG";
	default: return "unknown";
	}
}

bool frame_type_is_record(uint8_t type)
{
	return type == FRAME_BATCH || type == FRAME_STATUS || type == FRAME_LOSS;
}

static bool type_known(uint8_t type)
{
	return frame_type_is_record(type) || (type >= FRAME_HELLO && type <= FRAME_PONG);
}

static bool fields_valid(const struct frame_header *h)
{
	bool numbered = h->epoch >= 1 && h->epoch <= SEQ_MAX && h->seq >= 1 && h->seq <= SEQ_MAX;

	if (h->flags != 0)
		return false;
	if (frame_type_is_record(h->type)) {
		if (!numbered || h->first_seq < 1 || h->first_seq > h->seq)
			return false;
		if (h->type == FRAME_LOSS ? h->packets != 0 : h->first_seq != h->seq)
			return false;
		if (h->first_seq == 1 && h->prev_checksum != 0)
			return false;
		return h->packets_total <= SEQ_MAX && h->packets <= h->packets_total;
	}
	if (h->first_seq != 0 || h->packets != 0 || h->packets_total != 0 || h->prev_checksum != 0)
		return false;
	if (h->type == FRAME_ACK)
		return numbered && h->payload_length == 0;
	return h->epoch == 0 && h->seq == 0;
}

/* One pass over header and payload, without the eight bytes between them. */
static uint64_t checksum_of(const uint8_t *frame, size_t payload_n)
{
	XXH3_state_t state;

	XXH3_INITSTATE(&state);
	(void)XXH3_64bits_reset(&state);
	(void)XXH3_64bits_update(&state, frame, AT_CHECKSUM);
	(void)XXH3_64bits_update(&state, frame + FRAME_HEADER_SIZE, payload_n);
	return XXH3_64bits_digest(&state);
}

void frame_seal(struct frame_header *h, uint8_t *buf)
{
	store_be32(buf + AT_MAGIC, FRAME_MAGIC);
	buf[AT_VERSION] = h->version;
	buf[AT_TYPE] = h->type;
	store_be16(buf + AT_FLAGS, h->flags);
	store_be32(buf + AT_LENGTH, h->payload_length);
	store_be32(buf + AT_PACKETS, h->packets);
	store_be64(buf + AT_EPOCH, h->epoch);
	store_be64(buf + AT_FIRST_SEQ, h->first_seq);
	store_be64(buf + AT_SEQ, h->seq);
	store_be64(buf + AT_PACKETS_TOTAL, h->packets_total);
	store_be64(buf + AT_PREV_CHECKSUM, h->prev_checksum);
	h->checksum = checksum_of(buf, h->payload_length);
	store_be64(buf + AT_CHECKSUM, h->checksum);
}

/* Garbage is told apart from a frame at its first wrong byte, not only when 64 have come. */
static bool magic_possible(const uint8_t *buf, size_t n)
{
	uint8_t magic[4];

	store_be32(magic, FRAME_MAGIC);
	n = n < sizeof(magic) ? n : sizeof(magic);
	return n == 0 || memcmp(buf, magic, n) == 0;
}

enum frame_res frame_parse_header(
	const uint8_t *buf, size_t n, size_t max, struct frame_header *ret)
{
	struct bytes b = bytes_of(buf, n);
	struct frame_header h;
	uint32_t magic;

	if (!magic_possible(buf, n))
		return FRAME_BAD_MAGIC;
	if (!bytes_u32(&b, &magic) || !bytes_u8(&b, &h.version) || !bytes_u8(&b, &h.type) ||
		!bytes_u16(&b, &h.flags) || !bytes_u32(&b, &h.payload_length) ||
		!bytes_u32(&b, &h.packets) || !bytes_u64(&b, &h.epoch) ||
		!bytes_u64(&b, &h.first_seq) || !bytes_u64(&b, &h.seq) ||
		!bytes_u64(&b, &h.packets_total) || !bytes_u64(&b, &h.prev_checksum) ||
		!bytes_u64(&b, &h.checksum))
		return FRAME_SHORT;
	if (h.version != FRAME_VERSION)
		return FRAME_BAD_VERSION;
	if (!type_known(h.type))
		return FRAME_BAD_TYPE;
	if (max > FRAME_MAX)
		max = FRAME_MAX;
	if (!frame_type_is_record(h.type) && max > FRAME_MAX_EARLY)
		max = FRAME_MAX_EARLY;
	if (max < FRAME_HEADER_SIZE || h.payload_length > max - FRAME_HEADER_SIZE)
		return FRAME_BAD_LENGTH;
	if (!fields_valid(&h))
		return FRAME_BAD_FIELD;
	*ret = h;
	return FRAME_OK;
}

enum frame_res frame_parse(const uint8_t *buf, size_t n, size_t max, struct frame_header *ret)
{
	struct frame_header h;
	enum frame_res r = frame_parse_header(buf, n, max, &h);

	if (r != FRAME_OK)
		return r;
	if (n - FRAME_HEADER_SIZE < h.payload_length)
		return FRAME_SHORT;
	if (checksum_of(buf, h.payload_length) != h.checksum)
		return FRAME_BAD_CHECKSUM;
	*ret = h;
	return FRAME_OK;
}
