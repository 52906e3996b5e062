"""Machines that send with their own address: worms, scanners, households behind NAT, victims of floods.

Each kind is a population. On one day all of it is there; over several days a machine has days off, comes
back, and some kinds rest at weekends."""
from __future__ import annotations

import dataclasses
import random
from typing import Callable

import packets
import tools
from plan import Holder, Place
from world import World

EACH_DAY = 0.7      # of a population is there on a day, where there are several


def spread(r: random.Random, sensors: list[int], alone: float = 0.3) -> list[int]:
    """The sensors that a machine comes by."""
    if r.random() < alone or len(sensors) == 1:
        return [r.choice(sensors)]
    return r.sample(sensors, min(len(sensors), 2 + int(r.expovariate(1 / 6.5))))


def amount(r: random.Random, mean: float) -> int:
    """Packets of a machine on a day: most send little, few send much."""
    return max(1, min(400, round(r.lognormvariate(0, 0.7) * mean / 1.28)))


class Machine:
    """One address; what stands behind it, and what that sends to whom on a day."""

    def __init__(self, world: World, r: random.Random, kind: str, src: int, mean: float, sensors: list[int]):
        self.kind, self.src, self.mean, self.sensors = kind, src, mean, sensors
        self.place = world.plan.place(r, src)
        self.v6 = bool(src >> 32)
        self.ports = [tools.port(r) for _ in range(r.choice((1, 1, 1, 2, 3)))]
        self.senders: list[tuple] = []          # (tool, initial TTL or None)
        self.rests = r.random() < 0.25          # at weekends
        world.label(src, "genuine", kind, "host", self.place.holder.seat.code)

    def add(self, tool, initial: int | None = None) -> "Machine":
        self.senders.append((tool, initial or tool.initial))
        return self

    def packet(self, world: World, r: random.Random, at: int, sensor: int, which: int) -> None:
        tool, initial = self.senders[which]
        dst = world.target(r, sensor, self.v6)
        protocol, payload, ip_id, df, flow = tool(r, self.src, dst, r.randrange(32768, 61000), r.choice(self.ports))
        ttl = world.ttl(tool.ttl(r) if initial is None else initial, self.place, sensor, at, flow)
        world.send(at, sensor, self.src, packets.ip(self.src, dst, protocol, payload, ttl, ip_id, df))
        if isinstance(tool, tools.Connect) and r.random() < 0.35:
            # Nobody answers: connect() sends the same segment again.
            for wait_us in (1_000_000, 3_000_000, 7_000_000)[:r.randrange(1, 4)]:
                ip_id = (ip_id + 1) & 0xFFFF
                world.send(at + wait_us, sensor, self.src, packets.ip(self.src, dst, protocol, payload, ttl, ip_id, df))

    def day(self, world: World, r: random.Random) -> None:
        if self.rests and world.weekend and r.random() < 0.6:
            return
        count = amount(r, self.mean)
        if isinstance(self.senders[0][0], tools.Connect):
            count = max(1, round(count / 1.7))      # less what is sent again
        # Many are up for some hours only, or their address is theirs for no longer.
        begin = world.time(r, self.place)
        length = min(r.randrange(1_800_000_000, 28_800_000_000), world.end_us - begin) if r.random() < 0.4 else 0
        for i in range(count):
            # A different sensor each time until all had their turn: who scans, scans them all.
            sensor = self.sensors[i] if i < len(self.sensors) else r.choice(self.sensors)
            at = begin + r.randrange(length) if length else world.time(r, self.place)
            self.packet(world, r, at, sensor, r.randrange(len(self.senders)))


class Victim(Machine):
    """Attacked for some minutes; answers come while that lasts."""

    def day(self, world, r):
        begin, length = world.time(r), r.randrange(60_000_000, 5_400_000_000)
        for _ in range(amount(r, self.mean)):
            self.packet(world, r, begin + r.randrange(length), r.choice(self.sensors), 0)


