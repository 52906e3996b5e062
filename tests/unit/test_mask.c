#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "common/bytes.h"
#include "common/mem.h"
#include "sensor/mask.h"
#include "sensor/targets.h"

#define CAPTURED UINT32_C(0x0a000007) /* 10.0.0.7 */
#define PUBLIC UINT32_C(0xcb007107) /* 203.0.113.7 */

struct arm {
	struct targets *t;
	struct mask *m;
};

static struct arm arm_of(const char *const *list)
{
	struct arm a;
	const char *reason = "";

	assert_int_equal(targets_new(&a.t), 0);
	for (uint32_t i = 0; list[i]; i++) {
		if (targets_add(a.t, list[i], &reason) != 0)
			fail_msg("%s: %s", list[i], reason);
		targets_issue(a.t, i, 100 * (i + 1));
	}
	assert_int_equal(mask_new(a.t, &a.m), 0);
	return a;
}

static void arm_free(struct arm *a)
{
	mask_free(a->m);
	targets_free(a->t);
}

static struct arm nat(void)
{
	static const char *const list[] = {"10.0.0.7 = 203.0.113.7", "198.51.100.0/24",
		"2001:db8:1:2::7", "2001:db8:5::/64", NULL};

	return arm_of(list);
}

static struct packet packet(uint32_t dst, uint8_t protocol)
{
	static const uint8_t ip[60] = {0x45};
	struct packet p = {.ip = ip, .ip_captured = sizeof(ip), .payload_offset = 28};

	p.key.family = 4;
	p.key.protocol = protocol;
	p.key.present = HAS_SRC | HAS_PROTOCOL | HAS_TTL | HAS_IP_ID | HAS_IP_FLAGS |
			HAS_IP_LENGTH | HAS_PAYLOAD_LENGTH;
	store_be32(p.key.src, 0x08080808);
	store_be32(p.dst, dst);
	return p;
}

static struct packet syn(uint32_t dst, uint32_t seq)
{
	struct packet p = packet(dst, 6);

	p.key.present |= HAS_SRC_PORT | HAS_DST_PORT | HAS_TCP_FLAGS | HAS_TCP_SEQ | HAS_TCP_ACK |
			 HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH;
	p.key.tcp_flags = 2;
	p.key.tcp_header_length = 20;
	p.key.tcp_seq = seq;
	p.key.tcp_ack = seq;
	p.key.dst_port = 23;
	p.ip_id = 0x4242;
	return p;
}

static bool seq_kept(const struct arm *a, uint32_t dst, uint32_t seq)
{
	struct packet p = syn(dst, seq);
	bool kept;

	assert_true(mask_fields(a->m, &p));
	kept = p.key.present & HAS_TCP_SEQ;
	assert_int_equal(p.key.tcp_seq, kept ? seq : 0);
	assert_int_equal(p.key.tcp_ack, kept ? seq : 0);
	assert_int_equal((p.key.present & HAS_TCP_ACK) != 0, kept);
	return kept;
}

static void test_target(void **state)
{
	struct arm a = nat();
	struct packet p = syn(CAPTURED, 1);

	(void)state;
	assert_true(mask_fields(a.m, &p));
	assert_int_equal(p.key.target, 100);
	assert_int_equal(p.ip_id, 0x4242);
	assert_true(p.key.present & HAS_SRC);
	p = syn(0xc6336409, 1);
	assert_true(mask_fields(a.m, &p));
	assert_int_equal(p.key.target, 209);
	p = syn(PUBLIC, 1); /* not as packets carry it */
	assert_false(mask_fields(a.m, &p));
	arm_free(&a);
}

