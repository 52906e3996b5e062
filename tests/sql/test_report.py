"""The reports on the verdict against counts that Python makes straight from the rows; asked as both roles."""
import datetime
import ipaddress
import itertools
import math
import re
import zoneinfo

import psycopg
import pytest

from harness import report_world
from harness.paths import ROOT
from harness.report_world import Count, World
from harness.reports import (
    ACTIVITY, DAYS, FIRST, FUNCTIONS, NETWORKS, NOTICES, PEOPLE, RANKINGS, SERIES, call, period)

# Each key alone, with one value and several, and keys together.
FILTERS = [
    {},
    {"sensors": 1}, {"sensors": [1, 4]}, {"sensors": [5]},
    {"grp": "domestic"}, {"grp": "overseas"}, {"grp": "domestic", "home": "AU"}, {"home": "AU"},
    {"sensor_region": "AU"}, {"sensor_region": ["JP", "TW"]},
    {"src_region": "CN"}, {"src_region": ["JP", "ZZ"]},
    {"asn": 4713}, {"asn": [4713, 64500]}, {"asn": 65000},
    {"networks": "2001:db8::/32"}, {"networks": ["0.0.0.0/1", "2001:db8:0:1::/64"]}, {"networks": "203.0.113.0/24"},
    {"sources": "10.1.2.3"}, {"sources": ["10.1.2.3", "fd00::9", "192.0.2.1"]},
    {"services": "23/TCP"}, {"services": ["22/TCP", "53/UDP", "GRE"]}, {"services": "TCP/frag"}, {"services": "0/TCP"},
    {"services": "ICMP"}, {"services": ["UDP/frag", "9999/UDP"]},
    {"services": ["ICMP", "23/TCP"]}, {"services": "ICMP", "role": "response"},
    {"ports_only": True}, {"ports_only": False}, {"ports_only": True, "role": "response"},
    {"traits": "mirai"}, {"traits": ["zmap", "backscatter_rst"]},
    {"role": "probe"}, {"role": "response"},
    {"exclude": "spoofed"}, {"exclude": ["response"]}, {"exclude": "bogon"}, {"exclude": ["scanner_org"]},
    {"exclude": ["spoofed", "bogon", "response"]},
    {"sensors": [1, 2, 3], "src_region": ["CN", "US"], "services": ["23/TCP", "22/TCP"], "exclude": "spoofed"},
    {"networks": "0.0.0.0/1", "sources": ["10.1.2.3", "192.168.7.7"]},
    {"traits": "mirai", "ports_only": True, "grp": "overseas"},
    {"organization": "Example K.K."}, {"organization": ['"Other", Ltd.', "AS4713"]}, {"organization": "AS64500"},
    {"network_group": "low"}, {"network_group": ["part", "six"]}, {"network_group": "all"},
    {"exclude": ["scanner_org", "spoofed", "bogon"]},
    {"network_group": ["part", "low"], "networks": "0.0.0.0/2", "organization": ["Example K.K.", "AS4713"]},
    {"network_group": "low", "sources": ["10.1.2.3", "192.168.7.7"], "exclude": "scanner_org"},
]
SPANS = [DAYS, DAYS[:2], DAYS[2:3], DAYS[3:]]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_ttl_by_region(filled, world, filter):
    for days in SPANS:
        want = Count(world, days, filter).ttl_by_region()
        assert call(filled, "ttl_by_region", days, filter, columns="sensor_region, initial_ttl, ttl_min, ttl_max, ttl_p5,"
                    " ttl_p95, hops_min, hops_max, sources, packets") == want


def plain(rows):
    return [tuple(str(v) if isinstance(v, (ipaddress.IPv4Address, ipaddress.IPv6Address)) else v for v in row)
            for row in rows]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_spoof_verdict(filled, world, filter):
    for days in SPANS:
        want = Count(world, days, filter).spoof_verdict()
        got = plain(call(filled, "spoof_verdict", days, filter, columns="src, src_region, verdict, score, regions_seen,"
                    " nearest_region, tracks, packets_genuine, packets_spoofed, packets_undetermined, days_genuine,"
                    " days_spoofed, days_undetermined, day,"
                         " coalesce(substring(reason FROM 'one of several senders: initial TTL ([0-9]+)')::int, 0)"))
        assert got == want
        assert plain(call(filled, "spoof_verdict", days, filter, 3, columns="src")) == [row[:1] for row in want[:3]]


