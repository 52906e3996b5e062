-- Stored answers: what standard calls of reports on closed months and quarters return, made before they are asked.
--
-- How: whatever changes rollups writes a mark for its days (answer_mark) in its transaction. The collector's job deletes
-- marks, and with them, in the same statement, the answers that depend on these days; then it makes what is missing, one
-- at a time. An answer is given only while no mark lies in its days: what the job has not yet seen counts as changed.
-- An answer whose settings, sensors or names have changed since (answer_basis) is none.

CREATE TABLE hirundo.stored_answer (
    seconds double precision NOT NULL,
    computed_at timestamptz NOT NULL,
    period daterange NOT NULL,
    depends daterange NOT NULL,
    function text NOT NULL,
    basis text NOT NULL,
    arguments jsonb NOT NULL,
    answer jsonb,
    PRIMARY KEY (function, period, arguments)
);
COMMENT ON TABLE hirundo.stored_answer IS 'Rows that standard calls of reports return for closed months and quarters; made by store_answer(), read by stored_answer().';
COMMENT ON COLUMN hirundo.stored_answer.seconds IS 'how long it took to compute';
COMMENT ON COLUMN hirundo.stored_answer.computed_at IS 'when it was computed';
COMMENT ON COLUMN hirundo.stored_answer.period IS 'the month or quarter';
COMMENT ON COLUMN hirundo.stored_answer.depends IS 'days whose rollups it comes from: the period and the one before';
COMMENT ON COLUMN hirundo.stored_answer.function IS 'the report, without schema';
COMMENT ON COLUMN hirundo.stored_answer.basis IS 'answer_basis() that it was computed with';
COMMENT ON COLUMN hirundo.stored_answer.arguments IS 'its other arguments by name';
COMMENT ON COLUMN hirundo.stored_answer.answer IS 'its rows, in order; NULL: it ended with an error, which the caller gets from the report itself';

CREATE TABLE hirundo.standard_call (
    function text NOT NULL,
    arguments jsonb NOT NULL,
    PRIMARY KEY (function, arguments)
);
COMMENT ON TABLE hirundo.standard_call IS 'Calls of reports whose answers are stored, with each of standard_filters(). Only reports that give all roles the same, and whose answer does not depend on verdicts.';
COMMENT ON COLUMN hirundo.standard_call.function IS 'the report, without schema';
COMMENT ON COLUMN hirundo.standard_call.arguments IS 'arguments by name, without period and filter: all of them, as the report hands them to stored_answer()';
INSERT INTO hirundo.standard_call VALUES
    ('top_services', '{"n": 10, "rank_by": "packets"}'),
    ('top_services', '{"n": 10, "rank_by": "hosts"}'),
    ('top_source_regions', '{"n": 10, "rank_by": "packets"}'),
    ('top_source_regions', '{"n": 10, "rank_by": "hosts"}'),
    ('service_trend', '{"n": 5, "step": "day"}'),
    ('source_region_trend', '{"n": 5, "step": "day"}'),
    ('ack_packets', '{"step": "day"}'),
    ('mirai_hosts', '{"n": 5}'),
    ('hosts_per_day', '{}'),
    ('activity_calendar', '{"min_hosts": 1}');

CREATE FUNCTION hirundo.standard_filters() RETURNS SETOF jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT g.filter || p.filter
    FROM (VALUES ('{}'::jsonb), ('{"grp": "domestic"}'), ('{"grp": "overseas"}')) AS g (filter)
    CROSS JOIN (VALUES ('{}'::jsonb), ('{"ports_only": true}')) AS p (filter)
    UNION ALL
    SELECT DISTINCT jsonb_build_object('sensor_region', s.region) FROM hirundo.sensor s;
END;
COMMENT ON FUNCTION hirundo.standard_filters IS
    'Filters with which answers are stored: none, domestic and overseas, each of them for ports alone, too; and each '
    'region of sensors.';

CREATE FUNCTION hirundo.answer_basis() RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN concat_ws(' ',
        (SELECT string_agg(s.value, ' ' ORDER BY s.name) FROM hirundo.setting s
            WHERE s.name IN ('reporting_zone', 'home_region')),
        (SELECT sum(hashtextextended(concat(s.sensor_id, s.region), 0)) FROM hirundo.sensor s),
        (SELECT sum(hashtextextended(a::text, 0)) FROM hirundo.sensor_address a),
        (SELECT sum(hashtextextended(r::text, 0)) FROM hirundo.region_name r),
        -- Of ten thousand rows, who wrote them: that is read faster than what they say.
        (SELECT sum(hashtextextended(s.xmin::text, 0)) FROM hirundo.service_name s));
END
$$;
COMMENT ON FUNCTION hirundo.answer_basis IS
    'What answers depend on beside rollups: settings, sensors and their addresses (as sums of hashes, which tell '
    'nothing of them), names. To be compared.';

