/* The detector's core, against numbers made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/verdict/density.h"
#include "collector/verdict/verdict.h"

#define ROWS_MAX 60000u
#define SENSORS_MAX 10u

/* A day that tests fill row by row; sources in the order of their first row. */
struct day {
	struct verdict_row rows[ROWS_MAX];
	struct verdict_source sources[ROWS_MAX];
	uint16_t sensor_region[SENSORS_MAX];
	bool response[64];
	struct verdict_input in;
	struct verdict_result r;
};

static struct day day;

/* sensors_n sensors in regions 0, 1, 2, ...; a region for each and 10 more. */
static void begin(uint16_t sensors_n)
{
	memset(&day, 0, sizeof(day));
	for (uint16_t s = 0; s < sensors_n; s++)
		day.sensor_region[s] = s;
	day.in = (struct verdict_input){
		.rows = day.rows,
		.sources = day.sources,
		.sensor_region = day.sensor_region,
		.sensors_n = sensors_n,
		.signature_response = day.response,
		.signatures_n = 64,
		.holders_n = 5000,
		.regions_n = (uint16_t)(sensors_n + 10),
	};
}

static uint32_t add_source(uint16_t region, uint32_t holder)
{
	day.sources[day.in.sources_n] = (struct verdict_source){.holder = holder, .region = region};
	return day.in.sources_n++;
}

static void add(uint16_t sensor, uint32_t signature, uint8_t ttl, uint64_t packets)
{
	assert_true(day.in.rows_n < ROWS_MAX);
	day.rows[day.in.rows_n++] = (struct verdict_row){
		.packets = packets,
		.source = day.in.sources_n - 1,
		.signature = signature,
		.sensor = sensor,
		.ttl = ttl,
	};
}

static void run(void)
{
	assert_int_equal(verdict_sort(day.rows, day.in.rows_n, day.in.sources_n, NULL), 0);
	assert_int_equal(verdict_run(&day.in, &verdict_params, &day.r), 0);
}

static void end(void)
{
	verdict_done(&day.r);
}

/* Numbers that look random and are the same everywhere. */
static uint32_t draw(uint32_t n)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % n;
}

/* One sensor: the offset and the hop are one normal variable of variance 1 + tau^2. */
static void test_density_of_one(void **state)
{
	struct density s = {0};

	(void)state;
	density_add(&s, 3, 4);
	/* -ln(2 pi 13) / 2 - 9 / 26 */
	assert_true(fabs(density_log(&s, 3) - -2.5475671) < 1e-6);
	/* 3 shrunk by 9 / 13 */
	assert_true(fabs(density_offset(&s, 3) - 27.0 / 13) < 1e-12);
}

/* Two sensors, variance 1, tau 1: covariance {{2, 1}, {1, 2}}, determinant 3. */
static void test_density_of_two(void **state)
{
	struct density s = {0};

	(void)state;
	density_add(&s, 2, 1);
	density_add(&s, -1, 1);
	/* quadratic form (2 4 + 2 2 + 2 1) / 3 = 14 / 3; -ln(2 pi) - ln(3) / 2 - 7 / 3 */
	assert_true(fabs(density_log(&s, 1) - -4.7205166) < 1e-6);
}

/* One sensor far off counts little where routes may be others; with no tails it is the same as the
 * closed form. */
static void test_tails(void **state)
{
	struct deviation v[] = {{0.5, 2}, {-0.5, 2}, {12, 2}};
	struct density s = {0};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		density_add(&s, v[i].hops, v[i].variance);
	assert_true(fabs(tails_log(v, 3, 2.5, 0, 36) - density_log(&s, 2.5)) < 1e-3);
	assert_true(tails_log(v, 3, 2.5, 0.05, 36) > density_log(&s, 2.5) + 10);
	assert_true(tails_log(v, 2, 2.5, 0.05, 36) < tails_log(v, 2, 2.5, 0, 36));
}

