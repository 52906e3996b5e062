"""The verdict, by cases whose answer is known: from captures to what an analyst reads."""
import datetime
from collections import Counter

from harness.world import DAY, LINUX, MIRAI, REGIONS, TOOLS, WINDOWS, ZMAP, World, verdicts

PERIOD = f"[{DAY},2024-06-02)"

# "TSUBAME Report Overflow": TTLs of 310 sources in one Japanese network, by region of the sensors. All started
# with 255.
PUBLISHED = {"JP": (243, 249), "AU": (234, 238), "BN": (240, 243), "GH": (235, 239), "HK": (235, 239),
             "KR": (235, 236), "LK": (237, 241), "MA": (230, 233), "MY": (244, 246), "TW": (232, 242)}
SOURCES = 310


def middle(region: str) -> int:
    low, high = PUBLISHED[region]
    return 255 - (low + high) // 2


def ways() -> dict[str, dict[str, int]]:
    """Hops from each region to each sensor: Japan's are those of the published table."""
    return {origin: {seen: middle(seen) if origin == "JP" else 6 if origin == seen
                     else 10 + (7 * REGIONS.index(origin) + 5 * REGIONS.index(seen)) % 11 for seen in REGIONS}
            for origin in REGIONS}


def published(world: World) -> None:
    world.allocate("JP", "133.10.0.0", 65536, "the-network")
    for n in range(SOURCES):
        for region, (low, high) in PUBLISHED.items():
            world.syn(f"133.10.{n // 200}.{1 + n % 200}", region, 0, ZMAP,
                      ttl=(low, high)[n] if n < 2 else world.random.randint(low, high))


def ttl_table(installation) -> dict[str, tuple[int, int, int]]:
    return {region: rest for region, *rest in installation.query(
        "SELECT sensor_region, ttl_min::int, ttl_max::int, sources::int FROM report.ttl_by_region(%s, %s)"
        " WHERE sensor_region IS NOT NULL AND initial_ttl = 255",
        (PERIOD, '{"networks": ["133.10.0.0/23"]}'))}


def test_the_published_table(installation, tmp_path):
    world = World()
    world.background(ways())
    # The network is known from other days' and other tools' hosts.
    for n in range(30):
        world.host(f"133.10.100.{1 + n}", {region: world.random.randint(255 - high, 255 - low)
                                           for region, (low, high) in PUBLISHED.items()}, TOOLS[n % len(TOOLS)])
    published(world)
    world.deliver(installation, tmp_path)
    assert {region: (low, high) for region, (low, high, _) in ttl_table(installation).items()} == PUBLISHED
    assert {n for _, _, n in ttl_table(installation).values()} == {SOURCES}
    got = Counter(verdicts(installation, "src <<= '133.10.0.0/23'").values())
    assert got["genuine"] >= 0.95 * SOURCES and got["spoofed"] == 0, got


def test_the_published_table_alone(installation, tmp_path):
    """Nothing is known but these sources and where their addresses belong: nobody is accused."""
    world = World()
    published(world)
    world.deliver(installation, tmp_path)
    assert {region: (low, high) for region, (low, high, _) in ttl_table(installation).items()} == PUBLISHED
    assert Counter(verdicts(installation).values())["spoofed"] == 0


