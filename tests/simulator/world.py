"""What senders act in: sensors, addresses, distances, the calendar; and the books of what they sent."""
from __future__ import annotations

import csv
import dataclasses
import datetime
import ipaddress
import pathlib
import random
import struct
import zoneinfo
from collections import defaultdict

import hops

from plan import Holder, Place, Plan, Region

DAY_US = 86_400_000_000
RAW = 101               # LINKTYPE_RAW: packets begin with the IP header

# Ten regions, fifteen sensors, addresses of no documentation range: the sensor would call these bogons.
DEFAULT_SENSORS = (
    ("jp1", "JP", "36.91.17.151"), ("jp2", "JP", "77.3.211.40"), ("jp3", "JP", "121.20.5.18"), ("au1", "AU", "44.136.80.7"),
    ("bn1", "BN", "51.12.190.33"), ("gh1", "GH", "62.201.9.250"), ("hk1", "HK", "91.77.34.12"), ("kr1", "KR", "108.4.60.91"),
    ("kr2", "KR", "133.70.18.2"), ("lk1", "LK", "145.99.3.77"), ("ma1", "MA", "157.240.61.5"), ("my1", "MY", "168.5.22.160"),
    ("my2", "MY", "171.66.8.8"), ("tw1", "TW", "186.14.99.3"), ("tw2", "TW", "200.7.141.64"))


@dataclasses.dataclass
class Sensor:
    name: str
    region: str
    text: str                   # its addresses as given
    v4: list[int]
    v6: list[int]


def sensor_addresses(text: str) -> tuple[list[int], list[int]]:
    """Up to 64 IPv4 and 8 IPv6 addresses that packets to a sensor carry. text: addresses and prefixes, each
    perhaps with its public one behind `=`; what takes everything gets a few addresses for documentation."""
    v4: list[int] = []
    v6: list[int] = []
    for word in text.replace(";", " ").split():
        network = ipaddress.ip_network(word.split("=")[0], strict=False)
        first = int(network.network_address)
        if network.version == 4:
            first = first if network.prefixlen else 0xCB007100
            v4 += range(first, first + min(network.num_addresses, 64 - len(v4)))
        else:
            first = first if network.prefixlen else 0x20010DB8 << 96
            v6 += range(first, first + min(network.num_addresses, 8 - len(v6)))
    return v4, v6


def read_sensors(path: pathlib.Path | None) -> list[Sensor]:
    """From a CSV with sensor_id,region,address, or name,region,addresses as the quickstart's."""
    if path is None:
        rows = list(DEFAULT_SENSORS)
    else:
        with open(path, newline="") as file:
            rows = [(row.get("sensor_id") or row["name"], row["region"], row.get("address") or row["addresses"])
                    for row in csv.DictReader(file)]
    return [Sensor(name, region, text, *sensor_addresses(text)) for name, region, text in rows]


@dataclasses.dataclass
class Label:
    truth: str
    kind: str
    actor: str
    true_region: str


