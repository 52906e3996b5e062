"""Organizations, research scanners and network groups: files in, tables out; what is wrong is named, and nothing
changes. What address has whom is told anew by the ipaddress module."""
import ipaddress
import pathlib
import random
import subprocess

import pytest

from harness.paths import program

ORGANIZATIONS = "prefix,organization,contact\n"
SCANNERS = "prefix,organization,source,valid_from,valid_to\n"
GROUPS = "name,cidr\n"
TABLES = {"enrichment_dataset": "dataset_id, kind, name, checksum, ranges, address_ranges, forced, replaced_at IS NULL",
          "organization": "*", "organization_range": "*", "scanner": "*", "network_group": "*", "address_range": "*"}


def write(folder: pathlib.Path, name: str, text: str) -> pathlib.Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def load(installation, kind: str, *words, check: bool = True):
    return installation.admin.run("enrich", "import", kind, *words, check=check)


def state(installation) -> dict:
    return {table: installation.query(f"SELECT {columns} FROM hirundo.{table} ORDER BY 1, 2")
            for table, columns in TABLES.items()}


def holders(installation, addresses: list[str]) -> dict:
    """Address -> (name, contact)."""
    return {src: tuple(who) for src, *who in installation.query(
        "SELECT host(a), o.name, o.contact FROM unnest(%s::inet[]) a CROSS JOIN hirundo.organization_of(a) w"
        " LEFT JOIN hirundo.organization o USING (organization_id)", (addresses,))}


# Organizations.

def test_organizations(installation, tmp_path):
    """Names with commas, quotes and any script; ranges and single addresses; a mark in front, CR LF, comments."""
    file = write(tmp_path, "rdap.csv", "\ufeffprefix,organization,contact\r\n# a comment\r\n"
                 '192.0.2.0/24,"Example, Inc.",abuse@example.com\r\n192.0.2.64/26,"The ""Other"" one, Ltd",\r\n'
                 "192.0.2.100 - 192.0.2.111,日本例株式会社,CSIRT@例.example\r\n192.0.2.105,back\\slash \\N,a@b\r\n"
                 "2001:db8::/32,Example\\, abuse@example.com \r\n2001:db8:1::,Six,\r\n".replace("\\, ", ","))
    out = load(installation, "organizations", file, "--date", "2026-11-01").stdout
    assert out == "data set 1: 6 ranges of kind organizations, 10 of them side by side\n"
    assert holders(installation, ["192.0.1.255", "192.0.2.0", "192.0.2.64", "192.0.2.99", "192.0.2.100", "192.0.2.105",
                                  "192.0.2.111", "192.0.2.112", "192.0.3.0", "2001:db8::1", "2001:db8:1::", "::1"]) == {
        "192.0.1.255": (None, None), "192.0.2.0": ("Example, Inc.", "abuse@example.com"),
        "192.0.2.64": ('The "Other" one, Ltd', None), "192.0.2.99": ('The "Other" one, Ltd', None),
        "192.0.2.100": ("日本例株式会社", "CSIRT@例.example"), "192.0.2.105": ("back\\slash \\N", "a@b"),
        "192.0.2.111": ("日本例株式会社", "CSIRT@例.example"), "192.0.2.112": ('The "Other" one, Ltd', None),
        "192.0.3.0": (None, None), "2001:db8::1": ("Example", "abuse@example.com"), "2001:db8:1::": ("Six", None),
        "::1": (None, None)}
    assert installation.query("SELECT kind, name, source_date::text, ranges, with_region, with_asn, address_ranges, forced"
                              " FROM hirundo.enrichment_dataset") == [
        ("organizations", "rdap.csv", "2026-11-01", 6, 0, 0, 10, False)]
    assert installation.query("SELECT DISTINCT dataset_id FROM hirundo.organization") == [(1,)]


