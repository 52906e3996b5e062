#include <errno.h>

#include "proto/codec_impl.h"

/* Profiles that a column is tried with; more cost time and win nothing. */
#define GROUPS_TRIED 3u
/* Bytes around a column of its own (tag, length) and around a profile (tag, length, mask, count).
 */
#define COLUMN_COST 4u
#define PROFILE_COST 9u

/* A column with at most DICT_MAX values. */
struct candidate {
	enum column column;
	unsigned d, value_bytes;
	size_t rows; /* that have it */
};

void encoder_done(struct codec_encoder *e)
{
	free(e->values);
	free(e->has);
	free(e->pool);
	free(e->pairs);
	buf_done(&e->work);
	*e = (struct codec_encoder){0};
}

static int reserve(struct codec *c, size_t n)
{
	struct codec_encoder *e = &c->e;
	int r = column_scratch_reserve(&c->column, n, true);

	if (r < 0)
		return r;
	if (!e->pairs) {
		e->pairs = malloc((size_t)DICT_MAX * DICT_MAX * sizeof(*e->pairs));
		if (!e->pairs)
			return -ENOMEM;
	}
	if (n <= e->cap)
		return 0;
	free(e->values);
	free(e->has);
	free(e->pool);
	e->cap = 0;
	e->values = malloc(n * sizeof(*e->values));
	e->has = malloc(n * sizeof(*e->has));
	e->pool = malloc(n * (COLUMNS_N + 2));
	if (!e->values || !e->has || !e->pool) {
		free(e->values);
		free(e->has);
		free(e->pool);
		e->values = NULL;
		e->has = NULL;
		e->pool = NULL;
		return -ENOMEM;
	}
	e->cap = n;
	return 0;
}

static uint32_t shape_of(const struct observation_key *k)
{
	return k->present | (k->family == 6 ? SHAPE_V6 : 0);
}

/* Values of a column over the rows that have it (has), or over all of them (has NULL). */
static size_t gather(const struct observation *rows, size_t n, enum column column,
	const uint32_t *has, uint64_t *ret)
{
	uint32_t bit = UINT32_C(1) << column;
	size_t m = 0;

#define SHAPE(member) shape_of(&row->key)
#define BE32(member) (row->key.family == 4 ? load_be32(&(member)) : 0)
#define BE64(member) (row->key.family == 6 ? load_be64(&(member)) : 0)
#define U8(member) (member)
#define U16(member) (member)
#define U32(member) (member)
#define LAST(member) ((uint64_t)((member)-row->observed_us))
	switch (column) {
#define X(NAME, field, width, kind, member, presence)             \
	case COLUMN_##NAME:                                       \
		for (size_t i = 0; i < n; i++) {                  \
			const struct observation *row = &rows[i]; \
                                                                  \
			ret[m] = kind(row->member);               \
			m += !has || has[i] & bit;                \
		}                                                 \
		break;
		COLUMNS(X)
#undef X
	case COLUMNS_N: break;
	}
#undef SHAPE
#undef BE32
#undef BE64
#undef U8
#undef U16
#undef U32
#undef LAST
	return m;
}

static void find_columns(struct codec_encoder *e, const struct batch *b, size_t *ret_counts)
{
	uint32_t shape = 0, columns = shape_columns(0), before = 0;
	uint32_t run = 0;

	memset(ret_counts, 0, COLUMNS_N * sizeof(*ret_counts));
	for (size_t i = 0; i <= b->rows_n; i++) {
		const struct observation *row = &b->rows[i];
		uint32_t now = 0;

		if (i < b->rows_n) {
			if (i == 0 || shape_of(&row->key) != shape) {
				shape = shape_of(&row->key);
				columns = shape_columns(shape);
			}
			now = columns | (row->packets > 1 ? UINT32_C(1) << COLUMN_LAST : 0);
			e->has[i] = now;
		}
		if (i > 0 && (now != before || i == b->rows_n)) {
			for (unsigned k = 0; k < COLUMNS_N; k++)
				ret_counts[k] += before >> k & 1 ? run : 0;
			run = 0;
		}
		before = now;
		run++;
	}
}

/* Joins two numberings of the same rows into one.
 * @return number of distinct pairs, 0 above DICT_MAX */
static unsigned join(uint16_t *pairs, const struct group *a, const struct group *b, size_t n,
	uint8_t *ret_index, uint32_t *ret_first)
{
	unsigned d = 0;

	memset(pairs, 0xff, (size_t)a->d * b->d * sizeof(*pairs));
	for (size_t i = 0; i < n; i++) {
		uint16_t *pair = &pairs[(size_t)a->index[i] * b->d + b->index[i]];

		if (*pair == UINT16_MAX) {
			if (d == DICT_MAX)
				return 0;
			ret_first[d] = (uint32_t)i;
			*pair = (uint16_t)d++;
		}
		ret_index[i] = (uint8_t)*pair;
	}
	return d;
}

