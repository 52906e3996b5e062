"""How the tests of the reports ask them."""
import datetime

import psycopg

PEOPLE = ["hirundo_analyst", "hirundo_dashboard"]
FIRST = datetime.date(2026, 1, 30)  # the four days lie in two months
DAYS = [FIRST + datetime.timedelta(days=i) for i in range(4)]

# Those that take a filter.
OF_TTLS = ["ttl_by_region", "spoof_verdict", "spoof_campaigns", "verdict_share", "coverage"]
RANKINGS = ["top_services", "top_services_by_sensor", "common_services", "top_source_regions"]
ACTIVITY = ["mirai_hosts", "hosts_per_day", "activity_calendar"]
NETWORKS = ["top_networks", "ack_organizations"]
SERIES = ["packets_per_sensor_day", "service_trend", "source_region_trend", "ack_packets"]
NOTICES = ["notification", "notification_excluded", "payload_samples"]
FUNCTIONS = [*OF_TTLS, *RANKINGS, *ACTIVITY, *NETWORKS, *SERIES, *NOTICES]


def period(days) -> str:
    return f"[{days[0]},{days[-1] + datetime.timedelta(days=1)})"


def call(ask, name, days, filter=None, *more, columns="*", role="hirundo_analyst"):
    arguments = [period(days)] + ([psycopg.types.json.Jsonb(filter)] if filter is not None else []) + list(more)
    return ask(f"SELECT {columns} FROM report.{name}({', '.join(['%s'] * len(arguments))})", arguments, role)
