/* sensor add, list, disable, renew. */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "collector/admin/address.h"
#include "collector/admin/bundle.h"
#include "collector/admin/sql.h"
#include "common/tlsctx.h"

/** Entries of one sensor: what its configuration may hold. */
#define ADDRESSES_MAX 4096

struct enrolment {
	const char *name, *region, *succeeds, *interface, *dir;
	bool allow_capture;
	struct address *addresses;
	size_t addresses_n;
};

static int usage(const char *command)
{
	return fail(EX_USAGE, "%s: arguments are wrong; try hirundo-admin --help", command);
}

static int check_name(const char *name)
{
	if (name && tls_sensor_name_valid(name, strlen(name)))
		return EX_OK;
	return fail(EX_USAGE,
		"name: must be 1 to 63 of a-z, 0-9 and -, and begin with a letter or digit");
}

/* What goes into sensor.conf as it is. */
static int check_bundle(const struct admin *a, const char *interface)
{
	if (interface && !bundle_interface_valid(interface))
		return fail(EX_USAGE, "--interface: not a name of an interface to capture on");
	if (!*a->conf.collector || strpbrk(a->conf.collector, "\"\\$\n"))
		return fail(
			EX_CONFIG, "option collector: has to name a host and port for a bundle");
	return EX_OK;
}

/* "{a,b}" of the public addresses or of the captured ones. Heap text, NULL out of memory. */
static char *make_array(const struct address *addresses, size_t n, bool captured)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *value = captured ? addresses[i].captured : addresses[i].public_;

		(void)fprintf(f, "%c%s", i == 0 ? '{' : ',', *value ? value : "NULL");
	}
	(void)fputs(n == 0 ? "{}" : "}", f);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Id of the sensor that is succeeded, as text ("" = none). */
static int find_predecessor(struct admin *a, const char *name, char ret[12])
{
	PGresult *res = NULL;
	int code;

	ret[0] = '\0';
	if (!name)
		return EX_OK;
	code = sql_query(a, "SELECT sensor_id FROM hirundo.sensor WHERE name = $1", 1, &name, &res);
	if (code != EX_OK)
		return code;
	if (PQntuples(res) == 1)
		(void)snprintf(ret, 12, "%s", PQgetvalue(res, 0, 0));
	else
		code = fail(EX_DATAERR, "--succeeds: no sensor \"%s\"", name);
	PQclear(res);
	return code;
}

