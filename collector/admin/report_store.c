/* The store of publications: what was computed, what was kept. */
#include <string.h>
#include <sysexits.h>

#include "collector/admin/report.h"
#include "collector/admin/sql.h"

int report_store_newest(struct admin *a, const char *name, char ret_edition[REPORT_EDITION_SIZE])
{
	PGresult *res = NULL;
	int code = sql_query(
		a, "SELECT max(edition) FROM hirundo.publication WHERE name = $1", 1, &name, &res);

	if (code == EX_OK)
		(void)snprintf(ret_edition, REPORT_EDITION_SIZE, "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
	return code;
}

int report_store_open(struct admin *a, const char *name, const char *period, bool single_regions,
	char ret_edition[REPORT_EDITION_SIZE])
{
	const char *values[] = {name, period, single_regions ? "true" : "false", HIRUNDO_VERSION};
	PGresult *res = NULL;
	int code = sql_run(a, "SELECT hirundo.check_publishable($1::daterange)", 1, &period);

	if (code == EX_OK)
		code = sql_query(a, "SELECT hirundo.publish($1, $2::daterange, $3::boolean, $4)", 4,
			values, &res);
	if (code == EX_OK)
		(void)snprintf(ret_edition, REPORT_EDITION_SIZE, "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
	return code;
}

static void make_title(const char *name, char *ret, size_t n)
{
	static const char *const months[] = {
		"January to March", "April to June", "July to September", "October to December"};

	/* The table's CHECK: a year, Q, 1 to 4. */
	(void)snprintf(ret, n, "%s %.4s", months[(name[5] - '1') & 3], name);
}

int report_store_publication(
	struct admin *a, const char *name, const char *edition, struct report_publication *ret)
{
	const char *values[] = {name, edition};
	PGresult *res = NULL;
	int code = sql_query(a,
		"SELECT name, edition, arguments->>'home', arguments->>'zone', lower(period),"
		" upper(period) - 1,"
		/* Outside, hours tell enough. */
		" to_char(as_of AT TIME ZONE (arguments->>'zone'), 'YYYY-MM-DD HH24:00'),"
		" to_char(published_at AT TIME ZONE (arguments->>'zone'), 'YYYY-MM-DD'),"
		" verdicts->>'judged', verdicts->>'final', verdicts->>'days',"
		" arguments->>'home_name'"
		" FROM hirundo.publication WHERE name = $1 AND edition = $2::int",
		2, values, &res);

	if (code != EX_OK)
		return code;
	*ret = (struct report_publication){
		.result = res,
		.name = PQgetvalue(res, 0, 0),
		.edition = PQgetvalue(res, 0, 1),
		.home = PQgetvalue(res, 0, 2),
		.zone = PQgetvalue(res, 0, 3),
		.first_day = PQgetvalue(res, 0, 4),
		.last_day = PQgetvalue(res, 0, 5),
		.as_of = PQgetvalue(res, 0, 6),
		.published_at = PQgetvalue(res, 0, 7),
		.judged = PQgetvalue(res, 0, 8),
		.final = PQgetvalue(res, 0, 9),
		.days = PQgetvalue(res, 0, 10),
		.home_name = PQgetvalue(res, 0, 11),
	};
	make_title(ret->name, ret->title, sizeof(ret->title));
	return EX_OK;
}

/* The columns of a section out of json. */
static int expand(struct admin *a, const struct report_section *s, const char *json, PGresult **ret)
{
	AUTO_FREE char *sql = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&sql, &size);

	if (!f)
		return no_memory();
	(void)fputs("SELECT ", f);
	for (const struct report_column *c = s->columns; c->name; c++)
		(void)fprintf(f, "%se->>'%s' AS %s", c == s->columns ? "" : ", ", c->name, c->name);
	(void)fputs(", e->>'dataset' AS dataset"
		    " FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS r (e, n) ORDER BY n",
		f);
	if (fclose(f) != 0)
		return no_memory();
	return sql_query(a, sql, 1, &json, ret);
}

/* The answer has the rows, if any, in its first column. */
static int take(struct admin *a, const struct report_section *s, const PGresult *res,
	struct report_result *ret)
{
	*ret = (struct report_result){0};
	if (PQntuples(res) == 0)
		return EX_OK;
	ret->json = strdup(PQgetvalue(res, 0, 0));
	return ret->json ? expand(a, s, ret->json, &ret->rows) : no_memory();
}

int report_store_compute(struct admin *a, const char *name, const char *edition,
	const struct report_section *s, struct report_result *ret)
{
	const char *values[] = {name, edition};
	AUTO_FREE char *sql = NULL;
	PGresult *res = NULL;
	int code;

	if (asprintf(&sql,
		    "WITH argument AS MATERIALIZED ("
		    "SELECT period, arguments->>'home' AS home, arguments->>'zone' AS zone,"
		    " arguments->'labels' AS labels, (arguments->>'single_regions')::boolean AS"
		    " single_regions, dataset_ids FROM hirundo.publication"
		    " WHERE name = $1 AND edition = $2::int)"
		    " SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM (%s) r",
		    s->sql) < 0) {
		sql = NULL;
		return no_memory();
	}
	code = sql_query(a, sql, 2, values, &res);
	if (code == EX_OK)
		code = take(a, s, res, ret);
	PQclear(res);
	return code;
}

int report_store_freeze(struct admin *a, const char *name, const char *edition,
	const struct report_section *s, const struct report_result *r)
{
	const char *values[] = {name, edition, s->name, s->sql, r->json};

	return sql_run(a,
		"INSERT INTO hirundo.publication_result (name, edition, section, call, rows)"
		" VALUES ($1, $2::int, $3, $4, $5::jsonb)",
		5, values);
}

int report_store_load(struct admin *a, const char *name, const char *edition,
	const struct report_section *s, struct report_result *ret)
{
	const char *values[] = {name, edition, s->name};
	PGresult *res = NULL;
	int code = sql_query(a,
		"SELECT rows FROM hirundo.publication_result"
		" WHERE name = $1 AND edition = $2::int AND section = $3",
		3, values, &res);

	if (code == EX_OK)
		code = take(a, s, res, ret);
	PQclear(res);
	return code;
}

void report_result_done(struct report_result *r)
{
	PQclear(r->rows);
	free(r->json);
	*r = (struct report_result){0};
}
