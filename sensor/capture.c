#include "sensor/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <pcap/pcap.h>
#include <xxhash.h>

#include "common/clock.h"
#include "sensor/pcapng.h"

/** Longest time a packet waits in a block of the ring that is not full, milliseconds. */
#define CAPTURE_TIMEOUT_MS 100

/** Snap lengths, bytes. Below, TCP options behind IPv6 extension headers would be cut; above,
 * libpcap takes none (its MAXIMUM_SNAPLEN). */
#define SNAPLEN_MIN 96
#define SNAPLEN_MAX 262144

struct capture {
	pcap_t *pcap; /* NULL where pcapng is not */
	struct pcapng *pcapng;
	int dlt; /* of pcap */
	int ifindex; /* live; 0 = file */
	int file; /* to read it again; -1 = live */
	bool damaged;
	struct pcap_stat last; /* as libpcap gave it, 32 bits that wrap */
	uint64_t kernel_drops, interface_drops;
	char error[PCAP_ERRBUF_SIZE + 64];
};

static int refuse(int error, char **ret_reason, const char *subject, const char *text)
{
	if (asprintf(ret_reason, "%s: %s", subject, text) < 0) {
		*ret_reason = NULL;
		return -ENOMEM;
	}
	return error;
}

/* A file as its reader gets it. libpcap cuts packets to the snap length in the header of a pcap
 * file; some writers put less there than they captured. The header is handed on with the maximum.
 */
struct source {
	FILE *f;
	uint8_t head[24];
	size_t head_n, head_at;
};

static bool is_pcap(const uint8_t *magic)
{
	uint32_t be = (uint32_t)magic[0] << 24 | (uint32_t)magic[1] << 16 |
		      (uint32_t)magic[2] << 8 | magic[3];

	return be == 0xa1b2c3d4 || be == 0xd4c3b2a1 || be == 0xa1b23c4d || be == 0x4d3cb2a1;
}

static void widen(struct source *s)
{
	static const uint8_t big[4] = {0, 4, 0, 0}, little[4] = {0, 0, 4, 0}; /* SNAPLEN_MAX */

	if (s->head_n == sizeof(s->head) && is_pcap(s->head))
		memcpy(s->head + 16, s->head[0] == 0xa1 ? big : little, 4);
}

static ssize_t source_read(void *cookie, char *buf, size_t n)
{
	struct source *s = cookie;
	size_t left = s->head_n - s->head_at;

	if (left == 0) {
		n = fread(buf, 1, n, s->f);
		return n == 0 && ferror(s->f) ? -1 : (ssize_t)n;
	}
	if (n > left)
		n = left;
	memcpy(buf, s->head + s->head_at, n);
	s->head_at += n;
	return (ssize_t)n;
}

static int source_close(void *cookie)
{
	struct source *s = cookie;
	int r = s->f == stdin ? 0 : fclose(s->f);

	free(s);
	return r;
}

/* @return a stream that closes f with itself; NULL out of memory (f is left open) */
static FILE *source_open(FILE *f, bool *ret_pcapng)
{
	const cookie_io_functions_t io = {.read = source_read, .close = source_close};
	struct source *s = calloc(1, sizeof(*s));
	FILE *stream;

	if (!s)
		return NULL;
	s->f = f;
	s->head_n = fread(s->head, 1, sizeof(s->head), f);
	widen(s);
	*ret_pcapng = s->head_n == sizeof(s->head) && pcapng_magic(s->head);
	stream = fopencookie(s, "rb", io);
	if (!stream)
		free(s);
	return stream;
}

static void close_input(struct capture *c)
{
	c->pcapng = pcapng_close(c->pcapng);
	if (c->pcap)
		pcap_close(c->pcap); /* closes a file too, other than standard input */
	c->pcap = NULL;
}

