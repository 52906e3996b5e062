"""verify: books that balance pass; whatever is changed behind their back is found and named."""
import json
import re
import threading

import pytest

from harness.hirundo import Admin

DAYS = ("2026-01-01", "2026-01-02")


class Books:
    """Writes records as ingest does, as the role that does."""

    def __init__(self, connection):
        self.connection = connection
        self.state: dict[tuple, dict] = {}

    def run(self, sql: str, *parameters):
        return self.connection.execute(sql, parameters)

    def offer(self, sensor: int, epoch: int, packets: int) -> None:
        self.run("INSERT INTO hirundo.ingest_state AS s (sensor_id, epoch, offered_seq, offered_packets, offered_at)"
                 " VALUES (%s, %s, 99, %s, now()) ON CONFLICT (sensor_id, epoch) DO UPDATE"
                 " SET offered_packets = excluded.offered_packets", sensor, epoch, packets)

    def record(self, sensor: int, epoch: int, kind: int = 1, rows=(), quarantined: int = 0, not_kept: int = 0,
               rejected: int = 0, lost: int = 0, replaces: int = 1) -> int:
        """rows: (time, packets)... @return its number"""
        total = self.state.setdefault((sensor, epoch), {"seq": 0, "packets": 0})
        first, seq = total["seq"] + 1, total["seq"] + replaces
        stored = sum(packets for _, packets in rows)
        packets = stored + quarantined + rejected + lost
        total["seq"], total["packets"] = seq, total["packets"] + packets
        self.offer(sensor, epoch, total["packets"])
        self.run("UPDATE hirundo.ingest_state SET last_seq = %s, last_checksum = %s, packets_total = %s,"
                 " stored = stored + %s, quarantined = quarantined + %s, rejected = rejected + %s, lost = lost + %s"
                 " WHERE sensor_id = %s AND epoch = %s",
                 seq, seq * 11, total["packets"], stored, quarantined, rejected, lost, sensor, epoch)
        self.run("INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets,"
                 " stored, quarantined, not_kept, rejected, lost, received_at, rows, stored_rows, samples, fold_early,"
                 " bytes, kind) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now(), %s, %s, 0, 0, 100, %s)",
                 sensor, epoch, seq, first, seq * 11, total["packets"], packets, stored, quarantined, not_kept,
                 rejected, lost, len(rows), len(rows), kind)
        for day in sorted({time[:10] for time, _ in rows}):
            self.run("INSERT INTO hirundo.ingest_batch_day VALUES (%s, %s, %s, %s, %s, %s)", sensor, epoch, seq, day,
                     sum(time[:10] == day for time, _ in rows), sum(n for time, n in rows if time[:10] == day))
        for time, n in rows:
            self.run("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits)"
                     " VALUES (%s, %s, 1, %s, 0)", time + "Z", sensor, n)
        if quarantined - not_kept:
            self.run("INSERT INTO hirundo.observation_quarantine (sensor_id, epoch, seq, row_number, received_at, reason,"
                     " observed_at, target, packets, traits) VALUES (%s, %s, %s, 0, now(), 'future', now(), 1, %s, 0)",
                     sensor, epoch, seq, quarantined - not_kept)
        if rejected:
            self.run("INSERT INTO hirundo.ingest_reject (sensor_id, epoch, seq, packets, reason, bytes, received_at)"
                     " VALUES (%s, %s, %s, %s, 'malformed', 9, now())", sensor, epoch, seq, rejected)
        if kind == 3:
            self.run("INSERT INTO hirundo.ingest_loss (sensor_id, epoch, first_seq, seq, packets, reason, recorded_at)"
                     " VALUES (%s, %s, %s, %s, %s, 'spool_full', now())", sensor, epoch, first, seq, lost)
        return seq

    def status(self, sensor: int, epoch: int, run: int, captured: int, ignored: dict, sealed: int) -> None:
        seq = self.record(sensor, epoch, kind=2)
        self.run("INSERT INTO hirundo.sensor_status (sensor_id, epoch, seq, run, started_at, at, received_at, captured,"
                 " ignored, ignored_by, sealed, kernel_drops, interface_drops, truncated, fold_early, coarse, samples_dropped,"
                 " spool_bytes, spool_lost, unclean_start, final, from_capture, software)"
                 " VALUES (%s, %s, %s, %s, now(), now(), now(), %s, %s, %s, %s, 0, 0, 0, 0, 0, 0, 0, 0, false, false, false, 'x')",
                 sensor, epoch, seq, run, captured, sum(ignored.values()), json.dumps(ignored), sealed)


