#include "sensor/pipeline.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "hirundo.pb-c.h"
#include "sensor/classify.h"
#include "sensor/fold.h"
#include "sensor/mask.h"
#include "sensor/parse.h"
#include "sensor/sample.h"
#include "sensor/spool.h"

/* Architecture 6.6: the bound of what a power cut can take. */
#define SEAL_AGE_US (1 * US_PER_S)
#define SEAL_AGE_ROWS 64u
#define SEAL_AGE_FEW_US (10 * US_PER_S)
/* Samples that ride in one batch, and contents that are told apart within an hour. */
#define BATCH_SAMPLES 256u
#define SAMPLE_CONTENTS 4096u
/* A row's time must fit the days that a partition can have (1970 to 2199). */
#define TIME_MAX_US (INT64_C(7258118400) * US_PER_S)

enum ignored {
#define X(NAME, name) IGNORED_##NAME,
	PIPELINE_REASONS(X)
#undef X
	IGNORED_N,
};

static const char *const ignored_names[] = {
#define X(NAME, name) name,
	PIPELINE_REASONS(X)
#undef X
};

struct pipeline {
	struct pipeline_options o;
	struct mask *mask;
	struct fold *fold;
	struct sampler *sampler;
	struct codec *codec;
	struct buf record;
	struct sample *samples;
	struct pipeline_books books;
	uint64_t unparsed[PARSE_RES_N];
	uint64_t ignored[IGNORED_N];
	uint64_t fold_early;
	uint64_t sealed_ordinal; /* packets of the file in front of the open batch */
	int64_t opened_us; /* monotonic, when the open batch got its first packet; 0 = empty */
	uint64_t run;
	int64_t started_us;
	uint8_t collector_family;
	uint8_t collector[16];
	uint16_t collector_port;
	bool unclean_told;
	bool refused; /* the last record, by the disk */
};

