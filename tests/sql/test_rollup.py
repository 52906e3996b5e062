"""Rollups against a recount, whatever ran beside them: ingest and steps interleaved statement by statement."""
import contextlib
import itertools
import random
import threading

import psycopg
import pytest

from harness import rollups

DAY = "2026-03-01"


class Database:
    def __init__(self, server, name: str):
        self.server, self.name = server, name
        self.connection = self.connect()

    def connect(self, user: str = "postgres"):
        return self.server.connect(self.name, user)

    def run(self, sql: str, *parameters):
        return self.connection.execute(sql, parameters or None)


@pytest.fixture
def database(server, template):
    server.create("hirundo_rollup", template)
    database = Database(server, "hirundo_rollup")
    for day in range(-2, 3):
        database.run("SELECT hirundo.ensure_day(%s::date + %s::int, NULL)", DAY, day)
    yield database
    database.connection.close()
    server.drop("hirundo_rollup")


def rows_sql(sensor: int, begin: int, rows: int, packets: int = 1, source: int = 1) -> str:
    """Rows a second apart, of three sources, from `begin` seconds after noon."""
    return (f"INSERT INTO hirundo.observation (observed_at, last_at, sensor_id, target, packets, traits, protocol,"
            f" dst_port, ttl, tcp_flags, tcp_window, tcp_header_length, src_region, src_asn, src)"
            f" SELECT '{DAY} 12:00Z'::timestamptz + make_interval(secs => {begin} + g),"
            f" CASE WHEN {packets} > 1 THEN '{DAY} 12:00Z'::timestamptz + make_interval(secs => {begin} + g + 0.5) END,"
            f" {sensor}, 1, {packets}, CASE g % 4 WHEN 0 THEN 1024 WHEN 1 THEN 8 ELSE 0 END, 6, 23 + g % 2, 50 + g % 2,"
            f" CASE g % 4 WHEN 0 THEN 18 ELSE 2 END, 1024, 20, 'JP', 64500 + {source},"
            f" ('192.0.2.' || {source} + g % 3)::inet FROM generate_series(0, {rows} - 1) AS g")


def mark_sql(sensor: int, seq: int, begin: int, rows: int, epoch: int = 1) -> str:
    """Marks as ingest writes them: one for each 15 minutes."""
    return (f"INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at)"
            f" SELECT {sensor}, date_bin('15min', t, '2000-01-01Z'), {epoch}, {seq}, count(*), min(t), max(t)"
            f" FROM (SELECT '{DAY} 12:00Z'::timestamptz + make_interval(secs => {begin} + g) AS t"
            f" FROM generate_series(0, {rows} - 1) AS g) AS r GROUP BY 2")


def ingest(database, sensor: int, seq: int, begin: int, rows: int, **more) -> None:
    with database.connection.transaction():
        database.run(rows_sql(sensor, begin, rows, **more))
        database.run(mark_sql(sensor, seq, begin, rows))


class Actor:
    """Runs statements on a connection of its own, one behind the other, also while one of them waits."""

    def __init__(self, connection, statements):
        self.connection, self.statements = connection, list(statements)
        self.thread = None
        self.stopped = None  # SQLSTATE

    def _run(self, sql: str) -> None:
        try:
            self.connection.execute(sql)
        except psycopg.errors.SerializationFailure as error:
            self.stopped = error.sqlstate
            self.connection.execute("ROLLBACK")

    def next(self) -> None:
        self.finish()
        if self.stopped is None:
            self.thread = threading.Thread(target=self._run, args=(self.statements.pop(0),))
            self.thread.start()
            self.thread.join(0.2)  # if it takes longer, it waits for another one

    def finish(self) -> None:
        if self.thread:
            self.thread.join(30)
            assert not self.thread.is_alive()


def orders(*lengths: int) -> list[tuple]:
    """All interleavings: which actor is next."""
    return sorted(set(itertools.permutations([i for i, n in enumerate(lengths) for _ in range(n)])))


def play(connections, order, *scripts) -> list[Actor]:
    actors = [Actor(connection, script) for connection, script in zip(connections, scripts)]
    for which in order:
        others_wait = [a for a in actors if a.thread and a.thread.is_alive()]
        if actors[which] in others_wait and len(others_wait) < len(actors):
            continue  # goes on below
        actors[which].next()
    for actor in actors:
        while actor.statements and actor.stopped is None:
            actor.next()
        actor.finish()
    return actors


