/*
 * Link layers: each ends in an Ethernet type, so one loop walks tags, labels and tunnels of the
 * link in any order, without recursion. What a frame's own length field leaves out is cut off
 * (padding).
 */
#include <pcap/dlt.h>

#include "sensor/parse_layers.h"

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_VLAN = 0x8100, /* IEEE 802.1Q */
	TYPE_QINQ = 0x88a8, /* IEEE 802.1ad */
	TYPE_QINQ_OLD = 0x9100, /* before 802.1ad, still in use */
	TYPE_IPV6 = 0x86dd,
	TYPE_MPLS = 0x8847,
	TYPE_MPLS_UPSTREAM = 0x8848, /* RFC 5332 */
	TYPE_PPPOE_SESSION = 0x8864,
	TYPE_LLC = 0x8870, /* jumbo frames with LLC */
	TYPE_MACSEC = 0x88e5, /* IEEE 802.1AE */
	TYPE_NSH = 0x894f, /* RFC 8300 */
	TYPE_ARISTA = 0xd28b, /* Arista's vendor tag, with a time stamp */
	TYPE_TRILL = 0x22f3, /* RFC 6325 */
	TYPE_ETHERNET = 0x6558, /* a frame (RFC 1701: transparent Ethernet bridging) */
	TYPE_BACKBONE = 0x88e7, /* IEEE 802.1ah */
	TYPE_CISCO = 0x8909, /* Cisco MetaData: a security group */
	TYPE_VNTAG = 0x8926,
	TYPE_HSR = 0x892f, /* IEC 62439-3 */
	TYPE_ETAG = 0x893f, /* IEEE 802.1BR */
	LENGTH_MAX = 1500, /* IEEE 802.3 3.2.6: up to here the type is a length */

	AF_BSD_INET = 2,
	AF_NETBSD_INET6 = 24,
	AF_FREEBSD_INET6 = 28,
	AF_DARWIN_INET6 = 30,
	AF_LINUX_INET6 = 10,
	AF_SOLARIS_INET6 = 26,

	ARPHRD_IPGRE = 778,
	ARPHRD_NETLINK = 824,
	MPLS_OAM_ALERT = 14, /* RFC 3429: what follows is no packet */

	LINUX_P_802_2 = 4, /* <linux/if_ether.h>: an LLC header follows */

	NFULA_PAYLOAD = 9, /* <linux/netfilter/nfnetlink_log.h> */

	/* Raw IP has three values besides DLT_RAW, by system (pcap-linktype(7), pcap/dlt.h). */
	LINKTYPE_RAW = 101,
	DLT_RAW_BSD = 12,
	DLT_RAW_OPENBSD = 14,
};

/* A type that leads nowhere. */
#define TYPE_NONE 0

static uint16_t type_of_family(uint32_t family)
{
	switch (family) {
	case AF_BSD_INET: return TYPE_IPV4;
	case AF_NETBSD_INET6:
	case AF_FREEBSD_INET6:
	case AF_DARWIN_INET6: return TYPE_IPV6;
	default: return TYPE_NONE;
	}
}

/* Each of these takes one header off and hands out the type of what follows.
 * They return false where the header is not whole. */

static bool ethernet(struct slice *s, uint16_t *type);

/* @param bridge_pad  bytes in front of a bridged frame, by the layer below */
static bool snap(struct slice *s, size_t bridge_pad, uint16_t *type)
{
	const uint8_t *h;
	uint32_t oui;
	uint16_t pid;

	if (!slice_take(s, 5, &h))
		return false;
	oui = load_be32(h) >> 8;
	pid = load_be16(h + 3);
	if (oui == 0x80c2 &&
		(pid == 1 || pid == 7)) { /* RFC 2427 4.2: a frame with or without FCS */
		if (!slice_skip(s, bridge_pad))
			return false;
		if (pid == 1 && s->wire >= 4)
			slice_limit(s, s->wire - 4);
		return ethernet(s, type);
	}
	/* RFC 1042; 0x0000f8 is Cisco's, with the same meaning */
	*type = oui == 0 || oui == 0xf8 ? pid : TYPE_NONE;
	return true;
}

