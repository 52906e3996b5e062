"""Captures counted again, by another way than Hirundo's: a reader of its own, plain loops, none of Hirundo's code.

The rules come from what they were published as (RFCs, the scanners' sources, the registries' formats) and from the
reports' definitions. `Counted` holds what the sensors of one installation saw; `Counted.select` is the filter that
all reports take, `harness.recount_reports` answers them."""
import bisect
import collections
import contextlib
import dataclasses
import datetime
import functools
import ipaddress
import struct
import zoneinfo
from typing import NamedTuple

from scapy.utils import RawPcapNgReader, RawPcapReader

QUARTER_US = 900_000_000
SAMPLE_BYTES = 128
FIN, SYN, RST, ACK = 1, 2, 4, 16
ICMP, IGMP, TCP, UDP, GRE, ESP, ICMPV6, SCTP = 1, 2, 6, 17, 47, 50, 58, 132
# IANA, protocol numbers; what has no name here is called by its number.
NAMES = {0: "HOPOPT", 1: "ICMP", 2: "IGMP", 4: "IPIP", 8: "EGP", 9: "IGP", 27: "RDP", 33: "DCCP", 41: "IPv6", 46: "RSVP",
         47: "GRE", 50: "ESP", 51: "AH", 58: "ICMPv6", 59: "IPv6-NoNxt", 88: "EIGRP", 89: "OSPF", 94: "IPIP-94",
         97: "EtherIP", 98: "ENCAP", 103: "PIM", 108: "IPComp", 112: "VRRP", 115: "L2TP", 124: "ISIS", 132: "SCTP",
         135: "Mobility", 136: "UDPLite", 137: "MPLS", 139: "HIP", 140: "Shim6"}
NUMBERS = {name: number for number, name in NAMES.items()} | {"TCP": 6, "UDP": 17}
RESPONSES = {"backscatter_synack", "backscatter_rst", "backscatter_icmp_reply", "backscatter_icmp_error",
             "backscatter_udp"}

# UDP services that amplify or answer (US-CERT TA14-017A; IANA's port numbers).
ANSWERS = {7, 13, 17, 19, 37, 53, 111, 123, 137, 161, 177, 389, 427, 443, 500, 520, 523, 623, 1194, 1434, 1604, 1701, 1900,
           3283, 3389, 3478, 3702, 4500, 5060, 5093, 5351, 5353, 5683, 10001, 11211, 17185, 27015, 27960, 32414, 37810,
           47808}
# IANA, ICMP and ICMPv6 types: who sends them was sent something in our name.
ICMP_REPLIES = {0, 14, 16, 18, 36, 38, 43}
ICMP_ERRORS = {3, 4, 5, 11, 12, 31, 40}
ICMPV6_REPLIES = {129, 136, 140, 145, 147, 161}
ICMPV6_ERRORS = {*range(128), 137}

# IANA, special-purpose addresses that are not globally reachable; multicast; reserved.
BOGONS = [ipaddress.ip_network(text) for text in (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24"
    " 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3"
    " 2001:2::/48 2001:10::/28 2001:db8::/32 3fff::/20").split()]
REACHABLE = [ipaddress.ip_network(text) for text in (
    "192.0.0.9/32 192.0.0.10/32 64:ff9b::/96 2001::/32 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:3::/32"
    " 2001:4:112::/48 2001:20::/28 2001:30::/28").split()]
UNICAST6, PROTOCOLS6 = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("2001::/23")


class Packet(NamedTuple):
    """Of one packet, what reports count by. None: it has no such field."""
    time_us: int
    src: str
    dst: str
    protocol: int | None
    src_port: int | None
    port: int | None        # destination
    icmp_type: int | None
    flags: int | None       # of TCP
    window: int | None
    header: int | None      # bytes, of TCP
    ttl: int
    traits: frozenset
    payload: bytes
    payload_length: int     # as headers state it


@functools.lru_cache(maxsize=None)
def address(data: bytes) -> str:
    return str(ipaddress.ip_address(data))


network = functools.lru_cache(maxsize=None)(ipaddress.ip_network)


