#include "sensor/sample.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>

#include "common/clock.h"
#include "sensor/mask.h"

#define HOUR_US (INT64_C(3600) * US_PER_S)
/* Masked with more behind it, so that a form at the end of the sample is seen whole. The longest,
 * ip6.arpa, has 72 characters. */
#define WINDOW (SAMPLE_MAX + 128u)
_Static_assert(WINDOW <= MASK_PAYLOAD_MAX, "mask takes the whole window");

#define NONE UINT32_MAX

/* A content of one hour. */
struct content {
	int64_t hour;
	uint32_t next; /* in its chain */
	uint32_t older, younger; /* by the packet seen last */
	struct sample count; /* the row without bytes to come; packets = 0: nothing to tell */
};

/* So many at once, then so many a second of packet time. */
struct bucket {
	uint64_t tokens_us, burst_us; /* in microseconds that they take to come */
	uint32_t per_s;
	int64_t at_us;
};

/* What a raw content is once masked; a place is taken by whoever came last. */
struct seen {
	uint64_t raw, content;
};

struct sampler {
	struct content *contents;
	uint32_t *chains;
	struct seen *seen;
	uint32_t size, n; /* contents */
	uint32_t mask; /* of chains and seen: a power of two - 1 */
	uint32_t oldest, youngest;
	uint32_t counting; /* contents with something to tell */
	int64_t hour; /* of the packet before */
	bool flushing;
	uint64_t dropped;
	struct bucket masking, adding;
	uint8_t secret[XXH3_SECRET_SIZE_MIN];
	uint32_t queue_from, queue_n;
	struct sample queue[SAMPLER_QUEUE];
};

static void bucket_init(struct bucket *b, uint32_t burst, uint32_t per_s)
{
	b->per_s = per_s;
	b->burst_us = b->tokens_us = (uint64_t)burst * US_PER_S / per_s;
}

static bool bucket_take(struct bucket *b, int64_t time_us)
{
	uint64_t token_us = US_PER_S / b->per_s;

	if (time_us > b->at_us) {
		uint64_t passed = (uint64_t)time_us - (uint64_t)b->at_us;

		b->tokens_us =
			passed < b->burst_us - b->tokens_us ? b->tokens_us + passed : b->burst_us;
	}
	b->at_us = time_us;
	if (b->tokens_us < token_us)
		return false;
	b->tokens_us -= token_us;
	return true;
}

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

int sampler_new(uint32_t contents, struct sampler **ret)
{
	struct sampler *s;
	uint32_t size;
	int r = -ENOMEM;

	if (contents < 16 || contents > 65536)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	size = power_of_two(2 * contents);
	s->size = contents;
	s->mask = size - 1;
	s->oldest = s->youngest = NONE;
	bucket_init(&s->masking, SAMPLER_MASK_PER_S, SAMPLER_MASK_PER_S);
	bucket_init(&s->adding, contents, SAMPLER_NEW_PER_S);
	s->contents = calloc(contents, sizeof(*s->contents));
	s->chains = malloc(size * sizeof(*s->chains));
	s->seen = calloc(size, sizeof(*s->seen));
	if (!s->contents || !s->chains || !s->seen)
		goto fail;
	memset(s->chains, 0xff, size * sizeof(*s->chains)); /* NONE */
	if (getrandom(s->secret, sizeof(s->secret), 0) != (ssize_t)sizeof(s->secret)) {
		r = -errno;
		goto fail;
	}
	*ret = s;
	return 0;
fail:
	sampler_free(s);
	return r;
}

struct sampler *sampler_free(struct sampler *s)
{
	if (!s)
		return NULL;
	free(s->contents);
	free(s->chains);
	free(s->seen);
	free(s);
	return NULL;
}

static struct sample *queue_slot(struct sampler *s)
{
	return &s->queue[(s->queue_from + s->queue_n++) % SAMPLER_QUEUE];
}

