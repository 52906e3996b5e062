/* Rows as text for COPY ... FROM STDIN, sent as they come. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_COPY_OUT_H
#define HIRUNDO_COLLECTOR_VERDICT_COPY_OUT_H

#include <libpq-fe.h>
#include <stdarg.h>

#include "common/buf.h"
#include "common/mem.h"

struct copy_out {
	PGconn *conn;
	struct buf buf;
	int error; /* the first one; then nothing more is sent */
};

/** @param sql  COPY ... FROM STDIN; NULL: collects text in buf, sends nothing */
void copy_begin(struct copy_out *c, PGconn *conn, const char *sql);
void copy_add(struct copy_out *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** As the value of a column, backslashes and control characters escaped. */
void copy_add_text(struct copy_out *c, const char *text);
/** Ends the COPY. @return 0, -ENOMEM, -ENOBUFS, -EIO (PQerrorMessage) */
int copy_end(struct copy_out *c) MUST_CHECK;

/** Runs a statement. @return 0, -EIO */
int copy_run(PGconn *conn, const char *sql, int n, const char *const *values) MUST_CHECK;

#endif
