#include "collector/verdict_learned.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict_copy_in.h"
#include "collector/verdict_day.h"

/* --- kept
 * --------------------------------------------------------------------------------------------------
 */

static void take(struct intern *to, struct intern *from)
{
	*to = *from;
	*from = (struct intern){0};
}

/* Arrays that grew have room for up to as much again. */
static struct verdict_learned *trimmed(struct verdict_learned *v, size_t n)
{
	struct verdict_learned *fit = realloc(v, (n ? n : 1) * sizeof(*v));

	return fit ? fit : v;
}

void verdict_learned_keep(
	struct verdict_learned_day *l, struct verdict_day *d, struct verdict_result r[2])
{
	verdict_learned_done(l);
	take(&l->sensors, &d->sensors);
	take(&l->regions, &d->regions);
	take(&l->holders, &d->holders);
	take(&l->signatures, &d->signatures);
	for (unsigned family = 0; family < 2; family++) {
		struct verdict_profile *p = &l->profile[family];

		*p = r[family].profile;
		r[family].profile = (struct verdict_profile){0};
		p->residuals = trimmed(p->residuals, p->residuals_n);
		p->offsets = trimmed(p->offsets, p->offsets_n);
	}
}

/* --- read back
 * ---------------------------------------------------------------------------------------------
 */

struct reading {
	struct verdict_learned_day *l;
	size_t residuals_room[2], offsets_room[2];
};

/* Of the next field: 0 IPv4, 1 IPv6. */
static bool get_family(struct bytes *fields, unsigned *ret)
{
	uint16_t version;

	if (!copy_in_u16(fields, &version) || (version != 4 && version != 6))
		return false;
	*ret = version == 4 ? 0 : 1;
	return true;
}

static bool get_sensor(const struct verdict_learned_day *l, struct bytes *fields, uint16_t *ret)
{
	struct bytes id;
	uint32_t at;

	if (!copy_in_field(fields, &id) || id.n != 4 || !intern_find(&l->sensors, id.p, &at))
		return false;
	*ret = (uint16_t)at;
	return true;
}

/* Numbers a key of the next field. @return as intern_add; -EPROTO, -E2BIG */
static int get_number(struct intern *t, struct bytes *fields, uint32_t most, uint32_t *ret)
{
	struct bytes key;
	int e;

	if (!copy_in_field(fields, &key) || key.n != t->size)
		return -EPROTO;
	e = intern_add(t, key.p, ret);
	return e == 0 && *ret >= most ? -E2BIG : e;
}

static int on_sensor_name(void *arg, struct bytes *fields)
{
	struct reading *x = arg;
	uint32_t ignored;

	return get_number(&x->l->sensors, fields, VERDICT_NONE, &ignored);
}

static int on_region_name(void *arg, struct bytes *fields)
{
	struct reading *x = arg;
	uint32_t ignored;

	return get_number(&x->l->regions, fields, VERDICT_NONE, &ignored);
}

static int on_model(void *arg, struct bytes *fields)
{
	struct reading *x = arg;

	if (!copy_in_double(fields, &x->l->profile[0].in_region) ||
		!copy_in_double(fields, &x->l->profile[1].in_region))
		return -EPROTO;
	return 0;
}

static int on_sensor(void *arg, struct bytes *fields)
{
	struct reading *x = arg;
	struct verdict_profile *p;
	unsigned family;
	uint16_t at;

	if (!get_family(fields, &family) || !get_sensor(x->l, fields, &at))
		return -EPROTO;
	p = &x->l->profile[family];
	if (!copy_in_double(fields, &p->mean[at]) || !copy_in_double(fields, &p->votes[at]) ||
		!copy_in_double(fields, &p->rough[at]))
		return -EPROTO;
	return 0;
}

static int on_region(void *arg, struct bytes *fields)
{
	struct reading *x = arg;
	struct verdict_profile *p;
	uint32_t region;
	unsigned family;
	uint16_t at;
	size_t cell;
	int e = get_family(fields, &family)
			? get_number(&x->l->regions, fields, VERDICT_NONE, &region)
			: -EPROTO;

	if (e < 0)
		return e;
	if (!get_sensor(x->l, fields, &at))
		return -EPROTO;
	p = &x->l->profile[family];
	cell = (size_t)region * x->l->sensors.n + at;
	p->known[region] = true;
	if (!copy_in_double(fields, &p->region_mean[cell]) ||
		!copy_in_double(fields, &p->region_holders[cell]))
		return -EPROTO;
	return 0;
}

