import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type CopiedContent, copySqlite, verifyCopy } from '#scripts/admin/sqlite-copy.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';
import { OLDER_STORE } from './contract/token-revocation-store.ts';
import { runAdmin } from './support/admin-process.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

const DONE = 0;
const USAGE = 2;
const TROUBLE = 3;

const EXPIRES_AT = 4_000_000_000;

let folder: string;
let database: string;
let file: string;

beforeEach(() => {
  const temporary = createTemporaryFolder();
  onTestFinished(temporary.remove);
  folder = temporary.path;
  database = join(folder, 'unlink.sqlite');
  file = join(folder, 'copy.sqlite');
  migrateSqlite(database);
});

const backup = (args: readonly string[] = [file], STORE_URL = `sqlite:${database}`) =>
  runAdmin(['backup', ...args], { STORE_URL });

async function openForTest(path: string) {
  const store = await openSqliteStore(path);
  onTestFinished(() => store.close());
  return store;
}

type Store = Awaited<ReturnType<typeof openForTest>>;

const revoke = (store: Store, id: string) =>
  store.revoke({ tokenIds: [id], grants: [], cutOffs: [{ key: id, issuedUpTo: 1 }], expiresAt: EXPIRES_AT });

/** Which of the ids a store lets in. */
async function letIn(path: string, ids: readonly string[]): Promise<string[]> {
  const store = await openForTest(path);
  const found: string[] = [];
  for (const id of ids) {
    const byToken = await store.check({ tokenIds: [id], grants: [], cutOffKeys: [] });
    const byCutOff = await store.check({ tokenIds: [], grants: [], cutOffKeys: [id], issuedAt: 1 });
    if (!byToken.revoked || !byCutOff.revoked) found.push(id);
  }
  return found;
}

/** The files of the folder, but for those of the store. */
const others = () => readdirSync(folder).filter((name) => !name.startsWith('unlink.sqlite'));

