#include "collector/verdict_learned.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collector/verdict/grow.h"
#include "collector/verdict_copy_in.h"

struct reading {
	struct verdict_day *d;
	size_t residuals_room[2], offsets_room[2];
};

/* The profile of the family that the next field names; NULL: none is named. */
static struct verdict_profile *profile_of(struct verdict_day *d, struct bytes *fields)
{
	uint16_t version;

	if (!copy_in_u16(fields, &version) || (version != 4 && version != 6))
		return NULL;
	return &d->family[version == 4 ? 0 : 1].learned;
}

static bool get_sensor(const struct verdict_day *d, struct bytes *fields, uint16_t *ret)
{
	struct bytes id;
	uint32_t at;

	if (!copy_in_field(fields, &id) || id.n != 4 || !intern_find(&d->sensors, id.p, &at))
		return false;
	*ret = (uint16_t)at;
	return true;
}

static int get_region(struct verdict_day *d, struct bytes *fields, uint32_t *ret)
{
	struct bytes text;
	int e;

	if (!copy_in_field(fields, &text) || text.n != 2)
		return -EPROTO;
	e = intern_add(&d->regions, text.p, ret);
	return e == 0 && *ret >= VERDICT_NONE ? -E2BIG : e;
}

static int on_region_name(void *arg, struct bytes *fields)
{
	uint32_t ignored;

	return get_region(arg, fields, &ignored);
}

static int on_model(void *arg, struct bytes *fields)
{
	struct verdict_day *d = arg;

	if (!copy_in_double(fields, &d->family[0].learned.in_region) ||
		!copy_in_double(fields, &d->family[1].learned.in_region))
		return -EPROTO;
	return 0;
}

static int on_sensor(void *arg, struct bytes *fields)
{
	struct verdict_day *d = arg;
	struct verdict_profile *p = profile_of(d, fields);
	uint16_t at;

	if (!p || !get_sensor(d, fields, &at) || !copy_in_double(fields, &p->mean[at]) ||
		!copy_in_double(fields, &p->votes[at]) || !copy_in_double(fields, &p->rough[at]))
		return -EPROTO;
	return 0;
}

static int on_region(void *arg, struct bytes *fields)
{
	struct verdict_day *d = arg;
	struct verdict_profile *p = profile_of(d, fields);
	uint32_t region;
	uint16_t at;
	size_t cell;
	int e = p ? get_region(d, fields, &region) : -EPROTO;

	if (e < 0)
		return e;
	if (!get_sensor(d, fields, &at))
		return -EPROTO;
	cell = (size_t)region * d->sensors.n + at;
	p->known[region] = true;
	if (!copy_in_double(fields, &p->region_mean[cell]) ||
		!copy_in_double(fields, &p->region_holders[cell]))
		return -EPROTO;
	return 0;
}

/* holder, signature, value, tracks
 * @return 1: a holder that nobody claims here; 0; -EPROTO, -ENOMEM */
static int get_vote(struct verdict_day *d, struct bytes *fields, struct verdict_learned *v)
{
	struct bytes holder, signature, tracks;
	uint8_t key[VERDICT_HOLDER_MAX] = {0};

	if (!copy_in_field(fields, &holder) || holder.n >= sizeof(key) ||
		!copy_in_field(fields, &signature) || signature.n != 8 ||
		!copy_in_double(fields, &v->hops) || !copy_in_field(fields, &tracks) ||
		tracks.n != 4)
		return -EPROTO;
	v->tracks = load_be32(tracks.p);
	memcpy(key, holder.p, holder.n);
	if (!intern_find(&d->holders, key, &v->holder))
		return 1;
	return intern_add(&d->signatures, signature.p, &v->signature);
}

