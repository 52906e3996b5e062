/* Any bytes as a list: the first one tells which (organizations, scanners, groups). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "collector/enrich/kinds.h"
#include "collector/enrich/lists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_texts(enum kind kind, const char *text)
{
	static const size_t columns[] = {2, 4, 1};
	size_t tabs = 0;

	assert(text && strlen(text) <= NAMES_TEXT_MAX);
	for (const char *p = text; *p; p++) {
		tabs += *p == '\t';
		assert(*p == '\t' || (uint8_t)*p >= ' ');
	}
	assert(tabs + 1 == columns[kind - KINDS_N] && columns[kind - KINDS_N] <= LISTS_TEXTS_MAX);
	assert(*text != '\0' && *text != '\t'); /* a name */
}

static void check_ranges(enum kind kind, const struct ranges *l, const struct names *names)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct range *r = &l->at[i];

		assert(r->family == 4 || r->family == 6);
		assert(address128_compare(r->lo, r->hi) <= 0);
		assert(r->family == 6 || (r->hi.hi == 0 && r->hi.lo <= UINT32_MAX));
		check_texts(kind, names_text(names, r->holder));
		assert(kind != KIND_ORGANIZATIONS || i == 0 || r[-1].family < r->family ||
			(r[-1].family == r->family && address128_compare(r[-1].hi, r->lo) < 0));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	enum kind kind = KIND_ORGANIZATIONS + (n > 0 ? data[0] % 3u : 0);
	struct source file = {.name = "x", .data = n > 0 ? data + 1 : data, .n = n > 0 ? n - 1 : 0};
	struct kind_import read = {.read = 0};
	char error[SOURCE_ERROR_MAX] = "";
	struct names names = {0};
	int e = kind_import(kind, &file, 1, &names, &read, error);

	if (e == 0)
		check_ranges(kind, &read.ranges, &names);
	else
		assert(e == SOURCE_BAD && strncmp(error, "x:", 2) == 0 && !strchr(error, '\n'));
	kind_import_done(&read);
	names_done(&names);
	return 0;
}
