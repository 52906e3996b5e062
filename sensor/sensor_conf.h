/* The sensor's configuration: the option table and what follows from it. */
#ifndef HIRUNDO_SENSOR_CONF_H
#define HIRUNDO_SENSOR_CONF_H

#include "common/conf.h"
#include "sensor/targets.h"

struct sensor_conf {
	char *collector;
	char *ca_file, *cert_file, *key_file;
	char *interface;
	struct conf_list addresses;
	char *spool_dir;
	uint64_t spool_max, spool_min_free;
	int64_t spool_retain;
	int64_t fold;
	int64_t max_rows;
	int64_t snaplen;
	uint64_t ring_size;
	bool samples;
	int64_t status_interval;
	int64_t retry_min, retry_max;
	char *user;
	char *log_level;
};

extern const struct conf_option sensor_options[];

/** Loads the file and builds the targets; an address that is none is an error with the file's name.
 *  @param ret_error  heap text
 *  @return 0, -errno */
int sensor_conf_load(const char *file, struct sensor_conf *c, struct targets **ret_targets,
	char **ret_error) MUST_CHECK;

#endif
