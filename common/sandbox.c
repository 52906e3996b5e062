#include "common/sandbox.h"

#include <asm/ioctls.h>
#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* The leak check at the end is another process that reads this one by ptrace, with calls of its
 * own. */
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

/* What all daemons need once everything is open: files of the spool, the loop's thread pool, the
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
	"futex",
	"set_robust_list",
	"rseq",
	"set_tid_address",
	"arch_prctl",
	"sched_yield",
	"sched_getaffinity",
	"gettid",
	"getpid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getresuid",
	"getresgid",
	"tgkill",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigpending",
	"rt_sigtimedwait",
	"sigaltstack",
	"restart_syscall",
	"exit",
	"exit_group",
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
	"preadv",
	"pwritev",
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

static const char *const allowed_servers[] = {"listen", "accept", "accept4"};

/* Names by number, made before the filter is on: a signal handler cannot look them up. */
static char call_names[512][28];

static void name_calls(void)
{
	for (int i = 0; i < (int)ARRAY_SIZE(call_names); i++) {
		AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

		(void)snprintf(call_names[i], sizeof(call_names[i]), "%s", name ? name : "unknown");
	}
}

/* Names the refused call, and then the process ends by the signal: otherwise nobody finds out. */
static void on_refused_call(int signal, siginfo_t *info, void *context)
{
	static const char before[] = "module=sandbox refused_system_call=";
	char line[sizeof(before) + sizeof(call_names[0])];
	const char *name = "unknown";
	size_t n;

	(void)context;
	if (info->si_syscall >= 0 && info->si_syscall < (int)ARRAY_SIZE(call_names))
		name = call_names[info->si_syscall];
	n = strlen(name);
	memcpy(line, before, sizeof(before) - 1);
	memcpy(line + sizeof(before) - 1, name, n);
	line[sizeof(before) - 1 + n] = '\n';
	(void)!write(STDERR_FILENO, line, sizeof(before) + n);
	(void)raise(signal); /* SA_RESETHAND, SA_NODEFER: at once, and not back here */
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

/* Conditions on arguments. The header's macros leave a field out, which clang minds. Masked ones
 * compare the 32 bits that the kernel looks at, whatever is in the upper half of the register. */
static struct scmp_arg_cmp when(unsigned arg, enum scmp_compare op, uint64_t value)
{
	return (struct scmp_arg_cmp){.arg = arg, .op = op, .datum_a = value};
}

static struct scmp_arg_cmp when_masked(unsigned arg, uint32_t mask, uint32_t value)
{
	return (struct scmp_arg_cmp){
		.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/* Stream and datagram sockets of the Internet families, Unix sockets (the service manager, nscd,
 * PostgreSQL), routing netlink (the resolver asks for the machine's addresses). Anything else,
 * packet and raw sockets above all, is an error and no end: libraries probe for families. */
static int filter_sockets(scmp_filter_ctx filter)
{
	static const unsigned internet[] = {AF_INET, AF_INET6};
	const uint32_t no = SCMP_ACT_ERRNO(EPERM);
	const unsigned type_mask = 0xf; /* SOCK_CLOEXEC and SOCK_NONBLOCK are above */
	struct scmp_arg_cmp c[2];
	int r = 0;

	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(internet); i++)
		for (unsigned type = 0; r == 0 && type <= type_mask; type++) {
			bool ok = type == SOCK_STREAM || type == SOCK_DGRAM;

			c[0] = when(0, SCMP_CMP_EQ, internet[i]);
			c[1] = when_masked(1, type_mask, type);
			r = seccomp_rule_add_array(
				filter, ok ? SCMP_ACT_ALLOW : no, SCMP_SYS(socket), 2, c);
		}
	c[0] = when(0, SCMP_CMP_EQ, AF_NETLINK);
	c[1] = when(2, SCMP_CMP_EQ, NETLINK_ROUTE);
	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, c);
	c[1] = when(2, SCMP_CMP_NE, NETLINK_ROUTE);
	if (r == 0)
		r = seccomp_rule_add_array(filter, no, SCMP_SYS(socket), 2, c);
	for (unsigned family = 0; r == 0 && family < AF_NETLINK; family++)
		if (family != AF_INET && family != AF_INET6) {
			c[0] = when(0, SCMP_CMP_EQ, family);
			r = seccomp_rule_add_array(filter, family == AF_UNIX ? SCMP_ACT_ALLOW : no,
				SCMP_SYS(socket), 1, c);
		}
	c[0] = when(0, SCMP_CMP_GT, AF_NETLINK);
	if (r == 0)
		r = seccomp_rule_add_array(filter, no, SCMP_SYS(socket), 1, c);
	return r;
}

/* Calls of many uses: only those that we need. */
static int filter_arguments(scmp_filter_ctx filter)
{
	const struct {
		int call;
		struct scmp_arg_cmp condition;
	} rules[] = {
		/* Threads, not processes. */
		{SCMP_SYS(clone), when_masked(0, CLONE_THREAD, CLONE_THREAD)},
		{SCMP_SYS(prctl), when(0, SCMP_CMP_EQ, PR_SET_NAME)},
		{SCMP_SYS(prctl), when(0, SCMP_CMP_EQ, PR_SET_VMA)}, /* malloc of newer libcs */
		/* Not TIOCSTI, which types into the terminal that started us. */
		{SCMP_SYS(ioctl), when_masked(1, UINT32_MAX, TCGETS)},
		{SCMP_SYS(ioctl), when_masked(1, UINT32_MAX, TIOCGWINSZ)},
		{SCMP_SYS(ioctl), when_masked(1, UINT32_MAX, FIONBIO)},
		{SCMP_SYS(ioctl), when_masked(1, UINT32_MAX, FIONREAD)},
		{SCMP_SYS(ioctl), when_masked(1, UINT32_MAX, FIOCLEX)},
		{SCMP_SYS(ioctl), when_masked(1, 0xffffff00, 0x8900)}, /* of sockets: SIOC... */
	};
	/* Libraries try these and do without: clone3, whose flags are behind a pointer; io_uring,
	 * which passes by any filter; Kerberos, in libpq, the kernel's key rings. */
	static const int absent[] = {SCMP_SYS(clone3), SCMP_SYS(io_uring_setup), SCMP_SYS(keyctl),
		SCMP_SYS(add_key), SCMP_SYS(request_key)};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++)
		r = seccomp_rule_add_array(
			filter, SCMP_ACT_ALLOW, rules[i].call, 1, &rules[i].condition);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(absent); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), absent[i], 0);
	return r;
}

