/*
 * The open batch: rows in order of their first packet, and an index that folds a packet into the
 * row of the same window that is equal in all but time and IP ID.
 *
 * The table *is* the batch: when it is sealed it is empty. So every sealed batch holds exactly the
 * packets since the batch before, and a capture continues behind the last sealed packet after a
 * crash. Memory is bounded by FOLD_MAX_ROWS.
 *
 * Above max_rows new rows in one second of packet time, source port, sequence, acknowledgement and
 * IP ID go (trait coarse) before folding; the batch may then grow to FOLD_MAX_ROWS, so that a flood
 * folds.
 *
 * Time is packet time. A window is the same for all packets of floor(time / window_us); a packet of
 * another window than the one before it, later or earlier, opens a new window, so nothing folds
 * across and no row crosses a minute. Within a window order does not matter: observed_us is the
 * earliest time and ip_id that packet's, last_us the latest.
 *
 * Bytes of a row: 25 (shape 3, time 7, target 4, packets 4, last 4, traits 3) and of what is
 * present
 * - 4 or 16: src (IPv4, IPv6);
 * - 4: tcp_seq, tcp_ack;
 * - 3: ip_length;
 * - 2: src_port, dst_port, ip_id, tcp_window, tcp_mss, payload_length;
 * - 1: icmp_type, icmp_code, ip_flags, tcp_flags, tcp_header_length, ttl, protocol.
 */
#ifndef HIRUNDO_SENSOR_FOLD_H
#define HIRUNDO_SENSOR_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"
#include "proto/codec.h"
#include "sensor/packet.h"

/** Seal at these, whichever comes first. The bytes are those of the columns before compression. */
#define FOLD_SEAL_ROWS 5000u
#define FOLD_SEAL_BYTES (256u * 1024u)
/** In a flood (coarse): as many as one frame surely takes. */
#define FOLD_MAX_ROWS BATCH_MAX_ROWS
#define FOLD_MAX_BYTES (768u * 1024u)

struct fold;

/** @param window_us  0 = keep every packet; else divides 60 s
 *  @param max_rows   new rows in a second of packet time before coarse sets in, at least 1
 *  @return 0; -EINVAL where the window does not divide 60 s or max_rows is 0; -ENOMEM, or what
 *          getrandom(2) says */
int fold_new(int64_t window_us, uint32_t max_rows, struct fold **ret) MUST_CHECK;
struct fold *fold_free(struct fold *f);

/** Adds one masked packet. @return true when the batch is full and must be sealed (fold_clear)
 * before the next one */
bool fold_add(struct fold *f, const struct packet *p) MUST_CHECK;

/** What is open: rows, packets, fold_early (rows of the newest window, which may have folded more;
 * 0 where nothing folds); samples and capture are left to the caller. The rows belong to fold and
 * stay until fold_clear(). */
void fold_batch(const struct fold *f, struct batch *ret);
uint32_t fold_rows(const struct fold *f);

/** Packets made coarse since the start. */
uint64_t fold_coarse_packets(const struct fold *f);

/** Empties the batch after it was sealed. Packets of the same window that come later make new rows.
 */
void fold_clear(struct fold *f);

#endif
