"""The dashboard for Grafana: every query is expanded as Grafana does it and run on the seeded instance, as a role that
README.md makes. Without Grafana: a query that fails there shows "No data" and no error."""
import datetime
import json
import re
import subprocess

import psycopg
import pytest

from harness.paths import ROOT

FOLDER = ROOT / "deploy" / "grafana"
TEXT = (FOLDER / "dashboards" / "hirundo.json").read_text()
DASHBOARD = json.loads(TEXT)
PANELS = DASHBOARD["panels"]
VARIABLES = {v["name"]: v for v in DASHBOARD["templating"]["list"]}
MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def macro(name: str, arguments: list[str], since: str, till: str) -> str:
    """As macros.go of Grafana's PostgreSQL data source."""
    if name in ("__timeFrom", "__timeTo"):
        return f"'{since if name == '__timeFrom' else till}'"
    if name == "__timeFilter":
        return f"{arguments[0]} BETWEEN '{since}' AND '{till}'"
    if name == "__time":
        return f'{arguments[0]} AS "time"'
    if name in ("__timeGroup", "__timeGroupAlias"):
        text = arguments[1].strip("'")
        seconds = int(text[:-1]) * SECONDS[text[-1]]
        return f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}" + (' AS "time"' if name.endswith("Alias") else "")
    raise AssertionError(f"unknown macro {name}")


def expand(sql: str, values: dict[str, list[str]], since: datetime.datetime, till: datetime.datetime) -> str:
    """Variables (in the browser), then macros (in the server). values: as chosen; ['$__all']: all."""
    times = [at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in (since, till)]

    def variable(found) -> str:
        name, form = found[1] or found[3], found[2]
        if name == "__interval":
            return "1d"
        if name.startswith("__"):
            return found[0]  # a macro
        chosen = values[name]
        if chosen == ["$__all"]:
            return VARIABLES[name]["allValue"]  # as it stands
        if form == "sqlstring":
            return ",".join("'" + value.replace("'", "''") + "'" for value in chosen)
        assert form is None and len(chosen) == 1, f"{found[0]}: no other format is used"
        return chosen[0]
    sql = VARIABLE.sub(variable, sql)
    return MACRO.sub(lambda found: macro(found[1], [a.strip() for a in found[2].split(",")], *times), sql)


@pytest.fixture(scope="module")
def grafana(seeded):
    """Logged in as README.md says; reads as a viewer who sees everything."""
    role = re.search(r"CREATE ROLE hirundo_grafana.*?ALTER ROLE hirundo_grafana SET idle\S+ = '10s';", (FOLDER / "README.md").read_text(),
                     re.S)[0]
    with seeded.connect() as owner:
        if owner.execute("SELECT 1 FROM pg_roles WHERE rolname = 'hirundo_grafana'").fetchone():  # an instance that stays
            owner.execute("DROP OWNED BY hirundo_grafana")
            owner.execute("DROP ROLE hirundo_grafana")
        owner.execute(role)
        owner.execute("INSERT INTO hirundo.viewer (name, everything, regions, login) VALUES ('grafana', true, '{}', 'hirundo_grafana')"
                      " ON CONFLICT DO NOTHING")
    seeded.server.allow("hirundo_grafana")
    with seeded.connect("hirundo_grafana") as connection:
        connection.execute("SET statement_timeout = '60s'")  # benchmarks tell how quick reports are
        yield connection


def defaults() -> dict[str, list[str]]:
    """What is chosen when the dashboard opens; of a query without All its first row."""
    return {name: [v["current"]["value"]] if v["type"] == "custom" else ["$__all"] if v["includeAll"] else ["23/TCP"]
            for name, v in VARIABLES.items()}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


RANGES = {"month": (30, {}),
          "filtered": (21, {"sensor_region": ["JP", "AU"], "grp": ["overseas"], "src_region": ["JP", "BR", "CN"], "role": ["probe"],
                            "step": ["week"], "service": ["22/TCP"]})}


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p["title"])
@pytest.mark.parametrize("name", RANGES)
def test_panel(grafana, panel, name):
    days, chosen = RANGES[name]
    assert len(panel["targets"]) == 1
    target = panel["targets"][0]
    sql = expand(target["rawSql"], defaults() | chosen, now() - datetime.timedelta(days=days), now())
    cursor = grafana.execute(sql)
    rows, columns = cursor.fetchall(), {column.name: column.type_code for column in cursor.description}
    assert rows, sql
    oid = psycopg.postgres.types.get
    if target["format"] == "time_series":
        assert columns["time"] == oid("timestamptz").oid and list(columns)[0] == "time"
        assert [row[0] for row in rows] == sorted(row[0] for row in rows), "Grafana needs them in order of time"
        kinds = {name: kind for name, kind in columns.items() if name not in ("time", "metric")}
        assert {kind for kind in kinds.values()} <= {oid(t).oid for t in ("int8", "float8", "numeric")}
        assert any(value is not None for row in rows for value in row[len(columns) - len(kinds):]) or "share" in columns
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        match = re.compile(matcher["options"].strip("/")) if matcher["id"] == "byRegexp" else re.compile(re.escape(matcher["options"]) + "$")
        assert any(match.search(column) for column in columns), f"nothing is called {matcher['options']}"


