#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "collector/ingest_impl.h"
#include "common/clock.h"
#include "hirundo.pb-c.h"

#define TICK_MS 1000u
#define RETRY_BASE_MS 20u
#define RETRY_CAP_MS 10000u
#define LAG_TURN_US (60 * US_PER_S)

/* Durable commits, times in UTC, quoting as text_add_quoted() does it, and bounds for everything
 * that could hang: a lock, a statement, a transaction of ours that we have lost sight of. */
static const char setup[] =
	"SELECT set_config('synchronous_commit', 'on', false)"
	" WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');"
	"SET timezone = 'UTC'; SET standard_conforming_strings = on; SET client_encoding = 'UTF8';"
	"SET search_path = pg_catalog; SET statement_timeout = '60s'; SET lock_timeout = '10s';"
	"SET idle_in_transaction_session_timeout = '30s'";

/* Slots. */

static struct slot *slot_of(struct ingest *g, int32_t sensor_id)
{
	struct slot *s;

	DL_FOREACH (g->slots, s)
		if (s->sensor_id == sensor_id)
			return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->sensor_id = sensor_id;
	backoff_init(&s->backoff, RETRY_BASE_MS, RETRY_CAP_MS, 0);
	DL_APPEND(g->slots, s);
	g->slots_changed = true;
	return s;
}

static void set_ready(struct ingest *g, struct slot *s, bool ready)
{
	if (ready && !s->ready)
		DL_APPEND2(g->ready, s, ready_prev, ready_next);
	else if (!ready && s->ready)
		DL_DELETE2(g->ready, s, ready_prev, ready_next);
	s->ready = ready;
}

/* Ready, waiting, or not needed any more. */
static void slot_update(struct ingest *g, struct slot *s)
{
	bool work = s->lane && s->lane->queue && !s->conn;

	set_ready(g, s, work && s->retry_us == 0);
	if (!s->lane && !s->conn) {
		DL_DELETE(g->slots, s);
		g->slots_changed = true;
		free(s);
	}
}

static void on_retry(uv_timer_t *timer);

/* One timer for all slots that wait. */
static void arm_retry(struct ingest *g)
{
	int64_t now = clock_mono_us(), first = INT64_MAX;
	struct slot *s;

	DL_FOREACH (g->slots, s)
		if (s->retry_us != 0 && s->retry_us < first)
			first = s->retry_us;
	if (first == INT64_MAX || g->closing)
		(void)uv_timer_stop(&g->retry);
	else
		(void)uv_timer_start(&g->retry, on_retry,
			first > now ? (uint64_t)((first - now) / US_PER_MS + 1) : 0, 0);
}

static void on_retry(uv_timer_t *timer)
{
	struct ingest *g = timer->data;
	int64_t now = clock_mono_us();
	struct slot *s, *next;

	DL_FOREACH_SAFE (g->slots, s, next)
		if (s->retry_us != 0 && s->retry_us <= now) {
			s->retry_us = 0;
			slot_update(g, s);
		}
	arm_retry(g);
	ingest_go_on(g);
}

void ingest_release(struct conn *c, bool wait)
{
	struct ingest *g = c->g;
	struct slot *s = c->slot;

	c->slot = NULL;
	c->lane = NULL;
	c->step = STEP_IDLE;
	s->conn = NULL;
	if (wait && s->lane) {
		s->retry_us = clock_mono_us() + backoff_next(&s->backoff) * US_PER_MS;
		arm_retry(g);
	} else if (!wait) {
		backoff_reset(&s->backoff);
	}
	slot_update(g, s);
}

/* Records. */

void ingest_forget(struct ingest *g, struct record *r)
{
	g->counters.queued_bytes -= r->n + sizeof(*r);
	g->counters.queued_records--;
	record_free(r);
}

static void forget_queue(struct lane *lane)
{
	struct record *r, *next;

	DL_FOREACH_SAFE (lane->queue, r, next)
		ingest_forget(lane->g, r);
	lane->queue = NULL;
}

/* What the successor of this record names as prev_checksum.
 * @return false where a LOSS can not be read */
static bool chain_checksum(const struct frame_header *h, const uint8_t *frame, uint64_t *ret)
{
	Hirundo__V1__Loss *loss;
	const char *reason;

	*ret = h->checksum;
	if (h->type != FRAME_LOSS)
		return true;
	loss = codec_unpack(&hirundo__v1__loss__descriptor, frame + FRAME_HEADER_SIZE,
		h->payload_length, &reason);
	if (!loss)
		return false;
	if (loss->last_checksum_known)
		*ret = loss->last_checksum;
	codec_message_free(loss);
	return true;
}

static struct tail *tail_of(struct lane *lane, uint64_t epoch)
{
	for (size_t i = 0; i < lane->tails_n; i++)
		if (lane->tails[i].epoch == epoch)
			return &lane->tails[i];
	return NULL;
}

