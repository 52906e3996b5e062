/* Rows to tracks: what one sender behind an address shows at each sensor. */
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"

/* Packets that must repeat before their spread says anything, and the share of them away from the
 * median that makes an initial TTL random. */
#define REPEATED_MIN 4
#define OFF_SHARE 0.3
#define OFF_HOPS 2
/* Deviation from the sensors' medians, hops, from so many sensors on. */
#define SPREAD_SENSORS 4
#define SPREAD_HOPS 6
/* No path is longer (traceroute studies: 95 % below 30). */
#define LONGEST_PATH 40
#define IMPLAUSIBLE_SHARE 0.1
#define IMPLAUSIBLE_RANGE 45
/* Classes that disagree by more are two senders: at one sensor, or by their mean offsets. */
#define SPLIT_HOPS 3
#define SPLIT_OFFSET 6
/* nmap -sS draws its TTL from 37 to 59 (mean 48, variance 44) for each packet. */
#define NMAP_HIGHEST 56
#define NMAP_RANGE 24
#define NMAP_MEAN 48
#define NMAP_VARIANCE 44
/* One packet a sensor: deviation from the sensors' medians that such TTLs show, hops (5.5 of a
 * uniform draw of 23; hosts of one initial TTL show 1 to 2, forged ones 3). */
#define NMAP_SPREAD 4
/* Least variance of a random TTL. */
#define RANDOM_VARIANCE 100

/* A source's packets of one initial TTL at one sensor. */
struct cell {
	uint64_t packets, off, implausible;
	double mean, variance;
	uint16_t sensor;
	uint8_t class_, median, lowest, highest; /* hops; TTLs */
};

struct work {
	struct detector *d;
	struct cell *cells; /* of one source, by sensor, class */
	size_t cells_n, cells_room, tracks_room, hops_room;
	uint64_t ttl_packets[256]; /* of one sensor; else 0 */
	uint64_t *sig_packets; /* [signature]; of one track; else 0 */
	uint32_t *sig_first;
	double *scratch; /* [sensor] */
	uint64_t *stamps, stamp; /* [region]: last track that was seen there */
};

/* The cell of the packets with TTLs from low to high, all of one class. */
static struct cell fold_class(const struct work *w, uint16_t sensor, int low, int high)
{
	unsigned class_ = ttl_class((uint8_t)low);
	struct cell c = {.sensor = sensor, .class_ = (uint8_t)class_};
	const uint64_t *count = w->ttl_packets;
	uint64_t below = 0;

	for (int t = low; t <= high; t++)
		c.packets += count[t];
	for (int t = high; t >= low; t--) { /* hops ascending */
		int hops = class_ttl(class_) - t;

		if (count[t] == 0)
			continue;
		if (below == 0)
			c.highest = (uint8_t)t;
		c.lowest = (uint8_t)t;
		if (2 * below < c.packets)
			c.median = (uint8_t)hops;
		below += count[t];
		c.mean += (double)hops * (double)count[t] / (double)c.packets;
		c.implausible += hops > LONGEST_PATH ? count[t] : 0;
	}
	for (int t = c.lowest; t <= c.highest && c.packets > 0; t++) {
		int hops = class_ttl(class_) - t;
		double away = hops - c.mean;

		c.variance += (double)count[t] * away * away / (double)c.packets;
		c.off += abs(hops - c.median) > OFF_HOPS ? count[t] : 0;
	}
	return c;
}

