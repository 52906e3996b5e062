#include "collector/verdict_copy_in.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "collector/pgbinary.h"

bool copy_in_field(struct bytes *fields, struct bytes *ret_value)
{
	const uint8_t *p;
	uint32_t n;

	if (!bytes_take(fields, 4, &p))
		return false;
	n = load_be32(p);
	*ret_value = (struct bytes){0};
	if (n == UINT32_MAX)
		return true;
	if (!bytes_take(fields, n, &p))
		return false;
	*ret_value = bytes_of(p, n);
	return true;
}

bool copy_in_inet(struct bytes field, unsigned *ret_family, uint8_t ret_address[16])
{
	if (!field.p || field.n < 4 || field.n != 4u + field.p[3])
		return false;
	if (!(field.p[0] == PGSQL_AF_INET && field.p[3] == 4) &&
		!(field.p[0] == PGSQL_AF_INET6 && field.p[3] == 16))
		return false;
	*ret_family = field.p[0] == PGSQL_AF_INET ? 0 : 1;
	memset(ret_address, 0, 16);
	memcpy(ret_address, field.p + 4, field.p[3]);
	return true;
}

/* A row: the number of its fields, then these; the first begins behind the file's header. */
static int read_row(
	struct bytes *b, int (*row)(void *arg, struct bytes *fields), void *arg, bool *first)
{
	const uint8_t *p;
	uint32_t extension;

	if (*first) {
		/* signature (11), flags (4), length of the extension (4) */
		if (!bytes_skip(b, 15) || !bytes_take(b, 4, &p))
			return -EPROTO;
		extension = load_be32(p);
		if (!bytes_skip(b, extension))
			return -EPROTO;
		*first = false;
		if (b->n == 0)
			return 0;
	}
	if (!bytes_take(b, 2, &p))
		return -EPROTO;
	return load_be16(p) == UINT16_MAX ? 0 : row(arg, b); /* -1 is the end */
}

int copy_in(PGconn *conn, const char *sql, int (*row)(void *arg, struct bytes *fields), void *arg)
{
	PGresult *res = PQexec(conn, sql);
	int e = PQresultStatus(res) == PGRES_COPY_OUT ? 0 : -EIO;
	bool first = true;
	char *data;
	int n = 0;

	PQclear(res);
	if (e < 0)
		return e;
	while ((n = PQgetCopyData(conn, &data, 0)) > 0) {
		struct bytes b = bytes_of(data, (size_t)n);

		if (e == 0) /* else the rest is taken and dropped */
			e = read_row(&b, row, arg, &first);
		PQfreemem(data);
	}
	while ((res = PQgetResult(conn))) {
		if (PQresultStatus(res) != PGRES_COMMAND_OK && e == 0)
			e = -EIO;
		PQclear(res);
	}
	return n == -2 && e == 0 ? -EIO : e;
}

bool copy_in_u16(struct bytes *b, uint16_t *ret)
{
	struct bytes v;

	if (!copy_in_field(b, &v) || v.n != 2)
		return false;
	*ret = load_be16(v.p);
	return true;
}

bool copy_in_u64(struct bytes *b, uint64_t *ret)
{
	struct bytes v;

	if (!copy_in_field(b, &v) || v.n != 8)
		return false;
	*ret = load_be64(v.p);
	return true;
}

bool copy_in_double(struct bytes *b, double *ret)
{
	struct bytes v;
	uint64_t bits;

	if (!copy_in_field(b, &v) || (v.p && v.n != 8))
		return false;
	*ret = NAN;
	if (v.p) {
		bits = load_be64(v.p);
		memcpy(ret, &bits, sizeof(*ret));
	}
	return true;
}
