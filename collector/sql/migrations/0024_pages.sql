-- Reports that pages of the dashboard show beside those of the analyses.

CREATE FUNCTION report.verdict_changes(period daterange, filter jsonb DEFAULT '{}', n int DEFAULT NULL)
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
    changed text[];
BEGIN
    PERFORM hirundo.check_list(f), hirundo.check_services(f), hirundo.check_period(period),
        hirundo.check_complete(period, f.sensors), hirundo.check_n(n);
    open := hirundo.open_days(period, f);
    -- Reasons take long: they are written for those found alone.
    changed := ARRAY(
        SELECT host(d.src) FROM hirundo.report_days(period, open, f) d
        GROUP BY d.src HAVING sum(d.packets_genuine) > 0 AND sum(d.packets_spoofed) > 0
        ORDER BY sum(d.packets_genuine + d.packets_spoofed + d.packets_undetermined) DESC, d.src LIMIT n);
    IF changed = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v.* FROM report.spoof_verdict(period, filter || jsonb_build_object('sources', to_jsonb(changed))) v
    ORDER BY v.packets_genuine + v.packets_spoofed + v.packets_undetermined DESC, v.src;
END
$$;
COMMENT ON FUNCTION report.verdict_changes IS
    'Sources that were found both genuine and spoofed in the period: on different days, or two senders on one day '
    '(mixed). Rows of report.spoof_verdict, with its columns and keys: those with genuine and spoofed packets under '
    'the filter. Somebody uses the address of a real host, or its path to us changed. Most packets first, ties by '
    'address. n: rows, NULL = all. How the verdict of one day came about is in history of report.source.';

CREATE FUNCTION report.publications()
RETURNS TABLE (name text, edition int, period daterange, home_region text, published_at timestamptz,
    as_of timestamptz, dataset text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM hirundo.scope();
    RETURN QUERY
    SELECT p.name, p.edition, p.period, p.arguments ->> 'home', p.published_at, p.as_of,
        (SELECT hirundo.dataset_text(min(i.id), max(i.id)) FROM unnest(p.dataset_ids) AS i (id))
    FROM hirundo.publication p ORDER BY p.name DESC, p.edition DESC;
END
$$;
COMMENT ON FUNCTION report.publications IS
    'Reports that were published, a row for each edition, latest first: their figures are frozen (hirundo-admin report '
    'writes them), while reports give what is known now. name: the quarter; period: its reporting days; home_region: '
    'which region was domestic; published_at: when it was frozen; as_of: all that was received before is counted in '
    'it; dataset: address data behind it. Everybody who may call reports sees all of them: they were published.';

INSERT INTO hirundo.report_example (analysis, function, example) VALUES
    ('is it real', 'report.verdict_changes',
        $x$SELECT * FROM report.verdict_changes(daterange(current_date - 30, current_date),
    '{"src_region": "JP"}', 20)$x$),
    ('all', 'report.publications', $x$SELECT * FROM report.publications()$x$);

REVOKE ALL ON FUNCTION report.verdict_changes, report.publications FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report.verdict_changes, report.publications TO hirundo_analyst, hirundo_dashboard;
