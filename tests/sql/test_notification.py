"""Lists for notices and samples of payloads against counts that Python makes straight from the rows."""
import datetime
import ipaddress
from collections import Counter, defaultdict

import psycopg
import pytest

from harness import report_names, report_world
from harness.raw_world import ANSWERER, DAY, FORGER, LATE, SCANNER, UTC, Raw
from harness.report_world import Count
from harness.reports import DAYS, call, period

REASONS = ["no_source", "response", "bogon", "spoofed", "scanner_org"]
FILTERS = [
    {},
    {"sensors": [1, 4]}, {"grp": "domestic"}, {"grp": "overseas", "home": "AU"}, {"sensor_region": ["JP", "TW"]},
    {"src_region": "CN"}, {"src_region": ["JP", "ZZ"]}, {"asn": 4713}, {"networks": ["0.0.0.0/1", "2001:db8:0:1::/64"]},
    {"sources": ["10.1.2.3", "fd00::9"]}, {"services": ["22/TCP", "53/UDP", "GRE"]}, {"services": "ICMP"},
    {"ports_only": True}, {"traits": "mirai"}, {"role": "probe"}, {"role": "response"},
    {"services": "23/TCP", "role": "response"},
    {"exclude": "bogon"}, {"exclude": ["response"]}, {"exclude": ["spoofed"]}, {"exclude": ["spoofed", "bogon", "response"]},
    {"exclude": "scanner_org"}, {"organization": "Example K.K."}, {"organization": ["AS4713", '"Other", Ltd.']},
    {"network_group": "low"}, {"network_group": ["part", "six"], "exclude": ["spoofed", "response"]}, {"asn": 4713, "services": "23/TCP", "exclude": ["spoofed"]},
]
SPANS = [DAYS, DAYS[:2], DAYS[3:]]


def excluded(filter) -> list[str]:
    if "exclude" in filter:
        return filter["exclude"] if isinstance(filter["exclude"], list) else [filter["exclude"]]
    return ["spoofed", "scanner_org"] + ["response"] * (filter.get("role") != "response")


def rows(world, days, filter):
    """(key, packets, reason) of the rows that the filter leaves but for exclude."""
    without = excluded(filter)
    for key, packets in Count(world, days, {k: v for k, v in filter.items() if k != "exclude"}).source_cells():
        _, day, _, src, mask, initial, _ = key
        verdict = world.verdict.get((day, src, 0)) or world.verdict.get((day, src, initial))
        reason = None
        if src is None:
            reason = "no_source"
        elif "response" in without and mask & report_world.RESPONSE:
            reason = "response"
        elif "bogon" in without and src in world.bogons:
            reason = "bogon"
        elif "spoofed" in without and verdict and verdict["verdict"] == "spoofed":
            reason = "spoofed"
        elif "scanner_org" in without and world.names.scans(src, day):
            reason = "scanner_org"
        yield key, packets, reason


def verdict_of(world, src, listed, without) -> str:
    """Of the day seen from most regions, then with the lowest score, then the latest."""
    days = {}
    for _, day, _, _, _, initial, _ in listed:
        row = world.verdict.get((day, src, 0)) or world.verdict.get((day, src, initial))
        found = (row["source_regions"], -row["score"], day) if row else (-1, -10, day)
        days[day] = max(days.get(day, found), found)
    day = max(days.values())[2]
    seen = {row["verdict"] for (d, s, _), row in world.verdict.items() if (d, s) == (day, src)}
    seen -= {"spoofed"} if "spoofed" in without else set()
    return ("mixed" if {"spoofed", "genuine"} <= seen else "spoofed" if "spoofed" in seen
            else "genuine" if "genuine" in seen else "undetermined")


