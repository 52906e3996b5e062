"""Labelled sets: folders as tests/simulator writes them."""
from __future__ import annotations

import collections
import csv
import dataclasses
import functools
import ipaddress
import pathlib
import struct
import subprocess
import sys

from harness.paths import ROOT

SIMULATE = ROOT / "tests" / "simulator" / "simulate.py"
# Sets of another simulator, for whoever has them.
GIVEN = ROOT.parent / "shared" / "data" / "sim"
ETHERNET = 1


@dataclasses.dataclass(frozen=True)
class Source:
    """A line of the labels: a source on a day."""
    address: str
    day: str            # as in the labels; "" where a set has one day and does not name it
    truth: str
    kind: str
    cluster: str        # who acts: forger, or the network of a genuine source
    region: str         # claimed


class LabelledSet:
    def __init__(self, folder: pathlib.Path, group: str):
        self.folder, self.group, self.name = folder, group, folder.name

    @functools.cached_property
    def sensors(self) -> list[tuple[str, str, list[str]]]:
        """(name, region, addresses)"""
        with open(self.folder / "sensors.csv", newline="") as file:
            return [(row["sensor_id"], row["region"], row["address"].split()) for row in csv.DictReader(file)]

    @functools.cached_property
    def sources(self) -> list[Source]:
        with open(self.folder / "labels.csv", newline="") as file:
            return [Source(row["source_ip"], row.get("day") or "", row["truth"], row["kind"],
                           row["actor"] if row["truth"] == "spoofed" else f"network {row['holder']}", row["claimed_region"])
                    for row in csv.DictReader(file)]

    def captures(self, sensor: str) -> list[pathlib.Path]:
        """Of one sensor, in the order of time."""
        whole = self.folder / f"sensor-{sensor}.pcap"
        return [whole] if whole.exists() else sorted(self.folder.glob(f"sensor-{sensor}-????????.pcap"))

    @property
    def plan(self) -> pathlib.Path:
        return self.folder / "delegated-extended.txt"

    @functools.cached_property
    def days(self) -> list[str]:
        """Reporting days; where labels do not name them there is one, that of the packets (UTC)."""
        return sorted({source.day for source in self.sources})

    @functools.cached_property
    def seen(self) -> dict[str, dict[str, int]]:
        """Source -> sensor -> highest TTL, over the whole set: what TSUBAME's rule and regions count from."""
        seen: dict[str, dict[str, int]] = collections.defaultdict(dict)
        for name, _, _ in self.sensors:
            highest: dict[bytes, int] = {}
            for capture in self.captures(name):
                for packet in _packets(capture):
                    v4 = packet[0] >> 4 == 4
                    src, ttl = (packet[12:16], packet[8]) if v4 else (packet[8:24], packet[7])
                    if ttl > highest.get(src, -1):
                        highest[src] = ttl
            for src, ttl in highest.items():
                seen[str(ipaddress.ip_address(src))][name] = ttl
        return seen

    @functools.cached_property
    def regions_seen(self) -> dict[str, int]:
        """Source -> number of regions whose sensors saw it."""
        of = {name: region for name, region, _ in self.sensors}
        return {src: len({of[name] for name in sensors}) for src, sensors in self.seen.items()}


def _packets(capture: pathlib.Path):
    data = capture.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    skip = 14 if struct.unpack_from(order + "I", data, 20)[0] == ETHERNET else 0
    length_of = struct.Struct(order + "I").unpack_from
    position = 24
    while position + 16 <= len(data):
        length, = length_of(data, position + 8)
        yield data[position + 16 + skip:position + 16 + skip + 40]
        position += 16 + length


# Groups of our own: options of the simulator. Small: one seed is noise, so many are pooled.
OWN = {
    "additive": ("--model", "additive", "--packets", 100000),
    "routed": ("--model", "routed", "--packets", 100000),
    "small": ("--model", "additive", "--packets", 15000),
    "lowspoof": ("--model", "additive", "--packets", 200000, "--spoofed", 0.02),
}


def generate(folder: pathlib.Path, group: str, seed: int, *options) -> LabelledSet:
    target = folder / f"own-{group}-{seed}"
    subprocess.run([sys.executable, SIMULATE, "--out", target, "--seed", str(seed), *map(str, OWN[group]), *map(str, options)],
                   check=True, stdout=subprocess.DEVNULL)
    return LabelledSet(target, f"own {group}")


def found(folder: pathlib.Path) -> LabelledSet:
    """A folder that is there. Its group is its name up to the last hyphen."""
    return LabelledSet(folder, folder.name.rsplit("-", 1)[0])


def given() -> list[LabelledSet]:
    return [found(path.parent) for path in sorted(GIVEN.glob("*/labels.csv"))]
