/* Messages other than batches: a walk over the bytes before anything is allocated, protobuf-c's
 * unpack under a budget, then the ranges of PROTOCOL.md, "Messages". */
#include <errno.h>

#include "proto/codec_impl.h"

#define STREAMS_MAX 64u
#define ADDRESSES_MAX 4096u
#define CONFIRM_MAX 1024u
#define COUNTS_MAX 64u
#define TEXT_MAX 200u
#define REASON_MAX 32u
#define FIELDS_MAX 64
#define ORDINAL_MAX (UINT64_C(1) << 62)

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_64BIT = 1,
	WIRE_BYTES = 2,
	WIRE_32BIT = 5
};

static size_t repeated_max(const ProtobufCFieldDescriptor *f)
{
	static const struct {
		const char *name;
		size_t max;
	} limits[] = {
		{"profiles", PROFILES_MAX},
		{"samples", BATCH_MAX_SAMPLES},
		{"ignored", COUNTS_MAX},
		{"streams", STREAMS_MAX},
		{"addresses", ADDRESSES_MAX},
		{"targets", ADDRESSES_MAX},
		{"seq", CONFIRM_MAX},
		{"checksum", CONFIRM_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (strcmp(f->name, limits[i].name) == 0)
			return limits[i].max;
	return 0;
}

static bool walk_varint(struct bytes *in, uint64_t *ret)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (!bytes_u8(in, &b) || (shift == 63 && b > 1))
			return false;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* protobuf-c cuts numbers that are too wide: refuse them instead. */
static bool walk_number(struct bytes *in, ProtobufCType type)
{
	uint64_t v;

	switch (type) {
	case PROTOBUF_C_TYPE_FIXED64: return bytes_skip(in, 8);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_SINT64: return walk_varint(in, &v);
	case PROTOBUF_C_TYPE_UINT32: return walk_varint(in, &v) && v <= UINT32_MAX;
	case PROTOBUF_C_TYPE_ENUM: return walk_varint(in, &v) && v <= INT32_MAX;
	case PROTOBUF_C_TYPE_BOOL: return walk_varint(in, &v) && v <= 1;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE: break; /* not in hirundo.proto, or not a number */
	}
	return false;
}

static const char *walk_text(struct bytes in)
{
	if (in.n > TEXT_MAX)
		return "text is too long";
	for (size_t i = 0; i < in.n; i++)
		if (in.p[i] < 0x20 || in.p[i] > 0x7e)
			return "text is not printable ASCII";
	return NULL;
}

/* One field behind its tag; *count grows by the entries in it. */
static const char *walk_field(
	const ProtobufCFieldDescriptor *f, unsigned wire, struct bytes *in, size_t *count)
{
	bool bytes = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES ||
		     f->type == PROTOBUF_C_TYPE_MESSAGE;
	bool packed = f->label == PROTOBUF_C_LABEL_REPEATED && !bytes;
	unsigned expected = bytes || packed                      ? WIRE_BYTES
			    : f->type == PROTOBUF_C_TYPE_FIXED64 ? WIRE_64BIT
								 : WIRE_VARINT;
	struct bytes part;
	uint64_t len;

	if (wire != expected)
		return "field of another type";
	if (expected != WIRE_BYTES) {
		(*count)++;
		return walk_number(in, f->type) ? NULL : "number is cut or too large";
	}
	if (!walk_varint(in, &len) || len > in->n)
		return "field is cut";
	part = bytes_of(in->p, (size_t)len);
	if (!bytes_skip(in, (size_t)len))
		return "field is cut";
	if (packed) {
		for (; part.n > 0; (*count)++)
			if (!walk_number(&part, f->type))
				return "number is cut or too large";
		return NULL;
	}
	(*count)++;
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return walk_text(part);
	return f->type == PROTOBUF_C_TYPE_MESSAGE ? message_walk(f->descriptor, part) : NULL;
}

/* Recursion ends: no message of hirundo.proto holds itself. */
const char *message_walk(const ProtobufCMessageDescriptor *type, struct bytes in)
{
	size_t counts[FIELDS_MAX] = {0};

	while (in.n > 0) {
		const ProtobufCFieldDescriptor *f;
		const char *wrong;
		uint64_t tag;
		size_t *count;

		if (!walk_varint(&in, &tag) || tag >> 3 > UINT32_MAX)
			return "field is cut";
		f = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
		if (!f || f - type->fields >= FIELDS_MAX)
			return "unknown field";
		count = &counts[f - type->fields];
		wrong = walk_field(f, tag & 7, &in, count);
		if (wrong)
			return wrong;
		if (f->label != PROTOBUF_C_LABEL_REPEATED && *count > 1)
			return "single field comes twice";
		if (f->label == PROTOBUF_C_LABEL_REPEATED && *count > repeated_max(f))
			return "too many entries";
	}
	return NULL;
}

/* malloc() that refuses above a budget; what it gave is freed by free(). */
struct budget {
	size_t left;
};

static void *budget_alloc(void *arg, size_t n)
{
	struct budget *b = arg;

	if (n > b->left)
		return NULL;
	b->left -= n;
	return malloc(n);
}

static void budget_free(void *arg, void *p)
{
	(void)arg;
	free(p);
}

static bool time_ok(int64_t us)
{
	return us >= 0 && us < TIME_END_US;
}

static bool number_ok(uint64_t n)
{
	return n <= SEQ_MAX;
}

static bool epoch_ok(uint64_t epoch)
{
	return epoch >= 1 && epoch <= SEQ_MAX;
}

const char *capture_check(const Hirundo__V1__CapturePosition *m)
{
	if (m && (m->ordinal > ORDINAL_MAX || m->before > m->ordinal || m->generation > INT32_MAX ||
			 m->epoch > SEQ_MAX))
		return "capture: out of range";
	return NULL;
}

static bool reason_ok(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= REASON_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static const char *status_check(const Hirundo__V1__Status *m)
{
	uint64_t sum = m->sealed;

	if (!time_ok(m->started_us) || !time_ok(m->at_us))
		return "started_us, at_us: out of range";
	if (!time_ok(m->covered_from_us) || !time_ok(m->covered_to_us) ||
		m->covered_to_us < m->covered_from_us)
		return "covered_from_us, covered_to_us: out of range";
	if (!number_ok(m->mono_us) || !number_ok(m->captured) || !number_ok(m->sealed) ||
		!number_ok(m->kernel_drops) || !number_ok(m->interface_drops) ||
		!number_ok(m->fold_early) || !number_ok(m->coarse_packets) ||
		!number_ok(m->spool_bytes) || !number_ok(m->spool_lost_packets) ||
		!number_ok(m->truncated) || !number_ok(m->samples_dropped))
		return "counter out of range";
	for (size_t i = 0; i < m->n_ignored; i++) {
		const Hirundo__V1__Count *count = m->ignored[i];

		if (!reason_ok(count->reason))
			return "ignored: reason is no name";
		for (size_t j = 0; j < i; j++)
			if (strcmp(count->reason, m->ignored[j]->reason) == 0)
				return "ignored: a reason comes twice";
		if (!number_ok(count->packets) || count->packets > SEQ_MAX - sum)
			return "ignored: counter out of range";
		sum += count->packets;
	}
	return sum == m->captured ? NULL : "captured is not ignored + sealed";
}

static const char *loss_check(const Hirundo__V1__Loss *m)
{
	if (m->reason < HIRUNDO__V1__LOSS__REASON__SPOOL_FULL ||
		m->reason > HIRUNDO__V1__LOSS__REASON__RETENTION)
		return "reason: out of range";
	if (!m->last_checksum_known && m->last_checksum != 0)
		return "last_checksum: not known, but set";
	if (!time_ok(m->from_us) || !time_ok(m->to_us) || m->to_us < m->from_us)
		return "from_us, to_us: out of range";
	return NULL;
}

static const char *offer_check(const Hirundo__V1__StreamOffer *m)
{
	if (!epoch_ok(m->epoch))
		return "streams: epoch out of range";
	if (m->oldest_seq < 1 || !number_ok(m->oldest_seq - 1) || !number_ok(m->newest_seq) ||
		!number_ok(m->packets_total))
		return "streams: number out of range";
	if (m->newest_seq == 0)
		return m->newest_checksum || m->packets_total ? "streams: empty, but has a checksum"
							      : NULL;
	return m->oldest_seq > m->newest_seq + 1 ? "streams: oldest behind newest" : NULL;
}

static bool address_ok(const Hirundo__V1__OwnAddress *m)
{
	size_t bits = 8 * m->address.len;

	if ((m->address.len != 4 && m->address.len != 16) || m->prefix_length > bits ||
		m->first > INT32_MAX)
		return false;
	if (m->captured.len != 0 && m->captured.len != m->address.len)
		return false;
	if (m->address.len == 4 && m->prefix_length > 0 && m->prefix_length < 8)
		return false;
	for (size_t i = m->prefix_length; i < bits; i++)
		if ((m->address.data[i / 8] | (m->captured.len ? m->captured.data[i / 8] : 0)) >>
				(7 - i % 8) &
			1)
			return false;
	return true;
}

static const char *hello_check(const Hirundo__V1__Hello *m)
{
	if (m->version_min < 1 || m->version_min > m->version_max || m->version_max > 255)
		return "version_min, version_max: out of range";
	if (m->next_target > INT32_MAX)
		return "next_target: out of range";
	if (!time_ok(m->wall_us) || !number_ok(m->mono_us))
		return "wall_us, mono_us: out of range";
	if (m->n_streams == 0)
		return "streams: none";
	for (size_t i = 0; i < m->n_streams; i++) {
		const char *wrong = offer_check(m->streams[i]);

		if (wrong)
			return wrong;
		for (size_t j = 0; j < i; j++)
			if (m->streams[j]->epoch == m->streams[i]->epoch)
				return "streams: an epoch comes twice";
	}
	for (size_t i = 0; i < m->n_addresses; i++)
		if (!address_ok(m->addresses[i]))
			return "addresses: no address or prefix";
	return capture_check(m->capture);
}

static const char *welcome_check(const Hirundo__V1__Welcome *m)
{
	if (m->version < 1 || m->version > 255)
		return "version: out of range";
	if (m->sensor_id < 1 || m->sensor_id > INT32_MAX)
		return "sensor_id: out of range";
	if (m->credit_bytes < 1 || !number_ok(m->credit_bytes))
		return "credit_bytes: out of range";
	if (!time_ok(m->server_time_us))
		return "server_time_us: out of range";
	for (size_t i = 0; i < m->n_streams; i++) {
		const Hirundo__V1__StreamState *s = m->streams[i];

		if (!epoch_ok(s->epoch) || !number_ok(s->last_seq) || !number_ok(s->packets_total))
			return "streams: number out of range";
		if (s->last_seq == 0 && (s->last_checksum || s->packets_total))
			return "streams: nothing committed, but has a checksum";
	}
	for (size_t i = 0; i < m->n_targets; i++)
		if (m->targets[i] > INT32_MAX)
			return "targets: out of range";
	return capture_check(m->capture);
}

static const char *confirm_check(const Hirundo__V1__Confirm *m)
{
	if (!epoch_ok(m->epoch))
		return "epoch: out of range";
	if (m->n_seq == 0 || m->n_seq != m->n_checksum)
		return "seq, checksum: none, or not one for the other";
	for (size_t i = 0; i < m->n_seq; i++)
		if (m->seq[i] > SEQ_MAX || m->seq[i] <= (i > 0 ? m->seq[i - 1] : 0))
			return "seq: not ascending or out of range";
	return NULL;
}

static const char *confirmed_check(const Hirundo__V1__Confirmed *m)
{
	if (!epoch_ok(m->epoch) || !number_ok(m->seq) || !number_ok(m->packets_total))
		return "number out of range";
	if (m->seq == 0 && (m->checksum || m->packets_total))
		return "nothing confirmed, but has a checksum";
	return NULL;
}

static const char *refused_check(const Hirundo__V1__Refused *m)
{
	return m->reason < HIRUNDO__V1__REFUSED__REASON__VERSION ||
			       m->reason > HIRUNDO__V1__REFUSED__REASON__CAPTURE_TAKEN
		       ? "reason: out of range"
		       : NULL;
}

static const char *range_check(const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *type = m->descriptor;

	if (type == &hirundo__v1__status__descriptor)
		return status_check((const Hirundo__V1__Status *)m);
	if (type == &hirundo__v1__loss__descriptor)
		return loss_check((const Hirundo__V1__Loss *)m);
	if (type == &hirundo__v1__hello__descriptor)
		return hello_check((const Hirundo__V1__Hello *)m);
	if (type == &hirundo__v1__welcome__descriptor)
		return welcome_check((const Hirundo__V1__Welcome *)m);
	if (type == &hirundo__v1__confirm__descriptor)
		return confirm_check((const Hirundo__V1__Confirm *)m);
	if (type == &hirundo__v1__confirmed__descriptor)
		return confirmed_check((const Hirundo__V1__Confirmed *)m);
	if (type == &hirundo__v1__refused__descriptor)
		return refused_check((const Hirundo__V1__Refused *)m);
	if (type == &hirundo__v1__batch__descriptor)
		return capture_check(((const Hirundo__V1__Batch *)m)->capture);
	return type == &hirundo__v1__ping__descriptor ? NULL : "not a message of its own";
}

void *codec_unpack(
	const void *descriptor, const uint8_t *payload, size_t n, const char **ret_reason)
{
	struct budget budget = {CODEC_DECODE_BUDGET};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	const char *wrong = message_walk(descriptor, bytes_of(payload, n));
	ProtobufCMessage *m;

	if (wrong) {
		*ret_reason = wrong;
		return NULL;
	}
	m = protobuf_c_message_unpack(descriptor, &allocator, n, payload);
	if (!m) {
		*ret_reason = "cannot be unpacked";
		return NULL;
	}
	wrong = range_check(m);
	if (wrong) {
		*ret_reason = wrong;
		codec_message_free(m);
		return NULL;
	}
	return m;
}

void codec_message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

int codec_pack_frame(struct frame_header *h, const void *message, struct buf *out)
{
	size_t n = message ? protobuf_c_message_get_packed_size(message) : 0;
	size_t max = frame_type_is_record(h->type) ? FRAME_MAX : FRAME_MAX_EARLY;
	int r;

	if (n > max - FRAME_HEADER_SIZE)
		return -ENOBUFS;
	r = buf_reserve(out, FRAME_HEADER_SIZE + n);
	if (r < 0)
		return r;
	if (message)
		(void)protobuf_c_message_pack(message, buf_tail(out) + FRAME_HEADER_SIZE);
	h->payload_length = (uint32_t)n;
	frame_seal(h, buf_tail(out));
	buf_added(out, FRAME_HEADER_SIZE + n);
	return 0;
}