/* The cells of one sensor; rows are those of a source there. */
static int fold_sensor(struct work *w, const struct verdict_row *rows, size_t n)
{
	/* 26 is the last of class 32. */
	static const uint8_t last[CLASSES_N] = {26, 64, 128, 255};
	int low = 255, high = 0;

	for (size_t i = 0; i < n; i++) {
		w->ttl_packets[rows[i].ttl] += rows[i].packets;
		low = rows[i].ttl < low ? rows[i].ttl : low;
		high = rows[i].ttl > high ? rows[i].ttl : high;
	}
	for (unsigned class_ = ttl_class((uint8_t)low); class_ < CLASSES_N && low <= high;
		class_++) {
		int end = last[class_] < high ? last[class_] : high;
		struct cell c = fold_class(w, rows->sensor, low, end);

		low = end + 1;
		if (c.packets == 0)
			continue;
		if (!grow(&w->cells, w->cells_n, &w->cells_room, sizeof(*w->cells)))
			return -ENOMEM;
		w->cells[w->cells_n++] = c;
	}
	for (size_t i = 0; i < n; i++)
		w->ttl_packets[rows[i].ttl] = 0;
	return 0;
}

static int fold_source(struct work *w, const struct verdict_row *rows, size_t n)
{
	size_t end;

	w->cells_n = 0;
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && rows[end].sensor == rows[i].sensor;)
			end++;
		if (fold_sensor(w, rows + i, end - i) < 0)
			return -ENOMEM;
	}
	return 0;
}

static size_t source_end(const struct verdict_input *in, size_t i)
{
	size_t end = i + 1;

	while (end < in->rows_n && in->rows[end].source == in->rows[i].source)
		end++;
	return end;
}

/* The median over all cells of each sensor. */
static int learn_rough(struct work *w)
{
	const struct verdict_input *in = w->d->in;
	AUTO_FREE uint64_t *count = zeroed((size_t)in->sensors_n * HOPS_N, sizeof(*count));

	if (!count)
		return -ENOMEM;
	for (size_t i = 0, end; i < in->rows_n && !stopped(w->d); i = end) {
		end = source_end(in, i);
		if (fold_source(w, in->rows + i, end - i) < 0)
			return -ENOMEM;
		for (size_t c = 0; c < w->cells_n; c++)
			count[(size_t)w->cells[c].sensor * HOPS_N + w->cells[c].median]++;
	}
	for (unsigned s = 0; s < in->sensors_n; s++) {
		const uint64_t *at = count + (size_t)s * HOPS_N;
		uint64_t all = 0, below = 0;
		double sum = 0;

		for (unsigned h = 0; h < HOPS_N; h++)
			all += at[h];
		for (unsigned h = 0; h < HOPS_N && all > 0; h++) {
			/* the two in the middle, or twice the one */
			sum += below <= (all - 1) / 2 && (all - 1) / 2 < below + at[h] ? h : 0;
			sum += below <= all / 2 && all / 2 < below + at[h] ? h : 0;
			below += at[h];
		}
		w->d->r->profile.rough[s] = sum / 2;
	}
	return 0;
}

/* What cells of one sensor show together. */
static struct verdict_hop join(const struct cell *c, size_t n)
{
	struct verdict_hop h = {.sensor = c->sensor};
	uint64_t below = 0;
	double mean = 0;
	bool taken[CLASSES_N] = {false};

	for (size_t i = 0; i < n; i++) {
		h.packets += c[i].packets;
		h.classes |= (uint8_t)(1u << c[i].class_);
	}
	for (size_t round = 0; round < n; round++) { /* medians ascending; n is at most 4 */
		size_t least = n;

		for (size_t i = 0; i < n; i++)
			if (!taken[i] && (least == n || c[i].median < c[least].median))
				least = i;
		taken[least] = true;
		if (2 * below < h.packets)
			h.hops = c[least].median;
		below += c[least].packets;
	}
	for (size_t i = 0; i < n; i++)
		mean += (double)c[i].median * (double)c[i].packets / (double)h.packets;
	for (size_t i = 0; i < n; i++) {
		double away = c[i].median - mean;

		h.variance += (double)c[i].packets * (c[i].variance + away * away);
	}
	h.variance /= (double)h.packets;
	return h;
}

/* Mean and variance of the TTLs themselves. */
static struct verdict_hop join_raw(const struct cell *c, size_t n)
{
	struct verdict_hop h = {.sensor = c->sensor};

