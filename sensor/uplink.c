#include "sensor/uplink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/tlschan.h"
#include "hirundo.pb-c.h"
#include "proto/reader.h"
#include "sensor/hello.h"
#include "sensor/search.h"
#include "sensor/spool.h"
#include "sensor/targets.h"

/* PROTOCOL.md, section Times. */
#define CONNECT_MS 10000
#define HANDSHAKE_MS 10000
#define WELCOME_US (15 * US_PER_S)
#define PING_AFTER_US (15 * US_PER_S)
#define DEAD_AFTER_US (45 * US_PER_S)
#define TICK_MS 1000
/* Frames in flight, whatever their size: bounds the list below. */
#define FLIGHT_MAX 1024u

enum state {
	IDLE, /* waiting for the next try */
	RESOLVING,
	CONNECTING, /* TCP and TLS */
	GREETING, /* HELLO sent */
	SEARCHING, /* CONFIRM sent */
	STREAMING,
	CLOSING, /* the channel is on its way out */
};

struct flight {
	uint64_t epoch, seq;
	size_t bytes;
};

struct uplink {
	uv_loop_t *loop;
	struct uplink_options o;
	SSL_CTX *ctx;
	struct uplink_callbacks cb;
	void *arg;

	enum state state;
	uv_timer_t timer; /* next try, and every second while connected */
	uv_getaddrinfo_t resolve;
	unsigned choice; /* which of the collector's addresses: the next where one failed */
	uv_connect_t connect;
	uv_tcp_t *tcp; /* until the channel takes it over */
	struct tlschan *chan;
	struct backoff backoff;
	struct frame_reader reader;
	struct buf out;
	bool out_pending; /* `out` holds a frame that the channel did not take yet */
	uint64_t credit, in_flight;
	struct flight flights[FLIGHT_MAX];
	size_t flights_first, flights_n;
	int64_t since_us, heard_us; /* monotonic: state entered, last frame in */
	uint64_t bytes_before; /* of earlier connections */
	bool refused; /* this connection was refused: wait long */
	bool again_now; /* connect again without waiting */

	struct search search; /* SEARCHING: for the last shared record */

	bool closing;
	unsigned handles;
	void (*closed)(void *arg);
	void *closed_arg;
};

static void schedule(struct uplink *u);
static void resolve(struct uplink *u);

static void enter(struct uplink *u, enum state s)
{
	u->state = s;
	u->since_us = clock_mono_us();
}

/* Closing. */

static void finish_close(struct uplink *u)
{
	if (u->closing && u->handles == 0 && !u->chan && u->closed) {
		void (*closed)(void *) = u->closed;

		u->closed = NULL;
		closed(u->closed_arg);
	}
}

static void on_timer_closed(uv_handle_t *h)
{
	struct uplink *u = h->data;

	u->handles--;
	finish_close(u);
}

static void on_tcp_closed(uv_handle_t *h)
{
	struct uplink *u = h->data;

	free(h);
	u->handles--;
	finish_close(u);
}

static void drop_tcp(struct uplink *u)
{
	if (!u->tcp)
		return;
	uv_close((uv_handle_t *)u->tcp, on_tcp_closed);
	u->tcp = NULL;
}

/* The connection is over or never came to be: wait, then try again. */
static void lost(struct uplink *u, const char *reason)
{
	frame_reader_done(&u->reader);
	u->out_pending = false;
	u->flights_n = 0;
	u->in_flight = 0;
	spool_disconnected(u->o.spool);
	enter(u, IDLE);
	if (u->closing) {
		finish_close(u);
		return;
	}
	if (u->again_now)
		log_info("uplink", "state=reconnecting reason=%s", log_quote(reason));
	schedule(u);
	if (!u->again_now)
		log_warn("uplink", "state=disconnected reason=%s retry_ms=%" PRIu64,
			log_quote(reason), uv_timer_get_due_in(&u->timer));
	u->again_now = false;
}

static void drop(struct uplink *u, const char *reason)
{
	if (u->state == CLOSING)
		return;
	enter(u, CLOSING);
	tlschan_abort(u->chan, reason);
}

/* Sending. */

/* Hands `out` to the channel, now or when it has room again. */
static bool send_out(struct uplink *u)
{
	if (!tlschan_write(u->chan, buf_head(&u->out), buf_len(&u->out))) {
		u->out_pending = true;
		return false;
	}
	u->out_pending = false;
	return true;
}

