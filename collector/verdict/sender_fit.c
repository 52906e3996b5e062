/* Which flows of a stretch of time share one sender: a mixture of two parts, fitted by expectation
 * and maximisation. The sender's part is a distribution of TTLs at each sensor, learned from the
 * other members; the other part is each flow's own claim. */
#include <errno.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"

#define ROUNDS 12
/* Rounds in which the stretch of time is drawn around the members; and after which it is fixed. */
#define DRAW_EVERY 3
#define DRAW_LAST 8
/* What the stretch may grow by at a time, in parts of itself; and around the members. */
#define SLACK 0.1
#define PADDING 0.05
#define PADDING_S 60
#define MIXTURE_MOST 0.98
#define LOGIT_MOST 30
#define RATIO_MOST 60
#define SETTLED 0.1
/* Before the first round: of what is in cells that others share. */
#define FIRST_GUESS 0.9
#define MEMBERS_LEAST 3

struct fit {
	struct detector *d;
	struct flow_group *g;
	size_t n; /* candidates */
	double from_s, to_s, mixture;
	bool all_day;
};

static const struct verdict_row *row_of(const struct detector *d, const struct flow *f, uint32_t i)
{
	return &d->in->rows[d->senders.order[f->first + i]];
}

static uint32_t cell_of(const struct detector *d, const struct flow *f, uint32_t i)
{
	return d->senders.cell[f->first + i];
}

static struct flow *flow_at(const struct fit *fit, size_t i)
{
	return &fit->d->senders.flows[fit->g->candidates[i].flow];
}

/* Rows of the flow from i on at one sensor. */
static uint32_t at_sensor(const struct detector *d, const struct flow *f, uint32_t i)
{
	uint32_t end = i + 1;

	while (end < f->rows && cell_sensor(cell_of(d, f, end)) == cell_sensor(cell_of(d, f, i)))
		end++;
	return end - i;
}

static void add_candidate(struct fit *fit, uint32_t flow)
{
	fit->d->senders.flows[flow].candidate = true;
	fit->g->candidates[fit->n++] = (struct candidate){.flow = flow};
}

static bool within(const struct flow *f, double from_s, double to_s)
{
	return f->first_s >= from_s && f->last_s <= to_s;
}

/* The flow's hops at the sensors that are known: weighted medians.
 * @param hops  room for each sensor. @return how many */
static unsigned flow_hops(const struct detector *d, const struct flow *f, struct verdict_hop *hops)
{
	unsigned n = 0;

	for (uint32_t i = 0, k; i < f->rows; i += k) {
		const struct verdict_row *r = row_of(d, f, i);
		uint64_t all = 0;
		bool any = false;
		struct verdict_hop h = {.sensor = r->sensor, .packets = 1};

		k = at_sensor(d, f, i);
		if (!sensor_known(d, r->sensor))
			continue;
		for (uint32_t j = 0; j < k; j++)
			all += row_of(d, f, i + j)->packets;
		for (uint32_t j = 0; j < k; j++) {
			uint64_t below = 0;
			unsigned here = ttl_hops(row_of(d, f, i + j)->ttl);

			for (uint32_t m = 0; m < k; m++)
				if (ttl_hops(row_of(d, f, i + m)->ttl) <= here)
					below += row_of(d, f, i + m)->packets;
			if (2 * below >= all && (!any || here < h.hops)) {
				h.hops = here;
				any = true;
			}
		}
		hops[n++] = h;
	}
	return n;
}

static double with_unusual(double usual, unsigned n)
{
	return log_sum(log(USUAL_SHARE) + usual, log1p(-USUAL_SHARE) - n * log(HOPS_USUAL));
}

/* ln density of a flow's TTLs if it came from where it says, and from anywhere. */
static int claimed(struct detector *d, struct flow *f)
{
	AUTO_FREE struct verdict_hop *hops = NULL;
	unsigned n;

	if (f->claimed_known)
		return 0;
	hops = zeroed(d->in->sensors_n, sizeof(*hops));
	if (!hops)
		return -ENOMEM;
	n = flow_hops(d, f, hops);
	f->log_claimed = with_unusual(score_claimed(d, f->source, f->signature, hops, n), n) +
			 d->senders.log_class[f->class_];
	f->log_any = with_unusual(score_anywhere(d, hops, n), n) + d->senders.log_class[f->class_];
	f->claimed_known = true;
	return 0;
}

