"""The invented Internet: regions, holders, their addresses, and the file a registry would publish of it.

Nothing here is anybody's: holders, blocks and numbers are drawn from the seed. Only the regions' codes,
registries and rough positions (degrees) are real, because distance decides how far packets travel."""
from __future__ import annotations

import bisect
import dataclasses
import ipaddress
import itertools
import math
import random

# code, registry, latitude, longitude, part of the world, holders, share of Mirai-like bots
_REGIONS = """
JP apnic 36 138 ea 18 3    KR apnic 37 128 ea 12 4    TW apnic 24 121 ea 9 5     HK apnic 22 114 ea 9 2
CN apnic 34 110 ea 22 26   SG apnic 1 104 sea 9 1     MY apnic 4 102 sea 7 2     ID apnic -3 114 sea 9 4
TH apnic 14 101 sea 7 3    VN apnic 16 107 sea 9 7    PH apnic 13 122 sea 6 1    BN apnic 5 115 sea 4 1
IN apnic 22 79 sa 15 14    LK apnic 7 81 sa 5 1       BD apnic 24 90 sa 6 2      PK apnic 30 70 sa 6 3
NP apnic 28 84 sa 4 1      AU apnic -30 145 oc 8 1    NZ apnic -41 173 oc 4 1    RU ripencc 56 45 ee 12 7
UA ripencc 49 31 ee 6 2    PL ripencc 52 19 ee 6 1    RO ripencc 45 25 ee 6 1    DE ripencc 51 10 eu 10 1
FR ripencc 47 2 eu 9 1     GB ripencc 52 -1 eu 9 1    NL ripencc 52 5 eu 10 1    IT ripencc 42 12 eu 7 2
ES ripencc 40 -4 eu 6 1    SE ripencc 60 16 eu 5 1    TR ripencc 39 35 me 6 4    IR ripencc 32 53 me 8 6
EG afrinic 27 30 me 5 6    MA afrinic 32 -6 af 5 1    GH afrinic 8 -1 af 4 1     NG afrinic 9 8 af 5 1
KE afrinic 0 38 af 4 1     ZA afrinic -29 24 af 5 1   US arin 39 -97 am 26 4     CA arin 50 -95 am 7 1
MX lacnic 23 -102 la 6 3   CO lacnic 4 -73 la 5 2     EC lacnic -1 -78 la 4 2    BR lacnic -12 -50 la 15 12
AR lacnic -35 -64 la 7 3   CL lacnic -33 -71 la 5 1
"""

# Not for holders: special purposes (IANA registry), and where sensors of tests and demonstrations stand.
_RESERVED4 = ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
              "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
              "203.0.113.0/24", "224.0.0.0/3")
# What forgers use who take no care.
BOGONS4 = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
           "198.18.0.0/15", "240.0.0.0/4")


@dataclasses.dataclass(frozen=True)
class Region:
    code: str
    registry: str
    latitude: float
    longitude: float
    world: str      # part of the world: who shares regional transit
    holders: int
    bots: int       # share of Mirai-like bots


