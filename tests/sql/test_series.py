"""Numbers by step against counts that Python makes straight from the rows, in three time zones."""
import datetime
import math

import psycopg
import pytest

from harness.hirundo import Installation
from harness.reports import PEOPLE, call, period
from harness.rollups import add_up
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
    {"organization": "Example K.K."}, {"organization": ["AS4713", '"Other", Ltd.']}, {"network_group": ["low", "six"]},
    {"network_group": "part", "exclude": "scanner_org"},
]
SPANS = [DAYS, DAYS[1:2], DAYS[2:]]
ZONES = ["UTC", "Asia/Tokyo", "Asia/Colombo"]
# Without a filter all steps in all spans and zones; of each filter two steps, one of them below a day, in a zone each.
CASES = sorted([(zone, {}, step, days) for zone in ZONES for step in STEPS for days in SPANS] + [
    (ZONES[(i + j) % 3], filter, step, SPANS[(i + j) // 2 % 3] if i % 2 else DAYS) for i, filter in enumerate(FILTERS[1:])
    for j, step in enumerate((STEPS[i % 2], STEPS[2 + i % 3]))], key=lambda case: ZONES.index(case[0]))
cases = pytest.mark.parametrize("world,filter,step,days", CASES, indirect=["world"], scope="module",
                                ids=[f"{z}-{f}-{s}-{d[0]}" for z, f, s, d in CASES])


@pytest.fixture(scope="module", params=ZONES)
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
    ask = lambda sql, parameters=None, role="hirundo_analyst": connections[role].execute(sql, parameters).fetchall()
    ask.change = connections["postgres"].execute
    yield ask
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


@cases
def test_service_trend(filled, world, filter, step, days):
    names = filter.get("services")
    if names is not None:
        names = sorted(names if isinstance(names, list) else [names], key=order)
    want = SeriesCount(world, days, filter, step).trend(2, names)
    same(call(filled, "service_trend", days, filter, step, columns="step_start, service, packets, hosts,"
              " packets_per_address_day, covered"), want)


@cases
def test_source_region_trend(filled, world, filter, step, days):
    want = SeriesCount(world, days, filter, step).trend(3, n=3)
    same(call(filled, "source_region_trend", days, filter, 3, step, columns="step_start, region, packets, hosts,"
              " packets_per_address_day, covered"), want)


@cases
def test_ack_packets(filled, world, filter, step, days):
    want = SeriesCount(world, days, filter, step).trend(6, ["ack", "rstack", "synack"])
    same(call(filled, "ack_packets", days, filter, step, columns="step_start, kind, packets, hosts, covered"),
         [(*row[:4], row[5]) for row in want])


@cases
def test_packets_per_sensor_day(filled, world, filter, step, days):
    want = SeriesCount(world, days, filter, step).means(filter.get("home", "JP"))
    same(call(filled, "packets_per_sensor_day", days, filter, step, columns="step_start, grp, mean_packets,"
              " covered_address_days, mean_year_before, mean_same_sensors, mean_year_before_same_sensors"), want)


# What is refused, and what is not known.

@pytest.fixture
def changed(filled):
    """Changes the database as its owner would, and takes it back."""
    undo = []

    def change(sql: str, back: str) -> None:
        undo.append(back)
        filled.change(sql)
    yield change
    for sql in reversed(undo):
        filled.change(sql)


RAW = [("service_trend", ({}, "hour")), ("source_region_trend", ({}, 5, "15min")), ("ack_packets", ({}, "hour")),
       ("packets_per_sensor_day", ({"role": "probe"}, "hour"))]
DAILY = [("service_trend", ({}, "day")), ("source_region_trend", ({}, 5, "week")), ("ack_packets", ({}, "month")),
         ("packets_per_sensor_day", ({"role": "probe"}, "day")), ("packets_per_sensor_day", ({}, "15min"))]


@pytest.mark.parametrize("name,arguments", RAW)
def test_steps_below_a_day_need_rows(filled, world, changed, name, arguments):
    """Of one sensor rows of a UTC day were dropped: an error for periods with that day and that sensor alone."""
    day = world.start(DAYS[1]).date()
    changed(f"INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) VALUES (3, '{day}', 1, 1)",
            "DELETE FROM hirundo.ingest_day_frozen")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=str(day)):
        call(filled, name, DAYS, *arguments)
    assert call(filled, name, DAYS[2:], *arguments)
    assert call(filled, name, DAYS, {**arguments[0], "sensors": [1, 2, 4]}, *arguments[1:])
    for other, more in DAILY:
        assert call(filled, other, DAYS, *more)


@pytest.mark.parametrize("name,arguments", RAW)
def test_rows_that_are_not_there(filled, world, changed, name, arguments):
    """Rollups without their rows, as after a restore of these alone: an error, not what is left of it."""
    day = world.start(DAYS[2]).date()
    table = f"observation_{day:%Y%m%d}"
    changed(f"ALTER TABLE hirundo.{table} RENAME TO away", f"ALTER TABLE hirundo.away RENAME TO {table}")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=str(day)):
        call(filled, name, DAYS, *arguments)
    assert call(filled, name, DAYS[:1], *arguments)


