"""How long the collector takes to load address data of the Internet's size, and what it costs meanwhile."""
import random
import re
import time

from harness.hirundo import Installation

V4, V6 = 390_000, 280_000
# Seconds that a load should take, and what makes it a failure: machines are shared, absolute times vary.
AIM, LIMIT = 2.0, 6.0


def write(path) -> None:
    """Neighbours with different regions and networks: nothing becomes one."""
    random_ = random.Random(1)
    starts = sorted(random_.sample(range(1 << 28), V4))
    ipv6 = sorted(random_.sample(range(1 << 24), V6))
    with open(path / "ranges", "w") as ranges, open(path / "pfx2as", "w") as pfx2as:
        for i, start in enumerate(starts):
            end = (starts[i + 1] if i + 1 < V4 else 1 << 28) * 16 - 1
            ranges.write(f"{start * 16},{end},{'JKLM'[i % 4]}P\n")
            text = ".".join(str(start * 16 >> shift & 255) for shift in (24, 16, 8, 0))
            pfx2as.write(f"{text}\t28\t{i % 70000}\n")
        for i, start in enumerate(ipv6):
            prefix = f"2{start >> 12 & 0xfff:03x}:{(start & 0xfff) << 4:x}:{i % 200 * 256:x}::"
            ranges.write(f"{prefix}/40,{'JKLM'[i % 4]}P\n")


def test_load(private_server, tmp_path):
    installation = Installation(tmp_path, private_server, "hirundo")
    try:
        write(tmp_path)
        for kind in ("ranges", "pfx2as"):
            begin = time.monotonic()
            out = installation.admin.run("enrich", "import", kind, tmp_path / kind).stdout
            print(f"import {kind}: {time.monotonic() - begin:.1f} s; {out.strip()}")
        collector = installation.collector()
        loaded = collector.wait_log(r"state=loaded dataset=2 ranges=(\d+) ms=(\d+)")
        ranges, seconds = int(loaded[1]), int(loaded[2]) / 1000
        print(f"load of {ranges} ranges, database to table: {seconds:.2f} s (aim {AIM:.0f});"
              f" peak of the collector {collector.memory_peak() >> 20} MiB")
        assert ranges > 660_000 and seconds < LIMIT
    finally:
        installation.finish()
