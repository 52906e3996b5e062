"""hirundo-admin report: what is published equals what the reports say and what a recount says, stays as it is, and
tells nothing that the outside must not know."""
import csv
import datetime
import io
import json
import re
import shutil
import statistics
import xml.etree.ElementTree as ElementTree
from collections import defaultdict

import psycopg
import pytest

from harness.documents import Page, count, hosts, markdown_tables, mean, share
from harness.hirundo import Installation
from harness.quarter import (DOMESTIC, HOME, MARK, MARK_ALONE, MARK_ALONE_AT, MARK_AT, ORGANIZATIONS, SENSORS, ZONE,
                             Quarter)
from harness.report_world import host, initial_ttl
from harness.rollups import add_up

PERIOD = "[2025-01-01,2025-04-01)"
MONTHS = {"2025-01": "Jan 2025", "2025-02": "Feb 2025", "2025-03": "Mar 2025"}


class Published:
    """A quarter in a database, and the files of a run."""

    def __init__(self, installation, folder):
        self.installation, self.folder = installation, folder

    def run(self, *more, name=Quarter.name, check=True):
        return self.installation.admin.run("report", "quarter", name, "--output", self.folder, *more, check=check)

    def read(self, suffix: str) -> str:
        return (self.folder / f"{Quarter.name}{suffix}").read_text()

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.folder.iterdir())}

    def csv(self, sql: str) -> list[dict[str, str]]:
        """Rows of a query, as CSV has them."""
        with self.installation.connect() as c, c.cursor().copy(f"COPY ({sql}) TO STDOUT (FORMAT csv, HEADER)") as copy:
            text = b"".join(copy).decode()
        return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def quarter():
    return Quarter(20250101)


@pytest.fixture(scope="module")
def filled_template(server, template, quarter, tmp_path_factory):
    """A database with the quarter's rows, to copy."""
    installation = Installation(tmp_path_factory.mktemp("quarter"), server, "hirundo_quarter", template)
    with installation.connect() as c:
        quarter.store(c)
        c.execute("ANALYZE")
    yield "hirundo_quarter"
    installation.finish()


@pytest.fixture(scope="module")
def published(server, filled_template, tmp_path_factory):
    """Published once; tests read the files."""
    folder = tmp_path_factory.mktemp("published")
    published = Published(Installation(folder, server, "hirundo_published", filled_template), folder / "out")
    published.run()
    yield published
    published.installation.finish()


@pytest.fixture
def fresh(server, filled_template, tmp_path):
    """One that the test may change."""
    published = Published(Installation(tmp_path, server, "hirundo_publish", filled_template), tmp_path / "out")
    yield published
    published.installation.finish()


@pytest.fixture(scope="module")
def page(published):
    return Page(published.read(".html"))


@pytest.fixture(scope="module")
def names(published) -> dict[str, str]:
    """Of regions (JP) and of services (23/TCP): what it is scanned for, else IANA's."""
    return {**{row["region"]: row["name"] for row in published.csv("SELECT * FROM hirundo.region_name")},
            **{row["service"]: row["common_name"] or row["name"] for row in published.csv("SELECT * FROM hirundo.service_name")}}


def rows(page, section):
    return page.tables[section][1:]


# The tables equal the reports, and a recount.

def sightings(quarter, regions) -> dict:
    """Initial TTL -> sorted TTLs, hosts; None: of all."""
    ttls, found = defaultdict(list), defaultdict(set)
    for sensor, day, src, _, ttl in quarter.ttl:
        if SENSORS[sensor] in regions and day in quarter.days:
            for key in (initial_ttl(ttl), None):
                ttls[key].append(ttl)
                found[key].add(host(src))
    return {key: (sorted(ttls[key]), len(found[key])) for key in ttls}


