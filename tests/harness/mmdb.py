"""Writes MaxMind DB files (format 2.0), well-formed or not: what the readers of address data are tested with."""
import ipaddress
import struct


def control(kind: int, size: int) -> bytes:
    first = (kind << 5 if kind <= 7 else 0)
    extended = b"" if kind <= 7 else bytes([kind - 7])
    if size < 29:
        return bytes([first | size]) + extended
    if size < 285:
        return bytes([first | 29]) + extended + bytes([size - 29])
    return bytes([first | 30]) + extended + struct.pack(">H", size - 285)


class Sized(int):
    """A number of one type: 5 uint16, 6 uint32, 9 uint64."""

    def __new__(cls, value: int, kind: int):
        number = super().__new__(cls, value)
        number.kind = kind
        return number


def encode(value) -> bytes:
    """Text, numbers and maps of them."""
    if isinstance(value, str):
        text = value.encode()
        return control(2, len(text)) + text
    if isinstance(value, bool):
        return control(14, int(value))
    if isinstance(value, Sized):
        digits = value.to_bytes(8, "big").lstrip(b"\0")
        return control(value.kind, len(digits)) + digits
    if isinstance(value, int):
        return encode(Sized(value, 6))
    if isinstance(value, dict):
        return control(7, len(value)) + b"".join(encode(key) + encode(item) for key, item in value.items())
    return control(11, len(value)) + b"".join(map(encode, value))


def metadata(nodes: int, version: int, built: int, kind: str = "Test", size: int = 24) -> bytes:
    return b"\xab\xcd\xefMaxMind.com" + encode({
        "binary_format_major_version": Sized(2, 5), "binary_format_minor_version": Sized(0, 5),
        "build_epoch": Sized(built, 9),
        "database_type": kind, "description": {"en": "test"}, "ip_version": Sized(version, 5), "languages": ["en"],
        "node_count": nodes, "record_size": Sized(size, 5)})


class Tree:
    """Nodes are lists of two records: None, another node, or ("data", offset)."""

    def __init__(self, version: int = 6):
        self.version, self.root, self.data, self.offsets = version, [None, None], b"", {}

    def record(self, value) -> tuple:
        key = repr(value)
        if key not in self.offsets:
            self.offsets[key] = len(self.data)
            self.data += encode(value)
        return ("data", self.offsets[key])

    def bits(self, prefix: str) -> str:
        net = ipaddress.ip_network(prefix)
        width = 32 if net.version == 4 else 128
        bits = format(int(net.network_address), f"0{width}b")[:net.prefixlen]
        return ("0" * 96 + bits) if net.version == 4 and self.version == 6 else bits

    def put(self, prefix: str, target) -> None:
        """A value, or a node (list): an alias."""
        node, bits = self.root, self.bits(prefix)
        for bit in bits[:-1]:
            if not isinstance(node[int(bit)], list):
                node[int(bit)] = [node[int(bit)], node[int(bit)]]  # what covered it covers both halves
            node = node[int(bit)]
        node[int(bits[-1])] = target if isinstance(target, list) else self.record(target)

    def node(self, prefix: str) -> list:
        node = self.root
        for bit in self.bits(prefix):
            node = node[int(bit)]
        return node

    def write(self, path, built: int = 1_750_000_000):
        nodes, numbers = [], {}

        def number(node):
            if id(node) not in numbers:
                numbers[id(node)] = len(nodes)
                nodes.append(node)
                for record in node:
                    if isinstance(record, list):
                        number(record)
        number(self.root)

        def value(record) -> int:
            if record is None:
                return len(nodes)
            return numbers[id(record)] if isinstance(record, list) else len(nodes) + 16 + record[1]
        tree = b"".join(value(record).to_bytes(3, "big") for node in nodes for record in node)
        path.write_bytes(tree + bytes(16) + self.data + metadata(len(nodes), self.version, built))
        return path
