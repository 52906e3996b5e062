#include "collector/enrich/load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "collector/enrich/enrich.h"
#include "common/buf.h"

/* PostgreSQL documentation, COPY, "Binary Format": signature, flags, length of an extension. */
static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
#define HEADER_SIZE 19u
#define COLUMNS 5u
#define END_OF_ROWS 0xffffu
/* inet's wire format (src/include/utils/inet.h): AF_INET, AF_INET + 1. */
#define PGSQL_AF_INET 2
#define PGSQL_AF_INET6 3
/** How often a stop is looked for, ms. */
#define STOP_MS 200
/** Sent at once, bytes. */
#define CHUNK (256u * 1024u)

/* Reading. */

/* A column's bytes; ret->p is NULL where it is NULL. */
static bool take_column(struct bytes *b, struct bytes *ret)
{
	uint32_t n;

	if (!bytes_u32(b, &n))
		return false;
	*ret = (struct bytes){NULL, 0};
	return n == UINT32_MAX || (bytes_take(b, n, &ret->p) && (ret->n = n, true));
}

static bool take_inet(struct bytes *b, uint8_t *ret_family, struct address128 *ret)
{
	struct bytes v;
	uint8_t family;

	if (!take_column(b, &v) || !v.p || v.n < 4)
		return false;
	family = v.p[0] == PGSQL_AF_INET ? 4 : 6;
	if (v.n != (family == 4 ? 8u : 20u) || v.p[1] != (family == 4 ? 32 : 128) ||
		(family == 6 && v.p[0] != PGSQL_AF_INET6))
		return false;
	*ret_family = family;
	*ret = address128_load(family, v.p + 4);
	return true;
}

static int take_row(struct bytes *b, struct names *names, struct range *r)
{
	struct bytes asn, region, holder;
	uint8_t family;

	if (!take_inet(b, &r->family, &r->lo) || !take_inet(b, &family, &r->hi) ||
		family != r->family || address128_compare(r->lo, r->hi) > 0 ||
		!take_column(b, &asn) || !take_column(b, &region) || !take_column(b, &holder))
		return LOAD_FAILED;
	if (asn.p) {
		if (asn.n != 8 || load_be64(asn.p) > UINT32_MAX)
			return LOAD_FAILED;
		r->has_asn = true;
		r->asn = (uint32_t)load_be64(asn.p);
	}
	if (region.p) {
		if (region.n != 2)
			return LOAD_FAILED;
		memcpy(r->region, region.p, 2);
	}
	if (!holder.p)
		return 0;
	if (holder.n == 0 || holder.n > NAMES_HOLDER_MAX || memchr(holder.p, '\0', holder.n))
		return LOAD_FAILED;
	return names_add(names, (const char *)holder.p, holder.n, &r->holder);
}

int load_rows(struct bytes data, bool first, struct names *names, struct ranges *out)
{
	const uint8_t *p;
	uint16_t columns;
	int e = 0;

	if (first && (!bytes_take(&data, HEADER_SIZE, &p) || memcmp(p, header, HEADER_SIZE) != 0))
		return LOAD_FAILED;
	while (e == 0 && data.n > 0) {
		struct range r = {.line = 0};

		if (!bytes_u16(&data, &columns))
			return LOAD_FAILED;
		if (columns == END_OF_ROWS)
			return data.n == 0 ? 0 : LOAD_FAILED;
		e = columns == COLUMNS ? take_row(&data, names, &r) : LOAD_FAILED;
		if (e == 0)
			e = ranges_add(out, &r);
	}
	return e;
}

static int failed(PGconn *conn, char reason[LOAD_REASON_MAX])
{
	const char *text = PQerrorMessage(conn);

	(void)snprintf(reason, LOAD_REASON_MAX, "%.*s", (int)strcspn(text, "\n"), text);
	return LOAD_FAILED;
}

/* One message of the COPY. @return its size, -1 at the end, -2 on failure */
static int next_message(PGconn *conn, const atomic_bool *stop, char **ret)
{
	int n = PQgetCopyData(conn, ret, 1);

	while (n == 0) {
		struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};

		if (stop && atomic_load(stop))
			return -2;
		if (poll(&fd, 1, STOP_MS) > 0 && !PQconsumeInput(conn))
			return -2;
		n = PQgetCopyData(conn, ret, 1);
	}
	return n;
}

int load_ranges(PGconn *conn, const char *sql, const atomic_bool *stop, struct names *names,
	struct ranges *out, char reason[LOAD_REASON_MAX])
{
	PGresult *res = PQexec(conn, sql);
	bool first = true;
	char *message;
	int n, e = 0;

	if (PQresultStatus(res) != PGRES_COPY_OUT)
		e = failed(conn, reason);
	PQclear(res);
	while (e == 0) {
		n = next_message(conn, stop, &message);
		if (n == -1)
			break;
		if (n < 0)
			return failed(conn, reason);
		e = load_rows(bytes_of(message, (size_t)n), first, names, out);
		PQfreemem(message);
		first = false;
		if (e == LOAD_FAILED)
			(void)snprintf(reason, LOAD_REASON_MAX, "a row is no range of addresses");
	}
	if (e != 0)
		return e; /* the connection is in the middle of a COPY: good to be closed */
	res = PQgetResult(conn);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		e = failed(conn, reason);
	PQclear(res);
	PQclear(PQgetResult(conn)); /* NULL: the command is over */
	return e;
}

