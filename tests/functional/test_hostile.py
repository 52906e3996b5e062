"""Peers that mean harm, with a valid certificate and without: each is cut off or put aside with a reason, the
collector stays as it is, and a sensor that behaves delivers all the while over one connection."""
import concurrent.futures
import contextlib
import random
import re
import resource
import select
import socket
import ssl
import struct
import time

import pytest

from bench import wire
from harness import peer
from harness.hirundo import Installation
from harness.packets import background, write_pcap
from harness.paths import program
from harness.peer import Closed, Fixed, Peer, Refused, message, syn, varint, zigzag

MIB = 1 << 20
YEAR_2300 = 10_413_792_000 * 10**6
HONEST_PACKETS = 3
SANITIZED = b"__asan_init" in program("hirundo-collector").read_bytes()


def now() -> int:
    return time.time_ns() // 1000


class World:
    """A collector, a sensor that behaves (one connection from the first test to the last), and one that does not."""

    def __init__(self, folder, server, template):
        self.installation = Installation(folder, server, "hirundo_hostile", template)
        self.bad = self.installation.enroll("bad")
        self.collector = self.installation.collector()
        self.honest = Peer(self.collector.address, self.installation.enroll("honest").bundle)
        self.honest.greet()
        self.delivered = 0

    def peer(self, **more) -> Peer:
        return Peer(self.collector.address, self.bad.bundle, **more)

    @contextlib.contextmanager
    def streaming(self):
        with self.peer() as p:
            p.greet()
            yield p

    def check(self) -> None:
        """Up, healthy, and the one that behaves is served at once."""
        start = time.monotonic()
        self.honest.deliver(HONEST_PACKETS)
        self.delivered += HONEST_PACKETS
        assert self.collector.get("/healthz") == "ok\n"
        assert time.monotonic() - start < 5, "an honest sensor had to wait"

    def refused(self, reason: str, text: str, by) -> None:
        """by(peer) is answered by REFUSED, and the collector's log says why."""
        with self.streaming() as p:
            by(p)
            self.see(p, reason, text)

    def see(self, p: Peer, reason: str, text: str) -> None:
        with pytest.raises(Refused) as refusal:
            while True:
                p.receive()
        assert refusal.value.reason == reason and re.search(text, refusal.value.text), refusal.value
        with pytest.raises(Closed):
            p.receive()
        p.close()
        self.collector.wait_log(rf"state=closed sensor=bad reason=\"{re.escape(refusal.value.text)}")

    def finish(self) -> None:
        self.honest.close()
        try:
            self.installation.admin.verify()
            (got,) = self.installation.query("SELECT sum(packets) FROM hirundo.observation JOIN hirundo.sensor"
                                             " USING (sensor_id) WHERE name = 'honest'")
            assert got == (self.delivered,), "an honest sensor's packets: none lost, none twice"
            for address in ("203.0.113.7", "127.0.0.1"):
                assert not re.search(rf"(?<!listen=\"){re.escape(address)}", self.collector.log), "an address in the log"
        finally:
            self.installation.finish()


@pytest.fixture(scope="module")
def hostile(server, template, tmp_path_factory):
    world = World(tmp_path_factory.mktemp("hostile"), server, template)
    yield world
    world.finish()


@pytest.fixture
def world(hostile):
    yield hostile
    hostile.check()


# Before a sensor is known.

@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x02\x00\x01\x00", b"HRDF" + bytes(60),
                                  b"\x00"], ids=["http", "ssh", "old-tls", "frame", "zero"])
def test_not_tls(world, data):
    with socket.create_connection(world.collector.address, timeout=5) as s:
        s.sendall(data)
        with contextlib.suppress(ConnectionError):
            assert s.recv(100) == b""
    world.collector.wait_log('reason="not TLS"')


