"""Who may come in beyond loopback: client certificates of the CA, or a proxy on a Unix socket; and nobody else."""
import grp
import http.client
import os
import pathlib
import re
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile

import pytest

from harness.certificates import CLIENT, SERVER, Authority
from harness.dashboard import Dashboard
from harness.hirundo import DAEMON_USER
from test_dashboard_server import running_queries, slow_function, until

VIEWER = "urn:hirundo:viewer:"
WHOLE = {"from": "2026-01-30", "to": "2026-02-02"}


def context(authority, cert=None, key=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    if cert:
        context.load_cert_chain(cert, key)
    return context


@pytest.fixture
def certificates(installation):
    ca = installation.folder / "ca"
    installation.admin.run("ca", "init", "--server", "dashboard", "--server-name", "localhost")
    return {"ca_file": ca / "ca.crt", "cert_file": ca / "dashboard.crt", "key_file": ca / "dashboard.key", "viewer": None}


@pytest.fixture
def dashboard(installation, certificates):
    installation.admin.run("viewer", "add", "au", "--region", "AU", "--bundle", installation.folder / "au")
    dashboard = Dashboard(installation.folder, installation.dsn("hirundo_dashboard"), **certificates)
    installation.processes.append(dashboard)
    dashboard.start().ready()
    dashboard.tls = context(certificates["ca_file"], installation.folder / "au" / "viewer.crt",
                            installation.folder / "au" / "viewer.key")
    return dashboard


def refused(dashboard, tls) -> bool:
    """No HTTP is spoken with it."""
    good, dashboard.tls = dashboard.tls, tls
    try:
        return dashboard.get("/api/viewer").status is None
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return True
    finally:
        dashboard.tls = good


def test_the_certificate_names_the_viewer(installation, dashboard):
    row = dashboard.api("viewer").json()["rows"][0]
    assert row["name"] == "au" and row["regions"] == ["AU"] and not row["everything"]
    assert dashboard.get("/").status == 200 and dashboard.get("/healthz").status == 200
    assert dashboard.api("viewer", format="csv").text.split("\r\n")[1].startswith("au,")
    # A header names nobody here.
    for header in ("X-Viewer", "X-Remote-User", "Remote-User", "X-Forwarded-User", "X-SSL-Client-Verify"):
        assert dashboard.get("/api/viewer", {header: "central"}).json()["rows"][0]["name"] == "au"
    line = dashboard.wait_log(r".*path=\"/api/viewer\".*")[0]
    assert "viewer=au" in line


def test_tls_is_new_and_lasts_one_connection(dashboard, certificates):
    with socket.create_connection(("127.0.0.1", dashboard.port)) as plain:
        with dashboard.tls.wrap_socket(plain, server_hostname="localhost") as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while s.recv(4096):
                pass
            assert s.version() == "TLSv1.3" and not s.session_reused
            assert s.session is None or not s.session.has_ticket
    old = context(certificates["ca_file"])
    old.load_cert_chain(dashboard.folder / "au" / "viewer.crt", dashboard.folder / "au" / "viewer.key")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert refused(dashboard, old)
    with pytest.raises((http.client.BadStatusLine, ConnectionError)):  # no plain text on that port
        good, dashboard.tls = dashboard.tls, None
        try:
            dashboard.get("/healthz")
        finally:
            dashboard.tls = good


def test_others_are_refused(installation, dashboard, certificates):
    ca, other = Authority(installation.folder / "ca"), Authority(installation.folder / "other")
    bundle = installation.enroll("jp1", "JP").bundle
    pairs = {
        "nobody": (None, None),
        "foreign": other.issue(installation.folder / "c1", [VIEWER + "au"]),
        "sensor": (bundle / "sensor.crt", bundle / "sensor.key"),
        "expired": ca.issue(installation.folder / "c2", [VIEWER + "au"], start_s=-7200, end_s=-60),
        "not yet": ca.issue(installation.folder / "c3", [VIEWER + "au"], start_s=3600),
        "server": ca.issue(installation.folder / "c4", [VIEWER + "au"], usage=SERVER),
        "two names": ca.issue(installation.folder / "c5", [VIEWER + "au", VIEWER + "central"]),
        "no name": ca.issue(installation.folder / "c6", [], ["au.example"]),
        "bad name": ca.issue(installation.folder / "c7", [VIEWER + "Central'--"]),
        "prefix": ca.issue(installation.folder / "c8", ["urn:hirundo:viewer-x:au"]),
    }
    for what, (cert, key) in pairs.items():
        assert refused(dashboard, context(certificates["ca_file"], cert, key)), what
    assert dashboard.log.count("state=refused") >= 1
    good = ca.issue(installation.folder / "good", [VIEWER + "au"], usage=CLIENT)
    dashboard.tls = context(certificates["ca_file"], *good)
    assert dashboard.api("viewer").json()["rows"][0]["name"] == "au"
    # Signed by the CA, unknown to the database.
    dashboard.tls = context(certificates["ca_file"], *ca.issue(installation.folder / "nz", [VIEWER + "nz"]))
    assert dashboard.api("viewer").status == 403 and dashboard.api("top_services", **WHOLE, format="csv").status == 403


def test_disabled_viewer(installation, dashboard):
    connection = dashboard.connection()
    connection.request("GET", "/api/viewer")
    assert connection.getresponse().read()
    installation.admin.run("viewer", "disable", "au")
    connection.request("GET", "/api/viewer")  # also on a connection that is open
    answer = connection.getresponse()
    assert answer.status == 403 and b"42501" in answer.read()
    connection.close()


def test_revoked_certificate(installation, certificates):
    """A revocation list counts, and an expired one refuses everybody."""
    installation.admin.run("viewer", "add", "au", "--region", "AU", "--bundle", installation.folder / "au")
    ca = installation.folder / "ca"
    (ca / "openssl.cnf").write_text(
        f"[ca]\ndefault_ca = c\n[c]\ndatabase = {ca}/index\ncrlnumber = {ca}/number\ndefault_md = sha256\n"
        f"certificate = {ca}/ca.crt\nprivate_key = {ca}/ca.key\ndefault_crl_days = 1\n")
    (ca / "index").write_text("")
    (ca / "number").write_text("01\n")

    def openssl(*argv):
        run = subprocess.run(["openssl", "ca", "-config", ca / "openssl.cnf", *map(str, argv)], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr

    openssl("-gencrl", "-out", ca / "list.crl")
    dashboard = Dashboard(installation.folder, installation.dsn("hirundo_dashboard"), **certificates, crl_file=ca / "list.crl")
    installation.processes.append(dashboard)
    dashboard.start().ready()
    tls = context(certificates["ca_file"], installation.folder / "au" / "viewer.crt", installation.folder / "au" / "viewer.key")
    dashboard.tls = tls
    assert dashboard.get("/api/viewer").status == 200
    openssl("-revoke", installation.folder / "au" / "viewer.crt")
    openssl("-gencrl", "-out", ca / "list.crl")
    dashboard.reload()
    assert refused(dashboard, tls)


def test_certificates_are_reloaded(installation, dashboard, certificates):
    """A new certificate counts for new connections, old connections go on; a bad one leaves what was."""
    def serial() -> bytes:
        with socket.create_connection(("127.0.0.1", dashboard.port)) as plain:
            with dashboard.tls.wrap_socket(plain, server_hostname="localhost") as s:
                return s.getpeercert(binary_form=True)

    connection = dashboard.connection()
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    first = serial()
    installation.admin.run("ca", "init", "--server", "dashboard", "--server-name", "localhost")
    assert serial() == first
    dashboard.reload()
    second = serial()
    assert second != first
    connection.request("GET", "/api/viewer")
    assert connection.getresponse().status == 200
    connection.close()
    pathlib.Path(certificates["key_file"]).write_text("nonsense")
    dashboard.reload()
    assert serial() == second and "the old certificates stay" in dashboard.log


def test_bad_certificates_at_the_start(installation, certificates):
    ca = Authority(installation.folder / "ca")
    client = ca.issue(installation.folder / "c1", [VIEWER + "au"])
    for options, text in (({"cert_file": client[0], "key_file": client[1]}, "serverAuth"),
                          ({"key_file": client[1]}, "does not belong"),
                          ({"ca_file": installation.folder / "none"}, "No such file")):
        dashboard = Dashboard(installation.folder, "dbname=x", name="bad", **{**certificates, **options})
        run = subprocess.run([*dashboard.argv, "--check-config"], capture_output=True, text=True)
        assert run.returncode == 78 and text in run.stderr, run.stderr


def test_all_addresses_with_certificates(installation, certificates):
    dashboard = Dashboard(installation.folder, installation.dsn("hirundo_dashboard"), **certificates)
    dashboard.write(listen=f"0.0.0.0:{dashboard.port}")
    installation.processes.append(dashboard)
    dashboard.start().ready()
    assert refused(dashboard, context(certificates["ca_file"]))


# Behind a proxy.

@pytest.fixture
def behind(installation):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hirundo-proxy-"))
    installation.admin.run("viewer", "add", "au", "--region", "AU")
    dashboard = Dashboard(installation.folder, installation.dsn("hirundo_dashboard"), listen=f"unix:{folder}/d.sock",
                          viewer=None, viewer_header="X-Hirundo-Viewer", hosts=["localhost", "hirundo.example"])
    installation.processes.append(dashboard)
    yield dashboard
    dashboard.stop()
    shutil.rmtree(folder)


def test_the_header_names_the_viewer(behind):
    behind.start().ready()
    answer = behind.get("/api/viewer", {"X-Hirundo-Viewer": "au", "Host": "hirundo.example"})
    assert answer.json()["rows"][0]["name"] == "au"
    assert behind.get("/api/viewer", {"x-hirundo-viewer": "central"}).json()["rows"][0]["everything"] is True
    assert behind.get("/", {"X-Hirundo-Viewer": "au"}).status == 200
    for headers in ({}, {"X-Hirundo-Viewer": ""}, {"X-Hirundo-Viewer": "Au"}, {"X-Hirundo-Viewer": "au, central"},
                    {"X-Hirundo-Viewer": "a" * 64}, {"X-Remote-User": "au"}):
        for path in ("/", "/api/viewer", "/assets/x"):
            assert behind.get(path, headers).status == 403, headers
    assert behind.get("/api/viewer", {"X-Hirundo-Viewer": "nobody"}).status == 403
    assert behind.get("/healthz").status == 200  # the proxy's own question
    # Twice, as where a proxy adds its own to a client's: nobody.
    with behind.raw() as s:
        s.sendall(b"GET /api/viewer HTTP/1.1\r\nHost: localhost\r\nX-Hirundo-Viewer: central\r\nX-hirundo-viewer: au\r\n"
                  b"Connection: close\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 403")


def test_mode_and_group_of_the_socket(behind):
    behind.start().ready()
    found = os.stat(behind.socket)
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
    behind.stop()
    assert not os.path.exists(behind.socket)
    if os.geteuid() == 0:
        behind.write(socket_group="www-data")
        behind.start().ready()
        assert os.stat(behind.socket).st_gid == grp.getgrnam("www-data").gr_gid


def test_a_socket_that_is_left_is_replaced_and_one_in_use_is_not(behind, installation):
    behind.start().ready()
    other = Dashboard(installation.folder, "dbname=x", name="other", listen=f"unix:{behind.socket}", viewer=None,
                      viewer_header="X-Hirundo-Viewer")
    run = subprocess.run(other.argv, capture_output=True, text=True, timeout=10)
    assert run.returncode == 69 and "already in use" in run.stderr
    behind.kill()
    assert os.path.exists(behind.socket)
    behind.start().ready()
    until(lambda: behind.get("/healthz").status == 200)
    behind.stop()
    path = pathlib.Path(behind.socket)
    path.write_text("somebody's file")
    run = subprocess.run(behind.argv, capture_output=True, text=True, timeout=10)
    assert run.returncode == 69 and path.read_text() == "somebody's file"


def test_a_statement_ends_with_its_client_behind_a_proxy(behind, installation):
    slow_function(installation)
    behind.start().ready()
    s = behind.raw()
    s.sendall(b"GET /api/catalog HTTP/1.1\r\nHost: localhost\r\nX-Hirundo-Viewer: au\r\n\r\n")
    until(lambda: running_queries(installation) == 1)
    s.close()
    until(lambda: running_queries(installation) == 0, 1)


def test_large_answers_over_tls(installation, dashboard):
    slow_function(installation, 0, 5000, 2000)
    rows = dashboard.get("/api/catalog", timeout=60).json()["rows"]
    assert [row["function"] for row in rows] == [str(i) for i in range(1, 5001)]


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_privileges_are_dropped(open_folder, installation):
    """Started by root it is nobody, without capabilities, and serves."""
    dashboard = Dashboard(open_folder, installation.dsn("hirundo_dashboard"), user="nobody")
    installation.processes.append(dashboard)
    assert DAEMON_USER == "root"
    dashboard.start().ready()
    assert re.match(r"65534\s+65534", dashboard.status("Uid")) and dashboard.status("CapBnd") == "0" * 16
    assert dashboard.get("/api/viewer").status == 200
    dashboard.stop()
