/* Senders for people: whom they claim to be, and what was seen of them where. */
#include <errno.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

/* A sender with fewer forged sources is not worth a reader. */
#define FORGED_LEAST 3

struct listing {
	struct detector *d;
	struct keyed *members; /* rows of a sender, by sensor, hops, holder */
	struct verdict_hop *hops;
	size_t members_n;
	size_t *campaigns_room, *cells_room; /* of the result */
};

static uint64_t row_key(const struct detector *d, uint32_t row)
{
	const struct verdict_row *r = &d->in->rows[row];
	uint64_t key = r->sensor;

	key = key << 7 | ttl_hops(r->ttl);
	return key << 32 | d->in->sources[r->source].holder;
}

/* What the members have in common. */
static int sum_up(
	struct listing *l, const struct keyed *flows, size_t n, struct verdict_campaign *c)
{
	const struct detector *d = l->d;
	AUTO_FREE struct keyed *holders = zeroed(n, sizeof(*holders));
	size_t classes[CLASSES_N] = {0};
	unsigned most = 0;

	if (!holders)
		return -ENOMEM;
	l->members_n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct flow *f = &d->senders.flows[flows[i].value];

		holders[i].key = d->in->sources[f->source].holder;
		classes[f->class_]++;
		c->first_s = f->first_s < c->first_s ? f->first_s : c->first_s;
		c->last_s = f->last_s > c->last_s ? f->last_s : c->last_s;
		for (uint32_t r = 0; r < f->rows; r++) {
			uint32_t row = d->senders.order[f->first + r];

			c->packets += d->in->rows[row].packets;
			l->members[l->members_n++] =
				(struct keyed){.key = row_key(d, row), .value = row};
		}
	}
	for (unsigned k = 1; k < CLASSES_N; k++)
		most = classes[k] > classes[most] ? k : most;
	c->initial_ttl = class_ttl(most);
	if (order_keyed(holders, n) < 0 || order_keyed(l->members, l->members_n) < 0)
		return -ENOMEM;
	c->sources = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		c->holders += i == 0 || holders[i].key != holders[i - 1].key;
	return 0;
}

static int add_cell(
	struct listing *l, const struct sender *s, size_t i, size_t end, double *ret_holders)
{
	struct verdict_result *r = l->d->r;
	const struct verdict_row *row = &l->d->in->rows[l->members[i].value];
	double spread = l->d->p->any_sd * l->d->p->any_sd + l->d->p->any_tau * l->d->p->any_tau;
	double away = ttl_hops(row->ttl) - r->profile.mean[row->sensor];
	struct verdict_cell c = {
		.mixture = s->mixture,
		.expected = any_hops(away * away / spread, spread),
		.campaign = r->campaigns_n,
		.sensor = row->sensor,
		.hops = ttl_hops(row->ttl),
	};

	if (!grow(&r->cells, r->cells_n, l->cells_room, sizeof(c)))
		return -ENOMEM;
	for (size_t m = i; m < end; m++)
		c.holders += m == i || l->members[m].key != l->members[m - 1].key;
	*ret_holders += c.holders;
	r->cells[r->cells_n++] = c;
	return 0;
}

/* The cells of a sensor: members from i to end. */
static int add_sensor(struct listing *l, const struct sender *s, size_t i, size_t end,
	struct verdict_hop *ret_hop)
{
	struct verdict_result *r = l->d->r;
	size_t first = r->cells_n, top = r->cells_n;
	double holders = 0;

	for (size_t stop; i < end; i = stop) {
		for (stop = i + 1;
			stop < end && l->members[stop].key >> 32 == l->members[i].key >> 32;)
			stop++;
		if (add_cell(l, s, i, stop, &holders) < 0)
			return -ENOMEM;
	}
	for (size_t c = first; c < r->cells_n; c++) {
		r->cells[c].expected *= holders;
		r->cells[c].share = r->cells[c].holders / holders;
		top = r->cells[c].holders > r->cells[top].holders ? c : top;
	}
	*ret_hop = (struct verdict_hop){
		.hops = r->cells[top].hops, .packets = 1, .sensor = r->cells[top].sensor};
	return 0;
}

static int add_sender(struct listing *l, uint32_t sender, const struct keyed *flows, size_t n)
{
	struct verdict_result *r = l->d->r;
	const struct sender *s = &l->d->senders.found[sender];
	struct verdict_campaign c = {.signature = s->signature, .first_s = UINT32_MAX};
	unsigned sensors = 0;

	if (sum_up(l, flows, n, &c) < 0 ||
		!grow(&r->campaigns, r->campaigns_n, l->campaigns_room, sizeof(c)))
		return -ENOMEM;
	for (size_t i = 0, end; i < l->members_n; i = end) {
		for (end = i + 1;
			end < l->members_n && l->members[end].key >> 39 == l->members[i].key >> 39;)
			end++;
		if (add_sensor(l, s, i, end, &l->hops[sensors++]) < 0)
			return -ENOMEM;
	}
	c.likely_region = score_nearest(l->d, l->hops, sensors);
	r->campaigns[r->campaigns_n++] = c;
	return 0;
}

uint32_t *senders_rows(const struct detector *d, const uint32_t *number)
{
	const struct senders *s = &d->senders;
	uint32_t *sent = zeroed(d->in->rows_n, sizeof(*sent));

	for (size_t i = 0; sent && i < d->in->rows_n; i++)
		sent[i] = UINT32_MAX;
	for (size_t i = 0; sent && i < s->flows_n; i++) {
		const struct flow *f = &s->flows[i];

		for (uint32_t r = 0; f->sender != UINT32_MAX && f->member > 0.5 && r < f->rows; r++)
			sent[s->order[f->first + r]] = number[f->sender];
	}
	return sent;
}

int senders_list(struct detector *d, uint32_t *number, size_t *campaigns_room, size_t *cells_room)
{
	const struct senders *s = &d->senders;
	AUTO_FREE struct keyed *flows = zeroed(s->flows_n, sizeof(*flows));
	AUTO_FREE struct keyed *members = zeroed(d->in->rows_n, sizeof(*members));
	AUTO_FREE struct verdict_hop *hops = zeroed(d->in->sensors_n, sizeof(*hops));
	AUTO_FREE size_t *forged = zeroed(s->found_n, sizeof(*forged));
	struct listing l = {
		.d = d,
		.members = members,
		.hops = hops,
		.campaigns_room = campaigns_room,
		.cells_room = cells_room,
	};
	size_t n = 0;

	if (!flows || !members || !hops || !forged)
		return -ENOMEM;
	for (size_t i = 0; i < d->r->tracks_n; i++)
		if (track_of_sender(&d->r->tracks[i]))
			forged[d->r->tracks[i].sender] += d->r->tracks[i].call == VERDICT_SPOOFED;
	for (size_t i = 0; i < s->flows_n; i++)
		if (s->flows[i].sender != UINT32_MAX && s->flows[i].member > 0.5)
			flows[n++] =
				(struct keyed){.key = s->flows[i].sender, .value = (uint32_t)i};
	if (order_keyed(flows, n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < s->found_n; i++)
		number[i] = UINT32_MAX;
	for (size_t i = 0, end; i < n; i = end) {
		uint32_t sender = (uint32_t)flows[i].key;

		for (end = i + 1; end < n && flows[end].key == sender;)
			end++;
		if (forged[sender] < FORGED_LEAST)
			continue;
		number[sender] = d->r->campaigns_n;
		if (add_sender(&l, sender, flows + i, end - i) < 0)
			return -ENOMEM;
	}
	return 0;
}
