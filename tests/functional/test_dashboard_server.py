"""hirundo-dashboard as a server: who may come in, what it refuses, slow and vanished clients, the database away."""
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import re
import signal
import subprocess
import time

import pytest

from harness.dashboard import Dashboard, target
from harness.paths import program

WHOLE = {"from": "2026-01-30", "to": "2026-02-02"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
          "form-action 'self'; base-uri 'none'; frame-ancestors 'none'")


def slow_function(installation, seconds: float = 30, rows: int = 1, width: int = 10) -> None:
    """A function of the table that takes long, or yields much."""
    with installation.connect() as connection:
        connection.execute("DROP FUNCTION report.catalog()")
        connection.execute(
            "CREATE FUNCTION report.catalog() RETURNS TABLE (analysis text, function text) LANGUAGE sql STABLE SECURITY DEFINER"
            " SET search_path = pg_catalog, pg_temp AS $$ SELECT repeat('x', %d), i::text FROM generate_series(1, %d) i,"
            " (SELECT pg_sleep(%s) OFFSET 0) s $$" % (width, rows, seconds))
        connection.execute("GRANT EXECUTE ON FUNCTION report.catalog() TO hirundo_dashboard")


@pytest.fixture
def start(installation):
    def start(**options) -> Dashboard:
        dashboard = Dashboard(installation.folder, installation.dsn("hirundo_dashboard"), **options)
        installation.processes.append(dashboard)
        dashboard.start().ready()
        until(lambda: dashboard.get("/healthz").status == 200)  # it is ready before the database is
        return dashboard
    return start


def memory_is_bounded(dashboard) -> bool:
    """Sanitizers have memory of their own."""
    return dashboard.memory_peak() < 64 << 20 or "sanitize" in str(program("hirundo-dashboard"))


def running_queries(installation) -> int:
    return installation.query("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = 'hirundo_dashboard'"
                              " AND state = 'active'", (installation.dbname,))[0][0]


def until(what, timeout: float = 10):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


# What it refuses.

