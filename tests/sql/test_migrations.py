"""db init, db migrate, db status: from nothing, again, at once, tampered with, newer, failed."""
import re
import subprocess

import pytest

from harness.hirundo import Admin
from harness.paths import ROOT, program

FILES = sorted((ROOT / "collector" / "sql" / "migrations").glob("*.sql"))
VERSIONS = [int(path.name[:4]) for path in FILES]
NEWEST = VERSIONS[-1]


@pytest.fixture
def admin(server, tmp_path):
    """hirundo-admin for an empty database."""
    server.create("hirundo_empty")
    admin = Admin(tmp_path, server.dsn("hirundo_empty"))
    admin.query = lambda sql, parameters=None: server.query(sql, parameters, "hirundo_empty")
    yield admin
    server.drop("hirundo_empty")


def test_files_are_numbered():
    """Each number once, and all are named in the build, in order."""
    build = (ROOT / "collector" / "sql" / "meson.build").read_text()
    assert len(set(VERSIONS)) == len(FILES) and VERSIONS[0] == 1
    assert re.findall(r"'migrations/(.*)'", build) == [path.name for path in FILES]


def test_init_twice(admin):
    admin.run("db", "init")
    first = admin.query("SELECT * FROM hirundo.schema_migration ORDER BY version")
    assert [row[0] for row in first] == VERSIONS
    assert [row[1] for row in first] == [path.stem[5:] for path in FILES]
    again = admin.run("db", "init")
    assert again.stdout == f"0 migrations applied, schema is version {NEWEST}\n" and again.stderr == ""
    assert admin.run("db", "migrate").stdout == again.stdout
    assert admin.query("SELECT * FROM hirundo.schema_migration ORDER BY version") == first


def test_embedding_changes_no_character(tmp_path):
    """What C and awk could change on the way: backslashes, quotes, trigraphs, per cents, ampersands."""
    text = "SELECT E'a\\\\b\\n', \"x\", '??/', '%s & && \\1';\n\n-- ö\nSELECT '\\';\n"
    (tmp_path / "0007_odd.sql").write_text(text)
    (tmp_path / "other.sql").write_text(text)
    made = subprocess.run(["awk", "-f", ROOT / "collector" / "sql" / "sql2c.awk", tmp_path / "other.sql",
                           tmp_path / "0007_odd.sql"], capture_output=True, text=True, check=True).stdout
    made = made.replace('#include "collector/migrate.h"', "#include <stddef.h>\n#include <stdio.h>\n"
                        "struct migration { int version; const char *name, *sql; };\nextern const char sql_other[];")
    (tmp_path / "x.c").write_text(made + """
int main(void)
{
    printf("%d %d %s\\n%s%s", (int)migrations_n, migrations[0].version, migrations[0].name,
        migrations[0].sql, sql_other);
    return 0;
}
""")
    subprocess.run(["cc", "-std=c17", "-Wall", "-Werror", "-o", tmp_path / "x", tmp_path / "x.c"], check=True)
    out = subprocess.run([tmp_path / "x"], capture_output=True, text=True, check=True).stdout
    assert out == f"1 7 odd\n{text}{text}"


def test_settings(admin):
    admin.run("db", "init", "--reporting-zone", "Asia/Tokyo", "--home", "KR", "--raw-retention", "30")
    settings = dict(admin.query("SELECT name, value FROM hirundo.setting"))
    assert settings["reporting_zone"] == "Asia/Tokyo"
    assert settings["home_region"] == "KR"
    assert settings["raw_retention_days"] == "30"
    assert admin.query("SELECT hirundo.raw_retention() = interval '30 days'") == [(True,)]
    # As long as nothing is stored, everything may be chosen again; then not the zone.
    admin.run("db", "init", "--reporting-zone", "Asia/Seoul")
    admin.query("INSERT INTO hirundo.ingest_batch VALUES"
                " (1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, now(), 0, 0, 0, 0, 0, NULL, 2)")
    admin.run("db", "init", "--reporting-zone", "Asia/Seoul", "--raw-retention", "60")
    run = admin.run("db", "init", "--reporting-zone", "UTC", check=False)
    assert run.returncode == 65 and "reporting zone" in run.stderr
    settings = dict(admin.query("SELECT name, value FROM hirundo.setting"))
    assert (settings["reporting_zone"], settings["raw_retention_days"]) == ("Asia/Seoul", "60")


