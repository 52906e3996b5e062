"""What people do with pages: go about, share addresses, use the keyboard, save files, and see newer data come."""
import datetime
import threading
import urllib.parse
import xml.etree.ElementTree

import pytest

from browser.chromium import wait_for
from browser.seeding import ZONE
from browser.sites import CHARTS, DAY, MONTH, PAGES, TODAY, at
from harness.rollups import catch_up

EVIL = "<img src=x onerror=hacked=1>"


def test_navigation(browser, base):
    assert browser(base, "walk.navigation", path=at("/"), region="KR")["loads"] == 1, "no page is loaded anew"


def test_an_address_without_a_period_gets_one(browser, base):
    """Thirty whole days, written into the address so that it can be shared."""
    url = browser(base, "look.figures", path="/")["url"]
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    assert query == {"from": str(TODAY - 30 * DAY), "to": str(TODAY - DAY)}


@pytest.mark.parametrize("path", [PAGES["overview"], PAGES["region"], PAGES["service"]])
def test_address(browser, base, path):
    browser(base, "walk.address", path=at(path))


@pytest.mark.parametrize("query,words", [
    ("from=2026-13-01&to=2026-01-01", ["period"]), ("from=2026-02-01&to=2026-01-01", ["ends before"]), ("measure=bytes", ["measure", "bytes"]),
    ("tz=Mars/Olympus", ["tz"]), ("role=" + urllib.parse.quote(EVIL), ["role", EVIL]), ("sensors=1;DROP", ["sensors"])])
def test_wrong_address(browser, base, query, words):
    browser(base, "walk.wrongAddress", path=at("/", query), words=words)


def test_injection(browser, base):
    """In every part of an address; errors of the reports are shown as text."""
    evil = urllib.parse.quote(EVIL, safe="")
    paths = [at(f"/{evil}"), *(at(f"{path.rsplit('/', 1)[0]}/{evil}") for path in PAGES.values() if path.count("/") == 2),
             at("/", f"{MONTH}&network_group={evil}"), at("/", f"{MONTH}&organization={evil}"), at("/", f"{MONTH}&services={evil}")]
    browser(base, "walk.injection", paths=paths, expected=("400", "404", "Failed to load"))


def test_period(browser, base):
    browser(base, "walk.period", path=at(PAGES["region"]), **{"from": str(TODAY - 20 * DAY), "to": str(TODAY - 10 * DAY)})


def test_search(browser, base):
    browser(base, "walk.search", path=at("/"), goals={"445": "/service/445-TCP", "53/udp": "/service/53-UDP", "au": "/r/AU", "gre": "/service/GRE"})


@pytest.mark.parametrize("name", CHARTS)
def test_keyboard(browser, base, name):
    browser(base, "walk.keyboard", path=at(PAGES[name]))


@pytest.mark.parametrize("name", CHARTS)
def test_files(browser, base, dashboard, name):
    saved = browser(base, "walk.files", path=at(PAGES[name]))
    names = [entry["csv"] for entry in saved]
    assert all(text.endswith(".csv") and "hirundo" in text for text in names)
    for entry in saved:
        want = dashboard.get(entry["href"], timeout=60).text
        assert entry["text"].splitlines()[0] == want.splitlines()[0] and len(entry["text"].splitlines()) == len(want.splitlines())
        if "drawing" in entry:
            root = xml.etree.ElementTree.fromstring(entry["drawing"])
            text = " ".join(root.itertext())
            assert root.tag.endswith("svg") and "As of" in text and ZONE in text, f"{entry['name']}: where its numbers come from"
    drawings = [entry for entry in saved if "drawing" in entry]
    assert drawings and len({entry["svg"] for entry in drawings}) == len(drawings)
    for entry in drawings[:3]:
        seen = browser(base, "walk.drawn", drawing=entry["drawing"])
        assert seen["width"] > 100 and seen["height"] > 50 and seen["marks"] >= 3 and len(seen["colours"]) > 1, entry["name"]
        assert not seen["variables"] and not seen["links"], f"{entry['name']} does not stand alone"


@pytest.mark.alone
def test_newer_data_come_by_themselves(browser, base, seeded, tmp_path):
    """Packets that the collector receives while somebody looks at today's services."""
    with seeded.connect() as c:
        total = c.execute("SELECT coalesce(sum(packets), 0) FROM hirundo.service_day WHERE day = %s AND service = '23/TCP'", (TODAY,)).fetchone()[0]

    def receive() -> None:
        wait_for(tmp_path / "open")
        now = datetime.datetime.now(datetime.timezone.utc)
        with seeded.connect() as c:
            with c.transaction():
                c.execute("SELECT hirundo.ensure_day(%s, NULL)", (now.date(),))
                # 2 is listening; it has a stream already.
                seq, packets = c.execute("SELECT last_seq + 1, packets_total FROM hirundo.ingest_state WHERE sensor_id = 2").fetchone()
                c.execute("INSERT INTO hirundo.observation (observed_at, sensor_id, target, src, src_port, dst_port, protocol, tcp_flags, ttl, traits,"
                          " packets, src_region) VALUES (%s, 2, 1, '20.3.0.99', 40000, 23, 6, 2, 50, 0, 4321, 'JP')", (now,))
                c.execute("INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, packets_total, packets, stored, quarantined,"
                          " rejected, lost, first_at, last_at, received_at, rows, stored_rows, samples, fold_early, bytes, dataset_id, kind)"
                          " SELECT 2, 1, %s, %s, %s, %s, 4321, 4321, 0, 0, 0, %s, %s, %s, 1, 1, 0, 0, 100, max(dataset_id), 1"
                          " FROM hirundo.enrichment_dataset", (seq, seq, seq, packets + 4321, now, now, now))
                c.execute("INSERT INTO hirundo.ingest_batch_day VALUES (2, 1, %s, %s, 1, 4321)", (seq, now.date()))
                c.execute("UPDATE hirundo.ingest_state SET last_seq = %s, last_checksum = %s, packets_total = packets_total + 4321,"
                          " stored = stored + 4321, offered_seq = %s, offered_packets = packets_total + 4321 WHERE sensor_id = 2", (seq, seq, seq))
                c.execute("INSERT INTO hirundo.dirty_mark VALUES (2, date_bin('15 minutes', %s, '1970-01-01Z'), 1, %s, 1, %s, %s)",
                          (now, seq, now, now))
            catch_up(c)

    thread = threading.Thread(target=receive)
    thread.start()
    seen = browser(base, "walk.live", path=f"/?from={TODAY}&to={TODAY}", figure="top-services", key=1, column=3, flag=str(tmp_path / "open"))
    thread.join()
    with seeded.connect() as c:
        after = c.execute("SELECT sum(packets) FROM hirundo.service_day WHERE day = %s AND service = '23/TCP'", (TODAY,)).fetchone()[0]
    assert after == total + 4321
    assert seen["after"]["23/TCP"] == after and seen["before"].get("23/TCP", total) == total
