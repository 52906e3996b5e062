/*
 * Region, ASN and holder of an address, looked up while a row is made. The answer is kept with the
 * id of the data set, because allocations change. Without data sets every answer is "not known".
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_H
#define HIRUNDO_COLLECTOR_ENRICH_H

#include <stdbool.h>
#include <stdint.h>

struct enrich_answer {
	bool has_region;
	bool has_asn;
	char region[2]; /* ISO 3166-1 alpha-2 */
	uint32_t asn;
};

struct enrich;

/** Id of the data set that answers now (hirundo.enrichment_dataset), 0 = none loaded. e may be
 * NULL. */
int32_t enrich_dataset(const struct enrich *e);

/** @param family 4 or 6; src in network order (IPv4: 4 bytes) */
struct enrich_answer enrich_lookup(const struct enrich *e, uint8_t family, const uint8_t *src);

#endif
