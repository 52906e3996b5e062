"""How fresh the rollups stay at 20,000 observations a second: scans of ten sensors from many sources, most packets from
few of them (Zipf), written as ingest writes them, while a collector rolls them up. Everything shares the machine.

Promised are 60 s on two cores. On a machine that does other things, too, the lag tells little; what the rollup takes of a
core is told apart from it."""
import bisect
import datetime
import itertools
import os
import pathlib
import random
import statistics
import threading
import time

import pytest

RATE = int(os.environ.get("HIRUNDO_BENCH_RATE", 20000))
SECONDS = int(os.environ.get("HIRUNDO_BENCH_SECONDS", 45))
# Promised: 60 s, at 20,000 rows/s on half a core. What fails is three times worse.
LAG, CORE = 60 * 3, 40000 / 3
SENSORS, SOURCES = 10, 300_000
UTC = datetime.timezone.utc
COLUMNS = ("observed_at, sensor_id, target, src, src_port, dst_port, ip_length, ip_id, tcp_seq, tcp_window,"
           " tcp_header_length, tcp_mss, tcp_flags, ttl, protocol, ip_flags, traits, packets, src_region, src_asn")


SIZES = ("SELECT (SELECT count(*) FROM hirundo.ttl_day) || ' rows of ttl_day, ' || (SELECT count(*) FROM hirundo.source_day)"
         " || ' of source_day, ' || (SELECT count(DISTINCT src) FROM hirundo.source_day) || ' sources'")
WRITTEN = ("SELECT (pg_current_wal_insert_lsn() - %s) / 1e6, (SELECT sum(pg_total_relation_size(relid)) / 1e6 FROM"
           " unnest(ARRAY['ttl_day', 'source_day', 'service_day']) t, pg_partition_tree(('hirundo.' || t)::regclass))")


class Scans:
    """Sources with a tool each: one port, some few ports, or all of them; the hops to a sensor are a source's own."""

    def __init__(self, seed: int):
        self.random = rnd = random.Random(seed)
        self.weights = list(itertools.accumulate(1 / (20 + rank) for rank in range(SOURCES)))
        self.tools = []
        for _ in range(SOURCES):
            ports = rnd.choice([[23], [23], [445], [22], [80, 443, 8080], [3389], [5555], [6379, 2375, 8545],
                                range(1, 1025), range(1, 65536)])
            self.tools.append((f"{rnd.randrange(1, 224)}.{rnd.randrange(256)}.{rnd.randrange(256)}.{rnd.randrange(256)}",
                               ports, rnd.choice([1024, 14600, 64240, 65535]), rnd.choice([64, 64, 128, 255]) - rnd.randrange(6, 25),
                               rnd.choice(["JP", "CN", "US", "BR", "RU"]), rnd.randrange(1, 70000)))

    def rows(self, sensor: int, begin: datetime.datetime, seconds: float, n: int) -> bytes:
        rnd, lines = self.random, []
        for i in range(n):
            src, ports, window, ttl, region, asn = self.tools[
                bisect.bisect(self.weights, rnd.random() * self.weights[-1])]
            noise = rnd.getrandbits(48)
            lines.append(f"{begin + datetime.timedelta(seconds=seconds * i / n)}\t{sensor}\t1\t{src}\t{noise & 65535}\t"
                         f"{ports[noise % len(ports)]}\t44\t{noise >> 32}\t{noise & 0xffffffff}\t{window}\t24\t1460\t2\t"
                         f"{ttl - sensor % 4}\t6\t2\t0\t1\t{region}\t{asn}\n")
        return "".join(lines).encode()


def prepare(owner) -> None:
    """Address data of the size of the registries', and sensors."""
    owner("INSERT INTO hirundo.address_range (lo, hi, asn, region, holder) SELECT inet '1.0.0.0' + i * 16384::bigint,"
          " inet '1.0.0.0' + i * 16384::bigint + 16383, 64500, 'JP', 'AS64500' FROM generate_series(0, 228000) i")
    owner("INSERT INTO hirundo.enrichment_dataset (dataset_id, kind, name, source_date, checksum, ranges, with_region,"
          " with_asn, address_ranges, forced) VALUES (1, 'rir', 'x', current_date, '', 1, 1, 0, 1, false)")
    owner("ANALYZE hirundo.address_range")
    for sensor in range(1, SENSORS + 1):
        owner("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (%s, %s, %s, 'JP', 'x')",
              (sensor, f"s{sensor}", f"u{sensor}"))
    owner("SELECT hirundo.ensure_day((now() AT TIME ZONE 'UTC')::date + d, NULL) FROM generate_series(-1, 1) d")


