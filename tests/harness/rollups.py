"""Rollups counted again, here, from raw rows and books: nothing of the collector's SQL is used."""
import collections
import datetime
import time
import zoneinfo

import psycopg

UTC = datetime.timezone.utc
BUCKET = datetime.timedelta(minutes=15)
RESPONSE = sum(1 << bit for bit in (10, 11, 12, 13, 14))
WINDOWS = {0: 0, 512: 1, 1024: 2, 64240: 3, 65535: 4, None: 7}
STEP = ("BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE ONLY hirundo.observation IN ROW EXCLUSIVE MODE",
        "SELECT marks, rows, recounted, unresolved FROM hirundo.rollup(ARRAY[%s], %s)", "COMMIT")


def step(connection, sensor_id: int, rows: int = 250000) -> tuple | None:
    """One step, as the collector takes it."""
    connection.execute(STEP[0])
    done = connection.execute(STEP[1], (sensor_id, rows)).fetchone()
    connection.execute(STEP[2])
    return done


def catch_up(connection, rows: int = 250000) -> list[tuple]:
    """Steps until no mark is left, be it that a collector takes some; connection: autocommit."""
    done = []
    while waiting := connection.execute("SELECT DISTINCT sensor_id FROM hirundo.dirty_mark").fetchall():
        for (sensor_id,) in waiting:
            try:
                done.append(step(connection, sensor_id, rows))
            except psycopg.errors.SerializationFailure:
                connection.execute("ROLLBACK")
            if done[-1:] == [None]:  # the collector is at it
                done.pop()
                time.sleep(0.05)
    return done


def signature(row) -> int:
    tcp, icmp, response = row.protocol == 6, row.protocol in (1, 58), bool(row.traits & RESPONSE)
    port = row.icmp_type if icmp else row.dst_port if row.protocol in (6, 17) and not response else None
    window = WINDOWS.get(row.tcp_window, 5) if tcp and not response else 7
    header = (row.tcp_header_length or 0) // 4 if tcp and not response else 0
    unknown = row.protocol in (6, 17) and row.dst_port is None and not response
    return ((port or 0) + window * 2**16 + header * 2**20 + (row.tcp_flags or 0) * 2**24
            + (255 if row.protocol is None else row.protocol) * 2**32 + response * 2**40 + unknown * 2**41)


def service(row) -> str:
    if row.protocol in (6, 17):
        name = {6: "TCP", 17: "UDP"}[row.protocol]
        return f"{name}/frag" if row.dst_port is None else f"{row.dst_port}/{name}"
    return {1: "ICMP", 58: "ICMPv6", 47: "GRE", 41: "IPv6", 50: "ESP", 132: "SCTP", 2: "IGMP",
            None: "unknown"}.get(row.protocol, f"protocol-{row.protocol}")


def ack_kind(row) -> str | None:
    flags = row.tcp_flags or 0
    if row.protocol != 6 or not flags & 0x10:
        return None
    return "rstack" if flags & 4 else "synack" if flags & 2 else "ack"


def initial_ttl(ttl: int | None) -> int | None:
    return None if ttl is None else 32 if ttl <= 26 else 64 if ttl <= 64 else 128 if ttl <= 128 else 255


