#include "collector/verdict_store.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collector/text.h"
#include "collector/verdict/grow.h"
#include "collector/verdict_copy_in.h"
#include "collector/verdict_store_impl.h"
#include "common/bytes.h"

/* Verdicts of so many days before are what a track was called last. */
#define EARLIER_DAYS 7

static const char *const calls[] = {
	[VERDICT_GENUINE] = "genuine",
	[VERDICT_SPOOFED] = "spoofed",
	[VERDICT_UNDETERMINED] = "undetermined",
};
static const char *const kinds[] = {
	[VERDICT_FIXED] = "fixed",
	[VERDICT_SPLIT] = "split",
	[VERDICT_NMAP] = "nmap",
	[VERDICT_RANDOM] = "random",
	[VERDICT_KIND_UNLISTED] = "unlisted",
	[VERDICT_KIND_BOGON] = "bogon",
};

/* What the table has of a track. */
struct old {
	double log_claimed, log_alternative, log_path; /* NAN for NULL */
	double prior, own_score;
	struct verdict_evidence evidence;
	uint64_t packets;
	uint32_t version; /* of its newest line in the history */
	uint32_t campaign; /* store.names, where evidence.named */
	float score;
	uint16_t source_regions;
	uint8_t call;
	bool there, taught, held;
};

/* An array of a million addresses is 20 MB. */
#define ARRAY_MAX (256u << 20)

/* A row of the table whose track is no more. */
struct gone {
	uint8_t address[16];
	uint32_t version;
	uint8_t family, track;
};

struct store {
	PGconn *conn;
	const struct verdict_day *d;
	struct verdict_result *r;
	const char *day;
	int64_t at; /* microseconds since 2000 */
	struct old *old[2]; /* [track] */
	bool *genuine[2]; /* [track]: called genuine before */
	size_t *first[2]; /* [source]: its first track */
	bool *known[2]; /* [source]: had a verdict */
	struct intern names; /* of campaigns, CAMPAIGN_MAX bytes */
	struct verdict_counts was; /* what the rows read were counted as */
	struct gone *gone;
	size_t gone_n, gone_room, old_n;
};

/* --- values
 * -------------------------------------------------------------------------------------------------
 */

static const uint8_t *address_of(
	const struct store *s, unsigned family, const struct verdict_track *t)
{
	return intern_key(&s->d->family[family].addresses, t->source);
}

static const char *address_text(unsigned family, const uint8_t *address, char text[64])
{
	return inet_ntop(family == 0 ? AF_INET : AF_INET6, address, text, 64);
}

/* NULL where there is none. */
static void add_double(struct copy_out *c, double x, bool there)
{
	if (there)
		copy_double(c, x);
	else
		copy_null(c);
}

/* --- what is there
 * ------------------------------------------------------------------------------------------ */

static int call_of(struct bytes text)
{
	for (int i = 0; i < (int)ARRAY_SIZE(calls); i++)
		if (text.n == strlen(calls[i]) && memcmp(text.p, calls[i], text.n) == 0)
			return i;
	return -1;
}

/* src, track: of which track is it? SIZE_MAX: of none of today's. */
static bool get_track(
	const struct store *s, struct bytes *fields, struct gone *ret_key, size_t *ret)
{
	struct bytes src, track;
	unsigned family;
	uint32_t source;

	if (!copy_in_field(fields, &src) || !copy_in_inet(src, &family, ret_key->address) ||
		!copy_in_field(fields, &track) || track.n != 2)
		return false;
	ret_key->family = (uint8_t)family;
	ret_key->track = (uint8_t)load_be16(track.p);
	*ret = SIZE_MAX;
	if (!intern_find(&s->d->family[family].addresses, ret_key->address, &source))
		return true;
	for (size_t i = s->first[family][source];
		i < s->r[family].tracks_n && s->r[family].tracks[i].source == source; i++)
		if (s->r[family].tracks[i].initial_ttl == ret_key->track)
			*ret = i;
	return true;
}

