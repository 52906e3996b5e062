/*
 * hirundo-sensor: arguments, configuration, capture opened, privileges dropped, and the loop that
 * moves packets from capture through the pipeline into the spool, and the uplink that sends them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/hostport.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/tlsctx.h"
#include "sensor/arguments.h"
#include "sensor/capture.h"
#include "sensor/covered.h"
#include "sensor/issued.h"
#include "sensor/pipeline.h"
#include "sensor/print.h"
#include "sensor/sensor_conf.h"
#include "sensor/spool_alert.h"
#include "sensor/uplink.h"

#define TURN_PACKETS 4096 /* of one turn of the loop */
#define TICK_MS 100 /* how often the clocks are looked at */
/* A clean stop waits this long for its last acknowledgements; the rest stays in the spool. */
#define DRAIN_US (5 * US_PER_S)
/* --read waits while this many segments are not committed, so that the spool's bound is never met.
 * Two: one counts as a whole until its last record is acknowledged. */
#define READ_AHEAD_SEGMENTS 2

enum phase {
	WAITING, /* --read: for WELCOME; live: for target ordinals */
	LISTENING, /* packets are read */
	DRAINING, /* everything is sealed; acknowledgements are awaited */
	STOPPING,
};

struct sensor {
	uv_loop_t loop;
	struct daemon daemon;
	uv_timer_t tick;
	uv_poll_t poll; /* live */
	uv_idle_t idle; /* --read */
	const char *config_file;
	struct sensor_conf conf;
	struct targets *targets;
	struct capture *capture;
	struct spool *spool;
	struct spool_alert spool_alert;
	struct pipeline *pipeline;
	struct uplink *uplink;
	char *issued_path;

	enum phase phase;
	int exit_code;
	bool live, again, down, complete;
	bool damaged; /* --read: the file ends in the middle */
	struct pipeline_resume resumed;
	struct capture_position position; /* --read: of the packets before it, all are sealed */
	struct capture_position committed; /* --read: as WELCOME told */
	bool settling; /* --read: what the spool has left is sent before more is read */
	uint64_t read_ordinal;
	struct covered covered; /* --read: what the capture covers */
	bool cover_stated; /* by --cover */
	struct listening listening; /* live */
	int64_t status_due_us, drain_until_us, started_us; /* monotonic */
};

static void stop(struct sensor *s, int exit_code);

static void fail(struct sensor *s, int exit_code, const char *what, int r)
{
	log_error("sensor", "reason=%s error=%s", log_quote(what), log_quote(strerror(-r)));
	stop(s, exit_code);
}

/* Books. */

/* Live: with the interval that is covered so far. */
static int status(struct sensor *s, struct covered c, bool final)
{
	uint64_t kernel = 0, interface = 0;

	if (s->live) {
		capture_drops(s->capture, &kernel, &interface);
		c = listening_take(&s->listening, clock_wall_us(), clock_mono_us());
	}
	s->status_due_us = clock_mono_us() + s->conf.status_interval;
	return pipeline_status(s->pipeline, kernel, interface, c.from_us, c.to_us, final);
}

/* The end of a capture. What it covers is told before the mark that it is complete: who finds the
 * mark after a crash tells nothing any more. A damaged one has no mark: who reads it again hears of
 * the damage again. */
static int complete(struct sensor *s)
{
	int r = status(s, s->covered, false);

	return r == 0 ? pipeline_seal(s->pipeline, !s->damaged) : r;
}

/* The end. */

static void on_handle_closed(uv_handle_t *h)
{
	(void)h;
}

static void on_uplink_closed(void *arg)
{
	struct sensor *s = arg;

	daemon_close(&s->daemon);
	uv_close((uv_handle_t *)&s->tick, on_handle_closed);
}

static void stop(struct sensor *s, int exit_code)
{
	if (s->phase == STOPPING)
		return;
	s->phase = STOPPING;
	s->exit_code = exit_code;
	uv_close((uv_handle_t *)(s->live ? (void *)&s->poll : (void *)&s->idle), on_handle_closed);
	uplink_close(s->uplink, on_uplink_closed, s);
}