/* Inside the caller's transaction. */
static int insert(struct admin *a, const struct enrolment *e, char ret_id[12])
{
	AUTO_FREE char *public_ = make_array(e->addresses, e->addresses_n, false);
	AUTO_FREE char *captured = make_array(e->addresses, e->addresses_n, true);
	char predecessor[12];
	const char *values[] = {
		e->name, e->region, NULL, e->allow_capture ? "true" : "false", TLS_SENSOR_URN};
	const char *issue[] = {ret_id, public_, captured};
	PGresult *res = NULL;
	bool found = false;
	int code;

	if (!public_ || !captured)
		return no_memory();
	code = find_predecessor(a, e->succeeds, predecessor);
	if (code != EX_OK)
		return code;
	values[2] = *predecessor ? predecessor : NULL;
	/* Numbers without a sequence: one enrolment at a time. */
	code = sql_run(a, "LOCK TABLE hirundo.sensor IN SHARE ROW EXCLUSIVE MODE", 0, NULL);
	if (code != EX_OK)
		return code;
	code = sql_ask(a,
		"SELECT EXISTS (SELECT FROM hirundo.sensor WHERE name = $1::text OR urn = $2::text "
		"|| $1::text)",
		2, (const char *[]){e->name, TLS_SENSOR_URN}, &found);
	if (code == EX_OK && found)
		code = fail(EX_DATAERR, "there is, or was, a sensor \"%s\"", e->name);
	/* The sensor would refuse its configuration. */
	if (code == EX_OK)
		code = sql_ask(a,
			"SELECT EXISTS (SELECT FROM unnest($1::cidr[], $2::cidr[]) WITH ORDINALITY"
			" AS a (address, captured, n) JOIN unnest($1::cidr[], $2::cidr[]) WITH "
			"ORDINALITY"
			" AS b (address, captured, n) ON a.n < b.n AND (a.address && b.address"
			" OR coalesce(a.captured, a.address) && coalesce(b.captured, b.address)))",
			2, (const char *[]){public_, captured}, &found);
	if (code == EX_OK && found)
		code = fail(EX_USAGE, "--address: entries overlap");
	if (code != EX_OK)
		return code;
	code = sql_query(a,
		"INSERT INTO hirundo.sensor"
		" (sensor_id, name, urn, region, public_label, succeeds, allow_capture)"
		" SELECT coalesce(max(sensor_id), 0) + 1, $1::text, $5::text || $1::text, $2::text,"
		" $2::text || '-' || count(*) FILTER (WHERE region = $2::text) + 1,"
		" $3::int, $4::boolean"
		" FROM hirundo.sensor RETURNING sensor_id",
		5, values, &res);
	if (code == EX_OK)
		(void)snprintf(ret_id, 12, "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
	if (code != EX_OK)
		return code;
	return sql_run(
		a, "SELECT hirundo.issue_targets($1::int, $2::cidr[], $3::cidr[])", 3, issue);
}

/* All or nothing: the bundle is in its place before the transaction commits, and goes where it does
 * not. */
static int enrol(struct admin *a, const struct enrolment *e)
{
	const struct bundle bundle = {
		.dir = e->dir,
		.urn_name = e->name,
		.interface = e->interface,
		.addresses = e->addresses,
		.addresses_n = e->addresses_n,
	};
	bool written = false;
	char id[12];
	int code = sql_connect(a, SQL_OWNER);

	if (code == EX_OK)
		code = sql_run(a, "BEGIN", 0, NULL);
	if (code == EX_OK)
		code = insert(a, e, id);
	if (code == EX_OK && e->dir) {
		code = bundle_write(a, &bundle);
		written = code == EX_OK;
	}
	if (code == EX_OK)
		code = sql_run(a, "COMMIT", 0, NULL);
	if (code == EX_OK) {
		(void)printf("sensor %s: %s%s%s\n", id, e->name, e->dir ? ", bundle in " : "",
			e->dir ? e->dir : "");
		return EX_OK;
	}
	if (written)
		bundle_remove(e->dir);
	return code;
}

static int parse_add(int argc, char **argv, struct enrolment *e)
{
	enum {
		REGION = 256,
		ADDRESS,
		CAPTURE,
		SUCCEEDS,
		INTERFACE,
		BUNDLE
	};
	static const struct option options[] = {
		{"region", required_argument, NULL, REGION},
		{"address", required_argument, NULL, ADDRESS},
		{"allow-capture", no_argument, NULL, CAPTURE},
		{"succeeds", required_argument, NULL, SUCCEEDS},
		{"interface", required_argument, NULL, INTERFACE},
		{"bundle", required_argument, NULL, BUNDLE},
		{0},
	};
	bool more_addresses = false; /* words after --address ADDRESS are addresses, too */
	int c;

	/* "-": words that are no options come in their place, as option 1. */
	while ((c = getopt_long(argc, argv, "-", options, NULL)) != -1) {
		const char *wrong;

		if (c == ADDRESS || (c == 1 && more_addresses)) {
			if (e->addresses_n == ADDRESSES_MAX)
				return fail(EX_USAGE, "--address: %d at most", ADDRESSES_MAX);
			wrong = address_parse(optarg, &e->addresses[e->addresses_n]);
			if (wrong)
				return fail(EX_USAGE, "--address, entry %zu: %s",
					e->addresses_n + 1, wrong);
			e->addresses_n++;
			more_addresses = true;
			continue;
		}
		more_addresses = false;
		switch (c) {
		case 1:
			if (e->name)
				return usage("sensor add");
			e->name = optarg;
			break;
		case REGION: e->region = optarg; break;
		case CAPTURE: e->allow_capture = true; break;
		case SUCCEEDS: e->succeeds = optarg; break;
		case INTERFACE: e->interface = optarg; break;
		case BUNDLE: e->dir = optarg; break;
		default: return EX_USAGE;
		}
	}
	return optind < argc ? usage("sensor add") : EX_OK;
}

static int check_enrolment(const struct admin *a, const struct enrolment *e)
{
	int code;

	if (!e->name || !e->region)
		return usage("sensor add");
	code = check_name(e->name);
	if (code != EX_OK)
		return code;
	if (!region_valid(e->region))
		return fail(EX_USAGE, "--region: must be two capital letters (ISO 3166-1)");
	if (e->addresses_n == 0)
		return fail(EX_USAGE, "--address: a sensor has to listen somewhere");
	if (e->interface && !e->dir)
		return fail(EX_USAGE, "--interface: goes into a bundle only");
	return e->dir ? check_bundle(a, e->interface) : EX_OK;
}

int command_sensor_add(struct admin *a, int argc, char **argv)
{
	AUTO_FREE struct address *addresses = calloc(ADDRESSES_MAX, sizeof(*addresses));
	struct enrolment e = {.addresses = addresses};
	int code;

	if (!addresses)
		return no_memory();
	code = parse_add(argc, argv, &e);
	if (code == EX_OK)
		code = check_enrolment(a, &e);
	return code == EX_OK ? enrol(a, &e) : code;
}

int command_sensor_list(struct admin *a, int argc, char **argv)
{
	static const struct option options[] = {{"addresses", no_argument, NULL, 'a'}, {0}};
	bool addresses = false;
	PGresult *res = NULL;
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'a')
			return EX_USAGE;
		addresses = true;
	}
	if (optind < argc)
		return usage("sensor list");
	code = sql_connect(a, addresses ? SQL_OWNER : SQL_READER);
	if (code != EX_OK)
		return code;
	if (addresses)
		code = sql_query(a,
			"SELECT s.sensor_id AS id, s.name, a.address, coalesce(a.captured::text, "
			"'')"
			" AS captured, a.first_target, a.targets, CASE WHEN a.valid_to IS NULL "
			"THEN 'now'"
			" ELSE 'until ' || to_char(a.valid_to AT TIME ZONE 'UTC', 'YYYY-MM-DD "
			"HH24:MI')"
			" END AS announced"
			" FROM hirundo.sensor s JOIN hirundo.sensor_address a USING (sensor_id)"
			" ORDER BY s.sensor_id, a.first_target, a.address",
			0, NULL, &res);
	else
		code = sql_query(a,
			"SELECT s.sensor_id AS id, s.name, s.region, s.public_label,"
			" coalesce(p.name, '') AS succeeds,"
			" CASE WHEN s.allow_capture THEN 'yes' ELSE 'no' END AS captures,"
			" CASE WHEN s.disabled_at IS NULL THEN 'enabled' ELSE 'disabled' END AS "
			"state,"
			" coalesce(to_char((SELECT max(i.updated_at) FROM hirundo.ingest_state i"
			" WHERE i.sensor_id = s.sensor_id AND i.last_seq > 0) AT TIME ZONE 'UTC',"
			" 'YYYY-MM-DD HH24:MI:SS'), 'never') AS last_record"
			" FROM hirundo.sensor s LEFT JOIN hirundo.sensor p ON p.sensor_id = "
			"s.succeeds"
			" ORDER BY s.sensor_id",
			0, NULL, &res);
	if (code == EX_OK)
		sql_print(res, 0);
	PQclear(res);
	return code;
}