def step_sql(sensor: int) -> tuple:
    begin, step, commit = rollups.STEP
    return begin, "SELECT FROM hirundo.setting", step % (sensor, 1000), commit


@contextlib.contextmanager
def connected(database, *users):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(database.connect(user))) for user in users]


# What new rows may be against those that are rolled up already: behind them, among them, the same again.
BEGINS = (100, 30, 0)


@pytest.mark.parametrize("begin", BEGINS)
def test_ingest_beside_a_step(database, begin):
    """All interleavings; the step finds marks of its own, and those of the ingest or not."""
    with connected(database, "postgres", "hirundo_ingest") as connections:
        for sensor, order in enumerate(orders(4, 4), 1):
            ingest(database, sensor, 1, 0, 60)
            rollups.step(database.connection, sensor)
            ingest(database, sensor, 2, 70, 10)
            play(connections, order, ("BEGIN", rows_sql(sensor, begin, 60), mark_sql(sensor, 3, begin, 60), "COMMIT"),
                 step_sql(sensor))
    assert database.run("SELECT count(*) FROM hirundo.dirty_mark").fetchone()[0] > 0
    done = rollups.catch_up(database.connection)
    assert sum(recounted for *_, recounted, _ in done) == 0
    rollups.compare(database.connection)


@pytest.mark.parametrize("end", range(1, 4))
@pytest.mark.parametrize("who", ("ingest", "step"))
def test_crash_at_each_statement(database, who, end):
    """One of both breaks off behind each of its statements, in all interleavings."""
    scripts = {"ingest": lambda s: ("BEGIN", rows_sql(s, 30, 20), mark_sql(s, 3, 30, 20), "COMMIT"), "step": step_sql}
    lengths = {name: 4 for name in scripts} | {who: end + 1}
    with connected(database, "postgres", "hirundo_ingest") as connections:
        for sensor, order in enumerate(orders(*lengths.values()), 1):
            ingest(database, sensor, 1, 0, 20)
            rollups.step(database.connection, sensor)
            ingest(database, sensor, 2, 10, 20)
            play(connections, order, *(make(sensor)[:end] + ("ROLLBACK",) if name == who else make(sensor)
                                       for name, make in scripts.items()))
    rollups.catch_up(database.connection)
    rollups.compare(database.connection)


def unlock(database) -> None:
    """Takes away what spares two steps of a sensor the work to be done once: exactness is not to depend on it."""
    definition = database.run("SELECT pg_get_functiondef('hirundo.rollup'::regproc)").fetchone()[0]
    lock = "pg_try_advisory_xact_lock(hashtext('hirundo.rollup'), s.sensor_id)"
    assert lock in definition
    database.run(definition.replace(lock, "true"))


@pytest.mark.parametrize("recount", (False, True))
def test_two_steps_at_once(database, recount):
    unlock(database)
    stopped = 0
    with connected(database, "hirundo_ingest", "hirundo_ingest") as connections:
        for sensor, order in enumerate(orders(4, 4), 1):
            ingest(database, sensor, 1, 0, 30)
            rollups.step(database.connection, sensor)
            ingest(database, sensor, 2, 20, 30)
            if recount:  # marks of another transaction, as in a database that was restored
                database.run("UPDATE hirundo.dirty_mark SET rows = rows WHERE sensor_id = %s", sensor)
            actors = play(connections, order, step_sql(sensor), step_sql(sensor))
            stopped += sum(actor.stopped is not None for actor in actors)
    assert stopped > 10
    rollups.catch_up(database.connection)
    rollups.compare(database.connection)


def test_two_steps_and_ingest(database):
    unlock(database)
    seed = random.randrange(10**6)
    orders_ = orders(3, 3, 3)
    with connected(database, "postgres", "hirundo_ingest", "hirundo_ingest") as connections:
        for sensor, order in enumerate(random.Random(seed).sample(orders_, 150), 1):
            ingest(database, sensor, 1, 0, 30)
            rollups.step(database.connection, sensor)
            ingest(database, sensor, 2, 20, 10)
            restored = sensor % 3 == 0
            if restored:
                database.run("UPDATE hirundo.dirty_mark SET rows = rows WHERE sensor_id = %s", sensor)
            begin, snapshot, step, commit = step_sql(sensor)
            two = (begin + ";" + snapshot, step, commit)
            play(connections, order, ("BEGIN;" + rows_sql(sensor, 25, 20), mark_sql(sensor, 3, 25, 20), "COMMIT"), two, two)
    rollups.catch_up(database.connection)
    print(f"seed {seed}")
    rollups.compare(database.connection)


