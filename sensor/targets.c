#include "sensor/targets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "common/bytes.h"

/* Longest text of one entry: two IPv6 prefixes, " = " and some blanks. */
#define TEXT_MAX 128u
/* A first guard: one bit for each value of the first two bytes (8 KiB stays in the first-level
 * cache), so that nearly every address that is not ours costs one load. */
#define GUARD_BYTES (65536u / 8)

struct slot {
	uint8_t prefix[16];
	uint8_t length;
	uint32_t entry; /* index + 1, 0 = free */
};

/* Prefixes of one family and side: open addressing, and the list of lengths that occur, longest
 * first. Entries are the owner's, so an attacker chooses lookups but never what is stored. */
struct table {
	struct slot *slots;
	size_t n, size; /* size is a power of two, at least 2n */
	uint8_t lengths[129];
	uint8_t lengths_n;
	uint8_t guard[GUARD_BYTES];
};

enum side {
	CAPTURED,
	PUBLIC,
	SIDES
};

struct targets {
	struct target *entries;
	size_t n, cap;
	struct table tables[SIDES][2]; /* of IPv4, IPv6 */
	bool all[2];
	uint32_t all_entry[2];
	bool nat;
	uint32_t next; /* ordinals below were issued */
};

static size_t family_index(uint8_t family)
{
	return family == 6;
}

static size_t width(uint8_t family)
{
	return family == 6 ? 16 : 4;
}

int targets_new(struct targets **ret)
{
	struct targets *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*ret = t;
	return 0;
}

struct targets *targets_free(struct targets *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < SIDES * 2; i++)
		free(t->tables[i / 2][i % 2].slots);
	free(t->entries);
	free(t);
	return NULL;
}

/* The first `length` bits of 16 bytes, the rest zero. */
static void cut(uint8_t *to, const uint8_t *addr, size_t n, uint8_t length)
{
	size_t whole = length / 8;

	memset(to, 0, 16);
	if (whole > n)
		whole = n;
	memcpy(to, addr, whole);
	if (length % 8 != 0 && whole < n)
		to[whole] = (uint8_t)(addr[whole] & (0xff00 >> (length % 8)));
}

/* The keys are the owner's own choice, so no key is needed; the high bits of the product are mixed.
 */
static size_t slot_of(const struct table *b, const uint8_t *prefix, uint8_t length)
{
	uint64_t h =
		load_be64(prefix) ^ load_be64(prefix + 8) * UINT64_C(0x9e3779b97f4a7c15) ^ length;

	return (h * UINT64_C(0xd6e8feb86659fd93) >> 32) & (b->size - 1);
}

/* The slot that holds the prefix, or the free one where it belongs. */
static struct slot *probe(const struct table *b, const uint8_t *prefix, uint8_t length)
{
	size_t i = slot_of(b, prefix, length);

	while (b->slots[i].entry != 0 &&
		(b->slots[i].length != length || memcmp(b->slots[i].prefix, prefix, 16) != 0))
		i = (i + 1) & (b->size - 1);
	return &b->slots[i];
}

static const struct slot *table_find(const struct table *b, const uint8_t *addr, size_t n)
{
	uint16_t first = load_be16(addr);
	uint8_t prefix[16];

	if (!(b->guard[first >> 3] & 1u << (first & 7)))
		return NULL;
	for (uint8_t i = 0; i < b->lengths_n; i++) {
		const struct slot *s;

		cut(prefix, addr, n, b->lengths[i]);
		s = probe(b, prefix, b->lengths[i]);
		if (s->entry != 0)
			return s;
	}
	return NULL;
}

static int table_grow(struct table *b)
{
	struct table bigger = *b;

	if (b->size >= 2 * (b->n + 1))
		return 0;
	bigger.size = b->size > 0 ? b->size * 2 : 16;
	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < b->size; i++) {
		const struct slot *s = &b->slots[i];

		if (s->entry != 0)
			*probe(&bigger, s->prefix, s->length) = *s;
	}
	free(b->slots);
	b->slots = bigger.slots;
	b->size = bigger.size;
	return 0;
}

