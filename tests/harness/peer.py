"""A sensor's side of the protocol, written from proto/PROTOCOL.md alone, that can also break each of its
rules: frames, messages, batches, and a connection with a sensor's certificate."""
import ctypes
import ctypes.util
import pathlib
import random
import socket
import ssl
import struct
import time

from bench import wire

BATCH, STATUS, LOSS = 1, 2, 3
HELLO, WELCOME, ACK, CONFIRM, CONFIRMED, REFUSED, PING, PONG = range(16, 24)
REASONS = ("UNSPECIFIED", "VERSION", "UNKNOWN_SENSOR", "DISABLED", "CAPTURE_NOT_ALLOWED", "BAD_FRAME", "OUT_OF_ORDER",
           "FORKED", "SUPERSEDED", "UNAVAILABLE", "SHUTDOWN", "TIMEOUT", "CAPTURE_TAKEN")
HEADER = struct.Struct(">IBBHIIQQQQQQ")
MAGIC = 0x48524446
FRAME_MAX, CONTROL_MAX = 1 << 20, 1 << 16

_xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
_xxhash.XXH3_64bits.restype = ctypes.c_uint64
_zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
_zstd.ZSTD_compressBound.restype = _zstd.ZSTD_compress.restype = ctypes.c_size_t


def xxh3(data: bytes) -> int:
    return _xxhash.XXH3_64bits(data, ctypes.c_size_t(len(data)))


def deflate(data: bytes, level: int = 19) -> bytes:
    """One zstd frame with its content size."""
    room = _zstd.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    out = ctypes.create_string_buffer(room)
    n = _zstd.ZSTD_compress(out, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), level)
    assert n <= room
    return out.raw[:n]


# Frames.

def frame(kind: int, payload: bytes = b"", *, magic: int = MAGIC, version: int = 1, flags: int = 0,
          length: int | None = None, packets: int = 0, epoch: int = 0, first_seq: int = 0, seq: int = 0, total: int = 0,
          prev: int = 0, checksum: int | None = None) -> bytes:
    fields = (magic, version, kind, flags, len(payload) if length is None else length, packets, epoch, first_seq, seq,
              total, prev)
    if checksum is None:
        checksum = xxh3(HEADER.pack(*fields, 0)[:56] + payload)
    return HEADER.pack(*fields, checksum) + payload


def checksum_of(data: bytes) -> int:
    return HEADER.unpack_from(data)[-1]


# Messages.

class Fixed(int):
    """A fixed64."""


def varint(n: int) -> bytes:
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def zigzag(n: int) -> int:
    return n << 1 if n >= 0 else (-n << 1) - 1


def message(fields: dict) -> bytes:
    """Field number -> number, Fixed, bytes, or a list of those, one field each."""
    out = bytearray()
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, Fixed):
                out += varint(number << 3 | 1) + struct.pack("<Q", value)
            elif isinstance(value, int):
                out += varint(number << 3) + varint(value)
            else:
                out += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(out)


