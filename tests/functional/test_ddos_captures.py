"""Real captures of attacks, each seen from one place: the floods whose sources are made up are found as
campaigns, the reflectors of the others (real hosts that answered) are hardly ever called spoofed."""
import os
import pathlib

import pytest

from harness.paths import SHARED_CAPTURES
from harness.world import wait_for_verdicts

FOLDER = (pathlib.Path(os.environ["HIRUNDO_SHARED"]) / "data" / "captures" if "HIRUNDO_SHARED" in os.environ
          else SHARED_CAPTURES) / "ddos"
ADDRESS_DATA = [pathlib.Path("/usr/share/tor/geoip"), pathlib.Path("/usr/share/tor/geoip6")]
FLOODS = ("pkt.TCP.synflood.spoofed.pcap", "pkt.TCP.DOMINATE.syn.ecn.cwr.pcapng")
REFLECTION = ("amp.UDP.isakmp.pcap", "amp.UDP.snmp.src161.pcapng", "amp.UDP.bacnet.IOT.37810.pcapng",
              "amp.dns.RRSIG.fragmented.pcap", "amp.TCP.reflection.SYNACK.pcap")

pytestmark = [pytest.mark.skipif(not FOLDER.is_dir(), reason="the captures are not there"),
              pytest.mark.skipif(not ADDRESS_DATA[0].exists(), reason="tor-geoipdb is not installed")]


def judged(installation, name: str) -> dict[str, int]:
    """Sources by verdict."""
    installation.admin.run("enrich", "import", "ranges", *ADDRESS_DATA)
    collector = installation.collector()
    enrolled = installation.enroll("jp1", addresses=("0.0.0.0/0",))
    sensor = installation.sensor(enrolled, collector.address)
    assert sensor.read(FOLDER / name) == 0, sensor.log
    wait_for_verdicts(installation)
    installation.admin.verify()
    return dict(installation.query(
        "SELECT verdict, count(DISTINCT src)::int FROM hirundo.verdict WHERE family(src) = 4 GROUP BY verdict"))


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_a_campaign(installation, name):
    found = judged(installation, name)
    sources = sum(found.values())
    assert found["spoofed"] > 0.9 * sources, found
    claimed, holders = installation.query(
        "SELECT claimed_sources::int, claimed_holders::int FROM hirundo.campaign ORDER BY claimed_sources DESC LIMIT 1")[0]
    assert claimed > 0.9 * sources and holders > 1000, (claimed, holders, sources)


@pytest.mark.parametrize("name", REFLECTION)
def test_reflectors_are_real(installation, name):
    found = judged(installation, name)
    assert found.get("spoofed", 0) <= 0.02 * sum(found.values()), found