/* family, holder, signature, value, tracks; of a residual also sensor and spread. */
static int on_vote(struct reading *x, struct bytes *fields, bool residual)
{
	struct verdict_learned v = {.sensor = VERDICT_NONE};
	struct verdict_profile *p;
	struct bytes holder, tracks;
	uint8_t key[VERDICT_HOLDER_MAX] = {0};
	unsigned family;
	int e;

	if (!get_family(fields, &family) || !copy_in_field(fields, &holder) ||
		holder.n >= sizeof(key))
		return -EPROTO;
	memcpy(key, holder.p, holder.n);
	e = intern_add(&x->l->holders, key, &v.holder);
	if (e == 0)
		e = get_number(&x->l->signatures, fields, UINT32_MAX, &v.signature);
	if (e < 0)
		return e;
	if (!copy_in_double(fields, &v.hops) || !copy_in_field(fields, &tracks) || tracks.n != 4)
		return -EPROTO;
	v.tracks = load_be32(tracks.p);
	if (residual &&
		(!get_sensor(x->l, fields, &v.sensor) || !copy_in_double(fields, &v.spread)))
		return -EPROTO;
	p = &x->l->profile[family];
	if (!(residual ? grow(&p->residuals, p->residuals_n, &x->residuals_room[family], sizeof(v))
		       : grow(&p->offsets, p->offsets_n, &x->offsets_room[family], sizeof(v))))
		return -ENOMEM;
	if (residual)
		p->residuals[p->residuals_n++] = v;
	else
		p->offsets[p->offsets_n++] = v;
	return 0;
}

static int on_residual(void *arg, struct bytes *fields)
{
	return on_vote(arg, fields, true);
}

static int on_offset(void *arg, struct bytes *fields)
{
	return on_vote(arg, fields, false);
}

static int allocate(struct verdict_profile *p, size_t sensors, size_t regions)
{
	p->rough = zeroed(sensors, sizeof(*p->rough));
	p->mean = zeroed(sensors, sizeof(*p->mean));
	p->votes = zeroed(sensors, sizeof(*p->votes));
	p->known = zeroed(regions, sizeof(*p->known));
	p->region_mean = zeroed(regions * sensors, sizeof(*p->region_mean));
	p->region_holders = zeroed(regions * sensors, sizeof(*p->region_holders));
	return p->rough && p->mean && p->votes && p->known && p->region_mean && p->region_holders
		       ? 0
		       : -ENOMEM;
}

/* All sensors and regions are numbered now. */
static int settle_places(struct verdict_learned_day *l)
{
	AUTO_FREE uint32_t *moved = NULL;
	int e = intern_sort(&l->sensors, &moved);

	for (unsigned family = 0; e == 0 && family < 2; family++)
		e = allocate(&l->profile[family], l->sensors.n, l->regions.n);
	return e;
}

static int compare(const void *a, const void *b)
{
	const struct verdict_learned *x = a, *y = b;

	if (x->holder != y->holder)
		return x->holder < y->holder ? -1 : 1;
	if (x->sensor != y->sensor)
		return x->sensor < y->sensor ? -1 : 1;
	return x->signature < y->signature ? -1 : x->signature > y->signature;
}

static void settle_votes(
	struct verdict_learned *v, size_t n, const uint32_t *holders, const uint32_t *signatures)
{
	for (size_t i = 0; i < n; i++) {
		v[i].holder = holders[v[i].holder];
		v[i].signature = signatures[v[i].signature];
	}
	if (n > 1)
		qsort(v, n, sizeof(*v), compare);
}

/* Holders and signatures get the order of their names, votes that of verdict_profile. */
static int settle(struct verdict_learned_day *l)
{
	AUTO_FREE uint32_t *holders = NULL;
	AUTO_FREE uint32_t *signatures = NULL;
	int e = intern_sort(&l->holders, &holders);

	if (e == 0)
		e = intern_sort(&l->signatures, &signatures);
	for (unsigned family = 0; e == 0 && family < 2; family++) {
		struct verdict_profile *p = &l->profile[family];

		settle_votes(p->residuals, p->residuals_n, holders, signatures);
		settle_votes(p->offsets, p->offsets_n, holders, signatures);
	}
	return e;
}

int verdict_learned_read(struct verdict_learned_day *l, PGconn *conn, const char *day)
{
	struct reading x = {.l = l};
	static const struct {
		const char *what, *from;
		int (*row)(void *arg, struct bytes *fields);
	} parts[] = {
		{"DISTINCT sensor_id", "hop_sensor", on_sensor_name},
		{"DISTINCT region", "hop_region", on_region_name},
		{"in_region::float8, in_region_6::float8", "hop_model", on_model},
		{"family, sensor_id, mean, votes, rough", "hop_sensor", on_sensor},
		{"family, region, sensor_id, mean, holders", "hop_region", on_region},
		{"family, holder, signature, residual, tracks, sensor_id, spread", "hop_holder",
			on_residual},
		{"family, holder, signature, hops, tracks", "hop_holder_offset", on_offset},
	};
	char sql[256];
	int e = 0;

	verdict_learned_done(l);
	intern_init(&l->sensors, 4, 0);
	intern_init(&l->regions, 2, 0);
	intern_init(&l->holders, VERDICT_HOLDER_MAX, 0);
	intern_init(&l->signatures, 8, 0);
	for (size_t i = 0; e == 0 && i < ARRAY_SIZE(parts); i++) {
		if (i == 2)
			e = settle_places(l);
		(void)snprintf(sql, sizeof(sql),
			"COPY (SELECT %s FROM hirundo.%s WHERE day = '%s') TO STDOUT (FORMAT "
			"binary)",
			parts[i].what, parts[i].from, day);
		if (e == 0)
			e = copy_in(conn, sql, parts[i].row, &x);
	}
	return e == 0 ? settle(l) : e;
}

