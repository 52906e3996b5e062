/*
 * For the tests of the spool: records that can be told apart, a collector that keeps the rules of
 * delivery, and files to look at.
 */
#ifndef HIRUNDO_TESTS_SPOOL_MODEL_H
#define HIRUNDO_TESTS_SPOOL_MODEL_H

#include "sensor/spool.h"

#define MODEL_IDS 20000u
#define MODEL_STREAMS 256u
#define MODEL_HISTORY 40000u

/** What a collector has committed. Plain data: copy it to restore a database. */
struct model {
	struct model_stream {
		uint64_t epoch, seq, checksum, total;
	} streams[MODEL_STREAMS];
	size_t streams_n;
	struct { /* every record, for CONFIRM */
		uint64_t epoch, seq, checksum;
	} history[MODEL_HISTORY];
	size_t history_n;
	uint8_t stored[MODEL_IDS]; /* how often */
	uint64_t stored_packets, lost_packets;
};

/** Writes the payload of record id, of n bytes (at least 16) altogether with the header. */
void model_record(uint8_t *record, size_t n, uint64_t id);

/** Packets of record id: a fixed function of it, 0 to 999. */
uint64_t model_packets(uint64_t id);

struct model_stream *model_stream(struct model *m, uint64_t epoch);

/** Commits one frame as architecture 6.4 and 6.5 say. @return NULL, or which rule it breaks */
const char *model_commit(struct model *m, const uint8_t *frame, size_t n);

/** One connection: positions, forks until both sides agree, then up to max records.
 *  @param ack  whether the acknowledgements arrive
 *  @return NULL, or what went wrong */
const char *model_deliver(struct model *m, struct spool *s, size_t max, bool ack);

/** Appends record id. @return as spool_append */
int model_append(struct spool *s, uint64_t id, size_t n);

/** A new empty folder for one test; removed with remove_tree(). */
char *make_dir(void);
void remove_tree(const char *dir);
void copy_tree(const char *from, const char *to);

struct tree_file {
	char path[4096];
	uint64_t bytes;
};

/** Files below dir whose names end in suffix, sorted. @return how many; at most max are stored */
size_t tree_files(const char *dir, const char *suffix, struct tree_file *ret, size_t max);

/** Generator of the tests (splitmix64): the same everywhere. */
uint64_t model_random(uint64_t *state);

#endif
