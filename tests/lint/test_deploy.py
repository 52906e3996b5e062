"""Units, sample configurations and manual pages fit the programs."""
import os
import pathlib
import re
import subprocess

import pytest

from harness.certificates import CLIENT, SERVER, URN, Authority
from lint.tree import ROOT

BUILD = pathlib.Path(os.environ.get("HIRUNDO_BUILD", ROOT / "build-test" / "plain"))
DEPLOY = ROOT / "deploy"
UNITS = ("hirundo-sensor", "hirundo-collector", "hirundo-dashboard")
# program, its sample configuration, the page that describes the options
PROGRAMS = (("hirundo-sensor", "sensor.conf", "sensor.conf.5"),
            ("hirundo-collector", "collector.conf", "collector.conf.5"),
            ("hirundo-dashboard", "dashboard.conf", "dashboard.conf.5"),
            ("hirundo-admin", "admin.conf", "hirundo-admin.8"))
PAGES = sorted(DEPLOY.glob("man/*.scd"))


def program(name: str) -> pathlib.Path:
    found = list(BUILD.glob(f"*/{name}"))
    assert len(found) == 1, f"{name} is not built"
    return found[0]


@pytest.fixture(params=UNITS)
def unit(request, tmp_path):
    """The unit as it is installed, but for the folder of the program."""
    text = (BUILD / "deploy" / f"{request.param}.service").read_text()
    assert "@" not in re.sub(r"[~+:@]?@[a-z-]+", "", text.replace("SystemCallFilter=@system-service", ""))
    path = tmp_path / f"{request.param}.service"
    path.write_text(re.sub(r"(?<==)/\S+/hirundo-\w+", str(program(request.param)), text))
    return path


def test_unit_is_valid(unit):
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
                         capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr.strip(), run.stderr


def test_unit_is_closed(unit):
    """Exposure of at most 2.0 of 10."""
    run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-400:]
    assert float(re.search(r"exposure level for \S+: ([\d.]+)", run.stdout)[1]) <= 2.0


def options(name: str) -> dict[str, str]:
    """Options of the configuration, with the default or `required`, as --help lists them."""
    run = subprocess.run([program(name), "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    found = dict(re.findall(
        r"^  (\w+) +(?:text|path|number|true/false|duration|size|list) .*\((?:default )?([^()]*)\)$", run.stdout, re.M))
    assert len(found) >= 5, run.stdout
    return found


@pytest.mark.parametrize("name,sample,page", PROGRAMS)
def test_sample_has_every_option(name, sample, page):
    """Required ones set, the others shown with their default; and nothing else."""
    text = (DEPLOY / "sample" / sample).read_text()
    shown = dict(re.findall(r"^(?:# )?(\w+) = (.*)$", text, re.M))
    known = options(name)
    assert shown.keys() == known.keys()
    for option, default in known.items():
        if re.search(rf"^# {option} = ", text, re.M):
            assert default != "required", f"{option} has to be set"
            assert shown[option].strip('"') == ("" if default == "none" else default), option


@pytest.mark.parametrize("name,sample,page", PROGRAMS)
def test_sample_is_taken(name, sample, page, tmp_path):
    """--check-config takes the sample, and the sample with every default written out. It opens the
    certificates, so their names become those of such."""
    text = (DEPLOY / "sample" / sample).read_text()
    ca = Authority(tmp_path / "ca")
    usage = CLIENT if name == "hirundo-sensor" else SERVER
    cert, key = ca.issue(tmp_path / "own", [URN + "x"], ["localhost"], usage)
    for option, file in ("ca_file", ca.cert_file), ("cert_file", cert), ("key_file", key):
        text = re.sub(rf'^{option} = .*$', f'{option} = "{file}"', text, flags=re.M)
    for number, content in enumerate((text, re.sub(r"^# (?=\w+ = )", "", text, flags=re.M))):
        path = tmp_path / f"{number}.conf"
        path.write_text(content)
        run = subprocess.run([program(name), "--check-config", "--config", path], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name,sample,page", PROGRAMS)
def test_manual_has_every_option(name, sample, page):
    text = (DEPLOY / "man" / f"{page}.scd").read_text()
    documented = re.findall(r"^\*([a-z]\w+)\*$", text, re.M)
    known = options(name)
    assert sorted(documented) == sorted(known)
    for option, default in known.items():
        entry = re.search(rf"^\*{option}\*\n((?:\t.*\n)+)", text, re.M)[1]
        stated = "Required." if default == "required" else rf'Default: "?{re.escape(default)}"?\.'
        assert re.search(stated, entry), f"{option}: {default}"


@pytest.mark.parametrize("name", ["hirundo-sensor", "hirundo-collector", "hirundo-dashboard", "hirundo-admin"])
def test_manual_has_every_argument(name):
    text = (DEPLOY / "man" / f"{name}.8.scd").read_text()
    usage = subprocess.run([program(name), "--help"], capture_output=True, text=True).stdout
    missing = [argument for argument in sorted(set(re.findall(r"--[a-z][a-z-]+", usage))) if argument not in text]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_manual_formats(page, tmp_path):
    built = BUILD / "deploy" / page.stem
    run = subprocess.run(["man", "-l", "--warnings", "-E", "UTF-8", built], capture_output=True, text=True,
                         env={**os.environ, "MANWIDTH": "80"})
    assert run.returncode == 0 and not run.stderr.strip(), run.stderr
    assert "SEE ALSO" in run.stdout


def test_install(tmp_path):
    """What a package takes is all there, and everything that a unit names is in it."""
    run = subprocess.run(["meson", "install", "-C", BUILD, "--destdir", tmp_path, "--no-rebuild"],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    installed = {"/" + str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    for unit in UNITS:
        (text,) = [path.read_text() for path in tmp_path.rglob(f"{unit}.service")]
        assert re.search(r"^ExecStart=(\S+)", text, re.M)[1] in installed
    for page in PAGES:
        assert any(path.endswith(f"/man{page.stem[-1]}/{page.stem}") for path in installed), page.stem
