/*
 * export notification, export capture: arguments, and the steps that all exports have in common.
 * No file without its row in hirundo.export_log, and none of either after an error.
 */
#include "collector/admin/export_job.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sysexits.h>

#include "collector/admin/path.h"
#include "common/buf.h"

#define ABOUT_SUFFIX ".about.json"
/** Of a list of networks, bytes. */
#define NETWORKS_MAX (16u * 1024u * 1024u)

struct arguments {
	const char *period, *filter, *organization, *region, *asn, *networks, *group;
};

/* Beside the file: what it is. */
struct about {
	struct export_file file;
	char *path, *text;
	char id[37]; /* of the row in export_log */
};

/* Arguments. */

static bool one_of(const char *text, const char *const *list)
{
	while (*list && strcmp(text, *list) != 0)
		list++;
	return *list != NULL;
}

static int check_tlp(const struct export *x)
{
	static const char *const all[] = {"clear", "green", "amber", "amber+strict", "red", NULL};
	static const char *const public_[] = {"clear", "green", NULL};
	static const char *const internal[] = {"amber+strict", "red", NULL};

	if (!one_of(x->tlp, all))
		return fail(EX_USAGE,
			"--tlp: must be clear, green, amber, amber+strict or red, not \"%s\"",
			x->tlp);
	if (x->recipient && one_of(x->tlp, public_))
		return fail(EX_USAGE,
			"--recipient: exact times are for one reader: --tlp amber or above");
	if (x->recipient && strcmp(x->recipient, "internal") == 0 && !one_of(x->tlp, internal))
		return fail(EX_USAGE, "--recipient internal: --tlp amber+strict or red");
	return EX_OK;
}

static int check_format(const struct admin *a, const struct export *x)
{
	static const char *const formats[] = {"csv", "xarf", NULL};

	if (strcmp(x->kind, "capture") == 0)
		return EX_OK;
	if (!x->format || !one_of(x->format, formats))
		return fail(EX_USAGE, "--format: must be csv or xarf");
	return strcmp(x->format, "xarf") == 0 ? export_check_xarf(a) : EX_OK;
}

static int check_arguments(
	const struct admin *a, const struct export *x, const struct arguments *arg)
{
	long asn;
	int code;

	if (!arg->period || !x->output || !x->tlp)
		return fail(EX_USAGE, "export %s: --period, --output%s are needed", x->kind,
			strcmp(x->kind, "capture") == 0 ? "" : ", --format and --tlp");
	if (!*x->output || x->output[strlen(x->output) - 1] == '/')
		return fail(EX_USAGE, "--output: \"%s\" is no name of a file", x->output);
	if (arg->region && !region_valid(arg->region))
		return fail(EX_USAGE, "--region: must be two capital letters (ISO 3166-1)");
	if (arg->asn && !parse_number(arg->asn, 1, UINT32_MAX, &asn))
		return fail(EX_USAGE, "--asn: must be 1 to %" PRIu32, UINT32_MAX);
	if (x->recipient && !*x->recipient)
		return fail(EX_USAGE, "--recipient: must be a registered contact, or internal");
	code = check_format(a, x);
	if (code == EX_OK)
		code = check_tlp(x);
	return code;
}

static int parse(struct export *x, struct arguments *arg, int argc, char **argv)
{
	enum {
		PERIOD = 256,
		FORMAT,
		ORGANIZATION,
		REGION,
		ASN,
		NETWORKS,
		GROUP,
		FILTER,
		TLP,
		RECIPIENT,
		OUTPUT
	};
	static const struct option options[] = {
		{"period", required_argument, NULL, PERIOD},
		{"organization", required_argument, NULL, ORGANIZATION},
		{"region", required_argument, NULL, REGION},
		{"asn", required_argument, NULL, ASN},
		{"networks", required_argument, NULL, NETWORKS},
		{"group", required_argument, NULL, GROUP},
		{"filter", required_argument, NULL, FILTER},
		{"tlp", required_argument, NULL, TLP},
		{"recipient", required_argument, NULL, RECIPIENT},
		{"output", required_argument, NULL, OUTPUT},
		{"format", required_argument, NULL, FORMAT}, /* last: a capture has none */
		{0},
	};
	const struct option *taken = options;
	struct option without_format[ARRAY_SIZE(options) - 1];
	int c;

	if (x->format) {
		memcpy(without_format, options, sizeof(without_format));
		without_format[ARRAY_SIZE(without_format) - 1] = (struct option){0};
		taken = without_format;
	}
	while ((c = getopt_long(argc, argv, "", taken, NULL)) != -1) {
		switch (c) {
		case PERIOD: arg->period = optarg; break;
		case FORMAT: x->format = optarg; break;
		case ORGANIZATION: arg->organization = optarg; break;
		case REGION: arg->region = optarg; break;
		case ASN: arg->asn = optarg; break;
		case NETWORKS: arg->networks = optarg; break;
		case GROUP: arg->group = optarg; break;
		case FILTER: arg->filter = optarg; break;
		case TLP: x->tlp = optarg; break;
		case RECIPIENT: x->recipient = optarg; break;
		case OUTPUT: x->output = optarg; break;
		default: return EX_USAGE;
		}
	}
	if (optind < argc)
		return fail(EX_USAGE, "export %s: \"%s\" is no option", x->kind, argv[optind]);
	return EX_OK;
}

