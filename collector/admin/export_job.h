/*
 * An export on its way, as the command and the writers of formats share it. It reads in one
 * snapshot, writes its rows to a file, notes itself in hirundo.export_log in the same transaction,
 * and puts the file into its place when that is committed.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_EXPORT_JOB_H
#define HIRUNDO_COLLECTOR_ADMIN_EXPORT_JOB_H

#include "collector/admin/export_file.h"
#include "collector/admin/sql.h"

/** Reasons for which rows are left out of a file. */
#define EXPORT_REASONS_MAX 8u

/** What a file leaves out. */
struct export_left {
	char reason[32];
	int64_t sources, packets;
};

struct export
{
	const char *kind; /* notification or capture */
	const char *format; /* csv, xarf or pcap */
	const char *tlp;
	const char *recipient; /* contact, "internal", or NULL: anybody */
	const char *output;
	char *period; /* a daterange */
	char *filter; /* a JSON object */
	struct export_file file;
	int64_t rows, sources, packets; /* in the file */
	struct export_left left[EXPORT_REASONS_MAX];
	size_t left_n;
};

/** Counts a row that is in the file (reason "") or left out.
 *  @return whether it is in the file */
bool export_count(struct export *x, const char *reason, int64_t sources, int64_t packets);

/** Writes the rows. @return EX_OK, or the exit code, told */
int export_write_csv(struct admin *a, struct export *x) MUST_CHECK;
int export_write_xarf(struct admin *a, struct export *x) MUST_CHECK;
int export_write_pcap(struct admin *a, struct export *x) MUST_CHECK;

/** Checks what XARF needs of the configuration. */
int export_check_xarf(const struct admin *a) MUST_CHECK;

#endif