describe('a copy', () => {
  test('made under load refuses each token whose revocation was acknowledged before it began', async () => {
    const store = await openForTest(database);
    const acknowledged: { id: string; at: number }[] = [];
    let isOver = false;
    async function write(writer: string): Promise<void> {
      for (let index = 0; !isOver; index += 1) {
        const id = `${writer}-${index}`;
        await revoke(store, id);
        acknowledged.push({ id, at: Date.now() });
      }
    }
    const early = Array.from({ length: 300 }, (_, index) => `early-${index}`);
    for (const id of early) await revoke(store, id);
    // What only the write-ahead log holds is what a plain copy lacks.
    expect(statSync(`${database}-wal`).size).toBeGreaterThan(0);
    copyFileSync(database, join(folder, 'plain.sqlite'));
    expect((await letIn(join(folder, 'plain.sqlite'), early).catch(() => early)).length).toBeGreaterThan(0);

    const writers = ['a', 'b', 'c', 'd'].map(write);
    while (acknowledged.length < writers.length) await setImmediate();
    const { status, stdout } = await backup([file, '--json']);
    isOver = true;
    await Promise.all(writers);

    expect(status).toBe(DONE);
    const { begun_at, revoked_ids, cut_offs } = JSON.parse(stdout);
    const before = acknowledged.filter(({ at }) => at < Date.parse(begun_at)).map(({ id }) => id);
    expect(before.length).toBeGreaterThan(0);
    expect(revoked_ids).toBeGreaterThanOrEqual(early.length + before.length);
    expect(cut_offs).toBe(revoked_ids);
    expect(await letIn(file, [...early, ...before])).toEqual([]);
  });

  test('can be read by its owner alone, is in WAL mode, and leaves nothing beside it', async () => {
    await revoke(await openForTest(database), 'a');
    chmodSync(database, 0o644);

    const { status, stdout } = await backup();

    expect(status).toBe(DONE);
    expect(stdout).toMatch(/^Copied, and verified\. It has all that was acknowledged before \d{4}-/);
    expect(stdout).toMatch(/\n {2}token ids and grants {2}1 at the least\n/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    // Bytes 18 and 19 of the header, 2 for WAL: https://sqlite.org/fileformat.html
    expect([...readFileSync(file).subarray(18, 20)]).toEqual([2, 2]);
    expect(others()).toEqual(['copy.sqlite']);
  });

  test('replaces no file', async () => {
    writeFileSync(file, 'precious');

    expect(await backup()).toEqual({
      status: USAGE,
      stdout: '',
      stderr: 'Nothing was done: <file> exists already, and is never replaced.\n',
    });
    expect(readFileSync(file, 'utf8')).toBe('precious');
    expect(others()).toEqual(['copy.sqlite']);
  });

  test('is not begun beside one that is not finished', async () => {
    writeFileSync(`${file}.partial`, '');

    const { status, stderr } = await backup();

    expect(status).toBe(USAGE);
    expect(stderr).toContain('<file>.partial is there: another backup is writing it, or was interrupted.');
    expect(others()).toEqual(['copy.sqlite.partial']);
  });

  test('is not made in a folder that is not there', async () => {
    expect(await backup([join(folder, 'no-such-folder/copy.sqlite')])).toMatchObject({
      status: USAGE,
      stderr: 'Nothing was done: <file> cannot be written (ENOENT).\n',
    });
  });

  test('is made of the directory with --directory', async () => {
    const directory = join(folder, 'unlink.sqlite-directory');
    migrateSqlite(directory);
    await revoke(await openForTest(directory), 'of-directory');
    const settings = { REVOCATION_STORE_URL: `sqlite:${database}`, DIRECTORY_URL: `sqlite:${directory}` };

    expect((await runAdmin(['backup', file, '--directory'], settings)).status).toBe(DONE);

    expect(await letIn(file, ['of-directory'])).toEqual([]);
  });

  test.each([
    ['is not there', (path: string) => `${path}-absent`, 'unreachable'],
    ['has lost its marker', (path: string) => change(path, 'DELETE FROM schema_marker'), 'not_migrated'],
    ['was emptied', (path: string) => emptied(path), 'not_migrated'],
  ])('is not made of a store that %s', async (_what, prepare, fault) => {
    const source = prepare(database);

    expect(await backup([file], `sqlite:${source}`)).toEqual({
      status: TROUBLE,
      stdout: '',
      stderr: `The store failed (${fault}): nothing is known to be done.\n`,
    });
    expect(existsSync(file)).toBe(false);
    expect(existsSync(`${file}.partial`)).toBe(false);
  });

  test('is not made of a store of an older version, and says what would be right', async () => {
    const source = change(database, "UPDATE schema_marker SET version = 1 WHERE component = 'token-revocation'");

    expect(await backup([file], `sqlite:${source}`)).toEqual({
      status: TROUBLE,
      stdout: '',
      stderr: `The store failed (not_migrated): nothing is known to be done.\n${OLDER_STORE}\n`,
    });
    expect(existsSync(file)).toBe(false);
  });

  test.each([
    ['postgres://u:canary@127.0.0.1/d', 'pg_dump --format=custom'],
    ['redis://u:canary@127.0.0.1', 'BGSAVE'],
    ['dynamodb+https://docapi.example/x?table=t&auth=iam', 'ydb tools dump'],
    ['memory:', 'The store is memory'],
  ])('of %s is refused with what makes one there', async (url, words) => {
    const { status, stderr } = await backup([file], url);

    expect(status).toBe(USAGE);
    expect(stderr).toContain(words);
    expect(stderr).not.toContain('canary');
    expect(others()).toEqual([]);
  });
});

describe('the verification of a copy', () => {
  let content: CopiedContent;

  beforeEach(async () => {
    const store = await openForTest(database);
    for (const id of ['a', 'b']) await revoke(store, id);
    content = copySqlite(database, file);
  });

  test('accepts it', () => {
    expect(content).toMatchObject({ revokedIds: 2, cutOffs: 2 });
    verifyCopy(file, content);
  });

  test.each([
    ['a revoked id', 'DELETE FROM revoked_id WHERE id = (SELECT min(id) FROM revoked_id)', 'fewer revocations'],
    ['a cut-off', "DELETE FROM revocation_cut_off WHERE key = 'a'", 'fewer revocations'],
    ['its marker', 'DELETE FROM schema_marker', 'does not open as a store (not_migrated)'],
    ['the marker of the directory', "DELETE FROM schema_marker WHERE component = 'directory'", 'schema is another one'],
    ['a table', 'DROP TABLE threepid_binding', 'schema is another one'],
  ])('refuses one that lacks %s', (_what, sql, words) => {
    change(file, sql);

    expect(() => verifyCopy(file, content)).toThrow(words);
  });

  test('refuses one that is damaged', () => {
    const bytes = readFileSync(file);
    // All pages but the first, which has the schema.
    writeFileSync(file, bytes.fill(0xff, 4096));

    expect(() => verifyCopy(file, content)).toThrow(/^The copy was discarded: /);
  });
});

function change(path: string, sql: string): string {
  const connection = new DatabaseSync(path);
  connection.exec(sql);
  connection.close();
  return path;
}

function emptied(path: string): string {
  writeFileSync(path, '');
  return path;
}
