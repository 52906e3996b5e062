/*
 * Ranges and overrides as CSV: one a line; '#' begins a comment line; a first line of names is a
 * header; fields may stand in double quotes.
 *
 * Ranges: FIRST,LAST,REGION or PREFIX,REGION; further fields are left out. Addresses are dotted,
 * IPv6, or IPv4 as an integer. A region of "??", "-" or nothing is not known, and the line is left
 * out. Overrides: PREFIX,REGION[,ASN[,HOLDER]]; an empty field leaves what other data say.
 *
 * Files with columns (lists.h) begin with the header that names them, and each line has them all.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_CSV_H
#define HIRUNDO_COLLECTOR_ENRICH_CSV_H

#include "collector/enrich/source.h"

int csv_parse_ranges(struct source *s) MUST_CHECK;
int csv_parse_overrides(struct source *s) MUST_CHECK;

/** Fields that a line may have. */
#define CSV_FIELDS_MAX 6u

/** Takes a line. @param field  n of them; those behind are empty
 *  @return 0, SOURCE_BAD, -ENOMEM */
typedef int (*csv_line)(
	struct source *s, uint32_t line, const struct piece field[CSV_FIELDS_MAX], size_t n);

/** Hands out the lines of a file that has these columns.
 *  @param columns  the header: their names with commas between them, at most CSV_FIELDS_MAX - 1 */
int csv_parse_columns(struct source *s, const char *columns, csv_line take) MUST_CHECK;

#endif
