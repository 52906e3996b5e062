/* The socket that the dashboard listens on, opened while privileges are there. */
#ifndef HIRUNDO_DASHBOARD_LISTENING_H
#define HIRUNDO_DASHBOARD_LISTENING_H

#include "collector/dashboard/dashboard_conf.h"
#include "common/mem.h"

/** Opens, binds and listens. A Unix socket has mode 0660 and the group given (NULL: the process's);
 *  one that a dead process left is replaced, one that somebody listens at is not.
 *  @param ret_reason  heap text on error
 *  @return the descriptor, non-blocking and close-on-exec; -EADDRINUSE, -ENOENT no such group, ...
 */
int listening_open(
	const struct dashboard_listen *l, const char *group, char **ret_reason) MUST_CHECK;

/** "127.0.0.1:7413" or "unix:/path", with the port that was really taken. */
struct listening_name {
	char text[300];
};
struct listening_name listening_name(int fd);

#endif
