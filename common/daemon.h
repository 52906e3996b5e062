/*
 * What every program does alike: arguments, exit codes, signals, sd_notify with watchdog.
 */
#ifndef HIRUNDO_COMMON_DAEMON_H
#define HIRUNDO_COMMON_DAEMON_H

#include <stdbool.h>
#include <uv.h>

#include "common/mem.h"

/** sd_notify(3)'s protocol: one datagram to $NOTIFY_SOCKET; nothing where it is unset. */
void notify_ready(void);
void notify_reloading(void); /* with MONOTONIC_USEC, as Type=notify-reload wants it */
void notify_stopping(void);

/** Loop-bound: signals and the watchdog's timer ($WATCHDOG_USEC / 2; the loop that stalls is
 * killed). */
struct daemon {
	uv_signal_t hup, term, interrupt;
	uv_timer_t watchdog;
	void (*on_reload)(
		void *arg); /* reloading is notified around it, of a program that is ready */
	void (*on_stop)(
		void *arg); /* SIGTERM, SIGINT: drain. A second one ends the process at once */
	void *arg;
	unsigned stops;
};

/** Ignores SIGPIPE, installs the handlers. The struct must not move. @return 0, UV_E* */
int daemon_init(struct daemon *d, uv_loop_t *loop, void (*on_reload)(void *),
	void (*on_stop)(void *), void *arg) MUST_CHECK;

/** Closes the handles; the memory may go when the loop has run out. */
void daemon_close(struct daemon *d);

#endif
