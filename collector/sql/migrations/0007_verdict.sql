-- The verdict on sources, and every number that it was made from. Written by the collector's verdict job
-- (collector/verdict/ computes), one transaction a reporting day; 0018_verdict_score.sql computes it once more.
-- Not of one sensor: keys begin with the day.
-- Units: hops; score and prior in log10; densities in natural logarithms. Profiles of IPv4 and IPv6 are
-- apart (family 4, 6), because their paths are.

INSERT INTO hirundo.setting VALUES
    ('spoofed_prevalence', '0.5'),
    ('spoofed_score', '-1'),
    ('spoofed_score_alone', '-2'),
    ('genuine_score', '0.5'),
    ('spoofed_score_one_region', '-2'),
    ('genuine_score_one_region', '1'),
    ('verdict_full_seconds', '10'),
    ('verdict_rest_times', '9'),
    ('verdict_portion_sources', '400000'),
    ('hop_history_days', '3'),
    ('hop_model_retention_days', '35');

CREATE TABLE hirundo.hop_model (
    day date PRIMARY KEY,
    computed_at timestamptz NOT NULL,
    learned_at timestamptz NOT NULL,
    final boolean NOT NULL,
    opened_at timestamptz NOT NULL,
    late_at timestamptz,
    dataset_ids int[] NOT NULL,
    spoofed_prevalence double precision NOT NULL,
    spoofed_score double precision NOT NULL,
    genuine_score double precision NOT NULL,
    spoofed_score_alone double precision NOT NULL,
    spoofed_score_one_region double precision NOT NULL,
    genuine_score_one_region double precision NOT NULL,
    in_region real NOT NULL,
    in_region_6 real NOT NULL,
    histogram_rows bigint NOT NULL,
    part_rows bigint NOT NULL DEFAULT 0,
    packets bigint NOT NULL,
    sources bigint NOT NULL,
    tracks bigint NOT NULL,
    teachers bigint NOT NULL,
    genuine bigint NOT NULL,
    spoofed bigint NOT NULL,
    undetermined bigint NOT NULL,
    held bigint NOT NULL,
    campaigns int NOT NULL,
    seconds double precision NOT NULL,
    learn_seconds double precision NOT NULL
);
COMMENT ON TABLE hirundo.hop_model IS 'One row for each reporting day that was judged: when, with which settings, and how it came out. A day without a row is not judged yet.';
COMMENT ON COLUMN hirundo.hop_model.day IS 'reporting day (setting reporting_zone)';
COMMENT ON COLUMN hirundo.hop_model.computed_at IS 'time of the snapshot that was judged: all rows of ttl_day committed before are in the verdicts; the as-of of every answer';
COMMENT ON COLUMN hirundo.hop_model.learned_at IS 'time of the snapshot of the last pass over the whole day: profiles, counts of campaigns and teachers are of then; passes since then judged the sources that had new packets by it (setting verdict_full_seconds)';
COMMENT ON COLUMN hirundo.hop_model.final IS 'whether it was computed after hirundo.verdict_final_at(): verdicts change no more, whatever comes';
COMMENT ON COLUMN hirundo.hop_model.opened_at IS 'when the day was judged first';
COMMENT ON COLUMN hirundo.hop_model.late_at IS 'when it was found last that ttl_day had changed after the day was final: its packets are those of ttl_day, not of verdict; NULL: it did not';
COMMENT ON COLUMN hirundo.hop_model.dataset_ids IS 'data sets that regions and holders of the day''s rows come from (enrichment_dataset)';
COMMENT ON COLUMN hirundo.hop_model.spoofed_prevalence IS 'setting spoofed_prevalence then: share of sources taken to be spoofed before their TTLs are looked at';
COMMENT ON COLUMN hirundo.hop_model.spoofed_score IS 'threshold then, after the prevalence: spoofed at or below';
COMMENT ON COLUMN hirundo.hop_model.genuine_score IS 'threshold then, after the prevalence: genuine at or above';
COMMENT ON COLUMN hirundo.hop_model.spoofed_score_alone IS 'threshold then, after the prevalence, for what no sender, campaign or random TTL speaks against';
COMMENT ON COLUMN hirundo.hop_model.spoofed_score_one_region IS 'threshold then, after the prevalence, for such a track that one region saw';
COMMENT ON COLUMN hirundo.hop_model.genuine_score_one_region IS 'threshold then, after the prevalence, for what one region saw';
COMMENT ON COLUMN hirundo.hop_model.in_region IS 'hops that sources of a sensor''s own region differ by at it, IPv4';
COMMENT ON COLUMN hirundo.hop_model.in_region_6 IS 'the same for IPv6';
COMMENT ON COLUMN hirundo.hop_model.histogram_rows IS 'rows of ttl_day at learned_at';
COMMENT ON COLUMN hirundo.hop_model.part_rows IS 'rows of ttl_day that passes over a part of the day read since then';
COMMENT ON COLUMN hirundo.hop_model.packets IS 'packets of the tracks';
COMMENT ON COLUMN hirundo.hop_model.sources IS 'distinct sources';
COMMENT ON COLUMN hirundo.hop_model.tracks IS 'tracks: rows in verdict';
COMMENT ON COLUMN hirundo.hop_model.teachers IS 'of them, tracks that the profiles were learned from';
COMMENT ON COLUMN hirundo.hop_model.genuine IS 'tracks called genuine';
COMMENT ON COLUMN hirundo.hop_model.spoofed IS 'tracks called spoofed';
COMMENT ON COLUMN hirundo.hop_model.undetermined IS 'tracks left undetermined';
COMMENT ON COLUMN hirundo.hop_model.held IS 'tracks whose verdict was held, because the path to their whole network changed';
COMMENT ON COLUMN hirundo.hop_model.campaigns IS 'campaigns found';
COMMENT ON COLUMN hirundo.hop_model.seconds IS 'seconds that the last pass took, reading and writing included';
COMMENT ON COLUMN hirundo.hop_model.learn_seconds IS 'seconds that the last pass over the whole day took';