def test_a_restored_database_counts_anew(database):
    ingest(database, 1, 1, 0, 100)
    rollups.catch_up(database.connection)
    ingest(database, 1, 2, 50, 100, packets=3)
    database.run("UPDATE hirundo.dirty_mark SET rows = rows")
    assert rollups.catch_up(database.connection) == [(1, 200, 1, 0)]
    rollups.compare(database.connection)


def test_days_that_were_dropped_are_not_counted_anew(database):
    ingest(database, 1, 1, 0, 100)
    rollups.catch_up(database.connection)
    database.run("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) VALUES (1, %s, 5, 5)", DAY)
    ingest(database, 1, 2, 50, 40)
    assert rollups.catch_up(database.connection) == [(1, 40, 0, 0)]  # by their transaction: as ever
    before = rollups.found(database.connection)
    ingest(database, 1, 3, 50, 30)
    database.run("UPDATE hirundo.dirty_mark SET rows = rows")
    assert rollups.catch_up(database.connection) == [(1, 0, 0, 30)]
    assert rollups.found(database.connection) == before
    assert database.run("SELECT sensor_id, day::text, rows FROM hirundo.rollup_gap").fetchall() == [(1, DAY, 30)]


@pytest.mark.parametrize("zone", ("Asia/Colombo", "Asia/Kathmandu", "America/St_Johns", "Asia/Tokyo"))
def test_days_of_a_zone(database, zone):
    database.run("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", zone)
    for seq, begin in enumerate(range(-86400, 86400, 5400), 1):
        ingest(database, 1, seq, begin, 40)
        ingest(database, 1, 100 + seq, begin + 890, 40)
    steps = rollups.catch_up(database.connection, rows=100)
    assert len(steps) > 10 and sum(step[2] for step in steps) == 0
    rollups.compare(database.connection)
    database.run("UPDATE hirundo.dirty_mark SET rows = rows")
    for seq, begin in enumerate(range(-86400, 86400, 40000), 300):
        ingest(database, 1, seq, begin, 40)
    database.run("UPDATE hirundo.dirty_mark SET rows = rows")
    assert sum(step[2] for step in rollups.catch_up(database.connection)) > 2
    rollups.compare(database.connection)


def ingest_with_books(database, sensor: int, seq: int, begin: int, rows: int) -> None:
    with database.connection.transaction():
        database.run(rows_sql(sensor, begin, rows))
        database.run(mark_sql(sensor, seq, begin, rows))
        database.run("INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets,"
                     " stored, quarantined, rejected, lost, received_at, rows, stored_rows, samples, fold_early, bytes, kind)"
                     " VALUES (%s, 1, %s, %s, 0, 0, %s, %s, 0, 0, 0, now(), %s, %s, 0, 0, 0, 1)",
                     sensor, seq, seq, rows, rows, rows, rows)
        database.run("INSERT INTO hirundo.ingest_batch_day SELECT %s, 1, %s, day, count(*), sum(packets) FROM ("
                     "SELECT (observed_at AT TIME ZONE 'UTC')::date AS day, packets FROM hirundo.observation"
                     " WHERE sensor_id = %s AND xmin = pg_current_xact_id()::xid) AS o GROUP BY day", sensor, seq, sensor)


