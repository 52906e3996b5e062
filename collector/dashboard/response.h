/* What every response has: its type, how long it may be kept, and what a browser may do with it. */
#ifndef HIRUNDO_DASHBOARD_RESPONSE_H
#define HIRUNDO_DASHBOARD_RESPONSE_H

#include <microhttpd.h>
#include <stdbool.h>

#include "common/mem.h"

/** @return false: out of memory */
bool response_add_headers(struct MHD_Response *r, const char *type, const char *cache) MUST_CHECK;

/** A short text as the whole response. */
enum MHD_Result response_text(
	struct MHD_Connection *c, unsigned status, const char *text) MUST_CHECK;

#endif
