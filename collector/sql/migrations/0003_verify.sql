-- Do the books balance? Whoever may read the books may ask. In one snapshot (REPEATABLE READ) the
-- answer holds while records come in.

CREATE FUNCTION hirundo.verify_streams() RETURNS TABLE (
    sensor_id int, sensor text, epoch bigint, records bigint, sealed bigint, stored bigint, quarantined bigint,
    rejected bigint, lost bigint, open bigint, difference text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH chain AS (
        SELECT b.*, lag(b.seq, 1, 0::bigint) OVER w AS seq_before,
            b.packets_total - lag(b.packets_total, 1, 0::bigint) OVER w AS added
        FROM hirundo.ingest_batch b
        WINDOW w AS (PARTITION BY b.sensor_id, b.epoch ORDER BY b.seq)
    ), books AS (
        SELECT c.sensor_id, c.epoch, count(*) AS records, sum(c.stored)::bigint AS stored,
            sum(c.quarantined)::bigint AS quarantined, sum(c.rejected)::bigint AS rejected,
            sum(c.lost)::bigint AS lost,
            min(c.seq) FILTER (WHERE c.first_seq <> c.seq_before + 1 OR c.first_seq > c.seq) AS hole,
            min(c.seq) FILTER (WHERE c.added <> c.stored + c.quarantined + c.rejected + c.lost
                OR c.added <> c.packets) AS miscounted
        FROM chain c
        GROUP BY c.sensor_id, c.epoch
    ), apart AS (
        -- What is not in observation is in a table of its own, record by record.
        SELECT b.sensor_id, b.epoch, b.seq, v.place, v.packets AS booked, 0::numeric AS found
        FROM hirundo.ingest_batch b
        CROSS JOIN LATERAL (VALUES ('observation_quarantine', b.quarantined - b.not_kept), ('ingest_reject', b.rejected),
            ('ingest_loss', b.lost)) AS v (place, packets)
        WHERE v.packets <> 0
        UNION ALL
        SELECT q.sensor_id, q.epoch, q.seq, 'observation_quarantine', 0, sum(q.packets)
        FROM hirundo.observation_quarantine q
        GROUP BY q.sensor_id, q.epoch, q.seq
        UNION ALL
        SELECT r.sensor_id, r.epoch, r.seq, 'ingest_reject', 0, r.packets FROM hirundo.ingest_reject r
        UNION ALL
        SELECT l.sensor_id, l.epoch, l.seq, 'ingest_loss', 0, l.packets FROM hirundo.ingest_loss l
    ), misplaced AS (
        SELECT m.sensor_id, m.epoch,
            (array_agg(format('record %s: %s packets booked, %s in %s', m.seq, m.booked, m.found, m.place)
                ORDER BY m.seq))[1] AS text
        FROM (
            SELECT a.sensor_id, a.epoch, a.seq, a.place, sum(a.booked) AS booked, sum(a.found) AS found
            FROM apart a
            GROUP BY a.sensor_id, a.epoch, a.seq, a.place
            HAVING sum(a.booked) <> sum(a.found)
        ) m
        GROUP BY m.sensor_id, m.epoch
    ), told AS (
        -- The sensor's own books: in themselves, and from one STATUS of a run to the next against the
        -- records in between.
        SELECT s.sensor_id, s.epoch, s.seq,
            s.captured = s.ignored + s.sealed
                AND s.ignored = (SELECT coalesce(sum(i.value::bigint), 0) FROM jsonb_each_text(s.ignored_by) i)
                AS balanced,
            s.sealed - lag(s.sealed) OVER w AS sealed,
            b.packets_total - lag(b.packets_total) OVER w AS added
        FROM hirundo.sensor_status s
        LEFT JOIN hirundo.ingest_batch b USING (sensor_id, epoch, seq)
        WINDOW w AS (PARTITION BY s.sensor_id, s.epoch, s.run ORDER BY s.seq)
    ), status AS (
        SELECT t.sensor_id, t.epoch, min(t.seq) FILTER (WHERE NOT t.balanced) AS unbalanced,
            min(t.seq) FILTER (WHERE t.sealed <> t.added) AS unsealed
        FROM told t
        GROUP BY t.sensor_id, t.epoch
    ), streams AS (
        SELECT x.sensor_id, x.epoch FROM hirundo.ingest_state x
        UNION SELECT x.sensor_id, x.epoch FROM books x
        UNION SELECT x.sensor_id, x.epoch FROM misplaced x
        UNION SELECT x.sensor_id, x.epoch FROM status x
    )
    SELECT k.sensor_id, n.name, k.epoch, coalesce(b.records, 0),
        greatest(s.offered_packets, s.packets_total), s.stored, s.quarantined, s.rejected, s.lost,
        greatest(s.offered_packets, s.packets_total) - s.packets_total,
        nullif(concat_ws('; ',
            CASE WHEN s.sensor_id IS NULL THEN 'ingest_state has no such stream' END,
            CASE WHEN s.packets_total <> s.stored + s.quarantined + s.rejected + s.lost THEN
                format('committed %s packets, accounted for %s', s.packets_total,
                    s.stored + s.quarantined + s.rejected + s.lost) END,
            CASE WHEN s.last_seq <> 0 AND tip.seq IS NULL THEN
                format('the last record, %s, is not in ingest_batch', s.last_seq) END,
            CASE WHEN tip.packets_total <> s.packets_total OR tip.checksum <> s.last_checksum THEN
                format('record %s is not the one that ingest_state names', tip.seq) END,
            CASE WHEN s.stored <> coalesce(b.stored, 0) THEN
                format('stored: %s in the state, %s in the records', s.stored, coalesce(b.stored, 0)) END,
            CASE WHEN s.quarantined <> coalesce(b.quarantined, 0) THEN
                format('quarantined: %s in the state, %s in the records', s.quarantined, coalesce(b.quarantined, 0))
                END,
            CASE WHEN s.rejected <> coalesce(b.rejected, 0) THEN
                format('rejected: %s in the state, %s in the records', s.rejected, coalesce(b.rejected, 0)) END,
            CASE WHEN s.lost <> coalesce(b.lost, 0) THEN
                format('lost: %s in the state, %s in the records', s.lost, coalesce(b.lost, 0)) END,
            CASE WHEN b.hole IS NOT NULL THEN format('a record is missing before record %s', b.hole) END,
            CASE WHEN b.miscounted IS NOT NULL THEN
                format('record %s does not add up to the stream''s total', b.miscounted) END,
            m.text,
            CASE WHEN t.unbalanced IS NOT NULL THEN
                format('status %s: captured is not ignored + sealed', t.unbalanced) END,
            CASE WHEN t.unsealed IS NOT NULL THEN
                format('status %s: not as many packets sealed as the records hold', t.unsealed) END
        ), '')
    FROM streams k
    LEFT JOIN hirundo.ingest_state s USING (sensor_id, epoch)
    LEFT JOIN books b USING (sensor_id, epoch)
    LEFT JOIN hirundo.ingest_batch tip
        ON tip.sensor_id = k.sensor_id AND tip.epoch = k.epoch AND tip.seq = s.last_seq
    LEFT JOIN misplaced m ON m.sensor_id = k.sensor_id AND m.epoch = k.epoch
    LEFT JOIN status t ON t.sensor_id = k.sensor_id AND t.epoch = k.epoch
    LEFT JOIN hirundo.sensor n ON n.sensor_id = k.sensor_id
    ORDER BY k.sensor_id, k.epoch;
END;
COMMENT ON FUNCTION hirundo.verify_streams IS
    'Books of each stream: sealed = stored + quarantined + rejected + lost + open, in ingest_state, record by record '
    'in ingest_batch and the tables apart, and in the sensor''s own STATUS books. difference: what is wrong, or NULL.';

CREATE FUNCTION hirundo.verify_days() RETURNS TABLE (
    sensor_id int, sensor text, day date, rows_booked bigint, rows_found bigint, packets_booked bigint,
    packets_found bigint, difference text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH entry AS (
        SELECT d.sensor_id, d.day, sum(d.rows) AS rows_booked, 0::numeric AS rows_found,
            sum(d.packets) AS packets_booked, 0::numeric AS packets_found
        FROM hirundo.ingest_batch_day d
        GROUP BY d.sensor_id, d.day
        UNION ALL
        SELECT o.sensor_id, (o.observed_at AT TIME ZONE 'UTC')::date, 0, count(*), 0, sum(o.packets)
        FROM hirundo.observation o
        GROUP BY 1, 2
        UNION ALL
        -- Day NULL: what a sensor's records stored against its days, dropped ones included.
        SELECT b.sensor_id, NULL, sum(b.stored_rows), 0, sum(b.stored), 0
        FROM hirundo.ingest_batch b
        GROUP BY b.sensor_id
        UNION ALL
        SELECT d.sensor_id, NULL, 0, sum(d.rows), 0, sum(d.packets)
        FROM hirundo.ingest_batch_day d
        GROUP BY d.sensor_id
        UNION ALL
        SELECT f.sensor_id, NULL, 0, sum(f.rows), 0, sum(f.packets)
        FROM hirundo.ingest_day_frozen f
        GROUP BY f.sensor_id
    ), total AS (
        SELECT e.sensor_id, e.day, sum(e.rows_booked)::bigint AS rows_booked, sum(e.rows_found)::bigint AS rows_found,
            sum(e.packets_booked)::bigint AS packets_booked, sum(e.packets_found)::bigint AS packets_found
        FROM entry e
        GROUP BY e.sensor_id, e.day
    )
    SELECT t.sensor_id, n.name, t.day, t.rows_booked, t.rows_found, t.packets_booked, t.packets_found,
        nullif(concat_ws('; ',
            CASE WHEN t.rows_booked <> t.rows_found THEN
                format('rows: %s booked, %s found', t.rows_booked, t.rows_found) END,
            CASE WHEN t.packets_booked <> t.packets_found THEN
                format('packets: %s booked, %s found', t.packets_booked, t.packets_found) END
        ), '')
    FROM total t
    LEFT JOIN hirundo.sensor n USING (sensor_id)
    ORDER BY t.sensor_id, t.day NULLS FIRST;
END;
COMMENT ON FUNCTION hirundo.verify_days IS
    'For each sensor and UTC day: what its records say they stored (ingest_batch_day) against observation. Day NULL: '
    'all records of the sensor against all its days, those that retention dropped included (ingest_day_frozen). '
    'difference: what is wrong, or NULL.';

REVOKE ALL ON FUNCTION hirundo.verify_streams, hirundo.verify_days FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.verify_streams, hirundo.verify_days TO hirundo_analyst;