static int filter_calls(enum sandbox_kind kind, char **ret_reason)
{
	const struct sigaction action = {.sa_sigaction = on_refused_call,
		.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int r = filter ? 0 : -ENOMEM;

	name_calls();
	if (r == 0 && sigaction(SIGSYS, &action, NULL) < 0)
		r = -errno;
	if (r == 0)
		r = allow(filter, allowed, ARRAY_SIZE(allowed));
	if (r == 0 && kind != SANDBOX_SENSOR)
		r = allow(filter, allowed_servers, ARRAY_SIZE(allowed_servers));
	if (r == 0)
		r = filter_arguments(filter);
	if (r == 0)
		r = filter_sockets(filter);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? fail(r, "loading the system call filter", ret_reason) : 0;
}

/* Capabilities belong to threads: one that runs already would keep them. */
static bool is_single_threaded(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	if (!dir)
		return true; /* no /proc: nothing to see */
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		n += e->d_name[0] != '.';
	(void)closedir(dir);
	return n == 1;
}

/* Believe the kernel, not the calls that returned 0. */
static int check_dropped(bool became, char **ret_reason)
{
	if (capng_get_caps_process() != 0 ||
		capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return fail(-EPERM, "capabilities are left", ret_reason);
	if (became && setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
		return fail(-EPERM, "can become root again", ret_reason);
	return 0;
}

int sandbox_enter(const struct sandbox_options *o, char **ret_reason)
{
	bool root = geteuid() == 0, became = false;
	int r = 0;

	if (!is_single_threaded())
		return fail(-EBUSY, "threads are running", ret_reason);
	/* The bounding set can only be emptied while the capability to do so is there. */
	if (root)
		r = drop_capabilities(true, ret_reason);
	if (r == 0 && root && o->user && *o->user)
		r = become(o->user, ret_reason);
	became = r == 0 && root && geteuid() != 0;
	if (r == 0)
		r = drop_capabilities(false, ret_reason);
	if (r == 0)
		r = check_dropped(became, ret_reason);
	if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			      prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0) < 0))
		r = fail(-errno, "prctl", ret_reason);
	if (r == 0)
		r = SANITIZED ? SANDBOX_NO_FILTER : filter_calls(o->kind, ret_reason);
	return r;
}
