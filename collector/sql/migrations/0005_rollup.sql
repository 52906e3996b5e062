-- Rollups: what reports and the verdict read instead of the rows. Exact at every moment for all rows whose
-- marks are gone, after late data and crashes too.
--
-- How: ingest writes a mark (dirty_mark) with the rows, in their transaction. A step of the rollup is one
-- REPEATABLE READ transaction: it deletes marks of its snapshot, reads the rows that they stand for and adds
-- them up. Mark and rows have the same xmin, so the new rows are found among others of the same time; that
-- their number is the marks' is checked, sensor by sensor. Where it is not (a database restored from a dump has
-- other xmins), the sensor's reporting day is counted anew. Two steps at once can only meet in the same marks or the
-- same rows of a rollup: one of them ends with SQLSTATE 40001 and is tried again.

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

-- The steps. Not for others: they trust their arguments.

CREATE FUNCTION hirundo.mark_answers(p_days daterange) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO hirundo.answer_mark (mark, days) VALUES (hashtextextended(gen_random_uuid()::text, 0), p_days);
END;
COMMENT ON FUNCTION hirundo.mark_answers IS
    'Notes that rollups of these days change. In the transaction that changes them, whatever the days: which months are '
    'closed when it commits, it can not know.';

CREATE FUNCTION hirundo.rollup_merge(
    p_sensors int[], p_spans tstzmultirange, p_xmins xid[], p_first_day date, p_last_day date, p_expected bigint[])
