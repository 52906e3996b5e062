#include "sensor/arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/clock.h"
#include "sensor/pipeline.h"
#include "sensor/sensor_conf.h"

static const char usage[] =
	"Usage: hirundo-sensor --config FILE [--read CAPTURE [--again] [--cover FROM/TO]]\n"
	"       hirundo-sensor --read CAPTURE --print csv\n"
	"Captures packets that arrive at unused addresses and delivers them to a collector.\n\n"
	"  -c, --config FILE   configuration\n"
	"      --check-config  check the configuration and exit\n"
	"      --read CAPTURE  deliver a pcap or pcapng file instead of an interface's packets\n"
	"      --again         ... also when it was delivered before\n"
	"      --cover FROM/TO ... and state the time it covers (ISO 8601, UTC: "
	"2024-06-01T00:00:00Z/...)\n"
	"      --print csv     print a line a packet to standard output; nothing is sent or "
	"masked\n"
	"  -h, --help          this text and the options of the configuration\n"
	"      --version\n\n";

static bool parse_time(const char *s, const char *end, int64_t *ret)
{
	struct tm tm = {0};
	const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm);

	if (rest != end)
		return false;
	*ret = (int64_t)timegm(&tm) * US_PER_S;
	return pipeline_time_ok(*ret);
}

static bool parse_cover(const char *text, int64_t *ret_from, int64_t *ret_to)
{
	const char *slash = strchr(text, '/');

	return slash && parse_time(text, slash, ret_from) &&
	       parse_time(slash + 1, text + strlen(text), ret_to) && *ret_from < *ret_to;
}

int arguments_parse(int argc, char **argv, struct arguments *ret)
{
	enum {
		CHECK = 256,
		READ,
		AGAIN,
		COVER,
		PRINT,
		VERSION
	};
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check-config", no_argument, NULL, CHECK},
		{"read", required_argument, NULL, READ},
		{"again", no_argument, NULL, AGAIN},
		{"cover", required_argument, NULL, COVER},
		{"print", required_argument, NULL, PRINT},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c': ret->config = optarg; break;
		case CHECK: ret->check = true; break;
		case READ: ret->read = optarg; break;
		case AGAIN: ret->again = true; break;
		case COVER:
			if (!parse_cover(optarg, &ret->cover_from_us, &ret->cover_to_us)) {
				fputs("hirundo-sensor: --cover wants FROM/TO, such as "
				      "2024-06-01T00:00:00Z/2024-06-02T00:00:00Z\n",
					stderr);
				return EX_USAGE;
			}
			break;
		case PRINT:
			ret->print = true;
			if (strcmp(optarg, "csv") != 0) {
				(void)fprintf(stderr, "hirundo-sensor: --print knows csv only\n");
				return EX_USAGE;
			}
			break;
		case VERSION: puts("hirundo-sensor " HIRUNDO_VERSION); return EX_OK;
		case 'h':
			fputs(usage, stdout);
			conf_print_help(sensor_options);
			return EX_OK;
		default: fputs("Try hirundo-sensor --help.\n", stderr); return EX_USAGE;
		}
	}
	if (optind < argc || (ret->print && !ret->read) || (!ret->print && !ret->config) ||
		((ret->again || ret->cover_to_us) && !ret->read)) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	return -1;
}
