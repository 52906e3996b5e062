-- Rankings: services and source regions by packets or hosts, beside their ranks in the period before.
--
-- Packets of services come from service_day; hosts are counted for the rows that are returned alone, unless they
-- decide the rank. Names go from one statement to the next as arrays, because the planner knows what is in them;
-- what it reads then, it reads in parallel.
--
-- Hosts are counted by sorting source_day.cell: millions of numbers of eight bytes are sorted in a second, and in less
-- memory than hashed. What has no such number (IPv6) is counted apart. How many rows a filter leaves the planner
-- guesses badly, so whether to sort or to hash is not left to it: DISTINCT ON sorts. The period and the one before it
-- are two calls of a function that it takes for dear, so that each gets a processor.

-- What the rankings share.

CREATE FUNCTION hirundo.check_rank_by(rank_by text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF rank_by IS NULL OR rank_by NOT IN ('packets', 'hosts') THEN
        RAISE EXCEPTION 'rank_by is %, not packets or hosts', coalesce(quote_literal(rank_by), 'NULL')
            USING ERRCODE = '22023';
    END IF;
    RETURN rank_by = 'hosts';
END
$$;
COMMENT ON FUNCTION hirundo.check_rank_by IS
    'Error where rank_by is neither packets nor hosts; else whether it is hosts.';

CREATE FUNCTION hirundo.previous_period(period daterange) RETURNS daterange
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT daterange(coalesce(max(lower(period) - u.step)::date, lower(period) - (upper(period) - lower(period))),
        lower(period))
    FROM (VALUES ('month', interval '1 month'), ('quarter', interval '3 months'), ('year', interval '1 year'))
        AS u (unit, step)
    WHERE date_trunc(u.unit, lower(period)::timestamp) = lower(period)::timestamp
        AND lower(period) + u.step = upper(period);
END;
COMMENT ON FUNCTION hirundo.previous_period IS
    'The calendar unit before a period that is one (month, quarter, year), else as many days before it.';

CREATE FUNCTION hirundo.period_counted(period daterange, sensors int[]) RETURNS boolean
LANGUAGE sql STABLE
RETURN NOT EXISTS (
        SELECT FROM hirundo.rollup_dropped d
        WHERE daterange(d.month, (d.month + interval '1 month')::date) && period)
    AND NOT EXISTS (
        SELECT FROM hirundo.rollup_gap g
        WHERE g.sensor_id = ANY (sensors) AND g.day >= lower(period) AND g.day < upper(period))
    AND EXISTS (
        SELECT FROM unnest(sensors) AS i (id) JOIN hirundo.coverage_day o ON o.sensor_id = i.id
        WHERE o.day >= lower(period) AND o.day < upper(period) AND (o.seconds > 0 OR o.packets > 0));
COMMENT ON FUNCTION hirundo.period_counted IS
    'Whether numbers of a period can be given: at least one of these sensors listened, no month of it was dropped, '
    'and no rows of theirs are missing in the rollups.';

CREATE FUNCTION hirundo.covered_days(period daterange, sensors int[]) RETURNS TABLE (day date, covered double precision)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.at::date, coalesce(l.seconds, 0) / (nullif(cardinality(sensors), 0) * greatest(1, extract(epoch FROM
        least(hirundo.day_start(d.at::date + 1), now()) - hirundo.day_start(d.at::date))))
    FROM generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS d (at)
    LEFT JOIN (
        SELECT o.day, sum(o.seconds) AS seconds FROM hirundo.coverage_day o
        WHERE o.sensor_id = ANY (sensors) AND o.day >= lower(period) AND o.day < upper(period)
        GROUP BY o.day) l ON l.day = d.at::date;
END;
COMMENT ON FUNCTION hirundo.covered_days IS
    'For each reporting day of a period, the share of it (of today: until now) in which these sensors listened, 0 to '
    '1; NULL where there are none.';

-- Services.

CREATE FUNCTION hirundo.service_order(service text) RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN service < ':' COLLATE "C" THEN
        CASE WHEN right(service, 3) = 'TCP' THEN 6 ELSE 17 END * 65537 + split_part(service, '/', 1)::int
    ELSE (hirundo.service_key(service) >> 32 & 255)::int * 65537 + 65536 END;
COMMENT ON FUNCTION hirundo.service_order IS
    'The order of services: by protocol number, then port, no port known last.';

CREATE FUNCTION hirundo.cells_whole(period daterange) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NOT EXISTS (
    SELECT FROM hirundo.source_day c
    WHERE c.cell IS NULL AND family(c.src) = 4 AND c.day >= lower(period) AND c.day < upper(period));
COMMENT ON FUNCTION hirundo.cells_whole IS
    'Whether all IPv4 sources of a period have a cell: then a host is counted by cells, or not by cells at all.';

CREATE FUNCTION hirundo.service_hosts(period daterange, f hirundo.report_filter, with_total boolean)
RETURNS TABLE (service text, hosts bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 1000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '256MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    whole boolean := hirundo.cells_whole(period);
BEGIN
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        -- Without the region: host and service.
        SELECT DISTINCT ON (c.cell & 4503599627370495) c.cell & 4503599627370495 AS cell
        FROM hirundo.report_sources(period, f) c WHERE whole AND c.cell IS NOT NULL
    ), other AS MATERIALIZED (
        SELECT DISTINCT c.service, hirundo.host(c.src) AS host FROM hirundo.report_sources(period, f) c
        WHERE (NOT whole OR c.cell IS NULL) AND c.src IS NOT NULL
    ), part AS (
        SELECT hirundo.numbered_service(n.number) AS service, count(*) AS hosts
        FROM (SELECT e.cell & 1048575 AS number FROM cell e) n GROUP BY n.number
        UNION ALL
        SELECT o.service, count(*) FROM other o GROUP BY o.service
    )
    SELECT p.service, sum(p.hosts)::bigint FROM part p GROUP BY p.service
    UNION ALL
    SELECT NULL, (SELECT count(DISTINCT e.cell >> 20) FROM cell e) + (SELECT count(DISTINCT o.host) FROM other o)
    WHERE with_total;
END
$$;
COMMENT ON FUNCTION hirundo.service_hosts IS
    'Distinct hosts of each service that a filter leaves in a period; with_total: and, service NULL, of all of them.';

CREATE FUNCTION hirundo.counted_services(period daterange, f hirundo.report_filter)
RETURNS TABLE (service text, packets bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 1000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off SET enable_sort = off
AS $$
DECLARE
    whole boolean := hirundo.whole_months(period);
BEGIN
    -- One of the two falls away; from source_day by number, because that is faster.
    RETURN QUERY
    SELECT c.service, sum(c.packets)::bigint FROM hirundo.service_totals(period, f, whole) c
    WHERE f.plain GROUP BY c.service
    UNION ALL
    SELECT n.service, sum(n.packets)::bigint
    FROM (
        SELECT hirundo.numbered_service(c.cell & 1048575) AS service, sum(c.packets) AS packets
        FROM hirundo.report_sources(period, f) c WHERE NOT f.plain AND c.cell IS NOT NULL GROUP BY c.cell & 1048575
        UNION ALL
        SELECT c.service, sum(c.packets) FROM hirundo.report_sources(period, f) c
        WHERE NOT f.plain AND c.cell IS NULL GROUP BY c.service) n
    GROUP BY n.service;
END
$$;
COMMENT ON FUNCTION hirundo.counted_services IS 'All services of a period that a filter leaves, with their packets.';

CREATE FUNCTION hirundo.ranked_services(period daterange, previous daterange, f hirundo.report_filter, n int,
    by_hosts boolean)
RETURNS TABLE (rank bigint, service text, packets bigint, hosts bigint, previous_rank bigint, previous_packets bigint,
    of_all numeric)
LANGUAGE plpgsql STABLE
-- For itself, because SELECT INTO reads nothing in parallel.
AS $$
#variable_conflict use_column
BEGIN
    -- There are tens of thousands of services: ties are told apart only where somebody asks.
    RETURN QUERY
    WITH part AS MATERIALIZED (
        SELECT false AS before, c.* FROM hirundo.counted_services(period, f) c
        UNION ALL
        SELECT true, c.* FROM hirundo.counted_services(previous, f) c WHERE previous IS NOT NULL
    ), host AS MATERIALIZED (
        SELECT false AS before, h.* FROM hirundo.service_hosts(period, f, true) h WHERE by_hosts
        UNION ALL
        SELECT true, h.* FROM hirundo.service_hosts(previous, f, false) h WHERE by_hosts AND previous IS NOT NULL
    ), counted AS MATERIALIZED (
        SELECT p.before, p.service, p.packets, CASE WHEN by_hosts THEN coalesce(h.hosts, 0) END AS hosts,
            CASE WHEN by_hosts THEN coalesce(h.hosts, 0) ELSE p.packets END AS weight
        FROM part p LEFT JOIN host h ON h.before = p.before AND h.service = p.service
    ), chosen AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY c.weight DESC, c.packets DESC, hirundo.service_order(c.service), c.service)
            AS rank, c.*
        FROM counted c
        WHERE NOT c.before AND c.weight >= (
            SELECT min(b.weight)
            FROM (SELECT a.weight FROM counted a WHERE NOT a.before ORDER BY 1 DESC LIMIT n) b)
        ORDER BY 1 LIMIT n
    ), ranked AS MATERIALIZED (
        SELECT rank() OVER (ORDER BY c.weight DESC, c.packets DESC) AS rank, c.*
        FROM counted c
        WHERE c.before
    ), earlier AS (
        SELECT r.service, r.packets, r.rank - 1 + row_number() OVER (
            PARTITION BY r.rank ORDER BY hirundo.service_order(r.service), r.service) AS rank
        FROM ranked r
        WHERE r.rank IN (SELECT o.rank FROM ranked o JOIN chosen USING (service))
    )
    SELECT c.rank, c.service, c.packets, c.hosts, e.rank, e.packets, CASE WHEN by_hosts
            THEN (SELECT h.hosts FROM host h WHERE NOT h.before AND h.service IS NULL)
            ELSE (SELECT sum(a.packets) FROM part a WHERE NOT a.before) END
    FROM chosen c LEFT JOIN earlier e USING (service);
