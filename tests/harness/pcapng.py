"""pcapng files, block by block: what tools write, what merging makes of it, and what few expect."""
import struct

from harness import captures

SECTION = 0x0a0d0d0a
US = 1700000000123456
UNLIMITED = 262144


class Blocks:
    """The blocks of one byte order."""

    def __init__(self, order: str = "<"):
        self.order = order

    def block(self, kind: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        length = struct.pack(self.order + "I", len(body) + 12)
        return struct.pack(self.order + "I", kind) + length + body + length

    def section(self, minor: int = 0, length: int = -1) -> bytes:
        return self.block(SECTION, struct.pack(self.order + "IHHq", 0x1a2b3c4d, 1, minor, length))

    def option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self.order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)

    def interface(self, link: int = captures.ETHERNET, snap: int = UNLIMITED, resolution: int | None = None,
                  offset: int | None = None, options: bytes = b"") -> bytes:
        if resolution is not None:
            options += self.option(9, bytes([resolution]))
        if offset is not None:
            options += self.option(14, struct.pack(self.order + "q", offset))
        if options:
            options += self.option(0, b"")
        return self.block(1, struct.pack(self.order + "HHI", link, 0, snap) + options)

    def packet(self, data: bytes, interface: int = 0, time: int = US, wire: int | None = None, options: bytes = b"") -> bytes:
        head = struct.pack(self.order + "IIIII", interface, time >> 32, time & 0xffffffff, len(data), wire or len(data))
        return self.block(6, head + data + b"\0" * (-len(data) % 4) + options)

    def simple(self, data: bytes, wire: int | None = None) -> bytes:
        return self.block(3, struct.pack(self.order + "I", wire or len(data)) + data)

    def old(self, data: bytes, interface: int = 0, time: int = US) -> bytes:
        return self.block(2, struct.pack(self.order + "HHIIII", interface, 0, time >> 32, time & 0xffffffff, len(data),
                                         len(data)) + data)


def frames() -> tuple[bytes, bytes, bytes]:
    """An Ethernet frame, the IP packet in it, and another frame."""
    tcp, v6 = captures.ipv4_packets()[1], captures.ipv6_packets()[0]
    return captures.framed(captures.ETHERNET, tcp), tcp, captures.framed(captures.ETHERNET, v6)


