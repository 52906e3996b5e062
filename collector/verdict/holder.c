/* What a holder's tracks show beyond their region: one vote for each signature, so that an attack
 * with one tool can not teach its own hops. */
#include <errno.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

/* Tracks of a signature that count. */
#define SIGNATURE_WEIGHT 3
#define SPREAD_TRACKS 10

/* Values by (holder, sensor or one more for the offset, signature). */
struct ballot {
	struct keyed *keys;
	double *values;
	size_t n;
	unsigned sensor_bits, signature_bits;
};

static double cut(double x, double at)
{
	return fmax(-at, fmin(at, x));
}

static void ballot_add(struct ballot *b, const struct verdict_source *s, uint32_t sensor,
	uint32_t signature, double value)
{
	uint64_t key = s->holder;

	key = key << b->sensor_bits | sensor;
	key = key << b->signature_bits | signature;
	b->keys[b->n] = (struct keyed){.key = key, .value = (uint32_t)b->n};
	b->values[b->n++] = value;
}

static int ballot_fill(struct ballot *b, const struct detector *d)
{
	const struct verdict_input *in = d->in;
	size_t n = 0;

	b->sensor_bits = order_bits((uint64_t)in->sensors_n + 1);
	b->signature_bits = order_bits(in->signatures_n);
	if (order_bits(in->holders_n) + b->sensor_bits + b->signature_bits > 64)
		return -E2BIG;
	for (size_t i = 0; i < d->r->tracks_n; i++)
		n += d->r->tracks[i].teaches ? d->r->tracks[i].sensors + (size_t)1 : 0;
	if (n > UINT32_MAX)
		return -E2BIG;
	b->keys = zeroed(n, sizeof(*b->keys));
	b->values = zeroed(n, sizeof(*b->values));
	if (!b->keys || !b->values)
		return -ENOMEM;
	for (size_t i = 0; i < d->r->tracks_n; i++) {
		const struct verdict_track *t = &d->r->tracks[i];
		const struct verdict_source *s = &in->sources[t->source];
		const struct verdict_hop *h = track_hops(d, t);

		if (!t->teaches)
			continue;
		for (unsigned j = 0; j < t->sensors; j++) {
			double mean, variance;

			region_at(d, s->region, h[j].sensor, &mean, &variance);
			ballot_add(b, s, h[j].sensor, t->signature,
				cut(h[j].hops - t->offset - mean, d->p->residual_clip));
		}
		ballot_add(b, s, in->sensors_n, t->signature, cut(t->offset, d->p->offset_clip));
	}
	return order_keyed(b->keys, b->n);
}

static struct verdict_learned learned_at(const struct ballot *b, size_t i, uint16_t sensors_n)
{
	uint64_t key = b->keys[i].key;
	struct verdict_learned v = {
		.signature = (uint32_t)(key & ((UINT64_C(1) << b->signature_bits) - 1)),
	};
	uint64_t sensor = key >> b->signature_bits & ((UINT64_C(1) << b->sensor_bits) - 1);

	v.sensor = sensor == sensors_n ? VERDICT_NONE : (uint16_t)sensor;
	v.holder = (uint32_t)(key >> (b->signature_bits + b->sensor_bits));
	return v;
}

/* One vote a signature: the median. */
static int count_ballot(const struct ballot *b, struct detector *d)
{
	struct verdict_profile *p = &d->r->profile;
	AUTO_FREE double *scratch = zeroed(b->n, sizeof(*scratch));
	size_t residuals_room = 0, offsets_room = 0;

	if (!scratch)
		return -ENOMEM;
	for (size_t i = 0, end; i < b->n; i = end) {
		struct verdict_learned v = learned_at(b, i, d->in->sensors_n);

		for (end = i; end < b->n && b->keys[end].key == b->keys[i].key; end++)
			scratch[end - i] = b->values[b->keys[end].value];
		v.hops = median(scratch, end - i);
		v.tracks = (uint32_t)(end - i);
		for (size_t j = 0; j < end - i; j++)
			v.spread += (scratch[j] - v.hops) * (scratch[j] - v.hops) / v.tracks;
		if (v.sensor == VERDICT_NONE) {
			if (!grow(&p->offsets, p->offsets_n, &offsets_room, sizeof(v)))
				return -ENOMEM;
			p->offsets[p->offsets_n++] = v;
		} else {
			if (!grow(&p->residuals, p->residuals_n, &residuals_room, sizeof(v)))
				return -ENOMEM;
			p->residuals[p->residuals_n++] = v;
		}
	}
	return 0;
}

/* The votes of today, or what was learned before. */
static int use_votes(struct detector *d)
{
	const struct verdict_profile *p = d->in->learned ? d->in->learned : &d->r->profile;
	struct holders *h = &d->holders;

	h->residuals = p->residuals;
	h->residuals_n = p->residuals_n;
	h->offsets = p->offsets;
	h->offsets_n = p->offsets_n;
	h->signatures = zeroed(p->residuals_n + p->offsets_n, sizeof(*h->signatures));
	if (!h->signatures)
		return -ENOMEM;
	for (size_t i = 0; i < p->residuals_n; i++)
		h->signatures[i] = p->residuals[i].signature;
	for (size_t i = 0; i < p->offsets_n; i++)
		h->signatures[p->residuals_n + i] = p->offsets[i].signature;
	return 0;
}

