"""hirundo-dashboard's /api: what it says is what psql says, and what it refuses it refuses clearly."""
import csv
import io
import json
import re
import subprocess

import pytest

from harness.dashboard import Dashboard, target
from harness.hirundo import Installation
from harness.postgres import BIN
from harness.report_world import World
from harness.reports import FIRST

WHOLE = {"from": "2026-01-30", "to": "2026-02-02"}
SQL_PERIOD = "daterange('2026-01-30', '2026-02-03')"

# Every function, with the parameters of a request and the arguments of SQL that mean the same.
CALLS = [
    ("viewer", {}, ""),
    ("sensors", {}, ""),
    ("sensor_regions", {}, ""),
    ("catalog", {}, ""),
    ("publications", {}, ""),
    ("top_services", WHOLE, SQL_PERIOD),
    ("top_services", {**WHOLE, "n": 3, "rank_by": "hosts", "filter": {"sensor_region": ["JP", "TW"]}},
     SQL_PERIOD + """, '{"sensor_region": ["JP", "TW"]}', 3, 'hosts'"""),
    ("top_services_by_sensor", {**WHOLE, "n": 2}, SQL_PERIOD + ", n => 2"),
    ("common_services", {**WHOLE, "n": 4}, SQL_PERIOD + ", n => 4"),
    ("service_trend", {**WHOLE, "step": "week", "n": 2}, SQL_PERIOD + ", step => 'week', n => 2"),
    ("top_source_regions", {**WHOLE, "rank_by": "hosts"}, SQL_PERIOD + ", rank_by => 'hosts'"),
    ("source_region_trend", {**WHOLE, "n": 2, "step": "day"}, SQL_PERIOD + ", n => 2, step => 'day'"),
    ("packets_per_sensor_day", {**WHOLE, "step": "day"}, SQL_PERIOD + ", step => 'day'"),
    ("mirai_hosts", {**WHOLE, "n": 2}, SQL_PERIOD + ", n => 2"),
    ("ack_packets", {**WHOLE, "step": "day"}, SQL_PERIOD + ", step => 'day'"),
    ("ack_organizations", {**WHOLE, "n": 3}, SQL_PERIOD + ", n => 3"),
    ("hosts_per_day", {**WHOLE, "filter": {"services": ["23/TCP"]}}, SQL_PERIOD + """, '{"services": ["23/TCP"]}'"""),
    ("top_networks", {**WHOLE, "by": "organization", "n": 5, "rank_by": "hosts"},
     SQL_PERIOD + ", by => 'organization', n => 5, rank_by => 'hosts'"),
    ("activity_calendar", {**WHOLE, "min_hosts": 2}, SQL_PERIOD + ", min_hosts => 2"),
    ("ttl_by_region", WHOLE, SQL_PERIOD),
    ("spoof_verdict", {**WHOLE, "n": 7}, SQL_PERIOD + ", n => 7"),
    ("verdict_changes", {**WHOLE, "n": 3}, SQL_PERIOD + ", n => 3"),
    ("spoof_campaigns", WHOLE, SQL_PERIOD),
    ("verdict_share", {**WHOLE, "step": "month"}, SQL_PERIOD + ", step => 'month'"),
    ("response_sources_called_spoofed", WHOLE, SQL_PERIOD),
    ("payload_samples", {"from": "2026-02-10", "to": "2026-02-10", "n": 5}, "'[2026-02-10,2026-02-11)', n => 5"),
    ("source", {**WHOLE, "src": "10.1.2.3"}, SQL_PERIOD + ", '10.1.2.3'"),
    ("notification", {**WHOLE, "filter": {"src_region": "CN"}}, SQL_PERIOD + """, '{"src_region": "CN"}'"""),
    ("notification_excluded", {**WHOLE, "filter": {"src_region": "CN"}}, SQL_PERIOD + """, '{"src_region": "CN"}'"""),
    ("coverage", {**WHOLE, "step": "hour"}, SQL_PERIOD + ", step => 'hour'"),
]
IDS = [f"{i}-{name}" for i, (name, *_) in enumerate(CALLS)]


