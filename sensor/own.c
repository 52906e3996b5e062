#include "sensor/own.h"

#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "sensor/targets.h"

/* Of IPv4 addresses, or of the upper halves of IPv6 addresses; both ends belong to it. */
struct range {
	uint64_t from, to;
};

struct ranges {
	struct range *list;
	size_t n;
};

struct own_set {
	const struct targets *t;
	struct ranges r4, r6;
	uint8_t low[65536 / 8]; /* low 16 bits of addresses in prefixes of /24 and longer */
};

static int compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

/* Sorted and without overlaps, so that a search may halve. */
static void unite(struct ranges *r)
{
	size_t kept = 0;

	qsort(r->list, r->n, sizeof(*r->list), compare);
	for (size_t i = 0; i < r->n; i++) {
		if (kept > 0 && r->list[i].from <= r->list[kept - 1].to) {
			if (r->list[i].to > r->list[kept - 1].to)
				r->list[kept - 1].to = r->list[i].to;
			continue;
		}
		r->list[kept++] = r->list[i];
	}
	r->n = kept;
}

static bool overlaps(const struct ranges *r, uint64_t from, uint64_t to)
{
	size_t low = 0, high = r->n;

	while (low < high) { /* the first range that ends at or behind from */
		size_t middle = low + (high - low) / 2;

		if (r->list[middle].to < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->n && r->list[low].from <= to;
}

static void add_entry(struct own_set *s, const struct target *e, const uint8_t *addr)
{
	unsigned length = e->prefix_length;
	uint64_t from, to;

	if (e->family == 6) {
		from = load_be64(addr);
		to = length < 64 ? from | UINT64_MAX >> length : from;
		s->r6.list[s->r6.n++] = (struct range){from, to};
		return;
	}
	from = load_be32(addr);
	to = from | (length < 32 ? UINT32_MAX >> length : 0);
	s->r4.list[s->r4.n++] = (struct range){from, to};
	for (uint64_t a = from; length >= 24 && a <= to; a++)
		s->low[(a & 0xffff) >> 3] |= (uint8_t)(1u << (a & 7));
}

int own_set_new(const struct targets *t, struct own_set **ret)
{
	struct own_set *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->t = t;
	s->r4.list = calloc(2 * targets_n(t) + 1, sizeof(*s->r4.list));
	s->r6.list = calloc(2 * targets_n(t) + 1, sizeof(*s->r6.list));
	if (!s->r4.list || !s->r6.list) {
		own_set_free(s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < targets_n(t); i++) {
		const struct target *e = targets_at(t, i);

		if (e->prefix_length == 0)
			continue;
		add_entry(s, e, e->captured);
		add_entry(s, e, e->address);
	}
	unite(&s->r4);
	unite(&s->r6);
	*ret = s;
	return 0;
}

struct own_set *own_set_free(struct own_set *s)
{
	if (!s)
		return NULL;
	free(s->r4.list);
	free(s->r6.list);
	free(s);
	return NULL;
}

void own_init(struct own *o, const struct own_set *s, const struct packet *p)
{
	o->set = s;
	o->family = p->key.family;
	o->any4 = o->family == 4 || s->r4.n > 0;
	o->any6 = o->family == 6 || s->r6.n > 0;
	memcpy(o->here[0], p->dst, sizeof(p->dst));
	if (!targets_nat(s->t) || !targets_public(s->t, o->family, p->dst, o->here[1]))
		memcpy(o->here[1], p->dst, sizeof(p->dst));
	o->here4[0] = load_be32(o->here[0]);
	o->here4[1] = load_be32(o->here[1]);
}

static bool is_here4(const struct own *o, uint32_t addr)
{
	return o->family == 4 && (addr == o->here4[0] || addr == o->here4[1]);
}

static bool near_here4(const struct own *o, uint32_t addr)
{
	return o->family == 4 && ((addr ^ o->here4[0]) < 256 || (addr ^ o->here4[1]) < 256);
}

static uint8_t own_length4(const struct own *o, uint32_t addr)
{
	uint8_t b[4];

	store_be32(b, addr);
	return targets_own_length(o->set->t, 4, b);
}

bool own_text4(const struct own *o, uint32_t addr)
{
	return is_here4(o, addr) || own_length4(o, addr) > 0;
}

static bool own_from_length(const struct own *o, uint32_t addr, uint8_t length)
{
	uint8_t own = own_length4(o, addr);

	return own >= length || (own > 0 && near_here4(o, addr)) || is_here4(o, addr);
}

bool own_number4(const struct own *o, uint32_t addr)
{
	return own_from_length(o, addr, 16);
}

bool own_field4(const struct own *o, uint32_t addr)
{
	return own_from_length(o, addr, 24);
}

bool own_range4(const struct own *o, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < 2 && o->family == 4; i++)
		if (from <= o->here4[i] && o->here4[i] <= to)
			return true;
	return overlaps(&o->set->r4, from, to);
}

bool own_low16(const struct own *o, uint16_t low)
{
	for (size_t i = 0; i < 2 && o->family == 4; i++)
		if ((o->here4[i] & 0xffff) == low)
			return true;
	return o->set->low[low >> 3] & 1u << (low & 7);
}

bool own_net6(const struct own *o, const uint8_t *addr)
{
	return own_begins6(o, addr, 64);
}

bool own_begins6(const struct own *o, const uint8_t *addr, unsigned bits)
{
	uint64_t behind = bits < 64 ? UINT64_MAX >> bits : 0;
	uint64_t from = load_be64(addr) & ~behind, to = from | behind;

	for (size_t i = 0; i < 2 && o->family == 6; i++) {
		uint64_t here = load_be64(o->here[i]);

		if (from <= here && here <= to)
			return true;
	}
	return overlaps(&o->set->r6, from, to);
}
