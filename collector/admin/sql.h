/* libpq for commands: one connection, blocking; errors are printed here. */
#ifndef HIRUNDO_COLLECTOR_ADMIN_SQL_H
#define HIRUNDO_COLLECTOR_ADMIN_SQL_H

#include "collector/admin/admin.h"

enum sql_as {
	SQL_PLAIN, /* for migrations: nothing is checked */
	SQL_READER, /* as whoever the dsn names; the schema fits this program */
	SQL_OWNER, /* as hirundo_owner, too */
};

/** Connects. @return EX_OK, or the exit code, told */
int sql_connect(struct admin *a, enum sql_as as) MUST_CHECK;

/** Runs one statement with text parameters.
 *  @param ret  the result, the caller's (PQclear); set on success only
 *  @return EX_OK, or the exit code by SQLSTATE, told */
int sql_query(struct admin *a, const char *sql, int n, const char *const *values,
	PGresult **ret) MUST_CHECK;

/** Hands over the rows of one query, each as a result of one row; memory does not grow with them.
 *  @param each  returns EX_OK, or an exit code, told: the query is then ended
 *  @return EX_OK, or the exit code, told */
int sql_stream(struct admin *a, const char *sql, int n, const char *const *values,
	int (*each)(void *arg, const PGresult *row), void *arg) MUST_CHECK;

/** sql_query() for statements without an answer that matters. */
int sql_run(struct admin *a, const char *sql, int n, const char *const *values) MUST_CHECK;

/** A question that is answered by one boolean. */
int sql_ask(
	struct admin *a, const char *sql, int n, const char *const *values, bool *ret) MUST_CHECK;

/** Prints a result as a table with a heading; the last `hidden` columns are left out. */
void sql_print(const PGresult *res, int hidden);

#endif