/* What is judged anew is no longer counted as it was. */
static void note_old(struct store *s, const struct gone *key, const struct old *o)
{
	uint32_t source;

	s->was.tracks++;
	s->was.genuine += o->call == VERDICT_GENUINE;
	s->was.spoofed += o->call == VERDICT_SPOOFED;
	s->was.undetermined += o->call == VERDICT_UNDETERMINED;
	s->was.held += o->held;
	s->was.packets += o->packets;
	if (intern_find(&s->d->family[key->family].addresses, key->address, &source) &&
		!s->known[key->family][source]) {
		s->known[key->family][source] = true;
		s->was.sources++;
	}
}

static int on_old(void *arg, struct bytes *fields)
{
	struct store *s = arg;
	struct bytes version, call, score, packets, name, taught, held;
	struct old o = {.there = true};
	struct gone key;
	uint32_t bits;
	size_t at;
	int called;

	if (!get_track(s, fields, &key, &at) || !copy_in_field(fields, &version) ||
		version.n != 4 || !copy_in_field(fields, &call) || !call.p ||
		!copy_in_field(fields, &score) || score.n != 4 ||
		!copy_in_u16(fields, &o.source_regions) || !copy_in_field(fields, &packets) ||
		packets.n != 8 || !copy_in_double(fields, &o.log_claimed) ||
		!copy_in_double(fields, &o.log_alternative) ||
		!copy_in_double(fields, &o.log_path) || !copy_in_double(fields, &o.prior) ||
		!copy_in_double(fields, &o.own_score) ||
		!copy_in_double(fields, &o.evidence.member) ||
		!copy_in_double(fields, &o.evidence.sits) ||
		!copy_in_double(fields, &o.evidence.log_campaign) ||
		!copy_in_double(fields, &o.evidence.mixture) || !copy_in_field(fields, &name) ||
		name.n >= CAMPAIGN_MAX || !copy_in_field(fields, &taught) || taught.n != 1 ||
		!copy_in_field(fields, &held) || held.n != 1)
		return -EPROTO;
	called = call_of(call);
	if (called < 0)
		return -EPROTO;
	key.version = o.version = load_be32(version.p);
	o.call = (uint8_t)called;
	o.packets = load_be64(packets.p);
	o.held = held.p[0] != 0;
	s->old_n++;
	note_old(s, &key, &o);
	o.evidence.named = name.p != NULL;
	o.evidence.spoofed = called == VERDICT_SPOOFED;
	if (name.p) {
		char text[CAMPAIGN_MAX] = {0};

		memcpy(text, name.p, name.n);
		if (intern_add(&s->names, text, &o.campaign) < 0)
			return -ENOMEM;
	}
	if (at == SIZE_MAX) {
		if (!grow(&s->gone, s->gone_n, &s->gone_room, sizeof(*s->gone)))
			return -ENOMEM;
		s->gone[s->gone_n++] = key;
		return 0;
	}
	bits = load_be32(score.p);
	memcpy(&o.score, &bits, sizeof(o.score));
	o.taught = taught.p[0] != 0;
	s->old[key.family][at] = o;
	s->genuine[key.family][at] = called == VERDICT_GENUINE;
	return 0;
}

/* A track that was gone and is back: its history goes on. */
static int on_gone(void *arg, struct bytes *fields)
{
	struct store *s = arg;
	struct bytes version;
	struct gone key;
	size_t at;

	if (!get_track(s, fields, &key, &at) || !copy_in_field(fields, &version) || version.n != 4)
		return -EPROTO;
	if (at != SIZE_MAX && !s->old[key.family][at].there &&
		s->old[key.family][at].version < load_be32(version.p))
		s->old[key.family][at].version = load_be32(version.p);
	return 0;
}