static uint64_t index_cost(const struct codec *c, const uint8_t *index, unsigned d, size_t n)
{
	uint32_t counts[DICT_MAX] = {0};

	if (d <= 1)
		return 0;
	for (size_t i = 0; i < n; i++)
		counts[index[i]]++;
	return column_index_cost(&c->column, counts, d, n);
}

/* Bytes of one column's values in a dictionary of d tuples, about: plain, or by its own values. */
static uint64_t entries_cost(const struct candidate *k, unsigned d)
{
	uint64_t plain = 1 + (uint64_t)d * k->value_bytes;
	uint64_t own;

	if (k->d == 1 || d == 1)
		return 1 + k->value_bytes;
	own = 3 + (uint64_t)k->d * k->value_bytes +
	      (k->d <= 2           ? d / 8
		      : k->d <= 4  ? d / 4
		      : k->d <= 16 ? d / 2
				   : d);
	return plain < own ? plain : own;
}

static uint64_t tuples_cost(const struct candidate *by_column, uint32_t mask, unsigned d)
{
	uint64_t cost = PROFILE_COST;

	for (unsigned k = 0; k < COLUMNS_N; k++)
		if (mask >> k & 1)
			cost += entries_cost(&by_column[k], d);
	return cost;
}

/* A column alone: whatever is better of dictionary and bytes. */
static uint64_t alone_cost(const struct candidate *k, uint64_t index)
{
	uint64_t dict = COLUMN_COST + 2 + (uint64_t)k->d * k->value_bytes + index;
	uint64_t plain = COLUMN_COST + 1 + (uint64_t)k->rows * k->value_bytes;

	return dict < plain ? dict : plain;
}

static void swap_groups(struct group *a, struct group *b)
{
	struct group t = *a;

	*a = *b;
	*b = t;
}

/* Puts a group of one column into the group with which it saves most, or leaves it alone.
 * spare: two groups with room for an index each. */
static void place(struct codec *c, const struct candidate *by_column, struct group *g, size_t n,
	struct group *groups, unsigned *groups_n, struct group *spare)
{
	struct group *trial = &spare[0], *best = &spare[1], *with = NULL;
	uint64_t best_saving = 0;

	for (unsigned k = 0; k < *groups_n && k < GROUPS_TRIED; k++) {
		uint64_t apart = groups[k].cost + g->cost;

		trial->mask = groups[k].mask | g->mask;
		trial->d = join(c->e.pairs, &groups[k], g, n, trial->index, trial->first);
		if (trial->d == 0)
			continue;
		trial->cost = tuples_cost(by_column, trial->mask, trial->d) +
			      index_cost(c, trial->index, trial->d, n);
		if (trial->cost + best_saving >= apart)
			continue;
		best_saving = apart - trial->cost;
		with = &groups[k];
		swap_groups(trial, best);
	}
	if (with)
		swap_groups(with, best);
	else
		groups[(*groups_n)++] = *g;
}

static void sort_candidates(struct candidate *k, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		for (unsigned j = i; j > 0 && k[j].d < k[j - 1].d; j--) {
			struct candidate t = k[j];

			k[j] = k[j - 1];
			k[j - 1] = t;
		}
}

/* Finds the columns with few values and joins them while that saves bytes.
 * @param ret_plain  mask of the columns that no group takes
 * @return number of groups in c->e.groups; the first may hold a single tuple */
static unsigned find_groups(
	struct codec *c, const struct batch *b, const size_t *rows_with, uint32_t *ret_plain)
{
	struct codec_encoder *e = &c->e;
	struct candidate by_column[COLUMNS_N], sorted[COLUMNS_N];
	struct group single[COLUMNS_N], spare[2];
	unsigned groups_n = 0, sorted_n = 0;
	size_t n = b->rows_n;
	uint8_t *slot = e->pool;

