/*
 * Ranges from and to the database, as COPY BINARY. Blocking, on a connection of the caller's: a
 * command of hirundo-admin, or a worker thread of the collector.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_LOAD_H
#define HIRUNDO_COLLECTOR_ENRICH_LOAD_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "collector/enrich/names.h"
#include "collector/enrich/ranges.h"
#include "common/bytes.h"

struct enrich;

enum load_res {
	LOAD_FAILED = 1 /* the database refused, is away, or sent what is no range */
};

#define LOAD_REASON_MAX 256u

/** Rows of COPY ... TO STDOUT (FORMAT binary): lo, hi, asn, region, holder.
 *  @param first  whether the header stands in front
 *  @return 0, LOAD_FAILED (no such row), -ENOMEM, -E2BIG */
int load_rows(struct bytes data, bool first, struct names *names, struct ranges *out) MUST_CHECK;

/** Runs a COPY of that kind.
 *  @param sql  "COPY (SELECT lo, hi, asn, region, holder FROM ...) TO STDOUT (FORMAT binary)"
 *  @param stop  NULL, or gives up when it becomes true
 *  @param reason  one line, after LOAD_FAILED
 *  @return 0, LOAD_FAILED, -ENOMEM, -E2BIG */
int load_ranges(PGconn *conn, const char *sql, const atomic_bool *stop, struct names *names,
	struct ranges *out, char reason[LOAD_REASON_MAX]) MUST_CHECK;

/** hirundo.address_range and the newest data set's id, of one snapshot, as a table.
 *  @param ret  NULL where nothing was imported yet
 *  @return 0, LOAD_FAILED, -ENOMEM, -E2BIG */
int load_table(PGconn *conn, const atomic_bool *stop, struct enrich **ret,
	char reason[LOAD_REASON_MAX]) MUST_CHECK;

/** Runs COPY ... FROM STDIN (FORMAT binary) with these ranges.
 *  @param sql  of the columns [kind,] lo, hi, asn, region, holder
 *  @param kind  in front of each row, or NULL
 *  @return 0, LOAD_FAILED (PQerrorMessage() tells), -ENOMEM */
int load_store(PGconn *conn, const char *sql, const char *kind, const struct ranges *ranges,
	const struct names *names) MUST_CHECK;

#endif