@pytest.mark.parametrize("seed", range(3))
def test_longest_match(installation, tmp_path, seed):
    """Prefixes at random, at both ends of both families, against the most specific network of ipaddress."""
    rnd = random.Random(seed)
    nets = {}
    for base, bits in ((0, 32), (2 ** 32 - 4096, 32), (0, 128), (0x20010DB8 << 96, 128), (2 ** 128 - 4096, 128)):
        for _ in range(60):
            length = rnd.randint(bits - 12, bits)
            at = base + (rnd.randrange(4096) >> bits - length << bits - length)
            kind = ipaddress.IPv4Network if bits == 32 else ipaddress.IPv6Network
            nets[kind((at, length))] = f"org {rnd.randrange(9)}"
    lines = [f"{net},{name},\n" for net, name in nets.items()]
    rnd.shuffle(lines)
    load(installation, "organizations", write(tmp_path, "x", ORGANIZATIONS + "".join(lines)))
    edges = {str(a) for net in nets for a in (net[0], net[-1])}
    edges |= {str(a + d) for net in nets for a, d in ((net[0], -1), (net[-1], 1))
              if 0 <= int(a) + d < 2 ** a.max_prefixlen}
    want = {}
    for src in edges:
        address = ipaddress.ip_address(src)
        inside = [net for net in nets if net.version == address.version and address in net]
        want[src] = (nets[max(inside, key=lambda net: net.prefixlen)] if inside else None, None)
    assert holders(installation, sorted(edges)) == want
    assert sum(who != (None, None) for who in want.values()) > 200 and (None, None) in want.values()
    # One after the other, and none covers another.
    assert installation.query("SELECT count(*) FROM hirundo.organization_range a JOIN hirundo.organization_range b"
                              " ON b.lo > a.lo AND b.lo <= a.hi") == [(0,)]


def test_organizations_are_for_ever(installation, tmp_path):
    """Who is named again with the same contact keeps the number; who is gone keeps the row; none is given twice."""
    load(installation, "organizations", write(tmp_path, "a", ORGANIZATIONS + "10.0.0.0/8,A,a@x\n10.1.0.0/16,B,\n"))
    load(installation, "organizations", write(tmp_path, "b", ORGANIZATIONS + "10.0.0.0/8,B,\n10.1.0.0/16,A,new@x\n"))
    assert installation.query("SELECT * FROM hirundo.organization ORDER BY 1") == [
        (1, "A", "a@x", 1), (2, "B", None, 1), (3, "A", "new@x", 2)]
    assert holders(installation, ["10.0.0.1", "10.1.0.1"]) == {"10.0.0.1": ("B", None), "10.1.0.1": ("A", "new@x")}
    load(installation, "organizations", write(tmp_path, "c", ORGANIZATIONS), "--force")
    load(installation, "organizations", write(tmp_path, "d", ORGANIZATIONS + "10.0.0.0/8,C,\n"))
    assert installation.query("SELECT organization_id, name, dataset_id FROM hirundo.organization ORDER BY 1") == [
        (1, "A", 1), (2, "B", 1), (3, "A", 2), (4, "C", 4)]
    assert installation.query("SELECT host(lo), host(hi), organization_id FROM hirundo.organization_range") == [
        ("10.0.0.0", "10.255.255.255", 4)]


def test_import_does_not_touch_other_kinds(installation, tmp_path):
    load(installation, "ranges", write(tmp_path, "r", "10.0.0.0/8,JP\n"))
    load(installation, "organizations", write(tmp_path, "o", ORGANIZATIONS + "10.0.0.0/8,A,\n"))
    load(installation, "scanners", write(tmp_path, "s", SCANNERS + "10.0.0.0/9,S,,,\n"))
    load(installation, "groups", write(tmp_path, "g", GROUPS + "g,10.0.0.0/10\n"))
    before = state(installation)
    assert before["address_range"] and [row[1] for row in before["enrichment_dataset"]] == [
        "ranges", "organizations", "scanners", "groups"]
    load(installation, "pfx2as", write(tmp_path, "p", "10.0.0.0\t8\t1\n"))
    after = state(installation)
    assert {t: after[t] for t in ("organization", "organization_range", "scanner", "network_group")} == {
        t: before[t] for t in ("organization", "organization_range", "scanner", "network_group")}
    # What rows are stamped with tells the data that they were looked up in.
    assert installation.query("SELECT hirundo.dataset_text(5, 5) ~ '^5: organizations o of .*, pfx2as p of .*, ranges r of [-0-9]*$'") == [(True,)]


# Scanners and groups.

def test_scanners(installation, tmp_path):
    """Prefixes may overlap and come again; days are optional."""
    text = ("192.0.2.0/24,Survey A,https://a.example/,2026-01-02,\n192.0.2.7,Survey B,,,2026-02-28\n"
            "192.0.2.0/24,Survey A,,2024-02-29,2024-02-29\n2001:db8::/48,\"Six, Seven\",x,,\n")
    out = load(installation, "scanners", write(tmp_path, "s", SCANNERS + text)).stdout
    assert out == "data set 1: 4 prefixes of kind scanners\n"
    assert installation.query("SELECT network::text, organization, source, valid_from::text, valid_to::text"
                              " FROM hirundo.scanner ORDER BY network, valid_from") == [
        ("192.0.2.0/24", "Survey A", None, "2024-02-29", "2024-02-29"),
        ("192.0.2.0/24", "Survey A", "https://a.example/", "2026-01-02", None),
        ("192.0.2.7/32", "Survey B", None, None, "2026-02-28"),
        ("2001:db8::/48", "Six, Seven", "x", None, None)]


