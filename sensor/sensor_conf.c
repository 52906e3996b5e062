#include "sensor/sensor_conf.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/hostport.h"
#include "common/log.h"
#include "sensor/hello.h"
#include "sensor/targets.h"

static const char *check_fold(const void *value)
{
	int64_t us = *(const int64_t *)value;

	return us == 0 || 60 * US_PER_S % us == 0 ? NULL : "must be 0 or divide 60s";
}

static const char *check_interface(const void *value)
{
	const char *name = *(char *const *)value;

	return name && strcmp(name, "any") == 0
		       ? "\"any\" is refused: start one sensor for each interface"
		       : NULL;
}

/* Called for whichever is set last: 0 is not set yet. */
static const char *check_retry(int64_t min, int64_t max)
{
	return min != 0 && max != 0 && min > max ? "retry_min is more than retry_max" : NULL;
}

static const char *check_retry_min(const void *value)
{
	const struct sensor_conf *c = container_of(value, const struct sensor_conf, retry_min);

	return check_retry(c->retry_min, c->retry_max);
}

static const char *check_retry_max(const void *value)
{
	const struct sensor_conf *c = container_of(value, const struct sensor_conf, retry_max);

	return check_retry(c->retry_min, c->retry_max);
}

#define DEFAULT_USER "hirundo"

/* Only root becomes another user (and after that no other is looked up). The default may be missing
 * where nothing is installed. */
static const char *check_user(const void *value)
{
	const char *user = *(char *const *)value;

	return geteuid() != 0 || strcmp(user, DEFAULT_USER) == 0 || getpwnam(user) ? NULL
										   : "no such user";
}

#define AT(member) offsetof(struct sensor_conf, member)
#define MIB (INT64_C(1) << 20)

const struct conf_option sensor_options[] = {
	{"collector", CONF_STRING, AT(collector), NULL, 0, 0, CONF_RESTART,
		"collector to deliver to, HOST:PORT", hostport_check},
	{"ca_file", CONF_PATH, AT(ca_file), NULL, 0, 0, CONF_RELOAD,
		"certificate of the CA that signed the collector's", NULL},
	{"cert_file", CONF_PATH, AT(cert_file), NULL, 0, 0, CONF_RELOAD,
		"this sensor's certificate", NULL},
	{"key_file", CONF_PATH, AT(key_file), NULL, 0, 0, CONF_RELOAD,
		"its key; others must not be able to read it", NULL},
	{"addresses", CONF_LIST, AT(addresses), NULL, 0, 0, CONF_RESTART,
		"own addresses and prefixes; \"captured = public\" where NAT makes them differ",
		NULL},
	{"interface", CONF_STRING, AT(interface), "", 0, 0, CONF_RESTART,
		"interface to capture on (not needed with --read)", check_interface},
	{"spool_dir", CONF_PATH, AT(spool_dir), "/var/lib/hirundo-sensor/spool", 0, 0, CONF_RESTART,
		"where records wait until they are committed", NULL},
	{"spool_max", CONF_SIZE, AT(spool_max), "2GiB", MIB / 2, INT64_MAX, CONF_RESTART,
		"largest size of the spool; beyond it the oldest go, counted", NULL},
	{"spool_min_free", CONF_SIZE, AT(spool_min_free), "64MiB", 0, INT64_MAX, CONF_RESTART,
		"room to leave on its file system", NULL},
	{"spool_retain", CONF_DURATION, AT(spool_retain), "1h", 0, 30 * US_PER_DAY, CONF_RESTART,
		"how long committed records stay, for a database that is restored", NULL},
	{"fold", CONF_DURATION, AT(fold), "1s", 0, 60 * US_PER_S, CONF_RESTART,
		"window in which equal packets become one row; 0s keeps every packet", check_fold},
	{"max_rows", CONF_INT, AT(max_rows), "50000", 100, 10000000, CONF_RESTART,
		"rows in a second before a flood is kept coarsely", NULL},
	{"snaplen", CONF_INT, AT(snaplen), "2048", 96, 262144, CONF_RESTART,
		"bytes captured of a packet", NULL},
	{"ring_size", CONF_SIZE, AT(ring_size), "4MiB", MIB, 1024 * MIB, CONF_RESTART,
		"kernel's ring of captured packets", NULL},
	{"samples", CONF_BOOL, AT(samples), "true", 0, 0, CONF_RESTART,
		"whether masked payload samples are sent", NULL},
	{"status_interval", CONF_DURATION, AT(status_interval), "60s", US_PER_S, 60 * US_PER_S,
		CONF_RESTART, "how often the books are sent", NULL},
	{"retry_min", CONF_DURATION, AT(retry_min), "250ms", US_PER_MS, 60 * US_PER_S, CONF_RESTART,
		"shortest wait before connecting again", check_retry_min},
	{"retry_max", CONF_DURATION, AT(retry_max), "30s", US_PER_MS, 3600 * US_PER_S, CONF_RESTART,
		"longest wait before connecting again; waits are random and grow", check_retry_max},
	{"user", CONF_STRING, AT(user), DEFAULT_USER, 0, 0, CONF_RESTART,
		"unprivileged user to run as, when started by root", check_user},
	{"log_level", CONF_STRING, AT(log_level), "info", 0, 0, CONF_RELOAD,
		"error, warning, notice, info or debug", log_level_check},
	{0},
};

int sensor_conf_load(
	const char *file, struct sensor_conf *c, struct targets **ret_targets, char **ret_error)
{
	struct targets *t = NULL;
	const char *reason = NULL;
	size_t i;
	int r;

	r = conf_load(sensor_options, file, c, ret_error);
	if (r < 0)
		return r;
	r = targets_new(&t);
	for (i = 0; r == 0 && i < c->addresses.n; i++)
		r = targets_add(t, c->addresses.items[i], &reason);
	if (r == 0 && !hello_fits(t)) {
		r = -EINVAL;
		reason = "the addresses up to here are too many to announce: use prefixes";
	}
	if (r == 0 && c->addresses.n == 0) {
		r = -EINVAL;
		reason = "no address is given";
	}
	if (r < 0) {
		/* The entry's number, not the address: errors end up in logs. */
		if (asprintf(ret_error, "%s:%d: addresses, entry %zu: %s", file, c->addresses.line,
			    i, reason ? reason : strerror(-r)) < 0)
			*ret_error = NULL;
		targets_free(t);
		conf_done(sensor_options, c);
		return r;
	}
	*ret_targets = t;
	return 0;
}
