"""Who wants a sensor's address, and may read all that analysts and dashboards read.

Knows nothing of how the sensor masks: search over all spellings, the scanners' formulas, exclusive or
between two sensors, and checksums that a guess can be tried on. The address is known to the attacker:
what confirms it would have found it, too."""
import dataclasses
import ipaddress
import itertools
import re
import struct

import psycopg

from harness.packets import checksum

SEQUENCE = 1 << 32
STUN_COOKIE = 0x2112A442


@dataclasses.dataclass(frozen=True)
class Site:
    """A sensor's secret addresses; the captured one is the public one without NAT."""
    name: str
    public: str
    captured: str
    v6: str | None = None

    @property
    def numbers(self) -> tuple[int, int]:
        return tuple(int(ipaddress.IPv4Address(text)) for text in (self.public, self.captured))

    @property
    def number(self) -> int:
        return self.numbers[0]

    @property
    def bytes6(self) -> bytes:
        return ipaddress.IPv6Address(self.v6).packed if self.v6 else b""


@dataclasses.dataclass
class Loot:
    texts: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)  # where from, what
    rows: list[dict] = dataclasses.field(default_factory=list)     # columns of observation; `site`
    samples: list[dict] = dataclasses.field(default_factory=list)  # columns of payload_sample; `site`


def swapped(number: int) -> int:
    return int.from_bytes(number.to_bytes(4, "big"), "little")


# Spellings.

def spellings4(number: int) -> set[bytes]:
    """Of an IPv4 address; text in lower case."""
    found: set[bytes] = set()
    for value in (number, swapped(number)):
        raw = value.to_bytes(4, "big")
        decimal = [str(byte) for byte in raw]
        hexadecimal = [f"{byte:02x}" for byte in raw]
        texts = {separator.join(decimal) for separator in (".", "-", "_", ",", ":", "/", "|", " ")}
        texts |= {separator.join(hexadecimal) for separator in ("", ".", ":", "-", " ", "%", "\\x", ".0x")}
        texts |= {"".join(hexadecimal[:2]) + ":" + "".join(hexadecimal[2:]), "".join(f"{byte:03}" for byte in raw),
                  ".".join(f"0{byte:o}" for byte in raw), str(value)}
        if value >> 31:
            texts.add(str(value - SEQUENCE))
        found |= {text.encode() for text in texts}
        found |= {raw, bytes(byte ^ 0xFF for byte in raw), (value ^ STUN_COOKIE).to_bytes(4, "big"),
                  b"".join(bytes([len(text)]) + text.encode() for text in decimal)}
    return found


def spellings6(packed: bytes) -> set[bytes]:
    """Of an IPv6 address, and of the network that it names."""
    address = ipaddress.IPv6Address(packed)
    nibbles = packed.hex()[::-1]
    groups = [f"{group:x}" for group in struct.unpack(">8H", packed)]
    texts = {address.compressed, address.exploded, packed.hex(), ".".join(nibbles), ":".join(groups),
             ":".join(groups[:4]) + ":", packed[:8].hex()}
    return {text.encode() for text in texts} | {packed, packed[:8], b"".join(b"\1" + digit.encode() for digit in nibbles)}


def spellings(site: Site) -> set[bytes]:
    found = set().union(*(spellings4(number) for number in site.numbers))
    return found | (spellings6(site.bytes6) if site.v6 else set())


def readings(data: bytes) -> set[bytes]:
    """The bytes, and the same with escapes resolved or every zero byte (UTF-16) left out."""
    plain = re.sub(rb"(?:%|\\x)([0-9a-fA-F]{2})", lambda hit: bytes([int(hit[1], 16)]), data)
    return {data, plain, data.replace(b"\0", b"")}


def search(data: bytes, wanted: set[bytes]) -> bytes | None:
    for reading in readings(data):
        lower = reading.lower()
        for spelling in wanted:
            # Bytes that happen to be capital letters are not in `lower`.
            if spelling in lower or spelling != spelling.lower() and spelling in reading:
                return spelling
    return None


def search_cut(data: bytes, site: Site) -> bytes | None:
    """What the end of the bytes leaves of an address: two parts or two thirds of it are too much."""
    for number in site.numbers:
        for value in (number, swapped(number)):
            raw = value.to_bytes(4, "big")
            for text in (b"%d.%d." % (raw[0], raw[1]), b"%d-%d-" % (raw[0], raw[1]), b"%02x%02x%02x" % tuple(raw[:3])):
                if re.search(rb"(?<![0-9a-f])" + re.escape(text) + rb"[0-9a-f.-]*$", data.lower()):
                    return text
            if data.endswith(raw[:3]):
                return raw[:3]
    return None


# What scanners compute from the destination.

