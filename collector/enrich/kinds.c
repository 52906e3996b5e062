#include "collector/enrich/kinds.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "collector/enrich/csv.h"
#include "collector/enrich/lists.h"
#include "collector/enrich/mmdb.h"
#include "collector/enrich/pfx2as.h"
#include "collector/enrich/rir.h"

/* What ranges of a kind may do to each other. */
enum order {
	APART,
	NESTED, /* the innermost holds */
	ANY
};

static const struct {
	const char *name;
	int (*parse)(struct source *s);
	enum order order;
	bool may_be_empty; /* no more of it: that is said by a file without any */
} kinds[KINDS_ALL] = {
	[KIND_RIR] = {"rir", rir_parse, APART, false},
	[KIND_RANGES] = {"ranges", csv_parse_ranges, APART, false},
	[KIND_MMDB] = {"mmdb", mmdb_parse, APART, false},
	[KIND_PFX2AS] = {"pfx2as", pfx2as_parse, NESTED, false},
	[KIND_OVERRIDES] = {"overrides", csv_parse_overrides, NESTED, true},
	[KIND_ORGANIZATIONS] = {"organizations", lists_parse_organizations, NESTED, true},
	[KIND_SCANNERS] = {"scanners", lists_parse_scanners, ANY, true},
	[KIND_GROUPS] = {"groups", lists_parse_groups, ANY, true},
};

const char *kind_name(enum kind kind)
{
	return kind < KINDS_ALL ? kinds[kind].name : NULL;
}

enum kind kind_of(const char *name)
{
	enum kind kind = KIND_RIR;

	while (kind < KINDS_ALL && strcmp(kinds[kind].name, name) != 0)
		kind++;
	return kind;
}

/* Import. */

void kind_import_done(struct kind_import *i)
{
	ranges_done(&i->ranges);
}

/* "FILE:LINE: ... as FILE:LINE": both places of a contradiction. */
static int contradiction(const struct source *files, const struct range *a, const struct range *b,
	const char *what, char error[SOURCE_ERROR_MAX])
{
	const struct range *first = a, *second = b;

	if (a->file > b->file || (a->file == b->file && a->line > b->line)) {
		first = b;
		second = a;
	}
	(void)snprintf(error, SOURCE_ERROR_MAX, "%s:%" PRIu32 ": %s %s:%" PRIu32,
		files[second->file].name, second->line, what, files[first->file].name, first->line);
	return SOURCE_BAD;
}

static void count(struct kind_import *i)
{
	i->read += (uint32_t)i->ranges.n;
	for (size_t k = 0; k < i->ranges.n; k++) {
		i->with_region += i->ranges.at[k].region[0] != '\0';
		i->with_asn += i->ranges.at[k].has_asn;
	}
}

/* The first that has a field gives it. */
static int merge_files(void *arg, const struct range *const *cover, struct range *ret)
{
	const size_t *n = arg;

	for (size_t k = 0; k < *n; k++) {
		const struct range *r = cover[k];

		if (r && !ret->region[0])
			memcpy(ret->region, r->region, sizeof(ret->region));
		if (r && !ret->has_asn && r->has_asn) {
			ret->has_asn = true;
			ret->asn = r->asn;
		}
	}
	return 0;
}

/* mmdb: a list of each file, then put together. */
static int import_apart(struct source *files, size_t n, struct ranges lists[KIND_FILES_MAX],
	struct kind_import *ret, char error[SOURCE_ERROR_MAX])
{
	const struct ranges *all[KIND_FILES_MAX];
	struct ranges combined = {0};
	size_t at;
	int e = 0;

	for (size_t i = 0; i < n; i++) {
		at = ranges_overlap(&lists[i]);
		if (at > 0)
			return contradiction(files, &lists[i].at[at - 1], &lists[i].at[at],
				"covers addresses of", error);
		ret->ranges = lists[i];
		count(ret);
		all[i] = &lists[i];
	}
	ret->ranges = (struct ranges){0};
	e = ranges_combine(all, n, merge_files, &n, &combined);
	ret->ranges = combined;
	return e;
}

static int import_together(enum kind kind, const struct source *files, struct kind_import *ret,
	char error[SOURCE_ERROR_MAX])
{
	struct ranges *l = &ret->ranges;
	size_t at = 0, other = 0;
	bool deep;
	int e;

	count(ret);
	if (kinds[kind].order == ANY)
		return 0;
	if (kinds[kind].order == APART) {
		at = ranges_overlap(l);
		return at == 0 ? 0
			       : contradiction(files, &l->at[at - 1], &l->at[at],
					 "overlaps the range of", error);
	}
	at = ranges_cross(l, &other, &deep);
	if (at > 0)
		return contradiction(files, &l->at[other], &l->at[at],
			deep ? "lies too deep in others: in" : "covers a part of the range of",
			error);
	e = ranges_nest(l, &at);
	if (e == 0 && at > 0)
		return contradiction(
			files, &l->at[at - 1], &l->at[at], "has the same prefix as", error);
	return e;
}

