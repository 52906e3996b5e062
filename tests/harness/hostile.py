"""A collector under attack: what tests with peers that mean harm share. Import the fixtures, too."""
import contextlib
import re
import time

import pytest

from harness.hirundo import Installation
from harness.paths import program
from harness.peer import Closed, Peer, Refused

MIB = 1 << 20
YEAR_2300 = 10_413_792_000 * 10**6
HONEST_PACKETS = 3
SANITIZED = b"__asan_init" in program("hirundo-collector").read_bytes()


def now() -> int:
    return time.time_ns() // 1000


class World:
    """A collector, a sensor that behaves (one connection from the first test to the last), and one that does not."""

    def __init__(self, folder, server, dbname, template):
        self.installation = Installation(folder, server, dbname, template)
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
def besieged(request, server, template, tmp_path_factory):
    name = request.module.__name__.rsplit(".", 1)[-1]
    world = World(tmp_path_factory.mktemp(name), server, f"hirundo_{name}", template)
    yield world
    world.finish()


@pytest.fixture
def world(besieged):
    """After each test the collector has to be as it was."""
    yield besieged
    besieged.check()
