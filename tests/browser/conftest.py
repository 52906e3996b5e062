"""The seeded instance, made once a session. HIRUNDO_SEEDED=DIR takes one that `seed --dir DIR` made."""
import os
import pathlib

import pytest

from browser.instance import Instance
from browser.seeding import seed
from harness.postgres import Postgres


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
