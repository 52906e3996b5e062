/*
 * enrich import. The program reads and checks the files; what it writes, and what all kinds
 * together then say, becomes visible in one transaction or not at all.
 */
#include "collector/admin/enrich_lists.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <xxhash.h>

#include "collector/admin/sql.h"
#include "collector/enrich/load.h"

/** An import may have this much less than the one before it, per cent; more is an accident. */
#define SHRINK_MAX 20

static void import_done(struct import *i)
{
	for (size_t k = 0; k < i->files_n; k++)
		free((void *)i->files[k].data);
	if (i->kind < KINDS_N)
		i->kinds[i->kind] = (struct ranges){0};
	for (size_t k = 0; k < KINDS_N; k++)
		ranges_done(&i->kinds[k]);
	ranges_done(&i->all);
	kind_import_done(&i->read);
	names_done(&i->names);
}

/* Files. */

static int read_files(struct import *i, char **paths, size_t n)
{
	XXH3_state_t *hash = XXH3_createState();
	char error[SOURCE_ERROR_MAX];
	int e = hash ? 0 : -ENOMEM;

	if (hash)
		(void)XXH3_64bits_reset(hash);
	i->modified = INT32_MAX;
	for (size_t k = 0; e == 0 && k < n; k++) {
		struct source *s = &i->files[k];
		uint8_t *data;
		int32_t day;

		e = source_read(paths[k], &data, &s->n, &day, error);
		if (e != 0)
			break;
		s->name = paths[k];
		s->data = data;
		i->files_n++;
		if (day < i->modified)
			i->modified = day;
		(void)XXH3_64bits_update(hash, data, s->n);
	}
	if (e == 0)
		(void)snprintf(
			i->checksum, sizeof(i->checksum), "%016" PRIx64, XXH3_64bits_digest(hash));
	XXH3_freeState(hash);
	return e == 0 ? EX_OK : e == SOURCE_BAD ? fail(EX_NOINPUT, "%s", error) : no_memory();
}

static int parse_files(struct import *i)
{
	char error[SOURCE_ERROR_MAX];
	int e = kind_import(i->kind, i->files, i->files_n, &i->names, &i->read, error);

	if (i->kind < KINDS_N)
		i->kinds[i->kind] = i->read.ranges;
	return e == 0 ? EX_OK : e == SOURCE_BAD ? fail(EX_DATAERR, "%s", error) : no_memory();
}

/* The database. */

/* Nobody else imports until the end of this transaction. */
static int begin(struct admin *a)
{
	int code = sql_run(a, "BEGIN", 0, NULL);

	return code == EX_OK
		       ? sql_run(a, "SELECT pg_advisory_xact_lock(hashtext('hirundo.enrichment'))",
				 0, NULL)
		       : code;
}

