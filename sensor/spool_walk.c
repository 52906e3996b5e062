#include "sensor/spool_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "hirundo.pb-c.h"

size_t spool_loss_frame(uint64_t epoch, struct loss *l, uint8_t ret[LOSS_FRAME_MAX])
{
	Hirundo__V1__Loss m = HIRUNDO__V1__LOSS__INIT;
	struct frame_header h = {
		.version = FRAME_VERSION,
		.type = FRAME_LOSS,
		.epoch = epoch,
		.first_seq = l->from.seq + 1,
		.seq = l->to.seq,
		.packets_total = l->to.total,
		.prev_checksum = l->from.checksum,
	};

	m.reason = (Hirundo__V1__Loss__Reason)l->reason;
	m.last_checksum_known = l->chained;
	m.last_checksum = l->chained ? l->to.checksum : 0;
	h.payload_length = (uint32_t)hirundo__v1__loss__pack(&m, ret + FRAME_HEADER_SIZE);
	frame_seal(&h, ret);
	if (!l->chained)
		l->to.checksum = h.checksum;
	return FRAME_HEADER_SIZE + h.payload_length;
}

bool spool_loss_parse(
	const struct frame_header *h, const uint8_t *payload, struct point *ret, int *ret_reason)
{
	Hirundo__V1__Loss *m;

	if (h->payload_length > LOSS_FRAME_MAX - FRAME_HEADER_SIZE)
		return false;
	m = hirundo__v1__loss__unpack(NULL, h->payload_length, payload);
	if (!m)
		return false;
	*ret = (struct point){
		.seq = h->seq,
		.checksum = m->last_checksum_known ? m->last_checksum : h->checksum,
		.total = h->packets_total,
	};
	*ret_reason = m->reason;
	hirundo__v1__loss__free_unpacked(m, NULL);
	return true;
}

/* A window of one largest frame over the file. */
struct window {
	int fd;
	uint64_t size; /* of the file */
	uint8_t *buf; /* FRAME_MAX */
	uint64_t base;
	size_t n;
};

/* Sectors that cannot be read count as zeros: damaged bytes, and those behind them are still found.
 */
