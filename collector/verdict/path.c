/* Suspects against other sources of their holder: a holder with several upstreams has several
 * paths, and a track on another one than most is no forgery. */
#include "collector/verdict/impl.h"

/* ln density of t around y; sensors that y was not seen at by the region's profile.
 * @return false: too few sensors in common */
static bool compare(const struct detector *d, const struct verdict_track *t,
	const struct verdict_track *y, double *ret)
{
	const struct verdict_hop *h = track_hops(d, t), *other = track_hops(d, y);
	uint16_t region = d->in->sources[t->source].region;
	struct density s = {0};
	unsigned common = 0, j = 0;

	for (unsigned i = 0; i < t->sensors; i++) {
		double mean, variance;

		if (!sensor_known(d, h[i].sensor))
			continue;
		while (j < y->sensors && other[j].sensor < h[i].sensor)
			j++;
		if (j < y->sensors && other[j].sensor == h[i].sensor) {
			mean = other[j].hops;
			variance = d->p->path_sd * d->p->path_sd;
			common++;
		} else {
			region_at(d, region, h[i].sensor, &mean, &variance);
			mean += y->offset;
		}
		density_add(&s, h[i].hops - mean,
			variance + h[i].variance / (double)h[i].packets + d->p->rounding);
	}
	if (common < 2)
		return false;
	*ret = density_log(&s, d->p->path_tau);
	return true;
}

/* Behind the members, from at on, that have its signature. */
static size_t signature_end(const struct detector *d, size_t at, size_t end)
{
	const uint32_t *member = d->holders.member;
	uint32_t signature = d->r->tracks[member[at]].signature;

	for (size_t low = at; low < end;) {
		size_t middle = low + (end - low) / 2;

		if (d->r->tracks[member[middle]].signature == signature)
			low = middle + 1;
		else
			end = middle;
	}
	return end;
}

/* Mean over the first members with one signature.
 * @return how many there were to compare with */
static unsigned compare_signature(
	const struct detector *d, const struct verdict_track *t, size_t at, size_t end, double *ret)
{
	unsigned n = 0;
	double one;

	if (end - at > d->p->path_templates)
		end = at + d->p->path_templates;
	for (; at < end; at++) {
		const struct verdict_track *y = &d->r->tracks[d->holders.member[at]];

		if (y->source != t->source && compare(d, t, y, &one))
			*ret = n++ == 0 ? one : log_sum(*ret, one);
	}
	*ret -= n > 0 ? log(n) : 0;
	return n;
}

bool path_density(const struct detector *d, const struct verdict_track *t, double *ret)
{
	const struct holders *h = &d->holders;
	uint32_t holder = d->in->sources[t->source].holder;
	size_t stop = h->members[holder + 1], end;
	unsigned n = 0;
	double sum = 0;

	for (size_t at = h->members[holder]; at < stop; at = end) {
		bool own = d->r->tracks[h->member[at]].signature == t->signature;
		double one = 0;

		end = signature_end(d, at, stop);
		if (own || compare_signature(d, t, at, end, &one) == 0)
			continue;
		sum = n++ == 0 ? one : log_sum(sum, one);
	}
	if (n == 0)
		return false;
	*ret = sum - log(n);
	return true;
}
