"""A quarter's rollups and verdicts as rows, made from a seed: what a published report is made from.

Small enough to be counted again by plain loops, large enough that every table of the report has something to
rank, to suppress, and to leave out."""
import datetime
import random
import zoneinfo
from collections import defaultdict

from harness.report_world import host, initial_ttl, make_months, service, signature
from harness.rollups import add_up

UTC = datetime.timezone.utc
ZONE = "Asia/Tokyo"
HOME = "JP"
SENSORS = {1: "JP", 2: "JP", 3: "JP", 4: "AU", 5: "KR", 6: "TW", 7: "MY"}  # 7 never listens
DOMESTIC = [number for number, region in SENSORS.items() if region == HOME]
REGIONS = ["CN"] * 6 + ["US"] * 5 + ["JP"] * 4 + ["NL"] * 3 + ["SG"] * 2 + ["BR", None]
# Protocol, port, how often.
SERVICES = [(6, 23, 30), (6, 22, 20), (6, 445, 14), (6, 80, 9), (6, 8080, 8), (6, 5555, 6), (17, 53, 5), (17, 123, 4),
            (1, None, 4), (47, None, 3), (6, 3389, 3), (6, 6379, 2), (17, 5060, 2), (6, 2323, 2)]
TRAITS = {"mirai": 1 << 7, "backscatter_synack": 1 << 10, "backscatter_rst": 1 << 11}
# By number of the import.
ORGANIZATIONS = {1: "Example & Sons <Tokyo>", 2: "Université d'Exemple"}
# A scanner's mark: few hosts, many packets; and one that has hosts enough, at one sensor.
MARK, MARK_AT = "31337/TCP", 2
MARK_ALONE, MARK_ALONE_AT = "31338/TCP", 4