static void window_fill(struct window *w, uint64_t off)
{
	enum {
		SECTOR = 4096
	};
	size_t want = w->size - off < FRAME_MAX ? (size_t)(w->size - off) : FRAME_MAX;

	w->base = off;
	w->n = want;
	for (size_t done = 0; done < want;) {
		ssize_t r = pread(w->fd, w->buf + done, want - done, (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			size_t zero = want - done < SECTOR ? want - done : SECTOR;

			memset(w->buf + done, 0, zero);
			r = (ssize_t)zero;
		}
		done += (size_t)r;
	}
}

/* At least n bytes from off on, or what the file has. */
static uint8_t *window_at(struct window *w, uint64_t off, size_t n, size_t *ret_n)
{
	if (n > w->size - off)
		n = (size_t)(w->size - off);
	if (off < w->base || off + n > w->base + w->n)
		window_fill(w, off);
	*ret_n = w->n - (size_t)(off - w->base);
	return w->buf + (off - w->base);
}

enum accept {
	ACCEPT_NO,
	ACCEPT_YES,
	ACCEPT_SUPERSEDED
};

/* Whether a record can follow w->at, with or without a hole between. */
static enum accept fits(
	const struct walk *w, const struct frame_header *h, const struct point *behind)
{
	bool loss = h->type == FRAME_LOSS;
	uint64_t base = loss ? w->at.total : h->packets_total - h->packets;

	if (w->bounded && h->first_seq > w->end.seq)
		return ACCEPT_SUPERSEDED;
	if (h->first_seq <= w->at.seq || base < w->at.total || h->packets_total < w->at.total)
		return ACCEPT_NO;
	if (h->first_seq == w->at.seq + 1 &&
		(h->prev_checksum != w->at.checksum || base != w->at.total))
		return ACCEPT_NO;
	if (!w->bounded || h->seq < w->end.seq)
		return w->bounded && h->packets_total > w->end.total ? ACCEPT_NO : ACCEPT_YES;
	return h->seq == w->end.seq && behind->checksum == w->end.checksum &&
			       behind->total == w->end.total
		       ? ACCEPT_YES
		       : ACCEPT_NO;
}

static enum accept try_record(const struct walk *w, struct window *win, uint64_t off,
	struct frame_header *ret, uint8_t **ret_rec, struct point *ret_behind)
{
	struct frame_header h;
	size_t n;
	uint8_t *p = window_at(win, off, FRAME_HEADER_SIZE, &n);
	int reason;

	if (frame_parse_header(p, n, FRAME_MAX, &h) != FRAME_OK || !frame_type_is_record(h.type) ||
		h.epoch != w->epoch)
		return ACCEPT_NO;
	p = window_at(win, off, FRAME_HEADER_SIZE + h.payload_length, &n);
	if (frame_parse(p, n, FRAME_MAX, &h) != FRAME_OK)
		return ACCEPT_NO;
	*ret_behind = (struct point){h.seq, h.checksum, h.packets_total};
	if (h.type == FRAME_LOSS &&
		!spool_loss_parse(&h, p + FRAME_HEADER_SIZE, ret_behind, &reason))
		return ACCEPT_NO;
	*ret = h;
	*ret_rec = p;
	return fits(w, &h, ret_behind);
}

/* The next place from off on where a frame could start. */
static bool find_magic(struct window *win, uint64_t off, uint64_t *ret)
{
	uint8_t magic[4];

	store_be32(magic, FRAME_MAGIC);
	while (win->size - off >= FRAME_HEADER_SIZE) {
		size_t n;
		const uint8_t *p = window_at(win, off, FRAME_HEADER_SIZE, &n);
		const uint8_t *hit = memmem(p, n, magic, sizeof(magic));

		if (hit) {
			*ret = off + (uint64_t)(hit - p);
			return true;
		}
		off += n - (sizeof(magic) - 1); /* n >= FRAME_HEADER_SIZE here */
	}
	return false;
}

/* How far behind off there are bytes other than zero. */
static uint64_t torn_tail(struct window *win, uint64_t off)
{
	uint64_t last = off;

	for (uint64_t at = off; at < win->size;) {
		size_t n;
		const uint8_t *p = window_at(win, at, FRAME_MAX, &n);

		for (size_t i = n; i > 0; i--) {
			if (p[i - 1] != 0) {
				last = at + i;
				break;
			}
		}
		at += n;
	}
	return last - off;
}

static int emit_hole(struct walk *w, const struct point *to)
{
	int r = w->hole ? w->hole(w->arg, &w->at, to) : 0;

	w->damaged_n++;
	w->at = *to;
	return r;
}

/* A record that was found at pos, behind bytes off..pos that are none. */
static int emit_record(struct walk *w, struct window *win, uint64_t off, uint64_t pos,
	struct frame_header *h, uint8_t *rec, const struct point *behind)
{
	struct point before;
	size_t n = FRAME_HEADER_SIZE + h->payload_length;
	int r = 0;

	if (pos > off) {
		w->damaged_n++;
		if (w->junk)
			r = w->junk(w->arg, win->fd, off, pos);
	}
	if (w->records_n++ == 0)
		w->first_is_loss = h->type == FRAME_LOSS;
	w->good_end = pos + n;
	if (r < 0)
		return r;
	if (h->first_seq > w->at.seq + 1) {
		/* What a LOSS counts is the difference to its predecessor: with that gone, one LOSS
		 * has to stand for both. */
		if (h->type == FRAME_LOSS)
			return emit_hole(w, behind);
		before = (struct point){
			h->first_seq - 1, h->prev_checksum, h->packets_total - h->packets};
		r = emit_hole(w, &before);
		if (r < 0)
			return r;
	}
	before = w->at;
	w->at = *behind;
	if (h->type == FRAME_LOSS)
		lost_add(&w->lost, lost_between(&before, behind));
	return w->record ? w->record(w->arg, h, rec, &before, behind) : 0;
}

static int walk_window(struct walk *w, struct window *win)
{
	uint64_t off = 0, pos = 0;
	int r;

	for (;;) {
		struct frame_header h;
		struct point behind;
		uint8_t *rec;
		enum accept a = try_record(w, win, pos, &h, &rec, &behind);

		if (a == ACCEPT_SUPERSEDED) {
			w->superseded = true;
			break;
		}
		if (a == ACCEPT_YES) {
			r = emit_record(w, win, off, pos, &h, rec, &behind);
			if (r < 0)
				return r;
			off = pos = w->good_end;
		} else if (pos >= win->size || !find_magic(win, pos + 1, &pos)) {
			break;
		}
	}
	w->torn_bytes = torn_tail(win, off);
	if (w->bounded && w->at.seq < w->end.seq) {
		if (w->junk && w->torn_bytes > 0 && !w->superseded) {
			r = w->junk(w->arg, win->fd, off, off + w->torn_bytes);
			if (r < 0)
				return r;
		}
		return emit_hole(w, &w->end);
	}
	return 0;
}

int spool_walk(struct walk *w, int fd)
{
	struct window win = {.fd = fd};
	struct stat sb;
	int r;

	if (fstat(fd, &sb) < 0)
		return -errno;
	if (!S_ISREG(sb.st_mode))
		return -EINVAL;
	win.buf = malloc(FRAME_MAX);
	if (!win.buf)
		return -ENOMEM;
	win.size = w->size = (uint64_t)sb.st_size;
	r = walk_window(w, &win);
	free(win.buf);
	return r;
}
