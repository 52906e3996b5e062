#include "sensor/hello.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"
#include "sensor/spool.h"
#include "sensor/targets.h"

static uint64_t boot_hash(void)
{
	char id[37] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */

	if (!f)
		return 0;
	if (!fgets(id, sizeof(id), f))
		id[0] = '\0';
	(void)fclose(f);
	for (const char *s = id; *s; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(0x100000001b3);
	return h;
}

static void fill_address(Hirundo__V1__OwnAddress *a, const struct target *t)
{
	size_t n = t->family == 4 ? 4 : 16;

	hirundo__v1__own_address__init(a);
	a->address.data = (uint8_t *)t->address;
	a->address.len = n;
	a->prefix_length = t->prefix_length;
	a->first = t->first;
	if (memcmp(t->address, t->captured, n) != 0) {
		a->captured.data = (uint8_t *)t->captured;
		a->captured.len = n;
	}
}

bool hello_fits(const struct targets *t)
{
	size_t bytes = 0, each;

	for (size_t i = 0; i < targets_n(t); i++) {
		struct target e = *targets_at(t, i);
		Hirundo__V1__OwnAddress a;

		e.first = INT32_MAX; /* the longest */
		fill_address(&a, &e);
		each = hirundo__v1__own_address__get_packed_size(&a);
		bytes += 2 + each; /* tag and length: an address is below 128 bytes */
	}
	return targets_n(t) <= HELLO_ADDRESSES_MAX && bytes <= HELLO_ADDRESSES_BYTES;
}

int hello_pack(const struct spool *s, const struct targets *t, const uint64_t *capture_xxh3,
	struct buf *out)
{
	Hirundo__V1__Hello hello = HIRUNDO__V1__HELLO__INIT;
	Hirundo__V1__CapturePosition capture = HIRUNDO__V1__CAPTURE_POSITION__INIT;
	struct frame_header h = {.version = FRAME_VERSION, .type = FRAME_HELLO};
	size_t streams_n = spool_streams_n(s), addresses_n = targets_n(t);
	AUTO_FREE Hirundo__V1__StreamOffer *streams = calloc(streams_n + 1, sizeof(*streams));
	AUTO_FREE Hirundo__V1__StreamOffer **stream_list =
		calloc(streams_n + 1, sizeof(*stream_list));
	AUTO_FREE Hirundo__V1__OwnAddress *addresses = calloc(addresses_n + 1, sizeof(*addresses));
	AUTO_FREE Hirundo__V1__OwnAddress **address_list =
		calloc(addresses_n + 1, sizeof(*address_list));

	if (!streams || !stream_list || !addresses || !address_list)
		return -ENOMEM;
	for (size_t i = 0; i < streams_n; i++) {
		struct spool_stream offer = spool_stream(s, i);

		hirundo__v1__stream_offer__init(&streams[i]);
		streams[i].epoch = offer.epoch;
		streams[i].oldest_seq = offer.oldest_seq;
		streams[i].newest_seq = offer.newest_seq;
		streams[i].newest_checksum = offer.newest_checksum;
		streams[i].packets_total = offer.packets_total;
		stream_list[i] = &streams[i];
	}
	for (size_t i = 0; i < addresses_n; i++) {
		fill_address(&addresses[i], targets_at(t, i));
		address_list[i] = &addresses[i];
	}
	hello.version_min = FRAME_VERSION;
	hello.version_max = FRAME_VERSION;
	hello.software = (char *)"hirundo-sensor " HIRUNDO_VERSION;
	hello.boot = boot_hash();
	hello.wall_us = clock_wall_us();
	hello.mono_us = (uint64_t)clock_mono_us();
	hello.streams = stream_list;
	hello.n_streams = streams_n;
	hello.addresses = address_list;
	hello.n_addresses = addresses_n;
	hello.next_target = targets_next(t);
	if (capture_xxh3) {
		capture.xxh3 = *capture_xxh3;
		hello.capture = &capture;
	}
	return codec_pack_frame(&h, &hello, out);
}
