#include "collector/enrich/csv.h"

#include <errno.h>
#include <string.h>

/* Dotted, IPv6, or an integer. */
static bool address(struct piece t, uint8_t *ret_family, struct address128 *ret)
{
	uint64_t v;

	if (piece_number(t, UINT32_MAX, &v)) {
		*ret_family = 4;
		*ret = (struct address128){0, v};
		return true;
	}
	return piece_address(t, ret_family, ret);
}

/* "start,end,country", "network,geoname_id": a word, and no address. */
static bool is_header(struct piece t)
{
	uint8_t family;
	struct address128 a;

	for (size_t i = 0; i < t.n; i++)
		if (!((t.p[i] | 32) >= 'a' && (t.p[i] | 32) <= 'z') && t.p[i] != '_' &&
			t.p[i] != ' ')
			return false;
	return t.n > 0 && !address(t, &family, &a);
}

static int range_line(struct source *s, uint32_t line, const struct piece *field, size_t n)
{
	struct piece region = field[1];
	struct range r = {.line = 0};
	uint8_t family;
	char q[64];

	if (field[0].n > 0 && memchr(field[0].p, '/', field[0].n)) {
		if (!piece_prefix(field[0], &r))
			return source_fail(s, line, "%s is no prefix", piece_quote(field[0], q));
	} else {
		region = field[2];
		if (!address(field[0], &r.family, &r.lo))
			return source_fail(s, line, "%s is no address", piece_quote(field[0], q));
		if (!address(field[1], &family, &r.hi) || family != r.family ||
			address128_compare(r.lo, r.hi) > 0)
			return source_fail(s, line, "%s is no last address for this first one",
				piece_quote(field[1], q));
		if (n < 3)
			return source_fail(s, line, "the region is missing");
	}
	if (region.n == 0 || piece_is(region, "??") || piece_is(region, "-"))
		return 0;
	if (!piece_region(region, r.region))
		return source_fail(s, line, "%s is no region", piece_quote(region, q));
	return source_add(s, line, &r);
}

static int override_line(struct source *s, uint32_t line, const struct piece *field, size_t n)
{
	struct range r = {.line = 0};
	uint64_t asn;
	char q[64];
	int e = 0;

	(void)n;
	if (!piece_prefix(field[0], &r))
		return source_fail(s, line, "%s is no prefix", piece_quote(field[0], q));
	if (field[1].n > 0 && !piece_region(field[1], r.region))
		return source_fail(s, line, "%s is no region", piece_quote(field[1], q));
	if (field[2].n > 0) {
		if (!piece_number(field[2], UINT32_MAX, &asn))
			return source_fail(s, line, "%s is no ASN", piece_quote(field[2], q));
		r.has_asn = true;
		r.asn = (uint32_t)asn;
	}
	if (field[3].n > 0) {
		if (!piece_holder(field[3]))
			return source_fail(s, line, "%s is no holder (printable ASCII, at most %u)",
				piece_quote(field[3], q), NAMES_HOLDER_MAX);
		e = names_add(s->names, field[3].p, field[3].n, &r.holder);
	}
	if (e == 0 && !r.region[0] && !r.has_asn && !r.holder)
		return source_fail(s, line, "nothing is overridden");
	return e == 0 ? source_add(s, line, &r) : e;
}

static size_t split(struct piece text, size_t max, struct piece field[CSV_FIELDS_MAX])
{
	size_t n = 0;

	memset(field, 0, CSV_FIELDS_MAX * sizeof(*field));
	while (n < max && piece_field(&text, ',', true, &field[n]))
		n++;
	return n;
}

/* The next line that says something. */
static bool next_line(struct lines *lines, struct piece *ret)
{
	while (lines_next(lines, ret))
		if (ret->n > 0 && *ret->p != '#')
			return true;
	return false;
}

/* Without a header, or with any; further fields are left out. */
static int parse(struct source *s, csv_line take)
{
	struct lines lines = {.rest = bytes_of(s->data, s->n)};
	struct piece text, field[CSV_FIELDS_MAX];
	bool first = true;
	int e = 0;

	while (e == 0 && next_line(&lines, &text)) {
		size_t n = split(text, 4, field);

		if (!first || !is_header(field[0]))
			e = take(s, lines.number, field, n);
		first = false;
	}
	return e;
}

int csv_parse_ranges(struct source *s)
{
	return parse(s, range_line);
}

int csv_parse_overrides(struct source *s)
{
	return parse(s, override_line);
}

/* Columns. */

static bool is_named(
	const struct piece *have, size_t have_n, const struct piece *want, size_t want_n)
{
	for (size_t i = 0; have_n == want_n && i < want_n; i++)
		if (have[i].n != want[i].n || memcmp(have[i].p, want[i].p, want[i].n) != 0)
			return false;
	return have_n == want_n;
}

int csv_parse_columns(struct source *s, const char *columns, csv_line take)
{
	struct piece text, field[CSV_FIELDS_MAX], names[CSV_FIELDS_MAX];
	struct lines lines = {.rest = bytes_of(s->data, s->n)};
	size_t n,
		columns_n = split((struct piece){columns, strlen(columns)}, CSV_FIELDS_MAX, names);
	int e = 0;

	/* Spreadsheets put the mark of UTF-8 in front. */
	if (s->n >= 3 && memcmp(s->data, "\xef\xbb\xbf", 3) == 0)
		lines.rest = bytes_of(s->data + 3, s->n - 3);
	if (!next_line(&lines, &text))
		return source_fail(s, 0, "the header is missing: %s", columns);
	n = split(text, CSV_FIELDS_MAX, field);
	if (!is_named(field, n, names, columns_n))
		return source_fail(s, lines.number, "not the header: %s", columns);
	while (e == 0 && next_line(&lines, &text)) {
		n = split(text, CSV_FIELDS_MAX, field);
		e = n == columns_n ? take(s, lines.number, field, n)
				   : source_fail(s, lines.number, "%s%zu fields, not %zu: %s",
					     n == CSV_FIELDS_MAX ? "over " : "",
					     n == CSV_FIELDS_MAX ? n - 1 : n, columns_n, columns);
	}
	return e;
}
