"""A small world for the verdict: sensors in regions, an address plan, and packets with the hops that a test
wants, taken the real way: captures, sensors, collector, rollup, verdict."""
import pathlib
import random

from harness import packets

DAY = "2024-06-01"
START_US = 1_717_200_000_000_000  # 2024-06-01 00:00 UTC
REGIONS = ("JP", "AU", "BN", "GH", "HK", "KR", "LK", "MA", "MY", "TW")
# What hosts send with: destination port, initial TTL, window, MSS.
MIRAI, WINDOWS, LINUX, ZMAP = (23, 64, 14600, None), (445, 128, 8192, 1460), (22, 64, 64240, 1460), (443, 255, 65535, None)
TOOLS = (MIRAI, WINDOWS, LINUX)


class World:
    """One sensor in each of `regions`, named as its region in small letters."""

    def __init__(self, regions=REGIONS, seed: int = 1):
        self.random = random.Random(seed)
        self.sensors = {region: f"203.0.113.{1 + i}" for i, region in enumerate(regions)}
        self.plan: list[str] = []
        self.sent: dict[str, list[tuple[int, bytes]]] = {region: [] for region in regions}

    def allocate(self, region: str, first: str, addresses: int, holder: str) -> None:
        """One line of the plan: who holds `addresses` addresses from `first` on."""
        self.plan.append(f"apnic|{region}|ipv4|{first}|{addresses}|20200101|allocated|{holder}")

    def syn(self, src: str, region: str, hops: int, tool=MIRAI, ttl: int | None = None) -> None:
        """A SYN that the region's sensor sees after `hops` routers (or with just this TTL), some time of the day."""
        port, initial, window, mss = tool
        dst = packets.address(self.sensors[region])
        segment = packets.tcp(packets.address(src), dst, self.random.randrange(1024, 65536), port,
                              self.random.getrandbits(32), window=window, mss=mss)
        self.sent[region].append((START_US + self.random.randrange(86_400_000_000), packets.ipv4(
            packets.address(src), dst, 6, segment, initial - hops if ttl is None else ttl,
            self.random.getrandbits(16), 2)))

    def host(self, src: str, vector: dict[str, int], tool=MIRAI, copies: int = 1) -> None:
        """A host that all regions of the vector see, after so many hops."""
        for region, hops in vector.items():
            for _ in range(copies):
                self.syn(src, region, hops, tool)

    def background(self, ways: dict[str, dict[str, int]], holders: int = 8) -> None:
        """Holders of each region, each with hosts of all tools: from them the ways are learned. A holder is some
        hops off its region's way, a host some off its holder's."""
        for n, (region, way) in enumerate(sorted(ways.items())):
            for holder in range(holders):
                self.allocate(region, f"{40 + n}.{holder}.0.0", 65536, f"{region}-{holder}")
                offset = self.random.choice((-1, 0, 0, 1))
                for host in range(6):
                    own = offset + self.random.choice((0, 0, 1))
                    self.host(f"{40 + n}.{holder}.{self.random.randrange(256)}.{10 + host}",
                              {seen: hops + own for seen, hops in way.items()}, TOOLS[host % len(TOOLS)])

    def deliver(self, installation, folder: pathlib.Path) -> None:
        """The whole way: plan imported, captures delivered, and waits until the day has its verdicts."""
        if self.plan:
            plan = folder / "delegated-extended.txt"
            plan.write_text("\n".join([f"2|apnic|20240601|{len(self.plan)}|19830613|20240601|+0000",
                                       f"apnic|*|ipv4|*|{len(self.plan)}|summary", *self.plan]) + "\n")
            installation.admin.run("enrich", "import", "rir", plan)
        collector = installation.collector()
        for region, sent in self.sent.items():
            if sent:
                enrolled = installation.enroll(region.lower(), region, (self.sensors[region],))
                capture = packets.write_pcap(folder / f"{region}.pcap", sorted(sent))
                sensor = installation.sensor(enrolled, collector.address)
                assert sensor.read(capture, "--cover", f"{DAY}T00:00:00Z/2024-06-02T00:00:00Z") == 0, sensor.log
        wait_for_verdicts(installation)


def wait_for_verdicts(installation, timeout: float = 60) -> None:
    """Until everything that is stored is rolled up and judged."""
    installation.wait_query(
        "SELECT NOT EXISTS (SELECT FROM hirundo.dirty_mark) AND NOT EXISTS (SELECT FROM hirundo.verdict_due)", True,
        timeout=timeout)


def verdicts(installation, where: str = "true", parameters=None) -> dict[str, str]:
    """Source -> verdict of its worst track."""
    return dict(installation.query(
        f"SELECT DISTINCT ON (src) host(src), verdict FROM hirundo.verdict WHERE {where} ORDER BY src, score",
        parameters))
