"""Address data in SQL: what address_info() and address_kind() answer, and at what cost."""
import pytest


@pytest.fixture
def ranges(installation):
    """Ranges with gaps, at both ends of both families."""
    installation.query("""
        INSERT INTO hirundo.address_range (lo, hi, region, asn, holder) VALUES
            ('0.0.0.0', '0.255.255.255', 'AA', NULL, NULL), ('192.0.2.0', '192.0.2.99', 'JP', 64496, 'AS64496'),
            ('192.0.2.100', '192.0.2.100', NULL, 64497, 'AS64497'), ('255.255.255.0', '255.255.255.255', 'ZZ', NULL, 'x'),
            ('2001:db8::', '2001:db8:0:ffff:ffff:ffff:ffff:ffff', 'LK', NULL, 'holder 1'),
            ('ffff::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'BN', NULL, NULL)""")
    return installation


def dataset(installation, number: int, kind: str, regions: int, replaced: bool = False) -> None:
    installation.query("INSERT INTO hirundo.enrichment_dataset (dataset_id, kind, name, source_date, checksum, ranges,"
                       " with_region, with_asn, address_ranges, forced, replaced_at)"
                       " VALUES (%s, %s, 'x', '2026-01-01', '0', 10, %s, 0, 10, false, CASE WHEN %s THEN now() END)",
                       (number, kind, regions, replaced))


@pytest.mark.parametrize("src,want", [
    ("0.0.0.0", ("AA", None, None)), ("0.255.255.255", ("AA", None, None)), ("1.0.0.0", (None, None, None)),
    ("192.0.1.255", (None, None, None)), ("192.0.2.0", ("JP", 64496, "AS64496")),
    ("192.0.2.99", ("JP", 64496, "AS64496")), ("192.0.2.100", (None, 64497, "AS64497")),
    ("192.0.2.101", (None, None, None)), ("255.255.255.255", ("ZZ", None, "x")),
    ("::", (None, None, None)), ("::ffff:192.0.2.1", (None, None, None)), ("2001:db7:ffff::", (None, None, None)),
    ("2001:db8:0:ffff:ffff:ffff:ffff:ffff", ("LK", None, "holder 1")), ("2001:db8:1::", (None, None, None)),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ("BN", None, None))])
def test_address_info(ranges, src, want):
    assert ranges.query("SELECT * FROM hirundo.address_info(%s)", (src,)) == [(*want, None)]
    dataset(ranges, 7, "rir", 10)
    assert ranges.query("SELECT * FROM hirundo.address_info(%s)", (src,)) == [(*want, 7)]


def test_address_info_of_nothing(ranges):
    """Always one row: a source that is not kept (NULL), an empty table."""
    assert ranges.query("SELECT * FROM hirundo.address_info(NULL)") == [(None, None, None, None)]
    ranges.query("DELETE FROM hirundo.address_range")
    assert ranges.query("SELECT * FROM hirundo.address_info('192.0.2.1')") == [(None, None, None, None)]


def test_address_info_is_a_probe(ranges):
    """Inlined into the query that asks, and one step down the index for each address."""
    ranges.query("INSERT INTO hirundo.address_range (lo, hi, region)"
                 " SELECT '10.0.0.0'::inet + i * 256, '10.0.0.255'::inet + i * 256, 'JP'"
                 " FROM generate_series(0, 20000) i")
    ranges.query("ANALYZE hirundo.address_range")
    with ranges.connect("hirundo_analyst") as c:
        plan = "\n".join(line for (line,) in c.execute(
            "EXPLAIN SELECT a.src, i.* FROM (SELECT '10.0.0.9'::inet + g * 777 AS src FROM generate_series(1, 5000) g)"
            " AS a CROSS JOIN LATERAL hirundo.address_info(a.src) AS i"))
        assert "Function Scan on address_info" not in plan
        assert "Index Scan Backward using address_range_pkey" in plan
        assert "Seq Scan on address_range" not in plan


def test_address_kind(installation):
    """rir before mmdb before ranges; what has no region decides none."""
    kind = "SELECT hirundo.address_kind()"
    assert installation.query(kind) == [(None,)]
    dataset(installation, 1, "pfx2as", 0)
    dataset(installation, 2, "overrides", 10)
    dataset(installation, 3, "rir", 10, replaced=True)
    assert installation.query(kind) == [(None,)]
    dataset(installation, 4, "ranges", 10)
    dataset(installation, 5, "mmdb", 0)
    assert installation.query(kind) == [("ranges",)]
    dataset(installation, 6, "rir", 10)
    assert installation.query(kind) == [("rir",)]
    installation.query("UPDATE hirundo.enrichment_dataset SET replaced_at = now() WHERE dataset_id IN (5, 6)")
    dataset(installation, 7, "mmdb", 1)
    assert installation.query(kind) == [("mmdb",)]
