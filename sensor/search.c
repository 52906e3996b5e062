#include "sensor/search.h"

#include "sensor/spool.h"

void search_start(struct search *q, const struct spool *s, size_t stream, uint64_t committed)
{
	struct spool_stream offer = spool_stream(s, stream);

	/* What the spool no longer holds was acknowledged, so shared. */
	*q = (struct search){.stream = stream, .low = offer.oldest_seq - 1};
	q->high = (offer.newest_seq < committed ? offer.newest_seq : committed) + 1;
	if (q->high <= q->low)
		q->high = q->low + 1;
}

bool search_next(struct search *q, struct spool *s)
{
	uint64_t step = (q->high - q->low - 1) / SEARCH_MAX + 1;

	q->asked_n = 0;
	for (uint64_t seq = q->low + 1; seq < q->high; seq += step)
		if (spool_checksum_at(s, q->stream, seq, &q->checksum[q->asked_n]))
			q->asked[q->asked_n++] = seq;
	return q->asked_n > 0;
}

bool search_answer(struct search *q, uint64_t seq)
{
	size_t i = 0; /* of those asked, how many are shared */

	while (i < q->asked_n && q->asked[i] <= seq)
		i++;
	if (seq != 0 && (i == 0 || q->asked[i - 1] != seq))
		return false;
	if (i > 0)
		q->low = seq;
	if (i < q->asked_n)
		q->high = q->asked[i];
	return true;
}
