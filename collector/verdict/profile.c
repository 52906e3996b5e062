/* What hops to expect of any origin and of each region at each sensor. */
#include <errno.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

/* Each round takes the tracks' common offsets off, which the profiles of the round before tell. */
#define ROUNDS 3
/* A sensor that nobody of another region was seen at; what sources of a sensor's own region differ
 * by where none was seen. Hops. */
#define MEAN_UNKNOWN 14
#define IN_REGION_UNKNOWN (-6)
/* Shrinks a track's mean offset: variance of a hop to that of the offset. */
#define OFFSET_SHRINK 0.6
/* Votes of earlier days that count as much as a holder of today in medians of effects. */
#define HISTORY_LEAST 0.5

/* A (holder, region, sensor): one vote. */
struct group {
	size_t first, n; /* entries */
	double hops; /* median, offsets taken off */
	uint16_t region, sensor;
};

struct learn {
	struct detector *d;
	struct keyed *entries; /* value: index of refs */
	struct entry {
		uint32_t track;
		uint32_t hop; /* of the track */
	} * refs;
	size_t entries_n;
	struct group *groups;
	size_t groups_n;
	struct keyed *by_region; /* groups by region, sensor */
	struct keyed *by_sensor; /* groups by sensor */
	double *scratch;
	double *effect; /* [region] */
};

static size_t cell_at(const struct detector *d, uint16_t region, uint16_t sensor)
{
	return (size_t)region * d->in->sensors_n + sensor;
}

static bool same_region(const struct detector *d, uint16_t region, uint16_t sensor)
{
	return d->in->sensor_region[sensor] == region;
}

static int list_entries(struct learn *l)
{
	const struct detector *d = l->d;
	const struct verdict_input *in = d->in;
	unsigned sensor_bits = order_bits(in->sensors_n), region_bits = order_bits(in->regions_n);
	size_t n = 0;

	if (order_bits(in->holders_n) + sensor_bits + region_bits > 64)
		return -E2BIG;
	for (size_t i = 0; i < d->r->tracks_n; i++)
		n += d->r->tracks[i].teaches ? d->r->tracks[i].sensors : 0;
	if (n > UINT32_MAX)
		return -E2BIG;
	l->entries = zeroed(n, sizeof(*l->entries));
	l->refs = zeroed(n, sizeof(*l->refs));
	l->scratch = zeroed(n + (size_t)in->regions_n * in->sensors_n, sizeof(*l->scratch));
	l->effect = zeroed(in->regions_n, sizeof(*l->effect));
	if (!l->entries || !l->refs || !l->scratch || !l->effect)
		return -ENOMEM;
	for (size_t i = 0; i < d->r->tracks_n; i++) {
		const struct verdict_track *t = &d->r->tracks[i];
		const struct verdict_source *s = &in->sources[t->source];

		for (unsigned h = 0; t->teaches && h < t->sensors; h++) {
			uint64_t key = s->holder;

			key = key << region_bits | s->region;
			key = key << sensor_bits | track_hops(d, t)[h].sensor;
			l->entries[l->entries_n] =
				(struct keyed){.key = key, .value = (uint32_t)l->entries_n};
			l->refs[l->entries_n++] = (struct entry){.track = (uint32_t)i, .hop = h};
		}
	}
	return order_keyed(l->entries, l->entries_n);
}

