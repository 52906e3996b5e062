"""What regions and services are called."""
import json
import pathlib

import psycopg
import pytest

ISO = pathlib.Path("/usr/share/iso-codes/json/iso_3166-1.json")
# Beside ISO 3166-1: what registries and other address data say.
OTHERS = {"ZZ": "not known", "EU": "European Union", "AP": "Asia/Pacific", "XK": "Kosovo", "AN": "Netherlands Antilles",
          "A1": "anonymous proxy", "A2": "satellite provider"}


def names(installation) -> dict:
    return dict(installation.query("SELECT region, name FROM hirundo.region_name"))


def test_regions(installation):
    have = names(installation)
    want = {"JP": "Japan", "TW": "Taiwan", "HK": "Hong Kong", "MO": "Macao", "KR": "South Korea", "LK": "Sri Lanka",
            "VN": "Vietnam", "AX": "\u00c5land Islands", "CI": "C\u00f4te d'Ivoire", "CW": "Cura\u00e7ao", "GB": "United Kingdom"}
    assert {region: have[region] for region in want} == want and OTHERS.items() <= have.items()
    assert len(have) == 249 + len(OTHERS) and len(set(have.values())) == len(have)
    assert all(1 < len(name) < 60 and "," not in name.replace("Bonaire, ", "").replace("Helena, ", "")
               for name in have.values())


@pytest.mark.skipif(not ISO.exists(), reason="the package iso-codes is not installed")
def test_regions_are_those_of_iso(installation):
    iso = {e["alpha_2"]: {e["name"], e.get("common_name")} for e in json.loads(ISO.read_text())["3166-1"]}
    have = names(installation)
    assert set(have) == set(iso) | set(OTHERS)
    other = {region for region, accepted in iso.items() if have[region] not in accepted}
    assert other == {"CD", "FM", "PS", "VG", "VI"}  # the common name, not turned round


def test_operators_choose_names(installation):
    with installation.connect() as c:
        for region, name in (("TW", "Chinese Taipei"), ("XX", "Test"), ("JP", None), ("TW", "T"), ("HK", "H"), ("HK", None)):
            c.execute("SELECT hirundo.set_region_name(%s, %s)", (region, name))
        for wrong in ("jp", "JPN", "", None, "1A"):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="is no region"):
                c.execute("SELECT hirundo.set_region_name(%s, 'x')", (wrong,))
    have = names(installation)
    assert (have["TW"], have["XX"], have["JP"], have["HK"]) == ("T", "Test", "Japan", "Hong Kong")
    with installation.connect("hirundo_analyst") as c, pytest.raises(psycopg.errors.InsufficientPrivilege):
        c.execute("SELECT hirundo.set_region_name('TW', 'x')")


# IANA's registry and what is commonly scanned for, as people who look at scans every day know them.
SERVICES = {
    "22/TCP": ("ssh", "SSH"), "22/UDP": ("ssh", None), "23/TCP": ("telnet", "Telnet"), "53/UDP": ("domain", "DNS"),
    "80/TCP": ("http", "HTTP"), "81/TCP": (None, "HTTP of cameras"), "123/UDP": ("ntp", "NTP"), "161/UDP": ("snmp", "SNMP"),
    "389/UDP": ("ldap", "connectionless LDAP"), "445/TCP": ("microsoft-ds", "Windows file sharing"),
    "1433/TCP": ("ms-sql-s", "Microsoft SQL Server"), "1900/UDP": ("ssdp", "SSDP"), "2323/TCP": ("3d-nfsd", "Telnet"),
    "2375/TCP": ("docker", "Docker"), "2375/UDP": None, "3389/TCP": ("ms-wbt-server", "Windows Remote Desktop"),
    "4719/TCP": (None, "no product known"), "5060/UDP": ("sip", "SIP"), "5358/TCP": ("wsdapi-s", "Telnet"),
    "5555/TCP": ("personal-agent", "Android Debug Bridge"), "5900/TCP": ("rfb", "VNC"), "6379/TCP": ("redis", "Redis"),
    "7547/TCP": ("cwmp", "router management"), "8080/TCP": ("http-alt", "HTTP on another port"),
    "8443/TCP": ("pcsync-https", "HTTPS on another port"), "8545/TCP": (None, "Ethereum JSON-RPC"),
    "8728/TCP": (None, "MikroTik API"), "11211/UDP": ("memcache", "memcached"), "37215/TCP": (None, "Huawei HG532"),
    "52869/TCP": (None, "Realtek SDK"), "60023/TCP": (None, "Telnet"), "49151/TCP": None, "65535/TCP": None, "1/TCP": ("tcpmux", None),
}


def test_services(installation):
    have = {row[0]: row[1:] for row in installation.query("SELECT * FROM hirundo.service_name")}
    for service, want in SERVICES.items():
        if want is None:
            assert service not in have
            continue
        name, common = have[service]
        assert name == want[0] and (common or "").startswith(want[1] or "") and bool(common) == bool(want[1]), service
    assert sum(name is not None for name, _ in have.values()) > 11000
    assert installation.query("SELECT service FROM hirundo.service_name WHERE hirundo.service_key(service) IS NULL") == []
    assert installation.query("SELECT service FROM hirundo.service_name WHERE name !~ '^[a-zA-Z0-9][-a-zA-Z0-9_+./*&]*$'"
                              " OR common_name !~ '^[A-Za-z]'") == []
