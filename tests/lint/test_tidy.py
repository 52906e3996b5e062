"""clang-tidy with the checks of .clang-tidy, a file a test."""
import json
import os
import pathlib
import subprocess

import pytest

from lint.tree import ROOT, files, ids

# Flags of clang's own build: gcc's would be refused.
BUILD = pathlib.Path(os.environ.get("HIRUNDO_BUILD", ROOT / "build-test" / "plain")).parent / "sanitize"
OWN = [path for path in files(".c") if path.relative_to(ROOT).parts[0] in {"common", "proto", "sensor", "collector"}]


@pytest.fixture(scope="session")
def started():
    """All files are checked by two processes at a time; each test waits for its own."""
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(2) as pool:
        yield {path: pool.submit(tidy, path) for path in OWN}


def tidy(path: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(["clang-tidy", "--quiet", "-p", BUILD, path], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("path", OWN, ids=ids(OWN))
@pytest.mark.timeout(600)
def test_tidy(path, started):
    known = {os.path.normpath(os.path.join(entry["directory"], entry["file"]))
             for entry in json.loads((BUILD / "compile_commands.json").read_text())}
    assert str(path) in known, "not part of the build"
    run = started[path].result()
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-1000:]