static int query(PGconn *conn, const char *sql, ExecStatusType want, int32_t *ret,
	char reason[LOAD_REASON_MAX])
{
	PGresult *res = PQexec(conn, sql);
	int e = 0;

	if (PQresultStatus(res) != want)
		e = failed(conn, reason);
	else if (ret)
		*ret = PQgetisnull(res, 0, 0) ? 0
					      : (int32_t)strtol(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return e;
}

int load_table(
	PGconn *conn, const atomic_bool *stop, struct enrich **ret, char reason[LOAD_REASON_MAX])
{
	struct names names = {0};
	struct ranges ranges = {0};
	struct enrich *table = NULL;
	int32_t dataset = 0;
	int e = query(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", PGRES_COMMAND_OK,
		NULL, reason);

	if (e == 0)
		e = query(conn, "SELECT max(dataset_id) FROM hirundo.enrichment_dataset",
			PGRES_TUPLES_OK, &dataset, reason);
	if (e == 0 && dataset > 0)
		e = load_ranges(conn,
			"COPY hirundo.address_range (lo, hi, asn, region, holder) TO STDOUT "
			"(FORMAT binary)",
			stop, &names, &ranges, reason);
	if (e == 0)
		e = query(conn, "COMMIT", PGRES_COMMAND_OK, NULL, reason);
	if (e == 0 && dataset > 0) {
		e = enrich_new(&ranges, &names, dataset, &table);
		if (e == ENRICH_OVERLAP) {
			(void)snprintf(reason, LOAD_REASON_MAX, "ranges overlap");
			e = LOAD_FAILED;
		}
	}
	ranges_done(&ranges);
	names_done(&names);
	if (e == 0)
		*ret = table;
	return e;
}

/* Writing. */

static uint8_t *put_inet(uint8_t *p, uint8_t family, struct address128 a)
{
	uint32_t n = family == 4 ? 4 : 16;

	store_be32(p, 4 + n);
	p[4] = family == 4 ? PGSQL_AF_INET : PGSQL_AF_INET6;
	p[5] = (uint8_t)(n * 8);
	p[6] = 0;
	p[7] = (uint8_t)n;
	if (family == 4) {
		store_be32(p + 8, (uint32_t)a.lo);
	} else {
		store_be64(p + 8, a.hi);
		store_be64(p + 16, a.lo);
	}
	return p + 8 + n;
}

/* NULL where text is NULL. */
static uint8_t *put_text(uint8_t *p, const char *text, size_t n)
{
	store_be32(p, text ? (uint32_t)n : UINT32_MAX);
	p += 4;
	if (text && n > 0) {
		memcpy(p, text, n);
		p += n;
	}
	return p;
}

static uint8_t *put_row(
	uint8_t *p, const char *kind, const struct range *r, const struct names *names)
{
	const char *holder = names_text(names, r->holder);

	store_be16(p, (uint16_t)(COLUMNS + (kind ? 1 : 0)));
	p += 2;
	if (kind)
		p = put_text(p, kind, strlen(kind));
	p = put_inet(p, r->family, r->lo);
	p = put_inet(p, r->family, r->hi);
	if (r->has_asn) {
		store_be32(p, 8);
		store_be64(p + 4, r->asn);
		p += 12;
	} else {
		p = put_text(p, NULL, 0);
	}
	p = put_text(p, r->region[0] ? r->region : NULL, 2);
	return put_text(p, holder, holder ? strlen(holder) : 0);
}

/** A row at most: count, six lengths, kind, two addresses, ASN, region, holder. */
#define ROW_MAX (2u + 6u * 4u + 16u + 2u * 20u + 8u + 2u + NAMES_HOLDER_MAX)

int load_store(PGconn *conn, const char *sql, const char *kind, const struct ranges *ranges,
	const struct names *names)
{
	PGresult *res = PQexec(conn, sql);
	bool ok = PQresultStatus(res) == PGRES_COPY_IN;
	struct buf b;
	int e;

	PQclear(res);
	if (!ok)
		return LOAD_FAILED;
	buf_init(&b, CHUNK + ROW_MAX + HEADER_SIZE + 2);
	e = buf_reserve(&b, CHUNK + ROW_MAX + HEADER_SIZE + 2);
	if (e == 0)
		e = buf_add(&b, header, HEADER_SIZE);
	for (size_t i = 0; e == 0 && ok && i < ranges->n; i++) {
		uint8_t *p = buf_tail(&b);

		buf_added(&b, (size_t)(put_row(p, kind, &ranges->at[i], names) - p));
		if (buf_len(&b) >= CHUNK) {
			ok = PQputCopyData(conn, (const char *)buf_head(&b), (int)buf_len(&b)) == 1;
			buf_clear(&b);
		}
	}
	if (e == 0) {
		store_be16(buf_tail(&b), END_OF_ROWS);
		buf_added(&b, 2);
		ok = ok && PQputCopyData(conn, (const char *)buf_head(&b), (int)buf_len(&b)) == 1;
	}
	buf_done(&b);
	ok = PQputCopyEnd(conn, e == 0 ? NULL : "out of memory") == 1 && ok;
	res = PQgetResult(conn);
	ok = ok && PQresultStatus(res) == PGRES_COMMAND_OK;
	PQclear(res);
	PQclear(PQgetResult(conn));
	return e < 0 ? e : ok ? 0 : LOAD_FAILED;
}