	for (size_t i = 0; i < n; i++) {
		h.packets += c[i].packets;
		h.classes |= (uint8_t)(1u << c[i].class_);
	}
	for (size_t i = 0; i < n; i++)
		h.hops += (double)c[i].packets * (class_ttl(c[i].class_) - c[i].mean) /
			  (double)h.packets;
	for (size_t i = 0; i < n; i++) {
		double away = class_ttl(c[i].class_) - c[i].mean - h.hops;

		h.variance += (double)c[i].packets * (c[i].variance + away * away);
	}
	h.variance /= (double)h.packets;
	return h;
}

static size_t sensor_end(const struct work *w, size_t i)
{
	size_t end = i + 1;

	while (end < w->cells_n && w->cells[end].sensor == w->cells[i].sensor)
		end++;
	return end;
}

/* Median distance of a source's hops from their median, the sensors' medians taken off.
 * @param raw  hops whatever the initial TTL: less the mean TTL */
static double spread(struct work *w, bool raw, size_t *ret_sensors)
{
	const double *rough = w->d->r->profile.rough;
	size_t n = 0;
	double middle;

	for (size_t i = 0, end; i < w->cells_n; i = end) {
		double hops;

		end = sensor_end(w, i);
		hops = raw ? -join_raw(w->cells + i, end - i).hops
			   : join(w->cells + i, end - i).hops;
		w->scratch[n++] = hops - rough[w->cells[i].sensor];
	}
	*ret_sensors = n;
	middle = median(w->scratch, n);
	for (size_t i = 0; i < n; i++)
		w->scratch[i] = fabs(w->scratch[i] - middle);
	return median(w->scratch, n);
}

/* Whether the mean offsets of the classes are far apart. */
static bool offsets_differ(const struct work *w)
{
	const double *rough = w->d->r->profile.rough;
	double sum[CLASSES_N] = {0}, low = INFINITY, high = -INFINITY;
	unsigned n[CLASSES_N] = {0};

	for (size_t i = 0; i < w->cells_n; i++) {
		sum[w->cells[i].class_] += w->cells[i].median - rough[w->cells[i].sensor];
		n[w->cells[i].class_]++;
	}
	for (unsigned c = 0; c < CLASSES_N; c++) {
		if (n[c] == 0)
			continue;
		low = fmin(low, sum[c] / n[c]);
		high = fmax(high, sum[c] / n[c]);
	}
	return high - low > SPLIT_OFFSET;
}

static enum verdict_kind kind_of(struct work *w)
{
	uint64_t packets = 0, implausible = 0, repeated = 0, off = 0;
	unsigned lowest = 255, highest = 0, range = 0, disagree = 0;
	bool low_draw, split;
	size_t sensors;
	double away;

	for (size_t i = 0, end; i < w->cells_n; i = end) {
		unsigned low = 255, high = 0, least = HOPS_N, most = 0;

		end = sensor_end(w, i);
		for (size_t c = i; c < end; c++) {
			const struct cell *x = &w->cells[c];

			packets += x->packets;
			implausible += x->implausible;
			repeated += x->packets >= 2 ? x->packets : 0;
			off += x->packets >= 2 ? x->off : 0;
			low = x->lowest < low ? x->lowest : low;
			high = x->highest > high ? x->highest : high;
			least = x->median < least ? x->median : least;
			most = x->median > most ? x->median : most;
		}
		lowest = low < lowest ? low : lowest;
		highest = high > highest ? high : highest;
		range = high - low > range ? high - low : range;
		disagree = most - least > disagree ? most - least : disagree;
	}
	away = spread(w, false, &sensors);
	low_draw = highest <= NMAP_HIGHEST && range <= NMAP_RANGE;
	if ((repeated >= REPEATED_MIN && (double)off >= OFF_SHARE * (double)repeated) ||
		(sensors >= SPREAD_SENSORS && away > SPREAD_HOPS) ||
		(implausible > 0 && implausible < packets &&
			(double)implausible >= IMPLAUSIBLE_SHARE * (double)packets &&
			highest - lowest > IMPLAUSIBLE_RANGE && disagree > SPLIT_HOPS))
		return low_draw ? VERDICT_NMAP : VERDICT_RANDOM;
	split = disagree > SPLIT_HOPS || offsets_differ(w);
	/* Of few packets: nothing starts with 32 nowadays, so low TTLs on both sides of that
	 * class's end are drawn rather than two senders'. */
	if (!w->d->p->reference && low_draw &&
		(split || (sensors >= SPREAD_SENSORS && spread(w, true, &sensors) > NMAP_SPREAD)))
		return VERDICT_NMAP;
	return split ? VERDICT_SPLIT : VERDICT_FIXED;
}