def steps_of(days, step: str) -> dict:
    start = {"day": lambda d: d, "week": lambda d: d - datetime.timedelta(days=d.weekday()),
             "month": lambda d: d.replace(day=1)}[step]
    return {day: max(start(day), days[0]) for day in days}


@pytest.mark.parametrize("step", ["day", "week", "month"])
@pytest.mark.parametrize("filter", [f for f in FILTERS if "spoofed" not in str(f)], ids=str)
def test_verdict_share(filled, world, filter, step):
    for days in SPANS:
        count = Count(world, days, filter)
        want = count.verdict_share(steps_of(days, step))
        rows = call(filled, "verdict_share", days, filter, step)
        assert [row[0].astimezone(datetime.timezone.utc).date() for row in rows] == sorted(want)
        for row, step_start in zip(rows, sorted(want)):
            heard = any(s != 5 and (step != "day" or (s, step_start) != (3, DAYS[1])) for s in count.sensors())
            assert row[1:7] == (want[step_start] if heard or any(want[step_start]) else (None,) * 6), step_start
            spoofed, genuine = want[step_start][:2]
            if spoofed + genuine < 30:
                assert row[7:9] == (None, None)
            else:
                assert (row[8], *row[7]) == pytest.approx(wilson(spoofed, spoofed + genuine))


