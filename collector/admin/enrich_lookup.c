/* enrich lookup: all that address data says of an address, and which of them. */
#include <arpa/inet.h>
#include <string.h>
#include <sysexits.h>

#include "collector/admin/admin.h"
#include "collector/admin/sql.h"
#include "collector/enrich/kinds.h"
#include "common/bogon.h"

static const char answer_sql[] =
	"SELECT i.region, i.asn, i.holder, i.dataset_id, hirundo.address_kind(), o.name, o.contact,"
	" (SELECT string_agg(concat(s.organization, ' (' || s.source || ')',"
	" ' from ' || s.valid_from, ' to ' || s.valid_to),"
	" '; ' ORDER BY s.entry) FROM hirundo.scanner s WHERE s.network >>= $1::inet),"
	" (SELECT string_agg(DISTINCT g.name, '; ' ORDER BY g.name) FROM hirundo.network_group g"
	" WHERE g.network >>= $1::inet)"
	" FROM hirundo.address_info($1) i CROSS JOIN hirundo.organization_of($1) w"
	" LEFT JOIN hirundo.organization o USING (organization_id)";

/* What each import says; of lists, the name stands in place of the holder. */
static const char sources_sql[] =
	"SELECT d.dataset_id AS \"data set\", d.kind, d.name, d.source_date AS date, r.first, "
	"r.last,"
	" coalesce(r.region, '') AS region, coalesce(r.asn::text, '') AS asn,"
	" coalesce(r.holder, '') AS holder"
	" FROM hirundo.enrichment_dataset d CROSS JOIN LATERAL ("
	"SELECT host(x.lo) AS first, host(x.hi) AS last, x.region, x.asn, x.holder FROM ("
	"SELECT * FROM hirundo.enrichment_range e WHERE e.kind = d.kind AND e.lo <= $1"
	" ORDER BY e.lo DESC LIMIT 1) x WHERE x.hi >= $1"
	" UNION ALL SELECT host(x.lo), host(x.hi), NULL, NULL, o.name FROM ("
	"SELECT * FROM hirundo.organization_range e WHERE d.kind = 'organizations' AND e.lo <= $1"
	" ORDER BY e.lo DESC LIMIT 1) x JOIN hirundo.organization o USING (organization_id)"
	" WHERE x.hi >= $1"
	" UNION ALL SELECT host(s.network), host(broadcast(s.network)), NULL, NULL, s.organization"
	" FROM hirundo.scanner s WHERE d.kind = 'scanners' AND s.network >>= $1::inet"
	" UNION ALL SELECT host(g.network), host(broadcast(g.network)), NULL, NULL, g.name"
	" FROM hirundo.network_group g WHERE d.kind = 'groups' AND g.network >>= $1::inet) r"
	" WHERE d.replaced_at IS NULL ORDER BY d.dataset_id, r.first, r.holder";

static void print_field(const char *name, const PGresult *res, int column, const char *none)
{
	if (!PQgetisnull(res, 0, column))
		none = PQgetvalue(res, 0, column);
	if (none)
		(void)printf("%-14s%s\n", name, none);
}

static int look_up(struct admin *a, const char *ip, bool is_bogon)
{
	PGresult *res = NULL, *sources = NULL;
	int code = sql_query(a, answer_sql, 1, &ip, &res);

	if (code == EX_OK)
		code = sql_query(a, sources_sql, 1, &ip, &sources);
	if (code == EX_OK) {
		bool registries = strcmp(PQgetvalue(res, 0, 4), kind_name(KIND_RIR)) == 0;

		(void)printf("address       %s%s\n", ip,
			is_bogon ? "  bogon: special-purpose, multicast or reserved" : "");
		print_field("region", res, 0, registries ? "not allocated" : "not known");
		print_field("asn", res, 1, "not known");
		print_field("holder", res, 2, "not known");
		print_field("organization", res, 5, "not known");
		print_field("contact", res, 6, "not known");
		print_field("scanner", res, 7, "no");
		print_field("groups", res, 8, NULL);
		print_field("data set", res, 3, "none imported");
		if (PQntuples(sources) > 0) {
			(void)putchar('\n');
			sql_print(sources, 0);
		}
	}
	PQclear(res);
	PQclear(sources);
	return code;
}

int command_enrich_lookup(struct admin *a, int argc, char **argv)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t address[16];
	int family, code;

	if (argc != 2)
		return fail(EX_USAGE, "enrich lookup: one address is needed");
	family = inet_pton(AF_INET, argv[1], address) == 1    ? AF_INET
		 : inet_pton(AF_INET6, argv[1], address) == 1 ? AF_INET6
							      : 0;
	if (family == 0)
		return fail(EX_USAGE, "enrich lookup: \"%s\" is no address", argv[1]);
	(void)inet_ntop(family, address, text, sizeof(text));
	code = sql_connect(a, SQL_READER);
	if (code == EX_OK) /* one snapshot */
		code = sql_run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL);
	return code == EX_OK ? look_up(a, text, bogon(family == AF_INET ? 4 : 6, address)) : code;
}
