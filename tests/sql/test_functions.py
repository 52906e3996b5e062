"""The functions that ingest calls: days, target numbers, connections. Called as the role that calls them."""
import datetime
import threading

import psycopg
import pytest

UTC = datetime.timezone.utc
TODAY = datetime.datetime.now(UTC).date()


def day(ago: int) -> datetime.date:
    return TODAY - datetime.timedelta(days=ago)


@pytest.fixture
def ingest(installation):
    """A connection as hirundo_ingest; sensors 1 and 2 are enrolled."""
    for number in (1, 2):
        installation.query("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                           " VALUES (%s, %s, %s, 'JP', 'x')", (number, f"s{number}", f"urn:hirundo:sensor:s{number}"))
    with installation.connect("hirundo_ingest") as connection:
        connection.owner = installation.query
        connection.again = lambda: installation.connect("hirundo_ingest")
        yield connection


def one(connection, sql: str, *parameters):
    return connection.execute(sql, parameters).fetchone()[0]


def ensure(connection, *parameters):
    return one(connection, "SELECT hirundo.ensure_day(%s::date, %s)", *parameters)


def store(connection, when: datetime.datetime, received: datetime.datetime, seq: int = 1, packets: int = 3,
          sensor: int = 1) -> None:
    """One record with one row, as ingest writes it."""
    connection.execute("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits)"
                       " VALUES (%s, %s, 1, %s, 0)", (when, sensor, packets))
    connection.execute(
        "INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets, stored,"
        " quarantined, rejected, lost, received_at, rows, stored_rows, samples, fold_early, bytes, kind)"
        " VALUES (%s, 1, %s, %s, 0, %s, %s, %s, 0, 0, 0, %s, 1, 1, 0, 0, 100, 1)",
        (sensor, seq, seq, seq * packets, packets, packets, received))
    connection.execute("INSERT INTO hirundo.ingest_batch_day VALUES (%s, 1, %s, %s, 1, %s)",
                       (sensor, seq, when.astimezone(UTC).date(), packets))


def noon(date: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(date, datetime.time(12), UTC)


# Days.

def test_ensure_day_makes_it_once(ingest):
    assert ensure(ingest, "2026-03-01", 1) is True
    assert ensure(ingest, "2026-03-01", 2) is True
    assert ingest.owner("SELECT day::text, created_for FROM hirundo.partition_day") == [("2026-03-01", 1)]
    store(ingest, datetime.datetime(2026, 3, 1, 0, 0, tzinfo=UTC), noon(TODAY))
    store(ingest, datetime.datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC), noon(TODAY), 2)
    ingest.execute("INSERT INTO hirundo.payload_sample (observed_at, content, sensor_id, payload_length, packets,"
                   " protocol) VALUES ('2026-03-01 23:59:59.999999Z', 1, 1, 1, 1, 17)")
    for outside in ("2026-02-28 23:59:59.999999Z", "2026-03-02 00:00:00Z"):
        with pytest.raises(psycopg.errors.CheckViolation):
            ingest.execute("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits)"
                           " VALUES (%s, 1, 1, 1, 0)", (outside,))


@pytest.mark.parametrize("date,made", [
    ("1969-12-31", False), ("1970-01-01", True), ("2200-12-31", True), ("2201-01-01", False),
    ("infinity", False), ("-infinity", False), ("0001-01-01 BC", False), (None, False)])
def test_ensure_day_has_bounds(ingest, date, made):
    assert ensure(ingest, date, 1) is made
    assert ingest.owner("SELECT count(*) FROM hirundo.partition_day") == [(int(made),)]


def test_ensure_day_400_for_each_sensor(ingest):
    """Live days made ahead and days of others don't count; a day that is there is never refused."""
    ensure(ingest, "2020-01-01", None)
    ensure(ingest, "2020-01-02", 2)
    made = ingest.execute("SELECT count(*) FILTER (WHERE hirundo.ensure_day(d::date, 1)) FROM"
                          " generate_series('2020-01-01'::timestamp, '2021-12-31', '1 day') d").fetchone()[0]
    assert made == 402
    assert ingest.owner("SELECT created_for, count(*) FROM hirundo.partition_day GROUP BY 1 ORDER BY 1") == [
        (1, 400), (2, 1), (None, 1)]
    assert ensure(ingest, "2022-06-01", 1) is False
    assert ensure(ingest, "2020-05-05", 1) is True
    assert ensure(ingest, "2022-06-01", 2) is True
    assert ensure(ingest, "2022-06-02", None) is True


def test_ensure_day_race(ingest):
    """Many sessions, the same days in different orders: no error, each day once."""
    days = [f"2026-04-{i:02}" for i in range(1, 13)]
    errors, barrier = [], threading.Barrier(6)

    def run(number: int) -> None:
        try:
            with ingest.again() as connection:
                barrier.wait()
                for i in range(len(days)):
                    if not ensure(connection, days[(i * (number + 1) + number) % len(days)], 1):
                        errors.append("false")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    made = ingest.owner("SELECT array_agg(day::text ORDER BY day) FROM hirundo.partition_day")[0][0]
    assert set(made) <= set(days) and len(made) == len(set(made)) > 1


def test_ensure_day_does_not_wait_for_readers(ingest, installation):
    """An analyst's long query must not stop a new day, and all ingest behind it."""
    ensure(ingest, "2026-05-01", 1)
    with installation.connect("hirundo_analyst") as analyst:
        analyst.autocommit = False
        analyst.execute("SELECT count(*) FROM hirundo.observation")
        with ingest.again() as writer:
            writer.autocommit = False
            writer.execute("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits)"
                           " VALUES ('2026-05-01 10:00Z', 1, 1, 1, 0)")
            ingest.execute("SET lock_timeout = '1s'")
            assert ensure(ingest, "2026-05-02", 1) is True
            writer.rollback()
        analyst.rollback()


def test_drop_day_freezes(ingest):
    old = day(250)
    ensure(ingest, old, 1)
    ensure(ingest, day(1), 1)
    store(ingest, noon(old), noon(day(240)), 1, 3)
    store(ingest, noon(old), noon(day(240)), 2, 4)
    store(ingest, noon(old), noon(day(240)), 1, 5, sensor=2)
    store(ingest, noon(day(1)), noon(TODAY), 3, 7)
    assert ingest.execute("SELECT * FROM hirundo.droppable_days()").fetchall() == [(old,)]
    assert one(ingest, "SELECT hirundo.drop_day(%s)", old) is True
    assert one(ingest, "SELECT hirundo.drop_day(%s)", old) is False
    assert ingest.owner("SELECT sensor_id, day, rows, packets FROM hirundo.ingest_day_frozen ORDER BY 1") == [
        (1, old, 2, 7), (2, old, 1, 5)]
    assert ingest.owner("SELECT sensor_id, day, packets FROM hirundo.ingest_batch_day") == [(1, day(1), 7)]
    assert ingest.owner("SELECT sum(packets) FROM hirundo.observation") == [(7,)]
    assert ingest.owner("SELECT count(*) FROM pg_class WHERE relname LIKE '%%' || %s", (old.strftime("%Y%m%d"),)) == [(0,)]
    # The same day once more, by a capture of long ago that came now and then grew old: sums add up.
    assert ensure(ingest, old, 1) is True
    store(ingest, noon(old), noon(day(230)), 4, 10)
    assert one(ingest, "SELECT hirundo.drop_day(%s)", old) is True
    assert ingest.owner("SELECT rows, packets FROM hirundo.ingest_day_frozen WHERE sensor_id = 1") == [(3, 17)]


def test_drop_day_spares(ingest):
    """Days within retention, and old days that were filled within it."""
    for ago, received in ((199, 199), (200, 200), (201, 201), (300, 10), (400, 199)):
        ensure(ingest, day(ago), 1)
        store(ingest, noon(day(ago)), noon(day(received)), ago)
    ensure(ingest, day(500), None)
    # Day 200 ends some hours too late, day 201 is the first that is old enough: counted from the day it is now, which may
    # have begun since TODAY.
    droppable, now = ingest.execute("SELECT array(SELECT hirundo.droppable_days()), (now() AT TIME ZONE 'UTC')::date").fetchone()
    assert set(droppable) == {day(500), day(201)} | ({day(200)} if now > TODAY else set())
    for ago in (199, 200, 300, 400, 600):
        assert one(ingest, "SELECT hirundo.drop_day(%s)", day(ago)) is False
    assert one(ingest, "SELECT hirundo.drop_day(NULL)") is False
    ingest.owner("UPDATE hirundo.setting SET value = '5' WHERE name = 'raw_retention_days'")
    assert one(ingest, "SELECT hirundo.drop_day(%s)", day(300)) is True


def test_drop_day_gives_up_soon(ingest, installation):
    """While somebody reads, ingest must not queue up behind the drop."""
    ensure(ingest, day(250), 1)
    with installation.connect("hirundo_analyst") as analyst:
        analyst.autocommit = False
        analyst.execute("SELECT count(*) FROM hirundo.observation")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            ingest.execute("SELECT hirundo.drop_day(%s)", (day(250),))
        analyst.rollback()
    assert one(ingest, "SELECT hirundo.drop_day(%s)", day(250)) is True


def test_close_day(ingest):
    now = datetime.datetime.now(UTC)
    for ago in (0, 3, 4):
        ensure(ingest, day(ago), None)
    store(ingest, noon(day(3)), now - datetime.timedelta(hours=3), 1)
    store(ingest, noon(day(4)), now - datetime.timedelta(hours=1), 2)  # late rows: not yet
    assert [d for (d,) in ingest.execute("SELECT * FROM hirundo.closable_days()")] == [day(3)]
    for ago, closed in ((0, False), (4, False), (3, True), (3, False), (9, False)):
        assert one(ingest, "SELECT hirundo.close_day(%s)", day(ago)) is closed
    assert ingest.owner("SELECT day FROM hirundo.partition_day WHERE closed_at IS NOT NULL") == [(day(3),)]
    indexes = ingest.owner("SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indrelid"
                           " WHERE relname = %s", (day(3).strftime("observation_%Y%m%d"),))
    assert {d.split(" USING ")[1] for (d,) in indexes} == {
        "brin (observed_at) WITH (autosummarize='on')", "btree (src, observed_at)", "btree (dst_port, observed_at)"}
    store(ingest, noon(day(3)), now, 3)  # a closed day still takes rows


def test_close_day_holds_up_no_new_day(ingest):
    """Indexes of a large day take minutes."""
    ensure(ingest, day(3), None)
    with ingest.again() as closing:
        closing.autocommit = False
        assert one(closing, "SELECT hirundo.close_day(%s)", day(3)) is True
        ingest.execute("SET lock_timeout = '1s'")
        assert ensure(ingest, day(2), 1) is True
        closing.commit()


# Target numbers.

def issue(connection, sensor: int, *entries: str, used=None, after: int = 1):
    """Entries as "address" or "captured=address"."""
    public = [entry.split("=")[-1] for entry in entries]
    captured = [entry.split("=")[0] if "=" in entry else None for entry in entries]
    return one(connection, "SELECT hirundo.issue_targets(%s, %s::cidr[], %s::cidr[], %s::int[], %s::int)", sensor, public, captured,
               used, after)


def test_targets_by_size(ingest):
    assert issue(ingest, 1, "192.0.2.1", "198.51.100.0/24", "2001:db8::/32", "203.0.113.4/30", "2001:db9::1") == [
        1, 2, 258, 259, 263]
    assert issue(ingest, 2, "10.0.0.0/8", "192.0.2.1") == [1, 2**24 + 1]


def test_targets_of_a_restored_database(ingest):
    """The sensor knows more than the database: what it has stays, and what it had is not issued to others."""
    assert issue(ingest, 1, "192.0.2.1", "192.0.2.2", "198.51.100.0/30", used=[0, 3, 0]) == [4, 3, 5]
    assert issue(ingest, 2, "192.0.2.1", "0.0.0.0/0", used=[7, 0], after=12) == [7, 0]
    assert issue(ingest, 2, "192.0.2.2", "192.0.2.1", used=[0, 7], after=12) == [12, 7]
    assert issue(ingest, 2, "192.0.2.3", used=[2]) == [2]
    for entry, number in ("192.0.2.1", 8), ("192.0.2.9", 12), ("192.0.2.8/29", 5):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="address 1: the sensor has"):
            issue(ingest, 2, entry, used=[number])
    assert issue(ingest, 2, "192.0.2.9", used=[0]) == [13]


