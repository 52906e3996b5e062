/*
 * A parsed packet on its way through the sensor: parse fills it, classify adds traits, mask
 * replaces the own address by its target, fold takes the observation. Borrowed bytes live until the
 * next packet is read.
 */
#ifndef HIRUNDO_SENSOR_PACKET_H
#define HIRUNDO_SENSOR_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "proto/observation.h"
#include "proto/traits.h"

struct packet {
	int64_t time_us; /* since 1970 UTC, truncated from finer clocks */
	struct observation_key key; /* without target; traits as far as parse and classify came */
	uint16_t ip_id; /* with HAS_IP_ID */
	uint8_t dst[16]; /* destination as captured; never leaves the sensor */

	const uint8_t *ip; /* the outermost IP header, as captured */
	size_t ip_captured; /* bytes captured from there, at most the IP length */
	size_t payload_offset; /* of the payload, from ip; where HAS_PAYLOAD_LENGTH */
	size_t payload_captured; /* bytes of payload captured */
};

#endif
