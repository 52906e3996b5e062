-- What the reports share: check_period() and report_filter() for what may be asked (who asks: 0023_viewer.sql),
-- report_cells() and report_days() for the rows that a filter leaves.
--
-- Functions in SQL that are neither SECURITY DEFINER nor have settings become part of the query that calls
-- them; there, with the filter's values known, all conditions of keys that it does not have fall away.

-- What may be asked.

CREATE FUNCTION hirundo.day_start(day date) RETURNS timestamptz
LANGUAGE plpgsql STABLE -- as reporting_zone()
AS $$
BEGIN
    RETURN day::timestamp AT TIME ZONE hirundo.reporting_zone();
END
$$;
COMMENT ON FUNCTION hirundo.day_start IS 'When a reporting day begins (setting reporting_zone).';

CREATE FUNCTION hirundo.check_period(period daterange) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    today date := (now() AT TIME ZONE hirundo.reporting_zone())::date;
BEGIN
    PERFORM hirundo.check_zone();
    IF period IS NULL THEN
        RAISE EXCEPTION 'period is NULL' USING ERRCODE = '22004';
    ELSIF isempty(period) THEN
        RAISE EXCEPTION 'period is empty' USING ERRCODE = '22023', HINT = 'The upper bound is not in the period.';
    ELSIF lower_inf(period) OR upper_inf(period) OR NOT isfinite(lower(period)) OR NOT isfinite(upper(period)) THEN
        RAISE EXCEPTION 'period % has no bound', period USING ERRCODE = '22023';
    ELSIF upper(period) > today + 1 THEN
        RAISE EXCEPTION 'period % ends after today, %: it would give part of its numbers', period, today
            USING ERRCODE = '22023', HINT = format('The last period that can be asked ends with %L.', today + 1);
    ELSIF lower(period) < date '1970-01-01' THEN
        RAISE EXCEPTION 'period % begins before 1970', period USING ERRCODE = '22023';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_period IS
    'Error unless the period has two bounds, is not empty, and ends with today or before (reporting days), which the '
    'rollups have, too.';

CREATE FUNCTION hirundo.check_complete(period daterange, sensors int[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    dropped date;
    gap record;
BEGIN
    SELECT d.month INTO dropped FROM hirundo.rollup_dropped d
        WHERE daterange(d.month, (d.month + interval '1 month')::date) && period ORDER BY d.month DESC LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the rollups of % were dropped', to_char(dropped, 'YYYY-MM') USING ERRCODE = '55000',
            HINT = format('Setting rollup_retention_days; the first period that can be asked begins with %L.',
                (dropped + interval '1 month')::date);
    END IF;
    SELECT g.day, count(*) OVER () AS days, sum(g.rows) OVER () AS rows INTO gap FROM hirundo.rollup_gap g
        WHERE (sensors IS NULL OR g.sensor_id = ANY (sensors)) AND g.day >= lower(period) AND g.day < upper(period)
        ORDER BY g.day LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% rows of the period are in no rollup, the first of them on %', gap.rows, gap.day
            USING ERRCODE = '55000', HINT = 'hirundo.rollup_gap has the sensors and days; leave them out.';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_complete IS
    'Error where a report would give part of its numbers: rows of these sensors (NULL: of any) in the period could not '
    'be rolled up, or a month of the period was dropped.';

CREATE FUNCTION hirundo.rollup_as_of(period daterange, sensors int[]) RETURNS timestamptz
LANGUAGE plpgsql STABLE -- as reporting_zone()
AS $$
DECLARE
    since timestamptz := hirundo.day_start(lower(period));
    till timestamptz := hirundo.day_start(upper(period));
BEGIN
    RETURN coalesce((
        SELECT min(b.received_at)
        FROM unnest(sensors) AS i (id)
        JOIN hirundo.dirty_mark m ON m.sensor_id = i.id AND m.bucket >= since AND m.bucket < till
        JOIN hirundo.ingest_batch b ON b.sensor_id = m.sensor_id AND b.epoch = m.epoch AND b.seq = m.seq
        ), now());
END
$$;
COMMENT ON FUNCTION hirundo.rollup_as_of IS
    'All that the collector received from these sensors for the period before this time is in the rollups.';

CREATE FUNCTION hirundo.dataset_text(first_id int, last_id int) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT last_id || ': ' || string_agg(format('%s %s of %s', s.kind, s.name, s.source_date), ', ' ORDER BY s.kind)
            || CASE WHEN first_id < last_id THEN ' (older rows: ' || first_id || ' and up)' ELSE '' END
        FROM (
            SELECT DISTINCT ON (d.kind) d.kind, d.name, d.source_date FROM hirundo.enrichment_dataset d
            -- No row is looked up in the others.
            WHERE d.dataset_id <= last_id AND d.kind NOT IN ('scanners', 'groups') ORDER BY d.kind, d.dataset_id DESC) s);
END
$$;
COMMENT ON FUNCTION hirundo.dataset_text IS
    'For people: the address data that rows stamped with these ids were looked up in, newest state, with its dates.';

CREATE FUNCTION hirundo.rollup_dataset(period daterange, sensors int[]) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT hirundo.dataset_text(min(d.dataset_id), max(d.dataset_id)) FROM hirundo.dataset_day d
        WHERE d.sensor_id = ANY (sensors) AND d.day >= lower(period) AND d.day < upper(period));
