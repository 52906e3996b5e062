#include "collector/enrich/ranges.h"

#include <errno.h>
#include <string.h>

#include "common/bytes.h"

/* Addresses. */

bool address128_prefix_end(
	struct address128 a, uint8_t family, unsigned length, struct address128 *ret)
{
	unsigned open = (family == 4 ? 32 : 128) - length;
	uint64_t hi = open <= 64 ? 0 : open == 128 ? UINT64_MAX : (UINT64_C(1) << (open - 64)) - 1;
	uint64_t lo = open >= 64 ? UINT64_MAX : (UINT64_C(1) << open) - 1;

	if ((a.hi & hi) != 0 || (a.lo & lo) != 0)
		return false;
	*ret = (struct address128){a.hi | hi, a.lo | lo};
	return true;
}

struct address128 address128_load(uint8_t family, const uint8_t *bytes)
{
	return family == 4 ? (struct address128){0, load_be32(bytes)}
			   : (struct address128){load_be64(bytes), load_be64(bytes + 8)};
}

/* A place on the line of all addresses: IPv4, then IPv6. */
static int compare_at(uint8_t f, struct address128 a, uint8_t g, struct address128 b)
{
	return f != g ? (f < g ? -1 : 1) : address128_compare(a, b);
}

/* Lists. */

void ranges_done(struct ranges *l)
{
	free(l->at);
	*l = (struct ranges){0};
}