@pytest.mark.parametrize("zone", ("Asia/Colombo", "Asia/Tokyo", "America/St_Johns"))
def test_change_of_zone(database, zone):
    for seq, begin in enumerate(range(-86400, 86400, 5400), 1):
        for sensor in (1, 2):
            ingest_with_books(database, sensor, seq, begin, 40)
    rollups.catch_up(database.connection, rows=500)
    before = rollups.found(database.connection)
    ingest_with_books(database, 1, 100, 3000, 40)  # not rolled up yet
    days, *lost = database.run("SELECT * FROM hirundo.change_zone(%s, false)", zone).fetchone()
    assert 2 * 3 <= days <= 2 * 4 and lost == [None] * 3
    assert database.run("SELECT count(*) FROM hirundo.ttl_day").fetchone() == (0,)
    ingest_with_books(database, 2, 100, 4000, 40)
    rollups.catch_up(database.connection)
    rollups.compare(database.connection)
    assert rollups.found(database.connection)[1] != before[1]
    assert database.run("SELECT count(*) FROM hirundo.rollup_gap").fetchone() == (0,)
    database.run("SELECT hirundo.change_zone('UTC', false)")
    rollups.catch_up(database.connection)
    rollups.compare(database.connection)


def test_change_of_zone_without_raw_rows(database):
    """What can not be counted anew is refused, or lost with a note, never a part of a day."""
    first, last = f"{DAY[:-2]}01", "2026-02-28"
    for seq, begin in enumerate(range(-86400, 86400, 5400), 1):
        ingest_with_books(database, 1, seq, begin, 40)
    rollups.catch_up(database.connection)
    before = rollups.found(database.connection)
    n, packets = database.run("SELECT sum(rows), sum(packets) FROM hirundo.ingest_batch_day WHERE day = %s", last).fetchone()
    database.run("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) VALUES (1, %s, %s, %s)", last, n, packets)
    database.run("DELETE FROM hirundo.observation WHERE (observed_at AT TIME ZONE 'UTC')::date = %s", last)
    with pytest.raises(psycopg.errors.RestrictViolation, match=f"raw rows from {last} to {last} were dropped"):
        database.run("SELECT hirundo.change_zone('Asia/Tokyo', false)")
    assert rollups.found(database.connection) == before
    days, *lost = database.run("SELECT * FROM hirundo.change_zone('Asia/Tokyo', true)").fetchone()
    assert [str(value) for value in lost] == [str(n), last, last]
    rollups.catch_up(database.connection)
    # Tokyo's 1 March began on 28 February in UTC: it can not be whole.
    gaps = {str(day) for (day,) in database.run("SELECT day FROM hirundo.rollup_gap").fetchall()}
    assert gaps == {last, first}
    assert {str(key[1]) for key in rollups.found(database.connection)[0]} == {"2026-03-02"}
    want = {key: row for key, row in rollups.expected(database.connection)[0].items() if str(key[1]) == "2026-03-02"}
    assert rollups.found(database.connection)[0] == want and want


def test_zones_do_not_mix(database):
    ingest(database, 1, 1, 0, 100)
    rollups.catch_up(database.connection)
    database.run("UPDATE hirundo.setting SET value = 'Asia/Tokyo' WHERE name = 'reporting_zone'")
    ingest(database, 1, 2, 50, 40)
    for sql in ("SELECT * FROM report.coverage('[2026-03-01,2026-03-02)')", rollups.STEP[1] % (1, 1000)):
        database.run(rollups.STEP[0])
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="are of days in UTC, .* is Asia/Tokyo"):
            database.run(sql)
        database.run("ROLLBACK")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no time zone is called 'Tokio'"):
        database.run("SELECT hirundo.change_zone('Tokio', true)")


def status(database, sensor: int, seq: int, begin: str | None, end: str | None, drops: int = 0, run: int = 1,
           epoch: int = 1) -> None:
    with database.connection.transaction():
        database.run("INSERT INTO hirundo.sensor_status (sensor_id, epoch, seq, run, started_at, at, received_at, captured,"
                     " ignored, ignored_by, sealed, kernel_drops, interface_drops, truncated, fold_early, coarse,"
                     " samples_dropped, spool_bytes, spool_lost, unclean_start, final, from_capture, software,"
                     " covered_from, covered_to)"
                     " VALUES (%s, %s, %s, %s, %s, %s, now(), 0, 0, '{}', 0, %s, 0, 0, 0, 0, 0, 0, 0, false, false, false, 'x',"
                     " %s, %s)", sensor, epoch, seq, run, DAY, end or f"{DAY} 12:07Z", drops, begin, end)
        database.run("INSERT INTO hirundo.dirty_mark SELECT %s, date_bin('15min', b, '2000-01-01Z'), %s, %s, 0, b, e"
                     " FROM (VALUES (%s::timestamptz, %s::timestamptz)) AS v (b, e)", sensor, epoch, seq,
                     begin or f"{DAY} 12:07Z", end or f"{DAY} 12:07Z")


