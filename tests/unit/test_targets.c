#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pcap/pcap.h>

#include "common/bytes.h"
#include "sensor/targets.h"

static const uint8_t *addr4(const char *text)
{
	static uint8_t addr[16];

	memset(addr, 0, sizeof(addr));
	assert_int_equal(inet_pton(AF_INET, text, addr), 1);
	return addr;
}

static const uint8_t *addr6(const char *text)
{
	static uint8_t addr[16];

	assert_int_equal(inet_pton(AF_INET6, text, addr), 1);
	return addr;
}

static struct targets *targets_of(const char *const *list)
{
	struct targets *t;
	const char *reason = "";

	assert_int_equal(targets_new(&t), 0);
	for (; *list; list++)
		if (targets_add(t, *list, &reason) != 0)
			fail_msg("%s: %s", *list, reason);
	return t;
}

static void test_text(void **state)
{
	static const struct {
		const char *text;
		const char *reason; /* NULL = good */
	} cases[] = {
		{"203.0.113.7", NULL},
		{" 203.0.113.7\t", NULL},
		{"203.0.113.0/24", NULL},
		{"10.0.0.7 = 203.0.113.7", NULL},
		{"10.0.0.0/24=203.0.113.0/24", NULL},
		{"2001:db8::/64", NULL},
		{"fd00::1 = 2001:db8::1", NULL},
		{"0.0.0.0/0", NULL},
		{"::/0", NULL},
		{"11.0.0.0/8", NULL},
		{"", "no IPv4 or IPv6 address"},
		{"localhost", "no IPv4 or IPv6 address"},
		{"203.0.113", "no IPv4 or IPv6 address"},
		{"203.0.113.256", "no IPv4 or IPv6 address"},
		{"10.0.0.7 =", "no IPv4 or IPv6 address"},
		{"10.0.0.7 = 1.2.3.4 = 5.6.7.8", "no IPv4 or IPv6 address"},
		{"203.0.113.7/", "the prefix length is no number"},
		{"203.0.113.7/x", "the prefix length is no number"},
		{"203.0.113.7/-1", "the prefix length is no number"},
		{"203.0.113.7/32 x", "the prefix length is no number"},
		{"203.0.113.7/33", "the prefix length is too long"},
		{"2001:db8::/129", "the prefix length is too long"},
		{"203.0.113.7/24", "bits behind the prefix length are set"},
		{"2001:db8::1/64", "bits behind the prefix length are set"},
		{"203.0.113.7/0", "bits behind the prefix length are set"},
		{"10.0.0.0/7", "an IPv4 prefix is shorter than /8"},
		{"10.0.0.7 = 2001:db8::1", "captured and public address are of different families"},
		{"10.0.0.0/24 = 203.0.113.0/25", "captured and public prefix differ in length"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct targets *t;
		const char *reason = NULL;

		assert_int_equal(targets_new(&t), 0);
		assert_int_equal(
			targets_add(t, cases[i].text, &reason), cases[i].reason ? -EINVAL : 0);
		if (cases[i].reason)
			assert_string_equal(reason, cases[i].reason);
		assert_int_equal(targets_n(t), cases[i].reason ? 0 : 1);
		targets_free(t);
	}
}

static void test_overlap(void **state)
{
	static const char *const pairs[][2] = {
		{"203.0.113.7", "203.0.113.7"},
		{"203.0.113.0/24", "203.0.113.7"},
		{"203.0.113.7", "203.0.113.0/24"},
		{"10.0.0.1 = 203.0.113.7", "10.0.0.2 = 203.0.113.7"},
		{"10.0.0.1 = 203.0.113.7", "10.0.0.1 = 203.0.113.8"},
		{"0.0.0.0/0", "203.0.113.7"},
		{"203.0.113.7", "0.0.0.0/0"},
		{"2001:db8::/32", "2001:db8:1::/48"},
		{"2001:db8:1::/48", "2001:db8::/32"},
	};
	static const char *const apart[] = {"203.0.113.0/25", "203.0.113.128/25", "::/0",
		"10.0.0.1 = 198.51.100.1", "198.51.100.2", NULL};
	const char *reason;

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct targets *t;

		assert_int_equal(targets_new(&t), 0);
		assert_int_equal(targets_add(t, pairs[i][0], &reason), 0);
		assert_int_equal(targets_add(t, pairs[i][1], &reason), -EINVAL);
		assert_string_equal(reason, "it overlaps another address of this sensor");
		assert_int_equal(targets_n(t), 1);
		targets_free(t);
	}
	targets_free(targets_of(apart));
}

