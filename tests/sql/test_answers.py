"""Stored answers: what standard calls return for closed months and quarters is what is computed, late data or not."""
import datetime
import json

import psycopg
import pytest

from harness import rollups
from harness.report_world import World
from harness.reports import FIRST, PEOPLE

PERIODS = ["[2026-01-01,2026-02-01)", "[2026-02-01,2026-03-01)", "[2026-01-01,2026-04-01)"]
CALLS = [("top_services", {"n": 10, "rank_by": "packets"}), ("top_services", {"n": 10, "rank_by": "hosts"}),
         ("top_source_regions", {"n": 10, "rank_by": "packets"}), ("top_source_regions", {"n": 10, "rank_by": "hosts"}),
         ("service_trend", {"n": 5, "step": "day"}), ("source_region_trend", {"n": 5, "step": "day"}),
         ("ack_packets", {"step": "day"}), ("mirai_hosts", {"n": 5}), ("hosts_per_day", {}),
         ("activity_calendar", {"min_hosts": 1})]
FILTERS = [{}, {"grp": "domestic"}, {"grp": "overseas"}, {"ports_only": True}, {"grp": "domestic", "ports_only": True},
           {"grp": "overseas", "ports_only": True}, *({"sensor_region": region} for region in ("AU", "JP", "MY", "TW"))]


FEW = [CALLS[0], CALLS[4], CALLS[7], CALLS[9]]


@pytest.fixture
def whole(installation):
    """A database with a world's rows, in months that are closed."""
    with installation.connect() as c:
        World(7, FIRST).store(c)
        c.execute("ANALYZE")
        yield c


@pytest.fixture
def owner(whole):
    """With few standard calls, because making all takes long."""
    whole.execute("CREATE OR REPLACE FUNCTION hirundo.standard_filters() RETURNS SETOF jsonb LANGUAGE sql STABLE"
                  " AS $$VALUES ('{}'::jsonb), ('{\"grp\": \"domestic\"}')$$")
    whole.execute("DELETE FROM hirundo.standard_call WHERE (function, arguments) NOT IN (SELECT f, a FROM"
                  " unnest(%s::text[], %s::jsonb[]) x (f, a))", ([f for f, _ in FEW], [json.dumps(a) for _, a in FEW]))
    return whole


def make(c) -> list[str]:
    """As the collector does, until nothing is missing; returns the answers that it made."""
    made = []
    while (one := c.execute("SELECT hirundo.store_answer()").fetchone()[0]) is not None:
        made.append(one)
    return [one for one in made if not one.startswith("month ")]


def ask(c, function: str, arguments: dict, period: str, filter: dict) -> list[dict]:
    named = "".join(f", {name} => {json.dumps(value) if not isinstance(value, str) else repr(value)}"
                    for name, value in arguments.items())
    return [row[0] for row in c.execute(f"SELECT to_jsonb(r) FROM report.{function}(%s, %s{named}) r",
                                        (period, json.dumps(filter)))]


def everything(c, calls=FEW, filters=FILTERS[:2]) -> list:
    return [[{k: v for k, v in row.items() if k != "as_of"} for row in ask(c, function, arguments, period, filter)]
            for function, arguments in calls for period in PERIODS for filter in filters]


def computed(c, *which) -> list:
    """All calls without what is stored."""
    with c.transaction(force_rollback=True):
        c.execute("DELETE FROM hirundo.stored_answer")
        return everything(c, *which)


def spoil(c) -> None:
    """So that what comes from the store shows."""
    c.execute("UPDATE hirundo.stored_answer SET answer = '[]' WHERE answer <> '[]'")


def stored_now(c) -> set:
    """Periods of answers that are given: those that are not empty any more when the store is spoilt."""
    with c.transaction(force_rollback=True):
        spoil(c)
        return {period for period in PERIODS if ask(c, "top_services", CALLS[0][1], period, {}) == []}


def send(c, seq: int, at: str, sensor: int = 1, src: str = "198.51.100.77") -> None:
    """A packet, with its mark, as ingest writes them."""
    c.execute("SELECT hirundo.ensure_day((%s::timestamptz AT TIME ZONE 'UTC')::date, NULL)", (at,))
    with c.transaction():
        c.execute("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits, protocol, dst_port, ttl,"
                  " tcp_flags, src) VALUES (%s, %s, 1, 5000, 128, 6, 4719, 50, 2, %s)", (at, sensor, src))
        c.execute("INSERT INTO hirundo.dirty_mark VALUES (%s, date_bin('15 min', %s::timestamptz, 'epoch'), 1, %s, 1, %s, %s)",
                  (sensor, at, seq, at, at))