@pytest.mark.parametrize("name,arguments", [*RAW, *DAILY])
def test_rows_in_no_rollup(filled, changed, name, arguments):
    changed(f"INSERT INTO hirundo.rollup_gap VALUES (1, '{DAYS[1]}', 5, now())", "DELETE FROM hirundo.rollup_gap")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="5 rows"):
        call(filled, name, DAYS, *arguments)
    assert call(filled, name, DAYS, {**arguments[0], "sensors": 2}, *arguments[1:])


@pytest.mark.parametrize("name,arguments", [*RAW, *DAILY])
def test_dropped_months(filled, changed, name, arguments):
    changed("INSERT INTO hirundo.rollup_dropped VALUES ('2026-02-01', now())", "DELETE FROM hirundo.rollup_dropped")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="2026-02"):
        call(filled, name, DAYS, *arguments)
    assert call(filled, name, DAYS[:2], *arguments)


@pytest.mark.parametrize("table,row", [("rollup_dropped", "('2025-01-01', now())"), ("rollup_gap", "(1, '2025-01-31', 5, now())")])
def test_year_before_that_is_not_whole(filled, changed, table, row):
    """Is NULL, not part of it; the other numbers and the other steps stay."""
    columns = ("step_start, grp, mean_packets, covered_address_days, packets, mean_year_before, mean_same_sensors,"
               " mean_year_before_same_sensors")
    before = call(filled, "packets_per_sensor_day", DAYS, {}, "month", columns=columns)
    changed(f"INSERT INTO hirundo.{table} VALUES {row}", f"DELETE FROM hirundo.{table}")
    after = call(filled, "packets_per_sensor_day", DAYS, {}, "month", columns=columns)
    assert [row[:5] for row in after] == [row[:5] for row in before]
    assert [row[5:] for row in after] == [(None,) * 3] * 2 + [row[5:] for row in before[2:]]
    assert before[1][5] is not None and before[2][5] is not None


def test_no_coverage_is_null(filled):
    """Nobody listened then: nothing is 0."""
    days = [BEFORE[0].replace(year=2024)]
    for step in STEPS:
        assert {row[2:6] for row in call(filled, "service_trend", days, {"services": "23/TCP"}, step)} == {
            (None, None, None, 0.0)}
        assert {row[2:4] for row in call(filled, "ack_packets", days, {}, step)} == {(None, None)}
        assert {row[2:8] for row in call(filled, "packets_per_sensor_day", days, {}, step)} == {(None,) * 6}
        assert call(filled, "source_region_trend", days, {}, 5, step) == []
    # Of the region whose only sensor never listened.
    assert {row[2:8] for row in call(filled, "packets_per_sensor_day", DAYS, {"sensor_region": "MY"}, "day")} == {(None,) * 6}


def test_dataset_and_as_of(filled, world, changed):
    changed("INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets, stored,"
            " quarantined, rejected, lost, received_at, rows, stored_rows, samples, fold_early, bytes, kind)"
            " VALUES (2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, '2026-02-03 12:34Z', 0, 0, 0, 0, 0, 1)",
            "DELETE FROM hirundo.ingest_batch")
    changed(f"INSERT INTO hirundo.dirty_mark VALUES (2, '{world.start(DAYS[1])}', 1, 1, 1, now(), now())",
            "DELETE FROM hirundo.dirty_mark")
    for name, arguments in [*RAW, *DAILY]:
        assert {row[0] for row in call(filled, name, DAYS, *arguments, columns="as_of")} == {
            datetime.datetime(2026, 2, 3, 12, 34, tzinfo=datetime.timezone.utc)}
        got = {row[0] for row in call(filled, name, DAYS, *arguments, columns="dataset")}
        assert got == {"2: overrides mine of 2026-02-03, rir delegated of 2026-01-02 (older rows: 1 and up)"}


