"""Every page: its figures' numbers are those of the CSV and of a recount; whoever can not see the colours, the mouse or the
chart gets them too; nothing leaves the host."""
import csv
import datetime
import io
import re

import pytest

from browser.recount import Derived, Recount, check
from browser.seeding import ZONE
from browser.sites import CHARTS, PAGES, PERIOD, SPOOFED, at

NUMBER = re.compile(r"^-?\d+(\.\d+)?([eE][-+]?\d+)?$")


@pytest.fixture(scope="module")
def recount(seeded):
    with seeded.connect() as connection:
        yield Recount(connection, ZONE)


@pytest.fixture(scope="module")
def looked(browser, base):
    """What stands on a page, looked at once."""
    pages = {}

    def look(name):
        if name not in pages:
            pages[name] = browser(base, "look.figures", path=at(PAGES[name]))
        return pages[name]
    return look


def cells(dashboard, href: str) -> list[dict]:
    answer = dashboard.get(href, timeout=60)
    assert answer.status == 200, f"{href}: {answer.text}"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def numbers(texts) -> set[float]:
    """Those in arrays and objects, too."""
    return {float(part) for text in texts if text for part in (re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text) if text[0] in "{[" else [text])
            if NUMBER.match(part)}


@pytest.mark.parametrize("name", PAGES)
def test_every_figure_is_there(looked, name):
    page = looked(name)
    assert "Hirundo" in page["title"] and page["heading"]
    assert page["figures"]
    names = [figure["name"] for figure in page["figures"]]
    assert len(set(names)) == len(names), "a figure twice"
    for figure in page["figures"]:
        about = f"{name}: {figure['name']}"
        assert figure["state"] in ("ready", "empty"), f"{about}: {figure['message']}"
        assert figure["title"] and figure["define"], f"{about} does not say what it counts"
        assert figure["csv"], f"{about} has no CSV"
        assert "report." in figure["sql"], f"{about} has no SQL"
        assert figure["state"] == "empty" or figure["tables"], f"{about} has no table"
    assert "As of" in page["foot"] and ZONE in page["foot"] and "rir" in page["foot"]


# What a page computes from its files: recount.Derived does it once more.
DERIVED = {("regions", head) for head in ("Sensors", "Covered", "Packets a day per sensor address", "Against before", "Hosts a day")} | {
    ("rising-services", head) for head in ("Hosts", "Mean", "Change", "Score")} | {
    ("source-hops", head) for head in ("Initial TTL", "Lowest TTL", "Highest TTL", "Packets")} | {
    ("source-verdicts", "Packets"), ("source-verdicts", "Regions"), ("source-tried", "Packets"), ("campaigns", "Packets"),
    ("key-numbers", "Value")}
# Hops less what the verdict expected: both are in the file.
DIFFERENCES = {("source-hops", "Off by")}
FILTERS = {"overview": {}, "spoofing": {}, "source": {"sources": [SPOOFED]}, "region": {"sensor_region": ["JP"]}, "sensor": {"sensors": [1]}, "service": {"services": ["23/TCP"]}}


def columns(figure: dict):
    """(head, [(text of the row's first cell, exact value)]) of the tables' numbers."""
    for table in figure["tables"]:
        for i, head in enumerate(table["head"]):
            yield head, [(row[0]["value"] or row[0]["text"], float(row[i]["value"])) for row in table["rows"]
                         if row[i]["value"] is not None and NUMBER.match(row[i]["value"])]


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_what_the_csv_says(looked, dashboard, name):
    """Each number of a table twin is in one of the figure's files, unless it is one that the page computes of them."""
    wrong = []
    for figure in looked(name)["figures"]:
        told: set[float] = set()
        for href in figure["csv"]:
            told |= numbers(text for row in cells(dashboard, href) for text in row.values())
        for head, values in columns(figure):
            strange = [value for _, value in values if not known(value, told)]
            if strange and (figure["name"], head) not in DERIVED | DIFFERENCES:
                wrong.append(f"{figure['name']}: {head}: {strange[:3]}")
    assert not wrong, "\n".join(wrong)


