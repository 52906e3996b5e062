/* Files are compared with tshark in tests/functional; here interfaces: a tap device in a network
 * namespace of the test's own, which needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <uv.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "sensor/capture.h"

#define WAIT_US (5 * US_PER_S)

static const uint8_t FRAME[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46};

struct wire {
	int tap; /* the far end: what is written here arrives at the interface */
	int control; /* for SIOCSIFFLAGS */
};

static bool wire_open(struct wire *w)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "dark0");
	w->tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	w->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return w->tap >= 0 && w->control >= 0 && ioctl(w->tap, TUNSETIFF, &r) == 0;
}

static void wire_set(const struct wire *w, bool up)
{
	struct ifreq r = {.ifr_flags = up ? IFF_UP : 0};

	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "dark0");
	assert_int_equal(ioctl(w->control, SIOCSIFFLAGS, &r), 0);
}

static void wire_send(const struct wire *w, uint8_t mark)
{
	uint8_t frame[sizeof(FRAME)];

	memcpy(frame, FRAME, sizeof(frame));
	frame[59] = mark;
	assert_int_equal(write(w->tap, frame, sizeof(frame)), sizeof(frame));
}

static bool ours(const struct capture_packet *p)
{
	return p->captured == sizeof(FRAME) && memcmp(p->data, FRAME, sizeof(FRAME) - 1) == 0;
}

/* Reads until want comes (CAPTURE_PACKET: the frame with this mark). */
static void expect(struct capture *c, int want, uint8_t mark)
{
	int64_t end = clock_mono_us() + WAIT_US;
	struct capture_packet p;
	struct pollfd f = {.fd = capture_fd(c), .events = POLLIN};
	int r;

	while (clock_mono_us() < end) {
		r = capture_read(c, &p);
		if (r == want && (r != CAPTURE_PACKET || (ours(&p) && p.data[59] == mark)))
			return;
		assert_true(r == CAPTURE_PACKET || r == CAPTURE_NONE || r == CAPTURE_DOWN);
		if (r != CAPTURE_PACKET)
			(void)poll(&f, 1, 20);
	}
	fail_msg("result %d did not come", want);
}

/* Fewer rights than root, for the rest of this process. */
static void drop_privileges(void)
{
	/* the system calls themselves: each acts on this process, which has one thread */
	assert_int_equal(syscall(SYS_setresgid, 65534, 65534, 65534), 0);
	assert_int_equal(syscall(SYS_setresuid, 65534, 65534, 65534), 0);
	assert_int_equal(socket(AF_PACKET, SOCK_RAW, 0), -1);
}

static void watched(uv_poll_t *p, int status, int events)
{
	(void)events;
	*(int *)p->data = status;
	uv_stop(p->loop);
}

/* The whole life of an interface.
 *  @param privileged  false: the capture is read by a process that has given up everything, while
 *                     another one works the wire */
static void live(bool privileged)
{
	struct wire w;
	struct capture *c;
	char *reason = NULL;
	uint64_t kernel = 1, interface = 1;
	uv_loop_t loop;
	uv_poll_t poll_handle;
	int seen = 1;
	int up[2], done[2];
	char order;
	pid_t worker;

	assert_true(wire_open(&w));
	assert_int_equal(capture_open_live("dark0", 262144, 1 << 20, &c, &reason), -ENETDOWN);
	assert_non_null(reason);
	free(reason);
	wire_set(&w, true);
	assert_int_equal(capture_open_live("dark0", 200, 1 << 20, &c, &reason), 0);
	assert_int_equal(capture_filter(c, "udp port (", &reason), -EINVAL);
	free(reason);
	assert_int_equal(capture_filter(c, "ether[59] != 9", &reason), 0);
	assert_int_equal(capture_linktype(c), 1);

	/* The worker obeys: each byte is an order, each is answered. */
	assert_int_equal(pipe(up) | pipe(done), 0);
	worker = fork();
	assert_true(worker >= 0);
	if (worker == 0) {
		/* A copy of the tap would keep the interface alive: only the worker has it. */
		(void)close(up[1]);
		(void)close(done[0]);
		(void)alarm(60);
		while (read(up[0], &order, 1) == 1) {
			if (order == 'u' || order == 'd')
				wire_set(&w, order == 'u');
			else if (order == 'x')
				(void)close(w.tap);
			else
				wire_send(&w, (uint8_t)order);
			(void)!write(done[1], &order, 1);
		}
		_exit(0);
	}
	(void)close(w.tap);
	(void)close(w.control);
	(void)close(up[0]);
	(void)close(done[1]);
	if (!privileged)
		drop_privileges();
#define ORDER(o) \
	(assert_int_equal(write(up[1], (o), 1), 1), assert_int_equal(read(done[0], &order, 1), 1))

	ORDER("\1");
	expect(c, CAPTURE_PACKET, 1);
	ORDER("\11"); /* filtered out */
	ORDER("\2");
	expect(c, CAPTURE_PACKET, 2);

	/* What libuv makes of it is as capture.h says. */
	assert_int_equal(uv_loop_init(&loop) | uv_poll_init(&loop, &poll_handle, capture_fd(c)), 0);
	poll_handle.data = &seen;
	ORDER("d");
	for (int i = 0; i < 100 && seen != UV_EBADF; i++) {
		struct capture_packet p;

		assert_int_equal(uv_poll_start(&poll_handle, UV_READABLE, watched), 0);
		(void)uv_run(&loop, UV_RUN_DEFAULT);
		if (seen != UV_EBADF)
			(void)!capture_read(c, &p);
	}
	assert_int_equal(seen, UV_EBADF);
	uv_close((uv_handle_t *)&poll_handle, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);

	expect(c, CAPTURE_DOWN, 0);
	expect(c, CAPTURE_DOWN, 0); /* as long as it is */
	ORDER("u");
	ORDER("\3");
	expect(c, CAPTURE_PACKET, 3);
	ORDER("d");
	ORDER("u"); /* before anybody looked */
	ORDER("\4");
	expect(c, CAPTURE_PACKET, 4);
	capture_drops(c, &kernel, &interface);
	assert_int_equal(kernel, 0);
	assert_int_equal(interface, 0);
	ORDER("x");
	expect(c, CAPTURE_VANISHED, 0);
	expect(c, CAPTURE_VANISHED, 0);
	assert_null(capture_close(c));
	(void)close(up[1]);
	(void)close(done[0]);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
}