def test_garbage_inside_tls(world):
    """What looks like a record and is none: an alert and the end."""
    with socket.create_connection(world.collector.address, timeout=5) as s:
        s.sendall(b"\x16\x03\x01\x02\x00" + bytes(range(256)) * 2)
        with contextlib.suppress(ConnectionError):
            assert s.recv(100)[:1] in (b"\x15", b"")


def handshake(world, **settings):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in settings.items():
        setattr(context, name, value)
    with socket.create_connection(world.collector.address, timeout=5) as s, context.wrap_socket(s) as tls:
        return tls.recv(1)


def test_tls_1_2(world):
    with pytest.raises(ssl.SSLError):
        handshake(world, maximum_version=ssl.TLSVersion.TLSv1_2)
    world.collector.wait_log('reason="unsupported protocol"')


def test_no_certificate(world):
    with pytest.raises(ssl.SSLError, match="(?i)certificate.required"):
        handshake(world)
    world.collector.wait_log('reason="no certificate"')


def client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    return outgoing.read()


def drip(send, data: bytes, step: float, stop) -> float:
    """A byte every now and then, until the other side has had enough; how long that took."""
    start = time.monotonic()
    for i in range(len(data)):
        send(data[i:i + 1])
        time.sleep(step)
        if stop():
            break
    return time.monotonic() - start


def readable(s: socket.socket) -> bool:
    return bool(select.select([s], [], [], 0)[0])


def test_early_deadlines(world):
    """10 s for the handshake and 5 s for HELLO, however busy the peer seems."""

    def slow_handshake():
        with socket.create_connection(world.collector.address, timeout=20) as s:
            return drip(s.send, client_hello(), 0.3, lambda: readable(s))

    def silent():
        with socket.create_connection(world.collector.address, timeout=20) as s:
            start = time.monotonic()
            assert s.recv(1) == b""
            return time.monotonic() - start

    def hello(data: bytes):
        with world.peer() as p:
            took = drip(p.send, data, 0.3, lambda: readable(p.tls)) if data else 0
            start = time.monotonic()
            with pytest.raises(Refused, match="TIMEOUT: no HELLO in time"):
                p.receive()
            return took + time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(slow_handshake), pool.submit(silent), pool.submit(hello, b""),
                pool.submit(hello, peer.frame(peer.HELLO, bytes(200)))]
        took = [job.result() for job in jobs]
    assert all(9.5 < t < 13 for t in took[:2]) and all(4.5 < t < 8 for t in took[2:]), took
    world.collector.wait_log('reason="handshake timeout"')
    world.collector.wait_log('sensor=bad reason="no HELLO in time"')


def early(fields: dict, text: str, reason: str = "BAD_FRAME"):
    return fields, text, reason


ADDRESS = peer.own_address(bytes([203, 0, 113, 7]))
EARLY = {
    "no-common-version": early({1: 2, 2: 3}, "no common protocol version", "VERSION"),
    "versions": early({1: 0}, "version_min, version_max"),
    "unknown-field": early({99: 1}, "unknown field"),
    "field-twice": early({6: [1, 1]}, "single field comes twice"),
    "wrong-type": early({6: b"1"}, "field of another type"),
    "number-too-wide": early({1: 1 << 33}, "number is cut or too large"),
    "text": early({3: b"a\nb"}, "text is not printable ASCII"),
    "long-text": early({3: b"x" * 201}, "text is too long"),
    "year-2300": early({5: zigzag(YEAR_2300)}, "wall_us, mono_us"),
    "no-streams": early({7: None}, "streams: none"),
    "streams": early({7: [peer.offer(n) for n in range(1, 66)]}, "too many entries"),
    "same-epochs": early({7: [peer.offer(5), peer.offer(5)]}, "streams: an epoch comes twice"),
    "epoch-0": early({7: [peer.offer(0)]}, "streams: epoch out of range"),
    "oldest-behind-newest": early({7: [peer.offer(5, 9, 7, 1, 1)]}, "streams: oldest behind newest"),
    "addresses": early({8: [peer.own_address(bytes([10, 0, n >> 8, n & 255])) for n in range(5000)]}, "too many entries"),
    "address-length": early({8: [peer.own_address(bytes(5))]}, "addresses: no address or prefix"),
    "prefix-bits": early({8: [peer.own_address(bytes([10, 0, 0, 1]), 8)]}, "addresses: no address or prefix"),
    "prefix-7": early({8: [peer.own_address(bytes([10, 0, 0, 0]), 7)]}, "addresses: no address or prefix"),
    "no-more-targets": early({8: [peer.own_address(bytes([n, 0, 0, 0]), 8) for n in range(1, 140)]}, "can not be announced"),
    "capture": early({9: message({2: 1 << 63})}, "capture: out of range"),
}


