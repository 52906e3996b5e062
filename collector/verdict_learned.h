/*
 * What the last pass over a whole day learned, so that a part of the day's sources can be judged by
 * it: kept from that pass, or read back. In numbers of its own. Blocking libpq; the caller's
 * transaction.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_LEARNED_H
#define HIRUNDO_COLLECTOR_VERDICT_LEARNED_H

#include <libpq-fe.h>

#include "collector/verdict/intern.h"
#include "collector/verdict/verdict.h"
#include "common/mem.h"

struct verdict_day;

struct verdict_learned_day {
	/* As in struct verdict_day; all but regions ascending. */
	struct intern sensors, regions, holders, signatures;
	struct verdict_profile profile[2]; /* [family] */
};

/** Takes it from a whole day and what it taught; both are good for verdict_day_done and
 *  verdict_done only afterwards. */
void verdict_learned_keep(
	struct verdict_learned_day *l, struct verdict_day *d, struct verdict_result r[2]);
/** @return 0; -ENOMEM, -EPROTO, -EIO (PQerrorMessage), -E2BIG */
int verdict_learned_read(struct verdict_learned_day *l, PGconn *conn, const char *day) MUST_CHECK;

/** Gives numbers to the regions and signatures that only the profiles have, while the part's
 *  signatures are not in their order yet.
 *  @return 0, -ENOMEM, -E2BIG */
int verdict_learned_name(const struct verdict_learned_day *l, struct verdict_day *d) MUST_CHECK;
/** Afterwards: fills family[].learned. Votes of holders that nobody claims in the part are left
 *  out.
 *  @return 0, -ENOMEM, -EPROTO (a sensor that nobody knows) */
int verdict_learned_use(const struct verdict_learned_day *l, struct verdict_day *d) MUST_CHECK;

/** Legal on zeroed memory. */
void verdict_learned_done(struct verdict_learned_day *l);

#endif