/* The count of a content as a row without bytes; then it has nothing to tell. */
static void emit_count(struct sampler *s, struct content *c, struct sample *to)
{
	*to = c->count;
	c->count.packets = 0;
	s->counting--;
}

static void unlink_age(struct sampler *s, uint32_t i)
{
	const struct content *c = &s->contents[i];

	if (c->older != NONE)
		s->contents[c->older].younger = c->younger;
	else
		s->oldest = c->younger;
	if (c->younger != NONE)
		s->contents[c->younger].older = c->older;
	else
		s->youngest = c->older;
}

static void link_youngest(struct sampler *s, uint32_t i)
{
	struct content *c = &s->contents[i];

	c->older = s->youngest;
	c->younger = NONE;
	if (s->youngest != NONE)
		s->contents[s->youngest].younger = i;
	else
		s->oldest = i;
	s->youngest = i;
}

/* The link that points to the content of this hour, or to NONE at the chain's end. */
static uint32_t *find_link(struct sampler *s, uint64_t content, int64_t hour)
{
	uint32_t *link = &s->chains[content & s->mask];

	while (*link != NONE &&
		(s->contents[*link].count.content != content || s->contents[*link].hour != hour))
		link = &s->contents[*link].next;
	return link;
}

/* Takes the oldest content out of the table; its place is free again. */
static uint32_t remove_oldest(struct sampler *s)
{
	uint32_t i = s->oldest;
	struct content *c = &s->contents[i];

	*find_link(s, c->count.content, c->hour) = c->next;
	unlink_age(s, i);
	return i;
}

static uint32_t take_place(struct sampler *s)
{
	if (s->n < s->size)
		return s->n++;
	if (s->contents[s->oldest].count.packets > 0)
		emit_count(s, &s->contents[s->oldest], queue_slot(s));
	return remove_oldest(s);
}

static void describe(const struct packet *p, struct sample *to)
{
	const struct observation_key *key = &p->key;

	to->observed_us = to->last_us = p->time_us;
	to->packets = 1;
	to->payload_length = key->payload_length;
	to->family = key->family;
	to->has_src = (key->present & HAS_SRC) != 0;
	memcpy(to->src, key->src, sizeof(to->src));
	to->protocol = key->protocol;
	to->has_ports = (key->present & HAS_SRC_PORT) && (key->present & HAS_DST_PORT);
	if (to->has_ports) {
		to->src_port = key->src_port;
		to->dst_port = key->dst_port;
	}
	to->icmp_type = key->icmp_type;
	to->icmp_code = key->icmp_code;
}

static void count_packet(struct sampler *s, struct content *c, const struct packet *p)
{
	if (c->count.packets == 0) {
		describe(p, &c->count);
		s->counting++;
		return;
	}
	if (c->count.packets < INT32_MAX) /* what the column takes; not reached in an hour */
		c->count.packets++;
	if (p->time_us < c->count.observed_us)
		c->count.observed_us = p->time_us;
	if (p->time_us > c->count.last_us)
		c->count.last_us = p->time_us;
}

static void add_content(struct sampler *s, const struct packet *p, uint64_t content,
	const uint8_t *payload, size_t n)
{
	uint32_t i = take_place(s), *link = find_link(s, content, s->hour);
	struct content *c = &s->contents[i];
	struct sample *q = queue_slot(s);

	*c = (struct content){.hour = s->hour, .next = NONE, .count = {.content = content}};
	*link = i;
	link_youngest(s, i);
	*q = (struct sample){.content = content, .length = (uint8_t)n};
	describe(p, q);
	memcpy(q->payload, payload, n);
}

