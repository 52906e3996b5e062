"""The sensor's peak memory: with a large backlog in its spool, and in floods from random sources."""
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness.live import ADDRESS, Live
from harness.paths import program

LIMIT = 24 << 20
BACKLOG = int(os.environ.get("HIRUNDO_BENCH_BACKLOG", 2 << 30))
FLOOD = int(os.environ.get("HIRUNDO_BENCH_FLOOD", 1_000_000))


class Peak:
    """Highest resident size of a process (VmHWM), as long as it shows one."""

    def __init__(self, process):
        self.process = process
        self.bytes = 0

    def look(self) -> None:
        try:
            self.bytes = max(self.bytes, self.process.memory_peak())
        except (OSError, TypeError):  # it has just ended
            pass

    def check(self, what: str) -> None:
        print(f"sensor peak memory, {what}: {self.bytes / 1024 / 1024:.1f} MiB (limit {LIMIT >> 20} MiB)")
        assert 0 < self.bytes <= LIMIT


def packets_of(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text)}


@pytest.mark.timeout(600)
def test_backlog(open_folder, cable, installation):
    if shutil.disk_usage(open_folder).free < BACKLOG + (1 << 30):
        pytest.skip("not enough room for the backlog")
    live = Live(installation, cable, open_folder, spool_max=f"{2 * BACKLOG // 1024}KiB")
    run = subprocess.run([program("backlog"), live.sensor.spool, str(BACKLOG)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for path in [live.sensor.spool, *live.sensor.spool.rglob("*")]:
        shutil.chown(path, "nobody")
    backlog = packets_of(run.stdout)
    live.collector.start().ready()
    for turn, flood in (("first", 0), ("second", FLOOD // 4)):
        begin = time.monotonic()
        live.sensor.start().ready(120)
        print(f"{turn} start on {backlog['bytes'] / 1e9:.2f} GB in {backlog['records']} records: listens after"
              f" {time.monotonic() - begin:.1f} s")
        peak = Peak(live.sensor)
        cable.flood(ADDRESS, flood)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            peak.look()
            time.sleep(0.1)
        assert live.sensor.running, live.sensor.last_log
        live.sensor.kill()
        peak.check(f"{BACKLOG / (1 << 30):.1f} GiB backlog" + (" and a live flood" if flood else ""))
    stored = installation.query("SELECT stored FROM hirundo.ingest_state")[0][0]
    print(f"delivered meanwhile: {stored} of {backlog['packets']} packets")
    assert 0 < stored < backlog["packets"], "the backlog must outlast the measurement"
    assert installation.query("SELECT sum(quarantined + rejected + lost)::bigint FROM hirundo.ingest_state") == [(0,)]


def test_flood_in_a_capture(installation, tmp_path):
    capture = tmp_path / "flood.pcap"
    with open(capture, "wb") as out:
        subprocess.run([program("flood"), ADDRESS, str(FLOOD), "1000000"], stdout=out, check=True)
    enrolled = installation.enroll("jp1", addresses=(ADDRESS,))
    collector = installation.collector()
    sensor = installation.sensor(enrolled, collector.address)
    sensor.start("--read", capture)
    peak = Peak(sensor)
    end = time.monotonic() + 240
    while sensor.running and time.monotonic() < end:
        peak.look()
        time.sleep(0.005)
    assert sensor.wait(1) == 0, sensor.last_log
    stored, coarse = installation.query(
        "SELECT sum(packets)::bigint, coalesce(sum(packets) FILTER (WHERE traits & 32768 <> 0), 0)::bigint"
        " FROM hirundo.observation")[0]
    print(f"{stored} packets of {FLOOD} stored, {coarse} of them coarse")
    assert stored == FLOOD and coarse > FLOOD // 2
    installation.admin.verify()
    peak.check("flood from random sources in a capture")


def test_live_flood(open_folder, cable, installation):
    live = Live(installation, cable, open_folder, fold="1s")
    live.collector.start().ready()
    live.sensor.start().ready()
    peak = Peak(live.sensor)
    begin = time.monotonic()
    sender = threading.Thread(target=cable.flood, args=(ADDRESS, FLOOD))
    sender.start()
    time.sleep(0.5)
    live.sensor.signal(signal.SIGSTOP)  # so that the ring overflows, however slow the sender is
    time.sleep(1)
    live.sensor.signal(signal.SIGCONT)
    sender.join()
    seconds = time.monotonic() - begin
    # Still in the ring, in the open batch, in the spool.
    counted = ("SELECT captured + kernel_drops + interface_drops FROM hirundo.sensor_status"
               " ORDER BY at DESC, seq DESC LIMIT 1")
    installation.wait_query(counted, FLOOD, timeout=60)
    peak.look()
    assert live.sensor.stop() == 0, live.sensor.last_log
    installation.admin.verify()
    stored, coarse = installation.query(
        "SELECT sum(packets)::bigint, coalesce(sum(packets) FILTER (WHERE traits & 32768 <> 0), 0)::bigint"
        " FROM hirundo.observation")[0]
    lost = installation.query("SELECT coalesce(sum(packets), 0)::bigint FROM hirundo.ingest_loss")[0][0]
    ignored, kernel, interface = installation.query(
        "SELECT ignored, kernel_drops, interface_drops FROM hirundo.sensor_status WHERE final")[0]
    print(f"sent {FLOOD} packets in {seconds:.1f} s: {stored} stored ({coarse} coarse), {ignored} ignored, {lost} lost,"
          f" {kernel} dropped by the kernel, {interface} by the interface")
    assert stored + ignored + lost + kernel + interface == FLOOD
    assert stored > 0 and kernel > 0
    peak.check("live flood from random sources")
