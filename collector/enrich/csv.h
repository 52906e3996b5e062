/*
 * Ranges and overrides as CSV: one a line; '#' begins a comment line; a first line of names is a
 * header; fields may stand in double quotes.
 *
 * Ranges: FIRST,LAST,REGION or PREFIX,REGION; further fields are left out. Addresses are dotted,
 * IPv6, or IPv4 as an integer. A region of "??", "-" or nothing is not known, and the line is left
 * out. Overrides: PREFIX,REGION[,ASN[,HOLDER]]; an empty field leaves what other data say.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_CSV_H
#define HIRUNDO_COLLECTOR_ENRICH_CSV_H

#include "collector/enrich/source.h"

int csv_parse_ranges(struct source *s) MUST_CHECK;
int csv_parse_overrides(struct source *s) MUST_CHECK;

#endif
