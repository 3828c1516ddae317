import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { openLoggedRevocations } from '#scripts/admin/logged-revocations.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { logRevocation, type Revocation } from '#shared/token-revocation/store.ts';
import { type Ended, runAdmin, runAdminAtTerminal, type Settings } from './support/admin-process.ts';
import { type EmulatedProject, startProject, TEST_KEYS, TEST_PEPPERS } from './support/emulated-project.ts';
import { type GrantServerKind, startGrantServer } from './support/grant-servers/grant-server.ts';
import { KEYCLOAK } from './support/grant-servers/keycloak.ts';
import { OKTA, OKTA_WITH_GRANT } from './support/grant-servers/okta.ts';
import { unlinkRaw } from './support/linked-project.ts';
import { createDatabase } from './support/postgres-server.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';
import { basic, ISSUER_SETTINGS, issueToken } from './support/test-issuer.ts';

const DONE = 0;
const USAGE = 2;
const TROUBLE = 3;
const PARTLY = 5;

const nowS = () => Math.floor(Date.now() / 1000);

/** A digest that is none: the right form, and readable. */
const digest = (name: string) => `k1.${name.padEnd(43, '_')}`;

let folder: string;

beforeEach(() => {
  const temporary = createTemporaryFolder();
  onTestFinished(temporary.remove);
  folder = temporary.path;
});

function writeLines(lines: readonly string[], name = 'log.jsonl'): string {
  const file = join(folder, name);
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  return file;
}

const rebuildFile = (file: string, settings: Settings): Promise<Ended> =>
  runAdmin(['rebuild-revocations', file, '--yes', '--json'], settings);

const rebuild = (lines: readonly string[], settings: Settings) => rebuildFile(writeLines(lines), settings);

/** In an order that has nothing to do with theirs, the same each time. */
const shuffled = (lines: readonly string[]) =>
  lines
    .map((line, index) => [(index * 7919 + 3) % 101, line] as const)
    .sort(([a], [b]) => b - a)
    .map(([, line]) => line);

/** All that a store holds, in an order of its own. */
function dump(database: string): unknown[] {
  const connection = new DatabaseSync(database);
  const rows = ['SELECT * FROM revoked_id ORDER BY id', 'SELECT * FROM revocation_cut_off ORDER BY key'].map((query) =>
    connection.prepare(query).all(),
  );
  connection.close();
  return rows;
}

function loseStore(database: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(database + suffix, { force: true });
  migrateSqlite(database);
}

