#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "sensor/mask.h"
#include "sensor/sample.h"
#include "sensor/targets.h"

#define HOUR (INT64_C(3600) * US_PER_S)
#define T0 (INT64_C(472222) * HOUR)

struct bed {
	struct targets *t;
	struct mask *m;
	struct sampler *s;
};

static struct bed bed_of(uint32_t contents)
{
	struct bed b;
	const char *reason;

	assert_int_equal(targets_new(&b.t), 0);
	assert_int_equal(targets_add(b.t, "203.0.113.0/24", &reason), 0);
	assert_int_equal(mask_new(b.t, &b.m), 0);
	assert_int_equal(sampler_new(contents, &b.s), 0);
	return b;
}

static void bed_free(struct bed *b)
{
	sampler_free(b->s);
	mask_free(b->m);
	targets_free(b->t);
}

static struct packet udp(int64_t time_us, uint32_t dst, const void *payload, size_t n)
{
	struct packet p = {.time_us = time_us, .ip = payload, .payload_captured = n};

	p.key.family = 4;
	p.key.protocol = 17;
	p.key.present = HAS_SRC | HAS_PROTOCOL | HAS_SRC_PORT | HAS_DST_PORT | HAS_PAYLOAD_LENGTH;
	store_be32(p.key.src, 0x08080808);
	store_be32(p.dst, dst);
	p.key.src_port = 1234;
	p.key.dst_port = 5060;
	p.key.payload_length = (uint32_t)n;
	return p;
}

static void add(struct bed *b, int64_t time_us, const char *text)
{
	struct packet p = udp(time_us, 0xcb007107, text, strlen(text));

	sampler_add(b->s, b->m, &p);
}

static void test_once_an_hour(void **state)
{
	struct bed b = bed_of(16);
	struct sample got[8];

	(void)state;
	add(&b, T0, "hello");
	add(&b, T0 + 5, "hello");
	add(&b, T0 + 9, "hello");
	add(&b, T0 + 7, "other");
	assert_int_equal(sampler_queued(b.s), 2);
	assert_int_equal(sampler_take(b.s, got, 8), 2);
	assert_int_equal(got[0].packets, 1);
	assert_int_equal(got[0].length, 5);
	assert_memory_equal(got[0].payload, "hello", 5);
	assert_int_equal(got[0].observed_us, T0);
	assert_int_equal(got[0].last_us, T0);
	assert_int_equal(got[0].payload_length, 5);
	assert_int_equal(got[0].protocol, 17);
	assert_int_equal(got[0].has_ports, 1);
	assert_int_equal(got[0].src_port, 1234);
	assert_int_equal(got[0].dst_port, 5060);
	assert_int_equal(got[0].has_src, 1);
	assert_int_equal(load_be32(got[0].src), 0x08080808);
	assert_true(got[0].content != got[1].content);
	assert_int_equal(sampler_take(b.s, got + 2, 6), 0); /* the hour is open */

	/* The next hour: the count of the one before, then the content anew. */
	add(&b, T0 + HOUR, "hello");
	assert_int_equal(sampler_take(b.s, got + 2, 6), 2);
	assert_int_equal(got[2].length, 5);
	assert_int_equal(got[2].observed_us, T0 + HOUR);
	assert_int_equal(got[2].content, got[0].content);
	assert_int_equal(got[3].length, 0);
	assert_int_equal(got[3].content, got[0].content);
	assert_int_equal(got[3].packets, 2);
	assert_int_equal(got[3].observed_us, T0 + 5);
	assert_int_equal(got[3].last_us, T0 + 9);
	assert_int_equal(got[3].dst_port, 5060);
	assert_int_equal(sampler_take(b.s, got, 8), 0);
	bed_free(&b);
}

static void test_flush(void **state)
{
	struct bed b = bed_of(64);
	struct sample got[64];
	uint64_t packets = 0;
	uint32_t n, rows = 0;
	char text[16];

	(void)state;
	for (int i = 0; i < 120; i++) {
		snprintf(text, sizeof(text), "text %c", 'a' + i % 30);
		add(&b, T0 + i, text);
	}
	assert_int_equal(sampler_take(b.s, got, 64), 30);
	assert_int_equal(sampler_queued(b.s), 0);
	sampler_flush(b.s);
	assert_int_equal(sampler_queued(b.s), 30);
	while (sampler_queued(b.s) > 0) {
		n = sampler_take(b.s, got, 7);
		assert_true(n > 0);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(got[i].length, 0);
			packets += got[i].packets;
		}
		rows += n;
	}
	assert_int_equal(rows, 30);
	assert_int_equal(packets, 90);
	add(&b, T0 + 200, "text a"); /* still known: no bytes again */
	assert_int_equal(sampler_take(b.s, got, 64), 0);
	sampler_flush(b.s);
	assert_int_equal(sampler_take(b.s, got, 64), 1);
	assert_int_equal(got[0].packets, 1);
	bed_free(&b);
}

/* Contents are those of the masked bytes: what differs in our address only is one. */
static void test_content_is_masked(void **state)
{
	struct bed b = bed_of(16);
	struct sample got[8];

	(void)state;
	for (unsigned i = 1; i <= 200; i++) {
		char text[64];
		struct packet p;

		snprintf(text, sizeof(text), "GET / HTTP/1.0\r\nHost: 203.0.113.%03u\r\n", i);
		p = udp(T0 + i, 0xcb007100 + i, text, strlen(text));
		sampler_add(b.s, b.m, &p);
	}
	assert_int_equal(sampler_take(b.s, got, 8), 1);
	got[0].payload[got[0].length] = 0;
	assert_string_equal((char *)got[0].payload, "GET / HTTP/1.0\r\nHost: 0000000.0.0.0\r\n");
	sampler_flush(b.s);
	assert_int_equal(sampler_take(b.s, got, 8), 1);
	assert_int_equal(got[0].packets, 199);
	assert_int_equal(sampler_dropped(b.s), 0);
	bed_free(&b);
}

