/* What a file contains is compared with tshark in tests/functional; here where files end, and what
 * no file of a tool has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "sensor/pcapng.h"

#define PLACES 16u

struct file {
	uint8_t bytes[1024];
	size_t n, block; /* where the open block begins */
	size_t ends[PLACES]; /* of whole blocks */
	size_t packets[PLACES]; /* up to there */
	size_t ends_n, packets_n;
	bool big;
};

static void put(struct file *f, uint64_t v, size_t bytes)
{
	assert_true(f->n + bytes <= sizeof(f->bytes));
	for (size_t i = 0; i < bytes; i++)
		f->bytes[f->n++] = (uint8_t)(v >> 8 * (f->big ? bytes - 1 - i : i));
}

static void begin(struct file *f, uint32_t type)
{
	f->block = f->n;
	put(f, type, 4);
	put(f, 0, 4); /* end() knows */
}

static void end(struct file *f, bool is_packet)
{
	size_t n = f->n, length = n + 4 - f->block;

	f->n = f->block + 4;
	put(f, length, 4);
	f->n = n;
	put(f, length, 4);
	assert_true(f->ends_n < PLACES);
	f->packets_n += is_packet;
	f->packets[f->ends_n] = f->packets_n;
	f->ends[f->ends_n++] = f->n;
}

static void section(struct file *f, bool big)
{
	f->big = big;
	begin(f, 0x0a0d0d0a);
	put(f, 0x1a2b3c4d, 4);
	put(f, 1, 2);
	put(f, 0, 2);
	put(f, UINT64_MAX, 8);
	end(f, false);
}

/* @param resolution  if_tsresol, @param offset  if_tsoffset */
static void interface(struct file *f, uint8_t resolution, int64_t offset)
{
	begin(f, 1);
	put(f, 1, 2);
	put(f, 0, 2);
	put(f, 0, 4);
	put(f, 9, 2);
	put(f, 1, 2);
	f->bytes[f->n++] = resolution;
	put(f, 0, 3);
	put(f, 14, 2);
	put(f, 8, 2);
	put(f, (uint64_t)offset, 8);
	end(f, false);
}

static void packet(struct file *f, uint64_t stamp, uint8_t mark)
{
	begin(f, 6);
	put(f, 0, 4);
	put(f, stamp >> 32, 4);
	put(f, stamp & UINT32_MAX, 4);
	put(f, 5, 4);
	put(f, 60, 4);
	for (int i = 0; i < 5; i++)
		f->bytes[f->n++] = mark;
	put(f, 0, 3);
	end(f, true);
}

static void simple(struct file *f)
{
	begin(f, 3);
	put(f, 8, 4);
	put(f, 0, 8);
	end(f, true);
}

/* The first n bytes. @return how it ended; @param ret_packets  before that */
static int read_all(
	const struct file *f, size_t n, size_t *ret_packets, struct capture_packet *last)
{
	char error[128] = "";
	struct pcapng *p = NULL;
	struct capture_packet c;
	FILE *stream = fmemopen((void *)f->bytes, n, "rb");
	int r;

	assert_non_null(stream);
	*ret_packets = 0;
	r = pcapng_open(stream, &p, error, sizeof(error));
	if (r < 0) {
		assert_int_equal(r, -EINVAL);
		assert_true(*error);
		assert_int_equal(fclose(stream), 0);
		return CAPTURE_BAD_FILE;
	}
	while ((r = pcapng_read(p, &c)) == CAPTURE_PACKET) {
		(*ret_packets)++;
		if (last)
			*last = c;
	}
	assert_true(r == CAPTURE_END || *pcapng_error(p));
	assert_null(pcapng_close(p));
	return r;
}

