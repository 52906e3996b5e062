"""Machines that forge the source of what they send. Each stands in one place, so that the TTL at a sensor
tells its own distance; kinds differ in whose addresses they take and in what they do about the TTL."""
from __future__ import annotations

import dataclasses
import random
from typing import Callable

import packets
import tools
from hosts import Machine, amount, spread
from plan import Holder, Place
from world import World

RETURNS = 0.3       # an attacker attacks on the next day, too


class Flood(tools.RawSyn):
    """SYNs to one service, as a generator of floods makes them; some draw the window anew each time."""

    def __init__(self, r: random.Random, initial: int | None = None):
        super().__init__(r, initial)
        self.wild = r.random() < 0.2

    def __call__(self, r, src, dst, sport, dport):
        if self.wild:
            self.window = r.randrange(1, 65536)
        return super().__call__(r, src, dst, sport, dport)


class Response:
    """A SYN-ACK that nobody asked for."""

    def __init__(self, r: random.Random):
        self.initial, self.sport = 64, r.choice((80, 443))

    def __call__(self, r, src, dst, sport, dport):
        segment = packets.tcp(src, dst, self.sport, sport, r.getrandbits(32), r.getrandbits(32), packets.SYN | packets.ACK, 29200,
                              packets.mss(1460))
        return 6, segment, 0, True, sport


class Attacker:
    """One machine and the pool of sources that it claims."""

    def __init__(self, world: World, r: random.Random, kind: str, actor: str, holder: Holder, tool=None):
        self.kind, self.actor = kind, actor
        self.place = world.plan.place(r, world.plan.address(r, holder))
        self.tool = tool or r.choices((Flood, tools.Masscan, tools.ZMap, tools.UdpProbe, tools.Ping), (68, 6, 6, 14, 6))[0](r)
        self.initial = self.tool.initial
        self.ports = [r.choice((80, 443, 22, 23, 53, 8080, 25565, 3389, 445, 5060))] if r.random() < 0.85 else [
            r.randrange(1, 65536) for _ in range(40)]
        self.sources: list[int] = []
        self.mean = 10.0
        self.alone = 0.25

    def claim(self, world: World, sources: list[int]) -> "Attacker":
        self.sources += sources
        for src in sources:
            world.label(src, "spoofed", self.kind, self.actor, self.place.holder.seat.code)
        return self

    def start_value(self, world: World, r: random.Random, src: int, sensor: int, at: int) -> int:
        return self.initial

    def packet(self, world: World, r: random.Random, at: int, sensor: int, src: int) -> None:
        v6 = bool(src >> 32)
        dst = world.target(r, sensor, v6)
        protocol, payload, ip_id, df, flow = self.tool(r, src, dst, r.randrange(1024, 65536), r.choice(self.ports))
        ttl = world.ttl(self.start_value(world, r, src, sensor, at), self.place, sensor, at, flow)
        world.send(at, sensor, src, packets.ip(src, dst, protocol, payload, ttl, ip_id, df))

    def window(self, world: World, r: random.Random) -> tuple[int, int]:
        """Begin and length of an attack: minutes to hours, or all day."""
        if r.random() < 0.2:
            return world.begin_us, world.end_us - world.begin_us
        begin = world.time(r)
        return begin, min(r.randrange(300_000_000, r.choice((3_600_000_000, 36_000_000_000))), world.end_us - begin)

    def day(self, world: World, r: random.Random) -> None:
        begin, length = self.window(world, r)
        for src in self.sources:
            choice = world.with_v6 if src >> 32 else world.with_v4
            sensors = spread(r, choice, self.alone)
            for i in range(amount(r, self.mean)):
                sensor = sensors[i] if i < len(sensors) else r.choice(sensors)
                self.packet(world, r, begin + r.randrange(length), sensor, src)


class Once(Attacker):
    """A packet a source, rarely two."""

    def day(self, world, r):
        begin, length = self.window(world, r)
        for src in self.sources:
            for _ in range(r.choices((1, 2, 3), (80, 15, 5))[0]):
                self.packet(world, r, begin + r.randrange(length), r.choice(world.with_v4), src)