def hello(streams: list[bytes], addresses: list[bytes], more: dict | None = None) -> bytes:
    """@param more  fields beside or instead of the usual ones; None leaves one out"""
    fields = {1: 1, 2: 1, 3: b"peer 1", 4: Fixed(1), 5: zigzag(time.time_ns() // 1000), 6: 1, 7: streams, 8: addresses,
              **(more or {})}
    return message({number: value for number, value in fields.items() if value is not None})


def offer(epoch: int, oldest: int = 1, newest: int = 0, checksum: int = 0, total: int = 0) -> bytes:
    return message({1: Fixed(epoch), 2: oldest, 3: newest, 4: Fixed(checksum), 5: total})


def own_address(address: bytes, prefix_length: int | None = None) -> bytes:
    return message({1: address, 2: 8 * len(address) if prefix_length is None else prefix_length})


def status(now: int, more: dict | None = None) -> bytes:
    return message({1: Fixed(7), 2: zigzag(now), 3: zigzag(now), 4: 1, **(more or {})})


# Batches.

INDEX = {name: k for k, (name, _, _) in enumerate(wire.COLUMNS)}
FIELD = {name: wire.FIRST_FIELD + k + (k > 0) for name, k in INDEX.items()}
FIELD["time"] = wire.TIME_FIELD
V6 = 1 << 23


def raw_column(values: list[int], width: int) -> bytes:
    """Mode 0, raw planes of whole bytes."""
    return bytes([width]) + b"".join(b"\x31" + bytes(v >> 8 * k & 0xff for v in values) for k in range(width))


def syn(**more) -> dict:
    """A row as a SYN scan leaves it; None takes a column away."""
    row = {"src4": random.getrandbits(32), "src_port": 40000, "dst_port": 23, "protocol": 6, "ttl": 50,
           "ip_length": 40, "ip_id": 1, "ip_flags": 2, "tcp_flags": 2, "tcp_seq": random.getrandbits(32),
           "tcp_window": 1024, "tcp_header_length": 20, "payload_length": 0, "target": 1, "packets": 1, "last": 0,
           "traits": 0, **more}
    return {name: value for name, value in row.items() if value is not None}


def shape_of(row: dict) -> int:
    if "shape" in row:
        return row["shape"]
    shape = V6 if "src6_net" in row else 0
    for name, (_, _, need) in zip(INDEX, wire.COLUMNS):
        if name in row and need is not None:
            shape |= 1 << (need[0] if isinstance(need, tuple) else need)
    return shape


def batch(rows: list[dict], now: int, more: dict | None = None) -> bytes:
    """@param now  time of each row, microseconds
    @param more  fields instead of those that were made, by number; None leaves one out"""
    fields: dict = {1: len(rows), 2: zigzag(now)}
    rows = [{**row, "shape": shape_of(row)} for row in rows]
    for name, width, _ in wire.COLUMNS:
        k = INDEX[name]
        values = [row.get(name, 0) for row in rows if wire.has(k, row["shape"], row["packets"])]
        if values:
            fields[FIELD[name]] = raw_column(values, width)
    fields.update(more or {})
    return message({number: value for number, value in fields.items() if value is not None})


# A connection.

class Refused(Exception):
    def __init__(self, reason: str, text: str):
        super().__init__(f"{reason}: {text}")
        self.reason, self.text = reason, text


class Closed(Exception):
    """The collector closed without a word (of this protocol)."""


class Peer:
    """TLS is up when the constructor returns; the rest is the test's."""

    def __init__(self, address: tuple[str, int], bundle: pathlib.Path, cert: pathlib.Path | None = None,
                 key: pathlib.Path | None = None, timeout: float = 20):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(bundle / "ca.crt")
        context.load_cert_chain(cert or bundle / "sensor.crt", key or bundle / "sensor.key")
        self.tls = context.wrap_socket(socket.create_connection(address, timeout=timeout), server_hostname=address[0])
        self.address = bytes([203, 0, 113, 7])
        self.received = b""
        self.restart()

    def restart(self) -> None:
        """A new stream, from its beginning."""
        self.epoch = random.randrange(1, 1 << 63)
        self.seq = self.total = self.checksum = 0

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.tls.close()

    def send(self, data: bytes) -> None:
        """What is refused while it is still being sent is found out by receive()."""
        try:
            self.tls.sendall(data)
        except (ssl.SSLError, ConnectionError):
            pass

    def receive(self) -> tuple[tuple, dict]:
        """Header fields from `type` on, and the message's fields."""
        while len(self.received) < 64 or len(self.received) < 64 + struct.unpack_from(">I", self.received, 8)[0]:
            try:
                data = self.tls.recv(65536)
            except (ssl.SSLError, ConnectionError) as error:
                raise Closed(str(error)) from error
            if not data:
                raise Closed("end of stream")
            self.received += data
        n = 64 + struct.unpack_from(">I", self.received, 8)[0]
        data, self.received = self.received[:n], self.received[n:]
        ((header, payload),) = wire.frames(data)
        assert xxh3(data[:56] + payload) == header[-1], "the collector's checksum"
        fields = wire.message(payload)
        if header[0] == REFUSED:
            raise Refused(REASONS[fields[1][0]], fields[2][0].decode())
        return header, fields

    def expect(self, kind: int) -> tuple[tuple, dict]:
        header, fields = self.receive()
        assert header[0] == kind, f"type {header[0]}, not {kind}"
        return header, fields

    def greet(self, **more) -> dict:
        """HELLO and the fields of WELCOME."""
        self.send(frame(HELLO, hello([offer(self.epoch, self.seq + 1)], [own_address(self.address)], **more)))
        return self.expect(WELCOME)[1]

    def record(self, kind: int, payload: bytes, packets: int = 0, **header) -> bytes:
        """The next record of the stream."""
        self.seq += 1
        self.total += packets
        fields = {"packets": packets, "epoch": self.epoch, "first_seq": self.seq, "seq": self.seq, "total": self.total,
                  "prev": self.checksum, **header}
        data = frame(kind, payload, **fields)
        self.checksum = checksum_of(data)
        return data

    def rows(self, n: int = 2) -> bytes:
        """A good BATCH of n packets, now."""
        return self.record(BATCH, batch([syn() for _ in range(n)], time.time_ns() // 1000), n)

    def acked(self) -> None:
        """Waits until all that was made is acknowledged."""
        while True:
            header, _ = self.expect(ACK)
            assert (header[2], header[4] <= self.seq) == (self.epoch, True), "an ACK for what was not sent"
            if header[4] == self.seq:
                return

    def deliver(self, n: int = 2) -> None:
        self.send(self.rows(n))
        self.acked()