def test_top_n(filled, world):
    count = SeriesCount(world, DAYS, {}, "day")
    for n in (1, 3, None):
        same(call(filled, "service_trend", DAYS, {}, "day", n, columns="step_start, service, packets, hosts,"
                  " packets_per_address_day, covered"), count.trend(2, n=n))
        same(call(filled, "source_region_trend", DAYS, {}, n, "day", columns="step_start, region, packets, hosts,"
                  " packets_per_address_day, covered"), count.trend(3, n=n))


def test_both_roles_get_the_same(filled):
    for name, arguments in [*RAW, *DAILY]:
        rows = [[row[:-1] for row in call(filled, name, DAYS, *arguments, role=role)] for role in PEOPLE]
        assert rows[0] == rows[1]  # but for as_of: now


# Outages.

def test_outage_of_three_days(installation):
    """Of three sensors, with as many packets for each address as they see in fact, one is away for three days, and one
    for some hours each day: the means of the month stay within 2 %, and so do they beside the year before."""
    def month(first: str, out: bool) -> None:
        c.execute("INSERT INTO hirundo.coverage (sensor_id, bucket, seconds, packets, lost)"
                  " SELECT s, b, 900, (60 + 7 * s) * (2 * s - 1) + extract(hour FROM b), 0 FROM generate_series(1, 3) s,"
                  " generate_series(%s::timestamptz, %s::timestamptz + interval '30 days' - interval '1 us', '15 min') b"
                  " WHERE NOT (%s AND (s = 2 AND b >= %s::timestamptz + interval '9 days' AND b < %s::timestamptz + interval"
                  " '12 days' OR s = 3 AND extract(hour FROM b) IN (4, 5, 20)))", (first, first, out, first, first))

    with installation.connect() as c:
        for sensor in (1, 2, 3):
            c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (%s, %s, %s, 'JP', 'x')",
                      (sensor, str(sensor), str(sensor)))
            c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets)"
                      " SELECT %s, set_masklen('192.0.2.0'::inet + a, 32)::cidr, a, 1 FROM generate_series(1, %s) a",
                      (sensor, 2 * sensor - 1))
        for first, out in (("2024-04-01Z", False), ("2025-04-01Z", True), ("2026-04-01Z", False)):
            month(first, out)
        add_up(c)
        whole, cut, after = (c.execute("SELECT mean_packets, mean_year_before, covered_address_days FROM"
                                       " report.packets_per_sensor_day(daterange(%s, %s)) WHERE grp = 'domestic'",
                                       (f"{year}-04-01", f"{year}-05-01")).fetchone() for year in (2024, 2025, 2026))
        days = c.execute("SELECT mean_packets FROM report.packets_per_sensor_day('[2025-04-01,2025-05-01)', '{}', 'day')"
                         " WHERE grp = 'domestic'").fetchall()
    assert whole[2] == 30 * 9 and cut[2] == pytest.approx(30 * 9 - 3 * 3 - 30 * 5 / 8)
    assert cut[0] == pytest.approx(whole[0], rel=0.02) and cut[0] != whole[0]
    assert cut[1] == whole[0] and after[1] == cut[0]
    assert all(day[0] == pytest.approx(whole[0], rel=0.02) for day in days)


# Weeks and months as a whole.

LONG = [
    ("2024-01-01", "2024-03-01"), ("2024-01-15", "2024-02-29"), ("2024-02-01", "2024-02-29"), ("2024-02-29", "2024-03-01"),
    ("2025-02-01", "2025-03-01"), ("2024-12-30", "2025-03-03"), ("2025-01-03", "2025-02-27"), ("2025-01-08", "2025-01-11")]
# Sensor, addresses (0: everything), from, to. 1 never changes; 2 changes within a day and where a month begins; 3 takes
# everything for some days; 4 has no address after a while; 5 never announced any.
HELD = [(1, 3, "2022-12-01 00:00", None), (2, 1, "2022-12-01 00:00", "2024-02-01 00:00"),
        (2, 4, "2024-02-01 00:00", "2025-01-14 10:20"), (2, 2, "2025-01-14 10:20", None),
        (3, 1, "2022-12-01 00:00", "2025-02-03 07:00"), (3, 0, "2025-02-03 07:00", "2025-02-06 00:00"),
        (3, 8, "2025-02-06 00:00", "2025-02-20 13:00"), (3, 9, "2025-02-20 13:00", None),
        (4, 6, "2022-12-01 00:00", "2023-02-15 00:00"), (4, 5, "2023-02-15 00:00", "2025-01-29 12:00")]


