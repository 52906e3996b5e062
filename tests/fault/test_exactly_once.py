"""None lost, none twice: whatever is killed, cut, restored or copied, the rows in the end are the
packets of the captures, and the books balance. Real processes, a real PostgreSQL with fsync."""
import pathlib
import random
import shutil
import subprocess
import threading
import time

import pytest

from harness import packets
from harness.proxy import DOWN, UP, Fault, FaultProxy

ADDRESS = "203.0.113.7"
# Short waits: thousands of connections are cut here.
QUICK = {"retry_min": "1ms", "retry_max": "20ms", "fold": "0s"}


def capture(folder: pathlib.Path, seed: int, n: int = 30_000) -> pathlib.Path:
    return packets.write_pcap(folder / f"capture-{seed}.pcap", packets.background(seed, [ADDRESS], n))


def read_to_the_end(sensor, file) -> None:
    """A sensor may be refused while the other side starts; it tries again by itself."""
    assert sensor.read(file) == 0, sensor.last_log[-3000:]


class Chaos:
    """Something that breaks again and again while the work is done."""

    def __init__(self, seed: int, act, shortest: float, longest: float, most: int):
        self.random = random.Random(seed)
        self.act, self.shortest, self.longest, self.most = act, shortest, longest, most
        self.times = 0
        self.error: BaseException | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while self.times < self.most and not self._end.wait(
                    self.random.uniform(self.shortest, self.longest)):
                self.act(self.random)
                self.times += 1
        except BaseException as error:
            self.error = error

    def __enter__(self) -> "Chaos":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()
        if self.error:
            raise self.error


def test_undisturbed(private_installation, tmp_path):
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    file = capture(tmp_path, 1)
    sensor = private_installation.sensor(enrolled, collector.address, **QUICK)
    read_to_the_end(sensor, file)
    assert int(sensor.summary()["packets"]) == 30_000
    private_installation.check(enrolled, file, exact=True)
    assert sensor.read(file) == 0, "delivered already"
    private_installation.check(enrolled, file, exact=True)
    assert sensor.read(file, "--again") == 0
    private_installation.check(enrolled, file, file, exact=True)


def kill_sensor_loop(installation, tmp_path, kills: int, seed: int) -> None:
    collector = installation.collector()
    enrolled = installation.enroll("jp1")
    sensor = installation.sensor(enrolled, collector.address, **QUICK)
    chance = random.Random(seed)
    done, files = 0, []
    while done < kills:
        files.append(capture(tmp_path, seed + len(files), 20_000))
        while True:
            sensor.start("--read", files[-1])
            try:
                assert sensor.wait(chance.uniform(0.005, 0.2)) == 0, sensor.last_log[-3000:]
                break
            except Exception as stopped:
                if "timed out" not in str(stopped):
                    raise
                sensor.kill()
                done += 1
    installation.check(enrolled, *files, exact=True)


def test_sensor_killed(private_installation, tmp_path):
    kill_sensor_loop(private_installation, tmp_path, 25, 100)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_sensor_killed_200_times(private_installation, tmp_path):
    kill_sensor_loop(private_installation, tmp_path, 200, 1000)


def disturbed_collector(installation, tmp_path, act, seed: int, shortest=0.1, longest=0.4, files=12,
                        most=10):
    """Captures one after the other while `act` breaks things."""
    collector = installation.collector()
    enrolled = installation.enroll("jp1")
    sensor = installation.sensor(enrolled, collector.address, **QUICK)
    sent = []
    with Chaos(seed, lambda chance: act(collector, chance), shortest, longest, most) as chaos:
        while len(sent) < files or (chaos.times < 3 and not chaos.error and len(sent) < 100):
            sent.append(capture(tmp_path, seed + len(sent), 12_000))
            read_to_the_end(sensor, sent[-1])
    assert chaos.times >= 3, "too quick: nothing was broken"
    installation.check(enrolled, *sent, exact=True)


def test_collector_killed(private_installation, tmp_path):
    def act(collector, _chance):
        collector.kill()
        collector.start().ready()
    disturbed_collector(private_installation, tmp_path, act, 200)


def test_backend_killed(private_installation, tmp_path):
    server = private_installation.server

    def act(_collector, chance):
        backends = server.backends(private_installation.dbname)
        if backends:
            server.kill_backend(chance.choice(backends))
    disturbed_collector(private_installation, tmp_path, act, 300, 0.5, 1.0)


def test_postgres_stopped_at_once(private_installation, tmp_path):
    def act(_collector, _chance):
        private_installation.server.restart("immediate")
    disturbed_collector(private_installation, tmp_path, act, 400, 0.5, 1.0)


