-- What leaves the house: lists for notices, samples of payloads, exports and their log.
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

-- Exports: what hirundo-admin writes to files.
--
-- Who reads them is outside (recipient NULL), the registered contact of a network (its address), or the central
-- team itself ('internal'). Outside, times are hours, there are no source ports, and what fewer than five hosts sent
-- is not named: whoever marks his probes, one port or payload for each target, must not find sensors by reading
-- what we tell of them. The contact gets what its network's logs can be searched with: the time and the source
-- port of one packet. Nobody gets a sensor's address or name.

CREATE TABLE hirundo.export_log (
    export_id uuid PRIMARY KEY,
    exported_at timestamptz NOT NULL,
    session_role text NOT NULL,
    os_user text NOT NULL,
    program_version text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('notification', 'capture')),
    format text NOT NULL CHECK (format IN ('csv', 'xarf', 'pcap')),
    tlp text NOT NULL CHECK (tlp IN ('clear', 'green', 'amber', 'amber+strict', 'red')),
    recipient text,
    period daterange NOT NULL,
    zone text NOT NULL,
    filter jsonb NOT NULL,
    dataset text,
    as_of timestamptz,
    rows bigint NOT NULL,
    sources bigint NOT NULL,
    packets bigint NOT NULL,
    excluded jsonb NOT NULL,
    file text NOT NULL,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE hirundo.export_log IS 'Every export, noted before its file is there. Rows stay for ever.';
COMMENT ON COLUMN hirundo.export_log.export_id IS 'random number of the export; stands in the description beside its file';
COMMENT ON COLUMN hirundo.export_log.exported_at IS 'when it began: what was stored later is not in it';
COMMENT ON COLUMN hirundo.export_log.session_role IS 'role that was logged in';
COMMENT ON COLUMN hirundo.export_log.os_user IS 'user of the operating system that ran hirundo-admin';
COMMENT ON COLUMN hirundo.export_log.program_version IS 'version of hirundo-admin';
COMMENT ON COLUMN hirundo.export_log.kind IS 'notification or capture';
COMMENT ON COLUMN hirundo.export_log.format IS 'csv, xarf or pcap';
COMMENT ON COLUMN hirundo.export_log.tlp IS 'Traffic Light Protocol 2.0: clear, green, amber, amber+strict or red';
COMMENT ON COLUMN hirundo.export_log.recipient IS 'registered contact, who was given exact times and source ports of its own sources; internal: the central team; NULL: anybody else, who was given hours';
COMMENT ON COLUMN hirundo.export_log.period IS 'reporting days';
COMMENT ON COLUMN hirundo.export_log.zone IS 'zone of the reporting days; times in the file are UTC';
COMMENT ON COLUMN hirundo.export_log.filter IS 'the whole filter';
COMMENT ON COLUMN hirundo.export_log.dataset IS 'address data behind it, as hirundo.dataset_text() tells; NULL: none';
COMMENT ON COLUMN hirundo.export_log.as_of IS 'all that was received before is counted';
COMMENT ON COLUMN hirundo.export_log.rows IS 'lines of a CSV less its header, objects, or packets of a capture';
COMMENT ON COLUMN hirundo.export_log.sources IS 'addresses in it; of a capture not counted: 0';
COMMENT ON COLUMN hirundo.export_log.packets IS 'packets that its rows count; of a capture packets written';
COMMENT ON COLUMN hirundo.export_log.excluded IS 'what was left out: list of reason, sources, packets';
COMMENT ON COLUMN hirundo.export_log.file IS 'name of the file, without its folder';
COMMENT ON COLUMN hirundo.export_log.sha256 IS 'SHA-256 of the file, hexadecimal';
GRANT SELECT ON hirundo.export_log TO hirundo_analyst;