def holder(world, src, listed, days) -> tuple:
    """Organization and contact of the latest day that has one; who scans from there on a day of the period."""
    known = [world.names.by_day[src, day] for day in sorted({key[1] for key in listed}) if world.names.by_day[src, day]]
    name, contact = report_names.ORGANIZATIONS[known[-1]] if known else (world.asn[src] and f"AS{world.asn[src]}", None)
    return name, contact, "Survey" if any(world.names.scans(src, day) for day in days) else None


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_notification(filled, world, filter):
    for days in SPANS:
        listed, total = defaultdict(list), Counter()
        for key, packets, reason in rows(world, days, filter):
            if reason is None:
                listed[key[3]].append(key)
                total[key[3]] += packets
        want = []
        for src in sorted(listed, key=lambda src: (-total[src], order(src))):
            services, mask = Counter(), 0
            for key in listed[src]:
                services[key[2]] += world.source[key]
                mask |= key[4]
            roles = {"response" if key[4] & report_world.RESPONSE else "probe" for key in listed[src]}
            want.append((src, total[src], dict(services), len({key[0] for key in listed[src]}),
                         sorted(t for t, bit in report_world.TRAITS.items() if mask >> bit & 1),
                         "both" if len(roles) == 2 else roles.pop(), world.asn[src], *holder(world, src, listed[src], days),
                         verdict_of(world, src, listed[src], excluded(filter))))
        columns = "host(src), packets, services, sensors, traits, role, asn, organization, contact, scanner_org, verdict"
        assert call(filled, "notification", days, filter, columns=columns) == want
        assert call(filled, "notification", days, filter, 3, columns=columns) == want[:3]


def order(src: str):
    address = ipaddress.ip_address(src)
    return address.version, int(address)


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_notification_excluded(filled, world, filter):
    """What is left out, by reason; with the list, it is all."""
    for days in SPANS:
        packets, reasons = Counter(), defaultdict(set)
        for key, n, reason in rows(world, days, filter):
            packets[reason] += n
            if key[3]:
                reasons[key[3]].add(reason)
        first = Counter(next(reason for reason in REASONS if reason in found)
                        for found in reasons.values() if None not in found)
        want = [(reason, first[reason], packets[reason]) for reason in REASONS
                if reason == "no_source" or reason in excluded(filter)]
        got = call(filled, "notification_excluded", days, filter, columns="reason, sources, packets")
        assert got == want
        listed = call(filled, "notification", days, filter, columns="count(*), coalesce(sum(packets), 0)")[0]
        everything = list(rows(world, days, filter))
        assert (listed[0] + sum(row[1] for row in got), listed[1] + sum(row[2] for row in got)) == \
            (len({key[3] for key, _, _ in everything} - {None}), sum(n for _, n, _ in everything))


def test_world_has_it_all(world):
    """Every reason that the world's rows can have occurs, alone and beside listed rows."""
    reasons = defaultdict(set)
    for key, _, reason in rows(world, DAYS, {"exclude": ["response", "spoofed", "bogon"]}):
        reasons[key[3]].add(reason)
    for found in ({"response"}, {"bogon"}, {"response", "spoofed"}, {None, "spoofed"}, {None, "response"}):
        assert found in reasons.values()
    assert any(reason == "scanner_org" for _, _, reason in rows(world, DAYS, {}))


# Raw rows.

@pytest.fixture(params=["UTC", "Asia/Colombo", "Asia/Tokyo"])
def raw(server, template, request):
    raw = Raw(server, template, "hirundo_notification", request.param)
    yield raw
    raw.drop()


