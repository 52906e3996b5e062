"""Wrong configurations, certificates and partners: both ends say what is wrong, exit or try again as fits, and
nothing is lost: once the cause is mended, the same capture is delivered exactly."""
import itertools
import os
import re
import socket
import subprocess
import threading
import time

import pytest
from cryptography import x509

from harness.certificates import CLIENT, SERVER, URN, Authority
from harness.hirundo import Installation, render
from harness.packets import background, write_pcap
from harness.paths import program
from harness.peer import BATCH, Closed, Fixed, Peer, batch, message, syn
from harness.postgres import free_port
from harness.process import Process
from harness.proxy import FaultProxy

ADDRESS = "203.0.113.7"
PACKETS = 400
NOINPUT, NOPERM, CONFIG = 66, 77, 78
RETRY = {"retry_min": "10ms", "retry_max": "200ms"}
_numbers = itertools.count(1)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="capturing needs root")


class World:
    """An installation whose collector runs from the first test to the last, its CA, and a foreign one."""

    def __init__(self, folder, server, template):
        self.folder = folder
        self.installation = Installation(folder, server, "hirundo_refusals", template)
        self.collector = self.installation.collector()
        self.ca = Authority(folder / "ca")
        self.foreign = Authority(folder / "foreign")
        self.capture = write_pcap(folder / "capture.pcap", background(1, [ADDRESS], PACKETS))

    def enroll(self, **more):
        return self.installation.enroll(f"s{next(_numbers)}", addresses=(ADDRESS,), **more)

    def sensor(self, enrolled, address=None, **options):
        return self.installation.sensor(enrolled, address or self.collector.address, **{**RETRY, **options})

    def issue(self, *argv, ca=None, **more) -> dict:
        """Options of a sensor for a certificate made here."""
        cert, key = (ca or self.ca).issue(self.folder / f"issued-{next(_numbers)}", *argv, **more)
        return {"cert_file": cert, "key_file": key}

    def mended(self, sensor, **options) -> None:
        """With what was wrong put right, the capture arrives, once, and no log has told an address."""
        sensor.write(**options)
        assert sensor.read(self.capture) == 0, sensor.log
        self.installation.check(sensor.enrolled, self.capture)
        for process in (sensor, self.collector):
            lines = [line for line in process.log.splitlines() if "state=listening" not in line]
            for address in (ADDRESS, "127.0.0.1"):
                assert address not in "\n".join(lines), f"an address in the log of {process.name}"

    def let(self, what: str, enrolled) -> None:
        self.installation.query(f"UPDATE hirundo.sensor SET {what} WHERE name = %s RETURNING 1", (enrolled.name,))

    def good(self, enrolled) -> dict:
        return {"cert_file": enrolled.bundle / "sensor.crt", "key_file": enrolled.bundle / "sensor.key",
                "ca_file": enrolled.bundle / "ca.crt"}


@pytest.fixture(scope="module")
def world(server, template, tmp_path_factory):
    world = World(tmp_path_factory.mktemp("refusals"), server, template)
    yield world
    try:
        world.installation.admin.verify()
    finally:
        world.installation.finish()


# Configuration.

