"""top_networks and ack_organizations against counts that Python makes straight from the rows."""
import datetime
import ipaddress
from collections import defaultdict

import psycopg
import pytest

from harness.report_names import label
from harness.report_world import Count, host, make_months
from harness.reports import DAYS, call
from test_names_filter import FILTERS as NAMES

FILTERS = [*NAMES, {"src_region": "JP"}, {"grp": "overseas", "ports_only": True}, {"exclude": ["spoofed", "bogon"]},
           {"role": "response"}, {"services": "23/TCP"}, {"traits": "land"}, {"networks": "2001:db8::/32"}]
SPANS = [DAYS, DAYS[1:3], DAYS[3:]]


def network(world, by: str, day, src):
    """What a row is called, and what breaks ties."""
    asn = world.asn[src]
    if by == "asn":
        return (f"AS{asn}", asn) if asn else ("not known", 0)
    if by == "organization":
        text = label(world.names.name(src, day) if src else None, asn)
        return text, text
    if src is None:
        return "not known", (6, 0)
    address = ipaddress.ip_address(src)
    net = ipaddress.ip_network((src, 24 if address.version == 4 else 48), strict=False)
    return str(net), (address.version, int(net.network_address))


def networks(world, days, filter, by: str, rank_by: str) -> list[tuple]:
    """(rank, network, name, packets, hosts, share)"""
    packets, hosts, names, everyone = defaultdict(int), defaultdict(set), defaultdict(lambda: defaultdict(int)), set()
    for (sensor, day, service, src, *_), n in Count(world, days, filter).source_cells():
        key = network(world, by, day, src)
        packets[key] += n
        names[key][world.names.name(src, day) if src else None] += n
        if src:
            hosts[key].add(host(src))
            everyone.add(host(src))
    order = sorted(packets, key=lambda key: (-len(hosts[key]) if rank_by == "hosts" else 0, -packets[key], key[1]))
    result = []
    for rank, key in enumerate(order, 1):
        name = min(names[key].items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))[0]
        share = len(hosts[key]) / len(everyone) if rank_by == "hosts" and everyone else packets[key] / sum(packets.values())
        result.append((rank, key[0], name, packets[key], len(hosts[key]),
                       None if rank_by == "hosts" and not everyone else pytest.approx(share)))
    return result


COLUMNS = "rank, network, name, packets, hosts, share"


@pytest.mark.parametrize("by", ["asn", "organization", "prefix"])
@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_top_networks(filled, world, filter, by):
    for days in SPANS:
        for rank_by in ("packets", "hosts"):
            want = networks(world, days, filter, by, rank_by)
            for n in (None, 2, 10):
                assert call(filled, "top_networks", days, filter, by, n, rank_by, columns=COLUMNS) == want[:n]


def test_world_has_what_is_told_apart(world):
    """Ties, names shared by two organizations, rows without any, several organizations in one network."""
    for by in ("asn", "organization", "prefix"):
        rows = networks(world, DAYS, {}, by, "packets")
        assert len(rows) > 2 and {"not known"} < {row[1] for row in rows}
    prefixes = networks(world, DAYS, {}, "prefix", "hosts")
    assert any(a[3:5] == b[3:5] for a, b in zip(prefixes, prefixes[1:])) and any(row[1].endswith("::/48") for row in prefixes)
    assert any(row[4] > 1 for row in prefixes)
    assert {row[1] for row in networks(world, DAYS, {}, "organization", "packets")} >= {"Example K.K.", "AS4713", '"Other", Ltd.'}


