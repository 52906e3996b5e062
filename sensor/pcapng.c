#include "sensor/pcapng.h"

#include <errno.h>

#include <pcap/dlt.h>

#include "common/bytes.h"
#include "common/clock.h"

/** The longest packet that libpcap and tshark take. */
#define PACKET_MAX 262144u

enum {
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2, /* obsolete, still in archives */
	BLOCK_SIMPLE = 3,
	BLOCK_ENHANCED = 6,
	BLOCK_SECTION = 0x0a0d0d0a, /* reads the same in both byte orders */
	BLOCK_FRAME = 12, /* type, length; the length again at its end */

	OPTION_END = 0,
	OPTION_TSRESOL = 9,
	OPTION_TSOFFSET = 14,

	LINKTYPE_ATM_CLIP = 106, /* the one that parse reads and that has another number as a DLT */
};

struct interface {
	int dlt;
	uint32_t snaplen; /* 0 = no limit */
	uint64_t units; /* of time, in a second */
	int64_t offset_s;
};

struct pcapng {
	FILE *f;
	bool big; /* byte order of the section */
	struct interface *interfaces; /* of the section; 20 bytes or more of the file each */
	size_t interfaces_n, room;
	uint32_t left; /* bytes of the block in front of its second length */
	char error[96];
	uint8_t data[PACKET_MAX];
};

static bool fail(struct pcapng *p, const char *text)
{
	(void)snprintf(p->error, sizeof(p->error), "%s", text);
	return false;
}

static bool cut(struct pcapng *p)
{
	return fail(p, ferror(p->f) ? "the file can not be read" : "the file ends inside a block");
}

static int damaged(struct pcapng *p, const char *text)
{
	(void)fail(p, text);
	return CAPTURE_BAD_FILE;
}

/* Bytes of the block. */
static MUST_CHECK bool take(struct pcapng *p, void *to, uint32_t n)
{
	if (n > p->left)
		return fail(p, "a block is shorter than what is in it");
	p->left -= n;
	return fread(to, 1, n, p->f) == n || cut(p);
}

static MUST_CHECK bool skip(struct pcapng *p, uint32_t n)
{
	uint8_t gone[4096];

	while (n > 0) {
		uint32_t some = n < sizeof(gone) ? n : (uint32_t)sizeof(gone);

		if (!take(p, gone, some))
			return false;
		n -= some;
	}
	return true;
}

static uint16_t get16(const struct pcapng *p, const uint8_t *at)
{
	return p->big ? load_be16(at) : (uint16_t)(at[1] << 8 | at[0]);
}

static uint32_t get32(const struct pcapng *p, const uint8_t *at)
{
	return p->big ? load_be32(at) : (uint32_t)get16(p, at + 2) << 16 | get16(p, at);
}

static uint64_t get64(const struct pcapng *p, const uint8_t *at)
{
	return p->big ? load_be64(at) : (uint64_t)get32(p, at + 4) << 32 | get32(p, at);
}

static uint32_t padded(uint32_t n)
{
	return (n + 3) & ~UINT32_C(3);
}

/* Interfaces are numbered within their section. */
static bool section(struct pcapng *p)
{
	uint8_t h[12]; /* version, length of the section */
	uint16_t minor;

	p->interfaces_n = 0;
	if (!take(p, h, sizeof(h)))
		return false;
	minor = get16(p, h + 2);
	if (get16(p, h) != 1 || (minor != 0 && minor != 2)) /* 1.2 is 1.0, by the draft */
		return fail(p, "a section of an unknown version");
	return true;
}

/* if_tsresol: a negative power of 10, or of 2 where the highest bit is set. */
static bool resolution(struct pcapng *p, struct interface *i, uint8_t value)
{
	uint8_t exponent = value & 0x7f;

	if (exponent > (value & 0x80 ? 63 : 19)) /* the units of a second would not fit */
		return fail(p, "an interface with finer times than can be read");
	for (i->units = 1; exponent > 0; exponent--)
		i->units *= value & 0x80 ? 2 : 10;
	return true;
}