static int load_old(struct store *s)
{
	char sql[256];
	int e;

	intern_init(&s->names, CAMPAIGN_MAX, 0);
	for (unsigned family = 0; family < 2; family++) {
		const struct verdict_result *r = &s->r[family];

		s->old[family] = zeroed(r->tracks_n, sizeof(*s->old[family]));
		s->genuine[family] = zeroed(r->tracks_n, sizeof(*s->genuine[family]));
		s->first[family] =
			zeroed(s->d->family[family].addresses.n, sizeof(*s->first[family]));
		s->known[family] =
			zeroed(s->d->family[family].addresses.n, sizeof(*s->known[family]));
		if (!s->old[family] || !s->genuine[family] || !s->first[family] ||
			!s->known[family])
			return -ENOMEM;
		for (size_t i = r->tracks_n; i-- > 0;)
			s->first[family][r->tracks[i].source] = i;
	}
	e = verdict_day_read(s->d, s->conn,
		"src, track, version, verdict, score, source_regions, packets, log_claimed,"
		" log_alternative, log_second_path, prior, own_score, member, sits, log_campaign,"
		" mixture, campaign, taught, held",
		"verdict", s->day, on_old, s);
	(void)snprintf(sql, sizeof(sql),
		"COPY (SELECT src, track, version FROM hirundo.verdict_history WHERE day = '%s'"
		" AND verdict IS NULL) TO STDOUT (FORMAT binary)",
		s->day);
	return e == 0 ? copy_in(s->conn, sql, on_gone, s) : e;
}

/* --- what was called genuine before
 * ------------------------------------------------------------------------- */

static int on_earlier(void *arg, struct bytes *fields)
{
	struct store *s = arg;
	struct gone key;
	size_t at;

	if (!get_track(s, fields, &key, &at))
		return -EPROTO;
	if (at != SIZE_MAX && !s->old[key.family][at].there)
		s->genuine[key.family][at] = true;
	return 0;
}

/* Adds the sources whose verdicts of the days before matter, those of today aside. */
static int ask_for(const struct store *s, unsigned family, struct buf *sql, size_t *n)
{
	const struct verdict_result *r = &s->r[family];
	AUTO_FREE bool *asked = zeroed(r->tracks_n, sizeof(*asked));
	char text[64];
	int e = asked ? verdict_hold_ask(&s->d->family[family].in, r, asked) : -ENOMEM;

	for (size_t i = 0; e == 0 && i < r->tracks_n; i++)
		if (asked[i] && !s->old[family][i].there)
			e = text_add(sql, "%s%s", (*n)++ == 0 ? "" : ",",
				address_text(family, address_of(s, family, &r->tracks[i]), text));
	return e;
}

static int load_earlier(struct store *s)
{
	struct buf sql;
	size_t n = 0;
	int e;

	buf_init(&sql, ARRAY_MAX);
	/* A day and a source at a time: by the key. */
	e = text_add(&sql,
		"COPY (SELECT src, track FROM (SELECT DISTINCT ON (src, track) v.src, v.track,"
		" v.verdict FROM generate_series(1, %d) AS before (days), LATERAL (SELECT * FROM"
		" hirundo.verdict x WHERE x.day = date '%s' - before.days AND x.src = ANY ('{",
		EARLIER_DAYS, s->day);
	for (unsigned family = 0; e == 0 && family < 2; family++)
		e = ask_for(s, family, &sql, &n);
	if (e == 0)
		e = text_add(&sql,
			"}'::inet[]) AND x.sensors_seen >= 2 AND x.verdict <> 'undetermined'"
			" OFFSET 0) v ORDER BY v.src, v.track, v.day DESC) v"
			" WHERE verdict = 'genuine') TO STDOUT (FORMAT binary)");
	if (e == 0 && n > 0)
		e = copy_in(s->conn, text_str(&sql), on_earlier, s);
	buf_done(&sql);
	return e;
}

/* --- verdicts
 * -----------------------------------------------------------------------------------------------
 */

static bool same_double(double old, double now, bool there)
{
	return there ? old == now : isnan(old);
}