static bool llc(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	*type = TYPE_NONE;
	if (!slice_take(s, 3, &h))
		return false;
	if (h[2] != 0x03) { /* IEEE 802.2: information frames have 2 bytes of control */
		if (h[2] & 1)
			return true;
		if (!slice_skip(s, 1))
			return false;
	}
	if (h[0] == 0xaa && h[1] == 0xaa)
		return snap(s, 2, type);
	if (h[0] == 0x06) /* the SAP of IP */
		*type = TYPE_IPV4;
	return true;
}

/* What follows a length instead of a type. */
static bool length_or_type(struct slice *s, uint16_t *type)
{
	if (*type == 0 || *type > LENGTH_MAX)
		return true;
	slice_limit(s, *type);
	if (s->got.n >= 2 && load_be16(s->got.p) == 0xffff) { /* Novell's frames without LLC */
		*type = TYPE_NONE;
		return true;
	}
	return llc(s, type);
}

static bool ethernet(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, 14, &h))
		return false;
	*type = load_be16(h + 12);
	return length_or_type(s, type);
}

static bool vlan(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, 4, &h))
		return false;
	*type = load_be16(h + 2);
	return length_or_type(s, type);
}

static bool ppp(struct slice *s, uint16_t *type)
{
	const uint8_t *h;
	unsigned protocol;

	*type = TYPE_NONE;
	if (!slice_take(s, 1, &h))
		return false;
	protocol = h[0];
	if (!(protocol & 1)) { /* RFC 1661 2: compressed where the first byte is odd */
		if (!slice_take(s, 1, &h))
			return false;
		protocol = protocol << 8 | h[0];
	}
	switch (protocol) {
	case 0x0021: *type = TYPE_IPV4; break;
	case 0x0057: *type = TYPE_IPV6; break;
	case 0x0281:
	case 0x0283: *type = TYPE_MPLS; break;
	case TYPE_IPV4:
	case TYPE_IPV6: *type = (uint16_t)protocol; break;
	default: break;
	}
	return true;
}

/* Links that borrow Ethernet's types have none of its tags. */
static uint16_t without_tags(uint16_t type)
{
	switch (type) {
	case TYPE_IPV4:
	case TYPE_IPV6:
	case TYPE_MPLS:
	case TYPE_MPLS_UPSTREAM:
	case TYPE_ETHERNET: return type;
	default: return TYPE_NONE;
	}
}

static bool cisco_hdlc(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, 4, &h))
		return false;
	*type = without_tags(load_be16(h + 2));
	return true;
}

/* RFC 1662; a serial line may as well carry Cisco's framing. */
static bool ppp_hdlc(struct slice *s, uint16_t *type)
{
	if (s->got.n >= 1 && (s->got.p[0] == 0x0f || s->got.p[0] == 0x8f))
		return cisco_hdlc(s, type);
	if (s->got.n >= 1 && s->got.p[0] == 0xff && !slice_skip(s, 2))
		return false;
	return ppp(s, type);
}

static bool pppoe(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, 6, &h))
		return false;
	slice_limit(s, load_be16(h + 4));
	return ppp(s, type);
}

static bool mpls(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	do {
		if (!slice_take(s, 4, &h))
			return false;
	} while (!(h[2] & 1)); /* RFC 3032 2.1: bottom of stack */
	if (load_be32(h) >> 12 == MPLS_OAM_ALERT) {
		*type = TYPE_NONE;
		return true;
	}
	if (s->got.n == 0)
		return false;
	switch (s->got.p[0] >> 4) { /* RFC 4928: the first nibble tells */
	case 4: *type = TYPE_IPV4; break;
	case 6: *type = TYPE_IPV6; break;
	default: *type = TYPE_NONE; break;
	}
	return true;
}

