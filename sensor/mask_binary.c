/* Own addresses as bytes: IPv4 and IPv6, both byte orders, and the encodings that protocols use. */
#include <string.h>

#include "common/bytes.h"
#include "sensor/mask_view.h"
#include "sensor/own.h"

/* RFC 8489: a message carries the cookie, and addresses exclusive-or'ed with it (IPv6: with cookie
 * and transaction id, which follows it). */
#define STUN_COOKIE UINT32_C(0x2112a442)
#define STUN_COOKIE_AT 4u

static bool is_stun(const struct view *v)
{
	return v->n >= 20 && load_be32(v->c + STUN_COOKIE_AT) == STUN_COOKIE;
}

static void reverse16(uint8_t *to, const uint8_t *from)
{
	for (size_t i = 0; i < 16; i++)
		to[i] = from[15 - i];
}

static void binary4(const struct own *o, struct view *v)
{
	bool stun = is_stun(v);

	for (size_t i = 0; i + 4 <= v->n; i++) {
		uint32_t word = load_be32(v->c + i);

		if (own_number4(o, word) || own_number4(o, __builtin_bswap32(word)) ||
			(stun && own_number4(o, word ^ STUN_COOKIE)))
			view_fill(v, i, i + 4, 0);
	}
	/* Cut: the first two or three bytes of either order. */
	for (size_t k = 2; k <= 3 && k <= v->n; k++) {
		const uint8_t *p = v->c + v->n - k;
		uint32_t from = (uint32_t)load_be16(p) << 16 | (k == 3 ? (uint32_t)p[2] << 8 : 0);

		if (own_range4(o, from, from | (k == 3 ? 0xff : 0xffff)) ||
			own_low16(o, (uint16_t)(p[1] << 8 | p[0])))
			view_fill(v, v->n - k, v->n, 0);
	}
}

/* RFC 4291 2.7.1: ff02::1:ffXX:XXXX, the low 24 bits of a unicast address; RFC 2464 7: as a
 * multicast MAC address 33:33:ff:XX:XX:XX. Whose they are does not matter: they are somebody's
 * here. */
static void solicited_node(struct view *v)
{
	static const uint8_t group[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
	static const uint8_t mac[3] = {0x33, 0x33, 0xff};

	for (size_t i = 0; i < v->n; i++) {
		size_t left = v->n - i, from = 0;

		if (left > sizeof(group) && memcmp(v->c + i, group, sizeof(group)) == 0)
			from = i + sizeof(group);
		else if (left > sizeof(mac) && memcmp(v->c + i, mac, sizeof(mac)) == 0)
			from = i + sizeof(mac);
		if (from > 0)
			view_fill(v, from, from + 3 < v->n ? from + 3 : v->n, 0);
	}
}

static void binary6(const struct own *o, struct view *v)
{
	bool stun = is_stun(v);
	uint8_t other[16];

	/* The network's half tells enough, alone or with the rest behind it. */
	for (size_t i = 0; i + 8 <= v->n; i++)
		if (own_begins6(o, v->c + i, 64))
			view_fill(v, i, i + 16 < v->n ? i + 16 : v->n, 0);
	for (size_t i = 0; i + 16 <= v->n; i++) {
		bool hit;

		reverse16(other, v->c + i);
		hit = own_net6(o, other);
		for (size_t k = 0; stun && k < 16; k++)
			other[k] = v->c[i + k] ^ v->c[STUN_COOKIE_AT + k];
		if (hit || (stun && own_net6(o, other)))
			view_fill(v, i, i + 16, 0);
	}
	/* Cut: its first bytes, three at least. */
	for (size_t k = 3; k < 8 && k <= v->n; k++) {
		uint8_t begin[16] = {0};

		memcpy(begin, v->c + v->n - k, k);
		if (own_begins6(o, begin, (unsigned)(8 * k)))
			view_fill(v, v->n - k, v->n, 0);
	}
}

/* RFC 4380 4: 2001::/32, and in the last four bytes the client's IPv4 address, every bit inverted.
 */
static bool teredo_tells(const struct own *o, const uint8_t *addr)
{
	return load_be32(addr) == UINT32_C(0x20010000) && own_number4(o, ~load_be32(addr + 12));
}

bool mask_tells6(const struct own *o, const uint8_t *addr)
{
	static const uint8_t group[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

	if (o->any6 && (own_net6(o, addr) || memcmp(addr, group, sizeof(group)) == 0))
		return true;
	/* RFC 4291 2.5.5 (mapped), RFC 6052 (NAT64), RFC 5214 (ISATAP): the last four bytes; RFC
	 * 3056 (6to4): behind 2002. */
	return o->any4 &&
	       (own_number4(o, load_be32(addr + 12)) || teredo_tells(o, addr) ||
		       (load_be16(addr) == 0x2002 && own_number4(o, load_be32(addr + 2))));
}

void mask_binary(const struct own *o, struct view *v)
{
	if (o->any4)
		binary4(o, v);
	for (size_t i = 0; o->any4 && i + 16 <= v->n; i++)
		if (teredo_tells(o, v->c + i))
			view_fill(v, i + 12, i + 16, 0);
	if (o->any6) {
		solicited_node(v);
		binary6(o, v);
	}
}
