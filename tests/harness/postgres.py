"""A private PostgreSQL: own data folder, Unix socket only unless a test asks for TCP on loopback."""
import contextlib
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")


# Below those that the system gives to connections; each process that runs tests begins somewhere else.
_ports = itertools.cycle(range(10240, 32768))
for _ in range(os.getpid() * 211 % 22528):
    next(_ports)


def free_port() -> int:
    """A port of the loopback that nobody listens at, and that no other test is told soon."""
    for port in _ports:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def as_postgres(argv: list) -> list[str]:
    """PostgreSQL refuses root; for others it runs as themselves."""
    argv = [str(word) for word in argv]
    if os.geteuid() != 0:
        return argv
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *argv]


def running_in(folder: pathlib.Path) -> int | None:
    """Process id of the server of this folder (Postgres.folder), if it runs."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    return pid


class Postgres:
    """One server process, a child of ours. Owner of everything is role `postgres`."""

    def __init__(self, fsync: bool = False, tcp: bool = False, settings: dict | None = None,
                 folder: pathlib.Path | None = None):
        # Not below pytest's folder: that one is closed to the user postgres, and its path is too long
        # for a socket.
        self.folder = folder or pathlib.Path(tempfile.mkdtemp(prefix="hirundo-pg-"))
        self.data = self.folder / "data"
        self.sockets = self.folder
        self.port = free_port() if tcp else 5432
        self.tcp = tcp
        self.process: subprocess.Popen | None = None
        os.chmod(self.folder, 0o755)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8",
                  "--data-checksums", "--no-sync")
        values = {
            "listen_addresses": "127.0.0.1" if tcp else "",
            "port": self.port,
            "unix_socket_directories": self.sockets,
            "fsync": "on" if fsync else "off",
            "logging_collector": "off",
            "log_min_messages": "warning",
            "max_connections": 60,
            "shared_buffers": "128MB",
            "restart_after_crash": "on",
            **(settings or {}),
        }
        with open(self.data / "postgresql.auto.conf", "a") as conf:
            for name, value in values.items():
                conf.write(f"{name} = '{value}'\n")
        # Only the users that daemons of a test run as, told by the kernel; no passwords, no trust.
        (self.data / "pg_hba.conf").write_text(
            "local all all peer map=test\n" + ("host all all 127.0.0.1/32 trust\n" if tcp else ""))
        (self.data / "pg_ident.conf").write_text("")
        self.allow("postgres")

    def allow(self, *roles: str) -> None:
        """Lets the users of tests log in as these roles (PostgreSQL 15 has no `all` in pg_ident.conf)."""
        with open(self.data / "pg_ident.conf", "a") as ident:
            for role in roles:
                for user in sorted({"root", "postgres", "nobody", pwd.getpwuid(os.geteuid()).pw_name}):
                    ident.write(f"test {user} {role}\n")
        if pid := running_in(self.folder):
            os.kill(pid, signal.SIGHUP)

    @classmethod
    def again(cls, folder: pathlib.Path) -> "Postgres":
        """One that was made before, to be started."""
        self = cls.__new__(cls)
        self.folder = self.sockets = folder
        self.data, self.port, self.tcp, self.process = folder / "data", 5432, False, None
        return self

    def _run(self, name: str, *argv) -> subprocess.CompletedProcess:
        run = subprocess.run(as_postgres([BIN / name, *argv]), cwd="/", capture_output=True, text=True)
        assert run.returncode == 0, f"{name}: {run.stderr}"
        return run

    # Life.

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> "Postgres":
        assert not self.running
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(as_postgres([BIN / "postgres", "-D", self.data]), cwd="/",
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while subprocess.run([BIN / "pg_isready", "-q", "-h", self.sockets, "-p", str(self.port)]).returncode != 0:
            assert self.running and time.monotonic() < end, self.log[-4000:]
            time.sleep(0.02)
        return self

    def stop(self, mode: str = "fast") -> None:
        """smart, fast, or immediate (as after a power cut: recovery at the next start)."""
        if self.running:
            self.process.send_signal(
                {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            self.process.wait(60)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def destroy(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="backslashreplace")

    # Use.

    def dsn(self, dbname: str = "hirundo", user: str = "postgres", tcp: bool = False) -> str:
        host = "127.0.0.1" if tcp else self.sockets
        return f"host={host} port={self.port} dbname={dbname} user={user}"

    def connect(self, dbname: str = "hirundo", user: str = "postgres", autocommit: bool = True) -> psycopg.Connection:
        """Waits while the server recovers from what a test did to it."""
        end = time.monotonic() + 60
        while True:
            try:
                return psycopg.connect(self.dsn(dbname, user), autocommit=autocommit)
            except psycopg.OperationalError as error:
                recovering = any(text in str(error) for text in ("recovery mode", "starting up", "not yet accepting"))
                if not recovering or time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def query(self, sql: str, parameters=None, dbname: str = "hirundo") -> list[tuple]:
        with contextlib.closing(self.connect(dbname)) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def create(self, dbname: str, template: str | None = None) -> None:
        self.query(f'CREATE DATABASE "{dbname}"' + (f' TEMPLATE "{template}"' if template else ""), dbname="postgres")

    def drop(self, dbname: str) -> None:
        self.query(f'DROP DATABASE IF EXISTS "{dbname}" WITH (FORCE)', dbname="postgres")

    def backends(self, dbname: str = "hirundo") -> list[int]:
        """Process ids of the clients' backends."""
        return [pid for (pid,) in self.query(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = %s"
            " AND pid <> pg_backend_pid()", (dbname,), dbname="postgres")]

    def terminate_backends(self, dbname: str = "hirundo") -> int:
        """Ends the clients' connections, as an administrator does."""
        return sum(1 for pid in self.backends(dbname) if self.query("SELECT pg_terminate_backend(%s)", (pid,),
                                                                    dbname="postgres"))

    def kill_backend(self, pid: int) -> None:
        """kill -9: the server ends all other backends too and recovers by itself."""
        os.kill(pid, signal.SIGKILL)

    def dump(self, path: pathlib.Path, dbname: str = "hirundo") -> None:
        run = subprocess.run([BIN / "pg_dump", "-Fc", "-f", path, self.dsn(dbname)], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr

    def restore(self, path: pathlib.Path, dbname: str = "hirundo") -> None:
        """Back to the dump, in place of what is there now; open connections are cut."""
        self.drop(dbname)
        self.create(dbname)
        run = subprocess.run([BIN / "pg_restore", "--exit-on-error", "-d", self.dsn(dbname), path],
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
