#!/usr/bin/python3
"""Fills a new database with rollups as a large installation has them after two years: 30 sensors in ten regions,
5.4 million source-service rows a quarter.

    tests/bench/fill_rollups.py "dbname=hirundo_bench" --full 8

Nothing of it was received: rows are drawn by hashes, the same each time. Services follow Zipf's law; of the sources
of a sensor and day two fifths come each day and to every sensor, a quarter now and then, the rest once. Quarters
without full detail have a hundredth of the sources, and all services and coverage. The last quarter ends with 2025."""
import argparse
import datetime
import time
import zoneinfo

import psycopg

from harness.rollups import add_up

LAST_YEAR = 2025
QUARTERS = 8
SENSORS = 30
REGIONS = ("JP", "AU", "BN", "GH", "HK", "KR", "LK", "MA", "MY", "TW")
# Of each sensor on each day: sources in full detail, and in one of a hundred.
SOURCES = 5_400_000 // 90 // SENSORS
THIN = 100
# By rank: what is scanned most; the others are ports from a hash.
SERVICES = ("23/TCP 6379/TCP 22/TCP 445/TCP 80/TCP 8080/TCP ICMP 443/TCP 3389/TCP 5555/TCP 81/TCP 5060/UDP 2323/TCP 123/UDP"
            " 1433/TCP 8728/TCP 53/UDP GRE 37215/TCP 5900/TCP 8443/TCP 52869/TCP 161/UDP 1900/UDP 2375/TCP 8545/TCP 25/TCP"
            " 21/TCP 3306/TCP 4719/TCP").split()
# Octets that sources begin with, and so what registry, region and network they are of.
FIRST_OCTET, OCTETS = 20, 180

