/*
 * The spool: records (frames, byte for byte) in segment files, kept until they are acknowledged as
 * committed and for a while after. No position file: the position is what the scan finds, and what
 * WELCOME says.
 *
 *   DIR/lock      flock: one process
 *   DIR/reserve   preallocated, so that a LOSS can be written on a full disk
 *   DIR/GENERATION-EPOCH-PARENT-SHARED-TOTAL/
 *                 a stream (hexadecimal): its place in the order, its epoch, and where it
 *                 forked from: generation (0: none), last sequence shared, packets up to there
 *   .../FIRST-TOTAL-CHECKSUM.seg
 *                 records from sequence FIRST on; packets and chain checksum in front of it
 *   .../NAME.bad  damaged bytes, set aside for the owner: at most 8 files and max_bytes / 8
 *
 * A segment is named by what stands in front of it: so whatever happens to a file, its neighbours'
 * names say which numbers and how many packets it held. Names of another form are left alone.
 *
 * Rules. A record is durable (fdatasync) before spool_append returns, so before anything sends it.
 * A LOSS is durable before what it replaces is unlinked. Only whole segments are dropped:
 * acknowledged ones first, then the oldest, in flight last. An fdatasync that failed is never tried
 * again on that file: the record is written to a new segment, and where two files hold a number the
 * one that begins later is right, but for a LOSS, which stands for all it covers. Opening scans one
 * segment at a time; memory does not depend on the backlog. Damaged bytes never block a start: what
 * is readable behind them is kept in a clean file, the hole becomes a LOSS whose count follows from
 * the cumulative totals.
 *
 * A torn tail (no valid record behind it) was never durable: it is cut off without a LOSS.
 *
 * Fork. When the collector has other records under our numbers (a spool rolled back or cloned), the
 * stream ends at the last shared record; those behind it are sealed again, one for one, in a new
 * epoch: new number n belongs to old number n + SHARED of generation PARENT. Segment by segment, an
 * old one goes when its copy is durable, so that no second backlog needs room; a crash in between
 * continues at the next start. Any stream can fork, the newest or an older one whose records are
 * asked for again: the new epoch is always a generation of its own, and what the others hold is
 * delivered in theirs. Behind the shared record of a stream that forked, anything that the
 * collector has is accepted.
 */
#ifndef HIRUNDO_SENSOR_SPOOL_H
#define HIRUNDO_SENSOR_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/mem.h"
#include "proto/frame.h"

/** The system calls that matter, so that tests can log them and replay every legal crash state, or
 *  make them fail. NULL in the options = spool_io_system. On failure each returns -1 with errno. */
struct spool_io {
	void *arg;
	int (*open)(void *arg, const char *path, int flags, mode_t mode);
	ssize_t (*pwrite)(void *arg, int fd, const void *p, size_t n, off_t at);
	int (*fdatasync)(void *arg, int fd);
	int (*fsync_dir)(void *arg, const char *path);
	int (*rename)(void *arg, const char *from, const char *to);
	int (*unlink)(void *arg, const char *path); /* an empty directory too, as remove(3) */
	int (*mkdir)(void *arg, const char *path);
	int (*fallocate)(void *arg, int fd, off_t n);
	int (*ftruncate)(void *arg, int fd, off_t n);
	int (*close)(void *arg, int fd);
	int64_t (*free_bytes)(void *arg, const char *path);
};

/** The real ones. */
extern const struct spool_io spool_io_system;

/** Streams at most (PROTOCOL.md: HELLO names all of them). Above SPOOL_STREAMS_KEPT the oldest lose
 * what is acknowledged before retain_us is over; at the bound a fork waits until one is delivered.
 */
#define SPOOL_STREAMS_MAX 64u
#define SPOOL_STREAMS_KEPT 32u

struct spool_options {
	const char *dir;
	uint64_t max_bytes; /* of all segments, retained ones included; at least 64 KiB */
	uint64_t min_free_bytes; /* of the file system */
	uint64_t segment_bytes; /* 0 = 8 MiB; at most an eighth of max_bytes and of the disk's room.
				 * A record that is larger has a file of its own */
	int64_t retain_us; /* acknowledged segments stay this long, room permitting */
	uint64_t first_seq; /* tests: the first number of a new epoch; 0 = 1 */
	const struct spool_io *io;
};

struct spool;

struct spool_counters {
	uint64_t bytes; /* of all segments now */
	uint64_t records_lost; /* refused, or in a LOSS since open (less what is committed) */
	uint64_t packets_lost;
	uint64_t segments_bad; /* set aside since open */
	uint64_t write_errors; /* attempts that failed, also where another one then did not */
	int last_error; /* errno of the last of them */
	uint64_t torn_bytes; /* cut off at open */
};

enum spool_res {
	SPOOL_OK = 0,
	SPOOL_LOCKED = 1, /* another process has it: exit 75 */
	SPOOL_END = 2, /* no record behind the cursor */
	SPOOL_REFUSED = 3, /* the disk did not take it: its packets will be in the next LOSS */
};

