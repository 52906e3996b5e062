/* Each case enters the sandbox in a child, which cannot leave it. */
#include "common/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <uv.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static char said[4096]; /* what the last child wrote to stderr */

/* In the child: says what is not so, and ends. */
#define MUST(condition)                                                                    \
	do {                                                                               \
		if (!(condition)) {                                                        \
			(void)dprintf(STDERR_FILENO, "line %d: %s (errno %d)\n", __LINE__, \
				#condition, errno);                                        \
			_exit(1);                                                          \
		}                                                                          \
	} while (0)

static void enter(enum sandbox_kind kind)
{
	const struct sandbox_options o = {.user = "nobody", .kind = kind};
	char *reason = NULL;
	int r = sandbox_enter(&o, &reason);

	if (r < 0)
		(void)dprintf(STDERR_FILENO, "%s\n", reason);
	MUST(r == (SANITIZED ? SANDBOX_NO_FILTER : 0));
}

/* @return the status of a child that runs fn */
static int child(void (*fn)(void))
{
	int fds[2], status;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(fds[1], STDERR_FILENO);
		(void)close(fds[0]);
		(void)close(fds[1]);
		(void)alarm(20);
		fn();
		_exit(0);
	}
	(void)close(fds[1]);
	while ((r = read(fds[0], said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)r;
	said[n] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_ok(void (*fn)(void))
{
	int status = child(fn);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("status %x: %s", status, said);
}

/* The filter ends the child and names the call. */
static void expect_killed(void (*fn)(void), const char *call)
{
	int status = child(fn);
	char want[128];

	(void)snprintf(want, sizeof(want), "module=sandbox refused_system_call=%s\n", call);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS || strcmp(said, want) != 0)
		fail_msg("status %x, not %s: %s", status, call, said);
}

static uint64_t status_number(const char *key, int base)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	uint64_t v = UINT64_MAX;

	MUST(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			v = strtoull(line + strlen(key) + 1, NULL, base);
	(void)fclose(f);
	MUST(v != UINT64_MAX);
	return v;
}

static void check_powerless(void)
{
	MUST(status_number("CapInh", 16) == 0);
	MUST(status_number("CapPrm", 16) == 0);
	MUST(status_number("CapEff", 16) == 0);
	MUST(status_number("CapAmb", 16) == 0);
	MUST(status_number("NoNewPrivs", 10) == 1);
	MUST(SANITIZED || status_number("Seccomp", 10) == 2);
}

static void as_root(void)
{
	struct passwd *nobody = getpwnam("nobody");
	uid_t ids[3];
	gid_t gids[3];

	MUST(nobody);
	enter(SANDBOX_SENSOR);
	check_powerless();
	MUST(status_number("CapBnd", 16) == 0);
	MUST(getuid() == nobody->pw_uid && geteuid() == nobody->pw_uid);
	MUST(status_number("Uid", 10) == nobody->pw_uid &&
		status_number("Gid", 10) == nobody->pw_gid);
	MUST(getresuid(&ids[0], &ids[1], &ids[2]) == 0 && ids[2] == nobody->pw_uid);
	MUST(getresgid(&gids[0], &gids[1], &gids[2]) == 0 && gids[2] == nobody->pw_gid);
	MUST(!SANITIZED || setuid(0) < 0); /* the filter does not know it */
	/* Not dumpable: our own memory is root's. */
	MUST(SANITIZED || (open("/proc/self/mem", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES));
	MUST(open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
}

/* As the service manager starts it: a user with CAP_NET_RAW in the ambient set. */
static void with_ambient(void)
{
	struct passwd *nobody = getpwnam("nobody");

	MUST(nobody);
	capng_clear(CAPNG_SELECT_BOTH);
	MUST(capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE,
		     CAP_NET_RAW) == 0);
	MUST(capng_change_id((int)nobody->pw_uid, (int)nobody->pw_gid, CAPNG_DROP_SUPP_GRP) == 0);
	MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) == 0);
	MUST(status_number("CapAmb", 16) != 0);
	enter(SANDBOX_SENSOR);
	check_powerless();
	MUST(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM);
}

static void stays_root(void)
{
	const struct sandbox_options o = {.user = "root", .kind = SANDBOX_SENSOR};
	char *reason;

	MUST(sandbox_enter(&o, &reason) >= 0);
	check_powerless();
	MUST(status_number("CapBnd", 16) == 0 && geteuid() == 0);
}

static void unknown_user(void)
{
	const struct sandbox_options o = {.user = "no-such-user", .kind = SANDBOX_SENSOR};
	char *reason = NULL;

	MUST(sandbox_enter(&o, &reason) == -ENOENT);
	MUST(reason && strstr(reason, "no-such-user"));
	free(reason);
}

static void *sleep_long(void *arg)
{
	(void)sleep(20);
	return arg;
}

static void with_thread(void)
{
	const struct sandbox_options o = {.user = "nobody", .kind = SANDBOX_SENSOR};
	char *reason = NULL;
	pthread_t t;

	MUST(pthread_create(&t, NULL, sleep_long, NULL) == 0);
	MUST(sandbox_enter(&o, &reason) == -EBUSY);
	free(reason);
}

static void test_identity(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	expect_ok(as_root);
	expect_ok(with_ambient);
	expect_ok(stays_root);
	expect_ok(unknown_user);
}

static void test_threads_are_refused(void **state)
{
	(void)state;
	expect_ok(with_thread);
}

static void sockets(void)
{
	static const struct {
		int family, type, protocol;
		bool allowed;
	} cases[] = {
		{AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, true},
		{AF_INET, SOCK_DGRAM, 0, true},
		{AF_INET6, SOCK_STREAM, 0, true},
		{AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0, true},
		{AF_UNIX, SOCK_STREAM, 0, true},
		{AF_UNIX, SOCK_DGRAM, 0, true},
		{AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0, true},
		{AF_PACKET, SOCK_RAW, 0, false},
		{AF_PACKET, SOCK_DGRAM, 0, false},
		{AF_INET, SOCK_RAW, 1, false},
		{AF_INET6, SOCK_RAW, 58, false},
		{AF_INET, SOCK_PACKET, 0, false},
		{AF_NETLINK, SOCK_RAW, 9, false},
		{38 /* AF_ALG */, SOCK_SEQPACKET, 0, false},
		{40 /* AF_VSOCK */, SOCK_STREAM, 0, false},
		{-1, SOCK_STREAM, 0, false},
	};

	enter(SANDBOX_SENSOR);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = socket(cases[i].family, cases[i].type, cases[i].protocol);

		if (cases[i].allowed ? fd < 0 && errno != EAFNOSUPPORT
				     : fd >= 0 || errno != EPERM) {
			(void)dprintf(STDERR_FILENO, "case %zu: fd %d, errno %d\n", i, fd, errno);
			_exit(1);
		}
	}
}

