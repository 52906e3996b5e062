#include "collector/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "collector/addresses.h"
#include "collector/ingest.h"
#include "collector/offset.h"
#include "collector/position.h"
#include "collector/registry.h"
#include "collector/welcome.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/tlschan.h"
#include "common/tlsctx.h"
#include "hirundo.pb-c.h"
#include "proto/codec.h"
#include "proto/reader.h"

/* PROTOCOL.md, section Times: absolute deadlines, so that one byte now and then does not help. */
#define HANDSHAKE_MS 10000
#define HELLO_US (5 * US_PER_S)
#define FRAME_US (30 * US_PER_S) /* and frame_line_us() */
#define SILENCE_US (45 * US_PER_S)
/* Records in flight (PROTOCOL.md, section Credit). */
#define FLIGHT_MAX 1024u
/* A clock that is off by more is an alert (architecture, section 4). */
#define CLOCK_ALERT_US (2 * US_PER_S)
/* Lines in the log about connections that show no certificate of ours, in a second. */
#define STRANGERS_MAX 20u
/* What is wrong with a frame: its type and the field, as REFUSED takes it (200 bytes). */
#define TEXT_BYTES 128

enum state {
	HANDSHAKE, /* TLS is not up yet */
	HELLO, /* waiting for HELLO */
	LOOKUP, /* the registry is asked */
	STREAM,
	DRAIN, /* nothing more is taken; ACKs go out */
	CLOSING,
};

struct session {
	struct session *prev, *next;
	struct session_host *host;
	struct tlschan *chan;
	enum state state;
	int64_t entered_us; /* monotonic: state entered */
	int64_t heard_us; /* monotonic: last complete frame, or when reading went on after a pause
			   */
	int64_t frame_us; /* monotonic: the frame under way began */
	bool paused;

	char name[TLS_NAME_MAX + 1];
	struct registry_request *request;
	struct registry_hello hello; /* streams and addresses live from HELLO to WELCOME */
	struct registry_confirm confirm;
	Hirundo__V1__Confirm *confirm_message;

	int32_t sensor_id; /* 0 before WELCOME */
	uint64_t connection;
	struct lane *lane;
	struct position *positions;
	size_t positions_n;
	struct position
		*flight; /* epoch, seq of records not committed yet; packets_total = frame bytes */
	size_t flight_first, flight_n, flight_cap;
	uint64_t flight_bytes;
	struct offset clock; /* of the sensor */
	int64_t clock_offset_us, last_record_us;
	struct frame_reader reader;
	bool refused; /* by us, for who it is or what it sent */
};

static void enter(struct session *s, enum state state)
{
	s->state = state;
	s->entered_us = clock_mono_us();
}

/* The end. */

/* Everything that would call back into the session goes first. */
static void detach(struct session *s)
{
	if (s->request)
		registry_cancel(s->request);
	s->request = NULL;
	if (s->lane)
		ingest_lane_close(s->lane);
	s->lane = NULL;
}

/* Anybody can connect, so lines about strangers are bounded; those about sensors are all there. */
static bool may_log_stranger(struct session_host *host)
{
	int64_t now = clock_mono_us();

	if (now - host->strangers_us >= US_PER_S) {
		if (host->strangers_n > STRANGERS_MAX)
			log_warn("session", "state=closed sensor=- suppressed=%u",
				host->strangers_n - STRANGERS_MAX);
		host->strangers_us = now;
		host->strangers_n = 0;
	}
	return ++host->strangers_n <= STRANGERS_MAX;
}

static void log_closed(const struct session *s, const char *reason)
{
	const char *name = s->name[0] ? s->name : "-";

	if (s->name[0] == '\0' && !may_log_stranger(s->host))
		return;
	if (s->name[0] == '\0' || s->refused)
		log_warn("session", "state=closed sensor=%s reason=%s", name, log_quote(reason));
	else
		log_info("session", "state=closed sensor=%s reason=%s", name, log_quote(reason));
}

