-- The base: sensors, observations, the books of delivery.
--
-- Rules that hold for every table (so that one machine can become a Citus cluster without a change):
-- sensor_id int NOT NULL leads each primary key of a per-sensor table; no sequence, no trigger, no
-- foreign key but to hirundo.sensor; partitions by plain DDL; no DEFAULT partition.
-- Unsigned 64-bit values (checksums, content and file hashes) are stored as bigint, same bits.

CREATE SCHEMA hirundo;
COMMENT ON SCHEMA hirundo IS 'Hirundo''s tables, and the functions that keep them.';
CREATE SCHEMA report;
COMMENT ON SCHEMA report IS 'What people call: functions that answer the analyses.';
REVOKE ALL ON SCHEMA hirundo, report FROM PUBLIC;
GRANT USAGE ON SCHEMA hirundo TO hirundo_ingest, hirundo_analyst;
GRANT USAGE ON SCHEMA report TO hirundo_analyst, hirundo_dashboard;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE TABLE hirundo.schema_migration (
    version int PRIMARY KEY CHECK (version > 0),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    program_version text NOT NULL
);
COMMENT ON TABLE hirundo.schema_migration IS 'Migrations applied; the highest version is that of the schema.';
COMMENT ON COLUMN hirundo.schema_migration.version IS 'number of the migration''s file, from 1';
COMMENT ON COLUMN hirundo.schema_migration.name IS 'name of its file';
COMMENT ON COLUMN hirundo.schema_migration.checksum IS 'XXH3-64 of its text, hexadecimal';
COMMENT ON COLUMN hirundo.schema_migration.applied_at IS 'when it was applied';
COMMENT ON COLUMN hirundo.schema_migration.program_version IS 'version of hirundo-admin that applied it';

