/* The collector's configuration: the option table. */
#ifndef HIRUNDO_COLLECTOR_CONF_H
#define HIRUNDO_COLLECTOR_CONF_H

#include "common/conf.h"

struct collector_conf {
	char *listen;
	char *metrics_listen;
	char *ca_file, *cert_file, *key_file, *crl_file;
	char *dsn;
	int64_t connections;
	uint64_t credit;
	uint64_t queue;
	int64_t transaction_rows;
	uint64_t reject_bytes;
	int64_t max_connections;
	char *user;
	char *log_level;
};

extern const struct conf_option collector_options[];

#endif
