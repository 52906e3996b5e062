/* How well the claim explains a hop vector, against the alternatives. */
#include "collector/verdict/impl.h"

/* Sensors that it takes to say where a sender may be. */
#define NEAREST_SENSORS 3
/* Within a campaign: at the hop count itself, beside it (a route that changed), anywhere. */
#define CELL_SHARE 0.9
#define BESIDE_SHARE 0.3
#define CELL_USUAL 36

static double noise(const struct detector *d, const struct verdict_hop *h)
{
	return h->variance / (double)h->packets + d->p->rounding;
}

static struct density from_region(
	const struct detector *d, uint16_t region, const struct verdict_hop *h, unsigned n)
{
	struct density s = {0};

	for (unsigned i = 0; i < n; i++) {
		double mean, variance;

		if (!sensor_known(d, h[i].sensor))
			continue;
		region_at(d, region, h[i].sensor, &mean, &variance);
		density_add(&s, h[i].hops - mean, variance + noise(d, &h[i]));
	}
	return s;
}

static void add_anywhere(const struct detector *d, struct density *s, const struct verdict_hop *h)
{
	density_add(s, h->hops - d->r->profile.mean[h->sensor],
		d->p->any_sd * d->p->any_sd + noise(d, h));
}

static struct density from_anywhere(
	const struct detector *d, const struct verdict_hop *h, unsigned n)
{
	struct density s = {0};

	for (unsigned i = 0; i < n; i++)
		if (sensor_known(d, h[i].sensor))
			add_anywhere(d, &s, &h[i]);
	return s;
}

enum profile_of {
	OF_HOLDER,
	OF_REGION,
	OF_ANYWHERE,
};

/* From the claimed network: its holder's profile where it taught one, and its region's. */
struct claimed {
	struct density holder, region;
	struct expectation expected;
};

/* Also finds the sensor that fits least. */
static struct claimed from_claimed(const struct detector *d, struct verdict_track *t)
{
	const struct verdict_source *s = &d->in->sources[t->source];
	const struct verdict_hop *h = track_hops(d, t);
	struct claimed c = {
		.expected = holder_expect(d, s->holder, t->signature),
		.region = from_region(d, s->region, h, t->sensors),
	};
	double worst = -1;

	for (unsigned i = 0; i < t->sensors; i++) {
		double mean, variance;

		if (!sensor_known(d, h[i].sensor))
			continue;
		if (c.expected.taught)
			holder_at(d, &c.expected, s, t->signature, h[i].sensor, &mean, &variance);
		else
			region_at(d, s->region, h[i].sensor, &mean, &variance);
		variance += noise(d, &h[i]);
		density_add(&c.holder, h[i].hops - mean, variance);
		d->tails[i] = (struct deviation){.hops = mean, .variance = variance};
	}
	t->common_offset = density_offset(&c.holder, c.expected.tau);
	for (unsigned i = 0; i < t->sensors; i++) {
		double mean = d->tails[i].hops + t->common_offset, misfit;

		if (!sensor_known(d, h[i].sensor))
			continue;
		misfit = fabs(h[i].hops - mean) / sqrt(d->tails[i].variance);
		if (misfit > worst) {
			worst = misfit;
			t->worst_sensor = h[i].sensor;
			t->worst_hops = h[i].hops;
			t->worst_expected = mean;
		}
	}
	return c;
}

/* tau: of the common offset, 0 for that of the profiles. */
static double claimed_log(const struct detector *d, const struct claimed *c, double tau)
{
	double region = density_log(&c->region, tau > 0 ? tau : d->p->region_tau);

	if (!c->expected.taught)
		return region;
	return log_sum(
		log1p(-d->p->coarse) + density_log(&c->holder, tau > 0 ? tau : c->expected.tau),
		log(d->p->coarse) + region);
}

/* Usual initial TTLs, or one constant but unknown. */
static double odd_log(const struct detector *d, double usual, double odd)
{
	return log_sum(log1p(-d->p->odd) + usual, log(d->p->odd) + odd);
}

double score_claimed(const struct detector *d, uint32_t source, uint32_t own,
	const struct verdict_hop *h, unsigned n)
{
	const struct verdict_source *s = &d->in->sources[source];
	struct claimed c = {
		.expected = holder_expect(d, s->holder, own),
		.region = from_region(d, s->region, h, n),
	};

	for (unsigned i = 0; i < n && c.expected.taught; i++) {
		double mean, variance;

		if (!sensor_known(d, h[i].sensor))
			continue;
		holder_at(d, &c.expected, s, own, h[i].sensor, &mean, &variance);
		density_add(&c.holder, h[i].hops - mean, variance + noise(d, &h[i]));
	}
	return odd_log(d, claimed_log(d, &c, 0), claimed_log(d, &c, d->p->odd_tau));
}

