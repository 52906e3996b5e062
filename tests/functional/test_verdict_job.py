"""The collector judges days: from ttl_day to verdicts, their history, and every number of them once more in SQL."""
import datetime
import ipaddress
import random
import re
import time

import pytest

DAY = datetime.date(2024, 6, 1)
REGIONS = ["JP", "AU", "BN", "GH", "HK", "KR", "LK", "MA", "MY", "TW"]
CLAIMED = [*REGIONS, "US", "BR", "DE", "CN", "VN", "IN"]
MEANS = [16, 18, 15, 17, 19, 14, 16, 20, 15, 17]
PORTS = (23, 22, 445, 80)


def signature(port: int) -> int:
    return 6 << 32 | 2 << 24 | 5 << 20 | 5 << 16 | port


class Day:
    """Rows of ttl_day."""

    def __init__(self, seed: int = 1, day: datetime.date = DAY, hour: int = 3):
        self.random, self.day, self.hour, self.rows = random.Random(seed), day, hour, []

    def add(self, src, sensor, port, ttl, region, holder, packets=1, dataset=1):
        first = datetime.datetime.combine(self.day, datetime.time(self.hour), datetime.timezone.utc)
        self.rows.append((first, first + datetime.timedelta(seconds=5), packets, signature(port), sensor, self.day,
                          dataset, ttl, str(src), region, holder))

    def world(self, version: int = 4, holders: int = 8, sources: int = 4):
        """What an ordinary day shows: holders with their own depth, the own region nearer."""
        for r, region in enumerate(CLAIMED):
            for h in range(holders):
                offset = self.random.randrange(-2, 3)
                for i in range(sources):
                    for s, mean in enumerate(MEANS):
                        hops = mean + offset + (r * 5 + s * 3) % 4 - 7 * (r == s) + self.random.randrange(2)
                        for _ in range(1 + (i == 2)):  # now and then two tools
                            self.add(self.address(version, r, h, i), s + 1, PORTS[(i + _) % 4], 64 - hops, region,
                                     f"AS{1000 + 100 * r + h}")
        return self

    @staticmethod
    def address(version: int, region: int, holder: int, i: int):
        if version == 4:
            return ipaddress.ip_address(f"{20 + region}.{holder}.0.{i + 1}")
        return ipaddress.ip_address(f"2400:{region:x}:{holder:x}::{i + 1:x}")

    def flood(self, n: int = 400):
        """One machine that claims everybody's addresses, at two sensors."""
        for i in range(n):
            self.add(self.address(4, i % 16, i // 16 % 8, 100 + i // 128), 1 + i % 2, 8080, 50 + 3 * (i % 2),
                     CLAIMED[i % 16], f"AS{1000 + 100 * (i % 16) + i // 16 % 8}")
        return self

    def store(self, installation, due: int = 1, part: bool = False):
        """With the rollup's mark; part: it tells the sources."""
        sources = sorted({row[8] for row in self.rows}) if part else None
        with installation.connect() as c:
            c.execute("SELECT hirundo.ensure_rollup_month(%s)", (self.day,))
            with c.cursor().copy("COPY hirundo.ttl_day (first_at, last_at, packets, signature, sensor_id, day, dataset_id,"
                                 " ttl, src, src_region, holder) FROM STDIN") as copy:
                for row in self.rows:
                    copy.write_row(row)
            c.execute("INSERT INTO hirundo.verdict_due VALUES (%s, %s, %s::text[]::inet[])", (self.day, due, sources))
            c.commit()
        return self


@pytest.fixture
def sensors(installation):
    for i, region in enumerate(REGIONS, 1):
        installation.query("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                           " VALUES (%s, %s, %s, %s, %s)", (i, f"s{i}", f"urn:hirundo:sensor:s{i}", region, f"{region}-{i}"))
    return installation


def settle(installation, seconds: float = 60):
    """Until nothing is due any more."""
    end = time.monotonic() + seconds
    while installation.query("SELECT count(*) FROM hirundo.verdict_due") != [(0,)]:
        assert time.monotonic() < end
        time.sleep(0.1)


def wait_for_passes(collector, want: list[str]):
    """The log line comes a little after the commit."""
    collector.wait_log("(?s)" + ".*".join(f"pass={kind}" for kind in want))
    assert re.findall(r"pass=(\w+)", collector.log) == want


def judged(installation, *days: Day):
    for n, day in enumerate(days):
        day.store(installation, n + 1)
    collector = installation.collector()
    settle(installation)
    return collector


def check_scores(installation, day: datetime.date = DAY, limit: int = 400) -> int:
    """verdict_score() of SQL-visible rows gives what the collector stored."""
    rows = installation.query(
        "SELECT v.src, v.track, v.kind, v.score, s.score, v.log_claimed, s.log_claimed, v.log_alternative, s.log_alternative,"
        " v.prior, s.prior FROM (SELECT * FROM hirundo.verdict WHERE day = %s ORDER BY md5(src::text) LIMIT %s) v"
        " CROSS JOIN LATERAL hirundo.verdict_score(v.day, v.src, v.track) s", (day, limit))
    wrong = [row for row in rows if row[4] is None or abs(row[3] - row[4]) > 1e-4]
    assert not wrong, (len(wrong), len(rows), wrong[:4])
    return len(rows)


def test_a_day(sensors):
    day = Day().world().world(6).flood()
    day.add("93.184.0.1", 1, 23, 50, None, None, dataset=None)  # nobody knows it
    day.add("192.168.1.1", 1, 23, 50, "JP", "AS1000")  # special-purpose
    for sensor, ttl in enumerate((43, 50, 55, 39, 57, 41), 1):  # as Nmap does
        for t in (ttl, 96 - ttl, ttl - 3 if ttl > 45 else ttl + 3):
            day.add("22.1.0.200", sensor, 22, min(t, 56), "BN", "AS1201")
    for sensor in range(1, 11):  # claims BN, is elsewhere
        day.add("22.2.0.201", sensor, 81, 64 - 10 - sensor % 3 * 7, "BN", "AS1202", packets=4)
        day.add("2400:2:2::c9", sensor, 81, 64 - 10 - sensor % 3 * 7, "BN", "AS1202", packets=4)
    judged(sensors, day)
    verdicts = {(src, track): (kind, verdict, reason) for src, track, kind, verdict, reason in sensors.query(
        "SELECT host(src), track, kind, verdict, hirundo.verdict_reason(v) FROM hirundo.verdict v")}
    assert verdicts["192.168.1.1", 0][:2] == ("bogon", "spoofed")
    assert verdicts["93.184.0.1", 0][:2] == ("fixed", "undetermined")
    assert verdicts["22.1.0.200", 0][0] == "nmap" and verdicts["22.1.0.200", 0][1] != "spoofed"
    assert verdicts["2400:2:2::c9", 0][:2] == ("fixed", "spoofed")
    kind, verdict, reason = verdicts["22.2.0.201", 0]
    assert (kind, verdict) == ("fixed", "spoofed")
    assert reason.startswith("TTLs are not consistent with the claimed network AS1202 (10 regions, 40 packets, 2024-06-01; ")
    assert reason.endswith("best). Cannot exclude a proxy, anycast or a route change.")
    for version in (4, 6):
        world = [verdicts[str(Day.address(version, r, h, i)), 0][1] for r in range(16) for h in range(8) for i in range(4)]
        assert world.count("genuine") > 0.97 * len(world) and "spoofed" not in world
    assert sum("campaign 4-602551f90-64" in reason for _, _, reason in verdicts.values()) > 390
    assert sensors.query("SELECT initial_ttl, service, claimed_sources, claimed_holders, packets FROM hirundo.campaign") == [
        (64, "8080/TCP", 400, 128, 400)]
    assert sensors.query("SELECT sensor_id, hops FROM hirundo.campaign_cell ORDER BY 1") == [(1, 14), (2, 11)]
    assert check_scores(sensors, limit=1500) > 1400
    model = sensors.query("SELECT tracks, genuine + spoofed + undetermined, histogram_rows, sources, campaigns, final,"
                          " dataset_ids, seconds > 0 FROM hirundo.hop_model")
    assert model == [(len(verdicts), len(verdicts), len(day.rows), len({row[8] for row in day.rows}), 1, False, [1], True)]
    # The history: each track once, version 1.
    assert sensors.query("SELECT count(*), max(version) FROM hirundo.verdict_history") == [(len(verdicts), 1)]


def test_not_listed_where_registries_were_asked(sensors):
    """An address is allocated to nobody where the registries' files did not list it; what other data did not know
    before these were imported says nothing."""
    for number, kind in ((1, "ranges"), (2, "rir")):
        sensors.query("INSERT INTO hirundo.enrichment_dataset (dataset_id, kind, name, source_date, checksum, ranges,"
                      " with_region, with_asn, address_ranges, forced) VALUES (%s, %s, %s, %s, '', 1, 1, 0, 1, false)",
                      (number, kind, kind, DAY))
    day = Day().world()
    for n in range(3):
        day.add(f"200.1.2.{n + 1}", 1, 23, 50, None, None, dataset=n or None)
    judged(sensors, day)
    assert sensors.query("SELECT host(src), kind FROM hirundo.verdict WHERE src <<= '200.1.2.0/24' ORDER BY src") == [
        ("200.1.2.1", "fixed"), ("200.1.2.2", "fixed"), ("200.1.2.3", "unlisted")]


COUNTS = ("SELECT tracks, sources, packets, genuine, spoofed, undetermined, held, campaigns FROM hirundo.hop_model",
          "SELECT count(*), count(DISTINCT src), sum(packets)::bigint, count(*) FILTER (WHERE verdict = 'genuine'),"
          " count(*) FILTER (WHERE verdict = 'spoofed'), count(*) FILTER (WHERE verdict = 'undetermined'),"
          " count(*) FILTER (WHERE held), (SELECT count(*)::int FROM hirundo.campaign) FROM hirundo.verdict")


VERSIONS = ("SELECT count(*) FROM hirundo.verdict v FULL JOIN (SELECT DISTINCT ON (day, src, track) day, src, track, version,"
            " verdict FROM hirundo.verdict_history ORDER BY day, src, track, version DESC) h USING (day, src, track)"
            " WHERE v.version IS DISTINCT FROM CASE WHEN h.verdict IS NOT NULL THEN h.version END"
            " OR v.verdict IS DISTINCT FROM h.verdict")


@pytest.mark.parametrize("portion", [400000, 50])
def test_parts(sensors, portion):
    """A day whose whole pass takes long is judged in parts: what has new packets, by what the whole day taught."""
    sensors.query("UPDATE hirundo.setting SET value = '0' WHERE name = 'verdict_full_seconds'")
    sensors.query("UPDATE hirundo.setting SET value = %s WHERE name = 'verdict_portion_sources'", (portion,))
    first = Day().world().flood(100)
    ttls = {row[4]: row[7] for row in first.rows if row[8] == "22.2.0.1"}
    collector = judged(sensors, first)
    before = dict(sensors.query("SELECT host(src), model_at FROM hirundo.verdict"))
    learned = sensors.query("SELECT learned_at, histogram_rows FROM hirundo.hop_model")

    later = Day(2, hour=5)
    for sensor in range(1, 11):
        later.add("22.2.0.201", sensor, 81, 64 - 10 - sensor % 3 * 7, "BN", "AS1202", packets=4)  # is elsewhere
        later.add("22.2.0.1", sensor, 81, ttls[sensor], "BN", "AS1202")  # known, with another tool
    later.add("20.0.0.101", 3, 8080, 33, "JP", "AS1000")  # of the flood
    for i in range(120):  # another one
        later.add(Day.address(4, i % 16, i // 16, 200), 5, 9090, 47, CLAIMED[i % 16], f"AS{1000 + 100 * (i % 16) + i // 16}")
    touched = {row[8] for row in later.rows}
    later.store(sensors, 7, part=True)
    settle(sensors)
    wait_for_passes(collector, ["whole", "part"])
    rows, = sensors.query("SELECT count(*) FROM hirundo.ttl_day WHERE src = ANY (%s::inet[])", (list(touched),))
    assert sensors.query("SELECT learned_at, histogram_rows, part_rows, computed_at > learned_at FROM hirundo.hop_model") == [
        (*learned[0], rows[0], True)]
    after = {src: (verdict, at) for src, verdict, at in sensors.query("SELECT host(src), verdict, model_at FROM hirundo.verdict")}
    assert {src for src, (_, at) in after.items() if before.get(src) != at} == touched, "these, and no others"
    assert after["22.2.0.201"][0] == "spoofed" and after["22.2.0.1"][0] == "genuine"
    reason, = sensors.query("SELECT hirundo.verdict_reason(v) FROM hirundo.verdict v WHERE src = '20.0.0.101'")[0]
    assert "campaign 4-602551f90-64" in reason, "what the whole day showed of it stands"
    assert sensors.query("SELECT service, claimed_sources, packets FROM hirundo.campaign ORDER BY 1") == [
        ("8080/TCP", 100, 100), ("9090/TCP", 120, 120)]
    assert sensors.query(COUNTS[0]) == sensors.query(COUNTS[1])
    assert check_scores(sensors, limit=1000) > 600
    assert sensors.query("SELECT count(*) FROM hirundo.verdict_history WHERE version > 1 AND src <> '20.0.0.101'"
                         " AND src <> '22.2.0.1'") == [(0,)]

    # What a whole pass would say.
    sensors.query("UPDATE hirundo.setting SET value = '60' WHERE name = 'verdict_full_seconds'")
    sensors.query("INSERT INTO hirundo.verdict_due VALUES (%s, 8, '{}')", (DAY,))
    settle(sensors)
    wait_for_passes(collector, ["whole", "part", "whole"])
    whole = dict(sensors.query("SELECT host(src), verdict FROM hirundo.verdict"))
    other = {src: (verdict, whole[src]) for src, (verdict, _) in after.items() if whole[src] != verdict}
    assert len(other) < 0.02 * len(touched) and not any("undetermined" not in pair for pair in other.values()), other
    assert sensors.query(COUNTS[0]) == sensors.query(COUNTS[1])
    assert sensors.query(VERSIONS) == [(0,)]


def test_parts_after_a_restart(sensors):
    """What the whole pass learned is read back: a part says what it said, to the last bit."""
    sensors.query("UPDATE hirundo.setting SET value = '0' WHERE name = 'verdict_full_seconds'")
    days = [Day(day=DAY - datetime.timedelta(1)).world(), Day(2).world().world(6).flood(100)]
    collector = judged(sensors, *days)
    wait_for_passes(collector, ["whole", "whole"])
    later = Day(3, hour=5)
    for i in range(60):
        for sensor in range(1 + i % 3, 11):
            later.add(Day.address(4, i % 16, i // 16, 0), sensor, 81, 64 - 10 - sensor % (2 + i % 4) * 3, CLAIMED[i % 16],
                      f"AS{1000 + 100 * (i % 16) + i // 16}")
    later.add("22.9.0.1", 4, 81, 50, "BN", "AS1209")  # nobody of it was there before
    later.store(sensors, 7, part=True)
    settle(sensors)
    wait_for_passes(collector, ["whole", "whole", "part"])
    rows = "SELECT src, track, xmin::text FROM hirundo.verdict WHERE day = %s ORDER BY 1, 2"
    before = sensors.query(rows, (DAY,))
    assert len({xmin for _, _, xmin in before}) == 2, "some rows are the part's"
    collector.finish()
    sensors.processes.remove(collector)
    for mark in (8, 9):  # read back, then kept
        sensors.query("INSERT INTO hirundo.verdict_due VALUES (%s, %s, %s::text[]::inet[])",
                      (DAY, mark, sorted({row[8] for row in later.rows})))
        collector = collector if mark == 9 else sensors.collector()
        settle(sensors)
        wait_for_passes(collector, ["part"] * (mark - 7))
        assert sensors.query(rows, (DAY,)) == before


def test_a_path_that_changed_holds_verdicts(sensors):
    """All of a network's sources arrive on other ways at once, each with a tool of its own: what was genuine stays so.
    Of another network too few do."""
    days = [Day(n, DAY + datetime.timedelta(n)).world(holders=4) for n in range(2)]
    moved = {"22.1.1": 3, "22.2.1": 2}  # of 3 each
    for n, day in enumerate(days):
        for h, (net, many) in enumerate(moved.items()):
            for i in range(3):
                for sensor, mean in enumerate(MEANS, 1):
                    way = mean + (2 * 5 + (sensor - 1) * 3) % 4 - 7 * (sensor == 3)
                    if n == 1 and i < many:
                        way += 6 if sensor * (2 * i + 3) // 4 % 2 else -6
                    day.add(f"{net}.{i + 1}", sensor, 5000 + 100 * h + i, 128 - way, "BN", f"AS{1211 + h}", packets=3)
    judged(sensors, *days)
    rows = sensors.query("SELECT host(src), verdict, held, hirundo.verdict_reason(v) FROM hirundo.verdict v"
                         " WHERE day = %s AND score < 0", (days[1].day,))
    found = {net: [(verdict, held) for src, verdict, held, _ in rows if src.startswith(f"{net}.")] for net in moved}
    assert found == {"22.1.1": [("genuine", True)] * 3, "22.2.1": [("spoofed", False)] * 2}
    assert all(("changed, so the verdict is held" in reason) == held for _, _, held, reason in rows)


def test_parts_come_to_a_whole(sensors):
    """When parts have read half as much as the whole pass, when thresholds change, when any row may have changed,
    the whole day is judged."""
    sensors.query("UPDATE hirundo.setting SET value = '0' WHERE name = 'verdict_full_seconds'")
    collector = judged(sensors, Day().world())
    passes = ["whole"]

    def due(sources: str, want: str):
        sensors.query(f"INSERT INTO hirundo.verdict_due SELECT %s, %s, {sources}", (DAY, len(passes)))
        settle(sensors)
        passes.append(want)
        wait_for_passes(collector, passes)

    nothing, everything = "'{}'::inet[]", "(SELECT array_agg(DISTINCT src) FROM hirundo.ttl_day)"
    due(nothing, "part")
    due(everything, "part")
    due(nothing, "whole")
    due("NULL", "whole")
    sensors.query("UPDATE hirundo.setting SET value = '-1.5' WHERE name = 'spoofed_score'")
    due(nothing, "whole")
    due(nothing, "part")
    assert sensors.query(COUNTS[0]) == sensors.query(COUNTS[1])


def test_changes(sensors):
    """A later run writes what changed, and its history; what is gone is told."""
    first = Day().world()
    first.add("22.2.0.201", 1, 81, 36, "BN", "AS1202")
    collector = judged(sensors, first)
    before = dict(sensors.query("SELECT host(src), verdict FROM hirundo.verdict"))
    more = Day()
    for sensor in range(1, 11):
        more.add("22.2.0.201", sensor, 81, 128 - 10 - sensor % 3 * 7, "BN", "AS1202", packets=4)
    more.store(sensors, 7)
    settle(sensors)
    history = sensors.query("SELECT track, version, verdict FROM hirundo.verdict_history WHERE src = '22.2.0.201'"
                            " ORDER BY computed_at, track")
    assert history[0] == (0, 1, before["22.2.0.201"])
    tracks = sensors.query("SELECT track, verdict FROM hirundo.verdict WHERE src = '22.2.0.201' ORDER BY 1")
    assert tracks[1] == (128, "spoofed") and tracks[0][0] == 64
    assert set(history[1:]) == {(0, 2, None), *((track, 1, verdict) for track, verdict in tracks)}
    assert check_scores(sensors) == 400
    # Nothing changed: nothing is written.
    rows = sensors.query("SELECT src, track, xmin::text FROM hirundo.verdict ORDER BY 1, 2")
    sensors.query("INSERT INTO hirundo.verdict_due VALUES (%s, 8)", (DAY,))
    settle(sensors)
    assert sensors.query("SELECT src, track, xmin::text FROM hirundo.verdict ORDER BY 1, 2") == rows
    # The track that was gone is back.
    sensors.query("DELETE FROM hirundo.ttl_day WHERE src = '22.2.0.201' AND ttl > 64")
    sensors.query("INSERT INTO hirundo.verdict_due VALUES (%s, 9)", (DAY,))
    settle(sensors)
    assert sensors.query("SELECT track, version, verdict FROM hirundo.verdict WHERE src = '22.2.0.201'") == [
        (0, 3, before["22.2.0.201"])]
    assert sensors.query(VERSIONS) == [(0,)]
    del collector


def test_final_days_stay(sensors):
    collector = judged(sensors, Day().world(holders=4))
    sensors.query("UPDATE hirundo.hop_model SET opened_at = now() - interval '49 hours'")
    end = time.monotonic() + 30
    while not sensors.query("SELECT final FROM hirundo.hop_model")[0][0]:
        assert time.monotonic() < end
        time.sleep(0.1)
    rows = sensors.query("SELECT count(*) FROM hirundo.verdict")
    late = Day()
    late.add("22.2.0.201", 1, 81, 50, "BN", "AS1202")
    late.store(sensors, 9)
    settle(sensors)
    assert sensors.query("SELECT count(*) FROM hirundo.verdict") == rows
    assert sensors.query("SELECT late_at > computed_at FROM hirundo.hop_model") == [(True,)]
    # What came late counts, without a verdict.
    assert sensors.query("SELECT verdict, packets_undetermined FROM report.spoof_verdict(%s, %s)",
                         (f"[{DAY},{DAY}]", '{"sources": "22.2.0.201"}')) == [("undetermined", 1)]
    del collector


def test_poor_days_gain_from_earlier_ones(sensors):
    """A few packets of a source: nothing on their own, a verdict after a day that taught."""
    poor = Day(day=DAY + datetime.timedelta(1))
    for sensor in range(2, len(MEANS) + 1):
        way = MEANS[sensor - 1] + (sensor - 1) * 3 % 4
        poor.add("20.1.0.9", sensor, 9999, 64 - way, "JP", "AS1001", 2)
        poor.add("20.1.0.10", sensor, 9999, 64 - way + (5 if sensor % 2 else -5), "JP", "AS1001", 2)
    judged(sensors, Day().world(), poor)
    assert dict(sensors.query("SELECT host(src), verdict FROM hirundo.verdict WHERE day = %s", (poor.day,))) == {
        "20.1.0.9": "genuine", "20.1.0.10": "spoofed"}
    assert check_scores(sensors, poor.day) == 2


def test_one_sensor_and_an_empty_day(sensors):
    """Nothing to compare with: no verdict but undetermined; a mark without rows is no trouble."""
    day = Day()
    for i in range(200):
        day.add(f"30.{i}.0.1", 1, 1000 + i, (0, 255, 64, 50)[i % 4], "JP", f"AS{i}")
    sensors.query("INSERT INTO hirundo.verdict_due VALUES ('2024-05-01', 1)")
    judged(sensors, day)
    assert sensors.query("SELECT DISTINCT verdict FROM hirundo.verdict") == [("undetermined",)]
    assert sensors.query("SELECT tracks FROM hirundo.hop_model ORDER BY day") == [(0,), (200,)]
