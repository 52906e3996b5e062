"""A viewer of regions adds and subtracts all that it may ask for: no single sensor of others comes out.

Sensor s has 8^s packets a day from CN and twice as many from US, 8^s addresses, and lost 8^s packets, so each number
of an answer tells which sensors and sources it is made of. All that a viewer is told are vectors over the sensors; a
sensor that can be told from the others is a unit vector in their span."""
import datetime
import itertools
import json
import random

import psycopg
import pytest

from harness.hirundo import Installation
from harness.report_world import make_months, signature
from harness.reports import period
from harness.rollups import add_up

DAY = datetime.date(2026, 2, 3)
BEFORE = DAY - datetime.timedelta(days=1)
SPAN = period([DAY])
SENSORS = dict(enumerate(["AU", "AU", "JP", "JP", "KR", "KR", "KR", "TW", "MY", "TH", "TH", "SG"]))
DISABLED, SILENT, EVERYTHING = 8, 10, 11  # MY's only one, TH's second, SG's only one
REGIONS = sorted(set(SENSORS.values()))
# Whose regions, and whom it may tell apart of others: JP and KR; KR (JP is with TH, MY and SG, of which one counts);
# nobody (of MY none counts).
VIEWERS = {"au": ["AU", "US"], "more": ["AU", "TW", "US"], "most": ["AU", "JP", "KR", "SG", "TH", "TW", "US"]}
# Columns whose numbers are of packets or addresses.
NUMBERS = ("packets", "previous_packets", "organization_packets", "packets_undetermined", "covered_address_days", "lost")
FUNCTIONS = {
    "top_services": (None,), "top_services_by_sensor": (), "common_services": (None,), "top_source_regions": (None,),
    "mirai_hosts": (None,), "hosts_per_day": (), "activity_calendar": (), "packets_per_sensor_day": ("day",),
    "service_trend": ("day",), "source_region_trend": (None, "day"), "ack_packets": ("day",), "top_networks": ("asn", None),
    "ack_organizations": (None,), "ttl_by_region": (), "verdict_share": ("day",), "coverage": ("day",),
    "spoof_verdict": (), "notification": (),
}
SOURCES = [{"src_region": "CN"}, {"src_region": ["CN", "US"]}, {"src_region": "US"}, {"asn": 64500, "role": "probe"},
           {"networks": "10.0.0.0/8"}, {"networks": "11.0.0.0/8", "src_region": "US"}, {"network_group": "net"},
           {"organization": "Org"}, {"services": "23/TCP"}, {"traits": "mirai"}, {"role": "probe"}, {"ports_only": True}]


@pytest.fixture(scope="module")
def asks(server, template, tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("attack"), server, "hirundo_attack", template)
    with installation.connect() as c:
        store(c)
    sessions = {name: installation.connect("hirundo_dashboard", name) for name in VIEWERS}

    def ask(who: str, name: str, filter: dict) -> list[dict]:
        more = FUNCTIONS[name]
        cursor = sessions[who].execute(f"SELECT * FROM report.{name}(%s, %s{', %s' * len(more)})",
                                       (SPAN, json.dumps(filter), *more))
        return [dict(zip([column.name for column in cursor.description], row)) for row in cursor.fetchall()]
    yield ask
    for session in sessions.values():
        session.close()
    installation.finish()


def store(c) -> None:
    c.execute("INSERT INTO hirundo.network_group VALUES ('net', '10.0.0.0/8')")
    c.execute("INSERT INTO hirundo.organization VALUES (1, 'Org', NULL, 1)")
    make_months(c, [DAY, BEFORE])
    for place, region in SENSORS.items():
        sensor, weight = place + 1, 8 ** place
        c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label, disabled_at) VALUES"
                  " (%s, %s, %s, %s, %s, CASE WHEN %s THEN now() END)",
                  (sensor, f"s{sensor}", f"urn:hirundo:sensor:s{sensor}", region, f"{region}-{sensor}", place == DISABLED))
        c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from)"
                  " VALUES (%s, %s, 1, %s, '2025-01-01')",
                  (sensor, *(("0.0.0.0/0", 0) if place == EVERYTHING else ("198.18.0.0/24", min(weight, 2 ** 30)))))
        for day in (BEFORE, DAY) if place != SILENT else ():
            c.execute("INSERT INTO hirundo.coverage SELECT %s, %s::timestamp AT TIME ZONE 'UTC' + i * interval '15 min',"
                      " CASE i WHEN 0 THEN %s ELSE 0 END, CASE i WHEN 0 THEN %s ELSE 0 END, 900"
                      " FROM generate_series(0, 95) i", (sensor, day, 3 * weight, weight))
            for region_of_source, net, times in (("CN", 10, 1), ("US", 11, 2)):
                row = (sensor, day, f"{net}.0.0.{sensor}", times * weight, day, day, region_of_source, 64500, 1)
                c.execute("INSERT INTO hirundo.source_day (sensor_id, day, src, packets, first_at, last_at, src_region,"
                          " src_asn, organization_id, service, traits, initial_ttl, ack_kind)"
                          " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, '23/TCP', 128, 64, 'ack')", row)
                c.execute("INSERT INTO hirundo.ttl_day (sensor_id, day, src, packets, first_at, last_at, src_region, src_asn,"
                          " organization_id, signature, ttl) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 50)",
                          (*row, signature(6, 23, "probe")))
    c.execute("INSERT INTO hirundo.service_day SELECT sum(packets), sensor_id, day, service, 'probe' FROM hirundo.source_day"
              " GROUP BY sensor_id, day, service")
    add_up(c)
    for name, regions in VIEWERS.items():
        c.execute("INSERT INTO hirundo.viewer VALUES (%s, false, %s)", (name, regions))
    c.execute("ANALYZE")


