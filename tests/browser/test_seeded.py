"""The seeded instance has what pages have to show, and its books balance."""
import datetime

from harness.hirundo import Admin
from browser.seeding import REGIONS, SENSORS, ZONE


def test_two_years(seeded):
    first, last, sensors = seeded.query("SELECT min(day), max(day), count(DISTINCT sensor_id) FROM hirundo.service_day")[0]
    assert last - first > datetime.timedelta(days=720) and sensors == len(SENSORS) == 30 and len(REGIONS) == 10
    assert seeded.query("SELECT count(*) FROM (SELECT region FROM hirundo.sensor GROUP BY 1 HAVING count(*) = 1) x") == [(1,)]
    assert seeded.query("SELECT hirundo.reporting_zone()") == [(ZONE,)]


def test_packets_are_the_same_in_all_rollups(seeded):
    """Of each sensor and day: by source, by service, by 15 minutes; and none where it did not listen."""
    assert seeded.query(f"""
        SELECT count(*), count(*) FILTER (WHERE s.packets <> v.packets OR v.packets <> c.packets), count(*) FILTER (WHERE c.seconds = 0)
        FROM (SELECT sensor_id, day, sum(packets) AS packets FROM hirundo.source_day GROUP BY 1, 2) s
        FULL JOIN (SELECT sensor_id, day, sum(packets) AS packets FROM hirundo.service_day GROUP BY 1, 2) v USING (sensor_id, day)
        FULL JOIN (SELECT sensor_id, (bucket AT TIME ZONE '{ZONE}')::date AS day, sum(packets) AS packets, sum(seconds) AS seconds
            FROM hirundo.coverage GROUP BY 1, 2) c USING (sensor_id, day)""")[0][1:] == (0, 0)


def test_what_is_rare(seeded):
    """Campaigns, each verdict, one that changed; a sensor that was away, one that came later; payloads; answers."""
    def one(sql):
        return seeded.query(sql)[0][0]
    assert one("SELECT count(DISTINCT day) FROM hirundo.hop_model") >= 28
    assert one("SELECT count(DISTINCT service) FROM hirundo.campaign") >= 2
    assert one("SELECT count(DISTINCT verdict) FROM hirundo.verdict") == 3
    assert one("SELECT count(*) FROM hirundo.verdict_history WHERE version > 1") > 0
    assert one("SELECT count(*) FROM hirundo.verdict_due") == one("SELECT count(*) FROM hirundo.dirty_mark") == 0
    assert one("SELECT count(DISTINCT protocol) FROM hirundo.payload_sample") >= 2
    assert one("SELECT count(DISTINCT function) FROM hirundo.stored_answer WHERE answer IS NOT NULL") >= 8
    assert one("SELECT count(DISTINCT name) FROM hirundo.network_group") == 2


def test_books_balance(seeded, tmp_path):
    Admin(tmp_path, seeded.dsn()).verify()