def test_cut_at_every_byte_up(private_installation, tmp_path):
    """A whole connection of a small batch, cut behind each byte that the sensor sends."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = []
    with FaultProxy(collector.address) as proxy:
        sensor = private_installation.sensor(enrolled, proxy.address, **QUICK)
        files.append(capture(tmp_path, 500, 40))
        read_to_the_end(sensor, files[0])
        whole = proxy.links[-1].up
        assert whole > 1000
        files.append(capture(tmp_path, 501, 40))
        proxy.fail(*[Fault("rst", after, UP) for after in range(1, whole + 1)])
        sensor.start("--read", files[1])
        assert sensor.wait(240) == 0, sensor.last_log[-3000:]
        assert len(proxy.links) > whole // 2
    private_installation.check(enrolled, *files, exact=True)


def test_cut_at_every_byte_of_the_answer(private_installation, tmp_path):
    """The ACK is cut behind each of its bytes: committed, but the sensor does not know."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 600 + i, 20) for i in range(121)]
    with FaultProxy(collector.address) as proxy:
        sensor = private_installation.sensor(enrolled, proxy.address, **QUICK)
        read_to_the_end(sensor, files[0])
        whole = proxy.links[-1].down
        for i, file in enumerate(files[1:]):
            proxy.fail(Fault("rst", whole - i, DOWN))
            read_to_the_end(sensor, file)
    private_installation.check(enrolled, *files, exact=True)


@pytest.mark.parametrize("action", ["close", "half_close"])
def test_bad_connections(private_installation, tmp_path, action):
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    file = capture(tmp_path, 700, 60_000)
    with FaultProxy(collector.address) as proxy:
        proxy.fail(*[Fault(action, after, direction) for after in (0, 100, 2500, 4000, 60_000, 300_000)
                     for direction in (UP, DOWN)])
        sensor = private_installation.sensor(enrolled, proxy.address, **QUICK)
        if action == "half_close":  # the side that hears nothing gives up after 45 s
            sensor.write(retry_max="5ms")
        read_to_the_end(sensor, file)
    private_installation.check(enrolled, file, exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("after,direction,seconds,cut", [
    (0, UP, 0.01, True),       # the handshake, after 10 s
    (2500, UP, 0.01, True),    # a frame, after 30 s and some for its size
    (2500, UP, 0.001, False),  # a slow line is none that is broken
    (2500, DOWN, 0.001, False),
])
def test_trickling_peer(private_installation, tmp_path, after, direction, seconds, cut):
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    file = capture(tmp_path, 700, 1_000)
    with FaultProxy(collector.address) as proxy:
        proxy.fail(Fault("trickle", after, direction, seconds))
        sensor = private_installation.sensor(enrolled, proxy.address, **QUICK)
        read_to_the_end(sensor, file)
        assert (len(proxy.links) > 1) == cut
    private_installation.check(enrolled, file, exact=True)


@pytest.mark.slow
def test_stalled_peer(private_installation, tmp_path):
    """Neither end waits for ever: 45 s of silence, and the sensor connects again."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    file = capture(tmp_path, 800, 60_000)
    with FaultProxy(collector.address) as proxy:
        proxy.fail(Fault("stall", 50_000, UP))
        sensor = private_installation.sensor(enrolled, proxy.address, **QUICK)
        begin = time.monotonic()
        read_to_the_end(sensor, file)
        assert 15 < time.monotonic() - begin < 75
    private_installation.check(enrolled, file, exact=True)


def test_two_processes_of_one_sensor(private_installation, tmp_path):
    """The same certificate from two hosts with spools of their own, at the same time."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 900 + i, 60_000) for i in range(2)]
    sensors = [private_installation.sensor(enrolled, collector.address, name=f"host{i}", **QUICK) for i in range(2)]
    for sensor, file in zip(sensors, files):
        sensor.start("--read", file)
    for sensor in sensors:
        assert sensor.wait(120) == 0, sensor.last_log[-3000:]
    private_installation.check(enrolled, *files, exact=True)


def test_spool_rolled_back(private_installation, tmp_path):
    """A virtual machine's snapshot: the spool goes back, and capturing goes on."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 1000 + i) for i in range(4)]
    sensor = private_installation.sensor(enrolled, collector.address, **QUICK)
    read_to_the_end(sensor, files[0])
    shutil.copytree(sensor.spool, tmp_path / "snapshot")
    read_to_the_end(sensor, files[1])
    shutil.rmtree(sensor.spool)
    shutil.copytree(tmp_path / "snapshot", sensor.spool)
    read_to_the_end(sensor, files[2])
    read_to_the_end(sensor, files[3])
    private_installation.check(enrolled, *files, exact=True)
    epochs = private_installation.query("SELECT count(DISTINCT epoch) FROM hirundo.ingest_batch")[0][0]
    assert epochs == 2


def test_spool_rolled_back_with_unsent_records(private_installation, tmp_path):
    """What was captured after the snapshot, before the collector could be reached, is not lost."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 1100 + i, 60_000) for i in range(3)]
    with FaultProxy(collector.address) as proxy:
        sensor = private_installation.sensor(enrolled, proxy.address, **QUICK)
        read_to_the_end(sensor, files[0])
        shutil.copytree(sensor.spool, tmp_path / "snapshot")
        read_to_the_end(sensor, files[1])
        shutil.rmtree(sensor.spool)
        shutil.copytree(tmp_path / "snapshot", sensor.spool)
        # Records are sealed under numbers that the collector has already, and the host dies.
        proxy.fail(Fault("stall", 1, UP))
        sensor.start("--read", files[2])
        time.sleep(0.3)
        sensor.kill()
        read_to_the_end(sensor, files[2])
    private_installation.check(enrolled, *files, exact=True)


def test_spool_cloned(private_installation, tmp_path):
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 1200 + i) for i in range(5)]
    first = private_installation.sensor(enrolled, collector.address, **QUICK)
    read_to_the_end(first, files[0])
    second = private_installation.sensor(enrolled, collector.address, name="clone", **QUICK)
    shutil.copytree(first.spool, second.spool)
    for turn in (1, 3):
        first.start("--read", files[turn])
        second.start("--read", files[turn + 1])
        assert first.wait(60) == 0, first.last_log[-3000:]
        assert second.wait(60) == 0, second.last_log[-3000:]
    private_installation.check(enrolled, *files, exact=True)


