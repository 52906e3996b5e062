#include <errno.h>
#include <stdio.h>

#include "proto/codec_impl.h"

/* protobuf-c takes its memory from here: a payload and its list of profiles once, a SampleList with
 * its structs once. Touched only as far as used. */
#define ARENA_BYTES (2u * FRAME_MAX)

_Static_assert(ARENA_BYTES + SAMPLES_MAX_BYTES + BATCH_MAX_SAMPLES * sizeof(struct sample) +
			       (size_t)BATCH_MAX_ROWS *
				       (sizeof(struct observation) + 8 + 4 + 1 + 1 + 1 + 16) +
			       256u * 1024u /* ZSTD_DCtx */
		       < CODEC_DECODE_BUDGET,
	"a decode stays within its budget");

void decoder_done(struct codec_decoder *d)
{
	free(d->values);
	free(d->has);
	free(d->index);
	free(d->rows);
	free(d->samples);
	free(d->list);
	free(d->arena);
	*d = (struct codec_decoder){0};
}

static void *arena_alloc(void *arg, size_t n)
{
	struct codec_decoder *d = arg;
	void *p;

	if (n > ARENA_BYTES - d->arena_used)
		return NULL;
	p = d->arena + d->arena_used;
	n = (n + 15) & ~(size_t)15;
	d->arena_used = n > ARENA_BYTES - d->arena_used ? ARENA_BYTES : d->arena_used + n;
	return p;
}