class Scanner(Machine):
    """Goes over all addresses in one sweep, in random order."""

    def day(self, world, r):
        at = world.time(r)
        step = r.randrange(1_000, 200_000_000 // len(self.sensors))
        for port in self.ports * max(1, round(self.mean / len(self.sensors) / 2)):
            for sensor in r.sample(self.sensors, len(self.sensors)):
                at += r.randrange(step)
                if at >= world.end_us:
                    at -= world.end_us - world.begin_us
                for which in range(len(self.senders)):
                    self.packet(world, r, at, sensor, which)


class Herd(Machine):
    """Bots that were told to look for one thing: the same packets from everywhere, begun together."""

    def day(self, world, r):
        begin = world.begin_us + self.orders_us + r.randrange(300_000_000)
        for i in range(amount(r, self.mean)):
            sensor = self.sensors[i] if i < len(self.sensors) else r.choice(self.sensors)
            self.packet(world, r, begin + r.randrange(3_600_000_000), sensor, 0)


class Weekender(Machine):
    """Servers of one hosting company with one program on them, which begins on the first day and works at weekends and at
    the end of a month."""

    def day(self, world, r):
        if world.day > 0 and not world.weekend and world.dates[world.day].day < 28 and r.random() < 0.8:
            return
        for sensor in self.sensors:
            if r.random() < 0.9:
                self.packet(world, r, world.time(r), sensor, 0)


@dataclasses.dataclass(frozen=True)
class Kind:
    name: str
    share: float        # of the genuine sources
    mean: float         # packets of a source on a day
    make: Callable      # (world, r, kind, holder) -> Machine


def _holder(world: World, r: random.Random) -> Holder:
    region = r.choices(world.plan.regions, [region.holders for region in world.plan.regions])[0]
    return world.plan.holder_in(r, region.code)


def _bot_holder(world: World, r: random.Random) -> Holder:
    region = r.choices(world.plan.regions, [region.bots for region in world.plan.regions])[0]
    return world.plan.holder_in(r, region.code)


def _cloud(world: World, r: random.Random) -> Holder:
    while True:
        holder = _holder(world, r)
        if holder.cloud:
            return holder


def _machine(cls=Machine, alone: float = 0.3, everywhere: bool = False, careful: bool = True):
    def make(world: World, r: random.Random, kind: Kind, holder: Holder) -> Machine:
        sensors = list(world.with_v4) if everywhere else spread(r, world.with_v4, alone)
        return cls(world, r, kind.name, world.plan.address(r, holder, careful), kind.mean, sensors)
    return make


def _single(world, r, kind):
    tool = tools.Connect(r) if r.random() < 0.6 else tools.RawSyn(r)
    return _machine()(world, r, kind, _holder(world, r)).add(tool)


def _mirai(world, r, kind):
    return _machine()(world, r, kind, _bot_holder(world, r)).add(tools.Mirai(r))


def _udp(world, r, kind):
    return _machine()(world, r, kind, _holder(world, r)).add(tools.UdpProbe(r))


def _icmp(world, r, kind):
    return _machine()(world, r, kind, _holder(world, r)).add(tools.Ping(r))


def _gre(world, r, kind):
    return _machine()(world, r, kind, _bot_holder(world, r)).add(tools.Gre(r))


def _one_sensor(world, r, kind):
    tool = r.choices((tools.Connect, tools.RawSyn, tools.Mirai, tools.UdpProbe, tools.Ping), (40, 25, 20, 10, 5))[0](r)
    return _machine(alone=1.0)(world, r, kind, _holder(world, r)).add(tool)


def _nat(world, r, kind):
    """Several systems behind one address, each with its own start value."""
    machine = _machine()(world, r, kind, _holder(world, r))
    machine.add(tools.Connect(r, tools.LINUX))
    machine.add(tools.Connect(r, tools.WINDOWS))
    if r.random() < 0.3:
        machine.add(tools.Mirai(r))
    if r.random() < 0.2:
        machine.add(tools.Ping(r, 255))
    return machine


def _zscan(world, r, kind):
    machine = _machine(Scanner, everywhere=True)(world, r, kind, _cloud(world, r))
    return machine.add(r.choice((tools.ZMap, tools.Masscan))(r))


def _mixed_tools(world, r, kind):
    """Connections of the system and a raw scanner with TTL 255 beside them."""
    machine = _machine(Scanner, alone=0.0)(world, r, kind, _holder(world, r))
    return machine.add(tools.Connect(r, tools.LINUX)).add(r.choice((tools.ZMap, tools.Masscan))(r))


def _nmap(world, r, kind):
    machine = _machine(alone=0.05)(world, r, kind, _holder(world, r)).add(tools.Nmap(r))
    machine.ports = [tools.port(r) for _ in range(60)]
    return machine


def _herd(world, r, kind):
    """One of three herds; all of a herd have the same tool and service."""
    herd = world.rng("herd", r.randrange(3))
    tool, port, orders_us = tools.RawSyn(herd, 64), tools.port(herd), herd.randrange(80_000_000_000)
    machine = _machine(Herd)(world, r, kind, _bot_holder(world, r)).add(tool)
    machine.ports, machine.orders_us = [port], orders_us
    return machine


def _odd(world, r, kind):
    """Start values that no table of systems has."""
    return _machine()(world, r, kind, _holder(world, r)).add(tools.RawSyn(r), r.choice((60, 63, 100, 127, 150, 200, 240, 254)))


def _backscatter(world, r, kind):
    return _machine(Victim, alone=0.5, careful=False)(world, r, kind, _holder(world, r)).add(tools.Victim(r))


def _abroad(world, r, kind):
    """A network that is registered in one region and stands in another."""
    away = [h for h in world.plan.holders if h.seat is not h.region] or world.plan.holders[:1]
    tool = tools.Connect(r, tools.LINUX) if r.random() < 0.6 else tools.RawSyn(r)
    return _machine()(world, r, kind, r.choice(away)).add(tool)


def _ipv6(world, r, kind):
    holder = _holder(world, r)
    while not holder.blocks6:
        holder = _holder(world, r)
    src = world.plan.address6(r, holder)
    machine = Machine(world, r, kind.name, src, kind.mean, spread(r, world.with_v6))
    return machine.add(r.choices((tools.Connect, tools.Ping, tools.UdpProbe), (70, 20, 10))[0](r))


KINDS = (
    Kind("g_single", 0.24, 15, _single), Kind("g_herd", 0.03, 8, _herd), Kind("g_mirai", 0.20, 14, _mirai), Kind("g_onesensor", 0.18, 2.2, _one_sensor),
    Kind("g_nat", 0.11, 17, _nat), Kind("g_zscan", 0.055, 50, _zscan), Kind("g_backscatter", 0.06, 8, _backscatter),
    Kind("g_udp", 0.035, 12, _udp), Kind("g_icmp", 0.02, 8, _icmp), Kind("g_gre", 0.01, 12, _gre),
    Kind("g_nmap", 0.02, 80, _nmap), Kind("g_mixtool", 0.02, 30, _mixed_tools), Kind("g_oddttl", 0.012, 15, _odd),
    Kind("g_abroad", 0.008, 12, _abroad))
KIND6 = Kind("g_ipv6", 0.03, 10, _ipv6)
CLUSTER = "g_cluster"


def _cluster(world: World, r: random.Random, size: int) -> list[Machine]:
    """Servers of one hosting company at home, all with the same program."""
    code = "JP" if any(s.region == "JP" for s in world.sensors) else world.plan.regions[0].code
    holder = max((h for h in world.plan.of(code) if h.cloud and h.seat is h.region), key=lambda h: h.weight,
                 default=world.plan.of(code)[0])
    window = r.choice((8192, 16384))
    machines = []
    for _ in range(size):
        machine = Weekender(world, r, CLUSTER, world.plan.address(r, holder), len(world.with_v4), list(world.with_v4))
        tool = tools.RawSyn(r, 255)
        tool.window, tool.options = window, b""
        machine.ports = [22, 5900]
        machine.place = Place(holder, machine.place.block, r.choices((0, 1), (85, 15))[0])
        machines.append(machine.add(tool))
    return machines


def population(world: World, sources: int, cluster: int) -> list[Machine]:
    """The machines of the whole time, such that a day sees about `sources` of them."""
    present = EACH_DAY if world.days > 1 else 1.0
    machines = []
    if world.with_v4:
        for kind in KINDS:
            r = world.rng("hosts", kind.name)
            machines += [kind.make(world, r, kind) for _ in range(round(sources * kind.share / present))]
        machines += _cluster(world, world.rng("hosts", CLUSTER), cluster)
    if world.with_v6:
        r = world.rng("hosts", KIND6.name)
        machines += [KIND6.make(world, r, KIND6) for _ in range(max(1, round(sources * KIND6.share / present)))]
    return machines


def act(world: World, machines: list[Machine]) -> None:
    """One day of all of them."""
    r = world.rng("day", world.day)
    for machine in machines:
        if world.days == 1 or machine.kind == CLUSTER or r.random() < EACH_DAY:
            machine.day(world, r)


def mean_packets() -> float:
    """Of a genuine source on a day, about."""
    return sum(kind.share * kind.mean for kind in KINDS) / sum(kind.share for kind in KINDS)
