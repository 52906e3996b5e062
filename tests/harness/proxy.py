"""A TCP proxy that fails as networks do, connection by connection, at an exact byte."""
import dataclasses
import select
import socket
import struct
import threading
import time

UP, DOWN = "up", "down"  # up: what the client sends


@dataclasses.dataclass
class Fault:
    """What happens to one connection. `after` counts bytes in `direction`; that many still pass."""
    action: str              # "rst", "close", "half_close", "stall", "trickle", "delay"
    after: int = 0
    direction: str = UP
    seconds: float = 1.0     # trickle: between bytes; delay: of every piece


@dataclasses.dataclass
class Link:
    """A connection that was made; bytes passed on in each direction."""
    fault: Fault | None
    up: int = 0
    down: int = 0
    closed: bool = False


class FaultProxy:
    """Listens on a free loopback port. Faults given with fail() meet the next connections, one each;
    then connections pass unharmed."""

    def __init__(self, target: tuple[str, int], source: str | None = None):
        """@param source  the address that its connections to the target come from"""
        self.target = target
        self._source = (source, 0) if source else None
        self.links: list[Link] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closed = False
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def fail(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def refuse(self, refusing: bool = True) -> None:
        """New connections get a RST while this holds."""
        self._refusing = refusing

    def cut_all(self) -> None:
        """RST for every open connection."""
        with self._lock:
            for s in list(self._sockets):
                _reset(s)

    def wait_links(self, n: int, timeout: float = 30) -> None:
        end = time.monotonic() + timeout
        while len(self.links) < n:
            assert time.monotonic() < end, f"{len(self.links)} connections, not {n}, in {timeout} s"
            time.sleep(0.01)

    def close(self) -> None:
        self._closed = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.cut_all()
        self._thread.join(5)

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _reset(client)
                continue
            with self._lock:
                link = Link(self._faults.pop(0) if self._faults else None)
                self.links.append(link)
            threading.Thread(target=self._carry, args=(client, link), daemon=True).start()

    def _carry(self, client: socket.socket, link: Link) -> None:
        try:
            server = socket.create_connection(self.target, timeout=10, source_address=self._source)
        except OSError:
            _reset(client)
            link.closed = True
            return
        for s in (client, server):
            s.settimeout(60)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets |= {client, server}
        threads = [threading.Thread(target=self._pump, args=(client, server, link, UP), daemon=True),
                   threading.Thread(target=self._pump, args=(server, client, link, DOWN), daemon=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with self._lock:
            self._sockets -= {client, server}
        for s in (client, server):
            s.close()
        link.closed = True

    def _pump(self, source: socket.socket, sink: socket.socket, link: Link, direction: str) -> None:
        fault = link.fault if link.fault and link.fault.direction == direction else None
        passed = 0
        try:
            if fault and fault.after == 0 and self._act(fault, source, sink):
                return
            while True:
                room = fault.after - passed if fault and passed < fault.after else 65536
                if fault and passed >= fault.after and fault.action == "trickle":
                    room = 1
                data = _receive(source, min(65536, room))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                if fault and passed >= fault.after:
                    time.sleep(fault.seconds)  # trickle, delay
                sink.sendall(data)
                before, passed = passed, passed + len(data)
                setattr(link, direction, passed)
                if fault and before < fault.after <= passed and self._act(fault, source, sink):
                    return
        except OSError:
            _reset(source)
            _reset(sink)

    def _act(self, fault: Fault, source: socket.socket, sink: socket.socket) -> bool:
        """@return whether this direction is at its end."""
        if fault.action == "rst":
            _reset(source)
            _reset(sink)
        elif fault.action == "close":
            for s in (source, sink):
                s.shutdown(socket.SHUT_RDWR)
        elif fault.action == "half_close":
            sink.shutdown(socket.SHUT_WR)
            while _receive(source, 65536):  # what still comes is lost, as behind a half-open firewall
                pass
        elif fault.action == "stall":
            # Takes nothing more and says nothing, until one of the ends gives up.
            poll = select.poll()
            poll.register(source, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
            poll.register(sink, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
            while not self._closed and not poll.poll(200):
                pass
            _reset(source)
            _reset(sink)
        else:
            return False
        return True


def _receive(s: socket.socket, n: int) -> bytes:
    """As recv(), but never waits inside it: the kernel sends no RST while a call holds the socket."""
    while True:
        if s.fileno() < 0:
            raise OSError("reset")
        poll = select.poll()
        poll.register(s, select.POLLIN)
        if poll.poll(20):
            return s.recv(n)


def _reset(s: socket.socket) -> None:
    """RST to the peer, no FIN before it."""
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    except OSError:
        pass
