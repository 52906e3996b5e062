/* Address data: lists of ranges against the plainest way to say the same, and the table against
 * them. */
#include "collector/enrich/enrich.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/enrich/kinds.h"
#include "collector/enrich/load.h"

/* Small enough to be looked at address by address, at either end of both families. */
#define SPACE 512u

static uint32_t next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* An address of the space: `base` and a number below SPACE. */
struct space {
	uint8_t family;
	struct address128 base;
};
static const struct space spaces[] = {
	{4, {0, 0}},
	{4, {0, UINT32_MAX - SPACE + 1}},
	{6, {0, 0}},
	{6, {UINT64_C(0x20010db800000000), UINT64_MAX - SPACE / 2 + 1}}, /* over the middle */
	{6, {UINT64_MAX, UINT64_MAX - SPACE + 1}},
};

static struct address128 place(const struct space *s, uint32_t n)
{
	struct address128 a = {s->base.hi, s->base.lo + n};

	a.hi += a.lo < s->base.lo;
	return a;
}

static uint8_t *network_order(uint8_t family, struct address128 a, uint8_t out[16])
{
	if (family == 4) {
		store_be32(out, (uint32_t)a.lo);
	} else {
		store_be64(out, a.hi);
		store_be64(out + 8, a.lo);
	}
	return out;
}

/* What a list says of an address, looked at one by one: the range with the fewest addresses. */
static const struct range *slow(const struct ranges *l, uint8_t family, struct address128 a)
{
	const struct range *best = NULL;

	for (size_t i = 0; i < l->n; i++) {
		const struct range *r = &l->at[i];

		if (r->family == family && address128_compare(r->lo, a) <= 0 &&
			address128_compare(a, r->hi) <= 0 &&
			(!best || address128_compare(best->lo, r->lo) < 0 ||
				address128_compare(r->hi, best->hi) < 0))
			best = r;
	}
	return best;
}

/* Prefixes of the space, nested at random, none twice. */
static void make_prefixes(uint32_t *x, const struct space *s, size_t n, struct ranges *l)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t size = 1u << next(x) % 10, from = next(x) % SPACE / size * size;
		struct range r = {.family = s->family,
			.lo = place(s, from),
			.hi = place(s, from + size - 1),
			.has_asn = true,
			.asn = next(x) % 5};
		bool there = false;

		for (size_t k = 0; k < l->n; k++)
			there |= l->at[k].family == r.family &&
				 address128_compare(l->at[k].lo, r.lo) == 0 &&
				 address128_compare(l->at[k].hi, r.hi) == 0;
		if (!there)
			assert_int_equal(ranges_add(l, &r), 0);
	}
}

static void expect_disjoint(struct ranges *l)
{
	size_t n = l->n;

	assert_int_equal(ranges_overlap(l), 0);
	assert_int_equal(l->n, n);
}

static void test_longest_prefix_holds(void **state)
{
	uint32_t x = 1;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct ranges given = {0}, flat = {0};
		size_t same = 9;

		for (size_t s = 0; s < ARRAY_SIZE(spaces); s++)
			make_prefixes(&x, &spaces[s], next(&x) % 12, &given);
		for (size_t i = 0; i < given.n; i++)
			assert_int_equal(ranges_add(&flat, &given.at[i]), 0);
		assert_int_equal(ranges_nest(&flat, &same), 0);
		assert_int_equal(same, 0);
		expect_disjoint(&flat);
		for (size_t s = 0; s < ARRAY_SIZE(spaces); s++)
			for (uint32_t i = 0; i < SPACE; i++) {
				struct address128 a = place(&spaces[s], i);
				const struct range *want = slow(&given, spaces[s].family, a);
				const struct range *have = slow(&flat, spaces[s].family, a);

				assert_int_equal(want != NULL, have != NULL);
				if (want)
					assert_int_equal(want->asn, have->asn);
			}
		ranges_done(&given);
		ranges_done(&flat);
	}
}

static void test_same_prefix_twice(void **state)
{
	struct range r = {.family = 4, .lo = {0, 256}, .hi = {0, 511}, .line = 1};
	struct ranges l = {0};
	size_t same = 0;

	(void)state;
	assert_int_equal(ranges_add(&l, &r), 0);
	r.hi.lo = 300;
	assert_int_equal(ranges_add(&l, &r), 0);
	r.hi.lo = 511;
	r.line = 3;
	assert_int_equal(ranges_add(&l, &r), 0);
	assert_int_equal(ranges_nest(&l, &same), 0);
	assert_true(same > 0 && l.n == 3);
	assert_int_equal(l.at[same].line + l.at[same - 1].line, 4);
	ranges_done(&l);
}

