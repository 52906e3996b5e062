/* A packet of any bytes, sent to a sensor with a few addresses or to one that takes everything (the
 * lowest bit of the first byte): parse, classify, mask, sample, fold. The destination stays in no
 * field and, as bytes, nowhere in the payload. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include <pcap/dlt.h>

#include "common/bytes.h"
#include "common/mem.h"
#include "sensor/classify.h"
#include "sensor/fold.h"
#include "sensor/mask.h"
#include "sensor/parse.h"
#include "sensor/sample.h"
#include "sensor/targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct {
	struct targets *t;
	struct mask *m;
} sensors[2];
static struct fold *fold;
static struct sampler *sampler;

static void set_up(void)
{
	static const char *const lists[2][5] = {
		{"10.0.0.7 = 203.0.113.7", "198.51.100.0/24", "11.0.0.0/8", "2001:db8:1::/64",
			NULL},
		{"0.0.0.0/0", "::/0", NULL},
	};
	const char *reason;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sensors) && r == 0; i++) {
		r = targets_new(&sensors[i].t);
		for (size_t k = 0; r == 0 && lists[i][k]; k++)
			r = targets_add(sensors[i].t, lists[i][k], &reason);
		if (r == 0)
			r = mask_new(sensors[i].t, &sensors[i].m);
	}
	if (r == 0)
		r = fold_new(1000000, 100, &fold);
	if (r == 0)
		r = sampler_new(16, &sampler);
	if (r < 0)
		abort();
}

/* Bytes of the address that a filler has too could stand there again by chance. */
static bool distinct(const uint8_t *addr, size_t n)
{
	return !memchr(addr, 0, n) && !memchr(addr, '0', n);
}

static void check_payload(
	const struct packet *p, const uint8_t *before, const uint8_t *after, size_t n)
{
	size_t width = p->key.family == 6 ? 16 : 4;

	if (!distinct(p->dst, width))
		return;
	for (size_t i = 0; i + width <= n; i++)
		if (memcmp(before + i, p->dst, width) == 0)
			assert(memcmp(after + i, p->dst, width) != 0);
}

static void check_fields(const struct packet *p)
{
	if (p->key.present & HAS_SRC)
		assert(memcmp(p->key.src, p->dst, sizeof(p->dst)) != 0);
	else
		assert(p->key.src[0] == 0 && memcmp(p->key.src, p->key.src + 1, 15) == 0);
	if (p->key.family != 4)
		return;
	if (p->key.present & HAS_TCP_SEQ)
		assert(p->key.tcp_seq - load_be32(p->dst) + 1 > 2);
	if (p->key.present & HAS_TCP_ACK)
		assert(__builtin_bswap32(p->key.tcp_ack) - load_be32(p->dst) + 1 > 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t before[MASK_PAYLOAD_MAX], after[MASK_PAYLOAD_MAX];
	struct sample taken[8];
	struct packet p;
	size_t length, sensor;

	if (!fold)
		set_up();
	if (n < 1 || parse_packet(DLT_RAW, data + 1, n - 1, n - 1, &p) != PARSE_OK)
		return 0;
	sensor = data[0] & 1;
	p.time_us = (int64_t)data[0] * 10000000;
	classify_packet(&p, sensors[sensor].t);
	if (!mask_fields(sensors[sensor].m, &p))
		return 0;
	check_fields(&p);
	length = p.payload_captured < MASK_PAYLOAD_MAX ? p.payload_captured : MASK_PAYLOAD_MAX;
	if (length > 0) {
		memcpy(before, p.ip + p.payload_offset, length);
		memcpy(after, before, length);
		mask_payload(sensors[sensor].m, &p, after, length);
		check_payload(&p, before, after, length);
	}
	sampler_add(sampler, sensors[sensor].m, &p);
	while (sampler_take(sampler, taken, ARRAY_SIZE(taken)) > 0)
		assert(taken[0].length <= SAMPLE_MAX && taken[0].packets > 0);
	if (fold_add(fold, &p) || fold_rows(fold) > 1000)
		fold_clear(fold);
	return 0;
}
