"""How many routers stand between a machine and a sensor. Two models that share no formula:

Additive  sums what geography, region, holder, block and machine contribute, and a part of its own for
          each pair of holder and sensor region.
Routed    builds a graph of networks (backbones, regional and national transit, holders with one to three
          providers) and follows the routes that their contracts allow; backup routes take over while a
          link is down.

In both some paths run over load balancers with branches of unequal length, so that the distance
depends on the flow, and routes change in mid-day."""
from __future__ import annotations

import bisect
import math
import random
import zlib
from collections import defaultdict

from plan import Holder, Place, Plan, Region, distance_km

CHANGES_A_DAY = 3


class Model:
    """What both have in common: epochs between route changes, flows, memory of paths."""

    def __init__(self, seed: int, plan: Plan, sensors: list[tuple[str, Region]], start_us: int, days: int):
        """@param sensors  (name, region) of each"""
        self.seed, self.plan, self.sensors = seed, plan, sensors
        r = random.Random(f"{seed} epochs")
        end_us = start_us + days * 86_400_000_000
        self.changes = sorted(r.randrange(start_us, end_us) for _ in range(CHANGES_A_DAY * days))
        self._paths: dict[tuple, tuple[int, int, int]] = {}

    def draw(self, *key) -> float:
        """A number in [0, 1) that belongs to the key: whatever else was asked before."""
        text = f"{self.seed} {key}".encode()
        return (zlib.crc32(text) * 0x9E3779B1 + zlib.adler32(text) * 0x85EBCA6B & 0xFFFFFFFF) / 2**32

    def normal(self, deviation: float, *key) -> float:
        return deviation * math.sqrt(-2 * math.log(1 - self.draw("n", *key))) * math.cos(2 * math.pi * self.draw("m", *key))

    def hops(self, place: Place, sensor: int, at_us: int, flow: int) -> int:
        """@param flow  what load balancers see of the packet, as a number: ports and addresses"""
        epoch = bisect.bisect(self.changes, at_us)
        key = (place.holder.index, place.block, sensor, epoch)
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = self.path(place.holder, place.block, sensor, epoch)
        hops, branches, longer = path
        if branches and (flow * 0x9E3779B1 >> 7) % branches == 0:
            hops += longer
        return max(1, min(hops + place.extra, 40))

    def path(self, holder: Holder, block: int, sensor: int, epoch: int) -> tuple[int, int, int]:
        """(hops, branches, hops more on one of the branches); branches = 0: one path"""
        raise NotImplementedError


class Additive(Model):
    def path(self, holder, block, sensor, epoch):
        name, region = self.sensors[sensor]
        seat = holder.seat
        near = seat is region
        far = math.log2(1 + distance_km(seat, region) / 600) if not near else 0.0
        hops = 1.5 + 3 * self.draw("sensor", name)
        hops += 2.2 + 1.15 * far + self.normal(1.7, "region", seat.code, region.code)
        hops += 2.6 + self.normal(1.2, "regions", seat.code)
        hops += (1.0 if holder.cloud else 2.8) + self.normal(2.2, "holder", holder.index)
        hops += self.normal(1.35, "pair", holder.index, region.code)
        hops += self.normal(0.8, "block", holder.index, block, region.code) + self.normal(0.9, "blocks", holder.index, block)
        # Route changes last for one epoch; a few stay, for the whole holder.
        if self.draw("flap", holder.index, region.code, epoch) < 0.012:
            hops += (-2, -1, 1, 2, 3)[int(5 * self.draw("by", holder.index, region.code, epoch))]
        for change in range(1, epoch + 1):
            if self.draw("moved", holder.index, change) < 0.004:
                hops += (-2, 2, 3)[int(3 * self.draw("to", holder.index, change))]
        branches = 0
        if self.draw("balanced", holder.index, block, region.code) < 0.10:
            branches = 2 + int(2 * self.draw("branches", holder.index, block, region.code))
        return max(3, round(hops)), branches, 1 + (self.draw("longer", holder.index, block, region.code) < 0.15)


