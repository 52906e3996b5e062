/*
 * hirundo-admin: what its commands share. A command prints its answer to stdout and an error as one
 * line to stderr, and returns an exit code of sysexits.h. Errors name no sensor's address: they end
 * up in logs.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_H
#define HIRUNDO_COLLECTOR_ADMIN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>

#include "collector/admin/admin_conf.h"
#include "common/mem.h"

struct admin {
	struct admin_conf conf;
	PGconn *conn; /* NULL until sql_connect() */
};

/** A command: "db init" is group "db" and name "init"; a command of one word has name NULL. */
struct command {
	const char *group, *name;
	const char *arguments; /* as in --help, lines indented by the caller */
	const char *help;
	/** argv[0] is the name of the program. @return exit code */
	int (*run)(struct admin *a, int argc, char **argv);
};

int command_db_init(struct admin *a, int argc, char **argv);
int command_db_migrate(struct admin *a, int argc, char **argv);
int command_db_zone(struct admin *a, int argc, char **argv);
int command_db_status(struct admin *a, int argc, char **argv);
int command_ca_init(struct admin *a, int argc, char **argv);
int command_sensor_add(struct admin *a, int argc, char **argv);
int command_sensor_list(struct admin *a, int argc, char **argv);
int command_sensor_disable(struct admin *a, int argc, char **argv);
int command_sensor_renew(struct admin *a, int argc, char **argv);
int command_viewer_add(struct admin *a, int argc, char **argv);
int command_viewer_list(struct admin *a, int argc, char **argv);
int command_viewer_disable(struct admin *a, int argc, char **argv);
int command_viewer_renew(struct admin *a, int argc, char **argv);
int command_enrich_import(struct admin *a, int argc, char **argv);
int command_enrich_lookup(struct admin *a, int argc, char **argv);
int command_report_quarter(struct admin *a, int argc, char **argv);
int command_verify(struct admin *a, int argc, char **argv);
int command_export_notification(struct admin *a, int argc, char **argv);
int command_export_capture(struct admin *a, int argc, char **argv);

/** Prints "hirundo-admin: what" to stderr. @return code */
int fail(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/** The same for memory that is not there. @return EX_OSERR */
int no_memory(void);

/** For commands without options or arguments. @return EX_OK or EX_USAGE, told */
int no_arguments(int argc, char **argv) MUST_CHECK;

/** A whole number within min..max. */
bool parse_number(const char *text, long min, long max, long *ret) MUST_CHECK;

/** Two capital letters, as ISO 3166-1 alpha-2 and its user-assigned ZZ have. */
bool region_valid(const char *text) MUST_CHECK;

#endif
