"""The simulator: its packets are well-formed, its books are true, its fingerprints are those that the sensor knows."""
import collections
import csv
import filecmp
import ipaddress
import pathlib
import statistics
import struct
import subprocess
import sys

import pytest

from harness.paths import ROOT, program

SIMULATE = ROOT / "tests" / "simulator" / "simulate.py"
SENSORS = """name,region,addresses
jp1,JP,36.91.17.151 2400:cb00:1::7
jp2,JP,198.51.100.64/29
lk1,LK,145.99.3.77 2400:cb00:2::/64
gh1,GH,10.0.0.7=62.201.9.250
"""


def simulate(folder: pathlib.Path, *options) -> pathlib.Path:
    run = subprocess.run([sys.executable, SIMULATE, "--out", folder, *map(str, options)], capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0, run.stderr
    return folder


def labels(folder: pathlib.Path) -> list[dict]:
    with open(folder / "labels.csv", newline="") as file:
        return list(csv.DictReader(file))


def packets(capture: pathlib.Path):
    """(seconds, source as text, packet) of a raw-IP capture."""
    data = capture.read_bytes()
    position = 24
    while position < len(data):
        seconds, length = struct.unpack_from("<I4xI", data, position)
        packet = data[position + 16:position + 16 + length]
        at = slice(12, 16) if packet[0] >> 4 == 4 else slice(8, 24)
        yield seconds, str(ipaddress.ip_address(packet[at])), packet
        position += 16 + length


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two days, IPv4 and IPv6, every kind of sender."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "list.csv").write_text(SENSORS)
    return simulate(folder, "--seed", 5, "--model", "routed", "--days", 2, "--packets", 12000, "--sensors", folder / "list.csv",
                    "--zone", "Asia/Tokyo")


def printed(capture: pathlib.Path) -> list[dict]:
    run = subprocess.run([program("hirundo-sensor"), "--read", capture, "--print", "csv"], capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0, run.stderr
    return list(csv.DictReader(run.stdout.splitlines()))


@pytest.fixture(scope="module")
def rows(small):
    """What the sensor reads, with the label of the source."""
    kinds = {line["source_ip"]: line for line in labels(small)}
    return [row | kinds[row["src"]] for capture in sorted(small.glob("*.pcap")) for row in printed(capture)]


def test_same_seed_same_bytes(small, tmp_path):
    again = simulate(tmp_path / "again", "--seed", 5, "--model", "routed", "--days", 2, "--packets", 12000,
                     "--sensors", small / "list.csv", "--zone", "Asia/Tokyo")
    names = [path.name for path in again.iterdir()]
    assert len(names) == 4 * 2 + 3
    assert sorted(filecmp.cmpfiles(small, again, names, shallow=False)[0]) == sorted(names)
    other = simulate(tmp_path / "other", "--seed", 6, "--model", "routed", "--days", 2, "--packets", 12000,
                     "--sensors", small / "list.csv", "--zone", "Asia/Tokyo")
    assert (other / "labels.csv").read_bytes() != (small / "labels.csv").read_bytes()


def test_labels_conserve_packets(small):
    """Every packet of every capture is in the labels of its source and reporting day, and no other."""
    found, seen = collections.Counter(), collections.defaultdict(set)
    for capture in small.glob("*.pcap"):
        for seconds, src, _ in packets(capture):
            day = "2026-06-01" if seconds < 1780326000 else "2026-06-02"    # 2026-06-02 00:00 in Tokyo
            found[src, day] += 1
            seen[src, day].add(capture.name.split("-")[1])
    said = labels(small)
    assert {(line["source_ip"], line["day"]): int(line["packets"]) for line in said} == found
    assert {(line["source_ip"], line["day"]): int(line["sensors"]) for line in said} == {k: len(v) for k, v in seen.items()}
    truth = collections.defaultdict(set)
    for line in said:
        truth[line["source_ip"]].add(line["truth"])
    assert all(len(values) == 1 for values in truth.values())
    spoofed = sum(values == {"spoofed"} for values in truth.values())
    assert 0.2 < spoofed / len(truth) < 0.3


def test_every_kind_is_there(small):
    sys.path.insert(0, str(SIMULATE.parent))
    try:
        import forgers
        import hosts
    finally:
        sys.path.remove(str(SIMULATE.parent))
    want = {kind.name for kind in (*hosts.KINDS, hosts.KIND6, *forgers.KINDS, forgers.KIND6)} | {hosts.CLUSTER}
    assert {line["kind"] for line in labels(small)} == want


def test_well_formed(small):
    """tshark finds nothing malformed, down to the payloads, and no wrong checksum."""
    wrong = " || ".join(["_ws.malformed", "_ws.short", "icmpv6.checksum.status == 0"]
                        + [f"{layer}.checksum.status == 0" for layer in ("ip", "tcp", "udp", "icmp")])
    check = [word for layer in ("ip", "tcp", "udp") for word in ("-o", f"{layer}.check_checksum:true")]
    for capture in sorted(small.glob("*-20260601.pcap")):
        # Inside of GRE are random bytes: some look like a protocol.
        run = subprocess.run(["tshark", "-r", capture, *check, "-Y", f"!gre && ({wrong})", "-T", "fields", "-e", "frame.number",
                              "-e", "_ws.col.Info"], capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stderr
        assert run.stdout == "", run.stdout[:500]


def test_checksums_and_traits(rows):
    assert rows
    for row in rows:
        assert not {"bad_checksum", "truncated"} & set(row["traits"].split("|")), row


def share(rows, kind, trait):
    of_kind = [row for row in rows if row["kind"] == kind]
    assert of_kind, kind
    return sum(trait in row["traits"].split("|") for row in of_kind) / len(of_kind)


def test_fingerprints(rows):
    """The sensor recognizes what the simulator says it sends, and calls nobody else so."""
    assert share(rows, "g_mirai", "mirai") == 1
    assert share(rows, "g_gre", "mirai") == 0 and {row["protocol"] for row in rows if row["kind"] == "g_gre"} == {"47"}
    scans = [row for row in rows if row["kind"] == "g_zscan"]
    assert all({"zmap", "masscan"} & set(row["traits"].split("|")) or row["tcp_window"] == "65535" for row in scans)
    assert any("zmap" in row["traits"] for row in scans) and any("masscan" in row["traits"] for row in scans)
    nmap = [row for row in rows if row["kind"] == "g_nmap"]
    assert all("nmap" in row["traits"].split("|") for row in nmap)
    by_source = collections.defaultdict(list)
    for row in nmap:
        by_source[row["src"]].append(row)
    for group in by_source.values():    # scan_engine_raw.cc: masks cancel, halves are equal
        for a, b in zip(group, group[1:]):
            difference = int(a["tcp_seq"]) ^ int(b["tcp_seq"])
            assert difference >> 16 == difference & 0xFFFF
    assert statistics.mean(len({row["ttl"] for row in group}) for group in by_source.values()) > 5
    answers = [row for row in rows if row["kind"] == "g_backscatter"]
    assert all("backscatter" in row["traits"] for row in answers)
    assert {row["protocol"] for row in answers} >= {"6", "17", "1"}
    assert share(rows, "s_bogon", "bogon_source") > 0.4
    assert {row["protocol"] for row in rows if row["kind"] == "g_ipv6"} >= {"6", "58"}
    for kind in ("g_single", "g_udp", "s_flood"):
        for trait in ("masscan", "mirai", "backscatter", "bogon_source"):
            assert share(rows, kind, trait) < (0.3 if kind == "s_flood" else 0.001), (kind, trait)


@pytest.mark.parametrize("model", ["additive", "routed"])
def test_distances(model, tmp_path):
    """Seen from one sensor, genuine sources are spread as in captures of real reflection attacks; forgers' are not."""
    folder = simulate(tmp_path / model, "--seed", 11, "--model", model, "--packets", 60000)
    kinds = {line["source_ip"]: line for line in labels(folder)}
    means, deviations, region, holder, constant = [], [], [], [], []
    for capture in folder.glob("*.pcap"):
        ttls = collections.defaultdict(list)
        for _, src, packet in packets(capture):
            if kinds[src]["kind"] in ("g_single", "g_onesensor", "g_mirai", "g_udp"):
                ttls[src].append(packet[8])
        hops = {}
        for src, values in ttls.items():
            middle = statistics.median_low(values)
            hops[src] = next(i for i in (32, 64, 128, 255) if middle <= (26 if i == 32 else i)) - middle
            if len(values) > 2:
                constant.append(len(set(values)) == 1)
        means.append(statistics.mean(hops.values()))
        deviations.append(statistics.stdev(hops.values()))
        for column, result in (("claimed_region", region), ("holder", holder)):
            groups = collections.defaultdict(list)
            for src, value in hops.items():
                groups[kinds[src][column]].append(value)
            near = [abs(v - statistics.median(g)) <= 2 for g in groups.values() if len(g) > 2 for v in g]
            result.append(statistics.mean(near))
    assert 11 < statistics.mean(means) < 17
    assert 3 < statistics.mean(deviations) < 5.5
    assert 0.45 < statistics.mean(region) < 0.75
    assert 0.82 < statistics.mean(holder) < 0.97
    assert 0.9 < statistics.mean(constant) < 1


@pytest.mark.parametrize("start", [(), ("--start", "2026-06-01"), ("--start", "2026-06-05")],
                         ids=["now", "working days", "a weekend"])
def test_demonstration(tmp_path, start):
    """Recent days, one capture a sensor, the quickstart's sensors; quick."""
    folder = simulate(tmp_path / "demo", "--demo", "--sensors", ROOT / "deploy" / "demo-sensors.csv", *start)
    said = labels(folder)
    assert len({line["day"] for line in said}) == 3
    assert 50000 < sum(int(line["packets"]) for line in said) < 75000
    assert len(list(folder.glob("sensor-*.pcap"))) == 10
    cluster = {line["source_ip"] for line in said if line["kind"] == "g_cluster"}
    assert len(cluster) == 310 and {line["claimed_region"] for line in said if line["kind"] == "g_cluster"} == {"JP"}


def test_mistakes(tmp_path):
    for options in (["--days", "0"], ["--spoofed", "2"], ["--model", "magic"], ["--sensors", str(tmp_path / "absent")]):
        run = subprocess.run([sys.executable, SIMULATE, "--out", tmp_path / "x", *options], capture_output=True, text=True)
        assert run.returncode != 0 and not (tmp_path / "x").exists(), options
