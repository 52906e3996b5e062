"""The seeded instance: what an installation of 30 sensors in ten regions has after two years, small enough to be made in
half a minute. Rollups of the time before are bench/fill_rollups.py's, with outages; the last weeks (recent.py) are packets
that take the collector's way: marks and books, rollup, verdict job, stored answers."""
import csv
import datetime
import io
import pathlib
import time
import zoneinfo

from bench import fill_rollups as fill
from browser.recent import (GROUPS, OCTETS, PROTOCOLS, REGIONS as CLAIMED, RESPONSES, SURVEY, Recent, Row)
from harness.hirundo import Installation
from harness.rollups import add_up, catch_up

ZONE = "Asia/Tokyo"
UTC = datetime.timezone.utc
DAY = datetime.timedelta(days=1)
# One region has a single sensor.
REGIONS = {"JP": 6, "AU": 4, "KR": 4, "TW": 3, "HK": 3, "MY": 3, "LK": 2, "MA": 2, "BN": 2, "GH": 1}
SENSORS = dict(enumerate((region for region, n in REGIONS.items() for _ in range(n)), 1))
LATER, GONE = 10, 24          # came after ten months; was disabled half a year ago
WEEKS = 4
ORGANIZATIONS = ["Example Hosting K.K.", "Example & Sons <b>Tokyo</b>", '"Other", Ltd.', "=Formula Net", "日本例インターネット",
                 "University of Example", "Example Telecom", None, None, "Example Cloud, Inc."]
SOURCES = 24
MOST = 400  # packets of a source, service and day


def first_days(start: datetime.date, until: datetime.date) -> list[datetime.date]:
    """The first days of the months from start on, as far as they are before `until`, and this."""
    days = [start]
    while days[-1] < until:
        days.append(min(until, (days[-1] + datetime.timedelta(days=32)).replace(day=1)))
    return days


