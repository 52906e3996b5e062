"""Two viewers, over every page, report and format: a team of one region is never told a sensor of another one, and what it
is told is what the central team is told."""
import json
import re

import pytest

from browser.recount import Recount, check
from browser.seeding import SENSORS, ZONE
from browser.sites import MONTH, PAGES, TODAY, DAY, at

PERIOD = {"from": TODAY - 26 * DAY, "to": TODAY - DAY}
# Every report, as a page asks it.
CALLS = [
    ("viewer", {}), ("sensors", {}), ("sensor_regions", {}), ("catalog", {}), ("top_services", PERIOD), ("top_services_by_sensor", PERIOD),
    ("common_services", PERIOD), ("service_trend", {**PERIOD, "step": "week"}), ("top_source_regions", PERIOD),
    ("source_region_trend", {**PERIOD, "step": "week"}), ("packets_per_sensor_day", {**PERIOD, "step": "day"}), ("mirai_hosts", PERIOD),
    ("ack_packets", {**PERIOD, "step": "day"}), ("ack_organizations", PERIOD), ("hosts_per_day", {**PERIOD, "filter": {"services": ["23/TCP"]}}),
    ("top_networks", PERIOD), ("top_networks", {**PERIOD, "by": "prefix"}), ("activity_calendar", PERIOD), ("ttl_by_region", PERIOD),
    ("spoof_verdict", {**PERIOD, "n": 50}), ("verdict_changes", {**PERIOD, "n": 50}), ("publications", {}), ("spoof_campaigns", PERIOD), ("verdict_share", {**PERIOD, "step": "day"}),
    ("response_sources_called_spoofed", PERIOD), ("payload_samples", {**PERIOD, "n": 50}), ("source", {**PERIOD, "src": "20.3.0.10"}),
    ("notification", {**PERIOD, "n": 50}), ("notification_excluded", PERIOD), ("coverage", {**PERIOD, "step": "day"}),
]
IDS = [f"{i}-{name}" for i, (name, _) in enumerate(CALLS)]
# Whatever a viewer of AU asks for, these must not be in the answer.
OTHERS = re.compile(r"\b(" + "|".join(f"{region}-[0-9]" for region in sorted(set(SENSORS.values()) - {"AU"})) + r"|"
                    + "|".join(f"{region.lower()}[1-6]" for region in sorted(set(SENSORS.values()))) + r")\b")
FILTERS = [{}, {"sensor_region": ["AU"]}, {"src_region": ["AU"]}]
TEXTS = ("not shown", "not told", "your", "viewer", "sensors")


@pytest.fixture(scope="module")
def au(serve):
    return serve("au")


def with_filter(parameters: dict, more: dict) -> dict:
    return {**parameters, "filter": {**parameters.get("filter", {}), **more}} if more and "from" in parameters else parameters


@pytest.mark.parametrize("more", FILTERS, ids=str)
@pytest.mark.parametrize("name,parameters", CALLS, ids=IDS)
def test_reports(dashboard, au, name, parameters, more):
    parameters = with_filter(parameters, more)
    for format in ("json", "csv"):
        whole, part = (d.api(name, **parameters, format=format, timeout=60) for d in (dashboard, au))
        if whole.status == 400:  # the report has no such key
            assert part.status in (400, 403)
            continue
        assert whole.status == 200, whole.text
        assert part.status in (200, 403), part.text
        assert not OTHERS.search(part.text), f"{OTHERS.search(part.text)[0]} is told"
        if part.status == 403:
            assert part.error["code"] == "42501" and any(word in part.text for word in TEXTS), part.text
            assert not more.get("sensor_region"), f"its own sensors are refused: {part.text}"


def test_what_is_refused(au):
    """Others' sensors, lists of others' sources, payloads, a region with one sensor."""
    for name, parameters in (("top_services", {"filter": {"sensors": [1]}}), ("spoof_verdict", {}), ("payload_samples", {}), ("notification", {}),
                             ("top_networks", {"by": "prefix"}), ("top_services", {"filter": {"sensor_region": ["GH"]}}),
                             ("coverage", {"filter": {"sensor_region": ["GH"]}}), ("top_services", {"filter": {"sources": ["20.3.0.10"]}})):
        answer = au.api(name, **PERIOD, **parameters)
        assert answer.status == 403, f"{name} {parameters}: {answer.status} {answer.text[:200]}"


def test_own_sources_are_told(au, seeded):
    rows = au.api("spoof_verdict", **PERIOD, filter={"src_region": "AU"}).json()["rows"]
    assert all(row["src_region"] == "AU" for row in rows)


def test_sums_are_those_of_everybody(dashboard, au, seeded):
    """Not narrower, and not other numbers: over all sensors, and over one's own."""
    for parameters in (PERIOD, {**PERIOD, "filter": {"sensor_region": ["AU"]}}):
        whole, part = (d.api("top_services", **parameters).json()["rows"] for d in (dashboard, au))
        assert [{k: v for k, v in row.items() if k != "as_of"} for row in whole] == [{k: v for k, v in row.items() if k != "as_of"} for row in part]
    with seeded.connect() as c:
        from urllib.parse import urlencode
        href = "/api/top_services?" + urlencode({**PERIOD, "filter": json.dumps({"sensor_region": ["AU"]})})
        assert check(Recount(c, ZONE), href, part) > 20


def test_own_sensors_one_by_one(au):
    rows = au.api("coverage", **PERIOD, step="day").json()["rows"]
    assert {row["sensor"] for row in rows if row["region"] == "AU"} == {"AU-1", "AU-2", "AU-3", "AU-4"}
    assert {row["sensor"] for row in rows if row["region"] != "AU"} == {None}
    assert "GH" not in {row["region"] for row in rows}, "it has one sensor"
    assert {row["public_label"] for row in au.api("sensors").json()["rows"]} == {"AU-1", "AU-2", "AU-3", "AU-4"}


@pytest.mark.parametrize("name", PAGES)
def test_pages(browser, au, name):
    """Every page, with all its tables and files: refused figures say why."""
    page = browser(f"http://127.0.0.1:{au.port}", "look.figures", path=at(PAGES[name]), expected=("403", "Failed to load"))
    text = json.dumps(page)
    assert not OTHERS.search(text), f"{OTHERS.search(text)[0]} is shown"
    for figure in page["figures"]:
        assert figure["state"] in ("ready", "empty", "denied", "error")
        if figure["state"] == "error":
            assert any(word in figure["message"] for word in TEXTS), f"{figure['name']}: {figure['message']}"
        for href in figure["csv"]:
            answer = au.get(href, timeout=60)
            assert answer.status in (200, 403) and not OTHERS.search(answer.text), href
    if page["figures"]:
        assert "AU" in page["foot"]


@pytest.mark.parametrize("path", ["/r/AU", f"/sensor/{next(n for n, region in SENSORS.items() if region == 'AU')}"])
def test_own_pages_are_whole(browser, au, path):
    page = browser(f"http://127.0.0.1:{au.port}", "look.figures", path=at(path, MONTH))
    assert page["figures"] and all(figure["state"] in ("ready", "empty") for figure in page["figures"]), [
        (f["name"], f["message"]) for f in page["figures"] if f["state"] == "error"]
    assert sum(figure["state"] == "ready" for figure in page["figures"]) > len(page["figures"]) / 2
