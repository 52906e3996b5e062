-- The score of a verdict once more, in SQL alone, from rows that everyone can read: whoever doubts a verdict can
-- see each number that it was made from (collector/verdict/ is what made it).

CREATE FUNCTION hirundo.log_sum(a double precision, b double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(a, b) + ln(1 + exp(greatest(least(a, b) - greatest(a, b), -700)));
COMMENT ON FUNCTION hirundo.log_sum IS 'ln(exp(a) + exp(b))';

CREATE FUNCTION hirundo.hop_density(
    k bigint, w double precision, d double precision, dd double precision, log_w double precision, tau double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN k = 0 THEN 0 ELSE
    -0.5 * (dd - d * d / (w + 1 / (tau * tau)) - log_w + k * ln(2 * pi()) + ln(1 + tau * tau * w)) END;
COMMENT ON FUNCTION hirundo.hop_density IS
    'ln density of a hop vector from sums over its k sensors: weights w = 1 / variance, w d, w d^2 and ln w of the '
    'differences d; an offset common to all, normal with deviation tau, is integrated out.';

CREATE FUNCTION hirundo.hop_density_tails(d double precision[], variance double precision[], tau double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH v AS (
        SELECT u.d, u.v FROM unnest(d, variance) AS u (d, v)
    ), o AS (
        SELECT r.low - 2 + 0.5 * i AS shift
        FROM (SELECT CASE WHEN tau < 20 THEN least(0, min(v.d)) ELSE min(v.d) END AS low,
                CASE WHEN tau < 20 THEN greatest(0, max(v.d)) ELSE max(v.d) END AS high FROM v) r,
            generate_series(0, trunc((r.high + 2 - (r.low - 2)) / 0.5)::int) i
    ), p AS (
        SELECT o.shift, sum(ln(
                0.95 * exp(greatest(-0.5 * (v.d - o.shift) ^ 2 / v.v, -600)) / sqrt(2 * pi() * v.v)
                + 0.05 * exp(greatest(-0.5 * (v.d - o.shift) ^ 2 / (v.v + 36), -600)) / sqrt(2 * pi() * (v.v + 36))))
            - 0.5 * o.shift ^ 2 / tau ^ 2 AS log_p
        FROM o, v GROUP BY 1
    )
    SELECT m.most + ln(sum(exp(greatest(p.log_p - m.most, -700)))) + ln(0.5 / (tau * sqrt(2 * pi())))
    FROM p, (SELECT max(p.log_p) AS most FROM p) m GROUP BY m.most;
END;
COMMENT ON FUNCTION hirundo.hop_density_tails IS
    'ln density of a hop vector, differences d with their variances, with heavy tails: with chance 0.05 a sensor''s hops '
    'are wider spread (variance + 36: another route than the profile knows); the common offset in steps of half a hop.';

CREATE FUNCTION hirundo.track_hop(
    p_day date, p_src inet, p_track int, OUT sensor_id int, OUT hops double precision, OUT variance double precision,
    OUT packets bigint, OUT initial_ttls int[])
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH f AS (
        SELECT t.sensor_id, hirundo.initial_ttl(t.ttl)::int AS start, hirundo.initial_ttl(t.ttl) - t.ttl AS hop,
            sum(t.packets)::float8 AS n
        FROM hirundo.ttl_day t
        WHERE t.day = p_day AND t.src = p_src AND (p_track = 0 OR hirundo.initial_ttl(t.ttl) = p_track)
        GROUP BY 1, 2, 3
    ), c AS (
        SELECT g.sensor_id, g.start, min(g.hop) FILTER (WHERE 2 * g.upto >= g.total)::float8 AS median, sum(g.n) AS n,
            sum(g.n * g.hop) / sum(g.n) AS mean, sum(g.n * g.hop * g.hop) / sum(g.n) AS square
        FROM (SELECT f.*, sum(f.n) OVER (PARTITION BY f.sensor_id, f.start ORDER BY f.hop) AS upto,
                sum(f.n) OVER (PARTITION BY f.sensor_id, f.start) AS total FROM f) g
        GROUP BY 1, 2
    ), s AS (
        SELECT h.sensor_id, sum(h.n) AS n, array_agg(h.start ORDER BY h.start) AS starts,
            min(h.median) FILTER (WHERE 2 * h.upto >= h.total) AS hops,
            sum(h.n * (h.square - h.mean ^ 2 + h.median ^ 2)) / sum(h.n)
                - (sum(h.n * h.median) / sum(h.n)) ^ 2 AS variance,
            sum(h.n * (h.start - h.mean)) / sum(h.n) AS ttl,
            sum(h.n * (h.square - h.mean ^ 2 + (h.start - h.mean) ^ 2)) / sum(h.n)
                - (sum(h.n * (h.start - h.mean)) / sum(h.n)) ^ 2 AS ttl_variance
        FROM (SELECT c.*, sum(c.n) OVER (PARTITION BY c.sensor_id ORDER BY c.median, c.start) AS upto,
                sum(c.n) OVER (PARTITION BY c.sensor_id) AS total FROM c) h
        GROUP BY 1
    )
    SELECT s.sensor_id, CASE v.kind WHEN 'nmap' THEN 48 - s.ttl WHEN 'random' THEN -s.ttl ELSE s.hops END,
        CASE v.kind WHEN 'nmap' THEN 44
            WHEN 'random' THEN greatest(100, sum(s.n * s.ttl_variance) OVER () / sum(s.n) OVER ())
            ELSE greatest(0, s.variance) END,
        s.n::bigint, s.starts
    FROM s, hirundo.verdict v WHERE v.day = p_day AND v.src = p_src AND v.track = p_track;
END;
COMMENT ON FUNCTION hirundo.track_hop IS
    'What a track shows at each sensor: median of the hops over its initial TTLs, variance, packets. Kind nmap: 48 less '
    'the mean TTL; random: less the mean TTL.';

CREATE FUNCTION hirundo.track_expected(
    p_day date, p_src inet, p_track int, OUT sensor_id int, OUT hops double precision, OUT noise double precision,
    OUT anywhere double precision, OUT region_mean double precision, OUT region_variance double precision,
    OUT holder_mean double precision, OUT holder_variance double precision, OUT holder_tau double precision)
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH v AS (
        SELECT *, family(src)::smallint AS ip FROM hirundo.verdict WHERE day = p_day AND src = p_src AND track = p_track
    ), earlier AS (
        SELECT h.sensor_id, h.mean, h.votes FROM v, hirundo.hop_history(p_day) h
        WHERE h.family = v.ip AND h.holder = v.holder
    ), o AS ( -- the holder's common offset, own signature left out
        SELECT sum(least(x.tracks, 3)) AS n, avg(x.hops) AS mean
        FROM v JOIN hirundo.hop_holder_offset x ON x.day = v.day AND x.family = v.ip AND x.holder = v.holder
            AND x.signature <> v.signature
    ), p AS (
        SELECT coalesce(o.n, 0) + coalesce(e.votes, 0) AS n,
            (coalesce(o.n * o.mean, 0) + coalesce(e.votes * e.mean, 0))
                / nullif(coalesce(o.n, 0) + coalesce(e.votes, 0), 0) AS mean
        FROM o LEFT JOIN earlier e ON e.sensor_id IS NULL
    ), r AS ( -- its residuals at each sensor
        SELECT x.sensor_id, sum(least(x.tracks, 3)) AS n, avg(x.residual) AS mean,
            greatest(1, (sum((least(x.tracks, 10) - 1) * x.spread * x.tracks / (x.tracks - 1)) FILTER (WHERE x.tracks > 1) + 5)
                / (sum(least(x.tracks, 10) - 1) + 5)) AS spread
        FROM v JOIN hirundo.hop_holder x ON x.day = v.day AND x.family = v.ip AND x.holder = v.holder
            AND x.signature <> v.signature
        GROUP BY 1
    )
    SELECT h.sensor_id, h.hops, h.variance / h.packets + 0.08, s.mean, g.mean, u.u,
        g.mean + coalesce(p.mean * p.n * 3.24 / (p.n * 3.24 + 1.69), 0)
            + coalesce(q.mean * q.n * u.u / (q.n * u.u + coalesce(r.spread, 1)), 0),
        CASE WHEN q.n > 0 THEN coalesce(r.spread, 1) + u.u * coalesce(r.spread, 1) / (q.n * u.u + coalesce(r.spread, 1))
            ELSE u.u END,
        CASE WHEN p.n > 0 THEN sqrt(1.69 + 3.24 * 1.69 / (p.n * 3.24 + 1.69)) END
    FROM v
    CROSS JOIN hirundo.track_hop(p_day, p_src, p_track) h
    JOIN hirundo.hop_sensor s ON s.day = v.day AND s.family = v.ip AND s.sensor_id = h.sensor_id
    LEFT JOIN hirundo.hop_region g ON g.day = v.day AND g.family = v.ip AND g.region = v.src_region
        AND g.sensor_id = h.sensor_id
    CROSS JOIN LATERAL (SELECT 3.61 * (1 + 1 / (g.holders + 2)) AS u) u
    CROSS JOIN p
    LEFT JOIN r ON r.sensor_id = h.sensor_id
    LEFT JOIN earlier e ON e.sensor_id = h.sensor_id
    CROSS JOIN LATERAL (SELECT coalesce(r.n, 0) + coalesce(e.votes, 0) AS n,
        (coalesce(r.n * r.mean, 0) + coalesce(e.votes * e.mean, 0))
            / nullif(coalesce(r.n, 0) + coalesce(e.votes, 0), 0) AS mean) q
    WHERE s.votes >= 3;
END;
COMMENT ON FUNCTION hirundo.track_expected IS
    'A track''s hops at each sensor that enough is known of (3 votes), and what is expected there: of any origin '
    '(variance 10.89), of its region, of its holder by the votes of other signatures and earlier days; holder_tau: '
    'deviation of the holder''s common offset, NULL where it taught nothing. To each variance noise is added.';

CREATE FUNCTION hirundo.verdict_score(
    p_day date, p_src inet, p_track int, OUT log_claimed double precision, OUT log_alternative double precision,
    OUT prior double precision, OUT score double precision)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v record;
    s record;
    odd double precision;
    any_odd double precision;
    own double precision;
    sender double precision;
    chance double precision;
BEGIN
    SELECT * INTO v FROM hirundo.verdict x WHERE x.day = p_day AND x.src = p_src AND x.track = p_track;
    IF v.kind IN ('bogon', 'unlisted') THEN
        prior := 0;
        score := -3;
        RETURN;
    END IF;
    SELECT count(*) AS k, max(e.holder_tau) AS tau, count(e.region_mean) AS known,
        array_agg(h.d) AS htd, array_agg(h.w) AS htv, array_agg(r.d) AS rtd, array_agg(r.w) AS rtv,
        array_agg(a.d) AS atd, array_agg(a.w) AS atv, sum(1 / h.w) AS hw, sum(h.d / h.w) AS hd, sum(h.d ^ 2 / h.w) AS hdd, -sum(ln(h.w)) AS hl,
        sum(1 / r.w) AS rw, sum(r.d / r.w) AS rd, sum(r.d ^ 2 / r.w) AS rdd, -sum(ln(r.w)) AS rl,
        sum(1 / a.w) AS aw, sum(a.d / a.w) AS ad, sum(a.d ^ 2 / a.w) AS add, -sum(ln(a.w)) AS al
    INTO s FROM hirundo.track_expected(p_day, p_src, p_track) e,
        LATERAL (SELECT e.hops - e.holder_mean AS d, e.holder_variance + e.noise AS w) h,
        LATERAL (SELECT e.hops - e.region_mean AS d, e.region_variance + e.noise AS w) r,
        LATERAL (SELECT e.hops - e.anywhere AS d, 10.89 + e.noise AS w) a;
    prior := 0;
    IF s.k = 0 OR s.known = 0 THEN -- blind: only a campaign is evidence
        SELECT hirundo.log_sum(
            ln(0.97::float8) + hirundo.hop_density(count(*), sum(1 / w), sum(d / w), sum(d ^ 2 / w), -sum(ln(w)), 2.5),
            ln(0.03::float8) + hirundo.hop_density(count(*), sum(1 / w), sum(d / w), sum(d ^ 2 / w), -sum(ln(w)), 30))
        INTO log_claimed FROM hirundo.track_hop(p_day, p_src, p_track) h
        JOIN hirundo.hop_sensor m ON m.day = p_day AND m.family = family(p_src) AND m.sensor_id = h.sensor_id,
            LATERAL (SELECT h.hops - m.mean AS d, 10.89 + h.variance / h.packets + 0.08 AS w) t;
        log_alternative := log_claimed;
    ELSE
        log_claimed := hirundo.hop_density(s.k, s.rw, s.rd, s.rdd, s.rl, CASE v.kind WHEN 'random' THEN 100 ELSE 2.2 END);
        log_alternative := hirundo.hop_density(s.k, s.aw, s.ad, s.add, s.al, CASE v.kind WHEN 'random' THEN 100 ELSE 2.5 END);
        odd := hirundo.hop_density(s.k, s.rw, s.rd, s.rdd, s.rl, 30);
        any_odd := hirundo.hop_density(s.k, s.aw, s.ad, s.add, s.al, 30);
        IF s.tau IS NOT NULL THEN
            log_claimed := hirundo.log_sum(ln(0.999::float8) + hirundo.hop_density(s.k, s.hw, s.hd, s.hdd, s.hl,
                CASE v.kind WHEN 'random' THEN 100 ELSE s.tau END), ln(0.001::float8) + log_claimed);
            odd := hirundo.log_sum(ln(0.999::float8) + hirundo.hop_density(s.k, s.hw, s.hd, s.hdd, s.hl, 30),
                ln(0.001::float8) + odd);
        END IF;
        IF v.kind = 'random' THEN
            prior := CASE WHEN EXISTS (SELECT FROM hirundo.ttl_day t WHERE t.day = p_day AND t.src = p_src
                AND hirundo.initial_ttl(t.ttl) - t.ttl > 40) THEN -2 ELSE -0.8 END;
        ELSIF v.kind <> 'nmap' THEN
            log_claimed := hirundo.log_sum(ln(0.97::float8) + log_claimed, ln(0.03::float8) + odd);
            log_alternative := hirundo.log_sum(ln(0.97::float8) + log_alternative, ln(0.03::float8) + any_odd);
        END IF;
        IF v.kind <> 'random' AND log_claimed <= log_alternative THEN -- looks forged: again, with heavy tails
            SELECT CASE WHEN s.tau IS NULL THEN t.region
                    ELSE hirundo.log_sum(ln(0.999::float8) + t.holder, ln(0.001::float8) + t.region) END, t.anywhere
            INTO log_claimed, log_alternative
            FROM (SELECT max(CASE WHEN x.what = 'holder' THEN x.p END) AS holder,
                    max(CASE WHEN x.what = 'region' THEN x.p END) AS region,
                    max(CASE WHEN x.what = 'anywhere' THEN x.p END) AS anywhere
                FROM (SELECT y.what, CASE WHEN v.kind = 'nmap' THEN hirundo.hop_density_tails(y.d, y.v, y.tau)
                        ELSE hirundo.log_sum(ln(0.97::float8) + hirundo.hop_density_tails(y.d, y.v, y.tau),
                            ln(0.03::float8) + hirundo.hop_density_tails(y.d, y.v, 30)) END AS p
                    FROM (VALUES ('holder', s.htd, s.htv, s.tau), ('region', s.rtd, s.rtv, 2.2::float8),
                        ('anywhere', s.atd, s.atv, 2.5::float8)) AS y (what, d, v, tau)
                    WHERE y.tau IS NOT NULL) x) t;
        END IF;
    END IF;
    IF v.mixture > 0 THEN
        prior := least(0, log10((1 - v.mixture) / v.mixture));
        log_alternative := hirundo.log_sum(ln(0.3::float8) + log_alternative, ln(0.7::float8) + v.log_campaign);
    END IF;
    IF v.log_claimed IS NULL THEN -- nothing to compare with, or too few packets to be a sender of its own
        log_claimed := NULL;
        log_alternative := NULL;
        prior := 0;
    END IF;
    own := coalesce((CASE WHEN v.log_second_path IS NULL THEN log_claimed
        ELSE hirundo.log_sum(ln(0.9::float8) + log_claimed, ln(0.1::float8) + v.log_second_path) END - log_alternative)
        / ln(10::float8) + prior, 0);
    IF v.member > 0 THEN -- mixed with what its sender says
        chance := least(v.member, 1 - 1e-9);
        own := 1 / (1 + 10 ^ -greatest(-15, least(15, own)));
        sender := 1 / (1 + 10 ^ -greatest(-15, least(15, v.sits)));
        own := log10(greatest(1e-12, (1 - chance) * own + chance * sender)
            / greatest(1e-12, (1 - chance) * (1 - own) + chance * (1 - sender)));
    END IF;
    score := greatest(-9, least(9, own));
END
$$;
COMMENT ON FUNCTION hirundo.verdict_score IS
    'The numbers of a verdict computed once more from ttl_day, hop_sensor, hop_region, hop_holder and hop_holder_offset'
    '; log_second_path, log_campaign, mixture, member and sits are taken from the verdict. They are those of the '
    'verdict while its model_at is hop_model.learned_at or later, or nothing changed since.';

REVOKE ALL ON FUNCTION hirundo.log_sum, hirundo.hop_density, hirundo.hop_density_tails, hirundo.track_hop,
    hirundo.track_expected, hirundo.verdict_score FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.log_sum, hirundo.hop_density, hirundo.hop_density_tails, hirundo.track_hop,
    hirundo.track_expected, hirundo.verdict_score TO hirundo_ingest, hirundo_analyst;
