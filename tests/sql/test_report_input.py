"""What the reports refuse, and that they say why."""
import datetime

import psycopg
import pytest

from harness.reports import DAYS, FUNCTIONS, OF_TTLS, PEOPLE, RANKINGS, call, period


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("text,message", [
    ("{", "not|json|JSON"), ("[]", "filter is"), ("null", "filter is"), ('"x"', "filter is"), ("1", "filter is"),
    ('{"x": 1}', "x"), ('{"SENSORS": 1}', "SENSORS"), ('{"": 1}', "is no key"),
    ('{"sensors": "1"}', "sensors"), ('{"sensors": [1, "2"]}', "sensors"), ('{"sensors": 99}', "sensors"),
    ('{"sensors": 1.5}', "sensors"), ('{"sensors": []}', "sensors"), ('{"sensors": null}', "sensors"),
    ('{"sensors": 99999999999}', "sensors"), ('{"sensors": {"a": 1}}', "sensors"), ('{"sensors": [[1]]}', "sensors"),
    ('{"grp": "home"}', "grp"), ('{"grp": ["domestic"]}', "grp"), ('{"grp": null}', "grp"),
    ('{"home": "jp"}', "home"), ('{"home": 1}', "home"), ('{"home": "JPN"}', "home"),
    ('{"sensor_region": "XX"}', "sensor_region.*XX"), ('{"sensor_region": "jp"}', "sensor_region"),
    ('{"src_region": "jp"}', "src_region"), ('{"src_region": 1}', "src_region"), ('{"src_region": ["JP", ""]}', "src_region"),
    ('{"asn": "AS1"}', "asn"), ('{"asn": 0}', "asn"), ('{"asn": 4294967296}', "asn"), ('{"asn": -1}', "asn"),
    ('{"asn": 1.5}', "asn"), ('{"asn": true}', "asn"),
    ('{"networks": "192.0.2.1/24"}', "networks"), ('{"networks": "x"}', "networks"), ('{"networks": 1}', "networks"),
    ('{"networks": "1.2.3.4/33"}', "networks"),
    ('{"sources": "192.0.2.0/24"}', "sources"), ('{"sources": "999.1.1.1"}', "sources"), ('{"sources": []}', "sources"),
    ('{"services": "23"}', "services"), ('{"services": "23/tcp"}', "services"), ('{"services": "65536/TCP"}', "services"),
    ('{"services": "023/TCP"}', "services"), ('{"services": 23}', "services"), ('{"services": "icmp"}', "services"),
    ('{"services": "99999999999/UDP"}', "services"), ('{"services": ""}', "services"),
    ('{"ports_only": "yes"}', "ports_only"), ('{"ports_only": 1}', "ports_only"), ('{"ports_only": null}', "ports_only"),
    ('{"traits": "Mirai"}', "traits"), ('{"traits": 7}', "traits"), ('{"traits": []}', "traits"),
    ('{"role": "scan"}', "role"), ('{"role": ["probe"]}', "role"),
    ('{"exclude": "genuine"}', "exclude"), ('{"exclude": []}', "exclude"), ('{"exclude": "scanner"}', "exclude"),
    ('{"exclude": ["response"], "role": "response"}', "exclude|role"),
    ('{"organization": "x"}', "organization"), ('{"network_group": "x"}', "network_group"),
])
def test_bad_filters(filled, name, text, message):
    for role in PEOPLE:
        with pytest.raises((psycopg.errors.InvalidParameterValue, psycopg.errors.InvalidTextRepresentation),
                           match=message):
            filled(f"SELECT * FROM report.{name}(%s, %s)", (period(DAYS), text), role)


@pytest.mark.parametrize("name", OF_TTLS)
def test_responses_to_ports_of_ttls(filled, name):
    """ttl_day does not know the ports of responses; source_day does."""
    for role in PEOPLE:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="services.* 23/TCP|role"):
            call(filled, name, DAYS, {"services": ["ICMP", "23/TCP"], "role": "response"}, role=role)


@pytest.mark.parametrize("name", [*FUNCTIONS, "response_sources_called_spoofed", "source"])
@pytest.mark.parametrize("text", [None, "empty", "[2026-01-30,2026-01-30)", "[2026-01-30,)", "(,2026-01-30)", "(,)",
                                  "[2026-01-31,2026-01-30)", "[2026-01-30,infinity)", "[-infinity,2026-01-30)",
                                  "[2026-01-30,2999-01-01)", "[0001-01-01,2026-01-30)", "x"])
def test_bad_periods(filled, name, text):
    for role in PEOPLE:
        with pytest.raises(psycopg.errors.DataError):
            filled(f"SELECT * FROM report.{name}(%s{', %s' if name == 'source' else ''})",
                   (text, "192.0.2.1") if name == "source" else (text,), role)


def test_period_of_today(filled):
    """Today may be asked, tomorrow may not: in the reporting zone."""
    today = filled("SELECT (now() AT TIME ZONE 'UTC')::date")[0][0]
    day = datetime.timedelta(days=1)
    call(filled, "ttl_by_region", [today])
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="ends after today"):
        call(filled, "ttl_by_region", [today, today + day])
    # Both ways to write a period are one.
    columns = "sensor_region, initial_ttl, sources, packets"
    assert filled(f"SELECT {columns} FROM report.ttl_by_region(daterange('2026-01-30', '2026-01-31', '[]'))") == \
        call(filled, "ttl_by_region", DAYS[:2], columns=columns)


@pytest.mark.parametrize("n", [0, -1])
@pytest.mark.parametrize("name", ["spoof_verdict", "notification", "payload_samples", *RANKINGS, "mirai_hosts",
                                  "source_region_trend"])
def test_bad_n(filled, name, n):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="n is"):
        call(filled, name, DAYS, {}, n)


@pytest.mark.parametrize("rank_by", ["", "Packets", "bytes", None])
@pytest.mark.parametrize("name", ["top_services", "top_source_regions"])
def test_bad_rank_by(filled, name, rank_by):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="rank_by is"):
        call(filled, name, DAYS, {}, 10, rank_by)


@pytest.mark.parametrize("min_hosts", [0, -1, None])
def test_bad_min_hosts(filled, min_hosts):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="min_hosts is"):
        call(filled, "activity_calendar", DAYS, {}, min_hosts)


@pytest.mark.parametrize("name,step", [("verdict_share", "hour"), ("verdict_share", "15min"), ("verdict_share", None),
                                       ("service_trend", "minute"), ("service_trend", None), ("ack_packets", "quarter"),
                                       ("packets_per_sensor_day", "Day"), ("packets_per_sensor_day", None),
                                       ("verdict_share", "Day"), ("coverage", "minute"), ("coverage", None),
                                       ("coverage", "")])
def test_bad_step(filled, name, step):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="step is"):
        call(filled, name, DAYS, {}, step)


def test_verdict_share_without_spoofed_means_nothing(filled):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="exclude"):
        call(filled, "verdict_share", DAYS, {"exclude": ["spoofed"]})
