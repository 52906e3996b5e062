/*
 * The end of a daemon's privileges: everything that needs them is open, from here on outside bytes
 * are read. Unprivileged user, no capability, no_new_privs, a seccomp allow-list.
 */
#ifndef HIRUNDO_COMMON_SANDBOX_H
#define HIRUNDO_COMMON_SANDBOX_H

#include "common/mem.h"

enum sandbox_kind {
	SANDBOX_SENSOR,
	SANDBOX_COLLECTOR,
	SANDBOX_DASHBOARD
};

struct sandbox_options {
	/** Who to become when started by root; ignored otherwise. "root" keeps the user and drops
	 * all capabilities: for trials, where files belong to root. */
	const char *user;
	enum sandbox_kind kind;
};

enum sandbox_res {
	SANDBOX_NO_FILTER =
		1, /* built with AddressSanitizer, whose calls no list foresees: all but seccomp */
};

/** Cannot be undone. Call it before any thread is made: those would keep their capabilities.
 *  Afterwards: sockets other than TCP, UDP, Unix and routing netlink are refused with EPERM; any
 * other call that is not foreseen (execve, fork, ptrace ...) is named on stderr and ends the
 * process by SIGSYS. Only collector and dashboard may listen and accept. No core dumps.
 *  @param ret_reason  heap text on error
 *  @return 0, SANDBOX_NO_FILTER; -ENOENT unknown user, -EBUSY threads are running, -errno */
int sandbox_enter(const struct sandbox_options *o, char **ret_reason) MUST_CHECK;

#endif
