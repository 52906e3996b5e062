/* Rows for COPY ... FROM STDIN (FORMAT binary), sent as they come. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_COPY_OUT_H
#define HIRUNDO_COLLECTOR_VERDICT_COPY_OUT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/mem.h"

struct copy_out {
	PGconn *conn;
	struct buf buf;
	int error; /* the first one; then nothing more is sent */
};

/** @param sql  COPY ... FROM STDIN (FORMAT binary) */
void copy_begin(struct copy_out *c, PGconn *conn, const char *sql);
/** The next row; as many values must follow. */
void copy_row(struct copy_out *c, unsigned columns);
void copy_null(struct copy_out *c);
void copy_bool(struct copy_out *c, bool v);
void copy_smallint(struct copy_out *c, unsigned v);
void copy_int(struct copy_out *c, uint32_t v); /* also date: days since 2000-01-01 */
void copy_bigint(struct copy_out *c, uint64_t v); /* also timestamptz: microseconds since then */
void copy_real(struct copy_out *c, double v);
void copy_double(struct copy_out *c, double v);
/** @param n  bytes, at most COPY_TEXT_MAX */
#define COPY_TEXT_MAX 256u
void copy_text(struct copy_out *c, const char *text, size_t n);
/** @param family  4, 6 */
void copy_inet(struct copy_out *c, uint8_t family, const uint8_t *address);
/** Ends the COPY. @return 0, -ENOMEM, -ENOBUFS, -EIO (PQerrorMessage) */
int copy_end(struct copy_out *c) MUST_CHECK;

/** Runs a statement. @return 0, -EIO */
int copy_run(PGconn *conn, const char *sql, int n, const char *const *values) MUST_CHECK;

#endif
