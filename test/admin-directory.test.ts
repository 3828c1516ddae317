import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { endEmulator, startEmulatorProcess } from '#scripts/emulator-process.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { type AccountLink, MAX_LINKS, type NewLink } from '#shared/account-link/account-link.ts';
import { boundToLink, sealTokens, unsealTokens } from '#shared/account-link/provider-tokens.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { openDirectory } from '#shared/directory/open-store.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import type { Settlement } from '#shared/outbox/outbox.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { canonicalEmailIds, TokenPeppers } from '#shared/token-revocation/token-id.ts';
import { runAdmin, runAdminAtTerminal, type Settings } from './support/admin-process.ts';
import { TEST_KEYS, TEST_PEPPERS } from './support/emulated-project.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

const NEW_KEYS = `k2:${Buffer.alloc(32, 'n').toString('base64')}`;
const CANARY = 'canary-of-a-secret';

const DONE = 0;
const USAGE = 2;
const TROUBLE = 3;
const ABSENT = 4;
const PARTLY = 5;

let folder: string;
let settings: Settings;

beforeEach(() => {
  const temporary = createTemporaryFolder();
  onTestFinished(temporary.remove);
  folder = temporary.path;
  migrateSqlite(join(folder, 'unlink.sqlite'));
  settings = {
    STORE_URL: `sqlite:${join(folder, 'unlink.sqlite')}`,
    TOKEN_PEPPERS: TEST_PEPPERS,
    ENCRYPTION_KEYS: TEST_KEYS,
  };
});

async function admin(args: readonly string[], env: Settings = settings) {
  const ended = await runAdmin(args, env);
  expect(ended.stdout + ended.stderr).not.toContain(CANARY);
  return ended;
}

const adminAtTerminal = (args: readonly string[], typed: string) => runAdminAtTerminal(args, settings, typed);

/** What a directory holds, with the port of the functions. */
async function withDirectory<Result>(work: (directory: Directory) => Promise<Result>): Promise<Result> {
  const directory = openDirectory(settings, LOCAL_PLATFORM);
  try {
    return await work(directory);
  } finally {
    await directory.close();
  }
}

const linksOf = (subject: string) => withDirectory(({ links }) => links.list(subject));

function writeFile(name: string, content: string | Buffer): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

const jsonLines = (rows: readonly object[], name = 'links.jsonl') =>
  writeFile(name, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));

const importFile = (file: string, env = settings) => admin(['import-links', file, '--yes', '--json'], env);

const ROW = { subject: 'user-1', fpType: 'vk', fpName: 'vk_1', sid: '100' };
const NEW_LINK: NewLink = { ...ROW, evidence: 'asserted', audit: { actor: 'operator', requestId: 'r' } };

/** Every byte of the database and what SQLite keeps beside it. */
function storedBytes(): string {
  const files = readdirSync(folder).filter((name) => name.startsWith('unlink.sqlite'));
  return files.map((name) => readFileSync(join(folder, name), 'latin1')).join('\n');
}