static void test_median(void **state)
{
	double odd[] = {3, -1, 2}, even[] = {4, 1, 3, 2}, many[101];

	(void)state;
	for (unsigned i = 0; i < 101; i++)
		many[i] = (i * 37) % 101;
	assert_true(median(odd, 3) == 2);
	assert_true(median(even, 4) == 2.5);
	assert_true(median(many, 101) == 50);
}

static void test_tracks(void **state)
{
	const struct verdict_track *t;
	const struct verdict_hop *h;

	(void)state;
	begin(3);
	add_source(0, 0);
	add(0, 1, 50, 2); /* hops 14, 14, 13 */
	add(0, 2, 51, 1);
	add_source(0, 0);
	add(0, 1, 50, 1); /* 64 - 14 and 128 - 15: two systems behind one address */
	add(0, 1, 113, 3);
	add_source(0, 0);
	add(0, 1, 50, 3); /* 64 - 14 and 128 - 28: two senders */
	add(0, 2, 100, 4);
	add_source(0, 0);
	add(0, 1, 43, 1); /* nmap */
	add(0, 1, 50, 1);
	add(0, 1, 55, 1);
	add(0, 1, 39, 1);
	add_source(0, 0);
	add(0, 1, 10, 1); /* anything */
	add(0, 1, 70, 1);
	add(0, 1, 99, 1);
	add(0, 1, 122, 1);
	run();
	assert_int_equal(day.r.tracks_n, 6);
	t = day.r.tracks;
	h = day.r.hops;
	assert_int_equal(t[0].kind, VERDICT_FIXED);
	assert_int_equal(t[0].packets, 3);
	assert_int_equal(t[0].signature, 1);
	assert_true(h[t[0].hops].hops == 14);
	assert_true(fabs(h[t[0].hops].variance - 2.0 / 9) < 1e-12);
	assert_int_equal(t[1].kind, VERDICT_FIXED);
	assert_true(h[t[1].hops].hops == 15);
	/* mean 14.75: (1 x 0.75^2 + 3 x 0.25^2) / 4 */
	assert_true(fabs(h[t[1].hops].variance - 0.1875) < 1e-12);
	assert_int_equal(h[t[1].hops].classes, 6);
	assert_int_equal(t[2].kind, VERDICT_SPLIT);
	assert_int_equal(t[2].initial_ttl, 64);
	assert_int_equal(t[2].signature, 1);
	assert_int_equal(t[3].initial_ttl, 128);
	assert_int_equal(t[3].signature, 2);
	assert_true(h[t[3].hops].hops == 28);
	assert_int_equal(t[4].kind, VERDICT_NMAP);
	assert_true(fabs(h[t[4].hops].hops - 1.25) < 1e-12);
	assert_true(h[t[4].hops].variance == 44);
	assert_int_equal(t[5].kind, VERDICT_RANDOM);
	assert_true(fabs(h[t[5].hops].hops - -75.25) < 1e-12);
	end();
}

/* What needs no profile, and what can not be judged without one. */
static void test_no_profile(void **state)
{
	const struct verdict_track *t;

	(void)state;
	begin(1);
	run(); /* an empty day */
	assert_int_equal(day.r.tracks_n, 0);
	end();
	begin(1);
	add_source(0, 0);
	add(0, 0, 50, 10);
	add_source(VERDICT_NONE, 1);
	add(0, 0, 50, 10);
	add_source(VERDICT_NONE, 0);
	day.sources[2].listing = VERDICT_UNLISTED;
	add(0, 0, 0, 1);
	add_source(0, 0);
	day.sources[3].listing = VERDICT_BOGON;
	add(0, 0, 255, UINT64_C(1) << 40);
	run();
	t = day.r.tracks;
	assert_int_equal(day.r.tracks_n, 4);
	assert_int_equal(t[0].call, VERDICT_UNDETERMINED);
	assert_int_equal(t[1].call, VERDICT_UNDETERMINED);
	assert_int_equal(t[2].call, VERDICT_SPOOFED);
	assert_int_equal(t[2].kind, VERDICT_KIND_UNLISTED);
	assert_true(t[2].score == -3);
	assert_int_equal(t[3].kind, VERDICT_KIND_BOGON);
	assert_int_equal(t[3].call, VERDICT_SPOOFED);
	assert_int_equal(t[3].packets, UINT64_C(1) << 40);
	end();
}

