"""Exports: what their readers expect by public definitions, what each may be told, and that nothing is left after an error."""
import csv
import hashlib
import io
import ipaddress
import json
import os
import re
import subprocess
import uuid

import psycopg
import pytest

from harness import tshark
from harness.hirundo import Admin
from harness.raw_world import ANSWERER, DAY, FORGER, LATE, SCANNER, UTC, Raw

# Shadowserver's event4_honeypot_darknet, as its page lists the columns and its samples have them.
COLUMNS = """timestamp protocol src_ip src_port src_asn src_geo src_region src_city src_hostname src_naics src_sector
    device_vendor device_type device_model dst_ip dst_port dst_asn dst_geo dst_region dst_city dst_hostname dst_naics
    dst_sector public_source infection family tag application version event_id count""".split()
# IntelMQ's parser: a required field must be a column; these conversions must not fail.
REQUIRED = {"timestamp", "src_ip", "src_port"}
INTEGERS = {"src_port", "src_asn", "src_naics", "dst_port", "dst_asn", "dst_naics", "count"}
ABOUT_SENSORS = {"dst_ip", "dst_asn", "dst_geo", "dst_region", "dst_city", "dst_hostname", "dst_naics", "dst_sector"}
OWN = "abuse@example.net"
REASONS = ["no_source", "response", "spoofed", "scanner_org"]


def fill(raw):
    """One source with several services, five that share one, and some that are left out."""
    raw.name_networks()
    raw.c.execute("UPDATE hirundo.organization_range SET organization_id = 2 WHERE lo = '198.51.100.0'")
    for i in range(4):
        raw.observe(1800 + i, f"203.0.113.{i + 1}", 23, 1000 + i)
    raw.observe(3600.75, SCANNER, 23, 40000, packets=3, traits=1 << 7)
    raw.observe(3600 * 3, SCANNER, 23, 40001)
    raw.observe(3600 * 4, SCANNER, 8728, 40002, packets=5, sensor=2, traits=1 << 5)
    raw.observe(3600 * 5, SCANNER, None, None, protocol=47)
    raw.observe(10, ANSWERER, 5000, 80, packets=7, traits=1 << 10)
    raw.observe(20, FORGER, 23, 5, packets=6)
    raw.observe(30, LATE, None, None, protocol=58)
    raw.observe(40, None, 23, 42000, packets=5)
    raw.roll_up()


def settle(raw, folder):
    """Where its exports go."""
    raw.admin = Admin(folder, raw.server.dsn(raw.name), export_organization="=Example CSIRT, \"JP\"",
                      export_contact="csirt@example.jp")
    raw.folder = folder / "out"
    raw.folder.mkdir()
    return raw


@pytest.fixture
def world(server, template, tmp_path):
    raw = Raw(server, template, "hirundo_export", "Asia/Colombo")
    fill(raw)
    yield settle(raw, tmp_path)
    raw.drop()


@pytest.fixture(scope="module")
def filled(server, template):
    raw = Raw(server, template, "hirundo_export_errors", "Asia/Colombo")
    fill(raw)
    yield raw
    raw.drop()


@pytest.fixture
def unchanged(filled, tmp_path):
    """A world for tests that leave nothing there."""
    return settle(filled, tmp_path)


def export(world, *more, kind="notification", name="out.csv", check=True, format="csv", period=None, tlp="amber"):
    """The run, the file's bytes, and what lies beside it."""
    path = world.folder / name
    run = world.admin.run("export", kind, "--period", DAY if period is None else period, *(["--format", format] if format else []),
                          *(["--tlp", tlp] if tlp else []), "--output", path, *more, check=check)
    if run.returncode != 0:
        return run, None, None
    return run, path.read_bytes(), json.loads((world.folder / f"{name}.about.json").read_text())


def table(data: bytes) -> list[dict]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


def log(world) -> list:
    return world.c.execute("SELECT * FROM hirundo.export_log ORDER BY exported_at").fetchall()