int ingest_put(struct lane *lane, const struct frame_header *h, uint8_t *frame, size_t n,
	int64_t received_us, const int64_t *clock_offset_us)
{
	struct ingest *g = lane->g;
	struct tail *tail = tail_of(lane, h->epoch);
	struct record *r;
	uint64_t chain;

	if (!lane->slot || g->closing) {
		free(frame); /* the sensor has it, and will be told */
		return 0;
	}
	if (!tail || h->first_seq != tail->at.seq + 1 || h->prev_checksum != tail->at.checksum ||
		h->packets_total < tail->at.packets_total || !chain_checksum(h, frame, &chain)) {
		free(frame);
		return -EPROTO;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		free(frame);
		return -ENOMEM;
	}
	r->header = *h;
	r->before = tail->at;
	r->chain = chain;
	r->packets = h->packets_total - tail->at.packets_total;
	r->received_us = received_us;
	r->has_clock_offset = clock_offset_us != NULL;
	r->clock_offset_us = clock_offset_us ? *clock_offset_us : 0;
	r->frame = frame;
	r->n = n;
	tail->at = (struct position){h->seq, chain, h->packets_total};
	DL_APPEND(lane->queue, r);
	g->counters.queued_bytes += n + sizeof(*r);
	g->counters.queued_records++;
	if (g->counters.queued_bytes >= g->o.budget_bytes)
		g->full = true;
	slot_update(g, lane->slot);
	ingest_go_on(g);
	return 0;
}

/* Lanes. */

void ingest_lane_detach(struct lane *lane)
{
	struct slot *s = lane->slot;

	forget_queue(lane);
	if (!s)
		return;
	lane->slot = NULL;
	s->lane = NULL;
	s->solo = 0;
	s->retry_us = 0;
	if (s->conn)
		s->conn->lane = NULL;
	lane->g->slots_changed = true;
	slot_update(lane->g, s);
}

int ingest_lane_open(struct ingest *g, const struct ingest_lane_info *info,
	const struct ingest_callbacks *cb, void *arg, struct lane **ret)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	struct slot *s;

	if (!lane)
		return -ENOMEM;
	s = slot_of(g, info->sensor_id);
	if (!s) {
		free(lane);
		return -ENOMEM;
	}
	lane->g = g;
	lane->info = *info;
	lane->cb = *cb;
	lane->arg = arg;
	lane->slot = s;
	if (s->lane) {
		struct lane *old = s->lane;

		/* The slot stays, so not ingest_lane_detach(). */
		forget_queue(old);
		old->slot = NULL;
		if (s->conn)
			s->conn->lane = NULL;
	}
	s->lane = lane;
	s->solo = 0;
	s->retry_us = 0;
	g->slots_changed = true;
	slot_update(g, s);
	*ret = lane;
	return 0;
}

void ingest_lane_close(struct lane *lane)
{
	struct ingest *g = lane->g;

	ingest_lane_detach(lane);
	free(lane->tails);
	free(lane->captures.at);
	free(lane);
	ingest_go_on(g);
}

void ingest_lane_position(
	struct lane *lane, uint64_t epoch, uint64_t seq, uint64_t checksum, uint64_t packets_total)
{
	struct tail *tail = tail_of(lane, epoch);

	if (!tail) {
		/* Without memory the stream stays unknown, and its first record is refused. */
		struct tail *grown = realloc(lane->tails, (lane->tails_n + 1) * sizeof(*grown));

		if (!grown)
			return;
		lane->tails = grown;
		tail = &lane->tails[lane->tails_n++];
	}
	*tail = (struct tail){epoch, {seq, checksum, packets_total}};
}

/* Going on. */

bool ingest_can_take(const struct ingest *g)
{
	return !g->full && !g->closing;
}

static void tell_room(struct ingest *g)
{
	struct slot *s;

	if (!g->full || g->counters.queued_bytes >= g->o.budget_bytes / 4 * 3)
		return;
	g->full = false;
	g->room_round++;
	for (s = g->slots; s && !g->full;) {
		struct lane *lane = s->lane;

		g->slots_changed = false;
		if (lane && lane->room_round != g->room_round) {
			lane->room_round = g->room_round;
			if (lane->cb.on_room)
				lane->cb.on_room(lane->arg);
		}
		s = g->slots_changed ? g->slots : s->next;
	}
}

static void on_closed(struct ingest *g)
{
	if (--g->handles == 0 && g->done)
		g->done(g->done_arg);
}

static void on_pg_closed(void *arg)
{
	struct conn *c = arg;

	c->pg = NULL;
	on_closed(c->g);
}

static void on_timer_closed(uv_handle_t *h)
{
	on_closed(h->data);
}

static void shut(struct ingest *g)
{
	if (g->closing)
		return;
	g->closing = true;
	g->handles = g->o.connections + 3;
	for (unsigned i = 0; i < g->o.connections; i++)
		pg_close(g->conns[i].pg, on_pg_closed, &g->conns[i]);
	uv_close((uv_handle_t *)&g->tick, on_timer_closed);
	uv_close((uv_handle_t *)&g->retry, on_timer_closed);
	uv_close((uv_handle_t *)&g->drain, on_timer_closed);
}