static void send_control(struct uplink *u, enum frame_type type, const void *message)
{
	struct frame_header h = {.version = FRAME_VERSION, .type = (uint8_t)type};

	/* Only PING and PONG can meet a record that still waits for room, and then the peer hears
	 * us anyway as soon as it reads. */
	if (u->out_pending)
		return;
	buf_clear(&u->out);
	if (codec_pack_frame(&h, message, &u->out) < 0) {
		drop(u, "out of memory");
		return;
	}
	(void)send_out(u);
}

static void pump(struct uplink *u)
{
	struct frame_header h;
	int r;

	while (u->state == STREAMING && !u->out_pending && u->flights_n < FLIGHT_MAX &&
		u->in_flight < u->credit) {
		r = spool_next(u->o.spool, &u->out, &h);
		if (r == SPOOL_END)
			return;
		if (r < 0) {
			log_error("uplink", "reason=\"reading the spool\" error=%s",
				log_quote(strerror(-r)));
			drop(u, "the spool can not be read");
			return;
		}
		u->flights[(u->flights_first + u->flights_n++) % FLIGHT_MAX] =
			(struct flight){h.epoch, h.seq, buf_len(&u->out)};
		u->in_flight += buf_len(&u->out);
		(void)send_out(u);
	}
}

void uplink_kick(struct uplink *u)
{
	if (u->state == STREAMING && spool_must_reconnect(u->o.spool)) {
		u->again_now = true;
		drop(u, "the spool dropped records that were in flight");
		return;
	}
	pump(u);
}

/* HELLO, WELCOME. */

static void send_hello(struct uplink *u)
{
	enter(u, GREETING);
	buf_clear(&u->out);
	if (hello_pack(u->o.spool, u->o.targets, u->o.has_capture ? &u->o.capture_xxh3 : NULL,
		    &u->out) < 0)
		drop(u, "out of memory");
	else
		(void)send_out(u);
}

/* Nothing left to ask for: what the spool holds behind the last shared record moves to a new epoch.
 */
static void search_end(struct uplink *u)
{
	int r = spool_fork(u->o.spool, u->search.stream, u->search.low);

	if (r < 0) {
		log_error("uplink", "reason=\"making a new epoch\" error=%s",
			log_quote(strerror(-r)));
	} else {
		log_warn("uplink",
			"state=forked shared_seq=%" PRIu64
			" reason=\"the collector has other records under our numbers (spool rolled "
			"back or "
			"cloned): a new epoch begins\"",
			u->search.low);
		u->again_now = true;
	}
	drop(u, "a new epoch begins");
}

static void search_ask(struct uplink *u)
{
	Hirundo__V1__Confirm c = HIRUNDO__V1__CONFIRM__INIT;

	if (!search_next(&u->search, u->o.spool)) {
		search_end(u);
		return;
	}
	c.epoch = spool_stream(u->o.spool, u->search.stream).epoch;
	c.seq = u->search.asked;
	c.n_seq = u->search.asked_n;
	c.checksum = u->search.checksum;
	c.n_checksum = u->search.asked_n;
	enter(u, SEARCHING);
	send_control(u, FRAME_CONFIRM, &c);
}

static void on_confirmed(struct uplink *u, const Hirundo__V1__Confirmed *c)
{
	if (c->epoch != spool_stream(u->o.spool, u->search.stream).epoch ||
		!search_answer(&u->search, c->seq))
		drop(u, "CONFIRMED does not answer what was asked");
	else
		search_ask(u);
}

