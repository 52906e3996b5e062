"""The collector's janitor: days made ahead, indexes of closed days, retention."""


def days(installation, where: str) -> int:
    return installation.query(f"SELECT count(*) FROM hirundo.partition_day WHERE {where}")[0][0]


def test_days_come_are_closed_and_go(installation):
    installation.query("SELECT hirundo.ensure_day(d, NULL) FROM unnest(ARRAY[current_date - 5, current_date - 400]) AS d")
    collector = installation.collector()
    today = "(now() AT TIME ZONE 'UTC')::date"
    # Yesterday, today, ten ahead, and the one of five days ago.
    installation.wait_query(f"SELECT count(*) FROM hirundo.partition_day WHERE day BETWEEN {today} - 1 AND {today} + 10", 12)
    # Older than retention and without rows: dropped. Ended: indexed. Open days have BRIN alone.
    installation.wait_query("SELECT count(*) FROM hirundo.partition_day WHERE day < current_date - 200", 0)
    installation.wait_query("SELECT count(*) FROM hirundo.partition_day WHERE closed_at IS NOT NULL"
                            " AND day = current_date - 5", 1)
    assert days(installation, f"closed_at IS NOT NULL AND day >= {today}") == 0
    indexes = dict(installation.query(
        "SELECT c.relname, array_agg(DISTINCT a.amname::text ORDER BY a.amname::text) FROM pg_inherits"
        " JOIN pg_class c ON c.oid = inhrelid JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid"
        " JOIN pg_am a ON a.oid = i.relam WHERE inhparent = 'hirundo.observation'::regclass GROUP BY 1"))
    closed, = installation.query("SELECT 'observation_' || to_char(current_date - 5, 'YYYYMMDD'),"
                                 f" 'observation_' || to_char({today}, 'YYYYMMDD')")
    assert indexes[closed[0]] == ["brin", "btree"] and indexes[closed[1]] == ["brin"]
    metrics = collector.metrics()
    assert metrics["hirundo_partition_days_ahead"] == 10


def test_too_few_days_are_an_alarm(installation):
    """The function that makes days fails: the collector says so and is not healthy."""
    installation.query("DROP FUNCTION hirundo.ensure_day; CREATE FUNCTION hirundo.ensure_day(p_day date, p_sensor_id int)"
                       " RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space'; END $$;"
                       " GRANT EXECUTE ON FUNCTION hirundo.ensure_day TO hirundo_ingest")
    collector = installation.collector()
    collector.wait_log("alert=partitions today=0 ahead=0")
    assert collector.metrics()["hirundo_partition_days_ahead"] == 0