/* There is room: table_grow() came before. */
static void table_insert(struct table *b, const uint8_t *prefix, uint8_t length, uint32_t entry)
{
	struct slot *s = probe(b, prefix, length);
	uint32_t first = load_be16(prefix);
	uint32_t last = first | (length < 16 ? 0xffffu >> length : 0);
	uint8_t at = 0;

	memcpy(s->prefix, prefix, 16);
	s->length = length;
	s->entry = entry;
	b->n++;
	for (; first <= last; first++)
		b->guard[first >> 3] |= (uint8_t)(1u << (first & 7));
	while (at < b->lengths_n && b->lengths[at] > length)
		at++;
	if (at < b->lengths_n && b->lengths[at] == length)
		return;
	memmove(&b->lengths[at + 1], &b->lengths[at], (size_t)(b->lengths_n - at));
	b->lengths[at] = length;
	b->lengths_n++;
}

static const uint8_t *entry_side(const struct target *e, enum side side)
{
	return side == CAPTURED ? e->captured : e->address;
}

/* Does the new entry share an address with one that is there, on this side? Shorter prefixes are
 * found by a lookup; longer ones can only lie in it when it is no single address. */
static bool overlaps(const struct targets *t, const struct target *e, enum side side)
{
	const struct table *b = &t->tables[side][family_index(e->family)];
	size_t n = width(e->family);
	uint8_t prefix[16];

	if (t->all[family_index(e->family)] || (e->prefix_length == 0 && b->n > 0))
		return true;
	if (b->n > 0 && table_find(b, entry_side(e, side), n))
		return true;
	if (e->prefix_length == 8 * n)
		return false;
	for (size_t i = 0; i < t->n; i++) {
		if (t->entries[i].family != e->family)
			continue;
		cut(prefix, entry_side(&t->entries[i], side), n, e->prefix_length);
		if (memcmp(prefix, entry_side(e, side), 16) == 0)
			return true;
	}
	return false;
}

/* One "ADDRESS[/LENGTH]". @return NULL or what is wrong with it */
static const char *parse_prefix(
	char *text, uint8_t *ret_family, uint8_t *ret_addr, uint8_t *ret_length)
{
	char *slash = strchr(text, '/'), *end;
	uint8_t addr[16] = {0}, prefix[16];
	uint8_t family = strchr(text, ':') ? 6 : 4;
	unsigned long length = 8 * width(family);

	if (slash) {
		*slash = '\0';
		if (slash[1] < '0' || slash[1] > '9')
			return "the prefix length is no number";
		length = strtoul(slash + 1, &end, 10);
		if (*end != '\0')
			return "the prefix length is no number";
		if (length > 8 * width(family))
			return "the prefix length is too long";
	}
	if (inet_pton(family == 6 ? AF_INET6 : AF_INET, text, addr) != 1)
		return "no IPv4 or IPv6 address";
	if (family == 4 && length != 0 && length < 8)
		return "an IPv4 prefix is shorter than /8";
	cut(prefix, addr, width(family), (uint8_t)length);
	if (memcmp(prefix, addr, 16) != 0)
		return "bits behind the prefix length are set";
	*ret_family = family;
	*ret_length = (uint8_t)length;
	memcpy(ret_addr, addr, 16);
	return NULL;
}

