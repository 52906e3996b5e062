#include "collector/metrics.h"

#include "collector/addresses.h"
#include "collector/answers.h"
#include "collector/ingest.h"
#include "collector/partitions.h"
#include "collector/registry.h"
#include "collector/rollup.h"
#include "collector/session.h"
#include "collector/verdict_job.h"
#include "common/clock.h"
#include "common/openmetrics.h"

static void counter(struct openmetrics *m, const char *name, const char *help, uint64_t value)
{
	openmetrics_family(m, OPENMETRICS_COUNTER, name, help);
	openmetrics_value(m, (double)value);
}

static void gauge(struct openmetrics *m, const char *name, const char *help, double value)
{
	openmetrics_family(m, OPENMETRICS_GAUGE, name, help);
	openmetrics_value(m, value);
}

static void write_sessions(struct openmetrics *m, const struct session_host *host)
{
	const struct session_counters *c = &host->counters;
	const struct session *s;

	gauge(m, "hirundo_connections", "Connections open now.", host->sessions_n);
	counter(m, "hirundo_connections_accepted", "Connections accepted.", c->accepted);
	counter(m, "hirundo_connections_over_limit",
		"Connections not taken, or ended in the handshake for a newer one: too many.",
		c->over_limit);
	counter(m, "hirundo_handshakes_failed", "Connections that ended before TLS was up.",
		c->handshake_failed);
	counter(m, "hirundo_sessions_refused", "Sessions refused: who it is, or what was sent.",
		c->refused);
	counter(m, "hirundo_sessions_superseded",
		"Sessions ended by a newer connection of the same sensor.", c->superseded);
	counter(m, "hirundo_frames", "Frames received.", c->frames);

	openmetrics_family(
		m, OPENMETRICS_GAUGE, "hirundo_sensor_connected", "The sensor is connected.");
	for (s = host->sessions; s; s = session_next(s))
		if (session_info(s).streaming)
			openmetrics_labelled(m, "sensor", session_info(s).name, 1);
	openmetrics_family(m, OPENMETRICS_GAUGE, "hirundo_sensor_clock_offset_seconds",
		"The sensor's clock less ours, at HELLO and the newest STATUS that did not wait.");
	for (s = host->sessions; s; s = session_next(s))
		if (session_info(s).streaming)
			openmetrics_labelled(m, "sensor", session_info(s).name,
				(double)session_info(s).clock_offset_us / 1e6);
	openmetrics_family(m, OPENMETRICS_GAUGE, "hirundo_sensor_last_record_timestamp_seconds",
		"When the sensor's last record came in.");
	for (s = host->sessions; s; s = session_next(s))
		if (session_info(s).streaming && session_info(s).last_record_us != 0)
			openmetrics_labelled(m, "sensor", session_info(s).name,
				(double)session_info(s).last_record_us / 1e6);
}

static void write_ingest(struct openmetrics *m, const struct ingest_counters *c)
{
	counter(m, "hirundo_records", "Records committed.", c->records);
	counter(m, "hirundo_rows", "Rows committed.", c->rows);
	counter(m, "hirundo_packets", "Packets in them.", c->packets);
	counter(m, "hirundo_record_bytes", "Bytes of the records committed.", c->bytes);
	counter(m, "hirundo_transactions", "Transactions committed.", c->transactions);
	counter(m, "hirundo_transaction_retries", "Transactions tried again.", c->retries);
	counter(m, "hirundo_database_reconnects", "Database connections lost and made again.",
		c->reconnects);
	counter(m, "hirundo_quarantined_packets", "Packets with impossible times.",
		c->quarantined_packets);
	counter(m, "hirundo_quarantine_rows_not_kept",
		"Rows of them that a full quarantine did not keep.", c->rows_not_kept);
	counter(m, "hirundo_samples_dropped", "Payload samples with impossible times.",
		c->samples_dropped);
	counter(m, "hirundo_rejected_records", "Records in ingest_reject.", c->rejected_records);
	counter(m, "hirundo_rejected_packets", "Packets in them.", c->rejected_packets);
	counter(m, "hirundo_lost_packets", "Packets that loss records count.", c->lost_packets);
	gauge(m, "hirundo_queue_bytes", "Bytes that wait for the database.",
		(double)c->queued_bytes);
	gauge(m, "hirundo_queue_records", "Records that wait for the database.",
		(double)c->queued_records);
	gauge(m, "hirundo_database_connections", "Ingest's database connections that are up.",
		c->connected);
	gauge(m, "hirundo_commit_lag_seconds",
		"Longest time from received to committed, last minute.",
		(double)c->max_lag_us / 1e6);
	gauge(m, "hirundo_last_commit_timestamp_seconds", "When something was committed last.",
		(double)c->last_commit_us / 1e6);
}