class Routed(Model):
    """Networks are numbers; the holders' come first, so that a holder's index is its network."""

    def __init__(self, seed, plan, sensors, start_us, days):
        super().__init__(seed, plan, sensors, start_us, days)
        self.providers: dict[int, list[int]] = defaultdict(list)
        self.customers: dict[int, list[int]] = defaultdict(list)
        self.peers: dict[int, list[int]] = defaultdict(list)
        self.world: dict[int, str] = {}
        self.tier: dict[int, int] = {}      # 0 backbone, 1 regional, 2 national, 3 stub
        self.number = len(plan.holders)
        self._build(random.Random(f"{seed} graph"))
        self._tables: dict[tuple[int, int], dict[int, tuple[int, int, int]]] = {}

    def _network(self, tier: int, world: str) -> int:
        self.number += 1
        self.tier[self.number], self.world[self.number] = tier, world
        return self.number

    def _buy(self, customer: int, provider: int) -> None:
        if provider not in self.providers[customer]:
            self.providers[customer].append(provider)
            self.customers[provider].append(customer)

    def _peer(self, a: int, b: int) -> None:
        if b not in self.peers[a]:
            self.peers[a].append(b)
            self.peers[b].append(a)

    def _build(self, r: random.Random) -> None:
        worlds = list(dict.fromkeys(region.world for region in self.plan.regions))
        backbones = [self._network(0, r.choice(worlds)) for _ in range(9)]
        for i, a in enumerate(backbones):
            for b in backbones[:i]:
                self._peer(a, b)
        regional = {}
        for world in worlds:
            regional[world] = [self._network(1, world) for _ in range(r.randrange(3, 6))]
            for i, a in enumerate(regional[world]):
                for provider in r.sample(backbones, r.randrange(1, 4)):
                    self._buy(a, provider)
                for b in regional[world][:i]:
                    if r.random() < 0.5:
                        self._peer(a, b)
        abroad = [network for world in worlds for network in regional[world]]
        for _ in range(12):     # regional networks that meet at foreign exchanges
            a, b = r.sample(abroad, 2)
            if self.world[a] != self.world[b]:
                self._peer(a, b)
        national = {}
        for region in self.plan.regions:
            national[region.code] = [self._network(2, region.world) for _ in range(2 + region.holders // 6)]
            for i, a in enumerate(national[region.code]):
                for provider in r.sample(regional[region.world], r.randrange(1, 3)):
                    self._buy(a, provider)
                if r.random() < 0.25:
                    self._buy(a, r.choice(backbones))
                for b in national[region.code][:i]:
                    if r.random() < 0.6:
                        self._peer(a, b)
        for holder in self.plan.holders:
            self.tier[holder.index], self.world[holder.index] = 3, holder.seat.world
            choice = national[holder.seat.code]
            for provider in r.sample(choice, min(len(choice), r.choices((1, 2, 3), (50, 37, 13))[0])):
                self._buy(holder.index, provider)
            if holder.cloud:
                self._buy(holder.index, r.choice(backbones))
        self.stub = []
        for _, region in self.sensors:
            network = self._network(3, region.world)
            for provider in r.sample(national[region.code], r.choice((1, 1, 2))):
                self._buy(network, provider)
            self.stub.append(network)
        # Links that fail: in each epoch but the first some, with what hangs on them.
        links = [(c, p) for c in list(self.providers) for p in self.providers[c] if len(self.providers[c]) > 1]
        self.down = [set()] + [set(r.sample(links, min(len(links), 5))) for _ in self.changes]

    def _table(self, sensor: int, epoch: int) -> dict[int, tuple[int, int, int]]:
        """Network -> (preference, length, next network) towards the sensor: customers' routes before
        peers' before providers', then the shorter one (Gao and Rexford)."""
        known = self._tables.get((sensor, epoch))
        if known is not None:
            return known
        down, goal = self.down[epoch], self.stub[sensor]
        best = {goal: (0, 0, goal)}
        ring = [goal]
        while ring:     # up: providers learn from customers
            reached: dict[int, list[int]] = defaultdict(list)
            for network in ring:
                for provider in self.providers[network]:
                    if provider not in best and (network, provider) not in down:
                        reached[provider].append(network)
            ring = sorted(reached)
            for network in ring:
                chosen = self._tie(network, goal, reached[network])
                best[network] = (0, best[chosen][1] + 1, chosen)
        across = {}
        for network in sorted(best):
            for peer in self.peers[network]:
                if peer not in best:
                    across.setdefault(peer, []).append(network)
        for peer, via in across.items():
            shortest = min(best[v][1] for v in via)
            best[peer] = (1, shortest + 1, self._tie(peer, goal, [v for v in via if best[v][1] == shortest]))
        by_length = defaultdict(list)
        for network, (_, length, _) in best.items():
            by_length[length].append(network)
        length = 0
        while length <= max(by_length):     # down: customers learn from providers, nearest first
            reached = defaultdict(list)
            for network in sorted(by_length[length]):
                for customer in self.customers[network]:
                    if customer not in best and (customer, network) not in down:
                        reached[customer].append(network)
            length += 1
            for customer, via in reached.items():
                best[customer] = (2, length, self._tie(customer, goal, via))
                by_length[length].append(customer)
        self._tables[sensor, epoch] = best
        return best

    def _tie(self, network: int, goal: int, choice: list[int]) -> int:
        return min(choice, key=lambda other: self.draw("tie", network, other, goal % 3))

    def _inside(self, network: int, before: int, after: int) -> int:
        """Routers of a network between two neighbours."""
        tier = self.tier[network]
        if tier == 0:
            near = self.world.get(before) == self.world.get(after)
            return 1 + int((2.2 if near else 4.5) * self.draw("inside", network, before, after) + (0 if near else 1.5))
        return 1 + int((3, 2.6, 2.2, 3)[tier] * self.draw("inside", network, before, after))

    def path(self, holder, block, sensor, epoch):
        table, down = self._table(sensor, epoch), self.down[epoch]
        network, goal = holder.index, self.stub[sensor]
        providers = [p for p in self.providers[network] if (network, p) not in down and p in table]
        following = table[network][2]
        # Traffic engineering: some blocks leave by another provider than the nearest one.
        if len(providers) > 1 and self.draw("engineered", network, block) < 0.35:
            following = providers[int(len(providers) * self.draw("provider", network, block))]
        hops = 1 + int((1.5 if holder.cloud else 4.5) * self.draw("access", network, block))
        before, branches, longer = network, 0, 1
        network = following
        while network != goal:
            after = table[network][2]
            hops += self._inside(network, before, after)
            if self.draw("balanced", network, before, after) < 0.035:
                branches = 2 + int(2 * self.draw("branches", network, before))
                longer = 1 + (self.draw("longer", network, after) < 0.15)
            before, network = network, after
        hops += 1 + int(3 * self.draw("last", goal))
        return hops, branches, longer


MODELS = {"additive": Additive, "routed": Routed}