static void test_absurd_ttls(void **state)
{
	(void)state;
	begin(5);
	for (unsigned i = 0; i < 2000; i++) {
		add_source((uint16_t)(i % 15), i % 300);
		for (uint16_t s = 0; s < 5; s++)
			add(s, i % 7, i % 2 ? 0 : 255, 1 + i % 3);
	}
	run();
	for (size_t i = 0; i < day.r.tracks_n; i++)
		assert_true(isfinite(day.r.tracks[i].score));
	end();
}

/* Hops that an ordinary world shows: 12 holders a region, 3 sources and 3 tools each; a holder has
 * its own offset, the own region is 7 hops nearer. */
static const int sensor_mean[SENSORS_MAX] = {16, 18, 15, 17, 19, 14, 16, 20, 15, 17};

static void add_world(uint16_t regions_n)
{
	for (uint16_t region = 0; region < regions_n; region++) {
		for (uint32_t holder = 0; holder < 12; holder++) {
			int offset = (int)draw(5) - 2;

			for (uint32_t i = 0; i < 3; i++) {
				add_source(region, region * 12u + holder);
				for (uint16_t s = 0; s < day.in.sensors_n; s++)
					add(s, i,
						(uint8_t)(64 - sensor_mean[s] - offset -
							  (region * 5 + s * 3) % 4 +
							  (region == s ? 7 : 0) - (int)draw(2)),
						1);
			}
		}
	}
}

/* The table of the TSUBAME report: TTL ranges of 310 sources of one JP holder at ten sensors. */
static const struct {
	uint8_t low, high;
} table[SENSORS_MAX] = {
	{243, 249}, /* JP */
	{234, 238}, /* AU */
	{240, 243}, /* BN */
	{235, 239}, /* GH */
	{235, 239}, /* HK */
	{235, 236}, /* KR */
	{237, 241}, /* LK */
	{230, 233}, /* MA */
	{244, 246}, /* MY */
	{232, 242}, /* TW */
};

static void add_table(uint32_t signature, unsigned sources)
{
	for (unsigned i = 0; i < sources; i++) {
		add_source(0, 4000);
		for (uint16_t s = 0; s < SENSORS_MAX; s++)
			add(s, signature,
				(uint8_t)(table[s].low + draw(table[s].high - table[s].low + 1u)),
				1);
	}
}

static void test_published_table(void **state)
{
	unsigned calls[3] = {0};
	size_t first;

	(void)state;
	begin(10);
	add_table(9, 310);
	run(); /* alone it proves nothing */
	for (size_t i = 0; i < day.r.tracks_n; i++)
		assert_int_equal(day.r.tracks[i].call, VERDICT_UNDETERMINED);
	end();
	begin(10);
	add_world(20);
	add_table(8, 5); /* other tools of the holder */
	add_table(7, 5);
	first = day.in.sources_n;
	add_table(9, 310);
	run();
	for (size_t i = 0; i < day.r.tracks_n; i++)
		if (day.r.tracks[i].source >= first)
			calls[day.r.tracks[i].call]++;
	assert_true(calls[VERDICT_GENUINE] >= 295); /* 95 % */
	assert_int_equal(calls[VERDICT_SPOOFED], 0);
	end();
}