CREATE TABLE hirundo.setting (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE hirundo.setting IS 'Settings of this installation. compatible_from: oldest schema version that a program must know to use this database; raw_retention_days: days that observations are kept; reporting_zone: time zone of reporting days; home_region: region that counts as domestic, ISO 3166-1 alpha-2; connection_retention_days: days that rows of sensor_connection are kept; rollup_retention_days: days that ttl_day and source_day are kept, for ever without it.';
COMMENT ON COLUMN hirundo.setting.name IS 'name of the setting';
COMMENT ON COLUMN hirundo.setting.value IS 'its value as text';
INSERT INTO hirundo.setting VALUES
    ('compatible_from', '1'),
    ('raw_retention_days', '200'),
    ('reporting_zone', 'UTC'),
    ('home_region', 'JP'),
    ('connection_retention_days', '90');

CREATE TABLE hirundo.trait (
    bit smallint PRIMARY KEY CHECK (bit BETWEEN 0 AND 30),
    name text NOT NULL UNIQUE,
    description text NOT NULL
);
COMMENT ON TABLE hirundo.trait IS 'Names of the bits of observation.traits; a bit never changes its meaning.';
COMMENT ON COLUMN hirundo.trait.bit IS 'bit number, 0 the lowest';
COMMENT ON COLUMN hirundo.trait.name IS 'name, as --print csv has it';
COMMENT ON COLUMN hirundo.trait.description IS 'when it is set';
INSERT INTO hirundo.trait VALUES
    (0, 'truncated', 'the capture ends inside a header; later fields are NULL'),
    (1, 'bad_checksum', 'IP header or transport checksum is wrong'),
    (2, 'fragment', 'fragment (more fragments follow, or offset above 0)'),
    (3, 'no_tcp_options', 'TCP SYN without options'),
    (4, 'bogon_source', 'source is special-purpose, multicast or reserved (RFC 6890)'),
    (5, 'zmap', 'ZMap before 2024: TCP SYN with IP ID 54321'),
    (6, 'masscan', 'masscan: IP ID = (destination ^ port ^ sequence) & 0xffff, window 1024'),
    (7, 'mirai', 'Mirai: IPv4 TCP SYN whose sequence number is the destination address'),
    (8, 'land', 'source is the destination or another own address'),
    (9, 'nmap', 'Nmap -sS: TCP SYN, window 1024, MSS 1460 as only option, no DF'),
    (10, 'backscatter_synack', 'TCP SYN-ACK'),
    (11, 'backscatter_rst', 'TCP RST'),
    (12, 'backscatter_icmp_reply', 'ICMP or ICMPv6 reply'),
    (13, 'backscatter_icmp_error', 'ICMP or ICMPv6 error'),
    (14, 'backscatter_udp', 'UDP answer by well-known source port'),
    (15, 'coarse', 'flood: source port, sequence, acknowledgement and IP ID were not kept'),
    (16, 'reserved_flag', 'reserved bit of the IPv4 flags is set (RFC 3514)'),
    (17, 'ip_options', 'IPv4 options'),
    (18, 'extension_headers', 'IPv6 extension headers other than fragment'),
    (19, 'malformed', 'a header contradicts itself; fields behind it are NULL');

CREATE TABLE hirundo.sensor (
    sensor_id int PRIMARY KEY CHECK (sensor_id > 0),
    name text NOT NULL UNIQUE,
    urn text NOT NULL UNIQUE,
    region char(2) NOT NULL CHECK (region ~ '^[A-Z]{2}$'),
    public_label text NOT NULL,
    succeeds int REFERENCES hirundo.sensor,
    allow_capture boolean NOT NULL DEFAULT false,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);
COMMENT ON TABLE hirundo.sensor IS 'Enrolled sensors. Rows stay for ever: history refers to them.';
COMMENT ON COLUMN hirundo.sensor.sensor_id IS 'number of the sensor, from 1, never reused';
COMMENT ON COLUMN hirundo.sensor.name IS 'label for people, unique; may be changed';
COMMENT ON COLUMN hirundo.sensor.urn IS 'identity in its certificate: urn:hirundo:sensor: and the name that it was enrolled under; never changes';
COMMENT ON COLUMN hirundo.sensor.region IS 'ISO 3166-1 alpha-2 of where it listens; never changes: a move is a new sensor that succeeds this one';
COMMENT ON COLUMN hirundo.sensor.public_label IS 'what publications call it';
COMMENT ON COLUMN hirundo.sensor.succeeds IS 'sensor that it carries on, or NULL';
COMMENT ON COLUMN hirundo.sensor.allow_capture IS 'whether it may send capture files (--read)';
COMMENT ON COLUMN hirundo.sensor.enrolled_at IS 'when it was enrolled';
COMMENT ON COLUMN hirundo.sensor.disabled_at IS 'when it was disabled, or NULL; its connections are then cut and refused';

-- Owner only: where a sensor listens.
CREATE TABLE hirundo.sensor_address (
    sensor_id int NOT NULL REFERENCES hirundo.sensor,
    address cidr NOT NULL,
    captured cidr,
    first_target int NOT NULL CHECK (first_target >= 0),
    targets int NOT NULL CHECK (targets >= 0),
    valid_from timestamptz NOT NULL DEFAULT now(),
    valid_to timestamptz,
    PRIMARY KEY (sensor_id, address)
);
COMMENT ON TABLE hirundo.sensor_address IS 'Owner only: where a sensor listens, as it announced it. Rows stay for ever: ordinals are never reused.';
COMMENT ON COLUMN hirundo.sensor_address.sensor_id IS 'sensor that listens there';
COMMENT ON COLUMN hirundo.sensor_address.address IS 'public address or prefix';
COMMENT ON COLUMN hirundo.sensor_address.captured IS 'what its packets carry instead, where NAT makes it differ; else NULL';
COMMENT ON COLUMN hirundo.sensor_address.first_target IS 'observation.target of its first address; 0 where the entry takes everything (0.0.0.0/0, ::/0)';
COMMENT ON COLUMN hirundo.sensor_address.targets IS 'ordinals issued: one for each address of an IPv4 prefix, one for an IPv6 prefix, 0 for one that takes everything';
COMMENT ON COLUMN hirundo.sensor_address.valid_from IS 'when it was announced first';
COMMENT ON COLUMN hirundo.sensor_address.valid_to IS 'when it was found to be announced no more; NULL while it is';

-- Owner only: who connected from where.
CREATE TABLE hirundo.sensor_connection (
    sensor_id int NOT NULL,
    connected_at timestamptz NOT NULL,
    connection bigint NOT NULL,
    peer inet NOT NULL,
    software text NOT NULL,
    disconnected_at timestamptz,
    reason text,
    PRIMARY KEY (sensor_id, connected_at, connection)
);
COMMENT ON TABLE hirundo.sensor_connection IS 'Owner only: which sensor connected from where. The last 1,000 of each sensor, and no older than setting connection_retention_days.';
COMMENT ON COLUMN hirundo.sensor_connection.sensor_id IS 'sensor that connected';
COMMENT ON COLUMN hirundo.sensor_connection.connected_at IS 'when it was let in';
COMMENT ON COLUMN hirundo.sensor_connection.connection IS 'number that the collector gave to the connection';
COMMENT ON COLUMN hirundo.sensor_connection.peer IS 'address that it came from';
COMMENT ON COLUMN hirundo.sensor_connection.software IS 'program and version that it told';
COMMENT ON COLUMN hirundo.sensor_connection.disconnected_at IS 'when it ended; NULL while it lasts';
COMMENT ON COLUMN hirundo.sensor_connection.reason IS 'why it ended, or NULL';

-- One packet, or several folded ones. Columns in order of their width on disk.
CREATE TABLE hirundo.observation (
    observed_at timestamptz NOT NULL,
    last_at timestamptz,
    tcp_seq bigint,
    tcp_ack bigint,
    src_asn bigint,
    sensor_id int NOT NULL,
    target int NOT NULL,
    src_port int,
    dst_port int,
    ip_length int,
    ip_id int,
    tcp_window int,
    tcp_mss int,
    payload_length int,
    packets int NOT NULL,
    traits int NOT NULL,
    protocol smallint,
    icmp_type smallint,
    icmp_code smallint,
    ttl smallint,
    ip_flags smallint,
    tcp_flags smallint,
    tcp_header_length smallint,
    src_region char(2),
    src inet
) PARTITION BY RANGE (observed_at);
-- The rollup reads what came last.
CREATE INDEX observation_observed_at ON hirundo.observation USING brin (observed_at) WITH (autosummarize = on);
COMMENT ON TABLE hirundo.observation IS 'What arrived at the sensors: a row is one packet, or several folded ones. Partitioned by UTC day.';
COMMENT ON COLUMN hirundo.observation.observed_at IS 'time of the first packet, microseconds';
COMMENT ON COLUMN hirundo.observation.last_at IS 'time of the last packet; NULL when packets = 1';
COMMENT ON COLUMN hirundo.observation.tcp_seq IS 'TCP sequence number, 0 to 2^32-1; NULL also where it would show a sensor''s address, and in trait coarse';
COMMENT ON COLUMN hirundo.observation.tcp_ack IS 'TCP acknowledgement number, 0 to 2^32-1; NULL also when 0 with ACK clear, where it would show a sensor''s address, and in trait coarse';
COMMENT ON COLUMN hirundo.observation.src_asn IS 'autonomous system of src, or NULL where no data set knows it; looked up at ingest with the data set of ingest_batch.dataset_id';
COMMENT ON COLUMN hirundo.observation.sensor_id IS 'sensor that saw it';
COMMENT ON COLUMN hirundo.observation.target IS 'which of the sensor''s addresses: ordinal issued by the collector, 1 and up; 0 where the sensor takes everything';
COMMENT ON COLUMN hirundo.observation.src_port IS 'TCP, UDP source port, 0 to 65535; NULL also in trait coarse';
COMMENT ON COLUMN hirundo.observation.dst_port IS 'TCP, UDP destination port, 0 to 65535';
COMMENT ON COLUMN hirundo.observation.ip_length IS 'bytes: IPv4 total length, IPv6 payload length + 40';
COMMENT ON COLUMN hirundo.observation.ip_id IS 'IPv4 identification of the first packet, 0 to 65535; NULL also in traits masscan and coarse';
COMMENT ON COLUMN hirundo.observation.tcp_window IS 'TCP window as sent, not scaled, 0 to 65535';
COMMENT ON COLUMN hirundo.observation.tcp_mss IS 'bytes, TCP option 2; NULL without the option';
COMMENT ON COLUMN hirundo.observation.payload_length IS 'bytes behind the transport header, by the IP header';
COMMENT ON COLUMN hirundo.observation.packets IS 'packets folded into this row, 1 and up: equal in every column but time and IP ID';
COMMENT ON COLUMN hirundo.observation.traits IS 'bit set; hirundo.trait names the bits, hirundo.role() tells response from probe';
COMMENT ON COLUMN hirundo.observation.protocol IS 'IP protocol number, 0 to 255; IPv6: the upper layer''s, after extension headers';
COMMENT ON COLUMN hirundo.observation.icmp_type IS 'ICMP and ICMPv6 type, 0 to 255';
COMMENT ON COLUMN hirundo.observation.icmp_code IS 'ICMP and ICMPv6 code, 0 to 255';
COMMENT ON COLUMN hirundo.observation.ttl IS 'time to live, IPv6 hop limit, as received, 0 to 255';
COMMENT ON COLUMN hirundo.observation.ip_flags IS 'IPv4: 4 reserved, 2 do not fragment, 1 more fragments';
COMMENT ON COLUMN hirundo.observation.tcp_flags IS 'FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128';
COMMENT ON COLUMN hirundo.observation.tcp_header_length IS 'bytes, 20 to 60';
COMMENT ON COLUMN hirundo.observation.src_region IS 'ISO 3166-1 alpha-2 of src''s registration, or NULL where no data set knows it; looked up at ingest';
COMMENT ON COLUMN hirundo.observation.src IS 'source address; NULL where it is the sensor''s own (trait land)';

CREATE TABLE hirundo.payload_sample (
    observed_at timestamptz NOT NULL,
    last_at timestamptz,
    content bigint NOT NULL,
    sensor_id int NOT NULL,
    src_port int,
    dst_port int,
    payload_length int NOT NULL,
    packets int NOT NULL,
    protocol smallint NOT NULL,
    icmp_type smallint,
    icmp_code smallint,
    src inet,
    payload bytea
) PARTITION BY RANGE (observed_at);
CREATE INDEX payload_sample_observed_at ON hirundo.payload_sample USING brin (observed_at);
COMMENT ON TABLE hirundo.payload_sample IS 'First bytes of payloads, masked by the sensor: once for each distinct content in an hour. Partitioned by UTC day.';
COMMENT ON COLUMN hirundo.payload_sample.observed_at IS 'time of the first packet with this content, microseconds';
COMMENT ON COLUMN hirundo.payload_sample.last_at IS 'time of the last packet counted in this row; NULL when packets = 1';
COMMENT ON COLUMN hirundo.payload_sample.content IS 'names the content within one sensor: keyed hash of the masked bytes, 64 bits as bigint';
COMMENT ON COLUMN hirundo.payload_sample.sensor_id IS 'sensor that saw it';
COMMENT ON COLUMN hirundo.payload_sample.src_port IS 'TCP, UDP source port of the first packet, 0 to 65535';
COMMENT ON COLUMN hirundo.payload_sample.dst_port IS 'TCP, UDP destination port of the first packet, 0 to 65535';
COMMENT ON COLUMN hirundo.payload_sample.payload_length IS 'bytes of the first packet''s payload, of which payload keeps at most 128';
COMMENT ON COLUMN hirundo.payload_sample.packets IS 'packets counted in this row; counts of a content''s rows add up';
COMMENT ON COLUMN hirundo.payload_sample.protocol IS 'IP protocol number, 0 to 255';
COMMENT ON COLUMN hirundo.payload_sample.icmp_type IS 'ICMP and ICMPv6 type, 0 to 255';
COMMENT ON COLUMN hirundo.payload_sample.icmp_code IS 'ICMP and ICMPv6 code, 0 to 255';
COMMENT ON COLUMN hirundo.payload_sample.src IS 'source of the first packet; NULL where it is the sensor''s own';
COMMENT ON COLUMN hirundo.payload_sample.payload IS 'first 128 bytes with the sensor''s addresses masked at equal length; NULL in a row that only counts on';

-- Rows whose time can not be right (a sensor's clock) or whose day may not be made.
CREATE TABLE hirundo.observation_quarantine (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    row_number int NOT NULL,
    received_at timestamptz NOT NULL,
    reason text NOT NULL,
    observed_at timestamptz NOT NULL,
    last_at timestamptz,
    tcp_seq bigint,
    tcp_ack bigint,
    src_asn bigint,
    target int NOT NULL,
    src_port int,
    dst_port int,
    ip_length int,
    ip_id int,
    tcp_window int,
    tcp_mss int,
    payload_length int,
    packets int NOT NULL,
    traits int NOT NULL,
    protocol smallint,
    icmp_type smallint,
    icmp_code smallint,
    ttl smallint,
    ip_flags smallint,
    tcp_flags smallint,
    tcp_header_length smallint,
    src_region char(2),
    src inet,
    PRIMARY KEY (sensor_id, epoch, seq, row_number)
);
COMMENT ON TABLE hirundo.observation_quarantine IS 'Rows kept out of observation: their time can not be right (a sensor''s clock), or their day may not be made.';
COMMENT ON COLUMN hirundo.observation_quarantine.sensor_id IS 'sensor whose stream it is';
COMMENT ON COLUMN hirundo.observation_quarantine.epoch IS 'stream of the sensor, 1 to 2^63-1, random: made with its spool';
COMMENT ON COLUMN hirundo.observation_quarantine.seq IS 'number of the record in its stream, from 1 without gaps';
COMMENT ON COLUMN hirundo.observation_quarantine.row_number IS 'place of the row in its record, from 0';
COMMENT ON COLUMN hirundo.observation_quarantine.received_at IS 'when the collector received the record';
COMMENT ON COLUMN hirundo.observation_quarantine.reason IS 'why the row is here';
COMMENT ON COLUMN hirundo.observation_quarantine.observed_at IS 'time of the first packet, microseconds';
COMMENT ON COLUMN hirundo.observation_quarantine.last_at IS 'time of the last packet; NULL when packets = 1';
COMMENT ON COLUMN hirundo.observation_quarantine.tcp_seq IS 'TCP sequence number, 0 to 2^32-1; NULL also where it would show a sensor''s address, and in trait coarse';
COMMENT ON COLUMN hirundo.observation_quarantine.tcp_ack IS 'TCP acknowledgement number, 0 to 2^32-1; NULL also when 0 with ACK clear, where it would show a sensor''s address, and in trait coarse';
COMMENT ON COLUMN hirundo.observation_quarantine.src_asn IS 'autonomous system of src, or NULL where no data set knows it; looked up at ingest with the data set of ingest_batch.dataset_id';
COMMENT ON COLUMN hirundo.observation_quarantine.target IS 'which of the sensor''s addresses: ordinal issued by the collector, 1 and up; 0 where the sensor takes everything';
COMMENT ON COLUMN hirundo.observation_quarantine.src_port IS 'TCP, UDP source port, 0 to 65535; NULL also in trait coarse';
COMMENT ON COLUMN hirundo.observation_quarantine.dst_port IS 'TCP, UDP destination port, 0 to 65535';
COMMENT ON COLUMN hirundo.observation_quarantine.ip_length IS 'bytes: IPv4 total length, IPv6 payload length + 40';
COMMENT ON COLUMN hirundo.observation_quarantine.ip_id IS 'IPv4 identification of the first packet, 0 to 65535; NULL also in traits masscan and coarse';
COMMENT ON COLUMN hirundo.observation_quarantine.tcp_window IS 'TCP window as sent, not scaled, 0 to 65535';
COMMENT ON COLUMN hirundo.observation_quarantine.tcp_mss IS 'bytes, TCP option 2; NULL without the option';
COMMENT ON COLUMN hirundo.observation_quarantine.payload_length IS 'bytes behind the transport header, by the IP header';
COMMENT ON COLUMN hirundo.observation_quarantine.packets IS 'packets folded into this row, 1 and up: equal in every column but time and IP ID';
COMMENT ON COLUMN hirundo.observation_quarantine.traits IS 'bit set; hirundo.trait names the bits, hirundo.role() tells response from probe';
COMMENT ON COLUMN hirundo.observation_quarantine.protocol IS 'IP protocol number, 0 to 255; IPv6: the upper layer''s, after extension headers';
COMMENT ON COLUMN hirundo.observation_quarantine.icmp_type IS 'ICMP and ICMPv6 type, 0 to 255';
COMMENT ON COLUMN hirundo.observation_quarantine.icmp_code IS 'ICMP and ICMPv6 code, 0 to 255';
COMMENT ON COLUMN hirundo.observation_quarantine.ttl IS 'time to live, IPv6 hop limit, as received, 0 to 255';
COMMENT ON COLUMN hirundo.observation_quarantine.ip_flags IS 'IPv4: 4 reserved, 2 do not fragment, 1 more fragments';
COMMENT ON COLUMN hirundo.observation_quarantine.tcp_flags IS 'FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128';
COMMENT ON COLUMN hirundo.observation_quarantine.tcp_header_length IS 'bytes, 20 to 60';
COMMENT ON COLUMN hirundo.observation_quarantine.src_region IS 'ISO 3166-1 alpha-2 of src''s registration, or NULL where no data set knows it; looked up at ingest';
COMMENT ON COLUMN hirundo.observation_quarantine.src IS 'source address; NULL where it is the sensor''s own (trait land)';

-- Days that have partitions, and which sensor's records asked for them (NULL: made ahead).
CREATE TABLE hirundo.partition_day (
    day date PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_for int,
    closed_at timestamptz
);
COMMENT ON TABLE hirundo.partition_day IS 'UTC days that have partitions.';
COMMENT ON COLUMN hirundo.partition_day.day IS 'UTC day';
COMMENT ON COLUMN hirundo.partition_day.created_at IS 'when its partitions were made';
COMMENT ON COLUMN hirundo.partition_day.created_for IS 'sensor whose records asked for it; NULL: made ahead';
COMMENT ON COLUMN hirundo.partition_day.closed_at IS 'when the indexes of the closed day were built; NULL while it is open';

-- Position and totals of each stream. sealed = stored + quarantined + rejected + lost + open, where
-- sealed is what the sensor offered and open what is offered and not committed yet.
CREATE TABLE hirundo.ingest_state (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL CHECK (epoch > 0),
    last_seq bigint NOT NULL DEFAULT 0,
    last_checksum bigint NOT NULL DEFAULT 0,
    packets_total bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    lost bigint NOT NULL DEFAULT 0,
    offered_seq bigint NOT NULL DEFAULT 0,
    offered_packets bigint NOT NULL DEFAULT 0,
    offered_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, epoch)
) WITH (fillfactor = 50);
COMMENT ON TABLE hirundo.ingest_state IS 'Position and totals of each stream. sealed = stored + quarantined + rejected + lost + open, where open is what the sensor offered and is not committed yet.';
COMMENT ON COLUMN hirundo.ingest_state.sensor_id IS 'sensor whose stream it is';
COMMENT ON COLUMN hirundo.ingest_state.epoch IS 'stream of the sensor, 1 to 2^63-1, random: made with its spool';
COMMENT ON COLUMN hirundo.ingest_state.last_seq IS 'last committed record; 0 = none';
COMMENT ON COLUMN hirundo.ingest_state.last_checksum IS 'its XXH3-64 as bigint, same bits; 0 = none';
COMMENT ON COLUMN hirundo.ingest_state.packets_total IS 'packets in the records committed, as the sensor counts them';
COMMENT ON COLUMN hirundo.ingest_state.stored IS 'packets stored in observation';
COMMENT ON COLUMN hirundo.ingest_state.quarantined IS 'packets in observation_quarantine';
COMMENT ON COLUMN hirundo.ingest_state.rejected IS 'packets in records that were refused (ingest_reject)';
COMMENT ON COLUMN hirundo.ingest_state.lost IS 'packets in LOSS records (ingest_loss)';
COMMENT ON COLUMN hirundo.ingest_state.offered_seq IS 'newest record that the sensor had at its last HELLO';
COMMENT ON COLUMN hirundo.ingest_state.offered_packets IS 'its cumulative packets at that record';
COMMENT ON COLUMN hirundo.ingest_state.offered_at IS 'time of that HELLO; NULL = never';
COMMENT ON COLUMN hirundo.ingest_state.updated_at IS 'when the row was written';

-- One row a committed record.
CREATE TABLE hirundo.ingest_batch (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    first_seq bigint NOT NULL,
    checksum bigint NOT NULL,
    packets_total bigint NOT NULL,
    packets bigint NOT NULL,
    stored bigint NOT NULL,
    quarantined bigint NOT NULL,
    not_kept bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL,
    lost bigint NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    received_at timestamptz NOT NULL,
    rows int NOT NULL,
    stored_rows int NOT NULL,
    samples int NOT NULL,
    fold_early int NOT NULL,
    bytes int NOT NULL,
    dataset_id int,
    kind smallint NOT NULL,
    PRIMARY KEY (sensor_id, epoch, seq)
);
COMMENT ON TABLE hirundo.ingest_batch IS 'One row for each committed record: the books of delivery.';
COMMENT ON COLUMN hirundo.ingest_batch.sensor_id IS 'sensor whose stream it is';
COMMENT ON COLUMN hirundo.ingest_batch.epoch IS 'stream of the sensor, 1 to 2^63-1, random: made with its spool';
COMMENT ON COLUMN hirundo.ingest_batch.seq IS 'number of the record in its stream, from 1 without gaps';
COMMENT ON COLUMN hirundo.ingest_batch.first_seq IS '= seq; in a LOSS the first of the records that it replaces';
COMMENT ON COLUMN hirundo.ingest_batch.checksum IS 'XXH3-64 of the record as bigint, same bits; of a LOSS: the one that the next record chains to';
COMMENT ON COLUMN hirundo.ingest_batch.packets_total IS 'cumulative packets of the stream at this record';
COMMENT ON COLUMN hirundo.ingest_batch.packets IS 'packets that this record adds to packets_total';
COMMENT ON COLUMN hirundo.ingest_batch.stored IS 'of them, stored in observation';
COMMENT ON COLUMN hirundo.ingest_batch.quarantined IS 'of them, in observation_quarantine';
COMMENT ON COLUMN hirundo.ingest_batch.not_kept IS 'of quarantined: packets whose rows were not kept, because the sensor''s quarantine was full';
COMMENT ON COLUMN hirundo.ingest_batch.rejected IS 'of them, refused (ingest_reject)';
COMMENT ON COLUMN hirundo.ingest_batch.lost IS 'of them, lost (ingest_loss)';
COMMENT ON COLUMN hirundo.ingest_batch.first_at IS 'earliest time in the record, NULL where it has none';
COMMENT ON COLUMN hirundo.ingest_batch.last_at IS 'latest time in the record, NULL where it has none';
COMMENT ON COLUMN hirundo.ingest_batch.received_at IS 'when the collector received it';
COMMENT ON COLUMN hirundo.ingest_batch.rows IS 'rows in the record';
COMMENT ON COLUMN hirundo.ingest_batch.stored_rows IS 'rows of it in observation';
COMMENT ON COLUMN hirundo.ingest_batch.samples IS 'payload samples stored';
COMMENT ON COLUMN hirundo.ingest_batch.fold_early IS 'rows that left the sensor''s fold table before their window ended';
COMMENT ON COLUMN hirundo.ingest_batch.bytes IS 'size of the record, bytes';
COMMENT ON COLUMN hirundo.ingest_batch.dataset_id IS 'data set that src_region and src_asn of its rows come from; NULL = none loaded';
COMMENT ON COLUMN hirundo.ingest_batch.kind IS 'frame type: 1 batch, 2 status, 3 loss';

-- What a record put into a UTC day.
CREATE TABLE hirundo.ingest_batch_day (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    day date NOT NULL,
    rows int NOT NULL,
    packets bigint NOT NULL,
    PRIMARY KEY (sensor_id, epoch, seq, day)
);
CREATE INDEX ingest_batch_day_day ON hirundo.ingest_batch_day (day);
COMMENT ON TABLE hirundo.ingest_batch_day IS 'What a record stored in a UTC day.';
COMMENT ON COLUMN hirundo.ingest_batch_day.sensor_id IS 'sensor whose stream it is';
COMMENT ON COLUMN hirundo.ingest_batch_day.epoch IS 'stream of the sensor, 1 to 2^63-1, random: made with its spool';
COMMENT ON COLUMN hirundo.ingest_batch_day.seq IS 'number of the record in its stream, from 1 without gaps';
COMMENT ON COLUMN hirundo.ingest_batch_day.day IS 'UTC day of observed_at';
COMMENT ON COLUMN hirundo.ingest_batch_day.rows IS 'rows stored in that day';
COMMENT ON COLUMN hirundo.ingest_batch_day.packets IS 'packets stored in that day';

-- The sums of days whose rows were dropped by retention.
CREATE TABLE hirundo.ingest_day_frozen (
    sensor_id int NOT NULL,
    day date NOT NULL,
    rows bigint NOT NULL,
    packets bigint NOT NULL,
    frozen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, day)
);
COMMENT ON TABLE hirundo.ingest_day_frozen IS 'Sums of the days whose rows retention dropped.';
COMMENT ON COLUMN hirundo.ingest_day_frozen.sensor_id IS 'sensor whose rows they were';
COMMENT ON COLUMN hirundo.ingest_day_frozen.day IS 'UTC day';
COMMENT ON COLUMN hirundo.ingest_day_frozen.rows IS 'rows that the day had';
COMMENT ON COLUMN hirundo.ingest_day_frozen.packets IS 'packets that the day had';
COMMENT ON COLUMN hirundo.ingest_day_frozen.frozen_at IS 'when the day was dropped last';

