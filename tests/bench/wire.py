"""A reader of BATCH payloads, written from proto/PROTOCOL.md alone: it shares nothing with the codec."""
import ctypes
import ctypes.util
import struct

# Section 8: name, width, and what of the shape says that a row has it.
COLUMNS = [
    ("shape", 3, None), ("src4", 4, (0, False)), ("src6_net", 8, (0, True)), ("src6_host", 8, (0, True)),
    ("target", 4, None), ("src_port", 2, 1), ("dst_port", 2, 2), ("protocol", 1, 16), ("icmp_type", 1, 3),
    ("icmp_code", 1, 4), ("ttl", 1, 15), ("ip_length", 4, 14), ("ip_id", 2, 5), ("ip_flags", 1, 6),
    ("tcp_flags", 1, 7), ("tcp_seq", 4, 8), ("tcp_ack", 4, 9), ("tcp_window", 2, 10),
    ("tcp_header_length", 1, 11), ("tcp_mss", 2, 12), ("payload_length", 4, 13), ("packets", 4, None),
    ("last", 4, None), ("traits", 3, None),
]
FIRST_FIELD, TIME_FIELD = 16, 17

_zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
_zstd.ZSTD_decompress.restype = ctypes.c_size_t


def inflate(data, size):
    out = ctypes.create_string_buffer(size)
    n = _zstd.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    assert n == size, "zstd frame of another size"
    return out.raw


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data), "cut"
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            b = self.u8()
            value |= (b & 0x7f) << shift
            shift += 7
            if b < 0x80:
                return value

    def end(self):
        assert self.at == len(self.data), "bytes behind the end"


def frames(data):
    """(header fields, payload) of each frame."""
    at = 0
    while at < len(data):
        magic, version, kind, flags, length, packets, *rest = struct.unpack_from(">IBBHIIQQQQQQ", data, at)
        assert (magic, version, flags) == (0x48524446, 1, 0)
        yield (kind, packets, *rest), data[at + 64:at + 64 + length]
        at += 64 + length


def message(payload):
    """Protobuf: field number -> list of numbers or bytes."""
    fields, b = {}, Bytes(payload)
    while b.at < len(payload):
        tag = b.varint()
        value = {0: b.varint, 1: lambda: b.take(8), 2: lambda: b.take(b.varint())}[tag & 7]()
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def zigzag(n):
    return n >> 1 ^ -(n & 1)


def plane(b, n):
    head = b.u8()
    if head == 0:
        return [b.u8()] * n
    bits, mode = 1 << (head >> 4), head & 15
    size = (n * bits + 7) // 8
    data = b.take(size) if mode == 1 else inflate(b.take(b.varint()), size)
    if bits == 8:
        return list(data)
    per = 8 // bits
    return [data[i // per] >> i % per * bits & (1 << bits) - 1 for i in range(n)]


def planes(b, n, width):
    values = [0] * n
    for k in range(width):
        for i, symbol in enumerate(plane(b, n)):
            values[i] |= symbol << 8 * k
    return values


def column(b, n, width):
    head = b.u8()
    mode, size = head >> 4, head & 15
    assert size <= width

    def value():
        return int.from_bytes(b.take(size), "little")

    def inner(count):
        inner_head = b.u8()
        assert inner_head >> 4 == 0
        return planes(b, count, inner_head & 15) if count else []

    if mode == 0:
        return planes(b, n, size)
    if mode == 1:
        return [value()] * n
    if mode == 2:
        entries = [0] * (b.u8() + 1)
        entries = [value() for _ in entries]
        return [entries[i] for i in plane(b, n)]
    assert mode == 3
    new = plane(b, n)
    known = inner(sum(new))
    old = iter(inner(n - sum(new)))
    fresh = iter(known)
    return [next(fresh) if mark else known[next(old)] for mark in new]


def profile(data, n):
    b = Bytes(data)
    mask, tuples = b.varint(), b.u8() + 1
    ids = [k for k in range(len(COLUMNS)) if mask >> k & 1]
    entries = {k: column(b, tuples, COLUMNS[k][1]) for k in ids}
    index = plane(b, n) if tuples > 1 else [0] * n
    b.end()
    return {k: [entries[k][i] for i in index] for k in ids}


def has(k, shape, packets):
    need = COLUMNS[k][2]
    if COLUMNS[k][0] == "last":
        return packets > 1
    if need is None:
        return True
    if isinstance(need, tuple):
        return bool(shape >> need[0] & 1) and bool(shape >> 23 & 1) == need[1]
    return bool(shape >> need & 1)


def batch(payload):
    """Rows of a Batch: dictionaries, with None for what a row lacks."""
    m = message(payload)
    n = m.get(1, [0])[0]
    columns = {}
    for data in m.get(4, []):
        columns.update(profile(data, n))

    def read(k):
        if k in columns:
            return columns[k]
        # shape, src4, ...: fields 16, 18, 19, ...; time has 17
        data = m.get(FIRST_FIELD + k + (k > 0))
        mine = [has(k, columns[0][i] if k else 0, columns[21][i] if k == 22 else 0) for i in range(n)]
        if data is None:
            return [0] * n
        b = Bytes(data[0])
        values = iter(column(b, sum(mine), COLUMNS[k][1]))
        b.end()
        return [next(values) if own else 0 for own in mine]

    for k in range(len(COLUMNS)):
        columns[k] = read(k)
    time, step = zigzag(m.get(2, [0])[0]), zigzag(m.get(7, [0])[0])
    steps = column(Bytes(m[TIME_FIELD][0]), n - 1, 7) if n > 1 and TIME_FIELD in m else [0] * (n - 1)
    rows = []
    for i in range(n):
        time += steps[i - 1] + step if i else 0
        row = {name: columns[k][i] if has(k, columns[0][i], columns[21][i]) else None
               for k, (name, _, _) in enumerate(COLUMNS)}
        rows.append({"time": time, **row})
    return rows
