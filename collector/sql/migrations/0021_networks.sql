-- Whose networks the packets come from. As in the rankings: what is chosen goes from one statement to the next as
-- arrays, because the planner knows what is in them; hosts are counted for these rows alone, unless they decide the
-- rank; what is read is read in parallel.

CREATE FUNCTION hirundo.network_cells(period daterange, f hirundo.report_filter, by text)
RETURNS TABLE (key bigint, organization_id int, host bigint, packets bigint, cell bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Two of the three fall away.
    SELECT coalesce(c.src_asn, 0), c.organization_id, hirundo.host(c.src), c.packets, c.cell
    FROM hirundo.report_sources(period, f) c
    WHERE by = 'asn'
    UNION ALL
    SELECT coalesce(o.first_id, -c.src_asn, 0), c.organization_id, hirundo.host(c.src), c.packets, c.cell
    FROM hirundo.report_sources(period, f) c
    LEFT JOIN (
        SELECT i.organization_id, min(i.organization_id) OVER (PARTITION BY i.name)::bigint AS first_id
        FROM hirundo.organization i) o ON o.organization_id = c.organization_id
    WHERE by = 'organization'
    UNION ALL
    SELECT CASE WHEN c.cell IS NOT NULL THEN (((c.cell >> 28) & 16777215) << 8) - 4294967296
        ELSE coalesce(hirundo.host(c.src) & CASE WHEN family(c.src) = 4 THEN -256 ELSE -65536 END, 1) END,
        c.organization_id, hirundo.host(c.src), c.packets, c.cell
    FROM hirundo.report_sources(period, f) c
    WHERE by = 'prefix';
END;
COMMENT ON FUNCTION hirundo.network_cells IS
    'Rows of source_day that a filter leaves, with their cell and a number for the network. By asn: the ASN; by '
    'organization: the least '
    'id of those of its name, else minus the ASN; 0: not known. By prefix: host() of the first address of the IPv4 /24 '
    'or IPv6 /48; 1: no source.';

CREATE FUNCTION hirundo.network_packets(period daterange, f hirundo.report_filter, by text, keys bigint[])
RETURNS TABLE (key bigint, organization_id int, packets bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 10000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.key, c.organization_id, sum(c.packets)::bigint FROM hirundo.network_cells(period, f, by) c
    WHERE keys IS NULL OR c.key = ANY (keys)
    GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION hirundo.network_packets IS
    'Packets of networks (network_cells()), of those in keys alone (NULL: of all), and of the organizations that held '
    'their addresses.';

CREATE FUNCTION hirundo.network_hosts_part(period daterange, f hirundo.report_filter, by text, keys bigint[], n int,
    with_total boolean, part int)
RETURNS TABLE (key bigint, hosts bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000000 ROWS 10000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '256MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    whole boolean := hirundo.cells_whole(period)
        AND (by <> 'organization' OR NOT EXISTS (SELECT FROM hirundo.organization o WHERE o.organization_id > 4000000));
BEGIN
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        -- Network and host in one number; a prefix is part of the host. Organizations count down from the end of the
        -- ASNs: what would meet them there has no cell.
        SELECT DISTINCT ON (e.cell) e.cell
        FROM (
            SELECT (CASE WHEN by = 'prefix' THEN 0 WHEN by = 'asn' THEN c.key WHEN c.key > 0 THEN 4294967295 - c.key
                ELSE -c.key END << 32) | ((c.cell >> 20) & 4294967295) AS cell
            FROM hirundo.network_cells(period, f, by) c
            WHERE whole AND c.cell IS NOT NULL AND (keys IS NULL OR c.key = ANY (keys))
                -- As report_sources() has it, so that the planner does not take them for few.
                AND (part IS DISTINCT FROM 0 OR c.cell & 268435456 < 1)
                AND (part IS DISTINCT FROM 1 OR c.cell & 268435456 > 0)) e
    ), other AS MATERIALIZED (
        SELECT DISTINCT c.key, c.host FROM hirundo.network_cells(period, f, by) c
        WHERE part IS DISTINCT FROM 1 AND (NOT whole OR c.cell IS NULL) AND c.host IS NOT NULL
            AND (keys IS NULL OR c.key = ANY (keys))
    ), counted AS NOT MATERIALIZED (
        SELECT CASE WHEN by <> 'organization' THEN n.number WHEN n.number > 4290000000 THEN 4294967295 - n.number
            ELSE -n.number END AS key, count(*) AS hosts
        FROM (
            SELECT CASE WHEN by = 'prefix' THEN (e.cell & 4294967040) - 4294967296 ELSE (e.cell >> 32) & 4294967295 END
                AS number
            FROM cell e) n
        GROUP BY n.number
        UNION ALL
        SELECT o.key, count(*) FROM other o GROUP BY o.key
    )
    -- A prefix lies in one half, and is of IPv4 or IPv6.
    (SELECT c.key, c.hosts FROM counted c WHERE by = 'prefix'
        UNION ALL
        SELECT c.key, sum(c.hosts)::bigint FROM counted c WHERE by <> 'prefix' GROUP BY c.key
        ORDER BY 2 DESC FETCH FIRST coalesce(CASE WHEN part IS NULL OR by = 'prefix' THEN n END, 9223372036854775807)
        ROWS WITH TIES)
    UNION ALL
    -- A host is in either; its prefix is always the same.
    SELECT NULL, CASE WHEN by = 'prefix' THEN (SELECT count(*) FROM cell)
            ELSE (SELECT count(DISTINCT e.cell & 4294967295) FROM cell e) END
        + (SELECT count(DISTINCT o.host) FROM other o)
    WHERE with_total;
END
$$;
COMMENT ON FUNCTION hirundo.network_hosts_part IS
    'network_hosts() of one half of the hosts (part 0, 1; NULL: of all): the sums of both are what all have. n holds for '
    'all, and for prefixes, which lie in one half.';

CREATE FUNCTION hirundo.network_hosts(period daterange, f hirundo.report_filter, by text, keys bigint[], n int,
    with_total boolean)
RETURNS TABLE (key bigint, hosts bigint)
LANGUAGE plpgsql STABLE
-- For itself, because SELECT INTO reads nothing in parallel.
AS $$
#variable_conflict use_column
BEGIN
    IF keys IS NOT NULL OR NOT f.plain OR f.services IS NOT NULL THEN
        -- Most of it is to read the rows, which is done in parallel.
        RETURN QUERY SELECT h.* FROM hirundo.network_hosts_part(period, f, by, keys, n, with_total, NULL) h;
        RETURN;
    END IF;
    -- Most of it is to sort the hosts: each half by a processor. The row of all comes first.
    RETURN QUERY
    SELECT h.key, sum(h.hosts)::bigint
    FROM (
        SELECT a.* FROM hirundo.network_hosts_part(period, f, by, keys, n, with_total, 0) a
        UNION ALL
        SELECT b.* FROM hirundo.network_hosts_part(period, f, by, keys, n, with_total, 1) b) h
    GROUP BY h.key
    ORDER BY h.key IS NULL DESC, 2 DESC FETCH FIRST coalesce(n + with_total::int, 9223372036854775807) ROWS WITH TIES;
END
$$;
COMMENT ON FUNCTION hirundo.network_hosts IS
    'Distinct hosts of networks (network_cells()), of those in keys alone (NULL: of all), of the n that have most (NULL: '
    'of all; ties, too); with_total: and, key NULL, of all networks.';

CREATE FUNCTION hirundo.network_label(key bigint, by text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
    WHEN key = CASE WHEN by = 'prefix' THEN 1 ELSE 0 END THEN 'not known'
    WHEN by = 'asn' THEN 'AS' || key
    WHEN by = 'organization' THEN
        coalesce((SELECT o.name FROM hirundo.organization o WHERE o.organization_id = key), 'AS' || -key)
    -- IPv4: as host() has it.
    WHEN key BETWEEN -4294967296 AND -1 THEN set_masklen(inet '0.0.0.0' + (key + 4294967296), 24)::text
    ELSE (
        SELECT format('%s:%s:%s::/48', substr(x.hex, 1, 4), substr(x.hex, 5, 4), substr(x.hex, 9, 4))::cidr::text
        FROM (SELECT lpad(to_hex(key), 16, '0')) AS x (hex)) END;
COMMENT ON FUNCTION hirundo.network_label IS 'What reports call a network, by its number in network_cells().';

CREATE FUNCTION report.top_networks(period daterange, filter jsonb DEFAULT '{}', by text DEFAULT 'asn',
    n int DEFAULT 10, rank_by text DEFAULT 'packets')
RETURNS TABLE (rank bigint, network text, name text, packets bigint, hosts bigint, share double precision, dataset text,
    as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    by_hosts boolean := hirundo.check_rank_by(rank_by);
    kind text := by;
    keys bigint[];
    packets bigint[];
    hosts bigint[];
    names text[];
    of_all numeric;
    dataset text;
    as_of timestamptz;
BEGIN
    PERFORM hirundo.check_period(period), hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    IF by IS NULL OR by NOT IN ('asn', 'organization', 'prefix') THEN
        RAISE EXCEPTION 'by is %, not asn, organization or prefix', coalesce(quote_literal(by), 'NULL')
            USING ERRCODE = '22023';
    END IF;
    PERFORM hirundo.check_networks(f, by);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    as_of := hirundo.rollup_as_of(period, f.sensors);
    -- Packets and hosts are read one after the other: a sum for each host and network takes longer. What is read first
    -- decides which networks may be among the n.
    IF by_hosts THEN
        SELECT array_agg(h.key) FILTER (WHERE h.key IS NOT NULL), array_agg(h.hosts) FILTER (WHERE h.key IS NOT NULL),
            max(h.hosts) FILTER (WHERE h.key IS NULL)
            INTO keys, hosts, of_all FROM hirundo.network_hosts(period, f, kind, NULL, n, true) h;
    END IF;
    WITH part AS MATERIALIZED (
        -- Of fewer than n, there are also those without a host.
        SELECT c.* FROM hirundo.network_packets(period, f, kind, CASE WHEN cardinality(keys) >= n THEN keys END) c
    ), counted AS (
        SELECT t.key, t.packets, CASE WHEN by_hosts THEN coalesce(h.hosts, 0) END AS hosts
        FROM (SELECT p.key, sum(p.packets)::bigint AS packets FROM part p GROUP BY p.key) t
        LEFT JOIN unnest(keys, hosts) AS h (key, hosts) USING (key)
    ), chosen AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY c.hosts DESC, c.packets DESC,
            CASE WHEN kind = 'organization' THEN hirundo.network_label(c.key, kind) END COLLATE "C",
            -- IPv4 before IPv6; of that, the upper half is below zero.
            CASE WHEN kind = 'prefix' AND c.key NOT BETWEEN -4294967296 AND -1 THEN c.key < 0 END NULLS FIRST, c.key)
            AS rank, c.key, c.packets, c.hosts
        FROM (
            SELECT a.* FROM counted a ORDER BY a.hosts DESC, a.packets DESC
            FETCH FIRST coalesce(n, 9223372036854775807) ROWS WITH TIES) c
    ), named AS (
        SELECT DISTINCT ON (g.key) g.key, g.name
        FROM (
            SELECT p.key, o.name, sum(p.packets) AS packets
            FROM part p JOIN chosen c USING (key) LEFT JOIN hirundo.organization o USING (organization_id)
            WHERE n IS NULL OR c.rank <= n
            GROUP BY 1, 2) g
        ORDER BY g.key, g.packets DESC, g.name COLLATE "C"
    )
    SELECT array_agg(c.key ORDER BY c.rank), array_agg(c.packets ORDER BY c.rank), array_agg(c.hosts ORDER BY c.rank),
        array_agg(m.name ORDER BY c.rank), coalesce(of_all, (SELECT sum(p.packets) FROM part p))
        INTO keys, packets, hosts, names, of_all
        FROM chosen c JOIN named m USING (key);
    RETURN QUERY
    SELECT r.rank, CASE WHEN kind = 'prefix' AND r.key BETWEEN -4294967296 AND -1
            -- As network_label() has it, which takes long for millions.
            THEN set_masklen(inet '0.0.0.0' + (r.key + 4294967296), 24)::text
            ELSE hirundo.network_label(r.key, kind) END,
        CASE WHEN f.own_sensors OR f.own_sources THEN r.name END, r.packets, x.hosts,
        (CASE WHEN by_hosts THEN x.hosts ELSE r.packets END / nullif(of_all, 0))::double precision, dataset, as_of
    FROM unnest(keys, packets, hosts, names) WITH ORDINALITY AS r (key, packets, hosts, name, rank)
    LEFT JOIN (
        SELECT g.key, g.hosts FROM hirundo.network_hosts(period, f, kind,
            CASE WHEN n IS NOT NULL THEN coalesce(keys, '{}') END, NULL, false) g
        WHERE NOT by_hosts) h ON h.key = r.key
    CROSS JOIN LATERAL (SELECT coalesce(r.hosts, h.hosts, 0)) AS x (hosts)
    ORDER BY r.rank;
END
$$;
COMMENT ON FUNCTION report.top_networks IS
    'Networks that sources are in, by packets or hosts (finds those of R20). by asn: network is AS and the number; by '
    'organization: the organization that held the address when the packets came (all contacts of one name together), '
    'where none was known AS and the number; by prefix: IPv4 /24, IPv6 /48. What is not known, and packets without a '
    'source (trait land), are not known, ranked like any other. name: the organization that most packets of the row '
    'come from; NULL: of most, none is known. rank: by what rank_by says, ties by packets, then ASN, name or address. '
    'packets: sum; hosts: distinct sources (IPv6: /64) over all sensors and days; they don''t add up. share: of all '
    'packets (by hosts: of all hosts) under the same filter, not of the rows returned. n: rows, NULL = all. Nothing '
    'came: no rows. A viewer of regions may ask for others'' sources at others'' sensors by asn only, with role probe; '
    'name is NULL then. dataset, as_of: as in report.top_services. All '
    'keys of the filter.';

CREATE FUNCTION report.ack_organizations(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT 10)
RETURNS TABLE (rank bigint, organization text, kind text, packets bigint, hosts bigint, share double precision,
    organization_packets bigint, organization_hosts bigint, organization_share double precision, dataset text,
    as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '128MB' SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter(filter);
    dataset text;
    as_of timestamptz;
BEGIN
    PERFORM hirundo.check_list(f), hirundo.check_period(period), hirundo.check_complete(period, f.sensors),
        hirundo.check_n(n);
    dataset := hirundo.rollup_dataset(period, f.sensors);
    as_of := hirundo.rollup_as_of(period, f.sensors);
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        SELECT c.organization_id, CASE WHEN c.organization_id IS NULL THEN c.src_asn END AS asn, c.ack_kind,
            hirundo.host(c.src) AS host, sum(c.packets) AS packets
        FROM hirundo.report_sources(period, f) c
        WHERE c.ack_kind IS NOT NULL
        GROUP BY 1, 2, 3, 4
    ), named AS MATERIALIZED (
        SELECT hirundo.organization_label(o.name, c.asn) AS label, c.ack_kind, c.host, sum(c.packets) AS packets
        FROM cell c LEFT JOIN hirundo.organization o ON o.organization_id = c.organization_id
        GROUP BY 1, 2, 3
    ), part AS (
        SELECT m.label, m.ack_kind, sum(m.packets)::bigint AS packets, count(m.host) AS hosts
        FROM named m GROUP BY 1, 2
    ), whole AS (
        SELECT h.label, sum(h.packets)::bigint AS packets, count(h.host) AS hosts,
            row_number() OVER (ORDER BY sum(h.packets) DESC, h.label COLLATE "C") AS rank,
            sum(sum(h.packets)) OVER () AS of_all
        FROM (SELECT m.label, m.host, sum(m.packets) AS packets FROM named m GROUP BY 1, 2) h
        GROUP BY h.label
    )
    SELECT w.rank, w.label, p.ack_kind, p.packets, p.hosts, (p.packets / w.of_all)::double precision, w.packets,
        w.hosts, (w.packets / w.of_all)::double precision, dataset, as_of
    FROM whole w
    JOIN part p ON p.label = w.label
    WHERE n IS NULL OR w.rank <= n
    ORDER BY w.rank, array_position('{ack,synack,rstack}', p.ack_kind);
END
$$;
COMMENT ON FUNCTION report.ack_organizations IS
    'Organizations whose addresses sent TCP segments with ACK (R6): whoever was attacked with our addresses as forged '
    'sources answers so. organization: as in report.top_networks by organization (AS and the number where none is '
    'known; not known). kind: ack (neither SYN nor RST), synack, rstack (RST, with or without SYN); a row for each that '
    'came. packets: sum; hosts: distinct sources (IPv6: /64); they don''t add up. share: packets of the row of all '
    'packets with ACK under the same filter, all organizations and kinds. organization_packets, organization_hosts, '
    'organization_share: of the organization''s three kinds together. rank: of the organization, by '
    'organization_packets, ties by name. n: organizations, NULL = all. Nothing came: no rows. dataset, as_of: as in '
    'report.top_services. All keys of the filter.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('R20', 'report.top_networks',
        $x$SELECT * FROM report.top_networks(daterange(current_date - 90, current_date), '{"services": "23/TCP"}', 'asn')$x$),
    ('R6', 'report.ack_organizations',
        $x$SELECT * FROM report.ack_organizations(daterange(current_date - 90, current_date), '{"src_region": "JP"}')$x$);

REVOKE ALL ON FUNCTION hirundo.network_cells, hirundo.network_packets, hirundo.network_hosts, hirundo.network_hosts_part,
    hirundo.network_label, report.top_networks, report.ack_organizations FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report.top_networks, report.ack_organizations TO hirundo_analyst;
