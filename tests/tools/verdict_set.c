/*
 * The detector on a folder of captures, without a database:
 *
 *     verdict_set [--reference] FOLDER OUT.csv
 *
 * FOLDER holds sensors.csv (sensor_id,region,...), sensor-NAME.pcap and delegated-extended.txt.
 * OUT.csv gets source,verdict,score,reason,tracks: the lowest of a source's tracks. --reference:
 * signatures, ties and thresholds of the reference detector.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "collector/verdict/verdict.h"
#include "common/bogon.h"
#include "common/bytes.h"
#include "proto/traits.h"
#include "sensor/capture.h"
#include "sensor/classify.h"
#include "sensor/parse.h"

#define SENSORS_MAX 1000
#define REGIONS_MAX 700

struct seen {
	uint8_t src[16];
	uint64_t signature;
	uint32_t first, last, packets;
	uint16_t sensor;
	uint8_t family, ttl;
};

struct range {
	uint8_t low[16], high[16];
	uint8_t family;
	uint16_t region;
	uint32_t holder;
};

struct set {
	bool reference;
	char sensor[SENSORS_MAX][64];
	uint16_t sensor_region[SENSORS_MAX];
	uint16_t sensors_n, regions_n;
	char region[REGIONS_MAX][3];
	struct range *ranges;
	size_t ranges_n;
	char (*holders)[64];
	uint32_t holders_n;
	struct seen *seen;
	size_t seen_n, packets;
	int64_t day_us;
};

static void fail(const char *what, const char *why)
{
	(void)fprintf(stderr, "%s: %s\n", what, why ? why : "failed");
	exit(1);
}

static void *need(void *p)
{
	if (!p)
		fail("memory", "none left");
	return p;
}

static FILE *open_in(const char *folder, const char *name)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "r");
	if (!f)
		fail(path, "can not be read");
	return f;
}

static uint16_t region_index(struct set *s, const char *code)
{
	for (uint16_t i = 0; i < s->regions_n; i++)
		if (strncmp(s->region[i], code, 2) == 0)
			return i;
	if (s->regions_n == REGIONS_MAX)
		fail(code, "too many regions");
	memcpy(s->region[s->regions_n], code, 2);
	return s->regions_n++;
}

static void read_sensors(struct set *s, const char *folder)
{
	FILE *f = open_in(folder, "sensors.csv");
	char line[512], region[8];

	if (!fgets(line, sizeof(line), f))
		fail(folder, "sensors.csv is empty");
	while (fgets(line, sizeof(line), f)) {
		if (s->sensors_n == SENSORS_MAX ||
			sscanf(line, "%63[^,],%7[^,]", s->sensor[s->sensors_n], region) != 2)
			fail(folder, "sensors.csv");
		s->sensor_region[s->sensors_n++] = region_index(s, region);
	}
	(void)fclose(f);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* One line of the RIRs' format. @return false: no address range that somebody has */