def formula(row: dict, site: Site) -> str | None:
    words = {word for number in site.numbers for word in (number, swapped(number))}
    words |= set(struct.unpack(">4I", site.bytes6)) - {0} if site.v6 else set()
    near = {(word + step) % SEQUENCE for word in words for step in (-1, 0, 1)}
    near |= {swapped((number + step) % SEQUENCE) for number in site.numbers for step in (-1, 0, 1)}
    for field in ("tcp_seq", "tcp_ack"):
        if row[field] is not None and row[field] in near:
            return field
    if row["src"] and ipaddress.ip_address(row["src"]) in {ipaddress.ip_address(text) for text in
                                                           (site.public, site.captured, site.v6) if text}:
        return "src"
    if None not in (row["ip_id"], row["tcp_seq"], row["dst_port"]):
        for number in site.numbers:
            if (number ^ row["dst_port"] ^ row["tcp_seq"]) & 0xFFFF == row["ip_id"]:
                return "ip_id"
    return None


# One address tells the other where both sensors show what differs by them.

def differences(a: Site, b: Site) -> set[int]:
    return {value for x in a.numbers for y in b.numbers for value in (x ^ y, swapped(x ^ y))}


def exclusive_or_rows(x: dict, y: dict, a: Site, b: Site) -> str | None:
    wanted = differences(a, b)
    for field in ("tcp_seq", "tcp_ack"):
        if None not in (x[field], y[field]) and x[field] ^ y[field] in wanted:
            return field
    if None not in (x["ip_id"], y["ip_id"]) and x["ip_id"] ^ y["ip_id"] in {value & 0xFFFF for value in
                                                                            (p ^ q for p in a.numbers for q in b.numbers)}:
        return "ip_id"
    return None


def exclusive_or_payloads(x: bytes, y: bytes, a: Site, b: Site) -> bool:
    wanted = {value.to_bytes(4, "big") for value in differences(a, b)}
    both = bytes(p ^ q for p, q in zip(x, y))
    return any(value in both for value in wanted)


# Checksums that cover an address confirm a guess.

def transport_checksum(packet: bytes, header: int) -> bool | None:
    """Whether the transport checksum of a whole IP packet is right; None where it has none."""
    v6 = packet[0] >> 4 == 6
    kind = packet[6] if v6 else packet[9]
    segment, addresses = packet[header:], packet[8:40] if v6 else packet[12:20]
    at = {6: 16, 17: 6, 58: 2}.get(kind)
    if at is None or len(segment) < at + 2 or segment[at:at + 2] == b"\0\0":
        return None
    return checksum(addresses + struct.pack(">II" if v6 else ">HH", len(segment), kind) + segment) in (0, 0xFFFF)


def confirms4(data: bytes, number: int) -> bool:
    """With the address in place of what is there, is a sum of this IPv4 header's packet right?"""
    length = struct.unpack_from(">H", data, 2)[0]
    for field in (12, 16):
        guess = bytearray(data)
        struct.pack_into(">I", guess, field, number)
        if checksum(bytes(guess[:20])) == 0:
            return True
        if 20 < length <= len(data) and transport_checksum(bytes(guess[:length]), 20):
            return True
        if guess[9] == 6 and len(guess) >= 28:
            ip_id, port, seq = struct.unpack_from(">H", guess, 4)[0], *struct.unpack_from(">HI", guess, 22)
            if ip_id == (number ^ port ^ seq) & 0xFFFF:
                return True
    return False


def confirms6(data: bytes, packed: bytes) -> bool:
    length = 40 + struct.unpack_from(">H", data, 4)[0]
    return length <= len(data) and any(
        transport_checksum(data[:at] + packed + data[at + 16:length], 40) for at in (8, 24))


def solve(sample: bytes, site: Site) -> str | None:
    for at in range(len(sample) - 19):
        if sample[at] == 0x45 and any(confirms4(sample[at:], number) for number in site.numbers):
            return "a quoted packet's checksum"
        if site.v6 and sample[at] >> 4 == 6 and len(sample) - at >= 48 and confirms6(sample[at:], site.bytes6):
            return "a quoted IPv6 packet's checksum"
    # GRE's own sum, and the sum of an inner packet over a payload that has the address where zeros are.
    for at in range(len(sample) - 3):
        if sample[at:at + 4] != b"\0\0\0\0":
            continue
        for number in site.numbers:
            guess = sample[:at] + number.to_bytes(4, "big") + sample[at + 4:]
            if guess[0] & 0x80 and guess[2:4] == b"\x08\0" and checksum(guess) == 0:
                return "GRE's checksum"
            for inner in (4, 8):
                if at >= inner + 28 and guess[inner] == 0x45 and transport_checksum(guess[inner:], 20):
                    return "an inner packet's checksum"
    return None


