"""Every report function against an independent recount straight from the captures: three installations with
different reporting days, with and without each key of the filter, row for row."""
import datetime
import itertools
import math
from fractions import Fraction
from typing import Callable, NamedTuple

import psycopg
import pytest

from harness import recount_reports as reports
from harness.recount_world import AFTER, FIRST, World
from harness.world import wait_for_verdicts

DAY = datetime.timedelta(days=1)
JUNE = datetime.date(2024, 6, 1)

FILTERS = {
    "none": {}, "grp domestic": {"grp": "domestic"}, "grp overseas": {"grp": "overseas"},
    "home": {"grp": "domestic", "home": "KR"}, "home alone": {"home": "MY"},
    "sensor_region": {"sensor_region": ["JP", "TW", "NZ"]}, "silent": {"sensor_region": "NZ"},
    "takes everything": {"sensor_region": "MY"}, "src_region": {"src_region": ["CN", "JP"]},
    "src_region ZZ": {"src_region": "ZZ"}, "asn": {"asn": 64511}, "networks": {"networks": ["64.0.0.0/2", "2001:4860::/32"]},
    "sources": {"sources": ["9.9.9.9", "2001:4860:0:1::1"]}, "services": {"services": ["23/TCP", "22/TCP", "ICMP"]},
    "organization": {"organization": ["Example 0, Inc.", "Part", "AS64511"]}, "network_group": {"network_group": ["some"]},
    "groups": {"network_group": ["some", "others"], "networks": "0.0.0.0/1"}, "without scanners": {"exclude": "scanner_org"},
    "services odd": {"services": ["TCP/frag", "UDP/frag", "GRE"]}, "ports_only": {"ports_only": True},
    "traits": {"traits": ["mirai", "zmap"]}, "traits land": {"traits": "land"}, "role probe": {"role": "probe"},
    "role response": {"role": "response"}, "without response": {"exclude": ["response"]},
    "without bogon": {"exclude": "bogon"}, "without spoofed": {"exclude": "spoofed"},
    "without all": {"exclude": ["spoofed", "response", "bogon", "scanner_org"]},
    "several": {"grp": "overseas", "src_region": ["CN", "US", "ZZ"], "ports_only": True, "exclude": "bogon"},
    "mirai here": {"grp": "domestic", "traits": "mirai", "services": ["23/TCP", "2323/TCP"]},
}
# Asked of every report in every way; the others of each report in its first way.
ALWAYS = ("none", "several", "without spoofed")
# All days, which cut the first and the last month; then, for the filters above: days within a month, whose previous
# ones have a month's end between them; one day; when nobody was there.
WHOLE = FIRST - DAY, AFTER + DAY
PERIODS = [(JUNE, datetime.date(2024, 6, 4)), (datetime.date(2024, 6, 2), datetime.date(2024, 6, 3)),
           (datetime.date(2024, 3, 1), datetime.date(2024, 3, 3))]
MONTH = JUNE, datetime.date(2024, 7, 1)     # its previous unit is May

SENSOR_KEYS = {"sensors", "sensor_region", "grp", "home"}
TIME = "(extract(epoch FROM step_start) * 1000000)::bigint"


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
           units=("day", "week", "month", "hour", "15min")),
    *steps("source_region_trend", "region, packets, hosts, packets_per_address_day, covered", reports.source_region_trend,
           more=(5,)),
    *steps("packets_per_sensor_day", "grp, mean_packets, covered_address_days, mean_year_before, mean_same_sensors,"
           " mean_year_before_same_sensors, packets", reports.packets_per_sensor_day),
    *steps("ack_packets", "kind, packets, hosts, covered", reports.ack_packets),
]


REPORTS=[r for r in REPORTS if r.name in ['service_trend', 'source_region_trend', 'packets_per_sensor_day', 'ack_packets']]
class Place:
    """One installation, and what should be in it."""

    def __init__(self, installation, world: World, zone: str):
        self.installation, self.zone = installation, zone
        installation.query("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (zone,))
        self.ids = world.deliver(installation)
        self.counted = world.count(zone, self.ids)
        self.asked: dict = {}

    def questions(self, report: Report, first: bool):
        """(name, period, filter)"""
        filters = FILTERS | {"sensors": {"sensors": [self.ids["jp1"], self.ids["hk1"]]},
                             "one sensor": {"sensors": self.ids["kr1"], "ports_only": True}}
        for name, f in filters.items():
            if report.keys is None or {*f} <= report.keys:
                if first or name in ALWAYS:
                    yield name, WHOLE, f
                if name in ALWAYS:
                    yield from ((name, period, f) for period in PERIODS)

    def ask(self, connection, report: Report, period, f: dict) -> list[tuple]:
        arguments = ["[%s,%s)" % period, psycopg.types.json.Jsonb(f), *report.more]
        return connection.execute(f"SELECT {report.columns} FROM report.{report.name}"
                                  f"({', '.join(['%s'] * len(arguments))})", arguments).fetchall()

    def count(self, report: Report, name: str, period, f: dict) -> list[tuple]:
        if (name, period) not in self.asked:
            self.asked[name, period] = reports.Asked(self.counted, *period, f)
        return report.want(self.asked[name, period])

    def compare(self, judged: bool) -> list[str]:
        """What differs. judged: the questions whose answers depend on verdicts, else the others."""
        wrong, known = [], set()
        with self.installation.connect("hirundo_analyst") as connection:
            for report in REPORTS:
                some, first = 0, report.name not in known
                known.add(report.name)
                for name, period, f in self.questions(report, first):
                    if judged != (report.judged or "spoofed" in f.get("exclude", ())):
                        continue
                    import time; t=time.time()
                    got=self.ask(connection, report, period, f); t2=time.time(); want=self.count(report, name, period, f); t3=time.time()
                    T=self.__dict__.setdefault("T",{}); a=T.setdefault((report.name,report.more),[0,0,0]); a[0]+=1;a[1]+=t2-t;a[2]+=t3-t2
                    some += any(value is not None for row in want for value in row[1:])
                    pairs = [(i, a, b) for i, (a, b) in enumerate(itertools.zip_longest(got, want)) if not same(a, b)]
                    if pairs:
                        wrong.append(f"{report.name}{report.more} {name} {f} [{period[0]},{period[1]}): {len(got)} rows,"
                                     f" should be {len(want)}; " + "; ".join(
                                         f"row {i}: {a}, should be {b}" for i, a, b in pairs[:2]))
                assert some or judged, f"{report.name}: nothing to compare"
        return wrong


def same(a, b) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, (float, int, Fraction)):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)
    return a == b


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Asia/Colombo", "UTC"])
def test_reports_are_what_a_recount_says(installation, tmp_path, zone):
    place = Place(installation, World(tmp_path / "world"), zone)
    import time; t=time.time()
    wrong = place.compare(judged=False)
    print('compare',time.time()-t); t=time.time()
    wait_for_verdicts(installation, timeout=300)
    place.counted.spoofed = set(installation.query(
        "SELECT day, host(src), track FROM hirundo.verdict WHERE verdict = 'spoofed'"))
    assert place.counted.spoofed
    print('judged',time.time()-t); t=time.time()
    wrong += place.compare(judged=True)
    print('compare',time.time()-t); t=time.time()
    for k,v in place.T.items(): print(k, v[0], 'sql %.1f python %.1f'%(v[1],v[2]))
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:40])
