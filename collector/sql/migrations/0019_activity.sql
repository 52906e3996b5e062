-- Activity by day: who sent what Mirai sends, hosts of services and networks, days of activity.
--
-- What a query can not run in parallel with (settings, books) is asked for before it.

CREATE FUNCTION report.mirai_hosts(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT 5)
RETURNS TABLE (day date, region char(2), hosts bigint, total_hosts bigint, top_hosts bigint, name text, rank bigint,
    packets bigint, covered double precision, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    mirai int := (SELECT 1 << t.bit FROM hirundo.trait t WHERE t.name = 'mirai');
    days date[];
    shares double precision[];
    dataset text := hirundo.rollup_dataset(period, f.sensors);
    as_of timestamptz := hirundo.rollup_as_of(period, f.sensors);
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    stored := hirundo.stored_answer('mirai_hosts', period, jsonb_build_object('filter', filter, 'n', n));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('mirai_hosts') USING stored;
        RETURN;
    END IF;
    SELECT array_agg(d.day ORDER BY d.day), array_agg(d.covered ORDER BY d.day) INTO days, shares
        FROM hirundo.covered_days(period, f.sensors) d;
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        SELECT c.day, coalesce(c.src_region, 'ZZ')::char(2) AS region, hirundo.host(c.src) AS host,
            sum(c.packets) AS packets
        FROM hirundo.report_sources(period, f) c
        WHERE c.traits & mirai <> 0
        GROUP BY 1, 2, 3
    ), top AS MATERIALIZED (
        SELECT h.region, row_number() OVER (ORDER BY count(h.host) DESC, sum(h.packets) DESC, h.region) AS rank
        FROM (SELECT e.region, e.host, sum(e.packets) AS packets FROM cell e GROUP BY 1, 2) h
        GROUP BY h.region
        ORDER BY 2 LIMIT n
    ), total AS (
        SELECT h.day, count(h.host) AS hosts, count(h.host) FILTER (WHERE h.in_top) AS in_top
        FROM (
            SELECT e.day, e.host, bool_or(t.region IS NOT NULL) AS in_top
            FROM cell e LEFT JOIN top t USING (region) GROUP BY 1, 2) h
        GROUP BY h.day
    ), part AS (
        SELECT e.day, e.region, count(e.host) AS hosts, sum(e.packets)::bigint AS packets
        FROM cell e JOIN top USING (region) GROUP BY 1, 2
    )
    SELECT d.day, t.region, coalesce(p.hosts, z.zero), coalesce(a.hosts, z.zero), coalesce(a.in_top, z.zero),
        coalesce(m.name, t.region), t.rank, coalesce(p.packets, z.zero), d.covered, dataset, as_of
    FROM unnest(days, shares) AS d (day, covered)
    LEFT JOIN total a ON a.day = d.day
    -- What a region has of which nothing came: 0 where that is known.
    CROSS JOIN LATERAL (SELECT CASE WHEN d.covered > 0 OR a.day IS NOT NULL THEN 0 END) AS z (zero)
    LEFT JOIN top t ON true
    LEFT JOIN part p ON p.day = d.day AND p.region = t.region
    LEFT JOIN hirundo.region_name m ON m.region = t.region
    ORDER BY d.day, t.rank;
END
$$;
COMMENT ON FUNCTION report.mirai_hosts IS
    'Hosts that sent what Mirai sends (trait mirai: IPv4 TCP SYN whose sequence number is the destination address), '
    'by day (R15, R16). A row for each reporting day and each of the n regions (NULL = all) that have most such hosts'
    ' over the whole period, ties by packets, then region; rank is the region''s. hosts, packets: of that day and '
    'region; total_hosts: of that day, from everywhere; top_hosts: of that day, from the n regions. Each host counts '
    'once in each of them, so that top_hosts is less than the sum where new address data moved a host within the day.'
    ' Region ZZ: not known. No such host in the whole period: rows with region NULL. Numbers are 0 where nothing '
    'came, NULL where no sensor of the filter listened that day. covered: share of the day (today: until now) in '
    'which its sensors listened. dataset, as_of: as in report.top_services. All keys of the filter; of traits, any '
    'beside mirai.';