@functools.lru_cache(maxsize=None)
def bogon(src: str) -> bool:
    """Nobody can have this source address."""
    a = ipaddress.ip_address(src)
    inside = lambda nets: any(a in net for net in nets if net.version == a.version)
    if inside(REACHABLE):
        return False
    return inside(BOGONS) or (a.version == 6 and (a not in UNICAST6 or a in PROTOCOLS6))


def initial_ttl(ttl: int) -> int:
    return 32 if ttl <= 26 else 64 if ttl <= 64 else 128 if ttl <= 128 else 255


# Reading.

def ip_of(frame: bytes, link: int) -> bytes | None:
    """The IP packet in a frame of Ethernet (with tags) or raw IP; None where there is none."""
    if link in (12, 14, 101, 228, 229):
        return frame
    if link != 1 or len(frame) < 14:
        return None
    at = 12
    kind = int.from_bytes(frame[at:at + 2], "big")
    while kind in (0x8100, 0x88A8, 0x9100):
        at += 4
        kind = int.from_bytes(frame[at:at + 2], "big")
    return frame[at + 2:] if kind in (0x0800, 0x86DD) else None


def _udp(ports: tuple, data: bytes) -> set:
    """Whether a datagram answers: sent from a service's port, to none; between two, what DNS and NTP say of
    themselves (RFC 1035: QR; RFC 5905: mode; RFC 9327 and mode 7: R)."""
    if ports[0] not in ANSWERS:
        return set()
    if ports[1] in ANSWERS:
        body = data[8:]
        if ports[0] in (53, 5353):
            answers = len(body) >= 3 and body[2] & 0x80
        elif ports[0] == 123 and body:
            mode = body[0] & 7
            answers = mode == 4 or (mode == 7 and body[0] & 0x80) or (mode == 6 and len(body) > 1 and body[1] & 0x80)
        else:
            answers = False
        if not answers:
            return set()
    return {"backscatter_udp"}


def _tcp(v4: bool, dst: bytes, ip_id, df: bool, data: bytes) -> tuple:
    """(flags, window, header length, traits)"""
    seq, = struct.unpack_from("!I", data, 4)
    header, flags, window = data[12] >> 4 << 2, data[13], int.from_bytes(data[14:16], "big")
    traits = set()
    if flags & RST:
        traits.add("backscatter_rst")
    elif flags & (SYN | ACK) == SYN | ACK:
        traits.add("backscatter_synack")
    elif flags & (FIN | SYN | RST | ACK) == SYN:
        if header == 20:
            traits.add("no_tcp_options")
        if v4:
            target, port = int.from_bytes(dst, "big"), int.from_bytes(data[2:4], "big")
            traits |= {name for name, holds in (
                ("mirai", seq == target),                                               # mirai/bot/scanner.c
                ("zmap", ip_id == 54321),                                               # packet.c, until 2024
                ("masscan", window == 1024 and ip_id == (target ^ port ^ seq) & 0xFFFF),    # templ-pkt.c
                ("nmap", window == 1024 and header == 24 and not df                     # scan_engine_raw.cc
                 and data[20:24] == b"\x02\x04\x05\xb4")) if holds}
    return flags, window, header, traits


def payload_of(protocol: int | None, traits: set, data: bytes) -> tuple[bytes, int]:
    """What is behind the transport header, and how long it is (proto/PROTOCOL.md, payload_length)."""
    if protocol is None or "fragment" in traits and protocol != UDP:
        return b"", 0
    if protocol == UDP:
        end = int.from_bytes(data[4:6], "big")
        return (data[8:end], end - 8) if len(data) >= 8 and end >= 8 else (b"", 0)
    header = {TCP: 20, ICMP: 8, ICMPV6: 8, SCTP: 12, 33: 12}.get(protocol, 0)
    if protocol in (TCP, 33) and len(data) >= header:
        stated = data[12] >> 4 << 2 if protocol == TCP else data[4] << 2
        if stated < header:
            return b"", 0
        header = stated
    return data[header:], max(len(data) - header, 0)


