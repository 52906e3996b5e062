/*
 * Packets of a pcapng file (draft-ietf-opsawg-pcapng), block by block. libpcap reads such files
 * too, but only with one link type, one snap length and one byte order, and no packet longer than
 * the snap length; merged captures have none of that.
 */
#ifndef HIRUNDO_SENSOR_PCAPNG_H
#define HIRUNDO_SENSOR_PCAPNG_H

#include <stdio.h>

#include "sensor/capture.h"

struct pcapng;

/** Whether a file that begins with these 4 bytes is one. */
bool pcapng_magic(const uint8_t *head);

/** Reads the first section header.
 *  @param f      begins with pcapng_magic(); closed by pcapng_close(); on error it stays open
 *  @param error  buffer of n bytes for what is wrong
 *  @return 0, -EINVAL with error, -ENOMEM */
int pcapng_open(FILE *f, struct pcapng **ret, char *error, size_t n) MUST_CHECK;
struct pcapng *pcapng_close(struct pcapng *p);

/** @param ret  data is borrowed until the next read
 *  @return CAPTURE_PACKET, CAPTURE_END where a block ends with the file, else CAPTURE_BAD_FILE */
int pcapng_read(struct pcapng *p, struct capture_packet *ret) MUST_CHECK;

/** What is wrong, behind CAPTURE_BAD_FILE. */
const char *pcapng_error(const struct pcapng *p);

#endif
