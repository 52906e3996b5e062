/*
 * hirundo-collector: arguments, configuration, the listener for sensors, ingest into PostgreSQL,
 * address data, the janitor of partitions, rollups, verdicts, /metrics and /healthz; and the order
 * in which they end.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "collector/addresses.h"
#include "collector/answers.h"
#include "collector/collector_conf.h"
#include "collector/http.h"
#include "collector/ingest.h"
#include "collector/listener.h"
#include "collector/metrics.h"
#include "collector/migrate.h"
#include "collector/partitions.h"
#include "collector/pg.h"
#include "collector/registry.h"
#include "collector/rollup.h"
#include "collector/session.h"
#include "collector/verdict_job.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/hostport.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/tlsctx.h"

/* A stop waits this long for what was received to be committed; sensors still have the rest. */
#define DRAIN_MS 10000
/* While the database is away at the start: the pause before its schema is asked for again. */
#define SCHEMA_RETRY_MS 2000

struct collector {
	uv_loop_t loop;
	struct daemon daemon;
	uv_timer_t schema_timer;
	uv_work_t schema_work;
	const char *config_file;
	struct collector_conf conf;
	struct session_host host;
	struct listener *listener;
	struct registry *registry;
	struct ingest *ingest;
	struct partitions *partitions;
	struct addresses *addresses;
	struct rollup *rollup;
	struct verdict_job *verdicts;
	struct answers *answers;
	struct http *http;
	enum migrate_res schema;
	char *schema_reason;
	bool schema_known, stopping;
	int exit_code;
};

/* --- the end: sessions drain, ingest commits, then everything closes
 * ------------------------------- */

static void on_janitor_closed(void *arg)
{
	(void)arg;
}

static void on_registry_closed(void *arg)
{
	struct collector *c = arg;

	partitions_close(c->partitions, on_janitor_closed, c);
	addresses_close(c->addresses, on_janitor_closed, c);
	rollup_close(c->rollup, on_janitor_closed, c);
	verdict_job_close(c->verdicts, on_janitor_closed, c);
	answers_close(c->answers, on_janitor_closed, c);
	http_close(c->http);
	daemon_close(&c->daemon);
}

static void on_sessions_gone(void *arg)
{
	struct collector *c = arg;

	if (c->stopping)
		registry_close(c->registry, on_registry_closed, c);
}

static void on_drained(void *arg)
{
	struct collector *c = arg;

	c->host.on_empty = on_sessions_gone;
	c->host.arg = c;
	if (c->host.sessions_n == 0)
		on_sessions_gone(c);
	else
		session_close_all(&c->host);
}

static void stop(struct collector *c, int exit_code)
{
	if (c->stopping)
		return;
	c->stopping = true;
	c->exit_code = exit_code;
	notify_stopping();
	listener_close(c->listener);
	uv_close((uv_handle_t *)&c->schema_timer, NULL);
	session_drain_all(&c->host);
	ingest_drain(c->ingest, DRAIN_MS, on_drained, c);
}

static void on_stop(void *arg)
{
	log_notice("collector", "state=stopping");
	stop(arg, EX_OK);
}

/* --- the schema, once: is this database ours?
 * --------------------------------------------------------- */

static void on_schema_timer(uv_timer_t *t);

static void check_schema(uv_work_t *work)
{
	struct collector *c = work->data;
	PGconn *conn = pg_connect_blocking(c->conf.dsn, "hirundo-collector");

	c->schema = migrate_check(conn, &c->schema_reason);
	PQfinish(conn);
}

static void on_schema_checked(uv_work_t *work, int status)
{
	struct collector *c = work->data;
	AUTO_FREE char *reason = c->schema_reason;

	(void)status;
	c->schema_reason = NULL;
	if (c->stopping)
		return;
	switch (c->schema) {
	case MIGRATE_OK:
		c->schema_known = true;
		log_info("collector", "state=ready");
		return;
	case MIGRATE_FAILED:
		log_warn("database", "reason=%s retry_ms=%d", log_quote(reason), SCHEMA_RETRY_MS);
		(void)uv_timer_start(&c->schema_timer, on_schema_timer, SCHEMA_RETRY_MS, 0);
		return;
	case MIGRATE_NO_SCHEMA:
	case MIGRATE_TOO_OLD:
	case MIGRATE_REFUSED:
	case MIGRATE_TAMPERED:
		log_error("database", "reason=%s", log_quote(reason));
		stop(c, EX_CONFIG);
		return;
	}
}

