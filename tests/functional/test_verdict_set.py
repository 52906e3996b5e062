"""The detector's core on whole sets of captures: against the reference, and on real floods and reflections."""
import csv
import pathlib
import subprocess

import pytest

from harness.paths import ROOT, program

SHARED = ROOT.parent / "shared"
REFERENCE = SHARED / "reference" / "detector" / "spoofdetect.py"
SETS = sorted((SHARED / "data" / "sim").glob("*/labels.csv"))
DDOS = SHARED / "data" / "captures" / "ddos"


def judge(folder: pathlib.Path, out: pathlib.Path, *options: str) -> tuple[list[dict], str]:
    run = subprocess.run([program("verdict_set"), *options, folder, out], capture_output=True, text=True, check=True)
    with open(out, newline="") as file:
        return list(csv.DictReader(file)), run.stderr


def oracle(folder: pathlib.Path) -> dict[str, tuple[float, str]]:
    """The reference detector, with what it leaves to the order of its sets made definite: which source of a
    holder speaks for it in a campaign, and which initial TTL is looked at first."""
    text = REFERENCE.read_text()
    for old, new in (("rep[g[1]] = (x, g)", "rep[g[1]] = max(rep.get(g[1], (0,)), (x, g))"),
                     ("for I in {cls(z) for z in D.hist[x][s]}:", "for I in sorted({cls(z) for z in D.hist[x][s]}):")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    module = {"__name__": "oracle"}
    exec(compile(text, str(REFERENCE), "exec"), module)
    data = module["Data"](str(folder))
    data.hist = dict(sorted(data.hist.items()))
    detector = module["Detector"](data, dict(module["PAR"]))
    return {module["ip2s"](src): (max(-9.0, min(9.0, score)), detector.verdict(score))
            for src, (score, _) in detector.rows.items()}


@pytest.mark.skipif(not REFERENCE.exists() or not SETS, reason="needs ../shared/reference and ../shared/data/sim")
@pytest.mark.parametrize("labels", SETS, ids=[path.parent.name for path in SETS])
def test_same_scores_as_the_reference(labels, tmp_path):
    rows, _ = judge(labels.parent, tmp_path / "out.csv", "--reference")
    want = oracle(labels.parent)
    assert {row["source"] for row in rows} == set(want)
    wrong = [row for row in rows if abs(float(row["score"]) - want[row["source"]][0]) > 1e-6
             or row["verdict"] != want[row["source"]][1]]
    assert len(wrong) <= len(want) / 1000, wrong[:5]


def capture_set(tmp_path: pathlib.Path, name: str) -> pathlib.Path:
    """A set of one capture: one vantage point, no address data."""
    (tmp_path / "sensors.csv").write_text("sensor_id,region,address\none,JP,192.0.2.1\n")
    (tmp_path / "sensor-one.pcap").symlink_to(DDOS / name)
    return tmp_path


@pytest.mark.skipif(not DDOS.exists(), reason="needs ../shared/data/captures")
@pytest.mark.parametrize("name", ["pkt.TCP.synflood.spoofed.pcap", "pkt.TCP.DOMINATE.syn.ecn.cwr.pcapng"])
def test_spoofed_floods_are_campaigns(name, tmp_path):
    rows, log = judge(capture_set(tmp_path, name), tmp_path / "out.csv")
    assert " 1 campaigns," in log
    assert sum(row["verdict"] == "spoofed" and "campaign" in row["reason"] for row in rows) > 0.95 * len(rows) > 9000


@pytest.mark.skipif(not DDOS.exists(), reason="needs ../shared/data/captures")
@pytest.mark.parametrize("name", ["amp.TCP.reflection.SYNACK.pcap", "amp.UDP.bacnet.IOT.37810.pcapng",
                                  "amp.UDP.isakmp.pcap", "amp.UDP.snmp.src161.pcapng", "amp.dns.RRSIG.fragmented.pcap"])
def test_reflectors_are_not_called_spoofed(name, tmp_path):
    rows, _ = judge(capture_set(tmp_path, name), tmp_path / "out.csv")
    assert len(rows) > 200
    assert sum(row["verdict"] == "spoofed" for row in rows) <= 0.02 * len(rows)