/* Adds flows that lie in the stretch and a bit around. */
static int widen(struct fit *fit, double from_s, double to_s)
{
	struct flow_group *g = fit->g;
	int e = 0;

	for (size_t i = 0; e == 0 && i < g->n; i++) {
		struct flow *f = &fit->d->senders.flows[g->by_time[i]];

		if (f->first_s > to_s)
			break;
		if (!f->free || f->candidate || !within(f, from_s, to_s))
			continue;
		add_candidate(fit, g->by_time[i]);
		e = claimed(fit->d, f);
	}
	return e;
}

/* A flow's votes on TTLs: one a sensor, shared by its TTLs there. */
static void vote(struct detector *d, const struct flow *f, double by)
{
	struct senders *s = &d->senders;

	for (uint32_t i = 0, k; i < f->rows; i += k) {
		uint16_t sensor = cell_sensor(cell_of(d, f, i));

		k = at_sensor(d, f, i);
		for (uint32_t j = 0; j < k; j++)
			s->votes[cell_of(d, f, i + j)] += by / k;
		s->voters[sensor] += by;
	}
}

static void forget(struct fit *fit)
{
	struct senders *s = &fit->d->senders;

	for (size_t c = 0; c < fit->n; c++) {
		const struct flow *f = flow_at(fit, c);

		for (uint32_t i = 0; i < f->rows; i++) {
			uint32_t cell = cell_of(fit->d, f, i);

			s->votes[cell] = 0;
			s->voters[cell_sensor(cell)] = 0;
		}
	}
}

/* ln density of the flow's TTLs by what the other members show (its own votes left out); what
 * nobody showed yet, as from anywhere. */
static double by_others(const struct fit *fit, size_t c)
{
	const struct detector *d = fit->d;
	const struct senders *s = &d->senders;
	const struct flow *f = flow_at(fit, c);
	double own = fit->g->candidates[c].member, alpha = d->p->sender_prior, sum = 0;

	for (uint32_t i = 0, k; i < f->rows; i += k) {
		uint16_t sensor = cell_sensor(cell_of(d, f, i));

		k = at_sensor(d, f, i);
		if (!sensor_known(d, sensor))
			continue;
		for (uint32_t j = 0; j < k; j++) {
			uint32_t cell = cell_of(d, f, i + j);

			sum += log((fmax(0, s->votes[cell] - own / k) + alpha * s->base[cell]) /
				   (fmax(0, s->voters[sensor] - own) + alpha));
		}
	}
	return sum;
}

/* Before the first round: members are what is in cells with others. */
static void guess(struct fit *fit)
{
	const struct detector *d = fit->d;
	struct senders *s = &fit->d->senders;

	for (size_t c = 0; c < fit->n; c++)
		for (uint32_t i = 0; i < flow_at(fit, c)->rows; i++) {
			uint32_t cell = cell_of(d, flow_at(fit, c), i);
			double n = ++s->votes[cell], *most = &s->voters[cell_sensor(cell)];

			*most = fmax(*most, n);
		}
	for (size_t c = 0; c < fit->n; c++) {
		const struct flow *f = flow_at(fit, c);
		double sum = 0, sensors = 0;

		for (uint32_t i = 0, k; i < f->rows; i += k) {
			uint16_t sensor = cell_sensor(cell_of(d, f, i));

			k = at_sensor(d, f, i);
			sensors++;
			for (uint32_t j = 0; j < k; j++) {
				double n = s->votes[cell_of(d, f, i + j)];

				sum += n >= 2 ? n / s->voters[sensor] / k : 0;
			}
		}
		fit->g->candidates[c].member = FIRST_GUESS * sum / sensors;
	}
	forget(fit);
}

/* Draws the stretch of time around the members. @return fewer than 3: 0; else 1, or -ENOMEM */
static int draw(struct fit *fit, unsigned round)
{
	double first = INFINITY, last = 0, padding, slack;
	unsigned n = 0;

	for (size_t c = 0; c < fit->n; c++) {
		const struct flow *f = flow_at(fit, c);

		if (fit->g->candidates[c].member <= 0.5)
			continue;
		n++;
		first = fmin(first, f->first_s);
		last = fmax(last, f->last_s);
	}
	if (n < MEMBERS_LEAST)
		return 0;
	if (fit->all_day || round > DRAW_LAST || round % DRAW_EVERY != DRAW_EVERY - 1)
		return 1;
	padding = PADDING * (last - first) + PADDING_S;
	fit->from_s = first - padding;
	fit->to_s = last + padding;
	slack = SLACK * (fit->to_s - fit->from_s);
	return widen(fit, fit->from_s - slack, fit->to_s + slack) < 0 ? -ENOMEM : 1;
}

