"""Every report function against an independent recount straight from the captures: three installations with
different reporting days, with and without each key of the filter, row for row."""
import datetime
import itertools

import psycopg
import pytest

from harness import recount_reports as reports
from harness.hirundo import Installation
from harness.recount_world import AFTER, FIRST, World

ZONES = ["Asia/Tokyo", "Asia/Colombo", "UTC"]
DAY = datetime.timedelta(days=1)

pytestmark = pytest.mark.xdist_group("recount")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


class Place:
    """One installation, and what should be in it."""

    def __init__(self, installation, world: World, zone: str):
        self.installation, self.zone = installation, zone
        installation.query("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (zone,))
        self.ids = world.deliver(installation)
        self.counted = world.count(zone, self.ids)
        self.counted.spoofed = set(installation.query(
            "SELECT day, host(src), track FROM hirundo.verdict WHERE verdict = 'spoofed'"))
        self.analyst = installation.connect("hirundo_analyst")

    def filters(self) -> dict[str, dict]:
        """Name -> filter: each key alone, and several together."""
        return FILTERS | {"sensors": {"sensors": [self.ids["jp1"], self.ids["hk1"]]},
                          "one sensor": {"sensors": self.ids["kr1"], "ports_only": True}}

    def ask(self, name: str, first, last, f: dict, columns: str, *more) -> list[tuple]:
        arguments = [f"[{first},{last})", psycopg.types.json.Jsonb(f), *more]
        return self.analyst.execute(
            f"SELECT {columns} FROM report.{name}({', '.join(['%s'] * len(arguments))})", arguments).fetchall()

    def asked(self, first, last, f: dict) -> reports.Asked:
        return reports.Asked(self.counted, first, last, f)


@pytest.fixture(scope="module", params=ZONES)
def place(request, server, template, world, tmp_path_factory):
    name = request.param.replace("/", "_").lower()
    installation = Installation(tmp_path_factory.mktemp(name), server, f"hirundo_recount_{name}", template)
    try:
        place = Place(installation, world, request.param)
        yield place
        place.analyst.close()
    finally:
        installation.finish()


FILTERS = {
    "none": {}, "grp domestic": {"grp": "domestic"}, "grp overseas": {"grp": "overseas"},
    "home": {"grp": "domestic", "home": "KR"}, "sensor_region": {"sensor_region": ["JP", "TW", "NZ"]},
    "silent": {"sensor_region": "NZ"}, "src_region": {"src_region": ["CN", "JP"]}, "src_region ZZ": {"src_region": "ZZ"},
    "asn": {"asn": 64511}, "networks": {"networks": ["64.0.0.0/2", "2001:4860::/32"]},
    "sources": {"sources": ["9.9.9.9", "2001:4860:0:1::1"]},
    "services": {"services": ["23/TCP", "22/TCP", "ICMP"]}, "services odd": {"services": ["TCP/frag", "UDP/frag", "GRE"]},
    "ports_only": {"ports_only": True}, "traits": {"traits": ["mirai", "zmap"]}, "traits land": {"traits": "land"},
    "role probe": {"role": "probe"}, "role response": {"role": "response"},
    "without spoofed": {"exclude": "spoofed"}, "without response": {"exclude": ["response"]},
    "without bogon": {"exclude": "bogon"}, "without all": {"exclude": ["spoofed", "response", "bogon", "scanner_org"]},
    "several": {"grp": "overseas", "src_region": ["CN", "US", "ZZ"], "ports_only": True, "exclude": "bogon"},
    "mirai here": {"grp": "domestic", "traits": "mirai", "services": ["23/TCP", "2323/TCP"]},
}

# Whole, within a month, one day, and nobody was there.
PERIODS = [(FIRST - DAY, AFTER + DAY), (datetime.date(2024, 6, 1), datetime.date(2024, 6, 4)),
           (datetime.date(2024, 6, 2), datetime.date(2024, 6, 3)), (datetime.date(2024, 3, 1), datetime.date(2024, 3, 3))]


def differences(got: list, want: list) -> str:
    pairs = [(i, a, b) for i, (a, b) in enumerate(itertools.zip_longest(got, want)) if a != b]
    return f"{len(got)} rows, should be {len(want)}; " + "; ".join(f"row {i}: {a}, should be {b}" for i, a, b in pairs[:3])


def compare(place: Place, call, keys=None) -> None:
    """call(first, last, filter) -> (rows of the report, rows of the recount); all periods and filters."""
    wrong, some = [], 0
    for (first, last), (name, f) in itertools.product(PERIODS, place.filters().items()):
        if keys is not None and set(f) - set(keys):
            continue
        got, want = call(first, last, f)
        some += bool(want)
        if got != want:
            wrong.append(f"[{first},{last}) {name}: {differences(got, want)}")
    assert some, "nothing to compare"
    assert not wrong, f"{place.zone}: {len(wrong)} differ\n" + "\n".join(wrong)


def test_ttl_by_region(place):
    def call(first, last, f):
        return (place.ask("ttl_by_region", first, last, f, "sensor_region, initial_ttl, ttl_min, ttl_max, ttl_p5, ttl_p95,"
                          " hops_min, hops_max, sources, packets"), reports.ttl_by_region(place.asked(first, last, f)))
    # Of responses ttl_day has no port.
    compare(place, call)


@pytest.mark.parametrize("unit", ["day", "week", "month"])
def test_coverage(place, unit):
    def call(first, last, f):
        rows = place.ask("coverage", first, last, f, "(extract(epoch FROM step_start) * 1000000)::bigint, sensor, region,"
                         " round(covered_seconds::numeric, 3)::float8, packets", unit)
        want = [(*row[:3], round(row[3], 3), row[4]) for row in reports.coverage(place.asked(first, last, f), unit)]
        return rows, want
    compare(place, call, ["sensors", "grp", "home", "sensor_region"])
