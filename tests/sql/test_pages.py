"""Reports that pages of the dashboard show beside those of the analyses."""
import ipaddress

import psycopg
import pytest

from harness.report_world import Count
from harness.reports import DAYS, PEOPLE, call

FILTERS = [{}, {"src_region": ["CN", "JP"]}, {"sensors": [1, 4]}, {"ports_only": True}, {"exclude": ["response"]},
           {"networks": "0.0.0.0/1"}, {"networks": "2001:db8::/32"}, {"sources": ["10.1.2.3", "192.168.7.7"]}]


def changes(world, days, filter) -> list[str]:
    """Sources with genuine and with spoofed packets, most packets first."""
    rows = [(src, packets) for src, *_, packets in (
        (row[0], row[7:10]) for row in Count(world, days, filter).spoof_verdict()) if packets[0] > 0 and packets[1] > 0]
    rows.sort(key=lambda row: (-sum(row[1]), ipaddress.ip_address(row[0]).version, ipaddress.ip_address(row[0])))
    return [src for src, _ in rows]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_verdict_changes(filled, world, filter):
    for days in (DAYS, DAYS[:2]):
        want = changes(world, days, filter)
        got = call(filled, "verdict_changes", days, filter)
        assert [str(row[0]) for row in got] == want
        # The rows are those of spoof_verdict.
        assert sorted(map(repr, got)) == sorted(
            repr(row) for row in call(filled, "spoof_verdict", days, filter) if str(row[0]) in want)
        assert [str(row[0]) for row in call(filled, "verdict_changes", days, filter, 1)] == want[:1]
    assert filter != {} or len(changes(world, DAYS, filter)) > 1


def test_verdict_changes_says_what_is_wrong(filled):
    for filter, n, words in [({"colour": 1}, None, "colour"), ({"sources": "x"}, None, "sources"), ({}, -1, "n")]:
        with pytest.raises(psycopg.Error, match=words):
            call(filled, "verdict_changes", DAYS, filter, n)


@pytest.mark.parametrize("role", PEOPLE)
def test_publications(filled, role):
    ask = lambda: filled("SELECT name, edition, period::text, home_region, published_at::text, as_of::text, dataset"
                         " FROM report.publications()", role=role)
    assert ask() == []
    rows = [("2026Q1", 1, "2026-05-02", "JP", "{1}"), ("2026Q1", 2, "2026-06-02", "JP", "{1}"),
            ("2025Q4", 1, "2026-02-02", "AU", "{}")]
    try:
        for name, edition, at, home, datasets in rows:
            filled("INSERT INTO hirundo.publication VALUES (%s, %s, '[2026-01-01,2026-04-01)', jsonb_build_object("
                   "'home', %s::text, 'labels', '{\"1\": \"Domestic 1\"}'::jsonb), '{}', %s, %s::date - 1, %s, 'x', '1')"
                   " RETURNING 1", [name, edition, home, datasets, at, at], "postgres")
        got = ask()
        assert [row[:4] for row in got] == [("2026Q1", 2, "[2026-01-01,2026-04-01)", "JP"),
                                            ("2026Q1", 1, "[2026-01-01,2026-04-01)", "JP"),
                                            ("2025Q4", 1, "[2026-01-01,2026-04-01)", "AU")]
        assert [(row[4][:10], row[5][:10]) for row in got] == [("2026-06-02", "2026-06-01"), ("2026-05-02", "2026-05-01"),
                                                               ("2026-02-02", "2026-02-01")]
        assert [row[6] is None for row in got] == [False, False, True] and got[0][6].startswith("1: ")
        # No label of a sensor leaves by it.
        assert "Domestic" not in repr(got)
    finally:
        filled("WITH d AS (DELETE FROM hirundo.publication RETURNING 1) SELECT count(*) FROM d", role="postgres")
