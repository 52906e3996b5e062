/* What the detector's modules share. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_IMPL_H
#define HIRUNDO_COLLECTOR_VERDICT_IMPL_H

#include "collector/verdict/density.h"
#include "collector/verdict/verdict.h"

#define CLASSES_N 4
#define HOPS_N 128 /* initial TTL less TTL is 0 to 126 */
#define TTLS_N 256
/* Hop counts that occur; what is not expected anywhere is spread over them. */
#define HOPS_USUAL 36
#define USUAL_SHARE 0.95

/** Votes of a holder at a sensor (or, VERDICT_NONE, on the common offset), summed. */
struct votes {
	double sum; /* of the signatures' votes */
	double spread, spread_weight; /* squares within signatures; tracks less one a signature */
	size_t first; /* in signatures */
	uint32_t n; /* signatures */
	uint32_t weight; /* tracks, at most 3 a signature */
	double history, history_weight;
	uint16_t sensor;
};

/** What the holders taught, by holder. */
struct holders {
	const struct verdict_learned *residuals, *offsets; /* of this run, or learned before */
	size_t residuals_n, offsets_n;
	uint32_t *signatures; /* of residuals, then of offsets: close together to be searched */
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
	uint32_t *holder; /* [place in order]; beside it, so that rows need not be looked up */
	uint16_t *region; /* that the row's source claims; likewise */
	uint8_t *hops;
	struct bucket *buckets; /* ascending by signature, sensor, class */
	size_t buckets_n;
};

/** What a source sent with one signature. */
struct flow {
	size_t first; /* in senders.order */
	uint32_t rows, source, signature;
	uint32_t first_s, last_s;
	uint32_t sender; /* that it may be of, or UINT32_MAX */
	double member; /* chance that it is */
	double log_claimed, log_any; /* of its TTLs, from its claim and from anywhere */
	uint8_t class_; /* of most packets */
	bool random; /* TTLs change from packet to packet */
	bool free; /* to be looked at; no sender has it yet */
	bool candidate, claimed_known;
};

/** One machine that sends in the name of others, or the only one that the claim is true of. */
struct sender {
	double mixture; /* its share of what was there at the time */
	double evidence; /* ln, against none */
	uint32_t signature;
};

struct senders {
	uint32_t *order; /* rows, by signature, source, sensor, TTL */
	uint32_t *cell; /* [place in order]: sender_cell; beside it, as in campaigns */
	size_t *by_signature; /* [signature]: first in order; one more at the end */
	struct flow *flows; /* ascending by signature, source */
	size_t flows_n;
	bool *several; /* [source]: has more than one signature */
	double *base; /* [sensor * TTLS_N + ttl]: density from anywhere */
	double *votes, *voters; /* scratch, 0: [sensor * TTLS_N + ttl], [sensor] */
	double log_class[CLASSES_N];
	struct sender *found;
	size_t found_n, room;
};

struct candidate {
	double member;
	uint32_t flow;
};

/** Flows of one signature. */
struct flow_group {
	uint32_t *by_time; /* flows, by their first packet */
	size_t n;
	struct candidate *candidates; /* scratch, room for all */
};

/** Where votes on a row's TTL at its sensor are. */
static inline uint32_t sender_cell(const struct verdict_row *r)
{
	return (uint32_t)r->sensor * TTLS_N + r->ttl;
}

static inline uint16_t cell_sensor(uint32_t cell)
{
	return (uint16_t)(cell / TTLS_N);
}

struct detector {
	const struct verdict_input *in;
	const struct verdict_params *p;
	struct verdict_result *r;
	struct holders holders;
	struct campaigns campaigns;
	struct senders senders;
	struct deviation *tails; /* scratch: [sensor] of each of two threads (halves.h) */
};

/** Whether the result is not wanted any more. */
static inline bool stopped(const struct detector *d)
{
	return d->in->stop && *d->in->stop;
}