static void on_welcome(struct uplink *u, const Hirundo__V1__Welcome *w)
{
	size_t n = spool_streams_n(u->o.spool);
	struct capture_position capture = {0};

	if (w->version != FRAME_VERSION || w->n_streams != n ||
		w->n_targets != targets_n(u->o.targets)) {
		drop(u, "WELCOME does not answer HELLO");
		return;
	}
	u->credit = w->credit_bytes;
	log_info("uplink", "state=connected sensor_id=%u clock_offset_us=%" PRId64, w->sensor_id,
		clock_wall_us() - w->server_time_us);
	for (size_t i = 0; i < w->n_targets; i++)
		targets_issue(u->o.targets, i, w->targets[i]);
	for (size_t i = 0; i < n; i++) {
		const Hirundo__V1__StreamState *s = w->streams[i];
		int r;

		if (s->epoch != spool_stream(u->o.spool, i).epoch) {
			drop(u, "WELCOME does not answer HELLO");
			return;
		}
		r = spool_resume(u->o.spool, i, s->last_seq, s->last_checksum, s->packets_total);
		/* Too many streams to make one more: what the older ones hold goes first. */
		if (r == SPOOL_POSITION_FOREIGN && n >= SPOOL_STREAMS_MAX && i > 0)
			break;
		if (r == SPOOL_POSITION_FOREIGN) {
			search_start(&u->search, u->o.spool, i, s->last_seq);
			search_ask(u);
			return;
		}
		if (r < 0) {
			log_error("uplink",
				"reason=\"the spool can not follow the collector\" error=%s",
				log_quote(strerror(-r)));
			drop(u, "the spool can not follow the collector");
			return;
		}
	}
	if (w->capture)
		capture = (struct capture_position){
			.xxh3 = w->capture->xxh3,
			.ordinal = w->capture->ordinal,
			.complete = w->capture->complete,
			.generation = w->capture->generation,
			.epoch = w->capture->epoch,
		};
	u->cb.on_welcome(u->arg, &capture);
	u->cb.on_acked(u->arg);
	if (u->closing)
		return;
	enter(u, STREAMING);
	pump(u);
}

/* Frames that come in. */

static void on_ack(struct uplink *u, const struct frame_header *h)
{
	bool any = false;

	while (u->flights_n > 0) {
		struct flight *f = &u->flights[u->flights_first];

		if (f->epoch != h->epoch || f->seq > h->seq)
			break;
		u->in_flight -= f->bytes;
		u->flights_first = (u->flights_first + 1) % FLIGHT_MAX;
		u->flights_n--;
		any = true;
	}
	if (!any) {
		drop(u, "ACK for what was not sent");
		return;
	}
	backoff_reset(&u->backoff);
	spool_ack(u->o.spool, h->epoch, h->seq);
	u->cb.on_acked(u->arg);
	pump(u);
}

static void on_refused(struct uplink *u, const Hirundo__V1__Refused *m)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
		&hirundo__v1__refused__reason__descriptor, (int)m->reason);
	char reason[320];

	(void)snprintf(reason, sizeof(reason), "refused by the collector: %s: %s",
		v ? v->name : "?", m->text);
	switch (m->reason) {
	case HIRUNDO__V1__REFUSED__REASON__VERSION:
	case HIRUNDO__V1__REFUSED__REASON__UNKNOWN_SENSOR:
	case HIRUNDO__V1__REFUSED__REASON__DISABLED:
	case HIRUNDO__V1__REFUSED__REASON__CAPTURE_NOT_ALLOWED:
		u->refused = true;
		u->cb.on_refused(u->arg, reason);
		break;
	case HIRUNDO__V1__REFUSED__REASON__CAPTURE_TAKEN:
		u->again_now = true;
		u->cb.on_taken(u->arg);
		break;
	case HIRUNDO__V1__REFUSED__REASON__UNSPECIFIED:
	case HIRUNDO__V1__REFUSED__REASON__BAD_FRAME:
	case HIRUNDO__V1__REFUSED__REASON__OUT_OF_ORDER:
	case HIRUNDO__V1__REFUSED__REASON__FORKED:
	case HIRUNDO__V1__REFUSED__REASON__SUPERSEDED:
	case HIRUNDO__V1__REFUSED__REASON__UNAVAILABLE:
	case HIRUNDO__V1__REFUSED__REASON__SHUTDOWN:
	case HIRUNDO__V1__REFUSED__REASON__TIMEOUT:
	case _HIRUNDO__V1__REFUSED__REASON_IS_INT_SIZE: break;
	}
	drop(u, reason);
}

