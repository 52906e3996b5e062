"""What each viewer gets, of every report and under every key: what the central team gets, or an error that says why,
never less; single sensors only of its regions. The rules are said once more in harness/viewers.py."""
import datetime
import itertools
import json

import psycopg
import pytest

from harness import report_world
from harness.hirundo import Installation
from harness.report_world import Count
from harness.reports import period
from harness.series_world import DAYS, SeriesWorld, order
from harness.viewers import WHOLE, Viewer, by_label, services, values

# JP-1, 2; AU-3 takes everything for some hours; MY-5 never listens.
SENSORS = {1: "JP", 2: "JP", 3: "AU", 4: "TW", 5: "MY", 6: "KR", 7: "KR", 8: "KR", 9: "HK"}
HEARD = set(SENSORS) - {5}
COUNTING = HEARD - {3}
VIEWERS = {name: Viewer(name, regions, SENSORS, HEARD, COUNTING, HEARD - {3}) for name, regions in {
    "central": None,
    "au": ["AU", "US"],  # others: JP, KR; TW and HK together
    "jp": ["JP"],  # others: KR; AU, TW and HK together
    "far": ["AU", "CN", "TW"],  # HK would be alone: JP with it
    "lone": ["AU", "JP", "KR", "TW"],  # HK is alone, and nothing is left to put it with
}.items()}

# Each key alone, with one value and several, and keys together.
FILTERS = [
    {}, {"sensors": 3}, {"sensors": [1, 2]}, {"sensors": [3, 4]}, {"sensors": 9}, {"sensors": 77},
    {"grp": "domestic"}, {"grp": "overseas"}, {"home": "AU"}, {"home": "HK"}, {"home": "KR"},
    {"grp": "domestic", "home": "AU"}, {"grp": "domestic", "home": "HK"}, {"grp": "overseas", "home": "TW"},
    {"grp": "overseas", "home": "KR"},
    {"sensor_region": "AU"}, {"sensor_region": "TW"}, {"sensor_region": "HK"}, {"sensor_region": "KR"},
    {"sensor_region": "MY"}, {"sensor_region": "JP"}, {"sensor_region": ["JP", "TW"]}, {"sensor_region": ["TW", "HK"]},
    {"sensor_region": ["TW", "HK", "MY"]}, {"sensor_region": ["AU", "TW", "HK", "MY"]},
    {"sensor_region": ["KR", "JP"]}, {"sensor_region": ["HK", "JP", "MY", "KR"]}, {"sensor_region": ["AU", "KR"]},
    {"sensor_region": "KR", "sensors": 3}, {"sensor_region": "AU", "sensors": 3},
    {"src_region": "CN"}, {"src_region": "US"}, {"src_region": ["JP", "US"]}, {"src_region": "ZZ"}, {"src_region": "JP"},
    {"src_region": "US", "sensor_region": "TW"}, {"src_region": "CN", "sensor_region": "HK"},
    {"src_region": "US", "sensors": [3]}, {"src_region": "US", "sensors": [4]}, {"src_region": "JP", "sensor_region": "JP"},
    {"asn": 4713}, {"asn": [4713, 64500], "role": "probe"}, {"asn": 64500, "role": "response"},
    {"asn": 64500, "exclude": ["response"]}, {"asn": 4713, "src_region": ["US", "CN"]}, {"asn": 4713, "sensor_region": "JP"},
    {"networks": "0.0.0.0/1"}, {"networks": ["0.0.0.0/1", "2001:db8::/32"], "src_region": "US"},
    {"networks": "0.0.0.0/1", "sensor_region": ["JP", "AU"]}, {"networks": "10.1.2.3/32", "sensor_region": "KR"},
    {"sources": "10.1.2.3"}, {"sources": ["10.1.2.3", "fd00::9"], "src_region": ["CN", "JP"]},
    {"sources": "10.1.2.3", "sensors": [3]},
    {"organization": "Example K.K."}, {"organization": "AS64500", "src_region": "JP"},
    {"organization": ["Example K.K.", "AS4713"], "sensor_region": "AU"},
    {"network_group": "low"}, {"network_group": ["part", "six"], "src_region": ["CN"]}, {"network_group": "all", "sensors": 1},
    {"services": ["22/TCP", "53/UDP", "GRE"]}, {"services": "23/TCP", "sensor_region": "KR"}, {"ports_only": True},
    {"traits": "mirai"}, {"traits": ["zmap", "backscatter_rst"], "src_region": "US"},
    {"role": "probe"}, {"role": "response"}, {"role": "response", "sensor_region": "AU"}, {"role": "probe", "home": "KR"},
    {"exclude": "spoofed"}, {"exclude": ["bogon", "scanner_org", "response"]}, {"exclude": "spoofed", "src_region": "CN"},
]

