"""Hirundo itself, as tests use it: certificates by hirundo-admin, collector and sensors as daemons."""
import dataclasses
import pathlib
import subprocess
import time
import urllib.request

from harness import oracle, rollups
from harness.paths import program
from harness.postgres import Postgres, free_port
from harness.process import Process

# Whom daemons become when root runs the tests: pytest's folders are closed to others. Capabilities go all the
# same.
DAEMON_USER = "root"


def render(options: dict) -> str:
    """The text of a configuration file."""
    def value(v) -> str:
        if isinstance(v, bool):
            return "true" if v else "false"
        if isinstance(v, int):
            return str(v)
        if isinstance(v, (list, tuple)):
            return "{" + ", ".join(value(str(item)) for item in v) + "}"
        return '"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "".join(f"{name} = {value(v)}\n" for name, v in options.items() if v is not None)


class Admin:
    """hirundo-admin for one database and one CA."""

    def __init__(self, folder: pathlib.Path, dsn: str, **options):
        self.folder = folder
        self.config = folder / "admin.conf"
        self.config.write_text(render({"dsn": dsn, "ca_dir": folder / "ca", **options}))

    def run(self, *argv, check: bool = True) -> subprocess.CompletedProcess:
        run = subprocess.run([program("hirundo-admin"), "--config", self.config, *map(str, argv)],
                             capture_output=True, text=True, timeout=120)
        if check:
            assert run.returncode == 0, f"hirundo-admin {' '.join(map(str, argv))}: {run.stdout}{run.stderr}"
        return run

    def verify(self) -> None:
        """The books balance, or the test fails with what does not."""
        self.run("verify")


