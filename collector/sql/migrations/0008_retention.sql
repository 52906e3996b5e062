-- What the books need not keep for ever, and verify still balances.

INSERT INTO hirundo.setting VALUES ('status_retention_days', '400') ON CONFLICT DO NOTHING;
COMMENT ON TABLE hirundo.setting IS
    'Settings of this installation; the owner changes them (UPDATE), and programs need no restart. In brackets: the value '
    'after db init. compatible_from: oldest schema version that a program must know to use this database, set by migrations (1). reporting_zone: time zone of reporting days, chosen at db '
    'init (UTC). home_region: region that counts as domestic, ISO 3166-1 alpha-2 (JP). raw_retention_days: days that '
    'observations, rows in quarantine and refused frames are kept (200). connection_retention_days: days that rows of '
    'sensor_connection are kept (90). status_retention_days: days that rows of sensor_status are kept (400). '
    'rollup_retention_days: days that rollups and verdicts are kept, in whole months (not set: for ever). spoofed_prevalence: share of '
    'sources taken to be spoofed before their TTLs are looked at; above or below 0.5 it makes thresholds stricter, never '
    'laxer (0.5). Thresholds of the score, log10 of the odds genuine to spoofed: spoofed_score: spoofed at or below (-1); '
    'spoofed_score_alone: where no sender, campaign or random TTL speaks against the source (-2); '
    'spoofed_score_one_region: such a one that one region saw (-2); genuine_score: genuine at or above (0.5); '
    'genuine_score_one_region: what one region saw (1). verdict_full_seconds: a day whose last whole pass took longer is '
    'judged in parts (10). verdict_rest_times: so many times as long as it worked the verdict job rests (9). hop_history_days: earlier days that vote on how far networks are away (3). '
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
