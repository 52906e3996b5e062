"""From a capture to rows: the same packets, once."""
import re

import pytest
from scapy.all import IP, UDP

from harness.packets import background, write_pcap

ADDRESSES = ["203.0.113.7", "203.0.113.64/28"]
DESTINATIONS = ["203.0.113.7", "203.0.113.64", "203.0.113.70", "203.0.113.79"]


@pytest.fixture
def capture(tmp_path):
    # One packet in a hundred is for somebody else.
    packets = background(1, DESTINATIONS, 3960) + background(2, ["198.51.100.1"], 40)
    return write_pcap(tmp_path / "capture.pcap", sorted(packets))


def last_packet(capture) -> int:
    """Where the last packet begins, less the file's header."""
    data, at, before = capture.read_bytes()[24:], 0, 0
    while at < len(data):
        before, at = at, at + 16 + int.from_bytes(data[at + 8:at + 12], "little")
    return before


@pytest.mark.parametrize("fold", ["0s", "1s"])
def test_capture_becomes_rows(installation, capture, fold):
    enrolled = installation.enroll("jp1", "JP", ADDRESSES)
    collector = installation.collector()
    sensor = installation.sensor(enrolled, collector.address, fold=fold)
    assert sensor.read(capture) == 0, sensor.log
    installation.check(enrolled, capture, exact=fold == "0s")
    ((rows, packets),) = installation.query("SELECT count(*), sum(packets) FROM hirundo.observation")
    assert packets == 3960
    assert rows == 3960 if fold == "0s" else rows < 3960


def test_same_capture_again_delivers_nothing(installation, capture):
    enrolled = installation.enroll("jp1", "JP", ADDRESSES)
    collector = installation.collector()
    sensor = installation.sensor(enrolled, collector.address)
    for _ in range(2):
        assert sensor.read(capture) == 0, sensor.log
        installation.check(enrolled, capture)
    assert sensor.read(capture, "--again") == 0, sensor.log
    installation.check(enrolled, capture, capture)


def test_a_damaged_capture_is_never_complete(installation, capture, tmp_path):
    """What is in front of the damage is delivered, once; each reading ends in an error."""
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-7])
    enrolled = installation.enroll("jp1", "JP", ADDRESSES)
    collector = installation.collector()
    sensor = installation.sensor(enrolled, collector.address)
    for _ in range(2):
        assert sensor.read(cut) == 65 and "the packets before it are delivered" in sensor.last_log, sensor.log
        assert installation.query("SELECT complete, ordinal::int FROM hirundo.ingest_capture") == [(False, 3999)]
    whole = tmp_path / "whole.pcap"
    whole.write_bytes(capture.read_bytes()[:24 + last_packet(capture)])
    installation.check(enrolled, whole)


def test_a_torn_tail_is_told(installation, capture):
    enrolled = installation.enroll("jp1", "JP", ADDRESSES)
    collector = installation.collector()
    sensor = installation.sensor(enrolled, collector.address)
    for _ in range(2):  # room that was made and is not used is no tail
        assert sensor.read(capture) == 0 and "alert=spool" not in sensor.last_log, sensor.log
    newest = max(sensor.spool.rglob("*.seg"), key=lambda path: path.stat().st_mtime)
    with newest.open("ab") as f:
        f.write(b"HRDF" + b"x" * 96)
    assert sensor.read(capture) == 0
    assert re.search(r"alert=spool state=opened .* torn_bytes=[1-9]\d* records_lost=0", sensor.last_log), sensor.last_log
    installation.check(enrolled, capture)


def test_sensors_do_not_mix(installation, tmp_path):
    collector = installation.collector()
    sensors = []
    for number, region in enumerate(("JP", "LK", "GH")):
        address = f"203.0.113.{number + 1}"
        enrolled = installation.enroll(f"sensor-{number}", region, [address])
        capture = write_pcap(tmp_path / f"{number}.pcap", background(number, [address], 500))
        sensor = installation.sensor(enrolled, collector.address)
        sensors.append((enrolled, capture, sensor.start("--read", capture)))
    for enrolled, capture, sensor in sensors:
        assert sensor.wait() == 0, sensor.log
        installation.check(enrolled, capture)
    assert installation.query("SELECT count(DISTINCT (sensor_id, target)) FROM hirundo.observation") == [(3,)]


def test_samples_that_are_too_many(installation, tmp_path):
    """More new payloads in a second than a sensor masks: what is in no sample is counted."""
    enrolled = installation.enroll("jp1", "JP", ["203.0.113.7"])
    collector = installation.collector()
    datagrams = [bytes(IP(src="198.51.100.9", dst="203.0.113.7") / UDP(sport=7, dport=9) / f"content {i}".encode())
                 for i in range(6000)]
    capture = write_pcap(tmp_path / "new.pcap", list(enumerate(datagrams)))
    sensor = installation.sensor(enrolled, collector.address)
    assert sensor.read(capture) == 0, sensor.log
    ((sampled,),) = installation.query("SELECT sum(packets)::int FROM hirundo.payload_sample")
    ((dropped,),) = installation.query("SELECT samples_dropped::int FROM hirundo.sensor_status WHERE final")
    assert dropped > 1000 and sampled + dropped == 6000
