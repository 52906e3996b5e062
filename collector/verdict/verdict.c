#include "collector/verdict/verdict.h"

#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/halves.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

/* Up to so many rows, an insertion sort is quicker. */
#define FEW_ROWS 24

/* Deviations and variances are those of real captures and of simulated paths, weights and
 * thresholds were chosen on labelled sets; other seeds and models checked them. */
const struct verdict_params verdict_params = {
	.region_sd = 1.9, /* of a network at a sensor around its region's profile */
	.any_sd = 3.3, /* of any origin around the sensor's mean */
	.holder_sd = 1.0, /* around a holder's profile */
	.path_sd = 1.0, /* around another source of the holder */
	.region_tau = 2.2, /* common offset within a region: depth of the network, last mile, NAT */
	.any_tau = 2.5,
	.holder_tau = 1.3, /* within a holder */
	.between_tau = 1.8, /* of holders within a region */
	.path_tau = 1.8,
	.odd_tau = 30,
	.random_tau = 100,
	.odd = 0.03,
	.rounding = 0.08, /* 1/12 */
	.tail = 0.05,
	.tail_variance = 36,
	.shrink = 2,
	.effect_shrink = 8,
	.residual_clip = 4,
	.offset_clip = 6,
	.spread_shrink = 5,
	.coarse = 1e-3,
	.sensor_votes = 3,
	.campaign_weight = 0.7,
	.campaign_ratio = 2,
	.campaign_tail = 1e-4,
	.campaign_cap = 0.97,
	.path_weight = 0.1,
	.campaign_holders = 5,
	.campaign_holders_bucket = 10,
	.campaign_pairs = 12,
	.path_templates = 20,
	.sender_flows = 4,
	.senders = 6,
	.random_holders = 3,
	.sender_evidence = 12,
	.claims_evidence = 6,
	.sender_prior = 0.6,
	.sender_several = 0.02,
	.sender_regions = 0.5,
	.random_prior = -0.8,
	.implausible_prior = -2,
	.bogon_score = -3,
	.drop_score = -0.5,
	.clip = 9,
	.spoofed = -1,
	.genuine = 0.5,
	.spoofed_alone = -2,
	.spoofed_one_region = -2,
	.genuine_one_region = 1,
};

void verdict_set_prevalence(struct verdict_params *p, double prevalence)
{
	double odds = log10((1 - prevalence) / prevalence); /* genuine : spoofed */

	p->spoofed -= fmax(0, odds);
	p->spoofed_alone -= fmax(0, odds);
	p->spoofed_one_region -= fmax(0, odds);
	p->genuine -= fmin(0, odds);
	p->genuine_one_region -= fmin(0, odds);
}

static int compare_rows(const void *a, const void *b)
{
	const struct verdict_row *x = a, *y = b;

	if (x->sensor != y->sensor)
		return x->sensor < y->sensor ? -1 : 1;
	if (x->signature != y->signature)
		return x->signature < y->signature ? -1 : 1;
	return x->ttl - y->ttl;
}

/* Most sources have few rows. */
static void sort_source(struct verdict_row *rows, size_t n)
{
	if (n > FEW_ROWS) {
		qsort(rows, n, sizeof(*rows), compare_rows);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct verdict_row row = rows[i];
		size_t at = i;

		for (; at > 0 && compare_rows(&rows[at - 1], &row) > 0; at--)
			rows[at] = rows[at - 1];
		rows[at] = row;
	}
}

int verdict_sort(
	struct verdict_row *rows, size_t rows_n, uint32_t sources_n, const atomic_bool *stop)
{
	AUTO_FREE size_t *at = zeroed((size_t)sources_n + 1, sizeof(*at));
	AUTO_FREE size_t *first = zeroed((size_t)sources_n + 1, sizeof(*first));

	if (!at || !first)
		return -ENOMEM;
	for (size_t i = 0; i < rows_n; i++)
		first[rows[i].source + 1]++;
	for (uint32_t s = 0; s < sources_n; s++)
		first[s + 1] += first[s];
	memcpy(at, first, ((size_t)sources_n + 1) * sizeof(*at));
	/* Each row goes to its source's place; who was there goes on (no second copy of the rows).
	 */
	for (uint32_t s = 0; s < sources_n && !(stop && *stop); s++) {
		while (at[s] < first[s + 1]) {
			uint32_t home = rows[at[s]].source;
			struct verdict_row there;

			if (home == s) {
				at[s]++;
				continue;
			}
			there = rows[at[home]];
			rows[at[home]++] = rows[at[s]];
			rows[at[s]] = there;
		}
	}
	for (uint32_t s = 0; s < sources_n && !(stop && *stop); s++)
		sort_source(rows + first[s], first[s + 1] - first[s]);
	return verdict_unless_stopped(stop, 0);
}

