"""A daemon under test as an object: started, ready (sd_notify), killed, its log kept in a file."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

# What the sanitizers say. A daemon that went on all the same must not pass.
SANITIZER = re.compile(r"ERROR: (Address|Leak|Undefined)Sanitizer|runtime error:|SUMMARY: \w+Sanitizer")


class Process:
    """Use start(), then ready() for programs that notify. finish() at the end of a test, always."""

    def __init__(self, name: str, argv: list, folder: pathlib.Path, env: dict | None = None):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.folder = folder
        self.env = env or {}
        self.starts = 0
        self.popen: subprocess.Popen | None = None
        self._logs: list[pathlib.Path] = []
        self._notify: socket.socket | None = None
        self._notify_folder: tempfile.TemporaryDirectory | None = None
        self._notified = ""

    # Life.

    def start(self, *more) -> "Process":
        assert self.popen is None or self.popen.poll() is not None, f"{self.name} runs already"
        self._close_notify()
        # A short path (sun_path has 108 bytes) that the daemon reaches after it has dropped root.
        self._notify_folder = tempfile.TemporaryDirectory(prefix="hirundo-notify-")
        os.chmod(self._notify_folder.name, 0o755)
        path = os.path.join(self._notify_folder.name, "s")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(path)
        os.chmod(path, 0o777)
        self._notified = ""
        self.starts += 1
        log = self.folder / f"{self.name}.{self.starts}.log"
        self._logs.append(log)
        with open(log, "wb") as err, open(self.out_path, "wb") as out:
            self.popen = subprocess.Popen(
                self.argv + [str(word) for word in more], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, "NOTIFY_SOCKET": path, **self.env}, start_new_session=True)
        return self

    def ready(self, timeout: float = 30) -> "Process":
        """Waits for READY=1."""
        self._wait_notified("READY=1", timeout)
        return self

    def reload(self, timeout: float = 10) -> None:
        """SIGHUP, and waits until the daemon says that it has dealt with it."""
        self._pump()
        self._notified = ""
        self.signal(signal.SIGHUP)
        self._wait_notified("READY=1", timeout)

    def wait(self, timeout: float = 60) -> int:
        """Exit status; negative: the signal that ended it."""
        return self.popen.wait(timeout)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """kill -9, at once."""
        if self.running:
            self.popen.kill()
        self.popen.wait(30)

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM and the exit status."""
        if self.running:
            self.popen.terminate()
        return self.wait(timeout)

    def finish(self) -> None:
        """Ends it however it is and checks what the sanitizers left in the logs."""
        if self.running:
            self.popen.terminate()
            try:
                self.popen.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not end within 30 s of SIGTERM:\n{self.log[-4000:]}")
            finally:
                self._close_notify()
        self._close_notify()
        assert not SANITIZER.search(self.log), f"{self.name}: {self.log[-8000:]}"

    # What it shows.

    @property
    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def out_path(self) -> pathlib.Path:
        return self.folder / f"{self.name}.{self.starts}.out"

    @property
    def out(self) -> str:
        """stdout of the last start."""
        return self.out_path.read_text(errors="backslashreplace")

    @property
    def log(self) -> str:
        """stderr of all starts."""
        return "".join(path.read_text(errors="backslashreplace") for path in self._logs)

    @property
    def last_log(self) -> str:
        return self._logs[-1].read_text(errors="backslashreplace")

    def wait_log(self, pattern: str, timeout: float = 30) -> re.Match:
        """Waits for a line of the last start."""
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.last_log)
            if found:
                return found
            assert time.monotonic() < end, f"{self.name}: no {pattern!r} in {timeout} s:\n{self.last_log[-4000:]}"
            time.sleep(0.02)

    def memory_peak(self) -> int:
        """Highest resident size so far, bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def status(self, field: str) -> str:
        """A field of /proc/PID/status, such as Uid or CapEff."""
        return re.search(rf"^{field}:\s*(.*)$", pathlib.Path(f"/proc/{self.pid}/status").read_text(), re.M)[1]

    # sd_notify(3).

    def _pump(self) -> None:
        self._notify.setblocking(False)
        try:
            while True:
                self._notified += self._notify.recv(65536).decode() + "\n"
        except BlockingIOError:
            pass

    def _wait_notified(self, what: str, timeout: float) -> None:
        end = time.monotonic() + timeout
        while True:
            self._pump()
            if what in self._notified.split("\n"):
                return
            assert self.running, f"{self.name} ended with {self.popen.returncode}:\n{self.last_log[-4000:]}"
            assert time.monotonic() < end, f"{self.name}: no {what} in {timeout} s:\n{self.last_log[-4000:]}"
            time.sleep(0.01)

    def _close_notify(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None
            self._notify_folder.cleanup()