def wilson(hits: int, n: int):
    """The roots of |p - share| = z sqrt(p (1 - p) / n)."""
    z2, share = 1.959963984540054 ** 2, hits / n
    a, b, c = 1 + z2 / n, -(2 * share + z2 / n), share * share
    root = math.sqrt(b * b - 4 * a * c)
    return share, (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_verdict_share_has_an_interval(filled, world):
    """The world is large enough for the case above."""
    rows = call(filled, "verdict_share", DAYS, {}, "month", columns="share")
    assert rows[0][0] is not None and call(filled, "verdict_share", DAYS[:1], {"asn": 4713}, columns="share") == [(None,)]


def test_wilson(filled):
    for hits, n in [(0, 1), (1, 1), (0, 30), (30, 30), (1, 30), (15, 30), (299, 1000), (10 ** 9, 3 * 10 ** 9)]:
        share, interval = filled("SELECT * FROM hirundo.wilson(%s, %s)", (hits, n))[0]
        assert (share, *interval) == pytest.approx(wilson(hits, n), abs=1e-12)
    assert filled("SELECT * FROM hirundo.wilson(0, 0)") == [(None, None)]
    # Published: Wilson's interval of 81 in 263.
    assert filled("SELECT * FROM hirundo.wilson(81, 263)")[0][1] == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_response_sources_called_spoofed(filled, world):
    rows = call(filled, "response_sources_called_spoofed", DAYS)
    assert [row[0] for row in rows] == DAYS
    for row in rows:
        hosts = {}
        for (day, src, _), v in world.verdict.items():
            if day == row[0] and v["signature"] >> 40 & 1 and v["scored"] and v["kind"] != "bogon":
                hosts[report_world.host(src)] = hosts.get(report_world.host(src), False) or v["verdict"] == "spoofed"
        if row[0] == DAYS[3]:
            assert row[1:] == (None,) * 5
        else:
            assert (row[1], row[4]) == (len(hosts), sum(hosts.values()))
            assert (row[2], *row[3]) == pytest.approx(wilson(row[4], row[1]))
            assert row[5] == world.computed_at(row[0])
    assert sum(row[4] for row in rows[:3]) > 0
    assert "not the false-alarm rate" in filled(
        "SELECT obj_description('report.response_sources_called_spoofed'::regproc)")[0][0]


# Campaigns.

@pytest.fixture(scope="module")
def campaigns(filled):
    for day, name, seen, kind, holders, cells in [
            (DAYS[0], "c1", "2026-01-30 01:02:03Z", "23/TCP", 9, [(1, 11), (1, 12), (2, 11), (3, 7)]),
            (DAYS[1], "c1", "2026-01-31 01:02:03Z", "53/UDP", 40, [(4, 20)]),
            (DAYS[1], "c2", "2026-01-31 05:59:59Z", "ICMP", 9, [(1, 8), (4, 20)])]:
        filled("INSERT INTO hirundo.campaign VALUES (%s, %s, 4, %s, %s, %s, %s, 64, 100, %s, 500, 'CN') RETURNING 1",
               (day, name, seen, seen, kind, report_world.signature(6, 23, "probe"), holders), role="postgres")
        for sensor, hops in cells:
            filled("INSERT INTO hirundo.campaign_cell VALUES (%s, %s, %s, %s, 10, 1, 0.5, 0.5) RETURNING 1",
                   (day, name, sensor, hops), role="postgres")
    yield filled
    for table in ("campaign", "campaign_cell"):
        filled(f"WITH d AS (DELETE FROM hirundo.{table} RETURNING 1) SELECT count(*) FROM d", role="postgres")


def found(campaigns, filter, days=DAYS):
    return [f"{(day - FIRST).days}{name}" for day, name in
            call(campaigns, "spoof_campaigns", days, filter, columns="day, campaign")]


def test_spoof_campaigns(campaigns, world):
    rows = call(campaigns, "spoof_campaigns", DAYS, {}, columns="day, campaign, service, hops, claimed_sources,"
                " claimed_holders, packets, likely_region")
    assert rows == [
        (DAYS[1], "c1", "53/UDP", {"TW": [20]}, 100, 40, 500, "CN"),
        (DAYS[0], "c1", "23/TCP", {"JP": [11, 12], "AU": [7]}, 100, 9, 500, "CN"),
        (DAYS[1], "c2", "ICMP", {"JP": [8], "TW": [20]}, 100, 9, 500, "CN")]
    assert found(campaigns, {}, DAYS[:1]) == ["0c1"]
    assert found(campaigns, {"sensors": 3}) == ["0c1"]
    assert found(campaigns, {"sensor_region": "TW"}) == ["1c1", "1c2"]
    assert found(campaigns, {"grp": "overseas"}) == ["1c1", "0c1", "1c2"]
    assert found(campaigns, {"grp": "domestic"}) == ["0c1", "1c2"]
    assert found(campaigns, {"grp": "domestic", "home": "TW"}) == ["1c1", "1c2"]
    assert found(campaigns, {"services": ["23/TCP", "ICMP"]}) == ["0c1", "1c2"]
    assert found(campaigns, {"ports_only": True}) == ["1c1", "0c1"]


def test_spoof_campaigns_by_claimed_source(campaigns, world):
    claims = {(day, v["region"], world.asn[src], src) for (day, src, _), v in world.verdict.items() if v["campaign"]}
    assert claims
    for region in ("JP", "CN", "US", "ZZ"):
        days = {day for day, r, _, _ in claims if (r or "ZZ") == region}
        assert found(campaigns, {"src_region": region}) == [n for i, n in ((1, "1c1"), (0, "0c1")) if DAYS[i] in days]
    for asn in (4713, 64500, 65000):
        days = {day for day, _, found_asn, _ in claims if found_asn == asn}
        assert found(campaigns, {"asn": asn}) == [n for i, n in ((1, "1c1"), (0, "0c1")) if DAYS[i] in days]
    day, _, _, src = min(claims, key=lambda claim: (claim[0], claim[3]))
    assert f"{(day - FIRST).days}c1" in found(campaigns, {"sources": src})
    assert found(campaigns, {"networks": "203.0.113.0/24"}) == []


@pytest.mark.parametrize("key", ["traits", "role", "exclude"])
def test_spoof_campaigns_refuses_what_means_nothing(campaigns, key):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=key):
        call(campaigns, "spoof_campaigns", DAYS, {key: "spoofed"})


# One source.

