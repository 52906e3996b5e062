#include "collector/dashboard/dashboard_conf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "collector/dashboard/pool.h"
#include "common/log.h"
#include "common/tlsctx.h"

#define UNIX_PREFIX "unix:"
#define SECOND INT64_C(1000000)

static bool is_numeric(const char *host)
{
	struct in6_addr a;

	return inet_pton(AF_INET, host, &a) == 1 || inet_pton(AF_INET6, host, &a) == 1;
}

static bool is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static const char *check_listen(const void *value)
{
	const char *text = *(char *const *)value;
	size_t prefix = strlen(UNIX_PREFIX);
	struct sockaddr_un sa;
	struct hostport at;

	if (strncmp(text, UNIX_PREFIX, prefix) == 0) {
		if (text[prefix] != '/')
			return "a socket's path begins with /";
		return strlen(text + prefix) < sizeof(sa.sun_path) ? NULL : "the path is too long";
	}
	if (hostport_parse(text, &at) < 0 || !is_numeric(at.host))
		return "must be ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH";
	return NULL;
}

static const char *check_metrics_listen(const void *value)
{
	const char *text = *(char *const *)value;
	struct hostport at;

	if (strcmp(text, "none") == 0)
		return NULL;
	if (hostport_parse(text, &at) < 0 || !is_loopback(at.host) || !is_numeric(at.host))
		return "must be a loopback address with a port, or none";
	return NULL;
}

static const char *check_viewer(const void *value)
{
	const char *text = *(char *const *)value;

	return text && !tls_sensor_name_valid(text, strlen(text))
		       ? "must be a viewer's name: a-z, 0-9 and -, at most 63"
		       : NULL;
}

/* A token of RFC 9110, 5.6.2. */
static const char *check_header(const void *value)
{
	const char *text = *(char *const *)value;

	for (; text && *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text))
			return "must be the name of a header";
	return NULL;
}

static const char *check_hosts(const void *value)
{
	const struct conf_list *list = value;

	for (size_t i = 0; i < list->n; i++)
		if (strpbrk(list->items[i], "/[]@ ") ||
			(strchr(list->items[i], ':') && !is_numeric(list->items[i])))
			return "must be names or addresses, without scheme, port and brackets";
	return NULL;
}

#define AT(member) offsetof(struct dashboard_conf, member)

const struct conf_option dashboard_options[] = {
	{"listen", CONF_STRING, AT(listen), "127.0.0.1:7413", 0, 0, CONF_RESTART,
		"where browsers connect, ADDRESS:PORT, or a proxy, unix:PATH; port 0 = any free "
		"one",
		check_listen},
	{"socket_group", CONF_STRING, AT(socket_group), "", 0, 0, CONF_RESTART,
		"group of the Unix socket, which the proxy is in", NULL},
	{"hosts", CONF_LIST, AT(hosts), "{localhost, 127.0.0.1, ::1}", 0, 0, CONF_RELOAD,
		"names that browsers may know it by; requests to others are refused", check_hosts},
	{"viewer", CONF_STRING, AT(viewer), "", 0, 0, CONF_RELOAD,
		"who everybody is that reaches a loopback address; central = the central team",
		check_viewer},
	{"viewer_header", CONF_STRING, AT(viewer_header), "", 0, 0, CONF_RELOAD,
		"header in which the proxy on the Unix socket names the viewer", check_header},
	{"ca_file", CONF_PATH, AT(ca_file), "", 0, 0, CONF_RELOAD,
		"certificate of the CA that signs the viewers'", NULL},
	{"cert_file", CONF_PATH, AT(cert_file), "", 0, 0, CONF_RELOAD,
		"the dashboard's certificate", NULL},
	{"key_file", CONF_PATH, AT(key_file), "", 0, 0, CONF_RELOAD,
		"its key; others must not be able to read it", NULL},
	{"crl_file", CONF_PATH, AT(crl_file), "", 0, 0, CONF_RELOAD,
		"revocation list of the CA; an expired one refuses everybody", NULL},
	{"dsn", CONF_STRING, AT(dsn), "dbname=hirundo user=hirundo_dashboard", 0, 0, CONF_RESTART,
		"libpq connection string; no password here: use a service file or peer "
		"authentication",
		NULL},
	{"connections", CONF_INT, AT(connections), "8", 1, POOL_CONNECTIONS_MAX, CONF_RESTART,
		"connections to the database at most", NULL},
	{"query_timeout", CONF_DURATION, AT(query_timeout), "10s", SECOND, 600 * SECOND,
		CONF_RESTART, "longest time for a question, and for the wait before it", NULL},
	{"max_connections", CONF_INT, AT(max_connections), "2048", 16, 100000, CONF_RESTART,
		"connections of browsers at once", NULL},
	{"metrics_listen", CONF_STRING, AT(metrics_listen), "127.0.0.1:7414", 0, 0, CONF_RESTART,
		"where /metrics and /healthz are served, a loopback address; none = nowhere",
		check_metrics_listen},
	{"user", CONF_STRING, AT(user), "hirundo", 0, 0, CONF_RESTART,
		"unprivileged user to run as, when started by root", NULL},
	{"log_level", CONF_STRING, AT(log_level), "info", 0, 0, CONF_RELOAD,
		"error, warning, notice, info or debug", log_level_check},
	{0},
};

