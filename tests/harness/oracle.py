"""Is what lies in the database what was in the capture? Multisets of packets are compared: what
`--print csv` says of the capture, and the rows expanded by their `packets`."""
import csv
import ipaddress
import subprocess
from collections import Counter

from harness.paths import program

# Columns that both sides have and that masking leaves alone. Time and IP ID only where nothing folds.
FIELDS = ("src", "protocol", "src_port", "dst_port", "icmp_type", "icmp_code", "ttl", "ip_length", "ip_flags",
          "tcp_flags", "tcp_seq", "tcp_ack", "tcp_window", "tcp_header_length", "tcp_mss", "payload_length", "traits")
ACK = 0x10
SEQUENCE_BITS = 1 << 32


def print_csv(capture) -> list[dict]:
    """The packets of a capture as the sensor's own reading has them."""
    run = subprocess.run([program("hirundo-sensor"), "--read", capture, "--print", "csv"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return list(csv.DictReader(run.stdout.splitlines()))


class Own:
    """A sensor's addresses, as given to `sensor add` ("10.0.0.7 = 203.0.113.7" has the captured first)."""

    def __init__(self, addresses: list[str]):
        pairs = [[ipaddress.ip_network(part.strip()) for part in text.split("=")] for text in addresses]
        self.captured = [pair[0] for pair in pairs]
        self.all = [network for pair in pairs for network in pair if network.prefixlen > 0]

    def receives(self, address: str) -> bool:
        value = ipaddress.ip_address(address)
        return any(value in network for network in self.captured if network.version == value.version)

    def contains(self, address: str) -> bool:
        value = ipaddress.ip_address(address)
        return any(value in network for network in self.all if network.version == value.version)

    def near(self, number: int) -> bool:
        """An own IPv4 address, or one beside it, in either byte order: a sequence that gives it away."""
        swapped = int.from_bytes(number.to_bytes(4, "big"), "little")
        return any(self.contains(str(ipaddress.IPv4Address((value + step) % SEQUENCE_BITS)))
                   for value in (number, swapped) for step in (-1, 0, 1))


def _masscan(row: dict) -> bool:
    """Whether masscan's formula gives the IP ID: then it would give the destination away."""
    if row["protocol"] != "6" or ":" in row["dst"] or not row["tcp_seq"] or not row["ip_id"]:
        return False
    mixed = int(ipaddress.IPv4Address(row["dst"])) ^ int(row["dst_port"]) ^ int(row["tcp_seq"])
    return mixed & 0xFFFF == int(row["ip_id"])


def expected(capture, addresses: list[str], exact: bool = False) -> Counter:
    """@param exact  with time and IP ID: for sensors with fold = 0"""
    own = Own(addresses)
    packets: Counter = Counter()
    for row in print_csv(capture):
        if not row["dst"] or not own.receives(row["dst"]):
            continue
        values = {name: row[name] for name in FIELDS}
        values["traits"] = frozenset(filter(None, row["traits"].split("|")))
        if values["src"] and own.contains(values["src"]):
            values["src"] = ""
        if values["tcp_ack"] == "0" and not int(values["tcp_flags"]) & ACK:
            values["tcp_ack"] = ""
        for name in ("tcp_seq", "tcp_ack"):
            if values[name] and own.near(int(values[name])):
                values[name] = ""
        key = tuple(values[name] for name in FIELDS)
        if exact:
            key += (row["time_us"], "" if _masscan(row) else row["ip_id"])
        packets[key] += 1
    return packets


def stored(connection, sensor: str, exact: bool = False) -> Counter:
    """The rows of a sensor, expanded. By COPY: a hundred thousand rows in a second."""
    names = dict(connection.execute("SELECT bit, name FROM hirundo.trait").fetchall())
    columns = [f"host({name})" if name == "src" else name for name in FIELDS if name != "traits"]
    packets: Counter = Counter()
    traits_of: dict[str, frozenset] = {}
    with connection.cursor().copy(
            f"""COPY (SELECT {', '.join(columns)}, traits, (extract(epoch FROM observed_at) * 1000000)::bigint,
                      ip_id, packets
                  FROM hirundo.observation JOIN hirundo.sensor USING (sensor_id) WHERE name = '{sensor}')
                TO STDOUT (FORMAT csv)""") as copy:
        text = b"".join(bytes(part) for part in copy).decode()
    for line in text.splitlines():
        *values, traits, time_us, ip_id, n = line.split(",")
        if traits not in traits_of:
            traits_of[traits] = frozenset(name for bit, name in names.items() if int(traits) >> bit & 1)
        key = (*values, traits_of[traits])
        if exact:
            key += (time_us, ip_id)
        packets[key] += int(n)
    return packets


def lost(connection, sensor: str) -> int:
    """Packets that loss records count."""
    return connection.execute(
        "SELECT coalesce(sum(packets), 0)::bigint FROM hirundo.ingest_loss JOIN hirundo.sensor USING (sensor_id)"
        " WHERE name = %s", (sensor,)).fetchone()[0]


def compare(want: Counter, got: Counter, lost_packets: int = 0) -> None:
    """None twice, none that was not sent, none missing but what loss records count, exactly."""
    extra = got - want
    missing = want - got
    assert not extra, f"{extra.total()} packets too many, such as {extra.most_common(3)}"
    assert missing.total() == lost_packets, (
        f"{missing.total()} packets are missing, loss records count {lost_packets}; such as {missing.most_common(3)}")
