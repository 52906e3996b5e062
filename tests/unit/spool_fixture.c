#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool_fixture.h"

struct model model;

int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->dir = make_dir();
	f->o = (struct spool_options){.dir = f->dir,
		.max_bytes = 1 << 20,
		.segment_bytes = 8192,
		.retain_us = 3600 * US_PER_S};
	memset(&model, 0, sizeof(model));
	*state = f;
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	spool_close(f->s);
	remove_tree(f->dir);
	free(f->dir);
	free(f);
	return 0;
}

void reopen(struct fixture *f)
{
	char *reason = NULL;

	f->s = spool_close(f->s);
	if (spool_open(&f->o, &f->s, &reason) != 0)
		fail_msg("%s", reason);
}

void append(struct fixture *f, uint64_t from, uint64_t n)
{
	for (uint64_t id = from; id < from + n; id++)
		assert_int_equal(model_append(f->s, id, 200 + id % 700), 0);
}

void deliver(struct fixture *f, size_t max, bool ack)
{
	const char *error = model_deliver(&model, f->s, max, ack);

	if (error)
		fail_msg("%s", error);
}

uint64_t packets_of(uint64_t from, uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t id = from; id < from + n; id++)
		sum += model_packets(id);
	return sum;
}

void assert_stored(uint64_t from, uint64_t n, int times)
{
	for (uint64_t id = from; id < from + n; id++)
		assert_int_equal(model.stored[id], times);
}

size_t segments(struct fixture *f)
{
	return tree_files(f->dir, ".seg", NULL, 0);
}

struct tree_file segment(struct fixture *f, size_t i)
{
	static struct tree_file files[512];

	assert_true(tree_files(f->dir, ".seg", files, 512) > i);
	return files[i];
}

void damage(const struct tree_file *file, uint64_t at, size_t n)
{
	int fd = open(file->path, O_RDWR);

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		uint8_t b;

		assert_int_equal(pread(fd, &b, 1, (off_t)(at + i)), 1);
		b ^= 0x5a;
		assert_int_equal(pwrite(fd, &b, 1, (off_t)(at + i)), 1);
	}
	close(fd);
}
