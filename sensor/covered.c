#include "sensor/covered.h"

#include "common/clock.h"

/* Both clocks are read one after the other, and are not disciplined alike on every system. */
#define JUMP_US US_PER_S

void listening_begin(struct listening *l, int64_t wall_us, int64_t mono_us)
{
	*l = (struct listening){true, wall_us, mono_us};
}

void listening_end(struct listening *l)
{
	l->on = false;
}

struct covered listening_take(struct listening *l, int64_t wall_us, int64_t mono_us)
{
	int64_t elapsed = mono_us - l->mono_us;
	struct covered c = {l->wall_us, wall_us};

	if (!l->on)
		return (struct covered){0};
	listening_begin(l, wall_us, mono_us);
	if (c.to_us - c.from_us > elapsed + JUMP_US)
		c.from_us = c.to_us - elapsed;
	return c.to_us > c.from_us ? c : (struct covered){0};
}

void covered_packet(struct covered *c, int64_t time_us)
{
	if (c->to_us == 0 || time_us < c->from_us)
		c->from_us = time_us;
	if (time_us >= c->to_us)
		c->to_us = time_us + 1;
}
