CREATE TABLE account_link (
  position INTEGER PRIMARY KEY, -- in the order of linking
  subject TEXT NOT NULL,
  fp_type TEXT NOT NULL,
  fp_name TEXT NOT NULL,
  sid TEXT NOT NULL,
  user_name TEXT,
  evidence TEXT NOT NULL,
  linked_at INTEGER NOT NULL,
  tokens TEXT, -- sealed
  email_digest TEXT,
  UNIQUE (fp_type, fp_name, sid)
) STRICT;

CREATE INDEX account_link_subject ON account_link (subject, linked_at, position);
CREATE INDEX account_link_email ON account_link (email_digest) WHERE email_digest IS NOT NULL;

CREATE TABLE unlinked_identity (
  fp_type TEXT NOT NULL,
  fp_name TEXT NOT NULL,
  sid TEXT NOT NULL,
  subject TEXT NOT NULL,
  unlinked_at INTEGER NOT NULL,
  revocation TEXT NOT NULL, -- why there is no job, or 'pending'
  job_id TEXT,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (fp_type, fp_name, sid, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX unlinked_identity_expiry ON unlinked_identity (expires_at);

CREATE TABLE bind_transaction (
  id TEXT PRIMARY KEY,
  data TEXT, -- sealed; none once it is used
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX bind_transaction_expiry ON bind_transaction (expires_at);

CREATE TABLE outbox_job (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  details TEXT NOT NULL,
  secret TEXT, -- sealed; none once it is settled
  bound_to TEXT NOT NULL,
  request_id TEXT NOT NULL,
  state TEXT NOT NULL,
  result TEXT,
  claim TEXT,
  attempts_started INTEGER NOT NULL,
  attempts_finished INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  give_up_at INTEGER NOT NULL,
  last_error TEXT,
  finished_at INTEGER
) STRICT, WITHOUT ROWID;

-- One index for each look of a claim: jobs that anybody could have caused come last. The state is a column of both: without
-- it SQLite takes outbox_job_state, and sorts all that is pending.
CREATE INDEX outbox_job_due ON outbox_job (state, due_at)
  WHERE state = 'pending' AND kind <> 'unverified-upstream-revocation';
CREATE INDEX outbox_job_due_last ON outbox_job (state, due_at)
  WHERE state = 'pending' AND kind = 'unverified-upstream-revocation';
CREATE INDEX outbox_job_state ON outbox_job (state, created_at, id);
CREATE INDEX outbox_job_finished ON outbox_job (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE audit_record (
  id TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO schema_marker (component, version) VALUES ('directory', 1);