static void arena_free(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

static int reserve(struct codec *c, size_t n)
{
	struct codec_decoder *d = &c->d;
	int r = column_scratch_reserve(&c->column, n, false);

	if (r < 0)
		return r;
	if (!d->arena) {
		d->arena = malloc(ARENA_BYTES);
		if (!d->arena)
			return -ENOMEM;
	}
	if (n <= d->cap)
		return 0;
	free(d->values);
	free(d->has);
	free(d->index);
	free(d->rows);
	d->cap = 0;
	d->values = malloc(n * sizeof(*d->values));
	d->has = malloc(n * sizeof(*d->has));
	d->index = malloc(n);
	d->rows = malloc(n * sizeof(*d->rows));
	if (!d->values || !d->has || !d->index || !d->rows) {
		free(d->values);
		free(d->has);
		free(d->index);
		free(d->rows);
		d->values = NULL;
		d->has = NULL;
		d->index = NULL;
		d->rows = NULL;
		return -ENOMEM;
	}
	d->cap = n;
	return 0;
}

static const char *column_name(enum column column)
{
	switch (column) {
#define X(NAME, field, width, kind, member, bit) \
	case COLUMN_##NAME: return #field;
		COLUMNS(X)
#undef X
	case COLUMNS_N: break;
	}
	return "unknown";
}

static unsigned column_width(enum column column)
{
	switch (column) {
#define X(NAME, field, width, kind, member, bit) \
	case COLUMN_##NAME: return width;
		COLUMNS(X)
#undef X
	case COLUMNS_N: break;
	}
	return 0;
}

static int malformed(struct codec *c, const char *what, const char *wrong)
{
	(void)snprintf(c->d.reason, sizeof(c->d.reason), "%s: %s", what, wrong);
	return CODEC_MALFORMED;
}

static int malformed_row(struct codec *c, size_t row, const char *wrong)
{
	(void)snprintf(c->d.reason, sizeof(c->d.reason), "row %zu: %s", row, wrong);
	return CODEC_MALFORMED;
}

static void set_shape(struct observation *row, uint64_t shape)
{
	row->key.present = (uint32_t)shape & ~SHAPE_V6;
	row->key.family = shape & SHAPE_V6 ? 6 : 4;
}

/* Writes values into the rows that have the column, in order. */
static void scatter(struct codec_decoder *d, size_t n, enum column column, uint32_t bit)
{
	const uint64_t *value = d->values;

#define SHAPE(member) set_shape(row, *value)
#define BE32(member) store_be32(&(member), (uint32_t)*value)
#define BE64(member) store_be64(&(member), *value)
#define U8(member) (member) = (uint8_t)*value
#define U16(member) (member) = (uint16_t)*value
#define U32(member) (member) = (uint32_t)*value
#define LAST(member) (member) = row->observed_us + (int64_t)*value
	switch (column) {
#define X(NAME, field, width, kind, member, presence)          \
	case COLUMN_##NAME:                                    \
		for (size_t i = 0; i < n; i++) {               \
			struct observation *row = &d->rows[i]; \
                                                               \
			if (d->has[i] & bit) {                 \
				kind(row->member);             \
				value++;                       \
			}                                      \
		}                                              \
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
}

/* The shapes are known: which columns does each row have? */
static int find_columns(struct codec *c, size_t n)
{
	struct codec_decoder *d = &c->d;
	uint32_t shape = 0, columns = 0;

	for (size_t i = 0; i < n; i++) {
		const struct observation_key *k = &d->rows[i].key;
		uint32_t now = k->present | (k->family == 6 ? SHAPE_V6 : 0);

		if (i == 0 || now != shape) {
			const char *wrong = shape_check(now);

			if (wrong)
				return malformed_row(c, i, wrong);
			shape = now;
			columns = shape_columns(now);
		}
		/* Until the packets are known any row may have `last`; row_check looks in the end.
		 */
		d->has[i] = columns | UINT32_C(1) << COLUMN_LAST;
	}
	return 0;
}

static int finish_column(struct codec *c, size_t n, enum column column)
{
	scatter(&c->d, n, column, UINT32_C(1) << column);
	return column == COLUMN_SHAPE ? find_columns(c, n) : 0;
}

/* Values of all rows -> of those that have the column. The others' must be zero. */
static bool drop_absent(struct codec_decoder *d, size_t n, enum column column)
{
	uint32_t bit = UINT32_C(1) << column;
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t v = d->values[i];

		if (d->has[i] & bit)
			d->values[m++] = v;
		else if (v != 0)
			return false;
	}
	return true;
}

static int decode_profile(
	struct codec *c, const ProtobufCBinaryData *field, size_t n, uint32_t *seen)
{
	struct codec_decoder *d = &c->d;
	struct bytes in = bytes_of(field->data, field->len);
	uint64_t entries[COLUMNS_N][DICT_MAX];
	const char *wrong = NULL;
	uint32_t mask;
	uint8_t last;

	if (!varint_decode(&in, &mask) || !bytes_u8(&in, &last))
		return malformed(c, "profile", "is cut");
	if (last >= n) /* and so the scratch, made for n values, has room */
		return malformed(c, "profile", "more tuples than rows");
	if (mask == 0 || mask >> COLUMNS_N != 0 || (mask & *seen))
		return malformed(c, "profile", "unknown column or one that came already");
	*seen |= mask;
	for (unsigned k = 0; k < COLUMNS_N; k++) {
		if (!(mask >> k & 1))
			continue;
		wrong = column_decode(&c->column, &in, last + 1u, column_width(k), entries[k]);
		if (wrong)
			return malformed(c, column_name(k), wrong);
	}
	if (last == 0)
		memset(d->index, 0, n);
	else
		wrong = plane_decode(&c->column, &in, n, last + 1u, d->index);
	if (wrong)
		return malformed(c, "profile", wrong);
	if (in.n > 0)
		return malformed(c, "profile", "bytes behind its end");
	for (unsigned k = 0; k < COLUMNS_N; k++) {
		int r;

		if (!(mask >> k & 1))
			continue;
		for (size_t i = 0; i < n; i++)
			d->values[i] = entries[k][d->index[i]];
		if (!drop_absent(d, n, k))
			return malformed(c, column_name(k), "value in a row that lacks it");
		r = finish_column(c, n, k);
		if (r != 0)
			return r;
	}
	return 0;
}

static int decode_field(
	struct codec *c, const ProtobufCBinaryData *field, size_t n, enum column column)
{
	struct codec_decoder *d = &c->d;
	struct bytes in = bytes_of(field->data, field->len);
	uint32_t bit = UINT32_C(1) << column;
	const char *wrong;
	size_t m = 0;

	if (column == COLUMN_LAST)
		for (size_t i = 0; i < n; i++)
			if (d->rows[i].packets <= 1)
				d->has[i] &= ~bit;
	for (size_t i = 0; i < n; i++)
		m += (d->has[i] & bit) != 0;
	if (m == 0)
		return malformed(c, column_name(column), "no row has it");
	wrong = column_decode(&c->column, &in, m, column_width(column), d->values);
	if (!wrong && in.n > 0)
		wrong = "bytes behind its end";
	if (wrong)
		return malformed(c, column_name(column), wrong);
	return finish_column(c, n, column);
}

static int decode_time(struct codec *c, const Hirundo__V1__Batch *m, size_t n)
{
	struct codec_decoder *d = &c->d;
	struct bytes in = bytes_of(m->time.data, m->time.len);
	int64_t t = m->base_us;
	const char *wrong = NULL;

	if (t < 0 || t >= TIME_END_US)
		return malformed(c, "base_us", "out of range");
	if (m->step_us <= -TIME_END_US || m->step_us >= TIME_END_US || (n == 1 && m->step_us != 0))
		return malformed(c, "step_us", "out of range");
	if (n == 1 && in.n > 0)
		return malformed(c, "time", "no row has it");
	if (in.n > 0)
		wrong = column_decode(&c->column, &in, n - 1, COLUMN_TIME_WIDTH, d->values);
	else
		memset(d->values, 0, n * sizeof(*d->values));
	if (!wrong && in.n > 0)
		wrong = "bytes behind its end";
	if (wrong)
		return malformed(c, "time", wrong);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			t += m->step_us + (int64_t)d->values[i - 1]; /* below 2^54 each */
		if (t < 0 || t >= TIME_END_US)
			return malformed_row(c, i, "time: out of range");
		d->rows[i].observed_us = t;
		d->rows[i].last_us = t;
	}
	return 0;
}