void ingest_go_on(struct ingest *g)
{
	if (g->closing)
		return;
	if (g->done && g->counters.queued_records == 0) {
		shut(g);
		return;
	}
	for (unsigned i = 0; i < g->o.connections; i++) {
		struct conn *c = &g->conns[i];

		if (!pg_idle(c->pg) || c->step != STEP_IDLE)
			continue;
		if (!g->loading && clock_mono_us() >= g->load_us) {
			conn_load(c);
		} else if (g->loaded && g->ready && !g->held) {
			struct slot *s = g->ready;

			set_ready(g, s, false);
			conn_start(c, s);
		}
	}
	tell_room(g);
}

void ingest_hold(struct ingest *g)
{
	g->held = true;
}

void ingest_set_enrich(struct ingest *g, const struct enrich *e)
{
	g->shared.enrich = e;
	g->held = false;
	ingest_go_on(g);
}

/* Connections come and go. */

static void on_up(struct pg *p, void *arg)
{
	struct conn *c = arg;

	(void)p;
	c->g->counters.connected++;
	c->g->load_us = 0; /* days may have gone, settings changed */
	log_info("ingest", "state=up connection=%td", c - c->g->conns);
	ingest_go_on(c->g);
}

static void on_down(struct pg *p, void *arg, const char *reason)
{
	struct conn *c = arg;
	unsigned suppressed;

	(void)p;
	if (log_limit_pass(&c->g->log_down, 5 * US_PER_S, &suppressed))
		log_warn("ingest", "state=down connection=%td reason=%s suppressed=%u",
			c - c->g->conns, log_quote(reason), suppressed);
	c->g->counters.reconnects++;
	c->g->counters.connected = 0;
	for (unsigned i = 0; i < c->g->o.connections; i++)
		if (c->g->conns[i].pg && pg_up(c->g->conns[i].pg))
			c->g->counters.connected++;
}

static void on_tick(uv_timer_t *timer)
{
	struct ingest *g = timer->data;
	int64_t now = clock_mono_us();

	if (now - g->lag_turn_us >= LAG_TURN_US) {
		g->lag_turn_us = now;
		g->lag_us[1] = g->lag_us[0];
		g->lag_us[0] = 0;
		g->counters.max_lag_us = g->lag_us[1];
	}
	ingest_go_on(g);
}

static void on_drain_timeout(uv_timer_t *timer)
{
	struct ingest *g = timer->data;

	log_warn("ingest", "state=drain reason=timeout records=%llu",
		(unsigned long long)g->counters.queued_records);
	shut(g);
}

/* Life. */

int ingest_new(uv_loop_t *loop, const struct ingest_options *o, struct ingest **ret)
{
	static const struct pg_callbacks calls = {.on_up = on_up, .on_down = on_down};
	struct ingest *g;
	int r;

	if (o->connections < 1 || o->connections > ARRAY_SIZE(g->conns))
		return -EINVAL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->loop = loop;
	g->o = *o;
	g->o.dsn = NULL; /* borrowed for this call only */
	g->held = o->hold;
	g->shared.reject_bytes = o->reject_bytes;
	g->lag_turn_us = clock_mono_us();
	r = txn_shared_init(&g->shared);
	for (unsigned i = 0; r == 0 && i < o->connections; i++) {
		struct conn *c = &g->conns[i];

		c->g = g;
		txn_init(&c->txn, o->transaction_rows);
		buf_init(&c->sql, 128u * 1024u * 1024u);
		r = pg_new(loop, o->dsn, setup, &calls, c, &c->pg);
	}
	if (r < 0) {
		/* What was made lives on the loop until it is closed. */
		for (unsigned i = 0; i < o->connections; i++)
			if (g->conns[i].pg)
				pg_close(g->conns[i].pg, NULL, NULL);
		return ingest_free(g), r;
	}
	(void)uv_timer_init(loop, &g->tick); /* these can not fail */
	(void)uv_timer_init(loop, &g->retry);
	(void)uv_timer_init(loop, &g->drain);
	g->tick.data = g->retry.data = g->drain.data = g;
	(void)uv_timer_start(&g->tick, on_tick, TICK_MS, TICK_MS);
	*ret = g;
	return 0;
}

void ingest_drain(struct ingest *g, unsigned timeout_ms, void (*done)(void *arg), void *arg)
{
	g->done = done;
	g->done_arg = arg;
	(void)uv_timer_start(&g->drain, on_drain_timeout, timeout_ms, 0);
	ingest_go_on(g);
}

struct ingest *ingest_free(struct ingest *g)
{
	struct slot *s, *next;

	if (!g)
		return NULL;
	DL_FOREACH_SAFE (g->slots, s, next)
		free(s);
	for (unsigned i = 0; i < g->o.connections; i++) {
		txn_done(&g->conns[i].txn);
		buf_done(&g->conns[i].sql);
	}
	txn_shared_done(&g->shared);
	free(g);
	return NULL;
}

const struct ingest_counters *ingest_counters(const struct ingest *g)
{
	return &g->counters;
}