/** Opens, locks, recovers, finishes an interrupted fork; makes directory and first epoch if needed.
 *  @param ret_reason  heap text on error
 *  @return 0, SPOOL_LOCKED, -errno */
int spool_open(const struct spool_options *o, struct spool **ret, char **ret_reason) MUST_CHECK;

/** Closes without writing anything. */
struct spool *spool_close(struct spool *s);

/** Appends one record to the newest stream and makes it durable.
 *  @param type     FRAME_BATCH or FRAME_STATUS
 *  @param packets  packets in it, below 2^32
 *  @param record   FRAME_HEADER_SIZE bytes of room and then the payload; the header goes there
 *  @return 0; SPOOL_REFUSED (counted); -EINVAL for a programmer's error only */
int spool_append(struct spool *s, enum frame_type type, uint64_t packets, uint8_t *record,
	size_t n) MUST_CHECK;

/** One stream of the spool, oldest generation first. Their order and number change in spool_open,
 *  spool_fork and spool_disconnected (old streams that are empty go), and spool_append adds one at
 *  the end of the numbers. */
struct spool_stream {
	uint64_t epoch;
	uint64_t oldest_seq; /* first one held, in a record or LOSS; newest_seq + 1 = none */
	uint64_t newest_seq; /* 0 = nothing yet (with options.first_seq: first_seq - 1) */
	uint64_t newest_checksum; /* chain checksum (of a LOSS: of the record that it ends with) */
	uint64_t packets_total; /* at newest_seq */
	uint64_t acked_seq; /* highest acknowledgement known in this process */
};

size_t spool_streams_n(const struct spool *s);
struct spool_stream spool_stream(const struct spool *s, size_t i);

/** The chain checksum of record seq (for a LOSS that ends at seq: the one it stands for).
 *  Known for oldest_seq - 1 too.
 *  @return false where the spool no longer holds that number, or holds it inside a LOSS */
bool spool_checksum_at(struct spool *s, size_t stream, uint64_t seq, uint64_t *ret) MUST_CHECK;

enum spool_position {
	SPOOL_POSITION_OK = 0,
	SPOOL_POSITION_FOREIGN = 1, /* it has other records: search (spool_checksum_at), fork */
};

/** The collector's answer for one stream: committed up to seq with this checksum and total. Moves
 *  the send cursor behind it, forth or back, trims a LOSS that the position lies in, and makes a
 *  LOSS (RETENTION) where numbers behind it are no longer held.
 *  @return enum spool_position; -errno */
int spool_resume(struct spool *s, size_t stream, uint64_t seq, uint64_t checksum,
	uint64_t packets_total) MUST_CHECK;

/** Ends the stream at shared_seq and seals what is behind it again in a new epoch. A shared_seq
 *  below oldest_seq - 1 (0 = nothing shared) counts as that: what is no longer held was
 *  acknowledged once, and is not accounted for a second time. Connect again after it.
 *  @return 0; -EBUSY at SPOOL_STREAMS_MAX; -EINVAL where shared_seq lies inside a LOSS or was never
 * written; -errno: what is not moved yet is tried again with every append, which is refused until
 * then */
int spool_fork(struct spool *s, size_t stream, uint64_t shared_seq) MUST_CHECK;

/** Reads the record at the send cursor into out (cleared first; its maximum must be FRAME_MAX or
 *  more) and moves the cursor behind it. Streams are delivered oldest first.
 *  @return 0 with header; SPOOL_END; -errno. Damaged bytes found here are set aside and become a
 *  LOSS, which is then what is read. */
int spool_next(struct spool *s, struct buf *out, struct frame_header *ret) MUST_CHECK;

/** Committed up to seq: segments wholly below it may go, after retain_us. Needs no write. A seq
 *  that was not sent since spool_resume is ignored. */
void spool_ack(struct spool *s, uint64_t epoch, uint64_t seq);

/** Drops acknowledged segments whose time has come; the last one of the newest stream stays,
 *  because a restart knows its position from it. Call it now and then.
 *  @param now_us  CLOCK_MONOTONIC */
void spool_expire(struct spool *s, int64_t now_us);

/** Connection gone: nothing is in flight. The cursor stays until spool_resume. */
void spool_disconnected(struct spool *s);

/** True when a segment had to be dropped that is in flight: the uplink must connect again. Until
 *  then spool_next has nothing. */
bool spool_must_reconnect(const struct spool *s);

/** Bytes not acknowledged yet; a segment counts as a whole until its last record is. */
uint64_t spool_unacked_bytes(const struct spool *s);
bool spool_all_acked(const struct spool *s);

/** Size of a full segment, an eighth of the room at most: who can wait keeps two of them
 * unacknowledged, and nothing is ever dropped. */
uint64_t spool_segment_bytes(const struct spool *s);

/** The payload of the newest BATCH or STATUS record for which match() returns true, searched
 *  backwards; for the capture position and the clean-stop mark at start.
 *  @return 0; SPOOL_END where none matches; -errno */
int spool_find_last(struct spool *s,
	bool (*match)(void *arg, const struct frame_header *h, const uint8_t *payload),
	void *arg) MUST_CHECK;

const struct spool_counters *spool_counters(const struct spool *s);

#endif
