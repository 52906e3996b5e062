/* A part of a day, judged by what the whole day taught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/verdict/halves.h"
#include "collector/verdict/impl.h"

#define SENSORS 6
#define REGIONS 12
#define HOLDERS 60
#define SOURCES 4000
#define SIGNATURES 8

/* Numbers that look random and are the same everywhere. */
static uint32_t draw(uint32_t n)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % n;
}

static struct verdict_row rows[SOURCES * SENSORS], part_rows[SOURCES * SENSORS];
static struct verdict_source sources[SOURCES], part_sources[SOURCES];
static const uint16_t sensor_region[SENSORS] = {0, 1, 2, 3, 4, 5};
static const bool response[SIGNATURES];

static int hops(uint32_t region, uint32_t holder, uint32_t sensor)
{
	return (int)(6 + (region * 5 + sensor * 7) % 13 + holder % 3);
}

/* A tenth of the sources claims what they are not; some holders have a second path. */
static struct verdict_input make_world(void)
{
	struct verdict_input in = {
		.rows = rows,
		.sources = sources,
		.sources_n = SOURCES,
		.sensor_region = sensor_region,
		.sensors_n = SENSORS,
		.signature_response = response,
		.signatures_n = SIGNATURES,
		.holders_n = HOLDERS,
		.regions_n = REGIONS,
	};

	for (uint32_t i = 0; i < SOURCES; i++) {
		uint32_t holder = draw(HOLDERS), sits = draw(10) == 0 ? draw(HOLDERS) : holder;
		uint32_t signature = draw(SIGNATURES), detour = sits % 4 == 0 && draw(6) == 0;
		uint32_t first = draw(80000);

		sources[i] = (struct verdict_source){
			.holder = holder, .region = (uint16_t)(holder % REGIONS)};
		for (uint32_t s = 0; s < SENSORS; s++)
			if (draw(10) < 7)
				rows[in.rows_n++] = (struct verdict_row){
					.packets = 1 + draw(3),
					.source = i,
					.signature = signature,
					.first_s = first,
					.last_s = first + draw(5000),
					.sensor = (uint16_t)s,
					.ttl = (uint8_t)(64 - hops(sits % REGIONS, sits, s) -
							 (int)(detour * (s % 2) * 6) -
							 (int)draw(2)),
				};
	}
	return in;
}

/* Of so many sources, the first belongs to the part. */
static struct verdict_input make_part(
	const struct verdict_input *in, const struct verdict_profile *learned, uint32_t every)
{
	struct verdict_input part = *in;

	part.rows = part_rows;
	part.sources = part_sources;
	part.rows_n = part.sources_n = 0;
	part.learned = learned;
	for (size_t i = 0, end; i < in->rows_n; i = end) {
		bool wanted = in->rows[i].source % every == 0;

		for (end = i; end < in->rows_n && in->rows[end].source == in->rows[i].source;
			end++) {
			part_rows[part.rows_n] = in->rows[end];
			part_rows[part.rows_n].source = part.sources_n;
			part.rows_n += wanted;
		}
		part_sources[part.sources_n] = in->sources[in->rows[i].source];
		part.sources_n += wanted;
	}
	return part;
}

/* Densities depend on the profiles alone, whichever sources are judged. */
static void test_as_in_the_whole(void **state)
{
	struct verdict_input in = make_world(), part;
	struct verdict_result whole, r;
	size_t same = 0;

	(void)state;
	assert_int_equal(verdict_run(&in, &verdict_params, &whole), 0);
	part = make_part(&in, &whole.profile, 3);
	assert_int_equal(verdict_run(&part, &verdict_params, &r), 0);
	for (size_t i = 0, at = 0; i < r.tracks_n; i++) {
		const struct verdict_track *t = &r.tracks[i], *w;

		while (whole.tracks[at].source % 3 != 0)
			at++;
		w = &whole.tracks[at++];
		assert_memory_equal(
			&sources[w->source], &part_sources[t->source], sizeof(*sources));
		assert_int_equal(t->packets, w->packets);
		assert_true(t->scored && t->log_claimed == w->log_claimed);
		if (t->mixture > 0 || w->mixture > 0)
			continue;
		assert_true(t->log_alternative == w->log_alternative);
		same++;
	}
	assert_true(same > 900);
	verdict_done(&r);
	verdict_done(&whole);
}

/* Suspects are compared with those that are none by the first pass, and with no others. */
static void test_second_pass(void **state)
{
	struct verdict_input in = make_world(), part;
	struct verdict_result whole, r;
	struct detector d = {.in = &part, .p = &verdict_params, .r = &r};
	size_t looked = 0;

	(void)state;
	assert_int_equal(verdict_run(&in, &verdict_params, &whole), 0);
	part = make_part(&in, &whole.profile, 2);
	assert_int_equal(verdict_run(&part, &verdict_params, &r), 0);
	assert_int_equal(holder_learn(&d), 0);
	for (size_t i = 0; i < r.tracks_n; i++) {
		const struct verdict_track *t = &r.tracks[i];
		double log_path;

		if (!t->suspect)
			continue;
		looked++;
		assert_int_equal(path_density(&d, t, &log_path), t->path_looked);
		assert_true(!t->path_looked || log_path == t->log_path);
	}
	assert_true(looked > 50);
	holder_done(&d.holders);
	verdict_done(&r);
	verdict_done(&whole);
}

struct rounds {
	unsigned times[1000], of[2];
};

static void count_rounds(void *arg, unsigned half, size_t from, size_t end)
{
	struct rounds *r = arg;

	r->of[half] += end > from;
	for (size_t i = from; i < end; i++)
		r->times[i]++;
}

static void test_halves(void **state)
{
	static const size_t counts[] = {0, 1, 2, 31, 32, 33, 999, 1000};

	(void)state;
	for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
		struct rounds r = {0};

		in_halves(counts[c], count_rounds, &r);
		for (size_t i = 0; i < 1000; i++)
			assert_int_equal(r.times[i], i < counts[c]);
		assert_int_equal(r.of[0], counts[c] >= 2);
		assert_int_equal(r.of[1], counts[c] >= 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_in_the_whole),
		cmocka_unit_test(test_second_pass),
		cmocka_unit_test(test_halves),
	};

	return cmocka_run_group_tests_name("verdict_part", tests, NULL, NULL);
}
