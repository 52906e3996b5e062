"""Who judges a set: Hirundo by its real path, its detector's core alone, TSUBAME's plain rule, and the
reference detector.

Each gives {(source, day): verdict}; what it does not mention is undetermined."""
from __future__ import annotations

import csv
import pathlib
import subprocess
import sys
import tempfile
import time

from evaluation.sets import LabelledSet
from harness.hirundo import Installation
from harness.paths import ROOT, program
from harness.postgres import Postgres

REFERENCE = ROOT.parent / "shared" / "reference" / "detector" / "spoofdetect.py"
AT_ONCE = 3         # sensors that deliver side by side
PATIENCE_S = 600    # for rollups and verdicts of a set

Verdicts = dict[tuple[str, str], str]


def hirundo(labelled: LabelledSet, server: Postgres, zone: str = "UTC") -> Verdicts:
    """Database, address data, collector, sensors that read the captures; then what report.spoof_verdict says."""
    with tempfile.TemporaryDirectory(prefix="hirundo-evaluate-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        installation = Installation(folder, server, "hirundo_evaluation")
        try:
            installation.admin.run("db", "init", "--reporting-zone", zone)
            installation.admin.run("enrich", "import", "rir", labelled.plan)
            collector = installation.collector()
            _deliver(installation, collector, labelled)
            return _verdicts(installation, labelled)
        finally:
            installation.finish()


def _deliver(installation: Installation, collector, labelled: LabelledSet) -> None:
    waiting = [(installation.sensor(installation.enroll(name, region, addresses), collector.address), labelled.captures(name))
               for name, region, addresses in labelled.sensors]
    running: list[tuple] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            sensor, captures = waiting.pop(0)
            running.append((sensor, captures[1:]))
            sensor.start("--read", captures[0])
        sensor, rest = running.pop(0)
        if sensor.wait(PATIENCE_S) != 0:
            raise RuntimeError(f"{sensor.name} did not deliver:\n{sensor.log[-2000:]}")
        if rest:
            sensor.start("--read", rest[0])
            running.append((sensor, rest[1:]))


def _verdicts(installation: Installation, labelled: LabelledSet) -> Verdicts:
    end = time.monotonic() + PATIENCE_S
    while not installation.query("SELECT NOT EXISTS (SELECT FROM hirundo.dirty_mark)"
                                 " AND NOT EXISTS (SELECT FROM hirundo.verdict_due)")[0][0]:
        if time.monotonic() > end:
            raise RuntimeError(f"{labelled.name}: no verdicts after {PATIENCE_S} s")
        time.sleep(0.25)
    verdicts: Verdicts = {}
    days = installation.query("SELECT DISTINCT day::text FROM hirundo.ttl_day")
    for (day,) in days:
        name = day if day in labelled.days else labelled.days[0]
        for src, verdict in installation.query(
                "SELECT host(src), verdict FROM report.spoof_verdict(daterange(%s::date, %s::date, '[]'))", (day, day)):
            verdicts[src, name] = verdict
    return verdicts


def core(labelled: LabelledSet) -> Verdicts | None:
    """The detector's core alone, which a tool runs on the captures: no database, one day. For a quick look."""
    if len(labelled.days) != 1:
        return None
    with tempfile.NamedTemporaryFile(suffix=".csv") as out:
        subprocess.run([program("verdict_set"), labelled.folder, out.name], check=True, stdout=subprocess.DEVNULL)
        return _from_csv(out.name, labelled.days[0])


def _from_csv(path: str, day: str) -> Verdicts:
    with open(path, newline="") as file:
        return {(row["source"], day): row["verdict"] for row in csv.DictReader(file)}


def plain_rule(labelled: LabelledSet) -> Verdicts:
    """TSUBAME's rule: a source whose highest TTL in its own region is above all others' is genuine, below is not.
    Nothing is said of a region without a sensor."""
    of = {name: region for name, region, _ in labelled.sensors}
    verdicts: Verdicts = {}
    for source in labelled.sources:
        sensors = labelled.seen[source.address]
        here = [ttl for name, ttl in sensors.items() if of[name] == source.region]
        there = [ttl for name, ttl in sensors.items() if of[name] != source.region]
        if here and there and max(here) != max(there):
            verdicts[source.address, source.day] = "genuine" if max(here) > max(there) else "spoofed"
    return verdicts


def reference(labelled: LabelledSet) -> Verdicts | None:
    """The executable specification; it reads one day of IPv4. None where that is not what there is."""
    if not REFERENCE.exists() or len(labelled.days) != 1 or any(":" in src for src in labelled.seen):
        return None
    with tempfile.NamedTemporaryFile(suffix=".csv") as out:
        subprocess.run([sys.executable, REFERENCE, labelled.folder, "--out", out.name], check=True, stderr=subprocess.DEVNULL)
        return _from_csv(out.name, labelled.days[0])
