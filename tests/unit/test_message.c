/* Control, STATUS and LOSS payloads: only valid ones come through. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"

#define NOW_US INT64_C(1767225600000000)

/* What codec_unpack says of raw bytes: NULL = accepted. */
static const char *verdict(const ProtobufCMessageDescriptor *type, const uint8_t *payload, size_t n)
{
	const char *reason = "no reason";
	void *m = codec_unpack(type, payload, n, &reason);

	codec_message_free(m);
	return m ? NULL : reason;
}

static const char *packed_verdict(const ProtobufCMessage *m)
{
	struct frame_header h = {.version = FRAME_VERSION, .type = FRAME_PING};
	const char *reason;
	struct buf out;

	buf_init(&out, FRAME_MAX);
	assert_int_equal(codec_pack_frame(&h, m, &out), 0);
	assert_int_equal(buf_len(&out), FRAME_HEADER_SIZE + h.payload_length);
	reason = verdict(m->descriptor, buf_head(&out) + FRAME_HEADER_SIZE, h.payload_length);
	buf_done(&out);
	return reason;
}

#define ACCEPTED(m) assert_null(packed_verdict(&(m).base))
#define REFUSED(expected, m, ...)                      \
	do {                                           \
		__typeof__(m) saved = (m);             \
		const char *reason;                    \
		__VA_ARGS__;                           \
		reason = packed_verdict(&(m).base);    \
		assert_non_null(reason);               \
		assert_string_equal(reason, expected); \
		(m) = saved;                           \
	} while (0)

static void test_status(void **state)
{
	Hirundo__V1__Count a = HIRUNDO__V1__COUNT__INIT, b = a, *list[] = {&a, &b};
	Hirundo__V1__Status m = HIRUNDO__V1__STATUS__INIT;

	(void)state;
	a.reason = (char *)"not_ip";
	a.packets = 3;
	b.reason = (char *)"not_for_us";
	b.packets = 4;
	m.started_us = m.at_us = NOW_US;
	m.ignored = list;
	m.n_ignored = 2;
	m.sealed = 10;
	m.captured = 17;
	m.covered_from_us = NOW_US;
	m.covered_to_us = NOW_US + 1;
	ACCEPTED(m);
	REFUSED("captured is not ignored + sealed", m, m.captured = 16);
	REFUSED("captured is not ignored + sealed", m, m.n_ignored = 1);
	REFUSED("started_us, at_us: out of range", m, m.at_us = -1);
	REFUSED("started_us, at_us: out of range", m, m.started_us = INT64_C(7258118400000000));
	REFUSED("covered_from_us, covered_to_us: out of range", m, m.covered_to_us = NOW_US - 1);
	REFUSED("counter out of range", m, m.kernel_drops = UINT64_MAX);
	REFUSED("counter out of range", m, m.samples_dropped = UINT64_MAX);
	b.packets = SEQ_MAX;
	REFUSED("ignored: counter out of range", m, (void)0);
	b.packets = 4;
	b.reason = a.reason;
	REFUSED("ignored: a reason comes twice", m, (void)0);
	b.reason = (char *)"Not";
	REFUSED("ignored: reason is no name", m, (void)0);
	b.reason = (char *)"";
	REFUSED("ignored: reason is no name", m, (void)0);
	b.reason = (char *)"abcdefghijabcdefghijabcdefghijabc";
	REFUSED("ignored: reason is no name", m, (void)0);
}

static void test_loss(void **state)
{
	Hirundo__V1__Loss m = HIRUNDO__V1__LOSS__INIT;

	(void)state;
	m.reason = HIRUNDO__V1__LOSS__REASON__RETENTION;
	ACCEPTED(m);
	REFUSED("reason: out of range", m, m.reason = 0);
	REFUSED("reason: out of range", m, m.reason = 5);
	REFUSED("last_checksum: not known, but set", m, m.last_checksum = 1);
	REFUSED("from_us, to_us: out of range", m, m.from_us = 1);
}

