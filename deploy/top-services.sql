-- The ten most frequent services of each sensor in :names (separated by commas), over all that is stored.
WITH counted AS (
    SELECT s.name AS sensor, s.region,
        CASE o.protocol
            WHEN 1 THEN 'ICMP'
            WHEN 6 THEN coalesce(o.dst_port::text || '/TCP', 'TCP/frag')
            WHEN 17 THEN coalesce(o.dst_port::text || '/UDP', 'UDP/frag')
            WHEN 47 THEN 'GRE'
            WHEN 58 THEN 'ICMPv6'
            ELSE 'protocol ' || o.protocol
        END AS service,
        sum(o.packets) AS packets, count(DISTINCT o.src) AS sources
    FROM hirundo.observation o JOIN hirundo.sensor s USING (sensor_id)
    WHERE s.name = ANY (string_to_array(:'names', ','))
    GROUP BY 1, 2, 3
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY sensor ORDER BY packets DESC, service) AS rank FROM counted
)
SELECT sensor, region, rank, service, packets, sources FROM ranked WHERE rank <= 10 ORDER BY sensor, rank;