static inline int unless_stopped(const struct detector *d, int e)
{
	return verdict_unless_stopped(d->in->stop, e);
}

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

/** Whether it is more likely than not that a sender found sent it. */
static inline bool track_of_sender(const struct verdict_track *t)
{
	return t->member > 0.5;
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

/** Density of hops that may have come from anywhere.
 *  @param square  of the distance from the mean, in deviations */
static inline double any_hops(double square, double variance)
{
	return USUAL_SHARE * exp(-0.5 * square) / sqrt(2 * M_PI * variance) +
	       (1 - USUAL_SHARE) / HOPS_USUAL;
}

/* fold.c */
int fold(struct detector *d) MUST_CHECK;

/* profile.c: from the tracks with teaches set, or as learned before */
int profile_learn(struct detector *d) MUST_CHECK;

/* holder.c: likewise */
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
/** Rows that may be forged, by signature; in one they keep their order.
 *  @param order  room for all rows
 *  @param first  [signature] and one more, zero: filled with where each begins
 *  @return 0, -ENOMEM */
int rows_by_signature(const struct detector *d, uint32_t *order, size_t *first) MUST_CHECK;
int campaign_prepare(struct detector *d) MUST_CHECK;
/** @param mains  [source]: its main signature (reference) */
void campaign_find(struct detector *d, const uint32_t *mains);
const struct bucket *campaign_at(
	const struct detector *d, uint16_t sensor, uint32_t signature, unsigned class_);
/** Joins the cells of each sender, and counts what is in them. */
int campaign_list(struct detector *d) MUST_CHECK;
void campaign_done(struct campaigns *c);

/* sender.c */
int senders_prepare(struct detector *d) MUST_CHECK;
int senders_find(struct detector *d) MUST_CHECK;
void senders_done(struct senders *s);

/* sender_fit.c
 * @return 1: a sender was found, 0: none, -ENOMEM */
int sender_fit(struct detector *d, struct flow_group *g, uint32_t from_s, uint32_t to_s) MUST_CHECK;

/* sender_judge.c: where senders sit, and what that says of their members */
int senders_judge(struct detector *d) MUST_CHECK;

/* sender_list.c: senders of forged sources become campaigns.
 * @param number                     [sender]: filled with the campaign's index, or UINT32_MAX
 * @param campaigns_room, cells_room  what the result's arrays hold (grow.h) */
int senders_list(struct detector *d, uint32_t *number, size_t *campaigns_room,
	size_t *cells_room) MUST_CHECK;
/* @param number  [sender]: as senders_list filled it
 * @return [row]: number of the sender that it is of, or UINT32_MAX; to be freed; NULL: no memory */
uint32_t *senders_rows(const struct detector *d, const uint32_t *number);

/* sender_judge.c: the score of what has this chance to be of a sender */
double sender_score(double own, double member, double sits);

/* score.c */
/** Takes a track's campaigns (log_campaign, mixture) into its alternative and its prior.
 *  @return its score then, by itself */
double score_join_campaign(const struct verdict_params *p, struct verdict_track *t);
/** ln density of hops if they came from where a source says (an own signature does not count), and
 *  from anywhere; sensors that little is known of are passed over. */
double score_claimed(const struct detector *d, uint32_t source, uint32_t own,
	const struct verdict_hop *h, unsigned n);
double score_anywhere(const struct detector *d, const struct verdict_hop *h, unsigned n);
/** The same as if from any of the known regions. */
double score_elsewhere(const struct detector *d, const struct verdict_hop *h, unsigned n);
void score(const struct detector *d, struct verdict_track *t);
/** The region that explains a hop vector best, or VERDICT_NONE. */
uint16_t score_nearest(const struct detector *d, const struct verdict_hop *hops, unsigned n);

/* path.c: ln density on the paths of other sources of the holder.
 * @return false: there are none to compare with */
bool path_density(const struct detector *d, const struct verdict_track *t, double *ret);

#endif