/* One round. @return how much changed */
static double settle(struct fit *fit, unsigned round)
{
	struct detector *d = fit->d;
	struct candidate *c = fit->g->candidates;
	double slack = round < DRAW_LAST ? SLACK * (fit->to_s - fit->from_s) : 0;
	double from_s = fit->from_s - slack, to_s = fit->to_s + slack;
	double members = 0, n = 0, changed = 0;

	forget(fit);
	for (size_t i = 0; i < fit->n; i++) {
		vote(d, flow_at(fit, i), c[i].member);
		members += c[i].member;
		n += within(flow_at(fit, i), from_s, to_s);
	}
	fit->mixture = fmin(MIXTURE_MOST, (members + 0.5) / (n + 1));
	for (size_t i = 0; i < fit->n; i++) {
		const struct flow *f = flow_at(fit, i);
		double logit, member = 0;

		if (within(f, from_s, to_s)) {
			logit = log(fit->mixture / (1 - fit->mixture)) + by_others(fit, i) -
				f->log_claimed;
			/* A forged address rarely hits one that sends by itself. */
			if (d->senders.several[f->source])
				logit += log(d->p->sender_several);
			member = 1 / (1 + exp(-fmax(-LOGIT_MOST, fmin(LOGIT_MOST, logit))));
		}
		changed += fabs(member - c[i].member);
		c[i].member = member;
	}
	return changed;
}

/* ln of the evidence for a sender against none. */
static double evidence(const struct fit *fit)
{
	double sum = 0;

	for (size_t i = 0; i < fit->n; i++) {
		const struct flow *f = flow_at(fit, i);

		if (within(f, fit->from_s, fit->to_s))
			sum += log(1 - fit->mixture +
				   fit->mixture * exp(fmin(RATIO_MOST,
							  by_others(fit, i) - f->log_claimed)));
	}
	return sum;
}

/* Whether the members' claims hold, all of them taken together: neighbours with one tool, whose
 * ways are all alike, look like one machine, too. Claims that one machine made up explain its hops
 * worse than coming from anywhere does, the more of them there are. */
static bool claims_hold(const struct fit *fit)
{
	double sum = 0;

	for (size_t i = 0; i < fit->n; i++) {
		const struct flow *f = flow_at(fit, i);

		sum += fit->g->candidates[i].member * (f->log_claimed - f->log_any);
	}
	return sum > fit->d->p->claims_evidence;
}

/* They are looked at no more. */
static void set_aside(struct fit *fit)
{
	for (size_t i = 0; i < fit->n; i++)
		if (fit->g->candidates[i].member > 0.5)
			flow_at(fit, i)->free = false;
}

/* @return 1: kept or set aside, 0: too little evidence, -ENOMEM */
static int keep(struct fit *fit)
{
	struct senders *s = &fit->d->senders;
	double found = evidence(fit);
	size_t members = 0;

	for (size_t i = 0; i < fit->n; i++)
		members += fit->g->candidates[i].member > 0.5;
	if (members < MEMBERS_LEAST || !(found >= fit->d->p->sender_evidence))
		return 0;
	if (claims_hold(fit)) {
		set_aside(fit);
		return 1;
	}
	if (!grow(&s->found, s->found_n, &s->room, sizeof(*s->found)))
		return -ENOMEM;
	for (size_t i = 0; i < fit->n; i++) {
		struct flow *f = flow_at(fit, i);
		double member = fit->g->candidates[i].member;

		if (f->sender != UINT32_MAX && member <= f->member)
			continue;
		f->member = member;
		f->sender = (uint32_t)s->found_n;
		f->free = member < 0.5;
	}
	s->found[s->found_n++] = (struct sender){
		.signature = s->flows[fit->g->by_time[0]].signature,
		.mixture = fit->mixture,
		.evidence = found,
	};
	return 1;
}

int sender_fit(struct detector *d, struct flow_group *g, uint32_t from_s, uint32_t to_s)
{
	struct fit fit = {
		.d = d,
		.g = g,
		.from_s = from_s,
		.to_s = to_s,
		.all_day = to_s == UINT32_MAX,
	};
	int e = widen(&fit, from_s, to_s);
	bool found = false;

	if (e == 0)
		guess(&fit);
	for (unsigned round = 0; e == 0 && round < ROUNDS; round++) {
		e = draw(&fit, round);
		found = e > 0;
		e = e > 0 ? 0 : e == 0 ? 1 : e;
		if (e == 0 && settle(&fit, round) < SETTLED && round > ROUNDS - 3)
			break;
	}
	if (found && e == 0)
		e = keep(&fit);
	else if (e > 0)
		e = 0;
	forget(&fit);
	for (size_t i = 0; i < fit.n; i++)
		flow_at(&fit, i)->candidate = false;
	return e;
}