def test_a_year(grafana):
    """By month, with the year before."""
    panel, = (p for p in PANELS if p["title"] == "Packets for each address and day")
    rows = grafana.execute(expand(panel["targets"][0]["rawSql"], defaults() | {"step": ["month"]}, now() - datetime.timedelta(days=365),
                                  now())).fetchall()
    assert len(rows) in (24, 26, 28) and all(row[3] is not None for row in rows)


@pytest.mark.parametrize("name", [n for n, v in VARIABLES.items() if v["type"] == "query"])
def test_variable(grafana, name):
    cursor = grafana.execute(expand(VARIABLES[name]["query"], defaults(), now() - datetime.timedelta(days=30), now()))
    rows = cursor.fetchall()
    assert rows
    assert [c.name for c in cursor.description] in (["__value", "__text"], [cursor.description[0].name])


def test_numbers(grafana, seeded):
    """What a panel shows is what was counted: packets of the month by region, from the rollups' rows."""
    panel, = (p for p in PANELS if p["title"] == "Source regions")
    since, till = now() - datetime.timedelta(days=30), now()
    rows = grafana.execute(expand(panel["targets"][0]["rawSql"], defaults(), since, till)).fetchall()
    days = [at.astimezone(datetime.timezone(datetime.timedelta(hours=9))).date() for at in (since, till)]
    counted = dict(seeded.query("SELECT coalesce(src_region, 'ZZ'), sum(packets) FROM hirundo.source_day WHERE day BETWEEN %s AND %s"
                                " GROUP BY 1", days))
    assert {row[1]: row[3] for row in rows} == {region: counted[region] for region in sorted(counted, key=counted.get)[-10:]}


def test_it_reads_reports_alone(grafana):
    for sql in ("SELECT * FROM hirundo.observation LIMIT 1", "SELECT * FROM hirundo.sensor_address", "CREATE TABLE x (a int)"):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            grafana.execute(sql)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        grafana.execute("SET hirundo.viewer = 'au'; SELECT * FROM report.viewer()")
    grafana.execute("RESET hirundo.viewer")


# Of the file itself.

def test_it_is_what_make_dashboard_makes():
    made = subprocess.run([FOLDER / "make-dashboard"], capture_output=True, text=True, check=True).stdout
    assert made == TEXT, "run deploy/grafana/make-dashboard > deploy/grafana/dashboards/hirundo.json"


def test_static():
    """What Grafana does not say: ids twice, another data source, a variable that is not there, `query` for `rawSql`."""
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids) and len({p["title"] for p in PANELS}) == len(PANELS)
    source = (FOLDER / "provisioning" / "datasources" / "hirundo.yaml").read_text()
    uid, kind = (re.search(rf"^    {key}: (\S+)$", source, re.M)[1] for key in ("uid", "type"))
    for holder in [*PANELS, *(t for p in PANELS for t in p["targets"]), *(v for v in VARIABLES.values() if v["type"] == "query")]:
        assert holder["datasource"] == {"type": kind, "uid": uid}
    assert "editable: false" in source and "verify-full" in source
    for panel in PANELS:
        for target in panel["targets"]:
            assert "query" not in target and target["rawQuery"] is True
    texts = [t["rawSql"] for p in PANELS for t in p["targets"]] + [p["title"] for p in PANELS] + [
        v["query"] for v in VARIABLES.values() if v["type"] == "query"]
    for text in texts:
        for found in VARIABLE.finditer(text):
            name = found[1] or found[3]
            assert name.startswith("__") or name in VARIABLES, f"${name} is not declared"
        assert "$__timeGroup" not in text, "its days are UTC's"
        for name in re.findall(r"report\.(\w+)\(", text):
            assert f"report.{name}(" in "".join(path.read_text() for path in (ROOT / "collector/sql/migrations").glob("*.sql"))
    used = {f[1] or f[3] for text in texts for f in VARIABLE.finditer(text)}
    assert set(VARIABLES) <= used, "a variable that nothing uses"


def test_places_do_not_overlap():
    taken = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
