#include "collector/enrich/mmdb.h"

#include <errno.h>
#include <inttypes.h>
#include <maxminddb.h>
#include <stdio.h>
#include <sys/mman.h>

#define BITS 128u
/* Bits in front of IPv4 in a tree of both families. */
#define IPV4_DEPTH 96u

/* What is still to be walked. Left sides first, so that ::/96 comes before its aliases. */
struct branch {
	uint64_t record;
	uint8_t type; /* MMDB_RECORD_TYPE_... */
	MMDB_entry_s entry; /* of data */
	struct address128 at; /* as in a tree of both families */
	uint8_t depth;
};

struct walk {
	struct source *s;
	MMDB_s db;
	uint8_t *seen; /* a bit a node */
	bool ipv4_only;
	bool has_ipv4_root;
	uint32_t ipv4_root;
	struct branch open[BITS + 1];
	size_t open_n;
};

static int wrong(struct walk *w, uint64_t record, const char *what)
{
	return source_fail(w->s, 0, "record %" PRIu64 ": %s", record, what);
}

/* Data. */

/* @return 0 (ret->has_data tells), SOURCE_BAD */
static int value(
	struct walk *w, const struct branch *b, const char *const *path, MMDB_entry_data_s *ret)
{
	MMDB_entry_s entry = b->entry;
	int r = MMDB_aget_value(&entry, ret, path);

	if (r == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR) {
		ret->has_data = false;
		return 0;
	}
	return r == MMDB_SUCCESS ? 0 : wrong(w, b->record, MMDB_strerror(r));
}

static int find_region(struct walk *w, const struct branch *b, struct range *r)
{
	static const char *const paths[][3] = {{"country", "iso_code", NULL},
		{"registered_country", "iso_code", NULL}, {"country_code", NULL},
		{"country", NULL}};
	int e = 0;

	for (size_t i = 0; e == 0 && !r->region[0] && i < ARRAY_SIZE(paths); i++) {
		MMDB_entry_data_s d;

		e = value(w, b, paths[i], &d);
		if (e == 0 && d.has_data && d.type == MMDB_DATA_TYPE_UTF8_STRING)
			(void)!piece_region((struct piece){d.utf8_string, d.data_size}, r->region);
	}
	return e;
}

static bool read_asn(const MMDB_entry_data_s *d, uint32_t *ret)
{
	struct piece t = {d->utf8_string, d->data_size};
	uint64_t v;

	switch (d->type) {
	case MMDB_DATA_TYPE_UINT16: v = d->uint16; break;
	case MMDB_DATA_TYPE_UINT32: v = d->uint32; break;
	case MMDB_DATA_TYPE_UINT64: v = d->uint64; break;
	case MMDB_DATA_TYPE_UTF8_STRING:
		if (t.n > 2 && memcmp(t.p, "AS", 2) == 0)
			t = (struct piece){t.p + 2, t.n - 2};
		if (!piece_number(t, UINT32_MAX, &v))
			return false;
		break;
	default: return false;
	}
	*ret = (uint32_t)v;
	return v <= UINT32_MAX;
}

static int find_asn(struct walk *w, const struct branch *b, struct range *r)
{
	static const char *const paths[][2] = {{"autonomous_system_number", NULL}, {"asn", NULL}};
	int e = 0;

	for (size_t i = 0; e == 0 && !r->has_asn && i < ARRAY_SIZE(paths); i++) {
		MMDB_entry_data_s d;

		e = value(w, b, paths[i], &d);
		if (e == 0 && d.has_data)
			r->has_asn = read_asn(&d, &r->asn);
	}
	return e;
}

static int add(struct walk *w, const struct branch *b, struct range *r)
{
	struct address128 end;

	/* Bits behind the depth are clear: nothing else ever set them. */
	if (!address128_prefix_end(b->at, 6, b->depth, &end))
		return wrong(w, b->record, "out of place");
	r->lo = b->at;
	r->hi = end;
	r->family = 6;
	if (b->depth >= IPV4_DEPTH && b->at.hi == 0 && b->at.lo <= UINT32_MAX)
		r->family = 4;
	return source_add(w->s, (uint32_t)b->record, r);
}

static int take_data(struct walk *w, const struct branch *b)
{
	struct range r = {.line = 0}, low;
	int e = find_region(w, b, &r);

	if (e == 0)
		e = find_asn(w, b, &r);
	if (e != 0 || (!r.region[0] && !r.has_asn))
		return e;
	low = r;
	e = add(w, b, &r);
	/* Data above ::/96 is data of all IPv4 addresses, too. */
	if (e == 0 && b->depth < IPV4_DEPTH && b->at.hi == 0 && b->at.lo == 0) {
		low.family = 4;
		low.hi = (struct address128){0, UINT32_MAX};
		e = source_add(w->s, (uint32_t)b->record, &low);
	}
	return e;
}