/* Seals everything and waits for the acknowledgements: --read until they are there, live for a
 * while. */
static void drain(struct sensor *s, int exit_code)
{
	int r = 0;

	if (s->phase >= DRAINING)
		return;
	if (s->live)
		(void)uv_poll_stop(&s->poll);
	else
		(void)uv_idle_stop(&s->idle);
	notify_stopping();
	if (s->phase == LISTENING && s->complete)
		r = complete(s);
	if (r == 0 && s->phase == LISTENING)
		r = status(s, (struct covered){0}, true);
	s->phase = DRAINING;
	s->exit_code = exit_code;
	s->drain_until_us = s->complete ? INT64_MAX : clock_mono_us() + DRAIN_US;
	if (r < 0) {
		fail(s, EX_IOERR, "sealing the last records", r);
		return;
	}
	uplink_kick(s->uplink);
	if (spool_all_acked(s->spool))
		stop(s, exit_code);
}

static void on_stop(void *arg)
{
	struct sensor *s = arg;

	log_notice("sensor", "state=stopping");
	drain(s, s->live ? EX_OK : EX_TEMPFAIL);
	if (s->phase == DRAINING && !s->live)
		s->drain_until_us = clock_mono_us() + DRAIN_US;
}

/* Live. */

static void interface_state(struct sensor *s, bool down)
{
	if (down == s->down)
		return;
	s->down = down;
	log_warn("capture", "interface=%s state=%s", log_quote(s->conf.interface),
		down ? "down" : "up");
	if (down) {
		if (status(s, (struct covered){0}, false) < 0)
			log_error("sensor", "reason=\"writing the books\"");
		listening_end(&s->listening);
	} else {
		listening_begin(&s->listening, clock_wall_us(), clock_mono_us());
	}
}

static void read_live(struct sensor *s)
{
	struct capture_packet p;
	int r = CAPTURE_NONE;

	for (int i = 0; i < TURN_PACKETS; i++) {
		r = capture_read(s->capture, &p);
		if (r != CAPTURE_PACKET)
			break;
		interface_state(s, false);
		r = pipeline_packet(s->pipeline, &p);
		if (r < 0) {
			fail(s, EX_OSERR, "taking a packet", r);
			return;
		}
	}
	if (r == CAPTURE_DOWN) {
		interface_state(s, true);
	} else if (r == CAPTURE_NONE) {
		interface_state(s, false);
	} else if (r == CAPTURE_VANISHED) {
		log_error("capture", "interface=%s reason=\"the interface is gone\"",
			log_quote(s->conf.interface));
		drain(s, EX_TEMPFAIL);
	} else if (r < 0) {
		log_error("capture", "interface=%s reason=%s", log_quote(s->conf.interface),
			log_quote(capture_error(s->capture)));
		drain(s, EX_TEMPFAIL);
	}
}

static void on_readable(uv_poll_t *p, int events_status, int events)
{
	struct sensor *s = p->data;
	int r;

	(void)events;
	read_live(s);
	if (events_status >= 0 || s->phase != LISTENING)
		return;
	/* The interface went down: libuv has stopped the handle (sensor/capture.h). */
	r = uv_poll_start(p, UV_READABLE, on_readable);
	if (r < 0)
		fail(s, EX_OSERR, "watching the capture", r);
}

static void listen_live(struct sensor *s)
{
	int r = uv_poll_start(&s->poll, UV_READABLE, on_readable);

	if (r < 0) {
		fail(s, EX_OSERR, "watching the capture", r);
		return;
	}
	s->phase = LISTENING;
	listening_begin(&s->listening, clock_wall_us(), clock_mono_us());
	s->status_due_us =
		clock_mono_us(); /* the first books at once: they tell of an unclean start */
	log_notice("sensor", "state=listening interface=%s", log_quote(s->conf.interface));
	notify_ready();
}