def test_zone(admin):
    """What it does to rollups: test_rollup.py."""
    admin.run("db", "init")
    assert admin.run("db", "zone", "Asia/Tokyo").stdout == \
        "reporting days are those of Asia/Tokyo; the collector counts 0 days of sensors anew\n"
    assert admin.query("SELECT value FROM hirundo.setting WHERE name = 'reporting_zone'") == [("Asia/Tokyo",)]
    for argv, code, word in ((["Tokyo"], 65, "Tokyo"), ([], 64, "time zone"), (["UTC", "UTC"], 64, "time zone")):
        run = admin.run("db", "zone", *argv, check=False)
        assert (run.returncode, word in run.stderr, run.stderr.count("\n")) == (code, True, 1)
    admin.query("INSERT INTO hirundo.ingest_day_frozen VALUES (1, '2026-03-01', 7, 9, now())")
    admin.query("SELECT hirundo.ensure_rollup_month('2026-03-01')")
    admin.query("INSERT INTO hirundo.service_day VALUES (9, 1, '2026-03-01', '23/TCP', 'probe')")
    run = admin.run("db", "zone", "UTC", check=False)
    assert run.returncode == 65 and "from 2026-03-01 to 2026-03-01" in run.stderr
    assert "rollups of 7 rows from 2026-03-01 to 2026-03-01" in admin.run("db", "zone", "UTC", "--force").stdout


@pytest.mark.parametrize("argv,word", [
    (["--reporting-zone", "Mars/Olympus"], "zone"),
    (["--home", "Japan"], "--home"),
    (["--home", "jp"], "--home"),
    (["--raw-retention", "0"], "--raw-retention"),
    (["--raw-retention", "1e3"], "--raw-retention"),
    (["extra"], "extra"),
])
def test_wrong_settings_leave_nothing(admin, argv, word):
    run = admin.run("db", "init", *argv, check=False)
    assert run.returncode == 64 and word in run.stderr and run.stderr.count("\n") == 1
    assert admin.query("SELECT to_regnamespace('hirundo')") == [(None,)]


@pytest.mark.parametrize("command", [["db", "migrate"], ["db", "status"], ["verify"], ["sensor", "list"],
                                     ["sensor", "add", "a", "--region", "JP", "--address", "203.0.113.7"]])
def test_no_schema(admin, command):
    run = admin.run(*command, check=False)
    assert run.returncode == 78 and "db init" in run.stderr and run.stderr.count("\n") == 1
    assert admin.query("SELECT to_regnamespace('hirundo')") == [(None,)]


