"""hirundo-admin enrich: files of every kind in, ranges out; what is wrong is named, and nothing changes."""
import concurrent.futures
import hashlib
import ipaddress
import pathlib
import subprocess

import pytest

from harness.mmdb import Tree
from harness.paths import program

RIR = """2|apnic|20260625|5|19830613|20260624|+1000
# a comment
apnic|*|asn|*|1|summary
apnic|*|ipv4|*|5|summary
apnic|*|ipv6|*|1|summary
apnic|JP|asn|4713|1|20020801|allocated|A1
apnic|JP|ipv4|192.0.2.0|300|20020801|assigned|A1
apnic||ipv4|198.51.100.0|256|20020801|allocated|A2
apnic|KR|ipv4|203.0.113.0|256|20020801|allocated
apnic||ipv4|10.0.0.0|65536||available
apnic||ipv4|10.1.0.0|65536||reserved
apnic|LK|ipv6|2001:db8::|33|20020801|allocated|A3|e-stats|more
"""


def write(folder: pathlib.Path, name: str, text: str) -> pathlib.Path:
    path = folder / name
    path.write_text(text)
    return path


def load(installation, kind: str, *words, check: bool = True):
    return installation.admin.run("enrich", "import", kind, *words, check=check)


def info(installation, src: str) -> tuple:
    return installation.query("SELECT region, asn, holder FROM hirundo.address_info(%s)", (src,))[0]


def state(installation) -> tuple:
    """Everything but the times."""
    return tuple(tuple(installation.query(f"SELECT {columns} FROM hirundo.{table} ORDER BY 1, 2")) for table, columns in (
        ("enrichment_dataset", "dataset_id, kind, name, checksum, replaced_at"), ("enrichment_range", "*"),
        ("address_range", "*")))


def rows(installation) -> list:
    return installation.query("SELECT host(lo), host(hi), region, asn, holder FROM hirundo.address_range ORDER BY lo")


# Each kind.

def test_rir(installation, tmp_path):
    """Counts that are no CIDR, no country, no holder; what is not allocated is not there."""
    out = load(installation, "rir", write(tmp_path, "delegated-apnic-extended", RIR)).stdout
    assert out == "data set 1: 4 ranges of kind rir, 4 ranges with all kinds; region by rir, ASN by none\n"
    assert rows(installation) == [
        ("192.0.2.0", "192.0.3.43", "JP", None, "A1"), ("198.51.100.0", "198.51.100.255", "ZZ", None, "A2"),
        ("203.0.113.0", "203.0.113.255", "KR", None, None),
        ("2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", "LK", None, "A3")]
    assert installation.query("SELECT kind, name, source_date::text, ranges, with_region, with_asn, address_ranges, forced"
                              " FROM hirundo.enrichment_dataset") == [
        ("rir", "delegated-apnic-extended", "2026-06-24", 4, 4, 0, 4, False)]
    assert installation.query("SELECT hirundo.address_kind()") == [("rir",)]


def test_several_registries(installation, tmp_path):
    """Several files make one data set; its date is the oldest one's."""
    other = "2|ripencc|1|1|19830613|20260501|+0100\nripencc|DE|ipv4|192.0.0.0|512|20020801|allocated|de\n"
    load(installation, "rir", write(tmp_path, "a", RIR), write(tmp_path, "b", other), "--name", "all registries")
    assert info(installation, "192.0.1.9") == ("DE", None, "de") and info(installation, "192.0.2.9") == ("JP", None, "A1")
    assert installation.query("SELECT name, source_date::text, ranges FROM hirundo.enrichment_dataset") == [
        ("all registries", "2026-05-01", 5)]
    again = other.replace("192.0.0.0|512", "192.0.0.0|513")
    run = load(installation, "rir", tmp_path / "a", write(tmp_path, "b", again), check=False)
    assert run.returncode == 65
    assert run.stderr == f"hirundo-admin: {tmp_path}/b:2: overlaps the range of {tmp_path}/a:7\n"


