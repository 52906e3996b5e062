-- Steps of the rollup: how rows come into its tables, are counted anew, and how months go.
--
-- Ingest writes a mark (dirty_mark) with the rows, in their transaction. A step of the rollup is one
-- REPEATABLE READ transaction: it deletes marks of its snapshot, reads the rows that they stand for and adds
-- them up. Mark and rows have the same xmin, so the new rows are found among others of the same time; that
-- their number is the marks' is checked, sensor by sensor. Where it is not (a database restored from a dump has
-- other xmins), the sensor's reporting day is counted anew. Two steps at once can only meet in the same marks or the
-- same rows of a rollup: one of them ends with SQLSTATE 40001 and is tried again.
--
-- Functions that are parts of a step are not for others: they trust their arguments.

CREATE FUNCTION hirundo.mark_answers(p_days daterange) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO hirundo.answer_mark (mark, days) VALUES (hashtextextended(gen_random_uuid()::text, 0), p_days);
END;
COMMENT ON FUNCTION hirundo.mark_answers IS
    'Notes that rollups of these days change. In the transaction that changes them, whatever the days: which months are '
    'closed when it commits, it can not know.';

CREATE FUNCTION hirundo.rollup_merge(
    p_sensors int[], p_spans tstzmultirange, p_xmins xid[], p_first_day date, p_last_day date, p_expected bigint[])