static void test_find(void **state)
{
	static const char *const all[] = {"0.0.0.0/0", "2001:db8::1", NULL};
	static const char *const list[] = {"203.0.113.7", "198.51.100.0/24",
		"10.1.0.0/16 = 100.64.0.0/16", "2001:db8:1::/64", "2001:db8:2::9", NULL};
	struct targets *t = targets_of(list);
	uint8_t public[16];
	uint32_t o = 99;

	(void)state;
	assert_false(targets_all_issued(t));
	for (size_t i = 0; i < targets_n(t); i++)
		targets_issue(t, i, (uint32_t)(1000 * (i + 1)));
	assert_true(targets_all_issued(t));
	assert_true(targets_find(t, 4, addr4("203.0.113.7"), &o));
	assert_int_equal(o, 1000);
	assert_false(targets_find(t, 4, addr4("203.0.113.8"), &o));
	assert_true(targets_find(t, 4, addr4("198.51.100.255"), &o));
	assert_int_equal(o, 2255);
	assert_true(targets_find(t, 4, addr4("10.1.2.3"), &o));
	assert_int_equal(o, 3000 + 2 * 256 + 3);
	assert_false(
		targets_find(t, 4, addr4("100.64.2.3"), &o)); /* public: no packet carries it */
	assert_true(targets_find(t, 6, addr6("2001:db8:1::ffff"), &o));
	assert_int_equal(o, 4000);
	assert_true(targets_find(t, 6, addr6("2001:db8:2::9"), &o));
	assert_int_equal(o, 5000);
	assert_false(targets_find(t, 6, addr6("2001:db8:2::8"), &o));

	assert_true(targets_own(t, 4, addr4("100.64.2.3")));
	assert_true(targets_own(t, 4, addr4("10.1.2.3")));
	assert_int_equal(targets_own_length(t, 4, addr4("100.64.2.3")), 16);
	assert_int_equal(targets_own_length(t, 4, addr4("198.51.100.1")), 24);
	assert_int_equal(targets_own_length(t, 4, addr4("198.51.101.1")), 0);
	assert_int_equal(targets_own_length(t, 6, addr6("2001:db8:1::5")), 64);
	assert_true(targets_public(t, 4, addr4("10.1.2.3"), public));
	assert_memory_equal(public, addr4("100.64.2.3"), 4);
	assert_true(targets_public(t, 6, addr6("2001:db8:2::9"), public));
	assert_memory_equal(public, addr6("2001:db8:2::9"), 16);
	assert_false(targets_public(t, 4, addr4("9.9.9.9"), public));
	targets_free(t);

	t = targets_of(all);
	assert_false(targets_all_issued(t));
	targets_issue(t, 1, 5);
	assert_true(targets_all_issued(t)); /* what takes everything needs none */
	assert_true(targets_find(t, 4, addr4("8.8.8.8"), &o));
	assert_int_equal(o, 0);
	assert_false(targets_own(t, 4, addr4("8.8.8.8")));
	assert_false(targets_find(t, 6, addr6("2001:db8::2"), &o));
	assert_true(targets_public(t, 4, addr4("8.8.8.8"), public));
	assert_memory_equal(public, addr4("8.8.8.8"), 4);
	targets_free(t);
}

/* Against a plain search, over many random entries and addresses. */
static void test_find_many(void **state)
{
	struct targets *t;
	const char *reason;
	uint32_t x = 1;
	char text[64];

	(void)state;
	assert_int_equal(targets_new(&t), 0);
	for (size_t i = 0; i < 3000; i++) {
		unsigned length = 20 + (unsigned)(i % 13);
		uint32_t a;

		x = x * 1664525 + 1013904223;
		a = x & (UINT32_MAX << (32 - length));
		snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", a >> 24, a >> 16 & 255, a >> 8 & 255,
			a & 255, length);
		if (targets_add(t, text, &reason) == 0)
			targets_issue(t, targets_n(t) - 1, x);
	}
	assert_true(targets_n(t) > 2500);
	for (size_t i = 0; i < 20000; i++) {
		uint32_t a, ordinal = 0, expected = 0;
		bool found = false;
		uint8_t addr[16] = {0};

		x = x * 1664525 + 1013904223;
		a = x;
		if (i % 2) /* half of them near an entry */
			a = load_be32(targets_at(t, i % targets_n(t))->captured) + (x >> 16) % 2048;
		store_be32(addr, a);
		for (size_t k = 0; k < targets_n(t); k++) {
			const struct target *e = targets_at(t, k);
			uint32_t base = load_be32(e->captured);

			if ((a & (UINT32_MAX << (32 - e->prefix_length))) == base) {
				found = true;
				expected = e->first + (a - base);
			}
		}
		assert_int_equal(targets_find(t, 4, addr, &ordinal), found);
		assert_int_equal(ordinal, expected);
	}
	targets_free(t);
}

