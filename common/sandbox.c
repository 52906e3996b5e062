#include "common/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* the sanitizers' own calls (ptrace for leaks) would be refused */
#endif

static int fail(int r, const char *what, char **ret_reason)
{
	if (asprintf(ret_reason, "%s: %s", what, strerror(-r)) < 0)
		*ret_reason = NULL;
	return r;
}

/* Only root can become somebody else. */
static int become(const char *user, char **ret_reason)
{
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw) {
		if (asprintf(ret_reason, "user %s does not exist", user) < 0)
			*ret_reason = NULL;
		return errno ? -errno : -ENOENT;
	}
	if (pw->pw_uid == 0)
		return 0;
	if (initgroups(user, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
		setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return fail(-errno, "becoming an unprivileged user", ret_reason);
	return 0;
}

static int drop_capabilities(bool bounds, char **ret_reason)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(bounds ? CAPNG_SELECT_BOUNDS : CAPNG_SELECT_CAPS) != 0)
		return fail(-EPERM, "dropping capabilities", ret_reason);
	return 0;
}

/* What both daemons need once everything is open: files of the spool, the loop's thread pool, the
 * resolver, sockets of the Internet and Unix families. No execve, no ptrace, no packet sockets. */
static const char *const allowed[] = {
	/* memory, threads, signals, end */
	"brk",
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	"membarrier",
	"clone",
	"futex",
	"set_robust_list",
	"rseq",
	"set_tid_address",
	"sched_yield",
	"sched_getaffinity",
	"gettid",
	"getpid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"tgkill",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"restart_syscall",
	"exit",
	"exit_group",
	"prctl",
	"prlimit64",
	"getrlimit",
	"getrusage",
	"sysinfo",
	"uname",
	"getrandom",
	/* time */
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	/* the loop */
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"eventfd2",
	"pipe2",
	"poll",
	"ppoll",
	"select",
	"pselect6",
	/* files */
	"open",
	"openat",
	"close",
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"lseek",
	"stat",
	"fstat",
	"lstat",
	"newfstatat",
	"statx",
	"statfs",
	"fstatfs",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getcwd",
	"getdents64",
	"mkdir",
	"mkdirat",
	"rmdir",
	"rename",
	"renameat",
	"renameat2",
	"unlink",
	"unlinkat",
	"ftruncate",
	"fallocate",
	"fsync",
	"fdatasync",
	"flock",
	"fchmod",
	"umask",
	"fcntl",
	"ioctl",
	"dup",
	"dup2",
	"dup3",
	"fadvise64",
	/* sockets; socket() itself is filtered below */
	"socketpair",
	"connect",
	"bind",
	"getsockname",
	"getpeername",
	"setsockopt",
	"getsockopt",
	"sendto",
	"recvfrom",
	"sendmsg",
	"recvmsg",
	"sendmmsg",
	"recvmmsg",
	"shutdown",
};

static const char *const allowed_collector[] = {"listen", "accept", "accept4"};

/* Names the refused call before the process ends: otherwise nobody finds out. */
static void on_refused_call(int signal, siginfo_t *info, void *context)
{
	char text[] = "sandbox: system call     is not allowed\n";
	int n = info->si_syscall;

	(void)signal;
	(void)context;
	for (char *p = text + sizeof("sandbox: system call     ") - 2; n > 0; n /= 10)
		*--p = (char)('0' + n % 10);
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(128 + SIGSYS);
}

static int allow(scmp_filter_ctx filter, const char *const *names, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);

		if (number >= 0) /* negative: this architecture has none of that name */
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	}
	return r;
}

/* The header's SCMP_A0 leaves a field out, which clang minds. */
static int socket_rule(scmp_filter_ctx filter, uint32_t action, unsigned family)
{
	const struct scmp_arg_cmp is_family = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = family};

	return seccomp_rule_add_array(filter, action, SCMP_SYS(socket), 1, &is_family);
}

static int filter_calls(enum sandbox_kind kind, char **ret_reason)
{
	static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	const struct sigaction action = {.sa_sigaction = on_refused_call, .sa_flags = SA_SIGINFO};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int r = filter ? 0 : -ENOMEM;

	if (r == 0 && sigaction(SIGSYS, &action, NULL) < 0)
		r = -errno;
	/* Threads that run already (none of ours do, but libraries may) get the filter too. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = allow(filter, allowed, ARRAY_SIZE(allowed));
	if (r == 0 && kind == SANDBOX_COLLECTOR)
		r = allow(filter, allowed_collector, ARRAY_SIZE(allowed_collector));
	/* Its flags are behind a pointer; libc falls back to clone. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++)
		r = socket_rule(filter, SCMP_ACT_ALLOW, families[i]);
	if (r == 0)
		r = socket_rule(filter, SCMP_ACT_ERRNO(EPERM), AF_PACKET);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? fail(r, "loading the system call filter", ret_reason) : 0;
}

int sandbox_enter(const struct sandbox_options *o, char **ret_reason)
{
	bool root = geteuid() == 0;
	int r = 0;

	/* The bounding set can only be emptied while the capability to do so is there. */
	if (root)
		r = drop_capabilities(true, ret_reason);
	if (r == 0 && root && o->user && *o->user)
		r = become(o->user, ret_reason);
	if (r == 0)
		r = drop_capabilities(false, ret_reason);
	if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			      prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		r = fail(-errno, "prctl", ret_reason);
	if (r == 0 && !SANITIZED)
		r = filter_calls(o->kind, ret_reason);
	return r;
}