def bucket_of(t: datetime.datetime) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(t.timestamp() // 900 * 900, UTC)


def greater(a, b):
    return max((x for x in (a, b) if x is not None), default=None)


ADD_UP = """
INSERT INTO hirundo.role_day (packets, sensor_id, day, role, ports)
    SELECT sum(packets), sensor_id, day, role, service ~ '^[0-9]+/' FROM hirundo.service_day GROUP BY 2, 3, 4, 5
    ON CONFLICT (sensor_id, day, role, ports) DO UPDATE SET packets = excluded.packets;
INSERT INTO hirundo.coverage_day (sensor_id, day, packets, lost, seconds)
    SELECT c.sensor_id, (c.bucket AT TIME ZONE z.value)::date, sum(c.packets), sum(c.lost), sum(c.seconds)
    FROM hirundo.coverage c JOIN hirundo.setting z ON z.name = 'reporting_zone' GROUP BY 1, 2
    ON CONFLICT (sensor_id, day) DO UPDATE
    SET packets = excluded.packets, lost = excluded.lost, seconds = excluded.seconds;
INSERT INTO hirundo.coverage_step (sensor_id, unit, day, packets, lost, seconds)
    SELECT sensor_id, unit, date_trunc(unit, day::timestamp)::date, sum(packets), sum(lost), sum(seconds)
    FROM hirundo.coverage_day CROSS JOIN unnest('{week,month}'::text[]) AS u (unit) GROUP BY 1, 2, 3
    ON CONFLICT (sensor_id, unit, day) DO UPDATE
    SET packets = excluded.packets, lost = excluded.lost, seconds = excluded.seconds;
"""


def add_up(connection) -> None:
    """For who writes service_day and coverage himself: what rollups keep beside them."""
    connection.execute(ADD_UP)


def expected(connection) -> tuple[dict, dict, dict, dict]:
    """ttl_day, source_day, service_day, coverage: key -> values."""
    zone = zoneinfo.ZoneInfo(connection.execute(
        "SELECT value FROM hirundo.setting WHERE name = 'reporting_zone'").fetchone()[0])
    ttls, sources = {}, {}
    services, packets, seconds = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    cursor = connection.cursor(row_factory=psycopg.rows.namedtuple_row)
    for row in cursor.execute("SELECT * FROM hirundo.observation"):
        packets[row.sensor_id, bucket_of(row.observed_at)] += row.packets
        day = row.observed_at.astimezone(zone).date()
        last = row.last_at or row.observed_at
        src = None if row.src is None else str(row.src)
        if src is not None and row.ttl is not None:
            key = (row.sensor_id, day, src, signature(row), row.ttl)
            old = ttls.get(key, (0, row.observed_at, last, None, None))
            ttls[key] = (old[0] + row.packets, min(old[1], row.observed_at), max(old[2], last),
                         greater(old[3], row.src_region), greater(old[4], row.src_asn))
        key = (row.sensor_id, day, service(row), src, row.traits, initial_ttl(row.ttl), ack_kind(row))
        old = sources.get(key, (0, row.observed_at, last, None, None))
        sources[key] = (old[0] + row.packets, min(old[1], row.observed_at), max(old[2], last),
                        greater(old[3], row.src_region), greater(old[4], row.src_asn))
        services[row.sensor_id, day, service(row), "response" if row.traits & RESPONSE else "probe"] += row.packets
    for sensor_id, begin, end in connection.execute(
            "SELECT sensor_id, covered_from, covered_to FROM hirundo.sensor_status"
            " WHERE covered_to - covered_from <= '400 days'"):
        at = bucket_of(begin)
        while at < end:
            seconds[sensor_id, at].append((max(at, begin), min(at + BUCKET, end)))
            at += BUCKET
    coverage = {}
    for key in {*packets, *seconds}:
        covered, until = 0.0, None
        for begin, end in sorted(seconds[key]):
            begin = begin if until is None else max(begin, until)
            if end > begin:
                covered, until = covered + (end - begin).total_seconds(), end
        if packets[key] or covered:
            coverage[key] = (packets[key], round(covered, 6))
    return ttls, sources, {key: (n,) for key, n in services.items()}, coverage


def found(connection) -> tuple[dict, dict, dict, dict]:
    return tuple({row[:keys]: row[keys:] for row in connection.execute(sql)} for keys, sql in (
        (5, "SELECT sensor_id, day, host(src), signature, ttl, packets, first_at, last_at, src_region, src_asn"
            " FROM hirundo.ttl_day"),
        (7, "SELECT sensor_id, day, service, host(src), traits, initial_ttl, ack_kind, packets, first_at, last_at,"
            " src_region, src_asn FROM hirundo.source_day"),
        (4, "SELECT sensor_id, day, service, role, packets FROM hirundo.service_day"),
        (2, "SELECT sensor_id, bucket, packets, round(seconds::numeric, 6)::float8 FROM hirundo.coverage"
            " WHERE packets > 0 OR seconds > 0")))


def compare(connection) -> None:
    """Fails with the first differences unless the rollups are what raw rows and books say, to the last packet."""
    for name, want, got in zip(("ttl_day", "source_day", "service_day", "coverage"),
                               expected(connection), found(connection)):
        wrong = sorted((key for key in {*want, *got} if want.get(key) != got.get(key)), key=str)
        assert not wrong, f"{name}: {len(wrong)} of {len(want)} rows differ: " + "; ".join(
            f"{key}: {got.get(key)}, should be {want.get(key)}" for key in wrong[:3])
    for table in ("role_day", "coverage_day", "coverage_step"):
        rows = f"SELECT to_jsonb(r) FROM hirundo.{table} r"
        got = {frozenset(about(row).items()) for (row,) in connection.execute(rows)}
        with connection.transaction(force_rollback=True):
            connection.execute(f"DELETE FROM hirundo.{table}")
            add_up(connection)
            want = {frozenset(about(row).items()) for (row,) in connection.execute(rows)}
        assert got == want, f"{table}: {sorted(map(sorted, got - want))[:3]}, should be {sorted(map(sorted, want - got))[:3]}"


def about(row: dict) -> dict:
    """Sums of fractions depend on their order in the last digits."""
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}