/* Who teaches: tracks with steady hops at two sensors or more, no suspects of the pass before. */
static void choose_teachers(struct detector *d, const double *worst)
{
	struct verdict_result *r = d->r;

	r->teachers = 0;
	for (size_t i = 0; i < r->tracks_n; i++) {
		struct verdict_track *t = &r->tracks[i];
		const struct verdict_source *s = &d->in->sources[t->source];

		t->teaches = track_fixed(t) && t->sensors >= 2 && s->listing == VERDICT_LISTED &&
			     s->region != VERDICT_NONE && !(worst && worst[i] <= d->p->drop_score);
		r->teachers += t->teaches;
	}
}

/* A track's score; as the reference has it: the worst of its source's. */
static void note_scores(const struct detector *d, double *worst)
{
	const struct verdict_result *r = d->r;

	for (size_t i = 0, end; i < r->tracks_n; i = end) {
		double least = INFINITY;

		for (end = i; end < r->tracks_n && r->tracks[end].source == r->tracks[i].source;
			end++)
			if (r->tracks[end].scored)
				least = fmin(least, r->tracks[end].score);
		for (size_t t = i; t < end; t++)
			worst[t] = d->p->reference ? least : r->tracks[t].score;
	}
}

/* What a second pass leaves as it is. */
static bool settled(const struct verdict_track *t)
{
	return !t->suspect && t->member <= 0;
}

struct scoring {
	const struct detector *d;
	bool again;
};

static void score_some(void *arg, unsigned half, size_t from, size_t end)
{
	const struct scoring *s = arg;
	struct detector d = *s->d;

	d.tails += half * (size_t)d.in->sensors_n;
	for (size_t i = from; i < end && !stopped(&d); i++)
		if (!s->again || !settled(&d.r->tracks[i]))
			score(&d, &d.r->tracks[i]);
}

static void score_tracks(const struct detector *d, bool again)
{
	struct scoring s = {.d = d, .again = again};

	in_halves(d->r->tracks_n, score_some, &s);
}

/* By what was learned before, a second pass differs in who suspects are compared with, no more. */
static int pass_again(struct detector *d, const double *worst)
{
	int e;

	choose_teachers(d, worst);
	e = profile_learn(d);
	if (e == 0)
		e = holder_learn(d);
	if (e == 0)
		score_tracks(d, true);
	e = unless_stopped(d, e);
	return e == 0 && !d->p->reference ? senders_judge(d) : e;
}

static int pass(struct detector *d, const double *worst, const uint32_t *mains)
{
	int e;

	choose_teachers(d, worst);
	e = unless_stopped(d, profile_learn(d));
	if (e == 0)
		e = unless_stopped(d, holder_learn(d));
	if (e == 0) {
		campaign_find(d, mains);
		score_tracks(d, false);
	}
	e = unless_stopped(d, e);
	if (e == 0 && !d->p->reference)
		e = unless_stopped(d, senders_find(d));
	if (e == 0 && !d->p->reference)
		e = senders_judge(d);
	return e;
}

/* Who draws TTLs at random has a tool that does, or is one of the addresses in whose name somebody
 * else does: several networks with one tool are the latter. */
static int find_company(struct detector *d)
{
	struct verdict_result *r = d->r;
	AUTO_FREE struct keyed *keys = zeroed(r->tracks_n, sizeof(*keys));
	size_t n = 0;
	int e = keys ? 0 : -ENOMEM;

	for (size_t i = 0; e == 0 && i < r->tracks_n; i++)
		if (r->tracks[i].kind == VERDICT_RANDOM)
			keys[n++] = (struct keyed){
				.key = (uint64_t)r->tracks[i].signature << 32 |
				       d->in->sources[r->tracks[i].source].holder,
				.value = (uint32_t)i,
			};
	if (e == 0)
		e = order_keyed(keys, n);
	for (size_t i = 0, end; e == 0 && i < n; i = end) {
		unsigned holders = 0;

		for (end = i; end < n && keys[end].key >> 32 == keys[i].key >> 32; end++)
			holders += end == i || keys[end].key != keys[end - 1].key;
		for (size_t j = i; j < end; j++)
			r->tracks[keys[j].value].company = holders >= d->p->random_holders;
	}
	return e;
}

/* Whether its TTLs alone, which change from packet to packet, are all that speaks against it. */
static bool only_draws(const struct verdict_params *p, const struct verdict_track *t)
{
	if (p->reference)
		return false;
	return t->kind == VERDICT_NMAP || (t->kind == VERDICT_RANDOM && !t->company);
}

