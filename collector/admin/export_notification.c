/* export notification: rows as CSV, or as reports of XARF, one a line. PostgreSQL makes both. */
#include <string.h>
#include <sysexits.h>

#include "collector/admin/export_job.h"

static void put(struct export *x, const char *text)
{
	export_file_write(&x->file, text, strlen(text));
}

static int written(const struct export *x)
{
	return x->file.error == 0 ? EX_OK
				  : fail(EX_IOERR, "%s: %s", x->output, strerror(-x->file.error));
}

/* RFC 4180. A spreadsheet takes what begins with one of these for a formula: it gets a quote in
 * front. */
static void put_cell(struct export *x, const char *text)
{
	bool formula = *text && strchr("=+-@\t\r", *text);

	if (!formula && !strpbrk(text, ",\"\r\n")) {
		put(x, text);
		return;
	}
	put(x, formula ? "\"'" : "\"");
	for (const char *p = text; *p; p++) {
		if (*p == '"')
			put(x, "\"");
		export_file_write(&x->file, p, 1);
	}
	put(x, "\"");
}

/* Columns that are not for the file stand behind the others: reason, sources, packets. */
static bool counted(struct export *x, const PGresult *row, int columns)
{
	return export_count(x, PQgetvalue(row, 0, columns),
		strtoll(PQgetvalue(row, 0, columns + 1), NULL, 10),
		strtoll(PQgetvalue(row, 0, columns + 2), NULL, 10));
}

static void put_header(struct export *x, const PGresult *res, int columns)
{
	for (int i = 0; i < columns; i++) {
		put(x, i > 0 ? "," : "");
		put_cell(x, PQfname(res, i));
	}
	put(x, "\r\n");
}

static int write_csv_row(void *arg, const PGresult *row)
{
	struct export *x = arg;
	int columns = PQnfields(row) - 3;

	if (!counted(x, row, columns))
		return EX_OK;
	for (int i = 0; i < columns; i++) {
		put(x, i > 0 ? "," : "");
		put_cell(x, PQgetvalue(row, 0, i));
	}
	put(x, "\r\n");
	return written(x);
}

int export_write_csv(struct admin *a, struct export *x)
{
	const char *values[] = {x->period, x->filter, x->recipient, a->conf.export_organization};
	static const char sql[] =
		"SELECT * FROM hirundo.export_csv($1::daterange, $2::jsonb, $3, $4)";
	PGresult *res = PQprepare(a->conn, "export_csv", sql, ARRAY_SIZE(values), NULL);

	/* The header is there without a row, too. */
	PQclear(res);
	res = PQdescribePrepared(a->conn, "export_csv");
	if (PQresultStatus(res) != PGRES_COMMAND_OK) {
		PQclear(res);
		return fail(EX_SOFTWARE, "%s", PQerrorMessage(a->conn));
	}
	put_header(x, res, PQnfields(res) - 3);
	PQclear(res);
	return sql_stream(a, sql, ARRAY_SIZE(values), values, write_csv_row, x);
}

static int write_report(void *arg, const PGresult *row)
{
	struct export *x = arg;

	if (!counted(x, row, 1))
		return EX_OK;
	put(x, PQgetvalue(row, 0, 0));
	put(x, "\n");
	return written(x);
}

int export_check_xarf(const struct admin *a)
{
	const char *contact = a->conf.export_contact, *at = contact ? strchr(contact, '@') : NULL;

	if (!a->conf.export_organization)
		return fail(
			EX_CONFIG, "option export_organization: has to say who reports, for XARF");
	if (!at || at == contact || !at[1] || strpbrk(contact, " \t\n,;"))
		return fail(EX_CONFIG,
			"option export_contact: has to be the reporter's e-mail address, for XARF");
	return EX_OK;
}

int export_write_xarf(struct admin *a, struct export *x)
{
	const char *values[] = {x->period, x->filter, x->recipient, a->conf.export_organization,
		a->conf.export_contact, x->tlp};

	return sql_stream(a,
		"SELECT * FROM hirundo.export_xarf($1::daterange, $2::jsonb, $3, $4, $5, $6)",
		ARRAY_SIZE(values), values, write_report, x);
}