/* The first of each kind counts, and only with its right length. */
static bool interface_options(struct pcapng *p, struct interface *i)
{
	bool has_resolution = false, has_offset = false;
	uint8_t h[8];

	while (p->left > 0) {
		uint16_t kind;
		uint32_t n;

		if (!take(p, h, 4))
			return false;
		kind = get16(p, h);
		n = get16(p, h + 2);
		if (kind == OPTION_END)
			return true;
		n = padded(n);
		if (kind == OPTION_TSRESOL && get16(p, h + 2) == 1 && !has_resolution) {
			has_resolution = true;
			if (!take(p, h, 4) || !resolution(p, i, h[0]))
				return false;
		} else if (kind == OPTION_TSOFFSET && n == 8 && !has_offset) {
			has_offset = true;
			if (!take(p, h, 8))
				return false;
			i->offset_s = (int64_t)get64(p, h);
		} else if (!skip(p, n)) {
			return false;
		}
	}
	return true;
}

static bool interface(struct pcapng *p)
{
	struct interface i = {.units = US_PER_S};
	uint8_t h[8]; /* link type, reserved, snap length */

	if (!take(p, h, sizeof(h)))
		return false;
	i.dlt = get16(p, h);
	if (i.dlt == LINKTYPE_ATM_CLIP)
		i.dlt = DLT_ATM_CLIP;
	i.snaplen = get32(p, h + 4);
	if (!interface_options(p, &i))
		return false;
	if (p->interfaces_n == p->room) {
		size_t room = p->room ? 2 * p->room : 8;
		struct interface *more = realloc(p->interfaces, room * sizeof(*more));

		if (!more)
			return fail(p, "out of memory");
		p->interfaces = more;
		p->room = room;
	}
	p->interfaces[p->interfaces_n++] = i;
	return true;
}

static int64_t time_of(const struct interface *i, uint64_t stamp)
{
	uint64_t units = i->units, seconds = stamp / units, rest = stamp % units, us = 0;

	if (seconds > INT64_MAX ||
		(i->offset_s > 0 && seconds > (uint64_t)(INT64_MAX - i->offset_s)))
		return INT64_MAX;
	seconds +=
		(uint64_t)i->offset_s; /* below 0 it wraps, and is refused with what is too late */
	if (seconds > INT64_MAX / US_PER_S - 1)
		return INT64_MAX;
	while (units > UINT64_MAX / 10) { /* room for a digit; what goes is below 10^-18 s */
		units /= 2;
		rest /= 2;
	}
	for (int digit = 0; digit < 6; digit++) {
		us = us * 10 + rest * 10 / units;
		rest = rest * 10 % units;
	}
	return (int64_t)(seconds * US_PER_S + us);
}

/* Attributes of LINKTYPE_NFLOG are in the byte order of the file; parse reads them in ours, as
 * libpcap hands them out. */
static void nflog_to_host(uint8_t *p, size_t n)
{
	size_t at = 4, length;

	while (n - at >= 4) {
		uint8_t swapped[4] = {p[at + 1], p[at], p[at + 3], p[at + 2]};
		uint16_t host;

		memcpy(p + at, swapped, sizeof(swapped));
		memcpy(&host, swapped, sizeof(host));
		length = (host + 3u) & ~3u;
		if (host < 4 || length > n - at)
			return;
		at += length;
	}
}

static bool packet(struct pcapng *p, uint32_t number, uint32_t captured, uint32_t wire,
	struct capture_packet *ret)
{
	const bool host_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	if (captured > PACKET_MAX)
		return fail(p, "a packet of more than 262144 bytes");
	if (!take(p, p->data, captured))
		return false;
	*ret = (struct capture_packet){
		.time_us = CAPTURE_NO_TIME,
		.dlt = p->interfaces[number].dlt,
		.data = p->data,
		.captured = captured,
		.wire = wire,
	};
	if (ret->dlt == DLT_NFLOG && p->big != host_big && captured >= 4)
		nflog_to_host(p->data, captured);
	return true;
}

/* The enhanced block and the old one differ in how many bits the interface has. */
static bool with_time(struct pcapng *p, bool old, struct capture_packet *ret)
{
	uint8_t h[20]; /* interface, time (high half first), bytes captured and on the wire */
	uint32_t number;

	if (!take(p, h, sizeof(h)))
		return false;
	number = old ? get16(p, h) : get32(p, h);
	if (number >= p->interfaces_n)
		return fail(p, "a packet of an interface that is not described");
	if (!packet(p, number, get32(p, h + 12), get32(p, h + 16), ret))
		return false;
	ret->time_us =
		time_of(&p->interfaces[number], (uint64_t)get32(p, h + 4) << 32 | get32(p, h + 8));
	return true;
}