int pipeline_new(const struct pipeline_options *o, struct pipeline **ret)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	int r = p ? 0 : -ENOMEM;

	if (r == 0) {
		p->o = *o;
		p->sealed_ordinal = o->capture.ordinal;
		p->started_us = clock_wall_us();
		buf_init(&p->record, FRAME_MAX);
		p->samples = calloc(BATCH_SAMPLES, sizeof(*p->samples));
		r = p->samples ? mask_new(o->targets, &p->mask) : -ENOMEM;
	}
	if (r == 0 && getrandom(&p->run, sizeof(p->run), 0) != sizeof(p->run))
		r = -errno;
	if (r == 0)
		r = fold_new(o->fold_us, o->max_rows, &p->fold);
	if (r == 0 && o->samples)
		r = sampler_new(SAMPLE_CONTENTS, &p->sampler);
	if (r == 0)
		r = codec_new(&p->codec);
	if (r < 0) {
		pipeline_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct pipeline *pipeline_free(struct pipeline *p)
{
	if (!p)
		return NULL;
	codec_free(p->codec);
	sampler_free(p->sampler);
	fold_free(p->fold);
	mask_free(p->mask);
	buf_done(&p->record);
	free(p->samples);
	free(p);
	return NULL;
}

void pipeline_set_collector(struct pipeline *p, uint8_t family, const uint8_t *addr, uint16_t port)
{
	p->collector_family = family;
	p->collector_port = port;
	memset(p->collector, 0, sizeof(p->collector));
	if (family != 0)
		memcpy(p->collector, addr, family == 4 ? 4 : 16);
}

bool pipeline_time_ok(int64_t us)
{
	return us >= 0 && us < TIME_MAX_US;
}

static bool own_connection(const struct pipeline *p, const struct packet *k)
{
	return k->key.family == p->collector_family && k->key.protocol == IPPROTO_TCP &&
	       (((k->key.present & HAS_SRC_PORT) && k->key.src_port == p->collector_port &&
			memcmp(k->key.src, p->collector, 16) == 0) ||
		       ((k->key.present & HAS_DST_PORT) && k->key.dst_port == p->collector_port &&
			       memcmp(k->dst, p->collector, 16) == 0));
}

static int ignore(struct pipeline *p, uint64_t *counter)
{
	(*counter)++;
	p->books.ignored++;
	return 0;
}

int pipeline_packet(struct pipeline *p, const struct capture_packet *c)
{
	struct packet k;
	enum parse_res res;

	p->books.captured++;
	p->o.capture.ordinal++;
	if (!parse_linktype_supported(c->dlt))
		return ignore(p, &p->ignored[IGNORED_UNSUPPORTED_LINK]);
	res = parse_packet(c->dlt, c->data, c->captured, c->wire, &k);
	if (res != PARSE_OK)
		return ignore(p, &p->unparsed[res]);
	k.time_us = c->time_us;
	if (!pipeline_time_ok(k.time_us))
		return ignore(p, &p->ignored[IGNORED_BAD_TIME]);
	if (own_connection(p, &k))
		return ignore(p, &p->ignored[IGNORED_OWN_CONNECTION]);
	classify_packet(&k, p->o.targets);
	if (!mask_fields(p->mask, &k))
		return ignore(p, &p->ignored[IGNORED_NOT_FOR_US]);
	if (k.key.traits & TRAIT_TRUNCATED)
		p->books.truncated++;
	if (p->sampler)
		sampler_add(p->sampler, p->mask, &k);
	if (p->opened_us == 0)
		p->opened_us = clock_mono_us();
	if (fold_add(p->fold, &k) || (p->sampler && sampler_queued(p->sampler) >= BATCH_SAMPLES))
		return pipeline_seal(p, false);
	return 0;
}

int pipeline_tick(struct pipeline *p)
{
	int64_t age;

	if (p->opened_us == 0)
		return 0;
	age = clock_mono_us() - p->opened_us;
	if (age >= SEAL_AGE_FEW_US || (age >= SEAL_AGE_US && fold_rows(p->fold) >= SEAL_AGE_ROWS))
		return pipeline_seal(p, false);
	return 0;
}

/* Room for the header that the spool writes in front of the payload. */
static int record_start(struct pipeline *p)
{
	static const uint8_t zero[FRAME_HEADER_SIZE];

	buf_clear(&p->record);
	return buf_add(&p->record, zero, sizeof(zero));
}

static int record_append(struct pipeline *p, enum frame_type type, uint64_t packets)
{
	int r = spool_append(p->o.spool, type, packets, buf_head(&p->record), buf_len(&p->record));

	p->refused = r == SPOOL_REFUSED;
	if (!p->refused)
		return r;
	/* A capture can be read again: stop before anything is counted as lost. */
	if (p->o.from_capture)
		return -ENOSPC;
	p->books.refused += packets;
	return 0;
}

int pipeline_seal(struct pipeline *p, bool complete)
{
	struct batch b = {0};
	int r;

	if (complete && p->sampler) {
		sampler_flush(p->sampler);
		while (sampler_queued(p->sampler) > BATCH_SAMPLES) {
			r = pipeline_seal(p, false);
			if (r < 0)
				return r;
		}
	}
	fold_batch(p->fold, &b);
	if (p->sampler) {
		b.samples = p->samples;
		b.samples_n = sampler_take(p->sampler, p->samples, BATCH_SAMPLES);
	}
	if (b.rows_n == 0 && b.samples_n == 0 && !complete)
		return 0;
	if (p->o.from_capture) {
		b.has_capture = true;
		b.capture = p->o.capture;
		b.capture.complete = complete;
		b.capture.before = p->sealed_ordinal;
	}
	r = record_start(p);
	if (r == 0)
		r = codec_encode_batch(p->codec, &b, &p->record);
	if (r == 0)
		r = record_append(p, FRAME_BATCH, b.packets);
	if (r < 0)
		return r;
	p->books.sealed += b.packets;
	p->books.observations += b.rows_n;
	p->books.batches++;
	p->sealed_ordinal = p->o.capture.ordinal;
	p->fold_early += b.fold_early;
	fold_clear(p->fold);
	p->opened_us = 0;
	return 0;
}

/* All reasons that occurred, parse's and the pipeline's. */
static size_t count_ignored(
	const struct pipeline *p, Hirundo__V1__Count *counts, Hirundo__V1__Count **list)
{
	size_t n = 0;

	for (size_t i = 0; i < PARSE_RES_N + IGNORED_N; i++) {
		bool parse = i < PARSE_RES_N;
		uint64_t packets = parse ? p->unparsed[i] : p->ignored[i - PARSE_RES_N];

		if (packets == 0)
			continue;
		hirundo__v1__count__init(&counts[n]);
		counts[n].reason = (char *)(parse ? parse_res_str((enum parse_res)i)
						  : ignored_names[i - PARSE_RES_N]);
		counts[n].packets = packets;
		list[n] = &counts[n];
		n++;
	}
	return n;
}

int pipeline_status(struct pipeline *p, uint64_t kernel_drops, uint64_t interface_drops,
	int64_t from_us, int64_t to_us, bool final)
{
	Hirundo__V1__Status s = HIRUNDO__V1__STATUS__INIT;
	Hirundo__V1__Count counts[PARSE_RES_N + IGNORED_N], *list[PARSE_RES_N + IGNORED_N];
	const struct spool_counters *spool = spool_counters(p->o.spool);
	int r;

	if (final && p->sampler)
		sampler_flush(p->sampler);
	do
		r = pipeline_seal(p, false);
	while (r == 0 && p->sampler && sampler_queued(p->sampler) > 0);
	if (r < 0)
		return r;
	s.run = p->run;
	s.started_us = p->started_us;
	s.at_us = clock_wall_us();
	s.mono_us = (uint64_t)clock_mono_us();
	s.captured = p->books.captured;
	s.ignored = list;
	s.n_ignored = count_ignored(p, counts, list);
	s.sealed = p->books.sealed;
	s.kernel_drops = kernel_drops;
	s.interface_drops = interface_drops;
	s.fold_early = p->fold_early;
	s.coarse_packets = fold_coarse_packets(p->fold);
	s.spool_bytes = spool->bytes;
	s.spool_lost_packets = spool->packets_lost;
	s.covered_from_us = from_us;
	s.covered_to_us = to_us;
	s.unclean_start = p->o.unclean_start && !p->unclean_told;
	s.final = final;
	s.software = (char *)"hirundo-sensor " HIRUNDO_VERSION;
	s.truncated = p->books.truncated;
	s.from_capture = p->o.from_capture;
	s.samples_dropped = p->sampler ? sampler_dropped(p->sampler) : 0;
	r = record_start(p);
	if (r == 0)
		r = buf_reserve(&p->record, hirundo__v1__status__get_packed_size(&s));
	if (r < 0)
		return r;
	buf_added(&p->record, hirundo__v1__status__pack(&s, buf_tail(&p->record)));
	r = record_append(p, FRAME_STATUS, 0);
	/* Told only when it is on the disk: what the disk refused says it again. */
	p->unclean_told |= r == 0 && !p->refused;
	return r;
}

const struct pipeline_books *pipeline_books(const struct pipeline *p)
{
	return &p->books;
}

struct resume_search {
	uint64_t xxh3;
	bool newest_seen;
	struct pipeline_resume *found;
};

/* Looks at records from the newest backwards: the newest one says whether the stop was clean, the
 * newest batch of the file how far it was read. True ends the search. */
static bool resume_match(void *arg, const struct frame_header *h, const uint8_t *payload)
{
	struct resume_search *q = arg;
	Hirundo__V1__Status *status;
	Hirundo__V1__Batch *batch;
	const char *reason;

	if (!q->newest_seen) {
		q->newest_seen = true;
		q->found->clean = false;
		if (h->type == FRAME_STATUS) {
			status = codec_unpack(&hirundo__v1__status__descriptor, payload,
				h->payload_length, &reason);
			q->found->clean = status && status->final;
			codec_message_free(status);
		}
	}
	if (q->xxh3 == 0)
		return true;
	if (h->type != FRAME_BATCH)
		return false;
	batch = codec_unpack(&hirundo__v1__batch__descriptor, payload, h->payload_length, &reason);
	if (batch && batch->capture && batch->capture->xxh3 == q->xxh3) {
		q->found->has_capture = true;
		q->found->capture = (struct capture_position){
			.xxh3 = batch->capture->xxh3,
			.ordinal = batch->capture->ordinal,
			.complete = batch->capture->complete,
			.generation = batch->capture->generation,
		};
	}
	codec_message_free(batch);
	return q->found->has_capture;
}

int pipeline_resume(struct spool *s, uint64_t xxh3, struct pipeline_resume *ret)
{
	struct resume_search q = {.xxh3 = xxh3, .found = ret};
	int r;

	*ret = (struct pipeline_resume){.clean = true};
	r = spool_find_last(s, resume_match, &q);
	return r == SPOOL_END ? 0 : r;
}

static bool behind(const struct capture_position *a, const struct capture_position *b)
{
	if (a->generation != b->generation)
		return a->generation < b->generation;
	return a->ordinal != b->ordinal ? a->ordinal < b->ordinal : !a->complete && b->complete;
}

struct capture_position pipeline_position(const struct pipeline_resume *resumed,
	const struct capture_position *committed, uint64_t epoch, bool all_acked)
{
	bool taken = all_acked && committed->epoch != 0 && committed->epoch != epoch;

	return resumed->has_capture && !taken && behind(committed, &resumed->capture)
		       ? resumed->capture
		       : *committed;
}
