"""What each role may and may not do; asked as that role."""
import psycopg
import pytest

SECRETS = ["sensor_address", "sensor_connection"]
PEOPLE = ["hirundo_analyst", "hirundo_dashboard"]
ALL = ["hirundo_ingest", *PEOPLE]


@pytest.fixture
def filled(installation):
    """A sensor with an address, a connection, a day, and a refused record."""
    installation.query("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                       " VALUES (1, 'a', 'urn:hirundo:sensor:a', 'JP', 'JP-1')")
    with installation.connect("hirundo_ingest") as c:
        c.execute("SELECT hirundo.ensure_day('2026-01-01', 1)")
        c.execute("SELECT hirundo.issue_targets(1, '{203.0.113.7}', '{NULL}')")
        c.execute("SELECT hirundo.connection_opened(1, 1, '198.51.100.9', 'test')")
        c.execute("INSERT INTO hirundo.ingest_reject (sensor_id, epoch, seq, packets, reason, bytes, frame, received_at)"
                  " VALUES (1, 1, 1, 1, 'test', 3, 'abc', now())")
    return installation


def refused(installation, role: str, sql: str, error=psycopg.errors.InsufficientPrivilege) -> None:
    with installation.connect(role) as c:
        # The right is missing, not only the mode of the session.
        c.execute("SET default_transaction_read_only = off")
        with pytest.raises(error):
            c.execute(sql)


def tables(installation) -> list[str]:
    return [name for (name,) in installation.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'hirundo'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition ORDER BY 1")]


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("table", SECRETS)
def test_addresses_are_the_owners(filled, role, table):
    refused(filled, role, f"SELECT * FROM hirundo.{table}")
    refused(filled, role, f"SELECT count(*) FROM hirundo.{table}")
    assert filled.query(f"SELECT count(*) FROM hirundo.{table}") == [(1,)]


@pytest.mark.parametrize("role", ALL)
def test_refused_frames_are_the_owners(filled, role):
    refused(filled, role, "SELECT frame FROM hirundo.ingest_reject")
    refused(filled, role, "SELECT * FROM hirundo.ingest_reject")
    # Nor by a detour that needs no right on the column itself.
    refused(filled, role, "SELECT ingest_reject FROM hirundo.ingest_reject")


def test_analyst_reads_all_else(filled):
    with filled.connect("hirundo_analyst") as c:
        for table in set(tables(filled)) - set(SECRETS) - {"ingest_reject"}:
            c.execute(f"SELECT * FROM hirundo.{table} LIMIT 1")
        assert c.execute("SELECT reason, kept FROM hirundo.ingest_reject").fetchall() == [("test", True)]
        c.execute("SELECT * FROM hirundo.verify_streams()")
        c.execute("SELECT * FROM hirundo.verify_days()")
        assert c.execute("SELECT hirundo.role(1024)").fetchone() == ("response",)


@pytest.mark.parametrize("role", PEOPLE)
def test_people_write_nothing(filled, role):
    for table in tables(filled):
        refused(filled, role, f"DELETE FROM hirundo.{table}")
        refused(filled, role, f"TRUNCATE hirundo.{table}")
        refused(filled, role, f"INSERT INTO hirundo.{table} DEFAULT VALUES")
    refused(filled, role, "SELECT hirundo.drop_day('2026-01-01')")
    refused(filled, role, "SELECT hirundo.ensure_day('2026-01-02', 1)")
    refused(filled, role, "SELECT hirundo.issue_targets(1, '{203.0.113.8}', '{NULL}')")
    refused(filled, role, "CREATE TABLE hirundo.x ()")
    refused(filled, role, "CREATE TABLE report.x ()")
    refused(filled, role, "CREATE TABLE public.x ()")
    refused(filled, role, "CREATE SCHEMA x")


@pytest.mark.parametrize("role", PEOPLE)
def test_people_start_read_only(filled, role):
    with filled.connect(role) as c:
        assert c.execute("SHOW transaction_read_only").fetchone() == ("on",)
        assert c.execute("SHOW statement_timeout").fetchone() != ("0",)


def test_dashboard_reads_nothing_raw(filled):
    for table in tables(filled):
        refused(filled, "hirundo_dashboard", f"SELECT FROM hirundo.{table}")
    refused(filled, "hirundo_dashboard", "SELECT FROM hirundo.observation_20260101")
    refused(filled, "hirundo_dashboard", "SELECT hirundo.verify_streams()")
    with filled.connect("hirundo_dashboard") as c:
        assert c.execute("SELECT has_schema_privilege('report', 'USAGE')").fetchone() == (True,)
        assert c.execute("SHOW statement_timeout").fetchone() == ("10s",)


def test_ingest_owns_nothing(filled):
    assert filled.query("SELECT count(*) FROM pg_shdepend WHERE refobjid = 'hirundo_ingest'::regrole"
                        " AND deptype = 'o'") == [(0,)]
    for sql in ("CREATE TABLE hirundo.x ()",
                "CREATE TABLE hirundo.x PARTITION OF hirundo.observation FOR VALUES FROM ('2026-02-01') TO ('2026-02-02')",
                "DROP TABLE hirundo.observation_20260101",
                "ALTER TABLE hirundo.observation ADD COLUMN x int",
                "CREATE INDEX ON hirundo.observation_20260101 (src)",
                "TRUNCATE hirundo.observation",
                "CREATE FUNCTION hirundo.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "CREATE TEMPORARY TABLE x ()"):
        refused(filled, "hirundo_ingest", sql)


def test_ingest_changes_no_history(filled):
    """What is written stays: only positions and capture files move."""
    # The verdict on a day is written anew; verdict_history keeps what it was.
    verdict = {name for name in tables(filled) if name.startswith(("hop_", "campaign"))} | {"verdict", "verdict_due", "verdict_touched"}
    for table in set(tables(filled)) - {"ingest_state", "ingest_capture"} - verdict:
        refused(filled, "hirundo_ingest", f"DELETE FROM hirundo.{table}")
        column = filled.query("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
                              (f"hirundo.{table}",))[0][0]
        refused(filled, "hirundo_ingest", f"UPDATE hirundo.{table} SET {column} = {column}")
    for table in ("ingest_state", "ingest_capture"):
        refused(filled, "hirundo_ingest", f"DELETE FROM hirundo.{table}")


def test_ingest_commits_durably(filled):
    with filled.connect("hirundo_ingest") as c:
        assert c.execute("SHOW synchronous_commit").fetchone() == ("on",)
        for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            assert c.execute(f"SHOW {setting}").fetchone() != ("0",), setting


@pytest.mark.parametrize("role", [*ALL, "hirundo_owner"])
def test_roles_are_plain(filled, role):
    assert filled.query("SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, rolcanlogin"
                        " FROM pg_roles WHERE rolname = %s", (role,)) == [(False, role != "hirundo_owner")]


def test_nothing_for_strangers(filled):
    """Another role of the cluster does not even connect, and would find nothing if it did."""
    rows = filled.query("""
        SELECT 'database' FROM pg_database, aclexplode(datacl) WHERE datname = current_database() AND grantee = 0
        UNION ALL SELECT relname FROM pg_class, aclexplode(relacl)
            WHERE relnamespace IN ('hirundo'::regnamespace, 'report'::regnamespace) AND grantee = 0
        UNION ALL SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl)
            WHERE relnamespace = 'hirundo'::regnamespace AND grantee = 0
        UNION ALL SELECT nspname FROM pg_namespace, aclexplode(nspacl)
            WHERE nspname IN ('hirundo', 'report') AND grantee = 0""")
    # A copy of a template does not copy the rights on the database; db migrate gives them again.
    assert rows in ([], [("database",)])
    filled.admin.run("db", "migrate")
    assert filled.query("SELECT count(*) FROM pg_database, aclexplode(datacl) WHERE datname = current_database()"
                        " AND grantee = 0") == [(0,)]


def test_statistics_show_no_address(filled):
    """pg_stats has samples of values: only of what may be read."""
    filled.query("ANALYZE")
    for role in ALL:
        with filled.connect(role) as c:
            assert c.execute("SELECT count(*) FROM pg_stats WHERE tablename IN ('sensor_address', 'sensor_connection')"
                             " OR attname = 'frame'").fetchone() == (0,)
