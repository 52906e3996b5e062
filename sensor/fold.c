#include "sensor/fold.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>

#include "common/clock.h"

/* At most half full, so that a probe is short. A power of two. */
#define SLOTS (2u * FOLD_MAX_ROWS)
/* PostgreSQL's int, which stores the count. */
#define PACKETS_MAX INT32_MAX

#define WIDTH_ALWAYS 25u
#define HAS_4 (HAS_TCP_SEQ | HAS_TCP_ACK)
#define HAS_2                                                                     \
	(HAS_SRC_PORT | HAS_DST_PORT | HAS_IP_ID | HAS_TCP_WINDOW | HAS_TCP_MSS | \
		HAS_PAYLOAD_LENGTH)
#define HAS_1                                                                                   \
	(HAS_ICMP_TYPE | HAS_ICMP_CODE | HAS_IP_FLAGS | HAS_TCP_FLAGS | HAS_TCP_HEADER_LENGTH | \
		HAS_TTL | HAS_PROTOCOL)

_Static_assert(
	(HAS_SRC | HAS_IP_LENGTH | HAS_4 | HAS_2 | HAS_1) == HAS_ALL, "every column is counted");

/* A slot is free unless it carries the epoch of the open window: a new window costs one increment.
 */
struct slot {
	uint32_t epoch;
	uint16_t row;
	uint16_t tag; /* bits of the hash, to spare most comparisons of keys */
};

_Static_assert(FOLD_MAX_ROWS <= UINT16_MAX + 1, "a row's number fits its slot");

struct fold {
	int64_t window_us;
	uint32_t max_rows;
	uint64_t seed;
	int64_t from_us; /* start of the window of the packet before */
	int64_t second_us; /* and of its second */
	uint32_t second_rows; /* new rows in that second */
	uint32_t epoch;
	uint32_t rows_n;
	uint32_t window_row; /* first row of the window */
	uint32_t bytes;
	uint64_t packets;
	uint64_t coarse_packets;
	struct observation rows[FOLD_MAX_ROWS];
	struct slot slots[SLOTS];
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

int fold_new(int64_t window_us, uint32_t max_rows, struct fold **ret)
{
	struct fold *f;
	int r;

	if (window_us < 0 || (window_us > 0 && 60 * US_PER_S % window_us != 0) || max_rows == 0)
		return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	if (getrandom(&f->seed, sizeof(f->seed), 0) != sizeof(f->seed)) {
		r = -errno;
		free(f);
		return r;
	}
	f->window_us = window_us;
	f->max_rows = max_rows;
	f->epoch = 1;
	*ret = f;
	return 0;
}

struct fold *fold_free(struct fold *f)
{
	free(f);
	return NULL;
}

/* Forgets the index, not the rows. */
static void next_epoch(struct fold *f)
{
	f->window_row = f->rows_n;
	if (++f->epoch == 0) {
		memset(f->slots, 0, sizeof(f->slots));
		f->epoch = 1;
	}
}

static void make_coarse(struct observation_key *key)
{
	key->present &= ~(uint32_t)(HAS_SRC_PORT | HAS_TCP_SEQ | HAS_TCP_ACK | HAS_IP_ID);
	key->src_port = 0;
	key->tcp_seq = 0;
	key->tcp_ack = 0;
	key->traits |= TRAIT_COARSE;
}

static uint32_t row_bytes(const struct observation_key *key)
{
	uint32_t n = WIDTH_ALWAYS;

	if (key->present & HAS_SRC)
		n += key->family == 6 ? 16 : 4;
	if (key->present & HAS_IP_LENGTH)
		n += 3;
	n += 4 * (uint32_t)__builtin_popcount(key->present & HAS_4);
	n += 2 * (uint32_t)__builtin_popcount(key->present & HAS_2);
	return n + (uint32_t)__builtin_popcount(key->present & HAS_1);
}

static uint32_t add_row(
	struct fold *f, const struct observation_key *key, int64_t time_us, uint16_t ip_id)
{
	f->rows[f->rows_n] = (struct observation){
		.key = *key,
		.observed_us = time_us,
		.last_us = time_us,
		.packets = 1,
		.ip_id = key->present & HAS_IP_ID ? ip_id : 0,
	};
	f->second_rows++;
	f->bytes += row_bytes(key);
	return f->rows_n++;
}

static void fold_into(struct observation *row, int64_t time_us, uint16_t ip_id)
{
	row->packets++;
	if (time_us > row->last_us)
		row->last_us = time_us;
	if (time_us < row->observed_us) {
		row->observed_us = time_us;
		row->ip_id = row->key.present & HAS_IP_ID ? ip_id : 0;
	}
}

/* The slot of an equal row that can take one more packet, else the free slot for it. A row that is
 * full keeps its slot and is passed over. */
static struct slot *find_slot(struct fold *f, const struct observation_key *key, uint16_t *ret_tag)
{
	uint64_t h = XXH3_64bits_withSeed(key, sizeof(*key), f->seed);
	uint16_t tag = (uint16_t)(h >> 48);
	size_t i = h & (SLOTS - 1);