/* The file's text where there is such a file, else what was given. */
static int read_networks(const char *given, struct buf *ret)
{
	FILE *f;
	size_t n;
	int r = 0;

	buf_init(ret, NETWORKS_MAX);
	if (!path_exists(given)) {
		r = buf_add(ret, given, strlen(given) + 1);
		return r == 0 ? EX_OK : fail(EX_USAGE, "--networks: %s", strerror(-r));
	}
	f = fopen(given, "r");
	if (!f)
		return fail(EX_NOINPUT, "%s: %s", given, strerror(errno));
	do {
		r = buf_reserve(ret, 4096);
		if (r < 0)
			break;
		n = fread(buf_tail(ret), 1, buf_room(ret), f);
		if (n > 0 && memchr(buf_tail(ret), '\0', n))
			r = -EILSEQ;
		buf_added(ret, n);
	} while (r == 0 && n > 0);
	if (r == 0 && ferror(f))
		r = -EIO;
	if (r == 0)
		r = buf_add(ret, "", 1);
	(void)fclose(f);
	return r == 0 ? EX_OK : fail(EX_NOINPUT, "%s: %s", given, strerror(-r));
}

/* Period and filter as SQL has them. */
static int resolve(struct admin *a, struct export *x, const struct arguments *arg)
{
	struct buf networks = {0};
	const char *values[] = {arg->period, arg->filter ? arg->filter : "{}", arg->organization,
		arg->region, arg->asn, arg->group, NULL};
	PGresult *res = NULL;
	int code = arg->networks ? read_networks(arg->networks, &networks) : EX_OK;

	values[6] = (const char *)buf_head(&networks);
	if (code == EX_OK)
		code = sql_query(a,
			"SELECT hirundo.export_period($1), hirundo.export_filter($2::jsonb,"
			" jsonb_strip_nulls(jsonb_build_object('organization', $3::text,"
			" 'src_region', $4::text, 'asn', $5::bigint, 'network_group', $6::text,"
			" 'networks', CASE WHEN $7::text IS NOT NULL THEN"
			" coalesce((SELECT jsonb_agg(n.text) FROM regexp_split_to_table("
			"regexp_replace($7, '#[^\\n]*', '', 'g'), '[\\s,]+') AS n (text)"
			" WHERE n.text <> ''), '[]') END)))",
			ARRAY_SIZE(values), values, &res);
	buf_done(&networks);
	if (code == EX_OK) {
		x->period = strdup(PQgetvalue(res, 0, 0));
		x->filter = strdup(PQgetvalue(res, 0, 1));
		if (!x->period || !x->filter)
			code = no_memory();
	}
	PQclear(res);
	return code;
}

/* Writing. */

static int begin(struct admin *a)
{
	int code = sql_connect(a, SQL_OWNER);

	if (code == EX_OK)
		code = sql_run(a, "SET client_encoding = 'UTF8'", 0, NULL);
	if (code == EX_OK)
		code = sql_run(a, "SET timezone = 'UTC'", 0, NULL);
	if (code == EX_OK) /* what is counted and what is listed is of one moment */
		code = sql_run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ", 0, NULL);
	return code;
}

static int cannot(int r, const char *path)
{
	return fail(r == -ENOSPC || r == -EDQUOT || r == -EIO ? EX_IOERR
		    : r == -ENOMEM                            ? EX_OSERR
							      : EX_CANTCREAT,
		"%s: %s", path, r == -EEXIST ? "is there already" : strerror(-r));
}

static int open_files(struct export *x, struct about *about)
{
	int r = asprintf(&about->path, "%s" ABOUT_SUFFIX, x->output);

	if (r < 0) {
		about->path = NULL;
		return no_memory();
	}
	r = export_file_open(x->output, &x->file);
	if (r < 0)
		return cannot(r, x->output);
	r = export_file_open(about->path, &about->file);
	return r < 0 ? cannot(r, about->path) : EX_OK;
}

static int write_rows(struct admin *a, struct export *x)
{
	if (strcmp(x->format, "csv") == 0)
		return export_write_csv(a, x);
	if (strcmp(x->format, "xarf") == 0)
		return export_write_xarf(a, x);
	return export_write_pcap(a, x);
}

/* "{a,b}" of one field of what was left out. Reasons are plain words. */
static void list_left(const struct export *x, int field, char *to, size_t size)
{
	size_t n = (size_t)snprintf(to, size, "{");

	for (size_t i = 0; i < x->left_n && n < size; i++) {
		const struct export_left *left = &x->left[i];
		const char *comma = i > 0 ? "," : "";

		if (field == 0)
			n += (size_t)snprintf(to + n, size - n, "%s%s", comma, left->reason);
		else
			n += (size_t)snprintf(to + n, size - n, "%s%" PRId64, comma,
				field == 1 ? left->sources : left->packets);
	}
	if (n < size)
		(void)snprintf(to + n, size - n, "}");
}

