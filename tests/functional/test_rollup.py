"""Rollups as the collector keeps them, by itself, against a recount from raw rows."""
from harness import rollups
from harness.packets import background, write_pcap

MARKS = "SELECT count(*) FROM hirundo.dirty_mark"


def test_rollups_follow(installation, tmp_path):
    """Two sensors, a zone with half hours, then the same times once more and a capture again."""
    installation.query("UPDATE hirundo.setting SET value = 'Asia/Colombo' WHERE name = 'reporting_zone'")
    files = [write_pcap(tmp_path / f"{seed}.pcap", background(seed, ["203.0.113.7"], 4000)) for seed in (1, 2)]
    collector = installation.collector()
    sensors = [installation.sensor(installation.enroll(name, "JP", ["203.0.113.7"]), collector.address)
               for name in ("jp1", "jp2")]
    for sensor in sensors:
        assert sensor.read(files[0]) == 0, sensor.last_log[-2000:]
    installation.wait_query(MARKS, 0)
    with installation.connect() as connection:
        rollups.compare(connection)
        assert connection.execute("SELECT sum(packets), count(DISTINCT sensor_id) FROM hirundo.source_day"
                                  ).fetchone() == (8000, 2)
    assert sensors[0].read(files[1]) == 0 and sensors[0].read(files[0], "--again") == 0
    installation.wait_query(MARKS, 0)
    with installation.connect() as connection:
        rollups.compare(connection)
    metrics = collector.metrics()
    assert metrics["hirundo_rollup_rows_total"] == installation.query("SELECT count(*) FROM hirundo.observation")[0][0]
    assert metrics["hirundo_rollup_recounted_days_total"] == 0
    assert collector.get("/healthz").startswith("ok")


def test_two_collectors(installation, tmp_path):
    """Both roll up; each row counts once."""
    files = [write_pcap(tmp_path / f"{seed}.pcap", background(seed, ["203.0.113.7"], 3000)) for seed in (1, 2, 3)]
    collectors = [installation.collector(), installation.collector()]
    enrolled = [installation.enroll(name, "JP", ["203.0.113.7"]) for name in ("jp1", "jp2")]
    sensors = [installation.sensor(who, collector.address) for who, collector in zip(enrolled, collectors)]
    for file in files:
        for sensor in sensors:
            assert sensor.read(file) == 0, sensor.last_log[-2000:]
    installation.wait_query(MARKS, 0)
    with installation.connect() as connection:
        rollups.compare(connection)
    rows = sum(collector.metrics()["hirundo_rollup_rows_total"] for collector in collectors)
    assert rows == installation.query("SELECT count(*) FROM hirundo.observation")[0][0]


def test_only_the_sensor_that_fails_waits(installation, tmp_path):
    """Where a step of all fails, each sensor has its own for a while; what failed is done once it can be."""
    file = write_pcap(tmp_path / "scan.pcap", background(4, ["203.0.113.7"], 3000))
    installation.query("ALTER TABLE hirundo.ttl_day ADD CONSTRAINT broken CHECK (sensor_id <> 2)")
    collector = installation.collector()
    for name in ("jp1", "jp2", "jp3"):
        sensor = installation.sensor(installation.enroll(name, "JP", ["203.0.113.7"]), collector.address)
        assert sensor.read(file) == 0, sensor.last_log[-2000:]
    installation.wait_query("SELECT array_agg(DISTINCT sensor_id) FROM hirundo.dirty_mark", [2], timeout=120)
    assert installation.query("SELECT sensor_id, sum(packets) FROM hirundo.source_day GROUP BY 1 ORDER BY 1") == [(1, 3000), (3, 3000)]
    assert collector.metrics()["hirundo_rollup_failures_total"] >= 2 and "sqlstate=23514" in collector.log
    installation.query("ALTER TABLE hirundo.ttl_day DROP CONSTRAINT broken")
    installation.wait_query(MARKS, 0, timeout=120)
    with installation.connect() as connection:
        rollups.compare(connection)