CREATE FUNCTION hirundo.stored_answer(function text, period daterange, arguments jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found hirundo.stored_answer;
BEGIN
    SELECT * INTO found FROM hirundo.stored_answer a
        WHERE a.function = stored_answer.function AND a.period = stored_answer.period
            AND a.arguments = stored_answer.arguments
            AND NOT EXISTS (SELECT FROM hirundo.answer_mark m WHERE m.days && a.depends);
    RETURN CASE WHEN found.basis = hirundo.answer_basis() THEN found.answer END;
END
$$;
COMMENT ON FUNCTION hirundo.stored_answer IS
    'The rows of a report, where they are stored for these arguments and still hold; else NULL: compute them. Within a '
    'query of the same snapshot both give the same.';

CREATE FUNCTION hirundo.answer_query(function text) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT format('SELECT * FROM jsonb_to_recordset($1) AS r (%s)',
        string_agg(format('%I %s', a.name, format_type(a.type, -1)), ', ' ORDER BY a.place))
    FROM pg_proc p
    CROSS JOIN unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY AS a (name, type, mode, place)
    WHERE p.oid = ('report.' || function)::regproc AND a.mode = 't');
COMMENT ON FUNCTION hirundo.answer_query IS 'A query that makes rows of a stored answer ($1), as the report returns them.';

CREATE FUNCTION hirundo.closed_periods() RETURNS SETOF daterange
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT daterange(u.since::date, (u.since + u.step)::date)
    FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
    CROSS JOIN LATERAL (SELECT to_date(right(c.relname, 6), 'YYYYMM')::timestamp) AS m (month)
    CROSS JOIN LATERAL (VALUES (m.month, interval '1 month'), (date_trunc('quarter', m.month), interval '3 months'))
        AS u (since, step)
    WHERE h.inhparent = 'hirundo.source_day'::regclass
        -- The last rows take a while to come.
        AND u.since + u.step <= now() AT TIME ZONE hirundo.reporting_zone() - interval '2 hours';
END;
COMMENT ON FUNCTION hirundo.closed_periods IS 'Months and quarters with rollups that ended 2 hours ago or earlier.';

CREATE FUNCTION hirundo.store_answer() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted record;
    named text;
    rows jsonb;
    present text;
    changed daterange[];
    month date;
BEGIN
    -- Each statement has a snapshot of its own: what is deleted here is in what is computed below.
    IF NOT pg_try_advisory_xact_lock(hashtext('hirundo.store_answer')) THEN
        RETURN NULL;
    END IF;
    changed := ARRAY(SELECT hirundo.reopen_months());
    DELETE FROM hirundo.stored_answer a
        WHERE EXISTS (SELECT FROM unnest(changed) AS g (days) WHERE g.days && a.depends);
    present := hirundo.answer_basis();
    DELETE FROM hirundo.stored_answer a WHERE a.basis <> present;
    -- First, because answers read it.
    SELECT lower(p.period) INTO month
        FROM hirundo.closed_periods() AS p (period)
        WHERE lower(p.period) + interval '1 month' = upper(p.period)
            AND NOT EXISTS (SELECT FROM hirundo.month_closed c WHERE c.month = lower(p.period))
        ORDER BY 1 DESC LIMIT 1;
    IF FOUND THEN
        PERFORM hirundo.close_month(month);
        RETURN format('month %s', month);
    END IF;
    SELECT c.function, p.period, f.filter, c.arguments INTO wanted
        FROM hirundo.closed_periods() AS p (period)
        CROSS JOIN hirundo.standard_call c
        CROSS JOIN hirundo.standard_filters() WITH ORDINALITY AS f (filter, place)
        WHERE NOT EXISTS (
            SELECT FROM hirundo.stored_answer a WHERE a.function = c.function AND a.period = p.period
                AND a.arguments = c.arguments || jsonb_build_object('filter', f.filter))
        ORDER BY upper(p.period) DESC, lower(p.period), f.place, c.function, c.arguments LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(format(', %I => %L', e.key, e.value), '') INTO named FROM jsonb_each_text(wanted.arguments) e;
    BEGIN
        EXECUTE format('SELECT coalesce(jsonb_agg(to_jsonb(r) - ''ordinality'' ORDER BY r.ordinality), ''[]'')'
            ' FROM report.%I(period => $1, filter => $2%s) WITH ORDINALITY AS r', wanted.function, named)
            INTO rows USING wanted.period, wanted.filter;
    EXCEPTION WHEN object_not_in_prerequisite_state OR data_exception THEN
        rows := NULL;
    END;
    INSERT INTO hirundo.stored_answer (function, period, arguments, depends, basis, answer, computed_at, seconds)
        VALUES (wanted.function, wanted.period, wanted.arguments || jsonb_build_object('filter', wanted.filter),
            daterange(lower(hirundo.previous_period(wanted.period)), upper(wanted.period)), present, rows, now(),
            extract(epoch FROM clock_timestamp() - now()));
    RETURN format('%s %s %s', wanted.function, wanted.period, wanted.filter);
END
$$;
COMMENT ON FUNCTION hirundo.store_answer IS
    'One step of the job: forgets the answers and closed months that no longer hold and makes one that is missing, the '
    'newest period first. Returns what it made; NULL: nothing was missing, or another one is at it. To be called outside '
    'of a transaction, READ COMMITTED.';

GRANT SELECT ON hirundo.stored_answer, hirundo.standard_call, hirundo.answer_mark TO hirundo_ingest, hirundo_analyst;
REVOKE ALL ON FUNCTION hirundo.standard_filters, hirundo.answer_basis, hirundo.stored_answer, hirundo.answer_query,
    hirundo.closed_periods, hirundo.store_answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.store_answer TO hirundo_ingest;
