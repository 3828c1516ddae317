CREATE TABLE schema_marker (
  component text PRIMARY KEY,
  version integer NOT NULL
);

CREATE TABLE revoked_id (
  id text COLLATE "C" PRIMARY KEY,
  revoked_at bigint NOT NULL,
  expires_at bigint NOT NULL
);

CREATE INDEX revoked_id_expiry ON revoked_id (expires_at);

CREATE TABLE revocation_cut_off (
  key text COLLATE "C" PRIMARY KEY,
  issued_up_to bigint NOT NULL,
  expires_at bigint NOT NULL
);

CREATE INDEX revocation_cut_off_expiry ON revocation_cut_off (expires_at);

-- Records one revocation in the caller's transaction, and says whether it is the first and since when it holds.
-- No row: the schema marker is missing. Needs READ COMMITTED: what it reads must be what is there once it has the locks.
CREATE FUNCTION record_revocation(
  schema_version integer,
  now_s bigint,
  expiry bigint,
  grant_expiry bigint,
  ids text[],
  grants text[],
  cut_off_keys text[],
  cut_off_times bigint[],
  presented_ids text[],
  presented_grants text[],
  presented_keys text[],
  presented_iat bigint,
  iat_offset bigint,
  OUT first boolean,
  OUT since bigint
) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
  known_since bigint;
  was_revoked boolean;
  was_cut_off boolean;
  furthest bigint; -- NULL: as far as is asked
  moves boolean;
BEGIN
  PERFORM FROM schema_marker WHERE component = 'token-revocation' AND version >= schema_version;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  -- Revocations that touch the same id, grant or cut-off go one after another; a lock on rows would not do, for what
  -- is presented may have none. What is only read is locked shared, or one client's revocations would all queue up.
  -- Always in the order of the hashes, each once: so there is no deadlock.
  PERFORM CASE WHEN is_written
      THEN pg_advisory_xact_lock(hash)
      ELSE pg_advisory_xact_lock_shared(hash)
    END
  FROM (
    SELECT hashtextextended(name, 0) AS hash, bool_or(written) AS is_written
    FROM (
      SELECT 'id:' || unnest(ids || grants), true
      UNION ALL SELECT 'cut-off:' || unnest(cut_off_keys), true
      UNION ALL SELECT 'id:' || unnest(presented_ids || presented_grants), false
      UNION ALL SELECT 'cut-off:' || unnest(presented_keys), false
    ) AS part (name, written)
    GROUP BY 1
    ORDER BY 1
  ) AS lock;

  SELECT min(revoked_at),
    coalesce(bool_or(id = ANY (presented_ids || presented_grants)), false)
  INTO known_since, was_revoked
  FROM revoked_id
  WHERE id = ANY (ids || grants || presented_ids || presented_grants) AND expires_at > now_s;

  was_cut_off := EXISTS (
    SELECT FROM revocation_cut_off
    WHERE key = ANY (presented_keys) AND expires_at > now_s AND (presented_iat IS NULL OR presented_iat <= issued_up_to)
  );
  was_revoked := was_revoked OR was_cut_off;
  furthest := CASE WHEN was_revoked THEN greatest(known_since + iat_offset, presented_iat) END;

  INSERT INTO revoked_id AS known (id, revoked_at, expires_at)
  SELECT id, now_s, max(expires_at)
  FROM (SELECT unnest(ids), expiry UNION ALL SELECT unnest(grants), grant_expiry) AS new (id, expires_at)
  GROUP BY id
  ON CONFLICT (id) DO UPDATE SET
    revoked_at = CASE WHEN known.expires_at > now_s THEN known.revoked_at ELSE excluded.revoked_at END,
    expires_at = greatest(known.expires_at, excluded.expires_at);

  moves := NOT was_cut_off AND EXISTS (
    SELECT FROM unnest(cut_off_keys, cut_off_times) AS new (key, issued_up_to)
    WHERE NOT EXISTS (
      SELECT FROM revocation_cut_off AS known
      WHERE known.key = new.key AND known.expires_at > now_s AND known.issued_up_to >= new.issued_up_to
    )
  );

  IF NOT was_cut_off THEN
    INSERT INTO revocation_cut_off AS known (key, issued_up_to, expires_at)
    SELECT key, max(least(issued_up_to, furthest)), expiry
    FROM unnest(cut_off_keys, cut_off_times) AS new (key, issued_up_to)
    GROUP BY key
    ON CONFLICT (key) DO UPDATE SET
      issued_up_to = CASE
        WHEN known.expires_at > now_s THEN greatest(known.issued_up_to, excluded.issued_up_to)
        ELSE excluded.issued_up_to
      END,
      expires_at = greatest(known.expires_at, excluded.expires_at);
  END IF;

  first := NOT was_revoked
    AND CASE WHEN cardinality(ids || grants) > 0 THEN known_since IS NULL ELSE moves END;
  since := least(now_s, known_since);
  RETURN NEXT;
END
$$;

INSERT INTO schema_marker (component, version) VALUES ('token-revocation', 2);
