/*
 * The time that a run has really listened to, as STATUS tells it interval by interval. Live: wall
 * clock, less what the clock only jumped over. A capture: from its first packet to its last, or
 * what --cover states.
 */
#ifndef HIRUNDO_SENSOR_COVERED_H
#define HIRUNDO_SENSOR_COVERED_H

#include <stdbool.h>
#include <stdint.h>

/** [from, to) in wall clock, both 0 where nothing is covered. */
struct covered {
	int64_t from_us, to_us;
};

/** Live: the interval that is open. Zeroed: not listening. */
struct listening {
	bool on;
	int64_t wall_us, mono_us; /* both clocks when it began */
};

void listening_begin(struct listening *l, int64_t wall_us, int64_t mono_us);
void listening_end(struct listening *l);

/** Closes the open interval and begins the next where this one ends. Where the clock was set
 * forward in it (or the machine slept), the part behind that is covered; where it was set back,
 * what is left of it. */
struct covered listening_take(struct listening *l, int64_t wall_us, int64_t mono_us);

/** A capture: c, zeroed before the first packet, grows to this packet's time. */
void covered_packet(struct covered *c, int64_t time_us);

#endif
