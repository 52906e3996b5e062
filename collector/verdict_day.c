#include "collector/verdict_day.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "collector/verdict/grow.h"
#include "collector/verdict_copy_in.h"
#include "collector/verdict_learned.h"
#include "common/bogon.h"
#include "common/bytes.h"

#define RESPONSE (UINT64_C(1) << 40)
#define US_PER_S_ 1000000

/* --- sensors
 * ------------------------------------------------------------------------------------------------
 */

static int region_number(struct verdict_day *d, struct bytes text, uint16_t *ret)
{
	uint32_t number;
	int e;

	*ret = VERDICT_NONE;
	if (!text.p)
		return 0;
	if (text.n != 2)
		return -EPROTO;
	e = intern_add(&d->regions, text.p, &number);
	if (e == 0 && number >= VERDICT_NONE)
		e = -E2BIG;
	if (e == 0)
		*ret = (uint16_t)number;
	return e;
}

static int holder_number(struct verdict_day *d, const void *text, size_t n, uint32_t *ret)
{
	uint8_t key[VERDICT_HOLDER_MAX] = {0};

	if (n >= sizeof(key))
		return -EPROTO;
	memcpy(key, text, n);
	return intern_add(&d->holders, key, ret);
}

static int on_sensor(void *arg, struct bytes *fields)
{
	struct verdict_day *d = arg;
	struct bytes id, region;
	uint32_t number;
	uint16_t *grown;
	int e;

	if (!copy_in_field(fields, &id) || id.n != 4 || !copy_in_field(fields, &region))
		return -EPROTO;
	e = intern_add(&d->sensors, id.p, &number);
	if (e < 0)
		return e;
	if (number >= VERDICT_NONE)
		return -E2BIG;
	grown = realloc(d->sensor_region, (number + (size_t)1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	d->sensor_region = grown;
	return region_number(d, region, &grown[number]);
}

/* --- rows
 * ---------------------------------------------------------------------------------------------------
 */

/* What a row says of its source: the newest data set's word holds, then the greater one. */
static int note_claim(struct verdict_day *d, struct verdict_family *f, uint32_t source,
	int32_t dataset, uint16_t region, uint32_t holder)
{
	struct verdict_claim *c;

	while (source >= f->claims_room) {
		size_t before = f->claims_room;

		if (!grow(&f->claims, before, &f->claims_room, sizeof(*f->claims)))
			return -ENOMEM;
		for (size_t i = before; i < f->claims_room; i++)
			f->claims[i] =
				(struct verdict_claim){.dataset = -1, .region = VERDICT_NONE};
	}
	c = &f->claims[source];
	if (c->region == VERDICT_NONE ||
		(region != VERDICT_NONE && memcmp(intern_key(&d->regions, region),
						   intern_key(&d->regions, c->region), 2) > 0))
		c->region = region;
	if (holder != 0 &&
		(c->holder == 0 || dataset > c->dataset ||
			(dataset == c->dataset && memcmp(intern_key(&d->holders, holder - 1),
							  intern_key(&d->holders, c->holder - 1),
							  VERDICT_HOLDER_MAX) > 0)))
		c->holder = holder;
	if (dataset > c->dataset)
		c->dataset = dataset;
	return 0;
}

static uint32_t seconds(const struct verdict_day *d, uint64_t at_us)
{
	int64_t since = (int64_t)at_us - d->start_us;

	return since > 0 ? (uint32_t)(since / US_PER_S_) : 0;
}

static int on_row(void *arg, struct bytes *fields)
{
	struct verdict_day *d = arg;
	struct verdict_family *f;
	struct bytes src, sensor, signature, dataset, region, holder;
	uint64_t packets, first, last;
	uint32_t source, at, sig, named = 0;
	unsigned family;
	uint16_t ttl, place;
	uint8_t address[16];
	int e;

	if (!copy_in_field(fields, &src) || !copy_in_inet(src, &family, address) ||
		!copy_in_field(fields, &sensor) || sensor.n != 4 ||
		!copy_in_field(fields, &signature) || signature.n != 8 ||
		!copy_in_u16(fields, &ttl) || ttl > 255 || !copy_in_u64(fields, &packets) ||
		!copy_in_u64(fields, &first) || !copy_in_u64(fields, &last) ||
		!copy_in_field(fields, &dataset) || !copy_in_field(fields, &region) ||
		!copy_in_field(fields, &holder) || (dataset.p && dataset.n != 4))
		return -EPROTO;
	if (!intern_find(&d->sensors, sensor.p, &at))
		return -EPROTO;
	f = &d->family[family];
	e = intern_add(&f->addresses, address, &source);
	if (e == 0)
		e = intern_add(&d->signatures, signature.p, &sig);
	if (e == 0)
		e = region_number(d, region, &place);
	if (e == 0 && dataset.p) {
		uint32_t ignored;

		e = intern_add(&d->datasets, dataset.p, &ignored);
	}
	if (e == 0 && holder.p) {
		e = holder_number(d, holder.p, holder.n, &named);
		named++;
	}
	if (e == 0)
		e = note_claim(
			d, f, source, dataset.p ? (int32_t)load_be32(dataset.p) : 0, place, named);
	if (e < 0)
		return e;
	if (!grow(&f->rows, f->rows_n, &f->rows_room, sizeof(*f->rows)))
		return -ENOMEM;
	f->rows[f->rows_n++] = (struct verdict_row){
		.packets = packets,
		.source = source,
		.signature = sig,
		.first_s = seconds(d, first),
		.last_s = seconds(d, last),
		.sensor = (uint16_t)at,
		.ttl = (uint8_t)ttl,
	};
	d->packets += packets;
	return 0;
}

/* --- claims
 * -------------------------------------------------------------------------------------------------
 */

/* The covering /16 (IPv6: /32), where nobody knows the holder. */
static int covering(struct verdict_day *d, unsigned family, const uint8_t *a, uint32_t *ret)
{
	char text[VERDICT_HOLDER_MAX];
	int n = family == 0 ? snprintf(text, sizeof(text), "%u.%u.0.0/16", a[0], a[1])
			    : snprintf(text, sizeof(text), "%x:%x::/32", load_be16(a),
				      load_be16(a + 2));

	return holder_number(d, text, (size_t)n, ret);
}

/* Numbers that lie a step of bytes apart become those that they moved to. */
static void renumber(uint32_t *number, size_t n, size_t step, const uint32_t *moved)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t *at = (void *)((uint8_t *)number + i * step);

		*at = moved[*at];
	}
}

