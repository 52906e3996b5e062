-- Series: numbers by step (15 minutes, hour, day, week, month; in the reporting zone).
--
-- Steps of days and more are added up from the rollups of days, which can be cut nowhere else. Shorter ones are
-- counted from the rows of observation, of the days asked for alone, by the same rules: hosts by the hour would need a
-- rollup almost as large as the rows. Only packets without any key on packets have their 15 minutes, in coverage, and
-- their weeks and months, in coverage_step.

-- Steps.

CREATE FUNCTION hirundo.step_starts(period daterange, unit text) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    since timestamptz := hirundo.day_start(lower(period));
    till timestamptz := least(hirundo.day_start(upper(period)), now());
    zone text := hirundo.reporting_zone();
BEGIN
    IF unit IN ('15min', 'hour') THEN
        RETURN ARRAY(
            SELECT DISTINCT CASE unit WHEN '15min' THEN b.at ELSE greatest(date_trunc(unit, b.at, zone), since) END
            FROM generate_series(since, till - interval '1 microsecond', '15 min') AS b (at) ORDER BY 1);
    END IF;
    RETURN ARRAY(
        SELECT s.day::timestamp AT TIME ZONE zone
        FROM (
            SELECT DISTINCT greatest(date_trunc(unit, d.at)::date, lower(period)) AS day
            FROM generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS d (at)) s
        ORDER BY s.day);
END
$$;
COMMENT ON FUNCTION hirundo.step_starts IS
    'When the steps of a period begin, in order: 15min, hour, day, week (Monday) or month of the reporting zone; a step '
    'that the period cuts begins with it. None after now.';

CREATE TYPE hirundo.series AS (
    unit text,
    raw boolean,
    zone text,
    starts timestamptz[],
    days date[],
    slots timestamptz[],
    slot_days date[],
    slot_steps int[],
    whole daterange,
    till timestamptz
);
COMMENT ON TYPE hirundo.series IS
    'Steps of a period as series() made them. raw: below a day; zone: the reporting zone; starts: when the steps begin, '
    'days: on which reporting days; slots: parts of steps that lie in a day each (days, or the steps), with slot_days '
    'when they begin, and slot_steps which step they are of (from 1; NULL: none); whole: the weeks or months that the '
    'period does not cut, empty for other units; till: when the period ends.';

CREATE FUNCTION hirundo.series(period daterange, unit text) RETURNS hirundo.series
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    s hirundo.series;
    since date;
BEGIN
    s.unit := unit;
    s.raw := unit IN ('15min', 'hour');
    s.zone := hirundo.reporting_zone();
    s.starts := hirundo.step_starts(period, unit);
    s.days := ARRAY(
        SELECT (b.at AT TIME ZONE s.zone)::date FROM unnest(s.starts) WITH ORDINALITY AS b (at, n) ORDER BY b.n);
    s.slots := CASE WHEN s.raw THEN s.starts ELSE hirundo.step_starts(period, 'day') END;
    s.slot_days := ARRAY(
        SELECT (b.at AT TIME ZONE s.zone)::date FROM unnest(s.slots) WITH ORDINALITY AS b (at, n) ORDER BY b.n);
    s.slot_steps := ARRAY(
        SELECT width_bucket(b.at, s.starts) FROM unnest(s.slots) WITH ORDINALITY AS b (at, n) ORDER BY b.n);
    s.whole := 'empty';
    IF unit IN ('week', 'month') THEN
        since := date_trunc(unit, (lower(period) - 1)::timestamp) + ('1 ' || unit)::interval;
        s.whole := daterange(since, greatest(since, date_trunc(unit, upper(period)::timestamp)::date));
    END IF;
    s.till := hirundo.day_start(upper(period));
    RETURN s;
END
$$;
COMMENT ON FUNCTION hirundo.series IS 'The steps of a period: 15min, hour, day, week or month.';

CREATE FUNCTION hirundo.check_raw(period daterange, sensors int[]) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    since timestamptz := hirundo.day_start(lower(period));
    till timestamptz := hirundo.day_start(upper(period));
    gone date;