def places() -> list[dict]:
    """Ways to pick sensors."""
    rnd = random.Random(7)
    sets = [s for n in (1, 2, len(REGIONS) - 1, len(REGIONS)) for s in itertools.combinations(REGIONS, n)]
    sets += [rnd.sample(REGIONS, rnd.randint(3, len(REGIONS) - 2)) for _ in range(25)]
    found = [{}, *({"sensor_region": sorted(regions)} for regions in sets), *({"home": home} for home in REGIONS)]
    found += [{"grp": grp, "home": home} for grp, home in itertools.product(("domestic", "overseas"), REGIONS)]
    found += [{"grp": "overseas", "home": rnd.choice(REGIONS), "sensor_region": sorted(rnd.sample(REGIONS, 4))} for _ in range(20)]
    found += [{"sensors": [place + 1]} for place in SENSORS] + [{"sensors": [1, place + 1]} for place in SENSORS]
    return found


def numbers(asks, viewer: str):
    """(function, filter, number) of all that the viewer is told."""
    rnd = random.Random(8)
    every = list(FUNCTIONS)
    for place in places():
        asked = [(name, {}) for name in ("activity_calendar", "packets_per_sensor_day", rnd.choice(every))]
        asked += [(rnd.choice(every), rnd.choice(SOURCES)) for _ in range(4)]
        for name, source in asked:
            try:
                rows = asks(viewer, name, {**source, **place})
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
                continue
            for row, column in itertools.product(rows, NUMBERS):
                if row.get(column):
                    yield name, {**source, **place}, row[column]


def digits(number) -> list[int]:
    """Base 8: 1 where it has the sensor's packets from CN (or what is not of sources), 2 from US, 3 both."""
    assert number == round(number), number
    found = [round(number) // 8 ** place % 8 for place in SENSORS]
    assert max(found) <= 3 and sum(d * 8 ** place for place, d in enumerate(found)) == round(number)
    return found


class Span:
    """Vectors over the sensors, reduced, modulo a prime."""
    P = 2 ** 61 - 1

    def __init__(self):
        self.rows = {}  # place of the leading 1 -> vector; the others have 0 there

    def reduce(self, vector) -> list[int]:
        for lead, row in self.rows.items():
            factor = vector[lead]
            vector = [(x - factor * y) % self.P for x, y in zip(vector, row)]
        return vector

    def add(self, vector) -> None:
        vector = self.reduce(vector)
        lead = next((place for place, x in enumerate(vector) if x), None)
        if lead is not None:
            inverse = pow(vector[lead], -1, self.P)
            vector = [x * inverse % self.P for x in vector]
            self.rows = {at: [(x - row[lead] * y) % self.P for x, y in zip(row, vector)] for at, row in self.rows.items()}
            self.rows[lead] = vector

    def has(self, vector) -> bool:
        return not any(self.reduce(vector))


def test_span():
    """The solver finds what is there."""
    span = Span()
    for vector in ([1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 1, 1]):
        span.add(vector)
    assert span.has([0, 0, 1, 0]) and span.has([0, 1, 0, 1]) and not span.has([1, 0, 0, 0]) and not span.has([0, 0, 0, 1])


@pytest.mark.parametrize("viewer", VIEWERS)
def test_no_single_sensor_comes_out(asks, viewer):
    foreign, own = Span(), Span()
    told, functions = 0, set()
    for name, filter, number in numbers(asks, viewer):
        found = digits(number)
        # Whatever is known of the other half of the sources.
        foreign.add([d & 1 for d in found])
        if name not in ("spoof_verdict", "notification"):  # rows of single sources, which it may see
            own.add([d >> 1 for d in found])
        told += 1
        functions.add(name)
    unit = lambda place: [int(p == place) for p in SENSORS]
    heard = [place for place in SENSORS if place != SILENT]
    for place in heard:
        region = SENSORS[place]
        if region in VIEWERS[viewer]:
            assert foreign.has(unit(place)) and own.has(unit(place))
        else:
            assert not foreign.has(unit(place)), f"sensor {place + 1} in {region} can be told"
            # Sources of the viewer's regions it may see in each region, but no sensor of several.
            assert own.has(unit(place)) == ([SENSORS[p] for p in heard].count(region) == 1), region
    assert told > 300 and functions == set(FUNCTIONS)
    # All together is told, and so are regions with sensors enough.
    whole = [int(place in heard) for place in SENSORS]
    assert foreign.has(whole) == (viewer != "most")
    for region, by in (("JP", ["au"]), ("KR", ["au", "more"])):
        if region not in VIEWERS[viewer]:
            assert foreign.has([int(r == region) for r in SENSORS.values()]) == (viewer in by), region