@pytest.mark.parametrize("name", EARLY)
def test_hello_is_checked(world, name):
    fields, text, reason = EARLY[name]
    with world.peer() as p:
        p.send(peer.frame(peer.HELLO, peer.hello([peer.offer(p.epoch)], [ADDRESS], fields)))
        world.see(p, reason, text)


def test_largest_hello(world):
    """4,096 addresses and 64 streams are a right."""
    with world.peer() as p:
        addresses = [peer.own_address(bytes([10, 0, n >> 8, n & 255])) for n in range(4096)]
        p.send(peer.frame(peer.HELLO, peer.hello([peer.offer(n) for n in range(1, 64)] + [peer.offer(p.epoch)], addresses)))
        _, welcome = p.expect(peer.WELCOME)
        targets = wire.Bytes(welcome[6][0])
        assert len({targets.varint() for _ in range(4096)}) == 4096 and targets.at == len(targets.data)
        assert len(welcome[5]) == 64
        p.deliver()


FIRST = {
    "magic": (dict(magic=0x48524447), "bad magic"),
    "version": (dict(version=2), "unknown version"),
    "type": (dict(kind=99), "unknown type"),
    "flags": (dict(flags=1), "header field out of range"),
    "length": (dict(length=peer.CONTROL_MAX), "too long"),
    "epoch": (dict(epoch=1), "header field out of range"),
    "checksum": (dict(checksum=1), "checksum mismatch"),
    "ping": (dict(kind=peer.PING), "does not belong here"),
    "record": (dict(kind=peer.STATUS, epoch=1, first_seq=1, seq=1), "does not belong here"),
    "large-record": (dict(kind=peer.BATCH, epoch=1, first_seq=1, seq=1, length=peer.CONTROL_MAX), "too long"),
    "ack": (dict(kind=peer.ACK, epoch=1, seq=1, payload=b""), "does not belong here"),
    "cut-message": (dict(payload=b"\x08"), "number is cut or too large"),
}


@pytest.mark.parametrize("name", FIRST)
def test_first_frame_is_checked(world, name):
    fields, text = FIRST[name]
    with world.peer() as p:
        fields = {"kind": peer.HELLO, "payload": peer.hello([peer.offer(p.epoch)], [ADDRESS]), **fields}
        p.send(peer.frame(**fields))
        world.see(p, "VERSION" if name == "version" else "BAD_FRAME", text)


def test_record_before_welcome(world):
    with world.peer() as p:
        p.send(peer.frame(peer.HELLO, peer.hello([peer.offer(p.epoch)], [ADDRESS])) + p.rows())
        world.see(p, "BAD_FRAME", "before WELCOME")
    assert world.installation.query("SELECT count(*) FROM hirundo.ingest_batch WHERE epoch = %s", (p.epoch,)) == [(0,)]


# Frames of a sensor that was let in.

def twice(p):
    data = p.rows()
    p.send(data)
    p.acked()
    p.send(data)


def reordered(p):
    first, second = p.rows(), p.rows()
    p.send(second + first)


def gap(p):
    p.deliver()
    p.rows()
    p.send(p.rows())