/* Most packets; then seen first; then the lowest. class_: CLASSES_N for all. */
static uint32_t main_signature(
	struct work *w, const struct verdict_row *rows, size_t n, unsigned class_)
{
	uint32_t best = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		uint32_t s = rows[i].signature;

		if (class_ < CLASSES_N && ttl_class(rows[i].ttl) != class_)
			continue;
		if (w->sig_packets[s] == 0 || rows[i].first_s < w->sig_first[s])
			w->sig_first[s] = rows[i].first_s;
		w->sig_packets[s] += rows[i].packets;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t s = rows[i].signature;

		if (w->sig_packets[s] == 0 || s == best)
			continue;
		if (best == UINT32_MAX || w->sig_packets[s] > w->sig_packets[best] ||
			(w->sig_packets[s] == w->sig_packets[best] &&
				(w->sig_first[s] < w->sig_first[best] ||
					(w->sig_first[s] == w->sig_first[best] && s < best))))
			best = s;
	}
	for (size_t i = 0; i < n; i++)
		w->sig_packets[rows[i].signature] = 0;
	return best;
}

static int add_hop(struct work *w, struct verdict_track *t, const struct verdict_hop *h)
{
	struct verdict_result *r = w->d->r;

	if (!grow(&r->hops, r->hops_n, &w->hops_room, sizeof(*r->hops)))
		return -ENOMEM;
	r->hops[r->hops_n++] = *h;
	t->sensors++;
	t->packets += h->packets;
	return 0;
}

/* Whether it is the first sensor of its region since stamp changed. A sensor without a region
 * counts as one of its own. */
static bool new_region(struct work *w, uint16_t sensor)
{
	uint16_t region = w->d->in->sensor_region[sensor];

	if (region == VERDICT_NONE)
		return true;
	if (w->stamps[region] == w->stamp)
		return false;
	w->stamps[region] = w->stamp;
	return true;
}

static uint16_t count_regions(struct work *w, const struct verdict_track *t)
{
	const struct verdict_hop *h = track_hops(w->d, t);
	uint16_t n = 0;

	w->stamp++;
	for (unsigned i = 0; i < t->sensors; i++)
		n += new_region(w, h[i].sensor);
	return n;
}

static uint16_t count_source_regions(struct work *w)
{
	uint16_t n = 0;

	w->stamp++;
	for (size_t i = 0; i < w->cells_n; i = sensor_end(w, i))
		n += new_region(w, w->cells[i].sensor);
	return n;
}

/* class_: CLASSES_N for all packets. */
static int add_track(struct work *w, const struct verdict_row *rows, size_t n,
	enum verdict_kind kind, unsigned class_)
{
	struct detector *d = w->d;
	struct verdict_result *r = d->r;
	bool raw = kind == VERDICT_NMAP || kind == VERDICT_RANDOM;
	struct verdict_track t = {
		.source = rows->source,
		.hops = r->hops_n,
		.initial_ttl = class_ < CLASSES_N ? class_ttl(class_) : 0,
		.kind = (uint8_t)kind,
		.nearest_region = VERDICT_NONE,
		.worst_sensor = VERDICT_NONE,
		.campaign = UINT32_MAX,
	};