BEGIN
    -- Locks the table: from here on no day is dropped.
    PERFORM FROM ONLY hirundo.observation;
    SELECT d.day INTO gone
    FROM (
        SELECT f.day FROM hirundo.ingest_day_frozen f
        WHERE f.sensor_id = ANY (sensors) AND f.day BETWEEN (since AT TIME ZONE 'UTC')::date
            AND ((till - interval '1 microsecond') AT TIME ZONE 'UTC')::date
        UNION ALL
        -- to_regclass() knows what was dropped since this statement's snapshot.
        SELECT u.day::date
        FROM generate_series(date_trunc('day', since AT TIME ZONE 'UTC'),
            (till - interval '1 microsecond') AT TIME ZONE 'UTC', '1 day') AS u (day)
        WHERE to_regclass('hirundo.observation' || to_char(u.day, '_YYYYMMDD')) IS NULL
            AND EXISTS (
                SELECT FROM unnest(sensors) AS i (id) JOIN hirundo.coverage o ON o.sensor_id = i.id
                WHERE o.bucket >= greatest(since, u.day AT TIME ZONE 'UTC') AND o.packets > 0
                    AND o.bucket < least(till, (u.day + interval '1 day') AT TIME ZONE 'UTC'))
    ) d
    ORDER BY d.day DESC LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'rows of % (UTC) are not kept any more, and steps below a day and samples are made from them', gone
            USING ERRCODE = '55000', HINT = format('Ask by day, week or month, or for days from %L on '
                '(setting raw_retention_days).', gone + 2);
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_raw IS
    'Error where rows of observation of these sensors in the period were dropped. Else none is until the end of the '
    'transaction.';

-- Addresses.