def test_a_spoofer_among_honest_hosts(installation, tmp_path):
    """A machine in Taiwan claims one Japanese address that nobody uses, and one that is used: the used one's
    honest half keeps its verdict."""
    world = World()
    world.background(ways())
    world.allocate("JP", "133.20.0.0", 65536, "victim")
    for n in range(12):
        world.host(f"133.20.1.{1 + n}", ways()["JP"], TOOLS[n % len(TOOLS)])
    taiwan = ways()["TW"]
    world.host("133.20.2.1", taiwan, LINUX, copies=3)
    world.host("133.20.2.2", taiwan, LINUX, copies=3)
    world.host("133.20.2.2", ways()["JP"], WINDOWS, copies=3)
    world.deliver(installation, tmp_path)
    report = {str(src): rest for src, *rest in installation.query(
        "SELECT host(src), verdict, src_region, nearest_region, reason, packets_genuine::int, packets_spoofed::int,"
        " packets_undetermined::int, tracks::int FROM report.spoof_verdict(%s, %s)",
        (PERIOD, '{"networks": ["133.20.0.0/16"]}'))}
    alone, both = report["133.20.2.1"], report["133.20.2.2"]
    assert alone[:3] == ["spoofed", "JP", "TW"] and "not consistent" in alone[3], alone
    assert alone[4:] == [0, 30, 0, 1], alone
    assert both[0] == "mixed" and both[4:] == [30, 30, 0, 2], both
    honest = [row for src, row in report.items() if src.startswith("133.20.1.")]
    assert Counter(row[0] for row in honest) == {"genuine": 12}, honest
    assert all("consistent with" in row[3] and "cannot exclude" in row[3] for row in honest), honest[0]


def test_drawn_ttls_alone_are_no_forgery(installation, tmp_path):
    """Nmap draws the TTL of each probe from 37 to 59, other tools from wider ranges. Several packets a sensor or
    one, near or far: nobody is called spoofed for that. Who does it in the name of many networks is."""
    world = World()
    world.background(ways())
    for n, (copies, far) in enumerate(((4, 0), (1, 0), (1, 8), (2, 12))):
        world.allocate("AU", f"133.{30 + n}.0.0", 65536, f"scanner-{n}")
        for host in range(10):
            for region, hops in ways()["AU"].items():
                for _ in range(copies):
                    world.syn(f"133.{30 + n}.0.{1 + host}", region, 0, (443, 64, 1024, 1460),
                              ttl=max(1, world.random.randint(37, 59) - hops - far))
    for n, (low, high) in enumerate(((40, 255), (129, 255), (100, 140), (0, 255))):
        world.allocate("AU", f"134.{30 + n}.0.0", 65536, f"tool-{n}")
        for host in range(3):
            for region, hops in ways()["AU"].items():
                for _ in range(3):
                    world.syn(f"134.{30 + n}.0.{1 + host}", region, 0, (8000 + n, 64, 4096, 1460),
                              ttl=max(1, world.random.randint(low, high) - hops))
    for n in range(12):  # one machine, twelve networks of all regions
        for region, hops in ways()["GH"].items():
            for _ in range(3):
                world.syn(f"{40 + n % 10}.{n % 8}.200.{n}", region, 0, (9999, 64, 512, None),
                          ttl=max(1, world.random.randint(40, 255) - hops))
    world.deliver(installation, tmp_path)
    nmap = Counter(verdicts(installation, "src <<= '133.0.0.0/8'").values())
    assert nmap.total() == 40 and nmap["spoofed"] == 0, nmap
    tools = Counter(verdicts(installation, "src <<= '134.0.0.0/8'").values())
    assert tools.total() == 12 and tools["spoofed"] == 0, tools
    forged = Counter(verdicts(installation, "hirundo.signature_text(signature) LIKE '%%9999%%'").values())
    assert forged["spoofed"] >= 10, forged
    reasons = installation.query("SELECT hirundo.verdict_reason(v) FROM hirundo.verdict v WHERE src = '40.0.200.0'")
    assert "so it does for other networks with the same tool" in reasons[0][0]
    for src, score, again in installation.query(
            "SELECT v.src, v.score, s.score FROM hirundo.verdict v CROSS JOIN LATERAL hirundo.verdict_score(day, src, track) s"
            " WHERE kind IN ('random', 'nmap')"):
        assert abs(score - again) < 1e-4, (src, score, again)


