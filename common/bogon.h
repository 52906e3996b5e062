/* Addresses that nobody can have as a source on the Internet: special-purpose, multicast, reserved.
 */
#ifndef HIRUNDO_COMMON_BOGON_H
#define HIRUNDO_COMMON_BOGON_H

#include <stdbool.h>
#include <stdint.h>

/** By the IANA special-purpose registries (RFC 6890) as compiled in.
 *  @param family  4 or 6; address in network order */
bool bogon(uint8_t family, const uint8_t *address);

#endif
