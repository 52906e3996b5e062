"""Who held an address stays with the rows; the filter's keys on organizations, groups and scanners in source_day."""
import random

import psycopg
import pytest

from harness import rollups
from harness.report_names import GROUPS
from harness.report_world import Count
from harness.reports import DAYS, FUNCTIONS, PEOPLE, period

DAY = "2026-03-01"


@pytest.fixture
def owner(installation):
    with installation.connect() as connection:
        connection.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                           " VALUES (1, 'a', 'u', 'JP', 'x'), (2, 'b', 'v', 'JP', 'x')")
        connection.execute("SELECT hirundo.ensure_day(%s, NULL)", (DAY,))
        yield connection


def send(c, seq: int, sources, sensor: int = 1, second: int = 0) -> None:
    """A packet of each source to two ports, with the mark, as ingest writes them."""
    with c.transaction():
        c.execute("INSERT INTO hirundo.observation (observed_at, sensor_id, target, packets, traits, protocol, dst_port, ttl,"
                  " tcp_flags, src_asn, src) SELECT %s::timestamptz + make_interval(secs => %s), %s, 1, 1, 0, 6, p, 50, 2,"
                  " 4713, s FROM unnest(%s::inet[]) s, unnest('{22,23}'::int[]) p",
                  (f"{DAY} 12:00Z", second, sensor, sources))
        c.execute("INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at)"
                  " SELECT %s, %s::timestamptz, 1, %s, %s, a, a FROM (SELECT %s::timestamptz + make_interval(secs => %s)) x (a)",
                  (sensor, f"{DAY} 12:00Z", seq, 2 * len(sources), f"{DAY} 12:00Z", second))
    rollups.catch_up(c)


def stored(c) -> dict:
    """(table, sensor, source) -> organization, of all its rows."""
    result = {}
    for table in ("source_day", "ttl_day"):
        for sensor, src, ids, rows in c.execute(
                f"SELECT sensor_id, host(src), array_agg(DISTINCT organization_id), count(*) FROM hirundo.{table} GROUP BY 1, 2"):
            assert len(ids) == 1 and rows == 2
            result[table, sensor, src] = ids[0]
    return result


def both(sensor: int, held: dict) -> dict:
    return {(table, sensor, src): number for table in ("source_day", "ttl_day") for src, number in held.items()}


def organizations(installation, tmp_path, *lines) -> None:
    path = tmp_path / "rdap.csv"
    path.write_text("prefix,organization,contact\n" + "".join(line + "\n" for line in lines))
    installation.admin.run("enrich", "import", "organizations", path, "--force")


def test_an_import_changes_no_row(installation, owner, tmp_path):
    organizations(installation, tmp_path, "192.0.2.0/24,A,", "192.0.2.9,B,", "2001:db8::/32,C,c@x")
    first = ["192.0.2.1", "192.0.2.9", "198.51.100.1", "2001:db8::1"]
    send(owner, 1, first)
    held = both(1, dict(zip(first, [1, 2, None, 3])))
    assert stored(owner) == held
    before = rollups.found(owner)
    organizations(installation, tmp_path, "192.0.0.0/16,B,", "192.0.2.1,C,new@x", "198.51.100.0/24,A,")
    assert stored(owner) == held and rollups.found(owner) == before
    # New rows are looked up anew; what is known stays in the others.
    send(owner, 2, first, sensor=2)
    held |= both(2, dict(zip(first, [4, 2, 1, None])))
    assert stored(owner) == held
    send(owner, 3, first, second=3)
    held |= both(1, {"198.51.100.1": 1})
    assert stored(owner) == held
    rollups.compare(owner)
    # A restored database counts anew, and a sensor's day loses no organization by it.
    send(owner, 4, ["192.0.2.77"], second=9)
    held |= both(1, {"192.0.2.77": 2})
    owner.execute("INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at)"
                  " VALUES (1, %s, 1, 5, 1, %s, %s)", (f"{DAY} 12:00Z",) * 3)
    assert rollups.catch_up(owner) == [(1, 18, 1, 0)]
    assert stored(owner) == held
    rollups.compare(owner)


def test_days_counted_anew_keep_only_what_is_there(installation, owner):
    send(owner, 1, ["192.0.2.1", "192.0.2.2"])
    owner.execute("DELETE FROM hirundo.observation WHERE src = '192.0.2.2'")
    owner.execute("INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at)"
                  " VALUES (1, %s, 1, 5, 1, %s, %s)", (f"{DAY} 12:00Z",) * 3)
    rollups.catch_up(owner)
    assert stored(owner) == both(1, {"192.0.2.1": None})
    rollups.compare(owner)


def test_one_probe_a_row(owner):
    """organization_of() becomes part of the query that asks."""
    owner.execute("INSERT INTO hirundo.organization_range SELECT '10.0.0.0'::inet + i * 256, '10.0.0.255'::inet + i * 256, 1"
                  " FROM generate_series(0, 20000) i; ANALYZE hirundo.organization_range")
    plan = "\n".join(line for (line,) in owner.execute(
        "EXPLAIN SELECT a.src, i.* FROM (SELECT '10.0.0.9'::inet + g * 777 AS src FROM generate_series(1, 5000) g) AS a"
        " CROSS JOIN LATERAL hirundo.organization_of(a.src) AS i"))
    assert "organization_of" not in plan and "Index Scan Backward using organization_range_pkey" in plan


# The filter.

