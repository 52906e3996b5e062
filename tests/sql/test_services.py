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