static int count_votes(struct detector *d)
{
	struct ballot b = {0};
	int e = ballot_fill(&b, d);

	if (e == 0)
		e = count_ballot(&b, d);
	free(b.keys);
	free(b.values);
	return e;
}

/* Squares of a signature's tracks around their median, as far as they count. */
static double spread_vote(const struct verdict_learned *v, double *ret_weight)
{
	*ret_weight = fmin(v->tracks, SPREAD_TRACKS) - 1;
	return v->tracks < 2 ? 0 : *ret_weight * v->spread * v->tracks / (v->tracks - 1.0);
}

/* A holder's votes on a sensor: those of today from *at on, and those of earlier days. */
static struct votes sum_votes(
	const struct verdict_learned *v, size_t n, size_t *at, uint32_t holder, uint16_t sensor)
{
	struct votes sum = {.first = *at, .sensor = sensor};
	double weight;

	for (; *at < n && v[*at].holder == holder && v[*at].sensor == sensor; ++*at) {
		sum.sum += v[*at].hops;
		sum.weight += v[*at].tracks < SIGNATURE_WEIGHT ? v[*at].tracks : SIGNATURE_WEIGHT;
		sum.spread += spread_vote(&v[*at], &weight);
		sum.spread_weight += weight;
		sum.n++;
	}
	return sum;
}

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static int sum_holders(struct detector *d)
{
	const struct verdict_history *history = d->in->history;
	struct holders *h = &d->holders;
	size_t n = 0, room = 0, residual = 0, offset = 0, earlier = 0;
	size_t earlier_n = history ? history->votes_n : 0;

	for (uint32_t holder = 0; holder < d->in->holders_n; holder++) {
		h->first[holder] = n;
		for (;;) {
			uint32_t next = UINT32_MAX; /* sensor; VERDICT_NONE comes last */
			struct votes v;

			if (residual < h->residuals_n && h->residuals[residual].holder == holder)
				next = lower(next, h->residuals[residual].sensor);
			if (offset < h->offsets_n && h->offsets[offset].holder == holder)
				next = lower(next, VERDICT_NONE);
			if (earlier < earlier_n && history->votes[earlier].holder == holder)
				next = lower(next, history->votes[earlier].sensor);
			if (next == UINT32_MAX)
				break;
			v = next == VERDICT_NONE ? sum_votes(h->offsets, h->offsets_n, &offset,
							   holder, (uint16_t)next)
						 : sum_votes(h->residuals, h->residuals_n,
							   &residual, holder, (uint16_t)next);
			if (next == VERDICT_NONE)
				v.first += h->residuals_n;
			if (earlier < earlier_n && history->votes[earlier].holder == holder &&
				history->votes[earlier].sensor == next) {
				v.history = history->votes[earlier].mean;
				v.history_weight = history->votes[earlier].votes;
				earlier++;
			}
			if (!grow(&h->votes, n, &room, sizeof(v)))
				return -ENOMEM;
			h->votes[n++] = v;
		}
	}
	h->first[d->in->holders_n] = n;
	return 0;
}

static int list_members(struct detector *d)
{
	struct holders *h = &d->holders;
	unsigned bits = order_bits(d->in->signatures_n);
	size_t n = 0, at = 0;
	AUTO_FREE struct keyed *keys = zeroed(d->r->teachers, sizeof(*keys));

	h->member = zeroed(d->r->teachers, sizeof(*h->member));
	if (!keys || !h->member)
		return -ENOMEM;
	for (size_t i = 0; i < d->r->tracks_n; i++) {
		const struct verdict_track *t = &d->r->tracks[i];

		if (t->teaches)
			keys[n++] = (struct keyed){
				.key = (uint64_t)d->in->sources[t->source].holder << bits |
				       t->signature,
				.value = (uint32_t)i,
			};
	}
	if (order_keyed(keys, n) < 0)
		return -ENOMEM;
	for (uint32_t holder = 0; holder < d->in->holders_n; holder++) {
		h->members[holder] = at;
		for (; at < n && keys[at].key >> bits == holder; at++)
			h->member[at] = keys[at].value;
	}
	h->members[d->in->holders_n] = at;
	return 0;
}

void holder_done(struct holders *h)
{
	free(h->signatures);
	free(h->votes);
	free(h->first);
	free(h->member);
	free(h->members);
	*h = (struct holders){0};
}

