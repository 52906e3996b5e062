/*
 * Observations and samples as rows of COPY ... (FORMAT binary), straight into memory: no text, no
 * allocation. Format: PostgreSQL documentation, COPY, "Binary Format".
 */
#ifndef HIRUNDO_COLLECTOR_COPYROW_H
#define HIRUNDO_COLLECTOR_COPYROW_H

#include <stddef.h>
#include <stdint.h>

#include "collector/enrich/enrich.h"
#include "proto/observation.h"

/** The statements that the rows belong to, with their columns in order. */
extern const char copyrow_observation_sql[];
extern const char copyrow_quarantine_sql[];
extern const char copyrow_sample_sql[];

/** Room that a row takes at most, bytes: field count, 4 bytes of length a field, and the values. */
#define COPYROW_OBSERVATION_MAX (2u + 25u * 4u + 5u * 8u + 11u * 4u + 7u * 2u + 2u + 20u)
/** With epoch, seq, row_number, received_at and reason. */
#define COPYROW_QUARANTINE_MAX (COPYROW_OBSERVATION_MAX + 5u * 4u + 3u * 8u + 4u + 32u)
#define COPYROW_SAMPLE_MAX (2u + 13u * 4u + 3u * 8u + 5u * 4u + 3u * 2u + 20u + SAMPLE_MAX)
#define COPYROW_BEGIN_SIZE 19u
#define COPYROW_END_SIZE 2u

/* Each writes at p, where that much room is, and returns the byte behind. */

uint8_t *copyrow_begin(uint8_t *p);
uint8_t *copyrow_end(uint8_t *p);

uint8_t *copyrow_observation(
	uint8_t *p, const struct observation *o, int32_t sensor_id, const struct enrich_answer *e);

struct copyrow_quarantine {
	int32_t sensor_id;
	uint64_t epoch, seq;
	uint32_t row_number;
	int64_t received_us;
	const char *reason; /* at most 32 bytes */
};
uint8_t *copyrow_quarantine(uint8_t *p, const struct copyrow_quarantine *q,
	const struct observation *o, const struct enrich_answer *e);

uint8_t *copyrow_sample(uint8_t *p, const struct sample *s, int32_t sensor_id);

#endif