def attack(loot: Loot, sites: list[Site]) -> list[str]:
    """What was found, and how; empty where the addresses are safe."""
    found = []
    for site in sites:
        wanted = spellings(site)
        for where, data in loot.texts:
            hit = search(data, wanted)
            if hit:
                found.append(f"{site.name}: {hit!r} in {where}")
        for row in loot.rows:
            how = formula(row, site)
            if how:
                found.append(f"{site.name}: {how} of {row}")
        for sample in loot.samples:
            data = sample["payload"]
            hit = search(data, wanted) or search_cut(data, site)
            how = repr(hit) if hit else solve(data, site)
            if how:
                found.append(f"{site.name}: {how} in {sample}")
    return found + attack_pairs(loot, sites)


def attack_pairs(loot: Loot, sites: list[Site]) -> list[str]:
    found = []
    for a, b in itertools.combinations(sites, 2):
        def pairs(things):
            for x, y in itertools.product(things, things):
                if x["site"] == a.name and y["site"] == b.name and x["src"] == y["src"]:
                    yield x, y
        for x, y in pairs(loot.rows):
            how = exclusive_or_rows(x, y, a, b)
            if how:
                found.append(f"{a.name} and {b.name}: exclusive or of {how}: {x}, {y}")
        for x, y in pairs(loot.samples):
            if exclusive_or_payloads(x["payload"], y["payload"], a, b):
                found.append(f"{a.name} and {b.name}: exclusive or of payloads: {x}, {y}")
    return found


# Everything that a role may read.

_READABLE = """
    SELECT n.nspname, c.relname, array_agg(a.attname ORDER BY a.attnum)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_schema_privilege(n.oid, 'USAGE')
        AND has_column_privilege(c.oid, a.attnum, 'SELECT')
    GROUP BY n.nspname, c.relname ORDER BY 1, 2"""
_CALLABLE = """
    SELECT n.nspname, p.proname, array(SELECT format_type(t.type, NULL) FROM unnest(p.proargtypes) AS t (type)),
        p.pronargdefaults
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prokind = 'f'
        AND p.prorettype <> 'trigger'::regtype
        AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
    ORDER BY 1, 2"""
# A value that brings much to light, of each type that functions take.
_ARGUMENTS = {"integer": "1", "smallint": "1", "bigint": "1", "text": "'packets'", "boolean": "true", "jsonb": "'{}'",
              "date": "'{day}'", "daterange": "'[{day},{day}]'", "timestamp with time zone": "'{day}'",
              "interval": "'1 day'", "inet": "'45.33.7.1'", "cidr": "'45.33.0.0/16'", "numeric": "1", "double precision": "1",
              "character": "'JP'", "real": "1", "verdict": "NULL", "uuid": "NULL"}
_SYSTEM = ("pg_catalog", "information_schema")


def argument(kind: str, day: str) -> str:
    element = _ARGUMENTS[kind.removesuffix("[]")].replace("{day}", day)
    return f"ARRAY[{element}]::{kind}" if kind.endswith("[]") else f"{element}::{kind}"


def copied(connection: psycopg.Connection, query: str, how: str) -> bytes:
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT {how})") as copy:
        return b"".join(bytes(part) for part in copy)


def plunder(connection: psycopg.Connection, day: str, call: bool = True) -> tuple[Loot, list[str]]:
    """All that the login may read and call, as text and as bytes, and the names of it.
    @param day  that has rows
    @param call  whether functions are called"""
    loot, names = Loot(), []
    for schema, table, columns in connection.execute(_READABLE).fetchall():
        name = f"{schema}.{table}"
        query = "SELECT " + ", ".join(f'"{column}"' for column in columns) + f' FROM "{schema}"."{table}"'
        for how in ("text",) if schema in _SYSTEM else ("text", "binary"):
            try:
                loot.texts.append((f"{name} as {how}", copied(connection, query, how)))
            except psycopg.Error as error:
                if schema not in _SYSTEM:  # views there call functions that the role may not
                    raise
                loot.texts.append((f"the error of {name}", str(error).encode()))
        if schema not in _SYSTEM:
            names.append(name)
    for schema, function, types, defaults in connection.execute(_CALLABLE).fetchall() if call else ():
        names.append(f"{schema}.{function}()")
        # With every argument, and with those that it must have: the rest often means "all".
        for given in {len(types), len(types) - defaults}:
            name = f'"{schema}"."{function}"({", ".join(argument(kind, day) for kind in types[:given])})'
            try:
                loot.texts.append((name, copied(connection, f"SELECT * FROM {name}", "text")))
            except psycopg.Error as error:
                loot.texts.append((f"the error of {name}", str(error).encode()))
    return loot, names
