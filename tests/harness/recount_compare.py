"""All report functions beside their recounts: which of the columns are compared, and how."""
import itertools
import math
from fractions import Fraction
from typing import Callable, NamedTuple

import psycopg

from harness import recount_reports as reports

SENSOR_KEYS = {"sensors", "sensor_region", "grp", "home"}
US = "(extract(epoch FROM {}) * 1000000)::bigint"
TIME = US.format("step_start")


class Report(NamedTuple):
    """columns: those compared; want: the same, counted; more: arguments behind the filter; keys: what its filter
    takes, None: all; judged: whether it tells what verdicts say whatever the filter."""
    name: str
    columns: str
    want: Callable[[reports.Asked], list]
    more: tuple = ()
    keys: set | None = None
    judged: bool = False


def steps(name: str, columns: str, want, keys=None, units=("day", "week", "month", "hour"), more=()) -> list[Report]:
    return [Report(name, f"{TIME}, {columns}", lambda asked, unit=unit: want(asked, unit=unit), (*more, unit), keys)
            for unit in units]


RANKS = "rank, {}, packets, hosts, share, previous_rank, previous_covered, previous_packets"
COMMON = "service, sensors_in_top_n, of_sensors, best_rank, worst_rank, sensors_seen, packets"
REPORTS = [
    Report("ttl_by_region", "sensor_region, initial_ttl, ttl_min, ttl_max, ttl_p5, ttl_p95, hops_min, hops_max, sources,"
           " packets", reports.ttl_by_region),
    *steps("coverage", "sensor, region, covered_seconds, packets", reports.coverage, SENSOR_KEYS,
           ("day", "week", "month", "hour", "15min")),
    Report("top_services", RANKS.format("service"), reports.top_services),
    Report("top_services", RANKS.format("service"), lambda asked: reports.top_services(asked, None, "hosts"),
           (None, "hosts")),
    Report("top_source_regions", RANKS.format("region"), reports.top_source_regions),
    Report("top_source_regions", RANKS.format("region"), lambda asked: reports.top_source_regions(asked, None, "hosts"),
           (None, "hosts")),
    Report("top_services_by_sensor", "sensor, public_label, region, domestic, rank, service, packets",
           reports.top_services_by_sensor),
    Report("top_services_by_sensor", "sensor, public_label, region, domestic, rank, service, packets",
           lambda asked: reports.top_services_by_sensor(asked, None), (None,)),
    Report("common_services", COMMON, reports.common_services),
    Report("common_services", COMMON, lambda asked: reports.common_services(asked, None), (None,)),
    Report("mirai_hosts", "day, region, hosts, total_hosts, top_hosts, rank, packets, covered", reports.mirai_hosts),
    Report("mirai_hosts", "day, region, hosts, total_hosts, top_hosts, rank, packets, covered",
           lambda asked: reports.mirai_hosts(asked, 2), (2,)),
    Report("hosts_per_day", "day, service, network, hosts, packets, covered", reports.hosts_per_day),
    Report("activity_calendar", "day, weekday, packets, hosts, active, covered", reports.activity_calendar),
    Report("activity_calendar", "day, weekday, packets, hosts, active, covered",
           lambda asked: reports.activity_calendar(asked, 100), (100,)),
    *steps("service_trend", "service, packets, hosts, packets_per_address_day, covered", reports.service_trend,
           units=("day", "week", "month", "hour")),
    *steps("source_region_trend", "region, packets, hosts, packets_per_address_day, covered", reports.source_region_trend,
           more=(5,)),
    *steps("packets_per_sensor_day", "grp, mean_packets, covered_address_days, mean_year_before, mean_same_sensors,"
           " mean_year_before_same_sensors, packets", reports.packets_per_sensor_day),
    *steps("ack_packets", "kind, packets, hosts, covered", reports.ack_packets),
    *[Report("top_networks", "rank, network, packets, hosts, share",
             lambda asked, by=by, n=n, rank_by=rank_by: reports.top_networks(asked, by, n, rank_by), (by, n, rank_by))
      for by in ("organization", "asn", "prefix") for n, rank_by in ((10, "packets"), (None, "hosts"))],
    Report("ack_organizations", "rank, organization, kind, packets, hosts, share, organization_packets,"
           " organization_hosts, organization_share", reports.ack_organizations),
    # What a header's checksum or length says is not counted again.
    Report("notification", f"host(src), {US.format('first_seen')}, {US.format('last_seen')}, {US.format('first_ever')},"
           " packets, services, src_ports, sensors, array(SELECT t FROM unnest(traits) t WHERE t NOT IN ('bad_checksum',"
           " 'truncated', 'malformed')), role, asn, organization, scanner_org", reports.notification, judged=True),
    Report("notification_excluded", "reason, sources, packets", reports.notification_excluded, judged=True),
]


def ask(connection, report: Report, period, f: dict) -> list[tuple]:
    arguments = ["[%s,%s)" % period, psycopg.types.json.Jsonb(f), *report.more]
    return connection.execute(f"SELECT {report.columns} FROM report.{report.name}"
                              f"({', '.join(['%s'] * len(arguments))})", arguments).fetchall()


def difference(connection, report: Report, asked: reports.Asked) -> str | None:
    """None, or what a report says otherwise than its recount."""
    period = asked.first, asked.last
    got, want = ask(connection, report, period, asked.f), report.want(asked)
    pairs = [(i, a, b) for i, (a, b) in enumerate(itertools.zip_longest(got, want)) if not same(a, b)]
    if not pairs:
        return None
    return (f"{report.name}{report.more} {asked.f} [{period[0]},{period[1]}): {len(got)} rows, should be {len(want)}; "
            + "; ".join(f"row {i}: {a}, should be {b}" for i, a, b in pairs[:2]))


def same(a, b) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, (float, int, Fraction)):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)
    return a == b
