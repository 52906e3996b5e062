#include "collector/admin/sql.h"

#include <string.h>
#include <sysexits.h>

#include "collector/migrate.h"

/* Types of numbers: they are set to the right. */
enum {
	OID_INT8 = 20,
	OID_INT4 = 23,
	OID_NUMERIC = 1700
};

static int exit_code(const char *state)
{
	if (*state == '\0' || strncmp(state, "08", 2) == 0 || strncmp(state, "57P", 3) == 0)
		return EX_UNAVAILABLE;
	if (strcmp(state, "42501") == 0)
		return EX_NOPERM;
	/* 55000: what is asked for is not complete, or no more there. */
	if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
		strcmp(state, "55000") == 0)
		return EX_DATAERR;
	if (strncmp(state, "40", 2) == 0 || strncmp(state, "53", 2) == 0 ||
		strncmp(state, "55", 2) == 0)
		return EX_TEMPFAIL;
	return EX_SOFTWARE;
}

static int tell(struct admin *a, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	/* The message alone: details of the server show values. */
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (!text)
		text = PQerrorMessage(a->conn);
	return fail(exit_code(state ? state : ""), "%.*s", (int)strcspn(text, "\n"), text);
}

int sql_query(struct admin *a, const char *sql, int n, const char *const *values, PGresult **ret)
{
	PGresult *res = PQexecParams(a->conn, sql, n, NULL, values, NULL, NULL, 0);
	int code;

	if (PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK) {
		*ret = res;
		return EX_OK;
	}
	code = tell(a, res);
	PQclear(res);
	return code;
}

static void cancel(struct admin *a)
{
	char reason[256];
	PGcancel *c = PQgetCancel(a->conn);

	if (c)
		(void)PQcancel(c, reason, sizeof(reason)); /* else all rows come, and are dropped */
	PQfreeCancel(c);
}

int sql_stream(struct admin *a, const char *sql, int n, const char *const *values,
	int (*each)(void *arg, const PGresult *row), void *arg)
{
	PGresult *res;
	int code = EX_OK;

	if (!PQsendQueryParams(a->conn, sql, n, NULL, values, NULL, NULL, 0) ||
		!PQsetSingleRowMode(a->conn))
		return tell(a, NULL);
	while ((res = PQgetResult(a->conn))) {
		ExecStatusType status = PQresultStatus(res);

		if (code == EX_OK && status == PGRES_SINGLE_TUPLE) {
			code = each(arg, res);
			if (code != EX_OK)
				cancel(a);
		} else if (code == EX_OK && status != PGRES_TUPLES_OK) {
			code = tell(a, res);
		}
		PQclear(res);
	}
	return code;
}

int sql_run(struct admin *a, const char *sql, int n, const char *const *values)
{
	PGresult *res = NULL;
	int code = sql_query(a, sql, n, values, &res);

	PQclear(res);
	return code;
}

int sql_ask(struct admin *a, const char *sql, int n, const char *const *values, bool *ret)
{
	PGresult *res = NULL;
	int code = sql_query(a, sql, n, values, &res);

	if (code == EX_OK)
		*ret = strcmp(PQgetvalue(res, 0, 0), "t") == 0;
	PQclear(res);
	return code;
}

int sql_connect(struct admin *a, enum sql_as as)
{
	const char *const names[] = {"dbname", "fallback_application_name", NULL};
	const char *const values[] = {a->conf.dsn, "hirundo-admin", NULL};
	AUTO_FREE char *reason = NULL;
	enum migrate_res r;
	const char *text;
	int code;

	a->conn = PQconnectdbParams(names, values, 1);
	if (PQstatus(a->conn) != CONNECTION_OK) {
		text = PQerrorMessage(a->conn);
		return fail(EX_UNAVAILABLE, "%.*s", (int)strcspn(text, "\n"), text);
	}
	code = sql_run(a, "SET client_min_messages = warning", 0, NULL);
	/* Names are written out everywhere; nobody's search_path may redirect them. */
	if (code == EX_OK)
		code = sql_run(a, "SET search_path = pg_catalog, pg_temp", 0, NULL);
	if (code != EX_OK || as == SQL_PLAIN)
		return code;
	r = migrate_check(a->conn, &reason);
	if (r != MIGRATE_OK)
		return fail(r == MIGRATE_FAILED ? EX_UNAVAILABLE : EX_CONFIG, "%s",
			reason ? reason : "out of memory");
	if (as == SQL_OWNER)
		return sql_run(a, "SET ROLE hirundo_owner", 0, NULL);
	return EX_OK;
}

static bool is_number(Oid type)
{
	return type == OID_INT8 || type == OID_INT4 || type == OID_NUMERIC;
}

static void print_cell(const char *text, int width, bool number, bool last)
{
	if (number)
		(void)printf("%*s", width, text);
	else
		(void)printf("%-*s", last ? 0 : width, text);
	(void)fputs(last ? "\n" : "  ", stdout);
}

void sql_print(const PGresult *res, int hidden)
{
	int columns = PQnfields(res) - hidden, rows = PQntuples(res);

	for (int row = -1; row < rows; row++)
		for (int c = 0; c < columns; c++) {
			int width = (int)strlen(PQfname(res, c));

			for (int i = 0; i < rows; i++)
				if (PQgetlength(res, i, c) > width)
					width = PQgetlength(res, i, c);
			print_cell(row < 0 ? PQfname(res, c) : PQgetvalue(res, row, c), width,
				is_number(PQftype(res, c)), c == columns - 1);
		}
}