static void on_closed(struct tlschan *c, void *arg, const char *reason)
{
	struct session *s = arg;
	struct session_host *host = s->host;

	detach(s);
	if (s->sensor_id != 0)
		registry_disconnected(host->registry, s->sensor_id, s->connection, reason);
	if (s->sensor_id == 0 && s->name[0] == '\0')
		host->counters.handshake_failed++;
	host->counters.bytes_received += tlschan_bytes_received(c);
	host->counters.bytes_sent += tlschan_bytes_sent(c);
	log_closed(s, reason);
	DL_DELETE(host->sessions, s);
	host->sessions_n--;
	frame_reader_done(&s->reader);
	codec_message_free(s->confirm_message);
	welcome_done(&s->hello);
	free(s->positions);
	free(s->flight);
	free(s);
	if (host->sessions_n == 0 && host->on_empty)
		host->on_empty(host->arg);
}

static void cut(struct session *s, const char *reason)
{
	if (s->state == CLOSING)
		return;
	detach(s);
	enter(s, CLOSING);
	tlschan_abort(s->chan, reason);
}

static bool send_frame(struct session *s, struct frame_header *h, const void *message)
{
	struct buf out;
	bool sent;

	buf_init(&out, FRAME_MAX);
	h->version = FRAME_VERSION;
	sent = codec_pack_frame(h, message, &out) == 0 &&
	       tlschan_write(s->chan, buf_head(&out), buf_len(&out));
	buf_done(&out);
	if (!sent)
		cut(s, "the sensor does not read");
	return sent;
}

static void refuse(struct session *s, Hirundo__V1__Refused__Reason code, const char *text)
{
	Hirundo__V1__Refused m = HIRUNDO__V1__REFUSED__INIT;
	struct frame_header h = {.type = FRAME_REFUSED};

	if (s->state == CLOSING)
		return;
	if (code != HIRUNDO__V1__REFUSED__REASON__SHUTDOWN &&
		code != HIRUNDO__V1__REFUSED__REASON__SUPERSEDED) {
		s->host->counters.refused++;
		s->refused = true;
	}
	m.reason = code;
	m.text = (char *)text;
	detach(s);
	if (!send_frame(s, &h, &m))
		return;
	enter(s, CLOSING);
	tlschan_close(s->chan, text);
}

/* What ingest says. */

static void read_on(struct session *s)
{
	bool room = ingest_can_take(s->host->ingest) && s->flight_n < FLIGHT_MAX &&
		    s->flight_bytes < s->host->credit + FRAME_MAX;

	if (s->state != STREAM || room != s->paused)
		return;
	s->paused = !room;
	if (s->paused) {
		tlschan_pause(s->chan);
	} else {
		s->heard_us = s->frame_us = clock_mono_us();
		tlschan_read_more(s->chan);
	}
}

static void on_committed(void *arg, uint64_t epoch, uint64_t seq, uint64_t checksum, bool taken)
{
	struct session *s = arg;
	struct frame_header h = {.type = FRAME_ACK, .epoch = epoch, .seq = seq};

	(void)checksum;
	while (s->flight_n > 0) {
		const struct position *f = &s->flight[s->flight_first];

		if (f->epoch != epoch || f->seq > seq)
			break;
		s->flight_bytes -= f->packets_total;
		s->flight_first = (s->flight_first + 1) % s->flight_cap;
		s->flight_n--;
	}
	/* Instead of the ACK: a sensor that has all of them may be gone. */
	if (taken)
		refuse(s, HIRUNDO__V1__REFUSED__REASON__CAPTURE_TAKEN,
			"another stream of this sensor delivers the capture");
	else if (s->state != CLOSING && send_frame(s, &h, NULL))
		read_on(s);
}

static void on_conflict(void *arg, bool forked, const char *reason)
{
	refuse(arg,
		forked ? HIRUNDO__V1__REFUSED__REASON__FORKED
		       : HIRUNDO__V1__REFUSED__REASON__OUT_OF_ORDER,
		reason);
}

