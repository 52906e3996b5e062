#include "collector/admin/bundle.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "collector/admin/path.h"
#include "collector/pki.h"

static const char *const files[] = {"ca.crt", "sensor.crt", "sensor.key", "sensor.conf", NULL};
#define FILES_N (ARRAY_SIZE(files) - 1)

bool bundle_interface_valid(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@");

	return n > 0 && n < IF_NAMESIZE && name[n] == '\0' && strcmp(name, "any") != 0;
}

void bundle_take_back(const char *dir, const char *const *names)
{
	for (size_t i = 0; names[i]; i++) {
		AUTO_FREE char *path = path_join(dir, names[i]);

		if (path)
			(void)unlink(path);
	}
	(void)rmdir(dir);
}

void bundle_remove(const char *dir)
{
	bundle_take_back(dir, files);
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
	char *conf;
	char *paths[FILES_N]; /* to write, as in files[] */
};

static void made_done(struct made *m)
{
	pki_ca_done(&m->ca);
	EVP_PKEY_free(m->key);
	X509_free(m->cert);
	free(m->conf);
	for (size_t i = 0; i < ARRAY_SIZE(m->paths); i++)
		free(m->paths[i]);
}

int bundle_load_ca(const struct admin *a, struct pki_ca *ret)
{
	AUTO_FREE char *cert = path_join(a->conf.ca_dir, "ca.crt");
	AUTO_FREE char *key = path_join(a->conf.ca_dir, "ca.key");
	AUTO_FREE char *reason = NULL;
	int r;

	if (!cert || !key)
		return no_memory();
	r = pki_ca_load(cert, key, ret, &reason);
	if (r < 0)
		return fail(EX_NOINPUT, "CA: %s", reason ? reason : strerror(-r));
	return EX_OK;
}

static int fill(struct admin *a, const struct bundle *b, const char *dir, struct made *m)
{
	int code = bundle_load_ca(a, &m->ca), r;

	if (code != EX_OK)
		return code;
	m->conf = make_conf(a, b);
	if (!m->conf)
		return no_memory();
	for (size_t i = 0; i < FILES_N; i++) {
		m->paths[i] = path_join(dir, files[i]);
		if (!m->paths[i])
			return no_memory();
	}
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
	for (size_t i = 0; r == 0 && i < FILES_N; i++)
		if (chmod(m->paths[i], 0600) < 0)
			r = -errno;
	if (r < 0)
		return fail(EX_CANTCREAT, "%s: %s", b->dir, strerror(-r));
	return EX_OK;
}

struct filled {
	struct admin *a;
	const struct bundle *b;
};

static int fill_sensor(void *arg, const char *dir)
{
	const struct filled *f = arg;
	struct made m = {0};
	int code = fill(f->a, f->b, dir, &m);

	made_done(&m);
	return code;
}

int bundle_write(struct admin *a, const struct bundle *b)
{
	return bundle_make(b->dir, files, fill_sensor, &(struct filled){a, b});
}

int bundle_make(const char *dir, const char *const *names,
	int (*fill_folder)(void *arg, const char *dir), void *arg)
{
	AUTO_FREE char *temporary = NULL;
	size_t n = strlen(dir);
	int code, r;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	r = path_make_parents(dir);
	if (r < 0)
		return fail(EX_CANTCREAT, "%s: %s", dir, strerror(-r));
	if (asprintf(&temporary, "%.*s.XXXXXX", (int)n, dir) < 0) {
		temporary = NULL;
		return no_memory();
	}
	if (!mkdtemp(temporary)) /* 0700 */
		return fail(EX_CANTCREAT, "%s: %s", dir, strerror(errno));
	code = fill_folder(arg, temporary);
	/* Takes the place of an empty folder, never of one with something in it. */
	if (code == EX_OK && rename(temporary, dir) < 0)
		code = fail(EX_CANTCREAT, "%s: %s", dir,
			errno == ENOTEMPTY ? "is there already" : strerror(errno));
	if (code != EX_OK)
		bundle_take_back(temporary, names);
	return code;
}
