/* Any bytes as a configuration file: no crash, no leak, and an error always says where. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/conf.h"

struct sample {
	char *text, *path;
	int64_t number, duration;
	uint64_t size;
	bool on;
	struct conf_list list;
};

#define AT(m) offsetof(struct sample, m)
static const struct conf_option options[] = {
	{"text", CONF_STRING, AT(text), "", 0, 0, CONF_RELOAD, "", NULL},
	{"path", CONF_PATH, AT(path), "a", 0, 0, CONF_RELOAD, "", NULL},
	{"number", CONF_INT, AT(number), "1", 0, 9, CONF_RELOAD, "", NULL},
	{"duration", CONF_DURATION, AT(duration), "1s", 0, 0, CONF_RELOAD, "", NULL},
	{"size", CONF_SIZE, AT(size), "1MiB", 0, 0, CONF_RELOAD, "", NULL},
	{"on", CONF_BOOL, AT(on), "true", 0, 0, CONF_RELOAD, "", NULL},
	{"list", CONF_LIST, AT(list), "{a}", 0, 0, CONF_RELOAD, "", NULL},
	{0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sample s = {0};
	char *error = NULL, *text;
	int r;

	text = malloc(n + 1);
	if (!text)
		return 0;
	if (n > 0)
		memcpy(text, data, n);
	text[n] = '\0';
	r = conf_load_text(options, "x.conf", text, &s, &error);
	if (r == 0) {
		assert(s.number >= 0 && s.number <= 9 && s.path &&
			!conf_changed_restart(options, &s, &s));
		conf_done(options, &s);
	} else {
		assert(error && strncmp(error, "x.conf:", 7) == 0 && !strchr(error, '\n'));
	}
	free(error);
	free(text);
	return 0;
}
