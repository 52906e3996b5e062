#include "collector/text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

int text_add(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, r;

	/* Most pieces fit the room that is there. */
	va_start(ap, fmt);
	n = vsnprintf((char *)(b->data ? buf_tail(b) : NULL), buf_room(b), fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n >= buf_room(b)) {
		r = buf_reserve(b, (size_t)n + 1);
		if (r < 0)
			return r;
		va_start(ap, fmt);
		n = vsnprintf((char *)buf_tail(b), buf_room(b), fmt, ap);
		va_end(ap);
	}
	buf_added(b, (size_t)n);
	return 0;
}

int text_add_quoted(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	int r = buf_reserve(b, 2 * n + 3);
	char *p;

	if (r < 0)
		return r;
	p = (char *)b->data + b->end;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there is room, so there is memory */
	*p++ = '\'';
	for (; *s; s++) {
		if (*s == '\'')
			*p++ = '\'';
		*p++ = *s >= ' ' && *s <= '~' ? *s : '?';
	}
	*p++ = '\'';
	*p = '\0';
	buf_added(b, (size_t)(p - (char *)b->data) - b->end);
	return 0;
}

/* Time of day and date of a day, UTC. */
static struct tm broken_down(int64_t s)
{
	time_t t = (time_t)s;
	struct tm tm = {0};

	(void)gmtime_r(&t, &tm);
	assert(tm.tm_year >= 70 && tm.tm_year < 8100);
	return tm;
}

int text_add_time(struct buf *b, int64_t us)
{
	struct tm tm = broken_down(us / US_PER_S);

	return text_add(b, "'%04d-%02d-%02d %02d:%02d:%02d.%06d+00'", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(us % US_PER_S));
}

int text_add_day(struct buf *b, int32_t day)
{
	struct tm tm = broken_down((int64_t)day * 86400);

	return text_add(b, "'%04d-%02d-%02d'", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

int text_add_hex(struct buf *b, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	int r = buf_reserve(b, 2 * n + 3);
	char *to;

	if (r < 0)
		return r;
	to = (char *)b->data + b->end;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there is room, so there is memory */
	*to++ = '\'';
	for (size_t i = 0; i < n; i++) {
		*to++ = digits[p[i] >> 4];
		*to++ = digits[p[i] & 15];
	}
	*to++ = '\'';
	*to = '\0';
	buf_added(b, 2 * n + 2);
	return 0;
}

const char *text_str(const struct buf *b)
{
	return buf_len(b) > 0 ? (const char *)buf_head(b) : "";
}
