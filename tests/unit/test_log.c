#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char captured[8192];

/* Runs fn with stderr in a pipe; the text is in captured. */
static void capture(void (*fn)(void), bool journal)
{
	int fds[2], saved = dup(STDERR_FILENO);
	char stream[64];
	struct stat st;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fstat(fds[1], &st), 0);
	(void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		(uintmax_t)st.st_ino + (journal ? 0 : 1));
	(void)setenv("JOURNAL_STREAM", stream, 1);
	(void)dup2(fds[1], STDERR_FILENO);
	(void)close(fds[1]);
	fn();
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	(void)unsetenv("JOURNAL_STREAM");
	n = read(fds[0], captured, sizeof(captured) - 1);
	(void)close(fds[0]);
	assert_true(n >= 0);
	captured[n] = '\0';
}

static void one_line(void)
{
	errno = EPIPE;
	log_warn("uplink", "reason=%s retry_ms=%d", log_quote("a \"b\"\n\xc3\xa9"), 250);
	assert_int_equal(errno, EPIPE);
}

static void test_logfmt(void **state)
{
	int y, mo, d, h, mi, s, ms, used = 0;

	(void)state;
	capture(one_line, false);
	assert_int_equal(sscanf(captured, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &y, &mo, &d, &h,
				 &mi, &s, &ms, &used),
		7);
	assert_string_equal(captured + used,
		"level=warning module=uplink reason=\"a \\\"b\\\"\\x0a\\xc3\\xa9\" retry_ms=250\n");
}

static void test_journal(void **state)
{
	(void)state;
	capture(one_line, true);
	assert_string_equal(
		captured, "<4>module=uplink reason=\"a \\\"b\\\"\\x0a\\xc3\\xa9\" retry_ms=250\n");
}

static void forged(void)
{
	log_info("m", "text=%s", "a\nlevel=error\x1b[2J");
}

static void test_no_forged_line(void **state)
{
	(void)state;
	capture(forged, true);
	assert_string_equal(captured, "<6>module=m text=a?level=error?[2J\n");
}

static void long_line(void)
{
	char text[5000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_error("m", "text=%s", text);
}

static void test_long_line_is_cut(void **state)
{
	(void)state;
	capture(long_line, true);
	assert_true(strlen(captured) > 1000 && strlen(captured) <= 2048);
	assert_int_equal(captured[strlen(captured) - 1], '\n');
	assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
}

static void all_levels(void)
{
	log_error("m", "e=1");
	log_warn("m", "w=1");
	log_notice("m", "n=1");
	log_info("m", "i=1");
	log_write(LOG_LEVEL_DEBUG, "m", "d=1");
}

static void test_levels(void **state)
{
	enum log_level level = LOG_LEVEL_DEBUG;

	(void)state;
	capture(all_levels, true);
	assert_string_equal(
		captured, "<3>module=m e=1\n<4>module=m w=1\n<5>module=m n=1\n<6>module=m i=1\n");
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("warning", &level), 0);
	log_set_level(level);
	capture(all_levels, true);
	assert_string_equal(captured, "<3>module=m e=1\n<4>module=m w=1\n");
	log_set_level(LOG_LEVEL_DEBUG);
	capture(all_levels, true);
	assert_non_null(strstr(captured, "<7>module=m d=1\n"));
	log_set_level(LOG_LEVEL_INFO);
}

static void test_quote(void **state)
{
	char s[256];
	struct log_quoted q;

	(void)state;
	assert_string_equal(log_quote(NULL), "-");
	assert_string_equal(log_quote(""), "\"\"");
	assert_string_equal(log_quote("a=b \\"), "\"a=b \\\\\"");
	assert_string_equal(log_quote_into(&q, "a\0b", 3), "\"a\\x00b\"");
	assert_string_equal(log_quote_into(&q, "abc", 2), "\"ab\"");
	memset(s, 0xff, sizeof(s));
	(void)log_quote_into(&q, s, 200);
	assert_int_equal(strlen(q.s), 2 + 200 * 4);
	(void)log_quote_into(&q, s, 201);
	assert_int_equal(strlen(q.s), 2 + 200 * 4 + 3);
	assert_string_equal(q.s + 1 + 200 * 4, "...\"");
}

static void test_limit(void **state)
{
	struct log_limit limit = {0};
	unsigned suppressed = 9;

	(void)state;
	assert_int_equal(log_limit_pass(&limit, 3600 * 1000000LL, &suppressed), 1);
	assert_int_equal(suppressed, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(log_limit_pass(&limit, 3600 * 1000000LL, NULL), 0);
	limit.next_us = 0;
	assert_int_equal(log_limit_pass(&limit, 1, &suppressed), 1);
	assert_int_equal(suppressed, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_no_forged_line),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
