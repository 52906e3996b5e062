#include "collector/offset.h"

#include "common/clock.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"

bool offset_status(struct offset *o, uint64_t mono_us, int64_t at_us, int64_t ours_mono_us,
	int64_t ours_wall_us, int64_t *ret_us)
{
	/* Unsigned: what a sensor says may be anything. */
	uint64_t expected = (uint64_t)o->sensor_us + (uint64_t)(ours_mono_us - o->ours_us);

	if (expected - mono_us + OFFSET_FRESH_US > 2 * OFFSET_FRESH_US)
		return false;
	*o = (struct offset){(int64_t)mono_us, ours_mono_us};
	*ret_us = at_us - ours_wall_us;
	return true;
}

bool offset_record(
	struct offset *o, const struct frame_header *h, const uint8_t *payload, int64_t *ret_us)
{
	Hirundo__V1__Status *m;
	const char *wrong;
	bool fresh;

	if (h->type != FRAME_STATUS)
		return false;
	m = codec_unpack(&hirundo__v1__status__descriptor, payload, h->payload_length, &wrong);
	if (!m)
		return false; /* ingest will reject it */
	fresh = offset_status(o, m->mono_us, m->at_us, clock_mono_us(), clock_wall_us(), ret_us);
	codec_message_free(m);
	return fresh;
}
