"""What the catalog says of the schema: everything is described, and a Citus cluster could hold it."""
import re

import pytest

from harness.paths import ROOT

# Not of one sensor: small, the same on all machines of a cluster.
REFERENCE = {"setting", "trait", "sensor", "partition_day", "schema_migration", "enrichment_dataset", "enrichment_range",
             "address_range", "rollup_dropped", "verdict_due", "hop_model", "campaign", "verdict", "verdict_history",
             "verdict_touched", "hop_holder_offset", "publication", "publication_result", "report_example", "export_log",
             "organization", "organization_range", "scanner", "network_group", "region_name", "service_name",
             "answer_mark", "stored_answer", "standard_call", "viewer",
             "month_closed"}

# Of all sensors together, a row a day or more: keys begin with the day.
BY_DAY = {"hop_sensor", "hop_region", "hop_holder", "campaign_cell"}

# Tables but for the days' partitions.
TABLES = """
    SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('hirundo', 'report') AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition"""


@pytest.fixture(scope="module")
def ask(server, template):
    """Reads the template: nothing here changes it. Some days are there, so that partitions are, too."""
    server.create("hirundo_catalog", template)
    server.query("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label)"
                 " VALUES (1, 'a', 'urn:hirundo:sensor:a', 'JP', 'JP-1')", dbname="hirundo_catalog")
    # A session's own zone and way to write dates must not matter.
    server.query("SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY';"
                 " SELECT hirundo.ensure_day(DATE '2026-01-01' + i, 1) FROM generate_series(0, 2) i",
                 dbname="hirundo_catalog")
    yield lambda sql, parameters=None: server.query(sql, parameters, "hirundo_catalog")
    server.drop("hirundo_catalog")


def test_everything_is_described(ask):
    missing = ask(f"""
        WITH t AS ({TABLES})
        SELECT 'schema ' || nspname FROM pg_namespace
            WHERE nspname IN ('hirundo', 'report') AND obj_description(oid, 'pg_namespace') IS NULL
        UNION ALL SELECT 'table ' || name FROM t WHERE obj_description(oid, 'pg_class') IS NULL
        UNION ALL SELECT 'column ' || name || '.' || attname FROM t JOIN pg_attribute ON attrelid = oid
            WHERE attnum > 0 AND NOT attisdropped AND col_description(oid, attnum) IS NULL
        UNION ALL SELECT 'view ' || c.relname FROM pg_class c WHERE relkind IN ('v', 'm')
            AND relnamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)
            AND obj_description(oid, 'pg_class') IS NULL
        UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc
            WHERE pronamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)
            AND obj_description(oid, 'pg_proc') IS NULL
        UNION ALL SELECT 'type ' || t.typname FROM pg_type t
            WHERE typnamespace IN ('hirundo'::regnamespace, 'report'::regnamespace) AND typtype IN ('d', 'e')
            AND obj_description(oid, 'pg_type') IS NULL""")
    assert missing == []
    assert ask(f"SELECT count(*) FROM ({TABLES}) t")[0][0] >= 18  # the query above sees them


def traits() -> list[tuple[int, str, str, str]]:
    """bit, constant, name, description, as proto/traits.h lists them."""
    header = (ROOT / "proto" / "traits.h").read_text().replace("\\\n", "\n")
    return [(int(bit), constant, name, text) for bit, constant, name, text in
            re.findall(r'\bX\(\s*(\d+),\s*(\w+),\s*"(\w+)",\s*"([^"]*)"\)', header)]


def test_traits_are_those_of_the_sensor(ask):
    want = [(bit, name, text) for bit, _, name, text in traits()]
    assert len(want) > 10
    assert ask("SELECT bit, name, description FROM hirundo.trait ORDER BY bit") == want


def test_role_is_that_of_the_sensor(ask):
    """hirundo.role() for each bit, against TRAITS_RESPONSE."""
    header = (ROOT / "proto" / "traits.h").read_text()
    names = {constant: bit for bit, constant, _, _ in traits()}
    definition = re.search(r"#define TRAITS_RESPONSE((?:.*\\\n)+.*)", header)[1]
    response = {names[name] for name in re.findall(r"TRAIT_(\w+)", definition)}
    assert len(response) == 5
    rows = ask("SELECT bit, hirundo.role(1 << bit), hirundo.role(1 << bit | 1) FROM hirundo.trait")
    assert {bit for bit, role, _ in rows if role == "response"} == response
    assert {bit for bit, _, role in rows if role == "response"} == response
    assert ask("SELECT hirundo.role(0)") == [("probe",)]


# The rules of a Citus cluster that shards by sensor.

def test_reference_tables_are_known(ask):
    """A table is either in the list above or has a sensor."""
    rows = ask(f"SELECT relname, EXISTS (SELECT FROM pg_attribute WHERE attrelid = oid AND attname = 'sensor_id')"
               f" FROM ({TABLES}) t")
    assert {name for name, per_sensor in rows if not per_sensor} == REFERENCE - {"sensor"}


def test_sensor_id_is_an_integer_and_never_null(ask):
    rows = ask(f"SELECT name, atttypid::regtype::text, attnotnull FROM ({TABLES}) t"
               f" JOIN pg_attribute ON attrelid = oid AND attname = 'sensor_id'")
    assert len(rows) >= 14
    assert [row for row in rows if row[1:] != ("integer", True)] == []


