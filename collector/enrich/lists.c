#include "collector/enrich/lists.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "collector/enrich/csv.h"

/* Text. */

/* A character of UTF-8 (RFC 3629) that is no control character. @return its bytes, 0: it is none */
static size_t character(struct piece t)
{
	const uint8_t *p = (const uint8_t *)t.p;
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	if (n == 0 || n > t.n || p[0] < ' ' || p[0] == 0x7f)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0; /* C1 */
	if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0)))
		return 0; /* overlong; surrogates */
	if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90)))
		return 0;
	return n;
}

static bool is_text(struct piece t)
{
	while (t.n > 0) {
		size_t n = character(t);

		if (n == 0)
			return false;
		t.p += n;
		t.n -= n;
	}
	return true;
}

/* What stands beside a prefix, put together. */
struct texts {
	char text[NAMES_TEXT_MAX];
	size_t n;
};

/* @param max  bytes that it may have; none: it may be empty */
static int add(struct source *s, uint32_t line, struct texts *t, struct piece field,
	const char *what, size_t max, bool none)
{
	char q[64];

	if (field.n == 0 && !none)
		return source_fail(s, line, "the %s is missing", what);
	/* Two quotes are one; one in front is the begin of a text that never ends. */
	if (field.n > 0 && *field.p == '"' && (field.n == 1 || field.p[1] != '"'))
		return source_fail(
			s, line, "%s: the closing quote is missing", piece_quote(field, q));
	if (field.n > max || !is_text(field))
		return source_fail(s, line, "%s is no %s (UTF-8, at most %zu bytes)",
			piece_quote(field, q), what, max);
	if (t->n > 0)
		t->text[t->n++] = '\t';
	for (size_t i = 0; i < field.n; i++) {
		t->text[t->n++] = field.p[i];
		i += field.p[i] == '"' && i + 1 < field.n && field.p[i + 1] == '"';
	}
	return 0;
}

/* YYYY-MM-DD, a day of the calendar. */
static bool is_day(struct piece t)
{
	char text[8];
	struct tm tm;
	time_t at;
	int32_t day;
	size_t n = 0;

	if (t.n != 10 || t.p[4] != '-' || t.p[7] != '-')
		return false;
	for (size_t i = 0; i < t.n; i++)
		if (i != 4 && i != 7)
			text[n++] = t.p[i];
	day = piece_day((struct piece){text, n});
	at = (time_t)day * 86400;
	return day != SOURCE_NO_DAY && gmtime_r(&at, &tm) &&
	       tm.tm_mday == (t.p[8] - '0') * 10 + (t.p[9] - '0');
}

/* One '@' with something on either side, no spaces: more can only be told by writing to it. */
static bool is_contact(struct piece t)
{
	const char *at = memchr(t.p, '@', t.n);

	return at && at > t.p && at + 1 < t.p + t.n &&
	       !memchr(at + 1, '@', t.n - (size_t)(at + 1 - t.p)) && !memchr(t.p, ' ', t.n) &&
	       !memchr(t.p, '"', t.n);
}

/* AS and a number, "not known": what reports call who is none. */
static bool is_taken(struct piece t)
{
	uint64_t asn;

	return piece_is(t, "not known") ||
	       (t.n > 2 && memcmp(t.p, "AS", 2) == 0 &&
		       piece_number((struct piece){t.p + 2, t.n - 2}, UINT64_MAX, &asn));
}

/* Networks. */

/* ADDRESS/LENGTH, or an address alone. */
static bool network(struct piece t, struct range *ret)
{
	if (t.n > 0 && memchr(t.p, '/', t.n))
		return piece_prefix(t, ret);
	if (!piece_address(t, &ret->family, &ret->lo))
		return false;
	ret->hi = ret->lo;
	return true;
}