static bool same(const struct old *o, const struct verdict_track *t)
{
	return o->there && o->call == t->call && o->score == (float)t->score &&
	       o->source_regions == t->source_regions && o->packets == t->packets &&
	       o->prior == t->prior && o->own_score == t->own_score &&
	       o->evidence.member == t->member && o->evidence.sits == t->sits &&
	       o->taught == t->teaches && o->held == t->held &&
	       same_double(o->log_claimed, t->log_claimed, t->scored) &&
	       same_double(o->log_alternative, t->log_alternative, t->scored) &&
	       same_double(o->log_path, t->log_path, t->path_looked);
}

/* Whether the history gets a line. */
static bool changed(const struct old *o, const struct verdict_track *t)
{
	return !o->there || o->call != t->call;
}

static uint32_t version_of(const struct store *s, unsigned family, size_t track)
{
	const struct old *o = &s->old[family][track];

	return o->version + changed(o, &s->r[family].tracks[track]);
}

static void add_verdict(const struct store *s, struct copy_out *c, unsigned family, size_t track)
{
	const struct verdict_track *t = &s->r[family].tracks[track];
	const struct verdict_source *source = &s->d->family[family].sources[t->source];
	bool fits = t->worst_sensor != VERDICT_NONE;
	char text[CAMPAIGN_MAX];

	copy_row(c, 33);
	copy_int(c, (uint32_t)s->d->date);
	copy_inet(c, verdict_day_version(family), address_of(s, family, t));
	copy_smallint(c, t->initial_ttl);
	copy_int(c, version_of(s, family, track));
	add_string(c, kinds[t->kind]);
	add_region(s->d, c, source->region);
	if (source->listing == VERDICT_LISTED)
		add_holder(s->d, c, source->holder);
	else
		copy_null(c);
	copy_bigint(c, stored_signature(s->d, t->signature));
	add_string(c, calls[t->call]);
	copy_real(c, t->score);
	copy_smallint(c, t->regions);
	copy_smallint(c, t->source_regions);
	copy_smallint(c, t->sensors);
	copy_bigint(c, t->packets);
	add_double(c, t->log_claimed, t->scored);
	add_double(c, t->log_alternative, t->scored);
	add_double(c, t->log_path, t->path_looked);
	copy_double(c, t->prior);
	copy_double(c, t->own_score);
	copy_double(c, t->member);
	copy_double(c, t->sits);
	add_double(c, t->log_campaign, t->mixture > 0);
	copy_double(c, t->mixture);
	if (fits) {
		copy_real(c, t->common_offset);
		copy_int(c, stored_sensor(s->d, t->worst_sensor));
		copy_real(c, t->worst_hops);
		copy_real(c, t->worst_expected);
	} else {
		for (unsigned i = 0; i < 4; i++)
			copy_null(c);
	}
	if (t->campaign != UINT32_MAX) {
		campaign_name(s->d, &s->r[family], family, t->campaign, text);
		add_string(c, text);
	} else if (t->carried) {
		add_string(c, intern_key(&s->names, s->old[family][track].campaign));
	} else {
		copy_null(c);
	}
	copy_bool(c, t->second_path);
	copy_bool(c, t->teaches);
	copy_bool(c, t->held);
	add_region(s->d, c, t->nearest_region);
	copy_bigint(c, (uint64_t)s->at);
}

/* Takes the rows away that are to be written anew, and those whose tracks are no more. */
struct deletion {
	struct buf src, track; /* array literals */
	size_t n;
	int error;
};

static void delete_row(struct deletion *d, unsigned family, const uint8_t *address, unsigned track)
{
	const char *mark = d->n++ == 0 ? "{" : ",";
	char text[64];

	if (d->error == 0)
		d->error = text_add(&d->src, "%s%s", mark, address_text(family, address, text));
	if (d->error == 0)
		d->error = text_add(&d->track, "%s%u", mark, track);
}

