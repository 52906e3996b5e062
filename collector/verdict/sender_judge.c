/* Where a sender sits, by the hops of all its members together, and what that says of each. A
 * sender sits in one network only: of many claimed holders, all but one are forged. */
#include <errno.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

/* Before looking: that it sits in one of the networks that it claims. */
#define CLAIMED_PRIOR 0.5
/* Hops further than this from a sensor's median are another route, or another sender's. */
#define ROUTE_HOPS 3
/* Variance at a sensor where one member was seen. */
#define VARIANCE_ONE 0.3
/* Below this chance, membership says nothing. */
#define MEMBER_LEAST 0.05
#define MEMBER_MOST (1 - 1e-9)
#define ODDS_MOST 15
#define CHANCE_LEAST 1e-12

/* A holder that a sender claims. */
struct claim {
	double log_here; /* of the sender's hops and the claim's share */
	double others; /* the same of all claims before it, then of all others */
	double sits;
	uint32_t holder;
	size_t first, n; /* members, in judge.members */
};

struct judge {
	struct detector *d;
	struct keyed *members; /* flows of a sender, by holder */
	size_t members_n;
	struct claim *claims;
	size_t claims_n;
	struct verdict_hop *hops; /* of the sender, over all sensors */
	unsigned hops_n;
	double *scratch;
	struct keyed *by_sensor;
};

static uint32_t holder_of(const struct judge *j, const struct flow *f)
{
	return j->d->in->sources[f->source].holder;
}

/* What is at one sensor: mean of what is near the median. */
static struct verdict_hop pool(double *hops, size_t n, uint16_t sensor)
{
	struct verdict_hop h = {.sensor = sensor, .packets = 1, .variance = VARIANCE_ONE};
	double middle = median(hops, n), sum = 0, squares = 0, near = 0;

	for (size_t i = 0; i < n; i++) {
		if (fabs(hops[i] - middle) > ROUTE_HOPS)
			continue;
		sum += hops[i];
		squares += hops[i] * hops[i];
		near++;
	}
	h.hops = near > 0 ? sum / near : middle;
	if (near > 1)
		h.variance = fmax(0, squares / near - h.hops * h.hops);
	return h;
}

/* The sender's hops, by all rows of its members. */
static int pool_members(struct judge *j)
{
	struct detector *d = j->d;
	size_t n = 0;

	for (size_t m = 0; m < j->members_n; m++) {
		const struct flow *f = &d->senders.flows[j->members[m].value];

		for (uint32_t i = 0; i < f->rows; i++) {
			uint32_t row = d->senders.order[f->first + i];

			j->by_sensor[n++] =
				(struct keyed){.key = d->in->rows[row].sensor, .value = row};
		}
	}
	if (order_keyed(j->by_sensor, n) < 0)
		return -ENOMEM;
	j->hops_n = 0;
	for (size_t i = 0, end; i < n; i = end) {
		uint16_t sensor = (uint16_t)j->by_sensor[i].key;

		for (end = i; end < n && j->by_sensor[end].key == sensor; end++)
			j->scratch[end - i] = ttl_hops(d->in->rows[j->by_sensor[end].value].ttl);
		j->hops[j->hops_n++] = pool(j->scratch, end - i, sensor);
	}
	return 0;
}

/* How likely the sender sits with each of the holders that it claims, against all others and
 * elsewhere. */
static void weigh(struct judge *j)
{
	const struct detector *d = j->d;
	double regions = d->p->sender_regions, elsewhere, after;

	elsewhere = log1p(-CLAIMED_PRIOR) +
		    log_sum(log1p(-regions) + score_anywhere(d, j->hops, j->hops_n),
			    log(regions) + score_elsewhere(d, j->hops, j->hops_n));
	j->claims_n = 0;
	for (size_t i = 0, end; i < j->members_n; i = end) {
		struct claim *c = &j->claims[j->claims_n++];
		const struct flow *f = &d->senders.flows[j->members[i].value];

		for (end = i; end < j->members_n && j->members[end].key == j->members[i].key;)
			end++;
		*c = (struct claim){.holder = holder_of(j, f), .first = i, .n = end - i};
		c->log_here = score_claimed(d, f->source, f->signature, j->hops, j->hops_n) +
			      log(CLAIMED_PRIOR * (double)c->n / (double)j->members_n);
	}
	after = elsewhere;
	for (size_t i = 0; i < j->claims_n; i++) {
		j->claims[i].others = after;
		after = log_sum(after, j->claims[i].log_here);
	}
	after = -INFINITY;
	for (size_t i = j->claims_n; i-- > 0;) {
		struct claim *c = &j->claims[i];

		c->sits = (c->log_here - log_sum(c->others, after)) / M_LN10;
		after = log_sum(after, c->log_here);
	}
}

