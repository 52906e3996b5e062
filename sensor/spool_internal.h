/*
 * Inside the spool: what its files share. Nothing here is for others.
 *
 *   spool.c          append, room, the public view
 *   spool_open.c     recovery
 *   spool_send.c     the position at the collector, the send cursor, acknowledgements
 *   spool_fork.c     ends a stream and seals its rest again in a new epoch
 *   spool_segment.c  whole segments: read, clean, replaced by a LOSS
 *   spool_walk.c     the records of one file, damaged or not
 *   spool_file.c     paths, system calls, files that appear whole or not at all
 */
#ifndef HIRUNDO_SENSOR_SPOOL_INTERNAL_H
#define HIRUNDO_SENSOR_SPOOL_INTERNAL_H

#include <errno.h>
#include <limits.h>

#include "sensor/spool.h"

/** A place in a stream: behind record seq, whose chain checksum and cumulative total these are. */
struct point {
	uint64_t seq;
	uint64_t checksum;
	uint64_t total;
};

/** A segment file. Its name is the point before it, so that what a destroyed file held can be
 *  counted from its neighbour's name. */
struct segment {
	struct point before;
	struct point last;
	uint64_t end; /* bytes of records */
	uint64_t alloc; /* bytes on the disk, preallocated ones included */
	int64_t acked_us; /* CLOCK_MONOTONIC; 0 = not acknowledged */
	bool only_loss; /* holds one LOSS and nothing else */
	struct lost {
		uint64_t records, packets;
	} lost; /* in the LOSSes that it holds */
};

struct segments {
	struct segment *at;
	size_t n, cap;
};

/** GGGGGGGG-EEEEEEEEEEEEEEEE-PPPPPPPP-FFFFFFFFFFFFFFFF-TTTTTTTTTTTTTTTT */
#define STREAM_NAME_SIZE (8 + 1 + 16 + 1 + 8 + 1 + 16 + 1 + 16 + 1)
/** SSSSSSSSSSSSSSSS-TTTTTTTTTTTTTTTT-CCCCCCCCCCCCCCCC.seg.bad */
#define SEGMENT_NAME_SIZE (16 + 1 + 16 + 1 + 16 + 4 + 4 + 1)

struct stream {
	char name[STREAM_NAME_SIZE];
	uint32_t generation;
	uint64_t epoch;
	uint32_t parent; /* generation that this one forked from, 0 = none */
	uint64_t shared_seq; /* of the parent: number n here was n + shared_seq there */
	uint64_t shared_total; /* of the parent at shared_seq */
	struct segments held;
	struct segments moving; /* behind the shared record: to be sealed again in the fork */
	struct point newest;
	uint64_t sent, acked;
	bool ended; /* forked: nothing is written behind newest any more */
	bool told; /* and the collector was offered that end: what was behind it is not open there
		    */
};

struct spool {
	const char *dir;
	uint64_t max_bytes, min_free_bytes, segment_bytes, first_seq;
	int64_t retain_us;
	const struct spool_io *io;
	int lock_fd;
	struct stream *streams;
	size_t streams_n;
	int active_fd; /* of the last segment of the newest stream; -1 = none is open */
	bool active_new; /* its directory entry may not be durable */
	uint64_t refused_packets; /* for the next LOSS */
	bool reserve; /* the reserve file is there */
	bool connected, must_reconnect;
	struct { /* where the last search in a segment ended */
		uint64_t epoch, segment, off;
		struct point at;
	} seek;
	struct spool_counters counters;
	char dir_copy[]; /* what dir points to */
};

static inline bool is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

static inline struct lost lost_between(const struct point *from, const struct point *to)
{
	return (struct lost){to->seq - from->seq, to->total - from->total};
}

static inline void lost_add(struct lost *to, struct lost l)
{
	to->records += l.records;
	to->packets += l.packets;
}

