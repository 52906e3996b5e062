"""hirundo-admin: certificates and sensors; whole or not at all, and no address in what goes to logs."""
import pathlib
import re
import stat
import subprocess

import pytest

from harness.hirundo import Admin
from harness.paths import program


def openssl(*argv) -> str:
    run = subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def add(installation, name: str, *more, check: bool = True, region: str = "JP"):
    return installation.admin.run("sensor", "add", name, "--region", region, *more, check=check)


def sensors(installation) -> list[str]:
    return [name for (name,) in installation.query("SELECT name FROM hirundo.sensor ORDER BY sensor_id")]


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# The CA.

def test_ca_files(installation):
    ca = installation.folder / "ca"
    assert sorted(path.name for path in ca.iterdir()) == ["ca.crt", "ca.key", "collector.crt", "collector.key"]
    assert mode(ca) == 0o700 and mode(ca / "ca.key") == mode(ca / "collector.key") == 0o600
    text = openssl("x509", "-in", ca / "collector.crt", "-noout", "-ext", "subjectAltName,extendedKeyUsage")
    assert "DNS:localhost" in text and "IP Address:127.0.0.1" in text and "TLS Web Server Authentication" in text
    openssl("verify", "-CAfile", ca / "ca.crt", "-purpose", "sslserver", ca / "collector.crt")


def test_ca_init_again(installation):
    """Neither the CA nor the collector's certificate changes, unless names are given: then the latter."""
    ca = installation.folder / "ca"
    before = {path.name: path.read_bytes() for path in ca.iterdir()}
    installation.admin.run("ca", "init")
    assert {path.name: path.read_bytes() for path in ca.iterdir()} == before
    installation.admin.run("ca", "init", "--server-name", "collector.example.net", "--server-name", "192.0.2.10")
    changed = {path.name for path in ca.iterdir() if path.read_bytes() != before[path.name]}
    assert changed == {"collector.crt", "collector.key"}
    text = openssl("x509", "-in", ca / "collector.crt", "-noout", "-ext", "subjectAltName")
    assert "DNS:collector.example.net" in text and "192.0.2.10" in text and "localhost" not in text


def test_ca_init_of_another_server(installation):
    """Files of its own; the CA's and the collector's stay as they are."""
    ca = installation.folder / "ca"
    before = {path.name: path.read_bytes() for path in ca.iterdir()}
    installation.admin.run("ca", "init", "--server", "dashboard", "--server-name", "hirundo.example.net")
    made = {path.name for path in ca.iterdir() if path.read_bytes() != before.get(path.name)}
    assert made == {"dashboard.crt", "dashboard.key"} and mode(ca / "dashboard.key") == 0o600
    assert "DNS:hirundo.example.net" in openssl("x509", "-in", ca / "dashboard.crt", "-noout", "-ext", "subjectAltName")
    openssl("verify", "-CAfile", ca / "ca.crt", "-purpose", "sslserver", ca / "dashboard.crt")
    for argv in (["--server", "dashboard"], ["--server", "ca", "--server-name", "x"], ["--server", "../x", "--server-name", "x"]):
        assert installation.admin.run("ca", "init", *argv, check=False).returncode == 64, argv


def test_ca_is_never_replaced(installation):
    """A key without its certificate may have signed: nothing is written over it."""
    ca = installation.folder / "ca"
    (ca / "ca.crt").rename(ca / "elsewhere")
    key = (ca / "ca.key").read_bytes()
    run = installation.admin.run("ca", "init", check=False)
    assert run.returncode == 73 and "ca.key" in run.stderr
    assert (ca / "ca.key").read_bytes() == key


# Enrolment.

def test_bundle(installation, tmp_path):
    bundle = tmp_path / "new" / "folders" / "jp1"
    out = add(installation, "jp1", "--address", "203.0.113.7", "10.0.0.0/24=198.51.100.0/24", "2001:DB8::1",
              "--interface", "eth1", "--allow-capture", "--bundle", bundle).stdout
    assert "203.0" not in out and "198.51" not in out
    assert mode(bundle) == 0o700
    assert {path.name: mode(path) for path in bundle.iterdir()} == {
        "ca.crt": 0o600, "sensor.crt": 0o600, "sensor.key": 0o600, "sensor.conf": 0o600}
    assert [path.name for path in bundle.parent.iterdir()] == ["jp1"]
    openssl("verify", "-CAfile", bundle / "ca.crt", "-purpose", "sslclient", bundle / "sensor.crt")
    text = openssl("x509", "-in", bundle / "sensor.crt", "-noout", "-text")
    assert re.findall(r"URI:(\S+)", text) == ["urn:hirundo:sensor:jp1"]
    assert "203.0.113" not in text
    assert openssl("x509", "-in", bundle / "sensor.crt", "-noout", "-pubkey") == \
        openssl("pkey", "-in", bundle / "sensor.key", "-pubout")
    conf = (bundle / "sensor.conf").read_text()
    assert re.findall(r'"(.*)"', conf.split("addresses = ")[1]) == [
        "203.0.113.7", "10.0.0.0/24 = 198.51.100.0/24", "2001:db8::1"]
    assert installation.query("SELECT name, urn, region, public_label, allow_capture FROM hirundo.sensor") == [
        ("jp1", "urn:hirundo:sensor:jp1", "JP", "JP-1", True)]
    assert installation.query("SELECT address::text, captured::text, first_target FROM hirundo.sensor_address ORDER BY 3") == [
        ("203.0.113.7/32", None, 1), ("198.51.100.0/24", "10.0.0.0/24", 2), ("2001:db8::1/128", None, 258)]


