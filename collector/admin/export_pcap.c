#include "collector/admin/export_pcap.h"

#include <netinet/in.h>
#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"

enum {
	PCAP_MAGIC = 0xa1b2c3d4, /* microseconds; big-endian, readers tell by it */
	LINKTYPE_RAW = 101,
	SNAPLEN = 65535,
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	TCP_HEADER_MIN = 20,
	TCP_HEADER_MAX = 60,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	IP_FLAG_MORE = 1,
};

/* Headers and payload, as they go to the file. */
struct built {
	uint8_t data[IP6_HEADER + TCP_HEADER_MAX + SAMPLE_MAX];
	size_t ip, transport; /* bytes of the headers */
};

/* RFC 1071: adds n bytes to a one's complement sum. */
static uint32_t add_sum(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += load_be16(p + i);
	if (n % 2 == 1)
		sum += (uint32_t)p[n - 1] << 8;
	return sum;
}

static uint16_t fold_sum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void export_pcap_begin(struct export_file *e)
{
	uint8_t h[24] = {0};

	store_be32(h, PCAP_MAGIC);
	store_be16(h + 4, 2); /* version 2.4 */
	store_be16(h + 6, 4);
	store_be32(h + 16, SNAPLEN);
	store_be32(h + 20, LINKTYPE_RAW);
	export_file_write(e, h, sizeof(h));
}

static size_t transport_length(const struct export_packet *p)
{
	switch (p->protocol) {
	case IPPROTO_TCP:
		/* Whole words; less or more is not to be had. */
		return p->tcp_header_length < TCP_HEADER_MIN   ? TCP_HEADER_MIN
		       : p->tcp_header_length > TCP_HEADER_MAX ? TCP_HEADER_MAX
							       : p->tcp_header_length & ~3u;
	case IPPROTO_UDP: return UDP_HEADER;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: return ICMP_HEADER;
	default: return 0; /* all behind IP is payload */
	}
}

/* The option that is known; the place of the others is filled. */
static void put_tcp_options(uint8_t *h, size_t n, uint16_t mss)
{
	memset(h, TCP_OPTION_NOP, n);
	if (mss == 0 || n < 4)
		return;
	h[0] = TCP_OPTION_MSS;
	h[1] = 4;
	store_be16(h + 2, mss);
}

/* Returns where its checksum goes, or NULL. */
static uint8_t *put_transport(const struct export_packet *p, uint8_t *h, size_t n)
{
	switch (p->protocol) {
	case IPPROTO_TCP:
		store_be16(h, p->src_port);
		store_be16(h + 2, p->dst_port);
		h[12] = (uint8_t)(n / 4 << 4);
		h[13] = p->tcp_flags;
		store_be16(h + 14, p->tcp_window);
		put_tcp_options(h + TCP_HEADER_MIN, n - TCP_HEADER_MIN, p->tcp_mss);
		return h + 16;
	case IPPROTO_UDP:
		store_be16(h, p->src_port);
		store_be16(h + 2, p->dst_port);
		store_be16(h + 4, (uint16_t)(UDP_HEADER + p->payload_length));
		return h + 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		h[0] = p->icmp_type;
		h[1] = p->icmp_code;
		return h + 2;
	default: return NULL;
	}
}

/* 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24. */
static void put_destination4(uint8_t *to, uint32_t sensor)
{
	static const uint8_t networks[3][3] = {{192, 0, 2}, {198, 51, 100}, {203, 0, 113}};

	memcpy(to, networks[(sensor - 1) / 254 % 3], 3);
	to[3] = (uint8_t)(1 + (sensor - 1) % 254);
}

static void put_ip4(const struct export_packet *p, uint8_t *h, size_t length)
{
	h[0] = 0x45;
	store_be16(h + 2, (uint16_t)length);
	/* Samples have first fragments at most, without what follows. */
	h[6] = (uint8_t)((p->ip_flags & 7u & ~(unsigned)IP_FLAG_MORE) << 5);
	h[8] = p->ttl;
	h[9] = p->protocol;
	memcpy(h + 12, p->src, 4);
	put_destination4(h + 16, p->sensor);
	store_be16(h + 10, fold_sum(add_sum(0, h, IP4_HEADER)));
}

static void put_ip6(const struct export_packet *p, uint8_t *h, size_t length)
{
	static const uint8_t prefix[4] = {0x20, 0x01, 0x0d, 0xb8};

	h[0] = 0x60;
	store_be16(h + 4, (uint16_t)(length - IP6_HEADER));
	h[6] = p->protocol;
	h[7] = p->ttl;
	memcpy(h + 8, p->src, 16);
	memcpy(h + 24, prefix, sizeof(prefix));
	store_be32(h + 36, p->sensor);
}

/* The sum over n bytes behind the IP header, with the pseudo-header where the protocol has one. Of
 * a packet whose payload is cut, n is less than its length, and readers do not check the sum. */
static uint16_t transport_sum(
	const struct export_packet *p, const struct built *b, size_t n, size_t length)
{
	uint32_t sum = add_sum(0, b->data + b->ip, n);
	uint16_t folded;

	if (p->protocol != IPPROTO_ICMP) {
		size_t addresses = p->family == 4 ? 8 : 32;

		sum = add_sum(sum, b->data + b->ip - addresses, addresses);
		sum += (uint32_t)length + p->protocol;
	}
	folded = fold_sum(sum);
	/* RFC 768: 0 would say that there is none. */
	return folded == 0 && p->protocol == IPPROTO_UDP ? 0xffff : folded;
}

bool export_pcap_add(struct export_file *e, const struct export_packet *p)
{
	struct built b = {0};
	uint8_t record[16], *sum;
	size_t captured, length;

	b.ip = p->family == 4 ? IP4_HEADER : IP6_HEADER;
	b.transport = transport_length(p);
	length = b.ip + b.transport + p->payload_length;
	captured = b.ip + b.transport + p->payload_n;
	if (length > UINT16_MAX || p->payload_n > p->payload_length)
		return false;
	sum = put_transport(p, b.data + b.ip, b.transport);
	memcpy(b.data + b.ip + b.transport, p->payload, p->payload_n);
	if (p->family == 4)
		put_ip4(p, b.data, length);
	else
		put_ip6(p, b.data, length);
	if (sum)
		store_be16(sum, transport_sum(p, &b, captured - b.ip, length - b.ip));
	store_be32(record, (uint32_t)(p->time_us / US_PER_S));
	store_be32(record + 4, (uint32_t)(p->time_us % US_PER_S));
	store_be32(record + 8, (uint32_t)captured);
	store_be32(record + 12, (uint32_t)length);
	export_file_write(e, record, sizeof(record));
	export_file_write(e, b.data, captured);
	return true;
}
