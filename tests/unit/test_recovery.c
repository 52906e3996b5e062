/*
 * Tries to get a sensor's addresses back from what the sensor hands on: observations and samples.
 * Every kind of packet goes through parse, classify, mask, sample and fold twice: once with
 * masking, and once without, where the attack must succeed (so it is one).
 *
 * The attacks share no code with the mask: text and binary search over all spellings, the scanners'
 * formulas, exclusive or between two sensors, and solving checksums of quoted headers.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pcap/dlt.h>

#include "common/bytes.h"
#include "common/mem.h"
#include "sensor/classify.h"
#include "sensor/fold.h"
#include "sensor/mask.h"
#include "sensor/parse.h"
#include "sensor/sample.h"
#include "sensor/targets.h"

#include "recovery_packets.h"

/* ---- attacks -------------------------------------------------------------------------------- */

/* What an analyst sees of one packet. */
struct seen {
	struct observation row;
	struct sample sample;
	bool has_sample;
};

static bool holds(const struct sample *s, const void *what, size_t n)
{
	for (size_t i = 0; i + n <= s->length; i++) {
		size_t k = 0;

		while (k < n && tolower(s->payload[i + k]) == tolower(((const uint8_t *)what)[k]))
			k++;
		if (k == n)
			return true;
	}
	return false;
}

/* Zero bytes out (UTF-16) and escapes resolved, so that one search does for all. */
static struct sample plain(const struct sample *s, bool wide)
{
	struct sample r = {0};

	for (size_t i = 0; i < s->length; i++) {
		unsigned c = s->payload[i];

		if (c == 0 && wide)
			continue;
		if (c == '%' && i + 2 < s->length && isxdigit(s->payload[i + 1]) &&
			isxdigit(s->payload[i + 2])) {
			char hex[3] = {(char)s->payload[i + 1], (char)s->payload[i + 2], 0};

			c = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		}
		r.payload[r.length++] = (uint8_t)c;
	}
	return r;
}

static bool search4(const struct sample *s, uint32_t addr)
{
	static const char *const formats[] = {"%u.%u.%u.%u", "%u-%u-%u-%u", "%u_%u_%u_%u",
		"%02x%02x%02x%02x", "%02x%02x:%02x%02x", "%03u%03u%03u%03u", "0%o.0%o.0%o.0%o",
		"%u\x03%u\x03%u\x03%u", "%u.%u.%u.", "%u.%u."};
	char t[64];
	uint8_t b[4];

	for (unsigned swap = 0; swap < 2; swap++, addr = __builtin_bswap32(addr)) {
		int n;

		store_be32(b, addr);
		if (holds(s, b, 4) ||
			(s->length >= 3 && memcmp(s->payload + s->length - 3, b, 3) == 0))
			return true;
		store_be32(b, addr ^ 0x2112a442);
		if (holds(s, b, 4))
			return true;
		for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
			n = snprintf(t, sizeof(t), formats[i], addr >> 24, addr >> 16 & 255,
				addr >> 8 & 255, addr & 255);
#pragma GCC diagnostic pop
			if (holds(s, t, (size_t)n))
				return true;
		}
		n = snprintf(t, sizeof(t), "%u", addr);
		if (holds(s, t, (size_t)n))
			return true;
		n = 0; /* DNS labels */
		for (unsigned k = 0; k < 4; k++) {
			unsigned v = addr >> (24 - 8 * k) & 255;

			n += snprintf(t + n, sizeof(t) - (size_t)n, "%c%u",
				v > 99  ? 3
				: v > 9 ? 2
					: 1,
				v);
		}
		if (holds(s, t, (size_t)n))
			return true;
	}
	return false;
}

static bool search6(const struct sample *s, const uint8_t *addr)
{
	char t[80];
	int n = 0;

	inet_ntop(AF_INET6, addr, t, sizeof(t));
	if (holds(s, t, strlen(t)) || holds(s, addr, 16) || holds(s, addr, 8))
		return true;
	for (size_t i = 16; i-- > 0;)
		n += snprintf(
			t + n, sizeof(t) - (size_t)n, "\x01%x\x01%x", addr[i] & 15, addr[i] >> 4);
	return holds(s, t, (size_t)n);
}

