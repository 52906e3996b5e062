/* viewer add, list, disable, renew. */
#include <errno.h>
#include <getopt.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "collector/admin/bundle.h"
#include "collector/admin/path.h"
#include "collector/admin/sql.h"
#include "common/tlsctx.h"

/** Regions of one viewer: there are 249 in ISO 3166-1. */
#define REGIONS_MAX 300

/** Random bytes of the pass phrase, which is their hexadecimal digits: 80 bits. */
#define PASS_PHRASE_BYTES 10

static const char *const files[] = {"ca.crt", "viewer.crt", "viewer.key", "viewer.p12", NULL};
#define FILES_N (ARRAY_SIZE(files) - 1)

struct viewer {
	struct admin *a;
	const char *name, *login, *dir; /* login, dir: may be NULL */
	bool everything;
	const char *regions[REGIONS_MAX];
	size_t regions_n;
	char pass_phrase[2 * PASS_PHRASE_BYTES + 1]; /* "" until there is a bundle */
};

static int usage(const char *command)
{
	return fail(EX_USAGE, "%s: arguments are wrong; try hirundo-admin --help", command);
}

static int make_pass_phrase(struct viewer *v)
{
	uint8_t bytes[PASS_PHRASE_BYTES];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return fail(EX_OSERR, "no random numbers");
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(v->pass_phrase + 2 * i, 3, "%02x", bytes[i]);
	return EX_OK;
}

/* paths: of files[] */
static int write_files(struct viewer *v, const struct pki_ca *ca, char *const *paths)
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int r = pki_issue_viewer(
		ca, v->name, (unsigned)v->a->conf.viewer_certificate_days, &key, &cert);

	if (r < 0)
		return fail(EX_SOFTWARE, "certificate: %s", strerror(-r));
	r = pki_write_cert(paths[0], ca->cert, false);
	if (r == 0)
		r = pki_write_cert(paths[1], cert, false);
	if (r == 0)
		r = pki_write_key(paths[2], key, false);
	if (r == 0)
		r = pki_write_p12(paths[3], v->pass_phrase, key, cert, ca);
	EVP_PKEY_free(key);
	X509_free(cert);
	for (size_t i = 0; r == 0 && i < FILES_N; i++)
		if (chmod(paths[i], 0600) < 0)
			r = -errno;
	return r < 0 ? fail(EX_CANTCREAT, "%s: %s", v->dir, strerror(-r)) : EX_OK;
}

static int fill(void *arg, const char *dir)
{
	struct viewer *v = arg;
	struct pki_ca ca = {0};
	char *paths[FILES_N] = {0};
	int code = bundle_load_ca(v->a, &ca);

	if (code == EX_OK)
		code = make_pass_phrase(v);
	for (size_t i = 0; code == EX_OK && i < FILES_N; i++) {
		paths[i] = path_join(dir, files[i]);
		if (!paths[i])
			code = no_memory();
	}
	if (code == EX_OK)
		code = write_files(v, &ca, paths);
	for (size_t i = 0; i < FILES_N; i++)
		free(paths[i]);
	pki_ca_done(&ca);
	return code;
}

static void tell_bundle(const struct viewer *v)
{
	(void)printf("viewer %s: bundle in %s; pass phrase of viewer.p12: %s\n", v->name, v->dir,
		v->pass_phrase);
}

static int check_name(const char *name)
{
	if (name && tls_sensor_name_valid(name, strlen(name)))
		return EX_OK;
	return fail(EX_USAGE,
		"name: must be 1 to 63 of a-z, 0-9 and -, and begin with a letter or digit");
}

/* "{AU,JP}": heap text, NULL out of memory. They were checked to be two letters each. */
static char *make_regions(const struct viewer *v)
{
	char *text = calloc(1, 3 * v->regions_n + 3);
	size_t n = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < v->regions_n; i++)
		n += (size_t)snprintf(text + n, 4, "%c%s", i == 0 ? '{' : ',', v->regions[i]);
	(void)snprintf(text + n, 3, "%s", n == 0 ? "{}" : "}");
	return text;
}

/* Inside the caller's transaction. */
static int insert(const struct viewer *v)
{
	AUTO_FREE char *regions = make_regions(v);
	const char *values[] = {v->name, v->everything ? "true" : "false", regions, v->login};
	bool found = false;
	int code;

	if (!regions)
		return no_memory();
	code = sql_ask(v->a, "SELECT EXISTS (SELECT FROM hirundo.viewer WHERE name = $1)", 1,
		&v->name, &found);
	if (code == EX_OK && found)
		code = fail(EX_DATAERR, "there is, or was, a viewer \"%s\"", v->name);
	if (code == EX_OK && v->login) {
		code = sql_ask(v->a, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", 1,
			&v->login, &found);
		if (code == EX_OK && !found)
			code = fail(EX_DATAERR, "--login: no role \"%s\"", v->login);
	}
	if (code == EX_OK)
		code = sql_run(v->a,
			"INSERT INTO hirundo.viewer (name, everything, regions, login)"
			" SELECT $1, $2::boolean, ARRAY(SELECT DISTINCT r FROM"
			" unnest($3::char(2)[]) AS u (r) ORDER BY r), $4",
			4, values);
	return code;
}

