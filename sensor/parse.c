#include "sensor/parse.h"

#include "sensor/parse_layers.h"

const char *parse_res_str(enum parse_res r)
{
	static const char *const names[PARSE_RES_N] = {[PARSE_OK] = "ok",
#define X(NAME, name) [PARSE_##NAME] = name,
		PARSE_REASONS(X)
#undef X
	};

	return (size_t)r < ARRAY_SIZE(names) ? names[r] : "?";
}

enum parse_res parse_packet(
	int dlt, const uint8_t *data, size_t captured, size_t wire, struct packet *ret)
{
	/* Some writers of captures state fewer bytes on the wire than they captured. */
	struct slice s = {bytes_of(data, captured), wire > captured ? wire : captured};
	enum network network = NETWORK_NONE;
	enum parse_res r = parse_link(dlt, &s, &network);

	if (r != PARSE_OK)
		return r;
	return parse_network(s, network, ret);
}