CREATE TABLE hirundo.hop_sensor (
    day date NOT NULL,
    family smallint NOT NULL,
    sensor_id int NOT NULL,
    mean double precision NOT NULL,
    votes double precision NOT NULL,
    rough double precision NOT NULL,
    PRIMARY KEY (day, family, sensor_id)
);
COMMENT ON TABLE hirundo.hop_sensor IS 'Hops of sources of any region at a sensor on a day.';
COMMENT ON COLUMN hirundo.hop_sensor.day IS 'reporting day';
COMMENT ON COLUMN hirundo.hop_sensor.family IS '4 or 6';
COMMENT ON COLUMN hirundo.hop_sensor.sensor_id IS 'sensor';
COMMENT ON COLUMN hirundo.hop_sensor.mean IS 'hops: median over the holders of other regions, common offsets taken off';
COMMENT ON COLUMN hirundo.hop_sensor.votes IS 'holders of other regions that it is the median of, earlier days'' decayed';
COMMENT ON COLUMN hirundo.hop_sensor.rough IS 'hops: median over all sources; only used to tell tracks apart and to find random TTLs';

CREATE TABLE hirundo.hop_region (
    day date NOT NULL,
    family smallint NOT NULL,
    region char(2) NOT NULL,
    sensor_id int NOT NULL,
    mean double precision NOT NULL,
    holders double precision NOT NULL,
    PRIMARY KEY (day, family, region, sensor_id)
);
COMMENT ON TABLE hirundo.hop_region IS 'Hops expected of a region''s sources at a sensor on a day. Variance of a network in it: 3.61 (1 + 1/(holders + 2)).';
COMMENT ON COLUMN hirundo.hop_region.day IS 'reporting day';
COMMENT ON COLUMN hirundo.hop_region.family IS '4 or 6';
COMMENT ON COLUMN hirundo.hop_region.region IS 'region that sources claim';
COMMENT ON COLUMN hirundo.hop_region.sensor_id IS 'sensor';
COMMENT ON COLUMN hirundo.hop_region.mean IS 'hops: median over its holders, common offsets taken off, drawn towards the sensor''s mean plus the region''s effect where few vote';
COMMENT ON COLUMN hirundo.hop_region.holders IS 'holders that voted, earlier days'' decayed';

CREATE TABLE hirundo.hop_holder (
    day date NOT NULL,
    family smallint NOT NULL,
    holder text COLLATE "C" NOT NULL,
    sensor_id int NOT NULL,
    signature bigint NOT NULL,
    residual double precision NOT NULL,
    spread double precision NOT NULL,
    tracks int NOT NULL,
    PRIMARY KEY (day, family, holder, sensor_id, signature)
);
COMMENT ON TABLE hirundo.hop_holder IS 'Hops of a holder''s tracks at a sensor, beyond region and common offset: one vote for each signature. A source is compared with the votes of other signatures than its own.';
COMMENT ON COLUMN hirundo.hop_holder.day IS 'reporting day';
COMMENT ON COLUMN hirundo.hop_holder.family IS '4 or 6';
COMMENT ON COLUMN hirundo.hop_holder.holder IS 'holder of the addresses, as in ttl_day; where none is known the covering /16 (IPv6: /32)';
COMMENT ON COLUMN hirundo.hop_holder.sensor_id IS 'sensor';
COMMENT ON COLUMN hirundo.hop_holder.signature IS 'main signature of the tracks (hirundo.signature_text)';
COMMENT ON COLUMN hirundo.hop_holder.residual IS 'hops: median over the tracks, each cut to -4 .. 4';
COMMENT ON COLUMN hirundo.hop_holder.spread IS 'hops squared: mean square distance of the tracks from that median; holders whose tracks are far apart at a sensor get room';
COMMENT ON COLUMN hirundo.hop_holder.tracks IS 'tracks that it is the median of';

