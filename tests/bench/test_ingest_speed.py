"""bench_ingest on a server with fsync: decode, rows and books against COPY BINARY alone."""
import os
import subprocess

import pytest

from harness.paths import program

RECORDS = int(os.environ.get("HIRUNDO_BENCH_RECORDS", 200))
PAIRS = 5
LIMIT = 0.6


@pytest.mark.timeout(900)
def test_ingest_against_copy_alone(private_installation):
    run = subprocess.run([program("bench_ingest"), private_installation.dsn(), str(RECORDS), str(PAIRS), str(LIMIT)],
                         capture_output=True, text=True)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
