/* One machine behind many claimed origins, found in time: what used one tool in one stretch of the
 * day is split into those that share a sender's TTLs, sensor by sensor, and those that show what
 * their own networks are known for. The time itself is no evidence: bots of one herd begin
 * together, too. It only says who is compared with whom. */
#include <errno.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

/* Stretches of time to look at, every half of their length; at last the whole day. */
static const uint32_t stretches[] = {2700, 5400, 10800, 21600, UINT32_MAX};
#define STRETCHES_N (sizeof(stretches) / sizeof(*stretches))
#define DAY_S 86400.0
/* A sensor's share of sources at one TTL that surprises nobody; what a cell above it must exceed,
 * and all of them together to be looked at closer. */
#define USUAL_CELL 0.12
#define CELL_LEAST 2.0
#define WORTH_A_LOOK 4.0
#define CONCENTRATION_WEIGHT 0.5
/* TTLs of a source at one sensor: more are drawn at random (fold.c judges those). */
#define TTLS_MOST 3

static void list_flow(struct detector *d, size_t first, size_t end)
{
	struct senders *s = &d->senders;
	const struct verdict_row *r = &d->in->rows[s->order[first]];
	struct flow f = {
		.first = first,
		.rows = (uint32_t)(end - first),
		.source = r->source,
		.signature = r->signature,
		.first_s = UINT32_MAX,
		.sender = UINT32_MAX,
	};
	uint64_t packets[CLASSES_N] = {0};
	unsigned ttls = 0;

	for (size_t i = first; i < end; i++) {
		const struct verdict_row *row = &d->in->rows[s->order[i]];

		ttls = i > first && row->sensor == r->sensor ? ttls + 1 : 1;
		f.random |= ttls > TTLS_MOST;
		f.first_s = row->first_s < f.first_s ? row->first_s : f.first_s;
		f.last_s = row->last_s > f.last_s ? row->last_s : f.last_s;
		packets[ttl_class(row->ttl)] += row->packets;
		r = row;
	}
	for (uint8_t c = 1; c < CLASSES_N; c++)
		f.class_ = packets[c] > packets[f.class_] ? c : f.class_;
	s->flows[s->flows_n++] = f;
}

int senders_prepare(struct detector *d)
{
	const struct verdict_input *in = d->in;
	struct senders *s = &d->senders;
	size_t flows = 0, cells = (size_t)in->sensors_n * TTLS_N;

	s->order = zeroed(in->rows_n, sizeof(*s->order));
	s->cell = zeroed(in->rows_n, sizeof(*s->cell));
	s->by_signature = zeroed((size_t)in->signatures_n + 1, sizeof(*s->by_signature));
	s->several = zeroed(in->sources_n, sizeof(*s->several));
	s->base = zeroed(cells, sizeof(*s->base));
	s->votes = zeroed(cells, sizeof(*s->votes));
	s->voters = zeroed(in->sensors_n, sizeof(*s->voters));
	if (!s->order || !s->cell || !s->by_signature || !s->several || !s->base || !s->votes ||
		!s->voters || rows_by_signature(d, s->order, s->by_signature) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < s->by_signature[in->signatures_n]; i++)
		s->cell[i] = sender_cell(&in->rows[s->order[i]]);
	for (size_t i = 1; i < in->rows_n; i++)
		if (in->rows[i].source == in->rows[i - 1].source &&
			in->rows[i].signature != in->rows[i - 1].signature)
			s->several[in->rows[i].source] = true;
	for (unsigned pass = 0; pass < 2; pass++) {
		if (pass == 1 && !(s->flows = zeroed(flows, sizeof(*s->flows))))
			return -ENOMEM;
		for (uint32_t sig = 0; sig < in->signatures_n; sig++) {
			size_t i = s->by_signature[sig], stop = s->by_signature[sig + 1];

			for (size_t end; i < stop; i = end) {
				uint32_t source = in->rows[s->order[i]].source;

				for (end = i + 1;
					end < stop && in->rows[s->order[end]].source == source;)
					end++;
				if (pass == 0)
					flows++;
				else
					list_flow(d, i, end);
			}
		}
	}
	return 0;
}

/* What of the flows can be compared, and how usual their initial TTLs are. */
static void choose_flows(struct detector *d)
{
	struct senders *s = &d->senders;
	double n[CLASSES_N] = {1, 1, 1, 1}, all = CLASSES_N;
	double spread = d->p->any_sd * d->p->any_sd + d->p->any_tau * d->p->any_tau;

	for (size_t i = 0; i < s->flows_n; i++) {
		struct flow *f = &s->flows[i];
		bool seen = false;

		for (uint32_t r = 0; r < f->rows; r++)
			seen |= sensor_known(d, cell_sensor(s->cell[f->first + r]));
		f->free = seen && !f->random && region_known(d, &d->in->sources[f->source]);
		f->sender = UINT32_MAX;
		f->member = 0;
		f->claimed_known = f->candidate = false;
		n[f->class_] += f->free;
		all += f->free;
	}
	for (unsigned c = 0; c < CLASSES_N; c++)
		s->log_class[c] = log(n[c] / all);
	for (uint16_t sensor = 0; sensor < d->in->sensors_n; sensor++)
		for (unsigned ttl = 0; ttl < TTLS_N; ttl++) {
			double away = ttl_hops((uint8_t)ttl) - d->r->profile.mean[sensor];

			s->base[(size_t)sensor * TTLS_N + ttl] =
				n[ttl_class((uint8_t)ttl)] / all *
				any_hops(away * away / spread, spread);
		}
}

