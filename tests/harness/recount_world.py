"""The world of test_recount: some days of an invented Internet at twelve sensors, delivered the real way, and the same
captures counted again by harness.recount."""
import collections
import csv
import datetime
import ipaddress
import pathlib
import struct
import subprocess
import sys

from harness import packets, recount, rollups
from harness.paths import ROOT

SIMULATE = ROOT / "tests" / "simulator" / "simulate.py"
SEED = 20240531
# From Friday on, into a new month; the same month a year before was seen by some of the sensors.
FIRST, DAYS = datetime.date(2024, 5, 31), 5
YEAR_BEFORE, DAYS_BEFORE = datetime.date(2023, 6, 1), 2
AFTER = FIRST + datetime.timedelta(days=DAYS)
SENSORS = (
    ("jp1", "JP", "36.91.17.148/30 2405:9800:b0::/64"), ("jp2", "JP", "77.3.211.40"), ("jp3", "JP", "121.20.5.18"),
    ("au1", "AU", "44.136.80.7"), ("bn1", "BN", "51.12.190.33"), ("hk1", "HK", "91.77.34.12"),
    ("kr1", "KR", "108.4.60.91 108.4.61.7"), ("lk1", "LK", "145.99.3.77"), ("my1", "MY", "168.5.22.160"),
    ("tw1", "TW", "186.14.99.3"), ("my2", "MY", "0.0.0.0/0"))
SILENT = ("nz1", "NZ", "200.7.141.64")      # enrolled, and never listens
THERE_BEFORE = ("jp1", "jp2", "au1", "hk1", "kr1", "tw1")