/* A capture: --read. */

static void on_idle(uv_idle_t *h);

/* Reads on while the collector follows. */
static void pace(struct sensor *s)
{
	if (s->phase != LISTENING || s->live)
		return;
	if (spool_unacked_bytes(s->spool) < READ_AHEAD_SEGMENTS * spool_segment_bytes(s->spool))
		(void)uv_idle_start(&s->idle, on_idle);
	else
		(void)uv_idle_stop(&s->idle);
}

static void read_file(struct sensor *s)
{
	struct capture_packet p;
	int r = CAPTURE_NONE;

	for (int i = 0; i < TURN_PACKETS; i++) {
		r = capture_read(s->capture, &p);
		if (r != CAPTURE_PACKET)
			break;
		if (!s->cover_stated && pipeline_time_ok(p.time_us))
			covered_packet(&s->covered, p.time_us);
		if (s->read_ordinal++ < s->position.ordinal)
			continue; /* sealed before */
		r = pipeline_packet(s->pipeline, &p);
		if (r < 0) {
			fail(s, EX_IOERR,
				"taking a packet; start again to go on behind the last sealed one",
				r);
			return;
		}
	}
	uplink_kick(s->uplink);
	if (r == CAPTURE_PACKET) {
		pace(s);
		return;
	}
	s->complete = true;
	s->damaged = r != CAPTURE_END;
	if (s->damaged) {
		log_error("capture",
			"reason=%s packet=%" PRIu64 " note=\"the packets before it are delivered\"",
			log_quote(capture_error(s->capture)), s->read_ordinal + 1);
		drain(s, EX_DATAERR);
	} else {
		drain(s, EX_OK);
	}
}

static void on_idle(uv_idle_t *h)
{
	read_file(h->data);
}

static int make_pipeline(struct sensor *s)
{
	const struct pipeline_options o = {
		.targets = s->targets,
		.spool = s->spool,
		.fold_us = s->conf.fold,
		.max_rows = (uint32_t)s->conf.max_rows,
		.samples = s->conf.samples,
		.unclean_start = !s->resumed.clean,
		.from_capture = !s->live,
		.capture = s->position,
	};

	return pipeline_new(&o, &s->pipeline);
}

static uint64_t newest_epoch(const struct sensor *s)
{
	return spool_stream(s->spool, spool_streams_n(s->spool) - 1).epoch;
}

/* @param all_acked  the spool had nothing left to send when this was committed */
static void start_reading(
	struct sensor *s, const struct capture_position *committed, bool all_acked)
{
	uint64_t xxh3 = s->position.xxh3;
	int r;

	s->position = pipeline_position(&s->resumed, committed, newest_epoch(s), all_acked);
	s->position.xxh3 = xxh3;
	if (s->position.complete && s->again)
		s->position = (struct capture_position){
			.xxh3 = xxh3, .generation = s->position.generation + 1};
	s->again = false; /* of that generation, should it have to be read twice */
	r = make_pipeline(s);
	if (r < 0) {
		fail(s, EX_OSERR, "starting the pipeline", r);
		return;
	}
	if (s->position.complete) {
		log_notice("sensor",
			"reason=\"this capture is sealed already; --again sends it once more\"");
		s->complete = true; /* drain() waits for what is still on its way */
		s->phase = WAITING;
		drain(s, EX_OK);
		return;
	}
	if (s->position.ordinal > 0)
		log_notice("sensor", "state=continuing packet=%" PRIu64, s->position.ordinal + 1);
	s->phase = LISTENING;
	s->status_due_us = clock_mono_us() + s->conf.status_interval;
	notify_ready();
	pace(s);
}

/* Uplink. */

