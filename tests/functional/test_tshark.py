"""`--print csv` says what tshark says, packet for packet (PROTOCOL.md, appendix A). Over the captures that
lie beside the project, where there are any, and over synthetic ones."""
import csv
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import captures, tshark
from harness.paths import SHARED_CAPTURES, program

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

FOLDER = (pathlib.Path(os.environ["HIRUNDO_SHARED"]) / "data" / "captures" if "HIRUNDO_SHARED" in os.environ
          else SHARED_CAPTURES)
FILES = sorted(path for path in FOLDER.rglob("*") if path.suffix in {".pcap", ".pcapng", ".cap"})

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


def compare(want: list[tshark.Expected], rows: list[dict], reasons: dict[str, int]) -> list[str]:
    """@return a line for each packet that differs"""
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


def check(capture) -> None:
    rows, reasons, run = sensor(capture)
    assert run.returncode == 0, run.stderr
    problems = compare(tshark.run(capture), rows, reasons)
    assert not problems, "\n".join(problems[:20])


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_given_capture(path):
    check(path)


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
