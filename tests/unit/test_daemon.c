#include "common/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/clock.h"

/* A manager's socket; "@..." is the abstract namespace. Sets $NOTIFY_SOCKET. */
static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 5};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	assert_int_equal(
		bind(fd, (struct sockaddr *)&sa,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
		0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static void expect(int fd, const char *want)
{
	char got[1024];
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	assert_true(n >= 0);
	got[n] = '\0';
	assert_string_equal(got, want);
}

static void check_messages(int fd)
{
	char got[128];
	int64_t before = clock_mono_us(), at;
	ssize_t n;

	notify_ready();
	expect(fd, "READY=1");
	notify_stopping();
	expect(fd, "STOPPING=1");
	notify_reloading();
	n = recv(fd, got, sizeof(got) - 1, 0);
	assert_true(n > 0);
	got[n] = '\0';
	assert_int_equal(sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%" SCNd64, &at), 1);
	assert_true(at >= before && at <= clock_mono_us());
	(void)close(fd);
}

static void test_notify_path(void **state)
{
	char dir[] = "/tmp/test_daemon.XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/notify", dir);
	check_messages(listen_at(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_notify_abstract(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "@hirundo-test-%d", (int)getpid());
	check_messages(listen_at(path));
}

static void test_notify_nobody(void **state)
{
	(void)state;
	(void)unsetenv("NOTIFY_SOCKET");
	notify_ready();
	(void)setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	notify_ready();
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	notify_ready();
	(void)unsetenv("NOTIFY_SOCKET");
}

struct seen {
	struct daemon daemon;
	unsigned reloads, stops;
};

static void on_reload(void *arg)
{
	struct seen *s = arg;

	s->reloads++;
	(void)raise(SIGTERM);
}

static void on_stop(void *arg)
{
	struct seen *s = arg;

	s->stops++;
	daemon_close(&s->daemon);
}

/* A reload is told around the callback, but not by a program that is not ready yet. First of all
 * tests: nothing makes it not ready again. */
static void test_reload_is_notified(void **state)
{
	char path[64], got[128];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "@hirundo-reload-%d", (int)getpid());
	fd = listen_at(path);
	for (int ready = 0; ready < 2; ready++) {
		struct seen s = {0};
		uv_loop_t loop;

		assert_int_equal(uv_loop_init(&loop), 0);
		assert_int_equal(daemon_init(&s.daemon, &loop, on_reload, on_stop, &s), 0);
		if (ready) {
			notify_ready();
			expect(fd, "READY=1");
		}
		(void)raise(SIGHUP);
		assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
		assert_int_equal(s.reloads, 1);
		assert_int_equal(uv_loop_close(&loop), 0);
		if (ready) {
			assert_true(recv(fd, got, sizeof(got), 0) > 12);
			assert_memory_equal(got, "RELOADING=1\n", 12);
			expect(fd, "READY=1");
		}
		assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), -1);
	}
	(void)close(fd);
	(void)unsetenv("NOTIFY_SOCKET");
}

static void test_signals(void **state)
{
	struct seen s = {0};
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(daemon_init(&s.daemon, &loop, on_reload, on_stop, &s), 0);
	(void)raise(SIGPIPE);
	(void)raise(SIGHUP);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(s.reloads, 1);
	assert_int_equal(s.stops, 1);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* A drain that takes for ever. */
static void on_stop_again(void *arg)
{
	(void)arg;
	(void)raise(SIGINT);
}

static void test_second_signal_kills(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		struct seen s = {0};
		uv_loop_t loop;

		if (uv_loop_init(&loop) < 0 ||
			daemon_init(&s.daemon, &loop, on_reload, on_stop_again, &s) < 0)
			_exit(1);
		(void)alarm(10);
		(void)raise(SIGTERM);
		(void)uv_run(&loop, UV_RUN_DEFAULT);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
}

static void test_watchdog(void **state)
{
	char path[64], pid[32];
	struct seen s = {0};
	uv_loop_t loop;
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "@hirundo-test-%d", (int)getpid());
	fd = listen_at(path);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("WATCHDOG_USEC", "20000", 1);
	(void)setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(daemon_init(&s.daemon, &loop, NULL, on_stop, &s), 0);
	for (int i = 0; i < 3; i++) {
		assert_true(uv_run(&loop, UV_RUN_ONCE) != 0);
		expect(fd, "WATCHDOG=1");
	}
	daemon_close(&s.daemon);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);

	/* Meant for another process: silence. */
	(void)setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(daemon_init(&s.daemon, &loop, NULL, on_stop, &s), 0);
	assert_false(uv_is_active((uv_handle_t *)&s.daemon.watchdog));
	daemon_close(&s.daemon);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
	(void)close(fd);
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	(void)unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reload_is_notified),
		cmocka_unit_test(test_notify_path),
		cmocka_unit_test(test_notify_abstract),
		cmocka_unit_test(test_notify_nobody),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_second_signal_kills),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