def test_stored_is_computed(whole, installation):
    want = everything(whole, CALLS, FILTERS)
    assert any(want) and whole.execute("SELECT count(*) FROM hirundo.stored_answer").fetchone() == (0,)
    assert len(make(whole)) == len(CALLS) * len(PERIODS) * len(FILTERS)
    assert everything(whole, CALLS, FILTERS) == want
    few = everything(whole)
    assert few == computed(whole) and stored_now(whole) == set(PERIODS)
    # For both roles.
    for role in PEOPLE:
        with installation.connect(role) as c:
            assert everything(c) == few
    spoil(whole)
    assert not any(everything(whole, CALLS, FILTERS))
    for role in PEOPLE:
        with installation.connect(role) as c:
            assert not any(everything(c))
            # But what is not exactly a standard call is computed.
            assert ask(c, "top_services", {"n": 9, "rank_by": "packets"}, PERIODS[0], {})
            assert ask(c, "top_services", CALLS[0][1], "[2026-01-01,2026-02-02)", {})
            assert ask(c, "top_services", CALLS[0][1], PERIODS[0], {"home": "JP"})
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                ask(c, "top_services", CALLS[0][1], PERIODS[0], {"grp": "home"})


def test_late_data(owner):
    """Rows of a closed month: until they are rolled up nothing changes; then it is computed; then stored anew."""
    make(owner)
    before = everything(owner)
    send(owner, 1, "2026-02-01 12:00Z")
    assert everything(owner) == before and stored_now(owner) == set(PERIODS)
    rollups.catch_up(owner)
    # January does not depend on February; both others do.
    assert stored_now(owner) == {PERIODS[0]}
    after = everything(owner)
    assert after != before and after == computed(owner)
    assert len(make(owner)) == len(FEW) * 2 * 2
    assert stored_now(owner) == set(PERIODS) and everything(owner) == after == computed(owner)
    # Of January: February's has January's ranks beside its own.
    send(owner, 2, "2026-01-31 12:00Z", 3)
    rollups.catch_up(owner)
    assert stored_now(owner) == set()
    after = everything(owner)
    make(owner)
    assert everything(owner) == after == computed(owner) and stored_now(owner) == set(PERIODS)


def test_late_coverage(owner):
    """A STATUS of a closed month changes what was covered, not a packet."""
    make(owner)
    owner.execute("INSERT INTO hirundo.sensor_status (sensor_id, epoch, seq, run, started_at, at, received_at, captured, ignored,"
                  " ignored_by, sealed, kernel_drops, interface_drops, truncated, fold_early, coarse, samples_dropped,"
                  " spool_bytes, spool_lost, covered_from, covered_to, unclean_start, final, from_capture, software)"
                  " VALUES (5, 1, 1, 1, now(), now(), now(), 0, 0, '{}', 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-02-01 00:00Z',"
                  " '2026-02-01 06:00Z', false, false, false, 'x')")
    owner.execute("INSERT INTO hirundo.dirty_mark VALUES (5, '2026-02-01 00:00Z', 1, 1, 0, '2026-02-01 00:00Z',"
                  " '2026-02-01 06:00Z')")
    before = everything(owner)
    rollups.catch_up(owner)
    assert stored_now(owner) == {PERIODS[0]}
    after = everything(owner)
    assert after != before
    make(owner)
    assert everything(owner) == after == computed(owner)


def test_a_day_counted_anew(owner):
    """Marks of another transaction than their rows, as after a restore: the day is counted from its rows."""
    send(owner, 1, "2026-02-01 12:00Z", 5)
    rollups.catch_up(owner)
    make(owner)
    before = everything(owner)
    send(owner, 2, "2026-02-01 13:00Z", 5, "198.51.100.78")
    owner.execute("UPDATE hirundo.dirty_mark SET rows = rows")
    done = rollups.catch_up(owner)
    assert done[0][2] == 1 and stored_now(owner) == {PERIODS[0]}
    after = everything(owner)
    make(owner)
    assert after != before and everything(owner) == after == computed(owner)


