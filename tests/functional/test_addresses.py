"""Address data reaches the rows: loaded at the start, swapped while packets flow, kept on every failure."""
import pathlib
import threading
import time

from harness.packets import background, write_pcap

ALL4 = "0.0.0.0/0,{}\n"


def importing(installation, tmp_path: pathlib.Path, region: str, kind: str = "ranges") -> None:
    path = tmp_path / "ranges.csv"
    path.write_text(ALL4.format(region))
    installation.admin.run("enrich", "import", kind, path)


def used(collector, dataset: int) -> bool:
    return collector.metrics()["hirundo_address_dataset"] == dataset


def regions(installation) -> list:
    """Data set of the record -> regions of its rows; a record's rows are those between its times."""
    return installation.query("""
        SELECT b.dataset_id, o.src_region, sum(o.packets)::int FROM hirundo.observation o
        JOIN hirundo.ingest_batch b ON b.sensor_id = o.sensor_id AND b.rows > 0
            AND o.observed_at BETWEEN b.first_at AND b.last_at
        GROUP BY 1, 2 ORDER BY 1, 2""")


def test_rows_without_data(installation, tmp_path):
    enrolled = installation.enroll("jp1")
    collector = installation.collector()
    sensor = installation.sensor(enrolled, collector.address)
    assert sensor.read(write_pcap(tmp_path / "a.pcap", background(1, ["203.0.113.7"], 500))) == 0, sensor.log
    assert regions(installation) == [(None, None, 500)]
    assert collector.metrics()["hirundo_address_dataset"] == 0


def test_loaded_before_the_first_row(installation, tmp_path):
    """A sensor that was faster than the load waits: its rows are not without region."""
    path = tmp_path / "pfx2as"
    path.write_text("0.0.0.0\t1\t64496\n128.0.0.0\t1\t4294967295\n")
    importing(installation, tmp_path, "JP")
    installation.admin.run("enrich", "import", "pfx2as", path)
    enrolled = installation.enroll("jp1")
    capture = write_pcap(tmp_path / "a.pcap", background(1, ["203.0.113.7"], 500))
    with installation.connect() as owner, owner.transaction():
        owner.execute("LOCK TABLE hirundo.address_range IN ACCESS EXCLUSIVE MODE")  # the load has to wait
        collector = installation.collector()
        sensor = installation.sensor(enrolled, collector.address).start("--read", capture)
        end = time.monotonic() + 20
        while collector.metrics()["hirundo_queue_records"] == 0:
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(1)
        assert installation.query("SELECT count(*) FROM hirundo.observation") == [(0,)]
    assert sensor.wait() == 0, sensor.log
    assert regions(installation) == [(2, "JP", 500)]
    assert installation.query("SELECT DISTINCT src_asn, src < '128.0.0.0' FROM hirundo.observation ORDER BY 1") == [
        (64496, True), (4294967295, False)]
    installation.check(enrolled, capture)


def test_fed_behind_an_import(installation, tmp_path):
    """Whoever imports and then feeds has what he imported in the first row, also in a collector that runs."""
    importing(installation, tmp_path, "JP")
    collector = installation.collector()
    for turn, region in enumerate(("AU", "KR", "TW")):
        enrolled = installation.enroll(f"s{turn}")
        sensor = installation.sensor(enrolled, collector.address)
        capture = write_pcap(tmp_path / f"{region}.pcap", background(turn, ["203.0.113.7"], 500))
        importing(installation, tmp_path, region)
        assert sensor.read(capture) == 0, sensor.log
    assert installation.query("SELECT s.name, o.src_region, sum(o.packets)::int FROM hirundo.observation o"
                              " JOIN hirundo.sensor s USING (sensor_id) GROUP BY 1, 2 ORDER BY 1") == [
        ("s0", "AU", 500), ("s1", "KR", 500), ("s2", "TW", 500)]


