"""Numbers by step against counts that Python makes straight from the rows, in three time zones."""
import datetime
import math

import psycopg
import pytest

from harness.hirundo import Installation
from harness.reports import PEOPLE, call, period
from harness.series_world import BEFORE, DAYS, SeriesCount, SeriesWorld, order

STEPS = ["15min", "hour", "day", "week", "month"]
# Each key alone, with one value and several, and keys together.
FILTERS = [
    {},
    {"sensors": 1}, {"sensors": [1, 4]}, {"sensors": [5]},
    {"grp": "domestic"}, {"grp": "overseas"}, {"grp": "domestic", "home": "AU"}, {"home": "TW"},
    {"sensor_region": "AU"}, {"sensor_region": ["JP", "TW"]},
    {"src_region": "CN"}, {"src_region": ["JP", "ZZ"]},
    {"asn": [4713, 64500]}, {"asn": 65000},
    {"networks": ["0.0.0.0/1", "2001:db8:0:1::/64"]}, {"sources": ["10.1.2.3", "fd00::9", "192.0.2.1"]},
    {"services": ["22/TCP", "53/UDP", "GRE"]}, {"services": ["TCP/frag", "ICMP"], "role": "response"},
    {"services": ["0/TCP", "9999/UDP"]}, {"ports_only": True}, {"ports_only": False},
    {"traits": "mirai"}, {"traits": ["zmap", "backscatter_rst"]},
    {"role": "probe"}, {"role": "response"},
    {"exclude": "spoofed"}, {"exclude": ["response"]}, {"exclude": "bogon"}, {"exclude": ["scanner_org"]},
    {"exclude": ["spoofed", "bogon", "response"]},
    {"sensors": [1, 2, 3], "src_region": ["CN", "US"], "services": ["23/TCP", "22/TCP"], "exclude": "spoofed"},
    {"traits": "mirai", "ports_only": True, "grp": "overseas"},
]
SPANS = [DAYS, DAYS[1:2], DAYS[2:]]


@pytest.fixture(scope="module", params=["UTC", "Asia/Tokyo", "Asia/Colombo"])
def world(request):
    return SeriesWorld(20260130, request.param)


@pytest.fixture(scope="module")
def filled(server, template, world, tmp_path_factory):
    """A database with the world's rows; asks as a role."""
    installation = Installation(tmp_path_factory.mktemp("series"), server, f"hirundo_series_{world.zone[-4:].lower()}",
                                template)
    with installation.connect() as connection:
        world.store(connection)
        connection.execute("ANALYZE")
    connections = {role: installation.connect(role) for role in [*PEOPLE, "postgres"]}
    yield lambda sql, parameters=None, role="hirundo_analyst": connections[role].execute(sql, parameters).fetchall()
    for connection in connections.values():
        connection.close()
    installation.finish()


def same(got, want):
    """Numbers of floats to 12 digits, all others exactly."""
    assert len(got) == len(want)
    for row, wanted in zip(got, want):
        assert len(row) == len(wanted)
        for a, b in zip(row, wanted):
            assert a == b or (isinstance(b, float) and a is not None and math.isclose(a, b, rel_tol=1e-12)), (row, wanted)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_service_trend(filled, world, filter, step):
    for days in SPANS:
        names = filter.get("services")
        if names is not None:
            names = sorted(names if isinstance(names, list) else [names], key=order)
        want = SeriesCount(world, days, filter, step).trend(2, names)
        same(call(filled, "service_trend", days, filter, step, columns="step_start, service, packets, hosts,"
                  " packets_per_address_day, covered"), want)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_source_region_trend(filled, world, filter, step):
    for days in SPANS:
        want = SeriesCount(world, days, filter, step).trend(3, n=3)
        same(call(filled, "source_region_trend", days, filter, 3, step, columns="step_start, region, packets, hosts,"
                  " packets_per_address_day, covered"), want)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_ack_packets(filled, world, filter, step):
    for days in SPANS:
        want = SeriesCount(world, days, filter, step).trend(6, ["ack", "rstack", "synack"])
        same(call(filled, "ack_packets", days, filter, step, columns="step_start, kind, packets, hosts, covered"),
             [(*row[:4], row[5]) for row in want])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_packets_per_sensor_day(filled, world, filter, step):
    for days in SPANS:
        want = SeriesCount(world, days, filter, step).means(filter.get("home", "JP"))
        same(call(filled, "packets_per_sensor_day", days, filter, step, columns="step_start, grp, mean_packets,"
                  " covered_address_days, mean_year_before, mean_same_sensors, mean_year_before_same_sensors"), want)
