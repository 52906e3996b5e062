"""What each report should answer, from the cells of `harness.recount`: plain loops, by the reports' definitions.

Each returns rows of a report's stable columns, in its order, without what stands beside the numbers (address data,
time). Shares and means are exact fractions."""
import collections
import datetime
from fractions import Fraction

from harness.recount import Counted, host, hosts, initial_ttl, listed, service_order

DAY = datetime.timedelta(days=1)
CLASSES = (32, 64, 128, 255)


class Asked:
    """One period and filter. first, last: reporting days, last not in it."""

    def __init__(self, counted: Counted, first: datetime.date, last: datetime.date, f: dict | None = None):
        self.counted, self.first, self.last, self.f = counted, first, last, f or {}
        self.days = days_of(first, last)
        self.sensors = counted.picked(self.f)
        self.cells = counted.select(self.days, self.f)

    def before(self) -> "Asked":
        """The previous calendar unit if the period is one, else as many days before it."""
        first, last = self.first, self.last
        if first.day == 1 and last.day == 1:
            months = (last.year - first.year) * 12 + last.month - first.month
            if months in (1, 12) and (months == 1 or first.month == 1) or months == 3 and first.month % 3 == 1:
                return Asked(self.counted, months_later(first, -months), first, self.f)
        return Asked(self.counted, first - (last - first), first, self.f)

    def covered(self, days=None, sensors=None) -> bool:
        """Whether anybody listened."""
        return any(self.counted.listened_days(s, days or self.days) > 0
                   for s in (self.sensors if sensors is None else sensors))

    def address_days(self, days, sensors) -> float | None:
        """Covered days times addresses, of sensors that do not take everything; None: none."""
        total = sum(self.counted.listened_days(s, days) * (self.counted.sensors[s].count or 0) for s in sensors)
        return total or None

    # Steps.

    def step_of(self, day: datetime.date, unit: str) -> datetime.date:
        start = {"day": day, "week": day - DAY * day.weekday(), "month": day.replace(day=1)}[unit]
        return max(start, self.first)

    def steps(self, unit: str) -> dict[datetime.date, list]:
        """First day of a step -> its days in the period."""
        result = collections.defaultdict(list)
        for day in self.days:
            result[self.step_of(day, unit)].append(day)
        return result

    def by(self, key) -> dict:
        """key(cell) -> {cell: packets}"""
        groups = collections.defaultdict(dict)
        for cell, packets in self.cells.items():
            groups[key(cell)][cell] = packets
        return groups


def days_of(first: datetime.date, last: datetime.date) -> list[datetime.date]:
    return [first + DAY * i for i in range((last - first).days)]