def ttl_rows(quarter, name: str, regions, classes: bool) -> list[list[str]]:
    """By class of initial TTLs, or one row over all."""
    want = []
    for initial, (ttls, n) in sorted(sightings(quarter, regions).items(), key=lambda item: item[0] or 0):
        if (initial is not None) == classes:
            rank = lambda percent: str(ttls[-(-len(ttls) * percent // 100) - 1])
            want.append([name, str(initial or "any"), rank(5), rank(95), hosts(n)])
    return want


def test_ttl(published, page, quarter):
    """Regions with one sensor are together."""
    assert rows(page, "ttl") == [
        *ttl_rows(quarter, "Japan", ["JP"], True),
        *ttl_rows(quarter, "one sensor each: 3 regions", ["AU", "KR", "TW"], False),
        *ttl_rows(quarter, "all", set(SENSORS.values()), False)]
    reported = published.csv(f"SELECT * FROM report.ttl_by_region('{PERIOD}')")
    assert [row for row in rows(page, "ttl") if row[0] in ("Japan", "all")] == [
        [{"JP": "Japan"}.get(row["sensor_region"], "all"), row["initial_ttl"] or "any", row["ttl_p5"], row["ttl_p95"],
         hosts(row["sources"])] for row in reported if row["sensor_region"] in ("JP", "")]


def test_ttl_of_single_sensors(fresh, quarter):
    """Told by region where the operator says so; a region that is the only such one is else left out."""
    fresh.run("--single-sensor-regions")
    names = {"AU": "Australia", "JP": "Japan", "KR": "South Korea", "TW": "Taiwan"}
    assert rows(Page(fresh.read(".html")), "ttl") == sum(
        [ttl_rows(quarter, name, [region], True) for region, name in names.items()], []) + ttl_rows(
        quarter, "all", set(SENSORS.values()), False)
    with fresh.installation.connect() as c:
        c.execute("UPDATE hirundo.sensor SET region = 'JP' WHERE sensor_id IN (4, 5)")
    fresh.run("--new-edition")
    assert {row[0] for row in rows(Page(fresh.read(".html")), "ttl")} == {"Japan", "all"}


def week_of(day, quarter) -> datetime.date:
    return max(day - datetime.timedelta(days=day.weekday()), quarter.days[0])


def test_verdicts(published, page, quarter):
    """Of a week the day with the lowest score decides: spoofed, then undetermined, then genuine."""
    calls = defaultdict(set)
    for (day, src), verdict in quarter.verdict.items():
        calls[week_of(day, quarter), host(src)].add(verdict)
    counted = defaultdict(lambda: dict.fromkeys(["spoofed", "genuine", "undetermined"], 0))
    for (week, _), verdicts in calls.items():
        counted[week][next(v for v in ("spoofed", "undetermined", "genuine") if v in verdicts)] += 1
    assert len(counted) == 14
    assert [row[:4] for row in rows(page, "verdicts")] == [
        [str(week), *(hosts(n) for n in counted[week].values())] for week in sorted(counted)]
    reported = published.csv(f"SELECT *, (step_start AT TIME ZONE '{ZONE}')::date AS week, interval[1] AS low,"
                             f" interval[2] AS high FROM report.verdict_share('{PERIOD}', '{{}}', 'week')")
    fewest = [min(int(row["spoofed"]), int(row["genuine"])) for row in reported]
    assert rows(page, "verdicts") == [
        [row["week"], hosts(row["spoofed"]), hosts(row["genuine"]), hosts(row["undetermined"]), share(row["share"], n),
         share(row["low"], n), share(row["high"], n)] for row, n in zip(reported, fewest)]
    assert rows(page, "spoofed-share") == [[row["week"], share(row["share"], n)] for row, n in zip(reported, fewest)]
    assert "Verdicts of 88 of 90 days were final" in page.text


def test_campaigns(published, page, quarter):
    with published.installation.connect() as c:
        found = c.execute("SELECT to_char(day, 'YYYY-MM'), day, claimed_holders, packets FROM hirundo.campaign").fetchall()
    want = []
    for month, shown in MONTHS.items():
        mine = [row[1:] for row in found if row[0] == month]
        days = sum(day.strftime("%Y-%m") == month for day in quarter.days)
        want.append([shown, str(days), str(len({row[0] for row in mine})), str(len(mine)), "1" if mine else "0",
                     count(sum(row[2] for row in mine)), count(max(row[1] for row in mine))])
    assert rows(page, "campaigns") == want


def test_coverage(published, page, quarter):
    want = []
    for group, sensors in (("domestic", DOMESTIC), ("overseas", [s for s in SENSORS if s not in (*DOMESTIC, 7)])):
        for month, shown in MONTHS.items():
            days = [day for day in quarter.days if day.strftime("%Y-%m") == month]
            listened = [(s, day) for s in sensors for day in days if not quarter.out(s, day)]
            packets = sum(n for (sensor, day, *_), n in quarter.rows.items() if (sensor, day) in set(listened))
            want.append([group, shown, str(len({s for s, _ in listened})), mean(len(listened)),
                         share(len(listened) / len(days) / len(sensors)), count(packets), count(len(listened))])
    assert rows(page, "coverage") == want


def test_address_data(page):
    assert rows(page, "address-data") == [["rir", "delegated <extended>", "2024-12-31", "2025-02-01", "2"]]


# Rankings.

def rank(counted: dict) -> list:
    """Names, most packets first; ties by protocol and port."""
    def order(name):
        port, _, protocol = name.partition("/")
        return (["ICMP", "TCP", "UDP", "GRE"].index(protocol or port), int(port) if protocol else 0)
    return sorted(counted, key=lambda name: (-counted[name][0], order(name) if re.match("[0-9]+/|ICMP|GRE", name) else name))


def table_of(names: dict, now: dict, before: dict, n: int = 5) -> list[list[str]]:
    """Rank, what, its name, packets, hosts, share, rank before."""
    whole, earlier, want = sum(packets for packets, _ in now.values()), rank(before), []
    for i, name in enumerate(rank(now)[:n]):
        packets, found = now[name]
        previous = str(earlier.index(name) + 1) if name in before else "not seen"
        want.append([str(i + 1), *(["not shown"] * 2 if found < 5 else [name, names.get(name, "–")]), count(packets, found), hosts(found),
                     share(packets / whole, found), "< 5 hosts" if found < 5 and previous != "not seen" else previous])
    return want


def ports_only(row):
    return row[2] if row[2][0].isdigit() else None


def test_top_services(page, quarter, names):
    want = table_of(names, quarter.packets(quarter.days, DOMESTIC, ports_only), quarter.packets(quarter.before, DOMESTIC, ports_only))
    assert rows(page, "top-services") == want
    assert want[0][1:4] == ["not shown", "not shown", "< 5 hosts"]  # the mark


def test_home_services(page, quarter, names):
    key = lambda row: row[2] if quarter.region[row[3]] == HOME else None
    want = table_of(names, quarter.packets(quarter.days, DOMESTIC, key), quarter.packets(quarter.before, DOMESTIC, key))
    assert rows(page, "home-services") == want


def test_top_regions(page, quarter, names):
    key = lambda row: quarter.region[row[3]] or "ZZ"
    want = table_of(names, quarter.packets(quarter.days, DOMESTIC, key), quarter.packets(quarter.before, DOMESTIC, key))
    assert rows(page, "top-regions") == want


# Over time.

def by_day(quarter, sensors, key) -> dict:
    """day -> name -> packets, hosts"""
    return {day: quarter.packets([day], sensors, key) for day in quarter.days}


def trend(quarter, names, key) -> list[list[str]]:
    """Packets per address and day at domestic sensors; each has one address."""
    want = []
    for day, counted in by_day(quarter, DOMESTIC, key).items():
        listening = sum(not quarter.out(sensor, day) for sensor in DOMESTIC)
        want.append([str(day), *(mean(counted.get(name, (0, 0))[0] / listening, counted.get(name, (0, 0))[1])
                                 for name in names)])
    return want


def test_service_trend(page, quarter):
    names = rank(quarter.packets(quarter.days, DOMESTIC, ports_only))[:5]
    assert page.tables["service-trend"] == [
        ["Day", "not shown", *names[1:]], *trend(quarter, names, ports_only)]
    assert names[0] == MARK and {row[1] for row in rows(page, "service-trend")} == {"< 5 hosts"}


def test_region_trend(page, quarter, names):
    key = lambda row: quarter.region[row[3]] or "ZZ"
    top = rank(quarter.packets(quarter.days, DOMESTIC, key))[:5]
    assert page.tables["region-trend"] == [["Day", *(names[region] for region in top)], *trend(quarter, top, key)]
    assert {cell for row in rows(page, "region-trend") for cell in row} > {"< 5 hosts"}


KINDS = {"ack": "ACK", "synack": "SYN-ACK", "rstack": "RST-ACK"}


def ack_of(quarter):
    return lambda row: row[6] if row[6] and quarter.region[row[3]] == HOME else None


def test_ack(page, quarter):
    counted = by_day(quarter, SENSORS, ack_of(quarter))
    assert page.tables["ack"] == [["Day", *KINDS.values()], *(
        [str(day), *(count(*kinds.get(kind, (0, 0))) for kind in KINDS)] for day, kinds in counted.items())]


def test_ack_days(page, quarter):
    totals = {day: (sum(packets for packets, _ in kinds.values()), max((n for _, n in kinds.values()), default=0))
              for day, kinds in by_day(quarter, SENSORS, ack_of(quarter)).items()}
    median = statistics.median(packets for packets, _ in totals.values())
    top = sorted((day for day in totals if totals[day][1] >= 5), key=lambda day: (-totals[day][0], day))[:6]
    assert rows(page, "ack-days") == [[str(day), count(totals[day][0]), mean(totals[day][0] / median)] for day in top]
    assert top


def test_ack_organizations(page, quarter):
    label = lambda src: quarter.organization[src] or f"AS{quarter.asn[src]}"
    key = lambda row: (label(row[3]), row[6]) if ack_of(quarter)(row) else None
    counted = quarter.packets(quarter.days, SENSORS, key)
    totals = defaultdict(int)
    for (name, _), (packets, _) in counted.items():
        totals[name] += packets
    want, whole = [], sum(totals.values())
    for i, name in enumerate(sorted(totals, key=lambda name: (-totals[name], name))[:10]):
        parts = {kind: counted[name, kind] for kind in KINDS if (name, kind) in counted}
        numbers = [n for _, n in parts.values()]
        for kind, (packets, n) in parts.items():
            want.append([str(i + 1), name if max(numbers) >= 5 else "not shown", KINDS[kind], count(packets, n), hosts(n),
                         share(packets / whole, n), share(totals[name] / whole, min(numbers))])
    assert rows(page, "ack-organizations") == want
    assert set(ORGANIZATIONS.values()) <= {row[1] for row in want} and any(row[1].startswith("AS") for row in want)


def test_means(page, quarter):
    """Packets by days that addresses were listened on: the outage of a sensor changes no mean."""
    def of(days, sensors):
        listened = sum(not quarter.out(s, day) for s in sensors for day in days)
        return sum(n for (s, day, *_), n in quarter.rows.items() if s in sensors and day in set(days)) / listened
    figure, table = [], []
    for month, shown in MONTHS.items():
        figure.append([shown])
        for name, sensors in (("domestic", DOMESTIC), ("overseas", [4, 5, 6])):
            now = of([day for day in quarter.days if day.strftime("%Y-%m") == month], sensors)
            before = of([day for day in quarter.year_before if day.strftime("%m") == month[-2:]], sensors)
            figure[-1] += [mean(now), mean(before)]
            table.append([name, shown, mean(now), mean(before), mean(now), mean(before), share(now / before - 1)])
    assert rows(page, "means") == figure
    assert rows(page, "means-year") == sorted(table, key=lambda row: row[0])


def mirai_by_day(quarter) -> dict:
    """day -> region -> hosts"""
    found = defaultdict(lambda: defaultdict(set))
    for sensor, day, _, src, traits, *_ in quarter.rows:
        if sensor in DOMESTIC and day in quarter.days and traits & 1 << 7:
            found[day][quarter.region[src] or "ZZ"].add(host(src))
    return found


def test_mirai(page, quarter, names):
    found = mirai_by_day(quarter)
    overall, packets = defaultdict(set), defaultdict(int)
    for regions in found.values():
        for region, some in regions.items():
            overall[region] |= some
    for (sensor, day, _, src, traits, *_), n in quarter.rows.items():
        if sensor in DOMESTIC and day in quarter.days and traits & 1 << 7:
            packets[quarter.region[src] or "ZZ"] += n
    top = sorted(overall, key=lambda region: (-len(overall[region]), -packets[region], region))[:5]
    assert [page.tables["mirai"][0][1:], len(rows(page, "mirai"))] == [[names[region] for region in top], 90]
    assert rows(page, "mirai") == [[str(day), *(hosts(len(found[day][region])) for region in top)] for day in quarter.days]
    want = []
    for day in quarter.days:
        parts = [len(found[day][region]) for region in top]
        total = sum(map(len, found[day].values()))
        rest = total - sum(n for n in parts if n >= 5)
        # Neither a part nor what is left of the whole may be found out.
        want.append([str(day), "< 5" if total < 5 else "< 5 hosts" if min(parts) < 5 and rest < 5 else str(total),
                     hosts(sum(parts)) if sum(parts) < 5 or min(parts) >= 5 else "< 5 hosts"])
    assert [[cell.removesuffix(" hosts") for cell in row] for row in rows(page, "mirai-total")] == [
        [cell.removesuffix(" hosts") for cell in row] for row in want]


def seen_at(quarter) -> dict:
    """sensor -> service -> packets, hosts"""
    return {s: quarter.packets(quarter.days, [s]) for s in SENSORS if s != 7}


def told(at: dict, service: str) -> bool:
    """Whether two sensors saw it from enough hosts."""
    return sum(services.get(service, (0, 0))[1] >= 5 for services in at.values()) >= 2


def test_sensors(published, page, quarter):
    at = seen_at(quarter)
    with published.installation.connect() as c:
        labels = {int(s): label for s, label in
                  c.execute("SELECT arguments->'labels' FROM hirundo.publication").fetchone()[0].items()}
    want = {}
    for sensor, services in at.items():
        names = [name for name in rank(services) if told(at, name) and services[name][1] >= 5]
        want[labels[sensor]] = [f"{name} ({services[name][0]:,})" for name in names[:10]]
    got = {row[0]: [cell for cell in row[1:] if cell != "–"] for row in rows(page, "sensors")}
    assert got == want and sum(map(len, want.values())) >= 50
    assert [row[0] for row in rows(page, "sensors")] == sorted(want)
    # The marks would have been first.
    assert [rank(at[sensor])[0] for sensor in (MARK_AT, MARK_ALONE_AT)] == [MARK, MARK_ALONE]


def test_common(page, quarter):
    at = seen_at(quarter)
    ranks = {sensor: rank(services) for sensor, services in at.items()}
    want = []
    for name in {name for names in ranks.values() for name in names[:10]}:
        places = [names.index(name) + 1 for names in ranks.values() if name in names[:10]]
        seen = sum(name in names for names in ranks.values())
        if told(at, name):
            want.append([name, str(len(places)), str(seen), "6", str(min(places)), str(max(places))])
    got = rows(page, "common")
    assert sorted(got) == sorted(want)
    assert [row[1] for row in got] == sorted((row[1] for row in want), key=int, reverse=True)


def test_address_data_are_told(page, published):
    """Where they are used first, and again only where they are others."""
    text = published.csv(f"SELECT max(dataset) AS dataset FROM report.top_services('{PERIOD}')")[0]["dataset"]
    told = re.findall(r"Address data (\d[^.]*\.)", "".join(page.words))
    assert told == [f"{text}."] and text.startswith("2: rir delegated <extended> of 2025-02-01 (older rows: 1")


# The documents.

def test_markdown_has_the_same_tables(published, page):
    assert markdown_tables(published.read(".md")) == list(page.tables.values())


def test_page_needs_nothing_else(page):
    assert not re.search(r"https?:|//\w|@import|url\(|<script|<link|<img|<iframe| src=| on\w+=", page.text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        if tag == "a":
            assert attributes["href"].removeprefix("#") in ids
        for name in ("aria-labelledby",):
            assert set(attributes.get(name, "").split()) <= set(ids)


def test_page_is_accessible(page):
    """Headings without a step left out, a scope for every header cell, a caption for every table, a name and a
    description for every chart."""
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.tags if tag == "th")
    assert sum(tag == "table" for tag, _ in page.tags) == sum(tag == "caption" for tag, _ in page.tags) >= 6
    assert [attributes.get("lang") for tag, attributes in page.tags if tag == "html"] == ["en"]
    assert len(page.svgs) >= 1
    for svg in page.svgs:
        assert svg.find("title").text and len(svg.find("desc").text) > 30 and svg.get("role") == "img"


def test_figures_are_files_too(published, page):
    found = {path.name: ElementTree.parse(path).getroot() for path in published.folder.glob("*.svg")}
    assert len(found) == len(page.svgs)
    assert all(root.tag == "{http://www.w3.org/2000/svg}svg" for root in found.values())
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", published.read(".md")):
        found.pop(name)
    assert found == {}


def test_escaping(page, published):
    assert "delegated &lt;extended&gt;" in page.text and "<extended>" not in page.text
    assert "delegated \\<extended\\>" in published.read(".md")


# What the outside must not know.

def test_no_secrets(published, quarter):
    for name, text in published.files().items():
        assert "secret-" not in text and "203.0.113." not in text, name
        found = set(re.findall(r"\b(?:\d{1,3}\.){3}\d{1,3}\b", text))
        assert not found & set(quarter.sources), name
        assert not re.search(r"\b[0-2]\d:(?!00\b)[0-5]\d", text), name  # hours, not times
        assert "31337" not in text and "31338" not in text, name  # marks of a scanner
        assert not re.search(r"(?i)sequence number \d|\bip id\b|seq=", text), name


# What is published stays.

def test_again_nothing_changes(fresh):
    fresh.run()
    first = fresh.files()
    run = fresh.run()
    assert "edition 1, is as published" in run.stdout and "0 values differ" in run.stdout
    again = fresh.files()
    assert {name: text for name, text in again.items() if "-changes" not in name} == first
    assert "0 values differ: edition 1 beside now" in again["2025Q1-changes.md"]


def page_caption(text: str, section: str) -> str:
    return Page(text).captions[section]


def change(fresh) -> None:
    """A loss record of March that came late."""
    with fresh.installation.connect() as c:
        c.execute("UPDATE hirundo.coverage SET lost = lost + 1000 WHERE sensor_id = 1 AND bucket = '2025-03-09 15:00Z'")
        add_up(c)


def test_what_came_late_changes_what_is_now_alone(fresh):
    fresh.run()
    first = fresh.files()
    lost = {row[0]: row[6] for row in rows(Page(first["2025Q1.html"]), "coverage") if row[1] == "Mar 2025"}
    change(fresh)
    run = fresh.run()
    again = fresh.files()
    assert {name: text for name, text in again.items() if "-changes" not in name} == first
    assert "now 1 value differs" in run.stdout
    now = f"{int(lost['domestic']) + 1000:,}"
    label = re.search(r"Table \d+(?=\.)", page_caption(first["2025Q1.html"], "coverage"))[0]
    line = [label, "domestic, Mar 2025", "Lost", lost["domestic"], now]
    assert Page(again["2025Q1-changes.html"]).tables["changes"][1:] == [line]
    assert markdown_tables(again["2025Q1-changes.md"])[0][1:] == [line]


def test_late_packets(fresh, quarter):
    """In every table that counts them, each beside what was published."""
    fresh.run()
    first = Page(fresh.read(".html"))
    sensor, day, service, src, traits, initial, ack = next(
        row for row in quarter.rows if row[0] in DOMESTIC and row[1] == datetime.date(2025, 3, 10) and row[2] == "23/TCP")
    with fresh.installation.connect() as c:
        assert c.execute("UPDATE hirundo.source_day SET packets = packets + 10000 WHERE (sensor_id, day, service, src, traits,"
                         " initial_ttl) = (%s, %s, %s, %s, %s, %s) AND ack_kind IS NOT DISTINCT FROM %s",
                         (sensor, day, service, src, traits, initial, ack)).rowcount == 1
        assert c.execute("UPDATE hirundo.service_day SET packets = packets + 10000 WHERE (sensor_id, day, service, role) ="
                         " (%s, %s, %s, 'probe')", (sensor, day, service)).rowcount == 1
        assert c.execute("UPDATE hirundo.coverage SET packets = packets + 10000 WHERE sensor_id = %s AND bucket ="
                         " '2025-03-09 15:00Z'", (sensor,)).rowcount == 1
        add_up(c)
    fresh.run()
    assert Page(fresh.read(".html")).tables == first.tables
    changes = {tuple(row[:3]): row[3:] for row in Page(fresh.read("-changes.html")).tables["changes"][1:]}
    tables = {re.match(r"(?:Values of )?((?:Table|Figure) \d+)", first.captions[name])[1]: name for name in first.tables}
    before = next(row[3] for row in rows(first, "top-services") if row[1] == "23/TCP")
    assert changes["Table 1", "23/TCP", "Packets"] == [before, f"{int(before.replace(',', '')) + 10000:,}"]
    assert {tables[label] for label, *_ in changes} == {
        "top-services", "service-trend", "top-regions", "region-trend", "means", "means-year", "sensors", "coverage"}
    # What did not change is not there: one day of a trend, one month.
    assert {item for label, item, _ in changes if tables[label] == "service-trend"} == {"2025-03-10, 23/TCP"}
    assert {item for label, item, _ in changes if tables[label] == "coverage"} == {"domestic, Mar 2025"}


def test_new_edition(fresh):
    """What is now becomes the publication, which says what it says otherwise than the one before; that stays."""
    fresh.run()
    with fresh.installation.connect() as c:
        before = c.execute("SELECT * FROM hirundo.publication_result ORDER BY section").fetchall()
    change(fresh)
    run = fresh.run("--new-edition")
    assert "2025Q1, edition 2, is published" in run.stdout
    text = fresh.read(".html")
    page = Page(text)
    assert "Edition 2, published" in text and "1 value differs: edition 1 beside edition 2" in text
    assert len(page.tables["changes"]) == 2
    with fresh.installation.connect() as c:
        assert c.execute("SELECT * FROM hirundo.publication_result WHERE edition = 1 ORDER BY section").fetchall() == before
        assert c.execute("SELECT edition, name, published_by, period::text FROM hirundo.publication ORDER BY 1").fetchall() == [
            (1, "2025Q1", "postgres", PERIOD), (2, "2025Q1", "postgres", PERIOD)]
    files = fresh.files()
    assert "edition 2, is as published" in fresh.run().stdout
    assert {name: text for name, text in fresh.files().items() if "-changes" not in name} == files


def test_reload_of_address_data_changes_nothing(fresh):
    fresh.run()
    first = fresh.files()
    with fresh.installation.connect() as c:
        c.execute("UPDATE hirundo.enrichment_dataset SET replaced_at = now() WHERE replaced_at IS NULL")
        c.execute("INSERT INTO hirundo.enrichment_dataset (dataset_id, kind, name, source_date, checksum, ranges, with_region,"
                  " with_asn, address_ranges, forced) VALUES (3, 'rir', 'newer', '2026-01-01', '', 1, 1, 0, 1, false)")
    assert "0 values differ" in fresh.run().stdout
    assert {name: text for name, text in fresh.files().items() if "-changes" not in name} == first


def test_settings_changed_since(fresh):
    """The home region that counted then counts on."""
    fresh.run()
    first = fresh.files()
    with fresh.installation.connect() as c:
        c.execute("UPDATE hirundo.setting SET value = 'AU' WHERE name = 'home_region'")
    assert "0 values differ" in fresh.run().stdout
    assert {name: text for name, text in fresh.files().items() if "-changes" not in name} == first


def test_published_outlives_rollups(fresh):
    """What can not be counted any more can still be shown, and the error is told."""
    fresh.run()
    first = fresh.files()
    shutil.rmtree(fresh.folder)
    with fresh.installation.connect() as c:
        c.execute("INSERT INTO hirundo.rollup_dropped VALUES ('2025-01-01', now())")
    run = fresh.run(check=False)
    assert run.returncode == 65 and "rollups of 2025-01 were dropped" in run.stderr and "can not be compared" in run.stderr
    assert fresh.files() == first
    assert fresh.run("--new-edition", check=False).returncode == 65


def test_what_is_kept(published, quarter):
    with published.installation.connect("hirundo_analyst") as c:
        row = c.execute("SELECT arguments, verdicts, dataset_ids, as_of <= published_at, program_version"
                        " FROM hirundo.publication").fetchone()
        sections = c.execute("SELECT section, call, rows FROM hirundo.publication_result").fetchall()
    arguments, verdicts, dataset_ids, in_order, version = row
    assert (arguments["home"], arguments["zone"], arguments["single_regions"]) == (HOME, ZONE, False)
    assert {int(number): label.split()[0] for number, label in arguments["labels"].items()} == {
        number: "Domestic" if number in DOMESTIC else "Overseas" for number in SENSORS if number != 7}
    assert len(set(arguments["labels"].values())) == 6
    assert (verdicts["days"], verdicts["judged"], verdicts["final"], len(verdicts["digest"])) == (90, 90, 88, 32)
    assert dataset_ids == [1, 2] and in_order and version
    assert len(sections) >= 6
    for section, call, rows in sections:
        assert isinstance(rows, list) and "argument" in call, section
    for statement in ("UPDATE hirundo.publication SET edition = 9", "DELETE FROM hirundo.publication_result"):
        with published.installation.connect("hirundo_analyst") as c, pytest.raises(psycopg.Error):
            c.execute("SET default_transaction_read_only = off")
            c.execute(statement)


def test_labels_are_drawn_by_lot(fresh):
    """Twelve quarters with the same labels for the same sensors would be a chance of 36^-11; an edition keeps them, and
    a sensor that comes in later gets a number of its own."""
    labels = []
    with fresh.installation.connect() as c:
        c.autocommit = False
        for year in range(2000, 2012):
            c.execute("SELECT hirundo.publish(%s, %s, false, 'x')", (f"{year}Q1", PERIOD))
        for number in (8, 9):
            c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (%s, %s, %s, %s, 'x')",
                      (number, f"n{number}", f"u{number}", "JP" if number == 8 else "MY"))
            c.execute("INSERT INTO hirundo.coverage VALUES (%s, '2025-03-01', 0, 0, 900)", (number,))
        add_up(c)
        c.execute("SELECT hirundo.publish('2011Q1', %s, false, 'x')", (PERIOD,))
        labels = [row[0] for row in c.execute("SELECT arguments->'labels' FROM hirundo.publication"
                                              " ORDER BY name, edition").fetchall()]
        c.rollback()
    assert len({json.dumps(label, sort_keys=True) for label in labels[:12]}) > 1
    for label in labels[:12]:
        assert {label[s] for s in "123"} == {f"Domestic {i}" for i in (1, 2, 3)}
        assert {label[s] for s in "456"} == {f"Overseas {i}" for i in (1, 2, 3)} and len(label) == 6
    assert labels[12] == {**labels[11], "8": "Domestic 4", "9": "Overseas 4"}


# Bad input.

@pytest.mark.parametrize("argv", [(), ("2025",), ("2025Q0",), ("2025Q5",), ("2025q1",), ("25Q1",), ("2025Q11",), ("2025-1",),
                                  ("-025Q1",), ("2025Q1", "2025Q2"), ("2025Q1", "--outpt", "x"), ("2025Q 1",), ("1969Q4",)])
def test_usage(published, argv):
    run = published.installation.admin.run("report", "quarter", *argv, check=False)
    assert run.returncode == 64 and run.stderr and not run.stdout


def quarter_of(day) -> str:
    return f"{day.year}Q{(day.month + 2) // 3}"


@pytest.mark.parametrize("name,words", [
    (quarter_of(datetime.date.today()), "the quarter is not over"),
    (quarter_of(datetime.date.today() + datetime.timedelta(days=400)), "the quarter is not over"),
    ("2023Q1", "no sensor listened from 2023-01-01 to 2023-03-31")])
def test_no_such_quarter(published, name, words, tmp_path):
    run = published.installation.admin.run("report", "quarter", name, "--output", tmp_path / "new", check=False)
    assert run.returncode == 65 and words in run.stderr and run.stderr.count("\n") == 1
    assert list((tmp_path / "new").iterdir()) == []
    assert published.installation.query("SELECT count(*) FROM hirundo.publication WHERE name = %s", (name,)) == [(0,)]


def test_what_waits_to_be_counted(fresh):
    with fresh.installation.connect() as c:
        c.execute("INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at)"
                  " VALUES (3, '2025-03-31 14:45Z', 1, 1, 1, now(), now())")
    run = fresh.run(check=False)
    assert run.returncode == 75 and "wait to be counted" in run.stderr
    with fresh.installation.connect() as c:
        c.execute("UPDATE hirundo.dirty_mark SET bucket = '2025-03-31 15:00Z'")  # the next quarter in Tokyo
    fresh.run()


def test_rows_in_no_rollup(fresh):
    with fresh.installation.connect() as c:
        c.execute("INSERT INTO hirundo.rollup_gap VALUES (3, '2025-01-31', 7, now())")
    run = fresh.run(check=False)
    assert run.returncode == 65 and "in no rollup" in run.stderr
    assert fresh.installation.query("SELECT count(*) FROM hirundo.publication") == [(0,)]


def test_folder_that_can_not_be_made(fresh, tmp_path):
    """Told before anything is published."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "missing" / "deeper"):
        run = fresh.installation.admin.run("report", "quarter", Quarter.name, "--output", folder, check=False)
        assert run.returncode == 73 and str(folder) in run.stderr
    assert fresh.installation.query("SELECT count(*) FROM hirundo.publication") == [(0,)]