/* One machine that claims everybody's addresses, a packet each, at two of ten sensors. */
static void test_campaign(void **state)
{
	size_t first, spoofed = 0, wrong = 0;

	(void)state;
	begin(10);
	add_world(20);
	first = day.in.sources_n;
	for (unsigned i = 0; i < 600; i++) {
		add_source((uint16_t)(i % 20), i % 240);
		add((uint16_t)(i % 2), 30, i % 2 ? 50 : 53, 1);
	}
	run();
	for (size_t i = 0; i < day.r.tracks_n; i++) {
		const struct verdict_track *t = &day.r.tracks[i];

		spoofed += t->source >= first && t->call == VERDICT_SPOOFED;
		wrong += t->source < first && t->call == VERDICT_SPOOFED;
	}
	assert_int_equal(day.r.campaigns_n, 1);
	assert_int_equal(day.r.campaigns[0].signature, 30);
	assert_int_equal(day.r.campaigns[0].initial_ttl, 64);
	assert_int_equal(day.r.campaigns[0].sources, 600);
	assert_int_equal(day.r.campaigns[0].holders, 240);
	assert_int_equal(day.r.cells_n, 2);
	assert_int_equal(day.r.cells[0].hops, 11);
	assert_int_equal(day.r.cells[1].hops, 14);
	assert_int_equal(spoofed, 600);
	assert_int_equal(wrong, 0);
	end();
	/* The same as answers to forged packets is what a content network looks like. */
	day.response[30] = true;
	assert_int_equal(verdict_run(&day.in, &verdict_params, &day.r), 0);
	assert_int_equal(day.r.campaigns_n, 0);
	end();
}

/* Sources of signature 41, from 10:00 to 10:30, each seen by three of ten sensors.
 * @param away  hops more than what the claimed region shows at each sensor */
static void add_burst(unsigned n, unsigned holders, const int *away, bool wavering)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t holder = i % holders;

		add_source((uint16_t)(holder / 12), holder);
		for (unsigned k = 0; k < 3; k++) {
			uint16_t s = (uint16_t)((i + 3 * k) % 10);
			int region = (int)holder / 12;
			int hops = sensor_mean[s] + (region * 5 + s * 3) % 4 -
				   (region == s ? 7 : 0) + away[s];

			add(s, 41, (uint8_t)(64 - hops - (wavering ? (int)draw(4) - 1 : 0)), 1);
			day.rows[day.in.rows_n - 1].first_s = 36000 + draw(1800);
			day.rows[day.in.rows_n - 1].last_s = day.rows[day.in.rows_n - 1].first_s;
		}
	}
}

static size_t burst_spoofed(size_t first)
{
	size_t spoofed = 0;

	for (size_t i = 0; i < day.r.tracks_n; i++)
		spoofed +=
			day.r.tracks[i].source >= first && day.r.tracks[i].call == VERDICT_SPOOFED;
	return spoofed;
}

/* One machine in the name of very many: what stands out of the sensors' cells is it, too. */
static void test_machine_is_listed_once(void **state)
{
	size_t first, spoofed;

	(void)state;
	begin(10);
	add_world(20);
	first = day.in.sources_n;
	for (unsigned i = 0; i < 600; i++) {
		add_source((uint16_t)(i % 20), i % 240);
		for (unsigned k = 0; k < 3; k++) {
			uint16_t s = (uint16_t)((i + 3 * k) % 10);

			add(s, 41, (uint8_t)(46 - s * 7 % 9), 1);
			day.rows[day.in.rows_n - 1].first_s = 36000 + draw(1800);
			day.rows[day.in.rows_n - 1].last_s = day.rows[day.in.rows_n - 1].first_s;
		}
	}
	/* Too few for a sender; they name what stands out in the cells. */
	for (unsigned i = 0; i < 6; i++) {
		add_source((uint16_t)(i % 20), i % 240);
		add((uint16_t)(i % 10), 41, (uint8_t)(46 - i % 10 * 7 % 9), 1);
		day.rows[day.in.rows_n - 1].first_s = 70000 + draw(10000);
		day.rows[day.in.rows_n - 1].last_s = day.rows[day.in.rows_n - 1].first_s;
	}
	run();
	spoofed = burst_spoofed(first);
	assert_true(spoofed >= 590);
	for (size_t i = 0; i < day.r.tracks_n; i++)
		if (day.r.tracks[i].source >= first && day.r.tracks[i].call == VERDICT_SPOOFED)
			assert_int_equal(day.r.tracks[i].campaign, 0);
	assert_int_equal(day.r.campaigns_n, 1);
	assert_int_equal(day.r.campaigns[0].sources, 600);
	end();
}