# What everybody sees is compared less often.
STRIDE = {"central": 5, "jp": 2, "far": 2}

PLACES = {"sensors", "sensor_region", "grp", "home"}
SOURCES = {"src_region", "asn", "organization", "networks", "network_group", "sources"}
# Each function of schema report: its other arguments, and keys that its filter takes (None: all).
CALLS = {
    "top_services": [(None,), (3, "hosts")], "top_services_by_sensor": [(3,)], "common_services": [(3,), (None,)],
    "top_source_regions": [(), (2, "hosts")], "mirai_hosts": [(2,)], "hosts_per_day": [()], "activity_calendar": [(3,)],
    "packets_per_sensor_day": [("day",), ("hour",)], "service_trend": [("week",), ("15min",)],
    "source_region_trend": [(3, "day"), (2, "hour")], "ack_packets": [("day",), ("hour",)],
    "top_networks": [("asn", 5), ("organization", 3, "hosts"), ("prefix", 3)], "ack_organizations": [(3,)],
    "ttl_by_region": [()], "spoof_verdict": [(), (2,)], "verdict_share": [("day",)], "spoof_campaigns": [()],
    "verdict_changes": [(), (2,)],
    "coverage": [("hour",), ("month",)], "notification": [(), (3,)], "notification_excluded": [()], "payload_samples": [()],
}
OTHERS = {"source", "response_sources_called_spoofed", "catalog", "viewer", "sensors", "sensor_regions",
          "publications"}


def takes(name: str, filter: dict) -> bool:
    """Whether the filter means something there (test_report.py, test_report_input.py)."""
    if name == "coverage":
        return set(filter) <= PLACES
    if name == "spoof_campaigns":
        return set(filter) <= PLACES | SOURCES | {"services", "ports_only"}
    return name != "verdict_share" or "spoofed" not in values(filter, "exclude")


class Asks:
    """One session a viewer, and one of an analyst; the analyst's answers are kept."""

    def __init__(self, installation):
        self.sessions = {name: installation.connect("hirundo_dashboard", name) for name in VIEWERS}
        self.sessions |= {None: installation.connect("hirundo_analyst"), "owner": installation.connect()}
        self.known = {}

    def rows(self, who, name: str, *arguments) -> list[dict]:
        cursor = self.sessions[who].execute(
            f"SELECT * FROM report.{name}({', '.join(['%s'] * len(arguments))})", arguments)
        return [dict(zip([column.name for column in cursor.description], row)) for row in cursor.fetchall()]

    def all(self, name: str, *arguments) -> list[dict]:
        key = name, *arguments
        if key not in self.known:
            self.known[key] = self.rows(None, name, *arguments)
        return [dict(row) for row in self.known[key]]


@pytest.fixture(scope="module")
def world():
    return SeriesWorld(20260131, "Asia/Tokyo", SENSORS)


