#include "sensor/spool_alert.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define INTERVAL_US (60 * US_PER_S)

/* Losses become fewer where a part turns out to be committed: that is no news. */
static uint64_t since(uint64_t now, uint64_t *told)
{
	if (now < *told)
		*told = now;
	return now - *told;
}

bool spool_alert_due(struct spool_alert *a, const struct spool_counters *now, int64_t now_us,
	struct spool_counters *ret)
{
	*ret = (struct spool_counters){
		.bytes = now->bytes,
		.records_lost = since(now->records_lost, &a->told.records_lost),
		.packets_lost = since(now->packets_lost, &a->told.packets_lost),
		.segments_bad = since(now->segments_bad, &a->told.segments_bad),
		.write_errors = since(now->write_errors, &a->told.write_errors),
		.torn_bytes = since(now->torn_bytes, &a->told.torn_bytes),
		.last_error = now->last_error,
	};
	if ((ret->records_lost | ret->segments_bad | ret->write_errors | ret->torn_bytes) == 0 ||
		now_us < a->next_us)
		return false;
	a->told = *now;
	a->next_us = now_us + INTERVAL_US;
	return true;
}

void spool_alert_log(struct spool_alert *a, const struct spool *s, const char *state)
{
	struct spool_counters c;

	if (!spool_alert_due(a, spool_counters(s), clock_mono_us(), &c))
		return;
	log_warn("spool",
		"alert=spool state=%s write_errors=%" PRIu64 " error=%s segments_bad=%" PRIu64
		" torn_bytes=%" PRIu64 " records_lost=%" PRIu64 " packets_lost=%" PRIu64
		" bytes=%" PRIu64,
		state, c.write_errors, c.write_errors > 0 ? log_quote(strerror(c.last_error)) : "-",
		c.segments_bad, c.torn_bytes, c.records_lost, c.packets_lost, c.bytes);
}

void spool_alert_last(struct spool_alert *a, const struct spool *s)
{
	a->next_us = 0;
	spool_alert_log(a, s, "stopping");
}