@pytest.fixture(scope="module")
def filled(server, template, tmp_path_factory):
    """A database whose reporting zone is not UTC, with a world's rows."""
    installation = Installation(tmp_path_factory.mktemp("dashboard"), server, "hirundo_dashboard_test", template)
    world = World(20260130, FIRST)
    with installation.connect() as connection:
        world.store(connection)
        # Captured text can begin as a formula does, and so can names that somebody else made.
        connection.execute("UPDATE hirundo.sensor SET public_label = '=1+1' WHERE name = 's2'")
        connection.execute("UPDATE hirundo.organization SET name = 'it''s' WHERE name = 'Example K.K.'")
        connection.execute("SELECT hirundo.ensure_day('2026-02-10', NULL)")
        connection.execute("INSERT INTO hirundo.payload_sample (observed_at, content, sensor_id, src_port, dst_port,"
                           " payload_length, packets, protocol, src, payload) VALUES"
                           " ('2026-02-10 01:02:03.5Z', 7, 1, 4444, 53, 9, 1, 17, '192.0.2.1', '=cmd|x')")
        connection.execute("ANALYZE")
    yield installation
    installation.finish()


@pytest.fixture(scope="module")
def dashboard(filled):
    dashboard = Dashboard(filled.folder, filled.dsn("hirundo_dashboard"))
    filled.processes.append(dashboard)
    return dashboard.start().ready()