END
$$;
COMMENT ON FUNCTION hirundo.rollup_dataset IS
    'For people: the address data that regions and ASNs of all rows of these sensors in the period come from; NULL: '
    'none was loaded, or there are no rows.';

CREATE FUNCTION hirundo.check_n(n int) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF n < 1 THEN
        RAISE EXCEPTION 'n is %, not 1 or more (NULL = all)', n USING ERRCODE = '22023';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_n IS 'Error where a number of rows is below 1; NULL = all.';

CREATE FUNCTION hirundo.check_step(step text, steps text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF step IS NULL OR step <> ALL (steps) THEN
        RAISE EXCEPTION 'step is %, not %', coalesce(quote_literal(step), 'NULL'), array_to_string(steps, ', ')
            USING ERRCODE = '22023';
    END IF;
    RETURN step;
END
$$;
COMMENT ON FUNCTION hirundo.check_step IS 'Error where a step is none of those that the report has; else the step.';

-- The filter.

CREATE TYPE hirundo.report_filter AS (
    sensors int[],
    all_sensors boolean,
    whole boolean,
    src_regions bpchar[], -- as columns are: text would be made of each row's
    asns bigint[],
    networks inet[],
    services text[],
    ports_only boolean,
    traits int,
    role text,
    without_spoofed boolean,
    without_bogon boolean,
    plain boolean,
    organizations int[],
    organization_asns bigint[],
    group4 double precision[],
    group6 uuid[],
    without_scanners boolean,
    own text[],
    own_sensors boolean,
    own_sources boolean,
    means boolean
);
COMMENT ON TYPE hirundo.report_filter IS
    'A filter as report_filter() understood it; NULL: no such key. sensors: ids that count (keys sensors, '
    'sensor_region, grp with home); all_sensors: these are all that there are; whole: verdict tells which sources '
    'count, each with all its packets (no key picks among sensors, ASNs, organizations, network groups, services, '
    'traits or roles, or leaves scanners out); plain: service_day tells what the filter takes (no key asks for sources, '
    'traits or verdicts); networks: of keys networks '
    'and sources; traits: bits, any of them; organizations: ids, organization_asns: ASNs that addresses without an '
    'organization are called by; group4, group6: addresses of the network groups (within()); own: regions of the viewer '
    'that asks, NULL where it sees everything; own_sensors: all of sensors are of these regions; own_sources: all '
    'sources are; both true where it sees everything; means: whether it may be told means by address (tells_means()).';

CREATE FUNCTION hirundo.filter_list(filter jsonb, key text, kind text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    items jsonb := CASE jsonb_typeof(filter -> key) WHEN 'array' THEN filter -> key
        ELSE jsonb_build_array(filter -> key) END;
    item jsonb;
BEGIN
    IF NOT filter ? key THEN
        RETURN NULL;
    END IF;
    FOR item IN SELECT jsonb_array_elements(items) LOOP
        IF jsonb_typeof(item) <> kind THEN
            RAISE EXCEPTION '% is no %', item, kind USING ERRCODE = '22023';
        END IF;
    END LOOP;
    IF items = '[]' THEN
        RAISE EXCEPTION 'the list is empty' USING ERRCODE = '22023';
    END IF;
    RETURN ARRAY(SELECT DISTINCT e.text FROM jsonb_array_elements_text(items) AS e (text) ORDER BY e.text);
END
$$;
COMMENT ON FUNCTION hirundo.filter_list IS
    'The values of a filter''s key, each once: a list, or one value alone. NULL: no such key. Error where one is '
    'not of the kind (string, number, boolean), or there is none.';

CREATE FUNCTION hirundo.filter_one(filter jsonb, key text, kind text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF jsonb_typeof(filter -> key) <> kind THEN
        RAISE EXCEPTION '% is no %', filter -> key, kind USING ERRCODE = '22023';
    END IF;
    RETURN filter ->> key;
END
$$;
COMMENT ON FUNCTION hirundo.filter_one IS
    'The value of a filter''s key that takes one. NULL: no such key. Error where it is not of the kind.';

CREATE FUNCTION hirundo.report_filter(filter jsonb, keys text[] DEFAULT NULL) RETURNS hirundo.report_filter
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    known CONSTANT text[] := '{sensors,grp,home,sensor_region,src_region,asn,organization,networks,network_group,
        sources,services,ports_only,traits,role,exclude}';
    result hirundo.report_filter;
    key text;
    list text[];
    wrong text;
    sensor_ids int[];
    sensor_regions text[];
    grp text;
    home text := (SELECT value FROM hirundo.setting WHERE name = 'home_region');
BEGIN
    result.own := hirundo.scope();
    IF filter IS NULL OR jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION 'filter is %, not an object', coalesce(filter::text, 'NULL') USING ERRCODE = '22023';
    END IF;
    FOR key IN SELECT jsonb_object_keys(filter) LOOP
        IF key <> ALL (known) THEN
            RAISE EXCEPTION 'filter: % is no key', quote_ident(key)
                USING ERRCODE = '22023', HINT = format('The keys are %s.', array_to_string(known, ', '));
        ELSIF key <> ALL (coalesce(keys, known)) THEN
            RAISE EXCEPTION 'filter: % has no meaning in this report', key
                USING ERRCODE = '22023', HINT = format('It takes %s.', array_to_string(keys, ', '));
        END IF;
    END LOOP;

    BEGIN
        -- key is the one in hand: an error in its value is told with its name.
        key := 'sensors';
        sensor_ids := hirundo.filter_list(filter, key, 'number')::int[];
        PERFORM hirundo.check_sensors(sensor_ids, result.own);
        SELECT id INTO wrong FROM unnest(sensor_ids) AS u (id)
            WHERE NOT EXISTS (SELECT FROM hirundo.sensor s WHERE s.sensor_id = u.id);
        IF FOUND THEN
            RAISE EXCEPTION 'no sensor has the id %', wrong USING ERRCODE = '22023';
        END IF;

        key := 'sensor_region';
        sensor_regions := hirundo.filter_list(filter, key, 'string');
        SELECT region INTO wrong FROM unnest(sensor_regions) AS u (region)
            WHERE NOT EXISTS (SELECT FROM hirundo.sensor s WHERE s.region = u.region);
        IF FOUND THEN
            RAISE EXCEPTION 'no sensor is in %', wrong USING ERRCODE = '22023';
        END IF;

        key := 'home';
        home := coalesce(hirundo.filter_one(filter, key, 'string'), home);
        IF home !~ '^[A-Z]{2}$' THEN
            RAISE EXCEPTION '% is no region (ISO 3166-1, two letters)', home USING ERRCODE = '22023';
        END IF;

        key := 'grp';
        grp := hirundo.filter_one(filter, key, 'string');
        IF grp NOT IN ('domestic', 'overseas') THEN
            RAISE EXCEPTION '% is neither domestic nor overseas', grp USING ERRCODE = '22023';
        END IF;
        result.sensors := ARRAY(
            SELECT s.sensor_id FROM hirundo.sensor s
            WHERE (sensor_ids IS NULL OR s.sensor_id = ANY (sensor_ids))
                AND (sensor_regions IS NULL OR s.region = ANY (sensor_regions))
                AND (grp IS NULL OR (s.region = home) = (grp = 'domestic'))
            ORDER BY s.sensor_id);
        result.all_sensors := cardinality(result.sensors) = (SELECT count(*) FROM hirundo.sensor);

        key := 'src_region';
        list := hirundo.filter_list(filter, key, 'string');
        SELECT region INTO wrong FROM unnest(list) AS u (region) WHERE region !~ '^[A-Z]{2}$';
        IF FOUND THEN
            RAISE EXCEPTION '% is no region (ISO 3166-1, two letters; ZZ: not known)', wrong USING ERRCODE = '22023';
        END IF;
        result.src_regions := list;

        key := 'asn';
        result.asns := hirundo.filter_list(filter, key, 'number')::bigint[];
        SELECT asn INTO wrong FROM unnest(result.asns) AS u (asn) WHERE asn NOT BETWEEN 1 AND 4294967295;
        IF FOUND THEN
            RAISE EXCEPTION '% is no ASN', wrong USING ERRCODE = '22023';
        END IF;

        key := 'organization';
        list := hirundo.filter_list(filter, key, 'string');
        SELECT name INTO wrong FROM unnest(list) AS u (name)
            WHERE u.name !~ '^AS[1-9][0-9]{0,9}$'
                AND NOT EXISTS (SELECT FROM hirundo.organization o WHERE o.name = u.name);
        IF FOUND THEN
            RAISE EXCEPTION '% is no organization that was ever imported', wrong USING ERRCODE = '22023';
        END IF;
        IF list IS NOT NULL THEN
            result.organizations := ARRAY(
                SELECT o.organization_id FROM hirundo.organization o WHERE o.name = ANY (list) ORDER BY 1);
            result.organization_asns := ARRAY(
                SELECT substr(u.name, 3)::bigint FROM unnest(list) AS u (name) WHERE u.name ~ '^AS[1-9][0-9]{0,9}$');
        END IF;

        key := 'network_group';
        list := hirundo.filter_list(filter, key, 'string');
        SELECT name INTO wrong FROM unnest(list) AS u (name)
            WHERE NOT EXISTS (SELECT FROM hirundo.network_group g WHERE g.name = u.name);
        IF FOUND THEN
            RAISE EXCEPTION '% is no network group', wrong USING ERRCODE = '22023';
        END IF;
        IF list IS NOT NULL THEN
            SELECT hirundo.bounds4(array_agg(g.network::inet)), hirundo.bounds6(array_agg(g.network::inet))
                INTO result.group4, result.group6 FROM hirundo.network_group g WHERE g.name = ANY (list);
        END IF;

        -- cidr, because 192.0.2.1/24 is a slip.
        key := 'networks';
        result.networks := hirundo.filter_list(filter, key, 'string')::cidr[]::inet[];

        key := 'sources';
        list := hirundo.filter_list(filter, key, 'string');
        SELECT address INTO wrong FROM unnest(list) AS u (address) WHERE address::inet <> host(address::inet)::inet;
        IF FOUND THEN
            RAISE EXCEPTION '% is no single address', wrong USING ERRCODE = '22023';
        END IF;
        IF list IS NOT NULL THEN
            result.networks := ARRAY(
                SELECT a.address FROM unnest(list::inet[]) AS a (address)
                WHERE result.networks IS NULL OR a.address <<= ANY (result.networks));
        END IF;

        key := 'services';
        result.services := hirundo.filter_list(filter, key, 'string');
        SELECT service INTO wrong FROM unnest(result.services) AS u (service)
            WHERE hirundo.service_key(u.service) IS NULL;
        IF FOUND THEN
            RAISE EXCEPTION '% is no service (23/TCP, 53/UDP, TCP/frag, ICMP, GRE, ...)', wrong USING ERRCODE = '22023';
        END IF;

        key := 'ports_only';
        result.ports_only := coalesce(hirundo.filter_one(filter, key, 'boolean')::boolean, false);

        key := 'traits';
        list := hirundo.filter_list(filter, key, 'string');
        SELECT name INTO wrong FROM unnest(list) AS u (name)
            WHERE NOT EXISTS (SELECT FROM hirundo.trait t WHERE t.name = u.name);
        IF FOUND THEN
            RAISE EXCEPTION '% is no trait', wrong USING ERRCODE = '22023';
        END IF;
        result.traits := (SELECT bit_or(1 << t.bit) FROM hirundo.trait t WHERE t.name = ANY (list));

        key := 'role';
        result.role := hirundo.filter_one(filter, key, 'string');
        IF result.role NOT IN ('probe', 'response') THEN
            RAISE EXCEPTION '% is neither probe nor response', result.role USING ERRCODE = '22023';
        END IF;

        key := 'exclude';
        list := coalesce(hirundo.filter_list(filter, key, 'string'), '{}');
        SELECT name INTO wrong FROM unnest(list) AS u (name)
            WHERE name NOT IN ('spoofed', 'response', 'scanner_org', 'bogon');
        IF FOUND THEN
            RAISE EXCEPTION '% can not be excluded, only spoofed, response, scanner_org, bogon', wrong
                USING ERRCODE = '22023';
        ELSIF 'response' = ANY (list) AND result.role = 'response' THEN
            RAISE EXCEPTION 'responses are asked for and excluded' USING ERRCODE = '22023';
        ELSIF 'response' = ANY (list) THEN
            result.role := 'probe';
        END IF;
        result.without_spoofed := 'spoofed' = ANY (list);
        result.without_bogon := 'bogon' = ANY (list);
        result.without_scanners := 'scanner_org' = ANY (list);

        result.whole := NOT filter ?| '{sensors,sensor_region,grp,asn,organization,network_group,services,traits}'
            AND NOT result.ports_only AND result.role IS NULL AND NOT result.without_scanners;
        result.plain := NOT filter ?| '{src_region,asn,organization,networks,network_group,sources,traits}'
            AND list <@ '{response}';
    EXCEPTION WHEN data_exception THEN
        RAISE EXCEPTION 'filter: %: %', key, SQLERRM USING ERRCODE = '22023';
    END;
    result.own_sensors := result.own IS NULL OR NOT EXISTS (
        SELECT FROM hirundo.sensor s WHERE s.sensor_id = ANY (result.sensors) AND s.region <> ALL (result.own));
    result.own_sources := result.own IS NULL OR coalesce(result.src_regions::text[] <@ result.own, false);
    result.means := result.own_sensors OR hirundo.tells_means(result);
    PERFORM hirundo.check_sum(result, filter, false);
    RETURN result;
END
$$;
COMMENT ON FUNCTION hirundo.report_filter IS
    'Parses the filter of a report; error, with the key''s name, for what is no key, no value, or not among keys '
    '(those that mean something in the report; NULL: all). Keys: sensors (ids), sensor_region, grp (domestic, '
    'overseas) with home (region; else setting home_region); src_region (ZZ: not known), asn, organization (names; AS '
    'and a number: addresses of that ASN without an organization), networks (CIDR), network_group (names), sources '
    '(addresses); services, ports_only (true: TCP and UDP ports only), traits, role (probe, response); exclude '
    '(spoofed, response, bogon, scanner_org). Lists may be one value. All keys must hold, of a list any value. '
    'scanner_org excludes who is in hirundo.scanner on the reporting day. '
    'Error 42501 for what the viewer that asks may not see (current_viewer(), check_sensors(), check_sum()).';

-- Signatures (hirundo.signature) and services.

CREATE FUNCTION hirundo.signature_key(signature bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Protocol, and for TCP and UDP: response, port, no port known.
RETURN CASE WHEN (signature >> 32) & 255 IN (6, 17) THEN signature & ((1023::bigint << 32) | 65535)
    ELSE signature & (255::bigint << 32) END;
COMMENT ON FUNCTION hirundo.signature_key IS
    'What of a signature tells the service: equals service_key() of it. A TCP or UDP response''s is no service''s: its '
    'destination port is not in the signature.';

CREATE FUNCTION hirundo.service_key(service text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN service ~ '^(0|[1-9][0-9]{0,4})/(TCP|UDP)$' THEN
        CASE WHEN split_part(service, '/', 1)::int <= 65535 THEN
            (CASE split_part(service, '/', 2) WHEN 'TCP' THEN 6 ELSE 17 END)::bigint << 32
                | split_part(service, '/', 1)::int END
    WHEN service = 'TCP/frag' THEN (6::bigint << 32) | (1::bigint << 41)
    WHEN service = 'UDP/frag' THEN (17::bigint << 32) | (1::bigint << 41)
    WHEN service = 'unknown' THEN 255::bigint << 32
    ELSE (SELECT min(p)::bigint << 32 FROM generate_series(0, 255) AS p
        WHERE p NOT IN (6, 17) AND hirundo.protocol_name(p::smallint) = service_key.service)
    END;
COMMENT ON FUNCTION hirundo.service_key IS 'The number of a service as signature_key() gives it; NULL: no service is called so.';

CREATE FUNCTION hirundo.check_services(f hirundo.report_filter) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    port text := (SELECT min(s.service) FROM unnest(f.services) AS s (service) WHERE s.service ~ '^[0-9]');
BEGIN
    IF port IS NOT NULL AND f.role = 'response' THEN
        RAISE EXCEPTION 'filter: services: TTLs of responses to % can not be told from those to other ports', port
            USING ERRCODE = '22023';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_services IS
    'Error where responses to a TCP or UDP port are asked for: ttl_day has no ports of responses. For reports that '
    'read it.';

CREATE FUNCTION hirundo.signature_service(signature bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (signature >> 40) & 1 = 0 THEN
    hirundo.service(((signature >> 32) & 255)::smallint,
        CASE WHEN (signature >> 41) & 1 = 0 THEN (signature & 65535)::int END) END;
COMMENT ON FUNCTION hirundo.signature_service IS
    'The service of a signature; NULL for a response (its destination port is not in the signature).';

-- What counts as one.

CREATE FUNCTION hirundo.host(src inet) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE family(src) WHEN 4 THEN src - inet '0.0.0.0' - 4294967296
    ELSE ('x' || encode(substr(inet_send(src), 5, 8), 'hex'))::bit(64)::bigint END;
COMMENT ON FUNCTION hirundo.host IS
    'A number for what counts as one host: an IPv4 address, an IPv6 /64. Much faster to count than addresses. '
    'Different for all but those in ffff:ffff::/32, which are no source''s (multicast).';

CREATE FUNCTION hirundo.wilson(hits bigint, n bigint)
RETURNS TABLE (share double precision, "interval" double precision[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Wilson 1927, z = 1.96 (95 %).
    SELECT a.p, CASE WHEN a.p IS NOT NULL THEN ARRAY[
        CASE WHEN a.p = 0 THEN 0 ELSE (a.p + a.zz / (2 * a.m) - b.half) / (1 + a.zz / a.m) END,
        CASE WHEN a.p = 1 THEN 1 ELSE (a.p + a.zz / (2 * a.m) + b.half) / (1 + a.zz / a.m) END] END
    FROM (SELECT hits / nullif(n, 0)::double precision, nullif(n, 0)::double precision,
        1.959963984540054 ^ 2::double precision) AS a (p, m, zz)
    CROSS JOIN LATERAL (SELECT sqrt(a.zz * (a.p * (1 - a.p) / a.m + a.zz / (4 * a.m * a.m)))) AS b (half);
END;
COMMENT ON FUNCTION hirundo.wilson IS 'Share hits / n and its 95 % interval by Wilson (from, to); NULL where n is 0.';

-- The rows that a filter leaves.

CREATE FUNCTION hirundo.report_rows(period daterange, f hirundo.report_filter) RETURNS SETOF hirundo.ttl_day
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.*
    FROM hirundo.ttl_day c
    WHERE c.day >= lower(period) AND c.day < upper(period)
        AND c.sensor_id = ANY ((f).sensors)
        AND ((f).src_regions IS NULL OR coalesce(c.src_region, 'ZZ') = ANY ((f).src_regions))
        AND ((f).asns IS NULL OR c.src_asn = ANY ((f).asns))
        AND ((f).networks IS NULL OR c.src <<= ANY ((f).networks))
        AND ((f).organizations IS NULL OR c.organization_id = ANY ((f).organizations)
            OR (c.organization_id IS NULL AND c.src_asn = ANY ((f).organization_asns)))
        AND ((f).group4 IS NULL OR hirundo.within(c.src, (f).group4, (f).group6))
        AND NOT ((f).without_scanners AND hirundo.within(c.src,
            (SELECT hirundo.bounds4(hirundo.scanners(period, true))),
            (SELECT hirundo.bounds6(hirundo.scanners(period, true)))))
        -- Those that were scanners on some of the days only.
        AND NOT ((f).without_scanners AND hirundo.within(c.src,
            (SELECT hirundo.bounds4(hirundo.scanners(period, false))),
            (SELECT hirundo.bounds6(hirundo.scanners(period, false))))
            AND hirundo.scans(c.src, c.day))
        AND ((f).services IS NULL OR hirundo.signature_key(c.signature) = ANY (ARRAY(
            SELECT hirundo.service_key(s.service) FROM unnest((f).services) AS s (service))))
        AND (NOT (f).ports_only OR (c.signature >> 32) & 767 IN (6, 17))
        AND ((f).role IS NULL OR ((c.signature >> 40) & 1 = 1) = ((f).role = 'response'));
END;
COMMENT ON FUNCTION hirundo.report_rows IS
    'Rows of ttl_day in a period that a filter leaves, but for the keys that need other tables: report_cells().';

CREATE FUNCTION hirundo.report_cells(period daterange, f hirundo.report_filter) RETURNS SETOF hirundo.ttl_day
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- One of the two falls away.
    SELECT c.* FROM hirundo.report_rows(period, f) c
    WHERE (f).traits IS NULL AND NOT (f).without_bogon AND NOT (f).without_spoofed
    UNION ALL
    SELECT c.*
    FROM hirundo.report_rows(period, f) c
    LEFT JOIN (
        SELECT DISTINCT d.sensor_id, d.day, d.src, r.role, CASE r.role WHEN 'probe' THEN d.service ELSE '' END
        FROM hirundo.source_day d CROSS JOIN LATERAL (SELECT hirundo.role(d.traits)) AS r (role)
        WHERE d.day >= lower(period) AND d.day < upper(period) AND d.traits & (f).traits <> 0
    ) AS marked (sensor_id, day, src, role, service)
        ON (f).traits IS NOT NULL AND marked.sensor_id = c.sensor_id AND marked.day = c.day AND marked.src = c.src
        AND marked.role = CASE WHEN (c.signature >> 40) & 1 = 0 THEN 'probe' ELSE 'response' END
        AND marked.service = coalesce(hirundo.signature_service(c.signature), '')
    LEFT JOIN (
        -- Trait bogon_source: a property of the address.
        SELECT DISTINCT d.src FROM hirundo.source_day d
        WHERE d.day >= lower(period) AND d.day < upper(period) AND d.traits & 16 <> 0
    ) AS bogon ON (f).without_bogon AND bogon.src = c.src
    LEFT JOIN hirundo.verdict v ON (f).without_spoofed AND v.verdict = 'spoofed' AND v.day = c.day AND v.src = c.src
        AND (v.track = 0 OR v.track = hirundo.initial_ttl(c.ttl))
        AND v.day >= lower(period) AND v.day < upper(period)
    WHERE ((f).traits IS NOT NULL OR (f).without_bogon OR (f).without_spoofed)
        AND ((f).traits IS NULL OR marked.src IS NOT NULL)
        AND bogon.src IS NULL
        AND v.src IS NULL;
END;
COMMENT ON FUNCTION hirundo.report_cells IS
    'Rows of ttl_day in a period that a filter leaves. services: of TCP and UDP probes only (check_services()); '
    'ports_only: TCP and UDP, responses too, because these have ports. traits: rows whose source, service and role '
    '(responses: source and role) showed one of them at that sensor on that day. exclude spoofed: rows of tracks that '
    'are called so.';

CREATE FUNCTION hirundo.report_sources(period daterange, f hirundo.report_filter) RETURNS SETOF hirundo.source_day
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.*
    FROM hirundo.source_day c
    WHERE c.day >= lower(period) AND c.day < upper(period)
        AND ((f).all_sensors OR c.sensor_id = ANY ((f).sensors))
        AND ((f).src_regions IS NULL OR coalesce(c.src_region, 'ZZ') = ANY ((f).src_regions))
        AND ((f).asns IS NULL OR c.src_asn = ANY ((f).asns))
        AND ((f).networks IS NULL OR c.src <<= ANY ((f).networks))
        AND ((f).organizations IS NULL OR c.organization_id = ANY ((f).organizations)
            OR (c.organization_id IS NULL AND c.src_asn = ANY ((f).organization_asns)))
        AND ((f).group4 IS NULL OR hirundo.within(c.src, (f).group4, (f).group6))
        -- A row without a source is no scanner's.
        AND NOT ((f).without_scanners AND coalesce(
            hirundo.within(c.src, (SELECT hirundo.bounds4(hirundo.scanners(period, true))),
                (SELECT hirundo.bounds6(hirundo.scanners(period, true)))), false))
        AND NOT ((f).without_scanners AND coalesce(
            hirundo.within(c.src, (SELECT hirundo.bounds4(hirundo.scanners(period, false))),
                (SELECT hirundo.bounds6(hirundo.scanners(period, false)))), false)
            AND hirundo.scans(c.src, c.day))
        AND ((f).services IS NULL OR c.service = ANY ((f).services))
        -- Digits come before the colon, letters behind it.
        AND (NOT (f).ports_only OR c.service < ':' COLLATE "C")
        AND ((f).traits IS NULL OR c.traits & (f).traits <> 0)
        -- hirundo.role(), and bogon_source, so that the planner does not take them for rare.
        AND ((f).role IS DISTINCT FROM 'probe' OR c.traits & 31744 < 1)
        AND ((f).role IS DISTINCT FROM 'response' OR c.traits & 31744 > 0)
        AND (NOT (f).without_bogon OR c.traits & 16 <> 16)
        AND (NOT (f).without_spoofed OR NOT EXISTS (
            SELECT FROM hirundo.verdict v
            WHERE v.verdict = 'spoofed' AND v.day = c.day AND v.src = c.src
                AND (v.track = 0 OR v.track = c.initial_ttl)
                AND v.day >= lower(period) AND v.day < upper(period)));
END;
COMMENT ON FUNCTION hirundo.report_sources IS
    'Rows of source_day in a period that a filter leaves. exclude spoofed: rows of tracks that are called so on their '
    'day.';

CREATE FUNCTION hirundo.report_services(period daterange, f hirundo.report_filter)
RETURNS TABLE (sensor_id int, day date, service text, packets bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- One of the two falls away.
    SELECT c.sensor_id, c.day, c.service, c.packets
    FROM hirundo.service_day c
    WHERE (f).plain
        AND c.day >= lower(period) AND c.day < upper(period)
        AND c.sensor_id = ANY ((f).sensors)
        AND ((f).services IS NULL OR c.service = ANY ((f).services))
        AND (NOT (f).ports_only OR c.service < ':' COLLATE "C")
        AND ((f).role IS NULL OR c.role = (f).role)
    UNION ALL
    SELECT c.sensor_id, c.day, c.service, c.packets
    FROM hirundo.report_sources(period, f) c
    WHERE NOT (f).plain;
END;
COMMENT ON FUNCTION hirundo.report_services IS
    'Packets in a period that a filter leaves, by sensor, day and service, in one row or more: from service_day where '
    'that is enough, else from source_day.';

-- Verdicts that it leaves.

CREATE FUNCTION hirundo.track_order(verdict text, judged boolean, score real, track smallint) RETURNS real[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[CASE verdict WHEN 'spoofed' THEN 1 WHEN 'genuine' THEN 2 ELSE 3 END, CASE WHEN judged THEN 0 ELSE 1 END,
    score, track]::real[];
COMMENT ON FUNCTION hirundo.track_order IS
    'The least of a source''s tracks is the one whose reason speaks for the source: it has the source''s verdict (of '
    'mixed: spoofed), was judged by its TTLs where any was, and has the lowest score. [4] is the track.';

CREATE FUNCTION hirundo.report_days(period daterange, open date[], f hirundo.report_filter)
RETURNS TABLE (day date, src inet, code int, score real, regions_seen smallint, tracks int, reason_track smallint,
    src_region char(2), packets_genuine bigint, packets_spoofed bigint, packets_undetermined bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Other than open days have all in verdict: one track, or several.
    SELECT v.day, v.src, CASE v.verdict WHEN 'spoofed' THEN 1 WHEN 'genuine' THEN 4 ELSE 3 END, v.score,
        v.source_regions, 1, v.track, v.src_region,
        CASE v.verdict WHEN 'genuine' THEN v.packets ELSE 0 END,
        CASE v.verdict WHEN 'spoofed' THEN v.packets ELSE 0 END,
        CASE v.verdict WHEN 'undetermined' THEN v.packets ELSE 0 END
    FROM hirundo.verdict v
    WHERE v.track = 0 AND v.day <> ALL (open) AND v.day >= lower(period) AND v.day < upper(period)
        AND ((f).src_regions IS NULL OR coalesce(v.src_region, 'ZZ') = ANY ((f).src_regions))
        AND ((f).networks IS NULL OR v.src <<= ANY ((f).networks))
        AND NOT ((f).without_spoofed AND v.verdict = 'spoofed')
        AND NOT ((f).without_bogon AND v.kind = 'bogon')
    UNION ALL
    SELECT v.day, v.src,
        CASE WHEN bool_or(v.verdict = 'spoofed') THEN CASE WHEN bool_or(v.verdict = 'genuine') THEN 2 ELSE 1 END
            WHEN bool_or(v.verdict = 'genuine') THEN 4 ELSE 3 END,
        coalesce(min(v.score) FILTER (WHERE t.judged), min(v.score)), max(v.source_regions), count(*)::int,
        (min(hirundo.track_order(v.verdict, t.judged, v.score, v.track)))[4]::smallint, max(v.src_region),
        coalesce(sum(v.packets) FILTER (WHERE v.verdict = 'genuine'), 0)::bigint,
        coalesce(sum(v.packets) FILTER (WHERE v.verdict = 'spoofed'), 0)::bigint,
        coalesce(sum(v.packets) FILTER (WHERE v.verdict = 'undetermined'), 0)::bigint
    FROM hirundo.verdict v
    CROSS JOIN LATERAL (SELECT v.log_claimed IS NOT NULL OR v.kind IN ('unlisted', 'bogon') AS judged) t
    WHERE v.track <> 0 AND v.day <> ALL (open) AND v.day >= lower(period) AND v.day < upper(period)
        AND ((f).src_regions IS NULL OR coalesce(v.src_region, 'ZZ') = ANY ((f).src_regions))
        AND ((f).networks IS NULL OR v.src <<= ANY ((f).networks))
        AND NOT ((f).without_spoofed AND v.verdict = 'spoofed')
    GROUP BY v.day, v.src
    UNION ALL
    -- Open days, row by row.
    SELECT c.day, c.src,
        CASE WHEN bool_or(v.verdict = 'spoofed') THEN CASE WHEN bool_or(v.verdict = 'genuine') THEN 2 ELSE 1 END
            WHEN bool_or(v.verdict = 'genuine') THEN 4 ELSE 3 END,
        coalesce(min(v.score) FILTER (WHERE t.judged), min(v.score)), max(v.source_regions),
        bit_count(bit_or(1 << (v.track / 32))::bit(8))::int,
        (min(hirundo.track_order(v.verdict, t.judged, v.score, v.track))
            FILTER (WHERE v.track IS NOT NULL))[4]::smallint,
        max(c.src_region),
        coalesce(sum(c.packets) FILTER (WHERE v.verdict = 'genuine'), 0)::bigint,
        coalesce(sum(c.packets) FILTER (WHERE v.verdict = 'spoofed'), 0)::bigint,
        coalesce(sum(c.packets) FILTER (WHERE coalesce(v.verdict, 'undetermined') = 'undetermined'), 0)::bigint
    FROM hirundo.report_cells(period, f) c
    LEFT JOIN hirundo.verdict v ON v.day = c.day AND v.src = c.src
        AND (v.track = 0 OR v.track = hirundo.initial_ttl(c.ttl))
        AND v.day = ANY (open) AND v.day >= lower(period) AND v.day < upper(period)
    CROSS JOIN LATERAL (SELECT v.log_claimed IS NOT NULL OR v.kind IN ('unlisted', 'bogon') AS judged) t
    WHERE c.day = ANY (open)
    GROUP BY c.day, c.src;
END;
COMMENT ON FUNCTION hirundo.report_days IS
    'One row for each source and day that a filter leaves. code: 1 spoofed, 2 mixed (a spoofed and a genuine track), 3 '
    'undetermined, 4 genuine; score: lowest of its tracks, those left out that were too small to be judged, unless all '
    'were; regions_seen: verdict.source_regions; both NULL where none has a verdict; reason_track: the first by '
    'track_order(); packets by the verdict of the track that they belong to. open: open_days() of the same period and '
    'filter.';

CREATE FUNCTION hirundo.why_no_verdict(day date) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN EXISTS (SELECT FROM hirundo.hop_model m WHERE m.day = why_no_verdict.day AND m.final)
    THEN 'came after the verdicts of its day were final' ELSE 'not judged yet' END;
COMMENT ON FUNCTION hirundo.why_no_verdict IS 'The reason of a source that has no verdict on a day.';

CREATE FUNCTION hirundo.verdict_as_of(period daterange) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN (
    SELECT CASE WHEN NOT EXISTS (
            SELECT FROM generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS d (day)
            WHERE NOT EXISTS (SELECT FROM hirundo.hop_model m WHERE m.day = d.day::date)
                AND EXISTS (SELECT FROM hirundo.sensor s JOIN hirundo.ttl_day c USING (sensor_id) WHERE c.day = d.day::date))
        THEN (SELECT min(m.computed_at) FROM hirundo.hop_model m WHERE m.day >= lower(period) AND m.day < upper(period))
        END);
COMMENT ON FUNCTION hirundo.verdict_as_of IS
    'All that was rolled up before this time is in the verdicts of the period; NULL where a day with packets is not judged yet.';

CREATE FUNCTION hirundo.verdict_dataset(period daterange) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT hirundo.dataset_text(min(i.id), max(i.id))
    FROM hirundo.hop_model m CROSS JOIN unnest(m.dataset_ids) AS i (id)
    WHERE m.day >= lower(period) AND m.day < upper(period));
COMMENT ON FUNCTION hirundo.verdict_dataset IS 'For people: the address data behind the verdicts of a period.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hirundo FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.host, hirundo.wilson, hirundo.day_start, hirundo.service_key, hirundo.signature_key,
    hirundo.signature_service, hirundo.dataset_text TO hirundo_analyst;
