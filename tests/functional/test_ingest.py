"""What ingest commits, without a network: records of every kind, also such as no sensor of ours sends."""
import re
import subprocess
import time

import pytest

from harness.paths import program
from harness.process import SANITIZER

SENSOR = "jp1"
EPOCH = 4711


class Driver:
    """A stream of one sensor; started again it goes on where the database is."""

    def __init__(self, installation, plan: str, epoch: int = EPOCH, connections: int = 2, rows: int = 20000,
                 at: int | None = None):
        self.at = at or int(time.time() * 1e6) - 30_000_000
        self.argv = [str(word) for word in (program("ingest_driver"), installation.dsn("hirundo_ingest"), SENSOR, epoch,
                                            self.at, plan, connections, rows)]

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, status: int = 0, timeout: float = 60) -> str:
        run = subprocess.run(self.argv, capture_output=True, text=True, timeout=timeout)
        assert run.returncode == status and not SANITIZER.search(run.stderr), run.stdout[-2000:] + run.stderr[-4000:]
        return run.stdout + run.stderr


@pytest.fixture
def sensor(installation):
    installation.enroll(SENSOR)
    return installation


@pytest.fixture
def private(private_installation):
    private_installation.enroll(SENSOR)
    return private_installation


def totals(installation, epoch: int = EPOCH) -> dict:
    names = ("last_seq", "packets_total", "stored", "quarantined", "rejected", "lost")
    (row,) = installation.query(f"SELECT {', '.join(names)} FROM hirundo.ingest_state WHERE epoch = %s", (epoch,))
    return dict(zip(names, row))


def stored(installation) -> tuple[int, int, int]:
    """Rows, packets, and rows that differ: every row of a driver has a number of its own."""
    return installation.query("SELECT count(*), coalesce(sum(packets), 0), count(DISTINCT tcp_seq)"
                              " FROM hirundo.observation")[0]


def check(installation, rows: int, epoch: int = EPOCH) -> None:
    """The books balance, and each row is there once."""
    installation.admin.verify()
    n, packets, different = stored(installation)
    assert n == different == rows
    assert packets == totals(installation, epoch)["stored"]


def refuse_ttl_13(installation) -> None:
    installation.query("ALTER TABLE hirundo.observation ADD CONSTRAINT no_13 CHECK (ttl <> 13)")


def test_every_kind_of_record(sensor):
    refuse_ttl_13(sensor)
    Driver(sensor, "B100*20,S,F10,O7,B10,X5,R50,B10*3,G99,M5,L4,B7,S,C300@17000,C300@17001*3,R5,C1@17002").run()
    check(sensor, 20 * 100 + 10 + 30 + 7 + 4 * 300 + 1)
    assert sensor.query("SELECT seq, reason, count(*) FROM hirundo.observation_quarantine GROUP BY 1, 2 ORDER BY 1") \
        == [(22, "future", 10), (23, "too_old", 7)]
    rejects = sensor.query("SELECT seq, packets, reason, frame IS NULL FROM hirundo.ingest_reject ORDER BY seq")
    assert [seq for seq, *_ in rejects] == [26, 30, 31, 42]
    assert "no_13" in rejects[0][2] and rejects[1][1:] == (99, "batch: field is cut", False)
    assert rejects[2][2] == "packets_total does not grow by the packets of the rows"
    # 1,000 bytes are kept for each sensor (the driver's option), the last one is over it.
    assert [kept for *_, kept in rejects] == [False, False, False, True]
    assert sensor.query("SELECT first_seq, seq, packets, reason FROM hirundo.ingest_loss") == [(32, 35, 40, "spool_full")]
    assert sensor.query("SELECT count(*), sum(packets) FROM hirundo.payload_sample") == [(5, 5)]
    assert sensor.query("SELECT count(*), min(clock_offset_us) FROM hirundo.sensor_status") == [(2, 1234)]
    assert sensor.query("SELECT ordinal, complete FROM hirundo.ingest_capture") == [(totals(sensor)["packets_total"],
                                                                                    True)]
    assert totals(sensor)["last_seq"] == 43
    # A mark for each bucket that a record put rows into, telling of exactly these, one for each STATUS and LOSS,
    # and none besides.
    marks = sensor.query("SELECT seq, bucket, rows, first_at, last_at FROM hirundo.dirty_mark WHERE rows > 0 ORDER BY 1, 2")
    assert len(marks) > 20 and marks == sensor.query(
        "SELECT tcp_seq / 32768, date_bin('15min', observed_at, '2000-01-01Z'), count(*), min(observed_at),"
        " max(observed_at) FROM hirundo.observation GROUP BY 1, 2 ORDER BY 1, 2")
    assert sensor.query("SELECT seq, first_at, last_at FROM hirundo.dirty_mark WHERE rows = 0 ORDER BY 1") == sensor.query(
        "SELECT seq, coalesce(covered_from, at), coalesce(covered_to, at) FROM hirundo.sensor_status"
        " UNION ALL SELECT seq, coalesce(from_at, recorded_at), coalesce(to_at, recorded_at) FROM hirundo.ingest_loss"
        " ORDER BY 1")


