/*
 * What the detector found, into the database: profiles, campaigns, verdicts and their history of a
 * day. Blocking libpq; the caller's transaction.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_STORE_H
#define HIRUNDO_COLLECTOR_VERDICT_STORE_H

#include <libpq-fe.h>

#include "collector/verdict_day.h"

struct verdict_counts {
	uint64_t tracks, teachers, genuine, spoofed, undetermined, held, written;
	uint32_t campaigns;
};

/** Verdicts that the tables have: those of this day, and of suspects those of the days before.
 *  Holds what is to be held, then writes what is different.
 *  @param at  time of the snapshot, as the server wrote it
 *  @return 0; -ENOMEM, -EPROTO, -EIO (PQerrorMessage) */
int verdict_store(PGconn *conn, const struct verdict_day *d, struct verdict_result r[2],
	const char *day, const char *at, struct verdict_counts *ret) MUST_CHECK;

#endif