/* Many sources of one holder, by one machine: at its place or at another. */
static void test_sender(void **state)
{
	static const int there[SENSORS_MAX] = {0},
			 elsewhere[SENSORS_MAX] = {3, -2, 3, -3, -2, 3, -3, 2, 3, -3};
	size_t first;

	(void)state;
	begin(10);
	add_world(20);
	first = day.in.sources_n;
	add_burst(40, 1, elsewhere, false);
	run();
	assert_int_equal(burst_spoofed(first), 40);
	for (size_t i = 0; i < day.r.tracks_n; i++)
		if (day.r.tracks[i].source >= first) {
			assert_true(day.r.tracks[i].member > 0.9);
			assert_true(day.r.tracks[i].sits < -1);
			assert_int_equal(day.r.tracks[i].campaign, 0);
		}
	assert_int_equal(day.r.campaigns_n, 1);
	assert_int_equal(day.r.campaigns[0].signature, 41);
	assert_int_equal(day.r.campaigns[0].sources, 40);
	assert_int_equal(day.r.campaigns[0].holders, 1);
	assert_int_equal(day.r.campaigns[0].packets, 120);
	assert_true(day.r.campaigns[0].first_s >= 36000 && day.r.campaigns[0].last_s < 37800);
	assert_int_equal(day.r.cells_n, 10);
	end();
	begin(10);
	add_world(20);
	first = day.in.sources_n;
	add_burst(40, 1, there, false);
	run();
	assert_int_equal(burst_spoofed(first), 0);
	end();
}

/* Bots that begin together, each where it says: the time alone proves nothing. */
static void test_herd(void **state)
{
	static const int there[SENSORS_MAX] = {0};
	size_t first;

	(void)state;
	begin(10);
	add_world(20);
	first = day.in.sources_n;
	add_burst(100, 100, there, true);
	run();
	assert_int_equal(burst_spoofed(first), 0);
	end();
}

/* A small Internet where all holders of a region are equally far away and use the same tools: alike
 * as one machine's packets, and still theirs. One that claims another region is found. */
static void test_neighbours(void **state)
{
	static const int ways[3][3] = {{4, 11, 7}, {10, 3, 11}, {5, 10, 2}};
	uint32_t forged;
	size_t genuine = 0, spoofed = 0;

	(void)state;
	begin(3);
	for (uint16_t i = 0; i < 3 * 12 * 3; i++) {
		add_source(i / 36, i / 3);
		for (uint16_t s = 0; s < 3; s++)
			add(s, i % 3, (uint8_t)(64 - ways[i / 36][s]), 2);
	}
	forged = add_source(0, 5);
	for (uint16_t s = 0; s < 3; s++)
		add(s, 0, (uint8_t)(64 - ways[2][s]), 5);
	run();
	for (size_t i = 0; i < day.r.tracks_n; i++) {
		genuine += day.r.tracks[i].call == VERDICT_GENUINE;
		spoofed += day.r.tracks[i].call == VERDICT_SPOOFED;
		if (day.r.tracks[i].call == VERDICT_SPOOFED)
			assert_int_equal(day.r.tracks[i].source, forged);
	}
	assert_int_equal(spoofed, 1);
	assert_true(genuine >= 90);
	end();
}