def parse(time_us: int, packet: bytes) -> Packet | None:
    """The outermost IP header and what is directly behind it; None where there is no whole one."""
    version = packet[0] >> 4 if packet else 0
    traits: set = set()
    ip_id, df, later = None, False, False
    if version == 4:
        if len(packet) < 20:
            return None
        head, total, ip_id, frag = (packet[0] & 15) * 4, *struct.unpack_from("!HHH", packet, 2)
        if head < 20 or len(packet) < head or 0 < total < head:
            return None
        src, dst, ttl, protocol = packet[12:16], packet[16:20], packet[8], packet[9]
        df, later = bool(frag & 0x4000), bool(frag & 0x1FFF)
        traits |= {name for name, holds in (("fragment", frag & 0x3FFF), ("reserved_flag", frag & 0x8000),
                                            ("ip_options", head > 20)) if holds}
        data = packet[head:total or None]
    elif version == 6:
        if len(packet) < 40:
            return None
        src, dst, ttl, protocol = packet[8:24], packet[24:40], packet[7], packet[6]
        data = packet[40:40 + int.from_bytes(packet[4:6], "big")]
        while protocol in (0, 43, 44, 51, 60) and not later:
            if len(data) < 8:
                protocol = None
                break
            size = 8 if protocol == 44 else (data[1] + 2) * 4 if protocol == 51 else (data[1] + 1) * 8
            if protocol == 44:
                offset = int.from_bytes(data[2:4], "big")
                later = offset >= 8
                traits |= {"fragment"} if offset & 0xFFF9 else set()
            else:
                traits.add("extension_headers")
            protocol, data = data[0], data[size:]
    else:
        return None
    ports, icmp_type, tcp = (None, None), None, (None, None, None)
    if bogon(address(src)):
        traits.add("bogon_source")
    if src == dst:
        traits.add("land")
    if not later:
        if protocol in (TCP, UDP, SCTP, 33, 136) and len(data) >= (12 if protocol == SCTP else 4):
            ports = struct.unpack_from("!HH", data)
        if protocol == TCP and len(data) >= 16:
            *tcp, more = _tcp(version == 4, dst, ip_id, df, data)
            traits |= more
        elif protocol == UDP and ports[0] is not None:
            traits |= _udp(ports, data)
        elif protocol in (ICMP, ICMPV6) and len(data) >= 6:
            icmp_type = data[0]
            replies, errors = (ICMP_REPLIES, ICMP_ERRORS) if protocol == ICMP else (ICMPV6_REPLIES, ICMPV6_ERRORS)
            traits |= {"backscatter_icmp_reply"} if icmp_type in replies else set()
            traits |= {"backscatter_icmp_error"} if icmp_type in errors else set()
    return Packet(time_us, address(src), address(dst), protocol, *ports, icmp_type, *tcp, ttl, frozenset(traits),
                  *((b"", 0) if later else payload_of(protocol, traits, data)))


