/*
 * A file of address data on its way into a list of ranges: its bytes in private memory, so that
 * nobody can cut it short under a reader; errors that say where; lines and fields.
 *
 * Parsers (rir.h, csv.h, pfx2as.h, mmdb.h) read s->data, add to s->out and return 0, SOURCE_BAD
 * (s->error says what, as FILE:LINE or FILE: record N) or -ENOMEM. After a failure s->out holds a
 * part and is only good to be freed.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_SOURCE_H
#define HIRUNDO_COLLECTOR_ENRICH_SOURCE_H

#include "collector/enrich/names.h"
#include "collector/enrich/ranges.h"
#include "common/bytes.h"

#define SOURCE_BAD 1
#define SOURCE_ERROR_MAX 512u
/** Largest file taken, bytes: ten times what any of the formats has today. */
#define SOURCE_BYTES_MAX (512u * 1024u * 1024u)
/** Origin of days: 1970-01-01. */
#define SOURCE_NO_DAY INT32_MIN

struct source {
	const char *name; /* for errors: the path as given */
	uint16_t file; /* range.file */
	const uint8_t *data;
	size_t n;
	struct ranges *out;
	struct names *names;
	int32_t day; /* that the file says it is of, SOURCE_NO_DAY where it does not */
	char error[SOURCE_ERROR_MAX];
};

/** Writes s->error. @param line  0 = the file as a whole @return SOURCE_BAD */
int source_fail(struct source *s, uint32_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/** Adds a range, named by its line. @return 0, SOURCE_BAD (too many), -ENOMEM */
int source_add(struct source *s, uint32_t line, struct range *r) MUST_CHECK;

/** Reads a whole file into memory, and compares it with the MD5 in the file of the same name and
 * ".md5", where there is one.
 *  @param ret_day  of its last modification, UTC
 *  @return 0, SOURCE_BAD (error says what), -ENOMEM */
int source_read(const char *path, uint8_t **ret, size_t *ret_n, int32_t *ret_day,
	char error[SOURCE_ERROR_MAX]) MUST_CHECK;

/* Text. A piece is not terminated. */

struct piece {
	const char *p;
	size_t n;
};

struct lines {
	struct bytes rest;
	uint32_t number; /* of the line handed out last, from 1 */
};

/** The next line without its end (LF, CR LF). @return false: there is none */
bool lines_next(struct lines *l, struct piece *ret) MUST_CHECK;

/** Cuts the first field off, without spaces around it; csv: and without its double quotes.
 *  @return false: there is no further field; rest->p is NULL behind the last one */
bool piece_field(struct piece *rest, char separator, bool csv, struct piece *ret) MUST_CHECK;

bool piece_is(struct piece t, const char *text);
/** Decimal digits alone. */
bool piece_number(struct piece t, uint64_t max, uint64_t *ret) MUST_CHECK;
/** Dotted IPv4, IPv6 text. */
bool piece_address(struct piece t, uint8_t *ret_family, struct address128 *ret) MUST_CHECK;
/** ADDRESS/LENGTH, nothing set behind the length. */
bool piece_prefix(struct piece t, struct range *ret) MUST_CHECK;
/** Two characters, A to Z and digits behind: ISO 3166-1, and what CSV files have for special cases
 * (A1).
 */
bool piece_region(struct piece t, char ret[2]) MUST_CHECK;
/** Printable ASCII, 1 to NAMES_HOLDER_MAX characters. */
bool piece_holder(struct piece t) MUST_CHECK;
/** For errors: at most 40 characters of it, quoted, printable. */
const char *piece_quote(struct piece t, char buf[64]);
/** YYYYMMDD. @return days since 1970, SOURCE_NO_DAY */
int32_t piece_day(struct piece t);

#endif
