"""Nobody who reads what analysts, dashboards and logs show gets a sensor's address, or where it connects
from. Each way of looking is first shown to work where nothing is masked."""
import datetime
import ipaddress
import pathlib
import re
import socket
import struct

import psycopg
import pytest
from scapy.all import (DNS, DNSQR, DNSRR, GRE, ICMP, IP, TCP, UDP, VXLAN, Ether, ICMPv6DestUnreach, ICMPv6ND_NS, IPv6, Raw,
                       conf, rdpcap)

from harness import oracle, rollups
from harness.attacker import Loot, Site, attack, attack_pairs, plunder, search, solve, spellings, spellings4, swapped
from harness.hirundo import Admin
from harness.packets import write_pcap
from harness.proxy import FaultProxy

conf.verb = 0
SITES = [Site("jp1", "185.66.201.137", "172.20.30.41"), Site("de1", "94.142.37.219", "94.142.37.219", "2a02:6b8:12c:77::4f1d")]
REGIONS = {"jp1": "JP", "de1": "DE"}
PEER = "127.77.88.99"  # where sensors connect from
START_US = 1_700_000_000_000_000
DAY = "2023-11-14"
FAR = "198.18.7.7"  # somebody else, in quoted packets
ANALYST, DASHBOARD = "hirundo_analyst", "hirundo_dashboard"


def addresses(site: Site) -> list[str]:
    first = site.public if site.public == site.captured else f"{site.captured} = {site.public}"
    return [first] + ([site.v6] if site.v6 else [])


# Packets that carry the address, one of each kind. Each kind has a source of its own.

def text(site: Site, form: str, *, reverse: bool = False) -> bytes:
    parts = ipaddress.IPv4Address(site.public).packed
    return (form % tuple(parts[::-1] if reverse else parts)).encode()


def tcp(site: Site, src: str, payload: bytes = b"", ip_id: int = 7, **fields):
    return IP(src=src, dst=site.captured, ttl=57, id=ip_id) / TCP(**{"sport": 40000, "dport": 23, "flags": "S"} | fields) / payload


def udp(site: Site, src: str, payload: bytes, sport: int = 40000, dport: int = 5060):
    return IP(src=src, dst=site.captured, ttl=57, id=7) / UDP(sport=sport, dport=dport) / payload


def udp6(site: Site, src: str, payload: bytes, dport: int):
    return IPv6(src=src, dst=site.v6, hlim=57) / UDP(sport=40000, dport=dport) / payload


def scanned(site: Site, src: str, window: int, port: int = 80, seq: int = 0xC0FFEE33):
    return tcp(site, src, ip_id=(site.number ^ port ^ seq) & 0xFFFF, dport=port, seq=seq, window=window)


def wide(site: Site) -> bytes:
    return f"\\\\{site.public}\\IPC$".encode("utf-16-le")


def quoted(site: Site, address: str, rest):
    return IP(src=address, dst=FAR, ttl=60, id=5) / rest


def gre(site: Site, src: str, inner, **fields):
    return IP(src=src, dst=site.captured, ttl=57) / GRE(**fields) / inner


def icmp(site: Site, src: str, kind: int, quote: bytes):
    return IP(src=src, dst=site.captured, ttl=57) / ICMP(type=kind, code=1) / Raw(quote)


def inner_scan(site: Site):
    seq = 0xC0FFEE33
    return IP(src=FAR, dst=site.public, id=(site.number ^ 80 ^ seq) & 0xFFFF) / TCP(dport=80, seq=seq, window=1024)


def ethernet(site: Site):
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=FAR, dst=site.public, id=3) / UDP(dport=9) / b"inside"


def teredo(site: Site) -> str:
    """RFC 4380: server, flags, port and address of the client with all bits turned over."""
    return str(ipaddress.IPv6Address(struct.pack(">IIHHI", 0x20010000, 0xC6120707, 0, 0xFFFF - 3544, site.number ^ 0xFFFFFFFF)))


def six_to_four(site: Site) -> str:
    return str(ipaddress.IPv6Address(struct.pack(">HIHQ", 0x2002, site.number, 0, 1)))


def raw(site: Site, which: str = "public", order: str = "big") -> bytes:
    return int(ipaddress.IPv4Address(getattr(site, which))).to_bytes(4, order)


def nibbles(site: Site) -> str:
    return ".".join(ipaddress.IPv6Address(site.v6).packed.hex()[::-1])