static bool formula(const struct seen *o, uint32_t addr)
{
	const struct observation_key *k = &o->row.key;

	for (int d = -1; d <= 1; d++) {
		uint32_t v = addr + (uint32_t)d, w = __builtin_bswap32(addr) + (uint32_t)d;

		if ((k->present & HAS_TCP_SEQ) && (k->tcp_seq == v || k->tcp_seq == w))
			return true;
		if ((k->present & HAS_TCP_ACK) && (k->tcp_ack == v || k->tcp_ack == w))
			return true;
	}
	if ((k->present & HAS_SRC) && load_be32(k->src) == addr)
		return true;
	if (o->has_sample && o->sample.has_src && load_be32(o->sample.src) == addr)
		return true;
	return (k->present & HAS_IP_ID) && (k->present & HAS_TCP_SEQ) &&
	       o->row.ip_id == ((addr ^ k->dst_port ^ k->tcp_seq) & 0xffff);
}

/* With the address put where zeros (or itself) are in a header, is every sum right? Then the sum
 * confirms a guess. at: of the IPv4 header in b */
static bool sums_confirm(const uint8_t *b, size_t n, uint32_t addr)
{
	uint8_t g[SAMPLE_MAX];

	for (size_t field = 12; field <= 16; field += 4) {
		memcpy(g, b, n);
		if (load_be32(b + field) != 0 && load_be32(b + field) != addr)
			continue;
		store_be32(g + field, addr);
		if (recovery_sum(g, 20, 0) == 0)
			return true;
		if ((g[9] == 6 || g[9] == 17) && load_be16(g + 2) <= n && load_be16(g + 2) > 20) {
			size_t at = g[9] == 6 ? 16 : 6;
			uint16_t sum = load_be16(g + 20 + at);

			recovery_seal(g, at);
			if (load_be16(g + 20 + at) == sum)
				return true;
		}
		if (g[9] == 6 && n >= 28 &&
			load_be16(g + 4) ==
				((addr ^ load_be16(g + 22) ^ load_be32(g + 24)) & 0xffff))
			return true;
	}
	return false;
}

static bool solve_sums(const struct sample *s, uint32_t addr)
{
	uint8_t g[SAMPLE_MAX];

	for (size_t i = 0; i + 20 <= s->length; i++) {
		if (s->payload[i] == 0x45 && sums_confirm(s->payload + i, s->length - i, addr))
			return true;
	}
	if (s->protocol != 47 || s->length < 28)
		return false;
	/* GRE's own sum, and that of an inner payload: the address goes where zeros are. */
	for (size_t i = 4; i + 4 <= s->length; i++) {
		if (load_be32(s->payload + i) != 0)
			continue;
		memcpy(g, s->payload, s->length);
		store_be32(g + i, addr);
		if ((g[0] & 0x80) && recovery_sum(g, s->length, 0) == 0)
			return true;
		if (i >= 32 && g[4] == 0x45 && g[13] == 17 && load_be16(g + 6) + 4u == s->length) {
			uint16_t sum = load_be16(g + 24 + 6);

			recovery_seal(g + 4, 6);
			if (load_be16(g + 24 + 6) == sum)
				return true;
		}
	}
	return false;
}

static bool solve_sums6(const struct sample *s, const uint8_t *addr)
{
	uint8_t g[SAMPLE_MAX];

	if (s->length < 48 || s->payload[0] >> 4 != 6 ||
		load_be16(s->payload + 4) + 40u > s->length)
		return false;
	memcpy(g, s->payload, s->length);
	memcpy(g + 8, addr, 16);
	recovery_seal(g, 6);
	return load_be16(g + 46) == load_be16(s->payload + 46);
}

static bool recovers(const struct seen *o, const struct site *s)
{
	const uint32_t addrs[] = {s->captured, s->public};

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		if (formula(o, addrs[i]))
			return true;
		if (o->has_sample) {
			struct sample a = plain(&o->sample, false), b = plain(&o->sample, true);

			if (search4(&o->sample, addrs[i]) || search4(&a, addrs[i]) ||
				search4(&b, addrs[i]) || solve_sums(&o->sample, addrs[i]))
				return true;
		}
	}
	return o->has_sample && (search6(&o->sample, s->v6) || solve_sums6(&o->sample, s->v6));
}

/* One address gives away the other when their difference is in what both sensors saw. */
static bool xor_recovers(const struct seen *a, const struct seen *b)
{
	uint32_t differences[] = {recovery_sites[0].public ^ recovery_sites[1].public,
		recovery_sites[0].captured ^ recovery_sites[1].captured};
	const struct observation_key *x = &a->row.key, *y = &b->row.key;

	for (size_t i = 0; i < ARRAY_SIZE(differences); i++) {
		uint32_t d = differences[i], swapped = __builtin_bswap32(d);

		if ((x->present & y->present & HAS_TCP_SEQ) &&
			((x->tcp_seq ^ y->tcp_seq) == d || (x->tcp_seq ^ y->tcp_seq) == swapped))
			return true;
		if ((x->present & y->present & HAS_IP_ID) &&
			(a->row.ip_id ^ b->row.ip_id) == (d & 0xffff))
			return true;
		for (size_t k = 0; a->has_sample && b->has_sample && k + 4 <= a->sample.length &&
				   k + 4 <= b->sample.length;
			k++) {
			uint32_t v =
				load_be32(a->sample.payload + k) ^ load_be32(b->sample.payload + k);

			if (v == d || v == swapped)
				return true;
		}
	}
	return false;
}

