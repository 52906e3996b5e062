/*
 * hirundo-admin: database, certificates, sensors, address data, publications, exports,
 * verification. Short-lived; reads what it needs, does one thing, says what it did.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "collector/admin/admin.h"

#define DEFAULT_CONFIG "/etc/hirundo/admin.conf"

static const struct command commands[] = {
	{"db", "init", "[--reporting-zone ZONE] [--home CC] [--raw-retention DAYS]",
		"make the schema and roles in an empty database; set the zone of reporting days\n"
		"(once), the home region, and how long observations are kept",
		command_db_init},
	{"db", "migrate", "", "bring the schema to this program's version", command_db_migrate},
	{"db", "zone", "ZONE [--force]",
		"change the zone of reporting days: rollups and verdicts are made anew",
		command_db_zone},
	{"db", "status", "", "show versions and settings; exit 1 where a migration is due",
		command_db_status},
	{"ca", "init", "[--server NAME] [--server-name HOST]...",
		"make the CA where there is none, and the certificate of the collector, or of the\n"
		"server NAME (for the host of option `collector`, or the hosts given: then also "
		"in\n"
		"place of an old one)",
		command_ca_init},
	{"sensor", "add",
		"NAME --region CC --address ADDRESS... [--allow-capture]\n"
		"[--succeeds NAME] [--interface NAME] [--bundle DIR]",
		"enrol a sensor; write its key, certificate and configuration to a new folder.\n"
		"ADDRESS: address or prefix, or \"captured=public\" where NAT makes them differ",
		command_sensor_add},
	{"sensor", "list", "[--addresses]", "show sensors; their addresses only to the owner",
		command_sensor_list},
	{"sensor", "disable", "NAME", "cut a sensor off and refuse it from now on",
		command_sensor_disable},
	{"sensor", "renew", "NAME --bundle DIR [--interface NAME]",
		"write a bundle with a new key and certificate", command_sensor_renew},
	{"viewer", "add", "NAME (--region CC... | --everything) [--login ROLE] [--bundle DIR]",
		"let somebody look through the dashboard: at the sensors and sources of the\n"
		"regions, and sums over others, or at all; write key and certificate to a new\n"
		"folder. ROLE: of PostgreSQL, that is this viewer when it is logged in",
		command_viewer_add},
	{"viewer", "list", "", "show viewers", command_viewer_list},
	{"viewer", "disable", "NAME", "refuse a viewer from now on", command_viewer_disable},
	{"viewer", "renew", "NAME --bundle DIR", "write a bundle with a new key and certificate",
		command_viewer_renew},
	{"enrich", "import", "KIND FILE... [--name TEXT] [--date YYYY-MM-DD] [--force]",
		"replace address data of this kind: rir (delegated files of the registries), "
		"ranges\n"
		"(CSV), mmdb (country, ASN), pfx2as, overrides (prefix,region,asn,holder),\n"
		"organizations (prefix,organization,contact), scanners (of research), groups\n"
		"(name,cidr); --force: also where it has over 20 % fewer ranges than what it\n"
		"replaces",
		command_enrich_import},
	{"enrich", "lookup", "ADDRESS",
		"show region, ASN, holder, organization and contact of an address, whether it\n"
		"scans for research, and which data say so",
		command_enrich_lookup},
	{"report", "quarter", "QUARTER [--output DIR] [--new-edition] [--single-sensor-regions]",
		"publish a quarter, such as 2023Q1, as HTML and Markdown. What was published "
		"stays:\n"
		"again, it shows what would be different now; --new-edition publishes that",
		command_report_quarter},
	{"verify", NULL, "[--json]",
		"check that the books balance: every packet that sensors sealed is stored,\n"
		"quarantined, rejected, lost or open; exit 1 and the difference where not",
		command_verify},
	{"export", "notification",
		"--period PERIOD --format csv|xarf --tlp TLP --output FILE [--organization NAME]\n"
		"[--region CC] [--asn N] [--networks FILE|CIDR,...] [--group NAME] [--filter "
		"JSON]\n"
		"[--recipient CONTACT|internal]",
		"list sources for notices: as CSV (Shadowserver's darknet feed) or XARF reports;\n"
		"PERIOD: 2026, 2026Q1, 2026-01, 2026-01-31, or 2026-01-01/2026-01-31; TLP: clear,\n"
		"green, amber, amber+strict, red; exact times and source ports only for the\n"
		"registered CONTACT of the sources' network",
		command_export_notification},
	{"export", "capture",
		"--period PERIOD --output FILE [--tlp TLP] [--organization NAME] [--region CC]\n"
		"[--asn N] [--networks FILE|CIDR,...] [--group NAME] [--filter JSON]\n"
		"[--recipient CONTACT|internal]",
		"write samples of payloads as a pcap with masked addresses of sensors",
		command_export_capture},
};

int fail(int code, const char *fmt, ...)
{
	va_list ap;

	(void)fputs("hirundo-admin: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return code;
}

int no_memory(void)
{
	return fail(EX_OSERR, "out of memory");
}

int no_arguments(int argc, char **argv)
{
	return argc == 1 ? EX_OK : fail(EX_USAGE, "\"%s\": no argument is taken here", argv[1]);
}

bool parse_number(const char *text, long min, long max, long *ret)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool region_valid(const char *text)
{
	return text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z' &&
	       text[2] == '\0';
}

/* Prints text, each line behind the indentation. */
static void print_indented(const char *indentation, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		(void)printf("%s%.*s\n", indentation, (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void help(void)
{
	(void)puts("Usage: hirundo-admin [--config FILE] COMMAND ...\n"
		   "Keeps Hirundo's database, certificates, sensors and address data.\n\n"
		   "  -c, --config FILE   configuration (default " DEFAULT_CONFIG
		   ", where it exists)\n"
		   "      --check-config  check the configuration and exit\n"
		   "  -h, --help          this text and the options of the configuration\n"
		   "      --version\n\n"
		   "Commands:");
	for (const struct command *c = commands; c < commands + ARRAY_SIZE(commands); c++) {
		size_t n = strcspn(c->arguments, "\n");

		(void)printf("  %s%s%s%s%.*s\n", c->group, c->name ? " " : "",
			c->name ? c->name : "", n > 0 ? " " : "", (int)n, c->arguments);
		print_indented("          ", c->arguments + n + (c->arguments[n] == '\n'));
		print_indented("      ", c->help);
	}
	(void)puts("\nOptions of the configuration:");
	conf_print_help(admin_options);
}

/* @return NULL where there is none; *ret_words = words of its name */
static const struct command *find_command(int argc, char **argv, int *ret_words)
{
	for (const struct command *c = commands; c < commands + ARRAY_SIZE(commands); c++) {
		int words = c->name ? 2 : 1;

		if (argc >= words && strcmp(argv[0], c->group) == 0 &&
			(!c->name || strcmp(argv[1], c->name) == 0)) {
			*ret_words = words;
			return c;
		}
	}
	return NULL;
}

static int load(struct admin *a, const char *config)
{
	AUTO_FREE char *error = NULL;
	int r;

	if (!config && access(DEFAULT_CONFIG, F_OK) == 0)
		config = DEFAULT_CONFIG;
	r = conf_load(admin_options, config, &a->conf, &error);
	if (r < 0)
		return fail(EX_CONFIG, "%s", error ? error : strerror(-r));
	return EX_OK;
}

static char argv0[] = "hirundo-admin";

static int run(struct admin *a, int argc, char **argv)
{
	const struct command *command;
	int words;

	if (argc == 0)
		return fail(EX_USAGE, "a command is missing; try hirundo-admin --help");
	command = find_command(argc, argv, &words);
	if (!command)
		return fail(EX_USAGE, "no command \"%s%s%s\"; try hirundo-admin --help", argv[0],
			argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	optind = 0; /* glibc: start over with the command's own options */
	argv[words - 1] = argv0; /* for getopt's messages */
	return command->run(a, argc - words + 1, argv + words - 1);
}

/* What nobody could read was not said. */
static int flush(int code)
{
	if (fflush(stdout) != 0 && code == EX_OK)
		return fail(EX_IOERR, "standard output: %s", strerror(errno));
	return code;
}

int main(int argc, char **argv)
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
	struct admin a = {0};
	const char *config = NULL;
	bool check = false;
	int c, code;

	/* "+": the command's options are its own. */
	while ((c = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c': config = optarg; break;
		case CHECK: check = true; break;
		case 'h': help(); return flush(EX_OK);
		case VERSION: (void)puts("hirundo-admin " HIRUNDO_VERSION); return flush(EX_OK);
		default: return EX_USAGE; /* getopt_long told it */
		}
	}
	code = load(&a, config);
	if (code == EX_OK && !check)
		code = run(&a, argc - optind, argv + optind);
	PQfinish(a.conn);
	conf_done(admin_options, &a.conf);
	return flush(code);
}