END
$$;
COMMENT ON FUNCTION hirundo.ranked_services IS
    'The first n services (NULL: all) of a period, by packets or hosts, with their ranks in a previous one (NULL: '
    'none); hosts only where they decide. of_all: packets (hosts) of all services.';

CREATE FUNCTION report.top_services(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT 10,
    rank_by text DEFAULT 'packets')
RETURNS TABLE (rank bigint, service text, name text, common_name text, packets bigint, hosts bigint,
    share double precision, previous_rank bigint, previous_covered boolean, previous_packets bigint, dataset text,
    as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    by_hosts boolean := hirundo.check_rank_by(rank_by);
    previous daterange;
    has_previous boolean;
    services text[];
    packets bigint[];
    hosts bigint[];
    ranks bigint[];
    before bigint[];
    of_all numeric;
    -- Not within the queries: they would not run in parallel.
    dataset text := hirundo.rollup_dataset(period, f.sensors);
    as_of timestamptz := hirundo.rollup_as_of(period, f.sensors);
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    stored := hirundo.stored_answer('top_services', period,
        jsonb_build_object('filter', filter, 'n', n, 'rank_by', rank_by));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('top_services') USING stored;
        RETURN;
    END IF;
    previous := hirundo.previous_period(period);
    has_previous := hirundo.period_counted(previous, f.sensors);
    SELECT array_agg(r.service ORDER BY r.rank), array_agg(r.packets ORDER BY r.rank),
        array_agg(r.hosts ORDER BY r.rank), array_agg(r.previous_rank ORDER BY r.rank),
        array_agg(r.previous_packets ORDER BY r.rank), max(r.of_all)
        INTO services, packets, hosts, ranks, before, of_all
        FROM hirundo.ranked_services(period, CASE WHEN has_previous THEN previous END, f, n, by_hosts) r;
    f.services := coalesce(services, '{}');
    RETURN QUERY
    SELECT r.rank, r.service, e.name, e.common_name, r.packets,
        CASE WHEN by_hosts THEN r.hosts ELSE coalesce(h.hosts, 0) END,
        (CASE WHEN by_hosts THEN r.hosts ELSE r.packets END / nullif(of_all, 0))::double precision,
        r.previous_rank, has_previous, r.previous_packets, dataset, as_of
    FROM unnest(services, packets, hosts, ranks, before) WITH ORDINALITY
        AS r (service, packets, hosts, previous_rank, previous_packets, rank)
    LEFT JOIN (
        SELECT g.service, g.hosts FROM hirundo.service_hosts(period, f, false) g WHERE NOT by_hosts) h
        ON h.service = r.service
    LEFT JOIN hirundo.service_name e ON e.service = r.service
    ORDER BY r.rank;
END
$$;
COMMENT ON FUNCTION report.top_services IS
    'Services by packets or hosts (R1, R11). rank: by what rank_by says, ties by packets, protocol, port; each '
    'service has a rank of its own. packets: sum; hosts: distinct sources (IPv6: /64) over all sensors and days; they'
    ' don''t add up. share: of all packets (by hosts: of all hosts) under the same filter, not of the rows returned. '
    'previous_rank, previous_packets: of the calendar month, quarter or year before if the period is one, else of as '
    'many days before it; under the same filter, over all services; NULL: not seen then, or previous_covered false: '
    'no sensor of the filter listened then, or the rollups are not there any more, or not whole. Packets without a '
    'source (trait land) count as packets, not as hosts. n: rows, NULL = all. Nothing came: no rows; report.coverage '
    'tells whether anybody listened. ports_only makes the ranking without ICMP, GRE and others that have no ports. '
    'dataset: address data that regions and ASNs come from. as_of: all that was received before is counted. All keys '
    'of the filter.';

CREATE FUNCTION hirundo.first_services(period daterange, f hirundo.report_filter, whole boolean, places int[], n int)
RETURNS TABLE (place int, rank bigint, service text, packets bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.place, t.rank, t.service, t.packets
    FROM (
        -- Most services are no sensor's first: ties are told apart only among those that may be.
        SELECT r.place, r.service, r.packets, r.rank - 1 + row_number() OVER (
            PARTITION BY r.place, r.rank ORDER BY hirundo.service_order(r.service), r.service) AS rank
        FROM (
            SELECT p.place, c.service, sum(c.packets)::bigint AS packets,
                rank() OVER (PARTITION BY p.place ORDER BY sum(c.packets)::bigint DESC) AS rank
            FROM hirundo.service_totals(period, f, whole) c
            JOIN unnest((f).sensors, places) AS p (sensor_id, place) ON p.sensor_id = c.sensor_id
            GROUP BY p.place, c.service) r
        WHERE n IS NULL OR r.rank <= n) t
    WHERE n IS NULL OR t.rank <= n;
END;
COMMENT ON FUNCTION hirundo.first_services IS
    'The first n services (NULL: all) of each place by packets, ties by protocol and port. places: to which each of '
    'the filter''s sensors belongs; whole: whole_months(period).';

CREATE FUNCTION hirundo.listeners(period daterange, f hirundo.report_filter) RETURNS int[]
LANGUAGE sql STABLE
RETURN ARRAY(
    SELECT i.id FROM unnest((f).sensors) AS i (id)
    WHERE EXISTS (
        SELECT FROM hirundo.coverage o
        WHERE o.sensor_id = i.id AND o.bucket >= hirundo.day_start(lower(period))
            AND o.bucket < hirundo.day_start(upper(period)) AND (o.seconds > 0 OR o.packets > 0)));
COMMENT ON FUNCTION hirundo.listeners IS
    'Those sensors of a filter that listened in a period, however short, or saw packets.';

CREATE FUNCTION hirundo.report_places(f hirundo.report_filter) RETURNS int[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN ARRAY(
        SELECT CASE WHEN p.sensor IS NULL THEN min(p.sensor_id) OVER (PARTITION BY p.region, p.sensor IS NULL)
            ELSE p.sensor_id END
        FROM hirundo.place(f, f.own_sources) p ORDER BY p.sensor_id);
END
$$;
COMMENT ON FUNCTION hirundo.report_places IS
    'To which place each of a filter''s sensors belongs, in their order: itself, or, where the viewer is not shown it '
    'alone, the first of its region (place()).';

CREATE FUNCTION report.top_services_by_sensor(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT 10)
RETURNS TABLE (sensor text, public_label text, region char(2), domestic boolean, rank bigint, service text,
    packets bigint, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    home text := coalesce(filter ->> 'home', (SELECT s.value FROM hirundo.setting s WHERE s.name = 'home_region'));
    heard int[];
    places int[];
    whole boolean := hirundo.whole_months(period);
    dataset text := hirundo.rollup_dataset(period, f.sensors);
    as_of timestamptz := hirundo.rollup_as_of(period, f.sensors);
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    heard := hirundo.listeners(period, f);
    places := hirundo.report_places(f);
    RETURN QUERY
    SELECT s.sensor, s.public_label, s.region, CASE WHEN s.region <> 'ZZ' THEN s.region = home END, t.rank, t.service,
        coalesce(t.packets, CASE WHEN p.heard THEN 0 END), dataset, as_of
    FROM (
        SELECT i.place, bool_or(i.id = ANY (heard)) AS heard
        FROM unnest(f.sensors, places) AS i (id, place) GROUP BY i.place) p
    JOIN hirundo.place(f, f.own_sources) s ON s.sensor_id = p.place
    LEFT JOIN hirundo.first_services(period, f, whole, places, n) t ON t.place = p.place
    ORDER BY s.region <> home, s.region, s.sensor_id, t.rank;
END
$$;
COMMENT ON FUNCTION report.top_services_by_sensor IS
    'The services of each sensor by packets (R9): domestic sensors first, then by region. rank: within the sensor, '
    'ties by protocol and port. packets: sum. A sensor that saw nothing has one row, without rank and service: '
    'packets 0 if it listened at all in the period, NULL if it did not. domestic: its region is the home region (key '
    'home, setting home_region; NULL for ZZ). n: rows of each sensor, NULL = all. A viewer of regions gets its own '
    'sensors so, and of other regions all of one together (sensor and public_label NULL), of those that are not shown '
    'alone all in ZZ. dataset, as_of: as in report.top_services. All keys of the '
    'filter.';

CREATE FUNCTION report.common_services(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT 10)
RETURNS TABLE (service text, sensors_in_top_n int, of_sensors int, best_rank bigint, worst_rank bigint,
    sensors_seen int, packets bigint, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    heard int[];
    places int[];
    services text[];
    counts int[];
    bests bigint[];
    worsts bigint[];
    whole boolean := hirundo.whole_months(period);
    dataset text := hirundo.rollup_dataset(period, f.sensors);
    as_of timestamptz := hirundo.rollup_as_of(period, f.sensors);
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    heard := hirundo.listeners(period, f);
    places := hirundo.report_places(f);
    SELECT array_agg(t.service), array_agg(t.sensors), array_agg(t.best), array_agg(t.worst)
        INTO services, counts, bests, worsts
        FROM (
            SELECT r.service, count(*)::int AS sensors, min(r.rank) AS best, max(r.rank) AS worst
            FROM hirundo.first_services(period, f, whole, places, n) r GROUP BY r.service) t;
    RETURN QUERY
    SELECT t.service, t.sensors, (
            SELECT count(DISTINCT i.place)::int
            FROM unnest(f.sensors, places) AS i (id, place) WHERE i.id = ANY (heard)),
        t.best, t.worst, c.sensors, c.packets, dataset, as_of
    FROM unnest(services, counts, bests, worsts) AS t (service, sensors, best, worst)
    JOIN (
        SELECT g.service, count(*)::int AS sensors, sum(g.packets)::bigint AS packets
        FROM (
            SELECT r.service, p.place, sum(r.packets) AS packets
            FROM hirundo.service_totals(period, f, whole) r
            JOIN unnest(f.sensors, places) AS p (sensor_id, place) ON p.sensor_id = r.sensor_id
            WHERE r.service = ANY (services)
            GROUP BY 1, 2) g
        GROUP BY g.service) c USING (service)
    ORDER BY t.sensors DESC, t.best, t.worst, c.packets DESC, hirundo.service_order(t.service), t.service;
END
$$;
COMMENT ON FUNCTION report.common_services IS
    'Services that are among the first n of sensors (R10), one row each, those common to most sensors first (then by '
    'best_rank, worst_rank, packets, protocol, port). sensors_in_top_n: how many sensors have it among their first n '
    'by packets, ties as in report.top_services_by_sensor; best_rank, worst_rank: its ranks there. of_sensors: '
    'sensors of the filter that listened in the period, however short, or saw packets. sensors_seen: how many saw it '
    'at all (R12); packets: sum over these. n NULL: every service that was seen. Where report.top_services_by_sensor '
    'gives a viewer of regions a region, that counts as one sensor here. dataset, as_of: as in '
    'report.top_services. All keys of the filter.';

-- Source regions.

CREATE FUNCTION hirundo.numbered_region(number bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN chr(65 + (number / 26)::int) || chr(65 + (number % 26)::int);
COMMENT ON FUNCTION hirundo.numbered_region IS 'The region of a number in a cell (source_cell()); ZZ: not known.';

CREATE FUNCTION hirundo.region_hosts(period daterange, f hirundo.report_filter, with_total boolean)
RETURNS TABLE (region text, hosts bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 250 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '256MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    whole boolean := hirundo.cells_whole(period);
BEGIN
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        -- Without the service: region and host.
        SELECT DISTINCT ON (c.cell >> 20) c.cell >> 20 AS cell FROM hirundo.report_sources(period, f) c
        WHERE whole AND c.cell IS NOT NULL
    ), other AS MATERIALIZED (
        SELECT DISTINCT coalesce(c.src_region, 'ZZ') AS region, hirundo.host(c.src) AS host
        FROM hirundo.report_sources(period, f) c WHERE (NOT whole OR c.cell IS NULL) AND c.src IS NOT NULL
    ), part AS (
        SELECT hirundo.numbered_region(n.number) AS region, count(*) AS hosts
        FROM (SELECT e.cell >> 32 AS number FROM cell e) n GROUP BY n.number
        UNION ALL
        SELECT o.region, count(*) FROM other o GROUP BY o.region
    )
    SELECT p.region, sum(p.hosts)::bigint FROM part p GROUP BY p.region
    UNION ALL
    SELECT NULL, (SELECT count(DISTINCT e.cell & 4294967295) FROM cell e) + (SELECT count(DISTINCT o.host) FROM other o)
    WHERE with_total;
END
$$;
COMMENT ON FUNCTION hirundo.region_hosts IS
    'Distinct hosts of each source region (ZZ: not known) that a filter leaves in a period; with_total: and, region '
    'NULL, of all of them.';

CREATE FUNCTION hirundo.counted_regions(period daterange, f hirundo.report_filter)
RETURNS TABLE (region text, packets bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 250 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off SET enable_sort = off
AS $$
DECLARE
    months boolean := f.plain AND f.services IS NULL AND hirundo.whole_months(period);
BEGIN
    -- One of the two falls away; from source_day by number, because that is faster.
    RETURN QUERY
    SELECT n.region, sum(n.packets)::bigint
    FROM (
        SELECT c.region::text, c.packets
        FROM hirundo.region_month c
        WHERE months
            AND c.month >= lower(period) AND c.month < upper(period)
            AND c.sensor_id = ANY (f.sensors)
            AND (NOT f.ports_only OR c.ports)
            AND (f.role IS NULL OR c.role = f.role)
        UNION ALL
        SELECT hirundo.numbered_region(c.cell >> 52), sum(c.packets)
        FROM hirundo.report_sources(period, f) c WHERE NOT months AND c.cell IS NOT NULL GROUP BY c.cell >> 52
        UNION ALL
        SELECT coalesce(c.src_region, 'ZZ'), sum(c.packets)
        FROM hirundo.report_sources(period, f) c WHERE NOT months AND c.cell IS NULL GROUP BY c.src_region) n
    GROUP BY n.region;
END
$$;
COMMENT ON FUNCTION hirundo.counted_regions IS
    'All source regions of a period that a filter leaves (ZZ: not known), with their packets.';

CREATE FUNCTION report.top_source_regions(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT 10,
    rank_by text DEFAULT 'packets')
RETURNS TABLE (rank bigint, region char(2), name text, packets bigint, hosts bigint, share double precision,
    previous_rank bigint, previous_covered boolean, previous_packets bigint, dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    stored jsonb;
    by_hosts boolean := hirundo.check_rank_by(rank_by);
    previous daterange;
    has_previous boolean;
    dataset text := hirundo.rollup_dataset(period, f.sensors);
    as_of timestamptz := hirundo.rollup_as_of(period, f.sensors);
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    stored := hirundo.stored_answer('top_source_regions', period,
        jsonb_build_object('filter', filter, 'n', n, 'rank_by', rank_by));
    IF stored IS NOT NULL THEN
        RETURN QUERY EXECUTE hirundo.answer_query('top_source_regions') USING stored;
        RETURN;
    END IF;
    previous := hirundo.previous_period(period);
    has_previous := hirundo.period_counted(previous, f.sensors);
    RETURN QUERY
    WITH part AS MATERIALIZED (
        SELECT a.before, a.region, sum(a.packets)::bigint AS packets, coalesce(sum(a.hosts), 0)::bigint AS hosts
        FROM (
            SELECT false AS before, h.region, NULL::bigint AS packets, h.hosts
            FROM hirundo.region_hosts(period, f, by_hosts) h
            UNION ALL
            SELECT true, h.region, NULL, h.hosts FROM hirundo.region_hosts(previous, f, false) h
            WHERE by_hosts AND has_previous
            UNION ALL
            SELECT false, c.region, c.packets, NULL FROM hirundo.counted_regions(period, f) c
            UNION ALL
            SELECT true, c.region, c.packets, NULL FROM hirundo.counted_regions(previous, f) c WHERE has_previous) a
        GROUP BY a.before, a.region
    ), counted AS MATERIALIZED (
        SELECT p.*, row_number() OVER (
            PARTITION BY p.before ORDER BY CASE WHEN by_hosts THEN p.hosts END DESC, p.packets DESC, p.region) AS rank
        FROM part p WHERE p.region IS NOT NULL
    ), total AS MATERIALIZED (
        SELECT CASE WHEN by_hosts THEN sum(p.hosts) FILTER (WHERE p.region IS NULL)
            ELSE sum(p.packets) END AS of_all
        FROM part p WHERE NOT p.before
    )
    SELECT c.rank, c.region::char(2), coalesce(m.name, c.region), c.packets, c.hosts,
        (CASE WHEN by_hosts THEN c.hosts ELSE c.packets END / nullif(t.of_all, 0))::double precision,
        e.rank, has_previous, e.packets, dataset, as_of
    FROM counted c
    CROSS JOIN total t
    LEFT JOIN counted e ON e.before AND e.region = c.region
    LEFT JOIN hirundo.region_name m ON m.region = c.region
    WHERE NOT c.before AND (n IS NULL OR c.rank <= n)
    ORDER BY c.rank;
END
$$;
COMMENT ON FUNCTION report.top_source_regions IS
    'Regions that sources are registered in, by packets or hosts (R3). region: ISO 3166-1, of the address data that '
    'was there when the packets came; ZZ: not known, ranked like any other (packets without a source, trait land, are'
    ' there too). rank: by what rank_by says, ties by packets, then region. packets: sum; hosts: distinct sources '
    '(IPv6: /64) over all sensors and days; they don''t add up. share: of all packets (by hosts: of all hosts) under '
    'the same filter, not of the rows returned. previous_rank, previous_packets, previous_covered: as in '
    'report.top_services, over all regions. n: rows, NULL = all. Nothing came: no rows. dataset, as_of: as in '
    'report.top_services. All keys of the filter.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('R1, R11', 'report.top_services',
        $x$SELECT * FROM report.top_services(daterange(current_date - 90, current_date),
    '{"grp": "domestic", "ports_only": true}', 5)$x$),
    ('R9', 'report.top_services_by_sensor',
        $x$SELECT * FROM report.top_services_by_sensor(daterange(current_date - 90, current_date),
    '{"grp": "overseas"}')$x$),
    ('R10, R12', 'report.common_services',
        $x$SELECT * FROM report.common_services(daterange(current_date - 90, current_date), '{"grp": "domestic"}')$x$),
    ('R3', 'report.top_source_regions',
        $x$SELECT * FROM report.top_source_regions(daterange(current_date - 90, current_date),
    '{"grp": "domestic"}', 5)$x$);

REVOKE ALL ON FUNCTION hirundo.check_rank_by, hirundo.previous_period, hirundo.period_counted, hirundo.covered_days,
    hirundo.service_order, hirundo.cells_whole, hirundo.service_hosts, hirundo.counted_services,
    hirundo.ranked_services, hirundo.first_services, hirundo.listeners, hirundo.report_places, hirundo.numbered_region,
    hirundo.region_hosts,
    hirundo.counted_regions, report.top_services, report.top_services_by_sensor, report.common_services,
    report.top_source_regions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.service_order TO hirundo_analyst;
GRANT EXECUTE ON FUNCTION report.top_services, report.top_services_by_sensor, report.common_services,
    report.top_source_regions TO hirundo_analyst, hirundo_dashboard;
