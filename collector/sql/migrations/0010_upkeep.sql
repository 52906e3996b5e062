-- Upkeep: what the books need not keep for ever (and verify still balances), and a change of the reporting zone.

INSERT INTO hirundo.setting VALUES ('status_retention_days', '400') ON CONFLICT DO NOTHING;
COMMENT ON TABLE hirundo.setting IS
    'Settings of this installation; the owner changes them (UPDATE), and programs need no restart. In brackets: the value '
    'after db init. compatible_from: oldest schema version that a program must know to use this database, set by migrations (1). reporting_zone: time zone of reporting days, chosen at db '
    'init (UTC), changed by db zone only. rollup_zone: zone of the days of the rollups, set by the first of them (not set before). home_region: region that counts as domestic, ISO 3166-1 alpha-2 (JP). raw_retention_days: days that '
    'observations, rows in quarantine and refused frames are kept (200). connection_retention_days: days that rows of '
    'sensor_connection are kept (90). status_retention_days: days that rows of sensor_status are kept (400). '
    'rollup_retention_days: days that rollups and verdicts are kept, in whole months (not set: for ever). spoofed_prevalence: share of '
    'sources taken to be spoofed before their TTLs are looked at; above or below 0.5 it makes thresholds stricter, never '
    'laxer (0.5). Thresholds of the score, log10 of the odds genuine to spoofed: spoofed_score: spoofed at or below (-1); '
    'spoofed_score_alone: where no sender, campaign or random TTL speaks against the source (-2); '
    'spoofed_score_one_region: such a one that one region saw (-2); genuine_score: genuine at or above (0.5); '
    'genuine_score_one_region: what one region saw (1). verdict_full_seconds: a day whose last whole pass took longer is '
    'judged in parts (10). verdict_rest_times: so many times as long as it worked the verdict job rests (9). verdict_portion_sources: of a part, so many sources are '
    'looked up at a time, in up to 512 MB for each of two processes (400000). hop_history_days: earlier days that vote on how far networks are away (3). '
    'hop_model_retention_days: days that these votes are kept (35).';

CREATE INDEX observation_quarantine_received_at ON hirundo.observation_quarantine USING brin (received_at);
CREATE INDEX ingest_reject_received_at ON hirundo.ingest_reject (received_at) WHERE kept;
CREATE INDEX sensor_status_received_at ON hirundo.sensor_status USING brin (received_at);
COMMENT ON COLUMN hirundo.ingest_batch.not_kept IS 'of quarantined: packets whose rows are not kept, because the sensor''s quarantine was full or retention dropped them';
COMMENT ON COLUMN hirundo.ingest_reject.frame IS 'owner only: the record itself, byte for byte; NULL above the bound of the collector''s option reject_bytes, and once older than raw_retention_days';

CREATE FUNCTION hirundo.purge_books() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    purged bigint;
    n bigint;
BEGIN
    -- Counts stay with the records: what is in quarantine no more is quarantined and not kept.
    WITH gone AS (
        DELETE FROM hirundo.observation_quarantine WHERE received_at < now() - hirundo.raw_retention()
        RETURNING sensor_id, epoch, seq, packets
    ), noted AS (
        UPDATE hirundo.ingest_batch b SET not_kept = b.not_kept + g.packets
        FROM (SELECT sensor_id, epoch, seq, sum(packets) AS packets FROM gone GROUP BY sensor_id, epoch, seq) g
        WHERE b.sensor_id = g.sensor_id AND b.epoch = g.epoch AND b.seq = g.seq
    )
    SELECT count(*) INTO purged FROM gone;
    UPDATE hirundo.ingest_reject SET frame = NULL WHERE kept AND received_at < now() - hirundo.raw_retention();
    GET DIAGNOSTICS n = ROW_COUNT;
    purged := purged + n;
    DELETE FROM hirundo.sensor_status WHERE received_at < now() - (
        SELECT make_interval(days => value::int) FROM hirundo.setting WHERE name = 'status_retention_days');
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN purged + n;
END
$$;
COMMENT ON FUNCTION hirundo.purge_books IS
    'Forgets what is old: rows in quarantine (their packets stay counted in ingest_batch.not_kept) and frames of '
    'rejects after raw_retention_days, STATUS books after status_retention_days. Returns how many rows.';
REVOKE ALL ON FUNCTION hirundo.purge_books FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.purge_books TO hirundo_ingest;