/* @param f  closed with c's input, or here on error. @return 0, -errno with words in error */
static int read_from(struct capture *c, FILE *f, char *error)
{
	bool pcapng;
	FILE *stream = source_open(f, &pcapng);
	int r = 0;

	if (!stream) {
		if (f != stdin)
			(void)fclose(f);
		(void)snprintf(error, PCAP_ERRBUF_SIZE, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	if (pcapng) {
		r = pcapng_open(stream, &c->pcapng, error, PCAP_ERRBUF_SIZE);
	} else {
		c->pcap = pcap_fopen_offline_with_tstamp_precision(
			stream, PCAP_TSTAMP_PRECISION_MICRO, error);
		if (c->pcap)
			c->dlt = pcap_datalink(c->pcap);
		else
			r = -EINVAL;
	}
	if (r < 0) {
		r = ferror(f) ? -EIO : r;
		(void)fclose(stream);
	}
	return r;
}

int capture_open_file(const char *path, struct capture **ret, char **ret_reason)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	struct capture *c;
	int r;

	if (!f)
		return refuse(-errno, ret_reason, path, strerror(errno));
	c = calloc(1, sizeof(*c));
	if (!c) {
		if (f != stdin)
			(void)fclose(f);
		return refuse(-ENOMEM, ret_reason, path, strerror(ENOMEM));
	}
	c->file = fcntl(fileno(f), F_DUPFD_CLOEXEC, 0);
	r = read_from(c, f, error);
	if (r < 0) {
		r = refuse(r, ret_reason, path, error);
		(void)capture_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

int capture_rewind(struct capture *c)
{
	char error[PCAP_ERRBUF_SIZE];
	FILE *f;
	int fd;

	if (lseek(c->file, 0, SEEK_SET) < 0)
		return -errno;
	fd = fcntl(c->file, F_DUPFD_CLOEXEC, 0);
	f = fd < 0 ? NULL : fdopen(fd, "rb");
	if (!f) {
		int r = -errno;

		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	close_input(c);
	return read_from(c, f, error);
}

static int errno_of(int pcap_error)
{
	switch (pcap_error) {
	case PCAP_ERROR_PERM_DENIED: return -EPERM;
	case PCAP_ERROR_NO_SUCH_DEVICE: return -ENODEV;
	case PCAP_ERROR_IFACE_NOT_UP: return -ENETDOWN;
	default: return -EIO;
	}
}

int capture_open_live(const char *interface, int snaplen, size_t ring_bytes, struct capture **ret,
	char **ret_reason)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	struct capture *c;
	int r;

	if (strcmp(interface, "any") == 0)
		return refuse(-EINVAL, ret_reason, interface,
			"the pseudo-interface is refused: start one sensor for each interface");
	if (snaplen < SNAPLEN_MIN || snaplen > SNAPLEN_MAX || ring_bytes > INT32_MAX)
		return refuse(-EINVAL, ret_reason, interface, "snap length or ring out of range");
	c = calloc(1, sizeof(*c));
	if (!c)
		return refuse(-ENOMEM, ret_reason, interface, strerror(ENOMEM));
	c->file = -1;
	c->ifindex = (int)if_nametoindex(interface);
	if (c->ifindex == 0) {
		r = refuse(-ENODEV, ret_reason, interface, "no such interface");
		goto fail;
	}
	c->pcap = pcap_create(interface, error);
	if (!c->pcap) {
		r = refuse(-EIO, ret_reason, interface, error);
		goto fail;
	}
	/* Values were checked: before activation these cannot fail. A packet may wait for its block
	 * of the ring (TPACKET_V3): blocks hold many small packets where immediate mode would give
	 * each a slot of snap length. */
	(void)pcap_set_snaplen(c->pcap, snaplen);
	(void)pcap_set_promisc(c->pcap, 1);
	(void)pcap_set_timeout(c->pcap, CAPTURE_TIMEOUT_MS);
	(void)pcap_set_buffer_size(c->pcap, (int)ring_bytes);
	r = pcap_activate(c->pcap);
	if (r < 0) {
		const char *text = pcap_geterr(c->pcap);

		r = refuse(errno_of(r), ret_reason, interface, *text ? text : pcap_statustostr(r));
		goto fail;
	}
	if (pcap_setdirection(c->pcap, PCAP_D_IN) < 0) {
		r = refuse(-EINVAL, ret_reason, interface, pcap_geterr(c->pcap));
		goto fail;
	}
	if (pcap_setnonblock(c->pcap, 1, error) < 0) {
		r = refuse(-EIO, ret_reason, interface, error);
		goto fail;
	}
	c->dlt = pcap_datalink(c->pcap);
	*ret = c;
	return 0;
fail:
	(void)capture_close(c);
	return r;
}

int capture_filter(struct capture *c, const char *filter, char **ret_reason)
{
	struct bpf_program program;
	int r = pcap_compile(c->pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN);

	if (r == 0) {
		r = pcap_setfilter(c->pcap, &program);
		pcap_freecode(&program);
	}
	return r == 0 ? 0 : refuse(-EINVAL, ret_reason, "filter", pcap_geterr(c->pcap));
}

struct capture *capture_close(struct capture *c)
{
	if (!c)
		return NULL;
	close_input(c);
	if (c->file >= 0)
		(void)close(c->file);
	free(c);
	return NULL;
}

/* Asked on the packet socket itself: needs no capability and no other address family (a sandbox may
 * refuse to make another socket). @return CAPTURE_NONE where it is up, else the reason, or -errno
 */
static int interface_state(const struct capture *c)
{
	struct ifreq request = {.ifr_ifindex = c->ifindex};
	int fd = pcap_fileno(c->pcap);

	if (ioctl(fd, SIOCGIFNAME, &request) < 0)
		return CAPTURE_VANISHED;
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return errno == ENODEV ? CAPTURE_VANISHED : -errno;
	return request.ifr_flags & IFF_UP ? CAPTURE_NONE : CAPTURE_DOWN;
}

/* A live read gave no packet. libpcap says nothing of an interface that is down (1.10), so look. */
static int nothing_read(struct capture *c, bool error)
{
	int r = interface_state(c);

	return error && r == CAPTURE_NONE ? -EIO : r;
}

static int64_t time_of(const struct timeval *ts)
{
	int64_t seconds = ts->tv_sec;

	/* libpcap takes the 32 bits of a pcap file as signed: 2038 and later. */
	if (seconds < 0 && seconds >= INT32_MIN)
		seconds += INT64_C(1) << 32;
	return seconds * US_PER_S + ts->tv_usec;
}

int capture_read(struct capture *c, struct capture_packet *ret)
{
	struct pcap_pkthdr *h;
	const u_char *data;
	int r;

	if (c->damaged)
		return CAPTURE_BAD_FILE;
	if (c->pcapng) {
		r = pcapng_read(c->pcapng, ret);
		c->damaged = r == CAPTURE_BAD_FILE;
		return r;
	}
	r = pcap_next_ex(c->pcap, &h, &data);
	if (r == 1) {
		*ret = (struct capture_packet){
			.time_us = time_of(&h->ts),
			.dlt = c->dlt,
			.data = data,
			.captured = h->caplen,
			.wire = h->len,
		};
		return CAPTURE_PACKET;
	}
	if (r == PCAP_ERROR_BREAK)
		return CAPTURE_END;
	if (r != 0)
		(void)snprintf(c->error, sizeof(c->error), "%s", pcap_geterr(c->pcap));
	if (c->ifindex == 0) {
		c->damaged = true;
		return CAPTURE_BAD_FILE;
	}
	return nothing_read(c, r != 0);
}

const char *capture_error(const struct capture *c)
{
	return c->pcapng ? pcapng_error(c->pcapng) : c->error;
}

int capture_fd(const struct capture *c)
{
	return pcap_get_selectable_fd(c->pcap);
}

int capture_linktype(const struct capture *c)
{
	return c->dlt;
}

/* libpcap's counters have 32 bits and wrap; a driver that begins anew at 0 makes them jump back. */
static uint64_t advance(unsigned now, unsigned before)
{
	uint32_t step = (uint32_t)now - (uint32_t)before;

	return step < UINT32_C(1) << 31 ? step : 0;
}

void capture_drops(struct capture *c, uint64_t *ret_kernel, uint64_t *ret_interface)
{
	struct pcap_stat now;

	if (c->ifindex != 0 && pcap_stats(c->pcap, &now) == 0) {
		c->kernel_drops += advance(now.ps_drop, c->last.ps_drop);
		c->interface_drops += advance(now.ps_ifdrop, c->last.ps_ifdrop);
		c->last = now;
	}
	*ret_kernel = c->kernel_drops;
	*ret_interface = c->interface_drops;
}

int capture_file_hash(const char *path, uint64_t *ret)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	XXH3_state_t *state;
	uint8_t buf[65536];
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return -errno;
	state = XXH3_createState();
	if (!state)
		return -ENOMEM;
	(void)XXH3_64bits_reset(state);
	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n > 0) {
			(void)XXH3_64bits_update(state, buf, (size_t)n);
		} else if (errno != EINTR) {
			r = -errno;
			break;
		}
	}
	if (r == 0)
		*ret = XXH3_64bits_digest(state);
	(void)XXH3_freeState(state);
	return r;
}
