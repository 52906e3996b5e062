#include "collector/dashboard/assets.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "collector/dashboard/response.h"

/* Views: the first part of the path, and whether there is a second one. */
static const struct {
	const char *first;
	bool second;
} views[] = {
	{"r", true},
	{"sensor", true},
	{"service", true},
	{"source", true},
	{"network", true},
	{"spoofing", false},
	{"quarter", true},
	{"queries", false},
};

static bool is_view(const char *path)
{
	if (strcmp(path, "/") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		size_t n = strlen(views[i].first);
		const char *rest = path + 1 + n;

		if (strncmp(path + 1, views[i].first, n) != 0)
			continue;
		if (!views[i].second && *rest == '\0')
			return true;
		/* 2001:db8::-32 has no slash: one part is all there is. */
		if (views[i].second && rest[0] == '/' && rest[1] != '\0' && !strchr(rest + 1, '/'))
			return true;
	}
	return false;
}

const struct asset *asset_find(const char *path)
{
	size_t prefix = strlen(ASSETS_PREFIX);
	const char *name = is_view(path) ? "index.html"
			   : strncmp(path, ASSETS_PREFIX, prefix) == 0 &&
					   strcmp(path + prefix, "index.html") != 0
				   ? path + prefix
				   : NULL;

	for (size_t i = 0; name && i < assets_n; i++)
		if (strcmp(assets[i].name, name) == 0)
			return &assets[i];
	return NULL;
}

/* A list's next element, without white space around it. @return its begin, or NULL at the end */
static const char *next_element(const char **at, size_t *ret_n)
{
	const char *begin = *at + strspn(*at, " \t,");
	size_t n = strcspn(begin, ",");

	if (*begin == '\0')
		return NULL;
	*at = begin + n;
	while (n > 0 && (begin[n - 1] == ' ' || begin[n - 1] == '\t'))
		n--;
	*ret_n = n;
	return begin;
}

/* RFC 9110, 12.5.3: named, and not with a weight of 0. */
static bool accepts_gzip(const char *header)
{
	const char *element;
	size_t n;

	while (header && (element = next_element(&header, &n))) {
		const char *weight = memchr(element, ';', n);
		size_t name = weight ? (size_t)(weight - element) : n;

		while (name > 0 && (element[name - 1] == ' ' || element[name - 1] == '\t'))
			name--;
		if (name != 4 || strncasecmp(element, "gzip", 4) != 0)
			continue;
		for (const char *s = weight; s && s < element + n; s++)
			if (*s == '=')
				return strspn(s + 1, "0.") < (size_t)(element + n - s - 1);
		return true;
	}
	return false;
}

/* RFC 9110, 13.1.2: weak comparison. */
static bool matches(const char *header, const char *etag)
{
	const char *element;
	size_t n;

	while (header && (element = next_element(&header, &n))) {
		if (n == 1 && *element == '*')
			return true;
		if (n > 2 && strncmp(element, "W/", 2) == 0) {
			element += 2;
			n -= 2;
		}
		if (n == strlen(etag) && strncmp(element, etag, n) == 0)
			return true;
	}
	return false;
}

enum MHD_Result asset_queue(
	struct MHD_Connection *c, const struct asset *a, unsigned *ret_status, uint64_t *ret_bytes)
{
	bool gzip = a->gzip && accepts_gzip(MHD_lookup_connection_value(
				       c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING));
	bool page = strcmp(a->name, "index.html") == 0;
	enum MHD_Result result = MHD_NO;
	struct MHD_Response *r;
	char etag[80];
	bool same;

	/* Each form is a representation of its own (RFC 9110, 8.8.3.3). */
	(void)snprintf(etag, sizeof(etag), "\"%.64s%s\"", a->hash, gzip ? "-gzip" : "");
	same = matches(
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH),
		etag);
	*ret_bytes = same ? 0 : gzip ? a->gzip_n : a->plain_n;
	*ret_status = same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK;
	r = MHD_create_response_from_buffer((size_t)*ret_bytes,
		(void *)(uintptr_t)(gzip ? a->gzip : a->plain), MHD_RESPMEM_PERSISTENT);
	if (r &&
		response_add_headers(
			r, a->type, page ? "no-cache" : "public, max-age=31536000, immutable") &&
		MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, etag) == MHD_YES &&
		MHD_add_response_header(r, MHD_HTTP_HEADER_VARY, "Accept-Encoding") == MHD_YES &&
		(!gzip || same ||
			MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip") ==
				MHD_YES))
		result = MHD_queue_response(c, *ret_status, r);
	if (r)
		MHD_destroy_response(r);
	return result;
}
