#include "common/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"

/* sd_notify(3): one datagram of NAME=VALUE lines to the socket in $NOTIFY_SOCKET, which is a path
 * or, with a leading '@', a name in the abstract namespace. A manager that is away is no error of
 * ours. */
static void notify(const char *message)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = -1;
	size_t n;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n < 2 || n >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&sa,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

/* notify_ready() was called. */
static bool ready;

void notify_ready(void)
{
	ready = true;
	notify("READY=1");
}

void notify_reloading(void)
{
	char message[64];

	(void)snprintf(
		message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_us());
	notify(message);
}

void notify_stopping(void)
{
	notify("STOPPING=1");
}

/* $WATCHDOG_USEC, where it is meant for this process (sd_watchdog_enabled(3)); else 0. */
static uint64_t watchdog_us(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t us, for_pid;
	char rest;

	if (!usec || sscanf(usec, "%" SCNu64 "%c", &us, &rest) != 1)
		return 0;
	if (pid && (sscanf(pid, "%" SCNu64 "%c", &for_pid, &rest) != 1 ||
			   for_pid != (uint64_t)getpid()))
		return 0;
	return us;
}

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	notify("WATCHDOG=1");
}

static void on_hup(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;

	(void)signum;
	if (ready)
		notify_reloading();
	if (d->on_reload)
		d->on_reload(d->arg);
	if (ready)
		notify_ready();
}

static void on_stop(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;

	if (d->stops++ > 0) {
		(void)signal(signum, SIG_DFL); /* so that the exit status tells the truth */
		(void)raise(signum);
		return;
	}
	d->on_stop(d->arg);
}

int daemon_init(
	struct daemon *d, uv_loop_t *loop, void (*reload)(void *), void (*stop)(void *), void *arg)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	uint64_t us = watchdog_us();
	int r;

	*d = (struct daemon){.on_reload = reload, .on_stop = stop, .arg = arg};
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	/* None of these four can fail: they only fill in the struct and queue it. */
	(void)uv_signal_init(loop, &d->hup);
	(void)uv_signal_init(loop, &d->term);
	(void)uv_signal_init(loop, &d->interrupt);
	(void)uv_timer_init(loop, &d->watchdog);
	d->hup.data = d->term.data = d->interrupt.data = d;
	r = uv_signal_start(&d->hup, on_hup, SIGHUP);
	if (r == 0)
		r = uv_signal_start(&d->term, on_stop, SIGTERM);
	if (r == 0)
		r = uv_signal_start(&d->interrupt, on_stop, SIGINT);
	if (r == 0 && us > 0) {
		/* sd_watchdog_enabled(3): notify at half the time. */
		uint64_t ms = us / 2 / 1000;

		r = uv_timer_start(&d->watchdog, on_watchdog, 0, ms > 0 ? ms : 1);
	}
	if (r < 0)
		daemon_close(d);
	return r;
}

void daemon_close(struct daemon *d)
{
	uv_handle_t *handles[] = {(uv_handle_t *)&d->hup, (uv_handle_t *)&d->term,
		(uv_handle_t *)&d->interrupt, (uv_handle_t *)&d->watchdog};

	for (size_t i = 0; i < ARRAY_SIZE(handles); i++)
		if (!uv_is_closing(handles[i]))
			uv_close(handles[i], NULL);
}