@pytest.fixture(scope="module")
def books(server, template):
    """A database whose books balance, with everything in it that has a place in them; to copy."""
    server.create("hirundo_books", template)
    for number in (1, 2):
        server.query("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                     " VALUES (%s, %s, %s, 'JP', 'x')", (number, f"s{number}", f"urn:hirundo:sensor:s{number}"),
                     "hirundo_books")
    with server.connect("hirundo_books", "hirundo_ingest") as connection:
        b = Books(connection)
        for day in (*DAYS, "2020-01-01"):
            b.run("SELECT hirundo.ensure_day(%s, 1)", day)
        b.status(1, 7, 70, 0, {}, 0)                                                   # 1
        b.record(1, 7, rows=[(f"{DAYS[0]} 10:00:00", 3), (f"{DAYS[0]} 10:00:01", 1)])  # 2
        b.record(1, 7, rows=[(f"{DAYS[0]} 23:59:59", 2), (f"{DAYS[1]} 00:00:00", 5)])  # 3
        b.record(1, 7, rows=[(f"{DAYS[1]} 01:00:00", 1)], quarantined=6, not_kept=2)   # 4
        b.status(1, 7, 70, 20, {"not_ours": 1, "no_ip": 1}, 18)                        # 5
        b.record(1, 7, rejected=8)                                                     # 6
        b.record(1, 7, kind=3, lost=40, replaces=5)                                    # 7 to 11
        b.record(1, 7, rows=[("2020-01-01 10:00:00", 9)])                              # 12
        b.status(1, 7, 70, 80, {"not_ours": 5}, 75)                                    # 13
        b.status(1, 7, 71, 4, {"not_ours": 4}, 0)                                      # 14, another run
        b.record(1, 8, rows=[(f"{DAYS[1]} 02:00:00", 11)])
        b.record(2, 9, rows=[(f"{DAYS[1]} 02:00:00", 13)])
        b.offer(2, 9, 20)  # 7 packets wait at the sensor
    # The day of long ago is dropped, and lives on as a frozen sum.
    server.query("UPDATE hirundo.ingest_batch SET received_at = now() - interval '300 days' WHERE seq = 12",
                 dbname="hirundo_books")
    assert server.query("SELECT hirundo.drop_day('2020-01-01')", dbname="hirundo_books") == [(True,)]
    yield "hirundo_books"
    server.drop("hirundo_books")


@pytest.fixture
def copy(server, books, tmp_path):
    """hirundo-admin for a copy of it."""
    server.create("hirundo_tampered", books)
    admin = Admin(tmp_path, server.dsn("hirundo_tampered"))
    admin.query = lambda sql: server.query(sql, dbname="hirundo_tampered")
    yield admin
    server.drop("hirundo_tampered")


def test_balanced(copy):
    out = copy.run("verify").stdout
    streams = {tuple(line.split()[:2]): line.split()[2:] for line in out.splitlines() if re.match(r"s\d ", line)}
    # records, sealed, stored, quarantined, rejected, lost, open
    assert streams == {("s1", "7"): ["10", "75", "21", "6", "8", "40", "0"], ("s1", "8"): ["1", "11", "11", "0", "0", "0", "0"],
                       ("s2", "9"): ["1", "20", "13", "0", "0", "0", "7"]}
    assert "balanced" in out and "DIFFERENCE" not in out and "NOT" not in out


def test_what_is_old_is_forgotten(copy, server):
    """The books balance with the same sums, and what is young stays."""
    before = copy.run("verify", "--json").stdout
    purge = "SELECT hirundo.purge_books()"
    assert copy.query(purge) == [(0,)]
    for table, days in ("observation_quarantine", 201), ("ingest_reject", 201), ("sensor_status", 401):
        copy.query(f"UPDATE hirundo.{table} SET received_at = now() - interval '{days} days' WHERE seq <= 6")
    copy.query("UPDATE hirundo.ingest_reject SET frame = 'x'")
    with server.connect("hirundo_tampered", "hirundo_ingest") as connection:
        assert connection.execute(purge).fetchall() == [(1 + 1 + 2,)]
        assert connection.execute(purge).fetchall() == [(0,)]
    assert copy.query("SELECT (SELECT count(*) FROM hirundo.observation_quarantine), kept FROM hirundo.ingest_reject") == [
        (0, False)]
    assert copy.query("SELECT seq FROM hirundo.sensor_status ORDER BY 1") == [(13,), (14,)]
    assert copy.run("verify", "--json").stdout == before


