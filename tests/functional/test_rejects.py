"""Records whose frame is right and whose payload is not: each is put aside with a reason that names the field, the
sequence goes on, the books balance, and memory stays as it was."""
import random
import re
import struct

import pytest

from bench import wire
from harness import peer
from harness.hostile import MIB, SANITIZED, YEAR_2300, besieged, now, world  # noqa: F401, two are fixtures
from harness.peer import Fixed, message, syn, varint, zigzag


def rows(*rows_, **more):
    """A BATCH of these rows; fields by name replace those that were made."""
    at = more.pop("at", None)
    packets = more.pop("header_packets", None)

    def make():
        fields = {peer.FIELD.get(name, name): value for name, value in more.items()}
        fields = {{"rows": 1, "base_us": 2, "capture": 3, "profiles": 4, "samples": 5, "fold_early": 6, "step_us": 7}.get(
            key, key): value for key, value in fields.items()}
        payload = peer.batch(list(rows_), now() if at is None else at, fields)
        return peer.BATCH, payload, sum(row["packets"] for row in rows_) & 0xffffffff if packets is None else packets
    return make


def raw(payload: bytes, packets: int = 0, kind: int = peer.BATCH):
    return lambda: (kind, payload, packets)


def status(**more):
    fields = {"started_us": 2, "at_us": 3, "captured": 5, "ignored": 6, "sealed": 7, "covered_from_us": 14,
              "covered_to_us": 15, "software": 18, "kernel_drops": 8, "unknown": 31}
    return lambda: (peer.STATUS, peer.status(now(), {fields[name]: value for name, value in more.items()}), 0)


def sample(**more) -> bytes:
    names = ("observed_us", "duration_us", "content", "packets", "payload_length", "src", "family", "protocol",
             "has_ports", "src_port", "dst_port", "icmp_type", "icmp_code", "payload")
    fields = {"observed_us": zigzag(now()), "content": Fixed(1), "packets": 1, "payload_length": 4, "src": bytes(4), "family": 4,
              "protocol": 17, "has_ports": 1, "src_port": 53, "dst_port": 53, "payload": b"data", **more}
    return message({names.index(name) + 1: value for name, value in fields.items()})


def samples(*list_, **more):
    return rows(syn(), samples=peer.deflate(message({1: list(list_) or [sample(**more)]})))


def with_size(data: bytes, size: int) -> bytes:
    """A zstd frame that states another content size (RFC 8878, 3.1.1.1); it must have a field of 4 bytes."""
    descriptor = data[4]
    assert descriptor >> 6 == 2
    at = 5 if descriptor >> 5 & 1 else 6
    return data[:at] + struct.pack("<I", size) + data[at + 4:]


def squeezed(data: bytes) -> bytes:
    """A column of mode 0, one plane of whole bytes in zstd."""
    return b"\x01\x32" + varint(len(data)) + data


def bomb(noise: int = 0) -> bytes:
    """100 MiB from a few KiB, or from as many bytes of noise."""
    return peer.deflate(random.Random(1).randbytes(noise) + bytes(100 * MIB - noise), 1)


V6 = dict(src4=None, ip_id=None, ip_flags=None, src6_net=1, src6_host=1)
UDP = dict(protocol=17, tcp_flags=None, tcp_seq=None, tcp_window=None, tcp_header_length=None)
NO_TCP = {**UDP, "src_port": None, "dst_port": None}
LONG = bytes([1, 0x31]) + bytes(3)  # a column of three values