static int check_size(struct admin *a, struct import *i)
{
	const char *kind = kind_name(i->kind);
	PGresult *res = NULL;
	int code = sql_query(a,
		"SELECT ranges FROM hirundo.enrichment_dataset WHERE kind = $1 AND replaced_at IS "
		"NULL",
		1, &kind, &res);

	if (code != EX_OK)
		return code;
	if (PQntuples(res) > 0)
		i->before = strtol(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	if ((long)i->read.read * 100 >= i->before * (100 - SHRINK_MAX) || i->force)
		return EX_OK;
	return fail(EX_DATAERR,
		"%" PRIu32
		" ranges of kind %s, %ld before: over %d %% fewer; --force takes them all "
		"the same",
		i->read.read, kind, i->before, SHRINK_MAX);
}

static int load_others(struct admin *a, struct import *i)
{
	char reason[LOAD_REASON_MAX], sql[256];
	int e = 0;

	for (enum kind k = KIND_RIR; e == 0 && k < KINDS_N; k++) {
		if (k == i->kind)
			continue;
		(void)snprintf(sql, sizeof(sql),
			"COPY (SELECT lo, hi, asn, region, holder FROM hirundo.enrichment_range"
			" WHERE kind = '%s' ORDER BY lo) TO STDOUT (FORMAT binary)",
			kind_name(k));
		e = load_ranges(a->conn, sql, NULL, &i->names, &i->kinds[k], reason);
		if (e == 0 && ranges_overlap(&i->kinds[k]) > 0)
			return fail(EX_SOFTWARE, "hirundo.enrichment_range: ranges of %s overlap",
				kind_name(k));
	}
	return e == 0 ? EX_OK : e == LOAD_FAILED ? fail(EX_UNAVAILABLE, "%s", reason) : no_memory();
}

/* What the data set is called where nobody says: the files' names, without their folders. */
static char *file_names(const struct import *i)
{
	char *all = strdup("");

	for (size_t k = 0; all && k < i->files_n; k++) {
		const char *slash = strrchr(i->files[k].name, '/');
		AUTO_FREE char *before = all;

		if (asprintf(&all, "%s%s%s", before, *before ? " " : "",
			    slash ? slash + 1 : i->files[k].name) < 0)
			all = NULL;
	}
	return all;
}

static int note_dataset(struct admin *a, struct import *i)
{
	AUTO_FREE char *name = i->name ? strdup(i->name) : file_names(i);
	char numbers[5][12];
	const char *values[] = {kind_name(i->kind), name, i->date, i->checksum, numbers[0],
		numbers[1], numbers[2], numbers[3],
		i->force && (long)i->read.read * 100 < i->before * (100 - SHRINK_MAX) ? "t" : "f",
		numbers[4]};
	PGresult *res = NULL;
	int code;

	if (!name)
		return no_memory();
	(void)snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu32, i->read.read);
	(void)snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu32, i->read.with_region);
	(void)snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu32, i->read.with_asn);
	(void)snprintf(numbers[3], sizeof(numbers[3]), "%zu",
		i->kind < KINDS_N ? i->all.n : i->read.ranges.n);
	(void)snprintf(numbers[4], sizeof(numbers[4]), "%" PRId32,
		i->read.day != SOURCE_NO_DAY ? i->read.day : i->modified);
	code = sql_run(a,
		"UPDATE hirundo.enrichment_dataset SET replaced_at = now()"
		" WHERE kind = $1 AND replaced_at IS NULL",
		1, values);
	if (code == EX_OK)
		code = sql_query(a,
			"INSERT INTO hirundo.enrichment_dataset (dataset_id, kind, name, "
			"source_date,"
			" checksum, ranges, with_region, with_asn, address_ranges, forced)"
			" SELECT coalesce(max(dataset_id), 0) + 1, $1, $2,"
			" coalesce($3::date, DATE '1970-01-01' + $10::int), $4, $5::int, $6::int,"
			" $7::int, $8::int, $9::boolean FROM hirundo.enrichment_dataset"
			" RETURNING dataset_id",
			10, values, &res);
	if (code == EX_OK)
		(void)snprintf(i->dataset, sizeof(i->dataset), "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
	return code;
}

static int stored(struct admin *a, int e)
{
	const char *text = PQerrorMessage(a->conn);

	return e == 0             ? EX_OK
	       : e == LOAD_FAILED ? fail(EX_UNAVAILABLE, "%.*s", (int)strcspn(text, "\n"), text)
				  : no_memory();
}

/* DELETE, not TRUNCATE: snapshots that are older still have to see the old ranges. */
static int write_ranges(struct admin *a, const struct import *i)
{
	const char *kind = kind_name(i->kind);
	int code = sql_run(a, "DELETE FROM hirundo.enrichment_range WHERE kind = $1", 1, &kind);

	if (code == EX_OK)
		code = stored(a,
			load_store(a->conn,
				"COPY hirundo.enrichment_range (kind, lo, hi, asn, region, holder)"
				" FROM STDIN (FORMAT binary)",
				kind, &i->read.ranges, &i->names));
	if (code == EX_OK)
		code = sql_run(a, "DELETE FROM hirundo.address_range", 0, NULL);
	if (code == EX_OK)
		code = stored(
			a, load_store(a->conn,
				   "COPY hirundo.address_range (lo, hi, asn, region, holder) FROM "
				   "STDIN"
				   " (FORMAT binary)",
				   NULL, &i->all, &i->names));
	return code;
}

