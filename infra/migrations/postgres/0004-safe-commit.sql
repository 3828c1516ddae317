-- Called with each change, in its transaction: whoever commits must wait until the commit is on the disk, and must read
-- what is there once it has its locks. The settings may have changed since the connection was made.
-- `names`: the tables that are written. SQLSTATE UL001: the settings, or a table, could lose what was acknowledged.
CREATE FUNCTION ensure_safe_commit(names text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  unlogged text;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE 'default_transaction_isolation is not "read committed"' USING ERRCODE = 'UL001';
  END IF;
  IF current_setting('fsync') = 'off' THEN
    RAISE 'fsync is off' USING ERRCODE = 'UL001';
  END IF;
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  SELECT relname INTO unlogged FROM pg_class
  WHERE oid = ANY (ARRAY(SELECT to_regclass(name) FROM unnest(names) AS name)) AND relpersistence <> 'p';
  IF FOUND THEN
    RAISE 'the table % is not logged', unlogged USING ERRCODE = 'UL001';
  END IF;
END
$$;
