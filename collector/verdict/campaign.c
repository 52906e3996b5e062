/* One machine, many claimed origins: hop counts that too many unrelated holders have in common. */
#include <errno.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/halves.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

/* Holders expected in a cell besides. */
#define EXPECTED_LEAST 0.3

static const struct verdict_row *row_at(const struct detector *d, const struct bucket *b, size_t i)
{
	return &d->in->rows[d->campaigns.order[b->first + i]];
}

static const struct verdict_source *claim(const struct detector *d, const struct verdict_row *r)
{
	return &d->in->sources[r->source];
}

static bool eligible(const struct detector *d, const struct verdict_row *r)
{
	return !d->in->signature_response[r->signature] && claim(d, r)->listing == VERDICT_LISTED;
}

int rows_by_signature(const struct detector *d, uint32_t *order, size_t *first)
{
	const struct verdict_input *in = d->in;
	AUTO_FREE size_t *at = zeroed((size_t)in->signatures_n + 1, sizeof(*at));

	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < in->rows_n; i++)
		if (eligible(d, &in->rows[i]))
			first[in->rows[i].signature + 1]++;
	for (uint32_t s = 0; s < in->signatures_n; s++)
		first[s + 1] += first[s];
	memcpy(at, first, ((size_t)in->signatures_n + 1) * sizeof(*at));
	for (size_t i = 0; i < in->rows_n; i++)
		if (eligible(d, &in->rows[i]))
			order[at[in->rows[i].signature]++] = (uint32_t)i;
	return 0;
}

/* Cuts the rows of a signature into buckets, ordered inside by holder and hops. */
static int cut_signature(
	struct detector *d, struct keyed *keys, size_t n, size_t first, size_t *room)
{
	struct campaigns *c = &d->campaigns;
	const struct verdict_input *in = d->in;
	int e;

	for (size_t i = 0; i < n; i++) {
		const struct verdict_row *r = &in->rows[c->order[first + i]];
		uint64_t key = r->sensor;

		key = key << 2 | ttl_class(r->ttl);
		key = key << 32 | claim(d, r)->holder;
		key = key << 7 | ttl_hops(r->ttl);
		keys[i] = (struct keyed){.key = key, .value = c->order[first + i]};
	}
	e = order_keyed(keys, n);
	for (size_t i = 0, end; e == 0 && i < n; i = end) {
		const struct verdict_row *r = &in->rows[keys[i].value];

		for (end = i; end < n && keys[end].key >> 39 == keys[i].key >> 39; end++) {
			c->order[first + end] = keys[end].value;
			c->holder[first + end] = (uint32_t)(keys[end].key >> 7);
			c->region[first + end] = claim(d, &in->rows[keys[end].value])->region;
			c->hops[first + end] = keys[end].key & 127;
		}
		if (end - i < d->p->campaign_pairs)
			continue;
		if (!grow(&c->buckets, c->buckets_n, room, sizeof(*c->buckets)))
			return -ENOMEM;
		c->buckets[c->buckets_n++] = (struct bucket){
			.first = first + i,
			.n = end - i,
			.signature = r->signature,
			.sensor = r->sensor,
			.class_ = (uint8_t)ttl_class(r->ttl),
		};
	}
	return e;
}