@pytest.mark.parametrize("change", [
    "UPDATE hirundo.setting SET value = 'AU' WHERE name = 'home_region'",
    "INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (6, 'new', 'new', 'JP', 'x')",
    "INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets) VALUES (1, '192.0.2.1', 1, 1)",
    "SELECT hirundo.set_region_name('JP', 'Nippon')",
    "UPDATE hirundo.service_name SET common_name = 'changed' WHERE service = '23/TCP'",
])
def test_what_else_answers_depend_on(owner, change):
    make(owner)
    before = everything(owner)
    owner.execute(change)
    assert stored_now(owner) == set()
    after = everything(owner)
    assert after != before and after == computed(owner)
    assert len(make(owner)) >= len(FEW) * len(PERIODS) * 2
    assert everything(owner) == after == computed(owner) and stored_now(owner) == set(PERIODS)


def test_a_change_while_an_answer_is_made(owner, installation):
    """What commits behind the answer's snapshot leaves its mark, and the answer is not given."""
    with installation.connect() as other:
        with owner.transaction():
            assert owner.execute("SELECT hirundo.store_answer()").fetchone()[0] == "month 2026-02-01"
            assert owner.execute("SELECT hirundo.whole_months('[2026-02-01,2026-03-01)')").fetchone() == (True,)
            assert other.execute("SELECT hirundo.store_answer()").fetchone() == (None,)  # another one is at it
            send(other, 1, "2026-02-01 12:00Z")
            rollups.catch_up(other)
        assert other.execute("SELECT count(*) FROM hirundo.answer_mark").fetchone() == (1,)
        assert stored_now(other) == set()
        make(owner)
        assert everything(owner) == computed(owner) and stored_now(owner) == set(PERIODS)


def test_dropped_and_incomplete_months(owner):
    """What a report refuses is refused, before it is stored and after."""
    make(owner)
    owner.execute("INSERT INTO hirundo.setting VALUES ('rollup_retention_days', '1')")
    assert owner.execute("SELECT hirundo.drop_rollup_months()").fetchone()[0] == 2
    for _ in range(2):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            ask(owner, "top_services", CALLS[0][1], PERIODS[0], {})
        make(owner)


def test_open_months_are_not_stored(owner):
    today = datetime.datetime.now(datetime.timezone.utc).date()
    owner.execute("SELECT hirundo.ensure_rollup_month(%s)", (today,))
    make(owner)
    assert {row[0] for row in owner.execute("SELECT DISTINCT period::text FROM hirundo.stored_answer")} == set(PERIODS)


def test_verdicts_do_not_matter(owner):
    """Standard calls are those whose answer does not depend on verdicts: they come and go without marks."""
    make(owner)
    before = everything(owner)
    owner.execute("UPDATE hirundo.verdict SET verdict = 'spoofed'")
    assert everything(owner) == before == computed(owner)
    assert ask(owner, "top_services", CALLS[0][1], PERIODS[0], {"exclude": "spoofed"}) != before[0]


# Closed months.

OF_MONTHS = [("top_services_by_sensor", "n => 5", {}), ("top_services_by_sensor", "n => 5", {"ports_only": True}),
             ("common_services", "n => 5", {"role": "probe"}), ("common_services", "n => 5", {"services": "23/TCP"}),
             ("top_services", "n => NULL", {"exclude": "response"}),
             ("top_source_regions", "n => NULL", {}), ("top_source_regions", "n => NULL", {"ports_only": True}),
             ("top_source_regions", "n => NULL", {"exclude": "response", "sensor_region": ["JP", "AU"]}),
             ("top_source_regions", "n => NULL", {"services": "23/TCP"}),
             ("packets_per_sensor_day", "step => 'month'", {}), ("packets_per_sensor_day", "step => 'day'", {}),
             ("packets_per_sensor_day", "step => 'week'", {"ports_only": True, "role": "probe"}),
             ("packets_per_sensor_day", "step => 'day'", {"role": "response"}),
             ("packets_per_sensor_day", "step => 'month'", {"src_region": "JP"}),
             ("service_trend", "step => 'week'", {"grp": "overseas"}),
             ("coverage", "step => 'day'", {}), ("coverage", "step => 'month'", {"grp": "domestic"})]
SPANS = [*PERIODS, "[2026-01-20,2026-03-05)", "[2026-01-31,2026-02-02)"]