RETURNS TABLE (sensor_id int, rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off
SET plan_cache_mode = force_custom_plan -- only an array that is known is searched by hash
SET enable_nestloop = off SET enable_mergejoin = off SET enable_sort = off
-- The planner can not know how many rows there are, takes them for few, and would sort and loop: hashes are faster.
AS $$
#variable_conflict use_column
DECLARE
    zone text := hirundo.reporting_zone();
    first timestamptz := lower(p_spans);
    last timestamptz := upper(p_spans);
    month timestamp;
BEGIN
    FOR month IN
        SELECT DISTINCT date_trunc('month', d)
        FROM unnest(p_spans) AS s,
            generate_series(date_trunc('month', lower(s) AT TIME ZONE zone), upper(s) AT TIME ZONE zone, '1 month') AS d
    LOOP
        PERFORM hirundo.ensure_rollup_month(month::date);
    END LOOP;
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT o.sensor_id, (o.observed_at AT TIME ZONE zone)::date AS day, o.observed_at, o.last_at, o.src, o.packets,
            o.ttl, o.traits, o.protocol, o.dst_port, o.tcp_flags, o.tcp_header_length, o.tcp_window, o.icmp_type,
            o.src_region, o.src_asn
        FROM unnest(p_spans) AS s
        CROSS JOIN LATERAL (
            -- OFFSET 0: by the index, span by span. The bounds of all spans pick the partitions.
            SELECT r.sensor_id, r.observed_at, coalesce(r.last_at, r.observed_at) AS last_at, r.src, r.packets, r.ttl,
                r.traits, r.protocol, r.dst_port, r.tcp_flags, r.tcp_header_length, r.tcp_window, r.icmp_type,
                r.src_region, r.src_asn
            FROM hirundo.observation r
            WHERE r.observed_at >= first AND r.observed_at <= last
                AND r.observed_at >= lower(s) AND r.observed_at <= upper(s)
                AND r.sensor_id = ANY (p_sensors) AND (p_xmins IS NULL OR r.xmin = ANY (p_xmins))
            OFFSET 0) AS o
    ), total AS MATERIALIZED (
        SELECT f.sensor_id, count(*) AS rows FROM fresh f GROUP BY 1
    ), fit AS MATERIALIZED (
        SELECT p_expected IS NULL OR NOT EXISTS (
            SELECT FROM unnest(p_sensors, p_expected) AS e (sensor_id, rows) FULL JOIN total n USING (sensor_id)
            WHERE coalesce(e.rows, 0) <> coalesce(n.rows, 0)) AS all_do
    ), cell AS MATERIALIZED (
        SELECT f.sensor_id, f.day, f.src, hirundo.signature(f.protocol, f.tcp_flags, f.tcp_header_length, f.dst_port,
                f.tcp_window, f.icmp_type, f.traits) AS signature, f.ttl,
            sum(f.packets) AS packets, min(f.observed_at) AS first_at, max(f.last_at) AS last_at,
            max(f.src_region) AS src_region, max(f.src_asn) AS src_asn
        FROM fresh f
        WHERE f.src IS NOT NULL AND f.ttl IS NOT NULL
            AND (p_first_day IS NULL OR f.day BETWEEN p_first_day AND p_last_day) AND (SELECT all_do FROM fit)
        GROUP BY 1, 2, 3, 4, 5
    ), counted AS MATERIALIZED (
        SELECT g.sensor_id, g.day, hirundo.service(g.protocol, g.dst_port) AS service,
            hirundo.rollup_service_order(g.sensor_id, g.protocol, g.dst_port) AS service_order, g.src, g.traits,
            g.initial_ttl, g.ack_kind, g.packets, g.first_at, g.last_at, g.src_region, g.src_asn
        FROM (
            SELECT f.sensor_id, f.day, f.src, f.protocol,
                CASE WHEN f.protocol IN (6, 17) THEN f.dst_port END AS dst_port, f.traits,
                hirundo.initial_ttl(f.ttl) AS initial_ttl,
                CASE WHEN f.protocol = 6 THEN hirundo.ack_kind(f.tcp_flags) END AS ack_kind,
                sum(f.packets) AS packets, min(f.observed_at) AS first_at, max(f.last_at) AS last_at,
                max(f.src_region) AS src_region, max(f.src_asn) AS src_asn
            FROM fresh f
            WHERE (p_first_day IS NULL OR f.day BETWEEN p_first_day AND p_last_day) AND (SELECT all_do FROM fit)
            GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) AS g
    ), place AS MATERIALIZED (
        -- Each source once, whatever it sent and to whom; in the order of the ranges that they are looked up in.
        SELECT s.src, i.region, i.holder, i.dataset_id, h.organization_id
        FROM (
            SELECT c.src FROM (SELECT DISTINCT d.src FROM counted d OFFSET 0) AS c WHERE c.src IS NOT NULL
            ORDER BY hirundo.rollup_source_order(0, c.src), c.src) AS s
        CROSS JOIN LATERAL hirundo.address_info(s.src) AS i
        CROSS JOIN LATERAL hirundo.organization_of(s.src) AS h
    ), ttls AS (
        -- In the order of the index, here and below: that is half the work.
        INSERT INTO hirundo.ttl_day AS t (sensor_id, day, src, signature, ttl, packets, first_at, last_at, src_region,
            src_asn, holder, dataset_id, organization_id)
        SELECT c.sensor_id, c.day, c.src, c.signature, c.ttl, c.packets, c.first_at, c.last_at,
            coalesce(c.src_region, p.region), c.src_asn, p.holder, p.dataset_id, p.organization_id
        FROM cell c JOIN place p USING (src)
        ORDER BY hirundo.rollup_source_order(c.sensor_id, c.src), c.src
        ON CONFLICT (sensor_id, day, src, signature, ttl) DO UPDATE
        SET packets = t.packets + excluded.packets, first_at = least(t.first_at, excluded.first_at),
            last_at = greatest(t.last_at, excluded.last_at), src_region = greatest(t.src_region, excluded.src_region),
            src_asn = greatest(t.src_asn, excluded.src_asn), holder = excluded.holder, dataset_id = excluded.dataset_id,
            organization_id = coalesce(t.organization_id, excluded.organization_id)
    ), sources AS (
        INSERT INTO hirundo.source_day AS t (sensor_id, day, service, src, traits, initial_ttl, ack_kind, packets,
            first_at, last_at, src_region, src_asn, organization_id)
        SELECT c.sensor_id, c.day, c.service, c.src, c.traits, c.initial_ttl, c.ack_kind, c.packets, c.first_at,
            c.last_at, c.src_region, c.src_asn, p.organization_id
        FROM counted c LEFT JOIN place p USING (src)
        ORDER BY c.service_order, hirundo.rollup_source_order(0, c.src)
        ON CONFLICT (sensor_id, day, service, src, traits, initial_ttl, ack_kind) DO UPDATE
        SET packets = t.packets + excluded.packets, first_at = least(t.first_at, excluded.first_at),
            last_at = greatest(t.last_at, excluded.last_at), src_region = greatest(t.src_region, excluded.src_region),
            src_asn = greatest(t.src_asn, excluded.src_asn),
            organization_id = coalesce(t.organization_id, excluded.organization_id)
    ), services AS (
        INSERT INTO hirundo.service_day AS t (sensor_id, day, service, role, packets)
        SELECT g.sensor_id, g.day, g.service, g.role, g.packets FROM (
            SELECT c.sensor_id, c.day, c.service, hirundo.role(c.traits) AS role, c.service_order,
                sum(c.packets) AS packets
            FROM counted c GROUP BY 1, 2, 3, 4, 5 OFFSET 0) AS g
        ORDER BY g.service_order
        ON CONFLICT (sensor_id, day, service, role) DO UPDATE SET packets = t.packets + excluded.packets
    ), roles AS (
        INSERT INTO hirundo.role_day AS t (sensor_id, day, role, ports, packets)
        SELECT c.sensor_id, c.day, hirundo.role(c.traits), c.service < ':' COLLATE "C", sum(c.packets)
        FROM counted c GROUP BY 1, 2, 3, 4
        ON CONFLICT (sensor_id, day, role, ports) DO UPDATE SET packets = t.packets + excluded.packets
    ), bucket AS MATERIALIZED (
        SELECT f.sensor_id, date_bin('15 minutes', f.observed_at, '1970-01-01 00:00:00+00') AS bucket,
            sum(f.packets) AS packets
        FROM fresh f
        WHERE (SELECT all_do FROM fit)
        GROUP BY 1, 2
    ), buckets AS (
        INSERT INTO hirundo.coverage AS c (sensor_id, bucket, packets, lost, seconds)
        SELECT b.sensor_id, b.bucket, b.packets, 0, 0 FROM bucket b
        ON CONFLICT (sensor_id, bucket) DO UPDATE SET packets = c.packets + excluded.packets
    ), bucket_days AS (
        INSERT INTO hirundo.coverage_day AS c (sensor_id, day, packets, lost, seconds)
        SELECT b.sensor_id, (b.bucket AT TIME ZONE zone)::date, sum(b.packets), 0, 0 FROM bucket b GROUP BY 1, 2
        ON CONFLICT (sensor_id, day) DO UPDATE SET packets = c.packets + excluded.packets
    ), bucket_steps AS (
        INSERT INTO hirundo.coverage_step AS c (sensor_id, unit, day, packets, lost, seconds)
        SELECT b.sensor_id, u.unit, date_trunc(u.unit, b.bucket AT TIME ZONE zone)::date, sum(b.packets), 0, 0
        FROM bucket b CROSS JOIN (VALUES ('week'), ('month')) AS u (unit) GROUP BY 1, 2, 3
        ON CONFLICT (sensor_id, unit, day) DO UPDATE SET packets = c.packets + excluded.packets
    ), due AS (
        INSERT INTO hirundo.verdict_due (day, rollup, sources)
        SELECT d.day, hashtextextended(gen_random_uuid()::text, 0), array_agg(d.src)
        FROM (SELECT DISTINCT c.day, c.src FROM cell c OFFSET 0) AS d
        WHERE p_expected IS NOT NULL GROUP BY d.day
    )
    SELECT n.sensor_id, n.rows FROM total n;