/* More sources at one TTL than surprises nobody: logarithm of a likelihood ratio, if positive. */
static double surprise(double n, double expected)
{
	return n > expected ? n * log(n / expected) - (n - expected) : 0;
}

/* Adds a flow's rows to the votes, or takes them away. */
static void count(struct detector *d, const struct flow *f, double by)
{
	struct senders *s = &d->senders;

	for (uint32_t i = 0; i < f->rows; i++) {
		uint32_t cell = s->cell[f->first + i];

		s->votes[cell] += by;
		s->voters[cell_sensor(cell)] += by;
	}
}

/* Takes a flow's cells away, and what they had more than others. */
static double take_cells(struct detector *d, const struct flow *f)
{
	struct senders *s = &d->senders;
	double sum = 0;

	for (uint32_t i = 0; i < f->rows; i++) {
		uint32_t cell = s->cell[f->first + i];
		uint16_t sensor = cell_sensor(cell);
		double *n = &s->votes[cell];

		if (*n >= 2 && sensor_known(d, sensor))
			sum += fmax(0, surprise(*n, USUAL_CELL * s->voters[sensor]) - CELL_LEAST);
		*n = 0;
	}
	return sum;
}

static bool inside(const struct flow *f, uint32_t from_s, uint32_t to_s)
{
	return f->free && f->first_s >= from_s && f->last_s <= to_s;
}

/* How much the flows in a stretch of time look like one sender's. at: of the first that begins in
 * it. */
static double look(struct detector *d, const struct flow_group *g, size_t at, uint32_t from_s,
	uint32_t to_s, double free_n)
{
	const struct flow *flows = d->senders.flows;
	double sum = 0, n = 0;
	size_t end = at;

	for (; end < g->n && flows[g->by_time[end]].first_s <= to_s; end++)
		if (inside(&flows[g->by_time[end]], from_s, to_s)) {
			count(d, &flows[g->by_time[end]], 1);
			n++;
		}
	for (size_t i = at; i < end; i++)
		if (inside(&flows[g->by_time[i]], from_s, to_s))
			sum += take_cells(d, &flows[g->by_time[i]]);
	memset(d->senders.voters, 0, d->in->sensors_n * sizeof(*d->senders.voters));
	if (n < d->p->sender_flows)
		return 0;
	if (to_s - from_s < DAY_S)
		sum += CONCENTRATION_WEIGHT *
		       surprise(n, fmax(0.5, free_n * (to_s - from_s) / DAY_S));
	return sum;
}

/* The stretch of time that looks most like one sender's. @return false: none is worth it */
static bool best_stretch(
	struct detector *d, const struct flow_group *g, uint32_t *ret_from_s, uint32_t *ret_to_s)
{
	const struct flow *flows = d->senders.flows;
	double best = WORTH_A_LOOK, free_n = 0;
	bool found = false;

	for (size_t i = 0; i < g->n; i++)
		free_n += flows[g->by_time[i]].free;
	for (unsigned l = 0; l < STRETCHES_N && free_n >= d->p->sender_flows; l++) {
		uint32_t length = stretches[l], step = length / 2;
		uint32_t stop = l + 1 < STRETCHES_N ? flows[g->by_time[g->n - 1]].first_s : 0;
		size_t at = 0;

		for (uint32_t from_s = 0; from_s <= stop; from_s += step) {
			double sum;

			while (at < g->n && flows[g->by_time[at]].first_s < from_s)
				at++;
			sum = look(d, g, at, from_s, from_s + length, free_n);
			if (sum > best) {
				best = sum;
				found = true;
				*ret_from_s = from_s;
				*ret_to_s = from_s + length;
			}
		}
	}
	return found;
}

static int find_in_group(struct detector *d, struct flow_group *g)
{
	uint32_t from_s, to_s;
	int e = 1;

	for (unsigned i = 0; e > 0 && i < d->p->senders && best_stretch(d, g, &from_s, &to_s); i++)
		e = sender_fit(d, g, from_s, to_s);
	return e < 0 ? e : 0;
}

int senders_find(struct detector *d)
{
	struct senders *s = &d->senders;
	AUTO_FREE struct keyed *times = zeroed(s->flows_n, sizeof(*times));
	AUTO_FREE uint32_t *by_time = zeroed(s->flows_n, sizeof(*by_time));
	AUTO_FREE struct candidate *candidates = zeroed(s->flows_n, sizeof(*candidates));
	int e = 0;

	s->found_n = 0;
	if (!times || !by_time || !candidates)
		return -ENOMEM;
	choose_flows(d);
	for (size_t i = 0, end; e == 0 && i < s->flows_n && !stopped(d); i = end) {
		struct flow_group g = {.by_time = by_time, .candidates = candidates};

		for (end = i; end < s->flows_n && s->flows[end].signature == s->flows[i].signature;
			end++)
			if (s->flows[end].free)
				times[g.n++] = (struct keyed){
					.key = s->flows[end].first_s, .value = (uint32_t)end};
		if (g.n < d->p->sender_flows)
			continue;
		e = order_keyed(times, g.n);
		for (size_t j = 0; j < g.n; j++)
			by_time[j] = times[j].value;
		if (e == 0)
			e = find_in_group(d, &g);
	}
	return e;
}

void senders_done(struct senders *s)
{
	free(s->order);
	free(s->cell);
	free(s->by_signature);
	free(s->several);
	free(s->base);
	free(s->votes);
	free(s->voters);
	free(s->flows);
	free(s->found);
	*s = (struct senders){0};
}