def read(capture) -> list[Packet]:
    """The packets of a capture in the order of the file, pcap or pcapng."""
    packets = []
    with contextlib.closing(RawPcapReader(str(capture))) as reader:
        ng = isinstance(reader, RawPcapNgReader)
        for frame, meta in reader:
            if ng:
                time_us = ((meta.tshigh << 32) + meta.tslow) * 1_000_000 // meta.tsresol
                link = meta.linktype
            else:
                time_us = meta.sec * 1_000_000 + (meta.usec // 1000 if reader.nano else meta.usec)
                link = reader.linktype
            packet = ip_of(frame, link)
            parsed = parse(time_us, packet) if packet is not None else None
            if parsed:
                packets.append(parsed)
    return packets


# What a packet counts as.

def service(p: Packet) -> str:
    if p.protocol in (TCP, UDP):
        name = "TCP" if p.protocol == TCP else "UDP"
        return f"{name}/frag" if p.port is None else f"{p.port}/{name}"
    return "unknown" if p.protocol is None else NAMES.get(p.protocol, f"protocol-{p.protocol}")


def service_order(name: str) -> tuple:
    """Protocol and port of a service; one without a port comes behind those that have one."""
    if name == "unknown":
        return 256, 0
    port, slash, protocol = name.rpartition("/")
    if slash and port == "":
        return 256, 0
    if name.endswith("/frag"):
        return NUMBERS[name[:3]], 65536
    if slash:
        return NUMBERS[protocol], int(port)
    return (NUMBERS[name] if name in NUMBERS else int(name.removeprefix("protocol-"))), 65536


def ack_kind(p: Packet) -> str | None:
    if not (p.flags or 0) & ACK:
        return None
    return "rstack" if p.flags & RST else "synack" if p.flags & SYN else "ack"


def tool(p: Packet) -> tuple:
    """What packets of one tool have in common, as ttl_by_region tells sightings apart."""
    response = bool(p.traits & RESPONSES)
    tcp = p.protocol == TCP and not response
    window = (p.window if p.window in (0, 512, 1024, 64240, 65535, None) else "other") if tcp else "none"
    return (p.protocol, response, p.flags or 0, window, (p.header or 0) // 4 if tcp else 0,
            (p.icmp_type or 0) if p.protocol in (ICMP, ICMPV6) else
            p.port if p.protocol in (TCP, UDP) and not response else 0)


def host(src: str):
    """What counts as one: an IPv4 address, an IPv6 /64."""
    return src if ":" not in src else int(ipaddress.IPv6Address(src)) >> 64


@dataclasses.dataclass(eq=False, slots=True)
class Cell:
    """Packets that no report tells apart. Counted makes one object of them: cells are compared, and hashed, as objects."""
    sensor: int
    day: datetime.date
    quarter_us: int         # start of its 15 minutes
    src: str | None         # None: the sensor's own
    src_port: int | None
    service: str
    protocol: int | None
    traits: frozenset
    ttl: int
    ack: str | None
    tool: tuple
    role: str = dataclasses.field(init=False)

    def __post_init__(self):
        self.role = "response" if self.traits & RESPONSES else "probe"


# Whose an address is.

class Ranges:
    """Disjoint or nested ranges; the narrowest that holds an address speaks."""

    def __init__(self, entries):
        """@param entries  (first address as integer, last, IP version, value)"""
        self.entries = sorted(entries, key=lambda e: (e[2], e[0], -e[1]))
        self.keys = [(e[2], e[0]) for e in self.entries]
        self.known: dict = {}

    def of(self, src: str | None):
        if src is not None and src not in self.known:
            a = ipaddress.ip_address(src)
            number, best = int(a), None
            for i in range(bisect.bisect_right(self.keys, (a.version, number)) - 1, -1, -1):
                lo, hi, version, value = self.entries[i]
                if version != a.version:
                    break
                if hi >= number and (best is None or hi - lo < best[0]):
                    best = hi - lo, value
            self.known[src] = best and best[1]
        return self.known.get(src)


def delegated(path) -> Ranges:
    """A registry's delegated-extended file: who was given what. (region, opaque-id)"""
    entries = []
    for line in open(path):
        field = line.rstrip("\n").split("|")
        if len(field) < 8 or field[2] not in ("ipv4", "ipv6") or field[6] not in ("allocated", "assigned"):
            continue
        first = ipaddress.ip_address(field[3])
        count = int(field[4]) if first.version == 4 else 1 << (128 - int(field[4]))
        entries.append((int(first), int(first) + count - 1, first.version, (field[1], field[7])))
    return Ranges(entries)


def networks(rows) -> Ranges:
    """(prefix, value) -> longest match"""
    entries = []
    for prefix, value in rows:
        net = ipaddress.ip_network(prefix)
        entries.append((int(net[0]), int(net[-1]), net.version, value))
    return Ranges(entries)


NOBODY = Ranges([])


class Sensor(NamedTuple):
    number: int
    name: str
    region: str
    addresses: tuple[str, ...]     # addresses and prefixes
    label: str

    @property
    def networks(self) -> list:
        return [ipaddress.ip_network(text) for text in self.addresses]

    @property
    def count(self) -> int | None:
        """Addresses that it listens at, an IPv6 prefix for one; None: it takes everything."""
        nets = self.networks
        if any(net.prefixlen == 0 for net in nets):
            return None
        return sum(net.num_addresses if net.version == 4 else 1 for net in nets)


class Payload(NamedTuple):
    """Of the first packet that brought it, and how many did."""
    first_us: int
    src: str | None
    service: str
    length: int
    packets: int


class Counted:
    """What an installation received, and when it listened.

    regions, asns, organizations: Ranges; scanners: (network, organization, first day, last day); groups: name ->
    networks; spoofed: (day, source, track) that the verdict calls so, track 0 for all of the source's."""

    def __init__(self, zone: str, home: str = "JP"):
        self.zone, self.home = zoneinfo.ZoneInfo(zone), home
        self.sensors: dict[int, Sensor] = {}
        self.cells: collections.Counter = collections.Counter()
        self.first: dict[Cell, int] = {}
        self.last: dict[Cell, int] = {}
        self.payloads: dict[tuple[int, bytes], Payload] = {}
        self.covered: dict[int, list[tuple[int, int]]] = collections.defaultdict(list)
        self.regions = self.asns = self.organizations = NOBODY
        self.scanners: list[tuple] = []
        self.groups: dict[str, list] = {}
        self.spoofed: set[tuple] = set()
        self._cells: dict[tuple, Cell] = {}
        self._days: dict[int, datetime.date] = {}
        self._scanners: dict = {}

    def day_of(self, time_us: int) -> datetime.date:
        quarter = time_us // QUARTER_US
        if quarter not in self._days:
            self._days[quarter] = datetime.datetime.fromtimestamp(quarter * 900, self.zone).date()
        return self._days[quarter]

    def midnight_us(self, day: datetime.date) -> int:
        return round(datetime.datetime.combine(day, datetime.time(), self.zone).timestamp()) * 1_000_000

    def add(self, sensor: Sensor, packets: list[Packet], cover: tuple[int, int] | None = None) -> None:
        """Packets of a capture that a sensor read; cover: the time it states that it listened, else from its first
        packet to its last."""
        self.sensors[sensor.number] = sensor
        own, everything = sensor.networks, sensor.count is None
        inside = functools.lru_cache(maxsize=None)(lambda text: any(
            a in net for a in [ipaddress.ip_address(text)] for net in own if net.version == a.version))
        for p in packets:
            if not inside(p.dst):
                continue
            src, traits = p.src, p.traits
            if not everything and inside(src):
                src, traits = None, traits | {"land"}
            key = (sensor.number, self.day_of(p.time_us), p.time_us // QUARTER_US * QUARTER_US, src, p.src_port,
                   service(p), p.protocol, traits, p.ttl, ack_kind(p), tool(p))
            cell = self._cells.get(key) or self._cells.setdefault(key, Cell(*key))
            self.cells[cell] += 1
            self.first[cell] = min(self.first.get(cell, p.time_us), p.time_us)
            self.last[cell] = max(self.last.get(cell, p.time_us), p.time_us)
            if p.payload:
                known = self.payloads.get((sensor.number, p.payload[:SAMPLE_BYTES]))
                if known is None or p.time_us < known.first_us:
                    self.payloads[sensor.number, p.payload[:SAMPLE_BYTES]] = Payload(
                        p.time_us, src, cell.service, p.payload_length, (known.packets if known else 0) + 1)
                else:
                    self.payloads[sensor.number, p.payload[:SAMPLE_BYTES]] = known._replace(packets=known.packets + 1)
        if cover is None and packets:
            cover = min(p.time_us for p in packets), max(p.time_us for p in packets) + 1
        if cover:
            self.covered[sensor.number].append(cover)

    # When it listened.

    def listened_us(self, sensor: int, from_us: int, to_us: int) -> int:
        """What is covered twice counts once."""
        total, until = 0, from_us
        for begin, end in sorted(self.covered[sensor]):
            begin, end = max(begin, until), min(end, to_us)
            if end > begin:
                total, until = total + end - begin, end
        return total

    def listened_days(self, sensor: int, days) -> float:
        """In days of the period, as parts of 86400 s."""
        return sum(self.listened_us(sensor, self.midnight_us(day), self.midnight_us(day + datetime.timedelta(days=1)))
                   for day in days) / 86_400_000_000

    # The filter.

    def picked(self, f: dict) -> list[int]:
        """Sensors that a filter leaves."""
        home = f.get("home", self.home)
        return [number for number, s in sorted(self.sensors.items())
                if ("sensors" not in f or number in listed(f["sensors"]))
                and ("sensor_region" not in f or s.region in listed(f["sensor_region"]))
                and ("grp" not in f or (s.region == home) == (f["grp"] == "domestic"))]

    def region(self, src: str | None) -> str:
        return (self.regions.of(src) or ("ZZ",))[0]

    def organization(self, src: str | None) -> str:
        """By prefix, else the autonomous system's."""
        asn = self.asns.of(src)
        return self.organizations.of(src) or (f"AS{asn}" if asn else "not known")

    def scanner(self, src: str | None, day) -> bool:
        """Whether it is a research scanner's on that day; of both ends None: any."""
        return any((since is None or since <= day) and (until is None or day <= until)
                   for *_, since, until in self.scanners_at(src))

    def scanners_at(self, src: str | None) -> list[tuple]:
        """(length of the network, number of the entry, organization, first day, last day) of those that hold it."""
        if src not in self._scanners:
            a = None if src is None else ipaddress.ip_address(src)
            self._scanners[src] = [] if a is None else [
                (net.prefixlen, i, name, since, until) for i, (text, name, since, until) in enumerate(self.scanners)
                for net in [network(text)] if a in net]
        return self._scanners[src]

    def is_spoofed(self, cell: Cell) -> bool:
        return bool({(cell.day, cell.src, 0), (cell.day, cell.src, initial_ttl(cell.ttl))} & self.spoofed)

    def picks_source(self, f: dict):
        """Whether the keys on source addresses leave one, each asked once."""
        nets = [ipaddress.ip_network(text) for text in listed(f.get("networks", []))]
        group = [ipaddress.ip_network(text) for name in listed(f.get("network_group", [])) for text in self.groups[name]]
        within = lambda src, nets: src is not None and any(
            a in net for a in [ipaddress.ip_address(src)] for net in nets if net.version == a.version)

        @functools.lru_cache(maxsize=None)
        def picks(src: str | None) -> bool:
            return (("src_region" not in f or self.region(src) in listed(f["src_region"]))
                    and ("asn" not in f or self.asns.of(src) in listed(f["asn"]))
                    and ("organization" not in f or self.organization(src) in listed(f["organization"]))
                    and ("networks" not in f or within(src, nets))
                    and ("network_group" not in f or within(src, group))
                    and ("sources" not in f or src in listed(f["sources"])))
        return picks

    def select(self, days, f: dict) -> dict[Cell, int]:
        """Cells of these reporting days that a filter leaves."""
        sensors, days, exclude = set(self.picked(f)), set(days), listed(f.get("exclude", []))
        picks = self.picks_source(f)
        services, traits = listed(f.get("services", [])), set(listed(f.get("traits", [])))
        return {cell: packets for cell, packets in self.cells.items()
                if cell.sensor in sensors and cell.day in days and picks(cell.src)
                and ("services" not in f or cell.service in services)
                and (not f.get("ports_only") or cell.service[0].isdigit())
                and ("traits" not in f or cell.traits & traits)
                and ("role" not in f or cell.role == f["role"])
                and not ("response" in exclude and cell.role == "response")
                and not ("bogon" in exclude and "bogon_source" in cell.traits)
                and not ("scanner_org" in exclude and self.scanner(cell.src, cell.day))
                and not ("spoofed" in exclude and self.is_spoofed(cell))}


def listed(value) -> list:
    """A list, or one value alone."""
    return value if isinstance(value, list) else [value]


def hosts(cells) -> int:
    return len({host(cell.src) for cell in cells if cell.src is not None})