def test_swap_while_packets_flow(installation, tmp_path):
    """Imports one after the other while a sensor feeds: no row is lost, each record has one data set, and its rows
    that one's region."""
    enrolled = installation.enroll("jp1")
    importing(installation, tmp_path, "AA")
    collector = installation.collector(transaction_rows=500)
    names = [chr(ord("A") + i) * 2 for i in range(8)]
    stop = threading.Event()

    def imports():
        for name in names[1:]:
            importing(installation, tmp_path, name)
            collector.reload()
            collector.wait_log(f"state=loaded dataset={ord(name[0]) - ord('A') + 1} ")
            if stop.is_set():
                return

    thread = threading.Thread(target=imports)
    thread.start()
    captures = []
    number = 0
    while thread.is_alive() or number < 3:
        # One after the other in time: a record's times name its rows.
        capture = write_pcap(tmp_path / f"{number}.pcap", background(
            number, ["203.0.113.7"], 3000, start_us=1_700_000_000_000_000 + number * 100_000_000))
        captures.append(capture)
        sensor = installation.sensor(enrolled, collector.address, f"run{number}", spool_dir=tmp_path / "spool", fold="0s")
        assert sensor.read(capture) == 0, sensor.log
        number += 1
        if number > 200:
            stop.set()
    thread.join()
    capture = write_pcap(tmp_path / "last.pcap", background(99, ["203.0.113.7"], 3000, start_us=1_800_000_000_000_000))
    sensor = installation.sensor(enrolled, collector.address, "last", spool_dir=tmp_path / "spool", fold="0s")
    assert sensor.read(capture) == 0, sensor.log
    installation.check(enrolled, *captures, capture, exact=True)
    # Records meet at one time at most: there, and only there, a row may count for two.
    mixed = installation.query("""
        SELECT count(*) FROM hirundo.observation o WHERE NOT EXISTS (
            SELECT FROM hirundo.ingest_batch b WHERE b.sensor_id = o.sensor_id AND b.rows > 0
                AND o.observed_at BETWEEN b.first_at AND b.last_at
                AND repeat(chr(64 + b.dataset_id), 2) = o.src_region)""")
    assert mixed == [(0,)]
    found = [dataset for (dataset,) in installation.query(
        "SELECT DISTINCT dataset_id FROM hirundo.ingest_batch WHERE rows > 0 ORDER BY 1")]
    assert found[-1] == 8 and len(found) >= 2
    assert collector.metrics()["hirundo_address_load_failures_total"] == 0


def test_failed_load_keeps_the_old(installation, tmp_path):
    """Ranges that overlap, in the database itself: refused, told, counted; then a good import is taken."""
    importing(installation, tmp_path, "JP")
    collector = installation.collector()
    collector.wait_log("state=loaded dataset=1 ranges=1")
    installation.query("INSERT INTO hirundo.address_range (lo, hi, region) VALUES ('10.0.0.0', '10.0.0.9', 'KR');"
                       "UPDATE hirundo.enrichment_dataset SET imported_at = now()")
    collector.reload()
    collector.wait_log("ranges overlap.*data set 1 stays")
    metrics = collector.metrics()
    assert metrics["hirundo_address_dataset"] == 1 and metrics["hirundo_address_ranges"] == 1
    assert metrics["hirundo_address_load_failures_total"] >= 1
    enrolled = installation.enroll("jp1")
    sensor = installation.sensor(enrolled, collector.address)
    assert sensor.read(write_pcap(tmp_path / "a.pcap", background(1, ["203.0.113.7"], 300))) == 0, sensor.log
    assert regions(installation) == [(1, "JP", 300)]
    importing(installation, tmp_path, "KR")
    collector.wait_log("state=loaded dataset=2 ranges=1", timeout=20)  # found without being told
    assert collector.metrics()["hirundo_address_imported_timestamp_seconds"] > 1.7e9
    assert collector.stop() == 0


def test_start_without_any_answer(installation, tmp_path):
    """What cannot be asked for holds nothing up: rows go without region."""
    installation.query("REVOKE SELECT ON hirundo.enrichment_dataset FROM hirundo_ingest")
    collector = installation.collector()
    collector.wait_log("module=addresses.*data set 0 stays")
    enrolled = installation.enroll("jp1")
    sensor = installation.sensor(enrolled, collector.address)
    assert sensor.read(write_pcap(tmp_path / "a.pcap", background(1, ["203.0.113.7"], 300))) == 0, sensor.log
    assert regions(installation) == [(None, None, 300)]
