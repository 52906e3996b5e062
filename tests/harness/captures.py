"""Synthetic captures for the comparison with tshark: every link type and header that the sensor reads,
whole and cut at every byte."""
import struct

from scapy.all import (GRE, ICMP, IP, SCTP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6EchoRequest, ICMPv6ND_NS,
                       ICMPv6TimeExceeded, IPOption_LSRR, IPOption_RR, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw, SCTPChunkInit, conf)
from scapy.layers.ipsec import AH
from scapy.layers.ppp import PPP, PPPoE
from scapy.contrib.mpls import MPLS

conf.verb = 0
ETHERNET, RAW, NULL, LOOP, SLL, SLL2, IPV4, IPV6, PPP_DLT = 1, 101, 0, 108, 113, 276, 228, 229, 9
SRC, DST = "198.51.100.7", "203.0.113.9"
SRC6, DST6 = "2001:db8::7", "2001:db8:1::9"
SYN = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]


def ipv4_packets() -> list[bytes]:
    def ip(**fields):
        return IP(**({"src": SRC, "dst": DST, "ttl": 53, "id": 54321} | fields))

    quoted = IP(src=DST, dst=SRC) / TCP(sport=80, dport=4444, seq=7)
    packets = [
        ip(flags="DF") / TCP(sport=40000, dport=23, seq=0xcb007109, flags="S", window=5840),
        ip() / TCP(sport=1, dport=65535, seq=0xffffffff, ack=9, flags="SA", options=SYN),
        ip() / TCP(flags="FSRPAUEC", options=[("NOP", None), ("EOL", None)]),
        ip() / TCP(flags="R", ack=0) / b"reset cause",
        ip() / TCP(flags="A", ack=0) / (b"x" * 33),
        ip() / TCP(flags="S", ack=5),
        ip() / TCP(dataofs=4), ip() / TCP(dataofs=0) / b"abc", ip() / TCP(dataofs=15), ip() / TCP(chksum=1) / b"bad",
        ip() / TCP(options=[(2, b"\x05"), ("MSS", 1400)]), ip() / TCP(options=[("MSS", 1), ("MSS", 2)]),
        ip() / TCP(dataofs=6) / b"\x02\x00\x05\xb4", ip() / TCP(dataofs=6) / b"\x01\x01\x02\x04\x05\xb4",
        ip() / TCP(dataofs=7) / b"\x00\x02\x04\x05\xb4\x00\x00\x00",
        *(ip() / TCP(dataofs=9) / (bytes([5, n]) + b"\7" * (n - 2) + b"\x02\x04\x05\xb4").ljust(16, b"\0") for n in (2, 3, 9, 10)),
        ip() / TCP(reserved=7, flags="S"),
        ip() / UDP(sport=123, dport=1024) / b"ntp", ip() / UDP(chksum=0) / b"none", ip() / UDP(chksum=7) / b"bad",
        ip() / UDP(len=4) / b"short", ip() / UDP(len=500) / b"long", ip() / UDP(len=12) / b"more than it says",
        ip() / UDP(len=0) / b"zero", ip() / UDP(),
        ip() / ICMP() / b"echo", ip() / ICMP(type=3, code=3) / quoted, ip() / ICMP(type=11) / quoted, ip() / ICMP(chksum=3),
        ip(proto=1) / b"\x08\x00\x00", ip(proto=1) / b"\x08\x00\xf7\xff\x00", ip(proto=1) / b"\x03",
        ip() / SCTP(sport=5000, dport=6000) / SCTPChunkInit(), ip(proto=132) / b"\x13\x88\x17\x70\x00\x00",
        ip() / GRE() / IP(src="10.1.1.1", dst="10.2.2.2") / TCP(dport=22), ip() / GRE(proto=0x86dd) / IPv6() / UDP(),
        ip() / IP(src="10.1.1.1", dst="10.2.2.2") / UDP(dport=53), ip() / IPv6(src=SRC6, dst=DST6) / TCP(dport=25),
        ip() / AH(nh=6, spi=9, seq=1, icv=b"0" * 12, payloadlen=4) / TCP(dport=5),
        ip(proto=33) / struct.pack("!HHBBHIII", 7, 8, 4, 0, 0, 0, 0, 0),
        ip(proto=136) / struct.pack("!HHHH", 9, 10, 8, 0) / b"lite", ip(proto=136) / struct.pack("!HHHH", 9, 10, 0, 0),
        ip(proto=50) / (b"\0" * 30), ip(proto=89) / (b"\2\1" + b"\0" * 40), ip(proto=255) / b"?", ip(proto=59), ip(proto=0) / (b"x" * 9),
        ip(proto=6), ip(proto=17), ip(proto=1), ip(proto=58) / b"\x80\x00\x00\x00\x00\x00\x00\x00",
        ip(flags="MF") / TCP(dport=23) / (b"x" * 16), ip(flags="MF") / UDP(len=3000) / (b"x" * 24),
        ip(flags="MF") / ICMP() / (b"x" * 24), ip(frag=185) / b"\0\7\0\7the rest", ip(frag=1, flags="MF", proto=6) / (b"x" * 16),
        ip(flags="MF", proto=6) / b"\0\1\0\2\0\0\0\0", ip(flags="evil+DF") / TCP(), ip(flags="evil", frag=3) / b"?",
        ip(options=IPOption_RR(routers=["1.2.3.4", "0.0.0.0"])) / TCP(dport=9),
        ip(options=IPOption_LSRR(pointer=4, routers=["192.0.2.1", "192.0.2.2"])) / UDP(dport=9) / b"routed",
        ip(options=IPOption_LSRR(pointer=12, routers=["192.0.2.1", "192.0.2.2"])) / UDP(dport=9) / b"arrived",
        ip(chksum=1) / UDP(), ip(len=0) / TCP() / b"offload", ip(len=10) / TCP(), ip(ihl=4) / TCP(), ip(ihl=15) / TCP(),
        ip(len=2000) / TCP() / b"less than it says", ip(len=2000) / UDP(len=1980) / b"same", ip(len=30) / TCP(),
        ip(len=2000) / ICMP() / b"same", ip(len=25) / UDP() / (b"x" * 9), ip(len=23) / ICMP() / (b"x" * 9),
        ip(version=5) / TCP(), ip(version=0) / TCP(), ip(ttl=0) / TCP(), ip(ttl=255) / TCP(),
        IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / (b"\1\1\6" + b"\0" * 300),
        ip() / UDP(sport=3544, dport=3544) / IPv6(src=SRC6, dst=DST6) / TCP(dport=80),
        ip() / UDP(sport=9999, dport=4789) / b"\x08\0\0\0\0\0\1\0" / Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.3.3.3") / TCP(dport=81),
    ]
    return [bytes(packet) for packet in packets]