def test_coverage(database):
    """United overlaps, an outage, late records, drops where they fell."""
    at = [f"{DAY} {text}Z" for text in ("12:00", "12:10", "12:05", "12:20", "12:50", "12:51", "11:59:30", "12:00:10")]
    status(database, 1, 1, at[0], at[1], drops=4)
    rollups.catch_up(database.connection)
    status(database, 1, 2, at[2], at[3], drops=7)
    status(database, 1, 3, at[4], at[5], drops=7)
    status(database, 1, 9, None, None, drops=11)
    status(database, 2, 1, at[0], at[0])
    rollups.catch_up(database.connection)
    status(database, 1, 1, at[6], at[7], run=2, epoch=2)
    with database.connection.transaction():
        database.run("INSERT INTO hirundo.ingest_loss VALUES (1, 2, 2, 5, 100, 'spool_full', %s, %s, now())",
                     f"{DAY} 12:10Z", f"{DAY} 12:40Z")
        database.run("INSERT INTO hirundo.dirty_mark VALUES (1, %s, 2, 5, 0, %s, %s)", f"{DAY} 12:00Z",
                     f"{DAY} 12:10Z", f"{DAY} 12:40Z")
    rollups.catch_up(database.connection)
    rollups.compare(database.connection)
    got = database.run("SELECT to_char(bucket AT TIME ZONE 'UTC', 'HH24:MI'), seconds, lost FROM hirundo.coverage"
                       " WHERE sensor_id = 1 ORDER BY 1").fetchall()
    # 4 within 12:00 to 12:10; 3 over 12:05 to 12:20 (two until 12:15); 4 told at 12:07; 100 over 30 minutes.
    assert got == [("11:45", 30, 0), ("12:00", 900, 4 + 2 + 4 + 16), ("12:15", 300, 1 + 50), ("12:30", 0, 34),
                   ("12:45", 60, 0)]
    assert database.run("SELECT count(*) FROM hirundo.coverage WHERE sensor_id = 2").fetchone() == (0,)


def test_a_day_waits_for_its_rollup(database):
    database.run("SELECT hirundo.ensure_day('2020-01-01', NULL)")
    with database.connection.transaction():
        database.run("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits)"
                     " VALUES ('2020-01-01 10:00Z', 1, 1, 1, 0)")
        database.run("INSERT INTO hirundo.dirty_mark VALUES (1, '2020-01-01 10:00Z', 1, 1, 1, '2020-01-01 10:00Z',"
                     " '2020-01-01 10:00Z')")
    droppable = "SELECT d::text FROM hirundo.droppable_days() AS d WHERE d < '2021-01-01'"
    assert database.run(droppable).fetchall() == []
    rollups.catch_up(database.connection)
    assert database.run(droppable).fetchall() == [("2020-01-01",)]


def test_a_step_needs_its_lock_and_isolation(database):
    lock = "; LOCK TABLE ONLY hirundo.observation IN ROW EXCLUSIVE MODE"
    for begin in ("BEGIN" + lock, "BEGIN ISOLATION LEVEL REPEATABLE READ"):
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            database.run(begin)
            database.run("SELECT * FROM hirundo.rollup(NULL)")
        database.run("ROLLBACK")


JUDGED = ("verdict", "verdict_history", "verdict_due", "hop_model", "hop_sensor", "hop_region", "hop_holder",
          "hop_holder_offset", "campaign", "campaign_cell")


def fill_judged(database, day: str) -> None:
    """A row of every table of verdicts: what has no default is 1, '1' or the day."""
    database.run("SELECT hirundo.ensure_rollup_month(%s)", day)
    values = {"boolean": "false", "inet": "'192.0.2.1'", "timestamp with time zone": f"'{day}'", "date": f"'{day}'",
              "integer[]": "'{}'"}
    special = {"kind": "'fixed'", "verdict": "'genuine'"}
    for table in JUDGED:
        columns = database.run(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND"
            " attnum > 0 AND attnotnull AND NOT atthasdef", f"hirundo.{table}").fetchall()
        database.run(f"INSERT INTO hirundo.{table} ({', '.join(name for name, _ in columns)}) VALUES"
                     f" ({', '.join(special.get(name) or values.get(kind, '1') for name, kind in columns)})")


