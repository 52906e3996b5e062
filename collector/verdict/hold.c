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
			keys[n++] = (struct keyed){
				.key = (uint64_t)in->sources[r->tracks[i].source].holder << 32 |
				       r->tracks[i].signature,
				.value = (uint32_t)i,
			};
	if (order_keyed(keys, n) < 0)
		return SIZE_MAX;
	for (size_t i = 0, end; i < n; i = end) {
		size_t turned_n = 0, signatures = 0;
		uint64_t last = UINT64_MAX;

		for (end = i; end < n && keys[end].key >> 32 == keys[i].key >> 32; end++) {
			if (!turned(&r->tracks[keys[end].value]))
				continue;
			turned_n++;
			signatures += keys[end].key != last;
			last = keys[end].key;
		}
		if (turned_n < TURNED_MIN || signatures < TURNED_SIGNATURES ||
			2 * turned_n < end - i)
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