static void delete_tracks(const struct store *s, struct deletion *d)
{
	for (size_t i = 0; i < s->gone_n; i++)
		delete_row(d, s->gone[i].family, s->gone[i].address, s->gone[i].track);
	for (unsigned family = 0; family < 2; family++) {
		for (size_t i = 0; i < s->r[family].tracks_n; i++) {
			const struct verdict_track *t = &s->r[family].tracks[i];

			if (s->old[family][i].there && !same(&s->old[family][i], t))
				delete_row(d, family, address_of(s, family, t), t->initial_ttl);
		}
	}
}

static int delete_old(const struct store *s)
{
	static const char sql[] =
		"DELETE FROM hirundo.verdict v USING unnest($2::inet[], $3::smallint[]) AS u (src, "
		"track) WHERE v.day = $1 AND v.src = u.src AND v.track = u.track";
	/* The planner is not to see the array: it would weigh each of its elements. */
	static const char part_sql[] =
		"DELETE FROM hirundo.verdict v USING unnest($2::inet[], $3::smallint[]) AS u (src, "
		"track) WHERE v.day = $1 AND v.src = ANY ((SELECT $2::inet[])::inet[]) AND v.src = "
		"u.src AND v.track = u.track";
	struct deletion d = {0};
	const char *values[3] = {s->day};
	int e;

	buf_init(&d.src, ARRAY_MAX);
	buf_init(&d.track, ARRAY_MAX);
	delete_tracks(s, &d);
	e = d.error;
	if (e == 0)
		e = text_add(&d.src, "}");
	if (e == 0)
		e = text_add(&d.track, "}");
	values[1] = text_str(&d.src);
	values[2] = text_str(&d.track);
	if (e == 0 && d.n > 0)
		e = copy_run(s->conn, s->d->part ? part_sql : sql, ARRAY_SIZE(values), values);
	buf_done(&d.src);
	buf_done(&d.track);
	return e;
}

/* Most of the whole day's rows change when profiles do: then all are written anew. */
static bool mostly_new(const struct store *s)
{
	size_t n = s->gone_n;

	for (unsigned family = 0; family < 2; family++)
		for (size_t i = 0; i < s->r[family].tracks_n; i++)
			n += s->old[family][i].there &&
			     !same(&s->old[family][i], &s->r[family].tracks[i]);
	return !s->d->part && 2 * n > s->old_n;
}

static int write_verdicts(const struct store *s, uint64_t *ret_written)
{
	struct copy_out c;
	bool all = mostly_new(s);
	int e = all ? copy_run(s->conn, "DELETE FROM hirundo.verdict WHERE day = $1", 1, &s->day)
		    : delete_old(s);

	*ret_written = 0;
	if (e < 0)
		return e;
	copy_begin(&c, s->conn,
		"COPY hirundo.verdict (day, src, track, version, kind, src_region, holder,"
		" signature, verdict, score, regions_seen, source_regions, sensors_seen, packets,"
		" log_claimed, log_alternative, log_second_path, prior, own_score, member, sits,"
		" log_campaign, mixture, common_offset, worst_sensor, worst_hops, worst_expected,"
		" campaign, second_path, taught, held, nearest_region, model_at) FROM STDIN"
		" (FORMAT binary)");
	for (unsigned family = 0; family < 2; family++) {
		for (size_t i = 0; i < s->r[family].tracks_n; i++) {
			if (!all && same(&s->old[family][i], &s->r[family].tracks[i]))
				continue;
			add_verdict(s, &c, family, i);
			++*ret_written;
		}
	}
	return copy_end(&c);
}

static void add_change(const struct store *s, struct copy_out *c, unsigned family,
	const uint8_t *address, unsigned track, uint32_t version, const struct verdict_track *t)
{
	copy_row(c, 7);
	copy_int(c, (uint32_t)s->d->date);
	copy_inet(c, verdict_day_version(family), address);
	copy_smallint(c, track);
	copy_int(c, version);
	if (t) {
		add_string(c, calls[t->call]);
		copy_real(c, t->score);
	} else {
		copy_null(c);
		copy_null(c);
	}
	copy_bigint(c, (uint64_t)s->at);
}

