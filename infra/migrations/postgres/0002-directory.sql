CREATE TABLE account_link (
  position bigint GENERATED ALWAYS AS IDENTITY, -- in the order of linking
  subject text COLLATE "C" NOT NULL,
  fp_type text COLLATE "C" NOT NULL,
  fp_name text COLLATE "C" NOT NULL,
  sid text COLLATE "C" NOT NULL,
  user_name text,
  evidence text NOT NULL,
  linked_at bigint NOT NULL,
  tokens text, -- sealed
  email_digest text COLLATE "C",
  PRIMARY KEY (fp_type, fp_name, sid)
);

CREATE INDEX account_link_subject ON account_link (subject, linked_at, position);
CREATE INDEX account_link_email ON account_link (email_digest) WHERE email_digest IS NOT NULL;

CREATE TABLE unlinked_identity (
  fp_type text COLLATE "C" NOT NULL,
  fp_name text COLLATE "C" NOT NULL,
  sid text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  unlinked_at bigint NOT NULL,
  revocation text NOT NULL, -- why there is no job, or 'pending'
  job_id text COLLATE "C",
  expires_at bigint NOT NULL,
  PRIMARY KEY (fp_type, fp_name, sid, subject)
);

CREATE INDEX unlinked_identity_expiry ON unlinked_identity (expires_at);

CREATE TABLE bind_transaction (
  id text COLLATE "C" PRIMARY KEY,
  data text, -- sealed; none once it is used
  expires_at bigint NOT NULL
);

CREATE INDEX bind_transaction_expiry ON bind_transaction (expires_at);

CREATE TABLE outbox_job (
  id text COLLATE "C" PRIMARY KEY,
  kind text NOT NULL,
  details jsonb NOT NULL,
  secret text, -- sealed; none once it is settled
  bound_to text NOT NULL,
  request_id text NOT NULL,
  state text COLLATE "C" NOT NULL,
  result text,
  claim text COLLATE "C",
  attempts_started integer NOT NULL,
  attempts_finished integer NOT NULL,
  due_at bigint NOT NULL,
  created_at bigint NOT NULL,
  give_up_at bigint NOT NULL,
  last_error text,
  finished_at bigint
);

-- One index for each look of a claim: jobs that anybody could have caused come last.
CREATE INDEX outbox_job_due ON outbox_job (due_at)
  WHERE state = 'pending' AND kind <> 'unverified-upstream-revocation';
CREATE INDEX outbox_job_due_last ON outbox_job (due_at)
  WHERE state = 'pending' AND kind = 'unverified-upstream-revocation';
CREATE INDEX outbox_job_claim ON outbox_job (claim) WHERE claim IS NOT NULL;
CREATE INDEX outbox_job_state ON outbox_job (state, created_at, id);
CREATE INDEX outbox_job_finished ON outbox_job (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE audit_record (
  id text COLLATE "C" PRIMARY KEY,
  at bigint NOT NULL,
  record jsonb NOT NULL
);

-- Lets changes of one subject, or of one identity, go one after another; a lock on rows would not do, for there may be
-- none. Always in the order of the hashes: so there is no deadlock.
CREATE FUNCTION lock_account_link(link account_link) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hash)
  FROM (
    SELECT DISTINCT hashtextextended(name, 0) AS hash
    FROM (
      VALUES
        ('subject:' || link.subject),
        ('identity:' || jsonb_build_array(link.fp_type, link.fp_name, link.sid)::text)
    ) AS part (name)
    ORDER BY 1
  ) AS lock;
END
$$;