	*ret_plain = 0;
	for (unsigned k = 0; k < COLUMNS_N; k++) {
		struct group *g = &single[k];
		uint64_t all_or = 0;

		if (rows_with[k] == 0)
			continue;
		(void)gather(b->rows, n, k, NULL, e->values);
		g->index = slot + k * n;
		g->mask = UINT32_C(1) << k;
		g->d = column_distinct(e->values, n, g->index, g->first);
		if (g->d == 0) {
			*ret_plain |= g->mask;
			continue;
		}
		for (unsigned t = 0; t < g->d; t++)
			all_or |= e->values[g->first[t]];
		/* Zero in every row that has it: left out. A batch without shapes is none. */
		if (all_or == 0 && k != COLUMN_SHAPE)
			continue;
		by_column[k] = (struct candidate){
			.column = k,
			.d = g->d,
			.value_bytes = column_value_bytes(all_or),
			.rows = rows_with[k],
		};
		g->cost = alone_cost(&by_column[k], index_cost(c, g->index, g->d, n));
		sorted[sorted_n++] = by_column[k];
	}
	sort_candidates(sorted, sorted_n);
	spare[0].index = slot + COLUMNS_N * n;
	spare[1].index = slot + (COLUMNS_N + 1) * n;
	for (unsigned k = 0; k < sorted_n; k++)
		place(c, by_column, &single[sorted[k].column], n, e->groups, &groups_n, spare);
	return groups_n;
}

static int encode_profile(struct codec *c, const struct batch *b, const struct group *g)
{
	struct codec_encoder *e = &c->e;
	uint8_t last = (uint8_t)(g->d - 1);
	int r = varint_encode(g->mask, &e->work);

	if (r == 0)
		r = buf_add(&e->work, &last, 1);
	for (unsigned k = 0; r == 0 && k < COLUMNS_N; k++) {
		if (!(g->mask >> k & 1))
			continue;
		for (unsigned t = 0; t < g->d; t++)
			(void)gather(&b->rows[g->first[t]], 1, k, NULL, &e->values[t]);
		r = column_encode(&c->column, e->values, g->d, &e->work);
	}
	if (r == 0 && g->d > 1)
		r = plane_encode(&c->column, g->index, b->rows_n, &e->work);
	return r;
}

/* Where in e->work a field's bytes are. Pointers come when the buffer has stopped moving. */
struct span {
	size_t at, n;
};

struct layout {
	struct span time, samples, profiles[PROFILES_MAX], columns[COLUMNS_N];
	unsigned profiles_n;
	int64_t step_us;
};

static int encode_columns(struct codec *c, const struct batch *b, struct layout *l)
{
	struct codec_encoder *e = &c->e;
	size_t rows_with[COLUMNS_N];
	uint32_t plain;
	unsigned groups_n;
	int r = 0;

	find_columns(e, b, rows_with);
	groups_n = find_groups(c, b, rows_with, &plain);
	/* A reader needs the shapes first: their profile is the first one. */
	for (unsigned k = 1; k < groups_n; k++)
		if (e->groups[k].mask & 1u << COLUMN_SHAPE)
			swap_groups(&e->groups[0], &e->groups[k]);
	for (unsigned k = 0; r == 0 && k < groups_n; k++) {
		const struct group *g = &e->groups[k];
		size_t at = buf_len(&e->work);

		if ((g->mask & (g->mask - 1)) == 0 || l->profiles_n == PROFILES_MAX) {
			plain |= g->mask;
			continue;
		}
		r = encode_profile(c, b, g);
		l->profiles[l->profiles_n++] = (struct span){at, buf_len(&e->work) - at};
	}
	for (unsigned k = 0; r == 0 && k < COLUMNS_N; k++) {
		size_t at = buf_len(&e->work), m;

		if (!(plain >> k & 1))
			continue;
		m = gather(b->rows, b->rows_n, k, e->has, e->values);
		r = column_encode(&c->column, e->values, m, &e->work);
		l->columns[k] = (struct span){at, buf_len(&e->work) - at};
	}
	return r;
}

static int encode_time(struct codec *c, const struct batch *b, struct layout *l)
{
	struct codec_encoder *e = &c->e;
	size_t at = buf_len(&e->work);
	int64_t step = INT64_MAX;
	int r;

	if (b->rows_n < 2)
		return 0;
	for (uint32_t i = 1; i < b->rows_n; i++) {
		int64_t delta = b->rows[i].observed_us - b->rows[i - 1].observed_us;

		step = delta < step ? delta : step;
	}
	for (uint32_t i = 1; i < b->rows_n; i++)
		e->values[i - 1] =
			(uint64_t)(b->rows[i].observed_us - b->rows[i - 1].observed_us - step);
	r = column_encode(&c->column, e->values, b->rows_n - 1, &e->work);
	l->step_us = step;
	l->time = (struct span){at, buf_len(&e->work) - at};
	return r;
}

