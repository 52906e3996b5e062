/* Rows of a result as JSON and as CSV, and text as either. */
#ifndef HIRUNDO_DASHBOARD_FORMAT_H
#define HIRUNDO_DASHBOARD_FORMAT_H

#include <libpq-fe.h>

#include "common/buf.h"
#include "common/mem.h"

/* All return 0, -ENOMEM, or -ENOBUFS over the buffer's maximum. */

/** A string with its quotes (RFC 8259, 7). Text is UTF-8. */
int format_json_text(struct buf *out, const char *s) MUST_CHECK;

/** A line of the columns' names (RFC 4180). */
int format_csv_header(struct buf *out, const PGresult *res) MUST_CHECK;

/** A line for each row of the result, whose values are text in the server's ISO styles. NULL is
 *  nothing, an empty text is "". Times have a T and whole offsets, as in JSON. Text that a
 *  spreadsheet would take for a formula (= + - @, tab, CR: OWASP, "CSV Injection") gets an
 *  apostrophe in front; numbers do not. */
int format_csv_rows(struct buf *out, const PGresult *res) MUST_CHECK;

#endif