static void test_sequence(void **state)
{
	static const char *const wide[] = {"11.0.0.0/8", NULL};
	static const char *const all[] = {"0.0.0.0/0", NULL};
	struct arm a = nat();
	const uint32_t own[] = {CAPTURED, PUBLIC, 0xc6336400, 0xc63364ff, 0xc6336455};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		for (int32_t d = -1; d <= 1; d++) {
			uint32_t v = own[i] + (uint32_t)d;

			assert_false(seq_kept(&a, CAPTURED, v));
			assert_false(seq_kept(&a, CAPTURED, __builtin_bswap32(v)));
			assert_false(
				seq_kept(&a, CAPTURED, __builtin_bswap32(own[i]) + (uint32_t)d));
		}
	}
	assert_true(seq_kept(&a, CAPTURED, CAPTURED + 2));
	assert_true(seq_kept(&a, CAPTURED, CAPTURED - 2));
	assert_true(seq_kept(&a, CAPTURED, 0xc6336502));
	assert_true(seq_kept(&a, CAPTURED, 0x12345678));
	arm_free(&a);

	a = arm_of(wide); /* of a short prefix: the /24 of the destination */
	assert_false(seq_kept(&a, 0x0b010203, 0x0b010203));
	assert_false(seq_kept(&a, 0x0b010203, 0x0b0102ff));
	assert_false(seq_kept(&a, 0x0b0102ff, 0x0b010300)); /* plus 1 */
	assert_true(seq_kept(&a, 0x0b010203, 0x0b020203));
	arm_free(&a);

	a = arm_of(all); /* the destination is all there is */
	assert_false(seq_kept(&a, 0x01020304, 0x01020304));
	assert_false(seq_kept(&a, 0x01020304, 0x04030201));
	assert_false(seq_kept(&a, 0x01020304, 0x01020305));
	assert_true(seq_kept(&a, 0x01020304, 0x01020306));
	arm_free(&a);
}

static void test_sequence6(void **state)
{
	struct arm a = nat();
	struct packet p = syn(0, 0x20010db8);

	(void)state;
	p.key.family = 6;
	memcpy(p.dst, (uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7}, 16);
	assert_true(mask_fields(a.m, &p));
	assert_int_equal(p.key.target, 300);
	assert_false(p.key.present & (HAS_TCP_SEQ | HAS_TCP_ACK));
	p.key.present |= HAS_TCP_SEQ;
	p.key.tcp_seq = PUBLIC; /* own, if of the other family */
	assert_true(mask_fields(a.m, &p));
	assert_false(p.key.present & HAS_TCP_SEQ);
	arm_free(&a);
}

static void test_masscan(void **state)
{
	const uint32_t by[] = {CAPTURED, PUBLIC};
	struct arm a = nat();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(by); i++) {
		struct packet p = syn(CAPTURED, 0xdeadbeef);

		p.key.tcp_window = 65535; /* not its usual window: no trait, and yet it tells */
		p.ip_id = (uint16_t)(by[i] ^ 23 ^ 0xdeadbeef);
		assert_true(mask_fields(a.m, &p));
		assert_false(p.key.present & HAS_IP_ID);
		assert_int_equal(p.ip_id, 0);
		assert_true(p.key.present & HAS_TCP_SEQ);
	}
	arm_free(&a);
}

static void test_land(void **state)
{
	static const char *const all[] = {"0.0.0.0/0", NULL};
	const uint32_t own[] = {CAPTURED, PUBLIC, 0xc6336455};
	struct arm a = nat();
	struct packet p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		p = syn(CAPTURED, 1);
		store_be32(p.key.src, own[i]);
		assert_true(mask_fields(a.m, &p));
		assert_false(p.key.present & HAS_SRC);
		assert_int_equal(load_be32(p.key.src), 0);
	}
	arm_free(&a);
	a = arm_of(all);
	p = syn(0x01020304, 1);
	store_be32(p.key.src, 0x01020304);
	assert_true(mask_fields(a.m, &p));
	assert_false(p.key.present & HAS_SRC);
	arm_free(&a);
}

/* Masks n bytes that were sent to the captured address. */
static void mask_bytes(uint8_t *b, size_t n, uint8_t protocol)
{
	struct arm a = nat();
	struct packet p = packet(CAPTURED, protocol);

	p.key.tcp_header_length = 20;
	p.payload_offset = 40;
	mask_payload(a.m, &p, b, n);
	arm_free(&a);
}

static void check_text(const char *in, const char *out)
{
	char b[300];
	size_t n = strlen(in);

	assert_true(n < sizeof(b));
	memcpy(b, in, n + 1);
	mask_bytes((uint8_t *)b, n, 17);
	assert_string_equal(b, out);
}