def test_source(filled, world):
    for src in world.sources:
        rows = plain(call(filled, "source", DAYS, None, src, columns="day, sensor_region, sensor, track, packets,"
                          " responses, services, traits, ttls, hops, verdict, score"))
        want = {}
        for (sensor, day, source, sig, ttl), (packets, *_) in world.ttl.items():
            if source == src:
                track, verdict = Count(world, DAYS, {}).track(day, src, ttl)
                want.setdefault((day, f"s{sensor}", track), []).append((sensor, sig, ttl, packets, verdict))
        assert {(row[0], row[2], row[3]) for row in rows} == set(want) and len(rows) == len(want)
        for day, region, name, track, packets, responses, services, traits, ttls, hops, verdict, score in rows:
            cells = want[day, name, track]
            sensor = cells[0][0]
            assert region == report_world.SENSORS[sensor]
            assert packets == sum(cell[3] for cell in cells)
            assert responses == sum(cell[3] for cell in cells if cell[1] >> 40 & 1)
            assert ttls == {str(t): sum(c[3] for c in cells if c[2] == t) for t in {c[2] for c in cells}}
            found = {}
            for _, sig, _, n, _ in cells:
                if not sig >> 40 & 1:
                    protocol = sig >> 32 & 255
                    found_name = report_world.service(protocol, None if sig >> 41 & 1 else sig & 65535)
                    found[found_name] = found.get(found_name, 0) + n
            assert services == found
            mask = 0
            for s, d, _, source, bits, *_ in world.source:
                if (s, d, source) == (sensor, day, src):
                    mask |= bits
            assert traits == sorted(t for t, bit in report_world.TRAITS.items() if mask >> bit & 1)
            each = sorted(h for c in cells for h in [report_world.initial_ttl(c[2]) - c[2]] * c[3])
            assert hops == each[(len(each) - 1) // 2]
            judged = cells[0][4]
            assert (verdict, score) == ((judged["verdict"], judged["score"]) if judged else ("undetermined", None))


def test_source_history_and_expectation(filled, world):
    (day, src, track), v = next((key, v) for key, v in world.verdict.items()
                                if v["kind"] == "fixed" and v["region"] and ":" not in key[1])
    sensor = next(s for s, d, source, _, _ in world.ttl if (d, source) == (day, src))
    filled("INSERT INTO hirundo.verdict_history VALUES (%(d)s, %(s)s, %(t)s, 2, 'genuine', 1, now(), now()),"
           " (%(d)s, %(s)s, %(t)s, 1, 'undetermined', 0.25, now(), now()) RETURNING 1",
           {"d": day, "s": src, "t": track}, role="postgres")
    filled("INSERT INTO hirundo.hop_region VALUES (%s, 4, %s, %s, 10.25, 3) RETURNING 1", (day, v["region"], sensor),
           role="postgres")
    rows = call(filled, "source", [day], None, src, columns="sensor, expected_hops, history, src_region, holder, dataset")
    for row in rows:
        assert row[1] == (11.75 if row[0] == f"s{sensor}" else None)
        assert [(h["version"], h["verdict"], h["score"]) for h in row[2]] == [(1, "undetermined", 0.25), (2, "genuine", 1)]
        assert row[3:5] == (v["region"], v["holder"])
        assert row[5] == ("1: rir delegated of 2026-01-02" if day == DAYS[0]
                          else "2: overrides mine of 2026-02-03, rir delegated of 2026-01-02")
    filled("WITH d AS (DELETE FROM hirundo.verdict_history RETURNING 1) SELECT count(*) FROM d", role="postgres")
    filled("WITH d AS (DELETE FROM hirundo.hop_region RETURNING 1) SELECT count(*) FROM d", role="postgres")


def test_source_unknown(filled):
    assert call(filled, "source", DAYS, None, "192.0.2.200") == []
    for bad in ("192.0.2.0/24", "2001:db8::/64", None):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="src"):
            call(filled, "source", DAYS, None, bad)


# Coverage, and the zones.

