-- Address data: to whom an address is registered. `hirundo-admin enrich import` writes it, the collector
-- loads address_range into memory and keeps what it answered with each row. Reference tables: the same on
-- all machines of a cluster.

CREATE TABLE hirundo.enrichment_dataset (
    dataset_id int PRIMARY KEY CHECK (dataset_id > 0),
    kind text NOT NULL CHECK (kind IN ('rir', 'ranges', 'mmdb', 'pfx2as', 'overrides')),
    name text NOT NULL,
    source_date date NOT NULL,
    checksum text NOT NULL,
    ranges int NOT NULL CHECK (ranges >= 0),
    with_region int NOT NULL CHECK (with_region BETWEEN 0 AND ranges),
    with_asn int NOT NULL CHECK (with_asn BETWEEN 0 AND ranges),
    address_ranges int NOT NULL CHECK (address_ranges >= 0),
    forced boolean NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now(),
    replaced_at timestamptz
);
CREATE UNIQUE INDEX enrichment_dataset_active ON hirundo.enrichment_dataset (kind) WHERE replaced_at IS NULL;
COMMENT ON TABLE hirundo.enrichment_dataset IS 'Imports of address data, one row each. The highest id names the present state of address_range: what ingest_batch.dataset_id and others refer to.';
COMMENT ON COLUMN hirundo.enrichment_dataset.dataset_id IS 'number of the import, from 1; names the state of all kinds together after it';
COMMENT ON COLUMN hirundo.enrichment_dataset.kind IS 'rir: delegated files of the registries; ranges: CSV of ranges and regions; mmdb: MaxMind DB; pfx2as: prefixes and origins; overrides: local corrections';
COMMENT ON COLUMN hirundo.enrichment_dataset.name IS 'what it was imported as: names of the files, or as the operator called it; stands in reports';
COMMENT ON COLUMN hirundo.enrichment_dataset.source_date IS 'day that the data is of: the files'' own where they tell it, the oldest of several; else that of their modification';
COMMENT ON COLUMN hirundo.enrichment_dataset.checksum IS 'XXH3-64 of the files, one behind the other, hexadecimal';
COMMENT ON COLUMN hirundo.enrichment_dataset.ranges IS 'ranges or prefixes read from the files';
COMMENT ON COLUMN hirundo.enrichment_dataset.with_region IS 'of them, with a region';
COMMENT ON COLUMN hirundo.enrichment_dataset.with_asn IS 'of them, with an ASN';
COMMENT ON COLUMN hirundo.enrichment_dataset.address_ranges IS 'rows of address_range after this import';
COMMENT ON COLUMN hirundo.enrichment_dataset.forced IS 'whether it has over 20 % fewer ranges than the one before it, and was imported with --force';
COMMENT ON COLUMN hirundo.enrichment_dataset.imported_at IS 'when it was imported';
COMMENT ON COLUMN hirundo.enrichment_dataset.replaced_at IS 'when an import of the same kind replaced it; NULL while it is active';

CREATE TABLE hirundo.enrichment_range (
    kind text NOT NULL,
    lo inet NOT NULL,
    hi inet NOT NULL,
    asn bigint,
    region char(2),
    holder text,
    PRIMARY KEY (kind, lo)
);
COMMENT ON TABLE hirundo.enrichment_range IS 'What the active import of each kind says: disjoint ranges of addresses.';
COMMENT ON COLUMN hirundo.enrichment_range.kind IS 'as enrichment_dataset.kind';
COMMENT ON COLUMN hirundo.enrichment_range.lo IS 'first address';
COMMENT ON COLUMN hirundo.enrichment_range.hi IS 'last address, of the same family';
COMMENT ON COLUMN hirundo.enrichment_range.asn IS 'autonomous system, or NULL; of several origins the first';
COMMENT ON COLUMN hirundo.enrichment_range.region IS 'ISO 3166-1 alpha-2 as the file has it (EU and AP occur); ZZ: allocated, country not told; NULL: not told by this kind';
COMMENT ON COLUMN hirundo.enrichment_range.holder IS 'rir: opaque-id of the holder (delegated-extended); overrides: as given; else NULL';

CREATE TABLE hirundo.address_range (
    lo inet PRIMARY KEY,
    hi inet NOT NULL,
    asn bigint,
    region char(2),
    holder text
);
COMMENT ON TABLE hirundo.address_range IS 'All kinds together: sorted, disjoint ranges, written anew by each import. Region by address_kind(), ASN by pfx2as, else mmdb; overrides on top.';
COMMENT ON COLUMN hirundo.address_range.lo IS 'first address';
COMMENT ON COLUMN hirundo.address_range.hi IS 'last address, of the same family';
COMMENT ON COLUMN hirundo.address_range.asn IS 'autonomous system, or NULL where not known';
COMMENT ON COLUMN hirundo.address_range.region IS 'ISO 3166-1 alpha-2 of the registration; ZZ: allocated, country not told; NULL where not known (address_kind() = rir: unallocated)';
COMMENT ON COLUMN hirundo.address_range.holder IS 'who holds it: that of overrides, else AS and the number where the ASN is known, else the opaque-id of the registry, else NULL';

CREATE FUNCTION hirundo.address_info(src inet)
RETURNS TABLE (region char(2), asn bigint, holder text, dataset_id int)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT a.region, a.asn, a.holder, (SELECT max(d.dataset_id) FROM hirundo.enrichment_dataset d)
    FROM (VALUES (1)) AS always
        LEFT JOIN LATERAL (
            SELECT r.region, r.asn, r.holder, r.hi FROM hirundo.address_range r
            WHERE r.lo <= src ORDER BY r.lo DESC LIMIT 1) a ON a.hi >= src;
END;
COMMENT ON FUNCTION hirundo.address_info IS
    'What address data knows of an address (a host, not a network): always one row, NULL where nothing is known; '
    'dataset_id: the state that answered, NULL without any import. One index probe; for LATERAL.';

CREATE FUNCTION hirundo.address_kind() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT d.kind FROM hirundo.enrichment_dataset d
    WHERE d.replaced_at IS NULL AND d.with_region > 0 AND d.kind IN ('rir', 'mmdb', 'ranges')
    ORDER BY CASE d.kind WHEN 'rir' THEN 1 WHEN 'mmdb' THEN 2 ELSE 3 END LIMIT 1);
COMMENT ON FUNCTION hirundo.address_kind IS
    'The kind of address data that decides the region: rir where imported (an address that it does not list is '
    'unallocated), else mmdb with regions, else ranges; NULL: none is imported.';

GRANT SELECT ON hirundo.enrichment_dataset, hirundo.address_range TO hirundo_ingest, hirundo_analyst;
GRANT SELECT ON hirundo.enrichment_range TO hirundo_analyst;
REVOKE ALL ON FUNCTION hirundo.address_info, hirundo.address_kind FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.address_info, hirundo.address_kind TO hirundo_ingest, hirundo_analyst;