RETURNS TABLE (sensor_id int, rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off
SET plan_cache_mode = force_custom_plan -- only an array that is known is searched by hash
SET enable_nestloop = off SET enable_mergejoin = off SET enable_sort = off
-- The planner can not know how many rows there are, takes them for few, and would sort and loop: hashes are faster.
AS $$
#variable_conflict use_column
DECLARE
    zone text := hirundo.reporting_zone();
    first timestamptz := lower(p_spans);
    last timestamptz := upper(p_spans);
    month timestamp;
BEGIN
    FOR month IN
        SELECT DISTINCT date_trunc('month', d)
        FROM unnest(p_spans) AS s,
            generate_series(date_trunc('month', lower(s) AT TIME ZONE zone), upper(s) AT TIME ZONE zone, '1 month') AS d
    LOOP
        PERFORM hirundo.ensure_rollup_month(month::date);
    END LOOP;
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT o.sensor_id, (o.observed_at AT TIME ZONE zone)::date AS day, o.observed_at, o.last_at, o.src, o.packets,
            o.ttl, o.traits, o.protocol, o.dst_port, o.tcp_flags, o.tcp_header_length, o.tcp_window, o.icmp_type,
            o.src_region, o.src_asn
        FROM unnest(p_spans) AS s
        CROSS JOIN LATERAL (
            -- OFFSET 0: by the index, span by span. The bounds of all spans pick the partitions.
            SELECT r.sensor_id, r.observed_at, coalesce(r.last_at, r.observed_at) AS last_at, r.src, r.packets, r.ttl,
                r.traits, r.protocol, r.dst_port, r.tcp_flags, r.tcp_header_length, r.tcp_window, r.icmp_type,
                r.src_region, r.src_asn
            FROM hirundo.observation r
            WHERE r.observed_at >= first AND r.observed_at <= last
                AND r.observed_at >= lower(s) AND r.observed_at <= upper(s)
                AND r.sensor_id = ANY (p_sensors) AND (p_xmins IS NULL OR r.xmin = ANY (p_xmins))
            OFFSET 0) AS o
    ), total AS MATERIALIZED (
        SELECT f.sensor_id, count(*) AS rows FROM fresh f GROUP BY 1
    ), fit AS MATERIALIZED (
        SELECT p_expected IS NULL OR NOT EXISTS (
            SELECT FROM unnest(p_sensors, p_expected) AS e (sensor_id, rows) FULL JOIN total n USING (sensor_id)
            WHERE coalesce(e.rows, 0) <> coalesce(n.rows, 0)) AS all_do
    ), cell AS MATERIALIZED (
        SELECT f.sensor_id, f.day, f.src, hirundo.signature(f.protocol, f.tcp_flags, f.tcp_header_length, f.dst_port,
                f.tcp_window, f.icmp_type, f.traits) AS signature, f.ttl,
            sum(f.packets) AS packets, min(f.observed_at) AS first_at, max(f.last_at) AS last_at,
            max(f.src_region) AS src_region, max(f.src_asn) AS src_asn
        FROM fresh f
        WHERE f.src IS NOT NULL AND f.ttl IS NOT NULL
            AND (p_first_day IS NULL OR f.day BETWEEN p_first_day AND p_last_day) AND (SELECT all_do FROM fit)
        GROUP BY 1, 2, 3, 4, 5
    ), counted AS MATERIALIZED (
        SELECT g.sensor_id, g.day, hirundo.service(g.protocol, g.dst_port) AS service,
            hirundo.rollup_service_order(g.sensor_id, g.protocol, g.dst_port) AS service_order, g.src, g.traits,
            g.initial_ttl, g.ack_kind, g.packets, g.first_at, g.last_at, g.src_region, g.src_asn
        FROM (
            SELECT f.sensor_id, f.day, f.src, f.protocol,
                CASE WHEN f.protocol IN (6, 17) THEN f.dst_port END AS dst_port, f.traits,
                hirundo.initial_ttl(f.ttl) AS initial_ttl,
                CASE WHEN f.protocol = 6 THEN hirundo.ack_kind(f.tcp_flags) END AS ack_kind,
                sum(f.packets) AS packets, min(f.observed_at) AS first_at, max(f.last_at) AS last_at,
                max(f.src_region) AS src_region, max(f.src_asn) AS src_asn
            FROM fresh f
            WHERE (p_first_day IS NULL OR f.day BETWEEN p_first_day AND p_last_day) AND (SELECT all_do FROM fit)
            GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) AS g
    ), place AS MATERIALIZED (
        -- Each source once, whatever it sent and to whom; in the order of the ranges that they are looked up in.
        SELECT s.src, i.region, i.holder, i.dataset_id, h.organization_id
        FROM (
            SELECT c.src FROM (SELECT DISTINCT d.src FROM counted d OFFSET 0) AS c WHERE c.src IS NOT NULL
            ORDER BY hirundo.rollup_source_order(0, c.src), c.src) AS s
        CROSS JOIN LATERAL hirundo.address_info(s.src) AS i
        CROSS JOIN LATERAL hirundo.organization_of(s.src) AS h
    ), ttls AS (
        -- In the order of the index, here and below: that is half the work.
        INSERT INTO hirundo.ttl_day AS t (sensor_id, day, src, signature, ttl, packets, first_at, last_at, src_region,
            src_asn, holder, dataset_id, organization_id)
        SELECT c.sensor_id, c.day, c.src, c.signature, c.ttl, c.packets, c.first_at, c.last_at,
            coalesce(c.src_region, p.region), c.src_asn, p.holder, p.dataset_id, p.organization_id
        FROM cell c JOIN place p USING (src)
        ORDER BY hirundo.rollup_source_order(c.sensor_id, c.src), c.src
        ON CONFLICT (sensor_id, day, src, signature, ttl) DO UPDATE
        SET packets = t.packets + excluded.packets, first_at = least(t.first_at, excluded.first_at),
            last_at = greatest(t.last_at, excluded.last_at), src_region = greatest(t.src_region, excluded.src_region),
            src_asn = greatest(t.src_asn, excluded.src_asn), holder = excluded.holder, dataset_id = excluded.dataset_id,
            organization_id = coalesce(t.organization_id, excluded.organization_id)
    ), sources AS (
        INSERT INTO hirundo.source_day AS t (sensor_id, day, service, src, traits, initial_ttl, ack_kind, packets,
            first_at, last_at, src_region, src_asn, organization_id)
        SELECT c.sensor_id, c.day, c.service, c.src, c.traits, c.initial_ttl, c.ack_kind, c.packets, c.first_at,
            c.last_at, c.src_region, c.src_asn, p.organization_id
        FROM counted c LEFT JOIN place p USING (src)
        ORDER BY c.service_order, hirundo.rollup_source_order(0, c.src)
        ON CONFLICT (sensor_id, day, service, src, traits, initial_ttl, ack_kind) DO UPDATE
        SET packets = t.packets + excluded.packets, first_at = least(t.first_at, excluded.first_at),
            last_at = greatest(t.last_at, excluded.last_at), src_region = greatest(t.src_region, excluded.src_region),
            src_asn = greatest(t.src_asn, excluded.src_asn),
            organization_id = coalesce(t.organization_id, excluded.organization_id)
    ), services AS (
        INSERT INTO hirundo.service_day AS t (sensor_id, day, service, role, packets)
        SELECT g.sensor_id, g.day, g.service, g.role, g.packets FROM (
            SELECT c.sensor_id, c.day, c.service, hirundo.role(c.traits) AS role, c.service_order,
                sum(c.packets) AS packets
            FROM counted c GROUP BY 1, 2, 3, 4, 5 OFFSET 0) AS g
        ORDER BY g.service_order
        ON CONFLICT (sensor_id, day, service, role) DO UPDATE SET packets = t.packets + excluded.packets
    ), roles AS (
        INSERT INTO hirundo.role_day AS t (sensor_id, day, role, ports, packets)
        SELECT c.sensor_id, c.day, hirundo.role(c.traits), c.service < ':' COLLATE "C", sum(c.packets)
        FROM counted c GROUP BY 1, 2, 3, 4
        ON CONFLICT (sensor_id, day, role, ports) DO UPDATE SET packets = t.packets + excluded.packets
    ), bucket AS MATERIALIZED (
        SELECT f.sensor_id, date_bin('15 minutes', f.observed_at, '1970-01-01 00:00:00+00') AS bucket,
            sum(f.packets) AS packets
        FROM fresh f
        WHERE (SELECT all_do FROM fit)
        GROUP BY 1, 2
    ), buckets AS (
        INSERT INTO hirundo.coverage AS c (sensor_id, bucket, packets, lost, seconds)
        SELECT b.sensor_id, b.bucket, b.packets, 0, 0 FROM bucket b
        ON CONFLICT (sensor_id, bucket) DO UPDATE SET packets = c.packets + excluded.packets
    ), bucket_days AS (
        INSERT INTO hirundo.coverage_day AS c (sensor_id, day, packets, lost, seconds)
        SELECT b.sensor_id, (b.bucket AT TIME ZONE zone)::date, sum(b.packets), 0, 0 FROM bucket b GROUP BY 1, 2
        ON CONFLICT (sensor_id, day) DO UPDATE SET packets = c.packets + excluded.packets
    ), bucket_steps AS (
        INSERT INTO hirundo.coverage_step AS c (sensor_id, unit, day, packets, lost, seconds)
        SELECT b.sensor_id, u.unit, date_trunc(u.unit, b.bucket AT TIME ZONE zone)::date, sum(b.packets), 0, 0
        FROM bucket b CROSS JOIN (VALUES ('week'), ('month')) AS u (unit) GROUP BY 1, 2, 3
        ON CONFLICT (sensor_id, unit, day) DO UPDATE SET packets = c.packets + excluded.packets
    ), due AS (
        INSERT INTO hirundo.verdict_due (day, rollup, sources)
        SELECT d.day, hashtextextended(gen_random_uuid()::text, 0), array_agg(d.src)
        FROM (SELECT DISTINCT c.day, c.src FROM cell c OFFSET 0) AS d
        WHERE p_expected IS NOT NULL GROUP BY d.day
    )
    SELECT n.sensor_id, n.rows FROM total n;
