#include "collector/dashboard/dashboard_metrics.h"

#include <stdio.h>

#include "collector/dashboard/pool.h"
#include "collector/dashboard/server.h"
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

static void write_server(struct openmetrics *m, const struct server_counters *s)
{
	static const char *const labels[] = {NULL, NULL, "2xx", "3xx", "4xx", "5xx"};

	gauge(m, "hirundo_dashboard_connections", "Connections of browsers open now.",
		s->connections);
	counter(m, "hirundo_dashboard_connections_accepted", "Connections accepted.", s->accepted);
	counter(m, "hirundo_dashboard_connections_timed_out",
		"Connections ended because a request or a response took too long.", s->timed_out);
	openmetrics_family(m, OPENMETRICS_COUNTER, "hirundo_dashboard_responses",
		"Responses, by the class of their status.");
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		if (labels[i])
			openmetrics_labelled(m, "status", labels[i], (double)s->status[i]);
	counter(m, "hirundo_dashboard_api_requests", "Requests of /api.", s->api);
	counter(m, "hirundo_dashboard_api_clients_gone",
		"Clients that did not wait for an answer of /api.", s->gone);
	counter(m, "hirundo_dashboard_response_bytes", "Bytes of responses' bodies.", s->bytes);
	gauge(m, "hirundo_dashboard_api_requests_under_way", "Requests of /api under way.",
		s->answers);
}

int dashboard_metrics_write(
	const struct server_counters *s, const struct pool_counters *p, struct buf *out)
{
	struct openmetrics m;

	openmetrics_init(&m, out);
	write_server(&m, s);
	gauge(&m, "hirundo_dashboard_database_connections", "Database connections that are up.",
		p->open);
	gauge(&m, "hirundo_dashboard_database_connections_in_use", "Those that answer a request.",
		p->leased);
	gauge(&m, "hirundo_dashboard_requests_waiting", "Requests that wait for one.", p->waiting);
	counter(&m, "hirundo_dashboard_database_connects", "Database connections made.",
		p->connected);
	counter(&m, "hirundo_dashboard_database_connect_failures", "Attempts that failed.",
		p->failed);
	counter(&m, "hirundo_dashboard_database_connections_lost", "Database connections lost.",
		p->lost);
	counter(&m, "hirundo_dashboard_statements_cancelled",
		"Statements cancelled: their client had gone, or was too slow.", p->cancelled);
	openmetrics_family(&m, OPENMETRICS_COUNTER, "hirundo_dashboard_requests_refused",
		"Requests of /api without a database connection, by reason.");
	openmetrics_labelled(&m, "reason", "busy", (double)p->busy);
	openmetrics_labelled(&m, "reason", "away", (double)p->away);
	return openmetrics_end(&m);
}