def test_months_are_kept_or_dropped(database):
    ingest(database, 1, 1, 0, 10)
    rollups.catch_up(database.connection)
    database.run("DELETE FROM hirundo.verdict_due")
    for day in ("2026-03-01", "2026-03-31", "2026-04-01"):
        fill_judged(database, day)
    # April is not over long enough.
    keep = "(now() AT TIME ZONE 'UTC')::date - date '2026-05-01' + 1"
    drop = "SELECT hirundo.drop_rollup_months()"
    assert database.run(drop).fetchone() == (0,)
    database.run("INSERT INTO hirundo.setting VALUES ('rollup_retention_days', '100000')")
    assert database.run(drop).fetchone() == (0,)
    database.run(f"UPDATE hirundo.setting SET value = {keep} WHERE name = 'rollup_retention_days'")
    assert database.run(drop).fetchone() == (1,)
    assert database.run("SELECT count(*) FROM hirundo.ttl_day").fetchone() == (0,)
    # Verdicts, their history, and what they were made from go with their month, those of others stay.
    days = dict(database.run(" UNION ALL ".join(
        f"SELECT '{name}', array_agg(day::text) FROM hirundo.{name}" for name in JUDGED)).fetchall())
    assert days == dict.fromkeys(JUDGED, ["2026-04-01"])
    dropped = "SELECT month::text FROM hirundo.rollup_dropped"
    assert database.run(dropped).fetchall() == [("2026-03-01",)]
    # What comes later is not all of the month.
    ingest(database, 1, 2, 100, 10)
    rollups.catch_up(database.connection)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="rollups of 2026-03 were dropped"):
        database.run(f"SELECT * FROM report.ttl_by_region('[{DAY},{DAY}]')")
    assert database.run(drop).fetchone() == (1,)
    assert database.run(dropped).fetchall() == [("2026-03-01",)]


def test_marks_tell_the_sources_that_changed(database):
    """Of each step, and of each day; of days counted anew any may have changed."""
    def told() -> dict:
        rows = database.run("SELECT day::text, (SELECT array_agg(host(s)) FROM unnest(sources) AS s) FROM hirundo.verdict_due"
                            ).fetchall()
        database.run("DELETE FROM hirundo.verdict_due")
        assert len(rows) == len(dict(rows)), "one mark a day and step"
        return {day: sources and sorted(sources) for day, sources in rows}

    ingest(database, 1, 1, 0, 10)
    rollups.step(database.connection, 1)
    assert told() == {DAY: ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}
    ingest(database, 1, 2, 20, 1, source=2)  # one that is known, at another second
    ingest(database, 2, 1, 20, 2, source=7)
    rollups.step(database.connection, 1)
    assert told() == {DAY: ["192.0.2.2"]}
    rollups.step(database.connection, 2)
    assert told() == {DAY: ["192.0.2.7", "192.0.2.8"]}
    ingest(database, 1, 3, 43195, 10, source=5)  # over midnight
    rollups.catch_up(database.connection)
    source = {day: {f"192.0.2.{5 + g % 3}" for g in range(10) if (g < 5) == (day == DAY)} for day in (DAY, "2026-03-02")}
    assert told() == {day: sorted(found) for day, found in source.items()}
    with database.connection.transaction():
        database.run(rows_sql(1, 50, 5))
    database.run(mark_sql(1, 4, 50, 5))  # the rows' transaction is another: counted anew
    assert rollups.step(database.connection, 1)[2] == 1
    assert told() == {DAY: None}


