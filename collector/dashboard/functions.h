/*
 * What may be asked: functions of schema report and their arguments. The statements are made of the
 * texts in this table alone; what a request says goes into parameters.
 */
#ifndef HIRUNDO_DASHBOARD_FUNCTIONS_H
#define HIRUNDO_DASHBOARD_FUNCTIONS_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "collector/dashboard/request.h"
#include "common/buf.h"
#include "common/mem.h"

struct function {
	const char *name; /* in schema report */
	unsigned arguments; /* bits 1 << enum parameter; FROM and TO together are its period */
	unsigned required;
};

/** @return NULL: there is none of that name */
const struct function *function_find(const char *name);

/** Whether the request has what the function needs and nothing that it does not take.
 *  @param ret_why  text for the asker, where it has not */
bool function_check(
	const struct function *f, const struct request *q, char *ret_why, size_t n) MUST_CHECK;

enum function_form {
	FUNCTION_ROWS, /* columns as they are */
	FUNCTION_JSON, /* one column: each row as a JSON object */
};

/** The statement, and its parameters in their order.
 *  @param ret_parameters  room for PARAMETERS_N; borrowed from the request
 *  @return how many, -errno of the buffer */
int function_statement(const struct function *f, const struct request *q, enum function_form form,
	struct buf *sql, const char **ret_parameters) MUST_CHECK;

/** A statement that yields the columns as a JSON array of {name, type}. @return 0, -errno */
int function_columns(const struct function *f, struct buf *sql) MUST_CHECK;

/** The statement as a person may paste it: with values in place of parameters. Never run.
 *  @return 0, -EINVAL where a value cannot be written as a literal, -errno of the buffer */
int function_shown(const struct function *f, const struct request *q, PGconn *conn,
	struct buf *sql) MUST_CHECK;

#endif