def psql(installation, sql: str, *options) -> str:
    """As the viewer, by psql; times of UTC."""
    run = subprocess.run(
        [BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-d", installation.dsn("hirundo_dashboard"), "-c", sql],
        capture_output=True, text=True,
        env={"PGOPTIONS": "-c hirundo.viewer=central -c timezone=UTC", "PATH": "/usr/bin:/bin"})
    assert run.returncode == 0, run.stderr
    return run.stdout


def without_now(rows):
    """Some as_of are the moment of asking."""
    return [{name: value for name, value in row.items() if name not in ("as_of", "today")} for row in rows]


@pytest.mark.parametrize("name,parameters,arguments", CALLS, ids=IDS)
def test_json_equals_psql(filled, dashboard, name, parameters, arguments):
    answer = dashboard.api(name, **parameters)
    assert answer.status == 200, answer.text
    got = answer.json()
    assert list(got) == ["function", "sql", "columns", "rows"] and got["function"] == name
    want = [json.loads(line) for line in psql(
        filled, f"SELECT to_json(r) FROM report.{name}({arguments}) r", "-At").split("\n") if line]
    assert without_now(got["rows"]) == without_now(want)
    assert want or name in ("spoof_campaigns", "publications")
    assert all(list(row) == [column["name"] for column in got["columns"]] for row in got["rows"])


@pytest.mark.parametrize("name,parameters,arguments", CALLS, ids=IDS)
def test_csv_equals_psql(filled, dashboard, name, parameters, arguments):
    answer = dashboard.api(name, **parameters, format="csv")
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
    got = list(csv.reader(io.StringIO(answer.text, newline="")))
    want = list(csv.reader(io.StringIO(psql(filled, f"SELECT * FROM report.{name}({arguments})", "--csv"), newline="")))
    moments = {i for i, column in enumerate(want[0]) if column in ("as_of", "today")}

    def plain(row):
        return [re.sub(r"^(\d{4}-\d\d-\d\d) (\S+\+00)$", r"\1T\2:00", re.sub(r"^(?=[=+@\t\r])", "'", cell))
                for i, cell in enumerate(row) if i not in moments]

    def now_away(row):
        return [cell for i, cell in enumerate(row) if i not in moments]

    assert got[0] == want[0]
    assert [now_away(row) for row in got[1:]] == [plain(row) for row in want[1:]]
    assert answer.text.endswith("\r\n") and answer.text.count("\r\n") >= len(got)


def test_shown_sql_says_the_same(filled, dashboard):
    """What a person pastes into psql is what was run, whatever stands in it."""
    nasty = '{"organization": "it\\u0027s", "services": ["23\\u002fTCP"],\n "grp": "domestic"}'
    for name, parameters in (("top_services", {**WHOLE, "n": 3}), ("source", {**WHOLE, "src": "10.1.2.3"}),
                             ("top_services", {**WHOLE, "filter": nasty})):
        got = dashboard.api(name, **parameters).json()
        assert got["sql"].startswith(f"SELECT * FROM report.{name}(") and got["sql"].endswith(");")
        inner = got["sql"].removesuffix(";")
        rows = [json.loads(line) for line in psql(filled, f"SELECT to_json(r) FROM ({inner}) r", "-At").split("\n") if line]
        assert without_now(rows) == without_now(got["rows"])
    assert "n => 3)" in dashboard.api("top_services", **WHOLE, n=3).json()["sql"]


def test_every_function_and_argument_is_served(filled, dashboard):
    """The table in C is the catalog's."""
    known = {"from", "to", "filter", "n", "rank_by", "step", "by", "min_hosts", "src"}
    for name, arguments in filled.query(
            "SELECT proname, proargnames[1:pronargs] FROM pg_proc WHERE pronamespace = 'report'::regnamespace"):
        takes = {"from", "to"} if "period" in (arguments or []) else set()
        takes |= set(arguments or []) - {"period"}
        assert takes <= known, name
        for parameter in known:
            value = "2026-01-30" if parameter in ("from", "to") else "x"
            need = {p: "2026-01-30" for p in ("from", "to") if p in takes and p != parameter}
            need |= {"src": "192.0.2.1"} if "src" in takes and parameter != "src" else {}
            answer = dashboard.api(name, **need, **{parameter: value})
            refused = answer.status == 400 and "takes no parameter" in answer.error["message"]
            assert refused == (parameter not in takes), (name, parameter, answer.text)


def test_columns_have_their_types(dashboard):
    columns = {c["name"]: c["type"] for c in dashboard.api("top_services", **WHOLE).json()["columns"]}
    assert columns["rank"] == "bigint" and columns["as_of"] == "timestamp with time zone" and columns["service"] == "text"
    assert columns["share"] == "double precision"


def test_csv_of_a_spreadsheet(dashboard):
    """No formula from captured bytes or from names; numbers stay numbers."""
    answer = dashboard.api("sensors", format="csv")
    assert "'=1+1" in answer.text and "\n=1+1" not in answer.text and ",=1+1" not in answer.text
    assert answer.headers["content-disposition"] == 'attachment; filename="hirundo-sensors.csv"'
    named = dashboard.api("coverage", **WHOLE, format="csv")
    assert named.headers["content-disposition"] == 'attachment; filename="hirundo-coverage-2026-01-30-2026-02-02.csv"'


def test_times_of_csv_begin_with_the_reporting_day(private_installation):
    """A day of Tokyo is that day in a spreadsheet, and the same instant in JSON."""
    private_installation.query("UPDATE hirundo.setting SET value = 'Asia/Tokyo' WHERE name = 'reporting_zone'")
    private_installation.enroll("jp1", "JP")
    dashboard = Dashboard(private_installation.folder, private_installation.dsn("hirundo_dashboard"))
    private_installation.processes.append(dashboard)
    dashboard.start().ready()
    rows = list(csv.DictReader(io.StringIO(dashboard.api("packets_per_sensor_day", **WHOLE, step="day", format="csv").text)))
    assert [row["step_start"] for row in rows][:1] == ["2026-01-30T00:00:00+09:00"]
    assert dashboard.api("packets_per_sensor_day", **WHOLE, step="day").json()["rows"][0]["step_start"] \
        == "2026-01-29T15:00:00+00:00"


# Refusals.

REFUSED = [
    ("/api/nothing", 404, "42883", "no such function"),
    ("/api/", 404, "42883", "no such function"),
    ("/api/top_services/x", 404, "42883", "no such function"),
    ("/api/pg_sleep", 404, "42883", "no such function"),
    ("/api/top_services", 400, "22023", 'needs the parameter "from"'),
    ("/api/top_services?from=2026-01-30", 400, "22023", 'needs the parameter "to"'),
    ("/api/catalog?n=3", 400, "22023", 'takes no parameter "n"'),
    (target("top_services", **WHOLE, limit=3), 400, "22023", "unknown parameter"),
    (target("top_services", **WHOLE) + "&n=1&n=2", 400, "22023", "twice"),
    (target("top_services", **WHOLE) + "&filter", 400, "22023", "unknown parameter"),
    (target("top_services", **WHOLE, format="xml"), 400, "22023", "json or csv"),
    (target("top_services", **WHOLE) + "&filter=%ff", 400, "22023", "UTF-8"),
    (target("top_services", **WHOLE) + "&filter=%ed%a0%80", 400, "22023", "UTF-8"),
    (target("top_services", **WHOLE) + "&filter=%0", 400, "22023", "escaped"),
    (target("top_services", **WHOLE) + "&filter=%00", 400, "22023", "escaped"),
    (target("top_services", **{"from": "yesterday", "to": "2026-02-02"}), 400, "22023", "YYYY-MM-DD"),
    (target("top_services", **{"from": "2026-1-30", "to": "2026-02-02"}), 400, "22023", "YYYY-MM-DD"),
    (target("top_services", **{"from": "-infinity", "to": "2026-02-02"}), 400, "22023", "YYYY-MM-DD"),
    (target("top_services", **{"from": "2026-02-30", "to": "2026-03-02"}), 400, "22008", "out of range"),
    (target("top_services", **{"from": "2026-02-02", "to": "2026-01-30"}), 400, "22000", "lower bound"),
    (target("top_services", **WHOLE, n="ten"), 400, "22P02", "invalid input syntax"),
    (target("top_services", **WHOLE, n="99999999999"), 400, "22003", "out of range"),
    (target("top_services", **WHOLE, n=0), 400, "22023", ""),
    (target("top_services", **WHOLE, rank_by="; DROP TABLE hirundo.sensor"), 400, "22023", ""),
    (target("top_services", **WHOLE, filter="{"), 400, "22P02", "json"),
    (target("top_services", **WHOLE, filter={"colour": "red"}), 400, "22023", "colour"),
    (target("top_services", **WHOLE, filter={"services": "23/TCP' OR 1=1 --"}), 400, "22023", ""),
    (target("top_services", **WHOLE, filter={"sensors": 4711}), 400, "22023", "4711"),
    (target("source", **WHOLE, src="example.com"), 400, "22P02", "inet"),
    (target("source", **WHOLE), 400, "22023", 'needs the parameter "src"'),
    (target("coverage", **WHOLE, step="second"), 400, "22023", "step"),
]


@pytest.mark.parametrize("path,status,code,message", REFUSED, ids=[path[:60] for path, *_ in REFUSED])
def test_refused(dashboard, path, status, code, message):
    answer = dashboard.get(path)
    assert answer.status == status, answer.text
    assert list(answer.json()) == ["error"] and list(answer.error) == ["code", "message", "hint"]
    assert answer.error["code"] == code and message in answer.error["message"], answer.error
    assert answer.headers["content-type"].startswith("application/json")
    csv_answer = dashboard.get(path + ("&" if "?" in path else "?") + "format=csv")
    assert csv_answer.status == status and csv_answer.headers["content-type"].startswith("application/json")


def test_errors_say_nothing_of_the_server(filled, dashboard):
    """Neither where the database is nor how functions are written."""
    for path, *_ in REFUSED:
        text = dashboard.get(path).text
        assert str(filled.server.folder) not in text and "hirundo_dashboard" not in text and "CONTEXT" not in text


def test_unknown_and_disabled_viewers_are_refused(filled):
    with filled.connect() as connection:
        connection.execute("INSERT INTO hirundo.viewer (name, everything, regions, disabled_at)"
                           " VALUES ('late', true, '{}', now())")
    for viewer in ("nobody", "late"):
        dashboard = Dashboard(filled.folder, filled.dsn("hirundo_dashboard"), name=viewer, viewer=viewer)
        filled.processes.append(dashboard)
        dashboard.start().ready()
        for form in ("json", "csv"):
            answer = dashboard.api("top_services", **WHOLE, format=form)
            assert (answer.status, answer.error["code"]) == (403, "42501"), answer.text
        assert dashboard.get("/").status == 200  # the page says what is wrong
        dashboard.stop()


def test_a_viewer_of_a_region_gets_its_part(filled):
    """The server only names the viewer; what it may see the database decides."""
    filled.admin.run("viewer", "add", "au", "--region", "AU")
    dashboard = Dashboard(filled.folder, filled.dsn("hirundo_dashboard"), name="au", viewer="au")
    filled.processes.append(dashboard)
    dashboard.start().ready()
    assert dashboard.api("viewer").json()["rows"][0]["regions"] == ["AU"]
    assert [row["region"] for row in dashboard.api("sensors").json()["rows"]] == ["AU"]
    for form in ("json", "csv"):
        assert dashboard.api("top_services", **WHOLE, filter={"sensors": 1}, format=form).status == 403
        assert dashboard.api("top_services", **WHOLE, filter={"sensor_region": "AU"}, format=form).status == 200
    dashboard.stop()