CREATE TABLE hirundo.ingest_loss (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL,
    first_seq bigint NOT NULL,
    seq bigint NOT NULL,
    packets bigint NOT NULL CHECK (packets >= 0),
    reason text NOT NULL,
    from_at timestamptz,
    to_at timestamptz,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, epoch, seq)
);
COMMENT ON TABLE hirundo.ingest_loss IS 'Records that a sensor lost, told by itself; one LOSS record a row.';
COMMENT ON COLUMN hirundo.ingest_loss.sensor_id IS 'sensor whose stream it is';
COMMENT ON COLUMN hirundo.ingest_loss.epoch IS 'stream of the sensor, 1 to 2^63-1, random: made with its spool';
COMMENT ON COLUMN hirundo.ingest_loss.first_seq IS 'first of the lost records';
COMMENT ON COLUMN hirundo.ingest_loss.seq IS 'last of the lost records: the number of the LOSS';
COMMENT ON COLUMN hirundo.ingest_loss.packets IS 'packets in them, exact';
COMMENT ON COLUMN hirundo.ingest_loss.reason IS 'spool_full, corrupt, write_failed or retention';
COMMENT ON COLUMN hirundo.ingest_loss.from_at IS 'earliest time lost, NULL where not known';
COMMENT ON COLUMN hirundo.ingest_loss.to_at IS 'latest time lost, NULL where not known';
COMMENT ON COLUMN hirundo.ingest_loss.recorded_at IS 'when the collector received the LOSS';