END
$$;
COMMENT ON FUNCTION hirundo.rollup_merge IS
    'Part of rollup(): adds rows of sensors in these times (upper bounds belong to them), written by these '
    'transactions (NULL: by any), to the rollups; to those of days only for rows of these reporting days (NULL: of '
    'any). Nothing is added unless each sensor has as many as expected (NULL: whatever there is). Returns how many each'
    ' has; none: no row.';

CREATE FUNCTION hirundo.rollup_coverage_day(p_sensors int[], p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text := hirundo.reporting_zone();
    since timestamptz := (p_from AT TIME ZONE zone)::date::timestamp AT TIME ZONE zone;
    till timestamptz := ((p_to AT TIME ZONE zone)::date + 1)::timestamp AT TIME ZONE zone;
BEGIN
    INSERT INTO hirundo.coverage_day (sensor_id, day, packets, lost, seconds)
        SELECT c.sensor_id, (c.bucket AT TIME ZONE zone)::date, sum(c.packets), sum(c.lost), sum(c.seconds)
        FROM hirundo.coverage c
        WHERE c.sensor_id = ANY (p_sensors) AND c.bucket >= since AND c.bucket < till
        GROUP BY 1, 2
        ON CONFLICT (sensor_id, day) DO UPDATE
        SET packets = excluded.packets, lost = excluded.lost, seconds = excluded.seconds;
    INSERT INTO hirundo.coverage_step (sensor_id, unit, day, packets, lost, seconds)
        SELECT c.sensor_id, u.unit, date_trunc(u.unit, c.day::timestamp)::date, sum(c.packets), sum(c.lost), sum(c.seconds)
        FROM (VALUES ('week', interval '1 week'), ('month', interval '1 month')) AS u (unit, length)
        JOIN hirundo.coverage_day c ON c.day >= date_trunc(u.unit, since AT TIME ZONE zone)
            AND c.day < date_trunc(u.unit, p_to AT TIME ZONE zone) + u.length
        WHERE c.sensor_id = ANY (p_sensors)
        GROUP BY 1, 2, 3
        ON CONFLICT (sensor_id, unit, day) DO UPDATE
        SET packets = excluded.packets, lost = excluded.lost, seconds = excluded.seconds;
END
$$;
COMMENT ON FUNCTION hirundo.rollup_coverage_day IS
    'Adds coverage up anew by day, week and month, of sensors and the reporting days that these times lie in.';

CREATE FUNCTION hirundo.rollup_coverage(p_sensor_id int, p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH told AS (
        -- What a STATUS says of the time since the one before, and that one's drops.
        SELECT coalesce(s.covered_from, s.at) AS from_at,
            -- Nobody listens for years: such a time is not believed, and its drops fall at its start.
            CASE WHEN s.covered_to - s.covered_from <= '400 days' THEN s.covered_to
                ELSE coalesce(s.covered_from, s.at) END AS to_at,
            greatest(0, s.kernel_drops + s.interface_drops - coalesce((
                SELECT p.kernel_drops + p.interface_drops FROM hirundo.sensor_status p
                WHERE p.sensor_id = s.sensor_id AND p.epoch = s.epoch AND p.run = s.run AND p.seq < s.seq
                ORDER BY p.seq DESC LIMIT 1), (
                -- A run may go on in another stream.
                SELECT max(p.kernel_drops + p.interface_drops) FROM hirundo.sensor_status p
                WHERE p.sensor_id = s.sensor_id AND p.run = s.run AND p.epoch <> s.epoch AND p.at < s.at), 0)) AS lost
        FROM hirundo.sensor_status s
        WHERE s.sensor_id = p_sensor_id
            AND ((s.covered_to >= p_from AND s.covered_from < p_to)
                OR (s.covered_to IS NULL AND s.at >= p_from AND s.at < p_to))
    ), losses AS (
        SELECT t.from_at, t.to_at, t.lost FROM told t WHERE t.lost > 0
        UNION ALL
        SELECT coalesce(l.from_at, l.to_at, l.recorded_at),
            least(coalesce(l.to_at, l.from_at, l.recorded_at),
                coalesce(l.from_at, l.to_at, l.recorded_at) + interval '400 days'), l.packets
        FROM hirundo.ingest_loss l
        WHERE l.sensor_id = p_sensor_id AND l.packets > 0
            AND coalesce(l.to_at, l.from_at, l.recorded_at) >= p_from
            AND coalesce(l.from_at, l.to_at, l.recorded_at) < p_to
    ), seconds AS (
        SELECT u.bucket, sum(extract(epoch FROM upper(r) - lower(r)))::double precision AS seconds
        FROM (
            SELECT b.bucket, range_agg(tstzrange(t.from_at, t.to_at)
                * tstzrange(b.bucket, b.bucket + interval '15 minutes')) AS listened
            FROM told t
            CROSS JOIN LATERAL generate_series(
                date_bin('15 minutes', greatest(t.from_at, p_from), '1970-01-01 00:00:00+00'),
                least(t.to_at, p_to), '15 minutes') AS b (bucket)
            WHERE t.from_at < t.to_at
            GROUP BY b.bucket) AS u
        CROSS JOIN LATERAL unnest(u.listened) AS r
        GROUP BY u.bucket
    ), lost AS (
        -- In whole packets: what fell until the end of a bucket, less what did until its start.
        SELECT b.bucket,
            sum(CASE WHEN l.to_at <= l.from_at THEN l.lost ELSE
                floor(l.lost * extract(epoch FROM least(b.bucket + interval '15 minutes', l.to_at) - l.from_at)
                    / extract(epoch FROM l.to_at - l.from_at))
                - floor(l.lost * extract(epoch FROM greatest(b.bucket, l.from_at) - l.from_at)
                    / extract(epoch FROM l.to_at - l.from_at)) END)::bigint AS lost
        FROM losses l
        CROSS JOIN LATERAL generate_series(
            date_bin('15 minutes', greatest(l.from_at, p_from), '1970-01-01 00:00:00+00'),
            least(l.to_at, p_to), '15 minutes') AS b (bucket)
        GROUP BY b.bucket
    )
    INSERT INTO hirundo.coverage AS c (sensor_id, bucket, packets, lost, seconds)
    SELECT p_sensor_id, bucket, 0, coalesce(x.lost, 0), coalesce(s.seconds, 0)
    FROM seconds s FULL JOIN lost x USING (bucket)
    WHERE bucket >= p_from AND bucket < p_to AND (s.seconds > 0 OR x.lost > 0)
    ON CONFLICT (sensor_id, bucket) DO UPDATE SET lost = excluded.lost, seconds = excluded.seconds;
    SELECT hirundo.rollup_coverage_day(ARRAY[p_sensor_id], p_from, p_to);
END;
COMMENT ON FUNCTION hirundo.rollup_coverage IS
    'Part of rollup(): tells seconds and losses of a sensor''s 15 minutes in [from, to), both at a start of 15 minutes, '
    'anew from sensor_status and ingest_loss.';

CREATE FUNCTION hirundo.rollup_recount(p_sensor_id int, p_first_day date, p_last_day date)
RETURNS TABLE (marks bigint, rows bigint, days int, unresolved bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text := hirundo.reporting_zone();
    first_day date := p_first_day;
    last_day date := p_last_day;
    hull tstzrange;
    hour timestamptz;
BEGIN
    marks := 0; rows := 0; days := 0; unresolved := 0;
    -- Whole days and whole 15 minutes: where a zone's days do not begin with 15 minutes, marks lead to the next.
    LOOP
        hull := tstzrange(
            date_bin('15 minutes', first_day::timestamp AT TIME ZONE zone, '1970-01-01 00:00:00+00'),
            date_bin('15 minutes', (last_day + 1)::timestamp AT TIME ZONE zone + interval '899.999999 seconds',
                '1970-01-01 00:00:00+00'));
        SELECT least(first_day, min((m.first_at AT TIME ZONE zone)::date)),
            greatest(last_day, max((m.last_at AT TIME ZONE zone)::date))
            INTO first_day, last_day
            FROM hirundo.dirty_mark m
            WHERE m.sensor_id = p_sensor_id AND m.bucket >= lower(hull) AND m.bucket < upper(hull) AND m.rows > 0;
        EXIT WHEN first_day::timestamp AT TIME ZONE zone >= lower(hull)
            AND (last_day + 1)::timestamp AT TIME ZONE zone <= upper(hull);
    END LOOP;
    WITH gone AS (
        DELETE FROM hirundo.dirty_mark m
        WHERE m.sensor_id = p_sensor_id AND m.bucket >= lower(hull) AND m.bucket < upper(hull) AND m.rows > 0
        RETURNING m.epoch, m.seq, m.rows, m.first_at, m.last_at
    ), known AS (
        INSERT INTO hirundo.dataset_day (sensor_id, day, dataset_id)
        SELECT DISTINCT p_sensor_id, (a.at AT TIME ZONE zone)::date, b.dataset_id
        FROM gone g CROSS JOIN LATERAL (VALUES (g.first_at), (g.last_at)) AS a (at)
        JOIN hirundo.ingest_batch b ON b.sensor_id = p_sensor_id AND b.epoch = g.epoch AND b.seq = g.seq
        WHERE b.dataset_id IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT count(*), coalesce(sum(g.rows), 0) INTO marks, unresolved FROM gone g;
    IF EXISTS (SELECT FROM hirundo.ingest_day_frozen f WHERE f.sensor_id = p_sensor_id
        AND f.day BETWEEN (lower(hull) AT TIME ZONE 'UTC')::date AND ((upper(hull) - interval '1 microsecond') AT TIME ZONE 'UTC')::date)
    THEN
        RETURN NEXT;
        RETURN;
    END IF;
    unresolved := 0;
    days := last_day - first_day + 1;
    -- Emptied, not deleted: who held an address stays as it was.
    UPDATE hirundo.ttl_day t
        SET packets = 0, first_at = 'infinity', last_at = '-infinity', src_region = NULL, src_asn = NULL
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    UPDATE hirundo.source_day t
        SET packets = 0, first_at = 'infinity', last_at = '-infinity', src_region = NULL, src_asn = NULL
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    DELETE FROM hirundo.service_day t WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    DELETE FROM hirundo.role_day t WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    UPDATE hirundo.coverage c SET packets = 0
        WHERE c.sensor_id = p_sensor_id AND c.bucket >= lower(hull) AND c.bucket < upper(hull);
    PERFORM hirundo.rollup_coverage_day(ARRAY[p_sensor_id], lower(hull), upper(hull));
    -- Hour by hour, so that memory has a bound.
    FOR hour IN SELECT generate_series(lower(hull), upper(hull) - interval '1 microsecond', '1 hour') LOOP
        rows := rows + coalesce((
            SELECT m.rows FROM hirundo.rollup_merge(ARRAY[p_sensor_id], tstzmultirange(tstzrange(hour,
                least(hour + interval '1 hour', upper(hull)) - interval '1 microsecond', '[]')), NULL, first_day,
                last_day, NULL) AS m), 0);
    END LOOP;
    DELETE FROM hirundo.ttl_day t
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day AND t.packets = 0;
    DELETE FROM hirundo.source_day t
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day AND t.packets = 0;
    PERFORM hirundo.mark_answers(daterange(least(first_day, (lower(hull) AT TIME ZONE zone)::date),
        greatest(last_day, (upper(hull) AT TIME ZONE zone)::date), '[]'));
    -- What is no more is a change, too.
    INSERT INTO hirundo.verdict_due (day, rollup)
        SELECT first_day + d, hashtextextended(gen_random_uuid()::text, 0)
        FROM generate_series(0, last_day - first_day) AS d;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hirundo.rollup_recount IS
    'Part of rollup(): counts reporting days of a sensor anew from raw rows, and deletes all marks of theirs. Where '
    'raw rows of theirs were dropped, only the marks go: unresolved tells how many rows they stood for.';

CREATE FUNCTION hirundo.rollup(p_sensors int[], p_rows bigint DEFAULT 250000)
RETURNS TABLE (sensor_id int, marks bigint, rows bigint, recounted int, unresolved bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    zone text := hirundo.reporting_zone();
    sensors int[];
    day date;
    from_at timestamptz;
    to_at timestamptz;
    xmins xid[];
    taken int[]; -- sensors; the arrays below are theirs
    taken_marks bigint[];
    expected bigint[];
    spans tstzmultirange[];
    told tstzmultirange[];
    misfits int[];
    changed datemultirange;
    part tstzrange;
    again record;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable') OR NOT EXISTS (
        SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND granted AND relation = 'hirundo.observation'::regclass)
    THEN
        RAISE EXCEPTION 'rollup() needs REPEATABLE READ, and a lock on hirundo.observation before its snapshot'
            USING ERRCODE = '25001', HINT = 'BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE ONLY '
                'hirundo.observation IN ROW EXCLUSIVE MODE; SELECT * FROM hirundo.rollup(...); COMMIT';
    END IF;
    -- Days of two zones must not mix.
    INSERT INTO hirundo.setting VALUES ('rollup_zone', zone) ON CONFLICT ON CONSTRAINT setting_pkey DO NOTHING;
    PERFORM hirundo.check_zone();
    -- Saves work that would end with 40001; nothing depends on it.
    sensors := ARRAY(
        SELECT s.sensor_id
        FROM (SELECT DISTINCT m.sensor_id FROM hirundo.dirty_mark m
            WHERE p_sensors IS NULL OR m.sensor_id = ANY (p_sensors)) AS s
        WHERE pg_try_advisory_xact_lock(hashtext('hirundo.rollup'), s.sensor_id));
    -- The reporting day of the mark that waits longest.
    SELECT (m.bucket AT TIME ZONE zone)::date INTO day FROM hirundo.dirty_mark m WHERE m.sensor_id = ANY (sensors)
        ORDER BY age(m.xmin) DESC, m.bucket LIMIT 1;
    IF day IS NULL THEN
        RETURN;
    END IF;
    SELECT min(m.bucket) INTO from_at FROM hirundo.dirty_mark m
        WHERE m.sensor_id = ANY (sensors) AND (m.bucket AT TIME ZONE zone)::date = day;
    to_at := (day + 1)::timestamp AT TIME ZONE zone;
    -- All marks that a transaction left in this day, or none of them: its rows have no other tell.
    xmins := ARRAY(
        SELECT w.x FROM (
            SELECT m.xmin AS x, sum(sum(m.rows)) OVER (ORDER BY age(m.xmin) DESC) - sum(m.rows) AS before
            FROM hirundo.dirty_mark m
            WHERE m.sensor_id = ANY (sensors) AND m.bucket >= from_at AND m.bucket < to_at
            GROUP BY m.xmin) AS w
        WHERE w.before < p_rows);
    WITH gone AS (
        DELETE FROM hirundo.dirty_mark m
        WHERE m.sensor_id = ANY (sensors) AND m.bucket >= from_at AND m.bucket < to_at AND m.xmin = ANY (xmins)
        RETURNING m.sensor_id, m.epoch, m.seq, m.rows, m.first_at, m.last_at
    ), known AS (
        INSERT INTO hirundo.dataset_day (sensor_id, day, dataset_id)
        SELECT DISTINCT g.sensor_id, (a.at AT TIME ZONE zone)::date, b.dataset_id
        FROM gone g CROSS JOIN LATERAL (VALUES (g.first_at), (g.last_at)) AS a (at)
        JOIN hirundo.ingest_batch b USING (sensor_id, epoch, seq)
        WHERE g.rows > 0 AND b.dataset_id IS NOT NULL
        ON CONFLICT DO NOTHING
    ), part AS (
        SELECT g.sensor_id, count(*) AS marks, sum(g.rows) AS rows,
            -- Each span is a scan: those less than 15 minutes apart are one. Between them, within the day, these
            -- transactions have no rows.
            range_agg(tstzrange(g.first_at,
                greatest(g.last_at, least(g.last_at + interval '15 minutes', to_at - interval '1 microsecond')), '[]'))
                FILTER (WHERE g.rows > 0) AS spans,
            range_agg(tstzrange(date_bin('15 minutes', g.first_at, '1970-01-01 00:00:00+00'),
                date_bin('15 minutes', least(g.last_at, g.first_at + interval '400 days'), '1970-01-01 00:00:00+00')
                    + interval '15 minutes'))
                FILTER (WHERE g.rows = 0) AS told
        FROM gone g GROUP BY g.sensor_id
    )
    SELECT array_agg(p.sensor_id), array_agg(p.marks), array_agg(p.rows), array_agg(coalesce(p.spans, '{}')),
        array_agg(coalesce(p.told, '{}'))
        INTO taken, taken_marks, expected, spans, told FROM part p;
    -- Days whose answers change.
    PERFORM hirundo.mark_answers(d) FROM unnest((
        SELECT range_agg(daterange((lower(s.at) AT TIME ZONE zone)::date, (upper(s.at) AT TIME ZONE zone)::date, '[]'))
        FROM unnest(spans || told) AS a (ranges) CROSS JOIN LATERAL unnest(a.ranges) AS s (at))) AS d;
    misfits := ARRAY(
        SELECT e.sensor_id FROM unnest(taken, expected) AS e (sensor_id, rows)
        LEFT JOIN hirundo.rollup_merge(taken, (SELECT range_agg(s) FROM unnest(spans) AS s), xmins, NULL, NULL,
            expected) AS f USING (sensor_id)
        WHERE e.rows <> coalesce(f.rows, 0));
    IF misfits <> '{}' THEN
        -- Nothing was added. Those that are as expected, once more.
        PERFORM hirundo.rollup_merge(array_agg(e.sensor_id), range_agg(e.spans), xmins, NULL, NULL, array_agg(e.rows))
            FROM unnest(taken, expected, spans) AS e (sensor_id, rows, spans) WHERE e.sensor_id <> ALL (misfits);
    END IF;
    FOR i IN 1 .. cardinality(taken) LOOP
        sensor_id := taken[i];
        marks := taken_marks[i];
        rows := expected[i];
        recounted := 0;
        unresolved := 0;
        IF sensor_id = ANY (misfits) THEN
            SELECT * INTO again FROM hirundo.rollup_recount(sensor_id,
                (lower(spans[i]) AT TIME ZONE zone)::date, (upper(spans[i]) AT TIME ZONE zone)::date);
            marks := marks + again.marks;
            rows := again.rows;
            recounted := again.days;
            IF again.days = 0 THEN
                unresolved := expected[i] + again.unresolved;
                INSERT INTO hirundo.rollup_gap AS g (sensor_id, day, rows, noted_at)
                    VALUES (taken[i], day, unresolved, now())
                    ON CONFLICT (sensor_id, day)
                    DO UPDATE SET rows = g.rows + excluded.rows, noted_at = excluded.noted_at;
            END IF;
        END IF;
        FOREACH part IN ARRAY ARRAY(SELECT unnest(told[i])) LOOP
            PERFORM hirundo.rollup_coverage(sensor_id, lower(part), upper(part));
        END LOOP;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION hirundo.rollup IS
    'One step: takes marks of these sensors (NULL: of all), those that wait longest, of one reporting day and about '
    'this many rows, and brings the rollups up to them. Several sensors at once, because their rows lie side by side: '
    'they are read once, and who held a source is looked up once. On Citus one sensor at a time. Needs REPEATABLE READ '
    'and a lock on observation taken before the snapshot (so that no day is dropped behind it). Returns, for each '
    'sensor, the marks, the rows read, days counted anew, rows that could not be rolled up (rollup_gap); no row of '
    'sensors that have no marks or that another step is at. SQLSTATE 40001: try again.';

-- Retention.

CREATE FUNCTION hirundo.drop_rollup_months() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    keep int := (SELECT value::int FROM hirundo.setting WHERE name = 'rollup_retention_days');
    month text;
    dropped int := 0;
BEGIN
    FOR month IN
        SELECT right(c.relname, 6) FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
        WHERE h.inhparent = 'hirundo.ttl_day'::regclass
            AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month'
                <= now() AT TIME ZONE hirundo.reporting_zone() - make_interval(days => keep)
    LOOP
        EXECUTE (SELECT 'DROP TABLE ' || string_agg(format('hirundo.%I', parent || '_' || month), ', ')
            FROM unnest(hirundo.monthly_tables()) AS t (parent));
        DELETE FROM hirundo.role_day r WHERE date_trunc('month', r.day::timestamp) = to_date(month, 'YYYYMM');
        PERFORM hirundo.verdict_forget_month(to_date(month, 'YYYYMM'));
        INSERT INTO hirundo.rollup_dropped VALUES (to_date(month, 'YYYYMM'), now())
            ON CONFLICT ON CONSTRAINT rollup_dropped_pkey DO UPDATE SET dropped_at = excluded.dropped_at;
        PERFORM hirundo.mark_answers(daterange(to_date(month, 'YYYYMM'),
            (to_date(month, 'YYYYMM') + interval '1 month')::date));
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION hirundo.drop_rollup_months IS
    'Drops months of rollups and verdicts, with what these were made from, that ended more than setting '
    'rollup_retention_days ago (not set: none), notes them in rollup_dropped, and returns how many. Error 55P03 when the '
    'tables are busy: try again.';

REVOKE ALL ON FUNCTION hirundo.mark_answers, hirundo.rollup_merge, hirundo.rollup_coverage_day, hirundo.rollup_coverage,
    hirundo.rollup_recount, hirundo.rollup, hirundo.drop_rollup_months FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.rollup, hirundo.drop_rollup_months TO hirundo_ingest;