class RandomTtl(Attacker):
    """A start value at random for each packet."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.low, self.high = 40, 255

    def start_value(self, world, r, src, sensor, at):
        return r.randrange(self.low, self.high + 1)


class UsualTtl(Attacker):
    """One of the usual start values at random, for each packet or for each source."""

    def __init__(self, world, r, *arguments, **named):
        super().__init__(world, r, *arguments, **named)
        self.values, self.fixed = r.choice(((64, 128), (64, 128, 255), (32, 64, 128, 255))), r.random() < 0.35

    def start_value(self, world, r, src, sensor, at):
        return self.values[src * 0x9E3779B1 % 65521 % len(self.values)] if self.fixed else r.choice(self.values)


class Aware(Attacker):
    """Knows its own distance to each sensor, guesses the claimed source's, and chooses the start value such that
    the packet arrives as the source's would. The guess is wrong by as much as a model of the Internet is."""

    def __init__(self, world, r, *arguments, **named):
        super().__init__(world, r, *arguments, **named)
        self.error = r.uniform(1.0, 2.6)
        self.guesses: dict[tuple, int] = {}

    def start_value(self, world, r, src, sensor, at):
        key = (src, sensor)
        if key not in self.guesses:
            holder, block = world.plan.owner[src]
            truth = world.model.hops(Place(holder, block, 0), sensor, at, 1)
            own = world.model.hops(self.place, sensor, at, 1)
            self.guesses[key] = max(1, min(255, 64 - round(truth + r.gauss(0, self.error)) + own))
        return self.guesses[key]


class Burst(Attacker):
    """Much from few sources, to every sensor: requests to reflectors, whose answers shall hit the source."""

    def day(self, world, r):
        begin, length = self.window(world, r)
        for src in self.sources:
            for _ in range(amount(r, self.mean)):
                self.packet(world, r, begin + r.randrange(length), r.choice(world.with_v4), src)


@dataclasses.dataclass(frozen=True)
class Kind:
    name: str
    share: float        # of the forged sources
    pool: int           # sources of an attacker
    make: Callable      # (world, r, kind, actor, sources) -> [something with day()]


def _attacker_holder(world: World, r: random.Random) -> Holder:
    """Rather in clouds that don't filter, of few regions."""
    codes = ("US", "NL", "RU", "DE", "CN", "BR", "SG", "UA", "FR", "RO", "HK", "VN")
    for _ in range(6):
        holder = world.plan.holder_in(r, r.choice(codes))
        if holder.cloud:
            break
    return holder


def _anybody(world: World, r: random.Random, count: int) -> list[int]:
    """Random addresses: of those that are routed, nearly all are allocated."""
    return [world.plan.unallocated(r) if r.random() < 0.03
            else world.plan.address(r, world.plan.holder_by_size(r), careful=False) for _ in range(count)]


def _pool(cls, mean: float, alone: float = 0.25):
    def make(world, r, kind, actor, count):
        attacker = cls(world, r, kind.name, actor, _attacker_holder(world, r))
        attacker.mean, attacker.alone = mean, alone
        return [attacker.claim(world, _anybody(world, r, count))]
    return make


def _carpet(world, r, kind, actor, count):
    attacker = Attacker(world, r, kind.name, actor, _attacker_holder(world, r))
    attacker.mean = 7
    holder = world.plan.holder_by_size(r)
    return [attacker.claim(world, [world.plan.address(r, holder, False) for _ in range(count)])]


def _same_region(world, r, kind, actor, count):
    attacker = Attacker(world, r, kind.name, actor, _attacker_holder(world, r))
    code = attacker.place.holder.seat.code
    return [attacker.claim(world, [world.plan.address(r, world.plan.holder_in(r, code), False) for _ in range(count)])]


def _same_network(world, r, kind, actor, count):
    attacker = Attacker(world, r, kind.name, actor, _attacker_holder(world, r))
    return [attacker.claim(world, [world.plan.address(r, attacker.place.holder, False) for _ in range(count)])]


def _reflection(world: World, r: random.Random, kind: Kind, actor: str, machines: int, sources: list[int]) -> list:
    attackers = []
    for _ in range(machines):
        tool = tools.UdpProbe(r, dport=r.choice((53, 123, 389, 1900, 11211))) if r.random() < 0.75 else None
        attacker = Burst(world, r, kind.name, actor, _attacker_holder(world, r), tool)
        attacker.mean = 200 / machines
        attackers.append(attacker.claim(world, sources))
    return attackers


