-- What the collector may have done and must not do by itself: it owns nothing. SECURITY DEFINER, each
-- with a fixed search_path, names written out.

CREATE FUNCTION hirundo.role(traits int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN traits & 31744 <> 0 THEN 'response' ELSE 'probe' END;
COMMENT ON FUNCTION hirundo.role IS
    'Role of a row by observation.traits: response (a backscatter trait is set) or probe.';

-- Days.

CREATE FUNCTION hirundo.raw_retention() RETURNS interval
LANGUAGE sql STABLE
RETURN (SELECT make_interval(days => value::int) FROM hirundo.setting WHERE name = 'raw_retention_days');
COMMENT ON FUNCTION hirundo.raw_retention IS 'How long observations are kept (setting raw_retention_days).';

CREATE FUNCTION hirundo.day_received_at(p_day date) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN (SELECT max(b.received_at)
    FROM hirundo.ingest_batch_day d JOIN hirundo.ingest_batch b USING (sensor_id, epoch, seq)
    WHERE d.day = p_day);
COMMENT ON FUNCTION hirundo.day_received_at IS
    'When the last record with rows of this UTC day was received; NULL where the day has none.';

CREATE FUNCTION hirundo.ensure_day(p_day date, p_sensor_id int) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parent text;
    partition text;
BEGIN
    IF p_day IS NULL OR p_day NOT BETWEEN '1970-01-01' AND '2200-12-31' THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM hirundo.partition_day WHERE day = p_day) THEN
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('hirundo.partition_day'));
    IF EXISTS (SELECT FROM hirundo.partition_day WHERE day = p_day) THEN
        RETURN true;
    END IF;
    IF (SELECT count(*) FROM hirundo.partition_day WHERE created_for = p_sensor_id) >= 400 THEN
        RETURN false;
    END IF;
    FOREACH parent IN ARRAY ARRAY['observation', 'payload_sample'] LOOP
        partition := parent || to_char(p_day, '_YYYYMMDD');
        -- ATTACH, because CREATE ... PARTITION OF would wait for every reader of the parent, and all
        -- ingest behind it.
        EXECUTE format('CREATE TABLE hirundo.%I (LIKE hirundo.%I INCLUDING CONSTRAINTS)', partition, parent);
        EXECUTE format('ALTER TABLE hirundo.%I ATTACH PARTITION hirundo.%I FOR VALUES FROM (%L) TO (%L)',
            parent, partition, to_char(p_day, 'YYYY-MM-DD 00:00:00+00'), to_char(p_day + 1, 'YYYY-MM-DD 00:00:00+00'));
    END LOOP;
    INSERT INTO hirundo.partition_day (day, created_for) VALUES (p_day, p_sensor_id);
    RETURN true;
END
$$;
COMMENT ON FUNCTION hirundo.ensure_day IS
    'Makes the partitions of a UTC day (1970 to 2200) where they are missing, for a sensor or ahead (NULL). '
    'False: the day is out of range, or the sensor has caused 400 days already.';

CREATE FUNCTION hirundo.droppable_days() RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT day FROM hirundo.partition_day
    WHERE (day + 1)::timestamp AT TIME ZONE 'UTC' <= now() - hirundo.raw_retention()
        AND coalesce(hirundo.day_received_at(day), '-infinity') <= now() - hirundo.raw_retention()
        -- The rollup has not seen all of it yet.
        AND NOT EXISTS (SELECT FROM hirundo.dirty_mark m WHERE m.rows > 0
            AND m.bucket >= day::timestamp AT TIME ZONE 'UTC' AND m.bucket < (day + 1)::timestamp AT TIME ZONE 'UTC')
    ORDER BY day;
END;
COMMENT ON FUNCTION hirundo.droppable_days IS
    'UTC days that retention may drop: older than raw_retention, nothing was received for them within it, and all is in '
    'the rollups.';

