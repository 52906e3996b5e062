"""From capture to committed rows, against what COPY BINARY alone reaches on this machine in the same run.

Both ends and PostgreSQL share the machine, fsync is on. The rival is a client that sends ready-made
COPY BINARY bytes into the same partitioned table, with the same writes to the ingest tables, in
transactions of 5,000 rows: it reads no capture, parses, folds, compresses, spools, encrypts nothing."""
import os
import shutil
import statistics
import subprocess
import time

import psycopg
import pytest

from harness import packets
from harness.paths import program

ADDRESS = "203.0.113.7"
PACKETS = int(os.environ.get("HIRUNDO_BENCH_PACKETS", 2_000_000))
PAIRS = int(os.environ.get("HIRUNDO_BENCH_PAIRS", 5))
LIMIT = 0.6
BATCH = 5000

COLUMNS = ("observed_at, last_at, tcp_seq, tcp_ack, src_asn, sensor_id, target, src_port, dst_port, ip_length, ip_id,"
           " tcp_window, tcp_mss, payload_length, packets, traits, protocol, icmp_type, icmp_code, ttl, ip_flags,"
           " tcp_flags, tcp_header_length, src_region, src")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A SYN scan in which nothing folds: every packet is a row."""
    file = tmp_path_factory.mktemp("bench") / "scan.pcap"
    return packets.write_pcap(file, packets.syn_scan(1, ADDRESS, PACKETS, rate=20000.0))


def empty(installation) -> None:
    for attempt in range(5):
        try:  # the collector's rollup reads the same tables in another order
            installation.query("TRUNCATE hirundo.observation, hirundo.ingest_batch, hirundo.ingest_batch_day,"
                               " hirundo.dirty_mark, hirundo.ingest_state, hirundo.ingest_capture, hirundo.sensor_status")
            break
        except psycopg.errors.DeadlockDetected:
            if attempt == 4:
                raise
    installation.query("CHECKPOINT")


def end_to_end(installation, sensor, scan) -> float:
    empty(installation)
    shutil.rmtree(sensor.spool, ignore_errors=True)
    begin = time.monotonic()
    assert sensor.read(scan, timeout=600) == 0, sensor.last_log[-2000:]
    seconds = time.monotonic() - begin
    assert installation.query("SELECT count(*) FROM hirundo.observation")[0][0] == PACKETS
    return seconds


def copy_alone(installation, blob, day: str) -> float:
    empty(installation)
    run = subprocess.run([program("copy_alone"), installation.dsn("hirundo_ingest"), blob, str(PACKETS // BATCH),
                          str(BATCH), day], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert installation.query("SELECT count(*) FROM hirundo.observation")[0][0] == PACKETS
    return float(run.stdout)


@pytest.mark.timeout(1800)
def test_end_to_end_against_copy_alone(private_installation, scan, tmp_path):
    installation = private_installation
    collector = installation.collector()
    enrolled = installation.enroll("jp1", addresses=(ADDRESS,))
    sensor = installation.sensor(enrolled, collector.address)
    end_to_end(installation, sensor, scan)  # warm: partitions, caches
    with installation.connect() as connection, connection.cursor().copy(
            f"COPY (SELECT {COLUMNS} FROM hirundo.observation LIMIT {BATCH}) TO STDOUT (FORMAT binary)") as copy:
        (tmp_path / "rows").write_bytes(b"".join(bytes(part) for part in copy))
    day = installation.query("SELECT (observed_at AT TIME ZONE 'UTC')::date::text FROM hirundo.observation LIMIT 1")[0][0]
    pairs = []
    for turn in range(PAIRS):
        pair = {}
        for which in ("copy", "hirundo") if turn % 2 else ("hirundo", "copy"):
            pair[which] = (copy_alone(installation, tmp_path / "rows", day) if which == "copy"
                           else end_to_end(installation, sensor, scan))
        pairs.append(pair["copy"] / pair["hirundo"])
        print(f"pair {turn + 1}: hirundo {PACKETS / pair['hirundo']:,.0f} rows/s,"
              f" COPY alone {PACKETS / pair['copy']:,.0f} rows/s, ratio {pairs[-1]:.2f}")
    ratio = statistics.median(pairs)
    print(f"end to end against COPY alone: median {ratio:.2f} of {PAIRS} pairs (limit {LIMIT}, aim 0.9),"
          f" {int(sensor.summary()['bytes']) / PACKETS:.2f} bytes a row on the wire")
    assert ratio >= LIMIT
