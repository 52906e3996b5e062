/* A file of address data, any bytes: what its fuzz targets have in common. */
#ifndef HIRUNDO_TESTS_FUZZ_ADDRESS_FILE_H
#define HIRUNDO_TESTS_FUZZ_ADDRESS_FILE_H

#include "collector/enrich/kinds.h"

/** Imports the bytes as file "x" of this kind. An error says where, in one line; ranges that are
 * taken are disjoint, sorted, and fit for the table that answers. */
void address_file(enum kind kind, const uint8_t *data, size_t n);

#endif
