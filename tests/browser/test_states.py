"""Loading, cancel, empty, refused, away: what a page says then, and that it goes on by itself."""
import threading
import time

import pytest

from browser.chromium import wait_for
from browser.sites import MONTH, PAGES, at
from harness.dashboard import Dashboard

UNAVAILABLE = ("503", "Failed to load resource")


def held(connection) -> int:
    """Statements of dashboards that wait for a lock."""
    return connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'hirundo_dashboard' AND wait_event_type = 'Lock'"
                              " AND state = 'active'").fetchone()[0]


@pytest.fixture
def slow(seeded):
    """Whoever reads names of services waits until the test ends: rankings of services do, other figures not."""
    with seeded.connect() as c:
        c.autocommit = False
        c.execute("LOCK TABLE hirundo.service_name IN ACCESS EXCLUSIVE MODE")
        yield
        c.rollback()


@pytest.mark.alone
def test_loading(browser, base, slow):
    browser(base, "states.loading", path=at("/r/JP"), figure="top-services")


@pytest.mark.alone
def test_cancel_ends_the_query(browser, base, slow, seeded):
    with seeded.connect() as c:
        seen = browser(base, "states.cancel", path=at("/r/HK"), figure="top-services")
        assert seen["after"]["state"] in ("empty", "error") and seen["buttons"], "what was cancelled can be asked again"
        end = time.monotonic() + 3
        while held(c):
            assert time.monotonic() < end, "the database still works on what nobody wants"
            time.sleep(0.05)


def test_empty(browser, base, seeded):
    """A service that nobody asked for: figures say so, and what to do."""
    seen = browser(base, "states.all", path=at("/service/64999-TCP"))
    assert seen and not [name for name, one in seen.items() if one["state"] == "error"], seen
    empty = {name: one["text"] for name, one in seen.items() if one["state"] == "empty"}
    assert len(empty) >= 3 and all(len(text) > 20 for text in empty.values())


def test_before_all_data(browser, base):
    """Days before the first packet: nothing is not nought."""
    seen = browser(base, "states.all", path=at("/", "from=2015-01-01&to=2015-01-31"))
    assert not [name for name, one in seen.items() if one["state"] in ("error", "loading")], seen


def test_an_error_says_what_to_do(browser, base):
    """What the database refuses: its words and a hint, in the figure."""
    seen = browser(base, "states.all", path=at("/", f"{MONTH}&network_group=nobody"), expected=("400", "Failed to load"))
    wrong = {name: one["text"] for name, one in seen.items() if one["state"] == "error"}
    assert wrong and all("nobody" in text for text in wrong.values()), seen


@pytest.fixture
def new(installation):
    """A dashboard over a database that has no data yet."""
    dashboard = Dashboard(installation.folder, installation.dsn("hirundo_dashboard"))
    installation.processes.append(dashboard)
    dashboard.start().ready()
    return f"http://127.0.0.1:{dashboard.port}"


@pytest.mark.parametrize("name", ["overview", "service"])
def test_no_data_yet(browser, new, name):
    """A new installation: no figure fails."""
    seen = browser(new, "states.all", path=PAGES[name])
    assert {one["state"] for one in seen.values()} <= {"empty", "ready"}, seen


def test_database_away(browser, new, installation, tmp_path):
    """Nobody loads anew: the page says that the database is away, keeps what it shows, and goes on."""
    def interrupt() -> None:
        wait_for(tmp_path / "open")
        installation.server.query(f"ALTER DATABASE {installation.dbname} ALLOW_CONNECTIONS false", dbname="postgres")
        installation.server.terminate_backends(installation.dbname)
        time.sleep(4)
        installation.server.query(f"ALTER DATABASE {installation.dbname} ALLOW_CONNECTIONS true", dbname="postgres")
    thread = threading.Thread(target=interrupt)
    thread.start()
    seen = browser(new, "states.away", path="/", seconds=60, flag=str(tmp_path / "open"), expected=UNAVAILABLE)
    thread.join()
    assert "as of" in seen["words"]
    assert {name: one["state"] for name, one in seen["after"].items()} == {name: one["state"] for name, one in seen["before"].items()}


def test_database_away_at_first(browser, new, installation):
    installation.server.query(f"ALTER DATABASE {installation.dbname} ALLOW_CONNECTIONS false", dbname="postgres")
    installation.server.terminate_backends(installation.dbname)

    def back() -> None:
        time.sleep(4)
        installation.server.query(f"ALTER DATABASE {installation.dbname} ALLOW_CONNECTIONS true", dbname="postgres")
    thread = threading.Thread(target=back)
    thread.start()
    words = browser(new, "states.late", path="/", seconds=60, expected=UNAVAILABLE)
    thread.join()
    assert "database" in words.lower() or "again" in words.lower()


@pytest.mark.alone
def test_too_busy(browser, seeded, serve):
    """More ask than may: those who wait are told, and asked again by themselves."""
    dashboard = serve(connections=1)
    with seeded.connect() as c:
        c.autocommit = False
        c.execute("LOCK TABLE hirundo.service_name IN ACCESS EXCLUSIVE MODE")

        def release() -> None:
            time.sleep(8)
            c.rollback()
        thread = threading.Thread(target=release)
        thread.start()
        seen = browser(f"http://127.0.0.1:{dashboard.port}", "states.all", path=at("/r/KR"), expected=UNAVAILABLE)
        thread.join()
    assert {one["state"] for one in seen.values()} <= {"ready", "empty"}, seen
