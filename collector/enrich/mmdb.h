/*
 * MaxMind DB files, country or ASN, flattened: each record of the tree becomes a range.
 *
 * Region: country.iso_code, registered_country.iso_code, country_code or country; ASN:
 * autonomous_system_number or asn (a number, or "AS" and the number). IPv4 lies in ::/96; other
 * places that lead to the same tree (::ffff:0:0/96, 2001::/32, 2002::/16) are aliases and left out.
 * A tree that leads back into itself is refused.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_MMDB_H
#define HIRUNDO_COLLECTOR_ENRICH_MMDB_H

#include "collector/enrich/source.h"

int mmdb_parse(struct source *s) MUST_CHECK;

#endif
