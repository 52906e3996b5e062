/* Campaigns for people: the cells of one sender together, and what is in them. */
#include <errno.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/impl.h"
#include "collector/verdict/order.h"

struct lists {
	struct detector *d;
	uint32_t *sent; /* [row]: campaign of the listed sender that sent it, or UINT32_MAX */
	struct keyed *members; /* source */
	size_t members_n, members_room, campaigns_room, cells_room;
};

static void note_row(struct verdict_campaign *c, const struct verdict_row *r)
{
	c->packets += r->packets;
	c->first_s = r->first_s < c->first_s ? r->first_s : c->first_s;
	c->last_s = r->last_s > c->last_s ? r->last_s : c->last_s;
}

static bool in_cells(
	const struct detector *d, const struct bucket *b, const struct verdict_row *row)
{
	return b->share[ttl_hops(row->ttl)] > 0 &&
	       (!d->p->reference || region_known(d, &d->in->sources[row->source]));
}

/* The listed sender that most rows in the cells are of: what stands out there is it once more. Who
 * has more than half outlives all others in a vote where two of different minds go together.
 * @return its campaign, or UINT32_MAX */
static uint32_t sender_behind(const struct lists *l, const struct keyed *found, size_t n)
{
	const struct campaigns *c = &l->d->campaigns;
	uint32_t candidate = UINT32_MAX;
	size_t lead = 0, of_it = 0, rows = 0;

	for (unsigned counting = 0; counting < 2; counting++) {
		for (size_t i = 0; i < n; i++) {
			const struct bucket *b = &c->buckets[found[i].value];

			for (size_t k = 0; k < b->n; k++) {
				uint32_t row = c->order[b->first + k];

				if (!in_cells(l->d, b, &l->d->in->rows[row]))
					continue;
				if (counting) {
					rows++;
					of_it += l->sent[row] == candidate;
				} else if (lead == 0) {
					candidate = l->sent[row];
					lead = 1;
				} else {
					lead = l->sent[row] == candidate ? lead + 1 : lead - 1;
				}
			}
		}
	}
	return 2 * of_it > rows ? candidate : UINT32_MAX;
}

/* The cells of a bucket, and the rows in them. */
static int add_bucket(struct lists *l, const struct bucket *b, struct verdict_campaign *c,
	struct verdict_hop *ret_hop)
{
	struct verdict_result *r = l->d->r;
	unsigned top = 0;

	for (unsigned h = 0; h < HOPS_N; h++) {
		if (b->share[h] <= 0)
			continue;
		if (!grow(&r->cells, r->cells_n, &l->cells_room, sizeof(*r->cells)))
			return -ENOMEM;
		r->cells[r->cells_n++] = (struct verdict_cell){
			.expected = b->expected[h],
			.share = b->share[h],
			.mixture = b->mixture,
			.campaign = r->campaigns_n,
			.holders = b->holders[h],
			.sensor = b->sensor,
			.hops = (uint8_t)h,
		};
		top = b->share[h] > b->share[top] ? h : top;
	}
	*ret_hop = (struct verdict_hop){.hops = top, .packets = 1, .sensor = b->sensor};
	for (size_t i = 0; i < b->n; i++) {
		const struct verdict_row *row =
			&l->d->in->rows[l->d->campaigns.order[b->first + i]];

		if (!in_cells(l->d, b, row))
			continue;
		if (!grow(&l->members, l->members_n, &l->members_room, sizeof(*l->members)))
			return -ENOMEM;
		l->members[l->members_n++] = (struct keyed){.key = row->source};
		note_row(c, row);
	}
	return 0;
}

/* Distinct keys. */
static int count_members(struct lists *l, uint32_t *ret)
{
	int e = order_keyed(l->members, l->members_n);

	*ret = 0;
	for (size_t i = 0; i < l->members_n; i++)
		*ret += i == 0 || l->members[i].key != l->members[i - 1].key;
	return e;
}

static int add_campaign(struct lists *l, const struct keyed *found, size_t n)
{
	struct detector *d = l->d;
	struct verdict_result *r = d->r;
	const struct bucket *b = &d->campaigns.buckets[found->value];
	struct verdict_campaign c = {
		.signature = b->signature,
		.initial_ttl = class_ttl(b->class_),
		.first_s = UINT32_MAX,
	};
	AUTO_FREE struct verdict_hop *hops = zeroed(n, sizeof(*hops));
	int e = hops ? 0 : -ENOMEM;

	l->members_n = 0;
	for (size_t i = 0; e == 0 && i < n; i++)
		e = add_bucket(l, &d->campaigns.buckets[found[i].value], &c, &hops[i]);
	if (e == 0)
		e = count_members(l, &c.sources);
	for (size_t i = 0; i < l->members_n; i++)
		l->members[i].key = d->in->sources[l->members[i].key].holder;
	if (e == 0)
		e = count_members(l, &c.holders);
	if (e < 0 || !grow(&r->campaigns, r->campaigns_n, &l->campaigns_room, sizeof(c)))
		return -ENOMEM;
	c.likely_region = score_nearest(d, hops, (unsigned)n);
	r->campaigns[r->campaigns_n++] = c;
	return 0;
}