def test_what_a_report_calls_a_network_can_be_asked_for(filled):
    """Packets of each organization, AS numbers too, are those of the filter that names it."""
    for _, name, _, packets, hosts, _ in call(filled, "top_networks", DAYS, {}, "organization", None, columns=COLUMNS):
        if name != "not known":
            again = call(filled, "top_networks", DAYS, {"organization": name}, "organization", None, columns=COLUMNS)
            assert [row[1:5:2] for row in again] == [(name, packets)] and again[0][4] == hosts


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_ack_organizations(filled, world, filter):
    for days in SPANS:
        packets, hosts = defaultdict(int), defaultdict(set)
        for (sensor, day, service, src, _, _, kind), n in Count(world, days, filter).source_cells():
            if kind:
                name = network(world, "organization", day, src)[0]
                for key in ((name, kind), (name, None)):
                    packets[key] += n
                    hosts[key] |= {host(src)} if src else set()
        total = sum(n for (_, kind), n in packets.items() if kind)
        order = sorted((name for name, kind in packets if kind is None), key=lambda name: (-packets[name, None], name))
        want = [(rank, name, kind, packets[name, kind], len(hosts[name, kind]), pytest.approx(packets[name, kind] / total),
                 packets[name, None], len(hosts[name, None]), pytest.approx(packets[name, None] / total))
                for rank, name in enumerate(order, 1) for kind in ("ack", "synack", "rstack") if (name, kind) in packets]
        for n in (None, 1, 3):
            assert call(filled, "ack_organizations", days, filter, n, columns="rank, organization, kind, packets, hosts,"
                        " share, organization_packets, organization_hosts, organization_share") == \
                [row for row in want if n is None or row[0] <= n]
        if filter == {} and days == DAYS:
            assert {row[2] for row in want} == {"ack", "synack", "rstack"}


def test_arguments(filled):
    for by in (None, "", "ASN", "region"):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="by is "):
            call(filled, "top_networks", DAYS, {}, by)
    for rank_by in (None, "host"):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="rank_by is "):
            call(filled, "top_networks", DAYS, {}, "asn", 10, rank_by)
    for n in (0, -1):
        for name, more in (("top_networks", ("asn", n)), ("ack_organizations", (n,))):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="n is "):
                call(filled, name, DAYS, {}, *more)


@pytest.mark.parametrize("asn,organization", [(64500, 1), (4294967294, 1), (4290000001, 4000000), (4290000000, 4000001), (0, 1)])
def test_numbers_of_networks(installation, asn, organization):
    """ASNs and organizations at the ends of what their numbers hold are told apart, and counted."""
    with installation.connect() as c:
        make_months(c, [datetime.date(2026, 2, 1)])
        c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (1, 'a', 'u', 'JP', 'x')")
        c.execute("INSERT INTO hirundo.organization VALUES (%s, 'One', NULL, 1), (%s, 'Two', NULL, 1)", (organization, organization + 1))
        for src, place, packets in (("10.0.0.1", (None, asn), 4), ("10.0.0.2", (None, asn), 5), ("10.0.0.2", (organization, asn), 7),
                                    ("10.0.0.3", (organization, 1), 1), ("10.0.0.4", (organization, None), 1),
                                    ("2001:db8::1", (organization + 1, None), 9), (None, (None, 7), 3)):
            c.execute("INSERT INTO hirundo.source_day (sensor_id, day, src, packets, first_at, last_at, organization_id, src_asn, service,"
                      " traits, initial_ttl) VALUES (1, '2026-02-01', %s, %s, now(), now(), %s, %s, '23/TCP', 0, CASE WHEN %s = 7 THEN 128 ELSE 64 END)", (src, packets, *place, packets))
        named = f"AS{asn}" if asn else "not known"
        for n in (1, 2, 3, 4, 9, None):
            want = [("One", 9, 3, 3 / 5), (named, 9, 2, 2 / 5), ("Two", 9, 1, 1 / 5), ("AS7", 3, 0, 0.0)]
            assert c.execute("SELECT network, packets, hosts, share FROM report.top_networks('[2026-02-01,2026-02-02)', '{}',"
                             " 'organization', %s, 'hosts')", (n,)).fetchall() == want[:n]


def test_labels_of_prefixes(filled):
    """Numbers of network_cells() and back: both ends of both families."""
    for src in ("0.0.0.0", "255.255.255.255", "10.1.2.3", "128.0.0.1", "::1", "2001:db8:ffff:ffff::1", "7fff:ffff::", "8000::",
                "fe80::1", "fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"):
        version = ipaddress.ip_address(src).version
        net = ipaddress.ip_network((src, 24 if version == 4 else 48), strict=False)
        got = filled("SELECT hirundo.network_label(hirundo.host(%s::inet) & %s, 'prefix')",
                     (src, -256 if version == 4 else -65536), role="postgres")[0][0]
        assert ipaddress.ip_network(got) == net, src
