"""Chromium, driven by web/driver.mjs: a step is a function of a module in web/, done in a context of its own."""
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
EXECUTABLE = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PACKAGES = ("package.json", "package-lock.json", ".npmrc")


def install(folder: pathlib.Path) -> pathlib.Path:
    """What package-lock.json names, in a folder that stays; anew where it has changed."""
    wanted, done = (HERE / "package-lock.json").read_bytes(), folder / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not done.exists() or done.read_bytes() != wanted:
            for name in PACKAGES:
                shutil.copy(HERE / name, folder / name)
            run = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True)
            assert run.returncode == 0, f"npm ci: {run.stdout}{run.stderr}"
            done.write_bytes(wanted)
    return folder


def wait_for(flag: pathlib.Path) -> None:
    """Until a step has come so far that it makes this file."""
    end = time.monotonic() + 90
    while not flag.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


class Browser:
    def __init__(self, modules: pathlib.Path, log: pathlib.Path):
        self.log = open(log, "wb")
        self.process = subprocess.Popen(["node", HERE / "web" / "driver.mjs", modules, EXECUTABLE], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log)

    def __call__(self, base: str, step: str, *, context: dict | None = None, expected: tuple = (), init: str | None = None, **arg):
        """@param step  "module.function"
        @param context  options of the browser's context: colorScheme, viewport, ...
        @param expected  parts of console messages that the step means to cause
        @param init  script of the page before its own
        @return what the step returned; whatever no page may ever do fails the test"""
        module, name = step.split(".")
        line = json.dumps({"module": module, "step": name, "base": base, "arg": arg, "context": context or {}, "expected": expected,
                           "init": init})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the browser's driver has ended: {self.process.poll()}"
        answer = json.loads(answer)
        assert "failure" not in answer, f"{step} {arg}: {answer['failure']}\n{answer['problems']}"
        assert not answer["problems"], f"{step} {arg}: {answer['problems']}"
        return answer["result"]

    def finish(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.log.close()
