/*
 * What the detector found, into the database: profiles, campaigns, verdicts and their history of a
 * day. Blocking libpq; the caller's transaction.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_STORE_H
#define HIRUNDO_COLLECTOR_VERDICT_STORE_H

#include <libpq-fe.h>

#include "collector/verdict_day.h"

struct verdict_counts {
	uint64_t packets, sources, tracks, teachers, genuine, spoofed, undetermined, held, written;
	uint32_t campaigns;
};

/** Reads the verdicts that the tables have: those of this day, and of suspects those of the days
 *  before. Holds what is to be held, then writes what is different; of a whole day the profiles and
 *  campaigns, too, of a part of a day campaigns that nobody found before.
 *  @param at       time of the snapshot, microseconds since 2000
 *  @param ret      what was judged
 *  @param ret_was  what the table had of it before
 *  @return 0; -ENOMEM, -EPROTO, -EIO (PQerrorMessage) */
int verdict_store(PGconn *conn, const struct verdict_day *d, const struct verdict_params *p,
	struct verdict_result r[2], const char *day, int64_t at, struct verdict_counts *ret,
	struct verdict_counts *ret_was) MUST_CHECK;

#endif