CREATE FUNCTION hirundo.change_zone(zone text, force boolean, OUT days int, OUT lost_rows bigint, OUT lost_from date,
    OUT lost_to date)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_timezone_names n WHERE n.name = zone) THEN
        RAISE EXCEPTION 'no time zone is called %', quote_nullable(zone) USING ERRCODE = '22023';
    END IF;
    -- In the order of a step of the rollup. One that began before ends with 40001: its marks are gone.
    LOCK TABLE hirundo.dirty_mark IN ACCESS EXCLUSIVE MODE;
    SELECT sum(f.rows), min(f.day), max(f.day) INTO lost_rows, lost_from, lost_to
        FROM hirundo.ingest_day_frozen f
        WHERE f.rows > 0 AND EXISTS (
            SELECT FROM hirundo.service_day s
            WHERE s.sensor_id = f.sensor_id AND s.day BETWEEN f.day - 1 AND f.day + 1);
    IF lost_rows > 0 AND NOT force THEN
        RAISE EXCEPTION 'raw rows from % to % were dropped: their rollups can not be made anew, force deletes them',
            lost_from, lost_to USING ERRCODE = '23001';
    END IF;
    TRUNCATE hirundo.ttl_day, hirundo.source_day, hirundo.service_day, hirundo.role_day, hirundo.coverage_day,
        hirundo.coverage_step, hirundo.rollup_gap, hirundo.hop_model, hirundo.hop_sensor, hirundo.hop_region, hirundo.hop_holder, hirundo.hop_holder_offset, hirundo.campaign,
        hirundo.campaign_cell, hirundo.verdict, hirundo.verdict_history, hirundo.verdict_due, hirundo.verdict_touched;
    PERFORM hirundo.mark_answers('[1970-01-01,2201-01-01)');
    INSERT INTO hirundo.rollup_gap (sensor_id, day, rows, noted_at)
        SELECT f.sensor_id, d.day, sum(f.rows), now()
        FROM hirundo.ingest_day_frozen f CROSS JOIN LATERAL hirundo.zone_days(f.day, zone) AS d (day)
        WHERE f.rows > 0 GROUP BY f.sensor_id, d.day;
    DELETE FROM hirundo.dirty_mark m WHERE m.rows > 0;
    -- A mark a reporting day, of another transaction than its rows: so the rollup counts the day anew.
    INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, rows, first_at, last_at)
        SELECT o.sensor_id, date_bin('15 minutes', o.start, '1970-01-01 00:00:00+00'), o.epoch, o.seq,
            least(o.rows, 2147483647), o.start, (o.day + 1)::timestamp AT TIME ZONE zone - interval '1 microsecond'
        FROM (
            SELECT DISTINCT ON (b.sensor_id, d.day) b.sensor_id, d.day, d.day::timestamp AT TIME ZONE zone AS start,
                b.epoch, b.seq, sum(b.rows) OVER (PARTITION BY b.sensor_id, d.day) AS rows
            FROM hirundo.ingest_batch_day b JOIN hirundo.ingest_batch i USING (sensor_id, epoch, seq)
            CROSS JOIN LATERAL hirundo.zone_days(b.day, zone) AS d (day)
            WHERE b.rows > 0
                AND NOT EXISTS (SELECT FROM hirundo.ingest_day_frozen f WHERE f.sensor_id = b.sensor_id AND f.day = b.day)
            ORDER BY b.sensor_id, d.day, i.received_at) o;
    GET DIAGNOSTICS days = ROW_COUNT;
    UPDATE hirundo.setting SET value = zone WHERE name IN ('reporting_zone', 'rollup_zone');
    PERFORM hirundo.rollup_coverage_day(ARRAY(SELECT s.sensor_id FROM hirundo.sensor s), '-infinity', 'infinity');
END
$$;
COMMENT ON FUNCTION hirundo.change_zone IS
    'Changes the zone of reporting days. Rollups and verdicts are deleted, and made anew from raw rows by the collector; '
    'days: sensors'' days that it has to do. What is older than the raw rows is lost: error unless force; lost_rows: rows '
    'that the lost rollups counted, from and to which UTC day (NULL: none). Reports of such days are errors '
    '(rollup_gap). What was published stays.';

CREATE FUNCTION hirundo.zone_days(day date, zone text) RETURNS SETOF date
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT (t.at AT TIME ZONE zone)::date
    FROM (VALUES (day::timestamp AT TIME ZONE 'UTC'),
        ((day + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 microsecond')) AS t (at);
END;
COMMENT ON FUNCTION hirundo.zone_days IS 'The one or two days of a zone that share time with a UTC day.';
REVOKE ALL ON FUNCTION hirundo.change_zone, hirundo.zone_days FROM PUBLIC;
