#include "proto/column.h"

#include <errno.h>

/* Below this many bytes a zstd frame's own header (10 bytes) eats what it saves. */
#define SQUEEZE_MIN 32u
/* What a zstd frame and its Huffman table cost: 10 bytes, and about 5 bits a symbol in use
 * (RFC 8878, 4.2.1: weights, FSE-compressed). */
#define SQUEEZE_FRAME_COST 12u
#define SQUEEZE_SYMBOL_BITS 5u
/* REPEAT gives up where the first values are all different. */
#define REPEAT_PROBE 1024u
#define REPEAT_MIN_BYTES 3u
#define SLOT_EMPTY UINT16_MAX
/* Neighbours in a hash table that are looked at. At the load of at most a half that these tables
 * have, honest values need fewer; what is not found is written again and costs bytes, not time. */
#define PROBES_MAX 32u

static int grow(void *array, size_t n, size_t size)
{
	void *p = realloc(*(void **)array, n * size);

	if (!p)
		return -ENOMEM;
	*(void **)array = p;
	return 0;
}

/* log2(1 + i / 256) by squaring: each square doubles the logarithm, its carry is the next bit. */
static void log2_table(uint32_t *table)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint64_t y = (UINT64_C(256) + i) << 22; /* Q30 */
		uint32_t bits = 0;

		for (int b = 15; b >= 0; b--) {
			y = y * y >> 30;
			if (y >= UINT64_C(2) << 30) {
				y >>= 1;
				bits |= UINT32_C(1) << b;
			}
		}
		table[i] = bits;
	}
}

static int reserve_encoder(struct column_scratch *s, size_t n)
{
	size_t slots_n = 1024;

	if (!s->zc) {
		s->zc = ZSTD_createCCtx();
		if (!s->zc)
			return -ENOMEM;
		log2_table(s->log2_q16);
	}
	while (slots_n < 2 * n)
		slots_n *= 2;
	if (slots_n > s->slots_n) {
		if (grow(&s->slots, slots_n, sizeof(*s->slots)) < 0)
			return -ENOMEM;
		s->slots_n = slots_n;
	}
	return grow(&s->squeezed, ZSTD_compressBound(n), 1);
}

int column_scratch_reserve(struct column_scratch *s, size_t n, bool encoder)
{
	if (encoder && (n > s->cap || !s->zc) && reserve_encoder(s, n > s->cap ? n : s->cap) < 0)
		return -ENOMEM;
	if (!encoder && !s->zd) {
		s->zd = ZSTD_createDCtx();
		if (!s->zd)
			return -ENOMEM;
	}
	if (n <= s->cap)
		return 0;
	if (grow(&s->plane, n, 1) < 0 || grow(&s->packed, n, 1) < 0 ||
		grow(&s->first, n, sizeof(*s->first)) < 0 ||
		grow(&s->second, n, sizeof(*s->second)) < 0)
		return -ENOMEM;
	s->cap = n;
	return 0;
}

void column_scratch_done(struct column_scratch *s)
{
	free(s->plane);
	free(s->packed);
	free(s->squeezed);
	free(s->first);
	free(s->second);
	free(s->slots);
	(void)ZSTD_freeCCtx(s->zc);
	(void)ZSTD_freeDCtx(s->zd);
	*s = (struct column_scratch){0};
}

int varint_encode(uint64_t v, struct buf *out)
{
	uint8_t b[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		b[n++] = (uint8_t)(v | 0x80);
	b[n++] = (uint8_t)v;
	return buf_add(out, b, n);
}

bool varint_decode(struct bytes *in, uint32_t *ret)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (!bytes_u8(in, &b))
			return false;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b & 0x80)
			continue;
		if ((b == 0 && shift > 0) || v > UINT32_MAX)
			return false;
		*ret = (uint32_t)v;
		return true;
	}
	return false;
}

unsigned column_value_bytes(uint64_t v)
{
	unsigned n = 0;

	for (; v; v >>= 8)
		n++;
	return n;
}

/* Fibonacci hashing (Knuth, TAOCP 3, 6.4). Whoever sends packets could choose values that collide,
 * and a key would make encoding depend on it: instead nothing is looked for further than
 * PROBES_MAX. */