def _victim(world, r, kind, actor, count):
    victims = [world.plan.address(r, world.plan.holder_by_size(r)) for _ in range(count)]
    return _reflection(world, r, kind, actor, 1, victims)


def _victim_that_sends(world, r, kind, actor, count):
    made = []
    for _ in range(count):
        src = world.plan.address(r, world.plan.holder_by_size(r))
        machine = Machine(world, r, kind.name, src, 25, spread(r, world.with_v4, 0.1))
        made.append(machine.add(r.choice((tools.Connect, tools.Mirai))(r)))
        made += _reflection(world, r, kind, actor, 1, [src])
    return made


def _several_machines(world, r, kind, actor, count):
    victims = [world.plan.address(r, world.plan.holder_by_size(r)) for _ in range(count)]
    return _reflection(world, r, kind, actor, r.randrange(2, 6), victims)


def _bogons(world, r, kind, actor, count):
    attacker = Attacker(world, r, kind.name, actor, _attacker_holder(world, r))
    attacker.mean = 7
    return [attacker.claim(world, [world.plan.bogon(r) if r.random() < 0.7 else world.plan.unallocated(r)
                                   for _ in range(count)])]


def _aware(world, r, kind, actor, count):
    attacker = Aware(world, r, kind.name, actor, _attacker_holder(world, r))
    return [attacker.claim(world, [world.plan.address(r, world.plan.holder_by_size(r)) for _ in range(count)])]


def _responses(world, r, kind, actor, count):
    attacker = Attacker(world, r, kind.name, actor, _attacker_holder(world, r), Response(r))
    return [attacker.claim(world, [world.plan.address(r, world.plan.holder_by_size(r), False) for _ in range(count)])]


def _ipv6(world, r, kind, actor, count):
    holders = [h for h in world.plan.holders if h.blocks6]
    attacker = Attacker(world, r, kind.name, actor, _attacker_holder(world, r), Flood(r))
    return [attacker.claim(world, [world.plan.address6(r, r.choice(holders)) for _ in range(count)])]


KINDS = (
    Kind("s_fixed", 0.30, 80, _pool(Attacker, 11)), Kind("s_flood", 0.22, 170, _pool(Once, 1)),
    Kind("s_carpet", 0.15, 60, _carpet), Kind("s_rand", 0.095, 32, _pool(RandomTtl, 16)),
    Kind("s_randset", 0.04, 18, _pool(UsualTtl, 16)), Kind("s_samecc", 0.06, 17, _same_region),
    Kind("s_sameas", 0.02, 8, _same_network), Kind("s_aware", 0.022, 12, _aware), Kind("s_bogon", 0.014, 7, _bogons),
    Kind("s_response", 0.012, 15, _responses), Kind("s_victim", 0.013, 1, _victim),
    Kind("s_mixed", 0.010, 1, _victim_that_sends), Kind("s_multi", 0.010, 1, _several_machines))
KIND6 = Kind("s_ipv6", 0.02, 12, _ipv6)


def campaigns(world: World, sources: int) -> list[tuple[int, list]]:
    """(day on which it begins, its machines) of the whole time; about `sources` forged sources a day."""
    made = []
    if not sources:
        return made
    kinds = (KINDS if world.with_v4 else ()) + ((KIND6,) if world.with_v6 else ())
    for kind in kinds:
        r = world.rng("forgers", kind.name)
        for day in range(world.days):
            rest = max(1, round(sources * kind.share / (1 + RETURNS if world.days > 1 else 1)))
            number = 0
            # Pools differ in size; a small set has at least two attackers of a kind.
            while rest > 0:
                number += 1
                count = min(rest, max(1, round(min(kind.pool, sources * kind.share / 2) * r.uniform(0.5, 1.5))))
                made.append((day, kind.make(world, r, kind, f"{kind.name}-{day * 1000 + number}", count)))
                rest -= count
    return made


def act(world: World, made: list[tuple[int, list]]) -> None:
    r = world.rng("attacks", world.day)
    for begin, machines in made:
        if begin == world.day or (begin == world.day - 1 and r.random() < RETURNS):
            for machine in machines:
                machine.day(world, r)


def mean_packets() -> float:
    """Of a forged source on a day, about."""
    return 14
