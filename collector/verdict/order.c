#include "collector/verdict/order.h"

#include <errno.h>
#include <string.h>

#include "collector/verdict/density.h"

#define BYTES_N 8
/* Below this an insertion sort is quicker than counting. */
#define FEW 48

unsigned order_bits(uint64_t n)
{
	unsigned bits = 0;

	while (bits < 64 && n > UINT64_C(1) << bits)
		bits++;
	return bits;
}

static void insertion(struct keyed *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct keyed x = v[i];
		size_t j = i;

		for (; j > 0 && v[j - 1].key > x.key; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

int order_keyed(struct keyed *v, size_t n)
{
	struct keyed *from = v, *to, *spare;

	if (n < FEW) {
		insertion(v, n);
		return 0;
	}
	spare = to = malloc(n * sizeof(*v));
	if (!spare)
		return -ENOMEM;
	for (unsigned shift = 0; shift < BYTES_N * 8; shift += 8) {
		size_t count[256] = {0}, at = 0;

		for (size_t i = 0; i < n; i++)
			count[from[i].key >> shift & 255]++;
		if (count[from[0].key >> shift & 255] == n)
			continue; /* the same in all */
		for (unsigned b = 0; b < 256; b++) {
			size_t here = count[b];

			count[b] = at;
			at += here;
		}
		for (size_t i = 0; i < n; i++)
			to[count[from[i].key >> shift & 255]++] = from[i];
		struct keyed *swap = from;
		from = to;
		to = swap;
	}
	if (from != v)
		memcpy(v, from, n * sizeof(*v));
	free(spare);
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *v, size_t n)
{
	if (n < FEW) {
		for (size_t i = 1; i < n; i++) {
			double x = v[i];
			size_t j = i;

			for (; j > 0 && v[j - 1] > x; j--)
				v[j] = v[j - 1];
			v[j] = x;
		}
	} else {
		qsort(v, n, sizeof(*v), compare);
	}
	return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}
