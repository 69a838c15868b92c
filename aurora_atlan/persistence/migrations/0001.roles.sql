-- Group roles that logins are granted: aurora_migrator owns the tables and so may change them, aurora_app
-- is what the service needs, aurora_reader may only look (replicas, reports).
-- Roles belong to the whole cluster, so another database may have made them already, or be doing so now.
-- depends:

DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['aurora_migrator', 'aurora_app', 'aurora_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$roles$;