GOOD = {"collector": "localhost:1", "ca_file": "ca", "cert_file": "cert", "key_file": "key", "addresses": [ADDRESS]}
WRONG = {
    "unknown": ({"colector": "x"}, r":6: .*colector"),
    "no-collector": ({"collector": None}, r":4: .*collector"),
    "port": ({"collector": "localhost"}, r":1: collector.*HOST:PORT"),
    "no-address": ({"addresses": []}, r":5: addresses"),
    "address": ({"addresses": [ADDRESS, "203.0.113.300"]}, r":5: addresses, entry 2: no IPv4 or IPv6 address"),
    "host-bits": ({"addresses": ["203.0.113.7/24"]}, r":5: addresses, entry 1: .*bits"),
    "short-prefix": ({"addresses": ["16.0.0.0/7"]}, r":5: addresses, entry 1: .*8"),
    "twice": ({"addresses": [ADDRESS, ADDRESS]}, r":5: addresses, entry 2: "),
    "nat-lengths": ({"addresses": ["10.0.0.0/24 = 203.0.113.0/25"]}, r":5: addresses, entry 1: "),
    "nat-families": ({"addresses": ["10.0.0.7 = 2001:db8::7"]}, r":5: addresses, entry 1: "),
    "many-nat": ({"addresses": [f"fd00:0:{i:x}::/64 = 2001:db8:{i:x}::/64" for i in range(1500)]},
                 r":5: addresses, entry 1500: .*too many"),
    "many": ({"addresses": [f"10.{i >> 7}.{i & 127}.1" for i in range(4097)]}, r":5: addresses, entry 4097: .*too many"),
    "number": ({"snaplen": "many"}, r":6: snaplen"),
    "range": ({"snaplen": 1}, r":6: snaplen.*from 96"),
    "unit": ({"fold": "1 fortnight"}, r":6: fold"),
    "fold": ({"fold": "7s"}, r":6: fold.*divide"),
    "any": ({"interface": "any"}, r":6: interface: .*each interface"),
    "retry": ({"retry_min": "2s", "retry_max": "1s"}, r":7: retry_max: retry_min is more"),
    "retry-other-order": ({"retry_max": "1s", "retry_min": "2s"}, r":7: retry_min: retry_min is more"),
    "retry-default": ({"retry_min": "40s"}, r":6: retry_max: retry_min is more"),
    "user": ({"user": "nobody-of-this-name"}, r":6: user: no such user"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("how", [["--check-config"], [], ["--read", "/dev/null"]], ids=["check", "live", "read"])
def test_wrong_configuration(tmp_path, name, how):
    if name == "user" and os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    options, pattern = WRONG[name]
    config = tmp_path / "sensor.conf"
    config.write_text(render({**GOOD, **options}))
    run = subprocess.run([program("hirundo-sensor"), "--config", config, *how], capture_output=True, text=True, timeout=30)
    assert run.returncode == CONFIG, run.stderr
    assert re.search(re.escape(str(config)) + pattern, run.stderr), run.stderr
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", run.stderr), "an address in an error"


BROKEN = ['{"203.0.113.7" "203.0.113.8"}', '{203.0.113.7, 203.0.113.8', '{203.0.113.7; 203.0.113.8}', '{"203.0.113.7 =="}',
          "{'203.0.113.7''2001:db8::7'}", '{"10.0.0.7 = 203.0.113.7 = 192.0.2.1"}', "{203.0.113.7}\n203.0.113.7 = x", "{any}"]


@pytest.mark.parametrize("text", BROKEN)
def test_errors_tell_no_address(tmp_path, text):
    """Errors end up in logs."""
    config = tmp_path / "sensor.conf"
    config.write_text(render({**GOOD, "addresses": None}) + f"addresses = {text}\n")
    run = subprocess.run([program("hirundo-sensor"), "--config", config, "--check-config"], capture_output=True, text=True)
    assert run.returncode == CONFIG and re.search(re.escape(str(config)) + r":[56]: ", run.stderr), run.stderr
    assert not re.search(r"203\.0|2001|10\.0|192\.0", run.stderr), "an address in an error"


def test_good_configuration(world, tmp_path):
    config = tmp_path / "sensor.conf"
    config.write_text(render({**GOOD, **world.good(world.enroll())}))
    assert subprocess.run([program("hirundo-sensor"), "--config", config, "--check-config"]).returncode == 0


@pytest.mark.parametrize("options, pattern", [({"lisen": "x"}, r":4: .*lisen"), ({"listen": "here"}, r":4: listen"),
                                              ({"connections": 99}, r":4: connections")])
@pytest.mark.parametrize("how", [["--check-config"], []], ids=["check", "run"])
def test_wrong_collector_configuration(tmp_path, options, pattern, how):
    config = tmp_path / "collector.conf"
    config.write_text(render({"ca_file": "ca", "cert_file": "cert", "key_file": "key", **options}))
    run = subprocess.run([program("hirundo-collector"), "--config", config, *how], capture_output=True, text=True, timeout=30)
    assert run.returncode == CONFIG and re.search(re.escape(str(config)) + pattern, run.stderr), run.stderr


def test_missing_capture(world):
    sensor = world.sensor(world.enroll())
    assert sensor.read(world.folder / "none.pcap") == NOINPUT
    assert "No such file" in sensor.log


# What a program sees wrong with its own files: it does not even begin.

OWN_FILES = {
    "expired": (dict(end_s=-60), "cert.pem: has expired"),
    "not-yet-valid": (dict(start_s=3600), "cert.pem: not yet valid"),
    "usage": (None, "cert.pem: extended key usage lacks (clientAuth|serverAuth)"),
    "no-usage": (dict(usage=None), "cert.pem: extended key usage lacks (clientAuth|serverAuth)"),
    "open-key": ({}, "key.pem: others can read or replace it"),
    "other-key": ({}, "key.pem: does not belong to certificate"),
    "no-cert": ({}, "cert.pem: No such file"),
    "no-pem": ({}, "cert.pem: no PEM certificate"),
    "no-ca": ({}, "ca.crt: holds a certificate that is no CA"),
}


def spoil(world, name: str, usage) -> dict:
    """Options with the case's mistake. usage: the right one."""
    arguments = OWN_FILES[name][0]
    if arguments is None:
        arguments = {"usage": CLIENT if usage is SERVER else SERVER}
    options = world.issue([URN + "x"], **{"usage": usage, **arguments})
    if name == "open-key":
        options["key_file"].chmod(0o644)
    elif name == "other-key":
        options["key_file"].write_bytes(world.issue()["key_file"].read_bytes())
    elif name == "no-cert":
        options["cert_file"].unlink()
    elif name == "no-pem":
        options["cert_file"].write_text("certificate\n")
    elif name == "no-ca":
        options["ca_file"] = options["cert_file"].parent / "ca.crt"
        options["ca_file"].write_bytes(options["cert_file"].read_bytes())
    return options


@pytest.mark.parametrize("name", OWN_FILES)
def test_own_files_of_a_sensor(world, name):
    enrolled = world.enroll()
    sensor = world.sensor(enrolled, **spoil(world, name, CLIENT))
    assert sensor.read(world.capture) == CONFIG, sensor.log
    assert re.search(OWN_FILES[name][1], sensor.log), sensor.log
    assert sensor.start("--check-config").wait(10) == CONFIG
    assert re.search(OWN_FILES[name][1], sensor.last_log), sensor.last_log
    world.mended(sensor, **world.good(enrolled))


@pytest.mark.parametrize("name", OWN_FILES)
def test_own_files_of_a_collector(world, tmp_path, name):
    options = {**world.collector.options, "listen": f"127.0.0.1:{free_port()}", "metrics_listen": f"127.0.0.1:{free_port()}",
               **spoil(world, name, SERVER)}
    config = tmp_path / "collector.conf"
    config.write_text(render(options))
    collector = Process("spoiled", [program("hirundo-collector"), "--config", config], tmp_path)
    assert collector.start().wait(30) == CONFIG, collector.log
    assert re.search(OWN_FILES[name][1], collector.log), collector.log
    assert collector.start("--check-config").wait(10) == CONFIG
    assert re.search(OWN_FILES[name][1], collector.last_log), collector.last_log
    collector.finish()


# What the collector sees wrong with a sensor: --read gives up.

def refused(world, sensor, at_collector: str, at_sensor: str, status: int = NOPERM) -> None:
    assert sensor.read(world.capture) == status, sensor.log
    assert re.search(at_sensor, sensor.last_log), sensor.last_log
    world.collector.wait_log(at_collector)
    assert world.installation.query("SELECT count(*) FROM hirundo.ingest_batch JOIN hirundo.sensor USING (sensor_id)"
                                    " WHERE name = %s", (sensor.enrolled.name,)) == [(0,)]


CERTIFICATES = {
    "another-ca": (dict(), r'sensor=- reason="(self-signed certificate in certificate chain|unable to get local issuer'
                   r' certificate) \(of {name}\)"',
                   "refused by peer: unknown ca"),
    "no-uri": (dict(uris=[]), r'sensor=- reason="certificate without URI name"', "UNKNOWN_SENSOR: certificate without URI name"),
    "no-uri-but-dns": (dict(uris=[], hosts=["s1"]), r'sensor=- reason="certificate without URI name"',
                       "UNKNOWN_SENSOR: certificate without URI name"),
    "two-uris": (dict(uris=[URN + "a", URN + "b"]), r'sensor=- reason="certificate with more than one URI name"',
                 "UNKNOWN_SENSOR: certificate with more than one URI name"),
    "foreign-uri": (dict(uris=["spiffe://example.org/s1"]), r'sensor=- reason="certificate is not a sensor\'s"',
                    "UNKNOWN_SENSOR: certificate is not a sensor's"),
    "viewer": (dict(uris=["urn:hirundo:viewer:s1"]), r'sensor=- reason="certificate is not a sensor\'s"',
               "UNKNOWN_SENSOR: certificate is not a sensor's"),
    "viewer-too": (dict(uris=[URN + "s1", "urn:hirundo:viewer:s1"]),
                   r'sensor=- reason="certificate with more than one URI name"',
                   "UNKNOWN_SENSOR: certificate with more than one URI name"),
    "bad-name": (dict(uris=[URN + "S_1"]), r'sensor=- reason="certificate is not a sensor\'s"',
                 "UNKNOWN_SENSOR: certificate is not a sensor's"),
    "unknown": (dict(uris=[URN + "nobody"]), r'sensor=nobody reason="no sensor of this name is enrolled"',
                "UNKNOWN_SENSOR: no sensor of this name is enrolled"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificate_of_a_sensor(world, name):
    arguments, at_collector, at_sensor = CERTIFICATES[name]
    enrolled = world.enroll()
    ca = world.foreign if name == "another-ca" else None
    sensor = world.sensor(enrolled, **world.issue(**{"uris": [URN + enrolled.name], **arguments}, ca=ca))
    refused(world, sensor, at_collector.replace("{name}", enrolled.name), at_sensor)
    world.mended(sensor, **world.good(enrolled))


def test_certificate_expires(world):
    """While the sensor runs and cannot connect."""
    enrolled = world.enroll()
    with FaultProxy(world.collector.address) as proxy:
        proxy.refuse()
        sensor = world.sensor(enrolled, proxy.address, **world.issue([URN + enrolled.name], end_s=3))
        sensor.start("--read", world.capture)
        sensor.wait_log("state=disconnected")
        time.sleep(3.5)
        assert sensor.running, "an unreachable collector is waited for"
        proxy.refuse(False)
        assert sensor.wait(20) == NOPERM, sensor.log
    assert "refused by peer: certificate expired" in sensor.log
    world.collector.wait_log(rf'reason="certificate has expired \(of {enrolled.name}\)"')
    world.mended(sensor, **world.good(enrolled), collector="%s:%d" % world.collector.address)


@pytest.mark.parametrize("arguments, reason", [
    (dict(start_s=600), "certificate is not yet valid"), (dict(usage=SERVER), "unsuitable certificate purpose"),
    (dict(end_s=-60), "certificate has expired")], ids=["not-yet-valid", "usage", "expired"])
def test_certificate_that_a_sensor_would_not_use(world, arguments, reason):
    enrolled = world.enroll()
    files = world.issue([URN + enrolled.name], **arguments)
    with pytest.raises(Closed, match="(?i)alert"):
        with Peer(world.collector.address, enrolled.bundle, files["cert_file"], files["key_file"]) as peer:
            peer.greet()
    world.collector.wait_log(rf'reason="{reason} \(of {enrolled.name}\)"')


def test_disabled_before(world):
    enrolled = world.enroll()
    world.installation.admin.run("sensor", "disable", enrolled.name)
    sensor = world.sensor(enrolled)
    refused(world, sensor, f'sensor={enrolled.name} reason="this sensor is disabled"', "DISABLED: this sensor is disabled")
    world.let("disabled_at = NULL", enrolled)
    world.mended(sensor)


def test_capture_not_allowed(world):
    enrolled = world.enroll(capture=False)
    sensor = world.sensor(enrolled)
    refused(world, sensor, f'sensor={enrolled.name} reason="this sensor may not send captures"',
            "CAPTURE_NOT_ALLOWED: this sensor may not send captures")
    world.let("allow_capture = true", enrolled)
    world.mended(sensor)


def test_captures_by_stealth(world):
    """A sensor that may not send captures and does so all the same."""
    enrolled = world.enroll(capture=False)
    with Peer(world.collector.address, enrolled.bundle) as peer:
        peer.greet()
        peer.send(peer.record(BATCH, batch([syn()], 1_600_000_000_000_000, {3: message({1: Fixed(5), 2: 1})}), 1))
        peer.acked()
    assert world.installation.query("SELECT reason, packets FROM hirundo.ingest_reject WHERE epoch = %s", (peer.epoch,)) == [
        ("capture not allowed", 1)]


# What a sensor sees wrong with the collector.

@pytest.fixture
def imposter(world, tmp_path):
    """Starts collectors of the same database under other certificates."""
    started = []

    def start(ca=None, **arguments) -> Process:
        folder = tmp_path / f"imposter-{len(started)}"
        files = world.issue(usage=SERVER, ca=ca, **arguments)
        options = {**world.collector.options, **files, "listen": f"127.0.0.1:{free_port()}", "metrics_listen": "none"}
        folder.mkdir()
        (folder / "collector.conf").write_text(render(options))
        process = Process("imposter", [program("hirundo-collector"), "--config", folder / "collector.conf"], folder)
        host, port = options["listen"].split(":")
        process.address = (host, int(port))
        started.append(process)
        return process.start().ready()

    yield start
    for process in started:
        process.finish()


COLLECTORS = {
    "another-ca": (dict(hosts=["127.0.0.1"]), "127.0.0.1",
                   "self-signed certificate in certificate chain|unable to get local issuer certificate", "unknown ca"),
    "address": (dict(hosts=["192.0.2.1", "localhost"]), "127.0.0.1", "IP address mismatch", "bad certificate"),
    "name": (dict(hosts=["collector.example.org", "127.0.0.1"]), "localhost", "[Hh]ostname mismatch", "bad certificate"),
    "no-name": (dict(), "localhost", "[Hh]ostname mismatch", "bad certificate"),
}


@pytest.mark.parametrize("name", COLLECTORS)
def test_certificate_of_the_collector(world, imposter, name):
    arguments, host, at_sensor, at_collector = COLLECTORS[name]
    other = imposter(ca=world.foreign if name == "another-ca" else None, **arguments)
    enrolled = world.enroll()
    sensor = world.sensor(enrolled, (host, other.address[1]))
    assert sensor.read(world.capture) == NOPERM, sensor.log
    assert re.search(f'reason="({at_sensor})', sensor.log), sensor.log
    other.wait_log(f'sensor=- reason="refused by peer: {at_collector}')
    world.mended(sensor, collector="%s:%d" % world.collector.address)


def test_name_of_the_collector(world, imposter):
    """By DNS name and by address where the certificate has both; a trusted one."""
    other = imposter(hosts=["localhost", "127.0.0.1"])
    for host in ("localhost", "127.0.0.1"):
        enrolled = world.enroll()
        sensor = world.sensor(enrolled, (host, other.address[1]))
        assert sensor.read(world.capture) == 0, sensor.log
        world.installation.check(enrolled, world.capture)


class Stranger:
    """Whatever listens there, it is no collector."""

    def __init__(self, answer: bytes):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        self.thread = threading.Thread(target=self.serve, args=(answer,), daemon=True)
        self.thread.start()

    def serve(self, answer: bytes) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.sendall(answer)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)


WAITED_FOR = {
    "closed-port": (None, "connection refused"),
    "no-such-host": (("collector.invalid", 7411), "unknown node or service|temporary failure"),
    "http": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not TLS"),
    "silence": (b"", "end of stream|connection reset"),
}


@pytest.mark.parametrize("how", ["read", pytest.param("live", marks=needs_root)])
@pytest.mark.parametrize("name", WAITED_FOR)
def test_unreachable(world, name, how):
    """Tried again and again, each with its reason; found when it is there."""
    what, reason = WAITED_FOR[name]
    enrolled = world.enroll()
    stranger = Stranger(what) if isinstance(what, bytes) else None
    address = stranger.address if stranger else what or ("127.0.0.1", free_port())
    sensor = world.sensor(enrolled, address, interface="lo")
    sensor.start(*["--read", world.capture] if how == "read" else [])
    try:
        for _ in range(3):
            n = len(sensor.log)
            sensor.wait_log(rf'state=disconnected reason="({reason})[^\n]* retry_ms=\d+')
            time.sleep(0.25)
            assert len(sensor.log) > n, "not tried again"
        assert sensor.running
        assert sensor.stop() == (75 if how == "read" else 0), sensor.log
    finally:
        if stranger:
            stranger.close()
    world.mended(sensor, collector="%s:%d" % world.collector.address)


def test_collector_comes_late(world):
    """The same run delivers, once the collector is there."""
    enrolled = world.enroll()
    with FaultProxy(world.collector.address) as proxy:
        proxy.refuse()
        sensor = world.sensor(enrolled, proxy.address).start("--read", world.capture)
        sensor.wait_log("state=disconnected")
        proxy.refuse(False)
        assert sensor.wait(30) == 0, sensor.log
    world.installation.check(enrolled, world.capture)


@needs_root
def test_live_sensor_is_refused(world):
    """It says so, waits, and goes on when the cause is gone: an operator may enroll it later."""
    enrolled = world.enroll(capture=False)
    world.installation.admin.run("sensor", "disable", enrolled.name)
    sensor = world.sensor(enrolled, interface="lo").start()
    sensor.wait_log("refused by the collector: DISABLED")
    assert sensor.running
    world.let("disabled_at = NULL", enrolled)
    sensor.wait_log("state=connected")
    sensor.ready()
    assert sensor.stop() == 0, sensor.log


@needs_root
@pytest.mark.slow
def test_disabled_while_connected(world):
    """Cut within a minute; nothing that it seals meanwhile is lost."""
    enrolled = world.enroll(capture=False)
    sensor = world.sensor(enrolled, interface="lo", status_interval="1s").start().ready()
    sensor.wait_log("state=connected")
    world.installation.admin.run("sensor", "disable", enrolled.name)
    start = time.monotonic()
    world.collector.wait_log(f'sensor={enrolled.name} reason="this sensor is disabled"', 60)
    sensor.wait_log("refused by the collector: DISABLED: this sensor is disabled")
    assert time.monotonic() - start < 60
    n = len(sensor.log)
    time.sleep(1)
    assert "DISABLED" in sensor.log[n:], "tried again, refused again"
    world.let("disabled_at = NULL", enrolled)
    end = time.monotonic() + 30
    while "state=connected" not in sensor.log[n:]:
        assert time.monotonic() < end, sensor.log
        time.sleep(0.05)
    assert sensor.stop() == 0, sensor.log
    # One STATUS a second, as many as there are numbers, the last one of a clean stop.
    assert world.installation.query("SELECT count(*) = max(seq) AND max(seq) > 2, bool_or(final) FROM hirundo.sensor_status"
                                    " JOIN hirundo.sensor USING (sensor_id) WHERE name = %s", (enrolled.name,)) == [
                                        (True, True)]


# SIGHUP.

def serial(peer: Peer) -> int:
    return x509.load_der_x509_certificate(peer.tls.getpeercert(True)).serial_number


def copy(to: dict, files: dict) -> None:
    for name, path in files.items():
        to[name].write_bytes(path.read_bytes())


def test_reload_of_the_collector(installation, tmp_path):
    """New connections get the new certificate, open ones stay; bad files and options change nothing."""
    ca = Authority(tmp_path / "ca")
    enrolled = [installation.enroll(f"s{n}") for n in range(4)]
    collector = installation.collector()
    files = {name: collector.options[name] for name in ("cert_file", "key_file")}

    def connect(n: int) -> Peer:
        peer = Peer(collector.address, enrolled[n].bundle)
        peer.greet()
        return peer

    first = connect(0)
    cert, key = ca.issue(tmp_path / "new", hosts=["127.0.0.1"], usage=SERVER)
    copy(files, {"cert_file": cert, "key_file": key})
    collector.reload()
    collector.wait_log("module=config state=reloaded")
    second = connect(1)
    assert serial(second) != serial(first)
    assert serial(second) == x509.load_pem_x509_certificate(cert.read_bytes()).serial_number

    # Certificate and key that do not belong together, expired, and no certificate at all.
    other, _ = ca.issue(tmp_path / "other", hosts=["127.0.0.1"], usage=SERVER)
    expired, expired_key = ca.issue(tmp_path / "expired", hosts=["127.0.0.1"], usage=SERVER, end_s=-60)
    for n, (bad, reason) in enumerate([({"cert_file": other}, "does not belong to certificate"),
                                       ({"cert_file": expired, "key_file": expired_key}, "has expired"),
                                       ({"cert_file": collector.config}, "no PEM certificate")]):
        copy(files, {"cert_file": cert, "key_file": key, **bad})
        collector.reload()
        collector.wait_log(reason)
        collector.wait_log("the old certificates stay")
        with connect(2) as peer:
            assert serial(peer) == serial(second)
    copy(files, {"cert_file": cert, "key_file": key})
    config = collector.config.read_text()
    collector.config.write_text(config + "lisen = x\n")
    collector.reload()
    collector.wait_log(rf'reason="[^"]*collector.conf:{config.count(chr(10)) + 1}: [^"]*lisen.*the old configuration stays')
    collector.config.write_text(config)
    collector.write(credit="4MiB")
    collector.reload()
    collector.wait_log("option=credit note=\"changes at the next start\"")
    for peer in (first, second, connect(3)):
        peer.deliver()
        peer.close()
    installation.admin.verify()


@needs_root
def test_reload_of_a_sensor(installation, tmp_path):
    """The next connection uses the new certificate, here that of another sensor; bad files change nothing."""
    ca = Authority(tmp_path / "ca")
    one, two = (installation.enroll(f"s{n}", addresses=(ADDRESS,)) for n in range(2))
    collector = installation.collector()
    with FaultProxy(collector.address) as proxy:
        sensor = installation.sensor(one, proxy.address, interface="lo", **RETRY).start().ready()
        collector.wait_log("state=streaming sensor=s0")
        sensor.write(cert_file=two.bundle / "sensor.crt", key_file=two.bundle / "sensor.key")
        sensor.reload()
        sensor.wait_log("module=config state=reloaded")
        assert "sensor=s1" not in collector.log, "the connection that is open stays"
        proxy.cut_all()
        collector.wait_log("state=streaming sensor=s1")

        expired, key = ca.issue(tmp_path / "expired", [URN + "s0"], end_s=-60)
        for options, reason in (({"cert_file": expired, "key_file": key}, "has expired"),
                                ({"cert_file": one.bundle / "sensor.crt"}, "does not belong to certificate"),
                                ({"key_file": tmp_path / "none"}, "No such file"),
                                ({"colector": "x"}, "sensor.conf:[0-9]+: .*colector")):
            sensor.write(cert_file=two.bundle / "sensor.crt", key_file=two.bundle / "sensor.key")
            good = sensor.config.read_text()
            sensor.write(**options)
            sensor.reload()
            sensor.wait_log(reason)
            sensor.options.pop("colector", None)
            sensor.config.write_text(good)
        assert sensor.log.count("the old certificates stay") == 3 and sensor.log.count("the old configuration stays") == 1
        n = collector.log.count("state=streaming sensor=s1")
        proxy.cut_all()
        end = time.monotonic() + 20
        while collector.log.count("state=streaming sensor=s1") == n:
            assert time.monotonic() < end, collector.log
            time.sleep(0.05)
        assert sensor.stop() == 0, sensor.log