static bool crosses(const struct range *a, const struct range *b)
{
	return a->family == b->family && address128_compare(a->lo, b->lo) < 0 &&
	       address128_compare(b->lo, a->hi) <= 0 && address128_compare(a->hi, b->hi) < 0;
}

/* Ranges of any size: told where two cross, else the innermost holds. */
static void test_innermost_holds_or_they_cross(void **state)
{
	unsigned crossed = 0, nested = 0;
	uint32_t x = 7;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		struct ranges given = {0}, flat = {0};
		const struct space *s = &spaces[round % ARRAY_SIZE(spaces)];
		size_t same = 9, other = 9, at, n = 2 + next(&x) % 5;
		bool deep = true, want = false;

		for (size_t i = 0; i < n; i++) {
			uint32_t from = next(&x) % 60;
			struct range r = {.family = s->family,
				.lo = place(s, from),
				.hi = place(s, from + next(&x) % (i == 0 ? SPACE - 60 : 12)),
				.has_asn = true,
				.asn = (uint32_t)i};

			assert_int_equal(ranges_add(&given, &r), 0);
			assert_int_equal(ranges_add(&flat, &r), 0);
		}
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < n; k++)
				want |= crosses(&given.at[i], &given.at[k]);
		at = ranges_cross(&flat, &other, &deep);
		assert_int_equal(at > 0, want);
		if (at > 0) {
			assert_true(!deep && crosses(&flat.at[other], &flat.at[at]));
			crossed++;
		} else {
			assert_int_equal(ranges_nest(&flat, &same), 0);
		}
		for (uint32_t i = 0; at == 0 && same == 0 && i < SPACE; i++) {
			const struct range *slowly = slow(&given, s->family, place(s, i));
			const struct range *have = slow(&flat, s->family, place(s, i));

			assert_int_equal(slowly != NULL, have != NULL);
			assert_true(!have || slowly->asn == have->asn);
		}
		nested += at == 0 && same == 0;
		ranges_done(&given);
		ranges_done(&flat);
	}
	assert_true(crossed > 300 && nested > 300);
}

static void test_too_deep(void **state)
{
	struct ranges l = {0};
	size_t other = 9;
	bool deep = false;

	(void)state;
	for (uint32_t i = 0; i <= RANGES_DEPTH_MAX; i++) {
		struct range r = {.family = 4, .lo = {0, i}, .hi = {0, 1000 - i}};

		assert_int_equal(ranges_cross(&l, &other, &deep), 0);
		for (unsigned twice = 0; twice < 2; twice++) /* the same again is no deeper */
			assert_int_equal(ranges_add(&l, &r), 0);
	}
	assert_int_equal(ranges_cross(&l, &other, &deep), 2 * RANGES_DEPTH_MAX);
	assert_true(deep && other == 2 * RANGES_DEPTH_MAX - 2);
	ranges_done(&l);
}

/* Disjoint ranges of the space, in disorder. */
static void make_disjoint(uint32_t *x, const struct space *s, struct ranges *l)
{
	for (uint32_t at = next(x) % 40; at < SPACE; at += 1 + next(x) % 30) {
		struct range r = {.family = s->family, .lo = place(s, at)};

		at += next(x) % 60;
		if (at >= SPACE)
			at = SPACE - 1;
		r.hi = place(s, at);
		r.region[0] = r.region[1] = (char)('A' + next(x) % 3);
		r.has_asn = next(x) % 2;
		r.asn = r.has_asn ? next(x) % 3 : 0;
		assert_int_equal(ranges_add(l, &r), 0);
	}
	for (size_t i = 1; i < l->n; i++) {
		size_t k = next(x) % i;
		struct range r = l->at[i];

		l->at[i] = l->at[k];
		l->at[k] = r;
	}
}

