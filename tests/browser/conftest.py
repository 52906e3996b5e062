"""The seeded instance, dashboards over it, and a browser; each made once a session. HIRUNDO_SEEDED=DIR takes the instance
that `seed --dir DIR` made."""
import fcntl
import os
import pathlib

import pytest

from browser.chromium import Browser, install
from browser.instance import Instance
from browser.seeding import seed
from harness.dashboard import Dashboard
from harness.paths import BUILD
from harness.postgres import Postgres

# Screenshots and the like: tests/run keeps its results there.
RESULTS = pathlib.Path(os.environ.get("HIRUNDO_RESULTS", BUILD.parent / "results")) / "browser"


@pytest.fixture(autouse=True)
def undisturbed(request):
    """Tests of several processes share the database: one that holds up its statements or writes to it runs alone."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with open(RESULTS / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="session")
def seeded(tmp_path_factory):
    made = os.environ.get("HIRUNDO_SEEDED")
    if made:
        yield Instance(pathlib.Path(made))
        return
    server = Postgres(settings={"wal_level": "minimal", "max_wal_senders": 0, "synchronous_commit": "off"})
    try:
        server.allow("hirundo_ingest", "hirundo_analyst", "hirundo_dashboard")
        folder = tmp_path_factory.mktemp("seeded")
        seed(folder, server.start())
        yield Instance(folder, server)
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def serve(seeded, tmp_path_factory):
    """Starts a dashboard over the seeded instance, for a viewer; one for each is kept."""
    dashboards = {}

    def start(viewer: str = "central", **options) -> Dashboard:
        key = viewer, *sorted(options.items())
        if key not in dashboards:
            dashboards[key] = Dashboard(tmp_path_factory.mktemp("dashboard"), seeded.dsn("hirundo_dashboard"), viewer=viewer, **options)
            dashboards[key].start().ready()
        return dashboards[key]
    yield start
    for dashboard in dashboards.values():
        dashboard.finish()


@pytest.fixture(scope="session")
def dashboard(serve):
    return serve()


@pytest.fixture(scope="session")
def base(dashboard) -> str:
    return f"http://127.0.0.1:{dashboard.port}"


@pytest.fixture(scope="session")
def browser():
    RESULTS.mkdir(parents=True, exist_ok=True)
    browser = Browser(install(BUILD.parent / "browser-modules"), RESULTS / "driver.log")
    yield browser
    browser.finish()


@pytest.fixture(scope="session")
def results() -> pathlib.Path:
    RESULTS.mkdir(parents=True, exist_ok=True)
    return RESULTS