/* What each control frame carries, and in which state it may come. */
static void on_frame(struct uplink *u, const struct frame_header *h, const uint8_t *payload)
{
	static const struct {
		uint8_t type;
		unsigned states;
		const ProtobufCMessageDescriptor *descriptor;
	} expected[] = {
		{FRAME_WELCOME, 1 << GREETING, &hirundo__v1__welcome__descriptor},
		{FRAME_CONFIRMED, 1 << SEARCHING, &hirundo__v1__confirmed__descriptor},
		{FRAME_ACK, 1 << STREAMING, NULL},
		{FRAME_REFUSED, 1 << GREETING | 1 << SEARCHING | 1 << STREAMING,
			&hirundo__v1__refused__descriptor},
		{FRAME_PING, 1 << STREAMING, &hirundo__v1__ping__descriptor},
		{FRAME_PONG, 1 << STREAMING, &hirundo__v1__ping__descriptor},
	};
	const char *reason = NULL;
	void *message = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		if (expected[i].type != h->type || !(expected[i].states & 1u << u->state))
			continue;
		if (expected[i].descriptor) {
			message = codec_unpack(
				expected[i].descriptor, payload, h->payload_length, &reason);
			if (!message) {
				drop(u, reason);
				return;
			}
		}
		switch (h->type) {
		case FRAME_WELCOME: on_welcome(u, message); break;
		case FRAME_CONFIRMED: on_confirmed(u, message); break;
		case FRAME_ACK: on_ack(u, h); break;
		case FRAME_REFUSED: on_refused(u, message); break;
		case FRAME_PING: send_control(u, FRAME_PONG, message); break;
		default: break; /* PONG: it was heard, that is all */
		}
		codec_message_free(message);
		return;
	}
	drop(u, "a frame that does not belong here");
}

static size_t on_data(struct tlschan *c, void *arg, const uint8_t *p, size_t n)
{
	struct uplink *u = arg;
	size_t at = 0, used;
	struct frame_header h;
	uint8_t *frame;
	int r;

	(void)c;
	while (at < n && u->chan && u->state != CLOSING) {
		r = frame_reader_feed(
			&u->reader, p + at, n - at, FRAME_MAX_EARLY, &used, &h, &frame);
		at += used;
		if (r == FRAME_SHORT)
			break;
		if (r != FRAME_OK) {
			drop(u, r < 0 ? "out of memory" : frame_res_str((enum frame_res)r));
			break;
		}
		u->heard_us = clock_mono_us();
		on_frame(u, &h, frame + FRAME_HEADER_SIZE);
		free(frame);
	}
	return n;
}

/* The connection. */

static void on_ready(struct tlschan *c, void *arg)
{
	(void)c;
	send_hello(arg);
}

static void on_writable(struct tlschan *c, void *arg)
{
	struct uplink *u = arg;

	(void)c;
	if (u->out_pending && !send_out(u))
		return;
	pump(u);
}

static void on_closed(struct tlschan *c, void *arg, const char *reason)
{
	struct uplink *u = arg;

	u->bytes_before += tlschan_bytes_sent(c);
	u->chan = NULL;
	if (!u->refused && tlschan_distrusted(c)) {
		u->refused = true;
		u->cb.on_refused(u->arg, reason);
	}
	lost(u, reason);
}

static const struct tlschan_callbacks channel_callbacks = {
	.on_ready = on_ready,
	.on_data = on_data,
	.on_writable = on_writable,
	.on_closed = on_closed,
};

static void on_connect(uv_connect_t *req, int status)
{
	struct uplink *u = req->data;
	uv_tcp_t *tcp = u->tcp;
	int r;

	if (status < 0 || u->closing) {
		u->choice++;
		drop_tcp(u);
		lost(u, u->closing ? "stopping" : uv_strerror(status));
		return;
	}
	(void)uv_tcp_nodelay(tcp, 1);
	u->tcp = NULL;
	u->handles--; /* the channel's from here on */
	r = tlschan_new(
		tcp, u->ctx, u->o.collector.host, HANDSHAKE_MS, &channel_callbacks, u, &u->chan);
	if (r < 0) {
		u->chan = NULL;
		lost(u, uv_strerror(r));
		return;
	}
	enter(u, CONNECTING);
	u->heard_us = clock_mono_us();
}

