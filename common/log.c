#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/clock.h"

/* One line at most, bytes. journald cuts at 48 KiB; nothing we say is near this. */
#define LINE_MAX_BYTES 2048u

/* Bytes of a string that log_quote shows. Each may take four characters (\xHH). */
#define QUOTE_MAX 200u

static enum log_level log_max = LOG_LEVEL_INFO;

static const struct {
	enum log_level level;
	const char *name;
	const char *colour; /* SGR, ECMA-48 8.3.117 */
} levels[] = {
	{LOG_LEVEL_ERROR, "error", "\033[31m"},
	{LOG_LEVEL_WARN, "warning", "\033[33m"},
	{LOG_LEVEL_NOTICE, "notice", "\033[1m"},
	{LOG_LEVEL_INFO, "info", ""},
	{LOG_LEVEL_DEBUG, "debug", "\033[2m"},
};

void log_set_level(enum log_level level)
{
	log_max = level;
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (strcmp(levels[i].name, name) == 0) {
			*ret = levels[i].level;
			return 0;
		}
	return -EINVAL;
}

const char *log_level_check(const void *value)
{
	enum log_level level;

	return log_level_parse(*(char *const *)value, &level) == 0
		       ? NULL
		       : "must be error, warning, notice, info or debug";
}

/* systemd.exec(5), $JOURNAL_STREAM: device and inode number of the stream, so that a program whose
 * stderr was redirected since can tell. */
static bool stderr_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return s && sscanf(s, "%ju:%ju", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

/* https://no-color.org: set and not empty. */
static bool stderr_has_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && term && strcmp(term, "dumb") != 0 && isatty(STDERR_FILENO) == 1;
}

/* Adds formatted text; a line that is too long is cut. Room for "\n" is kept. */
static PRINTF_LIKE(3, 0) size_t vadd(char *line, size_t len, const char *fmt, va_list ap)
{
	size_t room = LINE_MAX_BYTES - 1 - len;
	int n = vsnprintf(line + len, room, fmt, ap);

	if (n < 0)
		return len;
	return len + ((size_t)n < room ? (size_t)n : room - 1);
}

static PRINTF_LIKE(3, 4) size_t add(char *line, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	len = vadd(line, len, fmt, ap);
	va_end(ap);
	return len;
}

static size_t add_prefix(char *line, enum log_level level)
{
	const char *name = "error", *colour = "";
	int64_t now = clock_wall_us();
	time_t s = (time_t)(now / US_PER_S);
	struct tm tm;
	char when[32];

	if (stderr_is_journal())
		return add(line, 0, "<%d>", (int)level);
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (levels[i].level == level) {
			name = levels[i].name;
			colour = stderr_has_colour() ? levels[i].colour : "";
		}
	if (!gmtime_r(&s, &tm) || strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		when[0] = '\0';
	return add(line, 0, "time=%s.%03dZ %slevel=%s%s ", when, (int)(now % US_PER_S / US_PER_MS),
		colour, name, *colour ? "\033[0m" : "");
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t len, text;
	int saved = errno;
	va_list ap;

	if (level > log_max)
		return;
	len = add_prefix(line, level);
	text = len;
	len = add(line, len, "module=%s ", module);
	va_start(ap, fmt);
	len = vadd(line, len, fmt, ap);
	va_end(ap);
	/* Whoever forgot log_quote() still cannot forge a second line. */
	for (size_t i = text; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	/* One write, so that lines of several processes do not mix. There is nowhere to report a
	 * failure. */
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
	errno = saved;
}

const char *log_quote_into(struct log_quoted *buf, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t shown;
	char *o = buf->s;

	if (!s)
		return "-";
	if (n == (size_t)-1)
		n = strlen(s);
	shown = n < QUOTE_MAX ? n : QUOTE_MAX;
	*o++ = '"';
	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\') {
			*o++ = '\\';
			*o++ = (char)c;
		} else if (c >= 0x20 && c < 0x7f) {
			*o++ = (char)c;
		} else {
			*o++ = '\\';
			*o++ = 'x';
			*o++ = hex[c >> 4];
			*o++ = hex[c & 15];
		}
	}
	if (shown < n) {
		memcpy(o, "...", 3);
		o += 3;
	}
	*o++ = '"';
	*o = '\0';
	return buf->s;
}

int log_limit_pass(struct log_limit *limit, long long interval_us, unsigned *ret_suppressed)
{
	long long now = clock_mono_us();

	if (now < limit->next_us) {
		limit->suppressed++;
		return 0;
	}
	limit->next_us = now + interval_us;
	if (ret_suppressed)
		*ret_suppressed = limit->suppressed;
	limit->suppressed = 0;
	return 1;
}