/* --- used
 * --------------------------------------------------------------------------------------------------
 */

int verdict_learned_name(const struct verdict_learned_day *l, struct verdict_day *d)
{
	uint32_t at = 0;
	int e = 0;

	for (uint32_t i = 0; e == 0 && i < l->regions.n; i++) {
		e = intern_add(&d->regions, intern_key(&l->regions, i), &at);
		if (e == 0 && at >= VERDICT_NONE)
			e = -E2BIG;
	}
	for (uint32_t i = 0; e == 0 && i < l->signatures.n; i++)
		e = intern_add(&d->signatures, intern_key(&l->signatures, i), &at);
	return e;
}

/* The part's numbers of what has a number here; UINT32_MAX: none. */
static uint32_t *numbers(const struct intern *from, const struct intern *to)
{
	uint32_t *number = zeroed(from->n, sizeof(*number));

	for (uint32_t i = 0; number && i < from->n; i++)
		if (!intern_find(to, intern_key(from, i), &number[i]))
			number[i] = UINT32_MAX;
	return number;
}

struct numbers {
	uint32_t *sensors, *regions, *holders, *signatures;
};

/* Keeps the order: names are ascending in both. */
static int use_votes(const struct numbers *now, const struct verdict_learned *v, size_t n,
	struct verdict_learned **ret, size_t *ret_n)
{
	struct verdict_learned *used = zeroed(n, sizeof(*used));
	size_t used_n = 0;

	*ret = used;
	if (!used)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (now->holders[v[i].holder] == UINT32_MAX)
			continue;
		used[used_n] = v[i];
		used[used_n].holder = now->holders[v[i].holder];
		used[used_n].signature = now->signatures[v[i].signature];
		if (v[i].sensor != VERDICT_NONE)
			used[used_n].sensor = (uint16_t)now->sensors[v[i].sensor];
		used_n++;
	}
	*ret_n = used_n;
	return 0;
}

static int use_profile(const struct verdict_learned_day *l, const struct verdict_profile *from,
	const struct numbers *now, const struct verdict_day *d, struct verdict_profile *p)
{
	int e = allocate(p, d->sensors.n, d->regions.n);

	if (e < 0)
		return e;
	p->in_region = from->in_region;
	for (uint32_t i = 0; i < l->sensors.n; i++) {
		uint32_t at = now->sensors[i];

		p->rough[at] = from->rough[i];
		p->mean[at] = from->mean[i];
		p->votes[at] = from->votes[i];
	}
	for (uint32_t region = 0; region < l->regions.n; region++) {
		p->known[now->regions[region]] = from->known[region];
		for (uint32_t i = 0; i < l->sensors.n && from->known[region]; i++) {
			size_t cell = (size_t)region * l->sensors.n + i;
			size_t at = (size_t)now->regions[region] * d->sensors.n + now->sensors[i];

			p->region_mean[at] = from->region_mean[cell];
			p->region_holders[at] = from->region_holders[cell];
		}
	}
	e = use_votes(now, from->residuals, from->residuals_n, &p->residuals, &p->residuals_n);
	if (e == 0)
		e = use_votes(now, from->offsets, from->offsets_n, &p->offsets, &p->offsets_n);
	return e;
}

int verdict_learned_use(const struct verdict_learned_day *l, struct verdict_day *d)
{
	struct numbers now = {
		.sensors = numbers(&l->sensors, &d->sensors),
		.regions = numbers(&l->regions, &d->regions),
		.holders = numbers(&l->holders, &d->holders),
		.signatures = numbers(&l->signatures, &d->signatures),
	};
	int e = now.sensors && now.regions && now.holders && now.signatures ? 0 : -ENOMEM;

	for (uint32_t i = 0; e == 0 && i < l->sensors.n; i++)
		e = now.sensors[i] == UINT32_MAX ? -EPROTO : 0;
	for (unsigned family = 0; e == 0 && family < 2; family++)
		e = use_profile(l, &l->profile[family], &now, d, &d->family[family].learned);
	free(now.sensors);
	free(now.regions);
	free(now.holders);
	free(now.signatures);
	return e;
}

void verdict_learned_done(struct verdict_learned_day *l)
{
	intern_done(&l->sensors);
	intern_done(&l->regions);
	intern_done(&l->holders);
	intern_done(&l->signatures);
	verdict_profile_done(&l->profile[0]);
	verdict_profile_done(&l->profile[1]);
	*l = (struct verdict_learned_day){0};
}