def test_captures_only_where_allowed(installation):
    installation.enroll(SENSOR, capture=False)
    Driver(installation, "B5,C100@17000,B6").run()
    check(installation, 11)
    assert installation.query("SELECT seq, reason FROM hirundo.ingest_reject") == [(2, "capture not allowed")]
    assert installation.query("SELECT count(*) FROM hirundo.ingest_capture") == [(0,)]
    assert installation.query("SELECT count(*) FROM hirundo.partition_day WHERE day < '2020-01-01'") == [(0,)]


def test_days_of_captures_are_bounded(sensor):
    Driver(sensor, ",".join(f"C1@{16000 + i}" for i in range(405))).run()
    check(sensor, 400)
    assert sensor.query("SELECT reason, count(*) FROM hirundo.observation_quarantine GROUP BY 1") == [
        ("too_many_days", 5)]
    # Days that are there serve any number of records; live rows need no sensor's share.
    Driver(sensor, "C3@16000,B4", epoch=5).run()
    assert totals(sensor, 5)["quarantined"] == 0


def test_quarantine_is_bounded(sensor):
    (sensor_id,), = sensor.query("SELECT sensor_id FROM hirundo.sensor")
    sensor.query("INSERT INTO hirundo.observation_quarantine (sensor_id, epoch, seq, row_number, received_at, reason,"
                 " observed_at, target, packets, traits) SELECT %s, 1, 1, i, now(), 'future', now(), 0, 1, 0"
                 " FROM generate_series(1, 199990) AS i", (sensor_id,))
    Driver(sensor, "F20,B5").run()
    assert totals(sensor)["quarantined"] > 0 and totals(sensor)["rejected"] == 0
    assert sensor.query("SELECT count(*) FROM hirundo.observation_quarantine WHERE epoch = %s", (EPOCH,)) == [(10,)]
    (quarantined, not_kept), = sensor.query("SELECT quarantined, not_kept FROM hirundo.ingest_batch WHERE seq = 1")
    (kept,), = sensor.query("SELECT sum(packets) FROM hirundo.observation_quarantine WHERE epoch = %s", (EPOCH,))
    assert kept + not_kept == quarantined


def test_fork_is_noticed_and_stores_nothing(sensor):
    first = Driver(sensor, "B10*5")
    first.run()
    other = Driver(sensor, "B10*3,B11*4", at=first.at + 1)
    assert "conflict=forked" in other.run(status=3)
    check(sensor, 50)


def test_stream_that_the_database_has_further(sensor):
    """A driver that was told an older position: what is there already is acknowledged, the rest stored."""
    whole = Driver(sensor, "B10*40", rows=10)
    running = [whole.start(), whole.start()]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    check(sensor, 400)


def test_restored_database_gets_it_again(private, tmp_path):
    at = int(time.time() * 1e6) - 30_000_000
    Driver(private, "B50*20", at=at).run()
    private.server.dump(tmp_path / "dump")
    whole = Driver(private, "B50*20,B60*20", at=at)
    whole.run()
    private.server.restore(tmp_path / "dump")
    assert totals(private)["last_seq"] == 20
    whole.run()
    check(private, 20 * 50 + 20 * 60)


