/*
 * Delegated and delegated-extended files of the Regional Internet Registries (RIR statistics
 * exchange format): version line, summary lines,
 * `registry|cc|type|start|value|date|status[|opaque-id...]`.
 *
 * Only what is allocated or assigned becomes a range; the holder is the opaque-id. A country that
 * is not told becomes ZZ. Lines of ASNs are checked and left out. A file with fewer lines than its
 * summary counts has been cut.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_RIR_H
#define HIRUNDO_COLLECTOR_ENRICH_RIR_H

#include "collector/enrich/source.h"

int rir_parse(struct source *s) MUST_CHECK;

#endif
