/* Profiles and campaigns of a day. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "collector/verdict/grow.h"
#include "collector/verdict_store_impl.h"

struct model {
	PGconn *conn;
	const struct verdict_day *d;
	const struct verdict_result *r; /* [family] */
	const char *day;
};

void campaign_name(const struct verdict_day *d, const struct verdict_result *r, unsigned family,
	uint32_t campaign, char text[CAMPAIGN_MAX])
{
	const struct verdict_campaign *all = r->campaigns, *c = &all[campaign];
	unsigned n = 1; /* senders of the same tool are told apart by their rank */
	int length = snprintf(text, 64, "%u-%" PRIx64 "-%u", verdict_day_version(family),
		stored_signature(d, c->signature), c->initial_ttl);

	for (uint32_t i = 0; i < campaign; i++)
		n += all[i].signature == c->signature && all[i].initial_ttl == c->initial_ttl;
	if (n > 1)
		(void)snprintf(text + length, CAMPAIGN_MAX - (size_t)length, "-%u", n);
}

/* What rows of profiles begin with. */
static void begin_row(const struct model *s, struct copy_out *c, unsigned family, unsigned columns)
{
	copy_row(c, columns);
	copy_int(c, (uint32_t)s->d->date);
	copy_smallint(c, verdict_day_version(family));
}

static int write_sensors(const struct model *s)
{
	struct copy_out c;

	copy_begin(&c, s->conn,
		"COPY hirundo.hop_sensor (day, family, sensor_id, mean, votes, rough) FROM STDIN "
		"(FORMAT binary)");
	for (unsigned family = 0; family < 2; family++) {
		const struct verdict_profile *p = &s->r[family].profile;

		for (uint16_t i = 0; i < s->d->sensors.n; i++) {
			begin_row(s, &c, family, 6);
			copy_int(&c, stored_sensor(s->d, i));
			copy_double(&c, p->mean[i]);
			copy_double(&c, p->votes[i]);
			copy_double(&c, p->rough[i]);
		}
	}
	return copy_end(&c);
}

static int write_regions(const struct model *s)
{
	struct copy_out c;

	copy_begin(&c, s->conn,
		"COPY hirundo.hop_region (day, family, region, sensor_id, mean, holders)"
		" FROM STDIN (FORMAT binary)");
	for (unsigned family = 0; family < 2; family++) {
		const struct verdict_profile *p = &s->r[family].profile;

		for (uint16_t region = 0; region < s->d->regions.n; region++) {
			for (uint16_t i = 0; p->known[region] && i < s->d->sensors.n; i++) {
				size_t at = (size_t)region * s->d->sensors.n + i;

				begin_row(s, &c, family, 6);
				add_region(s->d, &c, region);
				copy_int(&c, stored_sensor(s->d, i));
				copy_double(&c, p->region_mean[at]);
				copy_double(&c, p->region_holders[at]);
			}
		}
	}
	return copy_end(&c);
}

/* A residual, or (sensor VERDICT_NONE) an offset. */
static void add_vote(
	const struct model *s, struct copy_out *c, unsigned family, const struct verdict_learned *v)
{
	bool residual = v->sensor != VERDICT_NONE;

	begin_row(s, c, family, residual ? 8 : 6);
	add_holder(s->d, c, v->holder);
	copy_bigint(c, stored_signature(s->d, v->signature));
	copy_double(c, v->hops);
	copy_int(c, v->tracks);
	if (residual) {
		copy_int(c, stored_sensor(s->d, v->sensor));
		copy_double(c, v->spread);
	}
}

static int write_holders(const struct model *s)
{
	struct copy_out c;
	int e;

	copy_begin(&c, s->conn,
		"COPY hirundo.hop_holder (day, family, holder, signature, residual, tracks,"
		" sensor_id, spread) FROM STDIN (FORMAT binary)");
	for (unsigned family = 0; family < 2; family++)
		for (size_t i = 0; i < s->r[family].profile.residuals_n; i++)
			add_vote(s, &c, family, &s->r[family].profile.residuals[i]);
	e = copy_end(&c);
	if (e < 0)
		return e;
	copy_begin(&c, s->conn,
		"COPY hirundo.hop_holder_offset (day, family, holder, signature, hops, tracks)"
		" FROM STDIN (FORMAT binary)");
	for (unsigned family = 0; family < 2; family++)
		for (size_t i = 0; i < s->r[family].profile.offsets_n; i++)
			add_vote(s, &c, family, &s->r[family].profile.offsets[i]);
	return copy_end(&c);
}