@pytest.mark.parametrize("again", [False, True])
def test_clones_deliver_one_capture(private_installation, tmp_path, again):
    """Two copies of spool and configuration, the same file at the same time: it is there once, and so it is
    where one of them is killed in the middle."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 1250 + i, 60_000) for i in range(3)]
    more = ["--again"] if again else []
    clones = [private_installation.sensor(enrolled, collector.address, name=f"host{i}", **QUICK) for i in range(2)]
    read_to_the_end(clones[0], files[0])
    shutil.copytree(clones[0].spool, clones[1].spool)
    # One begins alone and is cut off with records of it in its spool; another cuts its batches elsewhere.
    clones[1].write(fold="1ms", max_rows=1700)
    clones[0].start("--read", files[1], *more)
    time.sleep(0.05)
    clones[0].kill()
    for file in files[1:]:
        for clone in clones:
            clone.start("--read", file, *more)
        for clone in clones:
            assert clone.wait(120) == 0, clone.last_log[-3000:]
    check_once(private_installation, enrolled, *files)
    clones[0].start("--read", files[0], "--again")
    clones[1].start("--read", files[0], "--again")
    time.sleep(0.05)
    clones[0].kill()
    assert clones[1].wait(120) == 0, clones[1].last_log[-3000:]
    assert clones[0].read(files[0]) == 0, clones[0].last_log[-3000:]
    check_once(private_installation, enrolled, files[0], *files)


def check_once(installation, enrolled, *files) -> None:
    """As check(); and batches were refused for being another copy's only."""
    installation.check(enrolled, *files)
    refused = installation.query("SELECT DISTINCT reason, frame IS NULL FROM hirundo.ingest_reject")
    assert refused in ([], [("another stream delivers this capture", True)])


def test_database_restored(private_installation, tmp_path):
    """The database goes back to an earlier dump; the sensor sends again what it still keeps."""
    server, name = private_installation.server, private_installation.dbname
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 1300 + i) for i in range(4)]
    sensor = private_installation.sensor(enrolled, collector.address, **QUICK)
    read_to_the_end(sensor, files[0])
    read_to_the_end(sensor, files[1])
    server.dump(tmp_path / "dump", name)
    read_to_the_end(sensor, files[2])
    collector.stop()
    server.restore(tmp_path / "dump", name)
    collector.start().ready()
    read_to_the_end(sensor, files[3])
    private_installation.check(enrolled, *files, exact=True)


def test_database_restored_under_a_running_collector(private_installation, tmp_path):
    """As above, while a sensor is connected and the collector knows the later state."""
    server, name = private_installation.server, private_installation.dbname
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    files = [capture(tmp_path, 1400 + i) for i in range(3)]
    sensor = private_installation.sensor(enrolled, collector.address, **QUICK)
    read_to_the_end(sensor, files[0])
    server.dump(tmp_path / "dump", name)
    read_to_the_end(sensor, files[1])
    server.restore(tmp_path / "dump", name)
    read_to_the_end(sensor, files[2])
    private_installation.check(enrolled, *files, exact=True)