FOUR = "%d.%d.%d.%d"
# Kinds whose difference between two sensors tells as well.
BY_PAIR = {"mirai", "mirai_swapped", "masscan", "masscan_window", "ntp_monlist", "little_endian", "stun", "gre", "gre_sum",
           "gre_payload", "gre_masscan", "ip_in_ip", "icmp_unreachable", "icmp_short_quote", "icmp_exceeded"}
# Kinds with a packet inside, whose checksums tell as well.
QUOTED = {"gre", "gre_sum", "gre_payload", "gre_masscan", "gre_key", "gre_bridged", "vxlan", "ip_in_ip", "icmp_unreachable",
          "icmp_short_quote", "icmp_exceeded"}
QUOTED6 = {"icmp6_unreachable"}
KINDS = {
    "mirai": lambda s, src: tcp(s, src, seq=s.number, window=5840),
    "mirai_swapped": lambda s, src: tcp(s, src, seq=swapped(s.numbers[1]), dport=2323),
    "answer_to_forged": lambda s, src: tcp(s, src, flags="SA", sport=80, seq=99, ack=s.number + 1),
    "masscan": lambda s, src: scanned(s, src, 1024),
    "masscan_window": lambda s, src: scanned(s, src, 65535),
    "land": lambda s, src: IP(src=s.captured, dst=s.captured, id=1) / TCP(sport=139, dport=139, flags="S", seq=3868),
    "land_public": lambda s, src: IP(src=s.public, dst=s.captured, id=1) / TCP(sport=139, dport=140, flags="S", seq=3868),
    "sip": lambda s, src: udp(s, src, text(s, f"OPTIONS sip:100@{FOUR} SIP/2.0\r\nVia: SIP/2.0/UDP 198.18.0.9:5060\r\n")),
    "http": lambda s, src: tcp(s, src, text(s, f"GET / HTTP/1.1\r\nHost: {FOUR}\r\n\r\n"), flags="PA", ack=1, dport=80),
    "http_cut": lambda s, src: tcp(s, src, text(s, f"GET / HTTP/1.1\r\nHost: {FOUR}\r\n\r\n"), flags="PA", ack=1, dport=81),
    "ssdp": lambda s, src: udp(s, src, text(s, f"HTTP/1.1 200 OK\r\nLOCATION: http://{FOUR}:1900/d.xml\r\n"), 1900),
    "host_name": lambda s, src: udp(s, src, text(s, "EHLO ec2-%d-%d-%d-%d.compute.example")),
    "reverse_zone": lambda s, src: udp(s, src, text(s, f"PTR {FOUR}.in-addr.arpa", reverse=True)),
    "dns_reverse": lambda s, src: udp(s, src, bytes(DNS(rd=1, qd=DNSQR(
        qname=text(s, FOUR, reverse=True) + b".in-addr.arpa", qtype="PTR"))), dport=53),
    "blocklist": lambda s, src: udp(s, src, text(s, "%d_%d_%d_%d.rbl.example", reverse=True)),
    "decimal": lambda s, src: udp(s, src, b"GET http://%d/" % s.number, dport=8000),
    "signed": lambda s, src: udp(s, src, b"ip=%d;" % (s.number - (1 << 32 if s.number >> 31 else 0)), dport=8001),
    "hexadecimal": lambda s, src: udp(s, src, text(s, "token=%02x%02x%02x%02x;")),
    "hexadecimal_swapped": lambda s, src: udp(s, src, text(s, "Token=%02X%02X%02X%02X;", reverse=True)),
    "escaped": lambda s, src: udp(s, src, text(s, "info_hash=%%%02x%%%02x%%%02x%%%02x")),
    "escaped_dots": lambda s, src: udp(s, src, text(s, "GET /?u=http%%3A%%2F%%2F%d%%2E%d%%2E%d%%2E%d%%2F")),
    "octal": lambda s, src: udp(s, src, text(s, "http://0%o.0%o.0%o.0%o/")),
    "padded": lambda s, src: udp(s, src, text(s, "sn=%03d%03d%03d%03d")),
    "utf16": lambda s, src: udp(s, src, wide(s), dport=445),
    "late": lambda s, src: udp(s, src, b"0123456789" * 12 + text(s, f"#{FOUR} and more behind the sample")),
    "ntp_monlist": lambda s, src: udp(s, src, b"\xd7\0\3\x2a" + bytes(20) + b"\x08\x08\4\4" + raw(s) + bytes(40), 123, 50000),
    "little_endian": lambda s, src: udp(s, src, b"VALUE x 0 4\r\n" + raw(s, "captured", "little") + b"\r\nEND", 11211, 50000),
    "binary_cut": lambda s, src: udp(s, src, b"VALUE x 0 4\r\n" + raw(s) + b"\r\nEND", 11211, 50001),
    "stun": lambda s, src: udp(s, src, bytes.fromhex("0101000c2112a442") + b"0123456789ab" + bytes.fromhex("0020000800013344")
                               + struct.pack(">I", s.number ^ 0x2112A442), 3478, 50000),
    "gre": lambda s, src: gre(s, src, IP(src=FAR, dst=s.public) / UDP(sport=9, dport=9) / b"abcd"),
    "gre_sum": lambda s, src: gre(s, src, IP(src=FAR, dst=s.captured) / UDP(sport=9, dport=9) / b"efgh", chksum_present=1),
    "gre_payload": lambda s, src: gre(s, src, IP(src=FAR, dst="1.1.1.1") / UDP(sport=9, dport=9) / raw(s)),
    "gre_masscan": lambda s, src: gre(s, src, inner_scan(s)),
    "ip_in_ip": lambda s, src: IP(src=src, dst=s.captured) / IP(src=FAR, dst=s.public) / TCP(sport=5, dport=6, seq=1),
    "gre_key": lambda s, src: gre(s, src, IP(src=FAR, dst=s.public) / TCP(dport=8, seq=9), key_present=1, key=5),
    "gre_bridged": lambda s, src: gre(s, src, ethernet(s), proto=0x6558),
    "vxlan": lambda s, src: udp(s, src, bytes(VXLAN(vni=7) / ethernet(s)), dport=4789),
    "teredo": lambda s, src: udp(s, src, bytes(IPv6(src=teredo(s), dst="2001:db8::1") / UDP(dport=3544) / b"bubble"), 3544, 3544),
    "six_to_four": lambda s, src: IP(src=src, dst=s.captured) / IPv6(src="2001:db8::1", dst=six_to_four(s)) / TCP(dport=22, seq=3),
    "dns_whoami": lambda s, src: udp(s, src, bytes(DNS(qr=1, qd=DNSQR(qname="me.example"), an=DNSRR(
        rrname="me.example", type="A", rdata=s.public))), 53, 50000),
    "icmp_unreachable": lambda s, src: icmp(s, src, 3, bytes(quoted(s, s.public, UDP(sport=5, dport=6) / b"hello"))),
    "icmp_short_quote": lambda s, src: icmp(s, src, 3, bytes(quoted(s, s.captured, UDP(sport=5, dport=6)))),
    "icmp_exceeded": lambda s, src: icmp(s, src, 11, bytes(quoted(s, s.public, TCP(sport=5, dport=6, seq=1)))),
}
KINDS6 = {
    "seq_of_ipv6": lambda s, src: IPv6(src=src, dst=s.v6) / TCP(dport=23, seq=int.from_bytes(s.bytes6[:4], "big")),
    "land6": lambda s, src: IPv6(src=s.v6, dst=s.v6) / TCP(sport=139, dport=139, seq=7),
    "neighbour": lambda s, src: IPv6(src=src, dst=s.v6, hlim=255) / ICMPv6ND_NS(tgt=s.v6),
    "icmp6_unreachable": lambda s, src: IPv6(src=src, dst=s.v6) / ICMPv6DestUnreach()
    / Raw(bytes(IPv6(src=s.v6, dst=src) / UDP(sport=9, dport=53) / b"query")),
    "sip6": lambda s, src: udp6(s, src, f"OPTIONS sip:100@[{s.v6}] SIP/2.0\r\n".encode(), 5060),
    "exploded6": lambda s, src: udp6(s, src, f"x={ipaddress.IPv6Address(s.v6).exploded};".encode(), 5061),
    "dns_reverse6": lambda s, src: udp6(s, src, bytes(DNS(rd=1, qd=DNSQR(qname=nibbles(s) + ".ip6.arpa", qtype="PTR"))), 53),
    "binary6": lambda s, src: udp6(s, src, b"DHCP" + s.bytes6 + b"....", 546),
}
CUT_AT = {"http_cut": 40 + 22 + 8, "binary_cut": 28 + 13 + 3}  # snapped, behind two parts or three bytes