/* @param ret_new  whether nobody had found it before, on this day */
static int write_campaign(const struct model *s, unsigned family, uint32_t campaign, bool *ret_new)
{
	/* A part of the day adds nothing to what the whole day showed of a campaign. */
	static const char sql[] =
		"INSERT INTO hirundo.campaign (day, campaign, family, first_seen, last_seen, "
		"service,"
		" signature, initial_ttl, claimed_sources, claimed_holders, packets, likely_region)"
		" SELECT $1::date, $2, $3::smallint, start + make_interval(secs => $4::int),"
		" start + make_interval(secs => $5::int), hirundo.service((($6::bigint >> 32) & "
		"255)::smallint,"
		" CASE WHEN ($6::bigint >> 40) & 3 = 0 THEN ($6::bigint & 65535)::int END),"
		" $6::bigint, $7::smallint, $8::int, $9::int, $10::bigint, $11"
		" FROM (SELECT $1::date::timestamp AT TIME ZONE hirundo.reporting_zone()) z "
		"(start) ON CONFLICT (day, campaign) DO NOTHING";
	const struct verdict_campaign *x = &s->r[family].campaigns[campaign];
	const uint64_t numbers[] = {verdict_day_version(family), x->first_s, x->last_s,
		stored_signature(s->d, x->signature), x->initial_ttl, x->sources, x->holders,
		x->packets};
	char name[CAMPAIGN_MAX], text[9][32];
	const char *values[11] = {s->day, name};
	PGresult *res;
	int e = -EIO;

	campaign_name(s->d, &s->r[family], family, campaign, name);
	for (size_t j = 0; j < ARRAY_SIZE(numbers); j++) {
		(void)snprintf(text[j], sizeof(text[j]), "%" PRIu64, numbers[j]);
		values[2 + j] = text[j];
	}
	if (x->likely_region != VERDICT_NONE) {
		(void)snprintf(text[8], sizeof(text[8]), "%.2s",
			(const char *)intern_key(&s->d->regions, x->likely_region));
		values[10] = text[8];
	}
	res = PQexecParams(s->conn, sql, ARRAY_SIZE(values), NULL, values, NULL, NULL, 0);
	if (PQresultStatus(res) == PGRES_COMMAND_OK) {
		*ret_new = strcmp(PQcmdTuples(res), "1") == 0;
		e = 0;
	}
	PQclear(res);
	return e;
}

static int write_cells(const struct model *s, unsigned family, const bool *wanted)
{
	struct copy_out c;

	copy_begin(&c, s->conn,
		"COPY hirundo.campaign_cell (day, campaign, sensor_id, hops, holders, expected,"
		" share, mixture) FROM STDIN (FORMAT binary)");
	for (size_t i = 0; i < s->r[family].cells_n; i++) {
		const struct verdict_cell *x = &s->r[family].cells[i];
		char name[CAMPAIGN_MAX];

		if (!wanted[x->campaign])
			continue;
		campaign_name(s->d, &s->r[family], family, x->campaign, name);
		copy_row(&c, 8);
		copy_int(&c, (uint32_t)s->d->date);
		add_string(&c, name);
		copy_int(&c, stored_sensor(s->d, x->sensor));
		copy_smallint(&c, x->hops);
		copy_int(&c, x->holders);
		copy_double(&c, x->expected);
		copy_double(&c, x->share);
		copy_double(&c, x->mixture);
	}
	return copy_end(&c);
}

static int write_campaigns(const struct model *s)
{
	int e = 0;

	for (unsigned family = 0; e == 0 && family < 2; family++) {
		uint32_t n = s->r[family].campaigns_n;
		AUTO_FREE bool *fresh = zeroed(n, sizeof(*fresh));

		if (!fresh)
			return -ENOMEM;
		for (uint32_t i = 0; e == 0 && i < n; i++)
			e = write_campaign(s, family, i, &fresh[i]);
		if (e == 0)
			e = write_cells(s, family, fresh);
	}
	return e;
}

static int clear_model(const struct model *s)
{
	static const char *const sql[] = {
		"DELETE FROM hirundo.hop_sensor WHERE day = $1",
		"DELETE FROM hirundo.hop_region WHERE day = $1",
		"DELETE FROM hirundo.hop_holder WHERE day = $1",
		"DELETE FROM hirundo.hop_holder_offset WHERE day = $1",
		"DELETE FROM hirundo.campaign WHERE day = $1",
		"DELETE FROM hirundo.campaign_cell WHERE day = $1",
	};
	int e = 0;

	for (size_t i = 0; e == 0 && i < ARRAY_SIZE(sql); i++)
		e = copy_run(s->conn, sql[i], 1, &s->day);
	return e;
}

int store_profiles(PGconn *conn, const struct verdict_day *d, const struct verdict_result r[2],
	const char *day)
{
	const struct model s = {.conn = conn, .d = d, .r = r, .day = day};
	int e = clear_model(&s);

	if (e == 0)
		e = write_sensors(&s);
	if (e == 0)
		e = write_regions(&s);
	return e == 0 ? write_holders(&s) : e;
}

int store_campaigns(PGconn *conn, const struct verdict_day *d, const struct verdict_result r[2],
	const char *day)
{
	const struct model s = {.conn = conn, .d = d, .r = r, .day = day};

	return write_campaigns(&s);
}