static void write_addresses(struct openmetrics *m, const struct addresses_status *s)
{
	gauge(m, "hirundo_address_dataset", "Data set that enriches rows; 0 = none.", s->dataset);
	gauge(m, "hirundo_address_ranges", "Ranges of addresses in it.", (double)s->ranges);
	gauge(m, "hirundo_address_imported_timestamp_seconds", "When it was imported; 0 = none.",
		(double)s->imported_us / 1e6);
	counter(m, "hirundo_address_loads", "Data sets loaded.", s->loads);
	counter(m, "hirundo_address_load_failures",
		"Data sets not loaded, or not asked for: the one before stays.", s->failures);
}

static void write_verdicts(struct openmetrics *m, const struct verdict_job_counters *c)
{
	counter(m, "hirundo_verdict_runs", "Days judged.", c->runs);
	counter(m, "hirundo_verdict_failures", "Runs that failed and are tried again.",
		c->failures);
	counter(m, "hirundo_verdict_late_marks",
		"Changes of days whose verdicts were final: not judged any more.", c->late);
	gauge(m, "hirundo_verdict_rows", "Rows of ttl_day in the last run.",
		(double)c->histogram_rows);
	gauge(m, "hirundo_verdict_tracks", "Tracks that it judged.", (double)c->tracks);
	gauge(m, "hirundo_verdict_spoofed_tracks", "Tracks that it called spoofed.",
		(double)c->spoofed);
	gauge(m, "hirundo_verdict_campaigns", "Campaigns that it found.", (double)c->campaigns);
	gauge(m, "hirundo_verdict_seconds", "Seconds that it took.", c->seconds);
	gauge(m, "hirundo_verdict_last_timestamp_seconds", "When it ended; 0 = never.",
		(double)c->last_us / 1e6);
}

static void write_rollup(struct openmetrics *m, const struct rollup_counters *c)
{
	counter(m, "hirundo_rollup_steps", "Steps of the rollup.", c->steps);
	counter(m, "hirundo_rollup_rows", "Rows that they added up.", c->rows);
	counter(m, "hirundo_rollup_failures", "Steps that failed and are tried again.", c->failed);
	counter(m, "hirundo_rollup_recounted_days", "Days of a sensor counted anew.", c->recounted);
	counter(m, "hirundo_rollup_unresolved_rows", "Rows that could not be rolled up.",
		c->unresolved);
	gauge(m, "hirundo_rollup_waiting_marks", "Marks that wait to be rolled up.",
		(double)c->waiting);
	gauge(m, "hirundo_rollup_lag_seconds", "Age of the oldest of them.", c->lag_s);
}

static void write_answers(struct openmetrics *m, const struct answers_counters *c)
{
	counter(m, "hirundo_stored_answers", "Answers of closed months and quarters made.",
		c->made);
	counter(m, "hirundo_stored_answer_failures", "Answers that failed and are tried again.",
		c->failed);
}

int metrics_write(const struct metrics_sources *s, struct buf *out)
{
	const struct addresses_status addresses = addresses_status(s->addresses);
	struct openmetrics m;

	openmetrics_init(&m, out);
	write_sessions(&m, s->host);
	write_ingest(&m, ingest_counters(s->ingest));
	gauge(&m, "hirundo_sensors", "Sensors enrolled and not disabled.",
		registry_sensors(s->registry));
	gauge(&m, "hirundo_partition_days_ahead", "Days from tomorrow on that have partitions.",
		partitions_days_ahead(s->partitions));
	write_addresses(&m, &addresses);
	write_rollup(&m, rollup_counters(s->rollup));
	write_answers(&m, answers_counters(s->answers));
	write_verdicts(&m, verdict_job_counters(s->verdicts));
	return openmetrics_end(&m);
}
