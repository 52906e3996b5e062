"""bench_wire's figures counted again, and its frames read again by what knows only the specification."""
import collections
import math
import re
import subprocess

import pytest

import wire
from harness.paths import ROOT, program

# The widths that the entropy counts, as in bench_wire.c: name, bytes.
IMAGE = [("time", 8), ("src", None), ("target", 4), ("src_port", 2), ("dst_port", 2), ("protocol", 1),
         ("icmp_type", 1), ("icmp_code", 1), ("ttl", 1), ("ip_length", 2), ("ip_id", 2), ("ip_flags", 1),
         ("tcp_flags", 1), ("tcp_seq", 4), ("tcp_ack", 4), ("tcp_window", 2), ("tcp_header_length", 1),
         ("tcp_mss", 2), ("payload_length", 2), ("packets", 4), ("last", 4), ("traits", 4)]
CAPTURES = ["syn-scan", "mixed", "mirai", "flood", "ipv6"]
ROWS = 200_000


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    run = subprocess.run([program("bench_wire"), "--dump", folder], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = {line.split()[0]: [float(x) for x in re.findall(r"([\d.]+) B", line)]
               for line in run.stdout.splitlines()[1:]}
    return folder, figures


@pytest.mark.parametrize("name", CAPTURES)
def test_entropy_and_limit(dumped, name):
    folder, figures = dumped
    data = (folder / f"{name}.rows").read_bytes()
    width = len(data) // ROWS
    bits = 0.0
    for position in range(width):
        counts = collections.Counter(data[position::width])
        bits -= sum(n * math.log2(n / ROWS) for n in counts.values())
    entropy, full, _limit, _small = figures[name]
    assert width == sum(n or (16 if name == "ipv6" else 4) for _, n in IMAGE)
    assert entropy == pytest.approx(bits / 8 / ROWS, abs=0.006)
    assert full <= 1.10 * bits / 8 / ROWS + 0.5


def image(row, before, v6):
    out = b""
    for name, width in IMAGE:
        if name == "time":
            out += (row["time"] - before["time"] if before else 0).to_bytes(8, "big", signed=True)
        elif name == "src":
            out += (((row["src6_net"] or 0) << 64 | (row["src6_host"] or 0)).to_bytes(16, "big") if v6
                    else (row["src4"] or 0).to_bytes(4, "big"))
        else:
            out += (row[name] or 0).to_bytes(width, "big")
    return out


@pytest.mark.parametrize("name", CAPTURES)
def test_a_reader_of_the_specification_sees_the_same_rows(dumped, name):
    folder, _ = dumped
    rows = []
    for (kind, *_), payload in wire.frames((folder / f"{name}.frames").read_bytes()):
        assert kind == 1
        rows += wire.batch(payload)
    v6 = name == "ipv6"
    read = b"".join(image(row, rows[i - 1] if i else None, v6) for i, row in enumerate(rows))
    assert len(rows) == 10_021
    assert read == (folder / f"{name}.rows").read_bytes()[:len(read)]


def test_the_example_of_the_specification():
    text = (ROOT / "proto" / "PROTOCOL.md").read_text()
    block = re.search(r"```hex BATCH\n(.*?)```", text, re.DOTALL)[1]
    (header, payload), = wire.frames(bytes.fromhex(block.replace("\n", " ")))
    rows = wire.batch(payload)
    assert header[1] == 6 == sum(row["packets"] for row in rows)
    assert [row["src4"] for row in rows] == [0xc6336409, 0xc6336409, 0xcb007105]
    assert [row["tcp_seq"] for row in rows] == [0xdeadbeef, 0xdeadbef0, None]
    assert [row["icmp_type"] for row in rows] == [None, None, 8]
    assert [row["last"] for row in rows] == [None, None, 700]