CREATE TABLE hirundo.ingest_reject (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    packets bigint NOT NULL,
    reason text NOT NULL,
    bytes int NOT NULL,
    frame bytea,
    kept boolean NOT NULL GENERATED ALWAYS AS (frame IS NOT NULL) STORED,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, epoch, seq)
);
CREATE INDEX ingest_reject_kept ON hirundo.ingest_reject (sensor_id) INCLUDE (bytes) WHERE kept;
COMMENT ON TABLE hirundo.ingest_reject IS 'Records that were refused: they do not decode, or the database does not take their rows.';
COMMENT ON COLUMN hirundo.ingest_reject.sensor_id IS 'sensor whose stream it is';
COMMENT ON COLUMN hirundo.ingest_reject.epoch IS 'stream of the sensor, 1 to 2^63-1, random: made with its spool';
COMMENT ON COLUMN hirundo.ingest_reject.seq IS 'number of the record in its stream, from 1 without gaps';
COMMENT ON COLUMN hirundo.ingest_reject.packets IS 'packets in it, by its header';
COMMENT ON COLUMN hirundo.ingest_reject.reason IS 'why';
COMMENT ON COLUMN hirundo.ingest_reject.bytes IS 'size of the record';
COMMENT ON COLUMN hirundo.ingest_reject.frame IS 'owner only: the record itself, byte for byte; NULL above the bound of the collector''s option reject_bytes';
COMMENT ON COLUMN hirundo.ingest_reject.kept IS 'whether frame is there';
COMMENT ON COLUMN hirundo.ingest_reject.received_at IS 'when the collector received it';