static int decode_rows(struct codec *c, const Hirundo__V1__Batch *m, size_t n)
{
	struct codec_decoder *d = &c->d;
	const ProtobufCBinaryData *fields[COLUMNS_N] = {
#define X(NAME, name, width, kind, member, bit) &m->name,
		COLUMNS(X)
#undef X
	};
	uint32_t seen = 0;
	int r;

	memset(d->rows, 0, n * sizeof(*d->rows));
	for (size_t i = 0; i < n; i++)
		d->has[i] = 1u << COLUMN_SHAPE;
	r = decode_time(c, m, n);
	if (r == 0 && fields[COLUMN_SHAPE]->len > 0) {
		seen |= 1u << COLUMN_SHAPE;
		r = decode_field(c, fields[COLUMN_SHAPE], n, COLUMN_SHAPE);
	}
	for (size_t k = 0; r == 0 && k < m->n_profiles; k++) {
		r = decode_profile(c, &m->profiles[k], n, &seen);
		if (r == 0 && !(seen & 1u << COLUMN_SHAPE))
			r = malformed(c, "profile", "before the shapes are known");
	}
	if (r == 0 && !(seen & 1u << COLUMN_SHAPE))
		r = malformed(c, "shape", "missing");
	for (unsigned k = COLUMN_SHAPE + 1; r == 0 && k < COLUMNS_N; k++) {
		if (fields[k]->len == 0)
			continue;
		if (seen & UINT32_C(1) << k)
			r = malformed(c, column_name(k), "came already");
		else
			r = decode_field(c, fields[k], n, k);
	}
	return r;
}

static int check_rows(struct codec *c, struct batch *b)
{
	for (uint32_t i = 0; i < b->rows_n; i++) {
		const char *wrong = row_check(&b->rows[i]);

		if (wrong)
			return malformed_row(c, i, wrong);
		b->packets += b->rows[i].packets; /* 2^15 rows below 2^31: no overflow */
	}
	return 0;
}

static const char *take_sample(const Hirundo__V1__Sample *m, struct sample *ret)
{
	if (m->family != 4 && m->family != 6)
		return "family: out of range";
	if (m->src.len != 0 && m->src.len != (m->family == 6 ? 16 : 4))
		return "src: wrong length";
	if (m->protocol > 255 || m->src_port > 65535 || m->dst_port > 65535 || m->icmp_type > 255 ||
		m->icmp_code > 255 || m->payload.len > SAMPLE_MAX ||
		m->duration_us >= (uint64_t)TIME_END_US)
		return "value is too large";
	*ret = (struct sample){
		.observed_us = m->observed_us,
		.last_us = m->observed_us + (int64_t)m->duration_us,
		.content = m->content,
		.packets = m->packets,
		.payload_length = m->payload_length,
		.family = (uint8_t)m->family,
		.has_src = m->src.len > 0,
		.protocol = (uint8_t)m->protocol,
		.has_ports = (uint8_t)m->has_ports,
		.src_port = (uint16_t)m->src_port,
		.dst_port = (uint16_t)m->dst_port,
		.icmp_type = (uint8_t)m->icmp_type,
		.icmp_code = (uint8_t)m->icmp_code,
		.length = (uint8_t)m->payload.len,
	};
	if (m->src.len > 0)
		memcpy(ret->src, m->src.data, m->src.len);
	if (m->payload.len > 0)
		memcpy(ret->payload, m->payload.data, m->payload.len);
	return sample_check(ret);
}