@pytest.fixture(scope="module")
def asks(server, template, world, tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("viewers"), server, "hirundo_viewers", template)
    with installation.connect() as c:
        world.store(c)
        c.execute("UPDATE hirundo.sensor SET public_label = region || '-' || sensor_id")
        for name, viewer in VIEWERS.items():
            if viewer.regions is not None:
                c.execute("INSERT INTO hirundo.viewer VALUES (%s, false, %s)", (name, viewer.regions))
        for sensor in (6, 7, 8, 9):
            c.execute("INSERT INTO hirundo.sensor_address (sensor_id, address, first_target, targets, valid_from)"
                      " VALUES (%s, %s, 1, 1, '2025-01-01')", (sensor, f"198.18.0.{sensor}/32"))
        for day, name, holders, cells in CAMPAIGNS:
            seen = world.start(day) + datetime.timedelta(hours=3, minutes=4, seconds=5)
            c.execute("INSERT INTO hirundo.campaign VALUES (%s, %s, 4, %s, %s, '23/TCP', %s, 64, 100, %s, 500, 'CN')",
                      (day, name, seen, seen, report_world.signature(6, 23, "probe"), holders))
            for sensor, hops in cells:
                c.execute("INSERT INTO hirundo.campaign_cell VALUES (%s, %s, %s, %s, 10, 1, 0.5, 0.5)",
                          (day, name, sensor, hops))
        for n, (at, key, packets) in enumerate(world.raw[::40]):
            c.execute("INSERT INTO hirundo.payload_sample (observed_at, content, sensor_id, dst_port, payload_length, packets,"
                      " protocol, src, payload) SELECT observed_at, %s, sensor_id, dst_port, 9, packets, coalesce(protocol, 255),"
                      " src, 'payload' FROM hirundo.observation WHERE sensor_id = %s AND observed_at = %s LIMIT 1", (n, key[0], at))
        c.execute("ANALYZE")
    asks = Asks(installation)
    yield asks
    for session in asks.sessions.values():
        session.close()
    installation.finish()


CAMPAIGNS = [(DAYS[0], "c1", 9, [(1, 11), (1, 12), (2, 11), (3, 7)]), (DAYS[1], "c1", 40, [(4, 20)]),
             (DAYS[1], "c2", 7, [(4, 20), (9, 3), (6, 8), (7, 8), (8, 9)]), (DAYS[0], "c3", 5, [(9, 5)])]
SPAN = period(DAYS)


def plain(rows: list[dict]) -> list[dict]:
    """as_of is now."""
    return [{key: value for key, value in row.items() if key != "as_of"} for row in rows]


def unordered(rows: list[dict]) -> list[str]:
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in plain(rows))


# What the viewer should get, from what the analyst gets or from the world's rows.

def want_ttls(asks, world, viewer, filter, want):
    count = by_label(world, DAYS, filter, viewer)
    covered = {}
    for label in {count.world.sensors[s] for s in count.sensors()}:
        mine = [s for s in count.sensors() if count.world.sensors[s] == label]
        covered[label] = sum(map(count.listened, mine)) / len(mine) / (86400 * len(DAYS))
    sensors = count.sensors()
    covered[None] = sum(map(count.listened, sensors)) / len(sensors) / (86400 * len(DAYS)) if sensors else None
    names = ("sensor_region", "initial_ttl", "ttl_min", "ttl_max", "ttl_p5", "ttl_p95", "hops_min", "hops_max", "sources", "packets")
    rows = [dict(zip(names, row)) for row in count.ttl_by_region()]
    return [row | {"covered": pytest.approx(covered[row["sensor_region"]]), "dataset": want[0]["dataset"]} for row in rows]


def want_coverage(asks, world, viewer, filter, want):
    rows = {}
    for row in want:
        row["region"], row["sensor"] = viewer.label(int(row["sensor"][1:]), False)
        old = rows.setdefault((row["step_start"], row["region"], row["sensor"] or ""), row)
        if old is not row:
            old["covered_seconds"] += row["covered_seconds"]
            for key in ("packets", "lost"):
                old[key] = None if old[key] is None and row[key] is None else (old[key] or 0) + (row[key] or 0)
    return [rows[key] | {"covered_seconds": pytest.approx(rows[key]["covered_seconds"])} for key in sorted(rows)]