static bool read_range(struct set *s, char *line, struct range *r, char *holder)
{
	char *field[8], *save = NULL;
	unsigned n = 0;
	unsigned long count;

	for (char *p = strtok_r(line, "|\n", &save); p && n < 8; p = strtok_r(NULL, "|\n", &save))
		field[n++] = p;
	if (n < 8 || (strcmp(field[6], "allocated") != 0 && strcmp(field[6], "assigned") != 0))
		return false;
	*r = (struct range){.family = strcmp(field[2], "ipv6") == 0 ? 6 : 4};
	if ((r->family == 4 && strcmp(field[2], "ipv4") != 0) ||
		inet_pton(r->family == 4 ? AF_INET : AF_INET6, field[3], r->low) != 1)
		return false;
	count = strtoul(field[4], NULL, 10);
	memcpy(r->high, r->low, sizeof(r->high));
	if (r->family == 4) {
		uint32_t low = (uint32_t)r->low[0] << 24 | (uint32_t)r->low[1] << 16 |
			       (uint32_t)r->low[2] << 8 | r->low[3];
		uint32_t high = htonl(low + (uint32_t)count - 1);

		memcpy(r->high, &high, 4);
	} else {
		for (unsigned bit = (unsigned)count; bit < 128; bit++)
			r->high[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	}
	r->region = region_index(s, field[1]);
	(void)snprintf(holder, 64, "%s", field[7]);
	return true;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->family != y->family ? x->family - y->family : memcmp(x->low, y->low, 16);
}

static void read_ranges(struct set *s, const char *folder)
{
	char line[512], (*names)[64], path[4096];
	size_t room = 1024;
	struct range r;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/delegated-extended.txt", folder);
	if (access(path, F_OK) != 0) {
		s->holders_n = UINT16_MAX + 1;
		return;
	}
	f = open_in(folder, "delegated-extended.txt");
	s->ranges = need(malloc(room * sizeof(*s->ranges)));
	names = need(malloc(room * sizeof(*names)));
	while (fgets(line, sizeof(line), f)) {
		if (s->ranges_n == room) {
			room *= 2;
			s->ranges = need(realloc(s->ranges, room * sizeof(*s->ranges)));
			names = need(realloc(names, room * sizeof(*names)));
		}
		if (!read_range(s, line, &r, names[s->ranges_n]))
			continue;
		s->ranges[s->ranges_n++] = r;
	}
	(void)fclose(f);
	s->holders = need(malloc((s->ranges_n + 1) * sizeof(*s->holders)));
	memcpy(s->holders, names, s->ranges_n * sizeof(*names));
	qsort(s->holders, s->ranges_n, sizeof(*s->holders), compare_names);
	for (size_t i = 0; i < s->ranges_n; i++)
		if (i == 0 || strcmp(s->holders[i], s->holders[s->holders_n - 1]) != 0)
			memmove(s->holders[s->holders_n++], s->holders[i], 64);
	for (size_t i = 0; i < s->ranges_n; i++) {
		const char(*at)[64] = bsearch(
			names[i], s->holders, s->holders_n, sizeof(*s->holders), compare_names);

		s->ranges[i].holder = (uint32_t)(at - (const char(*)[64])s->holders);
	}
	qsort(s->ranges, s->ranges_n, sizeof(*s->ranges), compare_ranges);
	free(names);
}

#define UNKNOWN_PORT (UINT64_C(1) << 41)
#define RESPONSE (UINT64_C(1) << 40)

/* hirundo.signature */
static uint64_t signature_of(const struct set *s, const struct observation_key *k)
{
	static const uint16_t windows[] = {0, 512, 1024, 64240, 65535};
	uint64_t sig = (uint64_t)k->protocol << 32 | UINT64_C(7) << 16;
	uint8_t flags = s->reference ? k->tcp_flags & 0x3f : k->tcp_flags;
	bool response = (k->traits & TRAITS_RESPONSE) != 0;
	bool icmp = k->protocol == 1 || k->protocol == 58;

	if (s->reference && k->protocol == 6)
		response = (flags & 0x12) == 0x12 || flags & 4;
	if (s->reference && k->protocol == 17)
		response = false;
	if (response)
		sig |= RESPONSE;
	if (k->protocol == 6)
		sig |= (uint64_t)flags << 24;
	if (icmp)
		return sig | k->icmp_type;
	if (response || (k->protocol != 6 && k->protocol != 17))
		return sig;
	if (!(k->present & HAS_DST_PORT))
		return sig | UNKNOWN_PORT;
	sig |= k->dst_port;
	if (k->protocol == 6) {
		uint64_t bucket = 5;

		for (unsigned i = 0; i < ARRAY_SIZE(windows); i++)
			if (k->tcp_window == windows[i])
				bucket = i;
		sig = (sig & ~(UINT64_C(7) << 16)) | bucket << 16;
		sig |= (uint64_t)(k->tcp_header_length / 4) << 20;
	}
	return sig;
}

static void read_capture(struct set *s, const char *folder, uint16_t sensor, size_t *room)
{
	char path[4096];
	struct capture *c;
	struct capture_packet p;
	struct packet parsed;
	AUTO_FREE char *reason = NULL;

	(void)snprintf(path, sizeof(path), "%s/sensor-%s.pcap", folder, s->sensor[sensor]);
	if (capture_open_file(path, &c, &reason) < 0)
		fail(path, reason);
	while (capture_read(c, &p) == CAPTURE_PACKET) {
		struct seen *x;

		if (parse_packet(p.dlt, p.data, p.captured, p.wire, &parsed) != PARSE_OK)
			continue;
		classify_packet(&parsed, NULL);
		if (s->seen_n == *room) {
			*room *= 2;
			s->seen = need(realloc(s->seen, *room * sizeof(*s->seen)));
		}
		if (s->packets++ == 0)
			s->day_us = p.time_us - p.time_us % INT64_C(86400000000);
		x = &s->seen[s->seen_n++];
		*x = (struct seen){
			.signature = signature_of(s, &parsed.key),
			.packets = 1,
			.sensor = sensor,
			.family = parsed.key.family,
			.ttl = parsed.key.ttl,
		};
		memcpy(x->src, parsed.key.src, sizeof(x->src));
		x->first = x->last = s->reference ? (uint32_t)s->packets
						  : (uint32_t)((p.time_us - s->day_us) / 1000000);
	}
	c = capture_close(c);
}

static int compare_seen(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	int r = x->family - y->family;

	if (r == 0)
		r = memcmp(x->src, y->src, sizeof(x->src));
	if (r == 0)
		r = x->sensor - y->sensor;
	if (r == 0)
		r = (x->signature > y->signature) - (x->signature < y->signature);
	return r == 0 ? x->ttl - y->ttl : r;
}

static void merge_seen(struct set *s)
{
	size_t n = 0;

	qsort(s->seen, s->seen_n, sizeof(*s->seen), compare_seen);
	for (size_t i = 0; i < s->seen_n; i++) {
		struct seen *x = &s->seen[n ? n - 1 : 0];

		if (n == 0 || compare_seen(x, &s->seen[i]) != 0) {
			s->seen[n++] = s->seen[i];
			continue;
		}
		x->packets++;
		x->first = s->seen[i].first < x->first ? s->seen[i].first : x->first;
		x->last = s->seen[i].last > x->last ? s->seen[i].last : x->last;
	}
	s->seen_n = n;
}

static const struct range *find_range(const struct set *s, const struct seen *x)
{
	size_t low = 0, high = s->ranges_n;
	struct range key = {.family = x->family};

	memcpy(key.low, x->src, sizeof(key.low));
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_ranges(&s->ranges[middle], &key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || s->ranges[low - 1].family != x->family ||
		memcmp(s->ranges[low - 1].high, x->src, 16) < 0)
		return NULL;
	return &s->ranges[low - 1];
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The covering /16 (IPv6: what follows the first /16) as holder. */
static uint32_t block(uint8_t family, const uint8_t *src)
{
	return family == 4 ? load_be16(src) : load_be16(src + 2);
}

/* What the core wants, of one family. */
struct day {
	struct verdict_input in;
	struct verdict_row *rows;
	struct verdict_source *sources;
	uint64_t *signatures;
	bool *response;
	const struct seen **first; /* [source] */
};

static void make_day(const struct set *s, uint8_t family, struct day *d)
{
	size_t n = 0, at = 0;

	d->rows = need(calloc(s->seen_n + 1, sizeof(*d->rows)));
	d->sources = need(calloc(s->seen_n + 1, sizeof(*d->sources)));
	d->signatures = need(calloc(s->seen_n + 1, sizeof(*d->signatures)));
	d->response = need(calloc(s->seen_n + 1, sizeof(*d->response)));
	d->first = need(calloc(s->seen_n + 1, sizeof(*d->first)));
	for (size_t i = 0; i < s->seen_n; i++)
		if (s->seen[i].family == family)
			d->signatures[n++] = s->seen[i].signature;
	qsort(d->signatures, n, sizeof(*d->signatures), compare_u64);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || d->signatures[i] != d->signatures[at - 1])
			d->signatures[at++] = d->signatures[i];
	d->in = (struct verdict_input){
		.rows = d->rows,
		.sources = d->sources,
		.sensor_region = s->sensor_region,
		.sensors_n = s->sensors_n,
		.signature_response = d->response,
		.signatures_n = (uint32_t)at,
		.holders_n = s->holders_n,
		.regions_n = s->regions_n,
	};
	for (size_t i = 0; i < at; i++)
		d->response[i] = (d->signatures[i] & RESPONSE) != 0;
	for (size_t i = 0; i < s->seen_n; i++) {
		const struct seen *x = &s->seen[i];
		const uint64_t *sig;
		const struct range *range;

		if (x->family != family)
			continue;
		if (d->in.sources_n == 0 ||
			memcmp(d->first[d->in.sources_n - 1]->src, x->src, 16) != 0) {
			range = find_range(s, x);
			d->first[d->in.sources_n] = x;
			d->sources[d->in.sources_n++] = (struct verdict_source){
				.holder = range ? range->holder : block(family, x->src),
				.region = range ? range->region : VERDICT_NONE,
				.listing = bogon(family, x->src)       ? VERDICT_BOGON
					   : range || s->ranges_n == 0 ? VERDICT_LISTED
								       : VERDICT_UNLISTED,
			};
		}
		sig = bsearch(&x->signature, d->signatures, at, sizeof(*sig), compare_u64);
		d->rows[d->in.rows_n++] = (struct verdict_row){
			.packets = x->packets,
			.source = d->in.sources_n - 1,
			.signature = (uint32_t)(sig - d->signatures),
			.first_s = x->first,
			.last_s = x->last,
			.sensor = x->sensor,
			.ttl = x->ttl,
		};
	}
}

static void write_source(const struct set *s, const struct day *d, const struct verdict_track *t,
	size_t n, FILE *out)
{
	static const char *const call[] = {"genuine", "spoofed", "undetermined"};
	static const char *const kind[] = {"fixed", "split", "nmap", "random", "unlisted", "bogon"};
	const struct seen *x = d->first[t->source];
	const struct verdict_track *worst = NULL;
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < n; i++)
		if (t[i].scored && (!worst || t[i].score < worst->score))
			worst = &t[i];
	for (size_t i = 0; i < n; i++)
		if (t[i].call == VERDICT_SPOOFED && worst && worst->call != VERDICT_SPOOFED)
			worst = &t[i];
	worst = worst ? worst : t;
	(void)inet_ntop(x->family == 4 ? AF_INET : AF_INET6, x->src, text, sizeof(text));
	(void)fprintf(out,
		"%s,%s,%.*f,%s; %u regions; offset %+.1f; worst at %s: %.1f hops expected "
		"%.1f%s%s,%zu\n",
		text, call[worst->call], s->reference ? 9 : 4, worst->score, kind[worst->kind],
		worst->regions, worst->common_offset,
		worst->worst_sensor == VERDICT_NONE ? "-" : s->sensor[worst->worst_sensor],
		worst->worst_hops, worst->worst_expected,
		worst->campaign != UINT32_MAX ? "; campaign" : "",
		worst->second_path ? "; second path" : "", n);
}

