#include "collector/enrich/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* Errors. */

int source_fail(struct source *s, uint32_t line, const char *fmt, ...)
{
	char what[SOURCE_ERROR_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (line > 0)
		(void)snprintf(
			s->error, sizeof(s->error), "%.240s:%" PRIu32 ": %s", s->name, line, what);
	else
		(void)snprintf(s->error, sizeof(s->error), "%.240s: %s", s->name, what);
	return SOURCE_BAD;
}

int source_add(struct source *s, uint32_t line, struct range *r)
{
	int e;

	r->line = line;
	r->file = s->file;
	e = ranges_add(s->out, r);
	return e == -E2BIG ? source_fail(s, line, "more than %u ranges", RANGES_MAX) : e;
}

/* Files. */

/* The hexadecimal digits of the first MD5 in a text: "MD5 (name) = HEX", "HEX  name". */
static bool find_md5(const char *text, size_t n, char ret[33])
{
	size_t run = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && strchr("0123456789abcdefABCDEF", text[i]) && text[i] != '\0') {
			run++;
			continue;
		}
		if (run == 32) {
			memcpy(ret, text + i - 32, 32);
			ret[32] = '\0';
			return true;
		}
		run = 0;
	}
	return false;
}

/* @return NULL, or what is wrong */
static const char *check_md5(const char *path, const uint8_t *data, size_t n)
{
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int fd = -1;
	char text[512], want[33], have[33];
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_n = 0;
	ssize_t got;

	if (asprintf(&name, "%s.md5", path) < 0) {
		name = NULL;
		return "out of memory";
	}
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? NULL : "its .md5 can not be read";
	got = read(fd, text, sizeof(text));
	if (got < 0 || !find_md5(text, (size_t)got, want))
		return "its .md5 holds no MD5";
	if (!EVP_Digest(data, n, digest, &digest_n, EVP_md5(), NULL) || digest_n != 16)
		return "its MD5 can not be computed";
	for (unsigned i = 0; i < 16; i++)
		(void)snprintf(have + (size_t)i * 2, 3, "%02x", digest[i]);
	return strcasecmp(want, have) == 0 ? NULL : "its .md5 is of other content";
}

