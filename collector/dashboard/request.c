#include "collector/dashboard/request.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const char *const parameter_names[PARAMETERS_N] = {
	[PARAMETER_FROM] = "from",
	[PARAMETER_TO] = "to",
	[PARAMETER_FILTER] = "filter",
	[PARAMETER_N] = "n",
	[PARAMETER_RANK_BY] = "rank_by",
	[PARAMETER_STEP] = "step",
	[PARAMETER_BY] = "by",
	[PARAMETER_MIN_HOSTS] = "min_hosts",
	[PARAMETER_SRC] = "src",
	[PARAMETER_FORMAT] = "format",
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The length of the character at s (RFC 3629: no surrogates, nothing overlong, none above
 * U+10FFFF), or 0 where there is none. */
static size_t utf8_length(const uint8_t *s)
{
	uint32_t c = s[0], least;
	size_t n;

	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf) {
		n = 2;
		c &= 0x1f;
		least = 0x80;
	} else if (c >= 0xe0 && c <= 0xef) {
		n = 3;
		c &= 0x0f;
		least = 0x800;
	} else if (c >= 0xf0 && c <= 0xf4) {
		n = 4;
		c &= 0x07;
		least = 0x10000;
	} else {
		return 0;
	}
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) /* also the end of the text */
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

/* Text that PostgreSQL and a log take. White space within JSON is fine. */
static bool is_text(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;

	while (*p) {
		size_t n = utf8_length(p);

		if (n == 0 || *p == 0x7f || (*p < ' ' && *p != '\t' && *p != '\n' && *p != '\r'))
			return false;
		p += n;
	}
	return true;
}

/* Decodes in place. @return false: bad escapes, or what comes out is no text */
static bool decode(char *s, bool plus_is_space)
{
	char *to = s;

	for (const char *from = s; *from; from++) {
		if (*from == '%') {
			int high = hex_digit(from[1]);
			int low = high < 0 ? -1 : hex_digit(from[2]);

			if (low < 0 || (high | low) == 0)
				return false;
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from == '+' && plus_is_space ? ' ' : *from;
		}
	}
	*to = '\0';
	return is_text(s);
}

int request_parse(const char *target, struct request *ret)
{
	size_t n = strnlen(target, REQUEST_TARGET_MAX + 1);
	struct request q = {0};

	*ret = q;
	if (n > REQUEST_TARGET_MAX)
		return -E2BIG;
	if (target[0] != '/' || strchr(target, '#'))
		return -EINVAL;
	q.memory = strdup(target);
	if (!q.memory)
		return -ENOMEM;
	q.path = q.memory;
	q.query = strchr(q.memory, '?');
	if (q.query)
		*q.query++ = '\0';
	if (!decode(q.path, false) || strpbrk(q.path, "\t\r\n")) {
		request_done(&q);
		return -EINVAL;
	}
	*ret = q;
	return 0;
}

/* YYYY-MM-DD: whether there is such a day, the database says. Its own notion of a date is wider
 * ("yesterday", "infinity"), and such a link would mean something else tomorrow. */
static bool is_day(const char *s)
{
	static const char form[] = "dddd-dd-dd";

	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != '-')
			return false; /* also where the text ends early */
	return s[sizeof(form) - 1] == '\0';
}

static bool find(const char *name, enum parameter *ret)
{
	for (unsigned i = 0; i < PARAMETERS_N; i++)
		if (strcmp(parameter_names[i], name) == 0) {
			*ret = (enum parameter)i;
			return true;
		}
	return false;
}

static int refuse(char *ret_why, size_t n, const char *what, const char *name)
{
	(void)snprintf(ret_why, n, "%s \"%.64s\"", what, name);
	return -EINVAL;
}

static int take_pair(struct request *q, char *pair, char *ret_why, size_t n)
{
	char *value = strchr(pair, '=');
	enum parameter p;

	if (value)
		*value++ = '\0';
	/* An unknown name is not shown: it is any bytes still. */
	if (!value || !decode(pair, true) || !find(pair, &p)) {
		(void)snprintf(ret_why, n,
			"unknown parameter; there are from, to, filter, n, rank_by, step, by, "
			"min_hosts, "
			"src and format");
		return -EINVAL;
	}
	if (q->value[p])
		return refuse(ret_why, n, "given twice: parameter", parameter_names[p]);
	if (!decode(value, true))
		return refuse(ret_why, n, "not UTF-8 text, or badly escaped: parameter",
			parameter_names[p]);
	if ((p == PARAMETER_FROM || p == PARAMETER_TO) && !is_day(value))
		return refuse(
			ret_why, n, "a day is written YYYY-MM-DD: parameter", parameter_names[p]);
	q->value[p] = value;
	return 0;
}

int request_parameters(struct request *q, char *ret_why, size_t n)
{
	char *next, *pair = q->query;
	int r = 0;

	q->query = NULL;
	for (; pair && r == 0; pair = next) {
		next = strchr(pair, '&');
		if (next)
			*next++ = '\0';
		if (*pair)
			r = take_pair(q, pair, ret_why, n);
	}
	return r;
}

void request_done(struct request *q)
{
	free(q->memory);
	*q = (struct request){0};
}
