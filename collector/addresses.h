/*
 * Address data in the collector: asks every ten seconds whether a newer data set was imported,
 * loads it in a worker thread beside the table in use, and swaps it into ingest between two
 * records. The old table stays on any failure. Until the first answer ingest holds its records
 * back: what waited in spools while the collector was down shall not go without region.
 * Likewise at each HELLO, for the moment that the question takes.
 */
#ifndef HIRUNDO_COLLECTOR_ADDRESSES_H
#define HIRUNDO_COLLECTOR_ADDRESSES_H

#include <stdint.h>
#include <uv.h>

#include "common/mem.h"

struct addresses;
struct ingest;

/** @param ingest  outlives this; made with hold set */
int addresses_new(
	uv_loop_t *loop, const char *dsn, struct ingest *ingest, struct addresses **ret) MUST_CHECK;
/** Asks now (SIGHUP). */
void addresses_check(struct addresses *a);
/** A sensor says HELLO: ingest is held until it is known whether a data set was imported before, so
 * that what is fed behind an import has the import's regions. */
void addresses_refresh(struct addresses *a);
/** Ends; a load under way is given up. The table stays until addresses_free(). */
void addresses_close(struct addresses *a, void (*done)(void *arg), void *arg);
struct addresses *addresses_free(struct addresses *a); /* after done, and after ingest_free() */

/** For /metrics. */
struct addresses_status {
	int32_t dataset; /* in use, 0 = none */
	size_t ranges;
	int64_t imported_us; /* when it was imported, 0 = none */
	uint64_t loads, failures;
};
struct addresses_status addresses_status(const struct addresses *a);

#endif
