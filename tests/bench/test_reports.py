"""How long reports take on the rollups of a large installation: 30 sensors in ten regions, 5.4 million source-service
rows a quarter (fill_rollups.py). Each call's median is printed beside its limit; it fails at three times that.

By itself it fills two quarters with a fifth of the sources, and four before them with few; limits of reports that
count hosts are a fifth, too, because they grow with the rows. HIRUNDO_BENCH_FULL_QUARTERS says how many of eight
quarters have all sources: 2 takes some ten minutes, 8 fill 43 million rows (15 GB, half an hour)."""
import os
import statistics
import time

import psycopg
import pytest
from psycopg import sql

from fill_rollups import QUARTERS, fill
from harness.hirundo import Admin
from harness.postgres import Postgres

FULL = int(os.environ.get("HIRUNDO_BENCH_FULL_QUARTERS", 0))
PART = 1 if FULL else 5
# Seconds. Fails at three times that: other machines, other work on it.
WITHOUT_HOSTS, WITH_HOSTS, SLACK = 0.2, 5.0 / PART, 3
STORED = 0.2
WHOLE_REPORT = 60.0 / PART
QUARTER = "[2025-10-01,2026-01-01)"

# (function, filter, more arguments, seconds)
CALLS = [
    ("top_services", {"grp": "domestic", "ports_only": True}, (5,), WITH_HOSTS),
    ("top_services", {}, (10, "hosts"), WITH_HOSTS),
    ("top_services", {"src_region": "JP"}, (), WITH_HOSTS),
    ("top_services", {"exclude": ["response", "bogon"]}, (), WITH_HOSTS),
    ("top_source_regions", {"grp": "domestic"}, (5,), WITH_HOSTS),
    ("top_source_regions", {}, (10, "hosts"), WITH_HOSTS),
    ("top_services_by_sensor", {}, (), WITHOUT_HOSTS),
    ("common_services", {}, (), WITHOUT_HOSTS),
    ("service_trend", {"grp": "domestic"}, (), WITH_HOSTS),
    ("service_trend", {"services": ["22/TCP", "5900/TCP"]}, ("day",), WITH_HOSTS),
    ("source_region_trend", {"grp": "domestic"}, (), WITH_HOSTS),
    ("packets_per_sensor_day", {}, ("month",), WITHOUT_HOSTS),
    ("packets_per_sensor_day", {"ports_only": True}, ("month",), WITHOUT_HOSTS),
    ("ack_packets", {"src_region": "JP"}, ("day",), WITH_HOSTS),
    ("ack_organizations", {"src_region": "JP"}, (), WITH_HOSTS),
    ("mirai_hosts", {"grp": "domestic"}, (), WITH_HOSTS),
    ("hosts_per_day", {"services": "23/TCP", "networks": ["60.0.0.0/9", "60.128.0.0/9", "61.0.0.0/8"]}, (), WITH_HOSTS),
    ("top_networks", {"services": "23/TCP"}, ("asn",), WITH_HOSTS),
    ("top_networks", {}, ("organization", 10, "hosts"), WITH_HOSTS),
    ("top_networks", {}, ("prefix", 10, "hosts"), WITH_HOSTS),
    ("top_networks", {"src_region": "JP"}, ("prefix", None), WITH_HOSTS),
    ("hosts_per_day", {}, (), WITH_HOSTS),
    ("activity_calendar", {"services": "22/TCP", "networks": "60.0.0.0/8"}, (10,), WITH_HOSTS),
    ("activity_calendar", {}, (10,), WITH_HOSTS),
    ("coverage", {}, ("day",), WITHOUT_HOSTS),
    ("notification", {"src_region": "JP"}, (100,), WITH_HOSTS),
    ("notification", {"networks": "60.1.0.0/16"}, (), WITH_HOSTS),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """hirundo-admin, and the owner's and the analyst's connection."""
    # Not delivered to, so nothing that a power cut could take.
    server = Postgres(settings={"wal_level": "minimal", "max_wal_senders": 0, "max_wal_size": "16GB", "work_mem": "64MB",
                                "shared_buffers": "512MB", "maintenance_work_mem": "256MB"})
    try:
        server.allow("hirundo_analyst")
        server.start().create("hirundo")
        admin = Admin(tmp_path_factory.mktemp("admin"), server.dsn())
        admin.run("db", "init", "--reporting-zone", "Asia/Tokyo")
        begin = time.monotonic()
        with server.connect() as owner, server.connect(user="hirundo_analyst") as analyst:
            rows = fill(owner, FULL or 2, QUARTERS if FULL else 6, PART)
            print(f"\n{rows:,} rows of source_day: {time.monotonic() - begin:.0f} s")
            # The collector's job: months first. The answer that it made then would hide what reports take.
            while owner.execute("SELECT hirundo.store_answer()").fetchone()[0].startswith("month "):
                pass
            owner.execute("DELETE FROM hirundo.stored_answer")
            print(f"months closed: {time.monotonic() - begin:.0f} s")
            yield admin, owner, analyst
    finally:
        server.destroy()


def times(analyst, name: str, f: dict, more: tuple, limit: float) -> tuple[float, str]:
    """Median of three calls of the quarter in seconds (one, where that is much too long), to the last row as a client gets
    it, and what to tell of them."""
    arguments = [QUARTER, psycopg.types.json.Jsonb(f), *more]
    call = sql.SQL("COPY (SELECT * FROM report.{}({})) TO STDOUT").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, arguments)))
    seconds = []
    for _ in range(3):
        begin = time.monotonic()
        with analyst.cursor() as cursor, cursor.copy(call) as copy:
            rows = sum(bytes(data).count(b"\n") for data in copy)
        seconds.append(time.monotonic() - begin)
        if seconds[0] > limit * SLACK:
            break  # the others would take as long
    middle = statistics.median(seconds)
    text = f"median {middle:6.3f} s, limit {limit:.1f} s, {rows:6} rows: {name}({', '.join(map(str, (f, *more)))})"
    print(text)
    assert rows, text
    return middle, text


@pytest.mark.timeout(7200)
def test_reports_are_quick(bench):
    slow = [text for name, f, more, limit in CALLS for middle, text in [times(bench[2], name, f, more, limit)]
            if middle > limit * SLACK]
    assert not slow, "\n".join(slow)


@pytest.mark.timeout(7200)
def test_the_quarterly_report_is_quick(bench, tmp_path):
    """Computed, frozen and written; nothing of it is stored."""
    begin = time.monotonic()
    bench[0].run("report", "quarter", "2025Q4", "--output", tmp_path)
    took = time.monotonic() - begin
    print(f"{took:.1f} s, limit {WHOLE_REPORT:.0f} s: report quarter")
    assert (tmp_path / "2025Q4.html").exists() and took < WHOLE_REPORT * SLACK


@pytest.mark.timeout(7200)
def test_stored_answers_are_quick(bench):
    """The first that are made: of the last quarter, without a filter."""
    _, owner, analyst = bench
    made = [owner.execute("SELECT hirundo.store_answer()").fetchone()[0] for _ in range(3)]
    assert all(text.endswith(f"{QUARTER} {{}}") for text in made), made
    slow = [text for name in {text.split()[0] for text in made} for middle, text in [times(analyst, name, {}, (), STORED)]
            if middle > STORED * SLACK]
    assert not slow, "\n".join(slow)