static uint32_t hash_of(uint64_t v)
{
	return (uint32_t)((v * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

unsigned column_distinct(const uint64_t *values, size_t n, uint8_t *ret_index, uint32_t *ret_first)
{
	enum {
		SLOTS = 1024
	};
	uint16_t slots[SLOTS];
	unsigned d = 0, last = 0;

	memset(slots, 0xff, sizeof(slots));
	for (size_t i = 0; i < n; i++) {
		uint64_t v = values[i];
		uint32_t at, probes = 0;

		if (i > 0 && v == values[i - 1]) {
			ret_index[i] = (uint8_t)last;
			continue;
		}
		for (at = hash_of(v) % SLOTS; slots[at] != SLOT_EMPTY; at = (at + 1) % SLOTS)
			if (values[ret_first[slots[at]]] == v || probes++ == PROBES_MAX)
				break;
		if (probes > PROBES_MAX)
			return 0;
		if (slots[at] == SLOT_EMPTY) {
			if (d == DICT_MAX)
				return 0;
			ret_first[d] = (uint32_t)i;
			slots[at] = (uint16_t)d++;
		}
		last = slots[at];
		ret_index[i] = (uint8_t)last;
	}
	return d;
}

static uint32_t log2_q16(const struct column_scratch *s, uint32_t x)
{
	uint32_t e = 31u - (uint32_t)__builtin_clz(x);

	return (e << 16) + s->log2_q16[(x << (31 - e) >> 23) & 0xff];
}

uint64_t column_entropy_bits(
	const struct column_scratch *s, const uint32_t *counts, size_t counts_n, uint64_t sum)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < counts_n; i++)
		if (counts[i] > 0 && counts[i] < sum)
			bits += (uint64_t)counts[i] *
				(log2_q16(s, (uint32_t)sum) - log2_q16(s, counts[i]));
	return bits >> 16;
}

static unsigned symbol_bits_log2(unsigned max)
{
	return max < 2 ? 0 : max < 4 ? 1 : max < 16 ? 2 : 3;
}

static size_t packed_size(size_t n, unsigned bits_log2)
{
	unsigned per_log2 = 3 - bits_log2;

	return (n >> per_log2) + ((n & ((1u << per_log2) - 1)) != 0);
}

uint64_t column_index_cost(
	const struct column_scratch *s, const uint32_t *counts, unsigned d, uint64_t n)
{
	uint64_t raw, squeezed;

	if (d <= 1)
		return 2;
	raw = packed_size(n, symbol_bits_log2(d - 1)) + 1;
	squeezed = column_entropy_bits(s, counts, d, n);
	if (d > 16 && squeezed < n) /* Huffman codes have a bit at least */
		squeezed = n;
	squeezed = (squeezed + (uint64_t)d * SQUEEZE_SYMBOL_BITS) / 8 + SQUEEZE_FRAME_COST;
	return raw < squeezed ? raw : squeezed;
}

static size_t pack(uint8_t *to, const uint8_t *symbols, size_t n, unsigned bits_log2)
{
	unsigned bits = 1u << bits_log2, per = 8u >> bits_log2;
	size_t m = packed_size(n, bits_log2);

	for (size_t i = 0; i < m; i++) {
		size_t left = n - i * per;
		unsigned v = 0;

		for (unsigned k = 0; k < per && k < left; k++)
			v |= (unsigned)symbols[i * per + k] << (k * bits);
		to[i] = (uint8_t)v;
	}
	return m;
}

static void unpack(uint8_t *to, const uint8_t *from, size_t n, unsigned bits_log2)
{
	unsigned bits = 1u << bits_log2, per_log2 = 3 - bits_log2, mask = (1u << bits) - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(from[i >> per_log2] >> ((i & ((1u << per_log2) - 1)) * bits) &
				  mask);
}

/* Bytes of zstd in s->squeezed, 0 where raw is better. */
static size_t squeeze(struct column_scratch *s, const uint8_t *p, size_t n)
{
	uint32_t counts[4][256] = {{0}};
	uint64_t estimate;
	unsigned used = 0;
	size_t r, i;

	if (n < SQUEEZE_MIN)
		return 0;
	for (i = 0; i + 4 <= n; i += 4) { /* four tables: no increment waits for the one before */
		counts[0][p[i]]++;
		counts[1][p[i + 1]]++;
		counts[2][p[i + 2]]++;
		counts[3][p[i + 3]]++;
	}
	for (; i < n; i++)
		counts[0][p[i]]++;
	for (i = 0; i < 256; i++) {
		counts[0][i] += counts[1][i] + counts[2][i] + counts[3][i];
		used += counts[0][i] > 0;
	}
	estimate = (column_entropy_bits(s, counts[0], 256, n) + used * SQUEEZE_SYMBOL_BITS) / 8 +
		   SQUEEZE_FRAME_COST;
	if (estimate >= n)
		return 0;
	r = ZSTD_compressCCtx(s->zc, s->squeezed, ZSTD_compressBound(n), p, n, 1);
	return ZSTD_isError(r) || r + 2 >= n ? 0 : r;
}

int plane_encode(struct column_scratch *s, const uint8_t *symbols, size_t n, struct buf *out)
{
	unsigned all_or = 0, max = 0, bits_log2;
	const uint8_t *p = symbols;
	size_t m = n, squeezed;
	uint8_t head;
	int r;

	for (size_t i = 0; i < n; i++) {
		all_or |= symbols[i] ^ symbols[0];
		max = symbols[i] > max ? symbols[i] : max;
	}
	if (all_or == 0) {
		uint8_t constant[2] = {PLANE_CONST, symbols[0]};

		return buf_add(out, constant, 2);
	}
	bits_log2 = symbol_bits_log2(max);
	if (bits_log2 < 3) {
		m = pack(s->packed, symbols, n, bits_log2);
		p = s->packed;
	}
	squeezed = squeeze(s, p, m);
	head = (uint8_t)(bits_log2 << 4 | (squeezed ? PLANE_ZSTD : PLANE_RAW));
	r = buf_add(out, &head, 1);
	if (r < 0)
		return r;
	if (!squeezed)
		return buf_add(out, p, m);
	r = varint_encode(squeezed, out);
	return r < 0 ? r : buf_add(out, s->squeezed, squeezed);
}

static int put_head(struct buf *out, enum column_mode mode, unsigned value_bytes)
{
	uint8_t head = (uint8_t)((unsigned)mode << 4 | value_bytes);

	return buf_add(out, &head, 1);
}

static int put_value(struct buf *out, uint64_t v, unsigned value_bytes)
{
	uint8_t b[8];

	for (unsigned k = 0; k < value_bytes; k++)
		b[k] = (uint8_t)(v >> (8 * k));
	return buf_add(out, b, value_bytes);
}

static int encode_planes(struct column_scratch *s, const uint64_t *values, size_t n,
	unsigned value_bytes, struct buf *out)
{
	int r = put_head(out, COLUMN_PLANES, value_bytes);

	for (unsigned k = 0; r == 0 && k < value_bytes; k++) {
		for (size_t i = 0; i < n; i++)
			s->plane[i] = (uint8_t)(values[i] >> (8 * k));
		r = plane_encode(s, s->plane, n, out);
	}
	return r;
}

static int encode_dict(struct column_scratch *s, const uint64_t *values, size_t n,
	unsigned value_bytes, const uint32_t *first, unsigned d, struct buf *out)
{
	uint8_t entries = (uint8_t)(d - 1);
	int r = put_head(out, COLUMN_DICT, value_bytes);

	if (r == 0)
		r = buf_add(out, &entries, 1);
	for (unsigned k = 0; r == 0 && k < d; k++)
		r = put_value(out, values[first[k]], value_bytes);
	return r < 0 ? r : plane_encode(s, s->plane, n, out);
}

/* Splits values into new ones (s->first) and references to old ones (s->second); marks in s->plane.
 * @return number of new ones, 0 where it is not worth while */
static size_t find_repeats(
	struct column_scratch *s, const uint64_t *values, size_t n, unsigned value_bytes)
{
	size_t mask = 1024, d = 0, old = 0;

	if (value_bytes < REPEAT_MIN_BYTES || n < 64)
		return 0;
	while (mask < 2 * n)
		mask *= 2;
	memset(s->slots, 0xff, mask * sizeof(*s->slots));
	mask--;
	for (size_t i = 0; i < n; i++) {
		size_t at = hash_of(values[i]) & mask;
		unsigned probes = 0;
		bool known;

		while (s->slots[at] != SLOT_EMPTY && s->first[s->slots[at]] != values[i] &&
			probes++ < PROBES_MAX)
			at = (at + 1) & mask;
		known = s->slots[at] != SLOT_EMPTY && probes <= PROBES_MAX;
		s->plane[i] = !known;
		if (!known) {
			if (s->slots[at] == SLOT_EMPTY)
				s->slots[at] = (uint16_t)d;
			s->first[d++] = values[i];
		} else {
			s->second[old++] = s->slots[at];
		}
		if (i == REPEAT_PROBE && old * 32 < i)
			return 0;
	}
	/* A repeat saves the value less a reference of two bytes; each row pays a bit. */
	return old * (value_bytes - 2) > n / 8 + 2 * SQUEEZE_FRAME_COST ? d : 0;
}

static int encode_repeat(
	struct column_scratch *s, size_t n, size_t d, unsigned value_bytes, struct buf *out)
{
	unsigned reference_bytes = column_value_bytes(d - 1);
	int r = put_head(out, COLUMN_REPEAT, value_bytes);

	if (r == 0)
		r = plane_encode(s, s->plane, n, out);
	if (r == 0)
		r = encode_planes(s, s->first, d, value_bytes, out);
	return r < 0 ? r : encode_planes(s, s->second, n - d, reference_bytes, out);
}

/* Whether a dictionary beats planes, from the number of entries and the index's histogram. */
static bool dict_pays(struct column_scratch *s, const uint8_t *index, unsigned d, size_t n,
	unsigned value_bytes, uint64_t varying)
{
	uint32_t counts[DICT_MAX] = {0};
	uint64_t dict, planes = 0;

	for (size_t i = 0; i < n; i++)
		counts[index[i]]++;
	dict = 1 + (uint64_t)d * value_bytes + column_index_cost(s, counts, d, n);
	/* A plane takes what its entropy asks for, at most the index's; a lone one cannot beat it.
	 */
	for (; varying; varying >>= 8)
		planes += (varying & 0xff) ? column_index_cost(s, counts, d, n) : 2;
	return dict < planes && dict < 1 + (uint64_t)n * value_bytes;
}

int column_encode(struct column_scratch *s, const uint64_t *values, size_t n, struct buf *out)
{
	uint32_t first[DICT_MAX];
	uint64_t all_or = 0, varying = 0;
	unsigned value_bytes, d;
	size_t repeats;
	int r;

	for (size_t i = 0; i < n; i++) {
		all_or |= values[i];
		varying |= values[i] ^ values[0];
	}
	value_bytes = column_value_bytes(all_or);
	if (varying == 0) {
		r = put_head(out, COLUMN_CONST, value_bytes);
		return r < 0 ? r : put_value(out, values[0], value_bytes);
	}
	d = column_distinct(values, n, s->plane, first);
	if (d > 0 && dict_pays(s, s->plane, d, n, value_bytes, varying))
		return encode_dict(s, values, n, value_bytes, first, d, out);
	repeats = d > 0 ? 0 : find_repeats(s, values, n, value_bytes);
	if (repeats > 0)
		return encode_repeat(s, n, repeats, value_bytes, out);
	return encode_planes(s, values, n, value_bytes, out);
}

static const char *inflate(
	struct column_scratch *s, struct bytes *in, size_t n, const uint8_t **ret)
{
	const uint8_t *p;
	uint32_t len;
	size_t r;

	if (!varint_decode(in, &len) || !bytes_take(in, len, &p))
		return "plane is cut";
	/* One frame, of exactly the size that we made room for. */
	if (ZSTD_getFrameContentSize(p, len) != n || ZSTD_findFrameCompressedSize(p, len) != len)
		return "zstd frame has another size";
	r = ZSTD_decompressDCtx(s->zd, s->packed, n, p, len);
	if (ZSTD_isError(r) || r != n)
		return "zstd frame is damaged";
	*ret = s->packed;
	return NULL;
}

const char *plane_decode(
	struct column_scratch *s, struct bytes *in, size_t n, unsigned limit, uint8_t *ret)
{
	const uint8_t *p = NULL;
	const char *wrong = NULL;
	unsigned bits_log2, used;
	uint8_t head, max = 0;
	size_t m;

	if (!bytes_u8(in, &head))
		return "plane is cut";
	if (head == PLANE_CONST) {
		if (!bytes_u8(in, &max))
			return "plane is cut";
		memset(ret, max, n);
		return max < limit ? NULL : "symbol out of range";
	}
	bits_log2 = head >> 4;
	if (bits_log2 > 3)
		return "unknown plane";
	m = packed_size(n, bits_log2);
	if ((head & 0xf) == PLANE_RAW)
		wrong = bytes_take(in, m, &p) ? NULL : "plane is cut";
	else if ((head & 0xf) == PLANE_ZSTD)
		wrong = inflate(s, in, m, &p);
	else
		wrong = "unknown plane";
	if (wrong)
		return wrong;
	used = (unsigned)(n << bits_log2) & 7; /* bits of the last byte in use, 0 = all */
	if (used && p[m - 1] >> used)
		return "bits behind the last symbol are set";
	if (bits_log2 == 3)
		memcpy(ret, p, n);
	else
		unpack(ret, p, n, bits_log2);
	if (limit > 255)
		return NULL;
	for (size_t i = 0; i < n; i++)
		max = ret[i] > max ? ret[i] : max;
	return max < limit ? NULL : "symbol out of range";
}

static const char *decode_planes(
	struct column_scratch *s, struct bytes *in, size_t n, unsigned value_bytes, uint64_t *ret)
{
	memset(ret, 0, n * sizeof(*ret));
	for (unsigned k = 0; k < value_bytes; k++) {
		const char *wrong = plane_decode(s, in, n, 256, s->plane);

		if (wrong)
			return wrong;
		for (size_t i = 0; i < n; i++)
			ret[i] |= (uint64_t)s->plane[i] << (8 * k);
	}
	return NULL;
}

static bool take_value(struct bytes *in, unsigned value_bytes, uint64_t *ret)
{
	const uint8_t *p;
	uint64_t v = 0;

	if (!bytes_take(in, value_bytes, &p))
		return false;
	for (unsigned k = 0; k < value_bytes; k++)
		v |= (uint64_t)p[k] << (8 * k);
	*ret = v;
	return true;
}

static const char *decode_dict(
	struct column_scratch *s, struct bytes *in, size_t n, unsigned value_bytes, uint64_t *ret)
{
	uint64_t entries[DICT_MAX];
	const char *wrong;
	uint8_t last;

	if (!bytes_u8(in, &last))
		return "dictionary is cut";
	if (last >= n)
		return "more entries than values";
	for (unsigned k = 0; k <= last; k++)
		if (!take_value(in, value_bytes, &entries[k]))
			return "dictionary is cut";
	wrong = plane_decode(s, in, n, last + 1u, s->plane);
	if (wrong)
		return wrong;
	for (size_t i = 0; i < n; i++)
		ret[i] = entries[s->plane[i]];
	return NULL;
}

/* A column of planes alone, as REPEAT holds two of them. */
static const char *decode_inner(
	struct column_scratch *s, struct bytes *in, size_t n, unsigned width, uint64_t *ret)
{
	uint8_t head;

	if (!bytes_u8(in, &head))
		return "column is cut";
	if (head >> 4 != COLUMN_PLANES || (head & 0xf) > width)
		return "unknown column";
	return n > 0 ? decode_planes(s, in, n, head & 0xf, ret) : NULL;
}

static const char *decode_repeat(
	struct column_scratch *s, struct bytes *in, size_t n, unsigned value_bytes, uint64_t *ret)
{
	const char *wrong = plane_decode(s, in, n, 2, s->plane);
	size_t d = 0, known = 0, old = 0;

	if (wrong)
		return wrong;
	/* The marks go where the values will be: the planes below need s->plane. */
	for (size_t i = 0; i < n; i++) {
		ret[i] = s->plane[i];
		d += s->plane[i];
	}
	wrong = decode_inner(s, in, d, value_bytes, s->first);
	if (!wrong)
		wrong = decode_inner(s, in, n - d, 2, s->second);
	if (wrong)
		return wrong;
	for (size_t i = 0; i < n; i++) {
		if (ret[i]) {
			ret[i] = s->first[known++];
		} else if (s->second[old] >= known) {
			return "reference to a value that did not come yet";
		} else {
			ret[i] = s->first[s->second[old++]];
		}
	}
	return NULL;
}

const char *column_decode(
	struct column_scratch *s, struct bytes *in, size_t n, unsigned width, uint64_t *ret)
{
	uint8_t head;
	unsigned value_bytes;
	uint64_t v;

	if (!bytes_u8(in, &head))
		return "column is cut";
	value_bytes = head & 0xf;
	if (value_bytes > width)
		return "value is too wide";
	switch (head >> 4) {
	case COLUMN_PLANES: return decode_planes(s, in, n, value_bytes, ret);
	case COLUMN_CONST:
		if (!take_value(in, value_bytes, &v))
			return "column is cut";
		for (size_t i = 0; i < n; i++)
			ret[i] = v;
		return NULL;
	case COLUMN_DICT: return decode_dict(s, in, n, value_bytes, ret);
	case COLUMN_REPEAT: return decode_repeat(s, in, n, value_bytes, ret);
	default: return "unknown column";
	}
}
