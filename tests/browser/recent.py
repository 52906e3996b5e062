"""The last weeks of the seeded instance, packet by packet: who sends, how far away he is, what is forged.

Rows of observation, made from a seed. What the collector makes of them (rollups, coverage, verdicts, campaigns) it
makes itself. Sources, regions and networks are those of bench/fill_rollups.py, which fills the time before."""
import collections
import datetime
import ipaddress
import random

from bench import fill_rollups as fill

UTC = datetime.timezone.utc
REGIONS = "JP CN CN US US KR TW VN BR IN RU DE NL SG GB FR ID TH".split() + [None]
OCTETS = range(fill.FIRST_OCTET, fill.FIRST_OCTET + fill.OCTETS)
MIRAI, ZMAP, NO_OPTIONS, BOGON, LAND = 1 << 7, 1 << 5, 1 << 3, 1 << 4, 1 << 8
SYNACK, RST = 1 << 10, 1 << 11
RESPONSES = 0b11111 << 10
PROTOCOLS = {"TCP": 6, "UDP": 17, "ICMP": 1, "GRE": 47}
SYN, SYN_ACK, RST_ACK = 2, 0x12, 0x14
# Networks (a quarter of a /8) of the actors.
HOSTING = (38, 2)      # JP: comes at weekends and at a month's end
ISP = (57, 1)          # JP: five of its networks have Mirai
SURVEY = (61, 0)       # US: research, probes everybody
VICTIM = (76, 3)       # JP: answers to who was forged in its name
GROUPS = {"hosting-jp": ["38.130.4.0/24", "38.130.5.0/24"],
          "isp-jp": [f"57.{64 + i}.{16 * i}.0/24" for i in range(5)]}

Row = collections.namedtuple("Row", "at sensor_id src protocol src_port dst_port icmp_type ttl tcp_flags tcp_window tcp_mss"
                             " tcp_header_length payload_length packets traits src_region src_asn late")


def region(src: str | None) -> str | None:
    """That it is registered in."""
    if src is None or ":" in src:
        return "JP" if src else None
    octet = int(src.split(".")[0])
    return REGIONS[octet % 19] if octet in OCTETS else None


def network(src: str | None) -> int | None:
    """Its autonomous system: a quarter of a /8."""
    if src is None or ":" in src:
        return 64500 if src else None
    first, second, *_ = map(int, src.split("."))
    return first * 4 + second // 64 if first in OCTETS else None


def distance(origin: str, sensor_region: str) -> int:
    """Routers between two regions."""
    return 5 if origin == sensor_region else random.Random(f"{origin} {sensor_region}").randrange(9, 20)


def of_network(src: str) -> int:
    return random.Random(f"network {network(src)}").randrange(-1, 3)