static void test_what_counts(void **state)
{
	struct bed b = bed_of(16);
	struct sample got[8];
	uint8_t big[300];
	struct packet p = udp(T0, 0xcb007107, "", 0);

	(void)state;
	sampler_add(b.s, b.m, &p); /* no payload */
	p = udp(T0, 0xcb007107, "abc", 3);
	p.key.present &= ~(uint32_t)HAS_PAYLOAD_LENGTH;
	sampler_add(b.s, b.m, &p);
	assert_int_equal(sampler_queued(b.s), 0);

	memset(big, 'x', sizeof(big));
	p = udp(T0, 0xcb007107, big, sizeof(big));
	sampler_add(b.s, b.m, &p);
	big[200] = 'y'; /* the same first 128 bytes */
	sampler_add(b.s, b.m, &p);
	assert_int_equal(sampler_take(b.s, got, 8), 1);
	assert_int_equal(got[0].length, SAMPLE_MAX);
	assert_int_equal(got[0].payload_length, 300);

	p = udp(T0, 0xcb007107, "ping", 4); /* ICMP, from an own address */
	p.key.protocol = 1;
	p.key.present = HAS_PROTOCOL | HAS_ICMP_TYPE | HAS_ICMP_CODE | HAS_PAYLOAD_LENGTH;
	p.key.src_port = p.key.dst_port = 0;
	p.key.icmp_type = 8;
	memset(p.key.src, 0, sizeof(p.key.src));
	sampler_add(b.s, b.m, &p);
	assert_int_equal(sampler_take(b.s, got, 8), 1);
	assert_int_equal(got[0].has_ports, 0);
	assert_int_equal(got[0].has_src, 0);
	assert_int_equal(got[0].icmp_type, 8);
	bed_free(&b);
}

/* More contents than the table holds: counts of those that go are sent, none is lost. */
static void test_bounded(void **state)
{
	struct bed b = bed_of(16);
	struct sample got[64];
	uint64_t packets = 0, with_bytes = 0;
	uint32_t n;

	(void)state;
	assert_int_equal(sampler_new(15, &b.s), -EINVAL);
	assert_int_equal(sampler_new(65537, &b.s), -EINVAL);
	for (int64_t i = 0; i < 400; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%c%c", 'a' + (int)(i / 2 % 40), 'k');
		add(&b, T0 + i * US_PER_S, text); /* each twice, then 38 others */
		while ((n = sampler_take(b.s, got, 64)) > 0)
			for (uint32_t k = 0; k < n; k++) {
				packets += got[k].packets;
				with_bytes += got[k].length > 0;
			}
	}
	sampler_flush(b.s);
	while ((n = sampler_take(b.s, got, 64)) > 0)
		for (uint32_t k = 0; k < n; k++)
			packets += got[k].packets;
	assert_int_equal(packets, 400);
	assert_int_equal(with_bytes, 200);
	assert_int_equal(sampler_dropped(b.s), 0);
	bed_free(&b);
}

/* A flood of random payload is limited, and says what it left out. */
static void test_flood(void **state)
{
	struct bed b = bed_of(64);
	struct sample got[64];
	uint64_t packets = 0;
	uint32_t n;

	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		struct packet p = udp(T0 + i * 100, 0xcb007107, &i, sizeof(i));

		sampler_add(b.s, b.m, &p);
		while ((n = sampler_take(b.s, got, 64)) > 0)
			for (uint32_t k = 0; k < n; k++)
				packets += got[k].packets;
	}
	/* The burst, and two seconds of the rate. */
	assert_in_range(packets, 64 + SAMPLER_NEW_PER_S, 64 + 2 * SAMPLER_NEW_PER_S + 1);
	assert_int_equal(packets + sampler_dropped(b.s), 20000);
	bed_free(&b);
}

static void test_full_queue(void **state)
{
	struct bed b = bed_of(4096);
	struct sample got[64];
	uint64_t packets = 0;
	uint32_t n;

	(void)state;
	for (uint32_t i = 0; i < 3000; i++) {
		struct packet p = udp(T0, 0xcb007107, &i, sizeof(i));

		sampler_add(b.s, b.m, &p);
		assert_true(sampler_queued(b.s) <= SAMPLER_QUEUE);
	}
	while ((n = sampler_take(b.s, got, 64)) > 0)
		packets += n;
	assert_true(packets >= SAMPLER_QUEUE - 1);
	assert_int_equal(packets + sampler_dropped(b.s), 3000);
	bed_free(&b);
}

/* A clock that goes back and forth over an hour's border loses no count. */
static void test_clock_steps(void **state)
{
	struct bed b = bed_of(16);
	struct sample got[64];
	uint64_t packets = 0;
	uint32_t n;

	(void)state;
	for (int i = 0; i < 50; i++) {
		add(&b, T0 + (i % 3 ? 0 : -1), i % 2 ? "odd" : "even");
		add(&b, T0 + (i % 5 ? 0 : HOUR), "fifth");
		n = sampler_take(b.s, got, 64);
		for (uint32_t k = 0; k < n; k++)
			packets += got[k].packets;
	}
	sampler_flush(b.s);
	while ((n = sampler_take(b.s, got, 64)) > 0)
		for (uint32_t k = 0; k < n; k++)
			packets += got[k].packets;
	assert_int_equal(packets, 100);
	bed_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once_an_hour),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_content_is_masked),
		cmocka_unit_test(test_what_counts),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_clock_steps),
	};

	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
