-- Viewers: who sees what through hirundo_dashboard. VIEWERS.md says for each report what that is, and why.
--
-- A session names its viewer in the setting hirundo.viewer; each report asks scope() for it, most of them through
-- report_filter(). A viewer of regions is never given a narrower answer than was asked for: a report gives what it
-- gives everybody, or an error. What rows tell single sensors apart are labelled by place() instead.

CREATE TABLE hirundo.viewer (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    everything boolean NOT NULL,
    regions char(2)[] NOT NULL,
    login name UNIQUE,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    CHECK (everything = (regions = '{}')),
    -- ZZ is what reports call a region that is not known, or not told.
    CHECK (array_to_string(regions, ',', '?') ~ '^([A-Z]{2}(,[A-Z]{2})*)?$' AND 'ZZ' <> ALL (regions))
);
COMMENT ON TABLE hirundo.viewer IS 'Who may look through hirundo_dashboard, and at what. Rows stay for ever: names are in certificates.';
COMMENT ON COLUMN hirundo.viewer.name IS 'its name: setting hirundo.viewer, and urn:hirundo:viewer:NAME in its certificate';
COMMENT ON COLUMN hirundo.viewer.everything IS 'whether it sees all that the dashboard may show, sensors one by one; then regions is empty';
COMMENT ON COLUMN hirundo.viewer.regions IS 'its regions, ISO 3166-1 alpha-2: of their sensors it sees each one, and of sources registered there single ones';
COMMENT ON COLUMN hirundo.viewer.login IS 'role that is this viewer when it is logged in, whatever it sets; NULL: none';
COMMENT ON COLUMN hirundo.viewer.enrolled_at IS 'when it was enrolled';
COMMENT ON COLUMN hirundo.viewer.disabled_at IS 'when it was disabled, or NULL; it is refused since then';
INSERT INTO hirundo.viewer (name, everything, regions) VALUES ('central', true, '{}');
GRANT SELECT ON hirundo.viewer TO hirundo_analyst;

-- Who asks.

CREATE FUNCTION hirundo.current_viewer() RETURNS hirundo.viewer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    asked text := nullif(current_setting('hirundo.viewer', true), '');
    who hirundo.viewer;
BEGIN
    -- hirundo_ingest calls reports in store_answer() alone.
    IF pg_has_role(session_user, 'hirundo_owner', 'MEMBER') OR pg_has_role(session_user, 'hirundo_ingest', 'MEMBER')
        OR (asked IS NULL AND pg_has_role(session_user, 'hirundo_analyst', 'MEMBER')) THEN
        who.everything := true;
        RETURN who;
    END IF;
    SELECT v.* INTO who FROM hirundo.viewer v WHERE v.login = session_user;
    IF NOT FOUND THEN
        IF asked IS NULL THEN
            RAISE EXCEPTION 'no viewer is named' USING ERRCODE = '42501',
                HINT = 'Set hirundo.viewer to the name of one (hirundo-admin viewer list).';
        END IF;
        SELECT v.* INTO who FROM hirundo.viewer v WHERE v.name = asked;
    ELSIF who.name <> asked THEN
        RAISE EXCEPTION 'role % is viewer %, not %', session_user, who.name, asked USING ERRCODE = '42501';
    END IF;
    IF who.name IS NULL THEN
        RAISE EXCEPTION 'there is no viewer %', asked USING ERRCODE = '42501';
    ELSIF who.disabled_at IS NOT NULL THEN
        RAISE EXCEPTION 'viewer % is disabled', who.name USING ERRCODE = '42501';
    END IF;
    RETURN who;
END
$$;
COMMENT ON FUNCTION hirundo.current_viewer IS
    'The viewer that asks: the one whose login the session''s role is, else that of setting hirundo.viewer; error 42501 '
    'where there is none, or it is disabled. Members of hirundo_owner, hirundo_ingest and hirundo_analyst need none and '
    'see everything (name NULL); a session of an analyst that sets one sees what that viewer does.';