class Collector(Process):
    """hirundo-collector on free ports."""

    def __init__(self, folder: pathlib.Path, dsn: str, certificates: dict, **options):
        self.port, self.metrics_port = free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        self.options = {
            "listen": f"127.0.0.1:{self.port}",
            "metrics_listen": f"127.0.0.1:{self.metrics_port}",
            "dsn": dsn,
            "user": DAEMON_USER,
            **certificates,
            **options,
        }
        self.config = folder / "collector.conf"
        self.write()
        super().__init__("collector", [program("hirundo-collector"), "--config", self.config], folder)

    def write(self, **options) -> None:
        """Writes the configuration again; reload() makes it count."""
        self.options.update(options)
        self.config.write_text(render(self.options))

    def get(self, path: str) -> str:
        """/metrics or /healthz."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def metrics(self) -> dict[str, float]:
        """Name with labels -> value."""
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in self.get("/metrics").splitlines() if line and not line.startswith("#")}


@dataclasses.dataclass
class Enrolled:
    """A sensor that the database knows, and the bundle that was made for it."""
    name: str
    region: str
    addresses: list[str]
    bundle: pathlib.Path


class Sensor(Process):
    """hirundo-sensor of an enrolled sensor: read() a capture, or start() to capture live."""

    def __init__(self, folder: pathlib.Path, enrolled: Enrolled, collector: str, name: str | None = None, **options):
        """@param collector  host:port, the collector's or a proxy's
        @param name  of the process, where one sensor has several"""
        self.enrolled = enrolled
        self.spool = folder / "spool"
        self.options = {
            "collector": collector,
            "ca_file": enrolled.bundle / "ca.crt",
            "cert_file": enrolled.bundle / "sensor.crt",
            "key_file": enrolled.bundle / "sensor.key",
            "addresses": enrolled.addresses,
            "spool_dir": self.spool,
            "user": DAEMON_USER,
            **options,
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "sensor.conf"
        self.write()
        super().__init__(name or enrolled.name, [program("hirundo-sensor"), "--config", self.config], folder)

    def write(self, **options) -> None:
        self.options.update(options)
        self.config.write_text(render(self.options))

    def read(self, capture, *more, timeout: float = 120) -> int:
        """Delivers a capture; the exit status."""
        self.start("--read", capture, *more)
        return self.wait(timeout)

    def summary(self) -> dict:
        """What --read printed at its end: name=value pairs."""
        return dict(word.split("=", 1) for word in self.out.split() if "=" in word)


class Installation:
    """Database, CA, collector and sensors of one test, each under the test's own folder."""

    def __init__(self, folder: pathlib.Path, server: Postgres, dbname: str, template: str | None = None):
        self.folder = folder
        self.server = server
        self.dbname = dbname
        self.processes: list[Process] = []
        server.create(dbname, template)
        self.admin = Admin(folder, server.dsn(dbname))
        # Settings of roles belong to the database: a copy comes without them until it is migrated.
        self.admin.run("db", "init" if template is None else "migrate")
        self.admin.run("ca", "init")

    def dsn(self, user: str = "postgres") -> str:
        return self.server.dsn(self.dbname, user)

    def enroll(self, name: str, region: str = "JP", addresses=("203.0.113.7",), capture: bool = True) -> Enrolled:
        bundle = self.folder / "bundles" / name
        self.admin.run("sensor", "add", name, "--region", region, *[w for a in addresses for w in ("--address", a)],
                       *(["--allow-capture"] if capture else []), "--bundle", bundle)
        return Enrolled(name, region, list(addresses), bundle)

    def collector(self, dsn: str | None = None, start: bool = True, **options) -> Collector:
        certificates = {"ca_file": self.folder / "ca" / "ca.crt", "cert_file": self.folder / "ca" / "collector.crt",
                        "key_file": self.folder / "ca" / "collector.key"}
        collector = Collector(self.folder, dsn or self.dsn("hirundo_ingest"), certificates, **options)
        self.processes.append(collector)
        return collector.start().ready() if start else collector

    def sensor(self, enrolled: Enrolled, collector: tuple[str, int], name: str | None = None, **options) -> Sensor:
        """@param collector  (host, port) of a Collector or FaultProxy"""
        sensor = Sensor(self.folder / "sensors" / (name or enrolled.name), enrolled, "%s:%d" % tuple(collector), name,
                        **options)
        self.processes.append(sensor)
        return sensor

    def connect(self, user: str = "postgres", viewer: str | None = "central"):
        """viewer: whom a session of hirundo_dashboard names (None: nobody)."""
        connection = self.server.connect(self.dbname, user)
        if user == "hirundo_dashboard" and viewer is not None:
            connection.execute("SELECT set_config('hirundo.viewer', %s, false)", (viewer,))
        return connection

    def query(self, sql: str, parameters=None) -> list[tuple]:
        return self.server.query(sql, parameters, self.dbname)

    def wait_query(self, sql: str, want, parameters=None, timeout: float = 30) -> None:
        """Until the first value of the first row is `want`."""
        end = time.monotonic() + timeout
        while True:
            got = self.query(sql, parameters)[0][0]
            if got == want:
                return
            assert time.monotonic() < end, f"{sql}: {got!r}, not {want!r}, after {timeout} s"
            time.sleep(0.05)

    def check(self, enrolled: Enrolled, *captures, exact: bool = False) -> None:
        """The books balance, and the sensor's rows are the captures' packets, less what loss records count. exact: to
        the last column; and rollups are what a recount says."""
        self.admin.verify()
        want = sum((oracle.expected(capture, enrolled.addresses, exact) for capture in captures), oracle.Counter())
        with self.connect() as connection:
            oracle.compare(want, oracle.stored(connection, enrolled.name, exact), oracle.lost(connection, enrolled.name))
            if exact:
                rollups.catch_up(connection)
                rollups.compare(connection)

    def finish(self) -> None:
        problems = []
        for process in self.processes:
            try:
                process.finish()
            except AssertionError as error:
                problems.append(str(error))
        self.server.drop(self.dbname)
        assert not problems, "\n".join(problems)
