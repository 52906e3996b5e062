"""Real captures, each read by a sensor of its own: what reports tell of it is what a recount of the file says."""
import datetime
import functools
import os
import pathlib

import pytest

from harness import recount, rollups
from harness import recount_reports as reports
from harness.paths import SHARED_CAPTURES
from harness.recount_compare import REPORTS, difference

FOLDER = (pathlib.Path(os.environ["HIRUNDO_SHARED"]) / "data" / "captures" if "HIRUNDO_SHARED" in os.environ
          else SHARED_CAPTURES)
DAY = datetime.timedelta(days=1)
# Attacks; and of the malformed and the rare what is of one day and has a hundred packets.
NAMES = ["amp.TCP.reflection.SYNACK.pcap", "amp.TCP.syn.optionallyACK.optionallysamePort.pcapng",
         "amp.UDP.bacnet.IOT.37810.pcapng", "amp.UDP.isakmp.pcap", "amp.UDP.snmp.src161.pcapng",
         "amp.dns.RRSIG.fragmented.pcap", "pkt.TCP.DOMINATE.syn.ecn.cwr.pcapng", "afs.pcap", "erspan-type-i-4.pcap",
         "mptcp-v0.pcap", "of10_s4810.pcap", "pim-packet-assortment.pcap", "vrrp.pcap", "babel_rfc6126bis.pcap"]
# Whole rankings; of series one way each.
WAYS = {"top_services": (None, "hosts"), "top_source_regions": (), "top_services_by_sensor": (None,), "common_services": (),
        "ttl_by_region": (), "mirai_hosts": (), "hosts_per_day": (), "activity_calendar": (), "ack_packets": ("hour",),
        "service_trend": ("hour",), "packets_per_sensor_day": ("day",), "top_networks": ("prefix", 10, "packets"),
        "ack_organizations": (), "coverage": ("15min",)}
FILTERS = [{}, {"role": "response"}, {"ports_only": True, "exclude": ["bogon", "response"]},
           {"src_region": "ZZ", "traits": ["no_tcp_options", "fragment", "backscatter_udp"]}]

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the captures are not there")


def find(name: str) -> pathlib.Path:
    return next(path for path in (FOLDER / "ddos" / name, FOLDER / "tcpdump-tests" / name) if path.exists())


@functools.lru_cache(maxsize=None)
def packets_of(name: str) -> list[recount.Packet]:
    return recount.read(find(name))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_reports_of_real_captures(installation):
    counted = recount.Counted("Asia/Tokyo")
    installation.query("UPDATE hirundo.setting SET value = 'Asia/Tokyo' WHERE name = 'reporting_zone'")
    for name in NAMES:
        for p in (packets_of(name)[0], packets_of(name)[-1]):
            installation.query("SELECT hirundo.ensure_rollup_month(%s)", (counted.day_of(p.time_us),))
    collector = installation.collector()
    for number, name in enumerate(NAMES, 1):
        everything = ["0.0.0.0/0", "::/0"]
        sensor = installation.sensor(installation.enroll(f"s{number}", "JP", everything), collector.address)
        assert sensor.read(find(name)) == 0, sensor.last_log[-2000:]
        counted.add(recount.Sensor(number, f"s{number}", "JP", tuple(everything), f"JP-{number}"), packets_of(name))
    with installation.connect() as connection:
        rollups.catch_up(connection)
    wrong = []
    with installation.connect("hirundo_analyst") as connection:
        for number, name in enumerate(NAMES, 1):
            days = {counted.day_of(p.time_us) for p in packets_of(name)}
            for f in FILTERS:
                asked = reports.Asked(counted, min(days), max(days) + DAY, f | {"sensors": number})
                for report in REPORTS:
                    if WAYS.get(report.name) == report.more and (report.keys is None or {*asked.f} <= report.keys):
                        wrong.append(difference(connection, report, asked))
    assert len(wrong) > len(NAMES) * len(FILTERS) * 10
    wrong = [text for text in wrong if text]
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:40])
