/* enrich import of organizations, scanners and groups: the lists' own tables. */
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>

#include "collector/admin/enrich_lists.h"
#include "collector/admin/sql.h"
#include "collector/enrich/lists.h"
#include "common/buf.h"

/** Sent at once, bytes. */
#define CHUNK (256u * 1024u)
/** A row at most: two addresses, texts with each byte escaped, "\N" for what is empty, separators.
 */
#define ROW_MAX (2u * 46u + 2u * NAMES_TEXT_MAX + 4u * LISTS_TEXTS_MAX)

static const struct {
	const char *table;
	const char *staged; /* columns behind lo and hi, those of the holder */
	const char *replace[3]; /* $1: the data set */
} lists[] = {
	[KIND_ORGANIZATIONS - KINDS_N] = {"hirundo.organization_range", "name text, contact text",
		{"INSERT INTO hirundo.organization (organization_id, name, contact, dataset_id)"
		 " SELECT (SELECT coalesce(max(organization_id), 0) FROM hirundo.organization)"
		 " + row_number() OVER (ORDER BY n.name, n.contact), n.name, n.contact, $1::int"
		 " FROM (SELECT DISTINCT name, contact FROM pg_temp.staged) n"
		 " WHERE NOT EXISTS (SELECT FROM hirundo.organization o"
		 " WHERE o.name = n.name AND o.contact IS NOT DISTINCT FROM n.contact)",
			"INSERT INTO hirundo.organization_range (lo, hi, organization_id)"
			" SELECT s.lo, s.hi, o.organization_id FROM pg_temp.staged s"
			" JOIN hirundo.organization o ON o.name = s.name"
			" AND o.contact IS NOT DISTINCT FROM s.contact ORDER BY s.lo"}},
	[KIND_SCANNERS - KINDS_N] = {"hirundo.scanner",
		"organization text, source text, valid_from date, valid_to date",
		{"INSERT INTO hirundo.scanner"
		 " (entry, network, organization, source, valid_from, valid_to)"
		 " SELECT row_number() OVER (ORDER BY s.lo, s.hi, s.organization, s.valid_from),"
		 " inet_merge(s.lo, s.hi), s.organization, s.source, s.valid_from, s.valid_to"
		 " FROM pg_temp.staged s"}},
	[KIND_GROUPS - KINDS_N] = {"hirundo.network_group", "name text",
		{"INSERT INTO hirundo.network_group (name, network)"
		 " SELECT DISTINCT s.name, inet_merge(s.lo, s.hi) FROM pg_temp.staged s"}},
};

const char *enrich_lists_table(enum kind kind)
{
	return lists[kind - KINDS_N].table;
}

static size_t put_address(char *p, uint8_t family, struct address128 a)
{
	uint32_t v = (uint32_t)a.lo;

	if (family == 4)
		return (size_t)snprintf(
			p, 46, "%u.%u.%u.%u", v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255);
	return (size_t)snprintf(p, 46, "%x:%x:%x:%x:%x:%x:%x:%x", (unsigned)(a.hi >> 48),
		(unsigned)(a.hi >> 32 & 0xffff), (unsigned)(a.hi >> 16 & 0xffff),
		(unsigned)(a.hi & 0xffff), (unsigned)(a.lo >> 48), (unsigned)(a.lo >> 32 & 0xffff),
		(unsigned)(a.lo >> 16 & 0xffff), (unsigned)(a.lo & 0xffff));
}

/* As COPY's text format has it: a backslash is escaped, what is empty is NULL. */
static size_t put_texts(char *p, const char *texts)
{
	const char *from = p;
	bool empty = true;

	for (;; texts++) {
		if (*texts == '\t' || *texts == '\0') {
			if (empty) {
				*p++ = '\\';
				*p++ = 'N';
			}
			if (*texts == '\0')
				break;
			*p++ = '\t';
			empty = true;
			continue;
		}
		if (*texts == '\\')
			*p++ = '\\';
		*p++ = *texts;
		empty = false;
	}
	return (size_t)(p - from);
}

