"""Fixtures of all suites. What they hand out is real: harness/ says how each is made."""
import itertools
import os
import pathlib
import shutil
import signal
import tempfile

import pytest

from harness.hirundo import Installation
from harness.namespaces import Cable
from harness.postgres import Postgres

ROLES = ("hirundo_ingest", "hirundo_analyst", "hirundo_dashboard")
_numbers = itertools.count(1)


def pytest_configure():
    # Whoever ends a run ends what it started, too: fixtures clean up.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 143))


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="also the tests that take very long")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--soak"):
        for item in items:
            if "soak" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="only with --soak"))


@pytest.fixture(scope="session")
def server():
    """One PostgreSQL for all tests that do not stop it. fsync is off: no test here cuts the power."""
    server = Postgres()
    server.allow(*ROLES)
    yield server.start()
    server.destroy()


@pytest.fixture(scope="session")
def template(server, tmp_path_factory):
    """An empty Hirundo database to copy: migrations run once a session."""
    installation = Installation(tmp_path_factory.mktemp("template"), server, "hirundo_template")
    yield "hirundo_template"
    installation.finish()


@pytest.fixture
def installation(server, template, tmp_path):
    """Database, CA, and what the test starts in it; everything is ended and checked afterwards."""
    installation = Installation(tmp_path, server, f"hirundo_{next(_numbers)}", template)
    yield installation
    installation.finish()


@pytest.fixture
def private_server():
    """A PostgreSQL that the test may stop, kill and restore, with fsync."""
    server = Postgres(fsync=True)
    try:
        server.allow(*ROLES)
        yield server.start()
    finally:
        server.destroy()


@pytest.fixture
def private_installation(private_server, tmp_path):
    """As `installation`, with a PostgreSQL of its own (`.server`)."""
    installation = Installation(tmp_path, private_server, "hirundo")
    yield installation
    if not private_server.running:
        private_server.start()
    installation.finish()


@pytest.fixture
def cable():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    cable = Cable()
    yield cable
    cable.destroy()


@pytest.fixture
def open_folder():
    """A folder that an unprivileged user reaches, unlike pytest's."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hirundo-live-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
