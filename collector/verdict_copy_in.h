/* Reads COPY ... TO STDOUT (FORMAT binary), row by row. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_COPY_IN_H
#define HIRUNDO_COLLECTOR_VERDICT_COPY_IN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/mem.h"

/** @param row  is given each row's fields, to be taken in their order; what it returns below 0 ends
 *              the reading
 *  @return 0; -EIO (PQerrorMessage), -EPROTO (the server's answer makes no sense), row()'s */
int copy_in(PGconn *conn, const char *sql, int (*row)(void *arg, struct bytes *fields),
	void *arg) MUST_CHECK;

/* The next field of a row. All: @return false: there is none, or it is cut or no such value. */

/** ret_value->p is NULL for NULL. */
bool copy_in_field(struct bytes *fields, struct bytes *ret_value) MUST_CHECK;
bool copy_in_u16(struct bytes *fields, uint16_t *ret) MUST_CHECK;
bool copy_in_u64(struct bytes *fields, uint64_t *ret) MUST_CHECK;
/** NULL is NAN. */
bool copy_in_double(struct bytes *fields, double *ret) MUST_CHECK;

/** What a field says as an inet of one address. */
bool copy_in_inet(struct bytes field, unsigned *ret_family, uint8_t ret_address[16]) MUST_CHECK;

#endif
