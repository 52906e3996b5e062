"""Packets, byte by byte, with the checksums they must have. Addresses are integers; IPv6 where above 2^32.

What scanners and stacks put where: the project's rules for scanners cite their sources in
sensor/classify.c; the rest is what the named systems send."""
import struct

SYN, RST, ACK = 0x02, 0x04, 0x10
NOP, END = b"\x01", b"\x00"
SACK_OK = b"\x04\x02"

_IPV4 = struct.Struct(">HHHHBBHII")
_TCP = struct.Struct(">HHIIBBHHH")
_UDP = struct.Struct(">HHHH")
_WORDS = {n: struct.Struct(f">{n // 2}H") for n in range(0, 1600, 2)}


def mss(value: int) -> bytes:
    return struct.pack(">BBH", 2, 4, value)


def window_scale(shift: int) -> bytes:
    return bytes((3, 3, shift))


def timestamps(value: int, echo: int = 0) -> bytes:
    return struct.pack(">BBII", 8, 10, value & 0xFFFFFFFF, echo)


def _sum(data: bytes) -> int:
    if len(data) & 1:
        data += b"\0"
    return sum(_WORDS[len(data)].unpack(data))


def _fold(total: int) -> int:
    """RFC 1071."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _address_sum(address: int) -> int:
    """One's complement sum of an address: 2^16 is 1 modulo 0xffff."""
    return address % 0xFFFF


def ip(src: int, dst: int, protocol: int, payload: bytes, ttl: int, ip_id: int = 0, df: bool = False) -> bytes:
    if dst >> 32:
        return (struct.pack(">IHBB", 0x60000000, len(payload), protocol, ttl) + src.to_bytes(16, "big")
                + dst.to_bytes(16, "big") + payload)
    length, flags = 20 + len(payload), 0x4000 if df else 0
    check = _fold(0x4500 + length + ip_id + flags + (ttl << 8 | protocol) + (src >> 16) + (src & 0xFFFF) + (dst >> 16)
                  + (dst & 0xFFFF))
    return _IPV4.pack(0x4500, length, ip_id, flags, ttl, protocol, check, src, dst) + payload


def tcp(src: int, dst: int, sport: int, dport: int, seq: int, ack: int, flags: int, window: int,
        options: bytes = b"", payload: bytes = b"") -> bytes:
    """The segment; options are padded."""
    options += END * (-len(options) % 4)
    offset = (20 + len(options)) << 2
    length = 20 + len(options) + len(payload)
    total = (_address_sum(src) + _address_sum(dst) + 6 + length + sport + dport + (seq >> 16) + (seq & 0xFFFF) + (ack >> 16)
             + (ack & 0xFFFF) + (offset << 8 | flags) + window + _sum(options) + _sum(payload))
    return _TCP.pack(sport, dport, seq, ack, offset, flags, window, _fold(total), 0) + options + payload


def udp(src: int, dst: int, sport: int, dport: int, payload: bytes) -> bytes:
    length = 8 + len(payload)
    total = _address_sum(src) + _address_sum(dst) + 17 + 2 * length + sport + dport + _sum(payload)
    return _UDP.pack(sport, dport, length, _fold(total) or 0xFFFF) + payload


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    """ICMP; rest begins with the second word of the header."""
    return struct.pack(">BBH", kind, code, _fold((kind << 8) + code + _sum(rest))) + rest


def icmp6(src: int, dst: int, kind: int, code: int, rest: bytes) -> bytes:
    total = _address_sum(src) + _address_sum(dst) + 58 + 4 + len(rest) + (kind << 8) + code + _sum(rest)
    return struct.pack(">BBH", kind, code, _fold(total)) + rest


def echo(src: int, dst: int, number: int, sequence: int, data: bytes) -> tuple[int, bytes]:
    """An echo request: (protocol, message)."""
    rest = struct.pack(">HH", number, sequence) + data
    return (58, icmp6(src, dst, 128, 0, rest)) if dst >> 32 else (1, icmp(8, 0, rest))


def unreachable(code: int, quoted: bytes) -> bytes:
    """ICMP destination unreachable; quotes the IP header and 8 bytes (RFC 792)."""
    return icmp(3, code, bytes(4) + quoted[:28])


def gre(inner: bytes) -> bytes:
    """RFC 2784 without options, IPv4 inside."""
    return b"\0\0\x08\0" + inner


# --- payloads of services that scanners look for and reflectors abuse
DNS_ANY = bytes.fromhex("1a2b01000001000000000000") + b"\x07example\x03com\x00\x00\xff\x00\x01"
PAYLOADS = {
    53: DNS_ANY,
    69: b"\x00\x01startup.cfg\x00octet\x00",
    111: bytes.fromhex("72fe1d130000000000000002000186a00001977c000000000000000000000000000000000000000000000000"),
    123: b"\x17\x00\x03\x2a" + bytes(4),
    137: bytes.fromhex("80f00010000100000000000020") + b"CK" + b"A" * 30 + b"\x00\x00\x21\x00\x01",
    161: bytes.fromhex("302902010004067075626c6963a01c0204565b8a5d020100020100300e300c06082b060102010101000500"),
    389: bytes.fromhex("3025020101632004000a01000a0100020100020100010100870b6f626a656374636c6173733000"),
    1900: b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n",
    3702: b"<:/>",
    5060: b"OPTIONS sip:100@host SIP/2.0\r\nVia: SIP/2.0/UDP 0.0.0.0:5060\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
    5353: bytes.fromhex("000000000001000000000000") + b"\x09_services\x07_dns-sd\x04_udp\x05local\x00\x00\x0c\x00\x01",
    11211: b"\x00\x00\x00\x00\x00\x01\x00\x00stats\r\n",
    37810: bytes.fromhex("20000000444849500000000000000000000000000000000038000000000000003800000000000000"),
}
# What these services answer.
ANSWERS = {
    53: bytes.fromhex("1a2b81800001000000000000") + DNS_ANY[12:],
    123: b"\x24\x02\x06\xe9" + bytes(44),
    389: bytes.fromhex("300c02010165070a010004000400"),
}
