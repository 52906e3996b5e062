/* What the commands of enrich share: an import on its way. */
#ifndef HIRUNDO_COLLECTOR_ADMIN_ENRICH_H
#define HIRUNDO_COLLECTOR_ADMIN_ENRICH_H

#include "collector/admin/admin.h"
#include "collector/enrich/kinds.h"

struct import {
	enum kind kind;
	struct source files[KIND_FILES_MAX];
	size_t files_n;
	const char *name; /* NULL: those of the files */
	const char *date; /* NULL: that of the data */
	bool force;
	int32_t modified; /* oldest file */
	struct names names;
	struct kind_import read;
	struct ranges kinds[KINDS_N]; /* as they will be; that of `kind` belongs to read */
	struct ranges all; /* what address_range will have */
	long before; /* ranges of the import that is replaced, 0 = none */
	char checksum[17];
	char dataset[12];
};

/** Writes a list (lists.h) in place of the one before it, within the import's transaction.
 *  i->dataset is set. @return exit code, told */
int enrich_lists_write(struct admin *a, const struct import *i) MUST_CHECK;
/** Says what was written. */
void enrich_lists_report(const struct import *i);
/** The table that holds a kind of list. */
const char *enrich_lists_table(enum kind kind);

int no_memory(void);

#endif
