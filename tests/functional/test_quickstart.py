"""The first command of the README, as a newcomer's scripts call it."""
import csv
import json
import os
import pathlib
import re
import subprocess
import time
import urllib.request

import psycopg
import pytest

from harness.packets import background, write_pcap
from harness.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUICKSTART = ROOT / "deploy" / "quickstart"


def quickstart(folder: pathlib.Path, *argv, check: bool = True) -> subprocess.CompletedProcess:
    run = subprocess.run([QUICKSTART, "--dir", folder, *map(str, argv)], stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=800)
    if check:
        assert run.returncode == 0, run.stdout + run.stderr
    return run


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    yield folder
    quickstart(folder, "--purge")
    assert not folder.exists()


def answer(run: subprocess.CompletedProcess) -> dict:
    return json.loads(run.stdout.splitlines()[-1])


def verify(where: dict) -> None:
    run = subprocess.run([f"{where['bin']}/hirundo-admin", "--config", where["admin_config"], "verify"],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def cells(text: str, title: str) -> list[list[str]]:
    """The rows of the table below a line that begins so."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(title):
            break
    for line in lines:
        if line.startswith("---"):
            break
    rows = []
    for line in lines:
        if not line:
            break
        rows.append([cell.strip() for cell in line.split("|")])
    return rows


def shows_verdicts(output: str, where: dict) -> None:
    """TTLs by region, campaigns and spoofed sources as the rows have them, and as they were made."""
    with open(pathlib.Path(where["admin_config"]).parent / "captures" / "labels.csv", newline="") as file:
        labels = list(csv.DictReader(file))
    cluster = {label["source_ip"] for label in labels if label["kind"] == "g_cluster"}
    forged = {label["source_ip"] for label in labels if label["truth"] == "spoofed"}
    with psycopg.connect(where["analyst_dsn"]) as analyst:
        ttls = analyst.execute("""
            WITH sent AS (
                SELECT s.region, o.* FROM hirundo.observation o JOIN hirundo.sensor s USING (sensor_id)
                WHERE o.src = ANY (%s::inet[]) AND o.protocol = 6 AND o.dst_port IN (22, 5900)
            ), both_ports AS (
                SELECT src FROM sent GROUP BY src HAVING count(DISTINCT dst_port) = 2
            )
            SELECT coalesce(region, 'all'), min(ttl) || ' ~ ' || max(ttl), (255 - max(ttl)) || ' ~ ' || (255 - min(ttl)),
                count(DISTINCT src)::text, sum(packets)::text
            FROM sent JOIN both_ports USING (src) GROUP BY ROLLUP (region) ORDER BY region""", (list(cluster),)).fetchall()
        campaigns = analyst.execute("""
            SELECT to_char(day, 'MM-DD'), campaign, service, claimed_holders::text, claimed_sources::text, packets::text
            FROM hirundo.campaign c ORDER BY c.claimed_holders DESC, c.packets DESC, c.day, c.campaign""").fetchall()
        spoofed = dict(analyst.execute(
            "SELECT host(src), array_agg(score::float8) FROM hirundo.verdict WHERE verdict = 'spoofed' GROUP BY 1"))
    assert len(ttls) == 11 and ttls[-1][0] == "all" and 300 <= int(ttls[-1][3]) <= 310
    assert cells(output, f"TTLs by sensor region: {ttls[-1][3]} sources ") == [list(row) for row in ttls]

    shown = [line.split() for line in output.split(f"\nCampaigns, the largest of {len(campaigns)}: ")[1].split("\n\n")[0]
             .splitlines()[4:]]
    assert shown and [tuple(row[:6]) for row in shown] == campaigns[:5]
    assert " AU BN GH HK JP KR LK MA MY TW " in output

    sources = re.findall(r"^(\S+) +claims [A-Z]{2}  score (\S+)  regions \d+  packets \d+\n {8}(\S.*)", output, re.MULTILINE)
    assert len(sources) == 10
    for source, score, reason in sources:
        assert any(float(score) == pytest.approx(s, abs=0.051) for s in spoofed[source]) and reason, source
    assert [float(score) for _, score, _ in sources] == sorted(float(score) for _, score, _ in sources)
    assert len({source for source, _, _ in sources} & forged) >= 9
    assert "Regions and networks from 1: rir demonstration, invented of " in output
    assert "The demonstration is invented: " in output


def test_quickstart(folder):
    """Ten sensors, ten regions, rows and verdicts in SQL; again: quick, and nothing is stored twice."""
    run = quickstart(folder, "--json")
    where = answer(run)
    assert len(where["sensors"]) == 10
    assert f"dashboard: {where['dashboard']} " in run.stdout
    with urllib.request.urlopen(where["dashboard"], timeout=10) as page:
        assert page.headers["content-type"] == "text/html; charset=utf-8"
    with urllib.request.urlopen(where["dashboard"] + "api/viewer", timeout=10) as page:
        assert json.load(page)["rows"][0]["everything"] is True
    assert "23/TCP" in run.stdout
    assert "address data: invented, as the demonstration is\n" in run.stdout
    with psycopg.connect(where["analyst_dsn"]) as analyst:
        assert analyst.execute("SELECT count(DISTINCT region) FROM hirundo.sensor").fetchone() == (10,)
        (packets,) = analyst.execute("SELECT sum(packets) FROM hirundo.observation").fetchone()
        assert packets > 50000
        assert analyst.execute("SELECT kind, name FROM hirundo.enrichment_dataset").fetchall() == [
            ("rir", "demonstration, invented")]
        assert analyst.execute("SELECT bool_and(dataset_id = 1) FROM hirundo.ingest_batch").fetchone() == (True,)
        (known,) = analyst.execute("SELECT avg((src_region IS NOT NULL)::int) FROM hirundo.observation").fetchone()
        assert 0.9 < known < 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute("SELECT * FROM hirundo.sensor_address")
    verify(where)
    shows_verdicts(run.stdout, where)
    assert "still" not in run.stdout     # all was judged in time
    assert [line for line in run.stdout.splitlines()[:-1] if len(line) > 100 and "psql" not in line] == []
    assert b"hirundo" in urllib.request.urlopen(where["metrics"], timeout=10).read()
    # A key lies where only its owner reads it.
    for key in pathlib.Path(where["admin_config"]).parent.rglob("*.key"):
        assert key.stat().st_mode & 0o077 == 0, key

    begin = time.monotonic()
    again = quickstart(folder, "--json")
    assert time.monotonic() - begin < 20
    assert answer(again) == where
    shows_verdicts(again.stdout, where)
    with psycopg.connect(where["analyst_dsn"]) as analyst:
        assert analyst.execute("SELECT sum(packets) FROM hirundo.observation").fetchone() == (packets,)

    quickstart(folder, "--stop")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(where["dsn"])
    assert answer(quickstart(folder, "--no-feed", "--json")) == where
    verify(where)


def test_own_sensors_and_captures(folder, tmp_path):
    sensors = tmp_path / "sensors.csv"
    with open(sensors, "w", newline="") as file:
        csv.writer(file).writerows([("name", "region", "addresses"),
                                    ("north", "JP", "203.0.113.7 2001:db8:77::/64"), ("south", "LK", "198.51.100.0/28")])
    sensors.write_text(sensors.read_text().rstrip())  # as editors that do not end the last line leave it
    run = quickstart(folder, "--sensors", sensors, "--no-feed", "--json")
    assert "address data: tor-geoipdb (IPFire Location), not TSUBAME's method\n" in run.stdout
    where = answer(run)
    assert sorted(where["sensors"]) == ["north", "south"]
    with psycopg.connect(where["analyst_dsn"]) as analyst:
        assert analyst.execute("SELECT kind, name FROM hirundo.enrichment_dataset").fetchall() == [
            ("ranges", "tor-geoipdb (IPFire Location)")]
        assert analyst.execute("SELECT region FROM hirundo.address_info('1.1.1.1')").fetchone()[0] is not None
    capture = write_pcap(tmp_path / "own.pcap", background(3, ["192.0.2.1", "203.0.113.7"], 1000))
    os.chmod(capture, 0o600)
    run = quickstart(folder, "--sensors", sensors, "--read", capture, "--read", f"north={capture}", "--json")
    assert {"north", "south", "mine"} == set(answer(run)["sensors"])
    assert re.search(r"^Sources: \d+ spoofed, \d+ genuine, \d+ undetermined$", run.stdout, re.MULTILINE)
    assert "TTLs by sensor region" not in run.stdout and "invented" not in run.stdout
    with psycopg.connect(where["dsn"]) as owner:
        stored = dict(owner.execute(
            "SELECT name, sum(packets) FROM hirundo.observation JOIN hirundo.sensor USING (sensor_id) GROUP BY 1"))
    assert stored["mine"] == 1000 and 0 < stored["north"] < 1000
    # A script delivers more by itself.
    other = write_pcap(tmp_path / "other.pcap", background(4, ["198.51.100.3"], 300))
    delivery = subprocess.run([f"{where['bin']}/hirundo-sensor", "--config", where["sensors"]["south"], "--read", other],
                              capture_output=True, text=True)
    assert delivery.returncode == 0, delivery.stderr
    verify(where)
    sensors.write_text(sensors.read_text().replace("198.51.100.0/28", "198.51.100.0/27"))
    run = quickstart(folder, "--sensors", sensors, "--no-feed")
    assert "south is enrolled already, with other addresses" in run.stdout + run.stderr
    assert "north is" not in run.stdout + run.stderr and "198.51.100" not in run.stdout + run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="another /etc/passwd needs root")
def test_machine_without_postgresql(tmp_path):
    """On a fresh machine PostgreSQL's user comes with the packages: nothing asks for it before."""
    users = tmp_path / "passwd"
    users.write_text("".join(line for line in open("/etc/passwd") if not line.startswith("postgres:")))
    run = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', users,
                          ROOT / "deploy" / "quickstart", "--stop", "--dir", tmp_path / "none"],
                         capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "SUDO_USER"})
    assert (run.returncode, run.stdout) == (0, f"nothing at {tmp_path / 'none'}\n"), run.stderr


def test_two_side_by_side(folder, tmp_path):
    second = tmp_path / "second"
    try:
        one, two = (answer(quickstart(path, "--no-feed", "--json")) for path in (folder, second))
        assert one["collector"] != two["collector"] and one["dsn"] != two["dsn"]
        verify(one)
        verify(two)
    finally:
        quickstart(second, "--purge")


def test_mistakes(tmp_path):
    folder = tmp_path / "run"
    assert quickstart(folder, "--nonsense", check=False).returncode == 64
    assert quickstart(folder, "--read", tmp_path / "absent.pcap", check=False).returncode == 1
    (tmp_path / "bad.csv").write_text("name;region\n")
    run = quickstart(folder, "--sensors", tmp_path / "bad.csv", check=False)
    assert run.returncode == 1 and "name,region,addresses" in run.stderr
    assert not folder.exists()
    assert "nothing at" in quickstart(folder, "--purge").stdout