-- How far a capture file is committed.
CREATE TABLE hirundo.ingest_capture (
    sensor_id int NOT NULL,
    xxh3 bigint NOT NULL,
    generation int NOT NULL DEFAULT 0,
    ordinal bigint NOT NULL,
    epoch bigint NOT NULL,
    complete boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, xxh3, generation)
);
COMMENT ON TABLE hirundo.ingest_capture IS 'How far capture files (--read) are committed.';
COMMENT ON COLUMN hirundo.ingest_capture.sensor_id IS 'sensor that sends it';
COMMENT ON COLUMN hirundo.ingest_capture.xxh3 IS 'XXH3-64 of the file as bigint, same bits';
COMMENT ON COLUMN hirundo.ingest_capture.generation IS '0; counts up with each run of --again';
COMMENT ON COLUMN hirundo.ingest_capture.ordinal IS 'packets of the file that are committed';
COMMENT ON COLUMN hirundo.ingest_capture.epoch IS 'stream that delivered the last of them';
COMMENT ON COLUMN hirundo.ingest_capture.complete IS 'whether the file is committed to its end';
COMMENT ON COLUMN hirundo.ingest_capture.updated_at IS 'when the row was written';

-- The sensor's own books (STATUS records), cumulative for each of its runs.
CREATE TABLE hirundo.sensor_status (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    run bigint NOT NULL,
    started_at timestamptz NOT NULL,
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    clock_offset_us bigint,
    captured bigint NOT NULL,
    ignored bigint NOT NULL,
    ignored_by jsonb NOT NULL,
    sealed bigint NOT NULL,
    kernel_drops bigint NOT NULL,
    interface_drops bigint NOT NULL,
    truncated bigint NOT NULL,
    fold_early bigint NOT NULL,
    coarse bigint NOT NULL,
    samples_dropped bigint NOT NULL,
    spool_bytes bigint NOT NULL,
    spool_lost bigint NOT NULL,
    covered_from timestamptz,
    covered_to timestamptz,
    unclean_start boolean NOT NULL,
    final boolean NOT NULL,
    from_capture boolean NOT NULL,
    software text NOT NULL,
    PRIMARY KEY (sensor_id, epoch, seq)
);
-- Coverage reads it by time.
CREATE INDEX sensor_status_covered ON hirundo.sensor_status (sensor_id, covered_to);
COMMENT ON TABLE hirundo.sensor_status IS 'The sensors'' own books, from their STATUS records, cumulative for each run of the program: captured = ignored + sealed.';
COMMENT ON COLUMN hirundo.sensor_status.sensor_id IS 'sensor whose stream it is';
COMMENT ON COLUMN hirundo.sensor_status.epoch IS 'stream of the sensor, 1 to 2^63-1, random: made with its spool';
COMMENT ON COLUMN hirundo.sensor_status.seq IS 'number of the record in its stream, from 1 without gaps';
COMMENT ON COLUMN hirundo.sensor_status.run IS 'random number of the run, 64 bits as bigint';
COMMENT ON COLUMN hirundo.sensor_status.started_at IS 'when the run started, by the sensor''s clock';
COMMENT ON COLUMN hirundo.sensor_status.at IS 'when the record was made, by the sensor''s clock';
COMMENT ON COLUMN hirundo.sensor_status.received_at IS 'when the collector received it';
COMMENT ON COLUMN hirundo.sensor_status.clock_offset_us IS 'sensor''s clock less the collector''s, microseconds; NULL where not known (records that waited)';
COMMENT ON COLUMN hirundo.sensor_status.captured IS 'packets handed over by capture';
COMMENT ON COLUMN hirundo.sensor_status.ignored IS 'of them, not for storing: sum over ignored_by';
COMMENT ON COLUMN hirundo.sensor_status.ignored_by IS 'packets by reason';
COMMENT ON COLUMN hirundo.sensor_status.sealed IS 'of them, in sealed records';
COMMENT ON COLUMN hirundo.sensor_status.kernel_drops IS 'packets that the kernel dropped before capture';
COMMENT ON COLUMN hirundo.sensor_status.interface_drops IS 'packets that the interface dropped';
COMMENT ON COLUMN hirundo.sensor_status.truncated IS 'packets cut inside a header (trait truncated)';
COMMENT ON COLUMN hirundo.sensor_status.fold_early IS 'rows that left the fold table before their window ended';
COMMENT ON COLUMN hirundo.sensor_status.coarse IS 'packets kept without detail in floods (trait coarse)';
COMMENT ON COLUMN hirundo.sensor_status.samples_dropped IS 'packets whose payload was new and is in no sample: more came than the sensor masks';
COMMENT ON COLUMN hirundo.sensor_status.spool_bytes IS 'size of the spool, bytes';
COMMENT ON COLUMN hirundo.sensor_status.spool_lost IS 'packets in records that the spool lost';
COMMENT ON COLUMN hirundo.sensor_status.covered_from IS 'start of the time really listening since the STATUS before';
COMMENT ON COLUMN hirundo.sensor_status.covered_to IS 'its end, exclusive; equal to covered_from: not at all';
COMMENT ON COLUMN hirundo.sensor_status.unclean_start IS 'whether the run before ended without a final STATUS';
COMMENT ON COLUMN hirundo.sensor_status.final IS 'whether it is the last record of a clean stop';
COMMENT ON COLUMN hirundo.sensor_status.from_capture IS 'whether times are those of a capture file';
COMMENT ON COLUMN hirundo.sensor_status.software IS 'program and version';

