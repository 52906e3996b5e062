#include "collector/admin/bundle.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "collector/admin/path.h"
#include "collector/pki.h"

static const char *const files[] = {"ca.crt", "sensor.crt", "sensor.key", "sensor.conf"};

bool bundle_interface_valid(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@");

	return n > 0 && n < IF_NAMESIZE && name[n] == '\0' && strcmp(name, "any") != 0;
}

void bundle_remove(const char *dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		AUTO_FREE char *path = path_join(dir, files[i]);

		if (path)
			(void)unlink(path);
	}
	(void)rmdir(dir);
}

/* Without "/32" and "/128", as people write it. */
static int host_n(const char *cidr)
{
	const char *slash = strchr(cidr, '/');
	bool whole = strcmp(slash, strchr(cidr, ':') ? "/128" : "/32") == 0;

	return (int)(whole ? (size_t)(slash - cidr) : strlen(cidr));
}

/* Heap text, NULL out of memory. No value needs quoting: all were checked to be plain. */
static char *make_conf(const struct admin *a, const struct bundle *b)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	bool failed;

	if (!f)
		return NULL;
	(void)fprintf(f,
		"# %s. sensor.conf(5) describes every option; relative paths start at this "
		"folder.\n"
		"collector = \"%s\"\n"
		"ca_file = \"ca.crt\"\n"
		"cert_file = \"sensor.crt\"\n"
		"key_file = \"sensor.key\"\n"
		"spool_dir = \"spool\"\n"
		"# Where packets arrive.\n",
		b->urn_name, a->conf.collector);
	if (b->interface)
		(void)fprintf(f, "interface = \"%s\"\n", b->interface);
	else
		(void)fputs("# interface = \"eth0\"\n", f);
	(void)fputs("# These addresses are a secret.\naddresses = {", f);
	for (size_t i = 0; i < b->addresses_n; i++) {
		const struct address *addr = &b->addresses[i];

		(void)fprintf(f, "%s\n\t\"", i > 0 ? "," : "");
		if (*addr->captured)
			(void)fprintf(f, "%.*s = ", host_n(addr->captured), addr->captured);
		(void)fprintf(f, "%.*s\"", host_n(addr->public_), addr->public_);
	}
	(void)fputs("\n}\n", f);
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

/* What fill() makes, by ownership. */
struct made {
	struct pki_ca ca;
	EVP_PKEY *key;
	X509 *cert;
	char *conf, *reason;
	char *ca_cert, *ca_key; /* paths to read */
	char *paths[ARRAY_SIZE(files)]; /* to write, as in files[] */
};

static void made_done(struct made *m)
{
	pki_ca_done(&m->ca);
	EVP_PKEY_free(m->key);
	X509_free(m->cert);
	free(m->conf);
	free(m->reason);
	free(m->ca_cert);
	free(m->ca_key);
	for (size_t i = 0; i < ARRAY_SIZE(m->paths); i++)
		free(m->paths[i]);
}

static int fill(struct admin *a, const struct bundle *b, const char *dir, struct made *m)
{
	int r;

	m->conf = make_conf(a, b);
	m->ca_cert = path_join(a->conf.ca_dir, "ca.crt");
	m->ca_key = path_join(a->conf.ca_dir, "ca.key");
	if (!m->conf || !m->ca_cert || !m->ca_key)
		return no_memory();
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		m->paths[i] = path_join(dir, files[i]);
		if (!m->paths[i])
			return no_memory();
	}
	r = pki_ca_load(m->ca_cert, m->ca_key, &m->ca, &m->reason);
	if (r < 0)
		return fail(EX_NOINPUT, "CA: %s", m->reason ? m->reason : strerror(-r));
	r = pki_issue_sensor(
		&m->ca, b->urn_name, (unsigned)a->conf.sensor_certificate_days, &m->key, &m->cert);
	if (r < 0)
		return fail(EX_SOFTWARE, "certificate: %s", strerror(-r));
	r = pki_write_cert(m->paths[0], m->ca.cert, false);
	if (r == 0)
		r = pki_write_cert(m->paths[1], m->cert, false);
	if (r == 0)
		r = pki_write_key(m->paths[2], m->key, false);
	if (r == 0)
		r = pki_write_file(m->paths[3], m->conf, strlen(m->conf), 0600, false);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		if (chmod(m->paths[i], 0600) < 0)
			r = -errno;
	if (r < 0)
		return fail(EX_CANTCREAT, "%s: %s", b->dir, strerror(-r));
	return EX_OK;
}

int bundle_write(struct admin *a, const struct bundle *b)
{
	AUTO_FREE char *temporary = NULL;
	struct made m = {0};
	size_t n = strlen(b->dir);
	int code, r;

	while (n > 1 && b->dir[n - 1] == '/')
		n--;
	r = path_make_parents(b->dir);
	if (r < 0)
		return fail(EX_CANTCREAT, "%s: %s", b->dir, strerror(-r));
	if (asprintf(&temporary, "%.*s.XXXXXX", (int)n, b->dir) < 0) {
		temporary = NULL;
		return no_memory();
	}
	if (!mkdtemp(temporary)) /* 0700 */
		return fail(EX_CANTCREAT, "%s: %s", b->dir, strerror(errno));
	code = fill(a, b, temporary, &m);
	made_done(&m);
	/* Takes the place of an empty folder, never of one with something in it. */
	if (code == EX_OK && rename(temporary, b->dir) < 0)
		code = fail(EX_CANTCREAT, "%s: %s", b->dir,
			errno == ENOTEMPTY ? "is there already" : strerror(errno));
	if (code != EX_OK)
		bundle_remove(temporary);
	return code;
}