def want_by_sensor(asks, world, viewer, filter, want):
    home = filter.get("home", "JP")
    heard = {place: False for place in services(world, DAYS, filter, viewer)}
    count = Count(world, DAYS, filter)
    for sensor in viewer.picked(filter):
        heard[viewer.label(sensor, viewer.own_sources(filter))] |= count.listened(sensor) > 0
    rows = []
    for (region, sensor), found in services(world, DAYS, filter, viewer).items():
        first = {"sensor": sensor, "public_label": sensor and f"{region}-{sensor[1:] if sensor[0] == 's' else sensor[3:]}",
                 "region": region, "domestic": None if region == "ZZ" else region == home}
        ranked = [{"rank": rank, "service": name, "packets": packets} for rank, (name, packets) in enumerate(found[:3], 1)]
        empty = {"rank": None, "service": None, "packets": 0 if heard[region, sensor] else None}
        rows += [first | row for row in ranked or [empty]]
    return [row | {"dataset": want[0]["dataset"]} for row in rows]


def want_common(asks, world, viewer, filter, want, n):
    places = services(world, DAYS, filter, viewer)
    count = Count(world, DAYS, filter)
    of = len({viewer.label(s, viewer.own_sources(filter)) for s in count.sensors() if count.listened(s) > 0})
    rows = []
    for name in {name for found in places.values() for name, _ in found}:
        seen = [(rank, packets) for found in places.values() for rank, (service, packets) in enumerate(found, 1)
                if service == name]
        ranks = [rank for rank, _ in seen if n is None or rank <= n]
        if ranks:
            rows.append({"service": name, "sensors_in_top_n": len(ranks), "of_sensors": of, "best_rank": min(ranks),
                         "worst_rank": max(ranks), "sensors_seen": len(seen), "packets": sum(p for _, p in seen),
                         "dataset": want[0]["dataset"]})
    return sorted(rows, key=lambda r: (-r["sensors_in_top_n"], r["best_rank"], r["worst_rank"], -r["packets"], order(r["service"])))


def want_campaigns(asks, world, viewer, filter, want):
    for row in want:
        cells = next(c for day, name, _, c in CAMPAIGNS if (day, name) == (row["day"], row["campaign"]))
        hops = {}
        for sensor, n in cells:
            hops.setdefault(viewer.label(sensor, False)[0], set()).add(n)
        row["hops"] = {region: sorted(found) for region, found in hops.items()}
        if viewer.regions is not None:
            for key in ("first_seen", "last_seen"):
                row[key] = row[key].replace(minute=0, second=0, microsecond=0)
    return want


def short(reason: str, verdict: str, holder: str) -> str:
    """What is left of a reason without what others' sensors saw."""
    if reason.startswith("The source address is "):
        return reason
    said = {"genuine": "are consistent", "spoofed": "are not consistent", "mixed": "are not consistent",
            "undetermined": "do not tell whether the source is one"}[verdict]
    return f"TTLs {said} with the claimed network {holder}. Who saw it how is told of sources of your regions alone."


def want_verdicts(asks, world, viewer, filter, want):
    for row in want:
        if viewer.regions is not None and row["src_region"] not in viewer.regions:
            row["regions_seen"] = row["nearest_region"] = None
            if "judged yet" not in row["reason"] and "were final" not in row["reason"]:
                row["reason"] = short(row["reason"], row["verdict"], world.holder[str(row["src"])] or "net")
    return want


