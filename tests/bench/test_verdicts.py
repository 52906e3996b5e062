"""Whether verdicts are as good as they must be: the floors of tests/evaluate on labelled sets, ten seeds of each of our
own models and those in ../shared where present."""
import subprocess

import pytest

from harness.paths import ROOT


def evaluate(*options) -> str:
    run = subprocess.run([ROOT / "tests" / "evaluate", *options], capture_output=True, text=True, timeout=1200)
    print("\n" + run.stdout)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return run.stdout


@pytest.mark.timeout(1200)
def test_floors_of_the_detector():
    assert evaluate("--judges", "core,plain").count("== ") >= 4


@pytest.mark.timeout(1200)
def test_floors_by_the_real_path():
    """Sensors, collector, rollups, verdict job, SQL: one set of each model."""
    assert evaluate("--judges", "hirundo", "--no-given", "--seeds", "1", "--groups", "additive,routed").count("== ") == 2