class LongWorld:
    """Four months of three years by the hour, in Asia/Tokyo, with addresses that change; counted hour by hour."""

    ZONE = datetime.timezone(datetime.timedelta(hours=9))

    def __init__(self):
        self.rows = []
        for year in (2023, 2024, 2025):
            hour = datetime.datetime(year - 1, 12, 25, tzinfo=self.ZONE)
            while hour < datetime.datetime(year, 3, 10, tzinfo=self.ZONE):
                n = int(hour.timestamp() // 3600)
                self.rows += [(s, hour, (900, 450, 0)[n * s % 7 // 3], n * s % 11, n % (50 + s) // 50)
                              for s in range(1, 6) if n * (s + 3) % 13 and not (s == 1 and hour.day == 7)]
                hour += datetime.timedelta(hours=1)

    def held(self, sensor: int):
        floor = lambda at: datetime.datetime.fromisoformat(at).replace(tzinfo=self.ZONE, second=0) - datetime.timedelta(
            minutes=int(at[-2:]) % 15)
        mine = sorted((row for row in HELD if row[0] == sensor), key=lambda row: row[2])
        for number, (_, targets, since, till) in enumerate(mine):
            yield (targets, floor(since) if number else datetime.datetime.min.replace(tzinfo=self.ZONE),
                   floor(till) if till else datetime.datetime.max.replace(tzinfo=self.ZONE))

    def by_day(self) -> dict:
        """(sensor, day) -> seconds, packets, lost, seconds times addresses (None: no place in means)."""
        days = {}
        for sensor, hour, seconds, packets, lost in self.rows:
            targets = sum(n for n, since, till in self.held(sensor) if since <= hour < till)
            day = days.setdefault((sensor, hour.date()), [0, 0, 0, 0])
            for i, value in enumerate((seconds, packets, lost, seconds * targets)):
                day[i] += value
        for (sensor, day), values in days.items():
            start = datetime.datetime.combine(day, datetime.time(), self.ZONE)
            during = [n for n, since, till in self.held(sensor)
                      if since < start + datetime.timedelta(days=1) and till > start]
            if not during or not min(during):
                values[3] = None
        return days

    def steps(self, first: datetime.date, last: datetime.date, step: str) -> dict:
        """Begin of the step -> its days."""
        steps = {}
        for n in range((last - first).days):
            day = first + datetime.timedelta(days=n)
            start = day - datetime.timedelta(days=day.weekday()) if step == "week" else day.replace(day=1)
            steps.setdefault(max(start, first), []).append(day)
        return steps

    def year_before(self, days: list, step: str) -> list:
        if step == "week":
            return [day - datetime.timedelta(days=364) for day in days]
        back = lambda day: day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)
        last = back(days[-1])
        # "a month: that month", so to its end, too.
        if (days[-1] + datetime.timedelta(days=1)).day == 1:
            last = days[-1].replace(year=days[-1].year - 1, day=1) + datetime.timedelta(days=31)
            last = last.replace(day=1) - datetime.timedelta(days=1)
        first = back(days[0])
        return [first + datetime.timedelta(days=n) for n in range((last - first).days + 1)]


@pytest.fixture(scope="module")
def long(server, template, tmp_path_factory):
    world = LongWorld()
    installation = Installation(tmp_path_factory.mktemp("long"), server, "hirundo_series_long", template)
    with installation.connect() as c:
        c.execute("UPDATE hirundo.setting SET value = 'Asia/Tokyo' WHERE name IN ('reporting_zone', 'rollup_zone')")
        for sensor in range(1, 6):
            c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (%s, %s, %s, %s, %s)",
                      (sensor, f"s{sensor}", f"s{sensor}", "JP" if sensor < 4 else "AU", f"label {sensor}"))
        for number, (sensor, targets, since, till) in enumerate(HELD):
            c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from, valid_to)"
                      " VALUES (%s, %s, %s, %s, %s::timestamp AT TIME ZONE 'Asia/Tokyo', %s::timestamp AT TIME ZONE"
                      " 'Asia/Tokyo')", (sensor, f"198.51.100.{number}" if targets else "0.0.0.0/0", number + 1, targets,
                                         since, till))
        with c.cursor().copy("COPY hirundo.coverage (sensor_id, bucket, seconds, packets, lost) FROM STDIN") as copy:
            for row in world.rows:
                copy.write_row(row)
        c.execute("SELECT hirundo.rollup_coverage_day(ARRAY[1, 2, 3, 4, 5], '-infinity', 'infinity')")
    world.connection = installation.connect()
    yield world
    world.connection.close()
    installation.finish()