def ipv6_packets() -> list[bytes]:
    def ip(**fields):
        return IPv6(src=SRC6, dst=DST6, hlim=57, **fields)

    hop, dest, pad = IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, [PadN(optdata=b"\0" * 12)]
    jumbo = bytes.fromhex("1100c20400011170")
    packets = [
        ip() / TCP(sport=4000, dport=23, seq=1, options=SYN), ip() / UDP(dport=53) / b"q", ip() / UDP(chksum=0) / b"q",
        ip() / UDP(chksum=5) / b"q", ip() / UDP(len=0) / b"jumbo?", ip() / UDP(len=3), ip() / UDP(len=100) / b"long",
        ip() / ICMPv6EchoRequest(data=b"ping"), ip() / ICMPv6ND_NS(tgt=DST6), ip() / ICMPv6EchoRequest(cksum=1),
        ip() / ICMPv6TimeExceeded() / IPv6(src=DST6, dst=SRC6) / TCP(sport=80), ip() / SCTP(dport=7) / SCTPChunkInit(),
        ip() / hop() / TCP(dport=1), ip() / hop(options=pad) / dest(options=pad) / UDP(dport=2) / b"two",
        ip() / IPv6ExtHdrRouting(addresses=["2001:db8::aa"], segleft=1) / TCP(dport=3),
        ip() / IPv6ExtHdrRouting(addresses=["2001:db8::aa"], segleft=0) / TCP(dport=4),
        ip() / dest() / dest() / IPv6ExtHdrRouting(addresses=["2001:db8::aa"], segleft=0) / dest() / TCP(dport=5),
        ip() / IPv6ExtHdrFragment(m=1, id=7) / UDP(len=2000, dport=6) / (b"x" * 24),
        ip() / IPv6ExtHdrFragment(m=1, id=7) / TCP(dport=6) / (b"x" * 12),
        ip() / IPv6ExtHdrFragment(m=1, id=7) / ICMPv6EchoRequest(data=b"x" * 16),
        ip() / IPv6ExtHdrFragment(m=0, offset=100, nh=17) / b"the rest of it",
        ip() / IPv6ExtHdrFragment(m=0, offset=100, nh=60) / b"\x06\0\0\0\0\0\0\0rest",
        ip() / IPv6ExtHdrFragment(m=0, offset=0) / TCP(dport=7), ip() / hop() / IPv6ExtHdrFragment(m=1) / dest() / UDP(dport=8),
        ip() / AH(nh=6, spi=9, seq=1, icv=b"0" * 12, payloadlen=4) / TCP(dport=9),
        ip() / hop() / AH(nh=17, spi=9, seq=1, icv=b"0" * 12, payloadlen=4) / UDP(dport=9) / b"a",
        ip(nh=59) / b"", ip(nh=59) / b"ignored", ip() / hop(nh=59), ip(nh=50) / (b"\0" * 24), ip(nh=89) / (b"\3\1" + b"\0" * 36),
        ip(nh=135) / bytes.fromhex("3b00000000000000"), ip(nh=253) / b"experiment", ip(nh=1) / bytes(ICMP() / b"x"),
        ip(nh=6), ip(nh=17), ip(nh=58), ip(nh=0), ip(nh=44), ip(nh=43) / b"\6",
        ip(plen=0) / TCP() / b"offload", ip(plen=0, nh=0) / jumbo / (b"j" * 30), ip(plen=0, nh=0) / bytes(hop(nh=6)) / bytes(TCP()),
        ip(plen=500) / TCP() / b"less", ip(plen=500) / UDP() / b"less", ip(plen=10) / TCP(), ip(plen=3) / UDP(),
        ip(plen=4, nh=0) / b"\6\0\1\4\0\0\0\0" / TCP(), ip(version=4) / TCP(), ip(version=7) / TCP(),
        ip() / GRE() / IP(src="10.1.1.1") / TCP(dport=10), ip() / IP(src="10.1.1.1") / TCP(dport=11), ip() / IPv6() / UDP(dport=12),
        IPv6(src="::", dst="ff02::1") / UDP(), IPv6(src="::ffff:192.0.2.1", dst="::192.0.2.1") / UDP(),
        IPv6(src="64:ff9b::1.2.3.4", dst="2001:0:0:1::1") / UDP(), IPv6(src="1:0:2:0:3:0:4:0", dst="::1:0:0:0") / UDP(),
    ]
    return [bytes(packet) for packet in packets]