/* ---- both arms ------------------------------------------------------------------------------ */

static struct seen run(const struct site *s, const struct frame *f, bool masked)
{
	struct seen o = {0};
	struct targets *t;
	struct mask *m;
	struct fold *fold;
	struct sampler *sampler;
	struct packet p;
	struct batch b = {0};
	const char *reason;

	assert_int_equal(targets_new(&t), 0);
	assert_int_equal(targets_add(t, s->target4, &reason), 0);
	assert_int_equal(targets_add(t, s->target6, &reason), 0);
	assert_int_equal(mask_new(t, &m), 0);
	assert_int_equal(fold_new(1000000, 1000, &fold), 0);
	assert_int_equal(sampler_new(16, &sampler), 0);
	assert_int_equal(
		parse_packet(DLT_RAW, f->b, f->captured ? f->captured : f->n, f->n, &p), PARSE_OK);
	p.time_us = 1700000000000000;
	classify_packet(&p, t);
	if (masked) {
		assert_true(mask_fields(m, &p));
		sampler_add(sampler, m, &p);
		o.has_sample = sampler_take(sampler, &o.sample, 1) == 1;
	} else if (p.payload_captured > 0) {
		o.has_sample = true;
		o.sample.protocol = p.key.protocol;
		o.sample.has_src = 1;
		memcpy(o.sample.src, p.key.src, 16);
		o.sample.length = (uint8_t)(p.payload_captured < SAMPLE_MAX ? p.payload_captured
									    : SAMPLE_MAX);
		memcpy(o.sample.payload, p.ip + p.payload_offset, o.sample.length);
	}
	assert_false(fold_add(fold, &p));
	fold_batch(fold, &b);
	assert_int_equal(b.rows_n, 1);
	o.row = b.rows[0];
	sampler_free(sampler);
	fold_free(fold);
	mask_free(m);
	targets_free(t);
	return o;
}

static void test_recovery(void **state)
{
	(void)state;
	for (size_t i = 0; i < recovery_kinds_n; i++) {
		struct seen open[2], masked[2];

		for (size_t s = 0; s < 2; s++) {
			struct frame f = {0};

			recovery_kinds[i].make(&recovery_sites[s], &f);
			open[s] = run(&recovery_sites[s], &f, false);
			masked[s] = run(&recovery_sites[s], &f, true);
			if (!recovers(&open[s], &recovery_sites[s]))
				fail_msg("%s: the attack finds nothing without masking",
					recovery_kinds[i].name);
			if (recovers(&masked[s], &recovery_sites[s]))
				fail_msg("%s: the address is recovered", recovery_kinds[i].name);
			assert_int_equal(masked[s].has_sample, open[s].has_sample);
			assert_int_equal(masked[s].sample.length, open[s].sample.length);
			assert_int_equal(masked[s].row.key.ttl, open[s].row.key.ttl);
		}
		if (xor_recovers(&open[0], &open[1]) != recovery_kinds[i].by_xor &&
			recovery_kinds[i].by_xor)
			fail_msg("%s: exclusive or finds nothing without masking",
				recovery_kinds[i].name);
		if (xor_recovers(&masked[0], &masked[1]))
			fail_msg(
				"%s: exclusive or recovers the difference", recovery_kinds[i].name);
	}
}

/* Cut anywhere, by the snap length or the sample's end: no more than the first byte of the address.
 */
static void test_recovery_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < recovery_kinds_n; i++) {
		for (size_t s = 0; s < 2; s++) {
			struct frame f = {0};

			recovery_kinds[i].make(&recovery_sites[s], &f);
			for (f.captured = 41; f.captured < f.n; f.captured++) {
				struct seen o = run(&recovery_sites[s], &f, true);

				if (recovers(&o, &recovery_sites[s]))
					fail_msg("%s cut at %zu: the address is recovered",
						recovery_kinds[i].name, f.captured);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recovery),
		cmocka_unit_test(test_recovery_at_every_cut),
	};

	return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