describe('import-links', () => {
  test('takes every field of JSON Lines, and keeps tokens and addresses unreadable', async () => {
    const linkedAt = '2020-02-03T04:05:06.789+03:00';
    const tokens = { accessToken: `${CANARY}-access`, refreshToken: `${CANARY}-refresh` };
    const file = jsonLines([
      { ...ROW, userName: 'Ann\u2028"O"', email: `${CANARY}@Example.com`, linkedAt, ...tokens, proved: true },
      { ...ROW, sid: '101', userName: null, linkedAt: 1_600_000_000_000 },
    ]);
    const { status, stdout, stderr } = await importFile(file);
    expect({ status, stderr }).toEqual({ status: DONE, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      ...{ created: 2, updated: 0, unchanged: 0, refused: 0, replaced: 0 },
      ...{ store: settings.STORE_URL, request_id: expect.any(String) },
    });
    expect(await linksOf('user-1')).toEqual([
      { ...identity('100'), userName: 'Ann\u2028"O"', evidence: 'proved', linkedAt: Date.parse(linkedAt) },
      { ...identity('101'), userName: undefined, evidence: 'asserted', linkedAt: 1_600_000_000_000 },
    ]);
    const [sealed] = await withDirectory((directory) => directory.sealed.find('other', 10));
    expect(unsealTokens(sealed?.sealed ?? '', boundToLink(ROW), EncryptionKeys.parse(TEST_KEYS))).toEqual(tokens);
    const digest = canonicalEmailIds(`${CANARY}@example.com`, TokenPeppers.parse(TEST_PEPPERS)).current;
    expect(storedBytes()).toContain(digest);
    expect(storedBytes()).not.toContain(CANARY);
  });

  test('takes CSV with a byte order mark, quotes and any line end, its columns in any order', async () => {
    const file = writeFile(
      'links.csv',
      '\ufeffsid,subject,fpType,fpName,userName,linkedAt,proved,accessToken\r\n' +
        '1,user-1,vk,vk_1,"Ann, ""O""",1600000000000,true,\r\n\r\n' +
        `2,user-1,vk,vk_1,,2020-09-14T00:00:00Z,false,${CANARY}\n`,
    );
    expect(await importFile(file)).toMatchObject({ status: DONE, stderr: '' });
    expect(await linksOf('user-1')).toEqual([
      { ...identity('1'), userName: 'Ann, "O"', evidence: 'proved', linkedAt: 1_600_000_000_000 },
      { ...identity('2'), userName: undefined, evidence: 'asserted', linkedAt: Date.parse('2020-09-14') },
    ]);
  });

  test('changes nothing a second time but the seals of tokens', async () => {
    const rows = [
      { ...ROW, userName: 'Ann', email: 'ann@example.com' },
      { ...ROW, sid: '101', accessToken: 'access-1' },
    ];
    await importFile(jsonLines(rows));
    const before = await linksOf('user-1');
    const again = await importFile(jsonLines(rows));
    expect(JSON.parse(again.stdout)).toMatchObject({ created: 0, updated: 1, unchanged: 1, refused: 0 });
    expect(await linksOf('user-1')).toEqual(before);
    const renamed = await importFile(jsonLines([{ ...rows[0], userName: 'Anna' }]));
    expect(JSON.parse(renamed.stdout)).toMatchObject({ updated: 1 });
  });

  test('does not bring back what was unlinked since', async () => {
    const file = jsonLines([{ ...ROW, accessToken: 'access-1' }]);
    await importFile(file);
    await withDirectory(({ links }) => links.unlink({ ...NEW_LINK, keepLast: false, force: false }));
    const again = await importFile(file);
    expect(JSON.parse(again.stdout)).toMatchObject({ created: 0, refused: 1 });
    expect(again.stderr).toContain('the account was unlinked meanwhile');
    expect(await linksOf('user-1')).toEqual([]);
  });

  test('keeps the order of the file within a subject and an account, many at a time', async () => {
    const sids = Array.from({ length: 300 }, (_, index) => `sid-${index}`);
    const rows = [
      ...sids.map((sid) => ({ ...ROW, sid, linkedAt: 1_600_000_000_000 })),
      ...sids.map((sid, index) => ({ ...ROW, sid, subject: `late-${index}` })),
    ];
    const { status, stdout, stderr } = await importFile(jsonLines(rows));
    expect(status).toBe(PARTLY);
    expect(JSON.parse(stdout)).toMatchObject({ created: 300, refused: 300 });
    expect((await linksOf('user-1')).map(({ sid }) => sid)).toEqual(sids);
    expect(stderr.split('\n')).toContain('line 301: the account is linked to another subject');
  });

  test('tells of each row that is skipped, by its line, and quotes nothing of it', async () => {
    const fields: readonly [row: string | object, fault: RegExp][] = [
      [`{"subject":"${CANARY}`, /^it is not JSON$/],
      [`["${CANARY}"]`, /^it is not a JSON object$/],
      [`${'['.repeat(100_000)}`, /^it is not JSON$/],
      [`{"subject":"user-1","a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, /^the field fpType is missing$/],
      [JSON.stringify(ROW).replace('}', `,"sid":"${CANARY}"}`), /^it names a field twice$/],
      [{ ...ROW, sid: undefined }, /^the field sid is missing$/],
      [{ ...ROW, subject: `${CANARY} ` }, /^the field subject must be 1 to 255 visible ASCII characters: /],
      [{ ...ROW, subject: 7 }, /^the field subject must be /],
      [{ ...ROW, sid: `${CANARY}\n` }, /^the field sid must be 1 to 255 characters, none of them a control character$/],
      [{ ...ROW, [CANARY]: 1 }, /^it has a field that is none of subject, fpType, fpName, sid, userName, /],
      [{ ...ROW, fpName: CANARY }, /^fpType and fpName name no provider of PROVIDERS or providers.json$/],
      [{ ...ROW, email: `${CANARY}@a@b` }, /^the field email must be an e-mail address$/],
      [{ ...ROW, accessToken: `${CANARY} ` }, /^the field accessToken must be 1 to 8192 visible ASCII characters$/],
      [{ ...ROW, linkedAt: '2020-02-03T04:05:06' }, /^the field linkedAt must be a time since 2000 that has passed: /],
      [{ ...ROW, linkedAt: 1_600_000_000 }, /^the field linkedAt must be /],
      [{ ...ROW, linkedAt: '2999-01-01T00:00:00Z' }, /^the field linkedAt must be /],
      [{ ...ROW, proved: 'yes' }, /^the field proved must be true or false$/],
      [{ ...ROW, sid: 'a\ufffd' }, /^it is not UTF-8$/],
      [`"${CANARY.padEnd(300_000)}"`, /^it has more than 256 KB$/],
    ];
    const lines = fields.map(([row]) => (typeof row === 'string' ? row : JSON.stringify(row)));
    const file = writeFile('links.jsonl', `${lines.join('\n')}\n\n${JSON.stringify({ ...ROW, sid: 'taken' })}`);
    const { status, stdout, stderr } = await importFile(file);
    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: PARTLY, created: 1, refused: fields.length });
    const told = new Map(stderr.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
    fields.forEach(([, fault], index) => void expect(told.get(`line ${index + 1}`)).toMatch(fault));
    expect(await linksOf('user-1')).toMatchObject([{ sid: 'taken' }]);
  });

  test('skips the link of another subject, unless a proof takes it over, and one beyond the limit', async () => {
    const others = { ...ROW, subject: 'user-2' };
    await withDirectory(async ({ links }) => {
      await links.link(NEW_LINK);
      for (let count = 0; count < MAX_LINKS; count += 1) {
        await links.link({ ...NEW_LINK, subject: 'full', sid: `full-${count}` });
      }
    });
    const first = await importFile(jsonLines([others, { ...ROW, subject: 'full', sid: 'one-more' }]));
    expect(first.status).toBe(PARTLY);
    expect(first.stderr.split('\n').sort()).toEqual([
      '',
      'line 1: the account is linked to another subject',
      'line 2: the subject has 1000 links',
    ]);
    const second = await admin(['import-links', jsonLines([{ ...others, proved: true }]), '--yes']);
    expect(second.status).toBe(DONE);
    expect(second.stdout).toMatch(/^Every row was taken\.\n\n(.*\n)*.* created +1, of which 1 taken over from another/);
    expect([await linksOf('user-1'), await linksOf('user-2')]).toMatchObject([[], [{ evidence: 'proved' }]]);
  });

  test('skips a row whose secrets it has no key for, and takes the others without any', async () => {
    const { STORE_URL = '' } = settings;
    const file = jsonLines([{ ...ROW, accessToken: CANARY }, { ...ROW, email: `${CANARY}@example.com` }, ROW]);
    const { status, stderr } = await importFile(file, { STORE_URL });
    expect(status).toBe(PARTLY);
    expect(stderr.split('\n').sort()).toEqual([
      '',
      'line 1: it has a token, and ENCRYPTION_KEYS is not set',
      'line 2: it has an e-mail address, and TOKEN_PEPPERS is not set',
    ]);
    expect(await linksOf('user-1')).toHaveLength(1);
  });

  test('takes the providers of PROVIDERS, whose secrets need not be set', async () => {
    const revocation = { endpoint: 'https://provider.example/revoke', client_id: 'c', client_secret_env: 'NOT_SET' };
    const PROVIDERS = JSON.stringify([{ type: 'oidc', name: 'dev_1', revocation }]);
    const file = jsonLines([{ ...ROW, fpType: 'oidc', fpName: 'dev_1' }]);
    expect(await importFile(file, { ...settings, PROVIDERS })).toMatchObject({ status: DONE, stderr: '' });
    expect(await importFile(file)).toMatchObject({ status: PARTLY });
  });

  test('takes the rows of a CSV file before the first that cannot be read, and tells where it stopped', async () => {
    const header = 'subject,fpType,fpName,sid\n';
    for (const broken of [`user-1,vk,vk_1,"${CANARY}`, `user-1,vk,vk_1,${CANARY}"`, `user-1,"vk"x,vk_1,${CANARY}`]) {
      const rows = 'user-1,vk,vk_1,1\nuser-1,vk,vk_1\nuser-1,vk,vk_1,2\n';
      const file = writeFile('links.csv', `${header}${rows}${broken}\n${'user-1,vk,vk_1,3\n'.repeat(100)}`);
      const { status, stderr } = await importFile(file);
      expect(status).toBe(PARTLY);
      expect(stderr.split('\n').sort()).toEqual([
        '',
        'line 3: it has not as many values as the first line',
        'line 5: its quotes are wrong or it is too long; nothing from here on was read',
      ]);
      expect((await linksOf('user-1')).map(({ sid }) => sid)).toEqual(['1', '2']);
    }
  });

  test.each([
    ['is not there', 'no-such.jsonl', '<file> is no file.'],
    ['is named otherwise', 'package.json', '<file> must be named .jsonl or .csv after what it holds.'],
    ['is a CSV file without names', 'a.csv', /^The first line of <file> must name its columns/, `user-1,${CANARY}\n`],
    ['is a CSV file that names one twice', 'a.csv', /^The first line/, 'subject,sid,fpType,fpName,sid\n'],
    ['is an empty CSV file', 'a.csv', /^The first line of <file> must name its columns/, ''],
  ])('does nothing with a file that %s', async (_name, name, sentence, content?: string) => {
    const file = content === undefined ? name : writeFile(name, content);
    const { status, stdout, stderr } = await importFile(file);
    expect({ status, stdout }).toEqual({ status: USAGE, stdout: '' });
    expect(stderr.trim()).toMatch(sentence);
  });

  test('asks, and shows at a terminal how far it is', async () => {
    const rows = Array.from({ length: 250 }, (_, index) => ({ ...ROW, subject: `user-${index}`, sid: `${index}` }));
    const file = jsonLines([...rows, { ...ROW, sid: '0' }]);
    const refused = await admin(['import-links', file]);
    expect(refused).toMatchObject({ status: USAGE, stdout: '' });
    expect(await adminAtTerminal(['import-links', file], 'n\n')).toMatchObject({ status: USAGE });
    expect(await linksOf('user-0')).toEqual([]);
    const { status, stdout } = await adminAtTerminal(['import-links', file], 'y\n');
    expect(status).toBe(PARTLY);
    expect(stdout).toMatch(/\r(1\d\d) rows: \1 created, 0 updated, 0 unchanged, 0 refused\r(2\d\d) rows: \2 created, /);
    expect(stdout).toContain('\r\u001b[Kline 251: the account is linked to another subject\r\n\r251 rows: ');
  });

  test('holds a file of any length a row at a time', async () => {
    const { STORE_URL = '' } = settings;
    const name = 'x'.repeat(4000);
    const content = Array.from({ length: 25_000 }, (_, index) => `{"subject":"${name}","n":${index}}\n`).join('');
    const env = { STORE_URL, NODE_OPTIONS: '--max-old-space-size=40' };
    const { status, stdout } = await importFile(writeFile('links.jsonl', content), env);
    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: PARTLY, refused: 25_000 });
  });
});

function identity(sid: string): Pick<AccountLink, 'fpType' | 'fpName' | 'sid'> {
  return { fpType: 'vk', fpName: 'vk_1', sid };
}

describe('links', () => {
  beforeEach(() =>
    withDirectory(async ({ links }) => {
      const tokens = seal('100');
      await links.link({ ...NEW_LINK, userName: 'Ann\u001b[2J', linkedAt: 1_600_000_000_000, tokens });
      await links.link({ ...NEW_LINK, fpType: 'esia', fpName: 'esia_1', sid: 'a b', evidence: 'proved' });
    }),
  );

  test('list shows those of a subject in a table, in their order', async () => {
    const { status, stdout } = await admin(['links', 'list', '--subject', 'user-1']);
    expect(status).toBe(DONE);
    const [, , , links, , header, first, second] = ['', ...stdout.split('\n')];
    expect(links).toBe('  links    2');
    expect(header?.split(/ {2,}/)).toEqual(['', 'provider', 'sid', 'name', 'evidence', 'linked at']);
    expect(first).toBe('  vk:vk_1      100  Ann\\u{1b}[2J  asserted  2020-09-13T12:26:40Z');
    expect(second).toMatch(/^ {2}esia:esia_1 {2}a b {16}proved {4}\d{4}-.*Z$/);
    expect(await admin(['links', 'list', '--subject', 'user-2'])).toMatchObject({ status: DONE, stderr: '' });
  });

  test('list and show print the same with --json, in one line', async () => {
    const list = await admin(['links', 'list', '--subject', 'user-1', '--json']);
    const ofVk = { fp_type: 'vk', fp_name: 'vk_1', sid: '100', user_name: 'Ann\u001b[2J', evidence: 'asserted' };
    const link = { ...ofVk, linked_at: '2020-09-13T12:26:40.000Z' };
    expect(JSON.parse(list.stdout)).toMatchObject({ subject: 'user-1', links: [link, { fp_type: 'esia' }] });
    const show = await admin(['links', 'show', ...options('user-1', 'vk:vk_1', '100'), '--json']);
    expect(JSON.parse(show.stdout)).toEqual({ linked: true, subject: 'user-1', ...link, store: settings.STORE_URL });
  });

  test('show tells of one link, or that it is not there', async () => {
    const found = await admin(['links', 'show', ...options('user-1', 'esia:esia_1', 'a b')]);
    expect(found.status).toBe(DONE);
    expect(found.stdout).toMatch(
      /^Linked\.\n\n(.*\n)*.* evidence +proved: by signing in at the provider\n {2}linked at /,
    );
    for (const wrong of [
      options('user-2', 'vk:vk_1', '100'),
      options('user-1', 'vk:vk_2', '100'),
      options('user-1', 'vk:vk_1', '10'),
    ]) {
      const { status, stdout } = await admin(['links', 'show', ...wrong]);
      expect(status).toBe(ABSENT);
      expect(stdout).toMatch(/^Not linked to this subject\.\n/);
    }
  });

  const options = (subject: string, provider: string, sid: string) => [
    ...['--subject', subject, '--provider', provider, '--sid', sid],
  ];
});

/** Tokens of a link of user-1 at vk:vk_1, sealed with the test's keys or others. */
function seal(sid: string, keys = TEST_KEYS): string {
  return sealTokens({ accessToken: CANARY }, boundToLink({ ...ROW, sid }), EncryptionKeys.parse(keys));
}

describe('outbox', () => {
  const jobOf = (id: string) => withDirectory(({ outbox }) => outbox.find(id));

  async function addJob(id: string, settlement?: Settlement): Promise<void> {
    await withDirectory(async ({ outbox }) => {
      const details = { subject: 'user-1', ...identity(id) };
      const claim = { name: `claim of ${id}`, leaseMs: settlement === undefined ? 0 : 60_000 };
      const bound = { secret: seal(id), boundTo: boundToLink({ ...ROW, sid: id }) };
      await outbox.add({ id, kind: 'grant-revocation', details, ...bound, requestId: 'request-1', claim });
      if (settlement !== undefined) await outbox.settle({ id, claim: claim.name }, settlement);
    });
  }

  beforeEach(async () => {
    await addJob('waits');
    await addJob('failed', { state: 'pending', dueAt: Date.now() + 3_600_000, error: 'http_500' });
    await addJob('crashed', { state: 'set_aside', error: '3 attempts never ended' });
    await addJob('over', { state: 'done', result: 'revoked' });
    await addJob('given-up', { state: 'dead', result: 'failed', error: 'timed_out' });
  });

  test('list shows what is not done, what needs an operator first, or one state', async () => {
    const ids = async (...args: string[]) => {
      const { status, stdout } = await admin(['outbox', 'list', '--json', ...args]);
      expect(status).toBe(DONE);
      const { jobs, more } = JSON.parse(stdout);
      return [jobs.map((job: { job_id: string }) => job.job_id), more];
    };
    const [all, more] = await ids();
    expect([all.slice(0, 2), all.slice(2).sort(), more]).toEqual([['crashed', 'given-up'], ['failed', 'waits'], false]);
    expect(await ids('--state', 'done')).toEqual([['over'], false]);
    expect(await ids('--limit', '2')).toEqual([['crashed', 'given-up'], true]);
    const { stdout } = await admin(['outbox', 'list', '--state', 'set_aside']);
    expect(stdout).toMatch(
      /\n {2}crashed {2}set_aside {2}grant-revocation {2}vk:vk_1 {3}1 .* 3 attempts never ended\n$/,
    );
  });

  test('list goes through any number of jobs', async () => {
    for (let index = 0; index < 120; index += 1) await addJob(`more-${index}`, { state: 'done', result: 'revoked' });
    const { stdout } = await admin(['outbox', 'list', '--state', 'done', '--limit', '1000', '--json']);
    expect(new Set(JSON.parse(stdout).jobs.map((job: { job_id: string }) => job.job_id)).size).toBe(121);
    const { stdout: table } = await admin(['outbox', 'list', '--state', 'done']);
    expect(table).toContain('the first 100; --limit shows more');
  });

  test('show tells all of a job but what is sealed', async () => {
    const found = await admin(['outbox', 'show', 'crashed']);
    expect(found.status).toBe(DONE);
    expect(found.stdout).toMatch(/^Set aside: it has killed whoever tried it\./);
    for (const row of [/provider +vk:vk_1/, /subject +user-1/, /sid +crashed/, /request id +request-1/]) {
      expect(found.stdout).toMatch(row);
    }
    expect(found.stdout).toMatch(/tokens +kept, sealed\n/);
    const { stdout } = await admin(['outbox', 'show', 'given-up', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'dead', last_error: 'timed_out', has_secret: false });
    expect(found.stdout + stdout).not.toContain((await jobOf('crashed'))?.secret);
    expect(await admin(['outbox', 'show', CANARY.slice(1)])).toMatchObject({ status: ABSENT });
  });

  test('replay makes a job due at once, when that is agreed to', async () => {
    const refusal = await admin(['outbox', 'replay', 'crashed']);
    expect(refusal).toMatchObject({ status: USAGE, stdout: '' });
    expect(await jobOf('crashed')).toMatchObject({ state: 'set_aside' });
    expect(await admin(['outbox', 'replay', 'crashed', '--yes'])).toMatchObject({ status: DONE, stderr: '' });
    expect(await jobOf('crashed')).toMatchObject({ state: 'pending', attemptsStarted: 0 });
    expect((await adminAtTerminal(['outbox', 'replay', 'failed'], 'y\n')).status).toBe(DONE);
    expect((await jobOf('failed'))?.dueAt).toBeLessThanOrEqual(Date.now());
  });

  test('replay tells why a job that is over, or that there is none, cannot be', async () => {
    for (const [id, why] of [
      ['over', 'the job is done, its token is erased, and nothing can be replayed.'],
      ['given-up', 'the job is given up, its token is erased, and nothing can be replayed.'],
      [CANARY, 'there is no such job.'],
    ] as const) {
      const { status, stdout, stderr } = await admin(['outbox', 'replay', id, '--yes']);
      expect({ status, stdout, stderr }).toEqual({ status: USAGE, stdout: '', stderr: `Nothing was done: ${why}\n` });
    }
  });
});

describe('rotate-keys', () => {
  const BOTH = `${NEW_KEYS},${TEST_KEYS}`;
  const rotate = (ENCRYPTION_KEYS: string, ...args: string[]) =>
    admin(['rotate-keys', '--json', ...args], { ...settings, ENCRYPTION_KEYS });

  async function fill(count: number, keys?: string): Promise<void> {
    await withDirectory(async ({ links, outbox }) => {
      for (let index = 0; index < count; index += 1) {
        const sid = `${keys?.slice(0, 2) ?? 'k1'}-${index}`;
        await links.link({ ...NEW_LINK, sid, tokens: seal(sid, keys) });
        const bound = { secret: seal(sid, keys), boundTo: boundToLink({ ...ROW, sid }) };
        await outbox.add({ id: `job-${sid}`, kind: 'grant-revocation', details: {}, ...bound, requestId: 'r' });
      }
    });
  }

  test('seals all links and jobs with the newest key, in batches, and nothing a second time', async () => {
    await fill(25);
    const first = await rotate(BOTH, '--batch', '7');
    expect(first).toMatchObject({ status: DONE, stderr: '' });
    expect(JSON.parse(first.stdout)).toMatchObject({
      resealed: 50,
      unopened: 0,
      newest_key: 'k2',
      removable_keys: ['k1'],
    });
    const again = await admin(['rotate-keys'], { ...settings, ENCRYPTION_KEYS: BOTH });
    expect(again.stdout).toMatch(/^Nothing is left under another key: k1 may be removed from ENCRYPTION_KEYS/);
    expect(again.stdout).toMatch(/sealed anew +0\n/);
    const texts = await withDirectory((directory) => directory.sealed.find('other', 100));
    expect(texts).toHaveLength(50);
    for (const { sealed, boundTo } of texts) {
      expect(unsealTokens(sealed, boundTo, EncryptionKeys.parse(NEW_KEYS))).toEqual({ accessToken: CANARY });
    }
    expect((await rotate(NEW_KEYS)).status).toBe(DONE);
  });

  test('ends though some texts cannot be opened, tells whose they are, and keeps the older keys', async () => {
    await fill(12, `k0:${Buffer.alloc(32, 'z').toString('base64')}`);
    await fill(10);
    await withDirectory(({ links }) => links.link({ ...NEW_LINK, sid: 'moved', tokens: seal('elsewhere') }));
    const { status, stdout, stderr } = await rotate(BOTH, '--batch', '5');
    expect(status).toBe(PARTLY);
    expect(JSON.parse(stdout)).toMatchObject({ resealed: 20, unopened: 25, removable_keys: [] });
    const told = stderr.trim().split('\n');
    expect(told).toHaveLength(25);
    expect(told).toContain('The link of user-1 at vk:vk_1 cannot be opened: its key k0 is not in ENCRYPTION_KEYS.');
    expect(told).toContain(
      'The link of user-1 at vk:vk_1 cannot be opened: its key k1 does not fit, or it was changed.',
    );
    expect(told).toContain(
      'The job job-k0-3 of user-1 at vk:vk_1 cannot be opened: its key k0 is not in ENCRYPTION_KEYS.',
    );
    const { stdout: words } = await admin(['rotate-keys'], { ...settings, ENCRYPTION_KEYS: BOTH });
    expect(words).toMatch(/^Keep the older keys: /);
  });

  test('works beside functions that change what it reads', async () => {
    await fill(100);
    const [{ status }] = await Promise.all([
      rotate(BOTH, '--batch', '10'),
      withDirectory(async ({ links }) => {
        for (let index = 0; index < 100; index += 1) {
          const audit = { actor: 'subject:user-1', requestId: 'r' };
          const unlink = { subject: 'user-1', ...identity(`k1-${index}`), keepLast: false, force: false, audit };
          await retryBusy(() => links.unlink(unlink));
        }
      }),
    ]);
    expect(status).toBe(DONE);
    expect(await withDirectory((directory) => directory.sealed.find('k2', 1000))).toEqual([]);
  });
});

/** A store that another process writes to is busy now and then. */
async function retryBusy(work: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof Error && error.message === 'store: busy')) throw error;
    }
  }
}

test('the folder of an emulator has the directory, the keys and the providers', async () => {
  const temporary = createTemporaryFolder();
  const emulator = await startEmulatorProcess(temporary.path, `--bundles=${inject('bundles')}`);
  onTestFinished(async () => {
    await endEmulator(emulator, 'SIGKILL');
    temporary.remove();
  });
  const dataDir = ['--data-dir', temporary.path];
  const env = { DIRECTORY_URL: 'memory:', ENCRYPTION_KEYS: NEW_KEYS, PROVIDERS: '[]' };
  const row = { ...ROW, fpType: 'oidc', fpName: 'dev_1', email: 'ann@example.com', accessToken: CANARY };
  const imported = await admin(['import-links', jsonLines([row]), '--yes', ...dataDir], env);
  expect(imported).toMatchObject({ status: DONE, stderr: '' });
  const { stdout } = await admin(['links', 'list', '--subject', 'user-1', ...dataDir], env);
  expect(stdout).toContain('oidc:dev_1');
  const rotated = await admin(['rotate-keys', '--json', ...dataDir], env);
  expect(JSON.parse(rotated.stdout)).toMatchObject({ resealed: 0, unopened: 0, newest_key: 'k1' });
});

test('a directory that fails in the midst of it is told with what was done', async () => {
  const env = { ...settings, STORE_URL: 'sqlite:no-such-file' };
  const file = jsonLines([ROW]);
  const unknown = 'The store failed (unreachable): nothing is known to be done.\n';
  expect(
    await Promise.all([
      importFile(file, env),
      admin(['rotate-keys'], env),
      admin(['links', 'list', '--subject', 'user-1'], env),
      admin(['outbox', 'list'], env),
    ]),
  ).toEqual(
    [
      'The store failed (unreachable): 0 rows were done (0 created, 0 updated, 0 unchanged, 0 refused). Repeat the command.\n',
      'The store failed (unreachable): 0 texts were sealed anew. Repeat the command.\n',
      ...[unknown, unknown],
    ].map((stderr) => ({ status: TROUBLE, stdout: '', stderr })),
  );
});

test.each<[mistake: string, args: string[], sentence: string | RegExp, env?: Settings]>([
  ['half a verb', ['outbox'], /^The verb must be one of: .*outbox list, outbox show/],
  ['no file', ['import-links'], /^<file> is missing: JSON Lines/],
  ['two files', ['import-links', 'a.csv', CANARY], 'There is an argument too many: this takes one <file>.'],
  ['no subject', ['links', 'list'], '--subject is missing.'],
  ['a subject that is none', ['links', 'list', '--subject', `${CANARY} a`], /^--subject must be 1 to 255 visible/],
  ['no provider', ['links', 'show', '--subject=a'], '--provider is missing.'],
  ['half a provider', ['links', 'show', '--subject=a', '--provider=vk'], /^--provider must be <type>:<name>/],
  ['an unknown state', ['outbox', 'list', '--state', CANARY], '--state must be pending, set_aside, done or dead.'],
  ['no limit', ['outbox', 'list', '--limit=0'], '--limit must be a whole number from 1 to 10000.'],
  ['no job', ['outbox', 'replay', '--yes'], '<job id> is missing: as outbox list and the log have it.'],
  ['no keys', ['rotate-keys'], /^ENCRYPTION_KEYS must be name:base64/, { STORE_URL: 'sqlite:no-such-file' }],
  ['keys that are none', ['rotate-keys'], /^ENCRYPTION_KEYS must be/, { ENCRYPTION_KEYS: `k1:${CANARY}` }],
  ['a directory in Redis', ['outbox', 'list'], /^DIRECTORY_URL must be/, { DIRECTORY_URL: `redis://:${CANARY}@h` }],
  ['a directory in memory', ['outbox', 'list'], /^The store is memory/, { DIRECTORY_URL: 'memory:' }],
])('a mistake that is %s is told in a sentence, and nothing is done', async (_name, args, sentence, env) => {
  const { status, stdout, stderr } = await admin(args, env ?? settings);
  expect({ status, stdout }).toEqual({ status: USAGE, stdout: '' });
  if (typeof sentence === 'string') expect(stderr).toBe(`${sentence}\n`);
  else expect(stderr).toMatch(sentence);
  expect(stderr.trim().split('\n')).toHaveLength(1);
});