static void test_cut_at_every_byte(void **state)
{
	struct file f = {0};
	size_t packets, whole = 0;

	(void)state;
	section(&f, false);
	interface(&f, 6, 0);
	packet(&f, 1, 'a');
	simple(&f);
	begin(&f, 5);
	put(&f, 0, 8);
	end(&f, false);
	section(&f, true);
	interface(&f, 9, 0);
	packet(&f, 1, 'b');
	for (size_t n = 1; n <= f.n; n++) {
		int r = read_all(&f, n, &packets, NULL);

		whole += n == f.ends[whole];
		/* Where a block ends the file may end. */
		assert_int_equal(
			r, whole > 0 && n == f.ends[whole - 1] ? CAPTURE_END : CAPTURE_BAD_FILE);
		assert_int_equal(packets, whole > 0 ? f.packets[whole - 1] : 0);
	}
	assert_int_equal(packets, 3);
}

static int64_t time_by(uint8_t resolution, int64_t offset, uint64_t stamp)
{
	struct file f = {0};
	struct capture_packet p = {0};
	size_t packets;

	section(&f, false);
	interface(&f, resolution, offset);
	packet(&f, stamp, 'a');
	assert_int_equal(read_all(&f, f.n, &packets, &p), CAPTURE_END);
	assert_int_equal(packets, 1);
	assert_int_equal(p.captured, 5);
	assert_int_equal(p.wire, 60);
	return p.time_us;
}

static void test_times(void **state)
{
	(void)state;
	assert_int_equal(time_by(6, 0, 0), 0);
	assert_int_equal(time_by(9, 0, 1999999999), 1999999);
	assert_int_equal(time_by(19, 0, UINT64_C(17999999999999999999)), 1799999);
	assert_int_equal(time_by(0x80 | 63, 0, UINT64_C(3) << 62), 1500000);
	assert_int_equal(time_by(0x80 | 60, 1, UINT64_C(5) << 58), 2250000);
	assert_int_equal(time_by(0x80 | 40, 0, (UINT64_C(1) << 40) - 1), 999999);
	assert_int_equal(time_by(6, -1, 2000005), 1000005);
	/* No calendar has these. */
	assert_true(time_by(6, -3, 2000005) == INT64_MAX);
	assert_true(time_by(6, INT64_MIN, 5) == INT64_MAX);
	assert_true(time_by(6, INT64_MAX, 5) == INT64_MAX);
	assert_true(time_by(6, INT64_MAX, UINT64_MAX) == INT64_MAX);
	assert_true(time_by(0, 0, UINT64_MAX) == INT64_MAX);
	assert_true(time_by(0, -1, UINT64_MAX) == INT64_MAX);
	assert_true(time_by(0, 0, INT64_MAX / US_PER_S) == INT64_MAX);
}

static void test_no_time(void **state)
{
	struct file f = {0};
	struct capture_packet p = {0};
	size_t packets;

	(void)state;
	section(&f, false);
	interface(&f, 6, 0);
	simple(&f);
	assert_int_equal(read_all(&f, f.n, &packets, &p), CAPTURE_END);
	assert_int_equal(packets, 1);
	assert_true(p.time_us == CAPTURE_NO_TIME);
}

/* More than one allocation of them. */
static void test_many_interfaces(void **state)
{
	static struct file f;
	struct capture_packet p = {0};
	size_t packets;

	(void)state;
	section(&f, false);
	for (int i = 0; i < 9; i++)
		interface(&f, i == 0 ? 0 : 6, 0);
	packet(&f, 7, 'a');
	assert_int_equal(read_all(&f, f.n, &packets, &p), CAPTURE_END);
	assert_int_equal(p.time_us, 7 * US_PER_S);
}

static void test_magic(void **state)
{
	(void)state;
	assert_true(pcapng_magic((const uint8_t *)"\x0a\x0d\x0d\x0a"));
	assert_false(pcapng_magic((const uint8_t *)"\xd4\xc3\xb2\xa1"));
	assert_null(pcapng_close(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_no_time),
		cmocka_unit_test(test_many_interfaces),
		cmocka_unit_test(test_magic),
	};

	return cmocka_run_group_tests_name("pcapng", tests, NULL, NULL);
}
