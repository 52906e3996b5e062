#include "collector/enrich/enrich.h"

#include <errno.h>

#include "collector/enrich/names.h"
#include "collector/enrich/ranges.h"
#include "common/bytes.h"

/* Of each address's upper 16 bits: where its ranges begin. */
#define INDEX_N 65536u
/* IPv6 has most of its ranges below few of those: they are told apart by further bits. */
#define FINE_BITS 12
#define FINE_N (1u << FINE_BITS)
/* Fewer are searched without. */
#define FINE_MIN 256u

/* What is known of a range; its limits stand apart, so that the search reads little memory. */
struct known {
	uint32_t asn;
	uint32_t holder; /* number in names */
	char region[2];
	bool has_asn;
};

/* Ranges of one family, in order. */
struct family {
	size_t n;
	struct known *known;
	uint32_t index[INDEX_N + 1]; /* ranges that begin below n << 16 (IPv6: n << 112) */
};

struct enrich {
	int32_t dataset;
	struct names names;
	struct family v4, v6;
	uint32_t *lo4, *hi4;
	struct address128 *lo6, *hi6;
	uint32_t *fine; /* rows of FINE_N + 1, as index */
	uint32_t row[INDEX_N]; /* of each 16 bits, from 1; 0 = none */
};

static int family_init(struct family *f, const struct range *r, size_t n)
{
	uint32_t at = 0;

	f->n = n;
	f->known = calloc(n > 0 ? n : 1, sizeof(*f->known));
	if (!f->known)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t top = r->family == 4 ? r[i].lo.lo >> 16 : r[i].lo.hi >> 48;

		f->known[i] = (struct known){.asn = r[i].asn,
			.holder = r[i].holder,
			.region = {r[i].region[0], r[i].region[1]},
			.has_asn = r[i].has_asn};
		for (; at <= top; at++)
			f->index[at] = (uint32_t)i;
	}
	for (; at <= INDEX_N; at++)
		f->index[at] = (uint32_t)n;
	return 0;
}

static int limits_init(struct enrich *e, const struct range *r4, const struct range *r6)
{
	e->lo4 = malloc((e->v4.n + 1) * sizeof(*e->lo4));
	e->hi4 = malloc((e->v4.n + 1) * sizeof(*e->hi4));
	e->lo6 = malloc((e->v6.n + 1) * sizeof(*e->lo6));
	e->hi6 = malloc((e->v6.n + 1) * sizeof(*e->hi6));
	if (!e->lo4 || !e->hi4 || !e->lo6 || !e->hi6)
		return -ENOMEM;
	for (size_t i = 0; i < e->v4.n; i++) {
		e->lo4[i] = (uint32_t)r4[i].lo.lo;
		e->hi4[i] = (uint32_t)r4[i].hi.lo;
	}
	for (size_t i = 0; i < e->v6.n; i++) {
		e->lo6[i] = r6[i].lo;
		e->hi6[i] = r6[i].hi;
	}
	return 0;
}

/* A row for each 16 bits that have many ranges: at most one in FINE_MIN ranges, so memory is
 * bounded by theirs. */
static int fine_init(struct enrich *e)
{
	uint32_t rows = 0;

	for (uint32_t top = 0; top < INDEX_N; top++)
		if (e->v6.index[top + 1] - e->v6.index[top] >= FINE_MIN)
			e->row[top] = ++rows;
	e->fine = malloc(((size_t)rows * (FINE_N + 1) + 1) * sizeof(*e->fine));
	if (!e->fine)
		return -ENOMEM;
	for (uint32_t top = 0; top < INDEX_N; top++) {
		uint32_t end = e->v6.index[top + 1], at = 0;
		uint32_t *fine;

		if (e->row[top] == 0)
			continue;
		fine = e->fine + (size_t)(e->row[top] - 1) * (FINE_N + 1);
		for (uint32_t i = e->v6.index[top]; i < end; i++)
			while (at <= (e->lo6[i].hi >> (48 - FINE_BITS) & (FINE_N - 1)))
				fine[at++] = i;
		while (at <= FINE_N)
			fine[at++] = end;
	}
	return 0;
}

