"""The harness itself: a proxy that cuts at the wrong byte, or an oracle that finds no difference, would
make other tests worthless."""
import socket
import threading
import time
from collections import Counter

import pytest

from harness import oracle
from harness.packets import background
from harness.proxy import DOWN, UP, Fault, FaultProxy


@pytest.fixture
def echo():
    """A TCP server that sends back what it gets, and ends when the client does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def exchange(address, data: bytes) -> tuple[bytes, bool]:
    """Sends, half-closes, reads to the end. @return what came back, and whether a RST ended it."""
    got = b""
    try:
        with socket.create_connection(address, timeout=10) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while piece := s.recv(65536):
                got += piece
    except TimeoutError:
        raise
    except OSError:
        return got, True
    return got, False


DATA = bytes(range(256)) * 40


def test_proxy_passes(echo):
    with FaultProxy(echo) as proxy:
        assert exchange(proxy.address, DATA) == (DATA, False)
        assert (proxy.links[0].up, proxy.links[0].down) == (len(DATA), len(DATA))


@pytest.mark.parametrize("after", [0, 1, 5000])
def test_proxy_cuts_at_the_byte(echo, after):
    with FaultProxy(echo) as proxy:
        proxy.fail(Fault("rst", after, UP), Fault("close", after, DOWN))
        assert exchange(proxy.address, DATA)[1]
        got, _ = exchange(proxy.address, DATA)
        assert got == DATA[:after]
        assert exchange(proxy.address, DATA) == (DATA, False)
        assert proxy.links[0].up == after


def test_proxy_trickles_and_stalls(echo):
    with FaultProxy(echo) as proxy:
        proxy.fail(Fault("trickle", 1000, UP, 0.05), Fault("stall", 1000, DOWN), Fault("half_close", 1000, UP))
        start = time.monotonic()
        assert exchange(proxy.address, DATA[:1010]) == (DATA[:1010], False)
        assert time.monotonic() - start >= 0.4
        with socket.create_connection(proxy.address, timeout=0.5) as s:
            s.sendall(DATA)
            got = b""
            with pytest.raises(TimeoutError):
                while piece := s.recv(65536):
                    got += piece
            assert got == DATA[:1000]
        assert exchange(proxy.address, DATA) == (DATA[:1000], False)


def test_proxy_refuses(echo):
    with FaultProxy(echo) as proxy:
        proxy.refuse()
        assert exchange(proxy.address, DATA) == (b"", True)
        proxy.refuse(False)
        assert exchange(proxy.address, DATA) == (DATA, False)


def test_oracle_finds_differences():
    want = Counter({"a": 2, "b": 1})
    oracle.compare(want, Counter({"a": 2, "b": 1}))
    oracle.compare(want, Counter({"a": 1, "b": 1}), lost_packets=1)
    for got, lost in ((Counter({"a": 3, "b": 1}), 0), (Counter({"a": 1, "b": 1}), 0),
                      (Counter({"a": 2, "b": 1}), 1), (Counter({"a": 1, "b": 1, "c": 1}), 1)):
        with pytest.raises(AssertionError):
            oracle.compare(want, got, lost)


def test_own_addresses():
    own = oracle.Own(["203.0.113.0/29", "10.0.0.7 = 198.51.100.7", "2001:db8::/64"])
    assert own.receives("203.0.113.6") and own.receives("10.0.0.7") and own.receives("2001:db8::1")
    assert not own.receives("198.51.100.7") and own.contains("198.51.100.7")
    assert own.near(0xCB007107) and own.near(0x077100CB) and own.near(0xC6336408) and not own.near(0xC6336409)


def test_background_is_repeatable():
    first = background(1, ["203.0.113.7"], 500)
    assert first == background(1, ["203.0.113.7"], 500) != background(2, ["203.0.113.7"], 500)
    assert len(first) == 500 and len(set(packet for _, packet in first)) < 500


def test_postgres_survives_a_crash(private_server):
    private_server.create("x")
    private_server.query("CREATE TABLE t AS SELECT 1 AS a", dbname="x")
    private_server.restart("immediate")
    assert private_server.query("SELECT a FROM t", dbname="x") == [(1,)]
    with private_server.connect("x") as connection:
        (pid,) = private_server.backends("x")
        private_server.kill_backend(pid)
        with pytest.raises(Exception):
            connection.execute("SELECT 1")