static int list_groups(struct learn *l)
{
	const struct detector *d = l->d;
	size_t room = 0;

	for (size_t i = 0, end; i < l->entries_n; i = end) {
		const struct entry *e = &l->refs[l->entries[i].value];
		const struct verdict_track *t = &d->r->tracks[e->track];

		for (end = i + 1; end < l->entries_n && l->entries[end].key == l->entries[i].key;)
			end++;
		if (!grow(&l->groups, l->groups_n, &room, sizeof(*l->groups)))
			return -ENOMEM;
		l->groups[l->groups_n++] = (struct group){
			.first = i,
			.n = end - i,
			.region = d->in->sources[t->source].region,
			.sensor = track_hops(d, t)[e->hop].sensor,
		};
	}
	l->by_region = zeroed(l->groups_n, sizeof(*l->by_region));
	l->by_sensor = zeroed(l->groups_n, sizeof(*l->by_sensor));
	if (!l->by_region || !l->by_sensor)
		return -ENOMEM;
	for (size_t i = 0; i < l->groups_n; i++) {
		const struct group *g = &l->groups[i];

		l->by_region[i].key = cell_at(d, g->region, g->sensor);
		l->by_sensor[i].key = g->sensor;
		l->by_region[i].value = l->by_sensor[i].value = (uint32_t)i;
	}
	return order_keyed(l->by_region, l->groups_n) < 0 ||
			       order_keyed(l->by_sensor, l->groups_n) < 0
		       ? -ENOMEM
		       : 0;
}

static void vote(struct learn *l)
{
	const struct detector *d = l->d;

	for (size_t i = 0; i < l->groups_n; i++) {
		struct group *g = &l->groups[i];

		for (size_t j = 0; j < g->n; j++) {
			const struct entry *e = &l->refs[l->entries[g->first + j].value];
			const struct verdict_track *t = &d->r->tracks[e->track];

			l->scratch[j] = track_hops(d, t)[e->hop].hops - t->offset;
		}
		g->hops = median(l->scratch, g->n);
	}
}

/* Of any origin: the median over the holders of other regions. */
static void learn_sensors(struct learn *l)
{
	const struct detector *d = l->d;
	const struct verdict_history *history = d->in->history;
	struct verdict_profile *p = &d->r->profile;
	size_t at = 0;

	for (uint16_t s = 0; s < d->in->sensors_n; s++) {
		double earlier = history ? history->sensor_votes[s] : 0, sum = 0;
		size_t n = 0;

		for (; at < l->groups_n && l->by_sensor[at].key == s; at++) {
			const struct group *g = &l->groups[l->by_sensor[at].value];

			if (!same_region(d, g->region, s))
				l->scratch[n++] = g->hops;
		}
		if (n > 0)
			sum += (double)n * median(l->scratch, n);
		if (history && earlier > 0)
			sum += earlier * history->sensor_mean[s];
		p->votes[s] = (double)n + earlier;
		p->mean[s] = p->votes[s] > 0 ? sum / p->votes[s] : MEAN_UNKNOWN;
	}
}

/* Earlier days' vote on a cell, if it is worth a holder. */
static bool earlier_vote(const struct detector *d, uint16_t region, uint16_t sensor, double *ret)
{
	const struct verdict_history *history = d->in->history;
	size_t at = cell_at(d, region, sensor);

	if (!history || history->region_holders[at] < HISTORY_LEAST)
		return false;
	*ret = history->region_mean[at] - d->r->profile.mean[sensor];
	return true;
}

/* What sources of a sensor's own region differ by: they are near. */
static void learn_in_region(struct learn *l)
{
	const struct detector *d = l->d;
	struct verdict_profile *p = &d->r->profile;
	size_t n = 0;
	double earlier;

	for (size_t i = 0; i < l->groups_n; i++) {
		const struct group *g = &l->groups[i];

		if (same_region(d, g->region, g->sensor))
			l->scratch[n++] = g->hops - p->mean[g->sensor];
	}
	for (uint16_t s = 0; s < d->in->sensors_n; s++) {
		uint16_t region = d->in->sensor_region[s];

		if (region != VERDICT_NONE && earlier_vote(d, region, s, &earlier))
			l->scratch[n++] = earlier;
	}
	p->in_region = n > 0 ? median(l->scratch, n) : IN_REGION_UNKNOWN;
}

static double inside(const struct detector *d, uint16_t region, uint16_t sensor)
{
	return same_region(d, region, sensor) ? d->r->profile.in_region : 0;
}