@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Asia/Colombo", "UTC", "America/New_York"])
@pytest.mark.parametrize("step", ["15min", "hour", "day", "week", "month"])
def test_coverage(server, template, zone, step):
    # In New York these days hold the hour that does not exist.
    first = datetime.date(2026, 3, 7) if zone == "America/New_York" else FIRST
    world = World(1, first, zone)
    name = f"hirundo_coverage_{zone.split('/')[-1].lower()}_{step}"
    server.create(name, template)
    try:
        with server.connect(name) as c:
            world.store(c)
            # The session's own zone does not matter.
            c.execute("SET timezone = 'Pacific/Kiritimati'")
            rows = c.execute("SELECT * FROM report.coverage(%s, '{}', %s)", (period(world.days), step)).fetchall()
            shares = c.execute("SELECT step_start FROM report.verdict_share(%s)", (period(world.days),)).fetchall()
    finally:
        server.drop(name)
    local = zoneinfo.ZoneInfo(zone)
    midnights = [datetime.datetime.combine(day, datetime.time(), local) for day in
                 [*world.days, world.days[-1] + datetime.timedelta(days=1)]]
    assert [row[0] for row in shares] == midnights[:4]
    start = midnights[0].astimezone(datetime.timezone.utc)
    buckets = [start + datetime.timedelta(minutes=15 * i)
               for i in range(int((midnights[-1] - start).total_seconds() // 900))]

    def step_of(bucket):
        at = bucket.astimezone(local)
        if step == "15min":
            return bucket
        if step == "hour":
            return bucket - datetime.timedelta(minutes=at.minute)
        day = at.date()
        day = max(steps_of([day], "day")[day] if step == "day" else
                  day - datetime.timedelta(days=day.weekday()) if step == "week" else day.replace(day=1), first)
        return datetime.datetime.combine(day, datetime.time(), local)
    want = {}
    for bucket, sensor in itertools.product(buckets, report_world.SENSORS):
        row = want.setdefault((step_of(bucket).timestamp(), f"s{sensor}"), [report_world.SENSORS[sensor], 0, None, None])
        if (sensor, bucket) in world.coverage:
            seconds, packets, lost = world.coverage[sensor, bucket]
            row[1:] = [row[1] + seconds, (row[2] or 0) + packets, (row[3] or 0) + lost]
    assert {(row[0].timestamp(), row[1]): list(row[2:]) for row in rows} == want and len(rows) == len(want)


def test_coverage_of_disabled_sensors(filled):
    """From then on nothing is expected of them: only what came nevertheless is listed."""
    before = call(filled, "coverage", DAYS)
    noon = datetime.datetime.combine(DAYS[1], datetime.time(12), datetime.timezone.utc)
    try:
        for name in ("s1", "s5"):  # one listens on, one never did
            filled("UPDATE hirundo.sensor SET disabled_at = %s WHERE name = %s RETURNING 1", (noon, name), role="postgres")
        assert call(filled, "coverage", DAYS) == [
            row for row in before if row[1] not in ("s1", "s5") or row[0] < noon or row[3] > 0 or row[4] is not None]
        assert {row[1] for row in before} == {row[1] for row in call(filled, "coverage", DAYS)} >= {"s1", "s5"}
    finally:
        filled("UPDATE hirundo.sensor SET disabled_at = NULL RETURNING 1", role="postgres")


def test_coverage_by_filter(filled):
    for filter, sensors in [({"sensors": [2, 3]}, {"s2", "s3"}), ({"sensor_region": "JP"}, {"s1", "s2"}),
                            ({"grp": "overseas"}, {"s3", "s4", "s5"}), ({"grp": "domestic", "home": "MY"}, {"s5"})]:
        assert {row[0] for row in call(filled, "coverage", DAYS, filter, columns="sensor")} == sensors
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="asn has no meaning"):
        call(filled, "coverage", DAYS, {"asn": 1})


def test_covered_share(filled, world):
    count = Count(world, DAYS, {})
    rows = dict(call(filled, "ttl_by_region", DAYS, columns="DISTINCT sensor_region, covered"))
    whole = 4 * 86400
    assert rows["JP"] == pytest.approx((count.listened(1) + count.listened(2)) / 2 / whole)
    assert rows["AU"] == pytest.approx(count.listened(3) / whole)
    assert rows["MY"] == 0
    assert rows[None] == pytest.approx(sum(map(count.listened, range(1, 6))) / 5 / whole)


# As of.

def test_as_of(filled, world):
    for days, want in [(DAYS[:1], world.computed_at(DAYS[0])), (DAYS[:3], world.computed_at(DAYS[0])), (DAYS, None),
                       (DAYS[3:], None)]:
        for name in ("spoof_verdict", "verdict_share"):
            assert {row[0] for row in call(filled, name, days, columns="as_of")} == {want}


def test_as_of_of_rollups(filled, world):
    """What waits to be rolled up is told, by when it was received; only what concerns the question."""
    filled("INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets, stored,"
           " quarantined, rejected, lost, received_at, rows, stored_rows, samples, fold_early, bytes, kind)"
           " VALUES (3, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, '2026-03-04 05:06Z', 1, 1, 0, 0, 1, 1) RETURNING 1", role="postgres")
    filled("INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at)"
           " VALUES (3, '2026-01-31 12:00Z', 1, 1, 1, now(), now()) RETURNING 1", role="postgres")
    now = filled("SELECT now()")[0][0]
    for days, filter, waits in [(DAYS, {}, True), (DAYS[:1], {}, False), (DAYS[2:], {}, False),
                                (DAYS, {"grp": "domestic"}, False), (DAYS, {"sensors": 3}, True)]:
        (at,), = set(call(filled, "ttl_by_region", days, filter, columns="as_of"))
        assert at == datetime.datetime(2026, 3, 4, 5, 6, tzinfo=datetime.timezone.utc) if waits else at >= now
    for table in ("dirty_mark", "ingest_batch"):
        filled(f"WITH d AS (DELETE FROM hirundo.{table} RETURNING 1) SELECT count(*) FROM d", role="postgres")


# Columns that others rely on, in their order; more may follow.
COLUMNS = {
    "ttl_by_region": "sensor_region, initial_ttl, ttl_min, ttl_max, ttl_p5, ttl_p95, hops_min, hops_max, sources, packets",
    "spoof_verdict": "src, src_region, verdict, score, reason, regions_seen, nearest_region, tracks, packets_genuine,"
                     " packets_spoofed, packets_undetermined, as_of",
    "spoof_campaigns": "campaign, first_seen, last_seen, service, signature, hops, claimed_sources, claimed_holders,"
                       " packets, likely_region",
    "verdict_share": "step_start, spoofed, genuine, undetermined, packets_spoofed, packets_genuine, packets_undetermined,"
                     " interval",
    "response_sources_called_spoofed": "day, n, share, interval",
    "source": "day, sensor_region, sensor",
    "notification": "src, first_seen, last_seen, first_ever, packets, services, src_ports, sensors, traits, role, asn,"
                    " organization, contact, scanner_org, verdict",
    "notification_excluded": "reason, sources, packets",
    "payload_samples": "observed_at, sensor, src, service, payload, packets",
    "coverage": "step_start, sensor, region, covered_seconds, packets, lost",
    "catalog": "analysis, function, definition, example",
    "top_services": "rank, service, name, common_name, packets, hosts, share, previous_rank, previous_covered",
    "top_services_by_sensor": "sensor, public_label, region, domestic, rank, service, packets",
    "common_services": "service, sensors_in_top_n, of_sensors, best_rank, worst_rank",
    "top_source_regions": "rank, region, name, packets, hosts, share, previous_rank, previous_covered",
    "mirai_hosts": "day, region, hosts, total_hosts, top_hosts",
    "hosts_per_day": "day, service, network, hosts, packets, covered",
    "activity_calendar": "day, weekday, packets, hosts, active",
    "top_networks": "rank, network, name, packets, hosts, share",
    "ack_organizations": "rank, organization, kind, packets, hosts, share",
    "service_trend": "step_start, service, packets, hosts, packets_per_address_day, covered",
    "source_region_trend": "step_start, region, packets, hosts, packets_per_address_day, covered",
    "packets_per_sensor_day": "step_start, grp, mean_packets, covered_address_days, mean_year_before",
    "ack_packets": "step_start, kind, packets, hosts",
    "viewer": "name, everything, regions, home_region, zone, today, first_day, last_day, raw_from, as_of, dataset",
    "sensors": "sensor, public_label, name, region, domestic",
    "sensor_regions": "region, name, domestic, own, sensors, shown",
    "verdict_changes": "src, src_region, verdict, score, reason, regions_seen, nearest_region, tracks, packets_genuine,"
                       " packets_spoofed, packets_undetermined, as_of",
    "publications": "name, edition, period, home_region, published_at, as_of, dataset",
}


def test_columns_are_stable(filled):
    found = dict(filled("SELECT proname, array_to_string(proargnames[pronargs + 1:], ', ') FROM pg_proc"
                        " WHERE pronamespace = 'report'::regnamespace"))
    assert found.keys() == COLUMNS.keys()
    for name, columns in COLUMNS.items():
        assert f"{found[name]}, ".startswith(f"{columns}, "), name


# Reports that count packets or sources, and what they need beside a period.
COUNTING = [("ttl_by_region",), ("spoof_verdict",), ("spoof_campaigns",), ("verdict_share",), ("verdict_changes",),
            ("response_sources_called_spoofed",), ("source", None, "192.0.2.1"),
            *[(name,) for name in RANKINGS + ACTIVITY + NETWORKS + SERIES + NOTICES if name != "payload_samples"]]


def test_counting_reports_are_all_there_are(filled):
    """No function escapes the checks of what is complete."""
    names = {row[0] for row in filled("SELECT proname FROM pg_proc WHERE pronamespace = 'report'::regnamespace")}
    assert {name for name, *_ in COUNTING} == names - {
        "coverage", "catalog", "payload_samples", "viewer", "sensors", "sensor_regions", "publications"}


def test_what_is_in_no_rollup_is_an_error(filled):
    before = call(filled, "coverage", DAYS)
    filled("INSERT INTO hirundo.rollup_gap VALUES (3, '2026-01-31', 7, now()) RETURNING 1", role="postgres")
    try:
        for name, *more in COUNTING:
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="7 rows .* 2026-01-31"):
                call(filled, name, DAYS, *more)
            call(filled, name, DAYS[2:], *more)
        for name in ("ttl_by_region", "spoof_verdict", "verdict_share"):
            call(filled, name, DAYS, {"sensor_region": ["JP", "TW"]})
        # How long who listened is known.
        assert call(filled, "coverage", DAYS) == [
            (*row[:4], None, row[5]) if (row[0].date(), row[1]) == (DAYS[1], "s3") else row for row in before]
        assert {row[1] for row in call(filled, "coverage", DAYS, {}, "month") if row[4] is None} == {"s3", "s5"}
    finally:
        filled("WITH d AS (DELETE FROM hirundo.rollup_gap RETURNING 1) SELECT count(*) FROM d", role="postgres")


def test_what_was_dropped_is_an_error(filled):
    before = call(filled, "coverage", DAYS)
    filled("INSERT INTO hirundo.rollup_dropped VALUES ('2026-01-01', now()) RETURNING 1", role="postgres")
    try:
        for name, *more in COUNTING:
            for days in (DAYS, DAYS[:1], DAYS[1:2]):
                with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="rollups of 2026-01 were dropped"):
                    call(filled, name, days, *more)
            call(filled, name, DAYS[2:], *more)
        assert call(filled, "coverage", DAYS) == before  # it is kept
    finally:
        filled("WITH d AS (DELETE FROM hirundo.rollup_dropped RETURNING 1) SELECT count(*) FROM d", role="postgres")


