"""`--print csv` says what tshark says, packet for packet (PROTOCOL.md, appendix A). Over the captures that
lie beside the project, where there are any, and over synthetic ones."""
import csv
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import captures, pcapng, tshark
from harness.paths import SHARED_CAPTURES, program

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

FOLDER = (pathlib.Path(os.environ["HIRUNDO_SHARED"]) / "data" / "captures" if "HIRUNDO_SHARED" in os.environ
          else SHARED_CAPTURES)
FILES = sorted(path for path in FOLDER.rglob("*") if path.suffix in {".pcap", ".pcapng", ".cap"})

# Link types that the sensor reads (PROTOCOL.md, appendix A), by the number in a file's header.
LINK_TYPES = {0, 1, 7, 9, 12, 14, 50, 51, 101, 104, 106, 107, 108, 113, 129, 166, 204, 226, 228, 229, 239, 242, 258, 276}
# A fraction of a second of 2^31 units: no time, and libpcap and tshark make different ones of it.
NO_TIME = {"timestamp_invalid_micro.pcap": {3}, "timestamp_invalid_nano.pcap": {3}}
TRANSPORT = tshark.COLUMNS[tshark.COLUMNS.index("protocol") + 1:]

ROW_REASON = re.compile(r"^no row: (.*)$", re.M)


def sensor(capture) -> tuple[list[dict], dict[str, int], subprocess.CompletedProcess]:
    """@return rows, packets without a row by reason, and how it ended"""
    run = subprocess.run([os.environ.get("HIRUNDO_PRINT") or program("hirundo-sensor"), "--read", capture, "--print", "csv"],
                         capture_output=True, text=True)
    found = ROW_REASON.search(run.stderr)
    reasons = {name: int(count) for name, count in (pair.split("=") for pair in found[1].split())} if found else {}
    return list(csv.DictReader(run.stdout.splitlines())), reasons, run


def differences(want: tshark.Expected, row: dict) -> list[str]:
    """What is not as tshark has it."""
    found = []
    for column in tshark.COLUMNS:
        if want.open_end and column in TRANSPORT and not want.row[column]:
            continue
        same = tshark.same_address if column in ("src", "dst") else str.__eq__
        if not same(want.row[column], row[column]):
            found.append(f"{column}: tshark {want.row[column]!r}, sensor {row[column]!r}")
    traits = set(row["traits"].split("|")) & tshark.TRAITS
    wanted = set(want.traits)
    if want.unverifiable:  # a source route: the checksum covers another destination
        traits.discard("bad_checksum")
        wanted.discard("bad_checksum")
    if traits != wanted:
        found.append(f"traits: tshark {sorted(wanted)}, sensor {sorted(traits)}")
    return found


def compare(want: list[tshark.Expected], rows: list[dict], reasons: dict[str, int], no_time=frozenset()) -> list[str]:
    """@param no_time  packets whose time is not compared
    @return a line for each packet that differs"""
    problems = []
    rest = iter(rows)
    row = next(rest, None)
    without = 0
    for number, packet in enumerate(want, 1):
        if packet.row is None or (packet.either and (row is None or differences(packet, row))):
            without += 1
            continue
        if row is None:
            problems.append(f"packet {number}: no row left ({packet.layers})")
            break
        if number in no_time:
            packet.row["time_us"] = row["time_us"]
        if found := differences(packet, row):
            problems.append(f"packet {number} ({packet.layers}): {'; '.join(found)}")
            if packet.row["time_us"] != row["time_us"]:
                break  # out of step: all that follows would differ too
        row = next(rest, None)
    else:
        if row is not None:
            problems.append(f"{1 + sum(1 for _ in rest)} rows too many, the first {row}")
        if without != sum(reasons.values()):
            problems.append(f"{without} packets have no row, {reasons} are counted")
    return problems


def link_type(capture) -> int:
    """Of a pcap file."""
    head = capture.read_bytes()[:24]
    return int.from_bytes(head[20:24], "little" if head[0] in (0xd4, 0x4d) else "big") & 0xffff


def check(capture) -> None:
    rows, reasons, run = sensor(capture)
    assert run.returncode == 0, run.stderr
    if "link_unsupported" in reasons:
        assert link_type(capture) not in LINK_TYPES and not rows
        return
    problems = compare(tshark.run(capture), rows, reasons, NO_TIME.get(capture.name, frozenset()))
    assert not problems, "\n".join(problems[:20])


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_given_capture(path):
    check(path)


