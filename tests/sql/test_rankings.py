"""Rankings and activity by day, against counts that Python makes straight from the rows."""
import datetime

import psycopg
import pytest

from harness.report_rankings import Ranking, before, order
from harness.report_world import SENSORS, World
from harness.reports import ACTIVITY, DAYS, PEOPLE, RANKINGS, call, period
from test_report import FILTERS

ZONES = ["Asia/Tokyo", "Asia/Colombo", "UTC"]
DAY = datetime.timedelta(days=1)
# All days and some of them, in turn.
SPANS = [DAYS, DAYS[2:], DAYS[1:2]]
CASES = [({}, span) for span in SPANS] + [(filter, SPANS[i % 3]) for i, filter in enumerate(FILTERS[1:])]
TOP = "rank, {}, packets, hosts, share, previous_rank, previous_covered, previous_packets"

# Years, quarters, months, and days that are none of them.
LONG = [datetime.date.fromisoformat(day) for day in (
    "2024-06-15", "2025-01-01", "2025-03-31", "2025-04-01", "2025-04-30", "2025-05-01", "2025-06-30", "2025-12-31",
    "2026-02-10", "2026-02-11")]
PERIODS = ["2025-04-01 2025-05-01", "2025-05-01 2025-06-01", "2025-06-01 2025-07-01",   # months
           "2026-01-01 2026-02-01", "2026-02-01 2026-03-01",
           "2025-04-01 2025-07-01", "2025-01-01 2025-04-01", "2025-07-01 2025-10-01",   # quarters
           "2025-01-01 2026-01-01", "2024-01-01 2025-01-01",                            # years
           "2025-04-01 2025-06-01", "2025-05-01 2025-07-01", "2025-02-01 2025-05-01",   # months, but no unit
           "2025-04-01 2026-04-01", "2025-04-01 2025-04-02", "2025-04-30 2025-05-01",
           "2025-05-01 2025-05-02", "2024-06-15 2024-06-16", "2024-06-16 2024-06-17",
           "2026-02-11 2026-02-12", "2026-02-10 2026-02-12", "2025-12-31 2026-01-03"]


def ranking(world, days, filter):
    return Ranking(world, days[0], days[-1] + DAY, filter)


def close(rows):
    return [tuple(pytest.approx(v) if isinstance(v, float) else v for v in row) for row in rows]


@pytest.mark.parametrize("filter,days", CASES, ids=str)
def test_top(filled, world, filter, days):
    count = ranking(world, days, filter)
    for by in ("packets", "hosts"):
        for name, key, want in [("top_services", "service", count.top_services(by)),
                                ("top_source_regions", "region", count.top_regions(by))]:
            assert call(filled, name, days, filter, None, by, columns=TOP.format(key)) == close(want), name


def test_top_by_default(filled, world):
    count = ranking(world, DAYS, {})
    assert call(filled, "top_services", DAYS, columns=TOP.format("service")) == close(count.top_services()[:10])
    assert len(count.top_services()) >= 10
    assert call(filled, "top_source_regions", DAYS, columns=TOP.format("region")) == close(count.top_regions()[:10])
    assert "ZZ" in [row[1] for row in count.top_regions()]


@pytest.mark.parametrize("by", ["packets", "hosts"])
@pytest.mark.parametrize("n", [1, 3, 99])
def test_top_n(filled, world, by, n):
    """Shares are of all, and ranks before are among all."""
    count = ranking(world, DAYS[2:], {})
    for name, key, want in [("top_services", "service", count.top_services(by)),
                            ("top_source_regions", "region", count.top_regions(by))]:
        assert call(filled, name, DAYS[2:], {}, n, by, columns=TOP.format(key)) == close(want[:n])


@pytest.mark.parametrize("filter,days", CASES, ids=str)
def test_by_sensor(filled, world, filter, days):
    home = filter.get("home", "JP")
    count = ranking(world, days, filter)
    n = 2 if days == DAYS else None
    want = []
    for sensor in sorted(count.sensors, key=lambda s: (SENSORS[s] != home, SENSORS[s], s)):
        rows = count.by_sensor(n)[sensor] or [(None, None, 0 if count.heard([sensor]) else None)]
        want += [(f"s{sensor}", "x", SENSORS[sensor], SENSORS[sensor] == home, *row) for row in rows]
    assert call(filled, "top_services_by_sensor", days, filter, n, columns="sensor, public_label, region, domestic, rank,"
                " service, packets") == want
    assert call(filled, "common_services", days, filter, n, columns="service, sensors_in_top_n, of_sensors, best_rank,"
                " worst_rank, sensors_seen, packets") == count.common(n)


