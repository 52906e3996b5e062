#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "common/bytes.h"
#include "common/mem.h"
#include "sensor/classify.h"
#include "sensor/targets.h"

#define DST UINT32_C(0x0a000007) /* 10.0.0.7, captured */
#define PUBLIC UINT32_C(0xcb007107) /* 203.0.113.7 */
#define SYN 0x02

static struct targets *nat(void)
{
	struct targets *t;
	const char *reason;

	assert_int_equal(targets_new(&t), 0);
	assert_int_equal(targets_add(t, "10.0.0.7 = 203.0.113.7", &reason), 0);
	assert_int_equal(targets_add(t, "198.51.100.0/24", &reason), 0);
	assert_int_equal(targets_add(t, "2001:db8::1", &reason), 0);
	return t;
}

static struct packet packet(uint8_t protocol)
{
	struct packet p = {0};

	p.key.family = 4;
	p.key.protocol = protocol;
	p.key.present = HAS_SRC | HAS_PROTOCOL | HAS_TTL | HAS_IP_ID | HAS_IP_FLAGS | HAS_IP_LENGTH;
	store_be32(p.key.src, 0x08080808);
	store_be32(p.dst, DST);
	return p;
}

static struct packet tcp(uint8_t flags)
{
	struct packet p = packet(6);

	p.key.present |= HAS_SRC_PORT | HAS_DST_PORT | HAS_TCP_FLAGS | HAS_TCP_SEQ |
			 HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH | HAS_PAYLOAD_LENGTH;
	p.key.src_port = 40000;
	p.key.dst_port = 23;
	p.key.tcp_flags = flags;
	p.key.tcp_seq = 12345;
	p.key.tcp_window = 65535;
	p.key.tcp_header_length = 40;
	p.ip_id = 1;
	return p;
}

static uint32_t traits(struct packet p)
{
	struct targets *t = nat();

	classify_packet(&p, t);
	targets_free(t);
	return p.key.traits;
}

static void test_tcp(void **state)
{
	(void)state;
	assert_int_equal(traits(tcp(SYN)), 0);
	assert_int_equal(traits(tcp(0x10)), 0);
	assert_int_equal(traits(tcp(0x12)), TRAIT_BACKSCATTER_SYNACK);
	assert_int_equal(traits(tcp(0x52)), TRAIT_BACKSCATTER_SYNACK); /* with ECE */
	assert_int_equal(traits(tcp(0x04)), TRAIT_BACKSCATTER_RST);
	assert_int_equal(traits(tcp(0x14)), TRAIT_BACKSCATTER_RST);
}

static void test_keeps_traits_of_parse(void **state)
{
	struct packet p = tcp(0x14);

	(void)state;
	p.key.traits = TRAIT_BAD_CHECKSUM;
	assert_int_equal(traits(p), TRAIT_BAD_CHECKSUM | TRAIT_BACKSCATTER_RST);
}

static void test_mirai(void **state)
{
	struct packet p = tcp(SYN);

	(void)state;
	p.key.tcp_header_length = 20;
	p.key.tcp_seq = DST;
	assert_int_equal(traits(p), TRAIT_MIRAI | TRAIT_NO_TCP_OPTIONS);
	p.key.dst_port = 5555; /* variants use any port */
	assert_true(traits(p) & TRAIT_MIRAI);
	p.key.tcp_flags = 0xc2; /* the flags outside of 0x17 do not matter */
	assert_true(traits(p) & TRAIT_MIRAI);
	p.key.tcp_seq = PUBLIC; /* the scanner knows the public address */
	assert_true(traits(p) & TRAIT_MIRAI);
	p.key.tcp_seq = DST + 1;
	assert_false(traits(p) & TRAIT_MIRAI);
	p.key.tcp_seq = 0xc6336401; /* another own address is not this one */
	assert_false(traits(p) & TRAIT_MIRAI);
	p.key.tcp_seq = DST;
	p.key.tcp_flags = 0x12;
	assert_false(traits(p) & TRAIT_MIRAI);
	p.key.tcp_flags = SYN;
	p.key.present &= ~(uint32_t)HAS_TCP_SEQ;
	assert_false(traits(p) & TRAIT_MIRAI);
}