def every_cut(packet: bytes, start: int) -> list[tuple[bytes, int]]:
    return [(packet[:n], len(packet)) for n in range(start, len(packet) + 1)]


def framed(link: int, packet: bytes) -> bytes:
    """The packet in a plain frame of that link type."""
    v6 = packet[0] >> 4 == 6
    ethertype = b"\x86\xdd" if v6 else b"\x08\0"
    return {ETHERNET: b"\2\0\0\0\0\1\2\0\0\0\0\2" + ethertype, RAW: b"", IPV4: b"", IPV6: b"",
            NULL: struct.pack("<I", 30 if v6 else 2), LOOP: struct.pack(">I", 24 if v6 else 2),
            SLL: struct.pack("!HHH8s", 0, 1, 6, b"\2\0\0\0\0\1") + ethertype,
            SLL2: ethertype + struct.pack("!HIHBB8s", 0, 2, 1, 0, 6, b"\2\0\0\0\0\1"),
            PPP_DLT: b"\xff\x03\0" + (b"\x57" if v6 else b"\x21")}[link] + packet


ETHER = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"  # a header in front of IPv4


def wrappings(ip: bytes) -> list[tuple[int, bytes]]:
    """An Ethernet type of each kind that leads to IP, and what follows it."""
    return [(0x8909, b"\1\1\0\1\0\2\x08\0" + ip), (0x8909, b"\1\1\0\1\0\2\x81\0\0\5\x08\0" + ip),
            (0x88e7, b"\0\0\0\1" + ETHER + ip), (0x88e7, b"\0\0\0\1" + ETHER[:12] + b"\x81\0\0\5\x08\0" + ip),
            (0x22f3, b"\0\0\0\0\0\0" + ETHER + ip), (0x22f3, b"\0\x83\0\0\0\0" + b"\0" * 8 + ETHER + ip),
            (0x892f, b"\0\x40\0\1\x08\0" + ip), (0x6558, ETHER + ip), (0x8926, b"\0\0\0\1\x08\0" + ip),
            (0x893f, b"\0\0\0\0\0\0\x08\0" + ip), (0x893f, b"\0\0\0\0\0\0\0\x60\x42\x42\3" + ip),
            (0x8100, b"\0\5\x08\0" + ip), (0x88a8, b"\0\5\x81\0\0\6\x08\0" + ip), (0x9100, b"\0\5\x08\0" + ip),
            (0x8847, b"\0\1\x01\x40" + ip), (0x8848, b"\0\1\x01\x40" + ip), (0x8847, b"\0\0\xe1\x40" + ip),
            (0x8847, b"\0\0\xe0\x40\0\1\1\x40" + ip), (0x8847, b"\0\1\0\x40\0\0\xe1\x40" + ip),
            (0x8864, b"\x11\0\0\1" + struct.pack("!H", len(ip) + 2) + b"\0\x21" + ip), (0x8870, b"\x06\x06\x03" + ip),
            (0x88e5, b"\0\0\0\0\0\1\x08\0" + ip), (0x894f, b"\0\2\2\1\0\0\1\xff" + ip),
            (0x894f, b"\0\6\1\3\0\0\1\xff" + b"\0" * 16 + ETHER + ip), (0xd28b, b"\0\1\0\x10" + b"\0" * 8 + b"\x08\0" + ip)]