static void on_schema_timer(uv_timer_t *t)
{
	struct collector *c = t->data;

	(void)uv_queue_work(&c->loop, &c->schema_work, check_schema, on_schema_checked);
}

/* --- pages, reload
 * -------------------------------------------------------------------------------------- */

static int page_metrics(void *arg, struct buf *out)
{
	struct collector *c = arg;
	const struct metrics_sources sources = {
		.host = &c->host,
		.ingest = c->ingest,
		.registry = c->registry,
		.partitions = c->partitions,
		.addresses = c->addresses,
		.rollup = c->rollup,
		.answers = c->answers,
		.verdicts = c->verdicts,
	};

	return metrics_write(&sources, out);
}

static const char *page_unhealthy(void *arg)
{
	struct collector *c = arg;
	const char *unhealthy;

	if (c->stopping)
		return "stopping\n";
	if (!c->schema_known || !registry_up(c->registry) ||
		ingest_counters(c->ingest)->connected == 0)
		return "the database is away\n";
	unhealthy = partitions_unhealthy(c->partitions);
	return unhealthy ? unhealthy : rollup_unhealthy(c->rollup);
}

static const struct http_pages pages = {.metrics = page_metrics, .unhealthy = page_unhealthy};

static int make_tls(const struct collector_conf *conf, SSL_CTX **ret)
{
	const struct tlsctx_options o = {
		.server = true,
		.ca_file = conf->ca_file,
		.cert_file = conf->cert_file,
		.key_file = conf->key_file,
		.crl_file = conf->crl_file && *conf->crl_file ? conf->crl_file : NULL,
	};
	AUTO_FREE char *reason = NULL;
	int r = tlsctx_new(&o, ret, &reason);

	if (r < 0)
		log_error("tls", "reason=%s", log_quote(reason));
	return r;
}

static void on_reload(void *arg)
{
	struct collector *c = arg;
	struct collector_conf fresh = {0};
	AUTO_FREE char *error = NULL;
	const char *restart;
	enum log_level level;
	SSL_CTX *ctx;

	if (conf_load(collector_options, c->config_file, &fresh, &error) < 0) {
		log_error("config", "reason=%s note=\"the old configuration stays\"",
			log_quote(error));
	} else if (make_tls(&fresh, &ctx) < 0) {
		log_error("config", "note=\"the old certificates stay\"");
	} else {
		restart = conf_changed_restart(collector_options, &c->conf, &fresh);
		if (restart)
			log_warn("config", "option=%s note=\"changes at the next start\"", restart);
		SSL_CTX_free(c->host.tls);
		c->host.tls = ctx;
		if (log_level_parse(fresh.log_level, &level) == 0)
			log_set_level(level);
		log_notice("config", "state=reloaded");
	}
	conf_done(collector_options, &fresh);
	addresses_check(c->addresses);
}

static void on_disabled(void *arg, int32_t sensor_id)
{
	struct collector *c = arg;

	session_disable(&c->host, sensor_id);
}

/* --- start
 * --------------------------------------------------------------------------------------------------
 */

static const char usage[] =
	"Usage: hirundo-collector --config FILE\n"
	"Receives what sensors observed and stores it in PostgreSQL, exactly once.\n\n"
	"  -c, --config FILE   configuration\n"
	"      --check-config  check the configuration and exit\n"
	"  -h, --help          this text and the options of the configuration\n"
	"      --version\n\n";

/* @return -1 to go on, or the exit code */
static int parse_arguments(int argc, char **argv, const char **ret_config, bool *ret_check)
{
	enum {
		CHECK = 256,
		VERSION
	};
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check-config", no_argument, NULL, CHECK},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c': *ret_config = optarg; break;
		case CHECK: *ret_check = true; break;
		case VERSION: puts("hirundo-collector " HIRUNDO_VERSION); return EX_OK;
		case 'h':
			fputs(usage, stdout);
			conf_print_help(collector_options);
			return EX_OK;
		default: fputs("Try hirundo-collector --help.\n", stderr); return EX_USAGE;
		}
	}
	if (optind < argc || !*ret_config) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	return -1;
}

