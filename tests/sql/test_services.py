"""Names of services, and the way back from a name."""


def test_services_have_numbers_again(installation):
    """hirundo.service_key() of what hirundo.service() calls each protocol; NULL for what it calls none."""
    rows = installation.query("SELECT p, s, hirundo.service_key(s) FROM generate_series(0, 255) AS p"
                              " CROSS JOIN LATERAL hirundo.service(p::smallint, NULL) AS s WHERE p NOT IN (6, 17)")
    assert len(rows) == 254 and [(p, name) for p, name, key in rows if key != p << 32] == []
    for name in ("protocol-6", "protocol-1", "protocol-256", "protocol-999", "protocol-0", "protocol-", "protocol-0253",
                 "protocol--5", "gre", "GRE ", "", "65536/TCP", "-1/TCP", "023/TCP", "23/SCTP", "23/tcp", "TCP", "UDP"):
        assert installation.query("SELECT hirundo.service_key(%s)", (name,)) == [(None,)], name
    assert installation.query("SELECT hirundo.service_key(s) FROM unnest(%s::text[]) AS s",
                              (["23/TCP", "0/UDP", "UDP/frag", "unknown"],)) == [
        (6 << 32 | 23,), (17 << 32,), (17 << 32 | 1 << 41,), (255 << 32,)]


def test_services_have_cells(installation):
    """Each service has a number of its own below 2^18, and the number leads back to it."""
    rows = installation.query(
        "SELECT s, hirundo.service_number(s), hirundo.numbered_service(hirundo.service_number(s)) FROM ("
        " SELECT hirundo.service(p::smallint, NULL) FROM generate_series(0, 255) AS p UNION ALL SELECT 'unknown' UNION ALL"
        " SELECT hirundo.service(p::smallint, port) FROM unnest('{6,17}'::int[]) AS p, generate_series(0, 65535) AS port)"
        " AS x (s)")
    assert len({name for name, _, _ in rows}) == len({number for _, number, _ in rows}) == 256 + 1 + 2 * 65536
    assert all(0 <= number < 1 << 18 and again == name for name, number, again in rows)
    assert installation.query("SELECT hirundo.service_number('gre')") == [(None,)]


def test_sources_have_cells(installation):
    """Region, address and service side by side; IPv6, no source and what is no region have none."""
    for src, region, number in (("0.0.0.0", "AA", 0), ("255.255.255.255", "ZZ", 675), ("192.0.2.1", None, 675),
                                ("192.0.2.1", "JP", 9 * 26 + 15)):
        address = int.from_bytes(bytes(map(int, src.split("."))), "big")
        assert installation.query("SELECT hirundo.source_cell(%s, %s, '53/UDP')", (src, region)) == [
            (number << 52 | address << 20 | 65536 + 53,)]
    for src, region, service in (("2001:db8::1", "JP", "23/TCP"), (None, "JP", "23/TCP"), ("192.0.2.1", "jp", "23/TCP"),
                                 ("192.0.2.1", "J", "23/TCP"), ("192.0.2.1", "JP", "gre")):
        assert installation.query("SELECT hirundo.source_cell(%s, %s, %s)", (src, region, service)) == [(None,)]
