-- What the books need not keep for ever, and verify still balances.

INSERT INTO hirundo.setting VALUES ('status_retention_days', '400') ON CONFLICT DO NOTHING;
COMMENT ON TABLE hirundo.setting IS 'Settings of this installation. compatible_from: oldest schema version that a program must know to use this database; raw_retention_days: days that observations, rows in quarantine and refused frames are kept; reporting_zone: time zone of reporting days; home_region: region that counts as domestic, ISO 3166-1 alpha-2; connection_retention_days: days that rows of sensor_connection are kept; status_retention_days: days that rows of sensor_status are kept; rollup_retention_days: days that ttl_day and source_day are kept, for ever without it.';

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
