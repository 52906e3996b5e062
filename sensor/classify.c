#include "sensor/classify.h"

#include <netinet/in.h>
#include <string.h>

#include "common/bogon.h"
#include "common/bytes.h"
#include "common/mem.h"
#include "sensor/targets.h"

#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
/* FIN, SYN, RST, ACK: what decides the kind of a segment. */
#define TCP_KIND 0x17

static bool has(const struct packet *p, uint32_t columns)
{
	return (p->key.present & columns) == columns;
}

/* UDP services that answer, so that a packet from their port is an answer to someone who forged our
 * address: IANA's Service Name and Port Number Registry for the ports, US-CERT TA14-017A and
 * Rossow, "Amplification Hell" (NDSS 2014), for which of them are abused so. Corsaro has 53 alone.
 */
static const uint16_t answer_ports[] = {
	7, /* echo */
	13, /* daytime */
	17, /* quote of the day */
	19, /* character generator */
	37, /* time */
	53, /* DNS */
	111, /* portmapper */
	123, /* NTP */
	137, /* NetBIOS names */
	161, /* SNMP */
	177, /* XDMCP */
	389, /* CLDAP */
	427, /* SLP */
	443, /* QUIC */
	500, /* ISAKMP */
	520, /* RIP */
	523, /* DB2 discovery */
	623, /* IPMI */
	1194, /* OpenVPN */
	1434, /* MS SQL browser */
	1604, /* Citrix ICA browser */
	1701, /* L2TP */
	1900, /* SSDP */
	3283, /* Apple remote desktop */
	3389, /* remote desktop over UDP */
	3478, /* STUN, TURN */
	3702, /* WS-Discovery */
	4500, /* IPsec NAT traversal */
	5060, /* SIP */
	5093, /* Sentinel licence manager */
	5351, /* NAT-PMP, PCP */
	5353, /* multicast DNS */
	5683, /* CoAP */
	10001, /* Ubiquiti discovery */
	11211, /* memcached */
	17185, /* VxWorks debug agent */
	27015, /* Source engine */
	27960, /* Quake 3 engine */
	32414, /* Plex discovery */
	37810, /* DHDiscover */
	47808, /* BACnet */
};