def test_targets_take_all(ingest):
    assert issue(ingest, 1, "0.0.0.0/0", "::/0") == [0, 0]
    assert issue(ingest, 1, "0.0.0.0/0", "2001:db8::1", "::/0") == [0, 1, 0]


def test_targets_are_stable(ingest):
    assert issue(ingest, 1, "192.0.2.1", "192.0.2.2") == [1, 2]
    assert issue(ingest, 1, "192.0.2.2", "192.0.2.1") == [2, 1]
    assert issue(ingest, 1, "192.0.2.3", "192.0.2.2") == [3, 2]
    assert issue(ingest, 1) == []
    assert issue(ingest, 1, "192.0.2.9") == [4]
    assert issue(ingest, 1, "192.0.2.1", "192.0.2.1") == [1, 1]
    # The prefix around an address is another entry.
    assert issue(ingest, 1, "192.0.2.0/24", "192.0.2.1") == [5, 1]
    assert issue(ingest, 1, "192.0.3.1") == [261]


def test_targets_have_from_and_to(ingest):
    def state():
        return {address: (begun is not None, ended is not None) for address, begun, ended in ingest.owner(
            "SELECT host(address), valid_from, valid_to FROM hirundo.sensor_address WHERE sensor_id = 1")}

    issue(ingest, 1, "192.0.2.1", "192.0.2.2")
    issue(ingest, 2, "192.0.2.1")
    issue(ingest, 1, "192.0.2.2")
    assert state() == {"192.0.2.1": (True, True), "192.0.2.2": (True, False)}
    begun = ingest.owner("SELECT valid_from FROM hirundo.sensor_address WHERE sensor_id = 1 AND first_target = 1")
    issue(ingest, 1, "192.0.2.1")
    assert state() == {"192.0.2.1": (True, False), "192.0.2.2": (True, True)}
    assert ingest.owner("SELECT valid_from FROM hirundo.sensor_address"
                        " WHERE sensor_id = 1 AND first_target = 1") == begun
    issue(ingest, 1)
    assert state() == {"192.0.2.1": (True, True), "192.0.2.2": (True, True)}
    assert ingest.owner("SELECT valid_to IS NULL FROM hirundo.sensor_address WHERE sensor_id = 2") == [(True,)]