def nflog(order: str, packet: bytes) -> bytes:
    """An NFLOG frame as a host of this byte order captures it."""
    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack(order + "HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)
    return b"\2\0\0\5" + attribute(1, b"\x08\0\1\0") + attribute(10, b"prefix\0") + attribute(9, packet)


def files() -> dict[str, bytes]:
    """Complete files, by what is in them."""
    le, be = Blocks("<"), Blocks(">")
    frame, tcp, frame6 = frames()
    start, plain = le.section(), le.section() + le.interface()
    return {
        "snap_lengths": start + le.interface(snap=65535) + le.interface() + le.packet(frame) + le.packet(frame6, 1),
        "snap_length_0": start + le.interface(snap=0) + le.interface(snap=65535) + le.packet(frame) + le.packet(frame6, 1),
        "snap_length_small": start + le.interface(snap=60) + le.packet(frame) + le.packet(frame6),
        "snap_length_huge": start + le.interface(snap=0xffffffff) + le.packet(frame),
        "links": start + le.interface() + le.interface(captures.RAW) + le.packet(frame) + le.packet(tcp, 1) + le.packet(frame6),
        "link_later": plain + le.packet(frame) + le.interface(captures.RAW) + le.packet(tcp, 1),
        "link_unused": plain + le.interface(127) + le.packet(frame),
        "link_clip": start + le.interface(106) + le.packet(tcp),
        "resolutions": start + b"".join(le.interface(resolution=r) for r in (9, 3, 0, 6, 0x80 | 20, 0x80 | 10, 0x80))
        + b"".join(le.packet(frame, i, t) for i, t in enumerate((US * 1000 + 999, US // 1000, US // 10**6, US,
                                                                 (1700000000 << 20) + 777777, (1700000000 << 10) + 5, 7))),
        "resolution_fine": start + le.interface(resolution=10) + le.packet(frame, 0, US * 10**4 + 9999),
        "offsets": start + le.interface(offset=1000000) + le.interface(offset=-1000000, resolution=9) + le.packet(frame)
        + le.packet(frame, 1, US * 1000),
        "interface_options": start + le.interface(resolution=9, options=le.option(2, b"eth0") + le.option(9, b"ab")
                                                  + le.option(11, b"\0tcp or udp") + le.option(9, b"\x09"))
        + le.packet(frame, 0, US * 1000),
        "interface_options_no_end": start + le.block(1, struct.pack("<HHI", 1, 0, 0) + le.option(9, b"\x03"))
        + le.packet(frame, 0, US // 1000),
        "big_endian": be.section() + be.interface(resolution=9) + be.packet(frame, 0, US * 1000) + be.old(frame6, 0, US * 1000),
        "sections": plain + le.packet(frame) + start + le.interface(captures.RAW, resolution=9) + le.packet(tcp, 0, US * 1000),
        "sections_orders": plain + le.packet(frame) + be.section(2, 100) + be.interface(offset=5) + be.packet(frame6)
        + le.section() + le.interface() + le.packet(frame),
        "nflog": start + le.interface(239) + le.packet(nflog("<", tcp)) + be.section() + be.interface(239)
        + be.packet(nflog(">", tcp)),
        "simple": plain + le.simple(frame) + le.packet(frame6),
        "simple_cut": start + le.interface(snap=40) + le.simple(frame[:40], len(frame)),
        "old": plain + le.old(frame) + le.interface(captures.RAW) + le.old(tcp, 1),
        "options": plain + le.packet(frame, options=le.option(1, b"a comment") + le.option(2, b"\0\0\0\1") + le.option(0, b"")),
        "other_blocks": plain + le.block(4, b"\0" * 4) + le.block(5, b"\0" * 12)
        + le.block(0x7fff0001, b"x" * 9000) + le.packet(frame) + le.block(10, b"TLSK" + b"\0" * 4),
        "wire_shorter": plain + le.packet(frame, wire=20), "wire_longer": plain + le.packet(frame[:50], wire=len(frame)),
        "no_packet": plain,
    }


def damaged() -> dict[str, bytes]:
    """Files whose end is no end: one good packet, then this."""
    le = Blocks("<")
    frame, _, _ = frames()
    good = le.section() + le.interface() + le.packet(frame)
    return {name: good + end for name, end in {
        "no_such_interface": le.packet(frame, 1), "new_section_has_none": le.section() + le.packet(frame),
        "simple_without_interface": le.section() + le.simple(frame),
        "captured_more_than_block": le.block(6, struct.pack("<IIIII", 0, 0, 0, 500, 500) + frame),
        "packet_too_long": le.packet(b"\0" * 300000), "lengths_differ": le.packet(frame)[:-4] + struct.pack("<I", 16),
        "length_0": struct.pack("<II", 6, 0) + frame, "length_8": struct.pack("<II", 6, 8) + frame,
        "length_beyond_all": struct.pack("<II", 6, 0xffffffff) + frame, "short_packet": le.block(6, b"\0" * 16),
        "short_interface": le.block(1, b"\0" * 4), "option_beyond_block": le.interface(options=struct.pack("<HH", 2, 500)),
        "resolution_too_fine": le.interface(resolution=0x80 | 64), "section_version": le.block(SECTION, struct.pack(
            "<IHHq", 0x1a2b3c4d, 2, 0, -1)),
        "section_order": le.block(SECTION, b"\0" * 16), "section_short": le.block(SECTION, struct.pack("<I", 0x1a2b3c4d)),
    }.items()}