static int settle_sources(struct verdict_day *d, unsigned family)
{
	struct verdict_family *f = &d->family[family];
	uint32_t *moved;
	int e = intern_sort(&f->addresses, &moved);

	if (e < 0)
		return e;
	f->sources = zeroed(f->addresses.n, sizeof(*f->sources));
	if (!f->sources)
		e = -ENOMEM;
	for (uint32_t i = 0; e == 0 && i < f->addresses.n; i++) {
		const struct verdict_claim *c = &f->claims[i];
		const uint8_t *address = intern_key(&f->addresses, moved[i]);
		struct verdict_source *s = &f->sources[moved[i]];

		s->region = c->region;
		s->listing = VERDICT_LISTED;
		if (bogon(verdict_day_version(family), address))
			s->listing = VERDICT_BOGON;
		else if (d->registries > 0 && c->dataset >= d->registries &&
			 c->region == VERDICT_NONE && c->holder == 0)
			s->listing = VERDICT_UNLISTED;
		if (c->holder > 0)
			s->holder = c->holder - 1;
		else
			e = covering(d, family, address, &s->holder);
	}
	if (f->rows)
		renumber(&f->rows->source, f->rows_n, sizeof(*f->rows), moved);
	free(moved);
	free(f->claims);
	f->claims = NULL;
	return e;
}

/* In the order of their names: what is learned of them goes to the end of its index then. */
static int settle_holders(struct verdict_day *d)
{
	uint32_t *moved;
	int e = intern_sort(&d->holders, &moved);

	if (e < 0)
		return e;
	for (unsigned family = 0; family < 2; family++) {
		struct verdict_family *f = &d->family[family];

		renumber(&f->sources->holder, f->addresses.n, sizeof(*f->sources), moved);
	}
	free(moved);
	return 0;
}

static int settle_signatures(struct verdict_day *d)
{
	uint32_t *moved;
	int e = intern_sort(&d->signatures, &moved);

	if (e < 0)
		return e;
	for (unsigned family = 0; family < 2; family++) {
		struct verdict_family *f = &d->family[family];

		if (f->rows)
			renumber(&f->rows->signature, f->rows_n, sizeof(*f->rows), moved);
	}
	free(moved);
	d->response = zeroed(d->signatures.n, sizeof(*d->response));
	if (!d->response)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->signatures.n; i++)
		d->response[i] = (load_be64(intern_key(&d->signatures, i)) & RESPONSE) != 0;
	return 0;
}

/* --- all of it
 * ---------------------------------------------------------------------------------------------- */

int verdict_day_read(const struct verdict_day *d, PGconn *conn, const char *columns,
	const char *table, const char *day, int (*row)(void *arg, struct bytes *fields), void *arg)
{
	char sql[1024];
	int e = 0;

	if (!d->part) {
		(void)snprintf(sql, sizeof(sql),
			"COPY (SELECT %s FROM hirundo.%s WHERE day = '%s') TO STDOUT (FORMAT "
			"binary)",
			columns, table, day);
		return copy_in(conn, sql, row, arg);
	}
	/* A statement for each portion: within one query's loop nothing is read in parallel. */
	for (int i = 0; e == 0 && i < d->portions; i++) {
		(void)snprintf(sql, sizeof(sql),
			"COPY (SELECT %s FROM hirundo.%s WHERE day = '%s' AND src = ANY ((SELECT "
			"sources"
			" FROM hirundo.verdict_touched WHERE day = '%s' AND portion = %d)::inet[]))"
			" TO STDOUT (FORMAT binary)",
			columns, table, day, day, i);
		e = copy_in(conn, sql, row, arg);
	}
	return e;
}

