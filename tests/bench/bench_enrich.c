/*
 * What a lookup of region, ASN and holder costs, IPv4 and IPv6, in a table of the Internet's size,
 * beside a plain binary search over the same ranges; and what building the table costs. Ranges are
 * made; the figure is the best of the rounds, in CPU time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/enrich/enrich.h"
#include "collector/enrich/names.h"
#include "collector/enrich/ranges.h"
#include "common/bytes.h"

/* As many as tor-geoipdb has. */
#define RANGES4 385000u
#define RANGES6 277000u
#define HOLDERS 60000u
#define LOOKUPS (1u << 20)
#define ROUNDS 9u
/* What a lookup should take, and what makes it a failure: machines are shared, absolute times vary.
 */
#define AIM_NS 100.0
#define LIMIT_NS (3 * AIM_NS)

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static int compare(const void *a, const void *b)
{
	const struct address128 *x = a, *y = b;

	return address128_compare(*x, *y);
}

/* Random places, each the end of one range and the beginning of the next. IPv6: /32 to /48 in what
 * the registries have been given. */
static int make(uint64_t *x, uint8_t family, uint32_t n, struct names *names, struct ranges *l)
{
	static const uint16_t given[] = {
		0x2001, 0x2400, 0x2402, 0x2600, 0x2604, 0x2800, 0x2a00, 0x2a02, 0x2a0d, 0x2c0f};
	AUTO_FREE struct address128 *at = malloc(n * sizeof(*at));
	int e = at ? 0 : -1;

	for (uint32_t i = 0; e == 0 && i < n; i++) {
		uint64_t v = next(x);

		at[i] = family == 4
				? (struct address128){0, v >> 32}
				: (struct address128){(uint64_t)given[v % ARRAY_SIZE(given)] << 48 |
							      (v >> 16 & 0xffffffff) << 16,
					  0};
	}
	if (e == 0)
		qsort(at, n, sizeof(*at), compare);
	for (uint32_t i = 0; e == 0 && i + 1 < n; i++) {
		struct range r = {.family = family, .lo = at[i], .has_asn = true};
		uint32_t holder = (uint32_t)(next(x) % HOLDERS);
		char text[16];

		if (address128_compare(at[i], at[i + 1]) == 0)
			continue;
		r.hi = address128_before(at[i + 1]);
		memcpy(r.region, "JP", 2);
		r.asn = holder;
		(void)snprintf(text, sizeof(text), "AS%u", holder);
		e = names_add(names, text, strlen(text), &r.holder);
		if (e == 0)
			e = ranges_add(l, &r);
	}
	return e;
}

/* Addresses of the ranges: what asks is listed, as a rule. */
static void make_questions(uint64_t *x, uint8_t family, const struct ranges *l, size_t from,
	size_t n, uint8_t (*ret)[16])
{
	for (uint32_t i = 0; i < LOOKUPS; i++) {
		const struct range *r = &l->at[from + next(x) % n];

		if (family == 4) {
			uint64_t size = r->hi.lo - r->lo.lo + 1;

			store_be32(ret[i], (uint32_t)(r->lo.lo + next(x) % size));
		} else {
			store_be64(ret[i], r->lo.hi);
			store_be64(ret[i] + 8, next(x));
		}
	}
}

static double lookups(
	const struct enrich *e, uint8_t family, uint8_t (*questions)[16], uint64_t *sum)
{
	clock_t from = clock();

	for (uint32_t i = 0; i < LOOKUPS; i++) {
		struct enrich_answer a = enrich_lookup(e, family, questions[i]);

		*sum += a.asn + (uint64_t)a.region[0] + (a.holder ? (uint64_t)a.holder[2] : 0);
	}
	return (double)(clock() - from) * 1e9 / CLOCKS_PER_SEC / LOOKUPS;
}

/* The reference: halving the whole list. */
static double plain(const struct ranges *l, size_t from, size_t n, uint8_t family,
	uint8_t (*questions)[16], uint64_t *sum)
{
	clock_t begin = clock();

	for (uint32_t i = 0; i < LOOKUPS; i++) {
		struct address128 a = address128_load(family, questions[i]);
		size_t low = from, high = from + n;

		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (address128_compare(l->at[middle].lo, a) <= 0)
				low = middle + 1;
			else
				high = middle;
		}
		*sum += low > from ? l->at[low - 1].asn : 0;
	}
	return (double)(clock() - begin) * 1e9 / CLOCKS_PER_SEC / LOOKUPS;
}

int main(void)
{
	uint8_t(*questions[2])[16] = {
		malloc(LOOKUPS * sizeof(*questions[0])), malloc(LOOKUPS * sizeof(*questions[1]))};
	double best[2] = {1e9, 1e9}, slow[2] = {1e9, 1e9};
	uint64_t x = 88172645463325252, sum = 0;
	struct names names = {0};
	struct ranges l = {0};
	struct enrich *e = NULL;
	clock_t from;
	size_t n[2];
	bool late = false;

	if (!questions[0] || !questions[1] || make(&x, 4, RANGES4, &names, &l) != 0)
		return 1;
	n[0] = l.n;
	if (make(&x, 6, RANGES6, &names, &l) != 0)
		return 1;
	n[1] = l.n - n[0];
	make_questions(&x, 4, &l, 0, n[0], questions[0]);
	make_questions(&x, 6, &l, n[0], n[1], questions[1]);
	from = clock();
	if (enrich_new(&l, &names, 1, &e) != 0)
		return 1;
	printf("table of %zu + %zu ranges built in %.0f ms\n", n[0], n[1],
		(double)(clock() - from) * 1e3 / CLOCKS_PER_SEC);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned k = 0; k < 2; k++) {
			uint8_t family = k == 0 ? 4 : 6;
			double ns = lookups(e, family, questions[k], &sum);
			double reference =
				plain(&l, k == 0 ? 0 : n[0], n[k], family, questions[k], &sum);

			best[k] = ns < best[k] ? ns : best[k];
			slow[k] = reference < slow[k] ? reference : slow[k];
		}
	for (unsigned k = 0; k < 2; k++) {
		printf("lookup IPv%d: %.1f ns (aim %.0f), %.2f of a plain binary search (%.1f "
		       "ns)\n",
			k == 0 ? 4 : 6, best[k], AIM_NS, best[k] / slow[k], slow[k]);
		late |= best[k] > LIMIT_NS || best[k] > slow[k];
	}
	printf("(%llu)\n", (unsigned long long)sum); /* so that nothing is left out */
	enrich_free(e);
	ranges_done(&l);
	free(questions[0]);
	free(questions[1]);
	return late;
}
