/*
 * Configuration files: one option table a program, over libconfuse. The table is the single source:
 * defaults, ranges, --help of options, the sample file's test and the manual page's test read it.
 * Errors carry file:line. Unknown options are errors, and so is an option that is set twice (lists
 * may be continued by "+="). In double quotes ${NAME} stands for a variable of the environment.
 */
#ifndef HIRUNDO_COMMON_CONF_H
#define HIRUNDO_COMMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

enum conf_type {
	CONF_STRING, /* char *, heap */
	CONF_PATH, /* char *, heap; relative ones are taken from the configuration file's folder */
	CONF_INT, /* int64_t */
	CONF_BOOL, /* bool */
	CONF_DURATION, /* int64_t, microseconds: "500ms", "1s", "10min", "2h", "200d" */
	CONF_SIZE, /* uint64_t, bytes: "256KiB", "2GiB", "1000" */
	CONF_LIST, /* struct conf_list, strings */
};

struct conf_list {
	char **items;
	size_t n;
	int line; /* of the file, where the list begins; 0: it is the default */
};

enum conf_reload {
	CONF_RELOAD,
	CONF_RESTART
}; /* whether SIGHUP may change it */

struct conf_option {
	const char *name;
	enum conf_type type;
	size_t offset; /* of the member in the program's struct */
	const char *fallback; /* as text in the file's syntax; NULL = required; "" = none
			       * (NULL/empty); only then may the file set it to "" */
	int64_t min, max; /* CONF_INT, CONF_DURATION (us), CONF_SIZE; both 0 = any */
	enum conf_reload reload;
	const char *help; /* one line */
	/** Optional check of the value (pointer to the member). @return NULL or static text what is
	 * wrong */
	const char *(*check)(const void *value);
};

/** Reads a file (NULL: defaults only) into the struct at `to`, which was zeroed or conf_done().
 *  @param options    ends with name NULL
 *  @param ret_error  heap text "FILE:LINE: what", on error
 *  @return 0, -EINVAL, -ENOENT, ... ; `to` is zeroed on error */
int conf_load(
	const struct conf_option *options, const char *file, void *to, char **ret_error) MUST_CHECK;

/** Reads from memory; name stands for the file in errors. For the fuzz target and tests. */
int conf_load_text(const struct conf_option *options, const char *name, const char *text, void *to,
	char **ret_error) MUST_CHECK;

void conf_done(const struct conf_option *options, void *to);

/** For SIGHUP: the first CONF_RESTART option that differs, or NULL. */
const char *conf_changed_restart(const struct conf_option *options, const void *a, const void *b);

/** Prints the table for --help. */
void conf_print_help(const struct conf_option *options);

#endif
