"""A world with times: rows of observation that add up to a world's rollups, addresses that come and go, outages; and
what the series say of it, by plain loops."""
import bisect
import datetime
import functools
import random
import zoneinfo
from collections import Counter, defaultdict

from harness.report_world import Count, World, host

UTC = datetime.timezone.utc
QUARTER = datetime.timedelta(minutes=15)
DAY = datetime.timedelta(days=1)
FLAGS = {"ack": 0x18, "synack": 0x12, "rstack": 0x14, None: 0x02}
PROTOCOLS = {"TCP": 6, "UDP": 17, "ICMP": 1, "GRE": 47, "unknown": 255}
TTLS = {None: None, 32: 20, 64: 50, 128: 110, 255: 240}


def date(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


# Friday to Monday, in two months; of the year before, days on which 364 and 365 days before differ.
DAYS = [date(d) for d in ("2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02")]
BEFORE = [date(d) for d in ("2025-01-30", "2025-01-31", "2025-02-01", "2025-02-03")]

# (sensor, address, targets, days and hours after the first day: from, to); NULL: for ever. What was first holds for
# all time before.
ADDRESSES = [
    (1, "192.0.2.0/31", 2, -300, None),
    (1, "198.51.100.9/32", 1, -5, 36),       # gone at noon of the second day
    (1, "198.51.100.64/28", 16, 50, None),   # comes at two of the third
    (2, "203.0.113.5/32", 1, -300, None),
    (2, "2001:db8:5::/48", 1, -300, None),
    (3, "203.0.113.77/32", 1, -300, None),
    (3, "0.0.0.0/0", 0, 53, 60),             # takes everything for some hours of the third day
    (4, "203.0.113.128/30", 4, 10, None),    # its first: captures before are its, too
]


class SeriesWorld(World):
    def __init__(self, seed: int, zone: str, sensors=None):
        super().__init__(seed, DAYS[0], zone, [*DAYS, *BEFORE], sensors)
        self.tz = zoneinfo.ZoneInfo(zone)
        rnd = random.Random(f"times {seed}")
        self.raw = []  # (time, key of source, packets)
        for key, packets in self.source.items():
            parts = min(packets, rnd.choice([1, 1, 2, 3]))
            for part in range(parts):
                n = packets // parts + (packets % parts if part == 0 else 0)
                self.raw.append((self.start(key[1]) + rnd.random() * DAY, key, n))
        # The edges of days and steps.
        sensor, name, src = 1, "23/TCP", self.sources[0]
        for day in self.days:
            for at in (self.start(day), self.start(day) + DAY - datetime.timedelta(microseconds=1),
                       self.start(day) + 5 * QUARTER):
                key = sensor, day, name, src, 0, 64, None
                self.source[key] = self.source.get(key, 0) + 7
                self.raw.append((at, key, 7))

    def start(self, day) -> datetime.datetime:
        return datetime.datetime.combine(day, datetime.time(), self.tz).astimezone(UTC)

    def spans(self, sensor: int):
        """(targets, from, to) of its addresses; to whole 15 minutes."""
        floor = lambda at: at - (at - datetime.datetime(1970, 1, 1, tzinfo=UTC)) % QUARTER
        mine = [row for row in ADDRESSES if row[0] == sensor]
        for _, _, targets, since, till in mine:
            first = since == min(row[3] for row in mine)
            yield (targets, datetime.datetime.min.replace(tzinfo=UTC) if first else floor(self.hours(since)),
                   datetime.datetime.max.replace(tzinfo=UTC) if till is None else floor(self.hours(till)))

    def hours(self, hours: int) -> datetime.datetime:
        return self.start(DAYS[0]) + datetime.timedelta(hours=hours, minutes=3)

    @functools.cache
    def addresses(self, sensor: int, at: datetime.datetime) -> int:
        return sum(targets for targets, since, till in self.spans(sensor) if since <= at < till)

    @functools.cache
    def in_mean(self, sensor: int, day) -> bool:
        """It had an address that day, and never took everything."""
        during = [targets for targets, since, till in self.spans(sensor)
                  if since < self.start(day + DAY) and till > self.start(day)]
        return bool(during) and min(during) > 0

    def _store_coverage(self, c) -> None:
        """All but the silent one listened. But 1 missed an hour, 2 the year before, 3 a day, and all but 4 three hours."""
        received = Counter()
        for at, key, packets in self.raw:
            received[key[0], at - (at - datetime.datetime(1970, 1, 1, tzinfo=UTC)) % QUARTER] += packets
        self.coverage = {}
        for sensor in self.listening:
            for day in self.days:
                for quarter in range(96):
                    bucket = self.start(day) + QUARTER * quarter
                    out = ((sensor == 1 and day == DAYS[0] and quarter // 4 == 5) or (sensor == 2 and day in BEFORE)
                           or (sensor == 3 and day == DAYS[1]) or (sensor != 4 and day == DAYS[3] and quarter // 12 == 3))
                    if not out or received[sensor, bucket]:
                        self.coverage[sensor, bucket] = (0 if out else 900 - quarter % 7, received[sensor, bucket], 0)
        with c.cursor() as cursor, cursor.copy(
                "COPY hirundo.coverage (sensor_id, bucket, seconds, packets, lost) FROM STDIN") as copy:
            for key, row in self.coverage.items():
                copy.write_row((*key, *row))

    def store(self, connection) -> None:
        c = connection
        super().store(c)
        for sensor, address, targets, since, till in ADDRESSES:
            c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from, valid_to)"
                      " VALUES (%s, %s, 1, %s, %s, %s)",
                      (sensor, address, targets, self.hours(since), None if till is None else self.hours(till)))
        for day in sorted({at.date() for at, _, _ in self.raw}):
            c.execute("SELECT hirundo.ensure_day(%s, NULL)", (day,))
        with c.cursor() as cursor, cursor.copy(
                "COPY hirundo.observation (observed_at, sensor_id, target, src, dst_port, protocol, tcp_flags, ttl, traits,"
                " packets, src_region, src_asn) FROM STDIN") as copy:
            for at, (sensor, _, name, src, mask, initial, kind), packets in self.raw:
                port, _, protocol = name.rpartition("/")
                if protocol == "frag":
                    port, protocol = "", port
                copy.write_row((at, sensor, 1, src, int(port) if port else None, PROTOCOLS[protocol] % 255 or None,
                                FLAGS[kind] if protocol == "TCP" else None, TTLS[initial], mask, packets,
                                self.region[src], self.asn[src]))


class SeriesCount(Count):
    """days: those of the period, in order."""

    def __init__(self, world: SeriesWorld, days, filter: dict, step: str):
        super().__init__(world, days, filter)
        self.step = step
        self._sensors = super().sensors()
        self.steps = self._steps()

    def sensors(self) -> list[int]:
        return self._sensors

    def _steps(self) -> list[tuple]:
        """(begin, end)"""
        begins = []
        for day in self.days:
            start = self.world.start(day)
            if self.step in ("15min", "hour"):
                length = QUARTER if self.step == "15min" else 4 * QUARTER
                begins += [start + i * length for i in range(DAY // length)]
            elif (self.step == "day" or day == self.days[0] or (self.step == "week" and day.weekday() == 0)
                    or (self.step == "month" and day.day == 1)):
                begins.append(start)
        return list(zip(begins, [*begins[1:], self.world.start(self.days[-1] + DAY)]))

    def rows(self):
        """(step, key, packets)"""
        left = {key for key, _ in self.source_cells()}
        begins = [begin for begin, _ in self.steps]
        for at, key, packets in self.world.raw:
            if key in left:
                yield bisect.bisect(begins, at) - 1, key, packets

    def listened(self, begin, end) -> dict:
        """sensor -> (seconds, address-days; NULL: no place in means)"""
        result = {}
        bucket = begin
        while bucket < end:
            for sensor in self.sensors():
                if (sensor, bucket) in self.world.coverage:
                    seconds = self.world.coverage[sensor, bucket][0]
                    old = result.get(sensor, (0, 0))
                    counts = self.world.in_mean(sensor, self.day_of(bucket))
                    result[sensor] = (old[0] + seconds, old[1] + (
                        seconds * self.world.addresses(sensor, bucket) / 86400 if counts else 0))
            bucket += QUARTER
        return result

    def trend(self, place: int, names=None, n: int = 5) -> list[tuple]:
        """place: of what is counted, in the key. (begin, name, packets, hosts, packets per address-day, covered)"""
        packets, means, hosts, total = Counter(), Counter(), defaultdict(set), Counter()
        region = place == 3
        for step, key, count in self.rows():
            name = (self.world.region[key[3]] or "ZZ") if region else key[place]
            total[name] += count
            packets[step, name] += count
            means[step, name] += count if self.world.in_mean(key[0], key[1]) else 0
            hosts[step, name] |= {host(key[3])} if key[3] else set()
        if names is None:
            names = sorted(total, key=lambda x: (-total[x], x if region else order(x)))[:n]
        result = []
        for step, (begin, end) in enumerate(self.steps):
            heard = self.listened(begin, end)
            seconds, days = (sum(v[i] for v in heard.values()) for i in (0, 1))
            for name in names:
                seen = (step, name) in packets
                empty = 0 if seconds else None
                covered = seconds / (end - begin).total_seconds() / len(self.sensors()) if self.sensors() else None
                result.append((begin, name, packets[step, name] if seen else empty,
                               len(hosts[step, name]) if seen else empty, means[step, name] / days if days else None, covered))
        return result

    def means(self, home: str) -> list[tuple]:
        """(begin, grp, mean, address-days, year before, the same of sensors present in both, packets)"""
        known = SeriesCount(self.world, self.days, self.filter, self.step)
        raw = self.step in ("15min", "hour")
        bare = not {*self.filter} - {"sensors", "sensor_region", "grp", "home"}
        now = defaultdict(lambda: [0, 0.0])
        for step, key, count in known.rows():
            if self.world.in_mean(key[0], key[1]):
                now[step, key[0]][0] += count
        past = defaultdict(lambda: [0, 0.0])
        every = SeriesCount(self.world, self.world.days, self.filter, "day")
        left = {key for key, _ in every.source_cells()}
        rows = sorted((row for row in self.world.raw if row[1] in left), key=lambda row: row[0])
        times = [row[0] for row in rows]
        result = []
        for step, (begin, end) in enumerate(self.steps):
            for sensor, (_, days) in self.listened(begin, end).items():
                now[step, sensor][1] += days
            spans = self.year_before(begin, end) if bare or not raw else []
            for since, till in spans:
                for sensor, (_, days) in self.listened(since, till).items():
                    past[step, sensor][1] += days
                for _, key, count in rows[bisect.bisect_left(times, since):bisect.bisect_left(times, till)]:
                    if self.world.in_mean(key[0], key[1]):
                        past[step, key[0]][0] += count
            for grp in ("domestic", "overseas"):
                group = [s for s in self.sensors() if (self.world.sensors[s] == home) == (grp == "domestic")]
                both = [s for s in group if now[step, s][1] and past[step, s][1]]
                mean = lambda rows, group: (sum(rows[step, s][0] for s in group) / days
                                            if (days := sum(rows[step, s][1] for s in group)) else None)
                days = sum(now[step, s][1] for s in group)
                result.append((begin, grp, mean(now, group), days or None, mean(past, group), mean(now, both),
                               mean(past, both)))
        return result

    def year_before(self, begin, end) -> list[tuple]:
        local = begin.astimezone(self.world.tz)
        back = lambda at: at.replace(year=at.year - 1)
        if self.step == "week":
            return [(begin - 364 * DAY, end - 364 * DAY)]
        if self.step == "month":
            return [(back(local), back(end.astimezone(self.world.tz)))]
        return [(back(local), back(local) + (end - begin))]


def order(name: str):
    """Services by protocol and port."""
    port, _, protocol = name.rpartition("/")
    if protocol == "frag":
        port, protocol = "", port
    return PROTOCOLS[protocol], int(port) if port else 65536
