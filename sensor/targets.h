/*
 * The sensor's own addresses: which packets are for it, what the collector calls them (target
 * ordinals), and the BPF filter that keeps the rest out. A secret: never logged.
 */
#ifndef HIRUNDO_SENSOR_TARGETS_H
#define HIRUNDO_SENSOR_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

/** One configured address or prefix: "203.0.113.7", "2001:db8::/64", or "10.0.0.7 = 203.0.113.7"
 *  (captured = public, equal lengths). */
struct target {
	uint8_t family; /* 4 or 6 */
	uint8_t prefix_length; /* of both */
	uint8_t captured[16]; /* as packets carry it; host bits zero */
	uint8_t address[16]; /* public; equal to captured without NAT */
	uint32_t first; /* first ordinal, issued by the collector; 0 = none yet or takes all */
};

struct targets;

int targets_new(struct targets **ret) MUST_CHECK;
struct targets *targets_free(struct targets *t);

/** Adds one as text. @return 0; -EINVAL with *ret_reason (static text) where the text is no
 * address, host bits are set, families or lengths differ, an IPv4 prefix is shorter than /8 (other
 * than /0), or it overlaps one that is already there; -ENOMEM */
int targets_add(struct targets *t, const char *text, const char **ret_reason) MUST_CHECK;

size_t targets_n(const struct targets *t);
const struct target *targets_at(const struct targets *t, size_t i);

/** Sets the ordinal that WELCOME issued for entry i. */
void targets_issue(struct targets *t, size_t i, uint32_t first);

/** Ordinals below next were issued to this sensor, if not to one of these entries. */
void targets_reserve(struct targets *t, uint32_t next);

/** The lowest ordinal that was never issued as far as is known; 0 = none was. */
uint32_t targets_next(const struct targets *t);

/** True when each entry but 0.0.0.0/0 and ::/0 has its ordinal. */
bool targets_all_issued(const struct targets *t);

/** Whose is this captured destination? Longest prefix; constant time.
 *  @return true and the ordinal: `first` of the entry, plus the offset in an IPv4 prefix; 0 for an
 *  entry that takes everything; false where it is for nobody here */
bool targets_find(
	const struct targets *t, uint8_t family, const uint8_t *addr, uint32_t *ret_ordinal);

/** Does any entry have a public address that differs from the captured one? */
bool targets_nat(const struct targets *t);

/** The public address of a captured destination; the same without NAT.
 *  @param ret  4 or 16 bytes
 *  @return false where it is for nobody here */
bool targets_public(
	const struct targets *t, uint8_t family, const uint8_t *addr, uint8_t *ret) MUST_CHECK;

/** Is addr (4 or 16 bytes, network order) an own address, captured or public? Entries that take
 *  everything own nothing. */
bool targets_own(const struct targets *t, uint8_t family, const uint8_t *addr);

/** The length of the prefix that makes addr an own address, 0 = it is none. */
uint8_t targets_own_length(const struct targets *t, uint8_t family, const uint8_t *addr);

/** Terms of the filter at most. Each is up to 9 instructions in each of 3 VLAN depths and the
 * kernel takes 4096 (BPF_MAXINSNS), so longer lists are widened to shorter prefixes until they fit:
 * what then passes and is for nobody here is counted by the caller of targets_find(). */
#define TARGETS_BPF_TERMS 96u

/** The BPF filter: what is for the targets, less the connection to the collector (both directions).
 *  What own addresses send has other destinations and so drops out; own to own is LAND and stays
 * (the direction of a packet is known to the interface only: pcap_setdirection). On Ethernet the
 * same is taken from within one and two VLAN tags: `vlan` moves the offsets of all that follows it,
 * so the filter is F or (vlan and (F or (vlan and F))). Other link types refuse the word `vlan`.
 *  @param dlt        pcap's DLT_ value of the interface
 *  @param collector  numeric address of the collector, NULL = none known; port: its port
 *  @return heap text for pcap_compile, NULL out of memory */
char *targets_bpf(
	const struct targets *t, int dlt, const char *collector, uint16_t port) MUST_CHECK;

#endif