static void call(const struct detector *d, struct verdict_track *t)
{
	const struct verdict_params *p = d->p;
	bool one = t->regions < 2 && !p->reference;
	bool alone = t->campaign == UINT32_MAX && !t->carried && !track_of_sender(t) &&
		     !p->reference && t->kind != VERDICT_RANDOM;
	double spoofed = !alone ? p->spoofed : one ? p->spoofed_one_region : p->spoofed_alone;
	double genuine = one ? p->genuine_one_region : p->genuine;

	t->score = fmax(-p->clip, fmin(p->clip, t->score));
	if (d->in->sources[t->source].listing != VERDICT_LISTED)
		t->call = VERDICT_SPOOFED;
	else if (!t->scored)
		t->call = VERDICT_UNDETERMINED;
	else if (t->score >= genuine)
		t->call = VERDICT_GENUINE;
	else if (t->score <= spoofed && !only_draws(p, t))
		t->call = VERDICT_SPOOFED;
	else
		t->call = VERDICT_UNDETERMINED;
	if (t->call == VERDICT_SPOOFED && t->scored && track_fixed(t))
		t->nearest_region = score_nearest(d, track_hops(d, t), t->sensors);
}

static int allocate(struct detector *d)
{
	const struct verdict_input *in = d->in;
	struct verdict_profile *p = &d->r->profile;
	size_t cells = (size_t)in->regions_n * in->sensors_n;

	p->rough = zeroed(in->sensors_n, sizeof(*p->rough));
	p->mean = zeroed(in->sensors_n, sizeof(*p->mean));
	p->votes = zeroed(in->sensors_n, sizeof(*p->votes));
	p->known = zeroed(in->regions_n, sizeof(*p->known));
	p->region_mean = zeroed(cells, sizeof(*p->region_mean));
	p->region_holders = zeroed(cells, sizeof(*p->region_holders));
	return p->rough && p->mean && p->votes && p->known && p->region_mean && p->region_holders
		       ? 0
		       : -ENOMEM;
}

static int run(struct detector *d)
{
	AUTO_FREE double *worst = NULL;
	AUTO_FREE uint32_t *mains = NULL; /* [source]: main signature */
	int e = allocate(d);

	if (e == 0)
		e = unless_stopped(d, fold(d));
	if (e == 0)
		e = unless_stopped(d, campaign_prepare(d));
	if (e == 0 && !d->p->reference)
		e = unless_stopped(d, senders_prepare(d));
	if (e < 0)
		return e;
	d->tails = zeroed(2 * (size_t)d->in->sensors_n, sizeof(*d->tails));
	worst = zeroed(d->r->tracks_n, sizeof(*worst));
	mains = zeroed(d->in->sources_n, sizeof(*mains));
	if (!worst || !mains || !d->tails)
		return -ENOMEM;
	for (size_t i = 0; i < d->r->tracks_n; i++)
		mains[d->r->tracks[i].source] = d->r->tracks[i].signature;
	e = unless_stopped(d, pass(d, NULL, mains));
	if (e < 0)
		return e;
	note_scores(d, worst);
	e = d->in->learned ? pass_again(d, worst) : pass(d, worst, mains);
	e = unless_stopped(d, e);
	if (e == 0)
		e = find_company(d);
	for (size_t i = 0; e == 0 && i < d->r->tracks_n; i++)
		call(d, &d->r->tracks[i]);
	return e == 0 ? campaign_list(d) : e;
}

int verdict_run(
	const struct verdict_input *in, const struct verdict_params *p, struct verdict_result *ret)
{
	struct verdict_result r = {0};
	struct detector d = {.in = in, .p = p, .r = &r};
	int e = run(&d);

	holder_done(&d.holders);
	campaign_done(&d.campaigns);
	senders_done(&d.senders);
	free(d.tails);
	if (e < 0)
		verdict_done(&r);
	else
		*ret = r;
	return e;
}

void verdict_carry(const struct verdict_input *in, const struct verdict_params *p,
	struct verdict_result *r, size_t track, const struct verdict_evidence *e)
{
	const struct detector d = {.in = in, .p = p, .r = r};
	struct verdict_track *t = &r->tracks[track];
	double own = t->member > 0 ? t->own_score : t->score;

	if (!t->scored)
		return;
	t->company |= e->spoofed;
	if (track_fixed(t) && t->mixture <= 0 && e->mixture > 0) {
		t->mixture = e->mixture;
		t->log_campaign = e->log_campaign;
		t->carried = e->named;
		own = score_join_campaign(p, t);
	}
	if (t->member <= 0 && e->member > 0) {
		t->member = e->member;
		t->sits = e->sits;
	}
	t->own_score = t->member > 0 ? own : 0;
	t->score = t->member > 0 ? sender_score(own, t->member, t->sits) : own;
	call(&d, t);
}

void verdict_profile_done(struct verdict_profile *p)
{
	free(p->rough);
	free(p->mean);
	free(p->votes);
	free(p->known);
	free(p->region_mean);
	free(p->region_holders);
	free(p->residuals);
	free(p->offsets);
	*p = (struct verdict_profile){0};
}

void verdict_done(struct verdict_result *r)
{
	free(r->tracks);
	free(r->hops);
	verdict_profile_done(&r->profile);
	free(r->campaigns);
	free(r->cells);
	*r = (struct verdict_result){0};
}