def test_csv_is_what_intelmq_reads(world):
    _, data, _ = export(world)
    lines = data.split(b"\r\n")
    assert lines[0].decode().split(",") == COLUMNS and len(COLUMNS) == 31 and REQUIRED < set(COLUMNS)
    assert lines[-1] == b"" and not any(b"\n" in line for line in lines)
    rows = table(data)
    assert len(rows) == len(lines) - 2 == 8
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["timestamp"])  # the parser adds UTC
        ipaddress.ip_address(row["src_ip"])
        for name in INTEGERS:
            assert row[name] == "" or int(row[name]) >= 0
        assert all(row[name] == "" for name in ABOUT_SENSORS)
        assert row["event_id"] == ""


def test_no_cell_is_a_formula(world):
    _, data, _ = export(world)
    cells = [cell for row in csv.reader(io.StringIO(data.decode(), newline="")) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and cell]
    assert {row["public_source"] for row in table(data)} == {"'=Example CSIRT, \"JP\""}


def brief(data: bytes) -> list[tuple]:
    return [(row["timestamp"], row["protocol"], row["src_ip"], row["src_port"], row["dst_port"], row["tag"], row["infection"],
             row["count"]) for row in table(data)]


def hour(world, seconds) -> str:
    return world.at(seconds).astimezone(UTC).strftime("%Y-%m-%d %H:00:00")


def second(world, seconds) -> str:
    return world.at(seconds).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def test_outside(world):
    """Hours, no source ports, and no port that fewer than five hosts sent to."""
    _, data, about = export(world)
    assert set(brief(data)) == {
        (hour(world, 3600 * 4), "tcp", SCANNER, "", "", "zmap", "", "5"),
        (hour(world, 3600), "tcp", SCANNER, "", "23", "mirai", "mirai", "4"),
        (hour(world, 3600 * 5), "", SCANNER, "", "", "", "", "1"),
        *((hour(world, 1800), "tcp", f"203.0.113.{i}", "", "23", "", "", "1") for i in range(1, 5)),
        (hour(world, 30), "ipv6-icmp", LATE, "", "", "", "", "1")}
    assert about["times"] == "UTC, hours" and about["recipient"] is None


def test_contact_gets_its_own_sources_exactly(world):
    _, data, about = export(world, "--recipient", OWN, tlp="amber+strict")
    assert set(brief(data)) == {
        (second(world, 3600.75), "tcp", SCANNER, "40000", "23", "mirai", "mirai", "4"),
        (second(world, 3600 * 4), "tcp", SCANNER, "40002", "8728", "zmap", "", "5"),
        (second(world, 3600 * 5), "gre", SCANNER, "", "", "", "", "1")}
    assert about["times"] == "UTC" and about["recipient"] == OWN
    assert {"reason": "other_contact", "sources": 5, "packets": 5} in about["excluded"]


def test_internal_gets_all(world):
    _, data, _ = export(world, "--recipient", "internal", tlp="red")
    rows = set(brief(data))
    assert (second(world, 3600 * 4), "tcp", SCANNER, "40002", "8728", "zmap", "", "5") in rows
    assert (second(world, 1800), "tcp", "203.0.113.1", "1000", "23", "", "", "1") in rows and len(rows) == 8


@pytest.mark.parametrize("format", ["csv", "xarf"])
@pytest.mark.parametrize("more", [(), ("--recipient", OWN), ("--filter", '{"exclude": "bogon"}')], ids=str)
def test_it_balances(world, format, more):
    """What the file has and what was left out are all packets and sources; the log says the same."""
    run, data, about = export(world, *more, format=format)
    left = {entry["reason"]: (entry["sources"], entry["packets"]) for entry in about["excluded"]}
    everything = world.c.execute("SELECT sum(packets), count(DISTINCT src) FROM hirundo.observation").fetchone()
    assert about["packets"] + sum(packets for _, packets in left.values()) == everything[0]
    assert about["sources"] + sum(sources for sources, _ in left.values()) == everything[1]
    assert left["no_source"] == (0, 5)
    if not more:
        assert left["response"] == (1, 7) and left["scanner_org"] == (1, 6) and left["spoofed"] == (0, 0)
    (row,) = world.c.execute("SELECT session_role, os_user, kind, format, tlp, recipient, period, zone, filter, rows, sources,"
                             " packets, excluded, file, sha256, export_id FROM hirundo.export_log").fetchall()
    assert row[:6] == ("postgres", "root" if os.geteuid() == 0 else row[1], "notification", format, "amber",
                       OWN if OWN in more else None)
    assert (row[6].lower, (row[6].upper - row[6].lower).days, row[7]) == (DAY, 1, "Asia/Colombo")
    assert row[8] == (json.loads(more[1]) if "--filter" in more else {})
    assert row[9:15] == (about["rows"], about["sources"], about["packets"], about["excluded"], "out.csv",
                         hashlib.sha256(data).hexdigest())
    assert about["sha256"] == row[14] and about["export_id"] == str(row[15]) and about["tlp"] == "TLP:AMBER"
    assert (about["first_day"], about["last_day"], about["zone_of_days"]) == (str(DAY), str(DAY), "Asia/Colombo")
    assert about["rows"] == (len(table(data)) if format == "csv" else data.count(b"\n"))
    for path in world.folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in world.folder.iterdir()) == ["out.csv", "out.csv.about.json"]