static void on_room(void *arg)
{
	read_on(arg);
}

static const struct ingest_callbacks ingest_calls = {
	.on_committed = on_committed,
	.on_conflict = on_conflict,
	.on_room = on_room,
};

/* HELLO. */

static void supersede(struct session *s)
{
	struct session *o, *next;

	DL_FOREACH_SAFE (s->host->sessions, o, next)
		if (o != s && o->sensor_id == s->sensor_id && o->state != CLOSING) {
			s->host->counters.superseded++;
			log_warn("session",
				"sensor=%s reason=\"a second connection of this sensor took over\"",
				s->name);
			refuse(o, HIRUNDO__V1__REFUSED__REASON__SUPERSEDED,
				"a newer connection of this sensor took over");
		}
}

static void send_welcome(struct session *s)
{
	struct buf out;

	buf_init(&out, FRAME_MAX);
	if (welcome_pack(&s->hello, s->host->credit, &out) < 0 ||
		!tlschan_write(s->chan, buf_head(&out), buf_len(&out)))
		cut(s, "WELCOME could not be sent");
	buf_done(&out);
}

/* The streams as the database has them are where records must go on. */
static int open_lane(struct session *s)
{
	const struct ingest_lane_info info = {
		.sensor_id = s->sensor_id,
		.allow_capture = s->hello.sensor.allow_capture,
	};
	size_t n = s->hello.streams_n;
	int r;

	s->positions = calloc(n + 1, sizeof(*s->positions));
	if (!s->positions)
		return -ENOMEM;
	r = ingest_lane_open(s->host->ingest, &info, &ingest_calls, s, &s->lane);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		const struct registry_stream *q = &s->hello.streams[i];

		s->positions[i] = (struct position){
			q->epoch, q->last_seq, q->last_checksum, q->packets_total};
		ingest_lane_position(
			s->lane, q->epoch, q->last_seq, q->last_checksum, q->packets_total);
	}
	s->positions_n = n;
	return 0;
}

static void look_at_clock(const struct session *s)
{
	if (s->clock_offset_us > CLOCK_ALERT_US || s->clock_offset_us < -CLOCK_ALERT_US)
		log_warn("session", "alert=clock sensor=%s clock_offset_us=%" PRId64, s->name,
			s->clock_offset_us);
}

static void on_hello_answer(void *arg, struct registry_hello *q, enum registry_res res)
{
	struct session *s = arg;

	s->request = NULL;
	switch (res) {
	case REGISTRY_UNKNOWN:
		refuse(s, HIRUNDO__V1__REFUSED__REASON__UNKNOWN_SENSOR,
			"no sensor of this name is enrolled");
		return;
	case REGISTRY_DISABLED:
		refuse(s, HIRUNDO__V1__REFUSED__REASON__DISABLED, "this sensor is disabled");
		return;
	case REGISTRY_UNAVAILABLE:
		refuse(s, HIRUNDO__V1__REFUSED__REASON__UNAVAILABLE, "the database is away");
		return;
	case REGISTRY_INVALID:
		refuse(s, HIRUNDO__V1__REFUSED__REASON__BAD_FRAME,
			q->reason[0] ? q->reason : "these streams can not be announced");
		return;
	case REGISTRY_OK: break;
	}
	s->sensor_id = q->sensor.sensor_id;
	s->connection = q->connection;
	if (q->has_capture && !q->sensor.allow_capture) {
		refuse(s, HIRUNDO__V1__REFUSED__REASON__CAPTURE_NOT_ALLOWED,
			"this sensor may not send captures");
		return;
	}
	supersede(s);
	if (open_lane(s) < 0) {
		cut(s, "out of memory");
		return;
	}
	enter(s, STREAM);
	s->heard_us = s->entered_us;
	log_info("session", "state=streaming sensor=%s sensor_id=%d clock_offset_us=%" PRId64,
		s->name, s->sensor_id, s->clock_offset_us);
	look_at_clock(s);
	send_welcome(s);
	welcome_done(&s->hello);
}