static int decode_samples(struct codec *c, const ProtobufCBinaryData *field, struct batch *b)
{
	struct codec_decoder *d = &c->d;
	ProtobufCAllocator arena = {arena_alloc, arena_free, d};
	unsigned long long n = ZSTD_getFrameContentSize(field->data, field->len);
	const Hirundo__V1__SampleList *list;
	const char *wrong;
	size_t r;

	if (n == 0 || n > SAMPLES_MAX_BYTES ||
		ZSTD_findFrameCompressedSize(field->data, field->len) != field->len)
		return malformed(c, "samples", "zstd frame has another size");
	if (!d->list)
		d->list = malloc(SAMPLES_MAX_BYTES);
	if (!d->samples)
		d->samples = malloc(BATCH_MAX_SAMPLES * sizeof(*d->samples));
	if (!d->list || !d->samples)
		return -ENOMEM;
	r = ZSTD_decompressDCtx(c->column.zd, d->list, n, field->data, field->len);
	if (ZSTD_isError(r) || r != n)
		return malformed(c, "samples", "zstd frame is damaged");
	wrong = message_walk(&hirundo__v1__sample_list__descriptor, bytes_of(d->list, n));
	if (wrong)
		return malformed(c, "samples", wrong);
	list = hirundo__v1__sample_list__unpack(&arena, n, d->list);
	if (!list)
		return malformed(c, "samples", "cannot be unpacked");
	for (size_t i = 0; i < list->n_samples; i++) {
		wrong = take_sample(list->samples[i], &d->samples[i]);
		if (wrong)
			return malformed(c, "samples", wrong);
	}
	b->samples = d->samples;
	b->samples_n = (uint32_t)list->n_samples;
	return 0;
}

static bool has_columns(const Hirundo__V1__Batch *m)
{
	size_t n = m->time.len + m->n_profiles;

#define X(NAME, name, width, kind, member, bit) n += m->name.len;
	COLUMNS(X)
#undef X
	return n > 0 || m->base_us != 0 || m->step_us != 0 || m->fold_early != 0;
}

static int decode_message(struct codec *c, const Hirundo__V1__Batch *m, struct batch *ret)
{
	struct batch b = {.rows_n = m->rows, .fold_early = m->fold_early};
	const char *wrong;
	int r;

	if (m->rows > BATCH_MAX_ROWS)
		return malformed(c, "rows", "too many");
	if (m->fold_early > m->rows)
		return malformed(c, "fold_early", "more than rows");
	r = reserve(c, m->rows);
	if (r < 0)
		return r;
	if (m->rows > 0) {
		b.rows = c->d.rows;
		r = decode_rows(c, m, m->rows);
	} else if (has_columns(m)) {
		r = malformed(c, "rows", "none, but columns");
	}
	if (r == 0)
		r = check_rows(c, &b);
	if (r == 0 && m->samples.len > 0)
		r = decode_samples(c, &m->samples, &b);
	if (r != 0)
		return r;
	wrong = capture_check(m->capture);
	if (wrong)
		return malformed(c, "batch", wrong);
	if (m->capture) {
		b.has_capture = true;
		b.capture = (struct capture_position){
			.xxh3 = m->capture->xxh3,
			.ordinal = m->capture->ordinal,
			.complete = m->capture->complete,
			.generation = m->capture->generation,
			.before = m->capture->before,
		};
	}
	*ret = b;
	return 0;
}

static int decode_payload(struct codec *c, const uint8_t *payload, size_t n, struct batch *ret)
{
	ProtobufCAllocator arena = {arena_alloc, arena_free, &c->d};
	const Hirundo__V1__Batch *m;
	const char *wrong;
	int r;

	if (n > FRAME_MAX - FRAME_HEADER_SIZE)
		return malformed(c, "batch", "too long");
	wrong = message_walk(&hirundo__v1__batch__descriptor, bytes_of(payload, n));
	if (wrong)
		return malformed(c, "batch", wrong);
	r = reserve(c, 1);
	if (r < 0)
		return r;
	c->d.arena_used = 0;
	m = hirundo__v1__batch__unpack(&arena, n, payload);
	return m ? decode_message(c, m, ret) : malformed(c, "batch", "cannot be unpacked");
}

int codec_decode_batch(struct codec *c, const uint8_t *payload, size_t n, struct batch *ret,
	const char **ret_reason)
{
	int r = decode_payload(c, payload, n, ret);

	if (r != 0)
		*ret_reason = r < 0 ? "out of memory" : c->d.reason;
	return r;
}
