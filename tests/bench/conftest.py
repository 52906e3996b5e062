"""Benchmarks: PostgreSQL as one would run it, with fsync."""
import pytest

from harness.postgres import Postgres


@pytest.fixture
def private_server():
    server = Postgres(fsync=True, settings={"max_wal_size": "16GB", "shared_buffers": "512MB"})
    try:
        server.allow("hirundo_ingest", "hirundo_analyst", "hirundo_dashboard")
        yield server.start()
    finally:
        server.destroy()
