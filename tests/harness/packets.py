"""Captures that tests make themselves: from a seed, so that a failure can be repeated."""
import ipaddress
import pathlib
import random
import struct

ETHERNET, RAW, NULL, SLL, SLL2 = 1, 101, 0, 113, 276


def write_pcap(path: pathlib.Path, packets, linktype: int = RAW, snaplen: int = 262144) -> pathlib.Path:
    """packets: (time in microseconds, bytes[, length on the wire]), any iterable."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snaplen, linktype))
        for time_us, data, *wire in packets:
            f.write(struct.pack("<IIII", time_us // 1000000, time_us % 1000000, len(data),
                                wire[0] if wire else len(data)))
            f.write(data)
    return path


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(src: int, dst: int, protocol: int, payload: bytes, ttl: int = 50, ip_id: int = 0, flags: int = 0) -> bytes:
    """Addresses as integers; the checksum is right."""
    header = bytearray(struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(payload), ip_id, flags << 13, ttl, protocol, 0,
                                   src, dst))
    struct.pack_into(">H", header, 10, checksum(bytes(header)))
    return bytes(header) + payload


def tcp(src: int, dst: int, src_port: int, dst_port: int, seq: int, ack: int = 0, flags: int = 2,
        window: int = 65535, mss: int | None = 1460) -> bytes:
    """A TCP segment without payload, for addresses as integers; the checksum is right."""
    options = struct.pack(">BBH", 2, 4, mss) if mss is not None else b""
    header = bytearray(struct.pack(">HHIIBBHHH", src_port, dst_port, seq, ack, (5 + len(options) // 4) << 4, flags,
                                   window, 0, 0) + options)
    struct.pack_into(">H", header, 16, checksum(struct.pack(">IIBBH", src, dst, 0, 6, len(header)) + bytes(header)))
    return bytes(header)


def udp(src: int, dst: int, src_port: int, dst_port: int, payload: bytes) -> bytes:
    segment = bytearray(struct.pack(">HHHH", src_port, dst_port, 8 + len(payload), 0) + payload)
    total = checksum(struct.pack(">IIBBH", src, dst, 0, 17, len(segment)) + bytes(segment))
    struct.pack_into(">H", segment, 6, total or 0xFFFF)
    return bytes(segment)


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    message = bytearray(struct.pack(">BBH", kind, code, 0) + rest)
    struct.pack_into(">H", message, 2, checksum(bytes(message)))
    return bytes(message)


def address(text: str) -> int:
    return int(ipaddress.IPv4Address(text))


def background(seed: int, targets: list[str], n: int, start_us: int = 1_700_000_000_000_000,
               rate: float = 200.0, sources: int = 200) -> list[tuple[int, bytes]]:
    """What a dark address sees: scans, Mirai, backscatter, UDP probes, pings, from a seed. Raw IPv4.
    Some packets are repeated at once, so that folding has something to do."""
    random_ = random.Random(seed)
    addresses = [address(text) for text in targets]
    hosts = [(random_.randrange(0x01000000, 0xDF000000), random_.choice((40, 52, 113, 235))) for _ in range(sources)]
    now = float(start_us)
    packets: list[tuple[int, bytes]] = []
    while len(packets) < n:
        src, ttl = random_.choice(hosts)
        dst = random_.choice(addresses)
        kind = random_.random()
        sport = random_.randrange(1024, 65536)
        seq = random_.getrandbits(32)
        if kind < 0.45:
            body = (6, tcp(src, dst, sport, random_.choice((22, 80, 443, 445, 3389, 8080)), seq))
        elif kind < 0.60:
            body = (6, tcp(src, dst, sport, random_.choice((23, 2323)), dst, window=sport, mss=None))
        elif kind < 0.70:
            body = (6, tcp(src, dst, 80, sport, seq, random_.getrandbits(32), 0x12))
        elif kind < 0.75:
            body = (6, tcp(src, dst, 443, sport, 0, random_.getrandbits(32), 0x14, 0, None))
        elif kind < 0.92:
            body = (17, udp(src, dst, sport, random_.choice((53, 123, 1900, 5060)), random_.randbytes(random_.randrange(60))))
        else:
            body = (1, icmp(8, 0, struct.pack(">HH", sport, 1) + bytes(32)))
        packet = ipv4(src, dst, body[0], body[1], ttl, random_.getrandbits(16), 2)
        for _ in range(random_.choice((1, 1, 1, 1, 2, 3))):
            now += random_.expovariate(rate) * 1e6
            packets.append((int(now), packet))
    return packets[:n]


def syn_scan(seed: int, target: str, n: int, start_us: int = 1_700_000_000_000_000, rate: float = 20000.0):
    """Endless different sources, one SYN each: nothing folds. Yields (time_us, packet); quick."""
    random_ = random.Random(seed)
    dst = address(target)
    base = bytearray(ipv4(0, dst, 6, bytes(24), 50, 54321))
    for i in range(n):
        src = random_.randrange(0x01000000, 0xDF000000)
        packet = base[:]
        struct.pack_into(">I", packet, 12, src)
        struct.pack_into(">H", packet, 10, 0)
        struct.pack_into(">H", packet, 10, checksum(bytes(packet[:20])))
        packet[20:] = tcp(src, dst, random_.randrange(1024, 65536), 23, random_.getrandbits(32))
        yield start_us + int(i * 1e6 / rate), bytes(packet)