static void report(const struct import *i)
{
	enum kind region = kinds_region(i->kinds), asn = kinds_asn(i->kinds);

	(void)printf("data set %s: %" PRIu32
		     " ranges of kind %s, %zu ranges with all kinds; region by "
		     "%s, ASN by %s\n",
		i->dataset, i->read.read, kind_name(i->kind), i->all.n,
		region < KINDS_N ? kind_name(region) : "none",
		asn < KINDS_N ? kind_name(asn) : "none");
}

/* Kinds that make one table together. */
static int write_table(struct admin *a, struct import *i)
{
	int code = load_others(a, i);

	if (code == EX_OK && kinds_combine(i->kinds, &i->names, &i->all) < 0)
		code = no_memory();
	if (code == EX_OK)
		code = note_dataset(a, i);
	return code == EX_OK ? write_ranges(a, i) : code;
}

static int write_list(struct admin *a, struct import *i)
{
	int code = note_dataset(a, i);

	return code == EX_OK ? enrich_lists_write(a, i) : code;
}

/* What was deleted would slow the next readers down. */
static int vacuum(struct admin *a, const struct import *i)
{
	char sql[128];

	(void)snprintf(sql, sizeof(sql), "VACUUM (ANALYZE) %s",
		i->kind < KINDS_N ? "hirundo.enrichment_range, hirundo.address_range"
				  : enrich_lists_table(i->kind));
	return sql_run(a, sql, 0, NULL);
}

static int import(struct admin *a, struct import *i)
{
	int code = sql_connect(a, SQL_OWNER);

	if (code == EX_OK)
		code = begin(a);
	if (code == EX_OK)
		code = check_size(a, i);
	if (code == EX_OK)
		code = i->kind < KINDS_N ? write_table(a, i) : write_list(a, i);
	if (code == EX_OK)
		code = sql_run(a, "COMMIT", 0, NULL);
	if (code != EX_OK)
		return code;
	if (i->kind < KINDS_N)
		report(i);
	else
		enrich_lists_report(i);
	return vacuum(a, i);
}

int command_enrich_import(struct admin *a, int argc, char **argv)
{
	enum {
		NAME = 256,
		DATE,
		FORCE
	};
	static const struct option options[] = {
		{"name", required_argument, NULL, NAME},
		{"date", required_argument, NULL, DATE},
		{"force", no_argument, NULL, FORCE},
		{0},
	};
	struct import i = {.kind = KINDS_ALL};
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case NAME: i.name = optarg; break;
		case DATE: i.date = optarg; break;
		case FORCE: i.force = true; break;
		default: return EX_USAGE;
		}
	}
	if (argc - optind < 2)
		return fail(EX_USAGE, "enrich import: KIND and FILE are needed");
	i.kind = kind_of(argv[optind]);
	if (i.kind == KINDS_ALL)
		return fail(EX_USAGE,
			"enrich import: no kind \"%s\"; there are rir, ranges, mmdb, pfx2as, "
			"overrides, organizations, scanners and groups",
			argv[optind]);
	if (argc - optind - 1 > (int)KIND_FILES_MAX)
		return fail(EX_USAGE, "enrich import: at most %u files", KIND_FILES_MAX);
	code = read_files(&i, argv + optind + 1, (size_t)(argc - optind - 1));
	if (code == EX_OK)
		code = parse_files(&i);
	if (code == EX_OK)
		code = import(a, &i);
	import_done(&i);
	return code;
}
