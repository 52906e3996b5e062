/*
 * The way of a packet through the sensor: parse -> classify -> mask -> fold -> seal -> spool, and
 * the books of it. captured = ignored + sealed + open; after pipeline_seal() nothing is open.
 */
#ifndef HIRUNDO_SENSOR_PIPELINE_H
#define HIRUNDO_SENSOR_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"
#include "proto/codec.h"
#include "sensor/capture.h"

struct targets;
struct spool;
struct pipeline;

struct pipeline_options {
	struct targets *targets; /* all issued before the first packet */
	struct spool *spool;
	int64_t fold_us;
	uint32_t max_rows;
	bool samples;
	bool unclean_start;
	bool from_capture;
	struct capture_position capture; /* from_capture: where it continues */
};

/** Why a packet is not stored, besides parse's reasons. Names are those of STATUS. */
#define PIPELINE_REASONS(X)                                                                    \
	X(NOT_FOR_US, "not_for_us") /* none of the addresses */                                \
	X(OWN_CONNECTION, "own_connection") /* the sensor's own connection to the collector */ \
	X(BAD_TIME, "bad_time") /* no time that a row could carry */                           \
	X(UNSUPPORTED_LINK, "unsupported_link")

struct pipeline_books {
	uint64_t captured, ignored, sealed, observations, batches;
	uint64_t truncated;
	uint64_t refused; /* sealed, but the disk did not take them: in the next LOSS */
};

int pipeline_new(const struct pipeline_options *o, struct pipeline **ret) MUST_CHECK;
struct pipeline *pipeline_free(struct pipeline *p);

/** Where the own connection goes, so that its packets are told apart. family 0 = not known. */
void pipeline_set_collector(struct pipeline *p, uint8_t family, const uint8_t *addr, uint16_t port);

/** One packet; seals by itself when the batch is full. @return 0, -errno: memory, or -ENOSPC where
 * the disk refused a batch of a capture (live, that is no error: it is counted, and a LOSS follows)
 */
int pipeline_packet(struct pipeline *p, const struct capture_packet *c) MUST_CHECK;

/** Whether a row could carry this time; else its packet is counted as bad_time. */
bool pipeline_time_ok(int64_t us);

/** Seals what is open for 1 s with at least 64 rows, or for 10 s. Call it a few times a second. */
int pipeline_tick(struct pipeline *p) MUST_CHECK;

/** Seals what is open now. complete: the capture ends here (a batch is sealed even without rows).
 */
int pipeline_seal(struct pipeline *p, bool complete) MUST_CHECK;

/** Seals what is open, then the books. Cumulative drops as capture_drops() tells them.
 *  @param from_us,to_us  listening in this interval since the previous status, wall clock (a
 * capture: its own); equal = not at all
 *  @param final          last record of a clean stop: outstanding sample counts go out before it */
int pipeline_status(struct pipeline *p, uint64_t kernel_drops, uint64_t interface_drops,
	int64_t from_us, int64_t to_us, bool final) MUST_CHECK;

const struct pipeline_books *pipeline_books(const struct pipeline *p);

/** How a spool ended: for a start. */
struct pipeline_resume {
	bool clean; /* the last record is a final STATUS, or there is none */
	bool has_capture; /* position of the newest batch of the file with this hash */
	struct capture_position capture;
};

/** Where reading a capture goes on: behind what the spool holds or the collector has, whichever is
 *  later. But where another stream delivered the last that is committed, and the spool has nothing
 *  left to send, the collector is right: it did not take what ours sent of the capture.
 *  @param epoch  of the stream that is written */
struct capture_position pipeline_position(const struct pipeline_resume *resumed,
	const struct capture_position *committed, uint64_t epoch, bool all_acked);

/** @param xxh3  of the capture about to be read, 0 = live. @return 0, -errno */
int pipeline_resume(struct spool *s, uint64_t xxh3, struct pipeline_resume *ret) MUST_CHECK;

#endif