def test_bundle_is_what_the_sensor_takes(installation, tmp_path):
    add(installation, "jp1", "--address", "203.0.113.7", "10.0.0.7 = 198.51.100.7", "2001:db8::/64", "--bundle",
        tmp_path / "jp1")
    run = subprocess.run([program("hirundo-sensor"), "--config", tmp_path / "jp1" / "sensor.conf", "--check-config"],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_numbers_and_labels(installation):
    add(installation, "a", "--address", "203.0.113.1")
    add(installation, "b", "--address", "203.0.113.1", region="KR")
    add(installation, "c", "--address", "203.0.113.1", "--succeeds", "a")
    assert installation.query("SELECT sensor_id, name, public_label, succeeds, allow_capture FROM hirundo.sensor"
                              " ORDER BY 1") == [(1, "a", "JP-1", None, False), (2, "b", "KR-1", None, False),
                                                 (3, "c", "JP-2", 1, False)]


@pytest.mark.parametrize("argv,code", [
    (["Tokyo"], 64), (["-tokyo"], 64), (["tok yo"], 64), (["t" * 64], 64), (["tokyo;drop"], 64), ([""], 64),
    (["a", "b"], 64), ([], 64),
    (["a", "--address", "203.0.113.256"], 64), (["a", "--address", "203.0.113.7/33"], 64),
    (["a", "--address", "203.0.113.7/24"], 64), (["a", "--address", "203.0.113.7/"], 64),
    (["a", "--address", "203.0.113.7/+8"], 64), (["a", "--address", "10.0.0.1=2001:db8::1"], 64),
    (["a", "--address", "10.0.0.0/24=203.0.113.0/25"], 64), (["a", "--address", "2.0.0.0/7"], 64),
    (["a", "--address", "=203.0.113.7"], 64), (["a", "--address", "collector.example.net"], 64),
    (["a", "--address", "203.0.113.0/24", "--address", "203.0.113.7"], 64),
    (["a", "--address", "10.0.0.7=203.0.113.7", "10.0.0.7=203.0.113.8"], 64),
    (["a", "--address", "203.0.113.7", "203.0.113.7"], 64), (["a", "--address", "0.0.0.0/0", "203.0.113.7"], 64),
    (["a", "--succeeds", "nobody"], 65), (["a", "--region", "jp"], 64), (["a", "--region", "JPN"], 64),
    (["a", "--unknown"], 64), (["a", "--interface", "eth0"], 64), (["a", "--interface", "x\"y", "--bundle", "b"], 64),
])
def test_wrong_arguments(installation, argv, code):
    """One line that says what is wrong, without an address; nothing is enrolled."""
    if "--address" not in argv:
        argv = [*argv, "--address", "203.0.113.7"]
    if "--region" not in argv:
        argv = [*argv, "--region", "JP"]
    run = installation.admin.run("sensor", "add", *argv, check=False)
    assert run.returncode == code, run.stderr
    assert run.stderr.count("\n") == 1 and run.stdout == ""
    assert "203.0.113" not in run.stderr and "2001:db8" not in run.stderr and "10.0.0" not in run.stderr
    assert sensors(installation) == []


def test_name_is_taken(installation):
    """Also where the label was changed: the certificate's name stays what it was."""
    add(installation, "a", "--address", "203.0.113.7")
    for _ in range(2):
        run = add(installation, "a", "--address", "203.0.113.8", check=False)
        assert run.returncode == 65 and '"a"' in run.stderr
        installation.query("UPDATE hirundo.sensor SET name = 'renamed'")
    assert sensors(installation) == ["renamed"]


@pytest.mark.parametrize("case", ["file", "full", "taken", "no_ca", "foreign_key"])
def test_no_bundle_no_sensor(installation, tmp_path, case):
    """Whatever keeps the bundle from being written: nothing is enrolled, nothing is left behind."""
    bundle = tmp_path / "bundles" / "a"
    bundle.parent.mkdir()
    code = 73
    if case == "file":
        bundle.write_text("kept")
    elif case == "taken":
        bundle.mkdir()
        (bundle / "sensor.conf").write_text("kept")
    elif case == "full":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", bundle.parent], check=True)
    elif case == "no_ca":
        (installation.folder / "ca" / "ca.key").unlink()
        code = 66
    else:
        (installation.folder / "ca" / "ca.key").write_text(
            (installation.folder / "ca" / "collector.key").read_text())
        code = 66
    try:
        before = sorted(path.relative_to(bundle.parent) for path in bundle.parent.rglob("*"))
        run = add(installation, "a", "--address", "203.0.113.7", "--bundle", bundle, check=False)
        assert run.returncode == code and run.stderr.count("\n") == 1, run.stderr
        assert sorted(path.relative_to(bundle.parent) for path in bundle.parent.rglob("*")) == before
    finally:
        if case == "full":
            subprocess.run(["umount", bundle.parent], check=True)
    assert sensors(installation) == []
    assert installation.query("SELECT count(*) FROM hirundo.sensor_address") == [(0,)]


def test_no_commit_no_bundle(installation, tmp_path):
    """The other way round: the database refuses at the last moment."""
    installation.query("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS"
                       " $$ BEGIN RAISE EXCEPTION 'not today'; END $$")
    installation.query("CREATE CONSTRAINT TRIGGER no AFTER INSERT ON hirundo.sensor DEFERRABLE INITIALLY DEFERRED"
                       " FOR EACH ROW EXECUTE FUNCTION public.no()")
    run = add(installation, "a", "--address", "203.0.113.7", "--bundle", tmp_path / "b" / "a", check=False)
    assert run.returncode != 0 and "not today" in run.stderr
    assert list((tmp_path / "b").iterdir()) == []
    assert sensors(installation) == []


def test_an_empty_folder_is_taken(installation, tmp_path):
    (tmp_path / "a").mkdir()
    add(installation, "a", "--address", "203.0.113.7", "--bundle", f"{tmp_path}/a/")
    assert (tmp_path / "a" / "sensor.conf").exists() and mode(tmp_path / "a") == 0o700


def test_many_at_once(installation):
    runs = [subprocess.Popen([program("hirundo-admin"), "--config", installation.admin.config, "sensor", "add", f"s{i}",
                              "--region", "JP", "--address", f"203.0.113.{i}"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True) for i in range(8)]
    assert [(run.communicate(timeout=60)[1], run.returncode) for run in runs] == [("", 0)] * 8
    assert installation.query("SELECT array_agg(sensor_id ORDER BY 1), count(DISTINCT public_label)"
                              " FROM hirundo.sensor") == [(list(range(1, 9)), 8)]


# Afterwards.

def test_list(installation):
    add(installation, "tokyo", "--address", "203.0.113.7", "10.0.0.8=203.0.113.8", "--allow-capture")
    add(installation, "seoul", "--address", "203.0.113.9", "--succeeds", "tokyo", region="KR")
    installation.admin.run("sensor", "disable", "seoul")
    out = installation.admin.run("sensor", "list").stdout
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["1", "tokyo", "JP", "JP-1", "yes", "enabled", "never"],
        ["2", "seoul", "KR", "KR-1", "tokyo", "no", "disabled", "never"]]
    assert "203.0" not in out and "10.0.0" not in out
    out = installation.admin.run("sensor", "list", "--addresses").stdout
    assert re.search(r"tokyo +203\.0\.113\.8/32 +10\.0\.0\.8/32 +2 +1 +now", out)
    assert re.search(r"seoul +203\.0\.113\.9/32 +1 +1 +until 20", out)


def test_list_for_the_analyst(installation, server):
    """Sensors yes, addresses no."""
    add(installation, "tokyo", "--address", "203.0.113.7")
    installation.admin.config.write_text(f'dsn = "{installation.dsn("hirundo_analyst")}"\n')
    assert "tokyo" in installation.admin.run("sensor", "list").stdout
    run = installation.admin.run("sensor", "list", "--addresses", check=False)
    assert run.returncode == 77 and "203.0" not in run.stdout + run.stderr
    run = installation.admin.run("sensor", "disable", "tokyo", check=False)
    assert run.returncode == 77
    assert installation.query("SELECT disabled_at FROM hirundo.sensor") == [(None,)]


def test_disable(installation):
    add(installation, "a", "--address", "203.0.113.7")
    installation.admin.run("sensor", "disable", "a")
    first = installation.query("SELECT disabled_at FROM hirundo.sensor")
    assert first != [(None,)]
    assert installation.query("SELECT valid_to IS NULL FROM hirundo.sensor_address") == [(False,)]
    assert "already" in installation.admin.run("sensor", "disable", "a").stdout
    assert installation.query("SELECT disabled_at FROM hirundo.sensor") == first
    run = installation.admin.run("sensor", "disable", "b", check=False)
    assert run.returncode == 65 and '"b"' in run.stderr


def test_renew(installation, tmp_path):
    """A new key and certificate for the same identity, also after a change of label."""
    add(installation, "a", "--address", "10.0.0.7=203.0.113.7", "2001:db8::/64", "--bundle", tmp_path / "old")
    installation.query("UPDATE hirundo.sensor SET name = 'label'")
    installation.admin.run("sensor", "renew", "label", "--bundle", tmp_path / "new")
    old, new = ({path.name: path.read_text() for path in (tmp_path / name).iterdir()} for name in ("old", "new"))
    assert {name for name in new if new[name] != old[name]} == {"sensor.crt", "sensor.key"}
    text = openssl("x509", "-in", tmp_path / "new" / "sensor.crt", "-noout", "-ext", "subjectAltName")
    assert "URI:urn:hirundo:sensor:a\n" in text
    for argv, code in ((["nobody", "--bundle", tmp_path / "x"], 65), (["label", "--bundle", tmp_path / "new"], 73),
                       (["label"], 64)):
        assert installation.admin.run("sensor", "renew", *argv, check=False).returncode == code
    installation.admin.run("sensor", "disable", "label")
    run = installation.admin.run("sensor", "renew", "label", "--bundle", tmp_path / "x", check=False)
    assert run.returncode == 65 and "disabled" in run.stderr
    assert not (tmp_path / "x").exists()


def test_certificate_days(installation, tmp_path):
    installation.admin.config.write_text(installation.admin.config.read_text() + "sensor_certificate_days = 3\n")
    add(installation, "a", "--address", "203.0.113.7", "--bundle", tmp_path / "a")
    subprocess.run(["openssl", "x509", "-in", tmp_path / "a" / "sensor.crt", "-noout", "-checkend", str(3 * 86400 - 60)],
                   check=True, capture_output=True)
    run = subprocess.run(["openssl", "x509", "-in", tmp_path / "a" / "sensor.crt", "-noout", "-checkend",
                          str(3 * 86400 + 60)], capture_output=True)
    assert run.returncode == 1


def test_server_log_shows_no_address(private_server, tmp_path):
    """Parameters are no part of the statement: an error in the server's log does not quote them."""
    private_server.create("hirundo")
    admin = Admin(tmp_path, private_server.dsn())
    admin.run("db", "init")
    admin.run("sensor", "add", "a", "--region", "JP", "--address", "203.0.113.7")
    private_server.query("REVOKE INSERT ON hirundo.sensor_address FROM hirundo_owner")
    private_server.query("ALTER TABLE hirundo.sensor_address ADD CHECK (address <> '203.0.113.99')")
    assert admin.run("sensor", "add", "b", "--region", "JP", "--address", "203.0.113.99", check=False).returncode != 0
    assert "ERROR" in private_server.log
    assert "203.0.113" not in private_server.log


# The program.

@pytest.mark.parametrize("argv,code,word", [
    ([], 64, "command"), (["sensor"], 64, "sensor"), (["db", "drop"], 64, "db drop"), (["--unknown"], 64, "--unknown"),
    (["verify", "extra"], 64, "extra"), (["verify", "--unknown"], 64, "--unknown"), (["db", "status", "x"], 64, "x"),
    (["sensor", "disable"], 64, "sensor disable"), (["ca", "init", "x"], 64, "x")])
def test_usage(argv, code, word):
    run = subprocess.run([program("hirundo-admin"), *argv], capture_output=True, text=True)
    assert run.returncode == code and word in run.stderr and run.stdout == ""
    assert run.stderr.count("\n") == 1 and run.stderr.startswith(("hirundo-admin: ", f"{program('hirundo-admin')}: "))


def test_help_names_every_command():
    run = subprocess.run([program("hirundo-admin"), "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == ""
    for command in ("db init", "db migrate", "db status", "ca init", "sensor add", "sensor list", "sensor disable",
                    "sensor renew", "verify"):
        assert re.search(rf"^  {command}( |$)", run.stdout, re.M), command


def test_check_config(tmp_path):
    config = tmp_path / "admin.conf"
    config.write_text('dsn = "dbname=x"\ncollectors = "a:1"\n')
    run = subprocess.run([program("hirundo-admin"), "--config", config, "--check-config"], capture_output=True, text=True)
    assert run.returncode == 78 and f"{config}:2" in run.stderr
    config.write_text('collector = "nowhere"\n')
    run = subprocess.run([program("hirundo-admin"), "--config", config, "verify"], capture_output=True, text=True)
    assert run.returncode == 78 and f"{config}:1" in run.stderr
    config.write_text("")
    run = subprocess.run([program("hirundo-admin"), "--config", config, "--check-config"], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        run = subprocess.run([program("hirundo-admin"), "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 74 and run.stderr.startswith("hirundo-admin: ")