CREATE FUNCTION hirundo.export_period(period text) RETURNS daterange
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    part text[];
BEGIN
    part := regexp_match(period, '^(\d{4})(?:(?:-(\d\d)(?:-(\d\d))?)|Q([1-4]))?$');
    IF part IS NOT NULL THEN
        RETURN CASE WHEN part[4] IS NOT NULL THEN
                daterange(make_date(part[1]::int, part[4]::int * 3 - 2, 1),
                    (make_date(part[1]::int, part[4]::int * 3 - 2, 1) + interval '3 months')::date)
            WHEN part[3] IS NOT NULL THEN
                daterange(make_date(part[1]::int, part[2]::int, part[3]::int),
                    make_date(part[1]::int, part[2]::int, part[3]::int), '[]')
            WHEN part[2] IS NOT NULL THEN
                daterange(make_date(part[1]::int, part[2]::int, 1),
                    (make_date(part[1]::int, part[2]::int, 1) + interval '1 month')::date)
            ELSE daterange(make_date(part[1]::int, 1, 1), make_date(part[1]::int + 1, 1, 1)) END;
    END IF;
    part := regexp_match(period, '^(\d{4})-(\d\d)-(\d\d)/(\d{4})-(\d\d)-(\d\d)$');
    IF part IS NULL THEN
        RAISE EXCEPTION 'period % is none of 2026, 2026Q1, 2026-01, 2026-01-31, 2026-01-01/2026-01-31',
            quote_literal(period) USING ERRCODE = '22023';
    END IF;
    IF make_date(part[1]::int, part[2]::int, part[3]::int) > make_date(part[4]::int, part[5]::int, part[6]::int) THEN
        RAISE EXCEPTION 'period %: its last day is before its first', period USING ERRCODE = '22023';
    END IF;
    RETURN daterange(make_date(part[1]::int, part[2]::int, part[3]::int),
        make_date(part[4]::int, part[5]::int, part[6]::int), '[]');
EXCEPTION WHEN datetime_field_overflow THEN
    RAISE EXCEPTION 'period %: there is no such day', period USING ERRCODE = '22023';
END
$$;
COMMENT ON FUNCTION hirundo.export_period IS
    'A period as people write it on a command line: a year, quarter, month or day, or first/last day, both in it.';