def test_signature_and_service(database):
    """Every kind of row, against the harness' own."""
    database.run(f"INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits, protocol, dst_port, ttl,"
                 f" tcp_flags, tcp_window, tcp_header_length, icmp_type, src) SELECT '{DAY} 12:00Z', 1, 1, 1, t, p, d,"
                 f" 60, CASE p WHEN 6 THEN 194 END, w, CASE p WHEN 6 THEN 40 END, CASE WHEN p IN (1, 58) THEN 129 END,"
                 f" '192.0.2.1' FROM unnest(ARRAY[0, 1024, 16384]) t, unnest(ARRAY[1, 6, 17, 47, 58, 200, 255, NULL]) p,"
                 f" unnest(ARRAY[0, 65535, NULL]) d, unnest(ARRAY[0, 512, 1024, 64240, 65535, 7, NULL]) w")
    n = database.run("SELECT count(*) FROM hirundo.observation").fetchone()[0]
    database.run("INSERT INTO hirundo.dirty_mark VALUES (1, %s, 1, 1, %s, %s, %s)", f"{DAY} 12:00Z", n, f"{DAY} 12:00Z",
                 f"{DAY} 12:00Z")
    rollups.catch_up(database.connection)
    rollups.compare(database.connection)
    text = dict(database.run("SELECT hirundo.signature_text(signature), count(*) FROM hirundo.ttl_day GROUP BY 1").fetchall())
    assert "65535/TCP flags SEC window 1024 header 40" in text and "TCP/frag flags SEC window 0 header 40" in text
    assert "TCP response flags SEC" in text and "ICMPv6 type 129" in text and "GRE" in text and "protocol-200" in text
    assert len(text) == database.run("SELECT count(DISTINCT signature) FROM hirundo.ttl_day").fetchone()[0]
    got = database.run("SELECT hirundo.initial_ttl(t) FROM unnest(ARRAY[0, 26, 27, 64, 65, 128, 129, 255]) t").fetchall()
    assert [ttl for (ttl,) in got] == [32, 32, 64, 64, 128, 128, 255, 255]


def test_states_of_address_data_are_noted(database):
    """Those of the batches, by sensor and reporting day, also where the day is counted anew."""
    database.run("UPDATE hirundo.setting SET value = 'Asia/Tokyo' WHERE name = 'reporting_zone'")
    for sensor, seq, begin, state in [(1, 1, 0, 4), (1, 2, 7200, 5), (1, 3, 14400, 6), (2, 1, 0, None), (3, 1, 0, 7)]:
        ingest_with_books(database, sensor, seq, begin, 10)
        database.run("UPDATE hirundo.ingest_batch SET dataset_id = %s WHERE sensor_id = %s AND seq = %s", state, sensor, seq)
    database.run("UPDATE hirundo.dirty_mark SET rows = 9 WHERE sensor_id = 3")  # does not fit: counted anew
    rollups.catch_up(database.connection)
    # 12:00, 14:00 and 16:00 UTC: the last is tomorrow in Tokyo.
    assert database.run("SELECT sensor_id, day::text, dataset_id FROM hirundo.dataset_day ORDER BY 1, 2, 3").fetchall() == [
        (1, "2026-03-01", 4), (1, "2026-03-01", 5), (1, "2026-03-02", 6), (3, "2026-03-01", 7)]


def step_of_all(database, rows: int = 250000) -> dict:
    """A step of all sensors: sensor -> (marks, rows, recounted, unresolved)."""
    database.run(rollups.STEP[0])
    told = database.run("SELECT sensor_id, marks, rows, recounted, unresolved FROM hirundo.rollup(NULL, %s)", rows).fetchall()
    database.run(rollups.STEP[2])
    return {sensor: tuple(what) for sensor, *what in told}


@pytest.mark.parametrize("who", ("nobody", "ingest", "step"))
def test_a_step_of_all_beside_ingest(database, who):
    """All interleavings of ingest and a step of three sensors; one of them, or none, breaks off at its end."""
    with connected(database, "postgres", "hirundo_ingest") as connections:
        for n, order in enumerate(orders(4, 4)):
            sensors = 3 * n + 1, 3 * n + 2, 3 * n + 3
            for sensor in sensors:
                ingest(database, sensor, 1, 0, 20)
            rollups.step(database.connection, sensors[0])
            ingest(database, sensors[1], 2, 10, 20)
            scripts = [["BEGIN", rows_sql(sensors[2], 5, 30), mark_sql(sensors[2], 3, 5, 30), "COMMIT"],
                       [rollups.STEP[0], "SELECT FROM hirundo.setting", "SELECT * FROM hirundo.rollup(NULL)", "COMMIT"]]
            for name, script in zip(("ingest", "step"), scripts):
                script[3] = "ROLLBACK" if who == name else "COMMIT"
            play(connections, order, *scripts)
    done = rollups.catch_up(database.connection)
    assert sum(recounted for *_, recounted, _ in done) == 0
    rollups.compare(database.connection)