def loss(p, **more):
    fields = {"first_seq": 1, "seq": 5, "total": 100, "epoch": p.epoch, **more}
    return peer.frame(peer.LOSS, message({1: 1}), **fields)


STREAM = {
    "hello-twice": ("BAD_FRAME", "does not belong here",
                    lambda p: p.send(peer.frame(peer.HELLO, peer.hello([peer.offer(p.epoch)], [ADDRESS])))),
    "ack": ("BAD_FRAME", "does not belong here", lambda p: p.send(peer.frame(peer.ACK, epoch=p.epoch, seq=1))),
    "welcome": ("BAD_FRAME", "does not belong here", lambda p: p.send(peer.frame(peer.WELCOME))),
    "refused": ("BAD_FRAME", "does not belong here", lambda p: p.send(peer.frame(peer.REFUSED, message({1: 5})))),
    "over-1-mib": ("BAD_FRAME", "too long", lambda p: p.send(p.record(peer.BATCH, b"", length=peer.FRAME_MAX - 63))),
    "over-4-gib": ("BAD_FRAME", "too long", lambda p: p.send(p.record(peer.BATCH, b"", length=0xffffffff))),
    "control-64-kib": ("BAD_FRAME", "too long",
                       lambda p: p.send(peer.frame(peer.PING, b"", length=peer.CONTROL_MAX - 63))),
    "magic": ("BAD_FRAME", "bad magic", lambda p: p.send(b"GET / HTTP/1.1\r\n" + bytes(64))),
    "version": ("VERSION", "unknown version", lambda p: p.send(p.record(peer.BATCH, b"", version=2))),
    "type": ("BAD_FRAME", "unknown type", lambda p: p.send(p.record(4, b""))),
    "flags": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", flags=1))),
    "checksum": ("BAD_FRAME", "checksum mismatch", lambda p: p.send(p.record(peer.BATCH, b"", checksum=1))),
    "changed-byte": ("BAD_FRAME", "checksum mismatch", lambda p: p.send(p.rows()[:-1] + b"\xff")),
    "epoch-0": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", epoch=0))),
    "epoch-too-large": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", epoch=1 << 63))),
    "seq-0": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", first_seq=0, seq=0))),
    "span": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", seq=2))),
    "backward-span": ("BAD_FRAME", "header field", lambda p: p.send(loss(p, first_seq=5, seq=1))),
    "prev-of-first": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", prev=1))),
    "total-too-large": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", total=1 << 63))),
    "packets-above-total": ("BAD_FRAME", "header field", lambda p: p.send(p.record(peer.BATCH, b"", packets=2, total=1))),
    "loss-with-packets": ("BAD_FRAME", "header field", lambda p: p.send(loss(p, packets=1))),
    "total": ("BAD_FRAME", "totals do not add up", lambda p: (p.deliver(), p.send(p.record(peer.BATCH, b"", 1, total=p.total + 2)))),
    "total-of-status": ("BAD_FRAME", "totals do not add up",
                        lambda p: p.send(p.record(peer.STATUS, peer.status(now()), total=1))),
    "total-goes-back": ("BAD_FRAME", "totals do not add up",
                        lambda p: (p.deliver(), p.send(loss(p, first_seq=2, prev=p.checksum, total=1)))),
    "twice": ("OUT_OF_ORDER", "sequence", twice),
    "reordered": ("OUT_OF_ORDER", "sequence", reordered),
    "gap": ("OUT_OF_ORDER", "sequence", gap),
    "unknown-epoch": ("OUT_OF_ORDER", "epoch", lambda p: p.send(p.record(peer.BATCH, b"", epoch=p.epoch ^ 1))),
    "prev-checksum": ("OUT_OF_ORDER", "prev_checksum", lambda p: (p.deliver(), p.send(p.record(peer.BATCH, b"", prev=1)))),
    "loss-behind-a-gap": ("OUT_OF_ORDER", "sequence", lambda p: p.send(loss(p, first_seq=3))),
    "loss-of-the-committed": ("OUT_OF_ORDER", "sequence", lambda p: (p.deliver(), p.send(loss(p)))),
    "loss-reason": ("BAD_FRAME", "LOSS: reason: out of range", lambda p: p.send(p.record(peer.LOSS, message({1: 9})))),
    "loss-unknown-field": ("BAD_FRAME", "LOSS: unknown field", lambda p: p.send(p.record(peer.LOSS, message({1: 1, 9: 1})))),
    "loss-times": ("BAD_FRAME", "LOSS: from_us, to_us",
                   lambda p: p.send(p.record(peer.LOSS, message({1: 1, 4: zigzag(9), 5: zigzag(8)})))),
    "confirm-nothing": ("BAD_FRAME", "seq, checksum", lambda p: p.send(peer.frame(peer.CONFIRM, message({1: Fixed(1)})))),
    "confirm-1025": ("BAD_FRAME", "too many entries", lambda p: p.send(confirm(p, range(1, 1026)))),
    "confirm-descending": ("BAD_FRAME", "seq: not ascending", lambda p: p.send(confirm(p, [2, 1]))),
    "confirm-twice": ("BAD_FRAME", "CONFIRM while one is under way", lambda p: p.send(confirm(p, [1]) * 2)),
    "ping-cut": ("BAD_FRAME", "number is cut", lambda p: p.send(peer.frame(peer.PING, b"\x09\x00"))),
}