/* FIRST-LAST, too. */
static bool network_or_range(struct piece t, struct range *ret)
{
	const char *dash = t.n > 0 ? memchr(t.p, '-', t.n) : NULL;
	struct piece first, last;
	uint8_t family;

	if (!dash)
		return network(t, ret);
	first = (struct piece){t.p, (size_t)(dash - t.p)};
	last = (struct piece){dash + 1, t.n - first.n - 1};
	while (first.n > 0 && first.p[first.n - 1] == ' ')
		first.n--;
	while (last.n > 0 && *last.p == ' ')
		last = (struct piece){last.p + 1, last.n - 1};
	return piece_address(first, &ret->family, &ret->lo) &&
	       piece_address(last, &family, &ret->hi) && family == ret->family &&
	       address128_compare(ret->lo, ret->hi) <= 0;
}

static int add_range(struct source *s, uint32_t line, struct range *r, const struct texts *t)
{
	int e = names_add(s->names, t->text, t->n, &r->holder);

	return e == 0 ? source_add(s, line, r) : e;
}

/* Lines. */

static int organization_line(
	struct source *s, uint32_t line, const struct piece field[CSV_FIELDS_MAX], size_t n)
{
	struct range r = {.line = 0};
	struct texts t = {.n = 0};
	char q[64];
	int e;

	(void)n;
	if (!network_or_range(field[0], &r))
		return source_fail(s, line, "%s is no prefix, nor a first and a last address",
			piece_quote(field[0], q));
	if (is_taken(field[1]))
		return source_fail(s, line,
			"organization %s: that is what reports call addresses without one",
			piece_quote(field[1], q));
	if (field[2].n > 0 && !is_contact(field[2]))
		return source_fail(s, line, "%s is no e-mail address", piece_quote(field[2], q));
	e = add(s, line, &t, field[1], "organization", LISTS_NAME_MAX, false);
	if (e == 0)
		e = add(s, line, &t, field[2], "contact", LISTS_CONTACT_MAX, true);
	return e == 0 ? add_range(s, line, &r, &t) : e;
}

static int scanner_line(
	struct source *s, uint32_t line, const struct piece field[CSV_FIELDS_MAX], size_t n)
{
	struct range r = {.line = 0};
	struct texts t = {.n = 0};
	char q[64];
	int e;

	(void)n;
	if (!network(field[0], &r))
		return source_fail(s, line, "%s is no prefix", piece_quote(field[0], q));
	for (size_t i = 3; i <= 4; i++)
		if (field[i].n > 0 && !is_day(field[i]))
			return source_fail(
				s, line, "%s is no day (YYYY-MM-DD)", piece_quote(field[i], q));
	if (field[3].n > 0 && field[4].n > 0 && memcmp(field[3].p, field[4].p, field[3].n) > 0)
		return source_fail(s, line, "valid_to is before valid_from");
	e = add(s, line, &t, field[1], "organization", LISTS_NAME_MAX, false);
	if (e == 0)
		e = add(s, line, &t, field[2], "source", LISTS_SOURCE_MAX, true);
	for (size_t i = 3; e == 0 && i <= 4; i++)
		e = add(s, line, &t, field[i], "day", 10, true);
	return e == 0 ? add_range(s, line, &r, &t) : e;
}

static int group_line(
	struct source *s, uint32_t line, const struct piece field[CSV_FIELDS_MAX], size_t n)
{
	struct range r = {.line = 0};
	struct texts t = {.n = 0};
	char q[64];
	int e;

	(void)n;
	if (!network(field[1], &r))
		return source_fail(s, line, "%s is no prefix", piece_quote(field[1], q));
	e = add(s, line, &t, field[0], "name", LISTS_NAME_MAX, false);
	return e == 0 ? add_range(s, line, &r, &t) : e;
}

int lists_parse_organizations(struct source *s)
{
	return csv_parse_columns(s, "prefix,organization,contact", organization_line);
}

int lists_parse_scanners(struct source *s)
{
	return csv_parse_columns(s, "prefix,organization,source,valid_from,valid_to", scanner_line);
}

int lists_parse_groups(struct source *s)
{
	return csv_parse_columns(s, "name,cidr", group_line);
}