static void test_sockets(void **state)
{
	(void)state;
	if (SANITIZED || geteuid() != 0)
		skip();
	expect_ok(sockets);
}

static void call_execve(void)
{
	char name[] = "true", *const args[] = {name, NULL};

	enter(SANDBOX_SENSOR);
	(void)execv("/bin/true", args);
}

static void call_fork(void)
{
	enter(SANDBOX_SENSOR);
	(void)fork();
}

static void call_ptrace(void)
{
	enter(SANDBOX_COLLECTOR);
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void call_mount(void)
{
	enter(SANDBOX_COLLECTOR);
	(void)syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL);
}

static void call_kill(void)
{
	enter(SANDBOX_SENSOR);
	(void)kill(getppid(), 0);
}

static void call_listen(void)
{
	enter(SANDBOX_SENSOR);
	(void)listen(socket(AF_INET, SOCK_STREAM, 0), 1);
}

static void type_into_terminal(void)
{
	enter(SANDBOX_SENSOR);
	/* The kernel looks at the lower 32 bits only. */
	(void)syscall(SYS_ioctl, STDIN_FILENO, (UINT64_C(1) << 32) | TIOCSTI, "x");
}

static void call_prctl(void)
{
	enter(SANDBOX_SENSOR);
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void test_refused_calls(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	expect_killed(call_execve, "execve");
	expect_killed(call_fork, "clone");
	expect_killed(call_ptrace, "ptrace");
	expect_killed(call_mount, "mount");
	expect_killed(call_kill, "kill");
	expect_killed(call_listen, "listen");
	expect_killed(type_into_terminal, "ioctl");
	expect_killed(call_prctl, "prctl");
}

static int resolved = 1;

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	(void)req;
	resolved = status;
	uv_freeaddrinfo(found);
}

static void write_file(void)
{
	int fd = open("a", O_RDWR | O_CREAT | O_CLOEXEC, 0600),
	    dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(fd >= 0 && dir >= 0);
	MUST(write(fd, "x", 1) == 1 && fdatasync(fd) == 0 && fsync(dir) == 0);
	MUST(fallocate(fd, 0, 0, 8192) == 0 && ftruncate(fd, 1) == 0);
	MUST(rename("a", "b") == 0 && unlink("b") == 0);
	(void)close(fd);
	(void)close(dir);
}

/* What the daemons do all day: files, the resolver on the loop's threads, timers, connections. */
static void daily_work(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	uv_getaddrinfo_t resolve;
	uv_tcp_t tcp;
	uv_loop_t loop;
	int r;

	enter(SANDBOX_COLLECTOR);
	write_file();
	MUST(uv_loop_init(&loop) == 0);
	MUST(uv_getaddrinfo(&loop, &resolve, on_resolved, "localhost", "80", NULL) == 0);
	MUST(uv_tcp_init(&loop, &tcp) == 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(uv_tcp_bind(&tcp, (struct sockaddr *)&sa, 0) == 0);
	r = uv_listen((uv_stream_t *)&tcp, 1, NULL);
	MUST(r == 0);
	uv_close((uv_handle_t *)&tcp, NULL);
	MUST(uv_run(&loop, UV_RUN_DEFAULT) == 0);
	MUST(resolved == 0);
	MUST(uv_loop_close(&loop) == 0);
}

static void test_daily_work(void **state)
{
	char dir[] = "/tmp/test_sandbox.XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(chdir(dir), 0);
	expect_ok(daily_work);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_threads_are_refused),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_refused_calls),
		cmocka_unit_test(test_daily_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
