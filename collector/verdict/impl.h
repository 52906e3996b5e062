/* What the detector's modules share. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_IMPL_H
#define HIRUNDO_COLLECTOR_VERDICT_IMPL_H

#include "collector/verdict/density.h"
#include "collector/verdict/verdict.h"

#define CLASSES_N 4
#define HOPS_N 128 /* initial TTL less TTL is 0 to 126 */

/** Votes of a holder at a sensor (or, VERDICT_NONE, on the common offset), summed. */
struct votes {
	double sum; /* of the signatures' votes */
	double spread, spread_weight; /* squares within signatures; tracks less one a signature */
	size_t first; /* in residuals or offsets */
	uint32_t n; /* signatures */
	uint32_t weight; /* tracks, at most 3 a signature */
	double history, history_weight;
	uint16_t sensor;
};

/** What the holders taught, by holder. */
struct holders {
	struct votes *votes; /* ascending by holder, sensor; the offset is the last of a holder */
	size_t *first; /* [holder], one more at the end */
	uint32_t *member; /* teaching tracks, ascending by holder, signature, track */
	size_t *members; /* [holder]: first of member; one more at the end */
};

/** A (sensor, signature, initial TTL) with enough pairs of source and TTL to look for campaigns. */
struct bucket {
	size_t first, n; /* in campaigns.order */
	uint32_t signature;
	uint16_t sensor;
	uint8_t class_;
	bool found;
	double mixture;
	double share[HOPS_N]; /* 0: no campaign at this hop count */
	double expected[HOPS_N];
	uint32_t holders[HOPS_N];
};

struct campaigns {
	uint32_t *order; /* rows, by bucket, then holder and hops */
	struct bucket *buckets; /* ascending by signature, sensor, class */
	size_t buckets_n;
};

struct detector {
	const struct verdict_input *in;
	const struct verdict_params *p;
	struct verdict_result *r;
	struct holders holders;
	struct campaigns campaigns;
};

static inline unsigned ttl_class(uint8_t ttl)
{
	return ttl <= 26 ? 0 : ttl <= 64 ? 1 : ttl <= 128 ? 2 : 3;
}

/** Of a class: 32, 64, 128, 255. */
static inline uint8_t class_ttl(unsigned class_)
{
	static const uint8_t ttl[CLASSES_N] = {32, 64, 128, 255};

	return ttl[class_];
}

static inline uint8_t ttl_hops(uint8_t ttl)
{
	return (uint8_t)(class_ttl(ttl_class(ttl)) - ttl);
}

static inline const struct verdict_hop *track_hops(
	const struct detector *d, const struct verdict_track *t)
{
	return &d->r->hops[t->hops];
}

/** Whether its initial TTLs are steady. */
static inline bool track_fixed(const struct verdict_track *t)
{
	return t->kind == VERDICT_FIXED || t->kind == VERDICT_SPLIT;
}

/** Whether something was learned of the region that a source claims. */
static inline bool region_known(const struct detector *d, const struct verdict_source *s)
{
	return s->region != VERDICT_NONE && d->r->profile.known[s->region];
}

/** Whether enough is known of a sensor: what comes from anywhere must be known to be told apart. */
static inline bool sensor_known(const struct detector *d, uint16_t sensor)
{
	return d->p->reference || d->r->profile.votes[sensor] >= d->p->sensor_votes;
}

/* fold.c */
int fold(struct detector *d) MUST_CHECK;

/* profile.c: from the tracks with teaches set */
int profile_learn(struct detector *d) MUST_CHECK;

/* holder.c */
int holder_learn(struct detector *d) MUST_CHECK;
void holder_done(struct holders *h);

/** What is expected of a source of a holder that uses a signature: the votes of others. */
struct expectation {
	double shift, tau; /* of the common offset, given what the holder taught */
	bool taught; /* else there is only the region's profile */
};
struct expectation holder_expect(const struct detector *d, uint32_t holder, uint32_t own);
/** Mean and variance of the hops at a sensor; by the region alone, or by the holder too. */
void region_at(const struct detector *d, uint16_t region, uint16_t sensor, double *ret_mean,
	double *ret_variance);
void holder_at(const struct detector *d, const struct expectation *e,
	const struct verdict_source *s, uint32_t own, uint16_t sensor, double *ret_mean,
	double *ret_variance);

/* campaign.c */
int campaign_prepare(struct detector *d) MUST_CHECK;
/** @param mains  [source]: its main signature (reference) */
void campaign_find(struct detector *d, const uint32_t *mains);
const struct bucket *campaign_at(
	const struct detector *d, uint16_t sensor, uint32_t signature, unsigned class_);
/** Joins the cells of each sender, and counts what is in them. */
int campaign_list(struct detector *d) MUST_CHECK;
void campaign_done(struct campaigns *c);

/* score.c */
void score(const struct detector *d, struct verdict_track *t);
/** The region that explains a hop vector best, or VERDICT_NONE. */
uint16_t score_nearest(const struct detector *d, const struct verdict_hop *hops, unsigned n);

/* path.c: ln density on the paths of other sources of the holder.
 * @return false: there are none to compare with */
bool path_density(const struct detector *d, const struct verdict_track *t, double *ret);

#endif