CREATE TABLE hirundo.hop_holder_offset (
    day date NOT NULL,
    family smallint NOT NULL,
    holder text COLLATE "C" NOT NULL,
    signature bigint NOT NULL,
    hops double precision NOT NULL,
    tracks int NOT NULL,
    PRIMARY KEY (day, family, holder, signature)
);
COMMENT ON TABLE hirundo.hop_holder_offset IS 'What a holder''s tracks are off their region''s profile by, the same at every sensor: one vote for each signature.';
COMMENT ON COLUMN hirundo.hop_holder_offset.day IS 'reporting day';
COMMENT ON COLUMN hirundo.hop_holder_offset.family IS '4 or 6';
COMMENT ON COLUMN hirundo.hop_holder_offset.holder IS 'holder of the addresses, as in hop_holder';
COMMENT ON COLUMN hirundo.hop_holder_offset.signature IS 'main signature of the tracks';
COMMENT ON COLUMN hirundo.hop_holder_offset.hops IS 'hops: median over the tracks, each cut to -6 .. 6';
COMMENT ON COLUMN hirundo.hop_holder_offset.tracks IS 'tracks that it is the median of';

CREATE TABLE hirundo.campaign (
    day date NOT NULL,
    campaign text NOT NULL,
    family smallint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    service text NOT NULL,
    signature bigint NOT NULL,
    initial_ttl smallint NOT NULL,
    claimed_sources int NOT NULL,
    claimed_holders int NOT NULL,
    packets bigint NOT NULL,
    likely_region char(2),
    PRIMARY KEY (day, campaign)
);
COMMENT ON TABLE hirundo.campaign IS 'Many claimed origins, one machine: sources of unrelated networks that use the same tool and arrive with the same hop counts. Those of one signature and initial TTL, over all sensors, are one campaign.';
COMMENT ON COLUMN hirundo.campaign.day IS 'reporting day';
COMMENT ON COLUMN hirundo.campaign.campaign IS 'name within the day: family, signature (hexadecimal), initial TTL, and a rank where several have these in common';
COMMENT ON COLUMN hirundo.campaign.family IS '4 or 6';
COMMENT ON COLUMN hirundo.campaign.first_seen IS 'first packet in its cells, whole seconds';
COMMENT ON COLUMN hirundo.campaign.last_seen IS 'last packet in its cells, whole seconds';
COMMENT ON COLUMN hirundo.campaign.service IS 'service of the signature';
COMMENT ON COLUMN hirundo.campaign.signature IS 'what the packets have in common (hirundo.signature_text)';
COMMENT ON COLUMN hirundo.campaign.initial_ttl IS 'TTL that they started with: 32, 64, 128 or 255';
COMMENT ON COLUMN hirundo.campaign.claimed_sources IS 'source addresses in its cells; this and the other counts are of hop_model.learned_at, or, where a pass over a part of the day found the campaign later, of what that pass looked at';
COMMENT ON COLUMN hirundo.campaign.claimed_holders IS 'holders of these addresses';
COMMENT ON COLUMN hirundo.campaign.packets IS 'packets in its cells';
COMMENT ON COLUMN hirundo.campaign.likely_region IS 'region whose profile fits its hop counts best; NULL where fewer than 3 sensors saw it';