/* What a region's sources differ by at all sensors. */
static void learn_effects(struct learn *l)
{
	const struct detector *d = l->d;
	struct verdict_profile *p = &d->r->profile;
	size_t at = 0;
	double earlier;

	for (uint16_t region = 0; region < d->in->regions_n; region++) {
		size_t n = 0;

		for (; at < l->groups_n && l->groups[l->by_region[at].value].region == region;
			at++) {
			const struct group *g = &l->groups[l->by_region[at].value];

			l->scratch[n++] =
				g->hops - p->mean[g->sensor] - inside(d, region, g->sensor);
		}
		for (uint16_t s = 0; s < d->in->sensors_n; s++)
			if (earlier_vote(d, region, s, &earlier))
				l->scratch[n++] = earlier - inside(d, region, s);
		p->known[region] = n > 0;
		l->effect[region] = n > 0 ? median(l->scratch, n) * (double)n /
						    ((double)n + d->p->effect_shrink)
					  : 0;
	}
}

static void learn_regions(struct learn *l)
{
	const struct detector *d = l->d;
	const struct verdict_history *history = d->in->history;
	struct verdict_profile *p = &d->r->profile;
	size_t at = 0;

	for (uint16_t region = 0; region < d->in->regions_n; region++) {
		for (uint16_t s = 0; s < d->in->sensors_n; s++) {
			size_t cell = cell_at(d, region, s), n = 0;
			double toward = p->mean[s] + l->effect[region] + inside(d, region, s);
			double weight = d->p->shrink, sum = weight * toward;

			for (; at < l->groups_n && l->by_region[at].key == cell; at++)
				l->scratch[n++] = l->groups[l->by_region[at].value].hops;
			if (n > 0)
				sum += (double)n * median(l->scratch, n);
			weight += (double)n;
			if (history) {
				sum += history->region_holders[cell] * history->region_mean[cell];
				weight += history->region_holders[cell];
			}
			p->region_mean[cell] = sum / weight;
			p->region_holders[cell] = weight - d->p->shrink;
		}
	}
}

static void learn_offsets(struct detector *d)
{
	for (size_t i = 0; i < d->r->tracks_n; i++) {
		struct verdict_track *t = &d->r->tracks[i];
		const struct verdict_hop *h = track_hops(d, t);
		uint16_t region = d->in->sources[t->source].region;
		double sum = 0;

		for (unsigned s = 0; t->teaches && s < t->sensors; s++)
			sum += h[s].hops -
			       d->r->profile.region_mean[cell_at(d, region, h[s].sensor)];
		t->offset = sum / (t->sensors + OFFSET_SHRINK);
	}
}

/* What was learned before holds. */
static void adopt(struct detector *d)
{
	const struct verdict_profile *from = d->in->learned;
	struct verdict_profile *p = &d->r->profile;
	size_t sensors = d->in->sensors_n, cells = d->in->regions_n * sensors;

	memcpy(p->mean, from->mean, sensors * sizeof(*p->mean));
	memcpy(p->votes, from->votes, sensors * sizeof(*p->votes));
	memcpy(p->known, from->known, d->in->regions_n * sizeof(*p->known));
	memcpy(p->region_mean, from->region_mean, cells * sizeof(*p->region_mean));
	memcpy(p->region_holders, from->region_holders, cells * sizeof(*p->region_holders));
	p->in_region = from->in_region;
	learn_offsets(d);
}

int profile_learn(struct detector *d)
{
	struct learn l = {.d = d};
	int e;

	if (d->in->learned) {
		adopt(d);
		return 0;
	}
	e = list_entries(&l);
	if (e == 0)
		e = list_groups(&l);
	for (size_t i = 0; i < d->r->tracks_n; i++)
		d->r->tracks[i].offset = 0;
	for (unsigned round = 0; e == 0 && round < ROUNDS; round++) {
		vote(&l);
		learn_sensors(&l);
		learn_in_region(&l);
		learn_effects(&l);
		learn_regions(&l);
		learn_offsets(d);
	}
	free(l.entries);
	free(l.refs);
	free(l.groups);
	free(l.by_region);
	free(l.by_sensor);
	free(l.scratch);
	free(l.effect);
	return e;
}