def test_source_ports_and_times(raw):
    for i, port in enumerate([40000, 40001, 40001, 40002, 40003, 40004, 40005, 40006, 40005]):
        raw.observe(3600 + i, SCANNER, 23, port, packets=2 if port == 40006 else 1, sensor=1 + i % 2)
    raw.observe(86399, SCANNER, 2323, None)  # trait coarse: not kept
    raw.observe(86400 + 5, SCANNER, 23, 50000, packets=90)  # the day after
    raw.observe(-1, SCANNER, 22, 51000, packets=90)  # the day before
    raw.observe(10, ANSWERER, 5000, 80, packets=7, traits=1 << 10)
    raw.observe(11, ANSWERER, 23, 41000)
    raw.observe(12, LATE, None, None, protocol=58)
    raw.observe(13, None, 23, 42000, packets=5)  # trait land
    raw.roll_up()
    got = {row[0]: row[1:] for row in raw.ask("notification", [DAY], columns="host(src), first_seen, last_seen, first_ever,"
                                              " packets, services, src_ports, sensors, src_ports_missing")}
    assert got == {
        SCANNER: (raw.at(3600), raw.at(86399), raw.at(-1), 11, {"23/TCP": 10, "2323/TCP": 1},
                  [40001, 40005, 40006, 40000, 40002], 2, None),
        ANSWERER: (raw.at(11), raw.at(11), raw.at(10), 1, {"23/TCP": 1}, [41000], 1, None),
        LATE: (raw.at(12), raw.at(12), raw.at(12), 1, {"ICMPv6": 1}, [], 1, None)}
    assert raw.ask("notification_excluded", [DAY], columns="reason, sources, packets") == [
        ("no_source", 0, 5), ("response", 0, 7), ("spoofed", 0, 0), ("scanner_org", 0, 0)]
    # Ports are those of the packets that are listed.
    assert raw.ask("notification", [DAY], {"sensors": 2, "services": "23/TCP"}, columns="host(src), src_ports") == [
        (SCANNER, [40006, 40001, 40002, 40004])]
    assert raw.ask("notification", [DAY], {"role": "response"}, columns="host(src), src_ports, role") == [
        (ANSWERER, [80], "response")]
    both = raw.ask("notification", [DAY], {"exclude": "bogon", "networks": f"{ANSWERER}/32"}, columns="src_ports, role, packets")
    assert both == [([80, 41000], "both", 8)]


def test_source_ports_leave_out_spoofed_tracks(raw):
    raw.observe(100, FORGER, 23, 1111, ttl=55)
    raw.observe(101, FORGER, 23, 2222, packets=9, ttl=120)
    raw.roll_up()
    for track, verdict in ((64, "genuine"), (128, "spoofed")):
        raw.c.execute("INSERT INTO hirundo.verdict (day, src, track, kind, signature, verdict, score, regions_seen,"
                      " source_regions, sensors_seen, packets, prior, second_path, taught, held, model_at)"
                      " VALUES (%s, %s, %s, 'split', 0, %s, 0, 1, 1, 1, 1, 0, false, false, false, now())",
                      (DAY, FORGER, track, verdict))
    columns = "packets, src_ports, verdict"
    assert raw.ask("notification", [DAY], columns=columns) == [(1, [1111], "genuine")]
    assert raw.ask("notification", [DAY], {"exclude": "response"}, columns=columns) == [(10, [2222, 1111], "mixed")]
    assert raw.ask("notification_excluded", [DAY], columns="reason, sources, packets")[2] == ("spoofed", 0, 9)