static void on_hello(struct session *s, const Hirundo__V1__Hello *m)
{
	if (m->version_min > FRAME_VERSION || m->version_max < FRAME_VERSION) {
		refuse(s, HIRUNDO__V1__REFUSED__REASON__VERSION, "no common protocol version");
		return;
	}
	s->clock_offset_us = m->wall_us - clock_wall_us();
	s->clock = (struct offset){(int64_t)m->mono_us, clock_mono_us()};
	enter(s, LOOKUP);
	addresses_refresh(s->host->addresses);
	memcpy(s->hello.name, s->name, sizeof(s->name));
	if (tlschan_peer(s->chan, s->hello.peer, sizeof(s->hello.peer)) < 0)
		s->hello.peer[0] = '\0';
	if (welcome_question(m, &s->hello) < 0 ||
		registry_hello(s->host->registry, &s->hello, on_hello_answer, s, &s->request) < 0)
		cut(s, "out of memory");
}

/* CONFIRM. */

static void on_confirm_answer(void *arg, struct registry_confirm *c, enum registry_res res)
{
	struct session *s = arg;
	Hirundo__V1__Confirmed m = HIRUNDO__V1__CONFIRMED__INIT;
	struct frame_header h = {.type = FRAME_CONFIRMED};

	s->request = NULL;
	codec_message_free(s->confirm_message);
	s->confirm_message = NULL;
	if (res != REGISTRY_OK) {
		refuse(s, HIRUNDO__V1__REFUSED__REASON__UNAVAILABLE, "the database is away");
		return;
	}
	m.epoch = c->epoch;
	m.seq = c->found_seq;
	m.checksum = c->found_checksum;
	m.packets_total = c->found_packets_total;
	(void)send_frame(s, &h, &m);
}

/* Takes the message over: the lists are read until the answer is there. */
static void on_confirm(struct session *s, Hirundo__V1__Confirm *m)
{
	if (s->request) {
		codec_message_free(m);
		refuse(s, HIRUNDO__V1__REFUSED__REASON__BAD_FRAME,
			"CONFIRM while one is under way");
		return;
	}
	s->confirm_message = m;
	s->confirm = (struct registry_confirm){
		.sensor_id = s->sensor_id,
		.epoch = m->epoch,
		.seq = m->seq,
		.checksum = m->checksum,
		.n = m->n_seq,
	};
	if (registry_confirm(s->host->registry, &s->confirm, on_confirm_answer, s, &s->request) < 0)
		cut(s, "out of memory");
}

/* Records. */

static bool flight_push(struct session *s, const struct frame_header *h, size_t n)
{
	if (s->flight_n == s->flight_cap) {
		size_t cap = s->flight_cap ? s->flight_cap * 2 : 8;
		struct position *f = calloc(cap, sizeof(*f));

		if (!f)
			return false;
		for (size_t i = 0; i < s->flight_n; i++)
			f[i] = s->flight[(s->flight_first + i) % s->flight_cap];
		free(s->flight);
		s->flight = f;
		s->flight_first = 0;
		s->flight_cap = cap;
	}
	s->flight[(s->flight_first + s->flight_n++) % s->flight_cap] =
		(struct position){.epoch = h->epoch, .seq = h->seq, .packets_total = n};
	s->flight_bytes += n;
	return true;
}

static void refuse_frame(struct session *s, uint8_t type, const char *wrong)
{
	char text[TEXT_BYTES];

	(void)snprintf(text, sizeof(text), "%s: %s", frame_type_str(type), wrong);
	refuse(s, HIRUNDO__V1__REFUSED__REASON__BAD_FRAME, text);
}

