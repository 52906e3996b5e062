"""hirundo-admin viewer: certificates of their own, whole or not at all; and who a session then is."""
import datetime
import re
import subprocess

import psycopg
import pytest

from test_admin import mode, openssl


def viewer(installation, *argv, check: bool = True):
    return installation.admin.run("viewer", *argv, check=check)


def rows(installation) -> list[tuple]:
    return installation.query("SELECT name, everything, regions, login, disabled_at IS NULL FROM hirundo.viewer ORDER BY 1")


CENTRAL = ("central", True, [], None, True)


def test_central_is_there(installation):
    assert rows(installation) == [CENTRAL]


def test_bundle(installation, tmp_path):
    folder = tmp_path / "new" / "au"
    out = viewer(installation, "add", "au", "--region", "AU", "NZ", "--region", "AU", "--bundle", folder).stdout
    assert rows(installation) == [("au", False, ["AU", "NZ"], None, True), CENTRAL]
    assert mode(folder) == 0o700 and {path.name: mode(path) for path in folder.iterdir()} == dict.fromkeys(
        ["ca.crt", "viewer.crt", "viewer.key", "viewer.p12"], 0o600)
    assert [path.name for path in folder.parent.iterdir()] == ["au"]
    openssl("verify", "-CAfile", folder / "ca.crt", "-purpose", "sslclient", folder / "viewer.crt")
    text = openssl("x509", "-in", folder / "viewer.crt", "-noout", "-text")
    assert re.findall(r"URI:(\S+)", text) == ["urn:hirundo:viewer:au"]
    key = openssl("x509", "-in", folder / "viewer.crt", "-noout", "-pubkey")
    assert key == openssl("pkey", "-in", folder / "viewer.key", "-pubout")
    # What a browser imports: the same, with the pass phrase that was told.
    phrase = re.search(r"pass phrase of viewer\.p12: ([0-9a-f]{20})\n", out)[1]
    held = openssl("pkcs12", "-in", folder / "viewer.p12", "-passin", f"pass:{phrase}", "-nodes")
    assert (folder / "viewer.crt").read_text() in held and (folder / "ca.crt").read_text() in held
    assert (folder / "viewer.key").read_text() in held
    assert subprocess.run(["openssl", "pkcs12", "-in", folder / "viewer.p12", "-passin", "pass:", "-nodes"],
                          capture_output=True).returncode != 0


def test_days(installation, tmp_path):
    installation.admin.config.write_text(installation.admin.config.read_text() + "viewer_certificate_days = 30\n")
    viewer(installation, "add", "all", "--everything", "--bundle", tmp_path / "all")
    till = openssl("x509", "-in", tmp_path / "all" / "viewer.crt", "-noout", "-enddate").strip().split("=")[1]
    left = datetime.datetime.strptime(till, "%b %d %H:%M:%S %Y %Z") - datetime.datetime.utcnow()
    assert datetime.timedelta(days=29, hours=23) < left <= datetime.timedelta(days=30)


@pytest.mark.parametrize("argv,code,text", [
    (["add", "au"], 64, "--region or --everything"), (["add", "au", "--region", "AU", "--everything"], 64, "--everything"),
    (["add", "--region", "AU"], 64, "name"), (["add", "Au", "--region", "AU"], 64, "name"),
    (["add", "a" * 64, "--region", "AU"], 64, "name"), (["add", "-a", "--region", "AU"], 64, ""),
    (["add", "au", "--region", "au"], 64, "--region"), (["add", "au", "--region", "ZZ"], 64, "ZZ"),
    (["add", "au", "--region", "AU}"], 64, "--region"), (["add", "au", "--region"], 64, ""),
    (["add", "au", "nz", "--region", "AU"], 64, "arguments"), (["add", "au", "--region", "AU", "--unknown"], 64, ""),
    (["add", "central", "--everything"], 65, "central"), (["add", "au", "--region", "AU", "--login", "nobody-"], 65, "role"),
    (["disable"], 64, "arguments"), (["disable", "nobody"], 65, "nobody"), (["list", "x"], 64, "x"),
    (["renew", "central"], 64, "arguments"), (["renew", "nobody", "--bundle", "x"], 65, "nobody"),
])
def test_bad_arguments(installation, argv, code, text):
    run = viewer(installation, *argv, check=False)
    assert run.returncode == code and text in run.stderr
    assert rows(installation) == [CENTRAL]


def test_whole_or_not_at_all(installation, tmp_path):
    """No viewer without the bundle that was asked for, and no bundle without its viewer."""
    bundles = tmp_path / "bundles"
    full = bundles / "full"
    full.mkdir(parents=True)
    (full / "mine").write_text("x")
    run = viewer(installation, "add", "au", "--region", "AU", "--bundle", full, check=False)
    assert run.returncode == 73 and "there already" in run.stderr
    assert rows(installation) == [CENTRAL] and [p.name for p in bundles.rglob("*")] == ["full", "mine"]
    installation.query("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS"
                       " $$ BEGIN RAISE EXCEPTION 'not today'; END $$")
    installation.query("CREATE CONSTRAINT TRIGGER no AFTER INSERT ON hirundo.viewer DEFERRABLE INITIALLY DEFERRED"
                       " FOR EACH ROW EXECUTE FUNCTION public.no()")
    run = viewer(installation, "add", "au", "--region", "AU", "--bundle", bundles / "b", check=False)
    assert run.returncode != 0 and "not today" in run.stderr and "pass phrase" not in run.stdout
    installation.query("DROP TRIGGER no ON hirundo.viewer")
    (installation.folder / "ca" / "ca.key").unlink()
    assert viewer(installation, "add", "au", "--region", "AU", "--bundle", bundles / "b", check=False).returncode == 66
    assert rows(installation) == [CENTRAL] and [p.name for p in bundles.rglob("*")] == ["full", "mine"]