-- Buckets of 15 minutes that changed; append-only, a mark for each record, deleted by the rollup that saw it.
CREATE TABLE hirundo.dirty_mark (
    sensor_id int NOT NULL,
    bucket timestamptz NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    rows int NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, bucket, epoch, seq)
);
COMMENT ON TABLE hirundo.dirty_mark IS 'Buckets of 15 minutes that got rows, and STATUS and LOSS records to be counted in coverage; append-only, written in the transaction of the rows, deleted by the rollup that saw them.';
COMMENT ON COLUMN hirundo.dirty_mark.sensor_id IS 'sensor whose rows they are';
COMMENT ON COLUMN hirundo.dirty_mark.bucket IS 'start of the 15 minutes, UTC; of a STATUS or LOSS the first that it tells of';
COMMENT ON COLUMN hirundo.dirty_mark.epoch IS 'stream of the record that wrote them';
COMMENT ON COLUMN hirundo.dirty_mark.seq IS 'record that wrote them';
COMMENT ON COLUMN hirundo.dirty_mark.rows IS 'rows that the record put into the bucket; 0: a STATUS or LOSS';
COMMENT ON COLUMN hirundo.dirty_mark.first_at IS 'earliest observed_at of these rows; of a STATUS or LOSS the start of the time that it tells of';
COMMENT ON COLUMN hirundo.dirty_mark.last_at IS 'latest observed_at of these rows; of a STATUS or LOSS the end of that time';

