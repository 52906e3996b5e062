/* The dashboard's configuration: the option table, and what options mean together. */
#ifndef HIRUNDO_DASHBOARD_CONF_H
#define HIRUNDO_DASHBOARD_CONF_H

#include <stdbool.h>

#include "common/conf.h"
#include "common/hostport.h"

struct dashboard_conf {
	char *listen;
	char *socket_group;
	struct conf_list hosts;
	char *viewer, *viewer_header;
	char *ca_file, *cert_file, *key_file, *crl_file;
	char *dsn;
	int64_t connections;
	int64_t query_timeout;
	int64_t max_connections;
	char *metrics_listen;
	char *user;
	char *log_level;
};

extern const struct conf_option dashboard_options[];

/** How people come in, and how it is known who they are. */
enum dashboard_way {
	DASHBOARD_LOOPBACK, /* everybody on this machine is the viewer of the setting */
	DASHBOARD_TLS, /* client certificates */
	DASHBOARD_PROXY, /* a Unix socket; the proxy in front names the viewer in a header */
};

struct dashboard_listen {
	enum dashboard_way way;
	struct hostport at; /* numeric; not of DASHBOARD_PROXY */
	const char *path; /* of DASHBOARD_PROXY */
};

/** Reads a file and checks it whole.
 *  @param ret_listen  borrows from ret; may be NULL
 *  @param ret_error  heap text "FILE:LINE: what", on error; ret is zeroed then
 *  @return as conf_load() */
int dashboard_conf_load(const char *file, struct dashboard_conf *ret,
	struct dashboard_listen *ret_listen, char **ret_error) MUST_CHECK;

#endif
