#include "collector/admin/address.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct prefix {
	int family;
	unsigned length;
	uint8_t bytes[16];
};

static bool host_bits_set(const struct prefix *p)
{
	size_t n = p->family == AF_INET ? 4 : 16;

	for (size_t bit = p->length; bit < n * 8; bit++)
		if (p->bytes[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

/* text: n bytes, spaces around it allowed */
static const char *parse_prefix(const char *text, size_t n, struct prefix *ret)
{
	char host[INET6_ADDRSTRLEN];
	struct prefix p = {0};
	const char *slash, *digit;
	unsigned max;

	while (n > 0 && text[0] == ' ')
		text++, n--;
	while (n > 0 && text[n - 1] == ' ')
		n--;
	slash = memchr(text, '/', n);
	if ((slash ? (size_t)(slash - text) : n) >= sizeof(host))
		return "not an address";
	(void)snprintf(host, sizeof(host), "%.*s", (int)(slash ? (size_t)(slash - text) : n), text);
	p.family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(p.family, host, p.bytes) != 1)
		return "not an address";
	max = p.family == AF_INET ? 32 : 128;
	p.length = max;
	if (slash) {
		p.length = 0;
		if (slash + 1 == text + n || text + n - slash > 4)
			return "the prefix's length is no number";
		for (digit = slash + 1; digit < text + n; digit++) {
			if (*digit < '0' || *digit > '9')
				return "the prefix's length is no number";
			p.length = p.length * 10 + (unsigned)(*digit - '0');
		}
		if (p.length > max)
			return "the prefix is longer than an address";
	}
	if (host_bits_set(&p))
		return "bits are set behind the prefix";
	if (p.family == AF_INET && p.length > 0 && p.length < 8)
		return "an IPv4 prefix is /8 at most, or 0.0.0.0/0";
	*ret = p;
	return NULL;
}

static void format(const struct prefix *p, char ret[CIDR_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN];

	(void)inet_ntop(p->family, p->bytes, host, sizeof(host)); /* cannot fail: there is room */
	(void)snprintf(ret, CIDR_TEXT_MAX, "%s/%u", host, p->length);
}

const char *address_parse(const char *text, struct address *ret)
{
	const char *equals = strchr(text, '='), *wrong;
	struct prefix captured, p;

	*ret = (struct address){0};
	wrong = equals ? parse_prefix(equals + 1, strlen(equals + 1), &p)
		       : parse_prefix(text, strlen(text), &p);
	if (wrong)
		return wrong;
	format(&p, ret->public_);
	if (!equals)
		return NULL;
	wrong = parse_prefix(text, (size_t)(equals - text), &captured);
	if (wrong)
		return wrong;
	if (captured.family != p.family || captured.length != p.length)
		return "captured and public address differ in family or length";
	format(&captured, ret->captured);
	return NULL;
}
