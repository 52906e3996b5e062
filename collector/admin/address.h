/* Addresses of a sensor as the command line gives them. Their text never goes into an error. */
#ifndef HIRUNDO_COLLECTOR_ADMIN_ADDRESS_H
#define HIRUNDO_COLLECTOR_ADMIN_ADDRESS_H

#include <netinet/in.h>

#include "common/mem.h"

/** "2001:db8::/32" in its shortest form, always with the length: what PostgreSQL's cidr prints. */
#define CIDR_TEXT_MAX (INET6_ADDRSTRLEN + 4)

struct address {
	char public_[CIDR_TEXT_MAX];
	char captured[CIDR_TEXT_MAX]; /* "" = packets carry the public one */
};

/** "ADDRESS", "PREFIX/LENGTH", or "captured=public" with equal lengths; 0.0.0.0/0 and ::/0 take
 *  everything, other IPv4 prefixes are /8 at most.
 *  @return NULL, or static text what is wrong */
const char *address_parse(const char *text, struct address *ret) MUST_CHECK;

#endif
