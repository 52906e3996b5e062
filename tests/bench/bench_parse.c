/*
 * Parsing and printing on one core: a SYN scan in memory, each packet from another source. Time is
 * the thread's own, so other load on the machine counts little. Exits 1 below PARSE_MIN.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <pcap/dlt.h>

#include "common/bytes.h"
#include "sensor/classify.h"
#include "sensor/parse.h"
#include "sensor/print.h"

enum {
	FRAMES = 1 << 16,
	FRAME_BYTES = 74, /* Ethernet, IPv4, TCP with the options of a Linux SYN */
	ROUNDS = 32, /* 2 million packets a run */
	RUNS = 5,
	PARSE_MIN = 2000000, /* packets a second a core */
};

static const uint8_t PATTERN[FRAME_BYTES] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, /**/
	0x45, 0, 0, 60, 0, 0, 0x40, 0, 50, 6, 0, 0, 0, 0, 0, 0, 203, 0, 113, 9, /**/
	0, 0, 0, 23, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 2, 0xfa, 0xf0, 0, 0, 0, 0, /**/
	2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7};

static double cpu_seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, RUNS, sizeof(*values), by_value);
	return values[RUNS / 2];
}

/* @return seconds for ROUNDS * FRAMES packets; each sum makes the work visible to the compiler */
static double run(const uint8_t *frames, FILE *out, uint64_t *sum)
{
	double start = cpu_seconds();
	struct packet p = {0};

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < FRAMES; i++) {
			if (parse_packet(DLT_EN10MB, frames + i * FRAME_BYTES, FRAME_BYTES,
				    FRAME_BYTES, &p) != PARSE_OK)
				abort();
			*sum += p.key.tcp_seq + p.key.tcp_mss;
			if (!out)
				continue;
			p.time_us = INT64_C(1700000000000000) + (int64_t)i;
			classify_packet(&p, NULL);
			if (print_csv_packet(out, &p) < 0)
				abort();
		}
	}
	return cpu_seconds() - start;
}

static double copy(const uint8_t *from, uint8_t *to, size_t n, size_t total)
{
	double start = cpu_seconds();

	for (size_t done = 0; done < total; done += n) {
		memcpy(to, from, n);
		__asm__ volatile("" : : "r"(to) : "memory"); /* each copy is really made */
	}
	return cpu_seconds() - start;
}

int main(void)
{
	const double packets = (double)ROUNDS * FRAMES;
	uint8_t *frames = malloc((size_t)FRAMES * FRAME_BYTES), *block = malloc(1 << 20);
	double parse[RUNS], print[RUNS], move[RUNS], parse_rate, print_rate;
	FILE *out = fopen("/dev/null", "w");
	uint32_t random = 2463534242; /* xorshift32, Marsaglia 2003 */
	uint64_t sum = 0;
	size_t line;
	char *text = NULL;
	FILE *measure = open_memstream(&text, &line);

	if (!frames || !block || !out || !measure)
		return 1;
	for (size_t i = 0; i < FRAMES; i++) {
		uint8_t *f = frames + i * FRAME_BYTES;

		memcpy(f, PATTERN, FRAME_BYTES);
		for (int at = 0; at < 4; at++) {
			static const uint8_t fields[4] = {
				26, 38, 18, 34}; /* source, sequence, ID, port */

			random ^= random << 13;
			random ^= random >> 17;
			random ^= random << 5;
			if (at < 2)
				store_be32(f + fields[at], random);
			else
				store_be16(f + fields[at], (uint16_t)random);
		}
	}
	for (size_t i = 0; i < FRAMES; i++) {
		struct packet p = {.time_us = INT64_C(1700000000000000)};

		if (parse_packet(
			    DLT_EN10MB, frames + i * FRAME_BYTES, FRAME_BYTES, FRAME_BYTES, &p) ||
			print_csv_packet(measure, &p) < 0)
			return 1;
	}
	(void)fclose(measure);
	memset(block, 'x', 1 << 20);
	for (int i = 0; i < RUNS; i++) {
		parse[i] = run(frames, NULL, &sum);
		print[i] = run(frames, out, &sum);
		move[i] = copy(block, block + (1 << 19), 1 << 19, line * ROUNDS);
	}
	parse_rate = packets / median(parse);
	print_rate = packets / median(print);
	printf("parse: %.2f million packets/s a core (median of %d runs of %.0f packets; limit "
	       "%.2f)\n",
		parse_rate / 1e6, RUNS, packets, PARSE_MIN / 1e6);
	printf("parse, classify and print: %.2f million packets/s a core, %.1f bytes a line, %.1f "
	       "times "
	       "the time of memcpy of these bytes\n",
		print_rate / 1e6, (double)line / FRAMES, median(print) / median(move));
	printf("(sum %llu)\n", (unsigned long long)sum);
	free(frames);
	free(block);
	free(text);
	(void)fclose(out);
	return parse_rate < PARSE_MIN;
}