	for (size_t i = 0, end; i < w->cells_n; i = end) {
		size_t at = i;
		struct verdict_hop h;

		end = sensor_end(w, i);
		while (class_ < CLASSES_N && at < end && w->cells[at].class_ != class_)
			at++;
		if (at == end)
			continue;
		h = raw ? join_raw(w->cells + i, end - i)
			: join(w->cells + at, class_ < CLASSES_N ? 1 : end - i);
		if (d->p->reference)
			h.classes = join(w->cells + i, end - i).classes;
		if (add_hop(w, &t, &h) < 0)
			return -ENOMEM;
	}
	if (raw) {
		double pooled = 0;

		for (size_t i = t.hops; i < r->hops_n; i++)
			pooled += (double)r->hops[i].packets * r->hops[i].variance /
				  (double)t.packets;
		for (size_t i = t.hops; i < r->hops_n; i++) {
			struct verdict_hop *h = &r->hops[i];

			h->hops = (kind == VERDICT_NMAP ? NMAP_MEAN : 0) - h->hops;
			h->variance = kind == VERDICT_NMAP ? NMAP_VARIANCE
							   : fmax(RANDOM_VARIANCE, pooled);
		}
	}
	for (size_t i = 0; i < w->cells_n; i++)
		t.implausible |= w->cells[i].implausible > 0;
	for (size_t i = 0; i < n; i++)
		t.response |= d->in->signature_response[rows[i].signature];
	t.signature = main_signature(w, rows, n, d->p->reference ? CLASSES_N : class_);
	t.regions = count_regions(w, &t);
	t.source_regions = count_source_regions(w);
	if (!grow(&r->tracks, r->tracks_n, &w->tracks_room, sizeof(*r->tracks)))
		return -ENOMEM;
	r->tracks[r->tracks_n++] = t;
	return 0;
}

static int add_source(struct work *w, const struct verdict_row *rows, size_t n)
{
	enum verdict_kind kind = kind_of(w);
	enum verdict_listing listing = w->d->in->sources[rows->source].listing;
	unsigned seen = 0;

	if (listing != VERDICT_LISTED)
		kind = listing == VERDICT_BOGON ? VERDICT_KIND_BOGON : VERDICT_KIND_UNLISTED;
	if (kind != VERDICT_SPLIT)
		return add_track(w, rows, n, kind, CLASSES_N);
	for (size_t i = 0; i < w->cells_n; i++)
		seen |= 1u << w->cells[i].class_;
	for (unsigned c = 0; c < CLASSES_N; c++)
		if (seen >> c & 1 && add_track(w, rows, n, kind, c) < 0)
			return -ENOMEM;
	return 0;
}

int fold(struct detector *d)
{
	const struct verdict_input *in = d->in;
	struct work w = {
		.d = d,
		.sig_packets = zeroed(in->signatures_n, sizeof(*w.sig_packets)),
		.sig_first = zeroed(in->signatures_n, sizeof(*w.sig_first)),
		.scratch = zeroed(in->sensors_n, sizeof(*w.scratch)),
		.stamps = zeroed(in->regions_n, sizeof(*w.stamps)),
	};
	int e = w.sig_packets && w.sig_first && w.scratch && w.stamps ? 0 : -ENOMEM;

	if (e == 0 && in->learned)
		memcpy(d->r->profile.rough, in->learned->rough,
			in->sensors_n * sizeof(*in->learned->rough));
	else if (e == 0)
		e = learn_rough(&w);
	for (size_t i = 0, end; e == 0 && i < in->rows_n && !stopped(d); i = end) {
		end = source_end(in, i);
		e = fold_source(&w, in->rows + i, end - i);
		if (e == 0)
			e = add_source(&w, in->rows + i, end - i);
	}
	free(w.cells);
	free(w.sig_packets);
	free(w.sig_first);
	free(w.scratch);
	free(w.stamps);
	return e;
}