/* Most holders first; cells and tracks follow. */
static int rank(struct detector *d)
{
	struct verdict_result *r = d->r;
	AUTO_FREE struct keyed *order = zeroed(r->campaigns_n, sizeof(*order));
	AUTO_FREE struct keyed *cells = zeroed(r->cells_n, sizeof(*cells));
	AUTO_FREE uint32_t *place = zeroed(r->campaigns_n, sizeof(*place));
	struct verdict_campaign *campaigns = zeroed(r->campaigns_n, sizeof(*campaigns));
	struct verdict_cell *sorted = zeroed(r->cells_n, sizeof(*sorted));

	if (!order || !cells || !place || !campaigns || !sorted)
		goto failed;
	for (uint32_t i = 0; i < r->campaigns_n; i++)
		order[i] = (struct keyed){.key = UINT32_MAX - r->campaigns[i].holders, .value = i};
	if (order_keyed(order, r->campaigns_n) < 0)
		goto failed;
	for (uint32_t i = 0; i < r->campaigns_n; i++) {
		campaigns[i] = r->campaigns[order[i].value];
		place[order[i].value] = i;
	}
	for (size_t i = 0; i < r->cells_n; i++)
		cells[i] = (struct keyed){.key = place[r->cells[i].campaign], .value = (uint32_t)i};
	if (order_keyed(cells, r->cells_n) < 0)
		goto failed;
	for (size_t i = 0; i < r->cells_n; i++) {
		sorted[i] = r->cells[cells[i].value];
		sorted[i].campaign = place[sorted[i].campaign];
	}
	for (size_t i = 0; i < r->tracks_n; i++)
		if (r->tracks[i].campaign != UINT32_MAX)
			r->tracks[i].campaign = place[r->tracks[i].campaign];
	free(r->campaigns);
	free(r->cells);
	r->campaigns = campaigns;
	r->cells = sorted;
	return 0;
failed:
	free(campaigns);
	free(sorted);
	return -ENOMEM;
}

/* Buckets whose campaign a track names that no sender explains better. */
static void note_named(const struct detector *d, bool *named)
{
	for (size_t i = 0; i < d->r->tracks_n; i++) {
		const struct verdict_track *t = &d->r->tracks[i];

		if (t->campaign != UINT32_MAX && (d->p->reference || !track_of_sender(t)))
			named[t->campaign] = true;
	}
}

/* The campaigns of buckets. number: [bucket], of its campaign */
static int list_buckets(struct lists *l, uint32_t *number)
{
	struct detector *d = l->d;
	struct campaigns *c = &d->campaigns;
	AUTO_FREE struct keyed *found = zeroed(c->buckets_n, sizeof(*found));
	AUTO_FREE bool *named = zeroed(c->buckets_n, sizeof(*named));
	size_t n = 0;
	int e = found && named ? 0 : -ENOMEM;

	if (e == 0)
		note_named(d, named);
	for (size_t i = 0; e == 0 && i < c->buckets_n; i++) {
		const struct bucket *b = &c->buckets[i];

		number[i] = UINT32_MAX;
		if (b->found)
			found[n++] = (struct keyed){.key = (uint64_t)b->signature << 2 | b->class_,
				.value = (uint32_t)i};
	}
	if (e == 0)
		e = order_keyed(found, n);
	for (size_t i = 0, end; e == 0 && i < n; i = end) {
		uint32_t campaign = UINT32_MAX;
		bool any = false;

		for (end = i; end < n && found[end].key == found[i].key; end++)
			any |= named[found[end].value];
		if (!any)
			continue;
		if (l->sent)
			campaign = sender_behind(l, found + i, end - i);
		if (campaign == UINT32_MAX) {
			campaign = d->r->campaigns_n;
			e = add_campaign(l, found + i, end - i);
		}
		for (size_t j = i; j < end; j++)
			number[found[j].value] = campaign;
	}
	return e;
}

int campaign_list(struct detector *d)
{
	struct lists l = {.d = d};
	AUTO_FREE uint32_t *of_bucket = zeroed(d->campaigns.buckets_n, sizeof(*of_bucket));
	AUTO_FREE uint32_t *of_sender = zeroed(d->senders.found_n, sizeof(*of_sender));
	AUTO_FREE uint32_t *sent = NULL;
	int e = of_bucket && of_sender ? 0 : -ENOMEM;

	if (e == 0 && !d->p->reference)
		e = senders_list(d, of_sender, &l.campaigns_room, &l.cells_room);
	if (e == 0 && d->r->campaigns_n > 0) {
		l.sent = sent = senders_rows(d, of_sender);
		e = sent ? 0 : -ENOMEM;
	}
	if (e == 0)
		e = list_buckets(&l, of_bucket);
	/* Scoring noted the bucket. */
	for (size_t i = 0; e == 0 && i < d->r->tracks_n; i++) {
		struct verdict_track *t = &d->r->tracks[i];

		if (t->campaign != UINT32_MAX)
			t->campaign = of_bucket[t->campaign];
		if (!d->p->reference && track_of_sender(t) && of_sender[t->sender] != UINT32_MAX)
			t->campaign = of_sender[t->sender];
	}
	free(l.members);
	return e == 0 ? rank(d) : e;
}