# XARF v4: xarf-core.json and types/connection-port-scan.json.

def check_xarf(report: dict) -> None:
    assert re.fullmatch(r"4\.[0-9]+\.[0-9]+", report["xarf_version"])
    assert uuid.UUID(report["report_id"]).version == 4
    for name in ("timestamp", "first_seen", "last_seen"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", report[name])  # RFC 3339 date-time
    for who in ("reporter", "sender"):
        assert report[who].keys() == {"org", "contact", "domain"}  # required, and no others
        assert len(report[who]["org"]) <= 200 and re.fullmatch(r"[^@\s]+@[^@\s]+", report[who]["contact"])
        assert re.fullmatch(r"[a-z0-9.-]+", report[who]["domain"])
    ipaddress.ip_address(report["source_identifier"])
    assert (report["category"], report["type"]) == ("connection", "port_scan")
    assert report["protocol"] in ("tcp", "udp", "icmp", "sctp")
    for name in ("source_port", "destination_port"):
        assert name not in report or (isinstance(report[name], int) and 1 <= report[name] <= 65535)
    for tag in report["tags"]:
        assert re.fullmatch(r"[a-z0-9][a-z0-9_+-]*:[a-z0-9][a-z0-9_+-.]*", tag)
    assert len(report["tags"]) <= 20 and len(report["description"]) <= 1000
    assert "destination_ip" not in report and "_internal" not in report


def reports(data: bytes) -> dict:
    found = [json.loads(line) for line in data.decode().splitlines()]
    for report in found:
        check_xarf(report)
    assert len({report["report_id"] for report in found}) == len(found)
    return {report["source_identifier"]: report for report in found}


def stamp(text: str) -> str:
    return text.replace(" ", "T") + "Z"


def test_xarf(world):
    _, data, about = export(world, format="xarf", name="out.json")
    found = reports(data)
    assert found.keys() == {SCANNER, LATE, *(f"203.0.113.{i}" for i in range(1, 5))}
    scanner = found[SCANNER]
    assert scanner["timestamp"] == scanner["first_seen"] == stamp(hour(world, 3600))
    assert scanner["last_seen"] == stamp(hour(world, 3600 * 5))
    assert scanner["packets_sent"] == 10 and scanner["ports_scanned"] == [23] and "source_port" not in scanner
    assert scanner["tags"] == ["tlp:amber", "malware:mirai", "tool:zmap"]
    assert found["203.0.113.1"]["destination_port"] == 23 and "destination_port" not in scanner
    assert found[LATE]["protocol"] == "icmp"
    assert scanner["reporter"] == scanner["sender"] == {
        "org": '=Example CSIRT, "JP"', "contact": "csirt@example.jp", "domain": "example.jp"}


def test_xarf_of_a_contact(world):
    world.observe(3600 * 2, "198.51.100.6", None, None, packets=2, protocol=47)
    world.roll_up()
    _, data, about = export(world, "--recipient", OWN, format="xarf", tlp="amber+strict")
    found = reports(data)
    assert found.keys() == {SCANNER}
    assert (found[SCANNER]["timestamp"], found[SCANNER]["source_port"], found[SCANNER]["protocol"]) == (
        stamp(second(world, 3600.75)), 40000, "tcp")
    assert found[SCANNER]["ports_scanned"] == [23, 8728] and "tlp:amber+strict" in found[SCANNER]["tags"]
    assert {"reason": "no_protocol", "sources": 1, "packets": 2} in about["excluded"]


# What is picked.

@pytest.mark.parametrize("more,sources", [
    (("--organization", "Example Ltd"), {SCANNER}), (("--networks", "203.0.113.0/30,2001:db8::/32"), None),
    (("--region", "JP"), set()), (("--asn", "64500"), set()), (("--filter", '{"services": "8728/TCP"}'), {SCANNER}),
    (("--group", "ours"), {"203.0.113.2"}), (("--networks", "FILE"), {"203.0.113.1", SCANNER}),
    (("--organization", "Example Ltd", "--filter", '{"traits": "mirai"}'), {SCANNER})])
def test_scope(world, more, sources):
    world.c.execute("INSERT INTO hirundo.network_group VALUES ('ours', '203.0.113.2/32')")
    networks = world.folder.parent / "networks.txt"
    networks.write_text("# ours\n203.0.113.1/32\n198.51.100.7/32 # a host\n\n")
    _, data, about = export(world, *[str(networks) if word == "FILE" else word for word in more])
    want = {LATE, "203.0.113.1", "203.0.113.2", "203.0.113.3"} if sources is None else sources
    assert {row["src_ip"] for row in table(data)} == want
    assert about["sources"] == len(want)


@pytest.mark.parametrize("period,days", [
    ("2026", ("2026-01-01", "2026-12-31")), ("2026Q1", ("2026-01-01", "2026-03-31")), ("2026Q4", ("2026-10-01", "2026-12-31")),
    ("2026-02", ("2026-02-01", "2026-02-28")), ("2024-02", ("2024-02-01", "2024-02-29")),
    ("2026-12-31", ("2026-12-31", "2026-12-31")), ("2026-03-09/2026-03-11", ("2026-03-09", "2026-03-11"))])
def test_periods(world, period, days):
    assert world.c.execute("SELECT lower(p)::text, (upper(p) - 1)::text FROM hirundo.export_period(%s) p",
                           (period,)).fetchone() == days


# Errors: one line, the exit code, and nothing left.

def nothing_left(world, run, code: int, message: str) -> None:
    assert run.returncode == code, run.stderr
    assert re.search(message, run.stderr) and run.stderr.count("\n") == 1 and run.stdout == ""
    assert log(world) == []


BAD = [
    (dict(period="2026-13"), 65, "no such day"), (dict(period="2026-02-30"), 65, "no such day"),
    (dict(period="2026Q5"), 65, "period"), (dict(period="x"), 65, "period"), (dict(period="2026-03-11/2026-03-09"), 65, "before"),
    (dict(period="2999"), 65, "ends after today"), (dict(period=""), 65, "period"),
    (dict(format="json"), 64, "--format"), (dict(format=None), 64, "--format"), (dict(tlp="white"), 64, "--tlp"),
    (dict(tlp="AMBER"), 64, "--tlp"), (dict(tlp=None), 64, "needed"),
    (("--recipient", "nobody@example.org"), 65, "no registered contact"), (("--recipient", ""), 64, "--recipient"),
    (("--recipient", "internal"), 64, "internal"), (("--region", "jp"), 64, "--region"), (("--region", "Japan"), 64, "--region"),
    (("--region", "QQ"), 65, "no region is called QQ"),
    (("--asn", "0"), 64, "--asn"), (("--asn", "AS1"), 64, "--asn"), (("--organization", "No Such"), 65, "organization"),
    (("--organization", ""), 65, "organization"), (("--group", "none"), 65, "network_group"),
    (("--networks", "203.0.113.1/24"), 65, "networks"), (("--networks", ""), 65, "networks"), (("--networks", "/etc"), 66, "/etc"),
    (("--networks", "/etc/hostname-not-there"), 65, "networks"),
    (("--filter", "{"), 65, "json"), (("--filter", "[]"), 65, "filter"), (("--filter", '{"x": 1}'), 65, "x"),
    (("--filter", '{"asn": 1}', "--asn", "1"), 65, "twice"), (("--filter", '{"sensors": 1}'), 65, "single sensors"),
    (("--nonsense", "1"), 64, "nonsense"), (("word",), 64, "word"),
]


@pytest.mark.parametrize("what,code,message", BAD, ids=str)
def test_bad_input(unchanged, what, code, message):
    options, more = (what, ()) if isinstance(what, dict) else ({}, what)
    run, _, _ = export(unchanged, *more, check=False, **options)
    nothing_left(unchanged, run, code, message)
    assert list(unchanged.folder.iterdir()) == []


def test_exact_times_are_not_for_everybody(unchanged):
    for tlp in ("clear", "green"):
        run, _, _ = export(unchanged, "--recipient", OWN, tlp=tlp, check=False)
        nothing_left(unchanged, run, 64, "--recipient")


@pytest.mark.parametrize("name", ["out.csv", "out.csv.about.json"])
def test_output_is_there(unchanged, name):
    (unchanged.folder / name).write_text("precious")
    run, _, _ = export(unchanged, check=False)
    nothing_left(unchanged, run, 73, "is there already")
    assert [path.name for path in unchanged.folder.iterdir()] == [name]
    assert (unchanged.folder / name).read_text() == "precious"


def test_no_folder(unchanged):
    run, _, _ = export(unchanged, name="none/out.csv", check=False)
    nothing_left(unchanged, run, 73, "none/out.csv: No such file")
    for output in ("", str(unchanged.folder) + "/"):
        run = unchanged.admin.run("export", "capture", "--period", DAY, "--output", output, check=False)
        nothing_left(unchanged, run, 64, "--output")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else")
def test_no_permission(unchanged, open_folder):
    config = open_folder / "admin.conf"
    config.write_text(unchanged.admin.config.read_text())
    from harness.paths import program
    run = subprocess.run([program("hirundo-admin"), "--config", config, "export", "notification", "--period", str(DAY), "--format",
                          "csv", "--tlp", "amber", "--output", open_folder / "out.csv"], capture_output=True, text=True,
                         user="nobody", cwd="/")
    nothing_left(unchanged, run, 73, "out.csv: Permission denied")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("name", ["out.csv", "out.csv.about.json"])
def test_disk_full(world, name):
    """In the rows, and in what goes beside them."""
    for i in range(1000):
        world.c.execute("INSERT INTO hirundo.source_day (sensor_id, day, service, src, traits, initial_ttl, packets, first_at,"
                        " last_at) VALUES (1, %s, '23/TCP', '192.0.2.0'::inet + %s, 0, 64, 1, %s, %s)",
                        (DAY, i, world.at(1), world.at(1)))
    needed = -(-len(export(world)[1]) // 4096) * 4
    world.c.execute("DELETE FROM hirundo.export_log")
    kib = needed if "about" in name else needed // 2
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", world.folder], check=True)
    try:
        run, _, _ = export(world, check=False)
        nothing_left(world, run, 74, f"{name}: No space left")
        assert list(world.folder.iterdir()) == []
    finally:
        subprocess.run(["umount", world.folder], check=True)


def test_who_may(world, server):
    """Whoever may write the log: a member of hirundo_owner. The analyst is read-only."""
    world.admin.config.write_text(f'dsn = "{server.dsn("hirundo_export", "hirundo_analyst")}"\n')
    run, _, _ = export(world, check=False)
    nothing_left(world, run, 77, "permission denied")
    with server.connect("hirundo_export", "hirundo_analyst") as c:
        assert c.execute("SELECT count(*) FROM hirundo.export_log").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            c.execute("SELECT * FROM hirundo.export_csv('[2026-03-10,2026-03-11)', '{}', 'internal', NULL)")
        c.execute("ROLLBACK")
        with pytest.raises(psycopg.Error):
            c.execute("INSERT INTO hirundo.export_log DEFAULT VALUES")


def test_xarf_needs_a_reporter(world, server):
    for options, message in (({}, "export_organization"), ({"export_organization": "x"}, "export_contact"),
                             ({"export_organization": "x", "export_contact": "nobody"}, "export_contact")):
        world.admin = Admin(world.folder.parent, server.dsn("hirundo_export"), **options)
        run, _, _ = export(world, format="xarf", check=False)
        nothing_left(world, run, 78, message)
    world.admin = Admin(world.folder.parent, server.dsn("hirundo_export"))
    assert {row["public_source"] for row in table(export(world)[1])} == {""}


def test_nothing_found(world):
    """Is an answer, too: the header alone, and a row in the log."""
    _, data, about = export(world, period="2026-03-20")
    assert data == (",".join(COLUMNS) + "\r\n").encode() and about["rows"] == 0 and len(log(world)) == 1
    _, data, _ = export(world, period="2026-03-20", format="xarf", name="out.json")
    assert data == b""


def test_memory_does_not_grow_with_rows(world):
    world.c.execute("INSERT INTO hirundo.source_day (sensor_id, day, service, src, traits, initial_ttl, packets, first_at, last_at)"
                    " SELECT 1, %s, '23/TCP', '10.0.0.0'::inet + i, 0, 64, 1, %s, %s FROM generate_series(1, 100000) i",
                    (DAY, world.at(1), world.at(1)))
    from harness.paths import program
    run = subprocess.run(["/usr/bin/env", "bash", "-c", f"ulimit -v 120000; exec {program('hirundo-admin')} --config"
                          f" {world.admin.config} export notification --period {DAY} --format csv --tlp red --output"
                          f" {world.folder}/out.csv"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len((world.folder / "out.csv").read_bytes()) > 100000 * 60


# Captures.

PAYLOADS = [(60.25, SCANNER, 17, 9999, b"\0\1nothing known"), (61.5, SCANNER, 6, 80, b"GET / HTTP/1.0\r\n\r\n"),
            (62, LATE, 17, 5060, b"OPTIONS sip:a SIP/2.0\r\n")]


def fill_captures(world):
    for seconds, src, protocol, port, payload in PAYLOADS:
        world.observe(seconds - 0.125, src, port, 4444, packets=2, protocol=protocol)
        world.c.execute("UPDATE hirundo.observation SET last_at = observed_at + interval '1 second', payload_length = %s,"
                        " tcp_header_length = CASE WHEN protocol = 6 THEN 24 END, tcp_mss = CASE WHEN protocol = 6 THEN 1400 END,"
                        " tcp_flags = CASE WHEN protocol = 6 THEN 24 END, ip_flags = CASE WHEN family(src) = 4 THEN 2 END"
                        " WHERE observed_at = %s", (len(payload), world.at(seconds - 0.125)))
        world.sample(seconds, src, int(seconds), payload, protocol=protocol, dst_port=port, length=len(payload),
                     sensor=1)
    world.sample(70, "192.0.2.77", 99, b"of no observation")
    world.sample(71, None, 98, b"its own")
    world.roll_up()


def capture(world, *more, **options):
    return export(world, *more, kind="capture", format=None, name="out.pcap", **options)


def seen(world) -> list[dict]:
    """What tshark sees; numbers as such."""
    return [{name: int(value) if re.fullmatch("[0-9]+", value) else value for name, value in packet.row.items()}
            for packet in tshark.run(world.folder / "out.pcap")]


def test_capture(world):
    fill_captures(world)
    run, data, about = capture(world, "--recipient", "internal", tlp="red")
    assert about["rows"] == 3 and {"reason": "no_observation", "sources": 0, "packets": 1} in about["excluded"]
    assert {"reason": "no_source", "sources": 0, "packets": 1} in about["excluded"]
    rows = seen(world)
    for row, (seconds, src, protocol, port, payload) in zip(rows, PAYLOADS, strict=True):
        assert row["time_us"] == round(world.at(seconds).timestamp() * 1_000_000)
        assert (row["src"], row["protocol"], row["src_port"], row["dst_port"], row["ttl"]) == (src, protocol, 4444, port, 55)
        assert row["dst"] == ("2001:db8::1" if ":" in src else "192.0.2.1")
        assert row["payload_length"] == len(payload)
    assert (rows[1]["tcp_flags"], rows[1]["tcp_window"], rows[1]["tcp_header_length"], rows[1]["tcp_mss"]) == (24, 1024, 24, 1400)
    assert (rows[1]["tcp_seq"], rows[1]["ip_id"], rows[1]["ip_flags"]) == (0, 0, 2)


def test_capture_is_right_to_the_last_byte(world):
    """tshark complains of nothing: checksums are right, nothing is malformed or cut."""
    fill_captures(world)
    capture(world, "--recipient", "internal", tlp="red")
    out = subprocess.run(["tshark", "-n", "-r", world.folder / "out.pcap", "-T", "fields", "-o", "ip.check_checksum:true", "-o",
                          "udp.check_checksum:true", "-o", "tcp.check_checksum:true", "-e", "ip.checksum.status", "-e",
                          "udp.checksum.status", "-e", "tcp.checksum.status", "-e", "_ws.malformed", "-e", "frame.cap_len", "-e",
                          "frame.len", "-e", "udp.payload", "-e", "tcp.payload"], capture_output=True, text=True)
    assert out.returncode == 0
    rows = [line.split("\t") for line in out.stdout.splitlines()]
    assert [row[:4] for row in rows] == [["1", "1", "", ""], ["1", "", "1", ""], ["", "1", "", ""]]
    assert all(row[4] == row[5] for row in rows)
    assert [bytes.fromhex((row[6] or row[7]).replace(":", "")) for row in rows] == [payload for *_, payload in PAYLOADS]


def test_capture_of_a_cut_payload(world):
    world.observe(50, SCANNER, 53, 4444, protocol=17)
    world.c.execute("UPDATE hirundo.observation SET payload_length = 900 WHERE observed_at = %s", (world.at(50),))
    world.sample(50, SCANNER, 1, bytes(range(128)), length=900)
    world.roll_up()
    capture(world, "--recipient", "internal", tlp="red")
    (row,) = seen(world)
    assert (row["ip_length"], row["payload_length"]) == (928, 900)


def test_capture_outside(world):
    """A payload that fewer than five hosts sent is one that its sender may know again."""
    fill_captures(world)
    for i in range(5):
        world.observe(100 + i, f"203.0.113.{20 + i}", 123, 4000 + i, protocol=17, sensor=1 + i % 2)
        world.c.execute("UPDATE hirundo.observation SET payload_length = 7 WHERE observed_at = %s", (world.at(100 + i),))
        world.c.execute("INSERT INTO hirundo.payload_sample (observed_at, content, sensor_id, src_port, dst_port, payload_length,"
                        " packets, protocol, src, payload) VALUES (%s, %s, %s, %s, 123, 7, 1, 17, %s, 'monlist')",
                        (world.at(100 + i), i, 1 + i % 2, 4000 + i, f"203.0.113.{20 + i}"))
    world.roll_up()
    _, _, about = capture(world, tlp=None)
    rows = seen(world)
    assert {row["src"] for row in rows} == {f"203.0.113.{20 + i}" for i in range(5)} and len(rows) == 5
    assert {(row["src_port"], row["dst"]) for row in rows} == {(0, "192.0.2.1")}
    assert {row["time_us"] for row in rows} == {int(world.at(100).timestamp()) // 3600 * 3600 * 1_000_000}
    assert {"reason": "few_hosts", "sources": 0, "packets": 4} in about["excluded"] and about["tlp"] == "TLP:RED"


def test_capture_of_a_contact(world):
    fill_captures(world)
    _, _, about = capture(world, "--recipient", OWN, tlp="amber")
    rows = seen(world)
    assert {(row["src"], row["src_port"]) for row in rows} == {(SCANNER, 4444)} and len(rows) == 2
    assert {entry["reason"]: entry["packets"] for entry in about["excluded"]} == {"other_contact": 2, "no_source": 1}


def test_capture_beyond_retention(world):
    world.c.execute("INSERT INTO hirundo.ingest_day_frozen (sensor_id, day, rows, packets) VALUES (1, %s, 1, 1)", (DAY,))
    run, _, _ = capture(world, check=False)
    nothing_left(world, run, 65, "rows of 2026-03-10 .UTC. are not kept any more")
    run, _, _ = export(world, kind="capture", format="csv", name="out.pcap", check=False)
    nothing_left(world, run, 64, "format")