static bool macsec(struct slice *s, uint16_t *type)
{
	const uint8_t *h;
	uint8_t tci;

	*type = TYPE_NONE;
	if (!slice_take(s, 6, &h))
		return false;
	tci = h[0];
	if (tci & 0x8c) /* another version, or encrypted (E), or changed (C) */
		return true;
	if ((tci & 0x20) && !slice_skip(s, 8)) /* SCI */
		return false;
	if (!slice_take(s, 2, &h))
		return false;
	*type = load_be16(h);
	return true;
}

static bool nsh(struct slice *s, uint16_t *type)
{
	const uint8_t *h;
	size_t length;

	*type = TYPE_NONE;
	if (!slice_take(s, 4, &h))
		return false;
	length = (h[1] & 0x3fu) * 4u;
	if (!slice_skip(s, length > 4 ? length - 4 : 0))
		return false;
	switch (h[3]) {
	case 1: *type = TYPE_IPV4; return true;
	case 2: *type = TYPE_IPV6; return true;
	case 3: return ethernet(s, type);
	default: return true;
	}
}

static bool arista(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	*type = TYPE_NONE;
	if (!slice_take(s, 4, &h))
		return false;
	if (load_be16(h) != 1) /* sub-type 1: time stamp */
		return true;
	/* low byte of the version: 0x10 = 64 bits, 0x20 = 48 bits of time */
	if (h[3] != 0x10 && h[3] != 0x20)
		return true;
	if (!slice_skip(s, h[3] == 0x10 ? 8 : 6) || !slice_take(s, 2, &h))
		return false;
	*type = load_be16(h);
	return true;
}

/* A header of `size` bytes, then a type. */
static bool tag(struct slice *s, size_t size, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_skip(s, size) || !slice_take(s, 2, &h))
		return false;
	*type = load_be16(h);
	return true;
}

static bool trill(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, 6, &h) || !slice_skip(s, (load_be16(h) >> 6 & 0x1fu) * 4u))
		return false;
	return ethernet(s, type);
}

/* Linux cooked captures (LINKTYPE_LINUX_SLL and SLL2): header size, and where its fields are. */
static bool cooked(
	struct slice *s, size_t size, size_t protocol_at, size_t hardware_at, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, size, &h))
		return false;
	*type = load_be16(h + protocol_at);
	if (load_be16(h + hardware_at) == ARPHRD_NETLINK) {
		*type = TYPE_NONE;
	} else if (load_be16(h + hardware_at) == ARPHRD_IPGRE) {
		if (*type != TYPE_NSH) /* RFC 8300 goes over GRE too */
			*type = without_tags(*type);
	} else if (*type <= 1536) { /* Linux's own numbers, no lengths */
		if (*type == LINUX_P_802_2)
			return llc(s, type);
		*type = TYPE_NONE;
	}
	return true;
}

/* BSD loopback: the address family in the byte order of the host that captured. */
static bool null(struct slice *s, uint16_t *type)
{
	const uint8_t *h;
	uint32_t family;

	if (!slice_take(s, 4, &h))
		return false;
	family = load_be32(h);
	if (family > 0xffff) /* so it was the other order */
		family = (uint32_t)h[3] << 24 | (uint32_t)h[2] << 16 | (uint32_t)h[1] << 8 | h[0];
	/* above the lengths of 802.3 some systems have an Ethernet type there */
	*type = family > LENGTH_MAX && family <= 0xffff ? (uint16_t)family : type_of_family(family);
	return true;
}

static bool loop(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, 4, &h))
		return false;
	*type = type_of_family(load_be32(h));
	return true;
}

