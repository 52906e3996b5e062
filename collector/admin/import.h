/* An import of address data or of a list on its way. */
#ifndef HIRUNDO_COLLECTOR_ADMIN_IMPORT_H
#define HIRUNDO_COLLECTOR_ADMIN_IMPORT_H

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

#endif
