#include "collector/collector_conf.h"

#include <string.h>

#include "common/hostport.h"
#include "common/log.h"

static const char *check_metrics_listen(const void *value)
{
	return strcmp(*(char *const *)value, "none") == 0 ? NULL : hostport_check(value);
}

#define AT(member) offsetof(struct collector_conf, member)
#define MIB (INT64_C(1) << 20)

const struct conf_option collector_options[] = {
	{"listen", CONF_STRING, AT(listen), "[::]:7411", 0, 0, CONF_RESTART,
		"where sensors connect, ADDRESS:PORT; port 0 = any free one", hostport_check},
	{"metrics_listen", CONF_STRING, AT(metrics_listen), "127.0.0.1:7412", 0, 0, CONF_RESTART,
		"where /metrics and /healthz are served; none = nowhere", check_metrics_listen},
	{"ca_file", CONF_PATH, AT(ca_file), NULL, 0, 0, CONF_RELOAD,
		"certificate of the CA that signs the sensors'", NULL},
	{"cert_file", CONF_PATH, AT(cert_file), NULL, 0, 0, CONF_RELOAD,
		"the collector's certificate", NULL},
	{"key_file", CONF_PATH, AT(key_file), NULL, 0, 0, CONF_RELOAD,
		"its key; others must not be able to read it", NULL},
	{"crl_file", CONF_PATH, AT(crl_file), "", 0, 0, CONF_RELOAD,
		"revocation list of the CA; an expired one refuses everybody", NULL},
	{"dsn", CONF_STRING, AT(dsn), "dbname=hirundo user=hirundo_ingest", 0, 0, CONF_RESTART,
		"libpq connection string; no password here: use a service file or peer "
		"authentication",
		NULL},
	{"connections", CONF_INT, AT(connections), "4", 1, 16, CONF_RESTART,
		"connections to the database that store rows", NULL},
	{"credit", CONF_SIZE, AT(credit), "2MiB", MIB, 64 * MIB, CONF_RESTART,
		"bytes that one sensor may have under way", NULL},
	{"queue", CONF_SIZE, AT(queue), "256MiB", 4 * MIB, 65536 * MIB, CONF_RESTART,
		"bytes of all sensors that wait for the database; then reading stops", NULL},
	{"transaction_rows", CONF_INT, AT(transaction_rows), "20000", 1, 200000, CONF_RESTART,
		"rows of one transaction, where that many wait", NULL},
	{"reject_bytes", CONF_SIZE, AT(reject_bytes), "64MiB", 0, 65536 * MIB, CONF_RESTART,
		"refused records kept for each sensor; beyond it they are only counted", NULL},
	{"max_connections", CONF_INT, AT(max_connections), "4096", 1, 100000, CONF_RESTART,
		"connections of sensors at once", NULL},
	{"user", CONF_STRING, AT(user), "hirundo", 0, 0, CONF_RESTART,
		"unprivileged user to run as, when started by root", NULL},
	{"log_level", CONF_STRING, AT(log_level), "info", 0, 0, CONF_RELOAD,
		"error, warning, notice, info or debug", log_level_check},
	{0},
};
