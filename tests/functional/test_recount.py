"""Every report function against an independent recount straight from the captures: three installations with
different reporting days, with and without each key of the filter, row for row."""
import collections
import datetime

import psycopg
import pytest

from harness import packets, rollups
from harness import recount_reports as reports
from harness.recount_compare import REPORTS, Report, difference
from harness.recount_world import AFTER, FIRST, YEAR_BEFORE, World, at, utc
from harness.world import wait_for_verdicts

DAY = datetime.timedelta(days=1)
JUNE = datetime.date(2024, 6, 1)

FILTERS = {
    "none": {}, "grp domestic": {"grp": "domestic"}, "grp overseas": {"grp": "overseas"},
    "home": {"grp": "domestic", "home": "KR"}, "home alone": {"home": "MY"},
    "sensor_region": {"sensor_region": ["JP", "TW", "NZ"]}, "silent": {"sensor_region": "NZ"},
    "takes everything": {"sensor_region": "MY"}, "src_region": {"src_region": ["CN", "JP"]},
    "src_region ZZ": {"src_region": "ZZ"}, "asn": {"asn": 64511}, "networks": {"networks": ["64.0.0.0/2", "2001:4860::/32"]},
    "sources": {"sources": ["9.9.9.9", "2001:4860:0:1::1"]}, "services": {"services": ["23/TCP", "22/TCP", "ICMP"]},
    "organization": {"organization": ["Example 0, Inc.", "Part", "AS64511"]}, "network_group": {"network_group": ["some"]},
    "groups": {"network_group": ["some", "others"], "networks": "0.0.0.0/1"}, "without scanners": {"exclude": "scanner_org"},
    "services odd": {"services": ["TCP/frag", "UDP/frag", "GRE"]}, "ports_only": {"ports_only": True},
    "traits": {"traits": ["mirai", "zmap"]}, "traits land": {"traits": "land"}, "role probe": {"role": "probe"},
    "role response": {"role": "response"}, "without response": {"exclude": ["response"]},
    "without bogon": {"exclude": "bogon"}, "without spoofed": {"exclude": "spoofed"},
    "without all": {"exclude": ["spoofed", "response", "bogon", "scanner_org"]},
    "several": {"grp": "overseas", "src_region": ["CN", "US", "ZZ"], "ports_only": True, "exclude": "bogon"},
    "mirai here": {"grp": "domestic", "traits": "mirai", "services": ["23/TCP", "2323/TCP"]},
}
# Asked of every report in every way; the others of each report in its first way.
ALWAYS = ("none", "several", "without spoofed")
# All days, which cut the first and the last month; then, for the filters above: days within a month, whose previous
# ones have a month's end between them; one day; when nobody was there; a month, whose previous one is May.
WHOLE = FIRST - DAY, AFTER + DAY
WHOLE_AND_BEFORE = YEAR_BEFORE - DAY, AFTER + DAY
PERIODS = [(JUNE, datetime.date(2024, 6, 4)), (datetime.date(2024, 6, 2), datetime.date(2024, 6, 3)),
           (datetime.date(2024, 3, 1), datetime.date(2024, 3, 3)), (JUNE, datetime.date(2024, 7, 1))]