def want_notification(asks, world, viewer, filter, want):
    picked = viewer.picked(filter)
    exact = all(map(viewer.own, picked))
    places = [s for s in SENSORS if viewer.own(s) or viewer.own_sources(filter)]
    hour = lambda at: at.replace(minute=0, second=0, microsecond=0)
    for row in want:
        first = asks.sessions["owner"].execute("SELECT min(first_at) FROM hirundo.source_day WHERE src = %s AND sensor_id = ANY (%s)",
                                               (row["src"], places)).fetchone()[0]
        row["first_ever"] = first
        if not exact:
            for key in ("first_seen", "last_seen", "first_ever"):
                row[key] = hour(row[key])
            row["src_ports"], row["src_ports_missing"] = None, "not shown: of others' sensors, too"
    return want


def want_samples(asks, world, viewer, filter, want):
    if viewer.regions is not None:
        for row in want:
            row["sensor"] = viewer.label(int(row["sensor"][1:]), False)[1]
    return want


def want_trend(asks, world, viewer, filter, want):
    if not viewer.means(viewer.picked(filter)):
        for row in want:
            row["packets_per_address_day"] = None
    return want


def want_networks(asks, world, viewer, filter, want):
    if not (viewer.own_sources(filter) or all(map(viewer.own, viewer.picked(filter)))):
        for row in want:
            row["name"] = None
    return want


WANT = {"ttl_by_region": want_ttls, "coverage": want_coverage, "top_services_by_sensor": want_by_sensor,
        "common_services": want_common, "spoof_campaigns": want_campaigns, "spoof_verdict": want_verdicts, "verdict_changes": want_verdicts,
        "notification": want_notification, "payload_samples": want_samples, "top_networks": want_networks,
        "service_trend": want_trend, "source_region_trend": want_trend}
# In the order of the labels, not of the sensors.
UNORDERED = {"top_services_by_sensor", "payload_samples"}


def test_no_function_is_forgotten(asks):
    names = {name for (name,) in asks.sessions["owner"].execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'report'::regnamespace")}
    assert names == {*CALLS, *OTHERS}
    granted = {name for (name,) in asks.sessions["owner"].execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'report'::regnamespace"
        " AND has_function_privilege('hirundo_dashboard', oid, 'EXECUTE')")}
    assert granted == names


@pytest.mark.parametrize("viewer", VIEWERS)
@pytest.mark.parametrize("name", CALLS)
def test_what_a_viewer_gets(asks, world, name, viewer):
    viewer = VIEWERS[viewer]
    given = denied = 0
    for number, filter in enumerate(FILTERS):
        if not takes(name, filter) or number % STRIDE.get(viewer.name, 1):
            continue
        picked = viewer.picked(filter)
        calls = CALLS[name] if name == "top_networks" else CALLS[name][number % len(CALLS[name]):][:1]
        for more in calls:
            arguments = SPAN, json.dumps(filter), *more
            refusal = viewer.refusal(name, filter, picked, more[0] if name == "top_networks" else None)
            if refusal is None and 77 in values(filter, "sensors"):
                with pytest.raises(psycopg.errors.InvalidParameterValue, match="no sensor has the id 77"):
                    asks.rows(viewer.name, name, *arguments)
            elif refusal is not None:
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match=refusal):
                    print(filter, asks.rows(viewer.name, name, *arguments))
                denied += 1
            else:
                want = asks.all(name, *arguments)
                extra = more if name == "common_services" else ()
                want = plain(WANT[name](asks, world, viewer, filter, want, *extra) if name in WANT and want else want)
                got = plain(asks.rows(viewer.name, name, *arguments))
                if name in UNORDERED:
                    assert unordered(got) == unordered(want), filter
                else:
                    assert got == want, filter
                given += 1
    assert (given > 0) == (name not in WHOLE or viewer.pool()[1]) and (denied > 0) == (viewer.regions is not None)


# Those without a filter.