int kind_import(enum kind kind, struct source *files, size_t n, struct names *names,
	struct kind_import *ret, char error[SOURCE_ERROR_MAX])
{
	struct ranges lists[KIND_FILES_MAX] = {{0}};
	bool apart = kind == KIND_MMDB;
	int e = n <= KIND_FILES_MAX ? 0 : -E2BIG;

	ret->day = SOURCE_NO_DAY;
	for (size_t i = 0; e == 0 && i < n; i++) {
		struct source *s = &files[i];
		size_t before = ret->ranges.n;

		s->file = (uint16_t)i;
		s->names = names;
		s->out = apart ? &lists[i] : &ret->ranges;
		s->day = SOURCE_NO_DAY;
		e = kinds[kind].parse(s);
		if (e == 0 && s->out->n == (apart ? 0 : before) && !kinds[kind].may_be_empty)
			e = source_fail(s, 0, "there is not one range in it");
		if (e == SOURCE_BAD)
			memcpy(error, s->error, SOURCE_ERROR_MAX);
		if (e == 0 && s->day != SOURCE_NO_DAY &&
			(ret->day == SOURCE_NO_DAY || s->day < ret->day))
			ret->day = s->day;
	}
	if (e == 0)
		e = apart ? import_apart(files, n, lists, ret, error)
			  : import_together(kind, files, ret, error);
	for (size_t i = 0; i < KIND_FILES_MAX; i++)
		ranges_done(&lists[i]);
	if (e == -E2BIG) {
		(void)snprintf(error, SOURCE_ERROR_MAX, "too many ranges or files");
		e = SOURCE_BAD;
	}
	return e;
}

/* All kinds together. */

enum kind kinds_region(const struct ranges lists[KINDS_N])
{
	if (lists[KIND_RIR].n > 0)
		return KIND_RIR;
	for (size_t i = 0; i < lists[KIND_MMDB].n; i++)
		if (lists[KIND_MMDB].at[i].region[0])
			return KIND_MMDB;
	return lists[KIND_RANGES].n > 0 ? KIND_RANGES : KINDS_N;
}

enum kind kinds_asn(const struct ranges lists[KINDS_N])
{
	if (lists[KIND_PFX2AS].n > 0)
		return KIND_PFX2AS;
	return lists[KIND_MMDB].n > 0 ? KIND_MMDB : KINDS_N;
}

struct merge {
	struct names *names;
};

/* Places of the lists in kinds_combine(). */
enum {
	REGION,
	ASN,
	OVERRIDE,
	ROLES_N
};

static int merge_kinds(void *arg, const struct range *const *cover, struct range *ret)
{
	const struct range *region = cover[REGION], *asn = cover[ASN], *over = cover[OVERRIDE];
	struct merge *m = arg;
	char text[16];

	if (over && over->region[0])
		region = over;
	if (over && over->has_asn)
		asn = over;
	if (region)
		memcpy(ret->region, region->region, sizeof(ret->region));
	if (asn && asn->has_asn) {
		ret->has_asn = true;
		ret->asn = asn->asn;
	}
	if (over && over->holder) {
		ret->holder = over->holder;
		return 0;
	}
	if (!ret->has_asn) {
		/* Of the registry, whatever an override says of the region. */
		ret->holder = cover[REGION] ? cover[REGION]->holder : 0;
		return 0;
	}
	(void)snprintf(text, sizeof(text), "AS%" PRIu32, ret->asn);
	return names_add(m->names, text, strlen(text), &ret->holder);
}

int kinds_combine(const struct ranges lists[KINDS_N], struct names *names, struct ranges *ret)
{
	static const struct ranges none = {0};
	enum kind region = kinds_region(lists), asn = kinds_asn(lists);
	const struct ranges *roles[ROLES_N] = {
		[REGION] = region < KINDS_N ? &lists[region] : &none,
		[ASN] = asn < KINDS_N ? &lists[asn] : &none,
		[OVERRIDE] = &lists[KIND_OVERRIDES],
	};
	struct merge m = {names};

	return ranges_combine(roles, ROLES_N, merge_kinds, &m, ret);
}
