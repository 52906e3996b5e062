/*
 * Votes of the days before on the profiles of a day (hirundo.hop_history). In numbers of their own,
 * so that they can be kept while a day is judged in parts: to add them up takes the server seconds.
 * Blocking libpq; the caller's transaction.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_EARLIER_H
#define HIRUNDO_COLLECTOR_VERDICT_EARLIER_H

#include <libpq-fe.h>

#include "collector/verdict/intern.h"
#include "common/mem.h"

struct verdict_day;

struct verdict_earlier {
	struct intern holders; /* VERDICT_HOLDER_MAX bytes */
	struct earlier_vote {
		double mean, votes;
		uint32_t holder; /* number + 1; 0 = of no holder */
		uint8_t sensor[4]; /* sensor_id, big-endian */
		uint8_t region[2]; /* zero: of no region */
		bool at_sensor; /* else it is the common offset */
	} * votes[2]; /* [family] */
	size_t votes_n[2];
};

/** @return 0; -ENOMEM, -EPROTO, -EIO (PQerrorMessage) */
int verdict_earlier_read(struct verdict_earlier *x, PGconn *conn, const char *day) MUST_CHECK;
/** Into family[].earlier, once the day's holders and regions have their numbers; votes on others
 *  are passed over.
 *  @return 0, -ENOMEM, -EPROTO (a sensor that nobody knows) */
int verdict_earlier_use(const struct verdict_earlier *x, struct verdict_day *d) MUST_CHECK;
/** Legal on zeroed memory. */
void verdict_earlier_done(struct verdict_earlier *x);

#endif