CREATE FUNCTION report.hosts_per_day(period daterange, filter jsonb DEFAULT '{}')
RETURNS TABLE (day date, service text, network text, hosts bigint, packets bigint, covered double precision,
    dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    networks cidr[];
    kind text := CASE WHEN f.services IS NULL THEN 'all' ELSE 'service' END;
    daily hirundo.series;
    days date[];
    shares double precision[];
    dataset text := hirundo.rollup_dataset(period, f.sensors);
    as_of timestamptz := hirundo.rollup_as_of(period, f.sensors);
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors);
    stored := hirundo.stored_answer('hosts_per_day', period, jsonb_build_object('filter', filter));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('hosts_per_day') USING stored;
        RETURN;
    END IF;
    SELECT array_agg(w.network) INTO networks FROM (
        SELECT unnest(hirundo.filter_list(filter, 'networks', 'string'))::cidr
        UNION
        SELECT g.network FROM hirundo.network_group g
        WHERE g.name = ANY (hirundo.filter_list(filter, 'network_group', 'string'))) AS w (network);
    SELECT array_agg(d.day ORDER BY d.day), array_agg(d.covered ORDER BY d.day) INTO days, shares
        FROM hirundo.covered_days(period, f.sensors) d;
    daily := hirundo.series(period, 'day');
    RETURN QUERY
    WITH counted AS (
        -- One of the two falls away.
        SELECT daily.days[c.step] AS day, c.key AS service, NULL::cidr AS network,
            coalesce(sum(c.hosts), 0)::bigint AS hosts, sum(c.packets)::bigint AS packets
        FROM (
            SELECT p.step, p.key, p.packets, NULL::bigint AS hosts FROM hirundo.step_packets(period, f, daily, kind) p
            UNION ALL
            SELECT h.step, h.key, NULL, h.hosts FROM hirundo.step_hosts(period, f, daily, kind) h) c
        WHERE networks IS NULL
        GROUP BY c.step, c.key
        UNION ALL
        SELECT h.day, h.service, h.network, count(h.host), sum(h.packets)::bigint
        FROM (
            SELECT c.day, CASE WHEN f.services IS NULL THEN 'all' ELSE c.service END AS service, w.network,
                hirundo.host(c.src) AS host, sum(c.packets) AS packets
            FROM hirundo.report_sources(period, f) c
            JOIN unnest(networks) AS w (network) ON c.src <<= w.network
            GROUP BY 1, 2, 3, 4) h
        GROUP BY 1, 2, 3
    )
    SELECT d.day, s.service, coalesce(w.network::text, 'all'), coalesce(c.hosts, z.zero), coalesce(c.packets, z.zero),
        d.covered, dataset, as_of
    FROM unnest(days, shares) AS d (day, covered)
    CROSS JOIN unnest(coalesce(f.services, '{all}')) AS s (service)
    CROSS JOIN unnest(coalesce(networks, '{NULL}')) AS w (network)
    LEFT JOIN counted c ON c.day = d.day AND c.service = s.service AND c.network IS NOT DISTINCT FROM w.network
    CROSS JOIN LATERAL (SELECT CASE WHEN d.covered > 0 THEN 0 END) AS z (zero)
    ORDER BY d.day, hirundo.service_order(s.service), s.service, w.network;
END
$$;
COMMENT ON FUNCTION report.hosts_per_day IS
    'Hosts by reporting day (R17, R20): a row for each day, each service of the filter (all: the filter names none, '
    'and all count together), and each network of its keys networks and network_group (all: it names none). hosts: '
    'distinct sources (IPv6: /64) of that day, service and network, over all sensors; packets: sum. Rows don''t add '
    'up: a host may use several services, and networks may overlap. 0 where nothing came, NULL where no sensor of the'
    ' filter listened that day. covered: share of the day (today: until now) in which its sensors listened. dataset, '
    'as_of: as in report.top_services. All keys of the filter.';