def test_dataset(filled):
    assert {row[0] for row in call(filled, "spoof_verdict", DAYS[:1], columns="dataset")} == {"1: rir delegated of 2026-01-02"}
    both = "2: overrides mine of 2026-02-03, rir delegated of 2026-01-02 (older rows: 1 and up)"
    for name in ("spoof_verdict", "verdict_share", "ttl_by_region"):
        assert {row[0] for row in call(filled, name, DAYS, columns="dataset")} == {both}


def test_reasons(filled, world):
    rows = [row for days in (DAYS, [world.late]) for row in
            call(filled, "spoof_verdict", days, columns="verdict, score, reason")]
    late = "came after the verdicts of its day were final"
    assert {row[2] for row in rows if row[1] is None} == {"not judged yet", late}
    assert all(row[2] not in ("", "not judged yet", late) for row in rows if row[1] is not None)


def test_what_comes_after_a_day_is_final_counts(filled, world):
    """Packets of ttl_day, all of them; verdicts stay, and who has none is undetermined, with the reason."""
    rows = {row[0]: row[1:] for row in plain(call(
        filled, "spoof_verdict", [world.late], columns="src, verdict, score, reason, packets_genuine + packets_spoofed"
        " + packets_undetermined"))}
    packets = {}
    for (_, day, src, _, _), row in world.ttl.items():
        if day == world.late:
            packets[src] = packets.get(src, 0) + row[0]
    assert {src: row[3] for src, row in rows.items()} == packets
    judged = {src for day, src, _ in world.verdict if day == world.late}
    assert {src: row[:3] for src, row in rows.items() if src not in judged} == dict.fromkeys(
        packets.keys() - judged, ("undetermined", None, "came after the verdicts of its day were final"))
    assert packets.keys() - judged
    src = min(packets.keys() - judged)
    assert set(call(filled, "source", [world.late], None, src, columns="verdict, reason")) == {
        ("undetermined", "came after the verdicts of its day were final")}


