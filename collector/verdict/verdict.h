/*
 * The detector: is a source really where its address says? Arrays in, arrays out: no database, no
 * clock, no logging; the same input gives the same output. One address family a run.
 *
 *   fold       histogram rows -> tracks: one sender behind an address, its hops at each sensor
 *   profile    what hops to expect: of any origin, a region, a holder; learned from the tracks
 *   campaign   hop counts that too many unrelated holders have in common
 *   sender     one machine behind what used one tool in one stretch of time
 *   score      ln density under the claim against that under the alternatives
 *   path       suspects against other sources of their holder
 *   verdict    two passes (suspects do not teach the second), thresholds
 *
 * Units: hops; score and prior log10; densities natural logarithms.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_H
#define HIRUNDO_COLLECTOR_VERDICT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

/** No region is known of a source or sensor; no sensor. */
#define VERDICT_NONE UINT16_MAX

/** One row of hirundo.ttl_day. A (source, sensor, signature, ttl) comes once. */
struct verdict_row {
	uint64_t packets; /* 1 and up */
	uint32_t source; /* index */
	uint32_t signature; /* index */
	uint32_t first_s, last_s; /* seconds since the start of the day */
	uint16_t sensor; /* index */
	uint8_t ttl;
};

enum verdict_listing {
	VERDICT_LISTED, /* or not known to be unlisted */
	VERDICT_UNLISTED, /* allocated to nobody */
	VERDICT_BOGON, /* special-purpose address */
};

struct verdict_source {
	uint32_t holder; /* index; of what is listed */
	uint16_t region; /* index or VERDICT_NONE */
	uint8_t listing; /* enum verdict_listing */
};

struct verdict_profile;

/** Votes of earlier days, decayed. */
struct verdict_history {
	const double *sensor_mean, *sensor_votes; /* [sensor]; votes 0 = none */
	const double *region_mean, *region_holders; /* [region * sensors_n + sensor] */
	/** Ascending by holder, then sensor; sensor VERDICT_NONE is the common offset. */
	const struct verdict_vote {
		double mean, votes;
		uint32_t holder;
		uint16_t sensor;
	} * votes;
	size_t votes_n;
};

struct verdict_input {
	const struct verdict_row *rows; /* ascending by source (verdict_sort) */
	size_t rows_n;
	const struct verdict_source *sources; /* in the order of their addresses */
	uint32_t sources_n;
	const uint16_t *sensor_region; /* [sensor]: region index or VERDICT_NONE */
	uint16_t sensors_n;
	const bool *signature_response; /* [signature]; indices in the order of the signatures */
	uint32_t signatures_n;
	uint32_t holders_n;
	uint16_t regions_n;
	const struct verdict_history *history; /* or NULL */
	/** What an earlier run of the same day learned, in today's indices: then nothing is
	 * learned, and the input may be a part of the day's sources (all rows of each). NULL:
	 * learn. */
	const struct verdict_profile *learned;
	const atomic_bool *stop; /* true: the result is not wanted any more; or NULL */
};

/** Constants of the method; verdict_params has the values and where they come from. */
struct verdict_params {
	double region_sd, any_sd, holder_sd, path_sd;
	double region_tau, any_tau, holder_tau, between_tau, path_tau, odd_tau, random_tau;
	double odd; /* prior of a constant but unknown initial TTL */
	double rounding; /* variance of rounding to whole hops */
	double tail, tail_variance; /* a sensor's route is another than the profile knows */
	double shrink,
		effect_shrink; /* weight of what a region's profile is drawn to, in holders */
	double residual_clip, offset_clip;
	double spread_shrink; /* tracks that a holder's usual spread counts as */
	double coarse; /* weight of the region's profile beside the holder's */
	double sensor_votes; /* holders of other regions that make a sensor known */
	double campaign_weight, campaign_ratio, campaign_tail, campaign_cap, path_weight;
	unsigned campaign_holders, campaign_holders_bucket, campaign_pairs, path_templates;
	/* Senders: least flows, most in a signature; least ln of the evidence; weight of what
	 * nobody showed yet, in flows; that a forged address also sends by itself; of the regions'
	 * profiles in what may be elsewhere. */
	unsigned sender_flows, senders;
	/* Holders whose sources draw TTLs at random with one tool, from which on that is one
	 * forger. */
	unsigned random_holders;
	double sender_evidence, claims_evidence, sender_prior, sender_several, sender_regions;
	double random_prior, implausible_prior, bogon_score, drop_score, clip;
	/* Thresholds. Alone: of what no sender, campaign or random TTL speaks against. */
	double spoofed, spoofed_alone, spoofed_one_region, genuine, genuine_one_region;
	/** As the reference has it: main signature and second pass by source instead of track, one
	 * threshold whatever saw it. For tests against it. */
	bool reference;
};
extern const struct verdict_params verdict_params;

/** Thresholds at a prevalence of spoofing (0 < p < 1): stricter by the odds, never laxer, because a
 *  verdict needs evidence of its own. */
void verdict_set_prevalence(struct verdict_params *p, double prevalence);

enum verdict_kind {
	VERDICT_FIXED,
	VERDICT_SPLIT,
	VERDICT_NMAP,
	VERDICT_RANDOM,
	VERDICT_KIND_UNLISTED,
	VERDICT_KIND_BOGON,
};
enum verdict_call {
	VERDICT_GENUINE,
	VERDICT_SPOOFED,
	VERDICT_UNDETERMINED,
};