/* One region is not enough for a score between the stricter thresholds. */
static void test_one_region(void **state)
{
	size_t one = 0;

	(void)state;
	begin(10);
	day.sensor_region[1] = 0; /* two sensors there */
	add_world(20);
	for (unsigned i = 0; i < 240; i++) {
		add_source((uint16_t)(i % 20), i % 240);
		add(i % 2, 40 + i % 20, (uint8_t)(40 + draw(14)), 3);
	}
	run();
	for (size_t i = 0; i < day.r.tracks_n; i++) {
		const struct verdict_track *t = &day.r.tracks[i];

		if (t->regions > 1)
			continue;
		one++;
		assert_int_equal(t->call,
			t->score >= 1 ? VERDICT_GENUINE
			: t->score <= (t->member > 0.5 || t->kind == VERDICT_RANDOM ? -1 : -2)
				? VERDICT_SPOOFED
				: VERDICT_UNDETERMINED);
	}
	assert_int_equal(one, 240);
	end();
}

/* Votes of yesterday tell what a poor day can not. */
static void test_history(void **state)
{
	static double sensor_mean_[2] = {15, 15}, sensor_votes[2] = {50, 50};
	static double region_mean[2 * 12], region_holders[2 * 12];
	const struct verdict_vote votes[] = {
		{.mean = 0.5, .votes = 9, .holder = 7, .sensor = 0},
		{.mean = 1, .votes = 9, .holder = 7, .sensor = VERDICT_NONE},
	};
	const struct verdict_history history = {
		.sensor_mean = sensor_mean_,
		.sensor_votes = sensor_votes,
		.region_mean = region_mean,
		.region_holders = region_holders,
		.votes = votes,
		.votes_n = 2,
	};

	(void)state;
	begin(2);
	region_mean[5 * 2] = 12;
	region_mean[5 * 2 + 1] = 18;
	region_holders[5 * 2] = region_holders[5 * 2 + 1] = 8;
	add_source(5, 7);
	add(0, 1, 64 - 13, 1);
	add(1, 1, 64 - 19, 1);
	add_source(5, 7);
	add(0, 1, 64 - 20, 1);
	add(1, 1, 64 - 9, 1);
	run();
	assert_int_equal(day.r.tracks[0].call, VERDICT_UNDETERMINED);
	assert_int_equal(day.r.tracks[1].call, VERDICT_UNDETERMINED);
	end();
	day.in.history = &history;
	assert_int_equal(verdict_run(&day.in, &verdict_params, &day.r), 0);
	assert_true(day.r.tracks[0].score > 0.5);
	assert_int_equal(day.r.tracks[0].call, VERDICT_GENUINE);
	assert_true(day.r.tracks[1].score < -1);
	assert_int_equal(day.r.tracks[1].call, VERDICT_SPOOFED);
	end();
}

static void test_prevalence(void **state)
{
	struct verdict_params p = verdict_params;

	(void)state;
	verdict_set_prevalence(&p, 0.5);
	assert_true(p.spoofed == -1 && p.genuine == 0.5);
	verdict_set_prevalence(&p, 1.0 / 11); /* 10 : 1 */
	assert_true(fabs(p.spoofed - -2) < 1e-12 && fabs(p.spoofed_one_region - -3) < 1e-12);
	assert_true(p.genuine == 0.5);
	p = verdict_params;
	verdict_set_prevalence(&p, 10.0 / 11);
	assert_true(p.spoofed == -1 && fabs(p.genuine - 1.5) < 1e-12);
	assert_true(fabs(p.genuine_one_region - 2) < 1e-12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_density_of_one),
		cmocka_unit_test(test_density_of_two),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_median),
		cmocka_unit_test(test_tracks),
		cmocka_unit_test(test_no_profile),
		cmocka_unit_test(test_absurd_ttls),
		cmocka_unit_test(test_published_table),
		cmocka_unit_test(test_campaign),
		cmocka_unit_test(test_machine_is_listed_once),
		cmocka_unit_test(test_sender),
		cmocka_unit_test(test_herd),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_one_region),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_prevalence),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