static int read_all(int fd, uint8_t **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	uint8_t *data = NULL;

	for (;;) {
		ssize_t got;

		if (n == cap) {
			uint8_t *grown;

			if (cap > SOURCE_BYTES_MAX) {
				free(data);
				return -EFBIG;
			}
			cap = cap ? cap * 2 : 65536;
			grown = realloc(data, cap);
			if (!grown) {
				free(data);
				return -ENOMEM;
			}
			data = grown;
		}
		got = read(fd, data + n, cap - n);
		if (got < 0 && errno != EINTR) {
			int e = -errno;

			free(data);
			return e;
		}
		if (got == 0)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	*ret = data;
	*ret_n = n;
	return 0;
}

int source_read(const char *path, uint8_t **ret, size_t *ret_n, int32_t *ret_day,
	char error[SOURCE_ERROR_MAX])
{
	struct source s = {.name = path};
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *wrong = NULL;
	uint8_t *data = NULL;
	struct stat st = {0};
	size_t n = 0;
	int e = fd < 0 || fstat(fd, &st) < 0 ? -errno : read_all(fd, &data, &n);

	if (e == -ENOMEM)
		return e;
	if (e < 0)
		wrong = strerror(-e);
	else if (n == 0)
		wrong = "empty";
	else
		wrong = check_md5(path, data, n);
	if (wrong) {
		free(data);
		(void)source_fail(&s, 0, "%s", wrong);
		memcpy(error, s.error, SOURCE_ERROR_MAX);
		return SOURCE_BAD;
	}
	*ret = data;
	*ret_n = n;
	*ret_day = (int32_t)(st.st_mtim.tv_sec / 86400);
	return 0;
}

/* Lines and fields. */

bool lines_next(struct lines *l, struct piece *ret)
{
	const uint8_t *p = l->rest.p, *end;
	size_t n = l->rest.n, skip;

	if (n == 0)
		return false;
	end = memchr(p, '\n', n);
	skip = end ? (size_t)(end - p) + 1 : n;
	n = end ? (size_t)(end - p) : n;
	if (n > 0 && p[n - 1] == '\r')
		n--;
	*ret = (struct piece){(const char *)p, n};
	l->number++;
	return bytes_skip(&l->rest, skip);
}

static struct piece trim(struct piece t)
{
	while (t.n > 0 && (*t.p == ' ' || *t.p == '\t')) {
		t.p++;
		t.n--;
	}
	while (t.n > 0 && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
		t.n--;
	return t;
}

/* How much of it is in quotes: a separator there does not count. 0: it does not begin with one, or
 * has no other. Two are one that belongs to the text. */
static size_t quoted(struct piece t)
{
	if (t.n == 0 || *t.p != '"')
		return 0;
	for (size_t i = 1; i < t.n; i++) {
		if (t.p[i] != '"')
			continue;
		if (i + 1 == t.n || t.p[i + 1] != '"')
			return i + 1;
		i++;
	}
	return 0;
}

bool piece_field(struct piece *rest, char separator, bool csv, struct piece *ret)
{
	struct piece all = *rest;
	const char *end;
	size_t from, n;

	if (!all.p)
		return false;
	from = csv ? quoted(all) : 0;
	end = all.n > from ? memchr(all.p + from, separator, all.n - from) : NULL;
	n = end ? (size_t)(end - all.p) : all.n;
	*rest = end ? (struct piece){end + 1, all.n - n - 1} : (struct piece){NULL, 0};
	all.n = n;
	all = trim(all);
	if (csv && all.n >= 2 && all.p[0] == '"' && all.p[all.n - 1] == '"')
		all = trim((struct piece){all.p + 1, all.n - 2});
	*ret = all;
	return true;
}

bool piece_is(struct piece t, const char *text)
{
	return t.n == strlen(text) && memcmp(t.p, text, t.n) == 0;
}

bool piece_number(struct piece t, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (t.n == 0)
		return false;
	for (size_t i = 0; i < t.n; i++) {
		unsigned digit = (unsigned)(uint8_t)t.p[i] - '0';

		if (digit > 9 || digit > max || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret = v;
	return true;
}

bool piece_address(struct piece t, uint8_t *ret_family, struct address128 *ret)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	if (t.n == 0 || t.n >= sizeof(text) || memchr(t.p, '\0', t.n))
		return false;
	memcpy(text, t.p, t.n);
	text[t.n] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1)
		*ret_family = 4;
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		*ret_family = 6;
	else
		return false;
	*ret = address128_load(*ret_family, bytes);
	return true;
}

bool piece_prefix(struct piece t, struct range *ret)
{
	const char *slash = t.n > 0 ? memchr(t.p, '/', t.n) : NULL;
	struct piece address, length;
	uint64_t bits;

	if (!slash)
		return false;
	address = (struct piece){t.p, (size_t)(slash - t.p)};
	length = (struct piece){slash + 1, t.n - address.n - 1};
	return piece_address(address, &ret->family, &ret->lo) &&
	       piece_number(length, ret->family == 4 ? 32 : 128, &bits) &&
	       address128_prefix_end(ret->lo, ret->family, (unsigned)bits, &ret->hi);
}

bool piece_region(struct piece t, char ret[2])
{
	if (t.n != 2 || t.p[0] < 'A' || t.p[0] > 'Z' ||
		!((t.p[1] >= 'A' && t.p[1] <= 'Z') || (t.p[1] >= '0' && t.p[1] <= '9')))
		return false;
	memcpy(ret, t.p, 2);
	return true;
}

bool piece_holder(struct piece t)
{
	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] < ' ' || t.p[i] > '~')
			return false;
	return t.n > 0 && t.n <= NAMES_HOLDER_MAX;
}

const char *piece_quote(struct piece t, char buf[64])
{
	size_t n = t.n < 40 ? t.n : 40;

	buf[0] = '"';
	for (size_t i = 0; i < n; i++)
		buf[i + 1] = (char)(t.p[i] >= ' ' && t.p[i] <= '~' ? t.p[i] : '?');
	(void)snprintf(buf + n + 1, 8, "%s\"", n < t.n ? "..." : "");
	return buf;
}

int32_t piece_day(struct piece t)
{
	struct tm tm = {.tm_isdst = 0};
	uint64_t v;
	time_t at;

	if (t.n != 8 || !piece_number(t, 99991231, &v) || v < 19700101)
		return SOURCE_NO_DAY;
	tm.tm_year = (int)(v / 10000) - 1900;
	tm.tm_mon = (int)(v / 100 % 100) - 1;
	tm.tm_mday = (int)(v % 100);
	if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31)
		return SOURCE_NO_DAY;
	at = timegm(&tm);
	return (int32_t)(at / 86400);
}
