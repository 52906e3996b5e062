"""A few raw rows, rolled up, for the tests of what reads raw rows: lists for notices, payloads, exports."""
import datetime
import zoneinfo

from harness import rollups
from harness.reports import call

UTC = datetime.timezone.utc
SCANNER, ANSWERER, FORGER, LATE = "198.51.100.7", "198.51.100.8", "198.51.100.9", "2001:db8:5::5"
DAY = datetime.date(2026, 3, 10)


class Raw:
    """Observations of two sensors, rolled up; times in seconds from the start of DAY in the zone."""

    def __init__(self, server, template, name: str, zone: str):
        self.server, self.name, self.zone = server, name, zone
        server.create(name, template)
        self.c = server.connect(name)
        self.c.execute("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (zone,))
        self.start = datetime.datetime.combine(DAY, datetime.time(), zoneinfo.ZoneInfo(zone))
        for number, region in ((1, "JP"), (2, "LK")):
            self.c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                           " VALUES (%s, %s, %s, %s, 'x')", (number, f"s{number}", f"urn:hirundo:sensor:s{number}", region))
        for day in range(-2, 4):
            self.c.execute("SELECT hirundo.ensure_day(%s::date + %s::int, NULL)", (DAY, day))
        self.seq = 0

    def at(self, seconds: float) -> datetime.datetime:
        return self.start + datetime.timedelta(seconds=seconds)

    def observe(self, seconds, src, dst_port, src_port, packets=1, sensor=1, protocol=6, traits=0, ttl=55):
        at = self.at(seconds)
        self.c.execute("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits, protocol, dst_port,"
                       " src_port, ttl, tcp_flags, tcp_window, tcp_header_length, src)"
                       " VALUES (%s, %s, 1, %s, %s, %s, %s, %s, %s, 2, 1024, 20, %s)",
                       (at, sensor, packets, traits, protocol, dst_port, src_port, ttl, src))
        self.seq += 1
        self.c.execute("INSERT INTO hirundo.dirty_mark VALUES (%s, date_bin('15min', %s, '2000-01-01Z'), 1, %s, 1, %s, %s)",
                       (sensor, at, self.seq, at, at))

    def sample(self, seconds, src, content, payload, packets=1, sensor=1, protocol=17, dst_port=53, length=None):
        self.c.execute("INSERT INTO hirundo.payload_sample (observed_at, content, sensor_id, src_port, dst_port,"
                       " payload_length, packets, protocol, src, payload) VALUES (%s, %s, %s, 4444, %s, %s, %s, %s, %s, %s)",
                       (self.at(seconds), content, sensor, dst_port, length or 9, packets, protocol, src, payload))

    def roll_up(self):
        rollups.catch_up(self.c)
        self.c.execute("ANALYZE")

    def ask(self, name, days, filter=None, *more, columns="*"):
        return call(lambda sql, parameters, role: self.c.execute(sql, parameters).fetchall(), name, days, filter or {}, *more,
                    columns=columns)

    def name_networks(self):
        """Who holds what, and who scans for research: SCANNER on the second day, FORGER always."""
        self.c.execute("INSERT INTO hirundo.organization VALUES (1, 'Old Ltd', 'old@example.net', 1),"
                       " (2, 'Example Ltd', 'abuse@example.net', 1), (3, 'Silent', NULL, 1)")
        self.c.execute("INSERT INTO hirundo.organization_range VALUES ('198.51.100.0', '198.51.100.7', 1),"
                       " ('198.51.100.8', '198.51.100.8', 3)")
        self.c.execute("INSERT INTO hirundo.scanner VALUES (1, '198.51.100.0/24', 'Wide', NULL, '2026-03-11', '2026-03-11'),"
                       " (2, '198.51.100.9/32', 'Study', NULL, NULL, NULL),"
                       " (3, '2001:db8::/32', 'Then', NULL, NULL, '2026-03-09')")

    def drop(self):
        self.c.close()
        self.server.drop(self.name)
