-- The verdict on sources, and every number that it was made from. Written by the collector's verdict job
-- (collector/verdict/ computes), one transaction a reporting day. Not of one sensor: keys begin with the day.
-- Units: hops; score and prior in log10; densities in natural logarithms. Profiles of IPv4 and IPv6 are
-- apart (family 4, 6), because their paths are.

INSERT INTO hirundo.setting VALUES
    ('spoofed_prevalence', '0.5'),
    ('spoofed_score', '-1'),
    ('genuine_score', '0.5'),
    ('spoofed_score_one_region', '-1.5'),
    ('genuine_score_one_region', '1'),
    ('hop_history_days', '3'),
    ('hop_model_retention_days', '35');

CREATE TABLE hirundo.hop_model (
    day date PRIMARY KEY,
    computed_at timestamptz NOT NULL,
    final boolean NOT NULL,
    history_days int NOT NULL,
    dataset_ids int[] NOT NULL,
    spoofed_prevalence double precision NOT NULL,
    spoofed_score double precision NOT NULL,
    genuine_score double precision NOT NULL,
    spoofed_score_one_region double precision NOT NULL,
    genuine_score_one_region double precision NOT NULL,
    in_region real NOT NULL,
    in_region_6 real NOT NULL,
    histogram_rows bigint NOT NULL,
    packets bigint NOT NULL,
    sources bigint NOT NULL,
    tracks bigint NOT NULL,
    teachers bigint NOT NULL,
    genuine bigint NOT NULL,
    spoofed bigint NOT NULL,
    undetermined bigint NOT NULL,
    held bigint NOT NULL,
    campaigns int NOT NULL,
    seconds double precision NOT NULL
);
COMMENT ON TABLE hirundo.hop_model IS 'One row for each reporting day that was judged: when, with which settings, and how it came out. A day without a row is not judged yet.';
COMMENT ON COLUMN hirundo.hop_model.day IS 'reporting day (setting reporting_zone)';
COMMENT ON COLUMN hirundo.hop_model.computed_at IS 'time of the snapshot that was judged: all rows of ttl_day committed before are in the verdicts; the as-of of every answer';
COMMENT ON COLUMN hirundo.hop_model.final IS 'whether it was computed 48 h or more after the end of the day: verdicts change no more';
COMMENT ON COLUMN hirundo.hop_model.history_days IS 'days before this one whose profiles were votes (hirundo.hop_history)';
COMMENT ON COLUMN hirundo.hop_model.dataset_ids IS 'data sets that regions and holders of the day''s rows come from (enrichment_dataset)';
COMMENT ON COLUMN hirundo.hop_model.spoofed_prevalence IS 'setting spoofed_prevalence then: share of sources taken to be spoofed before their TTLs are looked at';
COMMENT ON COLUMN hirundo.hop_model.spoofed_score IS 'threshold then, after the prevalence: spoofed at or below';
COMMENT ON COLUMN hirundo.hop_model.genuine_score IS 'threshold then, after the prevalence: genuine at or above';
COMMENT ON COLUMN hirundo.hop_model.spoofed_score_one_region IS 'threshold then, after the prevalence, for what one region saw, without evidence by a campaign';
COMMENT ON COLUMN hirundo.hop_model.genuine_score_one_region IS 'threshold then, after the prevalence, for what one region saw';
COMMENT ON COLUMN hirundo.hop_model.in_region IS 'hops that sources of a sensor''s own region differ by at it, IPv4';
COMMENT ON COLUMN hirundo.hop_model.in_region_6 IS 'the same for IPv6';
COMMENT ON COLUMN hirundo.hop_model.histogram_rows IS 'rows of ttl_day that were judged';
COMMENT ON COLUMN hirundo.hop_model.packets IS 'packets in them';
COMMENT ON COLUMN hirundo.hop_model.sources IS 'distinct sources';
COMMENT ON COLUMN hirundo.hop_model.tracks IS 'tracks: rows in verdict';
COMMENT ON COLUMN hirundo.hop_model.teachers IS 'of them, tracks that the profiles were learned from';
COMMENT ON COLUMN hirundo.hop_model.genuine IS 'tracks called genuine';
COMMENT ON COLUMN hirundo.hop_model.spoofed IS 'tracks called spoofed';
COMMENT ON COLUMN hirundo.hop_model.undetermined IS 'tracks left undetermined';
COMMENT ON COLUMN hirundo.hop_model.held IS 'tracks whose verdict was held, because the path to their whole network changed';
COMMENT ON COLUMN hirundo.hop_model.campaigns IS 'campaigns found';
COMMENT ON COLUMN hirundo.hop_model.seconds IS 'seconds that the run took, reading and writing included';

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
    holder text NOT NULL,
    sensor_id int NOT NULL,
    signature bigint NOT NULL,
    residual real NOT NULL,
    spread real NOT NULL,
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
    holder text NOT NULL,
    signature bigint NOT NULL,
    hops real NOT NULL,
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
COMMENT ON COLUMN hirundo.campaign.campaign IS 'name within the day: family, signature (hexadecimal), initial TTL';
COMMENT ON COLUMN hirundo.campaign.family IS '4 or 6';
COMMENT ON COLUMN hirundo.campaign.first_seen IS 'first packet in its cells, whole seconds';
COMMENT ON COLUMN hirundo.campaign.last_seen IS 'last packet in its cells, whole seconds';
COMMENT ON COLUMN hirundo.campaign.service IS 'service of the signature';
COMMENT ON COLUMN hirundo.campaign.signature IS 'what the packets have in common (hirundo.signature_text)';
COMMENT ON COLUMN hirundo.campaign.initial_ttl IS 'TTL that they started with: 32, 64, 128 or 255';
COMMENT ON COLUMN hirundo.campaign.claimed_sources IS 'source addresses in its cells';
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
    kind text NOT NULL CHECK (kind IN ('fixed', 'split', 'nmap', 'random', 'unlisted', 'bogon')),
    src_region char(2),
    holder text,
    signature bigint NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('genuine', 'spoofed', 'undetermined')),
    score real NOT NULL,
    regions_seen smallint NOT NULL,
    sensors_seen smallint NOT NULL,
    packets bigint NOT NULL,
    log_claimed double precision,
    log_alternative double precision,
    log_second_path double precision,
    prior double precision NOT NULL,
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
);
COMMENT ON TABLE hirundo.verdict IS 'The newest verdict on each source, track and reporting day, with the numbers that it was made from.';
COMMENT ON COLUMN hirundo.verdict.day IS 'reporting day';
COMMENT ON COLUMN hirundo.verdict.src IS 'source address as claimed';
COMMENT ON COLUMN hirundo.verdict.track IS 'one sender behind the address: 0 where all its packets are taken as one sender''s; else (kind split) the initial TTL 32, 64, 128 or 255 of the track''s packets. A source has no track 0 beside others';
COMMENT ON COLUMN hirundo.verdict.kind IS 'fixed: one sender; split: one of several; nmap: TTL drawn from 37 .. 59; random: TTL changes from packet to packet; unlisted: address not allocated; bogon: special-purpose address';
COMMENT ON COLUMN hirundo.verdict.src_region IS 'region that the address claims, NULL where no data set knows it';
COMMENT ON COLUMN hirundo.verdict.holder IS 'holder that it claims; the covering /16 (IPv6: /32) where none is known; NULL without a region';
COMMENT ON COLUMN hirundo.verdict.signature IS 'main signature: most packets, then seen first (whole seconds), then the lowest';
COMMENT ON COLUMN hirundo.verdict.verdict IS 'genuine, spoofed or undetermined, by the score and the thresholds of hop_model';
COMMENT ON COLUMN hirundo.verdict.score IS 'log10 of the likelihood ratio genuine : spoofed, cut to -9 .. 9: (claimed - alternative) / ln 10 + prior, where claimed takes second_path with weight 0.1 when that was looked at; -3 for unlisted and bogon, 0 where nothing can be said';
COMMENT ON COLUMN hirundo.verdict.regions_seen IS 'regions whose sensors saw the track';
COMMENT ON COLUMN hirundo.verdict.sensors_seen IS 'sensors that saw it';
COMMENT ON COLUMN hirundo.verdict.packets IS 'packets of the track';
COMMENT ON COLUMN hirundo.verdict.log_claimed IS 'ln density of its hop counts, coming from the claimed network; NULL where it was not scored';
COMMENT ON COLUMN hirundo.verdict.log_alternative IS 'ln density of its hop counts, coming from anywhere or from a campaign; NULL where it was not scored';
COMMENT ON COLUMN hirundo.verdict.log_second_path IS 'ln density of its hop counts on the paths of other sources of the holder; NULL where that was not looked at (score above the threshold before)';
COMMENT ON COLUMN hirundo.verdict.prior IS 'log10: what campaign and random TTLs add to the score';
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
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (day, src, track, version)
);
COMMENT ON TABLE hirundo.verdict_history IS 'Append-only: a row when the verdict of a track appears, changes or goes away.';
COMMENT ON COLUMN hirundo.verdict_history.day IS 'reporting day';
COMMENT ON COLUMN hirundo.verdict_history.src IS 'source address as claimed';
COMMENT ON COLUMN hirundo.verdict_history.track IS 'track, as in verdict';
COMMENT ON COLUMN hirundo.verdict_history.version IS 'from 1, one more with each change';
COMMENT ON COLUMN hirundo.verdict_history.verdict IS 'verdict from then on; NULL: the track is no more (its packets belong to another track now)';
COMMENT ON COLUMN hirundo.verdict_history.score IS 'its score then';
COMMENT ON COLUMN hirundo.verdict_history.model_at IS 'hop_model.computed_at of the run';
COMMENT ON COLUMN hirundo.verdict_history.computed_at IS 'when it was written';