CREATE FUNCTION hirundo.scope() RETURNS text[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    asks hirundo.viewer := hirundo.current_viewer();
BEGIN
    RETURN CASE WHEN NOT asks.everything THEN asks.regions::text[] END;
END
$$;
COMMENT ON FUNCTION hirundo.scope IS
    'Regions of the viewer that asks; NULL: it sees everything. Error as current_viewer(). The one place that decides it.';

CREATE FUNCTION hirundo.shown_time(at timestamptz, exact boolean) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN exact THEN at ELSE date_trunc('hour', at, 'UTC') END;
COMMENT ON FUNCTION hirundo.shown_time IS 'A time as it is shown: exact, or its hour.';

-- Which sensors may be told apart.

CREATE FUNCTION hirundo.ever_listened(sensor int) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    -- In this order one look into the index finds it.
    PERFORM FROM hirundo.coverage o WHERE o.sensor_id = sensor AND (o.seconds > 0 OR o.packets > 0)
        ORDER BY o.bucket LIMIT 1;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION hirundo.ever_listened IS 'Whether a sensor ever listened, however short, or saw packets.';

CREATE FUNCTION hirundo.viewer_pool(own text[], OUT sensors int[], OUT regions text[], OUT told boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    WITH other AS MATERIALIZED (
        SELECT s.sensor_id, s.region::text, hirundo.ever_listened(s.sensor_id) AS listened,
            -- One that takes everything is in no mean.
            s.disabled_at IS NULL AND NOT EXISTS (
                SELECT FROM hirundo.sensor_address a WHERE a.sensor_id = s.sensor_id AND a.targets = 0) AS counts
        FROM hirundo.sensor s
        WHERE s.region <> ALL (own)
    ), part AS (
        SELECT o.region, count(*) FILTER (WHERE o.counts AND o.listened) AS n, bool_or(o.listened) AS listened
        FROM other o GROUP BY o.region
    ), few AS (
        SELECT sum(p.n) AS n, bool_or(p.listened) AS listened FROM part p WHERE p.n < 2
    ), pooled AS (
        SELECT p.region, p.n FROM part p WHERE p.n < 2
        UNION ALL
        (SELECT p.region, p.n FROM part p, few f WHERE p.n >= 2 AND f.n < 2 AND f.listened
            ORDER BY p.n, p.region LIMIT 1)
    )
    SELECT ARRAY(SELECT o.sensor_id FROM other o JOIN pooled USING (region) ORDER BY 1),
        ARRAY(SELECT p.region FROM pooled p ORDER BY 1),
        NOT coalesce((SELECT f.listened FROM few f), false) OR (SELECT sum(p.n) FROM pooled p) >= 2
        INTO sensors, regions, told;
END
$$;
COMMENT ON FUNCTION hirundo.viewer_pool IS
    'The sensors outside of a viewer''s regions that are told together only, and their regions: those of regions with '
    'fewer than two sensors, and if these are fewer than two in all, the smallest region that has more (ties by code), '
    'so that nobody finds one by taking the others off the sum. told: whether they may be told at all (two or more, or '
    'none that ever listened). A sensor counts that ever listened, is not disabled, and does not take everything.';

CREATE FUNCTION hirundo.place(f hirundo.report_filter, fine boolean)
RETURNS TABLE (sensor_id int, region char(2), sensor text, public_label text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
#variable_conflict use_column
DECLARE
    pool int[];
BEGIN
    IF f.own IS NOT NULL AND NOT fine THEN
        pool := (hirundo.viewer_pool(f.own)).sensors;
    END IF;
    RETURN QUERY
    SELECT s.sensor_id, CASE WHEN s.sensor_id = ANY (pool) THEN 'ZZ' ELSE s.region END::char(2),
        CASE WHEN f.own IS NULL THEN s.name WHEN s.region = ANY (f.own) THEN s.public_label END,
        CASE WHEN f.own IS NULL OR s.region = ANY (f.own) THEN s.public_label END
    FROM hirundo.sensor s WHERE s.sensor_id = ANY (f.sensors);
END
$$;
COMMENT ON FUNCTION hirundo.place IS
    'What the sensors of a filter are called in rows: their region, ZZ where viewer_pool() has them and not fine; name '
    'and label of those that the viewer sees one by one (its own: the label for both), NULL of others. fine: the rows '
    'are of sources of the viewer''s regions alone, which it sees by region whatever that has of sensors.';

-- What may be asked.

CREATE FUNCTION hirundo.check_sensors(sensors int[], own text[]) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    wrong int;
BEGIN
    -- Nor does anybody learn which ids there are.
    SELECT i.id INTO wrong FROM unnest(sensors) AS i (id)
        WHERE NOT EXISTS (SELECT FROM hirundo.sensor s WHERE s.sensor_id = i.id AND s.region = ANY (own));
    IF FOUND AND own IS NOT NULL THEN
        RAISE EXCEPTION 'filter: sensors: % is not in your regions (%), and others are not shown one by one', wrong,
            array_to_string(own, ', ') USING ERRCODE = '42501', HINT = 'report.sensors() lists yours.';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_sensors IS 'Error 42501 where one of these ids is no sensor of the viewer''s regions (NULL: of any).';

CREATE FUNCTION hirundo.check_all_sensors(own text[]) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    pool record;
BEGIN
    IF own IS NOT NULL THEN
        SELECT * INTO pool FROM hirundo.viewer_pool(own);
        IF NOT pool.told THEN
            RAISE EXCEPTION 'of the sensors outside of your regions one in % would be left: it is not shown, nor in sums',
                array_to_string(pool.regions, ', ') USING ERRCODE = '42501',
                HINT = 'Ask for sensors of your regions: filter sensor_region.';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_all_sensors IS 'Error 42501 where numbers over all sensors would tell a viewer of regions a single one of others.';

CREATE FUNCTION hirundo.check_sum(f hirundo.report_filter, filter jsonb, whole boolean) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    pool record;
    key text;
    part text[];
BEGIN
    IF f.own IS NULL OR (f.own_sensors AND NOT whole) THEN
        RETURN;
    END IF;
    IF NOT f.own_sources THEN
        SELECT k.key INTO key FROM unnest('{sources,networks,network_group,organization}'::text[]) AS k (key)
            WHERE filter ? k.key;
        IF FOUND THEN
            RAISE EXCEPTION 'filter: %: of sources outside of your regions (%) others'' sensors are not told', key,
                array_to_string(f.own, ', ') USING ERRCODE = '42501',
                HINT = 'Add src_region with your regions, or sensor_region with them.';
        ELSIF filter ? 'asn' AND f.role IS DISTINCT FROM 'probe' THEN
            RAISE EXCEPTION 'filter: asn: whom responses come from is a victim, and outside of your regions (%) not told',
                array_to_string(f.own, ', ') USING ERRCODE = '42501', HINT = 'Add "role": "probe".';
        END IF;
    END IF;
    IF whole THEN
        PERFORM hirundo.check_all_sensors(f.own);
    END IF;
    IF f.own_sensors OR f.own_sources THEN
        RETURN;
    END IF;
    SELECT * INTO pool FROM hirundo.viewer_pool(f.own);
    part := ARRAY(SELECT DISTINCT s.region FROM hirundo.sensor s
        WHERE s.sensor_id = ANY (pool.sensors) AND s.sensor_id = ANY (f.sensors) ORDER BY 1);
    IF part <> '{}' AND NOT pool.told THEN
        PERFORM hirundo.check_all_sensors(f.own);
    ELSIF part <> '{}' AND part <> pool.regions THEN
        RAISE EXCEPTION 'filter: % would be told apart from %, which are told together only: they have too few sensors',
            array_to_string(part, ', '),
            array_to_string(ARRAY(SELECT unnest(pool.regions) EXCEPT SELECT unnest(part) ORDER BY 1), ', ')
            USING ERRCODE = '42501', HINT = 'Take all of them, or none (report.sensor_regions(): not shown).';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_sum IS
    'Error 42501 where a viewer of regions may not have sums under this filter. Over its own sensors alone: any. Over '
    'others'' also: of sources of its regions any; of others'' sources none by network, and no responses by ASN; and '
    'no part of viewer_pool(). whole: the report''s numbers are over all sensors, whichever the filter picks.';

CREATE FUNCTION hirundo.check_list(f hirundo.report_filter) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT (f.own_sensors OR f.own_sources) THEN
        RAISE EXCEPTION 'single sources are listed of your regions (%), or of your sensors, not all in one',
            array_to_string(f.own, ', ') USING ERRCODE = '42501',
            HINT = format('Add to the filter "src_region": %s, or "sensor_region" with the same.', to_jsonb(f.own));
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_list IS
    'Error 42501 unless a viewer may be told the single sources that a filter leaves: of its regions, or at its own '
    'sensors. For reports that list sources, or networks and organizations that may be few.';

CREATE FUNCTION hirundo.check_networks(f hirundo.report_filter, by text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF by <> 'asn' THEN
        PERFORM hirundo.check_list(f);
    ELSIF NOT (f.own_sensors OR f.own_sources) AND f.role IS DISTINCT FROM 'probe' THEN
        RAISE EXCEPTION 'whom responses come from is a victim, and outside of your regions (%) not told by ASN',
            array_to_string(f.own, ', ') USING ERRCODE = '42501', HINT = 'Add to the filter "role": "probe".';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_networks IS
    'Error 42501 unless a viewer may be told the networks (asn, organization or prefix) of the sources that a filter '
    'leaves: check_list(), or ASNs of probes.';

CREATE FUNCTION hirundo.check_packets(f hirundo.report_filter) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT f.own_sensors THEN
        RAISE EXCEPTION 'single packets are shown of your own sensors (%) alone', array_to_string(f.own, ', ')
            USING ERRCODE = '42501',
            HINT = format('Add to the filter "sensor_region": %s.', to_jsonb(f.own));
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_packets IS
    'Error 42501 unless all sensors of a filter are ones that the viewer sees one by one. For reports that show packets.';

CREATE FUNCTION hirundo.tells_means(f hirundo.report_filter) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    pool record;
BEGIN
    SELECT * INTO pool FROM hirundo.viewer_pool(f.own);
    RETURN (NOT pool.sensors && f.sensors OR (pool.told AND pool.sensors <@ f.sensors)) AND NOT EXISTS (
        SELECT FROM hirundo.sensor s
        WHERE s.sensor_id = ANY (f.sensors) AND s.region <> ALL (f.own)
            AND NOT coalesce((
                SELECT bool_and(a.targets > 0) FROM hirundo.sensor_address a WHERE a.sensor_id = s.sensor_id), false)
            AND hirundo.ever_listened(s.sensor_id));
END
$$;
COMMENT ON FUNCTION hirundo.tells_means IS
    'Whether a viewer of regions may be told means by address over the sensors of a filter, whose sources these are: '
    'they tell how many addresses there are, which is no matter of sources, so no part of viewer_pool(); and no '
    'sensor of others that has no place in means (it takes everything): the sum less what the mean counts would be it.';

CREATE FUNCTION hirundo.check_means(f hirundo.report_filter, home text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    pool text[];
BEGIN
    IF NOT f.means THEN
        RAISE EXCEPTION 'means by address would tell of single sensors outside of your regions (%)',
            array_to_string(f.own, ', ') USING ERRCODE = '42501',
            HINT = 'Add to the filter sensor_region with regions that are shown (report.sensor_regions()).';
    ELSIF f.own_sensors THEN
        RETURN;
    END IF;
    pool := (hirundo.viewer_pool(f.own)).regions;
    IF home = ANY (pool) AND pool <> ARRAY[home] AND EXISTS (
        SELECT FROM hirundo.sensor s WHERE s.sensor_id = ANY (f.sensors) AND s.region = home) THEN
        RAISE EXCEPTION 'domestic would be % alone, which has too few sensors to be shown', home USING ERRCODE = '42501',
            HINT = format('Choose another home region: filter home, such as %L.', f.own[1]);
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_means IS
    'Error 42501 where a viewer may not be told means by address (tells_means()), or domestic and overseas sensors '
    'apart would be a part of viewer_pool().';

CREATE FUNCTION hirundo.shown_reason(v hirundo.verdict, own text[]) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    IF own IS NULL OR v.src_region = ANY (own) OR v.kind IN ('bogon', 'unlisted') THEN
        RETURN hirundo.verdict_reason(v);
    END IF;
    RETURN format('TTLs %s with the claimed network %s. Who saw it how is told of sources of your regions alone.',
        CASE v.verdict WHEN 'genuine' THEN 'are consistent' WHEN 'spoofed' THEN 'are not consistent'
            ELSE 'do not tell whether the source is one' END, coalesce(v.holder, v.src_region, 'of no known holder'));
END
$$;
COMMENT ON FUNCTION hirundo.shown_reason IS
    'verdict_reason() as a viewer of regions is shown it: of sources outside of them without what others'' sensors saw.';

-- What may be picked.

CREATE FUNCTION report.viewer()
RETURNS TABLE (name text, "everything" boolean, regions text[], home_region text, zone text, today date,
    first_day date, last_day date, raw_from date, as_of timestamptz, dataset text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    asks hirundo.viewer := hirundo.current_viewer();
    zone text := hirundo.reporting_zone();
    told boolean := asks.everything OR (hirundo.viewer_pool(asks.regions::text[])).told;
    seen int[];
    first_day date;
    last_day date;
    frozen timestamptz;
    raw_from date;
BEGIN
    seen := ARRAY(SELECT s.sensor_id FROM hirundo.sensor s
        WHERE told OR s.region = ANY (asks.regions));
    -- One look into the index for each sensor.
    SELECT (min(b.first) AT TIME ZONE zone)::date, (max(b.last) AT TIME ZONE zone)::date INTO first_day, last_day
        FROM unnest(seen) AS i (id)
        CROSS JOIN LATERAL (
            SELECT (
                    SELECT o.bucket FROM hirundo.coverage o
                    WHERE o.sensor_id = i.id AND (o.seconds > 0 OR o.packets > 0) ORDER BY o.bucket LIMIT 1) AS first, (
                    SELECT o.bucket FROM hirundo.coverage o
                    WHERE o.sensor_id = i.id AND (o.seconds > 0 OR o.packets > 0)
                    ORDER BY o.bucket DESC LIMIT 1) AS last) b;
    SELECT (max(d.day) + 1)::timestamp AT TIME ZONE 'UTC' INTO frozen FROM hirundo.ingest_day_frozen d
        WHERE d.sensor_id = ANY (seen);
    raw_from := (frozen AT TIME ZONE zone)::date;
    raw_from := greatest(first_day, raw_from + CASE WHEN hirundo.day_start(raw_from) < frozen THEN 1 ELSE 0 END);
    RETURN QUERY
    SELECT asks.name, asks.everything, coalesce(asks.regions::text[], '{}'),
        (SELECT s.value FROM hirundo.setting s WHERE s.name = 'home_region'), zone, (now() AT TIME ZONE zone)::date,
        first_day, last_day, raw_from, hirundo.rollup_as_of(daterange(first_day, last_day, '[]'), seen),
        hirundo.rollup_dataset(daterange(first_day, last_day, '[]'), seen);
END
$$;
COMMENT ON FUNCTION report.viewer IS
    'Who asks, and what there is: one row. name: the viewer (setting hirundo.viewer; NULL: an analyst, who needs none); '
    'everything: whether it sees all; regions: whose sensors it sees one by one and whose sources it is listed. '
    'home_region: which region is domestic unless the filter says so. zone: of the reporting days; today: the one that '
    'it is. first_day, last_day: reporting days of the first and last data, NULL without any; raw_from: first day whose '
    'rows are kept, so that steps below a day can be asked. as_of: all that was received before is counted. dataset: '
    'address data of the rows. Error 42501: no viewer is named, there is none of that name, or it is disabled.';

CREATE FUNCTION report.sensors()
RETURNS TABLE (sensor int, public_label text, name text, region char(2), domestic boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    own text[] := hirundo.scope();
BEGIN
    RETURN QUERY
    SELECT s.sensor_id, s.public_label, CASE WHEN own IS NULL THEN s.name END, s.region, s.region = h.value
    FROM hirundo.sensor s
    LEFT JOIN hirundo.setting h ON h.name = 'home_region'
    WHERE own IS NULL OR s.region = ANY (own)
    ORDER BY s.region <> h.value, s.region, s.sensor_id;
END
$$;
COMMENT ON FUNCTION report.sensors IS
    'Sensors that the viewer sees one by one: those of its regions, disabled ones, too; domestic first. sensor: the id, '
    'as key sensors takes it; public_label: what publications, and reports for a viewer of regions, call it; name: only '
    'for who sees everything; domestic: whether it is in the home region (setting home_region).';

CREATE FUNCTION report.sensor_regions()
RETURNS TABLE (region char(2), name text, domestic boolean, own boolean, sensors bigint, shown boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    mine text[] := hirundo.scope();
    pool text[];
BEGIN
    IF mine IS NOT NULL THEN
        pool := (hirundo.viewer_pool(mine)).regions;
    END IF;
    RETURN QUERY
    SELECT s.region, coalesce(m.name, s.region), s.region = h.value, coalesce(s.region = ANY (mine), true), s.sensors,
        coalesce(s.region <> ALL (pool), true)
    FROM (
        SELECT i.region, count(*) FILTER (WHERE i.disabled_at IS NULL) AS sensors
        FROM hirundo.sensor i GROUP BY i.region) s
    LEFT JOIN hirundo.region_name m ON m.region = s.region
    LEFT JOIN hirundo.setting h ON h.name = 'home_region'
    ORDER BY s.region <> h.value, s.region;
END
$$;
COMMENT ON FUNCTION report.sensor_regions IS
    'Regions that sensors are, or were, in; domestic first. own: whether the viewer sees its sensors one by one; '
    'sensors: how many are not disabled; shown: whether it may be asked for alone (key sensor_region). Those that are '
    'not have too few sensors: they are in sums of all of them alone, ZZ in rows by region; of sources of the viewer''s '
    'regions they may be asked for.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('all', 'report.viewer', $x$SELECT * FROM report.viewer()$x$),
    ('all', 'report.sensors', $x$SELECT * FROM report.sensors()$x$),
    ('all', 'report.sensor_regions', $x$SELECT * FROM report.sensor_regions()$x$);

REVOKE ALL ON FUNCTION hirundo.current_viewer, hirundo.scope, hirundo.shown_time, hirundo.ever_listened,
    hirundo.viewer_pool, hirundo.place, hirundo.check_sensors, hirundo.check_all_sensors, hirundo.check_sum,
    hirundo.check_list, hirundo.check_networks, hirundo.check_packets, hirundo.tells_means, hirundo.check_means,
    hirundo.shown_reason, report.viewer, report.sensors, report.sensor_regions FROM PUBLIC;
-- Each asks for the viewer.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO hirundo_analyst, hirundo_dashboard;
