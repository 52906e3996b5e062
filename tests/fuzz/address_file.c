#include "address_file.h"

#include <assert.h>

#include "collector/enrich/enrich.h"

static void check_ranges(const struct ranges *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct range *r = &l->at[i];

		assert(r->family == 4 || r->family == 6);
		assert(address128_compare(r->lo, r->hi) <= 0);
		assert(r->family == 6 || (r->hi.hi == 0 && r->hi.lo <= UINT32_MAX));
		assert(r->region[0] || r->has_asn || r->holder);
		assert(i == 0 || l->at[i - 1].family < r->family ||
			(l->at[i - 1].family == r->family &&
				address128_compare(l->at[i - 1].hi, r->lo) < 0));
	}
}

/* The table answers at both ends of each range as the range says. */
static void check_table(const struct enrich *e, const struct ranges *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct range *r = &l->at[i];
		const struct address128 ends[] = {r->lo, r->hi};

		for (size_t k = 0; k < ARRAY_SIZE(ends); k++) {
			uint8_t a[16];
			struct enrich_answer answer;

			if (r->family == 4) {
				store_be32(a, (uint32_t)ends[k].lo);
			} else {
				store_be64(a, ends[k].hi);
				store_be64(a + 8, ends[k].lo);
			}
			answer = enrich_lookup(e, r->family, a);
			assert(answer.has_region == (r->region[0] != '\0'));
			assert(memcmp(answer.region, r->region, 2) == 0);
			assert(answer.has_asn == r->has_asn && answer.asn == r->asn);
			assert((answer.holder != NULL) == (r->holder != 0));
		}
	}
}

void address_file(enum kind kind, const uint8_t *data, size_t n)
{
	struct source file = {.name = "x", .data = data, .n = n};
	struct ranges kinds[KINDS_N] = {{0}}, all = {0};
	struct kind_import read = {.read = 0};
	char error[SOURCE_ERROR_MAX] = "";
	struct enrich *table = NULL;
	struct names names = {0};
	int r = kind_import(kind, &file, 1, &names, &read, error);

	if (r == 0) {
		check_ranges(&read.ranges);
		assert(read.with_region <= read.read && read.with_asn <= read.read);
		kinds[kind] = read.ranges;
		if (kinds_combine(kinds, &names, &all) == 0) {
			check_ranges(&all);
			if (enrich_new(&all, &names, 1, &table) == 0)
				check_table(table, &all);
		}
	} else if (r == SOURCE_BAD) {
		assert(strncmp(error, "x:", 2) == 0 && !strchr(error, '\n'));
	}
	enrich_free(table);
	ranges_done(&all);
	kind_import_done(&read);
	names_done(&names);
}