static void test_hello(void **state)
{
	Hirundo__V1__StreamOffer s = HIRUNDO__V1__STREAM_OFFER__INIT, t = s, *streams[] = {&s, &t};
	Hirundo__V1__OwnAddress a = HIRUNDO__V1__OWN_ADDRESS__INIT, *addresses[] = {&a};
	Hirundo__V1__Hello m = HIRUNDO__V1__HELLO__INIT;
	uint8_t net[16] = {192, 0, 2, 0};

	(void)state;
	s.epoch = 1;
	s.oldest_seq = 5;
	s.newest_seq = 4;
	t.epoch = 2;
	t.oldest_seq = 1;
	a.address = (ProtobufCBinaryData){4, net};
	a.prefix_length = 23;
	m.version_min = m.version_max = 1;
	m.streams = streams;
	m.n_streams = 2;
	m.addresses = addresses;
	m.n_addresses = 1;
	m.wall_us = NOW_US;
	ACCEPTED(m);
	REFUSED("version_min, version_max: out of range", m, m.version_min = 2);
	REFUSED("version_min, version_max: out of range", m, m.version_min = 0);
	REFUSED("streams: none", m, m.n_streams = 0);
	REFUSED("streams: an epoch comes twice", m, streams[1] = &s);
	streams[1] = &t;
	REFUSED("streams: oldest behind newest", m, s.oldest_seq = 6);
	s.oldest_seq = 5;
	REFUSED("streams: epoch out of range", m, s.epoch = 0);
	s.epoch = 1;
	REFUSED("streams: empty, but has a checksum", m, t.newest_checksum = 1);
	t.newest_checksum = 0;
	REFUSED("addresses: no address or prefix", m, a.prefix_length = 22; net[2] = 3);
	net[2] = 2;
	REFUSED("addresses: no address or prefix", m, a.prefix_length = 33);
	REFUSED("addresses: no address or prefix", m, a.prefix_length = 7);
	a.prefix_length = 24;
	REFUSED("addresses: no address or prefix", m, a.captured = (ProtobufCBinaryData){16, net});
	a.captured = a.address;
	ACCEPTED(m);
	a.address.len = 5;
	REFUSED("addresses: no address or prefix", m, (void)0);
	a.address = a.captured = (ProtobufCBinaryData){4, net};
	REFUSED("text is too long", m, char text[202]; memset(text, 'x', 201); text[201] = 0;
		m.software = text);
	REFUSED("text is not printable ASCII", m, m.software = (char *)"a\nb");
}

static void test_welcome(void **state)
{
	Hirundo__V1__StreamState s = HIRUNDO__V1__STREAM_STATE__INIT, *streams[] = {&s};
	Hirundo__V1__CapturePosition c = HIRUNDO__V1__CAPTURE_POSITION__INIT;
	Hirundo__V1__Welcome m = HIRUNDO__V1__WELCOME__INIT;
	uint32_t targets[] = {1, 300};

	(void)state;
	s.epoch = 7;
	m.version = 1;
	m.sensor_id = 1;
	m.credit_bytes = 1;
	m.streams = streams;
	m.n_streams = 1;
	m.targets = targets;
	m.n_targets = 2;
	ACCEPTED(m);
	REFUSED("version: out of range", m, m.version = 0);
	REFUSED("sensor_id: out of range", m, m.sensor_id = 0);
	REFUSED("credit_bytes: out of range", m, m.credit_bytes = 0);
	REFUSED("streams: nothing committed, but has a checksum", m, s.last_checksum = 1);
	s.last_checksum = 0;
	REFUSED("capture: out of range", m, m.capture = &c; c.ordinal = UINT64_MAX);
	c.ordinal = 5;
	REFUSED("capture: out of range", m, m.capture = &c; c.before = 6);
	c.before = 5;
	REFUSED("capture: out of range", m, m.capture = &c; c.epoch = UINT64_MAX);
	targets[1] = UINT32_MAX;
	REFUSED("targets: out of range", m, (void)0);
}

static void test_confirm(void **state)
{
	Hirundo__V1__Confirm m = HIRUNDO__V1__CONFIRM__INIT;
	Hirundo__V1__Confirmed c = HIRUNDO__V1__CONFIRMED__INIT;
	uint64_t seq[1025], checksum[1025] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(seq); i++)
		seq[i] = i + 1;
	m.epoch = 1;
	m.seq = seq;
	m.checksum = checksum;
	m.n_seq = m.n_checksum = 1024;
	ACCEPTED(m);
	REFUSED("too many entries", m, m.n_seq = m.n_checksum = 1025);
	REFUSED("seq, checksum: none, or not one for the other", m, m.n_checksum = 1023);
	REFUSED("seq, checksum: none, or not one for the other", m, m.n_seq = m.n_checksum = 0);
	seq[5] = seq[4];
	REFUSED("seq: not ascending or out of range", m, (void)0);
	c.epoch = 1;
	ACCEPTED(c);
	REFUSED("nothing confirmed, but has a checksum", c, c.checksum = 1);
	REFUSED("number out of range", c, c.seq = SEQ_MAX + 1);
}