/* A ring that nobody empties: what the kernel throws away is counted. */
static void overflow(void **state)
{
	struct wire w;
	struct capture *c;
	struct capture_packet p;
	char *reason;
	uint64_t kernel, interface, got = 0;
	int r;

	(void)state;
	assert_true(wire_open(&w));
	wire_set(&w, true);
	assert_int_equal(capture_open_live("dark0", 200, 1 << 17, &c, &reason), 0);
	assert_int_equal(capture_filter(c, "ether[59] = 7", &reason), 0);
	for (int i = 0; i < 20000; i++)
		wire_send(&w, 7);
	for (int64_t end = clock_mono_us() + US_PER_S; clock_mono_us() < end;) {
		r = capture_read(c, &p);
		assert_true(r == CAPTURE_PACKET || r == CAPTURE_NONE);
		got += r == CAPTURE_PACKET;
	}
	capture_drops(c, &kernel, &interface);
	assert_true(kernel > 0);
	assert_int_equal(got + kernel, 20000);
	capture_drops(c, &kernel, &interface); /* cumulative: asking does not change it */
	assert_int_equal(got + kernel, 20000);
	assert_null(capture_close(c));
}

static void live_privileged(void **state)
{
	(void)state;
	live(true);
}

static void live_unprivileged(void **state)
{
	(void)state;
	live(false);
}

/* A child with a network of its own: neither the interface nor lost privileges outlive it. */
static void in_child(CMUnitTestFunction test)
{
	const struct CMUnitTest group[] = {{.name = "in a network of its own", .test_func = test}};
	int status;
	pid_t child;

	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0)
		skip();
	(void)fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)dup2(
			STDERR_FILENO, STDOUT_FILENO); /* standard output has one TAP plan only */
		(void)alarm(60);
		_exit(unshare(CLONE_NEWNET) < 0 ? 77 : cmocka_run_group_tests(group, NULL, NULL));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_live(void **state)
{
	(void)state;
	in_child(live_privileged);
}

static void test_live_without_privileges(void **state)
{
	(void)state;
	in_child(live_unprivileged);
}

static void test_overflow(void **state)
{
	(void)state;
	in_child(overflow);
}

static void test_refused(void **state)
{
	struct capture *c = NULL;
	char *reason = NULL;

	(void)state;
	assert_int_equal(capture_open_live("any", 200, 1 << 20, &c, &reason), -EINVAL);
	assert_non_null(strstr(reason, "refused"));
	free(reason);
	assert_int_equal(capture_open_live("nosuch0", 200, 1 << 20, &c, &reason), -ENODEV);
	free(reason);
	assert_int_equal(capture_open_live("lo", 10, 1 << 20, &c, &reason), -EINVAL);
	free(reason);
	assert_int_equal(capture_open_file("/nonexistent/file", &c, &reason), -ENOENT);
	free(reason);
	assert_true(capture_open_file("/", &c, &reason) < 0);
	free(reason);
	assert_null(c);
	assert_null(capture_close(NULL));
}

static void test_hash(void **state)
{
	char name[] = "/tmp/hirundo-test-XXXXXX";
	int fd = mkstemp(name);
	uint64_t hash = 0;

	(void)state;
	assert_true(fd >= 0);
	/* the vector of an empty input, from the XXH3 specification */
	assert_int_equal(capture_file_hash(name, &hash), 0);
	assert_true(hash == UINT64_C(0x2d06800538d394c2));
	assert_int_equal(unlink(name), 0);
	assert_int_equal(capture_file_hash(name, &hash), -ENOENT);
	assert_int_equal(capture_file_hash("/", &hash), -EISDIR);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_live_without_privileges),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