/* Takes the frame over. */
static void on_record(struct session *s, const struct frame_header *h, uint8_t *frame)
{
	size_t n = FRAME_HEADER_SIZE + h->payload_length;
	struct position *p = NULL;
	const char *wrong;
	enum position_res res;
	bool fresh;
	int r;

	for (size_t i = 0; i < s->positions_n; i++)
		if (s->positions[i].epoch == h->epoch)
			p = &s->positions[i];
	res = position_follow(p, h, frame + FRAME_HEADER_SIZE, &wrong);
	if (res != POSITION_OK) {
		free(frame);
		if (res == POSITION_OUT_OF_ORDER)
			refuse(s, HIRUNDO__V1__REFUSED__REASON__OUT_OF_ORDER, wrong);
		else
			refuse_frame(s, h->type, wrong);
		return;
	}
	if (!flight_push(s, h, n)) {
		free(frame);
		cut(s, "out of memory");
		return;
	}
	s->last_record_us = clock_wall_us();
	fresh = offset_record(&s->clock, h, frame + FRAME_HEADER_SIZE, &s->clock_offset_us);
	if (fresh)
		look_at_clock(s);
	r = ingest_put(s->lane, h, frame, n, s->last_record_us, fresh ? &s->clock_offset_us : NULL);
	if (r < 0) {
		cut(s, strerror(-r));
		return;
	}
	read_on(s);
}

/* Frames. */

static const ProtobufCMessageDescriptor *descriptor_of(uint8_t type)
{
	switch (type) {
	case FRAME_HELLO: return &hirundo__v1__hello__descriptor;
	case FRAME_CONFIRM: return &hirundo__v1__confirm__descriptor;
	case FRAME_PING:
	case FRAME_PONG: return &hirundo__v1__ping__descriptor;
	default: return NULL;
	}
}

static void on_control(struct session *s, const struct frame_header *h, const uint8_t *payload)
{
	const ProtobufCMessageDescriptor *d = descriptor_of(h->type);
	struct frame_header pong = {.type = FRAME_PONG};
	const char *reason = "a frame that does not belong here";
	void *m = NULL;

	if (d && (h->type == FRAME_HELLO) == (s->state == HELLO))
		m = codec_unpack(d, payload, h->payload_length, &reason);
	if (!m) {
		refuse_frame(s, h->type, reason);
		return;
	}
	switch (h->type) {
	case FRAME_HELLO: on_hello(s, m); break;
	case FRAME_CONFIRM: on_confirm(s, m); return; /* keeps m */
	case FRAME_PING: (void)send_frame(s, &pong, m); break;
	default: break; /* PONG: it was heard, that is all */
	}
	codec_message_free(m);
}

static size_t on_data(struct tlschan *c, void *arg, const uint8_t *p, size_t n)
{
	struct session *s = arg;
	size_t at = 0, used;
	struct frame_header h;
	uint8_t *frame;
	int r;

	(void)c;
	while (at < n && !s->paused && (s->state == HELLO || s->state == STREAM)) {
		if (frame_reader_idle(&s->reader))
			s->frame_us = clock_mono_us();
		r = frame_reader_feed(&s->reader, p + at, n - at,
			s->state == HELLO ? FRAME_MAX_EARLY : FRAME_MAX, &used, &h, &frame);
		at += used;
		if (r == FRAME_SHORT)
			break;
		if (r < 0) {
			cut(s, "out of memory");
			break;
		}
		if (r != FRAME_OK) {
			refuse(s,
				r == FRAME_BAD_VERSION ? HIRUNDO__V1__REFUSED__REASON__VERSION
						       : HIRUNDO__V1__REFUSED__REASON__BAD_FRAME,
				frame_res_str((enum frame_res)r));
			break;
		}
		s->heard_us = clock_mono_us();
		s->host->counters.frames++;
		if (s->state == STREAM && frame_type_is_record(h.type)) {
			on_record(s, &h, frame);
		} else {
			on_control(s, &h, frame + FRAME_HEADER_SIZE);
			free(frame);
		}
	}
	if (s->state == LOOKUP && at < n)
		refuse(s, HIRUNDO__V1__REFUSED__REASON__BAD_FRAME, "a frame before WELCOME");
	/* What comes in DRAIN and CLOSING is not taken: the sensor still has it. */
	return s->state == DRAIN || s->state == CLOSING ? n : at;
}

