#include "sensor/mask_view.h"

#include <string.h>

/* Shortest text that an address can have: 0.0.0.0 */
#define TEXT_MIN 7u

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void find_digits(struct view *v)
{
	for (size_t i = 0; i < v->n; i++) {
		int d = hex_value(v->c[i]);

		v->digit[i] = d < 0 ? VIEW_NO_DIGIT : (uint8_t)d;
	}
}

void view_plain(struct view *v, uint8_t *out, const uint8_t *from, size_t n)
{
	v->n = n;
	v->escaped = false;
	v->out = out;
	memcpy(v->c, from, n);
	for (size_t i = 0; i <= n; i++)
		v->at[i] = (uint16_t)i;
	find_digits(v);
}

static size_t escape_at(const uint8_t *p, size_t n, uint8_t *ret)
{
	size_t digits = 0;

	if (n >= 3 && p[0] == '%')
		digits = 1;
	else if (n >= 4 && p[0] == '\\' && (p[1] | 0x20) == 'x')
		digits = 2;
	if (digits == 0 || hex_value(p[digits]) < 0 || hex_value(p[digits + 1]) < 0)
		return 0;
	*ret = (uint8_t)(hex_value(p[digits]) << 4 | hex_value(p[digits + 1]));
	return digits + 2;
}

bool view_escaped(struct view *v, uint8_t *out, const uint8_t *from, size_t n)
{
	size_t i = 0;

	if (!memchr(from, '%', n) && !memchr(from, '\\', n))
		return false;
	v->n = 0;
	v->escaped = true;
	v->out = out;
	while (i < n) {
		size_t span = escape_at(from + i, n - i, &v->c[v->n]);

		if (span == 0 && ((from[i] == '%' && n - i < 3) || (from[i] == '\\' && n - i < 4)))
			break; /* cut within an escape: the view ends in front of it */
		if (span == 0) {
			v->c[v->n] = from[i];
			span = 1;
		}
		v->at[v->n++] = (uint16_t)i;
		i += span;
	}
	v->at[v->n] = (uint16_t)i;
	find_digits(v);
	return v->n < n;
}

bool view_wide(struct view *v, uint8_t *out, const uint8_t *from, size_t n, size_t first)
{
	size_t text = 0;

	v->n = 0;
	v->escaped = false;
	v->out = out;
	for (size_t i = first; i < n; i += 2) {
		bool wide = i + 1 == n || from[i + 1] == 0;

		v->c[v->n] = wide ? from[i] : 0;
		v->at[v->n++] = (uint16_t)i;
		text += wide && from[i] != 0;
	}
	v->at[v->n] = (uint16_t)n;
	find_digits(v);
	return text >= TEXT_MIN;
}

void view_put(struct view *v, size_t i, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	size_t end = v->at[i + 1];

	if (!v->escaped || end - v->at[i] == 1) {
		v->out[v->at[i]] = c;
		return;
	}
	v->out[end - 2] = (uint8_t)hex[c >> 4];
	v->out[end - 1] = (uint8_t)hex[c & 15];
}

void view_fill(struct view *v, size_t from, size_t to, uint8_t c)
{
	if (v->escaped && c == '0') { /* which characters were escaped tells where parts end */
		memset(v->out + v->at[from], c, (size_t)(v->at[to] - v->at[from]));
		return;
	}
	for (; from < to; from++)
		view_put(v, from, c);
}

size_t view_digits(const struct view *v, size_t i, unsigned base, size_t max, uint64_t *ret_value)
{
	size_t n = 0;
	uint64_t value = 0;

	for (; n < max && i + n < v->n && v->digit[i + n] < base; n++)
		value = value * base + v->digit[i + n];
	*ret_value = value;
	return n;
}

bool view_text_at(const struct view *v, size_t i, const char *text)
{
	for (; *text; text++, i++) {
		uint8_t c = i < v->n ? v->c[i] : 0;

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (uint8_t)*text)
			return false;
	}
	return true;
}
