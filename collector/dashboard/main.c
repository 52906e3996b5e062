/*
 * hirundo-dashboard: arguments, configuration, the listening socket, connections to the database,
 * pages and answers, /metrics and /healthz; and the order in which they end.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "collector/dashboard/dashboard_conf.h"
#include "collector/dashboard/dashboard_metrics.h"
#include "collector/dashboard/listening.h"
#include "collector/dashboard/pool.h"
#include "collector/dashboard/server.h"
#include "collector/dashboard/tls.h"
#include "collector/http.h"
#include "common/daemon.h"
#include "common/hostport.h"
#include "common/log.h"
#include "common/sandbox.h"

/* A stop waits this long for answers that are under way. */
#define DRAIN_MS 10000u

struct dashboard {
	uv_loop_t loop;
	struct daemon daemon;
	const char *config_file;
	struct dashboard_conf conf;
	struct dashboard_listen listen; /* of the start */
	struct pool *pool;
	struct server *server;
	struct http *http;
	bool stopping;
};

/* --- the end ------------------------------------------------------------------------------------
 */

static void on_pool_closed(void *arg)
{
	struct dashboard *d = arg;

	http_close(d->http);
	daemon_close(&d->daemon);
}

static void on_server_closed(void *arg)
{
	struct dashboard *d = arg;

	pool_close(d->pool, on_pool_closed, d);
}

static void on_stop(void *arg)
{
	struct dashboard *d = arg;

	if (d->stopping)
		return;
	d->stopping = true;
	log_notice("dashboard", "state=stopping");
	notify_stopping();
	server_drain(d->server, DRAIN_MS, on_server_closed, d);
}

/* --- pages of its own, reload -------------------------------------------------------------------
 */

static int page_metrics(void *arg, struct buf *out)
{
	struct dashboard *d = arg;
	const struct server_counters counters = server_counters(d->server);

	return dashboard_metrics_write(&counters, pool_counters(d->pool), out);
}

static const char *page_unhealthy(void *arg)
{
	struct dashboard *d = arg;

	if (d->stopping)
		return "stopping\n";
	return pool_up(d->pool) ? NULL : "the database is away\n";
}

static const struct http_pages pages = {.metrics = page_metrics, .unhealthy = page_unhealthy};

static int make_tls(const struct dashboard_conf *conf, enum dashboard_way way, struct tls **ret)
{
	const struct tlsctx_options o = {
		.server = true,
		.ca_file = conf->ca_file,
		.cert_file = conf->cert_file,
		.key_file = conf->key_file,
		.crl_file = conf->crl_file,
	};
	AUTO_FREE char *reason = NULL;
	int r;

	*ret = NULL;
	if (way != DASHBOARD_TLS)
		return 0;
	r = tls_new(&o, ret, &reason);
	if (r < 0)
		log_error("tls", "reason=%s", log_quote(reason));
	return r;
}

static void take(struct dashboard *d, struct dashboard_conf *fresh, struct tls *tls)
{
	const char *restart = conf_changed_restart(dashboard_options, &d->conf, fresh);
	struct dashboard_conf old = d->conf;
	enum log_level level;

	if (restart)
		log_warn("config", "option=%s note=\"changes at the next start\"", restart);
	d->conf = *fresh;
	*fresh = (struct dashboard_conf){0};
	server_configure(d->server, &d->conf, tls);
	conf_done(dashboard_options, &old);
	if (log_level_parse(d->conf.log_level, &level) == 0)
		log_set_level(level);
	log_notice("config", "state=reloaded");
}

static void on_reload(void *arg)
{
	struct dashboard *d = arg;
	struct dashboard_conf fresh = {0};
	struct dashboard_listen listen;
	AUTO_FREE char *error = NULL;
	struct tls *tls;

	if (dashboard_conf_load(d->config_file, &fresh, &listen, &error) < 0) {
		log_error("config", "reason=%s note=\"the old configuration stays\"",
			log_quote(error));
	} else if (listen.way != d->listen.way) {
		log_error("config", "option=listen note=\"how people come in changes at the next "
				    "start; the old "
				    "configuration stays\"");
	} else if (make_tls(&fresh, listen.way, &tls) < 0) {
		log_error("config", "note=\"the old certificates stay\"");
	} else {
		take(d, &fresh, tls);
	}
	conf_done(dashboard_options, &fresh);
}

/* --- start --------------------------------------------------------------------------------------
 */