static void on_welcome(void *arg, const struct capture_position *capture)
{
	struct sensor *s = arg;
	int r = issued_save(s->issued_path, s->targets);

	if (r < 0)
		log_warn("sensor", "reason=\"the target ordinals can not be kept\" error=%s",
			log_quote(strerror(-r)));
	if (s->phase != WAITING)
		return;
	if (s->live) {
		listen_live(s);
		return;
	}
	/* What waits in the spool, when another stream was last, may be refused: it goes first. */
	s->committed = *capture;
	s->settling = capture->epoch != 0 && capture->epoch != newest_epoch(s) &&
		      !spool_all_acked(s->spool);
	if (!s->settling)
		start_reading(s, capture, spool_all_acked(s->spool));
}

static void on_acked(void *arg)
{
	struct sensor *s = arg;

	if (s->phase == DRAINING && spool_all_acked(s->spool))
		stop(s, s->exit_code);
	else if (s->phase == WAITING && s->settling && spool_all_acked(s->spool))
		start_reading(s, &s->committed, false); /* all of it was taken */
	else
		pace(s);
}

/* Another copy of this sensor delivers the file: WELCOME tells from where we are to go on. */
static void on_taken(void *arg)
{
	struct sensor *s = arg;
	int r;

	log_warn("sensor", "reason=\"another copy of this sensor delivers the same capture\"");
	if (s->live || (s->phase != LISTENING && !(s->phase == DRAINING && s->complete)))
		return;
	(void)uv_idle_stop(&s->idle);
	s->phase = WAITING;
	s->complete = false;
	s->pipeline = pipeline_free(s->pipeline);
	s->read_ordinal = 0;
	r = capture_rewind(s->capture);
	if (r == 0)
		r = pipeline_resume(s->spool, s->position.xxh3, &s->resumed);
	if (r < 0)
		fail(s, EX_IOERR, "reading the capture again", r);
}

static void on_peer(void *arg, uint8_t family, const uint8_t *addr, uint16_t port)
{
	struct sensor *s = arg;

	if (s->live)
		pipeline_set_collector(s->pipeline, family, addr, port);
}

static void on_refused(void *arg, const char *reason)
{
	struct sensor *s = arg;

	log_error("uplink", "reason=%s", log_quote(reason));
	if (!s->live)
		stop(s, EX_NOPERM);
}

static const struct uplink_callbacks uplink_calls = {
	.on_welcome = on_welcome,
	.on_acked = on_acked,
	.on_taken = on_taken,
	.on_peer = on_peer,
	.on_refused = on_refused,
};

/* Time, signals. */

static void on_tick(uv_timer_t *t)
{
	struct sensor *s = t->data;
	int64_t now = clock_mono_us();
	int r = 0;

	if (s->phase == LISTENING && s->live)
		read_live(s);
	if (s->phase == LISTENING)
		r = pipeline_tick(s->pipeline);
	if (r == 0 && s->phase == LISTENING && now >= s->status_due_us)
		r = status(s, (struct covered){0}, false);
	if (r < 0) {
		fail(s, EX_OSERR, "sealing", r);
		return;
	}
	spool_expire(s->spool, now);
	spool_alert_log(&s->spool_alert, s->spool, "running");
	if (s->phase != STOPPING)
		uplink_kick(s->uplink);
	if (s->phase == DRAINING && now >= s->drain_until_us) {
		log_notice("sensor", "state=stopped unacknowledged_bytes=%" PRIu64,
			spool_unacked_bytes(s->spool));
		stop(s, s->live ? s->exit_code : EX_TEMPFAIL);
	}
}

static int make_tls(const struct sensor_conf *c, SSL_CTX **ret)
{
	const struct tlsctx_options o = {
		.ca_file = c->ca_file, .cert_file = c->cert_file, .key_file = c->key_file};
	AUTO_FREE char *reason = NULL;
	int r = tlsctx_new(&o, ret, &reason);

	if (r < 0)
		log_error("tls", "reason=%s", log_quote(reason));
	return r;
}

