"""What STATUS says of the time that was listened to, where a capture is the source."""
import datetime
import signal
import struct
import time

from harness import packets

ADDRESS = "203.0.113.7"
UTC = datetime.timezone.utc


def read(installation, file, *more, **options):
    enrolled = installation.enroll("jp1", addresses=(ADDRESS,))
    sensor = installation.sensor(enrolled, installation.collector().address, **options)
    assert sensor.read(file, *more) == 0, sensor.log
    installation.admin.verify()
    return installation.query("SELECT covered_from, covered_to FROM hirundo.sensor_status WHERE covered_to IS NOT NULL")


def test_a_capture_covers_its_packets(installation, tmp_path):
    sent = packets.background(1, [ADDRESS], 300)
    covered = read(installation, packets.write_pcap(tmp_path / "c.pcap", sent))
    first, last = min(at for at, _ in sent), max(at for at, _ in sent)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=UTC)
    assert covered == [(epoch + datetime.timedelta(microseconds=first),
                        epoch + datetime.timedelta(microseconds=last + 1))]
    # The mark that the file is complete comes behind it: a crash in between cannot take it away.
    complete, told, final = installation.query("""
        SELECT (SELECT max(seq) FROM hirundo.ingest_batch WHERE kind = 1),
            (SELECT seq FROM hirundo.sensor_status WHERE covered_to IS NOT NULL),
            (SELECT seq FROM hirundo.sensor_status WHERE final)""")[0]
    assert told < complete < final


def test_stated_coverage(installation, tmp_path):
    file = packets.write_pcap(tmp_path / "c.pcap", packets.background(1, [ADDRESS], 300))
    covered = read(installation, file, "--cover", "2024-06-01T00:00:00Z/2024-06-02T12:00:00Z")
    assert covered == [(datetime.datetime(2024, 6, 1, tzinfo=UTC), datetime.datetime(2024, 6, 2, 12, tzinfo=UTC))]


def test_an_empty_capture_covers_nothing(installation, tmp_path):
    assert read(installation, packets.write_pcap(tmp_path / "c.pcap", [])) == []


def pcapng(data: bytes, seconds: list[int]) -> bytes:
    """Times in whole seconds, 64 bits of them (if_tsresol 0)."""
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)
    option = struct.pack("<HHB3xHH", 9, 1, 0, 0, 0)
    return b"".join([
        block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)),
        block(1, struct.pack("<HHI", 101, 0, 262144) + option),
        *(block(6, struct.pack("<IIIII", 0, at >> 32, at & 0xffffffff, len(data), len(data)) + data)
          for at in seconds)])


def test_times_beyond_all_calendars(installation, tmp_path):
    """2^58 seconds are a multiple of 2^64 microseconds: not to be taken for 2023."""
    (_, data), = packets.background(1, [ADDRESS], 1)
    file = tmp_path / "c.pcapng"
    file.write_bytes(pcapng(data, [1_700_000_000, 2**58 + 1_700_000_001, 1_700_000_005]))
    covered = read(installation, file)
    assert [(to - since).total_seconds() for since, to in covered] == [5.000001]
    assert installation.query("SELECT captured, sealed, ignored_by FROM hirundo.sensor_status WHERE final") == [
        (3, 2, {"bad_time": 1})]


def test_a_packet_without_a_time(installation, tmp_path):
    (_, data), = packets.background(1, [ADDRESS], 1)
    file = tmp_path / "c.pcapng"
    simple = struct.pack("<III", 3, 16 + len(data) + -len(data) % 4, len(data)) + data + b"\0" * (-len(data) % 4)
    file.write_bytes(pcapng(data, [1_700_000_000]) + simple + simple[4:8])
    covered = read(installation, file)
    assert [since.year for since, _ in covered] == [2023]
    assert installation.query("SELECT captured, sealed, ignored_by FROM hirundo.sensor_status WHERE final") == [
        (2, 1, {"bad_time": 1})]


def test_the_books_of_a_long_read(installation, tmp_path):
    """While the collector does not follow, --read waits; its books go on."""
    file = packets.write_pcap(tmp_path / "c.pcap", packets.syn_scan(3, ADDRESS, 200_000))
    collector = installation.collector()
    enrolled = installation.enroll("jp1", addresses=(ADDRESS,))
    sensor = installation.sensor(enrolled, collector.address, spool_max="512KiB", status_interval="1s")
    sensor.start("--read", file).wait_log("state=connected")
    collector.signal(signal.SIGSTOP)
    time.sleep(2.5)
    collector.signal(signal.SIGCONT)
    assert sensor.wait() == 0, sensor.log
    installation.check(enrolled, file)
    at = [row[0] for row in installation.query("SELECT at FROM hirundo.sensor_status ORDER BY seq")]
    assert len(at) >= 4 and at[1] - at[0] < datetime.timedelta(seconds=1.5)