describe('of the functions', () => {
  let project: EmulatedProject;
  let settings: Settings;

  beforeEach(async () => {
    // Enough for a cold start beside others, and what is left of it is spent on a store that is down.
    project = await startProject({ timeout: 3, local: ISSUER_SETTINGS });
    onTestFinished(() => project.close());
    settings = { STORE_URL: `sqlite:${project.database}` };
  });

  const isLetIn = async (token: string) =>
    (await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status === 200;
  const areLetIn = (tokens: readonly string[]) => Promise.all(tokens.map(isLetIn));

  const unlink = (token: string) =>
    project.raw('smart-home-unlink', {
      headers: { request_id: 'rebuild-1', authorization: `Bearer ${token}` },
      request_type: 'unlink',
      api_version: 1,
    });
  const revokeToken = (token: string) =>
    project.gateway(
      'POST',
      '/oauth/revoke',
      {
        Authorization: basic('skill', 'skill-secret'),
        'Content-Type': 'application/x-www-form-urlencoded',
      },
      new URLSearchParams({ token }).toString(),
    );

  /** A token of each kind of revocation, what falls with it, and what does not. */
  async function issueTokens() {
    const laterS = nowS() + 30;
    const [ofGrant, sibling, ofLink, older, revoked, ofRevoked] = await Promise.all([
      issueToken({ grant_id: 'grant-1' }),
      issueToken({ grant_id: 'grant-1', iat: laterS }),
      issueToken({ sub: 'user-2' }),
      issueToken({ sub: 'user-2', iat: nowS() - 100 }),
      issueToken({ sub: 'user-3', grant_id: 'grant-3' }),
      issueToken({ sub: 'user-3', grant_id: 'grant-3', iat: laterS }),
    ]);
    const others = await Promise.all([
      issueToken({ grant_id: 'grant-2' }),
      issueToken({ sub: 'user-2', iat: laterS }),
      issueToken({ sub: 'user-2', client_id: 'other' }),
      issueToken({ sub: 'user-3', grant_id: 'grant-4' }),
    ]);
    return { ofGrant, ofLink, revoked, fallen: [ofGrant, sibling, ofLink, older, revoked, ofRevoked], others };
  }

  const all = (tokens: readonly string[], value: boolean) => tokens.map(() => value);

  test('what the store refused is brought back from the error lines: token, grant and cut-off', async () => {
    const { ofGrant, ofLink, revoked, fallen, others } = await issueTokens();
    renameSync(project.database, `${project.database}.away`);
    const answers = await Promise.all([
      unlink(ofGrant),
      project.gateway('POST', '/v1.0/user/unlink', { Authorization: `Bearer ${ofLink}` }),
      revokeToken(revoked),
    ]);
    expect(answers).toMatchObject([{ status: 502 }, { status: 503 }, { status: 503 }]);
    renameSync(`${project.database}.away`, project.database);
    expect(await areLetIn(fallen)).toEqual(all(fallen, true));

    const { status, stdout } = await rebuild(project.output, settings);

    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: DONE, restored: 3, known: 0, refused: 0 });
    expect(await areLetIn(fallen)).toEqual(all(fallen, false));
    expect(await areLetIn(others)).toEqual(all(others, true));
  });

  test('a store that was lost gets back all that was acknowledged, whatever the order, and a second time nothing', async () => {
    const { ofGrant, ofLink, revoked, fallen, others } = await issueTokens();
    expect((await unlink(ofGrant)).status).toBe(200);
    expect((await unlink(ofLink)).status).toBe(200);
    expect((await revokeToken(revoked)).status).toBe(200);
    const ofOperator = await issueToken({ sub: 'user-5' });
    const env = { ...settings, TOKEN_PEPPERS: TEST_PEPPERS, ISSUERS: ISSUER_SETTINGS.ISSUERS, GRANT_CLAIM: 'grant_id' };
    const byOperator = await runAdmin(['revoke', '--subject', 'user-5', '--yes', '--json'], env);
    const more = await Promise.all(Array.from({ length: 30 }, (_, index) => issueToken({ sub: `many-${index}` })));
    for (const token of more) expect((await unlink(token)).status).toBe(200);
    fallen.push(ofOperator, ...more);
    expect(await areLetIn(fallen)).toEqual(all(fallen, false));
    const before = dump(project.database);
    const lines = [...project.output, byOperator.stdout.trim()];

    loseStore(project.database);
    expect(await areLetIn(fallen)).toEqual(all(fallen, true));
    const { status, stdout } = await rebuild(shuffled(lines), settings);

    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: DONE, restored: 34, known: 0, refused: 0 });
    expect(await areLetIn(fallen)).toEqual(all(fallen, false));
    expect(await areLetIn(others)).toEqual(all(others, true));
    expect(dump(project.database)).toEqual(before);

    const again = await rebuild(lines, settings);
    expect(JSON.parse(again.stdout)).toMatchObject({ restored: 0, known: 34, refused: 0 });
    expect(dump(project.database)).toEqual(before);
  });

  test('a store in PostgreSQL is brought back from the lines of one in SQLite', async () => {
    const { ofGrant, ofLink, revoked, fallen, others } = await issueTokens();
    const answers = [await unlink(ofGrant), await unlink(ofLink), await revokeToken(revoked)];
    expect(answers).toMatchObject([{ status: 200 }, { status: 200 }, { status: 200 }]);
    const { url, drop } = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
    onTestFinished(drop);

    const { stdout } = await rebuild(project.output, { STORE_URL: url });

    expect(JSON.parse(stdout)).toMatchObject({ restored: 3, refused: 0 });
    const env = {
      ISSUERS: ISSUER_SETTINGS.ISSUERS,
      GRANT_CLAIM: 'grant_id',
      TOKEN_PEPPERS: TEST_PEPPERS,
      STORE_URL: url,
    };
    const check = async (token: string) => (await runAdmin(['check', '--token-stdin'], env, token)).status;
    for (const token of fallen) expect(await check(token)).toBe(4);
    for (const token of others) expect(await check(token)).toBe(0);
  });

  test('the old token that was presented again, acknowledged or refused, ends no link made anew', async () => {
    const old = await issueToken({ sub: 'user-6', iat: nowS() - 100 });
    await unlink(old);
    const [line] = project.output.splice(0).filter((text) => text.includes('"revocation"'));
    // The link was ended a minute ago, and made anew since.
    const past = JSON.parse(line ?? '');
    past.revocation.made_at -= 60;
    past.revocation.cut_offs[0].issued_up_to -= 60;
    past.at -= 60;
    const anew = await issueToken({ sub: 'user-6', iat: nowS() - 30 });
    loseStore(project.database);
    expect((await rebuild([JSON.stringify(past)], settings)).status).toBe(DONE);
    await unlink(old);
    renameSync(project.database, `${project.database}.away`);
    expect((await unlink(old)).status).toBe(502);
    renameSync(`${project.database}.away`, project.database);
    expect(await areLetIn([old, anew])).toEqual([false, true]);
    const lines = [JSON.stringify(past), ...project.output];

    for (const order of [lines, lines.toReversed()]) {
      loseStore(project.database);
      expect(JSON.parse((await rebuild(order, settings)).stdout)).toMatchObject({ restored: 1, known: 2 });
      expect(await areLetIn([old, anew])).toEqual([false, true]);
    }

    // Where the first of the lines is older than the log, what the store said of the second still tells.
    loseStore(project.database);
    await rebuild(project.output, settings);
    expect(await areLetIn([old, anew])).toEqual([false, true]);
  });
});

