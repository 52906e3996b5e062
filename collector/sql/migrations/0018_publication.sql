-- Publications: what was told to the outside stays what it was. hirundo-admin writes the result rows of a report here
-- when it is published, and shows these from then on, beside what the same calls give later.

CREATE TABLE hirundo.publication (
    name text NOT NULL CHECK (name ~ '^[0-9]{4}Q[1-4]$'),
    edition int NOT NULL CHECK (edition > 0),
    period daterange NOT NULL,
    arguments jsonb NOT NULL,
    verdicts jsonb NOT NULL,
    dataset_ids int[] NOT NULL,
    as_of timestamptz NOT NULL,
    published_at timestamptz NOT NULL,
    published_by text NOT NULL,
    program_version text NOT NULL,
    PRIMARY KEY (name, edition)
);
COMMENT ON TABLE hirundo.publication IS 'Reports that were published, one row for each edition. Rows are never changed.';
COMMENT ON COLUMN hirundo.publication.name IS 'quarter: 2023Q1';
COMMENT ON COLUMN hirundo.publication.edition IS 'from 1, one more each time that the quarter was published anew';
COMMENT ON COLUMN hirundo.publication.period IS 'its reporting days';
COMMENT ON COLUMN hirundo.publication.arguments IS 'what the calls were made with. home: home region; home_name: what it was called; zone: reporting zone; labels: by sensor_id, what the publication calls a sensor, drawn by lot for each quarter; single_regions: whether TTLs of a region with one sensor are told by its name';
COMMENT ON COLUMN hirundo.publication.verdicts IS 'version of the verdicts behind it: publication_verdicts()';
COMMENT ON COLUMN hirundo.publication.dataset_ids IS 'states of the address data that rows of its period were looked up in, ascending';
COMMENT ON COLUMN hirundo.publication.as_of IS 'all that was received before is counted';
COMMENT ON COLUMN hirundo.publication.published_at IS 'when it was frozen';
COMMENT ON COLUMN hirundo.publication.published_by IS 'database role that did it';
COMMENT ON COLUMN hirundo.publication.program_version IS 'version of hirundo-admin that did it';

CREATE TABLE hirundo.publication_result (
    name text NOT NULL,
    edition int NOT NULL,
    section text NOT NULL,
    call text NOT NULL,
    rows jsonb NOT NULL,
    PRIMARY KEY (name, edition, section)
);
COMMENT ON TABLE hirundo.publication_result IS 'Result rows of publications, as the reports gave them: exact, also where the publication does not tell a number. Rows are never changed.';
COMMENT ON COLUMN hirundo.publication_result.name IS 'publication.name';
COMMENT ON COLUMN hirundo.publication_result.edition IS 'publication.edition';
COMMENT ON COLUMN hirundo.publication_result.section IS 'which table or figure: the anchor in the HTML';
COMMENT ON COLUMN hirundo.publication_result.call IS 'query that gave the rows; "argument" is the one row of publication';
COMMENT ON COLUMN hirundo.publication_result.rows IS 'array of its rows, each an object by column, in their order';

CREATE FUNCTION hirundo.check_publishable(period daterange) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    today date := (now() AT TIME ZONE hirundo.reporting_zone())::date;
    since timestamptz := hirundo.day_start(lower(period));
    till timestamptz := hirundo.day_start(upper(period));
BEGIN
    IF upper(period) > today THEN
        RAISE EXCEPTION 'the quarter is not over: its last day is %, today is %', upper(period) - 1, today
            USING ERRCODE = '22023';
    END IF;
    PERFORM hirundo.check_complete(period);
    IF NOT EXISTS (
        SELECT FROM hirundo.sensor s JOIN hirundo.coverage c USING (sensor_id)
        WHERE c.bucket >= since AND c.bucket < till AND c.seconds > 0)
    THEN
        RAISE EXCEPTION 'there is no data: no sensor listened from % to %', lower(period), upper(period) - 1
            USING ERRCODE = '22023';
    END IF;
    IF EXISTS (
        SELECT FROM hirundo.sensor s JOIN hirundo.dirty_mark m USING (sensor_id)
        WHERE m.bucket >= since AND m.bucket < till)
    THEN
        RAISE EXCEPTION 'packets of the quarter wait to be counted: try again when the collector has rolled them up'
            USING ERRCODE = '55006';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_publishable IS
    'Error where a period can not be published: it is not over, no sensor listened, packets of it are not rolled up yet, '
    'or rollups of it are missing (check_complete()).';