@pytest.mark.parametrize("filter,days", CASES, ids=str)
def test_activity(filled, world, filter, days):
    count = ranking(world, days, filter)
    n, least = (2, 1) if days == DAYS else (None, 40)
    covered = [pytest.approx(count.covered(day)) for day in days]
    rows = call(filled, "mirai_hosts", days, filter, n, columns="day, region, hosts, total_hosts, top_hosts, rank, packets,"
                " covered")
    assert [row[:7] for row in rows] == count.mirai(n) and dict(row[::7] for row in rows) == dict(zip(days, covered))
    rows = call(filled, "hosts_per_day", days, filter, columns="day, service, network, hosts, packets, covered")
    assert [row[:5] for row in rows] == count.per_day() and dict(row[::5] for row in rows) == dict(zip(days, covered))
    rows = call(filled, "activity_calendar", days, filter, least, columns="day, weekday, packets, hosts, active, covered")
    assert [row[:5] for row in rows] == count.calendar(least) and [row[5] for row in rows] == covered


def test_hosts_per_day_of_networks(filled, world):
    """They may overlap; services and networks are crossed."""
    filter = {"services": ["ICMP", "23/TCP", "TCP/frag"], "exclude": "bogon",
              "networks": ["2001:db8::/32", "0.0.0.0/0", "128.0.0.0/2", "0.0.0.0/1"]}
    rows = call(filled, "hosts_per_day", DAYS, filter, columns="day, service, network, hosts, packets")
    assert rows == ranking(world, DAYS, filter).per_day()
    assert len(rows) == 4 * 3 * 4 and [row[1:3] for row in rows[:12]] == [
        (name, net) for name in ("ICMP", "23/TCP", "TCP/frag")
        for net in ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/2", "2001:db8::/32")]


def test_outage(filled, world):
    """Sensor 3 did not listen on the second day, sensor 5 never did."""
    silent = {"sensors": [3, 5], "sources": "192.0.2.77"}
    assert call(filled, "activity_calendar", DAYS, silent, columns="packets, hosts, active") == [
        (0, 0, False), (None, None, None), (0, 0, False), (0, 0, False)]
    assert call(filled, "hosts_per_day", DAYS, silent, columns="hosts, packets, covered > 0") == [
        (0, 0, True), (None, None, False), (0, 0, True), (0, 0, True)]
    assert call(filled, "mirai_hosts", DAYS, silent, columns="region, hosts, total_hosts, top_hosts") == [
        (None, 0, 0, 0), (None, None, None, None), (None, 0, 0, 0), (None, 0, 0, 0)]
    assert call(filled, "top_services_by_sensor", DAYS[1:2], silent, columns="sensor, rank, packets") == [
        ("s3", None, None), ("s5", None, None)]
    assert call(filled, "top_services_by_sensor", DAYS[:1], silent, columns="sensor, rank, packets") == [
        ("s3", None, 0), ("s5", None, None)]
    assert call(filled, "top_services", DAYS, silent) == call(filled, "top_source_regions", DAYS, silent) == []
    assert call(filled, "common_services", DAYS, silent) == []


def test_previous_not_whole(filled, world):
    """What can not be told in full is not told, and does not keep the rest from being told."""
    columns = "previous_covered, previous_rank, previous_packets"
    ask = lambda name: set(call(filled, name, DAYS[2:], {}, None, columns=columns))
    for name in ("top_services", "top_source_regions"):
        assert {row[0] for row in ask(name)} == {True}
    for table, row in [("rollup_gap", (3, "2026-01-31", 7, "now")), ("rollup_dropped", ("2026-01-01", "now"))]:
        filled(f"INSERT INTO hirundo.{table} VALUES ({', '.join(['%s'] * len(row))}) RETURNING 1", row, role="postgres")
        try:
            for name in ("top_services", "top_source_regions"):
                assert ask(name) == {(False, None, None)}
        finally:
            filled(f"WITH d AS (DELETE FROM hirundo.{table} RETURNING 1) SELECT count(*) FROM d", role="postgres")


def test_before():
    for text, want in [("2025-03-01 2025-04-01", "2025-02-01"), ("2025-01-01 2025-02-01", "2024-12-01"),
                       ("2025-01-01 2025-04-01", "2024-10-01"), ("2025-01-01 2026-01-01", "2024-01-01"),
                       ("2025-02-01 2025-05-01", "2024-11-04"), ("2025-04-01 2026-04-01", "2024-04-01"),
                       ("2025-03-02 2025-04-02", "2025-01-30"), ("2025-03-01 2025-03-08", "2025-02-22"),
                       ("2024-04-01 2025-04-01", "2023-04-02")]:
        first, end = map(datetime.date.fromisoformat, text.split())
        assert before(first, end) == (datetime.date.fromisoformat(want), first)


@pytest.fixture(scope="module", params=ZONES)
def long(request, server, template):
    """Two years of days in which packets came, in a zone."""
    world = World(7, LONG[0], request.param, LONG)
    name = f"hirundo_long_{request.param.split('/')[-1].lower()}"
    server.create(name, template)
    with server.connect(name) as connection:
        world.store(connection)
        connection.execute("ANALYZE")
        # The session's own zone does not matter.
        connection.execute("SET timezone = 'Pacific/Kiritimati'")
        yield world, lambda sql, parameters=None, role=None: connection.execute(sql, parameters).fetchall()
    server.drop(name)


@pytest.mark.parametrize("text", PERIODS)
def test_previous(long, text):
    world, ask = long
    filter = [{}, {"ports_only": True, "src_region": ["CN", "ZZ"]}, {"sensors": 3}][PERIODS.index(text) % 3]
    first, end = map(datetime.date.fromisoformat, text.split())
    count = Ranking(world, first, end, filter)
    days = [first, end - DAY]
    for by in ("packets", "hosts"):
        assert call(ask, "top_services", days, filter, 50, by, columns=TOP.format("service")) == close(count.top_services(by))
        assert call(ask, "top_source_regions", days, filter, 50, by, columns=TOP.format("region")) == \
            close(count.top_regions(by))


def test_previous_is_tested(long):
    """Among the periods are those with and without an earlier one, and services that were not seen then."""
    world, _ = long
    rows = [row for text in PERIODS for row in Ranking(
        world, *map(datetime.date.fromisoformat, text.split()), {}).top_services()]
    assert {(row[6], row[5] is None) for row in rows} == {(True, False), (True, True), (False, True)}
    assert any(row[5] not in (None, row[0]) for row in rows)


@pytest.mark.parametrize("filter", [{}, {"services": ["23/TCP", "22/TCP"], "grp": "domestic"}], ids=str)
def test_days_of_zones(long, filter):
    world, ask = long
    for first, end in [(LONG[0] - DAY, LONG[0] + 2 * DAY), (LONG[2] - DAY, LONG[3] + DAY), (LONG[7], LONG[7] + 3 * DAY)]:
        count, days = Ranking(world, first, end, filter), [first, end - DAY]
        assert call(ask, "activity_calendar", days, filter, columns="day, weekday, packets, hosts, active") == \
            count.calendar(1)
        assert call(ask, "hosts_per_day", days, filter, columns="day, service, network, hosts, packets") == count.per_day()
        assert call(ask, "mirai_hosts", days, filter, 2, columns="day, region, hosts, total_hosts, top_hosts, rank,"
                    " packets") == count.mirai(2)
        assert call(ask, "common_services", days, filter, 3, columns="service, sensors_in_top_n, of_sensors, best_rank,"
                    " worst_rank, sensors_seen, packets") == count.common(3)
        assert call(ask, "activity_calendar", days, filter, columns="day, covered") == [
            (day, pytest.approx(count.covered(day))) for day in count.days]


def test_ties(filled):
    """Packets, then protocol and port; regions by name. Of hosts: hosts, packets, then these."""
    names = ["23/TCP", "9/UDP", "unknown", "GRE", "UDP/frag", "ICMP", "TCP/frag", "5/TCP", "100/TCP", "ICMPv6", "protocol-200"]
    want = ["ICMP", "5/TCP", "23/TCP", "100/TCP", "TCP/frag", "9/UDP", "UDP/frag", "GRE", "ICMPv6", "protocol-200", "unknown"]
    assert sorted(want[:8], key=order) == want[:8]
    day = datetime.date(2025, 9, 9)
    filled("SELECT hirundo.ensure_rollup_month(%s)", (day,), role="postgres")
    rows = [(name, "ZZ", 10, f"192.0.2.{i}") for i, name in enumerate(names)]
    rows += [("7/TCP", "CN", 9, f"192.0.2.{i}") for i in (50, 51)] + [("8/TCP", "AU", 18, "192.0.2.60")]
    for name, region, packets, src in rows:
        filled("INSERT INTO hirundo.source_day (sensor_id, day, service, src, traits, initial_ttl, packets, first_at,"
               " last_at, src_region) VALUES (1, %s, %s, %s, 0, 64, %s, now(), now(), nullif(%s, 'ZZ')) RETURNING 1",
               (day, name, src, packets, region), role="postgres")
    filled("INSERT INTO hirundo.service_day SELECT sum(packets), 1, day, service, 'probe' FROM hirundo.source_day"
           " WHERE day = %s GROUP BY day, service RETURNING 1", (day,), role="postgres")
    try:
        assert [row[0] for row in call(filled, "top_services", [day], {}, None, columns="service")] == \
            ["7/TCP", "8/TCP", *want]
        assert [row[0] for row in call(filled, "top_services", [day], {}, None, "hosts", columns="service")] == \
            ["7/TCP", "8/TCP", *want]
        for n in range(1, 14):
            assert [row[0] for row in call(filled, "top_services", [day], {}, n, columns="service")] == \
                ["7/TCP", "8/TCP", *want][:n]
        for name in ("top_services_by_sensor", "common_services"):
            assert [row[0] for row in call(filled, name, [day], {"sensors": 1}, None, columns="service")] == \
                ["7/TCP", "8/TCP", *want]
        # The day after: the previous rank is of the whole list.
        assert call(filled, "top_source_regions", [day], {"services": ["7/TCP", "8/TCP"]},
                    columns="region, packets") == [("AU", 18), ("CN", 18)]
        assert call(filled, "top_source_regions", [day], {"services": ["7/TCP", "8/TCP"]}, 10, "hosts",
                    columns="region, packets") == [("CN", 18), ("AU", 18)]
    finally:
        for table in ("source_day", "service_day"):
            filled(f"WITH d AS (DELETE FROM hirundo.{table} WHERE day = %s RETURNING 1) SELECT count(*) FROM d", (day,),
                   role="postgres")


def test_dataset_and_as_of(filled, world):
    both = "2: overrides mine of 2026-02-03, rir delegated of 2026-01-02 (older rows: 1 and up)"
    now = filled("SELECT now()")[0][0]
    for name in RANKINGS + ACTIVITY:
        for days, want in [(DAYS[:1], "1: rir delegated of 2026-01-02"), (DAYS, both)]:
            (dataset, as_of), = set(call(filled, name, days, columns="dataset, as_of"))
            assert dataset == want and as_of >= now
        assert {row[0] for row in call(filled, name, DAYS, {"sensors": 5}, columns="dataset")} <= {None}


def test_empty_database(installation):
    columns = {"activity_calendar": "day, packets, hosts, active, covered",
               "hosts_per_day": "day, service, network, hosts, packets, covered",
               "mirai_hosts": "day, region, hosts, total_hosts, top_hosts, covered"}
    for role in PEOPLE:
        with installation.connect(role) as c:
            ask = lambda sql, parameters=None, role=None: c.execute(sql, parameters).fetchall()
            for name in RANKINGS:
                assert call(ask, name, DAYS) == []
            for name in ACTIVITY:
                rows = call(ask, name, DAYS, columns=columns[name])
                assert [row[0] for row in rows] == DAYS
                assert {v for row in rows for v in row[1:]} <= {None, "all"}


# Names.

def test_names(filled, world):
    filled("SELECT hirundo.set_region_name('CN', 'Middle') IS NULL", role="postgres")
    try:
        regions = dict(call(filled, "top_source_regions", DAYS, columns="region, name"))
        assert (regions["CN"], regions["JP"], regions["US"]) == ("Middle", "Japan", "United States")
        mirai = dict(call(filled, "mirai_hosts", DAYS, columns="DISTINCT region, name"))
        assert mirai.keys() == regions.keys() and all(mirai[r] == regions[r] for r in mirai)
    finally:
        filled("SELECT hirundo.set_region_name('CN', NULL) IS NULL", role="postgres")
    have = {row[0]: row[1:] for row in call(filled, "top_services", DAYS, {}, None, columns="service, name, common_name")}
    assert have["22/TCP"][0] == "ssh" and have["53/UDP"][0] == "domain" and have["23/TCP"][0] == "telnet"
    assert have["GRE"] == have["TCP/frag"] == (None, None)
    known = {row[0]: row[1:] for row in filled("SELECT * FROM hirundo.service_name")}
    assert have == {service: known.get(service, (None, None)) for service in have}


def test_min_hosts_is_the_least_that_counts(filled, world):
    hosts = ranking(world, DAYS[:1], {}).calendar(1)[0][3]
    for least, active in ((hosts, True), (hosts + 1, False)):
        assert call(filled, "activity_calendar", DAYS[:1], {}, least, columns="active") == [(active,)]