describe('of lines', () => {
  let database: string;
  let settings: Settings;

  beforeEach(() => {
    database = join(folder, 'unlink.sqlite');
    migrateSqlite(database);
    settings = { STORE_URL: `sqlite:${database}` };
  });

  const revocation = (parts: Partial<Revocation>): Revocation => ({
    tokenIds: [],
    grants: [],
    cutOffs: [],
    expiresAt: nowS() + 1000,
    ...parts,
  });

  /** The line of a call: with the answer of the store, or without one. */
  const lineOf = (parts: Partial<Revocation>, madeAt = nowS() - 500, answer: object = { first: true, at: madeAt }) => ({
    level: 'first' in answer ? 'INFO' : 'ERROR',
    message: 'smart-home-unlink: ok',
    request_id: 'rebuild-2',
    revocation: logRevocation(revocation(parts), madeAt),
    ...answer,
  });

  const rebuildLines = async (lines: readonly object[]) => {
    const ended = await rebuild(
      lines.map((line) => JSON.stringify(line)),
      settings,
    );
    return { ...ended, ...JSON.parse(ended.stdout) };
  };

  const cutOffs = () => dump(database)[1];

  test('what the store refused and acknowledged later reaches as far as what it acknowledged', async () => {
    const [key, madeAt] = [digest('link'), nowS() - 500];
    const presented = { tokenIds: [digest('a')], grants: [], cutOffKeys: [key], issuedAt: madeAt - 50 };
    const parts = (t: number) => ({ tokenIds: [digest('a')], cutOffs: [{ key, issuedUpTo: t }], presented });
    const refused = lineOf(parts(madeAt), madeAt, {});
    const acknowledged = lineOf(parts(madeAt + 100), madeAt + 100);

    await rebuildLines([refused, acknowledged]);

    expect(cutOffs()).toMatchObject([{ key, issued_up_to: madeAt + 100 }]);
  });

  test('the first time and the expiry are those of then; what has expired is left out, but for its grant', async () => {
    const madeAt = nowS() - 5000;
    const later = nowS() + 77;
    const ended = await rebuildLines([
      lineOf({ tokenIds: [digest('kept')], expiresAt: later }, madeAt),
      lineOf({ tokenIds: [digest('repeated')], expiresAt: later }, madeAt + 100, { first: false, at: madeAt }),
      lineOf({ tokenIds: [digest('expired')], expiresAt: nowS() - 1 }, madeAt),
      lineOf({ tokenIds: [digest('old')], grants: [digest('grant')], expiresAt: nowS() - 1 }, madeAt),
    ]);

    expect(ended).toMatchObject({ status: DONE, restored: 3, expired: 1 });
    expect(dump(database)[0]).toEqual([
      { id: digest('grant'), revoked_at: madeAt, expires_at: Number.MAX_SAFE_INTEGER },
      { id: digest('kept'), revoked_at: madeAt, expires_at: later },
      { id: digest('repeated'), revoked_at: madeAt, expires_at: later },
    ]);
  });

  test('a grant with an expiry is brought back until then, alone or with the rest, and one without for good', async () => {
    const madeAt = nowS() - 5000;
    const [past, later] = [nowS() - 1, nowS() + 77];
    const ended = await rebuildLines([
      lineOf({ tokenIds: [digest('a')], grants: [digest('b')], expiresAt: past, grantsExpireAt: later }, madeAt),
      lineOf({ tokenIds: [digest('c')], grants: [digest('d')], expiresAt: later, grantsExpireAt: past }, madeAt),
      lineOf({ grants: [digest('e')], expiresAt: later, grantsExpireAt: past }, madeAt),
      lineOf({ grants: [digest('f')], expiresAt: past }, madeAt),
    ]);

    expect(ended).toMatchObject({ status: DONE, restored: 3, expired: 1, refused: 0 });
    expect(dump(database)[0]).toEqual([
      { id: digest('b'), revoked_at: madeAt, expires_at: later },
      { id: digest('c'), revoked_at: madeAt, expires_at: later },
      { id: digest('f'), revoked_at: madeAt, expires_at: Number.MAX_SAFE_INTEGER },
    ]);
  });

  test('a store that was in use meanwhile keeps what is later', async () => {
    const store = openTokenRevocationStore(settings, LOCAL_PLATFORM);
    onTestFinished(() => store.close());
    const [key, later] = [digest('link'), nowS() + 5];
    await store.revoke(revocation({ cutOffs: [{ key, issuedUpTo: later }], expiresAt: later + 2000 }));

    await rebuildLines([lineOf({ cutOffs: [{ key, issuedUpTo: nowS() - 500 }] })]);

    expect(cutOffs()).toEqual([{ key, issued_up_to: later, expires_at: later + 2000 }]);
  });

  test('entries of Cloud Logging are taken, a line each; the array that they come in is not, and says so', async () => {
    const { level, message, ...payload } = lineOf({ tokenIds: [digest('a')] });
    const resource = { type: 'serverless.function', id: 'd4e0000000000000000' };
    const times = { timestamp: '2025-01-02T03:04:05Z', ingested_at: '2025-01-02T03:04:06Z' };
    const entry = { uid: '1:2:3', resource, ...times, level, message, json_payload: payload };
    const text = { uid: '1:2:4', resource, ...times, level, message: 'START RequestID: 1' };
    const refusal = "<file> is a JSON array: jq -c '.[]' makes a line of each of its entries.\n";
    for (const array of [JSON.stringify([entry]), JSON.stringify([entry], null, 2)]) {
      expect(await rebuild([array], settings)).toEqual({ status: USAGE, stdout: '', stderr: refusal });
    }

    expect(await rebuildLines([entry, text])).toMatchObject({ status: DONE, restored: 1, other: 1 });

    expect(dump(database)[0]).toMatchObject([{ id: digest('a') }]);
  });

  test('lines of anything else are passed over; what holds a revocation and cannot be read is told by its line', async () => {
    const good = lineOf({ tokenIds: [digest('a')] });
    const whole = JSON.stringify(good);
    const cut = whole.indexOf('token_ids') - 1;
    const changed = (change: object) => ({ ...good, revocation: { ...good.revocation, ...change } });
    const many = Array.from({ length: 25 }, (_, index) => digest(`many-${index}`));
    const others = [
      '',
      'START RequestID: 1 Version: 2',
      '[ERROR] a text of the runtime',
      '"text"',
      '{"level":"INFO","message":"external-provider-delete: ok","revocation":"revoked"}',
      '{ not: json }',
    ];
    const wrong = (field: string) => `the field ${field} is not as the functions log it`;
    const about = 'it is about nothing, or about more than 24 token ids, grants and cut-offs';
    const notWhole = 'it is not whole: it was cut, or is no JSON';
    const faults: readonly [line: string | object, fault: string][] = [
      [whole.slice(0, 40), notWhole],
      [whole.slice(0, -1), notWhole],
      [whole.slice(cut), notWhole],
      [{ message: whole.slice(cut) }, 'it was logged as a text'],
      ['x'.repeat(256 * 1024 + 1), 'it has more than 256 KB'],
      [changed({ token_ids: ['canary-of-a-token'] }), wrong('revocation.token_ids.0')],
      [changed({ token_ids: digest('a') }), wrong('revocation.token_ids')],
      [changed({ expires_at: '1' }), wrong('revocation.expires_at')],
      [changed({ expires_at: 1e300 }), wrong('revocation.expires_at')],
      [changed({ grants_expire_at: 1.5 }), wrong('revocation.grants_expire_at')],
      [changed({ made_at: undefined }), wrong('revocation.made_at')],
      [changed({ cut_offs: [{ key: digest('a'), issued_up_to: 1.5 }] }), wrong('revocation.cut_offs.0.issued_up_to')],
      [changed({ more: 1 }), wrong('revocation')],
      [changed({ token_ids: [] }), about],
      [changed({ token_ids: many }), about],
      [changed({ token_ids: Array(25).fill(digest('a')) }), about],
      [{ ...changed({ presented: { token_ids: many, grants: [], cut_off_keys: [] } }), first: false }, about],
      [changed({ made_at: nowS() + 1000 }), 'it was made in time to come'],
    ];
    const texts = faults.map(([line]) => (typeof line === 'string' ? line : JSON.stringify(line)));

    const { status, stdout, stderr } = await rebuild([...texts, ...others, whole], settings);

    expect({ status, ...JSON.parse(stdout) }).toMatchObject({
      ...{ status: PARTLY, restored: 1, refused: faults.length, other: others.length },
    });
    expect(stderr.trimEnd().split('\n')).toEqual(faults.map(([, fault], index) => `line ${index + 1}: ${fault}`));
    expect(dump(database)).toEqual([[expect.objectContaining({ id: digest('a') })], []]);
  });

  describe('in the encoding', () => {
    const LINES = 20;
    const texts = () =>
      Array.from({ length: LINES }, (_, index) => `${JSON.stringify(lineOf({ tokenIds: [digest(`t-${index}`)] }))}\n`);
    const littleEndian = (parts: readonly string[]) => Buffer.from(parts.join(''), 'utf16le');
    const bigEndian = (parts: readonly string[]) => littleEndian(parts).swap16();
    const utf8 = (parts: readonly string[]) => Buffer.from(parts.join(''));
    const MARK = '\ufeff';

    async function rebuildBytes(...parts: readonly Buffer[]) {
      const file = join(folder, 'log.jsonl');
      writeFileSync(file, Buffer.concat(parts));
      const { status, stdout, stderr } = await rebuildFile(file, settings);
      return { status, ...JSON.parse(stdout), told: stderr.trimEnd().split('\n') };
    }

    const storedIds = () => dump(database)[0];
    const lineNumbers = (from: number, to: number, fault: string) =>
      Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}: ${fault}`);

    test.each([
      ['UTF-8', utf8],
      ['UTF-8 with a byte order mark', (parts: readonly string[]) => utf8([MARK, ...parts])],
      ['UTF-16LE with a byte order mark', (parts: readonly string[]) => littleEndian([MARK, ...parts])],
      ['UTF-16BE with a byte order mark', (parts: readonly string[]) => bigEndian([MARK, ...parts])],
      [
        'UTF-16LE with carriage returns and blank lines',
        (parts: readonly string[]) => littleEndian([MARK, ...parts.map((part) => part.replace('\n', '\r\n\r\n'))]),
      ],
    ])('%s of a whole file every line is read', async (_name, encode) => {
      const ended = await rebuildBytes(encode(texts()));

      expect(ended).toMatchObject({ status: DONE, restored: LINES, refused: 0, told: [''] });
      expect(storedIds()).toHaveLength(LINES);
    });

    const NO_UTF8 = 'it is not UTF-8: it has NUL bytes, as UTF-16 has';

    test('UTF-8 a second half in UTF-16, as a Windows shell appends it, is told line by line with status 5', async () => {
      const [first, second] = [texts().slice(0, 10), texts().slice(10)];

      const ended = await rebuildBytes(utf8(first), littleEndian(second));

      expect(ended).toMatchObject({ status: PARTLY, restored: 10, refused: 10, refused_for: { [NO_UTF8]: 10 } });
      expect(ended.told).toEqual(lineNumbers(11, 20, NO_UTF8));
    });

    test.each([
      ['UTF-16LE', littleEndian],
      ['UTF-16BE', bigEndian],
    ])('%s a second half in UTF-8 is told line by line with status 5', async (name, encode) => {
      // Of an even and of an odd number of bytes: every second would decode.
      const lines = texts().map((line, index) => line.replace('}\n', `}${' '.repeat(index % 2)}\n`));

      const ended = await rebuildBytes(encode([MARK, ...lines.slice(0, 10)]), utf8(lines.slice(10)));

      expect(ended).toMatchObject({ status: PARTLY, restored: 10, refused: 10 });
      expect(ended.told).toHaveLength(10);
      for (const [index, told] of ended.told.entries()) {
        expect(told).toMatch(new RegExp(`^line ${11 + index}: (it is not ${name}|it was read in a wrong encoding)$`));
      }
    });

    test('UTF-8 a half that a converter has taken for UTF-16 is told', async () => {
      const [first, second] = [texts().slice(0, 10), texts().slice(10)];
      const bytes = Buffer.from(second.join('').padEnd(2 * Math.ceil(second.join('').length / 2)));

      const ended = await rebuildBytes(utf8(first), utf8([bytes.toString('utf16le')]));

      expect(ended).toMatchObject({ status: PARTLY, restored: 10 });
      expect(ended.told).toEqual(['line 11: it was read in a wrong encoding']);
    });

    test('UTF-16 without a byte order mark every line is told', async () => {
      const ended = await rebuildBytes(littleEndian(texts()));

      expect(ended).toMatchObject({ status: PARTLY, restored: 0, refused: LINES });
    });

    test.each([
      ['bytes that are no UTF-8', Buffer.from('[ERROR] \xe9\n', 'latin1'), 'it is not UTF-8'],
      ['zeros, as a crash leaves them', Buffer.alloc(100), NO_UTF8],
      [
        'a last line that was cut behind its first byte',
        Buffer.from('{'),
        'it is not whole: it was cut, or is no JSON',
      ],
    ])('UTF-8 %s are told', async (_what, bytes, fault) => {
      const ended = await rebuildBytes(utf8(texts()), bytes);

      expect(ended).toMatchObject({ status: PARTLY, restored: LINES, refused: 1 });
      expect(ended.told).toEqual([`line ${LINES + 1}: ${fault}`]);
    });
  });

  test('a line of ours that another program has wrapped is told, and not taken for one of that program', async () => {
    const line = JSON.stringify(lineOf({ tokenIds: [digest('a')] }));
    const wrapped: unknown[] = [{ log: `${line}\n`, stream: 'stdout' }, { jsonPayload: JSON.parse(line) }, line];
    const { status, stdout, stderr } = await rebuild(
      wrapped.map((each) => JSON.stringify(each)),
      settings,
    );

    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: PARTLY, restored: 0, refused: 3, other: 0 });
    expect(stderr.trimEnd().split('\n')).toEqual(
      [1, 2, 3].map((number) => `line ${number}: it holds a revocation where the functions log none`),
    );
  });

  test('in the end it says how many lines it has read, what became of them, and why some were refused', async () => {
    const good = JSON.stringify(lineOf({ tokenIds: [digest('a')] }));
    const old = JSON.stringify(lineOf({ tokenIds: [digest('b')], expiresAt: nowS() - 1 }));
    const lines = [good, good, old, '', 'a text', 'a text', '{"level":"INFO"}', good.slice(0, 40), good.slice(0, 50)];
    const file = writeLines(lines);

    const { status, stdout } = await runAdmin(['rebuild-revocations', file, '--yes'], settings);
    const { stdout: json } = await rebuildFile(file, settings);

    expect(status).toBe(PARTLY);
    expect(stdout).toMatch(/^2 lines could not be read: what they revoke is not in the store\.\n/);
    expect(stdout).toMatch(
      / {2}lines read {3}9\n {2}restored {5}1\n {2}known {8}1\n {2}expired {6}1\n {2}refused {6}2\n {2}other lines {2}4: 1 blank, 2 texts, 1 JSON without a revocation\n\nRefused:\n\n {2}2 {2}it is not whole: it was cut, or is no JSON\n$/,
    );
    const { lines: read, restored, known, expired, refused, other } = JSON.parse(json);
    expect(read).toBe(restored + known + expired + refused + other);
  });

  test('reads no further once it is told to stop, though no line has a revocation', async () => {
    const file = writeLines(['a text', 'a text']);
    const counts = { lines: 0, expired: 0, blank: 0, texts: 0, json: 0 };
    const rows = openLoggedRevocations(file, counts)(AbortSignal.abort());

    for await (const row of rows) expect.unreachable(`it has read line ${row.line}`);
    expect(counts.lines).toBe(0);
  });

  test('a file without a revocation says so', async () => {
    const file = writeLines(['a text']);
    const { status, stdout } = await runAdmin(['rebuild-revocations', file, '--yes'], settings);
    expect(status).toBe(DONE);
    expect(stdout).toMatch(/^No line of the file holds a revocation\.\n/);
    const absent = await rebuildFile(join(folder, 'no-such-file'), settings);
    expect(absent).toMatchObject({ status: USAGE, stderr: '<file> is no file.\n' });
  });

  test('when the store fails it tells how far it came, and goes on when it is repeated', async () => {
    const lines = Array.from({ length: 5 }, (_, index) =>
      JSON.stringify(lineOf({ tokenIds: [digest(`token-${index}`)] })),
    );
    const down = { STORE_URL: 'postgres://tests:canary@127.0.0.1:1/d' };
    const { status, stderr } = await rebuild(lines, down);
    expect(status).toBe(TROUBLE);
    expect(stderr).toContain('0 rows were done (0 restored, 0 known, 0 refused). Repeat the command.');
    expect(stderr).not.toContain('canary');

    await rebuild(lines.slice(0, 2), settings);
    expect(JSON.parse((await rebuild(lines, settings)).stdout)).toMatchObject({ restored: 3, known: 2 });
  });

  test('asks, and shows at a terminal how far it is', async () => {
    const file = writeLines(
      Array.from({ length: 150 }, (_, index) => JSON.stringify(lineOf({ tokenIds: [digest(`token-${index}`)] }))),
    );
    expect(await runAdmin(['rebuild-revocations', file], settings)).toMatchObject({ status: USAGE, stdout: '' });
    expect((await runAdminAtTerminal(['rebuild-revocations', file], settings, 'n\n')).status).toBe(USAGE);
    expect(dump(database)).toEqual([[], []]);
    const { status, stdout } = await runAdminAtTerminal(['rebuild-revocations', file], settings, 'y\n');
    expect(status).toBe(DONE);
    expect(stdout).toContain('\r100 rows: 100 restored, 0 known, 0 refused');
    expect(stdout).toContain('Every revocation of the file that has not expired is in the store.');
  });
});

/** Whether what the user has linked anew is told from the old link: by when it was made, by its id, or not at all. */
describe.each([
  ['does not tell', KEYCLOAK],
  ['tells by age', OKTA],
  ['tells by id', OKTA_WITH_GRANT],
])('of functions that end grants at a server that %s a newer grant', (_title, kind) => {
  /** A link, and the line of its unlink, which the server answered or did not. */
  async function unlinkOnce({ isDown }: { isDown: boolean }) {
    const { server, project } = await startEnding(kind);
    server.aheadMs = -10_000;
    const link = await server.link('ann');
    server.aheadMs = 0;
    server.misbehaviour = isDown ? 'is_down' : undefined;
    const line = await unlinkRaw(project, link.accessToken);
    server.misbehaviour = undefined;
    return { server, project, link, line, again: await server.link('ann') };
  }

  test('a rebuild queues no job, and an unlink that is repeated queues no second one', async () => {
    const { server, project, link, line, again } = await unlinkOnce({ isDown: false });
    const before = jobs(project);
    const connection = new DatabaseSync(project.database);
    connection.exec('DELETE FROM revoked_id; DELETE FROM revocation_cut_off');
    connection.close();

    expect(JSON.parse((await rebuildLine(line, project)).stdout)).toMatchObject({ restored: 1, refused: 0 });
    expect(jobs(project)).toEqual(before);
    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ upstream: 'asked before' });

    expect(before).toMatchObject([{ state: 'done', result: 'upstream_grant' }]);
    expect(jobs(project)).toEqual(before);
    expect((await server.refresh(again)).status).toBe(200);
  });

  test.each([
    ['done', false],
    ['still waiting', true],
  ])(
    'where the job was lost with the store when it was %s, a repeated unlink ends no newer grant',
    async (_state, isDown) => {
      const { server, project, link, line, again } = await unlinkOnce({ isDown });
      loseStore(project.database);

      expect(JSON.parse((await rebuildLine(line, project)).stdout)).toMatchObject({ restored: 1, refused: 0 });
      expect(jobs(project)).toEqual([]);
      const repeated = await unlinkRaw(project, link.accessToken);

      const result = isDown ? 'upstream_grant' : 'nothing_found';
      expect(jobs(project)).toMatchObject(kind.keepsNewer ? [{ state: 'done', result }] : []);
      if (!kind.keepsNewer) expect(repeated.upstream).toBe('not asked: the token was revoked before');
      expect((await server.refresh(link)).status).toBe(isDown && !kind.keepsNewer ? 200 : 400);
      expect((await server.refresh(again)).status).toBe(200);
    },
  );
});

/** The built functions, told to end grants at a server of the kind. */
async function startEnding(kind: GrantServerKind) {
  const server = await startGrantServer(kind);
  const { issuer, origin } = server;
  const project = await startProject({
    local: {
      ...{ UNVERIFIED_TOKENS: null, GRANT_CLAIM: null, ISSUERS: JSON.stringify([server.issuerRow]) },
      END_GRANT: JSON.stringify([{ issuer, preset: kind.preset, ...kind.endingRow(origin) }]),
      ENCRYPTION_KEYS: TEST_KEYS,
    },
  });
  onTestFinished(() => project.close());
  return { server, project };
}

const rebuildLine = (line: object, { database }: EmulatedProject) =>
  rebuild([JSON.stringify(line)], { STORE_URL: `sqlite:${database}` });

function jobs({ database }: EmulatedProject): unknown[] {
  const connection = new DatabaseSync(database);
  const rows = connection.prepare('SELECT * FROM outbox_job ORDER BY id').all();
  connection.close();
  return rows;
}

test('the longest line of a call is far below the 64 KB of Cloud Logging', () => {
  const id = `${'k'.repeat(16)}.${'x'.repeat(43)}`;
  const presented = {
    tokenIds: Array(9).fill(id),
    grants: Array(3).fill(id),
    cutOffKeys: Array(9).fill(id),
    issuedAt: 2 ** 53,
  };
  const cutOffs = [{ key: id, issuedUpTo: 2 ** 53 }];
  const logged = logRevocation({ tokenIds: [id, id], grants: [id], cutOffs, expiresAt: 2 ** 53, presented }, nowS());
  expect(JSON.stringify(logged).length).toBeLessThan(4096);
});