def links() -> dict[str, tuple[int, list[bytes]]]:
    """Packets under each link type, and the ways to tag and tunnel an Ethernet frame."""
    tcp = IP(src=SRC, dst=DST) / TCP(dport=23, options=SYN)
    v6 = IPv6(src=SRC6, dst=DST6) / UDP(dport=53) / b"q"
    frame, snap = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), b"\xaa\xaa\x03\0\0\0"
    small = bytes(IP(src=SRC, dst=DST) / UDP() / b"1")
    tagged = [frame / Dot1Q(vlan=5) / tcp, frame / Dot1AD(vlan=6) / Dot1Q(vlan=5) / tcp, frame / Dot1Q() / Dot1Q() / v6,
              frame / Dot1AD() / Dot1AD() / Dot1Q() / v6, Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x9100) / Dot1Q() / tcp,
              Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x9100) / b"\0\1\x81\0" / Dot1Q() / tcp, frame / Dot1Q(type=0x0806) / (b"\0" * 28),
              frame / MPLS(label=16, s=0) / MPLS(label=17, s=1) / tcp, frame / MPLS(s=1) / v6, frame / MPLS(s=1) / (b"\0" * 30),
              frame / PPPoE(sessionid=1) / PPP() / tcp, frame / PPPoE(sessionid=1) / PPP(proto=0x57) / v6,
              frame / PPPoE(sessionid=1) / PPP(proto=0xc021) / b"\1\1\0\4"]
    llc = [b"\2" * 12 + struct.pack("!H", 8 + len(tcp)) + snap + b"\x08\0" + bytes(tcp),
           b"\2" * 12 + struct.pack("!H", 8 + len(v6)) + snap + b"\x86\xdd" + bytes(v6) + b"trailer",
           b"\2" * 12 + struct.pack("!H", 3 + len(tcp)) + b"\x06\x06\x03" + bytes(tcp),
           b"\2" * 12 + struct.pack("!H", 30) + b"\x42\x42\x03" + b"\0" * 30,
           b"\2" * 12 + struct.pack("!H", 30) + b"\xff\xff" + b"\0" * 30,
           b"\2" * 12 + b"\x05\xee" + bytes(tcp), b"\2" * 12 + b"\0\0" + bytes(tcp),
           b"\2" * 12 + b"\x81\0\0\5" + struct.pack("!H", 8 + len(tcp)) + snap + b"\x08\0" + bytes(tcp)]
    plain = [bytes(tcp), bytes(v6), small]
    result = {"vlan": (ETHERNET, [bytes(p) for p in tagged]), "llc": (ETHERNET, llc),
              "padding": (ETHERNET, [framed(ETHERNET, small) + b"\0" * 17, framed(ETHERNET, small) + b"\xff" * 21,
                                     framed(ETHERNET, bytes(IP(proto=6))) + b"\0" * 26]),
              "wrong_type": (ETHERNET, [b"\2" * 12 + b"\x08\0" + bytes(v6), b"\2" * 12 + b"\x86\xdd" + bytes(tcp),
                                        b"\2" * 12 + b"\x08\0", b"\2" * 12 + b"\x08\0\x45", b"\2" * 13, b""])}
    wrapped = wrappings(plain[0])
    result["wrapped"] = (ETHERNET, [ETHER[:12] + kind.to_bytes(2, "big") + body for kind, body in wrapped] + [
        ETHER[:12] + struct.pack("!H", 84) + b"\xaa\xaa\x03\0\x80\xc2" + pid.to_bytes(2, "big") + rest
        for pid in (1, 7, 2) for rest in (b"\0\0" + ETHER + plain[0] + b"fcs?", ETHER + plain[0])])
    # Elsewhere they are not what they are on Ethernet: serial lines, GRE, and other hardware of Linux.
    result["wrapped_chdlc"] = (104, [b"\x0f\0" + kind.to_bytes(2, "big") + body for kind, body in wrapped])
    result["wrapped_frame_relay"] = (107, [b"\x18\x41\x03\0\x80\0\x80\xc2" + pid.to_bytes(2, "big") + rest
                                           for pid in (1, 7, 2) for rest in (b"\0\0" + ETHER + plain[0] + b"fcs?", ETHER + plain[0])])
    result["wrapped_sll"] = (SLL, [struct.pack("!HHH8sH", 0, hardware, 6, b"", kind) + body
                                   for hardware in (1, 778) for kind, body in wrapped])
    result["wrapped_sll2"] = (SLL2, [struct.pack("!HHIHBB8s", kind, 0, 1, hardware, 0, 6, b"") + body
                                     for hardware in (1, 778) for kind, body in wrapped])
    for name, link in (("raw", RAW), ("null", NULL), ("loop", LOOP), ("sll", SLL), ("sll2", SLL2), ("ppp", PPP_DLT)):
        result[name] = (link, [framed(link, p) for p in plain])
    result["raw"][1].extend([b"\x50" + b"\0" * 39, b""])
    result["ipv4"] = (IPV4, plain)
    result["ipv6"] = (IPV6, plain)
    result["null"][1].extend([struct.pack(">I", 2) + plain[0], struct.pack("<I", 28) + plain[1], struct.pack("<I", 24) + plain[1],
                              struct.pack("<I", 0x800) + plain[0], struct.pack("<I", 7) + plain[0]])
    result["sll"][1].extend([struct.pack("!HHH8sH", 0, 1, 6, b"", kind) + body for kind, body in (
        (4, b"\xaa\xaa\x03\0\0\0\x08\0" + plain[0]), (1, plain[0]), (0x8100, b"\0\1\x08\0" + plain[0]), (0x0806, b"\0" * 28))])
    return result


def write_pcap(path, link: int, frames: list, order: str = "<", nano: bool = False) -> None:
    """@param frames  bytes, or (bytes captured, length on the wire); one every 1,000,001 us"""
    with open(path, "wb") as f:
        f.write(struct.pack(order + "IHHiIII", 0xa1b23c4d if nano else 0xa1b2c3d4, 2, 4, 0, 0, 262144, link))
        for i, frame in enumerate(frames):
            data, wire = frame if isinstance(frame, tuple) else (frame, len(frame))
            fraction = i * 1000 + 999 if nano else i
            f.write(struct.pack(order + "IIII", 1700000000 + i, fraction, len(data), wire) + data)