class Place:
    """One installation, and what should be in it."""

    def __init__(self, installation, world: World, zone: str):
        self.installation, self.zone = installation, zone
        installation.query("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (zone,))
        self.ids = world.deliver(installation)
        self.counted = world.count(zone, self.ids)
        self.asked: dict = {}

    def questions(self, report: Report, first: bool):
        """(name, period, filter)"""
        filters = FILTERS | {"sensors": {"sensors": [self.ids["jp1"], self.ids["hk1"]]},
                             "one sensor": {"sensors": self.ids["kr1"], "ports_only": True}}
        for name, f in filters.items():
            if (first or name in ALWAYS) and (report.keys is None or {*f} <= report.keys):
                yield name, WHOLE, f
                if first and name in ALWAYS:
                    yield from ((name, period, f) for period in PERIODS)

    def compare(self, judged: bool) -> list[str]:
        """What differs. judged: the questions whose answers depend on verdicts, else the others."""
        wrong, known = [], set()
        with self.installation.connect("hirundo_analyst") as connection:
            for report in REPORTS:
                first = report.name not in known
                known.add(report.name)
                for name, period, f in self.questions(report, first):
                    if judged == (report.judged or "spoofed" in f.get("exclude", ())):
                        if (name, period) not in self.asked:
                            self.asked[name, period] = reports.Asked(self.counted, *period, f)
                        wrong.append(difference(connection, report, self.asked[name, period]))
        assert len(wrong) > len(REPORTS)
        return [text for text in wrong if text]


def shows(sensor, payload: bytes) -> bool:
    """Whether a payload may hold an address of its sensor, which is masked: as bytes, or as text."""
    for net in sensor.networks:
        if net.version == 6:
            if net.network_address.packed[:net.prefixlen // 8] in payload:
                return True
        elif any(form in payload for a in net for form in (a.packed, a.packed[::-1], str(a).encode())):
            return True
    return False


def payloads_that_differ(place: Place) -> list[str]:
    """Samples beside the payloads of the captures. Masked ones can not be told, but all must have as many packets."""
    wrong, counted = [], place.counted
    want = collections.defaultdict(dict)
    for (number, payload), p in counted.payloads.items():
        want[number][payload] = p
    assert len(want) > 8 and sum(map(len, want.values())) > 400
    for number, sensor in counted.sensors.items():
        rows = place.installation.query(
            "SELECT payload, (extract(epoch FROM observed_at) * 1000000)::bigint, host(src), service, payload_length,"
            " packets, sensor FROM report.payload_samples(%s, %s)",
            ("[%s,%s)" % WHOLE_AND_BEFORE, psycopg.types.json.Jsonb({"sensors": number})))
        got = collections.Counter(row[:6] for row in rows)
        if sensor.count is None:  # all addresses are its own
            told = collections.Counter()
        else:
            told = collections.Counter((payload, *p) for payload, p in want[number].items() if not shows(sensor, payload))
        wrong += [f"{sensor.name}: missing {row}" for row in told - got]
        hidden = [p for payload, p in want[number].items() if (payload, *p) not in told]
        left = list((got - told).elements())
        if len(left) > len(hidden) or sum(row[5] for row in left) != sum(p.packets for p in hidden):
            wrong.append(f"{sensor.name}: {len(left)} samples of {sum(row[5] for row in left)} packets, should be at most"
                         f" {len(hidden)} of {sum(p.packets for p in hidden)}: {left[:3]}")
        if {row[6] for row in rows} - {sensor.name}:
            wrong.append(f"{sensor.name}: {[row[6] for row in rows][:3]}")
    return wrong


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Asia/Colombo", "UTC"])
def test_reports_are_what_a_recount_says(installation, tmp_path, zone):
    place = Place(installation, World(tmp_path / "world"), zone)
    wrong = place.compare(judged=False) + payloads_that_differ(place)
    wait_for_verdicts(installation, timeout=300)
    place.counted.spoofed = set(installation.query(
        "SELECT day, host(src), track FROM hirundo.verdict WHERE verdict = 'spoofed'"))
    assert place.counted.spoofed
    wrong += place.compare(judged=True)
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:40])


def test_an_outage_leaves_the_means(installation, tmp_path):
    """Two sensors with steady traffic, one of them away for three days of a month: the mean of the group stays within
    2 % of what it would have been; packets by the calendar would not."""
    collector = installation.collector()
    steady = {"jp1": ("36.91.17.151", 11), "jp2": ("77.3.211.40", 9)}     # an address, packets an hour
    away = at("2024-04-10"), at("2024-04-13")
    begin, end = at("2024-04-01"), at("2024-05-01")
    for name, (address, hourly) in steady.items():
        dst = packets.address(address)
        sent = [(time, packets.ipv4(0x08000000 + time // 1_000_000 % 5000, dst, 6, packets.tcp(
            0x08000000 + time // 1_000_000 % 5000, dst, 4000, 23, 1))) for time in range(begin, end, 3_600_000_000 // hourly)]
        sensor = installation.sensor(installation.enroll(name, "JP", [address]), collector.address)
        for since, until in [(begin, end)] if name == "jp1" else [(begin, away[0]), (away[1], end)]:
            capture = packets.write_pcap(tmp_path / f"{name}-{since}.pcap",
                                         [(time, packet) for time, packet in sent if since <= time < until])
            assert sensor.read(capture, "--cover", f"{utc(since)}/{utc(until)}") == 0, sensor.last_log[-2000:]
    with installation.connect() as connection:
        rollups.catch_up(connection)
    (mean, days, count), _ = installation.query(
        "SELECT mean_packets, covered_address_days, packets FROM report.packets_per_sensor_day('[2024-04-01,2024-05-01)')")
    assert days == 2 * 30 - 3
    assert abs(mean / (24 * (11 + 9) / 2) - 1) < 0.02
    assert abs(count / 60 / (24 * (11 + 9) / 2) - 1) > 0.04
    (covered, whole), = installation.query(
        "SELECT count(*) FILTER (WHERE covered_seconds = 86400), count(*) FROM report.coverage('[2024-04-01,2024-05-01)')")
    assert (covered, whole) == (57, 60)