/* Q.922 address, then RFC 2427 (control, NLPID) or Cisco's way (an Ethernet type). */
static bool frame_relay(struct slice *s, uint16_t *type)
{
	const uint8_t *h;
	uint8_t nlpid;

	*type = TYPE_NONE;
	do {
		if (!slice_take(s, 1, &h))
			return false;
	} while (!(h[0] & 1)); /* extension bit: last byte of the address */
	if (!slice_take(s, 2, &h))
		return false;
	if (h[0] != 0x03) {
		*type = load_be16(h);
		return true;
	}
	nlpid = h[1];
	if (nlpid == 0) { /* padding */
		if (!slice_take(s, 1, &h))
			return false;
		nlpid = h[0];
	}
	switch (nlpid) {
	case 0xcc: *type = TYPE_IPV4; return true;
	case 0x8e: *type = TYPE_IPV6; return true;
	case 0x80: return snap(s, 0, type);
	default: return true;
	}
}

/* A header of `size` bytes with an address family in one byte. */
static bool with_family(
	struct slice *s, size_t size, size_t family_at, uint8_t inet6, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, size, &h))
		return false;
	*type = h[family_at] == AF_BSD_INET ? TYPE_IPV4
		: h[family_at] == inet6     ? TYPE_IPV6
					    : TYPE_NONE;
	return true;
}

/* IP over InfiniBand: a global routing header, then type and 2 reserved bytes (RFC 4391 6). */
static bool ipoib(struct slice *s, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_take(s, 44, &h))
		return false;
	*type = load_be16(h + 40);
	return true;
}

/* LINKTYPE_NFLOG: attributes in host byte order, which libpcap restores; one is the packet. */
static bool nflog(struct slice *s, uint16_t *type)
{
	const uint8_t *h;
	uint16_t attribute[2]; /* length with these 4 bytes, kind */

	if (!with_family(s, 4, 0, AF_LINUX_INET6, type))
		return false;
	for (;;) {
		if (!slice_take(s, 4, &h))
			return false;
		memcpy(attribute, h, sizeof(attribute));
		if (attribute[0] < 4)
			return false;
		attribute[0] = (uint16_t)(attribute[0] - 4);
		if ((attribute[1] & 0x7fff) == NFULA_PAYLOAD) {
			slice_limit(s, attribute[0]);
			return true;
		}
		if (!slice_skip(s, (attribute[0] + 3u) & ~3u))
			return false;
	}
}

/* ARCNET as Linux has it (LINKTYPE_ARCNET_LINUX) and as BSD has it: addresses, offset, protocol. */
static bool arcnet(struct slice *s, size_t protocol_at, uint16_t *type)
{
	const uint8_t *h;

	if (!slice_skip(s, protocol_at) || !slice_take(s, 1, &h))
		return false;
	switch (h[0]) {
	case 240: *type = TYPE_IPV4; return true; /* RFC 1051 */
	case 212:
	case 196: break; /* RFC 1201, RFC 1201 with IPv6 */
	default: *type = TYPE_NONE; return true;
	}
	*type = h[0] == 212 ? TYPE_IPV4 : TYPE_IPV6;
	return slice_skip(s, 3); /* split flag, sequence */
}

/* macOS puts a header with the link type of each packet in front (LINKTYPE_PKTAP). */
static bool pktap(struct slice *s, int *dlt)
{
	const uint8_t *h;
	uint32_t word[3]; /* header length, record type, DLT: little-endian */

	if (!slice_take(s, 12, &h))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(word); i++)
		word[i] = (uint32_t)h[4 * i + 3] << 24 | (uint32_t)h[4 * i + 2] << 16 |
			  (uint32_t)h[4 * i + 1] << 8 | h[4 * i];
	*dlt = word[1] == 1 && word[2] <= INT16_MAX ? (int)word[2] : -1;
	return word[0] >= 12 && slice_skip(s, word[0] - 12);
}

