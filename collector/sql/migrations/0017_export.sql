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
