import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { openDirectory } from '#shared/directory/open-store.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { MAX_BINDINGS, type OwnedThreepid, type ThreepidBinding } from '#shared/threepid/threepid-binding.ts';
import { runAdmin, runAdminAtTerminal, type Settings } from './support/admin-process.ts';
import { createDatabase } from './support/postgres-server.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

const CANARY = 'canary-of-an-address';
const HEADER = 'user_id,medium,address,id_server\n';
const EMAIL: OwnedThreepid = { mxid: '@ann:example.org', medium: 'email', address: 'ann@example.com' };

const DONE = 0;
const USAGE = 2;
const TROUBLE = 3;
const PARTLY = 5;

let folder: string;
let settings: Settings;

beforeEach(() => {
  const temporary = createTemporaryFolder();
  onTestFinished(temporary.remove);
  folder = temporary.path;
  migrateSqlite(join(folder, 'unlink.sqlite'));
  settings = { STORE_URL: `sqlite:${join(folder, 'unlink.sqlite')}` };
});

function writeFile(content: string | Buffer, name = 'bindings.csv'): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

async function importFile(file: string, env: Settings = settings) {
  const ended = await runAdmin(['import-bindings', file, '--yes', '--json'], env);
  expect(ended.stdout + ended.stderr).not.toContain(CANARY);
  return ended;
}

const importRows = (rows: string, env = settings) => importFile(writeFile(HEADER + rows), env);

/** What a directory holds, with the port of the functions. */
async function withDirectory<Result>(work: (directory: Directory) => Promise<Result>): Promise<Result> {
  const directory = openDirectory(settings, LOCAL_PLATFORM);
  try {
    return await work(directory);
  } finally {
    await directory.close();
  }
}

const find = (threepid: Partial<OwnedThreepid> = {}) =>
  withDirectory(({ threepids }) => threepids.find({ ...EMAIL, ...threepid }));

const servers = async (threepid: Partial<OwnedThreepid> = {}) => (await find(threepid)).map(({ idServer }) => idServer);

const bindingOf = (parts: Partial<ThreepidBinding>): ThreepidBinding => ({
  ...{ ...EMAIL, idServer: 'is.example.net', bindId: 'bind-1', state: 'pending', begunAt: 1 },
  ...parts,
});

