"""What programs and systems send: each tool makes packets of one kind, with its fingerprint.

A tool is made once for a machine and called once for a packet:
    tool(r, src, dst, sport, dport) -> (protocol, payload, ip_id, df, flow)
The caller adds the TTL. flow is a number that load balancers see: the same for equal ports."""
from __future__ import annotations

import random

import packets as p

# Connections of ordinary systems: name -> (initial TTL, don't fragment, windows, options)
LINUX = (64, True, (64240, 29200), lambda r: p.mss(1460) + p.SACK_OK + p.timestamps(r.getrandbits(31)) + p.NOP + p.window_scale(7))
WINDOWS = (128, True, (64240, 8192, 65535), lambda r: p.mss(1460) + p.NOP + p.window_scale(8) + p.NOP + p.NOP + p.SACK_OK)
BSD = (64, True, (65535,), lambda r: p.mss(1460) + p.NOP + p.window_scale(6) + p.NOP + p.NOP + p.timestamps(r.getrandbits(31)) + p.SACK_OK)
EMBEDDED = (64, True, (5840, 14600), lambda r: p.mss(1400) + p.SACK_OK + p.timestamps(r.getrandbits(31)) + p.NOP + p.window_scale(2))
ROUTER = (255, False, (4128, 16384), lambda r: p.mss(536))
OLD = (32, False, (8192,), lambda r: p.mss(1460))
SYSTEMS = (LINUX, WINDOWS, BSD, EMBEDDED, ROUTER, OLD)
SYSTEM_WEIGHTS = (52, 22, 6, 12, 6, 2)

SCANNED = {22: 14, 445: 12, 80: 11, 443: 9, 3389: 7, 8080: 7, 6379: 4, 5555: 4, 1433: 3, 5900: 3, 21: 2, 25: 2, 8443: 3, 3306: 2, 110: 1,
           8728: 2, 2375: 1, 5432: 1, 81: 1, 8545: 1, 9200: 1, 5060: 1, 7547: 1, 8088: 1, 179: 1}
_PORTS, _PORT_WEIGHTS = list(SCANNED), list(SCANNED.values())


def port(r: random.Random) -> int:
    return r.choices(_PORTS, _PORT_WEIGHTS)[0] if r.random() < 0.93 else r.randrange(1, 65536)


class Connect:
    """A system's own connect(): SYN with its options, a new sequence number and port each time."""

    def __init__(self, r: random.Random, system=None):
        self.initial, self.df, windows, self.options = system or r.choices(SYSTEMS, SYSTEM_WEIGHTS)[0]
        self.window = r.choice(windows)

    def __call__(self, r, src, dst, sport, dport):
        segment = p.tcp(src, dst, sport, dport, r.getrandbits(32), 0, p.SYN, self.window, self.options(r))
        return 6, segment, r.getrandbits(16), self.df, sport


class RawSyn:
    """A tool that writes its SYNs itself: own window, no options or MSS alone, random sequence."""
    df = False

    def __init__(self, r: random.Random, initial: int | None = None):
        self.initial = initial or r.choice((64, 64, 128, 255))
        self.window = r.choice((512, 1024, 2048, 5840, 8192, 14600, 16384, 29200, 64240, 65535, 65535))
        self.options = r.choice((b"", b"", p.mss(1460)))

    def __call__(self, r, src, dst, sport, dport):
        return 6, p.tcp(src, dst, sport, dport, r.getrandbits(32), 0, p.SYN, self.window, self.options), r.getrandbits(16), False, sport


class Mirai:
    """mirai/bot/scanner.c: sequence = destination, random window and source port once a process, no options."""
    initial = 64

    def __init__(self, r: random.Random):
        self.window, self.sport = r.randrange(1, 65536), r.randrange(1024, 65536)
        # The original's ports, and variants that carry other exploits.
        self.ports = r.choices(((23,) * 9 + (2323,), (23, 2323, 5555), (23, 80, 8080), (37215, 52869), (23, 7547, 60023)),
                               (70, 10, 10, 6, 4))[0]

    def __call__(self, r, src, dst, sport, dport):
        dport = r.choice(self.ports)
        return 6, p.tcp(src, dst, self.sport, dport, dst & 0xFFFFFFFF, 0, p.SYN, self.window), r.getrandbits(16), False, self.sport


class ZMap:
    """src/probe_modules/packet.c: TTL 255, window 65535; IP ID 54321 until early 2024, random since."""
    initial = 255

    def __init__(self, r: random.Random):
        self.legacy, self.options = r.random() < 0.6, r.choice((b"", b"", p.mss(1460)))
        self.first = r.randrange(32768, 61000 - 64)

    def __call__(self, r, src, dst, sport, dport):
        sport = self.first + r.randrange(64)
        segment = p.tcp(src, dst, sport, dport, r.getrandbits(32), 0, p.SYN, 65535, self.options)
        return 6, segment, 54321 if self.legacy else r.getrandbits(16), False, sport