def write(connection, batch) -> None:
    """A record, as ingest commits it: rows, books, mark."""
    sensor, seq, begin, seconds, blob, n = batch
    end = begin + datetime.timedelta(seconds=seconds)
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(f"COPY hirundo.observation ({COLUMNS}) FROM STDIN") as copy:
            copy.write(blob)
        cursor.execute("INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets,"
                       " stored, quarantined, rejected, lost, received_at, rows, stored_rows, samples, fold_early, bytes,"
                       " dataset_id, kind) VALUES (%s, 1, %s, %s, 0, 0, %s, %s, 0, 0, 0, clock_timestamp(), %s, %s, 0, 0, 0, 1, 1)",
                       (sensor, seq, seq, n, n, n, n))
        cursor.execute("INSERT INTO hirundo.dirty_mark SELECT %s, b, 1, %s, %s, greatest(b, %s), least(b + interval '15 min', %s)"
                       " FROM (SELECT date_bin('15 min', %s, 'epoch')) x (b)", (sensor, seq, n, begin, end, begin))


def cpu_seconds(pid: int) -> float:
    """Of a process until now."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.timeout(1200)
def test_freshness(private_installation):
    installation = private_installation
    scans = Scans(1)
    with installation.connect() as c:
        prepare(c.execute)
    # A record of a quarter second from each of four sensors in turn, made before, because making them is not what is
    # measured.
    n, batches = RATE // 4, []
    begin = time.monotonic()
    scans.rows(1, datetime.datetime.now(UTC), 0.25, n)
    each = time.monotonic() - begin
    start = datetime.datetime.now(UTC) + datetime.timedelta(seconds=10 + 2 * each * SECONDS * 4)
    for i in range(SECONDS * 4):
        begin = start + datetime.timedelta(seconds=i / 4)
        batches.append((i % SENSORS + 1, i // SENSORS + 1, begin, 0.25, scans.rows(i % SENSORS + 1, begin, 0.25, n), n))
    shift = datetime.datetime.now(UTC) - start
    if shift > datetime.timedelta(seconds=-1):
        pytest.fail(f"this machine made the rows {shift} too late")
    collector = installation.collector()
    time.sleep(max(0, (start - datetime.datetime.now(UTC)).total_seconds()))
    late = [0.0]

    def feed() -> None:
        with installation.connect() as c:
            for batch in batches:
                due = (batch[2] - datetime.datetime.now(UTC)).total_seconds() + 0.25
                time.sleep(max(0, due))
                late[0] = max(late[0], -due)
                write(c, batch)

    feeder = threading.Thread(target=feed)
    (wal,), = installation.query("SELECT pg_current_wal_insert_lsn()")
    begin = time.monotonic()
    feeder.start()
    lags = []
    lag = ("SELECT coalesce(extract(epoch FROM clock_timestamp() - min(b.received_at)), 0)::float8, coalesce(sum(m.rows), 0)"
           " FROM hirundo.dirty_mark m JOIN hirundo.ingest_batch b USING (sensor_id, epoch, seq)")
    while feeder.is_alive():
        time.sleep(2.5)
        lags.append(installation.query(lag)[0])
        print(f"{time.monotonic() - begin:5.1f} s: oldest mark {lags[-1][0]:5.1f} s, {lags[-1][1]:,} rows wait", flush=True)
    feeder.join()
    fed = time.monotonic() - begin
    age, waiting = installation.query(lag)[0]
    installation.wait_query("SELECT count(*) FROM hirundo.dirty_mark", 0, timeout=600)
    drained = time.monotonic() - begin
    total = RATE * SECONDS
    # The one of the collector's connections that rolls up, whatever it does just now.
    (backend,), = installation.query("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~"
                                     " 'hirundo.rollup[(]|dirty_mark m LEFT JOIN|drop_rollup_months'"
                                     " AND datname = current_database()")
    core = total / cpu_seconds(backend)
    ages = sorted(lag[0] for lag in lags)
    megabytes, rollups_size = installation.query(WRITTEN, (wal,))[0]
    print(f"{total:,} rows in {fed:.1f} s (at most {late[0]:.1f} s late); {(total - waiting) / fed:,.0f} rows/s rolled up while"
          f" they came; then the oldest mark was {age:.1f} s old, {waiting:,} rows waited, and {drained - fed:.1f} s more took"
          f" the rest. Oldest mark: {statistics.median(ages):.1f} s in the median, {ages[-1]:.1f} s at most. {core:,.0f} rows"
          f" in a second of a core. {megabytes:,.0f} MB of WAL, with what ingest wrote; rollups of {rollups_size:,.0f} MB:"
          f" {installation.query(SIZES)[0][0]}")
    assert installation.query("SELECT sum(packets) FROM hirundo.service_day")[0][0] == total
    assert installation.query("SELECT sum(packets) FROM hirundo.source_day")[0][0] == total
    assert core >= CORE
    assert ages[-1] <= LAG
