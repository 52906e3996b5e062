#include "collector/migrate.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

const char migrate_state_sql[] =
	"SELECT (SELECT max(version) FROM hirundo.schema_migration),"
	" (SELECT value::int FROM hirundo.setting WHERE name = 'compatible_from')";

/* One migration at a time in a database; any number does that nobody else uses. */
#define LOCK_SQL "SELECT pg_catalog.pg_advisory_xact_lock(7411)"

static PRINTF_LIKE(3, 4) enum migrate_res
	fail(enum migrate_res res, char **ret_reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(ret_reason, fmt, ap) < 0)
		*ret_reason = NULL;
	va_end(ap);
	return res;
}

/* What the server or libpq says, its first line. */
static enum migrate_res fail_sql(
	PGconn *conn, const PGresult *res, const char *what, char **ret_reason)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (!text)
		text = PQerrorMessage(conn);
	return fail(MIGRATE_FAILED, ret_reason, "%s%s%.*s", what, *what ? ": " : "",
		(int)strcspn(text, "\n"), text);
}

static bool succeeded(const PGresult *res)
{
	return PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
}

/* Runs text of one or more statements. what: in front of the error, or "" */
static enum migrate_res run(PGconn *conn, const char *sql, const char *what, char **ret_reason)
{
	PGresult *res = PQexec(conn, sql);
	enum migrate_res r = MIGRATE_OK;

	if (!succeeded(res))
		r = fail_sql(conn, res, what, ret_reason);
	PQclear(res);
	return r;
}

static int program_version(void)
{
	return migrations[migrations_n - 1].version;
}

enum migrate_res migrate_judge(int version, int compatible_from)
{
	if (version < MIGRATE_COMPATIBLE_FROM)
		return MIGRATE_TOO_OLD;
	if (version > program_version() && compatible_from > program_version())
		return MIGRATE_REFUSED;
	return MIGRATE_OK;
}

static int int_at(const PGresult *res, int row, int column)
{
	return (int)strtol(PQgetvalue(res, row, column), NULL, 10);
}

static bool no_schema(const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	/* No such schema, no such table; no privilege, because nobody granted one. */
	return state && (strcmp(state, "3F000") == 0 || strcmp(state, "42P01") == 0 ||
				strcmp(state, "42501") == 0);
}

static enum migrate_res fail_refused(int version, int compatible_from, char **ret_reason)
{
	return fail(MIGRATE_REFUSED, ret_reason,
		"the schema is version %d and wants a program that knows %d; this one knows %d: "
		"upgrade it",
		version, compatible_from, program_version());
}

enum migrate_res migrate_check(PGconn *conn, char **ret_reason)
{
	PGresult *res = PQexec(conn, migrate_state_sql);
	enum migrate_res r;
	int version, compatible_from;

	if (!succeeded(res)) {
		r = no_schema(res) ? MIGRATE_NO_SCHEMA : fail_sql(conn, res, "", ret_reason);
		PQclear(res);
		if (r == MIGRATE_NO_SCHEMA)
			return fail(r, ret_reason,
				"the database has no schema of Hirundo: run hirundo-admin db init");
		return r;
	}
	version = int_at(res, 0, 0);
	compatible_from = int_at(res, 0, 1);
	PQclear(res);
	r = migrate_judge(version, compatible_from);
	if (r == MIGRATE_TOO_OLD)
		return fail(r, ret_reason,
			"the schema is version %d and this program needs %d: run hirundo-admin db "
			"migrate",
			version, MIGRATE_COMPATIBLE_FROM);
	if (r == MIGRATE_REFUSED)
		return fail_refused(version, compatible_from, ret_reason);
	return MIGRATE_OK;
}

/* XXH3-64 in hexadecimal. */
static void checksum_of(const struct migration *m, char ret[17])
{
	(void)snprintf(ret, 17, "%016" PRIx64, (uint64_t)XXH3_64bits(m->sql, strlen(m->sql)));
}

/* Compares what is applied with what this program knows. *ret_version: 0 = no schema */
static enum migrate_res read_applied(PGconn *conn, int *ret_version, char **ret_reason)
{
	PGresult *res = PQexec(conn, "SELECT pg_catalog.to_regclass('hirundo.schema_migration')");
	enum migrate_res r = MIGRATE_OK;
	int version = 0;
	bool none;

