/* A path that changed for a whole holder: cables are cut, upstreams change. Its sources then look
 * forged all at once, whatever tool they use; who forges uses few tools. */
#include <errno.h>

#include "collector/verdict/grow.h"
#include "collector/verdict/order.h"
#include "collector/verdict/verdict.h"

/* Sources with as many different signatures that turned, and the share of those that were genuine
 * before, from which on the path is what changed. */
#define TURNED_MIN 3
#define TURNED_SIGNATURES 3

static bool turned(const struct verdict_track *t)
{
	return t->call == VERDICT_SPOOFED && t->scored && t->sensors >= 2 &&
	       t->campaign == UINT32_MAX && !t->carried;
}

/* Tracks of one holder that turned, and their distinct signatures. */
struct turn {
	size_t tracks, signatures;
};

/* @param keys  tracks by holder, signature; from i on those of a holder
 * @return behind them */
static size_t count_turned(const struct verdict_result *r, const struct keyed *keys, size_t i,
	size_t n, struct turn *ret)
{
	size_t end;
	uint64_t last = UINT64_MAX;

	*ret = (struct turn){0};
	for (end = i; end < n && keys[end].key >> 32 == keys[i].key >> 32; end++) {
		if (!turned(&r->tracks[keys[end].value]))
			continue;
		ret->tracks++;
		ret->signatures += keys[end].key != last;
		last = keys[end].key;
	}
	return end;
}

static bool enough(const struct turn *t)
{
	return t->tracks >= TURNED_MIN && t->signatures >= TURNED_SIGNATURES;
}

static struct keyed key_of(const struct verdict_input *in, const struct verdict_result *r, size_t i)
{
	return (struct keyed){
		.key = (uint64_t)in->sources[r->tracks[i].source].holder << 32 |
		       r->tracks[i].signature,
		.value = (uint32_t)i,
	};
}

int verdict_hold_ask(const struct verdict_input *in, const struct verdict_result *r, bool *ret)
{
	AUTO_FREE struct keyed *keys = zeroed(r->tracks_n, sizeof(*keys));
	AUTO_FREE bool *asked = zeroed(in->holders_n, sizeof(*asked)); /* [holder] */
	size_t n = 0;

	if (!keys || !asked)
		return -ENOMEM;
	for (size_t i = 0; i < r->tracks_n; i++)
		if (turned(&r->tracks[i]))
			keys[n++] = key_of(in, r, i);
	if (order_keyed(keys, n) < 0)
		return -ENOMEM;
	for (size_t i = 0, end; i < n; i = end) {
		struct turn turn;

		end = count_turned(r, keys, i, n, &turn);
		asked[keys[i].key >> 32] = enough(&turn);
	}
	for (size_t i = 0; i < r->tracks_n; i++)
		ret[i] =
			r->tracks[i].sensors >= 2 && asked[in->sources[r->tracks[i].source].holder];
	return 0;
}

size_t verdict_hold(const struct verdict_input *in, struct verdict_result *r, const bool *genuine)
{
	size_t n = 0, held = 0;
	AUTO_FREE struct keyed *keys = NULL;

	for (size_t i = 0; i < r->tracks_n; i++)
		n += genuine[i];
	keys = zeroed(n, sizeof(*keys));
	if (!keys)
		return SIZE_MAX;
	n = 0;
	for (size_t i = 0; i < r->tracks_n; i++)
		if (genuine[i] && r->tracks[i].sensors >= 2)
			keys[n++] = key_of(in, r, i);
	if (order_keyed(keys, n) < 0)
		return SIZE_MAX;
	for (size_t i = 0, end; i < n; i = end) {
		struct turn turn;

		end = count_turned(r, keys, i, n, &turn);
		if (!enough(&turn) || 2 * turn.tracks < end - i)
			continue;
		for (size_t j = i; j < end; j++) {
			struct verdict_track *t = &r->tracks[keys[j].value];

			if (!turned(t))
				continue;
			t->call = VERDICT_GENUINE;
			t->held = true;
			held++;
		}
	}
	return held;
}
