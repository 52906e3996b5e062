-- Rollups: what reports and the verdict read instead of the rows. Exact at every moment for all rows whose
-- marks are gone, after late data and crashes too; 0006_rollup_steps.sql fills them.

-- What a row is. Immutable to the last operator (int || text is not), so that they become part of queries: a call costs
-- more than all that they do.

CREATE FUNCTION hirundo.initial_ttl(ttl int) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN ttl <= 26 THEN 32 WHEN ttl <= 64 THEN 64 WHEN ttl <= 128 THEN 128 WHEN ttl <= 255 THEN 255 END;
COMMENT ON FUNCTION hirundo.initial_ttl IS
    'The initial TTL that a received one comes from most likely: 32, 64, 128 or 255. Border 26: 64 less 38 hops and '
    '32 less 5 are equally rare.';

CREATE FUNCTION hirundo.protocol_name(protocol smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE protocol
    WHEN 0 THEN 'HOPOPT' WHEN 1 THEN 'ICMP' WHEN 2 THEN 'IGMP' WHEN 4 THEN 'IPIP' WHEN 6 THEN 'TCP' WHEN 8 THEN 'EGP'
    WHEN 9 THEN 'IGP' WHEN 17 THEN 'UDP' WHEN 27 THEN 'RDP' WHEN 33 THEN 'DCCP' WHEN 41 THEN 'IPv6' WHEN 46 THEN 'RSVP'
    WHEN 47 THEN 'GRE' WHEN 50 THEN 'ESP' WHEN 51 THEN 'AH' WHEN 58 THEN 'ICMPv6' WHEN 59 THEN 'IPv6-NoNxt'
    WHEN 88 THEN 'EIGRP' WHEN 89 THEN 'OSPF' WHEN 94 THEN 'IPIP-94' WHEN 97 THEN 'EtherIP' WHEN 98 THEN 'ENCAP'
    WHEN 103 THEN 'PIM' WHEN 108 THEN 'IPComp' WHEN 112 THEN 'VRRP' WHEN 115 THEN 'L2TP' WHEN 124 THEN 'ISIS'
    WHEN 132 THEN 'SCTP' WHEN 135 THEN 'Mobility' WHEN 136 THEN 'UDPLite' WHEN 137 THEN 'MPLS' WHEN 139 THEN 'HIP'
    WHEN 140 THEN 'Shim6' ELSE coalesce('protocol-' || protocol::text, 'unknown') END;
COMMENT ON FUNCTION hirundo.protocol_name IS
    'Name of an IP protocol (IANA), protocol-N where it has none here; unknown for NULL.';

CREATE FUNCTION hirundo.service(protocol smallint, dst_port int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE protocol WHEN 6 THEN coalesce(dst_port::text || '/TCP', 'TCP/frag')
    WHEN 17 THEN coalesce(dst_port::text || '/UDP', 'UDP/frag') ELSE hirundo.protocol_name(protocol) END;
COMMENT ON FUNCTION hirundo.service IS
    'Service of a row: TCP and UDP by destination port (23/TCP), without one TCP/frag and UDP/frag, else the '
    'protocol''s name.';

CREATE FUNCTION hirundo.ack_kind(tcp_flags smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN tcp_flags & 16 <> 0 THEN
    CASE WHEN tcp_flags & 4 <> 0 THEN 'rstack' WHEN tcp_flags & 2 <> 0 THEN 'synack' ELSE 'ack' END END;
COMMENT ON FUNCTION hirundo.ack_kind IS
    'What a TCP segment with ACK is: rstack (RST is set), synack (SYN, no RST) or ack; NULL without ACK.';

CREATE FUNCTION hirundo.signature(
    protocol smallint, tcp_flags smallint, tcp_header_length smallint, dst_port int, tcp_window int, icmp_type smallint,
    traits int) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN protocol IN (1, 58) THEN coalesce(icmp_type::int, 0)
        WHEN protocol IN (6, 17) AND traits & 31744 = 0 THEN coalesce(dst_port, 0) ELSE 0 END::bigint
    | CASE WHEN protocol = 6 AND traits & 31744 = 0 THEN
        (CASE tcp_window WHEN 0 THEN 0 WHEN 512 THEN 1 WHEN 1024 THEN 2 WHEN 64240 THEN 3 WHEN 65535 THEN 4
            ELSE CASE WHEN tcp_window IS NULL THEN 7 ELSE 5 END END << 16)
            | (coalesce(tcp_header_length, 0) / 4 << 20)
        ELSE 7 << 16 END::bigint
    | (coalesce(tcp_flags, 0)::bigint << 24)
    | (coalesce(protocol, 255)::bigint << 32)
    | CASE WHEN traits & 31744 <> 0 THEN 1::bigint << 40
        WHEN protocol IN (6, 17) AND dst_port IS NULL THEN 1::bigint << 41 ELSE 0 END;
COMMENT ON FUNCTION hirundo.signature IS
    'What packets of one tool have in common. Bits from the low end: 0-15 destination port (ICMP: type), 16-18 TCP '
    'window (0: 0, 1: 512, 2: 1024, 3: 64240, 4: 65535, 5: another, 7: none), 20-23 TCP header length / 4, 24-31 TCP '
    'flags, 32-39 protocol, 40 response, 41 TCP or UDP probe without a known port. Of a response port, window and '
    'header length are left out.';

CREATE FUNCTION hirundo.signature_text(signature bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN concat_ws(' ',
    CASE WHEN (signature >> 40) & 1 = 1 THEN hirundo.protocol_name((signature >> 32 & 255)::smallint) || ' response'
        ELSE hirundo.service((signature >> 32 & 255)::smallint,
            CASE WHEN (signature >> 41) & 1 = 0 THEN (signature & 65535)::int END) END,
    CASE WHEN (signature >> 32) & 255 IN (1, 58) THEN 'type ' || (signature & 65535) END,
    CASE WHEN (signature >> 32) & 255 = 6 THEN 'flags ' || coalesce(nullif(concat(
        CASE WHEN signature >> 24 & 1 = 1 THEN 'F' END, CASE WHEN signature >> 25 & 1 = 1 THEN 'S' END,
        CASE WHEN signature >> 26 & 1 = 1 THEN 'R' END, CASE WHEN signature >> 27 & 1 = 1 THEN 'P' END,
        CASE WHEN signature >> 28 & 1 = 1 THEN 'A' END, CASE WHEN signature >> 29 & 1 = 1 THEN 'U' END,
        CASE WHEN signature >> 30 & 1 = 1 THEN 'E' END, CASE WHEN signature >> 31 & 1 = 1 THEN 'C' END), ''), 'none')
        END,
    'window ' || CASE signature >> 16 & 7 WHEN 0 THEN '0' WHEN 1 THEN '512' WHEN 2 THEN '1024' WHEN 3 THEN '64240'
        WHEN 4 THEN '65535' WHEN 5 THEN 'other' END,
    'header ' || nullif(signature >> 20 & 15, 0) * 4);
COMMENT ON FUNCTION hirundo.signature_text IS 'hirundo.signature() for people.';

-- In which order rows go into a rollup: nearly that of its index, so that neighbours go to the same pages. Numbers are
-- sorted several times faster than what they stand for.

CREATE FUNCTION hirundo.rollup_source_order(sensor_id int, src inet) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (sensor_id::bigint << 32) + CASE family(src) WHEN 4 THEN src - inet '0.0.0.0' ELSE 0 END;
COMMENT ON FUNCTION hirundo.rollup_source_order IS 'Orders by sensor and IPv4 address; all of IPv6 is equal.';

CREATE FUNCTION hirundo.rollup_service_order(sensor_id int, protocol smallint, dst_port int) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (sensor_id::bigint << 32) + (CASE WHEN dst_port > 9999 THEN dst_port * 8 + 5
    WHEN dst_port > 999 THEN dst_port * 80 + 4 WHEN dst_port > 99 THEN dst_port * 800 + 3
    WHEN dst_port > 9 THEN dst_port * 8000 + 2 ELSE coalesce(dst_port * 80000 + 1, 1048576) END << 8)
    + coalesce(protocol, 255);
COMMENT ON FUNCTION hirundo.rollup_service_order IS
    'Orders by sensor and service() of TCP and UDP, as texts are: 1, 10, 11, 2 (digits to the left, then how many).';

CREATE FUNCTION hirundo.service_number(service text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE right(service, 4) WHEN '/TCP' THEN left(service, -4)::int WHEN '/UDP' THEN 65536 + left(service, -4)::int
    ELSE 131072 + CASE service
        WHEN 'ICMP' THEN 1 WHEN 'GRE' THEN 47 WHEN 'ICMPv6' THEN 58 WHEN 'TCP/frag' THEN 6 WHEN 'UDP/frag' THEN 17
        WHEN 'HOPOPT' THEN 0 WHEN 'IGMP' THEN 2 WHEN 'IPIP' THEN 4 WHEN 'EGP' THEN 8 WHEN 'IGP' THEN 9
        WHEN 'RDP' THEN 27 WHEN 'DCCP' THEN 33 WHEN 'IPv6' THEN 41 WHEN 'RSVP' THEN 46 WHEN 'ESP' THEN 50 WHEN 'AH' THEN 51
        WHEN 'IPv6-NoNxt' THEN 59 WHEN 'EIGRP' THEN 88 WHEN 'OSPF' THEN 89 WHEN 'IPIP-94' THEN 94 WHEN 'EtherIP' THEN 97
        WHEN 'ENCAP' THEN 98 WHEN 'PIM' THEN 103 WHEN 'IPComp' THEN 108 WHEN 'VRRP' THEN 112 WHEN 'L2TP' THEN 115
        WHEN 'ISIS' THEN 124 WHEN 'SCTP' THEN 132 WHEN 'Mobility' THEN 135 WHEN 'UDPLite' THEN 136 WHEN 'MPLS' THEN 137
        WHEN 'HIP' THEN 139 WHEN 'Shim6' THEN 140 WHEN 'unknown' THEN 256
        ELSE CASE left(service, 9) WHEN 'protocol-' THEN substr(service, 10)::int END END END;
COMMENT ON FUNCTION hirundo.service_number IS
    'A number for a service, below 2^18: TCP by port, UDP 65536 and the port, others 131072 and the protocol (unknown: '
    '256). numbered_service() is the way back. NULL: no name that hirundo.service() gives.';

CREATE FUNCTION hirundo.numbered_service(number bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN number < 65536 THEN hirundo.service(6::smallint, number::int)
    WHEN number < 131072 THEN hirundo.service(17::smallint, (number - 65536)::int)
    ELSE hirundo.service(nullif(number - 131072, 256)::smallint, NULL) END;
COMMENT ON FUNCTION hirundo.numbered_service IS 'The service of a service_number().';

CREATE FUNCTION hirundo.source_cell(src inet, src_region char(2), service text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN family(src) = 4 AND (src_region IS NULL
        OR (ascii(src_region) BETWEEN 65 AND 90 AND ascii(substr(src_region, 2)) BETWEEN 65 AND 90)) THEN
    (((coalesce(ascii(src_region) * 26 + ascii(substr(src_region, 2)) - 1755, 675)::bigint << 32)
        | (src - inet '0.0.0.0')) << 20) | hirundo.service_number(service) END;
COMMENT ON FUNCTION hirundo.source_cell IS
    'Source, its region and a service in one number, because numbers are sorted many times faster than texts. Bits from '
    'the low end: 0-19 service_number(), 20-51 IPv4 address, 52-61 region (AA: 0, AB: 1, ..., ZZ, not known: 675). '
    'NULL: IPv6, no source, or what has no such number.';

-- Days.

CREATE FUNCTION hirundo.reporting_zone() RETURNS text
LANGUAGE plpgsql STABLE -- not in SQL: that would be planned at each call
AS $$
BEGIN
    RETURN (SELECT s.value FROM hirundo.setting s WHERE s.name = 'reporting_zone');
END
$$;
COMMENT ON FUNCTION hirundo.reporting_zone IS 'Time zone of reporting days (setting reporting_zone).';

CREATE FUNCTION hirundo.check_zone() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted text := (SELECT value FROM hirundo.setting WHERE name = 'rollup_zone');
BEGIN
    IF counted <> hirundo.reporting_zone() THEN
        RAISE EXCEPTION 'the rollups are of days in %, setting reporting_zone is %', counted, hirundo.reporting_zone()
            USING ERRCODE = '55000', HINT = 'Set it back, or run hirundo-admin db zone.';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.check_zone IS
    'Error where setting reporting_zone was changed behind rollups that are there: days of two zones would mix.';

-- Tables.

CREATE TABLE hirundo.ttl_day (
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    packets bigint NOT NULL,
    signature bigint NOT NULL,
    src_asn bigint,
    sensor_id int NOT NULL,
    day date NOT NULL,
    dataset_id int,
    organization_id int,
    ttl smallint NOT NULL,
    src inet NOT NULL,
    src_region char(2),
    holder text,
    PRIMARY KEY (sensor_id, day, src, signature, ttl)
) PARTITION BY RANGE (day);
CREATE INDEX ttl_day_day ON hirundo.ttl_day USING brin (day) WITH (autosummarize = on); -- the verdict reads whole days
CREATE INDEX ttl_day_src ON hirundo.ttl_day (day, src); -- and between them the sources that changed
COMMENT ON TABLE hirundo.ttl_day IS 'Rollup for the verdict: TTLs of each source at each sensor on each reporting day. Partitioned by month. Rows without a source (trait land) are left out.';
COMMENT ON COLUMN hirundo.ttl_day.first_at IS 'time of the first packet';
COMMENT ON COLUMN hirundo.ttl_day.last_at IS 'time of the last packet';
COMMENT ON COLUMN hirundo.ttl_day.packets IS 'packets, exact';
COMMENT ON COLUMN hirundo.ttl_day.signature IS 'what packets of one tool have in common: hirundo.signature()';
COMMENT ON COLUMN hirundo.ttl_day.src_asn IS 'observation.src_asn; where new address data changed it within the day, the greater';
COMMENT ON COLUMN hirundo.ttl_day.sensor_id IS 'sensor that saw them';
COMMENT ON COLUMN hirundo.ttl_day.day IS 'reporting day (setting reporting_zone) of observed_at';
COMMENT ON COLUMN hirundo.ttl_day.dataset_id IS 'state of the address data that holder comes from; NULL = none loaded';
COMMENT ON COLUMN hirundo.ttl_day.organization_id IS 'organization that held the address when it was rolled up (organization); once known it stays; NULL: not known';
COMMENT ON COLUMN hirundo.ttl_day.ttl IS 'time to live, IPv6 hop limit, as received';
COMMENT ON COLUMN hirundo.ttl_day.src IS 'source address';
COMMENT ON COLUMN hirundo.ttl_day.src_region IS 'observation.src_region, or where it is NULL, what was known when it was rolled up; where new address data changed it within the day, the greater';
COMMENT ON COLUMN hirundo.ttl_day.holder IS 'who held the address when it was rolled up: hirundo.address_info()';

CREATE TABLE hirundo.source_day (
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    packets bigint NOT NULL,
    src_asn bigint,
    cell bigint GENERATED ALWAYS AS (CASE WHEN coalesce(src_asn, 0) <= 4290000000 THEN
        hirundo.source_cell(src, src_region, service) END) STORED,
    sensor_id int NOT NULL,
    day date NOT NULL,
    organization_id int,
    traits int NOT NULL,
    initial_ttl smallint,
    src inet,
    src_region char(2),
    service text COLLATE "C" NOT NULL, -- names in ASCII: compared fast
    ack_kind text COLLATE "C",
    UNIQUE NULLS NOT DISTINCT (sensor_id, day, service, src, traits, initial_ttl, ack_kind)
) PARTITION BY RANGE (day);
CREATE INDEX source_day_src ON hirundo.source_day (src); -- since when sources are known
CREATE INDEX source_day_no_cell ON hirundo.source_day (day) WHERE cell IS NULL; -- what is counted apart
COMMENT ON TABLE hirundo.source_day IS 'Rollup of sources: what each sent to each service of each sensor on each reporting day. Its packets are those of observation. Partitioned by month.';
COMMENT ON COLUMN hirundo.source_day.first_at IS 'time of the first packet';
COMMENT ON COLUMN hirundo.source_day.last_at IS 'time of the last packet';
COMMENT ON COLUMN hirundo.source_day.packets IS 'packets, exact';
COMMENT ON COLUMN hirundo.source_day.src_asn IS 'observation.src_asn; where new address data changed it within the day, the greater';
COMMENT ON COLUMN hirundo.source_day.cell IS 'hirundo.source_cell(): what hosts are counted by; NULL for IPv6, and for the last five million ASNs, which are private';
COMMENT ON COLUMN hirundo.source_day.sensor_id IS 'sensor that saw them';
COMMENT ON COLUMN hirundo.source_day.day IS 'reporting day (setting reporting_zone) of observed_at';
COMMENT ON COLUMN hirundo.source_day.organization_id IS 'organization that held the address when it was rolled up (organization); once known it stays; NULL: not known';
COMMENT ON COLUMN hirundo.source_day.traits IS 'observation.traits; hirundo.role() tells response from probe';
COMMENT ON COLUMN hirundo.source_day.initial_ttl IS 'hirundo.initial_ttl() of the TTL: with it the verdict''s track; NULL where the TTL is';
COMMENT ON COLUMN hirundo.source_day.src IS 'source address; NULL where it was the sensor''s own (trait land)';
COMMENT ON COLUMN hirundo.source_day.src_region IS 'observation.src_region; where new address data changed it within the day, the greater';
COMMENT ON COLUMN hirundo.source_day.service IS 'service: hirundo.service()';
COMMENT ON COLUMN hirundo.source_day.ack_kind IS 'hirundo.ack_kind() of the TCP flags; NULL without ACK';

CREATE TABLE hirundo.service_day (
    packets bigint NOT NULL,
    sensor_id int NOT NULL,
    day date NOT NULL,
    service text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL CHECK (role IN ('probe', 'response')),
    PRIMARY KEY (sensor_id, day, service, role)
) PARTITION BY RANGE (day);
COMMENT ON TABLE hirundo.service_day IS 'Rollup of services: source_day added up over its sources, so that what counts packets alone need not read them. Partitioned by month.';
COMMENT ON COLUMN hirundo.service_day.packets IS 'packets, exact';
COMMENT ON COLUMN hirundo.service_day.sensor_id IS 'sensor that saw them';
COMMENT ON COLUMN hirundo.service_day.day IS 'reporting day (setting reporting_zone) of observed_at';
COMMENT ON COLUMN hirundo.service_day.service IS 'service: hirundo.service()';
COMMENT ON COLUMN hirundo.service_day.role IS 'probe or response: hirundo.role()';

CREATE TABLE hirundo.role_day (
    packets bigint NOT NULL,
    sensor_id int NOT NULL,
    day date NOT NULL,
    role text COLLATE "C" NOT NULL CHECK (role IN ('probe', 'response')),
    ports boolean NOT NULL,
    PRIMARY KEY (sensor_id, day, role, ports)
);
COMMENT ON TABLE hirundo.role_day IS 'Rollup of roles: service_day added up over its services, so that means of every packet read a few rows a day.';
COMMENT ON COLUMN hirundo.role_day.packets IS 'packets, exact';
COMMENT ON COLUMN hirundo.role_day.sensor_id IS 'sensor that saw them';
COMMENT ON COLUMN hirundo.role_day.day IS 'reporting day';
COMMENT ON COLUMN hirundo.role_day.role IS 'probe or response: hirundo.role()';
COMMENT ON COLUMN hirundo.role_day.ports IS 'whether their services have a port (ports_only)';

CREATE TABLE hirundo.coverage (
    sensor_id int NOT NULL,
    bucket timestamptz NOT NULL,
    packets bigint NOT NULL,
    lost bigint NOT NULL,
    seconds double precision NOT NULL CHECK (seconds BETWEEN 0 AND 900),
    PRIMARY KEY (sensor_id, bucket)
);
COMMENT ON TABLE hirundo.coverage IS 'Rollup of 15 minutes: how long a sensor really listened, what it got and lost. No row, or 0 seconds: it did not listen.';
COMMENT ON COLUMN hirundo.coverage.sensor_id IS 'the sensor';
COMMENT ON COLUMN hirundo.coverage.bucket IS 'start of the 15 minutes, UTC';
COMMENT ON COLUMN hirundo.coverage.packets IS 'packets stored in observation, exact';
COMMENT ON COLUMN hirundo.coverage.lost IS 'packets dropped by kernel and interface (by STATUS records) and lost from the spool (by LOSS records); a record that spans several buckets is spread evenly';
COMMENT ON COLUMN hirundo.coverage.seconds IS 'seconds covered by STATUS records; overlaps count once. One that claims over 400 days covers nothing';

CREATE TABLE hirundo.coverage_day (
    sensor_id int NOT NULL,
    day date NOT NULL,
    packets bigint NOT NULL,
    lost bigint NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (sensor_id, day)
);
COMMENT ON TABLE hirundo.coverage_day IS 'Rollup of coverage: its 15 minutes added up by the reporting day that they begin in.';
COMMENT ON COLUMN hirundo.coverage_day.sensor_id IS 'the sensor';
COMMENT ON COLUMN hirundo.coverage_day.day IS 'reporting day';
COMMENT ON COLUMN hirundo.coverage_day.packets IS 'packets stored in observation, exact';
COMMENT ON COLUMN hirundo.coverage_day.lost IS 'packets lost, as in coverage';
COMMENT ON COLUMN hirundo.coverage_day.seconds IS 'seconds listened, as in coverage';

CREATE TABLE hirundo.coverage_step (
    sensor_id int NOT NULL,
    unit text NOT NULL CHECK (unit IN ('week', 'month')),
    day date NOT NULL,
    packets bigint NOT NULL,
    lost bigint NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (sensor_id, unit, day)
);
COMMENT ON TABLE hirundo.coverage_step IS 'coverage_day added up by week and month.';
COMMENT ON COLUMN hirundo.coverage_step.sensor_id IS 'the sensor';
COMMENT ON COLUMN hirundo.coverage_step.unit IS 'week (from Monday) or month';
COMMENT ON COLUMN hirundo.coverage_step.day IS 'first reporting day of the week or month';
COMMENT ON COLUMN hirundo.coverage_step.packets IS 'packets stored in observation, exact';
COMMENT ON COLUMN hirundo.coverage_step.lost IS 'packets lost, as in coverage';
COMMENT ON COLUMN hirundo.coverage_step.seconds IS 'seconds listened, as in coverage';
CREATE TABLE hirundo.verdict_due (
    day date NOT NULL,
    rollup bigint NOT NULL,
    sources inet[],
    PRIMARY KEY (day, rollup)
);
ALTER TABLE hirundo.verdict_due ALTER COLUMN sources SET STORAGE EXTERNAL; -- gone in minutes: not worth compressing
COMMENT ON TABLE hirundo.verdict_due IS 'Reporting days whose ttl_day changed since they were judged; append-only, deleted by the judgement that saw them, of a final day by the note of it (hop_model.late_at).';
COMMENT ON COLUMN hirundo.verdict_due.day IS 'reporting day';
COMMENT ON COLUMN hirundo.verdict_due.rollup IS 'random number of the rollup''s step';
COMMENT ON COLUMN hirundo.verdict_due.sources IS 'sources whose rows of ttl_day the step added or changed; NULL: those of any source may have changed or gone';

CREATE TABLE hirundo.rollup_gap (
    sensor_id int NOT NULL,
    day date NOT NULL,
    rows bigint NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, day)
);
COMMENT ON TABLE hirundo.rollup_gap IS 'Rows that could not be rolled up: which of a day''s rows were new could not be told, and raw rows of that day were dropped before.';
COMMENT ON COLUMN hirundo.rollup_gap.sensor_id IS 'sensor whose rows they are';
COMMENT ON COLUMN hirundo.rollup_gap.day IS 'reporting day of their 15 minutes';
COMMENT ON COLUMN hirundo.rollup_gap.rows IS 'rows of observation that are in no rollup';
COMMENT ON COLUMN hirundo.rollup_gap.noted_at IS 'when it was found last';

CREATE TABLE hirundo.rollup_dropped (
    month date PRIMARY KEY,
    dropped_at timestamptz NOT NULL
);
COMMENT ON TABLE hirundo.rollup_dropped IS 'Months of ttl_day, source_day, service_day and verdicts that were dropped: what may be there again since then, of late data, is not all of them.';
COMMENT ON COLUMN hirundo.rollup_dropped.month IS 'first day of the month';
COMMENT ON COLUMN hirundo.rollup_dropped.dropped_at IS 'when it was dropped last';

CREATE TABLE hirundo.dataset_day (
    sensor_id int NOT NULL,
    day date NOT NULL,
    dataset_id int NOT NULL,
    PRIMARY KEY (sensor_id, day, dataset_id)
);
-- Which states a period has is asked by each report.
CREATE INDEX dataset_day_dataset ON hirundo.dataset_day (dataset_id, day, sensor_id);
COMMENT ON TABLE hirundo.dataset_day IS 'Rollup of address data: states of it that the regions and ASNs of a day''s rows come from (ingest_batch.dataset_id).';
COMMENT ON COLUMN hirundo.dataset_day.sensor_id IS 'sensor that saw them';
COMMENT ON COLUMN hirundo.dataset_day.day IS 'reporting day (setting reporting_zone)';
COMMENT ON COLUMN hirundo.dataset_day.dataset_id IS 'state of the address data: enrichment_dataset';

CREATE TABLE hirundo.answer_mark (
    mark bigint PRIMARY KEY,
    days daterange NOT NULL
);
COMMENT ON TABLE hirundo.answer_mark IS 'Reporting days whose rollups changed; append-only, deleted together with the stored answers that depend on them (stored_answer). While it is there, these are not given.';
COMMENT ON COLUMN hirundo.answer_mark.mark IS 'random number of the change';
COMMENT ON COLUMN hirundo.answer_mark.days IS 'days that may have changed';

CREATE FUNCTION hirundo.monthly_tables() RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN ARRAY['ttl_day', 'source_day', 'service_day', 'verdict', 'verdict_history'];
COMMENT ON FUNCTION hirundo.monthly_tables IS
    'Tables partitioned by month: partitions of a month are made and dropped together.';

CREATE FUNCTION hirundo.ensure_rollup_month(p_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month date := date_trunc('month', p_day::timestamp)::date;
    parent text;
    partition text;
BEGIN
    IF p_day IS NULL OR p_day NOT BETWEEN '1969-12-31' AND '2201-01-01' THEN
        RAISE EXCEPTION 'day % is out of range', p_day USING ERRCODE = '22008';
    END IF;
    FOREACH parent IN ARRAY hirundo.monthly_tables() LOOP
        partition := parent || to_char(month, '_YYYYMM');
        -- to_regclass sees what others committed, whatever our snapshot.
        IF to_regclass('hirundo.' || partition) IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext('hirundo.rollup_month'));
            BEGIN
                EXECUTE format('CREATE TABLE hirundo.%I (LIKE hirundo.%I INCLUDING CONSTRAINTS INCLUDING GENERATED)',
                    partition, parent);
                EXECUTE format('ALTER TABLE hirundo.%I ATTACH PARTITION hirundo.%I FOR VALUES FROM (%L) TO (%L)',
                    parent, partition, to_char(month, 'YYYY-MM-DD'),
                    to_char(month + interval '1 month', 'YYYY-MM-DD'));
                -- Most rows are changed again within the day: new versions fit in beside the old ones, no index has to
                -- be told.
                IF parent IN ('ttl_day', 'source_day', 'service_day') THEN
                    EXECUTE format('ALTER TABLE hirundo.%I SET (fillfactor = 80)', partition);
                END IF;
            EXCEPTION WHEN duplicate_table THEN
                NULL; -- another step made it while we waited
            END;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION hirundo.ensure_rollup_month IS
    'Makes the partitions of the month of a day (1970 to 2200), of rollups and verdicts, where they are missing.';

GRANT SELECT ON hirundo.ttl_day, hirundo.source_day, hirundo.service_day, hirundo.role_day, hirundo.coverage,
    hirundo.coverage_day, hirundo.coverage_step, hirundo.verdict_due, hirundo.rollup_gap, hirundo.rollup_dropped,
    hirundo.dataset_day TO hirundo_ingest, hirundo_analyst;
REVOKE ALL ON FUNCTION hirundo.initial_ttl, hirundo.protocol_name, hirundo.service, hirundo.ack_kind,
    hirundo.service_number, hirundo.numbered_service, hirundo.source_cell, hirundo.signature, hirundo.signature_text,
    hirundo.reporting_zone, hirundo.check_zone, hirundo.monthly_tables, hirundo.rollup_source_order,
    hirundo.rollup_service_order, hirundo.ensure_rollup_month FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.initial_ttl, hirundo.protocol_name, hirundo.service, hirundo.ack_kind,
    hirundo.service_number, hirundo.numbered_service, hirundo.source_cell, hirundo.signature, hirundo.signature_text,
    hirundo.reporting_zone TO hirundo_ingest, hirundo_analyst;
