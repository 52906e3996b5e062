"""Network namespaces that a test makes itself: two hosts and the cable between them."""
import itertools
import os
import subprocess

from harness import packets
from harness.paths import program

_numbers = itertools.count(1)


def ip(*argv) -> None:
    run = subprocess.run(["ip", *map(str, argv)], capture_output=True, text=True)
    assert run.returncode == 0, f"ip {' '.join(map(str, argv))}: {run.stderr}"


# Sends frames that come on standard input (2 bytes of length each); raw sockets need no address.
_SENDER = """
import socket, sys, time
interface, pause = sys.argv[1], float(sys.argv[2])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
s.bind((interface, 0))
read = sys.stdin.buffer.read
while True:
    n = read(2)
    if not n:
        break
    s.send(read(int.from_bytes(n, "big")))
    if pause:
        time.sleep(pause)
"""


class Cable:
    """`sensor_ns` with interface dark0, `sender_ns` with interface out0, connected."""

    def __init__(self):
        name = f"hirundo-{os.getpid()}-{next(_numbers)}"
        self.sensor_ns, self.sender_ns = f"{name}s", f"{name}x"
        for namespace in (self.sensor_ns, self.sender_ns):
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        self.plug()

    def plug(self) -> None:
        ip("-n", self.sender_ns, "link", "add", "out0", "type", "veth", "peer", "name", "dark0", "netns",
           self.sensor_ns)
        for namespace, interface in ((self.sensor_ns, "dark0"), (self.sender_ns, "out0")):
            # No IPv6 of its own: nothing is on the cable but what the test sends.
            subprocess.run(["ip", "netns", "exec", namespace, "sysctl", "-qw",
                            f"net.ipv6.conf.{interface}.disable_ipv6=1"], check=True)
            ip("-n", namespace, "link", "set", interface, "up")
        self.mac = subprocess.run(
            ["ip", "netns", "exec", self.sensor_ns, "cat", "/sys/class/net/dark0/address"],
            capture_output=True, text=True, check=True).stdout.strip()

    def unplug(self) -> None:
        ip("-n", self.sensor_ns, "link", "del", "dark0")

    def down(self) -> None:
        ip("-n", self.sensor_ns, "link", "set", "dark0", "down")

    def up(self) -> None:
        ip("-n", self.sensor_ns, "link", "set", "dark0", "up")

    def inside(self, process) -> None:
        """The process (harness.process) runs at the sensor's end."""
        process.argv = ["ip", "netns", "exec", self.sensor_ns, *process.argv]

    def send(self, datagrams, pause: float = 0.0) -> int:
        """IPv4 datagrams as bytes; returns how many."""
        header = bytes.fromhex(self.mac.replace(":", "")) + bytes.fromhex("020000000001") + b"\x08\x00"
        frames = [header + datagram for datagram in datagrams]
        run = subprocess.run(["ip", "netns", "exec", self.sender_ns, "/usr/bin/python3", "-c", _SENDER, "out0",
                              str(pause)], input=b"".join(len(f).to_bytes(2, "big") + f for f in frames),
                             capture_output=True, timeout=120)
        assert run.returncode == 0, run.stderr.decode()
        return len(frames)

    def flood(self, target: str, n: int) -> int:
        """Packets from random sources, as fast as they go; returns how many."""
        subprocess.run(["ip", "netns", "exec", self.sender_ns, program("flood"), target, str(n), "out0",
                        self.mac], check=True, timeout=120)
        return n

    def destroy(self) -> None:
        for namespace in (self.sensor_ns, self.sender_ns):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def scan(seed: int, targets: list[str], n: int) -> list[bytes]:
    """Datagrams of packets.background, without their times."""
    return [data for _, data in packets.background(seed, targets, n)]
