CREATE TABLE schema_marker (
  component TEXT PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revoked_id (
  id TEXT PRIMARY KEY,
  revoked_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_id_expiry ON revoked_id (expires_at);

CREATE TABLE revocation_cut_off (
  key TEXT PRIMARY KEY,
  issued_up_to INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revocation_cut_off_expiry ON revocation_cut_off (expires_at);

INSERT INTO schema_marker (component, version) VALUES ('token-revocation', 2);
