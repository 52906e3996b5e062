#include "collector/enrich/pfx2as.h"

/* "1", "1_2", "1,2", "1,2_3": every one a number. */
static bool first_origin(struct piece t, uint32_t *ret)
{
	size_t from = 0;
	uint64_t v;

	for (size_t i = 0; i <= t.n; i++) {
		if (i < t.n && t.p[i] != '_' && t.p[i] != ',')
			continue;
		if (!piece_number((struct piece){t.p + from, i - from}, UINT32_MAX, &v))
			return false;
		if (from == 0)
			*ret = (uint32_t)v;
		from = i + 1;
	}
	return true;
}

static int take(struct source *s, uint32_t line, struct piece text)
{
	struct piece field[4] = {{NULL, 0}};
	struct range r = {.has_asn = true};
	uint64_t length;
	size_t n = 0;
	char q[64];

	while (n < ARRAY_SIZE(field) && piece_field(&text, '\t', false, &field[n]))
		n++;
	if (n != 3)
		return source_fail(s, line, "prefix, length and origin are needed, between tabs");
	if (!piece_address(field[0], &r.family, &r.lo) ||
		!piece_number(field[1], r.family == 4 ? 32 : 128, &length) ||
		!address128_prefix_end(r.lo, r.family, (unsigned)length, &r.hi))
		return source_fail(
			s, line, "%s is no prefix of this length", piece_quote(field[0], q));
	if (!first_origin(field[2], &r.asn))
		return source_fail(s, line, "%s is no origin", piece_quote(field[2], q));
	return source_add(s, line, &r);
}

int pfx2as_parse(struct source *s)
{
	struct lines lines = {.rest = bytes_of(s->data, s->n)};
	struct piece text;
	int e = 0;

	while (e == 0 && lines_next(&lines, &text))
		if (text.n > 0 && *text.p != '#')
			e = take(s, lines.number, text);
	return e;
}
