/* verify: whether the books balance. */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "collector/admin/sql.h"

/* Prints the answer as one JSON object. */
static int print_json(struct admin *a, bool *ret_balanced)
{
	PGresult *res = NULL;
	int code = sql_query(a,
		"WITH s AS (SELECT * FROM hirundo.verify_streams()),"
		" d AS (SELECT * FROM hirundo.verify_days()),"
		" r AS (SELECT NOT EXISTS (SELECT FROM s WHERE difference IS NOT NULL)"
		" AND NOT EXISTS (SELECT FROM d WHERE difference IS NOT NULL) AS balanced)"
		" SELECT r.balanced, jsonb_pretty(jsonb_build_object('balanced', r.balanced,"
		" 'streams', (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM s),"
		" 'days', (SELECT coalesce(jsonb_agg(to_jsonb(d)), '[]') FROM d))) FROM r",
		0, NULL, &res);

	if (code != EX_OK)
		return code;
	*ret_balanced = strcmp(PQgetvalue(res, 0, 0), "t") == 0;
	(void)puts(PQgetvalue(res, 0, 1));
	PQclear(res);
	return EX_OK;
}

/* Prints what differs; the names of the first `columns` columns say where. @return how many */
static int print_differences(const PGresult *res, const char *what, int columns)
{
	int last = PQnfields(res) - 1, n = 0;

	for (int row = 0; row < PQntuples(res); row++) {
		if (PQgetisnull(res, row, last))
			continue;
		(void)printf("DIFFERENCE in %s", what);
		for (int c = 0; c < columns; c++)
			(void)printf(" %s %s", PQfname(res, c),
				PQgetisnull(res, row, c) ? "-" : PQgetvalue(res, row, c));
		(void)printf(": %s\n", PQgetvalue(res, row, last));
		n++;
	}
	return n;
}

static int print_text(struct admin *a, bool *ret_balanced)
{
	PGresult *streams = NULL, *days = NULL;
	int differences, code;

	code = sql_query(a,
		"SELECT coalesce(sensor, sensor_id::text) AS sensor, epoch, records, sealed, "
		"stored,"
		" quarantined, rejected, lost, open, difference FROM hirundo.verify_streams()",
		0, NULL, &streams);
	if (code == EX_OK)
		code = sql_query(a,
			"SELECT coalesce(sensor, sensor_id::text) AS sensor,"
			" coalesce(day::text, 'all') AS day, difference FROM hirundo.verify_days()",
			0, NULL, &days);
	if (code == EX_OK) {
		sql_print(streams, 1);
		(void)putchar('\n');
		differences = print_differences(streams, "stream:", 2) +
			      print_differences(days, "day:", 2);
		*ret_balanced = differences == 0;
		(void)printf("%d streams, %d days of sensors: %s\n", PQntuples(streams),
			PQntuples(days), differences == 0 ? "balanced" : "NOT balanced");
	}
	PQclear(streams);
	PQclear(days);
	return code;
}

int command_verify(struct admin *a, int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	bool json = false, balanced = false;
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return EX_USAGE;
		json = true;
	}
	if (optind < argc)
		return fail(EX_USAGE, "verify: \"%s\" is no option", argv[optind]);
	code = sql_connect(a, SQL_READER);
	/* One snapshot: records that come in meanwhile are in all of the books or in none. */
	if (code == EX_OK)
		code = sql_run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL);
	if (code == EX_OK)
		code = json ? print_json(a, &balanced) : print_text(a, &balanced);
	if (code != EX_OK)
		return code;
	return balanced ? EX_OK : 1;
}
