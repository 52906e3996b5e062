/*
 * Values as COPY (FORMAT binary) has them: a length of 4 bytes, or -1 for NULL, then the value as
 * the type's receive function wants it. Each writes at p, which must have room, and returns behind.
 */
#ifndef HIRUNDO_COLLECTOR_PGBINARY_H
#define HIRUNDO_COLLECTOR_PGBINARY_H

#include <stdint.h>
#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"

/** timestamptz counts microseconds from 2000-01-01 (src/include/datatype/timestamp.h). */
#define PG_EPOCH_US (INT64_C(946684800) * US_PER_S)
/** Address families of inet's wire format (src/include/utils/inet.h): AF_INET, AF_INET + 1. */
#define PGSQL_AF_INET 2
#define PGSQL_AF_INET6 3

static inline uint8_t *put_null(uint8_t *p)
{
	store_be32(p, UINT32_MAX);
	return p + 4;
}

static inline uint8_t *put_2(uint8_t *p, uint16_t v)
{
	store_be32(p, 2);
	store_be16(p + 4, v);
	return p + 6;
}

static inline uint8_t *put_4(uint8_t *p, uint32_t v)
{
	store_be32(p, 4);
	store_be32(p + 4, v);
	return p + 8;
}

static inline uint8_t *put_8(uint8_t *p, uint64_t v)
{
	store_be32(p, 8);
	store_be64(p + 4, v);
	return p + 12;
}

static inline uint8_t *put_bytes(uint8_t *p, const void *bytes, uint32_t n)
{
	store_be32(p, n);
	memcpy(p + 4, bytes, n);
	return p + 4 + n;
}

/** @param us  since 1970 */
static inline uint8_t *put_time(uint8_t *p, int64_t us)
{
	return put_8(p, (uint64_t)(us - PG_EPOCH_US));
}

/** @param family  4, 6 */
static inline uint8_t *put_inet(uint8_t *p, uint8_t family, const uint8_t *address)
{
	uint32_t n = family == 4 ? 4 : 16;

	store_be32(p, 4 + n);
	p[4] = family == 4 ? PGSQL_AF_INET : PGSQL_AF_INET6;
	p[5] = (uint8_t)(n * 8); /* prefix length: the host */
	p[6] = 0; /* not a cidr */
	p[7] = (uint8_t)n;
	if (family == 4)
		memcpy(p + 8, address, 4);
	else
		memcpy(p + 8, address, 16);
	return p + 8 + n;
}

#endif