CREATE FUNCTION hirundo.verdict_reason(v hirundo.verdict) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN (v).kind = 'bogon' THEN
            format('Special-purpose address: nothing on the Internet sends from it (%s). '
                'Cannot exclude a leak of a private network.', n.seen)
        WHEN (v).kind = 'unlisted' THEN
            format('The address is allocated to nobody (%s). Cannot exclude that address data is out of date.', n.seen)
        WHEN (v).verdict = 'spoofed' THEN
            format('TTLs are not consistent with the claimed network %s (%s%s).%s '
                'Cannot exclude a proxy, anycast or a route change.', n.network, n.seen, n.worst, concat(
                    ' Many unrelated networks are claimed with the same tool and hop counts (campaign '
                        || (v).campaign || ').',
                    CASE (v).kind WHEN 'random' THEN ' They change from packet to packet.' END,
                    ' The paths of ' || (v).nearest_region || ' fit best.'))
        WHEN (v).verdict = 'genuine' THEN
            format('TTLs are consistent with the claimed network %s (%s)%s; '
                'cannot exclude spoofing from the same network.', n.network, n.seen,
                CASE WHEN (v).second_path THEN ', by another path of it' ELSE '' END)
        WHEN (v).held THEN
            format('TTLs changed for the whole network %s, most likely because its path did (%s%s): '
                'no verdict until that is learned.', n.network, n.seen, n.worst)
        WHEN (v).log_claimed IS NULL THEN
            format('Nothing is known to compare its TTLs with (%s).', n.seen)
        ELSE
            format('TTLs do not tell whether they come from the claimed network %s (%s%s)%s.', n.network, n.seen,
                n.worst, CASE (v).kind WHEN 'random' THEN '; they change from packet to packet'
                    WHEN 'nmap' THEN '; they are drawn at random, as Nmap does' ELSE '' END)
        END
    FROM (
        SELECT coalesce((v).holder, (v).src_region, 'of ' || host((v).src)) AS network,
            format('%s region%s, %s packet%s, %s', (v).regions_seen, CASE (v).regions_seen WHEN 1 THEN '' ELSE 's' END,
                (v).packets, CASE (v).packets WHEN 1 THEN '' ELSE 's' END, (v).day) AS seen,
            coalesce((
                SELECT format('; %s expected %s hops, saw %s', s.region, round((v).worst_expected),
                    round((v).worst_hops))
                FROM hirundo.sensor s
                WHERE s.sensor_id = (v).worst_sensor
                    AND round((v).worst_expected) <> round((v).worst_hops)), '') AS worst) n;
END;
COMMENT ON FUNCTION hirundo.verdict_reason IS
    'Why a track was called what it was: sentences for people, from the numbers of the row.';

GRANT SELECT ON hirundo.hop_model, hirundo.hop_sensor, hirundo.hop_region, hirundo.hop_holder,
    hirundo.hop_holder_offset, hirundo.campaign, hirundo.campaign_cell, hirundo.verdict, hirundo.verdict_history
    TO hirundo_ingest, hirundo_analyst;
GRANT INSERT, UPDATE, DELETE ON hirundo.hop_model, hirundo.hop_sensor, hirundo.hop_region, hirundo.hop_holder,
    hirundo.hop_holder_offset, hirundo.campaign, hirundo.campaign_cell, hirundo.verdict
    TO hirundo_ingest;
GRANT INSERT ON hirundo.verdict_history TO hirundo_ingest;
REVOKE ALL ON FUNCTION hirundo.verdict_reason FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.verdict_reason TO hirundo_ingest, hirundo_analyst;