static const char usage[] =
	"Usage: hirundo-dashboard --config FILE\n"
	"Shows in a browser what Hirundo's reports say, and hands it out as JSON and CSV.\n\n"
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
		case VERSION: puts("hirundo-dashboard " HIRUNDO_VERSION); return EX_OK;
		case 'h':
			fputs(usage, stdout);
			conf_print_help(dashboard_options);
			return EX_OK;
		default: fputs("Try hirundo-dashboard --help.\n", stderr); return EX_USAGE;
		}
	}
	if (optind < argc || !*ret_config) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	return -1;
}

/* Each browser is some descriptors: as many as the system allows. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* While ports below 1024 may be bound and groups given. */
static int open_sockets(struct dashboard *d, int *ret_fd)
{
	AUTO_FREE char *reason = NULL;
	struct hostport at;
	int r = listening_open(&d->listen, d->conf.socket_group, &reason);

	if (r < 0) {
		log_error("listener", "listen=%s reason=%s", log_quote(d->conf.listen),
			log_quote(reason));
		return EX_UNAVAILABLE;
	}
	*ret_fd = r;
	if (strcmp(d->conf.metrics_listen, "none") == 0)
		return EX_OK;
	r = hostport_parse(d->conf.metrics_listen, &at);
	if (r == 0)
		r = http_new(&d->loop, &at, &pages, d, &d->http);
	if (r < 0) {
		log_error("http", "metrics_listen=%s reason=%s", log_quote(d->conf.metrics_listen),
			log_quote(uv_strerror(r)));
		return EX_UNAVAILABLE;
	}
	return EX_OK;
}

static int start_services(struct dashboard *d, int fd, struct tls *tls)
{
	const struct pool_options pool = {
		.dsn = d->conf.dsn,
		.connections = (unsigned)d->conf.connections,
		.statement_us = d->conf.query_timeout,
		.wait_us = d->conf.query_timeout,
	};
	struct server_options server = {
		.fd = fd,
		.way = d->listen.way,
		.max_connections = (unsigned)d->conf.max_connections,
		.statement_us = d->conf.query_timeout,
	};
	int r = pool_new(&d->loop, &pool, &d->pool);

	server.pool = d->pool;
	if (r == 0)
		r = server_new(&d->loop, &server, &d->server);
	if (r == 0) {
		server_configure(d->server, &d->conf, tls);
		r = daemon_init(&d->daemon, &d->loop, on_reload, on_stop, d);
	}
	if (r < 0)
		log_error("dashboard", "reason=%s", log_quote(uv_strerror(r)));
	return r < 0 ? EX_OSERR : EX_OK;
}

static int run(struct dashboard *d)
{
	const struct sandbox_options sandbox = {.user = d->conf.user, .kind = SANDBOX_DASHBOARD};
	AUTO_FREE char *reason = NULL;
	enum log_level level;
	struct tls *tls;
	int code, fd = -1;

	if (log_level_parse(d->conf.log_level, &level) == 0)
		log_set_level(level);
	raise_file_limit();
	if (make_tls(&d->conf, d->listen.way, &tls) < 0)
		return EX_CONFIG;
	if (uv_loop_init(&d->loop) < 0)
		return EX_OSERR;
	code = open_sockets(d, &fd);
	if (code != EX_OK)
		return code;
	if (sandbox_enter(&sandbox, &reason) < 0) {
		log_error("sandbox", "reason=%s", log_quote(reason));
		return EX_NOUSER;
	}
	code = start_services(d, fd, tls);
	if (code != EX_OK)
		return code;
	log_notice("dashboard", "state=listening listen=%s", log_quote(listening_name(fd).text));
	notify_ready();
	(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&d->loop);
	if (d->listen.way == DASHBOARD_PROXY)
		(void)unlink(d->listen.path);
	return EX_OK;
}

int main(int argc, char **argv)
{
	static struct dashboard d;
	AUTO_FREE char *error = NULL;
	struct tls *tls;
	bool check = false;
	int code = parse_arguments(argc, argv, &d.config_file, &check);

	if (code >= 0)
		return code;
	if (dashboard_conf_load(d.config_file, &d.conf, &d.listen, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error ? error : "out of memory");
		return EX_CONFIG;
	}
	if (check) {
		code = make_tls(&d.conf, d.listen.way, &tls) < 0 ? EX_CONFIG : EX_OK;
		tls_unref(tls);
	} else {
		code = run(&d);
	}
	conf_done(dashboard_options, &d.conf);
	return code;
}