# What there is.

@pytest.mark.parametrize("role", PEOPLE)
def test_catalog(filled, role):
    rows = filled("SELECT * FROM report.catalog()", role=role)
    functions = filled("SELECT oid::regprocedure::text, obj_description(oid) FROM pg_proc"
                       " WHERE pronamespace = 'report'::regnamespace ORDER BY 1")
    assert sorted((row[1].removeprefix("report."), row[2]) for row in rows) == \
        sorted((name.removeprefix("report."), text) for name, text in functions) and len(rows) >= 6
    for analysis, function, definition, example in rows:
        assert function.startswith("report.") and analysis and function.split("(")[0] in example
        filled(example, role=role)


@pytest.mark.parametrize("role", PEOPLE)
def test_empty_database(installation, role):
    with installation.connect(role) as c:
        def ask(name, *more):
            return c.execute(f"SELECT * FROM report.{name}('[2026-01-30,2026-02-01)'{''.join(more)})").fetchall()
        assert [row[:12] for row in ask("ttl_by_region")] == [(None,) * 12]
        assert ask("spoof_campaigns") == ask("coverage") == []
        assert ask("spoof_verdict") == ask("source", ", '192.0.2.1'") == []
        assert [row[1:] for row in ask("verdict_share")] == [(None,) * 10] * 2
        assert [row[1:] for row in ask("response_sources_called_spoofed")] == [(None,) * 5] * 2
        for (example,) in c.execute("SELECT example FROM report.catalog()").fetchall():
            c.execute(example)


