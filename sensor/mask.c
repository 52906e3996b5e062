#include "sensor/mask.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "common/bytes.h"
#include "sensor/classify.h"
#include "sensor/mask_view.h"
#include "sensor/own.h"
#include "sensor/targets.h"

struct mask {
	const struct targets *t;
	struct own_set *own;
};

int mask_new(const struct targets *t, struct mask **ret)
{
	struct mask *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->t = t;
	r = own_set_new(t, &m->own);
	if (r < 0) {
		free(m);
		return r;
	}
	*ret = m;
	return 0;
}

struct mask *mask_free(struct mask *m)
{
	if (!m)
		return NULL;
	own_set_free(m->own);
	free(m);
	return NULL;
}

/* Does a 32-bit number tell an own address? Mirai sends it as the sequence number; an answer's
 * acknowledgement is one more; scanners differ in byte order. */
static bool tells(const struct own *o, uint32_t number)
{
	uint32_t swapped = __builtin_bswap32(number);
	const uint32_t candidates[] = {number, number - 1, number + 1, swapped, swapped - 1,
		swapped + 1, __builtin_bswap32(number - 1), __builtin_bswap32(number + 1)};

	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++) {
		if (own_field4(o, candidates[i]))
			return true;
		for (size_t k = 0; k < 32 && o->family == 6; k += 4)
			if (candidates[i] == load_be32(o->here[k / 16] + k % 16))
				return true;
	}
	return false;
}

static bool masscan_tells(const struct own *o, const struct packet *p)
{
	const uint32_t needed = HAS_IP_ID | HAS_TCP_SEQ | HAS_DST_PORT;

	if (p->key.traits & TRAIT_MASSCAN)
		return true;
	if ((p->key.present & needed) != needed)
		return false;
	for (size_t i = 0; i < 2; i++)
		if (masscan_ip_id(o->here4[i], p->key.dst_port, p->key.tcp_seq, p->ip_id))
			return true;
	return false;
}

bool mask_fields(const struct mask *m, struct packet *p)
{
	struct observation_key *key = &p->key;
	struct own o;

	if (!targets_find(m->t, key->family, p->dst, &key->target))
		return false;
	own_init(&o, m->own, p);
	if (masscan_tells(&o, p)) {
		key->present &= ~(uint32_t)HAS_IP_ID;
		p->ip_id = 0;
	}
	if ((key->present & HAS_TCP_SEQ) && tells(&o, key->tcp_seq)) {
		key->present &= ~(uint32_t)HAS_TCP_SEQ;
		key->tcp_seq = 0;
	}
	if ((key->present & HAS_TCP_ACK) && tells(&o, key->tcp_ack)) {
		key->present &= ~(uint32_t)HAS_TCP_ACK;
		key->tcp_ack = 0;
	}
	if (memcmp(key->src, p->dst, sizeof(p->dst)) == 0 ||
		targets_own(m->t, key->family, key->src)) {
		key->present &= ~(uint32_t)HAS_SRC;
		memset(key->src, 0, sizeof(key->src));
	}
	return true;
}

static void mask_view(const struct own *o, struct view *v, bool binary)
{
	if (binary)
		mask_binary(o, v);
	if (o->any4)
		mask_text4(o, v);
	mask_text6(o, v);
	mask_tail(o, v);
}

void mask_payload(const struct mask *m, const struct packet *p, uint8_t *payload, size_t n)
{
	uint8_t before[MASK_PAYLOAD_MAX];
	struct view v;
	struct own o;

	if (n > MASK_PAYLOAD_MAX) {
		memset(payload + MASK_PAYLOAD_MAX, 0, n - MASK_PAYLOAD_MAX);
		n = MASK_PAYLOAD_MAX;
	}
	if (n == 0)
		return;
	own_init(&o, m->own, p);
	memcpy(before, payload, n);
	view_plain(&v, payload, before, n);
	mask_view(&o, &v, true);
	if (view_escaped(&v, payload, before, n))
		mask_view(&o, &v, true);
	for (size_t first = 0; first < 2; first++)
		if (view_wide(&v, payload, before, n, first))
			mask_view(&o, &v, false);
	mask_quotes(&o, p, before, payload, n);
}