def source(kind: str) -> str:
    if kind in KINDS6:
        return f"2600:3c01::{list(KINDS6).index(kind) + 1:x}"
    return f"45.33.7.{list(KINDS).index(kind) + 1}"


def frames(site: Site) -> dict[str, tuple[bytes, int]]:
    """Kind -> bytes captured, length on the wire."""
    made = {}
    for kind, make in (KINDS | (KINDS6 if site.v6 else {})).items():
        data = bytes(make(site, source(kind)))
        made[kind] = (data[:CUT_AT.get(kind, len(data))], len(data))
    return made


def capture(folder: pathlib.Path, site: Site) -> pathlib.Path:
    return write_pcap(folder / f"{site.name}.pcap", [(START_US + i * 1_000_000, *frame)
                                                     for i, frame in enumerate(frames(site).values())])


# What there is without masking.

def number(value: str) -> int | None:
    return int(value) if value else None


def open_loot(folder: pathlib.Path, site: Site) -> dict[str, Loot]:
    """Kind -> what the sensor would tell of it if it did not mask."""
    result = {}
    rows = oracle.print_csv(capture(folder, site))
    made = frames(site)
    assert len(rows) == len(made)
    for (kind, (data, wire)), row in zip(made.items(), rows):
        length = number(row["payload_length"])
        at = 20 if data[0] >> 4 == 4 else 40
        if length is not None and row["protocol"] in ("6", "17", "1", "58"):
            at = wire - length
        payload = data[at:][:128]
        fields = {name: number(row[name]) for name in ("dst_port", "ip_id", "tcp_seq", "tcp_ack")}
        result[kind] = Loot([], [{"site": site.name, "src": row["src"], **fields}],
                            [{"site": site.name, "src": row["src"], "payload": payload}] if payload else [])
    return result