static bool simple(struct pcapng *p, struct capture_packet *ret)
{
	uint8_t h[4];
	uint32_t wire, captured;

	if (!take(p, h, sizeof(h)))
		return false;
	if (p->interfaces_n == 0)
		return fail(p, "a packet of an interface that is not described");
	captured = wire = get32(p, h);
	if (p->interfaces[0].snaplen != 0 && captured > p->interfaces[0].snaplen)
		captured = p->interfaces[0].snaplen;
	return packet(p, 0, captured, wire, ret);
}

/* Reads the byte order of the section that begins. */
static bool byte_order(struct pcapng *p)
{
	uint8_t magic[4];

	if (fread(magic, 1, sizeof(magic), p->f) != sizeof(magic))
		return cut(p);
	p->big = load_be32(magic) == 0x1a2b3c4d;
	return p->big || load_be32(magic) == 0x4d3c2b1a || fail(p, "a section of no byte order");
}

/* @param ret_packet  whether *ret was filled. @return CAPTURE_PACKET (a block was read) or its end
 */
static int block(struct pcapng *p, bool *ret_packet, struct capture_packet *ret)
{
	uint8_t h[8];
	size_t n = fread(h, 1, sizeof(h), p->f);
	uint32_t type, length;
	bool good = true, begins;

	*ret_packet = false;
	if (n == 0 && !ferror(p->f))
		return CAPTURE_END;
	if (n < sizeof(h)) {
		(void)cut(p);
		return CAPTURE_BAD_FILE;
	}
	begins = load_be32(h) == BLOCK_SECTION;
	if (begins && !byte_order(p))
		return CAPTURE_BAD_FILE;
	type = get32(p, h);
	length = padded(get32(p, h + 4)); /* some writers leave the padding out of it */
	if (length < BLOCK_FRAME + (begins ? 4 : 0))
		return damaged(p, "a block is shorter than its own frame");
	p->left = length - BLOCK_FRAME - (begins ? 4 : 0);
	switch (type) {
	case BLOCK_SECTION: good = section(p); break;
	case BLOCK_INTERFACE: good = interface(p); break;
	case BLOCK_PACKET_OLD:
	case BLOCK_ENHANCED:
		good = with_time(p, type == BLOCK_PACKET_OLD, ret);
		*ret_packet = true;
		break;
	case BLOCK_SIMPLE:
		good = simple(p, ret);
		*ret_packet = true;
		break;
	default: break; /* names, statistics, secrets, what others add */
	}
	if (!good || !skip(p, p->left))
		return CAPTURE_BAD_FILE;
	p->left = 4;
	if (!take(p, h, 4))
		return CAPTURE_BAD_FILE;
	if (padded(get32(p, h)) != length)
		return damaged(p, "the two lengths of a block differ");
	return CAPTURE_PACKET;
}

bool pcapng_magic(const uint8_t *head)
{
	return load_be32(head) == BLOCK_SECTION;
}

int pcapng_open(FILE *f, struct pcapng **ret, char *error, size_t n)
{
	struct pcapng *p = calloc(1, sizeof(*p));
	struct capture_packet none;
	bool is_packet;

	if (!p)
		return -ENOMEM;
	p->f = f;
	if (block(p, &is_packet, &none) != CAPTURE_PACKET) {
		(void)snprintf(error, n, "%s", p->error);
		free(p->interfaces);
		free(p);
		return -EINVAL;
	}
	*ret = p;
	return 0;
}

struct pcapng *pcapng_close(struct pcapng *p)
{
	if (!p)
		return NULL;
	(void)fclose(p->f);
	free(p->interfaces);
	free(p);
	return NULL;
}

int pcapng_read(struct pcapng *p, struct capture_packet *ret)
{
	bool is_packet = false;
	int r = CAPTURE_PACKET;

	while (r == CAPTURE_PACKET && !is_packet)
		r = block(p, &is_packet, ret);
	return r;
}

const char *pcapng_error(const struct pcapng *p)
{
	return p->error;
}