static void tell_peer(struct uplink *u, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		u->cb.on_peer(u->arg, 4,
			(const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr,
			u->o.collector.port);
	else if (sa->sa_family == AF_INET6)
		u->cb.on_peer(u->arg, 6,
			(const uint8_t *)&((const struct sockaddr_in6 *)sa)->sin6_addr,
			u->o.collector.port);
}

static const struct sockaddr *choose(const struct addrinfo *list, unsigned choice)
{
	const struct addrinfo *a = list;

	for (; choice > 0; choice--)
		a = a->ai_next ? a->ai_next : list;
	return a->ai_addr;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct uplink *u = req->data;
	const struct sockaddr *to;
	int r = status;

	u->handles--;
	if (status == 0 && !u->closing) {
		u->tcp = malloc(sizeof(*u->tcp));
		r = u->tcp ? uv_tcp_init(u->loop, u->tcp) : UV_ENOMEM;
		if (r < 0) {
			free(u->tcp);
			u->tcp = NULL;
		} else {
			u->tcp->data = u;
			u->handles++;
			u->connect.data = u;
			to = choose(res, u->choice);
			tell_peer(u, to);
			r = uv_tcp_connect(&u->connect, u->tcp, to, on_connect);
			if (r < 0)
				u->choice++;
		}
	}
	uv_freeaddrinfo(res);
	if (r == 0 && !u->closing) {
		enter(u, CONNECTING);
		return;
	}
	drop_tcp(u);
	lost(u, u->closing ? "stopping" : uv_strerror(r));
}

static void on_timer(uv_timer_t *t)
{
	struct uplink *u = t->data;
	Hirundo__V1__Ping ping = HIRUNDO__V1__PING__INIT;
	int64_t now = clock_mono_us();
	uint64_t oldest = u->flights_n > 0 ? u->flights[u->flights_first].bytes : 0;

	switch (u->state) {
	case IDLE: resolve(u); return;
	case RESOLVING:
	case CLOSING: return;
	case CONNECTING:
		if (u->tcp && now - u->since_us > CONNECT_MS * US_PER_MS)
			drop_tcp(u); /* on_connect follows with UV_ECANCELED */
		return;
	case GREETING:
	case SEARCHING:
		if (now - u->since_us > WELCOME_US)
			drop(u, "the collector does not answer HELLO");
		return;
	case STREAMING:
		if (now - u->heard_us > DEAD_AFTER_US + frame_line_us(oldest))
			drop(u, "the collector is silent");
		else if (now - u->heard_us > PING_AFTER_US)
			send_control(u, FRAME_PING, &ping);
		else
			uplink_kick(u);
		return;
	}
}

static void resolve(struct uplink *u)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char port[8];
	int r;

	u->refused = false;
	enter(u, RESOLVING);
	(void)snprintf(port, sizeof(port), "%u", u->o.collector.port);
	u->resolve.data = u;
	(void)uv_timer_start(&u->timer, on_timer, TICK_MS, TICK_MS);
	r = uv_getaddrinfo(u->loop, &u->resolve, on_resolved, u->o.collector.host, port, &hints);
	if (r < 0)
		lost(u, uv_strerror(r));
	else
		u->handles++;
}

static void schedule(struct uplink *u)
{
	uint32_t ms = u->again_now ? 0 : u->refused ? u->o.retry_max_ms : backoff_next(&u->backoff);

	(void)uv_timer_start(&u->timer, on_timer, ms, 0);
}

int uplink_new(uv_loop_t *loop, const struct uplink_options *o, SSL_CTX *ctx,
	const struct uplink_callbacks *cb, void *arg, struct uplink **ret)
{
	struct uplink *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->loop = loop;
	u->o = *o;
	u->ctx = ctx;
	u->cb = *cb;
	u->arg = arg;
	buf_init(&u->out, FRAME_MAX);
	backoff_init(&u->backoff, o->retry_min_ms, o->retry_max_ms, 0);
	(void)uv_timer_init(loop, &u->timer); /* cannot fail */
	u->timer.data = u;
	u->handles = 1;
	*ret = u;
	return 0;
}

void uplink_start(struct uplink *u)
{
	resolve(u);
}

void uplink_set_tls(struct uplink *u, SSL_CTX *ctx)
{
	SSL_CTX_free(u->ctx);
	u->ctx = ctx;
}

uint64_t uplink_bytes_sent(const struct uplink *u)
{
	return u->bytes_before + (u->chan ? tlschan_bytes_sent(u->chan) : 0);
}

void uplink_close(struct uplink *u, void (*done)(void *arg), void *arg)
{
	assert(!u->closing);
	u->closing = true;
	u->closed = done;
	u->closed_arg = arg;
	uv_close((uv_handle_t *)&u->timer, on_timer_closed);
	if (u->chan) {
		u->state = CLOSING;
		tlschan_close(u->chan, "stopping");
	}
	if (u->state == RESOLVING)
		(void)uv_cancel(
			(uv_req_t *)&u->resolve); /* too late is fine: on_resolved sees closing */
	drop_tcp(u);
}

struct uplink *uplink_free(struct uplink *u)
{
	if (!u)
		return NULL;
	SSL_CTX_free(u->ctx);
	frame_reader_done(&u->reader);
	buf_done(&u->out);
	free(u);
	return NULL;
}