def test_a_sensor_of_a_step_is_counted_anew(database):
    """The others of the step are not, and lose nothing; nor where the raw rows of one are gone."""
    for sensor in (1, 2, 3, 4):
        ingest(database, sensor, 1, 0, 50)
    assert step_of_all(database) == {sensor: (1, 50, 0, 0) for sensor in (1, 2, 3, 4)}
    for sensor in (1, 2, 3):
        ingest(database, sensor, 2, 1000 * sensor, 20 + sensor)
    database.run("UPDATE hirundo.dirty_mark SET rows = rows WHERE sensor_id = 2")  # as in a database that was restored
    database.run("UPDATE hirundo.dirty_mark SET rows = rows WHERE sensor_id = 3")
    database.run("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) VALUES (3, %s, 5, 5)", DAY)
    before = rollups.found(database.connection)
    assert step_of_all(database) == {1: (1, 21, 0, 0), 2: (1, 72, 1, 0), 3: (1, 0, 0, 23)}
    assert database.run("SELECT sensor_id, day::text, rows FROM hirundo.rollup_gap").fetchall() == [(3, DAY, 23)]
    for want, got, old in zip(rollups.expected(database.connection), rollups.found(database.connection), before):
        assert {key: row for key, row in got.items() if key[0] != 3} == {key: row for key, row in want.items() if key[0] != 3}
        assert {key: row for key, row in got.items() if key[0] == 3} == {key: row for key, row in old.items() if key[0] == 3}


def test_a_step_takes_what_waits_longest(database):
    """Whatever its day and sensor; of a transaction all marks of the day, and of its other days those later."""
    ingest(database, 2, 1, 43190, 20)  # over midnight: two marks
    ingest(database, 1, 1, -80000, 30)
    ingest(database, 3, 1, 7, 40)
    ingest(database, 2, 2, 600, 50)
    taken = [step_of_all(database, rows=45) for _ in range(4)]
    assert taken == [{2: (1, 10, 0, 0), 3: (1, 40, 0, 0)}, {2: (1, 10, 0, 0)}, {1: (1, 30, 0, 0)}, {2: (1, 50, 0, 0)}]
    assert step_of_all(database) == {}
    rollups.compare(database.connection)


def test_a_step_of_some_sensors(database):
    for sensor in (1, 2, 3):
        ingest(database, sensor, 1, 0, 10)
    assert rollups.step(database.connection, 2) == (1, 10, 0, 0)
    assert {sensor for (sensor,) in database.run("SELECT sensor_id FROM hirundo.source_day")} == {2}
    with connected(database, "postgres") as (other,):
        other.execute("BEGIN")
        other.execute("SELECT pg_advisory_xact_lock(hashtext('hirundo.rollup'), 3)")  # another collector is at it
        assert step_of_all(database) == {1: (1, 10, 0, 0)}
    assert step_of_all(database) == {3: (1, 10, 0, 0)}
    rollups.compare(database.connection)


def test_every_port_and_ipv6(database):
    """Orders that rows are written in, and names: services of ports of each length, sources of both families."""
    with database.connection.transaction():
        database.run("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits, protocol, dst_port, ttl, src)"
                     " SELECT %s::timestamptz + make_interval(secs => row_number() OVER ()), 1, 1, 1, 0, p, d, 60, s::inet FROM"
                     " unnest(ARRAY[6, 17, 47, NULL]) p, unnest(ARRAY[0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 65535, NULL]) d,"
                     " unnest(ARRAY['255.255.255.255', '0.0.0.0', '2001:db8::1', 'ffff::', NULL]) s", f"{DAY} 12:00Z")
        database.run("INSERT INTO hirundo.dirty_mark VALUES (1, %s, 1, 1, 240, %s, %s)", *[f"{DAY} 12:{m}Z" for m in ("00", "00", "04")])
    assert step_of_all(database) == {1: (1, 240, 0, 0)}
    rollups.compare(database.connection)
    ordered = database.run("SELECT dst_port FROM (SELECT DISTINCT dst_port FROM hirundo.observation) o"
                           " ORDER BY hirundo.rollup_service_order(1, 6::smallint, dst_port)").fetchall()
    assert [port for (port,) in ordered] == sorted((port for (port,) in ordered), key=lambda port: f"{'TCP' if port is None else port}/")
