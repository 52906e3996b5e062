/* Densities of hop vectors around a profile. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_DENSITY_H
#define HIRUNDO_COLLECTOR_VERDICT_DENSITY_H

#include <math.h>
#include <stddef.h>

/** Sums over the sensors of a vector; with weight 1 / variance each. */
struct density {
	double w, d, dd, log_w;
	unsigned k;
};

static inline void density_add(struct density *s, double difference, double variance)
{
	double w = 1 / variance;

	s->w += w;
	s->d += w * difference;
	s->dd += w * difference * difference;
	s->log_w += log(w);
	s->k++;
}

/** ln density, where an offset common to all sensors, normal around 0 with this deviation, is
 *  integrated out. */
static inline double density_log(const struct density *s, double tau)
{
	double chi = s->dd - s->d * s->d / (s->w + 1 / (tau * tau));

	return -0.5 * (chi - s->log_w + s->k * log(2 * M_PI) + log1p(tau * tau * s->w));
}

/** The offset that fits best. */
static inline double density_offset(const struct density *s, double tau)
{
	return s->d / (s->w + 1 / (tau * tau));
}

/** ln(exp(a) + exp(b)) */
static inline double log_sum(double a, double b)
{
	double high = a > b ? a : b, low = a > b ? b : a;

	return low == -INFINITY ? high : high + log1p(exp(low - high));
}

/** How far hops are from a profile, and what the profile's and their own variance is. */
struct deviation {
	double hops, variance;
};

/** ln density with heavy tails: at each sensor the hops are, with chance tail, wider spread by
 *  tail_variance (another route than the profile knows); the common offset is summed over in
 *  steps of half a hop. n >= 1 */
double tails_log(
	const struct deviation *v, unsigned n, double tau, double tail, double tail_variance);

/** Median; reorders v. n >= 1. */
double median(double *v, size_t n);

#endif