/* Every address: what kinds_combine() makes of three kinds, and what the table answers. */
static void test_kinds_and_table(void **state)
{
	uint32_t x = 2;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		struct ranges kinds[KINDS_N] = {{0}}, all = {0};
		struct ranges *rir = &kinds[KIND_RIR], *mmdb = &kinds[KIND_MMDB],
			      *over = &kinds[KIND_OVERRIDES];
		static const char *held_by[ARRAY_SIZE(spaces) * SPACE];
		struct enrich *table = NULL;
		struct names names = {0};

		for (size_t s = 0; s < ARRAY_SIZE(spaces); s++) {
			make_disjoint(&x, &spaces[s], rir);
			make_disjoint(&x, &spaces[s], mmdb);
			if (round % 2)
				make_disjoint(&x, &spaces[s], over);
		}
		for (size_t k = 0; k < KINDS_N; k++)
			assert_int_equal(ranges_overlap(&kinds[k]), 0);
		for (size_t i = 0; i < rir->n; i++) {
			held_by[i] = i % 3 ? "a" : "holder-b";
			assert_int_equal(names_add(&names, held_by[i], strlen(held_by[i]),
						 &rir->at[i].holder),
				0);
		}
		assert_int_equal(kinds_combine(kinds, &names, &all), 0);
		expect_disjoint(&all);
		assert_int_equal(enrich_new(&all, &names, 7, &table), 0);
		assert_int_equal(enrich_dataset(table), 7);
		assert_int_equal(enrich_ranges(table), all.n);
		for (size_t s = 0; s < ARRAY_SIZE(spaces); s++)
			for (uint32_t i = 0; i < SPACE; i++) {
				uint8_t family = spaces[s].family, bytes[16];
				struct address128 a = place(&spaces[s], i);
				const struct range *r = slow(rir, family, a),
						   *m = slow(mmdb, family, a),
						   *o = slow(over, family, a);
				const struct range *region = o ? o : r;
				const struct range *asn = o && o->has_asn ? o : m;
				struct enrich_answer e = enrich_lookup(
					table, family, network_order(family, a, bytes));
				char text[16];

				assert_int_equal(e.has_region, region != NULL);
				if (region)
					assert_memory_equal(e.region, region->region, 2);
				assert_int_equal(e.has_asn, asn && asn->has_asn);
				if (e.has_asn) {
					assert_int_equal(e.asn, asn->asn);
					(void)snprintf(text, sizeof(text), "AS%u", asn->asn);
					assert_string_equal(e.holder, text);
				} else if (r) {
					assert_string_equal(e.holder, held_by[r - rir->at]);
				} else {
					assert_null(e.holder);
				}
			}
		enrich_free(table);
		ranges_done(&all);
		for (size_t k = 0; k < KINDS_N; k++)
			ranges_done(&kinds[k]);
		names_done(&names);
	}
}

/* As IPv6 is given out: many prefixes below few of the upper 16 bits, and few below many. */
static void test_many_of_ipv6(void **state)
{
	static const uint16_t tops[] = {0x2001, 0x2400, 0x2a00, 0x2a01, 0xffff};
	struct enrich *table = NULL;
	struct names names = {0};
	struct ranges l = {0};
	uint32_t x = 3, same = 0;
	size_t twice = 0;

	(void)state;
	for (uint32_t i = 0; i < 3000; i++) {
		struct range r = {.family = 6, .has_asn = true, .asn = i};
		uint64_t top = i % 10 ? tops[next(&x) % ARRAY_SIZE(tops)] : next(&x) % 65536;

		r.lo.hi = top << 48 | (uint64_t)(next(&x) % 2000) << 36;
		r.hi = (struct address128){r.lo.hi | ((UINT64_C(1) << 36) - 1), UINT64_MAX};
		if (!slow(&l, 6, r.lo))
			assert_int_equal(ranges_add(&l, &r), 0);
		else
			same++;
	}
	assert_true(l.n > 1500 && same > 0);
	assert_int_equal(enrich_new(&l, &names, 1, &table), 0);
	for (size_t i = 0; i < l.n; i++) {
		const struct address128 asked[] = {l.at[i].lo, l.at[i].hi,
			address128_before(l.at[i].lo), address128_next(l.at[i].hi)};

		for (size_t k = 0; k < ARRAY_SIZE(asked); k++) {
			const struct range *want = slow(&l, 6, asked[k]);
			uint8_t bytes[16];
			struct enrich_answer e =
				enrich_lookup(table, 6, network_order(6, asked[k], bytes));

			assert_int_equal(e.has_asn, want != NULL);
			assert_int_equal(e.asn, want ? want->asn : 0);
			twice += want != NULL;
		}
	}
	assert_true(twice >= 2 * l.n && twice < 4 * l.n);
	enrich_free(table);
	ranges_done(&l);
}

static void test_neighbours_become_one(void **state)
{
	struct ranges kinds[KINDS_N] = {{0}}, all = {0};
	struct names names = {0};
	struct range r = {.family = 4, .region = "JP"};

	(void)state;
	for (uint32_t i = 0; i < 10; i++) {
		r.lo.lo = (uint64_t)i * 256;
		r.hi.lo = r.lo.lo + 255;
		if (i != 4)
			assert_int_equal(ranges_add(&kinds[KIND_RANGES], &r), 0);
	}
	assert_int_equal(kinds_combine(kinds, &names, &all), 0);
	assert_int_equal(all.n, 2);
	assert_int_equal(all.at[0].hi.lo, 1023);
	assert_int_equal(all.at[1].lo.lo, 1280);
	ranges_done(&all);
	ranges_done(&kinds[KIND_RANGES]);
	names_done(&names);
}