static void on_ready(struct tlschan *c, void *arg)
{
	struct session *s = arg;
	enum tls_peer_res res = tls_peer_sensor(tlschan_ssl(c), s->name);

	enter(s, HELLO);
	s->heard_us = s->entered_us;
	if (res != TLS_PEER_OK)
		refuse(s, HIRUNDO__V1__REFUSED__REASON__UNKNOWN_SENSOR, tls_peer_res_str(res));
}

static void on_writable(struct tlschan *c, void *arg)
{
	(void)c;
	(void)arg; /* send_frame() cuts where the channel refuses: nothing waits here */
}

static const struct tlschan_callbacks channel_calls = {
	.on_ready = on_ready,
	.on_data = on_data,
	.on_writable = on_writable,
	.on_closed = on_closed,
};

/* For the listener. */

int session_new(struct session_host *host, uv_tcp_t *tcp)
{
	struct session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->host = host;
	enter(s, HANDSHAKE);
	r = tlschan_new(tcp, host->tls, NULL, HANDSHAKE_MS, &channel_calls, s, &s->chan);
	if (r < 0) {
		free(s);
		return r;
	}
	DL_APPEND(host->sessions, s);
	host->sessions_n++;
	host->counters.accepted++;
	return 0;
}

bool session_make_room(struct session_host *host)
{
	struct session *s;

	DL_FOREACH (host->sessions, s)
		if (s->state == HANDSHAKE) {
			cut(s, "too many connections");
			return true;
		}
	return false;
}

void session_sweep(struct session_host *host)
{
	struct session *s, *next;
	int64_t now = clock_mono_us();

	DL_FOREACH_SAFE (host->sessions, s, next) {
		if (s->state == HELLO && now - s->entered_us > HELLO_US)
			refuse(s, HIRUNDO__V1__REFUSED__REASON__TIMEOUT, "no HELLO in time");
		else if (s->state == STREAM && !s->paused && !frame_reader_idle(&s->reader) &&
			 now - s->frame_us > FRAME_US + frame_line_us(s->reader.size))
			refuse(s, HIRUNDO__V1__REFUSED__REASON__TIMEOUT, "a frame took too long");
		else if (s->state == STREAM && !s->paused && frame_reader_idle(&s->reader) &&
			 now - s->heard_us > SILENCE_US)
			refuse(s, HIRUNDO__V1__REFUSED__REASON__TIMEOUT, "the sensor is silent");
	}
}

void session_disable(struct session_host *host, int32_t sensor_id)
{
	struct session *s, *next;

	DL_FOREACH_SAFE (host->sessions, s, next)
		if (s->sensor_id == sensor_id)
			refuse(s, HIRUNDO__V1__REFUSED__REASON__DISABLED,
				"this sensor is disabled");
}

void session_drain_all(struct session_host *host)
{
	struct session *s, *next;

	DL_FOREACH_SAFE (host->sessions, s, next) {
		if (s->state == STREAM && s->flight_n > 0)
			enter(s, DRAIN);
		else
			refuse(s, HIRUNDO__V1__REFUSED__REASON__SHUTDOWN, "the collector stops");
	}
}

void session_close_all(struct session_host *host)
{
	struct session *s, *next;

	DL_FOREACH_SAFE (host->sessions, s, next)
		refuse(s, HIRUNDO__V1__REFUSED__REASON__SHUTDOWN, "the collector stops");
}

struct session_info session_info(const struct session *s)
{
	return (struct session_info){
		.name = s->sensor_id != 0 ? s->name : "",
		.streaming = s->state == STREAM,
		.clock_offset_us = s->clock_offset_us,
		.last_record_us = s->last_record_us,
	};
}

struct session *session_next(const struct session *s)
{
	return s->next;
}