class Seeded:
    """@param today  the last reporting day, that is not over
    @param sources  of each sensor and day, of the time before the last weeks: the size of it all
    @param answers  steps of the job that stores answers (some 160 a month or quarter); None: until nothing is missing"""

    def __init__(self, installation: Installation, today: datetime.date | None = None, sources: int = SOURCES,
                 answers: int | None = 170, say=lambda *_: None):
        self.installation, self.sources, self.answers, self.say = installation, sources, answers, say
        self.zone = zoneinfo.ZoneInfo(ZONE)
        self.today = today or datetime.datetime.now(self.zone).date()
        self.days = [self.today - DAY * n for n in reversed(range(7 * WEEKS))]
        # The quarter that it was two years ago, from its start on.
        self.first = self.today.replace(year=self.today.year - 2, month=(self.today.month - 1) // 3 * 3 + 1, day=1)
        self.outages = self._outages()

    def start(self, day: datetime.date) -> datetime.datetime:
        return datetime.datetime.combine(day, datetime.time(), self.zone).astimezone(UTC)

    def _outages(self) -> list[tuple]:
        """(sensor, first day, last day)"""
        ends = [(LATER, self.first, self.first + 300 * DAY), (GONE, self.today - 180 * DAY, self.today)]
        lately = [(2, self.today - 21 * DAY, self.today - 19 * DAY),      # three days
                  (30, self.today - 12 * DAY, self.today - 10 * DAY),     # the only sensor of its region
                  (14, self.today - 1 * DAY, self.today)]                 # is away now
        before = [(sensor, self.first + (sensor * 37 % 211 + 211 * n) * DAY, self.first + (sensor * 37 % 211 + 211 * n + 2) * DAY)
                  for sensor in SENSORS for n in range(3)]
        return ends + lately + [o for o in before if o[2] < self.days[0]]

    def out(self, sensor: int, day: datetime.date) -> bool:
        return any(number == sensor and first <= day <= last for number, first, last in self.outages)

    # What it is made of, in this order.

    def fill(self) -> "Seeded":
        begin = time.monotonic()
        # Zone first: days are of it.
        self.installation.query("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (ZONE,))
        for step in (self._sensors, self._viewers, self._names, self._before, self._coverage_before, self._recent, self._payloads,
                     self._verdicts, self._late, self._analyze, self._answers, self._publish):
            step()
            self.say(f"{step.__name__[1:]}: {time.monotonic() - begin:.1f} s")
        return self

    def _sensors(self) -> None:
        counts: dict[str, int] = {}
        with self.installation.connect() as c:
            for number, region in SENSORS.items():
                n = counts[region] = counts.get(region, 0) + 1
                since = self.start(self.first + 301 * DAY if number == LATER else self.first)
                c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label, enrolled_at, disabled_at)"
                          " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                          (number, f"{region.lower()}{n}", f"urn:hirundo:sensor:{region.lower()}{n}", region, f"{region}-{n}",
                           since, self.start(self.today - 180 * DAY) if number == GONE else None))
                wide = number % 10 == 3
                c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from)"
                          " VALUES (%s, %s, 1, %s, %s)",
                          (number, f"203.0.{number}.0/28" if wide else f"203.0.{number}.7/32", 16 if wide else 1, since))

    def _viewers(self) -> None:
        """Beside central: teams of one region, that of GH with its single sensor."""
        for region in ("AU", "GH"):
            self.installation.admin.run("viewer", "add", region.lower(), "--region", region)

    def _names(self) -> None:
        """Address data, by hirundo-admin: registries, autonomous systems, organizations, scanners, groups."""
        octets = [octet for octet in OCTETS if CLAIMED[octet % 19]]
        lines = [f"apnic|{CLAIMED[octet % 19]}|ipv4|{octet}.0.0.0|16777216|20100101|allocated|H{octet}" for octet in octets]
        lines.append("apnic|JP|ipv6|2400:8500::|32|20100101|allocated|H6")
        date = f"{self.today:%Y%m%d}"
        self._import("rir", "delegated-apnic-extended", "\n".join(
            [f"2|apnic|{date}|{len(lines)}|19830613|{date}|+0000", f"apnic|*|ipv4|*|{len(lines) - 1}|summary",
             "apnic|*|ipv6|*|1|summary", *lines]) + "\n")
        self._import("pfx2as", "pfx2as", "".join(f"{n // 4}.{n % 4 * 64}.0.0\t10\t{n}\n" for o in octets for n in range(o * 4, o * 4 + 4)))
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(("prefix", "organization", "contact"))
        for octet in octets:
            for n in range(octet * 4, octet * 4 + 4):
                if name := ORGANIZATIONS[n * 7 % 10]:
                    rows.writerow((f"{n // 4}.{n % 4 * 64}.0.0/10", name, f"abuse@as{n}.example"))
        self._import("organizations", "organizations", table.getvalue())
        self._import("scanners", "scanners", "prefix,organization,source,valid_from,valid_to\n"
                     f"{SURVEY[0]}.7.7.0/24,Example Survey,https://survey.example/,,\n")
        self._import("groups", "groups", "name,cidr\n" + "".join(f"{name},{net}\n" for name, nets in GROUPS.items() for net in nets))
        self.dataset, = self.installation.query("SELECT max(dataset_id) FROM hirundo.enrichment_dataset")[0]

    def _import(self, kind: str, name: str, text: str) -> None:
        file = self.installation.folder / name
        file.write_text(text)
        self.installation.admin.run("enrich", "import", kind, file)

    def _before(self) -> None:
        """Months until the last weeks; what was sent to sensors that did not listen goes again."""
        with self.installation.connect() as c:
            c.execute("SET jit = off")
            organizations = [row[0] for row in c.execute(
                "SELECT o.organization_id FROM generate_series(1, 799) AS n"
                " CROSS JOIN LATERAL hirundo.organization_of(inet '0.0.0.0' + n * 4194304::bigint) o ORDER BY n")]
            edges = first_days(self.first, self.days[0])
            for first, last in zip(edges, edges[1:]):
                with c.transaction():
                    fill.fill_month(c, first, last, self.sources, zone=ZONE, organizations=organizations, most=MOST)
                    for table in ("source_day", "service_day"):
                        c.cursor().executemany(f"DELETE FROM hirundo.{table}_{first:%Y%m} WHERE sensor_id = %s AND day BETWEEN %s AND %s",
                                               self.outages)
                    c.execute("SELECT hirundo.ensure_rollup_month(%s)", (first,))
            with c.cursor() as cursor, cursor.copy("COPY hirundo.dataset_day (sensor_id, day, dataset_id) FROM STDIN") as copy:
                for sensor, day in self._listening(self.first, self.days[0]):
                    copy.write_row((sensor, day, self.dataset))
            c.execute("INSERT INTO hirundo.setting VALUES ('rollup_zone', %s)", (ZONE,))
            # Rows themselves are kept of the last weeks alone.
            c.execute("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) SELECT sensor_id, %s, 0, 0 FROM hirundo.sensor",
                      (self.days[0] - 2 * DAY,))

    def _listening(self, first: datetime.date, last: datetime.date):
        out: dict[int, set] = {sensor: set() for sensor in SENSORS}
        for sensor, since, till in self.outages:
            out[sensor].update(since + DAY * n for n in range((till - since).days + 1))
        days = [first + DAY * n for n in range((last - first).days)]
        return ((sensor, day) for sensor in SENSORS for day in days if day not in out[sensor])

    def _coverage_before(self) -> None:
        """Whole days; packets are those of the day's services."""
        with self.installation.connect() as c, c.transaction():
            c.execute("CREATE TEMP TABLE listening (sensor_id int, day date)")
            with c.cursor() as cursor, cursor.copy("COPY listening FROM STDIN") as copy:
                for row in self._listening(self.first, self.days[0]):
                    copy.write_row(row)
            c.execute("ALTER TABLE hirundo.coverage DROP CONSTRAINT coverage_pkey")
            c.execute("""
                INSERT INTO hirundo.coverage (sensor_id, bucket, packets, lost, seconds)
                SELECT l.sensor_id, l.day::timestamp AT TIME ZONE %s + k * interval '15 minutes',
                    coalesce(p.packets, 0) * (k + 1) / 96 - coalesce(p.packets, 0) * k / 96, 0, 900
                FROM listening l
                LEFT JOIN (SELECT s.sensor_id, s.day, sum(s.packets)::bigint AS packets FROM hirundo.service_day s GROUP BY 1, 2) p
                    USING (sensor_id, day)
                CROSS JOIN generate_series(0, 95) AS k""", (ZONE,))
            c.execute("ALTER TABLE hirundo.coverage ADD CONSTRAINT coverage_pkey PRIMARY KEY (sensor_id, bucket)")
            add_up(c)

    def _recent(self) -> None:
        """Rows and books as the collector writes them, a record a sensor and day; then the rollup's own steps."""
        now = datetime.datetime.now(UTC)
        with self.installation.connect() as c:
            c.execute("SET jit = off")
            c.execute("CREATE TABLE hirundo.seed (LIKE hirundo.source_day)")
            c.execute(fill.SOURCE_ROWS.format(partition="seed"),
                      fill.values_of(self.days[0], self.today + DAY, max(1, self.sources * 2 // 3), ZONE, most=MOST))
            everyday = c.execute("SELECT day, sensor_id, host(src), service, initial_ttl, traits, ack_kind, packets FROM hirundo.seed"
                                 " ORDER BY 1, 2, 3, 4").fetchall()
            c.execute("DROP TABLE hirundo.seed")
        self.recent = Recent(SENSORS, self.days, self.start, self.out).all(everyday)
        self.rows = [row for row in self.recent.rows if row.at < now]
        with self.installation.connect() as c, c.transaction():
            days = {row.at.date() for row in self.rows} | {now.date(), now.date() + DAY}
            for day in sorted(days):
                c.execute("SELECT hirundo.ensure_day(%s, NULL)", (day,))
            self._store(c, [row for row in self.rows if not row.late], now)
        self._roll_up()

    def _roll_up(self) -> None:
        with self.installation.connect() as c:
            catch_up(c)

    def _store(self, c, rows: list[Row], now: datetime.datetime, seq: int = 1) -> None:
        """One transaction: rows, marks, books."""
        with c.cursor() as cursor, cursor.copy(
                f"COPY hirundo.observation (observed_at, {', '.join(Row._fields[1:-1])}, target, ip_length, ip_flags) FROM STDIN") as copy:
            for row in rows:
                copy.write_row((*row[:-1], 1, 60 if row.protocol == 6 else 84, 2))
        records: dict[tuple, list] = {}
        for row in rows:
            day = row.at.astimezone(self.zone).date()
            records.setdefault((row.sensor_id, day), []).append(row)
        if seq == 1:
            for day in self.days:
                for sensor in SENSORS:
                    if not self.out(sensor, day):
                        records.setdefault((sensor, day), [])
        totals: dict[int, int] = dict(c.execute("SELECT sensor_id, packets_total FROM hirundo.ingest_state").fetchall())
        numbers: dict[int, int] = dict(c.execute("SELECT sensor_id, last_seq FROM hirundo.ingest_state").fetchall())
        for (sensor, day), mine in sorted(records.items()):
            received = min(now, self.start(day + DAY) + datetime.timedelta(minutes=1))
            for status in (False, True) if seq == 1 else (False,):
                if not status and not mine:
                    continue
                number = numbers[sensor] = numbers.get(sensor, 0) + 1
                packets = 0 if status else sum(row.packets for row in mine)
                total = totals[sensor] = totals.get(sensor, 0) + packets
                self._record(c, sensor, day, number, [] if status else mine, packets, total, received)
        c.execute("INSERT INTO hirundo.ingest_state (sensor_id, epoch, last_seq, last_checksum, packets_total, stored, offered_seq,"
                  " offered_packets, offered_at) SELECT DISTINCT ON (sensor_id) sensor_id, epoch, seq, checksum, packets_total,"
                  " packets_total, seq, packets_total, received_at FROM hirundo.ingest_batch ORDER BY sensor_id, seq DESC"
                  " ON CONFLICT (sensor_id, epoch) DO UPDATE SET last_seq = excluded.last_seq, last_checksum = excluded.last_checksum,"
                  " packets_total = excluded.packets_total, stored = excluded.stored, offered_seq = excluded.offered_seq,"
                  " offered_packets = excluded.offered_packets, offered_at = excluded.offered_at")

    def _record(self, c, sensor: int, day: datetime.date, number: int, rows: list[Row], packets: int, total: int,
                received: datetime.datetime) -> None:
        """A batch, or where it has no rows a STATUS of the day."""
        first = min((row.at for row in rows), default=self.start(day))
        last = max((row.at for row in rows), default=min(received, self.start(day + DAY)))
        c.execute("INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets, stored,"
                  " quarantined, rejected, lost, first_at, last_at, received_at, rows, stored_rows, samples, fold_early, bytes,"
                  " dataset_id, kind) VALUES (%s, 1, %s, %s, %s, %s, %s, %s, 0, 0, 0, %s, %s, %s, %s, %s, 0, 0, 9000, %s, %s)",
                  (sensor, number, number, number + 1000, total, packets, packets, first, last, received, len(rows), len(rows),
                   self.dataset if rows else None, 1 if rows else 2))
        c.execute("INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at) VALUES"
                  " (%s, date_bin('15 minutes', %s, '1970-01-01Z'), 1, %s, %s, %s, %s)", (sensor, first, number, len(rows), first, last))
        if not rows:
            c.execute("INSERT INTO hirundo.sensor_status VALUES (%s, 1, %s, 1, %s, %s, %s, 1200, %s, 0, '{}', %s, 0, 0, 0, 0, 0, 0, 4096,"
                      " 0, %s, %s, false, false, false, 'hirundo-sensor')",
                      (sensor, number, self.start(self.first), last, received, total, total, first, last))
        sums: dict[datetime.date, list] = {}
        for row in rows:
            entry = sums.setdefault(row.at.date(), [0, 0])
            entry[0] += 1
            entry[1] += row.packets
        for utc_day, (n, sent) in sums.items():
            c.execute("INSERT INTO hirundo.ingest_batch_day VALUES (%s, 1, %s, %s, %s, %s)", (sensor, number, utc_day, n, sent))

    def _payloads(self) -> None:
        contents = {"5060/UDP": b"OPTIONS sip:100@000.000.000.000 SIP/2.0\r\nVia: SIP/2.0/UDP 41.1.1.5:5060;rport\r\n",
                    "GRE": bytes.fromhex("0000 0800 4500 0054 0000 4000 4001") + bytes(20),
                    "53/UDP": bytes.fromhex("1a2b 0100 0001 0000 0000 0000") + b"\x07version\x04bind\0\0\x10\0\x03",
                    "80/TCP": b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: 000.000.000.000\r\n\r\n"}
        with self.installation.connect() as c, c.cursor() as cursor, cursor.copy(
                "COPY hirundo.payload_sample (observed_at, content, sensor_id, src_port, dst_port, payload_length, packets, protocol, src,"
                " payload) FROM STDIN") as copy:
            numbers = {protocol: name for name, protocol in PROTOCOLS.items()}
            for i, row in enumerate(self.rows):
                name = numbers[row.protocol] if row.dst_port is None else f"{row.dst_port}/{numbers[row.protocol]}"
                if name in contents and not row.traits & RESPONSES and row.src and i % 3 == 0:
                    copy.write_row((row.at, i, row.sensor_id, row.src_port, row.dst_port, len(contents[name]), row.packets, row.protocol,
                                    row.src, contents[name][:128]))

    def _verdicts(self) -> None:
        """By the collector: it judges all days that are due."""
        self._judge()

    def _judge(self) -> None:
        c = self.installation
        rest = "UPDATE hirundo.setting SET value = %s WHERE name = 'verdict_rest_times'"
        c.query(rest, ("0",))
        collector = c.collector()
        c.wait_query("SELECT NOT EXISTS (SELECT FROM hirundo.verdict_due)", True, timeout=240)
        c.query(rest, ("9",))
        collector.finish()
        c.processes.remove(collector)

    def _late(self) -> None:
        """What came late for an open day, judged once more."""
        now = datetime.datetime.now(UTC)
        with self.installation.connect() as c, c.transaction():
            self._store(c, [row for row in self.rows if row.late], now, seq=2)
        self._roll_up()
        self._judge()

    def _analyze(self) -> None:
        with self.installation.connect() as c:
            c.execute("VACUUM (ANALYZE, PARALLEL 0)")

    def _answers(self) -> None:
        with self.installation.connect("hirundo_ingest") as c:
            n = 0
            while (self.answers is None or n < self.answers) and c.execute("SELECT hirundo.store_answer()").fetchone()[0]:
                n += 1

    def _publish(self) -> None:
        """The last quarter that is over, in two editions."""
        last = self.today.replace(month=(self.today.month - 1) // 3 * 3 + 1, day=1) - DAY
        for more in ((), ("--new-edition",)):
            self.installation.admin.run("report", "quarter", f"{last.year}Q{(last.month + 2) // 3}", "--output",
                                        self.installation.folder / "reports", *more)


def seed(folder: pathlib.Path, server, **options) -> Seeded:
    """@param server  a Postgres with a database-less cluster; `folder` gets CA and configuration"""
    return Seeded(Installation(folder, server, "hirundo"), **options).fill()
