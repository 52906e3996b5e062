/* Any bytes as the target of a request: what comes out is text, in bounds, and the statement made
 * of it holds nothing of it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/dashboard/assets.h"
#include "collector/dashboard/functions.h"
#include "collector/dashboard/request.h"
#include "collector/text.h"

/* The page is not needed here. */
const struct asset assets[] = {{"index.html", "text/html", "", NULL, NULL, 0, 0}};
const size_t assets_n = 1;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_text(const char *s, bool within_path)
{
	for (; *s; s++) {
		assert((uint8_t)*s >= ' ' || (!within_path && strchr("\t\r\n", *s)));
		assert(*s != 0x7f && (uint8_t)*s != 0xff && (uint8_t)*s != 0xc0);
	}
}

static void check_day(const char *s)
{
	assert(!s ||
		(strlen(s) == 10 && s[4] == '-' && s[7] == '-' && strspn(s, "0123456789-") == 10));
}

/* The statement is the table's alone: letters, and parameters by their numbers. */
static void check_statement(const struct function *f, const struct request *q)
{
	const char *parameters[PARAMETERS_N];
	struct buf sql;
	int count;

	buf_init(&sql, 4096);
	count = function_statement(f, q, FUNCTION_JSON, &sql, parameters);
	assert(count >= 0 && count < PARAMETERS_N);
	for (int i = 0; i < count; i++) {
		bool given = false;

		for (unsigned p = 0; p < PARAMETERS_N; p++)
			given |= parameters[i] == q->value[p];
		assert(parameters[i] && given);
	}
	assert(strspn(text_str(&sql),
		       "abcdefghijklmnopqrstuvwxyzRSELCTFOMA_0123456789(),.:$=>*'[] ") ==
		buf_len(&sql));
	buf_done(&sql);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *target = malloc(n + 1), why[256] = "";
	const struct function *f;
	struct request q;
	int r;

	if (!target)
		return 0;
	if (n > 0)
		memcpy(target, data, n);
	target[n] = '\0';
	r = request_parse(target, &q);
	free(target); /* nothing of it is borrowed */
	if (r < 0) {
		assert(!q.memory && !q.path);
		return 0;
	}
	check_text(q.path, true);
	assert(q.path[0] == '/');
	(void)asset_find(q.path);
	r = request_parameters(&q, why, sizeof(why));
	assert(r == 0 || (r < 0 && *why));
	check_text(why, true);
	for (unsigned p = 0; p < PARAMETERS_N; p++)
		if (q.value[p])
			check_text(q.value[p], false);
	check_day(q.value[PARAMETER_FROM]);
	check_day(q.value[PARAMETER_TO]);
	f = strncmp(q.path, "/api/", 5) == 0 ? function_find(q.path + 5) : NULL;
	if (r == 0 && f && function_check(f, &q, why, sizeof(why)))
		check_statement(f, &q);
	request_done(&q);
	return 0;
}