FILTERS = [
    {}, {"organization": "Example K.K."}, {"organization": ['"Other", Ltd.', "AS4713"]}, {"organization": "AS64500"},
    {"organization": "AS65551"}, {"network_group": "low"}, {"network_group": ["part", "six"]}, {"network_group": "all"},
    {"network_group": list(GROUPS)}, {"exclude": "scanner_org"}, {"exclude": ["scanner_org", "response"]},
    {"network_group": "six", "exclude": "scanner_org"}, {"organization": "Example K.K.", "network_group": ["low", "part"]},
    {"organization": "AS4713", "asn": 64500}, {"organization": "AS4713", "asn": 4713, "exclude": ["scanner_org"]},
    {"network_group": "part", "networks": ["64.0.0.0/4", "::/0"], "organization": ["Example K.K.", '"Other", Ltd.']},
    {"network_group": "low", "sources": ["10.1.2.3", "192.168.7.7"]}, {"sensors": [1, 3], "exclude": "scanner_org"},
]
NOTHING = [{"organization": "AS65551"}, {"organization": "AS4713", "asn": 64500}]


def parsed(ask, filter) -> str:
    """As the reports have it: a value, not a call for each row."""
    return ask("SELECT hirundo.report_filter(%s)::text", (psycopg.types.json.Jsonb(filter),))[0][0]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_sources_and_services(filled, world, filter):
    f = parsed(lambda *more: filled(*more, role="postgres"), filter)
    for days in (DAYS, DAYS[:2], DAYS[2:3], DAYS[1:3]):
        want = [(*key, packets) for key, packets in Count(world, days, filter).source_cells()]
        got = filled("SELECT sensor_id, day, service, host(src), traits, initial_ttl, ack_kind, packets"
                     " FROM hirundo.report_sources(%s, %s::hirundo.report_filter)", (period(days), f), role="postgres")
        assert sorted(got, key=str) == sorted(want, key=str)
        by_service = {}
        for sensor, day, service, *_, packets in want:
            by_service[sensor, day, service] = by_service.get((sensor, day, service), 0) + packets
        assert {tuple(row[:3]): row[3] for row in filled(
            "SELECT sensor_id, day, service, sum(packets) FROM hirundo.report_services(%s, %s::hirundo.report_filter)"
            " GROUP BY 1, 2, 3", (period(days), f), role="postgres")} == by_service
    found = len(list(Count(world, DAYS, filter).source_cells()))
    assert 0 < found < len(world.source) or filter == {} or filter in NOTHING


def test_rows_without_a_source(installation):
    """A sensor's own address as the source (trait land): nobody's network, and no scanner's."""
    with installation.connect() as c:
        c.execute("SELECT hirundo.ensure_rollup_month(%s)", (DAY,))
        c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (1, 'a', 'u', 'JP', 'x')")
        c.execute("INSERT INTO hirundo.source_day (first_at, last_at, packets, sensor_id, day, traits, service)"
                  " VALUES (now(), now(), 7, 1, %s, 0, '23/TCP')", (DAY,))
        c.execute("INSERT INTO hirundo.scanner VALUES (1, '0.0.0.0/0', 'x', NULL, NULL), (2, '::/0', 'x', NULL, %s)", (DAY,))
        c.execute("INSERT INTO hirundo.network_group VALUES ('all', '0.0.0.0/0'), ('all', '::/0')")

        def packets(filter: str):
            return c.execute("SELECT sum(packets) FROM hirundo.report_sources(daterange(%s, %s, '[]'),"
                             " hirundo.report_filter(%s))", (DAY, DAY, filter)).fetchone()[0]
        assert packets("{}") == packets('{"exclude": "scanner_org"}') == 7
        assert packets('{"network_group": "all"}') is None


def test_names_stay_known(filled):
    """An organization that no range belongs to any more can be asked for; what never was is an error with its name."""
    assert filled("SELECT count(*) FROM hirundo.organization_range") == [(0,)]
    for name in FUNCTIONS:
        keys = {"organization": ["example k.k.", "Example", "", "AS0", "AS", "not known"], "network_group": ["Low", ""]}
        for key, values in keys.items() if name != "coverage" else []:
            for value in values:
                for role in PEOPLE:
                    with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"filter: {key}: .*is no "):
                        filled(f"SELECT * FROM report.{name}(%s, jsonb_build_object(%s::text, %s::text))",
                               (period(DAYS), key, value), role)


def test_many_scanners_and_groups_cost_no_more(installation):
    """Thousands of prefixes: one comparison by halves a row, not one a prefix."""
    rnd = random.Random(1)
    with installation.connect() as c:
        c.execute("SELECT hirundo.ensure_rollup_month(%s)", (DAY,))
        c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (1, 'a', 'u', 'JP', 'x')")
        with c.cursor() as cursor, cursor.copy("COPY hirundo.network_group FROM STDIN") as copy:
            for net in rnd.sample(range(2 ** 24), 20000):
                copy.write_row(("g", f"{net >> 16}.{net >> 8 & 255}.{net & 255}.0/24"))
        c.execute("INSERT INTO hirundo.scanner SELECT row_number() OVER (), network, 'x' FROM hirundo.network_group")
        c.execute("INSERT INTO hirundo.source_day (first_at, last_at, packets, sensor_id, day, traits, service, src)"
                  " SELECT now(), now(), 1, 1, %s, 0, '23/TCP', '0.0.0.0'::inet + i * 21474::bigint"
                  " FROM generate_series(0, 199999) i", (DAY,))
        c.execute("ANALYZE")
        counts = []
        for filter in ({"network_group": "g"}, {"exclude": "scanner_org"}):
            f = parsed(lambda *more: c.execute(*more).fetchall(), filter)
            c.execute("SET statement_timeout = '10s'")  # 200,000 rows by 20,000 prefixes take minutes
            counts.append(c.execute("SELECT count(*) FROM hirundo.report_sources(daterange(%s, %s, '[]'),"
                                    " %s::hirundo.report_filter)", (DAY, DAY, f)).fetchone()[0])
        assert sum(counts) == 200000 and min(counts) > 100
