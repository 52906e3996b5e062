"""What each report should answer, from the cells of `harness.recount`: plain loops, by the reports' definitions.

Each returns rows of a report's stable columns, in its order, without what stands beside the numbers (address data,
time). Shares and means are exact fractions."""
import bisect
import collections
import datetime
import functools
import ipaddress
import itertools
from fractions import Fraction

from harness.recount import QUARTER_US, Counted, hosts, initial_ttl, listed, service_order

DAY = datetime.timedelta(days=1)
DAY_US = 86_400_000_000
WEEKDAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
CLASSES = (32, 64, 128, 255)


class Asked:
    """One period and filter. first, last: reporting days, last not in it."""

    def __init__(self, counted: Counted, first: datetime.date, last: datetime.date, f: dict | None = None):
        self.counted, self.first, self.last, self.f = counted, first, last, f or {}
        self.days = days_of(first, last)
        self.home = self.f.get("home", counted.home)
        self.sensors = counted.picked(self.f)
        # Who takes everything has no place in means.
        self.counting = [s for s in self.sensors if counted.sensors[s].count is not None]
        self.cells = counted.select(self.days, self.f)

    @functools.cached_property
    def received(self) -> dict[int, collections.Counter]:
        """Start of 15 minutes -> sensor -> packets"""
        received = collections.defaultdict(collections.Counter)
        for cell, packets in self.cells.items():
            received[cell.quarter_us][cell.sensor] += packets
        return received

    def another(self, first: datetime.date, last: datetime.date) -> "Asked":
        return Asked(self.counted, first, last, self.f)

    def before(self) -> "Asked":
        """The previous calendar unit if the period is one, else as many days before it."""
        first, last = self.first, self.last
        if first.day == 1 and last.day == 1:
            months = (last.year - first.year) * 12 + last.month - first.month
            if months == 1 or (months == 3 and first.month % 3 == 1) or (months == 12 and first.month == 1):
                return self.another(months_later(first, -months), first)
        return self.another(first - (last - first), first)

    def heard(self, days=None) -> list[int]:
        """Sensors of the filter that listened, or saw packets all the same."""
        days = days or self.days
        saw = {cell.sensor for cell in self.counted.select(days, {})}
        return [s for s in self.sensors if s in saw or self.counted.listened_days(s, days) > 0]

    def covered(self, spans: list[tuple]) -> Fraction | None:
        """Share of these times in which the filter's sensors listened."""
        whole = len(self.sensors) * sum(end - begin for begin, end in spans)
        return Fraction(sum(self.counted.listened_us(s, *span) for s in self.sensors for span in spans), whole) if whole else None

    def span_of(self, day: datetime.date) -> tuple[int, int]:
        return self.counted.midnight_us(day), self.counted.midnight_us(day + DAY)

    def address_days(self, spans: list[tuple], sensors) -> Fraction | None:
        """Time listened to times addresses; None: none."""
        return Fraction(sum(self.counted.listened_us(s, *span) * self.counted.sensors[s].count
                            for s in sensors for span in spans), DAY_US) or None

    # Steps.

    def steps(self, unit: str) -> list[tuple[int, int]]:
        """[begin, end) in microseconds. A step that the period cuts begins or ends with it."""
        begin, end = self.counted.midnight_us(self.first), self.counted.midnight_us(self.last)
        if unit in ("15min", "hour"):
            # Full hours of the zone's clock.
            edges = {t for t in range(begin, end, 900_000_000)
                     if unit == "15min" or datetime.datetime.fromtimestamp(t // 1_000_000, self.counted.zone).minute == 0}
        else:
            first = {"day": lambda day: True, "week": lambda day: day.weekday() == 0, "month": lambda day: day.day == 1}[unit]
            edges = {self.counted.midnight_us(day) for day in self.days if first(day)}
        edges = sorted(edges | {begin})
        return [*zip(edges, edges[1:] + [end])]

    def by(self, key) -> dict:
        """key(cell) -> {cell: packets}"""
        groups = collections.defaultdict(dict)
        for cell, packets in self.cells.items():
            groups[key(cell)][cell] = packets
        return groups

    def by_step(self, unit: str, key) -> dict:
        """(begin of the step, key(cell)) -> {cell: packets}"""
        begins = [begin for begin, _ in self.steps(unit)]
        return self.by(lambda cell: (begins[bisect.bisect_right(begins, cell.quarter_us) - 1], key(cell)))


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
    """(rank, key, packets, hosts, share, previous_rank, previous_covered, previous_packets)"""
    before = asked.before()
    earlier = {k: (i, packets) for i, (k, packets, _) in enumerate(ranked(before.by(key), order, rank_by), 1)}
    whole = sum(asked.cells.values()) if rank_by == "packets" else hosts(asked.cells)
    covered = bool(before.heard())
    result = []
    for i, (k, packets, n_hosts) in enumerate(ranked(asked.by(key), order, rank_by)[:n], 1):
        rank, packets_before = earlier.get(k, (None, None))
        result.append((i, k, packets, n_hosts, share(packets if rank_by == "packets" else n_hosts, whole), rank, covered,
                       packets_before))
    return result


def top_services(asked: Asked, n=10, rank_by="packets") -> list[tuple]:
    return _ranking(asked, lambda cell: cell.service, service_order, n, rank_by)


def top_source_regions(asked: Asked, n=10, rank_by="packets") -> list[tuple]:
    return _ranking(asked, lambda cell: asked.counted.region(cell.src), str, n, rank_by)


def _by_sensor(asked: Asked, n) -> dict[int, list[tuple]]:
    """Sensor -> (service, packets, hosts), its first n."""
    groups = collections.defaultdict(lambda: collections.defaultdict(dict))
    for cell, packets in asked.cells.items():
        groups[cell.sensor][cell.service][cell] = packets
    return {sensor: ranked(services, service_order)[:n] for sensor, services in groups.items()}


def top_services_by_sensor(asked: Asked, n=10) -> list[tuple]:
    """(sensor, label, region, domestic, rank, service, packets), domestic sensors first; one that saw nothing has a
    row, too"""
    rows, heard = _by_sensor(asked, n), asked.heard()
    result = []
    for s in sorted((asked.counted.sensors[s] for s in asked.sensors),
                    key=lambda s: (s.region != asked.home, s.region, s.number)):
        about = s.name, s.label, s.region, s.region == asked.home
        result += [(*about, i, name, packets) for i, (name, packets, _) in enumerate(rows.get(s.number, ()), 1)]
        if s.number not in rows:
            result.append((*about, None, None, 0 if s.number in heard else None))
    return result


def common_services(asked: Asked, n=10) -> list[tuple]:
    """(service, sensors in whose first n it is, of how many that listened, best and worst rank there, sensors that saw
    it at all, packets)"""
    ranks, packets = collections.defaultdict(list), collections.Counter()
    for rows in _by_sensor(asked, None).values():
        for i, (name, of_sensor, _) in enumerate(rows, 1):
            ranks[name].append(i)
            packets[name] += of_sensor
    of = len(asked.heard())
    result = []
    for name, found in ranks.items():
        among = [rank for rank in found if n is None or rank <= n]
        if among:
            result.append((name, len(among), of, min(among), max(among), len(found), packets[name]))
    return sorted(result, key=lambda row: (-row[1], row[3], row[4], -row[6], service_order(row[0])))


def top_networks(asked: Asked, by: str, n=10, rank_by="packets") -> list[tuple]:
    """(rank, network, packets, hosts, share)"""
    def network(cell):
        if by == "organization":
            return asked.counted.organization(cell.src)
        if by == "asn":
            asn = asked.counted.asns.of(cell.src)
            return f"AS{asn}" if asn else "not known"
        if cell.src is None:
            return "not known"
        length = 48 if ":" in cell.src else 24
        return str(ipaddress.ip_network((cell.src, length), strict=False))

    def order(name: str):
        if by == "organization":
            return name
        if by == "asn":
            return 0 if name == "not known" else int(name[2:])
        net = None if name == "not known" else ipaddress.ip_network(name)
        return (net is None or net.version == 6, int(net[0]) if net else 1)
    whole = sum(asked.cells.values()) if rank_by == "packets" else hosts(asked.cells)
    return [(i, k, packets, n_hosts, share(packets if rank_by == "packets" else n_hosts, whole))
            for i, (k, packets, n_hosts) in enumerate(ranked(asked.by(network), order, rank_by)[:n], 1)]


# Series.

def _series(asked: Asked, keys: list, key, unit: str) -> list[tuple]:
    """(begin of the step, key, packets, hosts, packets per covered address-day, covered)"""
    groups, counting = asked.by_step(unit, key), set(asked.counting)
    result = []
    for span in asked.steps(unit):
        covered, whole = asked.covered([span]), asked.address_days([span], counting)
        for k in keys:
            cells = groups.get((span[0], k), {})
            of_counting = sum(p for cell, p in cells.items() if cell.sensor in counting)
            result.append((span[0], k, *((sum(cells.values()), hosts(cells)) if covered or cells else (None, None)),
                           of_counting / whole if whole else None, covered))
    return result


def service_trend(asked: Asked, unit="day", n=5) -> list[tuple]:
    keys = (sorted({*listed(asked.f["services"])}, key=service_order) if "services" in asked.f
            else [row[1] for row in top_services(asked, n)])
    return _series(asked, keys, lambda cell: cell.service, unit)


def source_region_trend(asked: Asked, n=5, unit="day") -> list[tuple]:
    keys = [row[1] for row in top_source_regions(asked, n)]
    return _series(asked, keys, lambda cell: asked.counted.region(cell.src), unit)


def ack_packets(asked: Asked, unit="day") -> list[tuple]:
    """(begin of the step, kind, packets, hosts, covered)"""
    groups = asked.by_step(unit, lambda cell: cell.ack)
    result = []
    for span in asked.steps(unit):
        covered = asked.covered([span])
        for kind in ("ack", "rstack", "synack"):
            cells = groups.get((span[0], kind), {})
            seen = covered or cells
            result.append((span[0], kind, *((sum(cells.values()), hosts(cells)) if seen else (None, None)), covered))
    return result


def packets_per_sensor_day(asked: Asked, unit="month") -> list[tuple]:
    """(begin of the step, group, mean, covered address-days, mean a year before, both means over the sensors that
    listened in both, packets)"""
    counted = asked.counted
    # Rows of steps below a day are not kept for a year; but packets alone have their 15 minutes.
    kept = unit not in ("15min", "hour") or not {*asked.f} - {"sensors", "sensor_region", "grp", "home"}
    earlier = asked.another(asked.first - 375 * DAY, asked.last - 355 * DAY)
    result = []
    for span in asked.steps(unit):
        for grp in ("domestic", "overseas"):
            sensors = [s for s in asked.counting if (counted.sensors[s].region == asked.home) == (grp == "domestic")]
            now, then = _parts(asked, [span], sensors), _parts(earlier, spans_before(asked, span, unit), sensors)
            then = then if kept else {}
            both = {s for s in sensors if s in now and s in then and now[s][1] and then[s][1]}
            mean = lambda parts, of: _mean([parts[s] for s in of if s in parts])
            days = sum(d for _, d in now.values()) or None
            result.append((span[0], grp, mean(now, sensors), days, mean(then, sensors), mean(now, both), mean(then, both),
                           sum(p for p, _ in now.values()) if now else None))
    return result


def _parts(asked: Asked, spans: list[tuple], sensors: list[int]) -> dict[int, tuple]:
    """Sensor -> (packets, covered address-days) where it has any of them."""
    packets = collections.Counter()
    for begin, end in spans:
        for quarter in range(begin, end, QUARTER_US):
            packets.update(asked.received[quarter])
    parts = {s: (packets[s], asked.address_days(spans, [s]) or 0) for s in sensors}
    return {s: part for s, part in parts.items() if any(part)}


def _mean(parts: list[tuple]):
    packets, days = sum(p for p, _ in parts), sum(d for _, d in parts)
    return packets / days if days else None


def spans_before(asked: Asked, span: tuple[int, int], unit: str) -> list[tuple]:
    """The same times a year before: the same dates and hours, of weeks 52 weeks before."""
    zone = asked.counted.zone
    local = lambda us: datetime.datetime.fromtimestamp(us // 1_000_000, zone).replace(tzinfo=None)
    there = lambda time: round(time.replace(tzinfo=zone).timestamp()) * 1_000_000
    earlier = lambda time: (time - 364 * DAY if unit == "week" else
                            time.replace(year=time.year - 1, day=28 if (time.month, time.day) == (2, 29) else time.day))
    if unit in ("15min", "hour"):
        return [(there(earlier(local(span[0]))), there(earlier(local(span[0])) + datetime.timedelta(microseconds=span[1] - span[0])))]
    days = {earlier(local(asked.counted.midnight_us(day))) for day in asked.days
            if span[0] <= asked.counted.midnight_us(day) < span[1]}
    return [(there(day), there(day + DAY)) for day in sorted(days)]


# Sources.

def mirai_hosts(asked: Asked, n=5) -> list[tuple]:
    """(day, region, hosts, hosts of all regions, hosts of these n, rank of the region, packets, covered)"""
    cells = {cell: p for cell, p in asked.cells.items() if "mirai" in cell.traits}
    groups = collections.defaultdict(dict)
    for cell, packets in cells.items():
        groups[asked.counted.region(cell.src)][cell] = packets
    top = [key for key, *_ in ranked(groups, str, "hosts")[:n]]
    result = []
    for day in asked.days:
        covered = asked.covered([asked.span_of(day)])
        of_day = {cell: p for cell, p in cells.items() if cell.day == day}
        total, in_top = hosts(of_day), hosts(cell for cell in of_day if asked.counted.region(cell.src) in top)
        known = covered or of_day
        for rank, key in enumerate(top, 1) if top else [(None, None)]:
            mine = {cell: p for cell, p in of_day.items() if asked.counted.region(cell.src) == key}
            numbers = (hosts(mine), total, in_top) if known else (None,) * 3
            result.append((day, key, *numbers, rank, sum(mine.values()) if known else None, covered))
    return result


def hosts_per_day(asked: Asked) -> list[tuple]:
    """(day, service, network, hosts, packets, covered); all: the filter names none"""
    services = sorted({*listed(asked.f["services"])}, key=service_order) if "services" in asked.f else ["all"]
    texts = [text for name in listed(asked.f.get("network_group", [])) for text in asked.counted.groups[name]]
    nets = sorted({ipaddress.ip_network(text) for text in listed(asked.f.get("networks", [])) + texts},
                  key=lambda net: (net.version, net)) or ["all"]
    groups = asked.by(lambda cell: cell.day)
    result = []
    for day, name, net in itertools.product(asked.days, services, nets):
        covered = asked.covered([asked.span_of(day)])
        mine = {cell: p for cell, p in groups.get(day, {}).items() if name in ("all", cell.service) and (
            net == "all" or (cell.src is not None and ipaddress.ip_address(cell.src) in net))}
        result.append((day, name, str(net), *((hosts(mine), sum(mine.values())) if covered or mine else (None, None)),
                       covered))
    return result


def activity_calendar(asked: Asked, min_hosts=1) -> list[tuple]:
    """(day, weekday, packets, hosts, active, covered)"""
    groups = asked.by(lambda cell: cell.day)
    result = []
    for day in asked.days:
        cells, covered = groups.get(day, {}), asked.covered([asked.span_of(day)])
        active = True if hosts(cells) >= min_hosts else False if covered else None
        numbers = (sum(cells.values()), hosts(cells)) if covered or cells else (None, None)
        result.append((day, WEEKDAYS[day.weekday()], *numbers, active, covered))
    return result


def ack_organizations(asked: Asked, n=10) -> list[tuple]:
    """(rank, organization, kind, packets, hosts, share, and the organization's packets, hosts and share)"""
    cells = {cell: p for cell, p in asked.cells.items() if cell.ack}
    whole, groups = sum(cells.values()), collections.defaultdict(dict)
    for cell, packets in cells.items():
        groups[asked.counted.organization(cell.src)][cell] = packets
    result = []
    rows = sorted(((name, sum(found.values())) for name, found in groups.items()), key=lambda row: (-row[1], row[0]))
    for rank, (name, packets) in enumerate(rows[:n], 1):
        for kind in ("ack", "synack", "rstack"):
            mine = {cell: p for cell, p in groups[name].items() if cell.ack == kind}
            if mine:
                of_kind = sum(mine.values())
                result.append((rank, name, kind, of_kind, hosts(mine), share(of_kind, whole), packets,
                               hosts(groups[name]), share(packets, whole)))
    return result


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
            heard = any(counted.listened_days(s, asked.days) for s in there)
            result.append((region, *[None] * 7, *[0 if heard else None] * 2))
    return result


# Coverage.

def coverage(asked: Asked, unit="day") -> list[tuple]:
    """(begin of the step, sensor, region, covered seconds, packets): NULL packets where nothing is known"""
    counted = asked.counted
    groups = asked.by_step(unit, lambda cell: cell.sensor)
    result = []
    for begin, end in asked.steps(unit):
        for s in asked.sensors:
            listened, packets = counted.listened_us(s, begin, end), sum(groups.get((begin, s), {}).values())
            # Of 15 minutes in which it did neither there is no row.
            result.append((begin, counted.sensors[s].name, counted.sensors[s].region, listened / 1_000_000,
                           packets if packets or listened else None))
    return sorted(result, key=lambda row: (row[0], row[2], row[1]))


# Lists.

def _left_out(asked: Asked) -> list[str]:
    """Why a list for notices leaves sources out, in the order of the reasons."""
    exclude = ["response", "spoofed", "scanner_org"] if asked.f.get("role") != "response" else ["spoofed", "scanner_org"]
    exclude = listed(asked.f.get("exclude", exclude))
    return ["no_source", *(reason for reason in ("response", "bogon", "spoofed", "scanner_org") if reason in exclude)]


def _reasons(asked: Asked) -> dict:
    """Cell -> the first reason to leave it out, or None"""
    counted, reasons = asked.counted, _left_out(asked)
    holds = {"no_source": lambda cell: cell.src is None, "response": lambda cell: cell.role == "response",
             "bogon": lambda cell: "bogon_source" in cell.traits, "spoofed": counted.is_spoofed,
             "scanner_org": lambda cell: counted.scanner(cell.src, cell.day)}
    rest = {key: value for key, value in asked.f.items() if key != "exclude"}
    return {cell: next((reason for reason in reasons if holds[reason](cell)), None)
            for cell in counted.select(asked.days, rest)}


def notification(asked: Asked) -> list[tuple]:
    """(src, first seen, last seen, first ever, packets, packets by service, 5 most frequent source ports, sensors,
    traits, role, asn, organization, scanner), most packets first"""
    counted = asked.counted
    groups, ever = collections.defaultdict(dict), {}
    for cell, reason in _reasons(asked).items():
        if reason is None:
            groups[cell.src][cell] = counted.cells[cell]
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
        asn = counted.asns.of(src)
        organization = counted.organization(src)
        result.append((src, min(counted.first[c] for c in cells), max(counted.last[c] for c in cells), ever[src],
                       sum(cells.values()), dict(services),
                       [p for p, _ in sorted(ports.items(), key=lambda item: (-item[1], item[0]))[:5]],
                       len({c.sensor for c in cells}), sorted(frozenset().union(*(c.traits for c in cells))),
                       "both" if len(roles) > 1 else roles.pop(), asn,
                       None if organization == "not known" else organization, _scanner(asked, src)))
    key = lambda row: (-row[4], ipaddress.ip_address(row[0]).version, int(ipaddress.ip_address(row[0])))
    return sorted(result, key=key)


def _scanner(asked: Asked, src: str) -> str | None:
    """The narrowest network of a scanner that was one on some day of the period."""
    found = [(-length, i, name) for length, i, name, since, until in asked.counted.scanners_at(src)
             if (since is None or since < asked.last) and (until is None or until >= asked.first)]
    return min(found)[2] if found else None


def notification_excluded(asked: Asked) -> list[tuple]:
    """(reason, sources of which nothing is listed, packets): both for the first reason"""
    reasons, packets, sources = _left_out(asked), collections.Counter(), collections.defaultdict(list)
    for cell, reason in _reasons(asked).items():
        packets[reason] += asked.counted.cells[cell]
        sources[cell.src].append(reason)
    of = collections.Counter(min(found, key=reasons.index) for src, found in sources.items()
                             if src is not None and None not in found)
    return [(reason, of[reason], packets[reason]) for reason in reasons]