def test_times(tmp_path):
    """Finer clocks are truncated; both byte orders; 2038 is no end."""
    frames = [captures.framed(captures.RAW, p) for p in captures.ipv4_packets()]
    for how in ({"nano": True}, {"order": ">"}, {"order": ">", "nano": True}):
        check(written(tmp_path, captures.RAW, frames, **how))
    late = written(tmp_path, captures.RAW, frames[:1])
    late.write_bytes(late.read_bytes()[:24] + b"\xff\xff\xff\xff" + late.read_bytes()[28:])
    check(late)
    assert sensor(late)[0][0]["time_us"] == "4294967295000000"


@pytest.mark.parametrize("name", pcapng.files())
def test_pcapng(tmp_path, name):
    """Also what merging captures makes: other snap lengths, link types and byte orders in one file."""
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng.files()[name])
    rows, reasons, run = sensor(path)
    assert run.returncode == 0, run.stderr
    assert not compare(tshark.run(path), rows, reasons)


@pytest.mark.parametrize("name", pcapng.damaged())
def test_damaged_pcapng(tmp_path, name):
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng.damaged()[name])
    rows, _, run = sensor(path)
    assert run.returncode == 65 and "damaged behind packet 1:" in run.stderr and len(rows) == 1
    assert len(tshark.run(path)) == 1


def test_merged_captures(tmp_path):
    """By mergecap: a snap length and a link type of each."""
    small = written(tmp_path, captures.RAW, [captures.framed(captures.RAW, p) for p in captures.ipv4_packets()])
    small.write_bytes(small.read_bytes()[:16] + (65535).to_bytes(4, "little") + small.read_bytes()[20:])
    other = tmp_path / "other.pcap"
    captures.write_pcap(other, captures.ETHERNET, [captures.framed(captures.ETHERNET, p) for p in captures.ipv6_packets()])
    path = tmp_path / "merged.pcapng"
    subprocess.run(["mergecap", "-F", "pcapng", "-w", path, small, other], check=True)
    check(path)


def test_small_snap_length_in_the_header(tmp_path):
    """Some writers state less than they captured; tshark does not care."""
    path = written(tmp_path, captures.RAW, [captures.framed(captures.RAW, p) for p in captures.ipv4_packets()])
    data = path.read_bytes()
    path.write_bytes(data[:16] + (35).to_bytes(4, "little") + data[20:])
    check(path)


def test_damaged_file(tmp_path):
    """What came before the damage is there, and the end says so."""
    path = written(tmp_path, captures.RAW, [captures.framed(captures.RAW, p) for p in captures.ipv4_packets()])
    data = path.read_bytes()
    whole, _, _ = sensor(path)
    for cut in (len(data) - 1, len(data) // 2, 24 + 16 + 40 + 3, 24 + 7):
        path.write_bytes(data[:cut])
        rows, reasons, run = sensor(path)
        packets = len(rows) + sum(reasons.values())
        assert run.returncode == 65 and f"damaged behind packet {packets}:" in run.stderr
        assert rows == whole[:len(rows)] and packets == len(tshark.run(path))
    for head in (b"", b"\xd4\xc3", data[:23], b"not a capture, but long enough to be one"):
        path.write_bytes(head)
        rows, _, run = sensor(path)
        assert run.returncode == 65 and run.stderr and not rows
    path.unlink()
    assert sensor(path)[2].returncode == 66


def written(tmp_path, link: int, frames: list, **how) -> pathlib.Path:
    path = tmp_path / "synthetic.pcap"
    captures.write_pcap(path, link, frames, **how)
    return path


@pytest.mark.parametrize("name", captures.links())
def test_link_type(tmp_path, name):
    link, frames = captures.links()[name]
    check(written(tmp_path, link, frames))


@pytest.mark.parametrize("name", captures.links())
def test_link_type_cut_at_every_byte(tmp_path, name):
    link, frames = captures.links()[name]
    check(written(tmp_path, link, [piece for frame in frames for piece in captures.every_cut(frame, 0)]))


@pytest.mark.parametrize("packets", [captures.ipv4_packets, captures.ipv6_packets])
def test_network(tmp_path, packets):
    check(written(tmp_path, captures.ETHERNET, [captures.framed(captures.ETHERNET, p) for p in packets()]))
    check(written(tmp_path, captures.SLL, [captures.framed(captures.SLL, p) for p in packets()]))


@pytest.mark.parametrize("packets", [captures.ipv4_packets, captures.ipv6_packets])
def test_network_cut_at_every_byte(tmp_path, packets):
    """By the capture's snap length, and by a frame that really ends there."""
    frames = [captures.framed(captures.ETHERNET, p)[:14 + 160] for p in packets()]
    cut = [piece for frame in frames for piece in captures.every_cut(frame, 12)]
    check(written(tmp_path, captures.ETHERNET, cut))
    check(written(tmp_path, captures.ETHERNET, [data for data, _ in cut]))
