#include "collector/verdict_copy_out.h"

#include <errno.h>
#include <stdio.h>

/* Sent when so many bytes are there. */
#define CHUNK 65536u
/* An array of a million addresses is 20 MB. */
#define TEXT_MAX (256u << 20)

int copy_run(PGconn *conn, const char *sql, int n, const char *const *values)
{
	PGresult *res = PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(res);

	PQclear(res);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : -EIO;
}

void copy_begin(struct copy_out *c, PGconn *conn, const char *sql)
{
	*c = (struct copy_out){.conn = sql ? conn : NULL};
	buf_init(&c->buf, TEXT_MAX);
	if (sql) {
		PGresult *res = PQexec(conn, sql);

		c->error = PQresultStatus(res) == PGRES_COPY_IN ? 0 : -EIO;
		PQclear(res);
	}
}

static void send(struct copy_out *c)
{
	if (c->error == 0 && buf_len(&c->buf) > 0 &&
		PQputCopyData(c->conn, (const char *)buf_head(&c->buf), (int)buf_len(&c->buf)) != 1)
		c->error = -EIO;
	buf_clear(&c->buf);
}

void copy_add(struct copy_out *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	if (c->error < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		c->error = -ENOBUFS;
	else
		c->error = buf_add(&c->buf, text, (size_t)n);
	if (c->conn && buf_len(&c->buf) >= CHUNK)
		send(c);
}

void copy_add_text(struct copy_out *c, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\')
			copy_add(c, "\\\\");
		else if ((unsigned char)*text < ' ')
			copy_add(c, "\\%03o", (unsigned)*text);
		else
			copy_add(c, "%c", *text);
	}
}

int copy_end(struct copy_out *c)
{
	if (c->conn) {
		PGresult *res;

		send(c);
		if (PQputCopyEnd(c->conn, c->error < 0 ? "given up" : NULL) != 1)
			c->error = c->error < 0 ? c->error : -EIO;
		while ((res = PQgetResult(c->conn))) {
			if (PQresultStatus(res) != PGRES_COMMAND_OK && c->error == 0)
				c->error = -EIO;
			PQclear(res);
		}
	}
	buf_done(&c->buf);
	return c->error;
}