def test_database_restored_to_before_an_address(private_installation, tmp_path):
    """Records that carry the ordinals of an address come back to a database that never issued them."""
    server, name = private_installation.server, private_installation.dbname
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1", addresses=["203.0.113.1"])
    server.dump(tmp_path / "dump", name)
    sensor = private_installation.sensor(enrolled, collector.address, **QUICK)

    def deliver(seed: int, *addresses: str):
        sensor.write(addresses=list(addresses))
        file = packets.write_pcap(tmp_path / f"{seed}.pcap", packets.background(seed, [addresses[-1]], 100 * seed))
        assert sensor.read(file) == 0, sensor.last_log[-3000:]

    deliver(1, "203.0.113.1", "203.0.113.2")
    deliver(2, "203.0.113.1", "203.0.113.3")  # .2 is listened on no more; it had 2
    collector.stop()
    server.restore(tmp_path / "dump", name)
    collector.start().ready()
    deliver(3, "203.0.113.1", "203.0.113.4", "203.0.113.3")
    deliver(4, "203.0.113.1", "203.0.113.4")
    private_installation.admin.verify()
    assert private_installation.query(
        "SELECT target, sum(packets) FROM hirundo.observation GROUP BY 1 ORDER BY 1") == [
            (2, 100), (3, 200 + 300), (4, 400)]
    assert private_installation.query(
        "SELECT host(address), first_target FROM hirundo.sensor_address ORDER BY 2") == [
            ("203.0.113.1", 1), ("203.0.113.3", 3), ("203.0.113.4", 4)]
    # Another spool of this sensor took the number meanwhile: refused, and told why.
    (sensor.spool / "targets").write_text("203.0.113.9/32 4\nnext 5\n")
    sensor.write(addresses=["203.0.113.9"], retry_max="200ms")
    sensor.start("--read", packets.write_pcap(tmp_path / "9.pcap", packets.background(9, ["203.0.113.9"], 10)))
    end = time.monotonic() + 20
    while "the sensor has target numbers for it that are another" not in sensor.log:
        assert time.monotonic() < end, sensor.log
        time.sleep(0.05)
    sensor.kill()


def test_capture_through_a_tiny_spool(private_installation, tmp_path):
    """A capture can wait: through a spool of one megabyte nothing is lost at all."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    file = packets.write_pcap(tmp_path / "scan.pcap", packets.syn_scan(7, ADDRESS, 200_000))
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        sensor = private_installation.sensor(enrolled, collector.address, spool_dir=small / "spool", spool_min_free=0,
                                             **QUICK)
        read_to_the_end(sensor, file)
    finally:
        subprocess.run(["umount", "-l", small], check=True)
    private_installation.check(enrolled, file, exact=True)
    assert private_installation.query("SELECT reason, packets FROM hirundo.ingest_loss") == []


def records_in(spool: pathlib.Path) -> list[tuple[pathlib.Path, int, int]]:
    """(segment, offset, size) of every record, by the frame header alone."""
    found = []
    for segment in sorted(spool.glob("*/*.seg")):
        data, at = segment.read_bytes(), 0
        while data[at:at + 4] == b"HRDF":
            size = 64 + int.from_bytes(data[at + 8:at + 12], "big")
            found.append((segment, at, size))
            at += size
    return found


@pytest.mark.parametrize("where", ["header", "payload", "many"])
def test_corrupt_bytes_in_the_spool(private_installation, tmp_path, where):
    """Records that waited in the spool are damaged: a loss record counts them, exactly."""
    collector = private_installation.collector()
    enrolled = private_installation.enroll("jp1")
    file = capture(tmp_path, 1500, 60_000)
    with FaultProxy(collector.address) as proxy:
        sensor = private_installation.sensor(enrolled, proxy.address, **QUICK)
        proxy.fail(Fault("stall", 20_000, UP))  # WELCOME came, then the peer takes nothing more
        sensor.start("--read", file)
        end = time.monotonic() + 20
        while len(records_in(sensor.spool)) < 12:
            assert time.monotonic() < end, sensor.last_log[-3000:]
            time.sleep(0.05)
        sensor.kill()
        records = records_in(sensor.spool)
        hit = {"header": [3], "payload": [4], "many": [2, 3, 7]}[where]
        damaged = 0
        for i in hit:
            segment, at, size = records[i]
            damaged += int.from_bytes(segment.read_bytes()[at + 12:at + 16], "big")  # PROTOCOL.md: packets
            with open(segment, "r+b") as f:
                f.seek(at + (5 if where == "header" else size // 2))
                f.write(b"\xff\x00\xff")
        read_to_the_end(sensor, file)
    private_installation.check(enrolled, file, exact=True)
    lost = private_installation.query("SELECT count(*), sum(packets) FROM hirundo.ingest_loss")[0]
    assert lost[0] == (2 if where == "many" else 1)
    assert lost[1] == damaged > 0
    assert list(sensor.spool.glob("*/*.bad")), "the damaged bytes are kept for the owner"