/** What a track shows at a sensor. */
struct verdict_hop {
	double hops, variance; /* nmap: 48 - mean TTL; random: - mean TTL */
	uint64_t packets;
	uint16_t sensor;
	uint8_t classes; /* initial TTLs there: bits 0 to 3 for 32, 64, 128, 255 */
};

struct verdict_track {
	uint64_t packets;
	size_t hops; /* index of its first struct verdict_hop; ascending by sensor */
	uint32_t source, signature;
	uint16_t sensors, regions;
	uint16_t source_regions; /* regions that saw any track of its source */
	uint8_t initial_ttl; /* 0: all packets of the source */
	uint8_t kind; /* enum verdict_kind */
	uint8_t call; /* enum verdict_call */
	bool response; /* reference: any packet of the source is a response */
	bool implausible; /* random: TTLs that no path of 40 hops explains */
	bool teaches, scored, path_looked, second_path, held;
	bool suspect; /* it was compared with other sources of its holder, if there are any */
	bool company; /* random: others of several holders do the same with the same tool */
	bool carried; /* its campaign is one that an earlier run named (verdict_carry) */
	double offset; /* from the region's profile, at all sensors; of teachers */
	double score, log_claimed, log_alternative, log_path, prior;
	double log_campaign, mixture; /* of the campaigns' cells; mixture 0 = none */
	double common_offset, worst_hops, worst_expected; /* where scored */
	uint16_t worst_sensor;
	uint16_t nearest_region; /* spoofed, 3 sensors and more; else VERDICT_NONE */
	uint32_t campaign; /* index or UINT32_MAX */
	/* Where it may be of a sender (else 0): the score without that; the chance that it is;
	 * log10 odds that the sender sits where the source says. The score is that of the mixture.
	 */
	double own_score, member, sits;
	uint32_t sender; /* which, where member > 0 */
};

struct verdict_cell {
	double expected, share, mixture;
	uint32_t campaign; /* index */
	uint32_t holders;
	uint16_t sensor;
	uint8_t hops;
};

struct verdict_campaign {
	uint64_t packets;
	uint32_t signature, sources, holders, first_s, last_s;
	uint16_t likely_region; /* or VERDICT_NONE */
	uint8_t initial_ttl;
};

/** Vote of a signature of a holder; in offsets the sensor is VERDICT_NONE. */
struct verdict_learned {
	double hops, spread; /* median; mean square distance from it */
	uint32_t holder, signature, tracks;
	uint16_t sensor;
};

struct verdict_profile {
	double *rough, *mean, *votes; /* [sensor] */
	bool *known; /* [region]: something was learned of it */
	double *region_mean, *region_holders; /* [region * sensors_n + sensor] */
	double in_region;
	struct verdict_learned *residuals, *offsets; /* ascending by holder, sensor, signature */
	size_t residuals_n, offsets_n;
};

struct verdict_result {
	struct verdict_track *tracks; /* ascending by source, initial TTL */
	size_t tracks_n;
	struct verdict_hop *hops;
	size_t hops_n;
	struct verdict_profile profile;
	struct verdict_campaign *campaigns; /* most holders first */
	uint32_t campaigns_n;
	struct verdict_cell *cells; /* ascending by campaign, sensor, hops */
	size_t cells_n;
	size_t teachers;
};

/** What a step came to, so that the next one is not begun when it is not wanted.
 *  @param stop  true: it is not; or NULL */
static inline int verdict_unless_stopped(const atomic_bool *stop, int e)
{
	return e == 0 && stop && *stop ? -ECANCELED : e;
}

/** Brings rows into the order that verdict_run wants.
 *  @param stop  true: the order is not wanted any more; or NULL
 *  @return 0, -ENOMEM, -ECANCELED (stop) */
int verdict_sort(struct verdict_row *rows, size_t rows_n, uint32_t sources_n,
	const atomic_bool *stop) MUST_CHECK;

/** @param in  indices in range; not checked
 *  @return 0, -ENOMEM, -E2BIG (more holders, sensors and signatures than fit a 64-bit key),
 *          -ECANCELED (in->stop) */
int verdict_run(const struct verdict_input *in, const struct verdict_params *p,
	struct verdict_result *ret) MUST_CHECK;
void verdict_done(struct verdict_result *r);
void verdict_profile_done(struct verdict_profile *p);

/** What an earlier run, which saw more sources, found a track to belong to; as in struct
 *  verdict_track: mixture 0 = cells of no campaign, member 0 = no sender. */
struct verdict_evidence {
	double log_campaign, mixture, member, sits;
	bool named; /* a campaign explained the track best */
	bool spoofed; /* it was called that */
};

/** For a run of a part of the sources: takes evidence of an earlier run into a track where this run
 *  found none of the kind, and calls it anew. */
void verdict_carry(const struct verdict_input *in, const struct verdict_params *p,
	struct verdict_result *r, size_t track, const struct verdict_evidence *e);

/** Which tracks' former calls may matter to verdict_hold: those of holders where enough looks
 *  spoofed.
 *  @param ret  [track]; filled. @return 0, -ENOMEM */
int verdict_hold_ask(
	const struct verdict_input *in, const struct verdict_result *r, bool *ret) MUST_CHECK;

/** Holds the verdicts of tracks that were genuine before and look spoofed now where that happens to
 * a whole holder: 3 sources or more with 3 signatures or more, half of those that were genuine.
 *  Tracks of campaigns and of one sensor are not held.
 *  @param genuine  [track]: whether it was last called genuine, today or on the days before
 *  @return how many are held; SIZE_MAX: no memory */
size_t verdict_hold(const struct verdict_input *in, struct verdict_result *r, const bool *genuine);

#endif