/* A line where the verdict of a track appears, changes or goes away. */
static int write_history(const struct store *s)
{
	struct copy_out c;

	copy_begin(&c, s->conn,
		"COPY hirundo.verdict_history (day, src, track, version, verdict, score, model_at)"
		" FROM STDIN (FORMAT binary)");
	for (size_t i = 0; i < s->gone_n; i++)
		add_change(s, &c, s->gone[i].family, s->gone[i].address, s->gone[i].track,
			s->gone[i].version + 1, NULL);
	for (unsigned family = 0; family < 2; family++) {
		for (size_t i = 0; i < s->r[family].tracks_n; i++) {
			const struct verdict_track *t = &s->r[family].tracks[i];

			if (changed(&s->old[family][i], t))
				add_change(s, &c, family, address_of(s, family, t), t->initial_ttl,
					version_of(s, family, i), t);
		}
	}
	return copy_end(&c);
}

/* --- all of it
 * -----------------------------------------------------------------------------------------------
 */

static void count(const struct store *s, struct verdict_counts *ret)
{
	ret->packets = s->d->packets;
	for (unsigned family = 0; family < 2; family++) {
		const struct verdict_result *r = &s->r[family];

		ret->sources += s->d->family[family].addresses.n;
		ret->tracks += r->tracks_n;
		ret->teachers += r->teachers;
		ret->campaigns += r->campaigns_n;
		for (size_t i = 0; i < r->tracks_n; i++) {
			ret->genuine += r->tracks[i].call == VERDICT_GENUINE;
			ret->spoofed += r->tracks[i].call == VERDICT_SPOOFED;
			ret->undetermined += r->tracks[i].call == VERDICT_UNDETERMINED;
			ret->held += r->tracks[i].held;
		}
	}
}

/* Of a part: what the whole day showed of these tracks, and what it learned from, holds. */
static void carry(struct store *s, const struct verdict_params *p)
{
	for (unsigned family = 0; family < 2; family++) {
		struct verdict_result *r = &s->r[family];

		for (size_t i = 0; i < r->tracks_n; i++) {
			const struct old *o = &s->old[family][i];

			if (o->there)
				verdict_carry(&s->d->family[family].in, p, r, i, &o->evidence);
			r->tracks[i].teaches = o->taught;
		}
	}
}

int verdict_store(PGconn *conn, const struct verdict_day *d, const struct verdict_params *p,
	struct verdict_result r[2], const char *day, int64_t at, struct verdict_counts *ret,
	struct verdict_counts *ret_was)
{
	struct store s = {.conn = conn, .d = d, .r = r, .day = day, .at = at};
	struct verdict_counts counts = {0};
	int e = load_old(&s);

	if (e == 0 && d->part)
		carry(&s, p);
	if (e == 0)
		e = load_earlier(&s);
	for (unsigned family = 0; e == 0 && family < 2; family++)
		if (verdict_hold(&d->family[family].in, &r[family], s.genuine[family]) == SIZE_MAX)
			e = -ENOMEM;
	if (e == 0 && !d->part)
		e = store_profiles(conn, d, r, day);
	if (e == 0)
		e = store_campaigns(conn, d, r, day);
	if (e == 0)
		e = write_history(&s);
	if (e == 0)
		e = write_verdicts(&s, &counts.written);
	if (e == 0) {
		count(&s, &counts);
		*ret = counts;
		*ret_was = s.was;
	}
	for (unsigned family = 0; family < 2; family++) {
		free(s.old[family]);
		free(s.genuine[family]);
		free(s.first[family]);
		free(s.known[family]);
	}
	intern_done(&s.names);
	free(s.gone);
	return e;
}