def confirm(p, numbers) -> bytes:
    numbers = list(numbers)
    return peer.frame(peer.CONFIRM, message({1: Fixed(p.epoch), 2: b"".join(map(varint, numbers)),
                                             3: b"".join(struct.pack("<Q", n) for n in numbers)}))


@pytest.mark.parametrize("name", STREAM)
def test_frames_are_checked(world, name):
    reason, text, by = STREAM[name]
    world.refused(reason, text, by)


def test_cut_frame_is_not_stored(world):
    """The connection ends inside a record: at the next one WELCOME says what is committed."""
    with world.streaming() as p:
        p.deliver()
        data = p.rows()
        p.send(data[:-1])
    with world.peer() as again:
        again.epoch, again.seq = p.epoch, 2
        header = struct.unpack(">Q", data[48:56])[0]
        again.checksum = checksum = peer.checksum_of(data)
        again.send(peer.frame(peer.HELLO, peer.hello([peer.offer(p.epoch, 1, 2, checksum, 4)], [ADDRESS])))
        state = wire.message(again.expect(peer.WELCOME)[1][5][0])
        assert state[2] == [1] and int.from_bytes(state[3][0], "little") == header
        again.send(data)
        again.acked()


def test_confirm(world):
    """1,024 numbers are a right, and so is one question after the other."""
    with world.streaming() as p:
        p.deliver()
        for _ in range(20):
            p.send(confirm(p, range(1, 1025)))
            assert p.expect(peer.CONFIRMED)[1].get(2, [0]) == [0]
        p.send(peer.frame(peer.CONFIRM, message({1: Fixed(p.epoch), 2: varint(1), 3: struct.pack("<Q", p.checksum)})))
        assert p.expect(peer.CONFIRMED)[1][2] == [1]


def test_ping_flood(world):
    """Who reads the answers gets them all; who does not is cut before they pile up."""
    before = world.collector.memory_peak()
    ping = peer.frame(peer.PING, message({1: Fixed(77)}))
    with world.streaming() as p:
        for _ in range(50):
            p.send(ping * 100)
            for _ in range(100):
                assert p.expect(peer.PONG)[1] == {1: [struct.pack("<Q", 77)]}
    with world.streaming() as p:
        for _ in range(200):
            p.send(ping * 1000)  # 14 MB
        with pytest.raises((Closed, TimeoutError)):
            while True:
                p.receive()
    world.collector.wait_log('sensor=bad reason="the sensor does not read"')
    assert SANITIZED or world.collector.memory_peak() - before < 8 * MIB