/* What masking depends on besides the bytes: the destination and what kind of packet it is. */
static uint64_t raw_hash(
	const struct sampler *s, const struct packet *p, const uint8_t *payload, size_t n)
{
	uint8_t in[WINDOW + sizeof(p->dst) + 4];

	memcpy(in, payload, n);
	memcpy(in + n, p->dst, sizeof(p->dst));
	n += sizeof(p->dst);
	in[n++] = p->key.family;
	in[n++] = p->key.protocol;
	in[n++] = (p->key.traits & TRAIT_BACKSCATTER_ICMP_ERROR) != 0;
	in[n++] = p->key.tcp_header_length;
	return XXH3_64bits_withSecret(in, n, s->secret, sizeof(s->secret));
}

void sampler_add(struct sampler *s, const struct mask *m, const struct packet *p)
{
	const uint8_t *payload = p->ip + p->payload_offset;
	size_t n = p->payload_captured < WINDOW ? p->payload_captured : WINDOW;
	size_t kept = n < SAMPLE_MAX ? n : SAMPLE_MAX;
	uint8_t masked[WINDOW] = {0};
	struct seen *seen;
	uint64_t raw;
	uint32_t at;

	if (!(p->key.present & HAS_PAYLOAD_LENGTH) || n == 0)
		return;
	s->hour = p->time_us / HOUR_US - (p->time_us % HOUR_US < 0);
	raw = raw_hash(s, p, payload, n);
	seen = &s->seen[raw & s->mask];
	at = seen->raw == raw ? *find_link(s, seen->content, s->hour) : NONE;
	if (at == NONE) {
		if (!bucket_take(&s->masking, p->time_us)) {
			s->dropped++;
			return;
		}
		memcpy(masked, payload, n);
		mask_payload(m, p, masked, n);
		seen->raw = raw;
		seen->content = XXH3_64bits_withSecret(masked, kept, s->secret, sizeof(s->secret));
		at = *find_link(s, seen->content, s->hour);
	}
	if (at != NONE) {
		count_packet(s, &s->contents[at], p);
		unlink_age(s, at);
		link_youngest(s, at);
		return;
	}
	/* A place for the sample, and one for the count of the content that it may displace. */
	if (s->queue_n + 2 > SAMPLER_QUEUE || !bucket_take(&s->adding, p->time_us)) {
		s->dropped++;
		return;
	}
	add_content(s, p, seen->content, masked, kept);
}

/* Removes the oldest content and moves the last one of the array into its place, so that the first
 * n stay the used ones. */
static void drop_oldest(struct sampler *s)
{
	uint32_t i = remove_oldest(s), last = s->n - 1;
	struct content *c = &s->contents[i];

	s->n--;
	if (i == last)
		return;
	*find_link(s, s->contents[last].count.content, s->contents[last].hour) = i;
	*c = s->contents[last];
	if (c->older != NONE)
		s->contents[c->older].younger = i;
	else
		s->oldest = i;
	if (c->younger != NONE)
		s->contents[c->younger].older = i;
	else
		s->youngest = i;
}

uint32_t sampler_take(struct sampler *s, struct sample *ret, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && s->queue_n > 0) {
		ret[n++] = s->queue[s->queue_from];
		s->queue_from = (s->queue_from + 1) % SAMPLER_QUEUE;
		s->queue_n--;
	}
	while (n < max && s->oldest != NONE && s->contents[s->oldest].hour != s->hour) {
		if (s->contents[s->oldest].count.packets > 0)
			emit_count(s, &s->contents[s->oldest], &ret[n++]);
		drop_oldest(s);
	}
	for (uint32_t i = s->oldest; s->flushing && n < max && i != NONE;
		i = s->contents[i].younger)
		if (s->contents[i].count.packets > 0)
			emit_count(s, &s->contents[i], &ret[n++]);
	if (s->counting == 0)
		s->flushing = false;
	return n;
}

void sampler_flush(struct sampler *s)
{
	s->flushing = s->counting > 0;
}

uint32_t sampler_queued(const struct sampler *s)
{
	return s->queue_n + (s->flushing ? s->counting : 0);
}

uint64_t sampler_dropped(const struct sampler *s)
{
	return s->dropped;
}