static void test_refused_and_ping(void **state)
{
	Hirundo__V1__Refused m = HIRUNDO__V1__REFUSED__INIT;
	Hirundo__V1__Ping p = HIRUNDO__V1__PING__INIT;
	Hirundo__V1__Count part = HIRUNDO__V1__COUNT__INIT;

	(void)state;
	m.reason = HIRUNDO__V1__REFUSED__REASON__CAPTURE_TAKEN;
	m.text = (char *)"no HELLO in time";
	ACCEPTED(m);
	REFUSED("reason: out of range", m, m.reason = 0);
	REFUSED("reason: out of range", m, m.reason = 13);
	p.token = UINT64_MAX;
	ACCEPTED(p);
	REFUSED("not a message of its own", part, (void)0);
}

/* Bytes that protobuf would let pass. */
static void test_strict(void **state)
{
	static const struct {
		const char *reason, *bytes;
		size_t n;
	} cases[] = {
		{"unknown field", "\x10\x01", 2},
		{"unknown field", "\x00\x01", 2},
		{"field of another type", "\x08\x01", 2},
		{"field of another type", "\x0a\x08xxxxxxxx", 10},
		{"field of another type", "\x0b\x0c", 2},
		{"number is cut or too large", "\x09xxxxxxx", 8},
		{"single field comes twice", "\x09xxxxxxxx\x09xxxxxxxx", 18},
		{"field is cut", "\x89", 1},
		{"field is cut", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(verdict(&hirundo__v1__ping__descriptor,
					    (const uint8_t *)cases[i].bytes, cases[i].n),
			cases[i].reason);
	/* Loss: bool of 2, enum of 2^31; Hello: uint32 of 2^32; an unknown field one level down. */
	assert_string_equal(verdict(&hirundo__v1__loss__descriptor, (const uint8_t *)"\x18\x02", 2),
		"number is cut or too large");
	assert_string_equal(verdict(&hirundo__v1__loss__descriptor,
				    (const uint8_t *)"\x08\x80\x80\x80\x80\x08", 6),
		"number is cut or too large");
	assert_string_equal(verdict(&hirundo__v1__hello__descriptor,
				    (const uint8_t *)"\x08\x80\x80\x80\x80\x10", 6),
		"number is cut or too large");
	assert_string_equal(
		verdict(&hirundo__v1__hello__descriptor, (const uint8_t *)"\x3a\x02\x78\x01", 4),
		"unknown field");
	assert_string_equal(
		verdict(&hirundo__v1__hello__descriptor, (const uint8_t *)"\x3a\x05\x78\x01", 4),
		"field is cut");
}

/* A frame full of empty entries is refused before anything is allocated for them. */
static void test_counts(void **state)
{
	uint8_t *payload = malloc(FRAME_MAX);

	(void)state;
	assert_non_null(payload);
	for (size_t i = 0; i < FRAME_MAX; i++)
		payload[i] = i % 2 ? 0 : 0x42;
	assert_string_equal(
		verdict(&hirundo__v1__hello__descriptor, payload, FRAME_MAX), "too many entries");
	memset(payload, 1, FRAME_MAX);
	memcpy(payload, "\x32\xfb\xff\x3f", 4); /* targets: a million in one packed field */
	assert_string_equal(verdict(&hirundo__v1__welcome__descriptor, payload, FRAME_MAX - 1),
		"too many entries");
	free(payload);
}

static void test_pack_bounds(void **state)
{
	struct frame_header h = {.version = FRAME_VERSION, .type = FRAME_ACK, .epoch = 1, .seq = 2};
	struct frame_header back;
	struct buf out;

	(void)state;
	buf_init(&out, FRAME_HEADER_SIZE - 1);
	assert_int_equal(codec_pack_frame(&h, NULL, &out), -ENOBUFS);
	buf_done(&out);
	buf_init(&out, FRAME_MAX);
	assert_int_equal(codec_pack_frame(&h, NULL, &out), 0);
	assert_int_equal(frame_parse(buf_head(&out), buf_len(&out), FRAME_MAX, &back), FRAME_OK);
	assert_int_equal(back.seq, 2);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_welcome),
		cmocka_unit_test(test_confirm),
		cmocka_unit_test(test_refused_and_ping),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_pack_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
