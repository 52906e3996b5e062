/* Packets of all kinds that carry a sensor's address, for the attempt to recover it. */
#ifndef HIRUNDO_TESTS_RECOVERY_PACKETS_H
#define HIRUNDO_TESTS_RECOVERY_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sensor: what packets carry, what scanners know, and its IPv6 address. */
struct site {
	const char *target4, *target6;
	uint32_t captured, public;
	uint8_t v6[16];
};

extern const struct site recovery_sites[2];

struct frame {
	uint8_t b[1500];
	size_t n, captured;
};

struct kind {
	const char *name;
	void (*make)(const struct site *s, struct frame *f);
	bool by_xor; /* the difference of two sensors tells, too */
};

extern const struct kind recovery_kinds[];
extern const size_t recovery_kinds_n;

/** RFC 1071's checksum; sum is what was added before. */
uint16_t recovery_sum(const uint8_t *p, size_t n, uint32_t sum);
/** Sets the transport checksum, at this offset of its header, of the IP packet at b. */
void recovery_seal(uint8_t *b, size_t offset);

#endif