static void test_text4(void **state)
{
	static const char *const cases[][2] = {
		{"GET / HTTP/1.1\r\nHost: 203.0.113.7\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: 00000.0.0.0\r\n\r\n"},
		{"Host: 10.0.0.7:80", "Host: 00.0.0.0:80"},
		{"OPTIONS sip:100@203.0.113.7 SIP/2.0", "OPTIONS sip:100@00000.0.0.0 SIP/2.0"},
		{"[203.000.113.007]", "[000000000.0.0.0]"},
		{"x 198.51.100.255 y", "x 00000000.0.0.0 y"},
		{"7.113.0.203.in-addr.arpa", "00000.0.0.0.in-addr.arpa"},
		{"113.0.203.in-addr.arpa", "000000000.in-addr.arpa"},
		{"ec2-203-0-113-7.example", "ec2-00000-0-0-0.example"},
		{"7-113-0-203.example", "00000-0-0-0.example"},
		{"h203000113007.example", "h000000000000.example"},
		{"203[.]0[.]113[.]7 ", "00000000000000000 "},
		{"203\\.0\\.113\\.7 ", "00000000000000 "},
		{"PORT 203,0,113,7,4,1", "PORT 00000,0,0,0,4,1"},
		{"cb007107 ", "00000000 "},
		{"0xCB007107 ", "0x00000000 "},
		{"077100CBff", "00000000ff"}, /* the other order */
		{"a000007 ", "0000000 "},
		{"cb.00.71.07 ", "00.00.00.00 "},
		{"cb:00:71:07 ", "00:00:00:00 "},
		{"0xcb.0x0.0x71.0x7 ", "00000000000000000 "},
		{"0313.0000.0161.0007 ", "0000.0000.0000.0000 "},
		{"id=3405803783;", "id=0000000000;"},
		{"id=-889163513;", "id=-000000000;"},
		{"id=124846283;", "id=000000000;"}, /* the other order */
		{"q=203%2E0%2E113%2e7 ", "q=00000000000000000 "},
		{"q=%32%30%33.0.113.7 ", "q=00000000000000000 "},
		{"q=%cb%00%71%07 ", "q=%00%00%00%00 "},
		{"\\xcb\\x00\\x71\\x07 ", "\\x00\\x00\\x00\\x00 "},
		{"::ffff:203.0.113.7 ", "::ffff:00000.0.0.0 "},
		{"::ffff:cb00:7107 ", "0000000000000::0 "},
		{"2002:cb00:7107::1 ", "00000000000000::0 "},
		/* Not ours. */
		{"203.0.113.8 203.0.112.7 1.2.3.4 192.168.1.1 ", NULL},
		{"3405803784 cb007108 4.113.0.203 ", NULL},
		{"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 ", NULL},
		{"M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nMX: 3\r\n ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_text(cases[i][0], cases[i][1] ? cases[i][1] : cases[i][0]);
}

static void test_text6(void **state)
{
	static const char *const cases[][2] = {
		{"[2001:db8:1:2::7]:80", "[000000000000::0]:80"},
		{"2001:0DB8:0001:0002:0000:0000:0000:0007 ",
			"000000000000000000000000000000000000::0 "},
		{"2001:db8:1:2:0:0:0:7 ", "00000000000000000::0 "},
		{"2001:db8:1:2::0.0.0.7 ", "000000000000::0.0.0.7 "},
		{"2001:db8:1:2::8 ", "000000000000::0 "}, /* its network tells */
		{"2001:db8:5::1:2:3 ", "00000000000000::0 "},
		{"ff02::1:ff00:7 ", "00000000000::0 "},
		{"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
			"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"},
		{"2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
			"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"},
		{"2001:db8:1:3::7 2001:db8:6::1 fe80::1 ff02::1 :: ::1 12:30:45 ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_text(cases[i][0], cases[i][1] ? cases[i][1] : cases[i][0]);
}

static void test_cut(void **state)
{
	static const char *const cases[][2] = {
		{"Host: 203.0.113.", "Host: 0000000000"},
		{"Host: 203.0.11", "Host: 00000000"},
		{"Host: 203.0.", "Host: 000000"},
		{"Host: 203.", "Host: 0000"},
		{"Host: 198.51.100.2", "Host: 000000.0.0.0"},
		{"Host: 7.113.0", "Host: 0000000"},
		{"ip=cb0071", "ip=000000"},
		{"ip=cb00", "ip=0000"},
		{"ip=340580378", "ip=000000000"},
		{"ip=34058", "ip=00000"},
		{"Host: 10.0", "Host: 0000"},
	};
	uint8_t b[3] = {0xff, 0xcb, 0x00};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_text(cases[i][0], cases[i][1]);
	mask_bytes(b, 3, 17);
	assert_memory_equal(b, ((uint8_t[]){0xff, 0, 0}), 3);
	memcpy(b, (uint8_t[]){0x07, 0x71, 0x00}, 3); /* the other order */
	mask_bytes(b, 3, 17);
	assert_memory_equal(b, ((uint8_t[]){0, 0, 0}), 3);
}

static void test_binary(void **state)
{
	uint8_t b[40];

	(void)state;
	for (size_t at = 0; at + 4 <= sizeof(b); at++) {
		memset(b, 0xee, sizeof(b));
		store_be32(b + at, PUBLIC);
		mask_bytes(b, sizeof(b), 17);
		for (size_t i = 0; i < sizeof(b); i++)
			assert_int_equal(b[i], i >= at && i < at + 4 ? 0 : 0xee);
		store_be32(b + at, __builtin_bswap32(CAPTURED));
		mask_bytes(b, sizeof(b), 17);
		assert_int_equal(load_be32(b + at), 0);
	}
	/* STUN: XOR-MAPPED-ADDRESS. */
	memset(b, 0, sizeof(b));
	store_be32(b + 4, 0x2112a442);
	store_be32(b + 28, PUBLIC ^ 0x2112a442);
	mask_bytes(b, sizeof(b), 17);
	assert_int_equal(load_be32(b + 28), 0);
	assert_int_equal(load_be32(b + 4), 0x2112a442);
	/* A neighbour solicitation: its target; the multicast group of an unknown host. */
	memcpy(b, (uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7}, 16);
	memcpy(b + 16, (uint8_t[16]){0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 1, 2, 3}, 16);
	mask_bytes(b, 32, 58);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(b[i], 0);
	assert_memory_equal(
		b + 16, ((uint8_t[16]){0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0}), 16);
}

static void test_dns_labels(void **state)
{
	static const uint8_t in[] = "\x01"
				    "7\x03"
				    "113\x01"
				    "0\x03"
				    "203\x07in-addr\x04"
				    "arpa";
	static const uint8_t out[] = "\x05"
				     "00000\x01"
				     "0\x01"
				     "0\x01"
				     "0\x07in-addr\x04"
				     "arpa";
	uint8_t b[sizeof(in)];

	(void)state;
	assert_int_equal(sizeof(in), sizeof(out));
	memcpy(b, in, sizeof(in));
	mask_bytes(b, sizeof(b), 17);
	assert_memory_equal(b, out, sizeof(b));
}

static void test_wide(void **state)
{
	uint8_t b[64] = {0};
	const char *text = "\\\\203.0.113.7\\IPC$";
	const char *out = "\\\\00000.0.0.0\\IPC$";

	(void)state;
	for (size_t first = 0; first < 2; first++) {
		memset(b, 0, sizeof(b));
		for (size_t i = 0; text[i]; i++)
			b[first + 2 * i] = (uint8_t)text[i];
		mask_bytes(b, sizeof(b), 17);
		for (size_t i = 0; out[i]; i++)
			assert_int_equal(b[first + 2 * i], (uint8_t)out[i]);
	}
}

/* Longer than what is searched: gone rather than seen. */
static void test_long(void **state)
{
	uint8_t b[MASK_PAYLOAD_MAX + 50];

	(void)state;
	memset(b, 'x', sizeof(b));
	mask_bytes(b, sizeof(b), 17);
	assert_int_equal(b[MASK_PAYLOAD_MAX - 1], 'x');
	assert_int_equal(b[MASK_PAYLOAD_MAX], 0);
	assert_int_equal(b[sizeof(b) - 1], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_sequence6),
		cmocka_unit_test(test_masscan),
		cmocka_unit_test(test_land),
		cmocka_unit_test(test_text4),
		cmocka_unit_test(test_text6),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_dns_labels),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests_name("mask", tests, NULL, NULL);
}
