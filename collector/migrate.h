/*
 * The schema of the database: numbered migrations, embedded from sql/migrations, applied in order,
 * one transaction each, under an advisory lock; recorded in hirundo.schema_migration with a
 * checksum.
 *
 * Who may work with whom: the schema has a version (its last migration) and names the oldest
 * version that a program must know (setting compatible_from); the program knows a version and names
 * the oldest schema that it works with (MIGRATE_COMPATIBLE_FROM). Migrations expand first, so that
 * old programs go on for a release.
 */
#ifndef HIRUNDO_COLLECTOR_MIGRATE_H
#define HIRUNDO_COLLECTOR_MIGRATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/mem.h"

struct migration {
	int version;
	const char *name;
	const char *sql;
};

/* Made from collector/sql. */
extern const struct migration migrations[]; /* ascending */
extern const size_t migrations_n;
extern const char sql_roles[]; /* roles and their settings, run each time */

/** Oldest schema that this program works with. */
#define MIGRATE_COMPATIBLE_FROM 24

enum migrate_res {
	MIGRATE_OK = 0,
	MIGRATE_NO_SCHEMA = 1, /* nothing of Hirundo in this database */
	MIGRATE_TOO_OLD =
		2, /* schema older than MIGRATE_COMPATIBLE_FROM: run `hirundo-admin db migrate` */
	MIGRATE_REFUSED = 3, /* the schema is newer and refuses this program: upgrade the program */
	MIGRATE_TAMPERED = 4, /* an applied migration is not the one of this program */
	MIGRATE_FAILED = 5, /* the database refused, or is away: the reason says what */
};

/** Version of the schema, its compatible_from: one row, two integers. For programs that ask without
 *  blocking; without a schema it fails with SQLSTATE 3F000, 42P01 or 42501. */
extern const char migrate_state_sql[];

/** Judges the answer of migrate_state_sql. */
enum migrate_res migrate_judge(int version, int compatible_from) MUST_CHECK;

/** May this program work with the database? Blocks.
 *  @param ret_reason  heap text, one line, unless 0 is returned
 *  @return 0 or what is wrong */
enum migrate_res migrate_check(PGconn *conn, char **ret_reason) MUST_CHECK;

/** Brings roles and schema to this program's version; from nothing where create is set. Several at
 * once wait for each other. A migration that fails leaves nothing of itself.
 *  @param ret_applied  migrations applied now
 *  @param ret_reason   heap text, one line, unless 0 is returned
 *  @return 0 or what is wrong */
enum migrate_res migrate_run(
	PGconn *conn, bool create, unsigned *ret_applied, char **ret_reason) MUST_CHECK;

#endif