CREATE FUNCTION report.activity_calendar(period daterange, filter jsonb DEFAULT '{}', min_hosts int DEFAULT 1)
RETURNS TABLE (day date, weekday text, packets bigint, hosts bigint, active boolean, covered double precision,
    dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    days date[];
    shares double precision[];
    daily hirundo.series;
    dataset text := hirundo.rollup_dataset(period, f.sensors);
    as_of timestamptz := hirundo.rollup_as_of(period, f.sensors);
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors);
    IF min_hosts IS NULL OR min_hosts < 1 THEN
        RAISE EXCEPTION 'min_hosts is %, not 1 or more', coalesce(min_hosts::text, 'NULL') USING ERRCODE = '22023';
    END IF;
    stored := hirundo.stored_answer('activity_calendar', period,
        jsonb_build_object('filter', filter, 'min_hosts', min_hosts));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('activity_calendar') USING stored;
        RETURN;
    END IF;
    SELECT array_agg(d.day ORDER BY d.day), array_agg(d.covered ORDER BY d.day) INTO days, shares
        FROM hirundo.covered_days(period, f.sensors) d;
    daily := hirundo.series(period, 'day');
    RETURN QUERY
    SELECT d.day, (ARRAY['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'])[extract(isodow FROM d.day)::int],
        coalesce(c.packets, z.zero), coalesce(c.hosts, z.zero),
        CASE WHEN coalesce(c.hosts, 0) >= min_hosts THEN true WHEN d.covered > 0 THEN false END,
        d.covered, dataset, as_of
    FROM unnest(days, shares) AS d (day, covered)
    CROSS JOIN LATERAL (SELECT CASE WHEN d.covered > 0 THEN 0 END) AS z (zero)
    LEFT JOIN (
        SELECT daily.days[h.step] AS day, coalesce(sum(h.hosts), 0)::bigint AS hosts, sum(h.packets)::bigint AS packets
        FROM (
            SELECT p.step, p.packets, NULL::bigint AS hosts FROM hirundo.step_packets(period, f, daily, 'all') p
            UNION ALL
            SELECT e.step, NULL, e.hosts FROM hirundo.step_hosts(period, f, daily, 'all') e) h
        GROUP BY h.step) c ON c.day = d.day
    ORDER BY d.day;
END
$$;
COMMENT ON FUNCTION report.activity_calendar IS
    'On which days something was active (R18): a row for each reporting day. weekday: Mon to Sun. packets: sum; '
    'hosts: distinct sources (IPv6: /64) of that day over all sensors; 0 where nothing came, NULL where no sensor of '
    'the filter listened that day. active: whether there were min_hosts hosts or more; NULL where there were not and '
    'no sensor listened, so that nobody knows. covered: share of the day (today: until now) in which the filter''s '
    'sensors listened. dataset, as_of: as in report.top_services. All keys of the filter.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('R15, R16', 'report.mirai_hosts',
        $x$SELECT * FROM report.mirai_hosts(daterange(current_date - 30, current_date), '{"grp": "domestic"}')$x$),
    ('R17, R20', 'report.hosts_per_day',
        $x$SELECT * FROM report.hosts_per_day(daterange(current_date - 30, current_date),
    '{"services": ["22/TCP", "5900/TCP"], "networks": ["133.10.0.0/16", "133.20.0.0/16"]}')$x$),
    ('R18', 'report.activity_calendar',
        $x$SELECT * FROM report.activity_calendar(daterange(current_date - 30, current_date),
    '{"services": "22/TCP", "networks": "133.10.0.0/16"}', 10)$x$);

REVOKE ALL ON FUNCTION report.mirai_hosts, report.hosts_per_day, report.activity_calendar FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report.mirai_hosts, report.hosts_per_day, report.activity_calendar
    TO hirundo_analyst, hirundo_dashboard;
