"""Benchmarks: PostgreSQL as one would run it, with fsync and what the README says of its memory."""
import os

import pytest

from harness.postgres import Postgres

MEMORY_MB = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.fixture
def private_server():
    server = Postgres(fsync=True, settings={"max_wal_size": "16GB", "shared_buffers": f"{MEMORY_MB // 4}MB"})
    try:
        server.allow("hirundo_ingest", "hirundo_analyst", "hirundo_dashboard")
        yield server.start()
    finally:
        server.destroy()
