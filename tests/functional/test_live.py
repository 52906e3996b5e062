"""A live sensor on a real interface: two network namespaces and the cable between them."""
import os
import pathlib
import subprocess
import time
from collections import Counter

from harness import oracle, packets
from harness.live import ADDRESS, Live
from harness.namespaces import scan


def expected(folder: pathlib.Path, datagrams: list[bytes]) -> Counter:
    file = packets.write_pcap(folder / "sent.pcap", [(i, data) for i, data in enumerate(datagrams)])
    return oracle.expected(file, [ADDRESS])


def test_real_packets(open_folder, cable, installation, tmp_path):
    live = Live(installation, cable, open_folder)
    live.collector.start().ready()
    live.sensor.start().ready()
    for field in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(live.sensor.status(field), 16) == 0, field
    assert "0" not in live.sensor.status("Uid").split()
    assert live.sensor.status("NoNewPrivs") == "1"
    assert live.sensor.status("Seccomp") == "2" or os.environ.get("ASAN_OPTIONS")
    datagrams = scan(1, [ADDRESS], 2000)
    other = scan(2, ["203.0.113.8"], 100)  # for a neighbour: not ours
    cable.send(datagrams[:1000] + other + datagrams[1000:])
    live.wait_packets(2000)
    assert live.sensor.stop() == 0, live.sensor.last_log
    oracle.compare(expected(tmp_path, datagrams), live.stored())
    installation.admin.verify()
    ttls = installation.query("SELECT ttl, sum(packets)::int FROM hirundo.observation GROUP BY ttl ORDER BY ttl")
    assert dict(ttls) == Counter(data[8] for data in datagrams)
    final = installation.query("SELECT captured, ignored + sealed, kernel_drops, covered_from < covered_to"
                               " FROM hirundo.sensor_status WHERE final")
    assert final == [(2000, 2000, 0, True)]


def test_interface_down_up_and_gone(open_folder, cable, installation):
    live = Live(installation, cable, open_folder)
    live.collector.start().ready()
    live.sensor.start().ready()
    cable.send(scan(3, [ADDRESS], 100))
    live.wait_packets(100)
    cable.down()
    live.sensor.wait_log("state=down")
    time.sleep(1.5)
    cable.up()
    live.sensor.wait_log("state=up")
    cable.send(scan(4, [ADDRESS], 100))
    live.wait_packets(200)
    # The time without a cable is not covered.
    gap = installation.query("""
        SELECT max(extract(epoch FROM covered_from - before))
        FROM (SELECT covered_from, lag(covered_to) OVER (ORDER BY covered_from) AS before
              FROM hirundo.sensor_status WHERE covered_from < covered_to) AS s""")[0][0]
    assert 1.0 < gap < 10.0
    cable.unplug()
    assert live.sensor.wait(30) == 75, live.sensor.last_log
    installation.admin.verify()


def test_collector_away_and_small_spool(open_folder, cable, installation):
    """The spool is a small file system of its own and gets full while the collector is away: what is
    lost is counted, exactly; the sensor never stops."""
    live = Live(installation, cable, open_folder, spool_dir=open_folder / "small" / "spool", spool_max="1GiB",
                spool_min_free="0")
    small = open_folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", small], check=True)
    try:
        live.collector.start().ready()
        live.sensor.start().ready()
        sent = cable.send(scan(5, [ADDRESS], 1000))
        live.wait_packets(sent)
        live.collector.kill()
        for turn in range(30):
            sent += cable.send(scan(10 + turn, [ADDRESS], 5000))
        live.sensor.wait_log(r'alert=spool state=running write_errors=\d+ error="No space left on device"')
        time.sleep(1.5)
        live.collector.start().ready()
        installation.wait_query("SELECT count(*) > 0 FROM hirundo.ingest_loss WHERE reason = 'spool_full'", True,
                                timeout=60)
        assert live.sensor.stop() == 0, live.sensor.last_log
        installation.admin.verify()
        stored, lost = installation.query(
            "SELECT (SELECT sum(packets) FROM hirundo.observation)::bigint,"
            " (SELECT sum(packets) FROM hirundo.ingest_loss)::bigint")[0]
        drops = installation.query("SELECT kernel_drops FROM hirundo.sensor_status WHERE final")[0][0]
        assert lost > 0
        assert stored + lost + drops == sent
    finally:
        live.sensor.finish()
        subprocess.run(["umount", "-l", small], check=True)


def test_starts_while_the_collector_is_away(open_folder, cable, installation):
    """Target ordinals are kept: a sensor that knows them listens at once."""
    live = Live(installation, cable, open_folder)
    live.collector.start().ready()
    live.sensor.start().ready()
    assert live.sensor.stop() == 0
    live.collector.stop()
    live.sensor.start().ready()
    sent = cable.send(scan(6, [ADDRESS], 500))
    time.sleep(1.5)
    live.sensor.kill()
    live.sensor.start().ready()
    live.collector.start().ready()
    live.wait_packets(sent)
    installation.wait_query("SELECT count(*)::int FROM hirundo.sensor_status WHERE unclean_start", 1)
    assert live.sensor.stop() == 0
    installation.admin.verify()


def test_any_is_refused(open_folder, cable, installation):
    live = Live(installation, cable, open_folder, interface="any")
    live.sensor.start()
    assert live.sensor.wait(10) not in (0, None)
    assert "any" in live.sensor.last_log
