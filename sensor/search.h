/*
 * The search for the last record that spool and collector share (CONFIRM, CONFIRMED). Checksums are
 * chained: what is shared is shared with everything before it, so a few rounds of evenly spread
 * questions find it.
 */
#ifndef HIRUNDO_SENSOR_SEARCH_H
#define HIRUNDO_SENSOR_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

struct spool;

/** Records in one CONFIRM (PROTOCOL.md). */
#define SEARCH_MAX 1024u

struct search {
	size_t stream;
	uint64_t low; /* everything up to here is shared */
	uint64_t high; /* from here on nothing is */
	uint64_t asked[SEARCH_MAX], checksum[SEARCH_MAX]; /* of the question under way, ascending */
	size_t asked_n;
};

/** @param committed  the collector's last sequence of the stream, foreign to us */
void search_start(struct search *q, const struct spool *s, size_t stream, uint64_t committed);

/** Makes the next question. @return false where nothing is left to ask: `low` is the answer */
bool search_next(struct search *q, struct spool *s) MUST_CHECK;

/** Takes the collector's answer: the highest of those asked that it has too, 0 = none of them.
 *  @return false where it was not asked for */
bool search_answer(struct search *q, uint64_t seq) MUST_CHECK;

#endif
