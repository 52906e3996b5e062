/* IPv6 addresses in text: every spelling of RFC 4291 2.2, and ip6.arpa nibbles (RFC 3596). */
#include <string.h>

#include "common/bytes.h"
#include "sensor/mask_view.h"
#include "sensor/own.h"

struct groups {
	uint16_t group[8];
	size_t n;
	size_t gap; /* groups in front of "::" */
	bool has_gap;
};

static void address_of(const struct groups *g, uint8_t *ret)
{
	size_t front = g->has_gap ? g->gap : g->n;

	memset(ret, 0, 16);
	for (size_t i = 0; i < front; i++)
		store_be16(ret + 2 * i, g->group[i]);
	for (size_t i = front; i < g->n; i++)
		store_be16(ret + 16 - 2 * (g->n - i), g->group[i]);
}

static bool tells(const struct own *o, const struct groups *g)
{
	uint8_t addr[16];

	if (g->n != 8 && !(g->has_gap && g->n < 8))
		return false;
	address_of(g, addr);
	return mask_tells6(o, addr);
}

/* Cut at the end: two whole groups at least. */
static bool is_own_begin(const struct own *o, const struct groups *g, size_t whole)
{
	uint8_t addr[16] = {0};

	if (!o->any6 || g->has_gap || whole < 2 || g->n == 8)
		return false;
	if (whole > 4)
		whole = 4; /* the network's half */
	for (size_t i = 0; i < whole; i++)
		store_be16(addr + 2 * i, g->group[i]);
	return own_begins6(o, addr, (unsigned)(16 * whole));
}

/* Reads an address and looks at it after each group: what follows it may look like one more.
 * @return where the longest own one ends, 0 = none */
static size_t own_text6(const struct own *o, const struct view *v, size_t i)
{
	struct groups g = {0};
	size_t best = 0, pos = i, whole = 0;
	bool colon = false; /* a group stands in front: the next needs a colon */

	while (g.n < 8) {
		uint64_t value;
		size_t n;

		if (!g.has_gap && view_text_at(v, pos, "::")) {
			g.has_gap = true;
			g.gap = g.n;
			pos += 2;
			colon = false;
			whole = g.n;
			if (tells(o, &g))
				best = pos;
		}
		if (colon) {
			if (!view_text_at(v, pos, ":"))
				break;
			whole = g.n;
			pos++;
		}
		n = view_digits(v, pos, 16, 4, &value);
		if (n == 0)
			break;
		g.group[g.n++] = (uint16_t)value;
		pos += n;
		if (n == 4)
			whole = g.n;
		colon = true;
		if (tells(o, &g))
			best = pos;
	}
	if (best == 0 && pos == v->n && is_own_begin(o, &g, whole))
		best = pos;
	return best;
}

/* Nibbles, each with a dot or a label's length behind it, lowest first; fewer than 32 in front of
 * ip6.arpa are a zone. (The network is at their end: what is cut is left to mask_tail.) */
static size_t own_nibbles(const struct own *o, const struct view *v, size_t i)
{
	uint8_t nibble[32], addr[16] = {0}, forward[16] = {0};
	size_t n = 0, pos = i;

	while (n < 32) {
		uint64_t value;

		if (view_digits(v, pos, 16, 1, &value) == 0)
			break;
		nibble[n++] = (uint8_t)value;
		pos++;
		if (n == 32 || pos == v->n || (v->c[pos] != '.' && v->c[pos] != 1))
			break;
		pos++;
	}
	for (size_t k = 0; k < n; k++) {
		addr[(n - 1 - k) / 2] |= (uint8_t)(nibble[k] << ((n - 1 - k) % 2 ? 0 : 4));
		forward[k / 2] |= (uint8_t)(nibble[k] << (k % 2 ? 0 : 4));
	}
	if (n == 32)
		return own_net6(o, addr) || own_net6(o, forward) ? pos : 0;
	if (n >= 4 && (view_text_at(v, pos, "ip6") || view_text_at(v, pos + 1, "ip6")))
		return own_begins6(o, addr, n < 16 ? (unsigned)(4 * n) : 64) ? pos : 0;
	return 0;
}

static void fill_nibbles(struct view *v, size_t from, size_t to)
{
	for (; from < to; from += 2)
		view_fill(v, from, from + 1, '0');
}

void mask_text6(const struct own *o, struct view *v)
{
	for (size_t i = 0; i < v->n; i++) {
		bool hex = view_is_hex(v, i);
		size_t end;

		if (!hex && v->c[i] != ':')
			continue;
		end = hex && i > 0 && view_is_hex(v, i - 1) ? 0 : own_text6(o, v, i);
		if (end > 0) {
			view_fill(v, i, end, '0');
			if (end - i >= 4 && !v->escaped) /* still an address to the eye */
				view_fill(v, end - 3, end - 1, ':');
		}
		if (o->any6) {
			end = own_nibbles(o, v, i);
			if (end > 0)
				fill_nibbles(v, i, end);
		}
	}
}