def test_groups(installation, tmp_path):
    text = "isp,192.0.2.0/24\nisp,192.0.2.0/25\nisp,192.0.2.0/24\n\"Univ, all\",2001:db8::1\nname,198.51.100.0/24\n"
    load(installation, "groups", write(tmp_path, "g", GROUPS + text))
    assert installation.query("SELECT name, network::text FROM hirundo.network_group ORDER BY 1, 2") == [
        ("Univ, all", "2001:db8::1/128"), ("isp", "192.0.2.0/24"), ("isp", "192.0.2.0/25"), ("name", "198.51.100.0/24")]
    load(installation, "groups", write(tmp_path, "g", GROUPS), "--force")
    assert installation.query("SELECT count(*) FROM hirundo.network_group") == [(0,)]


@pytest.mark.parametrize("seed", range(4))
def test_within(installation, seed):
    """bounds4, bounds6 and within() against each prefix by itself."""
    rnd = random.Random(seed)
    nets = [kind((base + (rnd.randrange(2048) >> bits - length << bits - length), length))
            for kind, base, bits in ((ipaddress.IPv4Network, 0, 32), (ipaddress.IPv4Network, 2 ** 32 - 2048, 32),
                                     (ipaddress.IPv6Network, 0, 128), (ipaddress.IPv6Network, 2 ** 128 - 2048, 128),
                                     (ipaddress.IPv6Network, 0x20010DB8 << 96, 128))
            for length in rnd.choices(range(bits - 8, bits + 1), k=rnd.choice([0, 1, 9, 30]))]
    probes = sorted({str(kind(base + rnd.randrange(2048))) for kind, base in (
        (ipaddress.IPv4Address, 0), (ipaddress.IPv4Address, 2 ** 32 - 2048), (ipaddress.IPv6Address, 0),
        (ipaddress.IPv6Address, 2 ** 128 - 2048), (ipaddress.IPv6Address, 0x20010DB8 << 96)) for _ in range(300)}
        | {"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"})
    got = dict(installation.query(
        "SELECT host(a), hirundo.within(a, hirundo.bounds4(%(n)s::inet[]), hirundo.bounds6(%(n)s::inet[]))"
        " FROM unnest(%(p)s::inet[]) a", {"n": [str(net) for net in nets], "p": probes}))
    want = {src: any(net.version == address.version and address in net for net in nets)
            for src in probes for address in [ipaddress.ip_address(src)]}
    assert got == want
    everything = installation.query("SELECT bool_and(hirundo.within(a, hirundo.bounds4(n), hirundo.bounds6(n)))"
                                    " FROM unnest(%s::inet[]) a, (VALUES ('{0.0.0.0/0,::/0}'::inet[])) x (n)", (probes,))
    assert everything == [(True,)]
    assert installation.query("SELECT hirundo.within(NULL, '{}', '{}')") == [(None,)]


# Refusals.

