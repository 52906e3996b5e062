-- Lists for notices, and samples of payloads.
--
-- Notices go out about sources that are real and mean it: not about victims of floods, forged addresses, or
-- research. What is left out is counted, so that nobody takes a short list for little traffic.

-- Notices.

CREATE FUNCTION hirundo.notification_exclude(filter jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN coalesce(hirundo.filter_list(filter, 'exclude', 'string'),
    CASE WHEN filter ->> 'role' = 'response' THEN '{spoofed,scanner_org}'::text[]
        ELSE '{response,spoofed,scanner_org}'::text[] END);
COMMENT ON FUNCTION hirundo.notification_exclude IS
    'What a list for notices leaves out: key exclude of its filter; without it responses (unless role asks for them), '
    'spoofed tracks and research scanners.';

CREATE FUNCTION hirundo.notification_rows(period daterange, f hirundo.report_filter, without text[])
RETURNS TABLE (src inet, service text, sensor_id int, day date, packets bigint, first_at timestamptz,
    last_at timestamptz, traits int, src_region char(2), src_asn bigint, organization_id int, regions smallint,
    score real, reason text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.src, c.service, c.sensor_id, c.day, c.packets, c.first_at, c.last_at, c.traits, c.src_region, c.src_asn,
        c.organization_id, v.source_regions, v.score,
        CASE WHEN c.src IS NULL THEN 'no_source'
            WHEN 'response' = ANY (without) AND hirundo.role(c.traits) = 'response' THEN 'response'
            WHEN 'bogon' = ANY (without) AND c.traits & 16 <> 0 THEN 'bogon'
            WHEN 'spoofed' = ANY (without) AND v.verdict = 'spoofed' THEN 'spoofed'
            WHEN 'scanner_org' = ANY (without) AND (
                hirundo.within(c.src, (SELECT hirundo.bounds4(hirundo.scanners(period, true))),
                    (SELECT hirundo.bounds6(hirundo.scanners(period, true))))
                -- Those that were scanners on some of the days only.
                OR (hirundo.within(c.src, (SELECT hirundo.bounds4(hirundo.scanners(period, false))),
                        (SELECT hirundo.bounds6(hirundo.scanners(period, false))))
                    AND EXISTS (SELECT FROM hirundo.scanner s
                        WHERE s.network >>= c.src AND c.day <@ daterange(s.valid_from, s.valid_to, '[]'))))
                THEN 'scanner_org' END
    FROM hirundo.report_sources(period, f) c
    LEFT JOIN hirundo.verdict v ON v.day = c.day AND v.src = c.src AND (v.track = 0 OR v.track = c.initial_ttl)
        AND v.day >= lower(period) AND v.day < upper(period);
END;
COMMENT ON FUNCTION hirundo.notification_rows IS
    'Rows of source_day in a period that a filter (made without its key exclude) leaves, with the verdict of their '
    'track. reason: why a list for notices has them not, the first that holds of no_source (the address was the '
    'sensor''s own), response, bogon, spoofed, scanner_org, as far as without names them; NULL: it has them.';

CREATE FUNCTION hirundo.first_ever(sources inet[], few boolean, sensors int[])
RETURNS TABLE (src inet, first_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 10000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    IF few THEN
        -- What they are is told late: plans ask for statistics of each.
        RETURN QUERY
        SELECT d.src, min(d.first_at) FROM hirundo.source_day d
        WHERE d.src = ANY ((SELECT sources)::inet[]) AND d.sensor_id = ANY (sensors) GROUP BY d.src;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT d.src, min(d.first_at) FROM hirundo.source_day d
    JOIN (SELECT DISTINCT u.src FROM unnest(sources) AS u (src)) s USING (src)
    WHERE d.sensor_id = ANY (sensors) GROUP BY d.src;
END
$$;
COMMENT ON FUNCTION hirundo.first_ever IS
    'When any of these sensors saw any packet of sources first, as far back as rollups are kept. few: they are looked '
    'up one by one.';

CREATE FUNCTION report.notification(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT NULL)
RETURNS TABLE (src inet, first_seen timestamptz, last_seen timestamptz, first_ever timestamptz, packets bigint,
    services jsonb, src_ports int[], sensors int, traits text[], role text, asn bigint, organization text, contact text,
    scanner_org text, verdict text, src_ports_missing text, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    -- More are too many for a look at each one's raw rows.
    ports_max CONSTANT int := 20000;
    ports_shown CONSTANT int := 5;
    f hirundo.report_filter := hirundo.report_filter(filter);
    without text[] := hirundo.notification_exclude(filter);
    none bit varying;
    origin date;
    listed inet[];
    few inet[];
    places int[];
    dropped date[];
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_list(f), hirundo.check_period(period), hirundo.check_complete(period, f.sensors),
        hirundo.check_n(n);
    f := hirundo.report_filter(filter - 'exclude');
    origin := lower(period);
    as_of := hirundo.rollup_as_of(period, f.sensors);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    SELECT repeat('0', greatest(count(*), 1)::int)::bit varying INTO none FROM unnest(f.sensors);
    -- Who is listed; further work is about them alone, where they are few.
    listed := ARRAY(
        SELECT r.src FROM hirundo.notification_rows(period, f, without) r WHERE r.reason IS NULL
        GROUP BY r.src ORDER BY sum(r.packets) DESC, r.src LIMIT n);
    few := CASE WHEN cardinality(listed) <= ports_max THEN listed END;
    -- What a viewer of regions may look back on.
    places := ARRAY(SELECT s.sensor_id FROM hirundo.sensor s
        WHERE f.own IS NULL OR f.own_sources OR s.region = ANY (f.own));
    dropped := ARRAY(SELECT DISTINCT d.day FROM hirundo.ingest_day_frozen d
        WHERE d.sensor_id = ANY (f.sensors) AND d.day BETWEEN lower(period) - 1 AND upper(period));
    RETURN QUERY
    WITH place AS MATERIALIZED (
        SELECT i.id AS sensor_id, i.number::int - 1 AS bit FROM unnest(f.sensors) WITH ORDINALITY AS i (id, number)
    ), cell AS (
        SELECT r.src, r.service, sum(r.packets)::bigint AS packets, min(r.first_at) AS first_at,
            max(r.last_at) AS last_at, bit_or(r.traits) AS traits, bit_or(set_bit(none, p.bit, 1)) AS sensors,
            bool_or(hirundo.role(r.traits) = 'probe') AS probes, max(r.src_asn) AS asn,
            max(ARRAY[r.day - origin, r.organization_id]) FILTER (WHERE r.organization_id IS NOT NULL) AS organization,
            max(ARRAY[coalesce(r.regions, -1), -coalesce(r.score, 10), r.day - origin]::double precision[]) AS best
        FROM hirundo.notification_rows(period, f, without) r JOIN place p USING (sensor_id)
        WHERE r.reason IS NULL AND (few IS NULL OR r.src = ANY (few))
        GROUP BY r.src, r.service
    ), source AS MATERIALIZED (
        SELECT c.src, min(c.first_at) AS first_at, max(c.last_at) AS last_at, sum(c.packets)::bigint AS packets,
            jsonb_object_agg(c.service, c.packets) AS services, bit_count(bit_or(c.sensors))::int AS sensors,
            bit_or(c.traits) AS traits, bool_or(c.probes) AS probes, max(c.asn) AS asn,
            (max(c.organization))[2] AS organization_id, origin + (max(c.best))[3]::int AS day
        FROM cell c GROUP BY c.src
        ORDER BY sum(c.packets) DESC, c.src LIMIT n
    ), ever AS MATERIALIZED (
        SELECT a.* FROM hirundo.first_ever(listed, few IS NOT NULL, places) a
    ), port AS (
        SELECT p.src, (array_agg(p.src_port ORDER BY p.packets DESC, p.src_port))[:ports_shown] AS ports
        FROM (
            SELECT r.src, r.src_port, sum(r.packets) AS packets
            FROM hirundo.notification_packets(period, f, without, CASE WHEN f.own_sensors THEN few END) r
            WHERE r.src_port IS NOT NULL GROUP BY r.src, r.src_port) p
        GROUP BY p.src
    )
    SELECT s.src, hirundo.shown_time(s.first_at, f.own_sensors), hirundo.shown_time(s.last_at, f.own_sensors),
        hirundo.shown_time(e.first_at, f.own_sensors), s.packets, s.services,
        CASE WHEN m.missing IS NULL THEN coalesce(p.ports, '{}') END, s.sensors,
        ARRAY(SELECT t.name FROM hirundo.trait t WHERE s.traits & (1 << t.bit) <> 0 ORDER BY t.name),
        CASE WHEN hirundo.role(s.traits) = 'probe' THEN 'probe' WHEN s.probes THEN 'both' ELSE 'response' END, s.asn,
        coalesce(o.name, 'AS' || s.asn), o.contact, (
            SELECT i.organization FROM hirundo.scanner i
            WHERE i.network >>= s.src AND daterange(i.valid_from, i.valid_to, '[]') && period
            ORDER BY masklen(i.network) DESC, i.entry LIMIT 1), (
            SELECT CASE WHEN bool_or(v.verdict = 'spoofed') THEN
                    CASE WHEN bool_or(v.verdict = 'genuine') THEN 'mixed' ELSE 'spoofed' END
                WHEN bool_or(v.verdict = 'genuine') THEN 'genuine' ELSE 'undetermined' END
            FROM hirundo.verdict v
            WHERE v.day = s.day AND v.src = s.src AND NOT ('spoofed' = ANY (without) AND v.verdict = 'spoofed')),
        m.missing, dataset, as_of
    FROM source s
    JOIN ever e USING (src)
    LEFT JOIN port p USING (src)
    LEFT JOIN hirundo.organization o USING (organization_id)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT f.own_sensors THEN 'not shown: of others'' sensors, too'
            WHEN few IS NULL THEN format('more than %s sources', ports_max)
            WHEN EXISTS (SELECT FROM unnest(dropped) AS d (day)
                WHERE d.day BETWEEN (s.first_at AT TIME ZONE 'UTC')::date AND (s.last_at AT TIME ZONE 'UTC')::date)
            THEN 'raw rows were dropped' END AS missing) m
    ORDER BY s.packets DESC, s.src;
END
$$;
COMMENT ON FUNCTION report.notification IS
    'Sources to write notices about (R14), a row for each address, most packets first, ties by address. Without key '
    'exclude, responses (victims of floods; unless role asks for them), spoofed tracks and research scanners are left '
    'out; report.notification_excluded counts them. packets, services (packets by service), traits, sensors (how many '
    'saw it), first_seen, last_seen: of what is left. role: probe, response, or both. first_ever: when any sensor saw '
    'any packet of it first, as far back as rollups are kept. src_ports: its 5 most frequent source ports, ties by '
    'port, empty where it showed none; NULL where src_ports_missing says why: raw rows of a day that it may have been '
    'seen on were dropped, or more than 20,000 sources are listed. asn: where it changed in the period, the greater. '
    'organization, contact: who held it on the latest day for which that is known; without one, AS and the number, and '
    'no contact. scanner_org: research scanner in whose networks it was on a day of the period. '
    'verdict: of the day on which it was seen from most regions, ties by lowest score, then the latest: mixed where a '
    'track of that day is genuine and another spoofed; tracks left out as spoofed aside; undetermined also where it is '
    'not judged yet. dataset: address data of the rows. as_of: all that was received before is counted.';

CREATE FUNCTION report.notification_excluded(period daterange, filter jsonb DEFAULT '{}')
RETURNS TABLE (reason text, sources bigint, packets bigint, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    without text[] := hirundo.notification_exclude(filter);
    reasons text[] := ARRAY(
        SELECT r.reason
        FROM unnest('{no_source,response,bogon,spoofed,scanner_org}'::text[]) WITH ORDINALITY AS r (reason, number)
        WHERE r.reason = 'no_source' OR r.reason = ANY (without) ORDER BY r.number);
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_list(f), hirundo.check_period(period), hirundo.check_complete(period, f.sensors);
    f := hirundo.report_filter(filter - 'exclude');
    as_of := hirundo.rollup_as_of(period, f.sensors);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    RETURN QUERY
    WITH part AS MATERIALIZED (
        SELECT r.src, array_position(reasons, r.reason) AS number, sum(r.packets) AS packets
        FROM hirundo.notification_rows(period, f, without) r GROUP BY r.src, r.reason
    ), source AS (
        SELECT p.src, min(p.number) AS number FROM part p
        GROUP BY p.src HAVING bool_and(p.number IS NOT NULL)
    )
    SELECT k.reason, coalesce(s.sources, 0), coalesce(p.packets, 0)::bigint, dataset, as_of
    FROM unnest(reasons) WITH ORDINALITY AS k (reason, number)
    LEFT JOIN (SELECT number, sum(packets) AS packets FROM part GROUP BY number) p USING (number)
    LEFT JOIN (SELECT number, count(src) AS sources FROM source GROUP BY number) s USING (number)
    ORDER BY k.number;
END
$$;
COMMENT ON FUNCTION report.notification_excluded IS
    'What report.notification leaves out, a row for each reason that it has, also where that met nobody: response, '
    'bogon, spoofed, scanner_org, and no_source (the address was the sensor''s own). Packets count for the first of '
    'no_source, response, bogon, spoofed, scanner_org that holds. sources: addresses of which nothing is listed, each '
    'once, for the first of its reasons. So packets (sources) here and in the list together are all packets (sources) '
    'that the filter''s other keys leave. dataset, as_of: as in report.notification.';

CREATE FUNCTION hirundo.notification_packets(
    period daterange, f hirundo.report_filter, without text[], few inet[])
RETURNS TABLE (src inet, service text, src_port int, first_at timestamptz, packets bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    zone text := hirundo.reporting_zone();
    since timestamptz := hirundo.day_start(lower(period));
    till timestamptz := hirundo.day_start(upper(period));
BEGIN
    RETURN QUERY
    SELECT o.src, hirundo.service(o.protocol, o.dst_port), o.src_port, min(o.observed_at), sum(o.packets)::bigint
    FROM hirundo.observation o
    LEFT JOIN hirundo.verdict v ON 'spoofed' = ANY (without) AND v.verdict = 'spoofed' AND v.src = o.src
        AND v.day = (o.observed_at AT TIME ZONE zone)::date AND v.day >= lower(period) AND v.day < upper(period)
        AND (v.track = 0 OR v.track = hirundo.initial_ttl(o.ttl)) AND v.src = ANY (few)
    WHERE few IS NOT NULL AND o.src = ANY (few) AND o.observed_at >= since AND o.observed_at < till
        AND o.sensor_id = ANY (f.sensors)
        AND (f.src_regions IS NULL OR coalesce(o.src_region, 'ZZ') = ANY (f.src_regions))
        AND (f.asns IS NULL OR o.src_asn = ANY (f.asns))
        AND (f.services IS NULL OR hirundo.service(o.protocol, o.dst_port) = ANY (f.services))
        AND (NOT f.ports_only OR hirundo.service(o.protocol, o.dst_port) < ':' COLLATE "C")
        AND (f.traits IS NULL OR o.traits & f.traits <> 0)
        AND (f.role IS NULL OR hirundo.role(o.traits) = f.role)
        AND NOT ('response' = ANY (without) AND hirundo.role(o.traits) = 'response')
        AND NOT ('bogon' = ANY (without) AND o.traits & 16 <> 0)
        AND NOT ('scanner_org' = ANY (without) AND EXISTS (
            SELECT FROM hirundo.scanner s
            WHERE s.network >>= o.src AND (o.observed_at AT TIME ZONE zone)::date
                BETWEEN coalesce(s.valid_from, '-infinity') AND coalesce(s.valid_to, 'infinity')))
        AND v.src IS NULL
    GROUP BY o.src, hirundo.service(o.protocol, o.dst_port), o.src_port;
END
$$;
COMMENT ON FUNCTION hirundo.notification_packets IS
    'Raw rows behind a list for notices by source, service and source port, of the sources few (NULL: none). Keys that '
    'pick sources by network have picked few already.';

-- Payloads.

CREATE FUNCTION hirundo.payload_rows(period daterange, since timestamptz, till timestamptz, zone text,
    f hirundo.report_filter, plain boolean)
RETURNS TABLE (observed_at timestamptz, sensor_id int, content bigint, src inet, service text, payload bytea,
    packets int, payload_length int, src_port int, dst_port int, protocol smallint, icmp_type smallint,
    icmp_code smallint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- One of the two falls away.
    SELECT p.observed_at, p.sensor_id, p.content, p.src, hirundo.service(p.protocol, p.dst_port), p.payload,
        p.packets, p.payload_length, p.src_port, p.dst_port, p.protocol, p.icmp_type, p.icmp_code
    FROM hirundo.payload_sample p
    WHERE plain AND p.observed_at >= since AND p.observed_at < till AND p.sensor_id = ANY ((f).sensors)
        AND ((f).services IS NULL OR hirundo.service(p.protocol, p.dst_port) = ANY ((f).services))
        AND (NOT (f).ports_only OR hirundo.service(p.protocol, p.dst_port) < ':' COLLATE "C")
    UNION ALL
    SELECT p.observed_at, p.sensor_id, p.content, p.src, c.service, p.payload,
        p.packets, p.payload_length, p.src_port, p.dst_port, p.protocol, p.icmp_type, p.icmp_code
    FROM hirundo.payload_sample p
    JOIN (SELECT DISTINCT r.sensor_id, r.day, r.service, r.src FROM hirundo.report_sources(period, f) r) c
        ON c.sensor_id = p.sensor_id AND c.day = (p.observed_at AT TIME ZONE zone)::date
        AND c.service = hirundo.service(p.protocol, p.dst_port)
        -- No source's address is a network.
        AND coalesce(c.src, '::/0') = coalesce(p.src, '::/0')
    WHERE NOT plain AND p.observed_at >= since AND p.observed_at < till;
END;
COMMENT ON FUNCTION hirundo.payload_rows IS
    'Rows of payload_sample in a period (from since to till) whose sensor, reporting day, service and source the '
    'filter leaves in source_day. plain: the filter has no keys but those that pick sensors and services.';

CREATE FUNCTION report.payload_samples(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT NULL)
RETURNS TABLE (observed_at timestamptz, sensor text, src inet, service text, payload bytea, packets bigint,
    payload_length int, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    -- The rows themselves tell what the filter takes.
    plain boolean := NOT filter ?|
        '{src_region,asn,organization,networks,network_group,sources,traits,role,exclude}';
    zone text := hirundo.reporting_zone();
    since timestamptz;
    till timestamptz;
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_packets(f), hirundo.check_period(period), hirundo.check_n(n),
        hirundo.check_complete(period, f.sensors), hirundo.check_raw(period, f.sensors);
    since := hirundo.day_start(lower(period));
    till := hirundo.day_start(upper(period));
    as_of := hirundo.rollup_as_of(period, f.sensors);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    RETURN QUERY
    WITH content AS (
        SELECT p.sensor_id, p.content, min(p.observed_at) AS observed_at,
            (array_agg(p.src ORDER BY p.observed_at, p.payload IS NULL))[1] AS src,
            (array_agg(p.service ORDER BY p.observed_at, p.payload IS NULL))[1] AS service,
            (array_agg(p.payload_length ORDER BY p.observed_at, p.payload IS NULL))[1] AS payload_length,
            max(encode(p.payload, 'hex')) AS payload, sum(p.packets)::bigint AS packets
        FROM hirundo.payload_rows(period, since, till, zone, f, plain) p
        GROUP BY p.sensor_id, p.content
    ), sample AS (
        SELECT c.sensor_id, c.content, c.observed_at, c.src, c.service, c.payload_length, c.packets,
            coalesce(decode(c.payload, 'hex'), (
                -- The bytes came with another source's packet, or just before the period.
                SELECT q.payload FROM hirundo.payload_sample q
                WHERE q.sensor_id = c.sensor_id AND q.content = c.content AND q.payload IS NOT NULL
                    AND q.observed_at >= date_trunc('hour', c.observed_at, 'UTC')
                    AND q.observed_at < date_trunc('hour', c.observed_at, 'UTC') + interval '1 hour'
                    AND q.observed_at >= date_trunc('hour', since, 'UTC') AND q.observed_at < till
                LIMIT 1)) AS payload
        FROM content c
    )
    SELECT min(c.observed_at) AS observed_at, s.sensor, (array_agg(c.src ORDER BY c.observed_at, c.content))[1],
        (array_agg(c.service ORDER BY c.observed_at, c.content))[1], c.payload, sum(c.packets)::bigint AS packets,
        (array_agg(c.payload_length ORDER BY c.observed_at, c.content))[1], dataset, as_of
    FROM sample c JOIN hirundo.place(f, false) s USING (sensor_id)
    -- Each start of a sensor calls the same bytes by another number.
    GROUP BY s.sensor, c.sensor_id, c.payload, CASE WHEN c.payload IS NULL THEN c.content END
    ORDER BY packets DESC, observed_at, s.sensor, min(c.content)
    LIMIT n;
END
$$;
COMMENT ON FUNCTION report.payload_samples IS
    'What payloads came (R13): a row for each payload of a sensor, most packets first, then the earliest. payload: its '
    'first 128 bytes, the sensor''s addresses masked; payload_length: bytes that the packet had. packets: that brought '
    'it in the period, whoever sent them: the sensor counts one for at most an hour, under the source and service of '
    'the first packet; observed_at, src (NULL: the sensor''s own address), service, payload_length: of the first. Keys '
    'pick by these: sensors and services those of the row, the others by what source_day has of that sensor, reporting '
    'day, service and source, so a source whose payload another brought first in an hour may be missed. Above its '
    'limit for new payloads a sensor keeps no sample (sensor_status.samples_dropped). payload NULL: its bytes are not '
    'kept. Error where rows of the period are not kept any more. dataset: address data of the rows. as_of: all that '
    'was received before is there.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('R14', 'report.notification',
        $x$SELECT * FROM report.notification(daterange(current_date - 7, current_date), '{"asn": 4713}', 100)$x$),
    ('R14', 'report.notification_excluded',
        $x$SELECT * FROM report.notification_excluded(daterange(current_date - 7, current_date), '{"asn": 4713}')$x$),
    ('R13', 'report.payload_samples',
        $x$SELECT * FROM report.payload_samples(daterange(current_date - 7, current_date), '{"services": "GRE"}')$x$);

GRANT EXECUTE ON FUNCTION report.notification, report.notification_excluded, report.payload_samples TO hirundo_analyst;