/* A frame: link header of the type, up to two VLAN tags, IP header, TCP ports. @return its length
 */
static size_t frame(uint8_t *b, int dlt, unsigned tags, const char *src, const char *dst,
	uint16_t src_port, uint16_t dst_port, uint8_t protocol)
{
	bool v6 = strchr(dst, ':') != NULL;
	size_t n = 0;

	memset(b, 0, 128);
	if (dlt == DLT_EN10MB) {
		n = 12;
		for (; tags > 0; tags--, n += 4)
			store_be16(b + n, tags == 2 ? 0x88a8 : 0x8100);
		store_be16(b + n, v6 ? 0x86dd : 0x0800);
		n += 2;
	} else if (dlt == DLT_LINUX_SLL) {
		store_be16(b + 14, v6 ? 0x86dd : 0x0800);
		n = 16;
	} else if (dlt == DLT_LINUX_SLL2) {
		store_be16(b, v6 ? 0x86dd : 0x0800);
		n = 20;
	}
	if (v6) {
		b[n] = 0x60;
		b[n + 5] = 20;
		b[n + 6] = protocol;
		b[n + 7] = 64;
		memcpy(b + n + 8, addr6(src), 16);
		memcpy(b + n + 24, addr6(dst), 16);
		n += 40;
	} else {
		b[n] = 0x45;
		b[n + 3] = 40;
		b[n + 9] = protocol;
		memcpy(b + n + 12, addr4(src), 4);
		memcpy(b + n + 16, addr4(dst), 4);
		n += 20;
	}
	store_be16(b + n, src_port);
	store_be16(b + n + 2, dst_port);
	return n + 20;
}

static void check_bpf(const struct targets *t, const char *collector, const char *src,
	const char *dst, uint16_t src_port, uint16_t dst_port, uint8_t protocol, bool passes)
{
	static const int dlts[] = {DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2};

	for (size_t i = 0; i < sizeof(dlts) / sizeof(dlts[0]); i++) {
		char *text = targets_bpf(t, dlts[i], collector, 8443);
		pcap_t *dead = pcap_open_dead(dlts[i], 65535);
		struct bpf_program program;

		assert_non_null(text);
		if (pcap_compile(dead, &program, text, 1, PCAP_NETMASK_UNKNOWN) < 0)
			fail_msg("%s: %s", text, pcap_geterr(dead));
		for (unsigned tags = 0; tags <= (dlts[i] == DLT_EN10MB ? 2 : 0); tags++) {
			uint8_t b[128];
			size_t n = frame(b, dlts[i], tags, src, dst, src_port, dst_port, protocol);
			struct pcap_pkthdr h = {.caplen = (bpf_u_int32)n, .len = (bpf_u_int32)n};

			if ((pcap_offline_filter(&program, &h, b) != 0) != passes)
				fail_msg("dlt %d, %u tags, %s:%u -> %s:%u protocol %u must %s",
					dlts[i], tags, src, src_port, dst, dst_port, protocol,
					passes ? "pass" : "not pass");
		}
		pcap_freecode(&program);
		pcap_close(dead);
		free(text);
	}
}