static int on_residual(void *arg, struct bytes *fields)
{
	struct reading *x = arg;
	struct verdict_profile *p = profile_of(x->d, fields);
	struct verdict_learned v = {0};
	int e = p ? get_vote(x->d, fields, &v) : -EPROTO;

	if (e != 0)
		return e < 0 ? e : 0;
	if (!get_sensor(x->d, fields, &v.sensor) || !copy_in_double(fields, &v.spread))
		return -EPROTO;
	if (!grow(&p->residuals, p->residuals_n, &x->residuals_room[p == &x->d->family[1].learned],
		    sizeof(v)))
		return -ENOMEM;
	p->residuals[p->residuals_n++] = v;
	return 0;
}

static int on_offset(void *arg, struct bytes *fields)
{
	struct reading *x = arg;
	struct verdict_profile *p = profile_of(x->d, fields);
	struct verdict_learned v = {.sensor = VERDICT_NONE};
	int e = p ? get_vote(x->d, fields, &v) : -EPROTO;

	if (e != 0)
		return e < 0 ? e : 0;
	if (!grow(&p->offsets, p->offsets_n, &x->offsets_room[p == &x->d->family[1].learned],
		    sizeof(v)))
		return -ENOMEM;
	p->offsets[p->offsets_n++] = v;
	return 0;
}

static int allocate(struct verdict_day *d)
{
	size_t cells = (size_t)d->regions.n * d->sensors.n;
	bool all = true;

	for (unsigned family = 0; family < 2; family++) {
		struct verdict_profile *p = &d->family[family].learned;

		p->rough = zeroed(d->sensors.n, sizeof(*p->rough));
		p->mean = zeroed(d->sensors.n, sizeof(*p->mean));
		p->votes = zeroed(d->sensors.n, sizeof(*p->votes));
		p->known = zeroed(d->regions.n, sizeof(*p->known));
		p->region_mean = zeroed(cells, sizeof(*p->region_mean));
		p->region_holders = zeroed(cells, sizeof(*p->region_holders));
		all = all && p->rough && p->mean && p->votes && p->known && p->region_mean &&
		      p->region_holders;
	}
	return all ? 0 : -ENOMEM;
}

int verdict_learned_load(struct verdict_day *d, PGconn *conn, const char *day)
{
	struct reading x = {.d = d};
	const struct {
		const char *what, *from;
		int (*row)(void *arg, struct bytes *fields);
		void *arg;
	} parts[] = {
		{"DISTINCT region", "hop_region", on_region_name, d},
		{"in_region::float8, in_region_6::float8", "hop_model", on_model, d},
		{"family, sensor_id, mean, votes, rough", "hop_sensor", on_sensor, d},
		{"family, region, sensor_id, mean, holders", "hop_region", on_region, d},
		{"family, holder, signature, residual, tracks, sensor_id, spread", "hop_holder",
			on_residual, &x},
		{"family, holder, signature, hops, tracks", "hop_holder_offset", on_offset, &x},
	};
	char sql[256];
	int e = 0;

	for (size_t i = 0; e == 0 && i < ARRAY_SIZE(parts); i++) {
		if (i == 1) /* now all regions are numbered */
			e = allocate(d);
		(void)snprintf(sql, sizeof(sql),
			"COPY (SELECT %s FROM hirundo.%s WHERE day = '%s') TO STDOUT (FORMAT "
			"binary)",
			parts[i].what, parts[i].from, day);
		if (e == 0)
			e = copy_in(conn, sql, parts[i].row, parts[i].arg);
	}
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

static void settle(struct verdict_learned *v, size_t n, const uint32_t *moved)
{
	for (size_t i = 0; i < n; i++)
		v[i].signature = moved[v[i].signature];
	if (n > 1)
		qsort(v, n, sizeof(*v), compare);
}

void verdict_learned_settle(struct verdict_day *d, const uint32_t *moved)
{
	for (unsigned family = 0; family < 2; family++) {
		struct verdict_profile *p = &d->family[family].learned;

		settle(p->residuals, p->residuals_n, moved);
		settle(p->offsets, p->offsets_n, moved);
	}
}
