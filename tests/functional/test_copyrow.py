"""Rows as COPY BINARY: every column is read back as it was written, and rows are as narrow as promised."""
import datetime
import ipaddress
import subprocess

import pytest
from psycopg.rows import dict_row

from harness.paths import program

AT = datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc).replace(microsecond=123456)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
US = datetime.timedelta(microseconds=1)

# What is not named is NULL.
ROWS = [
    dict(observed_at=AT, last_at=AT + 59999999 * US, tcp_seq=2**32 - 1, tcp_ack=2**31, src_asn=2**32 - 1,
         target=2**31 - 1, src_port=65535, dst_port=23, ip_length=65535, ip_id=65535, tcp_window=65535, tcp_mss=1460,
         payload_length=65495, packets=2**31 - 1, traits=2**20 - 1, protocol=6, ttl=255, ip_flags=7, tcp_flags=255,
         tcp_header_length=60, src_region="JP", src=ipaddress.ip_address("198.51.100.255")),
    dict(observed_at=EPOCH, target=1, src_port=0, dst_port=53, ip_length=28, ip_id=0, payload_length=0, packets=1,
         traits=0, protocol=17, ttl=1, ip_flags=2, src=ipaddress.ip_address("192.0.2.1")),
    dict(observed_at=AT, target=0, packets=1, traits=0, protocol=1, icmp_type=8, icmp_code=0, ttl=64,
         src=ipaddress.ip_address("192.0.2.2")),
    dict(observed_at=AT, last_at=AT + US, target=0, ip_length=65575, packets=2, traits=0, protocol=58, icmp_type=135,
         icmp_code=255, ttl=255, src=ipaddress.ip_address("2001:db8::1")),
    dict(observed_at=AT, target=0, packets=1, traits=0),
]
SAMPLES = [
    dict(observed_at=AT, last_at=AT + 5 * US, content=-1, sensor_id=7, src_port=5060, dst_port=65535,
         payload_length=65535, packets=3, protocol=17, src=ipaddress.ip_address("192.0.2.3"),
         payload=bytes([0, 255, 1]) + bytes(125)),
    dict(observed_at=AT, content=1, sensor_id=7, payload_length=0, packets=1, protocol=58, icmp_type=128, icmp_code=1),
]


def load(connection, *argv) -> None:
    dump = subprocess.run([program("copyrow_dump"), *map(str, argv)], capture_output=True, check=True)
    with connection.cursor() as cursor, cursor.copy(dump.stderr.decode()) as copy:
        copy.write(dump.stdout)


@pytest.fixture
def connection(installation):
    with installation.connect() as connection:
        connection.execute("SELECT hirundo.ensure_day(d, NULL) FROM unnest('{1970-01-01,2023-11-14}'::date[]) d")
        yield connection


def read(connection, table: str, order: str) -> list[dict]:
    return connection.cursor(row_factory=dict_row).execute(f"SELECT * FROM hirundo.{table} ORDER BY {order}").fetchall()


def full(row: dict, like: dict) -> dict:
    return dict.fromkeys(like) | row


def test_every_column_of_observation(connection):
    load(connection, "observation")
    got = read(connection, "observation", "observed_at, tcp_seq, protocol")
    want = [full(ROWS[i] | {"sensor_id": 7}, got[0]) for i in (1, 0, 2, 3, 4)]
    assert len(got[0]) == 25 and got == want


def test_every_column_of_quarantine(connection):
    load(connection, "quarantine")
    got = read(connection, "observation_quarantine", "row_number")
    add = dict(sensor_id=7, epoch=2**63 - 1, seq=9, received_at=AT + US, reason="too_many_days")
    assert got == [full(row | add | {"row_number": i}, got[0]) for i, row in enumerate(ROWS)]


def test_every_column_of_samples(connection):
    load(connection, "sample")
    got = read(connection, "payload_sample", "content")
    assert got == [full(row, got[0]) for row in SAMPLES]


@pytest.mark.parametrize("kind, most", [("syn", 128), ("udp", 112)])
def test_width_on_disk(connection, kind, most):
    load(connection, kind, 200_000)
    (size,), = connection.execute("SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits"
                                  " WHERE inhparent = 'hirundo.observation'::regclass").fetchall()
    print(f"{kind}: {size / 200_000:.1f} bytes a row of heap")
    assert size / 200_000 <= most