def test_many_at_once(admin):
    """Each comes in turn; one applies, the others find it done."""
    runs = [subprocess.Popen([program("hirundo-admin"), "--config", admin.config, "db", "init"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    results = [(run.communicate(timeout=60), run.returncode) for run in runs]
    assert [code for _, code in results] == [0] * 6, results
    applied = sum(int(out.split()[0]) for (out, _), _ in results)
    assert applied == len(FILES)
    assert admin.query("SELECT count(*) FROM hirundo.schema_migration") == [(len(FILES),)]


def test_two_databases_of_one_cluster(private_server, tmp_path):
    """At once, on a cluster that has none of the roles yet: both work, settings and rights are there."""
    names = [f"cell{i}" for i in range(4)]
    admins = []
    for name in names:
        private_server.create(name)
        (tmp_path / name).mkdir()
        admins.append(Admin(tmp_path / name, private_server.dsn(name)))
    runs = [subprocess.Popen([program("hirundo-admin"), "--config", admin.config, "db", "init"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for admin in admins]
    results = [(run.communicate(timeout=60), run.returncode) for run in runs]
    assert [code for _, code in results] == [0] * len(names), results
    for name in names:
        with private_server.connect(name, "hirundo_ingest") as c:
            assert c.execute("SHOW lock_timeout").fetchone() == ("10s",)
            assert c.execute("SELECT hirundo.ensure_day('2026-01-01', NULL)").fetchone() == (True,)
        with private_server.connect(name, "hirundo_analyst") as c:
            assert c.execute("SHOW transaction_read_only").fetchone() == ("on",)


def test_settings_of_an_operator_stay(admin):
    admin.run("db", "init")
    try:
        admin.query("ALTER ROLE hirundo_dashboard SET statement_timeout = '77s'")
        admin.run("db", "migrate")
        assert admin.query("SELECT 'statement_timeout=77s' = ANY (setconfig) FROM pg_db_role_setting"
                           " WHERE setrole = 'hirundo_dashboard'::regrole AND setdatabase = 0") == [(True,)]
    finally:
        admin.query("ALTER ROLE hirundo_dashboard SET statement_timeout = '10s'")


def test_role_that_may_too_much(admin):
    admin.query("ALTER ROLE hirundo_dashboard CREATEDB")
    try:
        run = admin.run("db", "init", check=False)
        assert run.returncode != 0 and "hirundo_dashboard" in run.stderr
        assert admin.query("SELECT to_regnamespace('hirundo')") == [(None,)]
    finally:
        admin.query("ALTER ROLE hirundo_dashboard NOCREATEDB")


@pytest.mark.parametrize("tampering,word", [
    ("UPDATE hirundo.schema_migration SET checksum = '0123456789abcdef' WHERE version = 1", "0001_base"),
    ("DELETE FROM hirundo.schema_migration WHERE version = 1", "missing"),
])
def test_tampered(admin, tampering, word):
    admin.run("db", "init")
    admin.query(tampering)
    for command in ("init", "migrate"):
        run = admin.run("db", command, check=False)
        assert run.returncode == 65 and word in run.stderr


def make_newer(admin, compatible_from: int) -> None:
    admin.query("INSERT INTO hirundo.schema_migration (version, name, checksum, program_version)"
                " VALUES (%s, 'later', 'x', '99.0')", (NEWEST + 1,))
    admin.query("UPDATE hirundo.setting SET value = %s WHERE name = 'compatible_from'", (str(compatible_from),))


def test_newer_schema_that_refuses(admin):
    admin.run("db", "init")
    make_newer(admin, NEWEST + 1)
    for command in (["db", "init"], ["db", "migrate"], ["db", "status"], ["verify"], ["sensor", "list"]):
        run = admin.run(*command, check=False)
        assert run.returncode == 78 and "upgrade" in run.stderr, command


def test_newer_schema_that_takes_old_programs(admin):
    admin.run("db", "init")
    make_newer(admin, NEWEST)
    admin.run("db", "migrate")
    admin.run("db", "status")
    admin.run("verify")


def test_older_schema(admin):
    """One that this program cannot work with says what to do; db migrate then does it."""
    admin.run("db", "init")
    # What the newest migration made carries the number of its transaction.
    admin.query("DELETE FROM hirundo.report_example e USING hirundo.schema_migration m"
                " WHERE m.version = %s AND e.xmin = m.xmin", (NEWEST,))
    for (drop,) in admin.query("""
            WITH m AS (SELECT xmin FROM hirundo.schema_migration WHERE version = %s)
            SELECT 'DROP FUNCTION ' || p.oid::regprocedure || ' CASCADE' FROM pg_proc p, m
            WHERE p.xmin = m.xmin AND pronamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)
            UNION ALL SELECT 'DROP TABLE ' || c.oid::regclass || ' CASCADE' FROM pg_class c, m
            WHERE c.xmin = m.xmin AND relkind IN ('r', 'p') AND relnamespace = 'hirundo'::regnamespace
            UNION ALL SELECT 'DROP INDEX IF EXISTS ' || c.oid::regclass FROM pg_class c, m
            WHERE c.xmin = m.xmin AND relkind = 'i' AND relnamespace = 'hirundo'::regnamespace""", (NEWEST,)):
        admin.query(drop.replace("DROP FUNCTION", "DROP FUNCTION IF EXISTS"))
    admin.query("DELETE FROM hirundo.schema_migration WHERE version = %s", (NEWEST,))
    run = admin.run("verify", check=False)
    assert run.returncode == 78 and "db migrate" in run.stderr
    assert admin.run("db", "migrate").stdout == f"1 migration applied, schema is version {NEWEST}\n"
    admin.run("verify")


def test_failed_migration_leaves_nothing(admin):
    """The second statement of the base fails: the first one, and the record, are gone with it."""
    admin.query("CREATE SCHEMA report")
    run = admin.run("db", "init", check=False)
    assert run.returncode == 69 and "0001_base" in run.stderr and run.stderr.count("\n") == 1
    assert admin.query("SELECT to_regnamespace('hirundo')") == [(None,)]
    admin.query("DROP SCHEMA report")
    admin.run("db", "init")


def test_killed_in_between(admin, server):
    """A migration whose client died is rolled back, and its lock is gone."""
    with server.connect("hirundo_empty") as blocker:
        # Holds the lock that migrations take.
        blocker.execute("SELECT pg_advisory_lock(7411)")
        run = subprocess.Popen([program("hirundo-admin"), "--config", admin.config, "db", "init"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                run.wait(1)
        finally:
            run.kill()
            run.wait()
    assert admin.query("SELECT to_regnamespace('hirundo')") == [(None,)]
    admin.run("db", "init")


def test_status(admin):
    admin.run("db", "init")
    out = admin.run("db", "status").stdout
    for path in FILES:
        assert path.stem[5:] in out
    assert "raw_retention_days" in out and f"schema is version {NEWEST}" in out


def test_database_away(tmp_path):
    admin = Admin(tmp_path, "host=/nonexistent dbname=x")
    run = admin.run("db", "init", check=False)
    assert run.returncode == 69 and run.stderr.count("\n") == 1


def test_member_of_owner_migrates(server, admin):
    """No superuser is needed once the roles are there: membership in hirundo_owner is enough."""
    admin.run("db", "init")
    server.query("CREATE ROLE hirundo_test_admin LOGIN IN ROLE hirundo_owner", dbname="postgres")
    try:
        server.allow("hirundo_test_admin")
        admin.query("GRANT CONNECT ON DATABASE hirundo_empty TO hirundo_test_admin")
        admin.config.write_text(f'dsn = "{server.dsn("hirundo_empty", "hirundo_test_admin")}"\n')
        admin.run("verify")
        admin.run("sensor", "add", "a", "--region", "JP", "--address", "203.0.113.7")
        assert "203.0.113.7" in admin.run("sensor", "list", "--addresses").stdout
    finally:
        admin.query("REVOKE ALL ON DATABASE hirundo_empty FROM hirundo_test_admin")
        server.query("DROP ROLE hirundo_test_admin", dbname="postgres")