static void test_masscan(void **state)
{
	static const uint32_t dsts[] = {DST, PUBLIC};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(dsts); i++) {
		struct packet p = tcp(SYN);

		p.key.tcp_window = 1024;
		p.key.tcp_header_length = 20;
		p.key.tcp_seq = 0xdeadbeef;
		p.key.dst_port = 8443;
		/* 16 bits of a 32-bit formula: without the mask it never matches. */
		p.ip_id = (uint16_t)(dsts[i] ^ 8443 ^ 0xdeadbeef);
		assert_int_equal(traits(p), TRAIT_MASSCAN | TRAIT_NO_TCP_OPTIONS);
		p.ip_id ^= 1;
		assert_false(traits(p) & TRAIT_MASSCAN);
		p.ip_id ^= 1;
		p.key.tcp_window = 1025;
		assert_false(traits(p) & TRAIT_MASSCAN);
	}
}

static void test_zmap_nmap(void **state)
{
	struct packet p = tcp(SYN);

	(void)state;
	p.ip_id = 54321;
	assert_int_equal(traits(p), TRAIT_ZMAP);
	p.key.tcp_flags = 0x10;
	assert_int_equal(traits(p), 0);

	p = tcp(SYN);
	p.key.tcp_window = 1024;
	p.key.tcp_header_length = 24;
	p.key.present |= HAS_TCP_MSS;
	p.key.tcp_mss = 1460;
	assert_int_equal(traits(p), TRAIT_NMAP);
	p.key.ip_flags = 2;
	assert_int_equal(traits(p), 0);
	p.key.ip_flags = 0;
	p.key.tcp_mss = 1461;
	assert_int_equal(traits(p), 0);
	p.key.tcp_mss = 1460;
	p.key.tcp_header_length = 28;
	assert_int_equal(traits(p), 0);
}

static uint32_t icmp(uint8_t protocol, uint8_t type)
{
	struct packet p = packet(protocol);

	p.key.present |= HAS_ICMP_TYPE | HAS_ICMP_CODE;
	p.key.icmp_type = type;
	return traits(p);
}