CREATE FUNCTION hirundo.publication_verdicts(period daterange) RETURNS jsonb
LANGUAGE sql STABLE
RETURN (
    SELECT jsonb_build_object('days', upper(period) - lower(period), 'judged', count(*),
        'final', count(*) FILTER (WHERE m.final), 'first_computed_at', min(m.computed_at),
        'last_computed_at', max(m.computed_at),
        'digest', md5(string_agg(format('%s %s %s', m.day, extract(epoch FROM m.computed_at), m.tracks), ',' ORDER BY m.day)))
    FROM hirundo.hop_model m WHERE m.day >= lower(period) AND m.day < upper(period));
COMMENT ON FUNCTION hirundo.publication_verdicts IS
    'Version of the verdicts of a period. days: that it has; judged, final: of them; first_computed_at, '
    'last_computed_at: when; digest: changes when a day is judged anew.';

CREATE FUNCTION hirundo.publication_datasets(period daterange) RETURNS int[]
LANGUAGE sql STABLE
RETURN (
    SELECT coalesce(array_agg(DISTINCT d.dataset_id ORDER BY d.dataset_id), '{}')
    FROM hirundo.sensor s JOIN hirundo.dataset_day d USING (sensor_id)
    WHERE d.day >= lower(period) AND d.day < upper(period));
COMMENT ON FUNCTION hirundo.publication_datasets IS
    'States of the address data that rows of a period were looked up in, ascending.';

CREATE FUNCTION hirundo.published_hosts(period daterange, sensors int[]) RETURNS bigint
LANGUAGE sql STABLE
RETURN (
    SELECT count(DISTINCT hirundo.host(d.src))
    FROM (
        SELECT c.src FROM hirundo.source_day c
        WHERE c.sensor_id = ANY (sensors) AND c.day >= lower(period) AND c.day < upper(period) AND c.src IS NOT NULL
        LIMIT 100000) d);
COMMENT ON FUNCTION hirundo.published_hosts IS
    'Hosts (IPv6: /64) in a hundred thousand of the rows of these sensors and days: at least as many there were. Enough '
    'to tell whether a mean over all of it comes from too few hosts to be published.';

