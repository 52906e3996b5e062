/*
 * Between the files of parse: link finds the IP header, ip reads it, transport what it carries.
 * Nobody else includes this.
 */
#ifndef HIRUNDO_SENSOR_PARSE_LAYERS_H
#define HIRUNDO_SENSOR_PARSE_LAYERS_H

#include "common/bytes.h"
#include "sensor/parse.h"

/* The rest of a frame: the captured bytes, and how many the wire had (wire >= got.n). */
struct slice {
	struct bytes got;
	size_t wire;
};

static inline MUST_CHECK bool slice_skip(struct slice *s, size_t n)
{
	if (!bytes_skip(&s->got, n))
		return false;
	s->wire -= n;
	return true;
}

/* Hands out n borrowed bytes. */
static inline MUST_CHECK bool slice_take(struct slice *s, size_t n, const uint8_t **ret)
{
	if (!bytes_take(&s->got, n, ret))
		return false;
	s->wire -= n;
	return true;
}

/* A header says that only n bytes belong to it: what follows is padding or a trailer. */
static inline void slice_limit(struct slice *s, size_t n)
{
	if (n < s->wire)
		s->wire = n;
	if (s->wire < s->got.n)
		s->got.n = s->wire;
}

/* The capture has less than the wire had. Where a read fails this tells a cut packet from one that
 * contradicts itself. */
static inline bool slice_cut(const struct slice *s)
{
	return s->got.n < s->wire;
}

enum network {
	NETWORK_NONE = 0,
	NETWORK_ANY, /* the version nibble decides */
	NETWORK_IPV4, /* an IPv6 header is taken too: Linux cooked captures have them there */
	NETWORK_IPV6,
};

/* What transport must know of the IP header. */
struct network_facts {
	uint8_t protocol;
	bool fragment; /* a first fragment: lengths and checksums of the datagram are unknown */
	bool rerouted; /* source route: the checksum has another destination than the header */
	uint32_t pseudo; /* sum of the pseudo-header's addresses, RFC 1071 */
};

/** Skips the link layer. @return PARSE_OK with *ret_network, or the reason */
enum parse_res parse_link(int dlt, struct slice *s, enum network *ret_network);

/** Reads the IP header at s and all behind it. */
enum parse_res parse_network(struct slice s, enum network network, struct packet *ret);

/** Reads the transport header at s, which ends where the IP header says (or the frame ends). */
void parse_transport(struct slice s, const struct network_facts *f, struct packet *ret);

/** Ones' complement sum of bytes as big-endian words, not folded to 16 bits (RFC 1071). */
uint32_t parse_sum(const uint8_t *p, size_t n);

/** Folds sums to 16 bits: 0xffff means that a checksum covered by the sum is right. */
static inline uint16_t parse_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

#endif
