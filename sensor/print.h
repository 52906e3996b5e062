/* `--print csv`: one line a packet, the owner's eyes only. Columns are fixed by the contract. */
#ifndef HIRUNDO_SENSOR_PRINT_H
#define HIRUNDO_SENSOR_PRINT_H

#include <stdio.h>

struct packet;

/** @return 0, -EIO when the stream has failed */
int print_csv_header(FILE *f);
int print_csv_packet(FILE *f, const struct packet *p);

#endif