static void name_user(char *to, size_t size)
{
	const struct passwd *user = getpwuid(getuid());

	if (user)
		(void)snprintf(to, size, "%s", user->pw_name);
	else
		(void)snprintf(to, size, "%lu", (unsigned long)getuid());
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Into the log; what comes back goes beside the file. */
static int note(struct admin *a, const struct export *x, const char *sha256, struct about *about)
{
	char user[64], counts[3][24], left[3][EXPORT_REASONS_MAX * 34u + 3u];
	const char *values[] = {user, HIRUNDO_VERSION, x->kind, x->format, x->tlp, x->recipient,
		x->period, x->filter, counts[0], counts[1], counts[2], left[0], left[1], left[2],
		base_name(x->output), sha256};
	PGresult *res = NULL;
	int code;

	name_user(user, sizeof(user));
	(void)snprintf(counts[0], sizeof(counts[0]), "%" PRId64, x->rows);
	(void)snprintf(counts[1], sizeof(counts[1]), "%" PRId64, x->sources);
	(void)snprintf(counts[2], sizeof(counts[2]), "%" PRId64, x->packets);
	for (int i = 0; i < 3; i++)
		list_left(x, i, left[i], sizeof(left[i]));
	code = sql_query(a,
		"SELECT export_id, about FROM hirundo.export_note($1, $2, $3, $4, $5, $6,"
		" $7::daterange, $8::jsonb, $9::bigint, $10::bigint, $11::bigint, $12::text[],"
		" $13::bigint[], $14::bigint[], $15, $16)",
		ARRAY_SIZE(values), values, &res);
	if (code == EX_OK) {
		(void)snprintf(about->id, sizeof(about->id), "%s", PQgetvalue(res, 0, 0));
		about->text = strdup(PQgetvalue(res, 0, 1));
		if (!about->text)
			code = no_memory();
	}
	PQclear(res);
	return code;
}

static int finish(struct admin *a, struct export *x, struct about *about)
{
	char sha256[EXPORT_SHA256_TEXT], unused[EXPORT_SHA256_TEXT];
	int code, r = export_file_finish(&x->file, sha256);

	if (r < 0)
		return cannot(r, x->output);
	code = note(a, x, sha256, about);
	if (code != EX_OK)
		return code;
	export_file_write(&about->file, about->text, strlen(about->text));
	r = export_file_finish(&about->file, unused);
	return r < 0 ? cannot(r, about->path) : EX_OK;
}

/* The file comes last: where it is, all else is. */
static int publish(struct admin *a, struct export *x, struct about *about)
{
	const char *id = about->id;
	int code, r = export_file_publish(&about->file);

	if (r < 0)
		return cannot(r, about->path);
	code = sql_run(a, "COMMIT", 0, NULL);
	if (code == EX_OK) {
		r = export_file_publish(&x->file);
		if (r == 0)
			return EX_OK;
		code = cannot(r, x->output);
		if (sql_run(a, "DELETE FROM hirundo.export_log WHERE export_id = $1::uuid", 1,
			    &id) != EX_OK)
			code = fail(code, "the note of export %s stays in the log", id);
	}
	(void)unlink(about->path);
	return code;
}

static int export(struct admin *a, struct export *x, const struct arguments *arg)
{
	struct about about = {0};
	int code = check_arguments(a, x, arg);

	if (code == EX_OK)
		code = begin(a);
	if (code == EX_OK)
		code = resolve(a, x, arg);
	if (code == EX_OK)
		code = open_files(x, &about);
	if (code == EX_OK)
		code = write_rows(a, x);
	if (code == EX_OK)
		code = finish(a, x, &about);
	if (code == EX_OK)
		code = publish(a, x, &about);
	if (code == EX_OK)
		(void)printf("%s: %" PRId64 " rows, %" PRId64
			     " packets; %s says what was left out\n",
			x->output, x->rows, x->packets, about.path);
	export_file_done(&x->file);
	export_file_done(&about.file);
	free(about.path);
	free(about.text);
	free(x->period);
	free(x->filter);
	return code;
}

int command_export_notification(struct admin *a, int argc, char **argv)
{
	struct export x = {.kind = "notification"};
	struct arguments arg = {0};
	int code = parse(&x, &arg, argc, argv);

	return code == EX_OK ? export(a, &x, &arg) : code;
}

int command_export_capture(struct admin *a, int argc, char **argv)
{
	struct export x = {.kind = "capture", .format = "pcap", .tlp = "red"};
	struct arguments arg = {0};
	int code = parse(&x, &arg, argc, argv);

	return code == EX_OK ? export(a, &x, &arg) : code;
}