-- Who may do what. Owner only: sensor_address, sensor_connection, ingest_reject.frame. Rows of the days'
-- partitions are reached through their parents.
GRANT SELECT ON hirundo.schema_migration, hirundo.setting, hirundo.trait, hirundo.sensor, hirundo.partition_day,
    hirundo.ingest_state, hirundo.ingest_batch, hirundo.ingest_batch_day, hirundo.ingest_loss, hirundo.ingest_capture,
    hirundo.dirty_mark
    TO hirundo_ingest, hirundo_analyst;
GRANT SELECT ON hirundo.observation, hirundo.payload_sample, hirundo.observation_quarantine,
    hirundo.ingest_day_frozen, hirundo.sensor_status TO hirundo_analyst;
GRANT SELECT (sensor_id, epoch, seq, packets, reason, bytes, kept, received_at) ON hirundo.ingest_reject
    TO hirundo_ingest, hirundo_analyst;
GRANT INSERT ON hirundo.observation, hirundo.payload_sample, hirundo.observation_quarantine, hirundo.ingest_batch,
    hirundo.ingest_batch_day, hirundo.ingest_loss, hirundo.ingest_reject, hirundo.sensor_status, hirundo.dirty_mark
    TO hirundo_ingest;
-- To know how much of a sensor's is kept there already.
GRANT SELECT (sensor_id) ON hirundo.observation_quarantine TO hirundo_ingest;
GRANT INSERT, UPDATE ON hirundo.ingest_state, hirundo.ingest_capture TO hirundo_ingest;
