/* The targets as a filter for pcap_compile. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <pcap/dlt.h>

#include "sensor/targets.h"

struct prefix {
	uint8_t addr[16];
	uint8_t length;
};

static void clear_behind(uint8_t *addr, uint8_t length)
{
	for (unsigned bit = length; bit < 128; bit++)
		addr[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
}

static int compare(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int r = memcmp(x->addr, y->addr, sizeof(x->addr));

	return r != 0 ? r : x->length - y->length;
}

/* Sorts, and leaves out what lies within an earlier (so shorter or equal) prefix. */
static size_t unite(struct prefix *list, size_t n)
{
	size_t kept = 0;
	uint8_t addr[16];

	qsort(list, n, sizeof(*list), compare);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0) {
			memcpy(addr, list[i].addr, sizeof(addr));
			clear_behind(addr, list[kept - 1].length);
			if (memcmp(addr, list[kept - 1].addr, sizeof(addr)) == 0)
				continue;
		}
		list[kept++] = list[i];
	}
	return kept;
}

/* Shortens the longest prefixes, a bit at a time, until the list is short enough. */
static size_t widen(struct prefix *list, size_t n)
{
	uint8_t length = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i].length > length)
			length = list[i].length;
	for (n = unite(list, n); n > TARGETS_BPF_TERMS; n = unite(list, n)) {
		length--;
		for (size_t i = 0; i < n; i++) {
			if (list[i].length <= length)
				continue;
			list[i].length = length;
			clear_behind(list[i].addr, length);
		}
	}
	return n;
}

/* @return terms written */
static size_t print_family(
	FILE *f, const struct targets *t, uint8_t family, struct prefix *list, size_t before)
{
	const char *ip = family == 6 ? "ip6" : "ip";
	char text[INET6_ADDRSTRLEN];
	size_t n = 0;

	for (size_t i = 0; i < targets_n(t); i++) {
		const struct target *e = targets_at(t, i);

		if (e->family != family)
			continue;
		memcpy(list[n].addr, e->captured, sizeof(list[n].addr));
		list[n++].length = e->prefix_length;
	}
	n = widen(list, n);
	for (size_t i = 0; i < n; i++) {
		if (before + i > 0)
			fputs(" or ", f);
		inet_ntop(family == 6 ? AF_INET6 : AF_INET, list[i].addr, text, sizeof(text));
		if (list[i].length == 0)
			fputs(ip, f);
		else
			fprintf(f, "%s dst net %s/%u", ip, text, list[i].length);
	}
	return n;
}

static void print_filter(
	FILE *f, const struct targets *t, const char *collector, uint16_t port, struct prefix *list)
{
	const char *ip = collector && strchr(collector, ':') ? "ip6" : "ip";
	size_t n;

	fputc('(', f);
	n = print_family(f, t, 4, list, 0);
	n += print_family(f, t, 6, list, n);
	if (n == 0)
		fputs("less 0", f); /* nobody's: no packet is that short */
	fputc(')', f);
	if (collector)
		fprintf(f,
			" and not ((%s src host %s and tcp src port %u)"
			" or (%s dst host %s and tcp dst port %u))",
			ip, collector, port, ip, collector, port);
}

char *targets_bpf(const struct targets *t, int dlt, const char *collector, uint16_t port)
{
	AUTO_FREE struct prefix *list = calloc(targets_n(t) + 1, sizeof(*list));
	unsigned depths = dlt == DLT_EN10MB ? 2 : 0;
	char *text = NULL;
	size_t size;
	FILE *f;
	bool failed;

	if (!list)
		return NULL;
	f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	for (unsigned depth = 0; depth <= depths; depth++) {
		fputs(depth > 0 ? " or (vlan and ((" : "(", f);
		print_filter(f, t, collector, port, list);
		fputc(')', f);
	}
	for (unsigned depth = 0; depth < depths; depth++)
		fputs("))", f);
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}
