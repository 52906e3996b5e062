#include "common/bogon.h"

#include <string.h>

#include "common/bytes.h"

struct net4 {
	uint32_t addr, mask;
};

struct net6 {
	uint8_t addr[16];
	uint8_t length;
};

#define NET4(a, b, c, d, length)                                                                \
	{                                                                                       \
		(uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d), UINT32_MAX << (32 - (length)) \
	}

/* IANA IPv4 Special-Purpose Address Registry (RFC 6890 and later ones): what is not globally
 * reachable, of whatever size; and multicast (RFC 5771). */
static const struct net4 bogon4[] = {
	NET4(0, 0, 0, 0, 8), /* RFC 791: this network */
	NET4(10, 0, 0, 0, 8), /* RFC 1918 */
	NET4(100, 64, 0, 0, 10), /* RFC 6598: shared */
	NET4(127, 0, 0, 0, 8), /* RFC 1122: loopback */
	NET4(169, 254, 0, 0, 16), /* RFC 3927: link local */
	NET4(172, 16, 0, 0, 12), /* RFC 1918 */
	NET4(192, 0, 0, 0, 24), /* RFC 6890: protocol assignments, two addresses apart */
	NET4(192, 0, 2, 0, 24), /* RFC 5737: documentation */
	NET4(192, 88, 99, 0, 24), /* RFC 7526: 6to4 relays, withdrawn */
	NET4(192, 168, 0, 0, 16), /* RFC 1918 */
	NET4(198, 18, 0, 0, 15), /* RFC 2544: benchmarking */
	NET4(198, 51, 100, 0, 24), /* RFC 5737 */
	NET4(203, 0, 113, 0, 24), /* RFC 5737 */
	NET4(224, 0, 0, 0, 3), /* RFC 5771: multicast; RFC 1112: reserved; RFC 919: broadcast */
};

/* Globally reachable within 192.0.0.0/24: RFC 7723 (PCP anycast), RFC 8155 (TURN anycast). */
#define PCP_ANYCAST4 UINT32_C(0xc0000009)
#define TURN_ANYCAST4 UINT32_C(0xc000000a)

/* The same for IPv6, within global unicast. */
static const struct net6 bogon6[] = {
	{{0x20, 0x01, 0x00, 0x02}, 48}, /* 2001:2::/48, RFC 5180: benchmarking */
	{{0x20, 0x01, 0x00, 0x10}, 28}, /* 2001:10::/28, RFC 4843: ORCHID, withdrawn */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* 2001:db8::/32, RFC 3849: documentation */
	{{0x3f, 0xff}, 20}, /* 3fff::/20, RFC 9637: documentation */
};

/* Outside of global unicast (2000::/3) only NAT64's well-known prefix is reachable (RFC 6052); the
 * rest is reserved, local, multicast, ... (IANA IPv6 Address Space; 5f00::/16 are segment
 * identifiers, RFC 9602). */
static const struct net6 global_unicast6 = {{0x20}, 3};
static const struct net6 nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};

/* 2001::/23 is set aside for protocols (RFC 2928). Reachable of it: */
static const struct net6 protocol6 = {{0x20, 0x01}, 23};
static const struct net6 protocol6_reachable[] = {
	{{0x20, 0x01}, 32}, /* RFC 4380: Teredo */
	{{0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128}, /* RFC 7723: PCP anycast */
	{{0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, 128}, /* RFC 8155: TURN anycast */
	{{0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3},
		128}, /* RFC 9665: DNS-SD anycast */
	{{0x20, 0x01, 0, 3}, 32}, /* RFC 7450: AMT */
	{{0x20, 0x01, 0, 4, 0x01, 0x12}, 48}, /* RFC 7535: AS112 */
	{{0x20, 0x01, 0, 0x20}, 28}, /* RFC 7343: ORCHIDv2 */
	{{0x20, 0x01, 0, 0x30}, 28}, /* RFC 9374: drone identifiers */
};

static bool in_net6(const uint8_t *addr, const struct net6 *net)
{
	size_t whole = net->length / 8;
	uint8_t rest = (uint8_t)(0xff00 >> (net->length % 8));

	return memcmp(addr, net->addr, whole) == 0 &&
	       (whole == 16 || (addr[whole] & rest) == net->addr[whole]);
}

static bool in_any6(const uint8_t *addr, const struct net6 *nets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (in_net6(addr, &nets[i]))
			return true;
	return false;
}

static bool is_bogon6(const uint8_t *addr)
{
	if (!in_net6(addr, &global_unicast6))
		return !in_net6(addr, &nat64);
	if (in_net6(addr, &protocol6))
		return !in_any6(addr, protocol6_reachable, ARRAY_SIZE(protocol6_reachable));
	return in_any6(addr, bogon6, ARRAY_SIZE(bogon6));
}

static bool is_bogon4(uint32_t addr)
{
	for (size_t i = 0; i < ARRAY_SIZE(bogon4); i++)
		if ((addr & bogon4[i].mask) == bogon4[i].addr)
			return addr != PCP_ANYCAST4 && addr != TURN_ANYCAST4;
	return false;
}

bool bogon(uint8_t family, const uint8_t *address)
{
	return family == 4 ? is_bogon4(load_be32(address)) : is_bogon6(address);
}