class World:
    def __init__(self, seed: int, model: str, sensors: list[Sensor], start: datetime.date, days: int, zone: str,
                 size: float = 1.0):
        self.seed, self.sensors, self.days = seed, sensors, days
        self.plan = Plan(seed, [a for s in sensors for a in s.v4 + s.v6], size)
        # Reporting days begin at midnight in the zone; they may have 23 or 25 hours.
        tz = zoneinfo.ZoneInfo(zone)
        self.dates = [start + datetime.timedelta(days=d) for d in range(days)]
        self.midnights_us = [
            int(datetime.datetime.combine(start + datetime.timedelta(days=d), datetime.time(), tz).timestamp()) * 1_000_000
            for d in range(days + 1)]
        nearest = self.plan.by_code
        fallback = next(iter(nearest.values()))
        self.model = hops.MODELS[model](seed, self.plan, [(s.name, nearest.get(s.region, fallback)) for s in sensors],
                                        self.midnights_us[0], days)
        self.with_v4 = [i for i, s in enumerate(sensors) if s.v4]
        self.with_v6 = [i for i, s in enumerate(sensors) if s.v6]
        self.labels: dict[int, Label] = {}
        self.counts: list[dict[int, list[int]]] = [defaultdict(lambda: [0, 0]) for _ in range(days)]  # packets, sensor bits
        self.sent: list[list[tuple[int, int, bytes]]] = []
        self.day = 0
        self.total = 0

    def rng(self, *key) -> random.Random:
        return random.Random(" ".join(map(str, (self.seed, *key))))

    # One day after the other: its packets are in memory, no more.

    def begin_day(self, day: int) -> None:
        self.day = day
        self.begin_us, self.end_us = self.midnights_us[day], self.midnights_us[day + 1]
        self.sent = [[] for _ in self.sensors]

    @property
    def weekend(self) -> bool:
        return self.dates[self.day].weekday() >= 5

    def time(self, r: random.Random, place: Place | None = None) -> int:
        """A time of the day; machines of people are busier in their daytime."""
        while True:
            at = r.randrange(self.begin_us, self.end_us)
            if place is None:
                return at
            local = (at / 3.6e9 + place.holder.seat.longitude / 15) % 24
            if r.random() < (1.0 if 8 <= local < 23 else 0.55):
                return at

    def ttl(self, initial: int, place: Place, sensor: int, at: int, flow: int) -> int:
        return max(1, initial - self.model.hops(place, sensor, at, flow))

    def target(self, r: random.Random, sensor: int, v6: bool = False) -> int:
        addresses = self.sensors[sensor].v6 if v6 else self.sensors[sensor].v4
        return addresses[0] if len(addresses) == 1 else r.choice(addresses)

    def label(self, src: int, truth: str, kind: str, actor: str, true_region: str) -> None:
        """A later label wins: who is forged is called so, even where he sends, too."""
        self.labels[src] = Label(truth, kind, actor, true_region)

    def send(self, at: int, sensor: int, src: int, packet: bytes) -> bool:
        """False, and nothing happens, where that is beyond the day."""
        if not self.begin_us <= at < self.end_us:
            return False
        sent = self.sent[sensor]
        sent.append((at, len(sent), packet))
        count = self.counts[self.day][src]
        count[0] += 1
        count[1] |= 1 << sensor
        self.total += 1
        return True

    # Files.

    def write_day(self, folder: pathlib.Path, suffix: str, append: bool) -> None:
        """sensor-NAME[suffix].pcap of each sensor."""
        for sensor, sent in zip(self.sensors, self.sent):
            sent.sort()
            pieces = []
            for at, _, packet in sent:
                pieces.append(struct.pack("<IIII", at // 1_000_000, at % 1_000_000, len(packet), len(packet)))
                pieces.append(packet)
            with open(folder / f"sensor-{sensor.name}{suffix}.pcap", "ab" if append else "wb") as file:
                if not append:
                    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW))
                file.write(b"".join(pieces))

    def write_books(self, folder: pathlib.Path) -> None:
        with open(folder / "sensors.csv", "w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("sensor_id", "region", "address"))
            rows.writerows((s.name, s.region, s.text) for s in self.sensors)
        (folder / "delegated-extended.txt").write_text(self.plan.delegated(self.dates[0].strftime("%Y%m%d")))
        with open(folder / "labels.csv", "w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow("source_ip truth claimed_region true_region kind packets sensors actor holder day".split())
            for date, counts in zip(self.dates, self.counts):
                for src in sorted(counts):
                    packet_count, bits = counts[src]
                    label, owner = self.labels[src], self.plan.owner.get(src)
                    rows.writerow((ipaddress.ip_address(src), label.truth, owner[0].region.code if owner else "",
                                   label.true_region, label.kind, packet_count, bin(bits).count("1"), label.actor,
                                   owner[0].opaque if owner else "", date))