BAD = [
    ("organizations", "", "empty"), ("organizations", "# x\n", "the header is missing: prefix,organization,contact"),
    ("organizations", "192.0.2.0/24,A,a@b\n", ":1: not the header"), ("organizations", "prefix,contact,organization\n", ":1: not the header"),
    ("organizations", "prefix,organization\n", ":1: not the header"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,A\n", ":2: 2 fields, not 3"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,Example, Inc.,a@b\n", ":2: 4 fields, not 3"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,a,b,c,d,e,f,g\n", ":2: over 5 fields"),
    ("organizations", ORGANIZATIONS + "192.0.2.1/24,A,\n", ":2: \"192.0.2.1/24\" is no prefix"),
    ("organizations", ORGANIZATIONS + "192.0.2.9-192.0.2.1,A,\n", ":2:"), ("organizations", ORGANIZATIONS + "192.0.2.9-2001:db8::,A,\n", ":2:"),
    ("organizations", ORGANIZATIONS + "3221225984,A,\n", ":2:"), ("organizations", ORGANIZATIONS + ",A,\n", ":2:"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,,a@b\n", ":2: the organization is missing"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,\"\",a@b\n", ":2: the organization is missing"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,AS4713,\n", ":2: organization \"AS4713\""),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,not known,\n", ":2: organization \"not known\""),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,A,abuse\n", ":2: \"abuse\" is no e-mail"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,A,@x\n", "no e-mail"), ("organizations", ORGANIZATIONS + "192.0.2.0/24,A,x@\n", "no e-mail"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,A,a@b c@d\n", "no e-mail"), ("organizations", ORGANIZATIONS + "192.0.2.0/24,A,a@b@c\n", "no e-mail"),
    ("organizations", ORGANIZATIONS + f"192.0.2.0/24,{'x' * 256},\n", ":2:"), ("organizations", ORGANIZATIONS + f"192.0.2.0/24,A,a@{'x' * 253}\n", ":2:"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,a\tb,\n", ":2:"), ("organizations", ORGANIZATIONS + "192.0.2.0/24,a\0b,\n", ":2:"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,a\x85b,\n", ":2:"), ("organizations", ORGANIZATIONS + "192.0.2.0/24,\"a,\n", ":2:"),
    ("organizations", (ORGANIZATIONS + "192.0.2.0/24,").encode() + b"\xff,\n", ":2:"), ("organizations", (ORGANIZATIONS + "192.0.2.0/24,").encode() + b"\xed\xa0\x80,\n", ":2:"),
    ("organizations", (ORGANIZATIONS + "192.0.2.0/24,").encode() + b"\xc0\x80,\n", ":2:"), ("organizations", (ORGANIZATIONS + "192.0.2.0/24,").encode() + b"\xe3\x81,\n", ":2:"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,A,\n192.0.2.0/25,B,\n\n192.0.2.0-192.0.2.255,A,\n", ":5: has the same prefix as"),
    ("organizations", ORGANIZATIONS + "192.0.2.0/24,A,\n192.0.2.128-192.0.3.7,B,\n", ":3: covers a part of the range of"),
    ("organizations", ORGANIZATIONS + "192.0.2.128-192.0.3.7,B,\n192.0.2.0/24,A,\n", ":3: covers a part of the range of"),
    ("organizations", ORGANIZATIONS + "".join(f"10.0.0.{i}-10.0.1.{255 - i},A,\n" for i in range(130)), ":131: lies too deep in others"),
    ("scanners", "prefix,organization,source,valid_from\n", ":1: not the header"),
    ("scanners", SCANNERS + "10.0.0.0-10.0.0.9,A,,,\n", ":2:"), ("scanners", SCANNERS + "10.0.0.0/8,,,,\n", ":2: the organization is missing"),
    ("scanners", SCANNERS + "10.0.0.0/8,A,,20260101,\n", ":2: \"20260101\" is no day"), ("scanners", SCANNERS + "10.0.0.0/8,A,,2026-02-29,\n", ":2:"),
    ("scanners", SCANNERS + "10.0.0.0/8,A,,,2026-00-01\n", ":2:"), ("scanners", SCANNERS + "10.0.0.0/8,A,,,tomorrow\n", ":2:"),
    ("scanners", SCANNERS + "10.0.0.0/8,A,,2026-01-02,2026-01-01\n", ":2: valid_to is before valid_from"),
    ("scanners", SCANNERS + f"10.0.0.0/8,A,{'x' * 301},,\n", ":2:"),
    ("groups", "isp,192.0.2.0/24\n", ":1: not the header"), ("groups", GROUPS + "isp,192.0.2.0-192.0.2.9\n", ":2:"),
    ("groups", GROUPS + ",192.0.2.0/24\n", ":2: the name is missing"), ("groups", GROUPS + "isp,\n", ":2:"),
    ("groups", GROUPS + "isp,192.0.2.0/24\nisp,192.0.2.0/33\n", ":3:"),
]


@pytest.mark.parametrize("kind,text,want", BAD, ids=[f"{kind}-{i}" for i, (kind, _, _) in enumerate(BAD)])
def test_bad_files(kind, text, want, tmp_path):
    """Read before the database is asked for: it need not even be there."""
    (tmp_path / "x").write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "admin.conf").write_text('dsn = "host=/nonexistent"\n')
    run = subprocess.run([program("hirundo-admin"), "--config", tmp_path / "admin.conf", "enrich", "import", kind,
                          tmp_path / "x"], capture_output=True, text=True)
    assert run.stderr.count("\n") == 1
    assert run.returncode in (65, 66) and f"{tmp_path}/x:" in run.stderr and want in run.stderr, run.stderr


def test_longest_texts_are_taken(installation, tmp_path):
    name, contact, source = "\\" * 255, f"a@{'x' * 252}", "\\" * 300
    load(installation, "organizations", write(tmp_path, "o", ORGANIZATIONS + f"10.0.0.0/8,{name},{contact}\n"))
    load(installation, "scanners", write(tmp_path, "s", SCANNERS + f"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,{name},{source},1970-01-01,9999-12-31\n"))
    assert installation.query("SELECT name, contact FROM hirundo.organization") == [(name, contact)]
    assert installation.query("SELECT organization, source, valid_from::text, valid_to::text FROM hirundo.scanner") == [
        (name, source, "1970-01-01", "9999-12-31")]