SENSOR_ROWS = """
INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)
SELECT n, 's' || n, 'urn:hirundo:sensor:s' || n, r.region, r.region || '-' || n
FROM generate_series(1, %(sensors)s) AS n
CROSS JOIN LATERAL (SELECT (%(regions)s::text[])[CASE WHEN n <= 6 THEN 1 ELSE 2 + n %% 9 END]) AS r (region);
"""
ADDRESS_ROWS = """
INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from)
SELECT s.sensor_id, set_masklen(inet '203.0.0.0' + s.sensor_id * 256, CASE WHEN s.sensor_id %% 10 = 0 THEN 28 ELSE 32 END),
    1, CASE WHEN s.sensor_id %% 10 = 0 THEN 16 ELSE 1 END, '2020-01-01Z'
FROM hirundo.sensor s;
"""
COVERAGE_ROWS = """
INSERT INTO hirundo.coverage (sensor_id, bucket, packets, lost, seconds)
SELECT s.sensor_id, b.at, 40 + (hashint8(s.sensor_id * 100000 + extract(epoch FROM b.at)::bigint / 900) & 63), 0, 900
FROM hirundo.sensor s
CROSS JOIN generate_series(%(first)s::timestamptz, %(last)s::timestamptz - interval '1 second', '15 minutes') AS b (at)
-- Each sensor was away for some days.
WHERE (extract(epoch FROM b.at)::bigint / 86400 + s.sensor_id * 37) %% 211 > 2
"""
# From inside out; OFFSET 0 keeps each step's expressions from being written into all those around it.
# i: number of the source among those of a sensor and day. kind: 0 comes daily, 1 now and then, 2 once.
SOURCE_ROWS = """
INSERT INTO hirundo.{partition} (first_at, last_at, packets, src_asn, organization_id, sensor_id, day, traits, initial_ttl,
    src, src_region, service, ack_kind)
SELECT t.at, t.at + t.h3 %% 3600 * interval '1 second',
    least(%(most)s, 1 + floor(0.4 / (1.0::float8 - (t.h2 %% 100000) / 100001.0::float8)))::bigint,
    t.network, (%(organizations)s::int[])[t.network], t.sensor_id, t.day, CASE WHEN t.response THEN CASE WHEN t.u %% 3 = 0 THEN 1 << 11 ELSE 1 << 10 END
    WHEN t.u %% 4 <> 0 AND t.service IN ('23/TCP', '2323/TCP', '37215/TCP') THEN (1 << 7) | (1 << 3)
    WHEN t.u %% 5 = 0 AND t.service LIKE '%%/TCP' THEN (1 << 3) | (1 << 5) ELSE 0 END,
    CASE t.u %% 8 WHEN 0 THEN 128 WHEN 1 THEN 255 ELSE 64 END, t.src, t.region, t.service,
    CASE WHEN t.response THEN CASE WHEN t.u %% 3 = 0 THEN 'rstack' ELSE 'synack' END END
FROM (
    SELECT z.*, inet '0.0.0.0' + (z.octet::bigint * 16777216 + z.low) AS src, z.octet * 4 + z.low / 4194304 AS network,
        (ARRAY['JP','CN','CN','US','US','KR','TW','VN','BR','IN','RU','DE','NL','SG','GB','FR','ID','TH',NULL])
            [1 + z.octet %% 19] AS region,
        z.midnight + z.h3 %% 82000 * interval '1 second' AS at,
        CASE WHEN z.response THEN 1024 + z.h3 %% 20 * 3000 || '/TCP'
            WHEN z.rank <= 30 THEN (%(services)s::text[])[z.rank]
            ELSE 1 + z.rank * 61 %% 65000 || CASE WHEN z.rank %% 6 = 0 THEN '/UDP' ELSE '/TCP' END END AS service
    FROM (
        SELECT h.*, %(octet)s + h.u %% %(octets)s AS octet, (h.source * 10368889 & 16777215)::int AS low,
            h.h2 / 7 %% 10 = 9 AND h.kind <> 0 AS response,
            floor(exp((h.u %% 99991) / 99991.0::float8 * ln(300.0::float8)))::int AS rank
        FROM (
            SELECT w.*, (hashint8(w.source) & 2147483647) AS u,
                hashint8(w.source * 1000003 + w.day_number) & 2147483647 AS h2,
                hashint8(w.source * 7919 + w.day_number * 100 + w.sensor_id) & 2147483647 AS h3
            FROM (
                SELECT k.*, CASE k.kind WHEN 0 THEN k.i::bigint
                    WHEN 1 THEN 1000000 + (k.i + k.day_number * 977 + k.sensor_id * 131) %% 120000
                    ELSE 2000000 + ((k.day_number * 31 + k.sensor_id) * %(sources)s + k.i) %% 14000000 END AS source
                FROM (
                    SELECT d.day::date AS day, %(midnight)s::timestamptz + (d.day - %(first)s::timestamp) AS midnight,
                        d.day::date - date '1970-01-01' AS day_number, s.sensor_id, i,
                        CASE WHEN i %% 20 < 8 THEN 0 WHEN i %% 20 < 13 THEN 1 ELSE 2 END AS kind
                    FROM generate_series(%(first)s::timestamp, %(last)s::timestamp - interval '1 day', '1 day') AS d (day)
                    CROSS JOIN hirundo.sensor s
                    CROSS JOIN generate_series(0, %(sources)s - 1) AS i OFFSET 0) k OFFSET 0) w OFFSET 0) h OFFSET 0) z
    OFFSET 0) t
"""
# Of full quarters; else as many services, each with what all their sources would have sent.
SERVICE_ROWS = """
INSERT INTO hirundo.{partition} (packets, sensor_id, day, service, role)
SELECT sum(c.packets), c.sensor_id, c.day, c.service, hirundo.role(c.traits) FROM hirundo.{sources} c GROUP BY 2, 3, 4, 5
"""
THIN_SERVICE_ROWS = """
INSERT INTO hirundo.{partition} (packets, sensor_id, day, service, role)
SELECT 1 + 4000 / rank, s.sensor_id, d.day::date,
    CASE WHEN rank <= 30 THEN (%(services)s::text[])[rank]
        ELSE 1 + rank * 61 %% 65000 || CASE WHEN rank %% 6 = 0 THEN '/UDP' ELSE '/TCP' END END, 'probe'
FROM generate_series(%(first)s::timestamp, %(last)s::timestamp - interval '1 day', '1 day') AS d (day)
CROSS JOIN hirundo.sensor s
CROSS JOIN generate_series(1, 300) AS rank
"""