def at(text: str) -> int:
    """Microseconds of a time in UTC."""
    return round(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000


def utc(time_us: int) -> str:
    return datetime.datetime.fromtimestamp(time_us // 1_000_000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


WHOLE = at("2024-05-31"), at("2024-06-05")
BEFORE = at("2023-06-01"), at("2023-06-03")
# What each sensor reads of the days: captures of these times, and what they state as covered (None: nothing). hk1 has
# a gap of 30 hours, my1 states some hours twice, lk1 begins late, bn1 states less than it reads, au1 nothing.
PIECES = collections.defaultdict(lambda: [(WHOLE, WHOLE)], {
    "au1": [(WHOLE, None)], "bn1": [(WHOLE, (WHOLE[0], at("2024-06-04T19:00")))],
    "hk1": [((WHOLE[0], at("2024-06-02T12:00")),) * 2, ((at("2024-06-03T18:00"), WHOLE[1]),) * 2],
    "lk1": [((at("2024-05-31T07:40"), WHOLE[1]),) * 2],
    "my1": [((WHOLE[0], at("2024-06-02T09:30")), (WHOLE[0], at("2024-06-02T11:00"))),
            ((at("2024-06-02T09:30"), WHOLE[1]), (at("2024-06-02T08:20"), WHOLE[1]))]})


class Read(list):
    """What one sensor reads: (capture, covered) one after the other."""


def simulate(folder: pathlib.Path, *options) -> pathlib.Path:
    folder.mkdir(parents=True)
    with open(folder / "given.csv", "w") as file:
        file.write("sensor_id,region,address\n" + "".join(",".join(row) + "\n" for row in SENSORS))
    subprocess.run([sys.executable, SIMULATE, "--out", folder, "--sensors", folder / "given.csv", "--seed", str(SEED),
                    "--whole", "--networks", "0.3", *map(str, options)], check=True, stdout=subprocess.DEVNULL)
    return folder


def cut(source: pathlib.Path, target: pathlib.Path, begin: int, end: int) -> pathlib.Path:
    """The part of a capture (raw IP, microseconds) between two times."""
    data, at, kept = source.read_bytes(), 24, []
    while at < len(data):
        seconds, micro, length, wire = struct.unpack_from("<IIII", data, at)
        if begin <= seconds * 1_000_000 + micro < end:
            kept.append((seconds * 1_000_000 + micro, data[at + 16:at + 16 + length], wire))
        at += 16 + length
    return packets.write_pcap(target, kept)


def oddities(dst: int) -> list[bytes]:
    """What hardly comes by: each once or twice, to one IPv4 address."""
    src = [packets.address(text) for text in ("9.9.9.9", "1.1.1.1", "10.1.2.3", "192.0.0.9", "198.51.100.77", "240.1.1.1")]
    tcp = lambda flags, port=80, **more: packets.tcp(src[0], dst, 4242, port, more.pop("seq", 7), 9, flags, **more)
    ip = lambda protocol, body, s=src[0], ttl=40, **more: packets.ipv4(s, dst, protocol, body, ttl, **more)
    later = bytearray(ip(6, b"in the middle of it"))
    later[6:8] = b"\x00\xb9"
    udp = lambda sport, dport, body: packets.udp(src[1], dst, sport, dport, body)
    result = [packets.ipv4(dst, dst, 6, packets.tcp(dst, dst, 7, 2323, dst), 64)]
    result += [ip(6, tcp(flags)) for flags in (0, 1, 0x10, 0x11, 0x12, 0x14, 0x04, 0x18, 0x29, 0x3F, 0xC2, 0xD0, 0x52)]
    result += [
        packets.ipv4(dst, dst, 6, packets.tcp(dst, dst, 9, 9, 1), 40), packets.ipv4(dst, dst, 17, b"\0\7\0\7\0\x08\0\0", 255),
        bytes(later), bytes(later), ip(17, udp(5353, 40000, b"mdns"), ttl=200), ip(17, b"\0\5"), ip(6, b"\0\1\0\2\0\0\0\0"),
        ip(17, udp(53, 53, b"\0\1\x81\x80")), ip(17, udp(53, 53, b"\0\1\x01\0")), ip(17, udp(123, 123, b"\x24")),
        ip(17, udp(123, 123, b"\x1b")), ip(17, udp(123, 123, b"\xd7\0")), ip(17, udp(123, 123, b"\x16\x82")),
        ip(17, udp(1900, 0, b"")), ip(17, udp(0, 1900, b"")), ip(1, packets.icmp(8, 0, b"1234")),
        ip(1, packets.icmp(3, 3, b"1234" + bytes(20))), ip(1, packets.icmp(11, 0, bytes(24))), ip(1, packets.icmp(13, 0, bytes(16))),
        ip(1, packets.icmp(14, 0, bytes(16))), ip(1, packets.icmp(40, 0, bytes(4))), ip(1, b"\x08\0\xf7"), ip(2, b"\x11\0\0\0" * 2),
        ip(50, bytes(24)), ip(41, bytes(40)), ip(47, b"\0\0\x08\0" + bytes(20)), ip(132, bytes(16)), ip(132, bytes(4)),
        ip(253, b"?"), ip(255, b"?"), ip(4, bytes(20)), ip(0, b""), ip(6, packets.tcp(src[1], dst, 1, 23, dst, window=1), src[1]),
        ip(6, packets.tcp(src[1], dst, 1, 23, dst, flags=0x12), src[1]), ip(6, tcp(2, 0, seq=3), ip_id=54321),
        ip(6, packets.tcp(src[0], dst, 5, 443, 99, window=1024, mss=None), ip_id=(dst ^ 443 ^ 99) & 0xFFFF),
        ip(6, packets.tcp(src[0], dst, 5, 443, 99, window=1025, mss=None), ip_id=(dst ^ 443 ^ 99) & 0xFFFF),
        ip(6, packets.tcp(src[0], dst, 5, 22, 99, window=1024)), ip(6, packets.tcp(src[0], dst, 5, 22, 99, window=1024), flags=2)]
    result += [ip(6, tcp(2, 23), s, ttl) for s, ttl in zip(src, (1, 26, 27, 64, 65, 128))]
    result += [ip(6, tcp(2, 23), src[1], ttl) for ttl in (0, 129, 255)]
    return result


def oddities6(dst: bytes) -> list[bytes]:
    """IPv6: hosts of one /64, extension headers, ICMPv6."""
    def ip(nxt: int, body: bytes, src: str = "2001:4860::8", hops: int = 57) -> bytes:
        return struct.pack("!IHBB", 6 << 28, len(body), nxt, hops) + ipaddress.ip_address(src).packed + dst + body

    syn = struct.pack("!HHIIBBHHH", 5, 23, 1, 0, 5 << 4, 2, 1024, 0, 0)
    result = [ip(6, syn, f"2001:4860:0:1::{n}") for n in (1, 2, 3)] + [ip(6, syn, "2001:4860:0:2::1"), ip(6, syn, "fd00::1")]
    result += [ip(58, bytes([kind, 0, 0, 0]) + bytes(12)) for kind in (1, 3, 128, 129, 135, 136, 137)]
    result += [ip(0, b"\x06\0\1\4\0\0\0\0" + syn), ip(44, b"\x11\0\0\1\0\0\0\7" + b"\0\5\0\x35\0\x20\0\0more"),
               ip(44, b"\x11\0\1\0\0\0\0\7the rest"), ip(59, b""), ip(60, b"\x3a\0\1\4\0\0\0\0" + b"\x80\0\0\0" + bytes(8))]
    return result


class World:
    """Captures in a folder, address data beside them; the same for all zones."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        now = simulate(folder / "now", "--start", FIRST, "--days", DAYS, "--packets", 6500)
        then = simulate(folder / "then", "--start", YEAR_BEFORE, "--days", DAYS_BEFORE, "--packets", 2500)
        self.reads: dict[str, Read] = {name: Read() for name, _, _ in SENSORS}
        for name, reads in self.reads.items():
            for i, ((begin, end), cover) in enumerate(PIECES[name]):
                reads.append((cut(now / f"sensor-{name}.pcap", folder / f"{name}-{i}.pcap", begin, end), cover))
            if name in THERE_BEFORE:
                reads.append((then / f"sensor-{name}.pcap", BEFORE))
        odd = oddities(packets.address("77.3.211.40"))
        self.reads["jp2"].append((packets.write_pcap(folder / "odd.pcap", [
            (at("2024-05-31T14:30") + i * 3_000_017_000, packet) for i, packet in enumerate(odd * 2)]), WHOLE))
        odd = oddities6(ipaddress.ip_address("2405:9800:b0::1").packed)
        self.reads["jp1"].append((packets.write_pcap(folder / "odd6.pcap", [
            (at("2024-06-01T14:30") + i * 7_000_017_000, packet) for i, packet in enumerate(odd)]), WHOLE))
        self.plan = now / "delegated-extended.txt"
        self.origins = self._origins()
        self._names()

    def _origins(self) -> list[tuple[str, str]]:
        """(prefix, origin): what routes would tell of the plan; a part is not routed, or from two places."""
        asns, blocks = {}, []
        for line in open(self.plan):
            field = line.rstrip("\n").split("|")
            if len(field) >= 8 and field[2] == "asn":
                asns[field[7]] = field[3]
            elif len(field) >= 8 and field[6] in ("allocated", "assigned"):
                blocks.append((field[2], field[3], int(field[4]), field[7]))
        result = []
        for i, (kind, first, size, opaque) in enumerate(blocks):
            asn, start = asns.get(opaque), ipaddress.ip_address(first)
            if asn is None or i % 7 == 3:
                continue
            nets = ([ipaddress.ip_network((first, size))] if kind == "ipv6" else
                    [*ipaddress.summarize_address_range(start, start + size - 1)])
            for net in nets:
                result.append((str(net), f"{asn}_64496" if i % 11 == 5 else asn))
                if i % 5 == 1:
                    result.append((str(next(net.subnets(prefixlen_diff=2))), "64511"))
        return result

    def _names(self) -> None:
        """Organizations (of some networks, and of parts of them), scanners (one of some days only), two groups."""
        nets = [prefix for prefix, _ in self.origins if ":" not in prefix]
        self.organizations = [(net, f"Example {i % 23}, Inc.") for i, net in enumerate(nets) if i % 3 == 0]
        self.organizations += [(str(next(ipaddress.ip_network(net).subnets(prefixlen_diff=1))), "Part")
                               for net in nets[::10]]
        self.scanners = [("9.9.9.0/24", "Nine", None, None), ("1.1.1.1", "One", datetime.date(2024, 6, 2), None),
                         *((net, "Research", datetime.date(2024, 6, 1), datetime.date(2024, 6, 3)) for net in nets[5::30]),
                         *((net, "Survey", None, datetime.date(2024, 12, 31)) for net in nets[7::30])]
        self.groups = {"some": nets[2::20] + ["2001:4860:0:1::/64"], "others": nets[3::20]}

    def _write(self, name: str, text: str) -> pathlib.Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def address_data(self) -> list[tuple[str, pathlib.Path]]:
        """(kind, file) to import"""
        day = lambda value: "" if value is None else str(value)
        return [("rir", self.plan),
                ("pfx2as", self._write("pfx2as.txt", "".join(
                    prefix.replace("/", "\t") + f"\t{origin}\n" for prefix, origin in self.origins))),
                ("organizations", self._write("organizations.csv", "prefix,organization,contact\n" + "".join(
                    f'{net},"{name}",abuse@example.org\n' for net, name in self.organizations))),
                ("scanners", self._write("scanners.csv", "prefix,organization,source,valid_from,valid_to\n" + "".join(
                    f"{net},{name},,{day(since)},{day(until)}\n" for net, name, since, until in self.scanners))),
                ("groups", self._write("groups.csv", "name,cidr\n" + "".join(
                    f"{name},{net}\n" for name, nets in self.groups.items() for net in nets)))]

    # Both ways to the numbers.

    def deliver(self, installation) -> dict[str, int]:
        """Sensor -> its id, when all is stored and rolled up; the collector goes on to judge it."""
        for kind, file in self.address_data():
            installation.admin.run("enrich", "import", kind, file)
        # So that the collector and catch_up() need not make them at the same time.
        for day in (YEAR_BEFORE, FIRST, AFTER):
            installation.query("SELECT hirundo.ensure_rollup_month(%s)", (day,))
        collector = installation.collector()
        processes = {name: installation.sensor(installation.enroll(name, region, addresses.split()), collector.address)
                     for name, region, addresses in SENSORS}
        installation.enroll(SILENT[0], SILENT[1], SILENT[2].split())
        for turn in range(max(map(len, self.reads.values()))):
            running = [name for name, reads in self.reads.items() if turn < len(reads)]
            for name in running:
                capture, cover = self.reads[name][turn]
                processes[name].start("--read", capture, *(["--cover", "/".join(map(utc, cover))] if cover else []))
            for name in running:
                assert processes[name].wait(120) == 0, processes[name].log[-2000:]
        with installation.connect() as connection:
            rollups.catch_up(connection)
        return dict(installation.query("SELECT name, sensor_id FROM hirundo.sensor"))

    def count(self, zone: str, ids: dict[str, int]) -> recount.Counted:
        counted = recount.Counted(zone)
        counted.regions = recount.delegated(self.plan)
        counted.asns = recount.networks((prefix, int(origin.split("_")[0])) for prefix, origin in self.origins)
        counted.organizations = recount.networks(self.organizations)
        counted.scanners, counted.groups = self.scanners, self.groups
        labels = collections.Counter()
        for name, region, addresses in [*SENSORS, SILENT]:
            labels[region] += 1
            sensor = recount.Sensor(ids[name], name, region, tuple(addresses.split()), f"{region}-{labels[region]}")
            counted.sensors[sensor.number] = sensor
            for capture, cover in self.reads.get(name, ()):
                counted.add(sensor, self.packets(capture), cover)
        return counted

    def packets(self, capture) -> list[recount.Packet]:
        if capture not in self._read:
            self._read[capture] = recount.read(capture)
        return self._read[capture]

    _read: dict = {}