double score_anywhere(const struct detector *d, const struct verdict_hop *h, unsigned n)
{
	struct density any = from_anywhere(d, h, n);

	return odd_log(d, density_log(&any, d->p->any_tau), density_log(&any, d->p->odd_tau));
}

double score_elsewhere(const struct detector *d, const struct verdict_hop *h, unsigned n)
{
	double sum = -INFINITY, known = 0;

	for (uint16_t region = 0; region < d->in->regions_n; region++) {
		struct density s;

		if (!d->r->profile.known[region])
			continue;
		s = from_region(d, region, h, n);
		sum = log_sum(sum, density_log(&s, d->p->region_tau));
		known++;
	}
	return sum - log(known);
}

/* Differences from a profile at the sensors that are known, into d->tails. */
static unsigned differ(const struct detector *d, const struct verdict_track *t,
	const struct expectation *e, enum profile_of of)
{
	const struct verdict_source *s = &d->in->sources[t->source];
	const struct verdict_hop *h = track_hops(d, t);
	unsigned n = 0;

	for (unsigned i = 0; i < t->sensors; i++) {
		double mean = d->r->profile.mean[h[i].sensor];
		double variance = d->p->any_sd * d->p->any_sd;

		if (!sensor_known(d, h[i].sensor))
			continue;
		if (of == OF_HOLDER)
			holder_at(d, e, s, t->signature, h[i].sensor, &mean, &variance);
		else if (of == OF_REGION)
			region_at(d, s->region, h[i].sensor, &mean, &variance);
		d->tails[n++] = (struct deviation){
			.hops = h[i].hops - mean,
			.variance = variance + noise(d, &h[i]),
		};
	}
	return n;
}

/* Of one profile: usual initial TTLs or, where TTLs are steady, one constant but unknown. */
static double tails_of(const struct detector *d, const struct verdict_track *t,
	const struct expectation *e, enum profile_of of, double tau)
{
	unsigned n = differ(d, t, e, of);
	double usual = tails_log(d->tails, n, tau, d->p->tail, d->p->tail_variance);

	if (!track_fixed(t))
		return usual;
	return odd_log(
		d, usual, tails_log(d->tails, n, d->p->odd_tau, d->p->tail, d->p->tail_variance));
}

/* What looks forged is looked at again: at any sensor the route may be another than the profile
 * knows. */
static void score_tails(
	const struct detector *d, struct verdict_track *t, const struct claimed *claimed)
{
	const struct expectation *e = &claimed->expected;

	t->log_claimed = tails_of(d, t, e, OF_REGION, d->p->region_tau);
	if (e->taught)
		t->log_claimed =
			log_sum(log1p(-d->p->coarse) + tails_of(d, t, e, OF_HOLDER, e->tau),
				log(d->p->coarse) + t->log_claimed);
	t->log_alternative = tails_of(d, t, e, OF_ANYWHERE, d->p->any_tau);
}

static const struct bucket *bucket_of(
	const struct detector *d, const struct verdict_track *t, const struct verdict_hop *h)
{
	for (unsigned c = 0; c < CLASSES_N; c++) {
		const struct bucket *b =
			h->classes >> c & 1 ? campaign_at(d, h->sensor, t->signature, c) : NULL;
		if (b)
			return b;
	}
	return NULL;
}

static double share_near(const struct bucket *b, double hops)
{
	int h = (int)hops;
	double share = b->share[h];

	if (h > 0)
		share = fmax(share, BESIDE_SHARE * b->share[h - 1]);
	if (h + 1 < HOPS_N)
		share = fmax(share, BESIDE_SHARE * b->share[h + 1]);
	return share;
}

static double sum_up(const struct verdict_params *p, const struct verdict_track *t)
{
	double weight = p->path_weight, log_claimed = t->log_claimed;

	if (t->path_looked)
		log_claimed = log_sum(log1p(-weight) + log_claimed, log(weight) + t->log_path);
	return (log_claimed - t->log_alternative) / M_LN10 + t->prior;
}

double score_join_campaign(const struct verdict_params *p, struct verdict_track *t)
{
	t->prior = fmin(0, log10((1 - t->mixture) / t->mixture));
	t->log_alternative = log_sum(log1p(-p->campaign_weight) + t->log_alternative,
		log(p->campaign_weight) + t->log_campaign);
	return sum_up(p, t);
}

/* Takes the campaigns at the track's sensors into the alternative; at those that little is known of
 * only if asked for. */