class Recent:
    """@param sensors  number -> region
    @param days  reporting days
    @param start  gives when a reporting day begins
    @param out  whether a sensor did not listen on a day"""

    def __init__(self, sensors: dict[int, str], days: list[datetime.date], start, out, seed: int = 1):
        self.random = random.Random(seed)
        self.sensors, self.days, self.start, self.out = sensors, days, start, out
        self.by_region = collections.defaultdict(list)
        for number, name in sensors.items():
            self.by_region[name].append(number)
        self.rows: list[Row] = []

    # One packet, or some of a kind in the same 15 minutes.

    def add(self, day, sensor: int, src: str | None, service: str, ttl: int, packets: int = 1, traits: int = 0, flags: int = SYN,
            window: int = 14600, mss: int | None = None, at: float | None = None, late: bool = False) -> None:
        """at: part of the day, 0 to 1; else some time, more often while people work."""
        if self.out(sensor, day):
            return
        if at is None:
            at = self.random.choice((self.random.random(), self.random.random(), 0.35 + 0.4 * self.random.random()))
        port, _, protocol = service.rpartition("/")
        protocol = PROTOCOLS[protocol]
        tcp = protocol == 6
        self.rows.append(Row(
            self.start(day) + datetime.timedelta(microseconds=int(at * 86_400_000_000)), sensor, src, protocol,
            self.random.randrange(1024, 65536) if port else None, int(port) if port else None, 8 if protocol == 1 else None,
            ttl, flags if tcp else None, (0 if flags & 4 else window) if tcp else None, mss if tcp else None,
            (24 if mss else 20) if tcp else None, 0 if tcp else 64, packets, traits, region(src), network(src), late))

    def send(self, day, sensor: int, src: str, service: str, initial: int, packets: int = 1, origin: str | None = None, **more) -> None:
        """From where the source is registered, or from `origin`."""
        own = self.random.choice((0, 0, 0, 1))
        offset = of_network(src) if origin is None else 0
        hops = distance(origin or region(src) or "US", self.sensors[sensor]) + offset + own
        self.add(day, sensor, src, service, max(1, initial - max(1, hops)), packets, **more)

    # Who sends.

    def everyday(self, connection) -> None:
        """As on all days before: rows of fill_rollups, each as up to four."""
        for day, sensor, src, service, initial, traits, kind, packets in connection:
            flags = {"synack": SYN_ACK, "rstack": RST_ACK}.get(kind, SYN)
            parts = min(packets, 4)
            for i in range(parts):
                self.send(day, sensor, src, service, initial, packets // parts + (i < packets % parts), traits=traits,
                          flags=flags, window={64: 14600, 128: 8192, 255: 65535}[initial],
                          mss=None if traits & (MIRAI | NO_OPTIONS) else 1460)

    def hosts(self, sources: int = 4) -> None:
        """Hosts that several regions see each day: from them the collector learns the ways."""
        tools = (("23/TCP", 64, 14600, MIRAI), ("445/TCP", 128, 8192, 0), ("22/TCP", 64, 64240, 0), ("80/TCP", 64, 64240, 0))
        regions = sorted(self.by_region)
        for octet in range(20, 38):
            if REGIONS[octet % 19] is None:
                continue
            for part in range(4):
                for i in range(sources):
                    src = f"{octet}.{part * 64 + 3}.{i}.{10 + i}"
                    service, initial, window, traits = tools[i % 4]
                    seen = random.Random(src).sample(regions, 6)
                    for day in self.days:
                        if self.random.random() < 0.65:
                            for name in seen:
                                self.send(day, self.random.choice(self.by_region[name]), src, service, initial,
                                          window=window, traits=traits, mss=None if traits else 1460)

    def hosting(self) -> None:
        """R17, R18: servers of one company, at weekends and on the last two days of a month."""
        servers = [f"{net[:-4]}{i}" for net in GROUPS["hosting-jp"] for i in range(10, 40)]
        for day in self.days:
            if day.weekday() >= 5 or (day + datetime.timedelta(2)).month != day.month:
                for src in servers:
                    if self.random.random() < 0.8:
                        for sensor in self.random.sample(sorted(self.sensors), 5):
                            self.send(day, sensor, src, self.random.choice(("22/TCP", "5900/TCP")), 128, window=1024, mss=1460)

    def mirai(self) -> None:
        """R15, R20: five networks of an ISP, more from day to day."""
        for n, day in enumerate(self.days):
            for i, net in enumerate(GROUPS["isp-jp"]):
                for host in range(2 + n * (i + 1) // 8):
                    for sensor in self.random.sample(sorted(self.sensors), 3):
                        self.send(day, sensor, f"{net[:-4]}{20 + host}", "23/TCP", 64, traits=MIRAI | NO_OPTIONS)

    def survey(self) -> None:
        """Research scanners: ZMap over all sensors."""
        for day in self.days[::2]:
            for sensor in self.sensors:
                for service in ("443/TCP", "8443/TCP", "53/UDP"):
                    self.send(day, sensor, f"{SURVEY[0]}.7.7.{7 + day.day % 3}", service, 255, window=65535,
                              traits=ZMAP | NO_OPTIONS)

    def answers(self) -> None:
        """R5, R6: the answers of victims that others forged, in a surge of four days."""
        for day in self.days[-16:-12]:
            for i in range(6):
                src = f"{VICTIM[0]}.{VICTIM[1] * 64}.0.{i + 1}"
                for sensor in self.random.sample(sorted(self.sensors), 20):
                    self.send(day, sensor, src, "51000/TCP", 64, self.random.randrange(1, 9), traits=SYNACK, flags=SYN_ACK)

    def surge(self) -> None:
        """A service that nobody asked for before."""
        for n, day in enumerate(self.days[-9:]):
            for i in range(6 * n):
                octet = (28, 47, 66, 85)[i % 4]  # BR
                self.send(day, self.random.choice(sorted(self.sensors)), f"{octet}.{i % 200}.9.9", "5555/TCP", 64,
                          self.random.choice((1, 2, 3)), mss=1460)

    def campaign(self, days, origin: str, service: str, initial: int, sources: int, regions: list[str], window: int) -> None:
        """One machine in `origin` that claims everybody's addresses."""
        for day in days:
            for i in range(sources):
                octet = OCTETS[i * 7 % len(OCTETS)]
                for name in self.random.sample(regions, 2):
                    src = f"{octet}.{self.random.randrange(256)}.{self.random.randrange(256)}.{self.random.randrange(1, 255)}"
                    self.add(day, self.by_region[name][0], src, service, initial - distance(origin, name), window=window)

    def forgers(self) -> None:
        """Campaigns; single sources that are not where they claim to be; one that becomes so; who changes the TTL."""
        self.campaign(self.days[4:8], "RU", "8080/TCP", 64, 90, ["JP", "AU", "KR", "TW"], 1024)
        self.campaign(self.days[-6:-1], "NL", "3389/TCP", 128, 110, ["JP", "HK", "MY", "TW", "AU"], 64240)
        for n, day in enumerate(self.days):
            for i in range(8):
                src, origin = f"{20 + i}.{i * 30}.77.77", "BR" if i % 2 else "NL"
                elsewhere = i < 6 or n >= len(self.days) // 2
                for name in sorted(self.by_region)[:8]:
                    self.send(day, self.by_region[name][0], src, "81/TCP", 64, origin=origin if elsewhere else None)
            for name in sorted(self.by_region):
                self.add(day, self.by_region[name][0], "30.1.1.9", "22/TCP", self.random.randrange(38, 60), 1, mss=1460, window=1024)
                self.add(day, self.by_region[name][0], "31.70.2.9", "123/UDP", self.random.randrange(30, 250))
            self.add(day, self.random.choice(sorted(self.sensors)), "10.1.2.3", "23/TCP", 50, traits=BOGON)
            self.add(day, 1, None, "7/UDP", 60, traits=LAND)

    def others(self) -> None:
        """IPv6; packets with content."""
        for day in self.days:
            for i in range(4):
                for sensor in (1, 2, self.by_region["AU"][0], self.by_region["KR"][0]):
                    src = str(ipaddress.ip_address((0x2400_8500 << 96) + (i << 64) + self.random.randrange(1, 1000)))
                    self.send(day, sensor, src, "443/TCP", 64, mss=1440)
            for sensor in self.random.sample(sorted(self.sensors), 6):
                self.send(day, sensor, f"40.1.{sensor}.5", "GRE", 255)
                self.send(day, sensor, f"41.1.{sensor}.5", "5060/UDP", 128)

    def later(self, day) -> None:
        """Late rows of an open day: whom they show elsewhere is judged once more."""
        for i in range(12):
            src = f"{20 + i}.3.0.10"
            for name in sorted(self.by_region):
                self.send(day, self.by_region[name][0], src, "23/TCP", 64, 3, origin="BR" if i % 2 else "DE", traits=MIRAI,
                          at=self.random.random() * 0.5, late=True)

    def all(self, everyday) -> "Recent":
        self.everyday(everyday)
        for part in (self.hosts, self.hosting, self.mirai, self.survey, self.answers, self.surge, self.forgers, self.others):
            part()
        self.later(self.days[-2])
        return self