def quarter_days(year: int, quarter: int) -> list[datetime.date]:
    first = datetime.date(year, 3 * quarter - 2, 1)
    last = datetime.date(year + quarter // 4, 3 * quarter % 12 + 1, 1)
    return [first + datetime.timedelta(days=i) for i in range((last - first).days)]


class Quarter:
    """2025Q1, with the quarter before it and, more thinly, that of the year before."""
    name = "2025Q1"

    def __init__(self, seed: int, sources: int = 800, year_before: bool = True):
        self.random = random.Random(seed)
        self.days = quarter_days(2025, 1)
        self.before = quarter_days(2024, 4)
        self.year_before = quarter_days(2024, 1) if year_before else []
        self.all_days = [*self.year_before, *self.before, *self.days]
        self.rows = defaultdict(int)  # (sensor, day, service, src, traits, initial TTL, ACK) -> packets
        self.ttl = defaultdict(int)   # (sensor, day, src, signature, ttl) -> packets
        self.region, self.asn, self.organization = {}, {}, {}
        self.verdict = {}             # (day, src) -> verdict
        self.sources = [f"{self.random.randrange(11, 200)}.{i // 250}.{i % 250}.7" for i in range(sources)]
        for src in self.sources:
            self.region[src] = self.random.choice(REGIONS)
            self.asn[src] = self.random.randrange(64500, 64512)
            # Of some networks the organization is known, of some not.
            self.organization[src] = ORGANIZATIONS.get(self.asn[src] % 3)
        for day in self.all_days:
            self._day(day)
        for day in self.days:
            if day.day in (10, 11, 12):
                self._marks(day)
        self._judge()
        self._coverage()

    def out(self, sensor: int, day) -> bool:
        """Sensor 2 is away for three days of February 2025, all sensors overseas on the 20th of March."""
        return sensor == 7 or (sensor == 2 and datetime.date(2025, 2, 4) <= day <= datetime.date(2025, 2, 6)) \
            or (sensor not in DOMESTIC and day == datetime.date(2025, 3, 20))

    def _add(self, sensor, day, protocol, port, src, traits, ttl, packets, ack=None):
        if self.out(sensor, day):
            return
        self.rows[sensor, day, service(protocol, port), src, traits, initial_ttl(ttl), ack] += packets
        role = "response" if traits & 0b11111 << 10 else "probe"
        self.ttl[sensor, day, src, signature(protocol, port, role), ttl] += packets

    def _day(self, day) -> None:
        rnd = self.random
        active = 0.16 if day in self.days else 0.10 if day in self.before else 0.03
        for src in self.sources:
            if rnd.random() > active:
                continue
            protocol, port, _ = rnd.choices(SERVICES, [weight for *_, weight in SERVICES])[0]
            traits, ack = 0, None
            if protocol == 6 and port in (23, 2323) and rnd.random() < 0.7:
                traits = TRAITS["mirai"]
            elif protocol == 6 and rnd.random() < (0.8 if self.region[src] == HOME else 0.1):
                name, ack = rnd.choice([("backscatter_synack", "synack"), ("backscatter_rst", "rstack")])
                traits = TRAITS[name]
            elif protocol == 6 and rnd.random() < 0.05:
                ack = "ack"
            ttl = rnd.choice([64, 64, 128, 255]) - rnd.randrange(5, 20)
            for sensor in rnd.sample(list(SENSORS), rnd.choice([1, 2, 4, 6])):
                self._add(sensor, day, protocol, port, src, traits, ttl, rnd.choice([1, 2, 3, 40]), ack)

    def _marks(self, day) -> None:
        for i in range(3):
            self._add(MARK_AT, day, 6, 31337, self.sources[i], 0, 50, 90_000)
        for i in range(8):
            self._add(MARK_ALONE_AT, day, 6, 31338, self.sources[10 + i], 0, 50, 4_000)

    def _judge(self) -> None:
        for _, day, src, _, _ in list(self.ttl):
            if day in self.days and (day, src) not in self.verdict:
                self.verdict[day, src] = self.random.choice(["genuine", "genuine", "spoofed", "undetermined"])

    def _coverage(self) -> None:
        """(sensor, bucket) -> seconds, packets, lost. Packets are those of the rows, in the day's first bucket."""
        zone = zoneinfo.ZoneInfo(ZONE)
        packets = defaultdict(int)
        for (sensor, day, *_), n in self.rows.items():
            packets[sensor, day] += n
        self.coverage = {}
        for sensor in SENSORS:
            for day in self.all_days:
                if self.out(sensor, day):
                    continue
                start = datetime.datetime.combine(day, datetime.time(), zone).astimezone(UTC)
                for i in range(96):
                    self.coverage[sensor, start + datetime.timedelta(minutes=15 * i)] = (
                        900, packets[sensor, day] if i == 0 else 0, 1 if i == 5 else 0)

    # Into a database.

    def store(self, c) -> None:
        c.execute("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (ZONE,))
        for number, region in SENSORS.items():
            c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                      " VALUES (%s, %s, %s, %s, %s)",
                      (number, f"secret-{number}", f"urn:hirundo:sensor:secret-{number}", region, f"{region}-{number}"))
            # Every sensor had its one address from the beginning.
            c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from)"
                      " VALUES (%s, %s, 1, 1, '2023-01-01')", (number, f"203.0.113.{number}/32"))
        c.execute("INSERT INTO hirundo.enrichment_dataset (dataset_id, kind, name, source_date, checksum, ranges, with_region,"
                  " with_asn, address_ranges, forced, replaced_at) VALUES"
                  " (1, 'rir', 'delegated <extended>', '2024-12-31', '', 1, 1, 0, 1, false, now()),"
                  " (2, 'rir', 'delegated <extended>', '2025-02-01', '', 1, 1, 0, 1, false, NULL)")
        for number, name in ORGANIZATIONS.items():
            c.execute("INSERT INTO hirundo.organization VALUES (%s, %s, NULL, 1)", (number, name))
        make_months(c, self.all_days)
        at = {day: datetime.datetime.combine(day, datetime.time(12), zoneinfo.ZoneInfo(ZONE)) for day in self.all_days}
        with c.cursor() as cursor:
            with cursor.copy("COPY hirundo.source_day (sensor_id, day, service, src, traits, initial_ttl, ack_kind, packets,"
                             " first_at, last_at, src_region, src_asn, organization_id) FROM STDIN") as copy:
                for (sensor, day, name, src, traits, initial, ack), packets in self.rows.items():
                    copy.write_row((sensor, day, name, src, traits, initial, ack, packets, at[day], at[day],
                                    self.region[src], self.asn[src],
                                    self.asn[src] % 3 if self.organization[src] else None))
            with cursor.copy("COPY hirundo.dataset_day (sensor_id, day, dataset_id) FROM STDIN") as copy:
                for sensor, day in sorted({key[:2] for key in self.rows}):
                    copy.write_row((sensor, day, 1 if day < datetime.date(2025, 2, 1) else 2))
            with cursor.copy("COPY hirundo.ttl_day (sensor_id, day, src, signature, ttl, packets, first_at, last_at,"
                             " src_region, holder, src_asn, dataset_id) FROM STDIN") as copy:
                for (sensor, day, src, sig, ttl), packets in self.ttl.items():
                    copy.write_row((sensor, day, src, sig, ttl, packets, at[day], at[day], self.region[src],
                                    f"AS{self.asn[src]}", self.asn[src], 1 if day < datetime.date(2025, 2, 1) else 2))
            with cursor.copy("COPY hirundo.coverage (sensor_id, bucket, seconds, packets, lost) FROM STDIN") as copy:
                for key, row in self.coverage.items():
                    copy.write_row((*key, *row))
            packets = defaultdict(int)
            for (_, day, src, _, _), n in self.ttl.items():
                packets[day, src] += n
            with cursor.copy("COPY hirundo.verdict (day, src, track, kind, src_region, holder, signature, verdict, score,"
                             " regions_seen, source_regions, sensors_seen, packets, log_claimed, prior, common_offset,"
                             " second_path, taught, held, model_at) FROM STDIN") as copy:
                for (day, src), verdict in self.verdict.items():
                    score = {"genuine": 2, "spoofed": -2, "undetermined": 0}[verdict]
                    copy.write_row((day, src, 0, "fixed", self.region[src], f"AS{self.asn[src]}",
                                    signature(6, 23, "probe"), verdict, score, 2, 2, 2, packets[day, src], -9, 0, 0, False, True,
                                    False, at[day]))
        c.execute("INSERT INTO hirundo.service_day SELECT sum(packets), sensor_id, day, service, hirundo.role(traits)"
                  " FROM hirundo.source_day GROUP BY 2, 3, 4, 5")
        add_up(c)
        for day in self.days:
            c.execute("INSERT INTO hirundo.hop_model VALUES (%s, %s, %s, %s, now(), NULL, %s, 0.5, -1, 0.5, -1.5, -2, 1, -7,"
                      " -7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)", (day, at[day], at[day], day < self.days[-2], [1, 2]))
        self.campaigns = {}  # day -> [(sources, holders, packets)]
        for day in self.days[3:60:7]:
            found = [(20 + self.random.randrange(200), 12 + i, 1000 * (i + 1)) for i in range(1 + day.day % 2)]
            self.campaigns[day] = found
            for i, (sources, holders, packets) in enumerate(found):
                c.execute("INSERT INTO hirundo.campaign VALUES (%s, %s, 4, %s, %s, '23/TCP', %s, 64, %s, %s, %s, 'CN')",
                          (day, f"c{i}", at[day], at[day], signature(6, 23, "probe"), sources, holders, packets))
                c.execute("INSERT INTO hirundo.campaign_cell (day, campaign, sensor_id, hops, holders, expected, share, mixture)"
                          " VALUES (%s, %s, 1, 12, %s, 1, 1, 0.9)", (day, f"c{i}", holders))

    # Counts, straight from the rows.

    def packets(self, days, sensors=SENSORS, key=lambda row: row[2]) -> dict:
        """Packets and hosts by service, or what key() makes of (sensor, day, service, src, traits, initial TTL, ACK);
        None: not counted."""
        packets, hosts, days = defaultdict(int), defaultdict(set), set(days)
        for row, n in self.rows.items():
            name = key(row)
            if row[0] in sensors and row[1] in days and name is not None:
                packets[name] += n
                hosts[name].add(host(row[3]))
        return {name: (packets[name], len(hosts[name])) for name in packets}
