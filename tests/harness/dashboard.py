"""hirundo-dashboard as tests use it, and a client that does what browsers do not."""
import http.client
import json
import os
import pathlib
import socket
import ssl
import urllib.parse

from harness.hirundo import DAEMON_USER, render
from harness.paths import program
from harness.postgres import free_port
from harness.process import Process


class Answer:
    """A response, read to its end."""

    def __init__(self, response: http.client.HTTPResponse):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.all_headers = response.getheaders()
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        return self.json()["error"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Dashboard(Process):
    """On a free port of the loopback as viewer `central`, unless options say otherwise (None leaves one out)."""

    def __init__(self, folder: pathlib.Path, dsn: str, name: str = "dashboard", **options):
        self.port, self.metrics_port = free_port(), free_port()
        self.options = {
            "listen": f"127.0.0.1:{self.port}",
            "metrics_listen": f"127.0.0.1:{self.metrics_port}",
            "viewer": "central",
            "dsn": dsn,
            "user": DAEMON_USER,
            **options,
        }
        self.socket = self.options["listen"].removeprefix("unix:") if self.options["listen"].startswith("unix:") else None
        self.tls: ssl.SSLContext | None = None
        self.config = folder / f"{name}.conf"
        self.write()
        super().__init__(name, [program("hirundo-dashboard"), "--config", self.config], folder)

    def write(self, **options) -> None:
        """Writes the configuration again; reload() makes it count."""
        self.options.update(options)
        self.config.write_text(render(self.options))

    def connection(self, timeout: float = 30) -> http.client.HTTPConnection:
        if self.socket:
            return UnixConnection(self.socket, timeout)
        if self.tls:
            return http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def get(self, target: str, headers: dict | None = None, method: str = "GET", timeout: float = 30) -> Answer:
        connection = self.connection(timeout)
        try:
            connection.request(method, target, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def api(self, function: str, headers: dict | None = None, timeout: float = 30, **parameters) -> Answer:
        """A filter may be a dictionary."""
        return self.get(target(function, **parameters), headers, timeout=timeout)

    def raw(self, timeout: float = 10) -> socket.socket:
        """A plain connection."""
        if self.socket:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(timeout)
            s.connect(str(self.socket))
            return s
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def metrics(self) -> dict[str, float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.splitlines() if line and not line.startswith("#")}


def target(function: str, **parameters) -> str:
    """/api/FUNCTION?... ; None leaves a parameter out."""
    values = {name: json.dumps(value) if isinstance(value, dict) else str(value)
              for name, value in parameters.items() if value is not None}
    return f"/api/{function}" + ("?" + urllib.parse.urlencode(values) if values else "")


def unix_path(folder: pathlib.Path) -> str:
    """A short path for a socket."""
    path = os.path.join(folder, "d.sock")
    assert len(path) < 100
    return path