static void test_no_table(void **state)
{
	static const uint8_t a[16] = {192, 0, 2, 1};
	struct enrich_answer e = enrich_lookup(NULL, 4, a);

	(void)state;
	assert_false(e.has_region || e.has_asn || e.holder);
	assert_int_equal(enrich_dataset(NULL), 0);
}

static void test_overlap_is_refused(void **state)
{
	struct range r = {.family = 6, .lo = {1, 0}, .hi = {1, 9}, .region = "JP"};
	struct names names = {0};
	struct ranges l = {0};
	struct enrich *e = NULL;

	(void)state;
	assert_int_equal(ranges_add(&l, &r), 0);
	r.lo.lo = 9;
	r.hi.lo = 20;
	assert_int_equal(ranges_add(&l, &r), 0);
	assert_int_equal(enrich_new(&l, &names, 1, &e), ENRICH_OVERLAP);
	assert_null(e);
	ranges_done(&l);
}

static void test_names(void **state)
{
	struct names t = {0};
	char text[NAMES_TEXT_MAX + 1];
	uint32_t first[5000], again;

	(void)state;
	assert_null(names_text(&t, 0));
	for (uint32_t i = 0; i < ARRAY_SIZE(first); i++) {
		int n = snprintf(text, sizeof(text), "%u%s", i, i % 7 ? "" : "-long");

		assert_int_equal(names_add(&t, text, (size_t)n, &first[i]), 0);
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(first); i++) {
		int n = snprintf(text, sizeof(text), "%u%s", i, i % 7 ? "" : "-long");

		assert_int_equal(names_add(&t, text, (size_t)n, &again), 0);
		assert_int_equal(again, first[i]);
		assert_string_equal(names_text(&t, again), text);
	}
	memset(text, 'x', NAMES_TEXT_MAX);
	assert_int_equal(names_add(&t, text, NAMES_TEXT_MAX, &again), 0);
	assert_int_equal(strlen(names_text(&t, again)), NAMES_TEXT_MAX);
	names_done(&t);
}

/* Rows of the database: cut anywhere, or with anything in a length, they are refused, not believed.
 */
static void test_rows(void **state)
{
	static const uint8_t row[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
				     "\0\5"
				     "\0\0\0\10\2\40\0\4\12\0\0\0"
				     "\0\0\0\10\2\40\0\4\12\0\0\377"
				     "\0\0\0\10\0\0\0\0\377\377\377\377"
				     "\0\0\0\2JP"
				     "\0\0\0\3abc"
				     "\377\377";
	size_t n = sizeof(row) - 1, good = 0;
	struct names names = {0};
	struct ranges l = {0};

	(void)state;
	assert_int_equal(load_rows(bytes_of(row, n), true, &names, &l), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.at[0].asn, UINT32_MAX);
	assert_int_equal(l.at[0].hi.lo, 0x0a0000ff);
	assert_string_equal(names_text(&names, l.at[0].holder), "abc");
	for (size_t cut = 0; cut < n; cut++) {
		AUTO_FREE uint8_t *exact = malloc(cut + 1);

		memcpy(exact, row, cut);
		good += load_rows(bytes_of(exact, cut), true, &names, &l) == 0;
	}
	assert_int_equal(good, 2); /* behind the header, and before the end of rows */
	for (size_t i = 0; i < 2; i++) { /* a network, not an address; another family */
		uint8_t bad[sizeof(row)];

		memcpy(bad, row, sizeof(row));
		bad[i == 0 ? 26 : 25] = i == 0 ? 31 : 3;
		assert_int_equal(load_rows(bytes_of(bad, n), true, &names, &l), LOAD_FAILED);
	}
	for (size_t i = 0; i < n; i++)
		for (unsigned v = 0; v < 256; v += 51) {
			uint8_t bad[sizeof(row)];

			memcpy(bad, row, sizeof(row));
			bad[i] = (uint8_t)v;
			l.n = 0;
			if (load_rows(bytes_of(bad, n), true, &names, &l) == 0 && l.n > 0)
				assert_true(address128_compare(l.at[0].lo, l.at[0].hi) <= 0);
		}
	ranges_done(&l);
	names_done(&names);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_prefix_holds),
		cmocka_unit_test(test_same_prefix_twice),
		cmocka_unit_test(test_innermost_holds_or_they_cross),
		cmocka_unit_test(test_too_deep),
		cmocka_unit_test(test_kinds_and_table),
		cmocka_unit_test(test_many_of_ipv6),
		cmocka_unit_test(test_neighbours_become_one),
		cmocka_unit_test(test_no_table),
		cmocka_unit_test(test_overlap_is_refused),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
