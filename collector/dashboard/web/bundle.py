#!/usr/bin/python3
"""Bundles the page in the build folder: bundle.py SOURCE WORK LIST NPM NODE. Packages are installed only when the lock file
has changed. Writes index.html, app-HASH.js, plot-HASH.js, app-HASH.css to WORK/page, their names to LIST, and LIST.d for ninja."""
import pathlib
import shutil
import subprocess
import sys

source, work, names, npm, node = (pathlib.Path(a) for a in sys.argv[1:])
PACKAGES = ("package.json", "package-lock.json", ".npmrc")


def copy(name: str) -> list[pathlib.Path]:
    """@return the files of the source that were copied"""
    if (source / name).is_file():
        shutil.copy(source / name, work / name)
        return [source / name]
    shutil.rmtree(work / name, ignore_errors=True)
    shutil.copytree(source / name, work / name)
    return sorted(f for f in (source / name).rglob("*") if f.is_file())


def run(*argv) -> None:
    done = subprocess.run([str(a) for a in argv], cwd=work, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}{done.stderr}\nThe dashboard's page could not be bundled ({' '.join(map(str, argv))})."
                 " A build with -Ddashboard=disabled does without.")


work.mkdir(parents=True, exist_ok=True)
installed = work / "installed-lock.json"
files = [f for name in (*PACKAGES, "build.mjs", "index.html", "src", "css") for f in copy(name)]
lock = (source / "package-lock.json").read_bytes()
if not installed.exists() or installed.read_bytes() != lock:
    run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    installed.write_bytes(lock)
run(node, "build.mjs", "page")
names.write_text("".join(f"{f.name}\n" for f in sorted((work / "page").iterdir())))
pathlib.Path(f"{names}.d").write_text(f"{names}: {' '.join(str(f) for f in files)}\n")