def test_json(copy):
    answer = json.loads(copy.run("verify", "--json").stdout)
    assert answer["balanced"] is True
    assert len(answer["streams"]) == 3
    for stream in answer["streams"]:
        assert stream["difference"] is None
        assert stream["sealed"] == sum(stream[k] for k in ("stored", "quarantined", "rejected", "lost", "open"))
    days = {(day["sensor"], day["day"]): (day["rows_found"], day["packets_found"]) for day in answer["days"]}
    assert days == {("s1", None): (7, 32), ("s1", DAYS[0]): (3, 6), ("s1", DAYS[1]): (3, 17), ("s2", None): (1, 13),
                    ("s2", DAYS[1]): (1, 13)}
    copy.query("DELETE FROM hirundo.observation WHERE sensor_id = 2")
    run = copy.run("verify", "--json", check=False)
    assert run.returncode == 1
    answer = json.loads(run.stdout)
    assert answer["balanced"] is False
    assert [(day["sensor"], day["day"]) for day in answer["days"] if day["difference"]] == [("s2", DAYS[1])]


FIRST = "WHERE ctid = (SELECT min(ctid) FROM hirundo.observation WHERE sensor_id = 1) AND sensor_id = 1"
STREAM = r"stream: sensor s1 epoch 7: "


@pytest.mark.parametrize("tampering,named", [
    # Rows.
    (f"DELETE FROM hirundo.observation_20260101 {FIRST}", rf"day: sensor s1 day {DAYS[0]}: rows: 3 booked, 2 found"),
    (f"UPDATE hirundo.observation_20260101 SET packets = packets + 1 {FIRST}",
     rf"day: sensor s1 day {DAYS[0]}: packets: 6 booked, 7 found"),
    ("INSERT INTO hirundo.observation SELECT * FROM hirundo.observation WHERE sensor_id = 2",
     rf"day: sensor s2 day {DAYS[1]}: rows: 1 booked, 2 found; packets: 13 booked, 26 found"),
    (f"UPDATE hirundo.observation SET observed_at = '{DAYS[1]} 00:00Z' WHERE observed_at < '{DAYS[1]} 00:00Z'",
     rf"day: sensor s1 day {DAYS[0]}: .*\n.*day: sensor s1 day {DAYS[1]}: "),
    ("UPDATE hirundo.observation SET sensor_id = 2 WHERE sensor_id = 1", rf"day: sensor s2 day {DAYS[0]}: "),
    ("TRUNCATE hirundo.observation", rf"day: sensor s2 day {DAYS[1]}: rows: 1 booked, 0 found"),
    (f"INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits)"
     f" VALUES ('{DAYS[0]} 12:00Z', 2, 1, 1, 0)", rf"day: sensor s2 day {DAYS[0]}: rows: 0 booked, 1 found"),
    # What a record put into a day.
    ("DELETE FROM hirundo.ingest_batch_day WHERE seq = 2", rf"day: sensor s1 day {DAYS[0]}: "),
    ("UPDATE hirundo.ingest_batch_day SET packets = packets - 1 WHERE sensor_id = 2", rf"day: sensor s2 day {DAYS[1]}: "),
    (f"DELETE FROM hirundo.ingest_batch_day WHERE sensor_id = 1 AND day = '{DAYS[1]}';"
     f" DELETE FROM hirundo.observation WHERE sensor_id = 1 AND observed_at >= '{DAYS[1]} 00:00Z'",
     r"day: sensor s1 day all: rows: 7 booked, 4 found; packets: 32 booked, 15 found"),
    # Frozen days.
    ("DELETE FROM hirundo.ingest_day_frozen", r"day: sensor s1 day all: "),
    ("UPDATE hirundo.ingest_day_frozen SET packets = packets + 1", r"day: sensor s1 day all: packets: 32 booked, 33 found"),
    ("UPDATE hirundo.ingest_day_frozen SET rows = 0", r"day: sensor s1 day all: rows: 7 booked, 6 found"),
    # Records.
    ("DELETE FROM hirundo.ingest_batch WHERE epoch = 7 AND seq = 2", STREAM + r".*a record is missing before record 3"),
    ("DELETE FROM hirundo.ingest_batch WHERE epoch = 7 AND seq = 1", STREAM + r"a record is missing before record 2"),
    ("DELETE FROM hirundo.ingest_batch WHERE epoch = 7 AND seq = 14", STREAM + r".*last record, 14, is not"),
    ("DELETE FROM hirundo.ingest_batch WHERE epoch = 8", r"stream: sensor s1 epoch 8: .*stored: 11 in the state, 0 in"),
    ("UPDATE hirundo.ingest_batch SET stored = stored + 1 WHERE epoch = 7 AND seq = 2", STREAM + r".*record 2 does not add"),
    ("UPDATE hirundo.ingest_batch SET packets = packets + 1 WHERE epoch = 7 AND seq = 2", STREAM + r"record 2 does not add"),
    ("UPDATE hirundo.ingest_batch SET packets_total = packets_total + 1 WHERE epoch = 7 AND seq = 3",
     STREAM + r".*record 3 does not add"),
    ("UPDATE hirundo.ingest_batch SET checksum = 5 WHERE epoch = 7 AND seq = 14", STREAM + r"record 14 is not the one"),
    ("UPDATE hirundo.ingest_batch SET first_seq = 8 WHERE epoch = 7 AND seq = 11", STREAM + r"a record is missing before"),
    ("UPDATE hirundo.ingest_batch SET stored = stored - 1, quarantined = quarantined + 1 WHERE epoch = 8",
     r"stream: sensor s1 epoch 8: stored: 11 in the state, 10 in the records; quarantined: "),
    ("INSERT INTO hirundo.ingest_batch SELECT (b).* FROM (SELECT b FROM hirundo.ingest_batch b WHERE epoch = 9) x"
     " ON CONFLICT DO NOTHING; UPDATE hirundo.ingest_batch SET epoch = 10 WHERE epoch = 9",
     r"stream: sensor s2 epoch 10: ingest_state has no such stream"),
    # The state.
    ("UPDATE hirundo.ingest_state SET stored = stored + 1 WHERE epoch = 7", STREAM + r"committed 75 packets, accounted for 76"),
    ("UPDATE hirundo.ingest_state SET lost = lost - 1, rejected = rejected + 1 WHERE epoch = 7",
     STREAM + r"rejected: 9 in the state, 8 in the records; lost: 39 in the state, 40 in the records"),
    ("UPDATE hirundo.ingest_state SET last_seq = 12 WHERE epoch = 7", STREAM + r"record 12 is not the one"),
    ("DELETE FROM hirundo.ingest_state WHERE epoch = 8", r"stream: sensor s1 epoch 8: ingest_state has no such stream"),
    # Tables apart.
    ("DELETE FROM hirundo.observation_quarantine", STREAM + r"record 4: 4 packets booked, 0 in observation_quarantine"),
    ("UPDATE hirundo.observation_quarantine SET packets = 5", STREAM + r"record 4: 4 packets booked, 5 in observation_q"),
    ("UPDATE hirundo.ingest_batch SET not_kept = 6 WHERE epoch = 7 AND seq = 4", STREAM + r"record 4: 0 packets booked, 4"),
    ("DELETE FROM hirundo.ingest_reject", STREAM + r"record 6: 8 packets booked, 0 in ingest_reject"),
    ("UPDATE hirundo.ingest_reject SET packets = 1", STREAM + r"record 6: 8 packets booked, 1 in ingest_reject"),
    ("DELETE FROM hirundo.ingest_loss", STREAM + r"record 11: 40 packets booked, 0 in ingest_loss"),
    ("UPDATE hirundo.ingest_loss SET packets = 41", STREAM + r"record 11: 40 packets booked, 41 in ingest_loss"),
    ("UPDATE hirundo.ingest_loss SET seq = 12", STREAM + r"record 11: "),
    # What sensors tell.
    ("UPDATE hirundo.sensor_status SET captured = captured + 1 WHERE seq = 5", STREAM + r"status 5: captured is not"),
    ("UPDATE hirundo.sensor_status SET ignored_by = '{}' WHERE seq = 5", STREAM + r"status 5: captured is not"),
    ("UPDATE hirundo.sensor_status SET sealed = sealed - 1, captured = captured - 1 WHERE seq = 13",
     STREAM + r"status 13: not as many packets sealed"),
])
def test_tampering_is_found(copy, tampering, named):
    copy.query(tampering)
    run = copy.run("verify", check=False)
    assert run.returncode == 1, run.stdout
    assert re.search(r"DIFFERENCE in " + named, run.stdout), run.stdout
    assert "NOT balanced" in run.stdout
    assert copy.run("verify", "--json", check=False).returncode == 1


def test_by_the_analyst(copy, server):
    copy.config.write_text(f'dsn = "{server.dsn("hirundo_tampered", "hirundo_analyst")}"\n')
    assert "balanced" in copy.run("verify").stdout
    copy.query("DELETE FROM hirundo.observation_quarantine")
    assert copy.run("verify", check=False).returncode == 1


def test_while_records_come_in(copy, server):
    """One snapshot: half of a transaction is never seen."""
    stop = threading.Event()
    written = []

    def write() -> None:
        with server.connect("hirundo_tampered", "hirundo_ingest", autocommit=False) as connection:
            b = Books(connection)
            while not stop.is_set():
                b.record(2, 77, rows=[(f"{DAYS[0]} 10:00:00", 2)])
                connection.commit()
                written.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(10):
            copy.run("verify")
    finally:
        stop.set()
        thread.join()
    assert len(written) > 10