	if (!succeeded(res)) {
		r = fail_sql(conn, res, "", ret_reason);
		PQclear(res);
		return r;
	}
	none = PQgetisnull(res, 0, 0);
	PQclear(res);
	if (none) {
		*ret_version = 0;
		return MIGRATE_OK;
	}
	res = PQexec(conn,
		"SELECT version, checksum, (SELECT value FROM hirundo.setting WHERE name = "
		"'compatible_from') FROM hirundo.schema_migration ORDER BY version");
	if (!succeeded(res))
		r = fail_sql(conn, res, "", ret_reason);
	for (int i = 0; r == MIGRATE_OK && i < PQntuples(res); i++) {
		char checksum[17];

		version = int_at(res, i, 0);
		if (version > program_version()) {
			int compatible_from = int_at(res, i, 2);

			if (compatible_from > program_version())
				r = fail_refused(version, compatible_from, ret_reason);
			continue;
		}
		if ((size_t)i >= migrations_n || migrations[i].version != version) {
			r = fail(MIGRATE_TAMPERED, ret_reason,
				"migrations before %d are missing in the database", version);
			continue;
		}
		checksum_of(&migrations[i], checksum);
		if (strcmp(PQgetvalue(res, i, 1), checksum) != 0)
			r = fail(MIGRATE_TAMPERED, ret_reason,
				"migration %04d_%s in the database is not the one of this program",
				version, migrations[i].name);
	}
	PQclear(res);
	if (r == MIGRATE_OK)
		*ret_version = version;
	return r;
}

static enum migrate_res apply(PGconn *conn, const struct migration *m, char **ret_reason)
{
	AUTO_FREE char *what = NULL;
	char version[12], checksum[17];
	const char *values[] = {version, m->name, checksum, HIRUNDO_VERSION};
	enum migrate_res r;
	PGresult *res;

	if (asprintf(&what, "migration %04d_%s", m->version, m->name) < 0) {
		what = NULL;
		return fail(MIGRATE_FAILED, ret_reason, "out of memory");
	}
	/* Ingest waits behind a lock that we wait for: not for long. */
	r = run(conn, "SET LOCAL ROLE hirundo_owner; SET LOCAL lock_timeout = '10s'", what,
		ret_reason);
	if (r == MIGRATE_OK)
		r = run(conn, m->sql, what, ret_reason);
	if (r != MIGRATE_OK)
		return r;
	(void)snprintf(version, sizeof(version), "%d", m->version);
	checksum_of(m, checksum);
	res = PQexecParams(conn,
		"INSERT INTO hirundo.schema_migration (version, name, checksum, program_version)"
		" VALUES ($1, $2, $3, $4)",
		4, NULL, values, NULL, NULL, 0);
	if (!succeeded(res))
		r = fail_sql(conn, res, what, ret_reason);
	PQclear(res);
	return r;
}

/* One transaction: roles, or the next migration. */
static enum migrate_res step(
	PGconn *conn, bool create, bool roles, bool *ret_more, char **ret_reason)
{
	enum migrate_res r = run(conn, "BEGIN; " LOCK_SQL, "", ret_reason);
	bool more = false;
	int version = 0;

	if (r == MIGRATE_OK)
		r = read_applied(conn, &version, ret_reason);
	if (r == MIGRATE_OK && version == 0 && !create)
		r = fail(MIGRATE_NO_SCHEMA, ret_reason,
			"the database has no schema of Hirundo: run hirundo-admin db init");
	if (r == MIGRATE_OK && roles) {
		r = run(conn, sql_roles, "roles", ret_reason);
		more = true;
	}
	for (size_t i = 0; r == MIGRATE_OK && !roles && !more && i < migrations_n; i++)
		if (migrations[i].version > version) {
			r = apply(conn, &migrations[i], ret_reason);
			more = true;
		}
	if (r == MIGRATE_OK)
		r = run(conn, "COMMIT", "", ret_reason);
	else
		PQclear(PQexec(conn, "ROLLBACK")); /* fails only with the connection */
	if (r == MIGRATE_OK)
		*ret_more = more;
	return r;
}

enum migrate_res migrate_run(PGconn *conn, bool create, unsigned *ret_applied, char **ret_reason)
{
	unsigned applied = 0;
	bool more = true;
	enum migrate_res r = step(conn, create, true, &more, ret_reason);

	while (r == MIGRATE_OK && more) {
		r = step(conn, create, false, &more, ret_reason);
		if (r == MIGRATE_OK && more)
			applied++;
	}
	if (r == MIGRATE_OK)
		*ret_applied = applied;
	return r;
}
