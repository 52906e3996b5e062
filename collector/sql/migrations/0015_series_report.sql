-- Reports by step: coverage, means, trends. How steps are made: 0014_series.sql.

CREATE FUNCTION report.coverage(period daterange, filter jsonb DEFAULT '{}', step text DEFAULT 'day')
RETURNS TABLE (step_start timestamptz, sensor text, region char(2), covered_seconds double precision, packets bigint,
    lost bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET work_mem = '32MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter, '{sensors,grp,home,sensor_region}');
    unit text := hirundo.check_step(step, '{15min,hour,day,week,month}');
    s hirundo.series;
BEGIN
    PERFORM hirundo.check_period(period);
    s := hirundo.series(period, unit);
    RETURN QUERY
    WITH heard AS (
        SELECT width_bucket(c.bucket, s.starts) AS n, c.sensor_id, sum(c.seconds) AS seconds, sum(c.packets) AS packets,
            sum(c.lost) AS lost
        FROM hirundo.coverage c
        WHERE s.raw AND c.sensor_id = ANY (f.sensors) AND c.bucket >= s.starts[1] AND c.bucket < s.till
        GROUP BY 1, 2
        UNION ALL
        -- Weeks and months, and the days of those that the period cuts.
        SELECT s.slot_steps[c.day - lower(period) + 1], c.sensor_id, c.seconds, c.packets, c.lost
        FROM hirundo.coverage_step c
        WHERE c.sensor_id = ANY (f.sensors) AND c.unit = s.unit AND c.day >= lower(s.whole) AND c.day < upper(s.whole)
        UNION ALL
        SELECT s.slot_steps[c.day - lower(period) + 1], c.sensor_id, sum(c.seconds), sum(c.packets), sum(c.lost)
        FROM unnest(datemultirange(period) - datemultirange(s.whole)) AS r (days)
        JOIN hirundo.coverage_day c ON c.day >= lower(r.days) AND c.day < upper(r.days)
        WHERE NOT s.raw AND c.sensor_id = ANY (f.sensors)
        GROUP BY 1, 2
    ), gap AS (
        SELECT DISTINCT d.n, g.sensor_id
        FROM unnest(s.slot_days, s.slot_steps) AS d (day, n) JOIN hirundo.rollup_gap g USING (day)
    )
    SELECT w.at, p.sensor, p.region, coalesce(sum(h.seconds), 0)::double precision,
        CASE WHEN NOT bool_or(g.n IS NOT NULL) THEN sum(h.packets)::bigint END, sum(h.lost)::bigint
    FROM unnest(s.starts) WITH ORDINALITY AS w (at, n)
    CROSS JOIN hirundo.place(f, false) p
    JOIN hirundo.sensor i USING (sensor_id)
    LEFT JOIN heard h ON h.n = w.n AND h.sensor_id = p.sensor_id
    LEFT JOIN gap g ON g.n = w.n AND g.sensor_id = p.sensor_id
    GROUP BY w.at, p.region, p.sensor
    HAVING p.sensor IS NULL OR bool_or(i.disabled_at IS NULL OR w.at < i.disabled_at OR h.n IS NOT NULL OR g.n IS NOT NULL)
    ORDER BY w.at, p.region, p.sensor;
END
$$;
COMMENT ON FUNCTION report.coverage IS
    'Who listened when: a row for each step (15min, hour, day, week from Monday, month; in the reporting zone) and '
    'sensor, also where it did not listen, but for steps after it was disabled in which nothing came. covered_seconds: really listened; packets: received then, lost: known to be '
    'lost; NULL where nothing is known, packets also where rows of a day of the step could not be counted '
    '(rollup_gap). A step that the period cuts holds only its days, and begins with it; none after now. A '
    'viewer of regions gets its own sensors so (sensor: the public_label), and one row for all of another region '
    '(sensor NULL), for all that are not shown alone one of ZZ: seconds added up. Keys of the filter: sensors, '
    'sensor_region, grp, home.';

CREATE FUNCTION report.packets_per_sensor_day(period daterange, filter jsonb DEFAULT '{}', step text DEFAULT 'month')
RETURNS TABLE (step_start timestamptz, grp text, mean_packets double precision, covered_address_days double precision,
    mean_year_before double precision, mean_same_sensors double precision,
    mean_year_before_same_sensors double precision, packets bigint, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    unit text := hirundo.check_step(step, '{15min,hour,day,week,month}');
    bare boolean := filter - '{sensors,sensor_region,grp,home}'::text[] = '{}';
    home text := coalesce(filter ->> 'home', (SELECT value FROM hirundo.setting WHERE name = 'home_region'));
    s hirundo.series;
    before daterange;
    s_before hirundo.series;
    -- Steps, and their parts a year before: days, or the step itself.
    earlier_n int[];
    earlier_at timestamp[];
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_means(f, home), hirundo.check_period(period), hirundo.check_complete(period, f.sensors);
    s := hirundo.series(period, unit);
    IF s.raw AND NOT bare THEN
        PERFORM hirundo.check_raw(period, f.sensors);
    END IF;
    before := CASE WHEN bare OR NOT s.raw THEN CASE unit
        WHEN 'week' THEN daterange(lower(period) - 364, upper(period) - 364)
        -- To its end, also where a 29 February has no like.
        ELSE daterange((lower(period) - interval '1 year')::date, greatest((upper(period) - interval '1 year')::date,
            (upper(period) - 1 - interval '1 year')::date + 1)) END END;
    as_of := hirundo.rollup_as_of(period, f.sensors);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    IF before IS NOT NULL THEN
        s_before := hirundo.series(before, unit);
        WITH step AS (
            SELECT b.n::int, CASE WHEN s.raw THEN b.at AT TIME ZONE s.zone
                    ELSE date_trunc('day', b.at AT TIME ZONE s.zone) END AS since,
                coalesce(lead(b.at) OVER (ORDER BY b.n) AT TIME ZONE s.zone, upper(period)::timestamp) AS till
            FROM unnest(s.starts) WITH ORDINALITY AS b (at, n)
        ), part AS (
            SELECT t.n, e.at
            FROM step t
            CROSS JOIN LATERAL (
                -- To its end, too.
                SELECT g.at
                FROM generate_series(t.since - interval '1 year', greatest(t.till - interval '1 year' - interval '1 day',
                    t.till - interval '1 day' - interval '1 year'), '1 day') AS g (at)
                WHERE unit = 'month'
                UNION ALL
                -- 52 weeks, so that it begins with a Monday.
                SELECT g.at - interval '364 days' FROM generate_series(t.since, t.till - interval '1 day', '1 day') AS g (at)
                WHERE unit = 'week'
                UNION ALL
                SELECT t.since - interval '1 year' WHERE unit NOT IN ('week', 'month')) e
        ), whole AS (
            SELECT p.n FROM part p GROUP BY p.n
            HAVING NOT bool_or(
                EXISTS (SELECT FROM hirundo.rollup_gap g WHERE g.sensor_id = ANY (f.sensors) AND g.day = p.at::date)
                OR EXISTS (SELECT FROM hirundo.rollup_dropped d WHERE d.month = date_trunc('month', p.at)::date))
        )
        SELECT array_agg(p.n ORDER BY p.n, p.at), array_agg(p.at ORDER BY p.n, p.at) INTO earlier_n, earlier_at
        FROM part p JOIN whole USING (n);
        IF unit IN ('week', 'month') THEN
            s_before.slot_steps := ARRAY(
                SELECT e.n FROM unnest(s_before.slot_days) WITH ORDINALITY AS d (day, i)
                LEFT JOIN unnest(earlier_n, earlier_at) AS e (n, at) ON e.at = d.day ORDER BY d.i);
        END IF;
    END IF;
    RETURN QUERY
    WITH earlier AS (
        SELECT DISTINCT e.n, e.n AS step FROM unnest(earlier_n) AS e (n) WHERE unit IN ('week', 'month')
        UNION ALL
        -- A 29 February has the 28th, which has its own.
        SELECT e.n, b.step FROM unnest(earlier_n, earlier_at) AS e (n, at)
        JOIN unnest(s_before.starts, s_before.days) WITH ORDINALITY AS b (at, day, step)
            ON e.at = CASE WHEN s.raw THEN b.at AT TIME ZONE s.zone ELSE b.day::timestamp END
        WHERE unit NOT IN ('week', 'month')
    ), part AS (
        SELECT m.step AS n, m.sensor_id, m.packets, m.address_seconds AS seconds
        FROM hirundo.mean_parts(period, f, s, bare) m
    ), part_before AS (
        SELECT e.n, m.sensor_id, m.packets, m.address_seconds AS seconds
        FROM hirundo.mean_parts(before, f, s_before, bare) m JOIN earlier e USING (step)
        WHERE before IS NOT NULL
    ), total AS (
        SELECT n, (i.region = home) AS domestic, sum(p.packets) AS packets, nullif(sum(p.seconds), 0) / 86400 AS days,
            sum(b.packets) AS packets_before, nullif(sum(b.seconds), 0) / 86400 AS days_before,
            sum(p.packets) FILTER (WHERE p.seconds > 0 AND b.seconds > 0) AS packets_same,
            sum(p.seconds) FILTER (WHERE p.seconds > 0 AND b.seconds > 0) / 86400 AS days_same,
            sum(b.packets) FILTER (WHERE p.seconds > 0 AND b.seconds > 0) AS packets_same_before,
            sum(b.seconds) FILTER (WHERE p.seconds > 0 AND b.seconds > 0) / 86400 AS days_same_before
        FROM part p FULL JOIN part_before b USING (n, sensor_id)
        JOIN hirundo.sensor i USING (sensor_id)
        GROUP BY 1, 2
    )
    SELECT w.at, g.name, t.packets / t.days, t.days, t.packets_before / t.days_before,
        t.packets_same / t.days_same, t.packets_same_before / t.days_same_before, t.packets::bigint,
        dataset, as_of
    FROM unnest(s.starts) WITH ORDINALITY AS w (at, n)
    CROSS JOIN (VALUES ('domestic', true), ('overseas', false)) AS g (name, domestic)
    LEFT JOIN total t USING (n, domestic)
    ORDER BY w.at, g.name;
END
$$;
COMMENT ON FUNCTION report.packets_per_sensor_day IS
    'Mean packets a day for each address that listens (R7, R8), for each step (15min, hour, day, week from Monday, month; '
    'in the reporting zone) and grp: domestic (sensors in the home region) and overseas, both always. mean_packets: '
    'packets / covered_address_days over the group, covered_address_days: for each sensor its addresses (a prefix: all '
    'of its) times the time that it listened. An outage so changes no mean; where nobody listened it is NULL. Sensors '
    'that take everything (0.0.0.0/0, ::/0) are left out on days on which they did. mean_year_before: the same a year '
    'before (a month: that month; a week: 52 weeks before; else that date, of 29 February 28 February); '
    'mean_same_sensors and mean_year_before_same_sensors: both over those sensors alone that listened in both; NULL '
    'where nobody listened then, where its rollups were dropped or lack rows, and for steps below a day with keys other '
    'than sensors, sensor_region, grp, home, because rows are not kept that long. packets: those that the mean counts. A '
    'step that the period cuts holds only its days, and begins with it; none begins after now. dataset: address data '
    'of the rows. as_of: all that was received before is counted. All keys of the filter; grp leaves the other group '
    'NULL.';

CREATE FUNCTION report.service_trend(period daterange, filter jsonb DEFAULT '{}', step text DEFAULT 'day',
    n int DEFAULT 5)
RETURNS TABLE (step_start timestamptz, service text, packets bigint, hosts bigint,
    packets_per_address_day double precision, covered double precision, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    unit text := hirundo.check_step(step, '{15min,hour,day,week,month}');
    s hirundo.series;
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    stored := hirundo.stored_answer('service_trend', period,
        jsonb_build_object('filter', filter, 'n', n, 'step', step));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('service_trend') USING stored;
        RETURN;
    END IF;
    s := hirundo.series(period, unit);
    IF s.raw THEN
        PERFORM hirundo.check_raw(period, f.sensors);
    END IF;
    as_of := hirundo.rollup_as_of(period, f.sensors);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    IF f.services IS NOT NULL THEN
        f.services := ARRAY(
            SELECT k.service FROM unnest(f.services) AS k (service) ORDER BY hirundo.service_order(k.service));
    ELSIF s.raw THEN
        f.services := ARRAY(
            SELECT c.service FROM hirundo.report_raw(period, f, s) c GROUP BY c.service
            ORDER BY sum(c.packets) DESC, hirundo.service_order(c.service) LIMIT n);
    ELSE
        f.services := ARRAY(
            SELECT c.service FROM hirundo.counted_services(period, f) c
            ORDER BY c.packets DESC, hirundo.service_order(c.service) LIMIT n);
    END IF;
    RETURN QUERY
    WITH counted AS (
        SELECT c.step, c.key, sum(c.packets)::bigint AS packets, sum(c.packets_mean) AS packets_mean,
            coalesce(sum(c.hosts), 0)::bigint AS hosts
        FROM (
            SELECT p.step, p.key, p.packets, p.packets_mean, NULL::bigint AS hosts
            FROM hirundo.step_packets(period, f, s, 'service') p
            UNION ALL
            SELECT h.step, h.key, NULL, NULL, h.hosts FROM hirundo.step_hosts(period, f, s, 'service') h) c
        GROUP BY 1, 2
    )
    SELECT b.step_start, k.service, CASE WHEN c.step IS NOT NULL THEN c.packets WHEN b.covered > 0 THEN 0 END,
        CASE WHEN c.step IS NOT NULL THEN c.hosts WHEN b.covered > 0 THEN 0 END,
        CASE WHEN f.means THEN coalesce(c.packets_mean, 0) / b.address_days END, b.covered, dataset, as_of
    FROM hirundo.step_covered(period, f.sensors, s) b
    CROSS JOIN unnest(f.services) WITH ORDINALITY AS k (service, place)
    LEFT JOIN counted c ON c.step = b.step AND c.key = k.service
    ORDER BY b.step, k.place;
END
$$;
COMMENT ON FUNCTION report.service_trend IS
    'Services over time (R2, R17): a row for each step (15min, hour, day, week from Monday, month; in the reporting '
    'zone) and service, also where it did not come. Services: those of the filter, ordered by protocol and port; without '
    'that key the n with most packets over the whole period under the filter, most first, ties by protocol and port. '
    'packets: sum; hosts: distinct sources (IPv6: /64) over the whole step; they don''t add up. packets_per_address_day: '
    'packets / covered address-days, as in report.packets_per_sensor_day, of the sensors of the filter that have a place '
    'in means. covered: share of the step (of one that lasts: until now) in which these sensors listened. Where nobody '
    'did: packets and hosts NULL unless some came, the mean NULL; so is it for a viewer to whom '
    'report.packets_per_sensor_day is refused. A step that the period cuts holds only its days, and '
    'begins with it; none begins after now. Steps below a day are counted from the rows of observation: where these '
    'are not kept any more, that is an error. dataset: address data of the rows. as_of: all that was received before '
    'is counted. All keys of the filter; n (NULL: all) is not used where it has services.';

CREATE FUNCTION report.source_region_trend(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT 5,
    step text DEFAULT 'day')
RETURNS TABLE (step_start timestamptz, region char(2), packets bigint, hosts bigint,
    packets_per_address_day double precision, covered double precision, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    unit text := hirundo.check_step(step, '{15min,hour,day,week,month}');
    s hirundo.series;
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    stored := hirundo.stored_answer('source_region_trend', period,
        jsonb_build_object('filter', filter, 'n', n, 'step', step));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('source_region_trend') USING stored;
        RETURN;
    END IF;
    s := hirundo.series(period, unit);
    IF s.raw THEN
        PERFORM hirundo.check_raw(period, f.sensors);
    END IF;
    as_of := hirundo.rollup_as_of(period, f.sensors);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    IF s.raw THEN
        f.src_regions := ARRAY(
            SELECT coalesce(c.src_region, 'ZZ') FROM hirundo.report_raw(period, f, s) c
            GROUP BY 1 ORDER BY sum(c.packets) DESC, 1 LIMIT n);
    ELSE
        f.src_regions := ARRAY(
            SELECT c.region FROM hirundo.counted_regions(period, f) c ORDER BY c.packets DESC, 1 LIMIT n);
    END IF;
    RETURN QUERY
    WITH counted AS (
        SELECT c.step, c.key, sum(c.packets)::bigint AS packets, sum(c.packets_mean) AS packets_mean,
            coalesce(sum(c.hosts), 0)::bigint AS hosts
        FROM (
            SELECT p.step, p.key, p.packets, p.packets_mean, NULL::bigint AS hosts
            FROM hirundo.step_packets(period, f, s, 'region') p
            UNION ALL
            SELECT h.step, h.key, NULL, NULL, h.hosts FROM hirundo.step_hosts(period, f, s, 'region') h) c
        GROUP BY 1, 2
    )
    SELECT b.step_start, k.region::char(2), CASE WHEN c.step IS NOT NULL THEN c.packets WHEN b.covered > 0 THEN 0 END,
        CASE WHEN c.step IS NOT NULL THEN c.hosts WHEN b.covered > 0 THEN 0 END,
        CASE WHEN f.means THEN coalesce(c.packets_mean, 0) / b.address_days END, b.covered, dataset, as_of
    FROM hirundo.step_covered(period, f.sensors, s) b
    CROSS JOIN unnest(f.src_regions::text[]) WITH ORDINALITY AS k (region, place)
    LEFT JOIN counted c ON c.step = b.step AND c.key = k.region
    ORDER BY b.step, k.place;
END
$$;
COMMENT ON FUNCTION report.source_region_trend IS
    'Source regions over time (R4): a row for each step and region, as report.service_trend has them for services. '
    'Regions: the n (NULL: all) with most packets over the whole period under the filter, most first, ties by code; ZZ: '
    'not known. region: of the registration of the source when it was received; where new address data changed it, that '
    'of the day (steps below a day: of the row). All keys of the filter.';

CREATE FUNCTION report.ack_packets(period daterange, filter jsonb DEFAULT '{}', step text DEFAULT 'day')
RETURNS TABLE (step_start timestamptz, kind text, packets bigint, hosts bigint, covered double precision, dataset text,
    as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    unit text := hirundo.check_step(step, '{15min,hour,day,week,month}');
    s hirundo.series;
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors);
    stored := hirundo.stored_answer('ack_packets', period,
        jsonb_build_object('filter', filter, 'step', step));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('ack_packets') USING stored;
        RETURN;
    END IF;
    s := hirundo.series(period, unit);
    IF s.raw THEN
        PERFORM hirundo.check_raw(period, f.sensors);
    END IF;
    as_of := hirundo.rollup_as_of(period, f.sensors);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    RETURN QUERY
    WITH counted AS (
        SELECT c.step, c.key, sum(c.packets)::bigint AS packets, sum(c.packets_mean) AS packets_mean,
            coalesce(sum(c.hosts), 0)::bigint AS hosts
        FROM (
            SELECT p.step, p.key, p.packets, p.packets_mean, NULL::bigint AS hosts
            FROM hirundo.step_packets(period, f, s, 'ack') p
            UNION ALL
            SELECT h.step, h.key, NULL, NULL, h.hosts FROM hirundo.step_hosts(period, f, s, 'ack') h) c
        GROUP BY 1, 2
    )
    SELECT b.step_start, k.kind, CASE WHEN c.step IS NOT NULL THEN c.packets WHEN b.covered > 0 THEN 0 END,
        CASE WHEN c.step IS NOT NULL THEN c.hosts WHEN b.covered > 0 THEN 0 END, b.covered, dataset, as_of
    FROM hirundo.step_covered(period, f.sensors, s) b
    CROSS JOIN (VALUES ('ack'), ('synack'), ('rstack')) AS k (kind)
    LEFT JOIN counted c ON c.step = b.step AND c.key = k.kind
    ORDER BY b.step, k.kind;
END
$$;
COMMENT ON FUNCTION report.ack_packets IS
    'TCP packets with ACK over time (R5): a row for each step, as in report.service_trend, and kind: ack (ACK without SYN '
    'and RST), synack (SYN too), rstack (RST too, with or without SYN); their packets add up to all with ACK. hosts: '
    'distinct sources (IPv6: /64) over the whole step. covered, NULL, dataset, as_of as in report.service_trend. All '
    'keys of the filter.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('all', 'report.coverage',
        $x$SELECT * FROM report.coverage(daterange(current_date - 30, current_date), '{"grp": "domestic"}', 'day')$x$),
    ('R7, R8', 'report.packets_per_sensor_day',
        $x$SELECT * FROM report.packets_per_sensor_day(daterange(current_date - 90, current_date), '{}', 'month')$x$),
    ('R2, R17', 'report.service_trend',
        $x$SELECT * FROM report.service_trend(daterange(current_date - 30, current_date), '{"services": "22/TCP"}')$x$),
    ('R4', 'report.source_region_trend',
        $x$SELECT * FROM report.source_region_trend(daterange(current_date - 30, current_date), '{"grp": "domestic"}', 5, 'week')$x$),
    ('R5', 'report.ack_packets',
        $x$SELECT * FROM report.ack_packets(daterange(current_date - 30, current_date), '{"src_region": "JP"}')$x$);

REVOKE ALL ON FUNCTION report.coverage, report.packets_per_sensor_day, report.service_trend, report.source_region_trend,
    report.ack_packets FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report.coverage, report.packets_per_sensor_day, report.service_trend,
    report.source_region_trend, report.ack_packets TO hirundo_analyst, hirundo_dashboard;
