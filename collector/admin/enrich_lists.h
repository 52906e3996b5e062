/* Lists of organizations, scanners and groups: what an import of one writes. */
#ifndef HIRUNDO_COLLECTOR_ADMIN_ENRICH_LISTS_H
#define HIRUNDO_COLLECTOR_ADMIN_ENRICH_LISTS_H

#include "collector/admin/admin.h"
#include "collector/admin/import.h"

/** Writes a list (lists.h) in place of the one before it, within the import's transaction.
 *  i->dataset is set. @return exit code, told */
int enrich_lists_write(struct admin *a, const struct import *i) MUST_CHECK;
/** Says what was written. */
void enrich_lists_report(const struct import *i);
/** The table that holds a kind of list. */
const char *enrich_lists_table(enum kind kind);

#endif