def test_disable_list_renew(installation, tmp_path):
    viewer(installation, "add", "au", "--region", "AU")
    viewer(installation, "renew", "au", "--bundle", tmp_path / "au")
    first = (tmp_path / "au" / "viewer.key").read_bytes()
    viewer(installation, "renew", "au", "--bundle", tmp_path / "again")
    assert (tmp_path / "again" / "viewer.key").read_bytes() != first
    assert viewer(installation, "disable", "au").stdout == "viewer au: disabled\n"
    assert viewer(installation, "disable", "au").stdout == "viewer au: was disabled already\n"
    run = viewer(installation, "renew", "au", "--bundle", tmp_path / "more", check=False)
    assert run.returncode == 65 and not (tmp_path / "more").exists()
    lines = [line.split() for line in viewer(installation, "list").stdout.splitlines()]
    assert lines[0] == ["name", "sees", "login", "enrolled", "state"]
    assert [(line[0], line[1], line[-1]) for line in lines[1:]] == [("au", "AU", "disabled"), ("central", "everything", "enabled")]
    # Names are in certificates: none comes back with other rights.
    assert viewer(installation, "add", "au", "--everything", check=False).returncode == 65


# Who a session is.

def asks(connection, sql: str = "SELECT name, everything, regions FROM report.viewer()"):
    return connection.execute(sql).fetchall()


def test_who_asks(installation):
    viewer(installation, "add", "au", "--region", "AU", "NZ")
    viewer(installation, "add", "gone", "--everything")
    viewer(installation, "disable", "gone")
    with installation.connect("hirundo_dashboard", None) as c:
        for name, text in [(None, "no viewer is named"), ("", "no viewer is named"), ("gone", "gone is disabled"),
                           ("nobody", "no viewer nobody"), ("AU", "no viewer AU"), ("au ", "no viewer"),
                           ("central' OR true --", "no viewer central'")]:
            if name is not None:
                c.execute("SELECT set_config('hirundo.viewer', %s, false)", (name,))
            for function in ("viewer()", "sensors()", "sensor_regions()", "catalog()", "top_services('[2026-01-01,2026-01-02)')"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match=text):
                    asks(c, f"SELECT * FROM report.{function}")
        for name, want in (("au", ("au", False, ["AU", "NZ"])), ("central", ("central", True, []))):
            c.execute("SELECT set_config('hirundo.viewer', %s, false)", (name,))
            assert asks(c) == [want]
    for role in ("hirundo_analyst", "postgres"):
        with installation.connect(role) as c:
            assert asks(c) == [(None, True, [])]
    # An analyst may look as a viewer does.
    with installation.connect("hirundo_analyst") as c:
        c.execute("SET hirundo.viewer = 'au'")
        assert asks(c) == [("au", False, ["AU", "NZ"])]
        c.execute("SET hirundo.viewer = 'gone'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            asks(c)


def test_a_transaction_s_viewer_ends_with_it(installation):
    """As the dashboard's server asks."""
    with installation.connect("hirundo_dashboard", None) as c:
        with c.transaction():
            c.execute("SELECT set_config('hirundo.viewer', 'central', true)")
            assert asks(c)[0][0] == "central"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no viewer is named"):
            asks(c)


@pytest.fixture
def login(installation):
    installation.query("CREATE ROLE hirundo_test_login LOGIN IN ROLE hirundo_dashboard")
    installation.query(f'GRANT CONNECT ON DATABASE "{installation.dbname}" TO hirundo_test_login')
    installation.server.allow("hirundo_test_login")
    yield "hirundo_test_login"
    installation.query("DROP OWNED BY hirundo_test_login")
    installation.query("DROP ROLE hirundo_test_login")


def test_a_login_is_its_viewer(installation, login):
    """Who types SQL (Grafana's editors) can set anything, but is one viewer alone."""
    viewer(installation, "add", "au", "--region", "AU", "--login", login)
    with installation.connect(login) as c:
        assert asks(c) == [("au", False, ["AU"])]
        c.execute("SET hirundo.viewer = 'au'")
        assert asks(c) == [("au", False, ["AU"])]
        c.execute("SET hirundo.viewer = 'central'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is viewer au, not central"):
            asks(c)
        c.execute("RESET hirundo.viewer")
        c.execute("SET ROLE hirundo_dashboard")
        assert asks(c) == [("au", False, ["AU"])]
    viewer(installation, "disable", "au")
    with installation.connect(login) as c, pytest.raises(psycopg.errors.InsufficientPrivilege, match="disabled"):
        asks(c)
