"""The files of the checkout, for the lints."""
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(*suffixes: str) -> list[pathlib.Path]:
    """All tracked and all new files (not ignored); by a walk where there is no git."""
    git = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True)
    if git.returncode == 0:
        names = [ROOT / name for name in git.stdout.decode().split("\0") if name]
    else:
        skip = {".git", "run", "node_modules", "__pycache__"}
        names = [path for path in ROOT.rglob("*")
                 if not any(part in skip or part.startswith("build") for part in path.relative_to(ROOT).parts[:-1])]
    return sorted(path for path in set(names)
                  if path.is_file() and (not suffixes or path.suffix in suffixes))


def ids(paths: list[pathlib.Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def is_text(path: pathlib.Path) -> bool:
    if "corpus" in path.relative_to(ROOT).parts:
        return False
    return b"\0" not in path.read_bytes()[:8192]