static void score_campaign(const struct detector *d, struct verdict_track *t, bool blind)
{
	const struct verdict_hop *h = track_hops(d, t);
	double any = d->p->any_sd * d->p->any_sd + d->p->any_tau * d->p->any_tau;
	double weight = d->p->campaign_weight, log_campaign = 0, mixture = 0;
	const struct bucket *named = NULL;
	unsigned n = 0;

	if (d->p->reference && t->response)
		return;
	for (unsigned i = 0; i < t->sensors; i++) {
		const struct bucket *b = bucket_of(d, t, &h[i]);
		double away = h[i].hops - d->r->profile.mean[h[i].sensor];

		if (!blind && !sensor_known(d, h[i].sensor))
			continue;
		if (b) {
			n++;
			mixture += b->mixture;
			log_campaign += log(CELL_SHARE * share_near(b, h[i].hops) +
					    (1 - CELL_SHARE) / CELL_USUAL);
			named = named ? named : b;
		} else {
			log_campaign += -0.5 * away * away / any - 0.5 * log(2 * M_PI * any);
		}
	}
	if (!named)
		return;
	mixture /= n;
	t->mixture = mixture;
	t->log_campaign = log_campaign;
	if (log(weight) + log_campaign > log1p(-weight) + t->log_alternative)
		t->campaign = (uint32_t)(named - d->campaigns.buckets);
	(void)score_join_campaign(d->p, t);
}

static void score_path(const struct detector *d, struct verdict_track *t)
{
	t->suspect = true;
	t->path_looked = path_density(d, t, &t->log_path);
	t->score = sum_up(d->p, t);
	t->second_path = t->path_looked && t->score > d->p->spoofed;
}

/* Nothing is known of where it claims to come from, or of those who see it: only a campaign is
 * evidence. */
static void score_blind(const struct detector *d, struct verdict_track *t)
{
	const struct verdict_hop *h = track_hops(d, t);
	struct density any = {0};

	for (unsigned i = 0; i < t->sensors; i++)
		add_anywhere(d, &any, &h[i]);
	t->log_claimed = t->log_alternative =
		odd_log(d, density_log(&any, d->p->any_tau), density_log(&any, d->p->odd_tau));
	score_campaign(d, t, true);
	t->scored = t->campaign != UINT32_MAX;
	if (t->scored)
		t->score = sum_up(d->p, t);
	else
		t->log_claimed = t->log_alternative = t->prior = t->mixture = 0;
}

void score(const struct detector *d, struct verdict_track *t)
{
	const struct verdict_source *s = &d->in->sources[t->source];
	const struct verdict_hop *h = track_hops(d, t);
	struct claimed claimed;
	struct density any;

	t->scored = t->suspect = t->path_looked = t->second_path = false;
	t->own_score = t->member = t->sits = 0;
	t->mixture = t->log_campaign = 0;
	t->score = t->prior = t->log_claimed = t->log_alternative = t->log_path = 0;
	t->common_offset = t->worst_hops = t->worst_expected = 0;
	t->worst_sensor = VERDICT_NONE;
	t->campaign = UINT32_MAX;
	if (s->listing != VERDICT_LISTED) {
		t->score = d->p->bogon_score;
		return;
	}
	if (t->kind == VERDICT_SPLIT && t->packets < 3 && t->sensors < 2)
		return; /* too little to be a sender of its own */
	any = from_anywhere(d, h, t->sensors);
	if (!region_known(d, s) || any.k == 0) {
		if (!d->p->reference && track_fixed(t))
			score_blind(d, t);
		return;
	}
	t->scored = true;
	claimed = from_claimed(d, t);
	if (t->kind == VERDICT_RANDOM) {
		t->log_claimed = claimed_log(d, &claimed, d->p->random_tau);
		t->log_alternative = density_log(&any, d->p->random_tau);
		t->prior = t->implausible ? d->p->implausible_prior : d->p->random_prior;
		t->score = sum_up(d->p, t);
		return;
	}
	t->log_claimed = claimed_log(d, &claimed, 0);
	t->log_alternative = density_log(&any, d->p->any_tau);
	if (track_fixed(t)) {
		t->log_claimed =
			odd_log(d, t->log_claimed, claimed_log(d, &claimed, d->p->odd_tau));
		t->log_alternative =
			odd_log(d, t->log_alternative, density_log(&any, d->p->odd_tau));
	}
	if (!d->p->reference && t->log_claimed <= t->log_alternative)
		score_tails(d, t, &claimed);
	if (t->kind == VERDICT_NMAP) {
		t->score = sum_up(d->p, t);
		return;
	}
	score_campaign(d, t, false);
	t->score = sum_up(d->p, t);
	if (t->score <= d->p->spoofed && t->sensors >= 2)
		score_path(d, t);
}

uint16_t score_nearest(const struct detector *d, const struct verdict_hop *hops, unsigned n)
{
	uint16_t best = VERDICT_NONE;
	double most = -INFINITY;

	if (n < NEAREST_SENSORS)
		return VERDICT_NONE;
	for (uint16_t region = 0; region < d->in->regions_n; region++) {
		struct density s;
		double log_p;

		if (!d->r->profile.known[region])
			continue;
		s = from_region(d, region, hops, n);
		log_p = density_log(&s, d->p->region_tau);
		if (log_p > most) {
			most = log_p;
			best = region;
		}
	}
	return best;
}