REJECTED = {
    "empty": (raw(b"", 1), "packets"),
    "garbage": (raw(bytes(range(256)) * 4, 1), "batch: "),
    "cut": (raw(b"\x08", 1), "batch: number is cut"),
    "unknown-field": (raw(message({1: 0, 99: 1})), "batch: unknown field"),
    "group": (raw(b"\x0b\x0c"), "batch: field of another type"),
    "field-twice": (raw(message({1: [0, 0]})), "batch: single field comes twice"),
    "long-varint": (raw(b"\x08" + b"\xff" * 10 + b"\x01"), "batch: number is cut or too large"),
    "header-packets": (rows(syn(), syn(), header_packets=3), "packets"),
    "rows": (raw(message({1: 32769})), "rows: too many"),
    "rows-2-to-the-32": (raw(message({1: 0xffffffff})), "rows: too many"),
    "rows-without-columns": (raw(message({1: 32768, 2: zigzag(1)})), "shape: missing"),
    "columns-without-rows": (raw(message({1: 0, 16: b"\x10"})), "rows: none, but columns"),
    "fold-early": (rows(syn(), fold_early=2), "fold_early: more than rows"),
    "year-2300": (rows(syn(), at=YEAR_2300), "base_us: out of range"),
    "before-1970": (rows(syn(), at=-1), "base_us: out of range"),
    "step": (rows(syn(), syn(), step_us=zigzag(YEAR_2300)), "step_us: out of range"),
    "step-of-one-row": (rows(syn(), step_us=zigzag(1)), "step_us: out of range"),
    "time-2300": (rows(syn(), syn(), time=peer.raw_column([YEAR_2300 & (1 << 56) - 1], 7)), "row 1: time: out of range"),
    "time-back-to-1969": (rows(syn(), syn(), at=5, step_us=zigzag(-6)), "row 1: time: out of range"),
    "last": (rows(syn(packets=2, last=60_000_000)), "last: out of range"),
    "packets-0": (rows(syn(packets=0), header_packets=0), "packets: out of range"),
    "packets": (rows(syn(packets=1 << 31)), "packets: out of range"),
    "target": (rows(syn(target=1 << 31)), "target: out of range"),
    "traits": (rows(syn(traits=1 << 20)), "traits: unknown bit"),
    "ip_length": (rows(syn(ip_length=1 << 31)), "ip_length: out of range"),
    "payload_length": (rows(syn(payload_length=1 << 31)), "payload_length: out of range"),
    "ip_flags": (rows(syn(ip_flags=8)), "ip_flags: out of range"),
    "tcp_header_length": (rows(syn(tcp_header_length=64)), "tcp_header_length: out of range"),
    "tcp_header_length-22": (rows(syn(tcp_header_length=22)), "tcp_header_length: out of range"),
    "tcp_ack": (rows(syn(tcp_ack=0)), "tcp_ack: 0 without the flag"),
    "ipv6-with-ip_id": (rows(syn(**{**V6, "ip_id": 1})), "shape: IPv6 with fields of IPv4"),
    "ipv6-with-ip_flags": (rows(syn(**{**V6, "ip_flags": 1})), "shape: IPv6 with fields of IPv4"),
    "shape-bit": (rows(syn(shape=1 << 17)), "shape: unknown bit"),
    "ports-without-protocol": (rows(syn(**{**UDP, "protocol": None})), "shape: transport fields without"),
    "ports-of-gre": (rows(syn(**{**UDP, "protocol": 47})), "protocol: has ports"),
    "tcp-of-udp": (rows(syn(protocol=17)), "protocol: has TCP fields"),
    "icmp-of-tcp": (rows(syn(**{**NO_TCP, "protocol": 6, "icmp_type": 8})), "protocol: has ICMP fields"),
    "icmp-code-alone": (rows(syn(**{**NO_TCP, "protocol": 1, "icmp_code": 0})), "shape: ICMP code without type"),
    "icmp-with-ports": (rows(syn(**{**UDP, "protocol": 1, "icmp_type": 8})), "shape: ICMP with fields"),
    "capture": (rows(syn(), capture=message({2: 1 << 63})), "capture: out of range"),
    "no-shape": (rows(syn(), shape=None), "shape: missing"),
    "column-that-no-row-has": (rows(syn(), src6_net=b"\x10"), "src6_net: no row has it"),
    "last-that-no-row-has": (rows(syn(), last=b"\x10"), "last: no row has it"),
    "time-that-no-row-has": (rows(syn(), time=b"\x10"), "time: no row has it"),
    "column-cut": (rows(syn(), syn(), ttl=b"\x01\x31\x00"), "ttl: "),
    "column-mode": (rows(syn(), ttl=b"\x41\x31\x00"), "ttl: "),
    "column-too-wide": (rows(syn(), ttl=b"\x02\x31\x00\x31\x00"), "ttl: "),
    "column-too-long": (rows(syn(), ttl=LONG), "ttl: bytes behind its end"),
    "plane-mode": (rows(syn(), ttl=b"\x01\x33\x00"), "ttl: "),
    "plane-width": (rows(syn(), ttl=b"\x01\x41\x00"), "ttl: "),
    "plane-padding": (rows(syn(), ttl=b"\x01\x01\xff"), "ttl: "),
    "dictionary-larger-than-rows": (rows(syn(), ttl=b"\x21\x01\x00\x01\x00\x00"), "ttl: "),
    "dictionary-index": (rows(syn(), syn(), ttl=b"\x21\x00\x07\x31\x00\x01"), "ttl: "),
    "repeats-of-nothing": (rows(syn(), ttl=b"\x31\x00\x00\x00\x01\x31\x00"), "ttl: "),
    "profile-mask": (rows(syn(), profiles=[varint(1 << 24) + b"\x00\x10"]), "profile: unknown column"),
    "profile-tuples": (rows(syn(), profiles=[b"\x01\xff"]), "profile: more tuples than rows"),
    "profile-cut": (rows(syn(), profiles=[b"\x01"]), "profile: is cut"),
    "profile-twice": (rows(syn(), shape=None, profiles=[b"\x01\x00\x10", b"\x01\x00\x10"]), "profile: unknown column or one"),
    "profile-and-column": (rows(syn(), profiles=[b"\x80\x08\x00\x11\x01"]), "ttl: came already"),
    "profiles": (rows(syn(), profiles=[b""] * 9), "too many entries"),
    "many-profiles": (rows(syn(), profiles=[b""] * 500_000), "too many entries"),
    "profile-of-what-rows-lack": (rows(syn(), profiles=[b"\x80\x02\x00\x11\x01"]), "icmp_type: value in a row that lacks it"),
    "sample-family": (samples(family=5), "samples: family"),
    "sample-src": (samples(src=bytes(5)), "samples: src: wrong length"),
    "sample-protocol": (samples(protocol=256), "samples: value is too large"),
    "sample-port": (samples(dst_port=65536), "samples: value is too large"),
    "sample-payload": (samples(payload=bytes(129)), "samples: value is too large"),
    "sample-packets": (samples(packets=0), "samples: packets: out of range"),
    "sample-time": (samples(observed_us=zigzag(YEAR_2300)), "samples: time: out of range"),
    "sample-duration": (samples(duration_us=(1 << 64) - 1), "samples: value is too large"),
    "sample-ports": (samples(protocol=47), "samples: protocol: has ports"),
    "sample-icmp": (samples(icmp_type=8), "samples: protocol: has ICMP"),
    "sample-unknown-field": (samples(sample() + message({99: 1})), "samples: unknown field"),
    "samples-1025": (samples(*[sample()] * 1025), "samples: too many entries"),
    "samples-empty-entries": (rows(syn(), samples=peer.deflate(b"\x0a\x00" * 131_072)), "samples: too many entries"),
    "samples-no-zstd": (rows(syn(), samples=b"no zstd"), "samples: zstd frame"),
    "samples-cut": (rows(syn(), samples=peer.deflate(bytes(1000))[:-1]), "samples: zstd frame"),
    "samples-two-frames": (rows(syn(), samples=peer.deflate(sample()) * 2), "samples: zstd frame"),
    "status-sum": (status(captured=5, sealed=4), "captured is not ignored"),
    "status-2300": (status(at_us=zigzag(YEAR_2300)), "started_us, at_us: out of range"),
    "status-covered": (status(covered_from_us=zigzag(2), covered_to_us=zigzag(1)), "covered_from_us"),
    "status-reasons": (status(ignored=[message({1: b"r%d" % n}) for n in range(65)]), "too many entries"),
    "status-reason": (status(ignored=message({1: b"a b"})), "ignored: reason is no name"),
    "status-reason-twice": (status(ignored=[message({1: b"a"})] * 2), "ignored: a reason comes twice"),
    "status-counter": (status(kernel_drops=1 << 63), "counter out of range"),
    "status-overflow": (status(ignored=[message({1: name, 2: (1 << 63) - 1}) for name in (b"a", b"b", b"c")]), "counter out of range"),
    "status-text": (status(software=b"\x1b[31m"), "text is not printable"),
    "status-unknown-field": (status(unknown=1), "unknown field"),
}


