#include "collector/position.h"

#include <stddef.h>

#include "hirundo.pb-c.h"
#include "proto/codec.h"

static const char *out_of_order(const struct position *p, const struct frame_header *h)
{
	if (!p)
		return "epoch: HELLO did not offer it";
	if (h->first_seq != p->seq + 1)
		return "first_seq: does not follow the sequence of the record before";
	if (h->prev_checksum != p->checksum)
		return "prev_checksum: not the chain checksum of the record before";
	return NULL;
}

/* What the successor of this record chains to. @return NULL, or why a LOSS does not unpack */
static const char *chain_checksum(
	const struct frame_header *h, const uint8_t *payload, uint64_t *ret)
{
	Hirundo__V1__Loss *loss;
	const char *reason = NULL;

	*ret = h->checksum;
	if (h->type != FRAME_LOSS)
		return NULL;
	loss = codec_unpack(&hirundo__v1__loss__descriptor, payload, h->payload_length, &reason);
	if (!loss)
		return reason;
	if (loss->last_checksum_known)
		*ret = loss->last_checksum;
	codec_message_free(loss);
	return NULL;
}

enum position_res position_follow(struct position *p, const struct frame_header *h,
	const uint8_t *payload, const char **ret_reason)
{
	const char *wrong = out_of_order(p, h);
	uint64_t chain;

	if (wrong) {
		*ret_reason = wrong;
		return POSITION_OUT_OF_ORDER;
	}
	if (h->packets_total < p->packets_total ||
		(h->type != FRAME_LOSS && h->packets_total - p->packets_total != h->packets))
		wrong = "packets_total: totals do not add up";
	else
		wrong = chain_checksum(h, payload, &chain);
	if (wrong) {
		*ret_reason = wrong;
		return POSITION_BROKEN;
	}
	*p = (struct position){h->epoch, h->seq, chain, h->packets_total};
	return POSITION_OK;
}
