"""Is this source real? Asked of real packets: three regions whose routers decrement the TTL, one host that
sends under its own address and one that sends under another's."""
import os
import random
import shutil

import pytest

from harness import packets
from harness.live import OPTIONS
from harness.routers import Internet
from harness.world import wait_for_verdicts

DARK = {"JP": "203.0.113.7", "AU": "203.0.113.71", "KR": "203.0.113.135"}
ACCESS = {"JP": 3, "AU": 2, "KR": 1}
CHAINS = {("JP", "AU"): 6, ("JP", "KR"): 2, ("KR", "AU"): 7}
# An invented plan: each region has holders, each holder a /24.
HOLDERS = {"JP": 60, "AU": 61, "KR": 62}
HOLDERS_N = 12
TOOLS = ((23, 64, 5840, 1460), (445, 128, 64240, 1460), (22, 255, 1024, None))


@pytest.fixture
def internet():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    internet = Internet(ACCESS, CHAINS, DARK)
    yield internet
    internet.destroy()


def delegated(folder):
    """The address plan as a delegated-extended file."""
    lines = [f"apnic|{region}|ipv4|{first}.0.{i}.0|256|20200101|allocated|{region}-{i}"
             for region, first in HOLDERS.items() for i in range(HOLDERS_N)]
    file = folder / "delegated-extended.txt"
    file.write_text("\n".join([f"2|apnic|20260101|{len(lines)}|19830613|20260101|+0000",
                               f"apnic|*|ipv4|*|{len(lines)}|summary", *lines]) + "\n")
    return file


def syn(random_, src: str, dst: str, tool) -> bytes:
    port, ttl, window, mss = tool
    a, b = packets.address(src), packets.address(dst)
    segment = packets.tcp(a, b, random_.randrange(1024, 65536), port, random_.getrandbits(32), window=window, mss=mss)
    return packets.ipv4(a, b, 6, segment, ttl, random_.getrandbits(16), 2)


def population(random_, region: str) -> list[bytes]:
    """Hosts of the region, of every holder and with every tool: from them the way is learned."""
    hosts = [(f"{HOLDERS[region]}.0.{holder}.{10 + i}", tool)
             for holder in range(HOLDERS_N) for i, tool in enumerate(TOOLS)]
    return [syn(random_, src, dst, tool) for src, tool in hosts for dst in DARK.values() for _ in range(2)]


def test_an_honest_and_a_spoofing_host(internet, installation, open_folder, tmp_path):
    random_ = random.Random(1)
    installation.admin.run("enrich", "import", "rir", delegated(tmp_path))
    collector = installation.collector(start=False)
    internet.inside(collector)
    collector.start().ready()
    sensors = []
    for region, address in DARK.items():
        enrolled = installation.enroll(region.lower(), region, (address,), capture=False)
        sensor = installation.sensor(enrolled, collector.address,
                                     **{**OPTIONS, "user": "root", "interface": internet.interface(region)})
        internet.inside(sensor)
        sensors.append(sensor.start().ready())

    for region in DARK:
        internet.send(region, population(random_, region))
    honest, claimed = "60.0.3.200", "60.0.5.200"
    internet.connect("JP", honest)
    internet.send("KR", [syn(random_, claimed, dst, (23, 64, 5840, 1460)) for dst in DARK.values() for _ in range(5)])

    # The routers did count: each region sees its own distance.
    sent = sum(len(population(random_, region)) for region in DARK) + 15
    installation.wait_query("SELECT coalesce(sum(packets), 0)::int FROM hirundo.observation WHERE src <> %s", sent,
                            (honest,))
    installation.wait_query("SELECT count(DISTINCT sensor_id)::int FROM hirundo.observation WHERE src = %s",
                            len(DARK), (honest,))
    for source, origin, ttl in ((honest, "JP", 64), (claimed, "KR", 64)):
        seen = installation.query("SELECT DISTINCT s.region, o.ttl FROM hirundo.observation o"
                                  " JOIN hirundo.sensor s USING (sensor_id) WHERE o.src = %s", (source,))
        assert dict(seen) == {region: ttl - internet.hops(origin, region) for region in DARK}, source

    # A sensor that listens tells so every second; when all have stopped, everything can be judged.
    for sensor in sensors:
        assert sensor.stop() == 0, sensor.last_log
    wait_for_verdicts(installation)
    verdicts = {str(src): (verdict, region, nearest, reason) for src, verdict, region, nearest, reason in
                installation.query("SELECT host(src), verdict, src_region, nearest_region, reason"
                                   " FROM report.spoof_verdict(daterange(current_date - 1, current_date + 1))"
                                   " WHERE src IN (%s, %s)", (honest, claimed))}
    assert verdicts[honest][:2] == ("genuine", "JP"), verdicts
    assert verdicts[claimed][:3] == ("spoofed", "JP", "KR"), verdicts
    assert "not consistent" in verdicts[claimed][3], verdicts
    # Nobody of the population is accused.
    assert installation.query("SELECT count(*)::int FROM hirundo.verdict WHERE verdict = 'spoofed' AND src <> %s",
                              (claimed,)) == [(0,)]
    installation.admin.verify()
