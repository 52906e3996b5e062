-- Reports on the verdict: what people call. They read rollups and verdicts, never raw rows.
--
-- Each is SECURITY DEFINER: the dashboard has no right on the tables. Each plans with the values that it was
-- called with (force_custom_plan), so that keys that the filter does not have cost nothing. Where a filter may
-- leave millions of rows, nested loops are off: the planner can not know how many it leaves, and a wrong guess
-- costs minutes, a hash too many a second.

CREATE FUNCTION report.ttl_by_region(period daterange, filter jsonb DEFAULT '{}')
RETURNS TABLE (sensor_region char(2), initial_ttl smallint, ttl_min smallint, ttl_max smallint, ttl_p5 smallint,
    ttl_p95 smallint, hops_min smallint, hops_max smallint, sources bigint, packets bigint, covered double precision,
    dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    none bit varying;
    since timestamptz;
    till timestamptz;
    as_of timestamptz;
BEGIN
    PERFORM hirundo.check_services(f), hirundo.check_period(period), hirundo.check_complete(period, f.sensors);
    since := hirundo.day_start(lower(period));
    till := least(hirundo.day_start(upper(period)), now());
    as_of := hirundo.rollup_as_of(period, f.sensors);
    -- Four bits for each region: which initial TTLs a host showed there.
    SELECT repeat('0', 4 * count(DISTINCT s.region)::int)::bit varying INTO none
        FROM hirundo.place(f, f.own_sources) s;
    RETURN QUERY
    WITH place AS MATERIALIZED (
        SELECT s.sensor_id, s.region, 4 * (dense_rank() OVER (ORDER BY s.region)::int - 1) AS bit
        FROM hirundo.place(f, f.own_sources) s
    ), class (initial, bit) AS (
        VALUES (32, 0), (64, 1), (128, 2), (255, 3)
    ), listening AS (
        SELECT p.region,
            coalesce(sum(o.seconds), 0) / (count(DISTINCT p.sensor_id) * nullif(extract(epoch FROM till - since), 0)) AS share
        FROM place p LEFT JOIN hirundo.coverage_day o
            ON o.sensor_id = p.sensor_id AND o.day >= lower(period) AND o.day < upper(period)
        GROUP BY p.region
    ), shown AS (
        SELECT p.region, hirundo.initial_ttl(c.ttl) AS initial, c.ttl, sum(c.sightings) AS sightings,
            sum(c.packets) AS packets, min(c.first_id) AS first_id, max(c.last_id) AS last_id
        FROM (
            SELECT r.sensor_id, r.ttl, count(*) AS sightings, sum(r.packets) AS packets, min(r.dataset_id) AS first_id,
                max(r.dataset_id) AS last_id
            FROM hirundo.report_cells(period, f) r GROUP BY r.sensor_id, r.ttl) c
        JOIN place p USING (sensor_id)
        GROUP BY p.region, c.ttl
    ), spread AS (
        SELECT x.region, x.initial, x.ttl, x.hops, x.packets,
            sum(x.sightings) OVER (PARTITION BY x.region, x.initial ORDER BY x.ttl) AS below,
            sum(x.sightings) OVER (PARTITION BY x.region, x.initial) AS of_all
        FROM (
            SELECT s.region, s.initial, s.ttl, s.initial - s.ttl AS hops, s.packets, s.sightings FROM shown s
            UNION ALL
            SELECT NULL, NULL, s.ttl, s.initial - s.ttl, s.packets, s.sightings FROM shown s) x
    ), ttls AS (
        SELECT s.region, s.initial, min(s.ttl) AS lowest, max(s.ttl) AS highest,
            min(s.ttl) FILTER (WHERE s.below * 20 >= s.of_all) AS p5,
            min(s.ttl) FILTER (WHERE s.below * 20 >= s.of_all * 19) AS p95,
            min(s.hops) AS fewest, max(s.hops) AS most, sum(s.packets)::bigint AS packets
        FROM spread s GROUP BY s.region, s.initial
    ), pattern AS MATERIALIZED (
        SELECT h.bits, count(*) AS hosts
        FROM (
            SELECT bit_or(set_bit(none, p.bit + CASE hirundo.initial_ttl(c.ttl) WHEN 32 THEN 0 WHEN 64 THEN 1
                WHEN 128 THEN 2 ELSE 3 END, 1)) AS bits
            FROM hirundo.report_cells(period, f) c JOIN place p USING (sensor_id)
            GROUP BY hirundo.host(c.src)) h
        GROUP BY h.bits
    ), seen AS (
        SELECT r.region, k.initial, sum(n.hosts)::bigint AS hosts
        FROM (SELECT DISTINCT p.region, p.bit FROM place p) r CROSS JOIN class k
        JOIN pattern n ON get_bit(n.bits, r.bit + k.bit) = 1
        GROUP BY r.region, k.initial
        UNION ALL
        SELECT NULL, NULL, sum(n.hosts)::bigint FROM pattern n
    )
    SELECT l.region, t.initial, t.lowest, t.highest, t.p5, t.p95, t.fewest::smallint, t.most::smallint,
        CASE WHEN t.packets IS NOT NULL THEN n.hosts WHEN l.share > 0 THEN 0 END,
        CASE WHEN t.packets IS NOT NULL THEN t.packets WHEN l.share > 0 THEN 0 END,
        l.share::double precision,
        (SELECT hirundo.dataset_text(min(s.first_id), max(s.last_id)) FROM shown s), as_of
    FROM (
        SELECT i.region, i.share FROM listening i
        UNION ALL
        SELECT NULL, sum(i.share * (SELECT count(*) FROM place p WHERE p.region = i.region))
            / (SELECT nullif(count(*), 0) FROM place) FROM listening i
    ) l
    LEFT JOIN ttls t ON t.region IS NOT DISTINCT FROM l.region
    LEFT JOIN seen n ON n.region IS NOT DISTINCT FROM t.region AND n.initial IS NOT DISTINCT FROM t.initial
        AND t.packets IS NOT NULL
    ORDER BY l.region IS NULL, l.region, t.initial;
END
$$;
COMMENT ON FUNCTION report.ttl_by_region IS
    'TTLs by sensor region (R19). One row for each region and initial TTL class (32: TTL up to 26; 64; 128; 255), and '
    'a last one, region NULL, over all. ttl_min, ttl_max: of any packet. ttl_p5, ttl_p95: nearest rank over sightings '
    '(a source on a day at a sensor with a signature and a TTL counts once, so that a flood weighs little). hops: '
    'initial TTL less TTL. sources: distinct hosts (IPv6: /64) over the whole row; they don''t add up. packets: sum. A '
    'region that saw nothing: sources and packets 0; one that did not listen at all: NULL. covered: share of the '
    'period (until now) in which its sensors listened. dataset: address data of the rows. as_of: all that was received '
    'before is counted. All keys of the filter; services of TCP and UDP mean probes.';

CREATE FUNCTION report.spoof_verdict(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT NULL)
RETURNS TABLE (src inet, src_region char(2), verdict text, score real, reason text, regions_seen smallint,
    nearest_region char(2), tracks int, packets_genuine bigint, packets_spoofed bigint, packets_undetermined bigint,
    as_of timestamptz, days_genuine int, days_spoofed int, days_undetermined int, day date, dataset text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    open date[];
    origin date;
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_list(f), hirundo.check_services(f), hirundo.check_period(period),
        hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    origin := lower(period);
    open := hirundo.open_days(period, f);
    as_of := hirundo.verdict_as_of(period);
    dataset := hirundo.verdict_dataset(period);
    RETURN QUERY
    WITH source AS (
        SELECT d.src,
            -- The day that decides: most regions, then lowest score, then the latest.
            max(ARRAY[coalesce(d.regions_seen, -1), -coalesce(d.score, 10), d.day - origin, d.code,
                coalesce(d.tracks, 0), d.reason_track]::double precision[]) AS best,
            max(d.src_region) AS src_region,
            sum(d.packets_genuine)::bigint AS packets_genuine, sum(d.packets_spoofed)::bigint AS packets_spoofed,
            sum(d.packets_undetermined)::bigint AS packets_undetermined,
            count(*) FILTER (WHERE d.code = 4)::int AS days_genuine,
            count(*) FILTER (WHERE d.code <= 2)::int AS days_spoofed,
            count(*) FILTER (WHERE d.code = 3)::int AS days_undetermined
        FROM hirundo.report_days(period, open, f) d
        GROUP BY d.src
    ), chosen AS (
        SELECT s.*, origin + s.best[3]::int AS day, s.best[4]::int AS code
        FROM source s
        ORDER BY s.best[4], -s.best[2],
            s.packets_genuine + s.packets_spoofed + s.packets_undetermined DESC, s.src
        LIMIT n
    )
    SELECT c.src, coalesce((c.v).src_region, c.src_region, 'ZZ')::char(2),
        (ARRAY['spoofed', 'mixed', 'undetermined', 'genuine'])[c.code], nullif(-c.best[2], 10)::real,
        CASE WHEN c.v IS NULL THEN hirundo.why_no_verdict(c.day) ELSE hirundo.shown_reason(c.v, f.own) END,
        CASE WHEN t.told THEN nullif(c.best[1], -1)::smallint END, CASE WHEN t.told THEN (c.v).nearest_region END,
        c.best[5]::int, c.packets_genuine, c.packets_spoofed,
        c.packets_undetermined, as_of, c.days_genuine, c.days_spoofed, c.days_undetermined, c.day, dataset
    FROM (
        SELECT o.*, (
            SELECT v FROM hirundo.verdict v WHERE v.day = o.day AND v.src = o.src AND v.track = o.best[6]::smallint) AS v
        FROM chosen o OFFSET 0) c
    -- Not what others' sensors saw of others' sources.
    CROSS JOIN LATERAL (SELECT f.own IS NULL OR coalesce((c.v).src_region, c.src_region) = ANY (f.own)) AS t (told)
    ORDER BY c.code, -c.best[2], c.packets_genuine + c.packets_spoofed + c.packets_undetermined DESC, c.src;
END
$$;
COMMENT ON FUNCTION report.spoof_verdict IS
    'Whether sources are real, one row each. The day (column day) on which it was seen from most regions decides, ties '
    'by lowest score, then the latest: verdict is spoofed or genuine where a track (a sender behind the address) of '
    'that day is, mixed where one is genuine and another spoofed, else undetermined; score (log10 of the likelihood '
    'ratio genuine : spoofed): that of its lowest track, those left out that were too small to be judged (under 3 '
    'packets, one sensor) unless all were; reason, nearest_region and src_region (ZZ: not known): of its lowest track '
    'that has the verdict (of mixed: the spoofed one); regions_seen: regions that saw any track of the source that '
    'day; tracks: senders told apart. packets_genuine, _spoofed, _undetermined: packets of the period by the verdict '
    'of their own day and track, what has none (not judged yet, or came after the verdicts of its day were final: then '
    'reason says so) is undetermined; together all of the source''s packets under the filter. days_spoofed (mixed '
    'included), _genuine, _undetermined: days it was seen on. Rows: spoofed, mixed, undetermined, genuine; each by '
    'score, then packets, most first. as_of: all that was rolled up before is in the verdicts; NULL: a day of the '
    'period is not judged yet. dataset: address data behind. n: rows, NULL = all. A source that is not here was not '
    'seen: report.coverage tells whether anybody listened. IPv6: single addresses. A viewer of regions may ask for '
    'sources of its regions, or at its sensors; of others'' sources there it is shown no regions_seen, nearest_region, '
    'nor evidence in reason. Keys that pick sensors, services, '
    'traits or roles pick packets and the days with them; a verdict is always made from all sensors.';

CREATE FUNCTION report.verdict_share(period daterange, filter jsonb DEFAULT '{}', step text DEFAULT 'day')
RETURNS TABLE (step_start timestamptz, spoofed bigint, genuine bigint, undetermined bigint, packets_spoofed bigint,
    packets_genuine bigint, packets_undetermined bigint, "interval" double precision[], share double precision,
    dataset text, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    unit text := hirundo.check_step(step, '{day,week,month}');
    open date[];
    origin date;
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_services(f), hirundo.check_period(period), hirundo.check_complete(period, f.sensors);
    IF f.without_spoofed THEN
        RAISE EXCEPTION 'filter: exclude: spoofed has no meaning in this report' USING ERRCODE = '22023';
    END IF;
    origin := lower(period);
    open := hirundo.open_days(period, f);
    as_of := hirundo.verdict_as_of(period);
    dataset := hirundo.verdict_dataset(period);
    RETURN QUERY
    WITH step AS (
        SELECT b.day, hirundo.day_start(b.day) AS since, hirundo.day_start(coalesce(
            lead(b.day) OVER (ORDER BY b.day), upper(period))) AS till
        FROM (
            SELECT DISTINCT greatest(date_trunc(unit, d.day)::date, origin) AS day
            FROM generate_series(origin::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS d (day)) b
    ), source AS (
        SELECT greatest(date_trunc(unit, d.day::timestamp)::date, origin) AS day,
            (max(ARRAY[coalesce(d.regions_seen, -1), -coalesce(d.score, 10), d.day - origin, -d.code]::double precision[])
                )[4]::int AS code,
            sum(d.packets_genuine) AS packets_genuine, sum(d.packets_spoofed) AS packets_spoofed,
            sum(d.packets_undetermined) AS packets_undetermined
        FROM hirundo.report_days(period, open, f) d
        GROUP BY 1, hirundo.host(d.src)
    ), counted AS (
        SELECT s.day, count(*) FILTER (WHERE s.code >= -2) AS spoofed, count(*) FILTER (WHERE s.code = -4) AS genuine,
            count(*) FILTER (WHERE s.code = -3) AS undetermined, sum(s.packets_spoofed)::bigint AS packets_spoofed,
            sum(s.packets_genuine)::bigint AS packets_genuine,
            sum(s.packets_undetermined)::bigint AS packets_undetermined
        FROM source s GROUP BY s.day
        UNION ALL
        -- A step in which somebody listened and nothing came.
        SELECT t.day, 0, 0, 0, 0, 0, 0
        FROM step t
        WHERE EXISTS (
                SELECT FROM unnest(f.sensors) AS i (id) JOIN hirundo.coverage o ON o.sensor_id = i.id
                WHERE o.bucket >= t.since AND o.bucket < t.till AND o.seconds > 0)
            AND NOT EXISTS (SELECT FROM source s WHERE s.day = t.day)
    )
    SELECT t.since, c.spoofed, c.genuine, c.undetermined, c.packets_spoofed, c.packets_genuine, c.packets_undetermined,
        w.interval, w.share, dataset, as_of
    FROM step t
    LEFT JOIN counted c USING (day)
    LEFT JOIN LATERAL hirundo.wilson(c.spoofed, c.spoofed + c.genuine) w ON c.spoofed + c.genuine >= 30
    ORDER BY t.since;
END
$$;
COMMENT ON FUNCTION report.verdict_share IS
    'How many sources are real, by day, week (Monday) or month; a step that the period cuts holds only days of the '
    'period, and begins with it. spoofed, genuine, undetermined: hosts (IPv6: /64) by the verdict of the day of the '
    'step that decides, as in report.spoof_verdict; mixed counts as spoofed; each host once in a step. packets_*: by '
    'the verdict of their own day and track. share: spoofed / (spoofed + genuine); interval: its 95 % Wilson interval, '
    'from and to; both NULL under 30 decided hosts. The interval knows nothing of wrong verdicts, nor that few senders '
    'make many spoofed sources. A step in which no sensor of the filter listened: NULL. step_start: begin of its first '
    'reporting day. as_of, dataset: as in report.spoof_verdict. All keys of the filter but exclude spoofed.';

CREATE FUNCTION report.response_sources_called_spoofed(period daterange)
RETURNS TABLE (day date, n bigint, share double precision, "interval" double precision[], called_spoofed bigint,
    as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM hirundo.check_all_sensors(hirundo.scope()), hirundo.check_period(period), hirundo.check_complete(period);
    RETURN QUERY
    WITH called AS (
        SELECT h.day, count(*) AS n, count(*) FILTER (WHERE h.spoofed) AS spoofed
        FROM (
            SELECT v.day, bool_or(v.verdict = 'spoofed') AS spoofed
            FROM hirundo.verdict v
            WHERE v.day >= lower(period) AND v.day < upper(period) AND (v.signature >> 40) & 1 = 1
                AND v.log_claimed IS NOT NULL
            GROUP BY v.day, hirundo.host(v.src)) h
        GROUP BY h.day
    )
    SELECT d.day::date, CASE WHEN m.day IS NOT NULL THEN coalesce(c.n, 0) END,
        w.share, w.interval, CASE WHEN m.day IS NOT NULL THEN coalesce(c.spoofed, 0) END, m.computed_at
    FROM generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS d (day)
    LEFT JOIN hirundo.hop_model m ON m.day = d.day::date
    LEFT JOIN called c ON c.day = d.day::date
    LEFT JOIN LATERAL hirundo.wilson(c.spoofed, c.n) w ON true
    ORDER BY d.day;
END
$$;
COMMENT ON FUNCTION report.response_sources_called_spoofed IS
    'A live check of the verdicts that needs no labels: who answers (SYN-ACK, RST, ICMP replies and errors, known UDP '
    'services) to packets that carried our addresses is hardly ever spoofed itself. n: hosts (IPv6: /64) with a '
    'track whose main signature is a response''s and that was judged by its TTLs (special-purpose and unallocated '
    'addresses are not, nor what too little is known of); called_spoofed: of them, with such a track called spoofed; share and its 95 % Wilson interval '
    '(from, to), NULL where n is 0. One row a reporting day; n NULL: not judged yet. It is not the false-alarm rate of '
    'scanners: responses are exempt from the campaign test, come from other networks and machines, and may be forged '
    'after all.';

CREATE FUNCTION report.spoof_campaigns(period daterange, filter jsonb DEFAULT '{}')
RETURNS TABLE (campaign text, first_seen timestamptz, last_seen timestamptz, service text, signature text,
    hops jsonb, claimed_sources int, claimed_holders int, packets bigint, likely_region char(2), day date, dataset text,
    as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter,
        '{sensors,grp,home,sensor_region,src_region,asn,organization,networks,network_group,sources,services,ports_only}');
    every hirundo.report_filter;
    as_of timestamptz;
    dataset text;
BEGIN
    PERFORM hirundo.check_sum(f, filter, true), hirundo.check_period(period), hirundo.check_complete(period);
    every := f;
    every.sensors := ARRAY(SELECT s.sensor_id FROM hirundo.sensor s);
    every.all_sensors := true;
    as_of := hirundo.verdict_as_of(period);
    dataset := hirundo.verdict_dataset(period);
    RETURN QUERY
    WITH place AS MATERIALIZED (SELECT s.sensor_id, s.region FROM hirundo.place(every, false) s)
    SELECT c.campaign, hirundo.shown_time(c.first_seen, f.own IS NULL),
        hirundo.shown_time(c.last_seen, f.own IS NULL), c.service,
        hirundo.signature_text(c.signature), h.hops, c.claimed_sources, c.claimed_holders, c.packets, c.likely_region,
        c.day, dataset, as_of
    FROM hirundo.campaign c
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(r.region, r.hops) AS hops, bool_or(r.picked) AS picked
        FROM (
            SELECT s.region, jsonb_agg(DISTINCT e.hops ORDER BY e.hops) AS hops,
                bool_or(e.sensor_id = ANY (f.sensors)) AS picked
            FROM hirundo.campaign_cell e JOIN place s USING (sensor_id)
            WHERE e.day = c.day AND e.campaign = c.campaign
            GROUP BY s.region) r) h
    WHERE c.day >= lower(period) AND c.day < upper(period)
        AND h.picked
        AND (f.services IS NULL OR c.service = ANY (f.services))
        AND (NOT f.ports_only OR c.service ~ '^[0-9]+/')
        AND ((f.src_regions IS NULL AND f.asns IS NULL AND f.networks IS NULL AND f.organizations IS NULL
            AND f.group4 IS NULL) OR EXISTS (
            SELECT FROM hirundo.verdict v
            WHERE v.day = c.day AND v.campaign = c.campaign
                AND (f.src_regions IS NULL OR coalesce(v.src_region, 'ZZ') = ANY (f.src_regions))
                AND (f.asns IS NULL OR EXISTS (
                    SELECT FROM hirundo.sensor s JOIN hirundo.ttl_day t USING (sensor_id)
                    WHERE t.day = v.day AND t.src = v.src AND t.src_asn = ANY (f.asns)))
                AND (f.organizations IS NULL OR EXISTS (
                    SELECT FROM hirundo.sensor s JOIN hirundo.ttl_day t USING (sensor_id)
                    WHERE t.day = v.day AND t.src = v.src AND (t.organization_id = ANY (f.organizations)
                        OR (t.organization_id IS NULL AND t.src_asn = ANY (f.organization_asns)))))
                AND (f.group4 IS NULL OR hirundo.within(v.src, f.group4, f.group6))
                AND (f.networks IS NULL OR v.src <<= ANY (f.networks))))
    ORDER BY c.claimed_holders DESC, c.packets DESC, c.day, c.campaign;
END
$$;
COMMENT ON FUNCTION report.spoof_campaigns IS
    'One machine, many claimed origins: sources of unrelated networks that use the same tool and arrive with the same '
    'hop counts. One row for each reporting day and campaign (its name within the day), most claimed networks first. '
    'service, signature: what its packets have in common. hops: by sensor region, the hop counts it arrives with. '
    'claimed_sources, claimed_holders: addresses and networks that it claims (probably real hosts elsewhere). '
    'likely_region: region whose paths fit its hops best; NULL: seen by too few sensors to say. Keys on sources '
    '(src_region, asn, organization, networks, network_group, sources) pick campaigns that claim at least one such '
    'source, keys on sensors those that one of them saw; the numbers stay those of the whole campaign. first_seen, '
    'last_seen, by the hour, and hops (regions that are not shown alone: ZZ, together) are all that a viewer of regions '
    'is shown otherwise. as_of, dataset: as in report.spoof_verdict.';

CREATE FUNCTION report.source(period daterange, src inet)
RETURNS TABLE (day date, sensor_region char(2), sensor text, track smallint, packets bigint, responses bigint,
    services jsonb, traits text[], ttls jsonb, hops smallint, expected_hops real, first_seen timestamptz,
    last_seen timestamptz, src_region char(2), holder text, verdict text, score real, reason text, campaign text,
    history jsonb, dataset text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    own text[] := hirundo.scope();
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period);
    IF source.src IS NULL OR source.src <> host(source.src)::inet THEN
        RAISE EXCEPTION 'src is %, not an address', coalesce(source.src::text, 'NULL') USING ERRCODE = '22023';
    END IF;
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        -- By sensor and day, because that is how the keys begin. part: the row of the answer.
        SELECT c.*, s.region, n.sensor, n.mine, v.track AS judged,
            dense_rank() OVER (ORDER BY c.day, s.region, n.sensor, v.track) AS part
        FROM hirundo.sensor s
        CROSS JOIN LATERAL (
            SELECT CASE WHEN own IS NULL THEN s.name WHEN s.region = ANY (own) THEN s.public_label END,
                own IS NULL OR s.region = ANY (own)) AS n (sensor, mine)
        CROSS JOIN generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS d (at)
        CROSS JOIN LATERAL (
            SELECT t.* FROM hirundo.ttl_day t
            WHERE t.sensor_id = s.sensor_id AND t.day = d.at::date AND t.src = source.src) c
        LEFT JOIN hirundo.verdict v ON v.day = c.day AND v.src = c.src
            AND (v.track = 0 OR v.track = hirundo.initial_ttl(c.ttl))
        WHERE n.mine OR c.src_region = ANY (own)
    ), total AS (
        SELECT c.part, c.day, c.region, c.sensor, c.mine, c.judged, sum(c.packets)::bigint AS packets,
            coalesce(sum(c.packets) FILTER (WHERE (c.signature >> 40) & 1 = 1), 0)::bigint AS responses,
            min(c.first_at) AS first_at, max(c.last_at) AS last_at, max(c.src_region) AS src_region,
            max(c.holder) AS holder, min(c.dataset_id) AS first_id, max(c.dataset_id) AS last_id
        FROM cell c GROUP BY c.part, c.day, c.region, c.sensor, c.mine, c.judged
    ), service AS (
        SELECT g.part, jsonb_object_agg(g.name, g.packets) AS services
        FROM (
            SELECT c.part, hirundo.signature_service(c.signature) AS name, sum(c.packets) AS packets
            FROM cell c WHERE (c.signature >> 40) & 1 = 0 GROUP BY 1, 2) g
        GROUP BY g.part
    ), ttl AS (
        SELECT g.part, jsonb_object_agg(g.ttl, g.packets) AS ttls
        FROM (SELECT c.part, c.ttl, sum(c.packets) AS packets FROM cell c GROUP BY 1, 2) g
        GROUP BY g.part
    ), hop AS (
        -- The median, each packet counted.
        SELECT g.part, min(g.hops) FILTER (WHERE g.below * 2 >= g.of_all) AS hops
        FROM (
            SELECT c.part, c.hops, sum(sum(c.packets)) OVER (PARTITION BY c.part ORDER BY c.hops) AS below,
                sum(sum(c.packets)) OVER (PARTITION BY c.part) AS of_all
            FROM (SELECT x.part, x.packets, hirundo.initial_ttl(x.ttl) - x.ttl AS hops FROM cell x) c
            GROUP BY c.part, c.hops) g
        GROUP BY g.part
    ), place AS (
        SELECT DISTINCT c.part, c.day, c.sensor_id, c.judged FROM cell c
    ), trait AS (
        SELECT p.part, array_agg(DISTINCT t.name ORDER BY t.name) AS traits
        FROM place p
        JOIN hirundo.source_day d ON d.sensor_id = p.sensor_id AND d.day = p.day AND d.src = source.src
        JOIN hirundo.trait t ON d.traits & (1 << t.bit) <> 0
        GROUP BY p.part
    ), expected AS (
        SELECT p.part, avg(h.mean) AS hops
        FROM place p
        JOIN hirundo.verdict v ON v.day = p.day AND v.src = source.src AND v.track = p.judged
            AND v.kind IN ('fixed', 'split')
        JOIN hirundo.hop_region h ON h.day = p.day AND h.family = family(source.src) AND h.region = v.src_region
            AND h.sensor_id = p.sensor_id
        GROUP BY p.part
    )
    SELECT t.day, t.region, t.sensor, t.judged, t.packets, t.responses, coalesce(e.services, '{}'),
        coalesce(r.traits, '{}'), l.ttls, o.hops::smallint, CASE WHEN k.told THEN (x.hops + v.common_offset)::real END,
        hirundo.shown_time(t.first_at, t.mine), hirundo.shown_time(t.last_at, t.mine),
        coalesce(v.src_region, t.src_region, 'ZZ')::char(2), coalesce(v.holder, t.holder),
        coalesce(v.verdict, 'undetermined'), v.score,
        CASE WHEN v.src IS NULL THEN hirundo.why_no_verdict(t.day) ELSE hirundo.shown_reason(v, own) END, v.campaign,
        (SELECT jsonb_agg(jsonb_build_object('version', i.version, 'verdict', i.verdict, 'score', i.score,
                'computed_at', i.computed_at) ORDER BY i.version)
            FROM hirundo.verdict_history i WHERE i.day = t.day AND i.src = source.src AND i.track = t.judged),
        hirundo.dataset_text(t.first_id, t.last_id)
    FROM total t
    JOIN ttl l USING (part)
    JOIN hop o USING (part)
    LEFT JOIN service e USING (part)
    LEFT JOIN trait r USING (part)
    LEFT JOIN expected x USING (part)
    LEFT JOIN hirundo.verdict v ON v.day = t.day AND v.src = source.src AND v.track = t.judged
    CROSS JOIN LATERAL (SELECT own IS NULL OR v.src_region = ANY (own)) AS k (told)
    ORDER BY t.part;
END
$$;
COMMENT ON FUNCTION report.source IS
    'All that is known of one address: a row for each reporting day, sensor and track (a sender behind the address; '
    'NULL: no verdict, reason says why). packets; responses: of them, answers; services: packets of the others by '
    'service; traits: shown there that day by any track; ttls: packets by TTL; hops: median over the packets of '
    'initial TTL less TTL; expected_hops: what sources of the claimed region have at this sensor, plus what the track '
    'is off everywhere (NULL: not judged by them); src_region (ZZ: not known), holder; verdict, score, reason of the '
    'track on that day, from all sensors; campaign that explains it; history: how its verdict came about; dataset: '
    'address data. A viewer of regions gets its own sensors so, sensor being the public_label; of sources of its regions '
    'others'' sensors, too, one row for all of a region (sensor NULL), times by the hour; of others'' sources no '
    'expected_hops, nor evidence in reason.';

CREATE TABLE hirundo.report_example (
    function text PRIMARY KEY,
    analysis text NOT NULL,
    example text NOT NULL
);
COMMENT ON TABLE hirundo.report_example IS 'What report.catalog() lists beside the functions'' comments.';
COMMENT ON COLUMN hirundo.report_example.function IS 'name of the function, with its schema';
COMMENT ON COLUMN hirundo.report_example.analysis IS 'what it answers: R1 to R21 as the published reports have them, or words';
COMMENT ON COLUMN hirundo.report_example.example IS 'a call that runs';

CREATE FUNCTION report.catalog()
RETURNS TABLE (analysis text, function text, definition text, example text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM hirundo.scope();
    RETURN QUERY
    SELECT c.analysis, c.function::regproc::regprocedure::text, obj_description(c.function::regproc, 'pg_proc'),
        c.example
    FROM hirundo.report_example c
    WHERE has_function_privilege(session_user, c.function::regproc, 'EXECUTE')
    -- R2 before R10.
    ORDER BY substring(c.analysis FROM '^R([0-9]+)')::int, c.analysis, 2;
END
$$;
COMMENT ON FUNCTION report.catalog IS
    'The reports that the caller may call: which analysis each answers, what exactly it counts (its COMMENT), and an '
    'example that runs.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('R19', 'report.ttl_by_region',
        $x$SELECT * FROM report.ttl_by_region(daterange(current_date - 30, current_date), '{"services": "22/TCP"}')$x$),
    ('is it real', 'report.spoof_verdict',
        $x$SELECT * FROM report.spoof_verdict(daterange(current_date - 7, current_date), '{"src_region": "JP"}', 20)$x$),
    ('is it real', 'report.spoof_campaigns',
        $x$SELECT * FROM report.spoof_campaigns(daterange(current_date - 7, current_date))$x$),
    ('is it real', 'report.verdict_share',
        $x$SELECT * FROM report.verdict_share(daterange(current_date - 30, current_date), '{"exclude": "bogon"}', 'week')$x$),
    ('is it real', 'report.response_sources_called_spoofed',
        $x$SELECT * FROM report.response_sources_called_spoofed(daterange(current_date - 30, current_date))$x$),
    ('source page', 'report.source',
        $x$SELECT * FROM report.source(daterange(current_date - 30, current_date), '192.0.2.1')$x$),
    ('all', 'report.catalog', $x$SELECT * FROM report.catalog()$x$);

GRANT SELECT ON hirundo.report_example TO hirundo_analyst;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA report FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO hirundo_analyst;
