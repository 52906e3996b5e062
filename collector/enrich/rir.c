#include "collector/enrich/rir.h"

#include <errno.h>
#include <inttypes.h>
#include <strings.h>

/* Fields of a record that we know; later ones are extensions. */
enum field {
	REGISTRY,
	COUNTRY,
	TYPE,
	START,
	VALUE,
	DATE,
	STATUS,
	HOLDER,
	FIELDS_N
};
/* Of the version line: version|registry|serial|records|startdate|enddate|UTCoffset. */
#define VERSION_END_DATE 5
#define VERSION_FIELDS 7u

enum type {
	TYPE_ASN,
	TYPE_IPV4,
	TYPE_IPV6,
	TYPES_N
};
static const char *const type_names[TYPES_N] = {"asn", "ipv4", "ipv6"};

struct counts {
	uint64_t told[TYPES_N], found[TYPES_N];
};

static enum type type_of(struct piece t)
{
	enum type type = TYPE_ASN;

	while (type < TYPES_N && !piece_is(t, type_names[type]))
		type++;
	return type;
}

static bool is_word(struct piece t, const char *word)
{
	return t.n == strlen(word) && strncasecmp(t.p, word, t.n) == 0;
}

static int version_line(struct source *s, uint32_t line, const struct piece *field, size_t n)
{
	uint64_t version;

	if (n < VERSION_FIELDS || field[0].n == 0 ||
		!piece_number((struct piece){field[0].p, 1}, 9, &version))
		return source_fail(
			s, line, "no version line (version|registry|serial|records|startdate|...)");
	s->day = piece_day(field[VERSION_END_DATE]);
	return 0;
}

static int summary_line(
	struct source *s, uint32_t line, const struct piece *field, struct counts *counts)
{
	enum type type = type_of(field[TYPE]);
	uint64_t v;
	char q[64];

	if (type == TYPES_N || !piece_number(field[VALUE], UINT32_MAX, &v))
		return source_fail(s, line, "summary of %s", piece_quote(field[TYPE], q));
	counts->told[type] += v;
	return 0;
}

/* @return NULL or what is wrong */
static const char *stretch(enum type type, const struct piece *field, struct range *r)
{
	uint64_t v;

	if (!piece_address(field[START], &r->family, &r->lo) ||
		r->family != (type == TYPE_IPV4 ? 4 : 6))
		return "start is no address of this type";
	if (type == TYPE_IPV6) {
		if (!piece_number(field[VALUE], 128, &v) ||
			!address128_prefix_end(r->lo, 6, (unsigned)v, &r->hi))
			return "value is no prefix length of this start";
		return NULL;
	}
	if (!piece_number(field[VALUE], UINT64_C(1) << 32, &v) || v == 0 ||
		v > (UINT64_C(1) << 32) - r->lo.lo)
		return "value is no number of addresses";
	r->hi = (struct address128){0, r->lo.lo + v - 1};
	return NULL;
}

static int record_line(
	struct source *s, uint32_t line, const struct piece *field, size_t n, struct counts *counts)
{
	enum type type = type_of(field[TYPE]);
	struct range r = {.line = 0};
	const char *wrong;
	char q[64];
	int e = 0;

	if (type == TYPES_N)
		return source_fail(s, line, "unknown type %s", piece_quote(field[TYPE], q));
	counts->found[type]++;
	if (type == TYPE_ASN)
		return 0;
	wrong = stretch(type, field, &r);
	if (wrong)
		return source_fail(s, line, "%s", wrong);
	if (is_word(field[STATUS], "available") || is_word(field[STATUS], "reserved") ||
		is_word(field[STATUS], "ianapool") || is_word(field[STATUS], "ietf"))
		return 0;
	if (!is_word(field[STATUS], "allocated") && !is_word(field[STATUS], "assigned"))
		return source_fail(s, line, "unknown status %s", piece_quote(field[STATUS], q));
	if (field[COUNTRY].n == 0 || piece_is(field[COUNTRY], "*"))
		memcpy(r.region, "ZZ", 2);
	else if (!piece_region(field[COUNTRY], r.region))
		return source_fail(s, line, "%s is no country", piece_quote(field[COUNTRY], q));
	if (n > HOLDER && field[HOLDER].n > 0) {
		if (!piece_holder(field[HOLDER]))
			return source_fail(
				s, line, "%s is no opaque-id", piece_quote(field[HOLDER], q));
		e = names_add(s->names, field[HOLDER].p, field[HOLDER].n, &r.holder);
	}
	return e == 0 ? source_add(s, line, &r) : e;
}

int rir_parse(struct source *s)
{
	struct lines lines = {.rest = bytes_of(s->data, s->n)};
	struct counts counts = {.told = {0}};
	bool versioned = false;
	struct piece text;
	int e = 0;

	while (e == 0 && lines_next(&lines, &text)) {
		struct piece field[FIELDS_N] = {{NULL, 0}};
		size_t n = 0;

		if (text.n == 0 || *text.p == '#')
			continue;
		while (n < FIELDS_N && piece_field(&text, '|', false, &field[n]))
			n++;
		if (!versioned)
			e = version_line(s, lines.number, field, n);
		else if (n == STATUS && piece_is(field[DATE], "summary"))
			e = summary_line(s, lines.number, field, &counts);
		else if (n <= STATUS)
			e = source_fail(s, lines.number, "%zu fields, at least %u are needed", n,
				(unsigned)STATUS + 1);
		else
			e = record_line(s, lines.number, field, n, &counts);
		versioned = true;
	}
	if (e == 0 && !versioned)
		e = source_fail(s, 0, "no version line");
	for (enum type type = TYPE_ASN; e == 0 && type < TYPES_N; type++)
		if (counts.found[type] < counts.told[type])
			e = source_fail(s, lines.number,
				"the file ends early: %" PRIu64
				" records of %s, its summary tells %" PRIu64,
				counts.found[type], type_names[type], counts.told[type]);
	return e;
}