@pytest.mark.parametrize("viewer", VIEWERS)
def test_source(asks, world, viewer):
    viewer = VIEWERS[viewer]
    shown = hidden = 0
    for src in world.sources[::3]:
        own = viewer.regions is None or world.region[src] in viewer.regions
        want = {}
        for row in asks.all("source", SPAN, src):
            sensor = int(row["sensor"][1:])
            mine = viewer.own(sensor)
            if not (mine or own):
                hidden += 1
                continue
            shown += 1
            row["sensor_region"], row["sensor"] = SENSORS[sensor], viewer.label(sensor, True)[1]
            if not mine:
                for key in ("first_seen", "last_seen"):
                    row[key] = row[key].replace(minute=0, second=0, microsecond=0)
            if not own:
                row["expected_hops"] = None
                if "judged yet" not in row["reason"] and "were final" not in row["reason"]:
                    row["reason"] = short(row["reason"], row["verdict"], row["holder"])
            old = want.setdefault((row["day"], row["sensor_region"], row["sensor"] or "", -1 if row["track"] is None else row["track"]), row)
            if old is not row:
                for key in ("packets", "responses"):
                    old[key] += row[key]
                for key in ("services", "ttls"):
                    old[key] = {k: old[key].get(k, 0) + row[key].get(k, 0) for k in {*old[key], *row[key]}}
                old["traits"] = sorted({*old["traits"], *row["traits"]})
                old["hops"] = None  # the median of both
        got = asks.rows(viewer.name, "source", SPAN, src)
        keys = [(row["day"], row["sensor_region"], row["sensor"] or "", -1 if row["track"] is None else row["track"]) for row in got]
        assert sorted(keys) == sorted(want) and len(set(keys)) == len(keys)
        for key, row in zip(keys, got):
            if want[key]["hops"] is None:
                each = sorted(h for ttl, n in row["ttls"].items() for h in [report_world.initial_ttl(int(ttl)) - int(ttl)] * n)
                want[key]["hops"] = each[(len(each) - 1) // 2]
            assert row == want[key], src
    assert shown and (hidden or viewer.regions is None)


@pytest.mark.parametrize("viewer", VIEWERS)
def test_responses(asks, viewer):
    viewer = VIEWERS[viewer]
    if viewer.refusal("response_sources_called_spoofed", {}, [*SENSORS]):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="would be left"):
            asks.rows(viewer.name, "response_sources_called_spoofed", SPAN)
    else:
        assert asks.rows(viewer.name, "response_sources_called_spoofed", SPAN) == \
            asks.all("response_sources_called_spoofed", SPAN)


@pytest.mark.parametrize("viewer", VIEWERS)
def test_what_may_be_picked(asks, world, viewer):
    viewer = VIEWERS[viewer]
    want = [(s, f"{region}-{s}", f"s{s}" if viewer.regions is None else None, region, region == "JP")
            for s, region in sorted(SENSORS.items(), key=lambda i: (i[1] != "JP", i[1], i[0])) if viewer.own(s)]
    assert [tuple(row.values()) for row in asks.rows(viewer.name, "sensors")] == want
    pool = {SENSORS[s] for s in viewer.pool()[0]}
    for row in asks.rows(viewer.name, "sensor_regions"):
        region = row["region"]
        assert (row["domestic"], row["own"], row["sensors"], row["shown"]) == (
            region == "JP", viewer.regions is None or region in viewer.regions, [*SENSORS.values()].count(region), region not in pool)
        # And so it is.
        ask = lambda: asks.rows(viewer.name, "activity_calendar", SPAN, json.dumps({"sensor_region": region}))
        if row["shown"]:
            assert ask()
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ask()
    row, = asks.rows(viewer.name, "viewer")
    assert (row["name"], row["everything"], row["regions"], row["home_region"], row["zone"]) == (
        viewer.name, viewer.regions is None, viewer.regions or [], "JP", "Asia/Tokyo")
    assert (row["first_day"], row["last_day"], row["raw_from"]) == (min(world.days), max(world.days), min(world.days))
    assert "delegated" in row["dataset"]
    assert len(asks.rows(viewer.name, "catalog")) == len(CALLS) + len(OTHERS)


