#include "collector/copyrow.h"

#include <string.h>

#include "collector/pgbinary.h"

/* Columns in the order in which observation_fields() writes them. */
#define FIELDS                                                                                     \
	"observed_at, last_at, tcp_seq, tcp_ack, src_asn, target, src_port, dst_port, ip_length, " \
	"ip_id,"                                                                                   \
	" tcp_window, tcp_mss, payload_length, packets, traits, protocol, icmp_type, icmp_code, "  \
	"ttl,"                                                                                     \
	" ip_flags, tcp_flags, tcp_header_length, src_region, src"
#define FIELDS_N 24

const char copyrow_observation_sql[] =
	"COPY hirundo.observation (sensor_id, " FIELDS ") FROM STDIN (FORMAT binary)";
const char copyrow_quarantine_sql[] =
	"COPY hirundo.observation_quarantine (sensor_id, epoch, seq, row_number, received_at, "
	"reason, " FIELDS ") FROM STDIN (FORMAT binary)";
const char copyrow_sample_sql[] =
	"COPY hirundo.payload_sample (observed_at, last_at, content, sensor_id, src_port, dst_port,"
	" payload_length, packets, protocol, icmp_type, icmp_code, src, payload)"
	" FROM STDIN (FORMAT binary)";

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMPV6 58

/* A nullable column: NULL where its bit is clear. */
#define PUT(p, put, k, bit, value) ((k)->present & (bit) ? put(p, value) : put_null(p))

static inline uint8_t *observation_fields(
	uint8_t *p, const struct observation *o, const struct enrich_answer *e)
{
	const struct observation_key *k = &o->key;

	p = put_time(p, o->observed_us);
	p = o->packets > 1 ? put_time(p, o->last_us) : put_null(p);
	p = PUT(p, put_8, k, HAS_TCP_SEQ, k->tcp_seq);
	p = PUT(p, put_8, k, HAS_TCP_ACK, k->tcp_ack);
	p = e->has_asn ? put_8(p, e->asn) : put_null(p);
	p = put_4(p, k->target);
	p = PUT(p, put_4, k, HAS_SRC_PORT, k->src_port);
	p = PUT(p, put_4, k, HAS_DST_PORT, k->dst_port);
	p = PUT(p, put_4, k, HAS_IP_LENGTH, k->ip_length);
	p = PUT(p, put_4, k, HAS_IP_ID, o->ip_id);
	p = PUT(p, put_4, k, HAS_TCP_WINDOW, k->tcp_window);
	p = PUT(p, put_4, k, HAS_TCP_MSS, k->tcp_mss);
	p = PUT(p, put_4, k, HAS_PAYLOAD_LENGTH, k->payload_length);
	p = put_4(p, o->packets);
	p = put_4(p, k->traits);
	p = PUT(p, put_2, k, HAS_PROTOCOL, k->protocol);
	p = PUT(p, put_2, k, HAS_ICMP_TYPE, k->icmp_type);
	p = PUT(p, put_2, k, HAS_ICMP_CODE, k->icmp_code);
	p = PUT(p, put_2, k, HAS_TTL, k->ttl);
	p = PUT(p, put_2, k, HAS_IP_FLAGS, k->ip_flags);
	p = PUT(p, put_2, k, HAS_TCP_FLAGS, k->tcp_flags);
	p = PUT(p, put_2, k, HAS_TCP_HEADER_LENGTH, k->tcp_header_length);
	p = e->has_region ? put_bytes(p, e->region, 2) : put_null(p);
	return k->present & HAS_SRC ? put_inet(p, k->family, k->src) : put_null(p);
}

uint8_t *copyrow_begin(uint8_t *p)
{
	/* Signature; flags and length of the header's extension are zero. */
	static const uint8_t begin[COPYROW_BEGIN_SIZE] = {
		'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff, '\r', '\n', 0};

	memcpy(p, begin, sizeof(begin));
	return p + sizeof(begin);
}

uint8_t *copyrow_end(uint8_t *p)
{
	store_be16(p, UINT16_MAX);
	return p + COPYROW_END_SIZE;
}

uint8_t *copyrow_observation(
	uint8_t *p, const struct observation *o, int32_t sensor_id, const struct enrich_answer *e)
{
	store_be16(p, 1 + FIELDS_N);
	p = put_4(p + 2, (uint32_t)sensor_id);
	return observation_fields(p, o, e);
}

uint8_t *copyrow_quarantine(uint8_t *p, const struct copyrow_quarantine *q,
	const struct observation *o, const struct enrich_answer *e)
{
	store_be16(p, 6 + FIELDS_N);
	p = put_4(p + 2, (uint32_t)q->sensor_id);
	p = put_8(p, q->epoch);
	p = put_8(p, q->seq);
	p = put_4(p, q->row_number);
	p = put_time(p, q->received_us);
	p = put_bytes(p, q->reason, (uint32_t)strlen(q->reason));
	return observation_fields(p, o, e);
}

uint8_t *copyrow_sample(uint8_t *p, const struct sample *s, int32_t sensor_id)
{
	bool icmp = s->protocol == PROTOCOL_ICMP || s->protocol == PROTOCOL_ICMPV6;

	store_be16(p, 13);
	p = put_time(p + 2, s->observed_us);
	p = s->packets > 1 ? put_time(p, s->last_us) : put_null(p);
	p = put_8(p, s->content);
	p = put_4(p, (uint32_t)sensor_id);
	p = s->has_ports ? put_4(p, s->src_port) : put_null(p);
	p = s->has_ports ? put_4(p, s->dst_port) : put_null(p);
	p = put_4(p, s->payload_length);
	p = put_4(p, s->packets);
	p = put_2(p, s->protocol);
	p = icmp ? put_2(p, s->icmp_type) : put_null(p);
	p = icmp ? put_2(p, s->icmp_code) : put_null(p);
	p = s->has_src ? put_inet(p, s->family, s->src) : put_null(p);
	return s->length > 0 ? put_bytes(p, s->payload, s->length) : put_null(p);
}