/* All or nothing, as a sensor is enrolled. */
static int enrol(struct viewer *v)
{
	bool written = false;
	int code = sql_connect(v->a, SQL_OWNER);

	if (code == EX_OK)
		code = sql_run(v->a, "BEGIN", 0, NULL);
	if (code == EX_OK)
		code = insert(v);
	if (code == EX_OK && v->dir) {
		code = bundle_make(v->dir, files, fill, v);
		written = code == EX_OK;
	}
	if (code == EX_OK)
		code = sql_run(v->a, "COMMIT", 0, NULL);
	if (code == EX_OK && v->dir)
		tell_bundle(v);
	else if (code == EX_OK)
		(void)printf("viewer %s\n", v->name);
	else if (written)
		bundle_take_back(v->dir, files);
	return code;
}

static int parse_add(int argc, char **argv, struct viewer *v)
{
	enum {
		REGION = 256,
		EVERYTHING,
		LOGIN,
		BUNDLE
	};
	static const struct option options[] = {
		{"region", required_argument, NULL, REGION},
		{"everything", no_argument, NULL, EVERYTHING},
		{"login", required_argument, NULL, LOGIN},
		{"bundle", required_argument, NULL, BUNDLE},
		{0},
	};
	bool more_regions = false; /* words after --region CC are regions, too */
	int c;

	/* "-": words that are no options come in their place, as option 1. */
	while ((c = getopt_long(argc, argv, "-", options, NULL)) != -1) {
		if (c == REGION || (c == 1 && more_regions)) {
			if (v->regions_n == REGIONS_MAX)
				return fail(EX_USAGE, "--region: %d at most", REGIONS_MAX);
			/* ZZ is what reports call a region that is not known, or not told. */
			if (!optarg || !region_valid(optarg) || strcmp(optarg, "ZZ") == 0)
				return fail(EX_USAGE,
					"--region: must be two capital letters (ISO 3166-1), not "
					"ZZ");
			v->regions[v->regions_n++] = optarg;
			more_regions = true;
			continue;
		}
		more_regions = false;
		switch (c) {
		case 1:
			if (v->name)
				return usage("viewer add");
			v->name = optarg;
			break;
		case EVERYTHING: v->everything = true; break;
		case LOGIN: v->login = optarg; break;
		case BUNDLE: v->dir = optarg; break;
		default: return EX_USAGE;
		}
	}
	return optind < argc ? usage("viewer add") : EX_OK;
}

int command_viewer_add(struct admin *a, int argc, char **argv)
{
	struct viewer v = {.a = a};
	int code = parse_add(argc, argv, &v);

	if (code == EX_OK)
		code = check_name(v.name);
	if (code == EX_OK && v.everything == (v.regions_n > 0))
		code = fail(EX_USAGE, "viewer add: either --region or --everything is needed");
	return code == EX_OK ? enrol(&v) : code;
}

int command_viewer_list(struct admin *a, int argc, char **argv)
{
	PGresult *res = NULL;
	int code = no_arguments(argc, argv);

	if (code == EX_OK)
		code = sql_connect(a, SQL_READER);
	if (code == EX_OK)
		code = sql_query(a,
			"SELECT v.name, CASE WHEN v.everything THEN 'everything'"
			" ELSE array_to_string(v.regions, ' ') END AS sees,"
			" coalesce(v.login, '') AS login,"
			" to_char(v.enrolled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS enrolled,"
			" CASE WHEN v.disabled_at IS NULL THEN 'enabled' ELSE 'disabled' END AS "
			"state"
			" FROM hirundo.viewer v ORDER BY v.name",
			0, NULL, &res);
	if (code == EX_OK)
		sql_print(res, 0);
	PQclear(res);
	return code;
}

int command_viewer_disable(struct admin *a, int argc, char **argv)
{
	PGresult *res = NULL;
	const char *name;
	int code;

	if (argc != 2)
		return usage("viewer disable");
	name = argv[1];
	code = sql_connect(a, SQL_OWNER);
	if (code == EX_OK)
		code = sql_query(a,
			"WITH disabled AS (UPDATE hirundo.viewer SET disabled_at = now()"
			" WHERE name = $1 AND disabled_at IS NULL RETURNING name)"
			" SELECT EXISTS (SELECT FROM disabled) FROM hirundo.viewer WHERE name = $1",
			1, &name, &res);
	if (code != EX_OK)
		return code;
	if (PQntuples(res) == 0)
		code = fail(EX_DATAERR, "no viewer \"%s\"", name);
	else
		(void)printf("viewer %s: %s\n", name,
			strcmp(PQgetvalue(res, 0, 0), "t") == 0 ? "disabled"
								: "was disabled already");
	PQclear(res);
	return code;
}

int command_viewer_renew(struct admin *a, int argc, char **argv)
{
	static const struct option options[] = {{"bundle", required_argument, NULL, 'b'}, {0}};
	struct viewer v = {.a = a};
	PGresult *res = NULL;
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'b')
			return EX_USAGE;
		v.dir = optarg;
	}
	if (argc - optind != 1 || !v.dir)
		return usage("viewer renew");
	v.name = argv[optind];
	code = sql_connect(a, SQL_OWNER);
	if (code == EX_OK)
		code = sql_query(a,
			"SELECT disabled_at IS NOT NULL FROM hirundo.viewer WHERE name = $1", 1,
			&v.name, &res);
	if (code != EX_OK)
		return code;
	if (PQntuples(res) == 0)
		code = fail(EX_DATAERR, "no viewer \"%s\"", v.name);
	else if (strcmp(PQgetvalue(res, 0, 0), "t") == 0)
		code = fail(EX_DATAERR, "viewer \"%s\" is disabled", v.name);
	PQclear(res);
	if (code == EX_OK)
		code = bundle_make(v.dir, files, fill, &v);
	if (code == EX_OK)
		tell_bundle(&v);
	return code;
}