def test_one_sensor_only(installation, tmp_path):
    """One place says little: nobody is called spoofed for a hop count, and the reason says that one region saw it."""
    world = World(("JP",))
    world.background({origin: {"JP": way["JP"]} for origin, way in ways().items()})
    world.deliver(installation, tmp_path)
    assert Counter(verdicts(installation).values())["spoofed"] == 0
    reasons = {reason for reason, in installation.query("SELECT reason FROM report.spoof_verdict(%s)", (PERIOD,))}
    assert reasons and all("one region" in reason for reason in reasons), reasons


def test_sources_that_no_data_knows(installation, tmp_path):
    """No address data at all: nothing is claimed, nothing is judged."""
    world = World()
    world.background(ways())
    world.plan.clear()
    world.deliver(installation, tmp_path)
    assert set(verdicts(installation).values()) == {"undetermined"}


def test_addresses_that_nobody_was_given(installation, tmp_path):
    """With the registries' files an address that none lists is spoofed by that alone."""
    world = World()
    world.background(ways())
    world.host("200.1.2.3", ways()["JP"], LINUX)
    world.host("10.1.2.3", ways()["JP"], LINUX)
    world.deliver(installation, tmp_path)
    assert verdicts(installation, "src IN ('200.1.2.3', '10.1.2.3')") == {"200.1.2.3": "spoofed", "10.1.2.3": "spoofed"}
    assert dict(installation.query("SELECT host(src), kind FROM hirundo.verdict WHERE kind IN ('unlisted', 'bogon')")
                ) == {"200.1.2.3": "unlisted", "10.1.2.3": "bogon"}


def test_a_day_with_ten_times_the_sources(installation, tmp_path):
    """A flood in everybody's name multiplies the day's sources: it is one campaign, and the others' verdicts stay."""
    world = World()
    world.background(ways())
    usual = len({packet[12:16] for sent in world.sent.values() for _, packet in sent})
    for n in range(10 * usual):
        for region, hops in list(ways()["GH"].items())[n % 5::5]:
            world.syn(f"{40 + n % 10}.{n // 10 % 8}.{100 + n // 20000}.{n // 80 % 250}", region, hops, (8080, 64, 512, None))
    sent = sum(len(sent) for sent in world.sent.values())
    world.deliver(installation, tmp_path)
    assert installation.query("SELECT sum(packets)::int FROM hirundo.verdict") == [(sent,)]
    flood = Counter(verdicts(installation, "hirundo.signature_text(signature) LIKE '%%8080%%'").values())
    assert flood["spoofed"] > 0.75 * flood.total(), flood
    assert flood["genuine"] < 0.02 * flood.total(), flood
    others = Counter(verdicts(installation, "hirundo.signature_text(signature) NOT LIKE '%%8080%%'").values())
    assert others["genuine"] > 0.85 * others.total() and others["spoofed"] < 0.01 * others.total(), others
    assert "8080/TCP" in {service for service, in installation.query("SELECT service FROM report.spoof_campaigns(%s)", (PERIOD,))}


def test_absurd_ttls(installation, tmp_path):
    """0 and 255 everywhere, and every TTL there is: judged without an error, the background as before."""
    world = World()
    world.background(ways())
    for n, ttl in enumerate((0, 1, 255)):
        for region in REGIONS:
            world.syn(f"40.1.200.{1 + n}", region, 0, LINUX, ttl=ttl)
    for ttl in range(256):
        world.syn("40.1.200.99", REGIONS[ttl % 10], 0, LINUX, ttl=ttl)
    world.deliver(installation, tmp_path)
    assert len(verdicts(installation, "src <<= '40.1.200.0/24'")) == 4
    assert installation.query("SELECT count(*)::int FROM hirundo.verdict WHERE score = 'NaN' OR abs(score) > 9") == [(0,)]
    assert Counter(verdicts(installation, "NOT src <<= '40.1.200.0/24'").values())["spoofed"] == 0


def test_an_empty_database(installation):
    installation.collector()
    assert installation.query("SELECT * FROM report.spoof_verdict(%s)", (PERIOD,)) == []
    assert installation.query("SELECT count(*)::int FROM hirundo.verdict") == [(0,)]
