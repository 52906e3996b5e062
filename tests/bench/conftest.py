"""Benchmarks: PostgreSQL as one would run it, with fsync and the settings that the README names."""
import os

import pytest

from harness.postgres import Postgres

MEMORY_MB = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.fixture
def private_server():
    server = Postgres(fsync=True, settings={"max_wal_size": "8GB", "wal_compression": "lz4",
                                            "shared_buffers": f"{MEMORY_MB // 4}MB"})
    try:
        server.allow("hirundo_ingest", "hirundo_analyst", "hirundo_dashboard")
        yield server.start()
    finally:
        server.destroy()
