/*
 * The end of a daemon's privileges: everything that needs them is open, from here on outside bytes
 * are read. Unprivileged user, no capability, no_new_privs, a seccomp allow-list.
 */
#ifndef HIRUNDO_COMMON_SANDBOX_H
#define HIRUNDO_COMMON_SANDBOX_H

#include "common/mem.h"

enum sandbox_kind {
	SANDBOX_SENSOR,
	SANDBOX_COLLECTOR
};

struct sandbox_options {
	/** Who to become when started by root; ignored otherwise. "root" keeps the user and drops
	 * all capabilities: for trials, where files belong to root. */
	const char *user;
	enum sandbox_kind kind;
};

/** Cannot be undone. Threads that exist already are restricted too.
 *  @param ret_reason  heap text on error
 *  @return 0, -errno */
int sandbox_enter(const struct sandbox_options *o, char **ret_reason) MUST_CHECK;

#endif