/* The tree. */

static void push(struct walk *w, const struct branch *from, bool right, uint64_t record,
	uint8_t type, const MMDB_entry_s *entry)
{
	struct branch b = {.record = record, .type = type, .entry = *entry, .at = from->at};

	b.depth = (uint8_t)(from->depth + 1);
	if (right && from->depth < 64)
		b.at.hi |= UINT64_C(1) << (63 - from->depth);
	else if (right)
		b.at.lo |= UINT64_C(1) << (127 - from->depth);
	w->open[w->open_n++] = b;
}

static int take_node(struct walk *w, const struct branch *b)
{
	uint32_t node = (uint32_t)b->record;
	uint8_t bit = (uint8_t)(1u << (node & 7));
	MMDB_search_node_s n;
	int r;

	if (w->seen[node >> 3] & bit)
		return w->has_ipv4_root && node == w->ipv4_root
			       ? 0
			       : wrong(w, node, "the tree leads back into itself");
	w->seen[node >> 3] |= bit;
	if (b->depth == IPV4_DEPTH && b->at.hi == 0 && b->at.lo == 0) {
		w->has_ipv4_root = !w->ipv4_only;
		w->ipv4_root = node;
	}
	if (b->depth == BITS)
		return wrong(w, node, "the tree is too deep");
	r = MMDB_read_node(&w->db, node, &n);
	if (r != MMDB_SUCCESS)
		return wrong(w, node, MMDB_strerror(r));
	push(w, b, true, n.right_record, n.right_record_type, &n.right_record_entry);
	push(w, b, false, n.left_record, n.left_record_type, &n.left_record_entry);
	return 0;
}

static int walk(struct walk *w)
{
	int e = 0;

	w->ipv4_only = w->db.metadata.ip_version == 4;
	w->open[w->open_n++] = (struct branch){
		.type = MMDB_RECORD_TYPE_SEARCH_NODE, .depth = w->ipv4_only ? IPV4_DEPTH : 0};
	/* Every node once: this ends. A branch replaces itself by at most two that are one deeper,
	 * so BITS + 1 places suffice. */
	while (e == 0 && w->open_n > 0) {
		struct branch b = w->open[--w->open_n];

		switch (b.type) {
		case MMDB_RECORD_TYPE_SEARCH_NODE: e = take_node(w, &b); break;
		case MMDB_RECORD_TYPE_DATA: e = take_data(w, &b); break;
		case MMDB_RECORD_TYPE_EMPTY: break;
		default: e = wrong(w, b.record, "leads out of the file");
		}
	}
	return e;
}

/* The library maps a file. This one is ours alone: cutting the original short can not end us. */
static int private_file(const struct source *s)
{
	int fd = memfd_create("mmdb", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < s->n) {
		ssize_t n = write(fd, s->data + done, s->n - done);

		if (n < 0 && errno != EINTR) {
			int e = -errno;

			(void)close(fd);
			return e;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	return fd < 0 ? -errno : fd;
}

int mmdb_parse(struct source *s)
{
	AUTO_CLOSE int fd = private_file(s);
	AUTO_FREE struct walk *w = calloc(1, sizeof(*w));
	char path[32];
	int e;

	if (fd < 0)
		return source_fail(s, 0, "%s", strerror(-fd));
	if (!w)
		return -ENOMEM;
	w->s = s;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	e = MMDB_open(path, MMDB_MODE_MMAP, &w->db);
	if (e != MMDB_SUCCESS)
		return source_fail(s, 0, "%s", MMDB_strerror(e));
	w->seen = calloc((size_t)w->db.metadata.node_count / 8 + 1, 1);
	if (!w->seen)
		e = -ENOMEM;
	else if (w->db.metadata.node_count == 0 ||
		 (w->db.metadata.ip_version != 4 && w->db.metadata.ip_version != 6))
		e = source_fail(s, 0, "neither a tree of IPv4 nor of IPv6");
	else
		e = walk(w);
	if (e == 0 && w->db.metadata.build_epoch > 0 &&
		w->db.metadata.build_epoch / 86400 < INT32_MAX)
		s->day = (int32_t)(w->db.metadata.build_epoch / 86400);
	free(w->seen);
	MMDB_close(&w->db);
	return e;
}