	*ret_tag = tag;
	for (; f->slots[i].epoch == f->epoch; i = (i + 1) & (SLOTS - 1)) {
		const struct observation *row = &f->rows[f->slots[i].row];

		if (f->slots[i].tag == tag && row->packets < PACKETS_MAX &&
			memcmp(&row->key, key, sizeof(*key)) == 0)
			break;
	}
	return &f->slots[i];
}

/* In a flood the batch grows, so that what is coarse can fold. */
static bool full(const struct fold *f)
{
	if (f->second_rows >= f->max_rows && f->window_us > 0)
		return f->rows_n >= FOLD_MAX_ROWS || f->bytes >= FOLD_MAX_BYTES;
	return f->rows_n >= FOLD_SEAL_ROWS || f->bytes >= FOLD_SEAL_BYTES;
}

/* Whether time lies in the interval of this length that begins at *from; else moves it there. */
static bool within(int64_t time_us, int64_t length_us, int64_t *from)
{
	if ((uint64_t)time_us - (uint64_t)*from < (uint64_t)length_us)
		return true;
	*from = floor_div(time_us, length_us) * length_us;
	return false;
}

static void enter(struct fold *f, int64_t time_us)
{
	if (!within(time_us, US_PER_S, &f->second_us))
		f->second_rows = 0;
	if (f->window_us > 0 && !within(time_us, f->window_us, &f->from_us))
		next_epoch(f);
}

bool fold_add(struct fold *f, const struct packet *p)
{
	struct observation_key coarse;
	const struct observation_key *key = &p->key;
	struct slot *slot;
	uint16_t tag;

	enter(f, p->time_us);
	f->packets++;
	if (f->second_rows >= f->max_rows) {
		coarse = p->key;
		make_coarse(&coarse);
		key = &coarse;
		f->coarse_packets++;
	}
	if (f->window_us == 0) {
		add_row(f, key, p->time_us, p->ip_id);
		return full(f);
	}
	slot = find_slot(f, key, &tag);
	if (slot->epoch == f->epoch) {
		fold_into(&f->rows[slot->row], p->time_us, p->ip_id);
		return full(f);
	}
	slot->epoch = f->epoch;
	slot->tag = tag;
	slot->row = (uint16_t)add_row(f, key, p->time_us, p->ip_id);
	return full(f);
}

void fold_batch(const struct fold *f, struct batch *ret)
{
	ret->rows = (struct observation *)f->rows;
	ret->rows_n = f->rows_n;
	ret->packets = f->packets;
	ret->fold_early = f->window_us > 0 ? f->rows_n - f->window_row : 0;
}

uint32_t fold_rows(const struct fold *f)
{
	return f->rows_n;
}

uint64_t fold_coarse_packets(const struct fold *f)
{
	return f->coarse_packets;
}

void fold_clear(struct fold *f)
{
	f->rows_n = 0;
	f->bytes = 0;
	f->packets = 0;
	next_epoch(f);
}
