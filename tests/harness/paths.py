"""Where things are."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HIRUNDO_BUILD", ROOT / "build-test" / "plain"))
# Given from outside the project, never needed: captures that not everyone has.
SHARED_CAPTURES = ROOT.parent / "shared" / "data" / "captures"


def program(name: str) -> pathlib.Path:
    """A program of the build under test."""
    found = [path for path in BUILD.glob(f"*/{name}") if path.is_file()]
    assert len(found) == 1, f"{name} is not built in {BUILD}"
    return found[0]
