/* What goes to standard output. `--print csv`: one line a packet, the owner's eyes only. Columns
 * are fixed by the contract. */
#ifndef HIRUNDO_SENSOR_PRINT_H
#define HIRUNDO_SENSOR_PRINT_H

#include <stdint.h>
#include <stdio.h>

struct packet;
struct pipeline_books;

/** @return 0, -EIO when the stream has failed */
int print_csv_header(FILE *f);
int print_csv_packet(FILE *f, const struct packet *p);

/** Prints a capture file's packets to out; to err, errors and one line with the packets that have
 * no row by reason: "no row: not_ip=3 ip_truncated=1".
 *  @return a sysexits code; EX_DATAERR where the file is damaged (what came before is printed) */
int print_capture(const char *path, FILE *out, FILE *err);

/** The line at the end of --read. @param bytes  sent */
void print_summary(FILE *out, const struct pipeline_books *b, uint64_t bytes, double seconds);

#endif
