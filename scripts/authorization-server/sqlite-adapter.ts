import { DatabaseSync } from 'node:sqlite';
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';
import { StartError } from '../emulator/start-error.ts';

/** What an authorization server knows: its grants and tokens for `oidc-provider`, and its own signing keys. */
export interface ServerStore {
  readonly adapter: AdapterFactory;
  /** The text kept under a name, made at the first time. */
  keep(name: string, make: () => string): string;
  /** How many of a client's entities of this model there are about an account, the expired not among them. */
  count(model: 'Grant' | 'AccessToken' | 'RefreshToken', clientId: string, accountId: string): number;
  /** The ids of a client's grants by an account. */
  grantsOf(clientId: string, accountId: string): string[];
  close(): void;
}

const TABLES = `
  CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS entity (
    model TEXT NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL, expires_at INTEGER,
    PRIMARY KEY (model, id)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS entity_grant ON entity (model, payload ->> 'grantId');`;

/**
 * Opens the store in a file, which outlives the server, or in `:memory:`.
 *
 * @throws {StartError}
 */
export function openServerStore(path: string): ServerStore {
  const nowS = () => Math.floor(Date.now() / 1000);
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path);
    database.exec(TABLES);
    database.prepare('DELETE FROM entity WHERE expires_at < ?').run(nowS());
  } catch (error) {
    throw new StartError(`The authorization server's file ${path} cannot be opened.`, { cause: error });
  }

  const upsert = database.prepare('INSERT OR REPLACE INTO entity (model, id, payload, expires_at) VALUES (?, ?, ?, ?)');
  const find = database.prepare('SELECT payload FROM entity WHERE model = ? AND id = ?');
  const findBy = database.prepare('SELECT payload FROM entity WHERE model = ? AND payload ->> ? = ?');
  const consume = database.prepare(
    `UPDATE entity SET payload = json_set(payload, '$.consumed', ?) WHERE model = ? AND id = ?`,
  );
  const destroy = database.prepare('DELETE FROM entity WHERE model = ? AND id = ?');
  const revoke = database.prepare(`DELETE FROM entity WHERE model = ? AND payload ->> 'grantId' = ?`);

  const count = database.prepare(
    `SELECT count(*) AS entities FROM entity WHERE model = ? AND payload ->> 'clientId' = ?
     AND payload ->> 'accountId' = ? AND (expires_at IS NULL OR expires_at > ?)`,
  );

  const grants = database.prepare(
    `SELECT id FROM entity WHERE model = 'Grant' AND payload ->> 'clientId' = ? AND payload ->> 'accountId' = ?`,
  );

  // A text of this column is what `upsert` was given.
  const payloadOf = (row: { payload?: unknown } | undefined): AdapterPayload | undefined =>
    row === undefined ? undefined : (JSON.parse(String(row.payload)) as AdapterPayload);

  const adapter = (model: string): Adapter => ({
    async upsert(id, payload, expiresIn) {
      upsert.run(model, id, JSON.stringify(payload), expiresIn === undefined ? null : nowS() + expiresIn);
    },
    find: async (id) => payloadOf(find.get(model, id)),
    findByUid: async (uid) => payloadOf(findBy.get(model, 'uid', uid)),
    findByUserCode: async (userCode) => payloadOf(findBy.get(model, 'userCode', userCode)),
    async consume(id) {
      consume.run(nowS(), model, id);
    },
    async destroy(id) {
      destroy.run(model, id);
    },
    async revokeByGrantId(grantId) {
      revoke.run(model, grantId);
    },
  });

  return {
    adapter,
    keep(name, make) {
      database.prepare('INSERT OR IGNORE INTO kept (name, text) VALUES (?, ?)').run(name, make());
      return String(database.prepare('SELECT text FROM kept WHERE name = ?').get(name)?.text);
    },
    count: (model, clientId, accountId) => Number(count.get(model, clientId, accountId, nowS())?.entities),
    grantsOf: (clientId, accountId) => grants.all(clientId, accountId).map(({ id }) => String(id)),
    close: () => database.close(),
  };
}