static void on_reload(void *arg)
{
	struct sensor *s = arg;
	struct sensor_conf fresh = {0};
	struct targets *targets = NULL;
	AUTO_FREE char *error = NULL;
	const char *restart;
	enum log_level level;
	SSL_CTX *ctx;

	if (sensor_conf_load(s->config_file, &fresh, &targets, &error) < 0) {
		log_error("config", "reason=%s note=\"the old configuration stays\"",
			log_quote(error));
	} else if (make_tls(&fresh, &ctx) < 0) {
		log_error("config", "note=\"the old certificates stay\"");
		conf_done(sensor_options, &fresh);
	} else {
		restart = conf_changed_restart(sensor_options, &s->conf, &fresh);
		if (restart)
			log_warn("config", "option=%s note=\"changes at the next start\"", restart);
		uplink_set_tls(s->uplink, ctx);
		if (log_level_parse(fresh.log_level, &level) == 0)
			log_set_level(level);
		conf_done(sensor_options, &fresh);
		log_notice("config", "state=reloaded");
	}
	targets_free(targets);
}

/* Start. */

static int open_input(struct sensor *s, const struct arguments *a)
{
	AUTO_FREE char *reason = NULL;
	AUTO_FREE char *filter = NULL;
	int r;

	if (!s->live) {
		s->covered = (struct covered){a->cover_from_us, a->cover_to_us};
		s->cover_stated = a->cover_to_us != 0;
		r = capture_file_hash(a->read, &s->position.xxh3);
		if (r < 0) {
			log_error("capture", "file=%s reason=%s", log_quote(a->read),
				log_quote(strerror(-r)));
			return EX_NOINPUT;
		}
		r = capture_open_file(a->read, &s->capture, &reason);
		if (r < 0) {
			log_error("capture", "file=%s reason=%s", log_quote(a->read),
				log_quote(reason));
			return EX_DATAERR;
		}
		return EX_OK;
	}
	if (!s->conf.interface || !*s->conf.interface) {
		log_error("config", "reason=\"no interface is given (and no --read)\"");
		return EX_CONFIG;
	}
	r = capture_open_live(
		s->conf.interface, (int)s->conf.snaplen, s->conf.ring_size, &s->capture, &reason);
	if (r == 0) {
		filter = targets_bpf(s->targets, capture_linktype(s->capture), NULL, 0);
		r = filter ? capture_filter(s->capture, filter, &reason) : -ENOMEM;
	}
	if (r < 0) {
		log_error("capture", "interface=%s reason=%s", log_quote(s->conf.interface),
			log_quote(reason ? reason : strerror(-r)));
		return r == -EPERM || r == -EACCES ? EX_NOPERM : EX_UNAVAILABLE;
	}
	return EX_OK;
}

/* Runs as the unprivileged user: everything that it makes belongs to that user. */
static int open_spool(struct sensor *s)
{
	const struct spool_options o = {
		.dir = s->conf.spool_dir,
		.max_bytes = s->conf.spool_max,
		.min_free_bytes = s->conf.spool_min_free,
		.retain_us = s->conf.spool_retain,
	};
	AUTO_FREE char *reason = NULL;
	int r = spool_open(&o, &s->spool, &reason);

	if (r == SPOOL_LOCKED) {
		log_error("spool", "dir=%s reason=\"another process uses it\"", log_quote(o.dir));
		return EX_TEMPFAIL;
	}
	if (r < 0) {
		log_error("spool", "dir=%s reason=%s", log_quote(o.dir),
			log_quote(reason ? reason : strerror(-r)));
		return EX_CANTCREAT;
	}
	spool_alert_log(&s->spool_alert, s->spool, "opened");
	if (asprintf(&s->issued_path, "%s/targets", s->conf.spool_dir) < 0) {
		s->issued_path = NULL;
		return EX_OSERR;
	}
	r = issued_load(s->issued_path, s->targets);
	if (r == 0)
		r = pipeline_resume(s->spool, s->live ? 0 : s->position.xxh3, &s->resumed);
	if (r < 0) {
		log_error("spool", "dir=%s reason=%s", log_quote(o.dir), log_quote(strerror(-r)));
		return EX_IOERR;
	}
	return EX_OK;
}