static inline struct stream *newest_stream(struct spool *s)
{
	return &s->streams[s->streams_n - 1];
}

/* ---- spool_file.c ---- */

struct path {
	char s[PATH_MAX];
};

void spool_path_stream(const struct spool *s, const struct stream *st, struct path *ret);
void spool_path_in_stream(
	const struct spool *s, const struct stream *st, const char *name, struct path *ret);
void spool_path_segment(const struct spool *s, const struct stream *st, const struct point *before,
	const char *suffix, struct path *ret);

/** @return false where the name is not a segment's */
bool spool_segment_name_parse(const char *name, struct point *ret);
void spool_stream_name_make(struct stream *st);
bool spool_stream_name_parse(const char *name, struct stream *ret);

/* The system calls: 0 or a descriptor, else -errno. */
int spool_file_open(struct spool *s, const char *path, int flags);
/** Whether what open or walk returned says that this file, and not the system, is the problem. */
bool spool_file_is_unreadable(int r);
int spool_file_write(struct spool *s, int fd, const void *p, size_t n, uint64_t at);
int spool_file_sync(struct spool *s, int fd);
int spool_file_truncate(struct spool *s, int fd, uint64_t n);
int spool_file_unlink(struct spool *s, const char *path);
int spool_file_rename(struct spool *s, const char *from, const char *to);
int spool_file_mkdir(struct spool *s, const char *path);
int spool_file_sync_dir(struct spool *s, const char *path);
void spool_file_close(struct spool *s, int fd);

/** A segment that appears whole or not at all: written beside, made durable, renamed. */
struct newfile {
	struct spool *s;
	const struct stream *st;
	struct point before;
	int fd;
	uint64_t n;
};
int spool_newfile_open(struct spool *s, const struct stream *st, const struct point *before,
	struct newfile *ret) MUST_CHECK;
int spool_newfile_write(struct newfile *f, const void *p, size_t n) MUST_CHECK;
/** Ends the file either way. */
int spool_newfile_commit(struct newfile *f) MUST_CHECK;
void spool_newfile_abort(struct newfile *f);

/** Room that was kept so that a LOSS can be written on a full disk. */
void spool_reserve_make(struct spool *s);
/** @return true where there was something to give up */
bool spool_reserve_release(struct spool *s);

/** Sets a file aside as NAME.bad and keeps the number and size of such files in bounds. */
void spool_set_aside(struct spool *s, const struct stream *st, const struct point *before);
void spool_bad_trim(struct spool *s);

/* ---- spool_walk.c ---- */

/** Room for a LOSS frame: header and at most 5 fields of 11 bytes. */
#define LOSS_FRAME_MAX (FRAME_HEADER_SIZE + 64u)

struct loss {
	struct point from, to; /* replaces from.seq + 1 to to.seq */
	int reason;
	bool chained; /* the record behind it chains to to.checksum; else to the LOSS's own, and
		       * to.checksum is set to that by spool_loss_frame */
};

size_t spool_loss_frame(uint64_t epoch, struct loss *l, uint8_t ret[LOSS_FRAME_MAX]);
/** The point behind a LOSS frame. @return false where its payload is none of ours */
bool spool_loss_parse(
	const struct frame_header *h, const uint8_t *payload, struct point *ret, int *ret_reason);

/** Goes through the records of a file: good ones, and the holes between them. */
struct walk {
	uint64_t epoch;
	struct point at; /* in: before the file; out: behind the last record, holes included */
	bool bounded; /* what stands behind the file is known: */
	struct point end;
	/** A good record, LOSS too. May change rec. @return 0, -errno: stop */
	int (*record)(void *arg, struct frame_header *h, uint8_t *rec, const struct point *before,
		const struct point *behind);
	/** Numbers without a record. */
	int (*hole)(void *arg, const struct point *from, const struct point *to);
	/** Bytes from..to belong to no record. */
	int (*junk)(void *arg, int fd, uint64_t from, uint64_t to);
	void *arg;

