/*
 * IPv4 addresses in text: dotted and its relatives (other separators, dashes of host names, DNS
 * labels; decimal, hexadecimal and octal parts; either order, so in-addr.arpa too), and as one
 * number (hexadecimal, decimal, twelve digits).
 *
 * The replacement hides how many digits each part had: 203.0.113.7 becomes 00000.0.0.0, like every
 * address of that length.
 */
#include "sensor/mask_view.h"
#include "sensor/own.h"

struct parts {
	uint32_t value[4];
	size_t width[4];
	uint8_t separator[3]; /* where it is one character, else 0 */
	size_t n; /* parts read */
	size_t closed; /* of these, with a separator behind */
	size_t last; /* where the last part ends */
	size_t end; /* where reading stopped */
};

static bool is_separator(uint8_t c)
{
	switch (c) {
	case '.':
	case '-':
	case '_':
	case ',':
	case ':':
	case '/':
	case '|':
	case ' ': return true;
	default: return false;
	}
}

/* In a DNS name the separator is the length of the label behind it (RFC 1035 3.1). */
static bool is_label_length(uint8_t c)
{
	return c >= 1 && c <= 3;
}

static size_t separator(const struct view *v, size_t i, unsigned base)
{
	uint8_t c = i < v->n ? v->c[i] : 0;

	if (c == '[')
		return view_text_at(v, i, "[.]") ? 3 : 0;
	if (c == '\\')
		return view_text_at(v, i, "\\.") ? 2 : 0;
	if (is_label_length(c))
		return base == 10;
	if (!is_separator(c))
		return 0;
	return i + 1 < v->n && is_separator(v->c[i + 1]) ? 2 : 1;
}

/* One part. @return its width; 0 where it is none or above 255 */
static size_t part(const struct view *v, size_t i, unsigned base, size_t max, uint32_t *ret)
{
	size_t prefix =
		base == 16 && i < v->n && v->digit[i] == 0 && view_text_at(v, i, "0x") ? 2 : 0;
	uint64_t value;
	size_t n = view_digits(v, i + prefix, base, max, &value);

	if (n == 0 || value > 255)
		return 0;
	*ret = (uint32_t)value;
	return prefix + n;
}

static size_t part_max(unsigned base)
{
	return base == 16 ? 2 : base == 10 ? 3 : 4;
}

static void read_parts(const struct view *v, size_t i, unsigned base, struct parts *p)
{
	*p = (struct parts){.last = i, .end = i};
	while (p->n < 4) {
		size_t n = part(v, p->end, base, part_max(base), &p->value[p->n]), s;

		if (n == 0)
			return;
		p->width[p->n++] = n;
		p->last = p->end += n;
		if (p->n == 4)
			return;
		s = separator(v, p->end, base);
		if (s == 0)
			return;
		p->separator[p->closed++] = s == 1 ? v->c[p->end] : 0;
		p->end += s;
	}
}

static bool either_order(const struct own *o, const uint32_t *value)
{
	return own_text4(o, value[0] << 24 | value[1] << 16 | value[2] << 8 | value[3]) ||
	       own_text4(o, value[3] << 24 | value[2] << 16 | value[1] << 8 | value[0]);
}

/* Zeros, and three separators at fixed places from the end. */
static void fill_decimal(struct view *v, size_t from, size_t to, const struct parts *p)
{
	uint8_t s = p->separator[0];
	bool labels = is_label_length(s) && is_label_length(p->separator[1]) &&
		      is_label_length(p->separator[2]);

	view_fill(v, from, to, '0');
	if (v->escaped)
		return;
	if (labels && from > 0 && v->c[from - 1] == p->width[0]) {
		view_put(v, from - 1, (uint8_t)(to - from - 6));
		s = 1;
	} else if (labels || s == 0 || p->separator[1] != s || p->separator[2] != s) {
		return;
	}
	for (size_t back = 2; back <= 6; back += 2)
		view_put(v, to - back, s);
}

/* Hexadecimal and octal parts have as a rule two and four digits: then their places tell nothing.
 */
static void fill_parts(struct view *v, size_t from, size_t to, const struct parts *p)
{
	size_t at = from;

	view_fill(v, from, to, '0');
	for (size_t i = 0; i < 4; i++)
		if (v->escaped || p->width[i] != p->width[0])
			return;
	for (size_t i = 0; i < 3; i++) {
		at += p->width[0];
		if (p->separator[i] == 0)
			return;
		view_put(v, at++, p->separator[i]);
	}
}

