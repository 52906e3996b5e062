/* db init, db migrate, db zone, db status. */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "collector/admin/admin.h"
#include "collector/admin/sql.h"
#include "collector/migrate.h"

static int migrate(struct admin *a, bool create)
{
	AUTO_FREE char *reason = NULL;
	unsigned applied = 0;
	enum migrate_res r = migrate_run(a->conn, create, &applied, &reason);
	int code = EX_OK;

	switch (r) {
	case MIGRATE_OK:
		(void)printf("%u migration%s applied, schema is version %d\n", applied,
			applied == 1 ? "" : "s", migrations[migrations_n - 1].version);
		return EX_OK;
	case MIGRATE_NO_SCHEMA:
	case MIGRATE_TOO_OLD:
	case MIGRATE_REFUSED: code = EX_CONFIG; break;
	case MIGRATE_TAMPERED: code = EX_DATAERR; break;
	case MIGRATE_FAILED: code = EX_UNAVAILABLE; break;
	}
	return fail(code, "%s", reason ? reason : "out of memory");
}

static int set(struct admin *a, const char *name, const char *value)
{
	const char *values[] = {name, value};

	if (!value)
		return EX_OK;
	return sql_run(a, "UPDATE hirundo.setting SET value = $2 WHERE name = $1", 2, values);
}

/* Reporting days are cut in one zone; what was cut in another would no longer fit. */
static int set_zone(struct admin *a, const char *zone)
{
	bool allowed = false;
	int code;

	if (!zone)
		return EX_OK;
	code = sql_ask(a,
		"SELECT value = $1 OR NOT EXISTS (SELECT FROM hirundo.ingest_batch)"
		" FROM hirundo.setting WHERE name = 'reporting_zone'",
		1, &zone, &allowed);
	if (code == EX_OK && !allowed)
		code = fail(EX_DATAERR,
			"there are observations already: db zone changes the reporting zone");
	return code == EX_OK ? set(a, "reporting_zone", zone) : code;
}

int command_db_init(struct admin *a, int argc, char **argv)
{
	enum {
		ZONE = 256,
		HOME,
		RETENTION
	};
	static const struct option options[] = {
		{"reporting-zone", required_argument, NULL, ZONE},
		{"home", required_argument, NULL, HOME},
		{"raw-retention", required_argument, NULL, RETENTION},
		{0},
	};
	const char *zone = NULL, *home = NULL, *retention = NULL;
	bool known = true;
	long days;
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case ZONE: zone = optarg; break;
		case HOME: home = optarg; break;
		case RETENTION: retention = optarg; break;
		default: return EX_USAGE;
		}
	}
	if (optind < argc)
		return fail(EX_USAGE, "db init: \"%s\" is no option", argv[optind]);
	if (home && !region_valid(home))
		return fail(EX_USAGE, "--home: must be two capital letters (ISO 3166-1)");
	if (retention && !parse_number(retention, 1, 36500, &days))
		return fail(EX_USAGE, "--raw-retention: must be 1 to 36500 days");
	code = sql_connect(a, SQL_PLAIN);
	/* Before anything is made: a wrong zone leaves nothing. */
	if (code == EX_OK && zone)
		code = sql_ask(a, "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)",
			1, &zone, &known);
	if (code == EX_OK && !known)
		code = fail(EX_USAGE, "--reporting-zone: the database knows no such zone");
	if (code == EX_OK)
		code = migrate(a, true);
	if (code == EX_OK)
		code = sql_run(a, "SET ROLE hirundo_owner", 0, NULL);
	if (code == EX_OK)
		code = set_zone(a, zone);
	if (code == EX_OK)
		code = set(a, "home_region", home);
	return code == EX_OK ? set(a, "raw_retention_days", retention) : code;
}

int command_db_migrate(struct admin *a, int argc, char **argv)
{
	int code = no_arguments(argc, argv);

	if (code == EX_OK)
		code = sql_connect(a, SQL_PLAIN);
	return code == EX_OK ? migrate(a, false) : code;
}

int command_db_zone(struct admin *a, int argc, char **argv)
{
	static const struct option options[] = {{"force", no_argument, NULL, 'f'}, {0}};
	const char *values[] = {NULL, "false"};
	PGresult *res = NULL;
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'f')
			return EX_USAGE;
		values[1] = "true";
	}
	if (optind + 1 != argc)
		return fail(EX_USAGE, "db zone: give one time zone, as Asia/Tokyo");
	values[0] = argv[optind];
	code = sql_connect(a, SQL_OWNER);
	if (code == EX_OK)
		code = sql_query(a, "SELECT * FROM hirundo.change_zone($1, $2)", 2, values, &res);
	if (code != EX_OK)
		return code;
	(void)printf(
		"reporting days are those of %s; the collector counts %s days of sensors anew\n",
		values[0], PQgetvalue(res, 0, 0));
	if (!PQgetisnull(res, 0, 1))
		(void)printf(
			"lost are rollups of %s rows from %s to %s, whose raw rows were dropped\n",
			PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 2), PQgetvalue(res, 0, 3));
	PQclear(res);
	return EX_OK;
}

int command_db_status(struct admin *a, int argc, char **argv)
{
	int program = migrations[migrations_n - 1].version, code = no_arguments(argc, argv);
	PGresult *res = NULL;
	long version;

	if (code == EX_OK)
		code = sql_connect(a, SQL_READER);
	if (code == EX_OK)
		code = sql_query(a,
			"SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC',"
			" 'YYYY-MM-DD HH24:MI:SS') AS applied, program_version AS program"
			" FROM hirundo.schema_migration ORDER BY version",
			0, NULL, &res);
	if (code != EX_OK)
		return code;
	version = strtol(PQgetvalue(res, PQntuples(res) - 1, 0), NULL, 10);
	sql_print(res, 0);
	PQclear(res);
	code = sql_query(a, "SELECT name AS setting, value FROM hirundo.setting ORDER BY name", 0,
		NULL, &res);
	if (code != EX_OK)
		return code;
	(void)putchar('\n');
	sql_print(res, 0);
	PQclear(res);
	(void)printf("\nschema is version %ld, this program knows %d%s\n", version, program,
		version < program ? ": run hirundo-admin db migrate" : "");
	return version < program ? 1 : EX_OK;
}
