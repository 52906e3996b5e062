/*
 * Logging to stderr, one line a message. Under journald (JOURNAL_STREAM names our stderr) a line
 * starts with the syslog level as "<N>", else it is logfmt with time and level. Called by the
 * daemon layer only: library modules return errors instead.
 *
 * The message is logfmt pairs after the module token:
 *     log_warn("uplink", "reason=%s retry_ms=%d", reason, ms);
 * Strings from peers, files or the system go through log_quote(): it quotes and escapes, so no peer
 * can forge a line. Never log keys, tokens, addresses of sensors or of their connections.
 */
#ifndef HIRUNDO_COMMON_LOG_H
#define HIRUNDO_COMMON_LOG_H

#include <stddef.h>

#include "common/mem.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARN = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/** Lines above the level are dropped. Default: info. */
void log_set_level(enum log_level level);

/** @return 0, or -EINVAL where the name is none of error, warning, notice, info, debug. */
int log_level_parse(const char *name, enum log_level *ret) MUST_CHECK;

/** For option tables (common/conf.h): value points to a char *. */
const char *log_level_check(const void *value);

void log_write(enum log_level level, const char *module, const char *fmt, ...) PRINTF_LIKE(3, 4);

/** Room for a quoted string of up to 200 bytes; longer ones are cut and end in "...". */
struct log_quoted {
	char s[824];
};

/** Quotes and escapes s (NULL: "-"). The result lives to the end of the full expression's block. */
const char *log_quote_into(struct log_quoted *buf, const char *s, size_t n);
#define log_quote(s) log_quote_into(&(struct log_quoted){{0}}, (s), (size_t)-1)

#define log_error(module, ...) log_write(LOG_LEVEL_ERROR, module, __VA_ARGS__)
#define log_warn(module, ...) log_write(LOG_LEVEL_WARN, module, __VA_ARGS__)
#define log_notice(module, ...) log_write(LOG_LEVEL_NOTICE, module, __VA_ARGS__)
#define log_info(module, ...) log_write(LOG_LEVEL_INFO, module, __VA_ARGS__)

/** Lets one line pass each interval_us; counts what it holds back and says so with the next line.
 */
struct log_limit {
	long long next_us; /* CLOCK_MONOTONIC */
	unsigned suppressed;
};

/** @return 1 where the caller may log now; *ret_suppressed (may be NULL) = lines held back before.
 */
int log_limit_pass(struct log_limit *limit, long long interval_us, unsigned *ret_suppressed);

#endif