static size_t put_row(char *p, const struct range *r, const struct names *names)
{
	size_t n = put_address(p, r->family, r->lo);

	p[n++] = '\t';
	n += put_address(p + n, r->family, r->hi);
	p[n++] = '\t';
	n += put_texts(p + n, names_text(names, r->holder));
	p[n++] = '\n';
	return n;
}

/* @return exit code, told */
static int copy_ended(struct admin *a, bool ok)
{
	PGresult *res;
	const char *text;
	int code = EX_OK;

	ok = PQputCopyEnd(a->conn, ok ? NULL : "stopped") == 1 && ok;
	res = PQgetResult(a->conn);
	if (!ok || PQresultStatus(res) != PGRES_COMMAND_OK) {
		text = PQerrorMessage(a->conn);
		code = fail(EX_UNAVAILABLE, "%.*s", (int)strcspn(text, "\n"), text);
	}
	PQclear(res);
	PQclear(PQgetResult(a->conn));
	return code;
}

static int copy(struct admin *a, const struct ranges *ranges, const struct names *names)
{
	PGresult *res = PQexec(a->conn, "COPY pg_temp.staged FROM STDIN");
	bool ok = PQresultStatus(res) == PGRES_COPY_IN;
	const char *text = PQerrorMessage(a->conn);
	struct buf b;

	PQclear(res);
	if (!ok)
		return fail(EX_UNAVAILABLE, "%.*s", (int)strcspn(text, "\n"), text);
	buf_init(&b, CHUNK + ROW_MAX);
	if (buf_reserve(&b, CHUNK + ROW_MAX) < 0) {
		(void)PQputCopyEnd(a->conn, "out of memory");
		return no_memory();
	}
	for (size_t i = 0; ok && i <= ranges->n; i++) {
		if (buf_len(&b) >= CHUNK || i == ranges->n) {
			ok = PQputCopyData(a->conn, (const char *)buf_head(&b), (int)buf_len(&b)) ==
			     1;
			buf_clear(&b);
		}
		if (i < ranges->n)
			buf_added(&b, put_row((char *)buf_tail(&b), &ranges->at[i], names));
	}
	buf_done(&b);
	return copy_ended(a, ok);
}

/* DELETE, not TRUNCATE: snapshots that are older still have to see the old list. */
int enrich_lists_write(struct admin *a, const struct import *i)
{
	const char *dataset = i->dataset;
	char sql[192];
	int code = sql_run(a, "SET LOCAL client_encoding = 'UTF8'", 0, NULL);

	(void)snprintf(sql, sizeof(sql),
		"CREATE TEMP TABLE staged (lo inet, hi inet, %s) ON COMMIT DROP",
		lists[i->kind - KINDS_N].staged);
	if (code == EX_OK)
		code = sql_run(a, sql, 0, NULL);
	if (code == EX_OK)
		code = copy(a, &i->read.ranges, &i->names);
	(void)snprintf(sql, sizeof(sql), "DELETE FROM %s", enrich_lists_table(i->kind));
	if (code == EX_OK)
		code = sql_run(a, sql, 0, NULL);
	for (size_t k = 0; code == EX_OK && k < 3 && lists[i->kind - KINDS_N].replace[k]; k++) {
		const char *statement = lists[i->kind - KINDS_N].replace[k];

		code = sql_run(a, statement, strstr(statement, "$1") ? 1 : 0, &dataset);
	}
	return code;
}

void enrich_lists_report(const struct import *i)
{
	(void)printf("data set %s: %" PRIu32 " %s of kind %s", i->dataset, i->read.read,
		i->kind == KIND_ORGANIZATIONS ? "ranges" : "prefixes", kind_name(i->kind));
	if (i->kind == KIND_ORGANIZATIONS)
		(void)printf(", %zu of them side by side", i->read.ranges.n);
	(void)putchar('\n');
}