static bool by_linktype(int dlt, struct slice *s, uint16_t *type)
{
	switch (dlt) {
	case DLT_EN10MB: return ethernet(s, type);
	case DLT_LINUX_SLL: return cooked(s, 16, 14, 2, type);
	case DLT_LINUX_SLL2: return cooked(s, 20, 0, 8, type);
	case DLT_NULL: return null(s, type);
	case DLT_LOOP: return loop(s, type);
	case DLT_PPP:
	case DLT_PPP_SERIAL: return ppp_hdlc(s, type);
	case DLT_PPP_WITH_DIR: return slice_skip(s, 1) && ppp_hdlc(s, type);
	case DLT_PPP_ETHER: return pppoe(s, type);
	case DLT_C_HDLC: return cisco_hdlc(s, type);
	case DLT_FRELAY: return frame_relay(s, type);
	case DLT_IPNET: return with_family(s, 24, 1, AF_SOLARIS_INET6, type);
	case DLT_IPOIB: return ipoib(s, type);
	case DLT_NFLOG: return nflog(s, type);
	case DLT_ARCNET: return arcnet(s, 2, type);
	case DLT_ARCNET_LINUX: return arcnet(s, 4, type);
	case DLT_ATM_CLIP:
	case DLT_IPV4: *type = TYPE_IPV4; return true;
	case DLT_IPV6: *type = TYPE_IPV6; return true;
	default: *type = TYPE_NONE; return true;
	}
}

static bool raw(int dlt)
{
	return dlt == DLT_RAW || dlt == DLT_RAW_BSD || dlt == DLT_RAW_OPENBSD ||
	       dlt == LINKTYPE_RAW;
}

bool parse_linktype_supported(int dlt)
{
	static const int others[] = {DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL, DLT_LOOP,
		DLT_PPP, DLT_PPP_SERIAL, DLT_PPP_WITH_DIR, DLT_PPP_ETHER, DLT_C_HDLC, DLT_FRELAY,
		DLT_IPNET, DLT_IPOIB, DLT_NFLOG, DLT_ATM_CLIP, DLT_ARCNET, DLT_ARCNET_LINUX,
		DLT_PKTAP, DLT_IPV4, DLT_IPV6};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (others[i] == dlt)
			return true;
	return raw(dlt);
}

enum parse_res parse_link(int dlt, struct slice *s, enum network *ret_network)
{
	uint16_t type;
	bool whole;

	if (dlt == DLT_PKTAP && !pktap(s, &dlt))
		return PARSE_LINK_TRUNCATED;
	if (raw(dlt)) {
		*ret_network = NETWORK_ANY;
		return PARSE_OK;
	}
	/* Each round takes at least a byte, so it ends. */
	for (whole = by_linktype(dlt, s, &type); whole;) {
		switch (type) {
		case TYPE_IPV4: *ret_network = NETWORK_IPV4; return PARSE_OK;
		case TYPE_IPV6: *ret_network = NETWORK_IPV6; return PARSE_OK;
		case TYPE_VLAN:
		case TYPE_QINQ:
		case TYPE_QINQ_OLD: whole = vlan(s, &type); break;
		case TYPE_MPLS:
		case TYPE_MPLS_UPSTREAM: whole = mpls(s, &type); break;
		case TYPE_PPPOE_SESSION: whole = pppoe(s, &type); break;
		case TYPE_LLC: whole = llc(s, &type); break;
		case TYPE_MACSEC: whole = macsec(s, &type); break;
		case TYPE_NSH: whole = nsh(s, &type); break;
		case TYPE_ARISTA: whole = arista(s, &type); break;
		case TYPE_TRILL: whole = trill(s, &type); break;
		case TYPE_ETHERNET: whole = ethernet(s, &type); break;
		case TYPE_BACKBONE: whole = tag(s, 16, &type); break;
		case TYPE_CISCO:
		case TYPE_ETAG: whole = tag(s, 6, &type); break;
		case TYPE_HSR:
		case TYPE_VNTAG: whole = tag(s, 4, &type); break;
		default:
			return parse_linktype_supported(dlt) ? PARSE_NOT_IP
							     : PARSE_LINK_UNSUPPORTED;
		}
	}
	return PARSE_LINK_TRUNCATED;
}