	uint64_t size; /* of the file */
	uint64_t good_end; /* behind the last good record */
	uint64_t torn_bytes; /* behind it, up to the last byte that is not zero */
	size_t records_n;
	size_t damaged_n; /* holes, and junk between records */
	bool first_is_loss;
	struct lost lost; /* in good LOSS records */
	bool superseded; /* ends with records that the next file holds too */
};
int spool_walk(struct walk *w, int fd) MUST_CHECK;

/* ---- spool_segment.c ---- */

int spool_segments_reserve(struct segments *l) MUST_CHECK;
/** There must be room. */
void spool_segments_insert(struct segments *l, size_t i, const struct segment *seg);
void spool_segments_remove(struct segments *l, size_t i, size_t n);

/** Unlinks the file and forgets the segment. */
void spool_segment_drop(struct spool *s, struct stream *st, struct segments *l, size_t i);

/** Brings the counters up to date when LOSSes of `was` became those of `is`. */
void spool_count_lost(struct spool *s, struct lost was, struct lost is);

/** Puts one LOSS in the place of n segments from i on (n = 0: in front of i). Durable before
 *  anything is unlinked. */
int spool_segment_replace(struct spool *s, struct stream *st, struct segments *l, size_t i,
	size_t n, const struct point *from, const struct point *to, int reason) MUST_CHECK;

enum rewrite_keep {
	REWRITE_UNLINK,
	REWRITE_KEEP
};
/** Writes what is good behind `from` into a clean segment, holes as LOSS (CORRUPT), damaged bytes
 *  aside. Falls back to one LOSS for all of it where the disk is full.
 *  @param keep  whether the old file stays for what is up to `from` (then it is cut there) */
int spool_segment_rewrite(struct spool *s, struct stream *st, struct segments *l, size_t i,
	const struct point *from, enum rewrite_keep keep) MUST_CHECK;

enum seek_res {
	SEEK_OK = 0,
	SEEK_IN_LOSS = 1, /* inside a LOSS: *ret_at is the point before it, *ret_off its offset */
	SEEK_BEFORE = 2, /* no longer held */
	SEEK_BEHIND = 3, /* not yet written */
};
/** Finds the record that follows number seq. Damaged segments are cleaned on the way.
 *  @param ret_i    segment that holds seq + 1, or the last
 *  @param ret_off  where that record starts
 *  @param ret_at   the point behind seq */
int spool_seek_to(struct spool *s, struct stream *st, uint64_t seq, size_t *ret_i,
	uint64_t *ret_off, struct point *ret_at) MUST_CHECK;

/** Reads n bytes at off. @return 0, -EIO also where the file ends */
int spool_read_at(struct spool *s, const struct stream *st, const struct point *before, void *to,
	size_t n, uint64_t off) MUST_CHECK;

/* ---- spool.c ---- */

/** Closes the segment that is written to, and gives back what was preallocated. */
void spool_active_close(struct spool *s);

/** Unlinks the oldest acknowledged segment. @return false where there is none */
bool spool_room_drop_acked(struct spool *s);

/* ---- spool_fork.c ---- */

/** An empty stream whose first number will be first_seq (0 = 1). */
void spool_stream_begin_at(struct stream *st, uint64_t first_seq);
/** A new, empty stream at the end of the list. */
int spool_stream_create(struct spool *s, uint32_t parent, const struct point *shared) MUST_CHECK;
/** Takes what is behind the shared record away from the parent. Idempotent. */
int spool_fork_collect(struct spool *s, struct stream *st) MUST_CHECK;
/** Seals again what is still waiting. 0 at once where nothing is. */
int spool_fork_finish(struct spool *s) MUST_CHECK;
/** Forgets old streams that hold nothing any more, and their directories. */
void spool_streams_prune(struct spool *s);
void spool_stream_done(struct stream *st);

#endif