int campaign_prepare(struct detector *d)
{
	const struct verdict_input *in = d->in;
	struct campaigns *c = &d->campaigns;
	AUTO_FREE size_t *first = zeroed((size_t)in->signatures_n + 1, sizeof(*first));
	AUTO_FREE struct keyed *keys = NULL;
	size_t room = 0, most = 0;
	int e;

	c->order = zeroed(in->rows_n, sizeof(*c->order));
	c->holder = zeroed(in->rows_n, sizeof(*c->holder));
	c->region = zeroed(in->rows_n, sizeof(*c->region));
	c->hops = zeroed(in->rows_n, sizeof(*c->hops));
	if (!first || !c->order || !c->holder || !c->region || !c->hops)
		return -ENOMEM;
	e = rows_by_signature(d, c->order, first);
	for (uint32_t s = 0; s < in->signatures_n; s++)
		most = first[s + 1] - first[s] > most ? first[s + 1] - first[s] : most;
	keys = zeroed(most, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	for (uint32_t s = 0; e == 0 && s < in->signatures_n; s++)
		if (first[s + 1] - first[s] >= d->p->campaign_pairs)
			e = cut_signature(d, keys, first[s + 1] - first[s], first[s], &room);
	return e;
}

/* Whether a row counts; the reference passes over regions that nothing is known of. */
static inline bool counts(const struct detector *d, const struct bucket *b, size_t i)
{
	return !d->p->reference || region_known(d, claim(d, row_at(d, b, i)));
}

/* What a holder's sources show at a sensor: normal around the holder's profile and the region's; of
 * regions that nothing is known of, around the sensor's mean. */
struct bell {
	double height[2], middle[2], narrow[2];
	unsigned n;
};

static struct bell bell_of(const struct detector *d, const struct bucket *b,
	const struct verdict_source *s, uint32_t own)
{
	bool known = region_known(d, s);
	struct expectation e = {0};
	struct bell bell = {0};

	if (known)
		e = holder_expect(d, s->holder, own);
	for (unsigned i = e.taught ? 0 : 1; i < 2; i++) {
		double mean, variance, tau = i == 0 ? e.tau : d->p->region_tau;
		double weight = !e.taught ? 1 : i == 0 ? 1 - d->p->coarse : d->p->coarse;

		if (i == 0) {
			holder_at(d, &e, s, own, b->sensor, &mean, &variance);
		} else if (known) {
			region_at(d, s->region, b->sensor, &mean, &variance);
		} else {
			mean = d->r->profile.mean[b->sensor];
			variance = d->p->any_sd * d->p->any_sd;
			tau = d->p->any_tau;
		}
		variance += tau * tau + d->p->rounding;
		bell.height[bell.n] = USUAL_SHARE * weight / sqrt(2 * M_PI * variance);
		bell.middle[bell.n] = mean;
		bell.narrow[bell.n++] = -0.5 / variance;
	}
	return bell;
}

/* Chance that one of n packets of the holder has this hop count. */
static double chance(const struct bell *bell, unsigned hops, size_t n)
{
	double p = (1 - USUAL_SHARE) / HOPS_USUAL;

	for (unsigned i = 0; i < bell->n; i++) {
		double away = hops - bell->middle[i];

		p += bell->height[i] * exp(bell->narrow[i] * away * away);
	}
	return n == 1 ? p : 1 - pow(1 - p, (double)n);
}

static size_t holder_end(const struct detector *d, const struct bucket *b, size_t i)
{
	const uint32_t *holder = d->campaigns.holder + b->first;
	size_t end = i + 1;

	while (end < b->n && holder[end] == holder[i])
		end++;
	return end;
}

/* Rows of a holder that count; one of them speaks for all: one of the last source, as rows are in
 * the order of their sources. */
static size_t speaker(
	const struct detector *d, const struct bucket *b, size_t i, size_t end, size_t *ret)
{
	const uint32_t *order = d->campaigns.order + b->first;
	size_t n = 0;

	for (; i < end; i++) {
		if (!counts(d, b, i))
			continue;
		if (n++ == 0 || order[i] > order[*ret])
			*ret = i;
	}
	return n;
}

static uint32_t own_signature(
	const struct detector *d, const struct bucket *b, const uint32_t *mains, size_t i)
{
	return d->p->reference ? mains[row_at(d, b, i)->source] : b->signature;
}

/* Distinct holders at each hop count. @return holders in the bucket */
static size_t count_holders(const struct detector *d, struct bucket *b)
{
	const uint8_t *hops = d->campaigns.hops + b->first;
	size_t holders = 0;

	memset(b->holders, 0, sizeof(b->holders));
	for (size_t i = 0, end; i < b->n; i = end) {
		int before = -1;

		end = holder_end(d, b, i);
		for (; i < end; i++) {
			if (!counts(d, b, i) || hops[i] == before)
				continue;
			b->holders[hops[i]]++;
			before = hops[i];
		}
		holders += before >= 0;
	}
	return holders;
}

static void expect_holders(const struct detector *d, struct bucket *b, const uint32_t *mains)
{
	uint8_t common[HOPS_N]; /* hop counts that enough holders have */
	unsigned common_n = 0;

	for (unsigned h = 0; h < HOPS_N; h++)
		if (b->holders[h] >= d->p->campaign_holders)
			common[common_n++] = (uint8_t)h;
	for (size_t i = 0, end; i < b->n; i = end) {
		struct verdict_source claimed;
		struct bell bell;
		size_t n, at = i;

		end = holder_end(d, b, i);
		n = speaker(d, b, i, end, &at);
		if (n == 0)
			continue;
		claimed = (struct verdict_source){
			.holder = d->campaigns.holder[b->first + at],
			.region = d->campaigns.region[b->first + at],
		};
		bell = bell_of(d, b, &claimed, own_signature(d, b, mains, at));
		for (unsigned h = 0; h < common_n; h++)
			b->expected[common[h]] += chance(&bell, common[h], n);
	}
}

/* Holders two and three hops away, on average: one machine's route wavers by one. Devices with an
 * odd initial TTL are off their profiles, too, but as widely spread as any (real reflection
 * captures). */
static double around(const struct detector *d, const struct bucket *b, unsigned hops)
{
	double sum = 0;

	if (d->p->reference)
		return 0;
	for (unsigned away = 2; away <= 3; away++) {
		sum += hops >= away ? b->holders[hops - away] : 0;
		sum += hops + away < HOPS_N ? b->holders[hops + away] : 0;
	}
	return sum / 4;
}

static void find_in(const struct detector *d, struct bucket *b, const uint32_t *mains)
{
	double excess = 0, all = 0;
	bool candidate = false;

	b->found = false;
	memset(b->share, 0, sizeof(b->share));
	if (count_holders(d, b) < d->p->campaign_holders_bucket)
		return;
	for (unsigned h = 0; h < HOPS_N; h++) {
		b->expected[h] = EXPECTED_LEAST;
		all += b->holders[h];
		candidate |= b->holders[h] >= d->p->campaign_holders;
	}
	if (!candidate)
		return;
	expect_holders(d, b, mains);
	for (unsigned h = 0; h < HOPS_N; h++) {
		double n = b->holders[h], e = fmax(b->expected[h], around(d, b, h));

		/* Chernoff's bound on the tail of a Poisson distribution. */
		if (n >= d->p->campaign_holders && n >= d->p->campaign_ratio * e &&
			n - e - n * log(n / e) < log(d->p->campaign_tail)) {
			b->expected[h] = e;
			b->share[h] = n - e;
			excess += n - e;
		}
	}
	b->found = excess > 0;
	b->mixture = fmin(d->p->campaign_cap, excess / all);
	for (unsigned h = 0; h < HOPS_N && b->found; h++)
		b->share[h] /= excess;
}

struct search {
	struct detector *d;
	const uint32_t *mains;
};

static void find_some(void *arg, unsigned half, size_t from, size_t end)
{
	const struct search *s = arg;

	(void)half;
	for (size_t i = from; i < end && !stopped(s->d); i++)
		find_in(s->d, &s->d->campaigns.buckets[i], s->mains);
}

void campaign_find(struct detector *d, const uint32_t *mains)
{
	struct search s = {.d = d, .mains = mains};

	in_halves(d->campaigns.buckets_n, find_some, &s);
}

static uint64_t bucket_key(uint32_t signature, uint16_t sensor, unsigned class_)
{
	return ((uint64_t)signature << 16 | sensor) << 2 | class_;
}

const struct bucket *campaign_at(
	const struct detector *d, uint16_t sensor, uint32_t signature, unsigned class_)
{
	const struct campaigns *c = &d->campaigns;
	uint64_t key = bucket_key(signature, sensor, class_);
	size_t low = 0, high = c->buckets_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct bucket *b = &c->buckets[middle];

		if (bucket_key(b->signature, b->sensor, b->class_) < key)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == c->buckets_n || !c->buckets[low].found ||
		bucket_key(c->buckets[low].signature, c->buckets[low].sensor,
			c->buckets[low].class_) != key)
		return NULL;
	return &c->buckets[low];
}

void campaign_done(struct campaigns *c)
{
	free(c->order);
	free(c->holder);
	free(c->region);
	free(c->hops);
	free(c->buckets);
	*c = (struct campaigns){0};
}