static void sample_message(struct sample *s, Hirundo__V1__Sample *ret)
{
	hirundo__v1__sample__init(ret);
	ret->observed_us = s->observed_us;
	ret->duration_us = (uint64_t)(s->last_us - s->observed_us);
	ret->content = s->content;
	ret->packets = s->packets;
	ret->payload_length = s->payload_length;
	ret->src = (ProtobufCBinaryData){s->has_src ? s->family == 6 ? 16 : 4 : 0, s->src};
	ret->family = s->family;
	ret->protocol = s->protocol;
	ret->has_ports = s->has_ports;
	ret->src_port = s->src_port;
	ret->dst_port = s->dst_port;
	ret->icmp_type = s->icmp_type;
	ret->icmp_code = s->icmp_code;
	ret->payload = (ProtobufCBinaryData){s->length, s->payload};
}

static int encode_samples(struct codec *c, const struct batch *b, struct layout *l)
{
	struct codec_encoder *e = &c->e;
	size_t at = buf_len(&e->work), packed_n, r;
	Hirundo__V1__SampleList list = HIRUNDO__V1__SAMPLE_LIST__INIT;
	AUTO_FREE Hirundo__V1__Sample *messages = NULL;
	AUTO_FREE Hirundo__V1__Sample **pointers = NULL;
	AUTO_FREE uint8_t *packed = NULL;
	int e_r;

	if (b->samples_n == 0)
		return 0;
	messages = malloc(b->samples_n * sizeof(*messages));
	pointers = malloc(b->samples_n * sizeof(Hirundo__V1__Sample *));
	if (!messages || !pointers)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->samples_n; i++) {
		sample_message(&b->samples[i], &messages[i]);
		pointers[i] = &messages[i];
	}
	list.n_samples = b->samples_n;
	list.samples = pointers;
	packed_n = hirundo__v1__sample_list__get_packed_size(&list);
	packed = malloc(packed_n);
	if (!packed)
		return -ENOMEM;
	(void)hirundo__v1__sample_list__pack(&list, packed);
	e_r = buf_reserve(&e->work, ZSTD_compressBound(packed_n));
	if (e_r < 0)
		return e_r;
	r = ZSTD_compressCCtx(
		c->column.zc, buf_tail(&e->work), buf_room(&e->work), packed, packed_n, 3);
	if (ZSTD_isError(r))
		return -ENOMEM;
	buf_added(&e->work, r);
	l->samples = (struct span){at, r};
	return 0;
}

static ProtobufCBinaryData field(const struct codec_encoder *e, struct span s)
{
	return (ProtobufCBinaryData){s.n, s.n > 0 ? buf_head(&e->work) + s.at : NULL};
}

static int pack(struct codec *c, const struct batch *b, const struct layout *l, struct buf *out)
{
	const struct codec_encoder *e = &c->e;
	Hirundo__V1__Batch m = HIRUNDO__V1__BATCH__INIT;
	Hirundo__V1__CapturePosition capture = HIRUNDO__V1__CAPTURE_POSITION__INIT;
	ProtobufCBinaryData profiles[PROFILES_MAX];
	size_t n;
	int r;

	m.rows = b->rows_n;
	m.fold_early = b->fold_early;
	m.base_us = b->rows_n > 0 ? b->rows[0].observed_us : 0;
	m.step_us = l->step_us;
	if (b->has_capture) {
		capture.xxh3 = b->capture.xxh3;
		capture.ordinal = b->capture.ordinal;
		capture.complete = b->capture.complete;
		capture.generation = b->capture.generation;
		capture.before = b->capture.before;
		m.capture = &capture;
	}
	for (unsigned k = 0; k < l->profiles_n; k++)
		profiles[k] = field(e, l->profiles[k]);
	m.n_profiles = l->profiles_n;
	m.profiles = profiles;
	m.samples = field(e, l->samples);
	m.time = field(e, l->time);
#define X(NAME, name, width, kind, member, bit) m.name = field(e, l->columns[COLUMN_##NAME]);
	COLUMNS(X)
#undef X
	n = hirundo__v1__batch__get_packed_size(&m);
	r = buf_reserve(out, n);
	if (r < 0 || n == 0)
		return r;
	buf_added(out, hirundo__v1__batch__pack(&m, buf_tail(out)));
	return 0;
}

int codec_encode_batch(struct codec *c, const struct batch *b, struct buf *out)
{
	struct layout l = {0};
	int r = reserve(c, b->rows_n > 0 ? b->rows_n : 1);

	buf_clear(&c->e.work);
	if (r == 0 && b->rows_n > 0)
		r = encode_columns(c, b, &l);
	if (r == 0)
		r = encode_time(c, b, &l);
	if (r == 0)
		r = encode_samples(c, b, &l);
	return r < 0 ? r : pack(c, b, &l, out);
}
