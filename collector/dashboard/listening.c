#include "collector/dashboard/listening.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/** Connections that the kernel holds until they are taken. */
#define BACKLOG 512

static int refuse(int r, const char *what, char **ret_reason)
{
	if (asprintf(ret_reason, "%s: %s", what, strerror(-r)) < 0)
		*ret_reason = NULL;
	return r;
}

static int open_tcp(const struct hostport *at, char **ret_reason)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(at->port)};
	bool is_four = inet_pton(AF_INET, at->host, &four.sin_addr) == 1;
	struct sockaddr *sa = is_four ? (struct sockaddr *)&four : (struct sockaddr *)&six;
	socklen_t n = is_four ? sizeof(four) : sizeof(six);
	const int on = 1;
	int fd;

	if (!is_four && inet_pton(AF_INET6, at->host, &six.sin6_addr) != 1)
		return refuse(-EINVAL, at->host, ret_reason);
	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(-errno, "socket", ret_reason);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, sa, n) < 0 ||
		listen(fd, BACKLOG) < 0) {
		int r = -errno;

		(void)close(fd);
		return refuse(r, "binding the address", ret_reason);
	}
	return fd;
}

/* Takes a socket file away at which nobody listens any more. */
static int clear_path(const struct sockaddr_un *sa, char **ret_reason)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : refuse(-errno, sa->sun_path, ret_reason);
	if (!S_ISSOCK(st.st_mode))
		return refuse(-EEXIST, sa->sun_path, ret_reason);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		return refuse(-EADDRINUSE, sa->sun_path, ret_reason);
	if (fd < 0 || (errno != ECONNREFUSED && errno != ENOENT))
		return refuse(-errno, sa->sun_path, ret_reason);
	return unlink(sa->sun_path) == 0 || errno == ENOENT
		       ? 0
		       : refuse(-errno, sa->sun_path, ret_reason);
}

static int find_group(const char *name, gid_t *ret, char **ret_reason)
{
	const struct group *g;

	errno = 0;
	g = getgrnam(name);
	if (!g)
		return refuse(errno ? -errno : -ENOENT, name, ret_reason);
	*ret = g->gr_gid;
	return 0;
}

static int open_unix(const char *path, const char *group, char **ret_reason)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	gid_t gid = (gid_t)-1;
	mode_t mask;
	int fd, r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return refuse(-ENAMETOOLONG, path, ret_reason);
	memcpy(sa.sun_path, path, strlen(path));
	r = group ? find_group(group, &gid, ret_reason) : 0;
	if (r == 0)
		r = clear_path(&sa, ret_reason);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(-errno, "socket", ret_reason);
	mask = umask(0777 & ~0600); /* until the group is right, nobody else */
	r = bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r == 0 && ((gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) < 0) ||
			      chmod(path, 0660) < 0 || listen(fd, BACKLOG) < 0)) {
		r = -errno;
		(void)unlink(path);
	}
	if (r == 0)
		return fd;
	(void)close(fd);
	return refuse(r, path, ret_reason);
}

int listening_open(const struct dashboard_listen *l, const char *group, char **ret_reason)
{
	return l->way == DASHBOARD_PROXY ? open_unix(l->path, group, ret_reason)
					 : open_tcp(&l->at, ret_reason);
}

struct listening_name listening_name(int fd)
{
	struct listening_name name = {"?"};
	struct sockaddr_storage sa = {0};
	socklen_t n = sizeof(sa);
	char host[INET6_ADDRSTRLEN] = "";

	if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return name;
	if (sa.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&sa;

		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		(void)snprintf(name.text, sizeof(name.text), "%s:%u", host, ntohs(in->sin_port));
	} else if (sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&sa;

		(void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		(void)snprintf(name.text, sizeof(name.text), "[%s]:%u", host, ntohs(in->sin6_port));
	} else if (sa.ss_family == AF_UNIX) {
		(void)snprintf(name.text, sizeof(name.text), "unix:%s",
			((const struct sockaddr_un *)&sa)->sun_path);
	}
	return name;
}