static int start_loop(struct sensor *s)
{
	struct uplink_options o = {
		.spool = s->spool,
		.targets = s->targets,
		.has_capture = !s->live,
		.capture_xxh3 = s->position.xxh3,
		.retry_min_ms = (uint32_t)(s->conf.retry_min / US_PER_MS),
		.retry_max_ms = (uint32_t)(s->conf.retry_max / US_PER_MS),
	};
	SSL_CTX *ctx;
	int r;

	if (hostport_parse(s->conf.collector, &o.collector) < 0 || make_tls(&s->conf, &ctx) < 0)
		return EX_CONFIG;
	r = uv_loop_init(&s->loop);
	if (r == 0)
		r = daemon_init(&s->daemon, &s->loop, on_reload, on_stop, s);
	if (r == 0)
		r = uv_timer_init(&s->loop, &s->tick);
	if (r == 0)
		r = s->live ? uv_poll_init(&s->loop, &s->poll, capture_fd(s->capture))
			    : uv_idle_init(&s->loop, &s->idle);
	if (r == 0)
		r = uplink_new(&s->loop, &o, ctx, &uplink_calls, s, &s->uplink);
	if (r == 0 && s->live)
		r = make_pipeline(s);
	if (r < 0) {
		log_error("sensor", "reason=%s", log_quote(uv_strerror(r)));
		return EX_OSERR;
	}
	s->tick.data = s->poll.data = s->idle.data = s;
	s->started_us = clock_mono_us();
	(void)uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	if (s->live && targets_all_issued(s->targets))
		listen_live(s);
	uplink_start(s->uplink);
	return EX_OK;
}

static int run(struct sensor *s, const struct arguments *a)
{
	const struct sandbox_options sandbox = {.user = s->conf.user, .kind = SANDBOX_SENSOR};
	AUTO_FREE char *reason = NULL;
	enum log_level level;
	int code, r;

	if (log_level_parse(s->conf.log_level, &level) == 0)
		log_set_level(level);
	code = open_input(s, a);
	if (code != EX_OK)
		return code;
	r = sandbox_enter(&sandbox, &reason);
	if (r < 0) {
		log_error("sandbox", "reason=%s", log_quote(reason));
		return EX_NOUSER;
	}
	code = open_spool(s);
	if (code == EX_OK)
		code = start_loop(s);
	if (code != EX_OK)
		return code;
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&s->loop);
	spool_alert_last(&s->spool_alert, s->spool);
	if (!s->live && s->exit_code != EX_NOPERM && s->pipeline)
		print_summary(stdout, pipeline_books(s->pipeline), uplink_bytes_sent(s->uplink),
			(double)(clock_mono_us() - s->started_us) / 1e6);
	return s->exit_code;
}

int main(int argc, char **argv)
{
	struct arguments a = {0};
	static struct sensor s;
	AUTO_FREE char *error = NULL;
	SSL_CTX *ctx = NULL;
	int code = arguments_parse(argc, argv, &a);

	if (code >= 0)
		return code;
	if (a.print)
		return print_capture(a.read, stdout, stderr);
	s.config_file = a.config;
	s.live = !a.read;
	s.again = a.again;
	if (sensor_conf_load(a.config, &s.conf, &s.targets, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error ? error : "out of memory");
		return EX_CONFIG;
	}
	if (a.check)
		code = make_tls(&s.conf, &ctx) < 0 ? EX_CONFIG : EX_OK;
	else
		code = run(&s, &a);
	SSL_CTX_free(ctx);
	uplink_free(s.uplink);
	pipeline_free(s.pipeline);
	spool_close(s.spool);
	capture_close(s.capture);
	targets_free(s.targets);
	free(s.issued_path);
	conf_done(sensor_options, &s.conf);
	return code;
}