CREATE FUNCTION hirundo.export_filter(filter jsonb, more jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    key text;
BEGIN
    IF jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION 'filter is %, not an object', filter USING ERRCODE = '22023';
    END IF;
    FOR key IN SELECT jsonb_object_keys(more) LOOP
        IF filter ? key THEN
            RAISE EXCEPTION 'filter: % is given twice', key USING ERRCODE = '22023';
        END IF;
    END LOOP;
    IF more ? 'src_region' AND NOT EXISTS (SELECT FROM hirundo.region_name r WHERE r.region = more ->> 'src_region') THEN
        RAISE EXCEPTION 'no region is called %', more ->> 'src_region' USING ERRCODE = '22023';
    END IF;
    RETURN filter || more;
END
$$;
COMMENT ON FUNCTION hirundo.export_filter IS
    'A filter with the keys that options gave; error where one is in both, or gives a region that there is not.';

CREATE FUNCTION hirundo.export_protocol(service text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- IntelMQ's harmonization takes the keywords of /etc/protocols.
RETURN CASE WHEN service ~ '^([0-9]+/TCP|TCP/frag)$' THEN 'tcp' WHEN service ~ '^([0-9]+/UDP|UDP/frag)$' THEN 'udp'
    WHEN service = 'ICMPv6' THEN 'ipv6-icmp'
    WHEN service IN ('ICMP', 'IGMP', 'GRE', 'ESP', 'AH', 'SCTP', 'IPv6', 'OSPF', 'PIM', 'L2TP', 'RSVP', 'DCCP',
        'UDPLite') THEN lower(service) END;
COMMENT ON FUNCTION hirundo.export_protocol IS 'Protocol of a service as exports name it; NULL: it has no common name.';

CREATE FUNCTION hirundo.export_tools(traits int) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT t.name FROM hirundo.trait t
    WHERE t.name IN ('mirai', 'zmap', 'masscan', 'nmap') AND traits & (1 << t.bit) <> 0 ORDER BY t.bit DESC);
COMMENT ON FUNCTION hirundo.export_tools IS 'Malware and tools that traits tell of.';

CREATE FUNCTION hirundo.check_recipient(recipient text, filter jsonb) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF recipient IS DISTINCT FROM 'internal' AND filter ? 'sensors' THEN
        RAISE EXCEPTION 'filter: sensors: of single sensors the central team alone is told' USING ERRCODE = '22023';
    END IF;
    IF recipient <> 'internal' AND NOT EXISTS (SELECT FROM hirundo.organization o WHERE o.contact = recipient) THEN
        RAISE EXCEPTION '% is no registered contact', recipient USING ERRCODE = '22023';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_recipient IS
    'Error where a recipient of an export is neither internal nor the contact of an organization, or may not have what '
    'the filter asks for.';

CREATE FUNCTION hirundo.export_events(period daterange, filter jsonb, recipient text)
RETURNS TABLE (src inet, protocol text, dst_port int, packets bigint, first_at timestamptz, last_at timestamptz,
    traits int, src_region text, src_asn bigint, src_port int, left_out text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    hosts_min CONSTANT int := 5;
    f hirundo.report_filter := hirundo.report_filter(filter);
    without text[] := hirundo.notification_exclude(filter);
    origin date;
    own inet[];
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors),
        hirundo.check_recipient(recipient, filter);
    f := hirundo.report_filter(filter - 'exclude');
    origin := lower(period);
    IF recipient IS NOT NULL THEN
        own := ARRAY(
            SELECT r.src FROM hirundo.notification_rows(period, f, without) r
            LEFT JOIN hirundo.organization o USING (organization_id)
            WHERE r.reason IS NULL AND (recipient = 'internal' OR o.contact = recipient)
            GROUP BY r.src);
    END IF;
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        SELECT r.src, r.service, sum(r.packets)::bigint AS packets, min(r.first_at) AS first_at,
            max(r.last_at) AS last_at, bit_or(r.traits) AS traits, max(r.src_region)::text AS src_region,
            max(r.src_asn) AS src_asn,
            max(ARRAY[r.day - origin, r.organization_id]) FILTER (WHERE r.organization_id IS NOT NULL) AS organization
        FROM hirundo.notification_rows(period, f, without) r
        WHERE r.reason IS NULL
        GROUP BY r.src, r.service
    ), holder AS (
        SELECT h.src, o.contact
        FROM (SELECT c.src, (max(c.organization))[2] AS organization_id FROM cell c GROUP BY c.src) h
        LEFT JOIN hirundo.organization o USING (organization_id)
    ), named AS (
        SELECT c.service, recipient IS NOT NULL OR count(DISTINCT hirundo.host(c.src)) >= hosts_min AS open
        FROM cell c GROUP BY c.service
    ), part AS (
        SELECT c.*, h.contact,
            CASE WHEN n.open OR p.protocol IN ('tcp', 'udp', 'icmp', 'ipv6-icmp') THEN p.protocol END AS protocol,
            CASE WHEN n.open THEN substring(c.service FROM '^([0-9]+)/')::int END AS dst_port
        FROM cell c JOIN named n USING (service) JOIN holder h USING (src)
        CROSS JOIN LATERAL (SELECT hirundo.export_protocol(c.service) AS protocol) p
    ), port AS (
        SELECT DISTINCT ON (p.src, p.service) p.src, p.service, p.src_port, p.first_at
        FROM hirundo.notification_packets(period, f, without, own) p
        ORDER BY p.src, p.service, p.first_at, p.packets DESC, p.src_port
    )
    SELECT s.src, s.protocol, s.dst_port, sum(s.packets)::bigint, min(s.shown_at), max(s.shown_last), bit_or(s.traits),
        max(s.src_region), max(s.src_asn), (array_agg(s.src_port ORDER BY s.shown_at))[1], s.left_out
    FROM (
        SELECT a.src, a.protocol, a.dst_port, a.packets, a.traits, a.src_region, a.src_asn, p.src_port,
            CASE WHEN recipient IS NULL THEN date_trunc('hour', a.first_at, 'UTC') ELSE a.first_at END AS shown_at,
            CASE WHEN recipient IS NULL THEN date_trunc('hour', a.last_at, 'UTC') ELSE a.last_at END AS shown_last,
            CASE WHEN recipient <> 'internal' AND a.contact IS DISTINCT FROM recipient THEN 'other_contact' END
                AS left_out
        FROM part a
        -- Time and port of one and the same packet.
        LEFT JOIN port p ON p.src = a.src AND p.service = a.service AND p.first_at = a.first_at) s
    GROUP BY s.src, s.protocol, s.dst_port, s.left_out
    ORDER BY s.src, sum(s.packets) DESC, s.protocol, s.dst_port;
END
$$;
COMMENT ON FUNCTION hirundo.export_events IS
    'What an export for notices tells: a row for each source of report.notification, protocol and destination port, by '
    'source, most packets first. recipient NULL: hours; ports, and protocols but TCP, UDP, ICMP, ICMPv6, are NULL '
    'where fewer than 5 hosts sent there: those of a source are one row. A contact: exact times, the first packet''s source '
    'port where its raw row is there; other sources than its own are left_out as other_contact. internal: the same of '
    'all.';