static char *strip(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	for (n = strlen(s); n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'); n--)
		s[n - 1] = '\0';
	return s;
}

static const char *parse_target(char *text, struct target *e)
{
	char *equals = strchr(text, '=');
	uint8_t family, length;
	const char *wrong;

	if (equals)
		*equals = '\0';
	wrong = parse_prefix(strip(text), &e->family, e->captured, &e->prefix_length);
	if (wrong)
		return wrong;
	memcpy(e->address, e->captured, sizeof(e->address));
	if (!equals)
		return NULL;
	wrong = parse_prefix(strip(equals + 1), &family, e->address, &length);
	if (wrong)
		return wrong;
	if (family != e->family)
		return "captured and public address are of different families";
	if (length != e->prefix_length)
		return "captured and public prefix differ in length";
	return NULL;
}

static int make_room(struct targets *t, uint8_t family)
{
	size_t cap = t->cap ? t->cap * 2 : 16;
	struct target *bigger;
	int r = 0;

	for (size_t side = 0; side < SIDES && r == 0; side++)
		r = table_grow(&t->tables[side][family_index(family)]);
	if (r < 0 || t->n < t->cap)
		return r;
	bigger = realloc(t->entries, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	t->entries = bigger;
	t->cap = cap;
	return 0;
}

int targets_add(struct targets *t, const char *text, const char **ret_reason)
{
	char copy[TEXT_MAX];
	struct target e = {0};
	size_t n = strlen(text), f;
	const char *wrong;
	int r;

	if (n >= sizeof(copy)) {
		*ret_reason = "no IPv4 or IPv6 address";
		return -EINVAL;
	}
	memcpy(copy, text, n + 1);
	wrong = parse_target(copy, &e);
	if (!wrong && (overlaps(t, &e, CAPTURED) || overlaps(t, &e, PUBLIC)))
		wrong = "it overlaps another address of this sensor";
	if (wrong) {
		*ret_reason = wrong;
		return -EINVAL;
	}
	r = make_room(t, e.family);
	if (r < 0)
		return r;
	f = family_index(e.family);
	t->entries[t->n++] = e;
	if (e.prefix_length == 0) {
		t->all[f] = true;
		t->all_entry[f] = (uint32_t)t->n;
		return 0;
	}
	table_insert(&t->tables[CAPTURED][f], e.captured, e.prefix_length, (uint32_t)t->n);
	table_insert(&t->tables[PUBLIC][f], e.address, e.prefix_length, (uint32_t)t->n);
	t->nat = t->nat || memcmp(e.captured, e.address, 16) != 0;
	return 0;
}

size_t targets_n(const struct targets *t)
{
	return t->n;
}

const struct target *targets_at(const struct targets *t, size_t i)
{
	return &t->entries[i];
}

void targets_issue(struct targets *t, size_t i, uint32_t first)
{
	const struct target *e = &t->entries[i];
	uint64_t next =
		(uint64_t)first + (e->family == 4 ? UINT64_C(1) << (32 - e->prefix_length) : 1);

	t->entries[i].first = first;
	if (first > 0)
		targets_reserve(t, next < INT32_MAX ? (uint32_t)next : INT32_MAX);
}

void targets_reserve(struct targets *t, uint32_t next)
{
	if (next > t->next)
		t->next = next;
}

uint32_t targets_next(const struct targets *t)
{
	return t->next;
}

bool targets_all_issued(const struct targets *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->entries[i].prefix_length > 0 && t->entries[i].first == 0)
			return false;
	return true;
}

static const struct target *find(const struct targets *t, uint8_t family, const uint8_t *addr)
{
	size_t f = family_index(family);
	const struct slot *s = table_find(&t->tables[CAPTURED][f], addr, width(family));

	if (s)
		return &t->entries[s->entry - 1];
	return t->all[f] ? &t->entries[t->all_entry[f] - 1] : NULL;
}

bool targets_find(
	const struct targets *t, uint8_t family, const uint8_t *addr, uint32_t *ret_ordinal)
{
	const struct target *e = find(t, family, addr);

	if (!e)
		return false;
	if (e->prefix_length == 0)
		*ret_ordinal = 0;
	else if (family == 6)
		*ret_ordinal = e->first;
	else
		*ret_ordinal = e->first + (load_be32(addr) - load_be32(e->captured));
	return true;
}

bool targets_nat(const struct targets *t)
{
	return t->nat;
}

bool targets_public(const struct targets *t, uint8_t family, const uint8_t *addr, uint8_t *ret)
{
	const struct target *e = find(t, family, addr);

	if (!e)
		return false;
	/* Host bits of both sides are zero, so they can be exchanged by exclusive or. */
	for (size_t i = 0; i < width(family); i++)
		ret[i] = addr[i] ^ e->captured[i] ^ e->address[i];
	return true;
}

uint8_t targets_own_length(const struct targets *t, uint8_t family, const uint8_t *addr)
{
	size_t f = family_index(family), n = width(family);
	const struct slot *s = table_find(&t->tables[CAPTURED][f], addr, n);

	if (!s && t->nat)
		s = table_find(&t->tables[PUBLIC][f], addr, n);
	return s ? s->length : 0;
}

bool targets_own(const struct targets *t, uint8_t family, const uint8_t *addr)
{
	return targets_own_length(t, family, addr) > 0;
}
