"""Daemons end when they are told to, whatever they wait for, and say truly what was done."""
import os
import socket

import pytest

from harness import packets
from harness.postgres import free_port


def test_collector_stops_while_the_database_is_silent(installation):
    """A database server that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"host=127.0.0.1 port={silent.getsockname()[1]} user=hirundo_ingest dbname=x"
        collector = installation.collector(dsn)
        collector.wait_log("module=database.*retry_ms", timeout=20)
        assert collector.stop(timeout=20) == 0


def test_read_that_is_stopped_early_is_not_done(installation, tmp_path):
    """Nothing could be delivered yet: that is no success."""
    enrolled = installation.enroll("jp1")
    capture = packets.write_pcap(tmp_path / "c.pcap", packets.background(1, ["203.0.113.7"], 100))
    sensor = installation.sensor(enrolled, ("127.0.0.1", free_port()), retry_min="50ms", retry_max="100ms")
    sensor.start("--read", capture).wait_log("state=disconnected")
    assert sensor.stop() == 75


def test_every_address_of_the_collector_is_tried(installation, tmp_path):
    """A name with two addresses: nobody answers at the first."""
    if os.geteuid() != 0:
        pytest.skip("another /etc/hosts needs root")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.0.2 localhost\n")
    port = free_port()
    installation.collector(listen=f"127.0.0.2:{port}")
    enrolled = installation.enroll("jp1")
    capture = packets.write_pcap(tmp_path / "c.pcap", packets.background(1, ["203.0.113.7"], 100))
    sensor = installation.sensor(enrolled, ("localhost", port), retry_min="50ms", retry_max="100ms")
    sensor.argv = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, *sensor.argv]
    assert sensor.read(capture, timeout=20) == 0, sensor.log
    installation.check(enrolled, capture)
