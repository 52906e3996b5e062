/*
 * Packets from an interface or a capture file, by libpcap (pcapng files: by pcapng). Live: ring
 * size, snap length and BPF from the caller, read by uv_poll on capture_fd(); kernel and interface
 * drops are cumulative over interface down and up again.
 */
#ifndef HIRUNDO_SENSOR_CAPTURE_H
#define HIRUNDO_SENSOR_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

struct capture;

#define CAPTURE_NO_TIME INT64_MIN

struct capture_packet {
	int64_t time_us; /* since 1970 UTC, truncated; INT64_MAX = beyond all calendars;
			  * CAPTURE_NO_TIME: a pcapng file's packet without a time */
	int dlt;
	const uint8_t *data; /* borrowed until the next read */
	size_t captured, wire;
};

/** Opens a pcap or pcapng file, or "-" for standard input where seekable is not needed.
 *  @param ret_reason  heap text on error (free it)
 *  @return 0, -errno */
int capture_open_file(const char *path, struct capture **ret, char **ret_reason) MUST_CHECK;

/** Opens an interface ("any" is refused). Needs CAP_NET_RAW; afterwards none.
 *  @param snaplen     bytes, 96 to 262144
 *  @param ring_bytes  kernel ring
 *  Only what arrives is captured, not what this host sends. */
int capture_open_live(const char *interface, int snaplen, size_t ring_bytes, struct capture **ret,
	char **ret_reason) MUST_CHECK;

/** Lets only what this BPF text describes pass, in the kernel; what came before is dropped unseen.
 * Its words depend on capture_linktype().
 *  @return 0, -EINVAL with heap text */
int capture_filter(struct capture *c, const char *filter, char **ret_reason) MUST_CHECK;

/** A file from its first packet again; whoever may open it by now. Not for standard input.
 *  @return 0, -errno */
int capture_rewind(struct capture *c) MUST_CHECK;

struct capture *capture_close(struct capture *c);

enum capture_res {
	CAPTURE_PACKET = 0,
	CAPTURE_NONE = 1, /* live: nothing now; the kernel's timeout passed */
	CAPTURE_END = 2, /* file: no more packets */
	CAPTURE_DOWN = 3, /* live: the interface is down; keep polling, it may come up again */
	CAPTURE_VANISHED = 4, /* live: the interface is gone; drain and exit 75 */
	CAPTURE_BAD_FILE = 5, /* file: damaged here; packets before it were good. capture_error() */
};

/** Reads the next packet; live: never waiting. Where the interface goes down, capture_fd() reports
 *  POLLERR and libuv stops the poll handle with UV_EBADF: read (CAPTURE_DOWN, as long as it is
 * down), and start polling again. Packets come again when it is up, without any capability.
 *  @return an enum capture_res or -errno */
int capture_read(struct capture *c, struct capture_packet *ret) MUST_CHECK;

const char *capture_error(const struct capture *c);
int capture_fd(const struct capture *c);
int capture_linktype(const struct capture *c); /* live */

/** Cumulative since open. Files: 0. */
void capture_drops(struct capture *c, uint64_t *ret_kernel, uint64_t *ret_interface);

/** XXH3-64 of a file's bytes, its identity in capture_position. @return 0, -errno */
int capture_file_hash(const char *path, uint64_t *ret) MUST_CHECK;

#endif
