CREATE TABLE threepid_binding (
  position INTEGER PRIMARY KEY, -- in the order of being told
  mxid TEXT NOT NULL,
  medium TEXT NOT NULL,
  address TEXT NOT NULL, -- canonical
  id_server TEXT NOT NULL,
  bind_id TEXT NOT NULL,
  state TEXT NOT NULL,
  begun_at INTEGER NOT NULL,
  UNIQUE (mxid, medium, address, id_server, bind_id)
) STRICT;

UPDATE schema_marker SET version = 2 WHERE component = 'directory';