-- Writes an AuditRecord of shared/account-link/rules.ts. `audit`: its `id`, `at`, `actor` and `requestId`.
CREATE FUNCTION record_link_change(change text, link account_link, audit jsonb, details jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_record (id, at, record)
  VALUES (
    audit ->> 'id',
    (audit ->> 'at')::bigint,
    audit || details || jsonb_build_object(
      'event', 'account_link.' || change,
      'subject', link.subject,
      'fpType', link.fp_type,
      'fpName', link.fp_name,
      'sid', link.sid,
      'evidence', link.evidence
    )
  );
END
$$;

-- Links an identity in the caller's transaction, by the rules of `decideLink` in shared/account-link/rules.ts.
-- `asked`: columns of account_link. `audit`: as above.
-- No row: the schema marker is missing. Needs READ COMMITTED: what it reads must be what is there once it has the locks.
CREATE FUNCTION link_account(
  schema_version integer,
  now_ms bigint,
  most_links integer,
  asked jsonb,
  begun_at bigint,
  audit jsonb,
  OUT status text,
  OUT change text,
  OUT replaced text
) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
  link account_link := jsonb_populate_record(NULL::account_link, asked);
  known account_link;
  written jsonb;
BEGIN
  PERFORM FROM schema_marker WHERE component = 'directory' AND version >= schema_version;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  PERFORM lock_account_link(link);

  -- A statement whose answer was lost is repeated. Done anew, it could undo what others have done since.
  SELECT record INTO written FROM audit_record WHERE id = audit ->> 'id';
  IF FOUND THEN
    status := 'linked';
    change := CASE written ->> 'event' WHEN 'account_link.updated' THEN 'updated' ELSE 'created' END;
    replaced := written ->> 'replaced';
    RETURN NEXT;
    RETURN;
  END IF;

  -- The lock on the row is against a new sealing of its tokens, which this would take back.
  SELECT * INTO known FROM account_link
  WHERE fp_type = link.fp_type AND fp_name = link.fp_name AND sid = link.sid
  FOR UPDATE;

  IF begun_at <= (
    SELECT max(unlinked_at) FROM unlinked_identity
    WHERE fp_type = link.fp_type AND fp_name = link.fp_name AND sid = link.sid AND expires_at > now_ms
  ) THEN
    status := 'unlinked_since';

  ELSIF known.subject = link.subject THEN
    status := 'linked';
    link.evidence := CASE known.evidence WHEN 'proved' THEN 'proved' ELSE link.evidence END;
    link.user_name := coalesce(link.user_name, known.user_name);
    link.tokens := coalesce(link.tokens, known.tokens);
    link.email_digest := coalesce(link.email_digest, known.email_digest);
    IF (link.evidence, link.user_name, link.tokens, link.email_digest)
      IS NOT DISTINCT FROM (known.evidence, known.user_name, known.tokens, known.email_digest)
    THEN
      change := 'unchanged';
    ELSE
      change := 'updated';
      UPDATE account_link SET
        user_name = link.user_name,
        evidence = link.evidence,
        tokens = link.tokens,
        email_digest = link.email_digest
      WHERE fp_type = link.fp_type AND fp_name = link.fp_name AND sid = link.sid;
      PERFORM record_link_change('updated', link, audit, '{}');
    END IF;

  ELSIF known.subject IS NOT NULL AND NOT (link.evidence = 'proved' AND known.evidence = 'asserted') THEN
    status := 'taken';

  ELSIF (SELECT count(*) FROM account_link WHERE subject = link.subject) >= most_links THEN
    status := 'limit_reached';

  ELSE
    status := 'linked';
    change := 'created';
    replaced := known.subject;
    DELETE FROM account_link WHERE fp_type = link.fp_type AND fp_name = link.fp_name AND sid = link.sid;
    INSERT INTO account_link (subject, fp_type, fp_name, sid, user_name, evidence, linked_at, tokens, email_digest)
    VALUES (
      link.subject, link.fp_type, link.fp_name, link.sid,
      link.user_name, link.evidence, link.linked_at, link.tokens, link.email_digest
    );
    IF replaced IS NULL THEN
      PERFORM record_link_change('created', link, audit, '{}');
    ELSE
      PERFORM record_link_change('replaced', link, audit, jsonb_build_object('replaced', replaced));
    END IF;
  END IF;
  RETURN NEXT;
END
$$;

-- Deletes a link in the caller's transaction, by the rules of `decideUnlink` in shared/account-link/rules.ts.
-- `asked`: columns of account_link. `asked_job`: columns of outbox_job, all but the secret. `audit`: as above.
-- Of a deletion that is repeated it tells the job's state and result, if there is one: without them it has been lost.
-- No row: the schema marker is missing. Needs READ COMMITTED, as above.
CREATE FUNCTION unlink_account(
  schema_version integer,
  now_ms bigint,
  tombstone_ms bigint,
  asked jsonb,
  keep_last boolean,
  force boolean,
  asked_job jsonb,
  audit jsonb,
  OUT status text,
  OUT revocation text,
  OUT tokens text,
  OUT job_state text,
  OUT job_result text
) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
  link account_link := jsonb_populate_record(NULL::account_link, asked);
  job outbox_job := jsonb_populate_record(NULL::outbox_job, asked_job);
  known account_link;
  tombstone unlinked_identity;
  is_last boolean;
  is_done boolean;
BEGIN
  PERFORM FROM schema_marker WHERE component = 'directory' AND version >= schema_version;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  PERFORM lock_account_link(link);

  -- A statement whose answer was lost is repeated: it must not delete what was linked anew since.
  is_done := EXISTS (SELECT FROM audit_record WHERE id = audit ->> 'id');

  -- The lock on the row is against a new sealing of its tokens, which would miss those in the job.
  SELECT * INTO known FROM account_link
  WHERE fp_type = link.fp_type AND fp_name = link.fp_name AND sid = link.sid AND subject = link.subject
  FOR UPDATE;

  IF is_done OR NOT FOUND THEN
    SELECT * INTO tombstone FROM unlinked_identity
    WHERE fp_type = link.fp_type AND fp_name = link.fp_name AND sid = link.sid AND subject = link.subject
      AND expires_at > now_ms;
    status := CASE WHEN FOUND THEN 'repeated' ELSE 'not_linked' END;
    revocation := tombstone.revocation;
    SELECT state, result INTO job_state, job_result FROM outbox_job WHERE id = tombstone.job_id;
    RETURN NEXT;
    RETURN;
  END IF;

  is_last := (SELECT count(*) FROM account_link WHERE subject = link.subject) <= 1;
  IF is_last AND keep_last AND NOT force THEN
    status := 'last_link';
    RETURN NEXT;
    RETURN;
  END IF;

  status := 'unlinked';
  revocation := CASE WHEN job.id IS NULL THEN 'unsupported' WHEN known.tokens IS NULL THEN 'no_token' ELSE 'pending' END;
  DELETE FROM account_link WHERE fp_type = link.fp_type AND fp_name = link.fp_name AND sid = link.sid;
  IF revocation = 'pending' THEN
    tokens := known.tokens;
    INSERT INTO outbox_job (
      id, kind, details, secret, bound_to, request_id, state, claim,
      attempts_started, attempts_finished, due_at, created_at, give_up_at
    ) VALUES (
      job.id, job.kind, job.details, known.tokens, job.bound_to, job.request_id, job.state, job.claim,
      job.attempts_started, job.attempts_finished, job.due_at, job.created_at, job.give_up_at
    );
  END IF;
  INSERT INTO unlinked_identity (fp_type, fp_name, sid, subject, unlinked_at, revocation, job_id, expires_at)
  VALUES (
    link.fp_type, link.fp_name, link.sid, link.subject,
    now_ms, revocation, CASE revocation WHEN 'pending' THEN job.id END, now_ms + tombstone_ms
  )
  ON CONFLICT (fp_type, fp_name, sid, subject) DO UPDATE SET
    unlinked_at = excluded.unlinked_at,
    revocation = excluded.revocation,
    job_id = excluded.job_id,
    expires_at = excluded.expires_at;
  PERFORM record_link_change(
    'deleted', known, audit, CASE WHEN is_last AND keep_last THEN '{"forced": true}' ELSE '{}' END::jsonb
  );
  RETURN NEXT;
END
$$;

-- Takes a bind's transaction up. No row: the schema marker is missing. Needs READ COMMITTED, as above.
CREATE FUNCTION take_bind(
  schema_version integer,
  now_ms bigint,
  spent_ms bigint,
  bind_id text,
  OUT status text,
  OUT taken text
) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
  bind bind_transaction;
BEGIN
  PERFORM FROM schema_marker WHERE component = 'directory' AND version >= schema_version;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  SELECT * INTO bind FROM bind_transaction WHERE id = bind_id FOR UPDATE;
  IF NOT FOUND OR bind.expires_at + spent_ms <= now_ms THEN
    status := 'unknown';
  ELSIF bind.data IS NULL THEN
    status := 'used';
  ELSIF bind.expires_at <= now_ms THEN
    status := 'expired';
  ELSE
    status := 'taken';
    taken := bind.data;
    UPDATE bind_transaction SET data = NULL WHERE id = bind_id;
  END IF;
  RETURN NEXT;
END
$$;

INSERT INTO schema_marker (component, version) VALUES ('directory', 1);