def test_targets_behind_nat(ingest):
    assert issue(ingest, 1, "10.0.0.1=192.0.2.1", "fd00::/64=2001:db8::/64") == [1, 2]
    assert issue(ingest, 1, "10.0.0.2=192.0.2.1", "2001:db8::/64") == [1, 2]
    assert ingest.owner("SELECT host(captured) FROM hirundo.sensor_address ORDER BY first_target") == [
        ("10.0.0.2",), (None,)]


@pytest.mark.parametrize("entries", [
    ["128.0.0.0/1"], ["2.0.0.0/7"], ["10.0.0.0/24=192.0.2.1"], ["fd00::1=192.0.2.1"], ["192.0.2.1", "64.0.0.0/2"]])
def test_targets_refused(ingest, entries):
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        issue(ingest, 1, *entries)
    # The message goes to logs: it has no address.
    assert "192.0.2" not in str(refused.value) and "64.0" not in str(refused.value)
    assert ingest.owner("SELECT count(*) FROM hirundo.sensor_address") == [(0,)]


@pytest.mark.parametrize("arrays", ["'{192.0.2.1}', '{}'", "NULL, NULL", "'{192.0.2.1}', NULL", "'{NULL}', '{NULL}'"])
def test_targets_need_both_lists(ingest, arrays):
    issue(ingest, 1, "192.0.2.7")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        ingest.execute(f"SELECT hirundo.issue_targets(1, {arrays})")
    assert ingest.owner("SELECT valid_to IS NULL FROM hirundo.sensor_address") == [(True,)]