END
$$;
COMMENT ON FUNCTION hirundo.rollup_merge IS
    'Part of rollup(): adds rows of sensors in these times (upper bounds belong to them), written by these '
    'transactions (NULL: by any), to the rollups; to those of days only for rows of these reporting days (NULL: of '
    'any). Nothing is added unless each sensor has as many as expected (NULL: whatever there is). Returns how many each'
    ' has; none: no row.';

CREATE FUNCTION hirundo.rollup_coverage_day(p_sensors int[], p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text := hirundo.reporting_zone();
    since timestamptz := (p_from AT TIME ZONE zone)::date::timestamp AT TIME ZONE zone;
    till timestamptz := ((p_to AT TIME ZONE zone)::date + 1)::timestamp AT TIME ZONE zone;
BEGIN
    INSERT INTO hirundo.coverage_day (sensor_id, day, packets, lost, seconds)
        SELECT c.sensor_id, (c.bucket AT TIME ZONE zone)::date, sum(c.packets), sum(c.lost), sum(c.seconds)
        FROM hirundo.coverage c
        WHERE c.sensor_id = ANY (p_sensors) AND c.bucket >= since AND c.bucket < till
        GROUP BY 1, 2
        ON CONFLICT (sensor_id, day) DO UPDATE
        SET packets = excluded.packets, lost = excluded.lost, seconds = excluded.seconds;
    INSERT INTO hirundo.coverage_step (sensor_id, unit, day, packets, lost, seconds)
        SELECT c.sensor_id, u.unit, date_trunc(u.unit, c.day::timestamp)::date, sum(c.packets), sum(c.lost), sum(c.seconds)
        FROM (VALUES ('week', interval '1 week'), ('month', interval '1 month')) AS u (unit, length)
        JOIN hirundo.coverage_day c ON c.day >= date_trunc(u.unit, since AT TIME ZONE zone)
            AND c.day < date_trunc(u.unit, p_to AT TIME ZONE zone) + u.length
        WHERE c.sensor_id = ANY (p_sensors)
        GROUP BY 1, 2, 3
        ON CONFLICT (sensor_id, unit, day) DO UPDATE
        SET packets = excluded.packets, lost = excluded.lost, seconds = excluded.seconds;
END
$$;
COMMENT ON FUNCTION hirundo.rollup_coverage_day IS
    'Adds coverage up anew by day, week and month, of sensors and the reporting days that these times lie in.';

CREATE FUNCTION hirundo.rollup_coverage(p_sensor_id int, p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH told AS (
        -- What a STATUS says of the time since the one before, and that one's drops.
        SELECT coalesce(s.covered_from, s.at) AS from_at,
            -- Nobody listens for years: such a time is not believed, and its drops fall at its start.
            CASE WHEN s.covered_to - s.covered_from <= '400 days' THEN s.covered_to
                ELSE coalesce(s.covered_from, s.at) END AS to_at,
            greatest(0, s.kernel_drops + s.interface_drops - coalesce((
                SELECT p.kernel_drops + p.interface_drops FROM hirundo.sensor_status p
                WHERE p.sensor_id = s.sensor_id AND p.epoch = s.epoch AND p.run = s.run AND p.seq < s.seq
                ORDER BY p.seq DESC LIMIT 1), (
                -- A run may go on in another stream.
                SELECT max(p.kernel_drops + p.interface_drops) FROM hirundo.sensor_status p
                WHERE p.sensor_id = s.sensor_id AND p.run = s.run AND p.epoch <> s.epoch AND p.at < s.at), 0)) AS lost
        FROM hirundo.sensor_status s
        WHERE s.sensor_id = p_sensor_id
            AND ((s.covered_to >= p_from AND s.covered_from < p_to)
                OR (s.covered_to IS NULL AND s.at >= p_from AND s.at < p_to))
    ), losses AS (
        SELECT t.from_at, t.to_at, t.lost FROM told t WHERE t.lost > 0
        UNION ALL
        SELECT coalesce(l.from_at, l.to_at, l.recorded_at),
            least(coalesce(l.to_at, l.from_at, l.recorded_at),
                coalesce(l.from_at, l.to_at, l.recorded_at) + interval '400 days'), l.packets
        FROM hirundo.ingest_loss l
        WHERE l.sensor_id = p_sensor_id AND l.packets > 0
            AND coalesce(l.to_at, l.from_at, l.recorded_at) >= p_from
            AND coalesce(l.from_at, l.to_at, l.recorded_at) < p_to
    ), seconds AS (
        SELECT u.bucket, sum(extract(epoch FROM upper(r) - lower(r)))::double precision AS seconds
        FROM (
            SELECT b.bucket, range_agg(tstzrange(t.from_at, t.to_at)
                * tstzrange(b.bucket, b.bucket + interval '15 minutes')) AS listened
            FROM told t
            CROSS JOIN LATERAL generate_series(
                date_bin('15 minutes', greatest(t.from_at, p_from), '1970-01-01 00:00:00+00'),
                least(t.to_at, p_to), '15 minutes') AS b (bucket)
            WHERE t.from_at < t.to_at
            GROUP BY b.bucket) AS u
        CROSS JOIN LATERAL unnest(u.listened) AS r
        GROUP BY u.bucket
    ), lost AS (
        -- In whole packets: what fell until the end of a bucket, less what did until its start.
        SELECT b.bucket,
            sum(CASE WHEN l.to_at <= l.from_at THEN l.lost ELSE
                floor(l.lost * extract(epoch FROM least(b.bucket + interval '15 minutes', l.to_at) - l.from_at)
                    / extract(epoch FROM l.to_at - l.from_at))
                - floor(l.lost * extract(epoch FROM greatest(b.bucket, l.from_at) - l.from_at)
                    / extract(epoch FROM l.to_at - l.from_at)) END)::bigint AS lost
        FROM losses l
        CROSS JOIN LATERAL generate_series(
            date_bin('15 minutes', greatest(l.from_at, p_from), '1970-01-01 00:00:00+00'),
            least(l.to_at, p_to), '15 minutes') AS b (bucket)
        GROUP BY b.bucket
    )
    INSERT INTO hirundo.coverage AS c (sensor_id, bucket, packets, lost, seconds)
    SELECT p_sensor_id, bucket, 0, coalesce(x.lost, 0), coalesce(s.seconds, 0)
    FROM seconds s FULL JOIN lost x USING (bucket)
    WHERE bucket >= p_from AND bucket < p_to AND (s.seconds > 0 OR x.lost > 0)
    ON CONFLICT (sensor_id, bucket) DO UPDATE SET lost = excluded.lost, seconds = excluded.seconds;
    SELECT hirundo.rollup_coverage_day(ARRAY[p_sensor_id], p_from, p_to);
END;
COMMENT ON FUNCTION hirundo.rollup_coverage IS
    'Part of rollup(): tells seconds and losses of a sensor''s 15 minutes in [from, to), both at a start of 15 minutes, '
    'anew from sensor_status and ingest_loss.';

CREATE FUNCTION hirundo.rollup_recount(p_sensor_id int, p_first_day date, p_last_day date)
RETURNS TABLE (marks bigint, rows bigint, days int, unresolved bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text := hirundo.reporting_zone();
    first_day date := p_first_day;
    last_day date := p_last_day;
    hull tstzrange;
    hour timestamptz;
BEGIN
    marks := 0; rows := 0; days := 0; unresolved := 0;
    -- Whole days and whole 15 minutes: where a zone's days do not begin with 15 minutes, marks lead to the next.
    LOOP
        hull := tstzrange(
            date_bin('15 minutes', first_day::timestamp AT TIME ZONE zone, '1970-01-01 00:00:00+00'),
            date_bin('15 minutes', (last_day + 1)::timestamp AT TIME ZONE zone + interval '899.999999 seconds',
                '1970-01-01 00:00:00+00'));
        SELECT least(first_day, min((m.first_at AT TIME ZONE zone)::date)),
            greatest(last_day, max((m.last_at AT TIME ZONE zone)::date))
            INTO first_day, last_day
            FROM hirundo.dirty_mark m
            WHERE m.sensor_id = p_sensor_id AND m.bucket >= lower(hull) AND m.bucket < upper(hull) AND m.rows > 0;
        EXIT WHEN first_day::timestamp AT TIME ZONE zone >= lower(hull)
            AND (last_day + 1)::timestamp AT TIME ZONE zone <= upper(hull);
    END LOOP;
    WITH gone AS (
        DELETE FROM hirundo.dirty_mark m
        WHERE m.sensor_id = p_sensor_id AND m.bucket >= lower(hull) AND m.bucket < upper(hull) AND m.rows > 0
        RETURNING m.epoch, m.seq, m.rows, m.first_at, m.last_at
    ), known AS (
        INSERT INTO hirundo.dataset_day (sensor_id, day, dataset_id)
        SELECT DISTINCT p_sensor_id, (a.at AT TIME ZONE zone)::date, b.dataset_id
        FROM gone g CROSS JOIN LATERAL (VALUES (g.first_at), (g.last_at)) AS a (at)
        JOIN hirundo.ingest_batch b ON b.sensor_id = p_sensor_id AND b.epoch = g.epoch AND b.seq = g.seq
        WHERE b.dataset_id IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT count(*), coalesce(sum(g.rows), 0) INTO marks, unresolved FROM gone g;
    IF EXISTS (SELECT FROM hirundo.ingest_day_frozen f WHERE f.sensor_id = p_sensor_id
        AND f.day BETWEEN (lower(hull) AT TIME ZONE 'UTC')::date AND ((upper(hull) - interval '1 microsecond') AT TIME ZONE 'UTC')::date)
    THEN
        RETURN NEXT;
        RETURN;
    END IF;
    unresolved := 0;
    days := last_day - first_day + 1;
    -- Emptied, not deleted: who held an address stays as it was.
    UPDATE hirundo.ttl_day t
        SET packets = 0, first_at = 'infinity', last_at = '-infinity', src_region = NULL, src_asn = NULL
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    UPDATE hirundo.source_day t
        SET packets = 0, first_at = 'infinity', last_at = '-infinity', src_region = NULL, src_asn = NULL
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    DELETE FROM hirundo.service_day t WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    DELETE FROM hirundo.role_day t WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day;
    UPDATE hirundo.coverage c SET packets = 0
        WHERE c.sensor_id = p_sensor_id AND c.bucket >= lower(hull) AND c.bucket < upper(hull);
    PERFORM hirundo.rollup_coverage_day(ARRAY[p_sensor_id], lower(hull), upper(hull));
    -- Hour by hour, so that memory has a bound.
    FOR hour IN SELECT generate_series(lower(hull), upper(hull) - interval '1 microsecond', '1 hour') LOOP
        rows := rows + coalesce((
            SELECT m.rows FROM hirundo.rollup_merge(ARRAY[p_sensor_id], tstzmultirange(tstzrange(hour,
                least(hour + interval '1 hour', upper(hull)) - interval '1 microsecond', '[]')), NULL, first_day,
                last_day, NULL) AS m), 0);
    END LOOP;
    DELETE FROM hirundo.ttl_day t
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day AND t.packets = 0;
    DELETE FROM hirundo.source_day t
        WHERE t.sensor_id = p_sensor_id AND t.day BETWEEN first_day AND last_day AND t.packets = 0;
    PERFORM hirundo.mark_answers(daterange(least(first_day, (lower(hull) AT TIME ZONE zone)::date),
        greatest(last_day, (upper(hull) AT TIME ZONE zone)::date), '[]'));
    -- What is no more is a change, too.
    INSERT INTO hirundo.verdict_due (day, rollup)
        SELECT first_day + d, hashtextextended(gen_random_uuid()::text, 0)
        FROM generate_series(0, last_day - first_day) AS d;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hirundo.rollup_recount IS
    'Part of rollup(): counts reporting days of a sensor anew from raw rows, and deletes all marks of theirs. Where '
    'raw rows of theirs were dropped, only the marks go: unresolved tells how many rows they stood for.';

CREATE FUNCTION hirundo.rollup(p_sensors int[], p_rows bigint DEFAULT 250000)
RETURNS TABLE (sensor_id int, marks bigint, rows bigint, recounted int, unresolved bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    zone text := hirundo.reporting_zone();
    sensors int[];
    day date;
    from_at timestamptz;
    to_at timestamptz;
    xmins xid[];
    taken int[]; -- sensors; the arrays below are theirs
    taken_marks bigint[];
    expected bigint[];
    spans tstzmultirange[];
    told tstzmultirange[];
    misfits int[];
    changed datemultirange;
    part tstzrange;
    again record;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable') OR NOT EXISTS (
        SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND granted AND relation = 'hirundo.observation'::regclass)
    THEN
        RAISE EXCEPTION 'rollup() needs REPEATABLE READ, and a lock on hirundo.observation before its snapshot'
            USING ERRCODE = '25001', HINT = 'BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE ONLY '
                'hirundo.observation IN ROW EXCLUSIVE MODE; SELECT * FROM hirundo.rollup(...); COMMIT';
    END IF;
    -- Days of two zones must not mix.
    INSERT INTO hirundo.setting VALUES ('rollup_zone', zone) ON CONFLICT ON CONSTRAINT setting_pkey DO NOTHING;
    PERFORM hirundo.check_zone();
    -- Saves work that would end with 40001; nothing depends on it.
    sensors := ARRAY(
        SELECT s.sensor_id
        FROM (SELECT DISTINCT m.sensor_id FROM hirundo.dirty_mark m
            WHERE p_sensors IS NULL OR m.sensor_id = ANY (p_sensors)) AS s
        WHERE pg_try_advisory_xact_lock(hashtext('hirundo.rollup'), s.sensor_id));
    -- The reporting day of the mark that waits longest.
    SELECT (m.bucket AT TIME ZONE zone)::date INTO day FROM hirundo.dirty_mark m WHERE m.sensor_id = ANY (sensors)
        ORDER BY age(m.xmin) DESC, m.bucket LIMIT 1;
    IF day IS NULL THEN
        RETURN;
    END IF;
    SELECT min(m.bucket) INTO from_at FROM hirundo.dirty_mark m
        WHERE m.sensor_id = ANY (sensors) AND (m.bucket AT TIME ZONE zone)::date = day;
    to_at := (day + 1)::timestamp AT TIME ZONE zone;
    -- All marks that a transaction left in this day, or none of them: its rows have no other tell.
    xmins := ARRAY(
        SELECT w.x FROM (
            SELECT m.xmin AS x, sum(sum(m.rows)) OVER (ORDER BY age(m.xmin) DESC) - sum(m.rows) AS before
            FROM hirundo.dirty_mark m
            WHERE m.sensor_id = ANY (sensors) AND m.bucket >= from_at AND m.bucket < to_at
            GROUP BY m.xmin) AS w
        WHERE w.before < p_rows);
    WITH gone AS (
        DELETE FROM hirundo.dirty_mark m
        WHERE m.sensor_id = ANY (sensors) AND m.bucket >= from_at AND m.bucket < to_at AND m.xmin = ANY (xmins)
        RETURNING m.sensor_id, m.epoch, m.seq, m.rows, m.first_at, m.last_at
    ), known AS (
        INSERT INTO hirundo.dataset_day (sensor_id, day, dataset_id)
        SELECT DISTINCT g.sensor_id, (a.at AT TIME ZONE zone)::date, b.dataset_id
        FROM gone g CROSS JOIN LATERAL (VALUES (g.first_at), (g.last_at)) AS a (at)
        JOIN hirundo.ingest_batch b USING (sensor_id, epoch, seq)
        WHERE g.rows > 0 AND b.dataset_id IS NOT NULL
        ON CONFLICT DO NOTHING
    ), part AS (
        SELECT g.sensor_id, count(*) AS marks, sum(g.rows) AS rows,
            -- Each span is a scan: those less than 15 minutes apart are one. Between them, within the day, these
            -- transactions have no rows.
            range_agg(tstzrange(g.first_at,
                greatest(g.last_at, least(g.last_at + interval '15 minutes', to_at - interval '1 microsecond')), '[]'))
                FILTER (WHERE g.rows > 0) AS spans,
            range_agg(tstzrange(date_bin('15 minutes', g.first_at, '1970-01-01 00:00:00+00'),
                date_bin('15 minutes', least(g.last_at, g.first_at + interval '400 days'), '1970-01-01 00:00:00+00')
                    + interval '15 minutes'))
                FILTER (WHERE g.rows = 0) AS told
        FROM gone g GROUP BY g.sensor_id
    )
    SELECT array_agg(p.sensor_id), array_agg(p.marks), array_agg(p.rows), array_agg(coalesce(p.spans, '{}')),
        array_agg(coalesce(p.told, '{}'))
        INTO taken, taken_marks, expected, spans, told FROM part p;
    -- Days whose answers change.
    PERFORM hirundo.mark_answers(d) FROM unnest((
        SELECT range_agg(daterange((lower(s.at) AT TIME ZONE zone)::date, (upper(s.at) AT TIME ZONE zone)::date, '[]'))
        FROM unnest(spans || told) AS a (ranges) CROSS JOIN LATERAL unnest(a.ranges) AS s (at))) AS d;
    misfits := ARRAY(
        SELECT e.sensor_id FROM unnest(taken, expected) AS e (sensor_id, rows)
        LEFT JOIN hirundo.rollup_merge(taken, (SELECT range_agg(s) FROM unnest(spans) AS s), xmins, NULL, NULL,
            expected) AS f USING (sensor_id)
        WHERE e.rows <> coalesce(f.rows, 0));
    IF misfits <> '{}' THEN
        -- Nothing was added. Those that are as expected, once more.
        PERFORM hirundo.rollup_merge(array_agg(e.sensor_id), range_agg(e.spans), xmins, NULL, NULL, array_agg(e.rows))
            FROM unnest(taken, expected, spans) AS e (sensor_id, rows, spans) WHERE e.sensor_id <> ALL (misfits);
    END IF;
    FOR i IN 1 .. cardinality(taken) LOOP
        sensor_id := taken[i];
        marks := taken_marks[i];
        rows := expected[i];
        recounted := 0;
        unresolved := 0;
        IF sensor_id = ANY (misfits) THEN
            SELECT * INTO again FROM hirundo.rollup_recount(sensor_id,
                (lower(spans[i]) AT TIME ZONE zone)::date, (upper(spans[i]) AT TIME ZONE zone)::date);
            marks := marks + again.marks;
            rows := again.rows;
            recounted := again.days;
            IF again.days = 0 THEN
                unresolved := expected[i] + again.unresolved;
                INSERT INTO hirundo.rollup_gap AS g (sensor_id, day, rows, noted_at)
                    VALUES (taken[i], day, unresolved, now())
                    ON CONFLICT (sensor_id, day)
                    DO UPDATE SET rows = g.rows + excluded.rows, noted_at = excluded.noted_at;
            END IF;
        END IF;
        FOREACH part IN ARRAY ARRAY(SELECT unnest(told[i])) LOOP
            PERFORM hirundo.rollup_coverage(sensor_id, lower(part), upper(part));
        END LOOP;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION hirundo.rollup IS
    'One step: takes marks of these sensors (NULL: of all), those that wait longest, of one reporting day and about '
    'this many rows, and brings the rollups up to them. Several sensors at once, because their rows lie side by side: '
    'they are read once, and who held a source is looked up once. On Citus one sensor at a time. Needs REPEATABLE READ '
    'and a lock on observation taken before the snapshot (so that no day is dropped behind it). Returns, for each '
    'sensor, the marks, the rows read, days counted anew, rows that could not be rolled up (rollup_gap); no row of '
    'sensors that have no marks or that another step is at. SQLSTATE 40001: try again.';

-- Retention.

CREATE FUNCTION hirundo.drop_rollup_months() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    keep int := (SELECT value::int FROM hirundo.setting WHERE name = 'rollup_retention_days');
    month text;
    dropped int := 0;
BEGIN
    FOR month IN
        SELECT right(c.relname, 6) FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
        WHERE h.inhparent = 'hirundo.ttl_day'::regclass
            AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month'
                <= now() AT TIME ZONE hirundo.reporting_zone() - make_interval(days => keep)
    LOOP
        EXECUTE (SELECT 'DROP TABLE ' || string_agg(format('hirundo.%I', parent || '_' || month), ', ')
            FROM unnest(hirundo.monthly_tables()) AS t (parent));
        DELETE FROM hirundo.role_day r WHERE date_trunc('month', r.day::timestamp) = to_date(month, 'YYYYMM');
        PERFORM hirundo.verdict_forget_month(to_date(month, 'YYYYMM'));
        INSERT INTO hirundo.rollup_dropped VALUES (to_date(month, 'YYYYMM'), now())
            ON CONFLICT ON CONSTRAINT rollup_dropped_pkey DO UPDATE SET dropped_at = excluded.dropped_at;
        PERFORM hirundo.mark_answers(daterange(to_date(month, 'YYYYMM'),
            (to_date(month, 'YYYYMM') + interval '1 month')::date));
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION hirundo.drop_rollup_months IS
    'Drops months of rollups and verdicts, with what these were made from, that ended more than setting '
    'rollup_retention_days ago (not set: none), notes them in rollup_dropped, and returns how many. Error 55P03 when the '
    'tables are busy: try again.';

GRANT SELECT ON hirundo.ttl_day, hirundo.source_day, hirundo.service_day, hirundo.role_day, hirundo.coverage,
    hirundo.coverage_day, hirundo.coverage_step, hirundo.verdict_due, hirundo.rollup_gap, hirundo.rollup_dropped, hirundo.dataset_day TO hirundo_ingest, hirundo_analyst;
REVOKE ALL ON FUNCTION hirundo.initial_ttl, hirundo.protocol_name, hirundo.service, hirundo.ack_kind,
    hirundo.service_number, hirundo.numbered_service, hirundo.source_cell, hirundo.signature, hirundo.signature_text,
    hirundo.reporting_zone, hirundo.check_zone, hirundo.monthly_tables, hirundo.rollup_source_order,
    hirundo.rollup_service_order, hirundo.ensure_rollup_month, hirundo.rollup_merge,
    hirundo.rollup_coverage_day, hirundo.rollup_coverage, hirundo.rollup_recount, hirundo.rollup, hirundo.drop_rollup_months FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.initial_ttl, hirundo.protocol_name, hirundo.service, hirundo.ack_kind,
    hirundo.service_number, hirundo.numbered_service, hirundo.source_cell, hirundo.signature, hirundo.signature_text,
    hirundo.reporting_zone TO hirundo_ingest, hirundo_analyst;
GRANT EXECUTE ON FUNCTION hirundo.rollup, hirundo.drop_rollup_months TO hirundo_ingest;
