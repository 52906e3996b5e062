"""How long reports take on the rollups of a large installation: 2 years of 30 sensors, 5.4 million source-service rows
a quarter (fill_rollups.py). Runs where HIRUNDO_BENCH_FULL_QUARTERS says how many quarters have them all, the others
having a hundredth of the sources: 1 takes some ten minutes, 8 fill 43 million rows (15 GB, half an hour)."""
import os
import statistics
import time

import psycopg
import pytest

from fill_rollups import QUARTERS, fill
from harness.hirundo import Admin
from harness.postgres import Postgres

FULL = int(os.environ.get("HIRUNDO_BENCH_FULL_QUARTERS", 0))
pytestmark = pytest.mark.skipif(not FULL, reason="HIRUNDO_BENCH_FULL_QUARTERS is not set")
# Fails at three times that: other machines, other work on it.
WITHOUT_HOSTS, WITH_HOSTS, SLACK = 0.2, 5.0, 3
STORED = 0.2
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
    ("activity_calendar", {"services": "22/TCP", "networks": "60.0.0.0/8"}, (10,), WITH_HOSTS),
    ("coverage", {}, ("day",), WITHOUT_HOSTS),
]


@pytest.fixture(scope="module")
def connections(tmp_path_factory):
    """The owner's and the analyst's."""
    # Not delivered to, so nothing that a power cut could take.
    server = Postgres(settings={"wal_level": "minimal", "max_wal_senders": 0, "max_wal_size": "16GB", "work_mem": "64MB",
                                "shared_buffers": "512MB", "maintenance_work_mem": "256MB"})
    try:
        server.allow("hirundo_analyst")
        server.start().create("hirundo")
        Admin(tmp_path_factory.mktemp("admin"), server.dsn()).run("db", "init", "--reporting-zone", "Asia/Tokyo")
        begin = time.monotonic()
        with server.connect() as owner:
            rows = fill(owner, FULL)
        print(f"\n{rows:,} rows of source_day in {QUARTERS} quarters, {FULL} in full: {time.monotonic() - begin:.0f} s")
        with server.connect() as owner, server.connect(user="hirundo_analyst") as analyst:
            yield owner, analyst
    finally:
        server.destroy()


def times(analyst, name: str, f: dict, more: tuple, limit: float) -> tuple[float, str]:
    """Median of three calls of the quarter in seconds (one, where that is much too long), and what to tell of them."""
    arguments = [QUARTER, psycopg.types.json.Jsonb(f), *more]
    seconds = []
    for _ in range(3):
        begin = time.monotonic()
        rows = analyst.execute(f"SELECT * FROM report.{name}({', '.join(['%s'] * len(arguments))})", arguments).fetchall()
        seconds.append(time.monotonic() - begin)
        if seconds[0] > limit * SLACK:
            break  # the others would take as long
    middle = statistics.median(seconds)
    text = (f"{name}({', '.join(map(str, (f, *more)))}): {middle:.3f} s, first {seconds[0]:.3f} s, limit {limit} s,"
            f" {len(rows)} rows")
    print(text)
    assert rows, text
    return middle, text


@pytest.mark.timeout(7200)
def test_reports_are_quick(connections):
    slow = [text for name, f, more, limit in CALLS for middle, text in [times(connections[1], name, f, more, limit)]
            if middle > limit * SLACK]
    assert not slow, "\n".join(slow)


@pytest.mark.timeout(7200)
def test_stored_answers_are_quick(connections):
    """The first that are made: of the last quarter, without a filter."""
    owner, analyst = connections
    made = [owner.execute("SELECT hirundo.store_answer()").fetchone()[0] for _ in range(3)]
    assert all(text.endswith(f"{QUARTER} {{}}") for text in made), made
    slow = [text for name in {text.split()[0] for text in made} for middle, text in [times(analyst, name, {}, (), STORED)]
            if middle > STORED * SLACK]
    assert not slow, "\n".join(slow)