def test_one_sensor_without_address_data(installation):
    """Everything undetermined, nothing lost."""
    day = DAYS[0]
    with installation.connect() as c:
        c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (1, 'a', 'u', 'LK', 'x')")
        report_world.make_months(c, [day])
        for i in range(5):
            c.execute("INSERT INTO hirundo.ttl_day (sensor_id, day, src, signature, ttl, packets, first_at, last_at)"
                      " VALUES (1, %s, %s, %s, %s, 2, now(), now())",
                      (day, f"198.51.100.{i}", report_world.signature(6, 23, "probe"), 50 + i))
    with installation.connect("hirundo_analyst") as c:
        rows = c.execute("SELECT * FROM report.ttl_by_region(%s)", (period([day]),)).fetchall()
        assert [row[:12] for row in rows] == [("LK", 64, 50, 54, 50, 54, 10, 14, 5, 10, 0, None), (None, None, 50, 54, 50, 54, 10, 14, 5, 10, 0, None)]
        rows = c.execute("SELECT src_region, verdict, score, reason, packets_undetermined, dataset, as_of"
                         " FROM report.spoof_verdict(%s)", (period([day]),)).fetchall()
        assert rows == [("ZZ", "undetermined", None, "not judged yet", 2, None, None)] * 5
        assert len(c.execute("SELECT FROM report.source(%s, '198.51.100.3')", (period([day]),)).fetchall()) == 1


def test_examples_of_the_documentation(filled):
    text = (ROOT / "collector" / "sql" / "REPORTS.md").read_text()
    statements = re.sub(r"(?m)^ +--.*$", "", "\n".join(re.findall(r"(?m)^    .*$", text))).split(";")[:-1]
    assert len(statements) >= 7
    for statement in statements:
        # Its quarter may lie ahead.
        filled(statement.replace("[2026-10-01,2027-01-01)", period(DAYS)).replace("%", "%%"))


# How it is made.

# What payloads came, and from which ports, is in no rollup; each takes its days only (test_notification.py).
RAW = {"report.payload_samples(daterange,jsonb,integer)": ["payload_sample"],
       "hirundo.report_raw(daterange,hirundo.report_filter,hirundo.series)": ["observation"]}


def test_reports_read_no_raw_rows(filled):
    """Neither observation nor a secret is named in what the reports run."""
    sources = filled("SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p"
                     " WHERE pronamespace = 'report'::regnamespace OR proname LIKE 'report\\_%'", role="postgres")
    assert len(sources) >= 10
    for name, text in sources:
        found = set(re.findall(r"hirundo\.(observation|payload_sample|sensor_address|sensor_connection|ingest_reject)", text))
        assert found == set(RAW.get(name, [])), name


def test_keys_that_are_absent_cost_nothing(filled):
    """The row set becomes part of the query, and conditions of keys that are not given fall away."""
    f = filled("SELECT hirundo.report_filter('{}')::text", role="postgres")[0][0]
    for rows, table in (("report_cells", "ttl_day"), ("report_sources", "source_day")):
        plan = "\n".join(row[0] for row in filled(
            f"EXPLAIN SELECT * FROM hirundo.{rows}('[2026-01-30,2026-02-01)', '{f}'::hirundo.report_filter)",
            role="postgres"))
        assert f"{table}_202601" in plan and f"{table}_202602" not in plan and rows not in plan
        assert not re.search("InitPlan|SubPlan|verdict|organization|scanner|within|width_bucket|Join", plan), plan
