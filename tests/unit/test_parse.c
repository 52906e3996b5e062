/* Packets in: what tests/functional/test_tshark.py cannot see (borrowed bytes, traits, sums,
 * files). The fields themselves are compared with tshark there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pcap/dlt.h>

#include "common/bytes.h"
#include "sensor/parse.h"

/* 198.51.100.7:4000 -> 203.0.113.9:23, SYN with MSS 1460, checksums right. */
static const uint8_t SYN[] = {0x45, 0, 0, 44, 0xd4, 0x31, 0x40, 0, 53, 6, 0xa4, 0xd5, 198, 51, 100,
	7, 203, 0, 113, 9, /**/
	0x0f, 0xa0, 0, 23, 0xcb, 0, 0x71, 9, 0, 0, 0, 0, 0x60, 2, 0x16, 0xd0, 0x5a, 0xff, 0, 0, /**/
	2, 4, 5, 0xb4};

static struct packet parsed(const uint8_t *data, size_t captured, size_t wire)
{
	struct packet p = {.time_us = 42};

	assert_int_equal(parse_packet(DLT_RAW, data, captured, wire, &p), PARSE_OK);
	assert_int_equal(p.time_us, 42);
	return p;
}

/* Sums as a sender makes them: RFC 1071, here word by word. */
static uint16_t checksum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += load_be16(p + i);
	if (n % 2)
		sum += (uint32_t)p[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void seal(uint8_t *ip, size_t n)
{
	uint32_t pseudo = ip[9] + (uint32_t)n - 20;

	for (int i = 12; i < 20; i += 2)
		pseudo += load_be16(ip + i);
	store_be16(ip + 10, 0);
	store_be16(ip + 10, checksum(ip, 20, 0));
	store_be16(ip + 36, 0);
	store_be16(ip + 36, checksum(ip + 20, n - 20, pseudo));
}

static void test_syn(void **state)
{
	uint8_t data[sizeof(SYN) + 3] = {0};
	struct packet p;

	(void)state;
	memcpy(data, SYN, sizeof(SYN));
	seal(data, sizeof(SYN));
	p = parsed(data, sizeof(data), sizeof(data)); /* with a trailer */
	assert_int_equal(p.key.traits, 0);
	assert_int_equal(p.key.present,
		HAS_SRC | HAS_SRC_PORT | HAS_DST_PORT | HAS_IP_ID | HAS_IP_FLAGS | HAS_TCP_FLAGS |
			HAS_TCP_SEQ | HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH | HAS_TCP_MSS |
			HAS_PAYLOAD_LENGTH | HAS_IP_LENGTH | HAS_TTL | HAS_PROTOCOL);
	assert_int_equal(p.key.family, 4);
	assert_int_equal(p.key.tcp_seq, 0xcb007109);
	assert_int_equal(p.key.tcp_mss, 1460);
	assert_int_equal(p.key.payload_length, 0);
	assert_memory_equal(p.key.src, "\xc6\x33\x64\x07\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(p.dst, "\xcb\x00\x71\x09\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_ptr_equal(p.ip, data);
	assert_int_equal(p.ip_captured, sizeof(SYN));
	assert_int_equal(p.payload_offset, sizeof(SYN));
	assert_int_equal(p.payload_captured, 0);

	data[33] = 0x12; /* SYN-ACK: an acknowledgement of 0 is one */
	seal(data, sizeof(SYN));
	assert_true(parsed(data, sizeof(SYN), sizeof(SYN)).key.present & HAS_TCP_ACK);
}

/* Each single bit flipped behind the addresses makes one of the sums wrong, or is a contradiction.
 */
static void test_sums(void **state)
{
	uint8_t data[64] = {0};
	struct packet p;

	(void)state;
	memcpy(data, SYN, sizeof(SYN));
	memcpy(data + sizeof(SYN), "odd payload", 11);
	store_be16(data + 2, sizeof(SYN) + 11);
	seal(data, sizeof(SYN) + 11);
	p = parsed(data, sizeof(SYN) + 11, sizeof(SYN) + 11);
	assert_int_equal(p.key.traits, 0);
	assert_int_equal(p.key.payload_length, 11);
	assert_memory_equal(p.ip + p.payload_offset, "odd payload", p.payload_captured);
	for (size_t bit = 12 * 8; bit < (sizeof(SYN) + 11) * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		p = parsed(data, sizeof(SYN) + 11, sizeof(SYN) + 11);
		assert_true(p.key.traits & (TRAIT_BAD_CHECKSUM | TRAIT_MALFORMED));
		/* cut: nobody can tell */
		p = parsed(data, sizeof(SYN) + 10, sizeof(SYN) + 11);
		if (bit >= 20 * 8)
			assert_false(p.key.traits & TRAIT_BAD_CHECKSUM);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* Cut anywhere: no read behind the cut (the sanitizer watches an exact heap copy), and the payload
 * that is handed out lies within the packet. */
static void test_cut(void **state)
{
	struct packet p;

	(void)state;
	for (size_t n = 0; n <= sizeof(SYN); n++) {
		AUTO_FREE uint8_t *copy = malloc(n + 1);

		assert_non_null(copy);
		memcpy(copy, SYN, n);
		if (n < 20) {
			assert_int_equal(parse_packet(DLT_RAW, copy, n, sizeof(SYN), &p),
				PARSE_IP_TRUNCATED);
			continue;
		}
		p = parsed(copy, n, sizeof(SYN));
		assert_int_equal(!!(p.key.traits & TRAIT_TRUNCATED), n < sizeof(SYN));
		assert_int_equal(!!(p.key.present & HAS_SRC_PORT), n >= 24);
		assert_int_equal(!!(p.key.present & HAS_TCP_SEQ), n >= 36);
		assert_int_equal(!!(p.key.present & HAS_TCP_MSS), n >= 44);
		assert_true(p.payload_offset + p.payload_captured <= p.ip_captured);
		assert_int_equal(p.ip_captured, n);
		/* the frame really ends there: it contradicts itself */
		p = parsed(copy, n, n);
		assert_int_equal(!!(p.key.traits & TRAIT_MALFORMED), n < sizeof(SYN));
		assert_false(p.key.traits & TRAIT_TRUNCATED);
	}
}

/* A key is compared as bytes: what one packet leaves behind must not show in the next. */
static void test_keys_compare(void **state)
{
	uint8_t udp[28] = {0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 53,
		0, 53, 0, 8};
	struct packet clean = {0}, used;

	(void)state;
	memset(&used, 0xa5, sizeof(used));
	assert_int_equal(parse_packet(DLT_RAW, SYN, sizeof(SYN), sizeof(SYN), &used), PARSE_OK);
	assert_int_equal(parse_packet(DLT_RAW, udp, sizeof(udp), sizeof(udp), &used), PARSE_OK);
	assert_int_equal(parse_packet(DLT_RAW, udp, sizeof(udp), sizeof(udp), &clean), PARSE_OK);
	assert_memory_equal(&used.key, &clean.key, sizeof(clean.key));
	assert_memory_equal(used.dst, clean.dst, sizeof(clean.dst));
}

/* UDP: the payload ends where UDP says, not where IP does. */
static void test_udp_payload(void **state)
{
	uint8_t udp[40] = {0x45, 0, 0, 40, 0, 1, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 53,
		0, 53, 0, 12};
	struct packet p;

	(void)state;
	p = parsed(udp, sizeof(udp), sizeof(udp));
	assert_int_equal(p.key.payload_length, 4);
	assert_int_equal(p.payload_captured, 4);
	udp[25] = 200; /* more than there is */
	p = parsed(udp, sizeof(udp), sizeof(udp));
	assert_int_equal(p.key.payload_length, 192);
	assert_int_equal(p.payload_captured, 12);
	assert_true(p.key.traits & TRAIT_MALFORMED);
}

static void test_reasons(void **state)
{
	static const uint8_t arp[60] = {[12] = 8, [13] = 6};
	uint8_t bad[20] = {0x44, 0, 0, 20};
	struct packet p;

	(void)state;
	assert_int_equal(parse_packet(DLT_EN10MB, arp, sizeof(arp), sizeof(arp), &p), PARSE_NOT_IP);
	assert_int_equal(parse_packet(DLT_EN10MB, arp, 13, sizeof(arp), &p), PARSE_LINK_TRUNCATED);
	assert_int_equal(parse_packet(DLT_USB_LINUX, arp, sizeof(arp), sizeof(arp), &p),
		PARSE_LINK_UNSUPPORTED);
	assert_int_equal(
		parse_packet(DLT_RAW, bad, sizeof(bad), sizeof(bad), &p), PARSE_IP_MALFORMED);
	for (int r = 0; r < PARSE_RES_N; r++)
		assert_string_not_equal(parse_res_str((enum parse_res)r), "?");
	assert_true(parse_linktype_supported(DLT_LINUX_SLL2));
	assert_false(parse_linktype_supported(DLT_USB_LINUX));
}

/* As many tags as a frame can hold: walked without recursion. */
static void test_many_tags(void **state)
{
	AUTO_FREE uint8_t *frame = calloc(1, 262144);
	struct packet p;
	size_t n = 12;

	(void)state;
	assert_non_null(frame);
	while (n + 4 + sizeof(SYN) + 2 < 262144) {
		memcpy(frame + n, "\x81\0\0\1", 4);
		n += 4;
	}
	memcpy(frame + n, "\x08\0", 2);
	memcpy(frame + n + 2, SYN, sizeof(SYN));
	assert_int_equal(parse_packet(DLT_EN10MB, frame, 262144, 262144, &p), PARSE_OK);
	assert_int_equal(p.key.dst_port, 23);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syn),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_keys_compare),
		cmocka_unit_test(test_udp_payload),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_many_tags),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
