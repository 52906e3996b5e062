/* ca init. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "collector/admin/admin.h"
#include "collector/admin/path.h"
#include "collector/pki.h"
#include "common/hostport.h"
#include "common/tlsctx.h"

/** Names of one server certificate. */
#define SERVER_NAMES_MAX 32

struct ca_files {
	char *ca_cert, *ca_key, *cert, *key;
};

static void ca_files_done(struct ca_files *f)
{
	free(f->ca_cert);
	free(f->ca_key);
	free(f->cert);
	free(f->key);
}

/* server: whose certificate it is, a valid name */
static bool ca_files_init(struct ca_files *f, const char *dir, const char *server)
{
	char cert[TLS_NAME_MAX + 5], key[TLS_NAME_MAX + 5];

	(void)snprintf(cert, sizeof(cert), "%s.crt", server);
	(void)snprintf(key, sizeof(key), "%s.key", server);
	*f = (struct ca_files){
		.ca_cert = path_join(dir, "ca.crt"),
		.ca_key = path_join(dir, "ca.key"),
		.cert = path_join(dir, cert),
		.key = path_join(dir, key),
	};
	return f->ca_cert && f->ca_key && f->cert && f->key;
}

/* Makes a CA, or loads the one that is there. */
static int get_ca(const struct ca_files *f, struct pki_ca *ret)
{
	AUTO_FREE char *reason = NULL;
	int r;

	if (path_exists(f->ca_cert)) {
		r = pki_ca_load(f->ca_cert, f->ca_key, ret, &reason);
		return r < 0 ? fail(EX_NOINPUT, "CA: %s", reason ? reason : strerror(-r)) : EX_OK;
	}
	r = pki_ca_create("Hirundo CA", ret);
	if (r < 0)
		return fail(EX_SOFTWARE, "CA: %s", strerror(-r));
	/* The key first: where this ends in between, nothing was signed yet. */
	r = pki_write_key(f->ca_key, ret->key, false);
	if (r < 0)
		return fail(EX_CANTCREAT, "%s: %s", f->ca_key, strerror(-r));
	r = pki_write_cert(f->ca_cert, ret->cert, false);
	if (r < 0)
		return fail(EX_CANTCREAT, "%s: %s", f->ca_cert, strerror(-r));
	(void)printf("%s: made\n", f->ca_cert);
	return EX_OK;
}

static int make_server(struct admin *a, const struct ca_files *f, const struct pki_ca *ca,
	const char *const *names)
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int r = pki_issue_server(ca, names, (unsigned)a->conf.server_certificate_days, &key, &cert);

	if (r < 0)
		return fail(EX_USAGE, "a name of the server can not stand in a certificate");
	r = pki_write_key(f->key, key, true);
	if (r == 0)
		r = pki_write_cert(f->cert, cert, true);
	EVP_PKEY_free(key);
	X509_free(cert);
	if (r < 0)
		return fail(EX_CANTCREAT, "%s: %s", f->cert, strerror(-r));
	(void)printf("%s: made, for", f->cert);
	for (size_t i = 0; names[i]; i++)
		(void)printf(" %s", names[i]);
	(void)putchar('\n');
	return EX_OK;
}

static int init(struct admin *a, const char *server, const char *const *names, bool replace)
{
	struct ca_files f;
	struct pki_ca ca = {0};
	int code = EX_OK, r;

	if (!ca_files_init(&f, a->conf.ca_dir, server))
		code = no_memory();
	if (code == EX_OK) {
		r = path_make_parents(a->conf.ca_dir);
		if (r == 0 && mkdir(a->conf.ca_dir, 0700) < 0 && errno != EEXIST)
			r = -errno;
		if (r < 0)
			code = fail(EX_CANTCREAT, "%s: %s", a->conf.ca_dir, strerror(-r));
	}
	if (code == EX_OK)
		code = get_ca(&f, &ca);
	if (code == EX_OK && !replace && path_exists(f.cert) && path_exists(f.key))
		(void)printf("%s: is there already\n", f.cert);
	else if (code == EX_OK)
		code = make_server(a, &f, &ca, names);
	pki_ca_done(&ca);
	ca_files_done(&f);
	return code;
}

int command_ca_init(struct admin *a, int argc, char **argv)
{
	static const struct option options[] = {{"server", required_argument, NULL, 's'},
		{"server-name", required_argument, NULL, 'n'}, {0}};
	const char *names[SERVER_NAMES_MAX + 1] = {0}, *server = "collector";
	struct hostport hp;
	size_t n = 0;
	bool given;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'n' && c != 's')
			return EX_USAGE;
		if (c == 's') {
			server = optarg;
			continue;
		}
		if (n == SERVER_NAMES_MAX)
			return fail(EX_USAGE, "--server-name: %d at most", SERVER_NAMES_MAX);
		names[n++] = optarg;
	}
	if (optind < argc)
		return fail(EX_USAGE, "ca init: \"%s\" is no option", argv[optind]);
	/* The CA's own files are no server's. */
	if (!tls_sensor_name_valid(server, strlen(server)) || strcmp(server, "ca") == 0)
		return fail(
			EX_USAGE, "--server: a-z, 0-9 and -, at most %u, and not ca", TLS_NAME_MAX);
	given = n > 0;
	if (!given && strcmp(server, "collector") != 0)
		return fail(
			EX_USAGE, "ca init: --server-name is needed: %s may be anywhere", server);
	if (!given) {
		if (hostport_parse(a->conf.collector, &hp) < 0)
			return fail(
				EX_CONFIG, "ca init: option collector or --server-name is needed");
		names[n++] = hp.host;
		/* A trial on one machine: whichever way it is called. */
		if (strcmp(hp.host, "localhost") == 0) {
			names[n++] = "127.0.0.1";
			names[n++] = "::1";
		}
	}
	return init(a, server, names, given);
}
