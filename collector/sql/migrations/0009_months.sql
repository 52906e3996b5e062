-- Months that are over: rollups added up once more, when the month is closed (close_month()), so that what counts
-- packets alone reads a hundredth. As with stored answers, a mark in a month tells that it changed.

CREATE TABLE hirundo.month_closed (
    month date PRIMARY KEY,
    closed_at timestamptz NOT NULL
);
COMMENT ON TABLE hirundo.month_closed IS 'Months that service_month and region_month have; deleted by the marks that tell that one changed (answer_mark), then closed anew.';
COMMENT ON COLUMN hirundo.month_closed.month IS 'first day of the month';
COMMENT ON COLUMN hirundo.month_closed.closed_at IS 'when it was added up';

CREATE TABLE hirundo.service_month (
    packets bigint NOT NULL,
    sensor_id int NOT NULL,
    month date NOT NULL,
    service text NOT NULL,
    role text NOT NULL,
    PRIMARY KEY (sensor_id, month, service, role)
);
COMMENT ON TABLE hirundo.service_month IS 'service_day of closed months, added up over the days.';
COMMENT ON COLUMN hirundo.service_month.packets IS 'packets, exact';
COMMENT ON COLUMN hirundo.service_month.sensor_id IS 'sensor that saw them';
COMMENT ON COLUMN hirundo.service_month.month IS 'first day of the month';
COMMENT ON COLUMN hirundo.service_month.service IS 'service: hirundo.service()';
COMMENT ON COLUMN hirundo.service_month.role IS 'probe or response: hirundo.role()';

CREATE TABLE hirundo.region_month (
    packets bigint NOT NULL,
    sensor_id int NOT NULL,
    month date NOT NULL,
    region char(2) NOT NULL,
    role text NOT NULL,
    ports boolean NOT NULL,
    PRIMARY KEY (sensor_id, month, region, role, ports)
);
COMMENT ON TABLE hirundo.region_month IS 'source_day of closed months, added up over days, sources and services.';
COMMENT ON COLUMN hirundo.region_month.packets IS 'packets, exact';
COMMENT ON COLUMN hirundo.region_month.sensor_id IS 'sensor that saw them';
COMMENT ON COLUMN hirundo.region_month.month IS 'first day of the month';
COMMENT ON COLUMN hirundo.region_month.region IS 'source_day.src_region; ZZ: not known';
COMMENT ON COLUMN hirundo.region_month.role IS 'probe or response: hirundo.role()';
COMMENT ON COLUMN hirundo.region_month.ports IS 'whether their services have a port (ports_only)';

GRANT SELECT ON hirundo.month_closed, hirundo.service_month, hirundo.region_month TO hirundo_analyst;

CREATE FUNCTION hirundo.whole_months(period daterange) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN extract(day FROM lower(period)) = 1 AND extract(day FROM upper(period)) = 1
    AND NOT EXISTS (
        SELECT FROM generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 month') AS m (month)
        WHERE NOT EXISTS (SELECT FROM hirundo.month_closed c WHERE c.month = m.month::date))
    AND NOT EXISTS (SELECT FROM hirundo.answer_mark a WHERE a.days && period);
COMMENT ON FUNCTION hirundo.whole_months IS
    'Whether a period is months that service_month and region_month have, as the rollups have them in the same '
    'snapshot.';

CREATE FUNCTION hirundo.close_month(p_month date) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off
BEGIN ATOMIC
    DELETE FROM hirundo.service_month s WHERE s.month = p_month;
    DELETE FROM hirundo.region_month r WHERE r.month = p_month;
    INSERT INTO hirundo.service_month (sensor_id, month, service, role, packets)
        SELECT d.sensor_id, p_month, d.service, d.role, sum(d.packets) FROM hirundo.service_day d
        WHERE d.day >= p_month AND d.day < (p_month + interval '1 month')::date GROUP BY 1, 3, 4;
    INSERT INTO hirundo.region_month (sensor_id, month, region, role, ports, packets)
        SELECT d.sensor_id, p_month, coalesce(d.src_region, 'ZZ'), hirundo.role(d.traits), d.service < ':' COLLATE "C",
            sum(d.packets)
        FROM hirundo.source_day d
        WHERE d.day >= p_month AND d.day < (p_month + interval '1 month')::date GROUP BY 1, 3, 4, 5;
    INSERT INTO hirundo.month_closed (month, closed_at) VALUES (p_month, now());