describe('import-bindings', () => {
  test("remembers the rows of Synapse's table as bound, in their canonical form", async () => {
    const before = Date.now();
    const { status, stdout, stderr } = await importRows(
      '@ann:example.org,email,ann@example.com,is.example.net\n' +
        '@ann:example.org,email,Ann@EXAMPLE.com,https://Other.example.net:8448/\n' +
        '@ann:example.org,msisdn,+491700000000,is.example.net\n' +
        '"@b,""o"":example.org",email,"bob,""b""@example.com",is.example.net\n',
    );
    expect({ status, stderr }).toEqual({ status: DONE, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ created: 4, unchanged: 0, refused: 0, store: settings.STORE_URL });
    const [first, ...others] = await find();
    expect(first).toEqual(bindingOf({ bindId: 'imported', state: 'bound', begunAt: first?.begunAt ?? 0 }));
    expect(first?.begunAt).toBeGreaterThanOrEqual(before);
    expect(others).toMatchObject([{ idServer: 'other.example.net:8448', state: 'bound' }]);
    expect(await servers({ medium: 'msisdn', address: '491700000000' })).toEqual(['is.example.net']);
    expect(await servers({ mxid: '@b,"o":example.org', address: 'bob,"b"@example.com' })).toEqual(['is.example.net']);
  });

  test('changes nothing a second time, nor where the server is known by a bind of another', async () => {
    await withDirectory(({ threepids }) => threepids.put(bindingOf({ state: 'bound' })));
    const rows =
      '@ann:example.org,email,ann@example.com,is.example.net\n' +
      '@ann:example.org,email,ann@example.com,two.example.net\n' +
      '@ann:example.org,email,ANN@example.com,TWO.example.net\n';
    expect(JSON.parse((await importRows(rows)).stdout)).toMatchObject({ created: 1, unchanged: 2, refused: 0 });
    const imported = await find();
    expect(imported).toMatchObject([{ bindId: 'bind-1' }, { bindId: 'imported' }]);
    expect(JSON.parse((await importRows(rows)).stdout)).toMatchObject({ created: 0, unchanged: 3, refused: 0 });
    expect(await find()).toEqual(imported);
  });

  test('stands for itself beside a bind that is pending there, which may yet be refused', async () => {
    await withDirectory(({ threepids }) => threepids.put(bindingOf({})));
    const { stdout } = await importRows('@ann:example.org,email,ann@example.com,is.example.net\n');
    expect(JSON.parse(stdout)).toMatchObject({ created: 1 });
    await withDirectory(({ threepids }) => threepids.forget([bindingOf({})]));
    expect(await find()).toMatchObject([{ bindId: 'imported', state: 'bound' }]);
  });

  test('takes a byte order mark, any line end and its columns in any order', async () => {
    const file = writeFile(
      '\ufeffid_server,address,user_id,medium\r\nis.example.net,ann@example.com,@ann:example.org,email\r\n\r\n',
      'bindings.txt',
    );
    expect(await importFile(file)).toMatchObject({ status: DONE, stderr: '' });
    expect(await servers()).toEqual(['is.example.net']);
  });

  test('tells of each row that is skipped, by its line, and quotes nothing of it', async () => {
    const server = 'the field id_server must be the host of a public server, or one of ID_SERVER_ALLOW';
    const rows: readonly [row: string | Buffer, fault: string][] = [
      [`${CANARY},email,ann@example.com,is.example.net`, 'the field user_id must be the Matrix id of a user'],
      [`,email,${CANARY}@example.com,is.example.net`, 'the field user_id is missing'],
      [`@ann:example.org,${CANARY},ann@example.com,is.example.net`, 'the field medium must be email or msisdn'],
      [`@ann:example.org,email,${CANARY},is.example.net`, 'the field address must be an e-mail address'],
      [
        `@ann:example.org,msisdn,${CANARY}@example.com,is.example.net`,
        'the field address must be a phone number: up to 15 digits',
      ],
      [`@ann:example.org,email,${CANARY}@example.com,`, 'the field id_server is missing'],
      [`@ann:example.org,email,${CANARY}@example.com,127.0.0.1`, server],
      [`@ann:example.org,email,${CANARY}@example.com,is.internal`, server],
      [`@ann:example.org,email,${CANARY}@example.com,is.example.net/${CANARY}`, server],
      [`@ann:example.org,email,${CANARY}@example.com`, 'it has not as many values as the first line'],
      [Buffer.from(`@ann:example.org,email,\u00e9${CANARY}@example.com,is.example.net`, 'latin1'), 'it is not UTF-8'],
    ];
    const lines = rows.map(([row]) => Buffer.concat([Buffer.from(row), Buffer.from('\n')]));
    const last = '@ann:example.org,email,ann@example.com,is.example.net\n';
    const file = writeFile(Buffer.concat([Buffer.from(HEADER), ...lines, Buffer.from(last)]));
    const { status, stdout, stderr } = await importFile(file);
    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: PARTLY, created: 1, refused: rows.length });
    expect(stderr.trimEnd().split('\n').sort()).toEqual(
      rows.map(([, fault], index) => `line ${index + 2}: ${fault}`).sort(),
    );
    expect(await servers()).toEqual(['is.example.net']);
  });

  test('takes the servers of ID_SERVER_ALLOW, though they are not public', async () => {
    const row = '@ann:example.org,email,ann@example.com,is.internal:9443\n';
    expect(await importRows(row)).toMatchObject({ status: PARTLY });
    expect(await importRows(row, { ...settings, ID_SERVER_ALLOW: 'is.internal:9443' })).toMatchObject({ status: DONE });
    expect(await servers()).toEqual(['is.internal:9443']);
    expect(await importRows(row, { ...settings, ID_SERVER_ALLOW: 'https://is internal' })).toMatchObject({
      status: USAGE,
      stdout: '',
      stderr: expect.stringContaining('ID_SERVER_ALLOW'),
    });
  });

  test('skips what a user has beyond the limit, in the order of the file, and tells so', async () => {
    const rows = Array.from(
      { length: MAX_BINDINGS + 2 },
      (_, index) => `@ann:example.org,email,a${index}@b.example,c.example`,
    );
    const { status, stdout, stderr } = await importRows(
      `${rows.join('\n')}\n@bob:example.org,email,b@b.example,c.example\n`,
    );
    expect(status).toBe(PARTLY);
    expect(JSON.parse(stdout)).toMatchObject({ created: MAX_BINDINGS + 1, refused: 2 });
    expect(stderr).toBe('line 102: the user has 100 binds\nline 103: the user has 100 binds\n');
    expect(await servers({ address: 'a99@b.example' })).toHaveLength(1);
    expect(await servers({ mxid: '@bob:example.org', address: 'b@b.example' })).toHaveLength(1);
  });

  test('takes the rows of one user one after another, many at a time of others, in PostgreSQL too', async () => {
    const { url, drop } = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
    onTestFinished(drop);
    const rows = ['ann', 'bob', 'eve'].map((name) => `@${name}:example.org,email,a@b.example,is.example.net\n`);
    const { stdout } = await importRows(rows.map((row) => row.repeat(40)).join(''), { STORE_URL: url });
    expect(JSON.parse(stdout)).toMatchObject({ created: 3, unchanged: 117, refused: 0 });
  });

  test('takes the rows before the first that cannot be read, and tells where it stopped', async () => {
    const good = '@ann:example.org,email,ann@example.com,is.example.net\n';
    const { status, stderr } = await importRows(`${good}@ann:example.org,email,"${CANARY}\n${good.repeat(10)}`);
    expect(status).toBe(PARTLY);
    expect(stderr).toBe('line 3: its quotes are wrong or it is too long; nothing from here on was read\n');
    expect(await servers()).toEqual(['is.example.net']);
  });

  test.each([
    ['without a line of names', `@${CANARY}:example.org,email,ann@example.com,is.example.net\n`],
    ['without one of its columns', 'user_id,medium,address\n'],
    ['with a column that is none', `${HEADER.trimEnd()},${CANARY}\n`],
    ['that names a column twice', `user_id,${HEADER}`],
  ])('does nothing with a file %s', async (_name, content) => {
    expect(await importFile(writeFile(content))).toEqual({
      status: USAGE,
      stdout: '',
      stderr:
        'The first line of <file> must name its columns, with commas between them, each once: user_id, medium, address, id_server.\n',
    });
  });

  test('does nothing with a file that is empty or is not there', async () => {
    const empty = await importFile(writeFile(''));
    expect(empty.stderr).toBe('The first line of <file> must name its columns: user_id, medium, address, id_server.\n');
    const absent = await importFile(join(folder, 'no-such.csv'));
    expect([empty.status, absent.status, absent.stderr]).toEqual([USAGE, USAGE, '<file> is no file.\n']);
  });

  test('tells how far it came when the store fails', async () => {
    const { status, stderr } = await importRows('@ann:example.org,email,ann@example.com,is.example.net\n', {
      STORE_URL: 'postgres://tests:canary@127.0.0.1:1/d',
    });
    expect(status).toBe(TROUBLE);
    expect(stderr).toContain('0 rows were done (0 created, 0 unchanged, 0 refused). Repeat the command.');
    expect(stderr).not.toContain('canary');
  });

  test('asks, and shows at a terminal how far it is', async () => {
    const rows = Array.from(
      { length: 150 },
      (_, index) => `@user-${index}:example.org,email,ann@example.com,a.example\n`,
    );
    const file = writeFile(`${HEADER}${rows.join('')}@ann:example.org,email,ann,a.example\n`);
    expect(await runAdmin(['import-bindings', file], settings)).toMatchObject({ status: USAGE, stdout: '' });
    expect(await runAdminAtTerminal(['import-bindings', file], settings, 'n\n')).toMatchObject({ status: USAGE });
    expect(await servers({ mxid: '@user-0:example.org' })).toEqual([]);
    const { status, stdout } = await runAdminAtTerminal(['import-bindings', file], settings, 'y\n');
    expect(status).toBe(PARTLY);
    expect(stdout).toMatch(/\r(1\d\d) rows: \1 created, 0 unchanged, 0 refused/);
    expect(stdout).toContain('\r\u001b[Kline 152: the field address must be an e-mail address\r\n');
    expect(stdout).toContain('1 rows were skipped.');
  });
});

