/* The admin tool's configuration: the option table. */
#ifndef HIRUNDO_COLLECTOR_ADMIN_CONF_H
#define HIRUNDO_COLLECTOR_ADMIN_CONF_H

#include "common/conf.h"

struct admin_conf {
	char *dsn;
	char *ca_dir;
	char *collector;
	int64_t sensor_certificate_days;
	int64_t server_certificate_days;
	int64_t viewer_certificate_days;
	char *export_organization, *export_contact; /* NULL: not told */
};

extern const struct conf_option admin_options[];

#endif
