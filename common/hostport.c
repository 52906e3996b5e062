#include "common/hostport.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool parse_port(const char *s, uint16_t *ret)
{
	unsigned v = 0;
	size_t n = strlen(s);

	if (n == 0 || n > 5)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (unsigned)(*s - '0');
	}
	if (v > 65535)
		return false;
	*ret = (uint16_t)v;
	return true;
}

int hostport_parse(const char *text, struct hostport *ret)
{
	struct hostport hp = {0};
	const char *host = text, *colon;
	size_t n;

	if (text[0] == '[') {
		host = text + 1;
		colon = strchr(host, ']');
		if (!colon || colon[1] != ':')
			return -EINVAL;
		n = (size_t)(colon - host);
		colon++;
	} else {
		colon = strchr(text, ':');
		if (!colon || strchr(colon + 1, ':')) /* bare IPv6 is ambiguous */
			return -EINVAL;
		n = (size_t)(colon - host);
	}
	if (n == 0 || n >= sizeof(hp.host) || !parse_port(colon + 1, &hp.port))
		return -EINVAL;
	memcpy(hp.host, host, n);
	*ret = hp;
	return 0;
}

const char *hostport_check(const void *value)
{
	const char *text = *(char *const *)value;
	struct hostport hp;

	if (!text || !*text || hostport_parse(text, &hp) == 0)
		return NULL;
	return "must be HOST:PORT or [ADDRESS]:PORT";
}