CREATE TABLE hirundo.campaign_cell (
    day date NOT NULL,
    campaign text NOT NULL,
    sensor_id int NOT NULL,
    hops smallint NOT NULL,
    holders int NOT NULL,
    expected double precision NOT NULL,
    share double precision NOT NULL,
    mixture double precision NOT NULL,
    PRIMARY KEY (day, campaign, sensor_id, hops)
);
COMMENT ON TABLE hirundo.campaign_cell IS 'Cells of campaigns: hop counts at a sensor that more holders have in common than their profiles explain.';
COMMENT ON COLUMN hirundo.campaign_cell.day IS 'reporting day';
COMMENT ON COLUMN hirundo.campaign_cell.campaign IS 'campaign that it belongs to';
COMMENT ON COLUMN hirundo.campaign_cell.sensor_id IS 'sensor';
COMMENT ON COLUMN hirundo.campaign_cell.hops IS 'initial TTL less TTL';
COMMENT ON COLUMN hirundo.campaign_cell.holders IS 'distinct holders with this hop count';
COMMENT ON COLUMN hirundo.campaign_cell.expected IS 'holders expected there by their profiles';
COMMENT ON COLUMN hirundo.campaign_cell.share IS 'its excess among the excess of all cells of this sensor and campaign, 0 to 1';
COMMENT ON COLUMN hirundo.campaign_cell.mixture IS 'excess of these cells among the holders of all hop counts of this sensor, signature and initial TTL, at most 0.97';

CREATE TABLE hirundo.verdict (
    day date NOT NULL,
    src inet NOT NULL,
    track smallint NOT NULL,
    version int NOT NULL DEFAULT 1,
    kind text NOT NULL CHECK (kind IN ('fixed', 'split', 'nmap', 'random', 'unlisted', 'bogon')),
    src_region char(2),
    holder text,
    signature bigint NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('genuine', 'spoofed', 'undetermined')),
    score real NOT NULL,
    regions_seen smallint NOT NULL,
    source_regions smallint NOT NULL,
    sensors_seen smallint NOT NULL,
    packets bigint NOT NULL,
    log_claimed double precision,
    log_alternative double precision,
    log_second_path double precision,
    prior double precision NOT NULL,
    own_score double precision NOT NULL DEFAULT 0,
    member double precision NOT NULL DEFAULT 0,
    sits double precision NOT NULL DEFAULT 0,
    log_campaign double precision,
    mixture double precision NOT NULL DEFAULT 0,
    common_offset real,
    worst_sensor int,
    worst_hops real,
    worst_expected real,
    campaign text,
    second_path boolean NOT NULL,
    taught boolean NOT NULL,
    held boolean NOT NULL,
    nearest_region char(2),
    model_at timestamptz NOT NULL,
    PRIMARY KEY (day, src, track)
) PARTITION BY RANGE (day);
COMMENT ON TABLE hirundo.verdict IS 'The newest verdict on each source, track and reporting day, with the numbers that it was made from. Partitioned by month.';
COMMENT ON COLUMN hirundo.verdict.day IS 'reporting day';
COMMENT ON COLUMN hirundo.verdict.src IS 'source address as claimed';
COMMENT ON COLUMN hirundo.verdict.track IS 'one sender behind the address: 0 where all its packets are taken as one sender''s; else (kind split) the initial TTL 32, 64, 128 or 255 of the track''s packets. A source has no track 0 beside others';
COMMENT ON COLUMN hirundo.verdict.version IS 'how often it was called anew: its newest line in verdict_history';
COMMENT ON COLUMN hirundo.verdict.kind IS 'fixed: one sender; split: one of several; nmap: TTL drawn from 37 .. 59; random: TTL changes from packet to packet; unlisted: address not allocated; bogon: special-purpose address';
COMMENT ON COLUMN hirundo.verdict.src_region IS 'region that the address claims, NULL where no data set knows it';
COMMENT ON COLUMN hirundo.verdict.holder IS 'holder that it claims; the covering /16 (IPv6: /32) where none is known; NULL for unlisted and bogon';
COMMENT ON COLUMN hirundo.verdict.signature IS 'main signature: most packets, then seen first (whole seconds), then the lowest';
COMMENT ON COLUMN hirundo.verdict.verdict IS 'genuine, spoofed or undetermined, by the score and the thresholds of hop_model; drawn TTLs alone are no forgery: of kind nmap never spoofed, of kind random only where sources of 3 holders or more draw theirs with this signature';
COMMENT ON COLUMN hirundo.verdict.score IS 'log10 of the likelihood ratio genuine : spoofed, cut to -9 .. 9: (log_claimed - log_alternative) / ln 10 + prior, where log_claimed takes log_second_path with weight 0.1 when that was looked at; mixed with sits by the chance member; -3 for unlisted and bogon, 0 where nothing can be said';
COMMENT ON COLUMN hirundo.verdict.regions_seen IS 'regions whose sensors saw the track';
COMMENT ON COLUMN hirundo.verdict.source_regions IS 'regions whose sensors saw any track of the source';
COMMENT ON COLUMN hirundo.verdict.sensors_seen IS 'sensors that saw it';
COMMENT ON COLUMN hirundo.verdict.packets IS 'packets of the track when it was judged';
COMMENT ON COLUMN hirundo.verdict.log_claimed IS 'ln density of its hop counts, coming from the claimed network; NULL where it was not scored';
COMMENT ON COLUMN hirundo.verdict.log_alternative IS 'ln density of its hop counts, coming from anywhere or from a campaign; NULL where it was not scored';
COMMENT ON COLUMN hirundo.verdict.log_second_path IS 'ln density of its hop counts on the paths of other sources of the holder; NULL where that was not looked at (score above the threshold before)';
COMMENT ON COLUMN hirundo.verdict.prior IS 'log10: what campaign and random TTLs add to the score';
COMMENT ON COLUMN hirundo.verdict.own_score IS 'log10: the score of the track by itself; 0 where member is 0, the score is it then';
COMMENT ON COLUMN hirundo.verdict.member IS 'chance that it was sent by one machine together with other sources (same tool, hop counts, time), 0 to 1';
COMMENT ON COLUMN hirundo.verdict.sits IS 'log10 odds that this machine sits where the source says';
COMMENT ON COLUMN hirundo.verdict.log_campaign IS 'ln density of its hop counts in cells that too many unrelated holders have in common; NULL: in none';
COMMENT ON COLUMN hirundo.verdict.mixture IS 'share of these cells that is too many, mean over its sensors; 0: in none';
COMMENT ON COLUMN hirundo.verdict.common_offset IS 'hops that the track is off its network''s profile by at every sensor';
COMMENT ON COLUMN hirundo.verdict.worst_sensor IS 'sensor that fits least';
COMMENT ON COLUMN hirundo.verdict.worst_hops IS 'hops that it saw';
COMMENT ON COLUMN hirundo.verdict.worst_expected IS 'hops that were expected there, the common offset included';
COMMENT ON COLUMN hirundo.verdict.campaign IS 'campaign that explains it better than a sender anywhere, or NULL';
COMMENT ON COLUMN hirundo.verdict.second_path IS 'whether another path of the holder saved it from being called spoofed';
COMMENT ON COLUMN hirundo.verdict.taught IS 'whether the profiles were learned from it, too';
COMMENT ON COLUMN hirundo.verdict.held IS 'whether the verdict was held: the path to the whole network changed, the score alone would say spoofed';
COMMENT ON COLUMN hirundo.verdict.nearest_region IS 'spoofed, seen by 3 sensors or more: region whose profile fits best; else NULL';
COMMENT ON COLUMN hirundo.verdict.model_at IS 'hop_model.computed_at of the run that wrote this row; a later run that found the same left it alone';