static bool is_answer_port(uint16_t port)
{
	size_t from = 0, to = ARRAY_SIZE(answer_ports);

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (answer_ports[middle] == port)
			return true;
		if (answer_ports[middle] < port)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

/* Between two service ports the ports do not say who asks; DNS and NTP do in their first bytes. */
static bool says_answer(const struct packet *p)
{
	const uint8_t *payload = p->ip + p->payload_offset;

	if (!has(p, HAS_PAYLOAD_LENGTH))
		return false;
	if ((p->key.src_port == 53 || p->key.src_port == 5353) && p->payload_captured >= 3)
		return payload[2] & 0x80; /* RFC 1035 4.1.1: QR */
	if (p->key.src_port == 123 && p->payload_captured >= 1)
		switch (payload[0] & 7) { /* RFC 5905 7.3: mode */
		case 4: return true; /* server */
		case 6: /* RFC 9327: R bit of the second byte */
			return p->payload_captured >= 2 && (payload[1] & 0x80);
		case 7: return payload[0] & 0x80; /* ntpd's ntp_request.h: R bit of the first */
		default: return false;
		}
	return false;
}

static uint32_t classify_udp(const struct packet *p)
{
	if (!has(p, HAS_SRC_PORT | HAS_DST_PORT) || !is_answer_port(p->key.src_port))
		return 0;
	if (is_answer_port(p->key.dst_port) && !says_answer(p))
		return 0;
	return TRAIT_BACKSCATTER_UDP;
}

/* IANA ICMP Type Numbers. */
static uint32_t classify_icmp(uint8_t type)
{
	switch (type) {
	case 0: /* echo reply, RFC 792 */
	case 14: /* timestamp reply, RFC 792 */
	case 16: /* information reply, RFC 792 */
	case 18: /* address mask reply, RFC 950 */
	case 36: /* mobile registration reply, RFC 6918 */
	case 38: /* domain name reply, RFC 1788 */
	case 43: /* extended echo reply, RFC 8335 */ return TRAIT_BACKSCATTER_ICMP_REPLY;
	case 3: /* destination unreachable, RFC 792 */
	case 4: /* source quench, RFC 792 */
	case 5: /* redirect, RFC 792 */
	case 11: /* time exceeded, RFC 792 */
	case 12: /* parameter problem, RFC 792 */
	case 31: /* datagram conversion error, RFC 1475 */
	case 40: /* security failures, RFC 2521 */ return TRAIT_BACKSCATTER_ICMP_ERROR;
	default: return 0;
	}
}

/* IANA ICMPv6 "type" Numbers. */
static uint32_t classify_icmpv6(uint8_t type)
{
	switch (type) {
	case 129: /* echo reply, RFC 4443 */
	case 136: /* neighbour advertisement, RFC 4861 */
	case 140: /* node information response, RFC 4620 */
	case 145: /* home agent address discovery reply, RFC 6275 */
	case 147: /* mobile prefix advertisement, RFC 6275 */
	case 161: /* extended echo reply, RFC 8335 */ return TRAIT_BACKSCATTER_ICMP_REPLY;
	case 137: /* redirect, RFC 4861: sent because of a packet, as an error is */
		return TRAIT_BACKSCATTER_ICMP_ERROR;
	default: /* RFC 4443 2.1: errors are the types below 128 */
		return type < 128 ? TRAIT_BACKSCATTER_ICMP_ERROR : 0;
	}
}

/* Marks of scanners that carry the destination. Mirai: bot/scanner.c, `seq = daddr`; the ports of
 * its variants differ, so any port counts. masscan: src/templ-pkt.c; the window of its probes,
 * 1024, takes the chance of a false match from 2^-16 to near none. */
static uint32_t classify_by_destination(const struct packet *p, uint32_t dst)
{
	uint32_t traits = 0;

	if (has(p, HAS_TCP_SEQ) && p->key.tcp_seq == dst)
		traits |= TRAIT_MIRAI;
	if (has(p, HAS_TCP_SEQ | HAS_IP_ID | HAS_DST_PORT | HAS_TCP_WINDOW) &&
		p->key.tcp_window == 1024 &&
		masscan_ip_id(dst, p->key.dst_port, p->key.tcp_seq, p->ip_id))
		traits |= TRAIT_MASSCAN;
	return traits;
}

static uint32_t classify_syn(const struct packet *p, const struct targets *t)
{
	uint32_t traits = 0;
	uint8_t public[16];

	if (has(p, HAS_TCP_HEADER_LENGTH) && p->key.tcp_header_length == 20)
		traits |= TRAIT_NO_TCP_OPTIONS;
	if (p->key.family != 4)
		return traits;
	/* zmap src/probe_modules/packet.c, until pull request 798 (2024) made it random. */
	if (has(p, HAS_IP_ID) && p->ip_id == 54321)
		traits |= TRAIT_ZMAP;
	/* nmap scan_engine_raw.cc: one option of 4 bytes leaves no room for another. */
	if (has(p, HAS_TCP_WINDOW | HAS_TCP_HEADER_LENGTH | HAS_TCP_MSS | HAS_IP_FLAGS) &&
		p->key.tcp_window == 1024 && p->key.tcp_header_length == 24 &&
		p->key.tcp_mss == 1460 && !(p->key.ip_flags & 2))
		traits |= TRAIT_NMAP;
	traits |= classify_by_destination(p, load_be32(p->dst));
	if (t && targets_nat(t) && targets_public(t, 4, p->dst, public))
		traits |= classify_by_destination(p, load_be32(public));
	return traits;
}

static uint32_t classify_tcp(const struct packet *p, const struct targets *t)
{
	uint8_t flags = p->key.tcp_flags;

	if (!has(p, HAS_TCP_FLAGS))
		return 0;
	if (flags & TCP_RST)
		return TRAIT_BACKSCATTER_RST;
	if ((flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		return TRAIT_BACKSCATTER_SYNACK;
	return (flags & TCP_KIND) == TCP_SYN ? classify_syn(p, t) : 0;
}

void classify_packet(struct packet *p, const struct targets *t)
{
	uint8_t family = p->key.family;
	uint32_t traits = 0;

	if (bogon(family, p->key.src))
		traits |= TRAIT_BOGON_SOURCE;
	/* CERT Advisory CA-1997-28: LAND. */
	if (memcmp(p->key.src, p->dst, sizeof(p->dst)) == 0 ||
		(t && targets_own(t, family, p->key.src)))
		traits |= TRAIT_LAND;
	switch (p->key.protocol) {
	case IPPROTO_TCP: traits |= classify_tcp(p, t); break;
	case IPPROTO_UDP: traits |= classify_udp(p); break;
	case IPPROTO_ICMP:
		if (has(p, HAS_ICMP_TYPE))
			traits |= classify_icmp(p->key.icmp_type);
		break;
	case IPPROTO_ICMPV6:
		if (has(p, HAS_ICMP_TYPE))
			traits |= classify_icmpv6(p->key.icmp_type);
		break;
	default: break;
	}
	p->key.traits |= traits;
}