def test_names(raw):
    raw.name_networks()
    raw.observe(50, SCANNER, 23, 1)
    raw.observe(51, FORGER, 23, 2, packets=4)
    raw.observe(52, LATE, None, None, protocol=58)
    raw.roll_up()
    # What is known at the time of the rollup stays.
    raw.c.execute("UPDATE hirundo.organization_range SET organization_id = 2 WHERE lo = '198.51.100.0'")
    raw.observe(86400 + 53, SCANNER, 23, 3, packets=8)
    raw.observe(86400 + 54, ANSWERER, 23, 4, packets=16)
    raw.roll_up()
    days = [DAY, DAY + datetime.timedelta(days=1)]
    columns = "host(src), packets, organization, contact, scanner_org"
    first = (SCANNER, 1, "Old Ltd", "old@example.net", "Wide")
    assert raw.ask("notification", days[:1], columns=columns) == [(*first[:4], None), (LATE, 1, None, None, None)]
    assert raw.ask("notification", days, columns=columns) == [first, (LATE, 1, None, None, None)]
    assert raw.ask("notification_excluded", days, columns="reason, sources, packets")[3] == ("scanner_org", 2, 28)
    assert raw.ask("notification", days, {"exclude": "response"}, columns=columns) == [
        (ANSWERER, 16, "Silent", None, "Wide"), (SCANNER, 9, "Example Ltd", "abuse@example.net", "Wide"),
        (FORGER, 4, None, None, "Study"), (LATE, 1, None, None, None)]
    assert raw.ask("notification", days, {"organization": "Old Ltd", "exclude": "bogon"}, columns=columns) == [first]
    assert raw.ask("notification_excluded", days, {"organization": "Example Ltd"}, columns="reason, sources, packets") == [
        ("no_source", 0, 0), ("response", 0, 0), ("spoofed", 0, 0), ("scanner_org", 1, 8)]


def drop_days(raw, *days):
    """As retention does, whatever their age."""
    for day in days:
        name = day.strftime("%Y%m%d")
        raw.c.execute("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) VALUES (1, %s, 1, 1)", (day,))
        raw.c.execute(f"DROP TABLE hirundo.observation_{name}, hirundo.payload_sample_{name}")
        raw.c.execute("DELETE FROM hirundo.partition_day WHERE day = %s", (day,))


def test_dropped_days(raw):
    raw.observe(3600 * 12, SCANNER, 23, 1111)
    raw.observe(3600 * 60, SCANNER, 23, 2222)
    raw.observe(3600 * 60, ANSWERER, 23, 3333)
    raw.sample(3600 * 60, ANSWERER, 1, b"later")
    raw.roll_up()
    days = [DAY + datetime.timedelta(days=i) for i in range(3)]
    columns = "host(src), packets, src_ports, src_ports_missing"
    drop_days(raw, raw.at(3600 * 12).astimezone(UTC).date())
    assert raw.ask("notification", days, columns=columns) == [
        (SCANNER, 2, None, "raw rows were dropped"), (ANSWERER, 1, [3333], None)]
    assert raw.ask("notification", days[2:], columns=columns) == [(SCANNER, 1, [2222], None), (ANSWERER, 1, [3333], None)]
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="rows of 2026-03-.* are not kept any more"):
        raw.ask("payload_samples", days)
    assert len(raw.ask("payload_samples", days[2:])) == 1
    assert raw.ask("payload_samples", days, {"sensors": 2}) == []  # nothing of that sensor was dropped


def test_payload_samples_of_what_is_not_complete(raw):
    raw.c.execute("INSERT INTO hirundo.rollup_gap VALUES (2, %s, 7, now())", (DAY,))
    raw.c.execute("INSERT INTO hirundo.rollup_dropped VALUES ('2026-02-01', now())")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="7 rows"):
        raw.ask("payload_samples", [DAY])
    assert raw.ask("payload_samples", [DAY], {"sensors": 1}) == []
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="rollups of 2026-02 were dropped"):
        raw.ask("payload_samples", [datetime.date(2026, 2, 28)])


