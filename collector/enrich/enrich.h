/*
 * Region, ASN and holder of an address, looked up while a row is made. The answer is kept with the
 * id of the data set, because allocations change. Without data sets every answer is "not known".
 *
 * A table never changes: a newer one is built beside it and takes its place.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_H
#define HIRUNDO_COLLECTOR_ENRICH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

struct enrich_answer {
	bool has_region;
	bool has_asn;
	char region[2]; /* ISO 3166-1 alpha-2 */
	uint32_t asn;
	const char *holder; /* of the table, NULL = not known */
};

struct enrich;
struct names;
struct ranges;

enum enrich_res {
	ENRICH_OVERLAP = 1
};

/** Builds a table.
 *  @param ranges  all kinds together; borrowed, is sorted
 *  @param names  their holders; taken over on success: it is empty then
 *  @param dataset  id of the newest import (hirundo.enrichment_dataset)
 *  @return 0, ENRICH_OVERLAP, -ENOMEM */
int enrich_new(struct ranges *ranges, struct names *names, int32_t dataset,
	struct enrich **ret) MUST_CHECK;
struct enrich *enrich_free(struct enrich *e);

/** Id of the data set that answers now (hirundo.enrichment_dataset), 0 = none loaded. e may be
 * NULL. */
int32_t enrich_dataset(const struct enrich *e);
/** Ranges of both families; 0 for NULL. */
size_t enrich_ranges(const struct enrich *e);

/** @param e  may be NULL: then nothing is known
 *  @param family 4 or 6; src in network order (IPv4: 4 bytes) */
struct enrich_answer enrich_lookup(const struct enrich *e, uint8_t family, const uint8_t *src);

#endif