class Masscan:
    """src/templ-pkt.c: TTL 255, window 1024, IP ID = destination ^ port ^ sequence."""
    initial = 255

    def __init__(self, r: random.Random):
        self.sport = r.randrange(40000, 60000)

    def __call__(self, r, src, dst, sport, dport):
        seq = r.getrandbits(32)
        return 6, p.tcp(src, dst, self.sport, dport, seq, 0, p.SYN, 1024), (dst ^ dport ^ seq) & 0xFFFF, False, self.sport


class Nmap:
    """scan_engine_raw.cc: random TTL 37 .. 59 for each packet; sequence numbers of a run differ from its mask by
    equal halves; window 1024, MSS 1460."""
    initial = None      # drawn with ttl()

    def __init__(self, r: random.Random):
        self.mask, self.sport = r.getrandbits(32), r.randrange(33000, 65000)
        self.probe = 0

    @staticmethod
    def ttl(r: random.Random) -> int:
        return r.randrange(23) + 37

    def __call__(self, r, src, dst, sport, dport):
        self.probe = (self.probe + 1) & 0xFFFF
        seq = (self.probe << 16 | self.probe) ^ self.mask
        segment = p.tcp(src, dst, self.sport, dport, seq, 0, p.SYN, 1024, p.mss(1460))
        return 6, segment, r.getrandbits(16), False, self.sport


class UdpProbe:
    """Asks for a service, as scanners for reflectors do."""

    def __init__(self, r: random.Random, initial: int | None = None, dport: int | None = None):
        self.initial = initial or r.choices((64, 128, 255), (70, 15, 15))[0]
        self.dport = dport or r.choice(list(p.PAYLOADS))
        self.sport = r.randrange(1024, 65536) if r.random() < 0.5 else None

    def __call__(self, r, src, dst, sport, dport):
        sport = self.sport or sport
        return 17, p.udp(src, dst, sport, self.dport, p.PAYLOADS[self.dport]), r.getrandbits(16), False, sport


class Ping:
    def __init__(self, r: random.Random, initial: int | None = None):
        self.initial = initial or r.choices((64, 128, 255), (60, 25, 15))[0]
        self.number, self.sequence = r.getrandbits(16), 0
        self.data = r.choice((bytes(range(8, 64)), b"abcdefghijklmnopqrstuvwabcdefghi", bytes(24), b""))

    def __call__(self, r, src, dst, sport, dport):
        self.sequence = (self.sequence + 1) & 0xFFFF
        protocol, message = p.echo(src, dst, self.number, self.sequence, self.data)
        return protocol, message, r.getrandbits(16), False, self.number


class Gre:
    """GRE with an IPv4 packet inside, as a bot's flood sends: the inner addresses are random."""
    initial = 64

    def __init__(self, r: random.Random):
        self.size = r.choice((64, 128, 512))

    def __call__(self, r, src, dst, sport, dport):
        inner_src, inner_dst = r.getrandbits(32), r.getrandbits(32)
        data = p.udp(inner_src, inner_dst, sport, dport, r.randbytes(self.size))
        return 47, p.gre(p.ip(inner_src, inner_dst, 17, data, 64, r.getrandbits(16))), r.getrandbits(16), False, 0


class Victim:
    """What the victim of a flood with forged sources answers: SYN-ACK, RST, or ICMP errors of its router."""

    def __init__(self, r: random.Random):
        self.how = r.choices(("synack", "rst", "icmp", "udp"), (58, 24, 10, 8))[0]
        self.sport = r.choice((80, 443, 443, 22, 25, 8080, 25565)) if self.how != "udp" else r.choice(list(p.ANSWERS))
        self.initial = 255 if self.how == "icmp" else r.choices((64, 128, 255), (75, 20, 5))[0]
        self.window = r.choice((64240, 28960, 8192, 65535, 14480))

    def __call__(self, r, src, dst, sport, dport):
        if self.how == "synack":
            segment = p.tcp(src, dst, self.sport, sport, r.getrandbits(32), r.getrandbits(32), p.SYN | p.ACK, self.window, p.mss(1460))
            return 6, segment, 0, True, sport
        if self.how == "rst":
            return 6, p.tcp(src, dst, self.sport, sport, 0, r.getrandbits(32), p.RST | p.ACK, 0), 0, True, sport
        if self.how == "udp":
            return 17, p.udp(src, dst, self.sport, sport, p.ANSWERS[self.sport]), r.getrandbits(16), False, sport
        ours = p.ip(dst, src, 17, p.udp(dst, src, sport, self.sport, bytes(4)), 50, r.getrandbits(16))
        return 1, p.unreachable(3, ours), r.getrandbits(16), False, 0