def months_later(day: datetime.date, months: int) -> datetime.date:
    number = day.year * 12 + day.month - 1 + months
    return day.replace(year=number // 12, month=number % 12 + 1)


def ranked(groups: dict, order, rank_by: str = "packets") -> list[tuple]:
    """(key, packets, hosts), most first; ties by packets, then as `order` has the keys."""
    rows = [(key, sum(cells.values()), hosts(cells)) for key, cells in groups.items()]
    measure = (lambda row: row[1]) if rank_by == "packets" else (lambda row: row[2])
    return sorted(rows, key=lambda row: (-measure(row), -row[1], order(row[0])))


def share(part: int, whole: int):
    return Fraction(part, whole) if whole else None


# Rankings.

def _ranking(asked: Asked, key, order, n, rank_by: str) -> list[tuple]:
    """(rank, key, packets, hosts, share, previous_rank, previous_covered)"""
    before = asked.before()
    earlier = {k: i for i, (k, *_) in enumerate(ranked(before.by(key), order, rank_by), 1)}
    whole = sum(asked.cells.values()) if rank_by == "packets" else hosts(asked.cells)
    rows = ranked(asked.by(key), order, rank_by)
    return [(i, k, packets, n_hosts, share(packets if rank_by == "packets" else n_hosts, whole), earlier.get(k),
             before.covered()) for i, (k, packets, n_hosts) in enumerate(rows[:n], 1)]


def top_services(asked: Asked, n=10, rank_by="packets") -> list[tuple]:
    return _ranking(asked, lambda cell: cell.service, service_order, n, rank_by)


def top_source_regions(asked: Asked, n=10, rank_by="packets") -> list[tuple]:
    return _ranking(asked, lambda cell: asked.counted.region(cell.src), str, n, rank_by)


def top_services_by_sensor(asked: Asked, n=10) -> list[tuple]:
    """(sensor id, rank, service, packets)"""
    result = []
    for sensor, cells in sorted(asked.by(lambda cell: cell.sensor).items()):
        groups = collections.defaultdict(dict)
        for cell, packets in cells.items():
            groups[cell.service][cell] = packets
        result += [(sensor, i, name, packets)
                   for i, (name, packets, _) in enumerate(ranked(groups, service_order)[:n], 1)]
    return result


def common_services(asked: Asked, n=10) -> list[tuple]:
    """(service, sensors in whose top n it is, of how many that saw anything, best rank, worst rank of these)"""
    ranks = collections.defaultdict(list)
    for _, rank, name, _ in top_services_by_sensor(asked, n):
        ranks[name].append(rank)
    of = len({cell.sensor for cell in asked.cells})
    rows = [(name, len(found), of, min(found), max(found)) for name, found in ranks.items()]
    return sorted(rows, key=lambda row: (-row[1], row[3], row[4], service_order(row[0])))


def top_networks(asked: Asked, by: str, n=10, rank_by="packets") -> list[tuple]:
    """(rank, network, packets, hosts, share)"""
    key = {"asn": lambda cell: asked.counted.asns.of(cell.src),
           "organization": lambda cell: asked.counted.organization(cell.src)}[by]
    whole = sum(asked.cells.values()) if rank_by == "packets" else hosts(asked.cells)
    rows = ranked(asked.by(key), lambda k: (k is None, k), rank_by)
    return [(i, k, packets, n_hosts, share(packets if rank_by == "packets" else n_hosts, whole))
            for i, (k, packets, n_hosts) in enumerate(rows[:n], 1)]


# Series.

def _series(asked: Asked, keys: list, key, unit: str) -> list[tuple]:
    """(first day of the step, key, packets, hosts, packets per covered address-day, covered)"""
    groups = asked.by(lambda cell: (asked.step_of(cell.day, unit), key(cell)))
    counting = [s for s in asked.sensors if asked.counted.sensors[s].count is not None]
    result = []
    for step, days in sorted(asked.steps(unit).items()):
        covered, whole = asked.covered(days), asked.address_days(days, counting)
        for k in keys:
            cells = groups.get((step, k), {})
            of_counting = sum(p for cell, p in cells.items() if cell.sensor in counting)
            result.append((step, k, *((sum(cells.values()), hosts(cells)) if covered or cells else (None, None)),
                           of_counting / whole if whole else None, covered))
    return result


def service_trend(asked: Asked, unit="day", n=5) -> list[tuple]:
    keys = ([*dict.fromkeys(listed(asked.f["services"]))] if "services" in asked.f
            else [row[1] for row in top_services(asked, n)])
    return _series(asked, keys, lambda cell: cell.service, unit)


def source_region_trend(asked: Asked, n=5, unit="day") -> list[tuple]:
    keys = [row[1] for row in top_source_regions(asked, n)]
    return _series(asked, keys, lambda cell: asked.counted.region(cell.src), unit)


def packets_per_sensor_day(asked: Asked, unit="month") -> list[tuple]:
    """(first day of the step, group, mean, covered address-days, mean a year before)"""
    home = asked.f.get("home", asked.counted.home)
    result = []
    for step, days in sorted(asked.steps(unit).items()):
        for grp in ("domestic", "overseas"):
            sensors = [s for s in asked.sensors if (asked.counted.sensors[s].region == home) == (grp == "domestic")]
            result.append((step, grp, *_mean(asked, sensors, days), _mean(asked, sensors, year_before(days))[0]))
    return result


def _mean(asked: Asked, sensors: list[int], days: list) -> tuple:
    """(packets per covered address-day, covered address-days) of sensors that do not take everything"""
    counting = {s for s in sensors if asked.counted.sensors[s].count is not None}
    whole = asked.address_days(days, counting)
    cells = asked.cells if set(days) <= set(asked.days) else asked.counted.select(days, asked.f)
    inside = set(days)
    packets = sum(p for cell, p in cells.items() if cell.sensor in counting and cell.day in inside)
    return (packets / whole, whole) if whole else (None, None)


def year_before(days: list) -> list:
    """The same days a year before; there is no 29 February."""
    return [day.replace(year=day.year - 1) for day in days if (day.month, day.day) != (2, 29)]


def ack_packets(asked: Asked, unit="day") -> list[tuple]:
    """(first day of the step, kind, packets, hosts)"""
    groups = asked.by(lambda cell: (asked.step_of(cell.day, unit), cell.ack))
    result = []
    for step, days in sorted(asked.steps(unit).items()):
        for kind in ("ack", "synack", "rstack"):
            cells = groups.get((step, kind), {})
            seen = asked.covered(days) or cells
            result.append((step, kind, *((sum(cells.values()), hosts(cells)) if seen else (None, None))))
    return result


# Sources.

def mirai_hosts(asked: Asked, n=5) -> list[tuple]:
    """(day, region, hosts, hosts of all regions, hosts of these n)"""
    cells = [cell for cell in asked.cells if "mirai" in cell.traits]
    region = asked.counted.region
    total = collections.defaultdict(set)
    for cell in cells:
        total[region(cell.src)].add(cell)
    top = [key for key, found in sorted(total.items(), key=lambda item: (-hosts(item[1]), item[0]))][:n]
    result = []
    for day in asked.days:
        of_day = [cell for cell in cells if cell.day == day]
        if not of_day and not asked.covered([day]):
            result += [(day, key, None, None, None) for key in top]
            continue
        result += [(day, key, hosts([c for c in of_day if region(c.src) == key]), hosts(of_day),
                    hosts([c for c in of_day if region(c.src) in top])) for key in top]
    return result


def activity_calendar(asked: Asked, min_hosts=1) -> list[tuple]:
    """(day, weekday from Monday 1, packets, hosts, active)"""
    groups = asked.by(lambda cell: cell.day)
    result = []
    for day in asked.days:
        cells = groups.get(day, {})
        if cells or asked.covered([day]):
            result.append((day, day.isoweekday(), sum(cells.values()), hosts(cells), hosts(cells) >= min_hosts))
        else:
            result.append((day, day.isoweekday(), None, None, None))
    return result


def ack_organizations(asked: Asked) -> list[tuple]:
    """(organization, kind, packets, hosts), and share of all three kinds"""
    cells = {cell: p for cell, p in asked.cells.items() if cell.ack}
    whole = sum(cells.values())
    groups = collections.defaultdict(dict)
    for cell, packets in cells.items():
        groups[asked.counted.organization(cell.src), cell.ack][cell] = packets
    return [(*key, sum(found.values()), hosts(found), share(sum(found.values()), whole)) for key, found in groups.items()]


# TTLs.

def ttl_cells(counted: Counted, days, f: dict) -> dict:
    """What ttl_by_region takes: packets with a source. services: of TCP and UDP probes only, or every ICMP, GRE, ...;
    ports_only: TCP and UDP but probes without a known port; traits: all of whose source, service and role (responses:
    source and role) showed one of them at that sensor on that day; exclude bogon: whose address is one."""
    rest = {key: value for key, value in f.items() if key not in ("services", "ports_only", "traits")}
    cells = {cell: p for cell, p in counted.select(days, rest).items() if cell.src is not None}
    if "traits" in f:
        place = lambda cell: (cell.sensor, cell.day, cell.src, cell.role, cell.role == "probe" and cell.service)
        marked = {place(cell) for cell in counted.select(days, {"traits": f["traits"]}) if cell.src is not None}
        cells = {cell: p for cell, p in cells.items() if place(cell) in marked}
    if "services" in f:
        cells = {cell: p for cell, p in cells.items() if cell.service in listed(f["services"])
                 and not (cell.protocol in (6, 17) and cell.role == "response")}
    if f.get("ports_only"):
        cells = {cell: p for cell, p in cells.items() if cell.protocol in (6, 17)
                 and (cell.role == "response" or not cell.service.endswith("/frag"))}
    return cells


def ttl_by_region(asked: Asked) -> list[tuple]:
    """(region, initial, min, max, p5, p95, hops min, hops max, sources, packets); last: over all"""
    counted = asked.counted
    groups = collections.defaultdict(list)
    for cell, packets in ttl_cells(counted, asked.days, asked.f).items():
        region = counted.sensors[cell.sensor].region
        groups[region, initial_ttl(cell.ttl)].append((cell, packets))
        groups[None, None].append((cell, packets))
    result = []
    for region in [*sorted({counted.sensors[s].region for s in asked.sensors}), None]:
        classes = ([c for c in CLASSES if (region, c) in groups] if region else [None] * ((None, None) in groups))
        for c in classes:
            rows = groups[region, c]
            sightings = sorted(sighting[-1] for sighting in {
                (cell.sensor, cell.day, cell.src, cell.tool, cell.ttl) for cell, _ in rows})
            rank = lambda percent: sightings[-(-len(sightings) * percent // 100) - 1]
            hops = [initial_ttl(ttl) - ttl for ttl in sightings]
            result.append((region, c, sightings[0], sightings[-1], rank(5), rank(95), min(hops), max(hops),
                           hosts(cell for cell, _ in rows), sum(p for _, p in rows)))
        if not classes:
            there = [s for s in asked.sensors if region in (None, counted.sensors[s].region)]
            result.append((region, *[None] * 7, *[0 if asked.covered(sensors=there) else None] * 2))
    return result


# Coverage.

def coverage(asked: Asked, unit="day") -> list[tuple]:
    """(start of the step in microseconds, sensor, region, covered seconds, packets), NULL packets where nothing is
    known"""
    counted = asked.counted
    edges = [counted.midnight_us(day) for day in sorted(asked.steps(unit))] + [counted.midnight_us(asked.last)]
    packets = collections.Counter()
    for cell, n in counted.select(asked.days, {}).items():
        packets[asked.step_of(cell.day, unit), cell.sensor] += n
    result = []
    for step, begin, end in zip(sorted(asked.steps(unit)), edges, edges[1:]):
        for s in asked.sensors:
            seconds = counted.listened_us(s, begin, end) / 1_000_000
            n = packets[step, s]
            result.append((begin, counted.sensors[s].name, counted.sensors[s].region, seconds,
                           n if n or seconds else None))
    return sorted(result, key=lambda row: (row[0], row[2], row[1]))


# Lists.

def notification(asked: Asked) -> list[tuple]:
    """(src, first seen, last seen, packets, packets by service, 5 most frequent source ports, sensors, role, asn,
    organization), responses, spoofed tracks and scanners left out unless the filter says what to leave out"""
    f = dict(asked.f)
    if "exclude" not in f:
        f["exclude"] = ["spoofed", "scanner_org"] + ["response"] * (f.get("role") != "response")
    counted = asked.counted
    groups = collections.defaultdict(dict)
    for cell, packets in counted.select(asked.days, f).items():
        if cell.src is not None:
            groups[cell.src][cell] = packets
    ever: dict = {}
    for cell, time_us in counted.first.items():
        ever[cell.src] = min(time_us, ever.get(cell.src, time_us))
    result = []
    for src, cells in groups.items():
        services, ports = collections.Counter(), collections.Counter()
        for cell, packets in cells.items():
            services[cell.service] += packets
            if cell.src_port is not None:
                ports[cell.src_port] += packets
        roles = {cell.role for cell in cells}
        result.append((src, min(counted.first[c] for c in cells), max(counted.last[c] for c in cells),
                       ever[src], sum(cells.values()), dict(services),
                       [p for p, _ in sorted(ports.items(), key=lambda item: (-item[1], item[0]))[:5]],
                       len({c.sensor for c in cells}), "both" if len(roles) > 1 else roles.pop(),
                       counted.asns.of(src), counted.organization(src)))
    return result
