/*
 * CAIDA's pfx2as: `prefix TAB length TAB origin`, one a line; '#' begins a comment line. Of several
 * origins (MOAS "a_b", sets "a,b") the first one is taken: the most frequent.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_PFX2AS_H
#define HIRUNDO_COLLECTOR_ENRICH_PFX2AS_H

#include "collector/enrich/source.h"

int pfx2as_parse(struct source *s) MUST_CHECK;

#endif