def test_attack_works(tmp_path):
    """Without masking every kind gives the address away."""
    sites = {site.name: open_loot(tmp_path, site) for site in SITES}
    for site in SITES:
        blind = [kind for kind, loot in sites[site.name].items() if not attack(loot, [site])]
        assert not blind, f"{site.name}: the attack finds nothing in {blind}"
    a, b = (sites[site.name] for site in SITES)
    blind = [kind for kind in BY_PAIR if not attack_pairs(Loot([], a[kind].rows + b[kind].rows, a[kind].samples + b[kind].samples), SITES)]
    assert not blind, f"exclusive or finds nothing in {blind}"


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_checksums_tell_what_zeros_hide(tmp_path, site):
    """Where the address alone is taken out of a quoted packet, the sums over it still give it away."""
    loot = open_loot(tmp_path, site)
    for kind in QUOTED | (QUOTED6 if site.v6 else set()):
        data = loot[kind].samples[0]["payload"]
        for hidden in (raw(site), raw(site, "captured"), site.bytes6 or raw(site)):
            data = data.replace(hidden, bytes(len(hidden)))
        assert not search(data, spellings(site)), kind
        assert solve(data, site), kind


# The whole product.

class World:
    """Both sensors have delivered; what was said and shown meanwhile."""

    def __init__(self, installation, folder: pathlib.Path):
        self.installation = installation
        self.collector = installation.collector(log_level="debug")
        self.proxy = FaultProxy(self.collector.address, source=PEER)
        self.said: list[tuple[str, bytes]] = []
        self.sensors = {}
        for site in SITES:
            enrolled = installation.enroll(site.name, REGIONS[site.name], addresses(site))
            self.sensors[site.name] = installation.sensor(enrolled, self.proxy.address, log_level="debug",
                                                          retry_min="10ms", retry_max="100ms")
        for site in SITES:
            self.deliver(site, capture(folder, site))

    def deliver(self, site: Site, file: pathlib.Path) -> None:
        sensor = self.sensors[site.name]
        sensor.start("--read", file)
        self.command_line(sensor)
        assert sensor.wait() == 0, sensor.last_log
        self.said.append((f"stdout of {site.name}", sensor.out.encode()))

    def command_line(self, process) -> None:
        line = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
        self.said.append((f"command line of {process.name}", line))

    def strangers(self) -> None:
        """Connections that fail, each in its way, from where sensors connect from."""
        for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x05garbage", b"\0" * 5000):
            with socket.create_connection(self.proxy.address) as s:
                s.settimeout(10)
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                try:
                    while s.recv(4096):
                        pass
                except OSError:
                    pass

    def gone(self, folder: pathlib.Path) -> None:
        """A sensor that is disabled meanwhile is refused, told so, and tries again."""
        self.installation.admin.run("sensor", "disable", SITES[0].name)
        sensor = self.sensors[SITES[0].name]
        file = write_pcap(folder / "late.pcap", [(START_US + 5_000_000, bytes(tcp(SITES[0], FAR)))])
        sensor.start("--read", file)
        assert sensor.wait() != 0
        assert "disabled" in sensor.last_log

    def exports(self, folder: pathlib.Path) -> dict[str, bytes]:
        """Every format, for the central team and for anybody: files, what lies beside them, what the command says."""
        with self.installation.connect() as connection:
            rollups.catch_up(connection)
        admin = Admin(folder, self.installation.dsn(), export_organization="Example CSIRT", export_contact="a@example.org")
        said = {}
        for recipient in ("internal", None):
            for kind, format in (("notification", "csv"), ("notification", "xarf"), ("capture", "pcap")):
                output = folder / f"{recipient}.{format}"
                run = admin.run("export", kind, "--period", DAY, "--tlp", "red", "--filter", '{"exclude": "bogon"}', "--output",
                                output, *(["--format", format] if kind == "notification" else []),
                                *(["--recipient", recipient] if recipient else []))
                said[f"{output.name} by the command"] = (run.stdout + run.stderr).encode()
        return said | {path.name: path.read_bytes() for path in folder.glob("*.*") if path != admin.config}

    def shown(self) -> list[tuple[str, bytes]]:
        """Logs, command lines, what the administrator's commands print, and the collector's pages."""
        admin = self.installation.admin
        self.command_line(self.collector)
        said = list(self.said)
        for command in (("sensor", "list"), ("verify",), ("db", "status")):
            run = admin.run(*command)
            said.append((" ".join(command), (run.stdout + run.stderr).encode()))
        for page in ("/metrics", "/healthz"):
            said.append((page, self.collector.get(page).encode()))
        for process in (self.collector, *self.sensors.values()):
            said.append((f"log of {process.name}", process.log.encode()))
        return said