int command_sensor_disable(struct admin *a, int argc, char **argv)
{
	PGresult *res = NULL;
	const char *name;
	int code;

	if (argc != 2)
		return usage("sensor disable");
	name = argv[1];
	code = sql_connect(a, SQL_OWNER);
	if (code == EX_OK)
		code = sql_query(a,
			"WITH disabled AS (UPDATE hirundo.sensor SET disabled_at = now()"
			" WHERE name = $1 AND disabled_at IS NULL RETURNING sensor_id),"
			" silent AS (UPDATE hirundo.sensor_address SET valid_to = now()"
			" WHERE sensor_id = (SELECT sensor_id FROM disabled) AND valid_to IS NULL)"
			" SELECT EXISTS (SELECT FROM disabled) FROM hirundo.sensor WHERE name = $1",
			1, &name, &res);
	if (code != EX_OK)
		return code;
	if (PQntuples(res) == 0)
		code = fail(EX_DATAERR, "no sensor \"%s\"", name);
	else
		(void)printf("sensor %s: %s\n", name,
			strcmp(PQgetvalue(res, 0, 0), "t") == 0 ? "disabled"
								: "was disabled already");
	PQclear(res);
	return code;
}

/* What a bundle is made of, from the database. *ret_addresses: heap, the caller's */
static int load_enrolled(struct admin *a, struct bundle *b, const char *name,
	char ret_urn_name[TLS_NAME_MAX + 1], struct address **ret_addresses)
{
	AUTO_FREE struct address *addresses = NULL;
	PGresult *res = NULL;
	const char *values[] = {name, TLS_SENSOR_URN};
	size_t n;
	int code = sql_query(a,
		"SELECT substr(s.urn, length($2::text) + 1), s.disabled_at IS NOT NULL, "
		"a.address::text,"
		" a.captured::text FROM hirundo.sensor s LEFT JOIN hirundo.sensor_address a"
		" ON a.sensor_id = s.sensor_id AND a.valid_to IS NULL"
		" WHERE s.name = $1 ORDER BY a.first_target, a.address",
		2, values, &res);

	if (code != EX_OK)
		return code;
	n = (size_t)PQntuples(res);
	if (n == 0)
		code = fail(EX_DATAERR, "no sensor \"%s\"", name);
	else if (strcmp(PQgetvalue(res, 0, 1), "t") == 0)
		code = fail(EX_DATAERR, "sensor \"%s\" is disabled", name);
	else if (PQgetisnull(res, 0, 2))
		code = fail(EX_DATAERR, "sensor \"%s\" has announced no address", name);
	addresses = code == EX_OK ? calloc(n, sizeof(*addresses)) : NULL;
	if (code == EX_OK && !addresses)
		code = no_memory();
	for (size_t i = 0; code == EX_OK && i < n; i++) {
		(void)snprintf(
			addresses[i].public_, CIDR_TEXT_MAX, "%s", PQgetvalue(res, (int)i, 2));
		(void)snprintf(
			addresses[i].captured, CIDR_TEXT_MAX, "%s", PQgetvalue(res, (int)i, 3));
	}
	if (code == EX_OK) {
		(void)snprintf(ret_urn_name, TLS_NAME_MAX + 1, "%s", PQgetvalue(res, 0, 0));
		b->urn_name = ret_urn_name;
		b->addresses = *ret_addresses = addresses;
		b->addresses_n = n;
		addresses = NULL;
	}
	PQclear(res);
	return code;
}

int command_sensor_renew(struct admin *a, int argc, char **argv)
{
	static const struct option options[] = {
		{"bundle", required_argument, NULL, 'b'},
		{"interface", required_argument, NULL, 'i'},
		{0},
	};
	AUTO_FREE struct address *addresses = NULL;
	char urn_name[TLS_NAME_MAX + 1];
	struct bundle b = {0};
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'b': b.dir = optarg; break;
		case 'i': b.interface = optarg; break;
		default: return EX_USAGE;
		}
	}
	if (argc - optind != 1 || !b.dir)
		return usage("sensor renew");
	code = check_bundle(a, b.interface);
	if (code == EX_OK)
		code = sql_connect(a, SQL_OWNER);
	if (code == EX_OK)
		code = load_enrolled(a, &b, argv[optind], urn_name, &addresses);
	if (code == EX_OK)
		code = bundle_write(a, &b);
	if (code == EX_OK)
		(void)printf("%s: bundle in %s\n", b.urn_name, b.dir);
	return code;
}
