-- What came out for all that is stored: TTLs of one network by sensor region (where :demo), campaigns,
-- spoofed sources. At most 100 columns wide with ten regions.
\pset footer off
\pset null ''
SELECT daterange(min(t.day), max(t.day), '[]') AS period, count(*) > 0 AS any, count(DISTINCT s.region) = 1 AS one_region
FROM hirundo.ttl_day t JOIN hirundo.sensor s USING (sensor_id)
WHERE t.day <= (now() AT TIME ZONE hirundo.reporting_zone())::date
\gset
\if :any

\if :demo
-- The network with the most sources that tried both ports.
SELECT c.holder, min(c.src_region) AS holder_region, count(*) AS cluster,
    jsonb_build_object('services', '["22/TCP", "5900/TCP"]'::jsonb, 'sources', jsonb_agg(host(c.src))) AS filter
FROM (
    SELECT t.holder, t.src, max(t.src_region) AS src_region
    FROM hirundo.ttl_day t
    WHERE t.day <@ :'period'::daterange AND t.holder IS NOT NULL
        AND hirundo.signature_service(t.signature) IN ('22/TCP', '5900/TCP')
    GROUP BY t.holder, t.src
    HAVING count(DISTINCT hirundo.signature_service(t.signature)) = 2) c
GROUP BY c.holder ORDER BY count(*) DESC, c.holder LIMIT 1
\gset
\if :{?filter}
\qecho
\qecho 'TTLs by sensor region:' :cluster 'sources of network' :holder '(':holder_region') that tried 22/TCP and 5900/TCP'
SELECT coalesce(r.sensor_region, 'all') AS region, r.ttl_min || ' ~ ' || r.ttl_max AS "TTL",
    r.hops_min || ' ~ ' || r.hops_max AS hops, r.sources, r.packets
FROM report.ttl_by_region(:'period', :'filter') WITH ORDINALITY AS r
ORDER BY r.ordinality;
\endif
\endif

-- Two characters and a space for each region.
SELECT string_agg(r.region, ' ' ORDER BY r.region) AS places
FROM (SELECT DISTINCT s.region FROM hirundo.sensor s JOIN hirundo.ttl_day t USING (sensor_id)) r
\gset
SELECT count(*) AS campaigns, count(*) > 0 AS any FROM report.spoof_campaigns(:'period')
\gset
\if :any
\qecho 'Campaigns, the largest of' :campaigns': one machine each that claims addresses of many networks. Its hops by'
\qecho 'sensor region (+: others, too); sits in: the region that they fit best.'
\pset border 0
SELECT to_char(c.day, 'MM-DD') AS day, c.campaign, c.service, c.claimed_holders AS networks,
    c.claimed_sources AS sources, c.packets, c.likely_region AS "sits in", h.hops AS :"places"
FROM report.spoof_campaigns(:'period') WITH ORDINALITY AS c
CROSS JOIN LATERAL (
    SELECT string_agg(lpad(coalesce(c.hops -> p.region ->> 0, '-'), 2)
        || CASE WHEN jsonb_array_length(c.hops -> p.region) > 1 THEN '+' ELSE ' ' END, '' ORDER BY p.region)
    FROM unnest(string_to_array(:'places', ' ')) AS p (region)) AS h (hops)
ORDER BY c.ordinality LIMIT 5;
\pset border 1
\endif

\pset tuples_only on
\pset format unaligned
SELECT count(*) FILTER (WHERE v.verdict IN ('spoofed', 'mixed')) AS spoofed,
    count(*) FILTER (WHERE v.verdict = 'genuine') AS genuine,
    count(*) FILTER (WHERE v.verdict = 'undetermined') AS undetermined,
    count(*) FILTER (WHERE v.verdict IN ('spoofed', 'mixed')) > 0 AS any, min(v.dataset) AS dataset
FROM report.spoof_verdict(:'period') v
\gset
\qecho 'Sources:' :spoofed 'spoofed,' :genuine 'genuine,' :undetermined 'undetermined'
\if :one_region
\qecho 'One region has no other to compare TTLs with: few sources can be told from there.'
\endif
\if :any
\qecho 'Spoofed ones, the first ten, and why (score: log10 of the odds genuine to spoofed)'
SELECT format(E'%s claims %s  score %s  regions %s  packets %s\n', rpad(host(v.src), 15), v.src_region,
        to_char(v.score, 'FM90.0'), v.regions_seen, v.packets_spoofed)
    || rtrim(regexp_replace(v.reason, '(.{1,92})( |$)', E'        \\1\n', 'g'), E'\n')
FROM report.spoof_verdict(:'period', '{}', 10) WITH ORDINALITY AS v
WHERE v.verdict IN ('spoofed', 'mixed')
ORDER BY v.ordinality;
\endif
\qecho 'Regions and networks from' :dataset
\endif