def test_payload_samples(raw):
    for seconds, src, sensor, port in [(60, SCANNER, 1, 53), (61, ANSWERER, 2, 53), (70, FORGER, 1, 123),
                                       (3700, ANSWERER, 1, 123), (90000, SCANNER, 1, 53)]:
        raw.observe(seconds, src, port, 4444, protocol=17, sensor=sensor)
    raw.sample(60, SCANNER, 11, b"\0version", length=300)
    raw.sample(62, SCANNER, 11, None, packets=6)
    raw.sample(61, ANSWERER, 11, b"\0version", sensor=2)  # its number is of that sensor alone
    raw.sample(70, FORGER, 12, b"monlist", packets=3, dst_port=123)
    raw.sample(3700, ANSWERER, 15, b"monlist", packets=2, dst_port=123)  # the sensor was started anew
    raw.sample(90000, SCANNER, 13, b"tomorrow")
    raw.sample(80, None, 14, b"from itself")
    raw.roll_up()
    columns = "observed_at, sensor, host(src), service, payload, packets, payload_length"
    first = (raw.at(60), "s1", SCANNER, "53/UDP", b"\0version", 7, 300)
    second = (raw.at(70), "s1", FORGER, "123/UDP", b"monlist", 5, 9)
    his = (*second[:5], 3, 9)
    third = (raw.at(61), "s2", ANSWERER, "53/UDP", b"\0version", 1, 9)
    own = (raw.at(80), "s1", None, "53/UDP", b"from itself", 1, 9)
    ask = lambda filter, *more: raw.ask("payload_samples", [DAY], filter, *more, columns=columns)
    assert ask({}) == [first, second, third, own]
    assert ask({}, 2) == [first, second]
    assert ask({"sensors": 2}) == ask({"sensor_region": "LK"}) == [third]
    assert ask({"services": "123/UDP"}) == [second]
    assert ask({"ports_only": True, "grp": "domestic"}) == [first, second, own]
    assert ask({"networks": f"{SCANNER}/32"}) == ask({"sources": SCANNER, "services": "53/UDP"}) == [first]
    assert ask({"role": "probe", "sources": FORGER}) == [his]
    assert ask({"role": "response"}) == ask({"traits": "mirai"}) == ask({"src_region": "JP"}) == ask({"asn": 5}) == []
    assert ask({"src_region": "ZZ"}) == [first, second, third]


def test_payload_of_a_count(server, template):
    """Where the reporting day cuts an hour, the bytes may have come before it."""
    raw = Raw(server, template, "hirundo_notification", "Asia/Colombo")
    try:
        raw.observe(-60, SCANNER, 53, 4444, protocol=17)
        raw.observe(60, SCANNER, 53, 4444, packets=4, protocol=17)
        raw.sample(-60, SCANNER, 11, b"before")
        raw.sample(60, SCANNER, 11, None, packets=4)
        raw.sample(-3600, SCANNER, 12, b"too far")
        raw.sample(61, SCANNER, 12, None)
        raw.roll_up()
        assert raw.ask("payload_samples", [DAY], columns="payload, packets, observed_at") == [
            (b"before", 4, raw.at(60)), (None, 1, raw.at(61))]
    finally:
        raw.drop()


def plan(c, sql: str, days: str) -> str:
    """Plans of what a function runs, too."""
    c.execute("LOAD 'auto_explain'")
    c.execute("SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;"
              " SET client_min_messages = log")
    notices = []
    handler = lambda notice: notices.append(notice.message_primary)
    c.add_notice_handler(handler)
    c.execute(sql, (days,))
    c.remove_notice_handler(handler)
    return "\n".join(notices)


@pytest.mark.parametrize("call_", ["notification(%s)", "payload_samples(%s)", "payload_samples(%s, '{\"src_region\": \"JP\"}')"])
def test_raw_days_outside_are_not_touched(server, template, call_):
    raw = Raw(server, template, "hirundo_notification", "UTC")
    try:
        for day in range(-1, 2):
            raw.observe(86400 * day + 50, SCANNER, 53, 4444, protocol=17)
            raw.sample(86400 * day + 50, SCANNER, 11, b"x")
        raw.roll_up()
        text = plan(raw.c, f"SELECT * FROM report.{call_}", period([DAY]))
        name = "observation" if call_.startswith("notification") else "payload_sample"
        assert f"{name}_20260310" in text
        assert not [day for day in ("08", "09", "11", "12", "13") if f"{name}_202603{day}" in text]
    finally:
        raw.drop()
