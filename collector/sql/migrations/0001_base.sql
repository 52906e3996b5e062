-- The base: sensors, observations, the books of delivery.
--
-- Rules that hold for every table (so that one machine can become a Citus cluster without a change):
-- sensor_id int NOT NULL leads each primary key of a per-sensor table; no sequence, no trigger, no
-- foreign key but to hirundo.sensor; partitions by plain DDL; no DEFAULT partition.
-- Unsigned 64-bit values (checksums, content and file hashes) are stored as bigint, same bits.

CREATE SCHEMA hirundo;
CREATE SCHEMA report;

CREATE TABLE hirundo.setting (
    name text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO hirundo.setting VALUES
    ('compatible_from', '1'),
    ('raw_retention_days', '200'),
    ('reporting_zone', 'UTC'),
    ('home_region', 'JP');

CREATE TABLE hirundo.trait (
    bit smallint PRIMARY KEY CHECK (bit BETWEEN 0 AND 30),
    name text NOT NULL UNIQUE,
    description text NOT NULL
);

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
CREATE INDEX observation_observed_at ON hirundo.observation USING brin (observed_at);

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

-- Days that have partitions, and which sensor's records asked for them (NULL: made ahead).
CREATE TABLE hirundo.partition_day (
    day date PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_for int
);

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

-- The sums of days whose rows were dropped by retention.
CREATE TABLE hirundo.ingest_day_frozen (
    sensor_id int NOT NULL,
    day date NOT NULL,
    rows bigint NOT NULL,
    packets bigint NOT NULL,
    frozen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, day)
);

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

CREATE TABLE hirundo.ingest_reject (
    sensor_id int NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    packets bigint NOT NULL,
    reason text NOT NULL,
    bytes int NOT NULL,
    frame bytea,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, epoch, seq)
);

-- How far a capture file is committed.
CREATE TABLE hirundo.ingest_capture (
    sensor_id int NOT NULL,
    xxh3 bigint NOT NULL,
    generation int NOT NULL DEFAULT 0,
    ordinal bigint NOT NULL,
    complete boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, xxh3, generation)
);

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

-- Buckets of 15 minutes that changed; append-only, one mark a record, deleted by the rollup that saw it.
CREATE TABLE hirundo.dirty_mark (
    sensor_id int NOT NULL,
    bucket timestamptz NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (sensor_id, bucket, epoch, seq)
);
