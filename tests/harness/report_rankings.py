"""What the rankings and the reports on activity should answer, counted by plain loops over a world's rows."""
import datetime
import ipaddress
from collections import defaultdict

from harness.report_names import GROUPS
from harness.report_world import Count, host

DAY = datetime.timedelta(days=1)
NAMED = {"ICMP": 1, "GRE": 47, "unknown": 255}


def order(service: str) -> tuple:
    """Protocol, port; no port known is last."""
    head, _, tail = service.partition("/")
    if tail == "frag":
        return {"TCP": 6, "UDP": 17}[head], 65536
    return ({"TCP": 6, "UDP": 17}[tail], int(head)) if tail else (NAMED[head], 65536)


def before(first: datetime.date, end: datetime.date) -> tuple:
    """The period before [first, end), by trying what calendar unit this is."""
    def months_back(day, months):
        return datetime.date(day.year + (day.month - 1 - months) // 12, (day.month - 1 - months) % 12 + 1, 1)
    for months in (1, 3, 12):
        if first.day == 1 and (first.month - 1) % months == 0 and months_back(end, months) == first and end.day == 1:
            return months_back(first, months), first
    return first - (end - first), first


def within(src, network: str) -> bool:
    return src is not None and ipaddress.ip_address(src) in ipaddress.ip_network(network)


class Ranking:
    """Of a world, for the reporting days of [first, end) under a filter."""

    def __init__(self, world, first: datetime.date, end: datetime.date, filter: dict):
        self.world, self.first, self.end, self.filter = world, first, end, filter
        self.days = [first + DAY * i for i in range((end - first).days)]
        self.count = Count(world, [day for day in world.days if first <= day < end], filter)
        self.sensors = self.count.sensors()
        self.cells = list(self.count.source_cells())
        if not hasattr(world, "listened"):  # (sensor, day) -> seconds
            world.listened = defaultdict(float)
            for (sensor, bucket), row in world.coverage.items():
                world.listened[sensor, self.count.day_of(bucket)] += row[0]

    def heard(self, sensors) -> bool:
        return any(self.world.listened.get((sensor, day)) for sensor in sensors for day in self.days)

    def covered(self, day):
        seconds = sum(self.world.listened.get((sensor, day), 0) for sensor in self.sensors)
        return seconds / 86400 / len(self.sensors) if self.sensors else None

    def groups(self, key, only=lambda row: True) -> dict:
        """{key(row): (packets, hosts)}"""
        found = defaultdict(lambda: [0, set()])
        for row, packets in filter(lambda cell: only(cell[0]), self.cells):
            found[key(row)][0] += packets
            found[key(row)][1] |= {host(row[3])} - {None}
        return {name: (packets, len(hosts)) for name, (packets, hosts) in found.items()}

    def ranked(self, key, by: str, tie) -> list[tuple]:
        """(name, packets, hosts), first first"""
        return sorted(((name, *row) for name, row in self.groups(key).items()),
                      key=lambda row: (-row[2] if by == "hosts" else 0, -row[1], tie(row[0])))

    def top(self, key, by: str, tie) -> list[tuple]:
        """(rank, name, packets, hosts, share, previous_rank, previous_covered, previous_packets)"""
        rows = self.ranked(key, by, tie)
        earlier = Ranking(self.world, *before(self.first, self.end), self.filter)
        covered = earlier.heard(self.sensors)
        then = {row[0]: (rank, row[1]) for rank, row in enumerate(earlier.ranked(key, by, tie), 1)} if covered else {}
        everything = self.groups(lambda row: None).get(None, (0, 0))[by == "hosts"]
        return [(rank, name, packets, hosts, (hosts if by == "hosts" else packets) / everything if everything else None,
                 then.get(name, (None, None))[0], covered, then.get(name, (None, None))[1])
                for rank, (name, packets, hosts) in enumerate(rows, 1)]

    def region(self, row) -> str:
        return self.world.region[row[3]] or "ZZ"

    def top_services(self, by: str = "packets") -> list[tuple]:
        return self.top(lambda row: row[2], by, order)

    def top_regions(self, by: str = "packets") -> list[tuple]:
        return self.top(self.region, by, str)

    def by_sensor(self, n) -> dict:
        """{sensor: [(rank, service, packets)]}"""
        found = {}
        for sensor in self.sensors:
            rows = self.groups(lambda row: row[2], lambda row: row[0] == sensor)
            names = sorted(rows, key=lambda name: (-rows[name][0], order(name)))
            found[sensor] = [(rank, name, rows[name][0]) for rank, name in enumerate(names, 1)][:n]
        return found

    def common(self, n) -> list[tuple]:
        """(service, sensors_in_top_n, of_sensors, best, worst, sensors_seen, packets)"""
        everywhere = self.by_sensor(None)
        of_sensors = sum(self.heard([sensor]) for sensor in self.sensors)
        result = []
        for service in {name for rows in everywhere.values() for _, name, _ in rows}:
            seen = [row for rows in everywhere.values() for row in rows if row[1] == service]
            ranks = [rank for rank, _, _ in seen if n is None or rank <= n]
            if ranks:
                result.append((service, len(ranks), of_sensors, min(ranks), max(ranks), len(seen), sum(r[2] for r in seen)))
        return sorted(result, key=lambda r: (-r[1], r[3], r[4], -r[6], order(r[0])))

    def mirai(self, n) -> list[tuple]:
        """(day, region, hosts, total_hosts, top_hosts, rank, packets)"""
        hosts, packets = defaultdict(set), defaultdict(int)
        for row, count in self.cells:
            if row[4] >> 7 & 1:
                for key in ((row[1], self.region(row)), (None, self.region(row)), (row[1], None)):
                    hosts[key].add(host(row[3]))
                    packets[key] += count
        regions = sorted((region for day, region in hosts if day is None and region),
                         key=lambda r: (-len(hosts[None, r]), -packets[None, r], r))[:n]
        result = []
        for day in self.days:
            zero = 0 if self.covered(day) or hosts[day, None] else None
            in_top = set().union(*(hosts[day, region] for region in regions)) if regions else set()
            for rank, region in enumerate(regions, 1) if regions else [(None, None)]:
                result.append((day, region, len(hosts[day, region]) if region and hosts[day, region] else zero,
                               len(hosts[day, None]) or zero, len(in_top) or zero, rank,
                               packets[day, region] if region and packets[day, region] else zero))
        return result

    def _list(self, key: str) -> list:
        value = self.filter.get(key, [])
        return value if isinstance(value, list) else [value]

    def networks(self) -> list:
        """Those that the filter names, by itself or in groups."""
        names = {*self._list("networks"), *(net for group in self._list("network_group") for net in GROUPS[group])}
        return sorted(names, key=lambda name: (":" in name, ipaddress.ip_network(name)))

    def per_day(self) -> list[tuple]:
        """(day, service, network, hosts, packets)"""
        names = sorted(set(self._list("services")), key=order) or ["all"]
        result = []
        for day in self.days:
            for name in names:
                for network in self.networks() or [None]:
                    packets, hosts = self.groups(lambda row: None, lambda row: (
                        row[1] == day and name in ("all", row[2]) and (not network or within(row[3], network)))).get(
                            None, (None, None))
                    zero = 0 if self.covered(day) else None
                    result.append((day, name, network or "all", zero if hosts is None else hosts,
                                   zero if packets is None else packets))
        return result

    def calendar(self, min_hosts: int) -> list[tuple]:
        """(day, weekday, packets, hosts, active)"""
        result = []
        groups = self.groups(lambda row: row[1])
        for day in self.days:
            covered = self.covered(day)
            packets, hosts = groups.get(day, (0, 0) if covered else (None, None))
            active = True if (hosts or 0) >= min_hosts else False if covered else None
            result.append((day, "Mon Tue Wed Thu Fri Sat Sun".split()[day.weekday()], packets, hosts, active))
        return result