static void judge(const struct set *s, uint8_t family, FILE *out)
{
	struct verdict_params params = verdict_params;
	struct verdict_result r;
	struct day d = {0};
	struct timespec from, to;

	params.reference = s->reference;
	if (s->reference)
		params.implausible_prior = -1.2;
	make_day(s, family, &d);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	if (verdict_sort(d.rows, d.in.rows_n, d.in.sources_n, NULL) < 0 ||
		verdict_run(&d.in, &params, &r) < 0)
		fail("verdict", NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	for (size_t i = 0, end; i < r.tracks_n; i = end) {
		for (end = i + 1; end < r.tracks_n && r.tracks[end].source == r.tracks[i].source;)
			end++;
		write_source(s, &d, &r.tracks[i], end - i, out);
	}
	(void)fprintf(stderr, "IPv%d: %zu rows, %u sources, %zu tracks, %u campaigns, %.3f s\n",
		family, d.in.rows_n, d.in.sources_n, r.tracks_n, r.campaigns_n,
		(double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
	verdict_done(&r);
	free(d.rows);
	free(d.sources);
	free(d.signatures);
	free(d.response);
	free(d.first);
}

int main(int argc, char **argv)
{
	static struct set s;
	size_t room = 1024;
	FILE *out;

	s.reference = argc > 1 && strcmp(argv[1], "--reference") == 0;
	argv += s.reference;
	argc -= s.reference;
	if (argc != 3) {
		(void)fprintf(stderr, "usage: verdict_set [--reference] FOLDER OUT.csv\n");
		return 2;
	}
	s.seen = need(malloc(room * sizeof(*s.seen)));
	read_sensors(&s, argv[1]);
	read_ranges(&s, argv[1]);
	for (uint16_t i = 0; i < s.sensors_n; i++)
		read_capture(&s, argv[1], i, &room);
	merge_seen(&s);
	out = fopen(argv[2], "w");
	if (!out)
		fail(argv[2], "can not be written");
	(void)fputs("source,verdict,score,reason,tracks\n", out);
	judge(&s, 4, out);
	judge(&s, 6, out);
	if (fclose(out) != 0)
		fail(argv[2], "can not be written");
	free(s.seen);
	free(s.ranges);
	free(s.holders);
	return 0;
}