def test_methods_hosts_and_paths(start):
    dashboard = start()
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        answer = dashboard.get("/api/viewer", method=method)
        assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD", method
    for host in ("localhost", "127.0.0.1", "LOCALHOST:80", f"127.0.0.1:{dashboard.port}", "[::1]:7413", "[::1]"):
        assert dashboard.get("/healthz", {"Host": host}).status == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.2", "", "localhost@evil", "[::1", "[::1]x", "::1"):
        for path in ("/", "/api/viewer", "/healthz"):
            assert dashboard.get(path, {"Host": host}).status == 421, host
    for path, status in (("/nothing", 404), ("/r", 404), ("/r/", 404), ("/r/JP/x", 404), ("/queries/x", 404), ("/assets/", 404),
                         ("/assets/index.html", 404), ("/assets/../index.html", 404), ("/%2e%2e/etc/passwd", 404),
                         ("/%00", 400), ("/%zz", 400), ("/r/%ff", 400), ("//", 404), ("http://localhost/", 400)):
        assert dashboard.get(path, {"Host": "localhost"}).status == status, path
    for path in ("/", "/r/JP", "/sensor/3", "/service/23-TCP", "/source/192.0.2.1", "/source/2001:db8::1", "/network/as-4713",
                 "/network/192.0.2.0-24", "/network/group-a%20b", "/spoofing", "/quarter/2026Q3", "/queries", "/?from=x"):
        answer = dashboard.get(path)
        assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8", path


def test_headers_are_on_everything(start):
    dashboard = start()
    for path in ("/", "/healthz", "/api/viewer", "/api/nothing", "/api/viewer?format=csv", "/nothing", "/%00"):
        answer = dashboard.get(path)
        assert answer.headers["content-security-policy"] == POLICY, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == answer.headers["cross-origin-resource-policy"] == "same-origin"
        if path.startswith("/api"):
            assert answer.headers["cache-control"] == "private, no-cache"
        assert "set-cookie" not in answer.headers and "server" not in answer.headers


def raw(dashboard, data: bytes, timeout: float = 10) -> bytes:
    with dashboard.raw(timeout) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := s.recv(65536):
                got += piece
        return got


def test_oversized_and_broken_requests(start):
    dashboard = start()
    assert dashboard.get("/api/viewer?" + "x" * 8192).status == 414
    assert dashboard.get(target("top_services", **WHOLE, filter={"sources": ["192.0.2.1"] * 400})).status in (200, 400)
    status = raw(dashboard, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70000 + b"\r\n\r\n").split(b" ")[1:2]
    assert status in ([b"431"], [b"413"], [])
    assert raw(dashboard, b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n").split(b" ")[1:2] in (
        [b"414"], [b"431"], [])
    close = b"Connection: close\r\n\r\n"
    assert raw(dashboard, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n" + close).startswith(b"HTTP/1.1 4")
    assert raw(dashboard, b"GET /healthz HTTP/1.1\r\n" + close).startswith(b"HTTP/1.1 4")
    assert raw(dashboard, b"GET /api/viewer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")[:12] == b"HTTP/1.1 413"
    assert raw(dashboard, b"GET /api/viewer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
               )[:12] == b"HTTP/1.1 413"
    for junk in (b"\0" * 64, b"\xff\xfe\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"):
        with dashboard.raw() as s:
            s.sendall(junk)
    assert dashboard.get("/api/viewer").status == 200


def test_head_has_no_body(start):
    dashboard = start()
    for path in ("/", "/healthz", "/api/viewer", "/api/catalog", "/api/nothing"):
        answer = dashboard.get(path, method="HEAD")
        assert answer.status == dashboard.get(path).status and answer.body == b"", path


def test_assets(start):
    """Strong ETags, each form its own; kept for ever where the name has the content's hash."""
    dashboard = start()
    page = dashboard.get("/")
    assert page.headers["cache-control"] == "no-cache" and "content-encoding" not in page.headers
    names = re.findall(r'"(/assets/[^"]+)"', page.text)
    assert len(names) >= 2
    for path in ["/", *names]:
        plain = dashboard.get(path)
        packed = dashboard.get(path, {"Accept-Encoding": "br;q=1.0, gzip"})
        assert plain.status == packed.status == 200 and packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert plain.headers["etag"] != packed.headers["etag"] and not plain.headers["etag"].startswith("W/")
        assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
        if path != "/":
            assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
        for accept, etag in (("identity", plain.headers["etag"]), ("gzip", packed.headers["etag"])):
            for match in (etag, f'"other", {etag}', "W/" + etag, "*"):
                answer = dashboard.get(path, {"If-None-Match": match, "Accept-Encoding": accept})
                assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
                assert answer.headers["cache-control"] == plain.headers["cache-control"]
            assert dashboard.get(path, {"If-None-Match": '"other"', "Accept-Encoding": accept}).status == 200
        for refused in ("gzip;q=0", "gzip; q=0.000", "br", "x-gzip-not", ""):
            assert "content-encoding" not in dashboard.get(path, {"Accept-Encoding": refused}).headers, refused


def test_access_log(start):
    dashboard = start()
    dashboard.api("source", **WHOLE, src="192.0.2.99")
    dashboard.get("/nothing%0aforged%20level=error")
    line = dashboard.wait_log(r'.*path="/api/source".*')[0]
    assert "method=GET" in line and "status=" in line and "viewer=central" in line and "ms=" in line
    assert "192.0.2.99" not in dashboard.log  # the query stays out
    assert "\nforged" not in dashboard.log and "password" not in dashboard.log


# Clients that do not behave.

def test_statement_ends_with_its_client(installation, start):
    """Within a second of the client's end nothing runs in the database."""
    slow_function(installation)
    dashboard = start()
    for form in ("", "?format=csv"):
        s = dashboard.raw()
        s.sendall(b"GET /api/catalog" + form.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: running_queries(installation) == 1)
        s.close()
        begin = time.monotonic()
        until(lambda: running_queries(installation) == 0)
        assert time.monotonic() - begin < 1
    assert dashboard.metrics()["hirundo_dashboard_api_clients_gone_total"] == 2
    assert dashboard.metrics()["hirundo_dashboard_statements_cancelled_total"] == 2
    assert dashboard.get("/api/viewer").status == 200


def test_client_that_goes_while_it_waits_for_a_connection(installation, start):
    slow_function(installation)
    dashboard = start(connections=1)
    first, second = dashboard.raw(), dashboard.raw()
    for s in (first, second):
        s.sendall(b"GET /api/catalog HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: running_queries(installation) == 1)
    until(lambda: dashboard.metrics()["hirundo_dashboard_requests_waiting"] == 1)
    second.close()
    until(lambda: dashboard.metrics()["hirundo_dashboard_requests_waiting"] == 0)
    first.close()
    until(lambda: running_queries(installation) == 0)
    assert dashboard.get("/api/viewer").status == 200


def test_statement_ends_though_the_dashboard_was_killed(installation, start):
    slow_function(installation)
    dashboard = start()
    s = dashboard.raw()
    s.sendall(b"GET /api/catalog HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: running_queries(installation) == 1)
    dashboard.kill()
    until(lambda: running_queries(installation) == 0, 6)
    s.close()


def test_too_long_is_said(installation, start):
    slow_function(installation)
    dashboard = start(query_timeout="1s")
    begin = time.monotonic()
    answer = dashboard.get("/api/catalog")
    assert (answer.status, answer.error["code"]) == (504, "57014") and time.monotonic() - begin < 3
    assert running_queries(installation) == 0


def test_pool_exhausted(installation, start):
    """Two connections, six questions of 2.5 s each, and 4 s to wait: the last two are refused, clearly."""
    slow_function(installation, 2.5)
    dashboard = start(connections=2, query_timeout="4s")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: dashboard.get("/api/catalog"), range(6)))
    status = sorted(answer.status for answer in answers)
    assert status.count(200) == 4 and status.count(503) == 2, status
    refused = [answer for answer in answers if answer.status == 503]
    assert all(answer.headers["retry-after"] == "2" and answer.error["code"] == "busy" for answer in refused)
    assert dashboard.get("/api/viewer").status == 200
    assert dashboard.metrics()['hirundo_dashboard_requests_refused_total{reason="busy"}'] == 2


def test_slow_reader_cannot_hold_a_connection(installation, start):
    """100 MB for a client that does not read: bounded memory, and the only connection is free again in time."""
    slow_function(installation, 0, 10_000, 10_000)
    dashboard = start(connections=1, query_timeout="40s")
    s = dashboard.raw()
    s.sendall(b"GET /api/catalog HTTP/1.1\r\nHost: localhost\r\n\r\n")
    begin = time.monotonic()
    assert dashboard.get("/api/viewer", timeout=60).status == 200
    assert 20 < time.monotonic() - begin < 36
    assert memory_is_bounded(dashboard)
    body = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := s.recv(1 << 20):
            body += piece
    assert len(body) < 50 << 20 and not body.endswith(b"0\r\n\r\n")  # it is cut, and the client can see that
    s.close()


def test_large_answers_are_whole(installation, start):
    """Far more than any buffer, and memory stays bounded."""
    slow_function(installation, 0, 20_000, 2_000)
    dashboard = start()
    answer = dashboard.get("/api/catalog", timeout=60)
    rows = answer.json()["rows"]
    assert [row["function"] for row in rows] == [str(i) for i in range(1, 20_001)]
    text = dashboard.get("/api/catalog?format=csv", timeout=60).text
    assert text.count("\r\n") == 20_001 and text.endswith(",20000\r\n")
    assert memory_is_bounded(dashboard)


def test_error_after_the_first_rows_cuts_the_answer(installation, start):
    """Who has the beginning of an answer must not take it for the whole."""
    with installation.connect() as connection:
        connection.execute("DROP FUNCTION report.catalog()")
        connection.execute(
            "CREATE FUNCTION report.catalog() RETURNS TABLE (analysis text, function int) LANGUAGE sql STABLE AS"
            " $$ SELECT repeat('x', 1000), 1 / (5000 - i) FROM generate_series(1, 6000) i $$")
        connection.execute("GRANT EXECUTE ON FUNCTION report.catalog() TO hirundo_dashboard")
    dashboard = start()
    for form in ("json", "csv"):
        try:
            answer = dashboard.api("catalog", format=form)
            # Functions are computed before their first row is sent, so this one can say it.
            assert (answer.status, answer.error["code"]) == (400, "22012")
        except http.client.IncompleteRead:
            pass


def test_a_thousand_idle_connections(start):
    dashboard = start()
    idle = [dashboard.raw() for _ in range(1000)]
    for s in idle[::2]:
        s.sendall(b"GET / HTTP/1.1\r\nHost: ")
    until(lambda: dashboard.metrics()["hirundo_dashboard_connections"] == 1000)
    begin = time.monotonic()
    assert dashboard.get("/api/viewer").status == 200 and dashboard.get("/").status == 200
    assert time.monotonic() - begin < 2
    assert memory_is_bounded(dashboard)
    for s in idle:
        s.close()
    until(lambda: dashboard.metrics()["hirundo_dashboard_connections"] == 0)


@pytest.mark.slow
def test_headers_that_trickle_are_ended(start):
    dashboard = start()
    s = dashboard.raw(100)
    begin = time.monotonic()
    s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while time.monotonic() - begin < 100:
            s.sendall(b"x")
            time.sleep(0.5)
    assert 60 < time.monotonic() - begin < 90
    assert dashboard.metrics()["hirundo_dashboard_connections_timed_out_total"] == 1


def test_many_clients(start):
    dashboard = start()

    def one(number: int) -> None:
        connection = dashboard.connection()
        for i in range(20):
            path = ("/api/viewer", "/", "/api/top_services", "/nothing", "/api/sensors?format=csv")[(i + number) % 5]
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == {"/nothing": 404, "/api/top_services": 400}.get(path, 200)
            body = answer.read()
            assert path != "/api/viewer" or json.loads(body)["rows"][0]["name"] == "central"
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        list(pool.map(one, range(24)))
    until(lambda: dashboard.metrics()["hirundo_dashboard_connections"] == 0)
    assert dashboard.metrics()["hirundo_dashboard_database_connections"] <= 8


# The database.

def test_errors_of_askers_are_no_illness(start):
    """A statement that failed leaves its connection up: nobody takes the dashboard for ill then."""
    dashboard = start(connections=1)
    connection = dashboard.connection()
    for _ in range(200):
        connection.request("GET", target("top_services", **WHOLE, n="x"))
        answer = connection.getresponse()
        assert answer.status == 400 and answer.read()
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
    connection.close()


def test_database_away_and_back(private_installation):
    server = private_installation.server
    dashboard = Dashboard(private_installation.folder, private_installation.dsn("hirundo_dashboard"))
    private_installation.processes.append(dashboard)
    dashboard.start().ready()
    assert dashboard.get("/api/viewer").status == 200 and dashboard.get("/healthz").status == 200
    server.stop("immediate")
    until(lambda: dashboard.get("/healthz").status == 503)
    answer = dashboard.get("/api/viewer")
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "away", "2")
    assert str(server.folder) not in answer.text
    assert dashboard.get("/").status == 200
    server.start()
    until(lambda: dashboard.get("/healthz").status == 200)
    assert dashboard.get("/api/viewer").status == 200
    assert "state=away" in dashboard.log and "state=back" in dashboard.log


def test_database_ends_under_an_answer(private_installation):
    server = private_installation.server
    slow_function(private_installation)
    dashboard = Dashboard(private_installation.folder, private_installation.dsn("hirundo_dashboard"))
    private_installation.processes.append(dashboard)
    dashboard.start().ready()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(dashboard.get, "/api/catalog")
        until(lambda: running_queries(private_installation) == 1)
        server.terminate_backends()
        assert answer.result().status == 503
    until(lambda: dashboard.get("/api/viewer").status == 200)


def test_starts_without_database(installation, start):
    dashboard = Dashboard(installation.folder, f"host={installation.folder} dbname=x user=hirundo_dashboard")
    installation.processes.append(dashboard)
    dashboard.start().ready()
    assert dashboard.get("/api/viewer").status == 503 and dashboard.get("/").status == 200


def test_the_role_only_reads(installation, start):
    """Whatever a function did, the transaction is read-only."""
    with installation.connect() as connection:
        connection.execute("DROP FUNCTION report.catalog()")
        connection.execute("CREATE FUNCTION report.catalog() RETURNS TABLE (analysis text, function text) LANGUAGE plpgsql"
                           " SECURITY DEFINER AS $$ BEGIN DELETE FROM hirundo.sensor; END $$")
        connection.execute("GRANT EXECUTE ON FUNCTION report.catalog() TO hirundo_dashboard")
    dashboard = start()
    answer = dashboard.get("/api/catalog")
    assert answer.status == 500 and answer.error["message"] == "the database could not answer"
    dashboard.wait_log("sqlstate=25006")


# Life.

def test_stop_drains(installation, start):
    """What is under way is answered, nothing new is taken, and then it ends with 0."""
    slow_function(installation, 2)
    dashboard = start()
    idle = dashboard.raw()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(dashboard.get, "/api/catalog")
        until(lambda: running_queries(installation) == 1)
        dashboard.signal(signal.SIGTERM)
        assert answer.result().status == 200
    assert dashboard.wait(5) == 0
    idle.close()


def test_stop_does_not_wait_for_ever(installation, start):
    slow_function(installation, 60)
    dashboard = start(query_timeout="100s")
    s = dashboard.raw()
    s.sendall(b"GET /api/catalog HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: running_queries(installation) == 1)
    begin = time.monotonic()
    assert dashboard.stop() == 0 and 9 < time.monotonic() - begin < 13
    until(lambda: running_queries(installation) == 0, 2)
    s.close()


def test_reload(start):
    dashboard = start()
    assert dashboard.get("/healthz", {"Host": "hirundo.example"}).status == 421
    dashboard.write(hosts=["hirundo.example"])
    dashboard.reload()
    assert dashboard.get("/healthz", {"Host": "hirundo.example"}).status == 200
    assert dashboard.get("/healthz").status == 421
    dashboard.write(viewer=None)
    dashboard.reload()
    assert "the old configuration stays" in dashboard.log
    assert dashboard.get("/api/viewer", {"Host": "hirundo.example"}).json()["rows"][0]["name"] == "central"


def test_watchdog_and_sandbox(start, installation):
    dashboard = Dashboard(installation.folder, installation.dsn("hirundo_dashboard"), name="watched")
    dashboard.env["WATCHDOG_USEC"] = "400000"
    installation.processes.append(dashboard)
    dashboard.start().ready()
    dashboard._wait_notified("WATCHDOG=1", 5)
    assert dashboard.status("CapEff") == "0" * 16 and dashboard.status("NoNewPrivs") == "1"
    if "sanitize" not in str(program("hirundo-dashboard")):
        assert dashboard.status("Seccomp") == "2"


# Configuration.

BAD = [
    ({"viewer": None}, "listen: who looks? Set viewer"),
    ({"viewer": "Central"}, "viewer: must be a viewer's name"),
    ({"listen": "0.0.0.0:7413"}, "beyond this machine people need client certificates"),
    ({"listen": "[::]:7413"}, "beyond this machine people need client certificates"),
    ({"listen": "192.0.2.1:7413", "viewer": None}, "beyond this machine people need client certificates"),
    ({"listen": "localhost:7413"}, "must be ADDRESS:PORT"),
    ({"cert_file": "x.crt"}, "belong together"),
    ({"viewer_header": "X-Viewer"}, "believed on a Unix socket only"),
    ({"socket_group": "adm"}, "there is no Unix socket"),
    ({"crl_file": "x.crl"}, "no client certificates"),
    ({"listen": "unix:/tmp/x", "viewer": None}, "Set viewer_header"),
    ({"listen": "unix:/tmp/x", "viewer_header": "X-Viewer"}, "leave this out"),
    ({"listen": "unix:relative", "viewer": None}, "begins with /"),
    ({"listen": "unix:/" + "x" * 200, "viewer": None}, "too long"),
    ({"listen": "unix:/tmp/x", "viewer": None, "viewer_header": "X: y"}, "must be the name of a header"),
    ({"metrics_listen": "0.0.0.0:7414"}, "must be a loopback address"),
    ({"hosts": ["http://x"]}, "without scheme"),
    ({"connections": 0}, "must be from 1 to 64"),
    ({"query_timeout": "10"}, "needs a unit"),
    ({"colour": "red"}, "no such option"),
]


@pytest.mark.parametrize("options,message", BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_configuration(tmp_path, options, message):
    """It says where and what, does not start, and exits with 78."""
    dashboard = Dashboard(tmp_path, "dbname=x", **options)
    for more in (["--check-config"], []):
        run = subprocess.run([*dashboard.argv, *more], capture_output=True, text=True, timeout=10)
        assert run.returncode == 78 and message in run.stderr, run.stderr
        assert re.match(rf"{re.escape(str(dashboard.config))}:\d+: ", run.stderr)
    line = int(re.match(r".*?:(\d+): ", run.stderr)[1])
    if len(options) == 1 and None not in options.values():
        assert dashboard.config.read_text().split("\n")[line - 1].startswith(next(iter(options)))


def test_usage(tmp_path):
    for argv, code in (([], 64), (["--nonsense"], 64), (["--config", "/nonexistent"], 78), (["--version"], 0), (["--help"], 0)):
        assert subprocess.run([program("hirundo-dashboard"), *argv], capture_output=True).returncode == code, argv


def test_port_in_use(start, installation):
    dashboard = start()
    other = Dashboard(installation.folder, "dbname=x", name="other", listen=f"127.0.0.1:{dashboard.port}")
    run = subprocess.run(other.argv, capture_output=True, text=True, timeout=10)
    assert run.returncode == 69 and "Address already in use" in run.stderr
