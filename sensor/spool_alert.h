/*
 * Trouble of the spool for the log: records refused by the disk, segments set aside, tails cut off,
 * records lost. The first line at once, then one a minute at most, with all that came since.
 */
#ifndef HIRUNDO_SENSOR_SPOOL_ALERT_H
#define HIRUNDO_SENSOR_SPOOL_ALERT_H

#include "sensor/spool.h"

struct spool_alert {
	struct spool_counters told;
	int64_t next_us; /* CLOCK_MONOTONIC */
};

/** @param ret  what came since the last line (bytes, last_error: as they are now)
 *  @return whether it is to be told now; then it counts as told */
bool spool_alert_due(struct spool_alert *a, const struct spool_counters *now, int64_t now_us,
	struct spool_counters *ret) MUST_CHECK;

/** Logs what is due. Call it behind spool_open() (what that repaired) and with every tick.
 *  @param state  of the sensor, for the line */
void spool_alert_log(struct spool_alert *a, const struct spool *s, const char *state);

/** The same at the end, when nothing is held back any more. */
void spool_alert_last(struct spool_alert *a, const struct spool *s);

#endif
