/*
 * Lists of networks, as CSV with a header: whose they are (organizations), who scans from them for
 * research (scanners), what they are called together (groups). Text is UTF-8.
 *
 *   prefix,organization,contact
 *   prefix,organization,source,valid_from,valid_to
 *   name,cidr
 *
 * A prefix is ADDRESS/LENGTH or an address alone; of organizations, FIRST-LAST, too. contact: an
 * e-mail address, or empty. source: where it is published, or empty. Days: YYYY-MM-DD, or empty.
 *
 * The holder of a range is what the line says beside the prefix, in this order, with tabs between.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_LISTS_H
#define HIRUNDO_COLLECTOR_ENRICH_LISTS_H

#include "collector/enrich/source.h"

/** Longest texts, bytes. */
#define LISTS_NAME_MAX 255u
#define LISTS_CONTACT_MAX 254u /* RFC 5321 section 4.5.3.1.3 */
#define LISTS_SOURCE_MAX 300u
/** Columns of a holder. */
#define LISTS_TEXTS_MAX 4u

int lists_parse_organizations(struct source *s) MUST_CHECK;
int lists_parse_scanners(struct source *s) MUST_CHECK;
int lists_parse_groups(struct source *s) MUST_CHECK;

#endif
