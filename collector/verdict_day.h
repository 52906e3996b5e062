/*
 * A reporting day as the detector wants it, read from the database: rows of ttl_day, claims,
 * sensors, votes of earlier days. Blocking libpq; the caller's transaction.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_DAY_H
#define HIRUNDO_COLLECTOR_VERDICT_DAY_H

#include <libpq-fe.h>

#include "collector/verdict/intern.h"
#include "collector/verdict/verdict.h"
#include "collector/verdict_earlier.h"
#include "collector/verdict_learned.h"
#include "common/bytes.h"
#include "common/mem.h"

/** Holder's text with its zero bytes. */
#define VERDICT_HOLDER_MAX 80

struct verdict_history_arrays {
	double *sensor_mean, *sensor_votes, *region_mean, *region_holders;
	struct verdict_vote *votes;
	size_t votes_n;
};

/** One address family of a day. */
struct verdict_family {
	struct intern addresses; /* 16 bytes, IPv4: the first 4; ascending when loaded */
	struct verdict_row *rows;
	size_t rows_n, rows_room;
	struct verdict_source *sources;
	struct verdict_claim {
		int32_t dataset; /* newest that its rows come from; 0 = none */
		uint32_t holder; /* number + 1; 0 = none known */
		uint16_t region;
	} * claims; /* [address], while loading */
	size_t claims_room;
	struct verdict_history_arrays earlier;
	struct verdict_history history;
	struct verdict_profile learned; /* of a part: what the whole day taught before */
	struct verdict_input in;
};

struct verdict_day {
	struct verdict_family family[2]; /* IPv4, IPv6 */
	struct intern signatures; /* 8 bytes big-endian; ascending when loaded */
	struct intern holders; /* VERDICT_HOLDER_MAX bytes; ascending when loaded */
	struct intern regions; /* 2 bytes */
	struct intern sensors; /* 4 bytes: sensor_id; ascending */
	struct intern datasets; /* 4 bytes: those that holders come from */
	uint16_t *sensor_region;
	bool *response;
	uint64_t packets;
	int64_t start_us; /* of the day, since 2000-01-01 UTC */
	int32_t date; /* days since 2000-01-01 */
	const atomic_bool *stop; /* true: it is not wanted any more; or NULL */
	bool part; /* only the sources of hirundo.verdict_touched */
	int portions; /* of hirundo.verdict_touched */
	int32_t registries; /* first data set with the registries' files, from which on what is not
			     * listed is allocated to nobody; 0: they were never imported */
};

static inline uint8_t verdict_day_version(unsigned family)
{
	return family == 0 ? 4 : 6;
}

/** Reads the rows of a table that are of the day, or of its part.
 *  @param columns  of hirundo.TABLE, in the order in which row takes them
 *  @return as copy_in() */
int verdict_day_read(const struct verdict_day *d, PGconn *conn, const char *columns,
	const char *table, const char *day, int (*row)(void *arg, struct bytes *fields),
	void *arg) MUST_CHECK;

/** @param d        zeroed, apart from stop
 *  @param day      'YYYY-MM-DD', as the server wrote it
 *  @param learned  what the whole day taught before: then all rows of the sources in
 *                  hirundo.verdict_touched; NULL: the whole day
 *  @return 0; -ENOMEM, -EPROTO (the server's answer makes no sense), -EIO (PQerrorMessage),
 *          -E2BIG (more sensors or regions than 65,534), -ECANCELED (d->stop) */
int verdict_day_load(struct verdict_day *d, PGconn *conn, const char *day,
	const struct verdict_earlier *earlier,
	const struct verdict_learned_day *learned) MUST_CHECK;
/** Legal on zeroed memory. */
void verdict_day_done(struct verdict_day *d);

#endif