/* Each sensor is a descriptor: as many as the system allows. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Sockets first, while ports below 1024 may still be bound. */
static int open_sockets(struct collector *c)
{
	struct hostport at;
	int r = hostport_parse(c->conf.listen, &at);

	if (r == 0)
		r = listener_new(
			&c->loop, &at, (unsigned)c->conf.max_connections, &c->host, &c->listener);
	if (r < 0) {
		log_error("listener", "listen=%s reason=%s", log_quote(c->conf.listen),
			log_quote(uv_strerror(r)));
		return EX_UNAVAILABLE;
	}
	if (strcmp(c->conf.metrics_listen, "none") == 0)
		return EX_OK;
	r = hostport_parse(c->conf.metrics_listen, &at);
	if (r == 0)
		r = http_new(&c->loop, &at, &pages, c, &c->http);
	if (r < 0) {
		log_error("http", "metrics_listen=%s reason=%s", log_quote(c->conf.metrics_listen),
			log_quote(uv_strerror(r)));
		return EX_UNAVAILABLE;
	}
	return EX_OK;
}

static int start_services(struct collector *c)
{
	static const struct registry_callbacks registry_calls = {.on_disabled = on_disabled};
	const struct ingest_options o = {
		.dsn = c->conf.dsn,
		.connections = (unsigned)c->conf.connections,
		.budget_bytes = c->conf.queue,
		.transaction_rows = (uint32_t)c->conf.transaction_rows,
		.reject_bytes = c->conf.reject_bytes,
		.hold = true,
	};
	int r;

	c->host.loop = &c->loop;
	c->host.credit = c->conf.credit;
	r = registry_new(&c->loop, c->conf.dsn, &registry_calls, c, &c->registry);
	if (r == 0)
		r = ingest_new(&c->loop, &o, &c->ingest);
	if (r == 0)
		r = partitions_new(&c->loop, c->conf.dsn, &c->partitions);
	if (r == 0)
		r = addresses_new(&c->loop, c->conf.dsn, c->ingest, &c->addresses);
	if (r == 0)
		r = rollup_new(&c->loop, c->conf.dsn, &c->rollup);
	if (r == 0)
		r = verdict_job_new(&c->loop, c->conf.dsn, &c->verdicts);
	if (r == 0)
		r = answers_new(&c->loop, c->conf.dsn, &c->answers);
	if (r == 0)
		r = daemon_init(&c->daemon, &c->loop, on_reload, on_stop, c);
	if (r < 0) {
		log_error("collector", "reason=%s", log_quote(uv_strerror(r)));
		return EX_OSERR;
	}
	c->host.registry = c->registry;
	c->host.ingest = c->ingest;
	c->host.addresses = c->addresses;
	c->schema_work.data = c->schema_timer.data = c;
	(void)uv_timer_init(&c->loop, &c->schema_timer);
	(void)uv_timer_start(&c->schema_timer, on_schema_timer, 0, 0);
	return EX_OK;
}

static int run(struct collector *c)
{
	const struct sandbox_options sandbox = {.user = c->conf.user, .kind = SANDBOX_COLLECTOR};
	AUTO_FREE char *reason = NULL;
	enum log_level level;
	int code;

	if (log_level_parse(c->conf.log_level, &level) == 0)
		log_set_level(level);
	raise_file_limit();
	if (make_tls(&c->conf, &c->host.tls) < 0)
		return EX_CONFIG;
	if (uv_loop_init(&c->loop) < 0)
		return EX_OSERR;
	code = open_sockets(c);
	if (code != EX_OK)
		return code;
	if (sandbox_enter(&sandbox, &reason) < 0) {
		log_error("sandbox", "reason=%s", log_quote(reason));
		return EX_NOUSER;
	}
	code = start_services(c);
	if (code != EX_OK)
		return code;
	log_notice("collector", "state=listening listen=%s port=%u", log_quote(c->conf.listen),
		listener_port(c->listener));
	notify_ready();
	(void)uv_run(&c->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&c->loop);
	return c->exit_code;
}

int main(int argc, char **argv)
{
	static struct collector c;
	AUTO_FREE char *error = NULL;
	bool check = false;
	int code = parse_arguments(argc, argv, &c.config_file, &check);

	if (code >= 0)
		return code;
	if (conf_load(collector_options, c.config_file, &c.conf, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error ? error : "out of memory");
		return EX_CONFIG;
	}
	if (check)
		code = make_tls(&c.conf, &c.host.tls) < 0 ? EX_CONFIG : EX_OK;
	else
		code = run(&c);
	partitions_free(c.partitions);
	rollup_free(c.rollup);
	verdict_job_free(c.verdicts);
	answers_free(c.answers);
	ingest_free(c.ingest);
	addresses_free(c.addresses);
	registry_free(c.registry);
	SSL_CTX_free(c.host.tls);
	conf_done(collector_options, &c.conf);
	return code;
}