def test_failures_change_nothing(installation, tmp_path):
    lines = [f"10.0.{i}.0/24,org {i % 7},\n" for i in range(100)]
    load(installation, "organizations", write(tmp_path, "a", ORGANIZATIONS + "".join(lines)))
    load(installation, "scanners", write(tmp_path, "s", SCANNERS + "10.0.0.0/8,S,,,\n"))
    before = state(installation)
    assert load(installation, "organizations", write(tmp_path, "b", ORGANIZATIONS + "".join(lines) + "x,y,\n"),
                check=False).returncode == 65
    run = load(installation, "organizations", write(tmp_path, "b", ORGANIZATIONS + "".join(lines[:79])), check=False)
    assert run.returncode == 65 and "79 ranges of kind organizations, 100 before" in run.stderr and "--force" in run.stderr
    assert load(installation, "scanners", write(tmp_path, "t", SCANNERS), check=False).returncode == 65
    assert state(installation) == before
    # The database refuses in the middle of it.
    installation.query("ALTER TABLE hirundo.organization_range ADD CONSTRAINT x CHECK (organization_id < 8)")
    run = load(installation, "organizations", write(tmp_path, "c", ORGANIZATIONS + "".join(reversed(lines)) + "11.0.0.0/8,new,\n"),
               check=False)
    assert run.returncode == 65 and run.stderr.count("\n") == 1
    assert state(installation) == before
    load(installation, "organizations", write(tmp_path, "b", ORGANIZATIONS + "".join(lines[:5])), "--force")
    assert installation.query("SELECT ranges, forced FROM hirundo.enrichment_dataset ORDER BY dataset_id") == [
        (100, False), (1, False), (5, True)]


def test_only_the_owner_imports(installation, tmp_path):
    conf = write(tmp_path, "analyst.conf", f'dsn = "{installation.dsn("hirundo_analyst")}"\n')
    before = state(installation)
    for kind, text in (("organizations", ORGANIZATIONS + "10.0.0.0/8,A,\n"), ("scanners", SCANNERS + "10.0.0.0/8,A,,,\n"),
                       ("groups", GROUPS + "A,10.0.0.0/8\n")):
        run = subprocess.run([program("hirundo-admin"), "--config", conf, "enrich", "import", kind,
                              write(tmp_path, kind, text)], capture_output=True, text=True)
        assert run.returncode == 77
    assert state(installation) == before


# Lookup.

def test_lookup(installation, tmp_path):
    def look(address: str) -> list:
        return installation.admin.run("enrich", "lookup", address).stdout.splitlines()

    assert {"organization  not known", "contact       not known", "scanner       no"} <= set(look("192.0.2.1"))
    load(installation, "organizations", write(tmp_path, "rdap", ORGANIZATIONS + "192.0.2.0/24,Example,abuse@x\n192.0.2.9,None,\n"))
    load(installation, "scanners", write(
        tmp_path, "list", SCANNERS + "192.0.2.0/25,Survey,https://s,2026-01-01,2026-12-31\n192.0.2.1,Other,,,\n"))
    load(installation, "groups", write(tmp_path, "nets", GROUPS + "isp,192.0.0.0/16\nall,0.0.0.0/0\n"), "--date", "2026-02-03")
    out = look("192.0.2.1")
    assert {"organization  Example", "contact       abuse@x", "groups        all; isp",
            "scanner       Survey (https://s) from 2026-01-01 to 2026-12-31; Other"} <= set(out)
    rows = [line.split() for line in out[out.index("") + 2:]]
    assert [(row[0], row[1], row[2], *row[4:6], row[-1]) for row in rows] == [
        ("1", "organizations", "rdap", "192.0.2.0", "192.0.2.8", "Example"),
        ("2", "scanners", "list", "192.0.2.0", "192.0.2.127", "Survey"),
        ("2", "scanners", "list", "192.0.2.1", "192.0.2.1", "Other"),
        ("3", "groups", "nets", "0.0.0.0", "255.255.255.255", "all"),
        ("3", "groups", "nets", "192.0.0.0", "192.0.255.255", "isp")] and rows[3][3] == "2026-02-03"
    assert {"organization  None", "contact       not known"} <= set(look("192.0.2.9"))
    assert "scanner       no" in look("192.0.2.200") and "organization  not known" in look("2001:db8::1")