CREATE FUNCTION hirundo.address_span(sensors int[])
RETURNS TABLE (sensor_id int, since timestamptz, till timestamptz, addresses bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
-- Not in SQL: as part of a query it might run for each of its rows.
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH entry AS (
        -- A capture may be older than its sensor: what that announced first always was its.
        SELECT a.sensor_id, a.targets, CASE WHEN a.valid_from = min(a.valid_from) OVER (PARTITION BY a.sensor_id)
                THEN '-infinity' ELSE date_bin('15 minutes', a.valid_from, '1970-01-01 00:00:00+00') END AS since,
            coalesce(date_bin('15 minutes', a.valid_to, '1970-01-01 00:00:00+00'), 'infinity') AS till
        FROM hirundo.sensor_address a WHERE a.sensor_id = ANY (sensors)
    ), span AS (
        SELECT b.sensor_id, b.at AS since, lead(b.at) OVER (PARTITION BY b.sensor_id ORDER BY b.at) AS till
        FROM (SELECT e.sensor_id, e.since AS at FROM entry e UNION SELECT e.sensor_id, e.till FROM entry e) b
    )
    SELECT s.sensor_id, s.since, s.till, CASE WHEN min(e.targets) > 0 THEN sum(e.targets)::bigint END
    FROM span s JOIN entry e ON e.sensor_id = s.sensor_id AND e.since <= s.since AND e.till >= s.till
    WHERE s.till IS NOT NULL
    GROUP BY s.sensor_id, s.since, s.till;
END
$$;
COMMENT ON FUNCTION hirundo.address_span IS
    'How many addresses sensors listened on from when to when, by 15 minutes (an IPv4 prefix: all of its, an IPv6 '
    'prefix: 1); NULL: it took everything. What a sensor announced first counts for all time before, too.';

CREATE FUNCTION hirundo.mean_day(period daterange, sensors int[]) RETURNS TABLE (sensor_id int, day date)
LANGUAGE plpgsql STABLE PARALLEL SAFE
-- Not in SQL: as part of a query it might run for each of its rows.
AS $$
#variable_conflict use_column
DECLARE
    zone text := hirundo.reporting_zone();
BEGIN
    RETURN QUERY
    WITH day AS MATERIALIZED (
        SELECT g.at::date AS day, g.at AT TIME ZONE zone AS since, (g.at + interval '1 day') AT TIME ZONE zone AS till
        FROM generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS g (at)
    )
    SELECT s.sensor_id, d.day
    FROM hirundo.address_span(sensors) s JOIN day d ON s.since < d.till AND s.till > d.since
    GROUP BY s.sensor_id, d.day
    HAVING bool_and(s.addresses IS NOT NULL);
END
$$;
COMMENT ON FUNCTION hirundo.mean_day IS
    'Days on which sensors have a place in means: they had an address, and did not take everything.';

CREATE FUNCTION hirundo.listened(period daterange, sensors int[], s hirundo.series)
RETURNS TABLE (step int, sensor_id int, seconds double precision, address_seconds double precision, packets bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET enable_sort = off
-- Not in SQL: as part of a query it might run for each of its rows.
AS $$
#variable_conflict use_column
BEGIN
    IF s.raw THEN
        RETURN QUERY
        SELECT o.step, o.sensor_id, sum(o.seconds),
            CASE WHEN m.n IS NOT NULL THEN coalesce(sum(o.seconds * a.addresses), 0) END,
            CASE WHEN m.n IS NOT NULL THEN sum(o.packets)::bigint END
        FROM (
            SELECT width_bucket(c.bucket, s.starts) AS step, c.* FROM hirundo.coverage c
            WHERE c.sensor_id = ANY (sensors) AND c.bucket >= s.starts[1] AND c.bucket < s.till) o
        LEFT JOIN hirundo.address_span(sensors) a
            ON a.sensor_id = o.sensor_id AND o.bucket >= a.since AND o.bucket < a.till
        LEFT JOIN (
            SELECT d.sensor_id, u.n FROM hirundo.mean_day(period, sensors) d
            JOIN unnest(s.days) WITH ORDINALITY AS u (day, n) USING (day)) m
            ON m.sensor_id = o.sensor_id AND m.n = o.step
        GROUP BY o.step, o.sensor_id, m.n;
        RETURN;
    END IF;
    RETURN QUERY
    WITH span AS MATERIALIZED (
        SELECT a.sensor_id, a.since, a.till, a.addresses FROM hirundo.address_span(sensors) a
    ), moved AS MATERIALIZED (
        -- Days in whose midst addresses of a sensor changed.
        SELECT DISTINCT b.sensor_id, s.slot_steps[b.slot] AS step, s.slot_days[b.slot] AS day, s.slots[b.slot] AS since,
            coalesce(s.slots[b.slot + 1], s.till) AS till
        FROM (
            SELECT a.sensor_id, c.at, width_bucket(c.at, s.slots) AS slot
            FROM span a CROSS JOIN LATERAL (VALUES (a.since), (a.till)) AS c (at)
            WHERE c.at > s.slots[1] AND c.at < s.till) b
        WHERE b.at > s.slots[b.slot]
    ), steady AS MATERIALIZED (
        -- Whose addresses stayed the same over all weeks or months that the period does not cut.
        SELECT a.sensor_id, a.addresses FROM span a
        WHERE a.since <= s.slots[lower(s.whole) - lower(period) + 1]
            AND a.till >= coalesce(s.slots[upper(s.whole) - lower(period) + 1], s.till)
    )
    SELECT u.step, u.sensor_id, sum(u.seconds), sum(u.address_seconds),
        sum(u.packets) FILTER (WHERE u.address_seconds IS NOT NULL)::bigint
    FROM (
        SELECT s.slot_steps[o.day - lower(period) + 1] AS step, o.sensor_id, o.seconds,
            o.seconds * t.addresses AS address_seconds, o.packets
        FROM steady t
        CROSS JOIN LATERAL (
            SELECT c.* FROM hirundo.coverage_step c
            WHERE c.sensor_id = t.sensor_id AND c.unit = s.unit AND c.day >= lower(s.whole) AND c.day < upper(s.whole)
            OFFSET 0) o
        UNION ALL
        -- Days of the others, and of what the period cuts.
        SELECT s.slot_steps[o.day - lower(period) + 1], o.sensor_id, o.seconds, o.seconds * a.addresses, o.packets
        FROM unnest(sensors) AS i (sensor_id)
        LEFT JOIN steady t USING (sensor_id)
        CROSS JOIN LATERAL unnest(datemultirange(period)
            - datemultirange(CASE WHEN t.sensor_id IS NOT NULL THEN s.whole ELSE 'empty' END)) AS r (days)
        CROSS JOIN LATERAL (
            SELECT c.* FROM hirundo.coverage_day c
            WHERE c.sensor_id = i.sensor_id AND c.day >= lower(r.days) AND c.day < upper(r.days) OFFSET 0) o
        LEFT JOIN span a ON a.sensor_id = o.sensor_id AND s.slots[o.day - lower(period) + 1] >= a.since
            AND s.slots[o.day - lower(period) + 1] < a.till
        WHERE (o.sensor_id, o.day) NOT IN (SELECT m.sensor_id, m.day FROM moved m)
        UNION ALL
        -- The 15 minutes of days on which they changed.
        SELECT m.step, m.sensor_id, o.seconds, CASE WHEN w.mean THEN o.address_seconds END, o.packets
        FROM moved m
        CROSS JOIN LATERAL (
            SELECT bool_and(a.addresses IS NOT NULL) AS mean FROM span a
            WHERE a.sensor_id = m.sensor_id AND a.since < m.till AND a.till > m.since) w
        CROSS JOIN LATERAL (
            SELECT sum(c.seconds) AS seconds, coalesce(sum(c.seconds * a.addresses), 0) AS address_seconds,
                sum(c.packets)::bigint AS packets
            FROM hirundo.coverage c
            LEFT JOIN span a ON a.sensor_id = c.sensor_id AND c.bucket >= a.since AND c.bucket < a.till
            WHERE c.sensor_id = m.sensor_id AND c.bucket >= m.since AND c.bucket < m.till
            HAVING count(*) > 0) o) u
    WHERE u.step IS NOT NULL
    GROUP BY u.step, u.sensor_id;
END
$$;
COMMENT ON FUNCTION hirundo.listened IS
    'By sensor and step of the series: seconds that it listened; of days on which it has a place in means, the same '
    'times its addresses, and packets received (NULL: of no such day).';

CREATE FUNCTION hirundo.step_covered(period daterange, sensors int[], s hirundo.series)
RETURNS TABLE (step int, step_start timestamptz, covered double precision, address_days double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT b.n::int, b.at,
        coalesce(l.seconds, 0) / (nullif(cardinality(sensors), 0) * greatest(1, extract(epoch FROM
            coalesce(lead(b.at) OVER (ORDER BY b.n), least(s.till, now())) - b.at)::double precision)),
        nullif(l.address_seconds, 0) / 86400
    FROM unnest(s.starts) WITH ORDINALITY AS b (at, n)
    LEFT JOIN (
        SELECT h.step, sum(h.seconds) AS seconds, sum(h.address_seconds) AS address_seconds
        FROM hirundo.listened(period, sensors, s) h
        GROUP BY h.step) l ON l.step = b.n;
END
$$;
COMMENT ON FUNCTION hirundo.step_covered IS
    'For each step the share of it (of one that lasts: until now) in which these sensors listened, 0 to 1, NULL where '
    'there are none; and the covered address-days that means divide by, NULL for none.';

-- Rows.

CREATE FUNCTION hirundo.report_raw(period daterange, f hirundo.report_filter, s hirundo.series)
RETURNS TABLE (at timestamptz, sensor_id int, day date, service text, src inet, src_region char(2), ack_kind text,
    packets int)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.observed_at, r.sensor_id, d.day, d.service, r.src, r.src_region,
        CASE WHEN r.protocol = 6 THEN hirundo.ack_kind(r.tcp_flags) END, r.packets
    FROM hirundo.observation r
    CROSS JOIN LATERAL (
        SELECT (r.observed_at AT TIME ZONE (s).zone)::date, hirundo.service(r.protocol, r.dst_port)) AS d (day, service)
    WHERE r.observed_at >= (s).starts[1] AND r.observed_at < (s).till
        AND r.sensor_id = ANY ((f).sensors)
        AND ((f).src_regions IS NULL OR coalesce(r.src_region, 'ZZ') = ANY ((f).src_regions))
        AND ((f).asns IS NULL OR r.src_asn = ANY ((f).asns))
        AND ((f).networks IS NULL OR r.src <<= ANY ((f).networks))
        -- Whose a source was is kept by the day.
        AND ((f).organizations IS NULL OR EXISTS (
            SELECT FROM hirundo.source_day o
            WHERE o.sensor_id = r.sensor_id AND o.day = d.day AND o.service = d.service AND o.src = r.src
                AND (o.organization_id = ANY ((f).organizations)
                    OR (o.organization_id IS NULL AND o.src_asn = ANY ((f).organization_asns)))
                AND o.day >= lower(period) AND o.day < upper(period)))
        AND ((f).group4 IS NULL OR hirundo.within(r.src, (f).group4, (f).group6))
        AND NOT ((f).without_scanners AND coalesce(
            hirundo.within(r.src, (SELECT hirundo.bounds4(hirundo.scanners(period, true))),
                (SELECT hirundo.bounds6(hirundo.scanners(period, true)))), false))
        AND NOT ((f).without_scanners AND coalesce(
            hirundo.within(r.src, (SELECT hirundo.bounds4(hirundo.scanners(period, false))),
                (SELECT hirundo.bounds6(hirundo.scanners(period, false)))), false)
            AND EXISTS (SELECT FROM hirundo.scanner s
                WHERE s.network >>= r.src AND d.day <@ daterange(s.valid_from, s.valid_to, '[]')))
        AND ((f).services IS NULL OR d.service = ANY ((f).services))
        AND (NOT (f).ports_only OR (r.protocol IN (6, 17) AND r.dst_port IS NOT NULL))
        AND ((f).traits IS NULL OR r.traits & (f).traits <> 0)
        AND ((f).role IS NULL OR hirundo.role(r.traits) = (f).role)
        AND NOT ((f).without_bogon AND r.traits & 16 <> 0)
        AND (NOT (f).without_spoofed OR NOT EXISTS (
            SELECT FROM hirundo.verdict v
            WHERE v.verdict = 'spoofed' AND v.day = d.day AND v.src = r.src
                AND (v.track = 0 OR v.track = hirundo.initial_ttl(r.ttl))
                AND v.day >= lower(period) AND v.day < upper(period)));
END;
COMMENT ON FUNCTION hirundo.report_raw IS
    'Rows of observation in a period that a filter leaves: report_sources() with the time. Region and ASN are those of '
    'the row, not of its source''s day; the organization is that of the day.';

CREATE FUNCTION hirundo.series_rows(period daterange, f hirundo.report_filter, s hirundo.series)
RETURNS TABLE (step int, sensor_id int, day date, service text, src inet, src_region char(2), ack_kind text,
    packets bigint, cell bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- One of the two falls away.
    SELECT width_bucket(c.day, (s).days), c.sensor_id, c.day, c.service, c.src, c.src_region, c.ack_kind, c.packets,
        c.cell
    FROM hirundo.report_sources(period, f) c
    WHERE NOT (s).raw
    UNION ALL
    SELECT width_bucket(c.at, (s).starts), c.sensor_id, c.day, c.service, c.src, c.src_region, c.ack_kind, c.packets,
        NULL
    FROM hirundo.report_raw(period, f, s) c
    WHERE (s).raw;
END;
COMMENT ON FUNCTION hirundo.series_rows IS
    'Rows in a period that a filter leaves, each with the number of its step: of source_day, or raw.';

CREATE FUNCTION hirundo.step_packets(period daterange, f hirundo.report_filter, s hirundo.series, kind text)
RETURNS TABLE (step int, key text, packets bigint, packets_mean bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 1000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH part AS MATERIALIZED (
        -- One of the two falls away.
        SELECT width_bucket(c.day, s.days) AS step, c.sensor_id, c.day,
            CASE kind WHEN 'service' THEN c.service ELSE 'all' END AS key, sum(c.packets) AS packets
        FROM hirundo.report_services(period, f) c
        WHERE kind IN ('service', 'all') AND NOT s.raw
        GROUP BY c.sensor_id, c.day, 4
        UNION ALL
        SELECT c.step, c.sensor_id, c.day,
            CASE kind WHEN 'service' THEN c.service WHEN 'region' THEN coalesce(c.src_region, 'ZZ')
                WHEN 'ack' THEN c.ack_kind ELSE 'all' END,
            sum(c.packets)
        FROM hirundo.series_rows(period, f, s) c
        WHERE (kind NOT IN ('service', 'all') OR s.raw) AND (kind <> 'ack' OR c.ack_kind IS NOT NULL)
        GROUP BY 1, 2, 3, 4
    )
    SELECT g.step, g.key, sum(g.packets)::bigint, sum(g.packets) FILTER (WHERE m.day IS NOT NULL)::bigint
    FROM part g LEFT JOIN hirundo.mean_day(period, f.sensors) m USING (sensor_id, day)
    GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION hirundo.step_packets IS
    'Packets that a filter leaves, by step and service, region, ack or all together (kind), and of them those of sensors '
    'that have a place in means.';

CREATE FUNCTION hirundo.step_hosts(period daterange, f hirundo.report_filter, s hirundo.series, kind text)
RETURNS TABLE (step int, key text, hosts bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 1000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '256MB' SET jit = off SET enable_hashagg = off
AS $$
#variable_conflict use_column
DECLARE
    -- Steps have eleven bits.
    whole boolean := NOT s.raw AND cardinality(s.days) < 2048 AND hirundo.cells_whole(period);
    daily boolean := cardinality(s.days) = cardinality(s.slot_days);
BEGIN
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        -- Step, host, and in place of the service what hosts are counted by.
        SELECT
            (CASE WHEN daily THEN c.day - lower(period) + 1 ELSE width_bucket(c.day, s.days) END::bigint << 52)
            | CASE kind WHEN 'service' THEN c.cell & 4503599627370495
                ELSE (c.cell & 4503599626321920) | CASE kind WHEN 'region' THEN c.cell >> 52
                    WHEN 'ack' THEN CASE c.ack_kind WHEN 'ack' THEN 1 WHEN 'synack' THEN 2 ELSE 3 END
                    ELSE 0 END END AS cell
        FROM hirundo.report_sources(period, f) c
        WHERE whole AND c.cell IS NOT NULL AND (kind <> 'ack' OR c.ack_kind IS NOT NULL)
        GROUP BY 1
    ), other AS MATERIALIZED (
        SELECT DISTINCT c.step,
            CASE kind WHEN 'service' THEN c.service WHEN 'region' THEN coalesce(c.src_region, 'ZZ')
                WHEN 'ack' THEN c.ack_kind ELSE 'all' END AS key,
            hirundo.host(c.src) AS host
        FROM hirundo.series_rows(period, f, s) c
        WHERE (NOT whole OR c.cell IS NULL) AND c.src IS NOT NULL AND (kind <> 'ack' OR c.ack_kind IS NOT NULL)
    ), part AS (
        SELECT (n.number >> 20)::int AS step,
            CASE kind WHEN 'service' THEN hirundo.numbered_service(n.number & 1048575)
                WHEN 'region' THEN hirundo.numbered_region(n.number & 1048575)
                WHEN 'ack' THEN (ARRAY['ack', 'synack', 'rstack'])[n.number & 1048575] ELSE 'all' END AS key,
            count(*) AS hosts
        FROM (SELECT ((e.cell >> 52) << 20) | (e.cell & 1048575) AS number FROM cell e) n
        GROUP BY n.number
        UNION ALL
        SELECT o.step, o.key, count(*) FROM other o GROUP BY o.step, o.key
    )
    SELECT p.step, p.key, sum(p.hosts)::bigint FROM part p GROUP BY p.step, p.key;
END
$$;
COMMENT ON FUNCTION hirundo.step_hosts IS
    'Distinct hosts that a filter leaves, by step and service, region, ack or all together (kind).';

CREATE FUNCTION hirundo.slot_packets(period daterange, f hirundo.report_filter, s hirundo.series)
RETURNS TABLE (slot int, sensor_id int, day date, packets numeric)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    -- One of the two falls away.
    SELECT width_bucket(c.day, s.slot_days), c.sensor_id, c.day, sum(c.packets)
    FROM hirundo.day_totals(period, f) c WHERE NOT s.raw
    GROUP BY c.sensor_id, c.day
    UNION ALL
    SELECT width_bucket(c.at, s.slots), c.sensor_id, c.day, sum(c.packets)
    FROM hirundo.report_raw(period, f, s) c WHERE s.raw
    GROUP BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION hirundo.slot_packets IS 'Packets that a filter leaves, by slot of the series, sensor and day.';

CREATE FUNCTION hirundo.mean_parts(period daterange, f hirundo.report_filter, s hirundo.series, bare boolean)
RETURNS TABLE (step int, sensor_id int, packets bigint, address_seconds double precision)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    IF bare THEN
        RETURN QUERY
        SELECT l.step, l.sensor_id, l.packets, l.address_seconds
        FROM hirundo.listened(period, f.sensors, s) l WHERE l.address_seconds IS NOT NULL;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT step, sensor_id, coalesce(c.packets, 0), coalesce(l.address_seconds, 0)
    FROM (
        SELECT h.* FROM hirundo.listened(period, f.sensors, s) h WHERE h.address_seconds IS NOT NULL) l
    FULL JOIN (
        SELECT s.slot_steps[r.slot] AS step, r.sensor_id, sum(r.packets)::bigint AS packets
        FROM hirundo.slot_packets(period, f, s) r JOIN hirundo.mean_day(period, f.sensors) m USING (sensor_id, day)
        WHERE s.slot_steps[r.slot] IS NOT NULL
        GROUP BY 1, 2) c USING (step, sensor_id);
END
$$;
COMMENT ON FUNCTION hirundo.mean_parts IS
    'What means are made of: packets of each sensor and seconds that it listened times its addresses, by step of the '
    'series, of days on which it has a place in means. bare: the filter picks sensors alone.';

REVOKE ALL ON FUNCTION hirundo.step_starts, hirundo.series, hirundo.check_raw, hirundo.address_span, hirundo.mean_day,
    hirundo.listened, hirundo.step_covered, hirundo.report_raw, hirundo.series_rows, hirundo.step_packets,
    hirundo.step_hosts, hirundo.slot_packets, hirundo.mean_parts FROM PUBLIC;