@pytest.fixture
def world(installation, tmp_path):
    world = World(installation, tmp_path)
    yield world
    world.proxy.close()


def stolen(installation, role: str) -> tuple[Loot, list[str]]:
    with installation.connect(role) as connection:
        assert connection.execute("SELECT session_user::text").fetchone() == (role,)
        return plunder(connection, DAY)


def structured(installation) -> Loot:
    """The rows as an analyst has them."""
    with installation.connect(ANALYST) as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        rows = cursor.execute("SELECT s.name AS site, host(o.src) AS src, dst_port, ip_id, tcp_seq, tcp_ack, packets"
                              " FROM observation o JOIN sensor s USING (sensor_id)").fetchall()
        samples = cursor.execute("SELECT s.name AS site, host(p.src) AS src, payload FROM payload_sample p"
                                 " JOIN sensor s USING (sensor_id) WHERE payload IS NOT NULL").fetchall()
    return Loot([], rows, samples)


def whole(packets) -> Loot:
    """Packets as bytes, headers and all."""
    return Loot(samples=[{"site": "", "src": None, "payload": bytes(packet)} for packet in packets])


def test_addresses_are_not_recovered(world, installation, tmp_path):
    world.strangers()
    installation.query("ANALYZE")  # statistics hold samples of columns
    loot = structured(installation)

    # Everything has arrived: nothing is hidden by not being there.
    for site in SITES:
        unmasked = open_loot(tmp_path, site)
        rows = [row for row in loot.rows if row["site"] == site.name]
        samples = {sample["src"]: sample["payload"] for sample in loot.samples if sample["site"] == site.name}
        assert sum(row["packets"] for row in rows) == len(unmasked)
        for kind, open_ in unmasked.items():
            if kind.startswith("land"):
                continue
            assert source(kind) in {row["src"] for row in rows}, kind
            if open_.samples:
                assert len(samples[source(kind)]) == len(open_.samples[0]["payload"]), kind
    assert sum(row["src"] is None for row in loot.rows) == 5

    assert attack(loot, SITES) == []

    analyst, readable = stolen(installation, ANALYST)
    dashboard, _ = stolen(installation, DASHBOARD)
    for name in ("hirundo.observation", "hirundo.payload_sample", "hirundo.sensor_status", "hirundo.ingest_reject",
                 "hirundo.verify_streams()", "hirundo.verify_days()"):
        assert name in readable, f"the attacker missed {name}"
    assert not {"hirundo.sensor_address", "hirundo.sensor_connection"} & set(readable)
    (tmp_path / "exports").mkdir()
    files = world.exports(tmp_path / "exports")
    packets = rdpcap(str(tmp_path / "exports" / "internal.pcap"))
    assert len(packets) >= len([sample for sample in loot.samples if sample["src"]]) - 8  # that are no observation's own
    assert len(files["internal.csv"].splitlines()) > len(KINDS)
    assert attack(whole(packets), SITES) == []
    for site in SITES:  # it would find them
        assert attack(whole(rdpcap(str(capture(tmp_path, site)))), [site])
    for name in REGIONS:
        assert not [where for where, data in files.items() if re.search(rf"\b{name}\b".encode(), data)], "a sensor's name"
    world.gone(tmp_path)
    shown = world.shown() + list(files.items())
    assert attack(Loot(analyst.texts + dashboard.texts + shown), SITES) == []

    # The owner's own tables show that the search would have found it.
    with installation.connect() as connection:
        owners, _ = plunder(connection, DAY, call=False)
    hits = "\n".join(attack(owners, SITES))
    for where in ("hirundo.sensor_address as text", "hirundo.sensor_address as binary"):
        assert all(any(line.startswith(site.name) and line.endswith(where) for line in hits.splitlines()) for site in SITES)

    # Where sensors connect from: the owner knows it, nobody else does.
    assert {peer for (peer,) in installation.query("SELECT DISTINCT host(peer) FROM hirundo.sensor_connection")} == {PEER}
    wanted = spellings4(int(ipaddress.IPv4Address(PEER)))
    assert any(search(data, wanted) for where, data in owners.texts if where.startswith("hirundo.sensor_connection"))
    for where, data in analyst.texts + dashboard.texts + shown:
        assert not search(data, wanted), where
    for name in REGIONS:
        assert f"sensor={name}" in world.collector.log, "logs name sensors"