@pytest.mark.parametrize("step", ["week", "month"])
@pytest.mark.parametrize("first,last", LONG)
def test_whole_steps(long, first, last, step):
    """They are read from other tables than the days of those that a period cuts; addresses of some sensors change."""
    days, (since, till) = long.by_day(), map(datetime.date.fromisoformat, (first, last))
    steps, start = long.steps(since, till, step), lambda day: datetime.datetime.combine(day, datetime.time(), long.ZONE)
    covered = [(start(begin), f"s{sensor}", *(sum(days[sensor, day][i] for day in those if (sensor, day) in days) for i in
                                              range(3))) for begin, those in steps.items() for sensor in (4, 5, 1, 2, 3)]
    got = long.connection.execute("SELECT step_start, sensor, covered_seconds, coalesce(packets, 0), coalesce(lost, 0) FROM"
                                  " report.coverage(daterange(%s, %s), '{}', %s)", (first, last, step)).fetchall()
    same(got, covered)

    def parts(those) -> dict:
        """Sensor -> packets and seconds times addresses of days with a place in means."""
        sums = {}
        for day in those:
            for sensor in range(1, 6):
                if days.get((sensor, day), [None])[-1] is not None:
                    part = sums.setdefault(sensor, [0, 0])
                    part[0] += days[sensor, day][1]
                    part[1] += days[sensor, day][3]
        return sums

    def mean(sums, sensors):
        packets, seconds = (sum(sums[s][i] for s in sensors if s in sums) for i in (0, 1))
        return packets / (seconds / 86400) if seconds else None

    want = []
    for begin, those in steps.items():
        now, before = parts(those), parts(long.year_before(those, step))
        for grp, sensors in (("domestic", (1, 2, 3)), ("overseas", (4, 5))):
            both = [s for s in sensors if now.get(s, [0, 0])[1] and before.get(s, [0, 0])[1]]
            seconds = sum(now[s][1] for s in sensors if s in now)
            want.append((start(begin), grp, mean(now, sensors), seconds / 86400 if seconds else None, mean(before, sensors),
                         mean(now, both), mean(before, both)))
    assert any(row[2] for row in want) and any(row[4] for row in want)
    got = long.connection.execute("SELECT step_start, grp, mean_packets, covered_address_days, mean_year_before,"
                                  " mean_same_sensors, mean_year_before_same_sensors FROM"
                                  " report.packets_per_sensor_day(daterange(%s, %s), '{\"home\": \"JP\"}', %s)",
                                  (first, last, step)).fetchall()
    same(got, want)
    # A filter that leaves nothing still divides by the same address-days.
    got = long.connection.execute("SELECT step_start, grp, covered_address_days FROM report.packets_per_sensor_day("
                                  "daterange(%s, %s), '{\"home\": \"JP\", \"services\": \"1/TCP\"}', %s)",
                                  (first, last, step)).fetchall()
    same(got, [row[:2] + row[3:4] for row in want])


def test_whole_steps_are_read(long):
    """Of sensors whose addresses did not change then, and of no others."""
    ask = lambda sensor: long.connection.execute(
        "SELECT mean_packets FROM report.packets_per_sensor_day('[2025-01-01,2025-03-01)', jsonb_build_object('home', 'JP',"
        " 'sensors', %s::int)) WHERE grp = 'domestic'", (sensor,)).fetchall()
    before = [ask(sensor) for sensor in (1, 2, 3)]
    with long.connection.transaction(force_rollback=True):
        long.connection.execute("UPDATE hirundo.coverage_step SET packets = packets + 1000")
        after = [ask(sensor) for sensor in (1, 2, 3)]
    assert before[0] != after[0] and before[1:] == after[1:]