@dataclasses.dataclass(eq=False)
class Holder:
    """A network: the blocks of one opaque-id."""
    index: int
    region: Region
    opaque: str
    asn: int
    cloud: bool
    seat: Region            # where its machines stand; not the registered region for a few clouds
    weight: float           # share of its region's hosts
    blocks: list[tuple[int, int]] = dataclasses.field(default_factory=list)    # (first address, addresses)
    blocks6: list[tuple[int, int]] = dataclasses.field(default_factory=list)   # (first address, prefix length)

    @property
    def addresses(self) -> int:
        return sum(count for _, count in self.blocks)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a machine stands: hop models know no more of it than this."""
    holder: Holder
    block: int      # which of the holder's blocks it is numbered from
    extra: int      # routers between it and the holder's network (NAT, campus, ...)


def regions() -> list[Region]:
    words = _REGIONS.split()
    return [Region(code, registry, float(lat), float(lon), world, int(holders), int(bots))
            for code, registry, lat, lon, world, holders, bots in zip(*(words[i::7] for i in range(7)))]


def distance_km(a: Region, b: Region) -> float:
    """Great circle."""
    la, lb, d = math.radians(a.latitude), math.radians(b.latitude), math.radians(a.longitude - b.longitude)
    cosine = math.sin(la) * math.sin(lb) + math.cos(la) * math.cos(lb) * math.cos(d)
    return 6371 * math.acos(max(-1.0, min(1.0, cosine)))


class Plan:
    """Who holds which addresses; hands out each address once."""

    def __init__(self, seed: int, sensor_addresses: list[int], size: float = 1.0):
        """@param size  1: some 370 holders; less for little traffic, of which each network needs its share"""
        self.random = random.Random(f"{seed} plan")
        self.regions = [dataclasses.replace(region, holders=max(2, round(region.holders * size))) for region in regions()]
        self.by_code = {region.code: region for region in self.regions}
        self.holders: list[Holder] = []
        self.taken: set[int] = set(sensor_addresses)
        self.owner: dict[int, tuple[Holder, int]] = {}      # address handed out -> holder and block
        for region in self.regions:
            self._found(region)
        self.gaps: list[tuple[int, int]] = []               # between blocks: nobody's
        self._number4([a for a in sensor_addresses if a >> 32 == 0])
        self._number6([a for a in sensor_addresses if a >> 32])
        for holder in self.holders:     # more addresses, more hosts
            holder.weight *= math.sqrt(holder.addresses)
        self._cumulative = {code: list(itertools.accumulate(h.weight for h in self.of(code))) for code in self.by_code}
        self._sizes = list(itertools.accumulate(h.addresses for h in self.holders))

    def _found(self, region: Region) -> None:
        r = self.random
        for rank in range(region.holders):
            cloud = r.random() < 0.15
            seat = region
            if cloud and r.random() < 0.12:
                seat = r.choice(self.regions)
            self.holders.append(Holder(len(self.holders), region, f"{r.getrandbits(32):08x}", 64512 + len(self.holders),
                                       cloud, seat, r.uniform(0.7, 1.3) / (rank + 1.5) ** 0.8))

    def _number4(self, sensors: list[int]) -> None:
        r = self.random
        barred = [(int(n.network_address), int(n.broadcast_address)) for n in map(ipaddress.ip_network, _RESERVED4)]
        barred += [(a & ~0xFFFF, a | 0xFFFF) for a in sensors]
        owners = [h for h in self.holders for _ in range(r.choice((1, 1, 2, 2, 3, 4)) + 2 * h.cloud)]
        r.shuffle(owners)
        position, previous = 0x01000000, 0x01000000
        for holder in owners:
            # Registries give what was asked for: often no power of two.
            count = 256 * r.choice((4, 8, 12, 16, 16, 24, 32, 40, 48, 64, 96, 128, 256, 256, 384, 512))
            position += 256 * r.randrange(0, 20000)
            while True:
                clash = [end for begin, end in barred if begin < position + count and end >= position]
                if not clash:
                    break
                position = max(clash) + 1
            if position - previous >= 65536:
                self.gaps.append((previous, position - previous))
            holder.blocks.append((position, count))
            position += count
            previous = position
        assert position < 0xE0000000, "the plan does not fit into IPv4"

    def _number6(self, sensors: list[int]) -> None:
        """Every third holder has IPv6; one in four of these a /29, the rest a /32."""
        barred = {a >> 96 for a in sensors}
        position = 0x2A10 << 16
        for holder in self.random.sample(self.holders, len(self.holders) // 3):
            length = self.random.choice((29, 32, 32, 32))
            size = 1 << (32 - length)
            position = (position + size - 1) // size * size
            while any(position <= a < position + size for a in barred):
                position += size
            holder.blocks6.append((position << 96, length))
            position += size * self.random.choice((1, 2, 8))

    def of(self, code: str) -> list[Holder]:
        first = self._first(code)
        return self.holders[first:first + self.by_code[code].holders]

    def _first(self, code: str) -> int:
        first = 0
        for region in self.regions:
            if region.code == code:
                return first
            first += region.holders
        raise KeyError(code)

    def holder_in(self, r: random.Random, code: str) -> Holder:
        """A holder of the region, the large ones more often."""
        sums = self._cumulative[code]
        return self.of(code)[bisect.bisect(sums, r.random() * sums[-1])]

    def holder_by_size(self, r: random.Random) -> Holder:
        """The holder of a random allocated address."""
        return self.holders[bisect.bisect(self._sizes, r.random() * self._sizes[-1])]

    def address(self, r: random.Random, holder: Holder, careful: bool = True) -> int:
        """An address of the holder that nobody has had yet. careful: none that ends in 0 or 255."""
        while True:
            block = r.randrange(len(holder.blocks))
            first, count = holder.blocks[block]
            # Hosts crowd in some /24s of a block.
            address = first + int(count * r.random() ** 1.5)
            if address not in self.taken and not (careful and address & 0xFF in (0, 255)):
                return self._hand_out(address, holder, block)

    def address6(self, r: random.Random, holder: Holder) -> int:
        first, length = r.choice(holder.blocks6)
        while True:
            address = first + (r.getrandbits(64 - length) << 64) + r.choice((r.getrandbits(64), r.randrange(1, 512)))
            if address not in self.taken:
                return self._hand_out(address, holder, 0)

    def _hand_out(self, address: int, holder: Holder, block: int) -> int:
        self.taken.add(address)
        self.owner[address] = (holder, block)
        return address

    def unallocated(self, r: random.Random) -> int:
        """An address that the registry's file does not list."""
        while True:
            first, count = r.choice(self.gaps)
            address = first + r.randrange(count)
            if address not in self.taken:
                self.taken.add(address)
                return address

    def bogon(self, r: random.Random) -> int:
        while True:
            network = ipaddress.ip_network(r.choice(BOGONS4))
            address = int(network.network_address) + r.randrange(network.num_addresses)
            if address not in self.taken:
                self.taken.add(address)
                return address

    def place(self, r: random.Random, address: int) -> Place:
        holder, block = self.owner[address]
        return Place(holder, block, r.choices((0, 1, 2, 3), (70, 20, 8, 2))[0])

    def delegated(self, date: str) -> str:
        """The delegated-extended file, as the registries' joint one. date: yyyymmdd"""
        records = []
        counts = {"asn": 0, "ipv4": 0, "ipv6": 0}

        def add(kind: str, registry: str, code: str, start: str, value: int, status: str, opaque: str) -> None:
            counts[kind] += 1
            records.append("|".join((registry, code, kind, start, str(value), "20100101" if code else "", status, opaque)))

        for h in self.holders:
            add("asn", h.region.registry, h.region.code, str(h.asn), 1, "allocated", h.opaque)
        lists = [(first, count, h) for h in self.holders for first, count in h.blocks]
        lists += [(first, min(count, 65536), None) for first, count in self.gaps[::20]]
        for first, count, h in sorted(lists, key=lambda item: item[0]):
            start = str(ipaddress.IPv4Address(first))
            if h:
                add("ipv4", h.region.registry, h.region.code, start, count, "assigned" if h.cloud else "allocated", h.opaque)
            else:
                add("ipv4", "apnic", "", start, count, "available", "")
        for first, length, h in sorted((first, length, h) for h in self.holders for first, length in h.blocks6):
            add("ipv6", h.region.registry, h.region.code, str(ipaddress.IPv6Address(first)), length, "allocated", h.opaque)
        head = [f"2|nro|{date}|{len(records)}|19830613|{date}|+0000"]
        head += [f"nro|*|{kind}|*|{count}|summary" for kind, count in counts.items()]
        return "\n".join(head + ["# invented: none of these holders exists"] + records) + "\n"