def test_server_log_shows_no_address(private_installation, tmp_path):
    """A HELLO that the database does not take in time ends up in the server's log, without what it said."""
    installation, site = private_installation, SITES[0]
    installation.query("ALTER SYSTEM SET log_statement = 'all'")
    installation.query("SELECT pg_reload_conf()")
    collector = installation.collector()
    proxy = FaultProxy(collector.address, source=PEER)
    sensor = installation.sensor(installation.enroll(site.name, "JP", addresses(site)), proxy.address, retry_min="50ms",
                                 retry_max="200ms")
    before = len(installation.server.log)  # what the administrator's commands and this test leave there is their own
    try:
        with installation.connect() as connection, connection.transaction():
            connection.execute("LOCK TABLE hirundo.sensor_address, hirundo.sensor_connection")
            sensor.start("--read", capture(tmp_path, site))
            collector.wait_log("lock timeout|statement timeout|55P03|57014", timeout=30)
        assert sensor.wait(60) == 0, sensor.last_log
    finally:
        proxy.close()
    assert installation.query("SELECT DISTINCT host(peer) FROM hirundo.sensor_connection") == [(PEER,)]
    said = installation.server.log[before:].encode()
    assert b"timeout" in said, "nothing went wrong"
    assert not search(said, spellings(site)) and not search(said, spellings4(int(ipaddress.IPv4Address(PEER))))


@pytest.mark.parametrize("role", [ANALYST, DASHBOARD])
def test_what_is_the_owners(installation, role):
    for query in ("SELECT * FROM hirundo.sensor_address", "SELECT count(*) FROM hirundo.sensor_address",
                  "SELECT address FROM hirundo.sensor_address", "SELECT peer FROM hirundo.sensor_connection",
                  "SELECT * FROM hirundo.sensor_connection", "SELECT frame FROM hirundo.ingest_reject",
                  "SELECT * FROM hirundo.ingest_reject", "SELECT hirundo.issue_targets(1, '{}', '{}')",
                  "SET ROLE hirundo_owner", "COPY hirundo.sensor_address TO STDOUT"):
        with installation.connect(role) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query)


@pytest.mark.parametrize("bad", ["{}/24", "{} = 10.0.0.0/8", "{}.9", "{} = {}x", "{}\" \"{}"])
def test_configuration_errors_do_not_tell(installation, bad):
    """A wrong entry is named by its number: what a program says at its start ends up in a log."""
    site = SITES[0]
    sensor = installation.sensor(installation.enroll("jp1", addresses=addresses(site)), ("127.0.0.1", 9))
    wrong = bad.format(site.public, site.public)
    sensor.write(addresses=["192.0.2.1", wrong])
    sensor.start("--check-config")
    assert sensor.wait(10) != 0
    assert "sensor.conf" in sensor.last_log
    assert not search(sensor.last_log.encode(), spellings(site)), sensor.last_log