def test_raw_from(asks):
    """The first reporting day whose rows are all there: frozen days are UTC's, which end in the morning of Tokyo."""
    owner = asks.sessions["owner"]
    for zone, want in (("UTC", datetime.date(2026, 2, 1)), ("Asia/Tokyo", datetime.date(2026, 2, 2)),
                       ("America/New_York", datetime.date(2026, 2, 1))):
        with owner.transaction(force_rollback=True):
            owner.execute("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) VALUES (1, '2026-01-31', 1, 1)")
            owner.execute("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (zone,))
            assert owner.execute("SELECT raw_from FROM report.viewer()").fetchone() == (want,)


def test_stored_answers_keep_their_scope(asks):
    """Stored answers are of all sensors that the filter picks; who may not have these gets none."""
    owner = asks.sessions["owner"]
    spoilt = json.dumps([{"day": "2026-01-30", "packets": 4711}])
    with owner.transaction(force_rollback=False):
        for number, filter in enumerate(({}, {"sensor_region": "KR"}, {"sensor_region": "HK"})):
            owner.execute("INSERT INTO hirundo.stored_answer VALUES (0, now(), %s, %s, 'activity_calendar', hirundo.answer_basis(),"
                          " %s, %s)", (SPAN, SPAN, json.dumps({"filter": filter, "min_hosts": 1}), spoilt))
    try:
        for name, viewer in VIEWERS.items():
            for filter in ({}, {"sensor_region": "KR"}, {"sensor_region": "HK"}):
                picked = [s for s, region in SENSORS.items() if region in (values(filter, "sensor_region") or SENSORS.values())]
                ask = lambda: asks.rows(name, "activity_calendar", SPAN, json.dumps(filter), 1)
                if viewer.refusal("activity_calendar", filter, picked):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        ask()
                else:
                    assert [row["packets"] for row in ask()] == [4711]
    finally:
        owner.execute("DELETE FROM hirundo.stored_answer")


def test_no_viewer_no_answer(asks):
    """Every function, before it looks at its arguments."""
    with asks.sessions["central"].transaction(force_rollback=True):
        asks.sessions["central"].execute("SET LOCAL hirundo.viewer = ''")
        for name, more in [*((n, calls[0]) for n, calls in CALLS.items()), *((n, ()) for n in OTHERS)]:
            arguments = () if name in OTHERS - {"source", "response_sources_called_spoofed"} else (
                (SPAN, "192.0.2.1") if name == "source" else (SPAN,) if name in OTHERS else (SPAN, '{"x": 1}', *more))
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no viewer is named"), \
                    asks.sessions["central"].transaction():
                asks.rows("central", name, *arguments)


def test_sources_are_the_viewer_s_own(asks, world):
    """Whatever is asked: no address of another region that the viewer's sensors did not see."""
    inet = [name for (name,) in asks.sessions["owner"].execute(
        "SELECT proname FROM pg_proc, unnest(proallargtypes[pronargs + 1:]) AS t (type)"
        " WHERE pronamespace = 'report'::regnamespace AND t.type IN ('inet'::regtype, 'cidr'::regtype)")]
    assert sorted(inet) == ["notification", "payload_samples", "spoof_verdict", "verdict_changes"]
    for name in ("au", "lone"):
        viewer = VIEWERS[name]
        seen = {src for s, day, src, *_ in world.ttl if viewer.own(s)} | {key[3] for key in world.source if viewer.own(key[0])}
        allowed = seen | {src for src in world.sources if world.region[src] in viewer.regions}
        found = set()
        for function, filter in itertools.product(inet, FILTERS):
            try:
                rows = asks.rows(name, function, SPAN, json.dumps(filter))
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
                continue
            found |= {str(row["src"]) for row in rows}
        assert found and found <= allowed and found - {src for src in world.sources if world.region[src] in viewer.regions}