END;
COMMENT ON FUNCTION hirundo.close_month IS
    'Adds a month up that is in no month_closed: part of store_answer(), which deletes marks and with them closed months '
    'in a statement before, so that what a mark stood for is seen here.';

CREATE FUNCTION hirundo.reopen_months() RETURNS SETOF daterange
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM hirundo.answer_mark RETURNING days
    ), hull AS MATERIALIZED (
        SELECT DISTINCT g.days FROM gone g
    ), open AS (
        DELETE FROM hirundo.month_closed c
        WHERE EXISTS (SELECT FROM hull h WHERE h.days && daterange(c.month, (c.month + interval '1 month')::date))
        RETURNING c.month
    ), services AS (
        DELETE FROM hirundo.service_month s USING open o WHERE s.month = o.month
    ), regions AS (
        DELETE FROM hirundo.region_month r USING open o WHERE r.month = o.month
    )
    SELECT h.days FROM hull h;
END;
COMMENT ON FUNCTION hirundo.reopen_months IS
    'Deletes all marks of changed days (answer_mark) and the closed months that they lie in; returns their days.';

CREATE FUNCTION hirundo.service_totals(period daterange, f hirundo.report_filter, whole boolean)
RETURNS TABLE (sensor_id int, service text, packets bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- One of the two falls away.
    SELECT c.sensor_id, c.service, c.packets
    FROM hirundo.service_month c
    WHERE whole AND (f).plain
        AND c.month >= lower(period) AND c.month < upper(period)
        AND c.sensor_id = ANY ((f).sensors)
        AND ((f).services IS NULL OR c.service = ANY ((f).services))
        AND (NOT (f).ports_only OR c.service < ':' COLLATE "C")
        AND ((f).role IS NULL OR c.role = (f).role)
    UNION ALL
    SELECT c.sensor_id, c.service, c.packets FROM hirundo.report_services(period, f) c WHERE NOT (whole AND (f).plain);
END;
COMMENT ON FUNCTION hirundo.service_totals IS
    'report_services() of a whole period, in one row or more for each sensor and service. whole: whole_months(period).';

CREATE FUNCTION hirundo.day_totals(period daterange, f hirundo.report_filter)
RETURNS TABLE (sensor_id int, day date, packets bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- One of the two falls away.
    SELECT c.sensor_id, c.day, c.packets
    FROM hirundo.role_day c
    WHERE (f).plain AND (f).services IS NULL
        AND c.day >= lower(period) AND c.day < upper(period)
        AND c.sensor_id = ANY ((f).sensors)
        AND (NOT (f).ports_only OR c.ports)
        AND ((f).role IS NULL OR c.role = (f).role)
    UNION ALL
    SELECT c.sensor_id, c.day, c.packets
    FROM hirundo.report_services(period, f) c WHERE NOT (f).plain OR (f).services IS NOT NULL;
END;
COMMENT ON FUNCTION hirundo.day_totals IS
    'report_services() by sensor and day, in one row or more: from role_day where that is enough.';

CREATE FUNCTION hirundo.open_days(period daterange, f hirundo.report_filter) RETURNS date[]
LANGUAGE sql STABLE
RETURN ARRAY(
    SELECT d.at::date
    FROM generate_series(lower(period)::timestamp, upper(period)::timestamp - interval '1 day', '1 day') AS d (at)
    WHERE NOT (f).whole
        OR NOT EXISTS (SELECT FROM hirundo.hop_model m WHERE m.day = d.at::date AND m.late_at IS NULL)
        OR EXISTS (SELECT FROM hirundo.verdict_due v WHERE v.day = d.at::date)
    ORDER BY 1);
COMMENT ON FUNCTION hirundo.open_days IS
    'Days of a period that report_days() must count row by row: not judged yet, or something came since, after the day '
    'was final, too; all where verdict can not tell what the filter takes. On the others verdict has all packets of '
    'ttl_day.';

REVOKE ALL ON FUNCTION hirundo.whole_months, hirundo.close_month, hirundo.reopen_months, hirundo.service_totals,
    hirundo.day_totals, hirundo.open_days FROM PUBLIC;