CREATE TABLE hirundo.verdict_history (
    day date NOT NULL,
    src inet NOT NULL,
    track smallint NOT NULL,
    version int NOT NULL,
    verdict text,
    score real,
    model_at timestamptz NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (day, src, track, version)
) PARTITION BY RANGE (day);
CREATE INDEX verdict_history_gone ON hirundo.verdict_history (day, src, track) WHERE verdict IS NULL;
COMMENT ON TABLE hirundo.verdict_history IS 'Append-only: a row when the verdict of a track appears, changes or goes away. Partitioned by month.';
COMMENT ON COLUMN hirundo.verdict_history.day IS 'reporting day';
COMMENT ON COLUMN hirundo.verdict_history.src IS 'source address as claimed';
COMMENT ON COLUMN hirundo.verdict_history.track IS 'track, as in verdict';
COMMENT ON COLUMN hirundo.verdict_history.version IS 'from 1, one more with each change';
COMMENT ON COLUMN hirundo.verdict_history.verdict IS 'verdict from then on; NULL: the track is no more (its packets belong to another track now)';
COMMENT ON COLUMN hirundo.verdict_history.score IS 'its score then';
COMMENT ON COLUMN hirundo.verdict_history.model_at IS 'hop_model.computed_at of the run';
COMMENT ON COLUMN hirundo.verdict_history.computed_at IS 'when it was written';

CREATE UNLOGGED TABLE hirundo.verdict_touched (
    day date NOT NULL,
    portion int NOT NULL,
    sources inet[] NOT NULL,
    PRIMARY KEY (day, portion)
);
ALTER TABLE hirundo.verdict_touched ALTER COLUMN sources SET STORAGE EXTERNAL; -- gone in seconds: not worth compressing
COMMENT ON TABLE hirundo.verdict_touched IS 'Sources that a pass over a part of a day is about; empty but in its transaction.';
COMMENT ON COLUMN hirundo.verdict_touched.day IS 'reporting day';
COMMENT ON COLUMN hirundo.verdict_touched.portion IS 'from 0: as many sources as are looked up at a time';
COMMENT ON COLUMN hirundo.verdict_touched.sources IS 'their addresses, each in one portion';

