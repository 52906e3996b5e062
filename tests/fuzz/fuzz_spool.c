/*
 * Recovery from whatever is in the segment files: the spool opens, delivers a valid chain of what
 * it found, takes a new record, and finds the same again.
 *
 * Input: u8 flags, u64 shared, u64 shared total; then files: u8 stream, name (u64 first, total,
 * checksum), u16 length, bytes. With flags & 1 the checksums of frames in the bytes are put right,
 * with flags & 2 they are chained as well, so that mutations get behind the checksum.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "hirundo.pb-c.h"
#include "sensor/spool.h"
#include "unit/spool_model.h"

#define EPOCH UINT64_C(0x1122334455667788)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void put_right(uint8_t *p, size_t n, uint8_t flags)
{
	uint64_t chain = 0;

	for (size_t at = 0; n - at >= FRAME_HEADER_SIZE;) {
		struct frame_header h;

		if (frame_parse_header(p + at, n - at, FRAME_MAX, &h) != FRAME_OK ||
			h.payload_length > n - at - FRAME_HEADER_SIZE) {
			at++;
			continue;
		}
		if (flags & 2 && h.first_seq > 1)
			h.prev_checksum = chain;
		frame_seal(&h, p + at);
		chain = h.checksum;
		at += FRAME_HEADER_SIZE + h.payload_length;
	}
}

static void put_file(struct bytes *in, const char *const dirs[2], uint8_t flags)
{
	uint64_t first, total, checksum;
	uint8_t stream, *copy;
	const uint8_t *p;
	char path[8192];
	uint16_t n;
	FILE *f;

	if (!bytes_u8(in, &stream) || !bytes_u64(in, &first) || !bytes_u64(in, &total) ||
		!bytes_u64(in, &checksum) || !bytes_u16(in, &n)) {
		in->n = 0;
		return;
	}
	if (n > in->n)
		n = (uint16_t)in->n;
	must(bytes_take(in, n, &p));
	copy = malloc((size_t)n + 1);
	must(copy != NULL);
	memcpy(copy, p, n);
	if (flags & 3)
		put_right(copy, n, flags);
	(void)snprintf(path, sizeof(path), "%s/%016llx-%016llx-%016llx.seg", dirs[stream & 1],
		(unsigned long long)first, (unsigned long long)total, (unsigned long long)checksum);
	f = fopen(path, "we");
	must(f && fwrite(copy, 1, n, f) == n && fclose(f) == 0);
	free(copy);
}

/* Takes everything from the oldest record on. @return packets, LOSS included; *ret_chain: all of it
 */
static uint64_t deliver(struct spool *s, uint64_t *ret_chain)
{
	struct spool_stream at[8];
	size_t n = spool_streams_n(s);
	uint64_t packets = 0;
	struct frame_header h;
	struct buf out;

	must(n <= ARRAY_SIZE(at));
	for (size_t i = 0; i < n; i++) {
		at[i] = spool_stream(s, i);
		must(at[i].oldest_seq <= at[i].newest_seq + 1);
		must(spool_checksum_at(s, i, at[i].oldest_seq - 1, &at[i].newest_checksum));
		must(spool_resume(s, i, at[i].oldest_seq - 1, at[i].newest_checksum, 0) ==
			SPOOL_POSITION_OK);
		at[i].packets_total = UINT64_MAX;
	}
	*ret_chain = 0;
	buf_init(&out, FRAME_MAX);
	for (size_t i = 0; i < n;) {
		int r = spool_next(s, &out, &h);

		if (r == SPOOL_END)
			break;
		must(r == 0 &&
			frame_parse(buf_head(&out), buf_len(&out), FRAME_MAX, &h) == FRAME_OK);
		while (at[i].epoch != h.epoch) {
			must(at[i].oldest_seq == at[i].newest_seq + 1);
			must(++i < n);
		}
		must(h.first_seq == at[i].oldest_seq && h.prev_checksum == at[i].newest_checksum);
		must(at[i].packets_total == UINT64_MAX || h.packets_total >= at[i].packets_total);
		must(at[i].packets_total == UINT64_MAX || h.type == FRAME_LOSS ||
			h.packets_total - at[i].packets_total == h.packets);
		at[i].oldest_seq = h.seq + 1;
		at[i].packets_total = h.packets_total;
		at[i].newest_checksum = h.checksum;
		if (h.type == FRAME_LOSS) {
			Hirundo__V1__Loss *l = hirundo__v1__loss__unpack(
				NULL, h.payload_length, buf_head(&out) + FRAME_HEADER_SIZE);

			must(l != NULL);
			if (l->last_checksum_known)
				at[i].newest_checksum = l->last_checksum;
			hirundo__v1__loss__free_unpacked(l, NULL);
		}
		packets += h.packets;
		*ret_chain ^= h.checksum * (h.seq | 1);
	}
	for (size_t i = 0; i < n; i++)
		must(at[i].oldest_seq == at[i].newest_seq + 1);
	spool_disconnected(s);
	buf_done(&out);
	return packets;
}

static struct spool *must_open(const char *dir)
{
	const struct spool_options o = {.dir = dir, .max_bytes = 1 << 20};
	struct spool *s;
	char *reason = NULL;

	must(spool_open(&o, &s, &reason) == 0);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	uint64_t shared = 0, total = 0, chain[3], packets;
	char first[4096], second[4096];
	const char *const dirs[2] = {first, second};
	uint8_t flags = 0;
	struct spool *s;
	char *dir;

	if (!bytes_u8(&in, &flags) || !bytes_u64(&in, &shared) || !bytes_u64(&in, &total))
		return 0;
	dir = make_dir();
	(void)snprintf(first, sizeof(first), "%s/00000001-%016llx-00000000-%016x-%016x", dir,
		(unsigned long long)EPOCH, 0u, 0u);
	(void)snprintf(second, sizeof(second), "%s/00000002-%016llx-00000001-%016llx-%016llx", dir,
		(unsigned long long)EPOCH + 1, (unsigned long long)shared,
		(unsigned long long)total);
	must(mkdir(first, 0700) == 0 && mkdir(second, 0700) == 0);
	for (int i = 0; i < 6 && in.n > 0; i++)
		put_file(&in, dirs, flags);
	s = must_open(dir);
	packets = deliver(s, &chain[0]);
	spool_close(s);
	s = must_open(dir);
	must(deliver(s, &chain[1]) == packets && chain[0] == chain[1]);
	must(model_append(s, 7, 200) == 0);
	must(deliver(s, &chain[1]) == packets + model_packets(7));
	spool_close(s);
	s = must_open(dir);
	must(deliver(s, &chain[2]) == packets + model_packets(7) && chain[1] == chain[2]);
	spool_close(s);
	remove_tree(dir);
	free(dir);
	return 0;
}
