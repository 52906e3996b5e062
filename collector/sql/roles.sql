-- Roles, their settings, and who may connect. Run by `db init` and `db migrate` before the migrations,
-- each time: roles belong to the cluster (another database of it may have made them), and a dump that
-- is restored comes without the rights on its database.

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('hirundo_owner', 'NOLOGIN'),
            ('hirundo_ingest', 'LOGIN'),
            ('hirundo_analyst', 'LOGIN'),
            ('hirundo_dashboard', 'LOGIN')) AS r (name, login)
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
                EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.login);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this cluster made it at the same moment
        END;
    END LOOP;
    FOR wanted IN
        SELECT rolname FROM pg_catalog.pg_roles
        WHERE rolname IN ('hirundo_owner', 'hirundo_ingest', 'hirundo_analyst', 'hirundo_dashboard')
            AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)
    LOOP
        RAISE EXCEPTION 'role % is there already and may do too much: take its attributes away', wanted.rolname;
    END LOOP;
    IF NOT pg_catalog.pg_has_role('hirundo_owner', 'MEMBER') THEN
        EXECUTE format('GRANT hirundo_owner TO %I', current_user);
    END IF;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO hirundo_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO hirundo_ingest, hirundo_dashboard', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO hirundo_analyst', current_database());

    FOR wanted IN
        SELECT * FROM (VALUES
            -- A lost client must not hold its sensor's row; a stuck server must be noticed.
            ('hirundo_ingest', 'search_path', 'hirundo, pg_temp'),
            ('hirundo_ingest', 'statement_timeout', '2min'),
            ('hirundo_ingest', 'lock_timeout', '10s'),
            ('hirundo_ingest', 'idle_in_transaction_session_timeout', '30s'),
            -- Acknowledged means committed means on disk, whatever the cluster's default is.
            ('hirundo_ingest', 'synchronous_commit', 'on'),
            -- Addresses of sensors and where they connect from stand in what it sends: no text of it in the
            -- server's log, whatever the cluster logs. The collector logs its errors itself.
            ('hirundo_ingest', 'log_min_error_statement', 'panic'),
            ('hirundo_ingest', 'log_error_verbosity', 'terse'),
            ('hirundo_ingest', 'log_statement', 'none'),
            ('hirundo_ingest', 'log_min_duration_statement', '-1'),
            ('hirundo_ingest', 'log_min_duration_sample', '-1'),
            ('hirundo_ingest', 'log_transaction_sample_rate', '0'),
            ('hirundo_analyst', 'search_path', 'hirundo, report, pg_temp'),
            ('hirundo_analyst', 'default_transaction_read_only', 'on'),
            ('hirundo_analyst', 'statement_timeout', '30min'),
            ('hirundo_analyst', 'idle_in_transaction_session_timeout', '10min'),
            ('hirundo_dashboard', 'search_path', 'report, pg_temp'),
            ('hirundo_dashboard', 'default_transaction_read_only', 'on'),
            ('hirundo_dashboard', 'statement_timeout', '10s'),
            ('hirundo_dashboard', 'idle_in_transaction_session_timeout', '10s')) AS s (role, name, value)
    LOOP
        BEGIN
            -- What an operator has set stays.
            IF NOT EXISTS (
                SELECT FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS c (text)
                WHERE s.setdatabase = 0 AND s.setrole = wanted.role::regrole
                    AND split_part(c.text, '=', 1) = wanted.name)
            THEN
                -- search_path is a list: its words are identifiers, not one string.
                EXECUTE format('ALTER ROLE %I SET %I = ', wanted.role, wanted.name)
                    || CASE WHEN wanted.name = 'search_path' THEN wanted.value ELSE quote_literal(wanted.value) END;
            END IF;
        EXCEPTION WHEN internal_error THEN
            NULL; -- "tuple concurrently updated": another database of this cluster has just set it
        END;
    END LOOP;
END
$$;
