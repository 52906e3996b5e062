"""A thousand sensors on one collector: memory of each connection, and a reconnect storm that settles
without loss."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness.paths import program

SENSORS = int(os.environ.get("HIRUNDO_BENCH_SENSORS", 1000))
RECORDS, ROWS = 2, 100
LIMIT = 128 * 1024


def resident(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Crowd:
    def __init__(self, folder: pathlib.Path, collector, bundles: pathlib.Path):
        self.out = folder / "crowd.out"
        self.err = folder / "crowd.err"
        spools = folder / "spools"
        spools.mkdir()
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.popen = subprocess.Popen(
                [program("crowd"), "%s:%d" % collector.address, bundles, spools, "0", str(SENSORS), str(RECORDS),
                 str(ROWS)], stdout=out, stderr=err)

    def wait(self, what: str, times: int, timeout: float = 120) -> None:
        end = time.monotonic() + timeout
        while self.out.read_text().count(f"{what}={SENSORS}") < times:
            assert self.popen.poll() is None, self.err.read_text()[-2000:]
            assert time.monotonic() < end, f"not {what}: {self.out.read_text()} {self.err.read_text()[-2000:]}"
            time.sleep(0.05)


@pytest.mark.timeout(900)
def test_thousand_sensors(private_installation, tmp_path):
    installation = private_installation
    for i in range(SENSORS):
        installation.enroll(f"c{i:04}", capture=False)
    bundles = tmp_path / "bundles"
    collector = installation.collector()
    before = resident(collector.pid)
    crowd = Crowd(tmp_path, collector, bundles)
    try:
        crowd.wait("acked", 1)
        time.sleep(2)
        each = (resident(collector.pid) - before) / SENSORS
        print(f"{SENSORS} connected sensors: {each / 1024:.1f} KiB resident each (limit {LIMIT // 1024} KiB)")
        begin = time.monotonic()
        collector.kill()
        collector.start().ready()
        os.kill(crowd.popen.pid, signal.SIGUSR1)
        crowd.wait("acked", 2, 180)
        print(f"all connected again and {SENSORS * RECORDS} records committed {time.monotonic() - begin:.1f} s after kill -9")
        total = installation.query("SELECT sum(packets)::bigint, count(DISTINCT sensor_id) FROM hirundo.observation")[0]
        assert total == (SENSORS * RECORDS * ROWS * 2, SENSORS), "none lost, none twice"
        installation.admin.verify()
        after = (resident(collector.pid) - before) / SENSORS
        print(f"after the storm: {after / 1024:.1f} KiB each")
        assert max(each, after) <= LIMIT
    finally:
        crowd.popen.terminate()
        crowd.popen.wait(30)