static void test_icmp(void **state)
{
	static const uint8_t replies[] = {0, 14, 16, 18, 43}, errors[] = {3, 4, 5, 11, 12},
			     probes[] = {8, 9, 10, 13, 15, 17, 42};
	static const uint8_t replies6[] = {129, 136, 140, 161}, errors6[] = {1, 2, 3, 4, 100, 137},
			     probes6[] = {128, 133, 134, 135, 139, 143};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
		assert_int_equal(icmp(1, replies[i]), TRAIT_BACKSCATTER_ICMP_REPLY);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		assert_int_equal(icmp(1, errors[i]), TRAIT_BACKSCATTER_ICMP_ERROR);
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		assert_int_equal(icmp(1, probes[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(replies6); i++)
		assert_int_equal(icmp(58, replies6[i]), TRAIT_BACKSCATTER_ICMP_REPLY);
	for (size_t i = 0; i < ARRAY_SIZE(errors6); i++)
		assert_int_equal(icmp(58, errors6[i]), TRAIT_BACKSCATTER_ICMP_ERROR);
	for (size_t i = 0; i < ARRAY_SIZE(probes6); i++)
		assert_int_equal(icmp(58, probes6[i]), 0);
	assert_int_equal(traits(packet(1)), 0); /* cut before the type */
}

static uint32_t udp(uint16_t src_port, uint16_t dst_port, const char *payload)
{
	struct packet p = packet(17);

	p.key.present |= HAS_SRC_PORT | HAS_DST_PORT | HAS_PAYLOAD_LENGTH;
	p.key.src_port = src_port;
	p.key.dst_port = dst_port;
	p.ip = (const uint8_t *)payload;
	p.payload_captured = strlen(payload);
	return traits(p);
}

static void test_udp(void **state)
{
	static const uint16_t answers[] = {
		7, 19, 53, 111, 123, 161, 389, 1900, 3702, 5353, 11211, 47808};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_int_equal(udp(answers[i], 40000, ""), TRAIT_BACKSCATTER_UDP);
		assert_int_equal(udp(40000, answers[i], ""), 0);
	}
	assert_int_equal(udp(40000, 40001, ""), 0);
	assert_int_equal(udp(5060, 5060, "OPTIONS sip:"), 0);
	assert_int_equal(udp(53, 161, ""), 0); /* a scanner behind a trusted port */
	assert_int_equal(udp(53, 53, "\x12\x34\x81\x80"), TRAIT_BACKSCATTER_UDP);
	assert_int_equal(udp(53, 53, "\x12\x34\x01"), 0);
	assert_int_equal(udp(53, 53, "\x12\x34"), 0);
	assert_int_equal(udp(123, 123, "\x24"), TRAIT_BACKSCATTER_UDP);
	assert_int_equal(udp(123, 123, "\x23"), 0);
	assert_int_equal(udp(123, 123, "\xd7\x01"), TRAIT_BACKSCATTER_UDP); /* monlist answer */
	assert_int_equal(udp(123, 123, "\x17\x01"), 0);
	assert_int_equal(udp(123, 123, "\x16\x82"), TRAIT_BACKSCATTER_UDP);
}

static bool bogon(const char *src)
{
	struct packet p = packet(17);

	memset(p.key.src, 0, sizeof(p.key.src));
	if (strchr(src, ':'))
		p.key.family = 6;
	assert_int_equal(inet_pton(p.key.family == 6 ? AF_INET6 : AF_INET, src, p.key.src), 1);
	return traits(p) & TRAIT_BOGON_SOURCE;
}

static void test_bogon(void **state)
{
	static const char *const bogons[] = {"0.0.0.0", "0.255.255.255", "10.0.0.0",
		"10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.1.1",
		"172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.0.8", "192.0.0.255",
		"192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.0", "198.19.255.255",
		"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.0",
		"255.255.255.255", "::", "::1", "::ffff:8.8.8.8", "64:ff9b:1::1", "100::1",
		"2001:1::4", "2001:2::1", "2001:10::1", "2001:db8::1", "2001:100::1", "3fff::1",
		"3fff:fff::1", "4000::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1",
		"ff02::1"};
	static const char *const fine[] = {"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255",
		"100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255", "172.15.255.255",
		"172.32.0.0", "192.0.0.9", "192.0.0.10", "192.0.1.0", "192.0.3.0", "192.88.98.255",
		"192.31.196.1", "192.52.193.1", "192.175.48.1", "198.17.255.255", "198.20.0.0",
		"203.0.112.255", "203.0.114.0", "223.255.255.255", "64:ff9b::808:808", "2001::1",
		"2001:1::1", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1",
		"2001:200::1", "2001:4860::8888", "2002:808:808::1", "2620:4f:8000::1", "2a00::1",
		"3fff:1000::1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bogons); i++)
		if (!bogon(bogons[i]))
			fail_msg("%s", bogons[i]);
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		if (bogon(fine[i]))
			fail_msg("%s", fine[i]);
}

static void test_land(void **state)
{
	static const uint32_t own[] = {DST, PUBLIC, 0xc6336401, 0xc63364ff};
	struct packet p = tcp(SYN);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		store_be32(p.key.src, own[i]);
		assert_true(traits(p) & TRAIT_LAND);
	}
	store_be32(p.key.src, DST + 1);
	assert_false(traits(p) & TRAIT_LAND);

	/* Without targets (--print csv): the destination alone. */
	p = tcp(SYN);
	store_be32(p.key.src, DST);
	classify_packet(&p, NULL);
	assert_true(p.key.traits & TRAIT_LAND);
	p = tcp(SYN);
	store_be32(p.key.src, PUBLIC);
	classify_packet(&p, NULL);
	assert_false(p.key.traits & TRAIT_LAND);

	p = tcp(SYN);
	p.key.family = 6;
	memcpy(p.dst, (uint8_t[16]){0x20, 1, 0xd, 0xb8}, 16);
	memcpy(p.key.src, (uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
		16);
	assert_true(traits(p) & TRAIT_LAND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_keeps_traits_of_parse),
		cmocka_unit_test(test_mirai),
		cmocka_unit_test(test_masscan),
		cmocka_unit_test(test_zmap_nmap),
		cmocka_unit_test(test_icmp),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_bogon),
		cmocka_unit_test(test_land),
	};

	return cmocka_run_group_tests_name("classify", tests, NULL, NULL);
}