def test_targets_of_nobody(ingest):
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        issue(ingest, 99, "192.0.2.1")


def test_targets_run_out(ingest):
    """127 prefixes of 2^24 fit into an int; then an error, not a number twice."""
    for i in range(1, 128):
        issue(ingest, 1, f"{i}.0.0.0/8")
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        issue(ingest, 1, "200.0.0.0/8")
    assert issue(ingest, 1, "200.0.0.0/9") == [127 * 2**24 + 1]


def test_targets_race(ingest):
    """The same sensor from many sessions: no number is issued twice."""
    errors, barrier = [], threading.Barrier(5)

    def run(number: int) -> None:
        try:
            with ingest.again() as connection:
                barrier.wait()
                for i in range(20):
                    issue(connection, 1, f"192.0.2.{i}", f"198.51.{number}.{i}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    numbers = [n for (n,) in ingest.owner("SELECT first_target FROM hirundo.sensor_address WHERE sensor_id = 1")]
    assert len(numbers) == len(set(numbers)) == 120 and max(numbers) == 120


# Connections.

def connections(ingest, sensor: int = 1):
    return ingest.owner("SELECT connection, host(peer), disconnected_at IS NULL, reason FROM hirundo.sensor_connection"
                        " WHERE sensor_id = %s ORDER BY connected_at", (sensor,))


def opened(connection, sensor: int, number: int) -> None:
    connection.execute("SELECT hirundo.connection_opened(%s, %s, '198.51.100.9', 'test 1')", (sensor, number))


def test_connections_are_noted(ingest):
    opened(ingest, 1, 10)
    opened(ingest, 2, 11)
    ingest.execute("SELECT hirundo.connection_closed(1, 10, 'closed by peer')")
    ingest.execute("SELECT hirundo.connection_closed(1, 10, 'told twice')")
    opened(ingest, 1, 12)
    opened(ingest, 1, 13)  # 12 was never closed: its collector died
    assert connections(ingest) == [(10, "198.51.100.9", False, "closed by peer"),
                                   (12, "198.51.100.9", False, "another connection came"),
                                   (13, "198.51.100.9", True, None)]
    assert connections(ingest, 2) == [(11, "198.51.100.9", True, None)]


def test_connections_are_forgotten(ingest):
    """After 90 days, and beyond 1,000 of one sensor."""
    ingest.owner("INSERT INTO hirundo.sensor_connection (sensor_id, connected_at, connection, peer, software)"
                 " SELECT s, now() - i * interval '1 day', i, '198.51.100.1', 'old'"
                 " FROM generate_series(1, 2) s, generate_series(80, 99) i")
    opened(ingest, 1, 1)
    assert len(connections(ingest, 1)) == 11 and len(connections(ingest, 2)) == 20
    ingest.owner("INSERT INTO hirundo.sensor_connection (sensor_id, connected_at, connection, peer, software)"
                 " SELECT 1, now() - i * interval '1 second', i, '198.51.100.1', 'storm' FROM generate_series(1, 1500) i")
    opened(ingest, 1, 2)
    rows = connections(ingest, 1)
    assert len(rows) == 1000 and rows[-1][0] == 2