def test_ranges(installation, tmp_path):
    """Integer, dotted, IPv6, CIDR; header, comments, quotes, unknown regions; two files."""
    four = write(tmp_path, "v4.csv", "start,end,country\n# x\n16777216,16777471,AU\n1.0.1.0,1.0.3.255,CN\r\n\n"
                 '"1.0.4.0","1.0.7.255","AU","Australia, the land"\n1.0.8.0,1.0.8.255,??\n')
    six = write(tmp_path, "v6.csv", "2001:200::,2001:200:ffff:ffff:ffff:ffff:ffff:ffff,JP\n2001:218::/32,JP\n 192.0.2.0/24 , A1 ")
    load(installation, "ranges", four, six, "--date", "2026-06-25")
    assert [row[:3] for row in rows(installation)] == [
        ("1.0.0.0", "1.0.0.255", "AU"), ("1.0.1.0", "1.0.3.255", "CN"), ("1.0.4.0", "1.0.7.255", "AU"),
        ("192.0.2.0", "192.0.2.255", "A1"), ("2001:200::", "2001:200:ffff:ffff:ffff:ffff:ffff:ffff", "JP"),
        ("2001:218::", "2001:218:ffff:ffff:ffff:ffff:ffff:ffff", "JP")]
    assert installation.query("SELECT source_date::text FROM hirundo.enrichment_dataset") == [("2026-06-25",)]
    assert installation.query("SELECT hirundo.address_kind()") == [("ranges",)]