int holder_learn(struct detector *d)
{
	struct verdict_profile *p = &d->r->profile;
	int e;

	if (d->in->learned && d->holders.votes) { /* who is compared with changes, no more */
		free(d->holders.member);
		return list_members(d);
	}
	holder_done(&d->holders);
	free(p->residuals);
	free(p->offsets);
	p->residuals = p->offsets = NULL;
	p->residuals_n = p->offsets_n = 0;
	d->holders.first = zeroed((size_t)d->in->holders_n + 1, sizeof(*d->holders.first));
	d->holders.members = zeroed((size_t)d->in->holders_n + 1, sizeof(*d->holders.members));
	if (!d->holders.first || !d->holders.members)
		return -ENOMEM;
	e = d->in->learned ? 0 : count_votes(d);
	if (e == 0)
		e = use_votes(d);
	if (e == 0)
		e = sum_holders(d);
	return e == 0 ? list_members(d) : e;
}

static const struct votes *find_votes(const struct detector *d, uint32_t holder, uint16_t sensor)
{
	const struct holders *h = &d->holders;
	size_t low = h->first[holder], high = h->first[holder + 1], guess;

	if (low == high)
		return NULL;
	/* Where all sensors have votes, the place is known; the offset's is at the end. */
	guess = sensor < high - low ? low + sensor : high - 1;
	if (h->votes[guess].sensor == sensor)
		return &h->votes[guess];
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (h->votes[middle].sensor < sensor)
			low = middle + 1;
		else
			high = middle;
	}
	return low < h->first[holder + 1] && h->votes[low].sensor == sensor ? &h->votes[low] : NULL;
}

/* The own signature's vote, or NULL. */
static const struct verdict_learned *own_vote(
	const struct detector *d, const struct votes *v, uint32_t own)
{
	const struct holders *h = &d->holders;
	size_t low = v->first, high = v->first + v->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (h->signatures[middle] < own)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == v->first + v->n || h->signatures[low] != own)
		return NULL;
	return v->sensor == VERDICT_NONE ? &h->offsets[low - h->residuals_n] : &h->residuals[low];
}

/* How far a holder's tracks are apart at a sensor: several upstreams, balanced paths.
 * @param mine  the own signature's vote, or NULL; so below */
static double holder_variance(
	const struct detector *d, const struct votes *v, const struct verdict_learned *mine)
{
	double least = d->p->holder_sd * d->p->holder_sd;
	double spread = v->spread, weight = v->spread_weight, shrink = d->p->spread_shrink;

	if (d->p->reference)
		return least;
	if (mine) {
		double own_weight;

		spread -= spread_vote(mine, &own_weight);
		weight -= own_weight;
	}
	return fmax(least, (spread + shrink * least) / (weight + shrink));
}

/* Mean and weight of the votes, less that of the own signature. */
static double mean_vote(
	const struct votes *v, const struct verdict_learned *mine, double *ret_weight)
{
	double sum = v->sum, weight = v->weight, mean;
	uint32_t n = v->n;

	if (mine) {
		sum -= mine->hops;
		weight -= lower(mine->tracks, SIGNATURE_WEIGHT);
		n--;
	}
	mean = n > 0 ? sum / n : 0;
	*ret_weight = weight + v->history_weight;
	return *ret_weight > 0 ? (weight * mean + v->history_weight * v->history) / *ret_weight : 0;
}

struct expectation holder_expect(const struct detector *d, uint32_t holder, uint32_t own)
{
	const struct votes *v = find_votes(d, holder, VERDICT_NONE);
	double within = d->p->holder_tau * d->p->holder_tau;
	double between = d->p->between_tau * d->p->between_tau;
	struct expectation e = {.tau = d->p->region_tau};
	double weight, mean;

	if (!v)
		return e;
	mean = mean_vote(v, own_vote(d, v, own), &weight);
	if (weight > 0) {
		e.taught = true;
		e.shift = mean * weight * between / (weight * between + within);
		e.tau = sqrt(within + between * within / (weight * between + within));
	}
	return e;
}

void region_at(const struct detector *d, uint16_t region, uint16_t sensor, double *ret_mean,
	double *ret_variance)
{
	const struct verdict_profile *p = &d->r->profile;
	size_t at = (size_t)region * d->in->sensors_n + sensor;

	*ret_mean = p->region_mean[at];
	*ret_variance = d->p->region_sd * d->p->region_sd *
			(1 + 1 / (p->region_holders[at] + d->p->shrink));
}

void holder_at(const struct detector *d, const struct expectation *e,
	const struct verdict_source *s, uint32_t own, uint16_t sensor, double *ret_mean,
	double *ret_variance)
{
	const struct votes *v = find_votes(d, s->holder, sensor);
	double mean, variance, weight, vote;

	region_at(d, s->region, sensor, &mean, &variance);
	mean += e->shift;
	if (v) {
		const struct verdict_learned *mine = own_vote(d, v, own);

		vote = mean_vote(v, mine, &weight);
		if (weight > 0) {
			double own_variance = holder_variance(d, v, mine);

			mean += vote * weight * variance / (weight * variance + own_variance);
			variance = own_variance +
				   variance * own_variance / (weight * variance + own_variance);
		}
	}
	*ret_mean = mean;
	*ret_variance = variance;
}