int ranges_add(struct ranges *l, const struct range *r)
{
	if (!l->at || l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 1024;
		struct range *grown;

		if (l->n >= RANGES_MAX)
			return -E2BIG;
		grown = realloc(l->at, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->at = grown;
		l->cap = cap;
	}
	l->at[l->n++] = *r;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	int c = compare_at(x->family, x->lo, y->family, y->lo);

	return c != 0 ? c : address128_compare(y->hi, x->hi);
}

void ranges_sort(struct ranges *l)
{
	for (size_t i = 1; i < l->n; i++)
		if (compare(&l->at[i - 1], &l->at[i]) > 0) {
			qsort(l->at, l->n, sizeof(*l->at), compare);
			return;
		}
}

size_t ranges_overlap(struct ranges *l)
{
	ranges_sort(l);
	for (size_t i = 1; i < l->n; i++)
		if (l->at[i].family == l->at[i - 1].family &&
			address128_compare(l->at[i].lo, l->at[i - 1].hi) <= 0)
			return i;
	return 0;
}

/* Nesting. */

size_t ranges_cross(struct ranges *l, size_t *ret_other, bool *ret_deep)
{
	size_t open[RANGES_DEPTH_MAX], depth = 0;

	ranges_sort(l);
	for (size_t i = 0; i < l->n; i++) {
		const struct range *r = &l->at[i], *top = NULL;

		while (depth > 0) {
			top = &l->at[open[depth - 1]];
			if (top->family == r->family && address128_compare(r->lo, top->hi) <= 0)
				break;
			depth--;
		}
		*ret_deep = depth == RANGES_DEPTH_MAX && compare(r, top) != 0;
		if (depth > 0 && (*ret_deep || address128_compare(r->hi, top->hi) > 0)) {
			*ret_other = open[depth - 1];
			return i;
		}
		/* One that comes twice is told by ranges_nest(). */
		if (depth == 0 || compare(r, top) != 0)
			open[depth++] = i;
	}
	return 0;
}

struct nest {
	const struct range *open[RANGES_DEPTH_MAX];
	size_t depth;
	struct address128 at; /* what is before is written */
	bool over; /* nothing is left: at has wrapped around */
	struct ranges out;
};

/* Writes what the innermost open range says, up to `hi`. */
static int nest_write(struct nest *x, struct address128 hi)
{
	struct range r = *x->open[x->depth - 1];

	if (x->over || address128_compare(x->at, hi) > 0)
		return 0;
	r.lo = x->at;
	r.hi = hi;
	x->at = address128_next(hi);
	x->over = x->at.hi == 0 && x->at.lo == 0;
	return ranges_add(&x->out, &r);
}

int ranges_nest(struct ranges *l, size_t *ret_same)
{
	struct nest x = {.depth = 0};
	int e = 0;

	ranges_sort(l);
	for (size_t i = 1; i < l->n; i++)
		if (compare(&l->at[i - 1], &l->at[i]) == 0) {
			*ret_same = i;
			return 0;
		}
	*ret_same = 0;
	for (size_t i = 0; e == 0 && i <= l->n; i++) {
		const struct range *r = i < l->n ? &l->at[i] : NULL;

		while (e == 0 && x.depth > 0) {
			const struct range *top = x.open[x.depth - 1];

			if (r && r->family == top->family &&
				address128_compare(r->lo, top->hi) <= 0)
				break;
			e = nest_write(&x, top->hi);
			x.depth--;
		}
		if (e < 0 || !r)
			break;
		if (x.depth > 0 && address128_compare(x.at, r->lo) < 0)
			e = nest_write(&x, address128_before(r->lo));
		x.open[x.depth++] = r;
		x.at = r->lo;
		x.over = false;
	}
	if (e < 0) {
		ranges_done(&x.out);
		return e;
	}
	free(l->at);
	*l = x.out;
	return 0;
}

/* Combining. */

static bool same(const struct range *a, const struct range *b)
{
	return a->has_asn == b->has_asn && a->asn == b->asn && a->holder == b->holder &&
	       memcmp(a->region, b->region, sizeof(a->region)) == 0;
}

static int add_or_extend(struct ranges *l, const struct range *r)
{
	struct range *last = l->n > 0 ? &l->at[l->n - 1] : NULL;

	if (last && last->family == r->family && same(last, r) &&
		address128_compare(address128_next(last->hi), r->lo) == 0) {
		last->hi = r->hi;
		return 0;
	}
	return ranges_add(l, r);
}

/* The walk over all lists at once, from one place where something begins or ends to the next. */
struct walk {
	const struct ranges *const *lists;
	size_t n;
	size_t next[RANGES_LISTS_MAX]; /* in each list: the first range that is not behind us */
	const struct range *cover[RANGES_LISTS_MAX];
	uint8_t family;
	struct address128 at;
};

/* @return false: nothing covers this place, and we stand at the next that something covers, or at
 * the end (*ret_end) */
static bool walk_cover(struct walk *w, bool *ret_end)
{
	const struct range *first = NULL;
	bool covered = false;

	for (size_t k = 0; k < w->n; k++) {
		const struct ranges *l = w->lists[k];
		const struct range *r;

		while (w->next[k] < l->n && compare_at(l->at[w->next[k]].family,
						    l->at[w->next[k]].hi, w->family, w->at) < 0)
			w->next[k]++;
		w->cover[k] = NULL;
		if (w->next[k] == l->n)
			continue;
		r = &l->at[w->next[k]];
		if (compare_at(r->family, r->lo, w->family, w->at) <= 0) {
			w->cover[k] = r;
			covered = true;
		} else if (!first || compare_at(r->family, r->lo, first->family, first->lo) < 0) {
			first = r;
		}
	}
	*ret_end = !covered && !first;
	if (!covered && first) {
		w->family = first->family;
		w->at = first->lo;
	}
	return covered;
}

/* How far the present cover reaches. */
static struct address128 walk_end(const struct walk *w)
{
	struct address128 end = {UINT64_MAX, UINT64_MAX};

	for (size_t k = 0; k < w->n; k++) {
		const struct ranges *l = w->lists[k];
		struct address128 limit = end;

		if (w->cover[k])
			limit = w->cover[k]->hi;
		else if (w->next[k] < l->n && l->at[w->next[k]].family == w->family)
			limit = address128_before(l->at[w->next[k]].lo);
		if (address128_compare(limit, end) < 0)
			end = limit;
	}
	return end;
}

int ranges_combine(const struct ranges *const *lists, size_t n, ranges_merge merge, void *arg,
	struct ranges *ret)
{
	struct walk w = {.lists = lists, .n = n, .family = 4};
	bool end = false;
	int e = 0;

	if (n > RANGES_LISTS_MAX)
		return -E2BIG;
	while (e == 0 && !end) {
		struct range r = {.line = 0};

		if (!walk_cover(&w, &end))
			continue;
		r.family = w.family;
		r.lo = w.at;
		r.hi = walk_end(&w);
		w.at = address128_next(r.hi);
		end = w.at.hi == 0 && w.at.lo == 0;
		e = merge(arg, w.cover, &r);
		if (e == 0 && (r.region[0] || r.has_asn || r.holder))
			e = add_or_extend(ret, &r);
	}
	return e;
}