static int load_start(struct verdict_day *d, PGconn *conn, const char *day)
{
	static const char sql[] = "SELECT (extract(epoch FROM $1::date::timestamp AT TIME ZONE"
				  " hirundo.reporting_zone() - timestamptz '2000-01-01 "
				  "00:00:00+00') * 1000000)::bigint,"
				  " (SELECT min(dataset_id) FROM hirundo.enrichment_dataset"
				  " WHERE kind = 'rir' AND with_region > 0),"
				  " $1::date - date '2000-01-01',"
				  " (SELECT count(*) FROM hirundo.verdict_touched WHERE day = $1)";
	PGresult *res = PQexecParams(conn, sql, 1, NULL, &day, NULL, NULL, 0);
	int e = PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 ? 0 : -EIO;

	if (e == 0) {
		d->start_us = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
		d->registries = (int32_t)strtol(PQgetvalue(res, 0, 1), NULL, 10);
		d->date = (int32_t)strtol(PQgetvalue(res, 0, 2), NULL, 10);
		d->portions = (int)strtol(PQgetvalue(res, 0, 3), NULL, 10);
	}
	PQclear(res);
	return e;
}

static void make_input(struct verdict_day *d, struct verdict_family *f)
{
	f->history = (struct verdict_history){
		.sensor_mean = f->earlier.sensor_mean,
		.sensor_votes = f->earlier.sensor_votes,
		.region_mean = f->earlier.region_mean,
		.region_holders = f->earlier.region_holders,
		.votes = f->earlier.votes,
		.votes_n = f->earlier.votes_n,
	};
	f->in = (struct verdict_input){
		.rows = f->rows,
		.rows_n = f->rows_n,
		.sources = f->sources,
		.sources_n = f->addresses.n,
		.sensor_region = d->sensor_region,
		.sensors_n = (uint16_t)d->sensors.n,
		.signature_response = d->response,
		.signatures_n = d->signatures.n,
		.holders_n = d->holders.n,
		.regions_n = (uint16_t)d->regions.n,
		.history = &f->history,
		.learned = d->part ? &f->learned : NULL,
		.stop = d->stop,
	};
}

int verdict_day_load(struct verdict_day *d, PGconn *conn, const char *day,
	const struct verdict_earlier *earlier, const struct verdict_learned_day *learned)
{
	uint64_t seed;
	int e;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	intern_init(&d->family[0].addresses, 16, seed);
	intern_init(&d->family[1].addresses, 16, seed);
	intern_init(&d->signatures, 8, seed);
	intern_init(&d->holders, VERDICT_HOLDER_MAX, seed);
	intern_init(&d->regions, 2, seed);
	intern_init(&d->sensors, 4, seed);
	intern_init(&d->datasets, 4, seed);
	d->part = learned != NULL;
	e = load_start(d, conn, day);
	if (e == 0)
		e = copy_in(conn,
			"COPY (SELECT sensor_id, region FROM hirundo.sensor ORDER BY 1) TO STDOUT"
			" (FORMAT binary)",
			on_sensor, d);
	if (e == 0)
		e = verdict_day_read(d, conn,
			"src, sensor_id, signature, ttl, packets, first_at, last_at, dataset_id,"
			" src_region, holder",
			"ttl_day", day, on_row, d);
	for (unsigned family = 0; e == 0 && family < 2; family++)
		e = verdict_unless_stopped(d->stop, settle_sources(d, family));
	if (e == 0)
		e = verdict_unless_stopped(d->stop, settle_holders(d));
	if (e == 0 && learned)
		e = verdict_learned_name(learned, d);
	if (e == 0)
		e = verdict_unless_stopped(d->stop, settle_signatures(d));
	if (e == 0 && learned)
		e = verdict_learned_use(learned, d);
	if (e == 0)
		e = verdict_earlier_use(earlier, d);
	for (unsigned family = 0; e == 0 && family < 2; family++) {
		struct verdict_family *f = &d->family[family];

		e = verdict_sort(f->rows, f->rows_n, f->addresses.n, d->stop);
		make_input(d, f);
	}
	return e;
}

void verdict_day_done(struct verdict_day *d)
{
	for (unsigned family = 0; family < 2; family++) {
		struct verdict_family *f = &d->family[family];

		intern_done(&f->addresses);
		free(f->rows);
		free(f->sources);
		free(f->claims);
		free(f->earlier.sensor_mean);
		free(f->earlier.sensor_votes);
		free(f->earlier.region_mean);
		free(f->earlier.region_holders);
		free(f->earlier.votes);
		verdict_profile_done(&f->learned);
	}
	intern_done(&d->signatures);
	intern_done(&d->holders);
	intern_done(&d->regions);
	intern_done(&d->sensors);
	intern_done(&d->datasets);
	free(d->sensor_region);
	free(d->response);
	*d = (struct verdict_day){0};
}
