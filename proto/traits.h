/*
 * Traits of a packet, a bit each. Names are those of table hirundo.trait and of `--print csv`.
 * Rules: sensor/classify.h. A bit, once released, never changes its meaning.
 */
#ifndef HIRUNDO_PROTO_TRAITS_H
#define HIRUNDO_PROTO_TRAITS_H

#include <stdint.h>

/* X(bit, NAME, name, description) */
#define TRAITS(X)                                                                                 \
	X(0, TRUNCATED, "truncated", "the capture ends inside a header; later fields are NULL")   \
	X(1, BAD_CHECKSUM, "bad_checksum", "IP header or transport checksum is wrong")            \
	X(2, FRAGMENT, "fragment", "fragment (more fragments follow, or offset above 0)")         \
	X(3, NO_TCP_OPTIONS, "no_tcp_options", "TCP SYN without options")                         \
	X(4, BOGON_SOURCE, "bogon_source",                                                        \
		"source is special-purpose, multicast or reserved (RFC 6890)")                    \
	X(5, ZMAP, "zmap", "ZMap before 2024: TCP SYN with IP ID 54321")                          \
	X(6, MASSCAN, "masscan",                                                                  \
		"masscan: IP ID = (destination ^ port ^ sequence) & 0xffff, window 1024")         \
	X(7, MIRAI, "mirai",                                                                      \
		"Mirai: IPv4 TCP SYN whose sequence number is the destination address")           \
	X(8, LAND, "land", "source is the destination or another own address")                    \
	X(9, NMAP, "nmap", "Nmap -sS: TCP SYN, window 1024, MSS 1460 as only option, no DF")      \
	X(10, BACKSCATTER_SYNACK, "backscatter_synack", "TCP SYN-ACK")                            \
	X(11, BACKSCATTER_RST, "backscatter_rst", "TCP RST")                                      \
	X(12, BACKSCATTER_ICMP_REPLY, "backscatter_icmp_reply", "ICMP or ICMPv6 reply")           \
	X(13, BACKSCATTER_ICMP_ERROR, "backscatter_icmp_error", "ICMP or ICMPv6 error")           \
	X(14, BACKSCATTER_UDP, "backscatter_udp", "UDP answer by well-known source port")         \
	X(15, COARSE, "coarse",                                                                   \
		"flood: source port, sequence, acknowledgement and IP ID were not kept")          \
	X(16, RESERVED_FLAG, "reserved_flag", "reserved bit of the IPv4 flags is set (RFC 3514)") \
	X(17, IP_OPTIONS, "ip_options", "IPv4 options")                                           \
	X(18, EXTENSION_HEADERS, "extension_headers",                                             \
		"IPv6 extension headers other than fragment")                                     \
	X(19, MALFORMED, "malformed", "a header contradicts itself; fields behind it are NULL")

enum trait {
#define X(bit, NAME, name, description) TRAIT_##NAME = 1 << (bit),
	TRAITS(X)
#undef X
};

/** Rows of role `response`; all others are `probe`. */
#define TRAITS_RESPONSE                                                                    \
	(TRAIT_BACKSCATTER_SYNACK | TRAIT_BACKSCATTER_RST | TRAIT_BACKSCATTER_ICMP_REPLY | \
		TRAIT_BACKSCATTER_ICMP_ERROR | TRAIT_BACKSCATTER_UDP)

/** Every bit that is defined; others are refused by the collector. */
#define TRAITS_ALL ((UINT32_C(1) << 20) - 1)

#endif
