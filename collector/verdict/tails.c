#include "collector/verdict/density.h"

#define STEP 0.5
/* Offsets beyond all that one sensor shows, in hops. */
#define BEYOND 2.0
/* Wider than this, offsets near 0 are not likelier than others. */
#define FLAT 20.0

static double normal(double square, double variance)
{
	return exp(-0.5 * square / variance) / sqrt(2 * M_PI * variance);
}

static double at_offset(
	const struct deviation *v, unsigned n, double offset, double tail, double tail_variance)
{
	double sum = 0;

	for (unsigned i = 0; i < n; i++) {
		double square = (v[i].hops - offset) * (v[i].hops - offset);

		sum += log((1 - tail) * normal(square, v[i].variance) +
			   tail * normal(square, v[i].variance + tail_variance));
	}
	return sum;
}

double tails_log(
	const struct deviation *v, unsigned n, double tau, double tail, double tail_variance)
{
	double low = tau < FLAT ? 0 : v[0].hops, high = low, sum = -INFINITY;
	int steps;

	for (unsigned i = 0; i < n; i++) {
		low = fmin(low, v[i].hops);
		high = fmax(high, v[i].hops);
	}
	low -= BEYOND;
	steps = (int)((high + BEYOND - low) / STEP);
	for (int i = 0; i <= steps; i++) {
		double offset = low + i * STEP;

		sum = log_sum(at_offset(v, n, offset, tail, tail_variance) -
				      0.5 * offset * offset / (tau * tau),
			sum);
	}
	return sum + log(STEP / (tau * sqrt(2 * M_PI)));
}