def test_pfx2as(installation, tmp_path):
    """Nested prefixes: the longest holds; several origins: the first."""
    file = write(tmp_path, "pfx2as", "10.0.0.0\t8\t1\n10.1.0.0\t16\t2_3\n10.1.0.0\t24\t4,5\n10.1.255.0\t24\t6\n"
                 "255.255.255.255\t32\t4294967295\n2001:db8::\t32\t7\nffff::\t16\t8\n")
    load(installation, "pfx2as", file)
    assert [(lo, hi, asn, holder) for lo, hi, _, asn, holder in rows(installation)] == [
        ("10.0.0.0", "10.0.255.255", 1, "AS1"), ("10.1.0.0", "10.1.0.255", 4, "AS4"),
        ("10.1.1.0", "10.1.254.255", 2, "AS2"), ("10.1.255.0", "10.1.255.255", 6, "AS6"),
        ("10.2.0.0", "10.255.255.255", 1, "AS1"), ("255.255.255.255", "255.255.255.255", 4294967295, "AS4294967295"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 7, "AS7"),
        ("ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 8, "AS8")]
    assert installation.query("SELECT hirundo.address_kind()") == [(None,)]


def test_mmdb(installation, tmp_path):
    """Country and ASN together; IPv4 once, whatever leads there."""
    country = Tree()
    country.put("192.0.2.0/24", {"country": {"iso_code": "JP"}, "continent": {"code": "AS"}})
    country.put("192.0.2.128/25", {"registered_country": {"iso_code": "KR"}})
    country.put("2001:db8::/32", {"country_code": "LK"})
    for alias in ("::ffff:0:0/96", "2002::/16"):
        country.put(alias, country.node("::/96"))
    asn = Tree()
    asn.put("192.0.2.0/25", {"autonomous_system_number": 64496, "autonomous_system_organization": "x"})
    asn.put("198.51.100.0/24", {"asn": "AS64497"})
    load(installation, "mmdb", country.write(tmp_path / "country.mmdb", 1_700_000_000), asn.write(tmp_path / "asn.mmdb"))
    assert rows(installation) == [
        ("192.0.2.0", "192.0.2.127", "JP", 64496, "AS64496"), ("192.0.2.128", "192.0.2.255", "KR", None, None),
        ("198.51.100.0", "198.51.100.255", None, 64497, "AS64497"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "LK", None, None)]
    assert installation.query("SELECT source_date::text, ranges FROM hirundo.enrichment_dataset") == [("2023-11-14", 5)]
    assert installation.query("SELECT hirundo.address_kind()") == [("mmdb",)]


def test_mmdb_of_ipv4(installation, tmp_path):
    tree = Tree(version=4)
    tree.put("128.0.0.0/1", {"country": "JP"})
    load(installation, "mmdb", tree.write(tmp_path / "v4.mmdb"))
    assert [row[:3] for row in rows(installation)] == [("128.0.0.0", "255.255.255.255", "JP")]


def test_mmdb_above_ipv4(installation, tmp_path):
    """A record that covers ::/95 is one of all IPv4 addresses, too."""
    tree = Tree()
    tree.put("::/95", {"country": "JP"})
    load(installation, "mmdb", tree.write(tmp_path / "x.mmdb"))
    assert info(installation, "192.0.2.1")[0] == "JP" and info(installation, "::1:0:0")[0] == "JP"
    assert info(installation, "::2:0:0")[0] is None


def test_tor_geoipdb(installation):
    """Debian's package, as it is installed."""
    files = [pathlib.Path("/usr/share/tor") / name for name in ("geoip", "geoip6")]
    assert all(file.exists() for file in files), "the package tor-geoipdb is in deploy/packages/run"
    load(installation, "ranges", *files, "--name", "tor-geoipdb")
    want, lines = {}, 0
    for file in files:
        for line in file.read_text().splitlines():
            if not line.startswith("#") and not line.endswith("??"):
                lines += 1
                if lines % 5000 == 1:
                    lo, hi, region = line.split(",")
                    lo, hi = (ipaddress.ip_address(int(a) if a.isdigit() else a) for a in (lo, hi))
                    want[str(lo)] = want[str(hi)] = region
    assert installation.query("SELECT ranges FROM hirundo.enrichment_dataset") == [(lines,)] and lines > 300000
    got = dict(installation.query("SELECT host(a), i.region FROM unnest(%s::inet[]) a, hirundo.address_info(a) i",
                                  (list(want),)))
    assert got == want and len(want) > 100


# Kinds together.

def test_kinds_together(installation, tmp_path):
    """rir before mmdb before ranges; pfx2as before mmdb; overrides on top, field by field."""
    tree = Tree()
    tree.put("0.0.0.0/0", {"country": {"iso_code": "MM"}, "autonomous_system_number": 1})
    load(installation, "ranges", write(tmp_path, "ranges", "0.0.0.0/0,CC\n"))
    assert info(installation, "192.0.2.1") == ("CC", None, None)
    load(installation, "mmdb", tree.write(tmp_path / "x.mmdb"))
    assert info(installation, "192.0.2.1") == ("MM", 1, "AS1")
    load(installation, "rir", write(tmp_path, "rir", RIR))
    assert info(installation, "192.0.2.1") == ("JP", 1, "AS1") and info(installation, "9.9.9.9") == (None, 1, "AS1")
    load(installation, "pfx2as", write(tmp_path, "pfx2as", "192.0.2.0\t25\t2\n"))
    assert info(installation, "192.0.2.1") == ("JP", 2, "AS2") and info(installation, "9.9.9.9") == (None, None, None)
    assert info(installation, "192.0.2.200") == ("JP", None, "A1")
    load(installation, "overrides", write(
        tmp_path, "o", "prefix,region,asn,holder\n192.0.2.0/24,,,us\n192.0.2.0/26,BN\n9.9.9.9/32,ZZ,3\n192.0.2.255/32,LK\n"))
    assert info(installation, "192.0.2.1") == ("BN", 2, "AS2")  # the longest override alone
    assert info(installation, "192.0.2.64") == ("JP", 2, "us") and info(installation, "192.0.2.200") == ("JP", None, "us")
    assert info(installation, "9.9.9.9") == ("ZZ", 3, "AS3") and info(installation, "192.0.2.255") == ("LK", None, "A1")
    assert installation.query("SELECT dataset_id, kind, replaced_at IS NULL FROM hirundo.enrichment_dataset ORDER BY 1") == [
        (1, "ranges", True), (2, "mmdb", True), (3, "rir", True), (4, "pfx2as", True), (5, "overrides", True)]
    # No override any more.
    load(installation, "overrides", write(tmp_path, "o", "# none\n"), "--force")
    assert info(installation, "192.0.2.1") == ("JP", 2, "AS2")


def test_import_replaces_its_kind(installation, tmp_path):
    load(installation, "ranges", write(tmp_path, "a", "192.0.2.0/24,JP\n"))
    load(installation, "overrides", write(tmp_path, "o", "192.0.2.7/32,KR\n"))
    load(installation, "ranges", write(tmp_path, "b", "198.51.100.0/24,LK\n"))
    assert info(installation, "192.0.2.1")[0] is None and info(installation, "192.0.2.7")[0] == "KR"
    assert info(installation, "198.51.100.1")[0] == "LK"
    assert installation.query("SELECT dataset_id, replaced_at IS NULL FROM hirundo.enrichment_dataset ORDER BY 1") == [
        (1, False), (2, True), (3, True)]


# Refusals.

BAD = [
    ("rir", "", "empty"), ("rir", "# x\n", "no version line"), ("rir", "apnic|JP|ipv4|192.0.2.0|256|2002|allocated\n", ":1: no version"),
    ("rir", RIR[:300], "fields"), ("rir", RIR.rsplit("apnic", 1)[0], "ends early: 0 records of ipv6, its summary tells 1"),
    ("rir", RIR.replace("|300|", "|0|"), ":7: value"), ("rir", RIR.replace("192.0.2.0|300", "255.255.255.0|257"), ":7: value"),
    ("rir", RIR.replace("|300|", "|4294967297|"), ":7: value"), ("rir", RIR.replace("|300|", "|-1|"), ":7: value"),
    ("rir", RIR.replace("192.0.2.0|", "192.0.2|"), ":7: start"), ("rir", RIR.replace("192.0.2.0|", "2001:db8::|"), ":7: start"),
    ("rir", RIR.replace("2001:db8::|33", "2001:db8::|31"), ""), ("rir", RIR.replace("2001:db8::|33", "2001:db8::|129"), ":12: value"),
    ("rir", RIR.replace("2001:db8::|33", "2001:db8::1|33"), ":12: value"), ("rir", RIR.replace("JP|ipv4", "jp|ipv4"), ":7: \"jp\" is no country"),
    ("rir", RIR.replace("assigned", "sold"), ":7: unknown status"), ("rir", RIR.replace("asn|4713", "asm|4713"), ":6: unknown type"),
    ("rir", RIR.replace("allocated|A2", "allocated|A\u00e9"), ":8:"), ("rir", RIR + RIR.split("\n")[6], ":13: overlaps the range of"),
    ("ranges", "192.0.2.0,192.0.2.255,JP\n192.0.2.255,192.0.3.0,KR\n", ":2: overlaps the range of"),
    ("ranges", "192.0.2.255,192.0.2.0,JP\n", ":1:"), ("ranges", "192.0.2.0,2001:db8::,JP\n", ":1:"),
    ("ranges", "192.0.2.0,192.0.2.255\n", ":1: the region is missing"), ("ranges", "192.0.2.0,192.0.2.255,Japan\n", ":1: \"Japan\" is no region"),
    ("ranges", "192.0.2.1/24,JP\n", ":1:"), ("ranges", "192.0.2.0/24,JP\ncountry,country\n", ":2:"),
    ("ranges", "192.0.2.0/24,JP\n4294967296,4294967297,JP\n", ":2:"), ("ranges", "192.0.2.0,192.0.2.255,??\n", "not one range"),
    ("ranges", "192.0.2.0,\0,JP\n", ":1:"), ("ranges", "country\n", "not one range"),
    ("pfx2as", "10.0.0.0\t8\n", ":1:"), ("pfx2as", "10.0.0.0 8 1\n", ":1:"), ("pfx2as", "10.0.0.1\t8\t1\n", ":1:"),
    ("pfx2as", "10.0.0.0\t33\t1\n", ":1:"), ("pfx2as", "10.0.0.0\t8\t4294967296\n", ":1:"), ("pfx2as", "10.0.0.0\t8\t1_\n", ":1:"),
    ("pfx2as", "10.0.0.0\t8\t1\n10.0.0.0\t9\t1\n10.0.0.0\t8\t2\n", ":3: has the same prefix as"),
    ("overrides", "10.0.0.0,JP\n", ":1:"), ("overrides", "10.0.0.0/8,JPN\n", ":1:"), ("overrides", "10.0.0.0/8\n", ":1: nothing is"),
    ("overrides", "10.0.0.0/8,,x\n", ":1:"), ("overrides", "10.0.0.0/8,,," + "x" * 65 + "\n", ":1:"),
    ("mmdb", "no such thing", "x: "), ("mmdb", "\xab\xcd\xefMaxMind.com", "x: "),
]


@pytest.mark.parametrize("kind,text,want", BAD, ids=[f"{kind}-{i}" for i, (kind, _, _) in enumerate(BAD)])
def test_bad_files(kind, text, want, tmp_path):
    """Read before the database is asked for: it need not even be there."""
    (tmp_path / "x").write_bytes(text.encode("latin-1" if kind == "mmdb" else "utf-8"))
    (tmp_path / "admin.conf").write_text('dsn = "host=/nonexistent"\n')
    run = subprocess.run([program("hirundo-admin"), "--config", tmp_path / "admin.conf", "enrich", "import", kind,
                          tmp_path / "x"], capture_output=True, text=True)
    assert run.stderr.count("\n") == 1
    if want:
        assert run.returncode in (65, 66) and f"{tmp_path}/x:" in run.stderr and want in run.stderr, run.stderr
    else:
        assert run.returncode == 69, run.stderr  # the file is fine


def test_failures_change_nothing(installation, tmp_path):
    load(installation, "ranges", write(tmp_path, "a", "192.0.2.0/24,JP\n"))
    before = state(installation)
    assert load(installation, "rir", tmp_path / "absent", check=False).returncode == 66
    assert load(installation, "rir", write(tmp_path, "b", RIR + "x\n"), check=False).returncode == 65
    assert load(installation, "nonsense", tmp_path / "a", check=False).returncode == 64
    assert load(installation, "scanners", tmp_path / "a", check=False).returncode == 65
    assert load(installation, "ranges", check=False).returncode == 64
    assert load(installation, "ranges", tmp_path / "a", "--date", "yesterday, noon", check=False).returncode == 65
    assert state(installation) == before
    # The database refuses in the middle of it: after the data set, before the last range.
    installation.query("ALTER TABLE hirundo.address_range ADD CONSTRAINT x CHECK (region <> 'LK')")
    run = load(installation, "overrides", write(tmp_path, "o", "192.0.2.7/32,LK\n"), check=False)
    assert run.returncode == 69 and run.stderr.count("\n") == 1
    assert state(installation) == before


def test_shrinking(installation, tmp_path):
    """Over 20 % fewer: refused; with --force it is taken, and said."""
    lines = [f"10.0.{i}.0/24,JP\n" for i in range(100)]
    load(installation, "ranges", write(tmp_path, "a", "".join(lines)))
    load(installation, "ranges", write(tmp_path, "b", "".join(lines[:80])))
    before = state(installation)
    run = load(installation, "ranges", write(tmp_path, "c", "".join(lines[:63])), check=False)
    assert run.returncode == 65 and "63 ranges of kind ranges, 80 before" in run.stderr and "--force" in run.stderr
    assert state(installation) == before
    load(installation, "ranges", tmp_path / "c", "--force")
    assert installation.query("SELECT ranges, forced FROM hirundo.enrichment_dataset ORDER BY dataset_id") == [
        (100, False), (80, False), (63, True)]


def test_md5_beside(installation, tmp_path):
    """A .md5 beside the file is believed: as the registries publish it."""
    path = write(tmp_path, "a", RIR)
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    (tmp_path / "a.md5").write_text(f"MD5 (a) = {digest.upper()}\n")
    load(installation, "rir", path)
    for text in (f"MD5 (a) = {digest[::-1]}\n", "nothing"):
        (tmp_path / "a.md5").write_text(text)
        run = load(installation, "rir", path, check=False)
        assert run.returncode == 66 and ".md5" in run.stderr


def test_mmdb_truncated(tmp_path):
    """Cut anywhere: refused, never a signal."""
    tree = Tree()
    tree.put("192.0.2.0/24", {"country": {"iso_code": "JP"}})
    whole = tree.write(tmp_path / "x.mmdb").read_bytes()
    (tmp_path / "admin.conf").write_text('dsn = "host=/nonexistent"\n')
    for cut in range(1, len(whole), len(whole) // 40):
        (tmp_path / "cut.mmdb").write_bytes(whole[:cut])
        run = subprocess.run([program("hirundo-admin"), "--config", tmp_path / "admin.conf", "enrich", "import", "mmdb",
                              tmp_path / "cut.mmdb"], capture_output=True, text=True)
        assert run.returncode == 65 and run.stderr.count("\n") == 1, f"{cut}: {run.stderr}"


def test_mmdb_cycles(tmp_path):
    """A tree that leads back into itself ends."""
    (tmp_path / "admin.conf").write_text('dsn = "host=/nonexistent"\n')
    for below, target, want in (("2001:db8:77::/48", "2001:db8::/32", "leads back into itself"),
                                ("8000::/1", "::/0", "record 0: leads out of the file"),
                                ("2001:db9::/32", "2001:db8::/32", "leads back into itself")):
        tree = Tree()
        tree.put("192.0.2.0/24", {"country": {"iso_code": "JP"}})
        tree.put("2001:db8:1::/48", {"country": {"iso_code": "LK"}})
        tree.put(below, tree.node(target))
        run = subprocess.run([program("hirundo-admin"), "--config", tmp_path / "admin.conf", "enrich", "import", "mmdb",
                              tree.write(tmp_path / "x.mmdb")], capture_output=True, text=True, timeout=20)
        assert run.returncode == 65 and want in run.stderr, run.stderr


def test_concurrent_imports(installation, tmp_path):
    """One after the other: no id twice, no import lost from what all say together."""
    files = {"ranges": "10.0.0.0/8,JP\n", "pfx2as": "10.0.0.0\t8\t1\n", "overrides": "10.0.0.0/9,,,x\n", "rir": RIR}
    jobs = [(kind, write(tmp_path, f"{kind}{i}", text)) for i in range(3) for kind, text in files.items()]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda job: load(installation, *job), jobs))
    assert installation.query("SELECT count(*), min(dataset_id), max(dataset_id), count(*) FILTER (WHERE replaced_at IS NULL)"
                              " FROM hirundo.enrichment_dataset") == [(12, 1, 12, 4)]
    assert info(installation, "10.0.0.1") == (None, 1, "x") and info(installation, "10.128.0.1") == (None, 1, "AS1")
    assert info(installation, "192.0.2.1") == ("JP", None, "A1")


def test_only_the_owner_imports(installation, tmp_path):
    path = write(tmp_path, "a", "10.0.0.0/8,JP\n")
    conf = write(tmp_path, "analyst.conf", f'dsn = "{installation.dsn("hirundo_analyst")}"\n')
    run = subprocess.run([program("hirundo-admin"), "--config", conf, "enrich", "import", "ranges", path],
                         capture_output=True, text=True)
    assert run.returncode == 77
    assert state(installation) == ((), (), ())


# Lookup.

def test_lookup(installation, tmp_path):
    def look(address: str) -> str:
        return installation.admin.run("enrich", "lookup", address).stdout

    assert "none imported" in look("192.0.2.1") and "bogon" in look("192.0.2.1") and "bogon" not in look("1.1.1.1")
    load(installation, "rir", write(tmp_path, "delegated-x", RIR))
    load(installation, "pfx2as", write(tmp_path, "pfx2as", "192.0.2.0\t24\t64496\n"), "--date", "2026-02-03")
    out = look("192.0.2.1")
    assert "region        JP\n" in out and "asn           64496\n" in out and "holder        AS64496\n" in out and "data set      2\n" in out
    sources = [line.split() for line in out.split("\n\n")[1].splitlines()]
    assert sources[1][:6] == ["1", "rir", "delegated-x", "2026-06-24", "192.0.2.0", "192.0.3.43"] and sources[1][-1] == "A1"
    assert sources[2][:6] == ["2", "pfx2as", "pfx2as", "2026-02-03", "192.0.2.0", "192.0.2.255"]
    assert "region        not allocated\n" in look("9.9.9.9") and "LK" in look("2001:DB8::1")
    for words in ([], ["192.0.2"], ["a", "b"]):
        assert installation.admin.run("enrich", "lookup", *words, check=False).returncode == 64