def test_second_connection_takes_over(world):
    with world.streaming() as first, world.streaming() as second:
        world.see(first, "SUPERSEDED", "a newer connection")
        second.deliver()


@pytest.mark.slow
def test_late_deadlines(world):
    """30 s for a frame although its bytes keep coming, 45 s of silence. One sensor has one connection."""
    enrolled = [world.installation.enroll(f"late-{n}") for n in range(2)]

    def ends(n: int, data: bytes, text: str):
        with Peer(world.collector.address, enrolled[n].bundle, timeout=60) as p:
            p.greet()
            start = time.monotonic()
            drip(p.send, data(p), 0.3, lambda: readable(p.tls))
            with pytest.raises(Refused, match=text):
                p.receive()
            return time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor() as pool:
        frame = pool.submit(ends, 0, lambda p: p.rows(), "TIMEOUT: a frame took too long")
        silent = pool.submit(ends, 1, lambda p: b"", "TIMEOUT: the sensor is silent")
        assert 29.5 < frame.result() < 33 and 44.5 < silent.result() < 48


# Records whose frame is right and whose payload is not: put aside, and the sequence goes on.

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


# Numbers.

def test_idle_connections(world, tmp_path):
    """2,000 that never begin TLS: each costs little, ends after 10 s, and keeps nobody out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    before = world.collector.memory_peak()
    n = 2000
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        idle = [stack.enter_context(socket.create_connection(world.collector.address, timeout=30)) for _ in range(n)]
        start = time.monotonic()
        with world.streaming() as p:
            p.deliver()
        world.check()
        assert all(s.recv(1) == b"" for s in idle)
        assert time.monotonic() - start < 20
    grown = world.collector.memory_peak() - before
    assert SANITIZED or grown < n * 64 * 1024, f"{grown // n} bytes each"


def test_connection_limit(installation, tmp_path):
    """Full of strangers that never begin TLS: a sensor gets in all the same, and who streams stays."""
    enrolled = [installation.enroll(f"s{n}") for n in range(3)]
    collector = installation.collector(max_connections=20)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Peer(collector.address, enrolled[0].bundle))
        first.greet()
        idle = [stack.enter_context(socket.create_connection(collector.address, timeout=30)) for _ in range(60)]
        second = stack.enter_context(Peer(collector.address, enrolled[1].bundle))
        second.greet()
        for p in (first, second):
            p.deliver()
        metrics = collector.metrics()
        assert metrics["hirundo_connections"] <= 20 and metrics["hirundo_connections_over_limit_total"] >= 42
        del idle
    capture = write_pcap(tmp_path / "c.pcap", background(1, ["203.0.113.7"], 300))
    sensor = installation.sensor(enrolled[2], collector.address)
    assert sensor.read(capture) == 0, sensor.log
    installation.check(enrolled[2], capture)


def test_full_of_sensors(installation):
    """Full of sensors: the next one waits outside, and the log says why."""
    enrolled = [installation.enroll(f"s{n}") for n in range(3)]
    collector = installation.collector(max_connections=2)
    peers = [Peer(collector.address, e.bundle) for e in enrolled[:2]]
    for p in peers:
        p.greet()
    with pytest.raises((OSError, ssl.SSLError)):
        Peer(collector.address, enrolled[2].bundle)
    collector.wait_log("max_connections")
    peers[0].close()
    end = time.monotonic() + 10
    while True:
        try:
            with Peer(collector.address, enrolled[2].bundle) as p:
                p.greet()
                p.deliver()
            break
        except (OSError, Closed):
            assert time.monotonic() < end
            time.sleep(0.1)
    peers[1].deliver()
    peers[1].close()
