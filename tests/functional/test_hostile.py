"""Peers that mean harm, with a valid certificate and without: each is cut off with a reason, the collector stays as
it is, and a sensor that behaves delivers all the while over one connection."""
import concurrent.futures
import contextlib
import resource
import select
import socket
import ssl
import struct
import time

import pytest

from bench import wire
from harness import peer
from harness.hostile import MIB, SANITIZED, YEAR_2300, besieged, now, world  # noqa: F401, two are fixtures
from harness.packets import background, write_pcap
from harness.peer import Closed, Fixed, Peer, Refused, message, varint, zigzag

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
    """Fields of HELLO, and what is said of them."""
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
    """30 s for a frame although its bytes keep coming, and 1 s for each 4 KiB of it, so that a slow line delivers; 45 s
    of silence. One sensor has one connection."""
    enrolled = [world.installation.enroll(f"late-{n}") for n in range(3)]

    def ends(n: int, data: bytes, text: str):
        with Peer(world.collector.address, enrolled[n].bundle, timeout=60) as p:
            p.greet()
            start = time.monotonic()
            drip(p.send, data(p), 0.3, lambda: readable(p.tls))
            with pytest.raises(Refused, match=text):
                p.receive()
            return time.monotonic() - start

    def slow_line(n: int):
        with Peer(world.collector.address, enrolled[n].bundle, timeout=60) as p:
            p.greet()
            data = p.rows(5000)
            assert len(data) > 20 * 4096
            for i in range(0, len(data), -(-len(data) // 80)):
                time.sleep(0.5)
                p.send(data[i:i + -(-len(data) // 80)])
            p.acked()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        frame = pool.submit(ends, 0, lambda p: p.rows(), "TIMEOUT: a frame took too long")
        silent = pool.submit(ends, 1, lambda p: b"", "TIMEOUT: the sensor is silent")
        slow = pool.submit(slow_line, 2)
        while not (frame.done() and silent.done() and slow.done()):
            world.check()
            time.sleep(1)
        slow.result()
        assert 29.5 < frame.result() < 33 and 44.5 < silent.result() < 48


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
