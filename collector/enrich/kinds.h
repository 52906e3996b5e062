/*
 * The kinds of address data: which parser reads one, what its ranges may do to each other, and how
 * those of region, ASN and holder answer together. Lists (lists.h) answer by themselves.
 */
#ifndef HIRUNDO_COLLECTOR_ENRICH_KINDS_H
#define HIRUNDO_COLLECTOR_ENRICH_KINDS_H

#include "collector/enrich/source.h"

enum kind {
	KIND_RIR,
	KIND_RANGES,
	KIND_MMDB,
	KIND_PFX2AS,
	KIND_OVERRIDES,
	KINDS_N, /* those above make one table */
	KIND_ORGANIZATIONS = KINDS_N,
	KIND_SCANNERS,
	KIND_GROUPS,
	KINDS_ALL
};

/** As the command line and the database have it. @return NULL: KINDS_ALL */
const char *kind_name(enum kind kind);
/** @return KINDS_ALL where there is none of that name */
enum kind kind_of(const char *name);

/** Files that one import takes at most. */
#define KIND_FILES_MAX 8u

/** What an import read. */
struct kind_import {
	struct ranges ranges; /* disjoint, sorted; scanners, groups: as in the files */
	uint32_t read, with_region, with_asn; /* ranges or prefixes in the files */
	int32_t day; /* oldest of the files' days, SOURCE_NO_DAY where none tells */
};

/** Parses the files of one import and makes one list of them. rir, ranges: the files' ranges must
 * not overlap. pfx2as, overrides, organizations: ranges nest, the innermost holds; none may come
 * twice or cross another. mmdb: where several files cover an address, each field comes from the
 * first that has it. scanners, groups: whatever is there.
 *  @param files  name, data and n are set
 *  @param ret  zeroed; kind_import_done() frees it in any case
 *  @return 0, SOURCE_BAD (error says what), -ENOMEM */
int kind_import(enum kind kind, struct source *files, size_t n, struct names *names,
	struct kind_import *ret, char error[SOURCE_ERROR_MAX]) MUST_CHECK;
void kind_import_done(struct kind_import *i);

/** All kinds together. Region: of rir where it is loaded, else of mmdb where it has regions, else
 * of ranges. ASN: of pfx2as where it is loaded, else of mmdb. Overrides on top, field by field.
 * Holder: that of overrides, else "AS" and the ASN, else that of rir.
 *  @param lists  one each, disjoint and sorted; empty = not loaded
 *  @param ret  appended to
 *  @return 0, -ENOMEM, -E2BIG */
int kinds_combine(
	const struct ranges lists[KINDS_N], struct names *names, struct ranges *ret) MUST_CHECK;

/** The kind that decides the region, KINDS_N where none is loaded. As hirundo.address_kind(). */
enum kind kinds_region(const struct ranges lists[KINDS_N]);
/** The kind that decides the ASN, KINDS_N where none is loaded. */
enum kind kinds_asn(const struct ranges lists[KINDS_N]);

#endif
