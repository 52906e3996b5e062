/* "host:port", "[2001:db8::1]:port" as text. */
#ifndef HIRUNDO_COMMON_HOSTPORT_H
#define HIRUNDO_COMMON_HOSTPORT_H

#include <stdint.h>

#include "common/mem.h"

struct hostport {
	char host[254]; /* name or numeric address, without brackets (RFC 1035: at most 253) */
	uint16_t port; /* 0 only where a listener may choose */
};

/** @return 0, -EINVAL */
int hostport_parse(const char *text, struct hostport *ret) MUST_CHECK;

/** For option tables (common/conf.h): value points to a char *. Empty is allowed where the option
 * is. */
const char *hostport_check(const void *value);

#endif
