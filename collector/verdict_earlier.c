#include "collector/verdict_earlier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/order.h"
#include "collector/verdict_copy_in.h"
#include "collector/verdict_day.h"

struct reading {
	struct verdict_earlier *x;
	size_t rooms[2];
};

/* family, region or NULL, holder or NULL, sensor_id or NULL, mean, votes */
static int on_vote(void *arg, struct bytes *fields)
{
	struct reading *reading = arg;
	struct verdict_earlier *x = reading->x;
	struct earlier_vote v = {0};
	struct bytes region, holder, sensor;
	uint8_t key[VERDICT_HOLDER_MAX] = {0};
	uint16_t version;
	unsigned family;

	if (!copy_in_u16(fields, &version) || (version != 4 && version != 6) ||
		!copy_in_field(fields, &region) || !copy_in_field(fields, &holder) ||
		!copy_in_field(fields, &sensor) || !copy_in_double(fields, &v.mean) ||
		!copy_in_double(fields, &v.votes) || holder.n >= sizeof(key) ||
		(region.p && region.n != 2) || (sensor.p && sensor.n != 4) ||
		(!sensor.p && !holder.p))
		return -EPROTO;
	if (holder.p) {
		memcpy(key, holder.p, holder.n);
		if (intern_add(&x->holders, key, &v.holder) < 0)
			return -ENOMEM;
		v.holder++;
	}
	if (region.p)
		memcpy(v.region, region.p, sizeof(v.region));
	if (sensor.p)
		memcpy(v.sensor, sensor.p, sizeof(v.sensor));
	v.at_sensor = sensor.p != NULL;
	family = version == 4 ? 0 : 1;
	if (!grow(&x->votes[family], x->votes_n[family], &reading->rooms[family], sizeof(v)))
		return -ENOMEM;
	x->votes[family][x->votes_n[family]++] = v;
	return 0;
}

int verdict_earlier_read(struct verdict_earlier *x, PGconn *conn, const char *day)
{
	struct reading reading = {.x = x};
	char sql[256];

	intern_init(&x->holders, VERDICT_HOLDER_MAX, 0);
	(void)snprintf(sql, sizeof(sql),
		"COPY (SELECT family, region, holder, sensor_id, mean, votes FROM"
		" hirundo.hop_history('%s')) TO STDOUT (FORMAT binary)",
		day);
	return copy_in(conn, sql, on_vote, &reading);
}

/* The day's number + 1 of each holder; 0: nobody claims it today. */
static uint32_t *claimed_holders(const struct verdict_earlier *x, const struct verdict_day *d)
{
	uint32_t *number = zeroed(x->holders.n, sizeof(*number)), at;

	for (uint32_t i = 0; number && i < x->holders.n; i++)
		if (intern_find(&d->holders, intern_key(&x->holders, i), &at))
			number[i] = at + 1;
	return number;
}

/* The votes on holders, ascending by holder, sensor. */
static int order_votes(
	struct verdict_history_arrays *a, struct verdict_vote *votes, struct keyed *keys, size_t n)
{
	int e;

	for (size_t i = 0; i < n; i++)
		keys[i] = (struct keyed){
			.key = (uint64_t)votes[i].holder << 16 | votes[i].sensor,
			.value = (uint32_t)i,
		};
	e = order_keyed(keys, n);
	a->votes = zeroed(n, sizeof(*a->votes));
	if (e < 0 || !a->votes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		a->votes[i] = votes[keys[i].value];
	a->votes_n = n;
	return 0;
}

static int use_family(const struct verdict_earlier *x, struct verdict_day *d, unsigned family,
	const uint32_t *holders)
{
	struct verdict_history_arrays *a = &d->family[family].earlier;
	size_t n = 0, cells = (size_t)d->regions.n * d->sensors.n;
	AUTO_FREE struct verdict_vote *votes = zeroed(x->votes_n[family], sizeof(*votes));
	AUTO_FREE struct keyed *keys = zeroed(x->votes_n[family], sizeof(*keys));

	a->sensor_mean = zeroed(d->sensors.n, sizeof(*a->sensor_mean));
	a->sensor_votes = zeroed(d->sensors.n, sizeof(*a->sensor_votes));
	a->region_mean = zeroed(cells, sizeof(*a->region_mean));
	a->region_holders = zeroed(cells, sizeof(*a->region_holders));
	if (!votes || !keys || !a->sensor_mean || !a->sensor_votes || !a->region_mean ||
		!a->region_holders)
		return -ENOMEM;
	for (size_t i = 0; i < x->votes_n[family]; i++) {
		const struct earlier_vote *v = &x->votes[family][i];
		uint32_t at = VERDICT_NONE, region;

		if (v->at_sensor && !intern_find(&d->sensors, v->sensor, &at))
			return -EPROTO;
		if (v->holder > 0) {
			if (holders[v->holder - 1] > 0)
				votes[n++] = (struct verdict_vote){.mean = v->mean,
					.votes = v->votes,
					.holder = holders[v->holder - 1] - 1,
					.sensor = (uint16_t)at};
		} else if (v->region[0] == 0) {
			a->sensor_mean[at] = v->mean;
			a->sensor_votes[at] = v->votes;
		} else if (intern_find(&d->regions, v->region, &region)) {
			a->region_mean[(size_t)region * d->sensors.n + at] = v->mean;
			a->region_holders[(size_t)region * d->sensors.n + at] = v->votes;
		}
	}
	return order_votes(a, votes, keys, n);
}

int verdict_earlier_use(const struct verdict_earlier *x, struct verdict_day *d)
{
	AUTO_FREE uint32_t *holders = claimed_holders(x, d);
	int e = holders ? 0 : -ENOMEM;

	for (unsigned family = 0; e == 0 && family < 2; family++)
		e = use_family(x, d, family, holders);
	return e;
}

void verdict_earlier_done(struct verdict_earlier *x)
{
	intern_done(&x->holders);
	free(x->votes[0]);
	free(x->votes[1]);
	*x = (struct verdict_earlier){0};
}
