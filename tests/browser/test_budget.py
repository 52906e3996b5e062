"""What the dashboard may take: time to the first chart, size of page and scripts, answers with eight readers, memory."""
import collections
import concurrent.futures
import statistics
import time

import pytest

from browser.sites import DAY, MONTH, PAGES, TODAY, at

# Times fail at three times what they should be: other machines, other work on it.
FIRST_CHART, STORED, EXACT, SLACK = 0.5, 0.1, 3.0, 3
COMPRESSED, READERS, MEMORY = 250_000, 8, 64 << 20


@pytest.mark.parametrize("name", ["overview", "region"])
def test_first_chart(browser, base, record_property, name):
    """Of a page that was seen before, and in a browser that has nothing in its cache."""
    browser(base, "look.figures", path=at(PAGES[name]))  # caches of the database
    again = browser(base, "budget.first", path=at(PAGES[name]), times=6)["took"][1:]
    fresh = [browser(base, "budget.first", path=at(PAGES[name]), times=1)["took"][0] for _ in range(3)]
    took, first = statistics.median(again) / 1000, statistics.median(fresh) / 1000
    print(f"{name}: first chart after {took:.2f} s, should be {FIRST_CHART}; with nothing in the cache {first:.2f} s")
    record_property("first_chart_seconds", round(took, 3))
    record_property("first_chart_fresh_seconds", round(first, 3))
    assert max(took, first) <= FIRST_CHART * SLACK


def test_size(browser, base, record_property):
    """Page and scripts as they come over the wire, the first time."""
    size = browser(base, "budget.first", path=at("/"), times=1)["loaded"][0]
    print(f"page and scripts: {size} bytes compressed, at most {COMPRESSED}")
    record_property("compressed_bytes", size)
    assert 10_000 < size <= COMPRESSED


def ask(dashboard, readers: int, times: int, call, skip: int = 0) -> dict[str, list[float]]:
    """Seconds of the answers to each function, but of each reader's first ones.
    @param call  (reader, number) -> (function, parameters)"""
    took: dict[str, list] = collections.defaultdict(list)

    def read(reader: int) -> None:
        for i in range(times):
            name, parameters = call(reader, i)
            begin = time.monotonic()
            answer = dashboard.api(name, **parameters, timeout=60)
            assert answer.status == 200, answer.text
            if i >= skip:
                took[name].append(time.monotonic() - begin)

    with concurrent.futures.ThreadPoolExecutor(readers) as pool:
        list(pool.map(read, range(readers)))
    return took


def check(took: dict[str, list[float]], limit: float, record_property) -> None:
    slow = {}
    for name, seconds in took.items():
        p95 = statistics.quantiles(seconds, n=20)[-1]
        print(f"{name}: p95 {p95:.3f} s of {len(seconds)}, should be {limit}")
        record_property(f"{name}_p95", round(p95, 3))
        if p95 > limit * SLACK * READERS / 2:  # two cores for eight readers
            slow[name] = p95
    assert not slow, slow


def test_readers(serve, record_property):
    """Eight at once, each with the series and stored answers of pages."""
    dashboard = serve(connections=READERS)
    before = TODAY.replace(day=1) - DAY
    stored = {"from": before.replace(day=1), "to": before}
    month = {"from": TODAY - 30 * DAY, "to": TODAY - DAY}
    calls = [("top_services", {**stored, "n": 10}), ("top_source_regions", {**stored, "n": 10}), ("service_trend", {**stored, "step": "day", "n": 5}),
             ("mirai_hosts", {**stored, "n": 5}), ("packets_per_sensor_day", {**month, "step": "day"}), ("coverage", {**month, "step": "day"})]
    # Each connection to the database has called each, then.
    took = ask(dashboard, READERS, 12 * len(calls), lambda reader, i: calls[(reader + i) % len(calls)], 4 * len(calls))
    memory = int(next(line for line in open(f"/proc/{dashboard.popen.pid}/status") if line.startswith("VmHWM")).split()[1]) * 1024
    print(f"memory of the server: {memory >> 20} MiB, at most {MEMORY >> 20}")
    assert memory <= MEMORY
    check(took, STORED, record_property)


def test_series_of_a_year(serve, record_property):
    """Eight at once, between stored answers, each with what is added up from the days of a year."""
    before, year = TODAY.replace(day=1) - DAY, {"from": TODAY - 365 * DAY, "to": TODAY - DAY}
    stored = {"from": before.replace(day=1), "to": before}
    calls = [("top_services", {**stored, "n": 10}), ("packets_per_sensor_day", {**year, "step": "month"}), ("hosts_per_day", stored),
             ("coverage", {**year, "step": "week"}), ("service_trend", {**stored, "step": "day", "n": 5}), ("mirai_hosts", {**stored, "n": 5})]
    check(ask(serve(connections=READERS), READERS, 12 * len(calls), lambda reader, i: calls[(reader + i) % len(calls)], 4 * len(calls)),
          STORED, record_property)


def test_exact_hosts(serve, record_property):
    """Eight at once, each with filters of its own, over a year: nothing of it is stored."""
    year = {"from": TODAY - 365 * DAY, "to": TODAY - DAY}
    regions = ["JP", "CN", "US", "KR", "TW", "VN", "BR", "IN"]

    def call(reader: int, i: int) -> tuple:
        place = {"src_region": regions[(reader + i) % 8], "exclude": ["response", "scanner_org"]}
        return [("top_services", {**year, "rank_by": "hosts", "filter": place}),
                ("top_source_regions", {**year, "rank_by": "hosts", "filter": {"services": f"{23 + i}/TCP", "grp": "overseas"}}),
                ("top_networks", {**year, "by": "organization", "rank_by": "hosts", "filter": place}),
                ("hosts_per_day", {**year, "filter": {"networks": [f"{20 + 16 * reader + i}.0.0.0/8", "57.64.0.0/16"]}}),
                ("service_trend", {**year, "step": "week", "filter": {**place, "traits": ["mirai"]}}),
                ("mirai_hosts", {**year, "filter": {"asn": list(range(80 + i, 140))}})][(reader + i) % 6]

    check(ask(serve(connections=READERS), READERS, 18, call, 6), EXACT, record_property)