-- Settings and days.

CREATE FUNCTION hirundo.setting_possible(name text, value text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    low float8;
    high float8;
    number float8;
    possible boolean := false;
BEGIN
    CASE
        WHEN name = 'spoofed_prevalence' THEN low := 0; high := 1;
        WHEN name ~ '^spoofed_score(_alone|_one_region)?$' THEN low := -9; high := 0;
        WHEN name ~ '^genuine_score(_one_region)?$' THEN low := 0; high := 9;
        WHEN name = 'verdict_full_seconds' THEN low := 0; high := 1000000;
        WHEN name = 'verdict_rest_times' THEN low := 0; high := 1000;
        WHEN name = 'verdict_portion_sources' THEN low := 1; high := 10000000;
        WHEN name = 'hop_history_days' THEN low := 0; high := 35;
        WHEN name = 'hop_model_retention_days' THEN low := 35; high := 36500;
        ELSE RETURN true;
    END CASE;
    BEGIN
        number := value::float8;
        possible := number BETWEEN low AND high -- NaN is above all
            AND (name <> 'spoofed_prevalence' OR number NOT IN (low, high))
            AND (name !~ '_(days|sources)$' OR number = floor(number));
    EXCEPTION WHEN data_exception THEN -- no number
    END;
    IF NOT possible THEN
        RAISE EXCEPTION 'setting % can not be %, only a % %', name, quote_nullable(value),
            CASE WHEN name ~ '_(days|sources)$' THEN 'whole number' ELSE 'number' END,
            CASE name WHEN 'spoofed_prevalence' THEN 'above 0 and below 1' ELSE format('from %s to %s', low, high) END
            USING ERRCODE = '22023';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION hirundo.setting_possible IS
    'Error, with the range, for a value that a setting of the verdict can not have; else true. A day''s thresholds for '
    'spoofed and genuine never cross, and holders'' votes are kept as long as they may be asked for.';
-- Not a trigger: a cluster would not take it.
ALTER TABLE hirundo.setting ADD CONSTRAINT setting_possible CHECK (hirundo.setting_possible(name, value));

CREATE FUNCTION hirundo.verdict_settings(
    OUT spoofed_prevalence double precision, OUT spoofed_score double precision, OUT genuine_score double precision,
    OUT spoofed_score_alone double precision, OUT spoofed_score_one_region double precision, OUT genuine_score_one_region double precision,
    OUT verdict_full_seconds double precision, OUT verdict_rest_times double precision, OUT hop_history_days int,
    OUT hop_model_retention_days int, OUT verdict_portion_sources int)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(max(value::float8) FILTER (WHERE name = 'spoofed_prevalence'), 0.5),
        coalesce(max(value::float8) FILTER (WHERE name = 'spoofed_score'), -1),
        coalesce(max(value::float8) FILTER (WHERE name = 'genuine_score'), 0.5),
        coalesce(max(value::float8) FILTER (WHERE name = 'spoofed_score_alone'), -2),
        coalesce(max(value::float8) FILTER (WHERE name = 'spoofed_score_one_region'), -2),
        coalesce(max(value::float8) FILTER (WHERE name = 'genuine_score_one_region'), 1),
        coalesce(max(value::float8) FILTER (WHERE name = 'verdict_full_seconds'), 10),
        coalesce(max(value::float8) FILTER (WHERE name = 'verdict_rest_times'), 9),
        coalesce(max(value::float8) FILTER (WHERE name = 'hop_history_days')::int, 3),
        coalesce(max(value::float8) FILTER (WHERE name = 'hop_model_retention_days')::int, 35),
        coalesce(max(value::float8) FILTER (WHERE name = 'verdict_portion_sources')::int, 400000)
    FROM hirundo.setting
    WHERE name IN ('spoofed_prevalence', 'spoofed_score', 'genuine_score', 'spoofed_score_alone',
        'spoofed_score_one_region', 'genuine_score_one_region', 'verdict_full_seconds', 'verdict_rest_times',
        'hop_history_days', 'hop_model_retention_days', 'verdict_portion_sources');
END;
COMMENT ON FUNCTION hirundo.verdict_settings IS
    'The verdict''s settings; one that is not set has its default. spoofed_prevalence: share of sources taken to be spoofed beforehand, above 0 and below '
    '1 (it makes thresholds stricter, never laxer); spoofed_score, genuine_score: thresholds at a prevalence of 0.5, '
    '..._alone where no sender, campaign or random TTL '
    'speaks against a track, ..._one_region where one region saw it; verdict_full_seconds: a day whose last whole pass took longer is judged '
    'in parts (the sources that have new packets), with a whole pass when the parts have read half as much as it did, '
    'and when the day becomes final; verdict_rest_times: so many times as long as it worked the job rests; hop_history_days: earlier days that vote on profiles; '
    'hop_model_retention_days: days that hop_holder and hop_holder_offset are kept; verdict_portion_sources: sources of a '
    'part whose rows are looked up at a time.';

CREATE FUNCTION hirundo.verdict_final_at(p_day date, p_opened_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN greatest((p_day + 1)::timestamp AT TIME ZONE hirundo.reporting_zone(), p_opened_at) + interval '48 hours';
COMMENT ON FUNCTION hirundo.verdict_final_at IS
    'When the verdicts of a day are final: 48 h after its end, or after it was judged first (hop_model.opened_at) '
    'where that is later.';

CREATE FUNCTION hirundo.hop_history(
    p_day date, OUT family smallint, OUT region char(2), OUT holder text, OUT sensor_id int,
    OUT mean double precision, OUT votes double precision)
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH last AS (
        SELECT max(m.day) AS day FROM hirundo.hop_model m
        WHERE m.day BETWEEN p_day - (hirundo.verdict_settings()).hop_history_days AND p_day - 1
    )
    SELECT s.family, NULL::char(2), NULL::text, s.sensor_id, s.mean, s.votes * 0.5::float8 ^ (p_day - s.day)
        FROM hirundo.hop_sensor s JOIN last USING (day) WHERE s.votes > 0
    UNION ALL
    SELECT r.family, r.region, NULL, r.sensor_id, r.mean, r.holders * 0.5::float8 ^ (p_day - r.day)
        FROM hirundo.hop_region r JOIN last USING (day)
    UNION ALL
    SELECT h.family, NULL, h.holder, h.sensor_id,
        sum(h.residual * 0.5::float8 ^ (p_day - h.day)) / sum(0.5::float8 ^ (p_day - h.day)),
        sum(least(h.tracks, 3) * 0.5::float8 ^ (p_day - h.day))
        FROM hirundo.hop_holder h
        WHERE h.day BETWEEN p_day - (hirundo.verdict_settings()).hop_history_days AND p_day - 1
        GROUP BY 1, 3, 4
    UNION ALL
    SELECT o.family, NULL, o.holder, NULL,
        sum(o.hops * 0.5::float8 ^ (p_day - o.day)) / sum(0.5::float8 ^ (p_day - o.day)),
        sum(least(o.tracks, 3) * 0.5::float8 ^ (p_day - o.day))
        FROM hirundo.hop_holder_offset o
        WHERE o.day BETWEEN p_day - (hirundo.verdict_settings()).hop_history_days AND p_day - 1
        GROUP BY 1, 3;
END;
COMMENT ON FUNCTION hirundo.hop_history IS
    'Votes of earlier days on the profiles of a day, each day before worth half of the next: of sensors (no region, no '
    'holder) and regions those of the newest day judged, which hold its own history; of holders (no region) those of '
    'setting hop_history_days days; without a sensor it is the common offset.';

CREATE FUNCTION hirundo.hop_model_retire() RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    DELETE FROM hirundo.hop_holder WHERE day < current_date - (hirundo.verdict_settings()).hop_model_retention_days
        AND day < (SELECT max(day) - (hirundo.verdict_settings()).hop_model_retention_days FROM hirundo.hop_model);
    DELETE FROM hirundo.hop_holder_offset
        WHERE day < current_date - (hirundo.verdict_settings()).hop_model_retention_days
        AND day < (SELECT max(day) - (hirundo.verdict_settings()).hop_model_retention_days FROM hirundo.hop_model);
END;
COMMENT ON FUNCTION hirundo.hop_model_retire IS
    'Deletes what holders taught on days long ago (setting hop_model_retention_days): by far the most rows of a model. '
    'Verdicts and their numbers stay.';

CREATE FUNCTION hirundo.verdict_forget_month(p_month date) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['verdict_due', 'hop_model', 'hop_sensor', 'hop_region', 'hop_holder',
        'hop_holder_offset', 'campaign', 'campaign_cell']
    LOOP
        EXECUTE format('DELETE FROM hirundo.%I WHERE day >= $1 AND day < ($1 + interval ''1 month'')::date', name)
            USING p_month;
    END LOOP;
END
$$;
COMMENT ON FUNCTION hirundo.verdict_forget_month IS
    'Part of drop_rollup_months(): deletes models, campaigns and marks of a month, whose verdicts are dropped.';

-- The verdict in a sentence.

CREATE FUNCTION hirundo.verdict_reason(v hirundo.verdict) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN v.kind = 'bogon' THEN 'The source address is special-purpose: nobody sends from it through the Internet.'
        WHEN v.kind = 'unlisted' THEN 'The source address is allocated to nobody.'
        WHEN v.held THEN format('The path to the whole claimed network %s changed, so the verdict is held (%s); '
            'its TTLs were consistent before.', net, facts)
        WHEN v.verdict = 'genuine' THEN format('TTLs are consistent with the claimed network %s (%s); cannot exclude '
            'spoofing from the same network.', net, facts)
        WHEN v.verdict = 'spoofed' THEN format('TTLs are not consistent with the claimed network %s (%s). Cannot '
            'exclude a proxy, anycast or a route change.', net, facts)
        WHEN v.log_claimed IS NULL THEN format('Not enough is known to compare TTLs with the claimed network %s (%s).',
            net, facts)
        ELSE format('TTLs do not tell whether they come from the claimed network %s (%s).', net, facts) END
    FROM (SELECT coalesce(v.holder, v.src_region, 'of no known holder') AS net,
        concat_ws('; ',
            format('%s, %s packet%s, %s',
                CASE v.regions_seen WHEN 1 THEN 'one region only' ELSE v.regions_seen || ' regions' END, v.packets,
                CASE v.packets WHEN 1 THEN '' ELSE 's' END, v.day),
            CASE WHEN v.worst_sensor IS NOT NULL AND v.kind IN ('fixed', 'split') THEN
                format('%s expected %s hops, saw %s',
                    coalesce((SELECT s.region FROM hirundo.sensor s WHERE s.sensor_id = v.worst_sensor), '??'),
                    round(v.worst_expected::numeric), round(v.worst_hops::numeric)) END,
            CASE v.kind WHEN 'nmap' THEN 'TTL drawn anew for each packet, as Nmap does'
                WHEN 'random' THEN 'TTL changes from packet to packet'
                    || CASE v.verdict WHEN 'spoofed' THEN ', and so it does for other networks with the same tool' ELSE '' END
                WHEN 'split' THEN 'one of several senders: initial TTL ' || v.track END,
            CASE WHEN v.campaign IS NOT NULL THEN
                'same tool and hop counts as many unrelated networks, campaign ' || v.campaign END,
            CASE WHEN v.member > 0.5 AND v.campaign IS NULL THEN 'sent by one machine with other sources' END,
            CASE WHEN v.second_path THEN 'on the path of other sources of the network' END,
            CASE WHEN v.nearest_region IS NOT NULL THEN 'fits ' || v.nearest_region || ' best' END) AS facts) t;
END;
COMMENT ON FUNCTION hirundo.verdict_reason IS 'The reason of a verdict in one sentence, from its numbers.';

REVOKE ALL ON FUNCTION hirundo.verdict_settings, hirundo.verdict_final_at, hirundo.hop_history,
    hirundo.hop_model_retire, hirundo.verdict_forget_month, hirundo.verdict_reason FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.verdict_settings, hirundo.verdict_final_at, hirundo.hop_history,
    hirundo.verdict_reason TO hirundo_ingest, hirundo_analyst;
GRANT EXECUTE ON FUNCTION hirundo.hop_model_retire TO hirundo_ingest;
GRANT SELECT ON hirundo.ttl_day TO hirundo_ingest;
GRANT DELETE ON hirundo.verdict_due TO hirundo_ingest;

GRANT SELECT ON hirundo.hop_model, hirundo.hop_sensor, hirundo.hop_region, hirundo.hop_holder,
    hirundo.hop_holder_offset, hirundo.campaign, hirundo.campaign_cell, hirundo.verdict, hirundo.verdict_history
    TO hirundo_ingest, hirundo_analyst;
GRANT INSERT, UPDATE, DELETE ON hirundo.hop_model, hirundo.hop_sensor, hirundo.hop_region, hirundo.hop_holder,
    hirundo.hop_holder_offset, hirundo.campaign, hirundo.campaign_cell, hirundo.verdict
    TO hirundo_ingest;
GRANT INSERT ON hirundo.verdict_history TO hirundo_ingest;
GRANT SELECT, INSERT, DELETE ON hirundo.verdict_touched TO hirundo_ingest;
GRANT SELECT ON hirundo.verdict_touched TO hirundo_analyst;
GRANT SELECT ON hirundo.verdict_due TO hirundo_analyst;
