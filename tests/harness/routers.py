"""A small internet of network namespaces: hosts, routers that forward for real, dark addresses.

Each region has a network of hosts, access routers, a core, and a dark interface behind the core. Chains of
routers connect the cores, so that each pair of regions is a known number of hops apart and the kernel
decrements the TTL. All dark interfaces end in one namespace, where sensors and collector run."""
import itertools
import json
import os
import subprocess

from harness.namespaces import ip

_numbers = itertools.count(1)

# Sends raw IPv4 datagrams (JSON list of hexadecimal strings on standard input) with whatever source they have.
_RAW_SENDER = """
import json, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for text in json.load(sys.stdin):
    datagram = bytes.fromhex(text)
    s.sendto(datagram, (socket.inet_ntoa(datagram[16:20]), 0))
    time.sleep(0.0005)
"""

# An ordinary connect() by the kernel: its own TTL, options and retransmissions.
_CONNECTOR = """
import socket, sys, time
sockets = []
for target in sys.argv[2:]:
    s = socket.socket()
    s.setblocking(False)
    s.bind((sys.argv[1], 0))
    s.connect_ex((target, 23))
    sockets.append(s)
time.sleep(3.5)
"""


class Internet:
    """@param access  region -> routers between its hosts and its core
    @param chains  pair of regions -> routers between their cores
    @param dark  region -> address that its sensor listens on"""

    def __init__(self, access: dict[str, int], chains: dict[tuple[str, str], int], dark: dict[str, str]):
        self.name = f"hirundo-{os.getpid()}-{next(_numbers)}"
        self.access, self.chains, self.dark = access, chains, dark
        self._networks = itertools.count()
        self._spaces: list[str] = []
        self.hub = self._space("hub")
        for region in access:
            self._region(region)
        for (one, other), n in chains.items():
            self._chain(one, other, n)

    def hops(self, origin: str, region: str) -> int:
        """Routers between a host of `origin` and the dark address of `region`."""
        if origin == region:
            return self.access[origin] + 1
        between = self.chains.get((origin, region)) or self.chains[region, origin]
        return self.access[origin] + 1 + between + 1

    def interface(self, region: str) -> str:
        """Where the region's dark address arrives, in the hub."""
        return f"dark-{region.lower()}"

    def inside(self, process) -> None:
        """The process (harness.process) runs in the hub."""
        process.argv = ["ip", "netns", "exec", self.hub, *process.argv]

    def send(self, origin: str, datagrams: list[bytes]) -> None:
        """Datagrams leave the hosts' network of `origin` as they are, their source included."""
        subprocess.run(["ip", "netns", "exec", self._named(f"hosts-{origin}"), "/usr/bin/python3", "-c", _RAW_SENDER],
                       input=json.dumps([d.hex() for d in datagrams]), text=True, check=True, timeout=120)

    def connect(self, origin: str, source: str) -> None:
        """A host of `origin` connects to port 23 of every dark address."""
        space = self._named(f"hosts-{origin}")
        ip("-n", space, "address", "add", f"{source}/32", "dev", "lo")
        subprocess.run(["ip", "netns", "exec", space, "/usr/bin/python3", "-c", _CONNECTOR, source,
                        *self.dark.values()], check=True, timeout=60)

    def destroy(self) -> None:
        for space in self._spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)

    def _named(self, label: str) -> str:
        return f"{self.name}-{label}"

    def _space(self, label: str) -> str:
        space = self._named(label)
        ip("netns", "add", space)
        self._spaces.append(space)
        # Routers pass on what has a foreign source: that is what spoofing lives on.
        subprocess.run(["ip", "netns", "exec", space, "sysctl", "-qw", "net.ipv4.ip_forward=1",
                        "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                        "net.ipv6.conf.default.disable_ipv6=1"], check=True)
        ip("-n", space, "link", "set", "lo", "up")
        return space

    def _link(self, one: str, other: str) -> tuple[str, str]:
        """A cable between two routers; the address of each end."""
        n = next(self._networks)
        ends = [f"10.0.{n}.1", f"10.0.{n}.2"]
        ip("-n", one, "link", "add", f"l{n}", "type", "veth", "peer", "name", f"l{n}", "netns", other)
        for space, end in zip((one, other), ends):
            ip("-n", space, "address", "add", f"{end}/30", "dev", f"l{n}")
            ip("-n", space, "link", "set", f"l{n}", "up")
        return ends[0], ends[1]

    def _route(self, space: str, region: str, via: str) -> None:
        ip("-n", space, "route", "add", f"{self.dark[region]}/32", "via", via)

    def _region(self, region: str) -> None:
        space = self._space(f"hosts-{region}")
        for i in range(self.access[region]):
            router = self._space(f"access-{region}-{i}")
            _, via = self._link(space, router)
            ip("-n", space, "route", "add", "default", "via", via)
            space = router
        core = self._space(f"core-{region}")
        _, via = self._link(space, core)
        ip("-n", space, "route", "add", "default", "via", via)
        # The dark interface has no address and answers nothing: the core knows where it is.
        interface = self.interface(region)
        ip("-n", core, "link", "add", "dark", "type", "veth", "peer", "name", interface, "netns", self.hub)
        for end, name in ((core, "dark"), (self.hub, interface)):
            ip("-n", end, "link", "set", name, "up")
        mac = subprocess.run(["ip", "netns", "exec", self.hub, "cat", f"/sys/class/net/{interface}/address"],
                             capture_output=True, text=True, check=True).stdout.strip()
        ip("-n", core, "neigh", "add", self.dark[region], "lladdr", mac, "dev", "dark", "nud", "permanent")
        ip("-n", core, "route", "add", f"{self.dark[region]}/32", "dev", "dark")

    def _chain(self, one: str, other: str, n: int) -> None:
        spaces = [self._named(f"core-{one}"), *(self._space(f"chain-{one}-{other}-{i}") for i in range(n)),
                  self._named(f"core-{other}")]
        for near, far in itertools.pairwise(spaces):
            near_end, far_end = self._link(near, far)
            self._route(near, other, far_end)
            self._route(far, one, near_end)
