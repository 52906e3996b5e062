"""What the operations team types: the snippet for psql, and the page of queries, as the analyst."""
import datetime
import os
import re
import subprocess
import zoneinfo

import pytest

from harness.paths import ROOT
from harness.raw_world import ANSWERER, DAY, FORGER, LATE, SCANNER, Raw
from harness.rollups import add_up

ZONE = "Asia/Tokyo"
PERIOD = f"[{DAY},{DAY + datetime.timedelta(days=3)})"
PAGE = (ROOT / "collector" / "sql" / "QUERIES.md").read_text()
# title, statement: of each section, one or more
QUERIES = [(title, statement.strip() + ";")
           for title, text in re.findall(r"(?ms)^## (.*?)$(.*?)(?=^## |\Z)", PAGE)
           for statement in "\n".join(re.findall(r"(?m)^    (.*)$", text)).split(";")[:-1]]


@pytest.fixture(scope="module")
def raw(server, template):
    raw = Raw(server, template, "hirundo_queries", ZONE)
    raw.name_networks()
    raw.c.execute("INSERT INTO hirundo.organization VALUES (9, 'Example Hosting', 'abuse@example.com', 1)")
    raw.c.execute("INSERT INTO hirundo.organization_range VALUES ('198.51.100.20', '198.51.100.29', 9)")
    raw.c.execute("INSERT INTO hirundo.network_group VALUES ('Example ISP', '198.51.100.16/28'),"
                  " ('Example ISP', '203.0.113.0/24')")
    for sensor in (1, 2):
        raw.c.execute("INSERT INTO hirundo.coverage SELECT %s, b, 0, 0, 900 FROM generate_series(%s, %s, interval '15min') b",
                      (sensor, raw.at(0), raw.at(3 * 86400 - 900)))
        raw.c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, captured, first_target, targets, valid_from)"
                      " VALUES (%s, %s, %s, 1, 1, '2026-01-01')", (sensor, *[f"192.0.2.{sensor}/32"] * 2))
        for n, (src, port) in enumerate([("198.51.100.20", 23), ("198.51.100.21", 22), (LATE, 23), ("203.0.113.5", 5555)]):
            for day in range(3):
                raw.observe(86400 * day + 60 * n, src, port, 4000 + n, packets=1 + n, sensor=sensor, traits=128 * (port == 23))
        raw.observe(86400 * 2, ANSWERER, 4444, 80, packets=90, sensor=sensor, traits=1 << 10)
        raw.observe(3000, "203.0.113.6", None, None, protocol=47, sensor=sensor)
    for day in range(3):
        raw.observe(86400 * day + 5, ANSWERER, 4444, 80, traits=1 << 10)
    for src in (SCANNER, FORGER):
        raw.observe(90000, src, 23, 5)
    for day in (-1, 0, 3):  # two are not of the period
        raw.sample(86400 * day + 10, "203.0.113.6", day + 9, b"GRE", protocol=47, dst_port=None)
    raw.c.execute("UPDATE hirundo.observation SET src_region = 'JP', src_asn = 64500,"
                  " tcp_flags = CASE WHEN protocol = 6 THEN CASE WHEN traits & 1024 <> 0 THEN 18 ELSE 2 END END")
    raw.roll_up()
    add_up(raw.c)
    yield raw
    raw.drop()


@pytest.fixture(scope="module")
def psql(server, raw):
    def run(text: str, *options: str) -> str:
        done = subprocess.run(
            ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", *options, server.dsn(raw.name, "hirundo_analyst")], input=text,
            capture_output=True, text=True, env={**os.environ, "PSQLRC": str(ROOT / "deploy" / "psqlrc")})
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run


def test_psqlrc(psql):
    today = datetime.datetime.now(zoneinfo.ZoneInfo(ZONE)).date()
    month = today.replace(day=1)
    before = (month - datetime.timedelta(days=1)).replace(day=1)
    quarter = month.replace(month=(month.month - 1) // 3 * 3 + 1)
    last = quarter.replace(year=quarter.year - (quarter.month == 1), month=(quarter.month - 4) % 12 + 1)
    out = psql("\\pset tuples_only on\n\\timing off\nSHOW timezone; SELECT :'this_month', :'last_month', :'last_quarter';\n"
               "SELECT * FROM report.coverage(:'last_month');\n:reports\n")
    assert f"Days are those of {ZONE}." in out and "report.top_services(:'last_month')" in out
    assert f"\n{ZONE}\n" in out
    tomorrow = today + datetime.timedelta(days=1)
    assert f"[{month},{tomorrow})|[{before},{month})|[{last},{quarter})" in out
    assert "report.coverage(" in out and "report.catalog(" in out


def test_page_has_all_analyses():
    titles = [title for title, _ in QUERIES]
    for n in range(1, 21):
        assert any(title.startswith(f"R{n}: ") for title in titles), n


@pytest.mark.parametrize("title,statement", QUERIES, ids=[f"{i}-{title.split(':')[0]}" for i, (title, _) in enumerate(QUERIES)])
def test_query(psql, raw, server, title, statement):
    """It finds something, and reads raw rows of its own days only."""
    scans = "SELECT relname, seq_scan + idx_scan FROM pg_stat_user_tables WHERE relname ~ '^(observation|payload_sample)_20'"
    before = dict(server.query(scans, dbname=raw.name))
    out = psql(f"\\pset footer off\n\\timing off\n{statement}\n", "-v", f"period={PERIOD}", "-X")
    assert out.strip() or title.startswith("Beyond"), statement
    assert len(before) == 12
    # Days of Tokyo begin on the UTC day before.
    inside = {f"{(DAY + datetime.timedelta(days=i)):%Y%m%d}" for i in range(-1, 3)}
    read = {name for name, n in server.query(scans, dbname=raw.name) if n != before[name]}
    assert {name[-8:] for name in read} <= inside
    assert bool(read) == (title in ("Raw rows", "R13: packets of a kind, the sensor's address masked")
                          or "report.notification(" in statement)