static void test_bpf(void **state)
{
	static const char *const list[] = {"10.0.0.7 = 203.0.113.7", "198.51.100.0/24",
		"2001:db8:1::/64", "2001:db8:2::9", NULL};
	static const char *const all[] = {"0.0.0.0/0", "::/0", NULL};
	struct targets *t = targets_of(list);

	(void)state;
	check_bpf(t, NULL, "8.8.8.8", "10.0.0.7", 53, 1024, 17, true);
	check_bpf(t, NULL, "8.8.8.8", "203.0.113.7", 53, 1024, 17, false);
	check_bpf(t, NULL, "8.8.8.8", "10.0.0.8", 53, 1024, 6, false);
	check_bpf(t, NULL, "8.8.8.8", "198.51.100.200", 0, 0, 47, true);
	check_bpf(t, NULL, "198.51.100.200", "8.8.8.8", 0, 0, 6, false); /* own, sent */
	check_bpf(t, NULL, "10.0.0.7", "10.0.0.7", 80, 80, 6, true); /* LAND */
	check_bpf(t, NULL, "2001:db8:9::1", "2001:db8:1::77", 1, 2, 6, true);
	check_bpf(t, NULL, "2001:db8:9::1", "2001:db8:2::9", 1, 2, 58, true);
	check_bpf(t, NULL, "2001:db8:9::1", "2001:db8:2::8", 1, 2, 6, false);
	check_bpf(t, NULL, "2001:db8:2::9", "2001:db8:9::1", 1, 2, 6, false);
	/* The connection to the collector, and its neighbours. */
	check_bpf(t, "192.0.2.1", "192.0.2.1", "10.0.0.7", 8443, 40000, 6, false);
	check_bpf(t, "192.0.2.1", "192.0.2.1", "10.0.0.7", 8443, 40000, 17, true);
	check_bpf(t, "192.0.2.1", "192.0.2.1", "10.0.0.7", 8444, 40000, 6, true);
	check_bpf(t, "192.0.2.1", "192.0.2.2", "10.0.0.7", 8443, 40000, 6, true);
	check_bpf(t, "2001:db8:3::1", "2001:db8:3::1", "2001:db8:2::9", 8443, 40000, 6, false);
	check_bpf(t, "2001:db8:3::1", "2001:db8:3::2", "2001:db8:2::9", 8443, 40000, 6, true);
	targets_free(t);

	t = targets_of(all);
	check_bpf(t, "192.0.2.1", "8.8.8.8", "9.9.9.9", 1, 2, 6, true);
	check_bpf(t, "192.0.2.1", "192.0.2.1", "10.0.0.7", 8443, 40000, 6, false);
	check_bpf(t, "192.0.2.1", "10.0.0.7", "192.0.2.1", 40000, 8443, 6, false);
	check_bpf(t, "192.0.2.1", "10.0.0.7", "192.0.2.1", 40000, 8443, 17, true);
	check_bpf(t, "2001:db8:3::1", "2001:db8:2::9", "2001:db8:3::1", 40000, 8443, 6, false);
	targets_free(t);

	assert_int_equal(targets_new(&t), 0); /* nobody's */
	check_bpf(t, NULL, "8.8.8.8", "9.9.9.9", 1, 2, 6, false);
	targets_free(t);
}

/* Long lists are widened: the kernel takes the program, and every target still passes. */
static void test_bpf_many(void **state)
{
	struct targets *t;
	const char *reason;
	char text[64], last4[32] = "", last6[64] = "";

	(void)state;
	assert_int_equal(targets_new(&t), 0);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(last4, sizeof(last4), "%u.%u.%u.%u", 20 + i % 180, i * 13 % 256,
			i * 37 % 256, i % 256);
		if (targets_add(t, last4, &reason) < 0)
			fail_msg("%s", reason);
		snprintf(last6, sizeof(last6), "2001:%x:%x::%x", 0xdb8 + i % 90, i * 13 % 256, i);
		if (targets_add(t, last6, &reason) < 0)
			fail_msg("%s", reason);
		if (i == TARGETS_BPF_TERMS - 1 || i == 1999) {
			char *filter = targets_bpf(t, DLT_EN10MB, "2001:db8::1", 8443);
			pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
			struct bpf_program program;

			assert_int_equal(
				pcap_compile(dead, &program, filter, 1, PCAP_NETMASK_UNKNOWN), 0);
			assert_true(program.bf_len <= 4096);
			for (size_t k = 0; k < targets_n(t); k++) {
				const struct target *e = targets_at(t, k);
				uint8_t b[128];
				size_t n;
				struct pcap_pkthdr h;

				inet_ntop(e->family == 6 ? AF_INET6 : AF_INET, e->captured, text,
					sizeof(text));
				n = frame(b, DLT_EN10MB, (unsigned)(k % 3),
					e->family == 6 ? "::1" : "1.1.1.1", text, 1, 2, 6);
				h = (struct pcap_pkthdr){
					.caplen = (bpf_u_int32)n, .len = (bpf_u_int32)n};
				assert_true(pcap_offline_filter(&program, &h, b) != 0);
			}
			pcap_freecode(&program);
			pcap_close(dead);
			free(filter);
		}
	}
	targets_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_many),
		cmocka_unit_test(test_bpf),
		cmocka_unit_test(test_bpf_many),
	};

	return cmocka_run_group_tests_name("targets", tests, NULL, NULL);
}
