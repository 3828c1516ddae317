CREATE TABLE threepid_binding (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of being told
  mxid text COLLATE "C" NOT NULL,
  medium text COLLATE "C" NOT NULL,
  address text COLLATE "C" NOT NULL, -- canonical
  id_server text COLLATE "C" NOT NULL,
  bind_id text COLLATE "C" NOT NULL,
  state text NOT NULL,
  begun_at bigint NOT NULL,
  UNIQUE (mxid, medium, address, id_server, bind_id)
);

UPDATE schema_marker SET version = 2 WHERE component = 'directory';