def test_database_falls_back_while_records_flow(private):
    """The state goes back under an open lane: a conflict, HELLO again, and everything is there once."""
    driver = Driver(private, "B50*400", rows=50).start()
    wait_for(private, 50)
    with private.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE hirundo.ingest_state, hirundo.observation")
        connection.execute("DELETE FROM hirundo.observation WHERE tcp_seq / 32768 > 30")
        for table in ("ingest_batch", "ingest_batch_day", "dirty_mark"):
            connection.execute(f"DELETE FROM hirundo.{table} WHERE seq > 30")
        connection.execute("UPDATE hirundo.ingest_state SET (last_seq, last_checksum, packets_total, stored) ="
                           " (SELECT 30, checksum, packets_total, packets_total FROM hirundo.ingest_batch WHERE seq = 30)")
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0 and "conflict=position" in out, out[-2000:] + err[-2000:]
    check(private, 400 * 50)


def wait_for(installation, seq: int) -> None:
    end = time.monotonic() + 60
    while (installation.query("SELECT max(last_seq) FROM hirundo.ingest_state")[0][0] or 0) < seq:
        assert time.monotonic() < end, f"record {seq} was not committed"
        time.sleep(0.01)


def test_day_is_dropped_under_the_cache(sensor):
    """Ingest believes that the day has partitions; it is made again, and no row is lost."""
    driver = Driver(sensor, "C200@17000*300", rows=200).start()
    wait_for(sensor, 20)
    with sensor.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE hirundo.observation IN ACCESS EXCLUSIVE MODE")
        ((gone,),) = connection.execute("SELECT count(*) FROM hirundo.observation").fetchall()
        connection.execute("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) SELECT sensor_id, day,"
                           " sum(rows), sum(packets) FROM hirundo.ingest_batch_day GROUP BY 1, 2")
        connection.execute("DELETE FROM hirundo.ingest_batch_day")
        connection.execute("DELETE FROM hirundo.partition_day WHERE day = '2016-07-18'")
        connection.execute("DROP TABLE hirundo.observation_20160718, hirundo.payload_sample_20160718")
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, out[-2000:] + err[-2000:]
    assert 0 < gone < 60_000
    assert stored(sensor)[0] == stored(sensor)[2] == 60_000 - gone
    sensor.admin.verify()


def test_killed_again_and_again(private):
    driver = Driver(private, "B500*150,S,B20*50,G5,L3,B500*100", rows=2000)
    for i in range(15):
        process = driver.start()
        time.sleep(0.05 + 0.02 * i)
        process.kill()
        process.communicate()
    driver.run(timeout=120)
    check(private, 250 * 500 + 50 * 20)


@pytest.mark.slow
def test_server_is_cut_again_and_again(private):
    """Backends ended by the administrator, a backend killed, PostgreSQL stopped at once and started."""
    driver = Driver(private, "B500*600,S,B20*50", rows=2000).start()
    server = private.server
    for i in range(6):
        wait_for(private, 40 + 60 * i)
        if i % 3 == 0:
            server.terminate_backends()
        elif i % 3 == 1:
            server.kill_backend(server.backends()[0])
        else:
            server.restart("immediate")
        end = time.monotonic() + 30
        while subprocess.run(["/usr/lib/postgresql/15/bin/pg_isready", "-q", "-h", server.sockets]).returncode:
            assert time.monotonic() < end
            time.sleep(0.05)
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, out[-2000:] + err[-4000:]
    assert int(re.search(r"reconnects=(\d+)", out)[1]) > 0
    check(private, 600 * 500 + 50 * 20)


@pytest.mark.slow
def test_lock_is_waited_for(sensor):
    """Someone holds the table for longer than a lock is waited for: tried again, once stored."""
    with sensor.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE hirundo.observation")
        driver = Driver(sensor, "B10*5").start()
        time.sleep(12)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 0 and "sqlstate=55P03" in err, out + err
    check(sensor, 50)


def test_a_connection_at_rest_does_not_turn_the_loop(installation):
    """An answer that is there before anybody looks, as on a busy machine, once left the loop spinning."""
    run = subprocess.run([program("pg_rest"), installation.dsn("hirundo_ingest")], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0 and not SANITIZER.search(run.stderr), run.stderr
    assert int(run.stdout) < 20
