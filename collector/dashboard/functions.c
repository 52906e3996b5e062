#include "collector/dashboard/functions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/text.h"

#define BIT(name) (1u << PARAMETER_##name)
#define PERIOD (BIT(FROM) | BIT(TO))
#define FILTERED (PERIOD | BIT(FILTER))

static const struct function functions[] = {
	{"ack_organizations", FILTERED | BIT(N), PERIOD},
	{"ack_packets", FILTERED | BIT(STEP), PERIOD},
	{"activity_calendar", FILTERED | BIT(MIN_HOSTS), PERIOD},
	{"catalog", 0, 0},
	{"common_services", FILTERED | BIT(N), PERIOD},
	{"coverage", FILTERED | BIT(STEP), PERIOD},
	{"hosts_per_day", FILTERED, PERIOD},
	{"mirai_hosts", FILTERED | BIT(N), PERIOD},
	{"notification", FILTERED | BIT(N), PERIOD},
	{"notification_excluded", FILTERED, PERIOD},
	{"packets_per_sensor_day", FILTERED | BIT(STEP), PERIOD},
	{"payload_samples", FILTERED | BIT(N), PERIOD},
	{"publications", 0, 0},
	{"response_sources_called_spoofed", PERIOD, PERIOD},
	{"sensor_regions", 0, 0},
	{"sensors", 0, 0},
	{"service_trend", FILTERED | BIT(STEP) | BIT(N), PERIOD},
	{"source", PERIOD | BIT(SRC), PERIOD | BIT(SRC)},
	{"source_region_trend", FILTERED | BIT(N) | BIT(STEP), PERIOD},
	{"spoof_campaigns", FILTERED, PERIOD},
	{"spoof_verdict", FILTERED | BIT(N), PERIOD},
	{"top_networks", FILTERED | BIT(BY) | BIT(N) | BIT(RANK_BY), PERIOD},
	{"top_services", FILTERED | BIT(N) | BIT(RANK_BY), PERIOD},
	{"top_services_by_sensor", FILTERED | BIT(N), PERIOD},
	{"top_source_regions", FILTERED | BIT(N) | BIT(RANK_BY), PERIOD},
	{"ttl_by_region", FILTERED, PERIOD},
	{"verdict_changes", FILTERED | BIT(N), PERIOD},
	{"verdict_share", FILTERED | BIT(STEP), PERIOD},
	{"viewer", 0, 0},
};

/* How each argument is written; FROM stands for the whole period. */
static const struct {
	const char *before, *type; /* of the value: a parameter is cast to it */
} arguments[PARAMETERS_N] = {
	[PARAMETER_FROM] = {"period => daterange(", "date"},
	[PARAMETER_FILTER] = {"filter => ", "jsonb"},
	[PARAMETER_N] = {"n => ", "int"},
	[PARAMETER_RANK_BY] = {"rank_by => ", "text"},
	[PARAMETER_STEP] = {"step => ", "text"},
	[PARAMETER_BY] = {"by => ", "text"},
	[PARAMETER_MIN_HOSTS] = {"min_hosts => ", "int"},
	[PARAMETER_SRC] = {"src => ", "inet"},
};

const struct function *function_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	return NULL;
}

bool function_check(const struct function *f, const struct request *q, char *ret_why, size_t n)
{
	for (unsigned p = 0; p < PARAMETERS_N; p++) {
		bool takes = p == PARAMETER_FORMAT || (f->arguments & 1u << p) != 0;

		if (q->value[p] && !takes) {
			(void)snprintf(ret_why, n, "%s takes no parameter \"%s\"", f->name,
				parameter_names[p]);
			return false;
		}
		if (!q->value[p] && (f->required & 1u << p) != 0) {
			(void)snprintf(ret_why, n, "%s needs the parameter \"%s\"", f->name,
				parameter_names[p]);
			return false;
		}
	}
	return true;
}

/* One value of the call: $N, or a literal. */
struct values {
	struct buf *sql;
	const char **parameters; /* NULL: literals, by conn */
	PGconn *conn;
	int n;
};

static int add_value(struct values *v, const struct request *q, enum parameter p, const char *type)
{
	size_t digits = strspn(q->value[p], "0123456789");
	char *literal;
	int r;

	if (v->parameters) {
		v->parameters[v->n++] = q->value[p];
		return text_add(v->sql, "$%d::%s", v->n, type);
	}
	if (strcmp(type, "int") == 0 && digits > 0 && q->value[p][digits] == '\0')
		return text_add(v->sql, "%s", q->value[p]);
	literal = PQescapeLiteral(v->conn, q->value[p], strlen(q->value[p]));
	if (!literal)
		return -EINVAL;
	r = text_add(v->sql, "%s", literal);
	PQfreemem(literal);
	return r;
}

/* report.NAME(argument => value, ...) */
static int add_call(const struct function *f, const struct request *q, struct values *v)
{
	const char *comma = "";
	int r = text_add(v->sql, "report.%s(", f->name);

	for (unsigned p = 0; r == 0 && p < PARAMETERS_N; p++) {
		if (!q->value[p] || p == PARAMETER_TO || p == PARAMETER_FORMAT)
			continue;
		r = text_add(v->sql, "%s%s", comma, arguments[p].before);
		comma = ", ";
		if (r == 0)
			r = add_value(v, q, (enum parameter)p, arguments[p].type);
		if (r == 0 && p == PARAMETER_FROM) {
			r = text_add(v->sql, ", ");
			if (r == 0)
				r = add_value(v, q, PARAMETER_TO, "date");
			if (r == 0)
				r = text_add(v->sql, ", '[]')");
		}
	}
	return r < 0 ? r : text_add(v->sql, ")");
}

int function_statement(const struct function *f, const struct request *q, enum function_form form,
	struct buf *sql, const char **ret_parameters)
{
	struct values v = {.sql = sql, .parameters = ret_parameters};
	bool json = form == FUNCTION_JSON;
	int r = text_add(
		sql, json ? "SELECT row_to_json(r) FROM (SELECT * FROM " : "SELECT * FROM ");

	if (r == 0)
		r = add_call(f, q, &v);
	if (r == 0 && json)
		r = text_add(sql, ") AS r");
	return r < 0 ? r : v.n;
}

int function_columns(const struct function *f, struct buf *sql)
{
	return text_add(sql,
		"SELECT json_agg(json_build_object('name', a.name, 'type', format_type(a.type, "
		"NULL))"
		" ORDER BY a.i) FROM pg_proc p, unnest(p.proargnames, p.proallargtypes,"
		" p.proargmodes) WITH ORDINALITY a (name, type, mode, i)"
		" WHERE p.oid = 'report.%s'::regproc AND a.mode = 't'",
		f->name);
}

int function_shown(const struct function *f, const struct request *q, PGconn *conn, struct buf *sql)
{
	struct values v = {.sql = sql, .conn = conn};
	int r = text_add(sql, "SELECT * FROM ");

	if (r == 0)
		r = add_call(f, q, &v);
	return r < 0 ? r : text_add(sql, ";");
}