CREATE FUNCTION hirundo.published_services(period daterange, names text[])
RETURNS TABLE (sensor_id int, service text, hosts bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET work_mem = '256MB' SET jit = off SET enable_hashagg = off
AS $$
#variable_conflict use_column
DECLARE
    f hirundo.report_filter := hirundo.report_filter('{}');
    -- Sensors have eleven bits.
    whole boolean := cardinality(f.sensors) < 2048 AND hirundo.cells_whole(period);
BEGIN
    f.services := coalesce(names, '{}');
    RETURN QUERY
    WITH cell AS MATERIALIZED (
        -- Number of the sensor, host, service.
        SELECT DISTINCT (width_bucket(c.sensor_id, f.sensors)::bigint << 52) | (c.cell & 4503599627370495) AS cell
        FROM hirundo.report_sources(period, f) c WHERE whole AND c.cell IS NOT NULL
    ), other AS MATERIALIZED (
        SELECT DISTINCT c.sensor_id, c.service, hirundo.host(c.src) AS host
        FROM hirundo.report_sources(period, f) c WHERE (NOT whole OR c.cell IS NULL) AND c.src IS NOT NULL
    ), part AS (
        SELECT f.sensors[n.number >> 20] AS sensor_id, hirundo.numbered_service(n.number & 1048575) AS service,
            count(*) AS hosts
        FROM (SELECT ((e.cell >> 52) << 20) | (e.cell & 1048575) AS number FROM cell e) n
        GROUP BY n.number
        UNION ALL
        SELECT o.sensor_id, o.service, count(*) FROM other o GROUP BY o.sensor_id, o.service
    )
    SELECT p.sensor_id, p.service, sum(p.hosts)::bigint FROM part p GROUP BY p.sensor_id, p.service;
END
$$;
COMMENT ON FUNCTION hirundo.published_services IS
    'From how many hosts each sensor saw these services in a period: what tells which of them may be published.';

CREATE FUNCTION hirundo.publication_labels(p_name text, p_period daterange, p_home text) RETURNS jsonb
LANGUAGE sql
RETURN (
    WITH place AS (
        SELECT s.sensor_id, CASE WHEN s.region = p_home THEN 'Domestic' ELSE 'Overseas' END AS grp
        FROM hirundo.sensor s
        WHERE EXISTS (
            SELECT FROM hirundo.coverage c
            WHERE c.sensor_id = s.sensor_id AND c.seconds > 0 AND c.bucket >= hirundo.day_start(lower(p_period))
                AND c.bucket < hirundo.day_start(upper(p_period)))
    ), known AS (
        -- Later editions of a quarter go on with the labels of the one before.
        SELECT l.id::int AS sensor_id, split_part(l.label, ' ', 1) AS grp, split_part(l.label, ' ', 2)::int AS number
        FROM (
            SELECT p.arguments FROM hirundo.publication p
            WHERE p.name = p_name AND p.arguments ->> 'home' = p_home ORDER BY p.edition DESC LIMIT 1) e
        CROSS JOIN jsonb_each_text(e.arguments -> 'labels') AS l (id, label)
    )
    SELECT coalesce(jsonb_object_agg(n.sensor_id, n.grp || ' ' || n.number), '{}')
    FROM (
        SELECT p.sensor_id, p.grp, coalesce(k.number, coalesce((SELECT max(o.number) FROM known o WHERE o.grp = p.grp), 0)
            -- In an order that nobody can repeat: labels of two quarters tell nothing of each other.
            + row_number() OVER (PARTITION BY p.grp, k.number IS NULL ORDER BY gen_random_uuid())) AS number
        FROM place p LEFT JOIN known k USING (sensor_id)) n);
COMMENT ON FUNCTION hirundo.publication_labels IS
    'What a publication calls the sensors that listened in its period, by sensor_id: Domestic or Overseas, and a number '
    'drawn by lot for each quarter. Later editions of a quarter keep it.';

CREATE FUNCTION hirundo.publish(p_name text, p_period daterange, p_single_regions boolean, p_program_version text)
RETURNS int
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO hirundo.publication (name, edition, period, arguments, verdicts, dataset_ids, as_of, published_at,
        published_by, program_version)
    SELECT p_name, (SELECT coalesce(max(p.edition), 0) + 1 FROM hirundo.publication p WHERE p.name = p_name), p_period,
        jsonb_build_object('home', h.value, 'home_name',
            coalesce((SELECT r.name FROM hirundo.region_name r WHERE r.region = h.value), h.value), 'zone', hirundo.reporting_zone(), 'single_regions', p_single_regions, 'labels',
            hirundo.publication_labels(p_name, p_period, h.value)),
        hirundo.publication_verdicts(p_period), hirundo.publication_datasets(p_period),
        hirundo.rollup_as_of(p_period, ARRAY(SELECT s.sensor_id FROM hirundo.sensor s)), now(), session_user,
        p_program_version
    FROM hirundo.setting h WHERE h.name = 'home_region'
    RETURNING edition;
END;
COMMENT ON FUNCTION hirundo.publish IS
    'Opens the next edition of a publication: its row, with the sensors'' labels, and returns its number. The results '
    'follow in the same transaction.';

REVOKE ALL ON FUNCTION hirundo.check_publishable, hirundo.publication_verdicts, hirundo.publication_datasets,
    hirundo.published_hosts, hirundo.published_services, hirundo.publication_labels, hirundo.publish FROM PUBLIC;
GRANT SELECT ON hirundo.publication, hirundo.publication_result TO hirundo_analyst;