/* --- options together ---------------------------------------------------------------------------
 */

/* The line of a file that sets the option, or 0. */
static int line_of(const char *file, const char *option)
{
	FILE *f = fopen(file, "re");
	size_t n = strlen(option), room = 0;
	char *line = NULL;
	int number = 0, found = 0;

	while (f && !found && getline(&line, &room, f) > 0) {
		const char *s = line + strspn(line, " \t");

		number++;
		if (strncmp(s, option, n) == 0 && s[n + strspn(s + n, " \t")] == '=')
			found = number;
	}
	free(line);
	if (f)
		(void)fclose(f);
	return found;
}

/* What is wrong with options that each are right, and the option to blame. NULL: nothing. */
static const char *check_together(
	const struct dashboard_conf *c, const struct dashboard_listen *l, const char **ret_option)
{
	bool tls = l->way == DASHBOARD_TLS;

	*ret_option = "listen";
	if (tls && !(c->ca_file && c->cert_file && c->key_file)) {
		if (!c->ca_file && !c->cert_file && !c->key_file)
			return "beyond this machine people need client certificates: set ca_file, "
			       "cert_file and key_file, or listen on a loopback address, or on a "
			       "Unix socket behind a proxy";
		*ret_option = c->cert_file ? "cert_file" : c->key_file ? "key_file" : "ca_file";
		return "ca_file, cert_file and key_file belong together: all three, or none";
	}
	*ret_option = "crl_file";
	if (!tls && c->crl_file)
		return "there are no client certificates here to be revoked";
	*ret_option = "cert_file";
	if (l->way == DASHBOARD_PROXY && c->cert_file)
		return "there is no TLS on a Unix socket: the proxy does that";
	*ret_option = "viewer";
	if (l->way != DASHBOARD_LOOPBACK && c->viewer)
		return tls ? "the client's certificate names the viewer: leave this out"
			   : "the proxy's header names the viewer: leave this out";
	*ret_option = "viewer_header";
	if (l->way != DASHBOARD_PROXY && c->viewer_header)
		return "a header is believed on a Unix socket only: anybody could send it here";
	*ret_option = "socket_group";
	if (l->way != DASHBOARD_PROXY && c->socket_group)
		return "there is no Unix socket";
	*ret_option = "listen";
	if (l->way == DASHBOARD_PROXY && !c->viewer_header)
		return "who looks? Set viewer_header to the header in which the proxy names the "
		       "viewer";
	if (l->way == DASHBOARD_LOOPBACK && !c->viewer)
		return "who looks? Set viewer, and everybody on this machine is it (viewer = "
		       "\"central\" sees everything); or set ca_file, cert_file and key_file for "
		       "client certificates";
	return NULL;
}

static void take_listen(const struct dashboard_conf *c, struct dashboard_listen *ret)
{
	*ret = (struct dashboard_listen){.way = DASHBOARD_PROXY};
	if (strncmp(c->listen, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
		ret->path = c->listen + strlen(UNIX_PREFIX);
		return;
	}
	(void)!hostport_parse(c->listen, &ret->at); /* it was checked */
	ret->way = is_loopback(ret->at.host) && !c->cert_file && !c->key_file && !c->ca_file
			   ? DASHBOARD_LOOPBACK
			   : DASHBOARD_TLS;
}

int dashboard_conf_load(const char *file, struct dashboard_conf *ret,
	struct dashboard_listen *ret_listen, char **ret_error)
{
	struct dashboard_listen listen;
	const char *wrong, *option;
	int line, r = conf_load(dashboard_options, file, ret, ret_error);

	if (r < 0)
		return r;
	take_listen(ret, &listen);
	wrong = check_together(ret, &listen, &option);
	if (!wrong) {
		if (ret_listen)
			*ret_listen = listen;
		return 0;
	}
	line = line_of(file, option);
	if (asprintf(ret_error, "%s:%d: %s: %s", file, line > 0 ? line : 1, option, wrong) < 0)
		*ret_error = NULL;
	conf_done(dashboard_options, ret);
	return -EINVAL;
}