def alike(value):
    """Sums of fractions depend on their order in the last digits."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def of_months(c, spans=SPANS) -> list:
    return [[{k: alike(v) for k, v in row.items() if k != "as_of"} for (row,) in c.execute(
        f"SELECT to_jsonb(r) FROM report.{name}(%s, %s, {more}) r", (span, json.dumps(filter)))]
        for name, more, filter in OF_MONTHS for span in spans]


def from_days(c, *which) -> list:
    """The same of rollups of days alone."""
    with c.transaction(force_rollback=True):
        c.execute("DELETE FROM hirundo.month_closed")
        c.execute("DELETE FROM hirundo.stored_answer")
        return of_months(c, *which)


def close(c) -> set[str]:
    while (c.execute("SELECT hirundo.store_answer()").fetchone()[0] or "").startswith("month "):
        pass
    c.execute("DELETE FROM hirundo.stored_answer")
    return closed(c)


def closed(c) -> set[str]:
    """Months that are read."""
    return {month for (month,) in c.execute(
        "SELECT to_char(month, 'YYYY-MM') FROM hirundo.month_closed"
        " WHERE hirundo.whole_months(daterange(month, (month + interval '1 month')::date))")}


MONTHS = {"2026-01", "2026-02"}


@pytest.fixture
def settled(owner):
    """With addresses, so that sensors have means."""
    owner.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from)"
                  " SELECT sensor_id, inet '203.0.113.0' + sensor_id, 1, 1, '2020-01-01Z' FROM hirundo.sensor")
    return owner


def test_closed_months(settled):
    before = of_months(settled)
    assert closed(settled) == set() and all(before[::len(SPANS)])
    assert close(settled) == MONTHS
    assert of_months(settled) == before
    # That these were read shows where they are spoilt.
    for table, column in (("service_month", "packets"), ("region_month", "packets"), ("role_day", "packets"), ("coverage_day", "seconds")):
        with settled.transaction(force_rollback=True):
            settled.execute(f"UPDATE hirundo.{table} SET {column} = {column} + 1")
            assert of_months(settled) != before, table


def test_closed_months_and_late_data(settled):
    close(settled)
    send(settled, 1, "2026-02-01 12:00Z")
    before = of_months(settled)
    rollups.catch_up(settled)
    assert closed(settled) == {"2026-01"}
    after = of_months(settled)
    assert after != before and after == from_days(settled)
    assert close(settled) == MONTHS and of_months(settled) == after
    # Counted anew, coverage, and a month that is dropped.
    send(settled, 2, "2026-02-01 13:00Z", 5, "198.51.100.78")
    settled.execute("UPDATE hirundo.dirty_mark SET rows = rows")
    rollups.catch_up(settled)
    assert close(settled) == MONTHS and of_months(settled) == from_days(settled)
    settled.execute("INSERT INTO hirundo.setting VALUES ('rollup_retention_days', '1')")
    assert settled.execute("SELECT hirundo.drop_rollup_months()").fetchone()[0] == 2
    close(settled)
    assert closed(settled) == set()
    for table, column in (("service_month", "month"), ("region_month", "month"), ("role_day", "day")):
        assert settled.execute(f"SELECT count(*) FROM hirundo.{table} WHERE {column} < '2026-03-01'").fetchone() == (0,)


def test_addresses_that_change_within_a_day(settled):
    """Of such days the 15 minutes are read."""
    close(settled)
    before = of_months(settled)
    settled.execute("UPDATE hirundo.sensor_address SET valid_to = '2026-02-01 11:20Z' WHERE sensor_id = 1")
    settled.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from)"
                  " VALUES (1, '203.0.113.64/28', 100, 16, '2026-02-01 11:20Z')")
    after = of_months(settled)
    assert closed(settled) == MONTHS and after != before and after == from_days(settled)


def test_a_change_while_a_month_is_closed(settled, installation):
    """What commits behind the snapshot of the month's numbers leaves its mark: they are not read."""
    with installation.connect() as other:
        with settled.transaction():
            close(settled)
            send(other, 1, "2026-02-01 12:00Z")
            rollups.catch_up(other)
        assert closed(settled) == {"2026-01"} and of_months(settled) == from_days(settled)
        assert close(settled) == MONTHS and of_months(settled) == from_days(settled)
