#include "collector/verdict_copy_out.h"

#include <errno.h>

#include "collector/pgbinary.h"

/* Sent when so many bytes are there. */
#define CHUNK 65536u
/* Room for any value with its length. */
#define VALUE_MAX (4 + COPY_TEXT_MAX)

int copy_run(PGconn *conn, const char *sql, int n, const char *const *values)
{
	PGresult *res = PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(res);

	PQclear(res);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : -EIO;
}

static void send(struct copy_out *c)
{
	if (c->error == 0 && buf_len(&c->buf) > 0 &&
		PQputCopyData(c->conn, (const char *)buf_head(&c->buf), (int)buf_len(&c->buf)) != 1)
		c->error = -EIO;
	buf_clear(&c->buf);
}

/* Where the next value goes; NULL behind an error. */
static uint8_t *room(struct copy_out *c)
{
	if (c->error == 0)
		c->error = buf_reserve(&c->buf, VALUE_MAX);
	return c->error == 0 ? buf_tail(&c->buf) : NULL;
}

static void added(struct copy_out *c, const uint8_t *p, const uint8_t *end)
{
	buf_added(&c->buf, (size_t)(end - p));
}

void copy_begin(struct copy_out *c, PGconn *conn, const char *sql)
{
	/* Signature; flags and length of the header's extension are zero. */
	static const uint8_t begin[19] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff, '\r', '\n', 0};
	PGresult *res = PQexec(conn, sql);

	*c = (struct copy_out){.conn = conn};
	buf_init(&c->buf, 2 * (size_t)CHUNK);
	c->error = PQresultStatus(res) == PGRES_COPY_IN ? buf_add(&c->buf, begin, sizeof(begin))
							: -EIO;
	PQclear(res);
}

void copy_row(struct copy_out *c, unsigned columns)
{
	uint8_t *p;

	if (buf_len(&c->buf) >= CHUNK)
		send(c);
	p = room(c);
	if (p) {
		store_be16(p, (uint16_t)columns);
		added(c, p, p + 2);
	}
}

void copy_null(struct copy_out *c)
{
	uint8_t *p = room(c);

	if (p)
		added(c, p, put_null(p));
}

void copy_bool(struct copy_out *c, bool v)
{
	const uint8_t byte = v;
	uint8_t *p = room(c);

	if (p)
		added(c, p, put_bytes(p, &byte, 1));
}

void copy_smallint(struct copy_out *c, unsigned v)
{
	uint8_t *p = room(c);

	if (p)
		added(c, p, put_2(p, (uint16_t)v));
}

void copy_int(struct copy_out *c, uint32_t v)
{
	uint8_t *p = room(c);

	if (p)
		added(c, p, put_4(p, v));
}

void copy_bigint(struct copy_out *c, uint64_t v)
{
	uint8_t *p = room(c);

	if (p)
		added(c, p, put_8(p, v));
}

void copy_real(struct copy_out *c, double v)
{
	float f = (float)v;
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	copy_int(c, bits);
}

void copy_double(struct copy_out *c, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	copy_bigint(c, bits);
}

void copy_text(struct copy_out *c, const char *text, size_t n)
{
	uint8_t *p = room(c);

	if (n > COPY_TEXT_MAX)
		c->error = -ENOBUFS;
	else if (p)
		added(c, p, put_bytes(p, text, (uint32_t)n));
}

void copy_inet(struct copy_out *c, uint8_t family, const uint8_t *address)
{
	uint8_t *p = room(c);

	if (p)
		added(c, p, put_inet(p, family, address));
}

int copy_end(struct copy_out *c)
{
	static const uint8_t end[2] = {0xff, 0xff};
	PGresult *res;

	if (c->error == 0)
		c->error = buf_add(&c->buf, end, sizeof(end));
	send(c);
	if (PQputCopyEnd(c->conn, c->error < 0 ? "given up" : NULL) != 1)
		c->error = c->error < 0 ? c->error : -EIO;
	while ((res = PQgetResult(c->conn))) {
		if (PQresultStatus(res) != PGRES_COMMAND_OK && c->error == 0)
			c->error = -EIO;
		PQclear(res);
	}
	buf_done(&c->buf);
	return c->error;
}
