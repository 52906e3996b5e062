-- Address data: to whom an address is registered. `hirundo-admin enrich import` writes it, the collector
-- loads address_range into memory and keeps what it answered with each row; the rollup keeps who held the
-- address (organization_range). Scanners and groups are looked up when a report is asked for. Reference tables:
-- the same on all machines of a cluster.

CREATE TABLE hirundo.enrichment_dataset (
    dataset_id int PRIMARY KEY CHECK (dataset_id > 0),
    kind text NOT NULL CHECK (kind IN ('rir', 'ranges', 'mmdb', 'pfx2as', 'overrides', 'organizations',
        'scanners', 'groups')),
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
COMMENT ON COLUMN hirundo.enrichment_dataset.kind IS 'rir: delegated files of the registries; ranges: CSV of ranges and regions; mmdb: MaxMind DB; pfx2as: prefixes and origins; overrides: local corrections; organizations: prefixes, who holds them and the contact; scanners: prefixes of who scans for research; groups: named lists of prefixes';
COMMENT ON COLUMN hirundo.enrichment_dataset.name IS 'what it was imported as: names of the files, or as the operator called it; stands in reports';
COMMENT ON COLUMN hirundo.enrichment_dataset.source_date IS 'day that the data is of: the files'' own where they tell it, the oldest of several; else that of their modification';
COMMENT ON COLUMN hirundo.enrichment_dataset.checksum IS 'XXH3-64 of the files, one behind the other, hexadecimal';
COMMENT ON COLUMN hirundo.enrichment_dataset.ranges IS 'ranges or prefixes read from the files';
COMMENT ON COLUMN hirundo.enrichment_dataset.with_region IS 'of them, with a region';
COMMENT ON COLUMN hirundo.enrichment_dataset.with_asn IS 'of them, with an ASN';
COMMENT ON COLUMN hirundo.enrichment_dataset.address_ranges IS 'rows of address_range after this import; of organizations, scanners and groups: of their own table';
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

-- Organizations.

CREATE TABLE hirundo.organization (
    organization_id int PRIMARY KEY CHECK (organization_id > 0),
    name text NOT NULL CHECK (name <> ''),
    contact text CHECK (contact <> ''),
    dataset_id int NOT NULL,
    UNIQUE NULLS NOT DISTINCT (name, contact)
);
COMMENT ON TABLE hirundo.organization IS 'Who ever held addresses, by an import of kind organizations. Rows never change and are never deleted: rollups refer to them.';
COMMENT ON COLUMN hirundo.organization.organization_id IS 'number, never used again; one organization has several where its contact changed: reports add up by name';
COMMENT ON COLUMN hirundo.organization.name IS 'name, as the file had it; never AS and a number, which stands for an address without organization';
COMMENT ON COLUMN hirundo.organization.contact IS 'e-mail address of its contact for abuse; NULL: none was given';
COMMENT ON COLUMN hirundo.organization.dataset_id IS 'import that named this organization with this contact first (enrichment_dataset)';

CREATE TABLE hirundo.organization_range (
    lo inet PRIMARY KEY,
    hi inet NOT NULL,
    organization_id int NOT NULL
);
COMMENT ON TABLE hirundo.organization_range IS 'What the active import of kind organizations says, nested prefixes made into sorted, disjoint ranges: the longest prefix holds.';
COMMENT ON COLUMN hirundo.organization_range.lo IS 'first address';
COMMENT ON COLUMN hirundo.organization_range.hi IS 'last address, of the same family';
COMMENT ON COLUMN hirundo.organization_range.organization_id IS 'who holds it (organization)';

CREATE FUNCTION hirundo.organization_of(src inet) RETURNS TABLE (organization_id int)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT (
        SELECT CASE WHEN r.hi >= src THEN r.organization_id END FROM hirundo.organization_range r
        WHERE r.lo <= src ORDER BY r.lo DESC LIMIT 1);
END;
COMMENT ON FUNCTION hirundo.organization_of IS
    'Who holds an address (a host, not a network) by the active import: always one row, NULL where that is not known. '
    'One index probe; for LATERAL.';

CREATE FUNCTION hirundo.organization_label(name text, asn bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(name, 'AS' || asn, 'not known');
COMMENT ON FUNCTION hirundo.organization_label IS
    'What reports call the holder of an address: its organization, else AS and the number, else not known.';

-- Research scanners.

CREATE TABLE hirundo.scanner (
    entry int PRIMARY KEY,
    network cidr NOT NULL,
    organization text NOT NULL,
    source text,
    valid_from date,
    valid_to date,
    CHECK (valid_from <= valid_to)
);
CREATE INDEX scanner_network ON hirundo.scanner USING gist (network inet_ops);
COMMENT ON TABLE hirundo.scanner IS 'Who scans for research and says so: what filter exclude scanner_org leaves out. Of the active import of kind scanners; prefixes may overlap.';
COMMENT ON COLUMN hirundo.scanner.entry IS 'number within the import';
COMMENT ON COLUMN hirundo.scanner.network IS 'prefix that it scans from';
COMMENT ON COLUMN hirundo.scanner.organization IS 'who it is';
COMMENT ON COLUMN hirundo.scanner.source IS 'where that is published; NULL: not told';
COMMENT ON COLUMN hirundo.scanner.valid_from IS 'first reporting day that it is so; NULL: not told, any';
COMMENT ON COLUMN hirundo.scanner.valid_to IS 'last reporting day that it is so; NULL: not told, any';

-- Groups of networks.

CREATE TABLE hirundo.network_group (
    name text NOT NULL CHECK (name <> ''),
    network cidr NOT NULL,
    PRIMARY KEY (name, network)
);
COMMENT ON TABLE hirundo.network_group IS 'Named lists of networks, for filter network_group. Of the active import of kind groups; networks may be in several groups, and in each other.';
COMMENT ON COLUMN hirundo.network_group.name IS 'name of the group';
COMMENT ON COLUMN hirundo.network_group.network IS 'prefix that belongs to it';

-- Sets of addresses.

CREATE FUNCTION hirundo.bounds4(networks inet[]) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT b.at FROM (
        SELECT p.lo, p.hi, max(p.hi) OVER (
            ORDER BY p.lo, p.hi DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM (
            SELECT network(n.network) - inet '0.0.0.0' AS lo, broadcast(n.network) - inet '0.0.0.0' AS hi
            FROM unnest(networks) AS n (network) WHERE family(n.network) = 4) p) q
    CROSS JOIN LATERAL (VALUES (q.lo), (q.hi + 1)) AS b (at)
    -- A prefix in another one says nothing.
    WHERE q.before IS NULL OR q.before < q.lo
    ORDER BY b.at);
COMMENT ON FUNCTION hirundo.bounds4 IS
    'The IPv4 addresses of prefixes, sorted, as numbers: where each stretch of them begins, and where it is over. For '
    'within(): double precision, because width_bucket() is quickest in that.';

CREATE FUNCTION hirundo.bounds6(networks inet[]) RETURNS uuid[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT encode(substr(inet_send(b.at), 5), 'hex')::uuid FROM (
        SELECT p.lo, p.hi, max(p.hi) OVER (
            ORDER BY p.lo, p.hi DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM (
            SELECT set_masklen(network(n.network)::inet, 128) AS lo, set_masklen(broadcast(n.network), 128) AS hi
            FROM unnest(networks) AS n (network) WHERE family(n.network) = 6) p) q
    CROSS JOIN LATERAL (VALUES (q.lo),
        -- Behind the last address is nothing.
        (CASE WHEN q.hi < inet 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' THEN q.hi + 1 END)) AS b (at)
    WHERE (q.before IS NULL OR q.before < q.lo) AND b.at IS NOT NULL
    ORDER BY b.at);
COMMENT ON FUNCTION hirundo.bounds6 IS 'bounds4() of IPv6; numbers of 128 bits as uuid.';

CREATE FUNCTION hirundo.within(src inet, v4 double precision[], v6 uuid[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Inside is behind an odd number of bounds.
RETURN CASE family(src) WHEN 4 THEN width_bucket((src - inet '0.0.0.0')::double precision, v4)
    ELSE width_bucket(encode(substr(inet_send(src), 5), 'hex')::uuid, v6) END & 1 = 1;
COMMENT ON FUNCTION hirundo.within IS
    'Whether an address is in a set: bounds4() and bounds6() of its prefixes. A binary search, whatever the number of '
    'prefixes.';

CREATE FUNCTION hirundo.scanners(period daterange, whole boolean) RETURNS inet[]
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT s.network::inet FROM hirundo.scanner s
    CROSS JOIN LATERAL (SELECT daterange(s.valid_from, s.valid_to, '[]')) AS v (days)
    WHERE v.days && period AND (v.days @> period) = whole);
COMMENT ON FUNCTION hirundo.scanners IS
    'Prefixes of research scanners in a period: whole: on all its days; not whole: on some of them.';

CREATE FUNCTION hirundo.scans(src inet, day date) RETURNS boolean
-- Not a part of the query that asks: a subquery would keep it from being run in parallel.
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM hirundo.scanner s
        WHERE s.network >>= scans.src AND scans.day <@ daterange(s.valid_from, s.valid_to, '[]'));
END
$$;
COMMENT ON FUNCTION hirundo.scans IS 'Whether an address is a research scanner''s on a reporting day.';

GRANT SELECT ON hirundo.enrichment_dataset, hirundo.address_range TO hirundo_ingest, hirundo_analyst;
GRANT SELECT ON hirundo.organization, hirundo.organization_range, hirundo.scanner, hirundo.network_group
    TO hirundo_analyst;
GRANT SELECT ON hirundo.enrichment_range TO hirundo_analyst;
REVOKE ALL ON FUNCTION hirundo.address_info, hirundo.address_kind, hirundo.organization_of, hirundo.organization_label,
    hirundo.bounds4, hirundo.bounds6, hirundo.within, hirundo.scanners, hirundo.scans FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.address_info, hirundo.address_kind TO hirundo_ingest, hirundo_analyst;
GRANT EXECUTE ON FUNCTION hirundo.organization_of, hirundo.organization_label, hirundo.bounds4, hirundo.bounds6,
    hirundo.within, hirundo.scanners, hirundo.scans TO hirundo_analyst;
