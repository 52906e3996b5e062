#include "collector/welcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "proto/codec.h"

static void copy_address(const Hirundo__V1__OwnAddress *a, struct registry_address *to)
{
	to->family = a->address.len == 4 ? 4 : 6;
	to->prefix_length = (uint8_t)a->prefix_length;
	memcpy(to->address, a->address.data, a->address.len);
	to->first_target = a->first;
	to->has_captured = a->captured.len > 0;
	if (to->has_captured)
		memcpy(to->captured, a->captured.data, a->captured.len);
}

int welcome_question(const Hirundo__V1__Hello *m, struct registry_hello *q)
{
	q->streams = calloc(m->n_streams + 1, sizeof(*q->streams));
	q->addresses = calloc(m->n_addresses + 1, sizeof(*q->addresses));
	if (!q->streams || !q->addresses)
		return -ENOMEM;
	(void)snprintf(q->software, sizeof(q->software), "%s", m->software);
	for (size_t i = 0; i < m->n_streams; i++)
		q->streams[i] = (struct registry_stream){
			.epoch = m->streams[i]->epoch,
			.offered_seq = m->streams[i]->newest_seq,
			.offered_packets = m->streams[i]->packets_total,
		};
	q->streams_n = m->n_streams;
	for (size_t i = 0; i < m->n_addresses; i++)
		copy_address(m->addresses[i], &q->addresses[i]);
	q->addresses_n = m->n_addresses;
	q->next_target = m->next_target;
	q->has_capture = m->capture != NULL;
	q->capture_xxh3 = m->capture ? m->capture->xxh3 : 0;
	return 0;
}

int welcome_pack(const struct registry_hello *q, uint64_t credit, struct buf *out)
{
	Hirundo__V1__Welcome w = HIRUNDO__V1__WELCOME__INIT;
	Hirundo__V1__CapturePosition capture = HIRUNDO__V1__CAPTURE_POSITION__INIT;
	AUTO_FREE Hirundo__V1__StreamState *states = calloc(q->streams_n + 1, sizeof(*states));
	AUTO_FREE Hirundo__V1__StreamState **list = calloc(q->streams_n + 1, sizeof(*list));
	AUTO_FREE uint32_t *targets = calloc(q->addresses_n + 1, sizeof(*targets));
	struct frame_header h = {.version = FRAME_VERSION, .type = FRAME_WELCOME};

	if (!states || !list || !targets)
		return -ENOMEM;
	for (size_t i = 0; i < q->streams_n; i++) {
		hirundo__v1__stream_state__init(&states[i]);
		states[i].epoch = q->streams[i].epoch;
		states[i].last_seq = q->streams[i].last_seq;
		states[i].last_checksum = q->streams[i].last_checksum;
		states[i].packets_total = q->streams[i].packets_total;
		list[i] = &states[i];
	}
	for (size_t i = 0; i < q->addresses_n; i++)
		targets[i] = q->addresses[i].first_target;
	w.version = FRAME_VERSION;
	w.sensor_id = (uint32_t)q->sensor.sensor_id;
	w.credit_bytes = credit;
	w.server_time_us = clock_wall_us();
	w.streams = list;
	w.n_streams = q->streams_n;
	w.targets = targets;
	w.n_targets = q->addresses_n;
	if (q->has_capture) {
		capture.xxh3 = q->capture_xxh3;
		capture.ordinal = q->capture_ordinal;
		capture.complete = q->capture_complete;
		capture.generation = q->capture_generation;
		capture.epoch = q->capture_epoch;
		w.capture = &capture;
	}
	return codec_pack_frame(&h, &w, out);
}

void welcome_done(struct registry_hello *q)
{
	free(q->streams);
	free(q->addresses);
	q->streams = NULL;
	q->addresses = NULL;
	q->streams_n = q->addresses_n = 0;
}