describe('bindings', () => {
  const ABSENT = 4;
  const OPTIONS = ['--user', EMAIL.mxid, '--medium', 'email', '--address', 'Ann@Example.com'];
  const run = (verb: string, ...more: string[]) => runAdmin(['bindings', verb, ...OPTIONS, ...more], settings);

  beforeEach(() =>
    withDirectory(async ({ threepids }) => {
      await threepids.put(bindingOf({ state: 'bound' }));
      await threepids.put(bindingOf({ bindId: 'bind-2', begunAt: 2 }));
      await threepids.put(bindingOf({ idServer: 'other.example.net', begunAt: 3 }));
    }),
  );

  test('list tells where an identifier is known to be bound', async () => {
    const { status, stdout } = await run('list', '--json');
    expect(status).toBe(DONE);
    expect(JSON.parse(stdout)).toEqual({
      ...EMAIL,
      bindings: [
        { id_server: 'is.example.net', state: 'bound', begun_at: '1970-01-01T00:00:00.001Z' },
        { id_server: 'is.example.net', state: 'pending', begun_at: '1970-01-01T00:00:00.002Z' },
        { id_server: 'other.example.net', state: 'pending', begun_at: '1970-01-01T00:00:00.003Z' },
      ],
      store: settings.STORE_URL,
    });
    expect((await run('list')).stdout).toContain('other.example.net  pending');
  });

  test('forget lets go of one server, and of nothing else', async () => {
    const ended = await run('forget', '--id-server', 'is.example.net', '--yes', '--json');
    expect({ status: ended.status, ...JSON.parse(ended.stdout) }).toMatchObject({ status: DONE, forgotten: 2 });
    expect(await servers()).toEqual(['other.example.net']);

    const again = await run('forget', '--id-server', 'is.example.net', '--yes');
    expect(again.status).toBe(ABSENT);
    expect(again.stdout).toContain('It is not known to be bound there.');
  });

  test('forget does nothing without an agreement', async () => {
    expect((await run('forget', '--id-server', 'is.example.net')).status).toBe(USAGE);
    expect(await servers()).toHaveLength(3);
  });

  test.each([
    ['--user', 'ann'],
    ['--medium', 'irc'],
    ['--address', 'ann'],
  ])('a %s that is none is told', async (option, value) => {
    const args = OPTIONS.with(OPTIONS.indexOf(option) + 1, value);
    const { status, stderr } = await runAdmin(['bindings', 'list', ...args], settings);
    expect(status).toBe(USAGE);
    expect(stderr).toContain(`${option} must be`);
  });
});
