"""What the operations team types: the snippet for psql, and the page of queries, as the analyst."""
import datetime
import os
import subprocess
import zoneinfo

import pytest

from harness.paths import ROOT

ZONE = "Asia/Tokyo"


@pytest.fixture(scope="module")
def psql(server, template):
    server.create("hirundo_queries", template)
    server.query("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (ZONE,), "hirundo_queries")

    def run(text: str) -> str:
        done = subprocess.run(
            ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", server.dsn("hirundo_queries", "hirundo_analyst")], input=text,
            capture_output=True, text=True, env={**os.environ, "PSQLRC": str(ROOT / "deploy" / "psqlrc")})
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    yield run
    server.drop("hirundo_queries")


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