CREATE FUNCTION hirundo.drop_day(p_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Ingest waits behind us while we wait: give up soon, the caller tries again later.
SET lock_timeout = '2s'
AS $$
DECLARE
    suffix text := to_char(p_day, '_YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('hirundo.partition_day'));
    IF NOT EXISTS (SELECT FROM hirundo.droppable_days() AS d (day) WHERE day = p_day) THEN
        RETURN false;
    END IF;
    -- From here on no row can come in; asked again, because one may have come before the lock.
    LOCK TABLE hirundo.observation, hirundo.payload_sample IN ACCESS EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM hirundo.droppable_days() AS d (day) WHERE day = p_day) THEN
        RETURN false;
    END IF;
    -- A day that was dropped, filled once more by a capture and is dropped again adds up.
    INSERT INTO hirundo.ingest_day_frozen AS f (sensor_id, day, rows, packets)
        SELECT sensor_id, day, sum(rows), sum(packets) FROM hirundo.ingest_batch_day
        WHERE day = p_day GROUP BY sensor_id, day
        ON CONFLICT (sensor_id, day) DO UPDATE
        SET rows = f.rows + excluded.rows, packets = f.packets + excluded.packets, frozen_at = now();
    DELETE FROM hirundo.ingest_batch_day WHERE day = p_day;
    DELETE FROM hirundo.partition_day WHERE day = p_day;
    EXECUTE format('DROP TABLE hirundo.%I, hirundo.%I', 'observation' || suffix, 'payload_sample' || suffix);
    RETURN true;
END
$$;
COMMENT ON FUNCTION hirundo.drop_day IS
    'Drops the rows of a UTC day and keeps their sums in ingest_day_frozen. False: no such day, or it is not in '
    'droppable_days(). Error 55P03 when the tables are busy: try again.';

CREATE FUNCTION hirundo.closable_days() RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT day FROM hirundo.partition_day
    WHERE closed_at IS NULL
        AND (day + 1)::timestamp AT TIME ZONE 'UTC' <= now() - interval '2 hours'
        AND coalesce(hirundo.day_received_at(day), '-infinity') <= now() - interval '2 hours'
    ORDER BY day;
END;
COMMENT ON FUNCTION hirundo.closable_days IS
    'Open UTC days that ended 2 hours ago or earlier, and nothing was received for them since.';

CREATE FUNCTION hirundo.close_day(p_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition text := to_char(p_day, '"observation_"YYYYMMDD');
BEGIN
    -- Another lock than that of the days: new ones must not wait for indexes.
    PERFORM pg_advisory_xact_lock(hashtext('hirundo.close_day'));
    IF NOT EXISTS (SELECT FROM hirundo.closable_days() AS d (day) WHERE day = p_day) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE INDEX %I ON hirundo.%I (src, observed_at)', partition || '_src', partition);
    EXECUTE format('CREATE INDEX %I ON hirundo.%I (dst_port, observed_at)', partition || '_dst_port', partition);
    UPDATE hirundo.partition_day SET closed_at = now() WHERE day = p_day;
    RETURN true;
END
$$;
COMMENT ON FUNCTION hirundo.close_day IS
    'Builds the indexes of a closed UTC day (an open one has none: they cost 4 to 5 times the ingest rate). '
    'False: no such day, or it is not in closable_days(). Rows for the day wait meanwhile.';

-- Addresses.

CREATE FUNCTION hirundo.issue_targets(p_sensor_id int, p_addresses cidr[], p_captured cidr[],
    p_used int[] DEFAULT NULL, p_next int DEFAULT 1) RETURNS int[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry record;
    wanted bigint;
    next_target bigint;
    result int[] := '{}';
    known bigint;
BEGIN
    IF cardinality(p_addresses) IS DISTINCT FROM cardinality(p_captured) OR p_addresses IS NULL
        OR cardinality(p_used) <> cardinality(p_addresses) THEN
        RAISE EXCEPTION 'as many captured addresses as addresses are needed' USING ERRCODE = '22023';
    END IF;
    -- One at a time for each sensor.
    PERFORM FROM hirundo.sensor WHERE sensor_id = p_sensor_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no sensor %', p_sensor_id USING ERRCODE = '23503';
    END IF;
    next_target := greatest(p_next, 1,
        (SELECT max(first_target::bigint + targets) FROM hirundo.sensor_address
            WHERE sensor_id = p_sensor_id AND targets > 0),
        (SELECT max(u.used + CASE WHEN family(u.address) = 4 THEN 1::bigint << (32 - masklen(u.address)) ELSE 1 END)
            FROM unnest(p_addresses, p_used) AS u (address, used) WHERE u.used > 0 AND masklen(u.address) > 0));
    FOR entry IN
        SELECT * FROM unnest(p_addresses, p_captured, p_used) WITH ORDINALITY AS u (address, captured, used, place)
            ORDER BY place
    LOOP
        IF entry.address IS NULL OR family(entry.captured) <> family(entry.address)
            OR masklen(entry.captured) <> masklen(entry.address)
            OR (family(entry.address) = 4 AND masklen(entry.address) BETWEEN 1 AND 7) THEN
            RAISE EXCEPTION 'address % can not be announced', entry.place USING ERRCODE = '22023';
        END IF;
        SELECT first_target INTO known FROM hirundo.sensor_address
            WHERE sensor_id = p_sensor_id AND address = entry.address;
        IF NOT FOUND THEN
            wanted := CASE WHEN masklen(entry.address) = 0 THEN 0
                WHEN family(entry.address) = 4 THEN 1::bigint << (32 - masklen(entry.address))
                ELSE 1 END;
            -- What the sensor has already stays: this database was restored to before it was issued.
            known := CASE WHEN wanted = 0 THEN 0 WHEN entry.used > 0 THEN entry.used ELSE next_target END;
            IF known + wanted > 2147483647 THEN
                RAISE EXCEPTION 'sensor % has no more target numbers', p_sensor_id USING ERRCODE = '54000';
            END IF;
            IF known <> next_target AND EXISTS (SELECT FROM hirundo.sensor_address WHERE sensor_id = p_sensor_id
                AND targets > 0 AND first_target < known + wanted AND known < first_target::bigint + targets) THEN
                RAISE EXCEPTION 'address %: the sensor has target numbers for it that are another''s here', entry.place
                    USING ERRCODE = '22023', HINT = 'Its spool is of another database.';
            END IF;
            next_target := greatest(next_target, known + wanted);
            INSERT INTO hirundo.sensor_address (sensor_id, address, captured, first_target, targets)
                VALUES (p_sensor_id, entry.address, entry.captured, known, wanted);
        ELSIF entry.used > 0 AND entry.used <> known THEN
            RAISE EXCEPTION 'address %: the sensor has other target numbers for it than this database', entry.place
                USING ERRCODE = '22023', HINT = 'Its spool is of another database.';
        END IF;
        result := result || known;
    END LOOP;
    UPDATE hirundo.sensor_address s SET captured = u.captured, valid_to = NULL
        FROM unnest(p_addresses, p_captured) AS u (address, captured)
        WHERE s.sensor_id = p_sensor_id AND s.address = u.address
            AND (s.valid_to IS NOT NULL OR s.captured IS DISTINCT FROM u.captured);
    UPDATE hirundo.sensor_address SET valid_to = now()
        WHERE sensor_id = p_sensor_id AND valid_to IS NULL AND address <> ALL (p_addresses);
    RETURN result;
END
$$;
COMMENT ON FUNCTION hirundo.issue_targets IS
    'Notes where a sensor listens now (captured: NULL, or what packets carry instead) and returns the first target '
    'number of each entry, in order. Numbers are issued once and never reused; an address that comes back has its own. '
    'p_used: numbers that the sensor has already (0: none), kept where they are free; p_next: issue none below.';

-- Captures.

CREATE FUNCTION hirundo.advance_capture(p_sensor_id int, p_xxh3 bigint, p_generation int, p_epoch_before bigint,
    p_ordinal_before bigint, p_epoch bigint, p_ordinal bigint, p_complete boolean, p_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_epoch_before IS NULL THEN
        INSERT INTO hirundo.ingest_capture (sensor_id, xxh3, generation, ordinal, epoch, complete, updated_at)
            VALUES (p_sensor_id, p_xxh3, p_generation, p_ordinal, p_epoch, p_complete, p_at)
            ON CONFLICT DO NOTHING;
    ELSE
        UPDATE hirundo.ingest_capture SET ordinal = p_ordinal, epoch = p_epoch, complete = p_complete, updated_at = p_at
            WHERE sensor_id = p_sensor_id AND xxh3 = p_xxh3 AND generation = p_generation
                AND epoch = p_epoch_before AND ordinal = p_ordinal_before;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sensor %: the capture is not where it was', p_sensor_id USING ERRCODE = '40001';
    END IF;
END
$$;
COMMENT ON FUNCTION hirundo.advance_capture IS
    'Notes how far a capture file is committed, from where the caller found it (epoch NULL: not at all). '
    'Error 40001 where it is elsewhere by now: read it again.';

-- Connections.

CREATE FUNCTION hirundo.connection_opened(p_sensor_id int, p_connection bigint, p_peer inet, p_software text)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- One connection a sensor: what is open still was never closed, because its collector died.
    UPDATE hirundo.sensor_connection SET disconnected_at = clock_timestamp(), reason = 'another connection came'
        WHERE sensor_id = p_sensor_id AND disconnected_at IS NULL;
    INSERT INTO hirundo.sensor_connection (sensor_id, connected_at, connection, peer, software)
        VALUES (p_sensor_id, clock_timestamp(), p_connection, p_peer, p_software);
    DELETE FROM hirundo.sensor_connection
        WHERE sensor_id = p_sensor_id AND connected_at < greatest(
            now() - (SELECT make_interval(days => value::int) FROM hirundo.setting
                WHERE name = 'connection_retention_days'),
            (SELECT connected_at FROM hirundo.sensor_connection WHERE sensor_id = p_sensor_id
                ORDER BY connected_at DESC OFFSET 999 LIMIT 1));
END;
COMMENT ON FUNCTION hirundo.connection_opened IS 'Notes that a sensor was let in, and forgets its old connections.';

CREATE FUNCTION hirundo.connection_closed(p_sensor_id int, p_connection bigint, p_reason text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    UPDATE hirundo.sensor_connection SET disconnected_at = clock_timestamp(), reason = p_reason
        WHERE sensor_id = p_sensor_id AND connection = p_connection AND disconnected_at IS NULL;
END;
COMMENT ON FUNCTION hirundo.connection_closed IS 'Notes that a connection of a sensor ended, and why.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hirundo FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hirundo.role, hirundo.raw_retention, hirundo.day_received_at
    TO hirundo_ingest, hirundo_analyst;
GRANT EXECUTE ON FUNCTION hirundo.ensure_day, hirundo.droppable_days, hirundo.drop_day, hirundo.closable_days,
    hirundo.close_day, hirundo.issue_targets, hirundo.advance_capture, hirundo.connection_opened, hirundo.connection_closed
    TO hirundo_ingest;