def put_aside(world, make, reason: str) -> None:
    with world.streaming() as p:
        kind, payload, packets = make()
        data = p.record(kind, payload, packets)
        p.send(data + p.rows(2))
        p.acked()
    ((seq, got, n, kept),) = world.installation.query(
        "SELECT seq, reason, packets, frame FROM hirundo.ingest_reject WHERE epoch = %s", (p.epoch,))
    assert (seq, n, bytes(kept)) == (1, packets, data) and re.search(reason, got), got
    assert world.installation.query(
        "SELECT last_seq, packets_total, stored, rejected FROM hirundo.ingest_state WHERE epoch = %s", (p.epoch,)) == [
            (2, packets + 2, 2, packets)]


@pytest.mark.parametrize("name", REJECTED)
def test_record_is_put_aside(world, name):
    put_aside(world, *REJECTED[name])


def test_reject_in_the_books(world):
    """What the cases above left behind balances."""
    world.installation.admin.verify()


BOMBS = {
    "samples": (lambda: rows(syn(), samples=bomb()), "samples: zstd frame has another size"),
    "samples-of-1-mib": (lambda: rows(syn(), samples=bomb(1_000_000)), "samples: zstd frame has another size"),
    "samples-that-lie": (lambda: rows(syn(), samples=with_size(bomb(), 200_000)), "samples: zstd frame is damaged"),
    "samples-of-1-mib-that-lie": (lambda: rows(syn(), samples=with_size(bomb(1_000_000), 200_000)), "samples: zstd frame is damaged"),
    "column": (lambda: rows(syn(), syn(), ttl=squeezed(bomb())), "ttl: "),
    "column-of-1-mib": (lambda: rows(syn(), syn(), ttl=squeezed(bomb(1_000_000))), "ttl: "),
    "column-that-lies": (lambda: rows(syn(), syn(), ttl=squeezed(with_size(bomb(), 2))), "ttl: "),
    "profile": (lambda: rows(syn(), syn(), profiles=[b"\x01\x01\x03" + squeezed(bomb(1_000_000))[1:]]), "shape: |profile: "),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(world, name):
    """1 MiB at most on the wire, 100 MiB unpacked: refused for what it states, or while it grows."""
    make, reason = BOMBS[name]
    make = make()
    before = world.collector.memory_peak()
    put_aside(world, make, reason)
    grown = world.collector.memory_peak() - before
    assert SANITIZED or grown < 16 * MIB, f"{grown / MIB:.1f} MiB more"


def test_many_rows_from_few_bytes(world):
    """The most that a small frame may honestly hold: 32,768 equal rows. Stored, in bounded memory."""
    before = world.collector.memory_peak()
    n = 32_768
    row = syn()
    columns = {peer.FIELD[name]: bytes([0x10 | width]) + (value if name != "shape" else peer.shape_of(row)).to_bytes(width, "little")
               for name, width, _ in wire.COLUMNS if (value := row.get(name, 0)) or name == "shape"}
    with world.streaming() as p:
        data = p.record(peer.BATCH, message({1: n, 2: zigzag(now()), **columns}), n)
        assert len(data) < 300
        p.send(data)
        p.acked()
    assert world.installation.query("SELECT stored FROM hirundo.ingest_state WHERE epoch = %s", (p.epoch,)) == [(n,)]
    assert SANITIZED or world.collector.memory_peak() - before < 16 * MIB


def test_rows_of_another_time(world):
    """Ten minutes ahead, or before what is kept: valid, so not rejected, but not in the table either."""
    with world.streaming() as p:
        for at in (now() + 3600 * 10**6, now() - 400 * 86400 * 10**6, 0, 7258118400000000 - 1):
            p.send(p.record(peer.BATCH, peer.batch([syn()], at), 1))
        p.acked()
    assert world.installation.query("SELECT stored, quarantined, rejected FROM hirundo.ingest_state WHERE epoch = %s",
                                    (p.epoch,)) == [(0, 4, 0)]