/* Two or three parts in front of in-addr.arpa are a zone: its network. */
static bool is_own_zone(const struct own *o, const struct view *v, const struct parts *p)
{
	uint32_t net = 0;

	if (p->n < 2 || p->n > 3 || p->n != p->closed + (p->end < v->n && v->c[p->end] == 7) ||
		!view_text_at(v, p->end + (p->n != p->closed), "in-addr"))
		return false;
	for (size_t i = 0; i < p->n; i++)
		net |= p->value[i] << (8 * (4 - p->n + i));
	return own_range4(o, net, net | UINT32_MAX >> (8 * p->n));
}

/* Cut at the end, maybe within a separator: two closed parts at least. */
static bool is_own_begin(const struct own *o, const struct view *v, const struct parts *p)
{
	uint32_t from;

	if (v->n - p->end > 2 || p->closed < 2)
		return false;
	from = p->value[0] << 24 | p->value[1] << 16;
	return own_range4(o, from, from | 0xffff) ||
	       own_low16(o, (uint16_t)(p->value[1] << 8 | p->value[0]));
}

/* @return where the search goes on: behind a whole address */
static size_t mask_parts(const struct own *o, struct view *v, size_t i, unsigned base)
{
	struct parts p;

	read_parts(v, i, base, &p);
	if (p.n == 4) {
		size_t at = p.end - p.width[3];

		/* What stands behind may be digits too: the last part is tried at each width. */
		for (size_t max = part_max(base); max > 0; max--) {
			p.width[3] = part(v, at, base, max, &p.value[3]);
			if (p.width[3] == 0 || !either_order(o, p.value))
				continue;
			if (base == 10)
				fill_decimal(v, i, at + p.width[3], &p);
			else
				fill_parts(v, i, at + p.width[3], &p);
			return at + p.width[3];
		}
	}
	if (is_own_begin(o, v, &p) || (base == 10 && is_own_zone(o, v, &p)))
		view_fill(v, i, p.last, '0');
	return i;
}

static bool is_number(const struct own *o, uint64_t value)
{
	return value <= UINT32_MAX && (own_number4(o, (uint32_t)value) ||
					      own_number4(o, __builtin_bswap32((uint32_t)value)));
}

/* Eight digits anywhere; seven where nothing else stands beside them (first part below 16). */
static void mask_hex(const struct own *o, struct view *v, size_t i)
{
	uint64_t value;
	size_t n = view_digits(v, i, 16, 8, &value);

	if (n == 8 && is_number(o, value))
		view_fill(v, i, i + 8, '0');
	if (n == 7 && (i == 0 || !view_is_hex(v, i - 1)) && is_number(o, value))
		view_fill(v, i, i + 7, '0');
	if (n >= 4 && n < 8 && i + n == v->n) { /* cut at the end */
		uint32_t first;

		(void)view_digits(v, i, 16, 4, &value);
		first = (uint32_t)value;
		if (own_range4(o, first << 16, first << 16 | 0xffff) ||
			own_low16(o, __builtin_bswap16((uint16_t)first)))
			view_fill(v, i, v->n, '0');
	}
}

static void mask_decimal(const struct own *o, struct view *v, size_t i)
{
	bool negative = i > 0 && v->c[i - 1] == '-';
	uint64_t value = 0;

	for (size_t n = 1; n <= 10 && view_is_decimal(v, i + n - 1); n++) {
		value = value * 10 + v->digit[i + n - 1];
		if (n >= 7 &&
			(is_number(o, value) || (negative && value <= UINT32_MAX &&
							is_number(o, UINT32_MAX - value + 1))))
			view_fill(v, i, i + n, '0');
	}
}

/* 203000113007 */
static void mask_twelve(const struct own *o, struct view *v, size_t i)
{
	uint32_t value[4];
	uint64_t d;

	for (size_t k = 0; k < 4; k++) {
		if (view_digits(v, i + 3 * k, 10, 3, &d) != 3 || d > 255)
			return;
		value[k] = (uint32_t)d;
	}
	if (either_order(o, value))
		view_fill(v, i, i + 12, '0');
}

void mask_text4(const struct own *o, struct view *v)
{
	for (size_t i = 0; i < v->n; i++) {
		size_t next = i;

		if (!view_is_hex(v, i))
			continue;
		if (view_is_decimal(v, i))
			next = mask_parts(o, v, i, 10);
		if (next == i)
			next = mask_parts(o, v, i, 16);
		if (next == i && v->digit[i] == 0)
			next = mask_parts(o, v, i, 8);
		if (next > i) {
			i = next - 1;
			continue;
		}
		mask_hex(o, v, i);
		if (view_is_decimal(v, i)) {
			mask_decimal(o, v, i);
			mask_twelve(o, v, i);
		}
	}
}