def test_keys_lead_with_sensor_id(ask):
    rows = ask(f"""
        SELECT t.name, i.indexrelid::regclass::text, i.indisprimary,
            (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
                JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
        FROM ({TABLES}) t JOIN pg_index i ON i.indrelid = t.oid
        WHERE i.indisunique AND t.relname <> ALL (%s)""", (list(REFERENCE | BY_DAY),))
    assert len(rows) >= 10
    for table, index, primary, columns in rows:
        assert "sensor_id" in columns, index
        assert not primary or columns[0] == "sensor_id", f"{table}: {columns}"


def test_every_table_has_a_key(ask):
    """But for the two that COPY fills with what has none. NULL is a value where the key allows it."""
    rows = ask(f"SELECT relname FROM ({TABLES}) t WHERE NOT EXISTS ("
               f"SELECT FROM pg_index WHERE indrelid = oid AND (indisprimary OR indnullsnotdistinct))")
    assert {name for (name,) in rows} == {"observation", "payload_sample"}


def test_foreign_keys_lead_to_reference_tables(ask):
    rows = ask("SELECT conrelid::regclass::text, c.relname FROM pg_constraint JOIN pg_class c ON c.oid = confrelid"
               " WHERE contype = 'f' AND connamespace = 'hirundo'::regnamespace")
    assert rows
    assert [row for row in rows if row[1] not in REFERENCE] == []


def test_no_triggers(ask):
    assert ask("SELECT tgrelid::regclass::text, tgname FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
               " WHERE NOT tgisinternal AND relnamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)") == []


def test_no_sequences(ask):
    assert ask("SELECT relname FROM pg_class WHERE relkind = 'S'"
               " AND relnamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)") == []
    assert ask("SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
               " WHERE attidentity <> '' AND relnamespace = 'hirundo'::regnamespace") == []


def test_no_rules_and_no_inheritance_but_partitions(ask):
    assert ask("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
               " WHERE relnamespace = 'hirundo'::regnamespace AND NOT relispartition") == []


def test_no_default_partition(ask):
    assert ask("SELECT partrelid::regclass::text FROM pg_partitioned_table WHERE partdefid <> 0") == []
    assert ask("SELECT count(*) FROM pg_partitioned_table")[0][0] == 7


def test_partitions_are_utc_days(ask):
    rows = ask("SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition AND relkind = 'r'"
               " AND relnamespace = 'hirundo'::regnamespace ORDER BY relname")
    assert [name for name, _ in rows] == [f"{table}_2026010{day}" for table in ("observation", "payload_sample")
                                          for day in (1, 2, 3)]
    for name, bound in rows:
        day = int(name[-1])
        assert re.fullmatch(rf"FOR VALUES FROM \('2026-01-0{day} 00:00:00\+00'\)"
                            rf" TO \('2026-01-0{day + 1} 00:00:00\+00'\)", bound), bound


def test_open_day_has_brin_only(ask):
    rows = ask("SELECT DISTINCT am.amname FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am am"
               " ON am.oid = c.relam JOIN pg_class t ON t.oid = indrelid WHERE t.relname LIKE 'observation\\_20%'")
    assert rows == [("brin",)]


def test_columns_of_observation(ask):
    """Stable names and types: others build on them. In the order of their width on disk."""
    want = {
        "observed_at": "timestamptz", "sensor_id": "int4", "target": "int4", "src": "inet", "src_port": "int4",
        "dst_port": "int4", "protocol": "int2", "icmp_type": "int2", "icmp_code": "int2", "ttl": "int2",
        "ip_length": "int4", "ip_id": "int4", "ip_flags": "int2", "tcp_flags": "int2", "tcp_seq": "int8",
        "tcp_ack": "int8", "tcp_window": "int4", "tcp_header_length": "int2", "tcp_mss": "int4",
        "payload_length": "int4", "packets": "int4", "last_at": "timestamptz", "traits": "int4",
        "src_region": "bpchar", "src_asn": "int8",
    }
    rows = ask("SELECT attname::text, typname::text, attlen FROM pg_attribute JOIN pg_type t ON t.oid = atttypid"
               " WHERE attrelid = 'hirundo.observation'::regclass AND attnum > 0 ORDER BY attnum")
    assert {name: kind for name, kind, _ in rows} == want
    fixed = [length for _, _, length in rows if length > 0]
    assert fixed == sorted(fixed, reverse=True) and [length for _, _, length in rows[:len(fixed)]] == fixed


def test_functions_that_lend_rights_are_closed(ask):
    """SECURITY DEFINER with a fixed search_path, and nothing for PUBLIC."""
    rows = ask("SELECT oid::regprocedure::text, proconfig FROM pg_proc"
               " WHERE prosecdef AND pronamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)")
    assert len(rows) >= 8
    assert [row for row in rows if "search_path=pg_catalog, pg_temp" not in (row[1] or [])] == []
    # An empty grantee is PUBLIC; no list at all is the default, which includes it.
    assert ask("SELECT oid::regprocedure::text FROM pg_proc"
               " WHERE pronamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)"
               " AND (proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0))") == []


def test_owner_owns_all(ask):
    owners = ask("""
        SELECT DISTINCT pg_get_userbyid(owner) FROM (
            SELECT relowner FROM pg_class WHERE relnamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)
            UNION ALL SELECT proowner FROM pg_proc
                WHERE pronamespace IN ('hirundo'::regnamespace, 'report'::regnamespace)
            UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname IN ('hirundo', 'report')) o (owner)""")
    assert owners == [("hirundo_owner",)]
