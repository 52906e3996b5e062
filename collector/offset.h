/*
 * How far a sensor's wall clock is from ours, as its STATUS records tell. One that waited in the
 * spool tells of an earlier time: its monotonic clock says so, against that of HELLO.
 */
#ifndef HIRUNDO_COLLECTOR_OFFSET_H
#define HIRUNDO_COLLECTOR_OFFSET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"
#include "proto/frame.h"

/** The sensor's monotonic clock was `sensor_us` when ours was `ours_us`. */
struct offset {
	int64_t sensor_us, ours_us;
};

/** A STATUS that is older waited. Monotonic clocks drift apart less in the minute between two. */
#define OFFSET_FRESH_US (5 * US_PER_S)

/** A STATUS came in.
 *  @param mono_us, at_us  monotonic and wall clock of the sensor, as it says
 *  @param ours_mono_us, ours_wall_us  ours, now
 *  @return false where it waited; true with the sensor's wall clock less ours */
bool offset_status(struct offset *o, uint64_t mono_us, int64_t at_us, int64_t ours_mono_us,
	int64_t ours_wall_us, int64_t *ret_us) MUST_CHECK;

/** The same of a record just received. False where it is no STATUS, too. */
bool offset_record(struct offset *o, const struct frame_header *h, const uint8_t *payload,
	int64_t *ret_us) MUST_CHECK;

#endif