def known(value: float, told: set[float]) -> bool:
    return value in told or any(abs(value - other) <= 1e-9 * max(1, abs(value)) for other in told)


@pytest.mark.parametrize("name", FILTERS)
def test_what_a_page_computes(looked, recount, name):
    want = Derived(recount, *PERIOD, FILTERS[name]).values()
    compared, wrong = 0, []
    for figure in looked(name)["figures"]:
        for head, values in columns(figure):
            counted = want.get((figure["name"], head), {})
            for row, value in values:
                if row in counted:
                    compared += 1
                    if counted[row] is None or abs(value - counted[row]) > 1e-9 * max(1, abs(value)):
                        wrong.append(f"{figure['name']}: {head} of {row} is {value}, counted {counted[row]}")
    assert not wrong, "\n".join(wrong)
    assert compared or not any((figure["name"], head) in DERIVED for figure in looked(name)["figures"] for head, _ in columns(figure))


@pytest.mark.parametrize("name", CHARTS)
def test_numbers_are_what_was_counted(looked, dashboard, recount, name):
    """Each call of the page, counted once more from the rows."""
    done = {}
    for figure in looked(name)["figures"]:
        for href in figure["csv"]:
            rows = dashboard.get(href.replace("format=csv", "format=json"), timeout=60).json()["rows"]
            if href not in done:
                done[href] = check(recount, href, rows)
    functions = {href: n for href, n in done.items() if n is not None}
    assert sum(functions.values()) > 50, f"hardly anything was recounted: {done}"


@pytest.mark.parametrize("name", PAGES)
def test_csv_is_what_the_page_got(looked, dashboard, name):
    """Same columns, rows and values; apart from the moment of asking."""
    for figure in looked(name)["figures"]:
        for href in figure["csv"]:
            got = cells(dashboard, href)
            answer = dashboard.get(href.replace("format=csv", "format=json"), timeout=60).json()
            assert len(got) == len(answer["rows"])
            for line, row in zip(got, answer["rows"]):
                assert list(line) == [column["name"] for column in answer["columns"]]
                for column, value in row.items():
                    if column != "as_of" and not isinstance(value, (dict, list)):
                        assert same(line[column], value), f"{href}: {column}: {line[column]} and {value}"


def same(text: str, value) -> bool:
    if value is None:
        return text == ""
    if isinstance(value, bool):
        return text == ("t" if value else "f")
    if isinstance(value, (int, float)):
        return float(text) == float(value)
    if re.match(r"\d{4}-\d\d-\d\dT", value):
        return datetime.datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", text.replace("Z", "+00:00"))) == datetime.datetime.fromisoformat(value)
    return text.removeprefix("'") == value


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_accessible(browser, base, name, scheme):
    violations = browser(base, "look.accessible", path=at(PAGES[name]), context={"colorScheme": scheme})
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize("name", PAGES)
def test_pictures(browser, base, results, name):
    """Kept for people to look at. On a telephone nothing is wider than it."""
    folder = results / "screenshots"
    folder.mkdir(exist_ok=True)
    for kind, context in (("light", {}), ("dark", {"colorScheme": "dark"}),
                          ("phone", {"viewport": {"width": 360, "height": 740}, "deviceScaleFactor": 2, "isMobile": True, "hasTouch": True})):
        seen = browser(base, "look.picture", path=at(PAGES[name]), file=str(folder / f"{name}-{kind}.png"), context=context)
        assert seen["overflow"] <= 0 and not seen["wide"], f"{kind}: {seen}"
    paper = browser(base, "look.print", path=at(PAGES[name]), file=str(folder / f"{name}.pdf"))
    assert paper["figures"] > 0 and paper["tools"] == 0 and paper["controls"] == [], paper
    assert paper["colour"] in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"), "paper is white"