static double chance(double score)
{
	return 1 / (1 + pow(10, -fmax(-ODDS_MOST, fmin(ODDS_MOST, score))));
}

/* Tracks of a source; ascending. */
static size_t first_track(const struct verdict_result *r, uint32_t source)
{
	size_t low = 0, high = r->tracks_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->tracks[middle].source < source)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool of_track(const struct detector *d, const struct flow *f, const struct verdict_track *t)
{
	for (uint32_t i = 0; i < f->rows; i++)
		if (t->initial_ttl == 0 ||
			t->initial_ttl == class_ttl(ttl_class(
						  d->in->rows[d->senders.order[f->first + i]].ttl)))
			return true;
	return false;
}

double sender_score(double own, double member, double sits)
{
	double genuine = (1 - member) * chance(own) + member * chance(sits);
	double forged = (1 - member) * (1 - chance(own)) + member * (1 - chance(sits));

	return log10(fmax(genuine, CHANCE_LEAST) / fmax(forged, CHANCE_LEAST));
}

/* A flow's track by the sender that it may be of. */
static void judge_track(
	const struct detector *d, const struct flow *f, double sits, struct verdict_track *t)
{
	double member = fmin(f->member, MEMBER_MOST), own = t->member > 0 ? t->own_score : t->score;
	double score = sender_score(own, member, sits);

	if (d->senders.several[f->source] && score >= own)
		return; /* one of its tools: the worst counts */
	if (t->member > 0 && score >= t->score)
		return;
	t->own_score = own;
	t->member = member;
	t->sender = f->sender;
	t->sits = sits;
	t->score = score;
	t->scored = true;
}

static void judge_flow(const struct judge *j, const struct flow *f, double sits)
{
	struct verdict_result *r = j->d->r;

	for (size_t t = first_track(r, f->source);
		t < r->tracks_n && r->tracks[t].source == f->source; t++)
		if (of_track(j->d, f, &r->tracks[t]))
			judge_track(j->d, f, sits, &r->tracks[t]);
}

static double sits_with(const struct judge *j, uint32_t holder)
{
	size_t low = 0, high = j->claims_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (j->claims[middle].holder < holder)
			low = middle + 1;
		else
			high = middle;
	}
	return low < j->claims_n && j->claims[low].holder == holder ? j->claims[low].sits
								    : -ODDS_MOST;
}

/* Flows first to end (of ordered) may be of one sender. */
static int judge_sender(struct judge *j, const struct keyed *ordered, size_t n)
{
	const struct flow *flows = j->d->senders.flows;
	int e;

	j->members_n = 0;
	for (size_t i = 0; i < n; i++)
		if (flows[ordered[i].value].member > 0.5)
			j->members[j->members_n++] = (struct keyed){
				.key = holder_of(j, &flows[ordered[i].value]),
				.value = ordered[i].value,
			};
	if (j->members_n == 0)
		return 0;
	e = order_keyed(j->members, j->members_n);
	if (e == 0)
		e = pool_members(j);
	if (e < 0)
		return e;
	weigh(j);
	for (size_t i = 0; i < n; i++) {
		const struct flow *f = &flows[ordered[i].value];

		judge_flow(j, f, sits_with(j, holder_of(j, f)));
	}
	return 0;
}

int senders_judge(struct detector *d)
{
	const struct senders *s = &d->senders;
	AUTO_FREE struct keyed *ordered = zeroed(s->flows_n, sizeof(*ordered));
	AUTO_FREE struct keyed *members = zeroed(s->flows_n, sizeof(*members));
	AUTO_FREE struct claim *claims = zeroed(s->flows_n, sizeof(*claims));
	AUTO_FREE struct verdict_hop *hops = zeroed(d->in->sensors_n, sizeof(*hops));
	AUTO_FREE struct keyed *by_sensor = zeroed(d->in->rows_n, sizeof(*by_sensor));
	AUTO_FREE double *scratch = zeroed(d->in->rows_n, sizeof(*scratch));
	struct judge j = {
		.d = d,
		.members = members,
		.claims = claims,
		.hops = hops,
		.by_sensor = by_sensor,
		.scratch = scratch,
	};
	size_t n = 0;
	int e;

	if (!ordered || !members || !claims || !hops || !by_sensor || !scratch)
		return -ENOMEM;
	for (size_t i = 0; i < s->flows_n; i++)
		if (s->flows[i].sender != UINT32_MAX && s->flows[i].member >= MEMBER_LEAST)
			ordered[n++] =
				(struct keyed){.key = s->flows[i].sender, .value = (uint32_t)i};
	e = order_keyed(ordered, n);
	for (size_t i = 0, end; e == 0 && i < n; i = end) {
		for (end = i; end < n && ordered[end].key == ordered[i].key;)
			end++;
		e = judge_sender(&j, ordered + i, end - i);
	}
	return e;
}