CREATE FUNCTION hirundo.export_csv(period daterange, filter jsonb, recipient text, organization text)
RETURNS TABLE ("timestamp" text, protocol text, src_ip text, src_port int, src_asn bigint, src_geo text,
    src_region text, src_city text, src_hostname text, src_naics text, src_sector text, device_vendor text,
    device_type text, device_model text, dst_ip text, dst_port int, dst_asn text, dst_geo text, dst_region text,
    dst_city text, dst_hostname text, dst_naics text, dst_sector text, public_source text, infection text, family text,
    tag text, application text, version text, event_id text, count bigint,
    left_out text, sources int, packets bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT to_char(e.first_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), e.protocol, host(e.src), e.src_port,
        e.src_asn, nullif(e.src_region, 'ZZ'), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, e.dst_port, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, organization, CASE WHEN 'mirai' = ANY (t.tools) THEN 'mirai' END, NULL,
        array_to_string(t.tools, ';'), NULL, NULL, NULL, e.packets,
        e.left_out, CASE WHEN e.src IS DISTINCT FROM lag(e.src) OVER () THEN 1 ELSE 0 END, e.packets
    FROM hirundo.export_events(period, filter, recipient) e
    CROSS JOIN LATERAL (SELECT hirundo.export_tools(e.traits) AS tools) t;
END;
COMMENT ON FUNCTION hirundo.export_csv IS
    'export_events() in the columns of Shadowserver''s event4_honeypot_darknet; times are UTC. dst_ip and what would '
    'tell of a sensor is empty. The last three columns are not for the file: why a row is left out, and what it '
    'counts.';

CREATE FUNCTION hirundo.export_xarf(
    period daterange, filter jsonb, recipient text, organization text, contact text, tlp text)
RETURNS TABLE (report text, left_out text, sources int, packets bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT json_strip_nulls(json_build_object(
            'xarf_version', '4.2.0', 'report_id', gen_random_uuid(), 'timestamp', s.seen,
            'reporter', r.reporter, 'sender', r.reporter,
            'source_identifier', host(s.src), 'source_port', nullif(s.src_port, 0),
            'category', 'connection', 'type', 'port_scan', 'evidence_source', 'traffic_analysis',
            'protocol', s.protocol, 'destination_port', nullif(s.dst_port, 0),
            'first_seen', s.first_seen, 'last_seen', s.last_seen,
            'packets_sent', s.packets, 'ports_scanned', s.ports,
            'description', s.packets || ' packets to addresses that nobody uses'
                || CASE WHEN 'mirai' = ANY (t.tools) THEN '; first packets as Mirai sends them' ELSE '' END,
            'tags', array_cat(ARRAY['tlp:' || tlp], ARRAY(
                SELECT CASE WHEN u.name = 'mirai' THEN 'malware:' ELSE 'tool:' END || u.name
                FROM unnest(t.tools) AS u (name)))))::text,
        coalesce(s.left_out, CASE WHEN s.protocol IS NULL THEN 'no_protocol' END), 1, s.packets
    FROM (
        SELECT e.src, e.left_out, sum(e.packets)::bigint AS packets, bit_or(e.traits) AS traits,
            to_char(min(e.first_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS first_seen,
            to_char(max(e.last_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_seen,
            -- Time, protocol and source port of one packet.
            to_char(min(e.first_at) FILTER (WHERE p.protocol IS NOT NULL) AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS seen,
            (array_agg(p.protocol ORDER BY e.first_at, e.packets DESC, p.protocol)
                FILTER (WHERE p.protocol IS NOT NULL))[1] AS protocol,
            (array_agg(e.src_port ORDER BY e.first_at, e.packets DESC, p.protocol)
                FILTER (WHERE p.protocol IS NOT NULL))[1] AS src_port,
            CASE WHEN count(*) = 1 THEN min(e.dst_port) END AS dst_port,
            to_json(array_agg(DISTINCT e.dst_port) FILTER (WHERE e.dst_port > 0)) AS ports
        FROM hirundo.export_events(period, filter, recipient) e
        CROSS JOIN LATERAL (
            -- Those that the schema has.
            SELECT CASE WHEN e.protocol IN ('tcp', 'udp', 'icmp', 'sctp') THEN e.protocol
                WHEN e.protocol = 'ipv6-icmp' THEN 'icmp' END AS protocol) p
        GROUP BY e.src, e.left_out) s
    CROSS JOIN LATERAL (SELECT hirundo.export_tools(s.traits) AS tools) t
    CROSS JOIN LATERAL (
        SELECT json_build_object('org', organization, 'contact', export_xarf.contact,
            'domain', split_part(export_xarf.contact, '@', 2)) AS reporter) r
    ORDER BY s.src;
END;
COMMENT ON FUNCTION hirundo.export_xarf IS
    'export_events() as reports of XARF v4, category connection, type port_scan: one for each source, without '
    'destination_ip. timestamp, protocol, source_port: of its first packet by a protocol that the schema has; who sent '
    'none is left_out as no_protocol. Times are UTC.';

CREATE FUNCTION hirundo.export_packets(period daterange, filter jsonb, recipient text)
RETURNS TABLE (time_us bigint, sensor int, src inet, src_port int, dst_port int, protocol smallint,
    icmp_type smallint, icmp_code smallint, ttl smallint, ip_flags smallint, tcp_flags smallint, tcp_window int,
    tcp_header_length smallint, tcp_mss int, payload_length int, payload text, left_out text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    hosts_min CONSTANT int := 5;
    f hirundo.report_filter := hirundo.report_filter(filter);
    plain boolean := NOT filter ?|
        '{src_region,asn,organization,networks,network_group,sources,traits,role,exclude}';
    zone text := hirundo.reporting_zone();
    seed text := gen_random_uuid()::text;
    since timestamptz;
    till timestamptz;
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors),
        hirundo.check_raw(period, f.sensors), hirundo.check_recipient(recipient, filter);
    since := hirundo.day_start(lower(period));
    till := hirundo.day_start(upper(period));
    RETURN QUERY
    WITH sample AS MATERIALIZED (
        SELECT row_number() OVER () AS id, p.*
        FROM hirundo.payload_rows(period, since, till, zone, f, plain) p
        WHERE p.payload IS NOT NULL
    ), open AS (
        SELECT s.service, s.payload FROM sample s WHERE s.src IS NOT NULL
        GROUP BY s.service, s.payload HAVING count(DISTINCT hirundo.host(s.src)) >= hosts_min
    ), header AS (
        -- The row that its packet was folded into: windows are a minute at most.
        SELECT DISTINCT ON (s.id) s.id, o.ttl, o.ip_flags, o.tcp_flags, o.tcp_window, o.tcp_header_length, o.tcp_mss
        FROM sample s
        JOIN hirundo.observation o ON o.sensor_id = s.sensor_id AND o.src = s.src AND o.protocol = s.protocol
            AND o.payload_length = s.payload_length
            AND o.observed_at <= s.observed_at AND o.observed_at > s.observed_at - interval '1 minute'
            AND coalesce(o.last_at, o.observed_at) >= s.observed_at
        -- None crosses the start of a day.
        WHERE o.observed_at >= since AND o.observed_at < till AND o.ttl IS NOT NULL
            AND o.dst_port IS NOT DISTINCT FROM s.dst_port AND o.icmp_type IS NOT DISTINCT FROM s.icmp_type
            AND o.icmp_code IS NOT DISTINCT FROM s.icmp_code AND o.src_port IS NOT DISTINCT FROM s.src_port
        ORDER BY s.id, o.observed_at DESC
    ), holder AS (
        SELECT DISTINCT ON (s.id) s.id, o.contact
        FROM sample s
        JOIN hirundo.source_day d ON d.sensor_id = s.sensor_id AND d.day = (s.observed_at AT TIME ZONE zone)::date
            AND d.service = s.service AND d.src = s.src
        JOIN hirundo.organization o USING (organization_id)
        WHERE recipient <> 'internal' AND d.day >= lower(period) AND d.day < upper(period)
        ORDER BY s.id, d.organization_id DESC
    )
    SELECT (extract(epoch FROM
            CASE WHEN recipient IS NULL THEN date_trunc('hour', s.observed_at, 'UTC') ELSE s.observed_at END)
            * 1000000)::bigint,
        -- Other numbers in each export; outside, sensors are not told apart.
        CASE WHEN recipient = 'internal' THEN dense_rank() OVER (ORDER BY md5(seed || s.sensor_id))::int ELSE 1 END,
        s.src, CASE WHEN recipient IS NOT NULL THEN s.src_port END, s.dst_port, s.protocol, s.icmp_type, s.icmp_code,
        h.ttl, h.ip_flags, h.tcp_flags, h.tcp_window, h.tcp_header_length, h.tcp_mss, s.payload_length,
        encode(s.payload, 'hex'),
        CASE WHEN s.src IS NULL THEN 'no_source'
            WHEN recipient <> 'internal' AND c.contact IS DISTINCT FROM recipient THEN 'other_contact'
            WHEN recipient IS NULL AND e.service IS NULL THEN 'few_hosts'
            WHEN h.id IS NULL THEN 'no_observation'
            WHEN s.protocol IN (33, 132, 136) OR (s.protocol IN (6, 17) AND s.dst_port IS NULL)
                OR (s.protocol = 6 AND h.tcp_header_length IS NULL)
                OR (s.protocol IN (1, 58) AND s.icmp_type IS NULL) THEN 'no_header' END
    FROM sample s
    LEFT JOIN open e USING (service, payload)
    LEFT JOIN header h USING (id)
    LEFT JOIN holder c USING (id)
    ORDER BY 1, 2, s.src, s.id;
END
$$;
COMMENT ON FUNCTION hirundo.export_packets IS
    'Samples as packets of a capture, by time: header fields from the observation that the sample''s packet is in, '
    'payload as hexadecimal digits. sensor: ordinal in this export, 1 for all unless internal. recipient NULL: hours, '
    'no source ports, and a payload only where 5 hosts sent it to the service. left_out: no_source (a sensor''s own '
    'address), other_contact, few_hosts, no_observation (its packet is in none: quarantined), no_header (fragments, '
    'and transport headers that observations do not keep).';

CREATE FUNCTION hirundo.export_note(os_user text, program_version text, kind text, format text, tlp text,
    recipient text, period daterange, filter jsonb, rows bigint, sources bigint, packets bigint, reasons text[],
    reason_sources bigint[], reason_packets bigint[], file text, sha256 text)
RETURNS TABLE (export_id uuid, about text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    note hirundo.export_log;
    f hirundo.report_filter := hirundo.report_filter(filter);
BEGIN
    note.export_id := gen_random_uuid();
    note.exported_at := now();
    note.session_role := session_user;
    note.os_user := os_user;
    note.program_version := program_version;
    note.kind := kind;
    note.format := format;
    note.tlp := tlp;
    note.recipient := recipient;
    note.period := period;
    note.zone := hirundo.reporting_zone();
    note.filter := filter;
    note.dataset := hirundo.rollup_dataset(period, f.sensors);
    note.as_of := hirundo.rollup_as_of(period, f.sensors);
    note.rows := rows;
    note.sources := sources;
    note.packets := packets;
    note.excluded := (
        SELECT coalesce(jsonb_agg(to_jsonb(e)), '[]')
        FROM (
            SELECT n.reason, n.sources, n.packets FROM report.notification_excluded(period, filter) n
            WHERE kind = 'notification'
            UNION ALL
            SELECT * FROM unnest(reasons, reason_sources, reason_packets)) e (reason, sources, packets));
    note.file := file;
    note.sha256 := sha256;
    INSERT INTO hirundo.export_log SELECT note.*;
    RETURN QUERY SELECT note.export_id, jsonb_pretty(jsonb_build_object(
        'file', note.file, 'sha256', note.sha256, 'tlp', 'TLP:' || upper(note.tlp), 'recipient', note.recipient,
        'kind', note.kind, 'format', note.format,
        'first_day', lower(note.period), 'last_day', upper(note.period) - 1, 'zone_of_days', note.zone,
        'times', CASE WHEN note.recipient IS NULL THEN 'UTC, hours' ELSE 'UTC' END,
        'filter', note.filter, 'address_data', note.dataset, 'as_of', note.as_of,
        'rows', note.rows, 'sources', note.sources, 'packets', note.packets, 'excluded', note.excluded,
        'export_id', note.export_id, 'exported_at', note.exported_at,
        'program', 'hirundo-admin ' || note.program_version)) || E'\n';
END
$$;
COMMENT ON FUNCTION hirundo.export_note IS
    'Notes an export in export_log, in the transaction that read what it tells, and returns what the file beside it '
    'says. reasons, with sources and packets of each: what the format or the recipient left out; what '
    'report.notification_excluded counts is added.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('R14', 'report.notification',
        $x$SELECT * FROM report.notification(daterange(current_date - 7, current_date), '{"asn": 4713}', 100)$x$),
    ('R14', 'report.notification_excluded',
        $x$SELECT * FROM report.notification_excluded(daterange(current_date - 7, current_date), '{"asn": 4713}')$x$),
    ('R13', 'report.payload_samples',
        $x$SELECT * FROM report.payload_samples(daterange(current_date - 7, current_date), '{"services": "GRE"}')$x$);

GRANT EXECUTE ON FUNCTION report.notification, report.notification_excluded, report.payload_samples TO hirundo_analyst;