int enrich_new(struct ranges *ranges, struct names *names, int32_t dataset, struct enrich **ret)
{
	const struct range *r6;
	size_t n4 = 0;
	struct enrich *e;
	int r;

	if (ranges_overlap(ranges) != 0)
		return ENRICH_OVERLAP;
	while (n4 < ranges->n && ranges->at[n4].family == 4)
		n4++;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->dataset = dataset;
	r6 = n4 < ranges->n ? &ranges->at[n4] : ranges->at;
	r = family_init(&e->v4, ranges->at, n4);
	if (r == 0)
		r = family_init(&e->v6, r6, ranges->n - n4);
	if (r == 0)
		r = limits_init(e, ranges->at, r6);
	if (r == 0)
		r = fine_init(e);
	if (r < 0) {
		enrich_free(e);
		return r;
	}
	e->names = *names;
	*names = (struct names){0};
	*ret = e;
	return 0;
}

struct enrich *enrich_free(struct enrich *e)
{
	if (e) {
		names_done(&e->names);
		free(e->v4.known);
		free(e->v6.known);
		free(e->lo4);
		free(e->hi4);
		free(e->lo6);
		free(e->hi6);
		free(e->fine);
		free(e);
	}
	return NULL;
}

int32_t enrich_dataset(const struct enrich *e)
{
	return e ? e->dataset : 0;
}

size_t enrich_ranges(const struct enrich *e)
{
	return e ? e->v4.n + e->v6.n : 0;
}

/* @return ranges that begin at or below the address: what may cover it is the one before */
static size_t search4(const struct enrich *e, uint32_t a)
{
	size_t at = e->v4.index[a >> 16], n = e->v4.index[(a >> 16) + 1] - at;

	while (n > 0) {
		size_t half = n / 2;
		bool below = e->lo4[at + half] <= a;

		at = below ? at + half + 1 : at;
		n = below ? n - half - 1 : half;
	}
	return at;
}

static size_t search6(const struct enrich *e, struct address128 a)
{
	const uint32_t *limits = &e->v6.index[a.hi >> 48];
	size_t at, n;

	if (e->row[a.hi >> 48])
		limits = &e->fine[(size_t)(e->row[a.hi >> 48] - 1) * (FINE_N + 1) +
				  (a.hi >> (48 - FINE_BITS) & (FINE_N - 1))];
	at = limits[0];
	n = limits[1] - at;
	while (n > 0) {
		size_t half = n / 2;
		bool below = address128_compare(e->lo6[at + half], a) <= 0;

		at = below ? at + half + 1 : at;
		n = below ? n - half - 1 : half;
	}
	return at;
}

static struct enrich_answer answer(const struct enrich *e, const struct known *k)
{
	return (struct enrich_answer){
		.has_region = k->region[0] != '\0',
		.has_asn = k->has_asn,
		.region = {k->region[0], k->region[1]},
		.asn = k->asn,
		.holder = names_text(&e->names, k->holder),
	};
}

struct enrich_answer enrich_lookup(const struct enrich *e, uint8_t family, const uint8_t *src)
{
	const struct enrich_answer nothing = {.has_region = false};
	struct address128 a;
	size_t at;

	if (!e)
		return nothing;
	a = address128_load(family, src);
	if (family == 4) {
		at = search4(e, (uint32_t)a.lo);
		return at > 0 && e->hi4[at - 1] >= a.lo ? answer(e, &e->v4.known[at - 1]) : nothing;
	}
	at = search6(e, a);
	return at > 0 && address128_compare(e->hi6[at - 1], a) >= 0
		       ? answer(e, &e->v6.known[at - 1])
		       : nothing;
}