def months(quarters: int) -> list[datetime.date]:
    """The first days of all months, and the one behind the last."""
    behind = LAST_YEAR * 12 + 12
    return [datetime.date(m // 12, m % 12 + 1, 1) for m in range(behind - 3 * quarters, behind + 1)]


def fill(connection, full: int, quarters: int = QUARTERS, part: int = 1, say=lambda *_: None) -> int:
    """@param full  of the last quarters, how many have full detail
    @param part  full detail has one of so many sources
    @return rows of source_day"""
    begin, rows = time.monotonic(), 0
    edges = months(quarters)
    connection.execute("SET jit = off")
    with connection.transaction():
        connection.execute(SENSOR_ROWS, {"sensors": SENSORS, "regions": list(REGIONS)})
        connection.execute(ADDRESS_ROWS.replace("%%", "%"))
        connection.execute(COVERAGE_ROWS, {"first": f"{edges[0]} 00:00Z", "last": f"{edges[-1]} 00:00Z"})
    say(f"coverage: {time.monotonic() - begin:.0f} s")
    for number, (first, last) in enumerate(zip(edges, edges[1:])):
        detailed = number >= len(edges) - 1 - 3 * full
        with connection.transaction():
            rows += fill_month(connection, first, last, SOURCES // part if detailed else SOURCES // THIN, detailed)
        say(f"{first:%Y-%m}: {rows:,} rows, {time.monotonic() - begin:.0f} s")
    with connection.transaction():
        add_up(connection)
    for table in ("sensor", "sensor_address", "coverage", "coverage_day", "coverage_step", "source_day", "service_day", "role_day", "ttl_day"):
        connection.execute(f"VACUUM (ANALYZE, PARALLEL 0) hirundo.{table}")
    say(f"analyzed: {time.monotonic() - begin:.0f} s")
    return rows


def values_of(first: datetime.date, last: datetime.date, sources: int, zone: str = "UTC", organizations=(),
              most: int = 1 << 31) -> dict:
    """What SOURCE_ROWS takes, for days from `first` until before `last`.
    @param sources  of each sensor and day
    @param zone  of reporting days
    @param most  packets of a row
    @param organizations  number of the organization by network, from 1; NULL: not known"""
    midnight = datetime.datetime.combine(first, datetime.time(), zoneinfo.ZoneInfo(zone))
    return {"first": first, "last": last, "midnight": midnight, "sources": sources, "services": SERVICES,
            "octet": FIRST_OCTET, "octets": OCTETS, "organizations": list(organizations), "most": most}


def fill_month(connection, first: datetime.date, last: datetime.date, sources: int, detailed: bool = True, **more) -> int:
    """A month, or its first days. Into tables that become partitions when they are full: their keys are built once.
    @return rows of source_day"""
    values = values_of(first, last, sources, **more)
    names = {table: f"{table}_{first:%Y%m}" for table in ("ttl_day", "source_day", "service_day")}
    for table, partition in names.items():
        connection.execute(f"CREATE TABLE hirundo.{partition} (LIKE hirundo.{table} INCLUDING CONSTRAINTS INCLUDING GENERATED)")
    rows = connection.execute(SOURCE_ROWS.format(partition=names["source_day"]), values).rowcount
    if detailed:
        connection.execute(SERVICE_ROWS.format(partition=names["service_day"], sources=names["source_day"]))
    else:
        connection.execute(THIN_SERVICE_ROWS.format(partition=names["service_day"]), values)
    behind = (first.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    for table, partition in names.items():
        connection.execute(f"ALTER TABLE hirundo.{table} ATTACH PARTITION hirundo.{partition}"
                           f" FOR VALUES FROM ('{first:%Y-%m}-01') TO ('{behind}')")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dsn", help="of a new database, as its owner")
    parser.add_argument("--quarters", type=int, default=QUARTERS)
    parser.add_argument("--full", type=int, default=1, help="of the last ones, how many have full detail")
    options = parser.parse_args()
    with psycopg.connect(options.dsn, autocommit=True) as connection:
        fill(connection, options.full, options.quarters, say=print)


if __name__ == "__main__":
    main()
